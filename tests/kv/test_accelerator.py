"""The accelerator by example: what is fresh, what is stale, for how long, and what it costs."""

from decimal import Decimal

import pytest
from accelerated import ANN, OF_ANN, counted, counters, fast, orders
from moments import START

from engines import kv
from engines.clock import ManualClock
from engines.errors import (
    ConditionFailed,
    Throttled,
)
from engines.kv.acceleratorcaches import canonical
from engines.kv.scaling import Scaling

__all__ = ["fast", "orders"]  # fixtures


# -- how old an answer may be -----------------------------------------------------------------------------------------


def test_a_write_past_the_accelerator_is_seen_when_the_entry_has_aged(clock, orders, fast):
    assert fast.get("ann", 1) == ANN
    orders.put(ANN | {"price": 10})
    clock.advance(4.999)
    assert fast.get("ann", 1)["price"] == 9
    clock.advance(0.001)
    assert fast.get("ann", 1)["price"] == 10


def test_an_entry_ages_from_its_reading_however_often_it_is_hit(clock, orders, fast):
    fast.get("ann", 1)
    orders.delete("ann", 1)
    for _ in range(4):
        clock.advance(1)
        assert fast.get("ann", 1) == ANN
    clock.advance(1)
    assert fast.get("ann", 1) is None


def test_that_there_is_no_item_is_remembered_too(clock, orders, fast):
    assert fast.get("bob", 1) is None
    orders.put({"customer": "bob", "order": 1})
    assert fast.get("bob", 1) is None
    assert counted(fast) == (0, 1, 1)
    clock.advance(5)
    assert fast.get("bob", 1) == {"customer": "bob", "order": 1}


def test_writes_go_through_to_the_table_and_are_hits_at_once(orders, fast):
    assert fast.get("ann", 1) == ANN
    assert fast.put(ANN | {"price": 10}, returns="ALL_OLD") == ANN
    assert fast.get("ann", 1) == orders.get("ann", 1) == ANN | {"price": 10}
    assert fast.update(("ann", 1), "SET price = price + :d", values={":d": 1}, returns="UPDATED_NEW") == {"price": 11}
    assert fast.get("ann", 1) == orders.get("ann", 1) == ANN | {"price": 11}
    assert fast.delete("ann", 1, returns="ALL_OLD") == ANN | {"price": 11}
    assert fast.get("ann", 1) is orders.get("ann", 1) is None
    with fast.batch_writer() as writer:
        writer.put(ANN)
        writer.put({"customer": "bob", "order": 1})
        writer.delete("bob", 1)
        writer.put(ANN | {"price": 12})
    assert fast.get("ann", 1) == orders.get("ann", 1) == ANN | {"price": 12}
    assert fast.get("bob", 1) is orders.get("bob", 1) is None
    assert counted(fast) == (3, 2, 1)
    kinds = ["INSERT", "MODIFY", "MODIFY", "REMOVE", "INSERT", "INSERT", "REMOVE", "MODIFY"]
    assert [change.kind for change in fast.changes()] == kinds


def test_a_refused_write_changes_nothing_in_the_cache(orders, fast):
    fast.get("ann", 1)
    orders.put(ANN | {"price": 10})
    with pytest.raises(ConditionFailed) as failure:
        fast.put(ANN, condition="price = :p", values={":p": 9})
    assert failure.value.item["price"] == 10
    with pytest.raises(ConditionFailed):
        fast.update(("ann", 1), "SET price = :p", condition="price = :p", values={":p": 9})
    assert fast.get("ann", 1)["price"] == 9
    assert counted(fast) == (1, 0, 1)


def test_a_consistent_read_asks_the_table_and_fills_nothing(orders, fast):
    assert fast.get("ann", 1, consistent=True) == ANN
    assert fast.query(**OF_ANN, consistent=True).items == [ANN]
    assert [row["entries"] for row in counters(fast).values()] == [0, 0]
    fast.get("ann", 1)
    orders.put(ANN | {"price": 10})
    assert fast.get("ann", 1, consistent=True)["price"] == 10
    assert fast.get("ann", 1, projection="price", consistent=True) == {"price": 10}
    assert fast.get("ann", 1)["price"] == 9


