"""Functions of dates and times, against DuckDB where it agrees and Python's datetime elsewhere."""

import datetime as dt
import random

import numpy as np
import pytest
from sql.calling import CONTEXT, FUNCTIONS, call, interval, make, moment, one

from engines.errors import QueryError
from engines.sql.column import Column
from engines.sql.functions.registry import INTERVAL_OF_TIME, TypeMismatch
from engines.sql.types import DATE, INTERVAL, TIME, TIMESTAMP, TIMESTAMPTZ, VARCHAR, Type

duckdb = pytest.importorskip("duckdb")
chance = random.Random(5)
HOUR = 3_600_000_000
DAY = 24 * HOUR
MOMENTS = [moment(1900, 1, 1) + dt.timedelta(microseconds=chance.randrange(201 * 365 * DAY)) for _ in range(300)] + [
    moment(2000, 2, 29, 23, 59, 59, 999_999),
    moment(1, 1, 1),
    moment(9999, 12, 31),
]
CALENDAR = ["decade", "year", "quarter", "month", "week", "day"]
EXTRACTED = ["millennium", "century", *CALENDAR, "dow", "isodow", "doy", "isoyear", "hour", "minute", "second"]
TRUNCATED = [*CALENDAR, "hour", "minute", "second", "milliseconds", "microseconds"]
DATES = [when.date() for when in MOMENTS]


def theirs(expression, *columns):
    """DuckDB's values of an expression over columns a, b, ..."""
    types = {dt.datetime: "TIMESTAMP", dt.date: "DATE", int: "BIGINT"}
    given = [f"unnest(?::{types[type(column[0])]}[]) AS {name}" for name, column in zip("ab", columns, strict=False)]
    query = f"SELECT {expression} FROM (SELECT {', '.join(given)})"
    return [row[0] for row in duckdb.execute(query, columns).fetchall()]


@pytest.mark.parametrize(
    "part",
    EXTRACTED,
)
def test_extract_agrees_with_duckdb(part):
    assert call("extract", part, MOMENTS) == theirs(f"extract({part} FROM a)", MOMENTS)
    assert call("date_part", part, DATES) == theirs(f"extract({part} FROM a::TIMESTAMP)", DATES)


def test_extract_of_fractions_leaves_out_the_seconds():
    when = moment(2009, 9, 9, 12, 8, 43, 101_002)
    assert one("extract", "ms", when) == 101
    assert one("extract", "usec", when) == 101_002
    assert call("extract", "epoch", [when, moment(1969, 12, 31, 23, 59, 59, 1)]) == [1_252_498_123, -1]
    assert one("extract", "epoch", dt.date(1970, 1, 2)) == 86_400


def test_extract_from_a_time():
    assert one("extract", "hour", dt.time(13, 14, 15)) == 13
    with pytest.raises(QueryError, match="a TIME has no year"):
        one("extract", "year", dt.time(13, 14, 15))


def test_extract_from_nanoseconds():
    data = np.array([1_252_498_123_101_002_003])
    column = Column(Type("timestamp", unit="ns"), data, constant=True)
    assert one("extract", "second", column) == 43
    assert one("extract", "epoch", column) == 1_252_498_123
    assert one("extract", "year", column) == 2009


def test_parts_have_synonyms_and_functions_of_their_name():
    day = dt.date(2024, 5, 17)
    assert [one("extract", name, day) for name in ("YR", "mon", "d", "dayofweek", "qtr")] == [2024, 5, 17, 5, 2]
    names = ("year", "month", "day", "quarter", "week", "dayofyear", "dayofweek")
    assert [one(name, day) for name in names] == [2024, 5, 17, 2, 20, 138, 5]
    assert one("hour", moment(2024, 5, 17, 9, 8)) == 9


def test_an_unknown_part_is_named():
    with pytest.raises(QueryError, match="'fortnight' is no date part"):
        one("extract", "fortnight", dt.date(2024, 5, 17))


