import bz2
import datetime as dt
import decimal
import errno
import gzip
import json
import os

import pytest
import zstandard
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem

from engines.errors import AlreadyExists, Invalid, ReadOnly
from engines.sql.engine import SQL, MemoryCatalog
from engines.warehouse.catalog import ColumnDefinition
from engines.warehouse.load import load
from engines.warehouse.statements.grammar import read
from engines.warehouse.statements.reader import split
from engines.warehouse.storage import Storage
from engines.warehouse.unload import unload

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402 - after the skip

D = decimal.Decimal
ROWS = pa.table(
    {
        "n": pa.array([1, 2, None], pa.int32()),
        "text": ['a|b "c" \\ ü', "", None],
        "price": pa.array([D("1.50"), D("-0.05"), None], pa.decimal128(8, 2)),
        "day": [dt.date(2024, 2, 29), None, dt.date(1, 1, 1)],
        "at": pa.array([1_704_164_645_600_000, None, -86_400_000_000], pa.int64()).cast(pa.timestamp("us")),
        "x": [0.1, float("nan"), None],
        "yes": [True, False, None],
    }
)


def select(text="SELECT * FROM t", table=ROWS):
    return SQL(MemoryCatalog({"t": table})).query(text)


def write(to, how="", *, query="SELECT * FROM t", table=ROWS, **options):
    text = f"UNLOAD ('{query}') TO '{to}' {how}"
    (tokens,) = split(text)
    record = read(text, tokens)
    found = select(record.query, table)
    return unload(record, found.described, found.batches(), progress=False, **options)


def content(path):
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


# ---- what the files hold -----------------------------------------------------------------------------------------


def test_text_has_a_bar_between_fields_and_nothing_for_null(tmp_path):
    done = write(f"{tmp_path}/out_")
    assert done.files == (f"{tmp_path}/out_0000_part_00",)
    assert done.rows == 3
    assert content(done.files[0]).splitlines() == [
        '1|a|b "c" \\ ü|1.50|2024-02-29|2024-01-02 03:04:05.6|0.1|t',
        "2||-0.05|||NaN|f",
        "|||0001-01-01|1969-12-31 00:00:00||",
    ]
    assert done.bytes == os.path.getsize(done.files[0])


def test_text_with_header_delimiter_nulls_escapes_and_quotes(tmp_path):
    done = write(tmp_path, "HEADER DELIMITER ';' NULL AS '-' ESCAPE ADDQUOTES", query="SELECT n, text FROM t")
    assert content(done.files[0]).splitlines() == [
        '"n";"text"',
        '"1";"a|b \\"c\\" \\\\ ü"',
        '"2";""',
        '"-";"-"',
    ]


def test_csv_has_quotes_where_they_are_needed(tmp_path):
    done = write(tmp_path, "CSV HEADER PARALLEL OFF", query="SELECT text, n FROM t")
    assert [os.path.basename(path) for path in done.files] == ["000.csv"]
    assert content(done.files[0]) == 'text,n\n"a|b ""c"" \\ ü",1\n,2\n,\n'.replace(
        '"a|b ""c"" \\ ü"', '"a|b ""c"" \\ ü"'
    )


def test_csv_has_quotes_around_a_carriage_return(tmp_path):
    done = write(tmp_path, "CSV PARALLEL OFF", table=pa.table({"a": ["x\ry", "z"], "b": [1, 2]}))
    with open(done.files[0], "rb") as file:
        assert file.read() == b'"x\ry",1\nz,2\n'


@pytest.mark.parametrize("scale", [0, 1, 6, 7, 18])
def test_decimals_have_all_their_places_and_no_exponent(tmp_path, scale):
    values = [0, 1, -1, 10**18 - 1, -(10**17), 10**18 + 5]
    table = pa.table({"d": pa.array([D(value).scaleb(-scale) for value in values], pa.decimal128(38, scale))})
    done = write(f"{tmp_path}/", "CSV", table=table)
    expected = [f"{D(value).scaleb(-scale):.{scale}f}" for value in values]
    assert content(done.files[0]).splitlines() == expected


def test_json_has_an_object_a_row(tmp_path):
    done = write(tmp_path, "JSON")
    found = [json.loads(line, parse_float=D) for line in content(done.files[0]).splitlines()]
    assert found[0] == {
        "n": 1,
        "text": 'a|b "c" \\ ü',
        "price": D("1.50"),
        "day": "2024-02-29",
        "at": "2024-01-02 03:04:05.6",
        "x": D("0.1"),
        "yes": True,
    }
    assert (found[1]["x"], found[1]["text"], found[2]["text"]) == ("NaN", "", None)


def test_parquet_is_what_pyarrow_reads(tmp_path):
    done = write(tmp_path, "PARQUET", query="SELECT n, text, price, day, at, yes FROM t")
    assert pq.read_table(done.files[0]).to_pylist() == ROWS.drop_columns("x").to_pylist()


