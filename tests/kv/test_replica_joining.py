"""Global tables: replicas that join, that were away for too long, and that are seeded."""

import pytest
from crash.recorder import RecordingFileSystem
from models.items import shown
from moments import START
from regions import order, world

from engines import kv
from engines.clock import ManualClock
from engines.errors import Trimmed
from engines.kv.regions.versions import version_of

__all__ = ["world"]  # a fixture


# -- joining ----------------------------------------------------------------------------------------------------------


def test_a_replica_joins_while_writes_go_on(world, monkeypatch):
    monkeypatch.setattr("engines.kv.regions.replica.PAGE", 4)
    two = world(0, 0)
    eu, us = two.replicas["eu"], two.replicas["us"]
    for number in range(20):
        two.tables["eu"].put(order(number, total=0))
    for step, offer in enumerate(us._offers(eu)):
        us._apply("eu", offer)
        for change in offer.changes:  # item and stamp are of one moment: now
            assert change.item == two.tables["eu"].get(*change.key)
            eu._versions.catch_up()
            version = version_of(two.stores["eu"].table("orders.versions").get(*change.key))
            assert version.stamp == change.stamp
        if step < 4:
            two.tables["eu"].put(order(step, total=1))  # behind the reader
            two.tables["eu"].put(order(19 - step, total=2))  # ahead of it
            two.tables["eu"].delete("ann", 10 + step)
    assert two.items("us") == two.items("eu")
    two.all.sync()
    assert two.everywhere()[:5] == [order(number, total=1) for number in range(4)] + [order(4, total=0)]


def test_what_a_table_held_before_it_joined_takes_part_with_the_times_of_its_writes(world):
    clock = ManualClock(START * 1_000_000)
    with kv.Store(None, clock=clock) as eu, kv.Store(None, clock=clock) as us:
        for store in (us, eu):
            store.create_table("orders", key="id:N", stream=True)
        us.table("orders").put({"id": 1, "by": "us"})
        clock.advance(1)
        eu.table("orders").put({"id": 1, "by": "eu"})
        both = kv.GlobalTable([kv.Replica(eu, "orders", "eu"), kv.Replica(us, "orders", "us")])
        both.sync()
        assert us.table("orders").scan().all() == eu.table("orders").scan().all() == [{"id": 1, "by": "eu"}]


def test_a_third_region_is_added_later(world):
    two = world(0, 0)
    two.tables["eu"].put(order(1))
    two.all.sync()
    with kv.Store(None, clock=two.clocks["eu"]) as store:
        table = store.create_table("orders", key=("customer:S", "order:N"), stream=True)
        two.all.add(kv.Replica(store, "orders", "ap"))
        two.tables["us"].delete("ann", 1)
        table.put(order(2))
        two.all.sync()
        assert table.scan().all() == two.everywhere() == [order(2)]


def test_a_table_older_than_its_log_joins_with_all_its_items(small_segments):
    clock = ManualClock(START * 1_000_000)
    eu = kv.Store("/eu", clock=clock, files=RecordingFileSystem())
    us = kv.Store("/us", clock=clock, files=RecordingFileSystem())
    for store in (eu, us):
        store.create_table("orders", key="id:N", stream=True)
    for day in range(4):
        for number in range(30):
            eu.table("orders").put({"id": number % 7 + day, "text": "x" * 2000, "number": number})
        eu.table("orders").delete(day)
        clock.advance(days=1.1)
        eu.checkpoint()
    assert eu.log.first > 5
    both = kv.GlobalTable([kv.Replica(eu, "orders", "eu"), kv.Replica(us, "orders", "us")])
    both.sync()
    assert shown(us.table("orders").scan().all()) == shown(eu.table("orders").scan().all())
    assert len(us.table("orders").scan().all()) == eu.table("orders.versions").describe()["items"] == 6
    for store in (eu, us):
        store.close()


def test_what_was_written_and_has_left_the_log_before_anybody_synced_is_found_in_the_items(small_segments):
    clock = ManualClock(START * 1_000_000)
    eu = kv.Store("/eu", clock=clock, files=RecordingFileSystem())
    us = kv.Store("/us", clock=ManualClock(START * 1_000_000), files=RecordingFileSystem())
    other = eu.create_table("other", key="id:N")
    tables = [store.create_table("orders", key="id:N", stream=True) for store in (eu, us)]
    both = kv.GlobalTable([kv.Replica(eu, "orders", "eu"), kv.Replica(us, "orders", "us")])
    for number in range(5):
        tables[0].put({"id": number})
    both.sync()
    us.clock.advance(days=300)  # far ahead: who has seen its write wins over it all the same
    tables[1].put({"id": 2, "by": "us"})
    both.sync()
    tables[0].put({"id": 2, "by": "eu"})
    tables[0].delete(0)
    tables[0].put({"id": 1, "again": True})
    tables[0].put({"id": 7})
    for _ in range(4):
        for number in range(30):
            other.put({"id": 1, "text": "x" * 2000, "number": number + clock.now()})
        clock.advance(days=1.1)
        eu.checkpoint()
    written = eu.table("orders.replication").get("self")["position"]
    assert eu.log.first > written + 1
    with pytest.raises(Trimmed, match=r"seed\(\)"):
        both.replicas["us"].pull(both.replicas["eu"])
    both.replicas["us"].seed(both.replicas["eu"])
    both.sync()
    for table in tables:
        found = sorted(table.scan(), key=lambda item: item["id"])
        assert found == [{"id": 1, "again": True}, {"id": 2, "by": "eu"}, {"id": 3}, {"id": 4}, {"id": 7}]
    for store in (eu, us):
        store.close()


