"""Moving values of a column: gather and scatter by positions, masks to positions, NULLs.

A batch is filtered by making positions (int32, any order, any number of times each) and gathered when a column is asked
for. Masks are uint8, 0 or 1. Values are items of 1, 2, 4 or 8 bytes: float64 moves as any 8 bytes do.

Whoever keeps nearly all rows leaves long runs of positions that follow each other: gather then checks 32 positions at
once (the check vectorises) and copies 32 items. Positions are checked against the array's length: one more vectorised
pass, a tenth of the gathering.

Scatter is not compiled for several instruction sets: its loop is bound by one store after another.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from dispatch cimport multiversion_int, multiversion_int64
from vectors cimport Vector, close_vector, closed, narrow, open_vector

ctypedef fused wide:  # what a narrow item is stored as
    uint8_t
    uint16_t
    uint32_t
    int64_t

cdef enum:
    RUN = 32
cdef uint64_t ALL_ONES = 0x0101010101010101


# ---- gather ------------------------------------------------------------------------------------------------------


def gather(values, at, out):
    """out[i] = values[at[i]]. IndexError for a position that is not in values."""
    cdef Vector source = closed(), positions = closed(), target = closed()
    cdef uint32_t last
    try:
        open_vector(&source, values, 0)
        open_vector(&positions, at, 4)
        open_vector(&target, out, source.width, positions.n, True)
        with nogil:
            last = greatest(<const uint32_t*>positions.data, positions.n)
        if positions.n and last >= source.n:
            raise IndexError(f"a position is outside of the column's {source.n} values")
        with nogil:
            if source.width == 1:
                gather_at(<const uint8_t*>source.data, &positions, <uint8_t*>target.data)
            elif source.width == 2:
                gather_at(<const uint16_t*>source.data, &positions, <uint16_t*>target.data)
            elif source.width == 4:
                gather_at(<const uint32_t*>source.data, &positions, <uint32_t*>target.data)
            else:
                gather_at(<const int64_t*>source.data, &positions, <int64_t*>target.data)
    finally:
        close_vector(&source)
        close_vector(&positions)
        close_vector(&target)


cdef int gather_at(const narrow* values, Vector* at, narrow* out) noexcept nogil:
    return gather_loop(values, <const int32_t*>at.data, at.n, out)


cdef multiversion_int64 greatest(const uint32_t* values, Py_ssize_t n) noexcept nogil:
    """The greatest, 0 for none: a negative position is greater than any length."""
    cdef uint32_t most = 0
    cdef Py_ssize_t i
    for i in range(n):
        most = values[i] if values[i] > most else most
    return most


cdef multiversion_int gather_loop(const narrow* values, const int32_t* at, Py_ssize_t n, narrow* out) noexcept nogil:
    cdef Py_ssize_t i = 0, j
    cdef int32_t first
    cdef bint run
    if n >= RUN and 10 * n > 9 * (<int64_t>at[n - 1] - at[0] + 1):
        while i + RUN <= n:
            first = at[i]
            run = True
            for j in range(RUN):
                run &= at[i + j] == first + <int32_t>j
            if run:
                memcpy(&out[i], &values[first], RUN * sizeof(narrow))
            else:
                for j in range(RUN):
                    out[i + j] = values[at[i + j]]
            i += RUN
    while i < n:
        out[i] = values[at[i]]
        i += 1
    return 0


def lookup(codes, table, out):
    """out[i] = table[codes[i]], for codes of 1, 2 or 4 bytes without a sign. IndexError for a code outside of table."""
    cdef Vector source = closed(), words = closed(), target = closed()
    cdef Py_ssize_t failed
    try:
        open_vector(&source, codes, 0)
        open_vector(&words, table, 0)
        open_vector(&target, out, words.width, source.n, True)
        with nogil:
            if words.width == 1:
                failed = lookup_width(&source, <const uint8_t*>words.data, words.n, <uint8_t*>target.data)
            elif words.width == 2:
                failed = lookup_width(&source, <const uint16_t*>words.data, words.n, <uint16_t*>target.data)
            elif words.width == 4:
                failed = lookup_width(&source, <const uint32_t*>words.data, words.n, <uint32_t*>target.data)
            else:
                failed = lookup_width(&source, <const int64_t*>words.data, words.n, <int64_t*>target.data)
        if failed:
            raise IndexError(f"a code is outside of the {words.n} words")
    finally:
        close_vector(&source)
        close_vector(&words)
        close_vector(&target)


cdef Py_ssize_t lookup_width(Vector* codes, const narrow* table, Py_ssize_t words, narrow* out) noexcept nogil:
    if codes.width == 1:
        return lookup_loop(<const uint8_t*>codes.data, codes.n, table, words, out)
    if codes.width == 2:
        return lookup_loop(<const uint16_t*>codes.data, codes.n, table, words, out)
    if codes.width == 4:
        return lookup_loop(<const uint32_t*>codes.data, codes.n, table, words, out)
    return 1


ctypedef fused code:
    uint8_t
    uint16_t
    uint32_t


cdef Py_ssize_t lookup_loop(
    const code* codes, Py_ssize_t n, const narrow* table, Py_ssize_t words, narrow* out
) noexcept nogil:
    cdef Py_ssize_t i, failed = 0
    cdef bint outside
    if n and not words:
        return 1
    for i in range(n):
        outside = <Py_ssize_t>codes[i] >= words
        failed |= outside
        out[i] = table[0 if outside else codes[i]]
    return failed


# ---- scatter -----------------------------------------------------------------------------------------------------


def scatter(values, int64_t delta, at, out):
    """out[at[i]] = values[i] + delta, in the width of out; one value stands for all. IndexError as gather's.

    float64 moves as 8 bytes do, with delta 0.
    """
    cdef Vector source = closed(), positions = closed(), target = closed()
    cdef uint32_t last
    try:
        open_vector(&positions, at, 4)
        open_vector(&source, values, 0)
        open_vector(&target, out, 0, -1, True)
        if source.n != positions.n and source.n != 1:
            raise ValueError(f"{source.n} values for {positions.n} positions")
        with nogil:
            last = greatest(<const uint32_t*>positions.data, positions.n)
        if positions.n and last >= target.n:
            raise IndexError(f"a position is outside of the column's {target.n} values")
        with nogil:
            if target.width == 1:
                scatter_width(&source, delta, &positions, <uint8_t*>target.data)
            elif target.width == 2:
                scatter_width(&source, delta, &positions, <uint16_t*>target.data)
            elif target.width == 4:
                scatter_width(&source, delta, &positions, <uint32_t*>target.data)
            else:
                scatter_width(&source, delta, &positions, <int64_t*>target.data)
    finally:
        close_vector(&source)
        close_vector(&positions)
        close_vector(&target)


cdef int scatter_width(Vector* values, int64_t delta, Vector* at, wide* out) noexcept nogil:
    cdef const int32_t* positions = <const int32_t*>at.data
    if values.width == 1:
        scatter_loop(<const uint8_t*>values.data, values.n, delta, positions, at.n, out)
    elif values.width == 2:
        scatter_loop(<const uint16_t*>values.data, values.n, delta, positions, at.n, out)
    elif values.width == 4:
        scatter_loop(<const uint32_t*>values.data, values.n, delta, positions, at.n, out)
    else:
        scatter_loop(<const int64_t*>values.data, values.n, delta, positions, at.n, out)
    return 0


cdef int scatter_loop(
    const narrow* values, Py_ssize_t count, int64_t delta, const int32_t* at, Py_ssize_t n, wide* out
) noexcept nogil:
    cdef Py_ssize_t i
    cdef wide one
    if count == n:
        for i in range(n):
            out[at[i]] = <wide>(<uint64_t>values[i] + <uint64_t>delta)
    elif n:
        one = <wide>(<uint64_t>values[0] + <uint64_t>delta)
        for i in range(n):
            out[at[i]] = one
    return 0


# ---- masks -------------------------------------------------------------------------------------------------------


def count(mask):
    """How many of the mask are 1."""
    cdef Vector source = closed()
    cdef int64_t total
    try:
        open_vector(&source, mask, 1)
        with nogil:
            total = count_loop(<const uint8_t*>source.data, source.n)
    finally:
        close_vector(&source)
    return total


cdef multiversion_int64 count_loop(const uint8_t* mask, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0, stop
    cdef int64_t total = 0
    cdef uint16_t part
    while i < n:
        stop = i + 65_535 if i + 65_535 < n else n  # so many ones fit 16 bits: twice the lanes of 32
        part = 0
        while i < stop:
            part += mask[i]
            i += 1
        total += part
    return total


def positions(mask, out):
    """The positions of the ones of the mask, in order, to the start of out (as long as the mask); how many they are."""
    cdef Vector source = closed(), target = closed()
    cdef Py_ssize_t kept
    try:
        open_vector(&source, mask, 1)
        open_vector(&target, out, 4, source.n, True)
        with nogil:
            kept = positions_loop(<const uint8_t*>source.data, source.n, <int32_t*>target.data)
    finally:
        close_vector(&source)
        close_vector(&target)
    return kept


cdef uint8_t[256][8] ONES  # of each byte: the places of its ones, in order, then zeros


def _fill_ones():
    cdef Py_ssize_t byte, bit, kept
    for byte in range(256):
        kept = 0
        for bit in range(8):
            ONES[byte][bit] = 0
        for bit in range(8):
            if byte >> bit & 1:
                ONES[byte][kept] = <uint8_t>bit
                kept += 1


_fill_ones()


cdef multiversion_int64 positions_loop(const uint8_t* mask, Py_ssize_t n, int32_t* out) noexcept nogil:
    """Eight rows in one step: the product gathers their ones into a byte, a table knows where these are.

    Eight positions are written each time, the cursor moves by the ones: what is written too much is overwritten, and
    never lies beyond row i + 7.
    """
    cdef Py_ssize_t i = 0, j, kept = 0
    cdef uint64_t eight
    cdef const uint8_t* places
    while i + 8 <= n:
        memcpy(&eight, &mask[i], 8)
        if eight:
            places = ONES[(eight * <uint64_t>0x0102040810204080) >> 56]
            for j in range(8):
                out[kept + j] = <int32_t>i + places[j]
            kept += (eight * ALL_ONES) >> 56
        i += 8
    while i < n:
        if mask[i]:
            out[kept] = <int32_t>i
            kept += 1
        i += 1
    return kept


def kleene(bint disjunction, a, a_valid, b, b_valid, data, valid):
    """a AND b, or a OR b, of three values. a_valid and b_valid may be None: no NULL. Under a NULL data is 0."""
    cdef Vector first = closed(), first_valid = closed(), second = closed(), second_valid = closed()
    cdef Vector result = closed(), result_valid = closed()
    try:
        open_vector(&first, a, 1)
        open_vector(&second, b, 1, first.n)
        if a_valid is not None:
            open_vector(&first_valid, a_valid, 1, first.n)
        if b_valid is not None:
            open_vector(&second_valid, b_valid, 1, first.n)
        open_vector(&result, data, 1, first.n, True)
        open_vector(&result_valid, valid, 1, first.n, True)
        with nogil:
            kleene_loop(
                <uint8_t>disjunction, <const uint8_t*>first.data, <const uint8_t*>first_valid.data,
                <const uint8_t*>second.data, <const uint8_t*>second_valid.data,
                first.n, <uint8_t*>result.data, <uint8_t*>result_valid.data,
            )
    finally:
        close_vector(&first)
        close_vector(&first_valid)
        close_vector(&second)
        close_vector(&second_valid)
        close_vector(&result)
        close_vector(&result_valid)


cdef multiversion_int kleene_loop(
    uint8_t flip, const uint8_t* a, const uint8_t* a_valid, const uint8_t* b, const uint8_t* b_valid, Py_ssize_t n,
    uint8_t* data, uint8_t* valid,
) noexcept nogil:
    """a OR b = NOT (NOT a AND NOT b): flip turns the values on the way in and out."""
    cdef Py_ssize_t i
    cdef uint8_t true_a, true_b, some_a, some_b, both, none
    for i in range(n):
        some_a = a_valid[i] if a_valid != NULL else 1
        some_b = b_valid[i] if b_valid != NULL else 1
        true_a = (a[i] ^ flip) & some_a
        true_b = (b[i] ^ flip) & some_b
        both = true_a & true_b
        none = (true_a ^ some_a) | (true_b ^ some_b)
        valid[i] = both | none
        data[i] = (both ^ flip) & valid[i]
    return 0


# ---- NULLs and bounds --------------------------------------------------------------------------------------------


def blank(values, valid):
    """Zero under every NULL, in place: what data under a NULL is."""
    cdef Vector target = closed(), there = closed()
    try:
        open_vector(&target, values, 0, -1, True)
        open_vector(&there, valid, 1, target.n)
        with nogil:
            if target.width == 1:
                blank_loop(<uint8_t*>target.data, <const uint8_t*>there.data, target.n)
            elif target.width == 2:
                blank_loop(<uint16_t*>target.data, <const uint8_t*>there.data, target.n)
            elif target.width == 4:
                blank_loop(<uint32_t*>target.data, <const uint8_t*>there.data, target.n)
            else:
                blank_loop(<int64_t*>target.data, <const uint8_t*>there.data, target.n)
    finally:
        close_vector(&target)
        close_vector(&there)


cdef multiversion_int blank_loop(narrow* values, const uint8_t* valid, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        values[i] = values[i] if valid[i] else 0
    return 0


def bounds(values, valid):
    """(lowest, highest) of the whole numbers that are no NULL; None if there is none. valid may be None."""
    cdef Vector source = closed(), there = closed()
    cdef int64_t low = 0, high = 0
    cdef bint some
    try:
        open_vector(&source, values, 0)
        if valid is not None:
            open_vector(&there, valid, 1, source.n)
        with nogil:
            if source.width == 1:
                some = bounds_loop(<const uint8_t*>source.data, <const uint8_t*>there.data, source.n, &low, &high)
            elif source.width == 2:
                some = bounds_loop(<const uint16_t*>source.data, <const uint8_t*>there.data, source.n, &low, &high)
            elif source.width == 4:
                some = bounds_loop(<const uint32_t*>source.data, <const uint8_t*>there.data, source.n, &low, &high)
            else:
                some = bounds_loop(<const int64_t*>source.data, <const uint8_t*>there.data, source.n, &low, &high)
    finally:
        close_vector(&source)
        close_vector(&there)
    return (low, high) if some else None


cdef multiversion_int bounds_loop(
    const narrow* values, const uint8_t* valid, Py_ssize_t n, int64_t* low, int64_t* high
) noexcept nogil:
    cdef Py_ssize_t i, first = 0
    cdef narrow least, most, one
    if valid != NULL:
        while first < n and not valid[first]:
            first += 1
    if first == n:
        return 0
    least = most = values[first]
    if valid == NULL:
        for i in range(first, n):
            least = values[i] if values[i] < least else least
            most = values[i] if values[i] > most else most
    else:
        for i in range(first, n):
            one = values[i] if valid[i] else least  # a NULL counts as one that was seen
            least = one if one < least else least
            most = one if one > most else most
    low[0] = <int64_t>least
    high[0] = <int64_t>most
    return 1
