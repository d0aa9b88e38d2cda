"""Aggregates of this engine: create_time_series, max_by and min_by of n, approx_percentile.

All of them keep a group's values, sorted by group and key once at the end (`engines.sql.gathered`), and cut the sorted
rows into what they answer. So a million points become series in one sort, without a loop over rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np

from engines.sql import calls
from engines.sql.column import Column, gather
from engines.sql.functions.registry import Aggregate, Functions, TypeMismatch
from engines.sql.gathered import Finish, Gathered, Sorted
from engines.sql.logical import AggregateCall, Call, Cast, Constant, Expression
from engines.sql.ordering import Direction
from engines.sql.types import BIGINT, DOUBLE, TIMESTAMP_NS, Type, array, timeseries
from engines.text import show

FUNCTIONS = Functions()
MOST_OF_N: Final = 100_000


@dataclass
class Refused(Exception):
    """A group has no answer: the run makes a QueryError of it, at the call's place."""

    message: str
    position: int


def _register(
    name: str,
    resolve: Callable[[Sequence[Type]], tuple[Sequence[Type], Type]],
    plan: Callable[[AggregateCall], calls.Plan],
    meaning: str,
) -> None:
    FUNCTIONS.aggregates[name] = Aggregate(name, resolve, meaning=meaning, plan=plan)


# ---- create_time_series ------------------------------------------------------------------------------------------

MEASURES: Final = frozenset({"boolean", "timestamp", "varchar", "char"})


