"""The payload of a log frame that says which items changed, and how.

    payload   u8 kind (1) | varint count | changes
    change    varint table | u8 flags | varint n, key | [varint n, old image | varint sequence] | [varint n, new image]
    flags     1 an old image follows, 2 a new image follows, 4 the item expired (a deletion by TTL),
              8 the old image is the new one of an earlier frame: its sequence follows instead

Images are item bytes (kvitem.pyx), passed through unread. An insert has no old image; a change of a table whose old
images nobody wants has an empty one. A deletion has no new one.

Invariants: decode_changes gives back what was encoded; whatever the bytes are, it reads none beyond their end.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from buffers cimport (
    Reader, Writer, end_writer, get_length, get_varint, put_byte, put_bytes, put_varint, reserve, start_writer,
)

cdef enum:
    KIND = 1
    HAS_OLD = 1
    HAS_NEW = 2
    EXPIRED = 4
    OLD_AT = 8
    ROOM = 8192

ITEMS = KIND


def encode_change(uint64_t table, bytes key not None, old, new, *, bint expired=False):
    """The payload for one change. old and new are bytes, memoryviews of bytes or None; old may be a sequence."""
    cdef uint8_t room[ROOM]
    cdef Writer out
    start_writer(&out, room, ROOM)
    try:
        reserve(&out, 2)
        put_byte(&out, KIND)
        put_byte(&out, 1)
        put_change(&out, table, key, old, new, expired)
        return PyBytes_FromStringAndSize(<char*>out.start, out.used)
    finally:
        end_writer(&out)


def encode_changes(changes not None):
    """The payload for changes that happen together: (table, key, old, new) or (table, key, old, new, expired) each."""
    cdef uint8_t room[ROOM]
    cdef Writer out
    cdef tuple change
    cdef list counted = list(changes)
    start_writer(&out, room, ROOM)
    try:
        reserve(&out, 11)
        put_byte(&out, KIND)
        put_varint(&out, len(counted))
        for change in counted:
            if change is None or not 4 <= len(change) <= 5:
                raise ValueError(f"a change is (table, key, old, new[, expired]), got {change!r:.200}")
            put_change(&out, change[0], change[1], change[2], change[3], len(change) == 5 and change[4])
        return PyBytes_FromStringAndSize(<char*>out.start, out.used)
    finally:
        end_writer(&out)


cdef int put_change(Writer* out, uint64_t table, bytes key, object old, object new, bint expired) except -1:
    cdef uint8_t flags
    reserve(out, 11)
    put_varint(out, table)
    cdef bint old_at = type(old) is int
    flags = OLD_AT if old_at else HAS_OLD if old is not None else 0
    flags |= HAS_NEW * (new is not None) | EXPIRED * expired
    put_byte(out, flags)
    if key is None:
        raise TypeError("the key of a change is bytes, got None")
    put_image(out, key)
    if old_at:
        reserve(out, 10)
        put_varint(out, old)
    elif old is not None:
        put_image(out, old)
    if new is not None:
        put_image(out, new)
    return 0


cdef int put_image(Writer* out, object image) except -1:
    cdef Py_buffer view
    if PyBytes_CheckExact(image):
        reserve(out, PyBytes_GET_SIZE(image) + 10)
        put_varint(out, PyBytes_GET_SIZE(image))
        put_bytes(out, PyBytes_AS_STRING(image), PyBytes_GET_SIZE(image))
        return 0
    PyObject_GetBuffer(image, &view, PyBUF_SIMPLE)
    try:
        reserve(out, view.len + 10)
        put_varint(out, view.len)
        put_bytes(out, view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return 0


def decode_changes(payload not None):
    """The changes as tuples (table, key, old, new, expired); ValueError for bytes that are not such a payload."""
    cdef Py_buffer view
    cdef Reader source
    cdef uint64_t left = 0
    cdef list changes = []
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        source.start = source.at = <const uint8_t*>view.buf
        source.end = source.at + view.len
        if source.at == source.end or source.at[0] != KIND:
            raise damaged(&source)
        source.at += 1
        if not get_length(&source, &left):
            raise damaged(&source)
        while left:
            changes.append(get_change(&source))
            left -= 1
        if source.at != source.end:
            raise damaged(&source)
        return changes
    finally:
        PyBuffer_Release(&view)


cdef tuple get_change(Reader* source):
    cdef uint64_t table = 0, sequence = 0
    cdef uint8_t flags
    if not get_varint(source, &table) or source.at == source.end:
        raise damaged(source)
    flags = source.at[0]
    if flags > (HAS_OLD | HAS_NEW | EXPIRED | OLD_AT) or (flags & HAS_OLD and flags & OLD_AT):
        raise damaged(source)
    source.at += 1
    key = get_image(source)
    if flags & OLD_AT:
        if not get_varint(source, &sequence):
            raise damaged(source)
        old = sequence
    else:
        old = get_image(source) if flags & HAS_OLD else None
    new = get_image(source) if flags & HAS_NEW else None
    return (table, key, old, new, flags & EXPIRED != 0)


cdef bytes get_image(Reader* source):
    cdef uint64_t size = 0
    if not get_length(source, &size):
        raise damaged(source)
    source.at += size
    return PyBytes_FromStringAndSize(<const char*>source.at - size, size)


cdef object damaged(Reader* source):
    return ValueError(
        f"damaged frame: byte {source.at - source.start} of {source.end - source.start} is no part of a list of changes"
    )