# -- away for too long ------------------------------------------------------------------------------------------------


def test_deletions_are_remembered_for_a_day(world):
    two = world(0, 0)
    two.tables["eu"].put(order(1))
    two.all.sync()
    two.tables["eu"].delete("ann", 1)
    two.all.sync()
    two.advance(hours=23)
    assert two.replicas["eu"].forget() == 0
    two.advance(hours=2)
    assert two.replicas["eu"].forget() == 1
    assert two.stores["eu"].table("orders.versions").scan().all() == []
    two.all.sync()  # and so does every sync
    assert two.stores["us"].table("orders.versions").scan().all() == []
    two.tables["us"].put(order(1))
    two.all.sync()
    assert two.everywhere() == [order(1)]


def test_a_forgotten_deletion_that_is_told_again_is_nothing(world):
    two = world(0, 0)
    two.tables["eu"].put(order(1))
    two.all.sync()
    two.tables["eu"].delete("ann", 1)
    offers = list(two.replicas["us"]._offers(two.replicas["eu"]))
    two.all.sync()
    two.advance(hours=25)
    assert two.replicas["us"].forget() == 1
    for offer in offers:
        assert two.replicas["us"]._apply("eu", offer) == 0
    assert two.stores["us"].table("orders.versions").scan().all() == []


def away(world, *, forgets=True):
    """ap was away for two days; meanwhile 1 was deleted in the others, and all have written."""
    three = world(0, 0, 0)
    for number in (1, 2, 3):
        three.tables["eu"].put(order(number, total=0))
    three.all.sync()
    three.tables["ap"].put(order(8, total=8))  # nobody ever heard of it in time
    three.tables["ap"].put(order(7))
    three.tables["ap"].delete("ann", 7)
    three.tables["eu"].delete("ann", 1)
    for _ in range(8):
        three.advance(hours=6)
        three.all.sync("eu", "us")
    three.tables["us"].put(order(2, total=2))
    three.tables["ap"].put(order(3, total=3))
    three.tables["ap"].put(order(9, total=9))
    assert not forgets or three.replicas["ap"].forget() == 1
    return three


def test_a_replica_that_was_away_for_too_long_is_told_so_and_seeded(world):
    three = away(world)
    with pytest.raises(Trimmed, match=r"away"):
        three.replicas["ap"].pull(three.replicas["eu"])
    three.replicas["ap"].seed(three.replicas["eu"])
    three.all.sync()
    assert three.everywhere() == [order(2, total=2), order(3, total=3), order(9, total=9)]


def test_a_replica_that_was_seeded_is_read_anew_once(world):
    two = world(0, 0)
    two.tables["eu"].put(order(1))
    two.all.sync()
    two.replicas["us"].seed(two.replicas["eu"])
    two.all.sync()
    assert len(list(two.replicas["eu"]._offers(two.replicas["us"]))) == 1


def test_who_hears_first_of_one_that_was_away_is_told_so_too(world):
    three = away(world, forgets=False)
    with pytest.raises(Trimmed, match=r"written before the deletions that eu remembers") as trimmed:
        three.replicas["eu"].pull(three.replicas["ap"])
    assert "seed()" in str(trimmed.value)
    assert three.tables["eu"].get("ann", 8) is None
    three.replicas["ap"].seed(three.replicas["us"])
    assert three.replicas["ap"].standing().floor == three.replicas["us"].standing().floor > 0
    three.all.sync()
    assert three.everywhere() == [order(2, total=2), order(3, total=3), order(9, total=9)]


def test_the_one_that_was_away_may_be_what_the_others_are_seeded_from(world):
    three = away(world)
    three.replicas["eu"].seed(three.replicas["ap"])
    three.replicas["us"].seed(three.replicas["eu"])
    three.all.sync()
    assert [item["order"] for item in three.everywhere()] == [1, 2, 3, 8, 9]


def test_a_replica_that_was_set_back_is_not_read_from_the_middle(world):
    two = world(0, 0)
    two.tables["eu"].put(order(1))
    two.all.sync()
    with pytest.raises(Trimmed, match="set back"):
        two.replicas["eu"].offer(two.stores["eu"].log.last + 1, "us")


def test_what_stops_the_thread_is_raised_at_the_end(world):
    three = away(world)
    with pytest.raises(Trimmed), three.all.following(0.001):
        pass
