"""What the cache writes of a value: MessagePack, in a strict form that gives back the very same types.

    None, bool, float, str, bytes    MessagePack's own
    int                              MessagePack's own up to 64 bits, else extension 1: two's complement, big-endian
    list                             array
    dict                             map if all keys are str, else extension 6: array of key, value, key, value ...
    Decimal                          extension 2: its text
    set, frozenset, tuple            extensions 3, 4, 5: array

Anything else is refused, also subclasses: what comes back would be something else. A cache without a path holds any
object. Never pickle: a file must not be able to run code.
"""

from decimal import Decimal
from types import NoneType
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from engines.errors import Corrupted, Invalid

DEPTH = 64  # how deeply lists, dicts, ... may lie in one another

_BIG, _DECIMAL, _SET, _FROZENSET, _TUPLE, _DICT = range(1, 7)
_SAME = {str, bytes, float, bool, NoneType}
_ROWS: dict[type, int] = {set: _SET, frozenset: _FROZENSET, tuple: _TUPLE}
_MAKERS: dict[int, Any] = {_SET: set, _FROZENSET: frozenset, _TUPLE: tuple}

_encode = msgspec.msgpack.Encoder().encode


def encode(values: list[Any]) -> bytes:
    """The bytes of a list of values. Invalid, code not-persistent, if one has no form of its own."""
    try:
        return _encode([value if type(value) in _SAME else _packed(value, DEPTH) for value in values])
    except UnicodeEncodeError as error:
        raise _refusal(f"a str with an unpaired surrogate ({error.object[error.start : error.end]!r})") from None


def join(lists: list[bytes]) -> bytes:
    """The bytes of a list of lists, from the bytes of each: so that each is encoded when it is there."""
    return b"\xdd" + len(lists).to_bytes(4, "big") + b"".join(lists)


def decode(data: bytes | memoryview, file: str, offset: int) -> list[Any]:
    """The list of values that was encoded. Corrupted, with file and offset, for any other bytes."""
    try:
        found = _decode(data)
    except (msgspec.MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise Corrupted(
            f"{file}: the values at offset {offset} cannot be read ({error}): restore a snapshot",
            file=file,
            offset=offset,
        ) from error
    if type(found) is not list:
        raise Corrupted(f"{file}: there is no list of values at offset {offset}", file=file, offset=offset)
    return found


def _packed(value: object, depth: int) -> object:  # noqa: PLR0911 - a line a type is the clearest table there is
    """The value in terms of what MessagePack has."""
    kind = type(value)
    if kind in _SAME:
        return value
    if isinstance(value, int) and kind is int:
        if -(1 << 63) <= value < 1 << 64:
            return value
        return Ext(_BIG, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    if kind is Decimal:
        return Ext(_DECIMAL, str(value).encode())
    if not depth:
        raise _refusal(f"a value nested more than {DEPTH} deep")
    if isinstance(value, list) and kind is list:
        return [_packed(each, depth - 1) for each in value]
    if isinstance(value, dict) and kind is dict:
        if all(type(key) is str for key in value):
            return {key: _packed(each, depth - 1) for key, each in value.items()}
        return Ext(_DICT, _encode([_packed(each, depth - 1) for pair in value.items() for each in pair]))
    if isinstance(value, set | frozenset | tuple) and kind in _ROWS:
        return Ext(_ROWS[kind], _encode([_packed(each, depth - 1) for each in value]))
    raise _refusal(f"{kind.__module__}.{kind.__qualname__}")


def _refusal(what: str) -> Invalid:
    return Invalid(
        f"{what} cannot be persisted: use str, bytes, numbers, bool, None, and lists, tuples, sets, dicts of those, "
        "or a Cache without a path",
        code="not-persistent",
    )


def _unpacked(code: int, data: memoryview) -> object:
    if code == _BIG:
        return int.from_bytes(data, "big", signed=True)
    if code == _DECIMAL:
        return Decimal(str(data, "ascii"))
    found = _decode(data)
    if type(found) is not list or code not in (_SET, _FROZENSET, _TUPLE, _DICT):
        raise ValueError(f"extension {code} is none of the cache's")
    if code == _DICT:
        return dict(zip(found[::2], found[1::2], strict=True))
    return _MAKERS[code](found)


_decode = msgspec.msgpack.Decoder(ext_hook=_unpacked).decode
