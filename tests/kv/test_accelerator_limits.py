"""The accelerator at its limits: how much it holds, what it refuses, and what it does when its table has ended."""

from datetime import timedelta
from decimal import Decimal

import pytest
from accelerated import ANN, OF_ANN, counted, counters, fast, orders

from engines import kv
from engines.errors import (
    Closed,
    EngineError,
    Invalid,
    NotFound,
)

__all__ = ["fast", "orders"]  # fixtures


# -- limits -----------------------------------------------------------------------------------------------------------


def test_both_caches_hold_so_many_items_and_no_more(orders):
    fast = kv.Accelerator(orders, max_items=10)
    for order in range(50):
        fast.put(ANN | {"order": order})
        fast.get("bob", order)
        page = fast.query("customer = :c AND #o < :o", names={"#o": "order"}, values={":c": "ann", ":o": order})
        assert len(page) == order
    rows = counters(fast)
    assert rows["items"]["entries"] == 10
    assert rows["items"]["evictions"] == 90
    assert 0 < rows["queries"]["size"] <= 10
    assert rows["queries"]["entries"] + rows["queries"]["evictions"] == 10  # the pages that have room for themselves


def test_both_caches_hold_so_many_bytes_and_no_more(orders):
    fast = kv.Accelerator(orders, max_items=None, max_bytes=20_000)
    for order in range(50):
        fast.put(ANN | {"order": order, "text": "x" * 1000})
        fast.query("customer = :c AND #o = :o", names={"#o": "order"}, values={":c": "ann", ":o": order})
    rows = counters(fast)
    for name in ("items", "queries"):
        assert 10 < rows[name]["entries"] < 20
        assert 10_000 < rows[name]["size"] <= 20_000


def test_what_finds_no_room_is_not_cached_and_nothing_stale_stays(orders):
    fast = kv.Accelerator(orders, max_bytes=2000)
    fast.put(ANN)
    big = ANN | {"text": "x" * 5000}
    fast.put(big)
    assert fast.get("ann", 1) == big
    assert fast.query(**OF_ANN).items == fast.query(**OF_ANN).items == [big]
    assert [row["entries"] for row in counters(fast).values()] == [0, 0]


def test_clear_forgets_items_and_pages(orders, fast):
    fast.get("ann", 1)
    fast.query(**OF_ANN)
    orders.put(ANN | {"price": 10})
    fast.clear()
    assert fast.get("ann", 1)["price"] == fast.query(**OF_ANN).items[0]["price"] == 10


def test_stats_say_what_became_of_entries_and_lookups(clock, fast):
    for _ in range(3):
        fast.get("ann", 1)
        fast.get("bob", 1)
        fast.query(**OF_ANN)
    clock.advance(5)
    rows = counters(fast)
    assert rows["items"] == ("items", 0, 0, 2, 2, 2, 4 / 6, 0, 2)
    assert rows["queries"] == ("queries", 0, 0, 2, 0, 1, 2 / 3, 0, 1)
    assert "orders" in str(fast.stats())
    assert repr(fast) == "<kv.Accelerator of table orders, 0 items>"


# -- refusals ---------------------------------------------------------------------------------------------------------

