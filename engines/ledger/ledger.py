"""A ledger: opening and recovering it, committing, and what everybody asks of it.

    path/ENGINE  lock  BOOK    whose folder it is; which ledger: its name and its id      (ids.py)
    path/log/                  the journal: a frame for each block                        (block.py)
    path/hashes/               the hash tree, a file for each level                       (merkle.py)
    path/tree/                 where everything stands: documents, indexes, tables        (state.py)
    path/snapshots/            copies of the journal, made by snapshot()                  (snapshots.py)

The journal is the ledger; tree and hashes are made from it, caught up when the ledger is opened, and made anew where
they are lost. The frame's checksum answers "did a disk or a crash do this?", the hashes answer "did somebody do this?".

    outside the lock    canonical JSON, salts, hashes of the data
    under it            is what was read unchanged? number, time, leaves, root, chain; log and tree
    outside again       the log's sync, one for all who wait
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar

from engines import display
from engines.changes import Change
from engines.clock import Clock, SystemClock
from engines.errors import (
    Closed,
    Corrupted,
    Invalid,
    NotFound,
    Poisoned,
    ReadOnly,
    TooLarge,
)
from engines.ledger import (
    appending,
    audit,
    catalogue,
    exchange,
    inside,
    redact,
    snapshots,
    statements,
    streams,
    transaction,
    views,
)
from engines.ledger.appending import Appended
from engines.ledger.block import ENTRY_BYTES, LONGEST_BLOCK, Block, Draft, decode, entries, seal, stamp
from engines.ledger.ids import (
    FORMAT,
    identity_text,
    new_transaction_id,
    read_identity,
    show,
)
from engines.ledger.merkle import MerkleLog
from engines.ledger.note import Signer, check_signer
from engines.ledger.proof import ConsistencyProof, Digest, Proof
from engines.ledger.results import Result
from engines.ledger.state import BLOCK_FRAME, State
from engines.ledger.transaction import Key, Recent, Transaction
from engines.storage.files import FileSystem, RealFileSystem, disk_errors, read_file, write_atomically
from engines.storage.folder import Folder
from engines.storage.log import Durability, Log
from engines.storage.memory import MemoryFileSystem
from engines.storage.tree import Tree

Answer = TypeVar("Answer")


class Ledger:
    """A ledger in the folder `path` (None: in memory). A context manager; threads may share it.

    durability: "commit" (default) acknowledges a transaction when it is on disk, "interval" when it is with the kernel
    (on disk within 50 ms), "checkpoint" at once. read_only opens the last checkpoint, also beside a writing process.
    signer: an Ed25519Signer, or whatever has name, key_id and sign(bytes): digests then carry a signed note. Locked if
    another process writes there, Invalid if the folder is another engine's, Corrupted if bytes in it are not what was
    written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        clock: Clock | None = None,
        durability: Durability = "commit",
        read_only: bool = False,
        signer: Signer | None = None,
        files: FileSystem | None = None,
    ) -> None:
        self.path = None if path is None else os.fspath(path)
        if self.path is not None and (not self.path or not isinstance(self.path, str)):
            raise Invalid(f"path is the name of a folder, or None for a ledger in memory, got {path!r}")
        if self.path is None and read_only:
            raise Invalid("a ledger in memory has nothing to read: give it a path, or leave out read_only=True")
        if durability not in ("commit", "interval", "checkpoint"):
            raise Invalid(f'durability must be "commit", "interval" or "checkpoint", got {durability!r}')
        if signer is not None:
            check_signer(signer)
        self.clock = clock or SystemClock()
        self.read_only = read_only
        self.signer = signer
        self.files = files or (RealFileSystem() if path is not None else MemoryFileSystem())
        self._durability: Durability = "commit" if path is None else durability  # in memory a sync does nothing
        self._checkpointing = threading.Lock()
        self.places = snapshots.Place(None if path is None else f"{os.fspath(path)}/snapshots", self.files)
        self.redacting = threading.Lock()
        self._closed = False
        self._folder: Folder | None = None
        if self.path is not None:
            self.path = self.path.rstrip("/") or "/"
            self._folder = Folder(self.path, "ledger", FORMAT, self.files, read_only=read_only)
        try:
            with disk_errors(f"the ledger {self.path} cannot be opened"):
                self.name, self.ledger_id = self._identity()
            self.open()
        except BaseException:
            self._let_go(checkpoint=False)
            raise

    # -- opening ------------------------------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        """What digests and proofs call this ledger: its name and its id."""
        return f"{self.name}/{self.ledger_id}"

    def _identity(self) -> tuple[str, str]:
        file = f"{self.path or ''}/BOOK"
        if not self.files.exists(file):
            if self.path is not None and (self.read_only or self.files.exists(f"{self.path}/log")):
                raise Corrupted(f"{file} is missing: restore it from a snapshot or an export", file=file, offset=0)
            name = "memory" if self.path is None else _printable(os.path.basename(os.path.abspath(self.path)))
            identity = name, show(new_transaction_id(self.clock)[:6] + os.urandom(10))
            if self.path is not None:
                write_atomically(self.files, file, identity_text(identity))
            return identity
        return read_identity(read_file(self.files, file), file)

    def open(self) -> None:
        """Open log, tree and hashes, and bring the latter two up to date. Only __init__ and rebuild() call it."""
        where = self.path or ""
        self.tree = Tree(None if self.path is None else f"{where}/tree", files=self.files, read_only=self.read_only)
        self.log = Log(
            f"{where}/log",
            files=self.files,
            clock=self.clock,
            durability=self._durability,
            recovered_to=self.tree.applied,
            read_only=self.read_only,
        )
        if self.log.damage is not None and not self.read_only:
            raise self.log.damage
        self.recent = Recent()
        self.state = State(self.tree, self.log)
        self.tree.before_checkpoint, self.tree.before_replay = self.state.remember, self.state.forget
        self.state.check_end()
        self.merkle = self.state.merkle = self._open_merkle(None if self.path is None else f"{where}/hashes")
        if not self.read_only:
            self.tree.recover(self.log, self.state.replay)
            if self.tree.checkpoints == 0 and self.tree.applied == 0:
                self.checkpoint()  # so that others can open it read-only from now on
            redact.finish(self)

    def _open_merkle(self, folder: str | None) -> MerkleLog:
        """The hash tree as of the checkpoint: what its files lack, or all if they are damaged, is in the blocks."""
        chain = self.state.chain
        stored, number = (chain.stored, chain.stored_number) if folder is not None else (0, 0)
        try:
            merkle = MerkleLog(
                folder, leaves=stored, root=chain.root or None, files=self.files, read_only=self.read_only
            )
        except Corrupted:
            merkle, number = MerkleLog(None if self.read_only else folder, files=self.files), 0
        for missing in range(number + 1, chain.number + 1):
            where = self.state.where(missing)
            block = decode(self.state.payload(where), file=self.log.path_of(where.sequence), offset=where.offset)
            merkle.extend_hashes(block.leaves())
        return merkle

    # -- tables -------------------------------------------------------------------------------------------------------

    def create_table(self, name: str, indexes: Iterable[str] = ()) -> str:
        """A new, empty table; its id. indexes: paths into its documents, "VIN", "Owner.Id". AlreadyExists, Invalid."""
        return catalogue.create_table(self, name, indexes)

    def drop_table(self, name: str) -> str:
        """Hide a table; its id, with which undrop_table() brings it back. Its history stays. NotFound."""
        return catalogue.drop_table(self, name)

    def undrop_table(self, table_id: str) -> str:
        """Bring a dropped table back; its id. NotFound, AlreadyExists where another has its name now."""
        return catalogue.undrop_table(self, table_id)

    def create_index(self, table: str, path: str) -> None:
        """Let documents be found by what stands at a path, "VIN" or "Owner.Id". NotFound, AlreadyExists, Invalid."""
        catalogue.create_index(self, table, path)

    def drop_index(self, table: str, path: str) -> None:
        """Delete the index on a path. NotFound."""
        catalogue.drop_index(self, table, path)

    def tables(self) -> display.Table:
        """All tables, also dropped ones: name, id, status, indexes, documents."""
        self.check_open()
        return inside.tables(self)

    # -- transactions -------------------------------------------------------------------------------------------------

    def transaction(self) -> Transaction:
        """Begin a transaction: a context manager that commits on exit; Conflict where what it read has changed."""
        self.check_open()
        return Transaction(self)

    def run(self, fn: Callable[[Transaction], Answer], retries: int = 4) -> Answer:
        """What fn(transaction) answers, once its transaction is committed; again on Conflict, at most `retries` times.

        So fn may run more than once: it is to have no other effects. The last Conflict is raised.
        """
        return transaction.run(self, fn, retries)

    def execute(self, text: str, *parameters: Any) -> Result:  # noqa: ANN401 - JSON values
        """Do what one PartiQL statement says, in a transaction of its own, as run() does. QueryError, Invalid.

        parameters: a value for each ? in it. Pass values so, not in the text: texts are kept for ever.
        """
        return self.run(lambda tx: tx.execute(text, *parameters))

    def append(self, table: str, documents: Iterable[Mapping[str, Any] | bytes]) -> Appended:
        """Insert many documents, in blocks of 4,096 documents or 8 MB; all on disk when it returns.

        A document may be the bytes of its canonical JSON, which is what is fastest. Each block is a transaction of its
        own: where a document is Invalid or TooLarge, the blocks before its own are in, and error.appended says how many
        documents that are.
        """
        return appending.append(self, table, documents)

    def commit(self, draft: Draft, validate: Callable[[], None], touched: Callable[[], frozenset[Key]]) -> int:
        """Put a transaction's block into the chain; its number, once that is acknowledged. What validate raises."""
        if draft.size_bytes > LONGEST_BLOCK:
            raise TooLarge(
                f"a transaction makes one block of at most {LONGEST_BLOCK:,} bytes, this one has {draft.size_bytes:,}: "
                "split it, or use append()",
                limit=LONGEST_BLOCK,
                size=draft.size_bytes,
            )
        payload = draft.pack()
        with self.tree.lock:
            self.tree.catch_up()
            validate()
            number = self.state.chain.number + 1
            if self.recent.wanted:
                self.recent.note(number, touched())
            sequence = self.take(payload, len(draft))
        self.log.acknowledge(sequence)
        self.checkpoint_if_due()
        return number

    def take(self, payload: bytearray, count: int) -> int:
        """Under the lock: a packed block becomes the next of the chain; the sequence to acknowledge."""
        chain, merkle = self.state.chain, self.merkle
        if len(merkle) != chain.leaves:  # an interrupt has kept the one before from taking its leaves back
            merkle.cut(chain.leaves)
        try:
            stamp(payload, chain.number + 1, max(self.clock.now(), chain.time))
            if count:
                merkle.extend_records(entries(payload), stride=ENTRY_BYTES, count=count)
            merkle.extend([seal(payload, chain.leaves, merkle.root(), chain.hash)])
            return self.put(payload, count)
        except BaseException:
            if self.state.chain is chain:  # the block was not taken
                merkle.cut(chain.leaves)
            raise

    def put(self, payload: bytes | bytearray, count: int) -> int:
        """Under the lock: write a block that is complete into log and tree; the sequence to acknowledge."""

        def apply(sequence: int) -> None:
            self.state.apply(payload, sequence, self.log.end_of(len(payload)))

        return self.tree.write(payload, BLOCK_FRAME, apply, writes=count + 1)

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, table: str, id: str, version: int | None = None) -> dict[str, Any] | None:  # noqa: A002 - the usual word
        """A document as it is now, or as it was in a version; None where there is none, or it was redacted.

        NotFound where the document never had this version.
        """
        self.check_open()
        return views.get(self, table, id, version)

    def history(
        self,
        table: str,
        id: str | None = None,  # noqa: A002 - the usual word
        start: views.Moment | None = None,
        end: views.Moment | None = None,
    ) -> Result:
        """All revisions of a document, or of all documents of a table, by id and version; also of dropped tables.

        Rows as _ql_committed_ tables have them: blockAddress, hash, data, metadata. start, end: only those that were
        the current one at some time in between, both included: datetimes, ISO texts, or microseconds since 1970.
        """
        self.check_open()
        return views.history(self, table, id, start, end)

    def blocks(self, first: int = 1, last: int | None = None) -> Iterator[Block]:
        """The blocks of these numbers, in order; up to the last there is now. Only what is on disk is shown."""
        self.check_open()
        with self.tree.lock:
            self.tree.catch_up()
            end = self.state.chain.number
        self.log.sync()
        if first < 1 or (last is not None and last > end):
            raise NotFound(f"blocks are numbered 1 to {end}, got {first} to {last}", first=first, last=last)
        return self._blocks(first, end if last is None else last)

    def _blocks(self, first: int, last: int) -> Iterator[Block]:
        for number in range(first, last + 1):
            self.check_open()
            with self.tree.lock:
                where = self.state.where(number)
            found = self.log.read_one(where.sequence)  # this one has looked at the checksum
            yield decode(bytes(found.payload), file=self.log.path_of(where.sequence), offset=where.offset)

    def changes(
        self, after: int = 0, *, limit: int | None = None, follow: bool = False, timeout: float | None = None
    ) -> Iterator[Change]:
        """What happened to the documents of all tables after a position, oldest first; only what is on disk.

        after: the sequence (a block's number) of the last change already seen. key is (id,); old and new are the
        documents, None also where that revision was redacted. follow=True waits for more, up to timeout seconds
        without news.
        """
        self.check_open()
        return streams.changes(self, after, limit, timeout, follow=follow)

    def revisions(self, since: Digest | None = None) -> Iterator[dict[str, Any]]:
        """All revisions after a digest, in the order of their blocks, as rows of history() with their table."""
        self.check_open()
        return streams.revisions(self, since)

    # -- proofs -------------------------------------------------------------------------------------------------------

    def digest(self) -> Digest:
        """What stands for the whole ledger now, on disk; signed where the ledger has a signer. Keep it elsewhere."""
        self.check_open()
        return views.digest(self)

    def prove(
        self,
        table: str,
        id: str,  # noqa: A002 - the usual word
        version: int | None = None,
        digest: views.DigestLike | None = None,
    ) -> Proof:
        """A proof that this revision (the latest) is in the ledger that the digest (default: now) stands for.

        NotFound. Invalid if the digest is of another ledger, or does not contain the revision yet. Corrupted where
        what the journal holds is not what was hashed.
        """
        self.check_open()
        return views.prove(self, table, id, version, digest)

    def prove_block(self, number: int, digest: views.DigestLike | None = None) -> Proof:
        """A proof that this block, with all that it says, is in the ledger that the digest (now) stands for.

        NotFound where there is no such block; else as prove().
        """
        self.check_open()
        return views.prove_block(self, number, digest)

    def prove_consistency(self, old: views.DigestLike, new: views.DigestLike | None = None) -> ConsistencyProof:
        """A proof that the ledger of the new digest (now) begins with that of the old.

        Invalid if the old one is of an empty ledger, is the later of the two, or either is of another ledger.
        """
        self.check_open()
        return views.prove_consistency(self, old, new)

    # -- redaction, copies --------------------------------------------------------------------------------------------

    def redact(self, table: str, id: str, version: int) -> int:  # noqa: A002 - the usual word
        """Delete the data of a revision that is no longer current; the number of the block that records it.

        Data and salt are off the disk when it returns; hashes and proofs stay. What it cannot reach: proofs that were
        handed out, exports, snapshots, texts of statements; and free pages of the tree, which may hold an unsalted hash
        of a value that was indexed, until they are used again: rebuild() makes the tree anew. Invalid for the current
        revision and for tombstones.
        """
        self.check_writable()
        return redact.redact(self, table, id, version)

    def export(self, folder: str | os.PathLike[str]) -> Digest:
        """Write all blocks as JSON lines into a folder, and the digest that stands for them; that digest."""
        self.check_open()
        return exchange.export(self, os.fspath(folder))

    def export_tiles(self, folder: str | os.PathLike[str]) -> Digest:
        """Write the hash tree as static tiles that monitors of transparency logs read; the digest that they show."""
        self.check_open()
        return exchange.export_tiles(self, os.fspath(folder))

    @classmethod
    def import_(
        cls,
        folder: str | os.PathLike[str],
        path: str | os.PathLike[str] | None,
        *,
        clock: Clock | None = None,
        durability: Durability = "commit",
        signer: Signer | None = None,
        files: FileSystem | None = None,
    ) -> "Ledger":
        """A new ledger from what export() has written, every hash and the chain checked on the way.

        Corrupted names file and line of what does not fit; then nothing is left at `path`. AlreadyExists.
        """

        def open_ledger(path: str | None) -> Ledger:
            return cls(path, clock=clock, durability=durability, signer=signer, files=files)

        return exchange.import_ledger(open_ledger, os.fspath(folder), path, files or RealFileSystem())

    def snapshot(self, name: str, to: str | os.PathLike[str] | None = None) -> None:
        """Keep the ledger as it is now under a name; with `to` also in another folder. AlreadyExists.

        Segments of the journal that another snapshot holds already are not copied again.
        """
        self.check_open()
        snapshots.take(self, name, to)

    def snapshots(self) -> display.Table:
        """The snapshots, oldest first: name, time, blocks, bytes."""
        self.check_open()
        return snapshots.table(self)

    @classmethod
    def restore(
        cls,
        source: "str | os.PathLike[str] | Ledger",
        name: str,
        path: str | os.PathLike[str] | None,
        *,
        clock: Clock | None = None,
        durability: Durability = "commit",
        signer: Signer | None = None,
        files: FileSystem | None = None,
    ) -> "Ledger":
        """A ledger in the folder `path` (None: in memory) as it was in a snapshot: the same ledger, with the same id.

        source: a ledger or its folder, or one that snapshot(to=) has copied to. NotFound, AlreadyExists, Corrupted.
        """

        def open_ledger(path: str | None, memory: FileSystem | None) -> Ledger:
            return cls(path, clock=clock, durability=durability, signer=signer, files=memory or files)

        return snapshots.restore(open_ledger, source, name, path, files or RealFileSystem())

    # -- looking inside -----------------------------------------------------------------------------------------------

    def verify(self, against: views.DigestLike | None = None) -> audit.Report:
        """Read every byte, hash all of it again, compare tree and hashes with the journal.

        against: a digest that was kept elsewhere; only that catches somebody who wrote the whole book anew.
        """
        self.check_open()
        return audit.verify(self, against)

    def rebuild(self) -> None:
        """Make tree and hashes anew from the journal. Nobody else may use the ledger meanwhile."""
        self.check_writable()
        self.log.sync()
        self._release(checkpoint=False)
        if self.path is not None:
            with disk_errors(f"{self.path} cannot be rebuilt"):
                for folder in (f"{self.path}/tree", f"{self.path}/hashes"):
                    for file in self.files.listdir(folder):
                        self.files.unlink(f"{folder}/{file}")
                    self.files.fsync_dir(folder)
        self.open()

    def explain(self, text: str, *parameters: Any) -> display.Plan:  # noqa: ANN401 - JSON values
        """Run a SELECT and say how: index or scan, rows and bytes read, what it would conflict with."""
        self.check_open()
        return statements.explain(self, text, parameters)

    def stats(self) -> display.Table:
        """Sizes and counters, a row each."""
        self.check_open()
        return inside.stats(self)

    def layout(self) -> display.Table:
        """What lies where: a row for each segment of the journal, each level of the hash tree, each keyspace."""
        self.check_open()
        return inside.layout(self)

    # -- life ---------------------------------------------------------------------------------------------------------

    def checkpoint(self) -> int:
        """Bring hashes and tree on disk up to date; the log's sequence that is covered.

        Happens by itself after 64 MB or 100,000 documents, and on close.
        """
        self.check_writable()
        with self._checkpointing:
            return self._checkpoint()

    def checkpoint_if_due(self) -> None:
        """A checkpoint, if enough has been written since the last and nobody else makes one.

        What the disk refuses here is no failure of the transaction before it, which is acknowledged: a full disk is met
        again by the next one, and whatever is worse has made the log refuse the next one.
        """
        if self.tree.due and self._checkpointing.acquire(blocking=False):
            try:
                with contextlib.suppress(ReadOnly):
                    self._checkpoint()
            finally:
                self._checkpointing.release()

    def _checkpoint(self) -> int:
        self.log.sync()
        with self.tree.lock:
            self.tree.catch_up()
            chain = self.state.chain
            number, leaves, root = chain.number, chain.leaves, self.merkle.root()
        try:
            self.merkle.checkpoint(leaves)  # a sync outside the lock; the tree names these leaves only after it
        except Poisoned as error:
            self.log.refuse(error)  # no checkpoint can be made any more, so nothing more is taken
            raise
        with self.tree.lock:
            self.state.stored(leaves, number, root)
        return self.tree.checkpoint()

    def check_open(self) -> None:
        """Closed if it is."""
        if self._closed:
            raise Closed(f"the ledger {self.path or 'in memory'} is closed: open it again with ledger.Ledger(...)")

    def check_writable(self) -> None:
        """Closed or ReadOnly."""
        self.check_open()
        if self.read_only:
            raise ReadOnly(f"{self.path} was opened with read_only=True: open it without that to write")

    def close(self) -> None:
        """Checkpoint, sync and let go of the folder. Closing twice is harmless."""
        if not self._closed:
            try:
                if not (self.read_only or self.log.failed) and self.tree.dirty_writes:
                    self.checkpoint()
            finally:
                self._let_go(checkpoint=not self.log.failed)

    def _let_go(self, *, checkpoint: bool) -> None:
        self._closed = True
        try:
            self._release(checkpoint=checkpoint)
        finally:
            if self._folder is not None:
                self._folder.close()
            if isinstance(self.files, MemoryFileSystem):
                self.files.close_all()

    def _release(self, *, checkpoint: bool) -> None:
        """Close tree, log and hashes, as far as they are open."""
        tree: Tree | None = getattr(self, "tree", None)
        log: Log | None = getattr(self, "log", None)
        merkle: MerkleLog | None = getattr(self, "merkle", None)
        try:
            if tree is not None:
                tree.close(checkpoint=checkpoint)
        finally:
            try:
                if log is not None:
                    log.close()
            finally:
                if merkle is not None:
                    merkle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ledger.Ledger {self.path or 'in memory'}{' (closed)' if self._closed else ''}>"


# -- small things -----------------------------------------------------------------------------------------------------


def _printable(name: str) -> str:
    """A folder's name as a part of an origin and of a key's name."""
    return "".join(c if c.isprintable() and c not in " +/" else "_" for c in name) or "ledger"
