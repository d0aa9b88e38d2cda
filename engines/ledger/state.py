"""Where a ledger stands: what the blocks add up to, in the tree. All of it can be made from the blocks again.

    keyspace     key                                        value
    current      table u32 | document 16                    place         the documents that are there
    past         table u32 | document 16 | version u32      place [block u64 of the redaction]
    index        index u32 | first 16 bytes of              ''            candidates: the document itself is looked at
                 SHA-256(canonical value) | document 16
    block        number u64                                 where         each block's time, leaves and place
    catalogue    table u32                                  JSON          tables, dropped ones too, and their indexes
    erasing      table u32 | document 16 | version u32      ''            redactions whose bytes are still on disk
    book         chain                                      JSON          as of the last checkpoint

    place   version u32 | bytes of data u32 | leaf u64 | sequence u64 | offset of the data u64 | block u64 | crc32c u32
    where   time i64 | first leaf u64 | sequence u64 | offset u64 | bytes u32 | entries at u32 | transaction 16

Keys are big-endian, so that they sort; values little-endian. A sequence is that of the log's frame, offsets are in its
segment; so a document is read with one pread. No data is in the tree: it may have to be redacted. (The crc32c is of
salt and data: with a salt of 128 bits that is gone, it tells nothing about the data.)

A tombstone stands in `past`: who is there and who was there are apart, and an id that was deleted never comes back.

Invariants: apply() depends on the block and on the state before it, on nothing else; state after rebuild() is the state
before it.
"""

import heapq
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import google_crc32c
import lmdb
import msgspec

from engines._native import frame, ledgerblock
from engines.errors import Conflict, Corrupted, Invalid, NotFound, nearest
from engines.ledger.block import NO_HASH, SALT_BYTES, Block, Entry, Kind, Payload, block_hash, decode
from engines.ledger.canonicaljson import canonical, read
from engines.storage.log import Frame, Log
from engines.storage.tree import Keyspace, Tree

if TYPE_CHECKING:
    from engines.ledger.merkle import MerkleLog

BLOCK_FRAME: Final = 16  # the kind of a log frame that is a block
HEADER: Final = frame.HEADER

FRESH: Final = 4096  # rows that wait for the tree

Indexes: TypeAlias = dict[int, list[str | int]]  # the number of each, and the path that it is on

_PLACE = struct.Struct("<IIQQQQI")
_WHERE = struct.Struct("<qQQQII16s")
_U32, _U64 = struct.Struct(">I"), struct.Struct(">Q")
NOTHING: Final = object()  # a path leads nowhere


class Place(NamedTuple):
    """Where one revision is."""

    version: int
    length: int  # of the data, in bytes; 0 for a tombstone
    leaf: int
    sequence: int  # of the log's frame
    offset: int  # of the data in that frame's segment; the salt stands before it
    block: int
    checksum: int  # crc32c of salt and data


class Where(NamedTuple):
    """Where one block is."""

    time: int  # microseconds since 1970
    first_leaf: int
    sequence: int  # of the log's frame
    offset: int  # of the payload in that frame's segment
    length: int  # of the payload, in bytes
    entries: int  # where they begin, in the segment
    transaction: bytes


class Chain(msgspec.Struct, frozen=True):
    """The end of the chain of blocks, and how far the level files went at the checkpoint."""

    number: int = 0  # of the last block; 0 before the first
    leaves: int = 0
    time: int = 0  # of the last block, microseconds since 1970
    hash: bytes = NO_HASH  # of the last block
    stored: int = 0  # leaves in the level files
    stored_number: int = 0  # the block that these end with
    root: bytes = b""  # over them
    indexes: int = 0  # how many were ever made


class TableState(msgspec.Struct):
    """A table, and its indexes. id: its 16 bytes, in base64 where it is stored. version: of its entry in a block."""

    number: int
    id: bytes
    name: str
    version: int = 0
    dropped: bool = False
    indexes: Indexes = {}
    changed: int = 0  # the block of its last entry

    def index_on(self, path: Sequence[str | int]) -> int | None:
        """The number of the index on this path; None where there is none."""
        steps = list(path)
        return next((number for number, indexed in self.indexes.items() if indexed == steps), None)


_encode = msgspec.json.encode
_decode_table = msgspec.json.Decoder(TableState).decode
_decode_chain = msgspec.json.Decoder(Chain).decode


