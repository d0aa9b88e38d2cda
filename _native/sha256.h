#pragma once
/* SHA-256 (FIPS 180-4) of many small messages, two at a time on the CPU's SHA instructions.
 *
 * sha256rnds2 takes its time but can be started again long before it ends: one message leaves the unit half idle. So
 * two lanes run interleaved, each on a message of its own. A lane that has finished takes the next message, whatever
 * its length; only the last message of a call may run alone.
 *
 *     message    prefix u8 (where there is one) | salt 16 (where there are salts) | body
 *     its blocks opening: what stands before the body, and the body's first bytes, copied together, if that fills a block
 *                middle:  whole blocks, read where they lie
 *                closing: the rest, 0x80, zeros, the length in bits: one block or two
 *
 * Where sha256_available() says 0 (another CPU, another compiler) there is no sha256_many: the caller asks hashlib, whose
 * assembly beats portable C.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    int prefix;                   /* the first byte of each message, or -1 */
    const uint8_t *salts;         /* 16 bytes for each message, or NULL */
    const uint8_t *const *bodies; /* where each body lies, or NULL: they lie in a row, */
    const size_t *lengths;        /* and how long it is */
    const uint8_t *row;           /* from here, */
    size_t stride;                /* each so long */
} sha256_batch;

enum { SHA256_SALT = 16 };

static inline const uint8_t *sha256_body(const sha256_batch *batch, size_t i, size_t *length) {
    *length = batch->bodies ? batch->lengths[i] : batch->stride;
    return batch->bodies ? batch->bodies[i] : batch->row + i * batch->stride;
}

