"""What may be stored, how much of it, and how it looks in DynamoDB's JSON.

    Python                          type      in JSON
    str                             S         {"S": "ann"}
    int, Decimal                    N         {"N": "9.5"}            exact, so as text
    bytes                           B         {"B": "aGk="}           base64; bytes are taken, too
    bool, None                      BOOL NULL {"BOOL": true} {"NULL": true}
    dict, list or tuple             M L       {"M": {"a": ...}} {"L": [...]}
    set or frozenset of one of      SS NS BS  {"NS": ["1", "2.5"]}
    str, number, bytes

A float is none of them: 0.1 as a float is not a tenth, and a store that rounds is a store that loses. The limits below
are the service's. Numbers come back in one form: int where whole and below 10**38, else Decimal without trailing zeros.

Invariant: from_dynamodb_json(to_dynamodb_json(item)) is what the item comes back as from the store.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple, cast

from engines._native.keys import KeyCodec
from engines.errors import Invalid, nearest

ITEM_BYTES = 409_600  # names and values
NESTING = 32  # maps and lists inside each other
EXPRESSION_BYTES = 4096
OPERATORS = 300  # in one expression
IN_VALUES = 100
PAGE_BYTES = 1 << 20  # of items examined for one page of a query or scan
HOLD_ITEMS = 256  # read or written under one hold of the store's lock
TRANSACTION_ACTIONS = 100
BATCH_GETS = 100
TABLE_NAME_LENGTH = 255

Value = Any  # of an item: recursive and open to subclasses, so it is checked when it comes in, not by annotations
Type = Literal["S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"]
TYPES: tuple[Type, ...] = ("S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS")

_EXAMPLES: dict[str, Any] = {"S": "a", "N": 1, "B": b"a"}
_NUMBER = KeyCodec("N")
_ELEMENTS: dict[str, tuple[type, ...]] = {"SS": (str,), "NS": (str,), "BS": (str, bytes)}  # in JSON
_NUMBER_TEXT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]+")


# --- names and keys ---


class KeyPart(NamedTuple):
    """One component of a key: an attribute's name and its type."""

    name: str
    type: Literal["S", "N", "B"]


def key_spec(text: str) -> KeyPart:
    """Read "customer:S". Invalid unless it is a name, a colon, and one of S, N, B."""
    name, colon, kind = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not colon or not name or kind not in ("S", "N", "B"):
        raise Invalid(f"a key attribute is written name:TYPE with TYPE one of S, N, B, like 'customer:S', got {text!r}")
    if len(name.encode(errors="replace")) > 255:
        raise Invalid(f"the name of a key attribute has at most 255 bytes, got {len(name.encode(errors='replace'))}")
    return KeyPart(name, cast('Literal["S", "N", "B"]', kind))


def key_schema(key: str | Sequence[str]) -> tuple[KeyPart, ...]:
    """The one or two parts of a key, given as "id:S", ("id:S",) or ("customer:S", "order:N")."""
    if not isinstance(key, (str, tuple, list)):
        raise Invalid(f"a key is described by a text like 'id:S', or by a tuple of two of them, got {key!r:.80}")
    parts = tuple(key_spec(text) for text in ((key,) if isinstance(key, str) else key))
    if not 1 <= len(parts) <= 2:
        raise Invalid(f"a key has a partition key and at most one sort key, got {len(parts)} attributes")
    if len({part.name for part in parts}) < len(parts):
        raise Invalid(f"the partition key and the sort key are two attributes, got {parts[0].name!r} twice")
    return parts


def right_call(table: str, parts: Sequence[KeyPart], key: tuple[Any, ...]) -> str:
    """Where a key has not the table's shape: a sentence's tail that shows the calls, with the values if they fit."""
    if len(key) == len(parts) and not any(isinstance(value, (dict, tuple, list)) for value in key):
        return ""  # its shape is right
    given = key[0] if len(key) == 1 else key
    values = [given.get(part.name) for part in parts] if isinstance(given, dict) else given
    examples = [_EXAMPLES[part.type] for part in parts]
    if not isinstance(values, (tuple, list)) or list(map(type, values)) != list(map(type, examples)):
        values = examples
    call = ", ".join(f"{value!r:.40}" for value in values)
    return (
        f"; the key of table {table} is {' and '.join(f'{part.name}:{part.type}' for part in parts)}: "
        f"get({call}), delete({call}), update({f'({call})' if len(parts) > 1 else call}, ...)"
    )


def check_table_name(name: str) -> str:
    """The name itself. Invalid unless it has 1 to 255 letters, digits, '_', '-' and '.'."""
    if not isinstance(name, str) or not _TABLE_NAME.fullmatch(name) or len(name) > TABLE_NAME_LENGTH:
        raise Invalid(f"a table's or index's name has 1 to 255 letters, digits, '_', '-' and '.', got {name!r:.80}")
    return name


# --- types ---


def type_of(value: object) -> Type:  # noqa: PLR0911 - one for each type
    """The DynamoDB type of a value. Invalid for what can not be stored."""
    match value:
        case str():
            return "S"
        case bool():  # before int: True == 1
            return "BOOL"
        case int() | Decimal():
            return "N"
        case bytes() | bytearray():
            return "B"
        case None:
            return "NULL"
        case dict():
            return "M"
        case list() | tuple():
            return "L"
        case set() | frozenset():
            return _set_type(value)
        case float():
            raise Invalid(f"the float {value!r} is not exact: write Decimal({str(value)!r})")
    advice = "; write int(...)" if hasattr(value, "__index__") and not getattr(value, "ndim", 0) else ""
    raise Invalid(
        f"a {type(value).__name__} can not be stored: use str, int, Decimal, bytes, bool, None, dict, list, set{advice}"
    )