class State:
    """The tree's side of a ledger. Hold the tree's lock around every call but those that say otherwise."""

    def __init__(self, tree: Tree, log: Log) -> None:
        self.tree, self._log = tree, log
        self._current, self.past = tree.keyspace("current"), tree.keyspace("past")
        self.index, self._block = tree.keyspace("index"), tree.keyspace("block")
        self._fresh: dict[bytes, bytes] = {}  # rows of `current` on their way into the tree
        self._fresh_blocks: dict[bytes, bytes] = {}  # of `block`
        self._replaying = False
        self.catalogue, self.erasing = tree.keyspace("catalogue"), tree.keyspace("erasing")
        self.book: Keyspace = tree.keyspace("book")
        self.merkle: MerkleLog  # comes once the chain is known
        self._before = (0, 0, "")  # the frame replayed last: its sequence, where it ends, in which file
        stored = self.book.get(b"chain")
        self.chain = Chain() if stored is None else _decode_chain(stored)
        self.tables: dict[int, TableState] = {}
        self.names: dict[str, TableState] = {}
        for _, value in self.catalogue.walk():
            self._know(_decode_table(value))

    # -- rows on their way --------------------------------------------------------------------------------------------

    @property
    def current(self) -> Keyspace:
        """The keyspace, with all rows in it."""
        self.flush()
        return self._current

    @property
    def block(self) -> Keyspace:
        """The keyspace, with all rows in it."""
        self.flush()
        return self._block

    def forget(self) -> None:
        """The tree goes back to its checkpoint, and the blocks since come again: rows that wait are of later."""
        self._fresh, self._fresh_blocks = {}, {}

    def flush(self) -> None:
        """Put the rows that wait into the tree: many at once cost less, and LMDB lets others run in each call."""
        while self._fresh or self._fresh_blocks:
            try:
                for keyspace, rows in ((self._current, self._fresh), (self._block, self._fresh_blocks)):
                    with self.tree.transaction.cursor(keyspace.db) as cursor:
                        cursor.putmulti(list(rows.items()), dupdata=True, overwrite=True)
            except lmdb.MapFullError:
                if self._replaying:
                    raise
                self.tree.rebuild(grow=True)  # which applies all blocks since the checkpoint again
            else:
                self._fresh, self._fresh_blocks = {}, {}

    # -- reading ------------------------------------------------------------------------------------------------------

    def table(self, name: str) -> TableState:
        """The table of this name. NotFound offers the nearest."""
        found = self.names.get(name) if isinstance(name, str) else None
        if found is None:
            hint = nearest(str(name), self.names) or "; create_table() makes one, tables() shows what there is"
            raise NotFound(f"there is no table {name!r:.80}{hint}", table=name)
        return found

    def place(self, table: int, document: bytes) -> Place | None:
        """Where the current revision is."""
        row = self._row(_U32.pack(table) + document)
        return None if row is None else Place(*_PLACE.unpack(row))

    def _row(self, key: bytes) -> bytes | memoryview | None:
        """What `current` holds."""
        return self._fresh.get(key) or self._current.view(key)

    def holds(self, rows: list[tuple[bytes, bytes]]) -> bool:
        """Whether `current` has these rows, one behind the other."""
        with self.tree.transaction.cursor(self.current.db) as cursor:
            return cursor.set_key(rows[0][0]) and ledgerblock.same_places(rows, cursor.iternext())

    def revision(self, table: int, document: bytes, version: int) -> tuple[Place, int] | None:
        """Where a revision is, and the block that redacted it, or 0."""
        place = self.place(table, document)
        if place is not None and place.version == version:
            return place, 0
        if not 0 <= version < 1 << 32:
            return None
        view = self.past.view(_U32.pack(table) + document + _U32.pack(version))
        return None if view is None else _past(view)

    def revisions(self, table: int, document: bytes) -> list[tuple[Place, int]]:
        """All revisions of a document, oldest first, each with the block that redacted it or 0."""
        prefix = _U32.pack(table) + document
        found = [_past(view) for _, view in self.past.walk(prefix, prefix + b"\xff" * 5)]
        place = self.place(table, document)
        return found if place is None else [*found, (place, 0)]

    def documents(self, table: int) -> Iterator[tuple[bytes, Place]]:
        """The documents of a table in the order of their ids. Takes the lock itself, a page at a time."""
        with self.tree.lock:
            current = self.current
        for key, value in current.range(_U32.pack(table), _U32.pack(table + 1)):
            yield key[4:], Place(*_PLACE.unpack(value))

    def ever(self, table: int) -> Iterator[bytes]:
        """The ids of all documents that a table has or had, in order. Takes the lock itself, a page at a time."""
        with self.tree.lock:
            current = self.current
        gone = (key[4:20] for key, _ in self.past.range(_U32.pack(table), _U32.pack(table + 1)))
        here = (key[4:] for key, _ in current.range(_U32.pack(table), _U32.pack(table + 1)))
        last = b""
        for document in heapq.merge(gone, here):
            if document != last:
                yield document
                last = document

    def indexed(self, index: int, value: object) -> list[bytes]:
        """The ids of documents that may have this value."""
        prefix = _U32.pack(index) + value_hash(value)
        return [key[20:] for key, _ in self.index.walk(prefix, prefix + b"\xff" * 17)]

    def count(self, table: int) -> int:
        """How many documents a table has now."""
        return sum(1 for _ in self.current.walk(_U32.pack(table), _U32.pack(table + 1)))

    def where(self, number: int) -> Where:
        """Where a block is. NotFound."""
        if type(number) is not int:
            raise Invalid(f"blocks are numbered from 1, got {number!r:.40}")
        key = _U64.pack(number) if 0 <= number < 1 << 64 else b""
        view = (self._fresh_blocks.get(key) or self._block.view(key)) if key else None
        if view is None:
            raise NotFound(f"there is no block {number}: the last one is {self.chain.number}", block=number)
        return Where(*_WHERE.unpack(view))

    def first_block_after(self, time: int) -> int:
        """The number of the first block later than this time; one more than the last where there is none."""
        low, high = 1, self.chain.number + 1
        while low < high:
            middle = (low + high) // 2
            if self.where(middle).time <= time:
                low = middle + 1
            else:
                high = middle
        return low

    def redacted(self, key: bytes) -> Place:
        """Where the revision is that a key of `erasing` names."""
        view = self.past.view(key)
        if view is None:
            raise Corrupted("a redaction is about a revision that is not there: rebuild() the ledger")
        return _past(view)[0]

    def data(self, place: Place) -> bytes:
        """The canonical JSON of a revision that was not redacted. No lock is needed. Corrupted names the place."""
        return self._checked(place, self._salted(place))

    def readable(self, place: Place) -> bytes | None:
        """As data(), but None where the bytes are erased."""
        salted = self._salted(place)
        return self._checked(place, salted) if any(salted) else None

    def erased(self, place: Place) -> bool:
        """Whether salt and data are gone."""
        return not any(self._salted(place))

    def _salted(self, place: Place) -> bytes:
        return self._log.pread(place.sequence, place.offset - SALT_BYTES, place.length + SALT_BYTES)

    def _checked(self, place: Place, salted: bytes) -> bytes:
        if salted and not any(salted):
            raise Conflict(
                f"the data of leaf {place.leaf} was redacted while it was read: read again (verify() if it was not)",
                block=place.block,
            )
        if len(salted) != place.length + SALT_BYTES or google_crc32c.value(salted) != place.checksum:
            file = self._log.path_of(place.sequence)
            raise Corrupted(
                f"{file}: block {place.block}, leaf {place.leaf}: the data at offset {place.offset} is not what was "
                "written there; verify() names all that is damaged; restore a snapshot",
                file=file,
                offset=place.offset,
                block=place.block,
            )
        return salted[SALT_BYTES:]

    def salt(self, place: Place) -> bytes:
        """The salt of a revision that was not redacted. No lock is needed."""
        return self._log.pread(place.sequence, place.offset - SALT_BYTES, SALT_BYTES)

    def entry(self, place: Place, where: Where) -> bytes:
        """The 96 bytes of a revision's entry. No lock is needed."""
        at = where.entries + ledgerblock.ENTRY_BYTES * (place.leaf - where.first_leaf)
        return self._log.pread(where.sequence, at, ledgerblock.ENTRY_BYTES)

    def payload(self, where: Where) -> bytes:
        """A block's bytes. No lock is needed, and no checksum is looked at: decode() does it with hashes."""
        return self._log.pread(where.sequence, where.offset, where.length)

    # -- changing -----------------------------------------------------------------------------------------------------

    def replay(self, found: Frame) -> None:
        """Apply one frame of the log again."""
        if found.kind != BLOCK_FRAME:
            raise Invalid(
                f"{self._log.path} has a frame of kind {found.kind}, which this release does not know: "
                "upgrade with pip install -U enginehouse"
            )
        offset = self._offset(found)
        number = self.chain.number
        if (block := decode(found.payload, file=self._log.path, offset=offset)).number > number:
            self._check_link(block, found.sequence, offset)
        self._replaying = True
        try:
            self.apply(found.payload, found.sequence, offset)
        finally:
            self._replaying = False
        if self.chain.number > number:
            self._check_root(found, offset)

    def _offset(self, found: Frame) -> int:
        """Where the frame's payload begins: looked for, or right behind the one before."""
        sequence, end, path = self._before
        here = self._log.path_of(found.sequence)
        offset = end + HEADER if (found.sequence, here) == (sequence + 1, path) else self._log.place(found.sequence)
        self._before = found.sequence, offset + ((len(found.payload) + 7) & ~7), here
        return offset

    def _check_root(self, found: Frame, offset: int) -> None:
        trailer = found.payload[-ledgerblock.TRAILER_BYTES :]
        if self.merkle.root(self.chain.leaves - 1) != trailer[80:112]:
            file = self._log.path_of(found.sequence)
            raise Corrupted(
                f"{file}: the root in block {self.chain.number} is not that of the entries before it; verify() says "
                "where they differ; restore a snapshot",
                file=file,
                offset=offset + len(found.payload) - ledgerblock.TRAILER_BYTES + 80,
                block=self.chain.number,
            )

    def apply(self, payload: Payload, sequence: int, offset: int) -> None:
        """Take a block into the tree: one that follows the last, or one that was taken before. Corrupted."""
        try:
            number, count, first_leaf, time, transaction, entries, table = ledgerblock.summary(payload)
        except ledgerblock.BadBlock:
            decode(payload, file=self._log.path, offset=offset)  # says so in the words of the house
            raise
        places = ledgerblock.places(payload, sequence, offset)
        if table >= 0 and not self._indexes(table):  # new documents of one table, in no index
            self._fresh.update(places)
        else:
            block = decode(payload)
            for i, (key, place) in enumerate(places):
                self._apply_entry(block.entry(i), key, place)
        where = _WHERE.pack(time, first_leaf, sequence, offset, len(payload), offset + entries, transaction)
        self._fresh_blocks[_U64.pack(number)] = where
        if number > self.chain.number:
            if len(self.merkle) == first_leaf:  # else the leaves are there already: who made the block needed the root
                self.merkle.extend_hashes(decode(payload).leaves())
            hashed = block_hash(bytes(payload[-ledgerblock.TRAILER_BYTES :]))
            leaves = first_leaf + count + 1
            end = msgspec.structs.replace(self.chain, number=number, leaves=leaves, time=time, hash=hashed)
            self.chain = end  # in one step: who is interrupted has done all of it, or nothing
        if len(self._fresh) + len(self._fresh_blocks) > FRESH:
            self.flush()

    def _check_link(self, block: Block, sequence: int, offset: int) -> None:
        end = self.chain
        wrong = block.misfit(end.number, end.leaves, end.hash, end.time)
        if wrong is not None:
            file = self._log.path_of(sequence)
            raise Corrupted(f"{file}: {wrong}; restore a snapshot", file=file, offset=offset, block=block.number)

    def _apply_entry(self, entry: Entry, key: bytes, place: bytes) -> None:
        if entry.kind == Kind.REDACTION:
            past = key + _U32.pack(entry.version)
            row = self.past.get(past)
            if row is not None:
                without = row[: _PLACE.size - 4] + bytes(4)  # no checksum of what was there
                self.past.put(past, without + struct.pack("<Q", entry.block))
                self.erasing.put(past, b"")
            return
        if entry.kind == Kind.CATALOGUE:
            self._apply_catalogue(entry)
            return
        indexes = self._indexes(entry.table)
        if entry.version:
            old = self._row(key)
            if old is None:
                raise Corrupted(f"block {entry.block}: version {entry.version} of a document that is not there")
            old = bytes(old)
            self.past.put(key + _U32.pack(entry.version - 1), old)
            if indexes:
                self._unindex(indexes, entry.document, Place(*_PLACE.unpack(old)))
        if entry.kind == Kind.TOMBSTONE:
            self._fresh.pop(key, None)
            self._current.delete(key)
            self.past.put(key + _U32.pack(entry.version), place)
        else:
            self._fresh[key] = place
            if indexes and entry.data is not None:
                self._index(indexes, entry.document, entry.data)

    # -- indexes ------------------------------------------------------------------------------------------------------

    def _indexes(self, table: int) -> Indexes:
        found = self.tables.get(table)
        return {} if found is None else found.indexes

    def _index(self, indexes: Indexes, document: bytes, data: bytes) -> None:
        for number, hashed in index_values(indexes, read(data)):
            self.index.put(_U32.pack(number) + hashed + document, b"")

    def _unindex(self, indexes: Indexes, document: bytes, place: Place) -> None:
        data = self.readable(place)
        if data is None:  # redacted since: its rows went in the checkpoint that redacting made
            return
        for number, hashed in index_values(indexes, read(data)):
            self.index.delete(_U32.pack(number) + hashed + document)

    # -- the catalogue ------------------------------------------------------------------------------------------------

    def _know(self, table: TableState) -> None:
        self.tables[table.number] = table
        if not table.dropped:
            self.names[table.name] = table

    def _apply_catalogue(self, entry: Entry) -> None:
        table, said = altered(self.tables, entry)
        number, action = table.number, said["action"]
        before = self.tables.get(number)
        if before is not None and action in ("drop table", "undrop table"):
            self.names.pop(before.name, None)
        self._know(table)
        if action == "create index":
            made = max(self.chain.indexes, said["index"])
            self.chain = msgspec.structs.replace(self.chain, indexes=made)
            self._fill(number, {said["index"]: said["path"]})
        elif action == "drop index":
            low, high = _U32.pack(said["index"]), _U32.pack(said["index"] + 1)
            while page := self.index.page(low, high, limit=10_000):
                for key, _ in page:
                    self.index.delete(key)
        self.catalogue.put(_U32.pack(number), _encode(table))

    def _fill(self, table: int, indexes: Indexes) -> None:
        low, high = _U32.pack(table), _U32.pack(table + 1)
        while page := self.current.page(low, high, limit=10_000):
            for key, value in page:
                data = self.readable(Place(*_PLACE.unpack(value)))
                if data is not None:
                    self._index(indexes, key[4:], data)
            low = page[-1][0] + b"\0"

    def next_table(self) -> int:
        """The number of the next table."""
        return max(self.tables, default=0) + 1

    def check_end(self) -> None:
        """Corrupted where the chain, as of the checkpoint, does not end with a block that is in the journal."""
        end = self.chain
        if not end.number:
            return
        try:
            block = decode(self.payload(self.where(end.number)))
            fits = (block.hash, block.next_leaf, block.time) == (end.hash, end.leaves, end.time)
        except (NotFound, Corrupted):
            fits = False
        if not fits:
            path = f"{self.tree.path}/data.mdb"
            raise Corrupted(
                f"{path} does not say how the journal ends: delete the folders tree and hashes, and open the ledger: "
                "it makes them anew",
                file=path,
                offset=0,
            )

    def stored(self, leaves: int, number: int, root: bytes) -> None:
        """The level files hold this many leaves now, up to this block, with this root over them."""
        self.chain = msgspec.structs.replace(self.chain, stored=leaves, stored_number=number, root=root)

    def remember(self) -> None:
        """Put into the tree what is not there yet: the checkpoint calls it."""
        self.flush()
        self.book.put(b"chain", _encode(self.chain))


