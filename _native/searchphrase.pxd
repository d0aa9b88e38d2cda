"""How often a phrase stands in a document, from the positions of its words.

    places[i]    where word i of the phrase stands in the document, ascending, less its place in the phrase
    exact        how many places all words have in common
    sloppy       the sum of 1 / (1 + distance) over the matches whose words lie at most `slop` apart

The sloppy count is Lucene's (SloppyPhraseMatcher): the word that is most behind moves on; each time it overtakes the
next one a match has become as short as it can, and its length, where it is at most slop, counts. Words that stand twice
in the phrase may not share a position; whichever is behind gives way.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.string cimport memset

cdef enum:
    FEW = 8        # places in all, from which marks are quicker than walking
    PLACES = 4096  # that can be marked


cdef struct Word:
    int32_t* places     # less `offset`, so it may be negative
    int32_t offset      # the word's place in the phrase
    uint32_t count
    uint32_t room
    uint32_t at
    int32_t group       # words with the same terms share it; -1: none has


cdef inline uint32_t exact(Word* words, int n) noexcept nogil:
    """How many places all words have in common, none of which has none."""
    cdef uint32_t total = 0
    cdef int32_t last = words[0].places[words[0].count - 1], shift = 0
    cdef int j
    for j in range(n):
        total += words[j].count
        shift = max(shift, words[j].offset)
        last = min(last, words[j].places[words[j].count - 1])
    if total > FEW and last + shift < PLACES and n < 256:
        return exact_marks(words, n, last, shift)
    return exact_walk(words, n)


cdef inline uint32_t exact_marks(Word* words, int n, int32_t last, int32_t shift) noexcept nogil:
    """A mark for each place, none beyond `last`: how many words in a row stand there. No branch depends on where.

    Bytes, not bits: neighbours would wait for each other to be written to the same word of bits.
    """
    cdef uint8_t marks[4096]
    cdef uint32_t matches = 0
    cdef int32_t i, j, place, hit, count
    cdef const int32_t* places
    memset(marks, 0, last + shift + 1)
    for j in range(n):
        places, count = words[j].places, <int32_t>words[j].count
        while count and places[count - 1] > last:
            count -= 1
        matches = 0
        for i in range(count):
            place = places[i] + shift
            hit = marks[place] == j
            marks[place] += <uint8_t>hit
            matches += <uint32_t>hit
    return matches


cdef inline uint32_t exact_walk(Word* words, int n) noexcept nogil:
    """The word that stands there least often leads, the others follow."""
    cdef uint32_t matches = 0, i, at
    cdef int32_t place
    cdef int j, rarest = 0
    cdef Word* word
    for j in range(n):
        words[j].at = 0
        if words[j].count < words[rarest].count:
            rarest = j
    for i in range(words[rarest].count):
        place = words[rarest].places[i]
        for j in range(n):
            word = &words[j]
            at = word.at
            while at < word.count and word.places[at] < place:
                at += 1
            word.at = at
            if at == word.count:
                return matches
            if word.places[at] != place:
                break
        else:
            matches += not (i and words[rarest].places[i - 1] == place)  # two words may share a position
    return matches


cdef inline bint forward(Word* word, int32_t* end) noexcept nogil:
    word.at += 1
    if word.at >= word.count:
        return False
    if word.places[word.at] > end[0]:
        end[0] = word.places[word.at]
    return True


cdef inline bint comes_before(const Word* a, const Word* b) noexcept nogil:
    if a.places[a.at] != b.places[b.at]:
        return a.places[a.at] < b.places[b.at]
    return a.offset < b.offset


cdef inline bint give_way(Word* words, int n, int moved, int32_t* end) noexcept nogil:
    """After words[moved] moved: part words of the same terms that stand on one position. False: one has no more."""
    cdef int j, other
    if words[moved].group < 0:
        return True
    while True:
        other = -1
        for j in range(n):
            if (j != moved and words[j].group == words[moved].group
                    and words[j].places[words[j].at] + words[j].offset
                    == words[moved].places[words[moved].at] + words[moved].offset):
                other = j
                break
        if other < 0:
            return True
        if comes_before(&words[other], &words[moved]):
            moved = other
        if not forward(&words[moved], end):
            return False


cdef inline float sloppy(Word* words, int n, int32_t slop) noexcept nogil:
    cdef int32_t end = -0x7FFFFFFF, length, next_place
    cdef int i, j, behind, seen
    cdef float total = 0
    for i in range(n):
        words[i].at = 0
        seen = 0
        if words[i].group >= 0:  # the second of two equal words begins at the second position, and so on
            for j in range(i):
                seen += words[j].group == words[i].group
        if words[i].count <= <uint32_t>seen:
            return 0
        words[i].at = <uint32_t>seen
        if words[i].places[seen] > end:
            end = words[i].places[seen]
    behind = least(words, n, -1)
    while True:
        length = end - words[behind].places[words[behind].at]
        next_place = words[least(words, n, behind)].places[words[least(words, n, behind)].at] if n > 1 else end
        while True:
            if not forward(&words[behind], &end) or not give_way(words, n, behind, &end):
                return total + <float>1 / (1 + length) if length <= slop else total
            if words[behind].places[words[behind].at] > next_place:
                break
            length = min(length, end - words[behind].places[words[behind].at])
        if length <= slop:
            total += <float>1 / (1 + length)
        behind = least(words, n, -1)


cdef inline int least(const Word* words, int n, int but) noexcept nogil:
    """The word that is most behind, except for one."""
    cdef int i, found = -1
    for i in range(n):
        if i != but and (found < 0 or comes_before(&words[i], &words[found])):
            found = i
    return found
