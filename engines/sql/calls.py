"""Aggregate functions by name: which total a call needs, and of which columns. The list of what there is natively.

count sum avg min max any_value bool_and bool_or · stddev variance corr covar · median percentile mode ·
listagg · max_by min_by · approximate counts (exact here) · and those that an engine has registered.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np

from engines.errors import Invalid, nearest
from engines.sql.functions import Functions
from engines.sql.gathered import Distinct, Gathered, bits, by_rows, first, listagg, mode, percentile
from engines.sql.logical import AggregateCall, Cast, Constant, Expression
from engines.sql.moments import PAIRS, SPREADS, Pair, Spread
from engines.sql.ordering import Direction
from engines.sql.totals import ExtremeFloat, ExtremeText, ExtremeWhole, SumFloat, SumWhole, Total
from engines.sql.types import Type

SYNONYMS: Final = {
    "approximate count": "count",
    "approx_count_distinct": "count",
    "approx_distinct": "count",
    "string_agg": "listagg",
    "group_concat": "listagg",
    "every": "bool_and",
    "arbitrary": "any_value",
    "arg_max": "max_by",
    "arg_min": "min_by",
    "quantile_cont": "percentile_cont",
    "quantile_disc": "percentile_disc",
    "approximate percentile_disc": "percentile_disc",
    "mean": "avg",
}
ALWAYS_DISTINCT: Final = frozenset({"approximate count", "approx_count_distinct", "approx_distinct"})
IDEMPOTENT: Final = frozenset({"min", "max", "any_value", "bool_and", "bool_or", "bit_and", "bit_or"})
HALF: Final = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a call is answered. total None: by counting. needs: how many of the arguments must not be NULL."""

    finish: str
    arguments: tuple[Expression, ...]
    needs: int
    total: Total | None = None


def plan_call(call: AggregateCall, functions: Functions | None = None) -> Plan:
    """Invalid for a function that is not there, or a constant argument that is none."""
    own = None if functions is None else functions.aggregates.get(call.function)
    if own is not None and own.plan is not None:
        planned: Plan = own.plan(call)
        return planned
    name = SYNONYMS.get(call.function, call.function)
    distinct = (call.distinct or call.function in ALWAYS_DISTINCT) and name not in IDEMPOTENT
    arguments = call.arguments
    sorts = tuple(key.expression for key in call.order)
    directions = tuple(Direction(key.descending, key.nulls_first) for key in call.order)
    total: Total | None
    match name:
        case "count":
            total = None
        case "sum" | "avg":
            total = SumFloat() if arguments[0].type.floating else SumWhole(arguments[0].type.scale)
        case "min" | "max" | "any_value" | "bool_and" | "bool_or":
            total = _extreme(arguments[0].type, largest=name in {"max", "bool_or"})
        case _ if name in SPREADS:
            total = Spread()
        case _ if name in PAIRS:
            total = Pair()
        case "median":
            return Plan(name, (arguments[0], arguments[0]), 1, _gathered(arguments[0], percentile("median", HALF)))
        case "percentile_cont" | "percentile_disc" | "approx_percentile":
            value, fraction, direction = _percentile(call)
            keep = Gathered(1, (direction,), percentile(name, _fraction(fraction)))
            return Plan(name, (value, value), 1, keep)
        case "mode":
            value = sorts[0] if sorts else arguments[0]
            return Plan(name, (value, value), 1, _gathered(value, mode))
        case "max_by" | "min_by":
            value, key = arguments
            keep = Gathered(2, (Direction(descending=name == "max_by"),), first)
            return Plan(name, (key, value, key), 1, _second(keep))
        case "bit_and" | "bit_or":
            total = Gathered(1, (), bits(np.bitwise_and if name == "bit_and" else np.bitwise_or))
        case "listagg":
            separator = _constant(arguments[1]) if len(arguments) > 1 else b""
            joined = Gathered(1, directions, listagg(separator or b""))
            if not distinct:
                return Plan(name, (arguments[0], *sorts), 1, joined)
            total = Gathered(1, directions, listagg(separator or b""))
            same = (arguments[0], *sorts)
            return Plan(name, same, 1, Distinct(tuple(one.type for one in same), total))
        case _:
            return _registered(call, functions, directions, sorts)
    if distinct:
        return Plan(name, arguments, len(arguments), Distinct(tuple(one.type for one in arguments), total))
    return Plan(name, arguments, len(arguments), total)


def _extreme(type: Type, *, largest: bool) -> Total:
    if type.bytes:
        return ExtremeText(largest)
    return ExtremeFloat(largest) if type.floating else ExtremeWhole(largest)


def _gathered(value: Expression, make: Any) -> Gathered:  # noqa: ANN401 - a Finish
    del value
    return Gathered(1, (Direction(),), make)


def _second(keep: Gathered) -> Gathered:
    """MAX_BY(value, key): the key comes first, for it must not be NULL; the value is what is picked."""
    make = keep.make

    def pick(rows: Any, type: Type) -> Any:  # noqa: ANN401 - as a Finish
        rows.columns = rows.columns[1:]
        return make(rows, type)

    return Gathered(2, keep.directions, pick)


def _percentile(call: AggregateCall) -> tuple[Expression, Expression, Direction]:
    """value, fraction, direction: of `f(fraction) WITHIN GROUP (ORDER BY value)` and of `f(value, fraction)`."""
    if call.order:
        key = call.order[0]
        return key.expression, call.arguments[0], Direction(key.descending, key.nulls_first)
    return call.arguments[0], call.arguments[1], Direction()


def _constant(expression: Expression) -> Any:  # noqa: ANN401 - an engine value
    while isinstance(expression, Cast):
        expression = expression.argument
    if not isinstance(expression, Constant):
        raise Invalid("the separator of LISTAGG and the fraction of a percentile must be constants")
    return expression.value


def _fraction(expression: Expression) -> Fraction:
    value = _constant(expression)
    while isinstance(expression, Cast):
        expression = expression.argument
    fraction: Fraction = Fraction(value) / 10**expression.type.scale
    if not 0 <= fraction <= 1:
        raise Invalid(f"the fraction of a percentile is between 0 and 1, got {float(fraction)}")
    return fraction


def _registered(
    call: AggregateCall,
    functions: Functions | None,
    directions: tuple[Direction, ...],
    sorts: tuple[Expression, ...],
) -> Plan:
    known = {} if functions is None else functions.aggregates
    function = known.get(call.function)
    if function is None or function.start is None or function.update is None or function.finish is None:
        raise Invalid(f"no aggregate function {call.function!r}{nearest(call.function, known)}")
    make = by_rows(function.start, function.update, function.finish)
    keep = Gathered(len(call.arguments), directions, make)
    arguments = (*call.arguments, *sorts)
    needs = len(call.arguments) if function.strict else 0
    if call.distinct:
        return Plan(call.function, arguments, needs, Distinct(tuple(one.type for one in arguments), keep))
    return Plan(call.function, arguments, needs, keep)
