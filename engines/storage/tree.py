"""The Tree: where things stand now, in key order. LMDB, kept in step with a Log.

    path/data.mdb     LMDB's copy-on-write B+ tree: one sub-database a keyspace, and `meta` with the applied sequence
    path/lock.mdb     LMDB's table of readers, also those in other processes
    path/SEAL         after a clean close: one crc32c a page of data.mdb (seal.py), gone before the next commit

**One long-lived write transaction holds the present.** Writes *and* reads of this process go through it, so a put costs
no commit and a get no new transaction. What makes a put durable is the Log: a checkpoint syncs it, commits LMDB with
the applied sequence inside, and begins anew. Opening = the last checkpoint + a replay of the Log after it, through the
engine's `apply`: deterministic, idempotent, reading no clock but the frame's time.

Why not a commit per put? It costs two flushes; a log append costs one, and a checkpoint shares its own among thousands
(bench/bench_ground.py). Why not LMDB without syncing? Its crash images are corrupt, not merely old (tests/crash).

**The lock.** py-lmdb lets go of the GIL inside each call, and one transaction serves one thread at a time: whoever
touches a Keyspace (keyspace.py) holds `tree.lock`. Views of values die with the next write, so they are used up under
it. The lock is not held while the Log syncs. Only the checkpoint's own commit holds it: the one moment when readers
wait for a disk.

**The map** is address space for the file. It doubles at a checkpoint that finds it half full, and when it is full in
between: then the open transaction is thrown away and the Log replayed, which is why nothing is lost.

LMDB ties its writer lock to a thread, so a keeper thread alone begins, commits and aborts. In memory (path None) LMDB
runs on an unnamed memory file, without locks or log.

Simpler than production: one writer; a long snapshot keeps old pages from reuse, so the file grows.

Invariants: a checkpoint never holds a frame that is not on disk in the Log. A snapshot never changes.
"""

import contextlib
import struct
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import lmdb

from engines.display import Problem, Report
from engines.errors import Closed, Conflict, Corrupted, NotFound, Poisoned, ReadOnly
from engines.storage import environment, seal
from engines.storage.files import FileSystem, RealFileSystem
from engines.storage.keyspace import Keyspace, ReadTree
from engines.storage.log import CHECKPOINT, Frame, Log

CHECKPOINT_BYTES, CHECKPOINT_WRITES = 64 << 20, 100_000

__all__ = ["Gone", "Keyspace", "ReadTree", "Tree"]