def test_null_stays_null():
    assert call("extract", "year", [None, dt.date(2024, 5, 17)]) == [None, 2024]
    assert call("date_trunc", "year", [None, dt.date(2024, 5, 17)]) == [None, moment(2024, 1, 1)]


@pytest.mark.parametrize(
    "part",
    TRUNCATED,
)
def test_date_trunc_agrees_with_duckdb(part):
    later = [when for when in MOMENTS if when.year > 9]
    assert call("date_trunc", part, later) == theirs(f"date_trunc('{part}', a)", later)
    days = [when.date() for when in later]
    assert call("date_trunc", part, days) == theirs(f"date_trunc('{part}', a)::TIMESTAMP", days)


def test_centuries_begin_with_the_year_one_of_theirs():
    assert one("date_trunc", "century", dt.date(2000, 5, 5)) == moment(1901, 1, 1)
    assert one("date_trunc", "millennium", dt.date(2001, 5, 5)) == moment(2001, 1, 1)


@pytest.mark.parametrize("part", ["year", "quarter", "month", "day", "hour", "minute", "second", "millisecond"])
def test_datediff_agrees_with_duckdb(part):
    other = MOMENTS[1:] + MOMENTS[:1]
    assert call("datediff", part, MOMENTS, other) == theirs(f"datediff('{part}', a, b)", MOMENTS, other)


def test_weeks_begin_on_monday():
    sunday, monday = dt.date(2024, 5, 19), dt.date(2024, 5, 20)
    assert call("datediff", "week", [sunday, monday, monday], [monday, sunday, dt.date(2024, 5, 26)]) == [1, -1, 0]
    assert one("date_trunc", "week", sunday) == moment(2024, 5, 13)


@pytest.mark.parametrize("months", [0, 1, -1, 3, 12, -25, 240])
def test_months_of_an_interval_are_added_like_duckdb(months):
    some = [when for when in MOMENTS if 30 < when.year < 9000]
    expected = theirs(f"a + INTERVAL ({months}) MONTH + INTERVAL 90 MINUTE", some)
    assert call("add interval", some, interval(months, 90 * 60_000_000)) == expected
    expected = theirs(f"a - INTERVAL ({months}) MONTH - INTERVAL 90 MINUTE", some)
    assert call("subtract interval", some, interval(months, 90 * 60_000_000)) == expected
    days = [when.date() for when in some]
    expected = theirs(f"(a + INTERVAL ({months}) MONTH)::DATE", days)
    assert call("add interval", days, interval(months)) == expected


def test_the_type_of_a_date_and_an_interval():
    resolve = FUNCTIONS.find("add interval").resolve
    assert resolve([DATE, INTERVAL])[1] == DATE
    assert resolve([DATE, INTERVAL_OF_TIME])[1] == TIMESTAMP
    assert resolve([TIMESTAMPTZ, INTERVAL])[1] == TIMESTAMPTZ
    assert resolve([TIME, INTERVAL])[1] == TIME
    with pytest.raises(TypeMismatch, match="takes a date"):
        resolve([Type("boolean"), INTERVAL])
    with pytest.raises(QueryError, match="cast it to TIMESTAMP"):
        one("add interval", dt.date(2024, 1, 1), interval(0, HOUR))


def test_a_time_goes_round():
    assert one("add interval", dt.time(23, 30), interval(0, HOUR)) == dt.time(0, 30)
    assert one("subtract interval", dt.time(0, 30), interval(0, HOUR)) == dt.time(23, 30)


def test_dates_end_with_the_year_9999():
    for arguments in ((dt.date(9999, 12, 31), interval(1)), (dt.date(9999, 12, 31), interval(0, DAY))):
        with pytest.raises(QueryError, match="outside the years 1 to 9999"):
            one("add interval", *arguments)
    with pytest.raises(QueryError, match="outside"):
        one("dateadd", "year", -3000, moment(2000, 1, 1))
    with pytest.raises(QueryError, match="outside"):
        one("add days", dt.date(2000, 1, 1), 2**60)


