"""Ion's binary form, read into the values of ion.py.

    value       type and length in one byte (or length 14: VarUInt follows; 15: null), then as many bytes
    struct      field name as the number of a symbol (VarUInt), value; and so on
    annotation  14 | length | VarUInt of bytes | numbers of symbols ... | value
    symbols     numbers 1 to 9 are Ion's; $ion_symbol_table::{symbols: ["id", ...]} names those from 10 on
    VarUInt     7 bits a byte, highest first, the last byte with its first bit set; VarInt: its second bit is the sign

A length is checked against what holds the value before anything is read by it.
"""

import struct
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from engines.ledger.qldb.ion import DEEPEST, SYSTEM_SYMBOLS, TYPES, BadIon, Timestamp, Value, decimal, timestamp

VERSION: Final = b"\xe0\x01\x00\xea"


def read_binary(data: bytes) -> Iterator[Value]:
    """The values of a binary stream, one after the other. BadIon where there is none."""
    reader, at = _Binary(data), 0
    while at < len(data):
        if data[at : at + 4] == VERSION:
            reader.symbols = list(SYSTEM_SYMBOLS)
            at += 4
            continue
        value, at = reader.value(at, len(data), 0)
        if value is None:
            continue
        if value.annotations[:1] == ("$ion_symbol_table",) and value.type == "struct":
            reader.define(value, at)
        else:
            yield value


