"""Ion, the data format of QLDB's journals: its values, the hash of a value, and what it is in JSON.

    type      T = high half of the first byte       value here                            JSON from to_json()
    null      0, and length 15 of any other         None                                  null
    bool      1                                     bool                                  true, false
    int       2 positive, 3 negative                int                                   a number, a text beyond 2^53
    float     4                                     float                                 a number
    decimal   5                                     Decimal                               a number where that is exact
    timestamp 6                                     Timestamp: text keeps its precision   its text, "2022-06-08T18:46Z"
    symbol    7                                     str; type "unknown" for $0            a text
    string    8                                     str                                   a text
    clob      9, blob 10                            bytes                                 base64
    list      11, sexp 12                           list of Value                         an array
    struct    13                                    list of (name, Value)                 an object
    annotation 14                                   Value.annotations                     refused: JSON has no place

Ion hash, with SHA-256: hash(v) = H(s(v)), where B = 0b, E = 0e, and escape puts 0c before each 0b, 0c, 0e:

    scalar      B | type | escape(what the binary form has after its length) | E
    list, sexp  B | type | s(first) | s(second) ... | E
    struct      B | type | escape(the sorted hashes H(s(name) | s(value))) | E
    annotated   B | e0   | s(annotation) ... | s(value) | E

So a value has one hash, whether it was text or binary, in whatever order its fields were.

Why not the packages amazon.ion and ionhash: ionhash 1.2.1 cannot be imported beside amazon.ion 0.15, whose C extension
does not end for some files with one byte changed. Files from elsewhere need a reader that always ends.

Simpler than Ion allows: no shared symbol tables (no journal has them), nesting up to 140.

Invariants: binary.read_binary() and text.read_text() of the same data give equal values; whatever the bytes are, they
end with values or with BadIon, after one pass over them.
"""

import base64
import struct
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from math import isfinite
from typing import Any, Final, NamedTuple

from engines.errors import Invalid

DEEPEST: Final = 140  # a document of the ledger is at most 128 deep
TYPES: Final = (
    "null", "bool", "int", "int", "float", "decimal", "timestamp", "symbol", "string", "clob", "blob", "list", "sexp",
    "struct",
)  # fmt: skip
CODES: Final = {name: code for code, name in reversed(tuple(enumerate(TYPES)))} | {"unknown": 7}
SYSTEM_SYMBOLS: Final = (
    None, "$ion", "$ion_1_0", "$ion_symbol_table", "name", "version", "imports", "symbols", "max_id",
    "$ion_shared_symbol_table",
)  # fmt: skip
EXACT: Final = 1 << 53  # whole numbers below are exact in JSON
LONGEST_INT: Final = 1 << 13  # bits: Python refuses to write longer ones
LONGEST_EXPONENT: Final = 1 << 40


