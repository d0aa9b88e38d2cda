"""Posting lists and their dictionary: written from sorted postings, read back, merged.

    FieldWriter   terms with their lists, in byte order -> dictionary, lists, positions: three sections of a segment
    FieldReader   the sections of one field of one segment; gives lists as arrays, and is what a merge reads

Layouts: searchlist.pxd (a list), searchdictionary.pxd (terms). What searches does not come here: searchtopk.pyx runs
over the same lists without ever making arrays of them.

A merge walks all dictionaries at once, in byte order, and for each term decodes the lists one after the other, maps
their documents to the new numbers (the map says NONE for a deleted one) and encodes the result. The new numbers of a
source must be above those of the sources before it, so the lists only have to be put end to end. Memory is that of the
longest list and of the result.

Invariants: reading gives what was written; a merge equals writing what its sources hold; bytes that are no list make a
ValueError or wrong numbers, but nothing outside of them is read.
"""

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from buffers cimport Writer
from searchbuild cimport Builder, add_term, free_builder
from searchdictionary cimport Dictionary, Walk, compare_bytes, next_entry, open_dictionary, stand_before
from searchencode cimport Encoder, encode_list, free_encoder
from searchlist cimport (
    List,
    Source,
    need_docs,
    need_frequencies,
    need_group,
    need_sums,
    open_list,
    to_block,
    varint32,
)
from searchpack cimport GROUP, NONE

cdef uint8_t NO_BYTES[1]  # what an empty buffer points to


cdef inline const uint8_t* bytes_of(const uint8_t[::1] view) noexcept:
    return &view[0] if view.shape[0] else NO_BYTES


cdef int failed(int code) except -1:
    if code == -1:
        raise MemoryError
    if code == -2:
        raise ValueError("terms and documents must ascend, positions must not descend, frequencies must be at least 1")
    raise OverflowError("a segment cannot hold lists or dictionaries of more than 4 GB, nor terms over 32,766 bytes")


cdef bytes taken(Writer* out):
    return out.start[:out.used] if out.used else b""


# --- reading ---


@cython.final
@cython.auto_pickle(False)
cdef class FieldReader:
    """The lists of one field. positions: where that section lies in the blob, as (start, size); None: there is none.

    dictionary and lists likewise; both are only needed for a merge. The blob and the norms are not copied.
    """

    cdef Source source
    cdef Dictionary dictionary
    cdef Walk* walk
    cdef const uint8_t[::1] blob
    cdef const uint8_t[::1] norms

    def __cinit__(self, const uint8_t[::1] blob not None, uint32_t docs, const uint8_t[::1] norms, bint frequencies,
                  positions=None, dictionary=None, lists=None):
        self.walk = NULL
        if docs >= <uint32_t>1 << 31 or (norms is not None and norms.shape[0] != docs):
            raise ValueError("norms must have one byte for each document, of which there are fewer than 2 ** 31")
        self.blob, self.norms = blob, norms
        self.source.blob = bytes_of(blob)
        self.source.size = <uint64_t>blob.shape[0]
        self.source.docs = docs
        self.source.frequencies = frequencies
        self.source.has_positions = positions is not None
        self.source.norms = NULL
        if norms is not None and docs:
            self.source.norms = &norms[0]
        if positions is not None:
            self.source.positions, self.source.positions_size = positions
            if not frequencies or self.source.positions > self.source.size or (
                    self.source.positions_size > self.source.size - self.source.positions):
                raise ValueError("the section of positions lies outside of the segment")
        if dictionary is not None and not open_dictionary(&self.dictionary, self.source.blob, self.source.size,
                                                          dictionary[0], dictionary[1], lists[0], lists[1]):
            raise ValueError("these bytes are no dictionary")

    def __dealloc__(self):
        PyMem_RawFree(self.walk)

    def decode(self, uint32_t df, uint64_t start, uint64_t length):
        """The documents and frequencies of one list: uint32[df] each. start, length: as the dictionary says."""
        if df > self.source.docs:
            raise ValueError("a list cannot hold more documents than the segment")
        docs = np.empty(df, np.uint32)
        frequencies = np.empty(df, np.uint32)
        cdef uint32_t[::1] to_docs = docs, to_frequencies = frequencies
        cdef List l
        cdef uint32_t at = 0
        cdef bint ok = df > 0
        if df:
            with nogil:
                ok = open_list(&l, &self.source, df, start, length)
                while ok and l.block < l.blocks:
                    ok = need_docs(&l) and need_frequencies(&l)
                    if ok:
                        memcpy(&to_docs[at], l.docs, 4 * <size_t>l.count)
                        memcpy(&to_frequencies[at], l.frequencies, 4 * <size_t>l.count)
                        at += <uint32_t>l.count
                        to_block(&l, l.block + 1)
        if not ok:
            raise ValueError("these bytes are no posting list")
        return docs, frequencies

    def decode_positions(self, uint32_t df, uint64_t start, uint64_t length):
        """The positions of one list, of one document after the other: uint32[sum of frequencies]."""
        cdef Many many
        cdef List l
        cdef bint ok
        if not self.source.has_positions:
            raise ValueError("this field was indexed without positions")
        memset(&many, 0, sizeof(Many))
        with nogil:
            ok = open_list(&l, &self.source, df, start, length) and append_list(&many, &l, NULL, True) == 0
        try:
            if not ok:
                raise ValueError("these bytes are no posting list")
            out = np.empty(many.places, np.uint32)
            if many.places:
                to = <uint32_t[:many.places]>many.positions
                out[:] = to
        finally:
            free_many(&many)
        return out


