"""Predicates on files: true or false of what a file has one value of; possible or not by the bounds of a group.

pyarrow could prune by expressions, but keeps every group that has a NULL in the column; bounds are easily compared.

Bounds of doubles leave out NaN, which is above all numbers here: so nothing is known of what is above them.
"""

from typing import Any

from engines.sql.source import ColumnStatistics, Predicate
from engines.sql.types import Type


def holds(value: Any, predicate: Predicate) -> bool:  # noqa: ANN401 - an engine value
    """Whether a predicate is true of a value."""
    if predicate.op == "is null":
        return value is None
    if predicate.op == "is not null":
        return value is not None
    if value is None or predicate.value is None:
        return False
    bound = predicate.value
    match predicate.op:
        case "=":
            return bool(value == bound)
        case "<>":
            return bool(value != bound)
        case "<":
            return bool(value < bound)
        case "<=":
            return bool(value <= bound)
        case ">":
            return bool(value > bound)
        case ">=":
            return bool(value >= bound)
        case "in":
            return value in bound
        case "prefix":
            return bool(value.startswith(bound))


def may_hold(predicate: Predicate, known: ColumnStatistics, rows: int, type: Type) -> bool:
    """False if the predicate is true of none of the rows that the statistics are of."""
    if known.nulls is not None:
        if predicate.op == "is null":
            return known.nulls > 0
        if known.nulls >= rows:
            return False
    if predicate.op in {"is null", "is not null"}:
        return True
    low, high = known.low, None if type.floating else known.high
    value = predicate.value
    match predicate.op:
        case "=":
            return _within(value, low, high)
        case "in":
            return any(_within(one, low, high) for one in value)
        case "<":
            return low is None or low < value
        case "<=":
            return low is None or low <= value
        case ">":
            return high is None or high > value
        case ">=":
            return high is None or high >= value
        case "<>":
            return low is None or high is None or not low == high == value
        case "prefix":
            return (low is None or low[: len(value)] <= value) and (high is None or high[: len(value)] >= value)
    return True


def _within(value: Any, low: Any, high: Any) -> bool:  # noqa: ANN401 - engine values
    return (low is None or low <= value) and (high is None or high >= value)
