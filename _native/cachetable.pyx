"""The table of the cache, where what is least worth keeping goes, and what is due goes first; get and set of the cache.

    index     (tag, entry) ...                      open addressing                      cacheindex.pxd
    hot       key value expires tag kind heat       what a lookup reads, 32 bytes        cacheorder.pxd
    rest      size, neighbours in the order         what eviction reads                  cacheorder.pxd
    timers    neighbours in the timing wheel        what expiry reads                    timingwheel.pxd
    entries   all of these as one struct            search, put, drop, release           cacheentries.pxd

    CacheTable    is handed the time and the size with each call
    CacheCore     a table with a clock and a lock: the base of Cache

An entry keeps its number as long as it lives: a scan by number misses nothing that is there all the while. An expired
entry is never found, although it goes only when the wheel comes by. Nothing is evicted for what cannot fit anyway.

tp_traverse and tp_clear are set by hand, since Cython knows nothing of references in C arrays.
"""

cimport cython
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.object cimport PyObject
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from cacheentries cimport (
    ABSENT, ASK, DELETED, EXPIRED, LIVE, Entries, entries_can_hold, entries_close, entries_drain, entries_drop,
    entries_drop_all, entries_find, entries_live, entries_look, entries_make_room, entries_mourn, entries_open,
    entries_put, entries_put_at, entries_set_expiry, entries_sweep, entries_visit, let_go, visitproc,
)
from cachekeys cimport simple_size, tag_of
from cacheorder cimport LFU, Entry, Policy, order_touch
from timingwheel cimport NIL

from _thread import allocate_lock

cdef extern from *:
    """
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
    """
    int64_t system_milliseconds() nogil

cdef extern from "Python.h":
    ctypedef int (*traverseproc)(PyObject*, visitproc, void*) noexcept
    ctypedef int (*inquiry)(PyObject*) noexcept
    ctypedef struct PyTypeObject:
        traverseproc tp_traverse
        inquiry tp_clear

cdef enum:
    OVERHEAD = 64              # bytes an entry costs beside its key and value
    MOST_ITEMS = 1 << 30
    UNKNOWN = -2               # the moment, until somebody asks
    CLOSED = -1                # the depth of a lock that is never let go

cdef int64_t UNBOUNDED = <int64_t>1 << 60
cdef int64_t MOST_SECONDS = 1_000_000_000_000  # a time to live: 31,000 years

POLICIES = ("none", "sieve", "lru", "lfu", "random", "ttl")
KINDS = ("string", "hash", "list", "set", "zset")  # by number: a value, and the containers of the cache
cdef dict NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


