"""Global tables: whatever the order, the delays, the clocks and the crashes, all regions end with the last writes."""

import pytest
from crash.recorder import RecordingFileSystem
from models.items import shown
from moments import START
from regions import order, world

from engines import kv
from engines.clock import ManualClock, Stamp
from engines.errors import ConditionFailed, Invalid, NotFound
from engines.kv.regions.versions import tick, version_of

__all__ = ["world"]  # a fixture


# -- who wins ---------------------------------------------------------------------------------------------------------


def test_a_write_in_any_region_is_in_all_of_them_after_a_sync(world):
    two = world(0, 0)
    two.tables["eu"].put(order(1, total=9))
    two.tables["us"].put(order(2, total=7))
    assert two.all.sync() == 2
    assert two.everywhere() == [order(1, total=9), order(2, total=7)]
    assert two.all.sync() == 0


def test_the_later_write_wins_in_every_region(world):
    three = world(0, 0, 0)
    for total, region in enumerate(["us", "ap", "eu"]):
        three.tables[region].put(order(1, total=total))
        three.advance(seconds=1)
    three.all.sync()
    assert three.everywhere() == [order(1, total=2)]


def test_at_the_same_moment_the_region_decides(world):
    two = world(0, 0)
    two.tables["us"].put(order(1, total=1))
    two.tables["eu"].put(order(1, total=2))
    two.all.sync()
    assert two.everywhere() == [order(1, total=1)]  # "us" > "eu"


def test_who_has_seen_a_write_wins_over_it_although_its_clock_is_an_hour_behind(world):
    two = world(0, -3600)
    two.tables["eu"].put(order(1, total=1))
    two.all.sync()
    two.tables["us"].put(order(1, total=2))
    two.all.sync()
    assert two.everywhere() == [order(1, total=2)]
    two.tables["us"].delete("ann", 1)
    two.all.sync()
    assert two.everywhere() == []


def test_who_has_not_seen_it_loses_to_a_clock_that_is_ahead(world):
    two = world(0, -3600)
    two.tables["eu"].put(order(1, total=1))
    two.advance(seconds=60)
    two.tables["us"].put(order(1, total=2))
    two.all.sync()
    assert two.everywhere() == [order(1, total=1)]


def test_a_write_between_two_applications_has_a_stamp_between_theirs(world):
    two = world(0, -3600)
    two.tables["eu"].put(order(1, total=1))
    two.all.sync()
    two.tables["us"].put(order(2, total=2))
    two.clocks["eu"].advance(seconds=1)
    two.tables["eu"].put(order(3, total=3))
    two.all.sync()
    stamps = {item["order"]: version_of(item).stamp for item in two.stores["us"].table("orders.versions").scan()}
    assert stamps[1] == Stamp(START * 1000, 0, "eu")
    assert stamps[2] == Stamp(START * 1000, 1, "us")
    assert stamps[3] == Stamp(START * 1000 + 1000, 0, "eu")


def test_the_counter_runs_over_into_the_next_millisecond():
    assert tick((5, 0xFFFF), 3) == (6, 0)
    assert tick((5, 0xFFFE), 5) == (5, 0xFFFF)
    assert tick((5, 7), 6) == (6, 0)


def test_a_deletion_beats_an_older_write_that_comes_later(world):
    three = world(0, 0, 0)
    three.tables["eu"].put(order(1, total=1))
    three.all.sync()
    three.advance(seconds=1)
    three.tables["ap"].put(order(1, total=2))
    three.advance(seconds=1)
    three.tables["us"].delete("ann", 1)
    three.all.sync("eu", "us")
    assert three.items("eu") == []
    three.all.sync("eu", "ap")
    three.all.sync()
    assert three.everywhere() == []


def test_an_item_can_be_put_again_after_its_deletion(world):
    two = world(0, 0)
    for total in range(3):
        two.tables["eu"].put(order(1, total=total))
        two.all.sync()
        assert two.everywhere() == [order(1, total=total)]
        two.tables["us"].delete("ann", 1)
        two.all.sync()
        assert two.everywhere() == []


