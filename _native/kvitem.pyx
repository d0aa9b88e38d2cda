"""Items as bytes: a dict of attributes to a compact form and back, with a number for every attribute name of a table.

    item    head u32: bit 0 an expiry follows, bit 1 a stamp ends it (kvstamp.pyx), upper 24 bits the item's size
            | [expires u64, seconds] | pairs | [stamp u64]
    pairs   varint count, then for each: name, value
    name    varint number + 1, or 0, varint length, UTF-8
    value   tag u8, then

            ascii 1, text 2, bytes 5     varint length, bytes
            int 3                        zigzag varint: whole numbers that fit 64 bits
            decimal 4                    zigzag varint power of ten, u8 sign << 7 | n, coefficient in n <= 16 bytes
            true 6, false 7, null 8
            map 9                        pairs          list 10      varint count, values
            text set 11, bytes set 13    varint count, (varint length, bytes)...
            number set 12                varint count, int or decimal values

All integers are little-endian. The head answers capacity units (size) and TTL (expires) without reading on. Size is by
DynamoDB's rules: names and strings in UTF-8 bytes, a number one byte and one more for every two digits (and for a minus
sign), true, false and null 1, a map or list 3 and one more for each element. Names are learnt when they first occur, so
a decode reuses one interned str a name; the caller keeps the list (`names`) safe before any item that uses it. After
4,096 of them, and for names beyond 255 bytes, names stand in the item.

Simpler than production: no compression, and a whole item is encoded anew at each update.

Invariants
* decode(encode(item)) == item, with numbers normalised: 1.00 is 1, -0 is 0, whole numbers below 10**38 are int.
* One value, one encoding: set elements are sorted, a number has one form. (Dicts keep their order.)
* Wrong values raise ValueError with a sentence that names the attribute; ItemTooLarge, one of them, has the size.
* Whatever the bytes are, decode reads none beyond their end, and raises ValueError or gives an item.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE,
)
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItemWithError, PyDict_Next, PyDict_SetItem
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE, PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_AsLong, PyLong_CheckExact, PyLong_FromLongLong
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.set cimport PySet_Add
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from buffers cimport (
    Reader, end_writer, get_length, get_varint, put_byte, put_bytes, put_varint, reserve, start_writer,
)
from decimals cimport PyLong_AsLongLongAndOverflow, number_advice, type_name
from itemread cimport (
    EXPIRES_BYTES, HAS_EXPIRY, HEAD_BYTES, MAX_DEPTH, TAG_ASCII, TAG_BYTES, TAG_BYTES_SET, TAG_DECIMAL, TAG_FALSE,
    TAG_INT, TAG_LIST, TAG_MAP, TAG_NULL, TAG_TEXT, TAG_TEXT_SET, TAG_TRUE, damaged, get_ascii, get_bytes, get_decimal,
    get_head, get_text, skip_value,
)
from itemwrite cimport (
    ITEM_BYTES, Draft, Step, count, measure, put_int, put_number, put_set, put_sized, put_text, refuse,
)
from texts cimport is_exact_text, is_text, text_bytes

from decimal import Decimal
from sys import intern

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define engines_prefetch(address) __builtin_prefetch(address)
    #else
    #define engines_prefetch(address) ((void)0)
    #endif
    """
    void engines_prefetch(const void* address) noexcept nogil


