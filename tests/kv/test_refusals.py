"""What a table refuses: wrong items, keys, queries, conditions. Each with a sentence, and nothing is changed."""

import re
from contextlib import ExitStack
from decimal import Decimal

import pytest

from engines.errors import (
    AlreadyExists,
    EngineError,
    Invalid,
    NotFound,
    QueryError,
    TooLarge,
)

ANN = {"customer": "ann", "order": 1, "price": Decimal("9.5")}


def contents(store):
    """All that a refused call must not have changed."""
    tables = {name: store.table(name).scan().all() for name in store.tables()}
    return tables, list(store.changes())


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"customer": 1, "order": 1}, "'customer' must be a string"),
        ({"customer": b"ann", "order": 1}, "'customer' must be a string"),
        ({"customer": "ann", "order": "1"}, "'order' must be a number"),
        ({"customer": "ann", "order": True}, "'order' must be a number"),
        ({"customer": "ann", "order": 1.5}, "Decimal"),
        ({"customer": "ann", "order": None}, "'order' must be a number"),
        ({"customer": "ann"}, "'order' is missing: every item here needs it"),
        ({"order": 1}, "'customer' is missing"),
        ({}, "is missing"),
        ({"customer": "", "order": 1}, "'customer' is empty"),
        ({"customer": "x" * 2049, "order": 1}, "at most 2,048"),
        ({"customer": "\ud800", "order": 1}, "surrogate"),
        ({"customer": "ann", "order": 10**38 + 1}, "38"),
        ({"customer": "ann", "order": Decimal("NaN")}, "order"),
        ({"customer": "ann", "order": 1, "n": 10**38 + 1}, "38"),
        ({"customer": "ann", "order": 1, "n": Decimal("1." + "1" * 38)}, "38"),
        ({"customer": "ann", "order": 1, "n": Decimal("1E+126")}, "'n'"),
        ({"customer": "ann", "order": 1, "n": Decimal("Infinity")}, "'n'"),
        ({"customer": "ann", "order": 1, "n": 0.5}, "write Decimal('0.5')"),
        ({"customer": "ann", "order": 1, "n": object()}, "an item holds str, int, Decimal"),
        ({"customer": "ann", "order": 1, "n": set()}, "set"),
        ({"customer": "ann", "order": 1, "n": {1, "a"}}, "set"),
        ({"customer": "ann", "order": 1, 5: 1}, "attribute names are strings"),
        ({"customer": "ann", "order": 1, "expires": Decimal("NaN")}, "'expires'"),
        ({"customer": "ann", "order": 1, "expires": Decimal("sNaN")}, "'expires'"),
        ({"customer": "ann", "order": 1, "expires": Decimal("Infinity")}, "'expires'"),
        ({"customer": "ann", "order": 1, "expires": Decimal("1E+999999")}, "'expires'"),
        ([("customer", "ann")], "an item is a dict"),
        (None, "an item is a dict"),
    ],
)
def test_a_wrong_item_is_refused_with_a_sentence_and_nothing_is_changed(store, orders, item, says):
    orders.put(ANN)
    before = contents(store)
    with pytest.raises(Invalid) as refused:
        orders.put(item)
    assert says in str(refused.value)

    def put_both(batch):
        batch.put(ANN | {"price": 10})
        batch.put(item)

    with pytest.raises(Invalid, match=re.escape(says)), orders.batch_writer() as batch:
        put_both(batch)
    assert contents(store) == before


def test_an_item_over_400_kb_is_refused_and_one_of_exactly_that_is_not(store, orders):
    room = 409_600 - len("customer" + "ann" + "order" + "text") - 2
    orders.put({"customer": "ann", "order": 1, "text": "x" * room})
    before = contents(store)
    with pytest.raises(TooLarge, match="split it") as refused:
        orders.put({"customer": "ann", "order": 2, "text": "x" * (room + 1)})
    assert (refused.value.size, refused.value.limit) == (409_601, 409_600)
    assert contents(store) == before


@pytest.mark.parametrize(
    "key",
    [(), ("ann",), ("ann", 1, 2), (1, 1), ("ann", "1"), (("ann", 1),), ("ann", None), ("", 1), ("ann", 10**38 + 1)],
)
def test_a_wrong_key_is_refused_by_get_delete_and_start(store, orders, key):
    orders.put(ANN)
    before = contents(store)
    deletes = ExitStack().enter_context(orders.batch_writer()).delete
    for call in (orders.get, orders.delete, lambda *key: orders.scan(start=key), deletes):
        with pytest.raises(Invalid, match="key"):
            call(*key)
    assert contents(store) == before


