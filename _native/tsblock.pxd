"""Blocks of a time series as kernels know them, and their bounds-checked decoding. See engines/timeseries/codec.py.

    payload     [which rows have a value: a bit each] then, by kind of codec, of the n values that are present
    CONSTANT    nothing: every value is the block's `first`
    REGULAR     nothing: first, first + step ... last
    RUNS        for each: row u16, first i64, step i64
    FRAME       low | packed                                   value = low + code
    DELTA, LONG low | least | starts | packed                  value = the one before in its lane + least + code
    DICTIONARY  words u64 ... | packed codes
    RAW         n u64
    BITS        a bit each

    low, least  `base` bytes each, signed           starts: `start` bits each, relative to low, one a lane
    packed      full lanes of 64 values as in tslanes.h, only those in use | the rest: a stream of bits
                wider than 32 bits: the low 32 bits so, then the others so
    FRAME, DELTA and LONG end with the values that are no decimals: their positions u16, then they themselves u64

A double is a whole number / 10^exponent, checked bit for bit; a whole number is one * 10^exponent.
In DELTA every value is less than 2^26 above low, so that 32 bits are enough for sums in a lane; LONG takes 64.

Every length is checked before anything is read: hostile bytes make wrong numbers or CORRUPTED, no reading outside.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset


cdef extern from "tslanes.h":
    enum:
        LANES
        DEEP
        MOST
        SHORT_BITS
    const double* POWERS
    double double_of(uint64_t bits) noexcept nogil
    uint64_t bits_from(double x) noexcept nogil
    int bits_of(uint64_t x) noexcept nogil
    uint32_t mask_of(int width) noexcept nogil
    int64_t nearest(double x) noexcept nogil
    int lanes_unpack(const uint32_t* packed, uint32_t* out, int width) noexcept nogil
    int lanes_pack(const uint32_t* values, uint32_t* packed, int width) noexcept nogil
    int lanes_add_up(uint32_t* values, const uint32_t* starts, uint32_t least) noexcept nogil
    int lanes_add_up_long(uint64_t* values, const uint64_t* starts, uint64_t least) noexcept nogil
    int lanes_doubles(const uint32_t* values, int64_t low, int exponent, double* scratch, void* out) noexcept nogil
    int lanes_longs(const uint32_t* values, uint64_t low, uint64_t factor, uint64_t* out) noexcept nogil
    int lanes_longs_long(const uint64_t* values, uint64_t low, uint64_t factor, uint64_t* out) noexcept nogil
    int lanes_spread(const uint64_t* values, uint64_t low, uint64_t* out) noexcept nogil
    int lanes_differences(const uint64_t* values, int64_t* out, int64_t* least, int64_t* greatest) noexcept nogil
    int decimals_of(const void* doubles, int n, int exponent, int64_t* decimals) noexcept nogil
    int range_of(const int64_t* values, int n, int64_t* low, int64_t* high, uint64_t* total) noexcept nogil
    int range_of_doubles(const void* doubles, int n, double* low, double* high, double* total) noexcept nogil

cdef extern from *:
    """
    typedef struct __attribute__((packed)) {
        uint64_t address;
        uint32_t length;
        uint16_t rows, present;
        uint8_t codec, flags;
        uint16_t spare;
        uint32_t more;
        uint64_t low, high, total, first, last;
    } ts_block; /* part.BLOCK_TYPE */
    """
    ctypedef struct ts_block:
        uint64_t address
        uint32_t length
        uint16_t rows
        uint16_t present
        uint8_t codec
        uint8_t flags
        uint16_t spare
        uint32_t more
        uint64_t low
        uint64_t high
        uint64_t total
        uint64_t first
        uint64_t last

cdef enum:  # codec = type * 16 + kind
    ABSENT = 0
    CONSTANT = 1
    FRAME = 2
    DELTA = 3
    LONG = 4
    DICTIONARY = 5
    RAW = 6
    REGULAR = 7
    RUNS = 8
    BITS = 9
    WORDS = 10  # texts: texts.py
    COLD = 11   # a part of a cold chunk: cold.py

cdef enum:
    DOUBLE = 0
    BIGINT = 1
    VARCHAR = 2
    BOOLEAN = 3
    TIMESTAMP = 4

cdef enum:
    FINE = 0
    CORRUPTED = 1

cdef enum:
    FLAG_NAN = 1
    FLAG_TOTAL = 2
    FLAG_SUMMARY = 4

cdef enum:
    RUN_BYTES = 18


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


cdef inline uint32_t more_of(int exponent, int width, int base, int start_bits, int count) noexcept nogil:
    return exponent | width << 4 | base << 11 | start_bits << 15 | <uint32_t>count << 22


cdef inline bint is_double(const ts_block* block) noexcept nogil:
    return block.codec >> 4 == DOUBLE


cdef inline Py_ssize_t bitmap_bytes(const ts_block* block) noexcept nogil:
    return (block.rows + 7) // 8 if block.present < block.rows else 0


cdef inline Py_ssize_t narrow_bytes(int n, int width) noexcept nogil:
    return n // DEEP * width * 8 + (n % DEEP * width + 7) // 8


cdef inline Py_ssize_t packed_bytes(int n, int width) noexcept nogil:
    return narrow_bytes(n, width) if width <= 32 else narrow_bytes(n, 32) + narrow_bytes(n, width - 32)


cdef inline uint64_t signed_at(const uint8_t* data, int size) noexcept nogil:
    """A signed little-endian number of 0 to 8 bytes."""
    cdef uint64_t x = 0
    if size == 0:
        return 0
    memcpy(&x, data, size)
    return <uint64_t>(<int64_t>(x << (64 - 8 * size)) >> (64 - 8 * size))


cdef inline int stream_out(const uint8_t* data, int count, int width, uint64_t* out) noexcept nogil:
    """count <= 64 numbers of `width` bits, 0 to 64, from (count * width + 7) // 8 bytes."""
    cdef uint64_t words[66]
    cdef uint64_t mask = ~<uint64_t>0 if width == 64 else (<uint64_t>1 << width) - 1, x
    cdef int i, bit = 0, shift
    if width == 0:
        memset(out, 0, count * 8)
        return 0
    words[(count * width + 7) // 64] = 0
    words[(count * width + 7) // 64 + 1] = 0
    memcpy(words, data, (count * width + 7) // 8)
    for i in range(count):
        shift = bit & 63
        x = words[bit >> 6] >> shift
        if shift + width > 64:
            x |= words[(bit >> 6) + 1] << (64 - shift)
        out[i] = x & mask
        bit += width
    return 0


cdef inline int stream_in(const uint64_t* values, int count, int width, uint8_t* out) noexcept nogil:
    """The inverse; no value has more bits. Returns the bytes written."""
    cdef uint64_t words[66]
    cdef int i, bit = 0, shift, size = (count * width + 7) // 8
    memset(words, 0, size + 16)
    if width:
        for i in range(count):
            shift = bit & 63
            words[bit >> 6] |= values[i] << shift
            if shift + width > 64:
                words[(bit >> 6) + 1] |= values[i] >> (64 - shift)
            bit += width
    memcpy(out, words, size)
    return size


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


cdef inline uint64_t step_of(const ts_block* block) noexcept nogil:
    """Of a REGULAR block."""
    if block.present < 2:
        return 0
    return <uint64_t>(<int64_t>(block.last - block.first) // (<int64_t>block.present - 1))


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
