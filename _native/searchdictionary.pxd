"""The sorted terms of a field, front-coded in blocks of 32, and for each where its posting list lies.

    section   terms u32 | blocks u32 | spare u64 | keys u64[blocks] | offsets u32[blocks + 1] | blocks
    key       the first 8 bytes of a block's first term, as a big-endian number: blocks are found by comparing numbers
    block     where its first list lies in the section of lists, varint | up to 32 entries
    entry     sizes u8 | (shared varint) | (more varint) | the rest of the term | df varint | bytes varint | (the list)

sizes holds in its upper half how many bytes the term shares with the one before it in the block, in its lower half how
many follow; 15 means that a varint says how many beyond 15. Lists lie one after the other, so `bytes` says where each
begins. A list of a single document stands in the entry itself: half of all terms are of that kind.

Nothing is believed: no address outside of the section is read, terms are at most MOST_BYTES long, and a list's bytes
are inside of the blob. That terms ascend is not checked; where they do not, words are not found, and no more.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from searchlist cimport varint32

cdef enum:
    BLOCK = 32
    MOST_BYTES = 32766
    DICTIONARY_HEAD = 16


cdef struct Dictionary:
    const uint8_t* blob
    uint64_t size             # of the blob
    uint64_t lists            # where the section of lists lies in it
    uint64_t lists_size
    uint32_t terms
    uint32_t blocks
    const uint64_t* keys
    const uint32_t* offsets
    const uint8_t* data       # blocks
    uint64_t data_size


cdef struct Walk:
    const Dictionary* dictionary
    uint32_t block
    uint32_t index            # of the next entry in the block
    uint32_t count            # entries of the block
    const uint8_t* at
    const uint8_t* end
    uint64_t list             # where the next list lies in the section of lists
    bint broken
    # the entry
    uint32_t shared
    uint32_t size
    uint32_t df
    uint64_t start            # its list in the blob
    uint64_t length
    uint8_t term[32768]


cdef inline bint open_dictionary(Dictionary* d, const uint8_t* blob, uint64_t size, uint64_t start, uint64_t length,
                                 uint64_t lists, uint64_t lists_size) noexcept nogil:
    """False where the sections do not fit into the blob, or the head not into the section. start: a multiple of 8."""
    cdef uint64_t before
    d.blob, d.size, d.lists, d.lists_size = blob, size, lists, lists_size
    if start > size or length > size - start or lists > size or lists_size > size - lists:
        return False
    if length < DICTIONARY_HEAD or <uint64_t>(blob + start) & 7:
        return False
    memcpy(&d.terms, blob + start, 4)
    memcpy(&d.blocks, blob + start + 4, 4)
    before = DICTIONARY_HEAD + 12 * <uint64_t>d.blocks + 4
    if d.blocks != (<uint64_t>d.terms + BLOCK - 1) // BLOCK or before > length:
        return False
    d.keys = <const uint64_t*>(blob + start + DICTIONARY_HEAD)
    d.offsets = <const uint32_t*>(d.keys + d.blocks)
    d.data = blob + start + before
    d.data_size = length - before
    return True


cdef inline bint varint64(const uint8_t** at, const uint8_t* end, uint64_t* value) noexcept nogil:
    cdef uint64_t byte
    cdef int shift = 0
    value[0] = 0
    while at[0] < end and shift < 63:
        byte = at[0][0]
        at[0] += 1
        value[0] |= (byte & 0x7F) << shift
        if byte < 0x80:
            return True
        shift += 7
    return False


cdef inline bint open_block(const Dictionary* d, uint32_t block, const uint8_t** at, const uint8_t** end,
                            uint64_t* list) noexcept nogil:
    cdef uint32_t first = d.offsets[block], last = d.offsets[block + 1]
    if first > last or last > d.data_size:
        return False
    at[0] = d.data + first
    end[0] = d.data + last
    return varint64(at, end[0], list)


cdef inline bint entry_sizes(const uint8_t** at, const uint8_t* end, uint32_t* shared, uint32_t* more) noexcept nogil:
    """How long an entry's term is; at moves to the rest of the term, which lies before end."""
    cdef uint32_t value
    if at[0] >= end:
        return False
    shared[0], more[0] = at[0][0] >> 4, at[0][0] & 15
    at[0] += 1
    if shared[0] == 15:
        if not varint32(at, end, &value) or value > MOST_BYTES:
            return False
        shared[0] += value
    if more[0] == 15:
        if not varint32(at, end, &value) or value > MOST_BYTES:
            return False
        more[0] += value
    return more[0] <= end - at[0]


