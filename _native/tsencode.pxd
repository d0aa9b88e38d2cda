"""One block of a time series, encoded. The layouts: tsblock.pxd.

write_block tries: the same value throughout; equal steps; whole numbers (decimals) in a narrow frame or as narrow
differences; up to eight runs of equal steps; a dictionary; and keeps the smallest, else the values as they are. A
choice by size, not by speed: all of them decode faster than memory delivers plain doubles.

Whole numbers of a double: the smallest exponent that serves is looked for on a sample, after the one that the block
before has used; values that are no decimals are kept beside (ALP: Afroozeh, Kuffo and Boncz, SIGMOD 2023; simpler
here: one exponent instead of a pair, and a division where ALP has a product).
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from tsblock cimport (
    BITS,
    BOOLEAN,
    CONSTANT,
    DEEP,
    DELTA,
    DICTIONARY,
    DOUBLE,
    FLAG_NAN,
    FLAG_TOTAL,
    FRAME,
    LANES,
    LONG,
    MOST,
    POWERS,
    RAW,
    REGULAR,
    RUNS,
    RUN_BYTES,
    SHORT_BITS,
    bits_from,
    bits_of,
    decimals_of,
    double_of,
    lanes_differences,
    lanes_pack,
    lanes_spread,
    mask_of,
    more_of,
    packed_bytes,
    range_of,
    range_of_doubles,
    step_of,
    stream_in,
    ts_block,
)
cdef enum:
    MOST_RUNS = 8
    MOST_WORDS = 512    # of a dictionary
    SLOTS = 2048
    SAMPLE = 32


cdef struct Room:  # for the encoding of one block
    uint64_t values[1024]     # those that are present
    int64_t decimals[1024]
    uint64_t spread[1024]
    int64_t differences[1024]
    uint32_t codes[1024]
    uint32_t packed[1024]
    uint16_t positions[1024]  # of values that are no decimals
    uint16_t slots[2048]
    uint64_t words[512]
    uint64_t numbers[1024]    # the words' numbers
    int exponent              # that served last


# --- packing ---


cdef inline Py_ssize_t pack_narrow(Room* room, const uint64_t* codes, const uint64_t* rest, int n, int shift, int width,
                                   uint8_t* out) noexcept nogil:
    """Bits shift ... shift + width, at most 32, of spread-out codes and of those after the full lanes."""
    cdef int full = n // DEEP, i, word
    cdef uint32_t mask = mask_of(width) if width else 0
    cdef uint64_t others[64]
    cdef uint8_t* start = out
    if width == 0:
        return 0
    if full:
        for i in range(MOST):
            room.codes[i] = <uint32_t>(codes[i] >> shift) & mask
        lanes_pack(room.codes, room.packed, width)
        if full == LANES:
            memcpy(out, room.packed, width * 2 * LANES * 4)
        else:
            for word in range(width * 2):
                memcpy(out + word * full * 4, room.packed + word * LANES, full * 4)
        out += full * width * 8
    for i in range(n % DEEP):
        others[i] = rest[i] >> shift & mask
    out += stream_in(others, n % DEEP, width, out)
    return out - start


cdef inline Py_ssize_t pack_codes(Room* room, const uint64_t* codes, const uint64_t* rest, int n, int width,
                                  uint8_t* out) noexcept nogil:
    cdef Py_ssize_t size
    if width <= 32:
        return pack_narrow(room, codes, rest, n, 0, width, out)
    size = pack_narrow(room, codes, rest, n, 0, 32, out)
    return size + pack_narrow(room, codes, rest, n, 32, width - 32, out + size)


cdef inline int bytes_for(int64_t x) noexcept nogil:
    """Of a signed number: 0 for 0."""
    cdef int size = 0
    if x:
        size = 1
        while size < 8 and x >> (8 * size - 1) != 0 and x >> (8 * size - 1) != -1:
            size += 1
    return size


cdef inline void spread_out(Room* room, const uint64_t* values, int n, uint64_t low) noexcept nogil:
    """Full lanes relative to low; lanes that are not in use repeat the first, so that they change no range."""
    cdef int full = n // DEEP, lane, row
    if full == LANES:
        lanes_spread(values, low, room.spread)
        return
    for row in range(DEEP):
        for lane in range(full):
            room.spread[row * LANES + lane] = values[lane * DEEP + row] - low
        for lane in range(full, LANES):
            room.spread[row * LANES + lane] = room.spread[row * LANES]


# --- one block ---


cdef inline int number_words(Room* room, int n) noexcept nogil:
    """room.words: the distinct values in order of first use, room.numbers: of each value. 0: there are too many."""
    cdef int i, count = 0
    cdef uint64_t value, slot
    memset(room.slots, 0xFF, sizeof(room.slots))
    for i in range(n):
        value = room.values[i]
        slot = (value * <uint64_t>0x9E3779B97F4A7C15) >> 53
        while room.slots[slot] != 0xFFFF and room.words[room.slots[slot]] != value:
            slot = (slot + 1) & (SLOTS - 1)
        if room.slots[slot] == 0xFFFF:
            if count == MOST_WORDS:
                return 0
            room.slots[slot] = <uint16_t>count
            room.words[count] = value
            count += 1
        room.numbers[i] = room.slots[slot]
    return count


cdef inline int find_exponent(Room* room, int n) noexcept nogil:
    """The exponent that makes whole numbers of most of a sample, the smallest of equals."""
    cdef double sample[SAMPLE]
    cdef int64_t decimals[SAMPLE]
    cdef int size = min(n, <int>SAMPLE), i, exponent, misses, best = 0, fewest = SAMPLE + 1
    for i in range(size):
        sample[i] = double_of(room.values[i * n // size])
    for exponent in range(16):
        misses = decimals_of(sample, size, exponent, decimals)
        if misses < fewest:
            fewest = misses
            best = exponent
            if misses == 0:
                break
    return best


cdef inline int make_decimals(Room* room, int n) noexcept nogil:
    """room.decimals of doubles; positions of those that are none, which repeat the one before. Their number, or -1."""
    cdef double back
    cdef int misses, i, most = n // 8 + 1, found = 0, at
    cdef int64_t good = 0
    misses = decimals_of(room.values, n, room.exponent, room.decimals)
    if misses > n // 64:
        room.exponent = find_exponent(room, n)
        misses = decimals_of(room.values, n, room.exponent, room.decimals)
    if misses > most or misses == n:
        return -1
    if misses == 0:
        return 0
    for i in range(n):
        back = <double>room.decimals[i] / POWERS[room.exponent]
        if bits_from(back) != room.values[i]:
            room.positions[found] = <uint16_t>i
            found += 1
        elif found == i:  # the first good one also stands in for those before it
            good = room.decimals[i]
    at = 0
    for i in range(n):
        if at < found and room.positions[at] == i:
            room.decimals[i] = good
            at += 1
        else:
            good = room.decimals[i]
    return misses


cdef inline int common_factor(const uint64_t* values, int n, int64_t* out) noexcept nogil:
    """out: values / 10^exponent, for the exponent that is returned: 9, 6, 3 or 0."""
    cdef int exponent, i
    cdef int64_t factor, value
    for exponent in range(9, 0, -3):
        factor = 1000000000 if exponent == 9 else 1000000 if exponent == 6 else 1000
        for i in range(n):
            value = <int64_t>values[i]
            out[i] = value // factor
            if out[i] * factor != value:
                break
        else:
            return exponent
    memcpy(out, values, n * 8)
    return 0


cdef inline int find_runs(const uint64_t* values, int n, uint8_t* out) noexcept nogil:
    """Pieces of equal steps, written as RUNS; their number, or 0 where there are too many."""
    cdef int runs = 0, at = 0, start
    cdef uint64_t step
    cdef uint16_t row
    while at < n:
        if runs == MOST_RUNS:
            return 0
        start = at
        step = values[at + 1] - values[at] if at + 1 < n else 0
        at += 1
        while at < n and values[at] - values[at - 1] == step:
            at += 1
        row = <uint16_t>start
        memcpy(out, &row, 2)
        memcpy(out + 2, &values[start], 8)
        memcpy(out + 10, &step, 8)
        out += RUN_BYTES
        runs += 1
    return runs


cdef inline void summarise(ts_block* block, Room* room, int n, bint double_type, int64_t low, int64_t high,
                           int exponent) noexcept nogil:
    """low, high and total. low, high: of the decimals of a double (where exponent >= 0), or of whole numbers."""
    cdef double least, greatest, total
    cdef int64_t ignored, other
    cdef uint64_t sum
    cdef int i
    if not double_type:
        block.low = <uint64_t>low
        block.high = <uint64_t>high
        range_of(<int64_t*>room.values, n, &ignored, &other, &sum)
        if max(-(low + 1), high) >> 52:  # 1,024 of them may not fit
            if not total_fits(<int64_t*>room.values, n):
                block.flags |= FLAG_TOTAL
        block.total = sum
        return
    if exponent >= 0 and max(-(low + 1), high) >> 42 == 0:  # their total is exact
        range_of(room.decimals, n, &ignored, &other, &sum)
        block.low = bits_from(<double>low / POWERS[exponent])
        block.high = bits_from(<double>high / POWERS[exponent])
        block.total = bits_from(<double><int64_t>sum / POWERS[exponent])
        return
    i = range_of_doubles(room.values, n, &least, &greatest, &total)
    if i < n:
        block.flags |= FLAG_NAN
    block.low = bits_from(least)
    block.high = bits_from(greatest)
    block.total = bits_from(total)


cdef inline bint total_fits(const int64_t* values, int n) noexcept nogil:
    """Does the sum fit 64 bits?"""
    cdef int64_t upper = 0
    cdef uint64_t lower = 0, before
    cdef int i
    for i in range(n):
        before = lower
        lower += <uint64_t>values[i]
        upper += (values[i] >> 63) + (lower < before)
    return upper == <int64_t>lower >> 63


cdef inline Py_ssize_t write_block(ts_block* block, Room* room, int n, int type, uint8_t* out) noexcept nogil:
    """Encode room.values, n > 0 of them, after whatever stands in the payload: fills block, returns the bytes."""
    cdef bint double_type = type == DOUBLE, regular
    cdef int misses = 0, exponent = 0, i, base, lanes = n // DEEP + (n % DEEP > 0), kind = RAW, width = 64
    cdef int start_bits = 0, frame_width, delta_width, words, full = n // DEEP, rest = n % DEEP
    cdef int64_t low = 0, high = 0, least = INT64_MAX, greatest = INT64_MIN, difference
    cdef uint64_t sum, step, span
    cdef uint64_t starts[17]
    cdef uint64_t others[64]
    cdef uint64_t rest_differences[64]
    cdef Py_ssize_t size = n * 8, frame_size, delta_size, at = 0
    cdef uint64_t* numbers
    cdef uint8_t runs[MOST_RUNS * RUN_BYTES]
    block.first = room.values[0]
    block.last = room.values[n - 1]
    # the same throughout, or equal steps?
    step = 0 if double_type or n < 2 else room.values[1] - room.values[0]
    regular = True
    for i in range(1, n):
        if room.values[i] - room.values[i - 1] != step:
            regular = False
            break
    if regular:
        block.present = <uint16_t>n
        regular = step == 0 or step_of(block) == step
    if double_type:
        misses = make_decimals(room, n)
        exponent = room.exponent
    else:
        exponent = common_factor(room.values, n, room.decimals)
    if misses >= 0:
        range_of(room.decimals, n, &low, &high, &sum)
    if double_type:
        summarise(block, room, n, True, low, high, exponent if misses == 0 else -1)
    else:
        summarise(block, room, n, False, low * <int64_t>POWERS[exponent], high * <int64_t>POWERS[exponent], exponent)
    if regular:
        block.codec = <uint8_t>(type << 4 | (REGULAR if step else CONSTANT))
        return 0
    if misses >= 0:
        numbers = <uint64_t*>room.decimals
        span = <uint64_t>high - <uint64_t>low
        frame_width = bits_of(span)
        frame_size = bytes_for(low) + packed_bytes(n, frame_width) + misses * 10
        if full:
            spread_out(room, numbers, n, <uint64_t>low)
            lanes_differences(room.spread, room.differences, &least, &greatest)
        for i in range(rest):
            others[i] = numbers[full * DEEP + i] - <uint64_t>low
            if i:
                difference = <int64_t>(others[i] - others[i - 1])
                least = min(least, difference)
                greatest = max(greatest, difference)
        if least > greatest:
            least = greatest = 0
        delta_width = bits_of(<uint64_t>greatest - <uint64_t>least)
        sum = 0
        for i in range(lanes):
            starts[i] = room.spread[i] if i < full else others[0]
            sum |= starts[i]
        start_bits = bits_of(sum)
        base = max(bytes_for(low), bytes_for(least))
        delta_size = 2 * base + (lanes * start_bits + 7) // 8 + packed_bytes(n, delta_width) + misses * 10
        if frame_size <= delta_size:
            if frame_size < size:
                kind = FRAME
                size = frame_size
                width = frame_width
        elif delta_size < size:
            kind = DELTA if bits_of(span) <= SHORT_BITS else LONG
            size = delta_size
            width = delta_width
        if not double_type and size > RUN_BYTES:
            words = find_runs(room.values, n, runs)
            if words and words * RUN_BYTES < size:
                block.codec = <uint8_t>(type << 4 | RUNS)
                block.more = words
                memcpy(out, runs, words * RUN_BYTES)
                return words * RUN_BYTES
    if size > 2 * n and n >= 16:
        words = number_words(room, n)
        if words and words * 8 + packed_bytes(n, bits_of(words - 1)) < size - size // 16:
            width = bits_of(words - 1)
            spread_out(room, room.numbers, n, 0)
            memcpy(out, room.words, words * 8)
            at = words * 8
            block.codec = <uint8_t>(type << 4 | DICTIONARY)
            block.more = more_of(0, width, 0, 0, words)
            return at + pack_codes(room, room.spread, &room.numbers[full * DEEP], n, width, out + at)
    block.codec = <uint8_t>(type << 4 | kind)
    if kind == RAW:
        memcpy(out, room.values, n * 8)
        return n * 8
    if kind == FRAME:
        base = bytes_for(low)
        block.more = more_of(exponent, width, base, 0, misses)
        memcpy(out, &low, base)
        at = base
        at += pack_codes(room, room.spread, others, n, width, out + at)
    else:
        block.more = more_of(exponent, width, base, start_bits, misses)
        memcpy(out, &low, base)
        memcpy(out + base, &least, base)
        at = 2 * base
        at += stream_in(starts, lanes, start_bits, out + at)
        if full:
            for i in range(LANES, MOST):
                room.spread[i] = <uint64_t>room.differences[i] - <uint64_t>least
            for i in range(LANES):
                room.spread[i] = 0
        if rest:
            rest_differences[0] = 0
            for i in range(1, rest):
                rest_differences[i] = others[i] - others[i - 1] - <uint64_t>least
        at += pack_codes(room, room.spread, rest_differences, n, width, out + at)
    memcpy(out + at, room.positions, misses * 2)
    at += misses * 2
    for i in range(misses):
        memcpy(out + at + i * 8, &room.values[room.positions[i]], 8)
    return at + misses * 8


cdef inline Py_ssize_t write_bits(ts_block* block, const uint8_t* values, int n, uint8_t* out) noexcept nogil:
    """BOOLEAN: n > 0 bytes."""
    cdef int i, count = 0
    for i in range(n):
        count += values[i] != 0
    block.first = values[0] != 0
    block.last = values[n - 1] != 0
    if count == 0 or count == n:
        block.codec = BOOLEAN << 4 | CONSTANT
        return 0
    block.codec = BOOLEAN << 4 | BITS
    memset(out, 0, (n + 7) // 8)
    for i in range(n):
        out[i >> 3] |= (values[i] != 0) << (i & 7)
    return (n + 7) // 8


cdef inline Py_ssize_t write_presence(ts_block* block, const uint8_t* valid, uint8_t* out) noexcept nogil:
    cdef int i
    block.present = block.rows
    if valid == NULL:
        return 0
    block.present = 0
    for i in range(block.rows):
        block.present += valid[i] != 0
    if block.present == block.rows or block.present == 0:
        return 0
    memset(out, 0, (block.rows + 7) // 8)
    for i in range(block.rows):
        out[i >> 3] |= (valid[i] != 0) << (i & 7)
    return (block.rows + 7) // 8
