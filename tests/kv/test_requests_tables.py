"""Tables, streams and backups in DynamoDB's own fields."""

import pytest
from moments import START
from wire import asked, refused

from engines import kv

TABLE = "arn:aws:dynamodb:local:000000000000:table/"


@pytest.fixture
def store(clock, tmp_path):
    with kv.Store(tmp_path / "shop", clock=clock) as store:
        yield store


def attributes(**types):
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def schema(*names):
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)]


UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}
INDEX = {"IndexName": "by_a", "KeySchema": schema("a"), "Projection": {"ProjectionType": "ALL"}}
FULL = {
    "TableName": "orders",
    "AttributeDefinitions": attributes(customer="S", number="N", a="B", b="S"),
    "KeySchema": schema("customer", "number"),
    "GlobalSecondaryIndexes": [INDEX | {"ProvisionedThroughput": UNITS}],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by_b",
            "KeySchema": schema("customer", "b"),
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "y"]},
        }
    ],
    "BillingMode": "PROVISIONED",
    "ProvisionedThroughput": UNITS,
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "OLD_IMAGE"},
}
SMALL = {
    "TableName": "small",
    "AttributeDefinitions": attributes(id="S"),
    "KeySchema": schema("id"),
    "BillingMode": "PAY_PER_REQUEST",
}
WITH_A = {"AttributeDefinitions": attributes(id="S", a="B")}


def test_a_table_is_described_as_it_was_created(store):
    described = asked(store, "CreateTable", **FULL)["TableDescription"]
    assert described == asked(store, "DescribeTable", TableName="orders")["Table"]
    assert {name: described[name] for name in ("TableName", "KeySchema", "StreamSpecification")} == {
        name: FULL[name] for name in ("TableName", "KeySchema", "StreamSpecification")
    }
    units = {"NumberOfDecreasesToday": 0, **UNITS}
    assert described["ProvisionedThroughput"] == units
    assert described["TableStatus"] == "ACTIVE"
    assert described["CreationDateTime"] == START
    assert sorted(map(str, described["AttributeDefinitions"])) == sorted(map(str, FULL["AttributeDefinitions"]))
    of_index = INDEX | {
        "IndexArn": f"{TABLE}orders/index/by_a", "IndexStatus": "ACTIVE", "ItemCount": 0, "IndexSizeBytes": 0,
        "ProvisionedThroughput": units,
    }  # fmt: skip
    assert described["GlobalSecondaryIndexes"] == [of_index]
    local = FULL["LocalSecondaryIndexes"][0]
    assert {name: described["LocalSecondaryIndexes"][0][name] for name in local} == local
    assert described["LatestStreamArn"] == f"{TABLE}orders/stream/2023-11-14T22:13:20.000"
    store.table("orders").put({"customer": "ann", "number": 1, "a": b"x", "b": "y"})
    described = asked(store, "DescribeTable", TableName=f"{TABLE}orders")["Table"]
    assert described["ItemCount"] == described["GlobalSecondaryIndexes"][0]["ItemCount"] == 1
    assert described["TableSizeBytes"] > 0
    assert asked(store, "CreateTable", **SMALL)["TableDescription"]["TableId"] != described["TableId"]
    body = refused(store, "CreateTable", **SMALL)
    assert (body["__type"], body["status"]) == ("ResourceInUseException", 400)


def test_a_table_is_gone_when_it_was_deleted(store):
    asked(store, "CreateTable", **SMALL)
    assert asked(store, "DeleteTable", TableName="small")["TableDescription"]["TableStatus"] == "DELETING"
    for operation in ("DescribeTable", "DeleteTable", "DescribeTimeToLive"):
        assert refused(store, operation, TableName="small")["__type"] == "ResourceNotFoundException"


