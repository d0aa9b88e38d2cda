"""Queries of a store: the questions of dashboards, and others, against DuckDB; what was touched for them."""

import numpy as np
import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")
from timeseries.asking import NOW, SECOND, rows_of, store
from timeseries.fleets import (
    ALL,
    HOSTS,
    HOUR,
    MAXIMA,
    MEANS,
    METRICS,
    MIDDLE,
    MINUTE,
    START,
    STEPS,
    Fleet,
    between,
    bins,
    text_of,
)


@pytest.fixture(scope="module", params=["in memory", "in blobs"])
def fleet(request):
    return Fleet(checkpoint=request.param == "in blobs")


QUESTIONS = [
    ("hostname = 'host_1'", MIDDLE, "max(usage_user)", "1m", MINUTE),
    ("hostname = 'host_5'", ALL, "max(usage_user)", "1m", MINUTE),
    ("hostname IN ('host_0', 'host_1', 'host_2', 'host_4')", MIDDLE, MAXIMA, "1m", MINUTE),
    ("region = 'eu'", ALL, MAXIMA, "1h", HOUR),
]


@pytest.mark.parametrize(("where", "span", "calls", "ours", "theirs"), QUESTIONS)
def test_maxima_by_bin(fleet, where, span, calls, ours, theirs):  # noqa: PLR0917 - a question has so many parts
    fleet.same(
        f"SELECT bin(time, {ours}) AS b, {calls} FROM cpu WHERE {where} AND {span[0]} GROUP BY 1 ORDER BY 1",
        f"SELECT {bins(theirs)} AS b, {calls} FROM cpu WHERE {where} AND {span[1]} GROUP BY 1 ORDER BY 1",
    )


@pytest.mark.parametrize("calls", ["avg(usage_user)", MEANS, f"{MAXIMA}, {MEANS}, count(*), count(usage_idle)"])
def test_means_by_host_and_hour(fleet, calls):
    fleet.same(
        f"SELECT hostname, bin(time, 1h) AS b, {calls} FROM cpu WHERE {ALL[0]} GROUP BY 1, 2 ORDER BY 1, 2",
        f"SELECT hostname, {bins(HOUR)} AS b, {calls} FROM cpu WHERE {ALL[1]} GROUP BY 1, 2 ORDER BY 1, 2",
    )


def test_rows_above_a_bound(fleet):
    names = ", ".join(["time", "hostname", *METRICS, "requests"])
    for where in ("usage_user > 90", "usage_user > 90 AND hostname = 'host_2'", "usage_user >= 99 OR requests < 0"):
        fleet.same(
            f"SELECT {names} FROM cpu WHERE {where} AND {MIDDLE[0]}",
            f"SELECT {names} FROM cpu WHERE {where} AND {MIDDLE[1]}",
            ordered=False,
        )


def test_the_last_row_of_each_host(fleet):
    latest = ", ".join(f"max_by({name}, time)" for name in METRICS)
    for span in (ALL, MIDDLE, between(0, START + 1500 * SECOND)):
        ours = f"SELECT hostname, max(time), {latest} FROM cpu WHERE {span[0]} GROUP BY hostname ORDER BY 1"
        theirs = (
            f"SELECT DISTINCT ON (hostname) hostname, time, {', '.join(METRICS)} FROM cpu WHERE {span[1]} "
            "ORDER BY hostname, time DESC"
        )
        fleet.same(ours, theirs)
    oldest = ", ".join(f"min_by({name}, time)" for name in METRICS)
    fleet.same(
        f"SELECT region, min(time), {oldest} FROM cpu WHERE {MIDDLE[0]} GROUP BY region ORDER BY 1",
        f"SELECT DISTINCT ON (region) region, time, {', '.join(METRICS)} FROM cpu WHERE {MIDDLE[1]} "
        "ORDER BY region, time",
    )


def test_the_last_row_is_read_off_summaries(fleet):
    answer = fleet.db.sql("SELECT hostname, max(time) FROM cpu GROUP BY hostname")
    plan = fleet.db.explain("SELECT hostname, max(time), max_by(usage_user, time) FROM cpu GROUP BY hostname")
    assert len(answer) == HOSTS
    assert plan.find("Fold").counters["blocks_decoded"] <= 2 * HOSTS


