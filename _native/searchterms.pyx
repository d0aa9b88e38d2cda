"""Looking words up in a field's dictionary: exactly, by prefix, by an automaton, by distance.

    Dictionary.find      one word: bisection over the blocks' keys, then at most 32 entries; nothing is decoded twice
    Dictionary.bounds    the ordinals of all terms from one word on, below another
    Dictionary.walk      those that a deterministic automaton over bytes accepts
    Dictionary.within    those at most two edits away

Terms are sorted and front-coded, so neighbours share their beginnings. A walk keeps the automaton's state after each
byte of the current term on a stack: a term costs only the bytes it does not share with the one before. When the state
is dead after some bytes, every term that begins with them is passed over: block by block, by bisection.

Distance counts code points: insert, delete, replace, or swap two neighbours (optimal string alignment). It is a
bit-parallel automaton (Wu and Manber, "Fast text searching allowing errors", 1992): bit j of R[e] says that j code
points of the word are matched with at most e edits, T[e] that a swap is half done. Words of more than 62 code points,
which nobody mistypes by design, are compared one by one with the few terms of nearly their length.

Where bytes are no UTF-8, each wrong byte counts as a code point of its own.

Invariants: find, bounds, walk and within agree with a sorted list of the terms. Each call has its own state.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

import numpy as np

from buffers cimport Writer
from searchdictionary cimport (
    BLOCK,
    MOST_BYTES,
    Dictionary as Terms,
    Walk,
    entry_sizes,
    find_term,
    go_to,
    next_entry,
    open_block,
    open_dictionary,
    ordinal_of,
    stand_before,
)
from searchencode cimport room_for

cdef enum:
    WORD = 62  # code points of a word that fits one machine word, with a bit to spare
    MOST_POINTS = 1024


@cython.final
@cython.auto_pickle(False)
cdef class Dictionary:
    """The terms of one field of a segment. start, size: of its section; lists: (start, size) of the section of lists.

    The blob is not copied. An entry is (documents, start, size): how many documents hold the term and where its posting
    list lies in the blob. ValueError if the head of the section does not fit to it, and from any call that meets bytes
    that are no entry.
    """

    cdef Terms terms
    cdef const uint8_t[::1] blob

    def __cinit__(self, const uint8_t[::1] blob not None, uint64_t start, uint64_t size, lists=(0, 0)):
        self.blob = blob
        if blob.shape[0] == 0 or not open_dictionary(&self.terms, &blob[0], <uint64_t>blob.shape[0], start, size,
                                                     lists[0], lists[1]):
            raise ValueError("these bytes are no dictionary")

    def __len__(self):
        return self.terms.terms

    def find(self, bytes term not None):
        """The entry of a term, or None."""
        cdef uint32_t ordinal, df
        cdef uint64_t start, size
        cdef int found = find_term(&self.terms, term, len(term), &ordinal, &df, &start, &size)
        if found == 1:
            return df, start, size
        if found < 0:
            no_dictionary()
        return None

    def ordinal(self, bytes term not None):
        """How many terms are below this one, and whether it is there itself."""
        cdef uint32_t ordinal = 0, df
        cdef uint64_t start, size
        cdef int found = find_term(&self.terms, term, len(term), &ordinal, &df, &start, &size)
        if found < 0:
            no_dictionary()
        return ordinal, found == 1

    def bounds(self, bytes low, bytes high):
        """The ordinals (first, end) of the terms from low on and below high; None: no bound."""
        first = 0 if low is None else self.ordinal(low)[0]
        end = self.terms.terms if high is None else self.ordinal(high)[0]
        return first, max(first, end)

    def prefix(self, bytes prefix not None):
        """The ordinals (first, end) of the terms that begin with prefix."""
        return self.bounds(prefix, successor(prefix))

    def term(self, uint32_t ordinal):
        """The bytes of one term. IndexError if there are fewer."""
        return self.slice(ordinal, ordinal + 1)[0]

    def slice(self, uint32_t first, uint32_t end):
        """The terms of these ordinals: list[bytes]. IndexError if there are fewer."""
        cdef Walk* walk
        cdef list out = []
        if end > self.terms.terms:
            raise IndexError("there are fewer terms")
        walk = new_walk()
        try:
            if first < end:
                stand_before(walk, &self.terms, first)
                while first < end and next_entry(walk):
                    out.append(PyBytes_FromStringAndSize(<char*>walk.term, walk.size))
                    first += 1
                if first < end:
                    no_dictionary()
        finally:
            PyMem_RawFree(walk)
        return out

    def entries(self, const uint32_t[::1] ordinals not None):
        """The entries of ascending ordinals: uint32[n] documents, uint64[n] starts, uint64[n] sizes."""
        cdef Py_ssize_t n = ordinals.shape[0], i
        made_df, made_start, made_size = np.empty(n, np.uint32), np.empty(n, np.uint64), np.empty(n, np.uint64)
        cdef uint32_t[::1] df = made_df
        cdef uint64_t[::1] start = made_start, size = made_size
        cdef Walk* walk
        cdef bint ok = True
        for i in range(n):
            if ordinals[i] >= self.terms.terms or (i and ordinals[i] <= ordinals[i - 1]):
                raise ValueError("ordinals must ascend and be below the number of terms")
        walk = new_walk()
        if n:
            with nogil:
                ok = stand_before(walk, &self.terms, ordinals[0])
                for i in range(n):
                    if not ok:
                        break
                    if ordinals[i] // BLOCK > walk.block:
                        ok = stand_before(walk, &self.terms, ordinals[i])
                    ok = ok and next_entry(walk)
                    while ok and ordinal_of(walk) < ordinals[i]:
                        ok = next_entry(walk)
                    df[i], start[i], size[i] = walk.df, walk.start, walk.length
        PyMem_RawFree(walk)
        if not ok:
            no_dictionary()
        return made_df, made_start, made_size

    def walk(self, const int32_t[:, ::1] moves not None, const uint8_t[::1] accepts not None, uint32_t first=0,
             end=None, int64_t most=-1):
        """Ordinals of the terms that the automaton accepts: uint32[n], ascending.

        moves: int32[states, 256], the next state for each byte or -1; accepts: uint8[states]; state 0 is the first.
        most: stop when there are more than that many, so that a caller can say that there are too many (-1: never).
        """
        cdef uint32_t last = self.terms.terms if end is None else end, ordinal
        cdef Py_ssize_t states = moves.shape[0], i, j
        cdef Walk* walk
        cdef int32_t* stack
        cdef Writer out
        cdef uint32_t depth = 0, dead = MOST_BYTES + 1
        cdef int32_t state
        cdef int64_t found = 0
        cdef bint ok = True
        if moves.shape[1] != 256 or accepts.shape[0] != states or states == 0:
            raise ValueError("moves must have a row of 256 for each state, accepts one flag")
        for i in range(states):
            for j in range(256):
                if moves[i, j] >= states:
                    raise ValueError("moves lead to states that are not there")
        memset(&out, 0, sizeof(Writer))
        walk = new_walk()
        stack = <int32_t*>PyMem_RawMalloc(4 * (MOST_BYTES + 1))
        if stack == NULL:
            PyMem_RawFree(walk)
            raise MemoryError
        with nogil:
            stack[0] = 0
            ok = first >= last or stand_before(walk, &self.terms, first)
            while ok and first < last and next_entry(walk):
                ordinal = ordinal_of(walk)
                if ordinal >= last:
                    break
                if walk.index > 1 and walk.shared >= dead:  # as dead as the one before
                    continue
                depth = min(walk.shared if walk.index > 1 else 0, depth)
                dead = MOST_BYTES + 1
                state = stack[depth]
                while state >= 0 and depth < walk.size:
                    state = moves[state, walk.term[depth]]
                    depth += 1
                    stack[depth] = state
                if state < 0:
                    dead = depth
                    pass_over(walk, depth)
                    depth -= 1
                elif accepts[state]:
                    ok = keep(&out, ordinal)
                    found += 1
                    if found == most + 1:
                        break
        broken = walk.broken
        PyMem_RawFree(walk)
        PyMem_RawFree(stack)
        if broken or not ok:
            PyMem_RawFree(out.heap)
            no_dictionary()
        return numbers(&out)

    def within(self, str word not None, int edits, *, bint transpositions=True, uint32_t first=0, end=None):
        """The terms of these ordinals at most `edits` (0, 1 or 2) away from the word.

        Returns ordinals: uint32[n] ascending, distances: uint32[n], lengths: uint32[n] in code points.
        """
        cdef uint32_t last = self.terms.terms if end is None else end
        cdef Py_ssize_t size = len(word), i
        cdef Search* search
        cdef bint ok
        if not 0 <= edits <= 2:
            raise ValueError("edits must be 0, 1 or 2")
        if size > MOST_POINTS:
            raise ValueError("a word of more than 1,024 letters has no neighbours")
        search = <Search*>PyMem_RawMalloc(sizeof(Search))
        if search == NULL:
            raise MemoryError
        memset(search, 0, sizeof(Search))
        search.walk = NULL
        try:
            search.walk = new_walk()
            search.size, search.edits, search.transpositions = <int>size, edits, transpositions
            for i in range(size):
                search.word[i] = <uint32_t>ord(word[i])
                if search.word[i] < 128 and i < WORD:
                    search.ascii[search.word[i]] |= <uint64_t>1 << i
            with nogil:
                ok = first >= last or stand_before(search.walk, &self.terms, first)
                if ok and first < last:
                    ok = neighbours(search, last) if size <= WORD else compare_all(search, last)
            if not ok or search.walk.broken:
                PyMem_RawFree(search.found.heap)
                search.found.heap = NULL
                no_dictionary()
        finally:
            PyMem_RawFree(search.walk)
            found = numbers(&search.found)
            PyMem_RawFree(search)
        table = found.reshape(-1, 3)
        return table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy()


def successor(bytes prefix not None):
    """The least bytes above all that begin with prefix, or None where there are none."""
    kept = prefix.rstrip(b"\xff")
    last = len(kept) - 1
    return kept[:last] + bytes([kept[last] + 1]) if kept else None


cdef int no_dictionary() except -1:
    raise ValueError("these bytes are no dictionary")


cdef Walk* new_walk() except NULL:
    cdef Walk* walk = <Walk*>PyMem_RawMalloc(sizeof(Walk))
    if walk == NULL:
        raise MemoryError
    walk.broken = False
    walk.index = walk.count = walk.block = walk.size = 0
    return walk


cdef bint keep(Writer* out, uint32_t number) noexcept nogil:
    if not room_for(out, 4):
        return False
    memcpy(out.start + out.used, &number, 4)
    out.used += 4
    return True


cdef numbers(Writer* out):
    """The kept numbers, and the end of their memory."""
    made = np.empty(out.used // 4, np.uint32)
    cdef uint32_t[::1] to = made
    if out.used:
        memcpy(&to[0], out.start, out.used)
    PyMem_RawFree(out.heap)
    out.heap = NULL
    return made


cdef void pass_over(Walk* walk, uint32_t depth) noexcept nogil:
    """Go on so that the next entry is near the first that does not begin with the term's first `depth` bytes."""
    cdef const Terms* d = walk.dictionary
    cdef uint32_t low = walk.block + 1, high = d.blocks, middle, step = 1
    if low >= high or not begins(d, low, walk.term, depth):
        return
    while low + step < high and begins(d, low + step, walk.term, depth):
        low += step
        step <<= 1
    high = min(low + step, high)
    while low + 1 < high:
        middle = (low + high) >> 1
        if begins(d, middle, walk.term, depth):
            low = middle
        else:
            high = middle
    go_to(walk, low)  # its first term begins so; the first that does not is in it, or begins the next