def test_tables_are_listed_page_by_page(store):
    for name in "cab":
        asked(store, "CreateTable", **SMALL | {"TableName": name * 3})
    assert asked(store, "ListTables") == {"TableNames": ["aaa", "bbb", "ccc"]}
    page = asked(store, "ListTables", Limit=2)
    assert page == {"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"}
    assert asked(store, "ListTables", Limit=2, ExclusiveStartTableName="bbb") == {"TableNames": ["ccc"]}
    assert asked(store, "ListTables", ExclusiveStartTableName="zzz") == {"TableNames": []}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"TableName": "ab"}, "3 to 255"),
        ({"AttributeDefinitions": attributes(id="S", x="S")}, "no key has x"),
        ({"AttributeDefinitions": attributes(x="S")}, "type is missing"),
        ({"AttributeDefinitions": attributes(id="S") * 2}, "twice"),
        ({"AttributeDefinitions": attributes(id="BOOL")}, "one of S, N, B"),
        ({"AttributeDefinitions": [7]}, "AttributeDefinitions[0] is a map"),
        ({"KeySchema": []}, "HASH"),
        ({"KeySchema": schema("id")[::-1] * 2}, "HASH"),
        ({"KeySchema": [{"AttributeName": "id", "KeyType": "RANGE"}]}, "HASH"),
        ({"BillingMode": "PROVISIONED"}, "needs ProvisionedThroughput"),
        ({"BillingMode": "FREE"}, "BillingMode"),
        ({"ProvisionedThroughput": UNITS}, "leave it out"),
        ({"BillingMode": None, "ProvisionedThroughput": UNITS | {"ReadCapacityUnits": 0}}, "at least 1"),
        ({"BillingMode": None, "ProvisionedThroughput": {"ReadCapacityUnits": 5}}, "WriteCapacityUnits"),
        ({"StreamSpecification": {"StreamEnabled": True}}, "StreamViewType"),
        ({"StreamSpecification": {"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"}}, "leave it out"),
        ({"GlobalSecondaryIndexes": [INDEX]}, "whose type is missing"),
        ({"GlobalSecondaryIndexes": [INDEX | {"ProvisionedThroughput": UNITS}]}, "does without"),
        ({"GlobalSecondaryIndexes": [INDEX | {"IndexName": "x"}]}, "3 to 255"),
        (WITH_A | {"GlobalSecondaryIndexes": [INDEX | {"Projection": {"ProjectionType": "INCLUDE"}}]}, "NonKeyAttr"),
        (WITH_A | {"GlobalSecondaryIndexes": [INDEX | {"Projection": {}}]}, "Projection needs ProjectionType"),
        ({"LocalSecondaryIndexes": [INDEX | {"KeySchema": schema("id")}]}, "local index"),
        ({"Tags": [{"Key": "a", "Value": "b"}]}, "leave it out"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(store, change, says):
    body = refused(store, "CreateTable", **SMALL | change)
    assert body["__type"] == "ValidationException"
    assert says in body["message"]
    assert store.tables() == []


def test_units_are_bought_and_given_up(store):
    asked(store, "CreateTable", **SMALL)
    assert "needs at least one" in refused(store, "UpdateTable", TableName="small")["message"]
    update = {"TableName": "small", "BillingMode": "PROVISIONED"}
    assert "needs ProvisionedThroughput" in refused(store, "UpdateTable", **update)["message"]
    described = asked(store, "UpdateTable", **update, ProvisionedThroughput=UNITS)["TableDescription"]
    assert described["BillingModeSummary"]["BillingMode"] == "PROVISIONED"
    more = {"ReadCapacityUnits": 7, "WriteCapacityUnits": 8}
    described = asked(store, "UpdateTable", TableName="small", ProvisionedThroughput=more)["TableDescription"]
    assert described["ProvisionedThroughput"]["ReadCapacityUnits"] == 7
    described = asked(store, "UpdateTable", TableName="small", BillingMode="PAY_PER_REQUEST")["TableDescription"]
    assert described["ProvisionedThroughput"]["ReadCapacityUnits"] == 0
    assert store.table("small").definition.read is None
    store.table("small").capacity(3, 4, partition_limits=True)
    asked(store, "UpdateTable", TableName="small", ProvisionedThroughput=more)
    assert store.table("small").definition.partition_limits


def test_an_index_is_created_and_deleted(store):
    asked(store, "CreateTable", **SMALL)
    store.table("small").put({"id": "1", "a": b"x"})
    create = {"TableName": "small", "GlobalSecondaryIndexUpdates": [{"Create": INDEX}]}
    assert "type is missing" in refused(store, "UpdateTable", **create)["message"]
    described = asked(store, "UpdateTable", **create, AttributeDefinitions=attributes(a="B"))["TableDescription"]
    assert described["GlobalSecondaryIndexes"][0]["ItemCount"] == 1
    query = {"TableName": "small", "IndexName": "by_a", "KeyConditionExpression": "a = :a",
             "ExpressionAttributeValues": {":a": {"B": "eA=="}}}  # fmt: skip
    assert asked(store, "Query", **query)["Items"] == [{"id": {"S": "1"}, "a": {"B": "eA=="}}]
    delete = {"TableName": "small", "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by_a"}}]}
    assert "GlobalSecondaryIndexes" not in asked(store, "UpdateTable", **delete)["TableDescription"]
    assert refused(store, "UpdateTable", **delete)["__type"] == "ResourceNotFoundException"
    for updates in ([{}], [{"Delete": {"IndexName": "x"}}] * 2, [{"Update": {"IndexName": "x"}}], [7]):
        body = refused(store, "UpdateTable", TableName="small", GlobalSecondaryIndexUpdates=updates)
        assert body["__type"] == "ValidationException"
    wrong = attributes(a="B", id="N")
    assert "says that id is N" in refused(store, "UpdateTable", **create, AttributeDefinitions=wrong)["message"]


