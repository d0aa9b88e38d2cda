"""The ledger's API: tables, documents, history, digests and proofs, transactions, redaction; and what it refuses."""

import math
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from engines import kv, ledger
from engines.clock import ManualClock
from engines.errors import AlreadyExists, Closed, Conflict, Corrupted, Invalid, Locked, NotFound, ReadOnly, TooLarge
from engines.ledger.block import Kind

START = 1_700_000_000 * 1_000_000


@pytest.fixture
def clock():
    return ManualClock(START)


@pytest.fixture
def book(clock, tmp_path):
    with ledger.Ledger(tmp_path / "dmv", clock=clock) as opened:
        opened.create_table("Vehicle", indexes=["VIN", "Owner.Name"])
        yield opened


def insert(book, **fields):
    with book.transaction() as tx:
        return tx.insert("Vehicle", fields)


# -- documents and history


def test_a_document_is_written_changed_and_deleted_and_its_history_stays(book, clock):
    identity = insert(book, VIN="1N4", Year=2011)
    clock.advance(10)
    with book.transaction() as tx:
        tx.update("Vehicle", identity, {"VIN": "1N4", "Year": 2012})
    clock.advance(10)
    with book.transaction() as tx:
        tx.delete("Vehicle", identity)
    assert book.get("Vehicle", identity) is None
    assert book.get("Vehicle", identity, version=0) == {"VIN": "1N4", "Year": 2011}
    assert book.get("Vehicle", identity, version=2) is None
    rows = list(book.history("Vehicle", identity))
    assert [row["metadata"]["version"] for row in rows] == [0, 1, 2]
    assert rows[0]["metadata"]["txTime"] == "2023-11-14T22:13:20.000000Z"
    assert "data" not in rows[2]
    assert rows[1]["data"]["Year"] == 2012
    assert [row["blockAddress"]["sequenceNo"] for row in rows] == [2, 3, 4]
    with pytest.raises(NotFound, match="deleted"), book.transaction() as tx:
        tx.update("Vehicle", identity, {})
    with pytest.raises(NotFound, match="versions 0 to 2"):
        book.get("Vehicle", identity, version=3)


def test_history_between_two_moments_shows_what_was_current_then(book, clock):
    identity = insert(book, VIN="a", n=0)
    for n in (1, 2):
        clock.advance(10)
        with book.transaction() as tx:
            tx.update("Vehicle", identity, {"VIN": "a", "n": n})

    def shown(start, end):
        zero = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
        bounds = [None if bound is None else zero + timedelta(seconds=bound) for bound in (start, end)]
        return [row["data"]["n"] for row in book.history("Vehicle", identity, *bounds)]

    assert shown(None, None) == [0, 1, 2]
    assert shown(0, 5) == [0]
    assert shown(5, 5) == [0]
    assert shown(5, 10) == [0, 1]
    assert shown(10, 15) == [1]
    assert shown(30, None) == [2]
    assert shown(None, -1) == []
    sql = "SELECT VALUE h.data.n FROM history(Vehicle, `2023-11-14T22:13:35Z`) AS h WHERE h.metadata.id = ?"
    assert list(book.execute(sql, identity)) == [1, 2]
    with pytest.raises(Invalid, match="not after"):
        book.history("Vehicle", start=2, end=1)


def test_one_transaction_makes_one_revision_of_a_document(book):
    with book.transaction() as tx:
        identity = tx.insert("Vehicle", {"n": 1})
        tx.update("Vehicle", identity, {"n": 2})
        gone = tx.insert("Vehicle", {"n": 3})
        tx.delete("Vehicle", gone)
        assert tx.get("Vehicle", gone) is None
    assert [row["data"] for row in book.history("Vehicle")] == [{"n": 2}]
    (block,) = book.blocks(first=2)
    assert [entry.kind for entry in block.revisions] == [Kind.REVISION]


