"""What blocks of columns are made with: bit-packing, differences, dictionaries, bounds of text.

    pack, unpack      whole numbers in `width` bits each, relative to a base (bitpack.h)
    differences       neighbours' differences, relative to the least of them; add_up is the inverse
    number_words      codes of the distinct values of a text column, in order of first use; number_values of numbers
    text_bounds       where the smallest and the largest text stand

Every function checks the lengths of its arguments and releases the GIL. Offsets and codes that come from a disk are
checked by their readers before they come here. Arithmetic on differences wraps, so no input can make it undefined.

Invariants: unpack(pack(x)) == x, add_up(differences(x)) == x, words[codes] == the column, for every valid row.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from bitpack cimport RUN, bitpack_pack, bitpack_unpack8, bitpack_unpack16, bitpack_unpack32
from dispatch cimport multiversion_int
from hash64 cimport hash_bytes, splitmix64

ctypedef fused narrow:
    uint8_t
    uint16_t
    uint32_t

ctypedef fused summed:
    uint8_t
    uint16_t
    uint32_t
    int64_t


cdef int64_t runs_of(Py_ssize_t count):
    return (count + RUN - 1) // RUN


def packed_size(Py_ssize_t count, int width):
    """Bytes that `count` values take at that width, 0 to 32 bits: whole runs of 1,024."""
    return runs_of(count) * width * (RUN // 8)


# --- bits ---


cdef multiversion_int relative(const int64_t* values, uint32_t* out, Py_ssize_t count, uint64_t base,
                               int shift) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        out[i] = <uint32_t>((<uint64_t>values[i] - base) >> shift)
    return 0


cdef inline void cut_to(uint32_t* run, Py_ssize_t count, uint32_t mask) noexcept nogil:
    """No bit of a value may reach its neighbour; what is missing of the run counts as 0."""
    cdef Py_ssize_t i
    for i in range(count):
        run[i] &= mask
    for i in range(count, RUN):
        run[i] = 0


def pack(const int64_t[::1] values not None, int64_t base, int shift, int width, uint8_t[::1] packed not None):
    """Write bits shift ... shift + width of each value - base. packed: packed_size() zeros, 4-byte aligned."""
    cdef Py_ssize_t count = values.shape[0], at = 0, size
    cdef uint32_t run[RUN]
    if not 1 <= width <= 32 or not 0 <= shift <= 32 or packed.shape[0] != packed_size(count, width):
        raise ValueError("packed has another size than these values at this width take")
    with nogil:
        while at < count:
            size = min(<Py_ssize_t>RUN, count - at)
            relative(&values[at], run, size, <uint64_t>base, shift)
            cut_to(run, size, <uint32_t>((<uint64_t>1 << width) - 1))
            bitpack_pack(run, <uint32_t*>&packed[at // 8 * width], 1, width)
            at += RUN


def unpack(const uint8_t[::1] packed not None, int width, narrow[::1] out not None):
    """Read width bits for each item of out, whose length is a multiple of 1,024."""
    cdef int64_t runs = out.shape[0] // RUN
    cdef const uint32_t* source
    if (out.shape[0] % RUN or not 1 <= width <= 8 * <int>sizeof(narrow)
            or packed.shape[0] < packed_size(out.shape[0], width)):
        raise ValueError("the packed bytes do not hold as many values of this width as are wanted")
    if runs == 0:
        return
    source = <const uint32_t*>&packed[0]
    with nogil:
        if narrow is uint8_t:
            bitpack_unpack8(source, &out[0], runs, width)
        elif narrow is uint16_t:
            bitpack_unpack16(source, &out[0], runs, width)
        else:
            bitpack_unpack32(source, &out[0], runs, width)


# --- differences ---


cdef multiversion_int subtract_neighbours(const int64_t* values, int64_t* out, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    out[0] = 0
    for i in range(1, count):
        out[i] = <int64_t>(<uint64_t>values[i] - <uint64_t>values[i - 1])
    return 0


def differences(const int64_t[::1] values not None, int64_t[::1] out not None):
    """Each value minus the one before it, wrapping; 0 for the first."""
    if values.shape[0] != out.shape[0]:
        raise ValueError("values and differences differ in length")
    if values.shape[0]:
        with nogil:
            subtract_neighbours(&values[0], &out[0], values.shape[0])


def add_up(const uint32_t[::1] steps not None, int64_t first, int64_t least, summed[::1] out not None):
    """The values that these steps lead to: the first is `first` + steps[0], each other the one before + least + step.

    out may be narrow: then what does not fit is cut off, so hostile steps make wrong numbers and nothing worse.
    """
    cdef Py_ssize_t i, count = out.shape[0]
    cdef uint64_t at = <uint64_t>first - <uint64_t>least
    if steps.shape[0] < count:
        raise ValueError("there are fewer steps than values")
    with nogil:
        for i in range(count):
            at += <uint64_t>least + steps[i]
            out[i] = <summed>at


# --- dictionaries ---


def number_words(const int32_t[::1] offsets not None, const uint8_t[::1] heap not None, const uint8_t[::1] valid,
                 uint32_t[::1] codes not None, int32_t[::1] firsts not None):
    """Number the distinct texts in order of first use: codes by row (0 for a NULL), firsts: where each stands first.

    Returns how many there are, or -1 where firsts has no room for all.
    """
    cdef Py_ssize_t rows = offsets.shape[0] - 1, most = firsts.shape[0], words = 0, i
    cdef uint64_t mask = slots_for(most) - 1, slot, hash
    cdef const uint8_t* data = &heap[0] if heap.shape[0] else <const uint8_t*>""
    cdef int32_t size, other
    cdef uint32_t* slots
    cdef uint32_t* hashes
    if codes.shape[0] != rows or (valid is not None and valid.shape[0] != rows):
        raise ValueError("codes, valid and offsets differ in length")
    slots = <uint32_t*>PyMem_RawCalloc(2 * (mask + 1), sizeof(uint32_t))
    if slots == NULL:
        raise MemoryError
    hashes = slots + mask + 1  # of the words in the slots, so that few are compared
    with nogil:
        for i in range(rows):
            if valid is not None and not valid[i]:
                codes[i] = 0
                continue
            size = offsets[i + 1] - offsets[i]
            hash = hash_bytes(data + offsets[i], size)
            slot = hash & mask
            while slots[slot]:
                if hashes[slot] == <uint32_t>(hash >> 32):
                    other = firsts[slots[slot] - 1]
                    if (offsets[other + 1] - offsets[other] == size
                            and memcmp(data + offsets[other], data + offsets[i], size) == 0):
                        break
                slot = (slot + 1) & mask
            if not slots[slot]:
                if words == most:
                    words = -1
                    break
                firsts[words] = <int32_t>i
                words += 1
                slots[slot] = <uint32_t>words
                hashes[slot] = <uint32_t>(hash >> 32)
            codes[i] = slots[slot] - 1
    PyMem_RawFree(slots)
    return words


def number_values(const int64_t[::1] values not None, const uint8_t[::1] valid, uint32_t[::1] codes not None,
                  int32_t[::1] firsts not None):
    """As number_words, of whole numbers or of the bits of doubles."""
    cdef Py_ssize_t rows = values.shape[0], most = firsts.shape[0], words = 0, i
    cdef uint64_t mask = slots_for(most) - 1, slot
    cdef uint32_t* slots
    if codes.shape[0] != rows or (valid is not None and valid.shape[0] != rows):
        raise ValueError("codes, valid and values differ in length")
    slots = <uint32_t*>PyMem_RawCalloc(mask + 1, sizeof(uint32_t))
    if slots == NULL:
        raise MemoryError
    with nogil:
        for i in range(rows):
            if valid is not None and not valid[i]:
                codes[i] = 0
                continue
            slot = splitmix64(<uint64_t>values[i]) & mask
            while slots[slot] and values[firsts[slots[slot] - 1]] != values[i]:
                slot = (slot + 1) & mask
            if not slots[slot]:
                if words == most:
                    words = -1
                    break
                firsts[words] = <int32_t>i
                words += 1
                slots[slot] = <uint32_t>words
            codes[i] = slots[slot] - 1
    PyMem_RawFree(slots)
    return words


cdef uint64_t slots_for(Py_ssize_t words):
    """A power of two, at most half of which is used."""
    cdef uint64_t slots = 16
    while slots < 2 * <uint64_t>words:
        slots *= 2
    return slots


# --- text ---


cdef inline bint less(const uint8_t* data, const int32_t* offsets, Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    """Whether text a comes before text b, bytewise."""
    cdef int32_t m = offsets[a + 1] - offsets[a], n = offsets[b + 1] - offsets[b]
    cdef int order = memcmp(data + offsets[a], data + offsets[b], min(m, n))
    return m < n if order == 0 else order < 0


def text_bounds(const int32_t[::1] offsets not None, const uint8_t[::1] heap not None, const uint8_t[::1] valid):
    """The rows of the smallest and of the largest text that is no NULL; (-1, -1) where there is none."""
    cdef Py_ssize_t rows = offsets.shape[0] - 1, low = -1, high = -1, i
    cdef const uint8_t* data = &heap[0] if heap.shape[0] else <const uint8_t*>""
    if valid is not None and valid.shape[0] != rows:
        raise ValueError("valid and offsets differ in length")
    with nogil:
        for i in range(rows):
            if valid is not None and not valid[i]:
                continue
            if low < 0:
                low = high = i
            elif less(data, &offsets[0], i, low):
                low = i
            elif less(data, &offsets[0], high, i):
                high = i
    return low, high