def test_an_update_travels_as_the_whole_item(world):
    two = world(0, 0)
    two.tables["eu"].put(order(1, a=1, b=1))
    two.all.sync()
    two.tables["eu"].update(("ann", 1), "SET a = :two", values={":two": 2})
    two.advance(seconds=1)
    two.tables["us"].update(("ann", 1), "SET b = :two", values={":two": 2})
    two.all.sync()
    assert two.everywhere() == [order(1, a=1, b=2)]  # item by item, not attribute by attribute


def test_a_condition_sees_its_own_region_only(world):
    two = world(0, 0)
    for region in ("eu", "us"):
        two.tables[region].put(order(1, by=region), condition="attribute_not_exists(customer)")
        two.advance(seconds=1)
    two.all.sync()
    assert two.everywhere() == [order(1, by="us")]
    with pytest.raises(ConditionFailed):
        two.tables["eu"].put(order(1, by="eu"), condition="attribute_not_exists(customer)")


def test_a_put_that_changes_nothing_is_no_write(world):
    two = world(0, 0)
    two.tables["eu"].put(order(1, total=1))
    two.all.sync()
    two.advance(seconds=1)
    two.tables["us"].put(order(1, total=2))
    two.advance(seconds=1)
    two.tables["eu"].put(order(1, total=1))
    two.all.sync()
    assert two.everywhere() == [order(1, total=2)]


def test_the_same_item_written_in_two_regions_has_one_version(world):
    two = world(0, 0)
    for region in two.regions:
        two.tables[region].put(order(1, total=1))
        two.advance(seconds=1)
    two.all.sync()
    versions = [version_of(store.table("orders.versions").get("ann", 1)).stamp for store in two.stores.values()]
    assert versions == [Stamp((START + 1) * 1000, 0, "us")] * 2


def test_transactions_and_batches_are_replicated(world):
    two = world(0, 0)
    two.stores["eu"].transact([kv.Put("orders", order(number, n=1)) for number in range(3)])
    two.stores["eu"].transact(
        [kv.Delete("orders", ("ann", 0)), kv.Update("orders", ("ann", 1), "ADD n :one", values={":one": 1})]
    )
    with two.tables["us"].batch_writer() as batch:
        for number in range(5, 1500):
            batch.put(order(number))
        batch.put(order(5, total=5))
        batch.delete("ann", 6)
    two.all.sync()
    found = two.everywhere()
    assert found[:3] == [order(1, n=2), order(2, n=1), order(5, total=5)]
    assert [item["order"] for item in found[3:]] == list(range(7, 1500))


def test_long_keys_are_replicated(world):
    two = world(0, 0, key=("name:S", "order:B"))
    keys = [("k" * 2040 + end, b"\0" * 1000 + tail) for end in "ab" for tail in (b"a", b"b")]
    for number, (name, tail) in enumerate(keys):
        two.tables["eu"].put({"name": name, "order": tail, "n": number})
    two.all.sync()
    two.tables["us"].delete(*keys[2])
    two.all.sync()
    assert two.everywhere() == [{"name": name, "order": tail, "n": n} for n, (name, tail) in enumerate(keys) if n != 2]


# -- time to live -----------------------------------------------------------------------------------------------------


def test_a_deletion_by_time_to_live_is_replicated(world):
    two = world(0, -100, ttl="expires")
    two.tables["eu"].put(order(1, expires=START + 10))
    two.all.sync()
    two.clocks["eu"].advance(seconds=11)
    assert two.stores["eu"].expire() == 1
    assert two.tables["us"].get("ann", 1) is not None  # its clock is behind
    two.all.sync()
    assert two.tables["us"].get("ann", 1) is None
    assert two.stores["us"].expire() == 0
    last = list(two.tables["us"].changes())[-1]
    assert last.kind == "REMOVE"


def test_who_prolongs_an_item_in_time_keeps_it_in_a_region_that_has_not_deleted_it_yet(world):
    two = world(0, 0, ttl="expires")
    two.tables["eu"].put(order(1, expires=START + 10))
    two.all.sync()
    two.tables["eu"].put(order(1, expires=START + 1000))
    two.advance(seconds=20)
    assert two.tables["us"].get("ann", 1) is None  # due, not deleted
    two.all.sync()
    assert two.everywhere() == [order(1, expires=START + 1000)]


# -- how it is exchanged ----------------------------------------------------------------------------------------------


