"""Requests in DynamoDB's own fields: items, pages, batches, transactions, statements."""

import base64

import pytest
from hypothesis import given, settings
from models.items import items as any_items
from models.items import normal, shown
from wire import ANN, asked, key, make_orders, order, refused

from engines import kv
from engines.kv.values import from_dynamodb_json, to_dynamodb_json


@pytest.fixture
def orders(store):
    return make_orders(store)


def numbers(answer):
    return [int(item["number"]["N"]) for item in answer["Items"]]


# --- one item ---


def test_an_item_is_put_read_changed_and_deleted(store, orders):
    ann = {"TableName": "orders", "Key": key("ann", 3)}
    assert asked(store, "GetItem", **ann)["Item"] == order("ann", 3)
    put = asked(
        store, "PutItem", TableName="orders", Item=key("ann", 3) | {"x": {"NULL": True}}, ReturnValues="ALL_OLD"
    )
    assert put == {"Attributes": order("ann", 3)}
    change = {
        "UpdateExpression": "SET x = :x, y = :y",
        "ExpressionAttributeValues": {":x": {"N": "1"}, ":y": {"L": []}},
    }
    assert asked(store, "UpdateItem", **ann, **change, ReturnValues="UPDATED_OLD") == {
        "Attributes": {"x": {"NULL": True}}
    }
    new = {"x": {"N": "1"}, "y": {"L": []}}
    assert asked(store, "UpdateItem", **ann, **change, ReturnValues="UPDATED_NEW") == {"Attributes": new}
    assert asked(store, "UpdateItem", **ann, **change, ReturnValues="ALL_NEW") == {"Attributes": key("ann", 3) | new}
    assert asked(store, "UpdateItem", **ann, **change) == {}
    assert asked(store, "GetItem", **ann, ProjectionExpression="#x", ExpressionAttributeNames={"#x": "x"}) == {
        "Item": {"x": {"N": "1"}}
    }
    assert asked(store, "DeleteItem", **ann, ReturnValues="ALL_OLD") == {"Attributes": key("ann", 3) | new}
    assert asked(store, "DeleteItem", **ann, ReturnValues="ALL_OLD") == {}
    assert asked(store, "GetItem", **ann, ConsistentRead=True) == {}


@given(any_items)
@settings(max_examples=50)
def test_any_item_comes_back_as_it_went_in(item):
    with kv.Store() as store:
        store.create_table("t", key="id:N")
        given = to_dynamodb_json(item | {"id": 1})
        asked(store, "PutItem", TableName="t", Item=given)
        found = asked(store, "GetItem", TableName="t", Key={"id": {"N": "1"}})["Item"]
        assert found == given
        assert shown(from_dynamodb_json(found)) == shown(normal(item | {"id": 1}))


def test_bytes_may_be_bytes_or_base64(store):
    table = store.create_table("t", key="id:B")
    kv.request(store, "PutItem", {"TableName": "t", "Item": {"id": {"B": b"\x00\xff"}, "s": {"BS": [b"a", b"b"]}}})
    text = base64.b64encode(b"\x00\xff").decode()
    assert table.get(b"\x00\xff") == {"id": b"\x00\xff", "s": {b"a", b"b"}}
    assert asked(store, "GetItem", TableName="t", Key={"id": {"B": text}})["Item"] == {
        "id": {"B": text},
        "s": {"BS": ["YQ==", "Yg=="]},
    }


def test_a_table_may_be_named_by_its_arn(store, orders):
    arn = asked(store, "DescribeTable", TableName="orders")["Table"]["TableArn"]
    assert arn == "arn:aws:dynamodb:local:000000000000:table/orders"
    assert asked(store, "GetItem", TableName=arn, Key=key("ann", 1))["Item"] == order("ann", 1)


