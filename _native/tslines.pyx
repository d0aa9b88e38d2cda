"""Line protocol -> numbers: which series, which time, which field, which value. Names are looked at once each.

    cpu,host=a\\ b,region=eu usage=0.5,state="up",n=3i,ok=t 1767225600000000000
    └── head ─────────────┘ └── fields ───────────────┘ └─ time ──────────────┘

    heads   the distinct texts before the first space, numbered; unescaped by whoever asks, once for each
    names   the distinct field names, numbered
    rows    head, time, whether it has one, number of the line
    cells   row, name, kind, 64 bits: a double, a whole number, 0 or 1, or where the text lies (offset << 32 | bytes)

A head or a name is found by its hash; most often it is the one that stood at the same place a line before, which costs
one memcmp. Numbers of up to 15 digits are made of an integer and a power of ten, which is exact (Clinger, "How to read
floating point numbers accurately", PLDI 1990); others are left as text to a slower reader.

A line that cannot be read leaves no row, but its number, its column and what was wrong; the next one is read. The
grammar is InfluxDB's line protocol of version 2.

Invariant: nothing outside the buffer is read, whatever stands in it.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport INT64_MAX, UINT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from hash64 cimport hash_bytes

import numpy as np

cdef enum:
    FLOAT = 0
    WHOLE = 1
    BOOLEAN = 2
    TEXT = 3
    NUMBER = 4  # a float that is left as text
    FAST_DIGITS = 15

cdef enum:
    NO_FIELDS = 1
    NO_MEASUREMENT = 2
    NO_KEY = 3
    NO_VALUE = 4
    NO_QUOTE = 5
    BAD_NUMBER = 6
    TOO_LARGE = 7
    BAD_TIME = 8
    TRAILING = 9

PROBLEMS = {
    NO_FIELDS: "a space and the fields are missing",
    NO_MEASUREMENT: "the measurement is missing",
    NO_KEY: "the name of a field and = are missing",
    NO_VALUE: "the value of a field is missing",
    NO_QUOTE: "a text has no closing quote",
    BAD_NUMBER: "this is no number, truth value or quoted text",
    TOO_LARGE: "this integer does not fit 64 bits",
    BAD_TIME: "this is no timestamp",
    TRAILING: "the line goes on after its timestamp",
}

cdef double[23] POWERS
cdef int _power
POWERS[0] = 1.0
for _power in range(1, 23):
    POWERS[_power] = POWERS[_power - 1] * 10.0


cdef struct Names:
    int32_t* slots     # number + 1 of the name that hashes there; 0: free
    uint64_t mask
    uint64_t* places   # offset << 32 | length, by number
    int32_t count


cdef struct Lines:
    const uint8_t* data
    const uint8_t* end
    Names heads
    Names names
    int32_t* row_head
    int64_t* row_time
    uint8_t* row_timed
    int64_t* row_line
    int64_t rows
    int32_t* cell_row
    int32_t* cell_name
    uint8_t* cell_kind
    uint64_t* cell_bits
    int64_t cells
    int64_t* bad_line
    int64_t* bad_column
    uint8_t* bad_problem
    int64_t bad


cdef inline bint is_at(uint64_t place, const uint8_t* data, const uint8_t* start, Py_ssize_t length) noexcept nogil:
    """Whether the name at a place is this one."""
    return <Py_ssize_t><uint32_t>place == length and memcmp(data + (place >> 32), start, length) == 0


cdef inline int32_t number_of(Names* names, const uint8_t* data, const uint8_t* start, Py_ssize_t length,
                              int32_t guess) noexcept nogil:
    """The number of a name, a new one if it is new. guess: tried first; -1 for none."""
    cdef uint64_t at
    cdef int32_t found
    if 0 <= guess < names.count:
        if is_at(names.places[guess], data, start, length):
            return guess
    at = hash_bytes(start, length) & names.mask
    while True:
        found = names.slots[at]
        if found == 0:
            names.places[names.count] = <uint64_t>(start - data) << 32 | <uint64_t>length
            names.count += 1
            names.slots[at] = names.count
            return names.count - 1
        if is_at(names.places[found - 1], data, start, length):
            return found - 1
        at = (at + 1) & names.mask


cdef inline bint ends(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Whether a line ends here."""
    return at >= end or at[0] == c"\n" or (at[0] == c"\r" and (at + 1 >= end or at[1] == c"\n"))