cdef inline bint entry_list(const Dictionary* d, const uint8_t** at, const uint8_t* end, uint64_t* list, uint32_t* df,
                            uint64_t* start, uint64_t* length) noexcept nogil:
    """What follows the term of an entry; at moves to the next entry, list to the next list."""
    if not varint32(at, end, df) or df[0] == 0 or not varint64(at, end, length):
        return False
    if df[0] == 1:
        if length[0] > <uint64_t>(end - at[0]):
            return False
        start[0] = <uint64_t>(at[0] - d.blob)
        at[0] += length[0]
        return True
    if list[0] > d.lists_size or length[0] > d.lists_size - list[0]:
        return False
    start[0] = d.lists + list[0]
    list[0] += length[0]
    return True


cdef inline uint64_t key_of(const uint8_t* term, uint64_t size) noexcept nogil:
    cdef uint64_t key = 0
    cdef int i
    for i in range(8):
        key = key << 8 | (term[i] if <uint64_t>i < size else 0)
    return key


cdef inline int compare_bytes(const uint8_t* a, uint64_t m, const uint8_t* b, uint64_t n) noexcept nogil:
    cdef int order = memcmp(a, b, min(m, n))
    return order if order else (m > n) - (m < n)


cdef inline uint32_t block_of(const Dictionary* d, const uint8_t* term, uint64_t size) noexcept nogil:
    """The last block whose first term is not above `term`; 0 where all are."""
    cdef uint32_t low = 0, high = d.blocks, middle, shared, more
    cdef uint64_t key = key_of(term, size), list
    cdef const uint8_t* at
    cdef const uint8_t* end
    cdef bint above
    while low < high:
        middle = (low + high) >> 1
        if d.keys[middle] != key:
            above = d.keys[middle] > key
        else:
            above = (not open_block(d, middle, &at, &end, &list) or not entry_sizes(&at, end, &shared, &more)
                     or compare_bytes(at, more, term, size) > 0)
        if above:
            high = middle
        else:
            low = middle + 1
    return low - 1 if low else 0


cdef inline int find_term(const Dictionary* d, const uint8_t* term, uint64_t size, uint32_t* ordinal, uint32_t* df,
                          uint64_t* start, uint64_t* length) noexcept nogil:
    """1: found. 0: not there; ordinal then is that of the first term above. -1: the bytes make no sense."""
    cdef const uint8_t* at
    cdef const uint8_t* end
    cdef uint64_t list, same = 0, known
    cdef uint32_t block, shared, more, i, count
    ordinal[0] = 0
    if d.blocks == 0:
        return 0
    block = block_of(d, term, size)
    if not open_block(d, block, &at, &end, &list):
        return -1
    count = min(<uint32_t>BLOCK, d.terms - BLOCK * block)
    for i in range(count):
        ordinal[0] = BLOCK * block + i
        if not entry_sizes(&at, end, &shared, &more):
            return -1
        if shared < same:  # it leaves the common path where the word still agreed with the term before: it is above
            return 0
        if shared == same:
            known = 0
            while known < more and same < size and at[known] == term[same]:
                known += 1
                same += 1
            if same == size and known == more:
                at += more
                return 1 if entry_list(d, &at, end, &list, df, start, length) else -1
            if known < more and (same == size or at[known] > term[same]):
                return 0
        at += more
        if not entry_list(d, &at, end, &list, df, start, length):
            return -1
    ordinal[0] = BLOCK * block + count
    return 0


cdef inline bint go_to(Walk* w, uint32_t block) noexcept nogil:
    """Stand before the first entry of a block; False at the end, and where bytes are broken."""
    w.block = block
    w.index = w.count = w.size = 0
    if block >= w.dictionary.blocks:
        return False
    if not open_block(w.dictionary, block, &w.at, &w.end, &w.list):
        w.broken = True
        return False
    w.count = min(<uint32_t>BLOCK, w.dictionary.terms - BLOCK * block)
    return True


cdef inline bint next_entry(Walk* w) noexcept nogil:
    """Read the next entry, of the next block where this one has no more."""
    cdef uint32_t more
    if w.broken or (w.index == w.count and not go_to(w, w.block + 1)):
        return False
    if (not entry_sizes(&w.at, w.end, &w.shared, &more) or w.shared > w.size or w.shared + more > MOST_BYTES):
        w.broken = True
        return False
    memcpy(w.term + w.shared, w.at, more)
    w.size = w.shared + more
    w.at += more
    if not entry_list(w.dictionary, &w.at, w.end, &w.list, &w.df, &w.start, &w.length):
        w.broken = True
        return False
    w.index += 1
    return True


cdef inline uint32_t ordinal_of(const Walk* w) noexcept nogil:
    """Of the entry read last."""
    return BLOCK * w.block + w.index - 1


cdef inline bint stand_before(Walk* w, const Dictionary* d, uint32_t ordinal) noexcept nogil:
    """So that next_entry reads this one, if there is one."""
    w.dictionary = d
    w.broken = False
    if not go_to(w, ordinal // BLOCK):
        return False
    while w.index < ordinal % BLOCK and w.index < w.count:
        if not next_entry(w):
            return False
    return True
