#pragma once
#include "tslanes.h"

/* Folding packed numbers where they lie: lows, highs and totals of 16 lanes at once, without putting them in order.
 *
 *     lane   |----- before -----|--- after ---|       each lane may be cut once, by the edge of a bin
 *
 * Order does not matter to these three, so nothing is transposed, divided or stored: numbers are unpacked into
 * registers and folded there, before they are doubles at all. A lane that no edge cuts is `before` throughout.
 *
 * Numbers are relative to the lowest of the block, below 2^26: 64 of them add up to less than 2^32. A low is the high of
 * what is missing to 2^26 - 1, so that a number that is masked out, 0, counts for neither.
 */

#define WANT_LOW 1
#define WANT_HIGH 2
#define WANT_TOTAL 4
#define TOP ((1 << SHORT_BITS) - 1)

typedef struct {
    uint32_t low[2][LANES], high[2][LANES], total[2][LANES]; /* before, after */
} lane_folds;

/* By place: vectors of 32 bytes as arguments are an ABI of their own, and gcc says so. */
static inline __attribute__((always_inline)) void raise_to(ints *high, const ints *x) {
    const ints greater = *x > *high;
    *high = (*x & greater) | (*high & ~greater);
}

static inline __attribute__((always_inline)) void lanes_fold_as(
    const uint32_t *packed, int width, const uint32_t *starts, int32_t least, const int32_t *cuts, lane_folds *folds,
    const int delta, const int want) {
    const uint32_t mask = mask_of(width);
    for (int half = 0; half < LANES; half += 8) {
        const ints cut = *(const loose_ints *)(cuts + half);
        ints high_before = {0}, high_after = {0}, low_before = {0}, low_after = {0}, before = {0}, all = {0}, x;
        if (delta)
            x = *(const loose_ints *)(starts + half) - least;
        for (int row = 0; row < DEEP; row++) {
            words code;
            row_of(packed + half, row * width, width, mask, &code);
            if (delta)
                x += (ints)code + least; /* position 0 has the code 0 - least of the differences: see lanes_fold */
            else
                x = (ints)code;
            const ints early = cut > row;
            const ints mine = x & early;
            if (want & WANT_HIGH) {
                const ints other = x & ~early;
                raise_to(&high_before, &mine);
                raise_to(&high_after, &other);
            }
            if (want & WANT_LOW) {
                const ints missing = TOP - x;
                const ints my_missing = missing & early, other_missing = missing & ~early;
                raise_to(&low_before, &my_missing);
                raise_to(&low_after, &other_missing);
            }
            if (want & WANT_TOTAL) {
                before += mine;
                all += x;
            }
        }
        if (want & WANT_HIGH) {
            *(loose_ints *)(folds->high[0] + half) = high_before;
            *(loose_ints *)(folds->high[1] + half) = high_after;
        }
        if (want & WANT_LOW) {
            *(loose_ints *)(folds->low[0] + half) = TOP - low_before;
            *(loose_ints *)(folds->low[1] + half) = TOP - low_after;
        }
        if (want & WANT_TOTAL) {
            *(loose_ints *)(folds->total[0] + half) = before;
            *(loose_ints *)(folds->total[1] + half) = all - before;
        }
    }
}

/* packed: 16 lanes of `width` bits, 0 to 32 (0: 16 words that can be read). starts: NULL where codes are the numbers.
 * cuts: of each lane the first position after the edge, 64 where there is none. Only what is wanted is written.
 *
 * Of differences the code at position 0 is 0, so x is `least` too high from there on: it begins that much lower. */
static MULTIVERSION int lanes_fold(const uint32_t *packed, int width, const uint32_t *starts, int32_t least,
                                   const int32_t *cuts, int want, lane_folds *folds) {
#define CASE(WANT)                                                                                 \
    case WANT:                                                                                     \
        if (starts)                                                                                \
            lanes_fold_as(packed, width, starts, least, cuts, folds, 1, WANT);                     \
        else                                                                                       \
            lanes_fold_as(packed, width, starts, least, cuts, folds, 0, WANT);                     \
        break;
    switch (want) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
    }
#undef CASE
    return 0;
}

/* A number of 128 bits grows. */
static inline void add_long(uint64_t *lower, int64_t *upper, int64_t x) {
    const uint64_t sum = *lower + (uint64_t)x;
    *upper += (x >> 63) + (sum < *lower);
    *lower = sum;
}

/* count numbers first, first + step ... are added to it. */
static inline void add_steps(uint64_t *lower, int64_t *upper, int64_t first, int64_t step, int64_t count) {
#ifdef __SIZEOF_INT128__
    __int128 sum = (__int128)first * count + (__int128)step * (count * (count - 1) / 2);
    const __int128 total = (__int128)(((unsigned __int128)(uint64_t)*upper << 64) | *lower);
    sum += total;
    *lower = (uint64_t)sum;
    *upper = (int64_t)(sum >> 64);
#else
    for (int64_t i = 0; i < count; i++)
        add_long(lower, upper, first + i * step);
#endif
}
