"""Text columns: gather, compare, hash, join and cut the values of a heap.

    offsets  int32[n + 1]   value i is heap[offsets[i]] to heap[offsets[i + 1]]; the first offset may be more than 0
    heap     uint8[]        the bytes of all values, UTF-8, one after the other

A column of one value stands for every row wherever two columns meet: constants are passed as they are.

New text is made in two passes: the first writes the offsets of the result (and gives its size, so that the caller can
allocate the heap), the second the bytes. What only cuts pieces out of values (substring, trim, split_part) writes where
each piece begins, and `copy_pieces` does the rest.

A short piece (at most 32 bytes, most are) is copied as 32 whole bytes where both heaps have room: two moves instead of
a call. The next value overwrites what was too much, so pieces must be written in order.

Invariant: no function reads outside a heap whose offsets are in order and within it. Positions are checked here;
offsets are checked once, where a column enters the engine (`check_offsets`).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from dispatch cimport multiversion_int

cdef extern from *:
    """
    static inline uint64_t folded_product(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t folded_product(uint64_t a, uint64_t b) noexcept nogil

ctypedef fused position:
    uint8_t
    uint16_t
    uint32_t
    int32_t

cdef int64_t MOST = 2**31 - 1
cdef int64_t FAR = 2**40  # further than any character


cdef inline const uint8_t* start(const uint8_t[::1] heap) noexcept nogil:
    return &heap[0] if heap.shape[0] else NULL


cdef inline void copy(uint8_t* out, int64_t to, int64_t room, const uint8_t* heap, int64_t at, int64_t size,
                      int64_t length) noexcept nogil:
    """length bytes; room and size: bytes of the two heaps."""
    if length <= 32 and to + 32 <= room and at + 32 <= size:
        memcpy(out + to, heap + at, 32)
    else:
        memcpy(out + to, heap + at, length)


def check_offsets(const int32_t[::1] offsets not None, const uint8_t[::1] heap not None):
    """Whether the offsets are in order and inside the heap."""
    cdef Py_ssize_t i, n = offsets.shape[0] - 1
    cdef int wrong = 0
    if n < 0 or offsets[0] < 0 or offsets[n] > heap.shape[0]:
        return False
    with nogil:
        for i in range(n):
            wrong |= offsets[i] > offsets[i + 1]
    return not wrong


# --- gathering ---


def gather_offsets(const int32_t[::1] offsets not None, const position[::1] at not None, int32_t[::1] out not None):
    """The offsets of the values at these positions (or codes); gives their bytes. out has one more than at."""
    cdef Py_ssize_t i, n = at.shape[0]
    cdef int64_t total = 0, rows = offsets.shape[0] - 1
    cdef int wrong = 0
    if out.shape[0] != n + 1 or rows < 0:
        raise ValueError("out must have one more element than at")
    with nogil:
        out[0] = 0
        for i in range(n):
            if <uint64_t>at[i] >= <uint64_t>rows:
                wrong = 1
                break
            total += offsets[at[i] + 1] - offsets[at[i]]
            out[i + 1] = <int32_t>total
            if total > MOST:
                break
    if wrong:
        raise IndexError("a position is outside the column")
    if total > MOST:
        raise OverflowError("more than 2 GB of text in one column")
    return total


def gather_bytes(const int32_t[::1] offsets not None, const uint8_t[::1] heap not None, const position[::1] at not None,
                 const int32_t[::1] made not None, uint8_t[::1] out not None):
    """The bytes of the values at these positions; made: what gather_offsets wrote. Consecutive ones are one copy."""
    cdef Py_ssize_t i = 0, k, n = at.shape[0]
    cdef int64_t size = heap.shape[0], room = out.shape[0]
    cdef const uint8_t* source = start(heap)
    if made.shape[0] != n + 1 or made[n] > room:
        raise ValueError("out has no room")
    if not room:
        return
    with nogil:
        while i < n:
            k = i + 1
            while k < n and <int64_t>at[k] == <int64_t>at[k - 1] + 1:
                k += 1
            copy(&out[0], made[i], room, source, offsets[at[i]], size, made[k] - made[i])
            i = k


def copy_pieces(const int32_t[::1] begins not None, const uint8_t[::1] heap not None,
                const int32_t[::1] made not None, uint8_t[::1] out not None):
    """The bytes heap[begins[i]:][:length i], one after the other; the lengths are the differences of made."""
    cdef Py_ssize_t i, n = begins.shape[0]
    cdef int64_t size = heap.shape[0], room = out.shape[0]
    cdef const uint8_t* source = start(heap)
    if made.shape[0] != n + 1 or made[n] > room:
        raise ValueError("out has no room")
    if not room:
        return
    with nogil:
        for i in range(n):
            copy(&out[0], made[i], room, source, begins[i], size, made[i + 1] - made[i])


def place(const int32_t[::1] offsets not None, const uint8_t[::1] heap not None, int32_t[::1] at not None,
          uint8_t[::1] out not None):
    """Writes value i at out[at[i]] and moves at[i] behind it. One call a column joins columns; each fits exactly."""
    cdef Py_ssize_t i, n = at.shape[0], step = offsets.shape[0] != 2
    cdef int32_t length
    cdef const uint8_t* source = start(heap)
    if step and offsets.shape[0] != n + 1:
        raise ValueError("offsets and at must have equally many rows")
    if not out.shape[0]:
        return
    with nogil:
        for i in range(n):
            length = offsets[i * step + 1] - offsets[i * step]
            memcpy(&out[at[i]], source + offsets[i * step], length)
            at[i] += length


# --- comparing ---


cdef inline int order(const uint8_t* a, int32_t m, const uint8_t* b, int32_t n) noexcept nogil:
    cdef int found = memcmp(a, b, m if m < n else n)
    return found if found else (m > n) - (m < n)


def compare(const int32_t[::1] left not None, const uint8_t[::1] left_heap not None,
            const int32_t[::1] right not None, const uint8_t[::1] right_heap not None,
            int test, uint8_t[::1] out not None):
    """out[i] = 1 where left passes the test against right, bytewise. test: 0 =, 1 <>, 2 <, 3 <=, 4 >, 5 >=."""
    cdef Py_ssize_t i, n = out.shape[0]
    cdef Py_ssize_t p = left.shape[0] != 2, q = right.shape[0] != 2
    cdef int32_t a, b, x, y
    cdef int found
    cdef const uint8_t* one = start(left_heap)
    cdef const uint8_t* two = start(right_heap)
    if (p and left.shape[0] != n + 1) or (q and right.shape[0] != n + 1):
        raise ValueError("columns and out must have equally many rows")
    with nogil:
        for i in range(n):
            a = left[i * p]
            x = left[i * p + 1] - a
            b = right[i * q]
            y = right[i * q + 1] - b
            if test <= 1:
                out[i] = (x == y and (x == 0 or memcmp(one + a, two + b, x) == 0)) ^ test
            else:
                found = order(one + a, x, two + b, y)
                if test == 2:
                    out[i] = found < 0
                elif test == 3:
                    out[i] = found <= 0
                elif test == 4:
                    out[i] = found > 0
                else:
                    out[i] = found >= 0


# --- hashing ---


cdef inline uint64_t read8(const uint8_t* at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return value


cdef inline uint64_t read_rest(const uint8_t* at, int32_t n) noexcept nogil:
    """0 to 8 bytes as a number; the caller mixes the length in."""
    cdef uint32_t low, high
    if n >= 4:
        memcpy(&low, at, 4)
        memcpy(&high, at + n - 4, 4)
        return (<uint64_t>high << 32) | low
    if n > 0:
        return (<uint64_t>at[0] << 16) | (<uint64_t>at[n >> 1] << 8) | at[n - 1]
    return 0


def hash_values(const int32_t[::1] offsets not None, const uint8_t[::1] heap not None, uint64_t[::1] out not None):
    """64 bits of each value: products of 64 by 64 bits, folded (the mixing of wyhash). Not for adversaries."""
    cdef Py_ssize_t i, n = out.shape[0]
    cdef int32_t length
    cdef uint64_t state
    cdef const uint8_t* source = start(heap)
    cdef const uint8_t* at
    if offsets.shape[0] != n + 1:
        raise ValueError("offsets must have one more element than out")
    with nogil:
        for i in range(n):
            length = offsets[i + 1] - offsets[i]
            at = source + offsets[i]
            state = 0xA0761D6478BD642FULL ^ <uint64_t>length
            while length > 8:
                state = folded_product(state ^ read8(at), 0xE7037ED1A0B428DBULL)
                at += 8
                length -= 8
            state = folded_product(state ^ read_rest(at, length), 0x8EBC6AF09C88C6E3ULL)
            out[i] = folded_product(state, 0x589965CC75374CC3ULL)


# --- characters ---


cdef multiversion_int any_high(const uint8_t* heap, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint8_t seen = 0
    for i in range(n):
        seen |= heap[i]
    return seen >= 128


def is_ascii(const uint8_t[::1] heap not None):
    """Whether every byte is below 128: then bytes are characters."""
    cdef int high = 0
    if heap.shape[0]:
        with nogil:
            high = any_high(&heap[0], heap.shape[0])
    return not high


def count_characters(const int32_t[::1] offsets not None, const uint8_t[::1] heap not None, int64_t[::1] out not None):
    """Characters of each value: bytes that continue none."""
    cdef Py_ssize_t i, n = out.shape[0]
    cdef int32_t k
    cdef int64_t count
    if offsets.shape[0] != n + 1:
        raise ValueError("offsets must have one more element than out")
    with nogil:
        for i in range(n):
            count = 0
            for k in range(offsets[i], offsets[i + 1]):
                count += (heap[k] & 0xC0) != 0x80
            out[i] = count


cdef multiversion_int change_case(const uint8_t* heap, uint8_t* out, Py_ssize_t n, uint8_t first) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = heap[i] ^ (((<uint8_t>(heap[i] - first)) < 26) << 5)
    return 0


def fold_case(const uint8_t[::1] heap not None, uint8_t[::1] out not None, *, bint upper):
    """ASCII letters to upper case, or to lower; other bytes as they are."""
    if out.shape[0] != heap.shape[0]:
        raise ValueError("heap and out must have equally many bytes")
    if heap.shape[0]:
        with nogil:
            change_case(&heap[0], &out[0], heap.shape[0], 97 if upper else 65)


cdef inline int32_t forward(const uint8_t* heap, int32_t at, int32_t end, int64_t characters) noexcept nogil:
    """Where so many characters later is."""
    while characters > 0 and at < end:
        at += 1
        while at < end and (heap[at] & 0xC0) == 0x80:
            at += 1
        characters -= 1
    return at


def cut_characters(const int32_t[::1] offsets not None, const uint8_t[::1] heap not None,
                   const int64_t[::1] first not None, const int64_t[::1] count not None,
                   int32_t[::1] begins not None, int32_t[::1] made not None, *, bint single):
    """Where characters first to first + count - 1 (from 1; what is outside the value does not count) begin.

    first and count: a number for each row, or one for all. Writes begins and the offsets of the pieces; gives the size.
    """
    cdef Py_ssize_t i, n = begins.shape[0], s = offsets.shape[0] != 2, p = first.shape[0] != 1, q = count.shape[0] != 1
    cdef int64_t total = 0, low, high, size
    cdef int32_t a, b
    cdef const uint8_t* source = start(heap)
    if (s and offsets.shape[0] != n + 1) or (p and first.shape[0] != n) or (q and count.shape[0] != n):
        raise ValueError("arrays must have equally many rows")
    if made.shape[0] != n + 1:
        raise ValueError("made must have one more element than begins")
    with nogil:
        made[0] = 0
        for i in range(n):
            a = offsets[i * s]
            b = offsets[i * s + 1]
            size = b - a
            low = max(min(first[i * p], FAR), -FAR) - 1
            high = low + max(min(count[i * q], FAR), 0)
            if low < 0:
                low = 0
            if high > size:
                high = size
            if low >= high:
                begins[i] = a
                made[i + 1] = <int32_t>total
                continue
            if single:
                begins[i] = a + <int32_t>low
                total += high - low
            else:
                begins[i] = forward(source, a, b, low)
                total += forward(source, begins[i], b, high - low) - begins[i]
            made[i + 1] = <int32_t>total
            if total > MOST:
                break
    if total > MOST:
        raise OverflowError("more than 2 GB of text in one column")
    return total


def trim_bytes(const int32_t[::1] offsets not None, const uint8_t[::1] heap not None, const uint8_t[::1] among not None,
               int32_t[::1] begins not None, int32_t[::1] made not None, *, bint left, bint right):
    """Where each value begins without the bytes that among (256 flags) marks at its ends; gives the size."""
    cdef Py_ssize_t i, n = begins.shape[0]
    cdef int32_t a, b, total = 0
    if offsets.shape[0] != n + 1 or made.shape[0] != n + 1 or among.shape[0] != 256:
        raise ValueError("arrays must have equally many rows, among 256 flags")
    with nogil:
        made[0] = 0
        for i in range(n):
            a = offsets[i]
            b = offsets[i + 1]
            while right and b > a and among[heap[b - 1]]:
                b -= 1
            while left and a < b and among[heap[a]]:
                a += 1
            begins[i] = a
            total += b - a
            made[i + 1] = total
    return total
