"""The entries of the cache's table, as a struct: what is looked up, put, dropped, and how destructors are kept away.

    free ──> live ──> dying ──> free        evicted, expired or deleted: out of the index, order and wheel at once,
                                            its references are let go of when all is in order again

Comparing keys may run Python code, which may do anything, to these entries too. A search holds what it compares, and
starts again if the generation has changed meanwhile. Destructors and the garbage collector's finalizers are such code
too: so nothing here allocates or releases an object, but entries_drain(), entries_mourn() and the comparing search.

MemoryError leaves everything as it was.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.object cimport Py_EQ, PyObject, PyObject_RichCompareBool
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from cacheindex cimport SLOT_FREE, Index, index_add, index_clear, index_is_full, index_remove, index_use
from cachekeys cimport same_key
from cacheorder cimport (
    Entry, Order, Policy, Rest, order_add, order_remove, order_reset, order_start, order_touch, order_victim,
)
from timingwheel cimport NIL, Timer, Wheel, wheel_add, wheel_advance, wheel_remove, wheel_reset

cdef extern from "Python.h":
    ctypedef int (*visitproc)(PyObject*, void*) noexcept
    void let_go "Py_DECREF"(PyObject*)  # may run any code
    object stolen "(PyObject*)"(PyObject*)  # the reference goes to the caller

cdef enum State:
    FREE, LIVE, DELETED, EVICTED, EXPIRED

cdef enum:
    ABSENT = -1
    ASK = -3
    RETRIES = 100         # of a search whose keys change the table when they are compared

cdef struct Entries:
    Entry* hot
    Rest* rest
    Index index
    Order order
    Wheel wheel
    uint32_t count
    uint32_t capacity     # entries there is memory for
    uint32_t fresh        # how many of them were ever used
    uint32_t free         # heads of chains
    uint32_t dying
    bint unlimited        # nothing is evicted or refused
    uint64_t generation   # changes with every entry that comes or goes
    int64_t bytes, item_limit, byte_limit
    int64_t evictions, expired


cdef inline int entries_open(
    Entries* table, Policy policy, bint volatile_only, int64_t item_limit, int64_t byte_limit, uint64_t seed,
) except -1:
    """Make zeroed memory an empty table."""
    table.free = table.dying = NIL
    table.item_limit, table.byte_limit = item_limit, byte_limit
    table.order.policy, table.order.volatile_only, table.order.draws = policy, volatile_only, seed
    order_reset(&table.order)
    wheel_reset(&table.wheel)
    return entries_rebuild(table, 8)


cdef inline void entries_close(Entries* table) noexcept:
    """Release everything."""
    if table.index.slots != NULL:
        entries_drop_all(table)
        entries_drain(table)
    PyMem_RawFree(table.hot)
    PyMem_RawFree(table.rest)
    PyMem_RawFree(table.index.slots)
    PyMem_RawFree(table.order.array)
    PyMem_RawFree(table.wheel.timers)


cdef inline int entries_visit(Entries* table, visitproc visit, void* argument) noexcept:
    """All references, for the garbage collector; those of the dying are among them."""
    cdef uint32_t i
    cdef int answer = 0
    for i in range(table.fresh):
        if table.hot[i].key != NULL:
            answer = visit(table.hot[i].key, argument) or visit(table.hot[i].value, argument)
            if answer:
                break
    return answer


cdef inline int64_t entries_look(Entries* table, PyObject* key, uint32_t tag) noexcept:
    """The number of the entry, expired or not; ABSENT; or ASK, where only Python knows whether two keys are equal."""
    cdef uint64_t slot
    cdef uint32_t position = tag >> table.index.shift
    cdef PyObject* found
    cdef int same
    while True:
        slot = table.index.slots[position]
        if slot == SLOT_FREE:
            return ABSENT
        if slot >> 32 == tag:
            found = table.hot[<uint32_t>slot].key
            same = found == key or same_key(found, key)
            if same == 1:
                return <uint32_t>slot
            if same == 2:
                return ASK
        position = (position + 1) & table.index.mask


cdef inline int64_t entries_find(Entries* table, object key, uint32_t tag) except -2:
    """The same by all means: it may run the keys' __eq__, so nothing that was read before it is certain."""
    cdef int64_t found = entries_look(table, <PyObject*>key, tag)
    return entries_ask(table, key, tag) if found == ASK else found


cdef inline int64_t entries_ask(Entries* table, object key, uint32_t tag) except -2:
    cdef uint64_t slot, generation
    cdef uint32_t position
    cdef bint same
    cdef int _retry
    for _retry in range(RETRIES):
        position = tag >> table.index.shift
        while True:
            slot = table.index.slots[position]
            if slot == SLOT_FREE:
                return ABSENT
            if slot >> 32 == tag:
                generation = table.generation
                held = <object>table.hot[<uint32_t>slot].key
                same = PyObject_RichCompareBool(held, key, Py_EQ)
                held = None  # its destructor may run here
                if generation != table.generation:
                    break
                if same:
                    return <uint32_t>slot
            position = (position + 1) & table.index.mask
    raise RuntimeError(f"comparing keys changes the cache: it was looked through {RETRIES} times in vain")


