"""A mutex that compiled code takes without a call into Python: threading.Lock, but for its address.

A point read holds its store's lock for less than a microsecond, so two calls into Python, to take threading.Lock and to
leave it, would be felt. Everything else uses it as a context manager, as it would threading.Lock.

    mutex.pxd    take(address), leave(address): what the kernels do with it

Ctrl-C waits until the lock is had. It is held for a page of items at most; only a checkpoint holds it over a wait for
the disk, while LMDB commits.
"""

cimport cython

from mutex cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_type_lock, leave, take,
)


@cython.final
@cython.auto_pickle(False)
cdef class Lock:
    """Not re-entrant. Any thread may release it; who releases what nobody holds breaks it."""

    cdef PyThread_type_lock mutex

    def __cinit__(self):
        self.mutex = PyThread_allocate_lock()
        if self.mutex == NULL:
            raise MemoryError("the operating system has no lock left")

    def __dealloc__(self):
        if self.mutex != NULL:
            PyThread_acquire_lock(self.mutex, NOWAIT_LOCK)  # it is free either way when it is left
            leave(self.mutex)
            PyThread_free_lock(self.mutex)

    @property
    def address(self):
        """Where the mutex is in memory, for as long as this object lives."""
        return <size_t>self.mutex

    def acquire(self):
        """Wait until nobody holds it, and hold it."""
        take(self.mutex)

    def release(self):
        """Let it go."""
        leave(self.mutex)

    def locked(self):
        """Whether somebody holds it now."""
        if not PyThread_acquire_lock(self.mutex, NOWAIT_LOCK):
            return True
        leave(self.mutex)
        return False

    def forked(self):
        """In the child of a fork: whoever held it is not here."""
        if self.locked():
            leave(self.mutex)

    def __enter__(self):
        take(self.mutex)

    def __exit__(self, *_):
        leave(self.mutex)