def test_an_update_that_fails_in_part_changes_nothing(store):
    asked(store, "CreateTable", **SMALL)
    before = store.log.last
    units = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": UNITS}
    stream = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}}
    index = {"GlobalSecondaryIndexUpdates": [{"Create": INDEX}]}  # whose key has no type
    body = refused(store, "UpdateTable", TableName="small", **units, **stream, **index)
    assert body["__type"] == "ValidationException"
    assert store.log.last == before


def test_time_to_live_is_switched_on_and_off(store, clock):
    asked(store, "CreateTable", **SMALL)
    table = store.table("small")
    table.put({"id": "1", "until": START + 5})
    assert asked(store, "DescribeTimeToLive", TableName="small") == {
        "TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}
    }
    on = {"Enabled": True, "AttributeName": "until"}
    assert asked(store, "UpdateTimeToLive", TableName="small", TimeToLiveSpecification=on) == {
        "TimeToLiveSpecification": on
    }
    assert asked(store, "DescribeTimeToLive", TableName="small") == {
        "TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}
    }
    for wrong in (on, on | {"AttributeName": "other"}, {"Enabled": False, "AttributeName": "other"}):
        body = refused(store, "UpdateTimeToLive", TableName="small", TimeToLiveSpecification=wrong)
        assert body["__type"] == "ValidationException"
    clock.advance(5)
    assert asked(store, "GetItem", TableName="small", Key={"id": {"S": "1"}}) == {}
    off = on | {"Enabled": False}
    asked(store, "UpdateTimeToLive", TableName="small", TimeToLiveSpecification=off)
    assert "disabled" in refused(store, "UpdateTimeToLive", TableName="small", TimeToLiveSpecification=off)["message"]


# --- streams ---


