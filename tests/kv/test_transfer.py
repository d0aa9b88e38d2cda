"""Exports and imports: DynamoDB's files out and in, Parquet, CSV; bad rows, damaged files."""

import base64
import gzip
import hashlib
import json
import threading
from decimal import Decimal
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from models.items import items as any_items
from models.items import normal, shown
from models.transfer import apply, item_of, lines_of
from moments import START

from engines import kv
from engines.clock import ManualClock
from engines.errors import AlreadyExists, Closed, Corrupted, Invalid, NotFound
from engines.kv.backup import transfer

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def store(clock, tmp_path):
    with kv.Store(tmp_path / "shop", clock=clock) as store:
        yield store


def all_of(table):
    return {item["id"]: item for item in table.scan().all()}


def sample(number):
    return {"id": number, "text": f"ü{number}", "price": Decimal(number) / 4, "raw": bytes([number]), "new": number > 5}


def fill(store, count=10, **options):
    table = store.create_table("t", key="id:N", **options)
    for number in range(count):
        table.put(sample(number))
    return table


# -- full exports ------------------------------------------------------------------------------------------------------


def test_an_export_is_laid_out_as_dynamodb_lays_it_out(store, tmp_path):
    table = fill(store)
    done = store.export("t", tmp_path / "bucket")
    folder = Path(done.path)
    assert folder.parent == tmp_path / "bucket" / "AWSDynamoDB"
    assert sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()) == [
        "data/00000.json.gz",
        "manifest-files.checksum",
        "manifest-files.json",
        "manifest-summary.checksum",
        "manifest-summary.json",
    ]
    summary = json.loads((folder / "manifest-summary.json").read_text())
    assert (summary["itemCount"], summary["outputFormat"], summary["exportType"], summary["exportTime"]) == (
        10,
        "DYNAMODB_JSON",
        "FULL_EXPORT",
        "2023-11-14T22:13:20.000Z",
    )
    (line,) = map(json.loads, (folder / "manifest-files.json").read_text().splitlines())
    data = (tmp_path / "bucket" / line["dataFileS3Key"]).read_bytes()
    assert line["itemCount"] == 10
    assert base64.b64decode(line["md5Checksum"]) == hashlib.md5(data, usedforsecurity=False).digest()
    found = [item_of(line["Item"]) for line in lines_of(done.files)]
    assert {item["id"]: item for item in found} == all_of(table)
    assert (done.items, done.bytes) == (10, len(data))


def test_two_exports_of_one_moment_lie_beside_each_other(store, tmp_path):
    fill(store)
    first, second = (store.export("t", tmp_path / "bucket") for _ in range(2))
    assert first.id != second.id
    assert Path(first.files[0]).read_bytes() == Path(second.files[0]).read_bytes()


