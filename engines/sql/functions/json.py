"""JSON in text: JSON_EXTRACT_PATH_TEXT and its family. Each call reads the text again; a document is kept as text.

A value that is found comes as its text: a string without its quotes, anything else as it is written. A path that leads
nowhere, and JSON's null, give NULL. Text that is no JSON is an error, or NULL where the last argument, null_if_invalid,
is true. Only the way down the path is decoded: what lies beside it stays bytes (msgspec.Raw).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from engines.sql.column import Column
from engines.sql.functions.given import Given, scalars
from engines.sql.functions.registry import Functions, TypeMismatch
from engines.sql.types import BOOLEAN, VARCHAR, Type

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
STRING = msgspec.json.Decoder(str)
ANY = msgspec.json.Decoder()


class _Invalid(ValueError):
    """The text is no JSON."""


def _read(text: "str | bytes", decoder: Any) -> Any:  # noqa: ANN401 - a decoder of any type
    """The decoded value; None where it is JSON of another kind. _Invalid if it is no JSON."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError as error:
        shown = text if isinstance(text, str) else text.decode(errors="replace")
        raise _Invalid(f"{shown[:80]!r} is no JSON: {error}") from None
    except RecursionError:
        raise _Invalid("the JSON is nested too deeply") from None


def _text_of(raw: bytes) -> str | None:
    if raw == b"null":
        return None
    return str(_read(raw, STRING)) if raw[:1] == b'"' else raw.decode()


def _checked(text: str) -> bytes:
    _read(text, ANY)  # what lies beside the path must be JSON too
    return text.encode().strip()


def _path_types(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    """text, text, ..., and perhaps a BOOLEAN."""
    if len(types) < 2:
        raise TypeMismatch("takes a JSON text and at least one name")
    last = BOOLEAN if len(types) > 2 and types[-1].kind == "boolean" else VARCHAR
    return (*[VARCHAR] * (len(types) - 1), last), VARCHAR


def _step(raw: bytes, name: str) -> bytes | None:
    members = _read(raw, OBJECT)
    if members is not None:
        return bytes(members[name]) if name in members else None
    items = _read(raw, ARRAY)
    if items is not None and name.isdecimal() and int(name) < len(items):
        return bytes(items[int(name)])
    return None


def _lenient(given: Given, compute: Any) -> Column:  # noqa: ANN401 - computes a row of any types
    """Compute for each row; the last argument, if it is a BOOLEAN, tells whether what is no JSON is NULL."""
    optional = given.columns[-1].type.kind == "boolean"

    def computed(*values: Any) -> Any:  # noqa: ANN401 - a row
        try:
            return compute(*values[: len(values) - optional])
        except _Invalid:
            if optional and values[-1]:
                return None
            raise

    return given.for_each(computed)


@scalar(
    "json_extract_path_text",
    _path_types,
    meaning="what stands at a path: (json, 'a', 'b' [, null_if_invalid])",
)
def json_extract_path_text(given: Given) -> Column:
    def found(text: str, *path: str) -> str | None:
        raw: bytes | None = _checked(text)
        for name in path:
            raw = _step(raw, name) if raw is not None else None
        return None if raw is None else _text_of(raw)

    return _lenient(given, found)


@scalar(
    "json_extract_array_element_text",
    "text, integer, boolean? -> varchar",
    meaning="the element of a JSON array, counted from 0; from the end if negative",
)
def json_extract_array_element_text(given: Given) -> Column:
    def found(text: str, place: int) -> str | None:
        items = _read(_checked(text), ARRAY)
        if items is None:
            raise _Invalid(f"{text[:80]!r} is no JSON array")
        return _text_of(bytes(items[place])) if -len(items) <= place < len(items) else None

    return _lenient(given, found)


@scalar("json_array_length", "text, boolean? -> integer", meaning="how many elements a JSON array has")
def json_array_length(given: Given) -> Column:
    def counted(text: str) -> int:
        items = _read(_checked(text), ARRAY)
        if items is None:
            raise _Invalid(f"{text[:80]!r} is no JSON array")
        return len(items)

    return _lenient(given, counted)


@scalar("is_valid_json", "text -> boolean", meaning="whether x is a JSON object or array")
def is_valid_json(given: Given) -> Column:
    return given.for_each(lambda text: _is_valid(text, b"{["))


@scalar("is_valid_json_array", "text -> boolean", meaning="whether x is a JSON array")
def is_valid_json_array(given: Given) -> Column:
    return given.for_each(lambda text: _is_valid(text, b"["))


def _is_valid(text: str, starts: bytes) -> bool:
    try:
        return _checked(text)[:1] in {starts[i : i + 1] for i in range(len(starts))}
    except _Invalid:
        return False


@scalar("json_typeof", "text -> varchar", meaning="object, array, string, number, boolean or null")
def json_typeof(given: Given) -> Column:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return given.for_each(lambda text: names.get(type(_read(text, ANY)), "null"))


# ---- SUPER, which is JSON in text --------------------------------------------------------------------------------


@scalar("json_parse", "text -> varchar", meaning="JSON text as SUPER: checked, and without blanks")
def json_parse(given: Given) -> Column:
    return given.for_each(lambda text: msgspec.json.format(_checked(text), indent=-1).decode())


@scalar("json_serialize", "text -> varchar", meaning="SUPER as JSON text")
def json_serialize(given: Given) -> Column:
    return given.for_each(lambda text: _checked(text).decode())


@scalar("can_json_parse", "text -> boolean", meaning="whether x is JSON of any kind")
def can_json_parse(given: Given) -> Column:
    def valid(text: str) -> bool:
        try:
            return bool(_checked(text))
        except _Invalid:
            return False

    return given.for_each(valid)


@scalar("json_size", "text -> integer", meaning="bytes of x as JSON text")
def json_size(given: Given) -> Column:
    return given.for_each(lambda text: len(_checked(text)))


@scalar("get_array_length", "text -> integer", meaning="how many elements a SUPER array has; NULL if it is none")
def get_array_length(given: Given) -> Column:
    def counted(text: str) -> int | None:
        items = _read(_checked(text), ARRAY)
        return None if items is None else len(items)

    return given.for_each(counted)


def _kind(name: str, starts: bytes, meaning: str) -> None:
    @scalar(name, "text -> boolean", meaning=meaning)
    def is_kind(given: Given) -> Column:
        return given.for_each(lambda text: _checked(text)[:1] in {starts[i : i + 1] for i in range(len(starts))})


_kind("is_array", b"[", "whether x is a SUPER array")
_kind("is_object", b"{", "whether x is a SUPER object")
_kind("is_scalar", b'"-0123456789tf', "whether x is a SUPER scalar")


@scalar(
    "split_to_array", "text, text? -> varchar", meaning="the parts of x between delimiters (a comma), as SUPER array"
)
def split_to_array(given: Given) -> Column:
    def parts(text: str, delimiter: str = ",") -> str:
        return msgspec.json.encode(text.split(delimiter) if delimiter else [text]).decode()

    return given.for_each(parts)
