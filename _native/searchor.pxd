"""The best documents that any clause has: windows of block-max MaxScore. Why so: searchtopk.pyx."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int64_t, uint32_t, uint64_t

from searchclause cimport WINDOW, Clause, add_scores, bound_of, bound_window, next_part, part_done, score_at
from searchheap cimport Best, offer
from searchlist cimport broken, find, need_docs, need_frequencies, to_block
from searchpack cimport lowest, ones
from searchquery cimport Query, accepted, accepts


cdef inline void sort_by_bound(Clause** order, int n) noexcept nogil:
    """Ascending; nearly in order from window to window, so insertion is quick."""
    cdef int i, j
    cdef Clause* c
    for i in range(1, n):
        c, j = order[i], i
        while j and order[j - 1].window_bound > c.window_bound:
            order[j] = order[j - 1]
            j -= 1
        order[j] = c


cdef inline void complete(Query* q, Clause** order, int others, const double* reach, uint32_t doc, double score,
                          Best* top, uint32_t segment) noexcept nogil:
    """Add what the clauses before `others` give to a document, as long as it can get there."""
    cdef int j = others - 1
    while j >= 0:
        if score + reach[j + 1] <= top.threshold:
            return
        if order[j].window_bound > 0 and find(&order[j].l, doc):
            score += score_at(order[j], order[j].l.at)
        j -= 1
    q.scored += 1
    offer(top, <float>score, segment, doc)


cdef inline void stream(Query* q, Clause** order, int n, const double* reach, uint32_t low, uint32_t high, Best* top,
                        uint32_t segment) noexcept nogil:
    """A window in which a hit must have the last clause: its documents need no accumulator."""
    cdef Clause* c = order[n - 1]
    cdef double rest = reach[n - 1], score
    cdef int first, end, i
    cdef bint later
    while c.l.block < c.l.blocks and c.l.before + 1 < high:
        if c.l.headers != NULL and bound_of(c, c.l.headers[c.l.block].pairs) + rest <= top.threshold:
            if c.l.last >= high - 1:
                return
            to_block(&c.l, c.l.block + 1)
            continue
        later = next_part(c, low, high, &first, &end)
        if not later:
            return
        need_frequencies(&c.l)
        for i in range(first, end):
            score = score_at(c, i)
            if score + rest > top.threshold and accepts(q, c.l.docs[i]):
                complete(q, order, n - 1, reach, c.l.docs[i], score, top, segment)
        if not part_done(c, high, end):
            return


cdef inline void accumulate(Query* q, Clause** order, int n, int first, const double* reach, uint32_t low,
                            uint32_t high, Best* top, uint32_t segment, bint counting) noexcept nogil:
    cdef int i, w
    cdef uint64_t word, mask
    cdef uint32_t place
    cdef double score, rest = reach[first]
    for i in range(first, n):
        if order[i].window_bound > 0:
            add_scores(order[i], low, high, q.scores, q.bits)
    for w in range(<int>(high - low + 63) >> 6):
        word = q.bits[w]
        if word == 0:
            continue
        q.bits[w] = 0
        mask = accepted(q, (low >> 6) + w)
        if counting:
            top.total += ones(word & mask)
        while word:
            i = lowest(word)
            word &= word - 1
            place = <uint32_t>(64 * w + i)
            score = q.scores[place]
            q.scores[place] = 0
            if score + rest > top.threshold and mask >> i & 1:
                complete(q, order, first, reach, low + place, score, top, segment)


cdef inline void run_or(Query* q, Best* top, uint32_t segment, int64_t track) noexcept nogil:
    cdef Clause** order = <Clause**>PyMem_RawMalloc(q.count * sizeof(Clause*))
    cdef double* reach = <double*>PyMem_RawMalloc((q.count + 1) * sizeof(double))  # of the clauses before
    cdef uint32_t low = 0, high
    cdef int i, first, n = q.count
    cdef bint counting
    if order == NULL or reach == NULL:
        PyMem_RawFree(order)
        PyMem_RawFree(reach)
        broken(&q.clauses[0].l)
        return
    for i in range(n):
        order[i] = q.clauses[i]
    reach[0] = 0
    while low < q.docs:
        high = min(low + WINDOW, q.docs)
        counting = track > 0 and top.total <= track
        if not counting and track >= 0:
            top.exact = False
        for i in range(n):
            bound_window(order[i], low, high)
        sort_by_bound(order, n)
        for i in range(n):
            reach[i + 1] = reach[i] + order[i].window_bound
        first = 0
        if not counting:
            while first < n and (reach[first + 1] <= top.threshold or order[first].window_bound == 0):
                first += 1
        if first < n:
            if first == n - 1 and not counting:
                stream(q, order, n, reach, low, high, top, segment)
            else:
                accumulate(q, order, n, first, reach, low, high, top, segment, counting)
        low = high
    PyMem_RawFree(order)
    PyMem_RawFree(reach)


cdef inline void run_one(Query* q, Best* top, uint32_t segment, int64_t track) noexcept nogil:
    cdef Clause* c = q.clauses[0]
    cdef int i
    cdef float score
    cdef bint may_skip = track >= 0
    while c.l.block < c.l.blocks:
        if c.l.headers != NULL and bound_of(c, c.l.headers[c.l.block].pairs) <= top.threshold:
            if may_skip:
                top.exact = False
        else:
            if not need_docs(&c.l):
                return
            need_frequencies(&c.l)
            for i in range(c.l.count):
                score = score_at(c, i)
                if score > top.threshold and accepts(q, c.l.docs[i]):
                    offer(top, score, segment, c.l.docs[i])
            if may_skip:
                top.exact = False
        to_block(&c.l, c.l.block + 1)