def test_what_goes_in_is_not_what_is_changed_later(book):
    document = {"VIN": "a", "list": [1]}
    identity = insert(book, **document)
    document["list"].append(2)
    with book.transaction() as tx:
        seen = tx.get("Vehicle", identity)
        seen["list"].append(3)
        assert tx.get("Vehicle", identity) == {"VIN": "a", "list": [1]}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (math.nan, "$.x"),
        (math.inf, "$.x"),
        (1 << 53, "$.x"),
        (Decimal(1), "$.x"),
        ("\ud800", "$.x"),
        ({1: 2}, "$.x"),
        ([b""], "$.x[0]"),
        (datetime.now(UTC), "$.x"),
    ],
)
def test_values_that_json_cannot_hold_exactly_are_refused_with_their_path(book, value, path):
    with pytest.raises(Invalid) as refused, book.transaction() as tx:  # noqa: PT012 - the commit is what fails
        tx.insert("Vehicle", {"y": 1})
        tx.insert("Vehicle", {"x": value})
    assert refused.value.path.startswith(path)
    assert len(book.history("Vehicle")) == 0


def test_documents_too_deep_too_large_or_none_at_all_are_refused(book):
    deep = []
    for _ in range(200):
        deep = [deep]
    with book.transaction() as tx:
        for wrong in [{"x": deep}, [1], "text", None]:
            with pytest.raises(Invalid):
                tx.insert("Vehicle", wrong)
        with pytest.raises(TooLarge):
            tx.insert("Vehicle", {"x": "y" * (1 << 24)})
    with pytest.raises(TooLarge, match="split"), book.transaction() as tx:  # noqa: PT012 - the commit is what fails
        for _ in range(5):
            tx.insert("Vehicle", {"x": "y" * (15 << 20)})


# -- tables and indexes


def test_tables_are_dropped_and_come_back_with_their_history(book):
    identity = insert(book, VIN="a")
    table_id = book.drop_table("Vehicle")
    with pytest.raises(NotFound):
        book.get("Vehicle", identity)
    assert [row["data"] for row in book.history("Vehicle", identity)] == [{"VIN": "a"}]
    assert book.prove("Vehicle", identity).data == '{"VIN":"a"}'
    book.create_table("Vehicle")
    with pytest.raises(AlreadyExists):
        book.undrop_table(table_id)
    book.drop_table("Vehicle")
    assert book.undrop_table(table_id) == table_id
    assert book.get("Vehicle", identity) == {"VIN": "a"}
    assert [row["data"]["VIN"] for row in book.history("Vehicle")] == ["a"]
    assert len(book.execute("SELECT * FROM Vehicle AS v WHERE v.VIN = 'a'")) == 1
    with pytest.raises(NotFound):
        book.undrop_table(table_id)
    assert book.verify().ok


@pytest.mark.parametrize("name", ["", "1a", "a b", "a" * 129, "_ql_committed_x", "é", None, 5])
def test_names_that_no_table_can_have(book, name):
    with pytest.raises(Invalid):
        book.create_table(name)


def test_indexes_come_and_go_and_find_what_is_there(book):
    ids = book.append("Vehicle", [{"n": n % 3, "deep": [{"x": n}]} for n in range(30)]).ids
    book.create_index("Vehicle", "n")
    book.create_index("Vehicle", "deep[0].x")
    plan = book.explain("SELECT * FROM Vehicle AS v WHERE v.n = 1")
    assert plan.find("Index").counters["rows"] == 10
    assert list(book.execute("SELECT VALUE id FROM Vehicle AS v BY id WHERE v.deep[0].x = 7")) == [ids[7]]
    with pytest.raises(AlreadyExists):
        book.create_index("Vehicle", "n")
    book.drop_index("Vehicle", "n")
    assert book.explain("SELECT * FROM Vehicle AS v WHERE v.n = 1").find("Scan").counters["rows"] == 30
    with pytest.raises(NotFound):
        book.drop_index("Vehicle", "n")
    book.create_index("Vehicle", "n")
    assert book.verify().ok


def test_a_value_in_an_index_is_the_same_number_however_it_is_written(book):
    insert(book, VIN=1)
    insert(book, VIN=1.0)
    insert(book, VIN=True)
    insert(book, VIN=None)
    assert len(book.execute("SELECT * FROM Vehicle AS v WHERE v.VIN = ?", 1)) == 2
    assert len(book.execute("SELECT * FROM Vehicle AS v WHERE v.VIN = true")) == 1
    assert len(book.execute("SELECT * FROM Vehicle AS v WHERE v.VIN = ?", None)) == 0
    assert len(book.execute("SELECT * FROM Vehicle AS v WHERE v.VIN IS NULL")) == 1


# -- transactions