@pytest.mark.parametrize(
    ("option", "suffix", "unpack"),
    [
        ("GZIP", ".gz", gzip.decompress),
        ("ZSTD", ".zst", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
        ("BZIP2", ".bz2", bz2.decompress),
    ],
)
def test_compressed(tmp_path, option, suffix, unpack):
    done = write(tmp_path, f"CSV {option}", query="SELECT n FROM t")
    with open(done.files[0], "rb") as file:
        assert unpack(file.read()) == b'1\n2\n""\n'
    assert done.files[0].endswith(f".csv{suffix}")


@pytest.mark.parametrize(
    ("out", "into"),
    [
        ("PARQUET", "PARQUET"),
        ("CSV NULL AS '~'", "CSV NULL AS '~'"),
        ("CSV HEADER GZIP DELIMITER '%'", "CSV IGNOREHEADER 1 DELIMITER '%' EMPTYASNULL"),
        ("DELIMITER '|' ESCAPE NULL AS '~' ZSTD", "DELIMITER '|' ESCAPE NULL AS '~' ZSTD"),
        ("JSON MANIFEST", "JSON MANIFEST"),
        ("PARQUET PARTITION BY (k, day)", "PARQUET"),
    ],
)
def test_copy_reads_back_what_was_unloaded(tmp_path, out, into):
    count = 70_000
    table = pa.table(
        {
            "i": pa.array(range(count), pa.int64()),
            "k": pa.array([None if i % 5 == 4 else f"k {i % 5}/ü" for i in range(count)]),
            "t": [None if i % 7 == 0 else f'line\n{i} "x" \\ | % , ~x' for i in range(count)],
            "c": [f"x\r{i}" for i in range(count)],
            "p": pa.array([D(i * 7919 % 1_000_003) / 100 for i in range(count)], pa.decimal128(12, 2)),
            "day": [dt.date(2024, 1, 1 + i % 3) for i in range(count)],
            "x": [i / 7 for i in range(count)],
        }
    )
    done = write(f"{tmp_path}/o/", out, table=table)
    assert done.rows == count
    source = select(table=table)
    storage = Storage()
    copy = f"COPY t FROM '{done.manifest or f'{tmp_path}/o'}' {into}"
    (tokens,) = split(copy)
    with storage.begin() as tx:
        tx.create_table("t", [ColumnDefinition(name, kind) for name, _, kind in source.described])
        assert load(tx, "t", read(copy, tokens), progress=False).rows == count
    back = SQL(MemoryCatalog({"t": storage.table("t")})).query("SELECT * FROM t ORDER BY i")
    assert back.to_arrow().equals(source.to_arrow())


# ---- which files -------------------------------------------------------------------------------------------------


def test_partitions_lie_in_folders_without_their_columns(tmp_path):
    table = pa.table({"a": [1, 2, 3, 4], "k": ["x", "y", None, "a/b"], "y": [1, 1, 2, 2]})
    done = write(f"{tmp_path}/s", "CSV PARTITION BY (y, k)", table=table)
    names = [os.path.relpath(path, tmp_path / "s") for path in done.files]
    assert names == [
        "y=1/k=x/0000_part_00.csv",
        "y=1/k=y/0000_part_00.csv",
        "y=2/k=__HIVE_DEFAULT_PARTITION__/0000_part_00.csv",
        "y=2/k=a%2Fb/0000_part_00.csv",
    ]
    assert [content(path) for path in done.files] == ["1\n", "2\n", "3\n", "4\n"]
    done = write(f"{tmp_path}/i", "CSV PARTITION BY (y) INCLUDE", table=table, query="SELECT y, a FROM t")
    assert content(done.files[0]) == "1,1\n1,2\n"


def test_more_partitions_than_files_that_are_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("engines.warehouse.unload.MOST_OPEN", 3)
    table = pa.table({"a": list(range(40)), "k": [i % 8 for i in range(40)]})
    write(f"{tmp_path}/s", "PARQUET PARTITION BY (k)", table=table)
    found = pq.read_table(f"{tmp_path}/s").to_pylist()
    assert sorted((row["a"], int(row["k"])) for row in found) == [(i, i % 8) for i in range(40)]


def test_files_are_full_at_maxfilesize(tmp_path):
    table = pa.table({"t": [f"{i:0100}" for i in range(200_000)]})
    done = write(f"{tmp_path}/", "MAXFILESIZE 5 MB", table=table)
    sizes = [os.path.getsize(path) for path in done.files]
    assert sum(sizes) == done.bytes == 200_000 * 101
    assert len(sizes) == 4
    assert [os.path.basename(path) for path in done.files][-1] == "0000_part_03"


def test_no_rows_make_one_empty_file(tmp_path):
    done = write(f"{tmp_path}/", "CSV HEADER", query="SELECT n FROM t WHERE n > 5")
    assert [content(path) for path in done.files] == ["n\n"]
    done = write(f"{tmp_path}/p", "PARQUET", query="SELECT n FROM t WHERE n > 5")
    assert pq.read_table(done.files[0]).num_rows == 0


def test_a_manifest_lists_the_files(tmp_path):
    done = write(f"{tmp_path}/m_", "CSV MANIFEST")
    assert done.manifest == f"{tmp_path}/m_manifest"
    (entry,) = json.loads(content(done.manifest))["entries"]
    assert entry["url"] == done.files[0]
    assert entry["meta"]["content_length"] == os.path.getsize(done.files[0])


def test_files_that_are_there_are_not_written_over_unless_it_is_said(tmp_path):
    write(f"{tmp_path}/a", "CSV", query="SELECT n FROM t")
    (tmp_path / "a_other").write_text("kept")
    with pytest.raises(AlreadyExists, match="ALLOWOVERWRITE or CLEANPATH"):
        write(f"{tmp_path}/a", "CSV", query="SELECT 1")
    done = write(f"{tmp_path}/a", "CSV ALLOWOVERWRITE", query="SELECT 2")
    assert content(done.files[0]) == "2\n"
    assert (tmp_path / "a_other").exists()
    done = write(f"{tmp_path}/a", "CSV CLEANPATH PARALLEL OFF", query="SELECT 3")
    assert os.listdir(tmp_path) == ["a000.csv"]
    write(f"{tmp_path}/b", "CSV", query="SELECT 4")


def test_cleanpath_cleans_only_the_partitions_that_are_written(tmp_path):
    table = pa.table({"a": [1, 2], "k": [1, 2]})
    write(f"{tmp_path}/s", "CSV PARTITION BY (k)", table=table)
    write(
        f"{tmp_path}/s", "CSV PARTITION BY (k) CLEANPATH PARALLEL OFF", table=table, query="SELECT * FROM t WHERE k = 2"
    )
    found = sorted(
        os.path.relpath(os.path.join(folder, name), tmp_path)
        for folder, _, names in os.walk(tmp_path)
        for name in names
    )
    assert found == ["s/k=1/0000_part_00.csv", "s/k=2/000.csv"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("PARQUET GZIP", "GZIP is no option of PARQUET"),
        ("CSV ESCAPE", "ESCAPE is no option of CSV"),
        ("JSON HEADER", "HEADER is no option of JSON"),
        ("CSV GZIP ZSTD", "one way"),
        ("CSV ALLOWOVERWRITE CLEANPATH", "say one of them"),
        ("CSV MAXFILESIZE 1 MB", "from 5 MB to 6.2 GB"),
        ("CSV DELIMITER 'xy'", "one ASCII character"),
        ("CSV PARTITION BY (prise)", "did you mean 'price'"),
        ("ORC", "not 'orc'"),
    ],
)
def test_options_that_make_no_sense(tmp_path, how, message):
    with pytest.raises(Invalid, match=message):
        write(f"{tmp_path}/x", how)
    assert not os.listdir(tmp_path)


