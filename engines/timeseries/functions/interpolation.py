"""interpolate_*: a series at times where it has no point.

    linear         on the straight line between the neighbours               nothing before the first, after the last
    spline_cubic   on the natural spline: second derivative 0 at both ends   nothing before the first, after the last
    locf           the last point at or before                               nothing before the first
    fill           the point at exactly that time, else the constant         always something

A time at which there is a point gives that point, bit for bit. With an array of times the answer is a series over its
distinct times, rising, without those at which there is nothing; with one time it is a DOUBLE, or NULL.

The spline: for points (x, y) with widths h, the second derivatives m solve a tridiagonal system,

    h[i-1] m[i-1] + 2 (h[i-1] + h[i]) m[i] + h[i] m[i+1] = 6 ((y[i+1] - y[i]) / h[i] - (y[i] - y[i-1]) / h[i-1])

with m = 0 at the ends (Press et al., Numerical Recipes, 3.3), in O(n) by elimination forwards and substitution back.
"""

import itertools
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from engines.sql.column import Column
from engines.sql.functions.given import Given, Numbers, float_column, scalars, whole
from engines.sql.functions.registry import Functions
from engines.sql.types import DOUBLE
from engines.timeseries.functions.series import SECOND, Floats, each, put_together
from engines.timeseries.functions.taking import SERIES, takes

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
Found = tuple[Floats, npt.NDArray[np.bool_]]  # values, and where there is one
Rule = Callable[[Numbers, Floats, Numbers], Found]


def _neighbours(times: Numbers, at: Numbers) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """For each time asked the first point at or after it, and whether it is at it."""
    after = np.searchsorted(times, at)
    inside = np.minimum(after, len(times) - 1)
    return after, (after < len(times)) & (times[inside] == at)


def linear(times: Numbers, values: Floats, at: Numbers) -> Found:
    """See the module's text."""
    after, exact = _neighbours(times, at)
    there = exact | ((after > 0) & (after < len(times)))
    right = np.clip(after, 1, max(len(times) - 1, 1))
    right = np.minimum(right, len(times) - 1)
    left = np.maximum(right - 1, 0)
    with np.errstate(all="ignore"):
        share = (at - times[left]) / np.maximum(times[right] - times[left], 1)
        found = values[left] + (values[right] - values[left]) * share
    return np.where(exact, values[np.minimum(after, len(times) - 1)], found), there


def locf(times: Numbers, values: Floats, at: Numbers) -> Found:
    """Last observation carried forward."""
    before = np.searchsorted(times, at, side="right") - 1
    return values[np.maximum(before, 0)], before >= 0


def curvature(x: Floats, y: Floats) -> Floats:
    """The second derivatives of the natural spline; at least three points."""
    h = np.diff(x)
    slopes = np.diff(y) / h
    right = 6.0 * np.diff(slopes)
    diagonal = 2.0 * (h[:-1] + h[1:])
    d, r = diagonal.tolist(), right.tolist()
    beside = h.tolist()
    for i in range(1, len(d)):
        factor = beside[i] / d[i - 1]
        d[i] -= factor * beside[i]
        r[i] -= factor * r[i - 1]
    m = [0.0] * len(x)
    for i in range(len(d) - 1, -1, -1):
        m[i + 1] = (r[i] - beside[i + 1] * m[i + 2]) / d[i]
    return np.array(m)


def spline_cubic(times: Numbers, values: Floats, at: Numbers) -> Found:
    """See the module's text; two points make a line, one only itself."""
    if len(times) < 3:
        return linear(times, values, at)
    after, exact = _neighbours(times, at)
    there = (at >= times[0]) & (at <= times[-1])
    with np.errstate(all="ignore"):
        x = (times - times[0]) / SECOND
        m = curvature(x, values)
        i = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
        asked = np.where(there, at - times[0], 0) / SECOND
        h = x[i + 1] - x[i]
        left, right = x[i + 1] - asked, asked - x[i]
        found = (m[i] * left**3 + m[i + 1] * right**3) / (6 * h)
        found += (values[i] / h - m[i] * h / 6) * left + (values[i + 1] / h - m[i + 1] * h / 6) * right
    return np.where(exact, values[np.minimum(after, len(times) - 1)], found), there


# ---- as functions ------------------------------------------------------------------------------------------------


def _interpolated(given: Given, rule: Rule) -> Column:
    """One time for each row, or an array of them."""
    there = given.present()
    rows = given.rows
    asked = given.columns[1]
    if given.type == DOUBLE:
        times = np.broadcast_to(given.whole(1), rows)
        values, some = np.zeros(rows), np.zeros(rows, np.uint8)
        for row, (known, points) in enumerate(each(given.columns[0], rows)):
            if len(known) and (there is None or there[row]):
                found, answered = rule(known, points, times[row : row + 1])
                values[row], some[row] = found[0], answered[0]
        return float_column(np.where(some, values, 0.0), valid=None if some.all() else some)
    empty = np.zeros(0, np.int64), np.zeros(0)
    result = []
    for row, ((known, points), at) in enumerate(zip(each(given.columns[0], rows), _times(asked, rows), strict=True)):
        if not len(known) or not len(at) or (there is not None and not there[row]):
            result.append(empty)
            continue
        found, answered = rule(known, points, at)
        result.append((at, found) if answered.all() else (at[answered], found[answered]))
    return put_together(result)


def _times(column: Column, rows: int) -> list[Numbers]:
    """The distinct times that each row asks for, rising."""
    if column.parts is None:
        return [np.zeros(0, np.int64)] * rows
    [inside] = column.parts.values()
    times = whole(inside)
    cuts = column.data.tolist()
    found = []
    for start, end in itertools.pairwise(cuts):
        some = times[start:end]
        if inside.valid is not None:
            some = some[inside.valid[start:end].astype(bool)]
        found.append(some if (np.diff(some) > 0).all() else np.unique(some))
    return found * rows if len(found) == 1 else found


TAKEN: Final = takes((("series", "times"), SERIES), (("series", "time"), DOUBLE))


@scalar("interpolate_linear", TAKEN, meaning="a series at other times, on the line between its points")
def interpolate_linear(given: Given) -> Column:
    return _interpolated(given, linear)


@scalar("interpolate_locf", TAKEN, meaning="a series at other times: the last point at or before")
def interpolate_locf(given: Given) -> Column:
    return _interpolated(given, locf)


@scalar("interpolate_spline_cubic", TAKEN, meaning="a series at other times, on the natural cubic spline")
def interpolate_spline_cubic(given: Given) -> Column:
    return _interpolated(given, spline_cubic)


@scalar(
    "interpolate_fill",
    takes((("series", "times", "double"), SERIES), (("series", "time", "double"), DOUBLE)),
    meaning="a series at other times: its point there, else a constant",
)
def interpolate_fill(given: Given) -> Column:
    rows = given.rows
    constants = np.broadcast_to(given.floats(2), rows)
    asked: list[Numbers]
    if given.type == DOUBLE:
        asked = list(np.broadcast_to(given.whole(1), rows).reshape(rows, 1))
    else:
        asked = _times(given.columns[1], rows)
    result = []
    for (known, points), at, constant in zip(each(given.columns[0], rows), asked, constants, strict=True):
        if not len(known):
            result.append((at, np.full(len(at), constant)))
            continue
        after, exact = _neighbours(known, at)
        result.append((at, np.where(exact, points[np.minimum(after, len(known) - 1)], constant)))
    if given.type == DOUBLE:
        return float_column(np.array([values[0] for _, values in result]))
    return put_together(result)
