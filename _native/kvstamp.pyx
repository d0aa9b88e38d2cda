"""Stamps: an item in the tree remembers which frame of the log wrote it.

    image in the log    head u32 | ... pairs
    image in the tree   head u32, bit 1 set | ... pairs | sequence u64    only in tables whose stream shows old images

So the next change of that item can name the frame that holds the old image instead of repeating it: half the bytes of
the log, and of the time a write waits for the kernel. The rest of an item's layout is drawn in kvitem.pyx, which reads
both.

Invariants: unstamped(stamp(image, n)) == image and stamped_at(stamp(image, n)) == n; unchanged compares images only.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from itemread cimport HEAD_BYTES, IS_STAMPED, STAMP_BYTES
from stamps cimport image_size, same_image, stamp_of


def stamp(bytes image not None, uint64_t sequence):
    """The image as it stands in the tree, written by the frame `sequence`."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(image)
    if size < HEAD_BYTES:
        raise ValueError(f"an item has at least its head of {HEAD_BYTES} bytes, got {size}")
    cdef bytes stamped = PyBytes_FromStringAndSize(NULL, size + STAMP_BYTES)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(stamped)
    memcpy(out, PyBytes_AS_STRING(image), size)
    out[0] |= IS_STAMPED
    memcpy(out + size, &sequence, STAMP_BYTES)
    return stamped


def stamped_at(data not None):
    """The sequence of the frame that wrote this item, 0 where it has no stamp."""
    cdef Py_buffer view
    cdef uint64_t sequence
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        sequence = stamp_of(<const uint8_t*>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return sequence


def unstamped(data not None):
    """The image alone, as bytes."""
    cdef Py_buffer view
    cdef bytes image
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        image = PyBytes_FromStringAndSize(<const char*>view.buf, image_size(<const uint8_t*>view.buf, view.len))
        if PyBytes_GET_SIZE(image) < view.len:
            (<uint8_t*>PyBytes_AS_STRING(image))[0] &= 0xFF ^ IS_STAMPED
    finally:
        PyBuffer_Release(&view)
    return image


def unchanged(old, new):
    """Whether two images, stamped or not, or their absence (None), are the same: then there is nothing to log."""
    cdef Py_buffer a, b
    if old is None or new is None:
        return old is new
    PyObject_GetBuffer(old, &a, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(new, &b, PyBUF_SIMPLE)
        try:
            return same_image(<const uint8_t*>a.buf, a.len, <const uint8_t*>b.buf, b.len)
        finally:
            PyBuffer_Release(&b)
    finally:
        PyBuffer_Release(&a)
