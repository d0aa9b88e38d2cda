"""Times: bins, units, conversions. Everything is UTC and counts nanoseconds since 1970.

    bin(t, d)        down to a multiple of d, counted from 1970-01-01T00:00Z: bin(-1, 60) = -60. It keeps the type
    date_trunc       down to the unit; weeks begin on Monday
    date_add         a day that the month does not have becomes its last: 31 January + 1 month = 28 February
    date_diff        whole units from a to b, truncated toward 0: the largest n for which date_add(unit, n, a) <= b
    t + d, ago(d)    an INTERVAL is (months, nanoseconds)

What 64 bits do not hold (before 1677, after 2262) is an error with words, never a number that has gone around.
"""

from typing import Any, Final

import numpy as np

from engines.errors import Invalid
from engines.sql.binder.binding import Binder
from engines.sql.binder.literals import now
from engines.sql.binder.operators import scalar as scalar_call
from engines.sql.binder.scopes import Scope
from engines.sql.column import Column
from engines.sql.functions import dates, moments
from engines.sql.functions.given import Given, Numbers, float_column, intervals, scalars, whole, whole_column
from engines.sql.functions.registry import Functions
from engines.sql.logical import Constant, Expression
from engines.sql.types import BIGINT, DAY, DOUBLE, INTERVAL_NS, TIMESTAMP_NS
from engines.timeseries import durations
from engines.timeseries.functions.taking import takes

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
UNITS: Final = {  # nanoseconds
    "nanosecond": 1,
    "microsecond": 1_000,
    "millisecond": 1_000_000,
    "second": 1_000_000_000,
    "minute": 60_000_000_000,
    "hour": 3_600_000_000_000,
    "day": 86_400_000_000_000,
    "week": 604_800_000_000_000,
}
MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
KNOWN: Final = ", ".join((*UNITS, *MONTHS))
MONDAY: Final = 4 * UNITS["day"]  # 1970 began on a Thursday: from here weeks are counted
LEAST, MOST = -(2**63), 2**63 - 1
OUTSIDE: Final = "the time is outside what nanoseconds in 64 bits hold (1677 to 2262)"


def unit_of(given: Given) -> str:
    """The unit that the first argument names. QueryError with the names that there are."""
    name = given.one_text(0, "the unit")
    unit = name.strip().lower()
    unit = unit if unit in UNITS or unit in MONTHS else unit.removesuffix("s")
    if unit not in UNITS and unit not in MONTHS:
        raise given.error(f"{name!r} is no unit: there are {KNOWN}")
    return unit


def added(times: Numbers, more: Numbers, given: Given) -> Numbers:
    """The sums. QueryError where 64 bits do not hold one."""
    with np.errstate(over="ignore"):
        found: Numbers = times + more
    given.refuse(((times ^ found) & (more ^ found)) < 0, OUTSIDE)
    return found


