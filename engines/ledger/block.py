"""Blocks: one committed transaction is one block, and one payload in the log.

    +------+--------------------+----------------------------+--------------------------------+---------+
    | head | statements         | entry  entry  ...          | salt data  salt data  ...      | trailer |
    | 16   | canonical JSON     | 96 each                    | 16 and as long as entry says   | 144     |
    +------+--------------------+----------------------------+--------------------------------+---------+

    head       "EHB1" | entries u32 | bytes of statements u32 | zero u32
    statements [{"parameters": base64 or null, "text": "INSERT INTO ..."}, ...]

    entry   0 kind u8: 1 revision, 2 tombstone, 3 redaction, 4 catalogue      trailer   0 kind u8: 5
            1 flags u8: zero; 2 zero u16                                                1 flags u8: zero; 2 zero u16
            4 table u32                                                                 4 entries u32
            8 document 16                                                               8 block u64
           24 version u32, from 0 without gaps                                         16 first leaf u64
           28 bytes of data u32                                                        24 time i64
           32 block u64                                                                32 transaction 16
           40 time i64, microseconds since 1970                                        48 hash of the statements 32
           48 transaction 16                                                           80 root of all leaves before 32
           64 hash of the data 32                                                     112 hash of the block before 32

Every byte is covered by a hash; each kind of message begins with a byte of its own, so none can pass for another:

    statements hash    SHA-256(statements)             begins with [
    data hash          SHA-256(02 | salt | data)       zeros for a tombstone, which has neither salt nor data
    leaf               SHA-256(00 | entry), SHA-256(00 | trailer)
    node               SHA-256(01 | left | right)      the tree of RFC 6962, merkle.py
    block hash         SHA-256(03 | trailer)           which the next trailer carries: the chain

    data ──> entry ──> leaf ─┐
    data ──> entry ──> leaf ─┴─> root ──> trailer ──> block hash ──> next trailer
                     statements hash ───────┘  └────> leaf, the last of its block

So a root covers all blocks before it, and one proof of inclusion serves for documents and for whole blocks. Head and
salts of tombstones are in no hash; they can only be what the rest says they are, and are checked against it.

The salt is random. It goes away with the data when a revision is redacted: nobody can then find a "yes" or "no" by
hashing both. Redacted data leaves zeros in place of salt and data; its entry, leaf and every proof stay as they were.
What a statement says stays too: so its values are to be parameters. Only a hash of those is kept, and it has no salt:
leave it out (None) where the parameters are few and guessable.

Simpler than QLDB's blocks: one fixed layout instead of Ion, and one tree for the ledger instead of one for each block.

Invariants: decode(pack(x)) is x; a changed bit is refused or changes a leaf or the block's hash; nothing here parses
JSON but `Block.statements`.
"""

import base64
import struct
from array import array
from collections.abc import Sequence
from enum import IntEnum
from functools import cached_property
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from engines._native import ledgerblock, merkle
from engines._native.ledgerblock import ENTRY_BYTES, HEAD_BYTES, SALT_BYTES, TRAILER_BYTES, BadBlock, seal, stamp
from engines.errors import Corrupted, Invalid
from engines.ledger.canonicaljson import canonical, read
from engines.ledger.pictures import draw_blocks
from engines.ledger.randomness import random_bytes

__all__ = [
    "COLUMNS", "ENTRY_BYTES", "HEAD_BYTES", "ID_BYTES", "LONGEST_BLOCK", "NO_HASH", "SALT_BYTES", "TRAILER_BYTES",
    "Block", "Draft",
    "Entry", "Kind", "Payload", "Statement", "audit", "block_hash", "decode", "entries", "parameters_hash", "seal",
    "stamp",
]  # fmt: skip

Payload: TypeAlias = bytes | bytearray | memoryview

ID_BYTES: Final = 16
LONGEST_BLOCK: Final = 64 << 20  # bytes
NO_HASH: Final = bytes(32)  # of a tombstone's data; before the first block

_ENTRY = struct.Struct("<BBHI16sIIQq16s32s")  # kind flags zero table document version length block time tx hash
_TRAILER = struct.Struct("<BBHIQQq16s32s32s32s")  # kind flags zero count block first time tx statements root previous

