import bz2
import contextlib
import datetime as dt
import decimal
import errno
import gzip
import json
import pathlib

import pytest
import zstandard
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem
from warehouse.copying import House

from engines.errors import EngineError, Invalid, NotFound
from engines.sql import types
from engines.sql.values import column_of
from engines.warehouse.catalog import ColumnDefinition
from engines.warehouse.load import load
from engines.warehouse.storage import Storage

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402 - after the skip
from pyarrow import orc  # noqa: E402 - after the skip

D = decimal.Decimal


@pytest.fixture
def house():
    return House()


@pytest.fixture
def file(tmp_path):
    def write(text, name="f.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    return write


ROW = (1, "one", D("9.50"), dt.date(2024, 2, 29), dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC), 0.5, True)
LINE = "1,one,9.5,2024-02-29,2024-01-01 12:00:00,0.5,true\n"


# ---- what is read ------------------------------------------------------------------------------------------------


def test_a_csv_is_loaded_with_the_types_of_the_table(house, file):
    loaded = house.copy(file(LINE), "CSV")
    assert (loaded.rows, loaded.rejected, loaded.bytes) == (1, 0, len(LINE))
    assert house.rows() == [ROW]


@pytest.mark.parametrize(
    ("name", "pack", "option"),
    [
        ("f.csv.gz", gzip.compress, ""),
        ("f.csv.bz2", bz2.compress, ""),
        ("f.csv.zst", zstandard.ZstdCompressor().compress, ""),
        ("f", gzip.compress, "GZIP"),
        ("f", bz2.compress, "BZIP2"),
        ("f", zstandard.ZstdCompressor().compress, "ZSTD"),
    ],
)
def test_compressed_text_is_unpacked(house, file, name, pack, option):
    house.copy(file(pack(LINE.encode()), name), f"CSV {option}")
    assert house.rows() == [ROW]


def test_what_both_ways_of_reading_give_is_the_same(file):
    """The careful way reads what the fast way refuses: one odd number in a piece sends all of it there."""
    good = [
        "1,a b,1.25,0001-01-01,1969-12-31 23:59:59.999999,-0.0,t",
        '2,"x,""y""",-9.99,9999-12-31,,1e300,0',
        "3,,,,,,",
    ]
    fast, careful = House(), House()
    fast.copy(file(chr(10).join(good)), "CSV")
    careful.copy(file(chr(10).join([*good, "+4,,,,,,"])), "CSV")
    assert careful.rows()[:3] == fast.rows()
    assert fast.rows()[1][:3] == (2, 'x,"y"', D("-9.99"))
    assert fast.rows()[2] == (3, "", None, None, None, None, None)
    assert careful.rows()[3][0] == 4


def test_lines_may_end_in_any_way_and_the_last_one_without_an_end(file):
    for end in ("\n", "\r\n", "\r"):
        house = House({"a": types.INTEGER, "b": types.VARCHAR})
        house.copy(file(end.join(["1,x", "2,y", "3,z"])), "CSV")
        assert house.rows() == [(1, "x"), (2, "y"), (3, "z")]


def test_a_mark_of_utf_8_and_headers_are_skipped(file):
    house = House({"a": types.INTEGER})
    house.copy(file(b"\xef\xbb\xbfname\nmore\n7\n"), "CSV IGNOREHEADER 2")
    house.copy(file("only a header"), "CSV IGNOREHEADER 1")
    house.copy(file(""), "CSV")
    assert house.rows() == [(7,)]


def test_other_encodings(file):
    house = House({"a": types.VARCHAR})
    house.copy(file("größe\n".encode("utf-16")), "CSV ENCODING utf16")
    assert house.rows() == [("größe",)]


def test_text_with_delimiters_has_a_bar_and_may_end_with_one(file):
    house = House({"a": types.INTEGER, "b": types.VARCHAR})
    house.copy(file('1|x "y|\n2|\\\\N|\n', "f.tbl"), "")
    assert house.rows() == [(1, 'x "y'), (2, "\\\\N")]


def test_escape_takes_the_meaning_from_delimiters_and_ends_of_lines(file):
    text = "1|a\\|b\\\nc\n\\N|\\N\n3|\\\\N\n"
    for extra in ("", "x|y\n"):  # the second time with care
        house = House({"a": types.INTEGER, "b": types.VARCHAR})
        house.copy(file(text + extra), "DELIMITER '|' ESCAPE MAXERROR 1")
        assert house.rows() == [(1, "a|b\nc"), (None, None), (3, "\\N")]


