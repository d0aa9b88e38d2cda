"""Totals by group: what COUNT, SUM, AVG, MIN, MAX keep while rows pass, and the values they become.

A total is an object without data of its own: `start` makes a state with room for some groups, `add` takes a batch's
columns and group numbers, `merge` takes the state of another slice (or of a finer grouping) and says which of its
groups is which of ours, `finish` gives a column. States are arrays, so they travel.

Rows that do not count (NULL, FILTER) arrive with a group number that is nobody's: the last one there is room for.

    SUM of whole numbers   int64 as long as what has been added cannot leave it (rows * largest value is counted), then
                           moved to 128 bits, two arrays; values that are themselves too large go there at once
    SUM of doubles         compensated, two arrays: total, rest
    AVG                    the sum, divided by the count: exact, rounded half away from zero in the last place
    MIN, MAX               int64, float64; for text the best word of each group as Python's bytes

STDDEV and its kin are in moments.py, what needs a group's rows is in gathered.py; calls.py says which total a call has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from engines._native import group
from engines.sql.column import Array, Column, expand
from engines.sql.types import Type

Groups = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]
Together = tuple[Array, int, int, int, Counts]  # values, base, low, high, totals
EDGE: Final = 2**63
WORD: Final = 2**64
ZEROS: Final = np.zeros(65_536, np.uint32)  # group numbers where there is only one group


class Total(Protocol):
    """groups None in add: all rows are of group 0, and all of them count."""

    def start(self, room: int) -> Any: ...  # noqa: ANN401 - each total has a state of its own
    def grow(self, state: Any, used: int, room: int) -> None: ...  # noqa: ANN401 - see start
    def add(self, state: Any, columns: Sequence[Column], groups: Groups | None, rows: int) -> None: ...  # noqa: ANN401
    def merge(self, state: Any, other: Any, groups: Groups) -> None: ...  # noqa: ANN401 - see start
    def finish(self, state: Any, counts: Counts, type: Type, function: str) -> Column: ...  # noqa: ANN401 - see start


def grown(array: Array, used: int, room: int, fill: Any = 0) -> Array:  # noqa: ANN401 - a number
    """A longer array that begins with the first `used` items."""
    longer = (
        np.full((*array.shape[:-1], room), fill, array.dtype)
        if fill
        else np.zeros((*array.shape[:-1], room), array.dtype)
    )
    longer[..., :used] = array[..., :used]
    return longer


def numbers_of(groups: Groups | None, rows: int) -> Groups:
    """The group of each row: group 0 for all where nothing is grouped."""
    if groups is not None:
        return groups
    return ZEROS[:rows] if rows <= len(ZEROS) else np.zeros(rows, np.uint32)


def split(values: Array) -> tuple[Counts, npt.NDArray[np.uint64]]:
    """Python's whole numbers as 128 bits: high and low halves."""
    whole = values.tolist()
    high = np.array([value >> 64 for value in whole], np.int64)
    return high, np.array([value & (WORD - 1) for value in whole], np.uint64)


def joined(high: Counts, low: npt.NDArray[np.uint64]) -> Array:
    """128 bits as int64 where all of them fit, else as Python's numbers."""
    narrow = low.view(np.int64)
    if bool((high == narrow >> 63).all()):
        return narrow
    wide: Array = high.astype(object) * WORD + low.astype(object)
    return wide


def whole_column(type: Type, data: Array, counts: Counts) -> Column:
    """Whole numbers, NULL where nothing was counted. OverflowError if one is no value of the type."""
    valid = None if counts.all() else (counts != 0).astype(np.uint8)
    if valid is not None:
        data = np.where(valid != 0, data, 0)
    low, high = (int(data.min()), int(data.max())) if len(data) else (0, 0)
    limits = type.limits()
    if limits is not None and not limits[0] <= low <= high <= limits[1]:
        raise OverflowError(f"{low if low < limits[0] else high} is out of the range of {type}")
    return Column(type, data, valid=valid, low=low, high=high)


