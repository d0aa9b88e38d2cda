"""The store: tables, writes and their verdicts, errors, opening, changes."""

import numpy as np
import pytest
from models import timeseries as model
from timeseries.written import columns_of, held

from engines.clock import ManualClock
from engines.errors import AlreadyExists, Closed, Invalid, Locked, NotFound, ReadOnly, TooLarge, Trimmed
from engines.timeseries import RejectedRecords, TimeSeries, WriteResult, checkpoints
from engines.timeseries.columns import Columns, Values, Words

NOW = 1_800_000_000
SECOND, HOUR = 10**9, 3_600 * 10**9


@pytest.fixture
def clock():
    return ManualClock(NOW * 10**6)


@pytest.fixture
def store(clock):
    with TimeSeries(clock=clock) as store:
        yield store


@pytest.fixture
def cpu(store):
    return store.create_table("cpu")


def at(*seconds):
    """Times so many seconds before now."""
    return np.array([(NOW - each) * SECOND for each in seconds], np.int64)


def refused(caught):
    return [(each.index, each.existing_version) for each in caught.value.result.rejected]


def usage(table):
    return {key[3] // SECOND - NOW: values["usage"][1] for key, values in held(table).items()}


def bits(*values):
    return [np.float64(value).tobytes() for value in values]


# -- tables


def test_a_table_is_there_once(store):
    cpu = store.create_table("cpu", memory="2h", dimensions=["host"])
    assert store.table("cpu") is cpu
    assert store.tables() == ["cpu"]
    with pytest.raises(AlreadyExists, match="cpu"):
        store.create_table("cpu")
    with pytest.raises(NotFound, match="did you mean 'cpu'"):
        store.table("cpz")


@pytest.mark.parametrize("name", ["", "a b", "x" * 257, "ä", 7])
def test_a_bad_name_is_refused(store, name):
    with pytest.raises(Invalid, match="name"):
        store.create_table(name)


@pytest.mark.parametrize(
    "retention",
    [
        {"memory": "59m"},
        {"memory": "8767h"},
        {"magnetic": "23h"},
        {"magnetic": "73001d"},
        {"memory": "48h", "magnetic": "1d"},
        {"tile": "59s"},
        {"tile": "367d"},
        {"memory": "1 hour"},
        {"dimensions": "host"},
        {"dimensions": ["a", "a"]},
        {"dimensions": [""]},
        {"dimensions": ["x" * 61]},
    ],
)
def test_what_no_table_may_be_is_refused_and_nothing_is_made(store, retention):
    with pytest.raises(Invalid):
        store.create_table("t", **retention)
    assert store.tables() == []


def test_a_dropped_table_is_gone_and_its_name_is_free(store, cpu):
    cpu.write(at(10), {"host": "a"}, {"usage": [1.0]})
    store.drop_table("cpu")
    with pytest.raises(NotFound, match="dropped"):
        cpu.parts()
    with pytest.raises(NotFound, match="dropped"):
        cpu.write(at(5), {"host": "a"}, {"usage": [1.0]})
    assert held(store.create_table("cpu")) == {}


def test_the_number_of_a_dropped_table_is_given_to_no_other(tmp_path, clock):
    with TimeSeries(tmp_path / "s", clock=clock) as store:
        first = store.create_table("a").number
        store.drop_table("a")
    with TimeSeries(tmp_path / "s", clock=clock) as store:
        assert store.create_table("b").number > first


def test_another_retention_holds_from_now_on(store, cpu):
    store.alter_table("cpu", memory="1h", magnetic_writes=False)
    with pytest.raises(RejectedRecords, match="memory retention"):
        cpu.write(at(2 * 3600), {"host": "a"}, {"usage": [1.0]})
    with pytest.raises(Invalid):
        store.alter_table("cpu", magnetic="1h")
    assert cpu.definition.memory == HOUR


# -- verdicts


def test_a_repeat_changes_nothing_and_a_higher_version_replaces(cpu):
    assert cpu.write(at(10), {"host": "a"}, {"usage": [1.0]}) == WriteResult(memory=1)
    assert cpu.write(at(10), {"host": "a"}, {"usage": [1.0]}) == WriteResult(unchanged=1)
    with pytest.raises(RejectedRecords) as caught:
        cpu.write(at(10), {"host": "a"}, {"usage": [2.0]})
    assert refused(caught) == [(0, 1)]
    assert cpu.write(at(10), {"host": "a"}, {"usage": [2.0]}, version=3) == WriteResult(memory=1)
    with pytest.raises(RejectedRecords) as caught:
        cpu.write(at(10), {"host": "a"}, {"usage": [9.0]}, version=2)
    assert refused(caught) == [(0, 3)]
    assert usage(cpu) == {-10: bits(2.0)[0]}


def test_values_are_compared_bit_by_bit(cpu):
    strange = np.array([0x7FF8000000000001, 0x7FF8000000000002], np.uint64).view(np.float64)
    cpu.write(at(10), {"host": "a"}, {"usage": strange[:1]})
    assert cpu.write(at(10), {"host": "a"}, {"usage": strange[:1]}).unchanged == 1
    for other in (strange[1:], np.array([0.0])):
        with pytest.raises(RejectedRecords):
            cpu.write(at(10), {"host": "a"}, {"usage": other})
    cpu.write(at(9), {"host": "a"}, {"usage": [0.0]})
    with pytest.raises(RejectedRecords):
        cpu.write(at(9), {"host": "a"}, {"usage": [-0.0]})


def test_a_multi_measure_record_is_replaced_as_a_whole(cpu):
    cpu.write(at(10), {"host": "a"}, {"usage": [1.0], "idle": [2.0]})
    cpu.write(at(10), {"host": "a"}, {"usage": [3.0]}, version=2)
    ((_, values),) = held(cpu).items()
    assert values == {"usage": ("double", bits(3.0)[0])}


def test_within_a_batch_the_rules_apply_in_order(cpu):
    with pytest.raises(RejectedRecords) as caught:
        cpu.write(at(10, 10, 10, 10), {"host": "a"}, {"usage": [1.0, 1.0, 2.0, 3.0]}, version=[1, 1, 1, 2])
    assert refused(caught) == [(2, 1)]
    assert (caught.value.result.memory, caught.value.result.unchanged) == (2, 1)
    assert usage(cpu) == {-10: bits(3.0)[0]}


def test_dimensions_are_a_set_and_an_absent_one_is_another_series(cpu):
    cpu.write(at(10), {"host": "a", "region": "x"}, {"usage": [1.0]})
    assert cpu.write(at(10), {"region": "x", "host": "a"}, {"usage": [1.0]}).unchanged == 1
    assert cpu.write(at(10), {"host": "a", "region": [None]}, {"usage": [2.0]}).memory == 1
    assert len(cpu.index) == 2


def test_late_rows_are_seen_at_once_wherever_their_tile_is(store, cpu, clock):
    cpu.write(at(7200, 3600, 0), {"host": "a"}, {"usage": [1.0, 2.0, 3.0]})
    cpu.write(at(5000), {"host": "a"}, {"usage": [4.0]})
    assert list(usage(cpu)) == [-7200, -5000, -3600, 0]
    store.checkpoint()
    cpu.write(at(4000), {"host": "a"}, {"usage": [5.0]})
    clock.advance(days=3)
    store.tick()
    assert cpu.write(at(4500), {"host": "a"}, {"usage": [6.0]}) == WriteResult(magnetic=1)
    assert list(usage(cpu)) == [-7200, -5000, -4500, -4000, -3600, 0]
    with pytest.raises(RejectedRecords):
        cpu.write(at(4000), {"host": "a"}, {"usage": [7.0]})


def test_too_old_and_too_far_ahead_are_refused_and_the_rest_is_written(store):
    table = store.create_table("t", memory="1h", magnetic="1d", magnetic_writes=False)
    with pytest.raises(RejectedRecords) as caught:
        table.write(at(90_000, 7_200, 3_600, 0, -900, -901), {"host": "a"}, {"usage": np.arange(6.0)})
    assert refused(caught) == [(0, None), (1, None), (5, None)]
    assert list(usage(table)) == [-3600, 0, 900]


def test_rows_that_left_the_magnetic_tier_are_hidden_at_once(store, clock):
    table = store.create_table("t", memory="1h", magnetic="1d")
    table.write(at(3600, 0), {"host": "a"}, {"usage": [1.0, 2.0]})
    clock.advance(hours=23.5)
    assert list(usage(table)) == [0]
    assert table.parts(high=int(at(3600)[0])) == []
    clock.advance(hours=1)
    assert usage(table) == {}


def test_a_type_stays_and_only_whole_numbers_become_doubles(cpu):
    cpu.write(at(10), {"host": "a"}, {"usage": [1.0], "n": [1]})
    cpu.write(at(9), {"host": "a"}, {"usage": [2]})
    with pytest.raises(RejectedRecords, match="BIGINT") as caught:
        cpu.write(at(8, 7), {"host": "a"}, {"usage": [1.0, 2.0], "n": [None, 1.5]})
    assert refused(caught) == [(1, None)]
    assert usage(cpu) == dict(zip((-10, -9, -8), bits(1.0, 2.0, 1.0), strict=True))


def test_what_only_refused_records_have_is_not_made(cpu):
    with pytest.raises(RejectedRecords):
        cpu.write(at(-10_000), {"planet": "mars"}, {"dust": [1.0]})
    cpu.write(at(10), {"host": "a"}, {"usage": [1.0]})
    with pytest.raises(RejectedRecords):
        cpu.write(at(10), {"host": "a"}, {"dust": [2.0], "other": [1]})
    cpu.write(at(9), {"host": "a"}, {"idle": [2.0]})
    assert [measure.name for measure in cpu.definition.measures] == ["usage", "idle"]
    assert cpu.definition.dimensions == ("host",)


def singles(*records):
    return columns_of(
        [({"host": "a"}, True, name, (NOW - s) * SECOND, v, {name: value}) for name, s, v, value in records]
    )


def test_single_measures_of_one_moment_stand_each_for_itself(cpu):
    cpu.append(singles(("x", 10, 1, ("bigint", 1)), ("y", 10, 1, ("bigint", 2))))
    assert cpu.append(singles(("x", 10, 2, ("bigint", 3)))).memory == 1
    with pytest.raises(RejectedRecords) as caught:
        cpu.append(singles(("x", 10, 1, ("bigint", 1)), ("y", 10, 1, ("bigint", 2)), ("z", 10, 1, ("bigint", 4))))
    assert refused(caught) == [(0, 2)]
    assert (caught.value.result.memory, caught.value.result.unchanged) == (1, 1)
    assert sorted((key[2], *values.values()) for key, values in held(cpu).items()) == [
        ("x", ("bigint", 3)),
        ("y", ("bigint", 2)),
        ("z", ("bigint", 4)),
    ]


# -- bad input


def columns(**changed):
    given = {
        "times": at(2, 1),
        "dimensions": {"host": Words(np.zeros(2, np.int32), ("a",))},
        "measures": {"usage": Values("double", np.zeros(2))},
        "measure_name": None,
        "versions": np.ones(1, np.int64),
    }
    return Columns(**given | changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"measures": {"usage": Values("double", np.zeros(3))}}, "usage.*3"),
        ({"versions": np.ones(3, np.int64)}, "version"),
        ({"dimensions": {"host": Words(np.zeros(3, np.int32), ("a",))}}, "host"),
        ({"measures": {}}, "at least one measure"),
        ({"measures": {"usage": Values("double", np.zeros(2), np.array([1, 0], np.uint8))}}, "row 1"),
        ({"measures": {"host": Values("double", np.zeros(2))}}, "both a dimension and a measure"),
        ({"times": np.array([5, -1])}, "row 1"),
        ({"single": True, "measures": {n: Values("double", np.zeros(2)) for n in "xy"}}, "exactly one"),
    ],
)
def test_bad_columns_are_refused_and_nothing_is_written(cpu, store, changed, said):
    before = store.log.last
    with pytest.raises(Invalid, match=said):
        cpu.append(columns(), columns(**changed))
    assert store.log.last == before
    assert held(cpu) == {}


