"""What a warehouse says of itself, in system tables and reports, is true; snapshots from the front."""

# ruff: noqa: E501 - a statement stands on a line

import pytest
from warehouse.asking import ask, one

from engines.clock import ManualClock
from engines.errors import AlreadyExists, Invalid, NotFound, QueryError
from engines.warehouse.snapshot import AutoSnapshot
from engines.warehouse.warehouse import Warehouse

HOUR = 3600 * 1_000_000


@pytest.fixture
def wh(tmp_path):
    with Warehouse(tmp_path / "w", nodes=2, slices=2, clock=ManualClock(1_700_000_000 * 1_000_000)) as warehouse:
        warehouse.sql(
            "CREATE TABLE t (a INT NOT NULL, b VARCHAR(5) DEFAULT 'x') DISTKEY(a) SORTKEY(a); CREATE TABLE u (c INT ENCODE raw)"
        )
        warehouse.append("t", {"a": list(range(3000))})
        yield warehouse


# ---- tables, blocks, slices --------------------------------------------------------------------------------------


def test_table_info_counts_rows_deleted_rows_groups_and_bytes(wh):
    query = (
        "SELECT tbl_rows, deleted_rows, row_groups, size, skew_rows, unsorted FROM svv_table_info WHERE \"table\" = 't'"
    )
    ((rows, deleted, groups, size, skew, unsorted),) = ask(wh, query)
    assert (rows, deleted, groups, unsorted) == (3000, 0, 4, 0.0)
    assert size == wh.stats()["bytes"] == sum(bytes for (bytes,) in ask(wh, "SELECT sum(bytes) FROM stv_blocklist"))
    counts = [n for (n,) in ask(wh, "SELECT max(num_values) FROM stv_blocklist GROUP BY slice")]
    assert sum(counts) == 3000
    assert skew == pytest.approx(max(counts) / min(counts))
    wh.sql("DELETE FROM t WHERE a < 1000; INSERT INTO t SELECT a FROM t WHERE a < 1500")
    ((rows, deleted, groups, _, _, unsorted),) = ask(wh, query)
    assert (rows, deleted, groups) == (2500, 1000, 8)
    assert unsorted > 0
    wh.sql("VACUUM t")
    ((rows, deleted, groups, _, _, unsorted),) = ask(wh, query)
    assert (rows, deleted, groups, unsorted) == (2500, 0, 4, 0.0)


def test_table_info_says_style_keys_and_encoding(wh):
    wh.sql(
        "CREATE TABLE a (x INT); CREATE TABLE e (x INT) DISTSTYLE EVEN; CREATE TABLE k (x INT, y INT) DISTSTYLE ALL SORTKEY (y, x)"
    )
    assert ask(wh, 'SELECT "table", diststyle, sortkey1, sortkey_num, encoded FROM svv_table_info ORDER BY 1') == [
        ("a", "AUTO(ALL)", None, 0, True), ("e", "EVEN", None, 0, True), ("k", "ALL", "y", 2, True), ("t", "KEY(a)", "a", 1, True),
        ("u", "AUTO(ALL)", None, 0, False),
    ]  # fmt: skip
    wh.append("a", {"x": list(range(70_000))})
    assert one(wh, "SELECT diststyle FROM svv_table_info WHERE \"table\" = 'a'") == "AUTO(EVEN)"


def test_blocklist_has_the_bounds_of_each_block(wh):
    found = ask(
        wh,
        "SELECT slice, num_values, nulls, minvalue, maxvalue FROM stv_blocklist WHERE \"column\" = 'a' ORDER BY slice",
    )
    assert [slice for slice, *_ in found] == [0, 1, 2, 3]
    assert sum(rows for _, rows, *_ in found) == 3000
    assert min(int(low) for *_, low, _ in found) == 0
    assert max(int(high) for *_, high in found) == 2999
    assert ask(wh, "SELECT DISTINCT minvalue, maxvalue, nulls FROM stv_blocklist WHERE \"column\" = 'b'") == [
        ("x", "x", 0)
    ]
    wh.sql("INSERT INTO u VALUES (NULL)")
    assert ask(
        wh, "SELECT num_values, nulls, minvalue, maxvalue, encoding FROM stv_blocklist WHERE \"table\" = 'u'"
    ) == [(1, 1, None, None, "raw")]


