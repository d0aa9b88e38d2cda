"""Queries of a store: the questions of dashboards against DuckDB, plans that are found again, faults in their place."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from timeseries.asking import NOW, SECOND, rows_of, store

from engines.errors import Invalid, QueryError
from engines.timeseries.selection import select

duckdb = pytest.importorskip("duckdb")
pa = pytest.importorskip("pyarrow")
HOSTS, STEPS = 6, 900
METRICS = ["usage_user", "usage_system", "usage_idle"]
START = (NOW - STEPS * 10) * SECOND


def text_of(nanoseconds):
    return str(np.datetime64(nanoseconds, "ns"))[:19].replace("T", " ")


class Fleet:
    """Hosts with metrics in a store and in DuckDB; some values are missing, some rows late, some hosts begin later."""

    def __init__(self, checkpoint):
        random = np.random.default_rng(7)
        times = START + np.repeat(np.arange(STEPS), HOSTS) * 10 * SECOND + np.tile(np.arange(HOSTS), STEPS)
        hosts = np.tile([f"host_{number}" for number in range(HOSTS)], STEPS)
        regions = np.where(hosts < "host_3", "eu", "us")
        values = {name: np.trunc(random.random(len(times)) * 100) for name in METRICS}
        values["requests"] = random.integers(-(2**40), 2**40, len(times))
        missing = random.random(len(times)) < 0.1
        keep = (hosts != "host_5") | (times > START + 2000 * SECOND)
        late = random.random(len(times)) < 0.05

        def absent(name):
            return missing if name != "requests" else np.zeros(len(times), bool)

        self.db = store()
        self.cpu = self.db.create_table("cpu", memory="24h", tile="1h")
        for rows in (keep & ~late, keep & late):
            measures = {name: np.ma.array(column[rows], mask=absent(name)[rows]) for name, column in values.items()}
            self.cpu.write(times[rows], {"hostname": hosts[rows], "region": regions[rows]}, measures)
            if checkpoint:
                self.db.checkpoint()
        arrow = {name: pa.array(column[keep], mask=absent(name)[keep]) for name, column in values.items()}
        frame = pa.table(  # noqa: F841 - DuckDB finds it by its name
            {"time": pa.array(times[keep], pa.int64()), "hostname": hosts[keep], "region": regions[keep], **arrow}
        )
        self.peer = duckdb.connect()
        self.peer.execute("SET threads = 1")
        self.peer.execute("CREATE TABLE cpu AS SELECT * FROM frame")

    def same(self, ours, theirs, *parameters, ordered=True):
        """Asserts that both give the same rows; the answer of ours."""
        answer = self.db.sql(ours, parameters)
        found, wanted = rows_of(answer), self.peer.execute(theirs).fetchall()
        if not ordered:
            found, wanted = sorted(found, key=repr), sorted(wanted, key=repr)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert one == tuple(
                pytest.approx(value, rel=1e-9) if isinstance(value, float) else value for value in other
            )
        return answer


@pytest.fixture(scope="module", params=["in memory", "in blobs"])
def fleet(request):
    return Fleet(checkpoint=request.param == "in blobs")


MINUTE, HOUR = 60 * SECOND, 3600 * SECOND


def bins(every):
    return f"time // {every} * {every}"


def between(low, high):
    """The same stretch of time for both."""
    return f"time >= '{text_of(low)}' AND time < '{text_of(high)}'", f"time >= {low} AND time < {high}"


MIDDLE = between(START + 3000 * SECOND, START + 6600 * SECOND)
ALL = between(START, START + 9000 * SECOND)
MAXIMA = ", ".join(f"max({name})" for name in METRICS)
MEANS = ", ".join(f"avg({name})" for name in METRICS)
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


def test_explain_as_a_statement(fleet):
    for words in ("EXPLAIN", "EXPLAIN ANALYZE"):
        lines = [row[0] for row in rows_of(fleet.db.sql(f"{words} SELECT max(usage_user) FROM cpu"))]
        assert any("Fold" in line and "max(usage_user)" in line for line in lines)


# ---- plans that are found again ----------------------------------------------------------------------------------


def counted(db):
    """How often a plan has been made."""
    return sum(len(variants) for variants in db.queries._shapes._entries.values())


def test_the_next_time_range_finds_the_plan(fleet):
    def ask(host, low, high, more):
        return rows_of(
            fleet.db.sql(
                f"SELECT bin(time, 1m) AS x, max(usage_user) FROM cpu WHERE hostname = '{host}' AND time BETWEEN "
                f"'{text_of(low)}' AND TIMESTAMP '{text_of(high)}' AND usage_user > {more} GROUP BY 1 ORDER BY 1"
            )
        )

    first = ask("host_1", START, START + 600 * SECOND, 10)
    made = counted(fleet.db)
    second = ask("host_2", START + 600 * SECOND, START + 1200 * SECOND, 20)
    assert counted(fleet.db) == made
    assert first != second
    assert min(row[0] for row in second) >= START // MINUTE * MINUTE + 540 * SECOND


def test_literals_that_a_plan_was_made_for_are_not_mixed_up(fleet):
    widths = [len(fleet.db.sql(f"SELECT bin(time, {d}), count(*) FROM cpu GROUP BY 1")) for d in ("1m", "1h", "1m")]
    assert widths[0] == widths[2] > widths[1]
    assert [len(fleet.db.sql(f"SELECT time FROM cpu LIMIT {n}")) for n in (3, 5, 3)] == [3, 5, 3]
    for host in ("host_1", "host_9"):
        found = fleet.db.sql(f"SELECT count(*) FROM cpu WHERE hostname IN ('host_0', '{host}')")
        assert (rows_of(found)[0][0] > STEPS) == (host == "host_1")
    for bound in ("50", "50.5", "5e1", "-1"):
        fleet.same(
            f"SELECT count(*) FROM cpu WHERE usage_user > {bound}",
            f"SELECT count(*) FROM cpu WHERE usage_user > {bound}",
        )


def test_now_is_never_frozen():
    db = store()
    cpu = db.create_table("cpu", memory="24h")
    cpu.write([(NOW - 30) * SECOND], {"hostname": "a"}, {"usage": [1.0]})
    for _ in range(3):
        assert rows_of(db.sql("SELECT count(*) FROM cpu WHERE time > ago(1m)")) == [(1,)]
    db.clock.advance(seconds=60)
    assert rows_of(db.sql("SELECT count(*) FROM cpu WHERE time > ago(1m)")) == [(0,)]
    assert rows_of(db.sql("SELECT now(), count(*) FROM cpu WHERE time > now() - 2m")) == [((NOW + 60) * SECOND, 1)]


def test_parameters(fleet):
    low, high = (np.datetime64(START + n * SECOND, "ns") for n in (100, 700))
    asked = "SELECT count(*) FROM cpu WHERE hostname = ? AND time >= ? AND time < ?"
    [(found,)] = rows_of(fleet.db.sql(asked, ["host_1", low, high]))
    assert found == 60
    named = asked.replace("?", ":host", 1).replace("?", ":low", 1).replace("?", "@high", 1)
    assert rows_of(fleet.db.sql(named, {"host": "host_1", "low": low, "high": high})) == [(60,)]
    moment = low.astype("datetime64[us]").item()
    assert rows_of(fleet.db.sql(asked, ["host_1", moment, str(high)])) == [(60,)]
    assert rows_of(fleet.db.sql(asked, ["host_1", None, high])) == [(0,)]
    length = np.timedelta64(100, "s")
    assert (
        rows_of(fleet.db.sql("SELECT count(*) FROM cpu WHERE time > now() - ? AND region = 'us'", [length]))[0][0] > 0
    )
    nanosecond = np.datetime64(START + 1, "ns")
    assert rows_of(fleet.db.sql("SELECT hostname FROM cpu WHERE time = ?", [nanosecond])) == [("host_1",)]
    with pytest.raises(QueryError, match="parameter 3"):
        fleet.db.sql(asked, ["host_1", low])
    with pytest.raises(Invalid, match="sequence"):
        fleet.db.sql("SELECT 1", "x")


def test_a_new_column_makes_a_new_plan():
    db = store()
    cpu = db.create_table("cpu", memory="24h")
    cpu.write([NOW * SECOND], {"hostname": "a"}, {"usage": [1.0]})
    assert db.sql("SELECT * FROM cpu").names == ["hostname", "measure_name", "time", "usage"]
    cpu.write([NOW * SECOND - 1], {"hostname": "b", "region": "eu"}, {"idle": [1]})
    assert db.sql("SELECT * FROM cpu").names == ["hostname", "region", "measure_name", "time", "usage", "idle"]
    assert rows_of(db.sql("SELECT hostname, region, usage, idle FROM cpu ORDER BY hostname")) == [
        ("a", None, 1.0, None),
        ("b", "eu", None, 1),
    ]
    db.drop_table("cpu")
    with pytest.raises(QueryError, match="cpu"):
        db.sql("SELECT * FROM cpu")
    db.create_table("cpu", memory="24h").write([NOW * SECOND], {"zone": "x"}, {"other": [2.0]})
    assert rows_of(db.sql("SELECT * FROM cpu")) == [("x", "cpu", NOW * SECOND, 2.0)]


def test_rows_written_between_two_queries_are_seen():
    db = store()
    cpu = db.create_table("cpu", memory="24h")
    for number in range(5):
        cpu.write([(NOW - 100 + number) * SECOND], {"hostname": f"h{number % 2}"}, {"usage": [float(number)]})
        assert rows_of(db.sql("SELECT count(*), max(usage), max_by(hostname, time) FROM cpu")) == [
            (number + 1, float(number), f"h{number % 2}")
        ]
    cpu.write([(NOW - 98) * SECOND], {"hostname": "h0"}, {"usage": [100.0]}, version=2)
    assert rows_of(db.sql("SELECT count(*), max(usage), max_by(usage, time) FROM cpu")) == [(5, 100.0, 4.0)]
    assert rows_of(db.sql("SELECT hostname, max(time), max_by(usage, time) FROM cpu GROUP BY 1 ORDER BY 1")) == [
        ("h0", (NOW - 96) * SECOND, 4.0),
        ("h1", (NOW - 97) * SECOND, 3.0),
    ]


def test_a_query_that_reads_a_table_twice_sees_one_state_of_it():
    db = store()
    cpu = db.create_table("cpu", memory="24h")
    cpu.write([NOW * SECOND], {"hostname": "a"}, {"usage": [1.0]})
    asked = "SELECT (SELECT count(*) FROM cpu), (SELECT max(usage) FROM cpu WHERE time > ago(1m)), x.usage FROM cpu x"
    prepared, _ = db.queries.prepared(asked)
    assert prepared.again == {"cpu"}
    assert rows_of(db.sql(asked)) == [(1, 1.0, 1.0)]
    reading = db.queries.tables.find(("cpu",)).reading(again=True)
    everything = select(cpu, reading.columns, [])
    assert [part.rows for part in reading.parts(everything)] == [1]
    cpu.write([NOW * SECOND - 1], {"hostname": "b"}, {"usage": [2.0]})
    assert [part.rows for part in reading.parts(everything)] == [1]
    assert db.queries.prepared("SELECT max(usage) FROM cpu")[0].again == frozenset()


def test_threads_share_a_plan(fleet):
    def ask(number):
        low = START + number * 60 * SECOND
        text = (
            f"SELECT bin(time, 1m) AS b, avg(usage_user) + {number % 3} AS m FROM cpu "
            f"WHERE hostname = 'host_{number % 5}' AND time >= '{text_of(low)}' AND time < '{text_of(low + 1200 * SECOND)}' GROUP BY 1 ORDER BY 1"
        )
        return rows_of(fleet.db.sql(text))

    wanted = [ask(number) for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(ask, range(40))) == wanted


# ---- names, statements, faults -----------------------------------------------------------------------------------


def test_the_names_of_a_table():
    db = store()
    db.create_table("my-table.x", memory="24h").write([NOW * SECOND], {"a": "b"}, {"v": [1]})
    db.create_table("Cpu", memory="24h").write([NOW * SECOND], {"a": "b"}, {"v": [1]})
    for name in ('"main"."Cpu"', "main.Cpu", "Cpu", "cpu", '"my-table.x"', 'main."my-table.x"'):
        assert rows_of(db.sql(f"SELECT v FROM {name}")) == [(1,)]
    assert rows_of(db.sql('SELECT "my-table.x".v, q.v FROM "my-table.x" CROSS JOIN "main"."Cpu" q')) == [(1, 1)]


def test_show_and_describe(fleet):
    assert rows_of(fleet.db.sql("SHOW TABLES")) == [("cpu",)]
    assert rows_of(fleet.db.sql("SHOW TABLES LIKE 'd%'")) == []
    assert rows_of(fleet.db.sql("SHOW MEASURES FROM cpu")) == [("cpu", "multi", ["hostname", "region"])]
    described = dict(row[:2] for row in rows_of(fleet.db.sql("DESCRIBE cpu")))
    assert described == {
        "hostname": "varchar", "region": "varchar", "measure_name": "varchar", "time": "timestamp",
        **dict.fromkeys(METRICS, "double"), "requests": "bigint",
    }  # fmt: skip
    with pytest.raises(QueryError, match="cpu"):
        fleet.db.sql("SHOW MEASURES FROM cpuu")
    with pytest.raises(QueryError, match="names a table"):
        fleet.db.sql("SHOW MEASURES")


@pytest.mark.parametrize(
    ("text", "said", "column"),
    [
        ("SELECT usage_userr FROM cpu", "usage_user", 8),
        ("SELECT time FROM cpux", "cpu", 18),
        ("SELECT maxx(usage_user) FROM cpu", "max", 8),
        ("SELECT time FROM cpu WHERE time > 'monday'", "monday", 35),
        ("SELECT time FROM cpu WHERE time > ago(30000d)", "1970", 35),
        ("SELECT 5 / 0 AS x FROM cpu", "zero", 8),
        ("SELECT approx_percentile(usage_user, 1.5) FROM cpu", "0 to 1", 8),
        ("SELECT create_time_series(time, usage_user) FROM cpu WHERE hostname < 'host_2' AND time < 0", "TIMESTAMP", 0),
        ("SELECT max_by(time, usage_user, 0) FROM cpu", "from 1", 8),
        ("SELECT time FROM cpu WHERE", "missing", 0),
        ("INSERT INTO cpu VALUES (1)", "INSERT", 1),
    ],
)
def test_a_fault_is_told_at_its_place(fleet, text, said, column):
    with pytest.raises(QueryError, match=said) as caught:
        fleet.db.sql(text)
    assert not column or caught.value.column == column


def test_a_fault_behind_a_longer_literal_is_told_at_its_place(fleet):
    query = "SELECT time FROM cpu WHERE hostname = '{}' AND time > '{}'"
    assert len(fleet.db.sql(query.format("host_1", text_of(START)))) > 0
    with pytest.raises(QueryError, match="garbage") as caught:
        fleet.db.sql(query.format("a much longer host", "garbage"))
    assert caught.value.column == query.format("a much longer host", "garbage").index("'garbage'") + 1
    assert len(fleet.db.sql(query.format("host_1", text_of(START)))) > 0


def test_two_points_at_one_time_are_told_in_a_query(fleet):
    with pytest.raises(QueryError, match="aggregate first") as caught:
        fleet.db.sql("SELECT create_time_series(bin(time, 1m), usage_user) FROM cpu")
    assert caught.value.column == 8


def test_the_sum_of_a_fold_that_overflows_is_an_error():
    db = store()
    cpu = db.create_table("cpu", memory="24h")
    cpu.write([NOW * SECOND, NOW * SECOND - 1], {"hostname": "a"}, {"n": [2**62, 2**62]})
    with pytest.raises(QueryError, match="BIGINT") as caught:
        db.sql("SELECT hostname, sum(n) FROM cpu GROUP BY hostname")
    assert caught.value.column == 18
    assert rows_of(db.sql("SELECT sum(CAST(n AS DOUBLE)), avg(n) FROM cpu")) == [(2.0**63, 2.0**62)]


# ---- single-measure records --------------------------------------------------------------------------------------


def records(rows):
    """In the service's shape: host, measure, value, second."""
    kinds = {float: "DOUBLE", int: "BIGINT", str: "VARCHAR", bool: "BOOLEAN"}
    return [
        {
            "Dimensions": [{"Name": "host", "Value": host}],
            "MeasureName": name,
            "MeasureValue": str(value).lower() if isinstance(value, bool) else str(value),
            "MeasureValueType": kinds[type(value)],
            "Time": str(second),
            "TimeUnit": "SECONDS",
        }
        for host, name, value, second in rows
    ]