def test_the_first_to_commit_wins_and_run_tries_again(book):
    identity = insert(book, VIN="a", n=0)
    late = book.transaction()
    late.execute("UPDATE Vehicle AS v SET v.n = v.n + 1 WHERE v.VIN = 'a'")
    book.execute("UPDATE Vehicle AS v SET v.n = v.n + 1 WHERE v.VIN = 'a'")
    with pytest.raises(Conflict, match="do all of it again") as conflict:
        late.commit()
    assert conflict.value.table == "Vehicle"
    tries = []

    def work(tx):
        found = tx.get("Vehicle", identity)
        tries.append(found["n"])
        if len(tries) == 1:
            book.execute("UPDATE Vehicle AS v SET v.n = 10")
        tx.update("Vehicle", identity, found | {"n": found["n"] + 1})

    book.run(work)
    assert tries == [1, 10]
    assert book.get("Vehicle", identity)["n"] == 11

    def in_the_way(tx):
        tx.get("Vehicle", identity)
        book.execute("UPDATE Vehicle SET n = 1")
        tx.insert("Vehicle", {})

    with pytest.raises(Conflict):
        book.run(in_the_way, retries=0)


def test_blind_inserts_never_conflict_and_phantoms_do(book):
    one, two = book.transaction(), book.transaction()
    one.insert("Vehicle", {"VIN": "a"})
    two.insert("Vehicle", {"VIN": "a"})
    one.commit()
    two.commit()
    reader = book.transaction()
    assert len(reader.execute("SELECT * FROM Vehicle AS v WHERE v.VIN = 'b'")) == 0
    scanner = book.transaction()
    scanner.execute("SELECT COUNT(*) FROM Vehicle")
    other = book.transaction()
    other.execute("SELECT * FROM Vehicle AS v WHERE v.VIN = 'c'")
    insert(book, VIN="b")
    other.insert("Vehicle", {"n": 1})
    other.commit()  # nobody has touched "c"
    for tx in (reader, scanner):
        tx.insert("Vehicle", {"n": 1})
        with pytest.raises(Conflict):
            tx.commit()


def test_a_transaction_is_over_when_it_is_over(book):
    tx = book.transaction()
    tx.abort()
    with pytest.raises(Invalid, match="over"):
        tx.insert("Vehicle", {})
    with book.transaction() as tx:
        tx.abort()
    with pytest.raises(Invalid):
        tx.commit()


def test_a_table_that_is_dropped_takes_no_more(book):
    with pytest.raises(NotFound, match="dropped meanwhile"), book.transaction() as tx:  # noqa: PT012 - the commit is what fails
        tx.insert("Vehicle", {})
        book.drop_table("Vehicle")
    assert book.verify().ok


def test_many_threads_add_to_one_counter(book):
    identity = insert(book, n=0)

    def one_more(tx):
        tx.update("Vehicle", identity, {"n": tx.get("Vehicle", identity)["n"] + 1})

    def add():
        for _ in range(10):
            book.run(one_more, retries=1000)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert book.get("Vehicle", identity) == {"n": 40}
    assert len(book.history("Vehicle", identity)) == 41
    assert book.verify().ok


def test_append_makes_blocks_and_says_how_far_it_came(book):
    appended = book.append("Vehicle", ({"n": n} for n in range(5000)))
    assert (appended.count, appended.last_block - appended.first_block) == (5000, 1)
    assert book.get("Vehicle", appended.ids[4999]) == {"n": 4999}
    with pytest.raises(Invalid) as refused:
        book.append("Vehicle", [*({"n": n} for n in range(5000)), {"n": math.nan}])
    assert refused.value.appended == 4096
    assert len(book.execute("SELECT VALUE v.n FROM Vehicle AS v")) == 9096
    raw = ledger.canonical({"n": 1})
    assert book.get("Vehicle", book.append("Vehicle", [raw]).ids[0]) == {"n": 1}
    for wrong in [b'{"n": 1}', b"[1]", b'{"b":1,"a":2}', b"{", b'{"n":1.0}', b""]:
        with pytest.raises(Invalid):
            book.append("Vehicle", [wrong])
    for wrong in [{"n": 1}, b"{}", "text"]:
        with pytest.raises(Invalid, match="iterable"):
            book.append("Vehicle", wrong)
    assert book.append("Vehicle", []).count == 0


# -- proofs


