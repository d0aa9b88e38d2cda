"""Searching one segment: the best k of an OR, an AND, a phrase; counts; bitsets; scores window by window.

    Field      the posting lists of a field, mapped                shared, never changed by a search
    Factors    what a document's norm does to its score            shared
    Top        the best k hits so far, of all segments             one for each query
    Context    the clauses of a query on one segment: cursors,     one for each query and segment
               scratch, filter

Ways of evaluating, all with the same scores to the last bit (searchclause.pxd) and the same order, by score, then
segment and document:

    OR        windows of 8,192 documents, block-max MaxScore (Turtle and Flood 1995; Ding and Suel 2011; windows as
              Lucene 10 has them). Clauses are sorted by how much they can add in the window. Those that together can
              not reach the k-th score are not read: their documents are only looked up where the others found one that
              may still get there.
    AND       the rarest list leads, the others are sought by galloping. A document is dropped as soon as what it has
              and what the rest can add is too little. All clauses see the same norm, so the rest is bounded norm by
              norm: a long document is dropped before any other list is touched.
    phrase    an AND of slots, then positions (searchphrase.pxd). Exact phrases cannot be more frequent than their
              rarest word: most documents are dropped before a position is read.
    window    fill() adds the clauses' scores of 8,192 documents and sets their bits; what arbitrary trees of queries
              are made of, and what the fast ways are held against.

A total is counted exactly while it is at most `track`; then documents may be skipped and `exact` becomes False.

Invariants: a Field is never written to, so threads share it. No clause is left out, whatever their number. Nothing is
read outside of the blob, whatever it holds: hostile bytes end in a ValueError or in wrong hits, not in a crash.
"""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from searchand cimport run_and, run_count_and
from searchclause cimport TABLED, WINDOW, WORDS, Clause, add_bits, add_scores, bound_list
from searchheap cimport Best, Hit, offer
from searchlist cimport Source, open_list, rewind
from searchor cimport run_one, run_or
from searchpack cimport lowest, ones
from searchphrase cimport Word
from searchquery cimport Query, Slot, accepted
from searchslots cimport run_phrase

cdef enum:
    TABLE_FROM = 2000  # documents of a list from which a table of scores pays


@cython.final
@cython.auto_pickle(False)
cdef class Factors:
    """k1 * (1 - b + b * length / average) for each of the 256 norms: float32[256]."""

    cdef float values[256]

    def __cinit__(self, const float[::1] values not None):
        cdef int i
        if values.shape[0] != 256:
            raise ValueError("there are 256 norms")
        for i in range(256):
            self.values[i] = values[i]


@cython.final
@cython.auto_pickle(False)
cdef class Field:
    """The lists of one field. norms: uint8[docs] or None; positions: (start, size) of that section of the blob or None.

    Neither the blob nor the norms are copied.
    """

    cdef Source source
    cdef const uint8_t[::1] blob
    cdef const uint8_t[::1] norms

    def __cinit__(self, const uint8_t[::1] blob not None, uint32_t docs, const uint8_t[::1] norms, bint frequencies,
                  positions=None):
        if docs >= <uint32_t>1 << 31 or blob.shape[0] == 0 or (norms is not None and norms.shape[0] != docs):
            raise ValueError("norms must have one byte for each document, of which there are fewer than 2 ** 31")
        self.blob, self.norms = blob, norms
        memset(&self.source, 0, sizeof(Source))
        self.source.blob = &blob[0]
        self.source.size = <uint64_t>blob.shape[0]
        self.source.docs = docs
        self.source.frequencies = frequencies
        self.source.has_positions = positions is not None
        if norms is not None and docs:
            self.source.norms = &norms[0]
        if positions is not None:
            self.source.positions, self.source.positions_size = positions
            if not frequencies or self.source.positions > self.source.size or (
                    self.source.positions_size > self.source.size - self.source.positions):
                raise ValueError("the section of positions lies outside of the segment")


# --- the best k ---


