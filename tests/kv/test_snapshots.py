"""Snapshots: one moment kept, shared pages, copies, backups of a table, a store out of a snapshot."""

import threading
from pathlib import Path

import pytest
from moments import START

from engines import kv
from engines.errors import AlreadyExists, Closed, Corrupted, Invalid, NotFound, ReadOnly
from engines.kv.backup.snapshots import BLOB_BYTES, decode_page, encode_page, pages_of


@pytest.fixture
def store(clock, tmp_path):
    with kv.Store(tmp_path / "shop", clock=clock) as store:
        yield store


def fill(store, name="orders", count=300, **options):
    table = store.create_table(name, key=("customer:S", "order:N"), **options)
    with table.batch_writer() as batch:
        for number in range(count):
            batch.put({"customer": f"c{number % 10}", "order": number, "text": f"{number}" * 20})
    return table


def everything(store):
    return {name: sorted(map(repr, store.table(name).scan().all())) for name in store.tables()}


def blobs(path):
    return {file.name: file.stat().st_size for file in Path(path).glob("??/*")}


def test_a_snapshot_is_restored_as_a_store_with_all_that_its_tables_had(store, clock, tmp_path):
    indexes = [{"name": "by-text", "key": "text:S", "projection": ("order",)}]
    table = fill(store, ttl="expires", stream=True, indexes=indexes, capacity=(500, 9000), pitr=True)
    table.put({"customer": "ann", "order": 1, "expires": START + 100, "text": "soon gone"})
    fill(store, "visits", 5)
    before, described = everything(store), table.describe()
    store.snapshot("monday")
    table.put({"customer": "ann", "order": 2})
    store.drop_table("visits")
    with kv.Store.restore(store, "monday", tmp_path / "again", clock=clock) as again:
        assert everything(again) == before
        copy = again.table("orders")
        assert {**copy.describe(), "id": 0} == {**described, "id": 0}
        assert copy.query("#t = :t", index="by-text", names={"#t": "text"}, values={":t": "soon gone"}).count == 1
        assert again.verify().ok
        clock.advance(1000)
        assert again.expire() == 1
        copy.put({"customer": "bob", "order": 1, "a new name": 1})
        changed = everything(again)
    with kv.Store(tmp_path / "again", clock=clock) as again:
        assert everything(again) == changed
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again", "shop"]


def test_a_snapshot_is_one_moment_while_others_write(store, tmp_path):
    """Each round puts the same number into two tables, one after the other."""
    tables = [store.create_table(name, key="id:N") for name in ("first", "second")]
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            for table in tables:
                with table.batch_writer() as batch:
                    for key in range(5):
                        batch.put({"id": key, "number": number})
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            store.snapshot(f"n{number}")
    finally:
        stop.set()
        writer.join()
    for number in range(5):
        with kv.Store.restore(tmp_path / "shop", f"n{number}", None) as again:
            first, second = ([item["number"] for item in again.table(name).scan()] for name in ("first", "second"))
            assert len(set(first)) <= 1
            assert len(set(second)) <= 1
            assert max(first, default=0) - max(second, default=0) in {0, 1}


def test_a_second_snapshot_writes_only_what_has_changed(store, tmp_path):
    table = store.create_table("t", key="id:N")
    with table.batch_writer() as batch:
        for number in range(20_000):
            batch.put({"id": number, "text": f"{number:05}" * 100})
    store.snapshot("one")
    first = blobs(tmp_path / "shop" / "snapshots")
    assert len(first) > 30
    store.snapshot("same")
    assert blobs(tmp_path / "shop" / "snapshots") == first
    table.put({"id": 5000, "text": "other"})
    table.delete(10_000)
    table.put({"id": -1, "text": "first"})
    store.snapshot("two")
    added = set(blobs(tmp_path / "shop" / "snapshots")) - set(first)
    assert 5 <= len(added) <= 6  # two manifests, three pages, one more where a border has gone
    for name in ("one", "same", "two"):
        store.drop_snapshot(name)