def test_bounds_of_blocks_are_written_as_in_sql(wh):
    wh.sql("CREATE TABLE w (d DATE, t TIMESTAMP, n DECIMAL(6, 2), b BOOLEAN, v VARBYTE(4), f DOUBLE PRECISION)")
    wh.sql(
        "INSERT INTO w SELECT DATE '2020-02-29', TIMESTAMP '2020-02-29 12:00:00.5', 12.5, TRUE, from_hex('beef'), 1.5"
    )
    found = ask(wh, """SELECT "column", minvalue FROM stv_blocklist WHERE "table" = 'w' AND minvalue = maxvalue""")
    assert dict(found) == {
        "d": "2020-02-29", "t": "2020-02-29 12:00:00.500000", "n": "12.50", "b": "true", "v": "beef", "f": "1.5",
    }  # fmt: skip


def test_slices_lie_on_nodes_in_turn(wh):
    assert ask(wh, "SELECT node, slice FROM stv_slices ORDER BY slice") == [(0, 0), (1, 1), (0, 2), (1, 3)]
    assert (wh.stats()["slices"], wh.stats()["nodes"]) == (4, 2)


def test_columns_are_told_in_two_ways(wh):
    wh.sql("CREATE SCHEMA s; CREATE VIEW s.v AS SELECT a FROM t")
    assert ask(wh, 'SELECT schemaname, tablename, "column", type, encoding, distkey, sortkey, "notnull", "default" FROM pg_table_def') == [
        ("public", "t", "a", "INTEGER", "auto", True, 1, True, None), ("public", "t", "b", "VARCHAR(5)", "auto", False, 0, False, "'x'"),
        ("public", "u", "c", "INTEGER", "raw", False, 0, False, None),
    ]  # fmt: skip
    assert ask(wh, "SELECT * FROM information_schema.columns WHERE table_name = 't'") == [
        ("dev", "public", "t", "a", 1, None, "NO", "INTEGER"), ("dev", "public", "t", "b", 2, "'x'", "YES", "VARCHAR(5)"),
    ]  # fmt: skip
    assert ask(wh, "SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY 2") == [
        ("public", "t", "BASE TABLE"), ("public", "u", "BASE TABLE"), ("s", "v", "VIEW"),
    ]  # fmt: skip
    assert ask(wh, "SELECT * FROM svv_views") == [("s", "v", "SELECT a FROM t", False)]
    assert ask(wh, "SELECT count(*) FROM pg_catalog.pg_table_def") == [(3,)]


def test_system_tables_are_of_the_transaction_that_asks(wh):
    wh.sql("BEGIN; INSERT INTO u VALUES (1), (2); CREATE TABLE n (x INT)")
    query = 'SELECT "table", tbl_rows FROM svv_table_info ORDER BY 1'
    assert ask(wh, query) == [("n", 0), ("t", 3000), ("u", 2)]
    with wh.session() as other:
        assert ask(other, query) == [("t", 3000), ("u", 0)]
    wh.sql("ROLLBACK")


def test_policies_are_told_with_their_tables(wh):
    wh.sql(
        "CREATE RLS POLICY p WITH (a INT) USING (a > 1); CREATE RLS POLICY q USING (true); ATTACH RLS POLICY p ON t TO bob"
    )
    wh.sql("ATTACH RLS POLICY p ON t TO PUBLIC; ALTER TABLE t ROW LEVEL SECURITY ON")
    assert ask(wh, "SELECT * FROM svv_rls_policy ORDER BY 1, 4") == [
        ("p", "a > 1", "t", "bob", True), ("p", "a > 1", "t", "public", True), ("q", "true", None, None, False),
    ]  # fmt: skip


# ---- the log -----------------------------------------------------------------------------------------------------


def test_the_log_has_statements_rows_errors_and_what_was_scanned(wh):
    wh.sql("SELECT count(*) FROM t WHERE a >= 0")
    wh.sql("SELECT a FROM t WHERE a < 5 OR a > 2997")
    wh.sql("UPDATE t SET b = 'y' WHERE a < 10")
    with pytest.raises(QueryError):
        wh.sql("SELECT 1 / (a - a) FROM t")
    with pytest.raises(QueryError):
        wh.sql("SELECT nothing FROM t")  # never began
    wh.sql("SELECT 1; SELECT 2")
    wh.sql("SELECT a FROM t WHERE a < 5 OR a > 2997")
    with wh.session(user="bob") as bob:
        bob.sql("SELECT 3")
    found = ask(wh, "SELECT query, user_name, querytxt, rows, aborted, error, cached FROM stl_query WHERE query > 2")
    assert [(user, text, rows, aborted, cached) for _, user, text, rows, aborted, _, cached in found[:-1]] == [
        ("admin", "SELECT count(*) FROM t WHERE a >= 0", 1, False, False),
        ("admin", "SELECT a FROM t WHERE a < 5 OR a > 2997", 7, False, False),
        ("admin", "UPDATE t SET b = 'y' WHERE a < 10", 10, False, False),
        ("admin", "SELECT 1 / (a - a) FROM t", 0, True, False),
        ("admin", "SELECT 1", 1, False, False),
        ("admin", "SELECT 2", 1, False, False),
        ("admin", "SELECT a FROM t WHERE a < 5 OR a > 2997", 7, False, True),
        ("bob", "SELECT 3", 1, False, False),
    ]
    assert [number for number, *_ in found] == list(range(3, 12))
    assert found[3][5].startswith("division by zero")
    scanned = one(wh, "SELECT rows_scanned FROM stl_query WHERE query = 4")
    assert 7 <= scanned <= 3000


