"""Writing posting lists: the inverse of searchlist.pxd, where the layout is drawn."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from buffers cimport Writer, put_bytes, put_varint
from searchlist cimport BITSET, HEAD, HEADER, PAIRS, SHORT, Head, Header
from searchpack cimport GROUP, NONE, bit_width, pack_group, pack_rows

cdef enum:
    NO_MEMORY = -1
    NOT_ASCENDING = -2
    TOO_LONG = -3


cdef struct Encoder:
    Writer singles         # lists of one document: they go into the dictionary
    Writer lists
    Writer positions
    const uint8_t* norms   # a byte for each document, or NULL
    uint32_t docs
    bint frequencies
    bint has_positions


cdef struct Pairs:
    int count
    uint8_t frequency[132]
    uint8_t norm[132]


cdef inline bint room_for(Writer* out, uint64_t more) noexcept nogil:
    """Make room without the GIL; False: no memory. The Writer owns its bytes from the start."""
    cdef uint64_t room
    cdef uint8_t* moved
    if <uint64_t>(out.room - out.used) >= more:
        return True
    room = 2 * <uint64_t>out.room + more + 256
    moved = <uint8_t*>PyMem_RawRealloc(out.heap, room)
    if moved == NULL:
        return False
    out.heap = out.start = moved
    out.room = <Py_ssize_t>room
    return True


cdef inline void compete(Pairs* pairs, uint32_t frequency, uint8_t norm) noexcept nogil:
    """Add a document to those that no other one beats."""
    cdef uint8_t capped = <uint8_t>min(frequency, <uint32_t>255)
    cdef int i = 0, kept = 0
    for i in range(pairs.count):
        if pairs.frequency[i] >= capped and pairs.norm[i] <= norm:
            return
    for i in range(pairs.count):
        if pairs.frequency[i] > capped or pairs.norm[i] < norm:
            pairs.frequency[kept] = pairs.frequency[i]
            pairs.norm[kept] = pairs.norm[i]
            kept += 1
    pairs.frequency[kept] = capped
    pairs.norm[kept] = norm
    pairs.count = kept + 1


cdef inline void keep_few(Pairs* pairs) noexcept nogil:
    """Merge neighbours, by ascending norm, until four are left."""
    cdef int i, j, best, loss, least
    cdef uint8_t frequency, norm
    for i in range(1, pairs.count):
        frequency, norm = pairs.frequency[i], pairs.norm[i]
        j = i
        while j > 0 and pairs.norm[j - 1] > norm:
            pairs.frequency[j], pairs.norm[j] = pairs.frequency[j - 1], pairs.norm[j - 1]
            j -= 1
        pairs.frequency[j], pairs.norm[j] = frequency, norm
    while pairs.count > PAIRS:
        best, least = 0, 1 << 30
        for i in range(pairs.count - 1):
            loss = ((<int>pairs.frequency[i + 1] - pairs.frequency[i]) * 16 // (<int>pairs.frequency[i] + 1)
                    + (<int>pairs.norm[i + 1] - pairs.norm[i]))
            if loss < least:
                best, least = i, loss
        pairs.frequency[best] = pairs.frequency[best + 1]  # of both the higher frequency and the shorter document
        for i in range(best + 1, pairs.count - 1):
            pairs.frequency[i], pairs.norm[i] = pairs.frequency[i + 1], pairs.norm[i + 1]
        pairs.count -= 1


cdef inline void put_pairs(Pairs* pairs, uint8_t* to) noexcept nogil:
    """The rest is filled up with the last pair, so that a reader may look at four."""
    cdef int i, j
    for i in range(PAIRS):
        j = min(i, pairs.count - 1)
        to[2 * i] = pairs.frequency[j]
        to[2 * i + 1] = pairs.norm[j]


cdef inline int encode_short(Encoder* e, const uint32_t* docs, const uint32_t* frequencies, const uint32_t* positions,
                             uint32_t df, uint64_t total, uint64_t* size) noexcept nogil:
    cdef Writer* out = &e.singles if df == 1 else &e.lists
    cdef Py_ssize_t start = out.used
    cdef uint32_t i, _k, step, before = NONE, place
    cdef uint64_t at = 0
    if not room_for(out, 10 * <uint64_t>df + 5 * total):
        return NO_MEMORY
    for i in range(df):
        step = docs[i] - before - 1
        before = docs[i]
        if not e.frequencies:
            put_varint(out, step)
        elif frequencies[i] == 1:
            put_varint(out, 2 * <uint64_t>step + 1)
        else:
            put_varint(out, 2 * <uint64_t>step)
            put_varint(out, frequencies[i] - 2)
    if e.has_positions:
        for i in range(df):
            place = 0
            for _k in range(frequencies[i]):
                if positions[at] < place:
                    return NOT_ASCENDING
                put_varint(out, positions[at] - place)
                place = positions[at]
                at += 1
    size[0] = <uint64_t>(out.used - start)
    return 0


cdef inline int encode_positions(Encoder* e, const uint32_t* frequencies, const uint32_t* positions, uint32_t df,
                                 uint64_t total, uint8_t* groups) noexcept nogil:
    """Groups of 128 differences; groups: where to say, for each, where it lies."""
    cdef Writer* out = &e.positions
    cdef Py_ssize_t start = out.used
    cdef uint32_t steps[128]
    cdef uint32_t i, _k, word, place, all_bits = 0
    cdef int n = 0, width
    cdef uint64_t at = 0
    for i in range(df):
        place = 0
        for _k in range(frequencies[i]):
            if positions[at] < place:
                return NOT_ASCENDING
            steps[n] = positions[at] - place
            all_bits |= steps[n]
            place = positions[at]
            at += 1
            n += 1
            if n == GROUP or at == total:
                width = bit_width(all_bits)
                if (out.used - start) >> 4 >= 1 << 26:
                    return TOO_LONG
                if not room_for(out, 512):
                    return NO_MEMORY
                word = <uint32_t>((out.used - start) >> 4 << 6) | width
                memcpy(groups, &word, 4)
                groups += 4
                pack_group(steps, n, width, out.start + out.used)
                out.used += 16 * pack_rows(n, width)
                n = 0
                all_bits = 0
    return 0


cdef inline int encode_long(Encoder* e, const uint32_t* docs, const uint32_t* frequencies, const uint32_t* positions,
                            uint32_t df, uint64_t total, uint64_t* size) noexcept nogil:
    cdef Writer* out = &e.lists
    cdef Py_ssize_t start = out.used, data
    cdef uint32_t blocks = (df + GROUP - 1) // GROUP, block, before = NONE, step_bits, frequency_bits, i, doc
    cdef uint64_t groups = (total + GROUP - 1) // GROUP if e.has_positions else 0, positions_before = 0, words
    cdef uint32_t steps[128]
    cdef uint32_t more[128]
    cdef Pairs pairs
    cdef Pairs best
    cdef Head head
    cdef Header header
    cdef int n, k, code
    cdef uint8_t* bits
    if total > NONE:
        return TOO_LONG
    if not room_for(out, HEAD + <uint64_t>(HEADER + 1024) * blocks + 4 * groups):
        return NO_MEMORY
    best.count = 0
    data = start + HEAD + <Py_ssize_t>HEADER * blocks + 4 * <Py_ssize_t>groups
    out.used = data
    head.positions_at = <uint64_t>e.positions.used
    head.total = total
    for block in range(blocks):
        n = <int>min(<uint32_t>GROUP, df - GROUP * block)
        header.data_at = <uint32_t>(out.used - data)
        header.positions_before = <uint32_t>positions_before
        if out.used - data > <Py_ssize_t>NONE:
            return TOO_LONG
        step_bits = frequency_bits = 0
        pairs.count = 0
        header.last = before
        for k in range(n):
            i = GROUP * block + k
            doc = docs[i]
            steps[k] = doc - header.last - 1
            header.last = doc
            step_bits |= steps[k]
            more[k] = frequencies[i] - 1 if e.frequencies else 0
            frequency_bits |= more[k]
            positions_before += <uint64_t>more[k] + 1
            compete(&pairs, more[k] + 1, e.norms[doc] if e.norms != NULL else 0)
        header.width = <uint8_t>bit_width(step_bits)
        header.frequency_width = <uint8_t>bit_width(frequency_bits)
        header.flags = 0
        for k in range(pairs.count):
            compete(&best, pairs.frequency[k], pairs.norm[k])
            if best.count > 128:
                keep_few(&best)
        header.pair_count = <uint8_t>min(pairs.count, PAIRS)
        keep_few(&pairs)
        put_pairs(&pairs, header.pairs)
        words = (<uint64_t>(header.last - before) + 63) // 64
        if 8 * words < <uint64_t>(16 * pack_rows(n, header.width)):
            header.flags = BITSET
            bits = out.start + out.used
            memset(bits, 0, 8 * words)
            for k in range(n):
                doc = docs[GROUP * block + k] - before - 1
                bits[doc >> 3] |= 1 << (doc & 7)
            out.used += 8 * <Py_ssize_t>words
        else:
            pack_group(steps, n, header.width, out.start + out.used)
            out.used += 16 * pack_rows(n, header.width)
        pack_group(more, n, header.frequency_width, out.start + out.used)
        out.used += 16 * pack_rows(n, header.frequency_width)
        memcpy(out.start + start + HEAD + HEADER * <Py_ssize_t>block, &header, HEADER)
        before = header.last
    keep_few(&best)
    put_pairs(&best, head.pairs)
    head.data_size = <uint64_t>(out.used - data)
    memcpy(out.start + start, &head, HEAD)
    if e.has_positions:
        code = encode_positions(e, frequencies, positions, df, total,
                                out.start + start + HEAD + HEADER * <Py_ssize_t>blocks)
        if code:
            return code
    size[0] = <uint64_t>(out.used - start)
    return 0


cdef inline int encode_list(Encoder* e, const uint32_t* docs, const uint32_t* frequencies, const uint32_t* positions,
                            uint32_t df, uint64_t total, uint64_t* size) noexcept nogil:
    """Append a list of df documents with `total` positions; size: bytes in singles (df is 1) or in lists.

    Returns 0 or one of the codes above. Documents must ascend, frequencies be 1 or more and add up to total (where
    there are any), and positions not descend within a document: all but the sum is checked here.
    """
    cdef uint32_t i, before = NONE
    for i in range(df):
        if docs[i] >= e.docs or (i and docs[i] <= before) or (e.frequencies and not 0 < frequencies[i] <= 0x7FFFFFFF):
            return NOT_ASCENDING
        before = docs[i]
    if df <= SHORT:
        return encode_short(e, docs, frequencies, positions, df, total, size)
    return encode_long(e, docs, frequencies, positions, df, total, size)


cdef inline void free_encoder(Encoder* e) noexcept nogil:
    PyMem_RawFree(e.singles.heap)
    PyMem_RawFree(e.lists.heap)
    PyMem_RawFree(e.positions.heap)
    memset(e, 0, sizeof(Encoder))