cdef inline void fetch_ahead(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Ask for the first 4 KB of an item at once: field after field each cache line would be waited for in turn."""
    cdef Py_ssize_t at
    for at in range(64, min(size, 4096), 64):
        engines_prefetch(data + at)


cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030D0000
    #define new_sized_dict(size) PyDict_New()
    #else
    #define new_sized_dict(size) _PyDict_NewPresized(size)
    #endif
    """
    dict new_sized_dict(Py_ssize_t size)

cdef type DECIMAL = Decimal

cdef enum:
    NAMES = 4096
    NUMBERED_NAME_BYTES = 255
    NAME_BYTES = 65_535
    ROOM = 4096
    KNOWN = 256

MAX_ITEM_BYTES, MAX_NAMES = ITEM_BYTES, NAMES


class ItemTooLarge(ValueError):
    """An item over 409,600 bytes; size is what it has."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"the item has {size:,} bytes (names and values), at most {ITEM_BYTES:,} are allowed: "
            "split it, or keep the large part elsewhere and store where it is"
        )
        self.size = size


cdef struct Known:  # a name met before, found by its address: names in a program are mostly the same few objects
    PyObject* name  # an owned reference, so that the address stays taken; or NULL
    Py_ssize_t size
    uint32_t number


@cython.auto_pickle(False)
@cython.final
cdef class ItemCodec:
    """Items of one table. names holds its attribute names, in the order of their numbers; encode appends new ones.

    encode is for one thread at a time (a store's lock, or the GIL, sees to that); decode is for any.
    """

    cdef readonly list names
    cdef dict numbers
    cdef Known[KNOWN] known

    def __init__(self, list names not None):
        self.names, self.numbers = [], {}
        for name in names:
            if name in self.numbers or len(self.names) == NAMES:
                raise ValueError(f"a codec takes {NAMES:,} distinct attribute names, got {name!r:.80} again or beyond")
            self.learn(name)

    def __dealloc__(self):
        cdef int i
        for i in range(KNOWN):
            Py_XDECREF(self.known[i].name)

    cdef int learn(self, str name) except -1:
        name = intern(name)
        self.names.append(name)
        self.numbers[name] = len(self.names) - 1
        return 0

    # --- dict to bytes ---

    def encode(self, dict item not None, uint64_t expires=0):
        """The bytes of an item; expires is in seconds since 1970, 0 for never."""
        cdef uint8_t room[ROOM]
        cdef uint32_t head
        cdef Draft draft
        start_writer(&draft.out, room, ROOM)
        draft.size, draft.step = 0, NULL
        draft.out.used = HEAD_BYTES
        try:
            if expires:
                put_bytes(&draft.out, &expires, EXPIRES_BYTES)
            self.put_pairs(&draft, item, 0)
            head = <uint32_t>draft.size << 8 | (HAS_EXPIRY if expires else 0)
            memcpy(draft.out.start, &head, HEAD_BYTES)
            return PyBytes_FromStringAndSize(<char*>draft.out.start, draft.out.used)
        except OverflowError:
            draft.size = 0
            measure(item, DECIMAL, &draft.size, 0)
            if draft.size <= ITEM_BYTES:
                raise  # a subclass' own code raised it
            raise ItemTooLarge(draft.size) from None
        finally:
            end_writer(&draft.out)

    cdef int put_pairs(self, Draft* draft, dict pairs, int depth) except -1:
        cdef Step step
        cdef Py_ssize_t at = 0, left = len(pairs)
        cdef PyObject* borrowed_name
        cdef PyObject* borrowed_value
        step.outer, step.name, step.index = draft.step, NULL, 0
        draft.step = &step
        reserve(&draft.out, 10)
        put_varint(&draft.out, left)
        while PyDict_Next(pairs, &at, &borrowed_name, &borrowed_value):
            name, value = <object>borrowed_name, <object>borrowed_value  # held: a subclass' code may change the dict
            step.name = borrowed_name
            reserve(&draft.out, 10)
            self.put_name(draft, name, depth)
            self.put_value(draft, value, depth)
            left -= 1
        if left != 0:
            raise ValueError("the item was changed while it was being encoded: give each thread its own dict")
        draft.step = step.outer
        return 0

    cdef int put_name(self, Draft* draft, object name, int depth) except -1:
        """Into at least 10 bytes that the caller has reserved."""
        cdef PyObject* found
        cdef const char* data
        cdef Py_ssize_t size = 0
        cdef uint32_t number
        cdef Known* known = &self.known[<uint64_t><PyObject*>name >> 4 & (KNOWN - 1)]
        if known.name == <PyObject*>name:
            count(draft, known.size)
            put_varint(&draft.out, known.number + 1)
            return 0
        if not is_text(name):
            given = type(name).__name__
            raise ValueError(f"attribute names are strings, got {given} {name!r:.80}: convert it with str()")
        data = text_bytes(name, &size)
        if data == NULL:
            raise ValueError(f"the attribute name {name!r:.80} has an unpaired surrogate, which UTF-8 can not express")
        count(draft, size)
        if is_exact_text(name):
            found = PyDict_GetItemWithError(self.numbers, name)
            if found != NULL:
                number = PyLong_AsLong(<object>found)
                put_varint(&draft.out, number + 1)
                Py_INCREF(name)
                Py_XDECREF(known.name)
                known.name, known.size, known.number = <PyObject*>name, size, number
                return 0
        if size > NAME_BYTES or (size == 0 and depth == 0):
            raise ValueError(f"an attribute name has 1 to {NAME_BYTES:,} bytes in UTF-8, got {size:,}: {name!r:.80}")
        if size <= NUMBERED_NAME_BYTES and PyList_GET_SIZE(self.names) < NAMES:
            name = PyBytes_FromStringAndSize(data, size).decode()  # a str proper, whatever subclass it was
            if name not in self.numbers:
                self.learn(name)
            put_varint(&draft.out, <uint64_t>self.numbers[name] + 1)
            return 0
        reserve(&draft.out, size + 10)
        put_byte(&draft.out, 0)
        put_varint(&draft.out, size)
        put_bytes(&draft.out, data, size)
        return 0

    cdef int put_value(self, Draft* draft, object value, int depth) except -1:
        cdef int overflow = 0
        cdef int64_t small
        if is_exact_text(value):
            return put_text(draft, value)
        if PyLong_CheckExact(value):
            small = PyLong_AsLongLongAndOverflow(value, &overflow)
            return put_number(draft, value, DECIMAL) if overflow else put_int(draft, small)
        if PyDict_CheckExact(value):
            return self.put_map(draft, value, depth)
        if PyList_CheckExact(value):
            return self.put_list(draft, value, depth)
        if PyBytes_CheckExact(value):
            return put_sized(draft, TAG_BYTES, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        if value is None or value is True or value is False:
            count(draft, 1)
            reserve(&draft.out, 1)
            put_byte(&draft.out, TAG_NULL if value is None else TAG_TRUE if value is True else TAG_FALSE)
            return 0
        if isinstance(value, DECIMAL):
            return put_number(draft, value, DECIMAL)
        return self.put_other(draft, value, depth)

    cdef int put_other(self, Draft* draft, object value, int depth) except -1:
        """What is rarer: sets, tuples, subclasses; and what an item can not hold."""
        if isinstance(value, (set, frozenset)):
            return put_set(draft, value, DECIMAL)
        if isinstance(value, (list, tuple)):
            return self.put_list(draft, list(value), depth)
        if isinstance(value, dict):
            return self.put_map(draft, dict(value), depth)
        if isinstance(value, (bytes, bytearray)):
            value = bytes(value)
            return put_sized(draft, TAG_BYTES, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        if isinstance(value, str):
            return put_text(draft, value)
        if isinstance(value, int):
            return put_number(draft, value, DECIMAL)
        if isinstance(value, float):
            if value != value or value - value != 0:
                raise refuse(draft, f"is {value!r}, which is no number that can be stored: leave it out, or use None")
            raise refuse(draft, f"is the float {value!r}, which is not exact: write Decimal({str(value)!r})")
        raise refuse(draft, (
            f"is a {type_name(value)}: an item holds str, int, Decimal, bytes, bool, None, dict, list and set"
            f"{number_advice(value)}"
        ))

    cdef int put_map(self, Draft* draft, dict pairs, int depth) except -1:
        if depth >= MAX_DEPTH:
            raise refuse(draft, f"is nested deeper than {MAX_DEPTH} levels: store it flatter, or as bytes")
        count(draft, 3 + len(pairs))
        reserve(&draft.out, 1)
        put_byte(&draft.out, TAG_MAP)
        return self.put_pairs(draft, pairs, depth + 1)

    cdef int put_list(self, Draft* draft, list values, int depth) except -1:
        cdef Step step
        cdef Py_ssize_t size = PyList_GET_SIZE(values)
        if depth >= MAX_DEPTH:
            raise refuse(draft, f"is nested deeper than {MAX_DEPTH} levels: store it flatter, or as bytes")
        count(draft, 3 + size)
        step.outer, step.name, step.index = draft.step, NULL, 0
        draft.step = &step
        reserve(&draft.out, 11)
        put_byte(&draft.out, TAG_LIST)
        put_varint(&draft.out, size)
        while step.index < PyList_GET_SIZE(values):
            self.put_value(draft, <object>PyList_GET_ITEM(values, step.index), depth + 1)
            step.index += 1
        if step.index != size:
            raise ValueError("the item was changed while it was being encoded: give each thread its own list")
        draft.step = step.outer
        return 0

    # --- bytes to dict ---

    def decode(self, data not None):
        """The item in these bytes, or in a memoryview of them."""
        cdef Py_buffer view
        if PyBytes_CheckExact(data):
            return self.get_item(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), None)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self.get_item(<const uint8_t*>view.buf, view.len, None)
        finally:
            PyBuffer_Release(&view)

    def decode_some(self, data not None, names not None):
        """Only those attributes of the item whose names are in names, a set of str; the others are passed over."""
        cdef Py_buffer view
        if not isinstance(names, (set, frozenset)):
            raise TypeError(f"names must be a set of attribute names, got {type(names).__name__}")
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self.get_item(<const uint8_t*>view.buf, view.len, names)
        finally:
            PyBuffer_Release(&view)

    cdef dict get_item(self, const uint8_t* data, Py_ssize_t size, object wanted):
        cdef Reader source
        cdef uint32_t item_size
        cdef uint64_t expires
        source.start, source.at, source.end = data, data, data + size
        fetch_ahead(data, size)
        if not get_head(&source, &item_size, &expires):
            raise damaged(&source)
        item = self.get_pairs(&source, 0) if wanted is None else self.get_wanted(&source, wanted)
        if source.at != source.end:
            raise damaged(&source)
        return item

    cdef dict get_pairs(self, Reader* source, int depth):
        cdef uint64_t length = 0
        cdef dict pairs
        if not get_length(source, &length) or length > <uint64_t>(source.end - source.at) // 2:  # a pair has 2 bytes
            raise damaged(source)
        pairs = new_sized_dict(length) if length > 5 else {}
        for _ in range(length):
            name = self.get_name(source)
            PyDict_SetItem(pairs, name, self.get_value(source, depth))
        if <uint64_t>len(pairs) != length:
            raise damaged(source)
        return pairs

    cdef dict get_wanted(self, Reader* source, object wanted):
        cdef uint64_t length = 0
        cdef dict pairs = {}
        if not get_length(source, &length):
            raise damaged(source)
        for _ in range(length):
            name = self.get_name(source)
            if name in wanted:
                pairs[name] = self.get_value(source, 0)
            elif not skip_value(source, 0):
                raise damaged(source)
        return pairs

    cdef inline object get_name(self, Reader* source):
        cdef uint64_t number = 0
        if get_varint(source, &number):
            if <uint64_t>(number - 1) < <uint64_t>PyList_GET_SIZE(self.names):
                return <object>PyList_GET_ITEM(self.names, number - 1)
            if number == 0:
                return get_text(source)
        raise damaged(source)

    cdef object get_value(self, Reader* source, int depth):
        cdef uint8_t tag
        cdef uint64_t number = 0
        if source.at >= source.end:
            raise damaged(source)
        tag = source.at[0]
        source.at += 1
        if tag == TAG_ASCII:
            return get_ascii(source)
        if tag == TAG_INT:
            if not get_varint(source, &number):
                raise damaged(source)
            return PyLong_FromLongLong(<int64_t>(number >> 1 ^ (0 - (number & 1))))
        if tag == TAG_TEXT:
            return get_text(source)
        if tag == TAG_MAP and depth < MAX_DEPTH:
            return self.get_pairs(source, depth + 1)
        if tag == TAG_LIST and depth < MAX_DEPTH:
            return self.get_list(source, depth + 1)
        if tag == TAG_DECIMAL:
            return get_decimal(source, DECIMAL)
        if tag == TAG_BYTES:
            return get_bytes(source)
        if tag == TAG_TRUE:
            return True
        if tag == TAG_FALSE:
            return False
        if tag == TAG_NULL:
            return None
        if TAG_TEXT_SET <= tag <= TAG_BYTES_SET:
            return self.get_set(source, tag)
        raise damaged(source)

    cdef list get_list(self, Reader* source, int depth):
        cdef uint64_t length = 0, i
        if not get_length(source, &length):
            raise damaged(source)
        values = PyList_New(length)
        for i in range(length):
            value = self.get_value(source, depth)
            Py_INCREF(value)
            PyList_SET_ITEM(values, i, value)
        return values

    cdef set get_set(self, Reader* source, uint8_t tag):
        cdef uint64_t length = 0
        cdef set elements = set()
        if not get_length(source, &length):
            raise damaged(source)
        for _ in range(length):
            if tag == TAG_TEXT_SET:
                element = get_text(source)
            elif tag == TAG_BYTES_SET:
                element = get_bytes(source)
            elif source.at < source.end and (source.at[0] == TAG_INT or source.at[0] == TAG_DECIMAL):
                element = self.get_value(source, 0)
            else:
                raise damaged(source)
            PySet_Add(elements, element)
        if length == 0 or <uint64_t>len(elements) != length:
            raise damaged(source)
        return elements


# --- the head alone ---


def item_size(data not None):
    """The size by DynamoDB's rules of the item in these bytes."""
    return head_of(data)[0]


def item_expires(data not None):
    """When the item in these bytes expires, in seconds since 1970; 0 for never."""
    return head_of(data)[1]


cdef (uint32_t, uint64_t) head_of(object data) except *:
    cdef Py_buffer view
    cdef Reader source
    cdef uint32_t size = 0
    cdef uint64_t expires = 0
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        source.start = source.at = <const uint8_t*>view.buf
        source.end = source.at + view.len
        if not get_head(&source, &size, &expires):
            raise damaged(&source)
        return (size, expires)
    finally:
        PyBuffer_Release(&view)
