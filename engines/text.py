"""How one value looks: the same in a table's text, in HTML, in SVG and in an error.

    None                blank                    the empty text       ''
    bytes               0x00ff...                datetime             2024-05-06T07:08:09Z, always UTC
    datetime64[ns]      2024-05-06 07:08:09.000000000
    float               at most 10 digits        line ends, controls  escaped as Python writes them
    list, dict, set     as JSON would, shortened anything else        its str()

What is wider than the limit is cut and ends in an ellipsis, and no more of it is looked at than is shown.
"""

import itertools
import unicodedata
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np

NULL = ""
CELL = 40  # characters of a value that a table shows


def show(value: object, limit: int = CELL) -> str:  # noqa: C901, PLR0911, PLR0912 - a line a type is the clearest table there is
    """One line of printable text, at most limit characters."""
    match value:
        case None:
            return NULL
        case "":
            return "''"
        case str():
            return cut(printable(value[: limit + 1]), limit)
        case bool() | np.bool_():
            return "true" if value else "false"
        case float():
            return _number(value)
        case bytes() | bytearray() | memoryview():
            return cut("0x" + bytes(value[: limit // 2]).hex(), limit)
        case datetime():
            return iso(value)
        case date():
            return value.isoformat()
        case np.datetime64():
            return "NaT" if np.isnat(value) else str(value).replace("T", " ")
        case Mapping():
            pairs = (f"{show(k, limit)}: {_inside(v, limit)}" for k, v in value.items())
            return cut("{" + _joined(pairs, limit) + "}", limit)
        case list() | tuple():
            return cut("[" + _joined((_inside(item, limit) for item in value), limit) + "]", limit)
        case AbstractSet():
            return cut("{" + _joined((_inside(item, limit) for item in value), limit) + "}", limit)
        case _:
            return cut(printable(str(value)[: limit + 1]), limit)


def iso(moment: datetime) -> str:
    """A moment in UTC, with a Z; a datetime without a time zone is taken as UTC already."""
    aware = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.isoformat().replace("+00:00", "Z")


def printable(text: str) -> str:
    """The text without anything that moves the cursor, changes direction or is no character at all."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cut(text: str, limit: int) -> str:
    """The text, or its beginning and an ellipsis: at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def width(text: str) -> int:
    """Columns of a terminal: East Asian wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def is_number(value: object) -> bool:
    """Whether a value counts as a number in a column; True and False do not."""
    return isinstance(value, int | float | Decimal | np.number) and not isinstance(value, bool)


def grouped(value: object) -> str:
    """A counter as 1,234,567, for sentences and statistics; a table's cells carry plain digits."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{int(value):,}"
    if isinstance(value, float) and abs(value) < 1:
        return _number(float(f"{value:.3g}"))  # seconds to the nanosecond are noise
    return show(value)


def _number(value: float) -> str:
    text = f"{value:.10g}"  # 0.1 + 0.2 reads 0.3; what is exact is in the array
    return text + ".0" if text.lstrip("-").isdigit() else text


def _inside(value: object, limit: int) -> str:
    """A value inside a list or map: there null needs a word and text needs its quotes."""
    if value is None:
        return "null"
    return repr(cut(value[: limit + 1], limit)) if isinstance(value, str) else show(value, limit)


def _joined(parts: Iterable[str], limit: int) -> str:
    return ", ".join(itertools.islice(parts, limit))  # each part takes a character at least
