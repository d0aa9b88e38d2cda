"""The members of a JSON object in the order of their keys' UTF-16 code units, as RFC 8785 wants them.

A key is compared by its prefix, the first eight code units as one integer, and only where these are equal, unit by
unit. Sorted are pointers to the members, by insertion where they are few, as they are in documents.
"""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from jsontexts cimport text_kind, text_unit
from texts cimport text_data, text_length


cdef extern from "stdlib.h":
    void qsort(void*, size_t, size_t, int (*)(const void*, const void*) noexcept)  # libc.stdlib's wants no GIL

cdef extern from *:
    """
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define first_is_highest(word) (word)
    #else
    #define first_is_highest(word) __builtin_bswap64(word)
    #endif
    """
    uint64_t first_is_highest(uint64_t) nogil

cdef enum:
    FEW = 24  # sorted by insertion, and on the stack


cdef struct Member:
    uint64_t prefix
    PyObject* key     # borrowed, both
    PyObject* value


cdef inline uint64_t prefix_of(object key) noexcept:
    """The first eight code units, a byte each; all ones from the first one on that takes more. Never out of order."""
    cdef Py_ssize_t i, size = text_length(key)
    cdef int kind = text_kind(key)
    cdef void* data = text_data(key)
    cdef uint64_t prefix = 0
    cdef uint32_t unit
    if kind == 1 and size >= 8:
        memcpy(&prefix, data, 8)
        return first_is_highest(prefix)
    for i in range(min(size, 8)):
        unit = (<const uint8_t*>data)[i] if kind == 1 else text_unit(kind, data, i)
        if unit > 0xFF:
            return prefix | (<uint64_t>-1 >> (8 * i))
        prefix |= <uint64_t>unit << (56 - 8 * i)
    return prefix


cdef inline uint32_t place_of(uint32_t c) noexcept nogil:
    """Code points in the order of their UTF-16: from U+E000 on, those of one unit come after those of two."""
    return c + 0x200000 if 0xE000 <= c < 0x10000 else c


cdef inline int compare_texts(object left, object right) noexcept:
    cdef Py_ssize_t i, left_size = text_length(left), right_size = text_length(right), size = min(left_size, right_size)
    cdef int left_kind = text_kind(left), right_kind = text_kind(right), order
    cdef void* left_data = text_data(left)
    cdef void* right_data = text_data(right)
    cdef uint32_t a, b
    if left_kind == right_kind == 1:
        order = memcmp(left_data, right_data, size)
        if order:
            return order
    else:
        for i in range(size):
            a, b = text_unit(left_kind, left_data, i), text_unit(right_kind, right_data, i)
            if a != b:
                return -1 if place_of(a) < place_of(b) else 1
    return (left_size > right_size) - (left_size < right_size)


cdef inline int compare(const Member* left, const Member* right) noexcept:
    if left.prefix != right.prefix:
        return -1 if left.prefix < right.prefix else 1
    return compare_texts(<object>left.key, <object>right.key)


cdef inline int compare_for_qsort(const void* left, const void* right) noexcept:
    return compare((<const Member* const*>left)[0], (<const Member* const*>right)[0])


cdef inline void sort(Member** order, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i, j
    cdef Member* member
    if n > FEW:
        qsort(order, n, sizeof(Member*), compare_for_qsort)
        return
    for i in range(1, n):
        member = order[i]
        j = i
        while j > 0 and compare(member, order[j - 1]) < 0:
            order[j] = order[j - 1]
            j -= 1
        order[j] = member
