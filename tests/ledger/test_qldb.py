"""Exports of Amazon QLDB's journals: read, checked, replayed; altered ones refused."""

import copy
import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from models.qldb import STRAND, Journal, ion_hash, sha, text

from engines import ledger
from engines.clock import ManualClock
from engines.errors import AlreadyExists, Corrupted, EngineError, Invalid, NotFound
from engines.ledger import qldb

CAR = {"VIN": "1N4AL", "Year": 2011, "Price": Decimal("90.25"), "Photo": b"\x0b\x0c\x0e", "Owners": {"Second": []}}
ANN, BOB, CAR_ID = "AnnAAAAAAAAAAAAAAAAAAA", "BobBBBBBBBBBBBBBBBBBBB", "CarCCCCCCCCCCCCCCCCCCC"


@pytest.fixture
def journal():
    made = Journal()
    made.commit([], statement="CREATE TABLE Person", system=2)
    made.commit([(ANN, "Person", {"name": "Ann", "born": datetime(1980, 2, 3, tzinfo=UTC)}), (BOB, "Person", {"n": 1})])
    made.commit([(CAR_ID, "Vehicle", CAR)], system=0)
    made.commit([(ANN, "Person", {"name": "Anne"}), (CAR_ID, "Vehicle", CAR | {"Year": 2012})], system=3)
    made.commit([(BOB, "Person", None)], statement="DELETE FROM Person")
    made.redact(ANN, 0)
    return made


@pytest.mark.parametrize("form", ["text", "binary"])
def test_blocks_are_read_and_checked(journal, tmp_path, form):
    journal.export(tmp_path / "x", form=form)
    blocks = list(qldb.read_journal(tmp_path / "x"))
    assert [block.number for block in blocks] == list(range(6))
    assert [block.hash for block in blocks] == [block["blockHash"] for block in journal.blocks]
    assert blocks[0].statements == ["CREATE TABLE Person"]
    assert blocks[5].redactions == [(ANN, 0)]
    ann, bob = blocks[1].revisions
    assert (ann.id, ann.version, ann.table, ann.data, ann.redacted) == (ANN, 0, "Person", None, True)
    assert (bob.data, bob.deleted, bob.time) == ({"n": 1}, False, "2022-06-08T18:46:49.512Z")
    (car,) = blocks[2].revisions
    assert car.data == {"VIN": "1N4AL", "Year": 2011, "Price": 90.25, "Photo": "CwwO", "Owners": {"Second": []}}
    assert [revision.deleted for revision in blocks[4].revisions] == [True]


@pytest.mark.parametrize("metadata", [None, "qldb"])
def test_a_journal_is_replayed(journal, tmp_path, metadata):
    journal.export(tmp_path / "x")
    with ledger.Ledger(tmp_path / "book", clock=ManualClock(10**15)) as book:
        done = qldb.import_journal(tmp_path / "x", book, metadata=metadata)
        assert (done.blocks, done.revisions, done.first_block, done.last_block) == (6, 6, 0, 5)
        assert done.digest == journal.blocks[-1]["blockHash"]
        assert done.tables == ["Person", "Vehicle"]
        assert done.ids.keys() == {ANN, BOB, CAR_ID}
        car = book.get("Vehicle", done.ids[CAR_ID])
        assert (car["Year"], car["Price"]) == (2012, 90.25)
        old = book.get("Vehicle", done.ids[CAR_ID], version=0)
        assert old["Year"] == 2011
        assert old.get("qldb") == (None if metadata is None else old["qldb"])
        if metadata:
            assert old["qldb"]["id"] == CAR_ID
            assert old["qldb"]["txTime"] == "2022-06-08T18:46:51.012Z"
            assert old["qldb"]["txId"] == "tx00000000000000000002"
        redacted = book.get("Person", done.ids[ANN], version=0)
        assert redacted == {} if metadata is None else redacted.keys() == {"qldb"}
        assert book.get("Person", done.ids[BOB]) is None
        assert len(book.history("Person", done.ids[BOB])) == 2
        assert book.verify().ok
        before = book.digest()
        with pytest.raises(AlreadyExists, match="new ledger"):
            qldb.import_journal(tmp_path / "x", book)
        assert book.digest() == before


