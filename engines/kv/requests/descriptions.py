"""How the service describes a table: TableDescription, and the ARNs of tables, streams and backups.

A table is ACTIVE at once. Its size is that of the pages its items fill; the service's own figure is six hours old.
"""

import math
import uuid
from typing import TYPE_CHECKING, Any

from engines.kv.catalog import Definition, Index
from engines.kv.requests.fields import ARN, Answer, seconds

if TYPE_CHECKING:
    from engines.kv.store import Store
    from engines.kv.table import Table
    from engines.storage.tree import Keyspace


def table_arn(name: str) -> str:
    """The ARN of a table: region local, account 000000000000."""
    return f"{ARN}table/{name}"


def stream_arn(definition: Definition) -> str:
    """The ARN of the stream of a table that has one."""
    return f"{table_arn(definition.name)}/stream/{definition.stream_label}"


def table_id(definition: Definition) -> str:
    """The same for a table as long as it is there, and for no other."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{definition.id} of {definition.created}"))


def key_schema(key: Any) -> list[Answer]:  # noqa: ANN401 - parts of a key
    """A key as KeySchema."""
    return [{"AttributeName": part.name, "KeyType": kind} for part, kind in zip(key, ("HASH", "RANGE"), strict=False)]


def throughput(definition: Definition) -> Answer:
    """Whole units a second; zeros where it is on demand."""
    rates = definition.read or 0, definition.write or 0
    return {"ReadCapacityUnits": math.ceil(rates[0]), "WriteCapacityUnits": math.ceil(rates[1])}


def billing(definition: Definition) -> str:
    """BillingMode."""
    return "PAY_PER_REQUEST" if definition.read is None else "PROVISIONED"


def projection(index: Index) -> Answer:
    """What an index holds, as Projection."""
    if isinstance(index.projection, str):
        return {"ProjectionType": index.projection}
    return {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.projection)}


def table_description(store: "Store", table: "Table", status: str = "ACTIVE") -> Answer:
    """What DescribeTable says."""
    definition = table.definition
    with store.tree.lock:
        items = _size(store, table.records.items)
        entries = {index.name: _size(store, table.records.index(index.name).entries) for index in definition.indexes}
    types = {part.name: part.type for part in definition.key}
    for index in definition.indexes:
        types |= {part.name: part.type for part in index.key}
    described: Answer = {
        "TableName": definition.name,
        "TableStatus": status,
        "TableArn": table_arn(definition.name),
        "TableId": table_id(definition),
        "CreationDateTime": seconds(definition.created),
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()],
        "KeySchema": key_schema(definition.key),
        "BillingModeSummary": {"BillingMode": billing(definition)},
        "ProvisionedThroughput": {"NumberOfDecreasesToday": 0, **throughput(definition)},
        "ItemCount": items[0],
        "TableSizeBytes": items[1],
        "DeletionProtectionEnabled": False,
    }
    for index in definition.indexes:
        title = "LocalSecondaryIndexes" if index.local else "GlobalSecondaryIndexes"
        described.setdefault(title, []).append(_index_description(definition, index, entries[index.name]))
    if definition.stream is not None:
        described["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": definition.stream}
        described["LatestStreamLabel"] = definition.stream_label
        described["LatestStreamArn"] = stream_arn(definition)
    return described


def _index_description(definition: Definition, index: Index, size: tuple[int, int]) -> Answer:
    described: Answer = {
        "IndexName": index.name,
        "IndexArn": f"{table_arn(definition.name)}/index/{index.name}",
        "KeySchema": key_schema(index.key),
        "Projection": projection(index),
        "ItemCount": size[0],
        "IndexSizeBytes": size[1],
    }
    if not index.local:
        described["IndexStatus"] = "ACTIVE" if index.ready else "CREATING"
        if not index.ready:
            described["Backfilling"] = True
        described["ProvisionedThroughput"] = {"NumberOfDecreasesToday": 0, **throughput(definition)}
    return described


def _size(store: "Store", keyspace: "Keyspace") -> tuple[int, int]:
    """Under the lock: entries, and bytes of the pages that they fill."""
    shape = store.tree.transaction.stat(keyspace.db)
    pages = int(shape["branch_pages"] + shape["leaf_pages"] + shape["overflow_pages"])
    return int(shape["entries"]), pages * int(shape["psize"])
