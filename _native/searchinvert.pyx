"""From tokens in order of arrival to postings in order of terms, and what else a refresh has to sort or number.

    invert       tokens (term, document, position) -> for each term its documents, frequencies, positions
    sort_terms   the order of terms by their bytes
    norms        lengths of documents -> a byte each
    IdTable      the ids of a segment's documents: an open-address table of u32, at most two thirds full

Inverting is a counting sort by term. It is stable and tokens arrive document by document, so each term's documents
come out ascending, without comparing anything. Document and position travel as one 64-bit word: a token is one random
write, which is what this costs.

A norm is Lucene's SmallFloat.intToByte4: exact to 39, then four significant bits, so 256 values reach 2 ** 31. A
document's length only divides its score a little; one byte keeps all norms of a field in the cache.

Invariants: invert loses no token; norms ascend with lengths; find(id) names the document whose id was given.
"""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memcmp

import numpy as np

from hash64 cimport hash_bytes
from searchdictionary cimport compare_bytes, key_of


def invert(const uint32_t[::1] terms not None, const uint32_t[::1] docs not None, const uint32_t[::1] positions,
           uint32_t count):
    """Sort tokens by term. docs must not descend; positions: None where the field keeps none.

    Returns starts: int64[count + 1], docs: uint32[postings], frequencies: uint32[postings], positions: uint32[tokens]
    or None. Term t has the postings starts[t]:starts[t + 1]. ValueError if a term is not below count, or docs descend.
    """
    cdef Py_ssize_t tokens = terms.shape[0], i, t, postings = 0, tokens_at
    cdef bint with_positions = positions is not None
    if docs.shape[0] != tokens or (with_positions and positions.shape[0] != tokens):
        raise ValueError("terms, docs and positions differ in length")
    made_starts = np.zeros(<Py_ssize_t>count + 1, np.int64)
    made_docs = np.empty(tokens, np.uint32)
    made_frequencies = np.empty(tokens, np.uint32)
    made_positions = np.empty(tokens if with_positions else 0, np.uint32)
    cdef int64_t[::1] starts = made_starts
    cdef uint32_t[::1] to_docs = made_docs, to_frequencies = made_frequencies, to_positions = made_positions
    cdef int64_t* ends
    cdef uint64_t* sorted_tokens
    cdef uint32_t doc, before = 0
    cdef int64_t at = 0, size
    cdef bint ok = True
    ends = <int64_t*>PyMem_RawCalloc(<size_t>count + 1, 8)
    sorted_tokens = <uint64_t*>PyMem_RawMalloc(8 * max(tokens, 1))
    if ends == NULL or sorted_tokens == NULL:
        PyMem_RawFree(ends)
        PyMem_RawFree(sorted_tokens)
        raise MemoryError
    with nogil:
        for i in range(tokens):
            if terms[i] >= count or docs[i] < before:
                ok = False
                break
            before = docs[i]
            ends[terms[i]] += 1
        if ok:
            for t in range(count):
                size = ends[t]
                ends[t] = at
                at += size
            if with_positions:
                for i in range(tokens):
                    sorted_tokens[ends[terms[i]]] = <uint64_t>docs[i] << 32 | positions[i]
                    ends[terms[i]] += 1
            else:
                for i in range(tokens):
                    sorted_tokens[ends[terms[i]]] = <uint64_t>docs[i] << 32
                    ends[terms[i]] += 1
            tokens_at = 0
            for t in range(count):
                starts[t] = postings
                while tokens_at < ends[t]:
                    doc = <uint32_t>(sorted_tokens[tokens_at] >> 32)
                    if postings == starts[t] or to_docs[postings - 1] != doc:
                        to_docs[postings] = doc
                        to_frequencies[postings] = 0
                        postings += 1
                    to_frequencies[postings - 1] += 1
                    if with_positions:
                        to_positions[tokens_at] = <uint32_t>sorted_tokens[tokens_at]
                    tokens_at += 1
            starts[count] = postings
    PyMem_RawFree(ends)
    PyMem_RawFree(sorted_tokens)
    if not ok:
        raise ValueError("tokens must come document by document, and terms be below their count")
    return made_starts, made_docs[:postings], made_frequencies[:postings], made_positions if with_positions else None