def test_dropped_snapshots_leave_nothing_that_no_other_needs(store, clock, tmp_path):
    table = fill(store)
    store.snapshot("one")
    table.put({"customer": "ann", "order": 1})
    store.snapshot("two")
    store.drop_snapshot("one")
    clock.advance(hours=2)
    store.snapshot("three")
    store.drop_snapshot("three")
    assert kv.Store.restore(store, "two", None).table("orders").scan(count=True).count == 301
    clock.advance(hours=2)
    store.drop_snapshot("two")
    clock.advance(hours=2)
    store.kept_snapshots.collect()
    assert blobs(tmp_path / "shop" / "snapshots") == {}
    assert len(store.snapshots()) == 0


def test_the_list_of_snapshots_says_what_they_hold(store, clock):
    fill(store)
    fill(store, "visits", 5)
    store.snapshot("all")
    clock.advance(60)
    store.snapshot("visits-only", tables=["visits"])
    rows = [(row.name, row.time.timestamp(), row.tables, row.items) for row in store.snapshots()]
    assert rows == [("all", START, "orders, visits", 305), ("visits-only", START + 60, "visits", 5)]


def test_a_backup_of_one_table_is_a_snapshot_of_it_and_is_restored_beside_it(store, clock):
    table = fill(store, ttl="expires", stream=True)
    fill(store, "visits", 5)
    store.snapshot("backup", tables=["orders"])
    store.snapshot("all")
    before = everything(store)["orders"]
    for order in range(300):
        table.delete(f"c{order % 10}", order)
    for name in ("backup", "all"):
        restored = store.restore_table("orders", snapshot=name, to=f"from-{name}")
        assert everything(store)[f"from-{name}"] == before
        assert restored.describe()["ttl"] is restored.describe()["stream"] is None
    with pytest.raises(NotFound, match="'backup' holds no table 'visits'"):
        store.restore_table("visits", snapshot="backup", to="more")
    with pytest.raises(NotFound, match="did you mean 'backup'"):
        store.restore_table("orders", snapshot="bakcup", to="more")
    store.drop_table("orders")
    clock.advance(days=400)
    assert store.restore_table("orders", snapshot="all", to="orders").scan(count=True).count == 300
    assert store.verify().ok


def test_a_snapshot_is_copied_to_another_folder_and_later_ones_copy_what_is_missing(store, tmp_path):
    table = fill(store)
    store.snapshot("one", tmp_path / "far")
    first = blobs(tmp_path / "far")
    table.put({"customer": "ann", "order": 1})
    store.snapshot("two")
    store.snapshot("two", tmp_path / "far")
    assert set(first) < set(blobs(tmp_path / "far"))
    for name, count in (("one", 300), ("two", 301)):
        with kv.Store.restore(tmp_path / "far", name, None) as again:
            assert again.table("orders").scan(count=True).count == count
    with pytest.raises(AlreadyExists, match=r"'two' in .*far already"):
        store.snapshot("two", tmp_path / "far")
    with pytest.raises(Invalid, match="leave out tables="):
        store.snapshot("one", tmp_path / "farther", tables=["orders"])


def test_a_copy_that_was_cut_short_goes_on(store, tmp_path, monkeypatch):
    fill(store)
    from engines.storage.blobs import Blobs  # noqa: PLC0415 - only here

    put_many = Blobs.put_many
    with monkeypatch.context() as patch:

        def one_then_fail(blobs, datas):
            if blobs.path is not None and blobs.path.endswith("far"):
                put_many(blobs, list(datas)[:1])
                raise OSError(5, "Input/output error")
            return put_many(blobs, datas)

        patch.setattr(Blobs, "put_many", one_then_fail)
        with pytest.raises(OSError, match="Input"):
            store.snapshot("one", tmp_path / "far")
    assert len(blobs(tmp_path / "far")) == 1
    store.snapshot("one", tmp_path / "far")
    assert kv.Store.restore(tmp_path / "far", "one", None).table("orders").scan(count=True).count == 300


