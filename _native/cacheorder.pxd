"""The order in which entries of the cache's table go when room is needed, and the entries themselves.

    policy    who goes                                                                  a hit costs
    none      nobody: what does not fit is refused                                      nothing
    sieve     the oldest, but who was hit since the hand last came by is spared once    one bit
    lru       the least recently used                                                   a move to the front of a list
    lfu       the least counter of a sample of 5; grows with the logarithm of hits,     a counter, sometimes
              falls by 1 a minute
    random    anybody                                                                   nothing
    ttl       the soonest to expire in a sample of 5                                    nothing

    sieve     newest <─> hit <─> - <─> hit <─> - <─> hit <─> oldest
                                  hand ↑ goes left, takes the bit of the hit, stops at the first without; then again
                                         from the oldest

SIEVE is Zhang et al., NSDI 2024: a FIFO queue that lets what is asked for stay where it is. So a hit moves nothing, and
it keeps popular entries better than LRU does. The counter and the sample of lfu are Redis's.

Who may go is in the order; with `volatile`, only who has an expiry. sieve and lru link them from oldest to newest, the
others keep them in an array, in no order, so that one can be drawn.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from timingwheel cimport NIL

cdef enum Policy:
    NONE, SIEVE, LRU, LFU, RANDOM, TTL  # from LFU on: drawn from the array

cdef enum:
    SAMPLE = 5
    LFU_START = 5         # so that a new entry is not the next to go
    LFU_FACTOR = 10       # about a million hits fill the counter

cdef struct Entry:        # what a lookup reads: half a cache line
    PyObject* key         # NULL: none here
    PyObject* value
    int64_t expires       # milliseconds, 0 for never
    uint32_t tag          # of its key, see cacheindex.pxd
    uint8_t kind          # 0 a value, else a container of the owner's
    uint8_t heat          # sieve: was hit; lfu: the counter
    uint16_t minute       # lfu: when the counter was last brought up to date

cdef struct Rest:         # what only changes read
    int64_t size
    uint32_t newer        # neighbours in the order; place in the array
    uint32_t older        # ... of the free and the dying: the next one
    uint8_t state
    uint8_t listed        # it is in the order

cdef struct Order:
    Entry* hot            # the table's
    Rest* rest
    uint32_t* array       # from LFU on
    Policy policy
    bint volatile_only
    uint32_t newest, oldest, hand
    uint32_t count        # who can go, and what they hold
    int64_t bytes
    uint64_t draws        # state of the random numbers
    uint16_t minute       # as of the last change


cdef inline void order_reset(Order* order) noexcept nogil:
    order.newest = order.oldest = order.hand = NIL
    order.count = 0
    order.bytes = 0


cdef inline void order_link(Order* order, uint32_t i) noexcept nogil:
    """Make it the newest."""
    order.rest[i].newer = NIL
    order.rest[i].older = order.newest
    if order.newest != NIL:
        order.rest[order.newest].newer = i
    else:
        order.oldest = i
    order.newest = i


cdef inline void order_unlink(Order* order, uint32_t i) noexcept nogil:
    cdef Rest* rest = &order.rest[i]
    if rest.newer != NIL:
        order.rest[rest.newer].older = rest.older
    else:
        order.newest = rest.older
    if rest.older != NIL:
        order.rest[rest.older].newer = rest.newer
    else:
        order.oldest = rest.newer


cdef inline void order_add(Order* order, uint32_t i) noexcept nogil:
    """An entry that can go from now on, as the newest; nothing happens if it is one that is spared."""
    cdef Rest* rest = &order.rest[i]
    if order.policy == NONE or (order.volatile_only and order.hot[i].expires == 0):
        return
    rest.listed = True
    if order.policy >= LFU:
        order.array[order.count] = i
        rest.newer = order.count
    else:
        order_link(order, i)
    order.count += 1
    order.bytes += rest.size


cdef inline void order_remove(Order* order, uint32_t i) noexcept nogil:
    """It cannot go any more; nothing happens if it could not."""
    cdef Rest* rest = &order.rest[i]
    cdef uint32_t last
    if not rest.listed:
        return
    rest.listed = False
    order.count -= 1
    order.bytes -= rest.size
    if order.policy >= LFU:
        last = order.array[order.count]
        order.array[rest.newer] = last
        order.rest[last].newer = rest.newer
    else:
        if order.hand == i:
            order.hand = rest.newer
        order_unlink(order, i)


cdef inline uint32_t order_draw(Order* order, uint32_t below) noexcept nogil:
    """A number from 0 to below - 1: splitmix64."""
    cdef uint64_t mixed
    order.draws += <uint64_t>0x9E3779B97F4A7C15
    mixed = (order.draws ^ (order.draws >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 27)) * <uint64_t>0x94D049BB133111EB
    return <uint32_t>(((mixed ^ (mixed >> 31)) >> 32) * below >> 32)


cdef inline uint8_t order_heat(Order* order, Entry* entry) noexcept nogil:
    """The counter as of now: one less for every minute without a hit."""
    cdef uint16_t passed = order.minute - entry.minute
    if passed >= 0x8000:  # the clock was set back
        return entry.heat
    return entry.heat - <uint8_t>passed if passed < entry.heat else 0


cdef inline void order_count_hit(Order* order, Entry* entry) noexcept nogil:
    """The more the counter has counted already, the rarer a hit counts: 1 in 10, in 20, in 30 ..."""
    cdef uint32_t counted
    entry.heat = order_heat(order, entry)
    entry.minute = order.minute
    counted = entry.heat - LFU_START if entry.heat > LFU_START else 0
    if entry.heat < 255 and order_draw(order, counted * LFU_FACTOR + 1) == 0:
        entry.heat += 1


cdef inline void order_start(Order* order, Entry* entry) noexcept nogil:
    """A new entry, that was never hit."""
    entry.heat = LFU_START if order.policy == LFU else 0
    entry.minute = order.minute


cdef inline void order_touch(Order* order, uint32_t i) noexcept nogil:
    """An entry was hit."""
    if order.policy == SIEVE:
        order.hot[i].heat = 1
    elif order.policy == LRU:
        if order.newest != i and order.rest[i].listed:
            order_unlink(order, i)
            order_link(order, i)
    elif order.policy == LFU:
        order_count_hit(order, &order.hot[i])


cdef inline uint32_t order_victim(Order* order) noexcept nogil:
    """Who goes next; there must be somebody who can."""
    cdef uint32_t i, best = NIL, n
    cdef int64_t score, least = 0
    if order.policy == LRU:
        return order.oldest
    if order.policy == SIEVE:
        i = order.hand if order.hand != NIL else order.oldest
        while order.hot[i].heat:
            order.hot[i].heat = 0
            i = order.rest[i].newer if order.rest[i].newer != NIL else order.oldest
        order.hand = i  # order_remove() moves it on
        return i
    if order.policy == RANDOM:
        return order.array[order_draw(order, order.count)]
    for n in range(min(order.count, <uint32_t>SAMPLE)):
        i = order.array[n if order.count <= SAMPLE else order_draw(order, order.count)]
        score = order_heat(order, &order.hot[i]) if order.policy == LFU else order.hot[i].expires
        if best == NIL or score < least:
            best, least = i, score
    return best