def test_nothing_is_written_any_more_once_all_is_told(world):
    three = world(0, 5, -5)
    for number, region in enumerate(three.regions):
        three.tables[region].put(order(number))
    three.all.sync()
    written = three.written()
    for _ in range(3):
        assert three.all.sync() == 0
    assert three.written() == written


def test_a_change_goes_through_a_region_in_between(world):
    three = world(0, 0, 0)
    three.tables["eu"].put(order(1))
    three.all.sync("eu", "us")
    three.all.sync("us", "ap")
    assert three.items("ap") == shown([order(1)])
    assert three.replicas["ap"].lag()["eu"].changes == 0


def test_ten_writes_of_an_item_travel_as_one(world):
    two = world(0, 0)
    two.all.sync()
    for total in range(10):
        two.tables["eu"].put(order(1, total=total))
    assert two.replicas["us"].lag()["eu"].changes == 1
    assert two.all.sync() == 1


def test_lag_counts_what_is_missing_and_the_age_of_the_oldest(world):
    two = world(0, 0)
    two.tables["eu"].put(order(1))
    two.advance(seconds=3)
    two.tables["eu"].put(order(2))
    two.advance(seconds=4)
    lag = two.replicas["us"].lag()
    assert (lag["eu"].changes, lag["eu"].seconds) == (2, 7.0)
    assert two.replicas["eu"].lag()["us"].changes == 0
    rows = {(row[0], row[1]): tuple(row[3:]) for row in two.all.status().rows()}
    assert rows == {("eu", "us"): (0, 0.0), ("us", "eu"): (2, 7.0)}
    two.all.sync()
    lag = two.replicas["us"].lag()
    assert (lag["eu"].changes, lag["eu"].seconds) == (0, 0.0)


def test_the_present_is_offered_when_an_item_changes_while_it_is_read(world):
    two = world(0, 0)
    two.all.sync()
    for number in range(3):
        two.tables["eu"].put(order(number, total=1))
    offers = two.replicas["us"]._offers(two.replicas["eu"])
    offer = next(offers)
    two.tables["eu"].put(order(1, total=2))
    two.replicas["us"]._apply("eu", offer)
    two.all.sync()
    assert two.everywhere() == [order(0, total=1), order(1, total=2), order(2, total=1)]


def test_what_is_written_while_an_offer_is_under_way_is_not_overwritten(world):
    two = world(0, 0)
    two.all.sync()
    two.tables["eu"].put(order(1, total=1))
    offers = list(two.replicas["us"]._offers(two.replicas["eu"]))
    two.advance(seconds=1)
    two.tables["us"].put(order(1, total=2))
    for offer in offers:
        assert two.replicas["us"]._apply("eu", offer) == 0
    assert two.tables["us"].get("ann", 1) == order(1, total=2)
    two.all.sync()
    assert two.everywhere() == [order(1, total=2)]


def test_two_handles_of_one_replica_agree_about_its_clock(world):
    two = world(0, -3600)
    first = two.replicas["us"]
    second = kv.Replica(two.stores["us"], "orders", "us")
    second.connect(two.replicas["eu"])
    for total in range(0, 9, 3):
        two.tables["eu"].put(order(1, total=total))
        first._versions.catch_up()
        second.pull(two.replicas["eu"])
        two.tables["us"].put(order(1, total=total + 1))
        first._versions.catch_up()
        two.replicas["eu"].connect(first)
        two.all.sync()
        assert two.everywhere() == [order(1, total=total + 1)]
        two.advance(seconds=1)


def test_the_same_offer_applied_again_and_late_changes_nothing(world):
    two = world(0, 0)
    two.all.sync()
    two.tables["eu"].put(order(1, total=1))
    offers = list(two.replicas["us"]._offers(two.replicas["eu"]))
    two.all.sync()
    two.tables["us"].put(order(1, total=2))
    for offer in offers * 2:
        assert two.replicas["us"]._apply("eu", offer) == 0
    two.all.sync()
    assert two.everywhere() == [order(1, total=2)]


def test_what_is_offered_is_on_disk_where_it_comes_from():
    files = RecordingFileSystem()
    clock = ManualClock(START * 1_000_000)
    store = kv.Store("/eu", clock=clock, files=files, durability="checkpoint")
    store.create_table("orders", key="id:N", stream=True)
    replica = kv.Replica(store, "orders", "eu")
    store.table("orders").put({"id": 1})
    (offer,) = [offer for offer in replica.everything() if offer.changes]
    assert offer.changes[0].item == {"id": 1}
    assert store.log.durable == store.log.last
    store.close()
    files.close_all()


