"""What of a plan is constant during a run, and known only then: parameters, now(), and what is computed of them.

    time > now() - 12h     ──>    time > k1        k1 = now() - 12h, once, before the run

So the predicate has a value when the table is asked for its parts, and prunes. Everyday expressions are computed by a
few lines of Python, in a microsecond; others by the floor's evaluator, over one row.

A constant is not taken out of a CASE: the branch that it stands in may never be reached, and it may be an error.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engines.sql import expressions
from engines.sql.column import Batch
from engines.sql.context import Context
from engines.sql.dialect import Dialect
from engines.sql.functions import Functions
from engines.sql.logical import (
    Bound,
    Call,
    Case,
    Cast,
    Constant,
    Expression,
    Lambda,
    Plan,
    Reference,
    Shared,
    Subquery,
    walk,
)
from engines.sql.rewrite.trees import IMPURE, altered, in_subquery, mapped, rebuilt
from engines.sql.scan import value_of
from engines.sql.types import DOUBLE, INTERVAL_NS, TIMESTAMP_NS

Values = Mapping[int | str, Any]
Quick = Callable[[Values], Any]
EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - of a text without a zone: UTC
_PLAIN: Final = re.compile(rb"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)(?:\.(\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class RunConstant:
    """A value that is computed before a run. quick: how, if that is simple; it gives None where it does not know."""

    name: str
    expression: Expression
    quick: Quick | None
    program: expressions.Program


def taken_out(plan: Plan, dialect: Dialect) -> tuple[Plan, list[RunConstant]]:
    """The plan with a Bound for each constant of a run, and what these are."""
    hoist = _Hoist(dialect.functions, dialect.rules)
    return hoist.plan(plan), hoist.found


class _Hoist:
    def __init__(self, functions: Functions, rules: Mapping[str, Any]) -> None:
        self.functions = functions
        self.rules = rules
        self.found: list[RunConstant] = []
        self.known: dict[Expression, Bound] = {}
        self.shared: dict[str, Plan] = {}

    def plan(self, plan: Plan) -> Plan:
        if isinstance(plan, Shared):
            if plan.name not in self.shared:
                self.shared[plan.name] = self.plan(plan.plan)
            return Shared(plan.name, self.shared[plan.name], plan.columns)
        return altered(rebuilt(plan, self.plan), self.expression)

    def expression(self, one: Expression) -> Expression:
        if isinstance(one, Case):
            return one
        if isinstance(one, Subquery):
            return in_subquery(one, self.plan(one.plan), tuple(self.expression(left) for left in one.left))
        if isinstance(one, Bound) and one.name != "$now":
            return one
        if isinstance(one, Constant):
            return one
        if not _free(one):
            return mapped(one, self.expression)
        if _bounded(one) or (one.type == TIMESTAMP_NS and expressions.fold(one, self.functions, self.rules) is None):
            return self._bound(one)  # a time that is none is told even if no row asks for it
        return one

    def _bound(self, one: Expression) -> Bound:
        known = self.known.get(one)
        if known is None:
            name = f"$constant{len(self.found) + 1}"
            known = self.known[one] = Bound(name, type=one.type, position=one.position)
            self.found.append(RunConstant(name, one, quick(one), expressions.compile([one], self.functions)))
        return known


def _free(one: Expression) -> bool:
    """Whether nothing in it differs from row to row."""
    for inner in walk(one):
        if isinstance(inner, Reference | Subquery | Lambda | Case):
            return False
        if isinstance(inner, Call) and inner.function in IMPURE:
            return False
    return not one.type.fields


def _bounded(one: Expression) -> bool:
    """Whether it holds what is known only when the statement runs."""
    return any(isinstance(inner, Bound) for inner in walk(one))


def computed(constants: list[RunConstant], values: dict[int | str, Any], context: Context) -> None:
    """Adds the values of the constants. QueryError with its place for what has none."""
    for one in constants:
        value = one.quick(values) if one.quick is not None else None
        if value is None:
            [column] = one.program.run(Batch(rows=1), context)
            value = value_of(column)
            if one.expression.type == INTERVAL_NS and value is not None:
                value = (getattr(value, "months", 0), getattr(value, "time", value))
        values[one.name] = value


# ---- everyday expressions ----------------------------------------------------------------------------------------


def quick(one: Expression) -> Quick | None:
    """A function of the run's values; None for an expression that it does not know."""
    match one:
        case Bound(name="$now"):
            return lambda values: values["$now"] * 1000
        case Bound(name=name):
            return lambda values: values[name]
        case Constant(value=value):
            return lambda _: value
        case Cast(argument=Bound(name=name) as inner) if inner.type.text and one.type == TIMESTAMP_NS:
            return lambda values: None if values[name] is None else moment(values[name])
        case Cast(argument=inner) if one.type == DOUBLE and (inner.type.integer or inner.type.decimal):
            return _as_double(quick(inner), inner.type.scale)
        case Call(function="ago" | "add interval" as name, arguments=(time, interval)):
            if time.type == TIMESTAMP_NS and interval.type == INTERVAL_NS:
                return _moved(
                    quick(time), quick(interval), -1 if name == "ago" else 1, least=0 if name == "ago" else -(2**63)
                )
        case Call(function="neg", arguments=(inner,)) if one.type == INTERVAL_NS:
            return _negated(quick(inner))
    return None


def _as_double(below: Quick | None, scale: int) -> Quick | None:
    if below is None:
        return None
    divisor = 10**scale

    def run(values: Values) -> Any:  # noqa: ANN401 - an engine value
        value = below(values)
        return None if value is None else value / divisor

    return run


def _negated(below: Quick | None) -> Quick | None:
    if below is None:
        return None

    def run(values: Values) -> Any:  # noqa: ANN401 - an engine value
        value = below(values)
        return None if value is None else (-value[0], -value[1])

    return run


def _moved(from_: Quick | None, interval: Quick | None, sign: int, *, least: int) -> Quick | None:
    if from_ is None or interval is None:
        return None

    def run(values: Values) -> Any:  # noqa: ANN401 - an engine value
        moment, length = from_(values), interval(values)
        if moment is None or length is None or length[0]:
            return None
        found = moment + sign * length[1]
        return found if least <= found < 2**63 else None

    return run


def moment(text: bytes) -> int | None:
    """Nanoseconds since 1970 of a text in the everyday form; None for any other."""
    found = _PLAIN.fullmatch(text)
    if found is None:
        return None
    try:
        since = dt.datetime.fromisoformat(found[1].decode()) - EPOCH
    except ValueError:
        return None
    nanoseconds = (since.days * 86_400 + since.seconds) * 1_000_000_000 + int((found[2] or b"").ljust(9, b"0"))
    return nanoseconds if -(2**63) <= nanoseconds < 2**63 else None
