"""Comparisons to masks: a column with a range of constants, with another column, with a set; whole numbers and floats.

Whole numbers stay in their narrow width: value = base + data, so the *constant* loses the base, once, instead of the
column gaining it row by row. Every comparison with a constant is a range:

    v = 5  5..5     v <> 5  not 5..5     v < 5  ..4     v >= 5  5..     v BETWEEN 3 AND 5  3..5

A mask is uint8, 0 or 1. `also` ANDs the result to what the mask holds: the conjuncts of a WHERE meet in one mask.

Floats compare as SQL orders them: NaN equals NaN and is above every number; -0.0 equals 0.0.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from dispatch cimport multiversion_int
from vectors cimport Vector, close_vector, closed, narrow, open_vector

ctypedef fused other:
    uint8_t
    uint16_t
    uint32_t
    int64_t

cdef enum:
    FAR = 1 << 30


# ---- whole numbers -----------------------------------------------------------------------------------------------


def between(values, int64_t low, int64_t high, mask, *, bint negate=False, bint also=False):
    """low <= value <= high, or its negation. The limits may lie outside of what the width of values holds."""
    cdef Vector source = closed(), target = closed()
    cdef int64_t most
    try:
        open_vector(&source, values, 0)
        open_vector(&target, mask, 1, source.n, True)
        if source.width < 8:
            most = (<int64_t>1 << (8 * source.width)) - 1
            low = 0 if low < 0 else low
            high = most if high > most else high
        with nogil:
            if low > high:
                if not (negate and also):
                    memset(target.data, negate, target.n)
            elif source.width == 1:
                between_in[uint8_t](&source, low, high, &target, negate, also)
            elif source.width == 2:
                between_in[uint16_t](&source, low, high, &target, negate, also)
            elif source.width == 4:
                between_in[uint32_t](&source, low, high, &target, negate, also)
            else:
                between_in[int64_t](&source, low, high, &target, negate, also)
    finally:
        close_vector(&source)
        close_vector(&target)


cdef int between_in(
    Vector* values, narrow low, narrow high, Vector* mask, uint8_t negate, bint also
) noexcept nogil:
    return between_loop(<const narrow*>values.data, values.n, low, high, <uint8_t*>mask.data, negate, also)


cdef multiversion_int between_loop(
    const narrow* values, Py_ssize_t n, narrow low, narrow high, uint8_t* mask, uint8_t negate, bint also
) noexcept nogil:
    cdef Py_ssize_t i
    if also:
        for i in range(n):
            mask[i] &= <uint8_t>((values[i] >= low) & (values[i] <= high)) ^ negate
    else:
        for i in range(n):
            mask[i] = <uint8_t>((values[i] >= low) & (values[i] <= high)) ^ negate
    return 0


def compare(bint less, a, b, int64_t delta, mask, *, bint negate=False):
    """a + delta < b (less), or a + delta = b, or its negation. a + delta must fit 64 bits in every row."""
    cdef Vector first = closed(), second = closed(), target = closed()
    try:
        open_vector(&first, a, 0)
        open_vector(&second, b, 0, first.n)
        open_vector(&target, mask, 1, first.n, True)
        with nogil:
            if first.width == 1:
                compare_width(less, <const uint8_t*>first.data, &second, delta, <uint8_t*>target.data, negate)
            elif first.width == 2:
                compare_width(less, <const uint16_t*>first.data, &second, delta, <uint8_t*>target.data, negate)
            elif first.width == 4:
                compare_width(less, <const uint32_t*>first.data, &second, delta, <uint8_t*>target.data, negate)
            else:
                compare_width(less, <const int64_t*>first.data, &second, delta, <uint8_t*>target.data, negate)
    finally:
        close_vector(&first)
        close_vector(&second)
        close_vector(&target)


cdef int compare_width(
    bint less, const narrow* a, Vector* b, int64_t delta, uint8_t* mask, uint8_t negate
) noexcept nogil:
    if b.width == 1:
        return compare_loop(less, a, <const uint8_t*>b.data, b.n, delta, mask, negate)
    if b.width == 2:
        return compare_loop(less, a, <const uint16_t*>b.data, b.n, delta, mask, negate)
    if b.width == 4:
        return compare_loop(less, a, <const uint32_t*>b.data, b.n, delta, mask, negate)
    return compare_loop(less, a, <const int64_t*>b.data, b.n, delta, mask, negate)


cdef multiversion_int compare_loop(
    bint less, const narrow* a, const other* b, Py_ssize_t n, int64_t delta, uint8_t* mask, uint8_t negate
) noexcept nogil:
    """Two narrow columns are compared in 32 bits, four times the lanes of 64; without a delta in their own width."""
    cdef Py_ssize_t i
    cdef int32_t small = <int32_t>delta
    if delta == 0 and less:
        for i in range(n):
            mask[i] = <uint8_t>(a[i] < b[i]) ^ negate
    elif delta == 0:
        for i in range(n):
            mask[i] = <uint8_t>(a[i] == b[i]) ^ negate
    elif sizeof(narrow) <= 2 and sizeof(other) <= 2 and -FAR < delta < FAR:
        if less:
            for i in range(n):
                mask[i] = <uint8_t>(<int32_t>a[i] + small < <int32_t>b[i]) ^ negate
        else:
            for i in range(n):
                mask[i] = <uint8_t>(<int32_t>a[i] + small == <int32_t>b[i]) ^ negate
    elif less:
        for i in range(n):
            mask[i] = <uint8_t>(<int64_t>a[i] + delta < <int64_t>b[i]) ^ negate
    else:
        for i in range(n):
            mask[i] = <uint8_t>(<int64_t>a[i] + delta == <int64_t>b[i]) ^ negate
    return 0


def member(values, int64_t low, table, mask):
    """table[value - low], 0 where that is outside of the table: membership of a set by its bitmap."""
    cdef Vector source = closed(), words = closed(), target = closed()
    try:
        open_vector(&source, values, 0)
        open_vector(&words, table, 1)
        open_vector(&target, mask, 1, source.n, True)
        with nogil:
            if source.width == 1:
                member_loop(<const uint8_t*>source.data, source.n, low, &words, <uint8_t*>target.data)
            elif source.width == 2:
                member_loop(<const uint16_t*>source.data, source.n, low, &words, <uint8_t*>target.data)
            elif source.width == 4:
                member_loop(<const uint32_t*>source.data, source.n, low, &words, <uint8_t*>target.data)
            else:
                member_loop(<const int64_t*>source.data, source.n, low, &words, <uint8_t*>target.data)
    finally:
        close_vector(&source)
        close_vector(&words)
        close_vector(&target)


cdef int member_loop(const narrow* values, Py_ssize_t n, int64_t low, Vector* table, uint8_t* mask) noexcept nogil:
    """Scalar: one load depends on the other."""
    cdef const uint8_t* words = <const uint8_t*>table.data
    cdef size_t size = table.n, place
    cdef Py_ssize_t i
    for i in range(n):
        place = <size_t>values[i] - <size_t>low  # below low: wraps to more than any size
        mask[i] = words[place] if place < size else 0
    return 0


# ---- floats ------------------------------------------------------------------------------------------------------


def compare_floats(bint less, a, b, mask, *, bint negate=False):
    """a < b, or a = b, or its negation. Either may be one value that stands for all."""
    cdef Vector first = closed(), second = closed(), target = closed()
    cdef Py_ssize_t n
    try:
        open_vector(&target, mask, 1, -1, True)
        open_vector(&first, a, 8)
        open_vector(&second, b, 8)
        n = target.n
        if (first.n != n and first.n != 1) or (second.n != n and second.n != 1):
            raise ValueError(f"{first.n} and {second.n} values for a mask of {n}")
        with nogil:
            compare_floats_loop(
                less, <const double*>first.data, first.n == n, <const double*>second.data, second.n == n, n,
                <uint8_t*>target.data, negate,
            )
    finally:
        close_vector(&first)
        close_vector(&second)
        close_vector(&target)


cdef multiversion_int compare_floats_loop(
    bint less, const double* a, Py_ssize_t step_a, const double* b, Py_ssize_t step_b, Py_ssize_t n, uint8_t* mask,
    uint8_t negate,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef double x, y
    if less:
        for i in range(n):
            x = a[i * step_a]
            y = b[i * step_b]
            mask[i] = <uint8_t>((x < y) | ((y != y) & (x == x))) ^ negate
    else:
        for i in range(n):
            x = a[i * step_a]
            y = b[i * step_b]
            mask[i] = <uint8_t>((x == y) | ((x != x) & (y != y))) ^ negate
    return 0
