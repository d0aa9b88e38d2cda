#pragma once
#include <stdint.h>
#include <string.h>
#include "dispatch.h"

/* Up to 1,024 whole numbers in `width` bits each, 0 to 32, in 16 lanes of 64 neighbours.
 *
 *     value i               lane i / 64, position i % 64
 *     spread out            row = position: the 16 lanes of a position side by side
 *     packed                the 64 positions of a lane are a stream of 2 * width words of 32 bits;
 *                           word k of lane l stands at k * 16 + l
 *
 * So the neighbours of a row lie in different lanes: unpacking, adding up differences and folding go on in all lanes
 * at once and never carry from one to the next, while a difference is still one between true neighbours in time. That
 * is the idea of FastLanes (Afroozeh and Boncz, VLDB 2023), turned by a quarter.
 *
 * Eight lanes are a vector of 256 bits; written as such, because a compiler keeps vectors in registers and arrays not.
 *
 * Only kernels stand here, which trust their arguments; tsdecode.pxd checks what comes from outside.
 */

#define LANES 16
#define DEEP 64
#define MOST 1024 /* LANES * DEEP */
#define SHORT_BITS 26 /* numbers below 2^26: 64 of them add up to less than 2^32 */

typedef int32_t ints __attribute__((vector_size(32)));
typedef uint32_t words __attribute__((vector_size(32)));
typedef ints loose_ints __attribute__((aligned(1), may_alias));
typedef words loose_words __attribute__((aligned(1), may_alias));

static const double POWERS[16] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* A double by its bits, and back: the same memory is both, so it is read in a way that may alias. */
typedef double loose_double __attribute__((may_alias));
static inline double double_of(uint64_t bits) { double x; memcpy(&x, &bits, 8); return x; }
static inline uint64_t bits_from(double x) { uint64_t bits; memcpy(&bits, &x, 8); return bits; }

static inline int bits_of(uint64_t x) { return x ? 64 - __builtin_clzll(x) : 0; }

/* Eight lanes of the row that begins `bit` bits into each lane's stream. */
static inline __attribute__((always_inline)) void row_of(const uint32_t *packed, int bit, int width, uint32_t mask,
                                                         loose_words *out) {
    const int shift = bit & 31;
    const uint32_t *word = packed + (bit >> 5) * LANES;
    words row = *(const loose_words *)word >> shift;
    if (shift + width > 32)
        row |= *(const loose_words *)(word + LANES) << (32 - shift);
    *out = row & mask;
}

static inline uint32_t mask_of(int width) { return width == 32 ? UINT32_MAX : ((uint32_t)1 << width) - 1; }

/* packed: 2 * width * 16 words -> out: 1,024, spread out. width 1 to 32. */
static MULTIVERSION int lanes_unpack(const uint32_t *packed, uint32_t *out, int width) {
    const uint32_t mask = mask_of(width);
    for (int half = 0; half < LANES; half += 8)
        for (int row = 0; row < DEEP; row++)
            row_of(packed + half, row * width, width, mask, (loose_words *)(out + row * LANES + half));
    return 0;
}

/* The inverse. */
static MULTIVERSION int lanes_pack(const uint32_t *values, uint32_t *packed, int width) {
    memset(packed, 0, (size_t)width * 2 * LANES * 4);
    for (int row = 0; row < DEEP; row++) {
        const int shift = row * width & 31;
        uint32_t *word = packed + (row * width >> 5) * LANES;
        const uint32_t *from = values + row * LANES;
        for (int lane = 0; lane < LANES; lane++)
            word[lane] |= from[lane] << shift;
        if (shift + width > 32)
            for (int lane = 0; lane < LANES; lane++)
                word[lane + LANES] |= from[lane] >> (32 - shift);
    }
    return 0;
}

/* Differences, spread out and relative to the least of them, become values relative to the lowest; in place.
 * starts: the first of each lane. It wraps, so hostile bytes make wrong numbers and nothing worse. */
static MULTIVERSION int lanes_add_up(uint32_t *values, const uint32_t *starts, uint32_t least) {
    for (int half = 0; half < LANES; half += 8) {
        words sum = *(const loose_words *)(starts + half);
        *(loose_words *)(values + half) = sum;
        for (int row = 1; row < DEEP; row++) {
            loose_words *at = (loose_words *)(values + row * LANES + half);
            sum += *at + least;
            *at = sum;
        }
    }
    return 0;
}

/* The same in 64 bits. */
static MULTIVERSION int lanes_add_up_long(uint64_t *values, const uint64_t *starts, uint64_t least) {
    for (int lane = 0; lane < LANES; lane++)
        values[lane] = starts[lane];
    for (int row = 1; row < DEEP; row++)
        for (int lane = 0; lane < LANES; lane++)
            values[row * LANES + lane] += values[(row - 1) * LANES + lane] + least;
    return 0;
}

