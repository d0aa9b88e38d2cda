"""Arrays of any whole-number width as kernels see them: a pointer, a length, a width in bytes.

A fused `def` function looks for its specialisation at every call (microseconds); one buffer request of numpy costs
31 ns. So kernels take any array, and choose their loop by its width.

    cdef Vector values = closed(), mask = closed()
    try:
        open_vector(&values, array, 0)
        ...
    finally:
        close_vector(&values); ...
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

ctypedef fused narrow:
    uint8_t
    uint16_t
    uint32_t
    int64_t

cdef struct Vector:
    Py_buffer view
    void* data
    Py_ssize_t n
    Py_ssize_t width


cdef inline Vector closed() noexcept nogil:
    """A vector that holds nothing yet: closing it does nothing."""
    cdef Vector vector
    memset(&vector, 0, sizeof(Vector))
    return vector


cdef inline int open_vector(
    Vector* vector, object array, Py_ssize_t width, Py_ssize_t n=-1, bint writable=False
) except -1:
    """Hold an array of items of that width (0 = any) and of that length (-1 = any); BufferError if not contiguous."""
    PyObject_GetBuffer(array, &vector.view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
    vector.data = vector.view.buf
    vector.width = vector.view.itemsize
    vector.n = vector.view.len // vector.width
    if width and vector.width != width:
        raise ValueError(f"the array has items of {vector.width} bytes, not of {width}")
    if n >= 0 and vector.n != n:
        raise ValueError(f"the array has {vector.n} items, not {n}")
    if vector.width not in (1, 2, 4, 8):
        raise ValueError(f"items of 1, 2, 4 or 8 bytes, not of {vector.width}")
    return 0


cdef inline void close_vector(Vector* vector) noexcept:
    PyBuffer_Release(&vector.view)
