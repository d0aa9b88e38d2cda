"""The time series functions of SQL, from their definitions and in plain Python: point by point, with fractions.

A series is a list of (time, value), the times whole nanoseconds, strictly rising; None is NULL.
"""

import math
from fractions import Fraction
from itertools import pairwise

SECOND = 10**9


def series_of(rows):
    """create_time_series over rows of (time, value)."""
    points = sorted((time, value) for time, value in rows if time is not None and value is not None)
    times = [time for time, _ in points]
    if len(set(times)) < len(times):
        raise ValueError("two values at one time")
    return points or None


def linear(series, at):
    known = dict(series)
    if at in known:
        return known[at]
    before = [point for point in series if point[0] < at]
    after = [point for point in series if point[0] > at]
    if not before or not after:
        return None
    (t0, v0), (t1, v1) = before[-1], after[0]
    return float(Fraction(v0) + (Fraction(v1) - Fraction(v0)) * Fraction(at - t0, t1 - t0))


def locf(series, at):
    before = [value for time, value in series if time <= at]
    return before[-1] if before else None


def fill(series, at, constant):
    return dict(series).get(at, constant)


def spline(series, at):
    """Natural: the second derivatives, exactly, by Gaussian elimination over fractions."""
    n = len(series)
    if at < series[0][0] or at > series[-1][0]:
        return None
    if n < 3:
        return linear(series, at)
    x = [Fraction(time, SECOND) for time, _ in series]
    y = [Fraction(value) for _, value in series]
    h = [b - a for a, b in pairwise(x)]
    rows = []
    for i in range(1, n - 1):
        row = [Fraction(0)] * n
        row[i - 1], row[i], row[i + 1] = h[i - 1], 2 * (h[i - 1] + h[i]), h[i]
        rows.append(([*row[1:-1]], 6 * ((y[i + 1] - y[i]) / h[i] - (y[i] - y[i - 1]) / h[i - 1])))
    m = [Fraction(0), *solved(rows), Fraction(0)]
    t = Fraction(at, SECOND)
    i = max(k for k in range(n - 1) if x[k] <= t)
    a, b = x[i + 1] - t, t - x[i]
    cubes = (m[i] * a**3 + m[i + 1] * b**3) / (6 * h[i])
    return float(cubes + (y[i] / h[i] - m[i] * h[i] / 6) * a + (y[i + 1] / h[i] - m[i + 1] * h[i] / 6) * b)


def solved(rows):
    """The solution of linear equations (coefficients, right side)."""
    rows = [[*left, right] for left, right in rows]
    for i in range(len(rows)):
        pivot = next(k for k in range(i, len(rows)) if rows[k][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(len(rows)):
            if k != i and rows[k][i]:
                factor = rows[k][i] / rows[i][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def over(function, series, times, *more):
    """The series form: at distinct times, rising, without NULLs."""
    if series is None or times is None:
        return None
    found = [(at, function(series, at, *more)) for at in sorted({time for time in times if time is not None})]
    return [(at, value) for at, value in found if value is not None]


def derivative(series, interval=SECOND):
    pairs = pairwise(series)
    return [(t1, (v1 - v0) / ((t1 - t0) / interval)) for (t0, v0), (t1, v1) in pairs]


def non_negative_derivative(series, interval=SECOND):
    return [(time, value) for time, value in derivative(series, interval) if not value < 0]


def integral(series, interval=SECOND):
    return math.fsum((v0 + v1) / 2 * ((t1 - t0) / interval) for (t0, v0), (t1, v1) in pairwise(series))


def pearson(one, two):
    if [time for time, _ in one] != [time for time, _ in two]:
        raise ValueError("other times")
    a, b = [value for _, value in one], [value for _, value in two]
    if len(a) < 2:
        return math.nan
    mean_a, mean_b = math.fsum(a) / len(a), math.fsum(b) / len(b)
    above = math.fsum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    below = math.fsum((x - mean_a) ** 2 for x in a) * math.fsum((y - mean_b) ** 2 for y in b)
    return above / math.sqrt(below) if below else math.nan


def spearman(one, two):
    def ranked(series):
        values = sorted(value for _, value in series)
        mean = {v: sum(i for i, x in enumerate(values, 1) if x == v) / values.count(v) for v in values}
        return [(time, mean[value]) for time, value in series]

    return pearson(ranked(one), ranked(two))
