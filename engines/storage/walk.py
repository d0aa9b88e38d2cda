"""Walking every frame of a log, also behind damage: for who has to say what is lost, not only that something is.

A reader stops at the first frame that is not what was written; an audit goes on. Where the broken frame's length leads
to a good one that is numbered next, only its own bytes are wrong, and they are shown. Else the next good frame is
looked for, at every multiple of 8.
"""

from collections.abc import Iterator
from typing import NamedTuple

from engines._native import frame
from engines.storage.files import FileSystem, disk_errors, read_file
from engines.storage.segment import START, Segment, decode_header


class Walked(NamedTuple):
    """One frame as it lies there. payload is None where nobody can say where it ends; wrong says what is wrong."""

    path: str
    offset: int  # where its payload begins in the file, or where what is wrong begins
    sequence: int
    kind: int
    payload: memoryview | None
    wrong: str = ""


def walk(files: FileSystem, segments: list[Segment], log_id: int, last: int) -> Iterator[Walked]:
    """All frames up to `last`, oldest first, good and broken; a broken header has sequence 0."""
    born = [segment for segment in segments if segment.born]
    for index, segment in enumerate(born):
        final = index + 1 == len(born)
        upto = last if final else born[index + 1].first - 1
        with disk_errors(f"{segment.path} cannot be read"):
            data = read_file(files, segment.path)
        if decode_header(data[:START]) != (log_id, segment.first):
            yield Walked(segment.path, 0, 0, 0, None, "the segment's header is not what was written")
        yield from _walk(segment.path, data, segment.first, upto, log_id, final=final)


def _walk(path: str, data: bytes, expected: int, upto: int, log_id: int, *, final: bool) -> Iterator[Walked]:
    view = memoryview(data)
    at = START
    while expected <= upto:
        positions, at, _ = frame.scan(data, min(at, len(data)), expected, log_id)
        for position in positions[: upto - expected + 1].tolist():
            length, sequence, _, _, kind = frame.header_at(data, position)
            body = position + frame.HEADER
            yield Walked(path, body, sequence, kind, view[body : body + length])
        expected += len(positions)
        if expected > upto:
            break
        start = at
        at, payload = _behind(data, at, expected, log_id)
        if at < 0:
            yield Walked(path, start, expected, 0, None, _lost(expected, upto))
            return
        found = frame.header_at(data, at)[1]
        if payload is not None:
            body = start + frame.HEADER
            kind = frame.header_at(data, start)[4]
            yield Walked(path, body, expected, kind, view[body : body + payload], "the frame's checksum is wrong")
        else:
            yield Walked(path, start, expected, 0, None, _lost(expected, found - 1))
        expected = found
    if not final and not frame.only_zeros(data, at):  # at the end of the last one others may be writing
        yield Walked(path, at, 0, 0, None, "bytes stand after the last frame")


def _lost(first: int, last: int) -> str:
    """What is wrong where these frames should be."""
    which = f"frame {first} is" if first == last else f"frames {first} to {last} are"
    return f"{which} not what was written"


def _behind(data: bytes, at: int, expected: int, log_id: int) -> tuple[int, int | None]:
    """Where a good frame stands behind a broken one, -1 for none; how long the payload of that is, if known."""
    if at + frame.HEADER <= len(data):
        length = frame.header_at(data, at)[0]
        after = _end(at, length)
        if after <= len(data) and _good_at(data, after, expected + 1, log_id):
            return after, length
    return frame.find_voucher(data, at + 8, expected + 1, log_id, any_later=True), None


def _good_at(data: bytes, at: int, sequence: int, log_id: int) -> bool:
    """Whether a good frame of this number stands there."""
    if at + frame.HEADER > len(data):
        return False
    end = _end(at, frame.header_at(data, at)[0])
    return len(frame.scan(memoryview(data)[at:end], 0, sequence, log_id)[0]) == 1


def _end(at: int, length: int) -> int:
    """Where a frame ends that begins there, its payload of so many bytes filled up to a multiple of 8."""
    return at + ((frame.HEADER + length + 7) & ~7)