def test_tables_with_one_name_and_two_ids(tmp_path):
    journal = Journal()
    journal.commit([(ANN, "T", {"n": 1})])
    del journal.tables["T"]
    journal.tables["other"] = "used"
    journal.commit([(BOB, "T", {"n": 2})])
    journal.export(tmp_path / "x")
    with ledger.Ledger() as book:
        done = qldb.import_journal(tmp_path / "x", book)
        assert book.get("T", done.ids[BOB]) == {"n": 2}
        assert book.get("T", done.ids[ANN]) is None
        assert len(book.tables()) == 2


def test_an_export_of_a_part(journal, tmp_path):
    journal.export(tmp_path / "x", first=2)
    assert [block.number for block in qldb.read_journal(tmp_path / "x")] == [2, 3, 4, 5]
    with ledger.Ledger() as book:
        done = qldb.import_journal(tmp_path / "x", book)
        assert done.first_block == 2
        assert book.get("Person", done.ids[ANN]) == {"name": "Anne"}


# -- what does not fit ------------------------------------------------------------------------------------------------


def strange(journal, change):
    """The journal with one block altered, all hashes of other people made anew."""
    altered = copy.deepcopy(journal)
    change(altered.blocks)
    return altered


def alter(block, name, value):
    return lambda blocks: blocks[block].update({name: value})


def drop(block, name):
    return lambda blocks: blocks[block].pop(name)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (alter(1, "entriesHash", sha(b"x")), "block 1 has another entriesHash"),
        (alter(1, "blockHash", sha(b"x")), "another blockHash"),
        (alter(2, "previousBlockHash", sha(b"x")), "another blockHash"),
        (alter(2, "previousBlockHash", b"short"), "hash of 5 bytes"),
        (alter(2, "previousBlockHash", None), "lacks a hash"),
        (alter(1, "transactionInfo", {"statements": []}), "another transactionInfo"),
        (drop(1, "revisions"), "shows no revision"),
        (drop(1, "blockAddress"), "lacks a struct"),
        (drop(1, "transactionId"), "no text transactionId"),
        (drop(1, "entriesHashList"), "no list"),
        (alter(1, "transactionId", "other"), "belongs into another block"),
        (alter(1, "blockTimestamp", "2022"), "no time"),
        (alter(1, "revisions", [1]), "lacks a struct"),
        (alter(5, "redactionInfo", {"revisions": []}), "another redactionInfo"),
        (lambda blocks: blocks[2]["revisions"][0]["data"].update(Year=2010), "version 0 of .* not about"),
        (lambda blocks: blocks[2]["revisions"][0]["metadata"].update(version=1), "version 1 of .* not about"),
        (lambda blocks: blocks[2]["revisions"][0]["metadata"].update(version=-1), "no whole number version"),
        (lambda blocks: blocks[2]["revisions"][0].pop("data"), "not about .*strict=False"),
        (lambda blocks: blocks[1]["revisions"][0].update(dataHash=sha(b"x")), "not about"),
        (lambda blocks: blocks[1]["revisions"][0].update(data={}), "data and dataHash"),
        (lambda blocks: blocks[1]["revisions"].pop(), "other revisions"),
        (lambda blocks: blocks[1]["revisions"].reverse(), "other revisions"),
        (lambda blocks: blocks[1]["revisions"].append({"hash": sha(b"x")}), "other revisions"),
        (lambda blocks: blocks.insert(2, blocks[1]), "is called"),
        (lambda blocks: blocks.pop(2), "is called"),
    ],
)
def test_altered_blocks_are_refused(journal, tmp_path, change, reason):
    strange(journal, change).export(tmp_path / "x")
    with pytest.raises(Corrupted, match=reason):
        list(qldb.read_journal(tmp_path / "x"))
    with ledger.Ledger() as book:
        before = book.digest()
        with pytest.raises(EngineError):
            qldb.import_journal(tmp_path / "x", book)
        assert book.digest() == before