class _Binary:
    """Where the bytes are, and what the symbols are called."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.symbols: list[str | None] = list(SYSTEM_SYMBOLS)

    def define(self, table: Value, at: int) -> None:
        """A symbol table of the stream's own."""
        fields = dict(table.value or [])
        imports, names = fields.get("imports"), fields.get("symbols")
        if imports is None or (imports.type == "list" and not imports.value):
            self.symbols = list(SYSTEM_SYMBOLS)
        elif imports.type != "symbol" or imports.value != "$ion_symbol_table":
            raise BadIon("shared symbol tables are not read", at)
        if names is not None and names.type == "list":
            self.symbols += [name.value if name.type == "string" else None for name in names.value or []]

    def value(self, at: int, end: int, depth: int) -> tuple[Value | None, int]:  # noqa: C901 - all a first byte says
        """The value that begins here and what follows it; None is padding."""
        start, code, low = at, self.data[at] >> 4, self.data[at] & 15
        at += 1
        if code == 15 or depth > DEEPEST:
            raise BadIon("no Ion value begins here" if code == 15 else f"nested deeper than {DEEPEST}", start)
        if code == 14:
            return self._annotated(at, end, low, depth)
        if low == 15:
            return Value(TYPES[code], None), at
        if code == 1:
            if low > 1:
                raise BadIon("a bool is 0 or 1", start)
            return Value("bool", bool(low)), at
        if code == 13 and low == 1:
            low = 14  # fields in order: an ordinary length follows
        length, at = self._varuint(at, end) if low == 14 else (low, at)
        if at + length > end:
            raise BadIon("a value reaches beyond what holds it", start)
        if code == 0:
            return None, at + length
        try:
            found = self._read(code, at, at + length, depth)
            return Value(TYPES[code] if code != 7 or found is not None else "unknown", found), at + length
        except BadIon:
            raise
        except (ValueError, InvalidOperation, OverflowError) as error:
            raise BadIon(f"no {TYPES[code]}: {error}", start) from error

    def _annotated(self, at: int, end: int, low: int, depth: int) -> tuple[Value | None, int]:
        length, at = self._varuint(at, end) if low == 14 else (low, at)
        last = at + length
        size, at = self._varuint(at, min(last, end))
        middle, names = at + size, []
        if low == 15 or last > end or middle >= last:
            raise BadIon("an annotation has no value", at)
        while at < middle:
            number, at = self._varuint(at, middle)
            names.append(self._name(number, at))
        value, at = self.value(middle, last, depth + 1)
        if value is None or at != last or value.annotations or not names:
            raise BadIon("an annotation is not of one value", at)
        return Value(value.type, value.value, tuple(names)), at

    def _read(self, code: int, at: int, end: int, depth: int) -> Any:  # noqa: ANN401, C901, PLR0911 - a case each
        if code == 13:
            return self._members(at, end, depth)
        if code in (11, 12):
            return self._elements(at, end, depth)
        data = self.data[at:end]
        match TYPES[code]:
            case "int":
                magnitude = int.from_bytes(data, "big")
                if code == 3 and not magnitude:
                    raise ValueError("there is no negative zero")
                return -magnitude if code == 3 else magnitude
            case "float":
                if not data:
                    return 0.0
                return struct.unpack(">d" if len(data) == 8 else ">f", data)[0] if len(data) in (4, 8) else _no_float()
            case "decimal":
                return self._decimal(at, end)
            case "timestamp":
                return self._timestamp(at, end)
            case "symbol":
                return self._name(int.from_bytes(data, "big"), at)
            case "string":
                return data.decode()
        return data  # of a clob or a blob

    def _elements(self, at: int, end: int, depth: int) -> list[Value]:
        found = []
        while at < end:
            value, at = self.value(at, end, depth + 1)
            if value is not None:
                found.append(value)
        return found

    def _members(self, at: int, end: int, depth: int) -> list[tuple[str | None, Value]]:
        found = []
        while at < end:
            number, at = self._varuint(at, end)
            if at >= end:
                raise BadIon("a field has no value", at)
            value, at = self.value(at, end, depth + 1)
            if value is not None:
                found.append((self._name(number, at), value))
        return found

    def _decimal(self, at: int, end: int) -> Decimal:
        if at == end:
            return Decimal(0)
        exponent, _, at = self._varint(at, end)
        magnitude, negative = _int(self.data[at:end])
        return decimal(magnitude, exponent, negative=negative)

    def _timestamp(self, at: int, end: int) -> Timestamp:
        offset, unknown, at = self._varint(at, end)
        fields: list[int] = []
        while at < end and len(fields) < 6:
            number, at = self._varuint(at, end)
            fields.append(number)
        if len(fields) in (0, 4):
            raise ValueError("a moment has a year, and minutes with its hours")
        fraction = None
        if at < end:
            exponent, _, at = self._varint(at, end)
            magnitude, negative = _int(self.data[at:end])
            if negative and magnitude:
                raise ValueError("a fraction of a second is not negative")
            fraction = (0, 0) if exponent > 0 and not magnitude else (exponent, magnitude)
        return timestamp(tuple(fields), fraction, None if unknown else offset)

    def _name(self, number: int, at: int) -> str | None:
        if number >= len(self.symbols):
            raise BadIon(f"symbol {number} has no name: there are {len(self.symbols)}", at)
        return self.symbols[number]

    def _varuint(self, at: int, end: int) -> tuple[int, int]:
        number = 0
        for i in range(at, min(at + 9, end)):
            number = number << 7 | self.data[i] & 0x7F
            if self.data[i] & 0x80:
                return number, i + 1
        raise BadIon("a number does not end", at)

    def _varint(self, at: int, end: int) -> tuple[int, bool, int]:
        """The number, whether it is -0, and what follows."""
        if at >= end:
            raise BadIon("a number does not end", at)
        first = self.data[at]
        number = first & 0x3F
        if not first & 0x80:
            for i in range(at + 1, min(at + 9, end)):
                number = number << 7 | self.data[i] & 0x7F
                if self.data[i] & 0x80:
                    at = i
                    break
            else:
                raise BadIon("a number does not end", at)
        negative = bool(first & 0x40)
        return -number if negative else number, negative and not number, at + 1


def _no_float() -> float:
    raise ValueError("a float has 0, 4 or 8 bytes")


def _int(data: bytes) -> tuple[int, bool]:
    if not data:
        return 0, False
    return int.from_bytes(bytes([data[0] & 0x7F]) + data[1:], "big"), bool(data[0] & 0x80)