@cython.final
@cython.auto_pickle(False)
cdef class CacheTable:
    """Keys to values: at most max_items of them, and max_bytes in size; None for no limit. Not safe without the GIL.

    policy: who goes when room is needed, see cacheorder.pxd; with volatile (and "ttl") only entries that expire. seed:
    of what is drawn. unlimited: while it is set, nothing is evicted or refused. ValueError for limits that make no
    sense.
    Times are milliseconds since 1970. What hashing and comparing keys raises passes through, and nothing was done.
    """

    cdef Entries entries
    cdef readonly bint volatile
    cdef readonly object max_items, max_bytes
    cdef readonly str policy
    cdef readonly int64_t hits, misses

    def __init__(self, max_items=None, max_bytes=None, str policy="sieve", bint volatile=False, seed=0):
        if self.entries.index.slots != NULL:
            raise ValueError("a CacheTable is made once")
        for name, limit, most in (("max_items", max_items, MOST_ITEMS), ("max_bytes", max_bytes, UNBOUNDED)):
            if limit is not None and (type(limit) is not int or not 1 <= limit <= most):
                raise ValueError(f"{name} must be a whole number from 1 to {most:,}, or None, got {limit!r}")
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")
        if type(seed) is not int:
            raise ValueError(f"seed must be a whole number, got {seed!r}")
        self.max_items, self.max_bytes, self.policy = max_items, max_bytes, policy
        self.volatile = volatile or policy == "ttl"
        entries_open(
            &self.entries, <Policy><int>POLICIES.index(policy), self.volatile,
            MOST_ITEMS if max_items is None else max_items, UNBOUNDED if max_bytes is None else max_bytes,
            seed & 0xFFFFFFFFFFFFFFFF,
        )

    def __dealloc__(self):
        entries_close(&self.entries)

    cdef int check(self) except -1:
        if self.entries.index.slots == NULL:
            raise ValueError("this CacheTable was never made: call its __init__")
        return 0

    def __len__(self):
        return self.entries.count

    @property
    def timed(self):
        """How many entries have an expiry."""
        return self.entries.wheel.count

    @property
    def bytes(self):
        return self.entries.bytes

    @property
    def evictions(self):
        return self.entries.evictions

    @property
    def expired(self):
        return self.entries.expired

    @property
    def unlimited(self):
        return self.entries.unlimited

    @unlimited.setter
    def unlimited(self, bint unlimited):
        self.entries.unlimited = unlimited

    def get(self, key, int64_t now, default=None):
        """The value of a key that has not expired at now, else default. Counts as a use."""
        cdef Entries* entries = &self.entries
        cdef int64_t i
        self.check()
        i = entries_find(entries, key, tag_of(key))
        if not entries_live(entries, i, now):
            self.misses += 1
            return default
        self.hits += 1
        order_touch(&entries.order, <uint32_t>i)
        return <object>entries.hot[i].value

    def peek(self, key, int64_t now):
        """(value, expires) of a key, None if there is none; it is not a use. expires 0: never."""
        cdef Entries* entries = &self.entries
        cdef int64_t i
        self.check()
        i = entries_find(entries, key, tag_of(key))
        return (<object>entries.hot[i].value, entries.hot[i].expires) if entries_live(entries, i, now) else None

    def set(self, key, value, int64_t now, int64_t expires=0, int64_t size=0):
        """Store a value of this size until expires (0: for ever). OverflowError if there is no room for it."""
        cdef PyObject* replaced = NULL
        cdef uint32_t tag
        cdef bint full
        self.check()
        if expires < 0 or size < 0 or size > UNBOUNDED:
            raise ValueError(f"expires is a time, or 0 for never, and size is in bytes, got {expires} and {size}")
        tag = tag_of(key)
        entries_sweep(&self.entries, now)
        try:
            full = entries_put(&self.entries, key, tag, value, expires, size, 0, False, &replaced)
        finally:
            entries_drain(&self.entries)
        if replaced != NULL:
            let_go(replaced)
        if full:
            raise OverflowError(f"there is no room for an entry of {size:,} bytes")

    def expire_at(self, key, int64_t expires, int64_t now):
        """Give a key another expiry (0: never); whether it is there."""
        cdef int64_t i
        self.check()
        if expires < 0:
            raise ValueError(f"expires is a time, or 0 for never, got {expires}")
        i = entries_find(&self.entries, key, tag_of(key))
        if not entries_live(&self.entries, i, now):
            return False
        entries_set_expiry(&self.entries, <uint32_t>i, expires)
        return True

    def delete(self, key, int64_t now):
        """Remove a key; whether it was there."""
        cdef int64_t i
        cdef bint live
        self.check()
        i = entries_find(&self.entries, key, tag_of(key))
        live = entries_live(&self.entries, i, now)
        if i >= 0:
            entries_drop(&self.entries, <uint32_t>i, DELETED if live else EXPIRED)
            entries_drain(&self.entries)
        return live

    def expire(self, int64_t now):
        """Drop everything that has expired at now; how many that were."""
        cdef int64_t dropped
        self.check()
        dropped = entries_sweep(&self.entries, now)
        entries_drain(&self.entries)
        return dropped

    def scan(self, uint32_t position, uint32_t count, int64_t now):
        """(position to go on from or 0, keys): of so many places of the table, those that are taken.

        From 0 to 0, every key that was there all the while is given once.
        """
        cdef list found = []
        cdef uint64_t end = <uint64_t>position + count
        while position < end and position < self.entries.fresh:
            if self.entries.rest[position].state == LIVE and entries_live(&self.entries, position, now):
                found.append(<object>self.entries.hot[position].key)
            position += 1
        return (0 if position >= self.entries.fresh else position), found

    def clear(self):
        """Remove everything; the counters stay."""
        self.check()
        entries_drop_all(&self.entries)
        entries_drain(&self.entries)


cdef traverseproc traverse_members = (<PyTypeObject*>CacheTable).tp_traverse
cdef inquiry clear_members = (<PyTypeObject*>CacheTable).tp_clear


cdef int traverse(CacheTable table, visitproc visit, void* argument) noexcept:
    cdef int answer = traverse_members(<PyObject*>table, visit, argument)
    return answer if answer else entries_visit(&table.entries, visit, argument)


cdef int clear(CacheTable table) noexcept:
    if table.entries.index.slots != NULL:
        entries_drop_all(&table.entries)
        entries_drain(&table.entries)
    return clear_members(<PyObject*>table)