@pytest.mark.parametrize("part", ["year", "quarter", "month", "week", "day", "hour", "minute", "second"])
def test_dateadd_agrees_with_duckdb(part):
    some = [when for when in MOMENTS if 200 < when.year < 9000]
    counts = [chance.randint(-40, 40) for _ in some]
    assert call("dateadd", part, counts, some) == theirs(f"a + INTERVAL (b) {part}", some, counts)
    assert call("dateadd", part, 3, some) == theirs(f"a + INTERVAL 3 {part}", some)


def test_dateadd_of_a_date_is_a_timestamp():
    assert one("dateadd", "month", 1, dt.date(2024, 1, 31)) == moment(2024, 2, 29)
    assert one("dateadd", "hour", 25, dt.time(1)) == dt.time(2)


def test_add_months_keeps_the_ends_of_months():
    assert one("add_months", dt.date(2008, 2, 29), 1) == moment(2008, 3, 31)
    assert one("add_months", dt.date(2008, 3, 31), -1) == moment(2008, 2, 29)
    assert one("add_months", dt.date(2008, 3, 30), -1) == moment(2008, 2, 29)


def test_last_days_agree_with_duckdb():
    assert call("last_day", DATES) == theirs("last_day(a)", DATES)


def test_next_day():
    assert one("next_day", dt.date(2014, 8, 20), "Tuesday") == dt.date(2014, 8, 26)
    assert one("next_day", dt.date(2014, 8, 26), "tue") == dt.date(2014, 9, 2)
    assert one("next_day", dt.date(2014, 8, 26), "We") == dt.date(2014, 8, 27)
    with pytest.raises(QueryError, match="no weekday"):
        one("next_day", dt.date(2014, 8, 26), "X")


def test_months_between_counts_days_as_thirty_firsts():
    assert one("months_between", dt.date(1969, 1, 18), dt.date(1969, 3, 18)) == -2
    assert one("months_between", dt.date(1969, 3, 31), dt.date(1969, 2, 28)) == 1
    assert one("months_between", dt.date(1969, 3, 15), dt.date(1969, 2, 10)) == pytest.approx(1 + 5 / 31)


def test_the_day_of_a_timestamp():
    assert call("date", MOMENTS) == DATES


def test_time_zones():
    noon = moment(2024, 7, 1, 12)
    winter = moment(2024, 1, 1, 12)
    assert call("convert_timezone", "Europe/Berlin", [noon, winter, None]) == [
        noon.replace(hour=14),
        winter.replace(hour=13),
        None,
    ]
    assert one("convert_timezone", "America/New_York", "UTC", winter) == winter.replace(hour=17)
    assert one("convert_timezone", "UTC", "+05:30", winter) == winter.replace(hour=17, minute=30)
    assert one("at time zone", noon, "Europe/Berlin") == noon.replace(hour=10)
    with pytest.raises(QueryError, match="no time zone 'Mars'"):
        one("convert_timezone", "Mars", noon)


def test_signatures_choose_the_cheapest_cast():
    assert FUNCTIONS.find("DATE_TRUNC").resolve([VARCHAR, VARCHAR]) == ([VARCHAR, DATE], TIMESTAMP)
    assert FUNCTIONS.find("date_trunc").resolve([VARCHAR, TIMESTAMPTZ]) == ([VARCHAR, TIMESTAMPTZ], TIMESTAMPTZ)


def test_empty_columns():
    for name, *arguments in (("extract", "year"), ("extract", "hour"), ("date_trunc", "month"), ("date_trunc", "hour")):
        assert call(name, *arguments, make([], TIMESTAMP), rows=0, context=CONTEXT) == []
    assert call("add interval", make([], DATE), interval(1), rows=0) == []
