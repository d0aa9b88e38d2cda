"""Blocks: the bytes against the model, every damaged bit, and hostile bytes."""

import base64
import hashlib
import itertools
import random
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import ledger_block as model

from engines._native import ledgerblock
from engines._native.ledgerblock import BadBlock
from engines.errors import Corrupted, Invalid
from engines.ledger import MerkleLog
from engines.ledger.block import (
    COLUMNS,
    ENTRY_BYTES,
    HEAD_BYTES,
    SALT_BYTES,
    TRAILER_BYTES,
    Draft,
    Kind,
    Statement,
    audit,
    block_hash,
    decode,
    entries,
    parameters_hash,
    seal,
    stamp,
)

TIME = 1_700_000_000_000_000
TRANSACTION = bytes(range(12)) + bytes(4)
STATEMENTS = [Statement("INSERT INTO Vehicle ?", parameters_hash([{"VIN": "1N4"}])), Statement("DELETE FROM Vehicle")]


class Book:
    """The least that makes blocks follow each other."""

    def __init__(self):
        self.tree = MerkleLog()
        self.number, self.previous, self.time = 0, bytes(32), TIME

    def commit(self, rows, *, statements=STATEMENTS, salts=None):
        draft = Draft(TRANSACTION, statements)
        for row in rows:
            draft.add(*row)
        salts = random.Random(self.number).randbytes(16 * len(rows)) if salts is None else salts  # noqa: S311 (repeats)
        payload = draft.pack(salts)
        assert len(payload) == draft.size_bytes
        self.number, self.time = self.number + 1, self.time + 1
        stamp(payload, self.number, self.time)
        first_leaf = len(self.tree)
        self.tree.extend([bytes(entry) for entry in cut(entries(payload), ENTRY_BYTES)])
        trailer = seal(payload, first_leaf, self.tree.root(), self.previous)
        self.tree.extend([trailer])
        self.previous = block_hash(trailer)
        return bytes(payload), salts


def cut(view, size):
    return [view[at : at + size] for at in range(0, len(view), size)]


def document(n):
    return n.to_bytes(16, "little")


ROWS = [
    (Kind.REVISION, 1, document(1), 0, b'{"a":1}'),
    (Kind.TOMBSTONE, 1, document(2), 3, b""),
    (Kind.REDACTION, 2, document(3), 1, b'{"version":1}'),
    (Kind.CATALOGUE, 0, document(4), 0, b'{"name":"Vehicle"}'),
    (Kind.REVISION, 1 << 31, document(1 << 127), (1 << 32) - 1, b'"' + b"x" * 300 + b'"'),
]
rows = st.lists(
    st.tuples(
        st.sampled_from(Kind),
        st.integers(0, (1 << 32) - 1),
        st.binary(min_size=16, max_size=16),
        st.integers(0, (1 << 32) - 1),
        st.binary(min_size=1, max_size=200),
    ).map(lambda row: (*row[:4], b"") if row[0] == Kind.TOMBSTONE else row),
    max_size=70,
)


# -- as the model says -------------------------------------------------------------------------------------------------


@given(st.lists(rows, min_size=1, max_size=3), st.binary(min_size=16, max_size=16))
def test_the_bytes_of_blocks_are_those_of_the_model(blocks, seed):
    book = Book()
    leaves, previous = [], bytes(32)
    for block in blocks:
        payload, salts = book.commit(block)
        with_salts = [(*row[:4], salt, row[4]) for row, salt in zip(block, cut(salts, 16), strict=True)]
        statements = model.canonical(
            [{"text": text, "parameters": hashed and base64.b64encode(hashed).decode()} for text, hashed in STATEMENTS]
        )
        wanted = model.block(book.number, book.time, TRANSACTION, statements, with_salts, leaves, previous)
        assert payload == wanted
        records = [*cut(wanted[HEAD_BYTES + len(statements) :], ENTRY_BYTES)[: len(block)], wanted[-TRAILER_BYTES:]]
        added = [model.leaf(record) for record in records]
        assert decode(payload).leaves() == b"".join(added)
        leaves += added
        previous = model.block_hash(wanted[-TRAILER_BYTES:])
        assert decode(payload).hash == previous
        assert book.tree.root() == model.root(leaves)
        assert audit(payload) == []