FAILING = {"ConditionExpression": "price > :p", "ExpressionAttributeValues": {":p": {"N": "1000"}}}


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("PutItem", {"Item": key("ann", 3)}),
        ("DeleteItem", {"Key": key("ann", 3)}),
        ("UpdateItem", {"Key": key("ann", 3), "UpdateExpression": "REMOVE note"}),
    ],
)
def test_a_condition_that_fails_shows_the_item_only_on_request(store, orders, operation, fields):
    fields = {"TableName": "orders"} | fields | FAILING
    body = {"__type": "ConditionalCheckFailedException", "message": "The conditional request failed", "status": 400}
    assert refused(store, operation, **fields) == body
    assert refused(store, operation, **fields, ReturnValuesOnConditionCheckFailure="NONE") == body
    body["Item"] = order("ann", 3)
    assert refused(store, operation, **fields, ReturnValuesOnConditionCheckFailure="ALL_OLD") == body
    assert orders.get("ann", 3)["price"] == 97


def test_units_are_told_as_they_are_asked_for(store, orders):
    ann = {"TableName": "orders", "Key": key("ann", 3)}
    assert "ConsumedCapacity" not in asked(store, "GetItem", **ann, ReturnConsumedCapacity="NONE")
    units = asked(store, "GetItem", **ann, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]
    assert units == {
        "TableName": "orders", "CapacityUnits": 0.5, "ReadCapacityUnits": 0.5, "WriteCapacityUnits": 0.0,
    }  # fmt: skip
    units = asked(store, "DeleteItem", **ann, ReturnConsumedCapacity="INDEXES")["ConsumedCapacity"]
    assert units["CapacityUnits"] == 3.0
    assert units["Table"]["WriteCapacityUnits"] == 1.0
    assert units["GlobalSecondaryIndexes"]["by_city"]["WriteCapacityUnits"] == 1.0
    assert units["LocalSecondaryIndexes"]["by_price"]["WriteCapacityUnits"] == 1.0
    for consistent, cost in ((True, 1.0), (False, 0.5)):
        for operation, fields in {
            "GetItem": ann,
            "Query": ANN,
            "Scan": {"TableName": "orders", "Limit": 1},
        }.items():
            answer = asked(store, operation, **fields, ConsistentRead=consistent, ReturnConsumedCapacity="TOTAL")
            assert answer["ConsumedCapacity"]["CapacityUnits"] == cost
        said = {"orders": {"Keys": [key("ann", 1), key("ann", 2)], "ConsistentRead": consistent}}
        batch = asked(store, "BatchGetItem", RequestItems=said, ReturnConsumedCapacity="TOTAL")
        assert batch["ConsumedCapacity"][0]["CapacityUnits"] == 2 * cost


# --- pages ---


def test_a_query_is_read_in_both_directions_page_by_page(store, orders):
    assert numbers(asked(store, "Query", **ANN)) == list(range(10))
    assert numbers(asked(store, "Query", **ANN, ScanIndexForward=False)) == list(range(9, -1, -1))
    for forward in (True, False):
        found, start = [], {}
        while True:
            page = asked(store, "Query", **ANN, Limit=4, ScanIndexForward=forward, **start)
            assert page["Count"] == page["ScannedCount"] == len(page["Items"])
            found += numbers(page)
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        assert found == (list(range(10)) if forward else list(range(9, -1, -1)))


