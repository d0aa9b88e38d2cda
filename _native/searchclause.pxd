"""A posting list with a weight: what it adds to the score of a document, and how much it can add at most.

    score    weight * frequency / (frequency + factor of the document's norm), in float32

That is BM25 as Lucene 8 and later have it, without the factor k1 + 1: weight is boost * idf, the factor of a norm is
k1 * (1 - b + b * length / average length). A sum of scores is kept in float64, in which float32 numbers of this size
add up without loss, and rounded once at its end: so it does not depend on the order in which clauses are added, and
every way of evaluating a query gives the same bits.

Bounds come from the competitive pairs of a list or block, rounded up by a millionth, because a quotient of rounded
numbers need not ascend with its parts in the last bit.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from searchlist cimport Header, List, PAIRS, find, frequency_at, need_docs, need_frequencies, seek_block, to_block
from searchpack cimport first_at_least

cdef enum:
    TABLED = 4         # frequencies with a table of scores
    WINDOW = 8192      # documents that are looked at together
    WORDS = 128        # of a window's bitset


cdef struct Clause:
    List l
    const uint8_t* norms      # of the field's documents, or NULL: then each has norm 0
    const float* factors      # by norm
    float* table              # scores of frequencies 1 to 4 by norm, or NULL
    float weight
    float bound               # of the list
    float window_bound
    uint32_t most             # the highest frequency; 255 means that or more


cdef inline float score_of(const Clause* c, uint32_t frequency, uint8_t norm) noexcept nogil:
    return c.weight * <float>frequency / (<float>frequency + c.factors[norm])


cdef inline float highest_score(float weight, uint32_t frequency, float factor) noexcept nogil:
    """What no frequency up to this one passes."""
    return weight * <float>frequency / (<float>frequency + factor) * <float>1.000001


cdef inline float score_at(Clause* c, int i) noexcept nogil:
    """The score of document i of the block, whose documents are there."""
    cdef uint32_t frequency = frequency_at(&c.l, i)
    cdef uint8_t norm = c.norms[c.l.docs[i]] if c.norms != NULL else 0
    if c.table != NULL and frequency <= TABLED:
        return c.table[(frequency - 1) << 8 | norm]
    return score_of(c, frequency, norm)


cdef inline float bound_of(const Clause* c, const uint8_t* pairs) noexcept nogil:
    """No document of these pairs scores more."""
    cdef float highest = 0, score
    cdef int i
    for i in range(PAIRS):
        if i and pairs[2 * i] == pairs[2 * i - 2] and pairs[2 * i + 1] == pairs[2 * i - 1]:
            break  # the rest is padding
        if pairs[2 * i] == 255:
            score = c.weight
        elif c.table != NULL and 1 <= pairs[2 * i] <= TABLED:
            score = c.table[(<int>pairs[2 * i] - 1) << 8 | pairs[2 * i + 1]]
        else:
            score = score_of(c, pairs[2 * i], pairs[2 * i + 1])
        highest = max(highest, score)
    return highest * <float>1.000001


cdef inline void bound_list(Clause* c) noexcept nogil:
    """Set bound and most."""
    cdef int i
    c.bound, c.most = 0, 0
    if c.l.broken:
        return
    if c.l.pairs != NULL:
        c.bound = bound_of(c, c.l.pairs)
        for i in range(PAIRS):
            c.most = max(c.most, <uint32_t>c.l.pairs[2 * i])
        return
    for i in range(c.l.count):
        c.bound = max(c.bound, score_at(c, i))
        c.most = max(c.most, min(c.l.frequencies[i], <uint32_t>255))
    c.bound *= <float>1.000001


cdef inline void bound_window(Clause* c, uint32_t low, uint32_t high) noexcept nogil:
    """Set window_bound: of the documents low <= document < high. The cursor goes to the first block of the window."""
    cdef uint32_t block
    c.window_bound = 0
    if not seek_block(&c.l, low):
        return
    if c.l.headers == NULL:
        c.l.at = first_at_least(c.l.docs, c.l.at, c.l.count, low)
        if c.l.docs[c.l.at] < high:
            c.window_bound = c.bound
        return
    if c.l.before + 1 >= high:  # before the first block: NONE + 1 is 0
        return
    block = c.l.block
    while True:
        c.window_bound = max(c.window_bound, bound_of(c, c.l.headers[block].pairs))
        if c.l.headers[block].last >= high - 1 or block + 1 >= c.l.blocks:
            return
        block += 1


cdef inline bint next_part(Clause* c, uint32_t low, uint32_t high, int* first, int* end) noexcept nogil:
    """Documents first ... end - 1 of the block lie in low <= document < high, which has low or a later one of them.

    Call seek_block(low) before the first part; False: there are no more. Frequencies are there, too.
    """
    cdef List* its = &c.l
    if its.block >= its.blocks or its.before + 1 >= high or not need_docs(its):
        return False
    first[0] = first_at_least(its.docs, its.at, its.count, low)
    end[0] = its.count if its.last < high else first_at_least(its.docs, first[0], its.count, high)
    its.at = first[0]
    return first[0] < end[0] or its.last < high


cdef inline bint part_done(Clause* c, uint32_t high, int end) noexcept nogil:
    """Go on after a part; False: the window has no more."""
    if end < c.l.count:
        c.l.at = end
        return False
    to_block(&c.l, c.l.block + 1)
    return c.l.block < c.l.blocks


cdef inline bint add_scores(Clause* c, uint32_t low, uint32_t high, double* scores, uint64_t* bits) noexcept nogil:
    """Add the clause's scores in the window to scores[document - low], and set its bits."""
    cdef List* its = &c.l
    cdef int first, end, i
    cdef uint32_t place, frequency
    cdef uint8_t norm = 0
    cdef float score
    if not seek_block(its, low):
        return True
    while next_part(c, low, high, &first, &end):
        need_frequencies(its)
        for i in range(first, end):
            place = its.docs[i] - low
            frequency = its.frequencies[i]
            if c.norms != NULL:
                norm = c.norms[its.docs[i]]
            if c.table != NULL and frequency <= TABLED:
                score = c.table[(frequency - 1) << 8 | norm]
            else:
                score = score_of(c, frequency, norm)
            scores[place] += score
            bits[place >> 6] |= <uint64_t>1 << (place & 63)
        if not part_done(c, high, end):
            break
    return not its.broken


cdef inline bint add_bits(Clause* c, uint32_t low, uint32_t high, uint64_t* bits) noexcept nogil:
    """Set the bits of the clause's documents in the window."""
    cdef List* its = &c.l
    cdef int first, end, i
    cdef uint32_t place
    if not seek_block(its, low):
        return True
    while next_part(c, low, high, &first, &end):
        for i in range(first, end):
            place = its.docs[i] - low
            bits[place >> 6] |= <uint64_t>1 << (place & 63)
        if not part_done(c, high, end):
            break
    return not its.broken
