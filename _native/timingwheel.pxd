"""A hierarchical timing wheel of milliseconds (Varghese and Lauck, SOSP 1987): what is due is found without a search.

    level   slots   a slot is   reaches
    0       256     1 ms        256 ms
    1       256     256 ms      65 s
    2       256     65 s        4.6 hours
    3       256     4.6 hours   49 days; what is later waits in the farthest slot and is placed anew from there

A timer lies in the slot of the coarsest level that still tells it from now. When the wheel comes to a slot of levels 1
to 3, its timers are placed anew, nearer; a slot of level 0 is due as a whole. Where nothing lies, the wheel takes whole
slots of a higher level in one step, so a day without timers costs nothing.

Timers are numbers 0, 1, ... of their owner's; `timers` is the owner's array of them. Time never goes backwards here:
advance() to the past does nothing, and a timer that is set for the past is due at the next tick.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t

cdef enum:
    NIL = 0xFFFFFFFF
    LEVELS = 4
    SLOTS = 256  # of each level

cdef struct Timer:
    int64_t due          # milliseconds
    uint32_t before      # neighbours in the slot
    uint32_t after
    uint16_t slot        # level * 256 + slot

cdef struct Wheel:
    Timer* timers
    int64_t tick         # everything up to here was due and is gone
    uint32_t count       # of timers
    uint32_t waiting[LEVELS]
    uint32_t slots[LEVELS * SLOTS]


cdef inline void wheel_reset(Wheel* wheel) noexcept nogil:
    """Forget all timers."""
    cdef int i
    for i in range(LEVELS * SLOTS):
        wheel.slots[i] = NIL
    for i in range(LEVELS):
        wheel.waiting[i] = 0
    wheel.count = 0


cdef inline void wheel_place(Wheel* wheel, uint32_t i) noexcept nogil:
    """Put a timer, due at the current tick or later, where it belongs as seen from there."""
    cdef Timer* timer = &wheel.timers[i]
    cdef int64_t due = timer.due, ahead = timer.due - wheel.tick
    cdef uint32_t level
    if ahead < 1 << 8:
        level = 0
    elif ahead < 1 << 16:
        level = 1
    elif ahead < 1 << 24:
        level = 2
    else:
        level = 3
        due = min(due, wheel.tick + (<int64_t>(SLOTS - 1) << 24))
    timer.slot = <uint16_t>(level * SLOTS + ((due >> (8 * level)) & (SLOTS - 1)))
    timer.before = NIL
    timer.after = wheel.slots[timer.slot]
    if timer.after != NIL:
        wheel.timers[timer.after].before = i
    wheel.slots[timer.slot] = i
    wheel.waiting[level] += 1


cdef inline void wheel_add(Wheel* wheel, uint32_t i, int64_t due) noexcept nogil:
    """Set a timer that is not set."""
    wheel.timers[i].due = max(due, wheel.tick + 1)
    wheel.count += 1
    wheel_place(wheel, i)


cdef inline void wheel_remove(Wheel* wheel, uint32_t i) noexcept nogil:
    """Take back a timer that is set."""
    cdef Timer* timer = &wheel.timers[i]
    if timer.before != NIL:
        wheel.timers[timer.before].after = timer.after
    else:
        wheel.slots[timer.slot] = timer.after
    if timer.after != NIL:
        wheel.timers[timer.after].before = timer.before
    wheel.waiting[timer.slot // SLOTS] -= 1
    wheel.count -= 1


cdef inline void wheel_cascade(Wheel* wheel, uint32_t level) noexcept nogil:
    """Place the timers of the slot that begins at the current tick anew."""
    cdef uint32_t slot = level * SLOTS + <uint32_t>((wheel.tick >> (8 * level)) & (SLOTS - 1))
    cdef uint32_t i = wheel.slots[slot], after
    wheel.slots[slot] = NIL
    while i != NIL:
        after = wheel.timers[i].after
        wheel.waiting[level] -= 1
        wheel_place(wheel, i)
        i = after


cdef inline uint32_t wheel_advance(Wheel* wheel, int64_t now) noexcept nogil:
    """Go on to now. The first of the timers that were due by then, each linked to the next by `after`; NIL for none."""
    cdef uint32_t due = NIL, i, after
    cdef int64_t boundary
    cdef int level, shift
    while wheel.tick < now:
        level = 0
        while level < LEVELS and wheel.waiting[level] == 0:
            level += 1
        if level == LEVELS:
            wheel.tick = now
            break
        shift = 8 * level  # nothing happens before the next slot of this level begins
        boundary = ((wheel.tick >> shift) + 1) << shift
        if boundary > now:
            wheel.tick = now
            break
        wheel.tick = boundary
        if wheel.tick & 0xFF == 0:
            if wheel.tick & 0xFFFF == 0:
                if wheel.tick & 0xFFFFFF == 0:
                    wheel_cascade(wheel, 3)
                wheel_cascade(wheel, 2)
            wheel_cascade(wheel, 1)
        i = wheel.slots[wheel.tick & (SLOTS - 1)]
        wheel.slots[wheel.tick & (SLOTS - 1)] = NIL
        while i != NIL:
            after = wheel.timers[i].after
            wheel.timers[i].after = due
            due = i
            wheel.waiting[0] -= 1
            wheel.count -= 1
            i = after
    return due