# --- terms in order ---


cdef struct Term:
    uint64_t key        # the first eight bytes decide most comparisons
    const uint8_t* at
    uint32_t size
    uint32_t number


cdef int compare_terms(const void* a, const void* b) noexcept nogil:
    cdef const Term* x = <const Term*>a
    cdef const Term* y = <const Term*>b
    if x.key != y.key:
        return -1 if x.key < y.key else 1
    return compare_bytes(x.at, x.size, y.at, y.size)


def sort_terms(const uint8_t[::1] heap not None, const int64_t[::1] offsets not None):
    """The numbers of the terms heap[offsets[t]:offsets[t + 1]] by ascending bytes: uint32[terms]."""
    cdef Py_ssize_t terms = offsets.shape[0] - 1, i
    cdef Term* sorted_terms
    if terms <= 0:
        return np.empty(0, np.uint32)
    for i in range(terms):
        if not 0 <= offsets[i] <= offsets[i + 1] or offsets[i + 1] - offsets[i] > <int64_t>0x7FFFFFFF:
            raise ValueError("offsets must ascend")
    if offsets[terms] > heap.shape[0]:
        raise ValueError("offsets lead beyond the heap")
    made = np.empty(terms, np.uint32)
    cdef uint32_t[::1] order = made
    cdef const uint8_t* data = &heap[0] if heap.shape[0] else <const uint8_t*>""
    sorted_terms = <Term*>PyMem_RawMalloc(terms * sizeof(Term))
    if sorted_terms == NULL:
        raise MemoryError
    with nogil:
        for i in range(terms):
            sorted_terms[i].at = data + offsets[i]
            sorted_terms[i].size = <uint32_t>(offsets[i + 1] - offsets[i])
            sorted_terms[i].key = key_of(sorted_terms[i].at, sorted_terms[i].size)
            sorted_terms[i].number = <uint32_t>i
        qsort(sorted_terms, terms, sizeof(Term), &compare_terms)
        for i in range(terms):
            order[i] = sorted_terms[i].number
    PyMem_RawFree(sorted_terms)
    return made


# --- lengths ---


cdef inline uint8_t norm_of(uint32_t length) noexcept nogil:
    cdef uint32_t rest = length - 24
    cdef int shift = -3
    if length < 24:
        return <uint8_t>length
    if rest < 8:
        return <uint8_t>(24 + rest)
    while rest >> (shift + 3):
        shift += 1
    shift -= 1  # rest has shift + 4 bits; the first of them is implied
    return <uint8_t>min(24 + ((rest >> shift & 7) | <uint32_t>(shift + 1) << 3), <uint32_t>255)


def norms(const uint32_t[::1] lengths not None):
    """A byte for each length in tokens, as Lucene's SmallFloat.intToByte4: uint8[n]."""
    made = np.empty(lengths.shape[0], np.uint8)
    cdef uint8_t[::1] out = made
    cdef Py_ssize_t i
    with nogil:
        for i in range(lengths.shape[0]):
            out[i] = norm_of(lengths[i])
    return made


def norm_lengths():
    """What each of the 256 bytes means: int64[256], ascending."""
    made = np.arange(256, dtype=np.int64)
    cdef int64_t[::1] out = made
    cdef int i, code
    for i in range(24, 256):
        code = i - 24
        out[i] = 24 + (code if code < 8 else <int64_t>(code & 7 | 8) << ((code >> 3) - 1))
    return made


# --- ids ---


cdef uint64_t slots_for(Py_ssize_t ids):
    """A power of two, at most two thirds of which are used."""
    cdef uint64_t slots = 8
    while 2 * slots < 3 * <uint64_t>ids:
        slots *= 2
    return slots