def _set_type(elements: set[Any] | frozenset[Any]) -> Type:
    if not elements:
        raise Invalid("a set can not be empty: leave the attribute out")
    kinds = {type_of(element) for element in elements}
    if kinds <= {"S"} or kinds <= {"N"} or kinds <= {"B"}:
        return cast("Type", kinds.pop() + "S")
    raise Invalid(f"a set holds only strings, only numbers or only bytes, got a set of {', '.join(sorted(kinds))}")


def number(text: str) -> int | Decimal:
    """The number a text says, in the form the store gives it back. Invalid if it says none, or one out of range."""
    if not isinstance(text, str) or not _NUMBER_TEXT.fullmatch(text):
        raise Invalid(f"{text!r:.80} is not a number: numbers are written as text like '12' or '-1.5E3'")
    try:
        (value,) = _NUMBER.decode(_NUMBER.encode((Decimal(text),)))
    except ValueError:
        raise Invalid(f"{text:.80} is out of range: 38 significant digits, magnitudes 1E-130 to 9.99E+125") from None
    return cast("int | Decimal", value)


# --- DynamoDB's JSON ---


def to_dynamodb_json(item: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """An item as the service writes it: name -> {type: value}, sets sorted. Invalid for what can not be stored."""
    return {name: to_typed(value, name) for name, value in item.items()}


def to_typed(value: Value, path: str = "value") -> dict[str, Any]:  # noqa: PLR0911 - one for each type
    """One value as {type: value}; path names it in errors."""
    try:
        kind = type_of(value)
    except Invalid as error:
        raise Invalid(f"attribute {path!r}: {error}") from None
    match kind:
        case "N":
            return {"N": _number_text(value, path)}
        case "B":
            return {"B": _base64(value)}
        case "NULL":
            return {"NULL": True}
        case "M":
            return {"M": {name: to_typed(part, f"{path}.{name}") for name, part in value.items()}}
        case "L":
            return {"L": [to_typed(part, f"{path}[{i}]") for i, part in enumerate(value)]}
        case "NS":
            return {"NS": [_number_text(part, path) for part in sorted(value)]}
        case "BS":
            return {"BS": [_base64(part) for part in sorted(value)]}
        case "SS":
            return {"SS": sorted(value)}
    return {kind: value}


def from_dynamodb_json(item: Mapping[str, Any]) -> dict[str, Any]:
    """The item that name -> {type: value} says. Invalid, with the attribute's path, where it makes no sense."""
    if not isinstance(item, Mapping):
        raise Invalid(f'an item is an object like {{"id": {{"S": "a"}}}}, got {type(item).__name__}')
    return {name: from_typed(typed, name) for name, typed in item.items()}


def from_typed(typed: Value, path: str = "value", depth: int = 0) -> Value:
    """The value that {type: value} says."""
    if not isinstance(typed, Mapping) or len(typed) != 1:
        raise Invalid(f"attribute {path!r}: a value is an object with its type as the only name, got {typed!r:.80}")
    ((kind, value),) = typed.items()
    if kind not in TYPES:
        raise Invalid(f"attribute {path!r}: there is no type {kind!r}, only {' '.join(TYPES)}{nearest(kind, TYPES)}")
    if kind in ("M", "L") and depth >= NESTING:
        raise Invalid(f"attribute {path!r} is nested deeper than {NESTING} levels: store it flatter, or as bytes")
    match kind, value:
        case ("S", str()) | ("BOOL", bool()) | ("B", bytes()):
            return value
        case "NULL", True:
            return None
        case "N" | "B", str():
            return _from_text(kind, value, path)
        case "M", Mapping():
            return {name: from_typed(part, f"{path}.{name}", depth + 1) for name, part in value.items()}
        case "L", list():
            return [from_typed(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(value)]
        case "SS" | "NS" | "BS", list() if all(isinstance(part, _ELEMENTS[kind]) for part in value):
            return _from_set(kind, value, path)
    raise Invalid(f"attribute {path!r}: {value!r:.80} is not what {kind!r} holds in DynamoDB's JSON")


def _from_set(kind: str, value: list[Any], path: str) -> set[Any]:
    elements = {_from_text(kind[0], part, path) for part in value}
    if not elements:
        raise Invalid(f"attribute {path!r}: a set can not be empty: leave the attribute out")
    if len(elements) < len(value):
        raise Invalid(f"attribute {path!r}: a set holds each element once, got one twice in {value!r:.80}")
    return elements


def _from_text(kind: str, text: str | bytes, path: str) -> Value:
    try:
        if isinstance(text, bytes):
            return text
        if kind == "N":
            return number(text)
        return text if kind == "S" else base64.b64decode(text, validate=True)
    except Invalid as error:
        raise Invalid(f"attribute {path!r}: {error}") from None
    except ValueError:
        raise Invalid(f"attribute {path!r}: {text!r:.80} is not base64") from None


def _number_text(value: int | Decimal, path: str) -> str:
    try:
        (normalised,) = _NUMBER.decode(_NUMBER.encode((value,)))
    except ValueError as error:
        raise Invalid(f"attribute {path!r}: {str(error).removeprefix('the partition key ')}") from None
    return str(normalised)


def _base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()