@pytest.mark.parametrize("segments", [1, 3])
def test_a_scan_reads_all_page_by_page_and_in_parts(store, orders, segments):
    found = []
    for segment in range(segments):
        start = {}
        while True:
            page = asked(
                store, "Scan", TableName="orders", Limit=4, Segment=segment, TotalSegments=segments, **start
            )  # fmt: skip
            found += [(item["customer"]["S"], int(item["number"]["N"])) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert sorted(found) == [(customer, number) for customer in ("ann", "bob", "eve") for number in range(10)]


def test_an_index_is_read_page_by_page(store, orders):
    city = {
        "TableName": "orders", "IndexName": "by_city", "KeyConditionExpression": "city = :c AND price < :p",
        "ExpressionAttributeValues": {":c": {"S": "Bern"}, ":p": {"N": "98"}},
    }  # fmt: skip
    page = asked(store, "Query", **city, Limit=5)
    assert page["LastEvaluatedKey"] == page["Items"][-1]
    assert set(page["Items"][0]) == {"city", "price", "customer", "number"}
    rest = asked(store, "Query", **city, ExclusiveStartKey=page["LastEvaluatedKey"])
    assert sorted(numbers(page) + numbers(rest)) == sorted([3, 5, 7, 9] * 3)
    assert asked(store, "Scan", TableName="orders", IndexName="by_city", Select="COUNT")["Count"] == 30


def test_select_says_what_is_shown(store, orders):
    assert set(asked(store, "Query", **ANN, Select="COUNT")) == {"Count", "ScannedCount"}
    assert asked(store, "Query", **ANN, Select="ALL_ATTRIBUTES")["Items"][2] == order("ann", 2)
    some = {"Select": "SPECIFIC_ATTRIBUTES", "ProjectionExpression": "note"}
    assert asked(store, "Query", **ANN, **some)["Items"][2] == {"note": {"S": "ann 2"}}
    local = ANN | {"IndexName": "by_price"}
    assert set(asked(store, "Query", **local)["Items"][0]) == {"customer", "number", "price", "note"}
    whole = asked(store, "Query", **local, Select="ALL_ATTRIBUTES", ReturnConsumedCapacity="INDEXES")
    assert whole["Items"] == [order("ann", number) for number in range(9, -1, -1)]
    assert whole["ConsumedCapacity"]["Table"]["CapacityUnits"] == 5.0
    assert whole["ConsumedCapacity"]["LocalSecondaryIndexes"]["by_price"]["CapacityUnits"] == 0.5
    scanned = asked(store, "Scan", TableName="orders", FilterExpression="price > :p",
                    ExpressionAttributeValues={":p": {"N": "98"}})  # fmt: skip
    assert (scanned["Count"], scanned["ScannedCount"]) == (6, 30)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"Select": "SPECIFIC_ATTRIBUTES"}, "without"),
        ({"Select": "COUNT", "ProjectionExpression": "note"}, "with"),
        ({"Select": "ALL_PROJECTED_ATTRIBUTES"}, "IndexName"),
        ({"IndexName": "by_city", "Select": "ALL_ATTRIBUTES"}, "does not hold all"),
        ({"IndexName": "by_citi"}, "did you mean 'by_city'"),
        ({"IndexName": "by_city", "ConsistentRead": True}, "global"),
        ({"Limit": 0}, "at least 1"),
        ({"ExclusiveStartKey": {"customer": {"S": "ann"}}}, "ExclusiveStartKey does not match the schema"),
        ({"Segment": 0}, "come together"),
        ({"Segment": 3, "TotalSegments": 3}, "segment"),
    ],
)
def test_a_page_that_makes_no_sense_is_refused(store, orders, fields, says):
    body = refused(store, "Scan", TableName="orders", **fields)
    assert body["__type"] == "ValidationException"
    assert says in body["message"]


# --- several at once ---


def test_a_batch_reads_several_tables(store, orders):
    store.create_table("other", key="id:S").put({"id": "x", "a": 1, "b": 2})
    said = {
        "orders": {"Keys": [key("ann", 1), key("zoe", 1), key("bob", 2)]},
        "other": {"Keys": [{"id": {"S": "x"}}], "ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": "a"}},
        "arn:aws:dynamodb:local:000000000000:table/other": {"Keys": [{"id": {"S": "y"}}]},
    }
    answer = asked(store, "BatchGetItem", RequestItems=said)
    assert answer["Responses"] == {
        "orders": [order("ann", 1), order("bob", 2)],
        "other": [{"a": {"N": "1"}}],
        "arn:aws:dynamodb:local:000000000000:table/other": [],
    }
    assert answer["UnprocessedKeys"] == {}


