"""CAST: from every type to every type that SQL lets it become. Text is read and written in `castwords.py`.

    whole numbers   to another scale or a narrower type: rounded half away from zero, inside the limits or an error
    floats          to whole numbers: the nearest, a half to the even one; to DECIMAL by the shortest decimal digits, so
                    that 0.285 becomes 0.29 with two places, although the float lies below it
    dates           to TIMESTAMP: midnight; back: the day. TIMESTAMPTZ: in the time zone of the dialect's rule "zone"
    booleans        1 and 0; every number but 0 is true
    text            VARCHAR(n) is cut after n bytes, never inside a character; CHAR loses its trailing blanks

`lenient` (TRY_CAST) gives NULL where the cast gives an error.
"""

import decimal
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from engines.errors import QueryError
from engines.sql import castwords
from engines.sql.arithmetic import (
    LEAST,
    MOST,
    Arithmetic,
    Doubles,
    checked,
    doubles,
    out_of_range,
    places,
    tighten,
    to_scale,
    whole_column,
)
from engines.sql.column import Array, Bytes, Column, expand, gather
from engines.sql.context import Context
from engines.sql.evaluation import constant, null
from engines.sql.types import BIGINT, DAY, Type
from engines.sql.values import engine_column

NUMBERS: Final = frozenset({"smallint", "integer", "bigint", "decimal"})
EXACT_TO: Final = 2**53


def kernel(columns: list[Column], _: int, context: Context, *, type: Type, lenient: bool, position: int) -> Column:
    """The column as another type. QueryError, or NULL if lenient, for what is no value of that type."""
    column = columns[0]
    given = column.type
    if given == type:
        return column
    if given.kind == "null":
        return null(type)
    if given.fields or type.fields:
        if given.kind == type.kind and len(given.fields) == len(type.fields) and column.parts is not None:
            return _nested(column, type, context, lenient=lenient, position=position)
        raise context.error(f"{given} cannot be cast to {type}", position)
    convert = _way(given, type)
    if convert is None:
        raise context.error(f"{given} cannot be cast to {type}", position)
    if not lenient or safe(given, type):
        return convert(column, type, context, position)
    return _lenient(column, type, context, position)


def _nested(column: Column, type: Type, context: Context, *, lenient: bool, position: int) -> Column:
    """Arrays and records: part by part, in order; records take the new names."""
    parts = {}
    for (name, inner), part in zip(type.fields, (column.parts or {}).values(), strict=True):
        made = kernel([part], len(part), context, type=inner, lenient=lenient, position=position)
        parts[name] = expand(made, len(part))
    return replace(column, type=type, parts=parts)


Way = Callable[[Column, Type, Context, int], Column]


def _way(given: Type, type: Type) -> Way | None:
    """How one type becomes the other; None if it does not."""
    source, target = given.kind, type.kind
    if given.bytes:
        return _recut if type.bytes else castwords.read
    if type.text:
        return castwords.write
    if type.kind == "varbyte":
        return None
    if source in NUMBERS or source == "boolean":
        if target in NUMBERS:
            return _scaled
        if type.floating:
            return _float
        return _true if target == "boolean" else None
    if given.floating:
        if target in NUMBERS:
            return _rounded
        if type.floating:
            return _float
        return _true if target == "boolean" else None
    if given.temporal and (type.temporal or target == "time"):
        return _moment
    return _retyped if source == target else None


def safe(given: Type, type: Type) -> bool:
    """Whether the cast fails on no value."""
    if type.text:
        return True
    if given.bytes:
        return type.bytes
    if given.kind in NUMBERS and type.decimal:
        digits = {"smallint": 5, "integer": 10, "bigint": 19}.get(given.kind, given.precision - given.scale)
        return type.precision - type.scale >= digits and type.scale >= places(given)
    order = ("boolean", "smallint", "integer", "bigint")
    if given.kind in order and type.kind in order:
        return type.kind == "boolean" or order.index(given.kind) <= order.index(type.kind)
    if type.kind == "real" and given.kind == "double":
        return False
    return type.floating or type.kind == "boolean" or (given.temporal and type.unit != "ns")


def cost(given: Type, type: Type) -> float:
    """Nanoseconds a row, roughly: which conjunct goes first."""
    if given.bytes or type.bytes:
        return 0.5 if given.bytes and type.bytes else 200.0
    return 0.5 if given.whole and type.whole else 1.0


def _lenient(column: Column, type: Type, context: Context, position: int) -> Column:
    """Row by row where the whole fails: what a failing cast costs is no matter."""
    if column.type.bytes and not type.bytes:
        return castwords.read(column, type, context, position, lenient=True)
    convert = _way(column.type, type)
    assert convert is not None, "asked before"  # noqa: S101 - by construction
    try:
        return convert(column, type, context, position)
    except QueryError:
        values: list[object] = []
        for row in range(len(column)):
            try:
                one = convert(gather(column, np.array([row], np.int32)), type, context, position)
            except QueryError:
                values.append(None)
                continue
            there = one.valid is None or one.valid[0]
            value = one.data[0]
            values.append(None if not there else float(value) if type.floating else int(value) + one.base)
        return engine_column(values, type)


# ---- numbers -----------------------------------------------------------------------------------------------------


def _scaled(column: Column, type: Type, context: Context, position: int) -> Column:
    if column.type.kind == "boolean":
        column = replace(column, low=0, high=1)
    return to_scale(column, type, context, position)


