"""One item, and pages of them: PutItem, GetItem, UpdateItem, DeleteItem, Query, Scan."""

from typing import TYPE_CHECKING, Any

from engines.errors import Invalid
from engines.kv.backup.transfer import typed_item
from engines.kv.page import Page
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
    index_of,
    key_map,
    key_of,
    name_of,
    page_key,
    read_item,
    showing_items,
    with_capacity,
)

if TYPE_CHECKING:
    from engines.kv.access.guard import Session
    from engines.kv.catalog import Index
    from engines.kv.store import Store
    from engines.kv.throttle import Consumed

_WRITE = (
    f"TableName:text! ConditionExpression:text {EXPRESSION_FIELDS} {CAPACITY_FIELD} {ON_FAILURE_FIELD} "
    "ReturnItemCollectionMetrics:NONE|SIZE "
)
_PAGE = (
    f"TableName:text! IndexName:text FilterExpression:text ProjectionExpression:text {EXPRESSION_FIELDS} "
    f"{CAPACITY_FIELD} Limit:count ConsistentRead:flag ExclusiveStartKey:map "
    "Select:ALL_ATTRIBUTES|ALL_PROJECTED_ATTRIBUTES|SPECIFIC_ATTRIBUTES|COUNT "
)
PUT = _WRITE + "Item:map! ReturnValues:NONE|ALL_OLD"
DELETE = _WRITE + "Key:map! ReturnValues:NONE|ALL_OLD"
UPDATE = _WRITE + "Key:map! UpdateExpression:text! ReturnValues:NONE|ALL_OLD|UPDATED_OLD|ALL_NEW|UPDATED_NEW"
GET = (
    f"TableName:text! Key:map! ProjectionExpression:text ExpressionAttributeNames:map {CAPACITY_FIELD} "
    "ConsistentRead:flag"
)
QUERY = _PAGE + "KeyConditionExpression:text! ScanIndexForward:flag"
SCAN = _PAGE + "Segment:count TotalSegments:count"


# -- one item ---------------------------------------------------------------------------------------------------------


def put_item(store: "Store | Session", request: Given) -> Answer:
    """PutItem: an item in place of the one with its key; Attributes is that one, on request."""
    given = checked("PutItem", request, PUT)
    table, consumed = store.table(name_of(given["TableName"])), consumed_by(given)
    item = read_item(given["Item"])
    with showing_items(given.get(_ON_FAILURE)):
        old = table.put(item, returns=_returns(given), consumed=consumed, **_condition(given))
    return _changed(given, old, consumed)


def delete_item(store: "Store | Session", request: Given) -> Answer:
    """DeleteItem: the item is gone if there was one; Attributes is that one, on request."""
    given = checked("DeleteItem", request, DELETE)
    name, consumed = name_of(given["TableName"]), consumed_by(given)
    key = key_of(definition_of(store, name).key, given["Key"])
    with showing_items(given.get(_ON_FAILURE)):
        old = store.table(name).delete(*key, returns=_returns(given), consumed=consumed, **_condition(given))
    return _changed(given, old, consumed)


def update_item(store: "Store | Session", request: Given) -> Answer:
    """UpdateItem: Attributes is what ReturnValues asks for of the item before or after."""
    given = checked("UpdateItem", request, UPDATE)
    name, consumed = name_of(given["TableName"]), consumed_by(given)
    key, change = key_of(definition_of(store, name).key, given["Key"]), given["UpdateExpression"]
    with showing_items(given.get(_ON_FAILURE)):
        shown = store.table(name).update(key, change, returns=_returns(given), consumed=consumed, **_condition(given))
    return _changed(given, shown, consumed)


def get_item(store: "Store | Session", request: Given) -> Answer:
    """GetItem: Item, or nothing at all where there is none."""
    given = checked("GetItem", request, GET)
    name, consumed = name_of(given["TableName"]), consumed_by(given)
    key = key_of(definition_of(store, name).key, given["Key"])
    item = store.table(name).get(
        *key,
        consistent=given.get("ConsistentRead", False),
        consumed=consumed,
        **expressions(given, projection="ProjectionExpression"),
    )
    return with_capacity({} if item is None else {"Item": typed_item(item)}, given, consumed, name)


_ON_FAILURE = "ReturnValuesOnConditionCheckFailure"


def _condition(given: Fields) -> dict[str, Any]:
    return expressions(given, condition="ConditionExpression")


