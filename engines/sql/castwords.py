"""CAST from and to text: one parser and one writer for each type.

    read    strict: all of the text is a value of the type, blanks around it do not count. Equal texts are read once
    write   decimals with all their places, floats with the fewest digits that give the same float back, dates as
            ISO 8601, timestamps with a blank and only as many decimals as they need, true and false

Columns with few distinct values (8 and 16 bits wide, booleans, coded text) are written as codes of a dictionary.
"""

import datetime as dt
import decimal
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from engines.sql import texts
from engines.sql.arithmetic import out_of_range, places
from engines.sql.column import Column, Dictionary
from engines.sql.context import Context
from engines.sql.evaluation import looked_up
from engines.sql.spans import months_and_time
from engines.sql.types import DAY, EPOCH, EPOCH_TIME, Type
from engines.sql.values import engine_column

# ---- text to text ------------------------------------------------------------------------------------------------


def through_words(column: Column, change: Callable[[Column], Column], type: Type) -> Column:
    """Changes a coded column's words and keeps its codes; words that become equal become one."""
    assert column.words is not None, "only coded columns have words"  # noqa: S101 - by construction
    words = column.words
    made = change(Column(column.type, words.offsets, heap=words.heap))
    if made.data is words.offsets:
        return replace(column, type=type)
    numbers: dict[bytes, int] = {}
    table = np.array([numbers.setdefault(word, len(numbers)) for word in texts.to_words(made)], column.data.dtype)
    return replace(column, type=type, data=looked_up(column.data, table), words=Dictionary.of(list(numbers)))


def cut(column: Column, type: Type) -> Column:
    """Plain text of at most `length` bytes, cut between characters; CHAR without trailing blanks."""
    offsets, heap = texts.parts_of(column)
    begins, ends = offsets[:-1], offsets[1:].copy()
    if type.length:
        long = np.flatnonzero(ends - begins > type.length)
        at = begins[long] + type.length
        for _ in range(3):  # a character has at most three bytes that continue it
            at -= (heap[at] & 0xC0) == 0x80
        ends[long] = np.maximum(at, begins[long])
    if type.kind == "char":
        open_rows = np.flatnonzero(ends > begins)
        while len(open_rows):
            open_rows = open_rows[heap[ends[open_rows] - 1] == 32]
            ends[open_rows] -= 1
            open_rows = open_rows[ends[open_rows] > begins[open_rows]]
    if np.array_equal(ends, offsets[1:]):
        return replace(column, type=type)
    made = np.zeros(len(offsets), np.int32)
    np.cumsum(ends - begins, out=made[1:])
    cut_column = texts.cut_out(np.ascontiguousarray(begins), heap, made, type)
    return replace(cut_column, valid=column.valid, constant=column.constant)


# ---- reading -----------------------------------------------------------------------------------------------------

