"""A fold in one run: its predicates bound, its series put into groups, its cube made and read.

    predicates ──> series, low, high      series ──> groups      parts ──> cube [group, bin] ──> cells that have rows

Grouping by dimensions is a map over series, not over rows: series -> group. Bins are counted from the first to the last
that may hold rows, so what comes out is a cube; its empty cells are dropped. A large one is made stretch by stretch.
Where it would have far more cells than there are rows, Sparse is raised, and the plan without the fold is run.

Rows come by group, in the order in which the groups' first series appeared, then by time.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines.sql.column import Batch, Column, gather, nulls
from engines.sql.logical import Bound, Expression
from engines.sql.source import Field, Partition, Placement, Predicate, Scanned, Schema, Statistics, Support
from engines.sql.types import TIMESTAMP_NS
from engines.timeseries import newest
from engines.timeseries.cube import Cube, Groups, Stretch, folded
from engines.timeseries.functions import Refused
from engines.timeseries.fused import Fold, FoldedCall
from engines.timeseries.part import TIME, Part
from engines.timeseries.scan import Reading, TimeSource
from engines.timeseries.selection import Selection, select

CELLS: Final = 1 << 22  # of one cube
SPARSE: Final = 64  # cells for each row at most
FEW: Final = 1 << 16  # cells that are always worth it
Index = npt.NDArray[np.int64]
Values = npt.NDArray[Any]
Bounds = Mapping[int | str, Any]  # of a run


class Sparse(Exception):
    """The cube would be mostly empty."""


@dataclass(frozen=True, slots=True)
class Needed:
    """What of the parts a fold needs, for one choice of single measures: arguments of each call, and all of them."""

    arguments: tuple[tuple[int, ...], ...]
    asked: Mapping[int, frozenset[str]]
    counted: tuple[int, ...]  # columns whose values are the rows


class Folding:
    """A TableSource of a fold in one run: its rows are groups. values: of the run."""

    placement: Placement | None = None

    def __init__(self, fold: Fold, reading: Reading, values: Bounds) -> None:
        self.fold = fold
        self.reading = reading
        self.values = values
        self.name = f"fold of {fold.table}"
        self.most: int | None = None  # rows that are wanted

    def schema(self) -> Schema:
        return tuple(Field(id, type) for id, type in self.fold.types.items())

    def version(self) -> Hashable:
        return self.reading.version()

    def statistics(self) -> Statistics:
        return Statistics()

    def support(self, predicate: Predicate) -> Support:
        del predicate
        return Support.NONE

    def partitions(self, predicates: Sequence[Predicate], scanned: Scanned) -> Sequence[Partition]:
        del predicates, scanned
        return [Partition("fold", 1)]

    def scan(
        self, partition: Partition, columns: Sequence[str], predicates: Sequence[Predicate], scanned: Scanned
    ) -> Iterator[Batch]:
        del partition, columns, predicates, scanned
        yield from self.batches()

    def batches(self) -> Iterator[Batch]:
        """The groups, keyed by id. The last batch may hold more bins than are wanted."""
        fold, reading = self.fold, self.reading
        source = reading.source
        predicates = self._bound()
        if predicates is None:
            wanted = Selection(0, -1, None, multi=False, singles=(), bounds=())
        else:
            wanted = select(source.table, reading.columns, predicates)
        parts = reading.parts(wanted)
        if not parts:
            if not fold.grouped:
                yield self._batch(None, wanted, np.zeros(1, np.int64), 0)
            return
        groups = grouping(source, fold, wanted)
        if fold.latest:
            yield newest.batch(fold, reading, parts, wanted, groups)
            return
        yield from self._cubes(parts, wanted, groups)

    def _bound(self) -> list[Predicate] | None:
        """The predicates with the values of this run; None where one can never be true."""
        bound = []
        for one in self.fold.predicates:
            value = one.value
            if isinstance(value, Bound):
                value = self.values[value.name]
            elif isinstance(value, tuple):
                value = tuple(self.values[each.name] if isinstance(each, Bound) else each for each in value)
                value = tuple(each for each in value if each is not None)
            elif value is one.value:
                bound.append(one)
                continue
            if value is None or value == ():
                return None
            bound.append(Predicate(one.column, one.op, value))
        return bound

    # ---- cubes

    def _cubes(self, parts: list[Part], wanted: Selection, groups: Groups) -> Iterator[Batch]:
        fold, reading = self.fold, self.reading
        asked = self._columns(wanted).asked
        low = max(wanted.low, min([part.low for part in parts]))
        high = min(wanted.high, max([part.high for part in parts]))
        if fold.bin is None:
            cube = folded(reading, parts, groups, asked, Stretch(low, high))
            yield self._batch(cube, wanted, groups.representatives, 0)
            return
        width = fold.bin[1]
        first, last = low // width, high // width
        cells = groups.count * (last - first + 1)
        if cells > FEW and cells > SPARSE * sum(part.rows for part in parts):
            raise Sparse
        most = self.most
        step = CELLS if most is None else 2 * most
        step = max(step // max(groups.count, 1), 1)
        starts = range(first, last + 1, step)
        if fold.few is not None and fold.few[0]:
            starts = starts[::-1]
        rows = 0
        for start in starts:
            stop = min(start + step, last + 1)
            stretch = Stretch(max(low, start * width), min(high, stop * width - 1), width, start, stop - start)
            cube = folded(reading, parts, groups, asked, stretch)
            batch = self._batch(cube, wanted, groups.representatives, start)
            rows += batch.rows
            if batch.rows:
                yield batch
            if most is not None and rows >= most:
                return

    def _columns(self, wanted: Selection) -> Needed:
        key = wanted.multi, wanted.singles
        known = self.fold.kept.get(key)
        if known is None:
            columns = self.reading.columns
            arguments = tuple(
                () if call.argument is None else tuple(call.argument.ids(columns, wanted)) for call in self.fold.calls
            )
            counted = tuple(one.id for one in wanted.singles) if columns.singles else (TIME,)
            asked = dict.fromkeys(counted, frozenset({"count"}))
            for call, ids in zip(self.fold.calls, arguments, strict=True):
                for id in ids:
                    asked[id] = asked.get(id, frozenset()) | {call.function}
            known = self.fold.kept[key] = Needed(arguments, asked, counted)
        found: Needed = known
        return found

    def _batch(self, cube: Cube | None, wanted: Selection, representatives: Index, first: int) -> Batch:
        """The cells that have rows, as columns."""
        fold = self.fold
        columns = self._columns(wanted)
        if cube is None:
            rows, bins = np.zeros(1, np.int64), 1
        else:
            counted = cube.counted(columns.counted)
            rows, bins = counted.reshape(-1), counted.shape[1]
        at: Index | None = None  # all cells
        if fold.grouped and np.count_nonzero(rows) < len(rows):
            at = np.flatnonzero(rows)
        cells = np.arange(len(rows)) if at is None else at
        made: dict[str, Any] = {}
        for id, name in fold.dimensions:
            series = representatives[cells // bins].astype(np.int32)
            made[id] = gather(self.reading.source.by_series(name), series)
        if fold.bin is not None:
            times = (cells if len(representatives) == 1 else cells % bins) + first
            times *= fold.bin[1]
            made[fold.bin[0]] = Column(TIMESTAMP_NS, times)
        for call, ids in zip(fold.calls, columns.arguments, strict=True):
            made[call.id] = finished(call, cube, ids, rows, at)
        self.reading.touched.rows += len(cells)
        return Batch(made, len(cells))


def finished(call: FoldedCall, cube: Cube | None, ids: Sequence[int], rows: Index, at: Index | None) -> Column:
    """A call's column, of the cells `at`; None: of all."""
    if call.argument is None:
        return Column(call.type, chosen(rows, at))
    if cube is None or not ids:
        count = len(chosen(rows, at))
        return Column(call.type, np.zeros(count, np.int64)) if call.function == "count" else nulls(call.type, count)
    counts = chosen(cube.counted(ids), at)
    if call.function == "count":
        return Column(call.type, counts)
    if call.function in {"min", "max"}:
        found = chosen(cube.extreme(ids, call.function), at)
    elif call.function == "avg":
        found = chosen(cube.mean(ids), at)
    else:
        sums, wrong = cube.summed(ids)
        found = chosen(sums, at)
        if wrong is not None and chosen(wrong, at).any():
            message = f"the SUM of {call.argument} is out of the range of BIGINT: sum CAST({call.argument} AS DOUBLE)"
            raise Refused(message, call.position)
    if np.count_nonzero(counts) == len(counts):
        return Column(call.type, found)
    there = counts > 0
    return Column(call.type, np.where(there, found, found.dtype.type(0)), valid=there.view(np.uint8))


