"""Arithmetic on columns: bounds choose the kernel, so that a sum of decimals costs no test a row.

    1  every column carries low and high; from them follow the bounds of the result, exactly, in Python's integers
    2  bounds inside 64 bits (nearly always): the unchecked kernel, written as 4 bytes + base where they fit
    3  outside or unknown: look at the values once (the bounds of the column get tighter, and stay so)
    4  still outside: the checked kernel, up to the first row that does not fit; from there on Python's integers
    5  bounds outside what the type admits (DECIMAL's digits, INTEGER's 32 bits): look at the results, or fail

Adding a constant to a narrow column moves its base and no data. Subtracting a narrow column from a constant inverts its
bits: c - (base + data) = (c - base - 255) + (255 - data), for 8 bits.

Scales: + and - and % at the larger scale of the two, * adds them up, / at the scale of the result's type, rounding half
away from zero; `to_scale` is what CAST to a DECIMAL uses. Whole division truncates toward zero and a remainder has the
sign of the dividend. A zero divisor is an error, of floats too, in every row that is no NULL. Floats are IEEE doubles
else: they overflow to infinity.

Invariants: a result is exact, or there is an error. Operands and result have the same number of rows, or an operand is
constant, but not both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines._native import arithmetic as kernels
from engines._native import vector
from engines.sql.column import Array, Bytes, Column
from engines.sql.context import Context
from engines.sql.spans import any_months
from engines.sql.types import Type

Doubles = npt.NDArray[np.float64]
LEAST: Final = -(2**63)
MOST: Final = 2**63 - 1
FOUR: Final = 2**32


# ---- the operators -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """a operator b, for + - * / %. type: how the result is held; position: where the operator stands, for errors."""

    operator: str
    type: Type
    position: int = -1

    def __call__(self, columns: list[Column], rows: int, context: Context) -> Column:
        """The result for each row. QueryError for a row that has none."""
        a, b = columns
        operator, type = self.operator, self.type
        if type.floating:
            return self._float(a, b, rows, context)
        if operator in {"/", "%"}:
            self._refuse_zero(value_of(b) == 0 if b.constant else b.data == -b.base, (a, b), rows, context)
            divide = self._quotient if type.decimal and operator == "/" else self._truncated
            return divide(a, b, rows, context)
        if operator != "*":
            scale = max(places(a.type), places(b.type))
            a, b = rescaled(a, scale), rescaled(b, scale)
        low, high = bounds_of(operator, a.bounds(), b.bounds())
        least, most = type.limits() or (LEAST, MOST)
        if low < least or high > most or low < LEAST or high > MOST:
            tighten(a)
            tighten(b)
            low, high = bounds_of(operator, a.bounds(), b.bounds())
        if low < LEAST or high > MOST or a.wide or b.wide:
            return checked(self._exact(a, b, rows), context, self.position)
        if a.constant or b.constant:
            data, base = _with_constant(operator, a, b, low, high)
        else:
            data, base = room(rows, low, high)
            short = data.itemsize == 8 and _short(a) and _short(b)
            kernels.combine(OPERATIONS[operator], a.data, a.base, b.data, b.base, data, base, short)
        made = Column(type, data, base, both_valid(a, b, rows), None, None, low, high)
        return made if least <= low and high <= most else checked(made, context, self.position)

    def _exact(self, a: Column, b: Column, rows: int) -> Column:
        """Where 64 bits may not do: checked as far as they do, Python's integers from there on."""
        done, start = np.empty(rows, np.int64), 0
        valid = both_valid(a, b, rows)
        if not a.wide and not b.wide and all(LEAST <= value_of(one) <= MOST for one in (a, b) if one.constant):
            start = kernels.checked(OPERATIONS[self.operator], a.numbers(), b.numbers(), done)
            if start == rows:
                return Column(self.type, done, valid=valid)
        compute = EXACT[self.operator]
        rest = map(compute, integers(a, rows)[start:], integers(b, rows)[start:])
        return whole_column([*done[:start].tolist(), *rest], self.type, valid)

    # ---- division

    def _truncated(self, a: Column, b: Column, rows: int, context: Context) -> Column:
        """Toward zero, or the remainder of that."""
        remainder = self.operator == "%"
        scale = max(places(a.type), places(b.type))
        a, b = rescaled(a, scale), rescaled(b, scale)
        valid = both_valid(a, b, rows)
        tighten(a)
        low, high = a.bounds()
        size = max(abs(low), abs(high))
        if a.wide or b.wide or size > MOST:  # -2^63 / -1 does not fit
            pairs = zip(integers(a, rows), integers(b, rows), strict=True)
            found = [truncated(x, y)[remainder] if y else 0 for x, y in pairs]
            return checked(whole_column(found, self.type, valid), context, self.position)
        out = np.empty(rows, np.int64)
        kernels.truncate(remainder, a.numbers(), b.numbers(), out)
        made = Column(self.type, out, valid=valid, low=-size if low < 0 or not remainder else 0, high=size)
        return checked(made, context, self.position)

    def _quotient(self, a: Column, b: Column, rows: int, context: Context) -> Column:
        """A DECIMAL, rounded at its last place."""
        valid = both_valid(a, b, rows)
        shift = self.type.scale - places(a.type) + places(b.type)
        if shift < 0:
            b, shift = rescaled(b, places(b.type) - shift), 0
        out, start = np.empty(rows, np.int64), 0
        if shift <= 18 and not a.wide and not b.wide:
            start = kernels.divide(a.numbers(), 10**shift, b.numbers(), out)
            if start == rows:
                return checked(Column(self.type, out, valid=valid), context, self.position)
        factor = 10**shift
        pairs = zip(integers(a, rows)[start:], integers(b, rows)[start:], strict=True)
        rest = [rounded(x * factor, y) if y else 0 for x, y in pairs]
        return checked(whole_column([*out[:start].tolist(), *rest], self.type, valid), context, self.position)

    def _refuse_zero(self, zero: Any, columns: tuple[Column, Column], rows: int, context: Context) -> None:  # noqa: ANN401 - a mask; a bool for all rows
        """QueryError if a divisor is zero in a row without NULL."""
        if isinstance(zero, bool):
            if not zero:
                return
            zero = np.ones(rows, bool)
        valid = both_valid(*columns, rows)
        if (zero if valid is None else zero & (valid != 0)).any():
            raise context.error("division by zero", self.position)

    # ---- floats

    def _float(self, a: Column, b: Column, rows: int, context: Context) -> Column:
        x, y = doubles(a), doubles(b)
        if self.operator in {"/", "%"}:
            self._refuse_zero(bool(y[0] == 0) if b.constant else y == 0, (a, b), rows, context)
        with np.errstate(all="ignore"):
            found: Doubles = FLOAT_OPERATIONS[self.operator](x, y)
            if self.type.kind == "real":
                found = found.astype(np.float32).astype(np.float64)
        return Column(self.type, found, valid=both_valid(a, b, rows))