def test_digests_proofs_and_consistency(book):
    identity = insert(book, VIN="a")
    early = book.digest()
    insert(book, VIN="b")
    proof = book.prove("Vehicle", identity, digest=early)
    assert ledger.verify_proof(proof, early)
    assert not ledger.verify_proof(proof, book.digest())
    assert ledger.verify_proof(book.prove("Vehicle", identity), book.digest())
    block = book.prove_block(2, early)
    assert ledger.verify_proof(block, early)
    assert len(block.entry) == 144
    late = book.digest()
    for old, new in [(early, late), (early, early), (early.to_json(), None)]:
        assert ledger.verify_consistency(book.prove_consistency(old, new), old, new or late)
    with pytest.raises(Invalid, match="exchange"):
        book.prove_consistency(late, early)
    late_id = insert(book, VIN="c")
    with pytest.raises(Invalid, match="does not contain"):
        book.prove("Vehicle", late_id, digest=early)
    with pytest.raises(NotFound):
        book.prove("Vehicle", "0" * 22)
    with pytest.raises(NotFound):
        book.prove_block(99)


def test_digests_of_other_ledgers_are_refused(book, clock):
    with ledger.Ledger(clock=clock) as other:
        empty = other.digest()
        assert empty.size == 0
        other.create_table("Vehicle")
        with pytest.raises(Invalid, match="empty"):
            other.prove_consistency(empty)
        strange = other.digest()
    with pytest.raises(Invalid, match="is of memory/"):
        book.prove_consistency(strange)
    mine = book.digest()
    forged = ledger.Digest(mine.origin, mine.size, bytes(32), mine.block, mine.time)
    larger = ledger.Digest(mine.origin, mine.size + 1, mine.root, mine.block, mine.time)
    for wrong in (forged, larger):
        with pytest.raises(Invalid):
            book.prove_consistency(wrong)
        report = book.verify(against=wrong)
        assert [damage.kind for damage in report.damages] == ["fork"]
    with pytest.raises(Invalid):
        book.verify(against="no digest")


def test_a_signed_digest(clock, tmp_path):
    pytest.importorskip("cryptography")
    signer = ledger.Ed25519Signer("dmv", bytes(range(32)))
    with ledger.Ledger(tmp_path / "dmv", clock=clock, signer=signer) as book:
        book.create_table("T")
        digest = book.digest()
        assert ledger.verify_note(digest.note, signer.verifier_key)
        assert ledger.verify_proof(book.prove_block(1), digest)


# -- redaction


def test_redacted_data_is_gone_from_the_disk_and_proofs_stay(book, tmp_path):
    identity = insert(book, VIN="a", secret="GLOBULES")
    digest = book.digest()
    proof = book.prove("Vehicle", identity, digest=digest)
    with pytest.raises(Invalid, match="current"):
        book.redact("Vehicle", identity, 0)
    with book.transaction() as tx:
        tx.update("Vehicle", identity, {"VIN": "b"})
    block = book.redact("Vehicle", identity, 0)
    assert book.redact("Vehicle", identity, 0) == block
    assert book.get("Vehicle", identity, 0) is None
    row = book.history("Vehicle", identity)[0]
    assert "data" not in row
    assert "dataHash" in row
    assert ledger.verify_proof(proof, digest)
    bare = book.prove("Vehicle", identity, 0, digest)
    assert (bare.data, bare.salt) == (None, None)
    assert ledger.verify_proof(bare, digest)
    assert ledger.verify_consistency(book.prove_consistency(digest), digest, book.digest())
    (entry,) = next(iter(book.blocks(block, block))).revisions
    assert entry.kind == Kind.REDACTION
    assert ledger.verify_proof(book.prove_block(block), book.digest())
    with book.transaction() as tx:
        tx.delete("Vehicle", identity)
    with pytest.raises(Invalid, match="tombstone"):
        book.redact("Vehicle", identity, 2)
    assert book.redact("Vehicle", identity, 1)  # deleted: superseded
    assert book.verify(against=digest).ok
    for file in (tmp_path / "dmv").rglob("*"):
        if file.is_file():
            assert b"GLOBULES" not in file.read_bytes(), file
    book.rebuild()
    assert book.verify(against=digest).ok
    assert book.get("Vehicle", identity, 0) is None
    changes = [(change.kind, change.new) for change in book.changes()]
    assert changes == [("INSERT", None), ("MODIFY", None), ("REMOVE", None)]


# -- opening, closing, copies


