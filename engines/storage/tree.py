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
between: then the open transaction is thrown away and the Log replayed, which is why nothing is lost. Under an open
snapshot it must not grow, LMDB would move the memory that somebody reads: a map that fills up then, 32 GB in the life
of one snapshot, makes the tree Poisoned, and opening it again grows the map.

**A write** is one frame in the Log, then what it means for the tree: write() does both. What is stopped in between (by
a full map, by Ctrl-C) is mended in the same way, by a replay. Should Ctrl-C stop even that, a Late stands in the place
of the transaction: whoever comes next does the replay.

LMDB ties its writer lock to a thread, so a keeper (keeper.py) alone begins, commits and aborts. It shows nobody what it
has begun: whoever asked for it puts that in the place of the Late, or, where Ctrl-C has sent him away, whoever comes
next, after the keeper has done all that it was asked for. In memory (path None)
LMDB runs on an unnamed memory file, without locks. A child of a fork finds its copy closed (forks.py).

Simpler than production: one writer; a long snapshot keeps old pages from reuse, so the file grows.

Invariants: a checkpoint never holds a frame that is not on disk in the Log, and all frames up to the sequence that it
names. A snapshot never changes. A dropped keyspace is never read again, however late its user comes.
"""

import contextlib
import struct
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import lmdb

from engines._native.lock import Lock
from engines.display import Problem, Report
from engines.errors import Closed, Conflict, Corrupted, NotFound, Poisoned, ReadOnly
from engines.storage import environment, forks, seal
from engines.storage.files import FileSystem, RealFileSystem, disk_error, disk_errors
from engines.storage.keeper import Gone, Keeper, Late
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
        self.lock = Lock()
        self.read_only = read_only
        self.dirty_bytes = self.dirty_writes = self.checkpoints = self.rebuilds = 0
        self.called = f"the tree {path or 'in memory'}"  # in errors; an engine says here what its user has opened
        self._files = files or RealFileSystem()
        self._map_size = map_size
        self._log: Log | None = None
        self._apply: Callable[[Frame], None] | None = None
        self._snapshots: list[ReadTree] = []
        self._keyspaces: dict[str, Keyspace] = {}
        self._handles: dict[str, Any] = {}  # LMDB's, of all keyspaces that are there now
        self._kept_handles: dict[str, Any] = {}  # of those in the last checkpoint
        self._dropped: dict[str, Any] = {}  # of those emptied since, which the next checkpoint deletes
        self._keeper = Keeper(threaded=path is not None and not read_only)
        self._seal: seal.Seal | None = None
        self._claimed = ""
        self._environment: lmdb.Environment = None  # type: ignore[assignment] # until it is open
        self.transaction: lmdb.Transaction  # what everybody uses
        self._begun: lmdb.Transaction | None = None  # what LMDB has: only the keeper changes that
        self._failed: Poisoned | None = None  # the keeper's last word, for those who come when nobody waits any more
        self._ended = False  # nothing is held any more
        self.before_checkpoint: Callable[[], None] | None = None
        self.before_replay: Callable[[], None] | None = None  # forget what was derived since the last checkpoint
        self.late: Any = Late(self._caught_up)  # stands in for a transaction that lags behind the log
        self._checkpointed = self.applied = 0
        self._own = 0  # the last note that the log made for itself: there is nothing to apply in it
        forks.register(self)
        try:
            self._environment = self._open()
            if not self.read_only:
                self._grow_half_full()  # it may have outgrown map_size in an earlier life
            self._keeper.run(self._begin_first)
            self.transaction = self._begun  # type: ignore[assignment] # it has begun, or raised
            self._meta = self.keyspace("meta")
            self.applied = self._checkpointed = struct.unpack("<Q", self._meta.get(b"applied") or bytes(8))[0]
        except OSError as error:
            self._abandon()
            raise disk_error(f"the tree {path} cannot be opened", error) from error
        except lmdb.Error as error:
            self._abandon()
            if (refusal := environment.disk_refusal(error)) is not None:
                raise disk_error(f"{path}/data.mdb cannot be opened", refusal) from error
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

    def drop(self, name: str, reason: Exception | None = None) -> None:
        """Delete a keyspace with all it holds; nothing happens if there is none.

        Whoever has it still, and waits for the lock, hears the reason (default: a NotFound that names the keyspace).
        """
        if name in self._handles:
            gone: Any = Gone(reason or NotFound(f"the keyspace {name} was dropped"))
            handle, keyspace = self._handles[name], self._keyspaces.get(name)
            self.transaction.drop(handle, delete=False)  # a snapshot of the last checkpoint may need it
            if keyspace is not None:
                keyspace.tree = keyspace.db = gone
                del self._keyspaces[name]
            self._dropped[name] = handle  # no calls since the drop: an interrupt finds all of this done, or nothing
            del self._handles[name]

    @property
    def emptied(self) -> int:
        """How many keyspaces were dropped since the last checkpoint: until the next they still take their room."""
        return len(self._dropped)

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
        last = self._log.last
        for found in self._log.read(self.applied, durable=False):
            self._apply(found)
            self.applied = found.sequence
            self.dirty_writes += 1
        self._own = last

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, payload: bytes | bytearray, kind: int, apply: Callable[[int], None], *, writes: int = 1) -> int:
        """One frame for the log, and with apply(sequence) what it means for the tree; the sequence, to acknowledge.

        Under the lock. Done as a whole or, where an error says so, not at all. writes: how much it counts towards the
        next checkpoint. A full map is mended; what the log refuses (a full disk, say) is raised.
        """
        if self.read_only:
            raise ReadOnly(f"{self.path} was opened with read_only=True")
        assert self._log is not None  # noqa: S101 - set by recover
        self.catch_up()
        before = self._log.last
        try:
            sequence = self._log.append(payload, kind)
            apply(sequence)
            self.note(sequence, len(payload), writes)
        except BaseException as error:  # noqa: BLE001 - mend raises it again unless the write has happened
            if self._log.last > before:
                self.transaction = self.late  # without a call, so before Ctrl-C can keep mend from being called
            sequence = self.mend(error, before)
        return sequence

    def mend(self, error: BaseException, before: int) -> int:
        """Under the lock, after a write failed: where its frame was taken, show again what the log holds.

        before: log.last as it was when the write began. The sequence to acknowledge where that saved the write (the map
        was full); raises the error again where not. For compiled writers, which call log.append and note themselves,
        and before this, if log.last > before, set tree.transaction = tree.late, as write() does.
        """
        if self._log is not None and self._log.last > before:
            full = isinstance(error, lmdb.MapFullError)
            self.rebuild(grow=full)
            if full:
                return self._log.last
        raise error

    def catch_up(self) -> None:
        """Under the lock, before a write: apply what an interrupted one has left in the log. Poisoned, Closed.

        A compiled writer calls it where log.last != tree.applied, before it looks at anything.
        """
        self.transaction.id()  # a Late catches up, a Gone raises its reason
        if self._log is not None and self.applied < self._log.last != self._own:
            self.rebuild(grow=False)

    def _caught_up(self) -> lmdb.Transaction:
        """For a Late: the transaction that is up to date. Under the lock."""
        self._settle()
        if self._log is None and self._begun is not None:  # nothing to replay
            self.transaction = self._begun
        else:
            self.rebuild(grow=False)
        return self.transaction

    def _settle(self) -> None:
        """Return when the keeper has done what others were sent away from by Ctrl-C. Poisoned where that failed."""
        self._keeper.run(_nothing)
        if self._failed is not None and not isinstance(self.transaction, Gone):
            raise self._broken(self._failed)

    def note(self, sequence: int, size: int, writes: int = 1) -> bool:
        """Say that the frame `sequence` has been applied, of about `size` bytes; whether a checkpoint is due.

        Under the lock.
        """
        self.applied = sequence
        self.dirty_bytes += size
        self.dirty_writes += writes
        return self.due

    @property
    def due(self) -> bool:
        """Whether enough has been written since the last checkpoint to make one worth while."""
        return self.dirty_bytes >= CHECKPOINT_BYTES or self.dirty_writes >= CHECKPOINT_WRITES

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def checkpoint(self, before: Callable[[], None] | None = None) -> int:
        """Make the present durable in the tree itself; the sequence that is now on disk.

        before() (None: what `before_checkpoint` is) runs under the lock, and what it puts is in the checkpoint; it may
        run twice. It does not run where no checkpoint is made: in memory, while there are snapshots. Poisoned if the
        disk failed: nothing acknowledged is lost, the log has it; close and reopen.
        """
        if self.read_only:
            raise ReadOnly(f"{self.path} was opened with read_only=True")
        if self._log is not None:
            self._log.sync()  # the long part, while others go on
        with self.lock:
            if self.path is None and self._snapshots:
                return self._checkpointed  # an old view in memory is safe only until the next commit but one
            self.catch_up()
            if self._log is not None:
                self._log.sync(self.applied)
            try:
                if self._seal is not None:
                    self._seal.withdraw()
                    self._seal = None
                self._commit(before or self.before_checkpoint)
            except (lmdb.Error, OSError) as error:
                raise self._broken(self._poisoned("the checkpoint", error)) from error
            if self._log is not None:
                self._own = self._log.remark(struct.pack("<Q", self.applied), CHECKPOINT) or self._own
            return self._checkpointed

    def _commit(self, before: Callable[[], None] | None) -> None:
        """Commit the present with its sequence, and begin anew."""
        while True:
            try:
                if before is not None:
                    before()
                self.transaction = self.late  # nobody touches what the keeper is at work on, whatever comes in between
                self._keeper.run(self._commit_and_begin)
                self.transaction = self._begun  # type: ignore[assignment] # it has begun, or raised
            except lmdb.MapFullError:
                self.rebuild(grow=True)
            else:
                return

    def rebuild(self, *, grow: bool) -> None:
        """Throw the open transaction away and replay the log, in a map of twice the size if it must grow.

        Under the lock. For a write that was stopped after its frame was taken: by lmdb.MapFullError, or by whatever
        else. Poisoned where that cannot be done: the tree then takes and shows nothing more. An interrupt is no
        failure: whoever touches the tree next rebuilds it.
        """
        if isinstance(self.transaction, Gone):
            self.transaction.id()  # raises the reason
        self.transaction = self.late  # from here to the end: half of the present would look like all of it
        self._settle()
        try:
            while not self._rebuilt(grow=grow):
                grow = True
        except Poisoned as error:
            self.transaction = Gone(error)  # type: ignore[assignment] # whoever touches it hears why
            raise
        except Exception as error:
            self.transaction = self.late  # until it is said that nothing will help
            raise self._broken(self._poisoned("the replay", error)) from error
        except BaseException:
            self.transaction = self.late
            raise

    def _rebuilt(self, *, grow: bool) -> bool:
        """Whether that was done; False if the map is too small."""
        if self._log is None or (grow and self._snapshots):
            reason = "close open snapshots first" if self._snapshots else "there is no log to replay"
            raise self._broken(self._poisoned("the map is full and growing it", Conflict(reason)))
        self._keeper.run(partial(self._begin_again, grow=grow))
        try:
            self.transaction = self._begun  # type: ignore[assignment] # the replay's, nobody else's
            for keyspace in self._keyspaces.values():
                keyspace.db = self._handle(keyspace.name)
            if self.before_replay is not None:
                self.before_replay()
            self._replay()
        except lmdb.MapFullError:
            self.transaction = self.late
            return False
        return True

    def _broken(self, error: Poisoned) -> Poisoned:
        """Take and show nothing from now on (called under the lock). Returns the error to raise."""
        self.transaction = Gone(error)  # type: ignore[assignment] # whoever touches it hears why
        if self._log is not None:
            self._log.refuse(error)
        with contextlib.suppress(lmdb.Error):
            self._keeper.run(self._abort)
        return error

    def _poisoned(self, what: str, cause: BaseException) -> Poisoned:
        return Poisoned(
            f"{what} of {self.path or 'the tree in memory'} failed ({cause}); every acknowledged write is in the log: "
            "free space or mend the disk, then close and reopen"
        )

    def snapshot(self) -> ReadTree:
        """A view of the last checkpoint (in memory: of now) for any thread; close it soon, it keeps old pages alive."""
        if self.path is None:
            self.checkpoint()
        with self.lock:
            if self._environment is None:
                self.transaction.id()  # raises the reason
            self._keeper.run(_nothing)  # an interrupted checkpoint may still be at work, and the map may grow in it
            try:
                begun = self._environment.begin(buffers=True)
            except lmdb.ReadersFullError as error:
                readers = self._environment.max_readers()
                raise Conflict(
                    f"{self.path or 'the tree in memory'} has {readers} open snapshots, in this process and others, "
                    "and there is no room for more: close some first"
                ) from error
            view = ReadTree(begun, self._kept_handles, self._snapshots.remove)
            self._snapshots.append(view)
            return view

    # -- what only the keeper does ------------------------------------------------------------------------------------

    def _begin_first(self) -> None:
        self._open_handles()
        self._begin()

    def _begin(self) -> None:
        self._begun = self._environment.begin(write=not self.read_only, buffers=True)

    def _abort(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            with contextlib.suppress(lmdb.Error):  # an interrupted commit may have ended it
                begun.abort()

    def _commit_and_begin(self) -> None:
        assert self._begun is not None  # noqa: S101 - who commits has caught up
        try:
            for handle in self._dropped.values():
                self._begun.drop(handle)
            self._begun.put(b"applied", struct.pack("<Q", self.applied), db=self._meta.db)
            self._files.commit(self._environment, self._begun)
            self._begun = None
            self._checkpointed, self.dirty_bytes, self.dirty_writes = self.applied, 0, 0
            self._kept_handles, self._dropped = dict(self._handles), {}
            self.checkpoints += 1
            self._grow_half_full()
            self._begin()
        except lmdb.MapFullError:
            raise  # there is a remedy
        except (lmdb.Error, OSError) as error:  # noted here: whoever asked may be interrupted before he can say so
            self._failed = self._poisoned("the checkpoint", error)
            raise

    def _begin_again(self, *, grow: bool) -> None:
        """Go back to the last checkpoint. The transaction is not shown before the log has been replayed in it."""
        self.rebuilds += 1
        self._abort()
        if grow:
            self._map_size *= 2
            self._environment.set_mapsize(self._map_size)
        self.applied, self.dirty_bytes, self.dirty_writes = self._checkpointed, 0, 0
        self._open_handles()  # those made or dropped in the aborted transaction died with it
        self._begin()

    def _grow_half_full(self) -> None:
        """Where no transaction is open: the only safe moment."""
        while self._used() > self._map_size // 2 and not self._snapshots:
            self._map_size *= 2
            self._environment.set_mapsize(self._map_size)

    # -- life ---------------------------------------------------------------------------------------------------------

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

    def verify(self, walked: Collection[str] = ()) -> Report:
        """Check the pages against the seal of the last clean close, where nothing was committed since; walk all keys.

        walked: keyspaces that the caller has walked already. LMDB keeps no checksums of its own: what was committed
        since the last clean close is only walked, and the engine above compares it with the log.
        """
        problems: list[Problem] = []
        checked = 0
        with self.lock:
            if self._seal is not None:
                with disk_errors(f"{self.path}/data.mdb cannot be read"):
                    problems += self._seal.problems()
            for name in [name for name in self.keyspaces() if name not in walked]:
                previous = b""
                for key, value in self.keyspace(name).walk():
                    if key <= previous:
                        problems.append(Problem(f"{self.path}/data.mdb", None, f"{name}: keys out of order"))
                    previous = key
                    checked += len(key) + len(value)
        return Report(checked, problems, "bytes")

    def close(self, *, checkpoint: bool = True) -> None:
        """Checkpoint, seal the file, let go of it. After a failed checkpoint it just lets go: the log has all of it."""
        if self._ended:
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
            self._shut()
            self._keeper.run(self._end)

    def _abandon(self) -> None:
        for view in list(self._snapshots):
            view.close()
        with self.lock:
            self._shut()
            self._keeper.run(self._end_for_good)

    def _shut(self) -> None:
        """Whoever touches it from now on hears why, however late the keeper lets go of it."""
        closed = Closed(f"{self.called} is closed: open it again")
        self.transaction = Gone(closed)  # type: ignore[assignment] # as in _broken

    def _end(self) -> None:
        """For the keeper."""
        opened = self._environment
        if opened is not None:
            self._abort()
            opened.close()
            self._environment = None  # type: ignore[assignment] # closed

    def _end_for_good(self) -> None:
        """For the keeper: also where an interrupt has sent away who asked, the path can be opened again."""
        if self._ended:  # others have closed it, too, and the path may be open anew
            return
        try:
            self._end()
        finally:
            environment.release(self._claimed)
            self._keeper.stop()
            self._ended = True

    def forked(self) -> None:
        """In the child: closed. LMDB is asked to let go only if no thread was in the middle of something.

        What stands in memory shared with the parent, its writer lock and its table of readers, stays as it is.
        """
        opened, begun, busy = self._environment, self._begun, self.lock.locked()
        if opened is None:
            return
        views, self._snapshots = self._snapshots, []
        self._environment = self._begun = None  # type: ignore[assignment] # closed
        self._ended = True
        self._keeper = Keeper(threaded=False)
        self.dirty_writes = self.dirty_bytes = 0
        gone: Any = Gone(forks.closed(self.called))
        self.transaction = gone
        for view in views:
            view.transaction = gone
        self.lock.forked()
        if busy or views or self.read_only:
            forks.keep_for_ever(opened)
        else:
            if begun is not None:
                begun.abort()
            opened.close()
            environment.release(self._claimed)


def _nothing() -> None:
    """When the keeper has done this, it has done what it was asked for before."""