def test_the_known_surprise_a_query_shows_your_own_write_only_later(clock, fast):
    assert fast.query(**OF_ANN).items == [ANN]
    fast.put(ANN | {"price": 10})
    fast.put({"customer": "ann", "order": 2})
    assert fast.get("ann", 1)["price"] == 10
    clock.advance(4.999)
    assert fast.query(**OF_ANN).items == [ANN]
    assert len(fast.query(**OF_ANN, consistent=True)) == 2
    clock.advance(0.001)
    assert [item.get("price") for item in fast.query(**OF_ANN)] == [10, None]


def test_without_a_query_cache_there_is_no_surprise(orders):
    fast = kv.Accelerator(orders, query_ttl=0)
    assert fast.query(**OF_ANN).items == [ANN]
    fast.put(ANN | {"price": 10})
    assert fast.query(**OF_ANN).items == [ANN | {"price": 10}]
    assert counters(fast)["queries"]["entries"] == 0


def test_a_ttl_of_zero_caches_no_items(orders):
    fast = kv.Accelerator(orders, ttl=0)
    fast.put(ANN | {"price": 10})
    fast.get("ann", 1)
    orders.put(ANN)
    assert fast.get("ann", 1) == ANN
    assert len(fast.items.cache) == 0


def test_what_a_caller_does_to_its_item_nobody_else_sees(fast):
    item = ANN | {"tags": ["a"], "set": {1}}
    fast.put(item)
    item["tags"].append("spoilt")
    for _ in range(2):
        first, page = fast.get("ann", 1), fast.query(**OF_ANN)
        assert first == page.items[0] == ANN | {"tags": ["a"], "set": {1}}
        first["tags"].append("spoilt")
        page.items[0]["set"].add(2)
        page.items.append("spoilt")


# -- time to live -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own_clock", [False, True])
def test_an_expired_item_is_gone_at_its_second_from_items_and_pages(clock, orders, own_clock):
    """own_clock: entries age by a clock that stands still."""
    fast = kv.Accelerator(orders, clock=ManualClock(0) if own_clock else None, ttl=60, query_ttl=60)
    fast.put({"customer": "ann", "order": 2, "expires": START + 3, "price": 1})
    whole, count = OF_ANN, OF_ANN | {"count": True}
    some = OF_ANN | {"filter": "attribute_exists(price)", "projection": "price"}

    def read():
        pages = fast.query(**whole), fast.query(**count), fast.query(**some)
        return fast.get("ann", 2) is not None, [(len(page), page.count, page.scanned) for page in pages]

    for _ in range(2):
        assert read() == (True, [(2, 2, 2), (0, 2, 2), (2, 2, 2)])
    clock.advance(2.999999)
    assert read() == (True, [(2, 2, 2), (0, 2, 2), (2, 2, 2)])
    clock.advance(0.000001)
    for _ in range(2):
        assert read() == (False, [(1, 1, 1), (0, 1, 1), (1, 1, 1)])
    fast.put({"customer": "ann", "order": 2, "expires": START - 1})
    assert fast.get("ann", 2) is None


def test_a_page_ends_with_an_item_that_its_filter_left_out(clock, orders, fast):
    orders.put({"customer": "ann", "order": 2, "expires": START + 1})
    filtered = OF_ANN | {"filter": "attribute_exists(price)", "count": True}
    assert [fast.query(**filtered).scanned for _ in range(2)] == [2, 2]
    clock.advance(1)
    assert fast.query(**filtered).scanned == 1


def test_a_long_page_ends_with_the_first_of_its_items(clock, orders, fast):
    with orders.batch_writer() as writer:
        for order in range(1000):
            writer.put({"customer": "ann", "order": order, "expires": START + (1 if order == 500 else 4)})
    assert [len(fast.query(**OF_ANN)) for _ in range(2)] == [1000, 1000]
    clock.advance(1)
    assert [len(fast.query(**OF_ANN)) for _ in range(2)] == [999, 999]
    clock.advance(3)
    assert len(fast.query(**OF_ANN)) == 0
    assert counted(fast, "queries") == (2, 0, 3)