def test_limits_are_kept(store, cpu):
    with pytest.raises(TooLarge, match="2,048"):
        cpu.write(at(1), {"host": "x" * 2_049}, {"usage": [1.0]})
    many = Words(np.arange(8_193, dtype=np.int32), tuple(f"m{n}" for n in range(8_193)))
    large = columns(
        times=np.full(8_193, at(1)[0]),
        dimensions={"host": Words(np.zeros(1, np.int32), ("a",))},
        measures={"usage": Values("double", np.zeros(8_193))},
        measure_name=many,
    )
    with pytest.raises(TooLarge, match="8,192"):
        cpu.append(large)
    wide = {f"d{n}": Words(np.zeros(1, np.int32), ("a",)) for n in range(129)}
    with pytest.raises(TooLarge, match="128"):
        cpu.append(columns(dimensions=wide))
    with pytest.raises(TooLarge, match="1,024"):
        cpu.append(columns(measures={f"m{n}": Values("double", np.zeros(2)) for n in range(1_025)}))
    assert held(cpu) == {}


def test_an_empty_batch_logs_nothing(store, cpu):
    before = store.log.last
    assert cpu.write([], {"host": "a"}, {"usage": []}) == WriteResult()
    assert store.log.last == before


# -- life


def test_a_store_is_for_one_writer_and_any_number_of_readers(tmp_path, clock):
    with TimeSeries(tmp_path / "s", clock=clock) as store:
        table = store.create_table("cpu")
        table.write(at(10), {"host": "a"}, {"usage": [1.0]})
        store.checkpoint()
        table.write(at(9), {"host": "a"}, {"usage": [2.0]})
        with pytest.raises(Locked):
            TimeSeries(tmp_path / "s", clock=clock)
    with TimeSeries(tmp_path / "s", clock=clock, read_only=True) as reader:
        assert list(usage(reader.table("cpu"))) == [-10, -9]
        with pytest.raises(ReadOnly):
            reader.table("cpu").write(at(8), {"host": "a"}, {"usage": [3.0]})
        with pytest.raises(ReadOnly):
            reader.create_table("t")
    with pytest.raises(Closed):
        reader.table("cpu")
    with pytest.raises(Closed):
        table.write(at(8), {"host": "a"}, {"usage": [3.0]})
    with pytest.raises(Closed):
        table.parts()


