"""The front: statements from text to disk, transactions, users, snapshots, files."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from engines.clock import ManualClock
from engines.errors import AlreadyExists, Conflict, Denied, Invalid, NotFound, QueryError
from engines.warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path):
    with Warehouse(tmp_path / "w") as made:
        made.sql(
            "CREATE TABLE t (id INT NOT NULL, name VARCHAR(10) DEFAULT 'nobody', day DATE, price DECIMAL(10, 2), "
            "number INT IDENTITY(1, 1)) SORTKEY (id)"
        )
        made.sql("INSERT INTO t (id, name, day, price) VALUES (1, 'a', '2024-01-01', 1.5), (2, 'b', NULL, 2)")
        yield made


def rows(warehouse, text, *values, **named):
    return list(map(tuple, warehouse.sql(text, *values, **named).rows()))


def test_defaults_identities_and_what_fits_a_column(warehouse):
    warehouse.sql("INSERT INTO t (id, name, price) VALUES (3, DEFAULT, ?)", 7)
    assert rows(warehouse, "SELECT * FROM t ORDER BY id") == [
        (1, "a", dt.date(2024, 1, 1), Decimal("1.50"), 1),
        (2, "b", None, Decimal("2.00"), 2),
        (3, "nobody", None, Decimal("7.00"), 3),
    ]


def test_update_delete_and_merge_by_another_table(warehouse):
    assert rows(warehouse, "UPDATE t SET name = s.n FROM (SELECT 2 AS i, 'two' AS n) s WHERE s.i = t.id")[0][1] == 1
    assert rows(
        warehouse,
        "MERGE INTO t USING (SELECT 1 AS i, 'one' AS n UNION ALL SELECT 9, 'new') s ON t.id = s.i "
        "WHEN MATCHED THEN UPDATE SET name = s.n WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.i, s.n)",
    ) == [("MERGE", 2)]
    assert rows(warehouse, "SELECT id, name FROM t ORDER BY id") == [(1, "one"), (2, "two"), (9, "new")]
    assert rows(warehouse, "DELETE FROM t USING (SELECT 9 AS i) s WHERE s.i = t.id") == [("DELETE", 1)]
    assert rows(warehouse, "SELECT COUNT(*) FROM t") == [(2,)]


def test_what_a_transaction_did_is_gone_after_rollback_and_there_after_commit(warehouse):
    warehouse.sql("BEGIN; DELETE FROM t")
    assert rows(warehouse, "SELECT COUNT(*) FROM t") == [(0,)]
    assert rows(warehouse.session(), "SELECT COUNT(*) FROM t") == [(2,)]
    warehouse.sql("ROLLBACK")
    assert rows(warehouse, "SELECT COUNT(*) FROM t") == [(2,)]
    with warehouse.transaction() as transaction:
        transaction.sql("DELETE FROM t WHERE id = 1")
    assert rows(warehouse, "SELECT id FROM t") == [(2,)]


def test_a_change_based_on_what_is_no_longer_true_is_refused(warehouse):
    with warehouse.session() as one:
        one.sql("BEGIN; SELECT SUM(price) FROM t")
        warehouse.sql("UPDATE t SET price = 100")
        with pytest.raises(Conflict, match="changed by somebody else"):
            one.sql("INSERT INTO t (id) VALUES (5)")


def test_a_failed_statement_leaves_the_transaction_as_it_was(warehouse):
    with warehouse.transaction() as transaction:
        transaction.sql("DELETE FROM t WHERE id = 1")
        with pytest.raises(Invalid, match="NOT NULL"):
            transaction.sql("UPDATE t SET id = NULL")
    assert rows(warehouse, "SELECT id FROM t") == [(2,)]


def test_a_user_sees_what_was_granted_row_by_row(warehouse):
    warehouse.sql("GRANT SELECT (id, name) ON t TO bob")
    warehouse.sql("CREATE RLS POLICY even WITH (id INT) USING (id % 2 = 0)")
    warehouse.sql("ATTACH RLS POLICY even ON t TO ROLE bob; ALTER TABLE t ROW LEVEL SECURITY ON")
    with warehouse.session("bob") as bob:
        assert rows(bob, "SELECT * FROM t") == [(2, "b")]
        with pytest.raises(QueryError, match="price"):
            bob.sql("SELECT price FROM t")
        with pytest.raises(Denied):
            bob.sql("DELETE FROM t")
    assert rows(warehouse, "SELECT COUNT(*) FROM t") == [(2,)]


def test_views_temporary_tables_and_schemas(warehouse):
    warehouse.sql("CREATE VIEW cheap AS SELECT id FROM t WHERE price < 2")
    assert rows(warehouse, "SELECT * FROM cheap") == [(1,)]
    with pytest.raises(Invalid, match="CASCADE"):
        warehouse.sql("DROP TABLE t")
    warehouse.sql("CREATE MATERIALIZED VIEW counted AS SELECT COUNT(*) AS n FROM t")
    warehouse.sql("INSERT INTO t (id) VALUES (3)")
    assert rows(warehouse, "SELECT n FROM counted") == [(2,)]
    warehouse.sql("REFRESH MATERIALIZED VIEW counted; ANALYZE; VACUUM")
    assert rows(warehouse, "SELECT n FROM counted") == [(3,)]
    warehouse.sql("CREATE TEMP TABLE mine AS SELECT id FROM t")
    assert rows(warehouse, "SELECT COUNT(*) FROM mine") == [(3,)]
    with pytest.raises(QueryError, match="mine"):
        warehouse.session().sql("SELECT * FROM mine")
    warehouse.sql("CREATE SCHEMA s; CREATE TABLE s.t (a INT)")
    assert rows(warehouse, "SELECT COUNT(*) FROM s.t") == [(0,)]


def test_a_snapshot_is_restored_into_another_warehouse(warehouse, tmp_path):
    warehouse.snapshot("monday")
    warehouse.sql("DROP TABLE t")
    with pytest.raises(AlreadyExists):
        warehouse.snapshot("monday")
    assert warehouse.restore_table("monday", "t", "back") == 2
    with Warehouse.restore(warehouse, "monday", tmp_path / "new") as other:
        assert rows(other, "SELECT COUNT(*) FROM t") == [(2,)]


def test_the_clock_takes_snapshots_and_drops_them(tmp_path):
    clock = ManualClock(1_700_000_000_000_000)
    with Warehouse(tmp_path / "w", clock=clock) as warehouse:
        warehouse.sql("CREATE TABLE t AS SELECT 1 AS a")
        assert len(warehouse.tick()) == 1
        clock.advance(hours=9)
        assert warehouse.tick() == []
        warehouse.sql("INSERT INTO t VALUES (2)")
        assert len(warehouse.tick()) == 1
        clock.advance(hours=16)
        warehouse.tick()
        assert len(warehouse.snapshots()) == 1


def test_files_are_loaded_whole_or_not_at_all(warehouse, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("7,x\nzero,y\n")
    with pytest.raises(Invalid, match="line 2, column 'id'"):
        warehouse.sql(f"COPY t (id, name) FROM '{file}' CSV")
    assert rows(warehouse, "SELECT line_number, colname, raw_field_value FROM stl_load_errors") == [(2, "id", "zero")]
    assert rows(warehouse, f"COPY t (id, name) FROM '{file}' CSV MAXERROR 1")[0][1:3] == (1, 1)
    assert rows(warehouse, "SELECT name FROM t WHERE id = 7") == [("x",)]
    with pytest.raises(NotFound):
        warehouse.sql(f"COPY t FROM '{tmp_path}/none*.csv' CSV")


def test_what_was_committed_is_there_after_reopening(tmp_path):
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.sql("CREATE TABLE t AS SELECT 1 AS a; INSERT INTO t VALUES (2)")
        warehouse.sql("BEGIN; INSERT INTO t VALUES (3)")
    with Warehouse(tmp_path / "w") as warehouse:
        assert rows(warehouse, "SELECT a FROM t ORDER BY a") == [(1,), (2,)]
        assert warehouse.verify()


def test_an_answer_is_kept_until_a_table_changes(tmp_path):
    with Warehouse(tmp_path / "w", result_cache=True) as warehouse:
        warehouse.sql("CREATE TABLE t AS SELECT 1 AS a")
        first = warehouse.sql("SELECT a FROM t")
        assert warehouse.sql("SELECT a FROM t") is first
        warehouse.sql("INSERT INTO t VALUES (2)")
        assert rows(warehouse, "SELECT a FROM t ORDER BY a") == [(1,), (2,)]
        assert warehouse.sql("SELECT RANDOM()") is not warehouse.sql("SELECT RANDOM()")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("SELECT nam FROM t", QueryError, "did you mean 'name'"),
        ("INSERT INTO t (idd) VALUES (1)", QueryError, "did you mean 'id'"),
        ("INSERT INTO t (id) VALUES ('x')", QueryError, "'x' is no INTEGER"),
        ("INSERT INTO t (id) VALUES (3000000000)", QueryError, "out of range"),
        ("INSERT INTO t (id, name) VALUES (1, '12345678901')", Invalid, r"VARCHAR\(10\)"),
        ("CREATE TABLE t (a INT)", AlreadyExists, "already"),
        ("DROP TABLE tt", NotFound, "tt"),
        ("CREATE TABLE u (a INT) SORTKEY (b)", NotFound, "b"),
        ("COMMIT", Invalid, "BEGIN"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(warehouse, text, error, said):
    before = rows(warehouse, "SELECT * FROM t ORDER BY id")
    with pytest.raises(error, match=said):
        warehouse.sql(text)
    assert rows(warehouse, "SELECT * FROM t ORDER BY id") == before
    assert warehouse.tables() == ["t"]


@pytest.mark.parametrize(
    ("condition", "values", "rows"),
    [
        ("n < 2 + ?", (5,), 7),
        ("2 + ? > n", (5,), 7),
        ("small < 2 + ?", (5,), 7_000),
        ("day > current_date - 7", (), 6_000),
        ("day >= dateadd(day, -7, current_date)", (), 7_000),
        ("moment > getdate() - interval '1 hour'", (), 59),
        ("n = 1 + ?", (None,), 0),
    ],
)
def test_what_a_run_computes_first_prunes_as_a_constant_does(condition: str, values: tuple[Any, ...], rows: int):
    """300,000 rows, 1,000 a day and one a minute, up to the clock's day and minute."""
    clock = ManualClock(1_717_243_200_000_000)  # 2024-06-01 12:00
    with Warehouse(clock=clock) as warehouse:
        warehouse.sql("CREATE TABLE t (n INT, small SMALLINT, day DATE, moment TIMESTAMP) SORTKEY (n)")
        warehouse.sql(
            "INSERT INTO t SELECT n, n / 1000, DATE '2024-06-01' + n / 1000 - 300, "
            "TIMESTAMP '2024-06-01 12:00' + (n - 300000) * INTERVAL '1 minute' "
            "FROM (SELECT generate_series AS n FROM generate_series(0, 299999)) numbers"
        )
        found = warehouse.sql(f"SELECT count(*) AS n FROM t WHERE {condition}", *values)
        assert list(found) == [(rows,)]
        assert found.stats["blocks_decoded"] <= 1  # of five


def test_what_a_run_computes_first_is_not_kept_with_the_plan():
    clock = ManualClock(1_717_243_200_000_000)
    with Warehouse(clock=clock) as warehouse:
        warehouse.sql("CREATE TABLE t (day DATE)")
        warehouse.sql("INSERT INTO t VALUES (DATE '2024-05-31'), (DATE '2024-06-01')")
        count = "SELECT count(*) AS n FROM t WHERE day > current_date - 2"
        assert list(warehouse.sql(count)) == [(2,)]
        clock.advance(days=1)
        assert list(warehouse.sql(count)) == [(1,)]
        with pytest.raises(QueryError, match="zero"):
            warehouse.sql("SELECT count(*) AS n FROM t WHERE day > current_date - 1 / ?", 0)
