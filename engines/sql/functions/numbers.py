"""Functions of numbers. Whole numbers and decimals stay exact; what has no exact result is DOUBLE.

    ABS SIGN MOD            the type of the argument          ROUND TRUNC   the same; a DECIMAL may get one digit more
    CEIL FLOOR              DECIMAL(p, s) -> DECIMAL(p - s + 1, 0)
    ROUND                   half away from zero, of DOUBLEs too (PostgreSQL rounds those to even)
    SQRT LN POWER SIN ...   DOUBLE, by numpy; a value outside the domain is an error, as in SQL, not a NaN

Columns that 64 bits do not hold are arrays of Python's numbers: the same expressions over them, exact and slow.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from engines.sql.column import Array, Column
from engines.sql.functions.given import Floats, Given, float_column, scalars, whole_column
from engines.sql.functions.registry import Functions, Resolve, signature
from engines.sql.types import DATE, DAY, DOUBLE, INTEGER, INTEGERS, MOST_DIGITS, Type, decimal

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
INT64: Final = 2**63


def exact(column: Column) -> Array:
    """Whole numbers, or decimals scaled: int64, or objects where those do not hold them."""
    return column.data if column.wide else column.numbers()


def exact_column(given: Given, data: Array) -> Column:
    """The result of whole numbers. QueryError if they are outside the type."""
    limits = given.type.limits()
    if limits and len(data) and (data.min() < limits[0] or data.max() > limits[1]):
        beyond = (data < limits[0]) | (data > limits[1])
        given.refuse(beyond, f"numeric value out of range: the result is no {given.type}")
        data = np.where(beyond, 0, data)  # under a NULL anything may lie
    if data.dtype == object:
        if given.type.integer or all(-INT64 <= value < INT64 for value in data):
            return whole_column(given.type, data.astype(np.int64))
        return Column(given.type, data)
    return whole_column(given.type, data)


# ---- types -------------------------------------------------------------------------------------------------------


def _rounding(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    """ROUND, TRUNC: a number, and how many digits."""
    casts, first = signature("number, integer? -> first")(types)
    if first.decimal:
        return casts, decimal(min(first.precision + 1, MOST_DIGITS), first.scale)
    return casts, first


def _truncating(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    if len(types) == 1 and types[0].temporal:
        return types, DATE
    return _rounding(types)


def _whole_result(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    """CEIL, FLOOR."""
    casts, first = signature("number -> first")(types)
    if first.decimal:
        return casts, decimal(min(first.precision - first.scale + 1, MOST_DIGITS), 0)
    return casts, first


def _two_numbers(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    """MOD: both of one type."""
    casts, _ = signature("number, number -> double")(types)
    if any(type.floating for type in casts):
        return (DOUBLE, DOUBLE), DOUBLE
    if all(type.integer for type in casts):
        widest = max(casts, key=lambda given: INTEGERS.index(given.kind))
        return casts, widest
    given = [type if type.decimal else decimal(19, 0) for type in casts]
    scale = max(type.scale for type in given)
    digits = max(type.precision - type.scale for type in given)
    result = decimal(min(digits + scale, MOST_DIGITS), scale)
    return (result, result), result


# ---- exact -------------------------------------------------------------------------------------------------------


@scalar("abs", "number -> first", synonyms=["dabs"], meaning="x without its sign")
def absolute(given: Given) -> Column:
    column = given.columns[0]
    if given.type.floating:
        return float_column(np.abs(given.floats(0)), given.type)
    low = (given.type.limits() or (-INT64, 0))[0]
    data = exact(column)
    if given.type.integer:
        given.refuse(data == low, f"numeric value out of range: {{value}} without its sign is no {given.type}")
    return exact_column(given, np.abs(data))


@scalar("sign", "integer -> integer; decimal -> integer; double -> double", meaning="-1, 0 or 1")
def sign(given: Given) -> Column:
    if given.type.floating:
        return float_column(np.sign(given.floats(0)))
    data = exact(given.columns[0])
    return whole_column(INTEGER, (data > 0).astype(np.int64) - (data < 0))


def _scaled(data: Array, digits: Array, scale: int, *, half: bool) -> Array:
    """Whole numbers, scaled by 10^scale, with no more than so many digits behind the point; toward zero, or rounded."""
    drop = scale - np.clip(digits, -60, 60)
    if (drop <= 0).all():
        return data
    if data.dtype != object and (drop > 17).any():
        data = data.astype(object)
    if data.dtype == object:
        unit = np.array([10 ** max(int(one), 0) for one in drop], object)
    else:
        unit = 10 ** np.maximum(drop, 0)
    if data.dtype != object and len(data) and max(int(data.max()), -int(data.min())) > 2**62:
        return _scaled(data.astype(object), digits, scale, half=half)
    size = np.abs(data)
    if half:
        size = size + unit // 2
    size = size // unit * unit
    made: Array = np.where(data < 0, -size, size)
    return made


def _float_digits(values: Floats, digits: Array, change: Callable[[Floats], Floats]) -> Floats:
    """change(values * 10^digits) / 10^digits; where the power is not finite the value stays."""
    power = 10.0 ** np.clip(digits, -300, 300)
    with np.errstate(over="ignore", invalid="ignore"):
        made = change(values * power) / power
    finite = np.isfinite(made)
    kept: Floats = made if finite.all() else np.where(finite, made, np.where(digits > 0, values, 0.0))
    return kept


def _half_away(values: Floats) -> Floats:
    whole = np.trunc(values)
    return whole + np.where(np.abs(values - whole) >= 0.5, np.sign(values), 0.0)


def _rounded(given: Given, *, half: bool) -> Column:
    digits = given.whole(1) if len(given) > 1 else np.zeros(1, np.int64)
    if given.type.floating:
        values, change = given.floats(0), _half_away if half else np.trunc
        finite = np.isfinite(values)
        made = change(values) if not digits.any() else _float_digits(values, digits, change)
        return float_column(made if finite.all() else np.where(finite, made, values), given.type)
    return exact_column(given, _scaled(exact(given.columns[0]), digits, given.type.scale, half=half))


@scalar("round", _rounding, meaning="x to n digits behind the point, half away from zero")
def rounded(given: Given) -> Column:
    return _rounded(given, half=True)


@scalar(
    "trunc",
    _truncating,
    synonyms=["truncate"],
    meaning="x to n digits behind the point, toward zero; a time's day",
)
def truncated(given: Given) -> Column:
    if given.type.kind == "date":
        column = given.columns[0]
        day = 1 if column.type.kind == "date" else DAY * 1000 if column.type.unit == "ns" else DAY
        return whole_column(DATE, given.whole(0) // day)
    return _rounded(given, half=False)


def _to_whole(given: Given, change: Callable[[Floats], Floats], *, up: bool) -> Column:
    column = given.columns[0]
    if given.type.floating:
        return float_column(change(given.floats(0)), given.type)
    data, unit = exact(column), 10**column.type.scale
    if unit > INT64:
        data = data.astype(object)
    return exact_column(given, -(-data // unit) if up else data // unit)


@scalar("ceil", _whole_result, synonyms=["ceiling"], meaning="the next whole number that is not smaller")
def ceil(given: Given) -> Column:
    return _to_whole(given, np.ceil, up=True)


@scalar("floor", _whole_result, meaning="the next whole number that is not larger")
def floor(given: Given) -> Column:
    return _to_whole(given, np.floor, up=False)


@scalar("mod", _two_numbers, meaning="what is left of x divided by y; it has the sign of x")
def mod(given: Given) -> Column:
    if given.type.floating:
        left, right = given.floats(0), given.floats(1)
        given.refuse(right == 0, "division by zero", 1)
        with np.errstate(invalid="ignore"):
            return float_column(np.fmod(left, right))
    a, b = exact(given.columns[0]), exact(given.columns[1])
    given.refuse(b == 0, "division by zero", 1)
    b = np.where(b == 0, 1, b)
    if object in {a.dtype, b.dtype}:
        rest = np.abs(a) % np.abs(b)
        return exact_column(given, np.where(a < 0, -rest, rest))
    return exact_column(given, np.fmod(a, np.where(b == -1, 1, b)))


def _widest(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    """& | #: whole numbers, and the wider type of the two, which has room for any of their bits."""
    casts, _ = signature("integer, integer -> bigint")(types)
    return casts, max(casts, key=lambda given: INTEGERS.index(given.kind))