@pytest.fixture(scope="module")
def singles():
    db = store()
    table = db.create_table("m", memory="24h")
    rows = []
    for second in range(NOW - 300, NOW, 10):
        for host in ("a", "b"):
            rows.append((host, "cpu", float(second % 70), second))
            if second % 20 == 0:
                rows.append((host, "mem", float(second % 30) + (host == "b"), second))
            if second % 30 == 0:
                rows.append((host, "count", second, second))
    rows.append(("a", "state", "up", NOW - 300))
    rows.append(("b", "ok", True, NOW - 290))
    for start in range(0, len(rows), 50):
        table.write_records(records(rows[start : start + 50]))
    return db, rows


def test_single_measure_records_as_rows(singles):
    db, rows = singles
    names = ["double", "bigint", "varchar", "boolean"]
    columns = ", ".join(f"measure_value::{name}" for name in names)
    found = rows_of(db.sql(f"SELECT host, measure_name, time, {columns} FROM m"))
    wanted = [
        (host, name, second * SECOND, *(value if type(value) is kind else None for kind in (float, int, str, bool)))
        for host, name, value, second in rows
    ]
    assert sorted(found, key=repr) == sorted(wanted, key=repr)
    assert db.sql("SELECT * FROM m").names == ["host", "measure_name", "time", *(f"measure_value::{n}" for n in names)]
    assert rows_of(db.sql("SELECT count(*) FROM m")) == [(len(rows),)]