def test_the_newest_bins(fleet):
    before = START + 7000 * SECOND
    fleet.same(
        f"SELECT bin(time, 1m) AS b, max(usage_user) FROM cpu WHERE time < '{text_of(before)}' "
        "GROUP BY 1 ORDER BY 1 DESC LIMIT 5",
        f"SELECT {bins(MINUTE)} AS b, max(usage_user) FROM cpu WHERE time < {before} "
        "GROUP BY 1 ORDER BY 1 DESC LIMIT 5",
    )
    fleet.same(
        "SELECT bin(time, 1m) AS b, hostname, min(usage_user) FROM cpu GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 9",
        f"SELECT {bins(MINUTE)} AS b, hostname, min(usage_user) FROM cpu GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 9",
    )


def test_the_newest_rows(fleet):
    for where in ("", "WHERE hostname = 'host_1'", f"WHERE {MIDDLE[0]}"):
        theirs = where.replace(MIDDLE[0], MIDDLE[1])
        for direction in ("DESC", "ASC"):
            fleet.same(
                f"SELECT time, hostname, usage_idle FROM cpu {where} ORDER BY time {direction} LIMIT 7",
                f"SELECT time, hostname, usage_idle FROM cpu {theirs} ORDER BY time {direction} LIMIT 7",
            )


def test_the_newest_rows_are_read_and_no_others():
    db = store()
    cpu = db.create_table("cpu", memory="48h", tile="1h")
    times = (NOW - 20_000 + np.arange(20_000)) * SECOND
    for host in ("a", "b"):
        cpu.write(times, {"hostname": host}, {"usage": np.arange(20_000.0)})
    for where in ("", "WHERE hostname = 'b'"):
        for order, newest in (("DESC", True), ("ASC", False)):
            asked = f"SELECT hostname, usage FROM cpu {where} ORDER BY time {order}, hostname LIMIT 3 OFFSET 1"
            found = [value for _, value in rows_of(db.sql(asked))]
            places = [1, 2, 3] if where else [0, 1, 1]
            assert found == [19_999.0 - place if newest else place for place in places]
            assert db.explain(asked).find("Scan").counters["blocks_decoded"] <= 8
    cpu.write([NOW * SECOND], {"hostname": "a"}, {"usage": [-1.0]})
    assert rows_of(db.sql("SELECT usage FROM cpu ORDER BY time DESC LIMIT 1")) == [(-1.0,)]
    cpu.write([(NOW - 1) * SECOND], {"hostname": "b"}, {"usage": [-2.0]}, version=2)
    assert rows_of(db.sql("SELECT usage FROM cpu WHERE hostname = 'b' ORDER BY time DESC LIMIT 1")) == [(-2.0,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*), count(usage_user), sum(requests), min(requests), max(usage_idle), avg(requests) FROM cpu",
        "SELECT region, count(*) FROM cpu GROUP BY region HAVING count(*) > 100 ORDER BY region",
        "SELECT hostname, max(usage_user) - min(usage_user) AS d FROM cpu GROUP BY 1 ORDER BY d, 1",
        "SELECT DISTINCT region, hostname FROM cpu ORDER BY 1, 2",
        "SELECT count(*) FROM cpu WHERE hostname > 'host_2' AND hostname <> 'host_4'",
        "SELECT count(*) FROM cpu WHERE hostname LIKE 'host%' AND region IS NOT NULL",
        "SELECT count(*) FROM cpu WHERE region IS NULL",
        "SELECT count(*) FROM cpu WHERE usage_user IS NULL",
        "SELECT sum(usage_user) FROM cpu WHERE usage_user BETWEEN 10 AND 20",
        "SELECT hostname, count(DISTINCT usage_user) FROM cpu GROUP BY hostname ORDER BY hostname",
        (
            "SELECT a.hostname, max(a.usage_user) FROM cpu a "
            "JOIN (SELECT hostname, min(time) AS t FROM cpu GROUP BY 1) b "
            "ON a.hostname = b.hostname AND a.time = b.t GROUP BY 1 ORDER BY 1"
        ),
        (
            "SELECT hostname, usage_user, rank() OVER (PARTITION BY hostname ORDER BY usage_user DESC, time) AS r "
            "FROM cpu ORDER BY r, hostname LIMIT 10"
        ),
        (
            "WITH h AS (SELECT hostname, avg(usage_user) AS m FROM cpu GROUP BY 1) "
            "SELECT count(*) FROM h WHERE m > (SELECT avg(m) FROM h)"
        ),
        "SELECT count(*), sum(usage_user) FROM cpu WHERE hostname = 'nobody'",
        "SELECT hostname, count(*) FROM cpu WHERE hostname = 'nobody' GROUP BY 1",
    ],
)
def test_the_same_words_give_the_same_rows(fleet, query):
    fleet.same(query, query)