@pytest.mark.parametrize("options", [{"path": ""}, {"read_only": True}, {"durability": "never"}])
def test_what_cannot_be_opened_says_why(options):
    with pytest.raises(Invalid):
        TimeSeries(**options)


def test_blobs_that_a_crash_has_left_are_swept(tmp_path, clock):
    with TimeSeries(tmp_path / "s", clock=clock) as store:
        store.create_table("cpu").write(at(10), {"host": "a"}, {"usage": [1.0]})
        stray = store.blobs.put(b"of nobody")
    with TimeSeries(tmp_path / "s", clock=clock) as store:
        assert not store.blobs.has(stray)
        assert usage(store.table("cpu")) == {-10: bits(1.0)[0]}


def test_a_tile_has_few_blobs_however_often_it_is_checkpointed(store, cpu):
    for minute in range(60):
        cpu.write(
            at(*range(3600 - minute * 60, 3600 - minute * 60 - 50, -10)), {"host": "a"}, {"usage": np.arange(5.0)}
        )
        store.checkpoint()
    blobs = [stored for tile in cpu.tiles.values() for stored in tile.blobs]
    assert len(blobs) < 10
    assert sum(stored.rows for stored in blobs) == 300 == len(held(cpu))
    assert len(list(store.blobs.list())) == len(blobs)