@pytest.fixture
def stream(store):
    """A table with a time to live and a stream; the stream's ARN."""
    asked(
        store,
        "CreateTable",
        **SMALL,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    asked(store, "UpdateTimeToLive", TableName="small", TimeToLiveSpecification={"Enabled": True, "AttributeName": "t"})
    return asked(store, "DescribeTable", TableName="small")["Table"]["LatestStreamArn"]


def iterator(store, stream, kind="TRIM_HORIZON", **more):
    shard = asked(store, "DescribeStream", StreamArn=stream)["StreamDescription"]["Shards"][0]["ShardId"]
    return asked(store, "GetShardIterator", StreamArn=stream, ShardId=shard, ShardIteratorType=kind, **more)[
        "ShardIterator"
    ]


def read(store, at, limit=1000):
    """Records, and where to go on."""
    answer = asked(store, "GetRecords", ShardIterator=at, Limit=limit)
    return answer["Records"], answer["NextShardIterator"]


def test_records_show_what_happened(store, clock, stream):
    table = store.table("small")
    table.put({"id": "1", "n": 1})
    clock.advance(1.5)
    table.put({"id": "1", "n": 2, "t": START + 10})
    clock.advance(100)
    store.expire()
    records, _ = read(store, iterator(store, stream))
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    assert [record["dynamodb"]["ApproximateCreationDateTime"] - START for record in records] == [0, 1.5, 101.5]
    new = {"id": {"S": "1"}, "n": {"N": "2"}, "t": {"N": str(START + 10)}}
    shown = records[1]["dynamodb"]
    assert shown["Keys"] == {"id": {"S": "1"}}
    assert shown["NewImage"] == new
    assert shown["OldImage"] == {"id": {"S": "1"}, "n": {"N": "1"}}
    assert shown["SizeBytes"] == 3 + (3 + 3) + (3 + 3 + 7)
    assert records[2]["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    assert ["userIdentity" in record for record in records] == [False, False, True]
    assert ["NewImage" in record["dynamodb"] for record in records] == [True, True, False]
    assert len({record["eventID"] for record in records}) == 3
    assert refused(store, "GetRecords", ShardIterator="x")["__type"] == "ValidationException"


def test_records_are_read_in_pieces_also_of_what_happened_together(store, stream):
    table = store.table("small")
    table.put({"id": "a"})
    with table.batch_writer() as writer:
        for number in range(20):
            writer.put({"id": str(number)})
    table.put({"id": "z"})
    everything, _ = read(store, iterator(store, stream))
    assert len(everything) == 22
    for limit in (1, 3, 7, 22):
        found, at = [], iterator(store, stream)
        while True:
            records, at = read(store, at, limit)
            if not records:
                break
            assert len(records) <= limit
            found += records
        assert found == everything
        table_is_written_meanwhile = {"id": f"more {limit}"}
        table.put(table_is_written_meanwhile)
        records, _ = read(store, at)
        assert [record["dynamodb"]["Keys"]["id"]["S"] for record in records] == [f"more {limit}"]
        everything += records
    sequence_numbers = [record["dynamodb"]["SequenceNumber"] for record in everything]
    assert sorted(set(sequence_numbers), key=int) == sorted(set(sequence_numbers)) == sequence_numbers
    for number in (0, 1, 5, 21):
        said = {"SequenceNumber": sequence_numbers[number]}
        assert read(store, iterator(store, stream, "AT_SEQUENCE_NUMBER", **said))[0] == everything[number:]
        assert read(store, iterator(store, stream, "AFTER_SEQUENCE_NUMBER", **said))[0] == everything[number + 1 :]


def test_an_iterator_begins_now_or_at_a_moment(store, clock, stream):
    table = store.table("small")
    for number in range(5):
        table.put({"id": str(number)})
        clock.advance(10)
    latest = iterator(store, stream, "LATEST")
    assert read(store, latest)[0] == []
    table.put({"id": "late"})
    assert [record["dynamodb"]["Keys"]["id"]["S"] for record in read(store, latest)[0]] == ["late"]
    for moment, left in ((START - 5, 6), (START + 10, 5), (START + 10.5, 4), (START + 1000, 0)):
        assert len(read(store, iterator(store, stream, "AT_TIMESTAMP", Timestamp=moment))[0]) == left
    clock.advance(901)
    assert refused(store, "GetRecords", ShardIterator=latest)["__type"] == "ExpiredIteratorException"


def test_streams_are_listed_and_described(store, clock, stream):
    assert asked(store, "ListStreams", TableName="small")["Streams"][0]["StreamArn"] == stream
    asked(store, "CreateTable", **FULL)
    listed = asked(store, "ListStreams", Limit=1)
    rest = asked(store, "ListStreams", ExclusiveStartStreamArn=listed["LastEvaluatedStreamArn"])
    assert [entry["TableName"] for entry in listed["Streams"] + rest["Streams"]] == ["orders", "small"]
    described = asked(store, "DescribeStream", StreamArn=stream)["StreamDescription"]
    assert described["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert described["KeySchema"] == schema("id")
    shard = described["Shards"][0]["ShardId"]
    assert (
        asked(store, "DescribeStream", StreamArn=stream, ExclusiveStartShardId=shard)["StreamDescription"]["Shards"]
        == []
    )


def test_a_stream_that_is_switched_off_and_on_is_another_one(store, clock, stream):
    store.table("small").put({"id": "before"})
    old = iterator(store, stream)
    on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    assert "already" in refused(store, "UpdateTable", TableName="small", StreamSpecification=on)["message"]
    asked(store, "UpdateTable", TableName="small", StreamSpecification={"StreamEnabled": False})
    assert asked(store, "ListStreams") == {"Streams": []}
    assert "no stream" in refused(store, "UpdateTable", TableName="small",
                                  StreamSpecification={"StreamEnabled": False})["message"]  # fmt: skip
    clock.advance(1)
    described = asked(store, "UpdateTable", TableName="small", StreamSpecification=on)["TableDescription"]
    assert described["LatestStreamArn"] != stream
    store.table("small").put({"id": "after"})
    records, _ = read(store, iterator(store, described["LatestStreamArn"]))
    assert [record["dynamodb"]["Keys"]["id"]["S"] for record in records] == ["after"]
    assert set(records[0]["dynamodb"]) & {"NewImage", "OldImage"} == set()
    for operation, fields in {
        "GetRecords": {"ShardIterator": old},
        "DescribeStream": {"StreamArn": stream},
        "GetShardIterator": {"StreamArn": stream, "ShardId": "x", "ShardIteratorType": "LATEST"},
    }.items():
        assert refused(store, operation, **fields)["__type"] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    "fields",
    [
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER"},
        {"ShardIteratorType": "LATEST", "SequenceNumber": "0" * 21},
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "7"},
        {"ShardIteratorType": "AT_TIMESTAMP"},
        {"ShardIteratorType": "LATEST", "Timestamp": START},
        {"ShardIteratorType": "FIRST"},
    ],
)
def test_an_iterator_that_makes_no_sense_is_refused(store, stream, fields):
    shard = asked(store, "DescribeStream", StreamArn=stream)["StreamDescription"]["Shards"][0]["ShardId"]
    body = refused(store, "GetShardIterator", StreamArn=stream, ShardId=shard, **fields)
    assert body["__type"] == "ValidationException"


def test_who_waits_for_long_is_not_left_behind_by_the_trimming(clock, tmp_path, monkeypatch):
    monkeypatch.setitem(kv.store.Log.__init__.__kwdefaults__, "segment", 1 << 14)
    with kv.Store(tmp_path / "shop", clock=clock) as store:
        streams = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
        asked(store, "CreateTable", **SMALL, StreamSpecification=streams)
        stream = asked(store, "DescribeTable", TableName="small")["Table"]["LatestStreamArn"]
        other = store.create_table("other", key="id:N")
        first = place = iterator(store, stream)
        store.table("small").put({"id": "0"})
        _, place = read(store, place)
        for step in range(300):
            clock.advance(14 * 60)
            other.put({"id": step, "text": "x" * 1000})
            if step % 10 == 0:
                store.checkpoint()
            records, place = read(store, place)
            assert records == []
        assert store.log.first > 10
        again = asked(store, "GetShardIterator", StreamArn=stream, ShardId=SHARD, ShardIteratorType="TRIM_HORIZON")
        assert read(store, again["ShardIterator"])[0] == []
        assert refused(store, "GetRecords", ShardIterator=first)["__type"] == "ExpiredIteratorException"
        number = {"SequenceNumber": "0" * 19 + "10"}
        old = iterator(store, stream, "AT_SEQUENCE_NUMBER", **number)
        assert refused(store, "GetRecords", ShardIterator=old)["__type"] == "TrimmedDataAccessException"


SHARD = "shardId-00000000000000000000-00000000"


# --- backups, and the past ---


def put(store, number):
    store.table("small").put({"id": "1", "n": number})


def n_of(store, name):
    return asked(store, "GetItem", TableName=name, Key={"id": {"S": "1"}})["Item"]["n"]["N"]


def test_a_backup_is_taken_listed_restored_and_deleted(store, clock):
    asked(store, "CreateTable", **FULL)
    asked(store, "CreateTable", **SMALL)
    put(store, 1)
    clock.advance(60)
    details = asked(store, "CreateBackup", TableName="small", BackupName="first")["BackupDetails"]
    assert details["BackupCreationDateTime"] == START + 60
    arn = details["BackupArn"]
    put(store, 2)
    clock.advance(60)
    asked(store, "CreateBackup", TableName=f"{TABLE}orders", BackupName="of_orders")
    store.snapshot("everything")
    assert refused(store, "CreateBackup", TableName="small", BackupName="first")["__type"] == "BackupInUseException"
    assert refused(store, "CreateBackup", TableName="none", BackupName="last")["__type"] == "TableNotFoundException"

    listed = asked(store, "ListBackups", TableName="small")["BackupSummaries"]
    assert [summary["BackupName"] for summary in listed] == ["everything", "first"]
    page = asked(store, "ListBackups", Limit=3)
    rest = asked(store, "ListBackups", ExclusiveStartBackupArn=page["LastEvaluatedBackupArn"])
    names = [(s["TableName"], s["BackupName"]) for s in page["BackupSummaries"] + rest["BackupSummaries"]]
    assert names == [("orders", "everything"), ("orders", "of_orders"), ("small", "everything"), ("small", "first")]
    early = asked(store, "ListBackups", TimeRangeLowerBound=START, TimeRangeUpperBound=START + 61)
    assert [summary["BackupName"] for summary in early["BackupSummaries"]] == ["first"]
    assert asked(store, "ListBackups", BackupType="SYSTEM") == {"BackupSummaries": []}
    of_orders = next(s["BackupArn"] for s in page["BackupSummaries"] if s["BackupName"] == "of_orders")
    source = asked(store, "DescribeBackup", BackupArn=of_orders)["BackupDescription"]
    assert source["SourceTableDetails"]["KeySchema"] == FULL["KeySchema"]
    assert source["SourceTableDetails"]["ProvisionedThroughput"] == UNITS
    assert source["SourceTableFeatureDetails"]["GlobalSecondaryIndexes"][0]["IndexName"] == "by_a"

    described = asked(store, "RestoreTableFromBackup", TargetTableName="again", BackupArn=arn)["TableDescription"]
    assert described["RestoreSummary"]["SourceBackupArn"] == arn
    assert n_of(store, "again") == "1"
    body = refused(store, "RestoreTableFromBackup", TargetTableName="again", BackupArn=arn)
    assert body["__type"] == "TableAlreadyExistsException"
    override = {"BillingModeOverride": "PROVISIONED", "ProvisionedThroughputOverride": UNITS}
    described = asked(store, "RestoreTableFromBackup", TargetTableName="paid", BackupArn=arn, **override)
    assert described["TableDescription"]["ProvisionedThroughput"]["WriteCapacityUnits"] == 6

    assert (
        asked(store, "DeleteBackup", BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupStatus"] == "DELETED"
    )
    for operation in ("DeleteBackup", "DescribeBackup"):
        assert refused(store, operation, BackupArn=arn)["__type"] == "BackupNotFoundException"
    body = refused(store, "RestoreTableFromBackup", TargetTableName="more", BackupArn=arn)
    assert body["__type"] == "BackupNotFoundException"
    several = f"{TABLE}small/backup/everything"
    assert "several tables" in refused(store, "DeleteBackup", BackupArn=several)["message"]


def test_a_table_is_restored_to_a_moment(store, clock):
    asked(store, "CreateTable", **SMALL)
    off = asked(store, "DescribeContinuousBackups", TableName="small")["ContinuousBackupsDescription"]
    assert off["PointInTimeRecoveryDescription"] == {"PointInTimeRecoveryStatus": "DISABLED"}
    restore = {"SourceTableName": "small", "TargetTableName": "then"}
    body = refused(store, "RestoreTableToPointInTime", **restore, UseLatestRestorableTime=True)
    assert body["__type"] == "PointInTimeRecoveryUnavailableException"
    on = {"PointInTimeRecoveryEnabled": True}
    asked(store, "UpdateContinuousBackups", TableName="small", PointInTimeRecoverySpecification=on)
    for number in range(5):
        put(store, number)
        clock.advance(10)
    described = asked(store, "DescribeContinuousBackups", TableName="small")["ContinuousBackupsDescription"]
    assert described["PointInTimeRecoveryDescription"] == {
        "PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": 35,
        "EarliestRestorableDateTime": START, "LatestRestorableDateTime": START + 50,
    }  # fmt: skip
    asked(store, "RestoreTableToPointInTime", **restore, RestoreDateTime=START + 25)
    assert n_of(store, "then") == "2"
    latest = restore | {"TargetTableName": "now", "SourceTableName": None, "SourceTableArn": f"{TABLE}small"}
    answer = asked(store, "RestoreTableToPointInTime", **latest, UseLatestRestorableTime=True)
    assert answer["TableDescription"]["RestoreSummary"]["RestoreDateTime"] == START + 50
    assert n_of(store, "now") == "4"
    for fields, name in (
        (restore | {"RestoreDateTime": START + 25}, "TableAlreadyExistsException"),
        (restore | {"RestoreDateTime": START + 1000, "TargetTableName": "xyz"}, "InvalidRestoreTimeException"),
        (
            restore | {"RestoreDateTime": START, "SourceTableName": "none", "TargetTableName": "xyz"},
            "TableNotFoundException",
        ),
        (restore, "ValidationException"),
        (restore | {"RestoreDateTime": START, "UseLatestRestorableTime": True}, "ValidationException"),
        (restore | {"RestoreDateTime": START, "SourceTableArn": f"{TABLE}small"}, "ValidationException"),
        (restore | {"RestoreDateTime": START, "TargetTableName": "x"}, "ValidationException"),
    ):
        assert refused(store, "RestoreTableToPointInTime", **fields)["__type"] == name
    days = on | {"RecoveryPeriodInDays": 7}
    body = refused(store, "UpdateContinuousBackups", TableName="small", PointInTimeRecoverySpecification=days)
    assert body["__type"] == "ValidationException"
