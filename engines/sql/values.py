"""Python's values and the engine's: int, Decimal, str, date, datetime, None on one side, arrays on the other.

    BOOLEAN bool        DATE      datetime.date             DECIMAL(p, s)   Decimal with s places
    integers int        TIMESTAMP datetime, UTC             VARBYTE         bytes
    REAL DOUBLE float   TIME      datetime.time             ARRAY, ROW      list, dict

A TIMESTAMP of nanoseconds has no datetime that is exact: it is a numpy.datetime64, an INTERVAL a numpy.timedelta64.

Invariant: python_values(column_of(values, type)) == values, for values of the type.
"""

import datetime as dt
import decimal
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from engines.errors import Invalid
from engines.sql import spans, types
from engines.sql.column import Array, Column, Dictionary, expand, gather, gather_text
from engines.sql.types import EPOCH, EPOCH_TIME, Type

TimeOfDay: Final = dt.time
EXACT: Final = decimal.Context(prec=80)


def type_of(value: object) -> Type:
    """The SQL type that a Python value has as a parameter. Invalid for what no column can hold."""
    match value:
        case None:
            return types.NULL
        case bool() | np.bool_():
            return types.BOOLEAN
        case int() | np.integer():
            whole = int(value)
            if -(2**31) <= whole < 2**31:
                return types.INTEGER
            return types.BIGINT if -(2**63) <= whole < 2**63 else types.decimal(min(len(str(abs(whole))), 38), 0)
        case float() | np.floating():
            return types.DOUBLE
        case decimal.Decimal():
            return _decimal_type(value)
        case str():
            return types.VARCHAR
        case bytes() | bytearray() | memoryview():
            return types.VARBYTE
        case dt.datetime():
            return types.TIMESTAMP if value.tzinfo is None else types.TIMESTAMPTZ
        case dt.date():
            return types.DATE
        case dt.time():
            return types.TIME
        case dt.timedelta():
            return types.INTERVAL
        case np.datetime64():
            return types.DATE if np.datetime_data(value.dtype)[0] == "D" else types.TIMESTAMP
    raise Invalid(
        f"a value of type {type(value).__name__} has no SQL type: pass bool, int, float, Decimal, str, bytes, date, "
        "datetime, time, timedelta or None"
    )


def _decimal_type(value: decimal.Decimal) -> Type:
    if not value.is_finite():
        raise Invalid(f"a DECIMAL is a finite number, got {value}")
    _, digits, exponent = value.as_tuple()
    scale = max(-int(exponent), 0)
    precision = max(len(digits) + max(int(exponent), 0), scale, 1)
    if precision > types.MOST_DIGITS:
        raise Invalid(f"a DECIMAL has at most {types.MOST_DIGITS} digits, {value} has {precision}")
    return types.decimal(precision, scale)


def engine_value(value: Any, type: Type) -> Any:  # noqa: ANN401 - any type's values
    """A Python value as the engine holds it in a column of that type. Invalid if it is no such value."""
    if value is None:
        return None
    try:
        found = _CONVERT[type.kind](value, type)
    except (TypeError, ValueError, KeyError, OverflowError, decimal.DecimalException) as error:
        raise Invalid(f"{value!r} is no value of type {type}") from error
    limits = type.limits()
    if limits and not limits[0] <= found <= limits[1]:
        raise Invalid(f"{value!r} is out of the range of {type}")
    return found


def _boolean(value: Any, _: Type) -> int:  # noqa: ANN401 - what a user passes
    if isinstance(value, bool | np.bool_):
        return int(value)
    raise TypeError


def _whole(value: Any, _: Type) -> int:  # noqa: ANN401 - what a user passes
    if isinstance(value, float | decimal.Decimal) and value != int(value):
        raise ValueError
    if isinstance(value, int | float | decimal.Decimal | np.integer | np.floating):
        return int(value)
    raise TypeError


def _scaled(value: Any, type: Type) -> int:  # noqa: ANN401 - what a user passes
    if isinstance(value, bool | str | bytes):
        raise TypeError
    number = decimal.Decimal(repr(value) if isinstance(value, float) else value)
    scaled = number.scaleb(type.scale, EXACT)
    if scaled != scaled.to_integral_value():
        raise ValueError  # a digit would be lost
    return int(scaled)


