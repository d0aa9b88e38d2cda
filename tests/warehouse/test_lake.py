import datetime as dt
import threading

import pytest

from engines.clock import ManualClock
from engines.errors import AlreadyExists, Invalid, NotFound, QueryError
from engines.sql import types
from engines.warehouse.lake import Answer, Lake

duckdb = pytest.importorskip("duckdb")
pa = pytest.importorskip("pyarrow")
import pyarrow.csv  # noqa: E402 - after the skip
import pyarrow.parquet as pq  # noqa: E402 - after the skip

ROWS = 20_000


def sales(count=ROWS):
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "year": pa.array([2020 + i * 5 // count for i in range(count)], pa.int32()),
            "price": pa.array([i * 7919 % 10_007 / 8 for i in range(count)]),
            "note": [f"a note of some length {i * 31 % 977}" for i in range(count)],
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    table = sales()
    for year in range(2020, 2025):
        part = root / "Sales" / f"year={year}"
        part.mkdir(parents=True)
        some = table.filter(pa.compute.equal(table["year"], year)).drop_columns("year")
        pq.write_table(some, part / "a.parquet", row_group_size=1000)
    pq.write_table(table, root / "flat.parquet", row_group_size=1000)
    pyarrow.csv.write_csv(table, root / "plain.csv")
    (root / "events.jsonl").write_text('{"id": 1, "kind": "a"}\n{"id": 2, "kind": null}\n')
    (root / "README.md").write_text("no table")
    (root / "_tmp").mkdir()
    return root


def test_folders_and_files_are_tables_by_their_names(folder):
    lake = Lake(folder)
    assert list(lake.tables()) == ["events", "flat", "plain", "sales"]
    assert [tuple(row) for row in lake.sql("SELECT * FROM EVENTS ORDER BY id").rows()] == [(1, "a"), (2, None)]
    assert lake.sql("SHOW TABLES").rows() == [("events",), ("flat",), ("plain",), ("sales",)]
    assert ("price", "DOUBLE PRECISION") in lake.sql("SHOW COLUMNS FROM TABLE flat").rows()


@pytest.mark.parametrize("table", ["sales", "flat", "plain"])
def test_answers_are_duckdb_s(folder, table):
    query = (
        "SELECT year, count(*), sum(price), min(note), max(id) FROM {} WHERE price > 100 AND year <> 2022"
        " GROUP BY year ORDER BY year"
    )
    expected = duckdb.sql(query.format(f"'{folder}/flat.parquet'")).fetchall()
    assert [tuple(row) for row in Lake(folder).sql(query.format(table)).rows()] == expected


def test_a_query_pays_for_the_columns_folders_and_row_groups_that_it_reads(folder):
    lake = Lake(folder)
    every = lake.sql("SELECT * FROM sales").scanned_bytes
    one_year = lake.sql("SELECT * FROM sales WHERE year = 2021").scanned_bytes
    one_column = lake.sql("SELECT sum(price) FROM sales").scanned_bytes
    both = lake.sql("SELECT sum(price) FROM sales WHERE year = 2021").scanned_bytes
    assert 0 < both < one_column < every
    assert every / 6 < one_year < every / 4
    pruned = lake.sql("SELECT * FROM flat WHERE id < 500")
    assert pruned.stats["blocks_pruned"] == 19
    assert pruned.scanned_bytes < lake.sql("SELECT * FROM flat").scanned_bytes / 10
    size = (folder / "plain.csv").stat().st_size
    assert lake.sql("SELECT sum(price) FROM plain WHERE id < 500").scanned_bytes == size
    meta = pq.ParquetFile(folder / "flat.parquet").metadata
    chunks = [meta.row_group(i).column(2).total_compressed_size for i in range(meta.num_row_groups)]
    assert lake.sql("SELECT sum(price) FROM flat").scanned_bytes == sum(chunks)


def test_the_price_has_a_minimum_and_whole_megabytes(folder):
    answer = Lake(folder).sql("SELECT * FROM plain")
    assert isinstance(answer, Answer)
    assert (answer.billed_bytes, answer.price) == (10_000_000, 5e-05)
    answer = Lake(folder, minimum=0, price_per_terabyte=100).sql("SELECT * FROM plain")
    assert answer.billed_bytes == -(-answer.scanned_bytes // 1_000_000) * 1_000_000
    assert answer.price == pytest.approx(answer.billed_bytes / 1e12 * 100)
    assert Lake(folder).sql("SELECT 1").price == 0
    assert Lake(folder).sql("EXPLAIN SELECT * FROM plain").price == 0


def test_the_bill_lists_the_queries(folder):
    lake = Lake(folder, clock=ManualClock())
    lake.sql("SELECT count(*) FROM events; SELECT 1")
    lake.sql("SELECT * FROM flat WHERE id = ?", 7)
    bill = lake.bill()
    assert list(bill.columns["query"]) == ["SELECT count(*) FROM events", "SELECT 1", "SELECT * FROM flat WHERE id = ?"]
    assert list(bill.columns["rows"]) == [1, 1, 1]
    assert bill.stats == {"queries": 3, "price": "0.00010000 $"}


def test_it_shows_in_a_notebook(folder):
    lake = Lake(folder)
    assert "sales" in lake._repr_html_()
    shown = lake.sql("SELECT id, note FROM flat LIMIT 3")._repr_html_()
    assert "bytes_scanned" in shown
    assert "price 0.00005000 $" in shown
    assert "4 tables" in repr(lake)


def test_new_files_are_seen_and_new_columns_after_a_refresh(tmp_path):
    (tmp_path / "t").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t" / "1.parquet")
    lake = Lake(tmp_path)
    assert lake.sql("SELECT * FROM t").rows() == [(1,)]
    pq.write_table(pa.table({"a": [2], "b": ["x"]}), tmp_path / "t" / "2.parquet")
    assert lake.sql("SELECT * FROM t").rows() == [(1,), (2,)]
    lake.refresh()
    assert lake.sql("SELECT * FROM t").rows() == [(1, None), (2, "x")]
    pq.write_table(pa.table({"c": [2]}), tmp_path / "u.parquet")
    assert lake.sql("SELECT * FROM u").rows() == [(2,)]


def test_tables_are_declared_changed_and_dropped(folder, tmp_path):
    lake = Lake(folder)
    lake.sql(
        f"CREATE EXTERNAL TABLE s (id INT, price DOUBLE PRECISION) PARTITIONED BY (y INT) STORED AS PARQUET"
        f" LOCATION '{folder}/Sales'"
    )
    lake.sql(f"ALTER TABLE s ADD PARTITION (y=1) LOCATION '{folder}/Sales/year=2020'")
    assert lake.sql("SELECT y, count(*) FROM s GROUP BY y").rows() == [(1, 4000)]
    lake.sql("CREATE VIEW v AS SELECT id FROM s WHERE price > 1000")
    assert len(lake.sql("SELECT * FROM v")) == len(lake.sql("SELECT * FROM s WHERE price > 1000")) > 0
    lake.sql("ALTER TABLE s DROP PARTITION (y=1)")
    assert lake.sql("SELECT count(*) FROM v").rows() == [(0,)]
    lake.sql("DROP VIEW v; DROP TABLE s; DROP TABLE IF EXISTS s")
    for text, error, message in (
        ("SELECT * FROM v", QueryError, "no table 'v'"),
        ("DROP TABLE flat", NotFound, "what lies in the folder"),
        ("ALTER TABLE flat ADD PARTITION (y=1)", NotFound, "no declared table"),
        ("CREATE TABLE t (a int)", QueryError, "a lake does not know this statement"),
        ("DELETE FROM flat", QueryError, "not supported"),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1", Invalid, "stores no rows"),
        ("", QueryError, "no statement"),
    ):
        with pytest.raises(error, match=message):
            lake.sql(text)


def test_tables_may_be_passed_by_name(folder, tmp_path):
    (tmp_path / "x.tbl").write_text("1;b\n")
    places = {"Flat": f"{folder}/flat.parquet", "parts": f"{folder}/Sales/*/a.parquet"}
    lake = Lake({**places, "mine": pa.table({"id": [3, 5]})})
    columns = {"n": types.INTEGER, "t": types.VARCHAR}
    lake.external_table("x", tmp_path / "x.tbl", format="text", columns=columns, delimiter=";")
    assert lake.sql("SELECT count(*) FROM flat JOIN mine USING (id)").rows() == [(2,)]
    assert lake.sql("SELECT count(*) FROM parts").rows() == [(ROWS,)]
    assert lake.sql("SELECT * FROM x").rows() == [(1, "b")]
    with pytest.raises(AlreadyExists):
        lake.attach("FLAT", pa.table({"a": [1]}))
    with pytest.raises(Invalid, match="is no table"):
        lake.attach("y", 5)
    with pytest.raises(NotFound, match="did you mean 'flat'"):
        lake.table("flatt")


def test_results_are_kept_as_csv_where_output_says(folder, tmp_path):
    lake = Lake(folder, output=tmp_path / "results")
    lake.sql("SELECT id, kind FROM events ORDER BY id")
    (file,) = (tmp_path / "results").iterdir()
    assert file.read_text() == '"id","kind"\n"1","a"\n"2",""\n'


def test_unload_writes_what_a_query_gives(folder, tmp_path):
    lake = Lake(folder)
    done = lake.sql(f"UNLOAD ('SELECT id, year FROM flat WHERE id < 10') TO '{tmp_path}/o' PARQUET PARTITION BY (year)")
    assert len(done) == 1
    assert pq.read_table(f"{tmp_path}/o").num_rows == 10


def test_many_threads_share_a_lake(folder):
    lake = Lake(folder)
    found = []

    def ask():
        found.append(lake.sql("SELECT sum(id) FROM sales WHERE year = 2023").rows()[0][0])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [sum(range(12_000, 16_000))] * 8
    assert len(lake.history) == 8


def test_what_is_no_lake(folder, tmp_path):
    with pytest.raises(NotFound, match="a lake lies in one"):
        Lake(tmp_path / "nowhere")
    with pytest.raises(Invalid, match="neither is negative"):
        Lake(folder, minimum=-1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="no data file"):
        Lake(tmp_path).sql("SELECT * FROM empty")
    (tmp_path / "bad.parquet").write_text("nothing of this kind")
    with pytest.raises(Invalid, match="cannot be read as parquet"):
        Lake(tmp_path).sql("SELECT * FROM bad")


def test_dates_of_folders_are_dates(tmp_path):
    for day in ("2024-01-01", "2024-01-02"):
        part = tmp_path / "t" / f"day={day}"
        part.mkdir(parents=True)
        pq.write_table(pa.table({"a": [1]}), part / "x.parquet")
    answer = Lake(tmp_path).sql("SELECT day FROM t WHERE day > DATE '2024-01-01'")
    assert answer.rows() == [(dt.date(2024, 1, 2),)]