(<PyTypeObject*>CacheTable).tp_traverse = <traverseproc>traverse
(<PyTypeObject*>CacheTable).tp_clear = <inquiry>clear


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
@cython.no_gc_clear  # of a cycle through it the table and the lock let go; it stays usable to its end
cdef class CacheCore:
    """The base of Cache: its lock, its clock, and the two methods that have to be compiled whole, get and set.

    While the lock is held time stands still: the clock is asked once, so a key does not expire in the middle of a
    command. Under the GIL the lock is a count and a thread's number; only who finds it taken waits on a real one.

    observed: somebody wants to know of every change (a journal, a watcher, a callback), so set goes through `_set` of
    the subclass. unsettled: `_settle` of the subclass is called when the lock is about to be let go; what it returns,
    if not None, is called after that. on_system_time: the clock is the machine's, which is asked without Python.
    """

    cdef readonly CacheTable table
    cdef readonly object clock, _lock
    cdef list waiting                # locks of the threads that wait
    cdef unsigned long owner
    cdef int depth
    cdef int64_t moment
    cdef public bint observed, unsettled
    cdef bint closing, on_system_time, sized

    def __init__(self, CacheTable table not None, clock, bint on_system_time):
        table.check()
        self.table, self.clock, self.on_system_time = table, clock, on_system_time
        self._lock = CacheLock(self)
        self.waiting = []
        self.sized = table.max_bytes is not None

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
        if self.table.entries.dying != NIL:
            entries_drain(&self.table.entries)
        return 0

    cdef int leave_unsettled(self) except -1:
        after = None
        self.unsettled = False
        try:
            after = self._settle()
        finally:
            self.depth = CLOSED if self.closing else 0
            self.wake()
            while self.closing and self.waiting:
                self.wake()
            entries_drain(&self.table.entries)
        if after is not None:
            after()
        return 0

    def _shut(self):
        """Let nobody in any more, once the lock, which the caller has, is let go."""
        self.closing = True

    cdef inline int64_t now(self) except? -1:
        if self.moment == UNKNOWN:
            self.moment = system_milliseconds() if self.on_system_time else <int64_t>(self.clock.now() // 1000)
        return self.moment

    def _now(self):
        """Milliseconds since 1970, as long as the lock is held."""
        return self.now()

    def _stop_time(self):
        """Until the lock is let go it is 1970: nothing expires."""
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

    cdef int64_t size_of(self, key, value, str kind="string") except -1:
        """Estimated bytes of an entry, where there is a limit to hold them against."""
        cdef int64_t key_size, value_size
        if not self.sized:
            return 0
        key_size = simple_size(<PyObject*>key)
        if key_size < 0:
            key_size = min(UNBOUNDED, self._size(key))
        value_size = simple_size(<PyObject*>value)
        if value_size < 0:
            value_size = min(UNBOUNDED, self._size(value, kind))
        return min(key_size + value_size + OVERHEAD, UNBOUNDED)

    # -- commands -----------------------------------------------------------------------------------------------------

    def get(self, key, default=None):
        """The value of a key, default if there is none. Invalid, code WRONGTYPE, if it is a hash, list or set."""
        cdef CacheTable table = self.table
        cdef uint32_t tag = tag_of(key)
        cdef int64_t i
        cdef Entry* hot
        if self.depth == 0:  # nobody has the lock, and from here to the return nothing lets go of the GIL
            i = entries_look(&table.entries, <PyObject*>key, tag)
            if i >= 0:
                hot = &table.entries.hot[i]
                if hot.kind == 0 and (
                    hot.expires == 0 or (self.on_system_time and hot.expires > system_milliseconds())
                ):
                    table.hits += 1
                    order_touch(&table.entries.order, <uint32_t>i)
                    return <object>hot.value
            elif i == ABSENT:
                table.misses += 1
                return default
        return self.get_locked(key, default)

    cdef get_locked(self, key, default):
        self.take()
        try:
            value = self._container(key, "string", self)
            return default if value is self else value
        finally:
            self.leave()

    def set(self, key, value, *, ttl=None, bint nx=False, bint xx=False, bint keep_ttl=False):
        """Store a value, whatever stood there; whether it was stored.

        ttl: seconds until it expires (int, float, timedelta); None for never. nx: only if the key is absent; xx: only
        if it is there. keep_ttl: with the expiry that the key has. TooLarge, code OOM, if there is no room for it.
        """
        cdef Entries* entries = &self.table.entries
        cdef PyObject* replaced = NULL
        cdef int64_t found, now, expires = 0
        cdef int64_t lifetime = 0 if ttl is None else self.milliseconds(ttl)
        cdef int64_t size = self.size_of(key, value) if self.sized else 0
        cdef uint32_t tag = tag_of(key)
        if self.depth == 0 and self.on_system_time and not (self.observed or nx or xx or keep_ttl):
            # nobody has the lock, and nothing lets go of the GIL before all is in order again: see get()
            if lifetime or entries.wheel.count or entries.order.policy == LFU:
                now = system_milliseconds()
                entries_sweep(entries, now)
                if lifetime:
                    expires = now + lifetime
            found = entries_look(entries, <PyObject*>key, tag)
            if found != ASK and entries_put_at(
                entries, found, key, tag, value, expires, size, 0, False, &replaced
            ) == 0:
                if entries.dying != NIL:
                    entries_drain(entries)
                if replaced != NULL:
                    let_go(replaced)
                return True
            expires = 0
        self.take()
        try:
            if self.observed or nx or xx or keep_ttl:
                return self._set(key, value, lifetime, nx, xx, keep_ttl)
            if lifetime or entries.wheel.count or entries.order.policy == LFU:
                entries_sweep(entries, self.now())
                if lifetime:
                    expires = self.moment + lifetime
            if entries_put(entries, key, tag, value, expires, size, 0, False, &replaced):
                raise self._no_room(key, size)
            return True
        finally:
            self.leave()
            if replaced != NULL:
                let_go(replaced)

    # -- what the subclass builds its commands from, under the lock ---------------------------------------------------

    def _container(self, key, str kind not None, default=None):
        """The live container at key, default if there is none; Invalid, code WRONGTYPE, if it is of another kind."""
        cdef CacheTable table = self.table
        cdef int number = NUMBERS[kind]
        cdef int64_t now = self.now(), i = entries_find(&table.entries, key, tag_of(key))
        if not entries_live(&table.entries, i, now):
            table.misses += 1
            return default
        if table.entries.hot[i].kind != number:
            raise self._wrong_kind(key, KINDS[table.entries.hot[i].kind], kind)
        table.hits += 1
        order_touch(&table.entries.order, <uint32_t>i)
        return <object>table.entries.hot[i].value

    def _peek(self, key):
        """(value, kind, expires) of a key, None if there is none. Not a use; expires in milliseconds, 0 for never."""
        cdef Entries* entries = &self.table.entries
        cdef int64_t now = self.now(), i = entries_find(entries, key, tag_of(key))
        if not entries_live(entries, i, now):
            return None
        return <object>entries.hot[i].value, KINDS[entries.hot[i].kind], entries.hot[i].expires

    def _store(self, key, str kind not None, value, int64_t expires):
        """Store a container or value, and evict what can be evicted if there is no room."""
        cdef PyObject* replaced = NULL
        cdef int64_t size = self.size_of(key, value, kind)
        cdef uint8_t number = NUMBERS[kind]
        entries_put(&self.table.entries, key, tag_of(key), value, expires, size, number, True, &replaced)
        if replaced != NULL:
            let_go(replaced)

    def _has_room(self, key, str kind not None, value):
        """Whether there is room for a container or value at key, once others are evicted."""
        cdef Entries* entries = &self.table.entries
        cdef int64_t size = self.size_of(key, value, kind), i = entries_find(entries, key, tag_of(key))
        if i < 0:
            return entries_can_hold(entries, True, size, NIL)
        size -= entries.rest[i].size
        return size <= 0 or entries_can_hold(entries, False, size, <uint32_t>i)

    def _may_grow(self, key):
        """Whether what stands at key, or would, may grow by one command: the limit is not passed without a remedy."""
        cdef Entries* entries = &self.table.entries
        cdef int64_t i = entries_find(entries, key, tag_of(key))
        return entries_can_hold(entries, i < 0, OVERHEAD if i < 0 else 0, NIL if i < 0 else <uint32_t>i)

    def _set_expiry(self, key, int64_t expires):
        """Change when a key that is there expires, in milliseconds; 0 for never."""
        cdef int64_t i = entries_find(&self.table.entries, key, tag_of(key))
        if i >= 0:
            entries_set_expiry(&self.table.entries, <uint32_t>i, expires)

    def _remove(self, key, bint if_expired=False):
        """Drop a key. if_expired: only if its time is over."""
        cdef Entries* entries = &self.table.entries
        cdef int64_t now = self.now(), i = entries_find(entries, key, tag_of(key))
        cdef bint live = entries_live(entries, i, now)
        if i >= 0 and not (live and if_expired):
            entries_drop(entries, <uint32_t>i, DELETED if live else EXPIRED)

    def _sweep(self):
        """Drop all that is due; how many."""
        return entries_sweep(&self.table.entries, self.now())

    def _evict(self):
        """Evict what is too much, after a time without limits."""
        entries_make_room(&self.table.entries, False, 0, NIL, True)

    def _remove_all(self):
        entries_drop_all(&self.table.entries)

    def _gone(self):
        """What was evicted or has expired since the last call: (key, value, evicted) each."""
        return entries_mourn(&self.table.entries) if self.table.entries.dying != NIL else []


cdef void call_safely(function, key, value) noexcept:
    function(key, value)


def call_out(function not None, key, value):
    """Call a function that must not fail: what it raises goes to sys.unraisablehook, as from a destructor."""
    call_safely(function, key, value)
