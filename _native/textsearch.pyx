"""Text in text: LIKE, POSITION, REPLACE, SPLIT_PART over a column (layout: strings.pyx).

A LIKE pattern comes in pieces, cut at its % signs:

    'ab%c_d%%x'   ->   prefix 'ab', floating 'c_d', suffix 'x'        'a_b'   ->   one piece, exact

    pieces  offsets and a heap, as a column: prefix, floating ones (never empty), suffix; or the exact one alone
    wild    1 for the bytes of that heap that are a _, which takes one character: up to 4 bytes of UTF-8

Prefix and suffix are compared where they must be; each floating piece is taken at its leftmost place behind the one
before, which is right because a later place never helps the pieces behind.

Where the pattern begins with % the first floating piece is not searched for value by value but in the whole heap at
once, 64 places at a step: two bytes of the piece, the rarest in English, are compared at their distance (the generic
SIMD search of Wojciech Mula). A hit is then looked up in the offsets. Most values hold no hit and cost nothing else.

Invariant: nothing matches across the end of a value.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memchr, memcmp, memcpy, memset

from dispatch cimport multiversion_int64

cdef uint8_t[256] COMMON  # how common a byte is in English text; 0 for all that are no letter and no blank
memset(COMMON, 0, 256)
for _place, _letter in enumerate(bytearray(b" etaoinshrdlcumwfgypbvkjxqz")):
    COMMON[_letter] = 27 - _place


cdef struct Needle:
    const uint8_t* bytes
    int64_t size
    int64_t first  # places of its two rarest bytes, first <= second
    int64_t second


cdef Needle needle_of(const uint8_t* text, int64_t size) noexcept nogil:
    cdef Needle made = Needle(text, size, 0, 0)
    cdef int64_t i, rarest = 0, other
    for i in range(1, size):
        if COMMON[text[i]] < COMMON[text[rarest]]:
            rarest = i
    other = 1 if rarest == 0 and size > 1 else 0
    for i in range(size):
        if i != rarest and COMMON[text[i]] < COMMON[text[other]]:
            other = i
    made.first = min(rarest, other)
    made.second = max(rarest, other)
    return made


cdef multiversion_int64 next_block(const uint8_t* at, const uint8_t* further, int64_t blocks, uint8_t one,
                                   uint8_t two) noexcept nogil:
    """The first block of 64 places where at is one and further is two; `blocks` if there is none."""
    cdef int64_t block, j
    cdef uint8_t any
    for block in range(blocks):
        any = 0
        for j in range(64):
            any |= <uint8_t>(at[64 * block + j] == one) & <uint8_t>(further[64 * block + j] == two)
        if any:
            return block
    return blocks


cdef int64_t find_short(const uint8_t* heap, int64_t at, int64_t end, const uint8_t* text, int64_t size) noexcept nogil:
    """The first place in at to end where text is; -1 if none. For short stretches."""
    cdef const uint8_t* hit
    cdef int64_t last = end - size
    if size == 0:
        return at
    while at <= last:
        hit = <const uint8_t*>memchr(heap + at, text[0], last - at + 1)
        if hit == NULL:
            return -1
        at = hit - heap
        if memcmp(hit + 1, text + 1, size - 1) == 0:
            return at
        at += 1
    return -1


cdef int64_t find_long(const uint8_t* heap, int64_t at, int64_t end, const Needle* needle) noexcept nogil:
    """The same in blocks. For long stretches."""
    cdef int64_t blocks, found, j
    cdef uint8_t one = needle.bytes[needle.first], two = needle.bytes[needle.second]
    while at + needle.size + 63 <= end:
        blocks = (end - at - needle.size + 1) // 64
        found = next_block(heap + at + needle.first, heap + at + needle.second, blocks, one, two)
        at += 64 * found
        if found == blocks:
            break
        for j in range(at, at + 64):
            if heap[j + needle.first] == one and heap[j + needle.second] == two:
                if memcmp(heap + j, needle.bytes, needle.size) == 0:
                    return j
        at += 64
    return find_short(heap, at, end, needle.bytes, needle.size)


# --- LIKE ---


cdef struct Piece:
    const uint8_t* bytes
    const uint8_t* wild
    int32_t size
    bint literal  # no _ in it


cdef inline Piece piece_at(const int32_t[::1] offsets, const uint8_t* heap, const uint8_t* wild, Py_ssize_t i,
                           ) noexcept nogil:
    cdef Piece made = Piece(heap + offsets[i], wild + offsets[i], offsets[i + 1] - offsets[i], True)
    cdef int32_t j
    for j in range(made.size):
        if made.wild[j]:
            made.literal = False
    return made


cdef int64_t match_forward(const uint8_t* heap, int64_t at, int64_t end, const Piece* piece) noexcept nogil:
    """Where the piece ends that begins at `at`; -1 if it is not there."""
    cdef int32_t i
    if piece.literal:
        if end - at < piece.size or (piece.size and memcmp(heap + at, piece.bytes, piece.size) != 0):
            return -1
        return at + piece.size
    for i in range(piece.size):
        if at >= end:
            return -1
        if piece.wild[i]:
            at += 1
            while at < end and (heap[at] & 0xC0) == 0x80:
                at += 1
        else:
            if heap[at] != piece.bytes[i]:
                return -1
            at += 1
    return at


cdef int64_t match_backward(const uint8_t* heap, int64_t at, int64_t end, const Piece* piece) noexcept nogil:
    """Where the piece begins that ends at `end` and does not begin before `at`; -1 if it is not there."""
    cdef int32_t i
    if piece.literal:
        if end - at < piece.size or (piece.size and memcmp(heap + end - piece.size, piece.bytes, piece.size) != 0):
            return -1
        return end - piece.size
    for i in range(piece.size - 1, -1, -1):
        if end <= at:
            return -1
        end -= 1
        if piece.wild[i]:
            while end > at and (heap[end] & 0xC0) == 0x80:
                end -= 1
        elif heap[end] != piece.bytes[i]:
            return -1
    return end


cdef int64_t search(const uint8_t* heap, int64_t at, int64_t end, const Piece* piece) noexcept nogil:
    """Where the piece ends at its leftmost place; -1 if it is nowhere."""
    cdef int64_t found
    if piece.literal:
        found = find_short(heap, at, end, piece.bytes, piece.size)
        return found + piece.size if found >= 0 else -1
    while at < end:
        found = match_forward(heap, at, end, piece)
        if found >= 0:
            return found
        at += 1
        while at < end and (heap[at] & 0xC0) == 0x80:
            at += 1
    return -1


cdef bint match_rest(const uint8_t* heap, int64_t at, int64_t end, const int32_t[::1] offsets, const uint8_t* pieces,
                     const uint8_t* wild, Py_ssize_t first) noexcept nogil:
    """The suffix, and the floating pieces from `first` on."""
    cdef Py_ssize_t i, last = offsets.shape[0] - 2
    cdef Piece piece = piece_at(offsets, pieces, wild, last)
    end = match_backward(heap, at, end, &piece)
    if end < 0:
        return False
    for i in range(first, last):
        piece = piece_at(offsets, pieces, wild, i)
        at = search(heap, at, end, &piece)
        if at < 0:
            return False
    return True


cdef void like_heap(const int32_t[::1] rows, const uint8_t* heap, const int32_t[::1] offsets, const uint8_t* pieces,
                    const uint8_t* wild, const Piece* first, uint8_t[::1] out) noexcept nogil:
    """No prefix, and the first floating piece is literal: it is searched for in all values at once."""
    cdef Py_ssize_t row = 0, n = rows.shape[0] - 1
    cdef int64_t at = rows[0], end = rows[n]
    cdef Needle needle = needle_of(first.bytes, first.size)
    memset(&out[0], 0, n)
    while True:
        at = find_long(heap, at, end, &needle)
        if at < 0:
            return
        while rows[row + 1] <= at:
            row += 1
        if at + needle.size <= rows[row + 1]:
            out[row] = match_rest(heap, at + needle.size, rows[row + 1], offsets, pieces, wild, 2)
            at = rows[row + 1]
        else:
            at += 1


def like(const int32_t[::1] rows not None, const uint8_t[::1] heap not None, const int32_t[::1] offsets not None,
         const uint8_t[::1] pieces not None, const uint8_t[::1] wild not None, uint8_t[::1] out not None):
    """out[i] = 1 where the value is like the pattern, whose pieces and wild bytes are as the module's text says."""
    cdef Py_ssize_t i, n = out.shape[0], count = offsets.shape[0] - 1
    cdef const uint8_t* source = &heap[0] if heap.shape[0] else NULL
    cdef const uint8_t* texts = &pieces[0] if pieces.shape[0] else NULL
    cdef const uint8_t* flags = &wild[0] if wild.shape[0] else NULL
    cdef Piece first, second
    cdef int64_t at
    if rows.shape[0] != n + 1 or count < 1 or wild.shape[0] != pieces.shape[0] or offsets[count] > pieces.shape[0]:
        raise ValueError("rows must have one more element than out, wild as many as pieces")
    if n == 0:
        return
    with nogil:
        first = piece_at(offsets, texts, flags, 0)
        if count == 1:
            for i in range(n):
                out[i] = match_forward(source, rows[i], rows[i + 1], &first) == rows[i + 1]
        else:
            second = piece_at(offsets, texts, flags, 1)
            if first.size == 0 and count > 2 and second.literal:
                like_heap(rows, source, offsets, texts, flags, &second, out)
            else:
                for i in range(n):
                    at = match_forward(source, rows[i], rows[i + 1], &first)
                    out[i] = at >= 0 and match_rest(source, at, rows[i + 1], offsets, texts, flags, 1)


