"""Several items at once: BatchGetItem, BatchWriteItem, TransactWriteItems, TransactGetItems."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from engines.errors import Invalid
from engines.kv.backup.transfer import typed_item
from engines.kv.requests.fields import (
    CAPACITY_FIELD,
    EXPRESSION_FIELDS,
    ON_FAILURE_FIELD,
    Answer,
    Fields,
    Given,
    checked,
    consumed_by,
    definition_of,
    expressions,
    key_of,
    name_of,
    read_item,
    showing_items,
    with_capacity,
)
from engines.kv.transactions import Action, Check, Delete, Get, Put, Update

if TYPE_CHECKING:
    from engines.kv.access.guard import Session
    from engines.kv.page import Item
    from engines.kv.store import Store

BATCH_GET = f"RequestItems:map! {CAPACITY_FIELD}"
BATCH_WRITE = f"RequestItems:map! {CAPACITY_FIELD} ReturnItemCollectionMetrics:NONE|SIZE"
KEYS = "Keys:list! ProjectionExpression:text ExpressionAttributeNames:map ConsistentRead:flag"
TRANSACT_WRITE = f"TransactItems:list! ClientRequestToken:text {CAPACITY_FIELD} ReturnItemCollectionMetrics:NONE|SIZE"
TRANSACT_GET = f"TransactItems:list! {CAPACITY_FIELD}"
GET = "TableName:text! Key:map! ProjectionExpression:text ExpressionAttributeNames:map"
_CONDITIONAL = f"TableName:text! {EXPRESSION_FIELDS} {ON_FAILURE_FIELD} "
ACTIONS = {
    "Put": _CONDITIONAL + "Item:map! ConditionExpression:text",
    "Update": _CONDITIONAL + "Key:map! UpdateExpression:text! ConditionExpression:text",
    "Delete": _CONDITIONAL + "Key:map! ConditionExpression:text",
    "ConditionCheck": _CONDITIONAL + "Key:map! ConditionExpression:text!",
}


# -- batches ----------------------------------------------------------------------------------------------------------


def batch_get_item(store: "Store | Session", request: Given) -> Answer:
    """BatchGetItem: items by table; UnprocessedKeys is a request for those that no units were left for."""
    given = checked("BatchGetItem", request, BATCH_GET)
    consumed = consumed_by(given)
    asked: list[tuple[str, Fields, Given, Get]] = []  # the table as it was named, what is said of it, the key, ...
    for table, said in given["RequestItems"].items():
        what = f"RequestItems[{table!r}]"
        fields = checked(what, said, KEYS)
        name = name_of(str(table))
        parts = definition_of(store, name).key
        options = expressions(fields, projection="ProjectionExpression", consistent="ConsistentRead")
        for number, key in enumerate(fields["Keys"]):
            asked.append((table, fields, key, Get(name, key_of(parts, key, f"{what}.Keys[{number}]"), **options)))
    found = store.batch_get([get for *_, get in asked], consumed=consumed)
    answer: Answer = {"Responses": {table: [] for table in given["RequestItems"]}, "UnprocessedKeys": {}}
    undone = {id(get) for get in found.unprocessed}
    for (table, fields, key, get), item in zip(asked, found, strict=True):
        if id(get) in undone:
            answer["UnprocessedKeys"].setdefault(table, {**fields, "Keys": []})["Keys"].append(key)
        elif item is not None:
            answer["Responses"][table].append(typed_item(item))
    return with_capacity(answer, given, consumed)


def batch_write_item(store: "Store | Session", request: Given) -> Answer:
    """BatchWriteItem: puts and deletes, each for itself; UnprocessedItems is a request for the rest."""
    given = checked("BatchWriteItem", request, BATCH_WRITE)
    consumed = consumed_by(given)
    asked: list[tuple[str, Given, Put | Delete]] = []
    for table, writes in given["RequestItems"].items():
        for number, write in enumerate(_listed(writes, f"RequestItems[{table!r}]")):
            what = f"RequestItems[{table!r}][{number}]"
            asked.append((table, write, _batched(store, name_of(str(table)), write, what)))
    unprocessed = {id(action) for action in store.batch_write([action for *_, action in asked], consumed=consumed)}
    answer: Answer = {"UnprocessedItems": {}}
    for table, write, action in asked:
        if id(action) in unprocessed:
            answer["UnprocessedItems"].setdefault(table, []).append(write)
    return with_capacity(answer, given, consumed)


def _batched(store: "Store | Session", name: str, write: Given, what: str) -> Put | Delete:
    kind, fields = _only(write, {"PutRequest": "Item:map!", "DeleteRequest": "Key:map!"}, what)
    if kind == "PutRequest":
        return Put(name, read_item(fields["Item"], f"{what}.Item"))
    return Delete(name, key_of(definition_of(store, name).key, fields["Key"], f"{what}.Key"))


def _listed(given: Any, what: str) -> Any:  # noqa: ANN401 - that is what is checked
    if not isinstance(given, (list, tuple)):
        raise Invalid(f"{what} is a list, got {given!r:.80}")
    return given


def _only(given: Any, kinds: dict[str, str], what: str) -> tuple[str, Fields]:  # noqa: ANN401 - that is what is checked
    """The one field of a union, and what is in it."""
    found = checked(what, given, " ".join(f"{kind}:map" for kind in kinds))
    if len(found) != 1:
        raise Invalid(f"{what} holds exactly one of {', '.join(kinds)}, got {', '.join(found) or 'none'}")
    ((kind, fields),) = found.items()
    return kind, checked(f"{what}.{kind}", fields, kinds[kind])


# -- transactions -----------------------------------------------------------------------------------------------------


def transact_write_items(store: "Store | Session", request: Given) -> Answer:
    """TransactWriteItems: all of the actions or none, with a ClientRequestToken once."""
    given = checked("TransactWriteItems", request, TRANSACT_WRITE)
    consumed = consumed_by(given)
    asked = list(_asked(given, ACTIONS))
    actions = [_action(store, *each) for each in asked]
    with showing_items(*(fields.get("ReturnValuesOnConditionCheckFailure") for _, fields, _ in asked)):
        store.transact(_some(actions), token=given.get("ClientRequestToken"), consumed=consumed)
    return with_capacity({}, given, consumed)


def transact_get_items(store: "Store | Session", request: Given) -> Answer:
    """TransactGetItems: an answer for each Get, in order, as of one moment."""
    given = checked("TransactGetItems", request, TRANSACT_GET)
    consumed = consumed_by(given)
    gets: list[Get] = []
    for _, fields, what in _asked(given, {"Get": GET}):
        name = name_of(fields["TableName"])
        key = key_of(definition_of(store, name).key, fields["Key"], f"{what}.Key")
        gets.append(Get(name, key, **expressions(fields, projection="ProjectionExpression")))
    found: list[Item | None] = store.transact(_some(gets), consumed=consumed) or []
    answer = {"Responses": [{} if item is None else {"Item": typed_item(item)} for item in found]}
    return with_capacity(answer, given, consumed)


def _asked(given: Fields, kinds: dict[str, str]) -> Iterator[tuple[str, Fields, str]]:
    """Kind, fields and place of each action."""
    for number, action in enumerate(given["TransactItems"]):
        what = f"TransactItems[{number}]"
        kind, fields = _only(action, kinds, what)
        yield kind, fields, f"{what}.{kind}"


def _some(actions: list[Any]) -> list[Any]:
    if not actions:
        raise Invalid("TransactItems has at least one action, got none")
    return actions


def _action(store: "Store | Session", kind: str, fields: Fields, what: str) -> Action:
    name = name_of(fields["TableName"])
    given = expressions(fields, condition="ConditionExpression")
    if kind == "Put":
        return Put(name, read_item(fields["Item"], f"{what}.Item"), **given)
    key = key_of(definition_of(store, name).key, fields["Key"], f"{what}.Key")
    if kind == "Update":
        return Update(name, key, fields["UpdateExpression"], **given)
    return (Delete if kind == "Delete" else Check)(name, key, **given)
