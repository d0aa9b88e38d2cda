"""Writing an item's bytes: the draft under way, its size so far, where we are in it, and the plain values.

kvitem.pyx draws the layout. The size is counted before bytes are copied, so no draft grows much beyond the
largest item.
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize, PyBytes_GET_SIZE,
)
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from buffers cimport Writer, put_byte, put_bytes, put_varint, reserve
from decimals cimport (
    FINE, Number, coefficient_bytes, fits_int64, number_advice, number_from_object, number_problem, number_size,
    small_number_size, to_int64, type_name,
)
from itemread cimport (
    COEFFICIENT_BYTES, MAX_DEPTH, TAG_ASCII, TAG_BYTES_SET, TAG_DECIMAL, TAG_INT, TAG_NUMBER_SET, TAG_TEXT,
    TAG_TEXT_SET, is_ascii,
)
from texts cimport is_ascii_text, text_bytes, text_data, text_length


cdef enum:
    ITEM_BYTES = 409_600
    LARGEST_MEASURED = 1 << 26


cdef struct Step:  # where in the item we are, for error messages: one on the C stack for each open map or list
    Step* outer
    PyObject* name  # borrowed; NULL in a list
    Py_ssize_t index


cdef struct Draft:
    Writer out
    Py_ssize_t size  # by DynamoDB's rules, so far
    Step* step


cdef inline object refuse(Draft* draft, str sentence):
    """The error for the value at the current step."""
    cdef Step* step = draft.step
    cdef str path = ""
    while step != NULL:
        path = (f".{<object>step.name}" if step.name != NULL else f"[{step.index}]") + path
        step = step.outer
    return ValueError(f"attribute {path[1:]!r:.200} {sentence}")


cdef inline int count(Draft* draft, Py_ssize_t size) except -1:
    """Add to the item's size; raises before anything that large is copied."""
    draft.size += size
    if draft.size > ITEM_BYTES:
        raise OverflowError
    return 0


cdef inline int put_sized(Draft* draft, uint8_t tag, const void* data, Py_ssize_t size) except -1:
    count(draft, size)
    reserve(&draft.out, size + 11)
    put_byte(&draft.out, tag)
    put_varint(&draft.out, size)
    put_bytes(&draft.out, data, size)
    return 0


cdef inline int put_text(Draft* draft, object value) except -1:
    cdef Py_ssize_t size = 0
    cdef const char* data
    if is_ascii_text(value):
        return put_sized(draft, TAG_ASCII, text_data(value), text_length(value))
    data = text_bytes(value, &size)
    if data == NULL:
        raise refuse(draft, f"has an unpaired surrogate and can not be written as UTF-8: {value!r:.80}")
    return put_sized(draft, TAG_ASCII if is_ascii(<const uint8_t*>data, size) else TAG_TEXT, data, size)


cdef inline int put_int(Draft* draft, int64_t value) except -1:
    count(draft, small_number_size(value))
    reserve(&draft.out, 11)
    put_byte(&draft.out, TAG_INT)
    put_varint(&draft.out, <uint64_t>value << 1 ^ <uint64_t>(value >> 63))
    return 0


cdef inline int put_number(Draft* draft, object value, type decimal) except -1:
    cdef Number number
    cdef uint8_t coefficient[COEFFICIENT_BYTES]
    cdef int power, size
    cdef int problem = number_from_object(&number, value, decimal)
    if problem != FINE:
        raise refuse(draft, number_problem(problem, value))
    if fits_int64(&number):
        return put_int(draft, to_int64(&number))
    count(draft, number_size(&number))
    reserve(&draft.out, COEFFICIENT_BYTES + 4)
    power = number.exponent - number.count
    size = coefficient_bytes(&number, coefficient)
    put_byte(&draft.out, TAG_DECIMAL)
    put_varint(&draft.out, <uint32_t>power << 1 ^ <uint32_t>(power >> 31))
    put_byte(&draft.out, size | (0x80 if number.negative else 0))
    put_bytes(&draft.out, coefficient, size)
    return 0


cdef inline int put_set(Draft* draft, object elements, type decimal) except -1:
    cdef Py_ssize_t start = draft.out.used, skipped
    cdef uint8_t tag = 0, kind
    cdef list parts = []
    if not elements:
        raise refuse(draft, "is an empty set, which can not be stored: leave the attribute out")
    for element in elements:
        kind = set_tag(element, decimal)
        if kind == 0:
            advice, given = number_advice(element), type_name(element)
            raise refuse(draft, f"is a set with a {given}: sets hold str, int and Decimal, or bytes{advice}")
        if tag and kind != tag:
            raise refuse(draft, "is a mixed set: all elements must be strings, all numbers, or all bytes")
        tag = kind
        if kind == TAG_NUMBER_SET:
            put_number(draft, element, decimal)
            skipped = 0
        else:
            put_text(draft, element) if kind == TAG_TEXT_SET else put_sized(
                draft, 0, PyBytes_AS_STRING(element), PyBytes_GET_SIZE(element)
            )
            skipped = 1  # the tag: the set's own tag says it
        parts.append(PyBytes_FromStringAndSize(
            <char*>draft.out.start + start + skipped, draft.out.used - start - skipped
        ))
        draft.out.used = start
    parts = sorted(set(parts))
    joined = b"".join(parts)
    reserve(&draft.out, 11 + PyBytes_GET_SIZE(joined))
    put_byte(&draft.out, tag)
    put_varint(&draft.out, PyList_GET_SIZE(parts))
    put_bytes(&draft.out, PyBytes_AS_STRING(joined), PyBytes_GET_SIZE(joined))
    return 0


cdef inline uint8_t set_tag(object element, type decimal):
    if isinstance(element, str):
        return TAG_TEXT_SET
    if PyBytes_Check(element):
        return TAG_BYTES_SET
    if isinstance(element, (int, decimal)) and not isinstance(element, bool):
        return TAG_NUMBER_SET
    return 0


cdef inline int measure(object value, type decimal, Py_ssize_t* size, int depth) except -1:
    """Adds the size of a value that turned out too large, up to 64 MB: lists may hold the same list many times over."""
    cdef Number number
    if size[0] > LARGEST_MEASURED or depth > MAX_DEPTH + 1:
        return 0
    if isinstance(value, str):
        size[0] += len(value.encode(errors="replace"))
    elif isinstance(value, (bytes, bytearray)):
        size[0] += len(value)
    elif value is None or isinstance(value, bool):
        size[0] += 1
    elif isinstance(value, (int, decimal)):
        size[0] += number_size(&number) if number_from_object(&number, value, decimal) == FINE else 0
    elif isinstance(value, dict):
        size[0] += 3 + len(value) if depth else 0
        for name, part in value.items():
            measure(name, decimal, size, depth + 1)
            measure(part, decimal, size, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        size[0] += 3 + len(value) if isinstance(value, (list, tuple)) else 0
        for part in value:
            measure(part, decimal, size, depth + 1)
    return 0
