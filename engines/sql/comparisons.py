"""Comparisons of columns, as masks (uint8, 1 = true): what `=` and `<` mean for every type.

    whole numbers   with a constant: a range in the column's own narrow width; two columns: at their common scale
    floats          NaN equals itself and is above all; -0.0 = 0.0
    text            bytewise. Words of a dictionary are compared once each: `expressions.py` sees to that
    booleans        false < true
    intervals       their length, a month as 30 days

A mask says nothing about NULL: the bytes under a NULL compare as anything. Who asks "is it true" ANDs `valid` to it,
who wants three values keeps it beside.
"""

from typing import Any, Final, Literal

import numpy as np

from engines._native import compare as kernels
from engines.sql import texts
from engines.sql.arithmetic import (
    LEAST,
    MOST,
    doubles,
    integers,
    places,
    rescaled,
    value_of,
)
from engines.sql.column import Bytes, Column

Test = Literal["=", "<>", "<", "<=", ">", ">="]
TESTS: Final[tuple[Test, ...]] = ("=", "<>", "<", "<=", ">", ">=")
MIRRORED: Final[dict[str, Test]] = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
Range = tuple[int | None, int | None, bool]  # lowest, highest (None = no limit), and whether it is what is left out


def compare(test: Test, a: Column, b: Column, rows: int) -> Bytes:
    """1 where a passes the test against b. One of them may be constant."""
    if a.type.bytes:
        made: Bytes = texts.compare(test, a, b, rows)
        return made
    if a.type.floating or b.type.floating:
        return _floats(test, a, b, rows)
    if a.constant:
        a, b, test = b, a, MIRRORED[test]
    if b.constant:
        return within(a, limits(test, value_of(b), places(b.type), places(a.type)), rows)
    return _columns(test, a, b, rows)


def limits(test: str, constant: int, scale: int, column_scale: int) -> Range:
    """Which whole numbers at the column's scale pass the test against a constant of another scale."""
    if scale <= column_scale:
        low = high = constant * 10 ** (column_scale - scale)
    else:  # the constant may lie between two of the column's values
        divisor = 10 ** (scale - column_scale)
        low = -(-constant // divisor)  # the first value that is not below it
        high = constant // divisor  # the last one that is not above it
    match test:
        case "<":
            return None, low - 1, False
        case "<=":
            return None, high, False
        case ">":
            return high + 1, None, False
        case ">=":
            return low, None, False
    return low, high, test == "<>"  # between two values: low > high, an empty range


def within(column: Column, range: Range, rows: int, mask: Bytes | None = None) -> Bytes:
    """1 where the whole number is in the range; ANDed to a mask that is given, in place."""
    low, high, negate = range
    if column.wide:
        found = np.array([(low is None or v >= low) and (high is None or v <= high) for v in column.data.tolist()])
        made: Bytes = (found != negate).astype(np.uint8)
        if mask is None:
            return made
        mask &= made
        return mask
    also = mask is not None
    if mask is None:
        mask = np.empty(rows, np.uint8)
    base = column.base
    low = LEAST if low is None else low - base
    high = MOST if high is None else high - base
    if low > MOST or high < LEAST:
        low, high = 1, 0
    kernels.between(column.data, max(low, LEAST), min(high, MOST), mask, negate=negate, also=also)
    return mask


def _columns(test: Test, a: Column, b: Column, rows: int) -> Bytes:
    scale = max(places(a.type), places(b.type))
    a, b = rescaled(a, scale), rescaled(b, scale)
    if test in {">", "<="}:
        a, b = b, a
    negate, less = test in {"<>", "<=", ">="}, test not in {"=", "<>"}
    mask = np.empty(rows, np.uint8)
    if a.wide or b.wide:
        pairs = zip(integers(a, rows), integers(b, rows), strict=True)
        found: list[Any] = [(x < y if less else x == y) != negate for x, y in pairs]
        return np.array(found, np.uint8)
    delta = a.base - b.base
    x, y = a.data, b.data
    if np.int64 in {x.dtype.type, y.dtype.type} or not LEAST <= delta <= MOST:
        low, high = a.bounds()
        if not (low - b.base >= LEAST and high - b.base <= MOST):
            x, y, delta = a.numbers(), b.numbers(), 0
    kernels.compare(less, x, y, delta, mask, negate=negate)
    return mask


def _floats(test: Test, a: Column, b: Column, rows: int) -> Bytes:
    if test in {">", "<="}:
        a, b = b, a
    mask = np.empty(rows, np.uint8)
    less = test not in {"=", "<>"}
    kernels.compare_floats(less, doubles(a), doubles(b), mask, negate=test in {"<>", "<=", ">="})
    return mask