def test_large_exports_are_several_files(store, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PART_BYTES", 2000)
    table = fill(store, 100)
    for format_ in ("dynamodb-json", "parquet"):
        done = store.export("t", tmp_path / "bucket", format=format_)
        assert len(done.files) > (2 if format_ == "dynamodb-json" else 0)
        again, report = store.import_table(f"t-{format_}", done.path, key="id:N", format=format_)
        assert report.ok
        assert all_of(again) == all_of(table)


def test_an_export_of_the_past_is_the_table_as_it_was(store, clock, tmp_path):
    table = fill(store, pitr=True)
    before = all_of(table)
    clock.advance(10)
    table.put({"id": 3, "text": "other"})
    table.delete(4)
    done = store.export("t", tmp_path / "bucket", at=START + 5)
    assert {line["Item"]["id"]["N"] for line in lines_of(done.files)} == {str(number) for number in before}
    again, _ = store.import_table("again", done.path, key="id:N")
    assert all_of(again) == before
    store.drop_table("t")
    assert store.export("t", tmp_path / "bucket", at=START + 5).items == 10


def test_an_expired_item_is_not_exported(store, clock, tmp_path):
    table = store.create_table("t", key="id:N", ttl="expires", pitr=True)
    for number in range(4):
        table.put({"id": number, "expires": START + number})
    clock.advance(2)
    assert store.export("t", tmp_path / "bucket").items == 1
    assert store.export("t", tmp_path / "bucket", at=START + 1).items == 2


def test_an_export_while_others_write_holds_nobody_up_and_is_one_moment(store, tmp_path):
    table = store.create_table("t", key="id:N")
    stop, count = threading.Event(), 0

    def write():
        nonlocal count
        while not stop.is_set():
            with table.batch_writer() as batch:
                for key in range(300):
                    batch.put({"id": key, "round": count})
            count += 1

    write_once = threading.Thread(target=write)
    write_once.start()
    try:
        exports = [lines_of(store.export("t", tmp_path / "bucket").files) for _ in range(5)]
    finally:
        stop.set()
        write_once.join()
    for lines in exports:
        rounds = [int(line["Item"]["round"]["N"]) for line in lines]
        assert max(rounds, default=0) - min(rounds, default=0) <= 1  # a batch is two frames


def test_a_reader_and_a_store_in_memory_export_too(store, clock, tmp_path):
    fill(store)
    store.close()
    with kv.Store(tmp_path / "shop", read_only=True, clock=clock) as reader:
        done = reader.export("t", tmp_path / "bucket")
    with kv.Store(clock=clock) as memory:
        table, report = memory.import_table("t", done.path, key="id:N")
        assert report.checked == table.scan(count=True).count == 10
        assert memory.export("t", tmp_path / "bucket").items == 10


# -- incremental exports -----------------------------------------------------------------------------------------------


def test_an_incremental_export_tells_what_became_of_each_item(store, clock, tmp_path):
    table = store.create_table("t", key="id:N", pitr=True)
    for number in range(5):
        table.put({"id": number, "n": 0})
    clock.advance(10)
    table.put({"id": 0, "n": 1})
    clock.advance(1)
    table.put({"id": 0, "n": 2})
    table.delete(1)
    table.put({"id": 7, "n": 1})
    table.put({"id": 8, "n": 1})
    table.delete(8)
    clock.advance(10)
    table.put({"id": 2, "n": 9})
    done = store.export("t", tmp_path / "bucket", since=START + 5, at=START + 15)
    lines = {line["Keys"]["id"]["N"]: line for line in lines_of(done.files)}
    time = {"WriteTimestampMicros": {"N": str((START + 11) * 1_000_000)}}
    one, two, new = ({"id": {"N": key}, "n": {"N": n}} for key, n in (("0", "0"), ("0", "2"), ("7", "1")))
    assert lines == {
        "0": {"Metadata": time, "Keys": {"id": {"N": "0"}}, "OldImage": one, "NewImage": two},
        "1": {"Metadata": time, "Keys": {"id": {"N": "1"}}, "OldImage": {"id": {"N": "1"}, "n": {"N": "0"}}},
        "7": {"Metadata": time, "Keys": {"id": {"N": "7"}}, "NewImage": new},
        "8": {"Metadata": time, "Keys": {"id": {"N": "8"}}},
    }
    assert Path(done.files[0]).parent == tmp_path / "bucket" / "AWSDynamoDB" / "data"
    summary = json.loads((Path(done.path) / "manifest-summary.json").read_text())
    assert summary["exportType"] == "INCREMENTAL_EXPORT"
    assert summary["exportFromTime"] < summary["exportToTime"]
    assert store.export("t", tmp_path / "bucket", since=START + 25 - 10, at=START + 20).items == 0
    with pytest.raises(Invalid, match="only full ones can be imported"):
        store.import_table("again", done.path, key="id:N")


keys = st.integers(0, 5)
steps = st.one_of(
    st.tuples(st.just("put"), keys, any_items, st.none() | st.integers(0, 200_000)),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("wait"), st.sampled_from([1, 3600, 100_000])),
    st.sampled_from([("checkpoint",), ("expire",)]),
)