COLUMNS: Final = np.dtype(
    [
        ("kind", "u1"), ("flags", "u1"), ("zero", "<u2"), ("table", "<u4"), ("document", "V16"), ("version", "<u4"),
        ("length", "<u4"), ("block", "<u8"), ("time", "<i8"), ("transaction", "V16"), ("data_hash", "V32"),
    ]
)  # fmt: skip


class Kind(IntEnum):
    """What an entry records."""

    REVISION = 1
    TOMBSTONE = 2
    REDACTION = 3
    CATALOGUE = 4


class Statement(NamedTuple):
    """What was asked for: the text, and the hash of its parameters (32 bytes) or None."""

    text: str
    parameters: bytes | None = None


class Entry(msgspec.Struct, frozen=True):
    """One of a block's entries. data is None for a tombstone, and where it was redacted."""

    kind: Kind
    table: int
    document: bytes
    version: int
    block: int
    time: int
    transaction: bytes
    data_hash: bytes
    leaf: int  # its index in the tree
    salt: bytes
    data: bytes | None


def parameters_hash(parameters: Sequence[object]) -> bytes:
    """SHA-256 of the canonical JSON of a statement's parameters. Invalid where they have none."""
    return sha256(canonical(list(parameters))).digest()


def block_hash(trailer: bytes) -> bytes:
    """The hash that the next block's trailer carries."""
    return sha256(b"\3" + trailer).digest()


class Draft:
    """A block in the making: gather a transaction's entries, then pack them.

    pack() needs no lock. What is only known in the commit's turn goes in afterwards, into the packed bytes:
    stamp(payload, number, time), then the leaves of entries(payload) into the tree, then
    seal(payload, first_leaf, root, previous) -> trailer, whose leaf is the block's last.

    transaction: 16 bytes. Not safe to share between threads.
    """

    def __init__(self, transaction: bytes, statements: Sequence[Statement] = ()) -> None:
        if len(transaction) != ID_BYTES:
            raise Invalid(f"a transaction's id has {ID_BYTES} bytes, got {len(transaction)}")
        self.transaction = transaction
        self.statements = b"[]" if not statements else _statements(statements)
        self._kinds = bytearray()
        self._tables, self._versions = array("I"), array("I")
        self._documents = bytearray()
        self._bodies: list[bytes] = []

    def __len__(self) -> int:
        return len(self._bodies)

    @property
    def size_bytes(self) -> int:
        """How long the packed block will be."""
        bodies = sum(map(len, self._bodies)) + len(self) * (ENTRY_BYTES + SALT_BYTES)
        return HEAD_BYTES + len(self.statements) + bodies + TRAILER_BYTES

    def add(self, kind: Kind, table: int, document: bytes, version: int, data: bytes = b"") -> None:
        """One entry. data is canonical JSON; a tombstone has none, everything else has. Invalid otherwise."""
        if (kind == Kind.TOMBSTONE) == bool(data):
            raise Invalid(
                f"a tombstone has no data, all other entries have; got a {kind.name.lower()} of {len(data)} bytes"
            )
        if len(document) != ID_BYTES:
            raise Invalid(f"a document's id has {ID_BYTES} bytes, got {len(document)}")
        _check_numbers(table, version)
        self._kinds.append(kind)
        self._tables.append(table)
        self._versions.append(version)
        self._documents += document
        self._bodies.append(data)

    def add_documents(self, table: int, documents: bytes, data: Sequence[bytes]) -> None:
        """First revisions, many at once; documents holds their ids, 16 bytes each."""
        if len(documents) != ID_BYTES * len(data):
            raise Invalid(f"{len(data)} documents have {ID_BYTES * len(data)} bytes of ids, got {len(documents)}")
        _check_numbers(table, 0)
        if not all(data):
            raise Invalid("a document's canonical JSON has at least one byte")
        self._kinds += bytes([Kind.REVISION]) * len(data)
        self._tables.extend(array("I", [table]) * len(data))
        self._versions.extend(array("I", [0]) * len(data))
        self._documents += documents
        self._bodies += data

    def pack(self, salts: bytes | None = None) -> bytearray:
        """The block's bytes, hashes of the data in it. salts: 16 bytes for each entry; random ones if left out."""
        if salts is None:
            salts = random_bytes(SALT_BYTES * len(self))
        if len(salts) != SALT_BYTES * len(self):
            raise Invalid(f"{len(self)} entries take {SALT_BYTES * len(self)} bytes of salt, got {len(salts)}")
        return ledgerblock.pack(
            self.transaction,
            self.statements,
            sha256(self.statements).digest(),
            self._kinds,
            self._tables,
            self._documents,
            self._versions,
            salts,
            self._bodies,
            merkle.data_hashes(salts, self._bodies),
        )


