"""Tables: what a put, a delete, a query return, the time to live, the change stream, what explain says."""

import itertools
from decimal import Decimal

import pytest
from moments import START

from engines import kv
from engines.errors import (
    ConditionFailed,
    Invalid,
)

ANN = {"customer": "ann", "order": 1, "price": Decimal("9.5")}


def contents(store):
    """All that a refused call must not have changed."""
    tables = {name: store.table(name).scan().all() for name in store.tables()}
    return tables, list(store.changes())


# -- writing -----------------------------------------------------------------------------------------------------------


def test_a_put_that_changes_nothing_writes_no_record(store, orders):
    orders.put(ANN)
    last = store.log.last
    assert orders.put(dict(ANN)) is None
    assert orders.put(ANN, returns="ALL_OLD") == ANN
    assert orders.delete("bob", 1) is None
    with orders.batch_writer() as batch:
        batch.put(ANN)
        batch.delete("bob", 7)
    assert store.log.last == last
    orders.put({"order": 1, "customer": "ann", "price": 10})
    assert store.log.last == last + 1


def test_put_and_delete_return_the_old_item_if_asked(orders):
    assert orders.put(ANN, returns="ALL_OLD") is None
    assert orders.put(ANN | {"price": 1}) is None
    assert orders.put(ANN | {"price": 2}, returns="ALL_OLD") == ANN | {"price": 1}
    assert orders.delete("ann", 1, returns="ALL_OLD") == ANN | {"price": 2}
    assert orders.delete("ann", 1, returns="ALL_OLD") is None


def test_a_false_condition_carries_what_stands_there_and_changes_nothing(store, orders):
    with pytest.raises(ConditionFailed) as refused:
        orders.put(ANN, condition="attribute_exists(customer)")
    assert refused.value.item is None
    orders.put(ANN, condition="attribute_not_exists(customer)")
    before = contents(store)
    with pytest.raises(ConditionFailed, match=r"nothing was changed; \.item") as refused:
        orders.put(ANN | {"price": 1}, condition="attribute_not_exists(customer)")
    assert refused.value.item == ANN
    with pytest.raises(ConditionFailed) as refused:
        orders.delete("ann", 1, condition="#t < :t", names={"#t": "price"}, values={":t": 9})
    assert refused.value.item == ANN
    assert contents(store) == before
    orders.delete("ann", 1, condition="#t > :t", names={"#t": "price"}, values={":t": 9})
    assert orders.get("ann", 1) is None


def test_a_batch_keeps_the_last_write_to_a_key_and_shares_one_sequence_for_what_goes_together(store, orders):
    with orders.batch_writer() as batch:
        for number in range(3):
            batch.put({"customer": "ann", "order": 1, "number": number})
        batch.delete("ann", 1)
        batch.put({"customer": "ann", "order": 1, "number": 9})
    assert orders.get("ann", 1)["number"] == 9
    changes = list(store.changes())
    assert [change.kind for change in changes] == ["INSERT", "MODIFY", "MODIFY", "REMOVE", "INSERT"]
    assert [change.old and change.old["number"] for change in changes] == [None, 0, 1, 2, None]
    assert len({change.sequence for change in changes}) == 1
    assert len(list(store.changes(limit=1))) == 5  # limit does not part them


def test_a_block_that_raises_leaves_what_it_collected_unwritten(orders):
    def fail(batch):
        batch.put(ANN)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), orders.batch_writer() as batch:
        fail(batch)
    assert orders.scan().items == []


def test_items_come_back_as_copies(orders):
    item = ANN | {"list": [1, {"a": b"b"}]}
    orders.put(item)
    orders.get("ann", 1)["list"].append(2)
    item["list"].append(3)
    assert orders.get("ann", 1)["list"] == [1, {"a": b"b"}]


# -- time to live ------------------------------------------------------------------------------------------------------


def test_an_expired_item_is_gone_from_everything_before_it_is_deleted(clock, store, orders):
    orders.put(ANN | {"expires": START + 10})
    clock.advance(9.999999)
    assert orders.get("ann", 1) is not None
    clock.advance(0.000001)
    assert orders.get("ann", 1) is None
    assert orders.query("customer = :c", values={":c": "ann"}).scanned == 0
    assert orders.scan(count=True).count == 0
    assert orders.explain().counters["items_examined"] == 0
    assert orders.describe()["items"] == 1
    with pytest.raises(ConditionFailed) as refused:
        orders.put(ANN, condition="attribute_exists(customer)")
    assert refused.value.item is None
    assert orders.put(ANN, returns="ALL_OLD") is None
    assert [(change.kind, change.expired) for change in store.changes()] == [
        ("INSERT", False),
        ("REMOVE", True),
        ("INSERT", False),
    ]


