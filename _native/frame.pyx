"""Frames of a log: encode, scan, and find the frame that vouches for a damaged one.

    frame   length u32 | crc32c u32 | sequence u64 | time u64 us | lag u32 | kind u32 | payload | zeros to 8

All integers are little-endian. The checksum covers the log's id (u64), the length, the header after the checksum and
the payload, so the bytes of another log never pass. lag is the sequence minus the highest sequence that was known to
be on disk when the frame was built: a good frame is evidence about the ones before it.

Encoding is a kernel too: packed in Python a frame costs as much as the rest of a write.

Invariants: what append encodes, scan accepts; no scan reads past its buffer, whatever the bytes say.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from dispatch cimport multiversion_int

import numpy as np


cdef extern from "crc32c.h":
    uint32_t crc32c_extend(uint32_t crc, const uint8_t *data, size_t n) noexcept nogil
    uint32_t crc32c_portable(uint32_t crc, const uint8_t *data, size_t n) noexcept nogil
    void crc32c_choose() noexcept nogil

cdef extern from *:
    """
    typedef struct { uint32_t length, crc; uint64_t sequence, time; uint32_t lag, kind; } frame_header;
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #error "the log's headers are read as little-endian structs; a big-endian port needs byte swaps here"
    #endif
    """
    ctypedef struct frame_header:
        uint32_t length
        uint32_t crc
        uint64_t sequence
        uint64_t time
        uint32_t lag
        uint32_t kind

crc32c_choose()

cdef enum:
    HEADER_BYTES = 32
    LONGEST = 1 << 30
    FIRST_ROOM = 1 << 14

HEADER, MAX_PAYLOAD = HEADER_BYTES, LONGEST

cdef enum:  # why a scan stopped
    _END = 0    # exactly at the end of the buffer
    _ZEROS = 1  # at a header of zeros: preallocated, never written
    _SHORT = 2  # the header asks for more bytes than the buffer has
    _BAD = 3    # wrong checksum, or not the sequence expected

END, ZEROS, SHORT, BAD = _END, _ZEROS, _SHORT, _BAD


def crc32c(data not None, uint32_t start=0, *, bint portable=False):
    """CRC32C of data, continuing from `start`. portable=True takes the table even where the CPU has the instruction."""
    cdef Py_buffer view
    cdef uint32_t result
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        with nogil:
            if portable:
                result = crc32c_portable(start, <const uint8_t *>view.buf, view.len)
            else:
                result = crc32c_extend(start, <const uint8_t *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return result


cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    return (n + 7) & ~<Py_ssize_t>7


cdef inline uint32_t checksum(uint64_t log_id, const frame_header *header, const uint8_t *payload) noexcept nogil:
    cdef uint32_t crc = crc32c_extend(0, <const uint8_t *>&log_id, 8)
    crc = crc32c_extend(crc, <const uint8_t *>&header.length, 4)
    crc = crc32c_extend(crc, <const uint8_t *>&header.sequence, HEADER_BYTES - 8)
    return crc32c_extend(crc, payload, header.length)


@cython.final
@cython.auto_pickle(False)
cdef class FrameBuffer:
    """Frames waiting to be written, one after the other in one growing buffer. Not safe to share without a lock."""

    cdef uint64_t log_id
    cdef uint8_t *data
    cdef Py_ssize_t used, room

    def __cinit__(self):
        self.room = FIRST_ROOM
        self.data = <uint8_t *>PyMem_RawMalloc(self.room)
        if self.data == NULL:
            raise MemoryError

    def __init__(self, uint64_t log_id):
        self.log_id = log_id

    def __dealloc__(self):
        PyMem_RawFree(self.data)

    def __len__(self):
        return self.used

    def append(self, uint64_t sequence, uint64_t time, uint64_t lag, uint32_t kind, payload not None):
        """Encode one frame. payload is anything with a contiguous buffer, at most MAX_PAYLOAD bytes, and is copied."""
        cdef Py_buffer view
        if type(payload) is bytes:
            self.encode(sequence, time, lag, kind, <const uint8_t *>PyBytes_AS_STRING(payload), len(<bytes>payload))
            return
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            self.encode(sequence, time, lag, kind, <const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef int encode(
        self, uint64_t sequence, uint64_t time, uint64_t lag, uint32_t kind, const uint8_t *payload, Py_ssize_t length
    ) except -1:
        cdef Py_ssize_t size
        cdef frame_header header
        cdef uint8_t *at
        if length > LONGEST:
            raise ValueError(f"a frame holds at most {LONGEST} bytes, got {length}")
        size = padded(HEADER_BYTES + length)
        if self.used + size > self.room:
            self.grow(self.used + size)
        at = self.data + self.used
        header.length, header.sequence, header.time, header.kind = <uint32_t>length, sequence, time, kind
        header.lag = <uint32_t>lag if lag < 0xFFFFFFFF else 0xFFFFFFFF
        header.crc = checksum(self.log_id, &header, payload)
        memcpy(at, &header, HEADER_BYTES)
        memcpy(at + HEADER_BYTES, payload, length)
        memset(at + HEADER_BYTES + length, 0, size - HEADER_BYTES - length)
        self.used += size
        return 0

    cdef int grow(self, Py_ssize_t needed) except -1:
        cdef Py_ssize_t room = self.room
        while room < needed:
            room *= 2
        cdef uint8_t *data = <uint8_t *>PyMem_RawRealloc(self.data, room)
        if data == NULL:
            raise MemoryError
        self.data, self.room = data, room
        return 0

    def peek(self):
        """All frames in the buffer, as bytes. They stay until dropped: an interrupted writer writes them again."""
        return PyBytes_FromStringAndSize(<char *>self.data, self.used)

    def copy_to(self, target not None, Py_ssize_t offset):
        """Copy all frames into writable memory at this offset, as peek would give them; how many bytes that was."""
        cdef Py_buffer view
        PyObject_GetBuffer(target, &view, PyBUF_WRITABLE)
        try:
            if not 0 <= offset <= view.len - self.used:
                raise ValueError(f"{self.used} bytes do not fit at {offset} of {view.len}")
            memcpy(<uint8_t *>view.buf + offset, self.data, self.used)
        finally:
            PyBuffer_Release(&view)
        return self.used

    def drop(self, Py_ssize_t n):
        """Forget the first n bytes: they are written."""
        cdef uint8_t *small
        if not 0 <= n <= self.used:
            raise ValueError(f"n must lie within the {self.used} bytes of the buffer, got {n}")
        memmove(self.data, self.data + n, self.used - n)
        self.used -= n
        if self.used == 0 and self.room > 1 << 22:  # one huge transaction must not keep its memory for ever
            small = <uint8_t *>PyMem_RawMalloc(FIRST_ROOM)
            if small != NULL:
                PyMem_RawFree(self.data)
                self.data, self.room = small, FIRST_ROOM

    def cut(self, Py_ssize_t n):
        """Keep the first n bytes: a frame behind them was not taken after all. Nothing happens if there are no more."""
        if n < 0:
            raise ValueError(f"n must be at least 0, got {n}")
        self.used = min(self.used, n)


cdef inline int judge(
    const uint8_t *data, Py_ssize_t n, Py_ssize_t at, uint64_t log_id, frame_header *header
) noexcept nogil:
    """END if a good frame stands at `at` (header is filled), else the reason why not. Reads nothing past n."""
    cdef const uint8_t *p = data + at
    cdef int i
    if n - at < HEADER_BYTES:
        for i in range(<int>(n - at)):
            if p[i]:
                return _SHORT
        return _ZEROS
    memcpy(header, p, HEADER_BYTES)
    if header.sequence == 0:
        for i in range(HEADER_BYTES):
            if p[i]:
                return _BAD
        return _ZEROS
    if header.length > LONGEST:
        return _BAD
    if padded(HEADER_BYTES + header.length) > n - at:
        return _SHORT
    return _END if checksum(log_id, header, p + HEADER_BYTES) == header.crc else _BAD


def scan(data not None, Py_ssize_t start, uint64_t expected, uint64_t log_id):
    """The good frames from `start` on that are numbered expected, expected + 1, ...

    Returns (positions int64[n], end, verdict): where each frame starts, the position after the last one, and why the
    scan stopped there: END, ZEROS, SHORT or BAD. The GIL is released.
    """
    cdef Py_buffer view
    cdef Py_ssize_t n, at = start, count = 0, room
    cdef frame_header header
    cdef int verdict = _END
    cdef int64_t[::1] positions
    cdef const uint8_t *bytes_
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        n, bytes_ = view.len, <const uint8_t *>view.buf
        if not 0 <= start <= n:
            raise ValueError(f"start must lie within the {n} bytes given, got {start}")
        room = 1024
        found = np.empty(room, np.int64)
        positions = found
        while True:
            with nogil:
                while count < room and at < n:
                    verdict = judge(bytes_, n, at, log_id, &header)
                    if verdict == _END and header.sequence != expected:
                        verdict = _BAD
                    if verdict != _END:
                        break
                    positions[count] = at
                    count += 1
                    expected += 1
                    at += padded(HEADER_BYTES + header.length)
            if at >= n or verdict != _END:
                break
            room *= 2
            positions = None
            found = np.concatenate([found, np.empty(room - count, np.int64)])
            positions = found
        return found[:count], at, verdict
    finally:
        PyBuffer_Release(&view)


def header_at(data not None, Py_ssize_t position):
    """(length, sequence, time, lag, kind) of the frame at this position, its checksum not looked at again."""
    cdef Py_buffer view
    cdef frame_header header
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if position < 0 or view.len - position < HEADER_BYTES:
            raise ValueError(f"no frame header fits at {position} of {view.len} bytes")
        memcpy(&header, <const uint8_t *>view.buf + position, HEADER_BYTES)
    finally:
        PyBuffer_Release(&view)
    return header.length, header.sequence, header.time, header.lag, header.kind


def find_voucher(data not None, Py_ssize_t start, uint64_t expected, uint64_t log_id, *, bint any_later=False):
    """Where a good frame stands that says the frame `expected` had been on disk already; -1 if there is none.

    With any_later a good frame will do that is numbered `expected` or more, whatever it says. Looks at every multiple
    of 8 from start on: frames have that alignment, whatever happened to the ones before.
    """
    cdef Py_buffer view
    cdef Py_ssize_t at, n
    cdef frame_header header
    cdef const uint8_t *bytes_
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        n, bytes_ = view.len, <const uint8_t *>view.buf
        if start < 0:
            raise ValueError(f"start must be at least 0, got {start}")
        with nogil:
            at = padded(start)
            while n - at >= HEADER_BYTES:
                memcpy(&header, bytes_ + at, HEADER_BYTES)
                # cheap tests first: a checksum is computed only where the numbers make sense
                if (
                    header.sequence >= expected and header.length <= n - at
                    and (any_later or header.lag <= header.sequence - expected)
                ):
                    if judge(bytes_, n, at, log_id, &header) == _END:
                        break
                at += 8
            else:
                at = -1
        return at
    finally:
        PyBuffer_Release(&view)


cdef multiversion_int any_bits(const uint8_t *data, Py_ssize_t n) noexcept nogil:
    """All bytes or-ed together: without a branch in the loop, so 16 to 64 of them at once."""
    cdef uint8_t seen = 0
    cdef Py_ssize_t i
    for i in range(n):
        seen |= data[i]
    return seen


def only_zeros(data not None, Py_ssize_t start=0):
    """Whether nothing but zero bytes stands from `start` on."""
    cdef Py_buffer view
    cdef Py_ssize_t at
    cdef bint zeros = True
    cdef const uint8_t *bytes_
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if start < 0:
            raise ValueError(f"start must be at least 0, got {start}")
        bytes_ = <const uint8_t *>view.buf
        at = start
        with nogil:
            while zeros and at < view.len:  # by pages: what is not zero is mostly near
                zeros = any_bits(bytes_ + at, min(view.len - at, 4096)) == 0
                at += 4096
    finally:
        PyBuffer_Release(&view)
    return zeros
