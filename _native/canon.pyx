"""A Python value -> the one JSON text that RFC 8785 allows for it, in UTF-8.

    {"b": 1.0, "a": [True, None, "\\u20ac\\n"]}      ->      {"a":[true,null,"€\\n"],"b":1}

A hash needs bytes, and a document has many JSON texts. RFC 8785 (JCS) picks one: no spaces; the keys of an object in
the order of their UTF-16 code units; in strings only what must be escaped is; numbers as ECMAScript writes doubles.

    keys      in order, jsonkeys.pxd: not sorted where they are in order already, else by their first 8 units mostly
    strings   jsontexts.pxd
    doubles   shortest.h: repr() of one double takes 0.2 to 0.4 us, as long as all of a document with ten members

No Python code runs between the first byte and the last, so nobody can change the value half way, and borrowed
references stay good.

What has no canonical form raises NotCanonical, whose message starts with the path: $.Owner.Price, $.a[3], $['odd key'].

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
from libc.stdint cimport int64_t, uint8_t, uint64_t

from buffers cimport Writer, end_writer, put_byte, put_bytes, reserve, start_writer
from jsonkeys cimport FEW, Member, compare, prefix_of, sort
from jsontexts cimport put_string
from texts cimport is_text

import datetime
import decimal
import uuid
from collections.abc import Mapping, Set
from enum import Enum


cdef extern from "Python.h":
    bint is_int "PyLong_Check"(object)
    bint is_float "PyFloat_Check"(object)
    double float_value "PyFloat_AS_DOUBLE"(object)
    bint is_dict "PyDict_Check"(object)
    bint is_tuple "PyTuple_Check"(object)
    bint isfinite(double) nogil
    int64_t PyLong_AsLongLongAndOverflow(object, int*) except? -1

cdef extern from "shortest.h" nogil:
    enum:
        SHORTEST_LOWEST, SHORTEST_COUNT, SHORTEST_ROOM
    uint64_t[617][2] shortest_powers
    int shortest_write(double, uint8_t*)
    int shortest_write_integer(uint64_t, uint8_t*)

cdef enum:
    ROOM = 2048    # bytes on the stack: most documents never see the heap
    DEEPEST = 128  # objects and arrays inside one another

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


cdef struct Draft:
    Writer out
    Py_ssize_t limit


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


# -- objects, arrays, values -------------------------------------------------------------------------------------------


cdef int put_members(Draft* draft, object value, Member* members, Member** order, Step* step, int depth) except -1:
    cdef Py_ssize_t position = 0, n = 0, i
    cdef bint in_order = True
    cdef Member* member
    while PyDict_Next(value, &position, &members[n].key, &members[n].value):
        member = &members[n]
        order[n] = member
        if not is_text(<object>member.key):
            key = <object>member.key
            kind = article(type(key).__name__)
            raise refuse(step.outer, f"has the key {shown(key)}, {kind}: keys are str; write str(key)")
        member.prefix = prefix_of(<object>member.key)
        if n and in_order:
            in_order = compare(&members[n - 1], member) < 0
        n += 1
    if not in_order:
        sort(order, n)
    reserve(&draft.out, 2)
    put_byte(&draft.out, 123)
    for i in range(n):
        member = order[i]
        if i:
            put_byte(&draft.out, 44)
            # only keys of one's own class, unequal though their texts are equal, can do this
            if member.prefix == order[i - 1].prefix and compare(member, order[i - 1]) == 0:
                raise refuse(step.outer, f"has the key {shown(<object>member.key)} twice")
        step.name = member.key
        if put_string(&draft.out, <object>member.key):
            key = <object>member.key
            raise refuse(step.outer, f"has the key {shown(key)} with an unpaired surrogate, which UTF-8 cannot write")
        reserve(&draft.out, 1)
        put_byte(&draft.out, 58)
        put_value(draft, <object>member.value, step, depth)
        reserve(&draft.out, 1)  # for the comma, or the end
    put_byte(&draft.out, 125)
    return 0


cdef int put_object(Draft* draft, object value, Step* outer, int depth) except -1:
    cdef Member[FEW] few
    cdef Member* few_order[FEW]
    cdef Member* members = few
    cdef Member** order = few_order
    cdef Step step
    cdef Py_ssize_t n = PyDict_Size(value)
    open_step(&step, outer, value, depth)
    if n < FEW:  # one is left over: where PyDict_Next finds the end
        return put_members(draft, value, members, order, &step, depth + 1)
    members = <Member*>PyMem_RawMalloc((n + 1) * (sizeof(Member) + sizeof(Member*)))
    if members == NULL:
        raise MemoryError
    try:
        return put_members(draft, value, members, <Member**>(members + n + 1), &step, depth + 1)
    finally:
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
        return ascii(text if len(text) <= 40 else text[:40] + "...")
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
