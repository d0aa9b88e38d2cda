"""Aggregates by group and bin of time, straight off the blocks of parts: the fused fold.

    fold(parts, columns, ...) -> Folded         cells [group, bin, column]: count, low, high, total
      bin b        first_bin + b = floor(time / width); first_bin and bins: bins_of
      group        of each series that is asked for: a map over series, not over rows

The work is in _native/tsfold.pyx, one call a part. Here cold blocks that it would decode are warmed first (a dry run
says which), and the answers get the semantics of SQL: NaN is greater than any number, and a total with NaN is NaN.

Parts must be disjoint (merge.disjoint): a row that two parts know would count twice.

Invariants: equal to decoding all rows and folding them with numpy; sums of doubles to 1e-9, all else exactly.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from engines._native import tsfold
from engines.timeseries import codec
from engines.timeseries.part import Part
from engines.timeseries.schema import MeasureType

CELL: Final = np.dtype(
    [("count", "<i8"), ("low", "<u8"), ("high", "<u8"), ("total", "<u8"), ("upper", "<i8"), ("nans", "<i8")]
)
COUNT, LOW, HIGH, TOTAL, UPPER, NANS = range(6)  # the words of a cell
WORDS: Final = 6
WANTS: Final = {"count": 0, "min": tsfold.LOW, "max": tsfold.HIGH, "sum": tsfold.TOTAL, "avg": tsfold.TOTAL}
AGES: Final = -(2**63), 2**63 - 1  # before and after all times


@dataclass(slots=True)
class Counters:
    """What a fold has touched: blocks of columns, but for `pruned`, which are blocks of times."""

    pruned: int = 0
    summarised: int = 0  # answered without their bytes
    in_lanes: int = 0  # folded without being decoded
    decoded: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """Cells of every group, bin and column asked for. Where count is 0 the other answers mean nothing."""

    cells: npt.NDArray[np.uint64]  # [group, bin, column, word]: plain words, for views of records cost more than sums
    types: tuple[MeasureType, ...]
    counters: Counters = field(default_factory=Counters)

    def count(self, column: int) -> npt.NDArray[np.int64]:
        """How many values there are: int64 [group, bin]. Of column 0 (TIME): how many rows."""
        return self.cells[:, :, column, COUNT].view(np.int64)

    def low(self, column: int) -> npt.NDArray[Any]:
        """The least value; of doubles NaN where all are."""
        values = self._typed(LOW, column)
        if self.types[column] != "double" or not np.count_nonzero(nans := self._nans(column)):
            return values
        return np.where(nans == self.count(column), np.nan, values)

    def high(self, column: int) -> npt.NDArray[Any]:
        """The greatest value; of doubles NaN where one is."""
        return self._with_nan(HIGH, column)

    def total(self, column: int) -> npt.NDArray[Any]:
        """The sum; of whole numbers modulo 2^64: see overflows."""
        return self._with_nan(TOTAL, column)

    def overflows(self, column: int) -> npt.NDArray[np.bool_]:
        """Where a total of whole numbers does not fit 64 bits."""
        upper = self.cells[:, :, column, UPPER].view(np.int64)
        return np.asarray(upper != self.cells[:, :, column, TOTAL].view(np.int64) >> 63)

    def mean(self, column: int) -> npt.NDArray[np.float64]:
        """The total / count, exact to the last bits for whole numbers of any size; NaN where there is none."""
        if self.types[column] == "double":
            total = self.total(column)
        else:
            lower = self.cells[:, :, column, TOTAL].astype(np.float64)
            upper = self.cells[:, :, column, UPPER].view(np.int64).astype(np.float64)
            whole = self._typed(TOTAL, column).astype(np.float64)
            total = np.where(self.overflows(column), upper * 2.0**64 + lower, whole)
        count = self.count(column)
        mean: npt.NDArray[np.float64] = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        return mean

    def _with_nan(self, word: int, column: int) -> npt.NDArray[Any]:
        values = self._typed(word, column)
        if self.types[column] != "double" or not np.count_nonzero(nans := self._nans(column)):
            return values
        return np.where(nans > 0, np.nan, values)

    def _nans(self, column: int) -> npt.NDArray[np.int64]:
        return self.cells[:, :, column, NANS].view(np.int64)

    def _typed(self, word: int, column: int) -> npt.NDArray[Any]:
        kind = np.float64 if self.types[column] == "double" else np.int64
        return self.cells[:, :, column, word].view(kind)


def bins_of(low: int, high: int, width: int) -> tuple[int, int]:
    """(first_bin, bins) of the times low ... high, both included; width in nanoseconds, 0: all is one bin."""
    if width == 0 or high < low:
        return 0, 1
    return low // width, high // width - low // width + 1


def fold(
    parts: Sequence[Part],
    columns: Sequence[int],
    types: Sequence[MeasureType],
    aggregates: Sequence[str] = ("count", "min", "max", "sum"),
    *,
    series: npt.NDArray[np.int32] | None = None,
    groups: npt.NDArray[np.int32] | None = None,
    group_count: int = 1,
    low: int | None = None,
    high: int | None = None,
    width: int = 0,
    first_bin: int = 0,
    bins: int = 1,
) -> Folded:
    """Fold disjoint parts. columns: ids (0: the time, whose count is that of rows), types: of each.

    series: sorted numbers, None: all, in one group. groups: of each of them, 0 ... group_count - 1. low, high: rows at
    these times and between; width, first_bin, bins: see bins_of; rows in other bins are left out. Boolean and varchar
    columns are only counted. aggregates: of all columns, count min max sum avg; others mean nothing in the answer.

    Corrupted where a block is damaged. Takes len(cells) * 48 bytes.
    """
    low, high = AGES[0] if low is None else low, AGES[1] if high is None else high
    empty, wanted, want, places = _layout(tuple(columns), tuple(types), tuple(aggregates))
    cells = np.empty((group_count, bins, *empty.shape), np.uint64)
    cells[:] = empty
    series = None if series is None else np.ascontiguousarray(series, np.int32)
    groups = None if groups is None else np.ascontiguousarray(groups, np.int32)
    counters = np.zeros(tsfold.COUNTERS, np.int64)
    for part in parts:
        if part.low > high or part.high < low:
            continue
        of_each = groups
        if of_each is None or series is None:
            of_each = np.zeros(len(part.series if series is None else series), np.int32)
        span = low, high, width, first_bin, bins
        _fold_part(part, _Asked(series, of_each, wanted, want, span, cells.view(np.uint8).reshape(-1)), counters)
    if places is not None:
        cells = cells[:, :, places]
    return Folded(cells, tuple(types), Counters(*counters[: tsfold.FOUND].tolist()))


@functools.lru_cache(256)
def _layout(
    columns: tuple[int, ...], types: tuple[MeasureType, ...], aggregates: tuple[str, ...]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint16], int, list[int] | None]:
    """What a query that comes again asks again. Not to be changed.

    The words of an empty cell of each column, the ids in order, what is wanted of them, and the place of each column in
    that order (None: as it is).
    """
    order = sorted(set(columns))
    kinds = dict(zip(columns, types, strict=True))
    empty = np.zeros(len(order), CELL)
    for place, column in enumerate(order):
        double = kinds[column] == "double"
        empty["low"][place] = np.float64(np.inf).view(np.uint64) if double else np.uint64(2**63 - 1)
        empty["high"][place] = np.float64(-np.inf).view(np.uint64) if double else np.uint64(2**63)
    want = 0
    for aggregate in aggregates:
        want |= WANTS[aggregate]
    places = None if order == list(columns) else [order.index(column) for column in columns]
    return empty.view(np.uint64).reshape(len(order), WORDS), np.array(order, np.uint16), want, places


class _Asked(NamedTuple):
    """The kernel's arguments between the part's and the counters."""

    series: npt.NDArray[np.int32] | None
    groups: npt.NDArray[np.int32]
    columns: npt.NDArray[np.uint16]
    want: int
    span: tuple[int, int, int, int, int]  # low, high, width, first_bin, bins
    cells: npt.NDArray[np.uint8]


def _fold_part(part: Part, asked: _Asked, counters: npt.NDArray[np.int64]) -> None:
    if part.tier != "magnetic":
        _call(part, asked, counters)
        return
    # An item a block, but only those that are looked at are ever touched: memory of zeros is not there before.
    picked, places = np.zeros(len(part.blocks), np.uint32), np.empty(len(part.blocks), np.uint32)
    found = np.zeros(tsfold.COUNTERS, np.int64)
    _call(part, asked, found, picked=picked, places=places)
    count = int(found[tsfold.FOUND])
    if not count:
        _call(part, asked, counters)
        return
    warm, owner = codec.warm(part.blocks[places[:count]])
    _call(part, asked, counters, picked=picked, places=places, warm=warm.view(np.uint8))
    del owner  # until here it kept alive what the warm blocks point to


def _call(
    part: Part,
    asked: _Asked,
    counters: npt.NDArray[np.int64],
    *,
    picked: npt.NDArray[np.uint32] | None = None,
    places: npt.NDArray[np.uint32] | None = None,
    warm: npt.NDArray[np.uint8] | None = None,
) -> None:
    damaged = tsfold.fold_part(
        part.series,
        part.starts,
        part.columns,
        part.firsts,
        part.blocks.view(np.uint8),
        asked.series,
        asked.groups,
        asked.columns,
        asked.want,
        *asked.span,
        asked.cells,
        counters,
        picked,
        places,
        warm,
    )
    codec.check(part.blocks, damaged, part.blob)