@pytest.mark.parametrize(
    "life",
    ["soon", True, None, -1, 0, START - 5 * 366 * 86400 - 1, Decimal("0.9"), {1}, [START], Decimal("9E+125"), 10**37],
)
def test_what_is_no_time_or_lies_five_years_back_or_never_comes_does_not_expire(clock, store, orders, life):
    orders.put(ANN | {"expires": life})
    clock.advance(days=365 * 900)
    assert orders.get("ann", 1) is not None
    assert store.expire() == 0


def test_expire_deletes_the_oldest_first_up_to_its_limit(clock, store, orders):
    for number in range(6):
        orders.put({"customer": "ann", "order": number, "expires": START + 10 - number})
    clock.advance(7)
    assert store.expire(2) == 2
    assert [change.key[1] for change in store.changes() if change.expired] == [5, 4]
    assert store.expire() == 1
    assert store.expire() == 0
    for wrong in (0, -1, 1.5):
        with pytest.raises(Invalid, match="limit"):
            store.expire(wrong)


def test_each_write_sweeps_up_some_of_what_has_expired(clock, orders):
    for number in range(10):
        orders.put({"customer": "ann", "order": number, "expires": START + 1})
    clock.advance(1)
    for _ in range(6):
        orders.put({"customer": "bob", "order": _})
    assert orders.describe()["items"] == 6


def test_a_batch_over_more_expired_items_than_one_sweep_takes_tells_each_expiry(clock, store, orders):
    with orders.batch_writer() as batch:
        for number in range(700):
            batch.put({"customer": "ann", "order": number, "expires": START + 1})
    clock.advance(1)
    last = store.log.last
    with orders.batch_writer() as batch:
        for number in reversed(range(700)):
            batch.put({"customer": "ann", "order": number, "again": 1})
    kinds = [(change.kind, change.expired) for change in store.changes(last)]
    assert sorted(kinds) == [("INSERT", False)] * 700 + [("REMOVE", True)] * 700


@pytest.mark.parametrize("partition", ["k" * 938, "k" * 939, "k" * 2048, "\0" * 1000, "é" * 1024])
def test_an_expired_item_under_a_very_long_key_is_told_with_its_whole_key(clock, store, partition):
    table = store.create_table("t", key="p:S", ttl="expires", stream=True)
    table.put({"p": partition, "expires": START + 1})
    clock.advance(1)
    assert store.expire() == 1
    assert [(change.kind, change.key) for change in store.changes()] == [
        ("INSERT", (partition,)),
        ("REMOVE", (partition,)),
    ]


# -- queries -----------------------------------------------------------------------------------------------------------


def test_pages_end_at_one_megabyte_and_go_on_where_they_ended(orders):
    with orders.batch_writer() as batch:
        for number in range(30):
            batch.put({"customer": "ann", "order": number, "text": "x" * 100_000})
    page = orders.query("customer = :c", values={":c": "ann"})
    assert len(page) == 11
    assert page.last_key == ("ann", 10)
    assert [item["order"] for item in page.all()] == list(range(30))
    back = orders.query("customer = :c", values={":c": "ann"}, reverse=True, limit=7)
    assert [item["order"] for item in back] == list(range(29, 22, -1))
    assert [item["order"] for item in back.next()] == list(range(22, 15, -1))
    assert orders.query("customer = :c", values={":c": "ann"}, start=("ann", 28)).items[0]["order"] == 29


def test_a_page_that_ends_with_the_last_item_has_no_next(orders):
    for number in range(4):
        orders.put({"customer": "ann", "order": number})
    page = orders.query("customer = :c", values={":c": "ann"}, limit=4)
    assert page.last_key is None
    assert page.next() is None
    assert orders.query("customer = :c", values={":c": "ann"}, limit=3).last_key == ("ann", 2)


