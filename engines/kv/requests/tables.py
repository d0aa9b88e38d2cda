"""Tables: CreateTable, DescribeTable, ListTables, UpdateTable, DeleteTable, UpdateTimeToLive, DescribeTimeToLive.

An index draws from its table's units, so ProvisionedThroughput of a global index is checked, as the service checks it,
and then is the table's.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engines.errors import Invalid
from engines.kv.requests.descriptions import table_description
from engines.kv.requests.fields import Answer, Fields, Given, ask, beneath, checked, definition_of, name_of

if TYPE_CHECKING:
    from engines.kv.access.guard import Session
    from engines.kv.catalog import Definition
    from engines.kv.store import Store

_BILLING = "BillingMode:PROVISIONED|PAY_PER_REQUEST ProvisionedThroughput:map StreamSpecification:map"
CREATE = (
    "TableName:text! AttributeDefinitions:list! KeySchema:list! LocalSecondaryIndexes:list "
    f"GlobalSecondaryIndexes:list {_BILLING}"
)
UPDATE = f"TableName:text! AttributeDefinitions:list GlobalSecondaryIndexUpdates:list {_BILLING}"
INDEX = "IndexName:text! KeySchema:list! Projection:map!"
THROUGHPUT = "ReadCapacityUnits:count! WriteCapacityUnits:count!"
STREAM = "StreamEnabled:flag! StreamViewType:NEW_IMAGE|OLD_IMAGE|NEW_AND_OLD_IMAGES|KEYS_ONLY"

_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")


# -- making and changing ----------------------------------------------------------------------------------------------


def create_table(store: "Store | Session", request: Given) -> Answer:
    """CreateTable: the table is ACTIVE when this returns."""
    given = checked("CreateTable", request, CREATE)
    name, types = check_name("TableName", name_of(given["TableName"])), _Types(given["AttributeDefinitions"])
    key = types.key(given["KeySchema"], "KeySchema")
    provisioned = given.get("BillingMode", "PROVISIONED") == "PROVISIONED"
    capacity = capacity_of(given, provisioned=provisioned, what="CreateTable")
    indexes = [types.index(index, f"LocalSecondaryIndexes[{n}]", local=True, provisioned=False)
               for n, index in enumerate(given.get("LocalSecondaryIndexes", ()))]  # fmt: skip
    indexes += [types.index(index, f"GlobalSecondaryIndexes[{n}]", local=False, provisioned=provisioned)
                for n, index in enumerate(given.get("GlobalSecondaryIndexes", ()))]  # fmt: skip
    types.check_all_used()
    stream = _stream(given) or False
    store.create_table(name, key, stream=stream, indexes=indexes, capacity=capacity)
    return {"TableDescription": _described(store, name)}


def update_table(store: "Store | Session", request: Given) -> Answer:
    """All of a request is understood before the first change: units, then the stream, then the index."""
    given = checked("UpdateTable", request, UPDATE)
    name = name_of(given["TableName"])
    definition = definition_of(store, name)
    updates = given.get("GlobalSecondaryIndexUpdates", ())
    pays = "BillingMode" in given or "ProvisionedThroughput" in given
    if not (pays or updates or "StreamSpecification" in given):
        raise Invalid(
            "UpdateTable needs at least one of BillingMode, ProvisionedThroughput, GlobalSecondaryIndexUpdates and "
            "StreamSpecification"
        )
    before = "PAY_PER_REQUEST" if definition.read is None else "PROVISIONED"
    provisioned = given.get("BillingMode", before) == "PROVISIONED"
    capacity = capacity_of(given, provisioned=provisioned, what="UpdateTable") if pays else None
    change = _index_change(given, definition, updates, provisioned=provisioned)
    stream = _stream(given, definition)
    table = store.table(name)
    if pays:
        read, write = capacity or (None, None)
        table.capacity(read, write, partition_limits=definition.partition_limits)
    if stream is not None:
        store.set_stream(name, stream)
    if isinstance(change, str):
        table.drop_index(change)
    elif change is not None:
        table.create_index(change["name"], change["key"], projection=change["projection"])
    return {"TableDescription": _described(store, name)}


def delete_table(store: "Store | Session", request: Given) -> Answer:
    """DeleteTable: the table is gone when this returns, though it is described as DELETING."""
    name = name_of(checked("DeleteTable", request, "TableName:text!")["TableName"])
    store.table(name)  # NotFound before anything else
    described = _described(store, name, "DELETING")
    store.drop_table(name)
    return {"TableDescription": described}


def check_name(what: str, name: str) -> str:
    """The name of a new table or index. Invalid: the service wants three characters, the engine one."""
    if not _NAME.fullmatch(name):
        raise Invalid(f"{what} has 3 to 255 letters, digits, '_', '-' and '.', got {name!r:.80}")
    return name


class _Types:
    """AttributeDefinitions: the types of key attributes, each of which some key has to use."""

    def __init__(self, definitions: Sequence[Any]) -> None:
        self.known: dict[str, str] = {}
        self.used: set[str] = set()
        for number, definition in enumerate(definitions):
            what = f"AttributeDefinitions[{number}]"
            fields = checked(what, definition, "AttributeName:text! AttributeType:S|N|B!")
            if self.known.get(fields["AttributeName"]) is not None:
                raise Invalid(f"AttributeDefinitions has {fields['AttributeName']!r} twice: leave one of them out")
            self.known[fields["AttributeName"]] = fields["AttributeType"]

    def key(self, schema: Sequence[Any], what: str) -> list[str]:
        """A key schema as the engine writes it: name:TYPE."""
        parts = [
            checked(f"{what}[{number}]", part, "AttributeName:text! KeyType:HASH|RANGE!")
            for number, part in enumerate(schema)
        ]
        if [part["KeyType"] for part in parts] not in (["HASH"], ["HASH", "RANGE"]):
            raise Invalid(f"{what} is a HASH attribute, and perhaps a RANGE attribute after it, got {schema!r:.200}")
        names = [part["AttributeName"] for part in parts]
        for name in names:
            if name not in self.known:
                raise Invalid(f"{what} names {name!r}, whose type is missing in AttributeDefinitions")
        self.used.update(names)
        return [f"{name}:{self.known[name]}" for name in names]

    def index(self, given: Any, what: str, *, local: bool, provisioned: bool) -> dict[str, Any]:  # noqa: ANN401 - checked
        """An index as create_table's indexes= describes it."""
        fields = checked(what, given, INDEX if local else f"{INDEX} ProvisionedThroughput:map")
        if not local:
            capacity_of(fields, provisioned=provisioned, what=what)
        return {
            "name": check_name(f"IndexName of {what}", fields["IndexName"]),
            "key": self.key(fields["KeySchema"], f"{what}.KeySchema"),
            "projection": _projection(fields["Projection"], f"{what}.Projection"),
            "local": local,
        }

    def check_all_used(self) -> None:
        unused = [name for name in self.known if name not in self.used]
        if unused:
            raise Invalid(
                f"AttributeDefinitions are for the attributes of keys only, and no key has {', '.join(unused)}: leave "
                "them out, items may hold what they like"
            )


