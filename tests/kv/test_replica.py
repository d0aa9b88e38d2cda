"""Global tables: whatever the order, the delays, the clocks and the crashes, all regions end with the last writes."""

import random
from itertools import islice

import pytest
from crash.recorder import RecordingFileSystem
from crash.states import crash_states
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from models import replica as model
from models.items import shown

from engines import kv
from engines.clock import ManualClock, Stamp
from engines.errors import ConditionFailed, Invalid, NotFound, Trimmed
from engines.kv.versions import tick, version_of

START = 1_700_000_000  # seconds
DAY = 24 * 3600


class World:
    """Some regions: a store in memory for each, with a clock of its own, and a global table of theirs."""

    def __init__(self, *skews, key=("customer:S", "order:N"), ttl=None):
        self.regions = ["eu", "us", "ap", "sa"][: len(skews)]
        self.clocks = {
            region: ManualClock((START + skew) * 1_000_000) for region, skew in zip(self.regions, skews, strict=True)
        }
        self.stores = {region: kv.Store(None, clock=clock) for region, clock in self.clocks.items()}
        self.tables = {
            region: store.create_table("orders", key=key, ttl=ttl, stream=True) for region, store in self.stores.items()
        }
        self.replicas = {region: kv.Replica(store, "orders", region) for region, store in self.stores.items()}
        self.all = kv.GlobalTable(self.replicas.values())

    def advance(self, **time):
        for clock in self.clocks.values():
            clock.advance(**time)

    def items(self, region):
        return shown(sorted(self.tables[region].scan(), key=lambda item: item["order"]))

    def everywhere(self):
        first, *others = [self.items(region) for region in self.regions]
        assert all(other == first for other in others)
        return [self.tables["eu"].get(*key) for key in sorted(version_keys(self.tables["eu"]))]

    def written(self):
        return {region: store.log.last for region, store in self.stores.items()}

    def close(self):
        for store in self.stores.values():
            store.close()


def version_keys(table):
    return [tuple(item[name] for name in table.definition.key_names) for item in table.scan()]


