"""PartiQL's operators as functions of a scope, made of the functions of their operands."""

import re
from collections.abc import Callable
from functools import lru_cache
from math import fmod
from typing import Any, Final, TypeAlias

from engines.errors import Invalid
from engines.ledger.partiql import values
from engines.ledger.partiql.nodes import MISSING

Scope: TypeAlias = dict[str, Any]
Evaluate: TypeAlias = Callable[[Scope], Any]


def unary(operator: str, value: Evaluate) -> Evaluate:
    """NOT value, -value, +value."""
    if operator == "NOT":
        return lambda scope: values.negate(value(scope))

    def signed(scope: Scope) -> Any:  # noqa: ANN401 - any value
        number = value(scope)
        if number is None or not values.is_number(number):
            return None if number is None else MISSING
        return -number if operator == "-" else number

    return signed


def binary(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:  # noqa: PLR0911 - one for each operator
    """Left operator right; AND and OR look at the right side only where it matters."""
    match operator:
        case "AND":
            return lambda scope: False if (a := left(scope)) is False else values.both(a, right(scope))
        case "OR":
            return lambda scope: True if (a := left(scope)) is True else values.either(a, right(scope))
        case "=":
            return lambda scope: values.equal(left(scope), right(scope))
        case "<>":
            return lambda scope: values.negate(values.equal(left(scope), right(scope)))
        case "<":
            return lambda scope: values.less(left(scope), right(scope))
        case ">":
            return lambda scope: values.less(right(scope), left(scope))
        case "<=":
            return lambda scope: values.negate(values.less(right(scope), left(scope)))
        case ">=":
            return lambda scope: values.negate(values.less(left(scope), right(scope)))
        case "IN":
            return lambda scope: values.contains(left(scope), right(scope))
        case _:
            work = _ARITHMETIC[operator]
            return lambda scope: _arithmetic(work, operator, left(scope), right(scope))


def between(value: Evaluate, low: Evaluate, high: Evaluate) -> Evaluate:
    """Value BETWEEN low AND high."""

    def within(scope: Scope) -> Any:  # noqa: ANN401 - any value
        found = value(scope)
        above = values.negate(values.less(found, low(scope)))
        return False if above is False else values.both(above, values.negate(values.less(high(scope), found)))

    return within


def _arithmetic(work: Callable[[Any, Any], Any], operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - any value
    if left is MISSING or right is MISSING:
        return MISSING
    if left is None or right is None:
        return None
    if operator == "||":
        return left + right if isinstance(left, str) and isinstance(right, str) else MISSING
    if not (values.is_number(left) and values.is_number(right)):
        return MISSING
    try:
        return values.finite(work(left, right))
    except (ZeroDivisionError, OverflowError):
        return MISSING


def _divided(left: Any, right: Any) -> Any:  # noqa: ANN401 - a number
    if type(left) is int and type(right) is int:
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


def _remainder(left: Any, right: Any) -> Any:  # noqa: ANN401 - a number
    if type(left) is int and type(right) is int:
        return left - right * _divided(left, right)
    return fmod(left, right) if right else MISSING


_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "||": lambda left, right: left + right,
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divided,
    "%": _remainder,
}


def struct(fields: list[tuple[Evaluate, Evaluate]]) -> Evaluate:
    """A struct of names and values; what has no text for a name, or is MISSING, is left out."""

    def made_of(scope: Scope) -> dict[str, Any]:
        made = {}
        for key, value in fields:
            name, found = key(scope), value(scope)
            if isinstance(name, str) and found is not MISSING:
                made[name] = found
        return made

    return made_of


@lru_cache(256)
def like_pattern(pattern: str, escape: str) -> re.Pattern[str]:
    """LIKE's pattern, % for any text and _ for one character. Invalid where the escape is wrong.

    What stands between two % is looked for from the left and, once found, never again (an atomic group): that finds a
    match if there is one, and time grows with text times pattern. Plain .* would try every way to split the text.
    """
    if len(escape) > 1:
        raise Invalid(f"ESCAPE takes one character, got {escape!r:.40}")
    parts, at = [""], 0
    while at < len(pattern):
        character = pattern[at]
        if escape and character == escape:
            at += 1
            if at == len(pattern) or pattern[at] not in ("%", "_", escape):
                raise Invalid(f"in a LIKE pattern {escape!r} stands before %, _ or itself")
            parts[-1] += re.escape(pattern[at])
        elif character == "%":
            parts.append("")
        else:
            parts[-1] += "." if character == "_" else re.escape(character)
        at += 1
    first, *others = parts
    if not others:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{part})" for part in others[:-1] if part)
    return re.compile(f"{first}{middle}.*{others[-1]}", re.DOTALL)
