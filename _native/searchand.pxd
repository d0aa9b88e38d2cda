"""Documents that all clauses have: the best of them, and how many. Why so: searchtopk.pyx."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from searchclause cimport WINDOW, WORDS, Clause, add_bits, bound_of, highest_score, score_at
from searchheap cimport Best, offer
from searchlist cimport find, need_docs, need_frequencies, to_block
from searchpack cimport lowest, ones
from searchquery cimport Query, accepted, accepts, sort_by_df


cdef inline bint same_norms(Query* q) noexcept nogil:
    cdef int j
    for j in range(q.count):
        if q.clauses[j].norms == NULL or q.clauses[j].norms != q.clauses[0].norms:
            return False
    return True


cdef inline void bounds_by_norm(Clause** order, int n, double* rests) noexcept nogil:
    """What all clauses but the first can add to a document of each norm."""
    cdef int j, norm
    cdef Clause* c
    for norm in range(256):
        rests[norm] = 0
    for j in range(1, n):
        c = order[j]
        for norm in range(256):
            if c.most == 255:
                rests[norm] += c.weight
            else:
                rests[norm] += min(c.bound, highest_score(c.weight, c.most, c.factors[norm]))


cdef inline void run_and(Query* q, Best* top, uint32_t segment, int64_t track) noexcept nogil:
    cdef Clause** order = q.clauses
    cdef Clause* lead
    cdef int i, j, n = q.count
    cdef uint32_t doc
    cdef double score, rest, rest_of_all = 0
    cdef double by_norm[256]
    cdef double* rests = NULL
    cdef bint counting = track < 0 or (track > 0 and top.total <= track)
    sort_by_df(order, n)
    lead = order[0]
    for j in range(1, n):
        rest_of_all += order[j].bound
    if n > 1 and same_norms(q):
        bounds_by_norm(order, n, by_norm)
        rests = by_norm
    if not counting:
        top.exact = False
    while lead.l.block < lead.l.blocks:
        if not counting and lead.l.headers != NULL and (
                bound_of(lead, lead.l.headers[lead.l.block].pairs) + rest_of_all <= top.threshold):
            to_block(&lead.l, lead.l.block + 1)
            continue
        if not need_docs(&lead.l):
            return
        need_frequencies(&lead.l)
        for i in range(lead.l.count):
            doc = lead.l.docs[i]
            score = score_at(lead, i)
            rest = rests[lead.norms[doc]] if rests != NULL else rest_of_all
            if not counting and score + rest <= top.threshold:
                continue
            for j in range(1, n):
                if not find(&order[j].l, doc):
                    if order[j].l.block >= order[j].l.blocks:  # it has no more documents
                        return
                    break
            else:
                if not accepts(q, doc):
                    continue
                if counting:
                    top.total += 1
                    counting = track < 0 or top.total <= track
                    if not counting:
                        top.exact = False
                    if score + rest <= top.threshold:
                        continue
                for j in range(1, n):
                    score += score_at(order[j], order[j].l.at)
                q.scored += 1
                offer(top, <float>score, segment, doc)
        to_block(&lead.l, lead.l.block + 1)


cdef inline void run_count_and(Query* q, Best* top) noexcept nogil:
    """Windows of bits where the lists are about as long; what is much longer than the shortest is sought."""
    cdef uint32_t low = 0, high, doc
    cdef int i, w, near = 1, n = q.count
    cdef uint64_t word
    cdef uint64_t* others = q.bits + WORDS
    sort_by_df(q.clauses, n)
    while near < n and q.clauses[near].l.df // 16 <= q.clauses[0].l.df:
        near += 1
    while low < q.docs and q.clauses[0].l.block < q.clauses[0].l.blocks:
        high = min(low + WINDOW, q.docs)
        add_bits(q.clauses[0], low, high, q.bits)
        for i in range(1, near):
            add_bits(q.clauses[i], low, high, others)
            for w in range(WORDS):
                q.bits[w] &= others[w]
                others[w] = 0
        for w in range(<int>(high - low + 63) >> 6):
            word = q.bits[w] & accepted(q, (low >> 6) + w)
            q.bits[w] = 0
            if near == n:
                top.total += ones(word)
                continue
            while word:
                doc = low + <uint32_t>(64 * w + lowest(word))
                word &= word - 1
                for i in range(near, n):
                    if not find(&q.clauses[i].l, doc):
                        break
                else:
                    top.total += 1
        low = high
