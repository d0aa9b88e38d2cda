"""Blocks of a time series, decoded. The layouts: tsblock.pxd.

Every length is checked before anything is read: hostile bytes make wrong numbers or CORRUPTED, no reading outside.
Full lanes are unpacked all at once (tslanes.h); the rest, and blocks of less than a lane, value by value.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from tsblock cimport (
    ABSENT,
    BOOLEAN,
    COLD,
    CONSTANT,
    CORRUPTED,
    DEEP,
    DELTA,
    DICTIONARY,
    FINE,
    FRAME,
    LANES,
    LONG,
    MOST,
    POWERS,
    RAW,
    REGULAR,
    RUNS,
    RUN_BYTES,
    VARCHAR,
    bitmap_bytes,
    bits_from,
    is_double,
    lanes_add_up,
    lanes_add_up_long,
    lanes_doubles,
    lanes_longs,
    lanes_longs_long,
    lanes_unpack,
    narrow_bytes,
    packed_bytes,
    step_of,
    stream_out,
    ts_block,
)


cdef struct Scratch:  # room for one block
    uint32_t packed[1024]
    uint32_t codes[1024]
    uint64_t long_codes[1024]
    double doubles[1024]
    uint64_t values[1024]  # what is decoded


cdef struct Packed:  # what FRAME, DELTA and LONG are made of
    int kind
    int exponent
    int width
    int start_bits
    int misses
    int full          # lanes
    int rest          # values after them
    uint64_t low
    uint64_t least
    const uint8_t* starts
    const uint8_t* codes
    const uint8_t* exceptions


cdef inline uint64_t signed_at(const uint8_t* data, int size) noexcept nogil:
    """A signed little-endian number of 0 to 8 bytes."""
    cdef uint64_t x = 0
    if size == 0:
        return 0
    memcpy(&x, data, size)
    return <uint64_t>(<int64_t>(x << (64 - 8 * size)) >> (64 - 8 * size))


cdef inline const uint32_t* full_lanes(const uint8_t* data, int full, int width, uint32_t* room) noexcept nogil:
    """Packed words of 16 lanes, of which `full` are on disk: in place if that is all of them."""
    cdef int word
    if full == LANES:
        return <const uint32_t*>data
    memset(room, 0, width * 2 * LANES * 4)
    for word in range(width * 2):
        memcpy(room + word * LANES, data + word * full * 4, full * 4)
    return room


cdef inline int parse(const ts_block* block, Packed* packed) noexcept nogil:
    """Where the parts of a FRAME, DELTA, LONG or DICTIONARY block lie; CORRUPTED where they do not fill it exactly."""
    cdef const uint8_t* data = <const uint8_t*><size_t>block.address
    cdef int base = block.more >> 11 & 15, n = block.present, lanes
    cdef Py_ssize_t at = bitmap_bytes(block), wanted
    packed.kind = block.codec & 15
    packed.exponent = block.more & 15
    packed.width = block.more >> 4 & 127
    packed.start_bits = block.more >> 15 & 127
    packed.misses = block.more >> 22
    packed.full = n // DEEP
    packed.rest = n % DEEP
    packed.low = packed.least = 0
    if n == 0 or n > MOST or block.rows > MOST or n > block.rows or base > 8:
        return CORRUPTED
    if packed.width > 64 or packed.start_bits > 64:
        return CORRUPTED
    lanes = packed.full + (packed.rest > 0)
    wanted = at + packed_bytes(n, packed.width)
    if packed.kind == DICTIONARY:
        wanted += packed.misses * 8
    else:
        wanted += base + packed.misses * 10
        if packed.kind != FRAME:
            wanted += base + (lanes * packed.start_bits + 7) // 8
    if wanted != block.length or (packed.kind == DELTA and (packed.width > 32 or packed.start_bits > 32)):
        return CORRUPTED
    if packed.kind == DICTIONARY:
        packed.exceptions = data + at
        packed.codes = data + at + packed.misses * 8
        return FINE
    packed.low = signed_at(data + at, base)
    at += base
    packed.starts = data + at
    if packed.kind != FRAME:
        packed.least = signed_at(data + at, base)
        packed.starts = data + at + base
        at += base + (lanes * packed.start_bits + 7) // 8
    packed.codes = data + at
    packed.exceptions = data + at + packed_bytes(n, packed.width)
    return FINE


cdef inline uint64_t factor_of(int exponent) noexcept nogil:
    cdef uint64_t factor = 1
    cdef int _i
    for _i in range(exponent):
        factor *= 10
    return factor


cdef inline uint64_t finished(uint64_t number, bint double_type, int exponent) noexcept nogil:
    """The bits of a value from its whole number."""
    if double_type:
        return bits_from(<double><int64_t>number / POWERS[exponent])
    return number * factor_of(exponent)


cdef inline int codes_of(const Packed* packed, Scratch* scratch) noexcept nogil:
    """The codes of full lanes, spread out, in scratch.codes, or in scratch.long_codes where wider than 32 bits."""
    cdef int width = packed.width, i
    cdef Py_ssize_t first
    if width == 0:
        memset(scratch.codes, 0, sizeof(scratch.codes))
    elif width <= 32:
        lanes_unpack(full_lanes(packed.codes, packed.full, width, scratch.packed), scratch.codes, width)
    else:
        first = narrow_bytes(packed.full * DEEP + packed.rest, 32)
        lanes_unpack(full_lanes(packed.codes, packed.full, 32, scratch.packed), scratch.codes, 32)
        for i in range(MOST):
            scratch.long_codes[i] = scratch.codes[i]
        lanes_unpack(full_lanes(packed.codes + first, packed.full, width - 32, scratch.packed), scratch.codes,
                     width - 32)
        for i in range(MOST):
            scratch.long_codes[i] |= <uint64_t>scratch.codes[i] << 32
    return 0


cdef inline int rest_of(const Packed* packed, uint64_t start, uint64_t* out) noexcept nogil:
    """The values after the full lanes, relative to low. start: of their lane."""
    cdef int width = packed.width, i
    cdef int narrow = width if width <= 32 else 32
    cdef const uint8_t* data = packed.codes + packed.full * narrow * 8
    cdef uint64_t others[64]
    stream_out(data, packed.rest, narrow, out)
    if width > 32:
        data += (packed.rest * 32 + 7) // 8 + packed.full * (width - 32) * 8
        stream_out(data, packed.rest, width - 32, others)
        for i in range(packed.rest):
            out[i] |= others[i] << 32
    if packed.kind == DELTA or packed.kind == LONG:
        if packed.rest:
            out[0] = start
        for i in range(1, packed.rest):
            out[i] += out[i - 1] + packed.least
    return 0


cdef inline int starts_of(const Packed* packed, uint64_t* starts) noexcept nogil:
    """The first of each lane, relative to low; 0 for lanes that are not there. starts: 17 of them."""
    cdef int lanes = packed.full + (packed.rest > 0)
    memset(starts, 0, 17 * 8)
    if packed.kind != FRAME:
        stream_out(packed.starts, lanes, packed.start_bits, starts)
    return 0


cdef inline int unpack_values(const ts_block* block, Scratch* scratch) noexcept nogil:
    """FRAME, DELTA and LONG -> scratch.values."""
    cdef Packed packed
    cdef uint64_t starts[17]
    cdef uint32_t short_starts[16]
    cdef uint64_t factor
    cdef uint64_t* rest
    cdef bint double_type = is_double(block)
    cdef uint16_t position
    cdef int i
    if parse(block, &packed):
        return CORRUPTED
    factor = factor_of(packed.exponent)
    starts_of(&packed, starts)
    if packed.full:
        codes_of(&packed, scratch)
        if packed.kind != LONG and packed.width < 32:
            if packed.kind == DELTA:
                for i in range(LANES):
                    short_starts[i] = <uint32_t>starts[i]
                lanes_add_up(scratch.codes, short_starts, <uint32_t>packed.least)
            if double_type:
                lanes_doubles(scratch.codes, <int64_t>packed.low, packed.exponent, scratch.doubles,
                              scratch.values)
            else:
                lanes_longs(scratch.codes, packed.low, factor, scratch.values)
        else:
            if packed.width <= 32:
                for i in range(MOST):
                    scratch.long_codes[i] = scratch.codes[i]
            if packed.kind != FRAME:
                lanes_add_up_long(scratch.long_codes, starts, packed.least)
            lanes_longs_long(scratch.long_codes, packed.low, 1 if double_type else factor, scratch.values)
            if double_type:
                for i in range(MOST):
                    scratch.values[i] = bits_from(<double><int64_t>scratch.values[i] / POWERS[packed.exponent])
    if packed.rest:
        rest = scratch.values + packed.full * DEEP
        rest_of(&packed, starts[packed.full], rest)
        for i in range(packed.rest):
            if packed.kind == DELTA:  # as in the lanes: 32 bits
                rest[i] = <uint32_t>rest[i]
            rest[i] = finished(packed.low + rest[i], double_type, packed.exponent)
    for i in range(packed.misses):
        memcpy(&position, packed.exceptions + i * 2, 2)
        if position >= block.present:
            return CORRUPTED
        memcpy(&scratch.values[position], packed.exceptions + packed.misses * 2 + i * 8, 8)
    return FINE


cdef inline int look_up(const ts_block* block, Scratch* scratch) noexcept nogil:
    """DICTIONARY -> scratch.values."""
    cdef Packed packed
    cdef uint64_t code
    cdef int i
    if parse(block, &packed) or packed.width > 10 or packed.misses == 0:
        return CORRUPTED
    if packed.full:
        codes_of(&packed, scratch)
        lanes_longs(scratch.codes, 0, 1, scratch.values)
    rest_of(&packed, 0, scratch.values + packed.full * DEEP)
    for i in range(block.present):
        code = scratch.values[i]
        if code >= <uint64_t>packed.misses:
            return CORRUPTED
        memcpy(&scratch.values[i], packed.exceptions + code * 8, 8)
    return FINE


cdef inline int run_values(const ts_block* block, uint64_t* out) noexcept nogil:
    """RUNS -> out: pieces of equal steps."""
    cdef const uint8_t* data = <const uint8_t*><size_t>block.address + bitmap_bytes(block)
    cdef int runs = block.more, n = block.present, run, i, until
    cdef uint16_t row, following
    cdef uint64_t value, step
    if runs < 1 or runs > 64 or block.length != bitmap_bytes(block) + runs * RUN_BYTES:
        return CORRUPTED
    memcpy(&row, data, 2)
    if row:
        return CORRUPTED
    for run in range(runs):
        memcpy(&value, data + 2, 8)
        memcpy(&step, data + 10, 8)
        data += RUN_BYTES
        until = n
        if run + 1 < runs:
            memcpy(&following, data, 2)
            until = following
        if until <= row or until > n:
            return CORRUPTED
        for i in range(row, until):
            out[i] = value
            value += step
        row = <uint16_t>until
    return FINE


cdef inline int numbers_of(const ts_block* block, Scratch* scratch) noexcept nogil:
    """The values that are present, 64 bits each -> scratch.values. Not of VARCHAR, BOOLEAN or COLD blocks."""
    cdef int kind = block.codec & 15, n = block.present, i
    cdef const uint8_t* data = <const uint8_t*><size_t>block.address
    cdef uint64_t value, step
    if n > block.rows or block.rows > MOST:
        return CORRUPTED
    if kind == FRAME or kind == DELTA or kind == LONG:
        return unpack_values(block, scratch)
    if kind == ABSENT:
        return FINE if n == 0 and block.length == 0 else CORRUPTED
    if kind == DICTIONARY:
        return look_up(block, scratch)
    if kind == RUNS:
        return run_values(block, scratch.values)
    if kind == RAW:
        if block.length != bitmap_bytes(block) + n * 8:
            return CORRUPTED
        memcpy(scratch.values, data + bitmap_bytes(block), n * 8)
        return FINE
    if block.length != bitmap_bytes(block):
        return CORRUPTED
    if kind == CONSTANT:
        for i in range(n):
            scratch.values[i] = block.first
        return FINE
    if kind == REGULAR:
        value = block.first
        step = step_of(block)
        for i in range(n):
            scratch.values[i] = value
            value += step
        return FINE
    return CORRUPTED


cdef inline int presence_of(const ts_block* block, uint8_t* valid) noexcept nogil:
    """A byte a row: is there a value? CORRUPTED where their number is not the block's."""
    cdef const uint8_t* data = <const uint8_t*><size_t>block.address
    cdef int i, count = 0
    if block.present == block.rows or block.present == 0:
        memset(valid, block.present > 0, block.rows)
        return FINE
    if block.length < bitmap_bytes(block):
        return CORRUPTED
    for i in range(block.rows):
        valid[i] = data[i >> 3] >> (i & 7) & 1
        count += valid[i]
    return FINE if count == block.present else CORRUPTED