def test_opened_twice_read_only_and_closed(book, tmp_path):
    identity = insert(book, VIN="a")
    with pytest.raises(Locked):
        ledger.Ledger(tmp_path / "dmv")
    book.close()
    book.close()
    for use in (book.digest, book.tables, lambda: book.get("Vehicle", identity), book.transaction, book.verify):
        with pytest.raises(Closed):
            use()
    with ledger.Ledger(tmp_path / "dmv", read_only=True) as reader:
        assert reader.get("Vehicle", identity) == {"VIN": "a"}
        assert reader.verify().ok
        assert ledger.verify_proof(reader.prove("Vehicle", identity), reader.digest())
        for write in (lambda: reader.execute("DELETE FROM Vehicle"), lambda: reader.append("Vehicle", [{}])):
            with pytest.raises(ReadOnly):
                write()
        with pytest.raises(ReadOnly):
            reader.checkpoint()
    with pytest.raises(Invalid, match="belongs to the ledger"):
        kv.Store(tmp_path / "dmv")


def test_hashes_and_tree_that_are_lost_are_made_anew(book, clock, tmp_path):
    ids = book.append("Vehicle", [{"VIN": n, "n": n} for n in range(100)]).ids
    digest = book.digest()
    book.close()
    for name in ("hashes", "tree"):
        for file in (tmp_path / "dmv" / name).iterdir():
            file.unlink()
    with ledger.Ledger(tmp_path / "dmv", clock=clock) as again:
        assert again.digest() == digest
        assert again.get("Vehicle", ids[5]) == {"VIN": 5, "n": 5}
        assert again.verify().ok
    (tmp_path / "dmv" / "BOOK").write_bytes(b"dmv\nx\n00000000\n")
    with pytest.raises(Corrupted, match="BOOK"):
        ledger.Ledger(tmp_path / "dmv")


def test_snapshots_are_restored_as_the_same_ledger(book, clock, tmp_path):
    identity = insert(book, VIN="a")
    digest = book.digest()
    book.snapshot("monday", to=tmp_path / "far")
    insert(book, VIN="b")
    with pytest.raises(AlreadyExists):
        book.snapshot("monday")
    assert [row.name for row in book.snapshots()] == ["monday"]
    for source, path in [(book, tmp_path / "one"), (tmp_path / "far", tmp_path / "two"), (book, None)]:
        with ledger.Ledger.restore(source, "monday", path, clock=clock) as again:
            assert again.digest() == digest
            assert again.verify(against=digest).ok
            assert again.get("Vehicle", identity) == {"VIN": "a"}
            again.execute("INSERT INTO Vehicle VALUE {'VIN': 'c'}")
    with pytest.raises(AlreadyExists):
        ledger.Ledger.restore(book, "monday", tmp_path / "one")
    with pytest.raises(NotFound, match="did you mean"):
        ledger.Ledger.restore(book, "mondey", tmp_path / "three")
    assert not (tmp_path / "three").exists()


def test_the_change_stream(book):
    identity = insert(book, VIN="a")
    with book.transaction() as tx:
        tx.update("Vehicle", identity, {"VIN": "b"})
        tx.insert("Vehicle", {"VIN": "c"})
    with book.transaction() as tx:
        tx.delete("Vehicle", identity)
    changes = list(book.changes())
    assert [(c.sequence, c.kind, c.old, c.new) for c in changes] == [
        (2, "INSERT", None, {"VIN": "a"}),
        (3, "MODIFY", {"VIN": "a"}, {"VIN": "b"}),
        (3, "INSERT", None, {"VIN": "c"}),
        (4, "REMOVE", {"VIN": "b"}, None),
    ]
    assert [c.sequence for c in book.changes(after=2, limit=1)] == [3, 3]
    follower = book.changes(after=4, follow=True, timeout=5)
    threading.Timer(0.05, lambda: insert(book, VIN="d")).start()
    assert next(follower).new == {"VIN": "d"}
    with pytest.raises(Invalid, match="last block"):
        book.changes(after=99)
    digest = book.digest()
    insert(book, VIN="e")
    assert [row["data"]["VIN"] for row in book.revisions(since=digest)] == ["e"]


def test_stats_layout_and_tables(book):
    insert(book, VIN="a")
    book.checkpoint()
    assert dict(book.stats().rows())["documents"] == 1
    assert any(row.name == "hashes/0" for row in book.layout())
    assert [row.name for row in book.tables()] == ["Vehicle"]
    assert "Vehicle" in str(book.tables())
