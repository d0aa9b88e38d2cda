"""Where bins of time begin in a block, and where they cut its lanes. For tsfold.pyx.

Regular times: arithmetic, and without a division once a bin is a whole number of steps. Others: one binary search an
edge. Never a look at each row. Times that do not rise were damaged: they give pieces nobody can use, in bounds.
"""

from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint64_t
from libc.string cimport memcpy

from tsblock cimport CORRUPTED, DEEP, FINE, MOST, REGULAR, step_of, ts_block
from tsdecode cimport Scratch, numbers_of

cdef enum:  # counters
    _PRUNED = 0
    _SUMMARISED = 1
    _IN_LANES = 2
    _DECODED = 3
    _BYTES = 4
    _FOUND = 5
    _COUNTERS = 6


cdef struct Span:
    int64_t low         # times, both included
    int64_t high
    int64_t width       # of a bin; 0: there is one
    int64_t first_bin
    int64_t bins
    int64_t* counters


cdef struct Pieces:     # of a block: the stretches of rows, or of values, that fall into one bin
    int count
    int from_[1024]
    int until[1024]
    int64_t bin[1024]
    # as lanes see them; fits: no lane is cut twice
    bint planned
    bint fits
    int full            # lanes that it was planned for
    int32_t cuts[16]
    int before[16]      # the piece, or -1
    int after[16]


cdef inline int64_t floor_division(int64_t a, int64_t b) noexcept nogil:
    return a // b - (a % b < 0)  # in C: truncated toward 0; b > 0


cdef inline int first_not_before(const int64_t* times, int low, int high, int64_t edge) noexcept nogil:
    """The first of times[low:high], which rise, that is >= edge."""
    cdef int middle
    while low < high:
        middle = (low + high) >> 1
        if times[middle] < edge:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline int rows_before(int64_t first, int64_t step, int rows, int64_t edge) noexcept nogil:
    """How many of first, first + step ... are < edge; step > 0."""
    if edge <= first:
        return 0
    return <int>min(<uint64_t>rows, (<uint64_t>edge - <uint64_t>first + <uint64_t>step - 1) // <uint64_t>step)


cdef inline int cut_times(const ts_block* block, const Span* span, Scratch* scratch, Pieces* pieces) noexcept nogil:
    """The pieces of a block of times that are between low and high and in a bin."""
    cdef int kind = block.codec & 15, rows = block.rows, row, until, end, per_bin = 0
    cdef int64_t first = <int64_t>block.first, last = <int64_t>block.last, step = 1, time, bin, edge
    cdef const int64_t* times = NULL
    pieces.count = 0
    pieces.planned = False
    if block.present != rows:
        return CORRUPTED
    if span.low <= first and last <= span.high and (
            span.width == 0 or floor_division(first, span.width) == floor_division(last, span.width)):
        bin = floor_division(first, span.width) - span.first_bin if span.width else 0
        if 0 <= bin < span.bins:  # all of it in one piece
            pieces.count = 1
            pieces.from_[0] = 0
            pieces.until[0] = rows
            pieces.bin[0] = bin
        return FINE
    if kind == REGULAR and rows > 1 and last > first:
        step = <int64_t>step_of(block)
        if step <= 0:
            return CORRUPTED
        if span.width and span.width % step == 0 and span.width // step < MOST:
            per_bin = <int>(span.width // step)
    else:
        if numbers_of(block, scratch):
            return CORRUPTED
        memcpy(scratch.long_codes, scratch.values, rows * 8)
        times = <const int64_t*>scratch.long_codes
        span.counters[_DECODED] += 1
    if times == NULL:
        row = rows_before(first, step, rows, span.low)
        end = rows_before(first, step, rows, span.high + 1) if span.high < INT64_MAX else rows
    else:
        row = first_not_before(times, 0, rows, span.low)
        end = first_not_before(times, 0, rows, span.high + 1) if span.high < INT64_MAX else rows
    while row < end:
        time = first + row * step if times == NULL else times[row]
        until = end
        bin = 0
        if span.width:
            bin = floor_division(time, span.width)
            edge = bin * span.width + span.width
            bin -= span.first_bin
            if edge > time:  # else it is beyond all times
                if times == NULL:
                    until = rows_before(first, step, end, edge)
                else:
                    until = first_not_before(times, row, end, edge)
        if until <= row:  # times that do not rise: they were damaged
            until = row + 1
        if bin >= span.bins:
            break
        if bin >= 0:
            pieces.from_[pieces.count] = row
            pieces.until[pieces.count] = until
            pieces.bin[pieces.count] = bin
            pieces.count += 1
        row = until
        if per_bin:  # whole bins follow: no division any more
            while row + per_bin <= end and bin + 1 < span.bins:
                bin += 1
                if bin >= 0:
                    pieces.from_[pieces.count] = row
                    pieces.until[pieces.count] = row + per_bin
                    pieces.bin[pieces.count] = bin
                    pieces.count += 1
                row += per_bin
    return FINE


cdef inline void plan_lanes(Pieces* pieces, int full) noexcept nogil:
    """Where pieces cut lanes, and which piece the parts of each lane belong to."""
    cdef int i, lane, start, stop, low, high
    pieces.planned = True
    pieces.full = full
    pieces.fits = False
    for lane in range(16):
        pieces.cuts[lane] = DEEP
        pieces.before[lane] = -1
        pieces.after[lane] = -1
    if pieces.count > 33:
        return
    for i in range(pieces.count):
        start = pieces.from_[i]
        stop = min(pieces.until[i], full * DEEP)
        if start >= stop:
            continue
        for lane in range(start >> 6, ((stop - 1) >> 6) + 1):
            low = max(start - lane * DEEP, 0)
            high = min(stop - lane * DEEP, <int>DEEP)
            if low == 0:
                if high < DEEP:
                    if pieces.cuts[lane] < DEEP and pieces.cuts[lane] != high:
                        return
                    pieces.cuts[lane] = high
                pieces.before[lane] = i
            elif high == DEEP:
                if pieces.cuts[lane] < DEEP and pieces.cuts[lane] != low:
                    return
                pieces.cuts[lane] = low
                pieces.after[lane] = i
            else:
                return
    pieces.fits = True
