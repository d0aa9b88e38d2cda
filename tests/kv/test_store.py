"""Stores: opening and refusing, in memory, looking inside, closing."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from crash.journal import content
from crash.recorder import RecordingFileSystem

from engines import kv
from engines.errors import (
    Closed,
    Conflict,
    Corrupted,
    Invalid,
    Locked,
    NotFound,
    ReadOnly,
)


def python(code, *arguments):
    """Run it in another process; what it prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], text=True, capture_output=True, check=False)  # noqa: S603 - our own code
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def fill(store, count=20):
    table = store.create_table("orders", key="id:N", ttl="expires", stream=True)
    for number in range(count):
        table.put({"id": number, "text": "x" * number})
    return table


# -- opening -----------------------------------------------------------------------------------------------------------


def test_what_was_written_is_there_after_closing_and_opening(path):
    with kv.Store(path) as store:
        before = fill(store).scan().items
    with kv.Store(path) as store:
        assert store.tables() == ["orders"]
        assert store.table("orders").scan().items == before
        assert len(list(store.changes())) == 20


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Invalid, match="is a file; the kv engine keeps its data in a folder"):
        kv.Store(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ("graph 1\n", r"belongs to the graph engine, not to kv: open it with engines\.graph"),
        ("kv 999\n", "format version 999, this release of kv reads up to 1: upgrade"),
        ("nonsense", "does not say which engine this is"),
        (None, "is not empty, so nothing was created"),
    ],
)
def test_the_folder_of_somebody_else_or_of_a_newer_version_is_refused_untouched(tmp_path, marker, says):
    (tmp_path / "precious").write_text("data")
    if marker is not None:
        (tmp_path / "ENGINE").write_text(marker)
    before = {file.name for file in tmp_path.iterdir()} | {"lock"}
    for read_only in (False, True):
        with pytest.raises(Invalid, match=says if marker or not read_only else "holds no kv store"):
            kv.Store(tmp_path, read_only=read_only)
    assert {file.name for file in tmp_path.iterdir()} | {"lock"} == before


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"path": ""}, Invalid),
        ({"path": b"shop"}, Invalid),
        ({"durability": "often"}, Invalid),
        ({"read_only": True}, Invalid),
    ],
)
def test_options_that_make_no_sense_are_refused(options, error):
    with pytest.raises(error):
        kv.Store(**options)


def test_a_store_that_is_not_there_is_not_found_by_a_reader_nor_made_without_its_parent(path):
    with pytest.raises(NotFound, match="open it without read_only=True to create one"):
        kv.Store(path, read_only=True)
    with pytest.raises(NotFound, match="create it first"):
        kv.Store(f"{path}/deeper")
    assert not Path(path).exists()


def test_one_process_writes_and_others_read_the_last_checkpoint(path):
    with kv.Store(path) as store:
        table = fill(store)
        store.checkpoint()
        table.put({"id": 100, "a name learnt": "later"})
        locked = "import sys; from engines import kv, errors\ntry: kv.Store(sys.argv[1])\n"
        locked += "except errors.Locked as error: print(error.process, error)"
        process, says = python(locked, path).split(maxsplit=1)
        assert int(process) > 0
        assert "close it there, or open it here with read_only=True" in says
        read = "import sys; from engines import kv\nstore = kv.Store(sys.argv[1], read_only=True)\n"
        read += "print(store.table('orders').scan().count, len(list(store.changes())), store.verify().ok)"
        assert python(read, path) == "20 20 True"
        with pytest.raises((Locked, Conflict)):
            kv.Store(path)
        with pytest.raises(Conflict, match="open in this process already"):
            kv.Store(path, read_only=True)
        assert table.get(100) is not None
    assert python(read, path) == "21 21 True"


def test_a_reader_refuses_every_write_and_changes_nothing(path):
    with kv.Store(path) as store:
        fill(store).put({"id": 100, "expires": 5})
    before = {file: file.read_bytes() for file in Path(path).rglob("*") if file.is_file() and file.name != "lock.mdb"}
    with kv.Store(path, read_only=True) as store:
        table = store.table("orders")
        batch = ExitStack().enter_context(table.batch_writer())
        batch.put({"id": 5, "new": 1})
        writes = [
            lambda: table.put({"id": 1, "text": "other"}),
            lambda: table.put({"id": 1, "never met": 1}),
            lambda: table.delete(1),
            batch.flush,
            lambda: store.create_table("more", key="id:N"),
            lambda: store.drop_table("orders"),
            store.checkpoint,
        ]
        for write in writes:
            with pytest.raises(ReadOnly, match="read_only=True"):
                write()
        assert table.scan().count == 21
        assert list(store.changes(follow=True, timeout=0)) != []
    after = {file: file.read_bytes() for file in Path(path).rglob("*") if file.is_file() and file.name != "lock.mdb"}
    assert after == before