def multiplied(numbers: Numbers, factor: int, given: Given) -> Numbers:
    """The products. QueryError where 64 bits do not hold one."""
    given.refuse((numbers > MOST // factor) | (numbers < -(MOST // factor)), OUTSIDE)
    with np.errstate(over="ignore"):
        found: Numbers = numbers * factor
    return found


def months_later(times: Numbers, months: Numbers, given: Given) -> Numbers:
    """The same time of the day so many months later; a day that there is not becomes the last of its month."""
    micros, rest = times // 1000, times % 1000
    days, clock = dates.split(micros)
    moved = moments.moved_days(days, months, given)
    given.refuse(np.abs(moved) > MOST // UNITS["day"] - 1, OUTSIDE)
    return (moved * DAY + clock) * 1000 + rest


# ---- bin and units -----------------------------------------------------------------------------------------------


@scalar(
    "bin",
    takes(
        (("time", "interval"), TIMESTAMP_NS), (("whole", "whole"), lambda types: types[0]), (("double",) * 2, DOUBLE)
    ),
    meaning="bin(t, 1h): down to a multiple of the width, counted from 1970; of numbers too",
)
def binned(given: Given) -> Column:
    if given.type.floating:
        numbers, wide = given.floats(0), given.floats(1)
        given.refuse(~(wide > 0), "the width of a bin is above 0, got {value}", 1)
        with np.errstate(all="ignore"):
            return float_column(np.floor(numbers / wide) * wide)
    if given.type.kind == "timestamp":
        months, width = intervals(given.columns[1])
        given.refuse(months != 0, "a bin has a fixed width: use date_trunc('month', ...) for months and years")
        given.refuse(width <= 0, "the width of a bin is above 0")
    else:
        width = given.whole(1)
        given.refuse(width <= 0, "the width of a bin is above 0, got {value}", 1)
    width = np.maximum(width, 1)
    values = given.whole(0)
    with np.errstate(over="ignore"):
        found = values - values % width
    given.refuse(found > values, OUTSIDE if given.type.kind == "timestamp" else "the bin begins outside of BIGINT")
    return whole_column(given.type, found)


@scalar("date_trunc", takes((("text", "time"), TIMESTAMP_NS)), meaning="the beginning of the hour, month, ... of t")
def truncated(given: Given) -> Column:
    unit, times = unit_of(given), given.whole(1)
    if unit in UNITS:
        shift = MONDAY if unit == "week" else 0
        with np.errstate(over="ignore"):
            found = times - (times - shift) % UNITS[unit]
        given.refuse(found > times, OUTSIDE)
        return whole_column(TIMESTAMP_NS, found)
    days = dates.truncated_days(unit, given.columns[1], given)
    return whole_column(TIMESTAMP_NS, multiplied(days, UNITS["day"], given))


@scalar(
    "dateadd",
    takes((("text", "whole", "time"), TIMESTAMP_NS)),
    synonyms=["date_add"],
    meaning="date_add('month', 1, t): so many units later",
)
def date_add(given: Given) -> Column:
    unit, count, times = unit_of(given), given.whole(1), given.whole(2)
    if unit in MONTHS:
        months = np.clip(count, -200_000, 200_000) * MONTHS[unit]
        return whole_column(TIMESTAMP_NS, months_later(times, months, given))
    return whole_column(TIMESTAMP_NS, added(times, multiplied(count, UNITS[unit], given), given))


@scalar(
    "datediff",
    takes((("text", "time", "time"), BIGINT)),
    synonyms=["date_diff"],
    meaning="date_diff('hour', a, b): whole units from a to b",
)
def date_diff(given: Given) -> Column:
    unit = unit_of(given)
    first, second = (np.broadcast_to(given.whole(i), given.rows) for i in (1, 2))
    if unit in UNITS:
        between = added(second, -first, given)
        return whole_column(BIGINT, np.where(between < 0, -(-between // UNITS[unit]), between // UNITS[unit]))
    columns = [whole_column(TIMESTAMP_NS, times) for times in (first, second)]
    before, after = (dates.month_numbers(column) for column in columns)
    months = after - before
    reached = months_later(first, months, given)
    months -= (months > 0) & (reached > second)
    months += (months < 0) & (reached < second)
    return whole_column(BIGINT, np.where(months < 0, -(-months // MONTHS[unit]), months // MONTHS[unit]))


def _part(name: str, part: str) -> None:
    @scalar(name, takes((("time",), BIGINT)), meaning=f"a part of a time: {name}")
    def named(given: Given) -> Column:
        return dates.extracted(part, given.columns[0], given)


for _name, _from in {
    "year": "year",
    "quarter": "quarter",
    "month": "month",
    "week": "week",
    "week_of_year": "week",
    "day": "day",
    "day_of_month": "day",
    "day_of_week": "isodow",
    "dow": "isodow",
    "day_of_year": "doy",
    "doy": "doy",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
    "millisecond": "millisecond",
}.items():
    _part(_name, _from)


# ---- intervals ---------------------------------------------------------------------------------------------------


@scalar("add interval", takes((("time", "interval"), TIMESTAMP_NS)), meaning="t + 15s")
def add_interval(given: Given) -> Column:
    column = given.columns[0]
    times = whole(column)
    if column.type.kind == "date":
        times = multiplied(times, UNITS["day"], given)
    elif column.type.unit != "ns":
        times = multiplied(times, 1000, given)
    months, time = intervals(given.columns[1])
    if months.any():
        times = months_later(times, np.broadcast_to(months, given.rows), given)
    return whole_column(TIMESTAMP_NS, added(times, time, given))


@scalar("ago", takes((("time", "interval"), TIMESTAMP_NS)), meaning="ago(15m): so long before now()")
def _before(given: Given) -> Column:
    months, time = intervals(given.columns[1])
    times = given.whole(0)
    if months.any():
        times = months_later(np.broadcast_to(times, given.rows), np.broadcast_to(-months, given.rows), given)
    found = added(times, -time, given)
    given.refuse(found < 0, "ago(...) lies before 1970: take a shorter duration")
    return whole_column(TIMESTAMP_NS, found)


def _ago(binder: Binder, name: str, node: Any, scope: Scope) -> Expression:  # noqa: ANN401 - of sqlglot
    if len(node.expressions) != 1:
        raise binder.error("AGO takes a duration: ago(15m)", node)
    duration = binder.expression(node.expressions[0], scope)
    if duration.type.kind not in {"interval", "null"}:
        raise binder.error(f"AGO takes a duration, without quotes: ago(15m), not {duration.type}", node)
    return scalar_call(binder, name, [now(binder, binder.position(node)), duration], node)


def _parse_duration(binder: Binder, name: str, node: Any, scope: Scope) -> Expression:  # noqa: ANN401 - of sqlglot
    arguments = [binder.expression(one, scope) for one in node.expressions]
    only = arguments[0] if len(arguments) == 1 else None
    if isinstance(only, Constant) and only.type.text and only.value is not None:
        text = only.value.decode()
        try:
            value = 0, durations.nanoseconds(text)
        except Invalid:
            units = ", ".join(durations.UNITS)
            said = f"{text} is no duration: write a whole number above 0 and one of {units}, like 15s or 24h"
            raise binder.error(said, node) from None
        return Constant(value, type=INTERVAL_NS, position=binder.position(node))
    return scalar_call(binder, name, arguments, node)


FUNCTIONS.specials["ago"] = _ago
FUNCTIONS.specials["parse_duration"] = _parse_duration


@scalar("parse_duration", takes((("text",), INTERVAL_NS)), meaning="parse_duration('2h'): an INTERVAL")
def parsed_duration(given: Given) -> Column:
    def parsed(text: str) -> int:
        try:
            return durations.nanoseconds(text)
        except Invalid as error:
            raise ValueError(str(error)) from None

    return given.for_each(parsed)


@scalar("to_milliseconds", takes((("interval",), BIGINT), (("time",), BIGINT)), meaning="whole milliseconds")
def to_milliseconds(given: Given) -> Column:
    return whole_column(BIGINT, _time_of(given) // 1_000_000)


@scalar("to_nanoseconds", takes((("interval",), BIGINT), (("time",), BIGINT)), meaning="nanoseconds since 1970")
def to_nanoseconds(given: Given) -> Column:
    return whole_column(BIGINT, _time_of(given))


def _time_of(given: Given) -> Numbers:
    if given.columns[0].type.kind != "interval":
        return given.whole(0)
    months, time = intervals(given.columns[0])
    given.refuse(months != 0, "an INTERVAL with months or years is no length of time")
    return time


# ---- numbers and texts -------------------------------------------------------------------------------------------


@scalar("from_milliseconds", takes((("whole",), TIMESTAMP_NS)), meaning="milliseconds since 1970 as a time")
def from_milliseconds(given: Given) -> Column:
    return whole_column(TIMESTAMP_NS, multiplied(given.whole(0), 1_000_000, given))


@scalar("from_nanoseconds", takes((("whole",), TIMESTAMP_NS)), meaning="nanoseconds since 1970 as a time")
def from_nanoseconds(given: Given) -> Column:
    return whole_column(TIMESTAMP_NS, given.whole(0))


@scalar(
    "from_unixtime",
    takes((("whole",), TIMESTAMP_NS), (("double",), TIMESTAMP_NS)),
    meaning="seconds since 1970, perhaps with a fraction, as a time",
)
def from_unixtime(given: Given) -> Column:
    if not given.columns[0].type.floating:
        return whole_column(TIMESTAMP_NS, multiplied(given.whole(0), UNITS["second"], given))
    seconds = given.floats(0)
    given.refuse(~(np.abs(seconds) < MOST / UNITS["second"] - 1), OUTSIDE)
    seconds = np.where(np.isfinite(seconds), np.clip(seconds, -9e9, 9e9), 0.0)
    whole_ones = np.floor(seconds)
    fraction = np.rint((seconds - whole_ones) * UNITS["second"]).astype(np.int64)
    return whole_column(TIMESTAMP_NS, whole_ones.astype(np.int64) * UNITS["second"] + fraction)


@scalar("to_unixtime", takes((("time",), DOUBLE)), meaning="seconds since 1970 with their fraction, DOUBLE")
def to_unixtime(given: Given) -> Column:
    times = given.whole(0)
    return float_column(times // UNITS["second"] + (times % UNITS["second"]) / UNITS["second"])


@scalar(
    "from_iso8601_timestamp", takes((("time",), TIMESTAMP_NS)), meaning="a text like 2026-01-01T00:00:00Z as a time"
)
def from_iso8601(given: Given) -> Column:
    return whole_column(TIMESTAMP_NS, given.whole(0))  # the binder has cast it
