"""The calendar kernels against Python's datetime."""

import calendar
import datetime as dt
import random

import numpy as np
import pytest

from engines._native import dates
from engines.sql.types import EPOCH

chance = random.Random(7)
FIRST, LAST = dt.date.min, dt.date.max
DAYS = sorted(
    {
        (dt.date(year, month, 1) - EPOCH).days + shift
        for year in range(1900, 2101)
        for month in (1, 3, 12)
        for shift in (-1, 0)
    }
    | {chance.randint((FIRST - EPOCH).days, (LAST - EPOCH).days) for _ in range(3000)}
    | {(FIRST - EPOCH).days, (LAST - EPOCH).days, 0, -1}
)
PYTHON = [EPOCH + dt.timedelta(days=day) for day in DAYS]
NUMBERS = np.array(DAYS, np.int64)
PARTS = [
    lambda d: d.year,
    lambda d: (d.month + 2) // 3,
    lambda d: d.month,
    lambda d: d.day,
    lambda d: d.isoweekday() % 7,
    lambda d: d.isoweekday(),
    lambda d: d.timetuple().tm_yday,
    lambda d: d.isocalendar().week,
    lambda d: d.isocalendar().year,
]


def days_of(date):
    return (date - EPOCH).days


@pytest.mark.parametrize("part", range(9))
def test_parts_of_dates(part):
    out = np.empty(len(DAYS), np.uint16)
    dates.calendar_part(NUMBERS, 0, part, out)
    assert out.tolist() == [PARTS[part](date) for date in PYTHON]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int64])
@pytest.mark.parametrize("base", [-25_567, 0, 10_957])
def test_parts_of_narrow_days_with_a_base(dtype, base):
    data = np.array([chance.randrange(200 if dtype == np.uint8 else 60_000) for _ in range(501)], dtype)
    for part, expected in enumerate(PARTS):
        out = np.empty(len(data), np.uint16)
        dates.calendar_part(data, base, part, out)
        assert out.tolist() == [expected(EPOCH + dt.timedelta(days=int(day) + base)) for day in data]


def test_month_numbers_and_the_days_made_of_them():
    out = np.empty(len(DAYS), np.int64)
    dates.month_numbers(NUMBERS, 0, out)
    assert out.tolist() == [12 * date.year + date.month - 1 for date in PYTHON]
    back = np.empty_like(out)
    dates.make_days(out // 12, out % 12 + 1, np.array([date.day for date in PYTHON]), back)
    assert back.tolist() == DAYS


def test_there_is_no_thirtieth_of_february():
    wrong = [
        (2023, 2, 29),
        (2024, 2, 30),
        (1900, 2, 29),
        (2023, 13, 1),
        (2023, 0, 1),
        (0, 1, 1),
        (10_000, 1, 1),
        (2023, 4, 31),
    ]
    right = [(2024, 2, 29), (2000, 2, 29), (1, 1, 1), (9999, 12, 31)]
    year, month, day = (np.array(column, np.int64) for column in zip(*wrong, *right, strict=True))
    out = np.empty(len(year), np.int64)
    dates.make_days(year, month, day, out)
    assert out.tolist() == [-(2**62)] * len(wrong) + [days_of(dt.date(*date)) for date in right]


@pytest.mark.parametrize(
    ("months", "first"),
    [
        (1, lambda d: d.replace(day=1)),
        (3, lambda d: dt.date(d.year, (d.month - 1) // 3 * 3 + 1, 1)),
        (12, lambda d: dt.date(d.year, 1, 1)),
        (120, lambda d: dt.date(max(d.year // 10 * 10, 1), 1, 1) if d.year >= 10 else None),
        (1200, lambda d: dt.date((d.year - 1) // 100 * 100 + 1, 1, 1)),
        (12_000, lambda d: dt.date((d.year - 1) // 1000 * 1000 + 1, 1, 1)),
    ],
)
def test_truncation_to_months_and_more(months, first):
    out = np.empty(len(DAYS), np.int64)
    dates.truncate_months(NUMBERS, 0, months, out)
    for got, date in zip(out.tolist(), PYTHON, strict=True):
        if first(date) is not None:
            assert got == days_of(first(date))


def added(date, months, *, ends=False):
    number = 12 * date.year + date.month - 1 + months
    year, month = divmod(number, 12)
    if not 1 <= year <= 9999:
        return -(2**62)
    length = calendar.monthrange(year, month + 1)[1]
    end = ends and date.day == calendar.monthrange(date.year, date.month)[1]
    return days_of(dt.date(year, month + 1, length if end else min(date.day, length)))


@pytest.mark.parametrize("ends", [False, True])
def test_months_are_added(ends):
    months = np.array([chance.choice([0, 1, -1, 12, 13, 600, -600, 10**6, -(10**6), 2**62]) for _ in DAYS], np.int64)
    out = np.empty(len(DAYS), np.int64)
    dates.add_months(NUMBERS, months, out, ends=ends)
    small = np.where(abs(months) < 10**9, months, 10**9).tolist()
    assert out.tolist() == [added(date, m, ends=ends) for date, m in zip(PYTHON, small, strict=True)]
    dates.add_months(NUMBERS, np.array([1]), out, ends=ends)
    assert out.tolist() == [added(date, 1, ends=ends) for date in PYTHON]


def test_last_days_of_months():
    out = np.empty(len(DAYS), np.int64)
    dates.last_days(NUMBERS, out)
    expected = [date.replace(day=calendar.monthrange(date.year, date.month)[1]) for date in PYTHON]
    assert out.tolist() == [days_of(date) for date in expected]


def test_times_split_into_days_and_the_rest():
    times = np.array([chance.randint(-(10**17), 10**17) for _ in range(1000)] + [0, -1, -86_400_000_000], np.int64)
    days, rest = np.empty_like(times), np.empty_like(times)
    dates.split_times(times, days, rest)
    assert days.tolist() == [time // 86_400_000_000 for time in times.tolist()]
    assert rest.tolist() == [time % 86_400_000_000 for time in times.tolist()]


def test_empty_columns_and_wrong_lengths():
    none, numbers = np.zeros(0, np.int64), np.zeros(0, np.uint16)
    dates.calendar_part(none, 0, 0, numbers)
    dates.split_times(none, none, none)
    dates.add_months(none, np.array([1]), none)
    for part, size in ((9, 1), (-1, 1), (0, 2)):
        with pytest.raises(ValueError, match="equally many"):
            dates.calendar_part(np.zeros(1, np.int64), 0, part, np.zeros(size, np.uint16))