@cython.final
@cython.auto_pickle(False)
cdef class Top:
    """The best k hits: by score, then by segment and document. Segments come in ascending order.

    after: (score, segment, document) of the last hit of the page before, or None: only what comes behind it counts.
    total: documents that matched; exact: whether that is all of them.
    """

    cdef Best best

    def __cinit__(self, Py_ssize_t k, after=None):
        if k < 0:
            raise ValueError("k must be at least 0")
        self.best.hits = <Hit*>PyMem_RawMalloc(max(k, 1) * sizeof(Hit))
        if self.best.hits == NULL:
            raise MemoryError
        self.best.room = k
        self.best.threshold = -1 if k else <float>3.4e38
        self.best.exact = True
        self.best.has_after = after is not None
        if self.best.has_after:
            self.best.after.score, self.best.after.segment, self.best.after.doc = after

    def __dealloc__(self):
        PyMem_RawFree(self.best.hits)

    def results(self):
        """float32[n] scores, uint32[n] segments, uint32[n] documents, the best first."""
        found = np.empty(self.best.used, [("score", "<f4"), ("segment", "<u4"), ("doc", "<u4")])
        if self.best.used:
            raw = <const uint8_t[:self.best.used * sizeof(Hit)]><uint8_t*>self.best.hits
            found = np.frombuffer(raw, found.dtype)
            found = found[np.lexsort((found["doc"], found["segment"], -found["score"]))]
        return found["score"].copy(), found["segment"].copy(), found["doc"].copy()

    def hits_list(self):
        """The same as a list of (score, segment, document): cheaper for the few hits of a page."""
        cdef Py_ssize_t i
        cdef Hit* hits = self.best.hits
        out = [(-hits[i].score, hits[i].segment, hits[i].doc) for i in range(self.best.used)]
        out.sort()
        return [(-score, segment, doc) for score, segment, doc in out]

    def add(self, float score, uint32_t segment, uint32_t doc):
        """Offer one hit: for scores that were made elsewhere."""
        offer(&self.best, score, segment, doc)

    def add_window(self, uint32_t segment, uint32_t low, const double[::1] scores not None,
                   const uint64_t[::1] bits not None):
        """Offer the documents of a window whose bits are set, and count them."""
        cdef Py_ssize_t w
        cdef uint64_t word
        cdef uint32_t place
        if scores.shape[0] < 64 * bits.shape[0]:
            raise ValueError("there must be a score for each bit")
        with nogil:
            for w in range(bits.shape[0]):
                word = bits[w]
                self.best.total += ones(word)
                while word:
                    place = <uint32_t>(64 * w + lowest(word))
                    word &= word - 1
                    if <float>scores[place] > self.best.threshold:
                        offer(&self.best, <float>scores[place], segment, low + place)

    @property
    def total(self):
        """Documents that matched, as far as they were counted."""
        return self.best.total

    @property
    def exact(self):
        """Whether total is all of them."""
        return self.best.exact


# --- one query on one segment ---


