import bz2
import datetime as dt
import decimal
import gzip
import os
import pickle

import pytest
import zstandard

from engines.errors import Invalid, NotFound
from engines.sql import types
from engines.sql.datasets import DatasetSource
from engines.sql.source import Field, Predicate, Scanned, Support
from engines.sql.values import python_values

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402 - after the skip
from pyarrow import orc  # noqa: E402 - after the skip

D = decimal.Decimal
START = 1_704_110_400  # noon of the first day of 2024


def rows(source, columns, predicates=(), scanned=None):
    """The rows of a table as Python's values; partitions and their origins travel as bytes."""
    scanned = scanned or Scanned()
    found = []
    for partition in source.partitions(predicates, scanned):
        travelled = pickle.loads(pickle.dumps(partition))  # noqa: S301 - its own bytes
        for batch in source.scan(travelled, columns, predicates, scanned):
            values = [python_values(batch.column(name), batch.rows) for name in columns]
            found += zip(*values, strict=True) if columns else [()] * batch.rows
    return found


def table(start, stop):
    numbers = range(start, stop)
    return pa.table(
        {
            "n": pa.array(numbers, pa.int32()),
            "text": pa.array([None if n % 5 == 0 else f"word {n % 3}" for n in numbers]),
            "price": pa.array([D(n) / 4 for n in numbers], pa.decimal128(12, 2)),
            "day": pa.array([dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in numbers]),
            "at": pa.array([(START + n * 3600) * 1000 for n in numbers], pa.int64()).cast(pa.timestamp("ms")),
            "x": pa.array([n / 2 for n in numbers]),
            "yes": pa.array([n % 2 == 0 for n in numbers]),
            "list": pa.array([list(range(n % 3)) for n in numbers], pa.list_(pa.int64())),
        }
    )


@pytest.fixture
def tree(tmp_path):
    """year=2023/2024, month=1..3: 100 rows each, in row groups of 25."""
    start = 0
    for year in (2023, 2024):
        for month in (1, 2, 3):
            folder = tmp_path / "sales" / f"year={year}" / f"month={month}"
            folder.mkdir(parents=True)
            pq.write_table(table(start, start + 100), folder / "part.parquet", row_group_size=25)
            start += 100
    (tmp_path / "sales" / "_SUCCESS").write_text("")
    return str(tmp_path / "sales")


