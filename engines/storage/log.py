"""The Log: what happened, in order. An append-only file of checksummed frames, synced for many writers at once.

    path/00000000000000000001.log   segment: header 64 | frame | frame | ... | zeros      (segment.py)
    path/00000000000000087423.log   the next one, named by its first sequence
    frame   length u32 | crc32c u32 | sequence u64 | time u64 us | lag u32 | kind u32 | payload   (_native/frame.pyx)

A frame's checksum covers the log id too, so bytes of another log never pass. Segments are preallocated in steps that
double from 1 to 64 MB: a sync on a preallocated file changes no metadata, one on a file that grows does
(bench/bench_ground.py has both).

**Group commit** (DeWitt et al., "Implementation Techniques for Main Memory Database Systems", SIGMOD 1984). append()
only numbers and encodes; sync(n) returns when frame n is on disk. Whoever finds no leader becomes one: takes all that
is pending, writes and syncs it outside the lock, then wakes those it has served and one more: the next leader, for
whom new frames have queued up meanwhile. The rest sleep on, for in one interpreter every wake-up holds up all others.

**A torn tail or damage?** Power fails in mid-write: the last segment may end in a broken frame, with whole ones after
it, because unsynced writes reach the disk in any order. That is the trace of a crash and is cut off. But a frame that
was on disk once and is broken now is damage, and must not be cut off in silence. The frames themselves tell the two
apart: each says how far the log was known to be durable when it was written (`lag`). If a later good frame vouches for
the broken one, the log opens read-only and names file and offset.

Known limit: nothing vouches for the very last batch, so damage to it looks like a torn tail, until a clean close or the
Tree's applied sequence (`recovered_to`) vouches for it.

**The kernel without a call.** Under "interval" a write is acknowledged when the kernel has it. Frames are then stored
into the segment's memory (`writable_map`): a pwrite of 1 KB costs two such stores. Only on file systems that keep what
they preallocate: elsewhere a full disk would be a signal instead of an error.

**Poison.** After a failed write or sync the kernel may have dropped the dirty pages, so a later sync that succeeds
would prove nothing (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). Every later
append raises Poisoned; reading goes on; reopening recovers. An interrupt (Ctrl-C) is no failure: what a leader could
not finish, the next one writes again at the same place.

Reading is in reader.py; reading by place, and erasing, which only the ledger does, in erasure.py. A child of a fork
finds its copy closed (forks.py).

Simpler than production: one file is written at a time, no compression, no reuse of old segments.

Invariants: sequences start at 1 and have no gaps. Times never decrease. What sync(n) returned for is found by every
later recovery. Recovery finds a prefix of what was appended. Frames in all but the last segment are on disk.
"""

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Literal

from engines._native import frame
from engines.clock import Clock, SystemClock
from engines.errors import Closed, EngineError, Invalid, Poisoned, ReadOnly, TooLarge
from engines.storage import forks
from engines.storage.erasure import Erasure
from engines.storage.files import (
    DISK_FULL,
    NO_DESCRIPTOR,
    FileSystem,
    RealFileSystem,
    disk_errors,
    make_folder,
)
from engines.storage.recovery import recover
from engines.storage.segment import (
    CHECKPOINT,
    CLOSE,
    DATA,
    MARK_EVERY,
    START,
    Frame,
    Segment,
    bear,
    create_segment,
    reserve,
)
from engines.storage.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Callable

Durability = Literal["commit", "interval", "checkpoint"]

HEADER = frame.HEADER
UNWRITTEN_BYTES = 1 << 16  # how much may wait in memory under "checkpoint"

__all__ = ["CHECKPOINT", "CLOSE", "DATA", "Durability", "Frame", "Log"]