def test_what_a_batch_has_no_units_for_comes_back_to_be_asked_again(store, clock):
    table = store.create_table("t", key="id:N", capacity=(2, 3))
    store.create_table("free", key="id:N")
    writes = [{"PutRequest": {"Item": {"id": {"N": str(n)}, "x": {"B": "AA=="}}}} for n in range(5)]
    said = {"t": writes, "free": writes[:2]}
    answer = asked(store, "BatchWriteItem", RequestItems=said, ReturnConsumedCapacity="TOTAL")
    assert answer["UnprocessedItems"] == {"t": writes[3:]}
    assert {units["TableName"]: units["CapacityUnits"] for units in answer["ConsumedCapacity"]} == {
        "t": 3.0,
        "free": 2.0,
    }
    clock.advance(10)
    assert asked(store, "BatchWriteItem", RequestItems=answer["UnprocessedItems"]) == {"UnprocessedItems": {}}
    bucket = table.records.capacity.read
    bucket.charge(bucket.level)
    keys = [{"id": {"N": str(n)}} for n in range(5)]
    said = {"t": {"Keys": keys, "ProjectionExpression": "id", "ConsistentRead": True}, "free": {"Keys": keys[:1]}}
    answer = asked(store, "BatchGetItem", RequestItems=said)
    assert answer["UnprocessedKeys"] == {"t": said["t"]}
    assert refused(store, "BatchGetItem", RequestItems=answer["UnprocessedKeys"])["__type"] == THROTTLED
    clock.advance(600)
    answer = asked(store, "BatchGetItem", RequestItems=answer["UnprocessedKeys"])
    assert (answer["UnprocessedKeys"], len(answer["Responses"]["t"])) == ({}, 5)


THROTTLED = "ProvisionedThroughputExceededException"


def test_a_batch_deletes_too(store, orders):
    said = {"orders": [{"DeleteRequest": {"Key": key("ann", 1)}}, {"PutRequest": {"Item": order("zoe", 1)}}]}
    asked(store, "BatchWriteItem", RequestItems=said)
    assert orders.get("ann", 1) is None
    assert orders.get("zoe", 1)["note"] == "zoe 1"


def test_a_transaction_happens_as_a_whole_and_once(store, orders):
    table = {"TableName": "orders"}
    condition = {"ConditionExpression": "attribute_exists(customer)"}
    actions = [
        {"Put": table | {"Item": order("zoe", 1), "ConditionExpression": "attribute_not_exists(customer)"}},
        {"Update": table | {"Key": key("ann", 1), "UpdateExpression": "ADD price :one",
                            "ExpressionAttributeValues": {":one": {"N": "1"}}}},
        {"Delete": table | {"Key": key("ann", 2)}},
        {"ConditionCheck": table | {"Key": key("ann", 3)} | condition},
    ]  # fmt: skip
    said = {"TransactItems": actions, "ClientRequestToken": "once", "ReturnConsumedCapacity": "TOTAL"}
    assert asked(store, "TransactWriteItems", **said)["ConsumedCapacity"][0]["WriteCapacityUnits"] > 8
    asked(store, "TransactWriteItems", **said)
    assert orders.get("ann", 1)["price"] == 100
    gets = [{"Get": table | {"Key": key(*which)}} for which in (("zoe", 1), ("ann", 2))]
    gets.append({"Get": table | {"Key": key("ann", 1), "ProjectionExpression": "price"}})
    assert asked(store, "TransactGetItems", TransactItems=gets) == {
        "Responses": [{"Item": order("zoe", 1)}, {}, {"Item": {"price": {"N": "100"}}}]
    }
    body = refused(store, "TransactWriteItems", TransactItems=actions[2:], ClientRequestToken="once")
    assert body["__type"] == "IdempotentParameterMismatchException"


def test_a_cancelled_transaction_says_why_for_each_action(store, orders):
    table = {"TableName": "orders"}
    check = {"ConditionExpression": "attribute_not_exists(customer)"}
    update = {"UpdateExpression": "SET price = none_there + :n", "ExpressionAttributeValues": {":n": {"N": "1"}}}
    actions = [
        {"ConditionCheck": table | {"Key": key("ann", 1)} | check},
        {"Delete": table | {"Key": key("ann", 2)}},
        {"Put": table | {"Item": order("ann", 3), "ReturnValuesOnConditionCheckFailure": "ALL_OLD"} | check},
        {"Update": table | {"Key": key("ann", 4)} | update},
    ]
    body = refused(store, "TransactWriteItems", TransactItems=actions)
    assert body["__type"] == "TransactionCanceledException"
    assert body["message"].endswith("reasons [ConditionalCheckFailed, None, ConditionalCheckFailed, ValidationError]")
    failed = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    assert body["CancellationReasons"][:3] == [failed, {"Code": "None"}, failed | {"Item": order("ann", 3)}]
    assert orders.get("ann", 2) is not None


