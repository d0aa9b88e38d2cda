import datetime as dt
import decimal

import pytest

from engines.errors import AlreadyExists, Invalid, NotFound
from engines.sql import types
from engines.sql.engine import SQL, MemoryCatalog
from engines.warehouse import external
from engines.warehouse.statements.grammar import read
from engines.warehouse.statements.reader import split
from engines.warehouse.storage import Storage

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402 - after the skip

D = decimal.Decimal


def define(text):
    (tokens,) = split(text)
    return external.define(read(text, tokens))


def rows(table, query="SELECT * FROM t"):
    found = SQL(MemoryCatalog({"t": external.source("t", table)})).query(query)
    return [tuple(row) for row in found.rows()]


@pytest.fixture
def sales(tmp_path):
    """year=2023, 2024, two rows each; ids 0 to 3."""
    for year in (2023, 2024):
        folder = tmp_path / f"year={year}"
        folder.mkdir()
        first = (year - 2023) * 2
        columns = {"id": pa.array([first, first + 1], pa.int32()), "total": [D("1.50"), D("2.25")]}
        pq.write_table(pa.table(columns), folder / "a.parquet")
    return tmp_path


def test_a_declared_table_has_its_columns_and_those_of_its_folders(sales):
    table = define(
        f"CREATE EXTERNAL TABLE s.t (id BIGINT, total DECIMAL(12,2), more VARCHAR) PARTITIONED BY (year INT)"
        f" STORED AS PARQUET LOCATION '{sales}'"
    )
    assert (table.format, table.partitioning) == ("parquet", "hive")
    assert rows(table)[2:] == [(2, D("1.50"), None, 2024), (3, D("2.25"), None, 2024)]
    assert rows(table, "SELECT sum(id) FROM t WHERE year = 2023") == [(1,)]
    (sales / "year=2025").mkdir()
    (sales / "year=2025" / "b.parquet").write_bytes((sales / "year=2024" / "a.parquet").read_bytes())
    assert rows(table, "SELECT count(*) FROM t WHERE year = 2025") == [(2,)]


def test_columns_may_come_from_the_files(sales):
    table = external.external_table(sales)
    assert rows(table, "SELECT id, year FROM t ORDER BY id") == [(0, 2023), (1, 2023), (2, 2024), (3, 2024)]
    flat = external.external_table(sales, partitioning=None)
    assert rows(flat, "SELECT * FROM t WHERE id = 3") == [(3, D("2.25"))]


def test_text_files_have_the_service_s_defaults_and_properties(tmp_path):
    (tmp_path / "a.tbl").write_text("1|x|2024-01-31\n2||\\N\n|\\N|\n")
    columns = "(a INT, b VARCHAR, c DATE)"
    table = define(f"CREATE EXTERNAL TABLE t {columns} STORED AS TEXTFILE LOCATION '{tmp_path}'")
    assert rows(table) == [(1, "x", dt.date(2024, 1, 31)), (2, "", None), (None, None, None)]
    (tmp_path / "a.tbl").write_text("a;b;c\n1;-;2024-01-31\n")
    table = define(
        f"CREATE EXTERNAL TABLE t {columns} ROW FORMAT DELIMITED FIELDS TERMINATED BY ';' STORED AS TEXTFILE"
        f" LOCATION '{tmp_path}' TABLE PROPERTIES ('skip.header.line.count'='1', 'serialization.null.format'='-',"
        " 'numRows'='1')"
    )
    assert rows(table) == [(1, None, dt.date(2024, 1, 31))]
    (tmp_path / "a.tbl").write_text('1,"x,""y""",\n')
    table = define(f"CREATE EXTERNAL TABLE t {columns} STORED AS CSV LOCATION '{tmp_path}'")
    assert rows(table) == [(1, 'x,"y"', None)]
    (tmp_path / "a.tbl").write_text('{"b": "x", "a": 1}\n{"c": "2024-01-31"}\n')
    table = define(f"CREATE EXTERNAL TABLE t {columns} STORED AS JSON LOCATION '{tmp_path}'")
    assert rows(table) == [(1, "x", None), (None, None, dt.date(2024, 1, 31))]


def test_a_declared_table_without_files_has_no_rows(tmp_path):
    text = f"CREATE EXTERNAL TABLE t (a INT) STORED AS PARQUET LOCATION '{tmp_path}/later'"
    table = define(text)
    assert rows(table) == []
    (tmp_path / "later").mkdir()
    pq.write_table(pa.table({"a": pa.array([5], pa.int32())}), tmp_path / "later" / "x.parquet")
    assert rows(table) == [(5,)]
    with pytest.raises(NotFound, match="no data file"):
        external.source("t", external.external_table(tmp_path / "never"))