@pytest.fixture
def world():
    made = []

    def make(*skews, **options):
        made.append(World(*skews, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def order(number, **attributes):
    return {"customer": "ann", "order": number, **attributes}


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


# -- joining ----------------------------------------------------------------------------------------------------------


def test_a_replica_joins_while_writes_go_on(world, monkeypatch):
    monkeypatch.setattr(kv.replica, "PAGE", 4)
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


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setitem(kv.store.Log.__init__.__kwdefaults__, "segment", 1 << 14)


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
    assert three.replicas["ap"].standing().floor >= three.replicas["eu"].standing().floor > 0
    three.all.sync()
    assert three.everywhere() == [order(2, total=2), order(3, total=3), order(9, total=9)]


def test_who_hears_first_of_one_that_was_away_is_told_so_too(world):
    three = away(world, forgets=False)
    with pytest.raises(Trimmed, match=r"written before the deletions that eu remembers") as trimmed:
        three.replicas["eu"].pull(three.replicas["ap"])
    assert "seed()" in str(trimmed.value)
    assert three.tables["eu"].get("ann", 8) is None
    three.replicas["ap"].seed(three.replicas["us"])
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


# -- life -------------------------------------------------------------------------------------------------------------


def test_in_a_block_a_thread_syncs(world):
    two = world(0, 0)
    with two.all.following(0.001):
        for number in range(50):
            two.tables[two.regions[number % 2]].put(order(number))
    assert [item["order"] for item in two.everywhere()] == list(range(50))


def test_what_stops_the_thread_is_raised_at_the_end(world):
    three = away(world)
    with pytest.raises(Trimmed), three.all.following(0.001):
        pass


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


# -- anything at all --------------------------------------------------------------------------------------------------

REGIONS = ["eu", "us", "ap", "sa"]
regions = st.integers(0, 3)
keys = st.integers(0, 5)
contents = st.builds(  # always in this order: for the store, another order is another item
    lambda text, v: {name: value for name, value in (("text", text), ("v", v)) if value is not None},
    st.none() | st.text("ab", max_size=2),
    st.none() | st.integers(0, 2),
)
lives = st.none() | st.integers(-3, 40)


@pytest.fixture(autouse=True)
def _small_pages(request, monkeypatch):
    if request.cls is not None:
        monkeypatch.setattr(kv.versions, "PAGE", 3)
        monkeypatch.setattr(kv.replica, "PAGE", 2)


class Regions(RuleBasedStateMachine):
    """Two to four stores, each in a recorded file system, with a clock of its own, beside a model of each.

    Every write goes through the ordinary Table. The model knows the stamp of each, so that it is compared too.
    """

    @initialize(count=st.integers(2, 4), skews=st.lists(st.integers(-100, 100), min_size=4, max_size=4))
    def create(self, count, skews):
        self.rng = random.Random(0)  # noqa: S311 - the same crashes in each run
        self.count = count
        self.clocks = [ManualClock((START + skew) * 1_000_000) for skew in skews[:count]]
        self.files = [RecordingFileSystem() for _ in range(count)]
        self.models = [model.Replica(region, clock, "ttl") for region, clock in zip(REGIONS, self.clocks, strict=False)]
        self.stores = [self.open(number) for number in range(count)]
        for store in self.stores:
            store.create_table("t", key="id:N", ttl="ttl", stream=True)
        self.join()

    def open(self, number):
        return kv.Store(f"/{REGIONS[number]}", clock=self.clocks[number], files=self.files[number])

    def join(self):
        pairs = zip(self.stores, REGIONS, strict=False)
        self.all = kv.GlobalTable([kv.Replica(store, "t", region) for store, region in pairs])
        self.replicas = list(self.all.replicas.values())

    def at(self, number):
        """One of the regions, what is due there deleted: each write would sweep a little of it."""
        number %= self.count
        self.stores[number].expire()
        self.models[number].expire()
        return self.stores[number], self.models[number]

    def item(self, number, key, content, life):
        second = self.clocks[number % self.count].now() // 1_000_000
        return {"id": key} | content | ({} if life is None else {"ttl": second + life})

    # -- writing ------------------------------------------------------------------------------------------------------

    @rule(number=regions, key=keys, content=contents, life=lives)
    def put(self, number, key, content, life):
        store, expected = self.at(number)
        item = self.item(number, key, content, life)
        store.table("t").put(item)
        expected.write({key: item})

    @rule(number=regions, key=keys)
    def put_if_absent(self, number, key):
        store, expected = self.at(number)
        if key in expected.items():
            with pytest.raises(ConditionFailed):
                store.table("t").put({"id": key, "new": 1}, condition="attribute_not_exists(id)")
        else:
            store.table("t").put({"id": key, "new": 1}, condition="attribute_not_exists(id)")
            expected.write({key: {"id": key, "new": 1}})

    @rule(number=regions, key=keys)
    def update(self, number, key):
        store, expected = self.at(number)
        store.table("t").update(key, "ADD n :one", values={":one": 1})
        item = expected.items().get(key, {"id": key})
        expected.write({key: item | {"n": item.get("n", 0) + 1}})

    @rule(number=regions, key=keys)
    def delete(self, number, key):
        store, expected = self.at(number)
        store.table("t").delete(key)
        expected.write({key: None})

    @rule(number=regions, items=st.dictionaries(keys, contents | st.none(), min_size=1), transaction=st.booleans())
    def write_together(self, number, items, transaction):
        store, expected = self.at(number)
        items = {key: None if content is None else {"id": key} | content for key, content in items.items()}
        if transaction:
            store.transact([kv.Delete("t", key) if item is None else kv.Put("t", item) for key, item in items.items()])
        else:
            with store.table("t").batch_writer() as batch:
                for key, item in items.items():
                    _ = batch.delete(key) if item is None else batch.put(item)
        expected.write(items)

    # -- exchanging ---------------------------------------------------------------------------------------------------

    @rule(to=regions, source=regions)
    def pull(self, to, source):
        to, source = to % self.count, source % self.count
        if to != source:
            found = self.replicas[to].lag()[REGIONS[source]].changes
            expected = self.models[to].pull(self.models[source])
            assert self.replicas[to].pull(self.replicas[source]) == expected == found

    @rule(to=regions, source=regions, parts=st.integers(1, 3))
    def pull_a_part(self, to, source, parts):
        """What comes of it is seen at the end: some changes, perhaps of the middle, then the connection is lost."""
        to, source = to % self.count, source % self.count
        if to != source:
            for offer in islice(self.replicas[to]._offers(self.replicas[source]), parts):
                self.replicas[to]._apply(REGIONS[source], offer)
                for change in offer.changes:
                    mine = self.models[to].writes.get(change.key[0])
                    if mine is None or change.stamp > mine[0]:
                        self.models[to].writes[change.key[0]] = (tuple(change.stamp), change.item)
                        self.models[to].seen = max(self.models[to].seen, change.stamp[:2])

    @rule(number=regions)
    def fold(self, number):
        self.replicas[number % self.count]._versions.catch_up()

    # -- time, and life -----------------------------------------------------------------------------------------------

    @rule(number=regions, seconds=st.sampled_from([0.0005, 0.001, 1, 30]))
    def pass_time(self, number, seconds):
        self.clocks[number % self.count].advance(seconds)

    @rule(seconds=st.sampled_from([1, 30]))
    def pass_time_everywhere(self, seconds):
        for clock in self.clocks:
            clock.advance(seconds)

    @rule(number=regions)
    def checkpoint(self, number):
        self.stores[number % self.count].checkpoint()

    @rule(number=regions)
    def reopen(self, number):
        number %= self.count
        self.stores[number].close()
        self.stores[number] = self.open(number)
        self.join()

    @rule(number=regions, killed=st.booleans())
    def crash_and_recover(self, number, killed):
        number %= self.count
        files = self.files[number]
        image = files.image()
        if not killed:
            states = crash_states(files.journal, len(files.journal), self.rng, 2)
            image = self.rng.choice(list(islice(states, 20)))
        self.stores[number].close()
        files.close_all()
        self.files[number] = RecordingFileSystem(image)
        self.stores[number] = self.open(number)
        self.join()

    # -- what always holds --------------------------------------------------------------------------------------------

    @rule(number=regions)
    def look(self, number):
        store, expected = self.at(number)
        found = {item["id"]: item for item in store.table("t").scan()}
        assert shown(found) == shown(expected.items())
        self.replicas[number % self.count]._versions.catch_up()
        versions = {item["id"]: version_of(item) for item in store.table("t.versions").scan()}
        assert {key: (tuple(v.stamp), v.deleted) for key, v in versions.items()} == {
            key: (stamp, item is None) for key, (stamp, item) in expected.writes.items()
        }

    @invariant()
    def a_position_is_within_its_log(self):
        for store in getattr(self, "stores", []):
            assert store.table("t.replication").get("self")["position"] <= store.log.last

    def teardown(self):
        if not hasattr(self, "all"):
            return
        try:
            for number in range(self.count):
                self.look(number)
            last = model.merged(self.models)
            self.all.sync()
            for number, replica in enumerate(self.models):
                replica.writes = dict(last)
                versions = {item["id"]: version_of(item) for item in self.stores[number].table("t.versions").scan()}
                assert {key: tuple(v.stamp) for key, v in versions.items()} == {k: s for k, (s, _) in last.items()}
            written = [store.log.last for store in self.stores]
            assert self.all.sync() == 0
            assert [store.log.last for store in self.stores] == written
            self.end_equal()
        finally:
            for store, files in zip(self.stores, self.files, strict=True):
                store.close()
                files.close_all()

    def end_equal(self):
        """Once all clocks have passed every time to live."""
        for clock in self.clocks:
            clock.advance(seconds=400)
        for store in self.stores:
            store.expire()
        self.all.sync()
        first, *others = [shown(sorted(store.table("t").scan(), key=lambda item: item["id"])) for store in self.stores]
        assert all(other == first for other in others)
        assert all(store.verify().ok for store in self.stores)


TestRegions = Regions.TestCase
TestRegions.settings = settings(max_examples=60, stateful_step_count=40)
