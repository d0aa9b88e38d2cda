"""Order-preserving keys: sorted as bytes, they are in the order of the values they were made from.

KeyCodec, for tables whose keys have one or two typed components (S string, N number, B bytes):

    first component     S, B: the bytes, every 00 written 00 FF, then the end 00 01     N: see decimals.pxd
    second component    S, B: the bytes as they are                                     N: the same

Strings are UTF-8, so they sort by code point. The first component ends by itself, so its bytes are the common
prefix of all keys in its partition and of no others.

encode_tuple, for tuples of any length and of values of any type. A tag byte leads each value and orders the types:

    None 10 | False 18, True 19 | int64: 28 + n, then the magnitude in n bytes; negative 28 - n, magnitude inverted
    float 38, then 8 bytes, the sign bit flipped or, if negative, all bits | Decimal 40 | bytes 48, text 50 as above

A tuple's bytes are a prefix of those of every tuple that continues it, so it sorts before them.

cut() shortens keys that LMDB would refuse: the first 900 bytes of the first component, 00 02, and 16 bytes of BLAKE2b
of all of it. The pair 00 02 occurs nowhere else, so a cut key is never taken for another; within one partition the
order stays exact.

Simpler than FoundationDB's tuple layer, the model: no nesting, and Decimal instead of big integers.

Invariants
* encode(a) < encode(b) exactly when a < b; decode(encode(a)) == a.
* No encoded first component is a prefix of another.
* Wrong values raise ValueError with a sentence for the user; wrong bytes raise ValueError, whatever they are.
"""

cimport cython
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize, PyBytes_GET_SIZE,
)
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcpy

from buffers cimport Writer, end_writer, put_byte, reserve, start_writer
from decimals cimport (
    FINE, Number, PyLong_AsLongLongAndOverflow, get_key_number, number_advice, number_from_object, number_problem,
    number_to_object, put_key_number, type_name,
)
from texts cimport is_text, text_bytes

from decimal import Decimal
from hashlib import blake2b

cdef type DECIMAL = Decimal

cdef enum:
    PARTITION_BYTES = 2048
    SORT_BYTES = 1024
    LONGEST_KEY = 2 * PARTITION_BYTES + 2 + 2 * SORT_BYTES + 2
    KEPT_BYTES = 900
    DIGEST_BYTES = 16
    TUPLE_ROOM = 512

cdef Py_ssize_t[2] LIMITS = [PARTITION_BYTES, SORT_BYTES]
cdef dict KIND_NAMES = {83: "a string (S)", 78: "a number (N)", 66: "bytes (B)"}


# --- one value ---