@pytest.mark.parametrize("name", ["cpu", "mem", "nothing"])
def test_the_idiom_of_single_measure_tables(singles, name):
    db, rows = singles
    values = {}
    for host, measure, value, _ in rows:
        values.setdefault(host, [])
        if measure == name:
            values[host].append(value)
    wanted = [(host, max(found, default=None), len(found)) for host, found in sorted(values.items())]
    case = f"CASE WHEN measure_name = '{name}' THEN measure_value::double END"
    asked = f"SELECT host, max({case}), count({case}) FROM m GROUP BY host ORDER BY host"
    assert rows_of(db.sql(asked)) == wanted
    assert db.explain(asked).find("Fold") is not None


def test_folds_over_single_measure_records(singles):
    db, rows = singles
    for where, names in (
        ("measure_name = 'cpu'", {"cpu"}),
        ("measure_name IN ('cpu', 'mem')", {"cpu", "mem"}),
        ("measure_name <> 'cpu'", {"mem", "count", "state", "ok"}),
        ("measure_name LIKE 'c%'", {"cpu", "count"}),
        ("true", {"cpu", "mem", "count", "state", "ok"}),
    ):
        asked = (
            "SELECT bin(time, 1m) AS b, count(*), count(measure_value::double), sum(measure_value::double), "
            f"min(measure_value::double), max(measure_value::bigint) FROM m WHERE {where} GROUP BY 1 ORDER BY 1"
        )
        groups = {}
        for _, name, value, second in rows:
            if name in names:
                groups.setdefault(second * SECOND // MINUTE * MINUTE, []).append(value)
        wanted = []
        for key, found in sorted(groups.items()):
            doubles = [value for value in found if type(value) is float]
            whole = [value for value in found if type(value) is int]
            total = sum(doubles) if doubles else None
            least = min(doubles, default=None)
            wanted.append((key, len(found), len(doubles), pytest.approx(total), least, max(whole, default=None)))
        assert rows_of(db.sql(asked)) == wanted, where


def test_a_table_of_both_kinds_of_records():
    db = store()
    table = db.create_table("m", memory="24h")
    table.write_records(records([("a", "cpu", 1.0, NOW - 5), ("a", "mem", 3.0, NOW - 5)]))
    table.write([(NOW - 4) * SECOND], {"host": "a"}, {"load": [7.0]}, measure_name="multi")
    assert rows_of(db.sql("SELECT measure_name, load, measure_value::double FROM m ORDER BY 1")) == [
        ("cpu", None, 1.0),
        ("mem", None, 3.0),
        ("multi", 7.0, None),
    ]
    assert rows_of(db.sql("SELECT count(*), max(load), sum(measure_value::double) FROM m")) == [(3, 7.0, 4.0)]
    assert rows_of(db.sql("SELECT host, load FROM m WHERE load > 1")) == [("a", 7.0)]
    assert rows_of(db.sql("SHOW MEASURES FROM m")) == [
        ("cpu", "double", ["host"]),
        ("mem", "double", ["host"]),
        ("multi", "multi", ["host"]),
    ]


def test_series_from_a_store(fleet):
    [(found,)] = rows_of(
        fleet.db.sql(
            "WITH s AS (SELECT create_time_series(bin(time, 10s), usage_user) AS s FROM cpu WHERE hostname = 'host_1' "
            f"AND {MIDDLE[0]}) SELECT cardinality(interpolate_linear(s, sequence(TIMESTAMP '{text_of(START)}', "
            f"TIMESTAMP '{text_of(START + 9000 * SECOND)}', 1s))) FROM s"
        )
    )
    assert 3400 < found <= 3600
