"""What type an operation gives: Redshift's rules, with the choices that other services make in `Dialect.rules`.

Decimals (p digits, s of them behind the point), as Redshift's manual has them:

    + -   s = max(s1, s2)                p = max(p1 - s1, p2 - s2) + 1 + s
    *     s = s1 + s2                    p = p1 + p2 + 1
    /     s = max(4, s1 + p2 - s2 + 1)   p = p1 - s1 + s2 + s
    %     s = max(s1, s2)                p = min(p1 - s1, p2 - s2) + s

A precision above 38 becomes 38. A quotient then gives up digits behind the point, down to 4; a sum and a product keep
theirs, as long as they fit at all: whether the value does shows when it is computed.

A whole number beside a decimal counts as DECIMAL(5, 10 or 19, 0). A REAL or DOUBLE on one side makes both DOUBLE.

The common type of several (CASE, COALESCE, set operations, comparisons): the wider number, exact as long as one can
be; TIMESTAMP over DATE; VARCHAR over CHAR. NULL gives way to anything. There is none for text and numbers: a constant
text is read as the other type, anything else needs a CAST.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from engines.sql.types import BIGINT, DOUBLE, INTEGERS, MOST_DIGITS, NULL, REAL, VARCHAR, Type, decimal

DIGITS: Final = {"smallint": 5, "integer": 10, "bigint": 19}
LEAST_SCALE: Final = 4  # what a quotient keeps behind its point
AVERAGE_SCALE: Final = 6
TEMPORAL_RANK: Final = {"date": 0, "timestamp": 1, "timestamptz": 2}


def as_decimal(type: Type) -> Type:
    """The DECIMAL that holds all values of an exact number's type."""
    return type if type.kind == "decimal" else decimal(DIGITS[type.kind], 0)


def arithmetic(operator: str, left: Type, right: Type) -> Type | None:
    """The type of a number + - * / % a number; None if they are not both numbers."""
    if not (left.number and right.number):
        return None
    if left.floating or right.floating:
        return DOUBLE
    if left.kind != "decimal" and right.kind != "decimal":
        return left if INTEGERS.index(left.kind) >= INTEGERS.index(right.kind) else right
    left, right = as_decimal(left), as_decimal(right)
    before = left.precision - left.scale, right.precision - right.scale
    if operator in {"+", "-"}:
        scale = max(left.scale, right.scale)
        return _capped(max(before) + 1 + scale, scale)
    if operator == "*":
        return _capped(left.precision + right.precision + 1, left.scale + right.scale)
    if operator == "/":
        scale = max(LEAST_SCALE, left.scale + right.precision - right.scale + 1)
        precision = before[0] + right.scale + scale
        if precision > MOST_DIGITS:
            return decimal(MOST_DIGITS, max(MOST_DIGITS + scale - precision, LEAST_SCALE))
        return decimal(precision, scale)
    scale = max(left.scale, right.scale)
    return _capped(max(min(before) + scale, 1), scale)


def _capped(precision: int, scale: int) -> Type:
    if precision > MOST_DIGITS:
        return decimal(MOST_DIGITS, min(scale, MOST_DIGITS))
    return decimal(precision, scale)


def common(types: Iterable[Type]) -> Type | None:
    """The type that all of these can be cast to without loss of kind; None if there is none."""
    result = NULL
    for type in types:
        if type == result or type.kind == "null":
            continue
        if result.kind == "null":
            result = type
            continue
        both = _pair(result, type)
        if both is None:
            return None
        result = both
    return result


def _pair(left: Type, right: Type) -> Type | None:
    if left.number and right.number:
        return _numbers(left, right)
    if left.text and right.text:
        if left.kind == right.kind == "char":
            return left if left.length >= right.length else right
        longest = 0 if not (left.length and right.length) else max(left.length, right.length)
        return Type("varchar", length=longest) if longest else VARCHAR
    if left.temporal and right.temporal:
        return left if TEMPORAL_RANK[left.kind] >= TEMPORAL_RANK[right.kind] else right
    if left.kind == right.kind == "varbyte":
        return left if left.length == 0 or left.length >= right.length > 0 else right
    if left.kind == right.kind == "interval":
        return left
    if left.kind == right.kind == "array":
        element = common((left.element, right.element))
        return element and Type("array", fields=(("element", element),))
    return None


def _numbers(left: Type, right: Type) -> Type:
    if left.kind == right.kind == "real":
        return REAL
    if left.floating or right.floating:
        return DOUBLE
    if left.kind != "decimal" and right.kind != "decimal":
        return left if INTEGERS.index(left.kind) >= INTEGERS.index(right.kind) else right
    left, right = as_decimal(left), as_decimal(right)
    scale = max(left.scale, right.scale)
    before = max(left.precision - left.scale, right.precision - right.scale)
    return decimal(min(before + scale, MOST_DIGITS), scale)


def castable(given: Type, wanted: Type) -> bool:
    """Whether CAST knows a way. It may still fail on a value."""
    kind, target = given.kind, wanted.kind
    if kind == target or "null" in {kind, target} or wanted.text:
        return not (wanted.text and (given.fields or kind == "varbyte"))
    if given.text:
        return not wanted.fields
    if given.number or kind == "boolean":
        return wanted.number or target == "boolean"
    if given.temporal:
        return wanted.temporal or (target == "time" and kind != "date")
    return False


def assignable(given: Type, wanted: Type) -> bool:
    """Whether INSERT and UPDATE put it there without being asked: numbers, times and texts among themselves."""
    if given.kind in {wanted.kind, "null"}:
        return True
    return (given.number and wanted.number) or (given.temporal and wanted.temporal) or (given.text and wanted.text)


# ---- aggregates --------------------------------------------------------------------------------------------------


def summed(type: Type, rules: Mapping[str, Any]) -> Type:
    """SUM: wide enough for any number of rows."""
    if type.kind == "decimal":
        return decimal(MOST_DIGITS, type.scale)
    if type.floating:
        return DOUBLE
    if type.kind == "bigint" and rules.get("sum_of_bigint") == "decimal":
        return decimal(MOST_DIGITS, 0)
    return BIGINT


def averaged(type: Type) -> Type:
    """AVG: exact over decimals, DOUBLE over everything else."""
    return decimal(MOST_DIGITS, max(type.scale, AVERAGE_SCALE)) if type.kind == "decimal" else DOUBLE
