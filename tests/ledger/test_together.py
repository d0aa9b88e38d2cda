"""What goes wrong only when several things happen: interrupts, other writers, catalogue changes, full disks."""

import json
import threading
import time

import lmdb
import pytest
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem

from engines import ledger
from engines.clock import ManualClock
from engines.errors import Conflict, Corrupted, EngineError, Invalid, NotFound, TooLarge
from engines.ledger.merkle import MerkleLog
from engines.storage.log import Log


@pytest.fixture
def book(tmp_path):
    with ledger.Ledger(tmp_path / "book", clock=ManualClock(10**15)) as opened:
        opened.create_table("T", indexes=["x"])
        opened.create_table("U")
        yield opened


def insert(book, **fields):
    return book.run(lambda tx: tx.insert("T", fields))


# -- interrupts


def test_a_tree_that_goes_back_to_its_checkpoint_takes_no_row_of_later_with_it(book):
    identity = insert(book, x=0)
    book.checkpoint()
    for version in (1, 2):
        book.run(lambda tx, version=version: tx.update("T", identity, {"x": version}))
    with book.tree.lock:
        book.tree.rebuild(grow=False)  # what Ctrl-C in a write, or a full map, does
    assert [row["data"]["x"] for row in book.history("T", identity)] == [0, 1, 2]
    assert book.verify().ok


def test_an_interrupted_checkpoint_of_the_hashes_is_made_up_for_by_the_next(tmp_path, monkeypatch):
    log = MerkleLog(str(tmp_path / "hashes"))
    log.extend([b"%d" % n for n in range(1000)])
    levels = log._levels

    class Interrupted:
        left = 3

        def __getattr__(self, name):
            return getattr(levels, name)

        def settle(self, level, stored):
            levels.settle(level, stored)
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    log._levels = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        log.checkpoint()
    log.extend([b"more"])
    assert log.checkpoint() == 1001
    root = log.root()
    log.close()
    with MerkleLog(str(tmp_path / "hashes"), leaves=1001, root=root) as again:
        assert again.verify() is None


def test_redaction_that_is_interrupted_accuses_nobody_and_is_finished_later(book, tmp_path, monkeypatch):
    identity = insert(book, x="secret")
    book.run(lambda tx: tx.update("T", identity, {"x": 1}))

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Log, "erase", interrupted)
        with pytest.raises(KeyboardInterrupt):
            book.redact("T", identity, 0)
    assert book.verify().ok
    book.close()
    with ledger.Ledger(tmp_path / "book", read_only=True) as reader:
        assert reader.verify().ok
    with ledger.Ledger(tmp_path / "book") as again:
        assert again.verify().ok
        assert again.get("T", identity, 0) is None
        assert b"secret" not in b"".join(file.read_bytes() for file in (tmp_path / "book" / "log").iterdir())


def test_redactions_leave_no_descriptor_open(book):
    identity = insert(book, x=0)
    counts = []
    for version in range(30):
        book.run(lambda tx, version=version: tx.update("T", identity, {"x": version}))
        book.get("T", identity, version)
        book.redact("T", identity, version)
        counts.append(len(book.log._reading))
    assert max(counts) < 40
    assert book.verify().ok


def test_an_interrupt_while_a_block_is_taken_leaves_the_chain_whole(book, monkeypatch):
    from engines.ledger import state  # noqa: PLC0415 - it is what is interrupted

    real = state.block_hash

    def interrupted(trailer):
        monkeypatch.setattr(state, "block_hash", real)
        raise KeyboardInterrupt

    insert(book, x=0)
    monkeypatch.setattr(state, "block_hash", interrupted)
    with pytest.raises(KeyboardInterrupt):
        insert(book, x=1)
    insert(book, x=2)
    assert book.verify().ok
    book.rebuild()
    assert sorted(value["x"] for value in book.execute("SELECT * FROM T")) == [0, 1, 2]


def test_an_export_after_an_interrupted_redaction_does_not_have_the_data(book, tmp_path, monkeypatch):
    identity = insert(book, x="secret")
    book.run(lambda tx: tx.update("T", identity, {"x": 1}))

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Log, "erase", interrupted)
        with pytest.raises(KeyboardInterrupt):
            book.redact("T", identity, 0)
    book.export(tmp_path / "out")
    assert "secret" not in (tmp_path / "out" / "blocks-000001.jsonl").read_text()


# -- others at the same time


def test_a_transaction_that_is_older_than_a_rebuild_is_refused(book):
    identity = insert(book, x=0)
    tx = book.transaction()
    tx.update("T", identity, {"x": "mine"})
    book.run(lambda other: other.update("T", identity, {"x": "theirs"}))
    book.rebuild()
    with pytest.raises(Conflict, match="rebuilt"):
        tx.commit()
    assert book.verify().ok