def test_a_store_in_memory_keeps_snapshots_too(clock, tmp_path):
    with kv.Store(clock=clock) as store:
        table = fill(store)
        store.snapshot("one", tmp_path / "far")
        table.put({"customer": "ann", "order": 1})
        assert store.restore_table("orders", snapshot="one", to="before").scan(count=True).count == 300
        with kv.Store.restore(store, "one", None) as again:
            assert everything(again)["orders"] == everything(store)["before"]
        store.drop_snapshot("one")
        assert list(store.kept_snapshots.place.blobs.list()) == []
    assert kv.Store.restore(tmp_path / "far", "one", None).tables() == ["orders"]


@pytest.mark.parametrize(
    ("use", "error", "says"),
    [
        (lambda store: store.snapshot("a/b"), Invalid, "a snapshot's name has"),
        (lambda store: store.snapshot(5), Invalid, "a snapshot's name has"),
        (lambda store: store.snapshot(""), Invalid, "a snapshot's name has"),
        (lambda store: store.snapshot("one"), AlreadyExists, "drop_snapshot"),
        (lambda store: store.snapshot("two", tables=["order"]), NotFound, "did you mean 'orders'"),
        (lambda store: store.snapshot("two", tables="orders"), Invalid, "a list of tables"),
        (lambda store: store.snapshot("two", tables=[]), Invalid, "a list of tables"),
        (lambda store: store.snapshot("two", f"{store.path}/nowhere/deeper"), NotFound, "does not exist"),
        (lambda store: store.snapshot("two", f"{store.path}/ENGINE"), Invalid, "is a file"),
        (lambda store: store.snapshot("two", store.path), Invalid, "the folder of a store"),
        (lambda store: store.snapshot("two", b"x"), Invalid, "name of a folder"),
        (lambda store: store.drop_snapshot("on"), NotFound, "did you mean 'one'"),
        (lambda store: kv.Store.restore(store, "on", f"{store.path}-2"), NotFound, "did you mean 'one'"),
        (lambda store: kv.Store.restore(store, "one", store.path), AlreadyExists, "into a new folder"),
        (lambda store: kv.Store.restore(f"{store.path}-3", "one", f"{store.path}-2"), NotFound, "no snapshots in"),
        (lambda store: kv.Store.restore(5, "one", f"{store.path}-2"), Invalid, "source is a store"),
        (lambda store: kv.Store.restore(store, "one", f"{store.path}-2/x"), NotFound, "does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(store, tmp_path, use, error, says):
    fill(store)
    store.snapshot("one")
    before = sorted(tmp_path.iterdir()), blobs(tmp_path / "shop" / "snapshots")
    with pytest.raises(error, match=says):
        use(store)
    assert (sorted(tmp_path.iterdir()), blobs(tmp_path / "shop" / "snapshots")) == before
    assert len(store.snapshots()) == 1


def test_every_flipped_byte_of_a_snapshot_is_named(store, tmp_path):
    fill(store, count=20)
    store.snapshot("one")
    folder = tmp_path / "shop" / "snapshots"
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) == 5  # page, head, two manifests, the ref
    for file in files:
        data = file.read_bytes()
        for at in range(0, len(data), 7):
            file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            with pytest.raises(Corrupted, match=file.name):
                kv.Store.restore(store, "one", tmp_path / "again")
            assert not (tmp_path / "again").exists()
            assert file.name in str(store.verify())
        file.write_bytes(data)
    (folder / files[0].parent.name / files[0].name).unlink()
    assert not store.verify().ok
    files[0].write_bytes(b"")
    with pytest.raises(Corrupted, match=files[0].name):
        kv.Store.restore(store, "one", tmp_path / "again")


def test_a_restore_that_failed_is_done_again_in_the_same_place(store, tmp_path, clock):
    fill(store)
    store.snapshot("one")
    page = max((tmp_path / "shop" / "snapshots").glob("??/*"), key=lambda file: file.stat().st_size)
    data = page.read_bytes()
    page.write_bytes(data[:-1])
    with pytest.raises(Corrupted):
        kv.Store.restore(store, "one", tmp_path / "again", clock=clock)
    assert not (tmp_path / "again").exists()
    page.write_bytes(data)
    with kv.Store.restore(store, "one", tmp_path / "again", clock=clock) as again:
        assert everything(again) == everything(store)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again", "shop"]


def test_a_damaged_snapshot_stops_no_checkpoint_and_can_be_dropped(store, tmp_path, clock):
    table = fill(store, pitr=True)
    for name in ("one", "two", "three"):
        table.put({"customer": "ann", "order": 1, "text": name})
        store.snapshot(name)
    (tmp_path / "shop" / "snapshots" / "refs" / "snapshot" / "two").write_bytes(b"nonsense")
    for _ in range(40):
        table.put({"customer": "ann", "order": 2, "time": clock.now()})
        clock.advance(days=1.5)
        store.checkpoint()
    assert "snapshot/two" in str(store.verify())
    store.drop_snapshot("two")
    clock.advance(days=1.5)
    store.checkpoint()
    assert store.verify().ok
    assert len(store.bases.all()[1]) < 28
    with kv.Store.restore(store, "three", None) as again:
        assert again.table("orders").get("ann", 1)["text"] == "three"


def test_views_of_a_store_in_memory_are_of_now_one_after_the_other(clock):
    with kv.Store(clock=clock) as store:
        table = fill(store)
        entered, leave = threading.Event(), threading.Event()

        def look():
            with store.kept_snapshots.view():
                entered.set()
                leave.wait(10)

        looking = threading.Thread(target=look)
        looking.start()
        assert entered.wait(10)
        table.put({"customer": "ann", "order": 1})
        taking = threading.Thread(target=store.snapshot, args=("one",))
        taking.start()
        leave.set()
        taking.join(10)
        looking.join(10)
        assert store.restore_table("orders", snapshot="one", to="again").scan(count=True).count == 301


def test_a_reader_takes_no_snapshot_and_a_closed_store_says_so(store, tmp_path, clock):
    fill(store)
    store.snapshot("one")
    store.close()
    for use in (lambda: store.snapshot("two"), store.snapshots, lambda: store.drop_snapshot("one")):
        with pytest.raises(Closed):
            use()
    with kv.Store(tmp_path / "shop", read_only=True, clock=clock) as reader:
        assert len(reader.snapshots()) == 1
        for use in (lambda: reader.snapshot("two"), lambda: reader.drop_snapshot("one")):
            with pytest.raises(ReadOnly):
                use()
        with kv.Store.restore(reader, "one", None) as again:
            assert everything(again) == everything(reader)
        reader.snapshot("one", tmp_path / "far")
    assert kv.Store.restore(tmp_path / "far", "one", None).tables() == ["orders"]


def test_pages_are_cut_where_they_were_cut_before_whatever_happens_around():
    entries = [(number.to_bytes(4, "big"), bytes(200)) for number in range(20_000)]
    before = list(pages_of(entries))
    assert [entry for page in before for entry in page] == entries
    assert 8 <= len(before) <= 32
    assert max(sum(len(key) + len(image) for key, image in page) for page in before) <= 5 * BLOB_BYTES
    after = list(pages_of([*entries[:7000], (b"\0\0\x1b\x57!", b"new"), *entries[7000:9000], *entries[9001:]]))
    assert sum(page not in before for page in after) <= 4
    for page in before[:3]:
        assert decode_page(encode_page(page)) == page


@pytest.mark.parametrize("data", [b"", b"no zstd", encode_page([])[:-1], encode_page([(b"k", b"v")])[:-2]])
def test_what_is_no_page_is_refused(data):
    with pytest.raises(ValueError, match=r"\w"):
        decode_page(data)


def test_a_page_that_says_it_is_huge_is_refused_before_it_is_unpacked():
    import zstandard  # noqa: PLC0415 - only here

    with pytest.raises(ValueError, match="at most 16,777,216 bytes"):
        decode_page(zstandard.ZstdCompressor().compress(bytes(32 << 20)))
