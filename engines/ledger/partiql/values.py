"""What PartiQL makes of values: equality and order, NULL and MISSING, and times.

    =         of different types is false, of NULL is NULL, of MISSING is MISSING
    < + ||    of types that do not go together is MISSING, not an error
    true      is no number; 1 and 1.0 are the same number

A time is a text, as documents hold it: ISO 8601, `2024-05-01T12:00:00Z` or less of it. Bounds of history() and the date
functions read it.
"""

import re
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final

from engines.errors import Invalid
from engines.ledger.partiql.nodes import MISSING
from engines.ledger.results import EPOCH, iso

Value = Any
NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
SURROGATE: Final = re.compile("[\ud800-\udfff]")
LARGEST: Final = (1 << 53) - 1  # whole numbers of documents lie between this and minus this
SECONDS: Final = {"DAY": 86_400, "HOUR": 3_600, "MINUTE": 60, "SECOND": 1}


def is_number(value: Value) -> bool:
    """Whether it can be added."""
    return type(value) is int or type(value) is float


def same(left: Value, right: Value) -> bool:
    """Whether two values are the same, at any depth."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def equal(left: Value, right: Value) -> Value:
    """Left = right."""
    if left is MISSING or right is MISSING:
        return MISSING
    if left is None or right is None:
        return None
    return same(left, right)


def storable(value: Value) -> bool:
    """Whether a document can hold it, as far as texts and numbers say: an index looks for nothing else."""
    if isinstance(value, str):
        return value.isascii() or SURROGATE.search(value) is None
    if isinstance(value, dict):
        return all(storable(name) and storable(each) for name, each in value.items())
    if isinstance(value, list):
        return all(map(storable, value))
    return type(value) is not int or -LARGEST <= value <= LARGEST


def less(left: Value, right: Value) -> Value:
    """Left < right; MISSING where the two have no order."""
    if left is MISSING or right is MISSING:
        return MISSING
    if left is None or right is None:
        return None
    if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return left < right
    if isinstance(left, bool) and isinstance(right, bool):
        return left < right
    return MISSING


def negate(value: Value) -> Value:
    """NOT value."""
    if value is None:
        return None
    return not value if isinstance(value, bool) else MISSING


def both(left: Value, right: Value) -> Value:
    """Left AND right, in SQL's three-valued logic: whatever is no truth value is unknown, and unknown is NULL."""
    if left is False or right is False:
        return False
    return True if left is True and right is True else None


def either(left: Value, right: Value) -> Value:
    """Left OR right."""
    if left is True or right is True:
        return True
    return False if left is False and right is False else None


def contains(value: Value, collection: Value) -> Value:
    """Value IN collection: value = one OR value = another ..."""
    if not isinstance(collection, list):
        return MISSING if collection is not None else None
    unknown = False
    for each in collection:
        found = equal(value, each)
        if found is True:
            return True
        unknown = unknown or found is not False
    return None if unknown else False


def is_type(value: Value, name: str) -> bool:  # noqa: PLR0911 - a line for each type
    """Value IS name."""
    match name:
        case "NULL":
            return value is None or value is MISSING
        case "MISSING":
            return value is MISSING
        case "BOOL":
            return isinstance(value, bool)
        case "INT":
            return type(value) is int
        case "FLOAT":
            return type(value) is float
        case "NUMBER":
            return is_number(value)
        case "STRING":
            return isinstance(value, str)
        case "STRUCT":
            return isinstance(value, dict)
        case "LIST":
            return isinstance(value, list)
        case _:
            return isinstance(value, str) and moment(value) is not None


