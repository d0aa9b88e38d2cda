"""Snapshots: named moments, copies elsewhere, restores, and what `tick` does by itself."""

import pytest
from warehouse.columns import batch, definitions, rows_of

from engines.clock import ManualClock
from engines.errors import AlreadyExists, Corrupted, Invalid, NotFound, ReadOnly
from engines.sql.types import INTEGER
from engines.warehouse import snapshot
from engines.warehouse.snapshot import AutoSnapshot
from engines.warehouse.storage import Storage

COLUMNS = definitions(n=INTEGER)
HOUR = 3600


@pytest.fixture
def clock():
    return ManualClock(1_700_000_000 * 1_000_000)


@pytest.fixture
def storage(tmp_path, clock):
    with Storage(tmp_path / "house", clock=clock, threads=1) as opened:
        append(opened, range(1000))
        yield opened


def append(storage, numbers):
    with storage.begin() as transaction:
        if "t" not in transaction.tables():
            transaction.create_table("t", COLUMNS)
        transaction.append("t", [batch(COLUMNS, [(n,) for n in numbers])])


def numbers(storage, table="t"):
    return sorted(n for (n,) in rows_of(storage.table(table)))


def test_a_snapshot_is_a_moment_and_costs_what_changes_afterwards(storage):
    first = snapshot.take(storage, "monday")
    same = snapshot.take(storage, "again")
    append(storage, [1000])
    second = snapshot.take(storage, "tuesday")
    assert (same.new_blobs, same.new_bytes) == (0, 0)
    assert first.new_bytes == first.bytes > 100
    assert 0 < second.new_bytes < second.bytes
    assert [one.name for one in snapshot.listed(storage)] == ["again", "monday", "tuesday"]
    assert len(rows_of(storage.at(first.root).table("t"))) == 1000


def test_a_table_comes_back_beside_the_present_one(storage):
    snapshot.take(storage, "before")
    with storage.begin() as transaction:
        transaction.truncate("t")
    assert snapshot.restore_table(storage, "before", "t", "old") == 1000
    append(storage, [5])
    assert numbers(storage) == [5]
    assert numbers(storage, "old") == list(range(1000))
    with pytest.raises(AlreadyExists):
        snapshot.restore_table(storage, "before", "t", "t")
    with pytest.raises(NotFound):
        snapshot.restore_table(storage, "before", "nothing", "new")


def test_a_snapshot_that_is_dropped_gives_back_its_bytes_and_no_others(storage):
    snapshot.take(storage, "one")
    with storage.begin() as transaction:
        transaction.truncate("t")
    append(storage, [5])
    snapshot.take(storage, "two")
    assert storage.collect(grace=0).blobs == 0 or len(
        rows_of(storage.at(snapshot.find(storage, "one")[1].root).table("t"))
    )
    snapshot.drop(storage, "one")
    storage.collect(grace=0)
    assert numbers(storage) == [5]
    assert [one.name for one in snapshot.listed(storage)] == ["two"]
    assert storage.verify().ok


def test_a_restored_warehouse_is_one_of_its_own(storage, tmp_path):
    snapshot.take(storage, "monday")
    append(storage, [2000])
    copied = snapshot.restore(tmp_path / "house", "monday", tmp_path / "new")
    assert copied.blobs > 0
    with Storage(tmp_path / "new") as new:
        assert numbers(new) == list(range(1000))
        append(new, [-1])
        assert new.verify().ok
    assert numbers(storage) == [*range(1000), 2000]


def test_copies_elsewhere_move_only_what_is_missing_and_can_be_restored(storage, tmp_path):
    snapshot.take(storage, "monday", to=str(tmp_path / "away"))
    append(storage, [1000])
    snapshot.take(storage, "tuesday")
    first = snapshot.copy(storage, "tuesday", str(tmp_path / "away"))
    assert 0 < first.blobs < 8
    assert snapshot.copy(storage, "tuesday", str(tmp_path / "away")).blobs == 0
    snapshot.restore(tmp_path / "away", "tuesday", tmp_path / "new")
    with Storage(tmp_path / "new") as new:
        assert numbers(new) == list(range(1001))


def test_another_snapshot_of_that_name_is_not_written_over(storage, tmp_path):
    snapshot.take(storage, "monday", to=str(tmp_path / "away"))
    snapshot.drop(storage, "monday")
    append(storage, [1000])
    with pytest.raises(AlreadyExists, match="another snapshot"):
        snapshot.take(storage, "monday", to=str(tmp_path / "away"))


def test_a_restore_refuses_what_stands_there_and_what_is_not_there(storage, tmp_path):
    snapshot.take(storage, "monday")
    with pytest.raises(AlreadyExists):
        snapshot.restore(storage, "monday", tmp_path / "house")
    with Storage(tmp_path / "other"):
        pass
    with pytest.raises(AlreadyExists):
        snapshot.restore(storage, "monday", tmp_path / "other")
    with pytest.raises(NotFound, match="monday"):
        snapshot.restore(storage, "mondy", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_damaged_snapshot_is_not_restored(storage, tmp_path):
    snapshot.take(storage, "monday")
    (group,) = storage.table("t").state.groups
    file = tmp_path / "house/blobs" / group.blob[:2] / group.blob[2:]
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    with pytest.raises(Corrupted):
        snapshot.restore(storage, "monday", tmp_path / "new")
    with pytest.raises(NotFound):
        Storage(tmp_path / "new", read_only=True)


def test_names_are_taken_once_and_are_plain_words(storage, tmp_path):
    snapshot.take(storage, "monday")
    with pytest.raises(AlreadyExists):
        snapshot.take(storage, "monday")
    with pytest.raises(NotFound, match="monday"):
        snapshot.drop(storage, "mondey")
    with pytest.raises(Invalid, match="the name of a snapshot"):
        snapshot.take(storage, "../x")
    with Storage(tmp_path / "house", read_only=True) as reader, pytest.raises(ReadOnly):
        snapshot.take(reader, "tuesday")


def test_tick_takes_copies_and_drops_by_the_clock(storage, tmp_path, clock):
    plan = AutoSnapshot(every="8h", keep="1d", copy_to=str(tmp_path / "away"))
    assert len(snapshot.tick(storage, plan)) == 1
    assert snapshot.tick(storage, plan) == []
    clock.advance(9 * HOUR)
    assert snapshot.tick(storage, plan) == []  # nothing has changed
    append(storage, [1000])
    (second,) = snapshot.tick(storage, plan)
    assert second.kind == "automated"
    snapshot.restore(tmp_path / "away", second.name, tmp_path / "new")
    snapshot.take(storage, "mine")
    clock.advance(48 * HOUR)
    snapshot.tick(storage, None)
    assert [one.name for one in snapshot.listed(storage)] == ["mine"]


def test_tick_takes_one_when_enough_was_written(storage):
    plan = AutoSnapshot(every=None, bytes=500)
    assert len(snapshot.tick(storage, plan)) == 1
    append(storage, [1])
    assert snapshot.tick(storage, plan) == []
    append(storage, [n * n for n in range(1000)])
    assert len(snapshot.tick(storage, plan)) == 1


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("8h", 28_800), ("1.5d", 129_600), (7, 7)])
def test_durations(text, seconds):
    assert snapshot.seconds_of(text) == seconds


@pytest.mark.parametrize("wrong", ["", "8", "-1h", "0s", 0, -5, "8 hours", None])
def test_what_is_no_duration_is_refused(wrong):
    with pytest.raises(Invalid, match="8h"):
        snapshot.seconds_of(wrong)