def test_quotes_are_removed(file):
    house = House({"a": types.VARCHAR, "b": types.VARCHAR})
    house.copy(file(chr(34) + "a|b" + chr(34) + "|" + chr(39) + "c" + chr(39)), "DELIMITER '|' REMOVEQUOTES")
    assert house.rows() == [("a|b", "c")]


def test_nulls_by_the_string_and_blank_and_empty_texts(file):
    path = file("-,-\n ,\n,x\n")
    for options, expected in (
        ("", [(None, None), (None, ""), (None, "x")]),
        ("EMPTYASNULL", [(None, None), (None, None), (None, "x")]),
    ):
        house = House({"a": types.INTEGER, "b": types.VARCHAR})
        house.copy(path, f"CSV NULL AS '-' {options}")
        assert house.rows() == expected
    house = House({"a": types.VARCHAR, "b": types.VARCHAR})
    house.copy(path, "CSV NULL '-' BLANKSASNULL TRIMBLANKS")
    assert house.rows() == [(None, None), ("", ""), ("", "x")]


def test_templates_of_dates_and_times(file):
    house = House({"d": types.DATE, "t": types.TIMESTAMP})
    house.copy(file("31.12.2024,12.31.2024 11:59 PM"), "CSV DATEFORMAT 'DD.MM.YYYY' TIMEFORMAT 'MM.DD.YYYY HH:MI AM'")
    house.copy(file("2024-01-02,1700000000"), "CSV TIMEFORMAT 'epochsecs'")
    assert house.rows() == [
        (dt.date(2024, 12, 31), dt.datetime(2024, 12, 31, 23, 59, tzinfo=dt.UTC)),
        (dt.date(2024, 1, 2), dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)),
    ]
    house.fails(file("2024-13-31,"), "CSV DATEFORMAT 'YYYY-MM-DD'", "by the template 'YYYY-MM-DD' .code 1205")
    house.fails(file(",1700000000123"), "CSV TIMEFORMAT 'epochsecs'", "is no TIMESTAMP by the template 'epochsecs'")
    house.copy(file("nonsense,"), "CSV ACCEPTANYDATE")
    assert house.rows()[-1] == (None, None)


def test_decimals_are_cut_unless_they_are_to_be_rounded(file):
    house = House({"a": types.decimal(5, 2)})
    path = file("1.005\n-1.239\n7\n")
    house.copy(path, "CSV")
    house.copy(path, "CSV ROUNDEC")
    assert [row[0] for row in house.rows()] == [D("1.00"), D("-1.23"), 7, D("1.01"), D("-1.24"), 7]


def test_long_texts_are_cut_at_a_character_where_that_is_asked_for(file):
    house = House({"a": types.varchar(3)})
    house.copy(file("abc\nab\u00fc\nab\u00fc\u00fc\nabcdef\n"), "CSV TRUNCATECOLUMNS")
    assert house.rows() == [("abc",), ("ab",), ("ab",), ("abc",)]


def test_bad_bytes_are_replaced(file):
    house = House({"a": types.VARCHAR})
    house.copy(file(b"a\xff\xfeb\nok\n"), "CSV ACCEPTINVCHARS AS '^'")
    assert house.rows() == [("a^^b",), ("ok",)]
    house.fails(file(b"ok\na\xff\n"), "CSV", "line 2, column 'a': byte 0xff is no UTF-8.*1220")


def test_missing_fields_and_blank_lines(file):
    house = House({"a": types.INTEGER, "b": types.VARCHAR, "c": types.INTEGER})
    house.copy(file("1,x,2\n\n3\n"), "CSV FILLRECORD IGNOREBLANKLINES")
    assert house.rows() == [(1, "x", 2), (3, "", None)]


def test_a_list_of_columns_defaults_and_identity(file):
    house = House(
        {
            "a": types.INTEGER,
            "b": types.VARCHAR,
            "c": types.INTEGER,
            "i": ColumnDefinition("i", types.BIGINT, identity=(10, 5)),
        }
    )
    default = column_of([7], types.INTEGER)
    default.constant = True
    house.copy(file("x,1\ny,2\n"), "CSV", columns="(b, a)", defaults={"c": default})
    house.copy(file("3,z,4\n"), "CSV")
    house.copy(file("5,z,4,99\n"), "CSV EXPLICIT_IDS")
    assert house.rows() == [(1, "x", 7, 10), (2, "y", 7, 15), (3, "z", 4, 20), (5, "z", 4, 99)]
    house.fails(file("1,2"), "CSV", "no column 'nix'", columns="(a, nix)")
    house.fails(file("1,2"), "CSV", "IDENTITY", columns="(a, i)")
    house.fails(file("1,2"), "CSV", "twice", columns="(a, a)")