class Log(Erasure):
    """An append-only file of frames in the folder `path`. Threads may share it.

    durability says what acknowledge() waits for: "commit" the disk, "interval" the kernel (synced within 50 ms),
    "checkpoint" nothing. recovered_to: the last sequence that something else (the Tree) has made durable; a log that
    ends before it is Corrupted. read_only changes no byte of the folder.
    """

    def __init__(
        self,
        path: str,
        *,
        files: FileSystem | None = None,
        clock: Clock | None = None,
        durability: Durability = "commit",
        segment: int = 64 << 20,
        recovered_to: int = 0,
        read_only: bool = False,
    ) -> None:
        acknowledge = {
            "commit": self.sync,
            "interval": self._acknowledge_written,
            "checkpoint": self._acknowledge_taken,
        }
        if durability not in acknowledge:
            raise Invalid(f'durability must be "commit", "interval" or "checkpoint", got {durability!r}')
        self.acknowledge: Callable[[int], None] = acknowledge[durability]
        self.path = path
        self.syncs = 0
        self._files = files or RealFileSystem()
        self._now = (clock or SystemClock()).now
        self._segment_bytes = segment
        self._lock = threading.Lock()
        self._turn = threading.Condition(self._lock)
        self._waiting = 0  # how many wait at _turn: followers
        self._sleeping: list[tuple[int, bool, threading.Lock]] = []  # (target, sync, locked): those a leader works for
        self._leading: object = None  # whoever leads now
        self._refusal: Callable[[], EngineError] | None = None
        self._closed = False
        self._maps = True  # the file system lends segments as memory
        self._ticker = Ticker(self._sync_written, f"sync {path}")
        self._segments = []
        self._reading = {}
        forks.register(self)
        with disk_errors(f"the log {path} cannot be opened"):
            self._open(recovered_to, read_only=read_only)

    def _open(self, recovered_to: int, *, read_only: bool) -> None:
        path = self.path
        if not read_only:
            make_folder(self._files, path)
        found = recover(self._files, path, recovered_to=recovered_to, read_only=read_only)
        self.last = self.written = self.durable = found.last
        self.damage = found.damage
        self.read_only = read_only or found.damage is not None
        self._time, self._last_kind = found.time, found.last_kind
        self._segments = found.segments
        self._log_id = found.log_id or int.from_bytes(os.urandom(8), "little")
        if found.damage is not None:
            damage = found.damage
            self._refusal = lambda: damage
        elif read_only:
            self._refusal = lambda: ReadOnly(f"the log {path} was opened with read_only=True and takes no writes")
        elif not self._segments:
            limit = self._segment_bytes
            self._segments.append(create_segment(self._files, path, self._log_id, first=1, room=0, limit=limit))
            try:
                bear(self._files, self._segments[0], self._log_id)
            except BaseException:
                self._segments[0].close(self._files)
                raise

    @property
    def failed(self) -> bool:
        """Whether a failure made this log refuse writes; closing and reopening recovers."""
        return self._refusal is not None and not self.read_only and not self._closed

    # -- writing ------------------------------------------------------------------------------------------------------

    def append(self, payload: bytes | bytearray | memoryview, kind: int = DATA) -> int:
        """Number and take one frame; its sequence. Nothing is promised before sync() or acknowledge().

        Poisoned after a failed sync; ReadOnly (code disk-full) if there is no room for it, and then nothing was taken.
        """
        if type(payload) is not bytes:
            payload = memoryview(payload).cast("B")  # len() is to count bytes
        size = (HEADER + len(payload) + 7) & ~7
        with self._lock:
            if self._refusal is not None:
                raise self._refusal()
            segment = self._segments[-1]
            if segment.end + size > segment.reserved:
                segment = self._make_room(size)
            sequence = self.last + 1
            time = self._now()
            if time < self._time:  # noqa: PLR1730 - twice as fast as max(), once for every write
                time = self._time
            try:
                segment.buffer.append(sequence, time, sequence - self.durable, kind, payload)
                if segment.end >= segment.marks[-1][1] + MARK_EVERY:
                    segment.marks.append((sequence, segment.end))
            except BaseException:  # Ctrl-C, or no memory
                segment.buffer.cut(segment.end - segment.written)
                raise
            segment.end += size  # no calls from here on: an interrupt finds all of this done or nothing
            self._time = time
            self._last_kind = kind
            self.last = sequence
            if segment.memory is not None and segment.end <= segment.mapped and not self._leading:
                size = segment.buffer.copy_to(segment.memory, segment.written)  # the kernel has it with that
                segment.written += size  # no calls from here to the drop: all of this is done, or nothing
                self.written = sequence
                segment.buffer.drop(size)
            return sequence

    def remark(self, payload: bytes, kind: int) -> int:
        """Append what nothing depends on: left out where the disk is full, which is said with a 0."""
        try:
            return self.append(payload, kind)
        except ReadOnly as error:
            if error.code != "disk-full":
                raise
            return 0

    def _make_room(self, size: int) -> Segment:
        """Reserve space for one more frame, in a new segment if this one is full."""
        if size > frame.MAX_PAYLOAD:
            raise TooLarge(f"a log frame holds at most {frame.MAX_PAYLOAD} bytes, got {size}", size=size)
        segment = self._segments[-1]
        try:
            if segment.end + size > self._segment_bytes and segment.end > START:
                segment = create_segment(
                    self._files, self.path, self._log_id, first=self.last + 1, room=size, limit=self._segment_bytes
                )
                self._segments.append(segment)
            reserve(self._files, segment, size, self._segment_bytes)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise ReadOnly(
                    f"the disk is full: no room for {size} more bytes in {self.path}; nothing was written, "
                    "free some space and try again",
                    code="disk-full",
                ) from error
            if error.errno in NO_DESCRIPTOR:
                raise self._no_descriptor(error) from error
            raise self._poison(error) from error
        return segment

    def write(self) -> int:
        """Hand everything taken so far to the kernel, where it survives kill -9; the last sequence written."""
        self._lead(self.last, sync=False)
        return self.written

    def sync(self, sequence: int | None = None) -> None:
        """Return when all up to this sequence (default: all taken so far) is on disk. Poisoned if that failed."""
        self._lead(self.last if sequence is None else sequence, sync=True)

    def _lead(self, target: int, *, sync: bool) -> None:
        """Write, and sync, all that is pending, unless another thread does it for us first."""
        me = object()
        bed: threading.Lock | None = None
        try:
            while (self.durable if sync else self.written) < target:
                with self._lock:
                    if self._refusal is not None and (self.durable if sync else self.written) < target:
                        raise self._refusal()  # noqa: TRY301 - what is caught below are interrupts
                    if self._leading:
                        bed = threading.Lock()
                        bed.acquire()
                        self._sleeping.append((target, sync, bed))
                    else:
                        bed = None
                        self._leading = me
                if bed is None:
                    self._carry(sync=sync)
                else:
                    bed.acquire()  # whoever wakes us has done it for us, or wants us to lead
            if bed is not None and self._sleeping and not self._leading:
                self._pass_on()
        except OSError as error:
            with self._lock:
                if error.errno in NO_DESCRIPTOR:  # no harm done: the next leader goes on at the same place
                    self._leading = None
                    self._wake()
                    raise self._no_descriptor(error) from error
                raise self._poison(error) from error
        except BaseException:  # an interrupt (Ctrl-C): nothing is lost, the next leader writes the same bytes again
            if self._leading is me:  # else it came after the work, and another may lead by now
                self._leading = None
            with self._lock:
                self._wake()
            raise

    def _carry(self, *, sync: bool) -> None:
        """What a leader does. Outside the lock: others append meanwhile, and the next leader takes all of theirs."""
        with self._lock:
            upto, born = self.last, len(self._segments) - 1
            while not self._segments[born].born:
                born -= 1
            batches = [(segment, segment.buffer.peek()) for segment in self._segments[born:]]
        active = batches[0][0]
        for segment, batch in batches:
            if not batch:
                continue
            if not segment.born:  # after all of the one before it: so only the last segment can have a torn tail
                bear(self._files, segment, self._log_id, previous=active)
            active = segment
            size = len(batch)
            self._files.pwrite(segment.fd, batch, segment.written)
            with self._lock:
                segment.written += size  # no call between these two: an interrupt finds both done, or neither
                segment.buffer.drop(size)
        if sync:
            self._files.fdatasync(active.fd)
        with self._lock:
            self._leading = None
            self.written = upto
            if sync:
                self.durable = upto
                self.syncs += 1
            if self._sleeping:
                self._wake_served()
            if self._waiting:
                self._turn.notify_all()

    def _wake_served(self) -> None:
        """Under the lock: those whose frames are there, and one of the others, to lead. The rest sleep on.

        With 16 writers that saves a third of the CPU time of a commit (bench_ground.py, "append, 16 threads").
        """
        left: list[tuple[int, bool, threading.Lock]] = []
        leads = False
        for sleeper in self._sleeping:
            target, sync, bed = sleeper
            served = (self.durable if sync else self.written) >= target
            if served or not leads:
                leads = leads or not served
                bed.release()
            else:
                left.append(sleeper)
        self._sleeping = left

    def _pass_on(self) -> None:
        """Woken to lead, perhaps, and then there was no need to: a store into the segment's memory was faster."""
        with self._lock:
            if self._sleeping and not self._leading:
                self._wake_served()

    def _wake(self) -> None:
        """Under the lock: everybody."""
        for _, _, bed in self._sleeping:
            if bed.locked():  # else an interrupt came when it had been woken
                bed.release()
        self._sleeping = []
        self._turn.notify_all()

    def _no_descriptor(self, cause: OSError) -> ReadOnly:
        return ReadOnly(
            f"no file can be opened for the log {self.path} ({cause.strerror}); nothing is lost: close some files and "
            "try again, or raise the limit with ulimit -n",
            code="too-many-files",
        )

    def _poison(self, cause: BaseException) -> Poisoned:
        """Take nothing from now on (called under the lock). Returns the error to raise."""

        def refusal() -> Poisoned:
            return Poisoned(
                f"writing to the log {self.path} failed ({cause!r}), so what the disk holds is unknown: "
                "nothing more is accepted; close and reopen to recover every acknowledged write"
            )

        self._refusal = refusal
        self._leading = None
        self._wake()
        return refusal()

    def refuse(self, reason: EngineError) -> None:
        """Take nothing from now on: what this log feeds has failed, and says why."""
        with self._lock:
            self._refusal = lambda: reason
            self._wake()

    def _acknowledge_written(self, sequence: int) -> None:
        """Keep "interval": with the kernel now, on disk with the next tick."""
        if self._ticker.started and self.written >= sequence:  # append has stored it into the segment's memory
            return
        self._ticker.start()
        self._lead(sequence, sync=False)
        with self._lock:
            segment = self._segments[-1]
            if self._maps and segment.born and segment.mapped < segment.reserved:
                try:
                    self._files.preallocate(segment.fd, 0, segment.reserved)  # a copied segment may have holes
                    segment.memory = self._files.writable_map(segment.fd, segment.reserved)
                except OSError:
                    segment.memory = None  # a full disk, say: then pwrite says so
                self._maps = segment.memory is not None
                segment.mapped = segment.reserved if self._maps else 0

    def _sync_written(self) -> None:
        """Sync what the kernel has, and let writers hand it more meanwhile: they wait for no disk."""
        with self._lock:
            if self.durable >= self.written:
                return
            upto, path = self.written, [segment.path for segment in self._segments if segment.born][-1]
        try:
            fd = self._files.open(path)  # a descriptor of our own: the segment may be closed or dropped meanwhile
        except OSError:
            return  # dropped by trim, so it was on disk; or no descriptor is free: the next tick may find one
        try:
            try:
                self._files.fdatasync(fd)
            finally:
                self._files.close(fd)
        except OSError as error:
            with self._lock:
                raise self._poison(error) from error
        with self._lock:
            if self._refusal is None:  # a leader's sync that failed meanwhile may have told the kernel's only error
                self.durable = max(self.durable, upto)
                self.syncs += 1
            if self._waiting:
                self._turn.notify_all()

    def _acknowledge_taken(self, sequence: int) -> None:  # noqa: ARG002 - the signature of sync
        """Keep "checkpoint": nothing is promised before the next one; memory is kept small all the same."""
        segment = self._segments[-1]
        if segment.end - segment.written > UNWRITTEN_BYTES:
            self.write()

    def trim(self, before: int) -> int:
        """Drop whole segments that hold only sequences below `before`; the oldest sequence kept. Never the last one.

        Like append it is refused where nothing may change: ReadOnly, Corrupted, Poisoned, Closed.
        """
        with self._lock:
            if self._refusal is not None:
                raise self._refusal()
            keep = 0
            while (
                keep + 1 < len(self._segments)
                and self._segments[keep + 1].first <= before
                and self._segments[keep + 1].born
            ):
                keep += 1
            dropped, self._segments = self._segments[:keep], self._segments[keep:]
        with disk_errors(f"old segments of the log {self.path} cannot be deleted"):
            for segment in dropped:
                self._files.unlink(segment.path)
            if dropped:
                self._files.fsync_dir(self.path)
        return self.first

    def close(self) -> None:
        """Sync everything, note the clean close, give back what was preallocated. Closing twice is harmless."""
        if self._closed:
            return
        self._ticker.stop()
        try:
            if self._refusal is None:
                self.sync()
                if self.last and self._last_kind != CLOSE:
                    self.remark(b"", CLOSE)  # after the sync, so it vouches for everything before it
                    self.sync()
                self._end()
                active = self._segments[-1]
                self._files.truncate(active.fd, active.end)
                self._files.fdatasync(active.fd)
        except OSError as error:
            with self._lock:
                raise self._poison(error) from error
        finally:
            with self._lock:
                self._closed = True
                self._refusal = lambda: Closed(f"the log {self.path} is closed: open it again")
                self._wake()
                self._stop_reading()
            for segment in self._segments:
                segment.close(self._files)

    def _end(self) -> None:
        """Take nothing from now on, and put what others have taken meanwhile on disk."""
        with self._lock:
            if self._refusal is not None:
                raise self._refusal()
            closed = self._refusal = lambda: Closed(f"the log {self.path} is closed: open it again")
            while self._leading:
                self._waiting += 1
                self._turn.wait()
                self._waiting -= 1
            if self._refusal is not closed:  # the leader's disk failed
                raise self._refusal()
            self._leading = self  # this is the last leader
            self._maps = False
            self._segments[-1].unmap()  # a store behind the new end would kill the process
        self._carry(sync=True)

    def forked(self) -> None:
        """In the child: closed, and nothing written."""
        self._lock._at_fork_reinit()  # type: ignore[attr-defined] # noqa: SLF001 - as the standard library's own locks do
        self._closed = True
        self._refusal = lambda: forks.closed(f"the log {self.path}")
        self._stop_reading()
        for segment in self._segments:
            with contextlib.suppress(BufferError):  # a thread of the parent was storing a frame: it stays mapped
                segment.close(self._files)