def chosen(values: Values, at: Index | None) -> Values:
    """The cells `at` of a cube's values."""
    flat = values.reshape(-1)  # a copy, unless it is in one piece
    return np.ascontiguousarray(flat) if at is None else flat[at]


# ---- series to groups ---------------------------------------------------------------------------------------------


def grouping(source: TimeSource, fold: Fold, wanted: Selection) -> Groups:
    """The groups of the wanted series, in order of first appearance; those of all series are kept."""
    names = tuple(name for _, name in fold.dimensions)
    if wanted.series is not None:
        return _grouped(source, names, wanted.series)
    count = len(source.table.index)
    key = f"\0groups {names}"
    known = source.kept.get(key)
    if known is None or known[0] != count:
        known = source.kept[key] = count, _grouped(source, names, np.arange(count, dtype=np.int32))
    found: Groups = known[1]
    return found


def _grouped(source: TimeSource, names: tuple[str, ...], series: npt.NDArray[np.int32]) -> Groups:
    if not names or len(series) < 2:
        first = series[:1].astype(np.int64) if len(series) else np.zeros(1, np.int64)
        return Groups(series, np.zeros(len(series), np.int32), 1, first)
    numbers = np.zeros(len(series), np.int64)
    for name in names:
        column = source.by_series(name)
        codes = column.data[series].astype(np.int64) + 1
        if column.valid is not None:
            codes = np.where(column.valid[series], codes, 0)
        _, numbers = np.unique(numbers * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
        numbers = numbers.reshape(-1)
    _, firsts, of = np.unique(numbers, return_index=True, return_inverse=True)
    order = np.argsort(firsts, kind="stable")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return Groups(series, rank[of.reshape(-1)], len(order), series[firsts[order]].astype(np.int64))


def number_of(limit: Expression, values: Bounds) -> int | None:
    """The value of a LIMIT; None where it is NULL: all rows."""
    value = values.get(limit.name) if isinstance(limit, Bound) else getattr(limit, "value", None)
    return value if isinstance(value, int) else None
