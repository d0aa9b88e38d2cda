"""Pairs of rows with equal keys: what the probe side of a join does once a key's number is known.

    found     int32 a probe row: the number of its key among the build side's keys, -1 = nobody has it
    starts    int32 a number, and one more: where its build rows begin in `order`
    order     int32: build rows by number, in row order; None: number i is build row i (all keys are distinct)

Rows of the answer come in pieces: `expand` stops where its output is full and says where it is, a probe row and how
many of that row's partners are out already.

A filter is a set of keys that a scan asks before it decodes other columns: a bit a key for a small range, else a Bloom
filter of one 64-bit word a key with three bits set (Putze, Sanders, Singler 2009): one load a row in both.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from dispatch cimport multiversion_int

ctypedef fused narrow:
    uint8_t
    uint16_t
    uint32_t
    uint64_t


def compact(const int32_t[::1] found not None, int32_t[::1] at not None, int32_t[::1] rows not None):
    """Probe rows that found something, and what. -> how many. `at` and `rows` have room for all; rows may be found."""
    cdef Py_ssize_t i, n = found.shape[0], kept = 0
    if at.shape[0] < n or rows.shape[0] < n:
        raise ValueError(f"no room for {n} pairs")
    with nogil:
        for i in range(n):
            at[kept] = <int32_t>i
            rows[kept] = found[i]
            kept += found[i] >= 0
    return kept


def choose(const int32_t[::1] found not None, bint there, int32_t[::1] at not None):
    """Probe rows that found something, or with there = 0 nothing. -> how many."""
    cdef Py_ssize_t i, n = found.shape[0], kept = 0
    if at.shape[0] < n:
        raise ValueError(f"no room for {n} rows")
    with nogil:
        for i in range(n):
            at[kept] = <int32_t>i
            kept += (found[i] >= 0) == there
    return kept


def group_rows(const uint32_t[::1] numbers not None, int32_t[::1] starts not None, int32_t[::1] order not None):
    """Rows by number, in row order; rows without a number (0xFFFFFFFF) are in no group. -> rows that have one."""
    cdef Py_ssize_t i, n = numbers.shape[0], count = starts.shape[0] - 1
    cdef int32_t total = 0, size
    cdef uint32_t number
    if count < 0 or order.shape[0] < n:
        raise ValueError(f"no room for {n} rows in groups")
    starts[:] = 0
    for i in range(n):
        if numbers[i] != <uint32_t>0xFFFFFFFF and numbers[i] >= <uint64_t>count:
            raise ValueError("a number is beyond the groups")
    with nogil:
        for i in range(n):
            number = numbers[i]
            if number != <uint32_t>0xFFFFFFFF:
                starts[number] += 1
        for i in range(count):
            size = starts[i]
            starts[i] = total
            total += size
        starts[count] = total
        for i in range(n):
            number = numbers[i]
            if number != <uint32_t>0xFFFFFFFF:
                order[starts[number]] = <int32_t>i
                starts[number] += 1
        for i in range(count, 0, -1):  # each start has moved on to the next one's
            starts[i] = starts[i - 1]
        if count:
            starts[0] = 0
    return total


def expand(
    const int32_t[::1] found not None, const int32_t[::1] starts not None, const int32_t[::1] order not None,
    bint outer, Py_ssize_t row, Py_ssize_t partner, int32_t[::1] at not None, int32_t[::1] rows not None,
):
    """Pairs from (probe row, its partner) on. -> (row, partner to go on with, pairs). outer: -1 where there is none."""
    cdef Py_ssize_t n = found.shape[0], kept = 0, room = min(at.shape[0], rows.shape[0]), begin, size, i
    cdef Py_ssize_t groups = starts.shape[0] - 1, most = order.shape[0]
    cdef bint torn = False
    with nogil:
        while row < n:
            if found[row] < 0:
                if outer:
                    if kept == room:
                        break
                    at[kept] = <int32_t>row
                    rows[kept] = -1
                    kept += 1
                row += 1
                continue
            if found[row] >= groups:
                torn = True
                break
            begin = starts[found[row]] + partner
            size = starts[found[row] + 1] - begin
            if begin < 0 or begin + size > most:
                torn = True
                break
            if size > room - kept:
                size = room - kept
            for i in range(size):
                at[kept + i] = <int32_t>row
                rows[kept + i] = order[begin + i]
            kept += size
            if begin + size < starts[found[row] + 1]:
                partner = begin + size - starts[found[row]]
                break
            partner = 0
            row += 1
    if torn:
        raise ValueError("a number is beyond the groups")
    return row, partner, kept


def mark(const int32_t[::1] found not None, uint8_t[::1] marks not None):
    """Set the marks of what was found. Threads may do this at the same time: all write 1."""
    cdef Py_ssize_t i, n = found.shape[0], count = marks.shape[0]
    with nogil:
        for i in range(n):
            if 0 <= found[i] < count:
                marks[found[i]] = 1


# ---- filters for scans -------------------------------------------------------------------------------------------


def bits_add(const uint64_t[::1] keys not None, uint8_t[::1] bits not None):
    """Set the bits of keys. IndexError for a key beyond the bits."""
    cdef Py_ssize_t i
    cdef uint64_t size = <uint64_t>bits.shape[0] * 8
    cdef bint beyond = False
    with nogil:
        for i in range(keys.shape[0]):
            if keys[i] >= size:
                beyond = True
                break
            bits[keys[i] >> 3] |= <uint8_t>(1 << (keys[i] & 7))
    if beyond:
        raise IndexError(f"a key is beyond the {size} bits")


def bits_mask(
    const narrow[::1] data not None, uint64_t offset, const uint8_t[::1] valid, const uint8_t[::1] bits not None,
    uint8_t[::1] out not None,
):
    """1 where bit data + offset (mod 2^64) is set; 0 beyond the bits and for NULL."""
    cdef Py_ssize_t rows = data.shape[0], i
    if out.shape[0] < rows or (valid is not None and valid.shape[0] < rows):
        raise ValueError(f"no room for a mask of {rows} rows")
    if rows == 0:
        return
    if bits.shape[0] == 0:
        out[:rows] = 0
        return
    cdef uint64_t size = <uint64_t>bits.shape[0] * 8, most = <uint64_t>1 << (8 * sizeof(narrow) & 63)
    with nogil:
        if sizeof(narrow) < 8 and offset < size and size - offset >= most:  # no value of that width is beyond the bits
            _bits_inside(&data[0], offset, &bits[0], &out[0], rows)
        else:
            _bits_mask(&data[0], offset, &bits[0], size, &out[0], rows)
        if valid is not None:
            for i in range(rows):
                out[i] &= valid[i]


cdef int _bits_inside(
    const narrow* data, uint64_t offset, const uint8_t* bits, uint8_t* out, Py_ssize_t rows
) noexcept nogil:
    """One load a row, which no instruction set does better."""
    cdef Py_ssize_t i
    cdef uint64_t key
    for i in range(rows):
        key = <uint64_t>data[i] + offset
        out[i] = (bits[key >> 3] >> (key & 7)) & 1
    return 0


cdef multiversion_int _bits_mask(
    const narrow* data, uint64_t offset, const uint8_t* bits, uint64_t size, uint8_t* out, Py_ssize_t rows
) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint64_t key
    for i in range(rows):
        key = <uint64_t>data[i] + offset
        out[i] = (bits[key >> 3] >> (key & 7)) & 1 if key < size else 0
    return 0


cdef inline uint64_t mix(uint64_t key) noexcept nogil:
    key = (key ^ (key >> 32)) * <uint64_t>0x9E3779B97F4A7C15
    return key ^ (key >> 29)


cdef inline uint64_t three_bits(uint64_t hashed) noexcept nogil:
    cdef uint64_t one = 1
    return one << (hashed & 63) | one << ((hashed >> 6) & 63) | one << ((hashed >> 12) & 63)


def bloom_add(const uint64_t[::1] keys not None, uint64_t[::1] words not None):
    """Enter keys. words: a power of two of them."""
    cdef Py_ssize_t i
    cdef uint64_t hashed, last = words.shape[0] - 1
    if words.shape[0] < 1 or words.shape[0] & (words.shape[0] - 1):
        raise ValueError(f"a power of two of words, not {words.shape[0]}")
    with nogil:
        for i in range(keys.shape[0]):
            hashed = mix(keys[i])
            words[(hashed >> 20) & last] |= three_bits(hashed)


def bloom_mask(
    const narrow[::1] data not None, uint64_t offset, const uint8_t[::1] valid, const uint64_t[::1] words not None,
    uint8_t[::1] out not None,
):
    """1 where data + offset (mod 2^64) may be among the keys entered; 0 for NULL."""
    cdef Py_ssize_t rows = data.shape[0], i
    if out.shape[0] < rows or (valid is not None and valid.shape[0] < rows):
        raise ValueError(f"no room for a mask of {rows} rows")
    if words.shape[0] < 1 or words.shape[0] & (words.shape[0] - 1):
        raise ValueError(f"a power of two of words, not {words.shape[0]}")
    if rows == 0:
        return
    with nogil:
        _bloom_mask(&data[0], offset, &words[0], words.shape[0] - 1, &out[0], rows)
        if valid is not None:
            for i in range(rows):
                out[i] &= valid[i]


cdef multiversion_int _bloom_mask(
    const narrow* data, uint64_t offset, const uint64_t* words, uint64_t last, uint8_t* out, Py_ssize_t rows
) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint64_t hashed, bits
    for i in range(rows):
        hashed = mix(<uint64_t>data[i] + offset)
        bits = three_bits(hashed)
        out[i] = words[(hashed >> 20) & last] & bits == bits
    return 0
