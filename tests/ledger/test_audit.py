"""Audits: whatever is changed in a ledger's files is found and named, also by somebody who can mend checksums."""

import random
import struct
from hashlib import sha256

import numpy as np
import pytest

from engines import ledger
from engines._native import frame
from engines.clock import ManualClock
from engines.ledger import block as blocks
from engines.storage.segment import START

FIRST = 1_700_000_000 * 1_000_000


def filled(path, clock):
    """A ledger with everything in it: many blocks, small and large, updates, tombstones, redactions, an index."""
    book = ledger.Ledger(path, clock=clock)
    book.create_table("T", indexes=["n"])
    for n in range(8):
        book.execute("INSERT INTO T VALUE ?", {"n": n, "text": f"{n}" * 50})
    book.append("T", [{"n": n, "text": f"{n:03}" * 10} for n in range(100, 140)])
    for n in range(4):
        book.execute("UPDATE T AS t SET t.text = 'new' WHERE t.n = ?", n)
    book.execute("DELETE FROM T AS t WHERE t.n = 5")
    identity = book.execute("SELECT VALUE id FROM T AS t BY id WHERE t.n = 0")[0]
    book.redact("T", identity, 0)
    book.execute("INSERT INTO T VALUE ?", {"n": 200})
    book.checkpoint()
    return book


@pytest.fixture
def book(tmp_path):
    with filled(tmp_path / "book", ManualClock(FIRST)) as opened:
        yield opened


def extents(book):
    """Where each block's frame lies: (file, from, to, number)."""
    found = []
    for walked in book.log.walk():
        if walked.kind == 16:
            start = walked.offset - frame.HEADER
            size = (frame.HEADER + len(walked.payload) + 7) & ~7
            found.append((walked.path, start, start + size, blocks.decode(walked.payload).number))
    return found


def poke(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        before = file.read(len(data))
        file.seek(offset)
        file.write(data)
    return before


@pytest.mark.slow
def test_every_flipped_bit_of_the_journal_is_located_to_its_block(book):
    rng = random.Random(1)  # noqa: S311 - the same bits in each run
    harmless = flips = 0
    for path, start, end, number in extents(book):
        payload_end = start + frame.HEADER + int.from_bytes(read(path, start, 4), "little")
        for offset in range(start, end):
            bit = bytes([read(path, offset, 1)[0] ^ 1 << rng.randrange(8)])
            before = poke(path, offset, bit)
            report = book.verify()
            poke(path, offset, before)
            flips += 1
            if report.ok:
                assert offset >= payload_end, f"byte {offset} of {path}: only padding may change unseen"
                harmless += 1
                continue
            first = report.first_bad
            assert first.block == number, f"byte {offset} lies in block {number}, not {first}"
            assert first.file == path
            assert start <= first.offset <= end
    print(f"{flips} bits flipped, {harmless} of them padding")  # noqa: T201 - counts are the result
    assert flips > 8_000
    assert book.verify().ok


def read(path, offset, length):
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


def forge(book, number, change):
    """Change a block's payload as somebody would who can mend the frame's checksum."""
    path, start, _, _ = next(each for each in extents(book) if each[3] == number)
    length, sequence, time, lag, kind = frame.header_at(read(path, start, 32), 0)
    payload = bytearray(read(path, start + 32, length))
    change(payload)
    (log_id,) = struct.unpack_from("<Q", read(path, 0, START), 8)
    buffer = frame.FrameBuffer(log_id)
    buffer.append(sequence, time, lag, kind, payload)
    poke(path, start, buffer.peek())


def in_data(payload):
    at = payload.index(b'"text":"3') + 8
    payload[at] = ord("4")


def in_entry(payload):
    count, statements = struct.unpack_from("<II", payload, 4)
    assert count == 1
    payload[16 + statements + 8] ^= 1  # the document's id


def with_its_hash(payload):
    """Data and the hash of it: consistent in itself."""
    in_data(payload)
    _, statements = struct.unpack_from("<II", payload, 4)
    entry = 16 + statements
    body = payload[entry + 96 : -144]
    payload[entry + 64 : entry + 96] = sha256(b"\2" + body).digest()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (in_data, "data"),
        (in_entry, "root"),
        (with_its_hash, "root"),
        (lambda payload: payload.__setitem__(-20, payload[-20] ^ 1), "chain"),
        (lambda payload: payload.__setitem__(-60, payload[-60] ^ 1), "root"),
        (lambda payload: payload.__setitem__(20, payload[20] ^ 1), "statements"),
        (lambda payload: payload.__setitem__(0, 0), "entry"),
    ],
)
def test_a_forger_who_mends_the_checksum_is_found(book, change, kind):
    number = next(block.number for block in book.blocks() if block.count == 1 and b'"text":"3' in block.payload)
    forge(book, number, change)
    report = book.verify()
    assert not report.ok
    assert report.first_bad.kind == kind
    assert report.first_bad.block == number
    if kind == "data":
        assert (report.first_bad.table, report.first_bad.version) == ("T", 0)


