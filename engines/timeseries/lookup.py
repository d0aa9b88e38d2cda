"""Which of some rows are there already, and what they say: the question behind every verdict.

Only rows that are not later than all of their series are looked for, so an ordinary batch asks nothing. The rest is
looked for run by run and blob by blob, the one that is right first. In a part the blocks of times say what stretch
they cover; only those that a wanted row falls into are decoded, and of the values only the blocks that were hit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engines._native import tsmerge
from engines.timeseries import codec, merge
from engines.timeseries.memory import Run
from engines.timeseries.part import TIME, VERSION_OF, Part
from engines.timeseries.rows import Column, Rows, is_version

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Wanted rows that a source has: which of those asked for, and what it says of them."""

    which: Index
    rows: Rows


def hits(
    sources: Sequence[Run | Part],
    series: npt.NDArray[np.int32],
    times: Index,
    type_of: merge.TypeOf,
    measure: int | None = None,
) -> Iterator[Hits]:
    """What the sources say of these rows, the one that is right (the last) first.

    measure: of single-measure records: only sources that have this measure of a row know it.
    """
    left = np.arange(len(times))
    columns = None if measure is None else (measure, VERSION_OF | measure)
    for source in reversed(sources):
        if not len(left):
            return
        found = _in(source, series[left], times[left], type_of, columns)
        if found is None:
            continue
        which, rows = left[found.which], found.rows
        if measure is not None:
            column = rows.columns.get(measure)
            if column is None:
                continue
            if column.valid is not None:
                there = np.flatnonzero(column.valid)
                which, rows = which[there], rows.take(there)
        yield Hits(which, rows)
        left = np.setdiff1d(left, which, assume_unique=True)


def _in(
    source: Run | Part,
    series: npt.NDArray[np.int32],
    times: Index,
    type_of: merge.TypeOf,
    columns: tuple[int, ...] | None,
) -> Hits | None:
    if isinstance(source, Run):
        if source.rows is not None:
            return _in_rows(source, source.rows, series, times)
        source = source.part()
    return _in_part(source, series, times, type_of, columns)


def _in_rows(run: Run, rows: Rows, series: npt.NDArray[np.int32], times: Index) -> Hits | None:
    known, starts = run.starts()
    places = np.empty(len(times), np.int64)
    if not tsmerge.locate(known, starts, rows.times, series, times, places):
        return None
    which = np.flatnonzero(places >= 0)
    which = which[rows.times[places[which]] == times[which]]
    return Hits(which, rows.take(places[which])) if len(which) else None


def _in_part(
    part: Part,
    series: npt.NDArray[np.int32],
    times: Index,
    type_of: merge.TypeOf,
    columns: tuple[int, ...] | None,
) -> Hits | None:
    inside = np.flatnonzero((times >= part.low) & (times <= part.high))
    if not len(inside):
        return None
    heads = part.starts[:-1]
    lengths = np.diff(part.firsts)
    time_blocks = part.blocks[merge.spans(part.firsts[heads], lengths[heads])]
    firsts = np.concatenate(([0], np.cumsum(lengths[heads])))
    begins = np.ascontiguousarray(time_blocks["first"]).view(np.int64)
    places = np.empty(len(inside), np.int64)
    wanted, moments = np.ascontiguousarray(series[inside]), np.ascontiguousarray(times[inside])
    if not tsmerge.locate(part.series, firsts, begins, wanted, moments, places):
        return None
    ends = np.ascontiguousarray(time_blocks["last"]).view(np.int64)
    good = places >= 0
    good[good] = moments[good] <= ends[places[good]]
    if not good.any():
        return None
    which, places, moments = inside[good], places[good], moments[good]
    hit, of_hit = np.unique(places, return_inverse=True)
    rows = time_blocks["rows"][hit].astype(np.int64)
    starts = np.concatenate(([0], np.cumsum(rows)))
    decoded = codec.decode_times(time_blocks[hit])
    at = np.empty(len(which), np.int64)
    tsmerge.locate(np.arange(len(hit), dtype=np.int32), starts, decoded, of_hit.astype(np.int32), moments, at)
    same = (at >= 0) & (decoded[at] == moments)
    if not same.any():
        return None
    which, at, of_hit = which[same], at[same], of_hit[same]
    numbers = [
        number
        for number in np.unique(part.columns).tolist()
        if number != TIME and (columns is None or number in columns)
    ]
    found = _values(part, numbers, firsts, hit, starts, at, of_hit, type_of)
    return Hits(which, Rows(series[which], times[which], found))


def _values(  # noqa: PLR0917 - where the rows stand, in all its parts
    part: Part,
    numbers: Sequence[int],
    firsts: Index,
    hit: Index,
    starts: Index,
    at: Index,
    of_hit: Index,
    type_of: merge.TypeOf,
) -> dict[int, Column]:
    """The columns of the rows at `at` of the decoded blocks `hit`, numbered through all times of the part."""
    of_series = np.searchsorted(firsts, hit, side="right") - 1
    within = hit - firsts[of_series]
    columns: dict[int, Column] = {}
    for number in numbers:
        mine = merge.chunk_by_series(part, number)[of_series]
        there = mine >= 0
        if not there.any():
            continue
        blocks = part.blocks[part.firsts[mine[there]] + within[there]]
        found = codec.decode(blocks)
        columns[number] = _placed(type_of(number), found, blocks, there, starts, at, of_hit, number)
    return columns


def _placed(  # noqa: PLR0917 - as above
    kind: Any,  # noqa: ANN401 - a measure's type
    found: codec.Decoded,
    blocks: npt.NDArray[Any],
    there: Mask,
    starts: Index,
    at: Index,
    of_hit: Index,
    number: int,
) -> Column:
    """Values of decoded blocks for the wanted rows; absent where a row's block has no such column."""
    offsets = np.full(len(there), -1, np.int64)
    offsets[there] = np.concatenate(([0], np.cumsum(blocks["rows"].astype(np.int64))))[:-1]
    places = np.where(there[of_hit], offsets[of_hit] + at - starts[of_hit], -1)
    mask = places >= 0
    data = found.data[np.where(mask, places, 0)]
    valid = mask.astype(np.uint8)
    if found.valid is not None:
        valid &= found.valid[np.where(mask, places, 0)]
    if is_version(number):
        return Column("bigint", np.where(valid.view(np.bool_), data, 1))
    return Column(kind, data, None if valid.all() else valid, found.words)
