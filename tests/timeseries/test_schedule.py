"""Scheduled queries: which slots run, what they write, what happens when one fails."""

import datetime as dt

import numpy as np
import pytest

from engines.clock import ManualClock
from engines.errors import AlreadyExists, Invalid, NotFound, QueryError
from engines.timeseries.engine import TimeSeries
from engines.timeseries.results import RejectedRecords

START = 1_767_225_600 * 10**9  # 2026-01-01
MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
HOURLY = """
SELECT bin(time, 1h) AS hour, host, avg(x) AS mean, count(*) AS n FROM cpu
WHERE time >= @scheduled_runtime - 1h AND time < @scheduled_runtime GROUP BY 1, 2
"""


@pytest.fixture
def clock():
    return ManualClock(START // 1000)


@pytest.fixture
def db(clock):
    with TimeSeries(clock=clock) as opened:
        opened.create_table("cpu")
        opened.create_table("hourly", memory="12h", magnetic="30d")
        fill(opened, 1, first=-1)
        yield opened


def fill(db, hours, *, first=0):
    times = START + first * HOUR + MINUTE * np.arange(60 * hours)
    for host, add in (("a", 0.0), ("b", 100.0)):
        db.table("cpu").write(times, {"host": host}, {"x": np.arange(60 * hours) // 60 + first + add})


def hourly(db, **options):
    db.create_scheduled_query("means", HOURLY, every="1h", into="hourly", time="hour", dimensions=["host"], **options)


def written(db):
    found = db.sql("SELECT time, host, mean, n FROM hourly ORDER BY time, host")
    return [((int(row[0].astype(np.int64)) - START) // HOUR, *row[1:]) for row in found]


def test_each_slot_runs_once_it_is_due(db, clock):
    hourly(db)
    assert len(db.tick()) == 0
    clock.advance(minutes=59)
    fill(db, 1)
    assert len(db.tick()) == 0
    clock.advance(minutes=1)
    done = db.tick()
    assert [tuple(row) for row in done] == [("schedule", "hourly", 0, 4, 0, 0)]
    assert written(db) == [(0, "a", 0.0, 60), (0, "b", 100.0, 60)]
    assert len(db.tick()) == 0


def test_slots_that_were_missed_are_made_up_for_in_order(db, clock):
    hourly(db)
    clock.advance(hours=5, minutes=30)
    fill(db, 5)
    db.tick()
    assert [row[0] for row in written(db)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    (row,) = db.scheduled_queries()
    assert (row.state, row.runs, row.records, row.failures) == ("done", 5, 10, 0)
    assert (row.last.hour, row.next.hour) == (5, 6)


def test_with_latest_only_the_last_of_them_runs(db, clock):
    hourly(db, catch_up="latest")
    clock.advance(hours=5, minutes=30)
    fill(db, 5)
    db.tick()
    assert [row[0] for row in written(db)] == [4, 4]


def test_slots_begin_at_start(db, clock):
    start = dt.datetime(2026, 1, 1, 2, 30, tzinfo=dt.UTC)
    db.create_scheduled_query(
        "x", "SELECT @scheduled_runtime AS t, now() AS n, ago(1h) AS before, 1 AS one", every="2h", into="hourly",
        time="t", start=start,
    )  # fmt: skip
    clock.advance(hours=6)
    db.tick()
    rows = db.sql("SELECT time, n, before FROM hourly ORDER BY time").rows()
    assert [(int(t.astype(np.int64)) - START) / HOUR for t, _, _ in rows] == [2.5, 4.5]
    assert all(t == n and n - before == np.timedelta64(HOUR, "ns") for t, n, before in rows)


def test_a_slot_that_runs_again_replaces_its_rows_and_doubles_none(db, clock):
    hourly(db)
    clock.advance(hours=1)
    fill(db, 1)
    db.tick()
    result = db.run_scheduled_query("means")
    assert (result.unchanged, result.memory) == (2, 0)
    db.table("cpu").write([START + 1], {"host": "a"}, {"x": [61.0]})
    result = db.run_scheduled_query("means", at=START + HOUR)
    assert (result.unchanged, result.memory) == (1, 1)
    assert written(db) == [(0, "a", 1.0, 61), (0, "b", 100.0, 60)]


def test_a_later_slot_is_right_about_a_row_of_an_earlier_one(db, clock):
    sql = "SELECT TIMESTAMP '2026-01-01 00:00:00' AS t, 'a' AS host, count(*) AS n FROM cpu"
    db.create_scheduled_query("x", sql, every="1h", into="hourly", time="t", dimensions=["host"])
    clock.advance(hours=1)
    fill(db, 1)
    db.tick()
    clock.advance(hours=1)
    fill(db, 1, first=1)
    db.tick()
    assert db.sql("SELECT n FROM hourly").rows() == [(360,)]
    fill(db, 1, first=-2)
    with pytest.raises(RejectedRecords):
        db.run_scheduled_query("x", at=START + HOUR)


def test_a_failing_query_is_noted_does_not_stop_others_and_catches_up(db, clock):
    db.create_table("lost")
    db.create_scheduled_query(
        "broken", "SELECT @scheduled_runtime AS t, 1 AS n", every="1h", into="lost", time="t"
    )  # fmt: skip
    hourly(db)
    db.drop_table("lost")
    clock.advance(hours=2)
    fill(db, 2)
    db.tick()
    assert len(written(db)) == 4
    broken, means = db.scheduled_queries()
    assert (broken.state, broken.failures) == ("failed", 1)
    assert "no table 'lost'" in broken.error
    assert means.state == "done"
    db.create_table("lost")
    db.tick()
    assert db.sql("SELECT count(*) FROM lost").rows() == [(2,)]
    assert db.scheduled_queries()[0].error is None


def test_rows_that_are_refused_are_noted(db, clock):
    sql = "SELECT @scheduled_runtime - 60d AS t, 1 AS n UNION ALL SELECT @scheduled_runtime, 2"
    db.create_scheduled_query("x", sql, every="1h", into="hourly", time="t")
    clock.advance(hours=1)
    db.tick()
    (row,) = db.scheduled_queries()
    assert (row.state, row.records, row.runs) == ("refused", 1, 1)
    assert "before the magnetic retention" in row.error
    assert len(db.tick()) == 0


def test_one_query_reads_what_another_has_written(db, clock):
    db.create_table("daily")
    hourly(db)
    clock.advance(hours=1)
    fill(db, 1)
    db.tick()
    sql = """SELECT @scheduled_runtime AS t, sum(n) AS n FROM hourly
      WHERE time >= @scheduled_runtime - 2h AND time < @scheduled_runtime"""
    db.create_scheduled_query("daily", sql, every="2h", into="daily", time="t")
    clock.advance(hours=4)
    fill(db, 4, first=1)
    db.tick()
    assert db.sql("SELECT n FROM daily ORDER BY time").rows() == [(240,), (240,)]


def test_an_alert_hears_each_run(db, clock):
    heard = []
    hourly(db)
    clock.advance(hours=2)
    fill(db, 2)
    db.tick(alert=lambda name, slot, rows, error: heard.append((name, str(slot)[11:16], len(rows), error)))
    assert heard == [("means", "01:00", 2, None), ("means", "02:00", 2, None)]


def test_columns_that_are_null_are_absent(db, clock):
    sql = """SELECT @scheduled_runtime AS t, h AS host, x, y, z FROM (VALUES
      ('a', 1.5, CAST(NULL AS bigint), 'w'), ('b', NULL, 2, NULL), ('c', NULL, NULL, NULL)) AS v (h, x, y, z)"""
    db.create_scheduled_query("x", sql, every="1h", into="hourly", time="t", dimensions=["host"], measure_name="m")
    clock.advance(hours=1)
    db.tick()
    assert db.scheduled_queries()[0].error is None
    rows = db.sql("SELECT host, measure_name, x, y, z FROM hourly ORDER BY host").rows()
    assert rows == [("a", "m", 1.5, None, "w"), ("b", "m", None, 2, None)]


def test_scheduled_queries_survive_reopening(tmp_path, clock):
    with TimeSeries(tmp_path / "db", clock=clock) as db:
        db.create_table("cpu")
        db.create_table("hourly")
        fill(db, 1, first=-1)
        hourly(db)
        clock.advance(hours=1)
        fill(db, 1)
        db.tick()
        before = db.scheduled_queries().rows()
    with TimeSeries(tmp_path / "db", clock=clock) as db:
        assert db.scheduled_queries().rows() == before
        assert len(db.tick()) == 0
        db.drop_scheduled_query("means")
    with TimeSeries(tmp_path / "db", clock=clock) as db:
        assert len(db.scheduled_queries()) == 0


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"name": "a b"}, Invalid, "name of a scheduled query"),
        ({"every": "10ms"}, Invalid, "every second at most"),
        ({"every": "1 fortnight"}, Invalid, "no duration"),
        ({"catch_up": "some"}, Invalid, "catch_up"),
        ({"into": "hourlie"}, NotFound, "'hourly'"),
        ({"sql": "SELECT nothing FROM cpu"}, QueryError, "nothing"),
        ({"sql": "SHOW TABLES"}, Invalid, "one SELECT"),
        ({"time": "tine"}, Invalid, "no column 'tine'"),
        ({"time": "x"}, Invalid, "becomes the time"),
        ({"dimensions": ["x"]}, Invalid, "becomes a dimension"),
        ({"dimensions": "host"}, Invalid, "in a list"),
        ({"measures": []}, Invalid, "becomes a measure"),
        ({"measures": ["z"]}, Invalid, "no column 'z'"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(db, clock, changes, error, words):
    clock.advance(hours=1)
    fill(db, 1)
    good = {"name": "q", "sql": "SELECT time, host, x FROM cpu", "into": "hourly", "dimensions": ["host"]}
    given = good | changes
    with pytest.raises(error, match=words):
        db.create_scheduled_query(given.pop("name"), given.pop("sql"), **given)
    assert len(db.scheduled_queries()) == 0


def test_a_name_is_taken_once(db, clock):
    clock.advance(hours=1)
    fill(db, 1)
    hourly(db)
    with pytest.raises(AlreadyExists):
        hourly(db)
    with pytest.raises(NotFound, match="means"):
        db.drop_scheduled_query("mean")
    with pytest.raises(NotFound):
        db.run_scheduled_query("other")
