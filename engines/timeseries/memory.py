"""What of a tile is in memory only: runs of rows, until a checkpoint makes blobs of them.

    fresh    [ 64,000 ][ 16,000 ][ 1,000 ][ 40 ]    later than all rows of their series before: no two overlap
    late     [ 2,000 ][ 100 ][ 1 ]                   older rows and new versions; a later run is right about a row

A write adds a run: its rows, sorted by series and time. Two neighbours of which the older is at most twice as long are
merged, so there are few runs (a logarithm of the rows) and a row is copied few times (the same). That is the memtable
of a log-structured merge tree (O'Neil et al., "The Log-Structured Merge-Tree", Acta Informatica 1996), as a list.

A run begins as plain arrays. Where it has rows enough for whole blocks of each series it is encoded: a tenth of the
bytes, and no slower to read. A large batch is encoded before it comes here, for the journal: those very bytes serve.

The first reader after a late write folds the late runs in, and pays for the blocks that they touch; the next finds
fresh runs only.

Readers take the runs as they are; both lists are replaced in one step, never changed. So nobody waits for a query.

Simpler than the service: no buffer a series that grows row by row. A buffer of hundreds of thousands of series with
ten columns each would cost more in objects than in rows.

Invariants: rows come out as they went in. Runs in `fresh` are disjoint, and in order of time for each series.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from engines.timeseries import merge
from engines.timeseries.part import Part
from engines.timeseries.rows import Rows, joined

ENCODE_ABOVE: Final = 512  # rows a series on average: blocks are then half full at least
MOST_PLAIN: Final = 1 << 20  # rows of a run of plain arrays
MOST_PARTS: Final = 8  # after late rows were folded in


class Run:
    """Rows that came together, or were merged since: sorted, as arrays, as a part, or both."""

    __slots__ = ("_part", "_starts", "length", "rows")

    def __init__(self, rows: Rows | None, part: Part | None = None) -> None:
        self.rows = rows
        self.length = len(rows) if rows is not None else part.rows if part is not None else 0
        self._part = part
        self._starts: tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]] | None = None

    def part(self) -> Part:
        """As readers want it."""
        if self._part is None:
            assert self.rows is not None  # noqa: S101 - one of the two is there
            self._part = merge.raw_part(self.rows)
        return self._part

    def as_rows(self, type_of: merge.TypeOf) -> Rows:
        """As merging wants it."""
        if self.rows is not None:
            return self.rows
        assert self._part is not None  # noqa: S101 - one of the two is there
        return merge.rows_of(self._part, type_of)

    def starts(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Of plain rows: which series there are, and where each begins."""
        if self._starts is None:
            assert self.rows is not None  # noqa: S101 - asked of plain rows only
            series, starts, _, _ = merge.cuts_of(self.rows.series)
            self._starts = series, starts
        return self._starts


class MemoryTile:
    """See the module's text. Changed under the table's lock; read without."""

    def __init__(self) -> None:
        self._state: tuple[list[Run], list[Run]] = [], []  # fresh and late: in one step, or a reader would miss rows

    @property
    def late(self) -> list[Run]:
        """Runs of rows that may lie between others, or over them."""
        return self._state[1]

    @property
    def rows(self) -> int:
        """Rows in memory, repeats counted."""
        return sum(run.length for run in self.runs())

    def runs(self) -> list[Run]:
        """All runs; of two that know a row the later one is right."""
        fresh, late = self._state
        return [*fresh, *late]

    def add(self, rows: Rows | None, part: Part | None, type_of: merge.TypeOf) -> None:
        """Rows that are later than all of their series. part: the same, encoded."""
        fresh, late = self._state
        if part is not None and part.rows >= ENCODE_ABOVE * len(part.series):
            fresh = [*fresh, Run(None, part)]
        else:
            fresh = _settled([*fresh, Run(rows, part if rows is None else None)], joined_in_order, type_of)
        self._state = fresh, late

    def add_late(self, rows: Rows | None, part: Part | None, type_of: merge.TypeOf, singles: merge.Mask) -> None:
        """Rows that may be there already, or lie between others. singles: as they are now, by series."""

        def merging(runs: Sequence[Rows]) -> Rows:
            return merge.merged(runs, singles)

        fresh, late = self._state
        self._state = fresh, _settled([*late, Run(rows, part)], merging, type_of)

    def fold(self, type_of: merge.TypeOf, singles: merge.Mask) -> None:
        """Put late rows in their places among the others, so that no later reader has to."""
        parts = merge.disjoint([run.part() for run in self.runs()], type_of, singles, encode=True)
        if len(parts) > MOST_PARTS:
            parts = [merge.combined(parts, type_of)]
        self._state = [Run(None, part) for part in parts], []


def joined_in_order(runs: Sequence[Rows]) -> Rows:
    """Fresh runs as one: each series' rows of the first, then those of the second."""
    rows = joined(runs)
    return rows.take(np.argsort(rows.series, kind="stable"))


def _settled(runs: list[Run], merging: Callable[[Sequence[Rows]], Rows], type_of: merge.TypeOf) -> list[Run]:
    """Merge the last two as long as the older is not much longer; encode what has become long enough."""
    while len(runs) > 1 and _mergeable(runs[-2]) and runs[-2].length <= 2 * runs[-1].length:
        rows = merging([run.as_rows(type_of) for run in runs[-2:]])
        runs = [*runs[:-2], Run(rows)]
    last = runs[-1]
    if last.rows is not None and (last.length >= MOST_PLAIN or last.length >= ENCODE_ABOVE * len(last.starts()[0])):
        runs = [*runs[:-1], Run(None, merge.encoded_part(last.rows))]
    return runs


def _mergeable(run: Run) -> bool:
    return run.length < MOST_PLAIN and (run.rows is not None or run.length < ENCODE_ABOVE * len(run.part().series))
