"""Arithmetic with INTERVALs: what they add up to, and the time between two timestamps.

An INTERVAL is (months, time) in a plan's constants, a whole number in a column (see spans.py). Adding an interval to a
date or a time is a function of the registry ("add interval").
"""

from typing import Any

from engines.sql.arithmetic import both_valid, checked, doubles, integers, rescaled, rounded, whole_column
from engines.sql.column import Column
from engines.sql.context import Context
from engines.sql.spans import months_and_time, span
from engines.sql.types import DAY, Type


def kernel(columns: list[Column], rows: int, context: Context, *, operator: str, type: Type, position: int) -> Column:
    """A operator b, where one of them, or the result, is an INTERVAL. QueryError for what makes no sense."""
    a, b = columns
    valid = both_valid(a, b, rows)
    if a.type.temporal and b.type.temporal and operator == "-":
        scale = 9 if "ns" in {a.type.unit, b.type.unit} else 0
        pairs = zip(integers(rescaled(a, scale), rows), integers(rescaled(b, scale), rows), strict=True)
        divisor = 1000 if scale and type.unit != "ns" else 1
        return whole_column([rounded(x - y, divisor) for x, y in pairs], type, valid)
    if a.type.kind == b.type.kind == "interval" and operator in {"+", "-"}:
        sign = 1 if operator == "+" else -1
        return _column(
            [
                (x[0] + sign * y[0], x[1] + sign * y[1])
                for x, y in zip(pairs_of(a, rows), pairs_of(b, rows), strict=True)
            ],
            type,
            valid,
        )
    if b.type.kind == "interval" and a.type.temporal:  # a difference of timestamps, added to a timestamp
        sign = 1 if operator == "+" else -1
        found = [x + sign * y[1] for x, y in zip(integers(a, rows), pairs_of(b, rows), strict=True)]
        return checked(whole_column(found, type, valid), context, position)
    if operator in {"*", "/"} and (b.type.number or a.type.number):
        interval, number = (a, b) if a.type.kind == "interval" else (b, a)
        factors = doubles(number).tolist() * (rows if number.constant else 1)
        if operator == "/":
            if 0 in factors:
                raise context.error("division by zero", position)
            factors = [1 / factor for factor in factors]
        month = 30 * DAY * (1000 if type.unit == "ns" else 1)
        made = [_scaled(pair, factor, month) for pair, factor in zip(pairs_of(interval, rows), factors, strict=True)]
        return _column(made, type, valid)
    raise context.error(f"there is no {a.type} {operator} {b.type}", position)


def _scaled(pair: tuple[int, int], factor: float, month: int) -> tuple[int, int]:
    """Times a factor; a part of a month counts as so many of 30 days."""
    if factor == int(factor):
        return pair[0] * int(factor), pair[1] * int(factor)
    months = pair[0] * factor
    whole = int(months)
    return whole, round(pair[1] * factor + (months - whole) * month)


def negated(column: Column) -> Column:
    """The intervals, backwards."""
    return _column([(-months, -time) for months, time in pairs_of(column, len(column))], column.type, column.valid)


def pairs_of(column: Column, rows: int) -> list[tuple[int, int]]:
    """(months, microseconds), one for each row."""
    found = [months_and_time(value) for value in (column.data if column.wide else column.numbers()).tolist()]
    return found * rows if column.constant else found


def _column(pairs: list[tuple[int, int]], type: Type, valid: Any) -> Column:  # noqa: ANN401 - bytes or None
    return whole_column([span(*pair, type.unit) for pair in pairs], type, valid)
