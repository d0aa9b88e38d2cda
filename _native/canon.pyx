"""A Python value -> the one JSON text that RFC 8785 allows for it, in UTF-8.

    {"b": 1.0, "a": [True, None, "\\u20ac\\n"]}      ->      {"a":[true,null,"€\\n"],"b":1}

A hash needs bytes, and a document has many JSON texts. RFC 8785 (JCS) picks one: no spaces; the keys of an object in
the order of their UTF-16 code units; in strings only what must be escaped is; numbers as ECMAScript writes doubles.

    keys      sorted as (the first 8 code units in one uint64, the str). Most comparisons are one of integers; most
              objects come in the order of the one before, and one that is in order already is not sorted.
    strings   eight bytes at a time as long as nothing is to be escaped. What is not ASCII is written from its code points:
              asking CPython for the UTF-8 would leave a copy in every str for as long as it lives.
    doubles   in shortest.h: repr() and the rewriting of its text cost as much as all the rest of a document

No Python code runs between the first byte and the last, so nobody can change the value half way, and borrowed
references stay good.

What has no canonical form raises NotCanonical, whose message starts with the path: $.Owner.Price, $.a[3], $["odd key"].

Invariants: equal values give equal bytes, whatever the order their keys came in; the bytes, read as JSON whose numbers
are doubles, are the value; nothing is given for a value that holds itself.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_Next, PyDict_Size
from cpython.list cimport PyList_Check, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.math cimport fabs
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from buffers cimport Writer, end_writer, put_byte, put_bytes, reserve, start_writer
from texts cimport is_ascii_text, is_text, text_data, text_length

import datetime
import decimal
import uuid
from collections.abc import Mapping, Set
from enum import Enum


cdef extern from "Python.h":
    int text_kind "PyUnicode_KIND"(object)
    uint32_t text_unit "PyUnicode_READ"(int, void*, Py_ssize_t) nogil
    bint is_int "PyLong_Check"(object)
    bint is_float "PyFloat_Check"(object)
    double float_value "PyFloat_AS_DOUBLE"(object)
    bint is_dict "PyDict_Check"(object)
    bint is_tuple "PyTuple_Check"(object)
    bint isfinite(double) nogil
    int64_t PyLong_AsLongLongAndOverflow(object, int*) except? -1

cdef extern from "stdlib.h":
    void qsort(void*, size_t, size_t, int (*)(const void*, const void*) noexcept)  # libc.stdlib's wants no GIL

cdef extern from "shortest.h" nogil:
    enum:
        SHORTEST_LOWEST, SHORTEST_COUNT, SHORTEST_ROOM
    uint64_t[617][2] shortest_powers
    int shortest_write(double, uint8_t*)
    int shortest_write_integer(uint64_t, uint8_t*)

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
    ROOM = 2048         # bytes on the stack: most documents never see the heap
    FEW = 24            # members sorted on the stack
    DEEPEST = 128       # objects and arrays inside one another
    STRETCH = 256       # code points for which room is made at once
    LONGEST_ESCAPE = 6  # \u001f

cdef int64_t LARGEST = (<int64_t>1 << 53) - 1
cdef Py_ssize_t UNLIMITED = (<size_t>-1) >> 1

MAX_DEPTH, MAX_INT = DEEPEST, LARGEST


class NotCanonical(ValueError):
    """A value without a canonical form: str() says what is wrong and what to write instead, .path where it is."""

    def __init__(self, path, problem):
        super().__init__(f"{path} {problem}")
        self.path = path


cdef struct Step:  # where in the value we are, for messages: one on the C stack for each open object or array
    Step* outer
    PyObject* container
    PyObject* name  # borrowed; NULL in an array
    Py_ssize_t index


cdef struct Member:
    uint64_t prefix
    PyObject* key
    PyObject* value


cdef struct Draft:
    Writer out
    Py_ssize_t limit


# -- strings -----------------------------------------------------------------------------------------------------------


cdef uint8_t[128] LETTERS  # what stands after the backslash: 0 for nothing to escape, u for \u00XX
cdef const char* HEX = "0123456789abcdef"
for number in range(128):
    LETTERS[number] = ord("u") if number < 32 else 0
for number, letter in {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\"}.items():
    LETTERS[number] = ord(letter)


cdef inline bint has_zero(uint64_t word) noexcept nogil:
    return (word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL != 0


cdef inline bint has_escape(uint64_t word) noexcept nogil:
    """Whether one of eight ASCII characters is a control, a quote or a backslash."""
    return (
        (word - 0x2020202020202020ULL) & 0x8080808080808080ULL != 0  # borrows reach further, but only past a control
        or has_zero(word ^ 0x2222222222222222ULL) or has_zero(word ^ 0x5C5C5C5C5C5C5C5CULL)
    )


cdef inline void put_code_point(Writer* out, uint32_t c) noexcept nogil:
    """At most LONGEST_ESCAPE bytes."""
    cdef uint8_t letter
    if c < 0x80:
        letter = LETTERS[c]
        if letter:
            put_byte(out, 92)
            put_byte(out, letter)
            if letter == 117:
                put_bytes(out, b"00", 2)
                put_byte(out, HEX[c >> 4])
                put_byte(out, HEX[c & 15])
        else:
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


cdef inline Py_ssize_t put_plain(Writer* out, object text, Py_ssize_t size) except -1:
    """Copy an ASCII str up to the first character that is to be escaped: how many characters that is."""
    cdef const uint8_t* source = <const uint8_t*>text_data(text)
    cdef uint8_t* to
    cdef uint64_t word
    cdef Py_ssize_t i = 0
    reserve(out, size + 2)
    to = out.start + out.used
    while size - i >= 8:
        memcpy(&word, source + i, 8)
        if has_escape(word):
            break
        memcpy(to + i, &word, 8)
        i += 8
    while i < size and not LETTERS[source[i]]:
        to[i] = source[i]
        i += 1
    out.used += i
    return i


cdef int put_string(Writer* out, object text) except -1:
    """Returns 1, and not -1 with an exception, where there is an unpaired surrogate."""
    cdef Py_ssize_t i = 0, stop, size = text_length(text)
    cdef int kind
    cdef void* data
    cdef uint32_t c
    reserve(out, 1)
    put_byte(out, 34)
    if is_ascii_text(text):
        i = put_plain(out, text, size)
    kind, data = text_kind(text), text_data(text)
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


# -- numbers -----------------------------------------------------------------------------------------------------------


def _fill_powers():
    for i in range(SHORTEST_COUNT):
        e = i + SHORTEST_LOWEST
        above, below = 10 ** max(e, 0), 10 ** max(-e, 0)
        shift = 127 - (above.bit_length() - 1 if e >= 0 else -below.bit_length())
        power = -(-(above << max(shift, 0)) // (below << max(-shift, 0)))
        shortest_powers[i][0], shortest_powers[i][1] = power >> 64, power & 0xFFFFFFFFFFFFFFFF


_fill_powers()


cdef inline void put_integer(Writer* out, uint64_t number) noexcept nogil:
    out.used += shortest_write_integer(number, out.start + out.used)


cdef inline int put_int(Draft* draft, object value, Step* step) except -1:
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or not -LARGEST <= number <= LARGEST:
        raise refuse(step, f"is {shown(value)}: an int lies within ±(2^53 - 1), as JSON's numbers are doubles; "
                           "write it as a str")
    reserve(&draft.out, SHORTEST_ROOM)
    if number < 0:
        put_byte(&draft.out, 45)
        number = -number
    put_integer(&draft.out, number)
    return 0


cdef inline int put_float(Draft* draft, double value, Step* step) except -1:
    if not isfinite(value):
        raise refuse(step, f"is {value!r}, which JSON has no number for; write None, or a str")
    reserve(&draft.out, SHORTEST_ROOM)
    if value < 0:
        put_byte(&draft.out, 45)
    value = fabs(value)
    if value <= LARGEST and value == <double><int64_t>value:
        put_integer(&draft.out, <uint64_t>value)
    else:
        draft.out.used += shortest_write(value, draft.out.start + draft.out.used)
    return 0


# -- the order of keys -------------------------------------------------------------------------------------------------


cdef inline uint64_t prefix_of(object key) noexcept:
    """The first eight code units, a byte each; all ones from the first one on that takes more. Never out of order."""
    cdef Py_ssize_t i, size = text_length(key), most = min(size, 8)
    cdef int kind = text_kind(key)
    cdef void* data = text_data(key)
    cdef uint64_t prefix = 0
    cdef uint32_t unit
    if kind == 1:
        if size >= 8:
            memcpy(&prefix, data, 8)
            return first_is_highest(prefix)
        for i in range(size):
            prefix |= <uint64_t>(<uint8_t*>data)[i] << (56 - 8 * i)
        return prefix
    for i in range(most):
        unit = text_unit(kind, data, i)
        if unit > 0xFF:
            return prefix | (<uint64_t>-1 >> (8 * i))
        prefix |= <uint64_t>unit << (56 - 8 * i)
    return prefix


cdef inline uint32_t place_of(uint32_t c) noexcept nogil:
    """Code points in the order of their UTF-16: from U+E000 on, those of one unit come after those of two."""
    return c + 0x200000 if 0xE000 <= c < 0x10000 else c


cdef int compare_texts(object left, object right) noexcept:
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


cdef int compare_for_qsort(const void* left, const void* right) noexcept:
    return compare(<const Member*>left, <const Member*>right)


cdef void sort(Member* members, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i, j
    cdef Member member
    if n > FEW:
        qsort(members, n, sizeof(Member), compare_for_qsort)
        return
    for i in range(1, n):
        member = members[i]
        j = i
        while j > 0 and compare(&member, &members[j - 1]) < 0:
            members[j] = members[j - 1]
            j -= 1
        members[j] = member


# -- objects, arrays, values -------------------------------------------------------------------------------------------


cdef int put_members(Draft* draft, object value, Member* members, Step* step, int depth) except -1:
    cdef Py_ssize_t position = 0, n = 0, i
    cdef bint in_order = True
    while PyDict_Next(value, &position, &members[n].key, &members[n].value):
        if not is_text(<object>members[n].key):
            key = <object>members[n].key
            kind = article(type(key).__name__)
            raise refuse(step.outer, f"has the key {shown(key)}, {kind}: keys are str; write str(key)")
        members[n].prefix = prefix_of(<object>members[n].key)
        if n and in_order:
            in_order = compare(&members[n - 1], &members[n]) < 0
        n += 1
    if not in_order:
        sort(members, n)
    reserve(&draft.out, 1)
    put_byte(&draft.out, 123)
    for i in range(n):
        if i:
            reserve(&draft.out, 1)
            put_byte(&draft.out, 44)
            # only keys of one's own class, unequal though their texts are equal, can do this
            if members[i].prefix == members[i - 1].prefix and compare(&members[i], &members[i - 1]) == 0:
                raise refuse(step.outer, f"has the key {shown(<object>members[i].key)} twice")
        step.name = members[i].key
        if put_string(&draft.out, <object>members[i].key):
            key = <object>members[i].key
            raise refuse(step.outer, f"has the key {shown(key)} with an unpaired surrogate, which UTF-8 cannot write")
        reserve(&draft.out, 1)
        put_byte(&draft.out, 58)
        put_value(draft, <object>members[i].value, step, depth)
    reserve(&draft.out, 1)
    put_byte(&draft.out, 125)
    return 0


cdef int put_object(Draft* draft, object value, Step* outer, int depth) except -1:
    cdef Member[FEW] few
    cdef Member* members = few
    cdef Step step
    cdef Py_ssize_t n = PyDict_Size(value)
    open_step(&step, outer, value, depth)
    if n >= FEW:
        members = <Member*>PyMem_RawMalloc((n + 1) * sizeof(Member))  # one more: where PyDict_Next finds the end
        if members == NULL:
            raise MemoryError
    try:
        return put_members(draft, value, members, &step, depth + 1)
    finally:
        if members != few:
            PyMem_RawFree(members)


cdef int put_array(Draft* draft, object value, bint is_list, Step* outer, int depth) except -1:
    cdef Py_ssize_t i, n = PyList_GET_SIZE(value) if is_list else PyTuple_GET_SIZE(value)
    cdef Step step
    open_step(&step, outer, value, depth)
    reserve(&draft.out, 1)
    put_byte(&draft.out, 91)
    for i in range(n):
        if i:
            reserve(&draft.out, 1)
            put_byte(&draft.out, 44)
        step.index = i
        item = <object>(PyList_GET_ITEM(value, i) if is_list else PyTuple_GET_ITEM(value, i))
        put_value(draft, item, &step, depth + 1)
    reserve(&draft.out, 1)
    put_byte(&draft.out, 93)
    return 0


cdef inline int put_word(Draft* draft, const char* word, Py_ssize_t size) except -1:
    reserve(&draft.out, size)
    put_bytes(&draft.out, word, size)
    return 0


cdef int put_value(Draft* draft, object value, Step* step, int depth) except -1:
    if is_text(value):
        if put_string(&draft.out, value):
            raise refuse(step, f"is {shown(value)} with an unpaired surrogate, which UTF-8 cannot write")
    elif value is True:
        put_word(draft, "true", 4)
    elif value is False:
        put_word(draft, "false", 5)
    elif value is None:
        put_word(draft, "null", 4)
    elif is_int(value):
        put_int(draft, value, step)
    elif is_float(value):
        put_float(draft, float_value(value), step)
    elif is_dict(value):
        put_object(draft, value, step, depth)
    elif PyList_Check(value):
        put_array(draft, value, True, step, depth)
    elif is_tuple(value):
        put_array(draft, value, False, step, depth)
    else:
        raise refuse(step, f"is {article(type(value).__name__)}, which JSON has no form for; write {advice(value)}")
    if draft.out.used > draft.limit:
        raise OverflowError(f"the canonical text is longer than the {draft.limit:,} bytes allowed")
    return 0


def canonical(value, Py_ssize_t limit=UNLIMITED):
    """The bytes of RFC 8785 for one value.

    None, bool, int within ±(2^53 - 1), finite float, str without unpaired surrogates, dict with str keys, list, tuple
    and what is derived from these, at most MAX_DEPTH inside one another. NotCanonical for anything else. OverflowError
    where the text has more than `limit` bytes: soon after them, however much a small value unfolds into.
    """
    cdef uint8_t[ROOM] room
    cdef Draft draft
    start_writer(&draft.out, room, ROOM)
    draft.limit = limit
    try:
        put_value(&draft, value, NULL, 0)
        return PyBytes_FromStringAndSize(<char*>draft.out.start, draft.out.used)
    finally:
        end_writer(&draft.out)


def has_long_integer(const uint8_t[::1] text not None):
    """Whether 16 digits stand together: without them, no integer of a JSON text is beyond ±(2^53 - 1).

    Looks at one byte of 16, which no such run can slip through.
    """
    cdef Py_ssize_t size = text.shape[0], middle = 15, first, last
    while middle < size:
        if 48 <= text[middle] <= 57:
            first = last = middle
            while first > 0 and 48 <= text[first - 1] <= 57 and last - first < 15:
                first -= 1
            while last + 1 < size and 48 <= text[last + 1] <= 57 and last - first < 15:
                last += 1
            if last - first >= 15:
                return True
        middle += 16
    return False


# -- refusals ----------------------------------------------------------------------------------------------------------


cdef inline int open_step(Step* step, Step* outer, object container, int depth) except -1:
    step.outer, step.container, step.name, step.index = outer, <PyObject*>container, NULL, 0
    if depth >= DEEPEST:
        raise too_deep(step)
    return 0


cdef object too_deep(Step* step):
    cdef Step* above = step.outer
    while above != NULL:
        if above.container == step.container:
            return refuse(above.outer, "holds itself; write a tree, in which things name each other by an id")
        above = above.outer
    return refuse(NULL, f"is more than {DEEPEST} objects and arrays deep; flatten it")


cdef object refuse(Step* step, str problem):
    """The error about the value at a step; NULL is the whole value."""
    cdef list parts = []
    while step != NULL:
        if step.name == NULL:
            parts.append(f"[{step.index}]")
        else:
            name = str.__str__(<object>step.name)
            parts.append(f".{name}" if name.isidentifier() else f"[{shown(name)}]")
        step = step.outer
    return NotCanonical("$" + "".join(reversed(parts)), problem)


cdef str shown(value):
    """A value in a message: short, as it would be typed."""
    if is_text(value):
        text = str.__str__(value)
        return ascii(text if len(text) <= 40 else text[:40] + "...").replace("\\\\", "\\")
    if is_int(value) and not -(1 << 200) < value < 1 << 200:
        return f"an int of {int.bit_length(value)} bits"
    return ascii(value)[:60]


cdef str article(str noun):
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


cdef str advice(value):
    """What to write instead of a value that is no JSON."""
    if isinstance(value, decimal.Decimal):
        return "it as a str, or as an int of the smallest unit (cents)"
    if isinstance(value, (datetime.date, datetime.time)):
        return "value.isoformat()"
    if isinstance(value, datetime.timedelta):
        return "value.total_seconds()"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "base64.b64encode(value).decode()"
    if isinstance(value, Mapping):
        return "dict(value)"
    if isinstance(value, Set):
        return "sorted(value)"
    if isinstance(value, Enum):
        return "value.value"
    if isinstance(value, uuid.UUID):
        return "str(value)"
    if hasattr(value, "tolist"):
        return "value.tolist()"
    return "None, bool, int, float, str, list or dict"