def test_pruned_blocks_are_counted(wh):
    wh.sql("CREATE TABLE big (a INT) DISTSTYLE EVEN SORTKEY(a)")
    for start in range(0, 8000, 2000):
        wh.append("big", {"a": list(range(start, start + 2000))})
    stats = wh.sql("SELECT count(*) FROM big WHERE a BETWEEN 2000 AND 2100 AND a % 2 = 0").stats
    assert stats["blocks_pruned"] >= 3
    assert stats["rows_scanned"] <= 2000
    assert one(wh, "SELECT max(blocks_pruned) FROM stl_query") == stats["blocks_pruned"]


def test_steps_of_analyzed_queries_are_in_the_log_under_their_number(wh):
    wh.sql("SELECT 1")
    plan = wh.explain("SELECT count(*) FROM t", analyze=True)
    wh.sql("EXPLAIN ANALYZE SELECT a FROM t WHERE a = 5")
    wh.explain("SELECT c FROM u")
    wh.sql("EXPLAIN SELECT a FROM t")
    steps = ask(
        wh,
        "SELECT q.querytxt, s.step, s.label FROM svl_query_summary s JOIN stl_query q ON q.query = s.query ORDER BY s.query, s.step",
    )
    assert [label for text, _, label in steps if text == "SELECT count(*) FROM t"] == [
        one.name for one, _ in plan.walk()
    ]
    assert {text for text, *_ in steps} == {"SELECT count(*) FROM t", "EXPLAIN ANALYZE SELECT a FROM t WHERE a = 5"}


def test_plans_show_values_as_they_are_written_and_rows_in_once(wh):
    wh.sql("CREATE TABLE sold (day DATE, at TIMESTAMP, price DECIMAL(5, 2), shop VARCHAR(9)) SORTKEY(day)")
    wh.sql("INSERT INTO sold VALUES ('2024-01-01', '2024-01-01 10:00', 9.5, 'Oslo'), ('2024-01-02', NULL, 1, 'Rome')")
    where = "day >= '2024-01-01' AND at > '2023-12-31' AND price IN (9.5, 7) AND shop = 'Oslo'"
    plan = wh.explain(f"SELECT shop, count(*) FROM sold WHERE {where} GROUP BY shop ORDER BY shop", analyze=True)
    steps = {step.name: step for step, _ in plan.walk()}
    for text in ("day >= '2024-01-01'", "at > '2023-12-31 00:00:00'", "price in (9.50, 7.00)", "shop = 'Oslo'"):
        assert text in steps["Scan"].detail
    assert [steps[name].counters["rows_in"] for name in ("Aggregate", "Sort")] == [1, 1]
    shown = str(wh.sql("EXPLAIN SELECT count(*) FROM sold WHERE shop || shop = 'OsloOslo' AND day < current_date + 1"))
    assert "now::DATE" in shown
    assert "…" not in shown


