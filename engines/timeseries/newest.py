"""The newest row of each group: max_by(x, time) by dimensions, read off the last block of each series.

    part, the newest first    series 3: last block: last time, last value    ──>   known, never asked again
                              series 7: ...

The last time and the last value of a block are in its summary, so nothing is decoded, unless the block reaches beyond
the stretch of time that is asked for, or its last row has no value of the measure: then that one block is. So the cost
does not grow with history. min_by works from the other end. max(time) or min(time) may stand beside; alone: fused.py.

Of several series in a group the one with the newest row wins; of equally new ones that with the smallest number.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from engines.sql.column import Batch, Column, Dictionary, gather, nulls
from engines.sql.types import TIMESTAMP_NS
from engines.timeseries import codec, merge
from engines.timeseries.part import BLOCK_TYPE, FLAG_SUMMARY, Part
from engines.timeseries.selection import TIME_COLUMN, TYPES, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engines.timeseries.cube import Groups
    from engines.timeseries.fused import Fold, FoldedCall
    from engines.timeseries.scan import Reading

BY: Final = frozenset({"max_by", "min_by"})
OF_TIME: Final = frozenset({"max", "min"})
Index = npt.NDArray[np.int64]
NONE: Final = -1
SUMMARISED: Final = frozenset({"double", "bigint", "timestamp"})  # types whose summaries say first and last


def together(calls: "Sequence[FoldedCall]") -> bool:
    """Whether all of these are of the newest rows, or all of the oldest."""
    ends = {call.function[:3] for call in calls}
    return len(ends) == 1 and all(
        call.function in BY
        or (call.function in OF_TIME and call.argument is not None and call.argument.column == TIME_COLUMN)
        for call in calls
    )


def batch(fold: "Fold", reading: "Reading", parts: list[Part], wanted: Selection, groups: "Groups") -> Batch:
    """A row for each group that has one."""
    latest = fold.calls[0].function.startswith("max")
    times, place, block, row = found_rows(reading, parts, wanted, groups.series, latest=latest)
    have = np.flatnonzero(place >= 0)
    best = np.full(groups.count, NONE, np.int64)
    if len(have):
        rank = times[have] if latest else -times[have]
        order = np.lexsort((-groups.series[have].astype(np.int64), rank, groups.of[have]))
        of = groups.of[have][order]
        ends = np.flatnonzero(np.append(of[1:] != of[:-1], True))
        best[of[ends]] = have[order[ends]]
    chosen = best[best >= 0]
    made: dict[str, Any] = {}
    for id, name in fold.dimensions:
        made[id] = gather(reading.source.by_series(name), groups.series[chosen].astype(np.int32))
    picked = Picked(parts, groups.series[chosen], place[chosen], block[chosen], row[chosen])
    for call in fold.calls:
        if call.function in OF_TIME:
            made[call.id] = Column(TIMESTAMP_NS, times[chosen])
        else:
            assert call.argument is not None, "max_by has one"  # noqa: S101 - by construction
            measure = reading.columns.multi[call.argument.column]
            made[call.id] = picked.values(reading, measure.id, measure.type)
    rows = len(chosen)
    if not fold.dimensions and not rows:  # one group, and it has no rows
        made = {call.id: nulls(call.type, 1) for call in fold.calls}
        rows = 1
    reading.touched.rows += rows
    return Batch(made, rows)


def found_rows(
    reading: "Reading", parts: list[Part], wanted: Selection, series: npt.NDArray[np.int32], *, latest: bool
) -> tuple[Index, Index, Index, Index]:
    """For each series the time of its newest row, its part (-1: none), its block in the chunk, its row in the block."""
    count = len(series)
    times, place = np.zeros(count, np.int64), np.full(count, NONE, np.int64)
    block, row = np.zeros(count, np.int64), np.zeros(count, np.int64)
    left = np.arange(count)
    order = sorted(range(len(parts)), key=lambda i: parts[i].high if latest else -parts[i].low, reverse=True)
    for i in order:
        if not len(left):
            break
        part = parts[i]
        at = np.minimum(np.searchsorted(part.series, series[left]), len(part.series) - 1)
        here = part.series[at] == series[left]
        mine, chunks = left[here], part.starts[at[here]]
        found = _ends(reading, part, chunks, wanted, latest=latest)
        good = found[1] >= 0
        better = good & ((place[mine] < 0) | ((found[0] > times[mine]) if latest else (found[0] < times[mine])))
        hit = mine[better]
        times[hit], block[hit], row[hit], place[hit] = found[0][better], found[1][better], found[2][better], i
        coming = [parts[j] for j in order[order.index(i) + 1 :]]
        if not coming:
            break
        bound = max(one.high for one in coming) if latest else min(one.low for one in coming)
        left = left[(place[left] < 0) | ((times[left] < bound) if latest else (times[left] > bound))]
    return times, place, block, row


def _ends(
    reading: "Reading", part: Part, chunks: Index, wanted: Selection, *, latest: bool
) -> tuple[Index, Index, Index]:
    """The last row within the stretch of time of each chunk of times: time, block in the chunk (-1: none), row."""
    first, last = part.firsts[chunks], part.firsts[chunks + 1] - 1
    edge = last if latest else first
    blocks = part.blocks[edge]
    times = blocks["last" if latest else "first"].view("<i8").copy()
    number = edge - first
    row = blocks["rows"].astype(np.int64) - 1 if latest else np.zeros(len(chunks), np.int64)
    reading.touched.blocks += int((last - first + 1).sum())
    outside = np.flatnonzero((times > wanted.high) | (times < wanted.low))
    reading.touched.summarised += len(chunks) - len(outside)
    for i in outside.tolist():
        times[i], number[i], row[i] = _searched(reading, part, int(first[i]), int(last[i]), wanted, latest=latest)
    return times, number, row


def _searched(
    reading: "Reading", part: Part, first: int, last: int, wanted: Selection, *, latest: bool
) -> tuple[int, int, int]:
    """Within one chunk, block by block from its end."""
    blocks = part.blocks[first : last + 1]
    inside = (blocks["last"].view("<i8") >= wanted.low) & (blocks["first"].view("<i8") <= wanted.high)
    hits = np.flatnonzero(inside)
    for number in (hits[::-1] if latest else hits).tolist():
        times = codec.decode_times(blocks[number : number + 1])
        reading.touched.decoded += 1
        reading.touched.bytes += int(blocks["length"][number])
        start, stop = np.searchsorted(times, wanted.low), np.searchsorted(times, wanted.high, side="right")
        if start < stop:
            row = int(stop) - 1 if latest else int(start)
            return int(times[row]), number, row
    return 0, NONE, 0


class Picked:
    """Rows by their places: series, part, block of its chunks, row of the block."""

    def __init__(
        self, parts: list[Part], series: npt.NDArray[np.int32], place: Index, block: Index, row: Index
    ) -> None:
        self.parts, self.series, self.place, self.block, self.row = parts, series, place, block, row

    def values(self, reading: "Reading", column: int, kind: str) -> Column:
        """The values of a column in these rows; NULL where a row has none."""
        count = len(self.series)
        blocks = np.zeros(count, BLOCK_TYPE)
        for i in np.unique(self.place).tolist():
            part = self.parts[i]
            mine = np.flatnonzero(self.place == i)
            at = np.searchsorted(part.series, self.series[mine])
            chunks = merge.chunk_by_series(part, column)[at]
            there = chunks >= 0
            blocks[mine[there]] = part.blocks[part.firsts[chunks[there]] + self.block[mine[there]]]
        some = blocks["present"] > 0
        told = (blocks["flags"] & FLAG_SUMMARY == 0) & (kind in SUMMARISED)
        whole = some & told & (blocks["present"] == blocks["rows"])
        ends = whole & (self.row == blocks["rows"].astype(np.int64) - 1)
        starts = whole & (self.row == 0)
        reading.touched.summarised += int((ends | starts).sum())
        item = np.float64 if kind == "double" else np.int64
        valid = some.astype(np.uint8)
        if kind in SUMMARISED:
            data = np.where(ends, blocks["last"], blocks["first"]).view(item).copy()
            data[~some] = 0
        else:
            data = np.zeros(count, np.int64)
        words: tuple[str, ...] | None = None
        left = np.flatnonzero(some & ~ends & ~starts)
        if len(left):
            found = codec.decode(blocks[left])
            rows = blocks["rows"][left].astype(np.int64)
            at = np.cumsum(rows) - rows + self.row[left]
            reading.touched.decoded += len(left)
            reading.touched.bytes += int(blocks["length"][left].sum())
            data[left], words = found.data[at], found.words
            if found.valid is not None:
                valid[left] = found.valid[at]
                data[valid == 0] = 0
        type = TYPES[kind]
        present = None if valid.all() else valid
        if type.text:
            dictionary = Dictionary.of([word.encode() for word in words or ()] or [b""])
            return Column(type, data.astype(np.uint32), valid=present, words=dictionary)
        return Column(type, data.astype(np.uint8) if kind == "boolean" else data, valid=present)