def _projection(given: Given, what: str) -> str | tuple[str, ...]:
    fields = checked(what, given, "ProjectionType:ALL|KEYS_ONLY|INCLUDE! NonKeyAttributes:list")
    kind: str = fields["ProjectionType"]
    if (kind == "INCLUDE") != ("NonKeyAttributes" in fields):
        raise Invalid(f"NonKeyAttributes of {what} go with ProjectionType INCLUDE, and with no other, got {kind}")
    return tuple(fields["NonKeyAttributes"]) if kind == "INCLUDE" else kind


def capacity_of(given: Fields, *, provisioned: bool, what: str) -> tuple[int, int] | None:
    """Read and write units a second, None on demand. Invalid where BillingMode and ProvisionedThroughput disagree."""
    if "ProvisionedThroughput" not in given:
        if provisioned:
            raise Invalid(f"{what} needs ProvisionedThroughput, or else BillingMode PAY_PER_REQUEST for the table")
        return None
    if not provisioned:
        raise Invalid(f"{what} has ProvisionedThroughput, which BillingMode PAY_PER_REQUEST does without: leave it out")
    fields = checked(f"{what}.ProvisionedThroughput", given["ProvisionedThroughput"], THROUGHPUT)
    read, write = fields["ReadCapacityUnits"], fields["WriteCapacityUnits"]
    if read < 1 or write < 1:
        raise Invalid(f"ProvisionedThroughput of {what} is at least 1 unit a second each, got {read} and {write}")
    return read, write


def _stream(given: Fields, definition: "Definition | None" = None) -> str | bool | None:
    """The view of the stream to switch on, False to switch it off, None where nothing is said."""
    if "StreamSpecification" not in given:
        return None
    fields = checked("StreamSpecification", given["StreamSpecification"], STREAM)
    if not fields["StreamEnabled"]:
        if "StreamViewType" in fields:
            raise Invalid("StreamViewType goes with StreamEnabled true: leave it out to switch the stream off")
        if definition is not None and definition.stream is None:
            raise Invalid(f"table {definition.name} has no stream that could be switched off")
        return False
    if "StreamViewType" not in fields:
        raise Invalid("StreamSpecification needs StreamViewType, what a record shows, or StreamEnabled false")
    if definition is not None and definition.stream is not None:
        raise Invalid(f"table {definition.name} has a stream of {definition.stream} already: switch it off first")
    view: str = fields["StreamViewType"]
    return view


