"""The best k hits of a query so far: a heap with the worst of them on top, which says what a score must be above."""

from libc.stdint cimport int64_t, uint32_t


cdef struct Hit:
    float score
    uint32_t segment
    uint32_t doc


cdef struct Best:
    Hit* hits
    Py_ssize_t room          # k
    Py_ssize_t used
    float threshold          # what a score must be above
    bint has_after
    Hit after                # the last hit of the page before
    int64_t total            # documents that matched
    bint exact               # that is all of them


cdef inline bint worse(const Hit* a, const Hit* b) noexcept nogil:
    if a.score != b.score:
        return a.score < b.score
    if a.segment != b.segment:
        return a.segment > b.segment
    return a.doc > b.doc


cdef inline void offer(Best* best, float score, uint32_t segment, uint32_t doc) noexcept nogil:
    cdef Hit hit
    cdef Py_ssize_t at, child
    if not score > best.threshold:
        return
    hit.score, hit.segment, hit.doc = score, segment, doc
    if best.has_after and not worse(&hit, &best.after):
        return
    if best.used < best.room:
        at = best.used
        best.used += 1
        while at and worse(&hit, &best.hits[(at - 1) // 2]):
            best.hits[at] = best.hits[(at - 1) // 2]
            at = (at - 1) // 2
    else:
        at = 0
        while True:
            child = 2 * at + 1
            if child >= best.used:
                break
            if child + 1 < best.used and worse(&best.hits[child + 1], &best.hits[child]):
                child += 1
            if not worse(&best.hits[child], &hit):
                break
            best.hits[at] = best.hits[child]
            at = child
    best.hits[at] = hit
    if best.used == best.room:
        best.threshold = best.hits[0].score
