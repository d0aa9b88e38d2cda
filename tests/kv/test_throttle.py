"""Units, who has paid them, and the buckets they come from: against a bucket that is filled by the microsecond."""

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models.capacity import Bucket as Model

from engines import kv
from engines.clock import ManualClock
from engines.errors import Invalid, Throttled
from engines.kv.throttle import PARTITIONS, Bucket, Capacity, Consumed, read_units, write_units

# -- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "consistent", "eventual", "transaction", "written"),
    [
        (0, 1.0, 0.5, 2.0, 1.0),
        (1, 1.0, 0.5, 2.0, 1.0),
        (1024, 1.0, 0.5, 2.0, 1.0),
        (1025, 1.0, 0.5, 2.0, 2.0),
        (4096, 1.0, 0.5, 2.0, 4.0),
        (4097, 2.0, 1.0, 4.0, 5.0),
        (409_600, 100.0, 50.0, 200.0, 400.0),
    ],
)
def test_a_read_unit_is_4_kb_and_a_write_unit_1_kb(size, consistent, eventual, transaction, written):
    assert read_units(size, consistent=True) == consistent
    assert read_units(size) == eventual
    assert read_units(size, transaction=True) == read_units(size, transaction=True, consistent=True) == transaction
    assert write_units(size) == written
    assert write_units(size, transaction=True) == 2 * written


@pytest.mark.parametrize("units", [read_units, write_units])
def test_a_negative_size_is_refused(units):
    with pytest.raises(Invalid, match="0 bytes or more, got -1"):
        units(-1)


# -- consumed ---------------------------------------------------------------------------------------------------------


def test_consumed_adds_up_by_table_and_index():
    consumed = Consumed()
    consumed.add("orders", write=2)
    consumed.add("orders", write=1, index="by_date")
    consumed.add("orders", read=0.5, index="by_total", local=True)
    consumed.add("users", read=1)
    consumed.add("orders", write=2)
    assert (consumed.read, consumed.write) == (1.5, 5)
    assert repr(consumed) == "Consumed(read=1.5, write=5)"
    assert consumed.to_dynamodb_json() == [
        {
            "TableName": "orders",
            "CapacityUnits": 5.5,
            "ReadCapacityUnits": 0.5,
            "WriteCapacityUnits": 5.0,
            "Table": {"CapacityUnits": 4.0, "ReadCapacityUnits": 0.0, "WriteCapacityUnits": 4.0},
            "GlobalSecondaryIndexes": {
                "by_date": {"CapacityUnits": 1.0, "ReadCapacityUnits": 0.0, "WriteCapacityUnits": 1.0}
            },
            "LocalSecondaryIndexes": {
                "by_total": {"CapacityUnits": 0.5, "ReadCapacityUnits": 0.5, "WriteCapacityUnits": 0.0}
            },
        },
        {
            "TableName": "users",
            "CapacityUnits": 1.0,
            "ReadCapacityUnits": 1.0,
            "WriteCapacityUnits": 0.0,
            "Table": {"CapacityUnits": 1.0, "ReadCapacityUnits": 1.0, "WriteCapacityUnits": 0.0},
        },
    ]
    assert [set(entry) for entry in consumed.to_dynamodb_json(indexes=False)] == [
        {"TableName", "CapacityUnits", "ReadCapacityUnits", "WriteCapacityUnits"}
    ] * 2


@pytest.mark.parametrize("units", [-1, math.nan, math.inf])
def test_consumed_takes_only_numbers_from_0_on_and_is_unchanged_by_others(units):
    consumed = Consumed()
    with pytest.raises(Invalid, match="a number from 0 on"):
        consumed.add("orders", read=1, write=units)
    assert (consumed.read, consumed.tables) == (0, {})


# -- bucket -----------------------------------------------------------------------------------------------------------


def test_a_new_bucket_holds_one_second_and_after_five_minutes_three_hundred():
    clock = ManualClock()
    bucket = Bucket(5, clock)
    for _ in range(5):
        bucket.take(1)
    with pytest.raises(Throttled, match=r"1 units are needed, 0 are left at 5 a second: wait 0\.2 s") as refused:
        bucket.take(1)
    assert refused.value.retry_after == 0.2
    clock.advance(minutes=5)
    assert bucket.level == bucket.capacity == 1500
    clock.advance(days=1)
    assert bucket.level == 1500
    assert (bucket.consumed, bucket.throttled) == (5, 1)