def _bits(name: str, change: Callable[[Array, Array], Array], meaning: str, *, takes: Resolve | str = _widest) -> None:
    @scalar(name, takes, meaning=meaning)
    def changed(given: Given) -> Column:
        return whole_column(given.type, change(given.whole(0), given.whole(1)))


_bits("&", np.bitwise_and, "the bits that both have")
_bits("|", np.bitwise_or, "the bits that either has")
_bits("#", np.bitwise_xor, "the bits that one of them has")


@scalar("<<", "integer, integer -> first", meaning="x, shifted to the left; bits beyond its width are lost")
def left_shift(given: Given) -> Column:
    a, b = given.whole(0), given.whole(1)
    shifted = np.where((b < 0) | (b > 63), 0, np.left_shift(a, np.clip(b, 0, 63)))
    width = {"smallint": np.int16, "integer": np.int32}.get(given.type.kind, np.int64)
    return whole_column(given.type, shifted.astype(width).astype(np.int64))


_bits(
    ">>",
    lambda a, b: np.right_shift(a, np.clip(b, 0, 63)),
    "x, shifted to the right",
    takes="integer, integer -> first",
)


@scalar("bitnot", "integer -> first", meaning="every bit changed")
def bitnot(given: Given) -> Column:
    return whole_column(given.type, np.bitwise_not(given.whole(0)))


