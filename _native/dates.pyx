"""The civil calendar over columns of days: parts, truncation, months added, days made.

Days count from 1970-01-01 (0), proleptic Gregorian. The two conversions are those of Cassio Neri and Lorenz Schneider,
"Euclidean affine functions and their application to calendar algorithms" (Software: Practice and Experience, 2023):
divisions by constants become multiplications and shifts, in 32 bits, without a branch, so that gcc vectorises the
loops. They count years from March, so that the leap day is the last of its year:

    day number since 1 March of a year far back --> century, year of the century, day of the year, month, day
    months 13 and 14 of that year are January and February of the next

Right for the days of the years -32,800 and later up to 2.9 million; the engine's types hold 1 to 9999, which callers
check. Input is what columns hold: unsigned data with a base, or int64.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from dispatch cimport multiversion_int

ctypedef fused stored:
    uint8_t
    uint16_t
    uint32_t
    int64_t

cdef enum:
    YEARS = 400 * 82  # they make all numbers positive
    DAYS = 719468 + 146097 * 82
    YEAR = 0
    QUARTER = 1
    MONTH = 2
    DAY = 3
    WEEKDAY = 4  # Sunday 0
    ISO_WEEKDAY = 5  # Monday 1, Sunday 7
    DAY_OF_YEAR = 6
    WEEK = 7  # ISO
    ISO_YEAR = 8

cdef int64_t MICROSECONDS = 86_400_000_000


cdef struct Civil:
    int32_t year
    uint32_t month
    uint32_t day


cdef inline Civil civil(int64_t days) noexcept nogil:
    cdef uint32_t n = 4 * <uint32_t>(days + DAYS) + 3
    cdef uint32_t century = n // 146097
    cdef uint64_t product = 2939745ULL * ((n % 146097) | 3)
    cdef uint32_t day_of_year = <uint32_t>product // 2939745 // 4
    cdef uint32_t shifted = 2141 * day_of_year + 197913
    cdef uint32_t late = day_of_year >= 306  # January and February
    return Civil(
        <int32_t>(100 * century + <uint32_t>(product >> 32) + late) - YEARS,
        (shifted >> 16) - 12 * late,
        (shifted & 0xFFFF) // 2141 + 1,
    )


cdef inline int64_t days_of(int64_t year, uint32_t month, uint32_t day) noexcept nogil:
    cdef uint32_t late = month <= 2
    cdef uint32_t y = <uint32_t>(year + YEARS) - late
    cdef uint32_t century = y // 100
    return <int64_t>(1461 * y // 4 - century + century // 4 + (979 * (month + 12 * late) - 2919) // 32 + day - 1) - DAYS


cdef inline bint leap(int64_t year) noexcept nogil:
    return (year & 3) == 0 and (year % 100 != 0 or (year & 15) == 0)


cdef inline uint32_t month_length(int64_t year, uint32_t month) noexcept nogil:
    if month == 2:
        return 28 + leap(year)
    return 30 | (month ^ (month >> 3))


cdef inline int64_t iso_weekday(int64_t days) noexcept nogil:
    return (days + 7 * 1_000_000 + 3) % 7 + 1  # 1970-01-01 was a Thursday


# The parts, a function each, so that each loop is a simple one: month, day and year need no more than civil().


cdef inline uint16_t part_of(int64_t days, int part) noexcept nogil:
    cdef Civil date
    cdef int64_t thursday
    if part == WEEKDAY:
        return <uint16_t>(iso_weekday(days) % 7)
    if part == ISO_WEEKDAY:
        return <uint16_t>iso_weekday(days)
    if part == WEEK or part == ISO_YEAR:  # the week belongs to the year of its Thursday
        thursday = days + 4 - iso_weekday(days)
        date = civil(thursday)
        if part == ISO_YEAR:
            return <uint16_t>date.year
        return <uint16_t>((thursday - days_of(date.year, 1, 1)) // 7 + 1)
    date = civil(days)
    if part == YEAR:
        return <uint16_t>date.year
    if part == QUARTER:
        return <uint16_t>((date.month + 2) // 3)
    if part == MONTH:
        return <uint16_t>date.month
    if part == DAY:
        return <uint16_t>date.day
    return <uint16_t>(days - days_of(date.year, 1, 1) + 1)


cdef multiversion_int parts_16(
        const uint16_t* days, int64_t base, int part, uint16_t* out, Py_ssize_t n) noexcept nogil:
    """Dates of a block are nearly always 16 bits with a base: this loop is worth the clones."""
    cdef Py_ssize_t i
    if part == YEAR:
        for i in range(n):
            out[i] = part_of(days[i] + base, YEAR)
    elif part == MONTH:
        for i in range(n):
            out[i] = part_of(days[i] + base, MONTH)
    else:
        for i in range(n):
            out[i] = part_of(days[i] + base, part)
    return 0


def calendar_part(const stored[::1] days not None, int64_t base, int part, uint16_t[::1] out not None):
    """year 0, quarter 1, month 2, day 3, weekday (Sunday 0) 4, ISO weekday 5, day of year 6, ISO week 7, its year 8."""
    cdef Py_ssize_t i, n = days.shape[0]
    if out.shape[0] != n or part < 0 or part > 8:
        raise ValueError("days and out must have equally many rows, part is 0 to 8")
    if n == 0:
        return
    with nogil:
        if stored is uint16_t:
            parts_16(&days[0], base, part, &out[0], n)
        else:
            for i in range(n):
                out[i] = part_of(<int64_t>days[i] + base, part)


def month_numbers(const stored[::1] days not None, int64_t base, int64_t[::1] out not None):
    """Months since year 0: 12 * year + month - 1."""
    cdef Py_ssize_t i, n = days.shape[0]
    cdef Civil date
    if out.shape[0] != n:
        raise ValueError("days and out must have equally many rows")
    with nogil:
        for i in range(n):
            date = civil(<int64_t>days[i] + base)
            out[i] = 12 * <int64_t>date.year + date.month - 1


def truncate_months(const stored[::1] days not None, int64_t base, int months, int64_t[::1] out not None):
    """The first day of the month (1), quarter (3), year (12), decade (120), century (1200) that holds the day.

    Centuries and millennia (12000) begin with the year 1 of theirs, 2001, as in PostgreSQL; decades with 2000.
    """
    cdef Py_ssize_t i, n = days.shape[0]
    cdef Civil date
    cdef int64_t number, shift = 12 if months >= 1200 else 0
    if out.shape[0] != n or months < 1:
        raise ValueError("days and out must have equally many rows, months is at least 1")
    with nogil:
        for i in range(n):
            date = civil(<int64_t>days[i] + base)
            number = 12 * <int64_t>date.year + date.month - 1 - shift
            number = (number - number % months if number >= 0 else 0) + shift
            out[i] = days_of(number // 12, <uint32_t>(number % 12) + 1, 1)


def add_months(const int64_t[::1] days not None, const int64_t[::1] months not None,
               int64_t[::1] out not None, *, bint ends=False):
    """The same day so many months later, or the last of its month. months: a number for each row, or one for all.

    ends: the last day of a month stays one (ADD_MONTHS). Years outside 1 to 9999 give -2**62.
    """
    cdef Py_ssize_t i, n = out.shape[0], p = days.shape[0] != 1, q = months.shape[0] != 1
    cdef Civil date
    cdef int64_t number, year
    cdef uint32_t month, length
    if (p and days.shape[0] != n) or (q and months.shape[0] != n):
        raise ValueError("arrays must have equally many rows")
    with nogil:
        for i in range(n):
            date = civil(days[i * p])
            number = months[i * q]
            number = 12 * <int64_t>date.year + date.month - 1 + (number if -200_000 < number < 200_000 else 200_000)
            year = number // 12
            if number < 12 or year > 9999:
                out[i] = -(<int64_t>1 << 62)
                continue
            month = <uint32_t>(number % 12) + 1
            length = month_length(year, month)
            if date.day > length or (ends and date.day == month_length(date.year, date.month)):
                out[i] = days_of(year, month, length)
            else:
                out[i] = days_of(year, month, date.day)


def last_days(const int64_t[::1] days not None, int64_t[::1] out not None):
    """The last day of the month that holds the day."""
    cdef Py_ssize_t i, n = days.shape[0]
    cdef Civil date
    if out.shape[0] != n:
        raise ValueError("days and out must have equally many rows")
    with nogil:
        for i in range(n):
            date = civil(days[i])
            out[i] = days[i] - date.day + month_length(date.year, date.month)


def make_days(const int64_t[::1] year not None, const int64_t[::1] month not None, const int64_t[::1] day not None,
              int64_t[::1] out not None):
    """The day of that date; -2**62 where there is no such date between the years 1 and 9999."""
    cdef Py_ssize_t i, n = out.shape[0]
    if year.shape[0] != n or month.shape[0] != n or day.shape[0] != n:
        raise ValueError("arrays must have equally many rows")
    with nogil:
        for i in range(n):
            if (1 <= year[i] <= 9999 and 1 <= month[i] <= 12 and day[i] >= 1
                    and day[i] <= month_length(year[i], <uint32_t>month[i])):
                out[i] = days_of(year[i], <uint32_t>month[i], <uint32_t>day[i])
            else:
                out[i] = -(<int64_t>1 << 62)


def split_times(const int64_t[::1] times not None, int64_t[::1] days not None, int64_t[::1] rest not None):
    """Microseconds since 1970 as days and microseconds of the day, which are never negative."""
    cdef Py_ssize_t i, n = times.shape[0]
    cdef int64_t day
    if days.shape[0] != n or rest.shape[0] != n:
        raise ValueError("arrays must have equally many rows")
    with nogil:
        for i in range(n):
            day = times[i] // MICROSECONDS
            day -= times[i] < day * MICROSECONDS
            days[i] = day
            rest[i] = times[i] - day * MICROSECONDS
