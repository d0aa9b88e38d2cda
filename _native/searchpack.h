#pragma once
#include <stdint.h>
#include <string.h>

/* Groups of 128 whole numbers in `width` bits each, 0 to 32, and other loops over 128 documents.
 *
 *     value i       row i / 4, lane i % 4; a row is 16 bytes, one vector register
 *     its bits      row * width ... of the lane's own stream of 32-bit words
 *     word w        of the four lanes side by side, at 16 * w bytes
 *
 * That is SIMD-BP128 (Lemire and Boytsov, "Decoding billions of integers per second through vectorization", 2015).
 * A group of fewer than 128 values is cut after its last row: the lanes go on in parallel, so what is there decodes.
 * Each width has a function of its own, in which shifts and masks are constants. A row is as wide as SSE2 and NEON,
 * so there is nothing for MULTIVERSION to choose.
 *
 * Callers have checked that `from` has pack_rows(128, width) * 16 bytes; no address needs to be aligned.
 */

#define GROUP 128
#define NO_DOCUMENT UINT32_MAX

typedef uint32_t row4 __attribute__((vector_size(16)));
typedef uint32_t row4_any __attribute__((vector_size(16), aligned(1), may_alias)); /* at any address */

#ifdef __clang__
#define UP1(x) __builtin_shufflevector((row4){0, 0, 0, 0}, x, 0, 4, 5, 6) /* 0 a b c */
#define UP2(x) __builtin_shufflevector((row4){0, 0, 0, 0}, x, 0, 1, 4, 5) /* 0 0 a b */
#define LAST(x) __builtin_shufflevector(x, x, 3, 3, 3, 3)                 /* d d d d */
#else
#define UP1(x) __builtin_shuffle((row4){0, 0, 0, 0}, x, (row4){0, 4, 5, 6})
#define UP2(x) __builtin_shuffle((row4){0, 0, 0, 0}, x, (row4){0, 1, 4, 5})
#define LAST(x) __builtin_shuffle(x, (row4){3, 3, 3, 3})
#endif

static inline int bit_width(uint32_t value) { return value ? 32 - __builtin_clz(value) : 0; }
static inline int ones(uint64_t word) { return __builtin_popcountll(word); }
static inline int lowest(uint64_t word) { return __builtin_ctzll(word); } /* of a word that is not 0 */

/* Rows of 16 bytes that `count` values of this width take. */
static inline int pack_rows(int count, int width) { return ((count + 3) / 4 * width + 31) / 32; }

/* The inverse of unpack_group. values beyond `count` are not read. */
static inline void pack_group(const uint32_t *values, int count, int width, uint8_t *to) {
    memset(to, 0, 16 * (size_t)pack_rows(count, width));
    if (width == 0)
        return;
    for (int i = 0; i < count; i++) {
        const int bit = (i >> 2) * width, shift = bit & 31;
        uint8_t *at = to + 16 * (bit >> 5) + 4 * (i & 3);
        uint32_t word;
        memcpy(&word, at, 4);
        word |= values[i] << shift;
        memcpy(at, &word, 4);
        if (shift + width > 32) {
            memcpy(&word, at + 16, 4);
            word |= values[i] >> (32 - shift);
            memcpy(at + 16, &word, 4);
        }
    }
}

#define UNPACK(WIDTH)                                                                             \
    static void unpack_##WIDTH(const uint8_t *from, uint32_t *to) {                               \
        const row4_any *words = (const row4_any *)from;                                           \
        row4_any *rows = (row4_any *)to;                                                          \
        const uint32_t ones_ = WIDTH == 32 ? UINT32_MAX : ((uint32_t)1 << (WIDTH & 31)) - 1;      \
        const row4 mask = {ones_, ones_, ones_, ones_};                                           \
        _Pragma("GCC unroll 32") for (int row = 0; row < GROUP / 4; row++) {                      \
            const int word = row * WIDTH >> 5, shift = row * WIDTH & 31;                          \
            if (shift + WIDTH <= 32)                                                              \
                rows[row] = (words[word] >> shift) & mask;                                        \
            else                                                                                  \
                rows[row] = (words[word] >> shift | words[word + 1] << ((32 - shift) & 31)) & mask; \
        }                                                                                         \
    }
#define EACH_WIDTH(DO)                                                                            \
    DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15) DO(16) \
    DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23) DO(24) DO(25) DO(26) DO(27) DO(28) DO(29) DO(30) DO(31) DO(32)
#define NAME(WIDTH) , unpack_##WIDTH

static void unpack_0(const uint8_t *from, uint32_t *to) {
    (void)from;
    memset(to, 0, GROUP * sizeof *to);
}
EACH_WIDTH(UNPACK)
static void (*const UNPACKERS[33])(const uint8_t *, uint32_t *) = {unpack_0 EACH_WIDTH(NAME)};

static inline void unpack_group(const uint8_t *from, uint32_t *to, int width) { UNPACKERS[width](from, to); }

/* Steps of at least 1, less 1, to what they lead to from `before`: a running sum of each row, then of the rows. */
static inline void unpack_ascending(const uint8_t *from, uint32_t *to, int width, uint32_t before) {
    row4_any *rows = (row4_any *)to;
    row4 reached = {before, before, before, before};
    unpack_group(from, to, width);
    for (int row = 0; row < GROUP / 4; row++) {
        row4 x = rows[row] + (row4){1, 1, 1, 1};
        x += UP1(x);
        x += UP2(x);
        x += reached;
        rows[row] = x;
        reached = LAST(x);
    }
}

/* One value of a packed group. */
static inline uint32_t packed_at(const uint8_t *from, int i, int width) {
    const int bit = (i >> 2) * width, shift = bit & 31;
    const uint8_t *at = from + 16 * (bit >> 5) + 4 * (i & 3);
    uint32_t low, high;
    if (width == 0)
        return 0;
    memcpy(&low, at, 4);
    low >>= shift;
    if (shift + width > 32) {
        memcpy(&high, at + 16, 4);
        low |= high << (32 - shift);
    }
    return width == 32 ? low : low & (((uint32_t)1 << width) - 1);
}

/* The first i of at..count whose value is at least `wanted`, or count; values ascend. */
static inline int first_at_least(const uint32_t *values, int at, int count, uint32_t wanted) {
    int step = 1, half, size;
    const uint32_t *low;
    if (at >= count || values[at] >= wanted)
        return at;
    while (at + step < count && values[at + step] < wanted) { /* near ones first */
        at += step;
        step <<= 1;
    }
    low = values + at + 1;
    size = (at + step < count ? at + step : count) - at - 1;
    while (size > 0) {
        half = size >> 1;
        if (low[half] < wanted) {
            low += half + 1;
            size -= half + 1;
        } else
            size = half;
    }
    return (int)(low - values);
}