# --- lists being put end to end ---


cdef struct Many:
    uint32_t* docs
    uint32_t* frequencies
    uint32_t* positions
    uint64_t df
    uint64_t places
    uint64_t doc_room
    uint64_t place_room


cdef void free_many(Many* many) noexcept nogil:
    PyMem_RawFree(many.docs)
    PyMem_RawFree(many.frequencies)
    PyMem_RawFree(many.positions)
    memset(many, 0, sizeof(Many))


cdef bint widen(uint32_t** numbers, uint64_t room) noexcept nogil:
    cdef uint32_t* moved = <uint32_t*>PyMem_RawRealloc(numbers[0], 4 * room)
    if moved == NULL:
        return False
    numbers[0] = moved
    return True


cdef int append_list(Many* many, List* l, const uint32_t* mapped, bint positions) noexcept nogil:
    """Put a list's documents, by their new numbers (mapped; NULL: the old ones), at the end. -1 memory, -4 broken."""
    cdef uint32_t step, place, doc, frequency, _k
    cdef uint64_t at, room
    cdef int i
    cdef const uint8_t* varints
    cdef const uint8_t* end
    cdef bint keep
    if many.doc_room < many.df + l.df:
        room = 2 * many.doc_room + l.df
        if not widen(&many.docs, room) or not widen(&many.frequencies, room):
            return -1
        many.doc_room = room
    varints = l.varints
    end = l.varints_end
    while l.block < l.blocks:
        if not need_docs(l) or not need_frequencies(l) or (positions and not need_sums(l)):
            return -4
        if positions and many.place_room < many.places + l.sums[l.count]:
            room = 2 * many.place_room + l.sums[l.count]
            if not widen(&many.positions, room):
                return -1
            many.place_room = room
        for i in range(l.count):
            doc = l.docs[i] if mapped == NULL else mapped[l.docs[i]]
            keep = doc != NONE
            frequency = l.frequencies[i]
            if positions:
                place = 0
                if l.headers == NULL:
                    for _k in range(frequency):
                        if not varint32(&varints, end, &step):
                            return -4
                        place += step
                        if keep:
                            many.positions[many.places] = place
                            many.places += 1
                elif keep:
                    at = <uint64_t>l.headers[l.block].positions_before + l.sums[i]
                    for _k in range(frequency):
                        if l.group != at // GROUP and not need_group(l, <uint32_t>(at // GROUP)):
                            return -4
                        place += l.steps[at % GROUP]
                        many.positions[many.places] = place
                        many.places += 1
                        at += 1
            if keep:
                many.docs[many.df] = doc
                many.frequencies[many.df] = frequency
                many.df += 1
        to_block(l, l.block + 1)
    return -4 if l.broken else 0


# --- writing ---