def entries(payload: Payload) -> memoryview:
    """Where the entries of a packed block lie: 96 bytes each, a view, not copied."""
    count, statements = struct.unpack_from("<II", payload, 4)
    start = HEAD_BYTES + statements
    return memoryview(payload)[start : start + ENTRY_BYTES * count]


def decode(payload: Payload, *, file: str = "", offset: int = 0) -> "Block":
    """A block from its bytes, which are kept, not copied: they must not change while it is in use.

    Lengths and fields are checked, hashes are not: see audit(). Corrupted names the file, and the byte in it if
    `offset` says where the payload begins there.
    """
    try:
        return Block(payload, ledgerblock.check(payload))
    except BadBlock as error:
        raise _corrupted(error, payload, file, offset) from None


def audit(payload: Payload, *, file: str = "", offset: int = 0) -> list[int]:
    """Check all that a block says of itself: lengths, fields, the hashes of its statements and data. No JSON is read.

    Returns which entries, from 0, were blanked by a redaction. That it was asked for, the root and the chain are for
    the caller to check. Corrupted as in decode().
    """
    try:
        return ledgerblock.audit(payload)
    except BadBlock as error:
        raise _corrupted(error, payload, file, offset) from None


class Block:
    """One block as it lies in the log: what it says of itself, and its entries.

    Times are microseconds since 1970; block numbers count from 1, leaves from 0.
    """

    def __init__(self, payload: Payload, offsets: list[int]) -> None:
        self.payload = payload
        self.trailer = bytes(payload[-TRAILER_BYTES:])
        self._offsets = offsets
        fields: tuple[Any, ...] = _TRAILER.unpack(self.trailer)
        self.count: int = fields[3]
        self.number: int = fields[4]
        self.first_leaf: int = fields[5]
        self.time: int = fields[6]
        self.transaction: bytes = fields[7]
        self.root: bytes = fields[9]
        self.previous: bytes = fields[10]

    def __repr__(self) -> str:
        return f"Block({self.number}, {self.count} entries, hash {self.hash.hex()[:8]})"

    def _repr_html_(self) -> str:
        """The block as a picture."""
        return draw_blocks([self])

    @cached_property
    def hash(self) -> bytes:
        """What the next block's trailer carries."""
        return block_hash(self.trailer)

    @property
    def next_leaf(self) -> int:
        """The index of the next block's first leaf: this one's trailer is a leaf too."""
        return self.first_leaf + self.count + 1

    @property
    def statements(self) -> list[Statement]:
        """What was asked for. Corrupted where that is not what pack() writes."""
        try:
            return [_statement(**said) for said in read(self.statements_json)]
        except (Invalid, ValueError, TypeError) as error:
            raise Corrupted(f"the statements of block {self.number} are none: {error!r}", block=self.number) from error

    @property
    def statements_json(self) -> bytes:
        """The statements as they are hashed: canonical JSON."""
        start = self._offsets[0] - ENTRY_BYTES * self.count
        return bytes(self.payload[HEAD_BYTES:start])

    @property
    def columns(self) -> npt.NDArray[Any]:
        """All entries as one array of COLUMNS, a view: for who reads many and wants no object for each."""
        return np.frombuffer(self.payload, COLUMNS, self.count, self._offsets[0] - ENTRY_BYTES * self.count)

    @property
    def entries(self) -> list[bytes]:
        """The entries as they are hashed, 96 bytes each."""
        start = self._offsets[0] - ENTRY_BYTES * self.count
        return [bytes(self.payload[at : at + ENTRY_BYTES]) for at in range(start, self._offsets[0], ENTRY_BYTES)]

    @property
    def revisions(self) -> list[Entry]:
        """The entries with their data."""
        return [self.entry(i) for i in range(self.count)]

    def place(self, i: int) -> tuple[int, int]:
        """Where the data of entry i lies in the payload, and how long it is; the 16 bytes before it are its salt."""
        start = self._offsets[i] + SALT_BYTES
        return start, self._offsets[i + 1] - start

    def entry(self, i: int) -> Entry:
        """Entry i, from 0, with its data."""
        at = self._offsets[0] - ENTRY_BYTES * (self.count - i)
        kind, _, _, table, document, version, length, block, time, transaction, hashed = _ENTRY.unpack_from(
            self.payload, at
        )
        start = self._offsets[i] + SALT_BYTES
        salt = bytes(self.payload[start - SALT_BYTES : start])
        data = bytes(self.payload[start : start + length])
        gone = not any(salt) and not data.strip(b"\0")  # JSON has no zeros: a tombstone, or redacted
        return Entry(
            kind=Kind(kind),
            table=table,
            document=document,
            version=version,
            block=block,
            time=time,
            transaction=transaction,
            data_hash=hashed,
            leaf=self.first_leaf + i,
            salt=salt,
            data=None if gone else data,
        )

    def leaves(self) -> bytes:
        """The leaf hashes of the entries and, last, of the trailer: 32 bytes each."""
        records = merkle.leaves(entries(self.payload), ENTRY_BYTES, self.count) if self.count else b""
        return records + merkle.leaves(self.trailer, TRAILER_BYTES, 1)

    def broken_link(self, before: "Block | None") -> str | None:
        """What shows that this is not the block after `before` (None: not the first), or None where nothing does."""
        if before is None:
            return self.misfit(0, 0, NO_HASH, self.time)
        return self.misfit(before.number, before.next_leaf, before.hash, before.time)

    def misfit(self, number: int, leaves: int, hashed: bytes, time: int) -> str | None:
        """As broken_link, of the end of a chain: its last block's number, hash and time, and how many leaves it has."""
        if self.number != number + 1:
            return f"block {number + 1} is due, and this says to be {self.number}"
        if self.previous != hashed:
            return f"block {self.number} carries another hash than that of the block before"
        if self.first_leaf != leaves:
            return f"block {self.number} begins at leaf {self.first_leaf}, and leaf {leaves} is due"
        if self.time < time:
            return f"block {self.number} is older than the block before"
        return None