def test_fixed_widths(file):
    house = House({"a": types.INTEGER, "b": types.varchar(5)})
    house.copy(file(" 12hello\n  3ab\nxx1\n"), "FIXEDWIDTH 'a:3, b:5' MAXERROR 1")
    assert house.rows() == [(12, "hello"), (3, "ab")]
    house.fails(file("1"), "FIXEDWIDTH 'a:3'", "no width for b")
    house.fails(file("1"), "FIXEDWIDTH 'a,b'", "widths from 1")


# ---- JSON --------------------------------------------------------------------------------------------------------


def test_json_by_the_names_of_the_columns(file):
    house = House({"id": types.BIGINT, "price": types.decimal(20, 10), "tags": types.VARCHAR, "yes": types.BOOLEAN})
    lines = [
        '{"id": 9007199254740993, "price": 1234567890.0123456789, "tags": ["a", 1], "other": 1, "yes": true}',
        "",
        '{"id": null}',
    ]
    house.copy(file(chr(10).join(lines)), "JSON 'auto'")
    assert house.rows() == [
        (9007199254740993, D("1234567890.0123456789"), '["a", 1]', True),
        (None, None, None, None),
    ]


def test_json_whatever_the_case_of_names_and_over_several_lines(file):
    house = House({"id": types.BIGINT, "t": types.VARCHAR})
    path = file(json.dumps({"ID": 1, "T": 'a } {\n"b'}, indent=2) + "\n" + json.dumps({"Id": 2, "t": "\u00fc"}))
    house.copy(path, "JSON 'auto ignorecase'")
    assert house.rows() == [(1, 'a } {\n"b'), (2, "ü")]
    house.copy(path, "JSON 'auto'")
    assert house.rows()[2:] == [(None, None), (None, "ü")]


def test_json_by_paths(file):
    paths = file(json.dumps({"jsonpaths": ["$.a.b", "$['c d'][1]", '$["e"]']}), "paths.json")
    house = House({"x": types.INTEGER, "y": types.VARCHAR, "z": types.BOOLEAN})
    path = file('{"a": {"b": 1}, "c d": [0, "one"], "e": false}\n{"a": 5, "c d": []}\n', "d.json")
    house.copy(path, f"JSON '{paths}'")
    assert house.rows() == [(1, "one", False), (None, None, None)]
    for bad, message in (
        ('{"jsonpaths": [1]}', "no jsonpaths file"),
        ('{"jsonpaths": ["a.b"]}', "is \\$ and then"),
        ('{"jsonpaths": ["$.a"]}', "1 paths for 3 columns"),
        ("nothing", "no jsonpaths file"),
    ):
        house.fails(path, f"JSON '{file(bad, 'bad.json')}'", message)


def test_json_that_is_none_is_rejected_with_its_line(file):
    house = House({"id": types.INTEGER})
    path = file('{"id": 1}\n{"id": }\n[1, 2]\n{"id": "x"}\n{"id": 2}\n{"id": 3', "d.json")
    loaded = house.copy(path, "JSON MAXERROR 9")
    assert house.rows() == [(1,), (2,)]
    assert [(error.line, error.code) for error in loaded.errors] == [(2, 1224), (3, 1224), (4, 1207), (6, 1224)]


# ---- columns -----------------------------------------------------------------------------------------------------


def parquet(file, columns, **options):
    path = file("", options.pop("name", "f.parquet"))
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_parquet_by_names_or_by_position(file):
    house = House({"a": types.BIGINT, "b": types.varchar(3)})
    house.copy(parquet(file, {"B": ["x", None], "A": pa.array([1, 2], pa.int32()), "c": [0, 0]}), "PARQUET")
    house.copy(parquet(file, {"n": [3], "m": ["y"]}), "PARQUET")
    house.copy(parquet(file, {"a": [4], "b": ["z"]}), "", columns="(b)")
    assert house.rows() == [(1, "x"), (2, None), (3, "y"), (None, "z")]