WHOLE: Final = re.compile(r"[+-]?\d+")
NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
FLOAT: Final = re.compile(r"[+-]?(inf(inity)?|nan)|[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.IGNORECASE)
DATE: Final = re.compile(r"(\d{4,5})([-/])(\d{1,2})\2(\d{1,2})|(\d{4})(\d\d)(\d\d)")
AMERICAN: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
CLOCK: Final = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?")
TOO_FINE: Final = re.compile(r"\.\d{10}")
ZONE: Final = re.compile(r"\s*([+-])(\d\d?):?(\d\d)?$")
TRUE: Final = frozenset({"t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"})
FALSE: Final = frozenset({"f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"})
EXACT: Final = decimal.Context(prec=200)


class Unfit(ValueError):
    """The text is of the right form, but its value is too large for the type."""


def read(column: Column, type: Type, context: Context, position: int, *, lenient: bool = False) -> Column:
    """Text as values of a type. QueryError that names the first text that is none; NULL for it if lenient."""
    words = texts.to_words(column)
    valid = [1] * len(words) if column.valid is None else column.valid.tolist()
    parse = _PARSERS.get(type.kind)
    if parse is None:
        raise context.error(f"{column.type} cannot be cast to {type}", position)
    known: dict[bytes, Any] = {}
    values: list[Any] = []
    for word, there in zip(words, valid, strict=True):
        if not there:
            values.append(None)
            continue
        if word not in known:
            try:
                known[word] = _parsed(parse, word.decode(errors="replace"), type, context)
            except Unfit:
                if not lenient:
                    raise context.error(f"{_shown(word)} is too large: {out_of_range(type)}", position) from None
                known[word] = None
            except (ValueError, OverflowError, decimal.DecimalException):
                if not lenient:
                    raise context.error(f"{_shown(word)} is no {type}{_HINTS.get(type.kind, '')}", position) from None
                known[word] = None
        values.append(known[word])
    return engine_column(values, type)


def _parsed(parse: Callable[[str, Type, Context], Any], word: str, type: Type, context: Context) -> Any:  # noqa: ANN401 - by type
    value = parse(word.strip(), type, context)
    limits = type.limits()
    if limits and not limits[0] <= value <= limits[1]:
        raise Unfit
    return value


def _shown(word: bytes) -> str:
    text = word.decode(errors="replace")
    return repr(text if len(text) <= 60 else text[:57] + "...")


_HINTS: Final = {
    "boolean": ": write true or false",
    "date": ": write it as 2024-12-31",
    "timestamp": ": write it as 2024-12-31 23:59:59",
    "timestamptz": ": write it as 2024-12-31 23:59:59+00",
    "time": ": write it as 23:59:59",
}


def _boolean(text: str, _: Type, __: Context) -> int:
    if text.lower() in TRUE:
        return 1
    if text.lower() in FALSE:
        return 0
    raise ValueError


def _integer(text: str, _: Type, __: Context) -> int:
    if not WHOLE.fullmatch(text) or len(text) > 100:
        raise ValueError
    return int(text)


def _decimal(text: str, type: Type, _: Context) -> int:
    found = NUMBER.fullmatch(text)
    if not found or not text.isascii():
        raise ValueError
    number = decimal.Decimal(text)
    if number.adjusted() > 50:
        raise Unfit
    return int(number.scaleb(type.scale, EXACT).to_integral_value(decimal.ROUND_HALF_UP, context=EXACT))


def _double(text: str, type: Type, _: Context) -> float:
    if not FLOAT.fullmatch(text) or not text.isascii():
        raise ValueError
    value = float(text)
    if type.kind == "real":
        with np.errstate(over="ignore"):
            value = float(np.float32(value))
    if abs(value) == float("inf") and "inf" not in text.lower():
        raise Unfit
    return value


def _date(text: str, _: Type, context: Context) -> int:
    return _split_moment(text, context)[0]


def _split_moment(text: str, _: Context) -> tuple[int, int, str]:
    """Days, nanoseconds of the day, and the text of the zone."""
    if not text.isascii():
        raise ValueError
    found = DATE.match(text)
    american = None if found else AMERICAN.match(text)
    if found:
        parts = (found[1], found[3], found[4]) if found[1] else (found[5], found[6], found[7])
        end = found.end()
    elif american:
        parts, end = (american[3], american[1], american[2]), american.end()
    else:
        raise ValueError
    days = dt.date(*map(int, parts)).toordinal() - EPOCH.toordinal()
    rest = text[end:]
    if not rest:
        return days, 0, ""
    if rest[0] not in "T ":
        raise ValueError
    time, zone = _split_clock(rest[1:].lstrip())
    return days, time, zone


def _split_clock(text: str) -> tuple[int, str]:
    """Nanoseconds of the day, and what is behind them."""
    found = CLOCK.match(text)
    if not found:
        raise ValueError
    hours, minutes, seconds = int(found[1]), int(found[2]), int(found[3] or 0)
    rest = text[found.end() :].strip()
    if rest[:2].upper() in {"AM", "PM"}:
        if not 1 <= hours <= 12:
            raise ValueError
        hours = hours % 12 + (12 if rest[0] in "Pp" else 0)
        rest = rest[2:].strip()
    fraction = int((found[4] or "").ljust(9, "0"))
    if minutes > 59 or seconds > 60 or hours > 24 or (hours == 24 and (minutes or seconds or fraction)):
        raise ValueError
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + fraction, rest


def _timestamp(text: str, type: Type, context: Context) -> int:
    if type.unit == "ns" and TOO_FINE.search(text):
        raise ValueError  # digits would be lost
    days, time, zone = _split_moment(text, context)
    nanoseconds = days * DAY * 1000 + time
    if zone and type.kind == "timestamp":  # a TIMESTAMP has no zone: it is read, and counts where the dialect says so
        ahead = _offset(zone)
        nanoseconds -= ahead if context.rules.get("unit") == "ns" else 0
    if type.kind == "timestamptz":
        nanoseconds -= _offset(zone) if zone else _local(nanoseconds, context)
    if type.unit == "ns":
        if not -(2**63) <= nanoseconds < 2**63:
            raise Unfit
        return nanoseconds
    return (nanoseconds + 500) // 1000


def _offset(zone: str) -> int:
    """The nanoseconds that a written zone is ahead of UTC."""
    if zone.upper() in {"Z", "UTC", "GMT"}:
        return 0
    found = ZONE.fullmatch(zone)
    if not found:
        raise ValueError
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    if minutes > 18 * 60:
        raise ValueError
    return (-minutes if found[1] == "-" else minutes) * 60_000_000_000


def _local(nanoseconds: int, context: Context) -> int:
    """The nanoseconds that the dialect's zone is ahead of UTC at that local time."""
    zone = context.rules.get("zone", "UTC")
    if zone == "UTC":
        return 0
    from engines.sql.functions import moments  # noqa: PLC0415 - only where a zone is set

    times = np.array([nanoseconds // 1000])
    return int(times[0] - moments.to_utc(times, moments.zone_named(zone))[0]) * 1000


def _time(text: str, _: Type, __: Context) -> int:
    time, rest = _split_clock(text)
    if rest:
        raise ValueError
    return (time + 500) // 1000


_PARSERS: Final[dict[str, Callable[[str, Type, Context], Any]]] = {
    "boolean": _boolean,
    "smallint": _integer,
    "integer": _integer,
    "bigint": _integer,
    "decimal": _decimal,
    "real": _double,
    "double": _double,
    "date": _date,
    "timestamp": _timestamp,
    "timestamptz": _timestamp,
    "time": _time,
}


# ---- writing -----------------------------------------------------------------------------------------------------


def write(column: Column, type: Type, context: Context, position: int) -> Column:
    """Values as text; cut to the type's length as any text is."""
    writer = _writer(column.type, context)
    if writer is None:
        raise context.error(f"{column.type} cannot be cast to {type}", position)
    try:
        return _written(column, type, writer)
    except (ValueError, OverflowError):  # of a source that has other years than ours
        raise context.error(out_of_range(column.type), position) from None


def _written(column: Column, type: Type, writer: Callable[[Any], str]) -> Column:
    coded = column.data.dtype in {np.dtype(np.uint8), np.dtype(np.uint16)} and not column.constant
    if coded and len(column) > 256:
        used = np.unique(column.data)
        table = np.zeros(int(used[-1]) + 1, column.data.dtype)
        table[used] = np.arange(len(used), dtype=column.data.dtype)
        words = [writer(value + column.base).encode() for value in used.tolist()]
        made = Column(type, looked_up(column.data, table), valid=column.valid, words=Dictionary.of(words))
        return through_words(made, lambda plain: cut(plain, type), type) if type.length else made
    values = column.data.tolist()
    if column.base:
        values = [value + column.base for value in values]
    known: dict[Any, bytes] = {}
    written = []
    floating = column.type.floating  # 0.0 and -0.0 are equal keys
    for value in values:
        word = None if floating else known.get(value)
        if word is None:
            word = known[value] = writer(value).encode()
        written.append(word)
    made = replace(texts.from_words(written, type), valid=column.valid, constant=column.constant)
    return cut(made, type) if type.length else made


def _writer(type: Type, context: Context) -> Callable[[Any], str] | None:
    match type.kind:
        case "boolean":
            return lambda value: "true" if value else "false"
        case "smallint" | "integer" | "bigint":
            return str
        case "decimal":
            return lambda value: decimal_text(value, type.scale)
        case "real":
            return lambda value: float_text(np.float32(value))
        case "double":
            return float_text
        case "date":
            return date_text
        case "time":
            return time_text
        case "timestamp":
            if context.rules.get("unit") == "ns":
                return lambda value: timestamp_text(value, places(type), all_places=True)
            return lambda value: timestamp_text(value, places(type))
        case "timestamptz":
            return lambda value: zoned_text(value, places(type), context)
        case "interval":
            divisor = 1000 if type.unit == "ns" else 1
            return lambda value: interval_text(value, divisor)
    return None


def decimal_text(value: int, scale: int) -> str:
    """A scaled whole number with all its places."""
    if scale == 0:
        return str(value)
    digits = str(abs(value)).rjust(scale + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"


def float_text(value: Any) -> str:  # noqa: ANN401 - a float of 32 or 64 bits
    """The fewest digits that give the same float back, as PostgreSQL writes them: 1, 0.1, 1e+20, NaN."""
    text = str(value)
    if text in {"nan", "inf", "-inf"}:
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]
    text = text.removesuffix(".0")
    if "e" not in text and (abs(value) >= 1e15 or 0 < abs(value) < 1e-4):
        text = np.format_float_scientific(value, trim="-", exp_digits=2)
    return text.replace(".e", "e")


def date_text(days: int) -> str:
    """2024-02-29, of days since 1970."""
    return dt.date.fromordinal(days + EPOCH.toordinal()).isoformat()


def time_text(microseconds: int) -> str:
    """03:04:05 or 03:04:05.5, of microseconds since midnight."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{_fraction(fraction, 6)}"


def _fraction(fraction: int, digits: int) -> str:
    """The decimals of a second that are not zero at the end."""
    return "." + f"{fraction:0{digits}}".rstrip("0") if fraction else ""


def timestamp_text(value: int, scale: int, *, all_places: bool = False) -> str:
    """Microseconds, or with scale 9 nanoseconds, as 2024-12-31 23:59:59.5, with all places as 23:59:59.500000000."""
    unit = 10**9 if scale == 9 else 10**6
    days, rest = divmod(value, 86_400 * unit)
    seconds, fraction = divmod(rest, unit)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    digits = 9 if scale == 9 else 6
    return f"{date_text(days)} {clock}{f'.{fraction:0{digits}}' if all_places else _fraction(fraction, digits)}"


def zoned_text(value: int, scale: int, context: Context) -> str:
    """As timestamp_text, in the dialect's zone, with its offset: +00, -05, +05:30."""
    unit = 1000 if scale == 9 else 1
    ahead = 0
    zone = context.rules.get("zone", "UTC")
    if zone != "UTC":
        from engines.sql.functions import moments  # noqa: PLC0415 - only where a zone is set

        found = (EPOCH_TIME + dt.timedelta(microseconds=value // unit)).astimezone(moments.zone_named(zone)).utcoffset()
        ahead = int((found or dt.timedelta()) / dt.timedelta(microseconds=1))
    minutes = abs(ahead) // 60_000_000
    tail = f":{minutes % 60:02}" if minutes % 60 else ""
    return f"{timestamp_text(value + ahead * unit, scale)}{'-' if ahead < 0 else '+'}{minutes // 60:02}{tail}"


def interval_text(value: Any, divisor: int = 1) -> str:  # noqa: ANN401 - see spans.py
    """As PostgreSQL writes it: 1 year 2 mons 3 days 04:05:06. divisor: what makes microseconds of the time."""
    months, time = months_and_time(value)
    time = time // divisor if time >= 0 else -(-time // divisor)
    years, months = (abs(months) // 12, abs(months) % 12) if months >= 0 else (-(-months // 12), -(-months % 12))
    sign = "-" if time < 0 else ""
    days, clock = divmod(abs(time), DAY)
    named = [(years, "year"), (months, "mon"), (-days if time < 0 else days, "day")]
    parts = [f"{n} {name}{'' if n == 1 else 's'}" for n, name in named if n]
    if clock or not parts:
        parts.append(sign + time_text(clock))
    return " ".join(parts)
