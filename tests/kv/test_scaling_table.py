"""Auto-scaling of tables: rates that follow the load, by tick() or by themselves, through reopening and by hand."""

import math
import threading

import pytest
from crash.recorder import RecordingFileSystem
from hypothesis import given
from hypothesis import strategies as st
from models.capacity import scaled

from engines import kv
from engines.clock import ManualClock
from engines.errors import Invalid, Poisoned, ReadOnly, Throttled
from engines.kv.scaling import Scaling
from engines.kv.throttle import Consumed

LIMITS = Scaling(10, 1000)
WIDE = {"x": "y" * 1024 * 9}  # with its key ten write units
OPERATIONS = {
    "put": lambda store, table: table.put({"id": "a"}),
    "update": lambda store, table: table.update("a", "SET n = :n", values={":n": 1}),
    "delete": lambda store, table: table.delete("a"),
    "get": lambda store, table: table.get("a"),
    "query": lambda store, table: table.query("id = :i", values={":i": "a"}),
    "scan": lambda store, table: table.scan(),
    "transact": lambda store, table: store.transact([kv.Put("t", {"id": "a"})]),
    "transact gets": lambda store, table: store.transact([kv.Get("t", "a")]),
    "batch_get": lambda store, table: store.batch_get([("t", "a")]),
    "batch_write": lambda store, table: store.batch_write([kv.Put("t", {"id": "a"})]),
}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(clock):
    with kv.Store(clock=clock) as made:
        yield made


@pytest.fixture
def table(store):
    return store.create_table("t", key="id:S", capacity=(100, 100))


def rates(table):
    return table.describe()["capacity"]