def test_load_errors_name_file_line_column_and_reason(wh, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("1,a\nx,b\n3,toolong\n4,d\n")
    answer = wh.sql(f"COPY t FROM '{path}' CSV MAXERROR 5")
    assert (answer.columns["rows"][0], answer.columns["rejected"][0]) == (2, 2)
    found = ask(
        wh, "SELECT tbl, filename, line_number, colname, raw_field_value FROM stl_load_errors ORDER BY line_number"
    )
    assert [(table, line, column, value) for table, _, line, column, value in found] == [
        ("t", 2, "a", "x"),
        ("t", 3, "b", "toolong"),
    ]
    assert all(name.endswith("rows.csv") for _, name, *_ in found)
    with pytest.raises(Invalid):
        wh.sql(f"COPY t FROM '{path}' CSV")
    assert one(wh, "SELECT count(*) FROM stl_load_errors e JOIN stl_query q ON q.query = e.query WHERE q.aborted") >= 1
    assert one(wh, "SELECT count(*) FROM t") == 3002


# ---- stats, layout, verify ---------------------------------------------------------------------------------------


def test_stats_count_commits_rows_and_readers(wh):
    before = wh.stats()
    wh.sql("INSERT INTO u VALUES (1), (2); DELETE FROM u WHERE c = 1; SELECT 1")
    after = wh.stats()
    assert after["commits"] == before["commits"] + 2
    assert (before["rows"], after["rows"], after["tables"]) == (3000, 3001, 2)
    with wh.session() as reader:
        reader.sql("BEGIN; SELECT * FROM u")
        wh.sql("INSERT INTO u VALUES (3)")
        assert wh.stats()["pinned"] == 2


def test_layout_and_names_of_tables(wh):
    assert "t" in str(wh.layout("t"))
    assert "u" in str(wh.layout())
    with pytest.raises(NotFound, match="there is no table 'tt'; did you mean 't'"):
        wh.layout("tt")
    with pytest.raises(NotFound, match="there is no table 'tt'; did you mean 't'"):
        wh.table("tt")
    assert [field.name for field in wh.table("T").schema()] == ["a", "b"]
    assert wh.tables() == ["t", "u"]
    assert repr(wh).endswith("2 tables, 4 slices>")


def test_verify_names_the_table_of_a_damaged_block_and_others_can_be_read(tmp_path):
    with Warehouse(tmp_path, slices=1) as wh:
        wh.sql("CREATE TABLE t (a INT); CREATE TABLE u AS SELECT 7 AS c")
        wh.append("t", {"a": [(7 * n) ** 2 % 100_003 for n in range(5000)]})
        blob = one(wh, "SELECT blob FROM stv_blocklist WHERE \"table\" = 't'")
        assert wh.verify().ok
    (path,) = (tmp_path / "blobs").rglob(f"*{blob[2:]}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    with Warehouse(tmp_path) as wh:
        report = wh.verify()
        assert not report.ok
        assert "t" in str(report)
        with pytest.raises(Exception, match="t"):
            wh.sql("SELECT sum(a) FROM t")
        assert one(wh, "SELECT c FROM u") == 7


# ---- snapshots ---------------------------------------------------------------------------------------------------


def test_the_clock_takes_copies_and_drops_snapshots(tmp_path):
    clock = ManualClock(1_700_000_000 * 1_000_000)
    plan = AutoSnapshot(every="8h", keep="1d", copy_to=str(tmp_path / "copy"))
    with Warehouse(tmp_path / "w", clock=clock, snapshots=plan) as wh:
        assert wh.tick() == []  # there is nothing yet
        wh.sql("CREATE TABLE t AS SELECT 0 AS a")
        taken = []
        for hour in range(6, 54, 6):
            clock.advance(hours=6)
            taken += [hour for _ in wh.tick()]
            wh.sql("INSERT INTO t VALUES (?)", hour)
        assert taken == [6, 18, 30, 42]
        assert [one.kind for one in wh.snapshots()] == ["automated"] * 2
        assert ask(wh, "SELECT kind, (expires - at) = INTERVAL '1 day' FROM svv_snapshots") == [("automated", True)] * 2
        clock.advance(days=3)
        names = [one.name for one in wh.snapshots()]
        assert [one.name for one in wh.snapshots()] == names
        wh.tick()
        assert len(wh.snapshots()) == 1
        last = wh.snapshots()[0]
        assert last.at == clock.now()
        assert wh.tick() == []
    with Warehouse.restore(tmp_path / "copy", last.name, tmp_path / "restored") as restored:
        assert ask(restored, "SELECT max(a) FROM t") == [(48,)]
        assert restored.verify().ok


def test_many_bytes_make_a_snapshot_due(tmp_path):
    clock = ManualClock()
    with Warehouse(tmp_path, clock=clock, snapshots=AutoSnapshot(every=None, bytes=20_000, keep=None)) as wh:
        wh.sql("CREATE TABLE t (a INT)")
        assert len(wh.tick()) == 1
        wh.append("t", {"a": list(range(10))})
        assert wh.tick() == []
        wh.append("t", {"a": [n**2 % 100_003 for n in range(20_000)]})
        assert [one.expires for one in wh.tick()] == [None]
    with Warehouse(tmp_path, snapshots=None) as wh:
        wh.append("t", {"a": [1]})
        assert wh.tick() == []


def test_a_snapshot_is_a_moment_and_restores_everything(wh, tmp_path):
    wh.sql("CREATE VIEW v AS SELECT count(*) AS n FROM t")
    first = wh.snapshot("monday")
    wh.sql("DELETE FROM t WHERE a >= 100; DROP TABLE u; INSERT INTO t VALUES (-1)")
    second = wh.snapshot("tuesday", to=tmp_path / "elsewhere")
    assert (first.kind, first.expires) == ("manual", None)
    assert first.bytes == first.new_bytes
    assert 0 < second.new_bytes < second.bytes
    assert [one.name for one in wh.snapshots()] == ["monday", "tuesday"]
    assert ask(wh, "SELECT name, bytes, new_bytes FROM svv_snapshots ORDER BY name") == [
        (one.name, one.bytes, one.new_bytes) for one in (first, second)
    ]
    for number, (source, name, rows) in enumerate(
        [(wh, "monday", 3000), (tmp_path / "w", "tuesday", 101), (tmp_path / "elsewhere", "tuesday", 101)]
    ):
        with Warehouse.restore(source, name, tmp_path / f"r{number}") as restored:
            assert one(restored, "SELECT n FROM v") == rows
            assert ("u" in restored.tables()) == (name == "monday")
            assert restored.verify().ok
            restored.sql("INSERT INTO t VALUES (5)")
    assert one(wh, "SELECT n FROM v") == 101


def test_one_table_comes_back_beside_what_it_has_become(wh):
    wh.snapshot("before")
    wh.sql("UPDATE t SET b = 'y'; DELETE FROM t WHERE a < 2990; ALTER TABLE t ADD COLUMN c INT")
    assert wh.restore_table("before", "t", "t_before") == 3000
    assert ask(wh, "SELECT count(*), min(b), max(b) FROM t_before") == [(3000, "x", "x")]
    assert ask(wh, "SELECT count(*), min(b) FROM t") == [(10, "y")]
    wh.sql("INSERT INTO t_before SELECT a + 10000 FROM t; DROP TABLE t; ALTER TABLE t_before RENAME TO t")
    assert one(wh, "SELECT count(*) FROM t") == 3010
    assert wh.verify().ok


def test_collect_spares_snapshots_and_readers_and_deletes_the_rest(wh):
    wh.snapshot("s")
    wh.sql("UPDATE t SET b = 'y'; UPDATE t SET b = 'z'")
    with wh.session() as reader:
        reader.sql("BEGIN; SELECT count(*) FROM t")
        wh.sql("UPDATE t SET b = 'w'")
        assert wh.collect(grace=0).blobs > 0
        assert ask(reader, "SELECT count(*), min(b) FROM t") == [(3000, "z")]
    assert wh.collect(grace=0).blobs > 0
    wh.restore_table("s", "t", "old")
    assert ask(wh, "SELECT min(old.b), min(t.b) FROM old, t WHERE old.a = t.a") == [("x", "w")]
    wh.sql("DROP TABLE old")
    wh.drop_snapshot("s")
    assert wh.collect(grace=0).blobs > 0
    assert wh.collect(grace=0).blobs == 0
    assert wh.verify().ok


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda wh, _: wh.snapshot("day"), AlreadyExists, "there is a snapshot 'day' already"),
        (lambda wh, _: wh.snapshot(""), Invalid, "name"),
        (lambda wh, _: wh.snapshot("../x"), Invalid, "name"),
        (lambda wh, _: wh.drop_snapshot("dat"), NotFound, "there is no snapshot 'dat'; did you mean 'day'?"),
        (lambda wh, _: wh.restore_table("dat", "t", "n"), NotFound, "did you mean 'day'?"),
        (lambda wh, _: wh.restore_table("day", "tt", "n"), NotFound, "did you mean 't'?"),
        (lambda wh, _: wh.restore_table("day", "t", "u"), AlreadyExists, "there is a table 'u' already"),
        (lambda wh, path: Warehouse.restore(wh, "dat", path / "n"), NotFound, "did you mean 'day'?"),
        (lambda wh, path: Warehouse.restore(wh, "day", path / "w"), AlreadyExists, "restore it into another folder"),
        (lambda wh, path: Warehouse.restore(wh, "day", path / "other"), AlreadyExists, "other"),
        (lambda _, path: Warehouse.restore(path / "none", "day", path / "n"), NotFound, "day"),
    ],
)
def test_snapshots_that_cannot_be(wh, tmp_path, call, kind, says):
    Warehouse(tmp_path / "other").close()
    wh.snapshot("day")
    before = wh.storage.view().root
    with pytest.raises(kind, match=says.replace("?", r"\?")):
        call(wh, tmp_path)
    assert wh.storage.view().root is before
    assert [one.name for one in wh.snapshots()] == ["day"]
    assert not (tmp_path / "n").exists() or not list((tmp_path / "n").rglob("HEAD"))