@cython.final
@cython.auto_pickle(False)
cdef class FieldWriter:
    """Collects the terms of one field in byte order. docs: documents of the segment. norms: a byte for each, or None.

    frequencies, positions: whether the lists hold them; there are no positions without frequencies.
    """

    cdef Encoder encoder
    cdef Builder* builder
    cdef const uint8_t[::1] norms
    cdef readonly uint64_t postings  # documents of all lists

    def __cinit__(self, uint32_t docs, const uint8_t[::1] norms, bint frequencies, bint positions):
        memset(&self.encoder, 0, sizeof(Encoder))
        self.builder = <Builder*>PyMem_RawMalloc(sizeof(Builder))
        if self.builder == NULL:
            raise MemoryError
        memset(self.builder, 0, sizeof(Builder))
        if docs >= <uint32_t>1 << 31 or (norms is not None and norms.shape[0] != docs):
            raise ValueError("norms must have one byte for each document, of which there are fewer than 2 ** 31")
        if positions and not frequencies:
            raise ValueError("a field with positions needs frequencies")
        self.norms = norms
        if norms is not None and docs:
            self.encoder.norms = &norms[0]
        self.encoder.docs = docs
        self.encoder.frequencies = frequencies
        self.encoder.has_positions = positions

    def __dealloc__(self):
        free_encoder(&self.encoder)
        if self.builder != NULL:
            free_builder(self.builder)
            PyMem_RawFree(self.builder)

    cdef int put(self, const uint8_t* term, uint64_t size, const uint32_t* docs, const uint32_t* frequencies,
                 const uint32_t* positions, uint32_t df, uint64_t total) noexcept nogil:
        cdef uint64_t length = 0
        cdef int code
        self.encoder.singles.used = 0
        code = encode_list(&self.encoder, docs, frequencies, positions, df, total, &length)
        if code == 0:
            code = add_term(self.builder, term, size, df, self.encoder.singles.start, length)
        self.postings += df
        return code

    def add(self, const uint8_t[::1] heap not None, const int64_t[::1] offsets not None,
            const uint32_t[::1] order not None, const int64_t[::1] starts not None, const uint32_t[::1] docs not None,
            const uint32_t[::1] frequencies, const uint32_t[::1] positions):
        """Append terms and their postings, as searchinvert.invert gives them.

        Term t is heap[offsets[t]:offsets[t + 1]]; order names the terms by ascending bytes (those it leaves out are not
        written); docs[starts[t]:starts[t + 1]] are its documents. positions: of one posting after the other.
        ValueError where something does not ascend; what was added before stays whole, so throw the writer away then.
        """
        cdef Py_ssize_t terms = starts.shape[0] - 1, i, t
        cdef int64_t first, total, p
        cdef int code = 0
        cdef int64_t* places = NULL
        cdef const uint32_t* no_numbers = NULL
        cdef bint with_frequencies = self.encoder.frequencies, with_positions = self.encoder.has_positions
        if terms < 0 or offsets.shape[0] != terms + 1:
            raise ValueError("starts and offsets must have one item more than there are terms")
        if (with_frequencies and (frequencies is None or frequencies.shape[0] != docs.shape[0])) or (
                with_positions and positions is None):
            raise ValueError("frequencies must be as many as documents; a field with positions needs positions")
        for i in range(terms):
            if not 0 <= starts[i] <= starts[i + 1] or not 0 <= offsets[i] <= offsets[i + 1]:
                raise ValueError("starts and offsets must ascend")
        if starts[terms] != docs.shape[0] or offsets[terms] > heap.shape[0]:
            raise ValueError("starts and offsets must end where documents and heap do")
        if with_positions:
            places = <int64_t*>PyMem_RawMalloc(8 * (terms + 1))
            if places == NULL:
                raise MemoryError
        with nogil:
            if with_positions:  # where each term's positions begin
                total = p = 0
                for i in range(terms):
                    places[i] = total
                    while p < starts[i + 1]:
                        total += frequencies[p]
                        p += 1
                places[terms] = total
                if total != positions.shape[0]:
                    code = -2
            for i in range(order.shape[0]):
                if code:
                    break
                t = order[i]
                if t >= terms or starts[t + 1] == starts[t] or starts[t + 1] - starts[t] > self.encoder.docs:
                    code = -2
                    break
                first = starts[t]
                total = places[t + 1] - places[t] if with_positions else self.sum_of(frequencies, first, starts[t + 1])
                code = self.put(
                    bytes_of_heap(heap) + offsets[t], <uint64_t>(offsets[t + 1] - offsets[t]), &docs[first],
                    &frequencies[first] if with_frequencies else no_numbers,
                    &positions[places[t]] if with_positions and total else no_numbers,
                    <uint32_t>(starts[t + 1] - first), <uint64_t>total,
                )
        PyMem_RawFree(places)
        if code:
            failed(code)

    cdef int64_t sum_of(self, const uint32_t[::1] frequencies, int64_t first, int64_t end) noexcept nogil:
        cdef int64_t total = 0, p
        if not self.encoder.frequencies:
            return end - first
        for p in range(first, end):
            total += frequencies[p]
        return total

    def merge(self, list readers not None, list maps not None):
        """Append what the readers hold; maps: for each, uint32[docs], the new number of each document or NONE.

        The numbers of a reader ascend and are above those of the readers before it. Terms without documents go away.
        ValueError if the bytes of a reader make no sense: throw the writer away then.
        """
        cdef Py_ssize_t n = len(readers), i
        cdef FieldReader reader
        cdef const uint32_t[::1] mapped
        cdef Feed* feeds
        cdef int code = 0
        if len(maps) != n:
            raise ValueError("there must be a map for each reader")
        feeds = <Feed*>PyMem_RawMalloc(max(n, 1) * sizeof(Feed))
        if feeds == NULL:
            raise MemoryError
        try:
            for i in range(n):
                reader, mapped = readers[i], maps[i]
                if reader.dictionary.blob == NULL or mapped.shape[0] != reader.source.docs or (
                        self.encoder.has_positions and not reader.source.has_positions) or (
                        self.encoder.frequencies and not reader.source.frequencies):
                    raise ValueError("a reader needs a dictionary, a map of its documents and all that is written")
                if reader.walk == NULL:
                    reader.walk = <Walk*>PyMem_RawMalloc(sizeof(Walk))
                    if reader.walk == NULL:
                        raise MemoryError
                feeds[i].walk = reader.walk
                feeds[i].source = &reader.source
                feeds[i].mapped = &mapped[0] if mapped.shape[0] else NULL
                stand_before(reader.walk, &reader.dictionary, 0)
                feeds[i].there = next_entry(reader.walk)
                if reader.walk.broken:
                    raise ValueError("these bytes are no dictionary")
            with nogil:
                code = self.merge_all(feeds, n)
        finally:
            PyMem_RawFree(feeds)
        if code == -4:
            raise ValueError("these bytes are no posting list or no dictionary")
        if code:
            failed(code)

    cdef int merge_all(self, Feed* feeds, Py_ssize_t n) noexcept nogil:
        cdef Many many
        cdef List l
        cdef Py_ssize_t i, least
        cdef int code = 0
        cdef Walk* walk
        cdef Walk* smallest
        memset(&many, 0, sizeof(Many))
        while code == 0:
            least = -1
            for i in range(n):
                if feeds[i].there and (least < 0 or compare_bytes(
                        feeds[i].walk.term, feeds[i].walk.size, feeds[least].walk.term, feeds[least].walk.size) < 0):
                    least = i
            if least < 0:
                break
            smallest = feeds[least].walk
            many.df = many.places = 0
            for i in range(least, n):
                walk = feeds[i].walk
                feeds[i].takes = feeds[i].there and (
                    compare_bytes(walk.term, walk.size, smallest.term, smallest.size) == 0)
                if feeds[i].takes:
                    if open_list(&l, feeds[i].source, walk.df, walk.start, walk.length):
                        code = append_list(&many, &l, feeds[i].mapped, self.encoder.has_positions)
                    else:
                        code = -4
                    if code:
                        break
            if code == 0 and many.df:
                code = self.put(smallest.term, smallest.size, many.docs, many.frequencies, many.positions,
                                <uint32_t>many.df, total_of(&many))
            for i in range(least, n):
                if code:
                    break
                if feeds[i].takes:
                    feeds[i].there = next_entry(feeds[i].walk)
                    if feeds[i].walk.broken:
                        code = -4
        free_many(&many)
        return code

    def finish(self):
        """The three sections: dictionary, lists, positions. The writer is empty afterwards."""
        head = np.array([self.builder.terms, self.builder.terms // 32 + (self.builder.terms % 32 > 0), 0, 0], "<u4")
        end = np.array([self.builder.blocks.used], "<u4")
        dictionary = b"".join((head.tobytes(), taken(&self.builder.keys), taken(&self.builder.offsets), end.tobytes(),
                               taken(&self.builder.blocks)))
        result = dictionary, taken(&self.encoder.lists), taken(&self.encoder.positions)
        PyMem_RawFree(self.encoder.singles.heap)
        PyMem_RawFree(self.encoder.lists.heap)
        PyMem_RawFree(self.encoder.positions.heap)
        memset(&self.encoder.singles, 0, 3 * sizeof(Writer))
        free_builder(self.builder)
        return result

    @property
    def terms(self):
        """How many were added."""
        return self.builder.terms


cdef inline const uint8_t* bytes_of_heap(const uint8_t[::1] heap) noexcept nogil:
    return &heap[0] if heap.shape[0] else NO_BYTES


cdef struct Feed:
    Walk* walk
    const Source* source
    const uint32_t* mapped
    bint there   # the walk stands at an entry
    bint takes   # its term is the smallest


cdef uint64_t total_of(const Many* many) noexcept nogil:
    cdef uint64_t total = 0, i
    for i in range(many.df):
        total += many.frequencies[i]
    return total