cdef inline int entries_rebuild(Entries* table, uint64_t slots) except -1:
    """An index of so many slots, a power of two, with all that lives in it."""
    cdef uint64_t* memory = <uint64_t*>PyMem_RawMalloc(slots * sizeof(uint64_t))
    if memory == NULL:
        raise MemoryError
    PyMem_RawFree(table.index.slots)
    index_use(&table.index, memory, slots)
    entries_fill_index(table)
    return 0


cdef inline void entries_fill_index(Entries* table) noexcept:
    cdef uint32_t i
    index_clear(&table.index)
    for i in range(table.fresh):
        if table.rest[i].state == LIVE:
            index_add(&table.index, table.hot[i].tag, i)
    table.generation += 1


cdef inline int entries_reserve(Entries* table) except -1:
    """Memory for one more entry. MemoryError, and nothing was changed."""
    cdef uint32_t capacity
    if table.free == NIL and table.fresh == table.capacity:
        capacity = 2 * table.capacity if table.capacity else 8
        entries = PyMem_RawRealloc(table.hot, capacity * sizeof(Entry))
        if entries != NULL:
            table.hot = table.order.hot = <Entry*>entries
        rest = PyMem_RawRealloc(table.rest, capacity * sizeof(Rest))
        if rest != NULL:
            table.rest = table.order.rest = <Rest*>rest
        timers = PyMem_RawRealloc(table.wheel.timers, capacity * sizeof(Timer))
        if timers != NULL:
            table.wheel.timers = <Timer*>timers
        array = PyMem_RawRealloc(table.order.array, capacity * sizeof(uint32_t))
        if array != NULL:
            table.order.array = <uint32_t*>array
        if entries == NULL or rest == NULL or timers == NULL or array == NULL:
            raise MemoryError
        table.capacity = capacity
    if index_is_full(&table.index, <uint64_t>table.count + 1):
        entries_rebuild(table, (<uint64_t>table.index.mask + 1) * 2)
    return 0


cdef inline bint entries_make_room(Entries* table, bint item, int64_t size, uint32_t kept, bint force) noexcept:
    """Evict until one more item (or none) and so many more bytes fit. False, and nothing was done, if they cannot.

    kept: an entry that must stay, or NIL. force: evict what can be evicted, and say True.
    """
    cdef int64_t items_over = <int64_t>table.count + item - table.item_limit
    cdef int64_t bytes_over = table.bytes + size - table.byte_limit
    cdef bint listed
    cdef uint32_t i
    if (items_over <= 0 and bytes_over <= 0) or table.unlimited:
        return True
    if not force and not entries_can_hold(table, item, size, kept):
        return False
    listed = kept != NIL and table.rest[kept].listed
    if listed:
        order_remove(&table.order, kept)
    while (items_over > 0 or bytes_over > 0) and table.order.count > 0:
        i = order_victim(&table.order)
        items_over -= 1
        bytes_over -= table.rest[i].size
        table.evictions += 1
        entries_drop(table, i, EVICTED)
    if listed:
        order_add(&table.order, kept)  # as the newest: it has just changed
    return True


cdef inline bint entries_can_hold(Entries* table, bint item, int64_t size, uint32_t kept) noexcept:
    """Whether make_room() would succeed."""
    cdef int64_t items_over = <int64_t>table.count + item - table.item_limit
    cdef int64_t bytes_over = table.bytes + size - table.byte_limit
    cdef bint listed = kept != NIL and table.rest[kept].listed
    return (
        table.unlimited or (
            items_over <= <int64_t>table.order.count - listed
            and bytes_over <= table.order.bytes - (table.rest[kept].size if listed else 0)
        )
    )


cdef inline int entries_put(
    Entries* table, object key, uint32_t tag, object value, int64_t expires, int64_t size, uint8_t kind,
    bint force, PyObject** replaced,
) except -1:
    """Store it, and drain() when the table may be used by others. 1 if there is no room, and nothing was done.

    replaced: the old value's reference, for the caller to release then.
    """
    return entries_put_at(table, entries_find(table, key, tag), key, tag, value, expires, size, kind, force, replaced)


