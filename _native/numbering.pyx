"""Numbers for keys: 0, 1, 2 ... in the order in which keys first appear. What GROUP BY, DISTINCT and joins stand on.

A key is a 64-bit word; engines/sql/keys.py packs whole tuples of columns into one. `keys[number]` is the key of each
number, and one of two indexes leads back from a key to its number:

    table    uint32 by key:  number + 1, 0 = none           keys of a small range: one load a row
    slots    uint64 by hash: tag << 32 | number + 1          open addressing, linear steps, at most half full
             tag = the key itself while every key has 32 bits (`exact`: no look at `keys`), else 32 bits of its hash

Text is interned the same way: slots by a 64-bit hash of the bytes, and an arena with the bytes of every number.

Nothing is allocated here. A loop that runs out of room stops and says at which row; the caller makes arrays larger
and goes on from there. Key 0 is the NULL, or NULL has no number (`nulls` = 0): then its rows get NONE, -1 as int32.
The hash multiplies by the golden ratio, as Knuth's section 6.4 has it; text is folded in by 128-bit products.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from dispatch cimport multiversion_int

cdef extern from *:
    """
    #define PREFETCH(address) __builtin_prefetch(address)
    static inline uint64_t fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    void PREFETCH(const void* address) noexcept nogil
    uint64_t fold(uint64_t a, uint64_t b) noexcept nogil

ctypedef fused narrow:
    uint8_t
    uint16_t
    uint32_t
    uint64_t

cdef enum:
    AHEAD = 32  # rows whose slots are on their way from memory at once
    BLOCK = 4096  # rows that are tried as if all their keys were known

cdef uint32_t NONE = 0xFFFFFFFF
cdef int32_t UNKNOWN = -2  # in a translation: this word was not looked up yet
cdef int32_t ASKED = -3  # it is in the list of words to look up


cdef inline uint64_t mix(uint64_t key) noexcept nogil:
    return (key ^ (key >> 32)) * <uint64_t>0x9E3779B97F4A7C15


cdef inline uint64_t tag_of(uint64_t key, bint exact) noexcept nogil:
    return key << 32 if exact else mix(key) << 32


cdef inline int shift_of(Py_ssize_t slots) noexcept nogil:
    """So that the top bits of a hash number the slots, a power of two."""
    cdef int shift = 64
    while slots > 1:
        slots >>= 1
        shift -= 1
    return shift


def number_direct(
    const narrow[::1] data not None, uint64_t offset, const uint8_t[::1] valid, bint nulls,
    uint32_t[::1] table not None, uint64_t[::1] keys not None, uint32_t[::1] out not None, Py_ssize_t start,
    Py_ssize_t count,
):
    """Number the keys data + offset (mod 2^64) by a table. -> (row at which it stopped, numbers there are now).

    It stops before the end where `keys` is full or a key is beyond the table.
    """
    cdef Py_ssize_t rows = data.shape[0], i = start, end, before
    cdef Py_ssize_t size = table.shape[0], room = keys.shape[0]
    cdef const uint8_t* mask = NULL
    cdef bint known = True  # no key of the block before was new
    check(rows, out.shape[0], valid, start)
    if rows == start or size == 0 or room == 0:
        return start, count
    if valid is not None:
        mask = &valid[0]
    with nogil:
        while i < rows:
            end = min(rows, i + BLOCK)
            if mask == NULL and known and _all_known(&data[i], offset, &table[0], size, &out[i], end - i):
                i = end
                continue
            before = count
            i = _number_direct(&data[0], offset, mask, nulls, &table[0], size, &keys[0], room, &out[0], i, end, &count)
            known = count == before
            if i < end:
                break
    return i, count


cdef Py_ssize_t _number_direct(
    const narrow* data, uint64_t offset, const uint8_t* mask, bint nulls, uint32_t* table, uint64_t size,
    uint64_t* keys, Py_ssize_t room, uint32_t* out, Py_ssize_t i, Py_ssize_t end, Py_ssize_t* counted,
) noexcept nogil:
    # no branch on whether a key is new: among clustered keys nothing predicts it
    cdef Py_ssize_t count = counted[0]
    cdef uint64_t key
    cdef uint32_t number
    while i < end:
        key = <uint64_t>data[i] + offset
        if mask != NULL and not mask[i]:
            if not nulls:
                out[i] = NONE
                i += 1
                continue
            key = 0
        if key >= size or count == room:
            break
        number = table[key]
        keys[count] = key
        count += number == 0
        number = number if number else <uint32_t>count
        table[key] = number
        out[i] = number - 1
        i += 1
    counted[0] = count
    return i


