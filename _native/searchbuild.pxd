"""Writing a dictionary: the inverse of searchdictionary.pxd, where the layout is drawn."""

from cpython.mem cimport PyMem_RawFree
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from buffers cimport Writer, put_byte, put_bytes, put_varint
from searchdictionary cimport BLOCK, MOST_BYTES, compare_bytes, key_of
from searchencode cimport room_for


cdef struct Builder:
    Writer keys
    Writer offsets
    Writer blocks
    uint32_t terms
    uint64_t list          # where the next list will lie
    uint32_t size          # of the term before
    uint8_t term[32768]


cdef inline void put_size(Writer* out, uint32_t beyond) noexcept nogil:
    if beyond >= 15:
        put_varint(out, beyond - 15)


cdef inline int add_term(Builder* b, const uint8_t* term, uint64_t size, uint32_t df, const uint8_t* single,
                         uint64_t length) noexcept nogil:
    """Append a term above all before. single: its list, where df is 1. 0, -1: no memory, -2: not above, -3: too long.
    """
    cdef uint64_t shared = 0, key, limit
    cdef uint32_t offset
    if size > MOST_BYTES or <uint64_t>b.blocks.used > <uint64_t>0xFFF00000 or b.terms == <uint32_t>-1:
        return -3
    if b.terms and compare_bytes(b.term, b.size, term, size) >= 0:
        return -2
    if not (room_for(&b.keys, 8) and room_for(&b.offsets, 8) and room_for(&b.blocks, size + length * (df == 1) + 64)):
        return -1
    if b.terms % BLOCK == 0:
        key = key_of(term, size)
        offset = <uint32_t>b.blocks.used
        put_bytes(&b.keys, &key, 8)
        put_bytes(&b.offsets, &offset, 4)
        put_varint(&b.blocks, b.list)
    else:
        limit = min(size, <uint64_t>b.size)
        while shared < limit and term[shared] == b.term[shared]:
            shared += 1
    put_byte(&b.blocks, <uint8_t>(min(shared, <uint64_t>15) << 4 | min(size - shared, <uint64_t>15)))
    put_size(&b.blocks, <uint32_t>shared)
    put_size(&b.blocks, <uint32_t>(size - shared))
    put_bytes(&b.blocks, term + shared, <Py_ssize_t>(size - shared))
    put_varint(&b.blocks, df)
    put_varint(&b.blocks, length)
    if df == 1:
        put_bytes(&b.blocks, single, <Py_ssize_t>length)
    else:
        b.list += length
    memcpy(b.term + shared, term + shared, size - shared)
    b.size = <uint32_t>size
    b.terms += 1
    return 0


cdef inline void free_builder(Builder* b) noexcept nogil:
    PyMem_RawFree(b.keys.heap)
    PyMem_RawFree(b.offsets.heap)
    PyMem_RawFree(b.blocks.heap)
    memset(b, 0, sizeof(Builder))