# ---- DOUBLE ------------------------------------------------------------------------------------------------------


def _plain(
    name: str,
    compute: Callable[[Any], Any],
    meaning: str,
    *,
    synonyms: Sequence[str] = (),
    wrong: Callable[[Any], Any] | None = None,
) -> None:
    """A function DOUBLE -> DOUBLE. wrong: where the argument is outside the domain."""

    @scalar(name, "double -> double", synonyms=synonyms, meaning=meaning)
    def computed(given: Given) -> Column:
        values = given.floats(0)
        if wrong is not None:
            given.refuse(wrong(values), f"{name.upper()} is not defined for {{value}}")
        return float_column(_finite(given, compute, values))


def _finite(given: Given, compute: Callable[..., Any], *values: Floats) -> Floats:
    """The results; QueryError where one is infinite or no number though all arguments are finite."""
    with np.errstate(all="ignore"):
        made: Floats = compute(*values)
    lost = ~np.isfinite(made)
    if lost.any():
        for value in values:
            lost = lost & np.isfinite(value)
        given.refuse(lost, "numeric value out of range: the result for {value} is too large for DOUBLE PRECISION")
    return made


def _outside(values: Floats) -> Any:  # noqa: ANN401 - a mask
    return (values < -1) | (values > 1)


_plain("sqrt", np.sqrt, "the square root", synonyms=["dsqrt"], wrong=lambda x: x < 0)
_plain("cbrt", np.cbrt, "the cube root")
_plain("exp", np.exp, "e to the power of x", synonyms=["dexp"])
_plain("ln", np.log, "the natural logarithm", synonyms=["dlog1"], wrong=lambda x: x <= 0)
_plain("log10", np.log10, "the logarithm to base 10", synonyms=["dlog10"], wrong=lambda x: x <= 0)
_plain("log2", np.log2, "the logarithm to base 2", wrong=lambda x: x <= 0)
_plain("sin", np.sin, "the sine of x radians", wrong=np.isinf)
_plain("cos", np.cos, "the cosine of x radians", wrong=np.isinf)
_plain("tan", np.tan, "the tangent of x radians", wrong=np.isinf)
_plain("cot", lambda x: 1 / np.tan(x), "the cotangent of x radians", wrong=lambda x: np.isinf(x) | (x == 0))
_plain("asin", np.arcsin, "the angle in radians whose sine is x", wrong=_outside)
_plain("acos", np.arccos, "the angle in radians whose cosine is x", wrong=_outside)
_plain("atan", np.arctan, "the angle in radians whose tangent is x")
_plain("sinh", np.sinh, "the hyperbolic sine")
_plain("cosh", np.cosh, "the hyperbolic cosine")
_plain("tanh", np.tanh, "the hyperbolic tangent")
_plain("degrees", np.degrees, "radians as degrees")
_plain("radians", np.radians, "degrees as radians")


@scalar("log", "double -> double; double, double -> double", meaning="the logarithm to base 10; LOG(base, x)")
def log(given: Given) -> Column:
    for i in range(len(given)):
        given.refuse(given.floats(i) <= 0, "LOG is not defined for {value}", i)
    if len(given) == 1:
        return float_column(_finite(given, np.log10, given.floats(0)))
    given.refuse(given.floats(0) == 1, "LOG is not defined for base {value}")
    return float_column(_finite(given, lambda base, x: np.log(x) / np.log(base), given.floats(0), given.floats(1)))


@scalar("power", "double, double -> double", synonyms=["pow", "dpow"], meaning="x to the power of y")
def power(given: Given) -> Column:
    base, exponent = given.floats(0), given.floats(1)
    given.refuse((base == 0) & (exponent < 0), "zero to a negative power is not defined")
    given.refuse((base < 0) & (exponent != np.floor(exponent)), "{value} to a broken power is not defined")
    return float_column(_finite(given, np.power, base, exponent))


@scalar("atan2", "double, double -> double", meaning="the angle in radians of the point (y, x)")
def atan2(given: Given) -> Column:
    return float_column(np.arctan2(given.floats(0), given.floats(1)))


@scalar("pi", " -> double", meaning="3.14159...")
def pi(given: Given) -> Column:
    return float_column(np.full(given.rows, math.pi))


@scalar("random", " -> double", synonyms=["rand"], pure=False, meaning="a number from 0 up to but not 1 for each row")
def random(given: Given) -> Column:
    chance = given.context.random.random
    return float_column(np.array([chance() for _ in range(given.rows)]))