def test_work_that_fails_because_its_reads_do_not_fit_together_is_tried_again(book):
    insert(book, x=1)
    tries = []

    def work(tx):
        (identity,) = tx.execute("SELECT VALUE id FROM T AS t BY id WHERE t.x = 1")
        tries.append(identity)
        if len(tries) == 1:
            book.run(lambda other: (other.delete("T", identity), other.insert("T", {"x": 1})))
        return tx.get("T", identity)["x"]

    assert book.run(work) == 1
    assert len(tries) == 2
    with pytest.raises(ZeroDivisionError):
        book.run(lambda tx: tx.get("T", tries[1]) and 1 / 0)


def test_audits_beside_writers_accuse_nobody(book):
    ids = [insert(book, x=n) for n in range(20)]
    done = threading.Event()
    errors = []

    def write():
        number = 0
        while not done.is_set():
            number += 1
            identity = ids[number % 20]
            try:
                book.run(lambda tx, i=identity, n=number: tx.update("T", i, {"x": n}), retries=100)
                if number % 7 == 0:
                    book.redact("T", identity, 0)
                    insert(book, x=number)
            except EngineError as error:  # pragma: no cover
                errors.append(error)
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until = time.monotonic() + 1.5
        reports = []
        while time.monotonic() < until:
            reports.append(book.verify())
    finally:
        done.set()
        writer.join()
    assert not errors
    assert [report.damages for report in reports if not report.ok] == []
    assert book.verify().ok


def test_a_reader_of_the_last_checkpoint_accuses_nobody_either(tmp_path):
    files = RecordingFileSystem()
    book = ledger.Ledger("/book", clock=ManualClock(10**15), files=files)
    book.create_table("T", indexes=["x"])
    identity = insert(book, x=0)
    book.checkpoint()
    for n in range(5):
        book.run(lambda tx, n=n: tx.update("T", identity, {"x": n}))
        insert(book, x=n)
    image = files.image()  # as a kill would leave it
    book.close()
    files.close_all()
    files = RecordingFileSystem(image)
    with ledger.Ledger("/book", read_only=True, files=files) as reader:
        assert reader.get("T", identity) == {"x": 0}
        report = reader.verify()
        assert report.ok, report
        assert report.blocks == 12
    files.close_all()


def test_who_reads_names_and_indexes_conflicts_with_who_changes_them(book):
    insert(book, x=5)

    def reading(statement):
        tx = book.transaction()
        tx.execute(statement)
        tx.insert("U", {"seen": True})
        return tx

    by_index = reading("SELECT * FROM T WHERE x = 6")
    book.drop_index("T", "x")
    book.execute("INSERT INTO T ?", {"x": 6})
    with pytest.raises(Conflict):
        by_index.commit()
    tables = reading("SELECT * FROM information_schema.user_tables")
    book.create_table("V")
    with pytest.raises(Conflict):
        tables.commit()
    scan = reading("SELECT * FROM T")
    book.drop_table("T")
    with pytest.raises(Conflict):
        scan.commit()


def test_who_reads_a_history_conflicts_with_who_redacts_it(book):
    identity = insert(book, x=1)
    book.run(lambda tx: tx.update("T", identity, {"x": 2}))
    tx = book.transaction()
    tx.execute("SELECT * FROM history(T)")
    tx.insert("U", {})
    book.redact("T", identity, 0)
    with pytest.raises(Conflict):
        tx.commit()


def test_what_was_found_and_is_gone_is_a_conflict_that_run_tries_again(book):
    identity = insert(book, x=1)
    tries = []

    def work(tx):
        found = list(tx.execute("SELECT VALUE id FROM T AS t BY id WHERE t.x = 1"))
        tries.append(len(found))
        if len(tries) == 1:
            book.run(lambda other: other.delete("T", identity))
        for each in found:
            tx.update("T", each, {"x": 2})

    book.run(work)
    assert tries == [1, 0]


def test_transactions_that_are_never_ended_are_forgotten(book):
    for _ in range(100):
        book.transaction().insert("T", {"x": 1})
    for n in range(50):
        insert(book, x=n)
    assert not book.recent.anybody
    assert len(book.recent._blocks) <= 1


def test_a_statement_that_fails_half_way_writes_nothing(book):
    with book.transaction() as tx:
        with pytest.raises(TooLarge):
            tx.execute("INSERT INTO T << {'x': 'half'}, {'x': ? || ?} >>", "y" * 9_000_000, "y" * 9_000_000)
        assert len(tx.execute("SELECT * FROM T")) == 0


def test_changes_of_a_ledger_in_memory_are_followed():
    with ledger.Ledger() as book:
        book.create_table("T")
        follower = book.changes(follow=True, timeout=5)
        threading.Timer(0.05, lambda: insert(book, x=1)).start()
        assert next(follower).new == {"x": 1}


def test_a_disk_that_is_full_at_a_checkpoint_takes_back_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr("engines.storage.tree.CHECKPOINT_WRITES", 20)
    files = RecordingFileSystem()
    book = ledger.Ledger("/book", clock=ManualClock(10**15), files=files)
    book.create_table("T")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(book.merkle._files, "pwrite", full)
    book.merkle._files = FailingFileSystem(files, 10**9, 28)
    monkeypatch.setattr(book.merkle._files, "pwrite", full)
    monkeypatch.undo()
    for n in range(30):
        insert(book, x=n)
    assert len(book.execute("SELECT * FROM T")) == 30
    book.close()
    files.close_all()