def test_a_filter_counts_after_what_it_examined(orders):
    for number in range(10):
        orders.put({"customer": "ann", "order": number, "even": number % 2 == 0})
    page = orders.scan(filter="even = :t", values={":t": True}, limit=5)
    assert (page.count, page.scanned) == (3, 5)
    page = orders.scan(filter="even = :t", values={":t": True}, count=True)
    assert (page.count, page.scanned, page.items) == (5, 10, [])


def test_partitions_that_are_prefixes_of_each_other_stay_apart(store):
    table = store.create_table("t", key=("p:B", "s:B"))
    partitions = [bytes(part) for n in (1, 2, 3) for part in itertools.product((0, 1, 254, 255), repeat=n)]
    with table.batch_writer() as batch:
        for partition in partitions:
            batch.put({"p": partition, "s": partition})
    for partition in partitions:
        found = table.query("p = :p", values={":p": partition}).items
        assert found == [{"p": partition, "s": partition}]


def test_explain_counts_what_a_query_really_touches(orders):
    with orders.batch_writer() as batch:
        for number in range(500):
            batch.put({"customer": "ann", "order": number, "text": "x" * 3000})
        batch.put({"customer": "bob", "order": 1})
    values = {":c": "ann", ":o": 100, ":t": 3}
    query = {"filter": "order_ > :t OR attribute_not_exists(order_)", "values": values, "names": {"#o": "order"}}
    plan = orders.explain("customer = :c AND #o < :o", **query)
    pages = [page := orders.query("customer = :c AND #o < :o", **query)]
    while (page := page.next()) is not None:
        pages.append(page)
    assert plan.name == "Query"
    assert plan.counters["items_examined"] == sum(page.scanned for page in pages) == 100
    assert plan.counters["items_returned"] == sum(page.count for page in pages) == 100
    size = 100 * (len("customer" + "ann" + "order" + "text") + 3000) + 99 * 2 + 1
    assert plan.find("Range").counters["bytes_examined"] == sum(page.size for page in pages) == size
    assert plan.counters["read_units"] == -(-size // 4096) / 2
    assert plan.find("Tree").counters["entries"] == 501
    assert orders.explain(limit=7).counters["items_examined"] == 7
    assert orders.explain().name == "Scan"
    nothing = orders.explain(filter="attribute_exists(nowhere)")
    assert nothing.counters["items_returned"] == 0
    assert nothing.counters["items_examined"] == 501


# -- the change stream -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "olds", "news"),
    [
        (True, [None, 1, 2, None], [1, 2, None, 3]),
        ("NEW_AND_OLD_IMAGES", [None, 1, 2, None], [1, 2, None, 3]),
        ("NEW_IMAGE", [None, None, None, None], [1, 2, None, 3]),
        ("OLD_IMAGE", [None, 1, 2, None], [None, None, None, None]),
        ("KEYS_ONLY", [None, None, None, None], [None, None, None, None]),
    ],
)
def test_a_stream_shows_what_its_view_says(clock, view, olds, news):
    with kv.Store(clock=clock) as store:
        table = store.create_table("t", key="id:N", stream=view)
        other = store.create_table("other", key="id:N")
        for number in (1, 2):
            table.put({"id": 7, "n": number})
            other.put({"id": 7, "n": number})
        table.delete(7)
        table.put({"id": 7, "n": 3})
        changes = list(table.changes())
        assert changes == list(store.changes())
        assert [change.kind for change in changes] == ["INSERT", "MODIFY", "REMOVE", "INSERT"]
        assert [change.old and change.old["n"] for change in changes] == olds
        assert [change.new and change.new["n"] for change in changes] == news
        assert {change.key for change in changes} == {(7,)}
        assert list(table.changes(changes[1].sequence)) == changes[2:]
        with pytest.raises(Invalid, match="create it with stream=True"):
            other.changes()


def test_times_in_the_stream_never_go_back(clock, store, orders):
    for number in range(3):
        orders.put(ANN | {"price": number})
        clock.advance(1)
    times = [change.time for change in store.changes()]
    assert times == [(START + second) * 1_000_000 for second in range(3)]


@pytest.mark.parametrize("after", [-1, "1", 1.0, None])
def test_a_position_that_is_none_is_refused(store, orders, after):
    with pytest.raises(Invalid, match="after is the sequence"):
        orders.changes(after)