# --- POSITION, REPLACE, SPLIT_PART ---


def find_positions(const int32_t[::1] rows not None, const uint8_t[::1] heap not None,
                   const int32_t[::1] parts not None, const uint8_t[::1] part_heap not None, int64_t[::1] out not None):
    """out[i] = the character (from 1) at which the part begins in the value, 0 if nowhere; an empty one begins at 1."""
    cdef Py_ssize_t i, n = out.shape[0], p = rows.shape[0] != 2, q = parts.shape[0] != 2
    cdef int64_t found, j
    cdef const uint8_t* source = &heap[0] if heap.shape[0] else NULL
    cdef const uint8_t* texts = &part_heap[0] if part_heap.shape[0] else NULL
    if (p and rows.shape[0] != n + 1) or (q and parts.shape[0] != n + 1):
        raise ValueError("columns and out must have equally many rows")
    with nogil:
        for i in range(n):
            found = find_short(source, rows[i * p], rows[i * p + 1], texts + parts[i * q],
                               parts[i * q + 1] - parts[i * q])
            out[i] = 0
            if found >= 0:
                out[i] = 1
                for j in range(rows[i * p], found):
                    out[i] += (source[j] & 0xC0) != 0x80


def replace_offsets(const int32_t[::1] rows not None, const uint8_t[::1] heap not None, const uint8_t[::1] old not None,
                    int64_t new, int32_t[::1] made not None):
    """The offsets of the values with each `old` replaced by `new` bytes; gives their size. old is not empty."""
    cdef Py_ssize_t i, n = rows.shape[0] - 1
    cdef int64_t at, total = 0, more = new - old.shape[0]
    cdef const uint8_t* source = &heap[0] if heap.shape[0] else NULL
    if made.shape[0] != n + 1 or not old.shape[0]:
        raise ValueError("made must have as many elements as rows, old at least one")
    with nogil:
        made[0] = 0
        for i in range(n):
            total += rows[i + 1] - rows[i]
            at = find_short(source, rows[i], rows[i + 1], &old[0], old.shape[0])
            while at >= 0:
                total += more
                at = find_short(source, at + old.shape[0], rows[i + 1], &old[0], old.shape[0])
            if total > 2147483647:
                break
            made[i + 1] = <int32_t>total
    if total > 2147483647:
        raise OverflowError("more than 2 GB of text in one column")
    return total