def _index_change(
    given: Fields, definition: "Definition", updates: Sequence[Any], *, provisioned: bool
) -> dict[str, Any] | str | None:
    """The index to create, or the name of the one to delete."""
    if not updates:
        return None
    fields = checked("GlobalSecondaryIndexUpdates[0]", updates[0], "Create:map Update:map Delete:map")
    if len(updates) != 1 or len(fields) != 1:
        raise Invalid(
            f"an UpdateTable creates or deletes one index, got {len(updates)} updates with {len(fields)} in the first: "
            "send them one after the other"
        )
    if "Update" in fields:
        raise Invalid("an index draws from its table's units here: update ProvisionedThroughput of the table")
    if "Delete" in fields:
        what = "GlobalSecondaryIndexUpdates[0].Delete"
        name: str = checked(what, fields["Delete"], "IndexName:text!")["IndexName"]
        if any(index.name == name and index.local for index in definition.indexes):
            raise Invalid(f"the index {name} is a local one, which stays as long as its table")
        return name
    types = _Types(given.get("AttributeDefinitions", ()))
    for part in definition.key:
        if types.known.setdefault(part.name, part.type) != part.type:
            raise Invalid(f"AttributeDefinitions says that {part.name} is {types.known[part.name]}, it is {part.type}")
    return types.index(fields["Create"], "GlobalSecondaryIndexUpdates[0].Create", local=False, provisioned=provisioned)


# -- telling ----------------------------------------------------------------------------------------------------------


def _described(store: "Store | Session", name: str, status: str = "ACTIVE") -> Answer:
    under = beneath(store)
    return table_description(under, under.table(name), status)


def describe_table(store: "Store | Session", request: Given) -> Answer:
    """DescribeTable: see descriptions.py."""
    name = name_of(checked("DescribeTable", request, "TableName:text!")["TableName"])
    ask(store, "DescribeTable", f"table/{definition_of(store, name).name}")
    return {"Table": _described(store, name)}


def list_tables(store: "Store | Session", request: Given) -> Answer:
    """ListTables: names in order, up to 100 at once."""
    given = checked("ListTables", request, "ExclusiveStartTableName:text Limit:count")
    limit = check_limit(given, "ListTables", 100)
    names = [name for name in store.tables() if name > given.get("ExclusiveStartTableName", "")]
    answer: Answer = {"TableNames": names[:limit]}
    if len(names) > limit:
        answer["LastEvaluatedTableName"] = names[limit - 1]
    return answer


def check_limit(given: Fields, what: str, most: int) -> int:
    """How many are listed at once: as many as may be, if it is not said."""
    limit: int = given.get("Limit", most)
    if not 1 <= limit <= most:
        raise Invalid(f"Limit of {what} is 1 to {most}, got {limit}")
    return limit


# -- time to live -----------------------------------------------------------------------------------------------------


def update_time_to_live(store: "Store | Session", request: Given) -> Answer:
    """UpdateTimeToLive: all items have their expiry, or none has any more, when this returns."""
    given = checked("UpdateTimeToLive", request, "TableName:text! TimeToLiveSpecification:map!")
    what = "TimeToLiveSpecification"
    fields = checked(what, given[what], "Enabled:flag! AttributeName:text!")
    name, attribute = name_of(given["TableName"]), fields["AttributeName"]
    definition = definition_of(store, name)
    if fields["Enabled"] and definition.ttl == attribute and definition.ttl_ready:
        raise Invalid(f"TimeToLive is already enabled for table {name}, with the attribute {attribute!r}")
    if not fields["Enabled"] and definition.ttl is None and definition.ttl_ready:
        raise Invalid(f"TimeToLive is already disabled for table {name}")
    if not fields["Enabled"] and definition.ttl not in (attribute, None):
        raise Invalid(f"TimeToLive of table {name} is in {definition.ttl!r}, not in {attribute!r}")
    store.set_ttl(name, attribute if fields["Enabled"] else None)
    return {what: fields}


def describe_time_to_live(store: "Store | Session", request: Given) -> Answer:
    """DescribeTimeToLive: whether there is one, and in which attribute."""
    name = name_of(checked("DescribeTimeToLive", request, "TableName:text!")["TableName"])
    definition = definition_of(store, name)
    ask(store, "DescribeTimeToLive", f"table/{definition.name}")
    if definition.ttl is None:
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED" if definition.ttl_ready else "DISABLING"}}
    status = "ENABLED" if definition.ttl_ready else "ENABLING"
    return {"TimeToLiveDescription": {"TimeToLiveStatus": status, "AttributeName": definition.ttl}}
