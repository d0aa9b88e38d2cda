"""A hit in the item cache of an Accelerator: one compiled function, as a read of a table is one (kvpoint.pyx).

    encode the key ──> look up ──> image    decode it: a new item for each caller
                                ├─> b""     known to be absent: a negative hit
                                └─> nothing, or the table is gone ──> fetch() of the Accelerator, in Python

Nothing is locked: under the GIL a look-up is one step, and what it returns are bytes that nobody changes.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

cdef enum:
    MILLISECOND = 1000       # in microseconds


@cython.auto_pickle(False)
cdef class ItemHits:
    """The base of Accelerator. Times are whole milliseconds since 1970.

    records: the table's. lookup(key, now): what the cache has, None for nothing. lock: the table's as long as it is not
    dropped. on_system_time: the clock is the machine's, which is asked without Python. two_clocks: entries age by
    another clock than the one by which items expire, so an entry may outlive its item. absent: negative hits so far.
    """

    cdef object records, encode, lookup, store, lock, clock
    cdef bint on_system_time, two_clocks
    cdef readonly int64_t absent

    def __init__(self, records, lookup, store, clock, bint on_system_time, bint two_clocks):
        self.records, self.lookup, self.store, self.clock = records, lookup, store, clock
        self.encode, self.lock = records.keys.encode, records.lock
        self.on_system_time, self.two_clocks = on_system_time, two_clocks

    def get(self, *key, projection=None, names=None, bint consistent=False, consumed=None):
        """The item with this key, None where there is none or its time to live is over; at most ttl seconds old.

        It is the latest that was written through this accelerator, or later. A hit costs no read units, and projection
        is applied to the item that the cache has. consistent=True asks the table, and leaves the cache as it is.
        Otherwise as Table.get.
        """
        if projection is not None or names is not None or consistent:
            return self.get_with(key, projection, names, consistent, consumed)
        return self.find(key, consumed)

    cpdef find(self, tuple key, consumed):
        """The whole item, from the cache if it is there."""
        cdef bytes image
        try:
            encoded = self.encode(key)
        except ValueError:
            self.records.encode_key(key)  # raises Invalid
            raise
        image = self.lookup(encoded, self.now())
        if image is None or self.ended():
            return self.fetch(encoded, consumed)
        if PyBytes_GET_SIZE(image) == 0 or (self.two_clocks and self.records.expired(image)):
            self.absent += 1
            return None
        return self.records.decode(image)

    cpdef bint ended(self) except -1:
        """Whether the table was dropped, or its store closed."""
        return self.store._closed or self.records.lock is not self.lock

    cpdef int64_t now(self) except? -1:
        """The time by which entries age."""
        cdef timespec time
        if self.on_system_time:
            clock_gettime(CLOCK_REALTIME, &time)
            return <int64_t>time.tv_sec * 1000 + time.tv_nsec // 1_000_000
        return <int64_t>(self.clock.now() // MILLISECOND)
