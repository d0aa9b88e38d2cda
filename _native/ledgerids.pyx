"""Ids of a ledger: 16 bytes, shown as 22 characters of base 62. engines/ledger/ids.py says what they are made of.

    digits    0-9 A-Z a-z, most significant first: texts sort as the bytes do

Invariants: parse_id(show_id(raw)) is raw; no text but show_id's own is taken.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int8_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

cdef const char* DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
cdef int8_t[128] DIGIT_VALUES
memset(DIGIT_VALUES, -1, 128)
for _value in range(62):
    DIGIT_VALUES[<int>DIGITS[_value]] = _value

cdef enum:
    SHOWN = 22  # characters of base 62 that hold 128 bits


def show_id(bytes raw not None):
    """The 22 characters of base 62 that show 16 bytes. ValueError for any other number of bytes."""
    cdef uint8_t[16] digits
    cdef char[SHOWN] text
    cdef int i, j
    cdef uint32_t rest
    if len(raw) != 16:
        raise ValueError(f"an id has 16 bytes, got {len(raw)}")
    memcpy(digits, PyBytes_AS_STRING(raw), 16)
    for i in range(SHOWN - 1, -1, -1):  # long division by 62, a byte at a time
        rest = 0
        for j in range(16):
            rest = rest << 8 | digits[j]
            digits[j] = <uint8_t>(rest // 62)
            rest %= 62
        text[i] = DIGITS[rest]
    return PyUnicode_DecodeASCII(text, SHOWN, NULL)


def parse_id(str text not None):
    """The 16 bytes that a text of show_id() shows; None where it shows none."""
    cdef uint8_t[16] digits
    cdef int i, j
    cdef uint32_t rest
    cdef Py_UCS4 character
    if len(text) != SHOWN:
        return None
    memset(digits, 0, 16)
    for i in range(SHOWN):
        character = text[i]
        if character >= 128 or DIGIT_VALUES[character] < 0:
            return None
        rest = <uint32_t>DIGIT_VALUES[character]
        for j in range(15, -1, -1):
            rest += <uint32_t>digits[j] * 62
            digits[j] = <uint8_t>rest
            rest >>= 8
        if rest:
            return None
    return PyBytes_FromStringAndSize(<const char*>digits, 16)