@given(rows)
def test_what_was_packed_is_what_is_read(block):
    book = Book()
    book.commit(ROWS)
    payload, salts = book.commit(block)
    back = decode(payload)
    assert (back.number, back.time, back.transaction) == (2, book.time, TRANSACTION)
    assert (back.count, back.first_leaf, back.next_leaf) == (len(block), 6, 7 + len(block))
    assert back.statements == STATEMENTS
    assert back.entries == [bytes(entry) for entry in cut(entries(payload), ENTRY_BYTES)]
    for i, (row, salt, entry) in enumerate(zip(block, cut(salts, 16), back.revisions, strict=True)):
        kind, table, name, version, data = row
        gone = kind == Kind.TOMBSTONE
        assert (entry.kind, entry.table, entry.document, entry.version) == (kind, table, name, version)
        assert (entry.block, entry.time, entry.transaction) == (2, book.time, TRANSACTION)
        assert entry.leaf == 6 + i
        assert entry.data == (None if gone else data)
        assert entry.salt == (bytes(16) if gone else salt)
        assert entry.data_hash == (bytes(32) if gone else model.data_hash(salt, data))
        start, length = back.place(i)
        assert payload[start : start + length] == data
        assert back.columns[i]["version"] == version
        assert back.columns[i]["document"].tobytes() == name
        assert back.columns[i]["data_hash"].tobytes() == entry.data_hash


def test_blocks_are_read_where_they_lie():
    payload, _ = Book().commit(ROWS)
    there = memoryview(b"before" + payload + b"after")[6:-5]
    assert decode(there).revisions == decode(payload).revisions
    assert decode(there).statements == STATEMENTS
    assert fingerprint(there) == fingerprint(payload)
    assert audit(there) == []
    assert len({decode(there).entry(0), decode(payload).entry(0)}) == 1
    with pytest.raises(Corrupted, match="block 1 is damaged"):
        audit(memoryview(put(payload, 12, "<I", 1)))


def test_the_columns_are_the_entries():
    payload, _ = Book().commit(ROWS)
    columns = decode(payload).columns
    assert COLUMNS.itemsize == ENTRY_BYTES
    assert columns["length"].tolist() == [len(row[4]) for row in ROWS]
    assert columns["kind"].tolist() == [1, 2, 3, 4, 1]
    assert not columns["flags"].any()
    assert set(columns["block"].tolist()) == {1}


def test_many_documents_at_once_are_the_same_as_one_by_one():
    data = [b'{"n":%d}' % n for n in range(500)]
    names = b"".join(map(document, range(500)))
    salts = bytes(range(250)) * 32
    one, many = Draft(TRANSACTION), Draft(TRANSACTION)
    for n, text in enumerate(data):
        one.add(Kind.REVISION, 7, document(n), 0, text)
    many.add_documents(7, names[: 16 * 200], data[:200])
    many.add_documents(7, names[16 * 200 :], data[200:])
    assert one.pack(salts) == many.pack(salts)


