"""Blocks of a time series as kernels know them. See engines/timeseries/codec.py; tsencode.pxd and tsdecode.pxd.

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


cdef inline uint64_t step_of(const ts_block* block) noexcept nogil:
    """Of a REGULAR block."""
    if block.present < 2:
        return 0
    return <uint64_t>(<int64_t>(block.last - block.first) // (<int64_t>block.present - 1))
