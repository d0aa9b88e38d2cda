"""A str as a JSON string in UTF-8, with the escapes of RFC 8785 and no others.

Escaped are the controls, the quote and the backslash: by a letter where JSON has one, else as \\u00xx. ASCII is copied
eight bytes at a time as long as nothing is to be escaped. Anything else is written from its code points: asking CPython
for the UTF-8 would leave a copy in every str for as long as it lives.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from buffers cimport Writer, put_byte, put_bytes, reserve
from texts cimport is_ascii_text, text_data, text_length


cdef extern from "Python.h":
    int text_kind "PyUnicode_KIND"(object)
    uint32_t text_unit "PyUnicode_READ"(int, void*, Py_ssize_t) nogil

cdef enum:
    STRETCH = 256       # code points for which room is made at once
    LONGEST_ESCAPE = 6  # \u001f


cdef inline bint has_zero(uint64_t word) noexcept nogil:
    return (word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL != 0


cdef inline bint has_escape(uint64_t word) noexcept nogil:
    """Whether one of eight ASCII characters is a control, a quote or a backslash."""
    return (
        (word - 0x2020202020202020ULL) & 0x8080808080808080ULL != 0  # a borrow comes from a control, or not at all
        or has_zero(word ^ 0x2222222222222222ULL) or has_zero(word ^ 0x5C5C5C5C5C5C5C5CULL)
    )


cdef inline bint is_escaped(uint32_t c) noexcept nogil:
    return c < 32 or c == 34 or c == 92


cdef inline void put_escape(Writer* out, uint32_t c) noexcept nogil:
    cdef const char* letters = "uuuuuuuubtnufruu"  # of the first 16 controls
    cdef const char* digits = "0123456789abcdef"
    cdef uint8_t letter = c if c > 31 else 117 if c > 15 else letters[c]
    put_byte(out, 92)
    put_byte(out, letter)
    if letter == 117:
        put_bytes(out, b"00", 2)
        put_byte(out, digits[c >> 4])
        put_byte(out, digits[c & 15])


cdef inline void put_code_point(Writer* out, uint32_t c) noexcept nogil:
    """At most LONGEST_ESCAPE bytes."""
    if is_escaped(c):
        put_escape(out, c)
    elif c < 0x80:
        put_byte(out, <uint8_t>c)
    elif c < 0x800:
        put_byte(out, <uint8_t>(0xC0 | c >> 6))
        put_byte(out, <uint8_t>(0x80 | c & 0x3F))
    elif c < 0x10000:
        put_byte(out, <uint8_t>(0xE0 | c >> 12))
        put_byte(out, <uint8_t>(0x80 | c >> 6 & 0x3F))
        put_byte(out, <uint8_t>(0x80 | c & 0x3F))
    else:
        put_byte(out, <uint8_t>(0xF0 | c >> 18))
        put_byte(out, <uint8_t>(0x80 | c >> 12 & 0x3F))
        put_byte(out, <uint8_t>(0x80 | c >> 6 & 0x3F))
        put_byte(out, <uint8_t>(0x80 | c & 0x3F))


cdef inline Py_ssize_t put_plain(Writer* out, const uint8_t* source, Py_ssize_t size) noexcept nogil:
    """Copy ASCII up to the first character that is to be escaped: how many that is. There is room for all of it."""
    cdef uint8_t* to = out.start + out.used
    cdef uint64_t word
    cdef Py_ssize_t i = 0
    while size - i >= 8:
        memcpy(&word, source + i, 8)
        if has_escape(word):
            break
        memcpy(to + i, &word, 8)
        i += 8
    while i < size and not is_escaped(source[i]):
        to[i] = source[i]
        i += 1
    out.used += i
    return i


cdef inline int put_string(Writer* out, object text) except -1:
    """Returns 1, and not -1 with an exception, where there is an unpaired surrogate."""
    cdef Py_ssize_t i = 0, stop, size = text_length(text)
    cdef int kind = text_kind(text)
    cdef void* data = text_data(text)
    cdef uint32_t c
    if is_ascii_text(text):
        reserve(out, size + 2)
        put_byte(out, 34)
        i = put_plain(out, <const uint8_t*>data, size)
        if i == size:
            put_byte(out, 34)
            return 0
    else:
        reserve(out, 1)
        put_byte(out, 34)
    while i < size:
        stop = min(size, i + STRETCH)
        reserve(out, (stop - i) * LONGEST_ESCAPE)
        while i < stop:
            c = text_unit(kind, data, i)
            if 0xD800 <= c < 0xE000:
                return 1
            put_code_point(out, c)
            i += 1
    reserve(out, 1)
    put_byte(out, 34)
    return 0
