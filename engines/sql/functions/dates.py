"""Dates and times taken apart: EXTRACT, DATE_TRUNC, DATEDIFF and what is like them.

    part         synonyms (Redshift's)            EXTRACT gives
    epoch                                         whole seconds since 1970, rounded down
    millennium century decade                     century 1 began in the year 1
    year quarter month week day                   week: ISO, 1 to 53
    dow isodow doy isoyear                        dow: Sunday 0; isodow: Monday 1
    hour minute second
    millisecond microsecond                       the part behind the whole second (DuckDB adds the seconds)

All are BIGINT. DATE_TRUNC of a DATE is a TIMESTAMP; weeks begin on Monday. DATEDIFF counts the boundaries between two
moments, so 23:59 and 0:01 are a day apart.
"""

import sys
from typing import Final

import numpy as np

from engines._native import dates as kernels
from engines.sql.column import Array, Column
from engines.sql.functions.given import Given, Numbers, float_column, scalars, whole, whole_column
from engines.sql.functions.registry import Functions
from engines.sql.types import DATE, DAY, Type

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)

PARTS: Final = {
    "millennium": "millennia mil mils millenium milleniums millenniums",
    "century": "centuries c cent cents",
    "decade": "decades dec decs",
    "epoch": "",
    "year": "years y yr yrs",
    "quarter": "quarters qtr qtrs q",
    "month": "months mon mons mm",
    "week": "weeks w wk",
    "day": "days d dayofmonth",
    "dow": "dayofweek dw weekday",
    "isodow": "",
    "doy": "dayofyear dy yearday",
    "isoyear": "",
    "hour": "hours h hr hrs",
    "minute": "minutes m min mins",
    "second": "seconds s sec secs",
    "millisecond": "milliseconds ms msec msecs msecond mseconds millisec millisecs millisecon",
    "microsecond": "microseconds us usec usecs usecond useconds microsec microsecs microsecon",
}
SYNONYMS: Final = {word: part for part, words in PARTS.items() for word in (part, *words.split())}
CALENDAR: Final = {
    "year": 0,
    "quarter": 1,
    "month": 2,
    "day": 3,
    "dow": 4,
    "isodow": 5,
    "doy": 6,
    "week": 7,
    "isoyear": 8,
    "decade": 0,
    "century": 0,
    "millennium": 0,
}
BOUNDS: Final = {"quarter": (1, 4), "month": (1, 12), "day": (1, 31), "dow": (0, 6), "isodow": (1, 7), "doy": (1, 366)}
CLOCK: Final = {  # microseconds of one, and how many make the next
    "hour": (3_600_000_000, 24),
    "minute": (60_000_000, 60),
    "second": (1_000_000, 60),
    "millisecond": (1_000, 1_000),
    "microsecond": (1, 1_000_000),
}
MONTHS: Final = {"month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200, "millennium": 12_000}


def part_named(given: Given, i: int = 0) -> str:
    """The part that argument i names, by its first name. QueryError if there is none of that name."""
    name = given.one_text(i, "the date part")
    part = SYNONYMS.get(name.strip().lower())
    if part is None:
        raise given.error(f"{name!r} is no date part: there are {', '.join(PARTS)}")
    return part


def microseconds(column: Column) -> Numbers:
    """TIMESTAMPs and DATEs as microseconds since 1970, TIMEs as those since midnight."""
    numbers = whole(column)
    if column.type.kind == "date":
        return numbers * DAY
    return numbers // 1000 if column.type.unit == "ns" else numbers


def split(times: Numbers) -> tuple[Numbers, Numbers]:
    """Days, and microseconds of the day."""
    days, rest = np.empty_like(times), np.empty_like(times)
    kernels.split_times(np.ascontiguousarray(times), days, rest)
    return days, rest


def stored_days(column: Column) -> tuple[Array, int]:
    """The days of a DATE or TIMESTAMP column as they are stored: data and base."""
    if column.type.kind == "date":
        return (whole(column), 0) if column.wide else (np.ascontiguousarray(column.data), column.base)
    return split(microseconds(column))[0], 0


def as_type(type: Type, times: Numbers, given: Given) -> Column:
    """Microseconds as a DATE, TIMESTAMP or TIMESTAMPTZ. QueryError outside the years 1 to 9999."""
    low, high = DATE.limits() or (0, 0)
    numbers = np.broadcast_to(times, given.rows) if len(times) != given.rows else times
    given.refuse((numbers < low * DAY) | (numbers >= (high + 1) * DAY), "the date is outside the years 1 to 9999")
    if type.kind == "date":
        return whole_column(type, split(np.ascontiguousarray(numbers))[0])
    if type.unit == "ns":
        given.refuse(np.abs(numbers) > sys.maxsize // 1000, "the time is outside what nanoseconds in 64 bits hold")
        return whole_column(type, numbers * 1000)
    return whole_column(type, numbers)


def calendar(column: Column, part: str) -> tuple[Array, tuple[int, int] | None]:
    """A part of the date, uint16, and its bounds if they are known."""
    data, base = stored_days(column)
    made = np.empty(len(data), np.uint16)
    kernels.calendar_part(data, base, CALENDAR[part], made)
    return made, BOUNDS.get(part)


# ---- EXTRACT -----------------------------------------------------------------------------------------------------


def extracted(part: str, column: Column, given: Given) -> Column:
    """That part of every value."""
    kind = column.type.kind
    if part in CALENDAR and kind == "time":
        raise given.error(f"a TIME has no {part}")
    if part in CALENDAR:
        made, bounds = calendar(column, part)
        if part == "decade":
            made = made // 10
        elif part in {"century", "millennium"}:
            years = 100 if part == "century" else 1000
            made = (made + (years - 1)) // years
        low, high = bounds or ((int(made.min()), int(made.max())) if len(made) else (0, 0))
        return Column(given.type, made, low=low, high=high)
    if part == "epoch":
        numbers = whole(column)
        seconds = numbers * 86_400 if kind == "date" else numbers // (10**9 if column.type.unit == "ns" else 10**6)
        return whole_column(given.type, seconds)
    unit, count = CLOCK[part]
    if kind == "date":
        return whole_column(given.type, np.zeros(len(column), np.int64))
    rest = microseconds(column) if kind == "time" else split(microseconds(column))[1]
    return whole_column(given.type, rest // unit % count)


@scalar(
    "extract",
    "text, temporal -> bigint; text, time -> bigint",
    synonyms=["date_part", "datepart"],
    meaning="EXTRACT(part FROM x): a part of a date or time as a number",
)
def extract(given: Given) -> Column:
    return extracted(part_named(given), given.columns[1], given)


def _named(name: str, part: str, synonyms: tuple[str, ...] = ()) -> None:
    takes = "time -> bigint; temporal -> bigint" if part in CLOCK else "temporal -> bigint"

    @scalar(name, takes, synonyms=synonyms, meaning=f"the {part} of a date or time")
    def named(given: Given) -> Column:
        return extracted(part, given.columns[0], given)


_named("year", "year", ("date_part_year",))
_named("quarter", "quarter")
_named("month", "month")
_named("week", "week", ("weekofyear",))
_named("day", "day", ("dayofmonth",))
_named("dayofweek", "dow")
_named("dayofyear", "doy")
_named("hour", "hour")
_named("minute", "minute")
_named("second", "second")
_named("millisecond", "millisecond")


# ---- DATE_TRUNC, TRUNC, LAST_DAY ---------------------------------------------------------------------------------


@scalar(
    "date_trunc",
    "text, date -> timestamp; text, timestamp -> timestamp; text, timestamptz -> timestamptz",
    meaning="the beginning of the year, month, ... that holds x",
)
def date_trunc(given: Given) -> Column:
    part, column = part_named(given), given.columns[1]
    if part in CLOCK:
        unit, times = CLOCK[part][0], microseconds(column)
        return as_type(given.type, times if unit == 1 or column.type.kind == "date" else times // unit * unit, given)
    return as_type(given.type, truncated_days(part, column, given) * DAY, given)


def truncated_days(part: str, column: Column, given: Given) -> Numbers:
    """The first day of the part that holds the value."""
    data, base = stored_days(column)
    if part in MONTHS:
        made = np.empty(len(data), np.int64)
        kernels.truncate_months(data, base, MONTHS[part], made)
        return made
    days = data.astype(np.int64) + base
    if part == "day":
        return days
    if part == "week":
        return days - (days + 3) % 7
    raise given.error(f"DATE_TRUNC takes no {part}: it takes year, quarter, month, week, day, hour, minute, ...")


@scalar("last_day", "date -> date", meaning="the last day of the month of x")
def last_day(given: Given) -> Column:
    days = given.whole(0)
    made = np.empty_like(days)
    kernels.last_days(days, made)
    return whole_column(DATE, made)


@scalar("date", "date -> date; timestamp -> date", meaning="the day of x")
def date(given: Given) -> Column:
    data, base = stored_days(given.columns[0])
    return whole_column(DATE, data.astype(np.int64) + base)


# ---- DATEDIFF, MONTHS_BETWEEN ------------------------------------------------------------------------------------


def month_numbers(column: Column) -> Numbers:
    """Months since year 0."""
    data, base = stored_days(column)
    made = np.empty(len(data), np.int64)
    kernels.month_numbers(data, base, made)
    return made


def boundaries(part: str, column: Column, given: Given) -> Numbers:
    """How many boundaries of the part lie before each value, counted from somewhere."""
    if part in MONTHS and column.type.kind != "time":
        shift = 12 if MONTHS[part] >= 1200 else 0
        return (month_numbers(column) - shift) // MONTHS[part]
    if part in CLOCK:
        return microseconds(column) // CLOCK[part][0]
    if part in {"day", "week", "dow", "doy"} and column.type.kind != "time":
        data, base = stored_days(column)
        days = data.astype(np.int64) + base
        return (days + 3) // 7 if part == "week" else days
    raise given.error(f"DATEDIFF counts no {part}s here: it takes year, quarter, month, week, day, hour, minute, ...")


@scalar(
    "datediff",
    "text, date, date -> bigint; text, temporal, temporal -> bigint; text, time, time -> bigint",
    synonyms=["date_diff"],
    meaning="how many boundaries of that part lie between x and y",
)
def datediff(given: Given) -> Column:
    part = part_named(given)
    first, second = (boundaries(part, column, given) for column in given.columns[1:])
    return whole_column(given.type, second - first)


@scalar(
    "date_cmp",
    "date, date -> integer; temporal, temporal -> integer",
    synonyms=[
        "date_cmp_timestamp", "date_cmp_timestamptz", "timestamp_cmp", "timestamp_cmp_date",
        "timestamp_cmp_timestamptz", "timestamptz_cmp", "timestamptz_cmp_date", "timestamptz_cmp_timestamp",
    ],
    meaning="1 if x is later than y, -1 if it is earlier, 0 if they are the same moment",
)  # fmt: skip
def compared(given: Given) -> Column:
    first, second = (microseconds(column) for column in given.columns)
    return whole_column(given.type, (first > second).astype(np.int64) - (first < second))


@scalar("months_between", "temporal, temporal -> double", meaning="months from y to x; days count as 1/31")
def months_between(given: Given) -> Column:
    numbers, fractions, last = [], [], []
    for column in given.columns:
        days, rest = split(microseconds(column))
        ends = np.empty_like(days)
        kernels.last_days(days, ends)
        day = np.empty(len(days), np.uint16)
        kernels.calendar_part(days, 0, 3, day)
        numbers.append(month_numbers(Column(DATE, days)))
        fractions.append((day, rest))
        last.append(days == ends)
    months = (numbers[0] - numbers[1]).astype(np.float64)
    (one, time), (two, other) = fractions
    parts = (one.astype(np.float64) - two + (time - other) / DAY) / 31
    whole_months = (one == two) | (last[0] & last[1])
    return float_column(months + np.where(whole_months, 0.0, parts))