BAD = [
    ("get", ("ann",), {}),
    ("get", (1, 1), {}),
    ("get", ("ann", 1.5), {}),
    ("get", ("ann", "1"), {}),
    ("get", ("ann", 1), {"projection": "a,"}),
    ("get", ("ann", 1), {"projection": 5}),
    ("get", ("ann", 1), {"projection": ""}),
    ("get", ("ann", 1), {"names": {"#a": "a"}}),
    ("get", ("ann", 1), {"projection": "#a"}),
    ("put", ({"customer": "ann"},), {}),
    ("put", ([1],), {}),
    ("put", (ANN | {"x": 0.5},), {}),
    ("put", (ANN | {"x": "x" * 409_600},), {}),
    ("put", (ANN,), {"condition": "price"}),
    ("put", (ANN,), {"returns": "ALL_NEW"}),
    ("update", (("ann", 1), "SET"), {}),
    ("update", (("ann", 1), 5), {}),
    ("update", (("ann", 1), "SET price = :p"), {}),
    ("update", (("ann", 1), "SET #o = :p"), {"names": {"#o": "order"}, "values": {":p": 1}}),
    ("delete", ("ann",), {}),
    ("query", (5,), {}),
    ("query", ("order = :c",), {"values": {":c": 1}}),
    ("query", ("customer = :c",), {}),
    ("query", ("customer = :c",), {"values": {":c": 0.5}}),
    ("query", ("customer = :c",), {"values": {":c": 1}}),
    ("query", ("customer = :c",), {"values": [":c"]}),
    ("query", ("customer = :c",), {"values": {":c": "ann", ":d": 1}}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "names": {}, "limit": 0}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "limit": True}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "limit": Decimal(1)}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "limit": 1.0}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "index": "none"}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "index": b"none"}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "start": "ann"}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "start": ("bob", 1)}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "start": ("ann", 1.5)}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "projection": "price", "count": True}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "wrong": 1}),
    ("query", (), {}),
    ("scan", (), {"filter": "price"}),
    ("scan", (), {"filter": False}),
    ("scan", (), {"segment": 1}),
    ("scan", (), {"segment": None}),
    ("query", ("customer = :c",), {"values": {":c": "ann"}, "key_condition": "customer = :c"}),
    ("scan", (), {"segment": 0, "segments": 0}),
    ("scan", (), {"names": {"#a": b"price"}, "filter": "attribute_exists(#a)"}),
    ("scan", ("customer = :c",), {}),
]


@pytest.mark.parametrize(("verb", "arguments", "options"), BAD)
def test_bad_input_is_refused_as_by_the_table_and_leaves_no_trace(orders, fast, verb, arguments, options):
    for limit in (None, 1):
        fast.query(**OF_ANN, limit=limit)
    fast.scan()
    fast.scan(filter="attribute_exists(#a)", names={"#a": "price"})
    fast.get("ann", 1)
    before = [row["entries"] for row in counters(fast).values()]
    with pytest.raises((EngineError, TypeError)) as expected:
        getattr(orders, verb)(*arguments, **options)
    for _ in range(2):
        with pytest.raises(type(expected.value)) as found:
            getattr(fast, verb)(*arguments, **options)
        assert str(found.value) == str(expected.value)
    assert [row["entries"] for row in counters(fast).values()] == before
    assert orders.scan().items == [ANN]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ([], "1 to 100"),
        ([("a", n) for n in range(101)], "1 to 100"),
        ([("a", 1), ["a", 1]], "once"),
        (["a"], "two components"),
    ],
)
def test_a_batch_that_makes_no_sense(fast, keys, says):
    with pytest.raises(Invalid, match=says):
        fast.batch_get(keys)
    assert counted(fast) == (0, 0, 0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_items": 0}, "max_items"),
        ({"max_items": True}, "max_items"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"ttl": -1}, "ttl is a number of seconds"),
        ({"ttl": "5"}, "ttl is a number of seconds"),
        ({"ttl": True}, "ttl is a number of seconds"),
        ({"ttl": float("nan")}, "ttl is a number of seconds"),
        ({"ttl": None}, "ttl is a number of seconds"),
        ({"query_ttl": float("inf")}, "query_ttl is a number of seconds"),
        ({"query_ttl": 10**10}, "query_ttl is a number of seconds"),
    ],
)
def test_an_accelerator_that_makes_no_sense(orders, options, says):
    with pytest.raises(Invalid, match=says):
        kv.Accelerator(orders, **options)


def test_it_stands_before_a_table_only(store):
    for wrong in (store, "orders", None):
        with pytest.raises(Invalid, match="before a table"):
            kv.Accelerator(wrong)


