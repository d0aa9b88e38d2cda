#pragma once
/* CRC32C (Castagnoli, RFC 3720 appendix B.4): by the CPU's instruction where it has one, else by a table of 8 x 256.
 *
 * crc32c_extend(crc, data, n) continues a finished checksum: crc32c_extend(crc32c_extend(0, a), b) is that of a + b.
 * One instruction takes 8 bytes in 3 cycles, about 8 GB/s: a log scan is bound by memory, not by this.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint32_t crc32c_table[8][256];

static void crc32c_make_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1u)));
        crc32c_table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int row = 1; row < 8; row++)
            crc32c_table[row][i] = (crc32c_table[row - 1][i] >> 8) ^ crc32c_table[0][crc32c_table[row - 1][i] & 255];
}

static uint32_t crc32c_portable(uint32_t crc, const unsigned char *data, size_t n) {
    crc = ~crc;
    for (; n >= 8; data += 8, n -= 8) { /* slicing by 8 (Kounavis and Berry, 2005), byte by byte: any endianness */
        uint32_t low = crc ^ (data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24);
        crc = crc32c_table[7][low & 255] ^ crc32c_table[6][low >> 8 & 255] ^ crc32c_table[5][low >> 16 & 255] ^
              crc32c_table[4][low >> 24] ^ crc32c_table[3][data[4]] ^ crc32c_table[2][data[5]] ^
              crc32c_table[1][data[6]] ^ crc32c_table[0][data[7]];
    }
    while (n--) crc = crc32c_table[0][(crc ^ *data++) & 255] ^ (crc >> 8);
    return ~crc;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <nmmintrin.h>
__attribute__((target("sse4.2"))) static uint32_t crc32c_instruction(uint32_t crc, const unsigned char *data, size_t n) {
    uint64_t state = ~crc;
    for (; n >= 8; data += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        state = _mm_crc32_u64(state, word);
    }
    uint32_t rest = (uint32_t)state;
    while (n--) rest = _mm_crc32_u8(rest, *data++);
    return ~rest;
}
static int crc32c_has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }
#else
#define crc32c_instruction crc32c_portable
static int crc32c_has_instruction(void) { return 0; }
#endif

static uint32_t (*crc32c_extend)(uint32_t, const unsigned char *, size_t) = crc32c_portable;

static void crc32c_choose(void) { /* once, at import */
    crc32c_make_table();
    if (crc32c_has_instruction()) crc32c_extend = crc32c_instruction;
}
