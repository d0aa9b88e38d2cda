"""Constants: numbers, texts, dates, intervals, parameters, the current time; and casts, which fold over constants.

A number is what it looks like: 12 INTEGER (or BIGINT, or DECIMAL if it is longer), 0.06 DECIMAL(3,2), 1e3 DOUBLE.
An INTERVAL is (months, microseconds); one with hours, minutes or seconds is of a type of its own (INTERVAL_OF_TIME),
because DATE plus whole days is a DATE and DATE plus hours a TIMESTAMP.
"""

import datetime as dt
import re
from typing import Final

from sqlglot import exp

from engines.sql.binder.binding import Binder, Node, binds, written
from engines.sql.binder.datatypes import bind_type
from engines.sql.binder.scopes import Scope
from engines.sql.binder.typing import castable
from engines.sql.functions import INTERVAL_OF_TIME
from engines.sql.logical import Bound, Call, Cast, Constant, Expression
from engines.sql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DAY,
    DOUBLE,
    EPOCH,
    INTEGER,
    INTERVAL,
    INTERVAL_NS,
    MOST_DIGITS,
    NULL,
    TIME,
    TIMESTAMP,
    TIMESTAMP_NS,
    TIMESTAMPTZ,
    VARCHAR,
    Type,
    array,
    decimal,
)

# ---- casts -------------------------------------------------------------------------------------------------------


def cast(expression: Expression, type: Type) -> Expression:
    """The expression as that type: itself if it is, a constant where that is plain, else a Cast."""
    given = expression.type
    if given == type:
        return expression
    if isinstance(expression, Constant):
        folded = _fold(expression, given, type)
        if folded is not None:
            return folded
    return Cast(expression, type=type, position=expression.position)


def _fold(constant: Constant, given: Type, type: Type) -> Expression | None:
    """Casts of constants that cannot go wrong or are everyday; the rest is for the rewrite rules, and for run time."""
    value, position = constant.value, constant.position
    if value is None:
        return Constant(None, type=type, position=position)
    if given.integer and type.integer:
        low, high = type.limits() or (0, 0)
        return Constant(value, type=type, position=position) if low <= value <= high else None
    if (given.integer or given.decimal) and type.decimal and type.scale >= given.scale:
        scaled = value * 10 ** (type.scale - given.scale)
        return Constant(scaled, type=type, position=position) if abs(scaled) < 10**type.precision else None
    if (given.integer or given.decimal) and type.kind == "double":
        return Constant(value / 10**given.scale, type=type, position=position)
    if given.text and type.kind == "varchar" and (not type.length or len(value) <= type.length):
        return Constant(value, type=type, position=position)
    if given.text and type.kind == "date":
        days = _days(value)
        return None if days is None else Constant(days, type=type, position=position)
    if given.text and type.kind == "timestamp" and type.unit == "us":
        moment = _microseconds(value)
        return None if moment is None else Constant(moment, type=type, position=position)
    return None


