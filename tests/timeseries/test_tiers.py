"""tick(): tiles leave the memory tier, expire, are compacted; answers stay the same."""

import numpy as np
import pytest

from engines.clock import ManualClock
from engines.errors import Closed, Corrupted, ReadOnly
from engines.timeseries import codec, merge
from engines.timeseries.engine import TimeSeries
from engines.timeseries.schema import DAY, HOUR

START = 1_767_225_600 * 10**9  # 2026-01-01
MINUTE = 60 * 10**9


@pytest.fixture
def clock():
    return ManualClock(START // 1000)


@pytest.fixture
def db(clock):
    with TimeSeries(clock=clock) as opened:
        yield opened


def write(table, low, count, *, step=MINUTE, host="a", version=1, add=0.0):
    times = low + step * np.arange(count)
    return table.write(times, {"host": host}, {"x": np.arange(count) % 7 / 4 + add}, version=version)


def rows(table):
    """Everything as plain tuples: series, time, values by column."""
    found = []
    for part in table.parts():
        some = merge.rows_of(part, table.type_of)
        columns = {number: column.data.tolist() for number, column in some.columns.items()}
        found += [
            (int(some.series[at]), int(some.times[at]), {number: data[at] for number, data in columns.items()})
            for at in range(len(some))
        ]
    return sorted(found, key=lambda row: row[:2])


def steps(table):
    return [(row.step, row.table, row.tiles) for row in table]


def test_a_tile_is_demoted_when_its_newest_row_leaves_the_memory_tier(db, clock):
    cpu = db.create_table("cpu", memory="6h")
    clock.advance(hours=2)
    write(cpu, START, 120)
    before = rows(cpu)
    clock.advance(hours=5, minutes=58)
    assert len(db.tick()) == 0
    clock.advance(minutes=2)
    done = db.tick()
    assert steps(done) == [("demote", "cpu", 1)]
    assert done[0].points == 120
    assert done[0].bytes_before > 0
    assert done[0].bytes_after > 0
    assert [part.tier for part in cpu.parts()] == ["magnetic"]
    assert rows(cpu) == before
    assert len(db.tick()) == 0


def test_a_demoted_tile_is_one_blob_and_the_old_ones_are_gone(db, clock):
    cpu = db.create_table("cpu")
    clock.advance(hours=3)
    for hour in range(3):
        write(cpu, START + hour * HOUR, 10 * 4**hour, step=10**9)
        db.checkpoint()
    write(cpu, START + 2 * HOUR, 5, version=2, add=0.5)
    clock.advance(hours=10)
    before = rows(cpu)
    db.tick()
    (tile,) = cpu.tiles.values()
    assert len(tile.blobs) == 1
    assert list(db.blobs.list()) == [tile.blobs[0].digest]
    assert rows(cpu) == before


def test_who_reads_the_old_blobs_keeps_them(tmp_path, clock):
    with TimeSeries(tmp_path / "db", clock=clock) as db:
        cpu = db.create_table("cpu")
        clock.advance(hours=2)
        write(cpu, START, 100)
        db.checkpoint()
        write(cpu, START + HOUR * 2, 10)
        db.checkpoint()
        held = cpu.parts()
        before = codec.decode(held[0].blocks[held[0].firsts[1] : held[0].firsts[2]]).data.tolist()
        clock.advance(days=2)
        db.tick()
        assert not db.blobs.has(held[0].blob)
        assert codec.decode(held[0].blocks[held[0].firsts[1] : held[0].firsts[2]]).data.tolist() == before


def test_a_tile_expires_when_its_newest_row_leaves_the_magnetic_tier(db, clock):
    cpu = db.create_table("cpu", memory="1h", magnetic="2d")
    clock.advance(hours=2)
    write(cpu, START, 120)
    clock.advance(days=1)
    write(cpu, START + DAY, 60)
    db.tick()
    clock.advance(days=1)
    assert len(rows(cpu)) == 60  # hidden at once: the others are 2 days old
    assert len(db.tick()) == 1
    assert list(cpu.tiles) == [START + DAY]


def test_what_would_leave_both_tiers_at_once_is_not_rewritten(db, clock):
    cpu = db.create_table("cpu", memory="1h", magnetic="2d")
    write(cpu, START, 15)
    clock.advance(days=9)
    assert steps(db.tick()) == [("expire", "cpu", 1)]
    assert list(db.blobs.list()) == []


def test_a_live_tile_hides_rows_that_are_too_old_and_stays(db, clock):
    cpu = db.create_table("cpu", memory="1h", magnetic="1d", tile="10d")
    start = cpu.definition.tile * (START // cpu.definition.tile + 1)
    clock.advance((start - START) / 1e9)
    clock.advance(hours=30)
    write(cpu, start + 8 * HOUR, 22, step=HOUR)
    db.tick()
    clock.advance(hours=4)
    assert len(rows(cpu)) == 20
    assert steps(db.tick()) == [("demote", "cpu", 1)]
    assert len(rows(cpu)) == 20


def test_a_late_row_is_an_overlay_until_an_eighth_is_late(db, clock):
    cpu = db.create_table("cpu")
    clock.advance(hours=20)
    write(cpu, START, 800)
    clock.advance(days=2)
    db.tick()
    result = write(cpu, START + 30 * 10**9, 99)
    assert result.magnetic == 99
    assert len(rows(cpu)) == 899
    db.checkpoint()
    (tile,) = cpu.tiles.values()
    assert [stored.tier for stored in tile.blobs] == ["magnetic", "magnetic"]
    assert len(db.tick()) == 0
    write(cpu, START + 45 * 10**9, 1)
    db.checkpoint()
    before = rows(cpu)
    assert steps(db.tick()) == [("compact", "cpu", 1)]
    (tile,) = cpu.tiles.values()
    assert len(tile.blobs) == 1
    assert rows(cpu) == before


def test_many_small_overlays_become_one(db, clock):
    cpu = db.create_table("cpu")
    clock.advance(hours=20)
    write(cpu, START, 1000)
    clock.advance(days=2)
    db.tick()
    for number in range(9):
        write(cpu, START + number * 10**9 + 1, 2)
        db.checkpoint()
    before = rows(cpu)
    assert steps(db.tick()) == [("compact", "cpu", 1)]
    (tile,) = cpu.tiles.values()
    assert [stored.rows for stored in tile.blobs] == [1000, 18]
    assert rows(cpu) == before


def test_fresh_rows_of_a_demoted_tile_are_in_the_memory_tier_until_they_age(db, clock):
    cpu = db.create_table("cpu", memory="1h")
    write(cpu, START, 15)
    clock.advance(hours=3)
    db.tick()
    write(cpu, START + 3 * HOUR, 10)
    db.checkpoint()
    (tile,) = cpu.tiles.values()
    assert [stored.tier for stored in tile.blobs] == ["magnetic", "memory"]
    assert len(db.tick()) == 0
    clock.advance(hours=2)
    before = rows(cpu)
    assert steps(db.tick()) == [("demote", "cpu", 1)]
    (tile,) = cpu.tiles.values()
    assert [stored.tier for stored in tile.blobs] == ["magnetic"]
    assert rows(cpu) == before


def test_a_newer_version_of_an_old_row_survives_compaction_and_reopening(tmp_path, clock):
    with TimeSeries(tmp_path / "db", clock=clock) as db:
        cpu = db.create_table("cpu")
        clock.advance(hours=20)
        write(cpu, START, 100)
        clock.advance(days=2)
        db.tick()
        write(cpu, START, 50, version=2, add=100.0)
        before = rows(cpu)
        db.checkpoint()
        assert steps(db.tick()) == [("compact", "cpu", 1)]
        assert rows(cpu) == before
        again = write(cpu, START, 50, version=2, add=100.0)
        assert again.unchanged == 50
    with TimeSeries(tmp_path / "db", clock=clock) as db:
        assert rows(db.table("cpu")) == before


def test_retention_that_is_altered_counts_at_the_next_tick(db, clock):
    cpu = db.create_table("cpu", memory="1d")
    write(cpu, START, 15)
    clock.advance(hours=3)
    assert len(db.tick()) == 0
    db.alter_table("cpu", memory="2h")
    assert steps(db.tick()) == [("demote", "cpu", 1)]
    db.alter_table("cpu", magnetic="1d")
    clock.advance(days=2)
    assert steps(db.tick()) == [("expire", "cpu", 1)]


def test_tick_needs_a_store_that_may_be_written(tmp_path, clock):
    TimeSeries(tmp_path / "db", clock=clock).close()
    with TimeSeries(tmp_path / "db", clock=clock, read_only=True) as db, pytest.raises(ReadOnly):
        db.tick()
    with pytest.raises(Closed):
        db.tick()


def test_a_damaged_tile_stays_and_does_not_keep_others_from_moving(tmp_path, clock):
    with TimeSeries(tmp_path / "db", clock=clock) as db:
        cpu = db.create_table("cpu", memory="1h", tile="1h")
        clock.advance(hours=3)
        for hour in (1, 2):
            write(cpu, START + hour * HOUR, 50)
        db.checkpoint()
        damaged = cpu.tiles[START + HOUR].blobs[0].digest
    path = tmp_path / "db/blobs" / damaged[:2] / damaged[2:]
    path.write_bytes(path.read_bytes()[:100] + b"?" + path.read_bytes()[101:])
    clock.advance(days=1)
    with TimeSeries(tmp_path / "db", clock=clock) as db:
        with pytest.raises(Corrupted, match=damaged[2:]):
            db.tick()
        tiles = db.table("cpu").tiles
        assert [tiles[start].blobs[0].tier for start in sorted(tiles)] == ["memory", "magnetic"]
        db.alter_table("cpu", magnetic="1d")
        clock.advance(days=2)
        assert steps(db.tick()) == [("expire", "cpu", 2)]
