"""The fields of a request: which there may be, of what type, and what they say in the engine's own terms.

    "TableName:text! Limit:count ReturnValues:NONE|ALL_OLD"      name : type, or the words to choose from; ! is required

    text list map flag     JSON's            count    a whole number
    time                   seconds since 1970, or a datetime

A field that an operation does not have is refused, with the nearest one it has: a misspelt ConditionExpression must not
write without its condition. Null is as good as left out. What only the older forms of the service have is refused with
the name of what does the same today.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from engines.errors import ConditionFailed, EngineError, Invalid, nearest
from engines.kv.backup.transfer import typed, typed_item
from engines.kv.page import Item, Key
from engines.kv.throttle import Consumed
from engines.kv.values import KeyPart, from_dynamodb_json, from_typed

if TYPE_CHECKING:
    from engines.kv.access.guard import Session
    from engines.kv.catalog import Definition, Index
    from engines.kv.store import Store

Given = Mapping[str, Any]  # a request, or a part of one, as it comes
Fields = dict[str, Any]  # the same, checked
Answer = dict[str, Any]

ARN = "arn:aws:dynamodb:local:000000000000:"

EXPRESSION_FIELDS = "ExpressionAttributeNames:map ExpressionAttributeValues:map"
CAPACITY_FIELD = "ReturnConsumedCapacity:NONE|TOTAL|INDEXES"
ON_FAILURE_FIELD = "ReturnValuesOnConditionCheckFailure:NONE|ALL_OLD"

_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "text": ((str,), "a text"),
    "list": ((list, tuple), "a list"),
    "map": ((Mapping,), "a map"),
    "flag": ((bool,), "true or false"),
    "count": ((int,), "a whole number"),
    "time": ((int, float, Decimal, datetime), "a moment, in seconds since 1970"),
}
_OLDER = {
    "Expected": "ConditionExpression",
    "AttributeUpdates": "UpdateExpression",
    "KeyConditions": "KeyConditionExpression",
    "QueryFilter": "FilterExpression",
    "ScanFilter": "FilterExpression",
    "AttributesToGet": "ProjectionExpression",
    "ConditionalOperator": "AND and OR in the expression",
}
_NOT_HERE = {
    "Tags", "SSESpecification", "SSESpecificationOverride", "TableClass", "DeletionProtectionEnabled", "ResourcePolicy",
    "WarmThroughput", "OnDemandThroughput", "OnDemandThroughputOverride", "ReplicaUpdates", "VectorIndexes",
    "GlobalTableSourceArn", "GlobalTableSettingsReplicationMode", "MultiRegionConsistency", "GlobalTableWitnessUpdates",
    "VectorIndexUpdates", "DisassociationProtectionEnabled", "VectorIndexOverride", "LocalSecondaryIndexOverride",
    "GlobalSecondaryIndexOverride",
}  # fmt: skip


# -- which fields there are -------------------------------------------------------------------------------------------


class Field(NamedTuple):
    """What one field may hold: a type, or one of some words."""

    types: tuple[type, ...]
    words: str
    choices: tuple[str, ...] = ()
    required: bool = False


@lru_cache(128)
def _spec(text: str) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for part in text.split():
        name, _, kind = part.rstrip("!").partition(":")
        required = part.endswith("!")
        if kind in _TYPES:
            fields[name] = Field(*_TYPES[kind], (), required)
        else:
            choices = tuple(kind.split("|"))
            fields[name] = Field((str,), f"one of {', '.join(choices)}", choices, required)
    return fields


def checked(what: str, given: Any, fields: str) -> Fields:  # noqa: ANN401 - that is what is checked
    """The fields of a request, or of a part of one, that are there. Invalid says what is wrong with which."""
    if not isinstance(given, Mapping):
        raise Invalid(f"{what} is a map of fields, got {given!r:.80}")
    spec = _spec(fields)
    for name, value in given.items():
        if name not in spec:
            raise _unknown(what, name, spec)
        field = spec[name]
        is_right = isinstance(value, field.types) and (not isinstance(value, bool) or bool in field.types)
        if value is not None and (not is_right or (field.choices and value not in field.choices)):
            raise Invalid(f"{name} of {what} is {field.words}, got {value!r:.80}")
    missing = [name for name, field in spec.items() if field.required and given.get(name) is None]
    if missing:
        raise Invalid(f"{what} needs {', '.join(f'{name}, {spec[name].words}' for name in missing)}")
    return {name: value for name, value in given.items() if value is not None}


def _unknown(what: str, name: object, spec: Mapping[str, Field]) -> Invalid:
    if name in _OLDER:
        return Invalid(f"{name} of {what} is an older form, which is not offered here: use {_OLDER[str(name)]}")
    if name in _NOT_HERE:
        return Invalid(f"{name} of {what} is nothing that this engine has: leave it out")
    return Invalid(f"{what} has no field {name!r:.80}{nearest(str(name), spec)} (it has {', '.join(spec)})")


# -- tables, indexes, keys --------------------------------------------------------------------------------------------


def name_of(text: str) -> str:
    """A table's name, which may be given as its ARN."""
    _, colon, resource = text.rpartition(":")
    return resource.removeprefix("table/") if colon and text.startswith("arn:") else text


def beneath(store: "Store | Session") -> "Store":
    """The store itself, where it is asked by a session: for what is no secret, or has been asked for."""
    found: Any = getattr(store, "target", store)
    return found  # type: ignore[no-any-return] # a session has a store beneath, and a store is one