def test_blocks_without_entries_or_statements_are_blocks():
    book = Book()
    payload, _ = book.commit([], statements=[])
    back = decode(payload)
    assert (back.count, back.entries, back.revisions, back.statements) == (0, [], [], [])
    assert len(back.columns) == 0
    assert len(back.leaves()) == 32
    assert audit(payload) == []


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 128, 129, 1_000])
def test_audits_go_over_every_body(count):
    payload, _ = Book().commit([(Kind.REVISION, 1, document(n), 0, b"%d" % n) for n in range(count)])
    assert audit(payload) == []
    for i in {0, count // 2, count - 1}:
        start, _ = decode(payload).place(i)
        damaged = bytearray(payload)
        damaged[start] ^= 1
        with pytest.raises(Corrupted, match=f"entry {i}: its data does not have the hash") as caught:
            audit(bytes(damaged))
        assert caught.value.entry == i
        assert caught.value.block == 1


@pytest.fixture
def hashlib_only():
    ledgerblock.use_sha_instructions(wanted=False)
    yield
    ledgerblock.use_sha_instructions()


@pytest.mark.usefixtures("hashlib_only")
def test_audits_without_sha_instructions_see_the_same():
    payload, _ = Book().commit(ROWS * 30)
    assert audit(payload) == []
    for at in range(HEAD_BYTES, len(payload) - TRAILER_BYTES, 97):
        damaged = bytearray(payload)
        damaged[at] ^= 4
        assert not unnoticed(bytes(damaged), fingerprint(payload))


# -- every bit ---------------------------------------------------------------------------------------------------------


def fingerprint(payload):
    block = decode(payload)
    return block.leaves(), block.hash


def unnoticed(payload, before):
    """Whether a block is taken for sound, with the leaves and the hash that it had."""
    try:
        audit(payload)
        return fingerprint(payload) == before
    except Corrupted:
        return False


def test_every_flipped_bit_is_refused_or_changes_a_hash():
    payload, _ = Book().commit(ROWS)
    before = fingerprint(payload)
    assert unnoticed(payload, before)
    for at in range(len(payload)):
        for bit in range(8):
            damaged = bytearray(payload)
            damaged[at] ^= 1 << bit
            assert not unnoticed(bytes(damaged), before), (at, bit)


def test_every_byte_is_refused_or_changes_a_hash_whatever_it_becomes():
    payload, _ = Book().commit(ROWS[:2], statements=[])
    before = fingerprint(payload)
    for at in range(len(payload)):
        for value in range(256):
            if value != payload[at]:
                damaged = bytearray(payload)
                damaged[at] = value
                assert not unnoticed(bytes(damaged), before), (at, value)


def test_every_flipped_bit_of_a_redacted_block_is_refused_or_changes_a_hash():
    payload, _ = Book().commit(ROWS)
    payload = blanked(payload, 4)
    before = fingerprint(payload)
    assert unnoticed(payload, before)
    start, length = decode(payload).place(4)
    for at in range(start - SALT_BYTES, start + length):
        damaged = bytearray(payload)
        damaged[at] ^= 1
        assert not unnoticed(bytes(damaged), before)


def test_every_block_cut_short_or_grown_is_refused():
    payload, _ = Book().commit(ROWS)
    for size in range(len(payload)):
        for part in (payload[:size], payload[size + 1 :], payload[:size] + b"\0" + payload[size:]):
            with pytest.raises(Corrupted):
                decode(part)
    with pytest.raises(Corrupted):
        decode(payload + b"\0")


@given(rows, st.data())
def test_damage_anywhere_is_noticed(block, data):
    payload, _ = Book().commit(block)
    before = fingerprint(payload)
    damaged = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    assert unnoticed(bytes(damaged), before) == (damaged == payload)


def test_bodies_that_changed_places_are_noticed():
    same = [(Kind.REVISION, 1, document(n), 0, b'{"n":%d}' % n) for n in range(2)]
    payload, _ = Book().commit(same)
    (a, length), (b, _) = decode(payload).place(0), decode(payload).place(1)
    swapped = bytearray(payload)
    swapped[a - 16 : a + length], swapped[b - 16 : b + length] = (
        payload[b - 16 : b + length],
        payload[a - 16 : a + length],
    )
    with pytest.raises(Corrupted, match="entry 0: its data does not have the hash"):
        audit(bytes(swapped))


# -- redaction ---------------------------------------------------------------------------------------------------------


def blanked(payload, i):
    start, length = decode(payload).place(i)
    return payload[: start - SALT_BYTES] + bytes(SALT_BYTES + length) + payload[start + length :]


def test_redacted_revisions_keep_their_entries_leaves_and_hash():
    payload, _ = Book().commit(ROWS)
    redacted = blanked(blanked(payload, 0), 4)
    assert audit(redacted) == [0, 4]
    assert fingerprint(redacted) == fingerprint(payload)
    entry = decode(redacted).entry(4)
    assert entry.data is None
    assert entry.salt == bytes(16)
    assert entry.data_hash == decode(payload).entry(4).data_hash


@pytest.mark.parametrize("i", [2, 3])
def test_only_revisions_can_be_blank(i):
    payload, _ = Book().commit(ROWS)
    with pytest.raises(Corrupted, match=f"entry {i}: its data does not have the hash"):
        audit(blanked(payload, i))


def test_data_without_its_salt_is_no_redaction():
    payload, _ = Book().commit(ROWS)
    start, length = decode(payload).place(0)
    for begin, end in ((start - 16, start), (start, start + length)):
        damaged = payload[:begin] + bytes(end - begin) + payload[end:]
        with pytest.raises(Corrupted, match="entry 0"):
            audit(damaged)


# -- hostile bytes -----------------------------------------------------------------------------------------------------


def put(payload, at, form, value):
    damaged = bytearray(payload)
    struct.pack_into(form, damaged, at, value)
    return bytes(damaged)


def test_each_field_is_named_when_it_is_wrong():
    payload, _ = Book().commit(ROWS)
    end = len(payload) - TRAILER_BYTES
    entry = decode(payload)._offsets[0] - ENTRY_BYTES * len(ROWS)
    for at, form, value, said in (
        (0, "<B", 0x46, "does not begin with EHB1"),
        (4, "<I", 0xFFFFFFFF, "too short for its entries"),
        (4, "<I", (len(payload) - TRAILER_BYTES - entry) // ENTRY_BYTES, "too short for its entries"),
        (4, "<I", 4, "counts other entries"),
        (8, "<I", 0xFFFFFFFF, "too short for its statements"),
        (12, "<I", 1, "head that are to be zero"),
        (end, "<B", 4, "not of a trailer's kind"),
        (end + 1, "<B", 1, "trailer that are to be zero"),
        (end + 2, "<H", 256, "trailer that are to be zero"),
        (end + 4, "<I", 6, "counts other entries"),
        (entry, "<B", 0, "entry 0: it is of no kind"),
        (entry, "<B", 5, "entry 0: it is of no kind"),
        (entry + 1, "<B", 128, "entry 0: bytes that are to be zero"),
        (entry + 2, "<H", 1, "entry 0: bytes that are to be zero"),
        (entry + 28, "<I", 0xFFFFFFFF, "entry 0: its data is longer"),
        (entry + ENTRY_BYTES * 4 + 28, "<I", 303, "entry 4: its data is longer"),
        (entry + 28, "<I", 0, "entry 0: it has no data"),
        (entry + 32, "<Q", 2, "entry 0: it says to be of another block"),
        (entry + 40, "<q", -1, "entry 0: it says to be of another time"),
        (entry + 48, "<B", 9, "entry 0: it says to be of another transaction"),
        (entry + ENTRY_BYTES + 28, "<I", 1, "entry 1: it is a tombstone that has"),
        (entry + ENTRY_BYTES + 64, "<B", 1, "entry 1: it is a tombstone that has"),
        (entry + ENTRY_BYTES * 5 - 68, "<I", 1, "left over between the last body and the trailer"),
    ):
        with pytest.raises(Corrupted, match=said):
            decode(put(payload, at, form, value))
    with pytest.raises(Corrupted, match="statements do not have the hash"):
        audit(put(payload, HEAD_BYTES, "<B", 0x20))


def test_the_place_of_damage_is_that_in_the_file():
    payload, _ = Book().commit(ROWS)
    start, _ = decode(payload).place(2)
    with pytest.raises(
        Corrupted, match=f"block 1 in journal/7 is damaged at byte {4096 + start - 16}: entry 2"
    ) as caught:
        audit(put(payload, start, "<B", 0), file="journal/7", offset=4096)
    error = caught.value
    assert (error.file, error.offset, error.block, error.entry) == ("journal/7", 4096 + start - 16, 1, 2)
    with pytest.raises(Corrupted, match="a block is damaged at byte 3: it is shorter"):
        decode(b"EHB")


@given(st.binary(max_size=600))
def test_random_bytes_are_no_block(payload):
    with pytest.raises(Corrupted):
        decode(payload)
    with pytest.raises(Corrupted):
        audit(b"EHB1" + payload)


@given(
    st.integers(0, 5), st.integers(0, 700), st.lists(st.integers(0, (1 << 32) - 1), max_size=5), st.binary(max_size=900)
)
def test_lengths_that_lie_never_lead_out_of_the_buffer(count, statements, lengths, rest):
    head = struct.pack("<4sIII", b"EHB1", count, statements, 0)
    lying = b"".join(bytes([1]) + bytes(27) + struct.pack("<I", length) + bytes(64) for length in lengths)
    trailer = struct.pack("<BBHI", 5, 0, 0, count) + bytes(TRAILER_BYTES - 8)
    payload = head + lying + rest + trailer
    try:
        offsets = ledgerblock.check(payload)
    except BadBlock as error:
        assert 0 <= error.offset <= len(payload)  # noqa: PT017 (there may be no error)
        return
    assert offsets == sorted(offsets)
    assert offsets[-1] == len(payload) - TRAILER_BYTES
    with pytest.raises(BadBlock):
        ledgerblock.audit(payload)


def test_statements_that_are_none_are_damage():
    for text in (
        b"[1]",
        b"{",
        b'[{"text":1}]',
        b'[{"text":"x","parameters":"!"}]',
        b'[{"text":1,"parameters":null}]',
        b"5",
    ):
        payload = model.block(1, TIME, TRANSACTION, text, [], [], bytes(32))
        assert audit(payload) == []
        with pytest.raises(Corrupted, match="statements of block 1"):
            _ = decode(payload).statements


# -- the chain ---------------------------------------------------------------------------------------------------------


def test_blocks_that_follow_each_other_show_no_broken_link():
    book = Book()
    blocks = [decode(book.commit(ROWS)[0]) for _ in range(4)]
    assert blocks[0].broken_link(None) is None
    for before, after in itertools.pairwise(blocks):
        assert after.broken_link(before) is None
    assert "block 3 is due" in blocks[3].broken_link(blocks[1])
    assert "block 1 is due" in blocks[1].broken_link(None)


@pytest.mark.parametrize(
    ("at", "form", "value", "said"),
    [
        (112, "<B", 0, "another hash"),
        (16, "<Q", 7, "leaf 7, and leaf 6 is due"),
        (24, "<q", TIME, "older"),
        (8, "<Q", 1 << 63, "2 is due"),
    ],
)
def test_a_broken_link_is_named(at, form, value, said):
    book = Book()
    first = decode(book.commit(ROWS)[0])
    second = decode(book.commit([])[0])
    assert second.broken_link(first) is None
    damaged = put(second.payload, len(second.payload) - TRAILER_BYTES + at, form, value)
    assert said in decode(damaged).broken_link(first)


# -- drafts ------------------------------------------------------------------------------------------------------------


def test_drafts_refuse_what_is_no_entry():
    draft = Draft(TRANSACTION)
    for arguments, said in (
        ((Kind.TOMBSTONE, 1, document(1), 0, b"{}"), "got a tombstone of 2 bytes"),
        ((Kind.REVISION, 1, document(1), 0, b""), "got a revision of 0 bytes"),
        ((Kind.REVISION, 1, b"short", 0, b"{}"), "document's id has 16 bytes, got 5"),
        ((Kind.REVISION, 1 << 32, document(1), 0, b"{}"), "32 bits"),
        ((Kind.REVISION, 1, document(1), -1, b"{}"), "32 bits"),
    ):
        with pytest.raises(Invalid, match=said):
            draft.add(*arguments)
    with pytest.raises(Invalid, match="2 documents have 32 bytes of ids, got 16"):
        draft.add_documents(1, bytes(16), [b"{}", b"{}"])
    with pytest.raises(Invalid, match="at least one byte"):
        draft.add_documents(1, bytes(32), [b"{}", b""])
    with pytest.raises(Invalid, match="32 bits"):
        draft.add_documents(1 << 32, bytes(16), [b"{}"])
    assert len(draft) == 0
    assert decode(bytes(draft.pack(b""))).count == 0
    with pytest.raises(Invalid, match="0 entries take 0 bytes of salt, got 16"):
        draft.pack(bytes(16))
    with pytest.raises(Invalid, match="16 bytes, got 3"):
        Draft(b"abc")


def test_the_kernel_refuses_columns_that_do_not_fit():
    good = [TRANSACTION, b"[]", bytes(32), b"\1", bytes(4), bytes(16), bytes(4), bytes(16), [b"1"], bytes(32)]
    assert len(ledgerblock.pack(*good)) == 16 + 2 + 96 + 17 + 144
    for i, bad in ((0, b""), (2, b""), *((i, b"") for i in (3, 4, 5, 6, 7, 9)), (9, bytes(64)), (4, bytes(5))):
        with pytest.raises(ValueError, match="bytes"):
            ledgerblock.pack(*good[:i], bad, *good[i + 1 :])
    with pytest.raises(TypeError):
        ledgerblock.pack(*good[:8], ["1"], good[9])


def test_only_packed_bytes_are_stamped_and_sealed():
    for payload in (bytearray(), bytearray(200), bytearray(b"EHB1\xff\xff\xff\xff" + bytes(200))):
        for verb in (lambda p: stamp(p, 1, 1), lambda p: seal(p, 0, bytes(32), bytes(32))):
            with pytest.raises(ValueError, match=r"made by pack\(\)"):
                verb(payload)
    payload = Draft(TRANSACTION).pack(b"")
    with pytest.raises(ValueError, match="32 bytes"):
        seal(payload, 0, b"", bytes(32))


def test_parameters_are_hashed_as_canonical_json():
    assert parameters_hash([{"b": 1.0, "a": "x"}]) == hashlib.sha256(b'[{"a":"x","b":1}]').digest()
    assert parameters_hash(()) == hashlib.sha256(b"[]").digest()


def test_threads_audit_at_the_same_time():
    payload, _ = Book().commit(ROWS * 200)
    answers = []
    threads = [threading.Thread(target=lambda: answers.extend(audit(payload) for _ in range(20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[]] * 80