def _statements(said: Sequence[Statement]) -> bytes:
    return canonical(
        [
            {"parameters": None if hashed is None else base64.b64encode(hashed).decode(), "text": text}
            for text, hashed in said
        ]
    )


def _check_numbers(table: int, version: int) -> None:
    if not (0 <= table < 1 << 32 and 0 <= version < 1 << 32):
        raise Invalid(f"tables and versions are numbers of 32 bits, got {table} and {version}")


def _statement(*, text: str, parameters: str | None) -> Statement:
    hashed = None if parameters is None else base64.b64decode(parameters, validate=True)
    if not isinstance(text, str) or (hashed is not None and len(hashed) != len(NO_HASH)):
        raise ValueError("a text and a hash of 32 bytes, or null")
    return Statement(text, hashed)


def _corrupted(error: BadBlock, payload: Payload, file: str, offset: int) -> Corrupted:
    """The kernel's complaint with its place. The number is the one that the trailer gives, if there is a trailer."""
    number = int.from_bytes(payload[8 - TRAILER_BYTES : 16 - TRAILER_BYTES], "little")
    named = f"block {number}" if len(payload) >= HEAD_BYTES + TRAILER_BYTES else "a block"
    at = offset + error.offset
    return Corrupted(
        f"{named}{f' in {file}' if file else ''} is damaged at byte {at}: {error}; restore a snapshot",
        file=file,
        offset=at,
        block=number,
        entry=error.entry,
    )