def test_parquet_that_does_not_fit_is_refused_with_row_and_column(file):
    house = House({"a": types.INTEGER, "b": types.varchar(3)})
    big = parquet(file, {"a": [1] * 7 + [2**40], "b": ["x"] * 8}, row_group_size=3)
    error = house.fails(big, "PARQUET MAXERROR 100", "line 8, column 'a'.*1204")
    assert (error.error.raw_value, error.line) == (str(2**40), 8)
    assert [one.line for one in house.errors] == [8]
    house.fails(parquet(file, {"a": [1, 2], "b": ["abc", "abcd"]}), "PARQUET", "line 2, column 'b'.*4 bytes")
    house.fails(parquet(file, {"a": ["1"], "b": ["x"]}), "PARQUET", "is VARCHAR, declared is INTEGER.*1223")
    house.fails(parquet(file, {"a": [1]}), "PARQUET", "no column 'b'.*FILLRECORD.*1203")
    house.copy(parquet(file, {"a": [1]}), "PARQUET FILLRECORD")
    assert house.rows() == [(1, None)]
    strict = House({"a": types.INTEGER}, nullable=False)
    strict.fails(parquet(file, {"a": pa.array([1, 2, None], pa.int32())}), "PARQUET", "line 3.*NOT NULL.*1213")


def test_orc(file):
    house = House({"a": types.INTEGER, "b": types.VARCHAR})
    path = file("", "f.orc")
    orc.write_table(pa.table({"a": pa.array([1, 2], pa.int32()), "b": ["x", "y"]}), path)
    house.copy(path, "FORMAT ORC")
    assert house.rows() == [(1, "x"), (2, "y")]


@pytest.mark.parametrize("form", ["PARQUET", "ORC", "CSV GZIP", "CSV ZSTD"])
def test_files_that_are_not_what_they_should_be(house, file, form):
    house.fails(file(LINE * 3), f"{form}", "cannot be read")