def test_a_sort_key_has_at_most_1024_bytes_and_a_partition_key_2048(store):
    table = store.create_table("t", key=("p:S", "s:B"))
    longest = {"p": "é" * 1024, "s": b"\0" * 1024}
    table.put(longest)
    assert table.get("é" * 1024, b"\0" * 1024) == longest
    assert table.query("p = :p AND s >= :s", values={":p": longest["p"], ":s": b"\0"}).items == [longest]
    for wrong in ({"p": "é" * 1024 + "a", "s": b"a"}, {"p": "a", "s": b"a" * 1025}):
        with pytest.raises(Invalid, match="at most"):
            table.put(wrong)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"key_condition": "customer = :c"}, Invalid, "has no ':c'"),
        ({"key_condition": "customer = :c", "values": {":c": 1}}, Invalid, "must be a string"),
        ({"key_condition": "customer = :c", "values": {":c": "ann", ":d": 1}}, Invalid, "no expression uses :d"),
        ({"key_condition": "customer = :c AND", "values": {":c": "ann"}}, QueryError, "line 1"),
        ({"key_condition": "price = :c", "values": {":c": 1}}, Invalid, "price"),
        ({"key_condition": "customer > :c", "values": {":c": "ann"}}, EngineError, "customer"),
        ({"key_condition": "customer = :c", "values": {":c": "ann"}, "limit": 0}, Invalid, "at least 1"),
        ({"key_condition": "customer = :c", "values": {":c": "ann"}, "limit": True}, Invalid, "at least 1"),
        ({"key_condition": "customer = :c", "values": {":c": "ann"}, "start": ("bob", 1)}, Invalid, "last_key"),
        ({"key_condition": "customer = :c", "values": {":c": "ann"}, "filter": "price >"}, QueryError, "line 1"),
    ],
)
def test_a_wrong_query_is_refused_before_anything_is_read(orders, options, error, says):
    with pytest.raises(error) as refused:
        orders.query(**options)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"condition": "price >"},
        {"condition": "price = :t"},
        {"condition": "price = :t", "values": {":t": 0.5}},
        {"values": {":t": 1}},
        {"names": {"#t": "price"}},
        {"returns": "ALL_NEW"},
    ],
)
def test_a_wrong_condition_is_refused_even_where_there_is_no_item(store, orders, options):
    before = contents(store)
    for call in (lambda **options: orders.put(ANN, **options), lambda **options: orders.delete("ann", 1, **options)):
        with pytest.raises(EngineError):
            call(**options)
    assert contents(store) == before


# -- tables ------------------------------------------------------------------------------------------------------------


def test_an_unknown_table_is_not_found_and_the_nearest_is_offered(store, orders):
    with pytest.raises(NotFound, match="did you mean 'orders'"):
        store.table("order")
    with pytest.raises(NotFound, match="there is no table 'orderz'"):
        store.drop_table("orderz")
    assert store.tables() == ["orders"]


def test_a_name_is_taken_once(store, orders):
    with pytest.raises(AlreadyExists, match=r"store\.table\('orders'\)"):
        store.create_table("orders", key="id:S")
    assert store.table("orders") is orders
    assert orders.describe()["key"] == ["customer:S", "order:N"]


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "x" * 256},
        {"name": 5},
        {"key": "id"},
        {"key": "id:X"},
        {"key": ":S"},
        {"key": ()},
        {"key": ("a:S", "b:S", "c:S")},
        {"key": ("a:S", "a:N")},
        {"ttl": "id"},
        {"ttl": ""},
        {"ttl": 5},
        {"stream": "ALL"},
        {"stream": 1},
    ],
)
def test_a_table_that_makes_no_sense_is_refused_and_nothing_is_logged(store, options):
    last = store.log.last
    with pytest.raises(Invalid):
        store.create_table(**{"name": "t", "key": "id:S"} | options)
    assert store.tables() == []
    assert store.log.last == last


def test_a_dropped_table_is_gone_for_every_use_and_its_name_starts_anew(store, orders):
    orders.put(ANN)
    batch = ExitStack().enter_context(orders.batch_writer())
    batch.put(ANN | {"price": 7})
    store.drop_table("orders")
    uses = [
        lambda: orders.get("ann", 1),
        lambda: orders.put(ANN),
        lambda: orders.delete("ann", 1),
        lambda: orders.query("customer = :c", values={":c": "ann"}),
        orders.scan,
        orders.explain,
        orders.describe,
        batch.flush,
        lambda: store.table("orders"),
    ]
    for use in uses:
        with pytest.raises(NotFound, match=r"orders was dropped|no table 'orders'"):
            use()
    again = store.create_table("orders", key="id:N", stream=True)
    assert again.scan().items == []
    again.put({"id": 1})
    assert [change.key for change in store.changes()] == [(1,)]
    assert store.verify().ok


def test_there_is_room_for_so_many_tables_and_one_more_is_refused_before_it_is_logged(store, monkeypatch):
    monkeypatch.setattr("engines.kv.schema.MAX_KEYSPACES", 8)
    for number in range(3):
        store.create_table(f"t{number}", key="id:N", ttl="expires")
    last = store.log.last
    with pytest.raises(TooLarge, match="drop a table and make a checkpoint"):
        store.create_table("more", key="id:N")
    assert store.log.last == last
    store.drop_table("t0")
    store.checkpoint()
    store.create_table("more", key="id:N")


@pytest.mark.parametrize(
    "ask",
    [
        lambda orders: orders.query(5),
        lambda orders: orders.query("customer = :c", values={":c": "ann"}, filter=7),
        lambda orders: orders.scan(filter=[]),
        lambda orders: orders.put(ANN, condition=b"attribute_exists(price)"),
        lambda orders: orders.delete("ann", 1, condition=0),
        lambda orders: orders.query("customer = :c", values={":c": "ann"}, start=5),
    ],
)
def test_what_is_no_text_is_no_expression_and_what_is_no_tuple_no_start(store, orders, ask):
    orders.put(ANN)
    before = contents(store)
    with pytest.raises(Invalid, match=r"is an expression, a text like|start is the last_key of a page"):
        ask(orders)
    assert contents(store) == before