# -- imports that no ledger has written


def exported(book, tmp_path):
    book.export(tmp_path / "out")
    file = tmp_path / "out" / "blocks-000001.jsonl"
    return file, file.read_text().splitlines(keepends=True)


def test_data_that_is_missing_without_a_redaction_is_refused(book, tmp_path):
    insert(book, x="secret")
    file, lines = exported(book, tmp_path)
    said = json.loads(lines[2]) | {"salts": [None], "data": [None]}
    file.write_text("".join([*lines[:2], json.dumps(said, separators=(",", ":")) + "\n"]))
    with pytest.raises(Corrupted, match="no block redacts"):
        ledger.Ledger.import_(tmp_path / "out", None)


def test_an_export_beside_redactions_is_whole(book, tmp_path):
    identity = insert(book, x=0)
    for n in range(1, 40):
        book.run(lambda tx, n=n: tx.update("T", identity, {"x": n}))
    redactor = threading.Thread(target=lambda: [book.redact("T", identity, n) for n in range(20)])
    redactor.start()
    for number in range(3):
        digest = book.export(tmp_path / f"out{number}")
        with ledger.Ledger.import_(tmp_path / f"out{number}", None) as again:
            assert again.verify(against=digest).ok
    redactor.join()


# -- somebody with the tree's file in hand


def tampered(tmp_path, keyspace, change):
    """Change a row of the closed ledger's tree."""
    (tmp_path / "book" / "tree" / "SEAL").unlink()
    with lmdb.open(str(tmp_path / "book" / "tree"), max_dbs=64) as environment:
        handle = environment.open_db(keyspace)
        with environment.begin(write=True, db=handle) as transaction, transaction.cursor() as cursor:
            change(cursor)


def first(change):
    def changed(cursor):
        assert cursor.first()
        key, value = cursor.item()
        cursor.put(*change(key, value))

    return changed


@pytest.mark.parametrize(
    ("keyspace", "change"),
    [
        (b"past", lambda key, value: (key, value + (7).to_bytes(8, "little"))),
        (b"block", lambda key, value: (key, b"\1" + value[1:])),
        (b"catalogue", lambda key, value: (key, value.replace(b'"name":"T"', b'"name":"X"'))),
        (b"catalogue", lambda key, value: (key, value.replace(b'"dropped":false', b'"dropped":true'))),
    ],
)
def test_rows_that_somebody_has_changed_in_the_tree_are_found(book, tmp_path, keyspace, change):
    identity = insert(book, x=0)
    book.run(lambda tx: tx.update("T", identity, {"x": 1}))
    book.close()
    tampered(tmp_path, keyspace, first(change))
    with ledger.Ledger(tmp_path / "book") as again:
        assert again.verify().first_bad.kind == "tree"
        again.rebuild()
        assert again.verify().ok


@pytest.mark.parametrize("field", ["number", "leaves", "time", "hash"])
def test_a_chain_that_does_not_end_in_the_journal_is_not_continued(book, tmp_path, field):
    insert(book, x=0)
    book.close()

    def change(cursor):
        assert cursor.set_key(b"chain")
        said = json.loads(cursor.value())
        said[field] = said[field][:-4] + "AAA=" if field == "hash" else said[field] + 1
        cursor.put(b"chain", json.dumps(said).encode())

    tampered(tmp_path, b"book", change)
    with pytest.raises(Corrupted, match="tree"):
        ledger.Ledger(tmp_path / "book")


def test_a_rebuilt_tree_has_the_same_rows(book):
    identity = insert(book, x=0)
    for n in range(5):
        book.run(lambda tx, n=n: tx.update("T", identity, {"x": n}))
    for n in range(3):
        book.redact("T", identity, n)
    book.run(lambda tx: tx.delete("T", identity))

    def rows():
        with book.tree.lock:
            book.state.flush()
            names = [name for name in book.tree.keyspaces() if name not in ("meta", "book")]
            return {name: [(k, bytes(v)) for k, v in book.tree.keyspace(name).walk()] for name in names}

    before = rows()
    book.rebuild()
    assert rows() == before


# -- words for mistakes


def test_mistakes_of_type_are_said_in_words(book):
    insert(book, x=0)
    for wrong in (
        lambda: book.prove_block("x"),
        lambda: book.run(5),
        lambda: book.append("T", 5),
        lambda: book.execute(5),
    ):
        with pytest.raises(Invalid):
            wrong()
    with pytest.raises(NotFound):
        book.get([], "x")


def test_a_generator_that_fails_says_how_many_documents_are_in(book):
    def documents():
        for n in range(5000):
            yield {"x": n}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as failed:
        book.append("T", documents())
    assert failed.value.__notes__ == ["4096 documents are in the ledger"]
    assert len(book.execute("SELECT * FROM T")) == 4096
