"""Requests: every operation of the engine, called with DynamoDB's own fields, answered with its own.

    kv.request(store, "PutItem", {"TableName": "orders", "Item": {"customer": {"S": "ann"}, "order": {"N": "17"}}})
    kv.request(store, "Query", {"TableName": "orders", "KeyConditionExpression": "customer = :c",
        "ExpressionAttributeValues": {":c": {"S": "ann"}}, "Limit": 10})["Items"]

    request ──> which fields, of what type ──> arguments of the engine ──> its answer in typed JSON
                fields.py: Invalid                    items.py together.py statements.py
                                                      tables.py streams.py backups.py
            any error ──> error_body(error)           faults.py: status, {"__type": ..., "message": ...}

This is the part of a server behind sockets, headers and signatures: what comes in is the body of a request after JSON,
and what goes out is JSON's types (numbers and bytes in text, moments in seconds). Bytes may also come in as bytes.
store may be a session (store.session()), for one principal under a policy: then each request asks for what the service
would ask for.

Where we differ from DynamoDB
* The older forms are refused: Expected, AttributeUpdates, KeyConditions, QueryFilter, ScanFilter, AttributesToGet. So
  is UpdateItem without an UpdateExpression.
* Tables, indexes, backups and restored tables are ACTIVE when their operation returns. A dropped table is gone then.
* A field of something that is not here (Tags, SSESpecification, DeletionProtectionEnabled, ...) is refused, not
  ignored. ReturnItemCollectionMetrics is ignored.
* Messages are the engine's own, which say more, but for those that programs read (faults.py).
* Read- and WriteCapacityUnits are told for every operation, the service tells them only for transactions.
* A stream has one shard, and is gone when it is switched off. BatchExecuteStatement reads consistently if any of its
  statements wants to.

Invariants: a field that an operation does not have is never ignored. Whatever is wrong with a request is an
EngineError, and then nothing was changed.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from engines.errors import Invalid, nearest
from engines.kv.requests import backups, items, statements, streams, tables, together
from engines.kv.requests.faults import error_body
from engines.kv.requests.fields import beneath

if TYPE_CHECKING:
    from engines.kv.access.guard import Session
    from engines.kv.store import Store

OPERATIONS: dict[str, Callable[["Store | Session", Mapping[str, Any]], dict[str, Any]]] = {
    "PutItem": items.put_item,
    "GetItem": items.get_item,
    "UpdateItem": items.update_item,
    "DeleteItem": items.delete_item,
    "Query": items.query,
    "Scan": items.scan,
    "BatchGetItem": together.batch_get_item,
    "BatchWriteItem": together.batch_write_item,
    "TransactWriteItems": together.transact_write_items,
    "TransactGetItems": together.transact_get_items,
    "ExecuteStatement": statements.execute_statement,
    "BatchExecuteStatement": statements.batch_execute_statement,
    "ExecuteTransaction": statements.execute_transaction,
    "CreateTable": tables.create_table,
    "DescribeTable": tables.describe_table,
    "ListTables": tables.list_tables,
    "UpdateTable": tables.update_table,
    "DeleteTable": tables.delete_table,
    "UpdateTimeToLive": tables.update_time_to_live,
    "DescribeTimeToLive": tables.describe_time_to_live,
    "ListStreams": streams.list_streams,
    "DescribeStream": streams.describe_stream,
    "GetShardIterator": streams.get_shard_iterator,
    "GetRecords": streams.get_records,
    "CreateBackup": backups.create_backup,
    "DescribeBackup": backups.describe_backup,
    "ListBackups": backups.list_backups,
    "DeleteBackup": backups.delete_backup,
    "RestoreTableFromBackup": backups.restore_table_from_backup,
    "UpdateContinuousBackups": backups.update_continuous_backups,
    "DescribeContinuousBackups": backups.describe_continuous_backups,
    "RestoreTableToPointInTime": backups.restore_table_to_point_in_time,
}

__all__ = ["OPERATIONS", "error_body", "request"]


def request(store: "Store | Session", operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the service's operation of this name answers, with its own fields and types.

    operation: "PutItem", "Query", ... fields: the request as its low-level API has it. Any EngineError, for
    error_body() to put into the service's words; Invalid with .aws UnknownOperationException for another operation.
    """
    do = OPERATIONS.get(operation)
    if do is None:
        error = Invalid(f"there is no operation {operation!r:.80} here{nearest(str(operation), OPERATIONS)}")
        error.aws = "UnknownOperationException"
        raise error
    beneath(store).check_open()
    return do(store, fields)
