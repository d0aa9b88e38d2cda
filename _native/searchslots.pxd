"""Documents in which a phrase stands: an AND of its slots, then the positions. Why so: searchtopk.pyx."""

from cpython.mem cimport PyMem_RawRealloc
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from searchclause cimport Clause, highest_score
from searchheap cimport Best, offer
from searchlist cimport (
    List,
    broken,
    find,
    frequency_at,
    need_docs,
    need_group,
    need_sums,
    seek_block,
    skip_places,
    varint32,
)
from searchpack cimport GROUP, NONE, first_at_least
from searchphrase cimport Word, exact, sloppy
from searchquery cimport Query, accepts

cdef enum:
    FAR = 0x3FFFFFFF  # no position is beyond


cdef inline bint gather(Clause* c, Word* word) noexcept nogil:
    """Add the positions of the document at which the clause stands, less the word's offset, in ascending order."""
    cdef List* its = &c.l
    cdef uint32_t frequency, step = 0, place = 0, k, first, end
    cdef uint64_t at
    cdef int32_t* moved
    cdef int32_t* to
    cdef uint32_t before = word.count
    if not need_sums(its):
        return False
    frequency = its.frequencies[its.at]
    if word.room - word.count < frequency:
        moved = <int32_t*>PyMem_RawRealloc(word.places, 4 * (2 * <uint64_t>word.room + frequency))
        if moved == NULL:
            return broken(its)
        word.places, word.room = moved, 2 * word.room + frequency
    to = word.places + word.count
    if its.headers == NULL:
        if not skip_places(its, its.at):
            return False
        its.group += 1
        for k in range(frequency):
            if not varint32(&its.varints, its.varints_end, &step):
                return broken(its)
            place += step
            to[k] = <int32_t>(place - <uint32_t>word.offset)
    else:
        at = <uint64_t>its.headers[its.block].positions_before + its.sums[its.at]
        k = 0
        while k < frequency:  # group by group
            if not need_group(its, <uint32_t>(at // GROUP)):
                return False
            first = <uint32_t>(at % GROUP)
            end = min(<uint32_t>GROUP, first + frequency - k)
            at += end - first
            while first < end:
                place += its.steps[first]
                to[k] = <int32_t>(place - <uint32_t>word.offset)
                first += 1
                k += 1
    if place > FAR:
        return broken(its)
    word.count += frequency
    if before:
        sort_in(word, before)
    return True


cdef inline void sort_in(Word* word, uint32_t sorted_count) noexcept nogil:
    """Put the places from sorted_count on among those before."""
    cdef uint32_t i, j
    cdef int32_t place
    for i in range(sorted_count, word.count):
        place, j = word.places[i], i
        while j and word.places[j - 1] > place:
            word.places[j] = word.places[j - 1]
            j -= 1
        word.places[j] = place


cdef inline uint32_t next_of(Query* q, int slot, uint32_t doc) noexcept nogil:
    """The first document from doc on that has a word of the slot, or NONE."""
    cdef uint32_t nearest = NONE
    cdef Clause* c
    cdef int i
    for i in range(q.slots[slot].first, q.slots[slot].first + q.slots[slot].count):
        c = q.clauses[i]
        if seek_block(&c.l, doc) and need_docs(&c.l):
            c.l.at = first_at_least(c.l.docs, c.l.at, c.l.count, doc)
            nearest = min(nearest, c.l.docs[c.l.at])
    return nearest


cdef inline uint32_t frequency_of(Query* q, int slot, uint32_t doc) noexcept nogil:
    """How often the words of a slot stand in the document."""
    cdef uint64_t total = 0
    cdef Clause* c
    cdef int i
    for i in range(q.slots[slot].first, q.slots[slot].first + q.slots[slot].count):
        c = q.clauses[i]
        if find(&c.l, doc):
            total += frequency_at(&c.l, c.l.at)
    return <uint32_t>min(total, <uint64_t>NONE)


cdef inline float matches_in(Query* q, uint32_t doc, int32_t slop) noexcept nogil:
    cdef int i, j
    for i in range(q.slot_count):
        q.words[i].count = 0
        for j in range(q.slots[i].first, q.slots[i].first + q.slots[i].count):
            if find(&q.clauses[j].l, doc) and not gather(q.clauses[j], &q.words[i]):
                return 0
        if q.words[i].count == 0:
            return 0
    if slop == 0:
        return <float>exact(q.words, q.slot_count)
    return sloppy(q.words, q.slot_count, slop)


cdef inline int64_t run_phrase(Query* q, Best* top, uint32_t segment, float weight, int32_t slop, int64_t track,
                               uint64_t* bits, uint32_t low, uint32_t high) noexcept nogil:
    """Offer to top, or where bits are given set them and add scores; documents low ... high - 1. How many match."""
    cdef int lead = 0, i
    cdef uint32_t doc = low, most, place
    cdef int64_t matches = 0
    cdef float frequency, score
    cdef uint8_t norm = 0
    cdef Clause* c = q.clauses[0]
    cdef bint counting = top == NULL or track < 0 or (track > 0 and top.total <= track)
    if not counting:
        top.exact = False
    for i in range(1, q.slot_count):
        if q.slots[i].df < q.slots[lead].df:
            lead = i
    while True:
        doc = next_of(q, lead, doc)
        if doc >= high:
            return matches
        if c.norms != NULL:
            norm = c.norms[doc]
        most = 0xFFFFFFFF
        if not counting and slop == 0:
            most = frequency_of(q, lead, doc)
            if highest_score(weight, most, c.factors[norm]) <= top.threshold:
                doc += 1
                continue
        for i in range(q.slot_count):
            if i != lead:
                frequency = frequency_of(q, i, doc)
                if frequency == 0:
                    break
                most = min(most, <uint32_t>frequency)
        else:
            if accepts(q, doc) and (counting or slop or highest_score(weight, most, c.factors[norm]) > top.threshold):
                frequency = matches_in(q, doc, slop)
                if frequency > 0:
                    matches += 1
                    score = weight * frequency / (frequency + c.factors[norm])
                    if bits != NULL:
                        place = doc - low
                        bits[place >> 6] |= <uint64_t>1 << (place & 63)
                        if q.scores != NULL:
                            q.scores[place] += score
                    if top != NULL:
                        if counting:
                            top.total += 1
                            counting = track < 0 or top.total <= track
                            if not counting:
                                top.exact = False
                        q.scored += 1
                        offer(top, score, segment, doc)
        doc += 1