# --- PartiQL ---


def test_a_statement_reads_page_by_page(store, orders):
    said = {"Statement": 'SELECT * FROM "orders" WHERE customer = ?', "Parameters": [{"S": "ann"}], "Limit": 4}
    found, more = [], {}
    while True:
        page = asked(store, "ExecuteStatement", **said, **more, ReturnConsumedCapacity="TOTAL")
        assert page["ConsumedCapacity"]["TableName"] == "orders"
        found += numbers(page)
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
        other = said | {"Statement": 'SELECT price FROM "orders" WHERE customer = ?'}
        assert "another statement" in refused(store, "ExecuteStatement", **other, **more)["message"]
    assert found == list(range(10))
    assert "NextToken" in refused(store, "ExecuteStatement", **said, NextToken="?")["message"]


def test_statements_write_and_say_why_they_do_not(store, orders):
    insert = {"Statement": "INSERT INTO orders VALUE ?", "Parameters": [{"M": order("zoe", 1)}]}
    assert asked(store, "ExecuteStatement", **insert) == {"Items": []}
    assert refused(store, "ExecuteStatement", **insert)["__type"] == "DuplicateItemException"
    update = {
        "Statement": "UPDATE orders SET price = ? WHERE customer = 'zoe' AND \"number\" = 1 AND price > 1000 ",
        "Parameters": [{"N": "1"}],
    }
    assert "Item" not in refused(store, "ExecuteStatement", **update)
    body = refused(store, "ExecuteStatement", **update, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert (body["__type"], body["Item"]) == ("ConditionalCheckFailedException", order("zoe", 1))
    returning = update["Statement"].replace("price > 1000", "price > 1") + "RETURNING MODIFIED NEW *"
    assert asked(store, "ExecuteStatement", Statement=returning, Parameters=[{"N": "1"}])["Items"] == [
        {"price": {"N": "1"}}
    ]


def test_a_batch_of_statements_answers_each_by_itself(store, orders):
    answer = asked(
        store,
        "BatchExecuteStatement",
        Statements=[
            {"Statement": "SELECT note FROM orders WHERE customer = 'ann' AND \"number\" = 1", "ConsistentRead": True},
            {"Statement": "SELECT * FROM orders WHERE customer = 'ann' AND \"number\" = 77"},
            {"Statement": "SELECT * FROM nothing WHERE customer = 'ann' AND \"number\" = 77"},
            {"Statement": "SELEKT"},
        ],
        ReturnConsumedCapacity="TOTAL",
    )
    assert answer["Responses"][:2] == [
        {"TableName": "orders", "Item": {"note": {"S": "ann 1"}}},
        {"TableName": "orders"},
    ]
    assert [response["Error"]["Code"] for response in answer["Responses"][2:]] == [
        "ResourceNotFound",
        "ValidationError",
    ]
    failing = {"Statement": "UPDATE orders SET x = 1 WHERE customer = 'ann' AND \"number\" = 1 AND price > 1000"}
    asks = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    answers = asked(store, "BatchExecuteStatement", Statements=[failing, failing | asks])["Responses"]
    assert [response["Error"]["Code"] for response in answers] == ["ConditionalCheckFailed"] * 2
    assert ["Item" in response["Error"] for response in answers] == [False, True]


def test_statements_in_a_transaction(store, orders):
    text = 'SELECT note FROM orders WHERE customer = ? AND "number" = ?'
    reads = [{"Statement": text, "Parameters": [{"S": "ann"}, {"N": number}]} for number in ("1", "77")]
    answer = asked(store, "ExecuteTransaction", TransactStatements=reads, ClientRequestToken="of no use")
    assert answer == {"Responses": [{"Item": {"note": {"S": "ann 1"}}}, {}]}
    insert = {"Statement": "INSERT INTO orders VALUE ?", "Parameters": [{"M": order("zoe", 1)}]}
    assert asked(store, "ExecuteTransaction", TransactStatements=[insert], ClientRequestToken="a") == {}
    body = refused(store, "ExecuteTransaction", TransactStatements=[insert], ClientRequestToken="b")
    assert body["CancellationReasons"][0]["Code"] == "DuplicateItem"
