"""Growing and bounded bytes for codecs: a Writer that starts on the caller's stack, a Reader that never passes its end.

A Writer belongs to one call, never to an object, so two threads or a re-entrant call can not meet in it. It begins
with room that the caller lends (an array on the stack) and moves to the heap only when that is used up:

    cdef uint8_t room[ROOM]
    cdef Writer out
    start_writer(&out, room, ROOM)
    try: ...; return PyBytes_FromStringAndSize(<char*>out.start, out.used)
    finally: end_writer(&out)

Whole numbers travel as varints: seven bits a byte, least first, the top bit set while more follow, at most ten bytes.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy


cdef struct Writer:
    uint8_t* start
    Py_ssize_t used
    Py_ssize_t room
    uint8_t* heap  # what to free; NULL while the lent room is enough


cdef inline void start_writer(Writer* out, uint8_t* lent, Py_ssize_t room) noexcept nogil:
    out.start, out.used, out.room, out.heap = lent, 0, room, NULL


cdef inline void end_writer(Writer* out) noexcept:
    PyMem_RawFree(out.heap)


cdef inline int grow(Writer* out, Py_ssize_t more) except -1:
    cdef Py_ssize_t room = out.room * 2 + more
    cdef uint8_t* moved = <uint8_t*>(
        PyMem_RawRealloc(out.heap, room) if out.heap != NULL else PyMem_RawMalloc(room)
    )
    if moved == NULL:
        raise MemoryError
    if out.heap == NULL:
        memcpy(moved, out.start, out.used)
    out.heap = out.start = moved
    out.room = room
    return 0


cdef inline int reserve(Writer* out, Py_ssize_t more) except -1:
    """Make room for `more` bytes; the put functions below do not look."""
    if out.room - out.used < more:
        return grow(out, more)
    return 0


cdef inline void put_byte(Writer* out, uint8_t value) noexcept nogil:
    out.start[out.used] = value
    out.used += 1


cdef inline void put_varint(Writer* out, uint64_t value) noexcept nogil:
    while value >= 0x80:
        put_byte(out, <uint8_t>(value | 0x80))
        value >>= 7
    put_byte(out, <uint8_t>value)


cdef inline void put_bytes(Writer* out, const void* data, Py_ssize_t size) noexcept nogil:
    memcpy(out.start + out.used, data, size)
    out.used += size


cdef inline int varint_size(uint64_t value) noexcept nogil:
    cdef int size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


cdef struct Reader:
    const uint8_t* start
    const uint8_t* at
    const uint8_t* end


cdef inline bint get_varint(Reader* source, uint64_t* value) noexcept nogil:
    """False where the bytes end too early or say more than 64 bits."""
    cdef int shift = 7
    cdef uint64_t byte
    if source.at >= source.end:
        return False
    byte = source.at[0]
    source.at += 1
    value[0] = byte
    if byte < 0x80:  # most are this short
        return True
    value[0] &= 0x7F
    while source.at < source.end:
        byte = source.at[0]
        source.at += 1
        if shift == 63 and byte > 1:
            return False
        value[0] |= (byte & 0x7F) << shift
        if byte < 0x80:
            return True
        shift += 7
    return False


cdef inline bint get_length(Reader* source, uint64_t* value) noexcept nogil:
    """A varint that counts bytes or elements still to come: False where there are not that many bytes left."""
    return get_varint(source, value) and value[0] <= <uint64_t>(source.end - source.at)
