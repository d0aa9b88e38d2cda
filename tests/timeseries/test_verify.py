"""verify(): everything sound, or the first byte that is not."""

import numpy as np
import pytest

from engines.clock import ManualClock
from engines.errors import EngineError
from engines.timeseries import tile
from engines.timeseries.engine import TimeSeries

START = 1_767_225_600 * 10**9  # 2026-01-01
MINUTE = 60 * 10**9


@pytest.fixture
def clock():
    return ManualClock(START // 1000)


def filled(path, clock, *, old=False):
    """A store with a day of two series, all types, gaps, versions and late rows; some of it in memory only."""
    db = TimeSeries(path, clock=clock)
    cpu = db.create_table("cpu")
    clock.advance(days=1)
    times = START + MINUTE * np.arange(1440)
    gaps = np.ma.masked_array(np.arange(1440) / 4, np.arange(1440) % 5 == 0)
    cpu.write(times, {"host": "a"}, {"x": gaps, "n": np.arange(1440), "ok": np.arange(1440) % 3 == 0})
    words = [f"word {number % 7}" for number in range(1440)]
    odd = np.where(np.arange(1440) % 9 == 0, np.nan, -0.0)
    cpu.write(times + 7, {"host": "b"}, {"x": odd, "word": words, "at": times.astype("datetime64[ns]")})
    db.checkpoint()
    if old:
        clock.advance(days=2)
        db.tick()
    cpu.write(times[100:120], {"host": "a"}, {"x": np.arange(20.0)}, version=3)
    return db


@pytest.mark.parametrize("old", [False, True])
def test_a_sound_store_has_no_problem(tmp_path, clock, old):
    with filled(tmp_path / "db", clock, old=old) as db:
        db.snapshot("s")
        report = db.verify()
        assert report.ok, report
        assert report.checked > 10_000
    with TimeSeries(tmp_path / "db", clock=clock) as db:
        assert db.verify().ok
    with TimeSeries(tmp_path / "db", clock=clock, read_only=True) as db:
        assert db.verify().ok


def test_a_store_in_memory_can_be_verified(clock):
    with filled(None, clock) as db:
        assert db.verify().ok


@pytest.mark.parametrize("old", [False, True])
def test_a_flipped_byte_of_a_tile_is_named_with_its_place(tmp_path, clock, old):
    with filled(tmp_path / "db", clock, old=old) as db:
        digest = max(db.blobs.list(), key=db.blobs.size)
    path = tmp_path / "db/blobs" / digest[:2] / digest[2:]
    good = path.read_bytes()
    for at in range(0, len(good), 97):
        path.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        with TimeSeries(tmp_path / "db", clock=clock, read_only=False) as db:
            report = db.verify()
        (problem,) = report.problems
        assert problem.file == str(path)
        assert problem.offset <= at < problem.offset + tile.PAGE
    path.write_bytes(good)


def test_a_missing_tile_is_named(tmp_path, clock):
    with filled(tmp_path / "db", clock) as db:
        digest = max(db.blobs.list(), key=db.blobs.size)
    (tmp_path / "db/blobs" / digest[:2] / digest[2:]).unlink()
    with TimeSeries(tmp_path / "db", clock=clock) as db:
        report = db.verify()
        assert [problem.file for problem in report.problems] == [db.blobs.file(digest)]
        with pytest.raises(EngineError, match=digest[2:]):
            db.sql("SELECT count(*) FROM cpu WHERE x > 1")


def test_a_summary_that_lies_is_found(tmp_path, clock):
    with filled(tmp_path / "db", clock) as db:
        db.checkpoint()
        table = db.table("cpu")
        ((start, kept),) = [(start, each) for start, each in table.tiles.items() if each.blobs]
        stored = kept.blobs[0]
        for name in ("low", "high", "first", "last"):
            part = db.part_of(stored)
            blocks = part.blocks.copy()
            at = int(part.firsts[np.flatnonzero(part.columns == 3)[0]])
            blocks[name][at] += 1
            (lie,) = [tile.store(
                db.blobs, type(part)(**{field: getattr(part, field) for field in part.__slots__} | {"blocks": blocks}),
                table=table.number, tile=start, generation=stored.generation, tier=stored.tier,
            )]  # fmt: skip
            assert db.swap(table, start, [stored.digest], [lie])
            stored = lie
            (problem,) = db.verify().problems
            assert "summary" in problem.what
            assert problem.offset > 0
            honest = tile.store(
                db.blobs, part, table=table.number, tile=start, generation=lie.generation, tier=lie.tier
            )  # fmt: skip
            assert db.swap(table, start, [lie.digest], [honest])
            stored = honest
        assert db.verify().ok


def test_a_snapshot_that_cannot_be_read_is_named(tmp_path, clock):
    with filled(tmp_path / "db", clock) as db:
        db.snapshot("s")
        (tmp_path / "db/snapshots/s").write_text("nonsense")
        (problem,) = db.verify().problems
        assert problem.file == "snapshot s"