def test_partitions_that_are_added_are_those_of_the_table(sales, tmp_path):
    table = define(
        f"CREATE EXTERNAL TABLE t (id INT) PARTITIONED BY (Year INT, kind VARCHAR) STORED AS PARQUET LOCATION '{sales}'"
    )
    added = external.add_partition(table, {"year": "1999", "kind": "old"}, f"{sales}/year=2023")
    added = external.add_partition(added, {"kind": None, "year": "2001"}, f"file://{sales}/year=2024")
    assert rows(added) == [(0, 1999, "old"), (1, 1999, "old"), (2, 2001, None), (3, 2001, None)]
    assert rows(added, "SELECT id FROM t WHERE kind IS NULL AND year > 2000") == [(2,), (3,)]
    with pytest.raises(AlreadyExists, match="this partition already"):
        external.add_partition(added, {"year": "1999", "kind": "old"}, str(sales))
    assert external.add_partition(added, {"year": "1999", "kind": "old"}, "x", if_not_exists=True) is added
    dropped = external.drop_partition(added, {"year": "1999", "kind": "old"})
    assert rows(dropped) == [(2, 2001, None), (3, 2001, None)]
    for change, message in (
        (lambda: external.drop_partition(dropped, {"year": "1999", "kind": "old"}), "has no partition"),
        (lambda: external.drop_partition(table, {"year": "1", "kind": "a"}), "come and go by themselves"),
        (lambda: external.add_partition(table, {"year": "1"}, None), "a value for each of year, kind"),
        (lambda: external.add_partition(external.external_table(sales), {"a": "1"}, None), "has no partitions"),
    ):
        with pytest.raises((Invalid, NotFound), match=message):
            change()
    wrong = external.add_partition(table, {"year": "x", "kind": "old"}, f"{sales}/year=2023")
    with pytest.raises(Invalid, match="year=x"):
        rows(wrong)


def test_the_catalogue_keeps_external_tables(sales, tmp_path):
    path = tmp_path / "warehouse"
    table = define(
        f"CREATE EXTERNAL TABLE s.t (id BIGINT) PARTITIONED BY (year INT) STORED AS PARQUET LOCATION '{sales}'"
    )
    with Storage(path) as storage, storage.begin() as tx:
        tx.put_external("s.t", table)
        with pytest.raises(AlreadyExists):
            tx.put_external("s.t", table)
        tx.put_external("s.t", external.add_partition(table, {"year": "7"}, f"{sales}/year=2024"), replace=True)
    with Storage(path) as storage:
        assert rows(storage.view().root.external["s.t"]) == [(2, 7), (3, 7)]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"location": ""}, Invalid, "LOCATION is empty"),
        ({"location": "s3://b/x"}, Invalid, "not at s3://"),
        ({"location": "x", "format": "parket"}, Invalid, "did you mean 'parquet'"),
        ({"location": "x", "partitioning": "directory"}, Invalid, "hive or none"),
        ({"location": "x", "options": {"delimiters": ","}}, Invalid, "did you mean 'delimiter'"),
        ({"location": "x", "options": {"delimiter": ",,"}}, Invalid, "one ASCII character"),
        ({"location": "x", "options": {"skip.header.line.count": "two"}}, Invalid, "a number of lines"),
        (
            {"location": "x", "columns": [("a", types.INTEGER)], "partitions": [("A", types.INTEGER)]},
            AlreadyExists,
            "no two columns",
        ),
    ],
)
def test_what_no_external_table_can_be(given, error, message):
    with pytest.raises(error, match=message):
        external.external_table(**given)


def test_files_that_do_not_fit_name_file_and_column(sales):
    table = define(f"CREATE EXTERNAL TABLE t (id DATE) PARTITIONED BY (year INT) STORED AS PARQUET LOCATION '{sales}'")
    with pytest.raises(Invalid, match=r"column 'id' of .*a.parquet' is INTEGER, declared is DATE"):
        rows(table)
    (sales / "year=2024" / "a.parquet").write_bytes(b"PAR1 no, it is not PAR1")
    with pytest.raises(Invalid, match="cannot be read as parquet"):
        rows(external.external_table(sales, columns=[("id", types.INTEGER)], format="parquet"))


def test_bounds_of_moments_beyond_our_years_leave_out_nothing(tmp_path):
    columns = {"a": pa.array([2**64 // 1000], pa.timestamp("ms")), "d": pa.array([10**7], pa.date32())}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    table = external.external_table(tmp_path)
    assert rows(table, "SELECT count(*) FROM t WHERE d > '2020-01-01'") == [(1,)]
    with pytest.raises(Invalid, match="do not hold"):
        rows(table, "SELECT a FROM t")
