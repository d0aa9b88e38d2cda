"""What a Log finds when it opens: the end of what was written, and whether a broken frame is a crash or damage.

    last segment    good frames ... | zeros                      the end
                    good frames ... | broken | anything          a torn tail: cut off here
                    good frames ... | broken | ... good, vouching    damage: open read-only, name the place
                    header broken, zeros behind it               it was being born: removed, and so are several in a row
    other segments  anything but good frames, then zeros         damage: they were synced before the next one began

A good frame vouches for the broken one if its sequence minus its lag reaches it: when it was written, the broken one
was known to be on disk. Only bytes that a sync covers may be used, and after a kill -9 the bytes read here, and the
name of their file, may be in the page cache alone: so the last segment and the folder are synced before anything is
made of them.
"""

from dataclasses import dataclass, field

from engines._native import frame
from engines.display import Problem, Report
from engines.errors import Corrupted
from engines.storage.files import FileSystem, read_file
from engines.storage.segment import (
    DATA,
    START,
    Segment,
    decode_header,
    read_frames,
)


@dataclass(slots=True)
class Recovered:
    """What was found: the segments, and the last good frame."""

    log_id: int = 0
    segments: list[Segment] = field(default_factory=list)
    last: int = 0
    time: int = 0
    last_kind: int = DATA
    damage: Corrupted | None = None


def recover(files: FileSystem, path: str, *, recovered_to: int, read_only: bool) -> Recovered:
    """Read the segments that may hold frames after recovered_to, cut off a torn tail (unless read_only), sync.

    Corrupted if frames up to recovered_to are missing; read_only only notes that as damage: what is whole can be read.
    """
    found = Recovered()
    try:
        _recover(files, path, found, recovered_to=recovered_to, read_only=read_only)
    except BaseException:
        for segment in found.segments:
            segment.close(files)
        raise
    return found


def _recover(files: FileSystem, path: str, found: Recovered, *, recovered_to: int, read_only: bool) -> None:
    names = [name for name in files.listdir(path) if name.endswith(".log") and name[:-4].isdigit()]
    _read_headers(files, path, names, found, read_only=read_only)
    segments = found.segments
    if not segments:
        if recovered_to and found.damage is None:
            _note_or_raise(
                found, path, 0, f"is empty, but frames up to {recovered_to} were applied", read_only=read_only
            )
        return
    begin = max((i for i, segment in enumerate(segments) if segment.first <= recovered_to + 1), default=0)
    found.last = segments[begin].first - 1
    if recovered_to and found.last > recovered_to:
        what = f"begins at {found.last + 1}, but only frames up to {recovered_to} were applied"
        _note_or_raise(found, path, 0, what, read_only=read_only)
    behind, found.damage = found.damage, None  # a header behind these segments; what they hold is good all the same
    for index in range(begin, len(segments)):
        final = index + 1 == len(segments)
        _scan_segment(files, segments[index], found, final=final and behind is None, read_only=read_only)
        if found.damage is not None:
            del segments[index + 1 :]
            break
        if not final and found.last != segments[index + 1].first - 1:
            found.damage = _gap(segments[index + 1], found.last)
            del segments[index + 1 :]
            break
    found.damage = found.damage or behind
    if found.last < recovered_to:
        what = f"ends at {found.last}, but frames up to {recovered_to} were applied"
        _note_or_raise(found, path, segments[-1].end, what, read_only=read_only)
    if not found.time and begin:
        previous = segments[begin - 1]
        for last in read_frames(
            files, previous.path, found.log_id, previous.first, START, upto=segments[begin].first - 1
        ):
            found.time = last.time


def _note_or_raise(found: Recovered, path: str, offset: int, what: str, *, read_only: bool) -> None:
    found.damage = found.damage or Corrupted(f"the log {path} {what}: restore a snapshot", file=path, offset=offset)
    if not read_only:
        raise found.damage


