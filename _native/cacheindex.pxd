"""The index of the cache's table: open addressing with linear probing, where to look for an entry.

    slot      tag u32 | entry u32         all ones: free

The tag is the mixed hash of the key; its top bits are the slot where the search begins. As it lies in the index,
nothing here ever looks at an entry. Removing shifts what follows back, so there are no tombstones, and an absent key is
found absent at the first free slot. At most half of the slots are taken: a search that succeeds looks at 1.5 of them.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

cdef extern from *:
    """
    #define CACHE_SLOT_FREE 0xFFFFFFFFFFFFFFFFULL
    #define CACHE_GOLDEN 0x9E3779B97F4A7C15ULL  /* 2 ** 64 / the golden ratio */
    """
    const uint64_t SLOT_FREE "CACHE_SLOT_FREE"
    const uint64_t GOLDEN "CACHE_GOLDEN"

cdef struct Index:
    uint64_t* slots
    uint32_t mask        # number of slots, a power of two, - 1
    uint32_t shift       # from a tag to its first slot


cdef inline uint32_t index_tag(uint64_t hash_value) noexcept nogil:
    """Fibonacci hashing: keys 1, 2, 3 ... lie far from each other."""
    return <uint32_t>((hash_value * GOLDEN) >> 32)


cdef inline bint index_is_full(Index* index, uint64_t count) noexcept nogil:
    """Whether so many entries are too many."""
    return count * 2 > <uint64_t>index.mask + 1


cdef inline void index_use(Index* index, uint64_t* slots, uint64_t count) noexcept nogil:
    """Take this memory for so many slots, a power of two."""
    index.slots = slots
    index.mask = <uint32_t>(count - 1)
    index.shift = 32
    while count > 1:
        count >>= 1
        index.shift -= 1


cdef inline void index_clear(Index* index) noexcept nogil:
    memset(index.slots, 0xFF, (<size_t>index.mask + 1) * sizeof(uint64_t))


cdef inline void index_add(Index* index, uint32_t tag, uint32_t entry) noexcept nogil:
    cdef uint32_t at = tag >> index.shift
    while index.slots[at] != SLOT_FREE:
        at = (at + 1) & index.mask
    index.slots[at] = <uint64_t>tag << 32 | entry


cdef inline void index_remove(Index* index, uint32_t tag, uint32_t entry) noexcept nogil:
    """Remove an entry that is there. What could have been stored further left, had it not been, moves there."""
    cdef uint32_t hole = tag >> index.shift, at, first
    cdef uint64_t slot
    while <uint32_t>index.slots[hole] != entry:
        hole = (hole + 1) & index.mask
    at = hole
    while True:
        at = (at + 1) & index.mask
        slot = index.slots[at]
        if slot == SLOT_FREE:
            break
        first = <uint32_t>(slot >> 32) >> index.shift
        if ((at - first) & index.mask) >= ((at - hole) & index.mask):
            index.slots[hole] = slot
            hole = at
    index.slots[hole] = SLOT_FREE