cdef bint begins(const Terms* d, uint32_t block, const uint8_t* prefix, uint32_t size) noexcept nogil:
    """Whether a block's first term begins with the prefix."""
    cdef const uint8_t* at
    cdef const uint8_t* end
    cdef uint64_t list
    cdef uint32_t shared, more
    if not open_block(d, block, &at, &end, &list) or not entry_sizes(&at, end, &shared, &more):
        return False
    return more >= size and memcmp(at, prefix, size) == 0


# --- distance ---


cdef struct State:
    uint64_t matched[3]
    uint64_t swapping[3]
    uint32_t points       # code points read
    uint32_t point        # the one that is being read
    int more              # bytes of it still to come
    bint alive


cdef struct Search:
    Walk* walk
    Writer found
    int size
    int edits
    bint transpositions
    uint64_t ascii[128]
    uint32_t word[1024]
    State states[1024]


cdef inline uint64_t places_of(const Search* s, uint32_t point) noexcept nogil:
    """Bit j: the word's code point j is this one."""
    cdef uint64_t places = 0
    cdef int i
    if point < 128:
        return s.ascii[point]
    for i in range(s.size):
        places |= <uint64_t>(s.word[i] == point) << i
    return places


cdef inline bint read_byte(State* state, uint8_t byte) noexcept nogil:
    """Whether a code point is complete now, in state.point. Wrong bytes are code points beyond all others."""
    if state.more and byte & 0xC0 == 0x80:
        state.point = state.point << 6 | (byte & 0x3F)
        state.more -= 1
        return state.more == 0
    state.more = 0
    if byte < 0x80:
        state.point = byte
        return True
    if byte & 0xE0 == 0xC0:
        state.point, state.more = byte & 0x1F, 1
    elif byte & 0xF0 == 0xE0:
        state.point, state.more = byte & 0x0F, 2
    elif byte & 0xF8 == 0xF0:
        state.point, state.more = byte & 0x07, 3
    else:
        state.point = 0x110000 + byte
        return True
    return False


