"""Blocks of a time series: many encoded or decoded in one call. Their layout: tsblock.pxd; one block: tsencode.pxd.

Invariants: decode(encode(x)) has the bits of x; no decoding reads outside of a block, whatever its bytes say.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from tsblock cimport BITS, BOOLEAN, CONSTANT, FLAG_SUMMARY, MOST, RAW, bitmap_bytes, ts_block
from tsdecode cimport Scratch, numbers_of, presence_of
from tsencode cimport Room, write_bits, write_block, write_presence

cdef enum:
    SPARE = 64          # bytes that a block may take beyond its plain values


def room_for(Py_ssize_t rows, Py_ssize_t blocks):
    """Bytes that encoding never exceeds."""
    return rows * 8 + rows // 8 + blocks * SPARE + 8


cdef bint good_cuts(const int64_t[::1] cuts, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t i
    if cuts.shape[0] == 0 or cuts[0] < 0 or cuts[cuts.shape[0] - 1] > rows:
        return False
    for i in range(1, cuts.shape[0]):
        if cuts[i] < cuts[i - 1] or cuts[i] - cuts[i - 1] > MOST:
            return False
    return True


def encode_numbers(int type, const uint64_t[::1] data not None, const int64_t[::1] cuts not None,
                   const uint8_t[::1] valid, uint8_t[::1] blocks not None, uint8_t[::1] out not None):
    """Encode rows cuts[i]:cuts[i + 1] as block i; data as bits. Returns the bytes written to out (room_for of them)."""
    cdef Py_ssize_t count = cuts.shape[0] - 1, i, at = 0, start, size, rows = data.shape[0], row
    cdef Room room
    cdef ts_block* block
    cdef const uint8_t* present
    cdef int n
    if not good_cuts(cuts, rows) or (valid is not None and valid.shape[0] != rows):
        raise ValueError("cuts must rise in steps of at most 1,024 within the rows, and valid have one byte a row")
    if (blocks.shape[0] != count * <Py_ssize_t>sizeof(ts_block) or not 0 <= type <= 15
            or out.shape[0] < room_for(cuts[count] - cuts[0], count)):
        raise ValueError("there is no room for these blocks")
    if count == 0:
        return 0
    with nogil:
        room.exponent = 0
        for i in range(count):
            block = <ts_block*>&blocks[0] + i
            memset(block, 0, sizeof(ts_block))
            start = cuts[i]
            block.rows = <uint16_t>(cuts[i + 1] - start)
            block.address = at
            block.codec = <uint8_t>(type << 4)
            if block.rows == 0:
                continue
            present = NULL if valid is None else &valid[start]
            size = write_presence(block, present, &out[at])
            n = block.present
            if n == 0:
                continue
            if n == block.rows:
                memcpy(room.values, &data[start], n * 8)
            else:
                n = 0
                for row in range(block.rows):
                    room.values[n] = data[start + row]
                    n += present[row] != 0
            n = block.present
            size += write_block(block, &room, n, type, &out[at + size])
            block.present = <uint16_t>n
            block.length = <uint32_t>size
            at += size
    return at


def encode_raw(int type, const uint64_t[::1] data not None, const int64_t[::1] cuts not None,
               const uint8_t[::1] valid, uint8_t[::1] blocks not None, uint8_t[::1] out not None):
    """The same without any encoding or summary but first and last. Without valid, out is not written: data serves."""
    cdef Py_ssize_t count = cuts.shape[0] - 1, i, at = 0, start, rows = data.shape[0], row
    cdef ts_block* block
    if not good_cuts(cuts, rows) or (valid is not None and valid.shape[0] != rows):
        raise ValueError("cuts must rise in steps of at most 1,024 within the rows, and valid have one byte a row")
    if blocks.shape[0] != count * <Py_ssize_t>sizeof(ts_block) or not 0 <= type <= 15 or (
            valid is not None and out.shape[0] < room_for(cuts[count] - cuts[0], count)):
        raise ValueError("there is no room for these blocks")
    if count == 0:
        return 0
    with nogil:
        for i in range(count):
            block = <ts_block*>&blocks[0] + i
            memset(block, 0, sizeof(ts_block))
            start = cuts[i]
            block.rows = <uint16_t>(cuts[i + 1] - start)
            block.codec = <uint8_t>(type << 4)
            block.flags = FLAG_SUMMARY
            if block.rows == 0:
                continue
            if valid is None:
                block.present = block.rows
                block.address = start * 8
                block.length = <uint32_t>block.rows * 8
                block.first = data[start]
                block.last = data[start + block.rows - 1]
            else:
                block.address = at
                at += write_presence(block, &valid[start], &out[at])
                if block.present == 0:
                    continue
                for row in range(block.rows):
                    if valid[start + row]:
                        block.last = data[start + row]
                        if at == <Py_ssize_t>block.address + bitmap_bytes(block):
                            block.first = block.last
                        memcpy(&out[at], &block.last, 8)
                        at += 8
                block.length = <uint32_t>(at - block.address)
            block.codec |= RAW
    return at


def encode_booleans(const uint8_t[::1] data not None, const int64_t[::1] cuts not None, const uint8_t[::1] valid,
                    uint8_t[::1] blocks not None, uint8_t[::1] out not None):
    """The same of BOOLEAN: a byte a row."""
    cdef Py_ssize_t count = cuts.shape[0] - 1, i, at = 0, start, size, rows = data.shape[0], row
    cdef uint8_t values[MOST]
    cdef ts_block* block
    cdef const uint8_t* present
    cdef int n
    if not good_cuts(cuts, rows) or (valid is not None and valid.shape[0] != rows):
        raise ValueError("cuts must rise in steps of at most 1,024 within the rows, and valid have one byte a row")
    if (blocks.shape[0] != count * <Py_ssize_t>sizeof(ts_block)
            or out.shape[0] < room_for(cuts[count] - cuts[0], count)):
        raise ValueError("there is no room for these blocks")
    if count == 0:
        return 0
    with nogil:
        for i in range(count):
            block = <ts_block*>&blocks[0] + i
            memset(block, 0, sizeof(ts_block))
            start = cuts[i]
            block.rows = <uint16_t>(cuts[i + 1] - start)
            block.address = at
            block.codec = BOOLEAN << 4
            if block.rows == 0:
                continue
            present = NULL if valid is None else &valid[start]
            size = write_presence(block, present, &out[at])
            if block.present == 0:
                continue
            n = 0
            for row in range(block.rows):
                values[n] = data[start + row]
                n += present == NULL or present[row] != 0
            size += write_bits(block, values, block.present, &out[at + size])
            block.length = <uint32_t>size
            at += size
    return at


def decode_numbers(const uint8_t[::1] blocks not None, uint64_t[::1] out not None, uint8_t[::1] valid):
    """Decode blocks one after the other into out, one item a row, and into valid, if there is one; 0 where absent.

    Returns the first block that is damaged, or -1.
    """
    cdef Py_ssize_t count = blocks.shape[0] // <Py_ssize_t>sizeof(ts_block), i, at = 0, rows = 0, row, value
    cdef const ts_block* first = <const ts_block*>&blocks[0] if blocks.shape[0] else NULL
    cdef const ts_block* block
    cdef Scratch scratch
    cdef uint8_t presence[MOST]
    cdef Py_ssize_t damaged = -1
    for i in range(count):
        rows += first[i].rows
    if blocks.shape[0] % sizeof(ts_block) or out.shape[0] != rows or (valid is not None and valid.shape[0] != rows):
        raise ValueError("the blocks hold another number of rows than out")
    if rows == 0:
        return -1
    with nogil:
        for i in range(count):
            block = &first[i]
            if block.rows == 0:
                continue
            if block.rows > MOST or numbers_of(block, &scratch):
                damaged = i
                break
            if block.present == block.rows:
                memcpy(&out[at], scratch.values, block.rows * 8)
                if valid is not None:
                    memset(&valid[at], 1, block.rows)
            else:
                if presence_of(block, presence):
                    damaged = i
                    break
                value = 0
                for row in range(block.rows):
                    out[at + row] = scratch.values[value] if presence[row] else 0
                    value += presence[row]
                if valid is not None:
                    memcpy(&valid[at], presence, block.rows)
            at += block.rows
    return damaged


def decode_booleans(const uint8_t[::1] blocks not None, uint8_t[::1] out not None, uint8_t[::1] valid):
    """The same of BOOLEAN: a byte a row."""
    cdef Py_ssize_t count = blocks.shape[0] // <Py_ssize_t>sizeof(ts_block), i, at = 0, rows = 0, row, value
    cdef const ts_block* first = <const ts_block*>&blocks[0] if blocks.shape[0] else NULL
    cdef const ts_block* block
    cdef const uint8_t* data
    cdef uint8_t presence[MOST]
    cdef Py_ssize_t damaged = -1
    cdef int kind
    for i in range(count):
        rows += first[i].rows
    if blocks.shape[0] % sizeof(ts_block) or out.shape[0] != rows or (valid is not None and valid.shape[0] != rows):
        raise ValueError("the blocks hold another number of rows than out")
    if rows == 0:
        return -1
    with nogil:
        for i in range(count):
            block = &first[i]
            kind = block.codec & 15
            if block.rows == 0:
                continue
            if block.rows > MOST or block.present > block.rows or presence_of(block, presence):
                damaged = i
                break
            if block.present:
                if block.length != bitmap_bytes(block) + ((block.present + 7) // 8 if kind == BITS else 0):
                    damaged = i
                    break
            data = <const uint8_t*><size_t>block.address + bitmap_bytes(block)
            value = 0
            for row in range(block.rows):
                if not presence[row]:
                    out[at + row] = 0
                elif kind == CONSTANT:
                    out[at + row] = block.first != 0
                elif kind == BITS:
                    out[at + row] = data[value >> 3] >> (value & 7) & 1
                else:
                    damaged = i
                value += presence[row]
            if damaged >= 0:
                break
            if valid is not None:
                memcpy(&valid[at], presence, block.rows)
            at += block.rows
    return damaged
