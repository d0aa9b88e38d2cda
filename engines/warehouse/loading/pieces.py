"""Text in pieces: each fast if that is possible, else with care; several side by side, their rows in order.

    file ──> pieces of 4 MB, cut where a record ends ──> fast: pyarrow, all rows of the piece, or doubt
                                                    └──> with care: record by record, what is wrong gets its line

Reading fast releases the GIL, so it is done in threads. Where nobody can tell the end of a record, or none comes for
16 MB, the rest of the file is read with care.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from engines.sql.column import Batch
from engines.warehouse.loading.streams import PIECE, Stream, lines_of
from engines.warehouse.loading.typed import REFUSALS

LONGEST: Final = 16 << 20  # bytes in which a record ends


class Format(Protocol):
    """What knows records."""

    def cut(self, data: bytes, *, last: bool) -> int | None:
        """Where the last whole record ends; 0: nowhere yet; None: nobody can tell. last: the file ends there."""
        ...

    def fast(self, piece: bytes, lines: int) -> list[Batch]:
        """The rows of a piece. One of REFUSALS if in doubt. lines: how many ends of lines there are in it."""
        ...

    def careful(self, lines: Iterator[str], first: int) -> Iterator[Batch]:
        """The rows of these lines; what is no row is rejected. first: the number of the first line."""
        ...


def in_pieces(format: Format, stream: Stream, waiting: bytes, line: int, *, threads: int) -> Iterator[Batch]:
    """All rows of a file. waiting: what was read of it; line: the number of its first line."""
    with ThreadPoolExecutor(max(threads, 1), "parse") as pool:
        jobs: deque[tuple[Future[list[Batch]], bytes, int]] = deque()
        while True:
            data = stream.read(PIECE)
            waiting += data
            cut = format.cut(waiting, last=not data)
            if cut is None or (not cut and len(waiting) > LONGEST):
                while jobs:
                    yield from _rows(format, *jobs.popleft())
                yield from format.careful(lines_of(waiting, stream), line)
                return
            if cut:
                piece, waiting = waiting[:cut], waiting[cut:]
                lines = piece.count(b"\n")
                jobs.append((pool.submit(format.fast, piece, lines), piece, line))
                line += lines or piece.count(b"\r")
            while jobs and (not data or len(jobs) > threads):
                yield from _rows(format, *jobs.popleft())
            if not data:
                return


def _rows(format: Format, job: "Future[list[Batch]]", piece: bytes, line: int) -> Iterator[Batch]:
    try:
        found = job.result()
    except REFUSALS:
        yield from format.careful(lines_of(piece, None), line)
    else:
        yield from found