@settings(max_examples=25)
@given(st.lists(steps, min_size=6, max_size=25), st.randoms(use_true_random=False))
def test_a_full_export_and_the_changes_since_make_the_later_one(tmp_path_factory, steps, random):
    path, clock = tmp_path_factory.mktemp("store"), ManualClock(START * 1_000_000)
    with kv.Store(path / "shop", clock=clock) as store:
        table = store.create_table("t", key="id:N", ttl="expires", pitr=True)
        times = [clock.now()]
        for step in steps:
            match step:
                case ("put", key, item, expires):
                    table.put({**item, "id": key} | ({} if expires is None else {"expires": START + expires}))
                case ("delete", key):
                    table.delete(key)
                case ("wait", seconds):
                    clock.advance(seconds)
                    times.append(clock.now())
                case ("checkpoint",):
                    store.checkpoint()
                case ("expire",):
                    store.expire()
        clock.advance(1)
        times = [*sorted(random.sample(times, min(len(times), 3))), clock.now()]
        items = None
        for since, at in zip([None, *times], times, strict=False):
            moment = Decimal(at) / 1_000_000
            lines = lines_of(store.export("t", path / "bucket", at=moment).files)
            full = {item["id"]: item for item in (item_of(line["Item"]) for line in lines)}
            if since is not None:
                before = Decimal(since) / 1_000_000
                changes = lines_of(store.export("t", path / "bucket", since=before, at=moment).files)
                assert apply(items, changes, "id") == full
            items = full
        assert {key: shown(normal(item)) for key, item in full.items()} == {
            key: shown(item) for key, item in all_of(table).items()
        }


# -- there and back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["dynamodb-json", "parquet"])
@settings(max_examples=25)
@given(st.lists(any_items, max_size=6))
def test_what_is_exported_is_imported_as_it_was(tmp_path_factory, format_, several):
    path = tmp_path_factory.mktemp("bucket")
    with kv.Store(clock=ManualClock(START * 1_000_000)) as store:
        table = store.create_table("t", key="id:N")
        for number, item in enumerate(several):
            table.put({**item, "id": number})
        done = store.export("t", path, format=format_)
        again, report = store.import_table("again", done.path, key="id:N", format=format_)
        assert report.ok
        assert report.checked == len(several)
        assert {key: shown(item) for key, item in all_of(again).items()} == {
            key: shown(item) for key, item in all_of(table).items()
        }
        assert store.verify().ok


def test_a_parquet_file_has_a_typed_column_where_all_values_are_of_one_type(store, tmp_path):
    table = fill(store, 3)
    table.put({"id": 9, "text": 5, "tags": {"a", "b"}, "big": 2**70, "null": None})
    done = store.export("t", tmp_path / "bucket", format="parquet")
    found = parquet.read_table(done.files[0])
    types = {field.name: str(field.type) for field in found.schema}
    assert types == {
        "id": "int64",
        "text": "string",
        "price": "decimal128(38, 2)",
        "raw": "binary",
        "new": "bool",
        "tags": "string",
        "big": "decimal128(38, 0)",
        "null": "string",
    }
    rows = {row["id"]: row for row in found.to_pylist()}
    assert rows[1]["price"] == Decimal("0.25")
    assert rows[1]["text"] == '{"S":"ü1"}'
    assert rows[9] == {
        **dict.fromkeys(types),
        "id": 9,
        "text": '{"N":"5"}',
        "tags": '{"SS":["a","b"]}',
        "big": 2**70,
        "null": '{"NULL":true}',
    }


def test_an_import_takes_the_options_of_a_table_and_shows_it_when_it_is_whole(store, tmp_path):
    fill(store)
    done = store.export("t", tmp_path / "bucket")
    indexes = [{"name": "by-text", "key": "text:S"}]
    table, _ = store.import_table(
        "again", done.path, key="id:N", ttl="price", stream=True, indexes=indexes, capacity=(100, 1), pitr=True
    )
    assert table.describe()["pitr"] is True
    assert table.query("#t = :t", index="by-text", names={"#t": "text"}, values={":t": "ü3"}).items == [sample(3)]
    assert [change.kind for change in table.changes()] == ["INSERT"] * 10
    assert store.verify().ok


