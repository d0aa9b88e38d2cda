"""The Tree: where things stand now, in key order. LMDB, kept in step with a Log.

    path/data.mdb     LMDB's copy-on-write B+ tree: one sub-database a keyspace, and `meta` with the applied sequence
    path/lock.mdb     LMDB's table of readers, also those in other processes
    path/SEAL         after a clean close: one crc32c a page of data.mdb (seal.py), gone before the next commit

**One long-lived write transaction holds the present.** Writes *and* reads of this process go through it, so a put costs no
commit and a get no new transaction. What makes a put durable is the Log: a checkpoint syncs it, commits LMDB with the
applied sequence inside, and begins anew. Opening = the last checkpoint + a replay of the Log after it, through the
engine's `apply`: deterministic, idempotent, reading no clock but the frame's time.

Why not a commit per put? It costs two flushes; a log append costs one, and a checkpoint shares its own among thousands
(bench/bench_ground.py). Why not LMDB without syncing? Its crash images are corrupt, not merely old (tests/crash).

**The lock.** py-lmdb lets go of the GIL inside each call, and one transaction serves one thread at a time: whoever touches
a Keyspace holds `tree.lock`. Views of values die with the next write, so they are used up under it. The lock is not held
while the Log syncs. Only the checkpoint's own commit holds it: the one moment when readers wait for a disk.

LMDB ties its writer lock to a thread, so a keeper thread alone begins, commits and aborts. In memory (path None) LMDB
runs on an unnamed memory file, without locks or log.

Simpler than production: one writer; a long snapshot keeps old pages from reuse, so the file grows.

Invariants: a checkpoint never holds a frame that is not on disk in the Log. A snapshot never changes.
"""

import os
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import lmdb

from engines.display import Problem, Report
from engines.errors import Closed, Conflict, Corrupted, NotFound, Poisoned, ReadOnly
from engines.storage import seal
from engines.storage.files import FileSystem, RealFileSystem, make_folder, write_atomically
from engines.storage.log import CHECKPOINT, Frame, Log

LIB_VERSION = 1  # LMDB's format: keys up to 1,978 bytes (format 0.9: 511)
LONGEST_KEY = 1978
MAP_SIZE = 64 << 30  # address space, not memory: the file is sparse
MAX_KEYSPACES = 4096
PAGE_BYTES, PAGE_ENTRIES = 1 << 20, 256  # how much a range reads before it lets others have the lock
CHECKPOINT_BYTES, CHECKPOINT_WRITES = 64 << 20, 100_000

_open_paths: set[str] = set()  # LMDB must not be opened twice in one process
_open_paths_lock = threading.Lock()