def test_a_refused_request_passes_after_retry_after_and_not_a_microsecond_earlier():
    clock = ManualClock()
    bucket = Bucket(7, clock)
    bucket.take(7)
    with pytest.raises(Throttled) as refused:
        bucket.take(1)
    clock.advance(refused.value.retry_after - 0.000001)
    with pytest.raises(Throttled) as refused:
        bucket.take(1)
    assert refused.value.retry_after == 0.000001
    clock.advance(0.000001)
    bucket.take(1)


def test_reads_are_charged_afterwards_and_wait_until_the_debt_is_paid():
    clock = ManualClock()
    bucket = Bucket(10, clock, label="read units")
    bucket.check()
    bucket.charge(128)
    assert bucket.level == -118
    with pytest.raises(Throttled, match=r"read units are needed, -118 are left at 10 a second") as refused:
        bucket.check()
    assert refused.value.retry_after == 11.800001  # more than nothing has to be there
    clock.advance(11.8)
    with pytest.raises(Throttled):
        bucket.check()
    clock.advance(0.000001)
    bucket.check()


def test_a_write_larger_than_the_bucket_passes_when_it_is_full_and_leaves_a_debt():
    clock = ManualClock()
    bucket = Bucket(1, clock)
    with pytest.raises(Throttled) as refused:
        bucket.take(400)
    assert refused.value.retry_after == 299
    clock.advance(299)
    bucket.take(400)
    assert bucket.level == -100


def test_what_was_taken_can_be_given_back():
    bucket = Bucket(5, ManualClock())
    bucket.take(4)
    bucket.charge(-4)
    assert (bucket.level, bucket.consumed) == (5, 0)
    bucket.charge(-10_000)
    assert bucket.level == bucket.capacity


def test_another_rate_keeps_what_is_there_as_far_as_it_fits():
    clock = ManualClock()
    bucket = Bucket(10, clock)
    clock.advance(299)
    bucket.set_rate(5)
    assert (bucket.rate, bucket.level, bucket.capacity) == (5, 1500, 1500)
    bucket.take(1500)
    bucket.set_rate(100)
    assert bucket.level == 0
    clock.advance(1)
    assert bucket.level == 100
    clock.advance(1)
    bucket.set_rate(1)  # what flowed in before came at the rate before
    assert bucket.level == 200
    with pytest.raises(Invalid):
        bucket.set_rate(-1)
    assert bucket.rate == 1


def test_on_demand_refuses_nothing_and_counts_all():
    bucket = Bucket(None, ManualClock())
    bucket.take(10**9)
    bucket.check()
    bucket.charge(0.5)
    assert (bucket.rate, bucket.level, bucket.capacity) == (None, math.inf, math.inf)
    assert (bucket.consumed, bucket.throttled) == (10**9 + 0.5, 0)
    bucket.set_rate(3)
    assert bucket.level == 3
    bucket.set_rate(None)
    bucket.take(10**9)


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, 1e-9, True, "5"])
def test_a_rate_is_a_number_above_0(rate):
    with pytest.raises(Invalid, match="above 0"):
        Bucket(rate, ManualClock())


@pytest.mark.parametrize("burst", [0, -1, math.nan, math.inf, "5"])
def test_burst_seconds_are_a_number_above_0(burst):
    with pytest.raises(Invalid, match="burst_seconds"):
        Bucket(5, ManualClock(), burst_seconds=burst)


@pytest.mark.parametrize("units", [-1, math.nan, math.inf])
def test_units_that_are_none_are_refused(units):
    bucket = Bucket(5, ManualClock())
    with pytest.raises(Invalid):
        bucket.take(units)
    assert (bucket.level, bucket.consumed, bucket.throttled) == (5, 0, 0)