def _date(value: Any, _: Type) -> int:  # noqa: ANN401 - what a user passes
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[D]").astype(np.int64))
    if isinstance(value, str):
        value = dt.date.fromisoformat(value)
    return int((value.date() if isinstance(value, dt.datetime) else value).toordinal()) - EPOCH.toordinal()


def _timestamp(value: Any, type: Type) -> int:  # noqa: ANN401 - what a user passes
    if isinstance(value, np.datetime64):
        return int(value.astype(f"datetime64[{type.unit}]").astype(np.int64))
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    return int((value - EPOCH_TIME) // dt.timedelta(microseconds=1)) * (1000 if type.unit == "ns" else 1)


def _time(value: Any, _: Type) -> int:  # noqa: ANN401 - what a user passes
    if isinstance(value, str):
        value = dt.time.fromisoformat(value)
    return int(((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond)


def _interval(value: Any, type: Type) -> tuple[int, int]:  # noqa: ANN401 - what a user passes
    if isinstance(value, np.timedelta64):
        return 0, int(value.astype(f"timedelta64[{'ns' if type.unit == 'ns' else 'us'}]").astype(np.int64))
    return 0, value // dt.timedelta(microseconds=1) * (1000 if type.unit == "ns" else 1)


def _text(value: Any, type: Type) -> bytes:  # noqa: ANN401 - what a user passes
    if not isinstance(value, str):
        raise TypeError
    text = value.encode()
    return text.rstrip(b" ") if type.kind == "char" else text


_CONVERT: Final[dict[str, Callable[[Any, Type], Any]]] = {
    "boolean": _boolean,
    "smallint": _whole,
    "integer": _whole,
    "bigint": _whole,
    "decimal": _scaled,
    "real": lambda value, _: float(np.float32(value)),
    "double": lambda value, _: float(value),
    "date": _date,
    "timestamp": _timestamp,
    "timestamptz": _timestamp,
    "time": _time,
    "interval": _interval,
    "char": _text,
    "varchar": _text,
    "varbyte": lambda value, _: bytes(memoryview(value)),
}


def column_of(values: Sequence[Any], type: Type) -> Column:
    """A column of Python's values. Invalid names the first that is no value of the type."""
    return engine_column([engine_value(value, type) for value in values], type)


def engine_column(values: Sequence[Any], type: Type) -> Column:
    """A column of engine values; None is NULL."""
    missing = [value is None for value in values]
    valid = ~np.array(missing, bool) if any(missing) else None
    validity = None if valid is None else valid.astype(np.uint8)
    if type.bytes:
        words = [b"" if value is None else value for value in values]
        offsets = np.zeros(len(words) + 1, np.int32)
        np.cumsum([len(word) for word in words], out=offsets[1:])
        return Column(type, offsets, valid=validity, heap=np.frombuffer(b"".join(words), np.uint8))
    filled = [0 if value is None else value for value in values]
    if type.kind == "interval":
        filled = [spans.span(value[0], value[1], type.unit) if isinstance(value, tuple) else value for value in filled]
    if type.floating:
        return Column(type, np.array(filled, np.float64), valid=validity)
    if type.kind in {"boolean", "null"}:
        return Column(type, np.array(filled, np.uint8), valid=validity)
    low, high = min(filled, default=0), max(filled, default=0)
    narrow = low >= -(2**63) and high < 2**63 and not (type.kind == "interval" and spans.any_months(filled))
    return Column(type, np.array(filled, np.int64 if narrow else object), valid=validity, low=low, high=high)


def python_values(column: Column, rows: int) -> list[Any]:
    """The column as Python's values, None for NULL. `rows` matters for constants only."""
    try:
        found = _values(column)
    except (OverflowError, ValueError) as error:  # of a source that has other years than ours
        raise Invalid(f"a value is no {column.type} that Python has: read the columns of the result") from error
    if column.valid is not None:
        found = [value if valid else None for value, valid in zip(found, column.valid.tolist(), strict=True)]
    return found * rows if column.constant else found


def _values(column: Column) -> list[Any]:
    kind = column.type.kind
    if column.type.bytes:
        return _texts(column)
    if column.parts is not None:
        return _nested(column)
    if kind == "null":
        return [None] * len(column)
    if kind == "boolean":
        return [value != 0 for value in column.data.tolist()]
    if column.type.floating:
        return column.data.tolist()  # type: ignore[no-any-return] # of float64: floats
    whole: list[int] = (column.data if column.wide else column.numbers()).tolist()
    if kind == "decimal":
        return decimals(whole, column.type.scale)
    if kind == "date":
        ordinal = EPOCH.toordinal()
        return [dt.date.fromordinal(day + ordinal) for day in whole]
    if kind in {"timestamp", "timestamptz"}:
        if column.type.unit == "ns":
            return list(column.numbers().view("datetime64[ns]"))
        return [EPOCH_TIME + dt.timedelta(microseconds=value) for value in whole]
    if kind == "time":
        return [_time_of_day(value) for value in whole]
    if kind == "interval":
        if column.type.unit == "ns":
            return [np.timedelta64(span(value), "ns") for value in whole]
        return [dt.timedelta(microseconds=span(value)) for value in whole]
    return whole


def span(interval: Any) -> int:  # noqa: ANN401 - an engine value: microseconds, or months and microseconds
    """The time of an INTERVAL, in its unit. Invalid for months, which have no fixed length."""
    months, microseconds = interval if isinstance(interval, tuple) else spans.months_and_time(interval)
    if months:
        raise Invalid("an INTERVAL with months or years is no length of time: add it to a date, or cast it to VARCHAR")
    return int(microseconds)


def _time_of_day(value: int) -> dt.time:
    seconds, microseconds = divmod(value, 1_000_000)
    return TimeOfDay(seconds // 3600, seconds // 60 % 60, seconds % 60, microseconds)


def decimals(values: Sequence[int], scale: int) -> list[decimal.Decimal]:
    """Scaled whole numbers as Decimals with that many places."""
    if scale == 0:
        return [decimal.Decimal(value) for value in values]
    return [decimal.Decimal(value).scaleb(-scale, EXACT) for value in values]


def _texts(column: Column) -> list[Any]:
    decode = column.type.text
    if column.words is not None and len(column.data) < len(column.words) // 4 and "strings" not in column.words.kept:
        few = gather_text(column.words.offsets, column.words.heap, column.data)
        column = replace(column, data=few[0], heap=few[1], words=None)
    if column.words is not None:
        words = strings(column.words) if decode else column.words.words()
        return [words[code] for code in column.data.tolist()]
    assert column.heap is not None, "text has words or a heap"  # noqa: S101 - by construction
    heap, cuts = column.heap.tobytes(), column.data.tolist()
    pieces = [heap[start:end] for start, end in itertools.pairwise(cuts)]
    return [piece.decode(errors="replace") for piece in pieces] if decode else pieces


def strings(words: Dictionary) -> list[str]:
    """A dictionary's words as str, made once."""
    if "strings" not in words.kept:
        words.kept["strings"] = [word.decode(errors="replace") for word in words.words()]
    found: list[str] = words.kept["strings"]
    return found


def _nested(column: Column) -> list[Any]:
    parts = column.parts or {}
    if column.type.kind == "row":
        names = list(parts)
        values = [python_values(gather(part, column.data), len(column)) for part in parts.values()]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    inner = {name: python_values(part, len(part)) for name, part in parts.items()}
    elements: list[Any]
    if column.type.kind == "timeseries":
        elements = [dict(zip(inner, point, strict=True)) for point in zip(*inner.values(), strict=True)]
    else:
        [elements] = inner.values()
    cuts = column.data.tolist()
    return [elements[start:end] for start, end in itertools.pairwise(cuts)]


def numpy_array(column: Column, rows: int) -> Array:
    """The column as numpy users expect it: numbers, datetime64, bool; objects where NULLs or text ask for it."""
    column = expand(column, rows)
    kind = column.type.kind
    if (
        column.parts is None
        and not column.type.bytes
        and not column.wide
        and kind not in {"null", "decimal", "interval"}
    ):
        if kind in {"date", "timestamp", "timestamptz"}:
            unit = "D" if kind == "date" else column.type.unit
            moments: Array = column.numbers().astype(f"datetime64[{unit}]")
            if column.valid is not None:
                moments[column.valid == 0] = np.datetime64("NaT")
            return moments
        if column.valid is None and kind != "time":
            if kind == "boolean":
                return column.data.astype(bool)
            return column.data if column.type.floating else column.numbers()
    objects = np.empty(rows, object)
    objects[:] = python_values(column, rows)
    return objects
