"""Reading one posting list: the documents that hold a term, how often each does, and where.

A list of at most 128 documents is a row of varints:

    documents    for each: (step - 1) * 2 + (frequency is 1), then frequency - 2 where it is not; without frequencies
                 just step - 1. A step is the difference to the document before; there is a document -1 before the first
    positions    for each document: the first, then differences

A longer one has blocks of 128 documents, the last with fewer:

    head         positions at u64 | sum of frequencies u64 | data bytes u64 | pairs u8[8]               32 bytes
    headers      last document u32 | data at u32 | positions before u32 | width u8 | frequency width u8
                 | pairs used u8 | flags u8 | pairs u8[8]                                               24 bytes each
    groups       offset / 16 * 64 + width, u32 for each 128 positions: where they lie from `positions at` on
    data         for each block: steps - 1 packed (or a bitset of the documents after the last one of the block before,
                 flag 1), then frequencies - 1 packed

A pair (frequency u8, norm u8) is competitive: no other document of the block has a higher frequency and is as short.
At most four are kept; more are merged into pairs that are as good as any of the merged. Frequency 255 means 255 or
more. Pairs and not a highest score, since what a score is changes with every segment that comes or goes.

Nothing here believes a number that it reads: a List never reads outside the bytes of its Source, and the documents it
gives ascend strictly and are below `docs`, whatever the bytes say. Where they say something else, `broken` is set and
the list has come to its end; whoever runs over lists looks at `broken` when done.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from searchpack cimport GROUP, NONE, first_at_least, lowest, pack_rows, packed_at, unpack_ascending, unpack_group

cdef enum:
    SHORT = 128      # documents of a list without blocks
    HEAD = 32
    HEADER = 24
    BITSET = 1       # flag of a block
    PAIRS = 4


cdef packed struct Head:
    uint64_t positions_at
    uint64_t total
    uint64_t data_size
    uint8_t pairs[8]


cdef packed struct Header:
    uint32_t last
    uint32_t data_at
    uint32_t positions_before
    uint8_t width
    uint8_t frequency_width
    uint8_t pair_count
    uint8_t flags
    uint8_t pairs[8]


cdef struct Source:
    const uint8_t* blob
    uint64_t size              # of the blob
    uint64_t positions         # where the section of positions lies in it
    uint64_t positions_size
    const uint8_t* norms       # a byte for each document, or NULL
    uint32_t docs
    bint frequencies           # what the lists hold besides documents
    bint has_positions


cdef struct List:
    const Source* source
    const Header* headers      # NULL: a short list
    const uint8_t* groups
    const uint8_t* data
    uint64_t data_size
    uint64_t positions         # where its positions begin in their section
    const uint8_t* varints     # the positions of a short list, from document `group` on
    const uint8_t* varints_end
    uint64_t total             # positions
    uint32_t df
    uint32_t blocks
    const uint8_t* pairs       # of the whole list; NULL: look at the documents
    bint broken
    # the cursor
    uint32_t block             # blocks: at the end
    uint32_t before            # the last document of the block before
    uint32_t last
    int count                  # documents in the block
    int at                     # what a caller has reached in docs
    const uint8_t* packed      # frequencies of the block
    int frequency_width
    bint docs_ready
    bint frequencies_ready
    bint sums_ready
    uint32_t group             # the group of positions in `steps`; of a short list see varints
    uint32_t docs[128]
    uint32_t frequencies[128]
    uint32_t sums[129]         # positions of the block before each document
    uint32_t steps[128]


cdef inline bint varint32(const uint8_t** at, const uint8_t* end, uint32_t* value) noexcept nogil:
    """False where the bytes end too early or say more than 32 bits."""
    cdef uint32_t byte, result = 0
    cdef int shift = 0
    while at[0] < end:
        byte = at[0][0]
        at[0] += 1
        if shift == 28 and byte > 15:
            return False
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            value[0] = result
            return True
        shift += 7
    return False


cdef inline bint broken(List* l) noexcept nogil:
    """Always False: the answer of whoever found it."""
    l.broken = True
    l.block = l.blocks
    l.last = NONE
    l.count = 0
    return False


cdef inline void to_block(List* l, uint32_t block) noexcept nogil:
    """block may be l.blocks: the end."""
    l.block = block
    l.at = 0
    if block >= l.blocks:
        l.last = NONE
        l.count = 0
        return
    if l.headers == NULL:
        return
    l.before = l.headers[block - 1].last if block else NONE
    l.last = l.headers[block].last
    l.count = GROUP if block + 1 < l.blocks else <int>(l.df - GROUP * (l.blocks - 1))
    l.docs_ready = l.frequencies_ready = l.sums_ready = False


cdef inline bint open_list(List* l, const Source* source, uint32_t df, uint64_t start, uint64_t size) noexcept nogil:
    """The list of df documents in blob[start:start + size], at its first block."""
    cdef Head head
    cdef uint64_t groups
    cdef const uint8_t* at
    cdef const uint8_t* end
    cdef uint32_t value, reached = NONE, i
    l.source = source
    l.df = df
    l.broken = False
    l.headers = NULL
    l.pairs = NULL
    l.group = NONE
    l.blocks = 1
    l.block = 0
    l.before = NONE
    l.total = df
    if df == 0 or df > source.docs or start > source.size or size > source.size - start:
        return broken(l)
    at = source.blob + start
    end = at + size
    if df <= SHORT:
        for i in range(df):
            if not varint32(&at, end, &value):
                return broken(l)
            l.frequencies[i] = 1
            if source.frequencies:
                if not value & 1:
                    if not varint32(&at, end, &l.frequencies[i]) or l.frequencies[i] > <uint32_t>0x7FFFFFFF:
                        return broken(l)
                    l.frequencies[i] += 2
                value >>= 1
            if value >= source.docs or reached + value + 1 >= source.docs or reached + value + 1 < reached + 1:
                return broken(l)
            reached += value + 1
            l.docs[i] = reached
        l.varints = at
        l.varints_end = end
        l.group = 0
        l.last = reached
        l.count = <int>df
        l.at = 0
        l.docs_ready = l.frequencies_ready = True
        l.sums_ready = False
        return True
    l.blocks = (df + GROUP - 1) // GROUP
    if size < HEAD + <uint64_t>HEADER * l.blocks:
        return broken(l)
    memcpy(&head, at, HEAD)
    l.headers = <const Header*>(at + HEAD)
    l.groups = at + HEAD + HEADER * <uint64_t>l.blocks
    l.total = head.total
    groups = (head.total + GROUP - 1) // GROUP if source.has_positions else 0
    if head.total > NONE or head.data_size > size:
        return broken(l)
    if HEAD + HEADER * <uint64_t>l.blocks + 4 * groups + head.data_size > size:
        return broken(l)
    if source.has_positions and head.positions_at > source.positions_size:
        return broken(l)
    l.data = l.groups + 4 * groups
    l.data_size = head.data_size
    l.positions = head.positions_at
    l.pairs = at + 24
    to_block(l, 0)
    return True


cdef inline void rewind(List* l) noexcept nogil:
    """Stand at the beginning again; the positions of a short list are not read again from there."""
    if l.broken:
        return
    to_block(l, 0)
    if l.headers == NULL:
        l.count = <int>l.df
        l.last = l.docs[l.count - 1]


cdef inline bint seek_block(List* l, uint32_t doc) noexcept nogil:
    """Go on to the block that holds the first document from `doc` on; False where there is none."""
    cdef uint32_t low, high, step = 1, middle
    if l.last >= doc and l.block < l.blocks:
        return True
    if l.headers == NULL or l.block >= l.blocks:
        to_block(l, l.blocks)
        return False
    low = l.block  # its last document is below doc
    while low + step < l.blocks and l.headers[low + step].last < doc:
        low += step
        step <<= 1
    high = min(low + step, l.blocks)
    low += 1
    while low < high:
        middle = (low + high) >> 1
        if l.headers[middle].last < doc:
            low = middle + 1
        else:
            high = middle
    to_block(l, low)
    return low < l.blocks


cdef inline bint bitset_docs(List* l, const uint8_t* source, uint64_t words) noexcept nogil:
    cdef uint64_t i, word
    cdef int n = 0
    for i in range(words):
        memcpy(&word, source + 8 * i, 8)
        while word:
            if n == l.count:
                return broken(l)
            l.docs[n] = l.before + 1 + <uint32_t>(64 * i + lowest(word))
            n += 1
            word &= word - 1
    return n == l.count or broken(l)


cdef inline bint block_bytes(List* l, const uint8_t** docs, uint64_t* left) noexcept nogil:
    """Where the documents of the block lie; sets `packed` to its frequencies. False: outside of the list."""
    cdef const Header* header = &l.headers[l.block]
    cdef uint64_t size, more
    if header.last >= l.source.docs or header.last - l.before - 1 >= l.source.docs:  # also: it does not ascend
        return broken(l)
    if header.width > 32 or header.frequency_width > 31 or header.data_at > l.data_size:
        return broken(l)
    if header.flags & BITSET:
        size = (<uint64_t>(header.last - l.before) + 63) // 64 * 8
    else:
        size = 16 * pack_rows(l.count, header.width)
    more = 16 * pack_rows(l.count, header.frequency_width)
    left[0] = l.data_size - header.data_at
    if size + more > left[0]:
        return broken(l)
    docs[0] = l.data + header.data_at
    l.packed = docs[0] + size
    l.frequency_width = header.frequency_width
    return True


cdef inline bint need_docs(List* l) noexcept nogil:
    """Decode the documents of the block."""
    cdef const uint8_t* at
    cdef uint64_t left
    cdef uint8_t room[16 * 32]
    cdef int i
    cdef const Header* header
    if l.docs_ready:
        return True
    if l.block >= l.blocks or not block_bytes(l, &at, &left):
        return False
    header = &l.headers[l.block]
    if header.flags & BITSET:
        if not bitset_docs(l, at, (<uint64_t>(header.last - l.before) + 63) // 64):
            return False
    else:
        if 16 * <uint64_t>header.width > left:
            memcpy(room, at, left)
            at = room
        unpack_ascending(at, l.docs, header.width, l.before)
        if header.width > 24:  # only then the sum can pass 32 bits: there are fewer than 2 ** 31 documents
            if l.before != NONE and l.docs[0] <= l.before:
                return broken(l)
            for i in range(1, l.count):
                if l.docs[i] <= l.docs[i - 1]:
                    return broken(l)
    if l.docs[l.count - 1] != l.last:
        return broken(l)
    l.docs_ready = True
    return True


cdef inline bint need_frequencies(List* l) noexcept nogil:
    """Decode the frequencies of the block, whose documents are there."""
    cdef uint8_t room[16 * 32]
    cdef uint64_t left
    cdef const uint8_t* at
    cdef int i
    if l.frequencies_ready:
        return True
    at = l.packed
    left = <uint64_t>(l.data + l.data_size - at)
    if 16 * <uint64_t>l.frequency_width > left:
        memcpy(room, at, left)
        at = room
    unpack_group(at, l.frequencies, l.frequency_width)
    for i in range(GROUP):
        l.frequencies[i] += 1
    l.frequencies_ready = True
    return True


cdef inline uint32_t frequency_at(List* l, int i) noexcept nogil:
    """One frequency of a block whose documents are there."""
    if l.frequencies_ready:
        return l.frequencies[i]
    return packed_at(l.packed, i, l.frequency_width) + 1


cdef inline bint find(List* l, uint32_t doc) noexcept nogil:
    """Go on to `doc`: whether the list has it, then at l.at. Documents are asked for in ascending order."""
    if not seek_block(l, doc) or not need_docs(l):
        return False
    if l.docs[l.at] != doc:
        l.at = first_at_least(l.docs, l.at, l.count, doc)
    return l.docs[l.at] == doc  # seek_block: the last document of the block is not below doc


cdef inline bint need_sums(List* l) noexcept nogil:
    """How many positions the block has before each of its documents. Only where the source has positions."""
    cdef int i
    cdef uint64_t total = 0
    if l.sums_ready:
        return True
    if not need_frequencies(l):
        return False
    for i in range(l.count):
        l.sums[i] = <uint32_t>total
        total += l.frequencies[i]
        # a position of a short list takes a byte
        if total > (l.total if l.headers != NULL else <uint64_t>(l.varints_end - l.varints)):
            return broken(l)
    l.sums[l.count] = <uint32_t>total
    if l.headers != NULL and l.headers[l.block].positions_before + total > l.total:
        return broken(l)
    l.sums_ready = True
    return True


cdef inline bint need_group(List* l, uint32_t group) noexcept nogil:
    """Decode 128 positions of a list with blocks."""
    cdef uint32_t word
    cdef int width, count
    cdef uint64_t at, left
    cdef uint8_t room[16 * 32]
    if l.group == group:
        return True
    memcpy(&word, l.groups + 4 * <uint64_t>group, 4)
    width = word & 63
    count = <int>min(<uint64_t>GROUP, l.total - <uint64_t>GROUP * group)
    at = l.positions + <uint64_t>(word >> 6) * 16
    if width > 32 or at > l.source.positions_size:
        return broken(l)
    left = l.source.positions_size - at
    if 16 * <uint64_t>pack_rows(count, width) > left:
        return broken(l)
    if 16 * <uint64_t>width > left:
        memcpy(room, l.source.blob + l.source.positions + at, left)
        unpack_group(room, l.steps, width)
    else:
        unpack_group(l.source.blob + l.source.positions + at, l.steps, width)
    l.group = group
    return True


cdef inline bint skip_places(List* l, int i) noexcept nogil:
    """Go on to the positions of document i of a short list, which is not below the last one asked for."""
    cdef uint32_t _left, step
    while l.group < <uint32_t>i:
        for _left in range(l.frequencies[l.group]):
            if not varint32(&l.varints, l.varints_end, &step):
                return broken(l)
        l.group += 1
    return True
