"""Sums of several columns by the same few groups, in one pass for two or three of them.

Adding to a total costs a load and a store a row, whatever is added. So columns share a total: their values stand side
by side in 64 bits, with room above each for as many rows as are added before the totals are taken apart again.

    lane    | count, 1 + b bits | discount, 4 + b bits | price, 31 + b bits |        2^b rows fit

A block of rows is packed first (a vectorised loop a column), then added to the totals, which are kept fourfold: few
groups mean that neighbours add to the same total, each waiting for the store of the one before.

    columns   (values, base, low, high, totals): base + value is added to the int64 totals; low .. high are its bounds.
              values: uint8, uint16, uint32, or int64 with base 0. The caller knows that no total leaves 64 bits
    groups    uint32, below 256, and below the length of all totals, which are equally long

Bounds and group numbers are trusted, as in group.pyx: wrong bounds give wrong sums, and no access out of bounds.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from dispatch cimport multiversion_int
from vectors cimport Vector, close_vector, closed, narrow, open_vector

cdef enum:
    FEW = 256
    COLUMNS = 15  # beside the count
    BLOCK = 512   # rows that are packed at once: 4 KB
    ROOM = 11     # b is at least this: else the totals are taken apart too often

ctypedef struct Field:
    void* data         # NULL: 1 for each row
    Py_ssize_t width
    int bits
    int shift
    uint64_t least     # is taken from each value before it is packed
    int64_t offset     # and added to the total again, once a row
    int64_t* totals
    int lane

ctypedef struct Lane:
    int fields
    int bits
    int room           # b


def together(groups, Py_ssize_t used, int64_t[::1] counts not None, list columns not None):
    """Adds the rows of each group to counts, and the columns' values to their totals.

    used: groups that are read later, those below it; what the others hold afterwards is undefined.
    """
    cdef Vector numbers = closed()
    cdef Vector[COLUMNS] values
    cdef Field[COLUMNS + 1] fields
    cdef Lane[COLUMNS + 1] lanes
    cdef int64_t[::1] totals
    cdef int64_t low, high
    cdef int64_t[FEW] before
    cdef Py_ssize_t n, i = 0, group, opened = 0, room = counts.shape[0], count = len(columns)
    cdef int made
    if count > COLUMNS:
        raise ValueError(f"at most {COLUMNS} columns together, got {count}")
    if not 0 <= used <= room <= FEW or room == 0:
        raise ValueError(f"room for 1 to {FEW} groups, got {room} for {used}")
    try:
        open_vector(&numbers, groups, 4)
        n = numbers.n
        fields[0].data, fields[0].width, fields[0].bits = NULL, 0, 1
        fields[0].least, fields[0].offset, fields[0].totals = 0, 0, &counts[0]
        for data, base, first, last, sums in columns:
            values[opened] = closed()
            opened += 1
            open_vector(&values[opened - 1], data, 0, n)
            totals = sums
            if totals.shape[0] != room:
                raise ValueError(f"totals of {totals.shape[0]} groups beside counts of {room}")
            low, high = first, last
            i = opened
            fields[i].data, fields[i].width = values[i - 1].data, values[i - 1].width
            fields[i].totals = &totals[0]
            if values[i - 1].width == 8:
                fields[i].least, fields[i].offset = <uint64_t>low, low
                fields[i].bits = bits_of(<uint64_t>high - <uint64_t>low)
            else:
                fields[i].least, fields[i].offset = 0, base
                fields[i].bits = min(bits_of(<uint64_t>high - <uint64_t>fields[i].offset), 8 * <int>fields[i].width)
        with nogil:
            for group in range(used):
                before[group] = counts[group]
            made = plan(fields, <int>count + 1, lanes)
            for i in range(made):
                add_lane(fields, <int>count + 1, <int>i, &lanes[i], <const uint32_t*>numbers.data, n, used)
            for i in range(1, count + 1):
                for group in range(used):
                    fields[i].totals[group] += fields[i].offset * (counts[group] - before[group])
    finally:
        close_vector(&numbers)
        for i in range(opened):
            close_vector(&values[i])


cdef inline int bits_of(uint64_t value) noexcept nogil:
    cdef int bits = 1
    while value >> 1:
        value >>= 1
        bits += 1
    return bits


cdef int plan(Field* fields, int count, Lane* lanes) noexcept nogil:
    """Which lane each field goes to: the widest first, each into the first lane with room. How many lanes there are."""
    cdef int made = 0, placed = 0, i, widest, lane
    for i in range(count):
        fields[i].lane = -1
    while placed < count:
        widest = -1
        for i in range(count):
            if fields[i].lane < 0 and (widest < 0 or fields[i].bits > fields[widest].bits):
                widest = i
        lane = 0
        while lane < made:
            if (64 - lanes[lane].bits - fields[widest].bits) >= ROOM * (lanes[lane].fields + 1):
                break
            lane += 1
        if lane == made:
            lanes[lane].fields = lanes[lane].bits = 0
            made += 1
        fields[widest].lane = lane
        placed += 1
        lanes[lane].fields += 1
        lanes[lane].bits += fields[widest].bits
    for lane in range(made):
        lanes[lane].room = (64 - lanes[lane].bits) // lanes[lane].fields
        placed = 0
        for i in range(count):
            if fields[i].lane == lane:
                fields[i].shift = placed
                placed += fields[i].bits + lanes[lane].room
    return made


cdef void add_lane(
    Field* fields, int count, int number, Lane* lane, const uint32_t* groups, Py_ssize_t n, Py_ssize_t used
) noexcept nogil:
    cdef uint64_t[4][FEW] part
    cdef uint64_t[BLOCK] packed
    cdef Py_ssize_t start = 0, stop, size, rows = n
    cdef int i
    cdef bint first
    if lane.fields > 1:
        rows = <Py_ssize_t>4 << lane.room  # each of the four takes a quarter
    while start < n:
        stop = min(start + rows, n)
        memset(part, 0, sizeof(part))
        while start < stop:
            size = min(<Py_ssize_t>BLOCK, stop - start)
            first = True
            for i in range(count):
                if fields[i].lane == number:
                    pack(&fields[i], start, size, first, packed)
                    first = False
            scatter(packed, groups + start, size, part)
            start += size
        for i in range(count):
            if fields[i].lane == number:
                take_apart(part, &fields[i], lane, used)


cdef void take_apart(uint64_t[4][FEW] part, Field* field, Lane* lane, Py_ssize_t used) noexcept nogil:
    cdef int bits = field.bits + lane.room
    cdef uint64_t mask = ~<uint64_t>0 if lane.fields == 1 else (<uint64_t>1 << bits) - 1
    cdef uint64_t total
    cdef Py_ssize_t group
    for group in range(used):
        total = (part[0][group] >> field.shift & mask) + (part[1][group] >> field.shift & mask)
        total += (part[2][group] >> field.shift & mask) + (part[3][group] >> field.shift & mask)
        field.totals[group] = <int64_t>(<uint64_t>field.totals[group] + total)


cdef void scatter(const uint64_t* packed, const uint32_t* groups, Py_ssize_t n, uint64_t[4][FEW] part) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i + 4 <= n:
        part[0][groups[i]] += packed[i]
        part[1][groups[i + 1]] += packed[i + 1]
        part[2][groups[i + 2]] += packed[i + 2]
        part[3][groups[i + 3]] += packed[i + 3]
        i += 4
    while i < n:
        part[i & 3][groups[i]] += packed[i]
        i += 1


cdef void pack(Field* field, Py_ssize_t start, Py_ssize_t n, bint first, uint64_t* packed) noexcept nogil:
    if field.data == NULL:
        pack_one(<uint64_t>1 << field.shift, n, first, packed)
    elif field.width == 1:
        pack_loop(<const uint8_t*>field.data + start, n, field.least, field.shift, first, packed)
    elif field.width == 2:
        pack_loop(<const uint16_t*>field.data + start, n, field.least, field.shift, first, packed)
    elif field.width == 4:
        pack_loop(<const uint32_t*>field.data + start, n, field.least, field.shift, first, packed)
    else:
        pack_loop(<const int64_t*>field.data + start, n, field.least, field.shift, first, packed)


cdef multiversion_int pack_one(uint64_t one, Py_ssize_t n, bint first, uint64_t* packed) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        packed[i] = one if first else packed[i] + one
    return 0


cdef multiversion_int pack_loop(
    const narrow* values, Py_ssize_t n, uint64_t least, int shift, bint first, uint64_t* packed
) noexcept nogil:
    cdef Py_ssize_t i
    if first:
        for i in range(n):
            packed[i] = (<uint64_t>values[i] - least) << shift
    else:
        for i in range(n):
            packed[i] += (<uint64_t>values[i] - least) << shift
    return 0


MOST = COLUMNS
