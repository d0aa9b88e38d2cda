"""UNLOAD: a query's rows as files of Parquet, which others can read."""

import json

import numpy as np
import pytest

from engines.clock import ManualClock
from engines.errors import AlreadyExists, Invalid, NotFound, QueryError
from engines.timeseries.engine import TimeSeries

pytest.importorskip("pyarrow")

START = 1_767_225_600 * 10**9  # 2026-01-01
MINUTE = 60 * 10**9


@pytest.fixture
def db():
    with TimeSeries(clock=ManualClock(START // 1000 + 3600 * 10**6)) as opened:
        cpu = opened.create_table("cpu")
        for number, host in enumerate(("a", "b/c")):
            times = START + MINUTE * np.arange(50) + number
            cpu.write(times, {"host": host}, {"x": np.arange(50) / 4 + number, "n": np.arange(50)})
        cpu.write(START + 5, {}, {"x": 7.5})
        yield opened


def read(path):
    import pyarrow.parquet  # noqa: PLC0415 - an extra

    return pyarrow.parquet.read_table(path, partitioning=None)


def test_rows_and_types_survive(db, tmp_path):
    done = db.sql(f"UNLOAD (SELECT host, time, x, n FROM cpu ORDER BY time) TO '{tmp_path}/out'")
    assert [(row.file, row.rows) for row in done] == [(f"{tmp_path}/out/part-00000.parquet", 101)]
    assert done[0].bytes == (tmp_path / "out/part-00000.parquet").stat().st_size
    found = read(tmp_path / "out/part-00000.parquet")
    wanted = db.sql("SELECT host, time, x, n FROM cpu ORDER BY time").to_arrow()
    assert found.equals(wanted.cast(found.schema))
    assert str(found.schema.field("time").type).startswith("timestamp[ns")


def test_partitions_are_folders(db, tmp_path):
    db.sql(f"UNLOAD (SELECT time, host, x FROM cpu ORDER BY time) TO '{tmp_path}/out' "
           "WITH (partitioned_by = ARRAY['host'], compression = 'gzip')")  # fmt: skip
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["host=__HIVE_DEFAULT_PARTITION__", "host=a", "host=b%2Fc", "manifest.json"]
    found = read(tmp_path / "out/host=b%2Fc/part-00000.parquet")
    assert found.column_names == ["time", "x"]
    assert found.column("x").to_pylist() == [number / 4 + 1 for number in range(50)]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert sum(entry["rows"] for entry in manifest["files"]) == 101
    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(f"SELECT count(*), count(host) FROM read_parquet('{tmp_path}/out/**/*.parquet')").fetchall()
    assert rows == [(101, 100)]


def test_two_columns_of_partitions(db, tmp_path):
    done = db.sql(f"UNLOAD (SELECT n % 2 AS odd, host, x FROM cpu WHERE n < 4) TO '{tmp_path}/out' "
                  "WITH (partitioned_by = ARRAY['odd', 'host'])")  # fmt: skip
    assert sorted(row.file.removeprefix(f"{tmp_path}/out/")[:12] for row in done) == [
        "odd=0/host=a", "odd=0/host=b", "odd=1/host=a", "odd=1/host=b",
    ]  # fmt: skip
    assert [row.rows for row in done] == [2, 2, 2, 2]


def test_parameters_and_parentheses_inside_are_the_query_s(db, tmp_path):
    done = db.sql(f"UNLOAD (SELECT (x) FROM cpu WHERE n IN (1, ?)) TO '{tmp_path}/out/'", [2])
    assert done[0].rows == 4


def test_no_rows_are_a_file_too(db, tmp_path):
    done = db.sql(f"UNLOAD (SELECT x FROM cpu WHERE x < 0) TO '{tmp_path}/out'")
    assert [row.rows for row in done] == [0]
    assert read(tmp_path / "out/part-00000.parquet").column_names == ["x"]


@pytest.mark.parametrize(
    ("rest", "error", "words"),
    [
        ("(SELECT x FROM cpu)", QueryError, "TO is missing"),
        ("SELECT x FROM cpu TO 'out'", QueryError, r"\( is expected"),
        ("(SELECT x FROM cpu TO 'out'", QueryError, "not closed"),
        ("(SELECT x FROM cpu) TO ''", QueryError, "names a folder"),
        ("(SELECT x FROM cpu) TO 'out' WITH (partition_by = ARRAY['x'])", QueryError, "partitioned_by"),
        ("(SELECT x FROM cpu) TO 'out' WITH (compression = 'LZMA')", QueryError, "'ZSTD'"),
        ("(SELECT x FROM cpu) TO 'out' WITH (format = 'CSV')", QueryError, "'PARQUET'"),
        ("(SELECT x FROM cpu) TO 'out' WITH (format = 'PARQUET') now", QueryError, "not expected"),
        ("(SELECT x FROM cpu) TO 'out' WITH (partitioned_by = ARRAY['y'])", Invalid, "'y'"),
        ("(SELECT x FROM cpu) TO 'out' WITH (partitioned_by = ARRAY['x'])", Invalid, "all columns"),
        ("(SELECT x, n FROM cpu) TO 'out' WITH (partitioned_by = ARRAY['x', 'x'])", QueryError, "twice"),
        ("(SELECT x FROM cpu) TO 'no/where'", NotFound, "does not exist"),
        ("(SELECT x FROM cpu) TO 'full'", AlreadyExists, "not empty"),
        ("(SELECT x FROM cpu) TO 'full/file'", Invalid, "is a file"),
    ],
)
def test_what_makes_no_sense_is_refused(  # noqa: PLR0917 - a case, and three fixtures
    db, tmp_path, monkeypatch, rest, error, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(error, match=words):
        db.sql(f"UNLOAD {rest}")
    assert not (tmp_path / "out").exists()


def test_an_error_in_the_query_stands_at_its_place_in_the_text(db, tmp_path):
    with pytest.raises(QueryError) as caught:
        db.sql(f"UNLOAD (\n  SELECT y FROM cpu) TO '{tmp_path}/out'")
    assert "line 2, column 10" in str(caught.value)