def _returns(given: Fields) -> Any:  # noqa: ANN401 - one of the words that its operation has
    return given.get("ReturnValues", "NONE")


def _changed(given: Fields, shown: dict[str, Any] | None, consumed: "Consumed | None") -> Answer:
    answer = {} if shown is None else {"Attributes": typed_item(shown)}
    return with_capacity(answer, given, consumed, name_of(given["TableName"]))


# -- pages ------------------------------------------------------------------------------------------------------------


def query(store: "Store | Session", request: Given) -> Answer:
    """Query: a page of one partition, and LastEvaluatedKey where there is more."""
    given = checked("Query", request, QUERY)
    reading = _Reading(store, given)
    page = store.table(reading.definition.name).query(
        given["KeyConditionExpression"], reverse=not given.get("ScanIndexForward", True), **reading.options
    )
    return reading.answer(page)


def scan(store: "Store | Session", request: Given) -> Answer:
    """Scan: a page of everything, or of one segment of it."""
    given = checked("Scan", request, SCAN)
    reading = _Reading(store, given)
    if ("Segment" in given) != ("TotalSegments" in given):
        raise Invalid("Segment and TotalSegments of Scan come together: which part is read, and of how many")
    segment, segments = given.get("Segment", 0), given.get("TotalSegments", 1)
    page = store.table(reading.definition.name).scan(segment=segment, segments=segments, **reading.options)
    return reading.answer(page)


class _Reading:
    """What Query and Scan have in common: the arguments of the engine, and the answer."""

    def __init__(self, store: "Store | Session", given: Fields) -> None:
        self.store, self.given = store, given
        self.definition = definition_of(store, name_of(given["TableName"]))
        self.index = index_of(self.definition, given["IndexName"]) if "IndexName" in given else None
        self.consumed = consumed_by(given)
        self.select = _selected(given, self.index)
        self.options = expressions(
            given,
            index="IndexName",
            filter="FilterExpression",
            projection="ProjectionExpression",
            consistent="ConsistentRead",
            limit="Limit",
        )
        if "ExclusiveStartKey" in given:
            parts = page_key(self.definition, self.index)
            self.options["start"] = key_of(parts, given["ExclusiveStartKey"], "ExclusiveStartKey")
        self.options |= {"count": self.select == "COUNT", "consumed": self.consumed}

    def answer(self, page: Page) -> Answer:
        answer: Answer = {"Count": page.count, "ScannedCount": page.scanned}
        if self.select != "COUNT":
            items = page.items
            if self.select == "ALL_ATTRIBUTES" and self.index is not None and self.index.projection != "ALL":
                items = self._whole(items)
                answer["Count"] = len(items)
            answer["Items"] = [typed_item(item) for item in items]
        if page.last_key is not None:
            answer["LastEvaluatedKey"] = key_map(page.key_names, page.last_key)
        return with_capacity(answer, self.given, self.consumed, self.definition.name)

    def _whole(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The items of which a local index holds only a part; each is a read of the table, as in the service."""
        table, consistent = self.store.table(self.definition.name), self.given.get("ConsistentRead", False)
        keys = [tuple(item[name] for name in self.definition.key_names) for item in items]
        found = [table.get(*key, consistent=consistent, consumed=self.consumed) for key in keys]
        return [item for item in found if item is not None]


def _selected(given: Fields, index: "Index | None") -> str:
    """What Select comes to. Invalid where it contradicts the rest."""
    has_projection = "ProjectionExpression" in given
    default = "SPECIFIC_ATTRIBUTES" if has_projection else "ALL_ATTRIBUTES" if index is None else _PROJECTED
    select: str = given.get("Select", default)
    if has_projection != (select == "SPECIFIC_ATTRIBUTES"):
        raise Invalid(
            f"ProjectionExpression goes with Select=SPECIFIC_ATTRIBUTES and with no other, got Select={select} "
            f"{'with' if has_projection else 'without'} one"
        )
    if select == _PROJECTED and index is None:
        raise Invalid(f"Select={_PROJECTED} is for an index: name it as IndexName, or use ALL_ATTRIBUTES")
    if select == "ALL_ATTRIBUTES" and index is not None and index.projection != "ALL" and not index.local:
        raise Invalid(f"the index {index.name} does not hold all attributes: use Select={_PROJECTED}")
    return select


_PROJECTED = "ALL_PROJECTED_ATTRIBUTES"