def float_column(type: Type, data: Array, counts: Counts) -> Column:
    """A column of floats, one a group; NULL for a group that counted no value."""
    valid = None if counts.all() else (counts != 0).astype(np.uint8)
    if valid is not None:
        data = np.where(valid != 0, data, 0.0)
    return Column(type, data.astype(np.float32).astype(np.float64) if type.kind == "real" else data, valid=valid)


def as_double(column: Column) -> npt.NDArray[np.float64]:
    """A number column's values as doubles, without its scale."""
    if column.type.floating:
        return column.data
    data = column.data.astype(np.float64) if column.wide else column.numbers().astype(np.float64)
    return data / 10.0**column.type.scale if column.type.scale else data


# ---- sums ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sums:
    """total (+ high, low of 128 bits, if any): the sum. bound: no total is larger."""

    totals: Counts
    bound: int = 0
    high: Counts | None = None
    low: npt.NDArray[np.uint64] | None = None


@dataclass(frozen=True, slots=True)
class SumWhole:
    """SUM and AVG of whole numbers with that scale."""

    scale: int

    def start(self, room: int) -> Sums:
        return Sums(np.zeros(room, np.int64))

    def grow(self, state: Sums, used: int, room: int) -> None:
        state.totals = grown(state.totals, used, room)
        if state.high is not None and state.low is not None:
            state.high, state.low = grown(state.high, used, room), grown(state.low, used, room)

    def add(self, state: Sums, columns: Sequence[Column], groups: Groups | None, rows: int) -> None:
        column = expand(columns[0], rows)
        if column.wide:
            self._add_halves(state, *split(column.data), numbers_of(groups, rows))
            return
        low, high = column.low, column.high
        if low is None or high is None:
            low, high = column.bounds()
            if column.data.dtype == np.int64 and rows:
                low, high = int(column.data.min()), int(column.data.max())
        more = max(abs(low), abs(high)) * rows
        if state.bound + more >= EDGE:
            high_half, low_half = self._flush(state)
            if more >= EDGE:
                group.sum_wide(column.numbers(), numbers_of(groups, rows), high_half, low_half)
                return
        state.bound += more
        if groups is None:
            state.totals[0] += group.total_whole(column.data) + column.base * rows
        else:
            group.sum_whole(column.data, column.base, groups, state.totals)

    def together(self, state: Sums, column: Column, rows: int) -> Together | None:
        """What `sums.together` needs to add the column; None if it cannot, or if 64 bits may be too few."""
        low, high = column.low, column.high
        if low is None or high is None or column.wide or column.constant or column.valid is not None:
            return None
        more = max(abs(low), abs(high)) * rows
        if state.bound + more >= EDGE:
            return None
        state.bound += more
        return column.data, column.base, low, high, state.totals

    def _flush(self, state: Sums) -> tuple[Counts, npt.NDArray[np.uint64]]:
        if state.high is None or state.low is None:
            state.high, state.low = np.zeros(len(state.totals), np.int64), np.zeros(len(state.totals), np.uint64)
        group.flush(state.totals, state.high, state.low)
        state.bound = 0
        return state.high, state.low

    def _add_halves(self, state: Sums, high: Counts, low: npt.NDArray[np.uint64], groups: Groups) -> None:
        if not group.add_wide(high, low, groups, *self._flush(state)):
            raise OverflowError("a sum has more than 38 digits")

    def merge(self, state: Sums, other: Sums, groups: Groups) -> None:
        n = len(groups)
        if other.high is not None and other.low is not None:
            self._add_halves(state, other.high[:n], other.low[:n], groups)
        if state.bound + other.bound * n >= EDGE:
            high, low = self._flush(state)
            group.sum_wide(other.totals[:n], groups, high, low)
        else:
            state.bound += other.bound * n
            group.sum_whole(other.totals[:n], 0, groups, state.totals)

    def finish(self, state: Sums, counts: Counts, type: Type, function: str) -> Column:
        n = len(counts)
        data: Array = state.totals[:n].copy()
        if state.high is not None:
            high, low = self._flush(state)
            data = joined(high[:n], low[:n])
        if type.floating:
            divisor = np.maximum(counts, 1) if function == "avg" else 1
            return float_column(type, data.astype(np.float64) / (divisor * 10.0**self.scale), counts)
        if function != "avg":
            return whole_column(
                type, data if type.scale == self.scale else data * 10 ** (type.scale - self.scale), counts
            )
        return whole_column(type, averages(data, counts, type.scale - self.scale), counts)


