"""PartiQL's functions of one row. All but a few answer MISSING to MISSING, and NULL to NULL."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from engines.errors import Invalid
from engines.ledger.partiql import values
from engines.ledger.partiql.nodes import MISSING
from engines.ledger.results import iso


class Context(NamedTuple):
    """What a statement may ask of its surroundings: the time, microseconds since 1970, and the transaction's id."""

    now: int = 0
    transaction: str = ""


Function = Callable[[Sequence[Any]], Any]


def function(name: str, word: str) -> Callable[[Sequence[Any], Context], Any]:
    """What to call with the arguments' values."""
    if name == "TXID":
        return lambda _, context: context.transaction
    if name == "UTCNOW":
        return lambda _, context: iso(context.now)
    special = _SPECIAL.get(name)
    if special is not None:
        return lambda given, _: special(given)
    plain = _PLAIN[name]

    def called(given: Sequence[Any], _: Context) -> Any:  # noqa: ANN401 - any value
        if any(value is MISSING for value in given):
            return MISSING
        return None if any(value is None for value in given) else plain(word, *given)

    return called


def _coalesce(given: Sequence[Any]) -> Any:  # noqa: ANN401 - any value
    return next((value for value in given if value is not None and value is not MISSING), None)


def _nullif(given: Sequence[Any]) -> Any:  # noqa: ANN401 - any value
    return None if values.equal(given[0], given[1]) is True else given[0]


def _exists(given: Sequence[Any]) -> Any:  # noqa: ANN401 - any value
    return len(given[0]) > 0 if isinstance(given[0], list | dict) else False


def _text(work: Callable[[str], Any]) -> Callable[..., Any]:
    return lambda _, value: work(value) if isinstance(value, str) else MISSING


def _size(_: str, value: Any) -> Any:  # noqa: ANN401 - any value
    return len(value) if isinstance(value, list | dict) else MISSING


def _substring(_: str, text: Any, start: Any, length: Any = None) -> Any:  # noqa: ANN401 - any value
    if not isinstance(text, str) or type(start) is not int or (length is not None and type(length) is not int):
        return MISSING
    if length is not None and length < 0:
        return MISSING
    end = len(text) + 1 if length is None else start + length
    return text[max(start, 1) - 1 : max(end, 1) - 1]


def _trim(side: str, *given: Any) -> Any:  # noqa: ANN401 - any value
    characters, text = given if len(given) == 2 else (" ", given[0])
    if not isinstance(text, str) or not isinstance(characters, str):
        return MISSING
    if side != "TRAILING":
        text = text.lstrip(characters)
    return text if side == "LEADING" else text.rstrip(characters)


def _to_timestamp(_: str, text: Any, pattern: Any = None) -> Any:  # noqa: ANN401 - any value
    if pattern is None:
        time = values.moment(text)
        return MISSING if time is None else values.shown(time)
    if not isinstance(text, str) or not isinstance(pattern, str):
        return MISSING
    try:
        found = datetime.strptime(text, _strptime(pattern))  # noqa: DTZ007 - UTC where none is said
        return values.shown(found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC))
    except (ValueError, OverflowError):
        return MISSING


def _to_string(_: str, value: Any, pattern: Any) -> Any:  # noqa: ANN401 - any value
    time = values.moment(value)
    if time is None or not isinstance(pattern, str):
        return MISSING
    made = []
    for kind, part in _parts(pattern):
        if kind == "literal":
            made.append(part)
        elif part[0] == "S":
            made.append(f"{time.microsecond:06d}".ljust(9, "0")[: len(part)])
        elif part == "yyyy":
            made.append(f"{time.year:04d}")  # strftime leaves the zeros out
        else:
            shown = time.strftime(_SYMBOLS[part])
            made.append(shown.lstrip("0") or "0" if len(part) == 1 and part in "MdHhms" else shown)
    return "".join(made)


_SYMBOLS: Final = {
    "y": "%Y", "yyyy": "%Y", "yy": "%y", "M": "%m", "MM": "%m", "MMM": "%b", "MMMM": "%B", "d": "%d", "dd": "%d",
    "H": "%H", "HH": "%H", "h": "%I", "hh": "%I", "m": "%M", "mm": "%M", "s": "%S", "ss": "%S", "a": "%p", "X": "Z",
    "XX": "%z", "XXXX": "%z", "XXX": "+00:00", "XXXXX": "+00:00", "x": "%z", "xx": "%z", "xxxx": "%z",
    "xxx": "+00:00", "xxxxx": "+00:00",
}  # fmt: skip
_PART: Final = re.compile(r"'((?:[^']|'')*)'|(y+|M+|d+|H+|h+|m+|s+|S+|a+|X+|x+)|([^A-Za-z'])")


def _parts(pattern: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(pattern):
        match = _PART.match(pattern, at)
        symbol = match[2] if match is not None else None
        if match is None or (symbol is not None and symbol[0] != "S" and symbol not in _SYMBOLS):
            raise Invalid(
                f"{pattern[at:]!r:.40} begins with no part of a time's pattern: yyyy MM dd HH mm ss SSS a X and "
                "'letters' in quotes are"
            )
        found.append(("symbol", symbol) if symbol is not None else ("literal", match[3] or match[1].replace("''", "'")))
        at = match.end()
    return found


def _strptime(pattern: str) -> str:
    made: list[str] = []
    for kind, part in _parts(pattern):
        if kind == "literal":
            made.append(part.replace("%", "%%"))
            continue
        symbol = {"S": "%f", "X": "%z", "x": "%z"}.get(part[0]) or _SYMBOLS[part]
        if symbol in made:
            raise Invalid(f"a pattern reads each part of a time once, and {part} of {pattern!r:.40} a second time")
        made.append(symbol)
    return "".join(made)


_SPECIAL: Final[dict[str, Function]] = {"COALESCE": _coalesce, "NULLIF": _nullif, "EXISTS": _exists}
_PLAIN: Final[dict[str, Callable[..., Any]]] = {
    "SIZE": _size,
    "CHAR_LENGTH": _text(len),
    "LOWER": _text(str.lower),
    "UPPER": _text(str.upper),
    "SUBSTRING": _substring,
    "TRIM": _trim,
    "CAST": lambda name, value: values.cast(value, name),
    "TO_STRING": _to_string,
    "TO_TIMESTAMP": _to_timestamp,
    "DATE_ADD": values.date_add,
    "DATE_DIFF": values.date_diff,
    "EXTRACT": values.extract,
}