def _gap(segment: Segment, last: int) -> Corrupted:
    return Corrupted(
        f"{segment.path}: frames {last + 1} to {segment.first - 1} are missing before this segment; restore a snapshot",
        file=segment.path,
        offset=0,
    )


def _read_headers(files: FileSystem, path: str, names: list[str], found: Recovered, *, read_only: bool) -> None:
    if not read_only:
        files.fsync_dir(path)  # whoever was killed while making the last segment has not synced its name
    for position, name in enumerate(names):
        file = f"{path}/{name}"
        fd = files.open(file)
        try:
            size = files.size(fd)
            header = decode_header(files.pread(fd, START, 0))
        finally:
            files.close(fd)
        if header is None or header[1] != int(name[:-4]) or (found.segments and header[0] != found.log_id):
            unborn = [f"{path}/{later}" for later in names[position:]]  # more than one, if much was taken at once
            if all(frame.only_zeros(read_file(files, later), START) for later in unborn):
                if not read_only:  # the crash came while they were being made: no frame was ever written to them
                    for later in reversed(unborn):  # from the end: a crash in between leaves no gap
                        files.unlink(later)
                    files.fsync_dir(path)
                return
            found.damage = Corrupted(
                f"{file}: the segment's header is not what was written there; restore a snapshot", file=file, offset=0
            )
            return
        found.log_id = header[0]
        buffer = frame.FrameBuffer(found.log_id)
        found.segments.append(
            Segment(header[1], file, -1, size, size, size, buffer, born=True, marks=[(header[1], START)])
        )


def _scan_segment(files: FileSystem, segment: Segment, found: Recovered, *, final: bool, read_only: bool) -> None:
    """Find the segment's end and take its last frame into `found`; cut a torn tail; note damage."""
    data = read_file(files, segment.path)
    positions, end, _ = frame.scan(data, START, found.last + 1, found.log_id)
    offsets = positions.tolist()
    segment.mark(found.last + 1, offsets)
    if offsets:
        _, found.last, found.time, _, found.last_kind = frame.header_at(data, offsets[-1])
    segment.end = segment.written = end
    torn = not frame.only_zeros(data, end)
    if torn and (not final or frame.find_voucher(data, end + 8, found.last + 1, found.log_id) >= 0):
        found.damage = Corrupted(
            f"{segment.path}: frame {found.last + 1} at offset {end} was on disk once and is damaged now; restore a "
            "snapshot, or open with read_only=True to read what is whole",
            file=segment.path,
            offset=end,
        )
        return
    if final and not read_only:
        segment.fd = files.open(segment.path)
        if torn:
            files.truncate(segment.fd, end)
            segment.reserved = end
        files.fdatasync(segment.fd)


def examine(files: FileSystem, segments: list[Segment], log_id: int, last: int, damage: Corrupted | None) -> Report:
    """Walk every byte of every segment: headers, frames up to `last`, nothing but zeros after the end of each."""
    problems = []
    checked = 0
    for index, segment in enumerate(segments):
        if not segment.born:
            continue  # nothing was written to it yet
        final = index + 1 == len(segments) or not segments[index + 1].born
        data = read_file(files, segment.path)
        checked += len(data)
        if decode_header(data[:START]) != (log_id, segment.first):
            problems.append(Problem(segment.path, 0, "the header is not what was written"))
            continue
        upto = last if final else segments[index + 1].first - 1
        positions, end, _ = frame.scan(data, START, segment.first, log_id)
        reached = segment.first + len(positions) - 1
        if reached < upto:
            problems.append(Problem(segment.path, end, f"frame {reached + 1} is not what was written"))
        elif not final and not frame.only_zeros(data, end):
            problems.append(Problem(segment.path, end, "bytes stand after the last frame"))
    if damage is not None and not any(problem.file == damage.file for problem in problems):
        problems.append(
            Problem(
                str(damage.file),
                int(str(damage.offset)),
                "what follows here was on disk once, and is damaged or missing",
            )
        )
    return Report(checked, problems, "bytes")
