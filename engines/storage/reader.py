"""Reading a Log: its frames in order, one by its number, those still to come; and a look at every byte.

A reader opens each segment for itself and takes no lock, so it holds up nobody. It reads up to what is on disk
(`durable`): whoever acts on a frame acts on something that no power failure takes back. Where a segment is trimmed
away under a reader, the reader says so.
"""

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator

from engines.display import Report
from engines.errors import Corrupted, EngineError, Invalid, ReadOnly, Trimmed
from engines.storage.files import FileSystem, disk_error, disk_errors
from engines.storage.recovery import examine
from engines.storage.segment import CHECKPOINT, CLOSE, Frame, Segment, read_between, read_frame
from engines.storage.walk import Walked, walk


class LogReader:
    """What a Log has for readers. `last` is taken, `written` with the kernel, `durable` on disk."""

    path: str
    last: int
    written: int
    durable: int
    damage: Corrupted | None
    read_only: bool
    _files: FileSystem
    _segments: list[Segment]
    _log_id: int
    _lock: threading.Lock
    _turn: threading.Condition
    _waiting: int
    _refusal: Callable[[], EngineError] | None

    def write(self) -> int:
        """See Log.write."""
        raise NotImplementedError

    def sync(self, sequence: int | None = None) -> None:
        """See Log.sync."""
        raise NotImplementedError

    @property
    def first(self) -> int:
        """The oldest sequence still kept, or the next one to be written where there is none."""
        return self._segments[0].first if self._segments else self.last + 1

    def read(self, after: int = 0, *, durable: bool = True) -> Iterator[Frame]:
        """The frames after this sequence, oldest first, up to what is durable (or, if not durable, written) now.

        The log's own notes (checkpoints, closes) are left out. Trimmed if frames after `after` are no longer kept;
        Corrupted, while iterating, where the bytes are not what was written.
        """
        if after < self.first - 1:
            raise self._trimmed(after)
        if not durable and not self.read_only:
            self.write()
        return self._frames(after, self.durable if durable else self.written)

    def read_one(self, sequence: int) -> Frame:
        """The frame of this number. Trimmed if it is no longer kept, Invalid if it is not there yet."""
        if sequence > self.durable:
            raise Invalid(f"the log is on disk up to {self.durable}, there is no frame {sequence}")
        segments = self._segments
        index = bisect_right(segments, sequence, key=lambda segment: segment.first) - 1
        if index < 0:
            raise self._trimmed(sequence - 1)
        try:
            return read_frame(self._files, segments[index], self._log_id, sequence)
        except FileNotFoundError:
            raise self._trimmed(sequence - 1) from None
        except OSError as error:
            raise self._unreadable(error) from error

    def follow(self, after: int = 0, *, timeout: float | None = None) -> Iterator[Frame]:
        """Like read, then waits for more. Ends after `timeout` seconds without news, or when the log takes no more."""
        while True:
            upto = self.durable
            if after < self.first - 1:
                raise self._trimmed(after)
            yield from self._frames(after, upto)
            after = max(after, upto)
            if not self.wait(after, timeout):
                return

    def wait(self, after: int, timeout: float | None = None) -> bool:
        """Return when more than this sequence is on disk; False after `timeout` seconds, or if no more can come."""
        with self._lock:  # not _turn: entering that is a Python function, Ctrl-C in it would keep the lock for ever
            self._waiting += 1
            self._turn.wait_for(lambda: self.durable > after or self._refusal is not None, timeout)
            self._waiting -= 1
            return self.durable > after

    def _frames(self, after: int, upto: int) -> Iterator[Frame]:
        try:
            for found in read_between(self._files, self._segments, self._log_id, after, upto):
                if found.kind not in (CHECKPOINT, CLOSE):
                    yield found
                after = found.sequence
        except FileNotFoundError:  # a segment was dropped meanwhile
            raise self._trimmed(after) from None
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> ReadOnly:
        return disk_error(f"the log {self.path} cannot be read", error)

    def _trimmed(self, after: int) -> Trimmed:
        return Trimmed(
            f"the log keeps frames from {self.first} on, asked for those after {after}: start from a snapshot, "
            f"or from {self.first - 1}",
            oldest=self.first,
        )

    def verify(self) -> Report:
        """Walk every byte of every segment; the report names what is not as it was written."""
        if self._refusal is None:
            self.sync()
        with disk_errors(f"the log {self.path} cannot be read"):
            return examine(self._files, self._segments, self._log_id, self.durable, self.damage)

    def walk(self) -> Iterator[Walked]:
        """Every frame that is on disk, good or broken, with its place: goes on behind damage (walk.py)."""
        if self._refusal is None:
            self.sync()
        return walk(self._files, list(self._segments), self._log_id, self.durable)

    def layout(self) -> list[tuple[str, int, int, int]]:
        """(path, first sequence, last sequence, bytes used) of every segment."""
        ends = [segment.first - 1 for segment in self._segments[1:]] + [self.last]
        return [
            (segment.path, segment.first, end, segment.end) for segment, end in zip(self._segments, ends, strict=True)
        ]