def id_table(const uint8_t[::1] heap not None, const uint32_t[::1] offsets not None):
    """The table in which IdTable looks: uint32[slots], 0 or a document's number + 1. ValueError if an id is twice."""
    cdef Py_ssize_t ids = offsets.shape[0] - 1, i
    cdef uint64_t mask = slots_for(ids) - 1, slot
    cdef const uint8_t* data = &heap[0] if heap.shape[0] else <const uint8_t*>""
    cdef uint32_t size, other
    cdef bint ok = True
    for i in range(ids):
        if offsets[i + 1] < offsets[i]:
            raise ValueError("offsets must ascend")
    if ids < 0 or offsets[ids] > <uint64_t>heap.shape[0]:
        raise ValueError("offsets lead beyond the heap")
    made = np.zeros(mask + 1, np.uint32)
    cdef uint32_t[::1] table = made
    with nogil:
        for i in range(ids):
            size = offsets[i + 1] - offsets[i]
            slot = hash_bytes(data + offsets[i], size) & mask
            while table[slot]:
                other = table[slot] - 1
                if offsets[other + 1] - offsets[other] == size and memcmp(
                        data + offsets[other], data + offsets[i], size) == 0:
                    ok = False
                slot = (slot + 1) & mask
            table[slot] = <uint32_t>i + 1
    if not ok:
        raise ValueError("an id stands twice in a segment")
    return made


@cython.final
@cython.auto_pickle(False)
cdef class IdTable:
    """Finds documents by id in mapped arrays, which are not copied: see id_table. Nothing in them is believed."""

    cdef const uint8_t[::1] heap
    cdef const uint32_t[::1] offsets
    cdef const uint32_t[::1] table

    def __cinit__(self, const uint8_t[::1] heap not None, const uint32_t[::1] offsets not None,
                  const uint32_t[::1] table not None):
        if offsets.shape[0] == 0 or table.shape[0] == 0 or table.shape[0] & (table.shape[0] - 1):
            raise ValueError("a table of ids has a power of two of slots, and one offset more than ids")
        self.heap, self.offsets, self.table = heap, offsets, table

    def find(self, bytes key not None):
        """The document that has this id, or -1."""
        return self.find_bytes(key, len(key))

    cdef int64_t find_bytes(self, const uint8_t* id, Py_ssize_t size) noexcept nogil:
        cdef uint64_t mask = <uint64_t>self.table.shape[0] - 1, slot = hash_bytes(id, size) & mask, tries = 0
        cdef uint32_t doc, start, end
        while tries <= mask and self.table[slot]:
            doc = self.table[slot] - 1
            if <Py_ssize_t>doc + 1 >= self.offsets.shape[0]:
                return -1
            start, end = self.offsets[doc], self.offsets[doc + 1]
            if (end >= start and <Py_ssize_t>end <= self.heap.shape[0] and <Py_ssize_t>(end - start) == size
                    and (size == 0 or memcmp(&self.heap[start], id, size) == 0)):
                return doc
            slot = (slot + 1) & mask
            tries += 1
        return -1

    def find_many(self, list ids not None):
        """For each id, as bytes, its document or -1: int64[n]."""
        made = np.empty(len(ids), np.int64)
        cdef int64_t[::1] out = made
        cdef Py_ssize_t i
        cdef bytes id
        for i in range(len(ids)):
            id = ids[i]
            out[i] = self.find_bytes(id, len(id))
        return made

    def id_of(self, uint32_t doc):
        """The id of a document, as bytes. ValueError if there is none."""
        cdef uint32_t start, end
        if <Py_ssize_t>doc + 1 >= self.offsets.shape[0]:
            raise ValueError("there is no such document")
        start, end = self.offsets[doc], self.offsets[doc + 1]
        if end < start or <Py_ssize_t>end > self.heap.shape[0]:
            raise ValueError("these offsets do not fit to the ids")
        return bytes(self.heap[start:end])
