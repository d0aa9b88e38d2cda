"""What blocks are folded into: a cell for each group, bin and column. For tsfold.pyx.

low, high and total leave out NaN, which are counted. Totals of whole numbers have 128 bits.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint64_t

from tsblock cimport DOUBLE, FLAG_NAN, FLAG_SUMMARY, FLAG_TOTAL, bits_from, double_of, range_of_doubles, ts_block


cdef extern from "tsfoldlanes.h":
    enum:
        WANT_LOW
        WANT_HIGH
        WANT_TOTAL
    void add_long(uint64_t* lower, int64_t* upper, int64_t x) noexcept nogil


cdef struct Cell:
    int64_t count
    uint64_t low
    uint64_t high
    uint64_t total
    int64_t upper
    int64_t nans


cdef inline void add_double(Cell* cell, int64_t count, double low, double high, double total) noexcept nogil:
    cell.count += count
    if low < double_of(cell.low):
        cell.low = bits_from(low)
    if high > double_of(cell.high):
        cell.high = bits_from(high)
    cell.total = bits_from(double_of(cell.total) + total)


cdef inline void add_whole(Cell* cell, int64_t count, int64_t low, int64_t high) noexcept nogil:
    cell.count += count
    if low < <int64_t>cell.low:
        cell.low = <uint64_t>low
    if high > <int64_t>cell.high:
        cell.high = <uint64_t>high


cdef inline void fold_doubles(Cell* cell, const uint64_t* values, int count) noexcept nogil:
    cdef double low = double_of(cell.low), high = double_of(cell.high), total = 0, x
    cdef int i, nans = 0
    if count >= 24:
        nans = count - range_of_doubles(values, count, &low, &high, &total)
        cell.nans += nans
        add_double(cell, count, low, high, total)
        return
    for i in range(count):
        x = double_of(values[i])
        if x != x:
            nans += 1
            continue
        total += x
        low = x if x < low else low
        high = x if x > high else high
    cell.nans += nans
    add_double(cell, count, low, high, total)


cdef inline void fold_wholes(Cell* cell, const uint64_t* values, int count) noexcept nogil:
    cdef int64_t low = INT64_MAX, high = INT64_MIN, x
    cdef int i
    for i in range(count):
        x = <int64_t>values[i]
        low = min(low, x)
        high = max(high, x)
        add_long(&cell.total, &cell.upper, x)
    add_whole(cell, count, low, high)


cdef inline void from_summary(Cell* cell, const ts_block* block) noexcept nogil:
    if block.codec >> 4 == DOUBLE:
        add_double(cell, block.present, double_of(block.low), double_of(block.high), double_of(block.total))
    else:
        add_whole(cell, block.present, <int64_t>block.low, <int64_t>block.high)
        add_long(&cell.total, &cell.upper, <int64_t>block.total)


cdef inline bint summary_serves(const ts_block* block, int want) noexcept nogil:
    if want == 0:
        return True
    if block.codec >> 4 == DOUBLE:
        return block.flags & (FLAG_SUMMARY | FLAG_NAN) == 0
    return block.flags & FLAG_SUMMARY == 0 and (block.flags & FLAG_TOTAL == 0 or want & WANT_TOTAL == 0)
