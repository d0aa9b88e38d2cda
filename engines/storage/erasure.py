"""Two things that only a log which is the database itself needs: reading bytes by their place, and erasing some.

    place     (sequence of the frame, offset in its segment): where a frame's payload, or a part of it, begins
    erase     segment ──copied, some bytes of one payload zero, checksum renewed──> NAME.log.tmp ──renamed──> segment

A place stays what it is: frames never move, and erasing keeps every offset. Erasing rewrites a whole segment (64 MB at
most, a tenth of a second) because zeroing in place would need two writes, bytes and checksum, which a crash can part.
The rename is atomic: after a crash there is the old segment or the new one, and whoever wanted the bytes gone erases
again. What is left of the old file is freed, not overwritten, as with every file that is deleted.

Invariants: a frame is good before and after; all other bytes stay; erasing twice is erasing once.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from engines._native import frame
from engines.errors import Invalid
from engines.storage.files import FileSystem, disk_errors, read_file, write_atomically
from engines.storage.reader import LogReader
from engines.storage.segment import START, Segment, create_segment, damaged

HEADER: Final = frame.HEADER


class Erasure(LogReader):
    """What a Log has for who reads by place and erases."""

    _segment_bytes: int
    _reading: dict[int, "Reading"]  # files open for reading, by the first sequence of their segment

    def end_of(self, payload_bytes: int) -> int:
        """Where the payload of the frame taken last begins in its segment, given its length. Under the owner's lock."""
        return self._segments[-1].end - ((HEADER + payload_bytes + 7) & ~7) + HEADER

    def place(self, sequence: int) -> int:
        """Where the payload of this frame begins in its segment. It is looked for; Trimmed, Corrupted."""
        segment = self._holding(sequence)
        known, offset = segment.near(sequence)
        data = self.pread(sequence, offset, segment.end - offset)
        positions, _, _ = frame.scan(data, 0, known, self._log_id)
        if len(positions) <= sequence - known:
            raise damaged(segment.path, sequence, offset)
        return offset + int(positions[sequence - known]) + HEADER

    def pread(self, sequence: int, offset: int, length: int) -> bytes:
        """`length` bytes at `offset` of the segment that holds this frame, also before they are written. No checksum.

        Fewer where the segment ends before that. Trimmed if the frame is no longer kept.
        """
        segment = self._holding(sequence)
        if offset + length > segment.written:
            with self._lock:  # a leader moves bytes from the buffer to the file
                if offset >= segment.written:
                    start = offset - segment.written
                    return segment.buffer.peek()[start : start + length]
        with disk_errors(f"the log {self.path} cannot be read"):
            reading = self._reading.get(segment.first)
            if reading is None:
                with self._lock:
                    reading = self._reading.get(segment.first)
                    if reading is None:
                        reading = self._reading[segment.first] = Reading(self._files, segment.path)
            return self._files.pread(reading.descriptor, length, offset)

    def path_of(self, sequence: int) -> str:
        """The file that holds this frame, for errors to name."""
        return self._holding(sequence).path

    def _holding(self, sequence: int) -> Segment:
        segments = self._segments
        index = bisect_right(segments, sequence, key=lambda segment: segment.first) - 1
        if index < 0 or sequence > self.last:
            raise self._trimmed(sequence - 1) if index < 0 else Invalid(f"the log has no frame {sequence} yet")
        return segments[index]

    def erase(self, sequence: int, ranges: Iterable[tuple[int, int]]) -> None:
        """Zero parts of one frame's payload, each (start, length) in bytes; on disk when it returns.

        One caller at a time. Invalid where a range leaves the payload; Corrupted if the segment is damaged; else as
        append: ReadOnly, Poisoned, Closed.
        """
        parts = list(ranges)
        with self._lock:
            if self._refusal is not None:
                raise self._refusal()
            if self._holding(sequence) is self._segments[-1]:  # nothing may be written there any more
                with disk_errors(f"the log {self.path} takes no new segment"):
                    limit = self._segment_bytes
                    self._segments.append(
                        create_segment(self._files, self.path, self._log_id, first=self.last + 1, room=0, limit=limit)
                    )
        self.sync()
        segment = self._holding(sequence)
        with disk_errors(f"the segment {segment.path} cannot be written anew"):
            data = bytearray(read_file(self._files, segment.path)[: segment.end])
            positions, _, _ = frame.scan(data, START, segment.first, self._log_id)
            if len(positions) <= sequence - segment.first:
                raise damaged(segment.path, segment.first + len(positions), segment.end)
            at = int(positions[sequence - segment.first])
            length, number, time, lag, kind = frame.header_at(data, at)
            payload = data[at + HEADER : at + HEADER + length]
            for start, count in parts:
                if start < 0 or count < 0 or start + count > length:
                    raise Invalid(f"a payload of {length} bytes has no {count} bytes at {start}")
                payload[start : start + count] = bytes(count)
            renewed = frame.FrameBuffer(self._log_id)
            renewed.append(number, time, lag, kind, payload)
            data[at : at + len(renewed)] = renewed.peek()
            write_atomically(self._files, segment.path, data)
        self._reading.pop(segment.first, None)

    def _stop_reading(self) -> None:
        """Let go of what pread has opened."""
        self._reading = {}


class Reading:
    """A file that is open for reading, until nobody holds this object any more: another thread may be in a pread."""

    def __init__(self, files: FileSystem, path: str) -> None:
        self._files = files
        self.descriptor = files.open(path)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):  # else it could not be opened
            self._files.close(self.descriptor)