def test_a_clock_that_steps_back_stops_no_bucket():
    clock = ManualClock(10_000_000)
    bucket = Bucket(5, clock)
    bucket.take(5)
    clock._now = 0
    assert bucket.level == 0
    clock.advance(1)
    assert bucket.level == 5


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 400)),
        st.tuples(st.just("take"), st.integers(0, 1000).map(lambda halves: halves / 2)),
        st.tuples(st.just("charge"), st.integers(-50, 600).map(lambda halves: halves / 2)),
        st.tuples(st.just("check"), st.just(0)),
        st.tuples(st.just("rate"), st.sampled_from([1, 700, 1_000_000, 333_333.125])),
    ),
    max_size=20,
)


@given(
    rate=st.sampled_from([3, 1_000, 999_983, 0.5, 123_456.25]), burst=st.sampled_from([0.0005, 0.125, 2]), steps=STEPS
)
def test_a_bucket_is_what_one_filled_by_the_microsecond_is(rate, burst, steps):
    clock = ManualClock()
    bucket, model = Bucket(rate, clock, burst_seconds=burst), Model(rate, f"{burst}")
    for step, value in steps:
        if step == "wait":
            clock.advance(value / 1_000_000)
            model.wait(value)
        elif step == "charge":
            bucket.charge(value)
            model.charge(value)
        elif step == "rate":
            bucket.set_rate(value)
            model.set_rate(value)
        else:
            passes = model.check() if step == "check" else model.take(value)
            if passes:
                bucket.check() if step == "check" else bucket.take(value)
            else:
                with pytest.raises(Throttled) as refused:
                    bucket.check() if step == "check" else bucket.take(value)
                waits = refused.value.retry_after * 1_000_000
                needed = min(value, model.room) if step == "take" else 0
                there = model.level + model.rate * round(waits) / 1_000_000
                before = there - model.rate / 1_000_000
                assert there > 0 >= before if step == "check" else there >= needed > before
        assert bucket.level == float(model.level)
        assert bucket._level == model.level * 10**12
        assert bucket.capacity == float(model.room)


@given(
    rate=st.sampled_from([1, 5, 0.25]),
    asked=st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(1, 20)), max_size=40),
)
def test_no_stretch_of_time_grants_more_than_the_level_at_its_start_and_what_flowed_in(rate, asked):
    clock = ManualClock()
    bucket = Bucket(rate, clock, burst_seconds=20)
    granted = [(0, 0.0, bucket.level)]  # time, units, level before
    for wait, units in asked:
        clock.advance(wait / 1_000_000)
        level = bucket.level
        try:
            bucket.take(units)
        except Throttled:
            continue
        granted.append((clock.now(), units, level))
    for i, (start, _, level) in enumerate(granted):
        for end in range(i, len(granted)):
            units = [units for _, units, _ in granted[i : end + 1]]
            extra = max(0, max(units) - bucket.capacity)
            assert sum(units) <= level + rate * (granted[end][0] - start) / 1_000_000 + extra + 1e-9