def _float(column: Column, type: Type, context: Context, position: int) -> Column:
    values = column.data.astype(np.float64) if column.type.kind == "boolean" else doubles(column)
    if type.kind == "real" and column.type.kind != "real":
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32).astype(np.float64)
        larger = np.isinf(narrow) & np.isfinite(values)
        if larger.any() and (column.valid is None or (larger & (column.valid != 0)).any()):
            raise context.error(out_of_range(type), position)
        values = narrow
    return Column(type, values, valid=column.valid)


def _true(column: Column, type: Type, _: Context, __: int) -> Column:
    if column.type.kind == "boolean":
        return column
    there = np.array([value != 0 for value in column.data.tolist()]) if column.wide else column.data != -column.base
    return Column(type, there.astype(np.uint8), valid=column.valid)


def _rounded(column: Column, type: Type, context: Context, position: int) -> Column:
    """Floats as whole numbers."""
    values: Doubles = column.data if column.valid is None else np.where(column.valid, column.data, 0.0)
    if not np.isfinite(values).all():
        raise context.error(out_of_range(type), position)
    if type.scale == 0 and not type.decimal:
        near = np.rint(values)
    else:
        with np.errstate(over="ignore"):
            scaled = values * 10.0**type.scale
        near = np.rint(scaled)
        if not (np.abs(scaled) < EXACT_TO / 8).all():
            return _by_digits(values, type, column.valid, context, position)
        ties = np.abs(np.abs(scaled - np.trunc(scaled)) - 0.5) < 1e-6 * np.maximum(1.0, np.abs(scaled))
        if ties.any():  # so near a half that the digits decide
            near[ties] = [_digits(value, type.scale) for value in values[ties].tolist()]
    if not (np.abs(near) < 2.0**63).all():
        return _by_digits(values, type, column.valid, context, position)
    return checked(Column(type, near.astype(np.int64), valid=column.valid), context, position)


def _by_digits(values: Doubles, type: Type, valid: Bytes | None, context: Context, position: int) -> Column:
    found = [_digits(value, type.scale) if type.decimal else round(value) for value in values.tolist()]
    return checked(whole_column(found, type, valid), context, position)


def _digits(value: float, scale: int) -> int:
    return int(
        decimal.Decimal(repr(value)).scaleb(scale, EXACT).to_integral_value(decimal.ROUND_HALF_UP, context=EXACT)
    )


EXACT: Final = decimal.Context(prec=400, Emax=1000, Emin=-1000)


# ---- dates and times ---------------------------------------------------------------------------------------------


def _moment(column: Column, type: Type, context: Context, position: int) -> Column:
    """DATE, TIMESTAMP and TIMESTAMPTZ of any unit, and TIME of a day."""
    given = column.type
    if column.wide:
        raise context.error(out_of_range(type), position)
    if not {"timestamptz", "time"} & {given.kind, type.kind} and _same_unit(given, type):
        return replace(column, type=type)
    if given.kind == "date" and type.kind == "timestamp" and type.unit == "us":
        return replace(_times(column, DAY, type, context, position), type=type)
    nanoseconds = given.unit == "ns" and given.kind != "date"
    rest: Array | int = 0
    if given.kind == "date":
        times = column.numbers() * DAY
    elif nanoseconds:
        times, rest = column.numbers() // 1000, column.numbers() % 1000
    else:
        times = column.numbers()
    zone = context.rules.get("zone", "UTC")
    if zone != "UTC" and (given.kind == "timestamptz") != (type.kind == "timestamptz"):
        times = _zoned(times, zone, local=type.kind == "timestamptz")
    if type.kind == "date":
        return _whole(times // DAY, type, column, context, position)
    if type.kind == "time":
        return _whole(times % DAY, type, column, context, position)
    if type.unit == "ns":
        if len(times) and (int(times.min()) < LEAST // 1000 + 1 or int(times.max()) > MOST // 1000 - 1):
            raise context.error(f"a {type} of nanoseconds holds the years 1678 to 2262", position)
        return _whole(times * 1000 + rest, type, column, context, position)
    return _whole(times, type, column, context, position)


def _same_unit(given: Type, type: Type) -> bool:
    return (given.kind == "date") == (type.kind == "date") and given.unit == type.unit


def _times(column: Column, factor: int, type: Type, context: Context, position: int) -> Column:
    bare = replace(column, type=BIGINT, constant=False)
    made = Arithmetic("*", BIGINT, position)([bare, constant(factor, BIGINT)], len(column), context)
    return replace(made, type=type)


def _zoned(times: npt.NDArray[np.int64], zone: str, *, local: bool) -> npt.NDArray[np.int64]:
    from engines.sql.functions import moments  # noqa: PLC0415 - only where a zone is set

    found = moments.zone_named(zone)
    return moments.to_utc(times, found) if local else moments.from_utc(times, found)


def _whole(values: Array, type: Type, column: Column, context: Context, position: int) -> Column:
    made = Column(type, np.ascontiguousarray(values, np.int64), valid=column.valid, constant=column.constant)
    tighten(made)
    return checked(made, context, position)


def _retyped(column: Column, type: Type, _: Context, __: int) -> Column:
    return replace(column, type=type)


# ---- text to text ------------------------------------------------------------------------------------------------


def _recut(column: Column, type: Type, _: Context, __: int) -> Column:
    """Not longer than the type admits, and CHAR without trailing blanks."""
    if type.kind != "char" and not type.length:
        return replace(column, type=type)
    if column.words is not None:
        return castwords.through_words(column, lambda words: castwords.cut(words, type), type)
    return castwords.cut(column, type)


__all__ = ["cost", "kernel", "safe"]