# -- life -------------------------------------------------------------------------------------------------------------


def test_in_a_block_a_thread_syncs(world):
    two = world(0, 0)
    with two.all.following(0.001):
        for number in range(50):
            two.tables[two.regions[number % 2]].put(order(number))
    assert [item["order"] for item in two.everywhere()] == list(range(50))


def test_a_region_keeps_its_name(world):
    two = world(0, 0)
    with pytest.raises(Invalid, match="'eu', got 'us'"):
        kv.Replica(two.stores["eu"], "orders", "us")
    assert kv.Replica(two.stores["eu"], "orders", "eu").region == "eu"


def test_a_table_made_anew_is_another_table(world):
    two = world(0, 0)
    two.tables["eu"].put(order(1))
    two.all.sync()
    two.stores["eu"].drop_table("orders")
    with pytest.raises(NotFound):
        two.all.sync()
    table = two.stores["eu"].create_table("orders", key=("customer:S", "order:N"), stream=True)
    replica = kv.Replica(two.stores["eu"], "orders", "eu")
    replica.connect(two.replicas["us"])
    assert replica.sync() == 1
    assert table.scan().all() == [order(1)]
    assert two.replicas["us"].sync() == 0


def test_a_restored_store_joins_anew(world):
    two = world(0, 0)
    for number in range(3):
        two.tables["eu"].put(order(number))
    two.all.sync()
    two.stores["eu"].snapshot("before")
    two.tables["us"].delete("ann", 0)
    two.all.sync()
    two.advance(seconds=1)
    with kv.Store.restore(two.stores["eu"], "before", None, clock=two.clocks["eu"]) as store:
        both = kv.GlobalTable([kv.Replica(store, "orders", "eu"), two.replicas["us"]])
        both.sync()
        assert shown(store.table("orders").scan().all()) == shown(two.tables["us"].scan().all())
        assert len(store.table("orders").scan().all()) == store.table("orders.versions").describe()["items"] == 3


def test_wrong_replicas_are_refused(world):
    one, other = world(0), world(0, ttl="expires")
    replica, store = one.replicas["eu"], one.stores["eu"]
    with pytest.raises(Invalid, match="region's name"):
        kv.Replica(store, "orders", "e u")
    with pytest.raises(NotFound):
        kv.Replica(store, "order", "eu")
    store.create_table("plain", key="id:N", stream="NEW_IMAGE")
    with pytest.raises(Invalid, match="stream=True"):
        kv.Replica(store, "plain", "eu")
    store.create_table("key", key="version.x:N", stream=True)
    with pytest.raises(Invalid, match="begins with version"):
        kv.Replica(store, "key", "eu")
    with pytest.raises(Invalid, match="two regions"):
        replica.connect(other.replicas["eu"])
    us = kv.Replica(world(0, ttl="expires").stores["eu"], "orders", "eu")
    us.region = "us"
    with pytest.raises(Invalid, match="same name, key and ttl"):
        replica.connect(us)
    with pytest.raises(Invalid, match="not connected"):
        replica.pull(us)
    with pytest.raises(Invalid, match="two regions"):
        one.all.add(other.replicas["eu"])
    with pytest.raises(Invalid, match="the regions are eu, got 'mars'"):
        one.all.sync("mars")


def test_an_item_that_does_not_fit_an_index_is_refused_whole(world):
    two = world(0, 0)
    two.tables["us"].create_index("by-n", "n:N")
    two.tables["eu"].put(order(1, n=1))
    two.all.sync()
    assert two.tables["us"].query("n = :n", values={":n": 1}, index="by-n").items == [order(1, n=1)]
    two.tables["eu"].put(order(2, n="two"))
    written = two.stores["us"].log.last
    with pytest.raises(Invalid, match="by-n"):
        two.replicas["us"].pull(two.replicas["eu"])
    assert two.stores["us"].log.last == written
    two.tables["eu"].put(order(2, n=2))
    two.all.sync()
    assert two.everywhere() == [order(1, n=1), order(2, n=2)]