def test_a_block_made_anew_does_not_follow(journal, tmp_path):
    other = Journal()
    for _ in range(3):
        other.commit([])
    journal.blocks[1] = other.blocks[1]
    journal.export(tmp_path / "x")
    with pytest.raises(Corrupted, match="does not follow block 0"):
        list(qldb.read_journal(tmp_path / "x"))


def test_a_revision_that_was_left_out_is_missed(tmp_path):
    journal = Journal()
    journal.commit([(ANN, "T", {"n": 1})])
    journal.versions[ANN] = 1
    journal.commit([(ANN, "T", {"n": 3})])
    journal.export(tmp_path / "x")
    with pytest.raises(Corrupted, match=f"version 2 of {ANN} instead of 1"):
        list(qldb.read_journal(tmp_path / "x"))


def test_deletions_that_cannot_be_proved(tmp_path):
    journal = Journal(deletion=sha)
    journal.commit([(ANN, "T", {"n": 1})])
    journal.commit([(ANN, "T", None)])
    journal.export(tmp_path / "x")
    with pytest.raises(Corrupted, match="strict=False"):
        list(qldb.read_journal(tmp_path / "x"))
    assert [block.number for block in qldb.read_journal(tmp_path / "x", strict=False)] == [0, 1]
    with ledger.Ledger() as book:
        done = qldb.import_journal(tmp_path / "x", book, strict=False)
        assert book.get("T", done.ids[ANN]) is None


def test_a_revision_that_passes_for_one_of_the_system_is_missed(journal, tmp_path):
    bob = journal.blocks[1]["revisions"][1]
    journal.blocks[1]["revisions"][1] = {"hash": bob["hash"]}  # no hash is altered
    journal.export(tmp_path / "x")
    with pytest.raises(Corrupted, match=f"written the document {BOB}"):
        list(qldb.read_journal(tmp_path / "x"))


@pytest.mark.parametrize(
    ("document", "reason"),
    [({"a": [{"b": float("inf")}]}, r"\$\.a\[0\]\.b"), ({"s": "x" * (1 << 24)}, "split")],
)
def test_documents_that_json_or_the_ledger_cannot_hold(tmp_path, document, reason, monkeypatch):
    import models.qldb as model  # noqa: PLC0415 - to teach it floats

    written, hashed = model.text, model.scalar
    monkeypatch.setattr(model, "text", lambda v: "+inf" if isinstance(v, float) else written(v))
    infinite = (0x40, bytes.fromhex("7ff0000000000000"))
    monkeypatch.setattr(model, "scalar", lambda v: infinite if isinstance(v, float) else hashed(v))
    journal = Journal()
    journal.commit([(ANN, "T", {"n": 1})])
    journal.commit([(BOB, "T", document)])
    journal.export(tmp_path / "x")
    with ledger.Ledger() as book:
        before = book.digest()
        with pytest.raises(EngineError, match=reason):
            qldb.import_journal(tmp_path / "x", book)
        assert book.digest() == before


def test_what_a_journal_does_not_say_or_says_twice(journal, tmp_path):
    journal.export(tmp_path / "x")
    with ledger.Ledger() as book:
        before = book.digest()
        with pytest.raises(Invalid, match="field 'name' of its own"):
            qldb.import_journal(tmp_path / "x", book, metadata="name")
        assert book.digest() == before
    unsaid = Journal()
    unsaid.commit([(ANN, "no table's name", {"n": 1})])
    unsaid.export(tmp_path / "y")
    with ledger.Ledger() as book, pytest.raises(Invalid, match="table's name"):
        qldb.import_journal(tmp_path / "y", book)