def test_a_file_that_ends_too_early_is_refused(house, file):
    whole = gzip.compress(LINE.encode() * 10_000)
    house.fails(file(whole[: len(whole) // 2], "f.csv.gz"), "CSV", "cannot be read|MAXERROR|fields")
    data = pathlib.Path(parquet(file, {"id": list(range(1000))})).read_bytes()
    house.fails(file(data[:-100], "g.parquet"), "", "cannot be read", columns="(id)")


# ---- places ------------------------------------------------------------------------------------------------------


def test_files_by_glob_folder_beginning_and_manifest(file, tmp_path):
    for number in range(3):
        file(f"{number}\n", f"in/part{number}.csv")
    file("x\n", "in/_SUCCESS")
    url = f"file://{tmp_path}/in/part1.csv"
    manifest = file(
        json.dumps({"entries": [{"url": url, "mandatory": True}, {"url": "in/part0.csv"}, {"url": "no.csv"}]}), "m"
    )
    for source, expected in (
        (f"{tmp_path}/in/*.csv", [0, 1, 2]),
        (f"{tmp_path}/in", [0, 1, 2]),
        (f"{tmp_path}/in/par", [0, 1, 2]),
        (f"{tmp_path}/in/part[02]*", [0, 2]),
        (manifest, [1, 0]),
    ):
        house = House({"a": types.INTEGER})
        house.copy(source, "CSV MANIFEST" if source == manifest else "CSV")
        assert [row[0] for row in house.rows()] == expected
    house.fails(f"{tmp_path}/nothing*", "CSV", "no file to load", NotFound)
    house.fails(file(json.dumps({"entries": [{"url": "gone", "mandatory": True}]})), "MANIFEST CSV", "gone", NotFound)
    house.fails(file("{}"), "MANIFEST CSV", "is no manifest")
    house.fails("s3://bucket/x", "CSV", "not at s3://")


def test_names_of_folders_fill_columns(file, tmp_path):
    file("1\n", "in/year=2023/kind=a%20b/f.csv")
    file("2\n", "in/year=2024/kind=__HIVE_DEFAULT_PARTITION__/f.csv")
    house = House({"n": types.INTEGER, "kind": types.VARCHAR, "Year": types.SMALLINT})
    house.copy(f"{tmp_path}/in", "CSV")
    assert house.rows() == [(1, "a b", 2023), (2, None, 2024)]


# ---- what does not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "column", "code", "reason"),
    [
        ("x,one,9.5,2024-02-29,,0.5,true", "id", 1207, "'x' is no INTEGER"),
        ("0x1F,one,9.5,2024-02-29,,0.5,true", "id", 1207, "'0x1F' is no INTEGER"),
        ("3000000000,one,9.5,2024-02-29,,0.5,true", "id", 1222, "too large"),
        ("1,one,9999999,2024-02-29,,0.5,true", "price", 1204, "too large"),
        ("1,one,9.5.5,2024-02-29,,0.5,true", "price", 1209, "is no DECIMAL"),
        ("1,one,9.5,2023-02-29,,0.5,true", "day", 1205, "is no DATE: write it as 2024-12-31; DATEFORMAT"),
        ("1,one,9.5,,yesterday,0.5,true", "at", 1206, "is no TIMESTAMP: write it as 2024-12-31 23:59:59; TIMEFORMAT"),
        ("1,one,9.5,,,half,true", "x", 1208, "is no DOUBLE"),
        ("1,one,9.5,,,1e999,true", "x", 1204, "too large"),
        ("1,one,9.5,,,0.5,maybe", "yes", 1210, "is no BOOLEAN"),
        ("1,a text of more than 20,9.5,,,0.5,true", "name", 1204, "longer than VARCHAR"),
        ("1,one,9.5,,,0.5,true,more", "", 1202, "8 fields"),
        ("1,one,9.5", "", 1203, "3 of 7 fields"),
        ("hello", "", 1201, "no delimiter"),
        ("", "", 1211, "empty"),
        ('1,"one"x,9.5,,,0.5,true', "", 1216, "cannot be cut"),
    ],
)
def test_each_kind_of_fault_has_its_code_line_and_column(file, line, column, code, reason):
    house = House()
    path = file(f"{LINE}{line}\n{LINE}")
    error = house.fails(path, "CSV", "loaded nothing").error
    assert (error.file, error.line, error.column, error.code) == (path, 2, column, code)
    assert reason in error.reason
    assert error.raw_line == line
    assert house.errors == [error]
    assert house.copy(path, "CSV MAXERROR 1").rejected == 1
    assert house.rows() == [ROW, ROW]


def test_a_line_of_headers_is_recognised(file):
    house = House()
    house.fails(file(f"id,name,price,day,at,x,yes\n{LINE}"), "CSV", "line 1, .*; .*: IGNOREHEADER 1 leaves it out")
    assert "IGNOREHEADER" not in str(house.fails(file(f"nix,name,price,day,at,x,yes\n{LINE}"), "CSV", "line 1"))


def test_a_missing_value_of_a_not_null_column_is_rejected(file):
    house = House({"a": types.INTEGER, "b": types.VARCHAR}, nullable=False)
    house.fails(file("1,x\n,y\n"), "CSV", "line 2, column 'a': missing data.*1213")


def test_rows_are_rejected_up_to_maxerror(house, file):
    path = file("".join(f"{LINE}x{LINE}\n" for _ in range(5)))
    loaded = house.copy(path, "CSV MAXERROR 10")
    assert (loaded.rows, loaded.rejected) == (5, 10)
    assert [(error.line, error.code) for error in loaded.errors[:4]] == [(2, 1207), (3, 1211), (5, 1207), (6, 1211)]
    house.fails(path, "CSV MAXERROR 9", "10 rows were rejected, MAXERROR is 9")
    assert len(house.errors) == 10
    assert house.copy(path, "CSV IGNOREALLERRORS").rejected == 10


def test_lines_are_counted_through_quoted_ends_of_lines_and_pieces(file):
    house = House({"a": types.INTEGER, "b": types.VARCHAR})
    many = "".join(f'{n},"two\nlines"\n' for n in range(400_000))
    path = file("a,b\n" + many + "x,y\n")
    loaded = house.copy(path, "CSV IGNOREHEADER 1 MAXERROR 1", threads=2)
    assert (loaded.rows, loaded.errors[0].line) == (400_000, 800_002)
    assert house.rows("count(*), sum(a), min(b), max(b)") == [(400_000, 79_999_800_000, "two\nlines", "two\nlines")]


def test_a_quote_that_is_not_closed_does_not_swallow_the_file(file):
    house = House({"a": types.INTEGER, "b": types.VARCHAR})
    path = file('1,x\n2,"open\n' + "3,y\n" * 100_000)
    house.fails(path, "CSV", "line 2.*cannot be cut into fields")


def test_noload_reads_and_loads_nothing(house, file):
    loaded = house.copy(file(LINE + LINE), "CSV NOLOAD COMPUPDATE OFF STATUPDATE ON")
    assert (loaded.rows, house.rows()) == (2, [])
    house.fails(file("x" + LINE), "CSV NOLOAD", "1207")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("CSV DELIMITER '||'", "DELIMITER is one ASCII character"),
        ("CSV DELIMITER '\"'", "differ"),
        ("CSV ESCAPE", "CSV has quotes of its own"),
        ("DELIMITER '|' QUOTE '%'", "QUOTE is an option of CSV"),
        ("CSV GZIP ZSTD", "compressed one way"),
        ("PARQUET IGNOREHEADER 1", "IGNOREHEADER is about text"),
        ("CSV MAXERROR 1000000", "MAXERROR is a number from 0 to 100,000"),
        ("CSV ENCODING ebcdic", "ENCODING is one of"),
    ],
)
def test_options_that_make_no_sense(house, file, options, message):
    house.fails(file(LINE), f"{options}", message)


