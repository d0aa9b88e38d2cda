"""The table of the cache: a hash table with a limit, where what is least worth keeping goes, and what is due goes first.

    index     [tag u32 | entry u32] ...             open addressing: tag = mixed hash, its top bits are the home slot
    entries   key value expires tag kind heat       what a lookup reads: 32 bytes
    rest      size, neighbours in the order         what eviction reads
    timers    neighbours in the timing wheel        timingwheel.pxd

Removing from the index shifts what follows back (no tombstones), and never looks at an entry, because tags lie in the
index. An entry keeps its number as long as it lives: a scan by number misses nothing that is there all the while.

    policy    who goes                                                  a hit costs
    none      nobody: what does not fit is refused                      nothing
    sieve     oldest first, but who was hit since the hand last came    one bit
              by is spared once (Zhang et al., "SIEVE", NSDI 2024)
    lru       least recently used                                       a move to the front of a list
    lfu       least of a sample of 5 by a counter of 8 bits that        a counter, sometimes
              grows with the logarithm of hits and falls by 1 a
              minute (Redis)
    random    anybody                                                   nothing
    ttl       soonest to expire in a sample of 5; only with a TTL       nothing

`volatile`: only entries with a TTL can go. Nothing is evicted for what cannot fit anyway.

Keys are compared by Python code that may do anything, to this table too. A lookup holds what it compares, and starts
again if the generation has changed meanwhile. No destructor runs while the table is at work: what leaves goes to the
`dying` first, and is released when all is in order again. tp_traverse and tp_clear are written by hand, since Cython
knows nothing of references in C arrays.

Time is handed in, in milliseconds. An expired entry is never found, although it goes only when the wheel comes by.

Sizes are key + value + 64 bytes, estimated when they are set, and only where there is a limit to hold them against.
"""

cimport cython
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.object cimport Py_EQ, PyObject, PyObject_RichCompareBool
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from timingwheel cimport (
    NIL, Timer, Wheel, wheel_add, wheel_advance, wheel_remove, wheel_reset,
)

import sys
from _thread import allocate_lock
from itertools import islice

cdef extern from *:
    """
    #include <string.h>
    #include <time.h>

    #ifdef CLOCK_REALTIME_COARSE  /* 5 ns and up to 4 ms behind, where CLOCK_REALTIME takes 20 to 50 */
    #define CACHE_CLOCK CLOCK_REALTIME_COARSE
    #else
    #define CACHE_CLOCK CLOCK_REALTIME
    #endif

    static inline long long system_milliseconds(void) {
        struct timespec now;
        clock_gettime(CACHE_CLOCK, &now);
        return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
    }

    /* 1 equal, 0 not, 2 ask Python */
    static inline int same_key(PyObject* a, PyObject* b) {
        if (PyUnicode_CheckExact(a) && PyUnicode_CheckExact(b)) {
            Py_ssize_t length = PyUnicode_GET_LENGTH(a);
            return length == PyUnicode_GET_LENGTH(b) && PyUnicode_KIND(a) == PyUnicode_KIND(b)
                && memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), length * PyUnicode_KIND(a)) == 0;
        }
        if (PyBytes_CheckExact(a) && PyBytes_CheckExact(b))
            return PyBytes_GET_SIZE(a) == PyBytes_GET_SIZE(b)
                && memcmp(PyBytes_AS_STRING(a), PyBytes_AS_STRING(b), PyBytes_GET_SIZE(a)) == 0;
        if ((PyUnicode_CheckExact(a) && PyBytes_CheckExact(b)) || (PyBytes_CheckExact(a) && PyUnicode_CheckExact(b)))
            return 0;  /* their hashes are equal, and python -b would warn */
        return 2;
    }

    static inline Py_hash_t key_hash(PyObject* key) {
        if (PyUnicode_CheckExact(key) && ((PyASCIIObject*)key)->hash != -1)
            return ((PyASCIIObject*)key)->hash;
        return PyObject_Hash(key);
    }
    """
    long long system_milliseconds() nogil
    int same_key(PyObject*, PyObject*)
    Py_hash_t key_hash(object) except -1

cdef extern from "Python.h":
    ctypedef int (*visitproc)(PyObject*, void*) noexcept
    ctypedef int (*traverseproc)(PyObject*, visitproc, void*) noexcept
    ctypedef int (*inquiry)(PyObject*) noexcept
    ctypedef struct PyTypeObject:
        traverseproc tp_traverse
        inquiry tp_clear

cdef enum Policy:
    NONE, SIEVE, LRU, LFU, RANDOM, TTL

cdef enum State:
    FREE, LIVE, DELETED, EVICTED, EXPIRED

cdef enum:
    OVERHEAD = 64         # bytes an entry costs beside its key and value
    SAMPLE = 5
    LFU_START = 5         # so that a new entry is not the next to go
    LFU_FACTOR = 10       # about a million hits fill the counter
    ABSENT = -1
    ASK = -3
    RETRIES = 100         # of a lookup whose keys change the table when they are compared
    MOST_ITEMS = 1 << 30

cdef uint64_t EMPTY = <uint64_t>0xFFFFFFFFFFFFFFFF
cdef int64_t UNBOUNDED = <int64_t>1 << 62
cdef int64_t MOST_SECONDS = 1_000_000_000_000  # a time to live: 31,000 years