def test_every_column_of_every_file_comes_as_it_is(tree):
    source = DatasetSource("sales", tree)
    names = ["n", "text", "price", "day", "at", "x", "yes", "list", "year", "month"]
    assert [field.name for field in source.schema()] == [*names, "$path", "$size"]
    expected = []
    for part in range(6):
        for row in table(part * 100, part * 100 + 100).to_pylist():
            row["at"] = row["at"].replace(tzinfo=dt.UTC)
            expected.append((*row.values(), 2023 + part // 3, part % 3 + 1))
    assert rows(source, names) == expected


def test_folders_that_a_predicate_rejects_are_not_read(tree):
    source = DatasetSource("sales", tree)
    predicates = [Predicate("year", "=", 2024), Predicate("month", "<", 3)]
    assert {source.support(one) for one in predicates} == {Support.EXACT}
    scanned = Scanned()
    found = rows(source, ["n", "year", "month"], predicates, scanned)
    assert [row[0] for row in found] == list(range(300, 500))
    assert (scanned.blocks_total, scanned.blocks_pruned, scanned.blocks_decoded) == (24, 16, 8)
    assert scanned.rows_scanned == 200


@pytest.mark.parametrize(
    ("predicate", "groups"),
    [
        (Predicate("n", ">=", 590), 1),
        (Predicate("n", "<", 30), 2),
        (Predicate("n", "=", 10**12), 0),
        (Predicate("n", "<>", 5), 24),
        (Predicate("text", "prefix", b"wore"), 0),
        (Predicate("text", "prefix", b"wor"), 24),
        (Predicate("x", ">", 1e9), 24),  # NaN is above all, and bounds do not tell of it
        (Predicate("n", "in", (3, 333)), 2),
        (Predicate("price", "<=", 100), 1),
        (Predicate("price", ">", 14_950), 1),
        (Predicate("day", "<", 19_723 + 25), 1),
        (Predicate("at", ">=", (START + 599 * 3600) * 1_000_000), 1),
        (Predicate("x", "<", 1.0), 1),
        (Predicate("text", "=", b"zzz"), 0),
        (Predicate("text", "is null"), 24),
        (Predicate("n", "is null"), 0),
    ],
)
def test_row_groups_are_pruned_by_their_bounds(tree, predicate, groups):
    source = DatasetSource("sales", tree)
    assert source.support(predicate) is Support.PRUNE
    scanned = Scanned()
    left = source.partitions([predicate], scanned)
    assert len(left) == groups
    assert scanned.blocks_pruned == 24 - groups


def test_bytes_are_the_compressed_chunks_of_the_columns_that_are_read(tree):
    source = DatasetSource("sales", tree)
    for columns in (["n"], ["n", "list"], ["year"], []):
        scanned = Scanned()
        predicates = [Predicate("year", "=", 2023), Predicate("n", "<", 25)]
        rows(source, columns, predicates, scanned)
        group = pq.ParquetFile(f"{tree}/year=2023/month=1/part.parquet").metadata.row_group(0)
        chunks = [group.column(i) for i in range(group.num_columns)]
        expected = sum(c.total_compressed_size for c in chunks if c.path_in_schema.split(".")[0] in columns)
        assert scanned.bytes_scanned == expected


def test_rows_are_counted_without_reading(tree):
    assert len(rows(DatasetSource("sales", tree), [])) == 600
    assert set(rows(DatasetSource("sales", tree), ["month"])) == {(1,), (2,), (3,)}


def test_statistics_come_from_the_footers(tree):
    found = DatasetSource("sales", tree).statistics()
    assert found.rows == 600
    assert (found.columns["n"].low, found.columns["n"].high, found.columns["n"].nulls) == (0, 599, 0)
    assert found.columns["price"].high == 14_975
    assert found.columns["text"].nulls == 120
    assert found.columns["text"].high == b"word 2"


def test_text_that_is_a_dictionary_in_the_file_stays_one(tmp_path):
    pq.write_table(
        pa.table({"word": ["a", "b"] * 5000, "own": [str(n) * 3 for n in range(10_000)]}), tmp_path / "t.parquet"
    )
    source = DatasetSource("t", str(tmp_path / "t.parquet"))
    (partition,) = source.partitions([], Scanned())
    batch = next(iter(source.scan(partition, ["word", "own"], [], Scanned())))
    assert batch.column("word").words is not None
    assert batch.column("own").plain


def test_a_new_file_is_seen_by_the_next_query(tree):
    source = DatasetSource("sales", tree)
    before = source.version()
    pq.write_table(table(600, 610), f"{tree}/year=2024/month=3/more.parquet")
    assert source.version() != before
    assert len(rows(source, ["n"])) == 610
    assert source.statistics().rows == 610
    pq.write_table(table(0, 7), f"{tree}/year=2024/month=3/more.parquet")
    assert len(rows(source, ["n"])) == 607


def test_globs_and_several_places(tree):
    assert len(rows(DatasetSource("t", f"{tree}/year=2024/*/*.parquet"), ["n"])) == 300
    some = DatasetSource("t", f"{tree}/*/month=1/*.parquet")
    assert set(rows(some, ["year", "month"])) == {(2023, 1), (2024, 1)}
    places = [f"{tree}/year=2023/month=1/part.parquet", f"{tree}/year=2024"]
    assert len(rows(DatasetSource("t", places), ["n"])) == 400


def test_path_and_size_are_columns(tree):
    path = f"{tree}/year=2023/month=2/part.parquet"
    found = rows(DatasetSource("sales", tree), ["$path", "$size", "n"], [Predicate("$path", "=", path.encode())])
    assert len(found) == 100
    assert found[0][:2] == (path, os.path.getsize(path))


def test_values_of_folders_have_the_type_that_all_of_them_fit(tmp_path):
    for folder in (
        "a=1/b=x/c=2024-01-01",
        "a=02/b=y%2Fz/c=2024-12-31",
        "a=__HIVE_DEFAULT_PARTITION__/b=7/c=2024-01-01",
    ):
        os.makedirs(tmp_path / folder)
        pq.write_table(pa.table({"n": [1]}), tmp_path / folder / "t.parquet")
    source = DatasetSource("t", str(tmp_path))
    assert sorted(rows(source, ["a", "b", "c"]), key=str) == [
        (1, "x", dt.date(2024, 1, 1)),
        (2, "y/z", dt.date(2024, 12, 31)),
        (None, "7", dt.date(2024, 1, 1)),
    ]
    assert rows(source, ["b"], [Predicate("a", "is null")]) == [("7",)]
    declared = DatasetSource("t", str(tmp_path), partitions=(Field("a", types.VARCHAR), Field("c", types.VARCHAR)))
    assert ("02", "2024-12-31") in rows(declared, ["a", "c"])
    with pytest.raises(Invalid, match=r"the folder b=y/z of .* is no INTEGER"):
        rows(DatasetSource("t", str(tmp_path), partitions=(Field("b", types.INTEGER),)), ["b"])


def test_declared_columns_widen_types_and_what_a_file_lacks_is_null(tmp_path):
    pq.write_table(pa.table({"N": pa.array([1, 2], pa.int16())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": pa.array([2**40], pa.int64()), "more": ["x"]}), tmp_path / "b.parquet")
    columns = (Field("n", types.decimal(20, 2)), Field("more", types.varchar(5)), Field("none", types.DATE))
    source = DatasetSource("t", str(tmp_path), columns=columns)
    assert rows(source, ["n", "more", "none"]) == [
        (D("1.00"), None, None),
        (D("2.00"), None, None),
        (D(2**40), "x", None),
    ]
    assert rows(source, ["none"]) == [(None,)] * 3
    found = DatasetSource("t", str(tmp_path / "b.parquet"), columns=(Field("n", types.INTEGER),))
    with pytest.raises(Invalid, match=r"column 'n' of .*b.parquet' does not fit INTEGER: .*1099511627776"):
        rows(found, ["n"])


@pytest.mark.parametrize(
    ("column", "declared", "message"),
    [
        ("text", types.INTEGER, "column 'text' of .* is VARCHAR, declared is INTEGER"),
        ("n", types.VARCHAR, "column 'n' of .* is INTEGER, declared is VARCHAR"),
        ("x", types.INTEGER, "column 'x' of .* is DOUBLE PRECISION, declared is INTEGER"),
        ("text", types.varchar(3), r"column 'text' of .* has 6 bytes, declared is VARCHAR\(3\)"),
        ("price", types.decimal(4, 2), "column 'price' of .* does not fit"),
        ("day", types.BOOLEAN, "column 'day' of .* is DATE, declared is BOOLEAN"),
    ],
)
def test_a_type_that_does_not_fit_is_an_error_that_names_file_and_column(tree, column, declared, message):
    with pytest.raises(Invalid, match=message):
        rows(DatasetSource("sales", tree, columns=(Field(column, declared),)), [column])


def test_files_of_one_table_may_differ_in_width(tmp_path):
    pq.write_table(pa.table({"n": pa.array([1], pa.int16()), "a": [1.5]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": pa.array([2**40], pa.int64()), "b": ["x"]}), tmp_path / "b.parquet")
    source = DatasetSource("t", str(tmp_path))
    assert [(field.name, field.type) for field in source.schema()[:3]] == [
        ("n", types.BIGINT),
        ("a", types.DOUBLE),
        ("b", types.VARCHAR),
    ]
    assert rows(source, ["n", "a", "b"]) == [(1, 1.5, None), (2**40, None, "x")]
    pq.write_table(pa.table({"n": ["text"]}), tmp_path / "c.parquet")
    with pytest.raises(Invalid, match=r"column 'n' is VARCHAR in .*c.parquet' and BIGINT in another file"):
        DatasetSource("t", str(tmp_path))


# ---- other formats -----------------------------------------------------------------------------------------------

TEXT = b'n,word,price,day\n1,"a,b",1.50,2024-01-01\n2,,2.25,2024-02-29\n,"",,\n'
COLUMNS = (
    Field("n", types.INTEGER),
    Field("word", types.VARCHAR),
    Field("price", types.decimal(10, 2)),
    Field("day", types.DATE),
)
ROWS = [(1, "a,b", D("1.50"), dt.date(2024, 1, 1)), (2, "", D("2.25"), dt.date(2024, 2, 29)), (None, "", None, None)]
PACKED = {"": lambda text: text, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("suffix", list(PACKED))
def test_csv_with_declared_columns(tmp_path, suffix):
    path = tmp_path / f"t.csv{suffix}"
    path.write_bytes(PACKED[suffix](TEXT))
    source = DatasetSource("t", str(path), columns=COLUMNS)
    scanned = Scanned()
    assert rows(source, ["n", "word", "price", "day"], [], scanned) == ROWS
    assert scanned.bytes_scanned == os.path.getsize(path)
    assert rows(source, ["day", "n"]) == [(row[3], row[0]) for row in ROWS]
    assert len(rows(source, [])) == 3
    assert source.support(Predicate("n", "=", 1)) is Support.NONE
    assert source.statistics().rows is None


def test_csv_options_and_columns_as_found(tmp_path):
    (tmp_path / "t.tbl").write_text("1|x|NULL\n2|'a|b'|y\n")
    options = {"delimiter": "|", "quote": "'", "header": 0, "null": "NULL"}
    names = tuple(Field(name, kind) for name, kind in (("n", types.BIGINT), ("a", types.VARCHAR), ("b", types.VARCHAR)))
    source = DatasetSource("t", str(tmp_path / "t.tbl"), columns=names, options=options)
    assert rows(source, ["n", "a", "b"]) == [(1, "x", None), (2, "a|b", "y")]
    (tmp_path / "u.csv").write_bytes(TEXT)
    found = DatasetSource("u", str(tmp_path / "u.csv"))
    assert [str(field.type) for field in found.schema()[:4]] == ["BIGINT", "VARCHAR", "DOUBLE PRECISION", "DATE"]
    with pytest.raises(Invalid, match="format csv has no such option: comma"):
        DatasetSource("u", str(tmp_path / "u.csv"), options={"comma": ";"})


@pytest.mark.parametrize("suffix", list(PACKED))
def test_json_lines(tmp_path, suffix):
    text = b'{"n": 1, "word": "a", "price": 1.5, "more": [1]}\n{"word": null, "day": "2024-02-29"}\n'
    path = tmp_path / f"t.json{suffix}"
    path.write_bytes(PACKED[suffix](text))
    source = DatasetSource("t", str(path), columns=COLUMNS)
    assert rows(source, ["n", "word", "price", "day"]) == [
        (1, "a", D("1.50"), None),
        (None, None, None, dt.date(2024, 2, 29)),
    ]
    assert rows(source, ["day"]) == [(None,), (dt.date(2024, 2, 29),)]
    assert len(rows(source, [])) == 2
    assert [field.name for field in DatasetSource("t", str(path)).schema()[:3]] == ["n", "word", "price"]


def test_orc(tmp_path):
    orc.write_table(table(0, 500).drop_columns(["list"]), str(tmp_path / "t.orc"))
    source = DatasetSource("t", str(tmp_path / "t.orc"))
    scanned = Scanned()
    found = rows(source, ["n", "text", "price"], [], scanned)
    expected = table(0, 500).to_pylist()
    assert found == [(row["n"], row["text"], row["price"]) for row in expected]
    assert scanned.bytes_scanned == os.path.getsize(tmp_path / "t.orc")
    assert source.statistics().rows == 500


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(NotFound, match="no data file at"):
        DatasetSource("t", str(tmp_path / "nothing"))
    (tmp_path / "t.parquet").write_bytes(b"this is no parquet")
    with pytest.raises(Invalid, match=r"t.parquet' cannot be read as parquet: .*Parquet"):
        DatasetSource("t", str(tmp_path / "t.parquet"))
    (tmp_path / "t.csv").write_bytes(b"n,word,price,day\n1,a,b,c\n")
    with pytest.raises(Invalid, match=r"t.csv' cannot be read as csv: .*'b'"):
        rows(DatasetSource("t", str(tmp_path / "t.csv"), columns=COLUMNS), ["n", "price"])
    (tmp_path / "t.json").write_bytes(b'{"n": "x"}\n')
    with pytest.raises(Invalid, match=r"t.json' cannot be read as json"):
        rows(DatasetSource("t", str(tmp_path / "t.json"), columns=COLUMNS), ["n"])
    (tmp_path / "t.what").write_bytes(b"")
    with pytest.raises(Invalid, match="tells no format"):
        DatasetSource("t", str(tmp_path / "t.what"))
    with pytest.raises(Invalid, match="format 'avro' is not known"):
        DatasetSource("t", str(tmp_path / "t.what"), format="avro")