OPERATIONS: Final = {"+": kernels.ADD, "-": kernels.SUBTRACT, "*": kernels.MULTIPLY}
EXACT: Final[dict[str, Callable[[int, int], int]]] = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
FLOAT_OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
}


def bounds_of(operator: str, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """Bounds of a + b, a - b, a * b."""
    if operator == "+":
        return a[0] + b[0], a[1] + b[1]
    if operator == "-":
        return a[0] - b[1], a[1] - b[0]
    if a[0] >= 0 and b[0] >= 0:
        return a[0] * b[0], a[1] * b[1]
    corners = a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1]
    return min(corners), max(corners)


def room(rows: int, low: int, high: int) -> tuple[Array, int]:
    """An array for values in these bounds, which fit 64 bits, and its base."""
    if high - low < FOUR:
        return np.empty(rows, np.uint32), 0 if low >= 0 and high < FOUR else low
    return np.empty(rows, np.int64), 0


def _short(column: Column) -> bool:
    low, high = column.bounds()
    return low >= 0 and high < FOUR


def _with_constant(operator: str, a: Column, b: Column, low: int, high: int) -> tuple[Array, int]:
    """A operator b, where one is a constant."""
    column, constant = (b, value_of(a)) if a.constant else (a, value_of(b))
    factor, offset = 1, constant
    if operator == "*":
        factor, offset = constant, 0
    elif operator == "-":
        factor, offset = (-1, constant) if a.constant else (1, -constant)
    if column.data.dtype != np.int64:
        if factor == 1:
            return column.data, column.base + offset
        if factor == -1 and operator == "-":
            return ~column.data, offset - column.base - int(np.iinfo(column.data.dtype).max)
    data, base = room(len(column.data), low, high)
    kernels.scale(column.data, factor, column.base * factor + offset - base, data)
    return data, base


def truncated(a: int, b: int) -> tuple[int, int]:
    """A / b toward zero, and what is left."""
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient, a - quotient * b


def rounded(a: int, b: int) -> int:
    """A / b as a whole number, half away from zero."""
    quotient = (2 * abs(a) + abs(b)) // (2 * abs(b))
    return quotient if (a < 0) == (b < 0) else -quotient


def doubles(column: Column) -> Doubles:
    """Numbers of any type as float64, as long as the column's data."""
    if column.type.floating:
        return column.data
    divisor = 10 ** places(column.type)
    if column.wide:
        return np.array([int(value) / divisor for value in column.data.tolist()], np.float64)
    if divisor == 1:
        return column.numbers().astype(np.float64)
    return column.numbers() / float(divisor)  # both are exact up to 2^53, so the quotient is rounded once


# ---- scales, bounds and limits -----------------------------------------------------------------------------------


def places(type: Type) -> int:
    """Decimal places of the whole numbers that values are held as."""
    if type.kind == "decimal":
        return type.scale
    return 9 if type.unit == "ns" and type.kind in {"timestamp", "timestamptz"} else 0