def averages(totals: Array, counts: Counts, places: int) -> Array:
    """Totals / counts with that many more places than the totals have, rounded half away from zero."""
    factor, divisor = 10 ** max(places, 0), 10 ** max(-places, 0)
    if totals.dtype == np.int64 and divisor == 1 and len(totals):
        largest = max(abs(int(totals.min())), abs(int(totals.max())))
        if 2 * largest * factor + int(counts.max()) < EDGE:
            out = np.empty(len(totals), np.int64)
            group.average(totals, np.ascontiguousarray(counts), factor, out)
            return out
    found = np.empty(len(totals), object)
    for i, (total, n) in enumerate(zip(totals.tolist(), counts.tolist(), strict=True)):
        below = max(n, 1) * divisor
        size = (2 * abs(total) * factor + below) // (2 * below)
        found[i] = size if total >= 0 else -size
    fits = all(-EDGE <= value < EDGE for value in found)
    return found.astype(np.int64) if fits else found


@dataclass(frozen=True, slots=True)
class SumFloat:
    """SUM and AVG of doubles. A state: totals, and what rounding took from them."""

    def start(self, room: int) -> list[Array]:
        return [np.zeros(room), np.zeros(room)]

    def grow(self, state: list[Array], used: int, room: int) -> None:
        state[:] = [grown(array, used, room) for array in state]

    def add(self, state: list[Array], columns: Sequence[Column], groups: Groups | None, rows: int) -> None:
        group.sum_float(as_double(expand(columns[0], rows)), numbers_of(groups, rows), *state)

    def merge(self, state: list[Array], other: list[Array], groups: Groups) -> None:
        n = len(groups)
        group.sum_float(other[0][:n], groups, *state)
        group.sum_float(other[1][:n], groups, *state)

    def finish(self, state: list[Array], counts: Counts, type: Type, function: str) -> Column:
        totals, rest = state[0][: len(counts)], state[1][: len(counts)]
        with np.errstate(invalid="ignore"):  # infinities
            sums = np.where(np.isfinite(totals), totals + rest, totals)
        return float_column(type, sums / np.maximum(counts, 1) if function == "avg" else sums, counts)


# ---- smallest and largest -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExtremeWhole:
    """MIN and MAX of whole numbers and BOOLEAN. A state: [int64], or [an array of objects] once 64 bits are too few."""

    largest: bool

    @property
    def worst(self) -> int:
        return group.SMALLEST if self.largest else group.LARGEST

    def start(self, room: int) -> list[Array]:
        return [np.full(room, self.worst, np.int64)]

    def grow(self, state: list[Array], used: int, room: int) -> None:
        state[0] = grown(state[0], used, room, self.worst)

    def add(self, state: list[Array], columns: Sequence[Column], groups: Groups | None, rows: int) -> None:
        column = expand(columns[0], rows)
        if groups is None and rows and not column.wide and state[0].dtype != object:
            found = int(column.data.max() if self.largest else column.data.min()) + column.base
            state[0][0] = max(found, state[0][0]) if self.largest else min(found, state[0][0])
        elif column.wide or state[0].dtype == object:
            self._add_objects(state, column.data if column.wide else column.numbers(), numbers_of(groups, rows))
        else:
            group.extreme_whole(column.data, column.base, numbers_of(groups, rows), state[0], largest=self.largest)

    def _add_objects(self, state: list[Array], values: Array, groups: Groups) -> None:
        state[0] = best = state[0].astype(object)
        better = max if self.largest else min
        for value, at in zip(values.tolist(), groups.tolist(), strict=True):
            worst = best[at] == self.worst  # stands for nothing yet, and may be on the wrong side of a wide number
            best[at] = value if worst else better(value, best[at])

    def merge(self, state: list[Array], other: list[Array], groups: Groups) -> None:
        values = other[0][: len(groups)]
        if values.dtype == object or state[0].dtype == object:
            there = values != self.worst
            self._add_objects(state, values[there], groups[there])
        else:
            group.extreme_whole(values, 0, groups, state[0], largest=self.largest)

    def finish(self, state: list[Array], counts: Counts, type: Type, function: str) -> Column:
        del function
        data = state[0][: len(counts)]
        if type.kind == "boolean":
            return Column(type, np.where(counts != 0, data, 0).astype(np.uint8), valid=validity(counts))
        return whole_column(type, data.copy(), counts)