def test_a_lifetime_may_be_a_timedelta_or_a_fraction(clock, orders):
    for ttl in (timedelta(seconds=1.5), 1.5):
        fast = kv.Accelerator(orders, ttl=ttl)
        fast.get("ann", 1)
        clock.advance(1.499)
        fast.get("ann", 1)
        assert counted(fast) == (1, 0, 1)
        clock.advance(0.001)
        fast.get("ann", 1)
        assert counted(fast) == (1, 0, 2)


def test_what_is_dropped_or_closed_is_not_answered_from_the_cache(clock):
    with kv.Store(clock=clock) as store:
        for name in ("one", "two"):
            store.create_table(name, key="id:S").put({"id": "a"})
        one, two = kv.Accelerator(store.table("one")), kv.Accelerator(store.table("two"))
        for fast in (one, two):
            fast.get("a")
            fast.scan()
        store.drop_table("one")
        reads = [lambda fast: fast.get("a"), lambda fast: fast.scan(), lambda fast: fast.batch_get(["a"])]
        for read in reads:
            with pytest.raises(NotFound, match="one was dropped"):
                read(one)
        with pytest.raises(NotFound, match="one was dropped"):
            one.put({"id": "a"})
    for read in reads:
        with pytest.raises(Closed):
            read(two)
    with pytest.raises(Closed):
        two.put({"id": "a"})


def test_a_dropped_index_is_not_answered_from_the_cache(orders, fast):
    asked = {"key_condition": "price = :p", "values": {":p": 9}, "index": "prices"}
    orders.create_index("prices", "price:N")
    orders.create_index("others", ("customer:S", "price:N"))
    fast.put(ANN | {"more": 1})
    assert [fast.query(**asked).items for _ in range(2)] == [[ANN | {"more": 1}]] * 2
    orders.drop_index("others")
    fast.query(**asked)
    assert counted(fast, "queries") == (2, 0, 1)
    orders.drop_index("prices")
    with pytest.raises(NotFound, match="no index 'prices'"):
        fast.query(**asked)
    orders.create_index("prices", "price:N", projection="KEYS_ONLY")
    assert fast.query(**asked).items == [ANN]


def test_damaged_bytes_are_named_and_not_cached(store, orders, fast):
    key = orders.records.encode_key(("ann", 1))
    with orders.records.lock:
        orders.records.items.put(key, b"\xff" * 9)
    for _ in range(2):
        with pytest.raises(EngineError, match="cannot be decoded"):
            fast.get("ann", 1)
    assert len(fast.items.cache) == 0
    assert not fast.items._leases


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_long_keys_and_items_of_all_types(store):
    table = store.create_table("t", key=("p:B", "s:S"))
    fast = kv.Accelerator(table)
    items = [{"p": b"k" * 2047 + end, "s": "s" * 1024, "x": {Decimal("0.5"), 1}, "y": None} for end in (b"a", b"b")]
    for item in items:
        table.put(item)
    for _ in range(2):
        assert [fast.get(item["p"], item["s"]) for item in items] == items
    assert counted(fast) == (2, 0, 2)


def test_it_describes_and_explains_its_table(orders, fast):
    assert fast.describe() == orders.describe()
    assert str(fast.explain("customer = :c", values={":c": "ann"})) == str(orders.explain(**OF_ANN))


def test_on_the_machines_own_clock():
    with kv.Store() as store:
        fast = kv.Accelerator(store.create_table("t", key="id:S", ttl="expires"), ttl=3600, query_ttl=3600)
        fast.put({"id": "a"})
        fast.put({"id": "b", "expires": store.clock.now() // 1_000_000 - 1})
        assert [fast.get("a"), fast.get("b"), fast.get("c"), fast.get("c")] == [{"id": "a"}, None, None, None]
        assert fast.scan().items == fast.scan().items == [{"id": "a"}]
        assert counted(fast) == (1, 1, 2)
        assert abs(fast.now() - store.clock.now() // 1000) < 60_000