def test_who_writes_the_whole_book_anew_is_caught_by_an_old_digest(tmp_path):
    clock = ManualClock(FIRST)
    honest = filled(tmp_path / "honest", clock)
    digest = honest.digest()
    honest.close()
    forged = filled(tmp_path / "forged", clock)
    identity = (tmp_path / "honest" / "BOOK").read_bytes()
    forged.close()
    (tmp_path / "forged" / "BOOK").write_bytes(identity)
    with ledger.Ledger(tmp_path / "forged", clock=clock) as book:
        assert book.verify().ok, "consistent in itself"
        report = book.verify(against=digest)
        assert report.first_bad.kind == "fork"


def test_a_cut_off_end_is_caught(book, tmp_path):
    digest = book.digest()
    book.close()
    (tmp_path / "cut").mkdir()
    segments = sorted((tmp_path / "book" / "log").iterdir())
    for name in ("ENGINE", "BOOK"):
        (tmp_path / "cut" / name).write_bytes((tmp_path / "book" / name).read_bytes())
    (tmp_path / "cut" / "log").mkdir()
    data = segments[0].read_bytes()
    (tmp_path / "cut" / "log" / segments[0].name).write_bytes(data)
    with ledger.Ledger(tmp_path / "cut") as cut:
        report = cut.verify(against=digest)
        assert "fork" in [damage.kind for damage in report.damages]


def test_rows_of_the_tree_that_no_block_accounts_for(book):
    state = book.state
    with book.tree.lock:
        key, value = state.current.first()
        state.current.put(key[:-1] + bytes([key[-1] ^ 255]), value)
    assert [damage.kind for damage in book.verify().damages] == ["tree"]
    book.rebuild()
    assert book.verify().ok
    with book.tree.lock:
        key, _ = book.state.index.first()
        book.state.index.delete(key)
    report = book.verify()
    assert {damage.kind for damage in report.damages} == {"index"}
    assert report.first_bad.table == "T"
    book.rebuild()
    assert book.verify().ok


def test_level_files_that_were_changed(book, tmp_path):
    path = tmp_path / "book" / "hashes" / "0"
    for offset in range(0, path.stat().st_size, 37):
        before = poke(path, offset, bytes([read(path, offset, 1)[0] ^ 4]))
        report = book.verify()
        poke(path, offset, before)
        assert report.first_bad.kind == "hashes"
        leaf = offset // 32
        assert report.first_bad.leaf in (leaf, leaf & ~1)
    assert book.verify().ok


def test_two_bad_blocks_are_both_named(book):
    places = extents(book)
    for path, start, _, _ in (places[3], places[9]):
        poke(path, start + 60, b"\xff\xfe\xfd")
    report = book.verify()
    assert [damage.block for damage in report.damages if damage.kind == "disk"] == [places[3][3], places[9][3]]
    assert np.unique([damage.kind for damage in report.damages]).tolist() == ["disk"]
    assert report.blocks == len(places) - 2
