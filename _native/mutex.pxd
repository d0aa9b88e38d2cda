"""Taking and leaving a lock.Lock by its address. The lock object must be kept alive meanwhile."""


cdef extern from "Python.h":
    ctypedef void* PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock() nogil
    void PyThread_free_lock(PyThread_type_lock) nogil
    int PyThread_acquire_lock(PyThread_type_lock, int) nogil
    void PyThread_release_lock(PyThread_type_lock) nogil
    int NOWAIT_LOCK
    int WAIT_LOCK


cdef inline void take(PyThread_type_lock mutex) noexcept:
    """Without letting go of the GIL where nobody has it: mostly."""
    if not PyThread_acquire_lock(mutex, NOWAIT_LOCK):
        with nogil:
            PyThread_acquire_lock(mutex, WAIT_LOCK)


cdef inline void leave(PyThread_type_lock mutex) noexcept:
    PyThread_release_lock(mutex)