def test_a_table_that_shows_expired_items_shows_them_here(clock, store):
    table = store.create_table("t", key="id:S", ttl="expires", show_expired=True)
    fast = kv.Accelerator(table)
    fast.put({"id": "a", "expires": START + 1})
    clock.advance(2)
    assert fast.get("a") == table.get("a") == {"id": "a", "expires": START + 1}
    assert [fast.scan().count for _ in range(2)] == [1, 1]
    assert counted(fast, "queries") == (1, 0, 1)


# -- pages ------------------------------------------------------------------------------------------------------------


def test_pages_that_follow_are_cached_as_well(orders, fast):
    orders.put(ANN | {"order": 2})
    orders.put(ANN | {"order": 3})
    asked = OF_ANN | {"limit": 1}
    consumed = kv.Consumed()
    first = [item["order"] for item in fast.query(**asked, consumed=consumed).all()]
    paid = consumed.read
    assert paid > 0
    orders.delete("ann", 2)
    page = fast.query(**asked, consumed=consumed)
    assert [item["order"] for item in page.all()] == first == [1, 2, 3]
    assert consumed.read == paid
    assert page.request.consumed is None
    assert (page.capacity, page.last_key, page.scanned, page.size) == (0, ("ann", 1), 1, orders.query(**asked).size)
    assert counted(fast, "queries") == (3, 0, 3)


def test_every_way_to_ask_gives_what_the_table_gives(store, orders):
    orders.create_index("by-price", "price:N", projection="KEYS_ONLY")
    orders.create_index("local", ("customer:S", "price:N"), projection="KEYS_ONLY", local=True)
    for order in range(8):
        orders.put({"customer": "ann", "order": order, "price": order % 3, "more": {"a": [order, Decimal("0.5")]}})
        orders.put({"customer": "bob", "order": order, "tags": {"x", "y"}})
    fast = kv.Accelerator(orders)
    ranges = OF_ANN | {"key_condition": "customer = :c AND #o > :o", "names": {"#o": "order"}}
    asked = [
        OF_ANN,
        OF_ANN | {"reverse": True},
        OF_ANN | {"limit": 3, "start": ("ann", 2)},
        OF_ANN | {"limit": 3, "start": ["ann", 3]},
        OF_ANN | {"projection": "more.a[1], nothing"},
        OF_ANN | {"projection": "nothing"},
        OF_ANN | {"filter": "price = :p", "values": {":c": "ann", ":p": 1}},
        OF_ANN | {"filter": "price = :p", "values": {":c": "ann", ":p": 2}},
        OF_ANN | {"count": True},
        ranges | {"values": {":c": "ann", ":o": 3}},
        ranges | {"values": {":c": "ann", ":o": Decimal("3.5")}},
        {"key_condition": "price = :p", "values": {":p": 1}, "index": "by-price"},
        OF_ANN | {"index": "local", "projection": "more"},
        {"key_condition": "customer = :c", "values": {":c": "nobody"}},
    ]
    scans = [{}, {"limit": 5}, {"segment": 0, "segments": 3}, {"segment": 1, "segments": 3}, {"index": "by-price"}]
    for _ in range(2):
        for options in asked:
            assert answer(fast.query(**options)) == answer(orders.query(**options))
        for options in scans:
            assert answer(fast.scan(**options)) == answer(orders.scan(**options))
    assert counted(fast, "queries") == (len(asked) + len(scans), 0, len(asked) + len(scans))


def answer(page):
    kept = ("items", "count", "scanned", "size", "last_key", "key_names", "more")
    return {name: getattr(page, name) for name in kept}