def test_many_small_writes_are_few_runs(cpu):
    for second in range(500):
        cpu.write(at(500 - second), {"host": ["a"]}, {"usage": [float(second)]})
        if second % 7 == 0:
            cpu.write(at(1000 + second), {"host": ["b"]}, {"usage": [0.0]})
    (tile,) = cpu.tiles.values()
    assert len(tile.memory.runs()) < 25
    assert len(held(cpu)) == 500 + 72


def test_series_without_number_do_not_slow_what_is_small(store):
    table = store.create_table("wide")
    hosts = [f"h{n}" for n in range(20_000)]
    table.write(np.full(20_000, at(10)[0]), {"host": hosts}, {"usage": np.arange(20_000.0)})
    table.write(at(5), {"host": "h7"}, {"usage": [1.0]})
    store.checkpoint()
    table.write(at(10, 3), {"host": ["h8", "h8"]}, {"usage": [8.0, 1.0]})
    assert sum(part.rows for part in table.parts()) == 20_002
    assert table.index.match({"host": ["h7", "h8", "nobody"]}).tolist() == [7, 8]


# -- changes


def test_changes_tell_what_was_written_in_order(store, cpu):
    cpu.write(at(10, 9), {"host": "a"}, {"usage": [1.0, 2.0]})
    cpu.append(singles(("x", 10, 1, ("bigint", 1)), ("y", 10, 1, ("varchar", "up"))))
    cpu.write(at(10), {"host": "a"}, {"usage": [3.0]}, version=2)
    told = list(store.changes())
    assert [(change.kind, change.key[1], change.key[2] // SECOND - NOW) for change in told] == [
        ("INSERT", "cpu", -10),
        ("INSERT", "cpu", -9),
        ("INSERT", "x", -10),
        ("INSERT", "y", -10),
        ("MODIFY", "cpu", -10),
    ]
    assert told[3].new == {"host": "a", "measure_name": "y", "time": int(at(10)[0]), "y": "up"}
    assert list(store.changes(told[1].sequence)) == told[2:]
    with pytest.raises(Invalid):
        store.changes(store.log.last + 1)


def test_changes_are_kept_over_a_checkpoint_and_not_for_ever(tmp_path, clock, monkeypatch):
    monkeypatch.setattr("engines.timeseries.standing.KEPT_BYTES", 400_000)
    random = np.random.default_rng(1)
    with TimeSeries(tmp_path / "s", clock=clock) as store:
        store.log._segment_bytes = 8_000
        table = store.create_table("cpu")
        for number in range(40):
            table.write(at(100 - number), {"host": "a"}, {"text": [random.bytes(60_000).hex()]})
            if number % 5 == 4:
                store.checkpoint()
        with pytest.raises(Trimmed):
            store.changes()
        assert len(list(store.changes(store.log.first - 1))) >= 5


# -- speed that must not be lost


def test_a_batch_in_order_looks_nothing_up(store, cpu, monkeypatch):
    cpu.write(at(*range(100, 50, -1)), {"host": "a"}, {"usage": np.arange(50.0)})
    store.checkpoint()
    monkeypatch.setattr(type(cpu), "sources", lambda *_: pytest.fail("asked what is there"))
    cpu.write(at(*range(50, 0, -1)), {"host": "a"}, {"usage": np.arange(50.0)})


def test_the_model_and_the_store_say_the_same_of_a_long_batch(cpu):
    records = [
        ({"host": f"h{n % 7}"}, False, "cpu", (NOW - n * 37 % 20_000) * SECOND, 1 + n % 2, {"usage": ("double", n % 5)})
        for n in range(5_000)
    ]
    table = model.Table()
    expected = table.write(NOW * SECOND, records)
    try:
        result = cpu.append(columns_of(records))
    except RejectedRecords as error:
        result = error.result
    refused = [(each.index, each.existing_version) for each in result.rejected]
    assert (result.memory, result.magnetic, result.unchanged, refused) == expected
    assert held(cpu) == table.rows(NOW * SECOND)
    checkpoints.checkpoint(cpu.engine)
    assert held(cpu) == table.rows(NOW * SECOND)