def test_a_fold_pays_only_where_there_are_rows(fleet):
    """A bin of a nanosecond makes a cube of 9 x 10^12 cells: the rows are grouped instead."""
    fleet.same(
        "SELECT bin(time, 1ns) AS b, max(usage_user) FROM cpu GROUP BY 1 ORDER BY 1 LIMIT 20",
        "SELECT time AS b, max(usage_user) FROM cpu GROUP BY 1 ORDER BY 1 LIMIT 20",
    )
    assert len(fleet.db.sql("SELECT bin(time, 1ns), count(*) FROM cpu GROUP BY 1")) > STEPS


def test_explain_says_what_was_touched(fleet):
    narrow = fleet.db.explain(
        f"SELECT max(usage_user) FROM cpu WHERE hostname = 'host_1' AND time >= '{text_of(START + 8000 * SECOND)}'"
    ).find("Fold")
    assert narrow.counters["series"] == HOSTS
    assert narrow.counters["series_kept"] == 1
    wide = fleet.db.explain("SELECT max(usage_user) FROM cpu").find("Fold")
    assert wide.counters["parts"] > narrow.counters["parts"]
    assert (
        wide.counters["tiles"]
        == wide.counters["tiles_read"]
        == narrow.counters["tiles"]
        > narrow.counters["tiles_read"]
    )
    assert wide.counters["blocks_decoded"] <= wide.counters["blocks"]
    answer = fleet.db.sql("SELECT hostname, usage_user FROM cpu WHERE hostname = 'host_1'")
    assert answer.plan.find("Scan").counters["rows"] == len(answer)


def test_blocks_are_left_out_by_their_summaries():
    db = store()
    cpu = db.create_table("cpu", memory="24h")
    times = (NOW - 4096 + np.arange(4096)) * SECOND
    cpu.write(times, {"hostname": "a"}, {"usage": np.arange(4096.0), "idle": np.arange(4096)})
    for where, pruned in (("usage > 4000", 3), ("idle <= 5", 3), ("usage > 5000", 4), ("idle >= 0", 0)):
        plan = db.explain(f"SELECT usage, idle FROM cpu WHERE {where}")
        assert plan.find("Scan").counters["blocks_pruned"] == pruned, where
    assert db.explain("SELECT max(usage), sum(idle) FROM cpu").find("Fold").counters["blocks_decoded"] == 0
    middle = f"time >= '{text_of((NOW - 2000) * SECOND)}'"
    fold = db.explain(f"SELECT max(usage) FROM cpu WHERE {middle}").find("Fold")
    assert fold.counters["blocks_decoded"] == fold.counters["blocks_summarised"] // 2 == 1


def test_explain_shows_the_values_of_the_run(fleet):
    asked = f"SELECT max(usage_user) FROM cpu WHERE hostname = 'host_1' AND time >= '{text_of(START)}' AND time < now()"
    shown = f"hostname = 'host_1' and time >= {text_of(START)} and time < {text_of(NOW * SECOND)}"
    assert shown in fleet.db.sql(asked).plan.find("Fold").detail
    assert shown in fleet.db.explain(asked).find("Fold").detail
    plan = fleet.db.sql("SELECT time FROM cpu WHERE usage_user > 50.5 AND time > ago(1m)").plan
    assert "usage_user > 50.5" in plan.find("Filter").detail
    assert text_of((NOW - 60) * SECOND) in plan.find("Scan").detail


@pytest.mark.parametrize(
    ("interval", "shown"),
    [("90m", "5400 s"), ("5ns", "5 ns"), ("INTERVAL '2' MONTH", "2 months"), ("(1h - 1h)", "0 s")],
)
def test_explain_shows_an_interval_in_its_own_unit(fleet, interval, shown):
    plan = str(fleet.db.explain(f"SELECT usage_user, {interval} AS i FROM cpu ORDER BY time + {interval} LIMIT 1"))
    assert f"interval '{shown}'" in plan


def test_explain_as_a_statement(fleet):
    for words in ("EXPLAIN", "EXPLAIN ANALYZE"):
        lines = [row[0] for row in rows_of(fleet.db.sql(f"{words} SELECT max(usage_user) FROM cpu"))]
        assert any("Fold" in line and "max(usage_user)" in line for line in lines)


def test_series_from_a_store(fleet):
    [(found,)] = rows_of(
        fleet.db.sql(
            "WITH s AS (SELECT create_time_series(bin(time, 10s), usage_user) AS s FROM cpu WHERE hostname = 'host_1' "
            f"AND {MIDDLE[0]}) SELECT cardinality(interpolate_linear(s, sequence(TIMESTAMP '{text_of(START)}', "
            f"TIMESTAMP '{text_of(START + 9000 * SECOND)}', 1s))) FROM s"
        )
    )
    assert 3400 < found <= 3600