# -- other sources -----------------------------------------------------------------------------------------------------

LINES = b"".join(b'{"Item":{"id":{"N":"%d"},"text":{"S":"x"}}}\n' % number for number in range(2500))
FIRST, SECOND = (b"".join(LINES.splitlines(keepends=True)[start : start + 10]) for start in (0, 10))


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zstandard.compress, lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:])]
)
def test_lines_may_be_plain_or_packed_and_are_synced_by_the_thousand(store, tmp_path, pack):
    (tmp_path / "lines").write_bytes(pack(LINES))
    before = store.log.syncs
    table, report = store.import_table("t", tmp_path / "lines", key="id:N")
    assert report.checked == table.scan(count=True).count == 2500
    assert 3 <= store.log.syncs - before <= 6


def test_a_folder_and_a_list_of_files_are_one_source(store, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.json").write_bytes(FIRST)
    (tmp_path / "in" / "a.json.gz").write_bytes(gzip.compress(SECOND))
    (tmp_path / "in" / "_started").write_bytes(b"")
    count = 20
    _, report = store.import_table("folder", tmp_path / "in", key="id:N")
    assert report.checked == count
    _, report = store.import_table("list", [tmp_path / "in" / "b.json", str(tmp_path / "in" / "a.json.gz")], key="id:N")
    assert report.checked == count


def test_csv_values_are_texts_but_for_keys_indexes_and_what_types_say(store, tmp_path):
    (tmp_path / "file.csv").write_bytes(
        '\ufeffid;text;n;sold;price;raw\n1;"a;""b""\nc";5;true;9.50;aGk=\n\n2;;;FALSE;;\n'.encode()
    )
    table, report = store.import_table(
        "t",
        tmp_path / "file.csv",
        key="id:N",
        format="csv",
        delimiter=";",
        types={"sold": "BOOL", "raw": "B", "n": "N"},
        indexes=[{"name": "by-price", "key": "price:N"}],
    )
    assert report.ok, report
    assert all_of(table) == {
        1: {"id": 1, "text": 'a;"b"\nc', "n": 5, "sold": True, "price": Decimal("9.5"), "raw": b"hi"},
        2: {"id": 2, "text": "", "sold": False},
    }
    assert table.scan(index="by-price").count == 1


def test_a_parquet_file_of_others_is_imported_with_floats_as_they_print(store, tmp_path):
    rows = [
        {"id": 1, "x": 0.1, "list": [1.5, None], "map": {"a": 2}},
        {"id": 2, "x": float("nan"), "list": None, "map": None},
        {"id": 3, "x": 1e300, "list": [], "map": None},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "file.parquet")
    table, report = store.import_table("t", tmp_path / "file.parquet", key="id:N", format="parquet")
    assert all_of(table) == {1: {"id": 1, "x": Decimal("0.1"), "list": [Decimal("1.5"), None], "map": {"a": 2}}}
    assert [problem.what.partition(":")[0] for problem in report.problems] == ["line 2", "line 3"]
    times = pyarrow.table({"id": [1], "at": pyarrow.array([5], pyarrow.timestamp("us"))})
    parquet.write_table(times, tmp_path / "times.parquet")
    with pytest.raises(Invalid, match=r"none of the 1 rows .* line 1: attribute 'at' is a datetime"):
        store.import_table("u", tmp_path / "times.parquet", key="id:N", format="parquet")


# -- bad rows and damage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"no json", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"5", 'an object like {"Item"'),
        (b'{"id":{"N":"1"}}', 'an object like {"Item"'),
        (b'{"Item":5}', "an item is an object"),
        (b'{"Item":{"id":{"N":"1","S":"1"}}}', "its type as the only name"),
        (b'{"Item":{"id":{"N":"1"},"a":{"Q":"1"}}}', "no type 'Q'"),
        (b'{"Item":{"id":{"N":"one"}}}', "not a number"),
        (b'{"Item":{"id":{"S":"one"}}}', "id"),
        (b'{"Item":{"text":{"S":"one"}}}', "id"),
        (b'{"Item":{"id":{"N":"1"},"a":{"SS":[]}}}', "set can not be empty"),
        (b'{"Item":{"id":{"N":"1"},"a":{"B":"?"}}}', "not base64"),
        (b'{"Item":{"id":{"N":"1"},"a":{"S":"%s"}}}' % (b"x" * 410_000), "409,600|400 KB"),
        (b'{"Item":{"id":{"N":"1"},"a":{"S":"%s"}}}' % (b"x" * 4_300_000), "at most 4,194,304 bytes"),
        (b'{"Item":{"id":{"N":"1"},"a":%s}}' % (b'{"L":[' * 40 + b"]}" * 40), "deeper than 32|nested"),
    ],
)
def test_a_row_that_can_not_be_stored_is_named_with_its_line_and_stops_no_other(store, tmp_path, line, says):
    (tmp_path / "lines").write_bytes(FIRST + b"\n\n" + line + b"\n" + LINES[len(FIRST) :])
    table, report = store.import_table("t", tmp_path / "lines", key="id:N")
    (problem,) = report.problems
    assert problem.file == str(tmp_path / "lines")
    assert problem.what.startswith("line 13: ")
    assert any(word in problem.what for word in says.split("|"))
    assert table.scan(count=True).count == 2500
    assert report.checked == 2501