cdef inline void step(const Search* s, const State* old, State* new, uint64_t places) noexcept nogil:
    cdef uint64_t alive
    cdef int e
    new.matched[0] = (old.matched[0] & places) << 1
    new.swapping[0] = 0
    alive = new.matched[0]
    for e in range(1, s.edits + 1):
        new.matched[e] = ((old.matched[e] & places) << 1 | old.matched[e - 1] | old.matched[e - 1] << 1
                          | new.matched[e - 1] << 1 | (old.swapping[e] & places) << 2)
        new.swapping[e] = old.matched[e - 1] & (places >> 1) if s.transpositions else 0
        alive |= new.matched[e] | new.swapping[e]
    new.alive = alive & ((<uint64_t>2 << s.size) - 1) != 0


cdef bint neighbours(Search* s, uint32_t last) noexcept nogil:
    """All terms below ordinal `last` within the edits, for a word of at most 62 code points."""
    cdef Walk* walk = s.walk
    cdef uint32_t depth = 0, dead = MOST_BYTES + 1, limit = <uint32_t>(4 * (s.size + s.edits) + 4), ordinal
    cdef State* old
    cdef State* new
    cdef int e
    for e in range(s.edits + 1):
        s.states[0].matched[e] = (<uint64_t>2 << e) - 1
    s.states[0].alive = True
    while next_entry(walk):
        ordinal = ordinal_of(walk)
        if ordinal >= last:
            return True
        if walk.index > 1 and walk.shared >= dead:  # as dead as the one before
            continue
        depth = min(walk.shared if walk.index > 1 else 0, depth)
        dead = MOST_BYTES + 1
        new = &s.states[depth]
        while new.alive and depth < walk.size and depth < limit:
            old = new
            new = &s.states[depth + 1]
            new[0] = old[0]
            if read_byte(new, walk.term[depth]):
                new.points += 1
                step(s, old, new, places_of(s, new.point))
            depth += 1
        if not new.alive:
            dead = depth
            pass_over(walk, depth)
            depth -= 1
            continue
        if depth == walk.size:
            for e in range(s.edits + 1):
                if new.matched[e] >> s.size & 1:
                    if not keep(&s.found, ordinal) or not keep(&s.found, e) or not keep(&s.found, new.points):
                        return False
                    break
    return True