/* What stands before body i; at most 17 bytes. */
static inline size_t sha256_head(const sha256_batch *batch, size_t i, uint8_t *head) {
    size_t used = 0;
    if (batch->prefix >= 0) head[used++] = (uint8_t)batch->prefix;
    if (batch->salts) {
        memcpy(head + used, batch->salts + i * SHA256_SALT, SHA256_SALT);
        used += SHA256_SALT;
    }
    return used;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <cpuid.h>
#include <immintrin.h>

#define SHA256_CODE __attribute__((target("sha,sse4.1,ssse3")))
#define SHA256_INLINE SHA256_CODE static inline __attribute__((always_inline))

static int sha256_available(void) { /* __builtin_cpu_supports knows "sha" only from gcc 14 on */
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

static const uint32_t sha256_constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

typedef struct {
    __m128i abef, cdgh;     /* the eight state words, in the order that the instructions want */
    const uint8_t *next;    /* the block to take next */
    size_t ready;           /* blocks that lie together from there on */
    const uint8_t *middle;  /* the blocks after those, */
    size_t middle_blocks;   /* 0 when they have had their turn */
    size_t closing_blocks;  /* 0 when they have had their turn */
    uint8_t *out;
    uint8_t opening[64];
    uint8_t closing[128];
} sha256_lane;

/* Take the next part of the message that is not empty. 0 when there is none left. */
SHA256_INLINE int sha256_turn(sha256_lane *lane) {
    if (lane->middle_blocks) {
        lane->next = lane->middle;
        lane->ready = lane->middle_blocks;
        lane->middle_blocks = 0;
        return 1;
    }
    lane->next = lane->closing;
    lane->ready = lane->closing_blocks;
    lane->closing_blocks = 0;
    return lane->ready != 0;
}

SHA256_INLINE void sha256_start(sha256_lane *lane, const sha256_batch *batch, size_t i, uint8_t *out) {
    uint8_t *rest = lane->closing;
    size_t length, used, total;
    const uint8_t *body = sha256_body(batch, i, &length);
    lane->abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
    lane->cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
    lane->out = out;
    lane->ready = 0;
    used = sha256_head(batch, i, lane->opening);
    total = used + length;
    if (used && total >= 64) {
        memcpy(lane->opening + used, body, 64 - used);
        body += 64 - used;
        length -= 64 - used;
        used = 0;
        lane->next = lane->opening;
        lane->ready = 1;
    }
    lane->middle = body;
    lane->middle_blocks = used ? 0 : length / 64;
    body += lane->middle_blocks * 64;
    length -= lane->middle_blocks * 64;
    memset(rest, 0, sizeof lane->closing);
    memcpy(rest, lane->opening, used);
    memcpy(rest + used, body, length);
    used += length;
    rest[used] = 0x80;
    lane->closing_blocks = used < 56 ? 1 : 2;
    uint64_t bits = __builtin_bswap64((uint64_t)total * 8);
    memcpy(rest + 64 * lane->closing_blocks - 8, &bits, 8);
    if (!lane->ready) sha256_turn(lane);
}

SHA256_INLINE void sha256_finish(const sha256_lane *lane) {
    const __m128i backwards = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm_storeu_si128((__m128i *)lane->out, _mm_shuffle_epi8(_mm_unpackhi_epi64(lane->cdgh, lane->abef), backwards));
    _mm_storeu_si128((__m128i *)lane->out + 1, _mm_shuffle_epi8(_mm_unpacklo_epi64(lane->cdgh, lane->abef), backwards));
}

/* The next `blocks` blocks of each of `count` lanes. count is a constant where this is called, so all loops over lanes
 * and rounds unroll, and everything but the constants stays in registers. */
SHA256_INLINE void sha256_blocks(sha256_lane *lanes, const int count, size_t blocks) {
    const __m128i big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m128i abef[2], cdgh[2], words[2][4];
    for (int l = 0; l < count; l++) {
        abef[l] = lanes[l].abef;
        cdgh[l] = lanes[l].cdgh;
        lanes[l].ready -= blocks;
    }
    while (blocks--) {
        for (int l = 0; l < count; l++) {
            for (int j = 0; j < 4; j++)
                words[l][j] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)lanes[l].next + j), big_endian);
            lanes[l].next += 64;
        }
#pragma GCC unroll 16
        for (int four = 0; four < 16; four++) { /* four of the 64 rounds */
            const __m128i constants = _mm_load_si128((const __m128i *)sha256_constants + four);
#pragma GCC unroll 2
            for (int l = 0; l < count; l++) {
                __m128i *w = words[l];
                const int now = four & 3, last = (four + 3) & 3;
                if (four >= 4) {
                    __m128i sum = _mm_sha256msg1_epu32(w[now], w[(four + 1) & 3]);
                    sum = _mm_add_epi32(sum, _mm_alignr_epi8(w[last], w[(four + 2) & 3], 4));
                    w[now] = _mm_sha256msg2_epu32(sum, w[last]);
                }
                const __m128i added = _mm_add_epi32(w[now], constants);
                cdgh[l] = _mm_sha256rnds2_epu32(cdgh[l], abef[l], added); /* two rounds: the old abef is the new cdgh */
                abef[l] = _mm_sha256rnds2_epu32(abef[l], cdgh[l], _mm_shuffle_epi32(added, 0x0e));
            }
        }
        for (int l = 0; l < count; l++) {
            lanes[l].abef = abef[l] = _mm_add_epi32(abef[l], lanes[l].abef);
            lanes[l].cdgh = cdgh[l] = _mm_add_epi32(cdgh[l], lanes[l].cdgh);
        }
    }
}

/* The digests of messages 0 to n - 1 of a batch, 32 bytes each. out and the messages must not overlap. */
SHA256_CODE static void sha256_many(const sha256_batch *batch, size_t n, uint8_t *out) {
    sha256_lane lanes[2];
    size_t started = 0;
    int busy[2] = {0, 0};
    for (int l = 0; l < 2 && started < n; l++, started++) {
        sha256_start(&lanes[l], batch, started, out + 32 * started);
        busy[l] = 1;
    }
    while (busy[0] && busy[1]) {
        sha256_blocks(lanes, 2, lanes[0].ready < lanes[1].ready ? lanes[0].ready : lanes[1].ready);
        for (int l = 0; l < 2; l++) {
            if (lanes[l].ready || sha256_turn(&lanes[l])) continue;
            sha256_finish(&lanes[l]);
            busy[l] = started < n;
            if (busy[l]) {
                sha256_start(&lanes[l], batch, started, out + 32 * started);
                started++;
            }
        }
    }
    for (int l = 0; l < 2; l++) {
        if (!busy[l]) continue;
        do sha256_blocks(&lanes[l], 1, lanes[l].ready);
        while (sha256_turn(&lanes[l]));
        sha256_finish(&lanes[l]);
    }
}

#else
static int sha256_available(void) { return 0; }
static void sha256_many(const sha256_batch *batch, size_t n, uint8_t *out) { (void)batch, (void)n, (void)out; }
#endif
