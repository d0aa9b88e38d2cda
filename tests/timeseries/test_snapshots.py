"""Snapshots: taken, kept while tick() deletes, copied, restored, dropped."""

import os

import numpy as np
import pytest

from engines.clock import ManualClock
from engines.errors import AlreadyExists, Corrupted, EngineError, Invalid, NotFound, ReadOnly
from engines.timeseries.engine import TimeSeries

START = 1_767_225_600 * 10**9  # 2026-01-01
DAY = 24 * 3600 * 10**9
MINUTE = 60 * 10**9
ALL = "SELECT * FROM cpu ORDER BY host, time"


@pytest.fixture
def clock():
    return ManualClock(START // 1000)


@pytest.fixture
def db(tmp_path, clock):
    with TimeSeries(tmp_path / "db", clock=clock) as opened:
        opened.create_table("cpu", memory="6h", magnetic="3d")
        fill(opened, clock)
        yield opened


def fill(db, clock, hosts=("a", "b")):
    """Two hours of now, a row a minute."""
    now = clock.now() * 1000
    clock.advance(hours=2)
    for host in hosts:
        values = np.arange(120) % 9 / 4
        db.table("cpu").write(now + MINUTE * np.arange(120), {"host": host}, {"x": values, "word": ["w"] * 120})


def test_a_restored_store_answers_what_the_store_did(tmp_path, db, clock):
    db.create_table("empty", memory="2h")
    before = db.sql(ALL).rows()
    taken = db.snapshot("monday")
    assert (taken.tables, taken.tiles, taken.points) == (2, 1, 480)
    fill(db, clock)
    with TimeSeries.restore(db, "monday", tmp_path / "again", clock=clock) as again:
        assert again.sql(ALL).rows() == before
        assert again.tables() == ["cpu", "empty"]
        assert again.table("empty").definition == db.table("empty").definition
        fill(again, clock, hosts=("c",))
        assert again.table("cpu").definition.dimensions == ("host",)
    with TimeSeries(tmp_path / "again", clock=clock) as again:
        assert len(again.sql(ALL)) == 360
        assert again.create_table("other").number == 3


def test_identity_and_versions_go_along(tmp_path, db, clock):
    db.table("cpu").write([START], {"host": "a"}, {"x": [7.0]}, version=5)
    db.snapshot("s")
    with TimeSeries.restore(tmp_path / "db", "s", None, clock=clock) as again:
        result = again.table("cpu").write([START], {"host": "a"}, {"x": [7.0]}, version=5)
        assert result.unchanged == 1
        with pytest.raises(EngineError, match="version 5"):
            again.table("cpu").write([START], {"host": "a"}, {"x": [8.0]}, version=4)


def test_what_a_snapshot_names_stays_when_tiles_are_demoted_and_expire(tmp_path, db, clock):
    before = db.sql(ALL).rows()
    db.snapshot("s")
    clock.advance(days=1)
    db.tick()
    clock.advance(days=3)
    db.tick()
    assert len(db.sql(ALL)) == 0
    early = ManualClock(START // 1000 + 2 * 3600 * 10**6)
    with TimeSeries.restore(db, "s", None, clock=early) as again:
        assert again.sql(ALL).rows() == before
    db.close()
    with TimeSeries(tmp_path / "db", clock=clock) as opened:  # whose opening sweeps
        with TimeSeries.restore(opened, "s", None, clock=early) as again:
            assert again.sql(ALL).rows() == before
        opened.drop_snapshot("s")
        assert list(opened.blobs.list()) == []


def test_dropping_a_snapshot_deletes_what_only_it_needs(db, clock):
    db.snapshot("one")
    clock.advance(days=1)
    db.tick()
    db.snapshot("two")
    db.drop_snapshot("one")
    (tile,) = db.table("cpu").tiles.values()
    assert set(db.blobs.list()) == db.kept_snapshots.kept()
    assert tile.blobs[0].digest in set(db.blobs.list())
    db.drop_snapshot("two")
    assert set(db.blobs.list()) == {tile.blobs[0].digest}
    assert len(db.sql(ALL)) == 240


def test_a_copy_moves_only_what_is_missing_there(tmp_path, db, clock):
    clock.advance(days=1)
    db.tick()
    db.snapshot("one", to=tmp_path / "copies")
    fill(db, clock)
    times = {path: os.stat(path).st_mtime_ns for path in files(tmp_path / "copies/blobs")}
    db.snapshot("two", to=tmp_path / "copies")
    assert all(os.stat(path).st_mtime_ns == time for path, time in times.items())
    assert len(files(tmp_path / "copies/blobs")) == len(times) + 3  # a tile, a catalogue, a manifest
    before = db.sql(ALL).rows()
    db.close()
    with TimeSeries.restore(tmp_path / "copies", "two", tmp_path / "again", clock=clock) as again:
        assert again.sql(ALL).rows() == before


def files(folder):
    return [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]


def test_a_snapshot_can_be_copied_later(tmp_path, db, clock):
    db.snapshot("s")
    before = db.sql(ALL).rows()
    fill(db, clock)
    db.snapshot("s", to=tmp_path / "copies")
    with TimeSeries.restore(tmp_path / "copies", "s", None, clock=clock) as again:
        assert again.sql(ALL).rows() == before
    with pytest.raises(AlreadyExists):
        db.snapshot("s", to=tmp_path / "copies")


def test_snapshots_are_listed_with_what_only_they_need(db, clock):
    db.snapshot("a")
    db.snapshot("b")
    clock.advance(days=1)
    db.tick()
    fill(db, clock)
    db.snapshot("c")
    a, b, c = db.snapshots()
    assert [a.name, b.name, c.name] == ["a", "b", "c"]
    assert a.bytes == b.bytes
    assert a.new_bytes == b.new_bytes == 0
    assert c.new_bytes == c.bytes
    assert (c.tiles, c.points) == (2, 960)


def test_scheduled_queries_are_in_a_snapshot(db, clock):
    db.create_table("hourly")
    sql = "SELECT @scheduled_runtime AS t, count(*) AS n FROM cpu"
    db.create_scheduled_query("count", sql, into="hourly", time="t")
    clock.advance(hours=2)
    db.tick()
    db.snapshot("s")
    with TimeSeries.restore(db, "s", None, clock=clock) as again:
        assert again.scheduled_queries().rows() == db.scheduled_queries().rows()
        assert len(again.tick()) == 0


def test_a_store_in_memory_has_snapshots_too(tmp_path, clock):
    with TimeSeries(clock=clock) as db:
        db.create_table("cpu")
        fill(db, clock)
        before = db.sql(ALL).rows()
        db.snapshot("s", to=tmp_path / "copies")
        with TimeSeries.restore(db, "s", None, clock=clock) as again:
            assert again.sql(ALL).rows() == before
    with TimeSeries.restore(tmp_path / "copies", "s", tmp_path / "db", clock=clock) as again:
        assert again.sql(ALL).rows() == before


def test_a_damaged_tile_of_a_copy_is_named_and_nothing_is_restored(tmp_path, db, clock):
    db.snapshot("s", to=tmp_path / "copies")
    (tile,) = db.table("cpu").tiles.values()
    path = tmp_path / "copies/blobs" / tile.blobs[0].digest[:2] / tile.blobs[0].digest[2:]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupted, match=tile.blobs[0].digest[2:]):
        TimeSeries.restore(tmp_path / "copies", "s", tmp_path / "again", clock=clock)
    assert not (tmp_path / "again").exists()
    path.write_bytes(db.blobs.get(tile.blobs[0].digest))
    TimeSeries.restore(tmp_path / "copies", "s", tmp_path / "again", clock=clock).close()


def test_no_blob_is_deleted_while_a_snapshot_cannot_be_read(tmp_path, db, clock):
    db.snapshot("s")
    here = set(db.blobs.list())
    db.close()
    ref = tmp_path / "db/snapshots/s"
    good = ref.read_bytes()
    ref.write_bytes(b"nonsense")
    with TimeSeries(tmp_path / "db", clock=clock) as opened:
        clock.advance(days=9)
        opened.tick()
        assert here <= set(opened.blobs.list())
    ref.write_bytes(good)
    early = ManualClock(START // 1000 + 2 * 3600 * 10**6)
    with TimeSeries.restore(tmp_path / "db", "s", None, clock=early) as again:
        assert len(again.sql(ALL)) == 240


def test_what_cannot_be_is_refused(tmp_path, db, clock):
    db.snapshot("monday")
    for name in ("", "a/b", ".x", "x" * 101, 7):
        with pytest.raises(Invalid, match="snapshot's name"):
            db.snapshot(name)
    with pytest.raises(AlreadyExists, match="monday"):
        db.snapshot("monday")
    with pytest.raises(NotFound, match="monday"):
        db.drop_snapshot("mondy")
    with pytest.raises(NotFound, match="monday"):
        TimeSeries.restore(db, "mondy", tmp_path / "x")
    with pytest.raises(AlreadyExists, match="new folder"):
        TimeSeries.restore(db, "monday", tmp_path)
    with pytest.raises(Invalid, match="folder of an engine"):
        db.snapshot("t", to=tmp_path / "db")
    with pytest.raises(NotFound, match="does not exist"):
        db.snapshot("t", to=tmp_path / "no/where")
    db.close()
    with TimeSeries(tmp_path / "db", clock=clock, read_only=True) as reader:
        assert len(reader.snapshots()) == 1
        with pytest.raises(ReadOnly):
            reader.snapshot("t")