def replace_bytes(const int32_t[::1] rows not None, const uint8_t[::1] heap not None, const uint8_t[::1] old not None,
                  const uint8_t[::1] new not None, const int32_t[::1] made not None, uint8_t[::1] out not None):
    """The bytes that replace_offsets made room for."""
    cdef Py_ssize_t i, n = rows.shape[0] - 1
    cdef int64_t at, found, to = 0, size = new.shape[0]
    cdef const uint8_t* source = &heap[0] if heap.shape[0] else NULL
    if made.shape[0] != n + 1 or made[n] != out.shape[0] or not old.shape[0]:
        raise ValueError("out must have the size that replace_offsets gave")
    if not out.shape[0]:
        return
    with nogil:
        for i in range(n):
            at = rows[i]
            found = find_short(source, at, rows[i + 1], &old[0], old.shape[0])
            while found >= 0:
                memcpy(&out[to], source + at, found - at)
                to += found - at
                if size:
                    memcpy(&out[to], &new[0], size)
                    to += size
                at = found + old.shape[0]
                found = find_short(source, at, rows[i + 1], &old[0], old.shape[0])
            memcpy(&out[to], source + at, rows[i + 1] - at)
            to += rows[i + 1] - at


def split_part(const int32_t[::1] rows not None, const uint8_t[::1] heap not None, const uint8_t[::1] mark not None,
               int64_t part, int32_t[::1] begins not None, int32_t[::1] made not None):
    """Where the part (from 1) between marks begins, and the offsets of the parts; gives their size. mark: not empty."""
    cdef Py_ssize_t i, n = begins.shape[0]
    cdef int64_t at, found, left
    cdef int32_t total = 0
    cdef const uint8_t* source = &heap[0] if heap.shape[0] else NULL
    if rows.shape[0] != n + 1 or made.shape[0] != n + 1 or not mark.shape[0]:
        raise ValueError("arrays must have equally many rows, mark at least one byte")
    with nogil:
        made[0] = 0
        for i in range(n):
            at = rows[i]
            left = part
            found = find_short(source, at, rows[i + 1], &mark[0], mark.shape[0])
            while left > 1 and found >= 0:
                at = found + mark.shape[0]
                found = find_short(source, at, rows[i + 1], &mark[0], mark.shape[0])
                left -= 1
            begins[i] = <int32_t>at
            if left == 1:
                total += <int32_t>((found if found >= 0 else rows[i + 1]) - at)
            made[i + 1] = total
    return total