@pytest.mark.parametrize("text", [b"x" * 2, b"x" * 30, b"x" * 45])
def test_a_flipped_byte_in_the_log_of_a_killed_store_is_named_at_open(text):
    files = RecordingFileSystem()
    store = kv.Store("/shop", files=files)
    fill(store, 50).put({"id": 1, "last": "word"})
    (segment,) = files.listdir("/shop/log")
    image = files.image()
    store.close()
    data = image[f"/shop/log/{segment}"].expand()
    at = data.index(text)
    image[f"/shop/log/{segment}"] = content(data[:at] + b"y" + data[at + 1 :])
    with pytest.raises(Corrupted, match="damaged now; restore a snapshot") as damaged:
        kv.Store("/shop", files=RecordingFileSystem(image))
    assert damaged.value.file == f"/shop/log/{segment}"
    assert 0 < at - damaged.value.offset < 150


def test_a_truncated_segment_of_a_closed_store_is_named_at_open(path):
    with kv.Store(path) as store:
        fill(store)
    (segment,) = Path(path, "log").glob("*.log")
    segment.write_bytes(segment.read_bytes()[:200])
    with pytest.raises(Corrupted, match=r"frames up to \d+ were applied: restore a snapshot"):
        kv.Store(path)


# -- a store in memory -------------------------------------------------------------------------------------------------


def test_a_store_in_memory_does_all_that_one_on_disk_does_and_leaves_nothing():
    with kv.Store() as store:
        table = fill(store)
        assert len(list(store.changes())) == 20
        assert store.checkpoint() > 20
        assert table.query("id = :i", values={":i": 7}).items == [{"id": 7, "text": "x" * 7}]
        assert store.verify().ok
        assert str(store) == "<kv.Store in memory>"
    with kv.Store() as other:
        assert other.tables() == []


# -- looking inside ----------------------------------------------------------------------------------------------------


def test_stats_and_layout_say_what_is_there(path):
    with kv.Store(path) as store:
        fill(store, 50)
        store.checkpoint()
        stats = dict(store.stats().rows())
        assert (stats["tables"], stats["items"]) == (1, 50)
        assert stats["tree applied"] == stats["tree checkpointed"] == stats["log last sequence"] - 1
        layout = {row[0]: row for row in store.layout().rows()}
        assert layout["t/1"][1:3] == ("items of orders", 50)
        assert layout["x/1"][1:3] == ("expiries of orders", 0)
        assert sum(row[3] for row in layout.values() if row[0].endswith(".log")) == stats["log bytes"]
        assert sum(row[5] for row in layout.values()) == pytest.approx(1, abs=0.01)
        assert store.explain("orders").counters["items_examined"] == 50


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (lambda items, image: items.put(items.first()[0], image[:-1]), "key"),
        (lambda items, image: items.put(items.first()[0], bytes(items.page(limit=3)[2][1])), "is another one"),
        (
            lambda items, image: items.put(items.first()[0], image.replace(b"sold", b"kept")),
            "not the one the log holds",
        ),
        (lambda items, image: items.delete(items.first()[0]), "not the one the log holds"),
    ],
)
def test_verify_finds_an_item_that_was_tampered_with(tamper, says):
    with kv.Store() as store:
        table = store.create_table("t", key="id:N", stream=True)
        for number in range(5):
            table.put({"id": number, "state": "sold"})
        assert store.verify().ok
        with store.tree.lock:
            items = store.tree.keyspace("t/1")
            tamper(items, items.first()[1])
        report = store.verify()
        assert not report.ok
        assert says in str(report)


def test_a_damaged_item_is_named_by_those_who_read_it():
    with kv.Store() as store:
        table = fill(store, 3)
        with store.tree.lock:
            items = store.tree.keyspace("t/1")
            items.put(items.first()[0], b"\0\0\0\0\xff\xff\xff")
        uses = [
            lambda: table.get(0),
            table.scan,
            lambda: table.put({"id": 0}, returns="ALL_OLD"),
            lambda: table.delete(0, condition="attribute_exists(id)"),
        ]
        for use in uses:
            with pytest.raises(Corrupted, match="table orders"):
                use()
        assert table.get(1) is not None


# -- closing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_closed_store_and_its_tables_say_so_and_closing_twice_is_harmless(path, in_memory):
    store = kv.Store(None if in_memory else path)
    table = fill(store, 3)
    batch = ExitStack().enter_context(table.batch_writer())
    batch.put({"id": 9})
    store.close()
    store.close()
    uses = [
        lambda: table.get(1),
        lambda: table.get(1, consistent=True),
        lambda: table.put({"id": 1}),
        lambda: table.delete(1),
        lambda: table.query("id = :i", values={":i": 1}),
        table.scan,
        table.explain,
        table.describe,
        table.changes,
        batch.flush,
        store.tables,
        lambda: store.table("orders"),
        lambda: store.create_table("more", key="id:N"),
        lambda: store.drop_table("orders"),
        store.expire,
        store.checkpoint,
        store.changes,
        store.stats,
        store.layout,
        store.verify,
        lambda: store.explain("orders"),
    ]
    for use in uses:
        with pytest.raises(Closed, match="is closed: open it again"):
            use()
    assert "closed" in repr(store)
    if not in_memory:
        with kv.Store(path) as again:
            assert again.table("orders").scan().count == 3


def test_closing_lets_go_of_the_folder_whatever_happens(path):
    with pytest.raises(ZeroDivisionError), kv.Store(path):
        _ = 1 / 0
    with kv.Store(path) as store:
        fill(store)
    for _ in range(3):
        with kv.Store(path) as store:
            assert store.table("orders").scan().count == 20