POLICIES = ("none", "sieve", "lru", "lfu", "random", "ttl")

cdef struct Entry:
    PyObject* key         # NULL: none here
    PyObject* value
    int64_t expires       # milliseconds, 0 for never
    uint32_t tag
    uint8_t kind          # 0 a value, else a container of the owner's
    uint8_t heat          # sieve: was hit; lfu: the counter
    uint16_t minute       # lfu: when heat was last brought up to date

cdef struct Rest:
    int64_t size
    uint32_t newer        # neighbours in the order; for sampling policies, the place among the candidates
    uint32_t older        # ... of the free and the dying: the next one
    uint8_t state
    uint8_t listed        # it is in the order: it can be evicted


cdef inline uint32_t tag_of(object key) except? 0:
    """The mixed hash: Fibonacci hashing, so that keys 1, 2, 3 ... spread. May run the key's __hash__."""
    return <uint32_t>((<uint64_t>key_hash(key) * <uint64_t>0x9E3779B97F4A7C15) >> 32)


cdef int64_t size_of(object value, int depth=4) except -1:
    """About how many bytes it takes. Of containers, as many elements as a sample has are looked at."""
    cdef int64_t size, seen = 0, looked = 0
    kind = type(value)
    size = sys.getsizeof(value, OVERHEAD)
    if depth == 0 or (kind is not list and kind is not dict and kind is not tuple and kind is not set
                      and kind is not frozenset):
        return size
    for each in islice(value.items() if kind is dict else value, SAMPLE):
        if kind is dict:
            seen += size_of(each[0], depth - 1) + size_of(each[1], depth - 1)
        else:
            seen += size_of(each, depth - 1)
        looked += 1
    return size + (seen * <int64_t>len(value) // looked if looked else 0)


cdef int64_t container_size(uint8_t kind, object container) except -1:
    """The same for what the owner's containers are made of: hash, list, set, sorted set."""
    cdef int64_t size = 0, looked = 0, each_costs
    if kind == 0:
        return size_of(container)
    each_costs = 16 if kind == 2 else 120 if kind < 4 else 280  # of dict, list, tuple, chunks: no sample shows it
    for each in islice(container.items() if kind == 1 else container, SAMPLE):
        size += size_of(each, 3)
        looked += 1
    return OVERHEAD + len(container) * (each_costs + (size // looked if looked else 0))


@cython.final
@cython.auto_pickle(False)
cdef class CacheTable:
    """Keys to values, at most max_items of them and max_bytes in size; None for no limit. Not safe without the GIL.

    policy: see the top of this file. seed: of what sampling policies draw. ValueError for limits that make no sense.
    unlimited: while it is set, nothing is evicted or refused. TypeError where a key has no hash; what comparing keys
    raises passes through, and nothing was done.
    """

    cdef Entry* entries
    cdef Rest* rest
    cdef uint64_t* index
    cdef uint32_t* candidates          # sampling policies: who can go, in no order
    cdef Wheel wheel
    cdef uint32_t capacity, fresh      # entries there is memory for; entries ever used
    cdef uint32_t free, dying          # heads of chains
    cdef uint32_t newest, oldest, hand
    cdef uint32_t count, evictable
    cdef uint32_t mask, shift          # slots of the index - 1; from tag to home slot
    cdef int64_t item_limit, byte_limit, evictable_bytes
    cdef uint64_t generation, draws
    cdef Policy policy
    cdef uint16_t minute
    cdef public bint unlimited
    cdef readonly bint volatile, sized
    cdef readonly object max_items, max_bytes
    cdef readonly int64_t bytes, hits, misses, evictions, expired

    def __cinit__(self):
        self.free = self.dying = self.newest = self.oldest = self.hand = NIL
        wheel_reset(&self.wheel)

    def __init__(self, max_items=None, max_bytes=None, str policy="sieve", bint volatile=False, seed=0):
        if self.index != NULL:
            raise ValueError("a CacheTable is made once")
        for name, limit, most in (("max_items", max_items, MOST_ITEMS), ("max_bytes", max_bytes, UNBOUNDED)):
            if limit is not None and (type(limit) is not int or not 1 <= limit <= most):
                raise ValueError(f"{name} must be a whole number from 1 to {most:,}, or None, got {limit!r}")
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")
        if type(seed) is not int:
            raise ValueError(f"seed must be a whole number, got {seed!r}")
        self.max_items, self.max_bytes = max_items, max_bytes
        self.item_limit = MOST_ITEMS if max_items is None else max_items
        self.byte_limit = UNBOUNDED if max_bytes is None else max_bytes
        self.sized = max_bytes is not None
        self.policy = POLICIES.index(policy)
        self.volatile = volatile or self.policy == TTL
        self.draws = <uint64_t>(seed & 0xFFFFFFFFFFFFFFFF)
        self.rebuild(8)

    def __dealloc__(self):
        self.drop_all()
        self.drain()
        PyMem_RawFree(self.entries)
        PyMem_RawFree(self.rest)
        PyMem_RawFree(self.index)
        PyMem_RawFree(self.candidates)
        PyMem_RawFree(self.wheel.timers)

    # -- the index ----------------------------------------------------------------------------------------------------

    cdef inline int64_t look(self, PyObject* key, uint32_t tag) noexcept:
        """The number of the entry, expired or not; ABSENT; or ASK, where only Python knows whether two keys are equal."""
        cdef uint64_t slot
        cdef uint32_t position = tag >> self.shift
        cdef PyObject* found
        cdef int same
        while True:
            slot = self.index[position]
            if slot == EMPTY:
                return ABSENT
            if slot >> 32 == tag:
                found = self.entries[<uint32_t>slot].key
                same = found == key or same_key(found, key)
                if same == 1:
                    return <uint32_t>slot
                if same == 2:
                    return ASK
            position = (position + 1) & self.mask

    cdef inline int64_t find(self, object key, uint32_t tag) except -2:
        """The same by all means: it may run the keys' __eq__, so nothing that was read before it is certain."""
        cdef int64_t found = self.look(<PyObject*>key, tag)
        return self.ask(key, tag) if found == ASK else found

    cdef int64_t ask(self, object key, uint32_t tag) except -2:
        cdef uint64_t slot, generation
        cdef uint32_t position
        cdef bint same
        cdef int retry
        for retry in range(RETRIES):
            position = tag >> self.shift
            while True:
                slot = self.index[position]
                if slot == EMPTY:
                    return ABSENT
                if slot >> 32 == tag:
                    generation = self.generation
                    held = <object>self.entries[<uint32_t>slot].key
                    same = PyObject_RichCompareBool(held, key, Py_EQ)
                    held = None  # its destructor may run here
                    if generation != self.generation:
                        break
                    if same:
                        return <uint32_t>slot
                position = (position + 1) & self.mask
        raise RuntimeError(f"comparing keys changes the cache: it was looked through {RETRIES} times in vain")

    cdef inline void index_add(self, uint32_t i) noexcept:
        cdef uint32_t tag = self.entries[i].tag, position = tag >> self.shift
        while self.index[position] != EMPTY:
            position = (position + 1) & self.mask
        self.index[position] = <uint64_t>tag << 32 | i

    cdef inline void index_remove(self, uint32_t i) noexcept:
        cdef uint32_t hole = self.entries[i].tag >> self.shift, position, home
        cdef uint64_t slot
        while <uint32_t>self.index[hole] != i:
            hole = (hole + 1) & self.mask
        position = hole
        while True:
            position = (position + 1) & self.mask
            slot = self.index[position]
            if slot == EMPTY:
                break
            home = <uint32_t>(slot >> 32) >> self.shift
            if ((position - home) & self.mask) >= ((position - hole) & self.mask):
                self.index[hole] = slot
                hole = position
        self.index[hole] = EMPTY

    cdef int rebuild(self, uint64_t slots) except -1:
        """An index of so many slots (a power of two), with all that lives in it."""
        cdef uint64_t* index = <uint64_t*>PyMem_RawMalloc(slots * sizeof(uint64_t))
        if index == NULL:
            raise MemoryError
        PyMem_RawFree(self.index)
        self.index = index
        self.mask = <uint32_t>(slots - 1)
        self.shift = 32
        while slots > 1:
            slots >>= 1
            self.shift -= 1
        self.fill_index()
        return 0

    cdef void fill_index(self) noexcept:
        cdef uint32_t i
        memset(self.index, 0xFF, (<size_t>self.mask + 1) * sizeof(uint64_t))
        for i in range(self.fresh):
            if self.rest[i].state == LIVE:
                self.index_add(i)
        self.generation += 1

    cdef int reserve(self) except -1:
        """Memory for one more entry. MemoryError, and nothing was changed."""
        cdef uint32_t capacity
        if self.free == NIL and self.fresh == self.capacity:
            capacity = 2 * self.capacity if self.capacity else 8
            entries = PyMem_RawRealloc(self.entries, capacity * sizeof(Entry))
            if entries != NULL:
                self.entries = <Entry*>entries
            rest = PyMem_RawRealloc(self.rest, capacity * sizeof(Rest))
            if rest != NULL:
                self.rest = <Rest*>rest
            timers = PyMem_RawRealloc(self.wheel.timers, capacity * sizeof(Timer))
            if timers != NULL:
                self.wheel.timers = <Timer*>timers
            candidates = <void*>1
            if self.policy >= LFU:
                candidates = PyMem_RawRealloc(self.candidates, capacity * sizeof(uint32_t))
                if candidates != NULL:
                    self.candidates = <uint32_t*>candidates
            if entries == NULL or rest == NULL or timers == NULL or candidates == NULL:
                raise MemoryError
            self.capacity = capacity
        if (<uint64_t>self.count + 1) * 8 > (<uint64_t>self.mask + 1) * 5:  # 62 % full: 2 slots looked at for a hit
            self.rebuild((<uint64_t>self.mask + 1) * 2)
        return 0

    # -- the order in which entries go --------------------------------------------------------------------------------

    cdef inline void enlist(self, uint32_t i) noexcept:
        """Make an entry one that can be evicted, the newest, unless the policy spares it."""
        cdef Rest* rest = &self.rest[i]
        if self.policy == NONE or (self.volatile and self.entries[i].expires == 0):
            return
        rest.listed = True
        self.evictable_bytes += rest.size
        if self.policy >= LFU:
            self.candidates[self.evictable] = i
            rest.newer = self.evictable
        else:
            self.link(i)
        self.evictable += 1

    cdef inline void delist(self, uint32_t i) noexcept:
        cdef Rest* rest = &self.rest[i]
        cdef uint32_t last
        if not rest.listed:
            return
        rest.listed = False
        self.evictable_bytes -= rest.size
        self.evictable -= 1
        if self.policy >= LFU:
            last = self.candidates[self.evictable]
            self.candidates[rest.newer] = last
            self.rest[last].newer = rest.newer
        else:
            if self.hand == i:
                self.hand = rest.newer
            self.unlink(i)

    cdef inline void link(self, uint32_t i) noexcept:
        self.rest[i].newer = NIL
        self.rest[i].older = self.newest
        if self.newest != NIL:
            self.rest[self.newest].newer = i
        else:
            self.oldest = i
        self.newest = i

    cdef inline void unlink(self, uint32_t i) noexcept:
        cdef Rest* rest = &self.rest[i]
        if rest.newer != NIL:
            self.rest[rest.newer].older = rest.older
        else:
            self.newest = rest.older
        if rest.older != NIL:
            self.rest[rest.older].newer = rest.newer
        else:
            self.oldest = rest.newer

    cdef inline void touch(self, uint32_t i) noexcept:
        """An entry was used."""
        if self.policy == SIEVE:
            if not self.entries[i].heat:
                self.entries[i].heat = 1
        elif self.policy == LRU:
            if self.newest != i and self.rest[i].listed:
                self.unlink(i)
                self.link(i)
        elif self.policy == LFU:
            self.warm(i)

    cdef void warm(self, uint32_t i) noexcept:
        """Redis's counter: the more it counts already, the rarer a hit counts."""
        cdef Entry* entry = &self.entries[i]
        cdef uint32_t counted
        entry.heat = self.heat_of(entry)
        entry.minute = self.minute
        if entry.heat < 255:
            counted = entry.heat - LFU_START if entry.heat > LFU_START else 0
            if self.draw(counted * LFU_FACTOR + 1) == 0:
                entry.heat += 1

    cdef inline uint8_t heat_of(self, Entry* entry) noexcept:
        """The counter as of now: one less for every minute without a hit."""
        cdef uint16_t passed = self.minute - entry.minute
        if passed >= 0x8000:  # the clock was set back
            return entry.heat
        return entry.heat - <uint8_t>passed if passed < entry.heat else 0

    cdef inline uint32_t draw(self, uint32_t below) noexcept:
        """A number from 0 to below - 1: splitmix64."""
        cdef uint64_t mixed
        self.draws += <uint64_t>0x9E3779B97F4A7C15
        mixed = (self.draws ^ (self.draws >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
        mixed = (mixed ^ (mixed >> 27)) * <uint64_t>0x94D049BB133111EB
        return <uint32_t>(((mixed ^ (mixed >> 31)) >> 32) * below >> 32)

    cdef uint32_t victim(self) noexcept:
        """Who goes next; there is somebody who can."""
        cdef uint32_t i, best, n, looked
        cdef int64_t score, least
        if self.policy == LRU:
            return self.oldest
        if self.policy == SIEVE:
            i = self.hand if self.hand != NIL else self.oldest
            while self.entries[i].heat:
                self.entries[i].heat = 0
                i = self.rest[i].newer if self.rest[i].newer != NIL else self.oldest
            self.hand = i  # delist() moves it on
            return i
        if self.policy == RANDOM:
            return self.candidates[self.draw(self.evictable)]
        best, least = NIL, 0
        looked = min(self.evictable, <uint32_t>SAMPLE)
        for n in range(looked):
            i = self.candidates[n if self.evictable <= SAMPLE else self.draw(self.evictable)]
            score = self.heat_of(&self.entries[i]) if self.policy == LFU else self.entries[i].expires
            if best == NIL or score < least:
                best, least = i, score
        return best

    cdef bint make_room(self, bint item, int64_t size, uint32_t kept, bint force) noexcept:
        """Evict until one more item (or none) and so many more bytes fit. False, and nothing was done, if they cannot.

        kept: an entry that must stay, or NIL. force: evict what can be evicted, and say True.
        """
        cdef int64_t items_over = <int64_t>self.count + item - self.item_limit
        cdef int64_t bytes_over = self.bytes + size - self.byte_limit
        cdef bint listed
        cdef uint32_t i
        if (items_over <= 0 and bytes_over <= 0) or self.unlimited:
            return True
        if not force and not self.can_hold(item, size, kept):
            return False
        listed = kept != NIL and self.rest[kept].listed
        if listed:
            self.delist(kept)
        while (items_over > 0 or bytes_over > 0) and self.evictable > 0:
            i = self.victim()
            items_over -= 1
            bytes_over -= self.rest[i].size
            self.evictions += 1
            self.drop(i, EVICTED)
        if listed:
            self.enlist(kept)  # as the newest: it has just changed
        return True

    cdef bint can_hold(self, bint item, int64_t size, uint32_t kept) noexcept:
        """Whether make_room() would succeed."""
        cdef int64_t items_over = <int64_t>self.count + item - self.item_limit
        cdef int64_t bytes_over = self.bytes + size - self.byte_limit
        cdef bint listed = kept != NIL and self.rest[kept].listed
        return (
            self.unlimited or (
                items_over <= <int64_t>self.evictable - listed
                and bytes_over <= self.evictable_bytes - (self.rest[kept].size if listed else 0)
            )
        )

    # -- entries come and go ------------------------------------------------------------------------------------------

    cdef int put(
        self, object key, uint32_t tag, object value, int64_t expires, int64_t size, uint8_t kind,
        bint force, PyObject** replaced,
    ) except -1:
        """Store it, and drain() when the table may be used by others. 1 if there is no room, and nothing was done.

        replaced: the old value's reference, for the caller to release then.
        """
        cdef int64_t found = self.find(key, tag), grown
        cdef uint32_t i
        cdef Entry* entry
        if found >= 0:
            i = <uint32_t>found
            grown = size - self.rest[i].size
            if grown > 0 and not self.make_room(False, grown, i, force):
                return 1
            entry = &self.entries[i]
            replaced[0] = entry.value
            Py_INCREF(value)
            entry.value = <PyObject*>value
            entry.kind = kind
            if grown:
                self.bytes += grown
                self.rest[i].size = size
                if self.rest[i].listed:
                    self.evictable_bytes += grown
            if expires != entry.expires:
                self.set_expiry(i, expires)
            self.touch(i)
            return 0
        self.reserve()
        if not self.make_room(True, size, NIL, force):
            return 1
        if self.free != NIL:
            i = self.free
            self.free = self.rest[i].older
        else:
            i = self.fresh
            self.fresh += 1
        entry = &self.entries[i]
        Py_INCREF(key)
        Py_INCREF(value)
        entry.key, entry.value, entry.expires = <PyObject*>key, <PyObject*>value, expires
        entry.tag, entry.kind, entry.heat = tag, kind, 0
        if self.policy == LFU:
            entry.heat, entry.minute = LFU_START, self.minute
        self.rest[i].size, self.rest[i].state, self.rest[i].listed = size, LIVE, False
        self.count += 1
        self.bytes += size
        self.generation += 1
        self.index_add(i)
        self.enlist(i)
        if expires:
            wheel_add(&self.wheel, i, expires)
        return 0

    cdef void set_expiry(self, uint32_t i, int64_t expires) noexcept:
        cdef int64_t before = self.entries[i].expires
        if before:
            wheel_remove(&self.wheel, i)
        self.entries[i].expires = expires
        if expires:
            wheel_add(&self.wheel, i, expires)
        if self.volatile and (before == 0) != (expires == 0):
            if expires:
                self.enlist(i)
            else:
                self.delist(i)

    cdef inline void bury(self, uint32_t i, State state) noexcept:
        """Out of the order and the sums, and to the dying. The index and the wheel are the caller's."""
        self.delist(i)
        self.count -= 1
        self.bytes -= self.rest[i].size
        self.generation += 1
        self.rest[i].state = state
        self.rest[i].older = self.dying
        self.dying = i

    cdef void drop(self, uint32_t i, State state) noexcept:
        if self.entries[i].expires:
            wheel_remove(&self.wheel, i)
        self.index_remove(i)
        self.bury(i, state)

    cdef int64_t sweep(self, int64_t now) noexcept:
        """Drop all that is due; how many."""
        cdef uint32_t due, i
        cdef int64_t dropped = 0
        cdef bint many
        self.minute = <uint16_t>(now // 60_000)
        if now <= self.wheel.tick:
            return 0
        due = wheel_advance(&self.wheel, now)
        if due == NIL:
            return 0
        i = due
        while i != NIL:
            dropped += 1
            i = self.wheel.timers[i].after
        many = dropped > self.count // 4  # then a new index is cheaper than as many holes in the old
        while due != NIL:
            if not many:
                self.index_remove(due)
            self.bury(due, EXPIRED)
            due = self.wheel.timers[due].after
        if many:
            self.fill_index()
        self.expired += dropped
        return dropped

    cdef void drop_all(self) noexcept:
        cdef uint32_t i
        for i in range(self.fresh):
            if self.rest[i].state == LIVE:
                self.bury(i, DELETED)
        wheel_reset(&self.wheel)
        if self.index != NULL:
            self.fill_index()

    cdef inline uint32_t release(self, PyObject** key, PyObject** value) noexcept:
        """Take the next of the dying from the table, its references are the caller's; how it died."""
        cdef uint32_t i = self.dying, state = self.rest[i].state
        self.dying = self.rest[i].older
        key[0], value[0] = self.entries[i].key, self.entries[i].value
        self.entries[i].key = self.entries[i].value = NULL
        self.rest[i].state = FREE
        self.rest[i].older = self.free
        self.free = i
        return state

    cdef void drain(self) noexcept:
        """Release the dying. Their destructors may do anything: between two of them all is in order."""
        cdef PyObject* key
        cdef PyObject* value
        while self.dying != NIL:
            self.release(&key, &value)
            Py_DECREF(<object>value)
            Py_DECREF(<object>key)

    cdef list mourn(self):
        """The dying that were evicted or expired, as (key, value, evicted); they are the list's from here on."""
        cdef list gone = []
        cdef PyObject* key
        cdef PyObject* value
        cdef uint32_t state
        while self.dying != NIL:
            state = self.release(&key, &value)
            kept_key, kept_value = <object>key, <object>value
            Py_DECREF(kept_key)
            Py_DECREF(kept_value)
            if state != DELETED:
                gone.append((kept_key, kept_value, state == EVICTED))
        return gone

    cdef inline bint live(self, int64_t i, int64_t now) noexcept:
        return i >= 0 and (self.entries[i].expires == 0 or self.entries[i].expires > now)

    # -- for callers who hand in the time -----------------------------------------------------------------------------

    def __len__(self):
        return self.count

    @property
    def timed(self):
        """How many entries have an expiry."""
        return self.wheel.count

    def get(self, key, int64_t now, default=None):
        """The value of a key that has not expired at now (milliseconds), else default. Counts as a use."""
        cdef int64_t i = self.find(key, tag_of(key))
        if not self.live(i, now):
            self.misses += 1
            return default
        self.hits += 1
        self.touch(<uint32_t>i)
        return <object>self.entries[i].value

    def peek(self, key, int64_t now):
        """(value, expires, kind) of a key, None if there is none; it is not a use. expires 0: never."""
        cdef int64_t i = self.find(key, tag_of(key))
        if not self.live(i, now):
            return None
        return <object>self.entries[i].value, self.entries[i].expires, self.entries[i].kind

    def set(self, key, value, int64_t now, int64_t expires=0, uint8_t kind=0):
        """Store a value until expires (milliseconds, 0: for ever). OverflowError if there is no room for it."""
        cdef PyObject* replaced = NULL
        cdef int64_t size = size_of(key) + container_size(kind, value) + OVERHEAD if self.sized else 0
        cdef uint32_t tag = tag_of(key)
        cdef int full
        if expires < 0:
            raise ValueError(f"expires is in milliseconds since 1970, or 0 for never, got {expires}")
        self.sweep(now)
        try:
            full = self.put(key, tag, value, expires, size, kind, False, &replaced)
        finally:
            self.drain()
        if replaced != NULL:
            Py_DECREF(<object>replaced)
        if full:
            raise OverflowError(f"there is no room for an entry of {size} bytes")

    def expire_at(self, key, int64_t expires, int64_t now):
        """Give a key another expiry (0: never); whether it is there."""
        cdef int64_t i = self.find(key, tag_of(key))
        if expires < 0:
            raise ValueError(f"expires is in milliseconds since 1970, or 0 for never, got {expires}")
        if not self.live(i, now):
            return False
        self.set_expiry(<uint32_t>i, expires)
        return True

    def delete(self, key, int64_t now):
        """Remove a key; whether it was there."""
        cdef int64_t i = self.find(key, tag_of(key))
        cdef bint was_there = self.live(i, now)
        if i >= 0:
            self.drop(<uint32_t>i, DELETED if was_there else EXPIRED)
            self.expired += not was_there
            self.drain()
        return was_there

    def expire(self, int64_t now):
        """Drop everything that has expired at now; how many that were."""
        cdef int64_t dropped = self.sweep(now)
        self.drain()
        return dropped

    def scan(self, uint32_t position, uint32_t count, int64_t now):
        """(position to go on from or 0, keys): of so many places of the table, those that are taken.

        All positions from 0 on together give every key that was there all the while, and none twice.
        """
        cdef list found = []
        cdef uint64_t end = <uint64_t>position + count
        while position < end and position < self.fresh:
            if self.rest[position].state == LIVE and self.live(position, now):
                found.append(<object>self.entries[position].key)
            position += 1
        return (0 if position >= self.fresh else position), found

    def clear(self):
        """Remove everything; the counters stay."""
        self.drop_all()
        self.drain()


cdef traverseproc traverse_members = (<PyTypeObject*>CacheTable).tp_traverse
cdef inquiry clear_members = (<PyTypeObject*>CacheTable).tp_clear


cdef int traverse(CacheTable table, visitproc visit, void* argument) noexcept:
    """The references in the entries, for the garbage collector; the dying are among them."""
    cdef uint32_t i
    cdef int answer = traverse_members(<PyObject*>table, visit, argument)
    for i in range(table.fresh):
        if answer:
            break
        if table.entries[i].key != NULL:
            answer = visit(table.entries[i].key, argument) or visit(table.entries[i].value, argument)
    return answer


cdef int clear(CacheTable table) noexcept:
    table.drop_all()
    table.drain()
    return clear_members(<PyObject*>table)


(<PyTypeObject*>CacheTable).tp_traverse = <traverseproc>traverse
(<PyTypeObject*>CacheTable).tp_clear = <inquiry>clear


KINDS = ("string", "hash", "list", "set", "zset")  # by number; what a value is called by the owner
cdef dict NUMBERS = {kind: number for number, kind in enumerate(KINDS)}

cdef enum:
    UNKNOWN = -2               # the moment, until somebody asks
    CLOSED = -1                # the depth of a lock that is never let go


@cython.final
@cython.auto_pickle(False)
cdef class CacheLock:
    """The lock of a cache as a context manager; the thread that has it can take it again."""

    cdef CacheCore core

    def __init__(self, CacheCore core not None):
        self.core = core

    def __enter__(self):
        self.core.take()
        return self

    def __exit__(self, *_):
        self.core.leave()


@cython.auto_pickle(False)
cdef class CacheCore:
    """The base of Cache: its lock, its clock, and the two methods that have to be compiled whole, get and set.

    While the lock is held time stands still: `now()` is asked once, so a key does not expire in the middle of a command.
    Under the GIL the lock is a count and a thread's number; only who finds it taken waits on a real one.

    observed: somebody wants to know of every change (a journal, a watcher, a callback), so set goes through `_set` of the
    subclass. unsettled: `_settle` of the subclass is called when the lock is about to be let go; what it returns, if not
    None, is called after that.
    """

    cdef readonly CacheTable table
    cdef readonly object clock, _lock
    cdef object clock_now
    cdef list waiting                # locks of the threads that wait
    cdef unsigned long owner
    cdef int depth
    cdef int64_t moment
    cdef public bint observed, unsettled
    cdef bint closing, on_system_time

    def __init__(self, CacheTable table not None, clock, bint system_clock):
        self.table, self.clock = table, clock
        self.on_system_time = system_clock
        self.clock_now = None if system_clock else clock.now
        self._lock = CacheLock(self)
        self.waiting = []
        self.moment = UNKNOWN

    # -- lock and clock -----------------------------------------------------------------------------------------------

    cdef inline int take(self) except -1:
        cdef unsigned long me = PyThread_get_thread_ident()
        if self.depth == 0:
            self.owner, self.depth, self.moment = me, 1, UNKNOWN
        elif self.depth > 0 and self.owner == me:
            self.depth += 1
        else:
            self.wait(me)
        return 0

    cdef int wait(self, unsigned long me) except -1:
        while True:
            if self.depth == CLOSED:
                raise self._closed()
            gate = allocate_lock()
            gate.acquire()
            self.waiting.append(gate)  # before looking again: whoever leaves from now on opens it
            if self.depth == 0:
                self.owner, self.depth, self.moment = me, 1, UNKNOWN
                if gate in self.waiting:
                    self.waiting.remove(gate)
                return 0
            try:
                gate.acquire()
            except BaseException:  # Ctrl-C
                if gate in self.waiting:
                    self.waiting.remove(gate)
                else:
                    self.wake()
                raise

    cdef int wake(self) except -1:
        if self.waiting:
            self.waiting.pop(0).release()
        return 0

    cdef inline int leave(self) except -1:
        if self.depth > 1:
            self.depth -= 1
            return 0
        if self.unsettled or self.closing:
            return self.leave_unsettled()
        self.depth = 0
        if self.waiting:
            self.wake()
        if self.table.dying != NIL:
            self.table.drain()
        return 0

    cdef int leave_unsettled(self) except -1:
        after = None
        self.unsettled = False
        try:
            after = self._settle()
        finally:
            self.depth = CLOSED if self.closing else 0
            while self.waiting and self.closing:
                self.wake()
            self.wake()
            self.table.drain()
        if after is not None:
            after()
        return 0

    def _shut(self):
        """Let nobody in any more, once the lock, which the caller has, is let go."""
        self.closing = True

    cdef inline int64_t now(self) except? -1:
        if self.moment == UNKNOWN:
            if self.clock_now is None:
                self.moment = system_milliseconds()
            else:
                self.moment = self.clock_now() // 1000
        return self.moment

    def _now(self):
        """Milliseconds since 1970, as long as the lock is held."""
        return self.now()

    def _stop_time(self):
        """Until the lock is let go it is the year 1970: nothing expires."""
        self.moment = 0

    cdef int64_t milliseconds(self, ttl) except -1:
        cdef int64_t whole
        cdef int overflow
        cdef double seconds
        if type(ttl) is int:
            whole = PyLong_AsLongLongAndOverflow(ttl, &overflow)
            if 0 < whole <= MOST_SECONDS:
                return whole * 1000
        elif type(ttl) is float:
            seconds = ttl
            if 0 < seconds <= MOST_SECONDS:
                return max(<int64_t>(seconds * 1000 + 0.5), 1)
        return self._milliseconds(ttl)

    # -- commands -----------------------------------------------------------------------------------------------------

    def get(self, key, default=None):
        """The value of a key, default if there is none. Invalid, code WRONGTYPE, if it is a hash, list or set."""
        cdef CacheTable table = self.table
        cdef uint32_t tag = tag_of(key)
        cdef int64_t i
        cdef Entry* entry
        if self.depth == 0:  # nobody has the lock, and nothing from here to the return lets go of the GIL
            i = table.look(<PyObject*>key, tag)
            if i >= 0:
                entry = &table.entries[i]
                if entry.kind == 0 and (entry.expires == 0 or (self.on_system_time and entry.expires > system_milliseconds())):
                    table.hits += 1
                    table.touch(<uint32_t>i)
                    return <object>entry.value
            elif i == ABSENT:
                table.misses += 1
                return default
        return self.get_locked(key, tag, default)

    cdef get_locked(self, key, uint32_t tag, default):
        cdef CacheTable table = self.table
        cdef int64_t i, now
        self.take()
        try:
            now = self.now()
            i = table.find(key, tag)
            if not table.live(i, now):
                table.misses += 1
                return default
            if table.entries[i].kind:
                raise self._wrong_kind(key, KINDS[table.entries[i].kind], "string")
            table.hits += 1
            table.touch(<uint32_t>i)
            return <object>table.entries[i].value
        finally:
            self.leave()

    def set(self, key, value, *, ttl=None, bint nx=False, bint xx=False, bint keep_ttl=False):
        """Store a value, whatever stood there; whether it was stored.

        ttl: seconds until it expires (int, float, timedelta); None for never. nx: only if the key is absent; xx: only
        if it is there. keep_ttl: with the expiry that the key has. TooLarge, code OOM, if there is no room for it.
        """
        cdef CacheTable table = self.table
        cdef PyObject* replaced = NULL
        cdef int64_t now = 0, expires = 0, size = 0
        cdef int64_t lifetime = 0 if ttl is None else self.milliseconds(ttl)
        cdef uint32_t tag = tag_of(key)
        if table.sized:
            size = size_of(key) + size_of(value) + OVERHEAD
        self.take()
        try:
            if self.observed or nx or xx or keep_ttl:
                return self._set(key, value, lifetime, nx, xx, keep_ttl)
            if lifetime or table.wheel.count or table.policy == LFU:
                now = self.now()
                table.sweep(now)
                if lifetime:
                    expires = now + lifetime
            if table.put(key, tag, value, expires, size, 0, False, &replaced):
                raise self._no_room(key, size)
            return True
        finally:
            self.leave()
            if replaced != NULL:
                Py_DECREF(<object>replaced)

    # -- what the subclass builds its commands from, under the lock ---------------------------------------------------

    def _container(self, key, str kind not None):
        """The live container at key, None if there is none; Invalid, code WRONGTYPE, if it is of another kind."""
        cdef CacheTable table = self.table
        cdef int64_t i = table.find(key, tag_of(key)), now = self.now()
        cdef int number = NUMBERS[kind]
        if not table.live(i, now):
            table.misses += 1
            return None
        if table.entries[i].kind != number:
            raise self._wrong_kind(key, KINDS[table.entries[i].kind], kind)
        table.hits += 1
        table.touch(<uint32_t>i)
        return <object>table.entries[i].value

    def _store(self, key, str kind not None, value, int64_t expires, bint force=False):
        """Store a container or value; False if there is no room. force: as good as it goes."""
        cdef CacheTable table = self.table
        cdef PyObject* replaced = NULL
        cdef uint8_t number = NUMBERS[kind]
        cdef int64_t size = size_of(key) + container_size(number, value) + OVERHEAD if table.sized else 0
        cdef int full = table.put(key, tag_of(key), value, expires, size, number, force, &replaced)
        if replaced != NULL:
            Py_DECREF(<object>replaced)
        return not full

    def _room(self, key, str kind not None, value):
        """Whether there is room for a container or value at key, once others are evicted."""
        cdef CacheTable table = self.table
        cdef int64_t size, i
        size = size_of(key) + container_size(NUMBERS[kind], value) + OVERHEAD if table.sized else 0
        i = table.find(key, tag_of(key))
        if i < 0:
            return table.can_hold(True, size, NIL)
        return size <= table.rest[i].size or table.can_hold(False, size - table.rest[i].size, <uint32_t>i)

    def _full(self, key):
        """Whether what stands at key, or would, must not grow: nobody can be evicted for it."""
        cdef CacheTable table = self.table
        cdef int64_t i = table.find(key, tag_of(key))
        return not (table.can_hold(True, OVERHEAD, NIL) if i < 0 else table.can_hold(False, 0, <uint32_t>i))

    def _peek(self, key):
        """(value, kind, expires) of a key, None if there is none. Not a use; expires in milliseconds, 0 for never."""
        cdef CacheTable table = self.table
        cdef int64_t i = table.find(key, tag_of(key)), now = self.now()
        if not table.live(i, now):
            return None
        return <object>table.entries[i].value, KINDS[table.entries[i].kind], table.entries[i].expires

    def _set_expiry(self, key, int64_t expires):
        """Change when a key that is there expires, in milliseconds; 0 for never."""
        cdef int64_t i = self.table.find(key, tag_of(key))
        if i >= 0:
            self.table.set_expiry(<uint32_t>i, expires)

    def _remove(self, key, bint expired_only=False):
        """Take a key out of the table; whether there was one. expired_only: if its time is over."""
        cdef CacheTable table = self.table
        cdef int64_t i = table.find(key, tag_of(key))
        cdef bint live = table.live(i, self.now())
        if i < 0 or (live and expired_only):
            return False
        table.expired += not live
        table.drop(<uint32_t>i, DELETED if live else EXPIRED)
        return True

    def _sweep(self):
        """Drop all that is due; how many."""
        return self.table.sweep(self.now())

    def _empty(self):
        """Drop everything."""
        self.table.drop_all()

    def _gone(self):
        """What was evicted or has expired since the last call: (key, value, evicted) each."""
        return self.table.mourn() if self.table.dying != NIL else ()


cdef void call_safely(function, key, value) noexcept:
    function(key, value)


def call_out(function not None, key, value):
    """Call a function that must not fail: what it raises goes to sys.unraisablehook, as from a destructor."""
    call_safely(function, key, value)
