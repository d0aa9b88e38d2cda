"""Segments: the files a Log consists of, and how one is read.

{first:020d}.log     named by the sequence of its first frame
0   magic "EHLOG" 0 0 1 (8 bytes)
8   log id u64           random; every frame's checksum covers it
16  first sequence u64
24  crc32c u32           of the 24 bytes before it
28  zeros
64  frames               see _native/frame.pyx
"""

import os
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap
from typing import NamedTuple

from engines._native import frame
from engines.errors import Corrupted
from engines.storage.files import FileSystem, read_file

START = 64  # where the frames begin
FIRST_STEP = 1 << 20  # preallocated at first: a small store stays small
WINDOW = 1 << 20  # bytes read at once
MARK_EVERY = 1 << 16  # one remembered position in so many bytes

DATA, CHECKPOINT, CLOSE = 0, 1, 2  # kinds of frame; engines number their own from 16

_MAGIC = b"EHLOG\x00\x00\x01"
_HEADER = struct.Struct("<8sQQ")


class Frame(NamedTuple):
    """One record. time is in microseconds; payload is a view that keeps its window of the file in memory."""

    sequence: int
    time: int
    kind: int
    payload: memoryview


@dataclass(slots=True)
class Segment:
    """One file. Bytes up to `written` are with the kernel, up to `end` taken, up to `reserved` preallocated."""

    first: int
    path: str
    fd: int  # -1: not open, nothing will be written to it any more
    end: int
    written: int
    reserved: int
    buffer: frame.FrameBuffer  # frames taken, not yet written
    born: bool  # its header is on disk
    memory: mmap | None = None  # the file up to `mapped`, where frames may be stored without a call
    mapped: int = 0
    marks: list[tuple[int, int]] = field(default_factory=list)  # (sequence, offset), about one every MARK_EVERY bytes

    def mark(self, sequence: int, offsets: list[int]) -> None:
        """Remember where some of the frames are, given where `sequence` and those after it begin.

        All at once: other threads look at the list without a lock. What append() adds meanwhile may get lost.
        """
        marks = list(self.marks)
        for number, offset in enumerate(offsets, sequence):
            if offset >= marks[-1][1] + MARK_EVERY:
                marks.append((number, offset))
        self.marks = marks

    def unmap(self) -> None:
        """No more frames come this way."""
        memory, self.memory, self.mapped = self.memory, None, 0
        if memory is not None:
            memory.close()

    def close(self, files: FileSystem) -> None:
        """Let go of the file; whoever reads it opens it anew."""
        self.unmap()
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            files.close(fd)

    def near(self, sequence: int) -> tuple[int, int]:
        """The last remembered (sequence, offset) that is not after this sequence."""
        return self.marks[bisect_right(self.marks, (sequence, self.end)) - 1]


def create_segment(files: FileSystem, folder: str, log_id: int, *, first: int, room: int, limit: int) -> Segment:
    """A new file with `room` for its first frames, not yet born: nothing is written to it. OSError leaves no file."""
    path = f"{folder}/{first:020d}.log"
    reserved = max(min(FIRST_STEP, limit), START + room)
    fd = files.open(path, create=True)
    try:
        files.truncate(fd, 0)  # of what an interrupted creation may have left: no frame was ever written to it
        files.preallocate(fd, 0, reserved)
    except BaseException:
        files.close(fd)
        files.unlink(path)
        raise
    buffer = frame.FrameBuffer(log_id)
    return Segment(first, path, fd, START, START, reserved, buffer, born=False, marks=[(first, START)])


def reserve(files: FileSystem, segment: Segment, size: int, limit: int) -> None:
    """See that `size` more bytes fit: preallocate twice what there is, but no more than `limit` unless it must be."""
    needed = segment.end + size
    if needed > segment.reserved:
        step = max(min(max(2 * segment.reserved, FIRST_STEP), limit), needed)
        files.preallocate(segment.fd, segment.reserved, step - segment.reserved)
        segment.reserved = step


def bear(files: FileSystem, segment: Segment, log_id: int, previous: Segment | None = None) -> None:
    """Put a new segment on disk, after all of the previous one. May be repeated after an interrupt."""
    if previous is not None and previous.fd >= 0:
        files.fdatasync(previous.fd)
        previous.close(files)
    files.pwrite(segment.fd, encode_header(log_id, segment.first), 0)
    files.fdatasync(segment.fd)
    files.fsync_dir(os.path.dirname(segment.path))
    segment.born = True


def encode_header(log_id: int, first: int) -> bytes:
    """The first 28 bytes of a segment."""
    header = _HEADER.pack(_MAGIC, log_id, first)
    return header + struct.pack("<I", frame.crc32c(header))


def decode_header(data: bytes) -> tuple[int, int] | None:
    """(log id, first sequence), or None where this is no whole header of a segment."""
    if len(data) < START or any(data[28:START]):
        return None
    magic, log_id, first = _HEADER.unpack_from(data)
    if magic != _MAGIC or struct.unpack_from("<I", data, 24)[0] != frame.crc32c(data[:24]):
        return None
    return log_id, first


def read_frames(
    files: FileSystem, path: str, log_id: int, sequence: int, offset: int, *, upto: int, window: int = WINDOW
) -> Iterator[Frame]:
    """The frames of one segment from (sequence, offset) to `upto`, all of which must be there.

    Corrupted where a frame is not what was written; FileNotFoundError if the segment is gone.
    """
    fd = files.open(path)
    try:
        while sequence <= upto:
            data = files.pread(fd, window, offset)
            positions, end, verdict = frame.scan(data, 0, sequence, log_id)
            if not len(positions):
                if verdict == frame.SHORT and len(data) == window:
                    window *= 4
                    continue
                raise damaged(path, sequence, offset)
            view = memoryview(data)
            for position in positions[: upto - sequence + 1].tolist():
                length, number, time, _, kind = frame.header_at(data, position)
                body = position + frame.HEADER
                yield Frame(number, time, kind, view[body : body + length])
            sequence += len(positions)
            offset += end
    finally:
        files.close(fd)


def read_frame(files: FileSystem, segment: Segment, log_id: int, sequence: int) -> Frame:
    """One frame of a segment, which must hold it. The first time in a segment not read yet, all of it is scanned."""
    if len(segment.marks) == 1 and segment.end > 2 * MARK_EVERY:
        positions, _, _ = frame.scan(read_file(files, segment.path)[: segment.written], START, segment.first, log_id)
        segment.mark(segment.first, positions.tolist())
    before, offset = segment.near(sequence)
    frames = read_frames(files, segment.path, log_id, before, offset, upto=sequence, window=2 * MARK_EVERY)
    return next(found for found in frames if found.sequence == sequence)


def read_between(files: FileSystem, segments: list[Segment], log_id: int, after: int, upto: int) -> Iterator[Frame]:
    """The frames after < sequence <= upto of several segments: from the nearest remembered position on."""
    for index, segment in enumerate(segments):
        end = segments[index + 1].first - 1 if index + 1 < len(segments) else upto
        if end <= after:
            continue
        if segment.first > upto:
            return
        sequence, offset = segment.near(max(after + 1, segment.first))
        for found in read_frames(files, segment.path, log_id, sequence, offset, upto=min(end, upto)):
            if found.sequence > after:
                yield found


def damaged(path: str, sequence: int, offset: int) -> Corrupted:
    """What to raise where a frame is not what was written."""
    return Corrupted(
        f"{path}: frame {sequence} at offset {offset} is not what was written there; restore a snapshot, "
        "or open with read_only=True to read what is whole",
        file=path,
        offset=offset,
    )
