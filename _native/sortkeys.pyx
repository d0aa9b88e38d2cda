"""The order of rows: columns become whole numbers whose order is that of the rows, and those are sorted by radix.

    column        code of a row, unsigned, from 0
    numbers       value - low; descending high - value
    doubles       the 64 bits: the sign bit flipped, or all bits if negative; -0.0 as 0.0; NaN above all
    text          its rank among the texts of the column (text_ranks), or its word's rank in the dictionary
    NULL          0 with all others moved up by one (NULLs first), or one above the largest

Codes of several columns are packed into one 64-bit word as long as they fit; what does not fit is a word of its own.
Words are sorted by bytes from the lowest (LSD radix sort, stable), the least significant word first; bytes that are
the same in all rows cost nothing.

Texts are sorted by their first 7 bytes and a count: the number of bytes left, 8 where there are more than 7. Runs of
equal words whose count is 8 are sorted by the next 7 bytes (multikey sort, Bentley and Sedgewick 1997, with words for
characters). Runs shorter than 24 are sorted by insertion.

Simpler than production: no parallel merge, no memory bound but the caller's.
Not multiversion: scatter and byte work gain nothing from wider registers; the packing loops are bound by memory.

Invariants: order holds each of 0..n-1 once; rows with equal keys stay in their order.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

ctypedef fused Whole:
    uint8_t
    uint16_t
    uint32_t
    int64_t

cdef enum:
    SHORT_RUN = 24
    TEXT_BYTES = 7


# --- keys ---


cdef void put_codes(
    const Whole* data, const uint8_t* valid, uint64_t* keys, Py_ssize_t n,
    int shift, uint64_t low, uint64_t high, bint descending, uint64_t value_up, uint64_t null_code,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint64_t code
    if valid == NULL:
        if descending:
            for i in range(n):
                keys[i] |= (high - <uint64_t>data[i]) << shift
        else:
            for i in range(n):
                keys[i] |= (<uint64_t>data[i] - low) << shift
        return
    for i in range(n):
        code = high - <uint64_t>data[i] if descending else <uint64_t>data[i] - low
        keys[i] |= (code + value_up if valid[i] else null_code) << shift


def pack_numbers(
    const Whole[::1] data not None, const uint8_t[::1] valid, uint64_t[::1] keys not None, int shift,
    int64_t low, int64_t high, bint descending, bint nulls_first,
):
    """keys |= code << shift. low, high: of data, values under NULLs included. The caller has counted the bits."""
    cdef Py_ssize_t n = keys.shape[0]
    cdef uint64_t first = <uint64_t>low, last = <uint64_t>high
    if data.shape[0] != n or (valid is not None and valid.shape[0] != n) or not 0 <= shift < 64:
        raise ValueError("data, valid and keys have different lengths, or shift is not within 64 bits")
    if n == 0:
        return
    cdef const uint8_t* there = NULL
    if valid is not None:
        there = &valid[0]
    with nogil:
        put_codes(&data[0], there, &keys[0], n, shift, first, last, descending, 1 if nulls_first else 0,
                  0 if nulls_first else last - first + 1)


cdef inline uint64_t code_of_double(double value) noexcept nogil:
    cdef uint64_t bits
    if value != value:
        return 0xFFF8000000000000
    value += 0.0  # -0.0 becomes 0.0
    memcpy(&bits, &value, 8)
    return ~bits if bits >> 63 else bits | (<uint64_t>1 << 63)


def pack_doubles(
    const double[::1] data not None, const uint8_t[::1] valid, uint64_t[::1] keys not None, bint descending,
    bint nulls_first,
):
    """keys = codes of 64 bits; 0 and the largest are left for NULL."""
    cdef Py_ssize_t n = keys.shape[0], i
    if data.shape[0] != n or (valid is not None and valid.shape[0] != n):
        raise ValueError("data, valid and keys have different lengths")
    if n == 0:
        return
    cdef uint64_t code, null_code = 0 if nulls_first else <uint64_t>-1
    cdef const uint8_t* there = NULL
    if valid is not None:
        there = &valid[0]
    with nogil:
        for i in range(n):
            code = code_of_double(data[i])
            if descending:
                code = ~code
            keys[i] = code if there == NULL or there[i] else null_code


# --- radix sort ---


cdef void radix(
    uint64_t* keys, int32_t* order, uint64_t* other_keys, int32_t* other_order, Py_ssize_t n
) noexcept nogil:
    """Sorts keys, and order along with them. What it leaves in other_* means nothing."""
    cdef Py_ssize_t[8][256] counts
    cdef Py_ssize_t i, at, total, here
    cdef uint64_t key
    cdef int digit, k
    cdef uint64_t* from_keys = keys
    cdef uint64_t* to_keys = other_keys
    cdef int32_t* from_order = order
    cdef int32_t* to_order = other_order
    memset(counts, 0, sizeof(counts))
    for i in range(n):
        key = keys[i]
        for digit in range(8):
            counts[digit][(key >> (8 * digit)) & 255] += 1
    for digit in range(8):
        if counts[digit][(keys[0] >> (8 * digit)) & 255] == n:
            continue
        total = 0
        for k in range(256):
            here = counts[digit][k]
            counts[digit][k] = total
            total += here
        for i in range(n):
            key = from_keys[i]
            k = (key >> (8 * digit)) & 255
            at = counts[digit][k]
            counts[digit][k] = at + 1
            to_keys[at] = key
            to_order[at] = from_order[i]
        from_keys, to_keys = to_keys, from_keys
        from_order, to_order = to_order, from_order
    if from_keys != keys:
        memcpy(keys, from_keys, n * sizeof(uint64_t))
        memcpy(order, from_order, n * sizeof(int32_t))


def sort_keys(
    uint64_t[::1] keys not None, int32_t[::1] order not None,
    uint64_t[::1] other_keys not None, int32_t[::1] other_order not None,
):
    """Sorts keys in place, stable, and order along with them. other_keys, other_order: room, as long as keys."""
    cdef Py_ssize_t n = keys.shape[0], i = 1
    if order.shape[0] != n or other_keys.shape[0] < n or other_order.shape[0] < n:
        raise ValueError("keys, order and the room for both have different lengths")
    if n < 2:
        return
    with nogil:
        while i < n and keys[i - 1] <= keys[i]:  # in order already: a table by its sort key
            i += 1
        if i < n:
            radix(&keys[0], &order[0], &other_keys[0], &other_order[0], n)


# --- texts ---


cdef inline uint64_t word_at(const uint8_t* heap, int32_t start, int32_t stop) noexcept nogil:
    """7 bytes, the first the highest, then how many bytes are left: 8 = more than 7."""
    cdef uint64_t word = 0
    cdef int32_t left = stop - start
    cdef int i
    if left > TEXT_BYTES:
        for i in range(TEXT_BYTES):
            word = (word << 8) | heap[start + i]
        return (word << 8) | 8
    for i in range(left):
        word = (word << 8) | heap[start + i]
    return (word << (8 * (8 - left))) | <uint64_t>left


cdef void insertion(uint64_t* keys, int32_t* order, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef uint64_t key
    cdef int32_t row
    for i in range(1, n):
        key = keys[i]
        row = order[i]
        j = i
        while j and keys[j - 1] > key:
            keys[j] = keys[j - 1]
            order[j] = order[j - 1]
            j -= 1
        keys[j] = key
        order[j] = row


cdef void sort_texts(
    const int32_t* offsets, const uint8_t* heap, int32_t* order, Py_ssize_t n,
    uint64_t* keys, uint64_t* other_keys, int32_t* other_order, int32_t* waiting,
) noexcept nogil:
    """waiting: room for 3 * (n // 2 + 1) numbers: runs of at least two that wait do not overlap."""
    cdef Py_ssize_t runs = 1, start, stop, i, j
    cdef int32_t depth, row
    waiting[0] = 0
    waiting[1] = <int32_t>n
    waiting[2] = 0
    while runs:
        runs -= 1
        start = waiting[3 * runs]
        stop = waiting[3 * runs + 1]
        depth = waiting[3 * runs + 2]
        for i in range(start, stop):
            row = order[i]
            keys[i] = word_at(heap, offsets[row] + depth, offsets[row + 1])
        if stop - start < SHORT_RUN:
            insertion(keys + start, order + start, stop - start)
        else:
            radix(keys + start, order + start, other_keys, other_order, stop - start)
        i = start
        while i < stop:
            j = i + 1
            while j < stop and keys[j] == keys[i]:
                j += 1
            if j - i > 1 and keys[i] & 15 == 8:
                waiting[3 * runs] = <int32_t>i
                waiting[3 * runs + 1] = <int32_t>j
                waiting[3 * runs + 2] = depth + TEXT_BYTES
                runs += 1
            i = j


def text_ranks(
    const int32_t[::1] offsets not None, const uint8_t[::1] heap not None, uint32_t[::1] ranks not None,
    int32_t[::1] order not None, uint64_t[::1] keys not None, uint64_t[::1] other_keys not None,
    int32_t[::1] other_order not None, int32_t[::1] waiting not None,
):
    """ranks: how many distinct smaller texts there are. Returns how many distinct ones there are in all.

    order: 0..n-1, is left sorted. keys, other_keys, other_order: room for n; waiting: for 3 * (n // 2 + 1).
    """
    cdef Py_ssize_t n = offsets.shape[0] - 1, i
    cdef int32_t rank = 0, a, b, size
    if n < 0 or ranks.shape[0] != n or order.shape[0] != n or waiting.shape[0] < 3 * (n // 2 + 1):
        raise ValueError("offsets, ranks and order do not fit together")
    if keys.shape[0] < n or other_keys.shape[0] < n or other_order.shape[0] < n:
        raise ValueError("too little room to sort in")
    if n == 0:
        return 0
    if offsets[0] < 0 or offsets[n] > heap.shape[0]:
        raise ValueError("offsets lead out of the heap")
    cdef const uint8_t* bytes = NULL
    if heap.shape[0]:
        bytes = &heap[0]
    with nogil:
        sort_texts(&offsets[0], bytes, &order[0], n, &keys[0], &other_keys[0], &other_order[0], &waiting[0])
        ranks[order[0]] = 0
        for i in range(1, n):
            a = order[i - 1]
            b = order[i]
            size = offsets[a + 1] - offsets[a]
            if size != offsets[b + 1] - offsets[b] or (size and memcmp(bytes + offsets[a], bytes + offsets[b], size)):
                rank += 1
            ranks[b] = rank
    return rank + 1


def texts_within(
    const int32_t[::1] offsets not None, const uint8_t[::1] heap not None, const uint8_t[::1] bound not None,
    bint descending, uint8_t[::1] mask not None,
):
    """mask: 1 where the text is at most the bound; descending: at least."""
    cdef Py_ssize_t n = mask.shape[0], i, size, length = bound.shape[0]
    cdef int sign
    if offsets.shape[0] != n + 1:
        raise ValueError("offsets and mask do not fit together")
    if n and (offsets[0] < 0 or offsets[n] > heap.shape[0]):
        raise ValueError("offsets lead out of the heap")
    with nogil:
        for i in range(n):
            size = offsets[i + 1] - offsets[i]
            sign = 0
            if size and length:
                sign = memcmp(&heap[offsets[i]], &bound[0], min(size, length))
            if sign == 0:
                sign = (size > length) - (size < length)
            mask[i] = sign >= 0 if descending else sign <= 0
