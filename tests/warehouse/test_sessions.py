"""Sessions: what a transaction sees and leaves, who waits for whom, many threads, who may open a folder."""

# ruff: noqa: E501 - a statement stands on a line

import gc
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from warehouse.asking import ask, one, refused

from engines.errors import Closed, Conflict, Invalid, Locked, NotFound, QueryError, ReadOnly
from engines.nodes import DeadlinePassed
from engines.warehouse.warehouse import Warehouse


@pytest.fixture
def wh():
    with Warehouse() as warehouse:
        warehouse.sql("CREATE TABLE t AS SELECT 1 AS a; CREATE TABLE u (a INT)")
        warehouse.storage.patience = 0.05
        yield warehouse


def elsewhere(work):
    """What a call gives in another thread, which then ends."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


# ---- what is seen ------------------------------------------------------------------------------------------------


def test_a_transaction_sees_what_it_did_and_nobody_else_does(wh):
    reader = wh.session()
    wh.sql(
        "BEGIN; INSERT INTO t VALUES (2); CREATE TABLE n AS SELECT 5 AS a; CREATE VIEW v AS SELECT a FROM t WHERE a > 1"
    )
    assert ask(wh, "SELECT v.a, n.a FROM v, n") == [(2, 5)]
    assert one(reader, "SELECT count(*) FROM t") == 1
    refused(reader, "SELECT * FROM n", QueryError, "there is no table 'n'")
    assert elsewhere(lambda: one(wh, "SELECT count(*) FROM t")) == 1
    assert wh.tables() == ["t", "u"]
    wh.sql("COMMIT")
    assert ask(reader, "SELECT v.a, n.a FROM v, n") == [(2, 5)]


def test_a_reader_in_a_transaction_stays_at_the_moment_of_its_first_statement(wh):
    reader = wh.session()
    reader.sql("BEGIN")
    wh.sql("INSERT INTO t VALUES (2)")  # nothing has been read yet
    assert one(reader, "SELECT count(*) FROM t") == 2
    wh.sql("INSERT INTO t VALUES (3); INSERT INTO u VALUES (1); DROP TABLE u; CREATE TABLE u AS SELECT 'x' AS b")
    assert one(reader, "SELECT count(*) FROM t") == 2
    assert ask(reader, "SELECT a FROM u") == []
    reader.sql("COMMIT")
    assert one(reader, "SELECT count(*) FROM t") == 3
    assert ask(reader, "SELECT b FROM u") == [("x",)]


def test_all_tables_of_a_statement_are_of_one_moment(wh):
    wh.sql("CREATE VIEW v AS SELECT a FROM t")
    reader = wh.session()
    source = wh.table("t")
    wh.sql("INSERT INTO t VALUES (2)")
    assert sum(batch.rows for batch in source.rows(["a"])) == 1
    assert ask(reader, "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM v)") == [(2, 2)]


def test_a_statement_that_fails_is_undone_and_the_transaction_goes_on(wh):
    wh.sql("BEGIN; INSERT INTO t VALUES (10)")
    for text in (
        "INSERT INTO t SELECT 1 / (a - 10) FROM t", "CREATE TABLE n AS SELECT 1 / (a - 10) AS b FROM t", "DROP TABLE t, nix",
        "MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED THEN INSERT (b) VALUES (1)", "ALTER TABLE t DROP COLUMN b",
    ):  # fmt: skip
        with pytest.raises((QueryError, NotFound)):
            wh.sql(text)
        assert ask(wh, "SELECT a FROM t ORDER BY a") == [(1,), (10,)]
    refused(wh, "SELECT * FROM n", QueryError, "there is no table 'n'")
    wh.sql("CREATE TABLE n AS SELECT 7 AS b; COMMIT")
    assert elsewhere(lambda: ask(wh, "SELECT a, b FROM t, n ORDER BY a")) == [(1, 7), (10, 7)]


def test_rollback_takes_back_rows_tables_columns_keys_and_rights(wh):
    before = wh.storage.view().root
    wh.sql(
        "BEGIN; INSERT INTO t VALUES (2); DELETE FROM t WHERE a = 1; TRUNCATE u; ALTER TABLE t ADD COLUMN b INT; "
        "ALTER TABLE t ALTER SORTKEY (a); DROP TABLE u; CREATE TABLE n AS SELECT 1 AS a; CREATE SCHEMA s; "
        "CREATE VIEW v AS SELECT a FROM n; GRANT SELECT ON t TO bob; CREATE RLS POLICY p USING (true); ROLLBACK"
    )
    assert wh.storage.view().root is before
    assert ask(wh, "SELECT * FROM t") == [(1,)]


# ---- conflicts ---------------------------------------------------------------------------------------------------


def test_a_change_based_on_what_somebody_else_has_changed_is_a_conflict(wh):
    first, second = wh.session(), wh.session()
    first.sql("BEGIN")
    assert one(first, "SELECT max(a) FROM t") == 1
    second.sql("UPDATE t SET a = 2")
    refused(first, "INSERT INTO u VALUES (1)", Conflict, "table 't' was changed by somebody else")
    assert one(first, "SELECT max(a) FROM t") == 1
    first.sql("ROLLBACK; BEGIN; SELECT max(a) FROM t; INSERT INTO u VALUES (1); COMMIT")
    assert ask(wh, "SELECT * FROM t, u") == [(2, 1)]


def test_what_others_change_elsewhere_is_no_conflict(wh):
    first, second = wh.session(), wh.session()
    first.sql("BEGIN; SELECT * FROM t")
    second.sql("INSERT INTO u VALUES (1)")
    first.sql("INSERT INTO t VALUES (2); COMMIT")
    assert ask(wh, "SELECT t.a, u.a FROM t, u ORDER BY 1") == [(1, 1), (2, 1)]


def test_a_table_read_through_a_view_counts_as_read(wh):
    wh.sql("CREATE VIEW v AS SELECT a FROM t")
    first = wh.session()
    first.sql("BEGIN; SELECT * FROM v")
    wh.sql("DROP TABLE t CASCADE")
    refused(first, "INSERT INTO u VALUES (1)", Conflict, "table 't' was changed")


def test_of_two_writers_the_second_waits_and_then_gives_up(wh):
    first, second = wh.session(), wh.session()
    first.sql("BEGIN; INSERT INTO t VALUES (2)")
    refused(second, "INSERT INTO u VALUES (1)", Conflict, "another transaction is open for longer than 0.05 s")
    with pytest.raises(Conflict):
        second.append("u", [(1,)])
    with pytest.raises(Conflict):
        wh.snapshot("s")
    wh.storage.patience = 30
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second.sql, "INSERT INTO u SELECT count(*) FROM t")
        first.sql("COMMIT")
        waiting.result(timeout=30)
    assert ask(wh, "SELECT a FROM u") == [(2,)]  # it read after it had waited


def test_who_forgets_a_transaction_locks_nobody_out(wh):
    session = wh.session()
    session.sql("BEGIN; INSERT INTO t VALUES (2)")
    del session
    gc.collect()
    wh.sql("INSERT INTO t VALUES (3)")
    elsewhere(lambda: wh.sql("BEGIN; INSERT INTO t VALUES (4)"))
    gc.collect()
    wh.sql("INSERT INTO t VALUES (5)")
    assert ask(wh, "SELECT a FROM t ORDER BY a") == [(1,), (3,), (5,)]


# ---- transaction(), session() ------------------------------------------------------------------------------------


def test_a_transaction_block_commits_or_rolls_back(wh):
    with wh.transaction() as tx:
        tx.sql("INSERT INTO t VALUES (2)")
        assert tx.append("t", [(3,)]) == 1
        assert one(tx, "SELECT count(*) FROM t") == 3
        assert one(wh, "SELECT count(*) FROM t") == 1
    with pytest.raises(QueryError), wh.transaction() as tx:
        tx.sql("INSERT INTO t VALUES (4); SELECT 1 / 0")
    assert ask(wh, "SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,)]
    for use in (
        lambda: tx.sql("INSERT INTO t VALUES (5)"),
        lambda: tx.append("t", [(5,)]),
        lambda: tx.explain("SELECT 1"),
    ):
        with pytest.raises(Closed, match="this session has ended"):
            use()


def test_a_transaction_block_may_end_by_its_own_commit(wh):
    with wh.transaction() as tx:
        tx.sql("INSERT INTO t VALUES (2); ROLLBACK; INSERT INTO t VALUES (3)")
    assert ask(wh, "SELECT a FROM t ORDER BY a") == [(1,), (3,)]


def test_each_thread_has_a_session_of_its_own(wh):
    wh.sql("BEGIN; INSERT INTO t VALUES (2); CREATE TEMP TABLE mine (a INT)")
    with pytest.raises(Invalid, match="COMMIT without a transaction"):
        elsewhere(lambda: wh.sql("COMMIT"))
    with pytest.raises(QueryError, match="there is no table 'mine'"):
        elsewhere(lambda: wh.sql("SELECT * FROM mine"))
    wh.sql("COMMIT")


def test_plans_are_shared_by_sessions_whose_temporary_tables_differ(wh):
    first, second, third = wh.session(), wh.session(), wh.session()
    first.sql("CREATE TEMP TABLE x AS SELECT 1 AS a")
    second.sql("CREATE TEMP TABLE x AS SELECT 2 AS a")
    wh.sql("CREATE TABLE x AS SELECT CAST(3 AS INT) AS a")
    for _ in range(3):
        assert [one(who, "SELECT a FROM x") for who in (first, second, third)] == [1, 2, 3]
    first.sql("DROP TABLE x; CREATE TEMP TABLE x AS SELECT 'text' AS b, 4 AS a")
    assert [one(who, "SELECT a FROM x") for who in (first, second, third)] == [4, 2, 3]


# ---- many threads ------------------------------------------------------------------------------------------------


def test_readers_see_whole_commits_while_one_writes(tmp_path):
    look = "SELECT count(*), coalesce(sum(v), 0), (SELECT v FROM total), (SELECT step FROM total) FROM t"
    with Warehouse(tmp_path, slices=2) as wh:
        wh.sql("CREATE TABLE t (n INT, v INT) DISTKEY(n); CREATE TABLE total AS SELECT 0 AS step, 0 AS v")
        done = threading.Event()

        def read():
            steps = [0]
            while not done.is_set():
                ((rows, v, total, step),) = ask(wh, look)
                assert (rows % 250, v) == (0, total)
                assert step >= steps[-1]  # never back in time
                steps.append(step)
            return set(steps)

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read) for _ in range(3)]
            try:
                for step in range(1, 13):
                    with wh.transaction() as tx:
                        tx.append("t", {"n": list(range(500)), "v": [1] * 500})
                        if step % 3 == 2:
                            tx.sql("UPDATE t SET v = 2 WHERE v = 1 AND n < 250")
                        if step % 5 == 4:
                            tx.sql("DELETE FROM t WHERE n >= 250; INSERT INTO t SELECT n + 250, 3 FROM t WHERE v = 1")
                        tx.sql("UPDATE total SET v = (SELECT coalesce(sum(v), 0) FROM t), step = ?", step)
                    if step % 4 == 3:
                        wh.sql("VACUUM")
                        wh.collect(grace=0)
            finally:
                done.set()
            assert set.union(*(reader.result() for reader in readers)) > {0}
        assert wh.verify().ok


def test_writers_in_many_threads_lose_nothing(wh):
    wh.storage.patience = 30

    def write(number):
        for step in range(10):
            if step % 2:
                wh.sql("INSERT INTO u VALUES (?)", number)
            else:
                wh.append("u", [(number,)])

    with ThreadPoolExecutor(4) as pool:
        for written in [pool.submit(write, number) for number in range(4)]:
            written.result()
    assert ask(wh, "SELECT a, count(*) FROM u GROUP BY a ORDER BY a") == [(number, 10) for number in range(4)]


# ---- the end, the lock -------------------------------------------------------------------------------------------


def test_nothing_works_after_close(tmp_path):
    wh = Warehouse(tmp_path)
    session = wh.session()
    wh.sql("CREATE TABLE t AS SELECT 1 AS a; BEGIN; INSERT INTO t VALUES (2)")
    wh.close()
    wh.close()
    for use in (
        lambda: wh.sql("SELECT 1"), lambda: session.sql("SELECT 1"), lambda: wh.explain("SELECT 1"), wh.tables, wh.stats, wh.verify,
        lambda: wh.append("t", [(1,)]), wh.transaction, wh.session, wh.layout, wh.tick, wh.collect, wh.snapshots,
        lambda: wh.snapshot("s"), lambda: wh.drop_snapshot("s"), lambda: wh.attach("x", {"a": [1]}), lambda: wh.table("t"),
        lambda: wh.restore_table("s", "t", "u"),
    ):  # fmt: skip
        with pytest.raises(Closed, match="closed"):
            use()
    assert repr(wh) == "<warehouse, closed>"
    with Warehouse(tmp_path) as wh:
        assert ask(wh, "SELECT a FROM t") == [(1,)]  # what was open was rolled back


def test_a_read_only_warehouse_reads_and_keeps_temporary_tables(tmp_path):
    with Warehouse(tmp_path) as wh:
        wh.sql("CREATE TABLE t AS SELECT 1 AS a")
        with Warehouse(tmp_path, read_only=True) as reader:
            for text in (
                "INSERT INTO t VALUES (2)",
                "CREATE TABLE x (a INT)",
                "DROP TABLE t",
                "VACUUM t",
                "ANALYZE",
                "TRUNCATE t",
            ):
                refused(reader, text, ReadOnly, "read_only=True")
            with pytest.raises(ReadOnly):
                reader.snapshot("s")
            with pytest.raises(ReadOnly):
                reader.append("t", [(1,)])
            reader.sql("CREATE TEMP TABLE x AS SELECT a FROM t")
            wh.sql("INSERT INTO t VALUES (2)")
            assert one(reader, "SELECT count(*) FROM t") == 2  # it follows
            reader.sql("BEGIN; SELECT count(*) FROM t")
            wh.sql("INSERT INTO t VALUES (3)")
            assert ask(reader, "SELECT count(*), (SELECT count(*) FROM x) FROM t") == [(2, 1)]
            reader.sql("COMMIT")
            assert one(reader, "SELECT count(*) FROM t") == 3
    with pytest.raises(NotFound, match="there is no warehouse store at"):
        Warehouse(tmp_path / "none", read_only=True)


def _try_to_open(path, answers):
    try:
        Warehouse(path).close()
        answers.put("opened")
    except Locked as error:
        answers.put(str(error))


def test_a_second_process_finds_the_folder_locked(tmp_path):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    with Warehouse(tmp_path) as wh:
        wh.sql("CREATE TABLE t AS SELECT 1 AS a")
        with pytest.raises(Locked):
            Warehouse(tmp_path)
        process = context.Process(target=_try_to_open, args=(tmp_path, answers))
        process.start()
        assert str(tmp_path) in answers.get(timeout=60)
        process.join()
        assert ask(wh, "SELECT a FROM t") == [(1,)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"nodes": 0}, "nodes"), ({"nodes": True}, "nodes"), ({"slices": 0}, "slices"), ({"memory": 0}, "memory"),
        ({"cache": -1}, "cache"), ({"durability": "never"}, "durability"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(tmp_path, options, says):
    with pytest.raises(Invalid, match=says):
        Warehouse(tmp_path / "w", **options)
    Warehouse(tmp_path / "w").close()  # nothing is held


def test_a_statement_has_a_deadline(wh):
    wh.append("u", {"a": list(range(3000))})
    wh.sql("INSERT INTO u SELECT u.a FROM u, (SELECT a FROM u WHERE a < 60) v")
    with pytest.raises(DeadlinePassed):
        wh.sql("SELECT count(*) FROM u, u AS v WHERE u.a * v.a % 7 = 3", timeout=0.05)
    before = one(wh, "SELECT count(*) FROM u")
    with pytest.raises(DeadlinePassed):
        wh.sql("INSERT INTO u SELECT count(*) FROM u, u AS v WHERE u.a * v.a % 7 = 3", timeout=0.05)
    assert one(wh, "SELECT count(*) FROM u") == before