def test_partitions_of_all_columns_leave_nothing_for_the_files(tmp_path):
    with pytest.raises(Invalid, match="INCLUDE"):
        write(f"{tmp_path}/x", "CSV PARTITION BY (n)", query="SELECT n FROM t")


# ---- the disk ----------------------------------------------------------------------------------------------------


def test_a_full_disk_or_a_query_that_fails_leaves_no_file(tmp_path):
    def failing():
        yield from select().batches()
        raise Invalid("the query fails")

    found = select()
    with pytest.raises(Invalid, match="the query fails"):
        unload({"format": "csv"}, found.described, failing(), to=f"{tmp_path}/x", progress=False)
    assert not os.listdir(tmp_path)
    for how in ("CSV PARTITION BY (n)", "PARQUET", "JSON GZIP MANIFEST"):
        n = 0
        while True:
            n += 1
            inner = RecordingFileSystem()
            inner.mkdir("/o")
            full = FailingFileSystem(inner, n, errno.ENOSPC)
            try:
                done = write("/o/x/", how, files=full)
            except ReadOnly as error:
                assert error.code == "disk-full"  # noqa: PT017 - the loop ends without one
                if full.failed[0] not in {"rename", "fsync_dir"}:
                    assert not [name for name in tree(inner, "/o") if not name.endswith(".tmp")], (how, n)
                continue
            if not full.failed or full.failed == ["unlink"]:
                break
        assert set(done.files) <= set(tree(inner, "/o"))


def tree(files, folder):
    found = []
    for name in files.listdir(folder):
        path = f"{folder}/{name}"
        found += tree(files, path) if files.is_directory(path) else [path]
    return found