def altered(tables: Mapping[int, TableState], entry: Entry) -> tuple[TableState, dict[str, Any]]:
    """What an entry of the catalogue makes of its table, and what it says. tables are those before it."""
    said: dict[str, Any] = read(entry.data or b"{}")
    action = said["action"]
    if action == "create table":
        return TableState(entry.table, entry.document, said["name"], changed=entry.block), said
    table = msgspec.structs.replace(tables[entry.table], version=entry.version, changed=entry.block)
    if action in ("drop table", "undrop table"):
        table.dropped = action == "drop table"
    elif action == "create index":
        table.indexes = {**table.indexes, said["index"]: said["path"]}
    elif action == "drop index":
        table.indexes = {index: path for index, path in table.indexes.items() if index != said["index"]}
    return table, said


def at_path(value: Any, path: Sequence[str | int]) -> Any:  # noqa: ANN401 - whatever stands there
    """What stands at a path of a document; NOTHING where there is nothing."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return NOTHING
            value = value[step]
        else:
            if not isinstance(value, list) or not 0 <= step < len(value):
                return NOTHING
            value = value[step]
    return value


def value_hash(value: object) -> bytes:
    """What stands for a value in an index."""
    return sha256(canonical(value)).digest()[:16]


def index_values(indexes: Indexes, value: object) -> list[tuple[int, bytes]]:
    """The number of each index that a document is in, and the hash of what it has at that index's path."""
    found = [(number, at_path(value, path)) for number, path in indexes.items()]
    return [(number, value_hash(at)) for number, at in found if at is not NOTHING]


def _past(view: memoryview) -> tuple[Place, int]:
    place = Place(*_PLACE.unpack(view[: _PLACE.size]))
    return place, int.from_bytes(view[_PLACE.size :], "little")


def shown_path(path: Sequence[str | int]) -> str:
    """A path as users write it: Owner.Names[0]."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if step.isidentifier() else json.dumps(step))
    return text