class Keyspace:
    """One ordered map of bytes to bytes. Hold `tree.lock` around every call but range()."""

    __slots__ = ("db", "name", "tree")

    def __init__(self, tree: "Tree | ReadTree", name: str, db: Any) -> None:  # noqa: ANN401 - LMDB's handle has no public type
        self.tree, self.name, self.db = tree, name, db

    def get(self, key: bytes) -> bytes | None:
        found = self.tree.transaction.get(key, None, self.db)
        return None if found is None else bytes(found)

    def view(self, key: bytes) -> memoryview | None:
        """The value, not copied: valid until the next write, so use it up before letting go of the lock."""
        return self.tree.transaction.get(key, None, self.db)  # type: ignore[return-value] # buffers=True gives views

    def put(self, key: bytes, value: bytes | memoryview) -> None:
        self.tree.transaction.put(key, value, True, True, False, self.db)  # noqa: FBT003 - dupdata, overwrite, append

    def delete(self, key: bytes) -> bool:
        """Whether there was something to delete."""
        return self.tree.transaction.delete(key, b"", self.db)

    def count(self) -> int:
        return int(self.tree.transaction.stat(self.db)["entries"])

    def first(self) -> tuple[bytes, bytes] | None:
        return next(iter(self.page(limit=1)), None)

    def last(self) -> tuple[bytes, bytes] | None:
        return next(iter(self.page(reverse=True, limit=1)), None)

    def page(
        self,
        low: bytes | None = None,
        high: bytes | None = None,
        *,
        reverse: bool = False,
        limit: int = PAGE_ENTRIES,
        limit_bytes: int = PAGE_BYTES,
    ) -> list[tuple[bytes, bytes]]:
        """The first entries with low <= key < high in key order (or the last, backwards), until a limit is reached."""
        entries: list[tuple[bytes, bytes]] = []
        size = 0
        for key, value in self.walk(low, high, reverse=reverse):
            if len(entries) >= limit or size >= limit_bytes:
                break
            entries.append((key, bytes(value)))
            size += len(key) + len(value)
        return entries

    def walk(
        self, low: bytes | None = None, high: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, memoryview]]:
        """The entries with low <= key < high; the values are views, valid until the next write: use them under the lock."""
        with self.tree.transaction.cursor(self.db) as cursor:
            if reverse:
                found = high is not None and cursor.set_range(high)
                if not (cursor.prev() if found else cursor.last()):
                    return
                entries = cursor.iterprev()
            elif cursor.set_range(low) if low else cursor.first():
                entries = cursor.iternext()
            else:
                return
            for view, value in entries:
                key = bytes(view)
                if (low is not None and key < low) if reverse else (high is not None and key >= high):
                    return
                yield key, value  # type: ignore[misc] # buffers=True gives views

    def range(
        self, low: bytes | None = None, high: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """The entries with low <= key < high in order, read a page at a time: others may write in between.

        Takes the tree's lock for each page, so do not hold it. An entry that is deleted or added ahead of the reader is
        missing or there, as it is met; use tree.snapshot() for one moment's view.
        """
        while limit is None or limit > 0:
            with self.tree.lock:
                entries = self.page(low, high, reverse=reverse, limit=min(PAGE_ENTRIES, limit or PAGE_ENTRIES))
            if not entries:
                return
            yield from entries
            if limit is not None:
                limit -= len(entries)
            if reverse:
                high = entries[-1][0]
            else:
                low = entries[-1][0] + b"\0"


class ReadTree:
    """The last checkpoint as it was when the snapshot was taken: immutable, for any one thread. A context manager."""

    def __init__(self, tree: "Tree", transaction: lmdb.Transaction) -> None:
        self.transaction = transaction
        self.lock = threading.Lock()
        self._tree = tree

    def keyspace(self, name: str) -> Keyspace:
        """NotFound if the last checkpoint has no keyspace of this name."""
        return Keyspace(self, name, self._tree.handle(name, self.transaction, create=False))

    def close(self) -> None:
        if self.transaction is not None:
            self.transaction.abort()
            self._tree.forget(self)
            self.transaction = None  # type: ignore[assignment] # a use after close fails at once

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Tree:
    """An LMDB environment in the folder `path` (None: in memory), and the transaction that holds the present.

    Opening gives the last checkpoint: `applied` is its sequence. recover(log, apply) then brings it up to date.
    """

    def __init__(
        self,
        path: str | None,
        *,
        files: FileSystem | None = None,
        map_size: int = MAP_SIZE,
        read_only: bool = False,
    ) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.read_only = read_only
        self.dirty_bytes = self.dirty_writes = self.checkpoints = 0
        self._files = files or RealFileSystem()
        self._map_size = map_size
        self._log: Log | None = None
        self._apply: Callable[[Frame], None] | None = None
        self._snapshots: list[ReadTree] = []
        self._keyspaces: dict[str, Keyspace] = {}
        self._keeper = ThreadPoolExecutor(1, "tree keeper") if path is not None and not read_only else None
        self._seal: seal.Seal | None = None
        self._real_path = ""
        self.transaction: lmdb.Transaction
        self._checkpointed = self.applied = 0
        try:
            self._environment = self._open()
            self._begin()
            self._meta = self.keyspace("meta")
            self.applied = self._checkpointed = struct.unpack("<Q", self._meta.get(b"applied") or bytes(8))[0]
        except lmdb.Error as error:
            self._abandon()
            raise Corrupted(
                f"{path}/data.mdb cannot be opened ({error}): restore a snapshot", file=f"{path}/data.mdb", offset=0
            ) from error
        except BaseException:
            self._abandon()
            raise

    def _open(self) -> lmdb.Environment:
        options: dict[str, Any] = {"lib_version": LIB_VERSION, "max_dbs": MAX_KEYSPACES, "map_size": self._map_size}
        if self.path is None:
            fd = os.memfd_create("engines tree", os.MFD_CLOEXEC)
            try:
                return lmdb.open(f"/proc/self/fd/{fd}", subdir=False, lock=False, sync=False, **options)
            finally:
                os.close(fd)
        if self.read_only and not self._files.exists(f"{self.path}/data.mdb"):
            raise NotFound(f"{self.path} holds no checkpoint yet: let the writer close or checkpoint first")
        with _open_paths_lock:
            real = os.path.realpath(self.path)
            if real in _open_paths:
                raise Conflict(f"{self.path} is open in this process already: use that engine, threads may share it")
            _open_paths.add(real)
            self._real_path = real
        if self.read_only:
            return self._files.environment(self.path, readonly=True, **options)
        make_folder(self._files, self.path)
        if not self._files.exists(f"{self.path}/data.mdb"):
            write_atomically(self._files, f"{self.path}/data.mdb", _new_file(options))
        self._seal = seal.check(self._files, self.path)
        environment = self._files.environment(self.path, readahead=False, **options)
        self._files.fsync_dir(self.path)
        environment.reader_check()
        return environment

    # -- the present --------------------------------------------------------------------------------------------------

    def keyspace(self, name: str) -> Keyspace:
        """The keyspace of this name, created where there is none."""
        if name not in self._keyspaces:
            self._keyspaces[name] = Keyspace(self, name, self.handle(name, self.transaction, create=not self.read_only))
        return self._keyspaces[name]

    def handle(self, name: str, transaction: lmdb.Transaction, *, create: bool) -> Any:  # noqa: ANN401 - LMDB's handle
        try:
            return self._environment.open_db(name.encode(), txn=transaction, create=create)
        except lmdb.NotFoundError:
            raise NotFound(f"the last checkpoint of {self.path} has no keyspace {name!r}") from None

    def drop(self, name: str) -> None:
        """Delete a keyspace with all it holds."""
        self.transaction.drop(self.keyspace(name).db)
        del self._keyspaces[name]

    def keyspaces(self) -> list[str]:
        """The names of all keyspaces."""
        with self.transaction.cursor() as cursor:
            return [bytes(key).rstrip(b"\0").decode() for key in cursor.iternext(values=False)]

    def recover(self, log: Log, apply: Callable[[Frame], None]) -> int:
        """Apply what the log holds after the last checkpoint; how many frames that was. From now on they belong together."""
        self._log, self._apply = log, apply
        if log.last and log.first > self.applied + 1:
            raise Corrupted(
                f"the log {log.path} begins at {log.first}, but {self.path} has applied frames up to {self.applied} only: "
                "restore a snapshot",
                file=log.path,
                offset=0,
            )
        return self._replay()

    def _replay(self) -> int:
        assert self._log is not None  # noqa: S101 - set by recover
        assert self._apply is not None  # noqa: S101 - set by recover
        count = 0
        for found in self._log.read(self.applied, durable=False):
            self._apply(found)
            self.applied = found.sequence
            count += 1
        self.dirty_writes += count
        return count

    def note(self, sequence: int, size: int, writes: int = 1) -> bool:
        """Say that the frame `sequence` has been applied, of about `size` bytes; whether a checkpoint is due.

        Under the lock.
        """
        self.applied = sequence
        self.dirty_bytes += size
        self.dirty_writes += writes
        return self.dirty_bytes >= CHECKPOINT_BYTES or self.dirty_writes >= CHECKPOINT_WRITES

    @property
    def due(self) -> bool:
        """Whether enough has been written since the last checkpoint to make one worth while."""
        return self.dirty_bytes >= CHECKPOINT_BYTES or self.dirty_writes >= CHECKPOINT_WRITES

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def checkpoint(self) -> int:
        """Make the present durable in the tree itself; the sequence that is now on disk.

        Poisoned if the disk failed: nothing acknowledged is lost, the log has it; close and reopen.
        """
        if self.read_only:
            raise ReadOnly(f"{self.path} was opened with read_only=True")
        if self._log is not None:
            self._log.sync()  # the long part, while others go on
        with self.lock:
            if self.path is None and self._snapshots:
                return self._checkpointed  # an old view in memory is safe only until the next commit but one
            if self._log is not None:
                self._log.sync(self.applied)
            if self._seal is not None:
                self._seal.withdraw()
                self._seal = None
            self._meta.put(b"applied", struct.pack("<Q", self.applied))
            try:
                self._keep(self._commit_and_begin)
            except (lmdb.Error, OSError) as error:
                raise self._broken(error) from error
            self._checkpointed, self.dirty_bytes, self.dirty_writes = self.applied, 0, 0
            self.checkpoints += 1
            if self._log is not None:
                self._log.append(struct.pack("<Q", self.applied), CHECKPOINT)
            return self._checkpointed

    def _commit_and_begin(self) -> None:
        self._files.commit(self._environment, self.transaction)
        if self._used() > self._map_size // 2 and not self._snapshots:
            self._map_size *= 2  # the only safe moment: no transaction is open
            self._environment.set_mapsize(self._map_size)
        self.transaction = self._environment.begin(write=True, buffers=True)

    def _broken(self, cause: Exception) -> Poisoned:
        error = Poisoned(
            f"the checkpoint of {self.path} failed ({cause}); every acknowledged write is in the log: free space or mend "
            "the disk, then close and reopen"
        )
        if self._log is not None:
            self._log.refuse(error)
        self.transaction = Gone(error)  # type: ignore[assignment] # whoever touches it hears why
        return error

    def rebuild(self, *, grow: bool) -> None:
        """Throw the open transaction away and replay the log, in a map of twice the size if it must grow. Under the lock.

        For a write that was stopped after its frame was taken: by lmdb.MapFullError, or by whatever else.
        """
        if self._log is None or (grow and self._snapshots):
            raise Poisoned(f"the map of {self.path or 'the tree in memory'} is full: close open snapshots, then reopen")
        self._map_size *= 2 if grow else 1

        def abort_and_begin() -> None:
            self.transaction.abort()
            if grow:
                self._environment.set_mapsize(self._map_size)
            self.transaction = self._environment.begin(write=True, buffers=True)

        self._keep(abort_and_begin)
        for keyspace in self._keyspaces.values():  # handles made in the aborted transaction died with it
            keyspace.db = self.handle(keyspace.name, self.transaction, create=True)
        self.applied = self._checkpointed
        try:
            self._replay()
        except lmdb.MapFullError:
            self.rebuild(grow=True)

    def snapshot(self) -> ReadTree:
        """A view of the last checkpoint (in memory: of now) for any thread; close it soon, it keeps old pages alive."""
        if self.path is None:
            self.checkpoint()
        with self.lock:
            view = ReadTree(self, self._environment.begin(buffers=True))
            self._snapshots.append(view)
            return view

    def forget(self, view: ReadTree) -> None:
        self._snapshots.remove(view)

    # -- life ---------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        def begin() -> None:
            self.transaction = self._environment.begin(write=not self.read_only, buffers=True)

        self._keep(begin)

    def _keep(self, work: Callable[[], None]) -> None:
        """Run in the thread that owns LMDB's writer lock."""
        if self._keeper is None:
            work()
        else:
            self._keeper.submit(work).result()

    def _used(self) -> int:
        return int(self._environment.info()["last_pgno"]) * int(self._environment.stat()["psize"])

    def stats(self) -> dict[str, int]:
        """Sizes and counters: bytes_used of the file, writes since the last checkpoint, open snapshots, ..."""
        return {
            "bytes_used": self._used(),
            "map_bytes": self._map_size,
            "applied": self.applied,
            "checkpointed": self._checkpointed,
            "checkpoints": self.checkpoints,
            "dirty_writes": self.dirty_writes,
            "dirty_bytes": self.dirty_bytes,
            "open_snapshots": len(self._snapshots),
        }

    def verify(self) -> Report:
        """Check the pages against the seal of the last clean close, where nothing was committed since; walk all keys.

        LMDB keeps no checksums of its own: what was committed since the last clean close is only walked, and the engine
        above compares it with the log.
        """
        problems: list[Problem] = []
        checked = 0
        with self.lock:
            if self._seal is not None:
                problems += self._seal.problems()
            for name in self.keyspaces():
                previous = b""
                for key, value in self.keyspace(name).walk():
                    if key <= previous:
                        problems.append(Problem(f"{self.path}/data.mdb", None, f"{name}: keys out of order"))
                    previous = key
                    checked += len(key) + len(value)
        return Report(checked, problems, "bytes")

    def close(self, *, checkpoint: bool = True) -> None:
        """Checkpoint, seal the file, let go of it. After a failed checkpoint it just lets go: the log has everything."""
        if self._environment is None:
            return
        try:
            if checkpoint and not self.read_only and self.path is not None and not isinstance(self.transaction, Gone):
                if self.dirty_writes or self._seal is None:
                    self.checkpoint()
                self._keep(self.transaction.abort)
                self._environment.close()
                if self._seal is None:
                    seal.write(self._files, self.path)
        finally:
            self._abandon()

    def _abandon(self) -> None:
        for view in list(self._snapshots):
            view.close()
        environment = getattr(self, "_environment", None)
        if environment is not None:
            transaction = getattr(self, "transaction", None)
            if transaction is not None and not isinstance(transaction, Gone):
                self._keep(transaction.abort)
            environment.close()
        self._environment = None  # type: ignore[assignment] # closed
        self.transaction = Gone(Closed(f"the tree {self.path} is closed: open it again"))  # type: ignore[assignment]
        if self._keeper is not None:
            self._keeper.shutdown()
        with _open_paths_lock:
            _open_paths.discard(self._real_path)


def _new_file(options: dict[str, Any]) -> bytes:
    """An empty LMDB file. LMDB writes one in place and does not sync it: half of it would be refused at the next open."""
    fd = os.memfd_create("engines new tree", os.MFD_CLOEXEC)
    try:
        lmdb.open(f"/proc/self/fd/{fd}", subdir=False, lock=False, **options).close()
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)


class Gone:
    """In place of a transaction that is no more: every use raises the reason."""

    def __init__(self, reason: Exception) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> object:
        raise self._reason

    def __call__(self, *_: object) -> None:
        raise self._reason

    def __enter__(self) -> None:
        raise self._reason

    def __exit__(self, *_: object) -> None:
        raise self._reason