def test_threads_together_get_what_is_there_and_no_more():
    bucket = Bucket(1000, ManualClock())
    passed = []

    def taker():
        for _ in range(400):
            try:
                bucket.take(1)
            except Throttled:
                continue
            passed.append(1)

    threads = [threading.Thread(target=taker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == bucket.consumed == 1000
    assert bucket.throttled == 600


# -- capacity ---------------------------------------------------------------------------------------------------------


def test_a_capacity_shows_its_buckets():
    capacity = Capacity(5, 2, ManualClock())
    capacity.check()
    capacity.charge(8)
    capacity.take(1)
    for _ in range(2):
        with pytest.raises(Throttled):
            capacity.take(2)
    assert [tuple(row) for row in capacity.to_table()] == [
        ("read", 5, -3.0, 1500.0, 8.0, 0),
        ("write", 2, 1.0, 600.0, 1.0, 2),
    ]
    assert not capacity.on_demand
    capacity.give_back(1)
    assert capacity.write.level == 2
    capacity.set_rates(10, 20)
    assert (capacity.read.rate, capacity.write.rate, capacity.read.level) == (10, 20, -3)


def test_on_demand_is_none_and_none():
    capacity = Capacity(None, None, ManualClock())
    assert capacity.on_demand
    capacity.take(10**6)
    capacity.charge(10**6)
    capacity.check()
    assert [row.rate for row in capacity.to_table()] == [None, None]
    assert capacity.to_table().title == "on demand"


@pytest.mark.parametrize(("read", "write"), [(5, None), (None, 5), (0, 5), (5, -1), (math.nan, 1), ("5", 5)])
def test_a_capacity_is_two_rates_above_0_or_none(read, write):
    with pytest.raises(Invalid):
        Capacity(read, write, ManualClock())
    capacity = Capacity(1, 1, ManualClock())
    with pytest.raises(Invalid):
        capacity.set_rates(read, write)
    assert (capacity.read.rate, capacity.write.rate) == (1, 1)


@pytest.mark.parametrize("rate", [None, 100_000])
def test_a_hot_key_is_refused_while_the_table_has_plenty(rate):
    clock = ManualClock()
    capacity = Capacity(rate, rate, clock, partition_limits=True)
    capacity.take(1000, "ann")
    consumed = capacity.write.consumed
    with pytest.raises(Throttled, match="partition key 'ann' is hot") as refused:
        capacity.take(1, "ann")
    assert (refused.value.retry_after, refused.value.partition) == (0.001, "ann")
    assert capacity.write.consumed == consumed
    capacity.take(1000, "bob")
    capacity.check("ann")
    capacity.charge(3_000, "ann")
    with pytest.raises(Throttled, match="hot"):
        capacity.check("ann")
    capacity.check("bob")
    capacity.check()
    clock.advance(minutes=5)
    capacity.take(1000, "ann")
    with pytest.raises(Throttled):
        capacity.take(1, "ann")  # a key's bucket holds one second's worth, not 300
    capacity.give_back(1, "ann")
    capacity.take(1, "ann")
    assert [tuple(row) for row in capacity.hot_keys()] == [("ann", 3000.0, 2000.0, 3), ("bob", 0.0, 1000.0, 0)]
    assert len(capacity.hot_keys(1)) == 1
    with pytest.raises(Invalid, match="limit must be at least 1"):
        capacity.hot_keys(0)


def test_without_partition_limits_a_hot_key_is_only_a_key():
    capacity = Capacity(None, None, ManualClock())
    capacity.take(5_000, "ann")
    capacity.charge(5_000, "ann")
    capacity.check("ann")
    assert len(capacity.hot_keys()) == 0


def test_what_the_table_refuses_costs_the_key_nothing():
    capacity = Capacity(1, 1, ManualClock(), partition_limits=True)
    with pytest.raises(Throttled, match="buy more"):
        capacity.take(2, "ann")
    assert len(capacity.hot_keys()) == 0


def test_only_so_many_keys_are_remembered_the_longest_unused_is_forgotten():
    capacity = Capacity(None, None, ManualClock(), partition_limits=True)
    for key in range(PARTITIONS):
        capacity.take(1, key)
    capacity.take(1, 0)
    capacity.take(1, "new")
    assert len(capacity._partitions) == PARTITIONS
    assert 1 not in capacity._partitions
    assert capacity.hot_keys(1).rows()[0].partition == 0


@pytest.mark.parametrize(
    ("batch", "retry_after"),
    [
        (lambda store: store.batch_get([("slow", "a"), ("fast", "a")]).unprocessed, 0.250001),  # more than nothing
        (lambda store: store.batch_write([kv.Delete("slow", "a"), kv.Delete("fast", "a")]), 0.5),
    ],
)
def test_a_batch_that_can_do_nothing_says_when_it_can_do_something(batch, retry_after):
    clock = ManualClock()
    with kv.Store(clock=clock) as store:
        for name, rate in (("slow", 1), ("fast", 4)):
            capacity = store.create_table(name, key="id:S", capacity=(rate, rate)).records.capacity
            for bucket in (capacity.read, capacity.write):
                bucket.charge(rate + 1)
        clock.advance(retry_after - 0.000001)
        with pytest.raises(Throttled, match=r"wait 0\.000001 s") as refused:
            batch(store)
        assert refused.value.retry_after == 0.000001
        clock.advance(0.000001)
        assert [left.table for left in batch(store)] == ["slow"]
