"""boto3 itself, as users call it, against a store: the client, the resource, paginators, waiters. No sockets."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from moments import START

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: pip install boto3")

from boto3.dynamodb.conditions import Attr, Key  # noqa: E402 - after the skip
from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer  # noqa: E402 - the same
from botocore.exceptions import ClientError, ParamValidationError  # noqa: E402 - the same
from wire import check_shape, connect, options  # noqa: E402 - the same


@pytest.fixture(scope="module")
def session():
    return boto3.Session()


@pytest.fixture
def client(store, session):
    client = session.client("dynamodb", **options())
    connect(client, store)
    return client


@pytest.fixture
def streams(store, session):
    client = session.client("dynamodbstreams", **options())
    connect(client, store)
    return client


@pytest.fixture
def resource(store, session):
    resource = session.resource("dynamodb", **options())
    connect(resource.meta.client, store)
    return resource


def described(name="orders", **more):
    return {
        "TableName": name,
        "AttributeDefinitions": [
            {"AttributeName": "customer", "AttributeType": "S"},
            {"AttributeName": "number", "AttributeType": "N"},
            {"AttributeName": "city", "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": "customer", "KeyType": "HASH"},
            {"AttributeName": "number", "KeyType": "RANGE"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by_city",
                "KeySchema": [{"AttributeName": "city", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        "BillingMode": "PAY_PER_REQUEST",
        **more,
    }


@pytest.fixture
def table(resource):
    """A table as a program makes it."""
    table = resource.create_table(**described())
    table.wait_until_exists()
    return table


def order(number, **more):
    return {"customer": "ann", "number": number, "city": "Bern", "price": Decimal(f"{number}.5"), **more}


# --- the resource ---


def test_items_are_python_values(table):
    item = order(
        1, text="ünïcode", data=Binary(b"\x00\xff"), yes=True, none=None, tags={"a", "b"},
        sizes={Decimal(1), Decimal("2.5")}, blobs={Binary(b"x"), Binary(b"y")},
        deep={"list": [Decimal(1), {"a": "b"}, []]},
    )  # fmt: skip
    table.put_item(Item=item)
    found = table.get_item(Key={"customer": "ann", "number": 1}, ConsistentRead=True)["Item"]
    assert found == item
    assert "Item" not in table.get_item(Key={"customer": "ann", "number": 2})


def test_an_item_is_updated_and_deleted_on_conditions(table):
    table.put_item(Item=order(1), ConditionExpression=Attr("customer").not_exists())
    with pytest.raises(table.meta.client.exceptions.ConditionalCheckFailedException) as failed:
        table.put_item(
            Item=order(1), ConditionExpression="attribute_not_exists(customer)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )  # fmt: skip
    assert failed.value.response["Error"]["Message"] == "The conditional request failed"
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert TypeDeserializer().deserialize({"M": failed.value.response["Item"]}) == order(1)
    updated = table.update_item(
        Key={"customer": "ann", "number": 1},
        UpdateExpression="SET price = price + :n, #s = :s",
        ConditionExpression=Attr("price").lt(100),
        ExpressionAttributeNames={"#s": "state"},
        ExpressionAttributeValues={":n": Decimal("0.25"), ":s": "paid"},
        ReturnValues="UPDATED_NEW",
        ReturnConsumedCapacity="TOTAL",
    )
    assert updated["Attributes"] == {"price": Decimal("1.75"), "state": "paid"}
    assert updated["ConsumedCapacity"]["CapacityUnits"] == 2.0
    deleted = table.delete_item(Key={"customer": "ann", "number": 1}, ReturnValues="ALL_OLD")
    assert deleted["Attributes"]["state"] == "paid"


def test_a_batch_writer_and_queries(table):
    with table.batch_writer(overwrite_by_pkeys=["customer", "number"]) as batch:
        for number in range(60):
            batch.put_item(Item=order(number))
            batch.put_item(Item=order(number, again=True))
        batch.delete_item(Key={"customer": "ann", "number": 59})
    assert table.item_count == 0
    table.reload()
    assert (table.item_count, table.table_status) == (59, "ACTIVE")
    asked = {
        "KeyConditionExpression": Key("customer").eq("ann") & Key("number").between(10, 40),
        "FilterExpression": Attr("price").gt(Decimal(20)) & Attr("again").eq(value=True),
        "ProjectionExpression": "#n",
        "ExpressionAttributeNames": {"#n": "number"},
    }
    answer = table.query(**asked, ScanIndexForward=False)
    assert [item["number"] for item in answer["Items"]] == list(range(40, 19, -1))
    assert (answer["Count"], answer["ScannedCount"]) == (21, 31)
    assert table.query(**{name: asked[name] for name in list(asked)[:2]}, Select="COUNT")["Count"] == 21
    found, start = [], {}
    while True:
        page = table.scan(Limit=25, **start)
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert sorted(item["number"] for item in found) == list(range(59))
    indexed = table.query(IndexName="by_city", KeyConditionExpression=Key("city").eq("Bern"), Limit=10)
    assert len(indexed["Items"]) == 10
    assert set(indexed["LastEvaluatedKey"]) == {"city", "customer", "number"}


def test_batches_and_the_collection_of_tables(resource, table):
    resource.batch_write_item(RequestItems={"orders": [{"PutRequest": {"Item": order(1)}}]})
    keys = [{"customer": "ann", "number": number} for number in (1, 2)]
    answer = resource.batch_get_item(RequestItems={"orders": {"Keys": keys, "ConsistentRead": True}})
    assert answer["Responses"] == {"orders": [order(1)]}
    assert [table.name for table in resource.tables.all()] == ["orders"]
    table.delete()
    table.wait_until_not_exists()
    assert list(resource.tables.all()) == []


# --- the client ---


def typed(item):
    return TypeSerializer().serialize(item)["M"]


def test_paginators_read_everything(client, store):
    client.create_table(**described())
    client.get_waiter("table_exists").wait(TableName="orders")
    with store.table("orders").batch_writer() as writer:
        for number in range(50):
            writer.put({"customer": "ann", "number": number, "city": "Bern"})
    query = {"KeyConditionExpression": "customer = :c", "ExpressionAttributeValues": typed({":c": "ann"})}
    for name, asked in (("query", query), ("scan", {})):
        pages = list(client.get_paginator(name).paginate(TableName="orders", PaginationConfig={"PageSize": 7}, **asked))
        assert len(pages) == 8
        assert sorted(int(item["number"]["N"]) for page in pages for item in page["Items"]) == list(range(50))
    for name in ("abc", "xyz"):
        client.create_table(**described(name))
    names = client.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 1}).build_full_result()
    assert names["TableNames"] == ["abc", "orders", "xyz"]
    client.create_backup(TableName="abc", BackupName="one")
    client.create_backup(TableName="xyz", BackupName="two")
    backups = client.get_paginator("list_backups").paginate(PaginationConfig={"PageSize": 1}).build_full_result()
    assert [summary["BackupName"] for summary in backups["BackupSummaries"]] == ["one", "two"]
    client.delete_table(TableName="abc")
    client.get_waiter("table_not_exists").wait(TableName="abc")


def test_a_transaction_with_a_token_of_boto3(client, store):
    client.create_table(**described())
    put = {"Put": {"TableName": "orders", "Item": typed(order(1)),
                   "ConditionExpression": "attribute_not_exists(customer)"}}  # fmt: skip
    client.transact_write_items(TransactItems=[put])
    with pytest.raises(client.exceptions.TransactionCanceledException) as cancelled:
        client.transact_write_items(TransactItems=[put])
    assert cancelled.value.response["CancellationReasons"] == [
        {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    ]
    get = {"Get": {"TableName": "orders", "Key": typed({"customer": "ann", "number": 1})}}
    assert client.transact_get_items(TransactItems=[get])["Responses"] == [{"Item": typed(order(1))}]
    client.transact_write_items(
        TransactItems=[put | {"Put": put["Put"] | {"Item": typed(order(2))}}], ClientRequestToken="a"
    )
    with pytest.raises(client.exceptions.IdempotentParameterMismatchException):
        client.transact_write_items(TransactItems=[put], ClientRequestToken="a")


def test_statements(client):
    client.create_table(**described())
    insert = {"Statement": "INSERT INTO orders VALUE ?", "Parameters": [{"M": typed(order(1))}]}
    client.execute_statement(**insert)
    with pytest.raises(client.exceptions.DuplicateItemException):
        client.execute_statement(**insert)
    found = client.execute_statement(Statement="SELECT * FROM orders WHERE customer = 'ann'")
    assert found["Items"] == [typed(order(1))]
    client.execute_transaction(TransactStatements=[insert | {"Parameters": [{"M": typed(order(2))}]}])
    one = {"Statement": "SELECT * FROM orders WHERE customer = 'ann' AND \"number\" = 2"}
    batch = client.batch_execute_statement(Statements=[one])
    assert batch["Responses"] == [{"TableName": "orders", "Item": typed(order(2))}]
    read = client.execute_transaction(TransactStatements=[one])
    assert read["Responses"] == [{"Item": typed(order(2))}]


def test_errors_are_boto3s_own_classes(client):
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_table(TableName="none")
    client.create_table(**described())
    with pytest.raises(client.exceptions.ResourceInUseException):
        client.create_table(**described())
    with pytest.raises(ClientError) as error:
        client.put_item(TableName="orders", Item={"customer": {"S": ""}, "number": {"N": "1"}})
    assert error.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(ClientError) as error:
        client.list_global_tables()
    assert error.value.response["Error"]["Code"] == "UnknownOperationException"
    with pytest.raises(ParamValidationError):
        client.put_item(TableName="orders")


def test_throttling_is_boto3s_own_error(client, store):
    client.create_table(
        **described(
            BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
            GlobalSecondaryIndexes=[],
        )
        | {"AttributeDefinitions": described()["AttributeDefinitions"][:2]}
    )  # fmt: skip
    client.put_item(TableName="orders", Item=typed(order(1)))
    with pytest.raises(client.exceptions.ProvisionedThroughputExceededException):
        client.put_item(TableName="orders", Item=typed(order(2)))


def test_moments_are_datetimes(client, store, clock):
    created = client.create_table(**described())["TableDescription"]["CreationDateTime"]
    assert created == datetime.fromtimestamp(START, UTC)
    on = {"PointInTimeRecoveryEnabled": True}
    client.update_continuous_backups(TableName="orders", PointInTimeRecoverySpecification=on)
    client.put_item(TableName="orders", Item=typed(order(1)))
    clock.advance(60)
    client.put_item(TableName="orders", Item=typed(order(2)))
    window = client.describe_continuous_backups(TableName="orders")["ContinuousBackupsDescription"]
    latest = window["PointInTimeRecoveryDescription"]["LatestRestorableDateTime"]
    assert latest == datetime.fromtimestamp(START + 60, UTC)
    client.restore_table_to_point_in_time(
        SourceTableName="orders", TargetTableName="then", RestoreDateTime=datetime.fromtimestamp(START + 30, UTC)
    )
    assert client.scan(TableName="then")["Items"] == [typed(order(1))]
    backup = client.create_backup(TableName="orders", BackupName="now")["BackupDetails"]
    assert backup["BackupCreationDateTime"] == latest
    client.restore_table_from_backup(TargetTableName="copy", BackupArn=backup["BackupArn"])
    assert client.scan(TableName="copy")["Count"] == 2
    assert (
        client.describe_backup(BackupArn=backup["BackupArn"])["BackupDescription"]["SourceTableDetails"]["ItemCount"]
        == 2
    )
    client.delete_backup(BackupArn=backup["BackupArn"])
    assert client.list_backups()["BackupSummaries"] == []


def test_a_time_to_live_is_seen_in_the_stream(client, streams, store, clock):
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    client.create_table(**described(StreamSpecification=stream))
    client.update_time_to_live(TableName="orders", TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
    assert client.describe_time_to_live(TableName="orders")["TimeToLiveDescription"]["AttributeName"] == "until"
    client.put_item(TableName="orders", Item=typed(order(1, until=START + 10)))
    clock.advance(20)
    assert client.scan(TableName="orders")["Count"] == 0
    store.expire()
    (listed,) = streams.list_streams(TableName="orders")["Streams"]
    shown = streams.describe_stream(StreamArn=listed["StreamArn"])["StreamDescription"]
    assert shown["StreamStatus"] == "ENABLED"
    iterator = streams.get_shard_iterator(
        StreamArn=listed["StreamArn"], ShardId=shown["Shards"][0]["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    answer = streams.get_records(ShardIterator=iterator)
    assert [record["eventName"] for record in answer["Records"]] == ["INSERT", "REMOVE"]
    assert answer["Records"][0]["dynamodb"]["NewImage"] == typed(order(1, until=START + 10))
    assert answer["Records"][1]["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    assert streams.get_records(ShardIterator=answer["NextShardIterator"])["Records"] == []
    with pytest.raises(streams.exceptions.ResourceNotFoundException):
        streams.describe_stream(StreamArn=listed["StreamArn"] + "x")


def test_a_table_is_updated(client):
    client.create_table(**described())
    client.update_table(TableName="orders", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by_city"}}])
    index = {
        "IndexName": "by_price", "KeySchema": [{"AttributeName": "price", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["city"]},
    }  # fmt: skip
    answer = client.update_table(
        TableName="orders",
        AttributeDefinitions=[{"AttributeName": "price", "AttributeType": "N"}],
        GlobalSecondaryIndexUpdates=[{"Create": index}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    assert answer["TableDescription"]["StreamSpecification"]["StreamViewType"] == "KEYS_ONLY"
    assert [found["IndexName"] for found in answer["TableDescription"]["GlobalSecondaryIndexes"]] == ["by_price"]


@pytest.mark.parametrize(
    ("operation", "answer", "says"),
    [
        ("GetItem", {"Itm": {}}, "does not know"),
        ("GetItem", {"Item": {"a": {"S": 7}}}, "is no string"),
        ("Query", {"Count": True}, "is no integer"),
        ("DescribeBackup", {"BackupDescription": {"BackupDetails": {}}}, "lacks"),
        ("DescribeTable", {"Table": {"TableStatus": "READY"}}, "is none of"),
        ("DescribeTable", {"Table": {"TableName": "a"}}, "at least 3"),
    ],
)
def test_the_check_of_shapes_notices(operation, answer, says):
    with pytest.raises(AssertionError, match=says):
        check_shape(operation, answer)