cdef bint compare_all(Search* s, uint32_t last) noexcept nogil:
    """The same for longer words: a table of distances, five diagonals wide, for each term of about that length."""
    cdef Walk* walk = s.walk
    cdef uint32_t points[1032]
    cdef uint32_t rows[3][1032]
    cdef State state
    cdef uint32_t ordinal, k, best, cost
    cdef int n, i, j, low, high
    cdef uint32_t* row
    cdef uint32_t* above
    cdef uint32_t* two_above
    while next_entry(walk):
        ordinal = ordinal_of(walk)
        if ordinal >= last:
            return True
        if walk.size < <uint32_t>(s.size - s.edits) or walk.size > <uint32_t>(4 * (s.size + s.edits)):
            continue
        memset(&state, 0, sizeof(State))
        n = 0
        for k in range(walk.size):
            if read_byte(&state, walk.term[k]):
                if n <= s.size + s.edits:
                    points[n] = state.point
                n += 1
        if n < s.size - s.edits or n > s.size + s.edits:
            continue
        for j in range(n + 1):
            rows[0][j] = <uint32_t>j
        for i in range(1, s.size + 1):
            row, above, two_above = rows[i % 3], rows[(i + 2) % 3], rows[(i + 1) % 3]
            low, high = max(1, i - s.edits - 1), min(n, i + s.edits + 1)
            row[low - 1] = <uint32_t>i if low == 1 else 100
            for j in range(low, high + 1):
                cost = 0 if s.word[i - 1] == points[j - 1] else 1
                best = above[j - 1] + cost
                best = min(best, row[j - 1] + 1)
                if j < i + s.edits + 1:
                    best = min(best, above[j] + 1)
                if (s.transpositions and i > 1 and j > 1 and s.word[i - 1] == points[j - 2]
                        and s.word[i - 2] == points[j - 1] and cost):
                    best = min(best, two_above[j - 2] + 1)
                row[j] = best
        best = rows[s.size % 3][n]
        if best <= <uint32_t>s.edits:
            if not keep(&s.found, ordinal) or not keep(&s.found, best) or not keep(&s.found, <uint32_t>n):
                return False
    return True