/* low + value, spread out, as doubles / 10^exponent in order. scratch: 1,024 doubles. */
static MULTIVERSION int lanes_doubles(const uint32_t *values, int64_t low, int exponent, double *scratch, void *doubles) {
    loose_double *out = doubles;
    const double scale = POWERS[exponent];
    const double base = (double)low; /* |low + value| < 2^53: exact, for what this module has written */
    if (exponent)
        for (int i = 0; i < MOST; i++)
            scratch[i] = (base + (double)(int32_t)values[i]) / scale;
    else
        for (int i = 0; i < MOST; i++)
            scratch[i] = base + (double)(int32_t)values[i];
    for (int lane = 0; lane < LANES; lane++)
        for (int row = 0; row < DEEP; row++)
            out[lane * DEEP + row] = scratch[row * LANES + lane];
    return 0;
}

/* low + value * factor, spread out, in order. */
static MULTIVERSION int lanes_longs(const uint32_t *values, uint64_t low, uint64_t factor, uint64_t *out) {
    for (int lane = 0; lane < LANES; lane++)
        for (int row = 0; row < DEEP; row++)
            out[lane * DEEP + row] = (low + values[row * LANES + lane]) * factor;
    return 0;
}

/* The same from 64 bits. */
static MULTIVERSION int lanes_longs_long(const uint64_t *values, uint64_t low, uint64_t factor, uint64_t *out) {
    for (int lane = 0; lane < LANES; lane++)
        for (int row = 0; row < DEEP; row++)
            out[lane * DEEP + row] = (low + values[row * LANES + lane]) * factor;
    return 0;
}

/* Values in order -> relative to low, spread out. */
static MULTIVERSION int lanes_spread(const uint64_t *values, uint64_t low, uint64_t *out) {
    for (int row = 0; row < DEEP; row++)
        for (int lane = 0; lane < LANES; lane++)
            out[row * LANES + lane] = values[lane * DEEP + row] - low;
    return 0;
}

/* Differences of spread-out values to the position before; 0 at position 0. Least and greatest of the others. */
static MULTIVERSION int lanes_differences(const uint64_t *values, int64_t *out, int64_t *least, int64_t *greatest) {
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (int lane = 0; lane < LANES; lane++)
        out[lane] = 0;
    for (int i = LANES; i < MOST; i++) {
        const int64_t difference = (int64_t)(values[i] - values[i - LANES]);
        out[i] = difference;
        low = difference < low ? difference : low;
        high = difference > high ? difference : high;
    }
    *least = low;
    *greatest = high;
    return 0;
}

/* Nearest whole number of |x| < 2^51 without a call: adding 1.5 * 2^52 leaves it in the low bits of the mantissa. */
static inline int64_t nearest(double x) {
    const double magic = 6755399441055744.0;
    return (int64_t)(bits_from(x + magic) - bits_from(magic));
}

/* decimals[i] = values[i] * 10^exponent to the nearest; returns how many do not come back bit for bit by division.
 * Division, not a product with 10^-exponent: it is exact for every decimal of up to 15 digits. NaN and -0.0 miss. */
static MULTIVERSION int decimals_of(const void *doubles, int n, int exponent, int64_t *restrict decimals) {
    const loose_double *restrict values = doubles;
    const double scale = POWERS[exponent];
    int64_t misses = 0;
    for (int i = 0; i < n; i++) {
        const int64_t decimal = nearest(values[i] * scale);
        const double back = (double)decimal / scale;
        decimals[i] = decimal;
        misses += bits_from(back) != bits_from(values[i]);
    }
    return (int)misses;
}

/* Least, greatest and (wrapping) sum. */
static MULTIVERSION int range_of(const int64_t *values, int n, int64_t *low, int64_t *high, uint64_t *total) {
    int64_t least = INT64_MAX, greatest = INT64_MIN;
    uint64_t sum = 0;
    for (int i = 0; i < n; i++) {
        least = values[i] < least ? values[i] : least;
        greatest = values[i] > greatest ? values[i] : greatest;
        sum += (uint64_t)values[i];
    }
    *low = least;
    *high = greatest;
    *total = sum;
    return 0;
}

/* Least, greatest, sum and number of the doubles that are not NaN: eight of each, so that none waits for the other. */
static MULTIVERSION int range_of_doubles(const void *doubles, int n, double *low, double *high, double *total) {
    const loose_double *values = doubles;
    double least[8], greatest[8], sum[8];
    int64_t numbers[8];
    int i = 0, count = 0;
    for (int k = 0; k < 8; k++) {
        least[k] = __builtin_inf();
        greatest[k] = -__builtin_inf();
        sum[k] = 0;
        numbers[k] = 0;
    }
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) {
            const double x = values[i + k];
            least[k] = x < least[k] ? x : least[k];
            greatest[k] = x > greatest[k] ? x : greatest[k];
            sum[k] += x == x ? x : 0.0;
            numbers[k] += x == x;
        }
    for (; i < n; i++) {
        const double x = values[i];
        least[0] = x < least[0] ? x : least[0];
        greatest[0] = x > greatest[0] ? x : greatest[0];
        sum[0] += x == x ? x : 0.0;
        numbers[0] += x == x;
    }
    *low = least[0];
    *high = greatest[0];
    *total = 0;
    for (int k = 0; k < 8; k++) {
        *low = least[k] < *low ? least[k] : *low;
        *high = greatest[k] > *high ? greatest[k] : *high;
        *total += sum[k];
        count += (int)numbers[k];
    }
    return count;
}
