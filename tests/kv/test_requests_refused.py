"""Requests that make no sense, or that a policy does not allow: what is said of them, and that nothing happens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import ANN, asked, key, make_orders, order, refused, schema

from engines import kv
from engines.errors import Denied, EngineError, Invalid
from engines.kv.requests import OPERATIONS
from engines.kv.requests.fields import checked


@pytest.fixture
def orders(store):
    return make_orders(store)


def numbers(answer):
    return [int(item["number"]["N"]) for item in answer["Items"]]


# --- what is refused ---


def test_another_operation_is_unknown(store):
    body = refused_by(store, "PutItems", {})
    assert body["__type"] == "com.amazon.coral.service#UnknownOperationException"
    assert "did you mean 'PutItem'" in body["message"]


def refused_by(store, operation, fields):
    with pytest.raises(EngineError) as error:
        kv.request(store, operation, fields)
    return kv.error_body(error.value)[1]


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if not name.startswith("List")])
def test_each_operation_says_what_it_needs_and_refuses_what_it_does_not_know(store, operation):
    assert "needs" in refused_by(store, operation, {})["message"]
    assert "has no field 'Tabelname'" in refused_by(store, operation, {"Tabelname": "orders"})["message"]
    for nothing in (None, [], "x", 7):
        assert "is a map of fields" in refused_by(store, operation, nothing)["message"]


@pytest.mark.parametrize(
    ("operation", "field", "instead"),
    [
        ("PutItem", "Expected", "ConditionExpression"),
        ("UpdateItem", "AttributeUpdates", "UpdateExpression"),
        ("DeleteItem", "ConditionalOperator", "AND and OR"),
        ("Query", "KeyConditions", "KeyConditionExpression"),
        ("Query", "QueryFilter", "FilterExpression"),
        ("Scan", "ScanFilter", "FilterExpression"),
        ("GetItem", "AttributesToGet", "ProjectionExpression"),
    ],
)
def test_older_forms_name_what_does_it_today(store, operation, field, instead):
    body = refused_by(store, operation, {"TableName": "orders", field: {}})
    assert body["__type"] == "com.amazon.coral.validate#ValidationException"
    assert f"use {instead}" in body["message"]


@pytest.mark.parametrize(
    ("operation", "fields", "says"),
    [
        ("PutItem", {"TableName": 7, "Item": {}}, "TableName of PutItem is a text, got 7"),
        ("PutItem", {"TableName": "orders", "Item": []}, "Item of PutItem is a map"),
        ("PutItem", {"TableName": "orders", "Item": {"a": 1}}, "attribute 'a'"),
        ("PutItem", {"TableName": "orders", "Item": {"a": {"S": "x"}}}, "customer"),
        ("PutItem", {"TableName": "orders", "Item": order("a", 1), "ReturnValues": "ALL_NEW"}, "one of NONE, ALL_OLD"),
        ("PutItem", {"TableName": "orders", "Item": order("a", 1), "Tags": []}, "nothing that this engine has"),
        ("GetItem", {"TableName": "orders", "Key": {"customer": {"S": "a"}}}, "number (N)"),
        ("GetItem", {"TableName": "orders", "Key": key("a", 1) | {"x": {"S": "x"}}}, "does not match the schema"),
        ("GetItem", {"TableName": "orders", "Key": {"customer": {"S": "a"}, "number": {"S": "1"}}}, "of type N"),
        ("GetItem", {"TableName": "orders", "Key": {"customer": {"S": "a"}, "number": 1}}, "number"),
        ("GetItem", {"TableName": "orders", "Key": key("a", 1), "ConsistentRead": 1}, "true or false"),
        ("Query", {"TableName": "orders", "KeyConditionExpression": "customer = :c"}, ":c"),
        ("Query", ANN | {"Limit": True}, "whole number"),
        ("Query", ANN | {"Limit": "7"}, "whole number"),
        ("Query", ANN | {"ExpressionAttributeValues": {":c": {"Z": "ann"}}}, "ExpressionAttributeValues"),
        ("BatchGetItem", {"RequestItems": {}}, "1 to 100"),
        ("BatchGetItem", {"RequestItems": {"orders": {"Keys": [key("a", 1)] * 2}}}, "once"),
        ("BatchGetItem", {"RequestItems": {"orders": {"Keys": [{}]}}}, "Keys[0]"),
        ("BatchWriteItem", {"RequestItems": {"orders": {}}}, "is a list"),
        ("BatchWriteItem", {"RequestItems": {"orders": [{}]}}, "exactly one of PutRequest, DeleteRequest"),
        ("BatchWriteItem", {"RequestItems": {"orders": [{"PutRequest": {}}]}}, "[0].PutRequest needs Item"),
        ("TransactWriteItems", {"TransactItems": []}, "at least one"),
        ("TransactWriteItems", {"TransactItems": [{"Get": {}}]}, "no field 'Get'"),
        ("TransactWriteItems", {"TransactItems": [{"ConditionCheck": {"TableName": "x", "Key": {}}}]}, "needs Condi"),
        ("TransactGetItems", {"TransactItems": []}, "at least one"),
        ("ExecuteStatement", {"Statement": "SELECT * FROM orders", "Parameters": ["x"]}, "Parameters[0]"),
        ("UpdateItem", {"TableName": "orders", "Key": key("a", 1)}, "UpdateExpression"),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused_and_changes_nothing(store, orders, operation, fields, says):
    before = store.log.last
    body = refused_by(store, operation, fields)
    assert body["__type"] == "com.amazon.coral.validate#ValidationException"
    assert says in body["message"]
    assert store.log.last == before


@pytest.mark.parametrize("operation", ["GetItem", "DeleteItem"])
def test_a_table_that_is_not_there(store, operation):
    body = refused_by(store, operation, {"TableName": "none", "Key": {}})
    assert body["__type"] == "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"


def test_null_is_as_good_as_left_out():
    assert checked("X", {"A": None, "B": 1}, "A:text B:count") == {"B": 1}
    with pytest.raises(Invalid, match="X needs A, a text"):
        checked("X", {"A": None}, "A:text!")


def test_damage_is_a_server_error_and_strangers_are_not_quoted():
    assert kv.error_body(ValueError("secret")) == (
        500,
        {"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError",
         "message": "something went wrong here: ValueError"},
    )  # fmt: skip


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.sampled_from(["", "orders", "ann", "customer", "a = :b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["S", "N", "Keys", "Key", "Item", "Put", "orders", ":c"]), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip
NAMES = st.sampled_from(
    ["TableName", "Key", "Item", "Statement", "RequestItems", "TransactItems", "KeySchema", "AttributeDefinitions",
     "ExclusiveStartKey", "Limit", "KeyConditionExpression", "UpdateExpression", "Parameters", "StreamArn", "BackupArn",
     "ShardIterator", "TimeToLiveSpecification", "ProjectionExpression", "ReturnConsumedCapacity", "Statements",
     "BillingMode", "ProvisionedThroughput", "GlobalSecondaryIndexes", "ExpressionAttributeValues"]
)  # fmt: skip


@given(st.sampled_from(sorted(OPERATIONS)), st.dictionaries(NAMES, VALUES, max_size=5))
@settings(max_examples=400)
def test_whatever_comes_in_only_errors_of_the_engine_come_out(operation, fields):
    with kv.Store() as store:
        store.create_table("orders", key=("customer:S", "number:N"), stream=True)
        try:
            kv.request(store, operation, fields)
        except EngineError as error:
            status, body = kv.error_body(error)
            assert status == 400
            assert body["message"]


# --- sessions ---


def test_a_session_may_ask_for_what_its_policy_allows(store, orders):
    ann = store.session(
        [
            {
                "Effect": "Allow",
                "Action": ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:DescribeTimeToLive"],
                "Resource": "orders",
                "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": "${aws:username}"}},
            }
        ],
        principal={"username": "ann"},
    )
    assert asked(ann, "GetItem", TableName="orders", Key=key("ann", 1))["Item"] == order("ann", 1)
    assert numbers(asked(ann, "Query", **ANN)) == list(range(10))
    assert (
        asked(ann, "DescribeTimeToLive", TableName="orders")["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"
    )
    bob = {"TableName": "orders", "Key": key("bob", 1)}
    assert refused(ann, "GetItem", **bob)["__type"] == "AccessDeniedException"
    for operation in ("DescribeTable", "DeleteTable", "DescribeContinuousBackups"):
        assert refused(ann, operation, TableName="orders")["__type"] == "AccessDeniedException"
    assert store.tables() == ["orders"]


def test_a_session_without_rights_is_denied_every_operation(store):
    nobody = store.session([{"Effect": "Deny", "Action": "*", "Resource": "*"}])
    table = store.create_table("orders", key=("customer:S", "number:N"), stream=True, ttl="until")
    store.snapshot("one")
    store.set_pitr("orders", enabled=True)
    backup = kv.request(store, "ListBackups", {})["BackupSummaries"][0]["BackupArn"]
    stream = kv.request(store, "ListStreams", {})["Streams"][0]["StreamArn"]
    shard = kv.request(store, "DescribeStream", {"StreamArn": stream})["StreamDescription"]["Shards"][0]["ShardId"]
    from_start = {"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = kv.request(store, "GetShardIterator", from_start)["ShardIterator"]
    table.put({"customer": "ann", "number": 1})
    one = {"TableName": "orders", "Key": key("ann", 1)}
    text = {"Statement": "SELECT * FROM orders WHERE customer = 'ann' AND \"number\" = 1"}
    said = {
        "PutItem": {"TableName": "orders", "Item": key("ann", 1)},
        "GetItem": one,
        "UpdateItem": one | {"UpdateExpression": "REMOVE x"},
        "DeleteItem": one,
        "Query": ANN,
        "Scan": {"TableName": "orders"},
        "BatchGetItem": {"RequestItems": {"orders": {"Keys": [one["Key"]]}}},
        "BatchWriteItem": {"RequestItems": {"orders": [{"PutRequest": {"Item": key("ann", 1)}}]}},
        "TransactWriteItems": {"TransactItems": [{"Delete": one}]},
        "TransactGetItems": {"TransactItems": [{"Get": one}]},
        "ExecuteStatement": text,
        "ExecuteTransaction": {"TransactStatements": [text]},
        "CreateTable": {
            "TableName": "other", "KeySchema": schema("id"), "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        },
        "DescribeTable": {"TableName": "orders"},
        "ListTables": {},
        "UpdateTable": {"TableName": "orders", "StreamSpecification": {"StreamEnabled": False}},
        "DeleteTable": {"TableName": "orders"},
        "UpdateTimeToLive": {
            "TableName": "orders", "TimeToLiveSpecification": {"Enabled": False, "AttributeName": "until"},
        },
        "DescribeTimeToLive": {"TableName": "orders"},
        "ListStreams": {},
        "DescribeStream": {"StreamArn": stream},
        "GetShardIterator": from_start,
        "GetRecords": {"ShardIterator": iterator},
        "CreateBackup": {"TableName": "orders", "BackupName": "two"},
        "DescribeBackup": {"BackupArn": backup},
        "ListBackups": {},
        "DeleteBackup": {"BackupArn": backup},
        "RestoreTableFromBackup": {"BackupArn": backup, "TargetTableName": "again"},
        "UpdateContinuousBackups": {
            "TableName": "orders", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": False},
        },
        "DescribeContinuousBackups": {"TableName": "orders"},
        "RestoreTableToPointInTime": {
            "SourceTableName": "orders", "TargetTableName": "again", "UseLatestRestorableTime": True,
        },
    }  # fmt: skip
    assert set(OPERATIONS) - set(said) == {"BatchExecuteStatement"}
    for operation, fields in said.items():
        with pytest.raises(Denied):
            kv.request(nobody, operation, fields)
    answer = asked(nobody, "BatchExecuteStatement", Statements=[text])
    assert answer["Responses"][0]["Error"]["Code"] == "AccessDenied"
    assert store.table("orders").scan().items == [{"customer": "ann", "number": 1}]
    assert store.tables() == ["orders"]
    assert len(store.snapshots()) == 1
