"""Where rows go, and how many different values they have: 64-bit hashes, slices, sketches.

    hash_numbers, hash_words    the hashes of hash64.pxd; NULL has hash 0
    slices                      hash mod the number of slices, NULL on slice 0: the same for ever
    sketch                      a HyperLogLog of 1,024 registers: estimates to about 3 % (Flajolet et al., AOFA 2007)

A sketch's register holds the longest run of leading zeros, plus one, among the hashes that its index bits lead to. The
sketch of two sets of rows is the larger of each pair of registers, so a load adds its own to the table's.

Every function checks the lengths of its arguments and releases the GIL.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from hash64 cimport hash_bytes, splitmix64

cdef enum:
    REGISTERS = 1024
    INDEX_BITS = 10


def hash_numbers(const int64_t[::1] values not None, const uint8_t[::1] valid, uint64_t[::1] out not None):
    """The hashes of whole numbers, or of the bits of doubles."""
    cdef Py_ssize_t i
    if out.shape[0] != values.shape[0] or (valid is not None and valid.shape[0] != values.shape[0]):
        raise ValueError("values, valid and hashes differ in length")
    with nogil:
        for i in range(values.shape[0]):
            out[i] = splitmix64(<uint64_t>values[i])
        if valid is not None:
            for i in range(values.shape[0]):
                out[i] = out[i] if valid[i] else 0


def hash_words(const int32_t[::1] offsets not None, const uint8_t[::1] heap not None, const uint8_t[::1] valid,
               uint64_t[::1] out not None):
    """The hashes of texts."""
    cdef Py_ssize_t rows = offsets.shape[0] - 1, i
    cdef const uint8_t* data = &heap[0] if heap.shape[0] else <const uint8_t*>""
    if out.shape[0] != rows or (valid is not None and valid.shape[0] != rows):
        raise ValueError("offsets, valid and hashes differ in length")
    with nogil:
        for i in range(rows):
            out[i] = hash_bytes(data + offsets[i], offsets[i + 1] - offsets[i]) if valid is None or valid[i] else 0


def slices(const uint64_t[::1] hashes not None, int count, uint8_t[::1] out not None):
    """The slice of each row: its hash mod count, at most 256 slices."""
    cdef Py_ssize_t i
    cdef uint64_t among = <uint64_t>count
    if not 1 <= count <= 256 or out.shape[0] != hashes.shape[0]:
        raise ValueError("there are 1 to 256 slices, and one for each row")
    with nogil:
        for i in range(hashes.shape[0]):
            out[i] = <uint8_t>(hashes[i] % among)


def sketch(const uint64_t[::1] hashes not None, uint8_t[::1] registers not None):
    """Add hashes to a sketch. A hash of 0 is a NULL, which is not counted."""
    cdef Py_ssize_t i
    cdef uint64_t rest
    cdef uint8_t zeros
    cdef uint64_t index
    if registers.shape[0] != REGISTERS:
        raise ValueError("a sketch has 1,024 registers")
    with nogil:
        for i in range(hashes.shape[0]):
            if hashes[i] == 0:
                continue
            index = hashes[i] & (REGISTERS - 1)
            rest = (hashes[i] >> INDEX_BITS) | (<uint64_t>1 << 54)  # a sentinel: at most 54 zeros
            zeros = 1
            while not rest & 1:
                rest >>= 1
                zeros += 1
            if registers[index] < zeros:
                registers[index] = zeros