def ask(store: "Store | Session", action: str, resource: str = "*") -> None:
    """Denied where the store is a session, and its policy does not allow this."""
    guard = getattr(store, "guard", None)
    if guard is not None:
        from engines.kv.access.asking import Asked  # noqa: PLC0415 - only where sessions are

        guard.check(Asked(action, resource))


def definition_of(store: "Store | Session", name: str) -> "Definition":
    """A table's definition. NotFound."""
    return beneath(store).table(name).definition


def index_of(definition: "Definition", name: str) -> "Index":
    """An index to read from. Invalid, as the service has it, where it is not there or not ready."""
    for index in definition.indexes:
        if index.name == name:
            if not index.ready:
                raise Invalid(f"the index {name} of table {definition.name} is still being filled: try again later")
            return index
    known = [index.name for index in definition.indexes]
    raise Invalid(f"the table {definition.name} does not have the specified index {name!r}{nearest(name, known)}")


def key_of(parts: Sequence[KeyPart], given: Any, what: str = "Key") -> Key:  # noqa: ANN401 - that is what is checked
    """The values of a key map, in the order of the key. Invalid if it names other attributes."""
    if not isinstance(given, Mapping) or set(given) != {part.name for part in parts}:
        wanted = " and ".join(f"{part.name} ({part.type})" for part in parts)
        raise Invalid(f"{what} does not match the schema: it is a map with the values of {wanted}, got {given!r:.200}")
    for part in parts:
        if isinstance(typed_value := given[part.name], Mapping) and set(typed_value) != {part.type}:
            raise Invalid(f"{what} does not match the schema: {part.name} is of type {part.type}")
    item = from_dynamodb_json(given)
    return tuple(item[part.name] for part in parts)


def page_key(definition: "Definition", index: "Index | None") -> tuple[KeyPart, ...]:
    """What the last key of a page is made of."""
    return definition.key if index is None else tuple(dict.fromkeys((*index.key, *definition.key)))


def key_map(names: Sequence[str], key: Sequence[Any]) -> Answer:
    """A key as the service shows it."""
    return typed_item(dict(zip(names, key, strict=True)))


def read_item(given: Given, what: str = "Item") -> Item:
    """An item. Invalid names the attribute that makes no sense."""
    try:
        return from_dynamodb_json(given)
    except Invalid as error:
        raise Invalid(f"{what}: {error}") from None


# -- expressions and units --------------------------------------------------------------------------------------------


def expressions(given: Fields, **names: str) -> dict[str, Any]:
    """Arguments of the engine, from the fields of these names, with the placeholders that they share."""
    found = {argument: given[name] for argument, name in names.items() if name in given}
    if "ExpressionAttributeNames" in given:
        found["names"] = given["ExpressionAttributeNames"]
    if "ExpressionAttributeValues" in given:
        found["values"] = read_item(given["ExpressionAttributeValues"], "ExpressionAttributeValues")
    return found


def consumed_by(given: Fields) -> Consumed | None:
    """What adds up the units, where somebody wants to know them."""
    return None if given.get("ReturnConsumedCapacity", "NONE") == "NONE" else Consumed()


def with_capacity(answer: Answer, given: Fields, consumed: Consumed | None, table: str | None = None) -> Answer:
    """The answer, with the units: of the one table, or a list for several."""
    if consumed is not None:
        shares = consumed.to_dynamodb_json(indexes=given["ReturnConsumedCapacity"] == "INDEXES")
        none = {"TableName": table, "CapacityUnits": 0.0}
        answer["ConsumedCapacity"] = shares if table is None else next(iter(shares), none)
    return answer


@contextmanager
def showing_items(*wanted: str | None) -> Iterator[None]:
    """A failed condition shows the item only to who has said ALL_OLD; one word for each action of a transaction."""
    try:
        yield
    except EngineError as error:
        reasons = error.details.get("reasons")
        if isinstance(reasons, list):
            for reason, word in zip(reasons, wanted, strict=False):
                if reason is not None and word != "ALL_OLD":
                    reason["item"] = None
        if isinstance(error, ConditionFailed) and wanted[:1] != ("ALL_OLD",):
            error.details["item"] = None
        raise


@contextmanager
def told_as(name: str, *kinds: type[EngineError]) -> Iterator[None]:
    """Errors of these kinds get the name that the service has for them here."""
    try:
        yield
    except kinds as error:
        error.aws = name
        raise


# -- opaque texts -----------------------------------------------------------------------------------------------------


def token(*parts: Any) -> str:  # noqa: ANN401 - plain values
    """A text that means nothing to who gets it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(parts)).decode()


def read_token(text: str, what: str, kind: Any) -> Any:  # noqa: ANN401 - a type to be read, and a value of it
    """What token() was given, as a value of this type. Invalid for what is no such text."""
    try:
        return msgspec.json.decode(base64.b64decode(text.encode(), altchars=b"-_", validate=True), type=kind)
    except (msgspec.MsgspecError, binascii.Error, UnicodeEncodeError):
        raise Invalid(f"{what} is not one that was given here: {text!r:.80}") from None


def typed_list(values: Sequence[Any]) -> list[Any]:
    """Values in the service's JSON."""
    return [typed(value) for value in values]


def read_list(values: Sequence[Any], what: str) -> list[Any]:
    """Values out of the service's JSON. Invalid names the one that makes no sense."""
    return [from_typed(value, f"{what}[{number}]") for number, value in enumerate(values)]


def seconds(microseconds: int) -> float:
    """A moment as the service writes it."""
    return microseconds / 1_000_000