cdef inline Py_ssize_t put_escaped(uint8_t* out, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Writes at most 2 * size + 2 bytes."""
    cdef uint8_t* at = out
    cdef Py_ssize_t i
    if size and memchr(data, 0, size) != NULL:
        for i in range(size):
            at[0] = data[i]
            at += 1
            if data[i] == 0:
                at[0] = 0xFF
                at += 1
    else:
        memcpy(at, data, size)
        at += size
    at[0] = 0
    at[1] = 1
    return at + 2 - out


cdef Py_ssize_t end_of_escaped(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Where the bytes after the end mark begin, or -1 where there is none."""
    cdef Py_ssize_t i = 0
    while i + 1 < size:
        if data[i] != 0:
            i += 1
        elif data[i + 1] == 0xFF:
            i += 2
        else:
            return i + 2 if data[i + 1] == 1 else -1
    return -1


cdef bytes unescaped(const uint8_t* data, Py_ssize_t size):
    cdef bytes plain = PyBytes_FromStringAndSize(<const char*>data, size)
    return plain.replace(b"\0\xff", b"\0") if size and memchr(data, 0, size) != NULL else plain


# --- keys of tables ---


@cython.auto_pickle(False)
@cython.final
cdef class KeyCodec:
    """Keys of one table: types is "S", "N", "B" or two of these letters, partition key first.

    ended: the last component ends by itself too, as in an index, where more bytes follow.
    """

    cdef readonly str types
    cdef readonly bint ended
    cdef int count
    cdef uint8_t[2] kinds

    def __init__(self, str types not None, bint ended=False):
        if not 1 <= len(types) <= 2 or types.strip("SNB"):
            raise ValueError(f"key types are one or two of the letters S, N and B, got {types!r}")
        self.types = types
        self.ended = ended
        self.count = len(types)
        for i, letter in enumerate(types):
            self.kinds[i] = ord(letter)

    def encode(self, tuple values not None):
        """The bytes of a key: one value for each component."""
        cdef uint8_t room[LONGEST_KEY]
        cdef Py_ssize_t size
        if len(values) != self.count:
            raise ValueError(f"the key has {self.parts()}, got {len(values)}: {values!r:.200}; give each by itself")
        size = self.put(room, 0, values[0], None)
        if self.count == 2:
            size += self.put(room + size, 1, values[1], None)
        return PyBytes_FromStringAndSize(<char*>room, size)

    def encode_from(self, dict item not None, tuple names not None):
        """The bytes of an item's key; names are those of the key attributes."""
        cdef uint8_t room[LONGEST_KEY]
        cdef Py_ssize_t size = 0
        cdef int i
        cdef PyObject* value
        if len(names) != self.count:
            raise ValueError(f"the key has {self.parts()}, got {len(names)} names: {names!r:.200}")
        for i in range(self.count):
            value = PyDict_GetItemWithError(item, names[i])
            if value == NULL:
                kind = KIND_NAMES[self.kinds[i]]
                raise ValueError(f"the key attribute {names[i]!r} is missing: every item here needs it, as {kind}")
            size += self.put(room + size, i, <object>value, names[i])
        return PyBytes_FromStringAndSize(<char*>room, size)

    def encode_if_present(self, dict item not None, tuple names not None):
        """The same, or None where the item lacks one of these attributes."""
        for name in names:
            if PyDict_GetItemWithError(item, name) == NULL:
                return None
        return self.encode_from(item, names)

    def encode_one(self, int component_index, value):
        """The bytes of one component, as they stand in a key: for the bounds of a range."""
        cdef uint8_t room[LONGEST_KEY]
        cdef Py_ssize_t size
        if not 0 <= component_index < self.count:
            raise ValueError(f"the key has {self.parts()}, there is no component {component_index} (the first is 0)")
        size = self.put(room, component_index, value, None)
        return PyBytes_FromStringAndSize(<char*>room, size)

    def prefix(self, partition):
        """What all keys of a partition begin with, and no others."""
        return self.encode_one(0, partition)

    def decode(self, bytes key not None):
        """The values again; numbers as int where whole and below 10**38. A key that was cut can not be decoded."""
        cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(key)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(key), at
        cdef Number number
        if self.kinds[0] == c"N":
            at = get_key_number(&number, data, size)
            first = number_to_object(&number, DECIMAL) if at >= 0 else None
        else:
            at = end_of_escaped(data, size)
            first = self.text_or_bytes(0, unescaped(data, at - 2)) if at >= 0 else None
        if at < 0 or (self.count == 1 and at != size):
            raise damaged_key(key)
        if self.count == 1:
            return (first,)
        if self.kinds[1] != c"N":
            return (first, self.text_or_bytes(1, PyBytes_FromStringAndSize(<const char*>data + at, size - at)))
        if get_key_number(&number, data + at, size - at) != size - at or at == size:
            raise damaged_key(key)
        return (first, number_to_object(&number, DECIMAL))

    cdef object text_or_bytes(self, int index, bytes value):
        return value.decode() if self.kinds[index] == c"S" else value

    cdef str parts(self):
        return "one component" if self.count == 1 else "two components"

    cdef Py_ssize_t put(self, uint8_t* out, int index, object value, object name) except -1:
        """Writes one component; name is the attribute's for the error message, or None."""
        cdef uint8_t kind = self.kinds[index]
        cdef const char* data
        cdef Py_ssize_t size = 0
        cdef Number number
        cdef int problem
        if kind == c"S":
            if not is_text(value):
                raise wrong_type(index, kind, value, name)
            data = text_bytes(value, &size)
            if data == NULL:
                who = label(index, name)
                raise ValueError(f"{who} has an unpaired surrogate and can not be written as UTF-8: {value!r:.80}")
        elif kind == c"B":
            if isinstance(value, bytearray):
                value = bytes(value)
            if not PyBytes_Check(value):
                raise wrong_type(index, kind, value, name)
            data, size = PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
        else:
            if isinstance(value, bool) or not isinstance(value, (int, DECIMAL)):
                raise wrong_type(index, kind, value, name)
            problem = number_from_object(&number, value, DECIMAL)
            if problem != FINE:
                raise ValueError(f"{label(index, name)} {number_problem(problem, value)}")
            return put_key_number(out, &number)
        if size == 0:
            raise ValueError(f"{label(index, name)} is empty: in a key, strings and bytes must hold something")
        if size > LIMITS[index]:
            which = "partition" if index == 0 else "sort"
            who, limit = label(index, name), LIMITS[index]
            raise ValueError(f"{who} has {size:,} bytes: a {which} key may have at most {limit:,}")
        if index == 0 or self.ended:
            return put_escaped(out, <const uint8_t*>data, size)
        memcpy(out, data, size)
        return size


cdef str label(int index, object name):
    if name is not None:
        return f"the key attribute {name!r}"
    return "the partition key" if index == 0 else "the sort key"


cdef object wrong_type(int index, uint8_t kind, object value, object name):
    advice = number_advice(value) if kind == c"N" and not isinstance(value, (str, bytes, bool)) else ""
    who, given = label(index, name), type_name(value)
    return ValueError(f"{who} must be {KIND_NAMES[kind]}, got {given} {value!r:.80}{advice}")


cdef object damaged_key(bytes key):
    return ValueError(f"these are not the bytes of a key of this table, or it was cut: {key[:64].hex(' ')}")


# --- tuples ---


def encode_tuple(tuple values not None):
    """Bytes that sort as the values do: None, bool, int64, float, Decimal, bytes and str, in this order of types."""
    cdef uint8_t room[TUPLE_ROOM]
    cdef Writer out
    start_writer(&out, room, TUPLE_ROOM)
    try:
        for value in values:
            put_tagged(&out, value)
        return PyBytes_FromStringAndSize(<char*>out.start, out.used)
    finally:
        end_writer(&out)


cdef int put_tagged(Writer* out, object value) except -1:
    cdef Py_ssize_t size = 0
    cdef const char* data
    cdef Number number
    cdef int problem = 0
    cdef int64_t small
    reserve(out, 32)
    if is_text(value):
        data = text_bytes(value, &size)
        if data == NULL:
            raise ValueError(f"a string with an unpaired surrogate can not be written as UTF-8: {value!r:.80}")
        reserve(out, 2 * size + 3)
        put_byte(out, 0x50)
        out.used += put_escaped(out.start + out.used, <const uint8_t*>data, size)
    elif value is None:
        put_byte(out, 0x10)
    elif isinstance(value, bool):
        put_byte(out, 0x19 if value else 0x18)
    elif isinstance(value, int):
        small = PyLong_AsLongLongAndOverflow(value, &problem)
        if problem:
            raise ValueError("an int in a key must fit 64 bits: use a Decimal for a larger one")
        put_integer(out, small)
    elif isinstance(value, float):
        if value != value:
            raise ValueError("NaN has no place in an order: leave it out of the key")
        put_float(out, value)
    elif isinstance(value, DECIMAL):
        problem = number_from_object(&number, value, DECIMAL)
        if problem != FINE:
            raise ValueError(f"the key {number_problem(problem, value)}")
        put_byte(out, 0x40)
        out.used += put_key_number(out.start + out.used, &number)
    elif PyBytes_Check(value):
        size = PyBytes_GET_SIZE(value)
        reserve(out, 2 * size + 3)
        put_byte(out, 0x48)
        out.used += put_escaped(out.start + out.used, <const uint8_t*>PyBytes_AS_STRING(value), size)
    else:
        raise ValueError(
            f"a key may hold None, bool, int, float, Decimal, bytes and str, got {type(value).__name__} {value!r:.80}"
        )
    return 0


cdef void put_integer(Writer* out, int64_t value) noexcept:
    cdef uint64_t magnitude = <uint64_t>value if value >= 0 else 0 - <uint64_t>value
    cdef uint8_t inverted = 0xFF if value < 0 else 0
    cdef int n = 0, i
    while n < 8 and magnitude >> (8 * n):
        n += 1
    put_byte(out, <uint8_t>(0x28 + (0 - n if value < 0 else n)))
    for i in range(n - 1, -1, -1):
        put_byte(out, <uint8_t>(magnitude >> (8 * i)) ^ inverted)


cdef void put_float(Writer* out, double value) noexcept:
    cdef uint64_t bits
    cdef int i
    value += 0.0  # -0.0 becomes 0.0: they are equal
    memcpy(&bits, &value, 8)
    bits ^= 0xFFFFFFFFFFFFFFFFULL if bits >> 63 else <uint64_t>1 << 63
    put_byte(out, 0x38)
    for i in range(7, -1, -1):
        put_byte(out, <uint8_t>(bits >> (8 * i)))


def decode_tuple(bytes key not None):
    """The values that encode_tuple wrote; ValueError for any other bytes."""
    cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(key)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(key), at = 0, length
    cdef list values = []
    while at < size:
        value, length = get_tagged(data + at, size - at)
        if length < 0:
            raise ValueError(f"these are not the bytes of a tuple, at offset {at}: {key[at:at + 64].hex(' ')}")
        values.append(value)
        at += length
    return tuple(values)


cdef tuple get_tagged(const uint8_t* data, Py_ssize_t size):
    """(value, bytes used), or (None, -1)."""
    cdef uint8_t tag = data[0]
    cdef uint64_t bits = 0
    cdef double real
    cdef Number number
    cdef Py_ssize_t length
    cdef int n, i
    if tag == 0x10:
        return (None, 1)
    if tag == 0x18 or tag == 0x19:
        return (tag == 0x19, 1)
    if 0x20 <= tag <= 0x30:
        n = tag - 0x28 if tag >= 0x28 else 0x28 - tag
        if size < 1 + n or (n and (data[1] ^ (0xFF if tag < 0x28 else 0)) == 0):
            return (None, -1)
        for i in range(n):
            bits = bits << 8 | (data[1 + i] ^ (0xFF if tag < 0x28 else 0))
        if bits > (<uint64_t>1 << 63) - (tag >= 0x28):
            return (None, -1)
        return (<int64_t>(0 - bits) if tag < 0x28 else <int64_t>bits, 1 + n)
    if tag == 0x38:
        if size < 9:
            return (None, -1)
        for i in range(8):
            bits = bits << 8 | data[1 + i]
        bits ^= <uint64_t>1 << 63 if bits >> 63 else 0xFFFFFFFFFFFFFFFFULL
        memcpy(&real, &bits, 8)
        return (real, 9)
    if tag == 0x40:
        length = get_key_number(&number, data + 1, size - 1)
        return (DECIMAL(number_to_object(&number, DECIMAL)), 1 + length) if length >= 0 else (None, -1)
    if tag == 0x48 or tag == 0x50:
        length = end_of_escaped(data + 1, size - 1)
        if length < 0:
            return (None, -1)
        raw = unescaped(data + 1, length - 2)
        return (raw if tag == 0x48 else PyUnicode_DecodeUTF8(PyBytes_AS_STRING(raw), len(raw), NULL), 1 + length)
    return (None, -1)


# --- keys that are too long for LMDB ---


def cut(bytes key not None, Py_ssize_t limit):
    """The key of a KeyCodec itself if it has at most limit bytes, else the cut form, which can not be decoded."""
    cdef Py_ssize_t end, kept = KEPT_BYTES
    cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(key)
    if PyBytes_GET_SIZE(key) <= limit:
        return key
    end = end_of_escaped(data, PyBytes_GET_SIZE(key))
    if end < 0 or end - 2 <= kept:
        raise ValueError(f"a key of {len(key):,} bytes can not be cut to {limit:,}: its partition key is short enough")
    if splits_escape(data, kept):
        kept -= 1
    short = key[:kept] + b"\0\x02" + blake2b(key[:end], digest_size=DIGEST_BYTES).digest() + key[end:]
    if len(short) > limit:
        raise ValueError(f"a key of {len(key):,} bytes can not be cut to {limit:,}: {len(short):,} remain")
    return short


cdef bint splits_escape(const uint8_t* data, Py_ssize_t at) noexcept nogil:
    """Whether the byte at `at` is the FF of a 00 FF: a 00 begins an escape, and so a lone FF follows none."""
    return data[at] == 0xFF and data[at - 1] == 0
