"""Change streams as the service shows them: ListStreams, DescribeStream, GetShardIterator, GetRecords.

    stream ARN        table ARN /stream/ the moment from which on it shows something
    shard             one, which never ends
    sequence number   21 digits: the log's sequence, 16 | the place among the changes of that frame, 5
    iterator          table, log sequence, place, when it was made: for 15 minutes, opaque

What happened together has one sequence in the log, but each record has a number of its own, in the same order.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from engines._native.kvitem import ItemCodec, item_size
from engines.changes import Change
from engines.clock import MICROSECONDS
from engines.errors import Invalid, NotFound
from engines.kv.backup.restore import Moment, microseconds
from engines.kv.backup.transfer import typed_item
from engines.kv.requests.descriptions import key_schema, stream_arn, table_arn
from engines.kv.requests.fields import Answer, Given, ask, beneath, checked, name_of, read_token, seconds, token
from engines.kv.requests.tables import check_limit

if TYPE_CHECKING:
    from engines.kv.access.guard import Session
    from engines.kv.catalog import Definition
    from engines.kv.store import Store
    from engines.kv.table import Table

SHARD = "shardId-00000000000000000000-00000000"
PLACE_DIGITS, NUMBER_DIGITS = 5, 21
ITERATOR_SECONDS = 15 * 60
MOST_STREAMS, MOST_RECORDS = 100, 1000
BY_TTL = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}

ITERATOR = (
    "StreamArn:text! ShardId:text! SequenceNumber:text Timestamp:time "
    "ShardIteratorType:TRIM_HORIZON|LATEST|AT_SEQUENCE_NUMBER|AFTER_SEQUENCE_NUMBER|AT_TIMESTAMP!"
)
DESCRIBE = "StreamArn:text! Limit:count ExclusiveStartShardId:text ShardFilter:map"

Place = tuple[int, int]  # the log's sequence, and the place among the changes of that frame: the next to be read


def list_streams(store: "Store | Session", request: Given) -> Answer:
    """ListStreams: the streams that are switched on, by their ARNs."""
    given = checked("ListStreams", request, "TableName:text Limit:count ExclusiveStartStreamArn:text")
    limit, under = check_limit(given, "ListStreams", MOST_STREAMS), beneath(store)
    wanted = name_of(given["TableName"]) if "TableName" in given else None
    ask(store, "ListStreams")
    definitions = [under.table(name).definition for name in under.tables() if wanted in (None, name)]
    streams = {stream_arn(d): _stream(d) for d in definitions if d.stream is not None}
    arns = sorted(arn for arn in streams if arn > given.get("ExclusiveStartStreamArn", ""))
    answer: Answer = {"Streams": [streams[arn] for arn in arns[:limit]]}
    if len(arns) > limit:
        answer["LastEvaluatedStreamArn"] = arns[limit - 1]
    return answer


def _stream(definition: "Definition") -> Answer:
    return {
        "StreamArn": stream_arn(definition),
        "TableName": definition.name,
        "StreamLabel": definition.stream_label,
    }


def describe_stream(store: "Store | Session", request: Given) -> Answer:
    """DescribeStream: its one shard, and the first sequence number that is still kept."""
    given = checked("DescribeStream", request, DESCRIBE)
    table = _table(store, given["StreamArn"])
    definition = table.definition
    _ask(store, "DescribeStream", definition)
    first = {"StartingSequenceNumber": _number((_oldest(beneath(store), definition), 0))}
    shards = [] if "ExclusiveStartShardId" in given else [{"ShardId": SHARD, "SequenceNumberRange": first}]
    described = {
        **_stream(definition),
        "StreamStatus": "ENABLED",
        "StreamViewType": definition.stream,
        "CreationRequestDateTime": seconds(definition.stream_started[1] or definition.created),
        "KeySchema": key_schema(definition.key),
        "Shards": shards,
    }
    return {"StreamDescription": described}


def get_shard_iterator(store: "Store | Session", request: Given) -> Answer:
    """GetShardIterator: where GetRecords begins."""
    given = checked("GetShardIterator", request, ITERATOR)
    table, under = _table(store, given["StreamArn"]), beneath(store)
    definition, kind = table.definition, given["ShardIteratorType"]
    _ask(store, "GetShardIterator", definition)
    if given["ShardId"] != SHARD:
        raise NotFound(f"the stream of table {definition.name} has one shard, {SHARD}, got {given['ShardId']:.80}")
    if ("SequenceNumber" in given) != kind.endswith("_SEQUENCE_NUMBER"):
        raise Invalid(f"SequenceNumber goes with AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER, got {kind}")
    if ("Timestamp" in given) != (kind == "AT_TIMESTAMP"):
        raise Invalid(f"Timestamp goes with AT_TIMESTAMP, got {kind}")
    place = _oldest(under, definition), 0
    if kind == "LATEST":
        place = under.log.last + 1, 0
    elif kind == "AT_TIMESTAMP":
        place = _at(table, place, given["Timestamp"])
    elif kind != "TRIM_HORIZON":
        sequence, number = _place(given["SequenceNumber"])
        place = sequence, number + (kind == "AFTER_SEQUENCE_NUMBER")
    return {"ShardIterator": _iterator(under, definition, place)}


def get_records(store: "Store | Session", request: Given) -> Answer:
    """GetRecords: what happened from there on, as far as it is on disk, and where to go on."""
    given = checked("GetRecords", request, "ShardIterator:text! Limit:count")
    limit, under = check_limit(given, "GetRecords", MOST_RECORDS), beneath(store)
    number, started, *place, made = read_token(given["ShardIterator"], "ShardIterator", tuple[int, int, int, int, int])
    if under.clock.now() - made > ITERATOR_SECONDS * MICROSECONDS:
        error = Invalid("this ShardIterator is more than 15 minutes old: get another one, after the last record read")
        error.aws = "ExpiredIteratorException"
        raise error
    table = under.schema.by_id.get(number)
    if table is None or table.definition.stream is None or table.definition.stream_began != started:
        raise NotFound("the stream of this ShardIterator is not there any more: ListStreams says which ones are")
    definition, next_place, reached = table.definition, (place[0], place[1]), under.log.durable
    records: list[Answer] = []
    changes = store.table(definition.name).changes(max(next_place[0] - 1, 0), limit=limit + next_place[1])
    for at, change in islice(_placed(changes, next_place), limit):
        records.append(_record(definition, at, change))
        next_place = at[0], at[1] + 1
    if len(records) < limit:  # all was read up to there: who waits for long must not be left behind by the trimming
        next_place = max(next_place, (reached + 1, 0))
    return {"Records": records, "NextShardIterator": _iterator(under, definition, next_place)}


def _placed(changes: Iterable[Change], start: Place) -> Iterator[tuple[Place, Change]]:
    """Each change with its place, from one on."""
    place = (0, 0)
    for change in changes:
        place = change.sequence, place[1] + 1 if change.sequence == place[0] else 0
        if place >= start:
            yield place, change


def _record(definition: "Definition", place: Place, change: Change) -> Answer:
    keys = dict(zip(definition.key_names, change.key, strict=True))
    sizes = [item_size(ItemCodec([]).encode(item)) for item in (keys, change.old, change.new) if item is not None]
    shown: Answer = {
        "ApproximateCreationDateTime": seconds(change.time),
        "Keys": typed_item(keys),
        "SequenceNumber": _number(place),
        "SizeBytes": sum(sizes),
        "StreamViewType": definition.stream,
    }
    if change.new is not None:
        shown["NewImage"] = typed_item(change.new)
    if change.old is not None:
        shown["OldImage"] = typed_item(change.old)
    event = f"{stream_arn(definition)} {_number(place)}".encode()
    record: Answer = {
        "eventID": hashlib.md5(event, usedforsecurity=False).hexdigest(),
        "eventName": change.kind,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "local",
        "dynamodb": shown,
    }
    if change.expired:
        record["userIdentity"] = dict(BY_TTL)
    return record


# -- streams, places, iterators ---------------------------------------------------------------------------------------


def _table(store: "Store | Session", arn: str) -> "Table":
    """The table whose stream it is. NotFound if it has no such stream, or one of later."""
    name, _, _ = arn.removeprefix(table_arn("")).partition("/")
    under = beneath(store)
    table = under.schema.by_name.get(name)
    if table is None or table.definition.stream is None or stream_arn(table.definition) != arn:
        raise NotFound(f"there is no stream {arn!r:.200}: ListStreams says which ones there are")
    return table


def _ask(store: "Store | Session", action: str, definition: "Definition") -> None:
    ask(store, action, f"table/{definition.name}/stream/{definition.stream_label}")


def _oldest(store: "Store", definition: "Definition") -> int:
    """The first sequence that the stream still shows."""
    return max(definition.stream_began, store.references.since if definition.stream_began < store.log.first else 0)


def _at(table: "Table", start: Place, moment: Moment) -> Place:
    """Where the changes from a moment on begin."""
    time, last = microseconds(moment, "Timestamp"), start[0]
    for place, change in _placed(table.changes(max(start[0] - 1, 0)), start):
        if change.time >= time:
            return place
        last = place[0] + 1
    return last, 0


def _number(place: Place) -> str:
    return f"{place[0]:0{NUMBER_DIGITS - PLACE_DIGITS}d}{place[1]:0{PLACE_DIGITS}d}"


def _place(number: str) -> Place:
    if not (number.isascii() and number.isdigit() and len(number) == NUMBER_DIGITS):
        raise Invalid(f"a SequenceNumber has {NUMBER_DIGITS} digits, as a record has it, got {number!r:.80}")
    return int(number[:-PLACE_DIGITS]), int(number[-PLACE_DIGITS:])


def _iterator(store: "Store", definition: "Definition", place: Place) -> str:
    return token(definition.id, definition.stream_began, *place, store.clock.now())