def moment(value: Value) -> datetime | None:
    """A time in UTC from its text, also a year, or a year and a month; None where it is none."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    text = value.strip()
    if len(text) in (5, 8, 11) and text.endswith("T"):  # Ion's 2024T, 2024-05T and 2024-05-01T
        text = text[:-1]
    text = {4: f"{text}-01-01", 7: f"{text}-01"}.get(len(text), text)
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def microseconds(value: Value) -> int:
    """A time's text, or a number that is one already, in microseconds since 1970. Invalid where it is none."""
    if type(value) is int:
        return value
    found = moment(value)
    if found is None:
        raise Invalid(f"a time is written `2024-05-01T12:00:00Z`, got {value!r:.60}")
    return (found - EPOCH) // timedelta(microseconds=1)


def shown(time: datetime) -> str:
    """A time as a text."""
    return iso((time - EPOCH) // timedelta(microseconds=1))


def date_add(part: str, count: Value, value: Value) -> Value:
    """DATE_ADD(part, count, time)."""
    time = moment(value)
    if time is None or type(count) is not int:
        return MISSING
    try:
        if part in SECONDS:
            return shown(time + timedelta(seconds=SECONDS[part] * count))
        months = time.year * 12 + time.month - 1 + count * (12 if part == "YEAR" else 1)
        year, month = divmod(months, 12)
        for day in range(time.day, 27, -1):  # the last day of a shorter month
            try:
                return shown(time.replace(year=year, month=month + 1, day=day))
            except ValueError:
                continue
        return shown(time.replace(year=year, month=month + 1))
    except (ValueError, OverflowError):
        return MISSING


def date_diff(part: str, first: Value, second: Value) -> Value:
    """DATE_DIFF(part, first, second): whole parts from the first to the second."""
    low, high = moment(first), moment(second)
    if low is None or high is None:
        return MISSING
    if part in SECONDS:
        return _truncated((high - low) // timedelta(microseconds=1), SECONDS[part] * 1_000_000)
    sign = 1 if high >= low else -1
    low, high = min(low, high), max(low, high)
    months = (high.year - low.year) * 12 + high.month - low.month
    if high.replace(year=2000, month=1) < low.replace(year=2000, month=1):  # January has all days
        months -= 1
    return sign * (months // 12 if part == "YEAR" else months)


def _truncated(number: int, by: int) -> int:
    return number // by if number >= 0 else -(-number // by)


def extract(part: str, value: Value) -> Value:
    """EXTRACT(part FROM time)."""
    time = moment(value)
    return MISSING if time is None else getattr(time, part.lower())


def finite(value: Value) -> Value:
    """The value; MISSING for infinity and NaN, which no document can hold."""
    return MISSING if isinstance(value, float) and not isfinite(value) else value


def cast(value: Value, name: str) -> Value:  # noqa: C901, PLR0911, PLR0912 - a line for each type
    """CAST(value AS name); MISSING where that cannot be."""
    try:
        match name:
            case "INT" | "FLOAT" | "NUMBER" if isinstance(value, str) and NUMBER.fullmatch(value.strip()) is None:
                return MISSING  # Python would read 1_000 and nan
            case "INT":
                return int(value) if isinstance(value, bool | int | float | str) else MISSING
            case "FLOAT" | "NUMBER":
                number = float(value) if isinstance(value, bool | int | float | str) else MISSING
                if name == "NUMBER" and isinstance(number, float) and number.is_integer():
                    return int(number)
                return finite(number)
            case "STRING":
                if isinstance(value, bool):
                    return "true" if value else "false"
                return value if isinstance(value, str) else str(value) if is_number(value) else MISSING
            case "BOOL":
                if isinstance(value, str):
                    return {"true": True, "false": False}.get(value.strip().lower(), MISSING)
                return bool(value) if isinstance(value, bool | int | float) else MISSING
            case "TIMESTAMP":
                time = moment(value)
                return MISSING if time is None else shown(time)
            case "LIST":
                return value if isinstance(value, list) else MISSING
            case "STRUCT":
                return value if isinstance(value, dict) else MISSING
            case _:
                return MISSING
    except (ValueError, OverflowError):
        return MISSING
