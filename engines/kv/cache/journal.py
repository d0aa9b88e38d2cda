"""The cache on disk: a log of its commands, and now and then a snapshot that replaces what is before it.

    path/ENGINE, lock    whose folder it is, and who writes (storage/folder.py)
    path/snapshot        all entries at one sequence of the log                            snapshot.py
    path/log/            frame: a list of commands, [name, argument, ...] each             codec.py, storage/log.py

Opening is the snapshot, then the frames after it, through the same methods as the first time. For that to give what was
there, the journal has to hold everything that changed the cache:

* What a command did, not what it was asked (hooks.py): so a replay needs no dice.
* Evictions and expiries that were noticed, as `delete`. While replaying nothing is evicted, and nothing expires: a key
  that was alive when a command touched it is alive again. At the end, what has expired meanwhile is dropped.
* What belongs together as one frame: it is there whole after a crash, or not at all.

Durability is the log's. "commit": on disk when the command returns (Redis: appendfsync always). "interval": with the
kernel then, and on disk within 50 ms (Redis: everysec, within a second). "checkpoint": on disk with the next snapshot
(Redis: no).

When the log has grown to twice the snapshot, and by 1 MB, a snapshot is due. It is made in this order: the log is
synced, the snapshot is on disk, the log's older segments go. A crash in between finds more of the log than it needs.

Simpler than Redis: one log, not a base and increments; the snapshot is written by the thread that finds it due.

Invariants: what was acknowledged is found by every later opening; what is found is a prefix of what was recorded; a
damaged snapshot is never taken for an absent one.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

from engines._native import frame
from engines.clock import Clock
from engines.display import Problem, Report
from engines.errors import AlreadyExists, Corrupted, Invalid, ReadOnly, TooLarge
from engines.kv.cache import codec as cachecodec
from engines.kv.cache import snapshot as cachesnapshot
from engines.kv.cache.snapshot import Entry, Snapshot
from engines.kv.cache.types import container
from engines.storage.files import FileSystem, write_atomically
from engines.storage.folder import Folder
from engines.storage.log import Durability, Frame, Log

ENGINE = "kv.Cache"
VERSION = 1
LEAST_GROWTH = 1 << 20  # bytes of commands before a snapshot is due

Command = tuple[str, tuple[Any, ...]]


class Commands(NamedTuple):
    """What one frame of the journal says."""

    sequence: int
    time: int
    commands: list[Command]


class CacheJournal:
    """The journal of one cache. record() and snapshot() are called under the cache's lock, acknowledge() without."""

    def __init__(self, folder: Folder, log: Log, files: FileSystem, clock: Clock, snapshot: Snapshot | None) -> None:
        self.path = folder.path
        self.log = log
        self._folder, self._files, self._clock = folder, files, clock
        self._snapshot = snapshot
        self._sequence = snapshot.sequence if snapshot else 0  # of the snapshot on disk
        self._snapshot_bytes = snapshot.size if snapshot else 0
        self._grown = 0
        self._together: list[bytes] | None = None
        self._together_bytes = 0

    @classmethod
    def open(
        cls,
        files: FileSystem,
        path: str | os.PathLike[str],
        clock: Clock,
        durability: Durability = "interval",
        *,
        segment: int = 64 << 20,
    ) -> Self:
        """Open the journal in a folder, a new one if need be.

        Locked, Invalid for a folder that is not the cache's, Corrupted for a damaged or missing snapshot. A damaged log
        opens, read-only, with what is whole: see `damage`.
        """
        folder = Folder(path, ENGINE, VERSION, files, read_only=False)
        try:
            snapshot = cachesnapshot.read(files, f"{folder.path}/snapshot")
            sequence = snapshot.sequence if snapshot else 0
            log = Log(
                f"{folder.path}/log",
                files=files,
                clock=clock,
                durability=durability,
                segment=segment,
                recovered_to=sequence,
            )
        except BaseException:
            folder.close()
            raise
        if log.first > sequence + 1:
            log.close()
            folder.close()
            missing = f"{folder.path}/snapshot"
            raise Corrupted(
                f"{missing} is missing: the log begins with frame {log.first}, what is before it was in the snapshot",
                file=missing,
                offset=0,
            )
        return cls(folder, log, files, clock, snapshot)

    @property
    def damage(self) -> Corrupted | None:
        """Damage in the log, which makes it read-only: what is before it can be replayed."""
        return self.log.damage

    # -- reading ------------------------------------------------------------------------------------------------------

    def replay(self) -> Iterator[Command]:
        """Every command that leads to the present, once, before the first record().

        The entries of the snapshot come as ("restore", (key, kind, container, expires)), the rest as recorded. So may
        be a `restore`, with a plain value, which comes back as a container too.
        """
        snapshot, self._snapshot = self._snapshot, None
        for entry in snapshot.entries if snapshot else ():
            yield "restore", (entry.key, entry.kind, container(entry.kind, entry.value), entry.expires)
        del snapshot
        for found in self.log.read(self._sequence):
            self._grown += len(found.payload)
            yield from self._decoded(found).commands

    def changes(self, after: int) -> Iterator[Commands]:
        """The frames after this sequence that are on disk. Trimmed if a snapshot has replaced them meanwhile."""
        return map(self._decoded, self.log.read(after))

    def _decoded(self, found: Frame) -> Commands:
        try:
            commands = [_command(*each) for each in cachecodec.decode(found.payload, self.log.path, found.sequence)]
        except (TypeError, Invalid) as error:
            raise Corrupted(
                f"{self.log.path}: frame {found.sequence} holds no commands of the cache: restore a snapshot",
                file=self.log.path,
                offset=found.sequence,
            ) from error
        return Commands(found.sequence, found.time, commands)

    # -- writing ------------------------------------------------------------------------------------------------------

    def record(self, command: str, *arguments: Any) -> int:  # noqa: ANN401 - whatever can be persisted
        """Take a command; the sequence to acknowledge. Nothing was taken if it raises.

        Invalid, code not-persistent, for a value of another type; TooLarge; what the log refuses with.
        """
        encoded = cachecodec.encode([command, *arguments])
        if self._together is None:
            return self._append([encoded])
        if self.log.failed or self.log.read_only:
            self.log.append(b"")  # raises: before, and not after the transaction has changed the cache
        size = self._together_bytes + len(encoded)
        if size > frame.MAX_PAYLOAD - 5:
            raise TooLarge(
                f"a transaction holds at most {frame.MAX_PAYLOAD:,} bytes, got {size:,}",
                size=size,
                limit=frame.MAX_PAYLOAD,
            )
        self._together.append(encoded)
        self._together_bytes = size
        return self.log.last + 1

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """One frame for all that is recorded in the block, written at its end, also when it raises."""
        if self._together is not None:
            yield
            return
        self._together, self._together_bytes = [], 0
        try:
            yield
        finally:
            taken, self._together = self._together, None
            if taken:
                self._append(taken)

    def _append(self, commands: list[bytes]) -> int:
        payload = cachecodec.join(commands)
        sequence = self.log.append(payload)
        self._grown += len(payload)
        return sequence

    def acknowledge(self, sequence: int | None = None) -> None:
        """Return when this sequence (all that was recorded) is as safe as the durability says. Poisoned if not."""
        self.log.acknowledge(self.log.last if sequence is None else sequence)

    @property
    def due(self) -> bool:
        """Whether the log has grown so much that a snapshot is worth its while; never within together()."""
        return self._together is None and self._grown > max(LEAST_GROWTH, 2 * self._snapshot_bytes)

    def snapshot(self, entries: Iterable[Entry]) -> None:
        """Write all entries down, as of what was last recorded, and drop the log's segments behind it.

        ReadOnly if the disk refuses: the old snapshot and the log still hold everything, and it is due again when the
        log has grown as much once more.
        """
        self._grown = 0
        sequence = self.log.last
        if self.log.read_only:
            raise self.log.damage or ReadOnly(f"the log {self.log.path} takes no writes")
        self.log.sync(sequence)  # else a crash could leave a snapshot of what the log has lost
        data = cachesnapshot.encode(entries, sequence, self._clock.now())
        try:
            write_atomically(self._files, f"{self.path}/snapshot", data)
            self._sequence, self._snapshot_bytes = sequence, len(data)
            self.log.trim(sequence + 1)
        except OSError as error:
            raise ReadOnly(
                f"the snapshot {self.path}/snapshot could not be written ({error}): nothing is lost, the log holds "
                "everything; make room on the disk and try again",
                code="snapshot-failed",
            ) from error

    def verify(self) -> Report:
        """Read the snapshot and walk the log; the report names what is not as it was written."""
        report = self.log.verify()
        try:
            found = cachesnapshot.read(self._files, f"{self.path}/snapshot")
        except Corrupted as damage:
            return report + Report(0, [Problem(str(damage.file), int(str(damage.offset)), str(damage))], "bytes")
        return report + Report(found.size if found else 0, [], "bytes")

    def close(self) -> None:
        """Sync, close the log and let go of the folder. Closing twice is harmless."""
        try:
            self.log.close()
        finally:
            self._folder.close()


def _command(name: str, *arguments: Any) -> Command:  # noqa: ANN401 - whatever was decoded
    """A command as it is called; TypeError or Invalid if it is none."""
    if type(name) is not str:
        raise TypeError(name)
    if name == "restore":
        key, kind, value, expires = arguments
        return name, (key, kind, container(kind, value), expires)
    return name, arguments


def save(files: FileSystem, path: str | os.PathLike[str], clock: Clock, entries: Iterable[Entry]) -> None:
    """Write all entries into a new folder, which a Cache can then open. AlreadyExists if a cache is there."""
    folder = Folder(path, ENGINE, VERSION, files, read_only=False)
    try:
        if any(files.exists(f"{folder.path}/{name}") for name in ("snapshot", "log")):
            raise AlreadyExists(f"there is a cache in {folder.path} already: save into another folder")
        write_atomically(files, f"{folder.path}/snapshot", cachesnapshot.encode(entries, 0, clock.now()))
    finally:
        folder.close()