def test_two_ways_to_write_one_request_share_a_page_and_two_requests_do_not(fast):
    asked = {"key_condition": "customer = :c AND #o >= :o", "names": {"#o": "order"}}
    fast.query(**asked, values={":c": "ann", ":o": 1})
    fast.query(limit=None, values={":o": Decimal("1.00"), ":c": "ann"}, reverse=False, **asked)
    assert counted(fast, "queries") == (1, 0, 1)
    different = [None, True, False, "1", b"1", 1, 2, [1], {1}, {"a": 1}, {b"1"}, {"1"}, Decimal("0.1")]
    said = {canonical("scan", (), {"filter": "a = :a", "values": {":a": value}}) for value in different}
    assert len(said) == len(different)
    others = [
        ("scan", ("a",), {}),
        ("query", ("a",), {}),
        ("query", (), {"filter": "a"}),
        ("query", (), {"index": "a"}),
    ]
    others += [("query", ("a",), {"verb": "query"}), ("query", ("a",), {"start": ("a",)})]
    others += [("query", ("a",), {"values": {}}), ("query", ("a",), {"names": {}}), ("query", ("a",), {"limit": 1})]
    assert len({canonical(*request) for request in others}) == len(others)
    assert canonical("query", ("a",), {}) == canonical("query", (), {"key_condition": "a", "consistent": False})


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("a", "b"), {}),
        (("a",), {"key_condition": "a"}),
        (("a",), {"start": "a"}),
        (("a",), {"start": 5}),
        (("a",), {"limit": True}),
        (("a",), {"limit": Decimal(1)}),
        (("a",), {"segment": None}),
        (("a",), {"values": [1]}),
        (("a",), {"values": {1: 1}}),
        (("a",), {"values": {":a": 0.5}}),
        ((print,), {}),
    ],
)
def test_what_no_table_accepts_is_no_request(arguments, options):
    assert canonical("query", arguments, options) is None


# -- batches, units ---------------------------------------------------------------------------------------------------


def test_a_batch_takes_from_the_cache_what_is_there(orders, fast):
    orders.put(ANN | {"order": 2})
    fast.get("ann", 1)
    orders.put(ANN | {"price": 10})
    asked = [("ann", 2), ["ann", 1], ("bob", 1)]
    assert fast.batch_get(asked) == [ANN | {"order": 2}, ANN, None]
    assert counted(fast) == (1, 0, 3)
    assert fast.batch_get(asked) == [ANN | {"order": 2}, ANN, None]
    assert counted(fast) == (3, 1, 3)


def test_a_table_with_one_key_takes_it_by_itself(store):
    table = store.create_table("t", key="id:S")
    fast = kv.Accelerator(table)
    fast.put({"id": "a"})
    assert fast.batch_get(["a", ("b",)]) == [{"id": "a"}, None]


def test_a_hit_costs_no_units_and_is_never_throttled(clock, orders, fast):
    consumed = kv.Consumed()
    fast.get("ann", 1, consumed=consumed)
    assert consumed.read == 0.5
    fast.get("ann", 1, consumed=consumed)
    fast.get("ann", 1, projection="price", consumed=consumed)
    assert consumed.read == 0.5
    orders.capacity(1, 1)
    orders.get("ann", 1, consistent=True)
    with pytest.raises(Throttled):
        orders.get("ann", 1)
    assert fast.get("ann", 1) == ANN
    with pytest.raises(Throttled):
        fast.get("ann", 2)
    answers = fast.batch_get([("ann", 2), ("ann", 1), ("ann", 3)])
    assert answers == [None, ANN, None]
    assert answers.unprocessed == [("ann", 2), ("ann", 3)]
    with pytest.raises(Throttled):
        fast.batch_get([("ann", 2), ("ann", 3)])
    clock.advance(1)
    assert fast.get("ann", 2) is None
    assert fast.get("ann", 1, consumed=consumed) == ANN


def test_misses_tell_the_table_that_a_minute_has_passed(clock, orders, fast):
    orders.capacity(100, 100)
    orders.scale(write=Scaling(10, 1000))
    clock.advance(60 - START % 60)
    for _ in range(120):
        for _ in range(8):
            fast.put(ANN | {"text": "x" * 10_000})
        clock.advance(1)
    assert orders.describe()["capacity"] == (100, 100) != fast.get("bob", 1)
    assert orders.describe()["capacity"] == (100, 115)


def test_a_batch_logs_new_names_once(store, orders, fast):
    """The writer of a table counts what is logged: its second handle must not count for itself."""
    last = store.log.last
    for target in (fast, orders):
        for order in range(3):
            with target.batch_writer() as writer:
                writer.delete("ann", 7)
                writer.put(ANN | {f"{target!r} {order}": 1})
        grown, last = store.log.last - last, store.log.last
        assert grown == 6
