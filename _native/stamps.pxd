"""The bytes of a stamp, for kvstamp.pyx and kvpoint.pyx: see kvstamp.pyx for the layout."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from itemread cimport HEAD_BYTES, IS_STAMPED, STAMP_BYTES


cdef inline Py_ssize_t image_size(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """The bytes of the image without its stamp."""
    if size >= HEAD_BYTES + STAMP_BYTES and data[0] & IS_STAMPED:
        return size - STAMP_BYTES
    return size


cdef inline uint64_t stamp_of(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """The sequence in the stamp, 0 where there is none."""
    cdef uint64_t sequence = 0
    if image_size(data, size) < size:
        memcpy(&sequence, data + size - STAMP_BYTES, STAMP_BYTES)
    return sequence


cdef inline bint same_image(const uint8_t* a, Py_ssize_t a_size, const uint8_t* b, Py_ssize_t b_size) noexcept nogil:
    """Whether two images, stamped or not, are the same."""
    cdef Py_ssize_t size = image_size(a, a_size)
    if size != image_size(b, b_size):
        return False
    return size == 0 or ((a[0] | IS_STAMPED) == (b[0] | IS_STAMPED) and memcmp(a + 1, b + 1, size - 1) == 0)