def rescaled(column: Column, scale: int) -> Column:
    """The same values at a scale that is at least theirs. Its type is the old one."""
    shift = scale - places(column.type)
    if shift == 0:
        return column
    factor = 10**shift
    if column.constant:
        return replace(whole_column([value_of(column) * factor], column.type, column.valid), constant=True)
    low, high = column.bounds()
    if low * factor < LEAST or high * factor > MOST:
        tighten(column)
        low, high = column.bounds()
    low, high = low * factor, high * factor
    if column.wide or low < LEAST or high > MOST:
        return whole_column([value * factor for value in integers(column, len(column))], column.type, column.valid)
    data, base = room(len(column.data), low, high)
    kernels.scale(column.data, factor, column.base * factor - base, data)
    return replace(column, data=data, base=base, low=low, high=high)


def to_scale(column: Column, type: Type, context: Context, position: int) -> Column:
    """The values at the scale of a whole-number type, rounded half away from zero, inside its limits or QueryError."""
    shift = places(type) - places(column.type)
    valid = column.valid
    if shift >= 0:
        made = rescaled(column, places(type)) if shift else column
        limits = type.limits()
        low, high = made.bounds()  # before it has the new type, whose limits bound nothing yet
        made = replace(made, type=type)
        fits = limits is None or (limits[0] <= low and high <= limits[1])
        return made if fits else checked(made, context, position)
    divisor = 10**-shift
    low, high = column.bounds()
    low, high = rounded(low, divisor), rounded(high, divisor)
    if column.wide or divisor > MOST:
        found = [rounded(value, divisor) for value in integers(column, len(column))]
        made = replace(whole_column(found, type, valid), constant=column.constant)
    else:
        out = np.empty(len(column), np.int64)
        kernels.shrink(column.numbers(), divisor, out)
        made = Column(type, out, valid=valid, low=low, high=high, constant=column.constant)
    return checked(made, context, position)


def tighten(column: Column) -> None:
    """Find the bounds of a column's values, and keep them with it.

    The one change that a shared column sees: two threads that make it write the same.
    """
    if column.constant and not column.wide:
        column.low = column.high = int(column.data[0]) + column.base
    elif column.wide:
        if column.low is None or column.high is None:
            values = [v for v, there in zip(column.data.tolist(), _flags(column), strict=True) if there]
            column.low, column.high = min(values, default=0), max(values, default=0)
    else:
        found = vector.bounds(column.data, column.valid)
        low, high = found or (0, 0)
        column.low, column.high = (low + column.base, high + column.base) if found else (0, 0)


def _flags(column: Column) -> Sequence[int]:
    return [1] * len(column) if column.valid is None else column.valid.tolist()


def checked(column: Column, context: Context, position: int) -> Column:
    """The column, if its values are inside what its type admits; else QueryError. NULLs do not count."""
    limits = column.type.limits() or (LEAST, MOST)
    if column.wide:
        tighten(column)  # what is not known would be taken from the limits
    low, high = column.bounds()
    if low < limits[0] or high > limits[1]:
        column.low = column.high = None
        tighten(column)
        low, high = column.bounds()
        if low < limits[0] or high > limits[1]:
            raise context.error(out_of_range(column.type), position)
    return column


def out_of_range(type: Type) -> str:
    """What the error says of a number that a type does not hold."""
    kind = "numeric value" if type.decimal else type.kind
    if type.temporal or kind == "time":
        return f"{kind} out of range: {'a day ends before 24:00:00' if kind == 'time' else 'the years are 1 to 9999'}"
    return f"{kind} out of range: {type} holds numbers up to {_largest(type)}"


def _largest(type: Type) -> str:
    if type.decimal:
        digits = "9" * (type.precision - type.scale) or "0"
        return f"{digits}.{'9' * type.scale}" if type.scale else digits
    if type.floating:
        return "3.4028235e38" if type.kind == "real" else "1.7976931348623157e308"
    return str((type.limits() or (0, MOST))[1])


def both_valid(a: Column, b: Column, rows: int) -> Bytes | None:
    """1 where neither is NULL; None if that is everywhere. A constant NULL makes every row one."""
    if a.valid is None:
        return b.valid if b.valid is None or not b.constant else b.valid.repeat(rows)
    if b.valid is None:
        return a.valid.repeat(rows) if a.constant else a.valid
    return np.broadcast_to(a.valid & b.valid, rows)


def value_of(constant: Column) -> int:
    """The whole number of a constant column; of an INTERVAL its length."""
    return int(constant.data[0]) + constant.base


def integers(column: Column, rows: int) -> list[int]:
    """Whole numbers as Python's, one for each row."""
    found: list[int] = (column.data if column.wide else column.numbers()).tolist()
    return found * rows if column.constant else found


def whole_column(values: list[int], type: Type, valid: Bytes | None) -> Column:
    """A column of whole numbers of any size: int64 where they fit."""
    low, high = min(values, default=0), max(values, default=0)
    fits = low >= LEAST and high <= MOST and not (type.kind == "interval" and any_months(values))
    return Column(type, np.array(values, np.int64 if fits else object), valid=valid, low=low, high=high)
