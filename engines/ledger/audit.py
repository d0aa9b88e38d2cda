"""Audit: everything that a ledger's files say, held against everything else that they say.

    journal   frames ──crc── blocks ──hashes── data, statements      what a disk did, what somebody did
                               │  fields: number, time, transaction, versions without gaps
                               └── leaves ── root in each trailer ── chain from block to block
    tree      every place, every index row: what the blocks add up to, nothing more, nothing less
    hashes    every node is the hash of its two
    against   a digest that was kept elsewhere: the only thing that whoever wrote the whole book anew cannot have

Hashing runs at the speed of the kernels, on what lies on the disk; no JSON is parsed, except where a table has indexes.
It goes on behind damage, to say all that is lost: the leaves that a broken block would have given are then taken from
the level files, so that the roots after it can be judged.
"""

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from engines import display
from engines._native import ledgerblock
from engines.display import Problem
from engines.errors import Corrupted, EngineError, Invalid, NotFound
from engines.ledger import views
from engines.ledger.block import ENTRY_BYTES, Block, Kind, audit, decode, entries
from engines.ledger.canonicaljson import read
from engines.ledger.ids import show
from engines.ledger.merkle import MerkleLog
from engines.ledger.proof import read_digest
from engines.ledger.state import BLOCK_FRAME, Indexes, TableState, Where, altered, index_values, shown_path
from engines.storage.segment import CHECKPOINT, CLOSE
from engines.storage.walk import Walked

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger

PLACE_BYTES: Final = 44  # as state.py draws it: the last four are the checksum


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong, and what it is about, as far as that can be said.

    kind: "disk" (a checksum), "data", "statements", "entry", "chain", "root", "version", "redaction", "tree", "index",
    "hashes", "fork" (another history than a digest's).
    """

    kind: str
    what: str
    block: int | None = None
    leaf: int | None = None
    table: str | None = None
    document: str | None = None
    version: int | None = None
    file: str = ""
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Report(display.Report):
    """What verify() found: ok; blocks, documents (revisions of them), bytes looked at; first_bad, a Damage or None."""

    blocks: int = 0
    documents: int = 0
    bytes: int = 0
    seconds: float = 0.0
    damages: tuple[Damage, ...] = field(default=())

    @property
    def first_bad(self) -> Damage | None:
        """The first thing that is wrong."""
        return self.damages[0] if self.damages else None


def verify(book: "Ledger", against: views.DigestLike | None) -> Report:
    """See Ledger.verify."""
    start = book.clock.timer()
    digest = None if against is None else read_digest(against)
    walker = Audit(book)
    with book.redacting:  # a segment is to be read before or after a redaction
        walker.walk()
    if digest is not None:
        walker.hold_against(digest.origin, digest.size, digest.root)
    problems = [Problem(found.file or book.path or "memory", found.offset, found.what) for found in walker.damages]
    return Report(
        checked=walker.bytes,
        problems=problems,
        unit="bytes",
        blocks=walker.blocks,
        documents=walker.documents,
        bytes=walker.bytes,
        seconds=book.clock.timer() - start,
        damages=tuple(walker.damages),
    )


class Audit:
    """One walk. Each step adds to `damages` and goes on."""

    def __init__(self, book: "Ledger") -> None:
        self._book, self._state = book, book.state
        self.damages: list[Damage] = []
        self.blocks = self.documents = self.bytes = 0
        self._hashes = MerkleLog()  # of what the blocks say, hashed anew
        self._before: Block | None = None
        self._number = 0  # of the last block, also where that is broken
        self._rootless = False  # a broken block's leaves are nowhere: roots cannot be judged any more
        self._versions: dict[bytes, int] = {}  # of documents that have more than one
        self._blank: dict[bytes, Damage] = {}  # data that is gone, until a redaction says why
        self._current = self._past = self._index = 0  # rows of the tree that blocks account for
        self._broken = False  # a block could not be read: the tree may know more than the walk
        self._tables: dict[int, TableState] = {}  # what the blocks say of them
        self._redacted: dict[bytes, int] = {}  # rows that name a redaction, until it comes
        self._upto = 0  # the block that the tree reaches: others may write on, and a read-only tree stays behind

    def walk(self) -> None:
        """Journal, then tree, then hashes."""
        book = self._book
        with book.tree.lock:
            if not book.read_only:
                book.tree.catch_up()
            self._upto = self._state.chain.number
        for found in book.log.walk():
            self.bytes += 0 if found.payload is None else len(found.payload)
            if found.wrong:
                self._broken_frame(found)
            elif found.kind == BLOCK_FRAME and found.payload is not None:
                self._block(found, found.payload)
            elif found.kind not in (CHECKPOINT, CLOSE):
                self._say("disk", f"a frame of kind {found.kind}, which no ledger writes", found)
        if book.log.damage is not None and not self.damages:
            damage = book.log.damage
            self.damages.append(Damage("disk", str(damage), file=str(damage.file), offset=int(str(damage.offset))))
        self.damages += [damage for key, damage in self._blank.items() if not self._redacted_since(key)]
        self._end()
        self._hash_files()

    # -- the journal --------------------------------------------------------------------------------------------------

    def _broken_frame(self, found: Walked) -> None:
        self._broken = True
        if found.sequence == 0:
            self._say("disk", found.wrong, found)
            return
        self._before = None
        if found.payload is not None and found.kind in (CHECKPOINT, CLOSE):
            self._say("disk", f"a note of the log: {found.wrong}", found)
            return
        self._number += 1
        what, entry, offset = found.wrong, None, found.offset
        block = None
        if found.payload is not None:
            try:
                block = decode(found.payload, file=found.path, offset=found.offset)
                audit(found.payload, file=found.path, offset=found.offset)
            except Corrupted as error:
                what, entry, offset = f"{what}: {error}", error.details.get("entry"), int(str(error.offset))
        self._say("disk", f"block {self._number}: {what}", found, block, entry, offset)

    def _block(self, found: Walked, payload: memoryview) -> None:
        self.blocks += 1
        try:
            block = decode(payload, file=found.path, offset=found.offset)
        except Corrupted as error:
            self._number += 1
            self._before, self._broken = None, True
            self._say("entry", str(error), found, None, error.details.get("entry"), int(str(error.offset)))
            return
        self._number = block.number
        blank: list[int] = []
        try:
            blank = audit(payload, file=found.path, offset=found.offset)
        except Corrupted as error:
            entry = error.details.get("entry")
            kind = "statements" if entry is None else "data"
            self._say(kind, str(error), found, block, entry, int(str(error.offset)))
        self._link(found, block)
        self._leaves(found, block, payload)
        self._rows(found, block, payload, blank)
        self._before = block

    def _link(self, found: Walked, block: Block) -> None:
        if self._before is None and (self._broken or block.number > 1):
            if not self._broken:
                self._say("chain", f"the first block is {block.number}, not 1", found, block)
            return
        wrong = block.broken_link(self._before)
        if wrong is not None:
            self._say("chain", wrong, found, block)

    def _leaves(self, found: Walked, block: Block, payload: memoryview) -> None:
        hashes = self._hashes
        while len(hashes) < block.first_leaf and not self._rootless:
            try:
                hashes.extend_hashes(self._book.merkle.leaf(len(hashes)))
            except EngineError:
                self._rootless = True
        if self._rootless or len(hashes) != block.first_leaf:
            self._rootless = True
            return
        if block.count:
            hashes.extend_records(entries(payload), stride=ENTRY_BYTES, count=block.count)
        if hashes.root() != block.root:
            self._say("root", f"block {block.number} names another root than its entries have", found, block)
        hashes.extend([block.trailer])

    def _rows(self, found: Walked, block: Block, payload: memoryview, blank: list[int]) -> None:
        """The versions of each document, and what the tree says of it."""
        columns = block.columns
        kinds = columns["kind"]
        self.documents += int((kinds == Kind.REVISION).sum())
        rows = ledgerblock.places(payload, found.sequence, found.offset)
        gone = {i: rows[i] for i in blank}
        for i, (key, place) in gone.items():
            at = self._damage("data", f"block {block.number}: entry {i} has no data", found, block, i)
            self._blank[key + place[3::-1]] = at  # the key of `past`: versions are big-endian there
        plain = bool((kinds == Kind.REVISION).all()) and not columns["version"].any() and not gone
        if block.number > self._upto:
            self._strike(block, rows)
            return
        self._where(found, block, payload)
        with self._book.tree.lock:
            if plain:
                same = not rows or self._state.holds(rows)
                if same and not any(self._indexes(int(number)) for number in np.unique(columns["table"])):
                    self._current += len(rows)
                    return
            for i, (key, place) in enumerate(rows):
                self._row(found, block, i, key, place)

    def _row(self, found: Walked, block: Block, i: int, key: bytes, place: bytes) -> None:  # noqa: C901 - a case a kind
        """One entry. Under the lock."""
        entry = block.entry(i)
        version = int(entry.version)
        past = key + version.to_bytes(4, "big")
        if entry.kind == Kind.REDACTION:
            waits = self._state.erasing.get(past) is not None
            if self._blank.pop(past, None) is None and not (self._broken or waits):
                self._say("redaction", f"block {block.number} redacts data that is still there", found, block, i)
            if self._redacted.pop(past, block.number if self._broken else None) != block.number:
                self._say("tree", "the tree does not say that this revision is redacted", found, block, i)
            return
        expected = self._versions.get(key, -1 if version == 0 else 0) + 1
        if version != expected and not self._broken:
            self._say("version", f"version {version} follows version {expected - 1}", found, block, i)
        if version:
            self._versions[key] = version
        elif entry.kind == Kind.CATALOGUE:
            self._versions[key] = 0
        if entry.kind == Kind.CATALOGUE:
            with contextlib.suppress(Invalid, KeyError, TypeError):  # said already, or the tables will differ
                self._tables[entry.table] = altered(self._tables, entry)[0]
            return
        current = self._state.current.get(key)
        if current == place:
            self._current += 1
            self._index_rows(found, block, i)
            return
        row = self._state.past.get(past)
        if row == place:
            self._past += 1
        elif row is not None and len(row) > PLACE_BYTES and row[: PLACE_BYTES - 4] == place[: PLACE_BYTES - 4]:
            self._past += 1  # redacted: no checksum is left
            self._redacted[past] = int.from_bytes(row[PLACE_BYTES:], "little")
        else:
            self._say("tree", "the tree does not say where this revision is", found, block, i)

    def _strike(self, block: Block, rows: list[tuple[bytes, bytes]]) -> None:
        """A block that the tree does not reach: only what it redacts matters for the blocks before it."""
        for entry, (key, _) in zip(block.revisions, rows, strict=True):
            if entry.kind == Kind.REDACTION:
                self._blank.pop(key + entry.version.to_bytes(4, "big"), None)

    def _redacted_since(self, past: bytes) -> bool:
        """Whether data went while this was at work: a block redacts it that the walk has not come to."""
        with self._book.tree.lock:
            row = self._state.past.get(past)
        return row is not None and int.from_bytes(row[PLACE_BYTES:], "little") > self._number

    def _where(self, found: Walked, block: Block, payload: memoryview) -> None:
        """What the tree says of the block itself."""
        number, _, first_leaf, time, transaction, entries_at, _ = ledgerblock.summary(payload)
        at = found.offset
        wanted = Where(time, first_leaf, found.sequence, at, len(payload), at + entries_at, transaction)
        try:
            with self._book.tree.lock:
                fits = self._state.where(number) == wanted
        except NotFound:
            fits = False
        if not fits:
            self._say("tree", f"the tree does not say where block {number} is, and when", found, block)

    def _indexes(self, table: int) -> Indexes:
        found = self._state.tables.get(table)
        return {} if found is None else found.indexes

    def _index_rows(self, found: Walked, block: Block, i: int) -> None:
        entry = block.entry(i)
        indexes = self._indexes(entry.table)
        if not indexes or entry.data is None:
            return
        try:
            value = read(entry.data)
        except Invalid:
            return  # said already: its hash is wrong
        for number, hashed in index_values(indexes, value):
            self._index += 1
            if self._state.index.get(number.to_bytes(4, "big") + hashed + entry.document) is None:
                what = f"the index on {shown_path(indexes[number])} does not have this document"
                self._say("index", what, found, block, i)

    # -- the rest -----------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """The tree is to know no more than the blocks, and the chain to end where it says."""
        book, state = self._book, self._state
        with book.tree.lock:
            chain = state.chain
            counts = [
                ("current", self._current, state.current.count(), "tree"),
                ("past", self._past, state.past.count(), "tree"),
                ("index", self._index, state.index.count(), "index"),
                ("block", self._upto, state.block.count(), "tree"),
            ]
            still = chain.number == self._upto
            tables, last = dict(state.tables), (chain.hash, chain.leaves, chain.time)
        file = f"{book.path or 'memory'}/tree/data.mdb"
        if self._number < self._upto:
            what = f"the tree knows {self._upto} blocks, the journal has {self._number}"
            self.damages.append(Damage("chain", what, block=self._upto, file=book.log.path))
        if still and not (self._broken or self.damages):  # else others have written meanwhile
            wrong = [
                (kind, f"{name} has {there} rows, the blocks account for {wanted}")
                for name, wanted, there, kind in counts
                if wanted != there
            ]
            if tables != self._tables:
                wrong.append(("tree", "its catalogue has other tables than the blocks"))
            if self._redacted:
                wrong.append(("tree", "it calls revisions redacted that no block redacts"))
            before = self._before
            end = (
                None if before is None or before.number != self._upto else (before.hash, before.next_leaf, before.time)
            )
            if end not in (None, last):
                wrong.append(("tree", "it says that the chain ends otherwise"))
            self.damages += [Damage(kind, f"{what}: rebuild() makes it anew", file=file) for kind, what in wrong]
        for problem in book.tree.verify(walked=["current"]).problems:
            self.damages.append(Damage("tree", problem.what, file=problem.file, offset=problem.offset))

    def _hash_files(self) -> None:
        """Every node of the level files, and their leaves against the blocks'."""
        book = self._book
        folder = f"{book.path or 'memory'}/hashes"
        bad = book.merkle.verify()
        if bad is not None:
            level, index = bad
            what = f"digest {index} of level {level} is not the hash of the two below it: rebuild() makes it anew"
            leaf = index << level
            self.damages.append(
                Damage("hashes", what, self._block_of(leaf), leaf, file=f"{folder}/{level}", offset=32 * index)
            )
        if self._rootless:
            return
        size = min(len(self._hashes), len(book.merkle))
        if book.merkle.root(size) == self._hashes.root(size):
            return
        leaf = next((i for i in range(size) if book.merkle.leaf(i) != self._hashes.leaf(i)), size - 1)
        what = f"leaf {leaf} of the level files is not the hash of what the journal says: rebuild() makes it anew"
        self.damages.append(Damage("hashes", what, self._block_of(leaf), leaf, file=f"{folder}/0", offset=32 * leaf))

    def _block_of(self, leaf: int) -> int | None:
        with self._book.tree.lock:
            low, high = 1, self._state.chain.number
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if self._state.where(middle).first_leaf <= leaf else (low, middle - 1)
            return low if high else None

    def hold_against(self, origin: str, size: int, root: bytes) -> None:
        """The digest's tree is to be the beginning of this one."""
        what = ""
        if origin != self._book.origin:
            what = f"the digest is of {origin}, this is {self._book.origin}"
        elif size > len(self._hashes):
            what = f"the digest is about {size} leaves, the journal has {len(self._hashes)}: its end was cut off"
        elif self._hashes.root(size) != root:
            what = f"the first {size} leaves are not those that the digest was made of: this is another history"
        if what:
            self.damages.append(Damage("fork", what, file=self._book.log.path))

    # -- saying what is wrong -----------------------------------------------------------------------------------------

    def _say(  # noqa: PLR0917 - what, where, and about which entry
        self,
        kind: str,
        what: str,
        found: Walked,
        block: Block | None = None,
        entry: object = None,
        offset: int | None = None,
    ) -> None:
        self.damages.append(self._damage(kind, what, found, block, entry, offset))

    def _damage(  # noqa: PLR0917 - as _say
        self,
        kind: str,
        what: str,
        found: Walked,
        block: Block | None = None,
        entry: object = None,
        offset: int | None = None,
    ) -> Damage:
        number = (block.number if block is not None else self._number) if found.sequence else None
        at = found.offset if offset is None else offset
        if block is None or not isinstance(entry, int):
            return Damage(kind, what, number, file=found.path, offset=at)
        said = block.columns[entry]
        table = self._state.tables.get(int(said["table"]))
        return Damage(
            kind,
            what,
            number,
            block.first_leaf + entry,
            None if table is None else table.name,
            show(bytes(said["document"])),
            int(said["version"]),
            found.path,
            at,
        )