def use(table, clock, write=0, minutes=1):
    """That many write units in every second of so many minutes."""
    for _ in range(60 * minutes):
        for _ in range(write // 10):
            table.put({"id": "a"} | WIDE)
        clock.advance(1)


def test_two_busy_minutes_raise_the_rate_of_the_kind_that_is_scaled(store, table, clock):
    table.scale(write=LIMITS)
    use(table, clock, write=80)
    assert (store.tick(), rates(table)) == (0, (100, 100))
    use(table, clock, write=80)
    assert (store.tick(), rates(table)) == (1, (100, 115))
    assert store.tick() == 0
    assert table.buckets().columns["rate"] == [100, 115]
    assert [tuple(row)[1:] for row in table.scaling()] == [("write", 100, 115, "2 minutes above the target")]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_first_operation_of_a_minute_does_what_the_last_ones_ask_for(store, table, clock, operation):
    table.put({"id": "a"})
    table.scale(read=Scaling(10, 1000, target=0.9), write=LIMITS)
    use(table, clock, write=80, minutes=2)
    assert rates(table) == (100, 100)
    OPERATIONS[operation](store, table)
    assert rates(table) == (100, 115)


def test_an_operation_that_is_too_much_for_the_old_rate_pays_at_the_new_one(store, table, clock):
    table.scale(write=Scaling(1, 1000))
    use(table, clock, write=90, minutes=2)
    bucket = table.records.capacity.write
    bucket.charge(bucket.level)
    with pytest.raises(Throttled) as refused:
        table.put({"id": "b"} | WIDE)
    assert rates(table) == (100, 129)
    assert refused.value.retry_after == math.ceil(10 / 129 * 1_000_000) / 1_000_000


def test_reads_count_what_they_cost(store, table, clock):
    table.scale(read=LIMITS)
    table.put({"id": "a"})
    for _ in range(2):
        for _ in range(60):
            for _ in range(80):
                table.get("a", consistent=True)
            for _ in range(8):
                table.query("id = :i", values={":i": "a"})  # half a unit each
            clock.advance(1)
    assert store.tick() == 1
    assert rates(table) == (120, 100)


def test_fifteen_quiet_minutes_lower_the_rate_to_the_minimum(store, table, clock):
    table.scale(read=LIMITS, write=Scaling(40, 1000))
    clock.advance(minutes=15)
    table.get("a")
    assert rates(table) == (10, 40)


def test_a_table_that_is_not_used_and_a_store_that_is_not_ticked_stay_as_they_are(store, table, clock):
    other = store.create_table("other", key="id:S", capacity=(5, 5))
    table.scale(read=LIMITS)
    clock.advance(minutes=30)
    for _ in range(3):
        other.put({"id": "a"})
        other.get("a")
    assert rates(table) == (100, 100)


def test_the_rates_are_within_the_limits_at_once(store, table):
    table.scale(read=Scaling(200, 300), write=Scaling(1, 50))
    assert rates(table) == (200, 50)
    table.capacity(2.5, 2.5)
    assert store.tick() == 1
    assert rates(table) == (200, 3)


def test_what_is_set_by_hand_is_where_scaling_goes_on(store, table, clock):
    table.scale(write=LIMITS)
    use(table, clock, write=80)
    table.capacity(100, 500)
    use(table, clock, write=80)
    assert (store.tick(), rates(table)) == (0, (100, 500))
    use(table, clock, write=80, minutes=13)
    assert (store.tick(), rates(table)) == (1, (100, 115))
    assert table.scaling().columns["why"] == ["set by hand", "15 minutes 20 % or more below the target"]


def test_on_demand_it_rests_and_goes_on_when_capacity_is_bought_again(store, table, clock):
    table.scale(read=LIMITS)
    table.capacity()
    clock.advance(minutes=20)
    assert (store.tick(), rates(table)) == (0, None)
    assert table.describe()["scaling"] == {"read": {"minimum": 10, "maximum": 1000} | REST, "write": None}
    assert len(table.scaling()) == 0
    table.capacity(100, 100)
    clock.advance(minutes=14)
    assert store.tick() == 0
    clock.advance(minutes=1)
    assert (store.tick(), rates(table)) == (1, (10, 100))


def test_it_is_asked_once_a_minute(store, table, clock):
    table.scale(write=LIMITS)
    clock.advance(minutes=1)
    table.get("a")
    table.capacity(100, 5000)  # more than the policy's maximum
    table.get("a")
    clock.advance(59.999999)
    table.get("a")
    assert rates(table) == (100, 5000)
    clock.advance(0.000001)
    table.get("a")
    assert rates(table) == (100, 1000)


def test_changes_are_told_in_the_order_of_time(store, table, clock):
    table.scale(read=LIMITS, write=LIMITS)
    use(table, clock, write=80, minutes=2)
    store.tick()
    clock.advance(minutes=13)
    store.tick()
    assert table.scaling().columns["units"] == ["write", "read"]


class Meanwhile(ManualClock):
    """A clock that lets something happen while it is looked at."""

    def __init__(self):
        super().__init__()
        self.what = None

    def now(self):
        what, self.what = self.what, None
        if what is not None:
            what()
        return super().now()


@pytest.mark.parametrize(
    ("what", "capacity"), [(lambda table: table._store.drop_table("t"), ()), (lambda table: table.capacity(), None)]
)
def test_a_table_that_is_dropped_or_on_demand_meanwhile_has_no_rates_to_change(what, capacity):
    clock = Meanwhile()
    with kv.Store(clock=clock) as store:
        table = store.create_table("t", key="id:S", capacity=(100, 100))
        table.scale(read=LIMITS)
        clock.advance(minutes=15)
        clock.what = lambda: what(table)
        store.tick()
        assert [rates(store.table(name)) for name in store.tables()] == ([] if capacity == () else [capacity])
        assert table.records.capacity is None or store.tables() == []


def test_a_rate_below_one_by_hand_is_raised_to_the_minimum_also_after_reopening(tmp_path, clock):
    with kv.Store(tmp_path / "shop", clock=clock) as store:
        table = store.create_table("t", key="id:S", capacity=(100, 100))
        table.scale(write=Scaling(1, 50))
        table.capacity(100, 0.5)
    with kv.Store(tmp_path / "shop", clock=clock) as store:
        assert rates(store.table("t")) == (100, 0.5)
        assert store.tick() == 1
        assert rates(store.table("t")) == (100, 1)


REST = {"target": 0.7, "cooldown_up": 0, "cooldown_down": 0}


def test_scale_without_policies_ends_it(store, table, clock):
    table.scale(read=LIMITS, write=LIMITS)
    table.scale(write=LIMITS)
    clock.advance(minutes=20)
    assert store.tick() == 1
    assert rates(table) == (100, 10)
    table.scale()
    assert table.describe()["scaling"] == {"read": None, "write": None}
    assert table.records.scaler is None


def test_the_same_numbers_again_keep_the_minutes_and_others_begin_anew(store, table, clock):
    table.scale(write=LIMITS)
    use(table, clock, write=80)
    table.scale(write=Scaling(10, 1000))
    table.capacity(100, 100, partition_limits=True)  # with other buckets
    use(table, clock, write=80)
    assert store.tick() == 1
    use(table, clock, write=110)
    table.scale(write=Scaling(10, 999))
    use(table, clock, write=110)
    assert store.tick() == 0


def test_what_is_given_back_was_not_used(store, table, clock):
    """A transaction pays for its first action before it learns that there is nothing left for its second."""
    poor = store.create_table("poor", key="id:S", capacity=(1, 1))
    poor.put({"id": "a"})
    table.scale(write=LIMITS)
    for _ in range(2):
        for _ in range(60):
            for _ in range(5):
                with pytest.raises(Throttled):
                    store.transact([kv.Put("t", {"id": "a"} | WIDE), kv.Put("poor", {"id": "b"} | WIDE)])
            clock.advance(1)
            poor.records.capacity.write.charge(1)
        table.put({"id": "a"})
    assert store.tick() == 0


def test_indexes_draw_from_the_rate_that_is_scaled(store, table, clock):
    table.create_index("by_x", "x:S", projection="KEYS_ONLY")
    table.scale(write=LIMITS)
    for i in range(2 * 60):
        for n in range(25):
            table.put({"id": str(n), "x": str(i)})  # one for the item, two for its old and its new entry
        clock.advance(1)
    assert store.tick() == 1
    assert rates(table)[1] == math.ceil(75 / 0.7)


def test_policies_and_rates_are_there_when_the_store_is_opened_again(clock):
    files = RecordingFileSystem()
    store = kv.Store("/shop", clock=clock, files=files)
    table = store.create_table("t", key="id:S", capacity=(100, 100))
    table.scale(read=Scaling(5, 50, target=0.5, cooldown_up=30.5), write=LIMITS)
    use(table, clock, write=80, minutes=2)
    store.tick()
    said = table.describe()
    assert said["capacity"] == (50, 115)
    killed = files.image()
    store.close()
    for image in (killed, files.image()):
        with kv.Store("/shop", clock=ManualClock(clock.now()), files=RecordingFileSystem(image)) as again:
            table = again.table("t")
            assert table.describe() == said
            use(table, again.clock, write=80)
            assert again.tick() == 0  # the minutes of before are forgotten
            assert len(table.scaling()) == 0
            again.clock.advance(minutes=14)
            assert again.tick() == 1
            assert rates(table) == (5, 115)


def test_a_restored_table_has_the_rates_but_no_policy(store, table, clock):
    table.scale(read=LIMITS)
    store.snapshot("now")
    restored = store.restore_table("t", to="again", snapshot="now")
    assert restored.describe()["capacity"] == (100, 100)
    assert restored.describe()["scaling"] == {"read": None, "write": None}


def test_a_store_that_is_only_read_is_not_scaled(tmp_path, clock):
    with kv.Store(tmp_path / "shop", clock=clock) as store:
        store.create_table("t", key="id:S", capacity=(100, 100)).scale(read=LIMITS)
    clock.advance(minutes=20)
    with kv.Store(tmp_path / "shop", clock=clock, read_only=True) as store:
        clock.advance(minutes=20)
        assert store.table("t").get("a") is None
        assert rates(store.table("t")) == (100, 100)
        with pytest.raises(ReadOnly):
            store.tick()


def test_reading_goes_on_where_the_log_lets_no_change_of_rates_pass(store, table, clock):
    table.put({"id": "a"})
    table.scale(read=LIMITS)
    store.log.refuse(Poisoned("the disk failed"))
    clock.advance(minutes=20)
    assert table.get("a") == {"id": "a"}
    with pytest.raises(Poisoned):
        store.tick()
    assert rates(table) == (100, 100)


def test_threads_scale_once(store, table, clock):
    table.scale(write=LIMITS)
    use(table, clock, write=80, minutes=2)
    threads = [threading.Thread(target=table.get, args=("a",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rates(table) == (100, 115)
    assert len(table.scaling()) == 1


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ({"read": (1, 5)}, r"read is a kv\.Scaling\(minimum, maximum\), or None"),
        ({"write": Scaling(0, 5)}, "minimum is a whole number"),
        ({"read": LIMITS, "write": Scaling(6, 5)}, "minimum is at most maximum"),
        ({"write": Scaling(1, 5, target=7)}, "target is the part"),
        ({"write": Scaling(1, 5, cooldown_down=math.inf)}, "cooldown_down"),
        ({"write": Scaling("1", "5")}, "minimum is a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(store, table, policies, message):
    before = table.describe()
    with pytest.raises(Invalid, match=message):
        table.scale(**policies)
    assert table.describe() == before


def test_a_table_on_demand_has_no_rate_to_scale(store):
    table = store.create_table("t", key="id:S")
    with pytest.raises(Invalid, match="t is on demand, there is no rate to scale: buy"):
        table.scale(read=LIMITS)
    assert table.scale().stats == {}


@given(
    loads=st.lists(st.tuples(st.sampled_from([1, 2, 16]), st.sampled_from([0, 3, 40, 50, 70, 71, 300])), max_size=12),
    lazily=st.booleans(),
)
def test_the_rate_of_a_table_is_what_the_rules_say_of_what_it_consumed(loads, lazily):
    """Against the model of test_scaling, fed with what Consumed adds up."""
    clock = ManualClock()
    with kv.Store(clock=clock) as store:
        table = store.create_table("t", key="id:S", capacity=(100, 50))
        table.scale(read=Scaling(20, 400))
        used, rate, downs = [], 100, 0
        for count, percent in loads:
            for _ in range(count):
                consumed = Consumed()
                for percents in (percent, percent / 2):
                    table.records.charge_read(int(rate * percents * 0.4) * 4096, consumed, consistent=True)
                used.append(consumed.read)
                clock.advance(minutes=1)
                wanted = scaled(used, rate, 0.7, 20, 400)
                downs += wanted < rate
                if downs > 4:
                    return  # the quota of a day: test_scaling
                if lazily:
                    table.put({"id": "a"})
                else:
                    store.tick()
                rate = wanted
                assert rates(table) == (rate, 50)
