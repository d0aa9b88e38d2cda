#pragma once
#include <stdint.h>
#include "dispatch.h"

/* Whole numbers in `width` bits each, 1 to 32, in runs of 1,024: 32 rows of 32 lanes.
 *
 *     value i of a run    row i / 32, lane i % 32
 *     its bits            row * width ... of the lane's own stream of 32-bit words
 *     word w of a lane    at w * 32 + lane
 *
 * So the 32 neighbours of a row have the same shift and mask and lie side by side: a row is one loop without a carried
 * dependency, which the compiler turns into a few vector instructions. That is the idea of FastLanes (Afroozeh and
 * Boncz, VLDB 2023), here with lanes of 32 bits and no reordering of rows. Words are little-endian, as is the machine.
 *
 * Callers have checked that packed holds runs * width * 32 words and out (values) runs * 1,024 items.
 */

#define RUN 1024
#define LANES 32

#define BITPACK_UNPACK(NAME, OUT)                                                                          \
    static MULTIVERSION int NAME(const uint32_t *restrict packed, OUT *restrict out, int64_t runs, int width) { \
        const uint32_t mask = width == 32 ? UINT32_MAX : ((uint32_t)1 << width) - 1;                       \
        for (int64_t run = 0; run < runs; run++, packed += width * LANES, out += RUN)                      \
            for (int row = 0; row < RUN / LANES; row++) {                                                  \
                const int shift = row * width & 31;                                                        \
                const uint32_t *restrict word = packed + (row * width >> 5) * LANES;                       \
                OUT *restrict to = out + row * LANES;                                                      \
                if (shift + width <= 32)                                                                   \
                    for (int lane = 0; lane < LANES; lane++)                                               \
                        to[lane] = (OUT)(word[lane] >> shift & mask);                                      \
                else                                                                                       \
                    for (int lane = 0; lane < LANES; lane++)                                               \
                        to[lane] = (OUT)((word[lane] >> shift | word[lane + LANES] << (32 - shift)) & mask); \
            }                                                                                              \
        return 0;                                                                                          \
    }

BITPACK_UNPACK(bitpack_unpack8, uint8_t)
BITPACK_UNPACK(bitpack_unpack16, uint16_t)
BITPACK_UNPACK(bitpack_unpack32, uint32_t)

/* The inverse; packed is zero when it begins. */
static MULTIVERSION int bitpack_pack(const uint32_t *restrict values, uint32_t *restrict packed, int64_t runs, int width) {
    for (int64_t run = 0; run < runs; run++, packed += width * LANES, values += RUN)
        for (int row = 0; row < RUN / LANES; row++) {
            const int shift = row * width & 31;
            uint32_t *restrict word = packed + (row * width >> 5) * LANES;
            const uint32_t *restrict from = values + row * LANES;
            for (int lane = 0; lane < LANES; lane++)
                word[lane] |= from[lane] << shift;
            if (shift + width > 32)
                for (int lane = 0; lane < LANES; lane++)
                    word[lane + LANES] |= from[lane] >> (32 - shift);
        }
    return 0;
}