class Tree:
    """An LMDB environment in the folder `path` (None: in memory), and the transaction that holds the present.

    Opening gives the last checkpoint: `applied` is its sequence. recover(log, apply) then brings it up to date.
    """

    def __init__(
        self,
        path: str | None,
        *,
        files: FileSystem | None = None,
        map_size: int = environment.MAP_SIZE,
        read_only: bool = False,
    ) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.read_only = read_only
        self.dirty_bytes = self.dirty_writes = self.checkpoints = self.rebuilds = 0
        self._files = files or RealFileSystem()
        self._map_size = map_size
        self._log: Log | None = None
        self._apply: Callable[[Frame], None] | None = None
        self._snapshots: list[ReadTree] = []
        self._keyspaces: dict[str, Keyspace] = {}
        self._handles: dict[str, Any] = {}  # LMDB's, of all keyspaces that are there now
        self._kept_handles: dict[str, Any] = {}  # of those in the last checkpoint
        self._dropped: dict[str, Any] = {}  # of those emptied since, which the next checkpoint deletes
        self._keeper: SimpleQueue[_Task | None] | None = None  # an executor would not survive Ctrl-C: its locks
        if path is not None and not read_only:
            self._keeper = SimpleQueue()
            threading.Thread(target=_keep_going, args=(self._keeper,), name="tree keeper", daemon=True).start()
        self._seal: seal.Seal | None = None
        self._claimed = ""
        self.transaction: lmdb.Transaction
        self._checkpointed = self.applied = 0
        try:
            self._environment = self._open()
            if not self.read_only:
                self._grow_half_full()  # it may have outgrown map_size in an earlier life
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
        if self.path is None:
            return environment.in_memory(self._map_size)
        self._claimed = environment.claim(self.path)
        open_tree = environment.for_reading if self.read_only else environment.for_writing
        opened, self._seal = open_tree(self._files, self.path, self._map_size)
        return opened

    # -- the present --------------------------------------------------------------------------------------------------

    def keyspace(self, name: str) -> Keyspace:
        """The keyspace of this name, created where there is none."""
        if name not in self._keyspaces:
            self._keyspaces[name] = Keyspace(self, name, self._handle(name))
        return self._keyspaces[name]

    def _handle(self, name: str) -> Any:  # noqa: ANN401 - LMDB's handle has no public type
        self.transaction.id()  # raises the reason where there is none any more
        if name not in self._handles:
            if self.read_only:
                raise NotFound(f"the last checkpoint of {self.path} has no keyspace {name!r}")
            emptied = self._dropped.pop(name, None)
            self._handles[name] = emptied or self._environment.open_db(name.encode(), txn=self.transaction)
        return self._handles[name]

    def _open_handles(self) -> None:
        """Open the keyspaces of the last checkpoint, while no transaction is open.

        LMDB allows only one transaction at a time to open handles. That is the one that writes, so the snapshots get
        theirs from here.
        """
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            names = [bytes(key).rstrip(b"\0").decode() for key in cursor.iternext(values=False)]
        self._kept_handles = {name: self._environment.open_db(name.encode(), create=False) for name in names}
        self._handles = dict(self._kept_handles)
        self._dropped = {}

    def drop(self, name: str) -> None:
        """Delete a keyspace with all it holds; nothing happens if there is none."""
        if name in self._handles:
            self.transaction.drop(self._handles[name], delete=False)  # a snapshot of the last checkpoint may need it
            self._dropped[name] = self._handles.pop(name)
            self._keyspaces.pop(name, None)

    def keyspaces(self) -> list[str]:
        """The names of all keyspaces, sorted."""
        self.transaction.id()
        return sorted(self._handles)

    def recover(self, log: Log, apply: Callable[[Frame], None]) -> int:
        """Apply what the log holds after the last checkpoint; how many frames that was. Now they belong together."""
        self._log, self._apply = log, apply
        if log.last and log.first > self.applied + 1:
            raise Corrupted(
                f"the log {log.path} begins at {log.first}, but {self.path} has applied frames up to {self.applied} "
                "only: restore a snapshot",
                file=log.path,
                offset=0,
            )
        before = self.dirty_writes
        try:
            self._replay()
        except lmdb.MapFullError:
            self.rebuild(grow=True)
        return self.dirty_writes - before

    def _replay(self) -> None:
        assert self._log is not None  # noqa: S101 - set by recover
        assert self._apply is not None  # noqa: S101 - set by recover
        for found in self._log.read(self.applied, durable=False):
            self._apply(found)
            self.applied = found.sequence
            self.dirty_writes += 1

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
            try:
                if self._seal is not None:
                    self._seal.withdraw()
                    self._seal = None
                self._commit()
            except (lmdb.Error, OSError) as error:
                raise self._broken("the checkpoint", error) from error
            self._checkpointed, self.dirty_bytes, self.dirty_writes = self.applied, 0, 0
            self._kept_handles = dict(self._handles)
            self.checkpoints += 1
            if self._log is not None:
                with contextlib.suppress(ReadOnly):  # a full disk: the checkpoint stands without its note
                    self._log.append(struct.pack("<Q", self.applied), CHECKPOINT)
            return self._checkpointed

    def _commit(self) -> None:
        """Commit the present with its sequence, and begin anew."""
        try:
            for handle in self._dropped.values():
                self.transaction.drop(handle)
            self._dropped = {}
            self._meta.put(b"applied", struct.pack("<Q", self.applied))
            self._keep(self._commit_and_begin)
        except lmdb.MapFullError:
            self.rebuild(grow=True)
            self._commit()

    def _commit_and_begin(self) -> None:
        self._files.commit(self._environment, self.transaction)
        self._grow_half_full()
        self.transaction = self._environment.begin(write=True, buffers=True)

    def _grow_half_full(self) -> None:
        """Where no transaction is open: the only safe moment."""
        while self._used() > self._map_size // 2 and not self._snapshots:
            self._map_size *= 2
            self._environment.set_mapsize(self._map_size)

    def rebuild(self, *, grow: bool) -> None:
        """Throw the open transaction away and replay the log, in a map of twice the size if it must grow.

        Under the lock. For a write that was stopped after its frame was taken: by lmdb.MapFullError, or by whatever
        else. Poisoned where that cannot be done: the tree then takes and shows nothing more.
        """
        if self._log is None or (grow and self._snapshots):
            reason = "close open snapshots first" if self._snapshots else "there is no log to replay"
            raise self._broken("the map is full and growing it", Conflict(reason))

        def abort_and_begin() -> None:
            self.rebuilds += 1
            self.transaction.abort()
            if grow:
                self._map_size *= 2
                self._environment.set_mapsize(self._map_size)
            self._open_handles()  # those made or dropped in the aborted transaction died with it
            self.transaction = self._environment.begin(write=True, buffers=True)

        try:
            self._keep(abort_and_begin)
            for keyspace in self._keyspaces.values():
                keyspace.db = self._handle(keyspace.name)
            self.applied, self.dirty_bytes, self.dirty_writes = self._checkpointed, 0, 0
            self._replay()
        except lmdb.MapFullError:
            self.rebuild(grow=True)
        except BaseException as error:  # half of the present would look like all of it
            raise self._broken("the replay", error) from error

    def _broken(self, what: str, cause: BaseException) -> Poisoned:
        """Take and show nothing from now on (called under the lock). Returns the error to raise."""
        error = Poisoned(
            f"{what} of {self.path or 'the tree in memory'} failed ({cause}); every acknowledged write is in the log: "
            "free space or mend the disk, then close and reopen"
        )
        if self._log is not None:
            self._log.refuse(error)
        if not isinstance(self.transaction, Gone):
            with contextlib.suppress(lmdb.Error):
                self._keep(self.transaction.abort)
        self.transaction = Gone(error)  # type: ignore[assignment] # whoever touches it hears why
        return error

    def snapshot(self) -> ReadTree:
        """A view of the last checkpoint (in memory: of now) for any thread; close it soon, it keeps old pages alive."""
        if self.path is None:
            self.checkpoint()
        with self.lock:
            view = ReadTree(self._environment.begin(buffers=True), self._kept_handles, self._snapshots.remove)
            self._snapshots.append(view)
            return view

    # -- life ---------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        def begin() -> None:
            self._open_handles()
            self.transaction = self._environment.begin(write=not self.read_only, buffers=True)

        self._keep(begin)

    def _keep(self, work: Callable[[], None]) -> None:
        """Run in the thread that owns LMDB's writer lock."""
        if self._keeper is None:
            work()
        else:
            task = _Task(work)
            try:
                self._keeper.put(task)
                task.ended.get()
            except BaseException:  # Ctrl-C: nobody may touch the transaction while the keeper is at work on it
                if not task.done:
                    task.ended.get()
                raise
            if task.error is not None:
                raise task.error

    def _used(self) -> int:
        return (int(self._environment.info()["last_pgno"]) + 1) * int(self._environment.stat()["psize"])

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
        """Checkpoint, seal the file, let go of it. After a failed checkpoint it just lets go: the log has all of it."""
        if self._environment is None:
            return
        try:
            if checkpoint and not self.read_only and self.path is not None and not isinstance(self.transaction, Gone):
                if self.dirty_writes or self._seal is None:
                    self.checkpoint()
                self._let_go()
                if self._seal is None:
                    with contextlib.suppress(OSError):  # a full disk: a tree without a seal is whole all the same
                        seal.write(self._files, self.path)
        finally:
            self._abandon()

    def _let_go(self) -> None:
        """Under the lock: other threads may be in the middle of a read or write."""
        with self.lock:
            opened = getattr(self, "_environment", None)
            transaction = getattr(self, "transaction", None)
            if opened is not None:
                if transaction is not None and not isinstance(transaction, Gone):
                    self._keep(transaction.abort)
                opened.close()
            self._environment = None  # type: ignore[assignment] # closed
            closed = Closed(f"the tree {self.path or 'in memory'} is closed: open it again")
            self.transaction = Gone(closed)  # type: ignore[assignment] # whoever touches it hears why

    def _abandon(self) -> None:
        for view in list(self._snapshots):
            view.close()
        self._let_go()
        if self._keeper is not None:
            self._keeper.put(None)
        environment.release(self._claimed)


class _Task:
    """A piece of work for the keeper thread, and how it ended."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.done = False
        self.error: BaseException | None = None
        self.ended: SimpleQueue[None] = SimpleQueue()


def _keep_going(tasks: "SimpleQueue[_Task | None]") -> None:
    """The keeper thread: one task after the other, until there is None."""
    while (task := tasks.get()) is not None:
        try:
            task.work()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            task.error = error
        task.done = True
        task.ended.put(None)


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
