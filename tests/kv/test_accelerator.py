"""The accelerator by example: what is fresh, what is stale, for how long; races, limits, and what it refuses."""

import itertools
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem

from engines import kv
from engines.clock import ManualClock
from engines.errors import (
    Closed,
    ConditionFailed,
    EngineError,
    Invalid,
    NotFound,
    ReadOnly,
    Throttled,
)
from engines.kv.acceleratorcaches import ABSENT, canonical
from engines.kv.scaling import Scaling

START = 1_700_000_000  # seconds
ANN = {"customer": "ann", "order": 1, "price": 9}
OF_ANN = {"key_condition": "customer = :c", "values": {":c": "ann"}}


@pytest.fixture
def clock():
    return ManualClock(START * 1_000_000)


@pytest.fixture
def store(clock):
    with kv.Store(clock=clock) as store:
        yield store


@pytest.fixture
def orders(store):
    table = store.create_table("orders", key=("customer:S", "order:N"), ttl="expires", stream=True)
    table.put(ANN)
    return table


@pytest.fixture
def fast(orders):
    return kv.Accelerator(orders)


def counters(fast):
    return {row["cache"]: row for row in fast.stats().rows()}


def counted(fast, cache="items"):
    row = counters(fast)[cache]
    return row["hits"], row["negative hits"], row["misses"]


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


# -- races ------------------------------------------------------------------------------------------------------------


def interleavings(*lengths):
    """All orders in which processes of so many steps can run: lists of their numbers."""
    steps = [number for number, length in enumerate(lengths) for _ in range(length)]

    def following(left):
        if not any(left):
            yield []
        for number, count in enumerate(left):
            if count:
                rest = [other - (at == number) for at, other in enumerate(left)]
                for order in following(rest):
                    yield [number, *order]

    assert len(steps) == sum(lengths)
    return following(lengths)


def reading(cache, world, images):
    lease = cache.take_lease(b"k")
    yield
    version = world["table"]
    yield
    cache.fill(b"k", lease, images[version], 0)
    cache.drop_lease(b"k", lease)


def writing(cache, world, images):
    cache.begin((b"k",))
    yield
    version = world["table"] = world["table"] + 1
    yield
    cache.end((b"k",), {b"k": images[version] or None}, 0)
    world["returned"] = max(world["returned"], version)


def failing(cache, world, images):
    """A write that may have happened: its caller has an error."""
    cache.begin((b"k",))
    yield
    world["table"] += 1
    yield
    cache.end((b"k",), None, 0)
    world["returned"] = max(world["returned"], world["table"])


def refusing(cache, world, images):
    cache.begin((b"k",))
    yield
    yield
    cache.end((b"k",), {}, 0, refused=True)


@pytest.mark.parametrize(
    "processes",
    [
        (reading, writing),
        (reading, reading, writing),
        (reading, writing, writing),
        (reading, writing, failing),
        (reading, writing, refusing),
    ],
)
def test_in_any_order_of_steps_the_cache_is_never_behind_a_write_that_has_returned(orders, processes):
    images = [orders.records.encode(ANN | {"version": version}).image for version in range(4)]
    images[2] = ABSENT  # a delete
    filled = 0
    for order in interleavings(*[3] * len(processes)):
        fast = kv.Accelerator(orders)
        cache, world = fast.items, {"table": 0, "returned": 0}
        running = [process(cache, world, images) for process in processes]
        for number in order:
            next(running[number], None)
            found = cache.cache.get(b"k", 0)
            assert found is None or images.index(found) >= world["returned"], order
        filled += found is not None
        assert not cache._leases
        assert not cache._writing
    assert filled > 0


def test_threads_never_read_back_in_time(orders):
    fast = kv.Accelerator(orders, max_items=2, ttl=3600)
    keys = [("ann", order) for order in range(3)]
    returned = dict.fromkeys(keys, 0)
    lock, errors, done = threading.Lock(), [], threading.Event()

    def write(key):
        for _ in range(150):
            version = fast.update(key, "ADD version :one", values={":one": 1}, returns="ALL_NEW")["version"]
            with lock:
                returned[key] = max(returned[key], version)

    def read():
        for key in itertools.cycle(keys):
            if done.is_set():
                break
            floor = returned[key]
            item = fast.get(*key)
            if floor and (item is None or item["version"] < floor):
                errors.append((key, floor, item))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        writers = [threading.Thread(target=write, args=(key,)) for key in keys + keys]
        readers = [threading.Thread(target=read) for _ in range(3)]
        for thread in writers + readers:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        for thread in readers:
            thread.join()
    finally:
        done.set()
        sys.setswitchinterval(interval)
    assert errors == []
    assert [fast.get(*key)["version"] for key in keys] == [300] * 3
    assert not fast.items._leases
    assert not fast.items._writing


def test_after_a_write_of_unknown_outcome_the_table_is_asked(clock):
    outcomes = set()
    for n in range(1, 60):
        files = RecordingFileSystem()
        with kv.Store("/shop", clock=clock, files=files) as store:
            store.create_table("t", key="id:S").put({"id": "a", "v": 1})
        try:
            store = kv.Store("/shop", clock=clock, files=FailingFileSystem(files, n, keep=True))
        except (EngineError, OSError):
            continue
        fast = kv.Accelerator(store.table("t"))
        assert fast.get("a") == {"id": "a", "v": 1}
        try:
            fast.put({"id": "a", "v": 2})
        except ReadOnly:
            assert len(fast.items.cache) == 0
            outcomes.add("unknown")
        else:
            assert fast.get("a") == {"id": "a", "v": 2}
            outcomes.add("written")
        with suppress(EngineError, OSError):
            store.close()
        files.close_all()
    assert outcomes == {"unknown", "written"}


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
