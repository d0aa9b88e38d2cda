"""Dates and times moved: + and - with INTERVAL, DATEADD, ADD_MONTHS, NEXT_DAY, time zones.

Months are added first, then days and the rest: a day that the new month does not have becomes its last. ADD_MONTHS,
as in Oracle and Redshift, also keeps the last day of a month the last one; DATEADD and intervals do not.

A time zone's offset is asked of Python's zoneinfo once for each quarter of an hour that occurs: offsets change at no
other times. A local time that occurs twice is the first, one that is skipped is counted with the offset before.
"""

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from engines._native import dates as kernels
from engines.sql.column import Column
from engines.sql.functions.dates import CLOCK, MONTHS, as_type, microseconds, part_named, split
from engines.sql.functions.given import Given, Numbers, intervals, scalars, whole, whole_column
from engines.sql.functions.registry import Functions, TypeMismatch
from engines.sql.types import DATE, DAY, EPOCH_TIME, INTERVAL, TIME, TIMESTAMP, TIMESTAMPTZ, Type

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
OUTSIDE: Final = -(2**62)  # what kernels give for a date that there is not
QUARTER_HOUR: Final = 900_000_000
WEEKDAYS: Final = ("mo", "tu", "we", "th", "fr", "sa", "su")


def moved_days(days: Numbers, months: Numbers, given: Given, *, ends: bool = False) -> Numbers:
    """The days so many months later; one of days and months may be a single number."""
    made = np.empty(given.rows, np.int64)
    kernels.add_months(np.ascontiguousarray(days), np.ascontiguousarray(months), made, ends=ends)
    given.refuse(made == OUTSIDE, "the date is outside the years 1 to 9999")
    return np.where(made == OUTSIDE, 0, made)


def moved(column: Column, months: Numbers, times: Numbers, given: Given, *, ends: bool = False) -> Column:
    """Values so many months and microseconds later."""
    if column.type.kind == "time":
        return whole_column(TIME, (whole(column) + times) % DAY)
    if not months.any():
        return as_type(given.type, microseconds(column) + times, given)
    days, rest = split(microseconds(column))
    return as_type(given.type, moved_days(days, months, given, ends=ends) * DAY + rest + times, given)