class BadIon(ValueError):
    """Bytes that are no Ion, and where."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


class Timestamp(NamedTuple):
    """A moment as precise as it was given.

    fields: year, or year and month, or with day, or with hour and minute, or with second; in UTC.
    fraction: exponent and coefficient of a part of a second, or None. offset: minutes east of UTC, or None: unknown.
    """

    fields: tuple[int, ...]
    fraction: tuple[int, int] | None
    offset: int | None

    def __str__(self) -> str:
        """The moment as Ion, and ISO 8601, write it."""
        fields = local(self.fields, self.offset or 0) if len(self.fields) > 3 else self.fields
        text = "-".join(f"{part:0{width}d}" for part, width in zip(fields[:3], (4, 2, 2), strict=False))
        if len(fields) <= 3:
            return text if len(fields) == 3 else text + "T"
        text += "T" + ":".join(f"{part:02d}" for part in fields[3:])
        if self.fraction is not None:
            exponent, coefficient = self.fraction
            text += f".{coefficient:0{-exponent}d}"
        if self.offset is None:
            return text + "-00:00"
        if not self.offset:
            return text + "Z"
        return f"{text}{'+' if self.offset > 0 else '-'}{abs(self.offset) // 60:02d}:{abs(self.offset) % 60:02d}"


class Value(NamedTuple):
    """One Ion value: the name of its type, the value as drawn above, the texts of its annotations."""

    type: str
    value: Any
    annotations: tuple[str | None, ...] = ()


def timestamp(fields: tuple[int, ...], fraction: tuple[int, int] | None, offset: int | None) -> Timestamp:
    """A moment, checked; fields in UTC. ValueError where there is none of that kind."""
    whole = fields + (1, 1, 0, 0, 0)[len(fields) - 1 :]
    datetime(*whole)  # type: ignore[arg-type] # noqa: DTZ001 - only whether there is such a day and minute
    if offset is not None and not -1440 < offset < 1440:
        raise ValueError("an offset is less than a day")
    if fraction is not None:
        exponent, coefficient = fraction
        if exponent > 0 or exponent < -50 or not 0 <= coefficient < 10**-exponent:
            raise ValueError("a fraction of a second is less than one")
        if exponent == 0:
            fraction = None
    if len(fields) > 3 and offset:
        local(fields, offset)
    return Timestamp(fields, fraction, offset)


def local(fields: tuple[int, ...], offset: int) -> tuple[int, ...]:
    """The fields of a moment this many minutes further east."""
    try:
        moved = datetime(*fields) + timedelta(minutes=offset)  # type: ignore[arg-type] # noqa: DTZ001 - fields of one zone, no tzinfo among them
    except OverflowError as error:
        raise ValueError(f"a year is {MINYEAR} to {MAXYEAR}") from error
    return (moved.year, moved.month, moved.day, moved.hour, moved.minute, moved.second)[: len(fields)]


def decimal(magnitude: int, exponent: int, *, negative: bool) -> Decimal:
    """A decimal by its parts, with the zeros it was given with. ValueError where it is too long."""
    if not -LONGEST_EXPONENT < exponent < LONGEST_EXPONENT:
        raise ValueError("an exponent is within 2^40")
    return Decimal((negative, tuple(map(int, str(magnitude))), exponent))


# -- the hash ---------------------------------------------------------------------------------------------------------


def ion_hash(value: Value) -> bytes:
    """The Ion hash of a value, with SHA-256."""
    return sha256(_serialized(value)).digest()


def _serialized(value: Value) -> bytes:
    code = CODES[value.type]
    if value.type == "unknown":
        inner = _symbol(None)
    elif value.value is None:
        inner = _framed(code << 4 | 15, b"")
    elif value.type == "struct":
        hashes = sorted(sha256(_symbol(name) + _serialized(member)).digest() for name, member in value.value)
        inner = _framed(0xD0, _escaped(b"".join(hashes)))
    elif value.type in ("list", "sexp"):
        inner = _framed(code << 4, b"".join(map(_serialized, value.value)))
    else:
        inner = _scalar(code, value.value)
    if value.annotations:
        return _framed(0xE0, b"".join(map(_symbol, value.annotations)) + inner)
    return inner


def _scalar(code: int, value: Any) -> bytes:  # noqa: ANN401, PLR0911 - one of the values drawn above, a case each
    match TYPES[code]:
        case "bool":
            return _framed(0x11 if value else 0x10, b"")
        case "int":
            size = (abs(value).bit_length() + 7) // 8
            return _framed(0x30 if value < 0 else 0x20, _escaped(abs(value).to_bytes(size, "big")))
        case "float":
            packed = b"\x7f\xf8" + bytes(6) if value != value else struct.pack(">d", value)  # noqa: PLR0124 - NaN
            return _framed(0x40, b"" if packed == bytes(8) else _escaped(packed))
        case "decimal":
            return _framed(0x50, _escaped(_decimal(value)))
        case "timestamp":
            return _framed(0x60, _escaped(_moment(value)))
        case "symbol":
            return _symbol(value)
        case "string":
            return _framed(0x80, _escaped(value.encode()))
        case _:
            return _framed(code << 4, _escaped(value))


def _framed(kind: int, inner: bytes) -> bytes:
    return b"\x0b%c%b\x0e" % (kind, inner)


def _escaped(data: bytes) -> bytes:
    return data.replace(b"\x0c", b"\x0c\x0c").replace(b"\x0b", b"\x0c\x0b").replace(b"\x0e", b"\x0c\x0e")


def _symbol(text: str | None) -> bytes:
    return _framed(0x71, b"") if text is None else _framed(0x70, _escaped(text.encode()))


def _decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    coefficient = int("".join(map(str, digits)))
    if not coefficient and not sign and not exponent:
        return b""
    return _varint(int(exponent)) + _signed(coefficient, negative=bool(sign))


def _moment(value: Timestamp) -> bytes:
    offset = b"\xc0" if value.offset is None else _varint(value.offset)
    data = offset + b"".join(map(_varuint, value.fields))
    if value.fraction is not None:
        exponent, coefficient = value.fraction
        data += _varint(exponent) + _signed(coefficient, negative=False)
    return data


def _signed(magnitude: int, *, negative: bool) -> bytes:
    """Ion's Int: the sign is the first bit; nothing for zero."""
    if not magnitude and not negative:
        return b""
    data = bytearray(magnitude.to_bytes(magnitude.bit_length() // 8 + 1, "big"))
    data[0] |= 0x80 if negative else 0
    return bytes(data)


def _varuint(value: int) -> bytes:
    data = [value & 0x7F | 0x80]
    while value := value >> 7:
        data.append(value & 0x7F)
    return bytes(reversed(data))


def _varint(value: int) -> bytes:
    magnitude = abs(value)
    data = []
    while magnitude > 0x3F:
        data.append(magnitude & 0x7F)
        magnitude >>= 7
    data.append(magnitude | (0x40 if value < 0 else 0))
    data[0] |= 0x80
    return bytes(reversed(data))


# -- JSON -------------------------------------------------------------------------------------------------------------


def to_json(value: Value, path: str = "$") -> Any:  # noqa: ANN401, C901, PLR0911 - whatever JSON has, a case each
    """The value in JSON's terms, as drawn above. Invalid names the path to what has no exact place there."""
    if value.annotations:
        raise _inexact(path, f"is annotated ({value.annotations[0]}::)")
    found = value.value
    if value.type == "unknown":
        raise _inexact(path, "is a symbol without a text")
    if found is None:
        return None
    match value.type:
        case "int":
            if found.bit_length() > LONGEST_INT:
                raise _inexact(path, "has thousands of digits")
            return found if -EXACT < found < EXACT else str(found)
        case "float":
            if not isfinite(found):
                raise _inexact(path, f"is {found}")
            return found
        case "decimal":
            return _number(found)
        case "timestamp":
            return str(found)
        case "clob" | "blob":
            return base64.b64encode(found).decode()
        case "list" | "sexp":
            return [to_json(member, f"{path}[{i}]") for i, member in enumerate(found)]
        case "struct":
            return _object(found, path)
    return found


def _object(members: list[tuple[str | None, Value]], path: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, member in members:
        if name is None or name in made:
            raise _inexact(path, "has a field without a name" if name is None else f"has {name!r:.60} twice")
        made[name] = to_json(member, f"{path}.{name}")
    return made


def _number(value: Decimal) -> int | float | str:
    """A number that JSON writes with the same value, else the decimal's text."""
    if value.adjusted() < 16 and value == value.to_integral_value() and abs(value) < EXACT:
        return int(value)
    number = float(value)
    return number if isfinite(number) and Decimal(repr(number)) == value else str(value)


def _inexact(path: str, what: str) -> Invalid:
    return Invalid(f"{path} {what}, which JSON cannot say: leave this document out, or change it", path=path)