@cython.final
@cython.auto_pickle(False)
cdef class Context:
    """The clauses of a query on one segment of `docs` documents. Used once, by one thread.

    live, chosen: bitsets, uint64[at least docs / 64], of the documents that count, or None for all. Not copied.
    """

    cdef Query q
    cdef const uint64_t[::1] live
    cdef const uint64_t[::1] chosen
    cdef list kept  # fields and factors, that they live as long as the pointers to them

    def __cinit__(self, uint32_t docs, const uint64_t[::1] live=None, const uint64_t[::1] chosen=None):
        self.q.docs = docs
        self.live, self.chosen = live, chosen
        if (live is not None and live.shape[0] * 64 < docs) or (chosen is not None and chosen.shape[0] * 64 < docs):
            raise ValueError("a bitset must have a bit for each document")
        if live is not None and docs:
            self.q.live = &live[0]
        if chosen is not None and docs:
            self.q.filter = &chosen[0]
        self.kept = []

    def __dealloc__(self):
        cdef int i
        for i in range(self.q.count):
            PyMem_RawFree(self.q.clauses[i].table)
            PyMem_RawFree(self.q.clauses[i])
        for i in range(self.q.slot_count):
            PyMem_RawFree(self.q.words[i].places)
        PyMem_RawFree(self.q.clauses)
        PyMem_RawFree(self.q.slots)
        PyMem_RawFree(self.q.words)
        PyMem_RawFree(self.q.scores)
        PyMem_RawFree(self.q.bits)

    def add(self, Field field not None, uint32_t df, uint64_t start, uint64_t size, float weight,
            Factors factors not None):
        """Add a clause: the list of a term (as the dictionary says where), weight = boost * idf."""
        cdef Clause* c
        cdef Clause** moved
        cdef int room, i
        cdef float frequency
        if field.source.docs != self.q.docs:
            raise ValueError("this field is of another segment")
        if self.q.count == self.q.room:
            room = 2 * self.q.room + 8
            moved = <Clause**>PyMem_RawRealloc(self.q.clauses, room * sizeof(Clause*))
            if moved == NULL:
                raise MemoryError
            self.q.clauses, self.q.room = moved, room
        c = <Clause*>PyMem_RawMalloc(sizeof(Clause))
        if c == NULL:
            raise MemoryError
        c.table = NULL
        self.q.clauses[self.q.count] = c
        self.q.count += 1
        if self.q.slot_count:
            self.q.slots[self.q.slot_count - 1].count += 1
            self.q.slots[self.q.slot_count - 1].df += df
        self.kept.append((field, factors))
        c.norms, c.factors, c.weight = field.source.norms, factors.values, weight
        if not open_list(&c.l, &field.source, df, start, size):
            raise ValueError("these bytes are no posting list")
        if df > TABLE_FROM:
            c.table = <float*>PyMem_RawMalloc(256 * TABLED * sizeof(float))
            if c.table == NULL:
                raise MemoryError
            for i in range(256 * TABLED):
                frequency = <float>((i >> 8) + 1)
                c.table[i] = weight * frequency / (frequency + c.factors[i & 255])
        bound_list(c)

    def add_slot(self, int32_t offset, int32_t group=-1):
        """Begin a slot of a phrase: the clauses added from here on are the words that may stand at this offset.

        group: a number that slots with the same words share, -1 for words that stand in one slot only.
        """
        cdef Slot* slots = <Slot*>PyMem_RawRealloc(self.q.slots, (self.q.slot_count + 1) * sizeof(Slot))
        cdef Word* words
        if slots == NULL:
            raise MemoryError
        self.q.slots = slots
        words = <Word*>PyMem_RawRealloc(self.q.words, (self.q.slot_count + 1) * sizeof(Word))
        if words == NULL:
            raise MemoryError
        self.q.words = words
        if not 0 <= offset <= 1 << 20 or (self.q.slot_count == 0 and self.q.count):
            raise ValueError("slots come before their clauses, and offsets are from 0 to 2 ** 20")
        memset(&words[self.q.slot_count], 0, sizeof(Word))
        words[self.q.slot_count].offset, words[self.q.slot_count].group = offset, group
        slots[self.q.slot_count].first, slots[self.q.slot_count].count, slots[self.q.slot_count].df = self.q.count, 0, 0
        self.q.slot_count += 1

    @property
    def scored(self):
        """Documents whose whole score was made, for explain()."""
        return self.q.scored

    cdef bint fits(self) noexcept nogil:
        """Whether no list turned out to be broken."""
        cdef int i
        for i in range(self.q.count):
            if self.q.clauses[i].l.broken:
                return False
        return True

    cdef int check(self) except -1:
        if not self.fits():
            raise ValueError("these bytes are no posting list")
        return 0

    cdef int scratch(self) except -1:
        if self.q.scores == NULL:
            self.q.scores = <double*>PyMem_RawCalloc(WINDOW, sizeof(double))
        if self.q.bits == NULL:
            self.q.bits = <uint64_t*>PyMem_RawCalloc(2 * WORDS, sizeof(uint64_t))
        if self.q.scores == NULL or self.q.bits == NULL:
            raise MemoryError
        return 0

    def rewind(self):
        """Stand at the beginning of all lists again."""
        cdef int i
        for i in range(self.q.count):
            rewind(&self.q.clauses[i].l)

    # --- OR ---

    def top_or(self, Top top not None, uint32_t segment, int64_t track=0):
        """Offer the documents that any clause has. track: count so many of them exactly; -1: all."""
        if self.q.count == 0:
            return
        if track < 0:
            top.best.total += self.count_or()
            self.rewind()
        self.scratch()
        with nogil:
            if self.q.count == 1 and (track <= 0 or top.best.total > track):
                run_one(&self.q, &top.best, segment, track)
            else:
                run_or(&self.q, &top.best, segment, track)
        self.check()

    # --- AND ---

    def top_and(self, Top top not None, uint32_t segment, int64_t track=0):
        """Offer the documents that all clauses have."""
        if self.q.count == 0:
            return
        with nogil:
            run_and(&self.q, &top.best, segment, track)
        self.check()

    # --- phrases ---

    def top_phrase(self, Top top not None, uint32_t segment, float weight, int32_t slop=0, int64_t track=0):
        """Offer the documents in which the slots' words stand as they should; weight = boost * sum of the idf.

        ValueError if a field has no positions.
        """
        self.check_slots(slop)
        with nogil:
            run_phrase(&self.q, &top.best, segment, weight, slop, track, NULL, 0, self.q.docs)
        self.check()

    cdef int check_slots(self, int32_t slop) except -1:
        cdef int i
        if slop < 0 or self.q.slot_count == 0:
            raise ValueError("a phrase has at least one slot, and slop is at least 0")
        for i in range(self.q.slot_count):
            if self.q.slots[i].count == 0:
                raise ValueError("a slot has no words")
        for i in range(self.q.count):
            if not self.q.clauses[i].l.source.has_positions:
                raise ValueError("this field was indexed without positions")
        return 0

    # --- counts, bitsets, windows ---

    def count_or(self):
        """How many documents any clause has."""
        cdef uint32_t low = 0, high
        cdef int i, w
        cdef int64_t total = 0
        if self.q.count == 1 and self.q.live == NULL and self.q.filter == NULL:
            return <int64_t>self.q.clauses[0].l.df
        self.scratch()
        with nogil:
            while low < self.q.docs:
                high = min(low + WINDOW, self.q.docs)
                for i in range(self.q.count):
                    add_bits(self.q.clauses[i], low, high, self.q.bits)
                for w in range(<int>(high - low + 63) >> 6):
                    total += ones(self.q.bits[w] & accepted(&self.q, (low >> 6) + w))
                    self.q.bits[w] = 0
                low = high
        self.check()
        return total

    def count_and(self):
        """How many documents all clauses have."""
        cdef Top top = Top(0)
        if self.q.count == 1:
            return self.count_or()
        self.scratch()
        with nogil:
            if self.q.count:
                run_count_and(&self.q, &top.best)
        self.check()
        return top.best.total

    def count_phrase(self, int32_t slop=0):
        """How many documents hold the phrase."""
        cdef int64_t total
        self.check_slots(slop)
        with nogil:
            total = run_phrase(&self.q, NULL, 0, 1, slop, -1, NULL, 0, self.q.docs)
        self.check()
        return total

    def matches(self, uint64_t[::1] bits not None):
        """Set the bits of the documents that any clause has, whether live or not: uint64[at least docs / 64]."""
        cdef int i
        if bits.shape[0] * 64 < self.q.docs:
            raise ValueError("a bitset must have a bit for each document")
        with nogil:
            for i in range(self.q.count):
                add_bits(self.q.clauses[i], 0, self.q.docs, &bits[0])
        self.check()

    def matches_phrase(self, uint64_t[::1] bits not None, int32_t slop=0):
        """Set the bits of the documents that hold the phrase and count."""
        self.check_slots(slop)
        if bits.shape[0] * 64 < self.q.docs:
            raise ValueError("a bitset must have a bit for each document")
        if self.q.docs:
            with nogil:
                run_phrase(&self.q, NULL, 0, 1, slop, -1, &bits[0], 0, self.q.docs)
        self.check()

    def fill(self, uint32_t low, double[::1] scores not None, uint64_t[::1] bits not None):
        """Add the clauses' scores of the documents low ... low + 8,191, in the clauses' order, and set their bits.

        scores: float64[8192], bits: uint64[128]; low: multiples of 8,192, ascending from call to call. Neither deleted
        documents nor the filter are looked at.
        """
        cdef int i
        if scores.shape[0] < WINDOW or bits.shape[0] < WORDS or low % WINDOW:
            raise ValueError("a window has 8,192 scores and begins at a multiple of that")
        with nogil:
            if low < self.q.docs:
                for i in range(self.q.count):
                    add_scores(self.q.clauses[i], low, min(low + WINDOW, self.q.docs), &scores[0], &bits[0])
        self.check()

    def fill_phrase(self, uint32_t low, double[::1] scores not None, uint64_t[::1] bits not None, float weight,
                    int32_t slop=0):
        """As fill, of the phrase."""
        cdef double* mine = self.q.scores
        self.check_slots(slop)
        if scores.shape[0] < WINDOW or bits.shape[0] < WORDS or low % WINDOW:
            raise ValueError("a window has 8,192 scores and begins at a multiple of that")
        with nogil:
            if low < self.q.docs:
                self.q.scores = &scores[0]
                run_phrase(&self.q, NULL, 0, weight, slop, -1, &bits[0], low, min(low + WINDOW, self.q.docs))
                self.q.scores = mine
        self.check()
