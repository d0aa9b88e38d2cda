"""Reading an item's bytes: tags, the head, passing over values, and making the plain ones into objects.

kvitem.pyx draws the layout. Every length is checked against the end before use. The nogil functions return False at
damage; the others raise damaged().
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from buffers cimport Reader, get_length, get_varint
from decimals cimport Number, number_from_coefficient, number_to_object
from texts cimport new_ascii_text, text_data


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
    IS_STAMPED = 2  # the last STAMP_BYTES are no part of the item: see kvstamp.pyx
    STAMP_BYTES = 8
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
    if head & IS_STAMPED:
        if source.end - source.at < STAMP_BYTES:
            return False
        source.end -= STAMP_BYTES
        head ^= IS_STAMPED
    if head == HAS_EXPIRY:
        if source.end - source.at < EXPIRES_BYTES:
            return False
        memcpy(expires, source.at, EXPIRES_BYTES)
        source.at += EXPIRES_BYTES
        return True
    return head == 0


cdef inline void peek_head(const Py_buffer* image, uint32_t* size, uint64_t* expires) noexcept nogil:
    """What the head says, without a look at the rest: 0 for what the bytes are too few for, decoding finds that out."""
    cdef uint32_t head = 0
    expires[0] = 0
    if image.len >= HEAD_BYTES:
        memcpy(&head, image.buf, HEAD_BYTES)
        if head & HAS_EXPIRY and image.len >= HEAD_BYTES + EXPIRES_BYTES:
            memcpy(expires, <const uint8_t*>image.buf + HEAD_BYTES, EXPIRES_BYTES)
    size[0] = head >> 8


cdef inline bint is_ascii(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef uint64_t word, seen = 0
    cdef uint64_t words[4]
    cdef Py_ssize_t i = 0
    while i + 32 <= size:
        memcpy(words, data + i, 32)
        seen |= (words[0] | words[1]) | (words[2] | words[3])
        i += 32
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
    cdef uint64_t number, length
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
        for _ in range(number):
            if not get_length(source, &length):
                return False
            source.at += length
        return True
    if depth >= MAX_DEPTH or not TAG_MAP <= tag <= TAG_NUMBER_SET:
        return False
    for _ in range(number):
        if tag == TAG_MAP and not skip_name(source):
            return False
        if not skip_value(source, depth + 1):
            return False
    return True


cdef inline object damaged(Reader* source):
    return ValueError(f"damaged item: wrong before byte {source.at - source.start} of {source.end - source.start}")


cdef inline object get_ascii(Reader* source):
    cdef uint64_t length = 0
    if not get_length(source, &length) or not is_ascii(source.at, length):
        raise damaged(source)
    text = new_ascii_text(length, 127)
    memcpy(text_data(text), source.at, length)
    source.at += length
    return text


cdef inline object get_text(Reader* source):
    cdef uint64_t length = 0
    if not get_length(source, &length):
        raise damaged(source)
    source.at += length
    return PyUnicode_DecodeUTF8(<const char*>source.at - length, length, NULL)


cdef inline object get_bytes(Reader* source):
    cdef uint64_t length = 0
    if not get_length(source, &length):
        raise damaged(source)
    source.at += length
    return PyBytes_FromStringAndSize(<const char*>source.at - length, length)


cdef inline object get_decimal(Reader* source, type decimal):
    cdef Number number
    cdef uint64_t power = 0
    cdef uint8_t size
    if not get_varint(source, &power) or power > 0x3FF or source.at >= source.end:
        raise damaged(source)
    size = source.at[0] & 0x7F
    number.negative = source.at[0] >> 7
    source.at += 1
    if source.end - source.at < size or not number_from_coefficient(&number, source.at, size):
        raise damaged(source)
    source.at += size
    number.exponent = number.count + <int>(power >> 1 ^ (0 - (power & 1)))
    if number.exponent > 126 or number.exponent < -129:
        raise damaged(source)
    return number_to_object(&number, decimal)