_DATE: Final = re.compile(rb"\d{4}-\d\d-\d\d")
_MOMENT: Final = re.compile(rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?")


def _days(text: bytes) -> int | None:
    """Days since 1970 of an ISO date; None for whatever else, which the cast at run time understands or refuses."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return (dt.date.fromisoformat(text.decode()) - EPOCH).days
    except ValueError:
        return None


def _microseconds(text: bytes) -> int | None:
    if text.lower() == b"epoch":
        return 0
    if _DATE.fullmatch(text):
        days = _days(text)
        return None if days is None else days * DAY
    if not _MOMENT.fullmatch(text):
        return None
    whole, _, fraction = text.decode().partition(".")
    try:
        since = dt.datetime.fromisoformat(whole) - dt.datetime(1970, 1, 1)  # noqa: DTZ001 - TIMESTAMP has no zone
    except ValueError:
        return None
    return since // dt.timedelta(microseconds=1) + int(fraction.ljust(6, "0") or 0)


@binds(exp.Cast, exp.TryCast)
def _cast(binder: Binder, node: Node, scope: Scope) -> Expression:
    argument = binder.expression(node.this, scope)
    type = bind_type(node.args["to"], binder)
    lenient = node.__class__ is exp.TryCast
    if not castable(argument.type, type):
        raise binder.error(f"{argument.type} cannot be cast to {type}", node)
    if isinstance(argument, Bound) and argument.type.kind == "null":
        return Bound(argument.name, type=type, position=argument.position)
    if type.kind == "interval" and isinstance(argument, Constant) and argument.type.text:
        return interval(binder, argument.value.decode(), "", node)
    bound = cast(argument, type)
    if lenient and isinstance(bound, Cast):
        return Cast(bound.argument, lenient=True, type=type, position=bound.position)
    return bound


# ---- literals ----------------------------------------------------------------------------------------------------


@binds(exp.Literal)
def _literal(binder: Binder, node: Node, _: Scope) -> Expression:
    text = node.args["this"]
    position = binder.position(node)
    if node.args["is_string"]:
        return Constant(text.encode(), type=VARCHAR, position=position)
    return number(binder, text, node)


@binds(exp.ByteString, exp.RawString)
def _escaped(binder: Binder, node: Node, _: Scope) -> Expression:
    r"""E'line\n' and $$it's$$: the grammar has read what they stand for."""
    return Constant(node.args["this"].encode(), type=VARCHAR, position=binder.position(node))


@binds(exp.Concat)
def _side_by_side(binder: Binder, node: Node, _: Scope) -> Expression:
    """'one text ' 'in two pieces'."""
    if not all(isinstance(one, exp.Literal) and one.args["is_string"] for one in node.expressions):
        raise binder.unsupported(f"{written(node)} (write || between them)", node)
    whole = "".join(one.name for one in node.expressions)
    return Constant(whole.encode(), type=VARCHAR, position=binder.position(node))


def number(binder: Binder, text: str, node: Node) -> Constant:
    """A number as it is written."""
    position = binder.position(node)
    if text.isdigit() and text.isascii():
        value = int(text)
        if value < 2**31:
            return Constant(value, type=INTEGER, position=position)
        if value < 2**63:
            return Constant(value, type=BIGINT, position=position)
        return Constant(value, type=_digits(binder, len(str(value)), 0, node), position=position)
    if "e" in text or "E" in text:
        try:
            return Constant(float(text), type=DOUBLE, position=position)
        except ValueError:
            raise binder.error(f"{text!r} is no number", node) from None
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdigit():
        raise binder.error(f"{text!r} is no number", node) from None
    whole = whole.lstrip("0") or ("0" if whole else "")
    type = _digits(binder, len(whole) + len(fraction), len(fraction), node)
    return Constant(int(whole + fraction), type=type, position=position)


def _digits(binder: Binder, precision: int, scale: int, node: Node) -> Type:
    if precision > MOST_DIGITS:
        raise binder.error(f"a DECIMAL has at most {MOST_DIGITS} digits, this number has {precision}", node)
    return decimal(precision, scale)


@binds(exp.Boolean)
def _boolean(_: Binder, node: Node, __: Scope) -> Expression:
    return Constant(int(node.this), type=BOOLEAN)


@binds(exp.Null)
def _null(_: Binder, __: Node, ___: Scope) -> Expression:
    return Constant(None, type=NULL)


@binds(exp.Paren)
def _paren(binder: Binder, node: Node, scope: Scope) -> Expression:
    return binder.expression(node.this, scope)


@binds(exp.Array)
def _array(binder: Binder, node: Node, scope: Scope) -> Expression:
    from engines.sql.binder.operators import unify  # noqa: PLC0415 - operators are built on literals

    items = [binder.expression(item, scope) for item in node.expressions]
    items, type = unify(binder, items, node.expressions, node, "the elements of an ARRAY")
    return Call("array", tuple(items), type=array(type), position=binder.position(node))


# ---- parameters and the time -------------------------------------------------------------------------------------


@binds(exp.Placeholder)
def _placeholder(binder: Binder, node: Node, _: Scope) -> Expression:
    name = node.args["this"]
    if name is None:  # %s, as drivers of other databases have it
        raise binder.error("a parameter is written ? or :name", node)
    return _parameter(binder, name if isinstance(name, str) else name.name, node)


@binds(exp.Parameter)
def _numbered(binder: Binder, node: Node, _: Scope) -> Expression:
    name = node.this.name
    return _parameter(binder, int(name) if name.isdigit() else name, node)


def _parameter(binder: Binder, name: int | str, node: Node) -> Expression:
    type = binder.parameters.get(name)
    if binder.views:
        raise binder.error("a view has no parameters", node)
    if type is None:
        if isinstance(name, int):
            given = sum(isinstance(one, int) for one in binder.parameters)
            raise binder.error(f"parameter {name} has no value: {given} were passed", node)
        raise binder.error(f"parameter :{name} has no value: pass {name}=...", node)
    binder.used[name] = type
    return Bound(name, type=type, position=binder.position(node))


def now(binder: Binder, position: int = -1) -> Expression:
    """The time at which the statement began."""
    type = TIMESTAMP_NS if in_nanoseconds(binder) else TIMESTAMP
    return Bound("$now", type=type, position=position)


def moment_now(binder: Binder, position: int = -1) -> Expression:
    """CURRENT_TIMESTAMP: a TIMESTAMPTZ, unless the dialect's TIMESTAMPs are moments."""
    moment = now(binder, position)
    return moment if in_nanoseconds(binder) else cast(moment, TIMESTAMPTZ)


def in_nanoseconds(binder: Binder) -> bool:
    """The dialect's rule "unit"."""
    return binder.dialect.rules.get("unit") == "ns"


@binds(exp.CurrentDate)
def _today(binder: Binder, node: Node, _: Scope) -> Expression:
    return cast(now(binder, binder.position(node)), DATE)


@binds(exp.CurrentTimestamp, exp.Localtimestamp)
def _now(binder: Binder, node: Node, _: Scope) -> Expression:
    plain = node.args.get("sysdate") or node.__class__ is exp.Localtimestamp
    return (now if plain else moment_now)(binder, binder.position(node))


@binds(exp.CurrentTime, exp.Localtime)
def _time_now(binder: Binder, node: Node, _: Scope) -> Expression:
    return cast(now(binder, binder.position(node)), TIME)


# ---- intervals ---------------------------------------------------------------------------------------------------

_MONTHS: Final = {"month": 1, "mon": 1, "quarter": 3, "qtr": 3, "year": 12, "yr": 12, "y": 12, "decade": 120}
_MONTHS_OF: Final = _MONTHS | {"century": 1200, "cent": 1200, "millennium": 12000}
_MICROSECONDS: Final = {
    "microsecond": 1,
    "us": 1,
    "millisecond": 1_000,
    "ms": 1_000,
    "second": 1_000_000,
    "sec": 1_000_000,
    "s": 1_000_000,
    "minute": 60_000_000,
    "min": 60_000_000,
    "m": 60_000_000,
    "hour": 3_600_000_000,
    "hr": 3_600_000_000,
    "h": 3_600_000_000,
    "day": DAY,
    "d": DAY,
    "week": 7 * DAY,
    "w": 7 * DAY,
}
_PART: Final = re.compile(r"\s*([+-]?\s*\d+(?:\.\d*)?|[+-]?\.\d+)\s*([a-zA-Z]*)\s*,?")
_CLOCK: Final = re.compile(r"\s*([+-]?)(\d+):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?\s*")


def _unit(binder: Binder, name: str, node: Node) -> tuple[int, int]:
    """(months, microseconds or nanoseconds) of a unit, in singular or plural."""
    folded = name.lower()
    scale = 1000 if in_nanoseconds(binder) else 1
    if scale == 1000 and folded in {"ns", "nanosecond", "nanoseconds"}:
        return 0, 1
    for word in (folded, folded.removesuffix("s")):
        if word in _MONTHS_OF:
            return _MONTHS_OF[word], 0
        if word in _MICROSECONDS:
            return 0, _MICROSECONDS[word] * scale
    known = "year, month, week, day, hour, minute, second"
    raise binder.error(f"{folded!r} is no unit of an INTERVAL: write {known}", node)


def interval(binder: Binder, text: str, unit: str, node: Node) -> Expression:
    """INTERVAL '90' day, INTERVAL '1 year 2 months 03:04:05', INTERVAL '1-2' YEAR TO MONTH is not known."""
    months = microseconds = at = 0
    scaled = 1000 if in_nanoseconds(binder) else 1
    while at < len(text.rstrip()):
        clock = _CLOCK.match(text, at)
        if clock:
            sign = -1 if clock[1] else 1
            seconds = int(clock[2]) * 3600 + int(clock[3]) * 60 + int(clock[4] or 0)
            microseconds += scaled * sign * (seconds * 1_000_000 + int((clock[5] or "").ljust(6, "0")))
            at = clock.end()
            continue
        part = _PART.match(text, at)
        if not part or (not part[2] and not unit and part.end() < len(text.rstrip())):  # 2000-01-01 is no interval
            raise binder.error(f"INTERVAL {text!r} cannot be read: write '3 days', or '1 year 2 months 03:04:05'", node)
        if part[2] and unit:
            raise binder.error(f"INTERVAL {text!r} names its unit twice: {part[2]} and {unit}", node)
        by_month, by_time = _unit(binder, part[2] or unit or "second", node)
        whole, _, fraction = part[1].replace(" ", "").partition(".")
        negative = whole.startswith("-")
        scale = 10 ** len(fraction)
        amount = int((whole.lstrip("+-") or "0") + fraction) * (-1 if negative else 1)
        if by_month and amount * by_month % scale:
            raise binder.error(f"INTERVAL {text!r} holds a part of a month", node)
        months += amount * by_month // scale
        microseconds += amount * by_time // scale
        at = part.end()
    if not text.strip():
        raise binder.error("an INTERVAL needs a number: write INTERVAL '3 days'", node)
    return _constant(binder, months, microseconds, node)


def _constant(binder: Binder, months: int, time: int, node: Node) -> Constant:
    type = INTERVAL if time % DAY == 0 else INTERVAL_OF_TIME
    return Constant(
        (months, time), type=INTERVAL_NS if in_nanoseconds(binder) else type, position=binder.position(node)
    )


_YEARS: Final = re.compile(r"\s*([+-]?)(\d+)-(\d+)\s*")
_DAYS: Final = re.compile(r"\s*([+-]?)(?:(\d+)\s+)?(\d+)(?::(\d\d))?(?::(\d\d)(?:\.(\d{1,6}))?)?\s*")


def _spanned(binder: Binder, sign: str, text: str, unit: str, node: Node) -> Expression:
    """INTERVAL '1-2' YEAR TO MONTH, INTERVAL '3 04:05:06' DAY TO SECOND; a minus is one for all parts."""
    if unit == "year to month" and (years := _YEARS.fullmatch(text)):
        months = int(years[2]) * 12 + int(years[3])
        return _constant(binder, -months if sign or years[1] == "-" else months, 0, node)
    first, _, last = unit.partition(" to ")
    names = ["day", "hour", "minute", "second"]
    found = _DAYS.fullmatch(text)
    if first not in names or last not in names or not found:
        raise binder.error(
            f"INTERVAL {text!r} {unit.upper()} cannot be read: write '1-2' YEAR TO MONTH, '3 04:05:06' DAY TO SECOND",
            node,
        )
    given = [found[2], found[3], found[4], found[5]]
    if first != "day":  # '04:05' HOUR TO MINUTE, '04:05' MINUTE TO SECOND
        clock = [one for one in given if one is not None]
        at = names.index(first)
        given = [None] * at + clock + [None] * (4 - at - len(clock))
    sizes = [DAY, 3_600_000_000, 60_000_000, 1_000_000]
    total = sum(int(one) * size for one, size in zip(given, sizes, strict=False) if one)
    total += int((found[6] or "").ljust(6, "0"))
    total *= 1000 if in_nanoseconds(binder) else 1
    return _constant(binder, 0, -total if sign or found[1] == "-" else total, node)


@binds(exp.Interval)
def _interval(binder: Binder, node: Node, scope: Scope) -> Expression:
    amount, unit = node.this, node.args.get("unit")
    name = "" if unit is None else unit.name if isinstance(unit, (exp.Var, exp.Literal)) else written(unit)
    between = isinstance(unit, exp.IntervalSpan)
    sign = ""
    while isinstance(amount, (exp.Neg, exp.Paren)):
        sign = ("" if sign else "-") if isinstance(amount, exp.Neg) else sign
        amount = amount.this
    if between and isinstance(amount, exp.Literal):
        return _spanned(binder, sign, amount.name, name.lower(), node)
    if isinstance(amount, exp.Literal):
        return interval(binder, sign + amount.name, name, node)
    bound = binder.expression(amount, scope)
    if isinstance(bound, Bound) and bound.type.kind == "interval":
        return bound
    raise binder.error("an INTERVAL is a constant: for amounts that change use DATEADD(unit, amount, date)", node)
