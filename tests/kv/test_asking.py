"""What each request asks a policy for: action, resource, leading keys, attributes, context."""

from decimal import Decimal

import pytest
from policed import ORDER, PAID, RETURNS, SCANS, SELECT, STREAM, WITHIN, made

from engines import kv
from engines.kv.access import asking
from engines.kv.access.asking import Asked
from engines.kv.throttle import Consumed


@pytest.fixture
def store():
    with made() as store:
        yield store


# -- what each request asks for ---------------------------------------------------------------------------------------

KEY = {"customer", "n"}
PUT = {RETURNS: "NONE", PAID: "NONE"}
ALL = {SELECT: "ALL_ATTRIBUTES", PAID: "NONE"}


def asked(action, leading=(), attributes=(), context=None, resource="table/orders"):
    return Asked(action, resource, tuple(leading), frozenset(KEY.union(attributes)), context or {})


@pytest.mark.parametrize(
    ("ask", "arguments", "options", "expected"),
    [
        (asking.get, ("ann", 1), {}, asked("GetItem", ["ann"], [], ALL)),
        (
            asking.get,
            ("ann", Decimal("1.0")),
            {"projection": "price, note.a[1], #x", "names": {"#x": "x.y"}, "consistent": True, "consumed": Consumed()},
            asked("GetItem", ["ann"], ["price", "note", "x.y"], {SELECT: "SPECIFIC_ATTRIBUTES", PAID: "INDEXES"}),
        ),
        (asking.put, (ORDER,), {}, asked("PutItem", ["ann"], ["price", "note"], PUT)),
        (
            asking.put,
            ({"customer": "ann", "n": 1},),
            {
                "condition": "attribute_not_exists(a.b) OR #c BETWEEN :x AND d OR size(e) IN (:x, f) AND NOT "
                "begins_with(g, :x)",
                "names": {"#c": "c"},
                "values": {":x": 1},
                "returns": "ALL_OLD",
            },
            asked("PutItem", ["ann"], "acdefg", {RETURNS: "ALL_OLD", PAID: "NONE"}),
        ),
        (
            asking.update,
            (
                ("ann", 1),
                "SET a.b = if_not_exists(c, :v), d = e + f, g = list_append(h, :v) REMOVE i[0] ADD j :v DELETE k :v",
            ),
            {"condition": "l = :v", "returns": "UPDATED_NEW"},
            asked("UpdateItem", ["ann"], "acdefghijkl", {RETURNS: "UPDATED_NEW", PAID: "NONE"}),
        ),
        (asking.delete, ("ann", 1), {"condition": "a = b"}, asked("DeleteItem", ["ann"], "ab", PUT)),
        (
            asking.query,
            ("customer = :c AND n > :n",),
            {"values": {":c": "ann", ":n": 0}},
            asked("Query", ["ann"], [], ALL),
        ),
        (
            asking.query,
            ("#c = :c",),
            {"names": {"#c": "customer"}, "values": {":c": "ann"}, "filter": "a = :c", "projection": "b"},
            asked("Query", ["ann"], "ab", {SELECT: "SPECIFIC_ATTRIBUTES", PAID: "NONE"}),
        ),
        (
            asking.query,
            ("customer = :c",),
            {"values": {":c": "ann"}, "count": True, "limit": 5, "reverse": True},
            asked("Query", ["ann"], [], {SELECT: "COUNT", PAID: "NONE"}),
        ),
        (
            asking.query,
            ("price = :t",),
            {"values": {":t": Decimal("5.0")}, "index": "by_price"},
            asked(
                "Query",
                [5],
                ["price"],
                {SELECT: "ALL_PROJECTED_ATTRIBUTES", PAID: "NONE"},
                "table/orders/index/by_price",
            ),
        ),
        (asking.scan, (), {"filter": "a = :a", "segment": 1, "segments": 2}, asked("Scan", [], "a", ALL)),
        (
            asking.scan,
            (),
            {"index": "by_price", "projection": "customer"},
            asked("Scan", [], ["price"], {SELECT: "SPECIFIC_ATTRIBUTES", PAID: "NONE"}, "table/orders/index/by_price"),
        ),
        (asking.explain_query, (), {"filter": "a = :a"}, asked("Scan", [], "a", {SELECT: "COUNT", PAID: "NONE"})),
        (
            asking.explain_query,
            ("customer = :c",),
            {"values": {":c": "ann"}},
            asked("Query", ["ann"], [], {SELECT: "COUNT", PAID: "NONE"}),
        ),
        (asking.table_changes, (), {"after": 7}, Asked("GetRecords", STREAM)),
        (asking.on_table("DescribeTable"), (), {}, Asked("DescribeTable", "table/orders")),
    ],
)
def test_what_a_verb_of_a_table_asks_for(store, ask, arguments, options, expected):
    found = ask(store.table("orders"), *arguments, **options)
    assert found == expected
    assert [type(key) for key in found.leading_keys] == [type(key) for key in expected.leading_keys]


IN = {"dynamodb:EnclosingOperation": "TransactWriteItems"}


