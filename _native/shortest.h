#pragma once
/* The shortest decimal digits that read back as the same double, written as ECMAScript writes numbers.
 *
 *     0.1 -> 0.1    1e20 -> 100000000000000000000    1e21 -> 1e+21    0.000001 -> 0.000001    1e-7 -> 1e-7
 *
 * Raffaello Giulietti, "The Schubfach way to render doubles" (2020). All reals of an interval, half way to either
 * neighbour, round to the double v = c 2^q. Let 10^k be the largest power of ten that is not wider than the interval:
 * then the interval holds a multiple of 10^k, and of 10^(k+1) at most one (pigeonholes: Schubfaecher). If there is that
 * one, it is the shortest; else it is the multiple of 10^k nearest to v.
 *
 * v and the ends of its interval are compared in quarters of 10^k: a product of 64 and 128 bits, of which the whole part
 * is kept, its lowest bit set if anything was left over ("round to odd"). The paper proves that such a product decides
 * every comparison right, for all doubles.
 *
 * The powers are filled in at import by whoever includes this, in exact integers: 617 divisions instead of 1,234
 * constants that nobody can check.
 *
 *     shortest_powers[i]    ceil(10^e 2^(127 - floor(log2 10^e))) for e = i + SHORTEST_LOWEST: 128 bits, high half first
 */
#include <stdint.h>
#include <string.h>

enum { SHORTEST_LOWEST = -292, SHORTEST_COUNT = 617, SHORTEST_ROOM = 32 };

static uint64_t shortest_powers[SHORTEST_COUNT][2];

/* floor(log2 10^e), floor(log10 2^e), floor(log10 3/4 2^e), in fixed point: exact for |e| < 1,650 */
static inline int shortest_log2_of_power(int e) { return (int)((e * 1741647LL) >> 19); }
static inline int shortest_log10(int e) { return (int)((e * 1262611LL) >> 22); }
static inline int shortest_log10_of_three_quarters(int e) { return (int)((e * 1262611LL - 524031) >> 22); }

/* floor(power * factor / 2^128), and its lowest bit set if that was not exact */
static inline uint64_t shortest_scaled(const uint64_t *power, uint64_t factor) {
    unsigned __int128 low = (unsigned __int128)power[1] * factor;
    unsigned __int128 product = (unsigned __int128)power[0] * factor + (uint64_t)(low >> 64);
    return (uint64_t)(product >> 64) | ((uint64_t)product > 1); /* the paper's threshold: the power was rounded up */
}

/* The digits of a finite double above zero, as an integer without zeros at its end: v reads as digits * 10^exponent. */
static inline uint64_t shortest_digits(double v, int *exponent) {
    uint64_t bits, c, digits;
    memcpy(&bits, &v, 8);
    const uint64_t fraction = bits & ((1ULL << 52) - 1);
    const int biased = (int)(bits >> 52 & 0x7ff);
    c = biased ? fraction | 1ULL << 52 : fraction;
    const int q = (biased ? biased : 1) - 1075;
    const int uneven = fraction == 0 && biased > 1; /* a power of two: the neighbour below is nearer */
    const int k = uneven ? shortest_log10_of_three_quarters(q) : shortest_log10(q);
    const uint64_t *power = shortest_powers[-k - SHORTEST_LOWEST];
    const int shift = q + shortest_log2_of_power(-k) + 1;
    const uint64_t odd = c & 1; /* the ends of the interval round to an even c only */
    const uint64_t low = shortest_scaled(power, (4 * c - 2 + (uint64_t)uneven) << shift) + odd;
    const uint64_t here = shortest_scaled(power, (4 * c) << shift);
    const uint64_t high = shortest_scaled(power, (4 * c + 2) << shift) - odd;

    const uint64_t tens = here / 40;
    const int ten_below = low <= 40 * tens, ten_above = 40 * tens + 40 <= high;
    if (ten_below != ten_above) {
        digits = tens + (uint64_t)ten_above;
        *exponent = k + 1;
    } else {
        const uint64_t ones = here / 4;
        const int below = low <= 4 * ones, above = 4 * ones + 4 <= high;
        const int nearer_above = here > 4 * ones + 2 || (here == 4 * ones + 2 && (ones & 1)); /* half way: to even */
        digits = ones + (uint64_t)(below != above ? above : nearer_above);
        *exponent = k;
    }
    while (digits % 10 == 0) {
        digits /= 10;
        ++*exponent;
    }
    return digits;
}

/* Decimal digits of n, without a sign; returns how many bytes: at most 20. */
static inline int shortest_write_integer(uint64_t n, uint8_t *out) {
    uint8_t reversed[20];
    int size = 0;
    do {
        reversed[size++] = (uint8_t)('0' + n % 10);
        n /= 10;
    } while (n);
    for (int i = 0; i < size; i++) out[i] = reversed[size - 1 - i];
    return size;
}

/* ECMA-262, Number::toString(v, 10), for a finite double above zero; at most 25 bytes. */
static inline int shortest_write(double v, uint8_t *out) {
    uint8_t digits[20];
    int exponent;
    const uint64_t significand = shortest_digits(v, &exponent);
    const int count = shortest_write_integer(significand, digits);
    const int point = count + exponent; /* how many digits stand before the decimal point */
    uint8_t *at = out;
    if (count <= point && point <= 21) {
        memcpy(at, digits, (size_t)count);
        memset(at + count, '0', (size_t)exponent);
        return point;
    }
    if (0 < point && point <= 21) {
        memcpy(at, digits, (size_t)point);
        at[point] = '.';
        memcpy(at + point + 1, digits + point, (size_t)(count - point));
        return count + 1;
    }
    if (-6 < point && point <= 0) {
        memcpy(at, "0.00000", 7);
        memcpy(at + 2 - point, digits, (size_t)count);
        return 2 - point + count;
    }
    *at++ = digits[0];
    if (count > 1) {
        *at++ = '.';
        memcpy(at, digits + 1, (size_t)(count - 1));
        at += count - 1;
    }
    *at++ = 'e';
    *at++ = point > 0 ? '+' : '-';
    at += shortest_write_integer((uint64_t)(point > 0 ? point - 1 : 1 - point), at);
    return (int)(at - out);
}