def test_two_revisions_of_a_document_in_one_block(tmp_path):
    journal = Journal()
    journal.commit([(ANN, "T", {"n": 1}), (ANN, "T", {"n": 2}), (BOB, "T", {"n": 3}), (ANN, "T", None)])
    journal.export(tmp_path / "x")
    with ledger.Ledger() as book:
        done = qldb.import_journal(tmp_path / "x", book)
        assert [book.get("T", done.ids[ANN], version=version) for version in (0, 1, 2)] == [{"n": 1}, {"n": 2}, None]
        assert book.get("T", done.ids[BOB]) == {"n": 3}


def test_folders_and_files_that_are_no_export(journal, tmp_path):
    with pytest.raises(NotFound):
        qldb.import_journal(tmp_path / "nowhere", None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound):
        list(qldb.read_journal(tmp_path / "empty"))
    journal.export(tmp_path / "x", a_file=2)
    files = sorted((tmp_path / "x" / "2022").iterdir())
    files[1].rename(tmp_path / "elsewhere")
    with pytest.raises(Corrupted, match="missing"):
        list(qldb.read_journal(tmp_path / "x"))
    (tmp_path / "elsewhere").rename(files[1])
    files[2].rename(tmp_path / "elsewhere")
    with pytest.raises(Corrupted, match="copy all of the export"):
        list(qldb.read_journal(tmp_path / "x"))
    (tmp_path / "elsewhere").rename(files[2])
    other = tmp_path / "x" / "another.0-1.ion"
    other.write_text("")
    with pytest.raises(Invalid, match="several journals"):
        list(qldb.read_journal(tmp_path / "x"))
    other.unlink()
    files[2].write_bytes(b"\xff")
    with pytest.raises(Corrupted, match="neither"):
        list(qldb.read_journal(tmp_path / "x"))


def test_an_export_in_json_is_told_so(tmp_path):
    (tmp_path / f"{STRAND}.0-0.json").write_text('{"blockAddress": {"strandId": "x"}, "blockHash": "QS5l"}')
    with pytest.raises(Invalid, match="ION_BINARY"):
        list(qldb.read_journal(tmp_path))


@pytest.mark.parametrize("form", ["text", "binary"])
def test_altered_files_end_in_errors_of_the_house_or_in_the_same_blocks(journal, tmp_path, form):
    journal.export(tmp_path / "x", form=form)
    blocks = list(qldb.read_journal(tmp_path / "x"))
    rng = random.Random(0)  # noqa: S311 - the same bytes in each run
    refused = 0
    for path in sorted((tmp_path / "x" / "2022").iterdir()):
        good = path.read_bytes()
        for _ in range(150):
            data = bytearray(good)
            at, kind = rng.randrange(len(data)), rng.randrange(4)
            if kind < 2:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 2:
                del data[at:]
            else:
                data[at:at] = data[at : at + rng.randrange(1, 30)]
            path.write_bytes(data)
            try:
                found = list(qldb.read_journal(tmp_path / "x"))
            except EngineError:
                refused += 1
            else:
                for block, same in zip(found, blocks, strict=True):
                    # the system's own entries hold these, hashed with what nobody outside has
                    assert (block.hash, block.revisions) == (same.hash, same.revisions)
        path.write_bytes(good)
    assert refused > 250


def test_dot_and_merkle_root():
    low, high = bytes(31) + b"\x80", bytes(31) + b"\x7f"  # the last byte decides, and 0x80 is the smallest
    assert qldb.dot(low, high) == qldb.dot(high, low) == sha(low + high)
    assert qldb.dot(b"", low) == qldb.dot(low, b"") == low
    assert qldb.merkle_root([]) == b""
    assert qldb.merkle_root([low, high, low]) == qldb.dot(qldb.dot(low, high), low)


def test_the_model_writes_what_it_hashes(journal):
    from engines.ledger.qldb.ion import ion_hash as ours  # noqa: PLC0415 - beside the model's of the same name
    from engines.ledger.qldb.text import read_text  # noqa: PLC0415

    for block in journal.blocks:
        (value,) = read_text(text(block))
        assert ours(value) == ion_hash(block)
