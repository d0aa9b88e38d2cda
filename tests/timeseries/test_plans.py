"""Plans that are found again, parameters, names of tables, statements that list, and faults at their places."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")
from timeseries.asking import NOW, SECOND, rows_of, store
from timeseries.fleets import METRICS, MINUTE, START, STEPS, Fleet, text_of

from engines.errors import Invalid, QueryError
from engines.timeseries.selection import select


@pytest.fixture(scope="module", params=["in memory", "in blobs"])
def fleet(request):
    return Fleet(checkpoint=request.param == "in blobs")


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
        where = f"hostname = 'host_{number % 5}' AND time >= '{text_of(low)}'"
        text = (
            f"SELECT bin(time, 1m) AS b, avg(usage_user) + {number % 3} AS m FROM cpu "
            f"WHERE {where} AND time < '{text_of(low + 1200 * SECOND)}' GROUP BY 1 ORDER BY 1"
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


def test_a_text_that_is_no_number_is_told_by_a_kept_plan_as_by_a_new_one():
    db = store()
    db.create_table("t").write([(NOW - 1) * SECOND], {"host": "a"}, {"n": [1], "u": [1.0]})
    for text in ("SELECT count(*) FROM t WHERE n > '{}'", "SELECT host, max(u) FROM t WHERE u <= '{}' GROUP BY 1"):
        db.sql(text.format("1"))
        with pytest.raises(QueryError, match="'x' is no"):
            db.sql(text.format("x"))


def test_a_limit_below_zero_is_refused_on_the_short_way_too():
    db = store()
    db.create_table("t").write([(NOW - 1) * SECOND, (NOW - 9) * SECOND], {"host": "a"}, {"n": [1, 2]})
    for order in ("ORDER BY 1 DESC", "ORDER BY 2, 1", ""):
        text = f"SELECT bin(time, 1s), count(*) FROM t GROUP BY 1 {order} LIMIT ?"
        assert [len(db.sql(text, (rows,)).rows()) for rows in (0, 1, 5, None)] == [0, 1, 2, 2]
        with pytest.raises(QueryError, match="whole number from 0 on"):
            db.sql(text, (-1,))