def test_csv_rows_that_make_no_sense_are_named(store, tmp_path):
    (tmp_path / "file.csv").write_bytes(b'id,n\n1,1\n2\n3,4,5\n4,"a"b\n,1\nx,1\n5,\xff\n6,6\n')
    table, report = store.import_table("t", tmp_path / "file.csv", key="id:N", format="csv")
    assert sorted(all_of(table)) == [1, 6]
    lines = [problem.what.partition(":")[0] for problem in report.problems]
    assert lines == ["line 3", "line 4", "line 5", "line 6", "line 7", "line 8"]
    assert report.checked == 8


def test_more_bad_rows_than_can_be_named_are_counted(store, tmp_path, monkeypatch):
    from engines.kv.backup import imports  # noqa: PLC0415 - only here

    monkeypatch.setattr(imports, "MOST_PROBLEMS", 5)
    (tmp_path / "lines").write_bytes(b"x\n" * 20 + LINES)
    _, report = store.import_table("t", tmp_path / "lines", key="id:N")
    assert len(report.problems) == 6
    assert "15 more rows" in str(report)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor(write_checksum=True).compress])
@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_a_damaged_file_is_named_and_no_table_is_made(store, tmp_path, pack, harm):
    data = bytearray(pack(LINES))
    if harm == "flip":
        data[len(data) * 3 // 4] ^= 0x10
    else:
        del data[len(data) - 4 :]
    (tmp_path / "lines.gz").write_bytes(data)
    with pytest.raises(Corrupted, match=r"lines\.gz is damaged after line [\d,]+ .*nothing was imported"):
        store.import_table("t", tmp_path / "lines.gz", key="id:N")
    assert store.tables() == []
    assert list(store.schema.by_name) == []


def test_every_flipped_byte_of_an_export_is_named_or_harmless(store, tmp_path):
    table = fill(store, 30)
    for format_ in ("dynamodb-json", "parquet"):
        (file,) = store.export("t", tmp_path / "bucket", format=format_).files
        data = Path(file).read_bytes()
        harmless = 0
        for at in range(0, len(data), 11):
            Path(file).write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
            try:
                again, report = store.import_table("again", file, key="id:N", format=format_)
            except (Corrupted, Invalid):
                assert store.tables() == ["t"]
                continue
            harmless += report.ok and all_of(again) == all_of(table)
            if format_ == "dynamodb-json":  # Parquet's footer has no checksum
                assert all_of(again) == all_of(table) or not report.ok
            store.drop_table("again")
        assert harmless < len(data) // 22


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "error", "says"),
    [
        (lambda store, to: store.export("tt", to), NotFound, "did you mean 't'"),
        (lambda store, to: store.export("t", to, format="json-dynamodb"), Invalid, "format is one of"),
        (lambda store, to: store.export("t", to, at=START + 1), NotFound, "in the future"),
        (lambda store, to: store.export("t", to, at=START), NotFound, "recovery of table t is off"),
        (lambda store, to: store.export("t", to, since=START), Invalid, "since must be before at"),
        (lambda store, to: store.export("t", to, since=START - 1), NotFound, "recovery of table t is off"),
        (lambda store, to: store.export("t", to, since=START - 1, format="parquet"), Invalid, "leave out format"),
        (lambda store, to: store.export("t", to, at="now"), Invalid, "at is a datetime"),
        (lambda store, to: store.export("t", f"{to}/a/b"), NotFound, "does not exist"),
        (lambda store, _: store.export("t", f"{store.path}/ENGINE"), Invalid, "is a file"),
        (lambda store, _: store.export("t", 5), Invalid, "name of a folder"),
        (lambda store, to: store.import_table("new", to, key="id:N"), NotFound, "there is no file"),
        (lambda store, _: store.import_table("new", 5, key="id:N"), Invalid, "source is a file"),
        (lambda store, _: store.import_table("new", [], key="id:N"), NotFound, "no files in"),
        (lambda store, _: store.import_table("t", store.path, key="id:N"), AlreadyExists, "'t' already"),
        (lambda store, _: store.import_table("new", store.path, key="id"), Invalid, "name:TYPE"),
        (lambda store, _: store.import_table("new", store.path, key="id:N", format="ion"), Invalid, "format is one"),
        (lambda store, _: store.import_table("new", store.path, key="id:N", delimiter=";;"), Invalid, "delimiter"),
        (lambda store, _: store.import_table("new", store.path, key="id:N", types={"a": "N"}), Invalid, "types= is"),
        (
            lambda store, _: store.import_table("new", store.path, key="id:N", format="csv", types={"a": "M"}),
            Invalid,
            "S N B BOOL",
        ),
        (
            lambda store, _: store.import_table("new", f"{store.path}/ENGINE", key="id:N", format="csv"),
            Invalid,
            "names each attribute once",
        ),
        (
            lambda store, _: store.import_table("new", f"{store.path}/ENGINE", key="id:N", format="parquet"),
            Corrupted,
            "ENGINE is damaged",
        ),
        (
            lambda store, _: store.import_table("new", store.path, key="id:N", indexes=[{"name": "x"}]),
            Invalid,
            "an index is",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(store, tmp_path, use, error, says):
    fill(store, 2)
    with pytest.raises(error, match=says):
        use(store, tmp_path / "bucket")
    assert store.tables() == ["t"]
    assert list(store.schema.by_name) == ["t"]
    assert not (tmp_path / "bucket").exists()


def test_a_closed_store_says_so(store, tmp_path):
    fill(store, 2)
    store.close()
    with pytest.raises(Closed):
        store.export("t", tmp_path / "bucket")
    with pytest.raises(Closed):
        store.import_table("u", tmp_path, key="id:N")


def test_the_folder_of_one_export_is_where_it_was_exported_to(tmp_path):
    with kv.Store() as store:
        table = store.create_table("t", key="id:N", pitr=True)
        table.put({"id": 1, "text": "x"})
        store.export("t", tmp_path / "out")
        copy, report = store.import_table("copy", tmp_path / "out", key="id:N")
        assert report.ok
        assert copy.scan().items == [{"id": 1, "text": "x"}]
        store.export("t", tmp_path / "out")
        with pytest.raises(Invalid, match="holds 2 exports: name the folder of one"):
            store.import_table("again", tmp_path / "out", key="id:N")


def test_a_snapshots_name_is_checked_as_one():
    with kv.Store() as store, pytest.raises(Invalid, match="a snapshot's name has 1 to 100 letters"):
        store.snapshot("a b")