cdef multiversion_int _all_known(
    const narrow* data, uint64_t offset, const uint32_t* table, uint64_t size, uint32_t* out, Py_ssize_t rows
) noexcept nogil:
    """The numbers of keys that all have one; 0 = not so."""
    cdef Py_ssize_t i
    cdef narrow least = data[0], most = data[0]
    cdef uint32_t number, missing = 0
    for i in range(rows):
        least = least if least < data[i] else data[i]
        most = most if most > data[i] else data[i]
    if most + offset >= size or least + offset > most + offset:
        return 0
    for i in range(rows):
        number = table[<uint64_t>data[i] + offset]
        missing |= number == 0
        out[i] = number - 1
    return not missing


def number_hashed(
    const narrow[::1] data not None, uint64_t offset, const uint8_t[::1] valid, bint nulls,
    uint64_t[::1] slots not None, bint exact, uint64_t[::1] keys not None, uint32_t[::1] out not None, Py_ssize_t start,
    Py_ssize_t count,
):
    """Number the keys data + offset (mod 2^64) by hash. -> (row at which it stopped, numbers there are now).

    It stops before the end where `keys` or half of the slots are full, or, if exact, at a key of more than 32 bits.
    """
    cdef Py_ssize_t rows = data.shape[0], i = start, j, end, at
    cdef Py_ssize_t room = min(keys.shape[0], slots.shape[0] // 2), last = slots.shape[0] - 1
    cdef int shift = shift_of(slots.shape[0])
    cdef const uint8_t* mask = NULL
    cdef uint64_t ahead[AHEAD]
    cdef uint64_t key, tag, slot, before = 0
    cdef uint32_t number = NONE
    check(rows, out.shape[0], valid, start)
    if rows == start or room == 0:
        return start, count
    if valid is not None:
        mask = &valid[0]
    with nogil:
        while i < rows:
            end = min(rows, i + AHEAD)
            for j in range(i, end):
                key = <uint64_t>data[j] + offset
                if mask != NULL and not mask[j]:
                    key = 0
                ahead[j - i] = key
                PREFETCH(&slots[mix(key) >> shift])
            for j in range(i, end):
                key = ahead[j - i]
                if mask != NULL and not nulls and not mask[j]:
                    out[j] = NONE
                    continue
                if key == before and number != NONE:  # runs of equal keys are common: the table is sorted by them
                    out[j] = number
                    continue
                if exact and key >> 32:
                    break
                tag = tag_of(key, exact)
                at = <Py_ssize_t>(mix(key) >> shift)
                number = NONE
                while True:
                    slot = slots[at]
                    if slot == 0:
                        break
                    if slot >> 32 == tag >> 32 and (exact or keys[<uint32_t>slot - 1] == key):
                        number = <uint32_t>slot - 1
                        break
                    at = (at + 1) & last
                if number == NONE:
                    if count >= room:
                        break
                    keys[count] = key
                    number = <uint32_t>count
                    count += 1
                    slots[at] = tag | <uint64_t>count
                before = key
                out[j] = number
            else:
                i = end
                continue
            i = j
            break
    return i, count


def find_direct(
    const narrow[::1] data not None, uint64_t offset, const uint8_t[::1] valid, bint nulls,
    bint zero, const uint32_t[::1] table not None, int32_t[::1] out not None,
):
    """The numbers of the keys data + offset, -1 where there is none. zero: rows that are no NULL may meet key 0 too."""
    cdef Py_ssize_t rows = data.shape[0]
    check(rows, out.shape[0], valid, 0)
    if rows == 0:
        return
    if table.shape[0] == 0:
        out[:] = -1
        return
    with nogil:
        _find_direct(&data[0], offset, &valid[0] if valid is not None else NULL, nulls, 0 if zero else 1, &table[0],
                     table.shape[0], &out[0], rows)


cdef int _find_direct(
    const narrow* data, uint64_t offset, const uint8_t* valid, bint nulls, uint64_t lowest, const uint32_t* table,
    uint64_t size, int32_t* out, Py_ssize_t rows,
) noexcept nogil:
    # not multiversion: a gather from memory gains nothing from wider registers
    cdef Py_ssize_t i
    cdef uint64_t key
    cdef uint32_t none = table[0]
    if valid == NULL:
        for i in range(rows):
            key = <uint64_t>data[i] + offset
            out[i] = <int32_t>(table[key] - 1) if key - lowest < size - lowest else -1
        return 0
    for i in range(rows):
        key = <uint64_t>data[i] + offset
        if not valid[i]:
            out[i] = <int32_t>(none - 1) if nulls else -1
        else:
            out[i] = <int32_t>(table[key] - 1) if key - lowest < size - lowest else -1
    return 0


def find_hashed(
    const narrow[::1] data not None, uint64_t offset, const uint8_t[::1] valid, bint nulls,
    bint zero, const uint64_t[::1] slots not None, bint exact, const uint64_t[::1] keys not None,
    int32_t[::1] out not None,
):
    """The numbers of the keys data + offset, -1 where there is none. zero: rows that are no NULL may meet key 0 too."""
    cdef Py_ssize_t rows = data.shape[0], i = 0, j, end, at, last = slots.shape[0] - 1
    cdef int shift = shift_of(slots.shape[0])
    cdef const uint8_t* mask = NULL
    cdef uint64_t ahead[AHEAD]
    cdef uint64_t key, tag, slot
    cdef int32_t number
    check(rows, out.shape[0], valid, 0)
    if rows == 0:
        return
    if slots.shape[0] == 0:
        out[:] = -1
        return
    if valid is not None:
        mask = &valid[0]
    with nogil:
        while i < rows:
            end = min(rows, i + AHEAD)
            for j in range(i, end):
                key = <uint64_t>data[j] + offset
                if mask != NULL and not mask[j]:
                    key = 0
                ahead[j - i] = key
                PREFETCH(&slots[mix(key) >> shift])
            for j in range(i, end):
                key = ahead[j - i]
                number = -1
                if mask != NULL and not mask[j]:
                    if not nulls:
                        out[j] = -1
                        continue
                elif key == 0 and not zero:
                    out[j] = -1
                    continue
                if not exact or not key >> 32:
                    tag = tag_of(key, exact)
                    at = <Py_ssize_t>(mix(key) >> shift)
                    while True:
                        slot = slots[at]
                        if slot == 0:
                            break
                        if slot >> 32 == tag >> 32 and (exact or keys[<uint32_t>slot - 1] == key):
                            number = <int32_t>(<uint32_t>slot - 1)
                            break
                        at = (at + 1) & last
                out[j] = number
            i = end


def fill_slots(const uint64_t[::1] keys not None, Py_ssize_t count, uint64_t[::1] slots not None, bint exact):
    """Enter the first `count` keys, which are distinct, into slots that are all 0 and twice as many at least."""
    cdef Py_ssize_t i, at, last = slots.shape[0] - 1
    cdef int shift = shift_of(slots.shape[0])
    if count > keys.shape[0] or slots.shape[0] < 2 * count:
        raise ValueError(f"{slots.shape[0]} slots do not hold {count} keys")
    with nogil:
        for i in range(count):
            if i + AHEAD < count:
                PREFETCH(&slots[mix(keys[i + AHEAD]) >> shift])
            at = <Py_ssize_t>(mix(keys[i]) >> shift)
            while slots[at]:
                at = (at + 1) & last
            slots[at] = tag_of(keys[i], exact) | <uint64_t>(i + 1)


def pack(
    const narrow[::1] data not None, uint64_t offset, const uint8_t[::1] valid, int shift, bint first,
    uint64_t[::1] out not None,
):
    """Put data + offset, 0 under a NULL, at bit `shift` of the words; first: overwrite them, else add."""
    cdef Py_ssize_t rows = data.shape[0]
    check(rows, out.shape[0], valid, 0)
    if not 0 <= shift < 64:
        raise ValueError(f"a shift lies in 0 .. 63, got {shift}")
    if rows:
        with nogil:
            _pack(&data[0], offset, &valid[0] if valid is not None else NULL, shift, first, &out[0], rows)


cdef multiversion_int _pack(
    const narrow* data, uint64_t offset, const uint8_t* valid, int shift, bint first, uint64_t* out, Py_ssize_t rows
) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint64_t key
    if valid == NULL and first:
        for i in range(rows):
            out[i] = (<uint64_t>data[i] + offset) << shift
    elif valid == NULL:
        for i in range(rows):
            out[i] += (<uint64_t>data[i] + offset) << shift
    else:
        for i in range(rows):
            key = (<uint64_t>data[i] + offset) << shift
            out[i] = (0 if first else out[i]) + (key if valid[i] else 0)
    return 0


# ---- text --------------------------------------------------------------------------------------------------------


cdef inline uint64_t hash_bytes(const uint8_t* text, Py_ssize_t size) noexcept nogil:
    cdef uint64_t hashed = <uint64_t>0x9E3779B97F4A7C15 ^ <uint64_t>size, word
    while size >= 8:
        memcpy(&word, text, 8)
        hashed = fold(hashed ^ word, <uint64_t>0xD6E8FEB86659FD93)
        text += 8
        size -= 8
    if size:
        word = 0
        if size >= 4:
            memcpy(&word, text, 4)
            text += 4
            size -= 4
            word <<= 32
        while size:
            size -= 1
            word |= <uint64_t>text[size] << (8 * size)
        hashed = fold(hashed ^ word, <uint64_t>0xA0761D6478BD642F)
    return fold(hashed, <uint64_t>0xE7037ED1A0B428DB)


def intern(
    const int32_t[::1] offsets not None, const uint8_t[::1] heap not None, const int32_t[::1] which,
    const uint8_t[::1] valid, bint nulls, int64_t null, bint add, uint64_t[::1] slots not None,
    uint64_t[::1] hashes not None, int64_t[::1] starts not None, uint8_t[::1] arena not None,
    int32_t[::1] out not None, Py_ssize_t start, Py_ssize_t count,
):
    """Numbers of texts. -> (row at which it stopped, numbers there are now, number of NULL or -1).

    which: numbers of the words to look at, -1 = NULL; None = all, and `valid` says which are NULL. add: new words get
    a number, else they are answered -1. hashes, starts (one more), arena: of every number, its hash and its bytes.
    null: the number of NULL if it has one by now. It stops where slots, hashes or the arena are too small.
    """
    cdef Py_ssize_t words = offsets.shape[0] - 1, rows = words if which is None else which.shape[0], i = start, at, word
    cdef Py_ssize_t j, end, room = min(min(hashes.shape[0], starts.shape[0] - 1), slots.shape[0] // 2)
    cdef Py_ssize_t last = slots.shape[0] - 1, size, space = arena.shape[0], bytes_ = heap.shape[0]
    cdef int shift = shift_of(slots.shape[0])
    cdef uint64_t ahead[AHEAD]
    cdef uint64_t hashed, slot
    cdef uint32_t number
    cdef int64_t begin
    cdef const uint8_t* text
    cdef const uint8_t* bytes_of = &heap[0] if bytes_ else NULL
    cdef uint8_t* kept = &arena[0] if space else NULL
    cdef bint torn = False
    if words < 0 or start < 0 or out.shape[0] < rows or (valid is not None and valid.shape[0] < rows):
        raise ValueError(f"{out.shape[0]} numbers for {rows} texts")
    if rows == start or (room == 0 and add):
        return start, count, null
    if slots.shape[0] == 0:
        last = -1
    with nogil:
        while i < rows and not torn:
            end = min(rows, i + AHEAD)
            for j in range(i, end):
                word = j if which is None else which[j]
                if word < 0:
                    continue
                if word >= words or not 0 <= offsets[word] <= offsets[word + 1] <= bytes_:
                    torn = True
                    break
                ahead[j - i] = hash_bytes(bytes_of + offsets[word], offsets[word + 1] - offsets[word])
                if last >= 0:
                    PREFETCH(&slots[ahead[j - i] >> shift])
            if torn:
                break
            for j in range(i, end):
                word = j if which is None else which[j]
                if word < 0 or (valid is not None and not valid[j]):
                    if not nulls:
                        out[j] = -1
                        continue
                    if null < 0 and add:
                        if count >= room:
                            break
                        hashes[count] = 0
                        starts[count + 1] = starts[count]
                        null = count
                        count += 1
                    out[j] = <int32_t>null
                    continue
                hashed = ahead[j - i]
                text = bytes_of + offsets[word]
                size = offsets[word + 1] - offsets[word]
                number = NONE
                at = <Py_ssize_t>(hashed >> shift)
                while last >= 0:
                    slot = slots[at]
                    if slot == 0:
                        break
                    if slot >> 32 == <uint32_t>hashed:
                        number = <uint32_t>slot - 1
                        begin = starts[number]
                        if starts[number + 1] - begin == size and memcmp(kept + begin, text, size) == 0:
                            break
                        number = NONE
                    at = (at + 1) & last
                if number == NONE and add:
                    if count >= room or space - starts[count] < size:
                        break
                    memcpy(kept + starts[count], text, size)
                    hashes[count] = hashed
                    starts[count + 1] = starts[count] + size
                    number = <uint32_t>count
                    count += 1
                    slots[at] = hashed << 32 | <uint64_t>count
                out[j] = <int32_t>number
            else:
                i = end
                continue
            i = j
            break
    if torn:
        raise ValueError("offsets of a text column do not fit its heap")
    return i, count, null


def fill_text_slots(const uint64_t[::1] hashes not None, Py_ssize_t count, int64_t null, uint64_t[::1] slots not None):
    """Enter the first `count` words by their hashes, but not NULL's number, into slots that are all 0."""
    cdef Py_ssize_t i, at, last = slots.shape[0] - 1
    cdef int shift = shift_of(slots.shape[0])
    if count > hashes.shape[0] or slots.shape[0] < 2 * count:
        raise ValueError(f"{slots.shape[0]} slots do not hold {count} words")
    with nogil:
        for i in range(count):
            if i == null:
                continue
            at = <Py_ssize_t>(hashes[i] >> shift)
            while slots[at]:
                at = (at + 1) & last
            slots[at] = hashes[i] << 32 | <uint64_t>(i + 1)


def hash_words(const int64_t[::1] starts not None, const uint8_t[::1] arena not None, uint64_t[::1] hashes not None):
    """The hash of each word of an arena."""
    cdef Py_ssize_t i, words = starts.shape[0] - 1
    cdef const uint8_t* kept = &arena[0] if arena.shape[0] else NULL
    if hashes.shape[0] < words:
        raise ValueError(f"{hashes.shape[0]} hashes for {words} words")
    for i in range(words):
        if starts[i] < 0 or starts[i + 1] < starts[i] or starts[i + 1] > arena.shape[0]:
            raise ValueError("starts of words do not fit their arena")
    with nogil:
        for i in range(words):
            hashes[i] = hash_bytes(kept + starts[i], starts[i + 1] - starts[i])


def translate(
    const narrow[::1] codes not None, const uint8_t[::1] valid, bint nulls, int64_t null, int32_t[::1] table not None,
    int32_t[::1] out not None, int32_t[::1] missing not None, bint again,
):
    """Numbers of coded texts by a table from code to number. -> how many codes are missing from the table.

    They are listed in `missing` in the order in which they appear, each once (with `again` perhaps more often: a second
    try while another thread fills the same table); -1 is NULL where it has no number yet. Table entries: the number,
    -1 = none, -2 = never asked, -3 = asked for.
    """
    cdef Py_ssize_t rows = codes.shape[0], i, count = 0, size = table.shape[0]
    cdef const uint8_t* mask = NULL
    cdef int32_t number
    cdef bint torn = False
    check(rows, out.shape[0], valid, 0)
    if missing.shape[0] < rows:
        raise ValueError(f"a list of {missing.shape[0]} does not hold {rows} codes")
    if rows == 0:
        return 0
    if valid is not None:
        mask = &valid[0]
    if mask == NULL and not again and size:
        with nogil:
            i = _all_translated(&codes[0], &table[0], size, &out[0], rows)
        if i:
            return 0
    with nogil:
        for i in range(rows):
            if mask != NULL and not mask[i]:
                if nulls and null < -1:
                    null = -1
                    missing[count] = -1
                    count += 1
                out[i] = <int32_t>null if nulls else -1
                continue
            if <uint64_t>codes[i] >= <uint64_t>size:
                torn = True
                break
            number = table[codes[i]]
            if number < -1 and (number == UNKNOWN or again):
                table[codes[i]] = ASKED
                missing[count] = <int32_t>codes[i]
                count += 1
            out[i] = number
    if torn:
        raise ValueError("a code is beyond its dictionary")
    return count


cdef multiversion_int _all_translated(
    const narrow* codes, const int32_t* table, uint64_t size, int32_t* out, Py_ssize_t rows
) noexcept nogil:
    """The numbers of codes whose entries are all filled in; 0 = not so."""
    cdef Py_ssize_t i
    cdef narrow most = 0
    cdef int32_t least = 0
    for i in range(rows):
        most = most if most > codes[i] else codes[i]
    if most >= size:
        return 0
    for i in range(rows):
        out[i] = table[codes[i]]
        least = least if least < out[i] else out[i]
    return least > -2


cdef int check(Py_ssize_t rows, Py_ssize_t out, const uint8_t[::1] valid, Py_ssize_t start) except -1:
    if out < rows or start < 0 or start > rows or (valid is not None and valid.shape[0] < rows):
        raise ValueError(f"{rows} rows from {start} on, but {out} places for answers or too short a mask")
    return 0