def validity(counts: Counts) -> npt.NDArray[np.uint8] | None:
    """1 for a group that counted a value; None if all did."""
    return None if counts.all() else (counts != 0).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class ExtremeFloat:
    """MIN and MAX of doubles; NaN is above all numbers."""

    largest: bool

    @property
    def worst(self) -> float:
        return -np.inf if self.largest else np.nan

    def start(self, room: int) -> list[Array]:
        return [np.full(room, self.worst)]

    def grow(self, state: list[Array], used: int, room: int) -> None:
        state[0] = grown(state[0], used, room, self.worst)

    def add(self, state: list[Array], columns: Sequence[Column], groups: Groups | None, rows: int) -> None:
        data = np.ascontiguousarray(expand(columns[0], rows).data, np.float64)
        group.extreme_float(data, numbers_of(groups, rows), state[0], largest=self.largest)

    def merge(self, state: list[Array], other: list[Array], groups: Groups) -> None:
        group.extreme_float(other[0][: len(groups)], groups, state[0], largest=self.largest)

    def finish(self, state: list[Array], counts: Counts, type: Type, function: str) -> Column:
        del function
        return float_column(type, state[0][: len(counts)].copy(), counts)


@dataclass(frozen=True, slots=True)
class ExtremeText:
    """MIN and MAX of text, by bytes. A state: [the best word of each group, None where there is none yet]."""

    largest: bool

    def start(self, room: int) -> list[Array]:
        return [np.full(room, None, object)]

    def grow(self, state: list[Array], used: int, room: int) -> None:
        longer = np.full(room, None, object)
        longer[:used] = state[0][:used]
        state[0] = longer

    def add(self, state: list[Array], columns: Sequence[Column], groups: Groups | None, rows: int) -> None:
        column = expand(columns[0], rows)
        best = np.full(len(state[0]), -1, np.int32)
        numbers = numbers_of(groups, rows)
        if column.words is not None:
            codes = column.data.astype(np.int32)
            offsets, heap = column.words.offsets, column.words.heap
            group.extreme_text(codes, offsets, heap, numbers, best, largest=self.largest)
        elif column.heap is not None:
            offsets, heap = column.data, column.heap
            group.extreme_text(None, offsets, heap, numbers, best, largest=self.largest)
        met = np.flatnonzero(best >= 0)
        words = best[met] if column.words is None else column.data[best[met]]
        for at, word in zip(met.tolist(), words.tolist(), strict=True):
            self._improve(state[0], at, heap[offsets[word] : offsets[word + 1]].tobytes())

    def _improve(self, best: Array, at: int, word: bytes) -> None:
        kept = best[at]
        if kept is None or (word > kept if self.largest else word < kept):
            best[at] = word

    def merge(self, state: list[Array], other: list[Array], groups: Groups) -> None:
        for at, word in zip(groups.tolist(), other[0].tolist(), strict=False):
            if word is not None:
                self._improve(state[0], at, word)

    def finish(self, state: list[Array], counts: Counts, type: Type, function: str) -> Column:
        del function
        words = [
            b"" if word is None or not n else word for word, n in zip(state[0].tolist(), counts.tolist(), strict=False)
        ]
        offsets = np.zeros(len(words) + 1, np.int32)
        np.cumsum([len(word) for word in words], out=offsets[1:])
        return Column(type, offsets, valid=validity(counts), heap=np.frombuffer(b"".join(words), np.uint8))
