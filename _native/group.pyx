"""Aggregates by group number: each kernel takes a column's values and one group number a row, and adds to totals.

    values   uint8 uint16 uint32 with a base, int64 or float64, n rows
    groups   uint32, n rows: which of the totals a row belongs to; the caller numbers the groups and makes room for them
    totals   int64 or float64, one for each group, more than the largest number in `groups`

Rows that do not count (NULL, FILTER) are sent to a group that nobody reads (`send_away`), so no kernel looks at
validity. Sums of whole numbers are plain 64-bit additions: the caller knows bounds of the values, and moves the totals
into 128 bits (`flush`) before they could overflow; values that have no useful bounds are added in 128 bits at once.
Doubles are summed with Neumaier's compensation (A. Neumaier, 1974): `rest` holds what the sums lost.

Few groups mean that neighbours add to the same total, each waiting for the store of the one before (four cycles a
row): such totals are kept fourfold, and added up at the end.

Group numbers are trusted: they come from the numbering kernels (here and hashjoin.pyx), never from a file.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport fabs
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from dispatch cimport multiversion_int, multiversion_int64

cdef extern from *:
    """
    typedef __int128 wide_int;
    static inline wide_int wide_of(int64_t high, uint64_t low) {
        return (wide_int)(((unsigned __int128)(uint64_t)high << 64) | low);
    }
    static inline int64_t wide_high(wide_int value) { return (int64_t)(value >> 64); }
    static inline uint64_t wide_low(wide_int value) { return (uint64_t)value; }
    static inline int wide_add(wide_int a, wide_int b, wide_int *sum) { return __builtin_add_overflow(a, b, sum); }
    """
    ctypedef long long wide_int
    wide_int wide_of(int64_t high, uint64_t low) nogil
    int64_t wide_high(wide_int value) nogil
    uint64_t wide_low(wide_int value) nogil
    int wide_add(wide_int a, wide_int b, wide_int* total) nogil

cdef enum:
    FEW = 256            # totals that are kept fourfold
    EMPTY = 0xFFFFFFFF   # a slot that has no group yet

ctypedef fused whole:
    uint8_t
    uint16_t
    uint32_t
    int64_t


# ---- arrays of any width ------------------------------------------------------------------------------------------

cdef int open_values(object array, Py_buffer* view, bint floating) except 0:
    """The width of the items: 1, 2, 4 unsigned, 8 int64 (or float64 with floating)."""
    PyObject_GetBuffer(array, view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
    cdef char form = view.format[0]
    cdef int width = view.itemsize
    if floating:
        if form == c"d":
            return 8
    elif (width == 1 and (form == c"B" or form == c"?")) or (width == 2 and form == c"H"):
        return width
    elif (width == 4 and (form == c"I" or form == c"L")) or (width == 8 and (form == c"l" or form == c"q")):
        return width
    PyBuffer_Release(view)
    raise TypeError(f"values are uint8, uint16, uint32, int64 or float64, got {array.dtype}")


cdef inline int check(Py_ssize_t given, Py_ssize_t wanted) except -1:
    if given != wanted:
        raise ValueError(f"arrays of one length are needed, got {given} and {wanted}")
    return 0


# ---- rows that count ----------------------------------------------------------------------------------------------

def send_away(const uint32_t[::1] groups, const uint8_t[::1] mask, uint32_t away, uint32_t[::1] out):
    """The group numbers; `away` where the mask is 0."""
    cdef Py_ssize_t n = groups.shape[0]
    check(mask.shape[0], n)
    check(out.shape[0], n)
    if n:
        with nogil:
            _send_away(&groups[0], &mask[0], away, &out[0], n)


cdef multiversion_int _send_away(
    const uint32_t* groups, const uint8_t* mask, uint32_t away, uint32_t* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = groups[i] if mask[i] else away
    return 0


def count(const uint32_t[::1] groups, int64_t[::1] totals):
    """Adds 1 for each row."""
    cdef Py_ssize_t n = groups.shape[0]
    if n and totals.shape[0]:
        with nogil:
            _count(&groups[0], n, &totals[0], totals.shape[0])


cdef void _count(const uint32_t* groups, Py_ssize_t n, int64_t* totals, Py_ssize_t room) noexcept nogil:
    cdef int64_t[4][FEW] part
    cdef Py_ssize_t i = 0
    if room <= FEW:
        memset(part, 0, sizeof(part))
        while i + 4 <= n:
            part[0][groups[i]] += 1
            part[1][groups[i + 1]] += 1
            part[2][groups[i + 2]] += 1
            part[3][groups[i + 3]] += 1
            i += 4
        while i < n:
            part[0][groups[i]] += 1
            i += 1
        for i in range(room):
            totals[i] += part[0][i] + part[1][i] + part[2][i] + part[3][i]
    else:
        for i in range(n):
            totals[groups[i]] += 1


# ---- sums ---------------------------------------------------------------------------------------------------------

def sum_whole(values, int64_t base, const uint32_t[::1] groups, int64_t[::1] totals):
    """Adds base + value. The caller knows that no total leaves 64 bits."""
    cdef Py_buffer view
    cdef int width = open_values(values, &view, False)
    cdef Py_ssize_t n = view.len // width
    try:
        check(groups.shape[0], n)
        if n and totals.shape[0]:
            with nogil:
                if width == 1:
                    _sum(<const uint8_t*>view.buf, base, &groups[0], n, &totals[0], totals.shape[0])
                elif width == 2:
                    _sum(<const uint16_t*>view.buf, base, &groups[0], n, &totals[0], totals.shape[0])
                elif width == 4:
                    _sum(<const uint32_t*>view.buf, base, &groups[0], n, &totals[0], totals.shape[0])
                else:
                    _sum(<const int64_t*>view.buf, base, &groups[0], n, &totals[0], totals.shape[0])
    finally:
        PyBuffer_Release(&view)


cdef void _sum(
    const whole* values, int64_t base, const uint32_t* groups, Py_ssize_t n, int64_t* totals, Py_ssize_t room
) noexcept nogil:
    cdef int64_t[4][FEW] part
    cdef Py_ssize_t i = 0
    if room <= FEW:
        memset(part, 0, sizeof(part))
        while i + 4 <= n:
            part[0][groups[i]] += base + <int64_t>values[i]
            part[1][groups[i + 1]] += base + <int64_t>values[i + 1]
            part[2][groups[i + 2]] += base + <int64_t>values[i + 2]
            part[3][groups[i + 3]] += base + <int64_t>values[i + 3]
            i += 4
        while i < n:
            part[0][groups[i]] += base + <int64_t>values[i]
            i += 1
        for i in range(room):
            totals[i] += part[0][i] + part[1][i] + part[2][i] + part[3][i]
    else:
        for i in range(n):
            totals[groups[i]] += base + <int64_t>values[i]


def sum_wide(
    const int64_t[::1] values, const uint32_t[::1] groups, int64_t[::1] high, uint64_t[::1] low
):
    """As sum_whole, for values without useful bounds: into 128 bits, a total in two arrays."""
    cdef Py_ssize_t i, n = values.shape[0]
    cdef wide_int total
    check(groups.shape[0], n)
    check(high.shape[0], low.shape[0])
    with nogil:
        for i in range(n):
            total = wide_of(high[groups[i]], low[groups[i]]) + <wide_int>values[i]
            high[groups[i]] = wide_high(total)
            low[groups[i]] = wide_low(total)


def flush(int64_t[::1] totals, int64_t[::1] high, uint64_t[::1] low):
    """Moves the totals into those of 128 bits; they are 0 afterwards."""
    cdef Py_ssize_t i, n = totals.shape[0]
    cdef wide_int total
    check(high.shape[0], n)
    check(low.shape[0], n)
    with nogil:
        for i in range(n):
            total = wide_of(high[i], low[i]) + <wide_int>totals[i]
            high[i] = wide_high(total)
            low[i] = wide_low(total)
            totals[i] = 0


def add_wide(
    const int64_t[::1] more_high, const uint64_t[::1] more_low, const uint32_t[::1] groups,
    int64_t[::1] high, uint64_t[::1] low,
):
    """Adds 128-bit values to the totals of their groups. False if one left 128 bits: the totals are of no use then."""
    cdef Py_ssize_t i, n = groups.shape[0]
    cdef wide_int total
    cdef int over = 0
    check(more_high.shape[0], n)
    check(more_low.shape[0], n)
    check(high.shape[0], low.shape[0])
    with nogil:
        for i in range(n):
            over |= wide_add(wide_of(high[groups[i]], low[groups[i]]), wide_of(more_high[i], more_low[i]), &total)
            high[groups[i]] = wide_high(total)
            low[groups[i]] = wide_low(total)
    return not over


def sum_float(const double[::1] values, const uint32_t[::1] groups, double[::1] totals, double[::1] rest):
    """Adds doubles; total + rest is the sum as if it had been made with twice the digits."""
    cdef Py_ssize_t i, n = values.shape[0]
    cdef double total, value, next
    cdef uint32_t group
    check(groups.shape[0], n)
    check(rest.shape[0], totals.shape[0])
    with nogil:
        for i in range(n):
            group, value = groups[i], values[i]
            total = totals[group]
            next = total + value
            rest[group] += (total - next) + value if fabs(total) >= fabs(value) else (value - next) + total
            totals[group] = next


def total_whole(values):
    """The sum of a column of at most 2^31 narrow values, or of int64 whose sum stays in 64 bits. Without its base."""
    cdef Py_buffer view
    cdef int width = open_values(values, &view, False)
    cdef Py_ssize_t n = view.len // width
    cdef int64_t total
    try:
        with nogil:
            if width == 1:
                total = _total8(<const uint8_t*>view.buf, n)
            elif width == 2:
                total = _total16(<const uint16_t*>view.buf, n)
            elif width == 4:
                total = _total32(<const uint32_t*>view.buf, n)
            else:
                total = _total64(<const int64_t*>view.buf, n)
    finally:
        PyBuffer_Release(&view)
    return total


cdef inline int64_t _total(const whole* values, Py_ssize_t n) noexcept nogil:
    cdef int64_t total = 0
    cdef Py_ssize_t i
    for i in range(n):
        total += <int64_t>values[i]
    return total


cdef multiversion_int64 _total8(const uint8_t* values, Py_ssize_t n) noexcept nogil:
    return _total(values, n)


cdef multiversion_int64 _total16(const uint16_t* values, Py_ssize_t n) noexcept nogil:
    return _total(values, n)


cdef multiversion_int64 _total32(const uint32_t* values, Py_ssize_t n) noexcept nogil:
    return _total(values, n)


cdef multiversion_int64 _total64(const int64_t* values, Py_ssize_t n) noexcept nogil:
    return _total(values, n)


# ---- smallest and largest -----------------------------------------------------------------------------------------

def extreme_whole(values, int64_t base, const uint32_t[::1] groups, int64_t[::1] best, *, bint largest):
    """The smallest or largest base + value of each group. best starts as INT64_MAX or INT64_MIN."""
    cdef Py_buffer view
    cdef int width = open_values(values, &view, False)
    cdef Py_ssize_t n = view.len // width
    try:
        check(groups.shape[0], n)
        if n and best.shape[0]:
            with nogil:
                if width == 1:
                    _extreme(<const uint8_t*>view.buf, base, &groups[0], n, &best[0], largest)
                elif width == 2:
                    _extreme(<const uint16_t*>view.buf, base, &groups[0], n, &best[0], largest)
                elif width == 4:
                    _extreme(<const uint32_t*>view.buf, base, &groups[0], n, &best[0], largest)
                else:
                    _extreme(<const int64_t*>view.buf, base, &groups[0], n, &best[0], largest)
    finally:
        PyBuffer_Release(&view)


cdef void _extreme(
    const whole* values, int64_t base, const uint32_t* groups, Py_ssize_t n, int64_t* best, bint largest
) noexcept nogil:
    cdef Py_ssize_t i
    cdef int64_t value
    if largest:
        for i in range(n):
            value = base + <int64_t>values[i]
            if value > best[groups[i]]:
                best[groups[i]] = value
    else:
        for i in range(n):
            value = base + <int64_t>values[i]
            if value < best[groups[i]]:
                best[groups[i]] = value


def extreme_float(const double[::1] values, const uint32_t[::1] groups, double[::1] best, *, bint largest):
    """As extreme_whole; NaN is larger than every number. best starts as NaN for smallest, as -infinity for largest."""
    cdef Py_ssize_t i, n = values.shape[0]
    cdef double value, kept
    check(groups.shape[0], n)
    with nogil:
        for i in range(n):
            value, kept = values[i], best[groups[i]]
            if largest:
                if value > kept or value != value:
                    best[groups[i]] = value
            elif value < kept or kept != kept:
                best[groups[i]] = value


def extreme_row(keys, int64_t base, const uint32_t[::1] groups, int64_t[::1] best, int32_t[::1] rows, *, bint largest):
    """The first row with the smallest or largest key of each group; rows and best as they are where none is better."""
    cdef Py_buffer view
    cdef int width = open_values(keys, &view, False)
    cdef Py_ssize_t n = view.len // width
    try:
        check(groups.shape[0], n)
        check(rows.shape[0], best.shape[0])
        if n and best.shape[0]:
            with nogil:
                if width == 1:
                    _extreme_row(<const uint8_t*>view.buf, base, &groups[0], n, &best[0], &rows[0], largest)
                elif width == 2:
                    _extreme_row(<const uint16_t*>view.buf, base, &groups[0], n, &best[0], &rows[0], largest)
                elif width == 4:
                    _extreme_row(<const uint32_t*>view.buf, base, &groups[0], n, &best[0], &rows[0], largest)
                else:
                    _extreme_row(<const int64_t*>view.buf, base, &groups[0], n, &best[0], &rows[0], largest)
    finally:
        PyBuffer_Release(&view)


cdef void _extreme_row(
    const whole* keys, int64_t base, const uint32_t* groups, Py_ssize_t n, int64_t* best, int32_t* rows, bint largest
) noexcept nogil:
    cdef Py_ssize_t i
    cdef int64_t key
    cdef uint32_t group
    for i in range(n):
        key, group = base + <int64_t>keys[i], groups[i]
        if rows[group] < 0 or (key > best[group] if largest else key < best[group]):
            best[group] = key
            rows[group] = <int32_t>i


def extreme_text(
    codes, const int32_t[::1] offsets, const uint8_t[::1] heap, const uint32_t[::1] groups, int32_t[::1] rows, *,
    bint largest,
):
    """The row with the smallest or largest text of each group, by bytes. rows starts as -1.

    codes: int32 numbers of the words that offsets and heap cut up; None: the rows are the words.
    """
    cdef Py_ssize_t i, n = groups.shape[0]
    cdef const int32_t[::1] numbers = codes
    cdef const int32_t* code = NULL
    cdef const uint8_t* text = &heap[0] if heap.shape[0] else NULL
    cdef int32_t kept
    cdef int order
    if codes is not None:
        check(numbers.shape[0], n)
        code = &numbers[0] if n else NULL
    else:
        check(offsets.shape[0], n + 1)
    with nogil:
        for i in range(n):
            kept = rows[groups[i]]
            if kept >= 0:
                order = _compare(text, &offsets[0], code[i] if code != NULL else <int32_t>i,
                                 code[kept] if code != NULL else kept)
                if order == 0 or (order > 0) != largest:
                    continue
            rows[groups[i]] = <int32_t>i


cdef inline int _compare(const uint8_t* heap, const int32_t* offsets, int32_t a, int32_t b) noexcept nogil:
    cdef int32_t first = offsets[a + 1] - offsets[a]
    cdef int32_t second = offsets[b + 1] - offsets[b]
    cdef int order
    if a == b:
        return 0
    order = memcmp(heap + offsets[a], heap + offsets[b], min(first, second)) if first and second else 0
    return order if order else (first > second) - (first < second)


# ---- moments ------------------------------------------------------------------------------------------------------

def moments(const double[::1] values, const uint32_t[::1] groups, double[::1] n, double[::1] mean, double[::1] square):
    """Number, mean and sum of squared differences from the mean (B. P. Welford, 1962)."""
    cdef Py_ssize_t i
    cdef uint32_t group
    cdef double away
    check(groups.shape[0], values.shape[0])
    check(mean.shape[0], n.shape[0])
    check(square.shape[0], n.shape[0])
    with nogil:
        for i in range(values.shape[0]):
            group = groups[i]
            n[group] += 1
            away = values[i] - mean[group]
            mean[group] += away / n[group]
            square[group] += away * (values[i] - mean[group])


def pair_moments(
    const double[::1] xs, const double[::1] ys, const uint32_t[::1] groups, double[::1] n, double[:, ::1] sums
):
    """As moments for pairs. sums: rows of mean x, mean y, squares of x, squares of y, products."""
    cdef Py_ssize_t i
    cdef uint32_t group
    cdef double x, y, from_x
    check(xs.shape[0], groups.shape[0])
    check(ys.shape[0], groups.shape[0])
    check(sums.shape[0], 5)
    check(sums.shape[1], n.shape[0])
    with nogil:
        for i in range(groups.shape[0]):
            group = groups[i]
            n[group] += 1
            from_x = xs[i] - sums[0, group]
            sums[0, group] += from_x / n[group]
            x = xs[i] - sums[0, group]
            sums[2, group] += from_x * x
            y = ys[i] - sums[1, group]
            sums[1, group] += y / n[group]
            sums[3, group] += y * (ys[i] - sums[1, group])
            sums[4, group] += x * y


# ---- averages -----------------------------------------------------------------------------------------------------

def average(const int64_t[::1] totals, const int64_t[::1] counts, int64_t factor, int64_t[::1] out):
    """total * factor / count, rounded half away from zero; 0 where count is 0. 2 * total * factor stays in 64 bits."""
    cdef Py_ssize_t i, n = totals.shape[0]
    cdef int64_t value, size
    check(counts.shape[0], n)
    check(out.shape[0], n)
    with nogil:
        for i in range(n):
            size = counts[i]
            if size == 0:
                out[i] = 0
                continue
            value = totals[i] * factor
            out[i] = (2 * value + size) // (2 * size) if value >= 0 else -((size - 2 * value) // (2 * size))


# ---- group numbers by index ---------------------------------------------------------------------------------------

def add_slots(codes, ids, uint64_t add, uint64_t stride, valid, uint16_t[::1] slots, *, bint first):
    """Adds one key's share to the slot of each row: ids[code], or (code + add) * stride in 64 bits; 0 for NULL.

    ids: uint16, the stride is in them; None for whole numbers. first: the slots hold nothing yet. The caller knows
    that slots stay below 65,536, and that ids has a place for each code.
    """
    cdef Py_buffer view
    cdef int width = open_values(codes, &view, False)
    cdef Py_ssize_t n = view.len // width
    cdef const uint16_t[::1] table = ids
    cdef const uint8_t[::1] there = valid
    cdef const uint16_t* at = NULL
    cdef const uint8_t* mask = NULL
    try:
        check(slots.shape[0], n)
        if n == 0:
            return
        if ids is not None and table.shape[0]:
            at = &table[0]
        if valid is not None:
            check(there.shape[0], n)
            mask = &there[0]
        with nogil:
            if first:
                memset(&slots[0], 0, n * sizeof(uint16_t))
            if width == 1:
                _add_slots(<const uint8_t*>view.buf, at, add, stride, mask, &slots[0], n)
            elif width == 2:
                _add_slots(<const uint16_t*>view.buf, at, add, stride, mask, &slots[0], n)
            elif width == 4:
                _add_slots(<const uint32_t*>view.buf, at, add, stride, mask, &slots[0], n)
            else:
                _add_slots(<const int64_t*>view.buf, at, add, stride, mask, &slots[0], n)
    finally:
        PyBuffer_Release(&view)


cdef void _add_slots(
    const whole* codes, const uint16_t* ids, uint64_t add, uint64_t stride, const uint8_t* mask, uint16_t* slots,
    Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t i
    if mask != NULL:
        for i in range(n):
            if mask[i]:
                slots[i] += ids[codes[i]] if ids != NULL else <uint16_t>((<uint64_t>codes[i] + add) * stride)
    elif ids != NULL:
        for i in range(n):
            slots[i] += ids[codes[i]]
    else:
        _add_products(codes, add, stride, slots, n)


cdef multiversion_int _add_products(
    const whole* codes, uint64_t add, uint64_t stride, uint16_t* slots, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint16_t small = <uint16_t>add, step = <uint16_t>stride
    for i in range(n):
        slots[i] += (<uint16_t>codes[i] + small) * step  # modulo 65,536: the slot is below it
    return 0


def number_slots(
    const uint16_t[::1] slots, uint32_t[::1] table, uint32_t[::1] groups, uint16_t[::1] new, uint32_t known,
    const uint8_t[::1] mask=None,
):
    """The group of each row's slot, and how many groups there are now; new slots get the next numbers.

    table: the group of each slot, NO_GROUP for none yet. known: groups so far. new: the slots of the groups that were
    met first, as long as `slots`. mask: rows where it is 0 make no group; theirs is any.
    """
    cdef Py_ssize_t i, n = slots.shape[0]
    cdef uint32_t group, total = known
    check(table.shape[0], 65_536)
    check(groups.shape[0], n)
    check(new.shape[0], n)
    if mask is not None:
        check(mask.shape[0], n)
    with nogil:
        for i in range(n):
            group = table[slots[i]]
            if group == EMPTY:
                if mask is not None and not mask[i]:
                    groups[i] = 0
                    continue
                group = table[slots[i]] = total
                new[total - known] = slots[i]
                total += 1
            groups[i] = group
    return total


LARGEST = INT64_MAX
SMALLEST = INT64_MIN
NO_GROUP = 0xFFFFFFFF