def _takes_interval(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    if len(types) == 2 and types[0].kind == "interval":
        raise TypeMismatch("the interval stands behind the date: date + interval")
    if len(types) == 2 and types[1].kind in {"interval", "null"}:
        first = types[0]
        if first.kind == "date":
            return types, TIMESTAMP if types[1].unit == "time" else DATE
        if first.temporal or first.kind == "time":
            return types, first
        if first.text or first.kind == "null":
            return (TIMESTAMP, INTERVAL), TIMESTAMP
    raise TypeMismatch(f"takes a date or time and an interval, not ({', '.join(map(str, types))})")


def _add_interval(given: Given, sign: int) -> Column:
    column = given.columns[0]
    months, times = intervals(given.columns[1])
    if given.type.kind == "date":
        given.refuse(times % DAY != 0, "a DATE plus hours is no DATE: cast it to TIMESTAMP first")
        days = whole(column)
        if months.any():
            days = moved_days(days, sign * months, given)
        return as_type(DATE, (days + sign * (times // DAY)) * DAY, given)
    return moved(column, sign * months, sign * times, given)


@scalar("add interval", _takes_interval, meaning="x + INTERVAL '...'")
def add_interval(given: Given) -> Column:
    return _add_interval(given, 1)


@scalar("subtract interval", _takes_interval, meaning="x - INTERVAL '...'")
def subtract_interval(given: Given) -> Column:
    return _add_interval(given, -1)


@scalar("add days", "date, integer -> date", meaning="DATE + a number of days")
def add_days(given: Given) -> Column:
    days = np.clip(given.whole(1), -4_000_000, 4_000_000)
    return as_type(DATE, (given.whole(0) + days) * DAY, given)


@scalar(
    "dateadd",
    "text, integer, date -> timestamp; text, integer, timestamp -> timestamp;"
    "text, integer, timestamptz -> timestamptz; text, integer, time -> time",
    synonyms=["date_add"],
    meaning="x, so many parts later",
)
def dateadd(given: Given) -> Column:
    part, count, column = part_named(given), given.whole(1), given.columns[2]
    if part in MONTHS:
        months = np.clip(count, -200_000, 200_000) * MONTHS[part]
        return moved(column, months, np.zeros(1, np.int64), given)
    sizes = {"day": DAY, "dow": DAY, "doy": DAY, "week": 7 * DAY} | {name: unit for name, (unit, _) in CLOCK.items()}
    if part not in sizes:
        raise given.error(f"DATEADD takes no {part}: it takes year, quarter, month, week, day, hour, minute, ...")
    most = 2**60 // sizes[part]
    return moved(column, np.zeros(1, np.int64), np.clip(count, -most, most) * sizes[part], given)


@scalar("add_months", "temporal, integer -> timestamp", meaning="x, so many months later; ends of months stay ends")
def add_months(given: Given) -> Column:
    return moved(given.columns[0], np.clip(given.whole(1), -200_000, 200_000), np.zeros(1, np.int64), given, ends=True)


@scalar("next_day", "date, text -> date", meaning="the first such weekday after x: NEXT_DAY(d, 'Tue')")
def next_day(given: Given) -> Column:
    name = given.one_text(1, "the weekday")
    number = next((i for i, word in enumerate(WEEKDAYS) if name.lower().startswith(word)), None)
    if number is None:
        raise given.error(f"{name!r} is no weekday: write Monday, Mon or Mo")
    days = given.whole(0)
    return as_type(DATE, (days + 1 + (number - (days + 4)) % 7) * DAY, given)


# ---- time zones --------------------------------------------------------------------------------------------------


ABBREVIATIONS: Final = {  # hours from UTC; EST, MST and HST are zones of zoneinfo's own
    "EDT": -4, "CST": -6, "CDT": -5, "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "BST": 1, "CET": 1,
    "CEST": 2, "EET": 2, "EEST": 3, "WET": 0, "WEST": 1, "MSK": 3, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11,
    "ACST": 9.5, "AWST": 8, "NZST": 12, "NZDT": 13,
}  # fmt: skip


@lru_cache(maxsize=64)
def zone_named(name: str) -> dt.tzinfo:
    """The zone of that name, or a fixed offset: UTC+3, -05:30. ValueError if there is none."""
    text = name.strip()
    if text.upper() in {"UTC", "GMT", "Z"}:
        return dt.UTC
    if text.upper() in ABBREVIATIONS:
        return dt.timezone(dt.timedelta(hours=ABBREVIATIONS[text.upper()]))
    offset = text.upper().removeprefix("UTC").removeprefix("GMT")
    if offset[:1] in {"+", "-"}:
        hours, _, minutes = offset[1:].partition(":")
        if hours.isdecimal() and (minutes or "0").isdecimal() and int(hours) < 24 and int(minutes or 0) < 60:
            span = dt.timedelta(hours=int(hours), minutes=int(minutes or 0))
            return dt.timezone(-span if offset[0] == "-" else span)
    try:
        return zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}: write one as 'Europe/Berlin' or '+01:00'") from None


def offsets(times: Numbers, zone: dt.tzinfo, *, local: bool) -> Numbers:
    """The zone's offset from UTC at these times, in microseconds. local: the times are the zone's own, not UTC."""
    quarters, at = np.unique(times // QUARTER_HOUR, return_inverse=True)
    made = []
    for quarter in quarters.tolist():
        moment = EPOCH_TIME + dt.timedelta(microseconds=quarter * QUARTER_HOUR)
        try:
            span = (moment.replace(tzinfo=zone) if local else moment.astimezone(zone)).utcoffset()
        except OverflowError:
            span = None
        made.append(int((span or dt.timedelta()) / dt.timedelta(microseconds=1)))
    found: Numbers = np.array(made, np.int64)[at.reshape(-1)] if made else np.zeros(0, np.int64)
    return found


def _zone(given: Given, i: int) -> dt.tzinfo:
    try:
        return zone_named(given.one_text(i, "the time zone"))
    except ValueError as error:
        raise given.error(str(error)) from None


def to_utc(times: Numbers, zone: dt.tzinfo) -> Numbers:
    """Wall clock times of a zone, microseconds, as UTC."""
    return times - offsets(times, zone, local=True)


def from_utc(times: Numbers, zone: dt.tzinfo) -> Numbers:
    """UTC, microseconds, as wall clock times of a zone."""
    return times + offsets(times, zone, local=False)


@scalar(
    "convert_timezone",
    "text, timestamp -> timestamp; text, text, timestamp -> timestamp",
    meaning="a local time of one zone (UTC, if left out) as the local time of another",
)
def convert_timezone(given: Given) -> Column:
    times = microseconds(given.columns[-1])
    if len(given) == 3:
        times = to_utc(times, _zone(given, 0))
    return as_type(TIMESTAMP, from_utc(times, _zone(given, len(given) - 2)), given)


@scalar(
    "at time zone",
    "timestamp, text -> timestamptz; timestamptz, text -> timestamp",
    meaning="a TIMESTAMP of that zone as a moment; a TIMESTAMPTZ as that zone's local time",
)
def at_time_zone(given: Given) -> Column:
    times, zone = microseconds(given.columns[0]), _zone(given, 1)
    if given.type.kind == TIMESTAMPTZ.kind:
        return as_type(TIMESTAMPTZ, to_utc(times, zone), given)
    return as_type(TIMESTAMP, from_utc(times, zone), given)


@scalar(
    "timezone",
    "text, timestamp -> timestamptz; text, timestamptz -> timestamp",
    meaning="AT TIME ZONE with the zone first",
)
def timezone(given: Given) -> Column:
    given.columns.reverse()
    return at_time_zone(given)
