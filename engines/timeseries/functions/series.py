"""Series as values: what they are made of, and the functions that look at neighbours.

    create_time_series(time, value)     an aggregate, see aggregates.py
    derivative_linear, non_negative_derivative_linear, integral_trapezoidal      here
    correlate_pearson, correlate_spearman                                       here
    interpolate_*                                                               interpolation.py

A column of series is a list of (time, value): offsets, and the points of all rows back to back in two parts. So what
needs no more than a point and the one before it is computed for all series at once, and cut where one series ends.

Times rise strictly inside a series, and it holds no NULL: who makes one sees to that.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines.sql.column import Column, nulls
from engines.sql.functions.given import Given, Numbers, float_column, floats, intervals, scalars, whole, whole_column
from engines.sql.functions.registry import Functions
from engines.sql.types import DOUBLE, TIMESTAMP_NS, Type
from engines.timeseries.functions.taking import SERIES, takes

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
SECOND: Final = 10**9
Floats = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]


def points(column: Column) -> tuple[Offsets, Numbers, Floats]:
    """Offsets, times and values of a column of series of DOUBLE."""
    if column.parts is None:
        return np.zeros(len(column.data), np.int64), np.zeros(0, np.int64), np.zeros(0)
    return column.data.astype(np.int64), whole(column.parts["time"]), floats(column.parts["value"])


def each(column: Column, rows: int) -> Iterator[tuple[Numbers, Floats]]:
    """The series of each row; a constant stands for every row."""
    offsets, times, values = points(column)
    cuts = offsets.tolist()
    if len(cuts) == 2 and rows != 1:
        cuts = [cuts[0], cuts[1]]
        for _ in range(rows):
            yield times[cuts[0] : cuts[1]], values[cuts[0] : cuts[1]]
        return
    for start, end in itertools.pairwise(cuts):
        yield times[start:end], values[start:end]


def series_column(offsets: npt.NDArray[Any], times: Numbers, values: Floats, type: Type = SERIES) -> Column:
    """A column of series of DOUBLE."""
    parts = {"time": whole_column(TIMESTAMP_NS, times), "value": float_column(values)}
    return Column(type, offsets.astype(np.int32), parts=parts)


def put_together(found: list[tuple[Numbers, Floats]]) -> Column:
    """A column of one series a row."""
    offsets = np.zeros(len(found) + 1, np.int64)
    np.cumsum([len(times) for times, _ in found], out=offsets[1:])
    if not len(found):
        return nulls(SERIES, 0)
    return series_column(offsets, np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found]))


def interval_of(given: Given, i: int) -> Floats:
    """Argument i as nanoseconds, one or one a row; a second where it is left out. QueryError if it is not above 0."""
    if i >= len(given):
        return np.array([float(SECOND)])
    months, time = intervals(given.columns[i])
    given.refuse(months != 0, "the interval has a fixed length: take days, hours, minutes, ...")
    given.refuse(time <= 0, "the interval is above 0")
    return np.maximum(time, 1).astype(np.float64)


def of_points(numbers: Floats, offsets: Offsets) -> Floats:
    """A number for each row as one for each point."""
    return numbers if len(numbers) == 1 else np.repeat(numbers, np.diff(offsets))


# ---- neighbours --------------------------------------------------------------------------------------------------


def _derived(given: Given) -> tuple[Offsets, Numbers, Floats, npt.NDArray[np.bool_]]:
    """For each point the change per interval since the one before, and whether there is one before."""
    offsets, times, values = points(given.columns[0])
    scale = of_points(interval_of(given, 1), offsets)
    follows = np.ones(len(times), bool)
    follows[offsets[:-1][offsets[:-1] < len(times)]] = False
    with np.errstate(all="ignore"):
        steps = np.diff(times, prepend=times[:1]).astype(np.float64) / scale
        changes = np.diff(values, prepend=values[:1]) / np.where(follows, steps, 1.0)
    return offsets, times, changes, follows


def _kept(offsets: Offsets, times: Numbers, values: Floats, keep: npt.NDArray[np.bool_]) -> Column:
    before = np.zeros(len(keep) + 1, np.int64)
    np.cumsum(keep, out=before[1:])
    return series_column(before[offsets], times[keep], values[keep])


INTERVALS: Final = takes((("series",), SERIES), (("series", "interval"), SERIES))


@scalar("derivative_linear", INTERVALS, meaning="the change per interval (1s) between neighbours, at the later time")
def derivative_linear(given: Given) -> Column:
    return _kept(*_derived(given))


@scalar("non_negative_derivative_linear", INTERVALS, meaning="derivative_linear without the points below 0")
def non_negative_derivative_linear(given: Given) -> Column:
    offsets, times, changes, follows = _derived(given)
    return _kept(offsets, times, changes, follows & ~(changes < 0))


@scalar(
    "integral_trapezoidal",
    takes((("series",), DOUBLE), (("series", "interval"), DOUBLE)),
    meaning="the area under the straight lines between the points, in value times interval (1s)",
)
def integral_trapezoidal(given: Given) -> Column:
    scales = interval_of(given, 1)
    found = np.zeros(given.rows)
    some = np.zeros(given.rows, np.uint8)
    for row, (times, values) in enumerate(each(given.columns[0], given.rows)):
        with np.errstate(all="ignore"):
            widths = np.diff(times) / scales[row if len(scales) > 1 else 0]
            found[row] = np.sum((values[1:] + values[:-1]) / 2 * widths)
        some[row] = len(times) > 0
    return float_column(found, valid=None if some.all() else some)


# ---- correlation -------------------------------------------------------------------------------------------------


def pearson(one: Floats, two: Floats) -> float:
    """NaN for fewer than two points, and where one of them does not vary."""
    if len(one) < 2:
        return math.nan
    with np.errstate(all="ignore"):
        first, second = one - one.mean(), two - two.mean()
        scale = math.sqrt(float(first @ first)) * math.sqrt(float(second @ second))
        return float(first @ second) / scale if scale else math.nan


def ranks(values: Floats) -> Floats:
    """From 1; equal values share the mean of their ranks."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: Floats = ((last - counts + 1 + last) / 2)[at.reshape(-1)]
    return found


def _correlated(given: Given, *, ranked: bool) -> Column:
    found = []
    pairs = zip(each(given.columns[0], given.rows), each(given.columns[1], given.rows), strict=True)
    there = given.present()
    for row, ((times, one), (others, two)) in enumerate(pairs):
        if there is not None and not there[row]:
            found.append(math.nan)
            continue
        if not np.array_equal(times, others):
            raise given.error(
                "the two series have different times: interpolate both over the same sequence(...) of times first"
            )
        found.append(pearson(ranks(one), ranks(two)) if ranked and len(one) else pearson(one, two))
    return float_column(np.array(found))


PAIR: Final = takes((("series", "series"), DOUBLE))


@scalar("correlate_pearson", PAIR, meaning="how two series over the same times vary together, -1 to 1")
def correlate_pearson(given: Given) -> Column:
    return _correlated(given, ranked=False)


@scalar("correlate_spearman", PAIR, meaning="correlate_pearson over the ranks of the values")
def correlate_spearman(given: Given) -> Column:
    return _correlated(given, ranked=True)
