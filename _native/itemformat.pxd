"""The bytes of an item: tags, the head, and walking over values without making objects. kvitem.pyx draws the layout."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from buffers cimport Reader, get_length, get_varint


cdef enum:
    TAG_ASCII = 1
    TAG_TEXT = 2
    TAG_INT = 3
    TAG_DECIMAL = 4
    TAG_BYTES = 5
    TAG_TRUE = 6
    TAG_FALSE = 7
    TAG_NULL = 8
    TAG_MAP = 9
    TAG_LIST = 10
    TAG_TEXT_SET = 11
    TAG_NUMBER_SET = 12
    TAG_BYTES_SET = 13

    HEAD_BYTES = 4
    EXPIRES_BYTES = 8
    HAS_EXPIRY = 1
    MAX_DEPTH = 32  # maps and lists inside each other, not counting the item itself
    COEFFICIENT_BYTES = 16


cdef inline bint get_head(Reader* source, uint32_t* size, uint64_t* expires) noexcept nogil:
    """Reads the head and stands at the body then; expires is 0 where the item has none."""
    cdef uint32_t head
    expires[0] = 0
    if source.end - source.at < HEAD_BYTES:
        return False
    memcpy(&head, source.at, HEAD_BYTES)
    source.at += HEAD_BYTES
    size[0] = head >> 8
    head &= 0xFF
    if head == HAS_EXPIRY:
        if source.end - source.at < EXPIRES_BYTES:
            return False
        memcpy(expires, source.at, EXPIRES_BYTES)
        source.at += EXPIRES_BYTES
        return True
    return head == 0


cdef inline bint is_ascii(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef uint64_t word, seen = 0
    cdef Py_ssize_t i = 0
    if size >= 8:
        while i + 8 <= size:
            memcpy(&word, data + i, 8)
            seen |= word
            i += 8
        memcpy(&word, data + size - 8, 8)  # the rest, some bytes twice
        seen |= word
    else:
        while i < size:
            seen |= data[i]
            i += 1
    return seen & 0x8080808080808080ULL == 0


cdef inline bint skip_name(Reader* source) noexcept nogil:
    cdef uint64_t number
    if not get_varint(source, &number):
        return False
    if number == 0:
        if not get_length(source, &number):
            return False
        source.at += number
    return True


cdef inline bint skip_decimal(Reader* source) noexcept nogil:
    cdef uint64_t number
    cdef int size
    if not get_varint(source, &number) or source.at >= source.end:
        return False
    size = source.at[0] & 0x7F
    source.at += 1
    if size > COEFFICIENT_BYTES or source.end - source.at < size:
        return False
    source.at += size
    return True


cdef inline bint skip_value(Reader* source, int depth) noexcept nogil:
    """Passes over one value; False where it is damaged."""
    cdef uint8_t tag
    cdef uint64_t number, length, i
    if source.at >= source.end:
        return False
    tag = source.at[0]
    source.at += 1
    if TAG_TRUE <= tag <= TAG_NULL:
        return True
    if tag == TAG_INT:
        return get_varint(source, &number)
    if tag == TAG_DECIMAL:
        return skip_decimal(source)
    if not get_length(source, &number):
        return False
    if tag == TAG_ASCII or tag == TAG_TEXT or tag == TAG_BYTES:
        source.at += number
        return True
    if tag == TAG_TEXT_SET or tag == TAG_BYTES_SET:
        for i in range(number):
            if not get_length(source, &length):
                return False
            source.at += length
        return True
    if depth >= MAX_DEPTH or not TAG_MAP <= tag <= TAG_NUMBER_SET:
        return False
    for i in range(number):
        if tag == TAG_MAP and not skip_name(source):
            return False
        if not skip_value(source, depth + 1):
            return False
    return True