def test_what_is_not_there(house, file):
    house.fails("/nowhere/at/all.csv", "", "no file to load", NotFound)
    with house.storage.begin() as tx, pytest.raises(NotFound, match="no table"):
        load(tx, "u", {}, files=file(LINE))
    with house.storage.begin() as tx, pytest.raises(Invalid, match="no option 'maxerrors'"):
        load(tx, "t", {"maxerrors": 1}, files=file(LINE))


# ---- the disk ----------------------------------------------------------------------------------------------------


def test_a_full_disk_in_mid_copy_leaves_the_table_as_it_was(file):
    path = file("".join(f"{n},{n * 7919 % 100_003},text number {n}\n" for n in range(100_000)))
    columns = {"a": types.INTEGER, "b": types.INTEGER, "c": types.VARCHAR}
    outcomes = set()
    for n in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89):
        inner = RecordingFileSystem()
        house = House(columns, path="/w", files=inner, threads=1)
        house.copy(file("1,2,x", "first.csv"), "CSV")
        house.storage.close()
        full = FailingFileSystem(inner, 10**9, errno.ENOSPC, keep=True)
        house.storage = Storage("/w", files=full, threads=1)
        full._left = n
        try:
            house.copy(path, "CSV")
            outcomes.add("loaded")
        except EngineError:
            outcomes.add("failed")
            assert house.rows() == [(1, 2, "x")]
        with contextlib.suppress(EngineError):
            house.storage.close()
        house.storage = Storage("/w", files=inner)
        assert house.rows("count(*)") in ([(1,)], [(100_001,)])
        house.copy(path, "CSV")
        assert house.storage.verify()
        house.storage.close()
    assert outcomes == {"failed", "loaded"}


# ---- DuckDB ------------------------------------------------------------------------------------------------------


def test_the_rows_are_those_that_duckdb_reads(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    con = duckdb.connect()
    con.execute(
        "create table s as select i::bigint as a, (i * 37 % 1000 / 8)::decimal(12,3) as b,"
        " 'word ' || (i % 17) || chr(34) as c, date '2000-01-01' + (i % 9000)::int as d,"
        " timestamp '2001-02-03 04:05:06' + interval (i) minute as e,"
        " case when i % 3 = 0 then null else i / 7.0 end as f, i % 2 = 0 as g from range(150000) r(i)"
    )
    sums = "count(*), sum(a), sum(b), min(c), max(d), max(e), sum(g::int), count(f)"
    expected = con.execute(f"select {sums} from s").fetchone()
    columns = {
        "a": types.BIGINT, "b": types.decimal(12, 3), "c": types.VARCHAR, "d": types.DATE, "e": types.TIMESTAMP,
        "f": types.DOUBLE, "g": types.BOOLEAN,
    }  # fmt: skip
    for name, how, options in (
        ("s.csv", "header true", "CSV IGNOREHEADER 1"),
        ("s.tbl", "header false, delimiter '|', quote ''", ""),
        ("s.parquet", "format parquet", "PARQUET"),
        ("s.json", "format json", "JSON"),
    ):
        con.execute(f"copy s to '{tmp_path}/{name}' ({how})")
        house = House(columns)
        house.copy(f"{tmp_path}/{name}", f"{options}", threads=2)
        found = house.rows(sums)[0]
        assert found[:5] == expected[:5]
        assert found[5].replace(tzinfo=None) == expected[5]
        assert found[6:] == expected[6:]