@pytest.mark.parametrize(
    ("ask", "arguments", "options", "expected"),
    [
        (
            asking.transact,
            (
                [
                    kv.Put("orders", ORDER, condition="a = :a"),
                    kv.Update("orders", ("bob", 1), "SET b = c"),
                    kv.Delete("orders", ("eve", 1)),
                    kv.Check("orders", ("zoe", 1), condition="#d = e", names={"#d": "d"}),
                    kv.Delete("users", b"\xff"),
                ],
            ),
            {"token": "t"},
            [
                asked("PutItem", ["ann"], ["price", "note", "a"], PUT | IN),
                asked("UpdateItem", ["bob"], "bc", PUT | IN),
                asked("DeleteItem", ["eve"], [], PUT | IN),
                asked("ConditionCheckItem", ["zoe"], "de", PUT | IN),
                Asked("DeleteItem", "table/users", (b"\xff",), frozenset(["id"]), PUT | IN),
            ],
        ),
        (
            asking.transact,
            ([kv.Get("orders", ("ann", 1)), kv.Get("orders", ("bob", 1), "a")],),
            {"consumed": Consumed()},
            [
                asked("GetItem", ["ann"], [], {SELECT: select, PAID: "INDEXES", WITHIN: "TransactGetItems"})
                for select in ["ALL_ATTRIBUTES"]
            ]
            + [
                asked(
                    "GetItem",
                    ["bob"],
                    "a",
                    {SELECT: "SPECIFIC_ATTRIBUTES", PAID: "INDEXES", WITHIN: "TransactGetItems"},
                )
            ],
        ),
        (asking.transact, ([],), {}, []),
        (
            asking.batch_get,
            ([kv.Get("orders", ("ann", 1), "a"), ("users", b"u"), kv.Get("orders", ("ann", 2), "b")],),
            {},
            [
                asked("BatchGetItem", ["ann"], "ab", {SELECT: "SPECIFIC_ATTRIBUTES", PAID: "NONE"}),
                Asked("BatchGetItem", "table/users", (b"u",), frozenset(["id"]), ALL),
            ],
        ),
        (
            asking.batch_get,
            ([kv.Get("orders", ("ann", 1), "a"), ("orders", ("bob", 1))],),
            {"consumed": Consumed()},
            [asked("BatchGetItem", ["ann", "bob"], "a", {SELECT: "ALL_ATTRIBUTES", PAID: "INDEXES"})],
        ),
        (
            asking.batch_write,
            ([kv.Put("orders", ORDER), kv.Delete("orders", ("bob", 1)), kv.Delete("orders", ("ann", 2))],),
            {},
            [asked("BatchWriteItem", ["ann", "bob"], ["price", "note"], {PAID: "NONE"})],
        ),
        (
            asking.statement,
            ("SELECT price FROM orders WHERE customer IN [?, 'bob'] AND x = 1", ["ann"]),
            {},
            asked(
                "PartiQLSelect",
                ["ann", "bob"],
                ["price", "x"],
                {SELECT: "SPECIFIC_ATTRIBUTES", PAID: "NONE", SCANS: False},
            ),
        ),
        (
            asking.statement,
            ("SELECT * FROM orders WHERE x = 1",),
            {"limit": 1},
            asked("PartiQLSelect", [], "x", ALL | {SCANS: True}),
        ),
        (
            asking.statement,
            ("SELECT * FROM orders.by_price WHERE price = 5",),
            {},
            asked(
                "PartiQLSelect",
                [5],
                ["price"],
                {SELECT: "ALL_PROJECTED_ATTRIBUTES", PAID: "NONE", SCANS: False},
                "table/orders/index/by_price",
            ),
        ),
        (
            asking.statement,
            ("INSERT INTO orders VALUE {'customer': 'ann', 'n': 9, 'x': 1}",),
            {"consumed": Consumed()},
            asked("PartiQLInsert", ["ann"], "x", {RETURNS: "NONE", PAID: "INDEXES"}),
        ),
        (
            asking.statement,
            ("UPDATE orders SET x = y + 1 WHERE customer = 'ann' AND n = 1 AND z = 2 RETURNING ALL OLD *",),
            {},
            asked("PartiQLUpdate", ["ann"], "xyz", {RETURNS: "ALL_OLD", PAID: "NONE"}),
        ),
        (
            asking.statement,
            ("DELETE FROM orders WHERE customer = 'ann' AND n = 1",),
            {},
            asked("PartiQLDelete", ["ann"], [], PUT),
        ),
        (
            asking.statements,
            (
                [
                    "EXISTS(SELECT * FROM orders WHERE customer = 'ann' AND n = 1 AND x = 1)",
                    ("DELETE FROM orders WHERE customer = ? AND n = 2", ["bob"]),
                ],
            ),
            {},
            [
                asked("PartiQLSelect", ["ann"], "x", PUT | {WITHIN: "ExecuteTransaction"}),
                asked("PartiQLDelete", ["bob"], [], PUT | {WITHIN: "ExecuteTransaction"}),
            ],
        ),
        (asking.backup, ("name",), {}, [Asked("CreateBackup", f"table/{name}") for name in ("orders", "users")]),
        (asking.backup, ("name",), {"tables": ["users"]}, [Asked("CreateBackup", "table/users")]),
        (
            asking.restore,
            ("orders",),
            {"to": "again", "at": 5},
            [Asked("RestoreTableToPointInTime", f"table/{name}") for name in ("orders", "again")],
        ),
        (
            asking.restore,
            ("gone",),
            {"to": "again", "snapshot": "s"},
            [Asked("RestoreTableFromBackup", f"table/{name}") for name in ("gone", "again")],
        ),
        (asking.on_all("ListTables"), (), {}, Asked("ListTables", "*")),
        (asking.on_named("DeleteTable"), ("orders",), {}, Asked("DeleteTable", "table/orders")),
        (asking.on_new("CreateTable"), ("new", "id:S"), {"ttl": "t"}, Asked("CreateTable", "table/new")),
    ],
)
def test_what_a_verb_of_a_store_asks_for(store, ask, arguments, options, expected):
    assert ask(store, *arguments, **options) == expected