cdef inline int entries_put_at(
    Entries* table, int64_t found, object key, uint32_t tag, object value, int64_t expires, int64_t size, uint8_t kind,
    bint force, PyObject** replaced,
) except -1:
    """The same, when it was found where the key is, or that it is ABSENT. Lets go of no reference."""
    cdef int64_t grown
    cdef uint32_t i
    cdef Entry* entry
    if found >= 0:
        i = <uint32_t>found
        grown = size - table.rest[i].size
        if grown > 0 and not entries_make_room(table, False, grown, i, force):
            return 1
        entry = &table.hot[i]
        replaced[0] = entry.value
        Py_INCREF(value)
        entry.value = <PyObject*>value
        entry.kind = kind
        if grown:
            table.bytes += grown
            table.rest[i].size = size
            if table.rest[i].listed:
                table.order.bytes += grown
        if expires != entry.expires:
            entries_set_expiry(table, i, expires)
        order_touch(&table.order, i)
        return 0
    entries_reserve(table)
    if not entries_make_room(table, True, size, NIL, force):
        return 1
    if table.free != NIL:
        i = table.free
        table.free = table.rest[i].older
    else:
        i = table.fresh
        table.fresh += 1
    entry = &table.hot[i]
    Py_INCREF(key)
    Py_INCREF(value)
    entry.key, entry.value, entry.expires = <PyObject*>key, <PyObject*>value, expires
    entry.tag, entry.kind = tag, kind
    order_start(&table.order, entry)
    table.rest[i].size, table.rest[i].state, table.rest[i].listed = size, LIVE, False
    table.count += 1
    table.bytes += size
    table.generation += 1
    index_add(&table.index, tag, i)
    order_add(&table.order, i)
    if expires:
        wheel_add(&table.wheel, i, expires)
    return 0


cdef inline void entries_set_expiry(Entries* table, uint32_t i, int64_t expires) noexcept:
    cdef int64_t before = table.hot[i].expires
    if before:
        wheel_remove(&table.wheel, i)
    table.hot[i].expires = expires
    if expires:
        wheel_add(&table.wheel, i, expires)
    if table.order.volatile_only and (before == 0) != (expires == 0):
        if expires:
            order_add(&table.order, i)
        else:
            order_remove(&table.order, i)


cdef inline void entries_bury(Entries* table, uint32_t i, State state) noexcept:
    """Out of the order and the sums, and to the dying. The index and the wheel are the caller's."""
    order_remove(&table.order, i)
    table.count -= 1
    table.bytes -= table.rest[i].size
    table.generation += 1
    table.rest[i].state = state
    table.rest[i].older = table.dying
    table.dying = i


cdef inline void entries_drop(Entries* table, uint32_t i, State state) noexcept:
    if table.hot[i].expires:
        wheel_remove(&table.wheel, i)
    index_remove(&table.index, table.hot[i].tag, i)
    if state == EXPIRED:
        table.expired += 1
    entries_bury(table, i, state)


cdef inline int64_t entries_sweep(Entries* table, int64_t now) noexcept:
    """Drop all that is due; how many."""
    cdef uint32_t due, i
    cdef int64_t dropped = 0
    cdef bint many
    table.order.minute = <uint16_t>(now // 60_000)
    if now <= table.wheel.tick:
        return 0
    due = wheel_advance(&table.wheel, now)
    if due == NIL:
        return 0
    i = due
    while i != NIL:
        dropped += 1
        i = table.wheel.timers[i].after
    many = dropped > table.count // 4  # then a new index is cheaper than as many holes in the old
    while due != NIL:
        if not many:
            index_remove(&table.index, table.hot[due].tag, due)
        entries_bury(table, due, EXPIRED)
        due = table.wheel.timers[due].after
    if many:
        entries_fill_index(table)
    table.expired += dropped
    return dropped


cdef inline void entries_drop_all(Entries* table) noexcept:
    cdef uint32_t i
    for i in range(table.fresh):
        if table.rest[i].state == LIVE:
            entries_bury(table, i, DELETED)
    wheel_reset(&table.wheel)
    if table.index.slots != NULL:
        entries_fill_index(table)


cdef inline uint32_t entries_release(Entries* table, PyObject** key, PyObject** value) noexcept:
    """Take the next of the dying from the table, its references are the caller's; how it died."""
    cdef uint32_t i = table.dying, state = table.rest[i].state
    table.dying = table.rest[i].older
    key[0], value[0] = table.hot[i].key, table.hot[i].value
    table.hot[i].key = table.hot[i].value = NULL
    table.rest[i].state = FREE
    table.rest[i].older = table.free
    table.free = i
    return state


cdef inline void entries_drain(Entries* table) noexcept:
    """Release the dying. Their destructors may do anything: between two of them all is in order."""
    cdef PyObject* key
    cdef PyObject* value
    while table.dying != NIL:
        entries_release(table, &key, &value)
        let_go(value)
        let_go(key)


cdef inline list entries_mourn(Entries* table):
    """The dying that were evicted or expired, as (key, value, evicted); they are the list's from here on."""
    cdef list gone = []
    cdef PyObject* key
    cdef PyObject* value
    cdef uint32_t state
    while table.dying != NIL:
        state = entries_release(table, &key, &value)
        pair = stolen(key), stolen(value), state == EVICTED
        if state != DELETED:
            gone.append(pair)
    return gone


cdef inline bint entries_live(Entries* table, int64_t i, int64_t now) noexcept:
    return i >= 0 and (table.hot[i].expires == 0 or table.hot[i].expires > now)