cdef inline bint closes(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Whether a value ends here."""
    return at >= end or at[0] == c"," or at[0] == c" " or at[0] == c"\n" or at[0] == c"\r"


cdef inline bint is_word(const uint8_t* start, Py_ssize_t length, const char* word, Py_ssize_t size) noexcept nogil:
    return length == size and memcmp(start, word, size) == 0


cdef int read_word(const uint8_t* start, Py_ssize_t length) noexcept nogil:
    """1, 0, or -1 for what is no truth value."""
    if is_word(start, length, b"t", 1) or is_word(start, length, b"T", 1) or is_word(start, length, b"true", 4) \
            or is_word(start, length, b"True", 4) or is_word(start, length, b"TRUE", 4):
        return 1
    if is_word(start, length, b"f", 1) or is_word(start, length, b"F", 1) or is_word(start, length, b"false", 5) \
            or is_word(start, length, b"False", 5) or is_word(start, length, b"FALSE", 5):
        return 0
    return -1


cdef int read_number(const uint8_t* at, const uint8_t* end, const uint8_t* data, uint8_t* kind, uint64_t* bits,
                     const uint8_t** after) noexcept nogil:
    """A number; 0, or what is wrong. after: where it ends, or where it is wrong."""
    cdef const uint8_t* start = at
    cdef bint negative = False, exact = True
    cdef uint64_t mantissa = 0, digit
    cdef int digits = 0, significant = 0, exponent = 0, shift = 0, sign = 1
    cdef bint overflow = False
    cdef double value
    if at < end and (at[0] == c"-" or at[0] == c"+"):
        negative = at[0] == c"-"
        at += 1
    while at < end and c"0" <= at[0] <= c"9":
        digit = at[0] - c"0"
        if mantissa > (UINT64_MAX - digit) // 10:
            overflow = True
        else:
            mantissa = mantissa * 10 + digit
        significant += significant > 0 or digit > 0
        digits += 1
        at += 1
    if digits and at < end and (at[0] == c"i" or at[0] == c"u"):
        after[0] = start
        if at[0] == c"u" and negative and mantissa:
            return BAD_NUMBER
        if overflow or mantissa > <uint64_t>INT64_MAX + (1 if negative else 0):
            return TOO_LARGE
        at += 1
        kind[0] = WHOLE
        bits[0] = 0 - mantissa if negative else mantissa
        after[0] = at
        return 0 if closes(at, end) else BAD_NUMBER
    if at < end and at[0] == c".":
        at += 1
        while at < end and c"0" <= at[0] <= c"9":
            digit = at[0] - c"0"
            if significant < FAST_DIGITS:
                mantissa = mantissa * 10 + digit
                shift -= 1
            elif digit:
                exact = False
            significant += significant > 0 or digit > 0
            digits += 1
            at += 1
    if digits == 0:
        after[0] = start
        return BAD_NUMBER
    if at < end and (at[0] == c"e" or at[0] == c"E"):
        at += 1
        if at < end and (at[0] == c"-" or at[0] == c"+"):
            sign = -1 if at[0] == c"-" else 1
            at += 1
        if not (at < end and c"0" <= at[0] <= c"9"):
            after[0] = at
            return BAD_NUMBER
        while at < end and c"0" <= at[0] <= c"9":
            if exponent < 10_000:
                exponent = exponent * 10 + (at[0] - c"0")
            at += 1
    after[0] = at
    if not closes(at, end):
        return BAD_NUMBER
    exponent = sign * exponent + shift
    if overflow or not exact or significant > FAST_DIGITS or exponent > 22 or exponent < -22:
        kind[0] = NUMBER
        bits[0] = <uint64_t>(start - data) << 32 | <uint64_t>(at - start)
        return 0
    value = <double>mantissa
    if exponent > 0:
        value *= POWERS[exponent]
    elif exponent < 0:
        value /= POWERS[-exponent]
    if negative:
        value = -value
    kind[0] = FLOAT
    memcpy(bits, &value, 8)
    return 0


cdef int read_line(Lines* lines, const uint8_t* at, int64_t line, int32_t* expected, Py_ssize_t most,
                   const uint8_t** after) noexcept nogil:
    """One line, which is no comment and not empty; 0, or what is wrong. after: where it ended, or where it is wrong.

    expected: the names of the fields of the line before, in their order; most: room for how many.
    """
    cdef const uint8_t* end = lines.end
    cdef const uint8_t* start = at
    cdef int64_t cells = lines.cells
    cdef int32_t row = <int32_t>lines.rows, name
    cdef Py_ssize_t number = 0
    cdef int problem, word
    cdef uint64_t time = 0, digit
    cdef bint negative
    after[0] = at
    if at[0] == c"," or at[0] == c" ":
        return NO_MEASUREMENT
    while not ends(at, end) and at[0] != c" ":
        at += 2 if at[0] == c"\\" and at + 1 < end and at[1] != c"\n" else 1
    after[0] = at
    if ends(at, end):
        return NO_FIELDS
    lines.row_head[row] = number_of(&lines.heads, lines.data, start, at - start,
                                    lines.row_head[row - 1] if row else -1)
    while at < end and at[0] == c" ":
        at += 1
    while True:
        start = at
        while not ends(at, end) and at[0] != c"=" and at[0] != c" " and at[0] != c",":
            at += 2 if at[0] == c"\\" and at + 1 < end and at[1] != c"\n" else 1
        after[0] = start
        if at >= end or at[0] != c"=" or at == start:
            return NO_KEY if at > start or not ends(at, end) else NO_FIELDS
        name = number_of(&lines.names, lines.data, start, at - start, expected[number] if number < most else -1)
        if number < most:
            expected[number] = name
        at += 1
        after[0] = at
        if closes(at, end):
            return NO_VALUE
        lines.cell_row[cells] = row
        lines.cell_name[cells] = name
        if at[0] == c"\"":
            start = at + 1
            at = start
            while at < end and at[0] != c"\"":
                at += 2 if at[0] == c"\\" and at + 1 < end else 1
            if at >= end:
                return NO_QUOTE
            lines.cell_kind[cells] = TEXT
            lines.cell_bits[cells] = <uint64_t>(start - lines.data) << 32 | <uint64_t>(at - start)
            at += 1
            after[0] = at
            if not closes(at, end):
                return BAD_NUMBER
        elif c"0" <= at[0] <= c"9" or at[0] == c"-" or at[0] == c"+" or at[0] == c".":
            problem = read_number(at, end, lines.data, &lines.cell_kind[cells], &lines.cell_bits[cells], after)
            if problem:
                return problem
            at = after[0]
        else:
            start = at
            while not closes(at, end):
                at += 1
            word = read_word(start, at - start)
            if word < 0:
                return BAD_NUMBER
            lines.cell_kind[cells] = BOOLEAN
            lines.cell_bits[cells] = word
        cells += 1
        number += 1
        if at < end and at[0] == c",":
            at += 1
            continue
        break
    while at < end and at[0] == c" ":
        at += 1
    lines.row_timed[row] = 0
    lines.row_time[row] = 0
    if not ends(at, end):
        after[0] = at
        negative = at[0] == c"-"
        at += negative
        if not (at < end and c"0" <= at[0] <= c"9"):
            return BAD_TIME
        while at < end and c"0" <= at[0] <= c"9":
            digit = at[0] - c"0"
            if time > (<uint64_t>INT64_MAX - digit) // 10:
                return BAD_TIME
            time = time * 10 + digit
            at += 1
        while at < end and at[0] == c" ":
            at += 1
        after[0] = at
        if not ends(at, end):
            return TRAILING
        lines.row_time[row] = -<int64_t>time if negative else <int64_t>time
        lines.row_timed[row] = 1
    after[0] = at
    lines.row_line[row] = line
    lines.rows += 1
    lines.cells = cells
    return 0


cdef int read_lines(Lines* lines, int32_t* expected, Py_ssize_t most) noexcept nogil:
    cdef const uint8_t* at = lines.data
    cdef const uint8_t* start
    cdef const uint8_t* after = at
    cdef int64_t line = 1
    cdef int problem
    while at < lines.end:
        start = at
        while at < lines.end and (at[0] == c" " or at[0] == c"\t"):
            at += 1
        if ends(at, lines.end) or at[0] == c"#":
            after = at
        else:
            problem = read_line(lines, at, line, expected, most, &after)
            if problem:
                lines.bad_line[lines.bad] = line
                lines.bad_column[lines.bad] = after - start + 1
                lines.bad_problem[lines.bad] = problem
                lines.bad += 1
                after = start
        while start < after:  # a text may hold line ends
            line += start[0] == c"\n"
            start += 1
        at = <const uint8_t*>memchr(after, c"\n", lines.end - after) if after < lines.end else NULL
        if at == NULL:
            return 0
        at += 1
        line += 1
    return 0


cdef int start_names(Names* names, Py_ssize_t most) except -1:
    cdef uint64_t slots = 16
    while slots < 2 * <uint64_t>most:
        slots *= 2
    names.mask = slots - 1
    names.count = 0
    names.slots = <int32_t*>PyMem_RawCalloc(slots, sizeof(int32_t))
    names.places = <uint64_t*>PyMem_RawCalloc(most + 1, sizeof(uint64_t))
    if names.slots == NULL or names.places == NULL:
        raise MemoryError()
    return 0


cdef list texts_of(Names* names, const uint8_t* data):
    cdef int32_t number
    cdef uint64_t place
    found = []
    for number in range(names.count):
        place = names.places[number]
        found.append((<const char*>(data + (place >> 32)))[:<uint32_t>place])
    return found


def parse(const uint8_t[::1] data not None):
    """(heads, names, rows, cells, problems) of a text; see the module's text. At most 4 GB.

    rows: arrays head, time, timed, line. cells: arrays row, name, kind, bits. problems: (line, column, sentence).
    """
    cdef Lines lines
    cdef Py_ssize_t size = data.shape[0], at, most_rows = 1, most_cells = 0
    cdef const uint8_t* bytes_of = &data[0] if size else NULL
    cdef int32_t[64] expected
    if size >= <Py_ssize_t>1 << 32:
        raise ValueError("at most 4 GB of lines at once")
    for at in range(64):
        expected[at] = -1
    with nogil:
        for at in range(size):
            most_rows += bytes_of[at] == c"\n"
            most_cells += bytes_of[at] == c"="
    cdef int32_t[::1] row_head = np.empty(most_rows, np.int32)
    cdef int64_t[::1] row_time = np.empty(most_rows, np.int64)
    cdef uint8_t[::1] row_timed = np.empty(most_rows, np.uint8)
    cdef int64_t[::1] row_line = np.empty(most_rows, np.int64)
    cdef int32_t[::1] cell_row = np.empty(most_cells + 1, np.int32)
    cdef int32_t[::1] cell_name = np.empty(most_cells + 1, np.int32)
    cdef uint8_t[::1] cell_kind = np.empty(most_cells + 1, np.uint8)
    cdef uint64_t[::1] cell_bits = np.empty(most_cells + 1, np.uint64)
    cdef int64_t[::1] bad_line = np.empty(most_rows, np.int64)
    cdef int64_t[::1] bad_column = np.empty(most_rows, np.int64)
    cdef uint8_t[::1] bad_problem = np.empty(most_rows, np.uint8)
    lines.data = bytes_of
    lines.end = bytes_of + size
    lines.row_head, lines.row_time, lines.row_timed, lines.row_line = (
        &row_head[0], &row_time[0], &row_timed[0], &row_line[0])
    lines.cell_row, lines.cell_name, lines.cell_kind, lines.cell_bits = (
        &cell_row[0], &cell_name[0], &cell_kind[0], &cell_bits[0])
    lines.bad_line, lines.bad_column, lines.bad_problem = &bad_line[0], &bad_column[0], &bad_problem[0]
    lines.rows = lines.cells = lines.bad = 0
    lines.heads.slots = lines.names.slots = NULL
    lines.heads.places = lines.names.places = NULL
    try:
        start_names(&lines.heads, most_rows)
        start_names(&lines.names, most_cells + 1)
        if size:
            with nogil:
                read_lines(&lines, expected, 64)
        rows, cells = lines.rows, lines.cells
        return (
            texts_of(&lines.heads, bytes_of),
            texts_of(&lines.names, bytes_of),
            (np.asarray(row_head[:rows]), np.asarray(row_time[:rows]), np.asarray(row_timed[:rows]),
             np.asarray(row_line[:rows])),
            (np.asarray(cell_row[:cells]), np.asarray(cell_name[:cells]), np.asarray(cell_kind[:cells]),
             np.asarray(cell_bits[:cells])),
            [(bad_line[at], bad_column[at], PROBLEMS[bad_problem[at]]) for at in range(lines.bad)],
        )
    finally:
        PyMem_RawFree(lines.heads.slots)
        PyMem_RawFree(lines.heads.places)
        PyMem_RawFree(lines.names.slots)
        PyMem_RawFree(lines.names.places)