def _of_series(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    if len(types) != 2 or not (types[0].temporal or types[0].kind == "null"):
        raise TypeMismatch(f"takes a time and a value, not ({', '.join(map(str, types))})")
    value = types[1]
    if value.kind == "null" or (value.number and not value.integer):
        value = DOUBLE
    elif not (value.integer or value.kind in MEASURES):
        raise TypeMismatch(f"takes a value that a measure can have, not {value}")
    return (TIMESTAMP_NS, value), timeseries(value)


def _series(call: AggregateCall) -> calls.Plan:
    time, value = call.arguments

    def make(rows: Sorted, type: Type) -> Column:
        times = gather(rows.columns[0], rows.arranged)
        numbers = times.numbers()
        same = np.flatnonzero(numbers[1:] == numbers[:-1])
        firsts = rows.starts[rows.starts < len(numbers)]
        same = same[~np.isin(same + 1, firsts)]
        if len(same):
            shown = show(np.datetime64(int(numbers[same[0]]), "ns"))
            raise Refused(f"two values for {shown}: aggregate first, or group by another dimension", call.position)
        there = (rows.starts < rows.ends).astype(np.uint8)
        offsets = np.append(rows.starts, rows.ends[-1:]).astype(np.int32)
        parts = {"time": times, "value": gather(rows.columns[1], rows.arranged)}
        return Column(type, offsets, valid=None if there.all() else there, parts=parts)

    return calls.Plan(call.function, (time, value, time), 2, Gathered(2, (Direction(),), make))


_register("create_time_series", _of_series, _series, "the points of a group as one series")


# ---- max_by, min_by ----------------------------------------------------------------------------------------------


def _by(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    if len(types) not in {2, 3} or types[1].fields:
        raise TypeMismatch("takes (x, y) or (x, y, n): x where y is greatest, or smallest")
    if len(types) == 2:
        return types, types[0]
    if not types[2].integer:
        raise TypeMismatch("takes a whole number n")
    return (types[0], types[1], BIGINT), array(types[0])


def _picked(call: AggregateCall) -> calls.Plan:
    if len(call.arguments) == 2:
        return calls.plan_call(call)
    value, key, many = call.arguments
    count = constant_of(many)
    if not isinstance(count, int) or not 1 <= count <= MOST_OF_N:
        raise Refused(f"the n of {call.function.upper()} is a constant from 1 to {MOST_OF_N:,}", call.position)

    def make(rows: Sorted, type: Type) -> Column:
        lengths = np.minimum(rows.ends - rows.starts, count)
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        places = np.repeat(rows.starts - offsets[:-1], lengths) + np.arange(int(offsets[-1]))
        found = gather(rows.columns[1], rows.arranged[places])
        there = (lengths > 0).astype(np.uint8)
        return Column(type, offsets.astype(np.int32), valid=None if there.all() else there, parts={"element": found})

    order = (Direction(descending=call.function == "max_by"),)
    return calls.Plan(call.function, (key, value, key), 1, Gathered(2, order, make))


def constant_of(expression: Expression) -> Any:  # noqa: ANN401 - an engine value; None for what is no constant
    """The value of a constant, through casts."""
    while isinstance(expression, Cast):
        expression = expression.argument
    return expression.value if isinstance(expression, Constant) else None


_register("max_by", _by, _picked, "max_by(x, y): x where y is greatest; with n an array of the n greatest")
_register("min_by", _by, _picked, "min_by(x, y): x where y is smallest; with n an array of the n smallest")


# ---- approx_percentile -------------------------------------------------------------------------------------------


def _percentile_of(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    if len(types) != 2 or not (types[0].number or types[0].kind == "null"):
        raise TypeMismatch("takes numbers, and a share from 0 to 1 or an array of them")
    value = types[0] if types[0].integer else DOUBLE
    if types[1].kind == "array":
        return (value, types[1]), array(value)
    if not types[1].number:
        raise TypeMismatch("takes a share from 0 to 1 or an array of them")
    return (value, types[1]), value


def _shares(call: AggregateCall) -> tuple[list[Fraction], bool]:
    """The shares, exactly as they were written, and whether they are an array."""
    given = call.arguments[1]
    while isinstance(given, Cast):
        given = given.argument
    several = isinstance(given, Call) and given.function == "array"
    found = []
    for one in given.arguments if isinstance(given, Call) else (given,):
        inner = one
        while isinstance(inner, Cast):
            inner = inner.argument
        if not isinstance(inner, Constant) or inner.value is None:
            raise Refused("the shares of APPROX_PERCENTILE are constants", call.position)
        value = inner.value
        if isinstance(value, float) and not np.isfinite(value):
            raise Refused(f"a share of APPROX_PERCENTILE lies from 0 to 1, got {value}", call.position)
        share = Fraction(value) / 10**inner.type.scale
        if not 0 <= share <= 1:
            raise Refused(f"a share of APPROX_PERCENTILE lies from 0 to 1, got {float(share):g}", call.position)
        found.append(share)
    return found, several


def _percentile(call: AggregateCall) -> calls.Plan:
    shares, several = _shares(call)
    value = call.arguments[0]
    return calls.Plan(call.function, (value, value), 1, Gathered(1, (Direction(),), nearest_rank(shares, several)))


def nearest_rank(shares: Sequence[Fraction], several: bool) -> Finish:  # noqa: FBT001 - an array, or a value
    """Element ceil(p n) of the sorted n, the smallest for p = 0."""

    def make(rows: Sorted, type: Type) -> Column:
        sizes = rows.ends - rows.starts
        places = [np.maximum(-(-(sizes * p.numerator) // p.denominator) - 1, 0) for p in shares]
        if not several:
            return rows.pick(places[0], rows.columns[0], type)
        there = (sizes > 0).astype(np.uint8)
        lengths = np.where(there, len(shares), 0)
        offsets = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        at = (rows.starts[:, None] + np.stack(places, axis=1))[there.astype(bool)].reshape(-1)
        found = gather(rows.columns[0], rows.arranged[at])
        return Column(type, offsets.astype(np.int32), valid=None if there.all() else there, parts={"element": found})

    return make


_register(
    "approx_percentile", _percentile_of, _percentile, "the value that a share of the values does not exceed; exact"
)
