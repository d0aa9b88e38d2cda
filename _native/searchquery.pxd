"""A query on one segment, as its kernels see it: clauses, scratch, and which documents count."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from searchclause cimport Clause
from searchphrase cimport Word


cdef struct Slot:
    int first                # its clauses: any of these words may stand here
    int count
    uint64_t df


cdef struct Query:
    uint32_t docs            # of the segment
    Clause** clauses
    int count
    int room
    Slot* slots              # of a phrase
    Word* words              # as many
    int slot_count
    double* scores           # of a window, all 0 between two windows
    uint64_t* bits           # of two windows, likewise
    const uint64_t* live     # bitsets, or NULL for all documents
    const uint64_t* filter
    int64_t scored           # documents whose whole score was made


cdef inline bint accepts(Query* q, uint32_t doc) noexcept nogil:
    if q.live != NULL and not q.live[doc >> 6] >> (doc & 63) & 1:
        return False
    return q.filter == NULL or q.filter[doc >> 6] >> (doc & 63) & 1


cdef inline uint64_t accepted(Query* q, uint32_t word) noexcept nogil:
    """Word number `word` of all that count."""
    cdef uint64_t all_of = ~<uint64_t>0
    if q.live != NULL:
        all_of &= q.live[word]
    if q.filter != NULL:
        all_of &= q.filter[word]
    return all_of


cdef inline void sort_by_df(Clause** order, int n) noexcept nogil:
    cdef int i, j
    cdef Clause* c
    for i in range(1, n):
        c, j = order[i], i
        while j and order[j - 1].l.df > c.l.df:
            order[j] = order[j - 1]
            j -= 1
        order[j] = c
