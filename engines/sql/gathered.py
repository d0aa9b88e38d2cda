"""Aggregates that need a group's rows: DISTINCT, LISTAGG, MEDIAN, PERCENTILE, MODE, MAX_BY, and those of users.

    Distinct    numbers the pairs (group, value), and gives each pair to the total behind it once, at the end
    Gathered    keeps the values, sorts them by group and order at the end, and picks or joins

Both are given only the rows that count. Merging is easy then: pairs are numbered again, kept rows are put together.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.sql.column import Array, Column, Positions, expand, gather, nulls
from engines.sql.concatenate import concatenate
from engines.sql.groups import GroupNumbers
from engines.sql.ordering import Direction, order, same_as_before
from engines.sql.totals import Counts, Groups, Total, float_column, numbers_of, whole_column
from engines.sql.types import BIGINT, Type
from engines.sql.values import column_of, python_values


def group_column(groups: Groups) -> Column:
    """Group numbers as a key like any other."""
    return Column(BIGINT, np.ascontiguousarray(groups, np.uint32))


@dataclass(frozen=True, slots=True)
class Distinct:
    """COUNT(DISTINCT x) and the like. inner: what gets the distinct values; None: they are only counted."""

    types: tuple[Type, ...]
    inner: Total | None = None

    def start(self, room: int) -> GroupNumbers:
        del room
        return GroupNumbers((BIGINT, *self.types))

    def grow(self, state: GroupNumbers, used: int, room: int) -> None:
        pass

    def add(self, state: GroupNumbers, columns: Sequence[Column], groups: Groups | None, rows: int) -> None:
        state.number([group_column(numbers_of(groups, rows)), *columns], rows)

    def merge(self, state: GroupNumbers, other: GroupNumbers, groups: Groups) -> None:
        if len(other):
            at, *values = other.columns()
            state.number([group_column(groups[at.numbers()]), *values], len(other))

    def finish(self, state: GroupNumbers, counts: Counts, type: Type, function: str) -> Column:
        at, *values = state.columns() if len(state) else [group_column(np.zeros(0, np.uint32))]
        groups = at.numbers().astype(np.uint32)
        found = np.bincount(groups, minlength=len(counts)).astype(np.int64)[: len(counts)]
        if self.inner is None:
            return Column(type, found, low=0, high=int(found.max(initial=0)))
        inner = self.inner.start(len(counts) + 1)
        if values:
            self.inner.add(inner, values, groups, len(groups))
        return self.inner.finish(inner, found, type, function)


@dataclass(slots=True)
class Rows:
    """Columns of rows in pieces, and the group of each."""

    groups: list[Groups] = field(default_factory=list)
    columns: list[list[Column]] = field(default_factory=list)


Finish = Callable[["Sorted", Type], Column]


@dataclass(slots=True)
class Sorted:
    """The rows of a state in order of group and sort keys. starts, ends: of each group in `arranged`."""

    columns: list[Column]
    arranged: Positions
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    keys: list[Column]  # group, then sort keys

    def pick(self, places: npt.NDArray[np.int64], column: Column, type: Type) -> Column:
        """One row for each group: at that place behind its start; NULL for a group without rows."""
        if not len(self.arranged):
            return nulls(type, len(places))
        there = self.starts < self.ends
        at = self.arranged[np.minimum(self.starts + places, len(self.arranged) - 1)]
        return gather(column, np.where(there, at, -1).astype(np.int32), outer=True)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Keeps the first `kept` columns of each row, and then those it sorts by."""

    kept: int
    directions: tuple[Direction, ...]
    make: Finish

    def start(self, room: int) -> Rows:
        del room
        return Rows()

    def grow(self, state: Rows, used: int, room: int) -> None:
        pass

    def add(self, state: Rows, columns: Sequence[Column], groups: Groups | None, rows: int) -> None:
        state.groups.append(numbers_of(groups, rows))
        state.columns.append([expand(column, rows) for column in columns])

    def merge(self, state: Rows, other: Rows, groups: Groups) -> None:
        state.groups += [groups[piece] for piece in other.groups]
        state.columns += other.columns

    def finish(self, state: Rows, counts: Counts, type: Type, function: str) -> Column:
        del function
        if not state.groups:
            return nulls(type, len(counts))
        groups = np.concatenate(state.groups)
        columns = [concatenate(list(pieces)) for pieces in zip(*state.columns, strict=True)]
        keys = [group_column(groups), *columns[self.kept :]]
        arranged = order(keys, [Direction(), *self.directions], len(groups))
        sizes = np.bincount(groups, minlength=len(counts))[: len(counts)].astype(np.int64)
        ends = np.cumsum(sizes)
        return self.make(Sorted(columns[: self.kept], arranged, ends - sizes, ends, keys), type)


def first(rows: Sorted, type: Type) -> Column:
    """The first row of each group: MAX_BY, MIN_BY."""
    return rows.pick(np.zeros(len(rows.starts), np.int64), rows.columns[0], type)


def mode(rows: Sorted, type: Type) -> Column:
    """The most frequent value, the smallest of equally frequent ones."""
    same = same_as_before(rows.keys, rows.arranged)
    begins = np.flatnonzero(same == 0)
    lengths = np.diff(np.append(begins, len(same)))
    group = np.searchsorted(rows.ends, begins, side="right")
    best = np.lexsort((begins, -lengths, group))
    firsts = best[np.unique(group[best], return_index=True)[1]]
    places = np.zeros(len(rows.starts), np.int64)
    places[group[firsts]] = begins[firsts] - rows.starts[group[firsts]]
    return rows.pick(places, rows.columns[0], type)


def percentile(function: str, fraction: Fraction) -> Finish:
    """Fraction from 0 to 1 along the order. _disc takes a value that is there, _cont lies between two of them."""

    def disc(rows: Sorted, type: Type) -> Column:
        sizes = rows.ends - rows.starts
        above, below = fraction.as_integer_ratio()
        places = np.maximum(-(-(sizes * above) // below) - 1, 0)
        return rows.pick(places, rows.columns[0], type)

    def cont(rows: Sorted, type: Type) -> Column:
        sizes = rows.ends - rows.starts
        above, below = fraction.as_integer_ratio()
        scaled = np.maximum(sizes - 1, 0) * above
        low, rest = scaled // below, scaled % below
        column = rows.columns[0]
        before = rows.pick(low, column, column.type)
        after = rows.pick(np.minimum(low + (rest > 0), np.maximum(sizes - 1, 0)), column, column.type)
        return between(before, after, (rest, below), type, sizes)

    return disc if function in {"percentile_disc", "approx_percentile"} else cont


def between(before: Column, after: Column, part: tuple[Array, int], type: Type, counts: Counts) -> Column:
    """The values at this part of the way (rest / below) from `before` to `after`, in the result's type."""
    rest, below = part
    if type.floating:
        scale = 10.0 ** (before.type.scale if before.type.decimal else 0)
        first, second = (
            column.data if column.type.floating else column.data.astype(np.float64) if column.wide
            else column.numbers().astype(np.float64)
            for column in (before, after)
        )  # fmt: skip
        with np.errstate(invalid="ignore"):  # infinities
            moved = np.where(rest > 0, first + (second - first) * (rest / below), first)
        return float_column(type, moved / scale, counts)
    factor = 10 ** max(type.scale - before.type.scale, 0)
    found = []
    for low, high, share in zip(_whole(before), _whole(after), rest.tolist(), strict=True):
        exact = (low + Fraction((high - low) * share, below)) * factor
        sign = -1 if exact < 0 else 1
        found.append(sign * math.floor(abs(exact) + Fraction(1, 2)))
    data = np.array([*found, None], object)[:-1]
    fits = all(-(2**63) <= value < 2**63 for value in found)
    return whole_column(type, data.astype(np.int64) if fits else data, counts)


def _whole(column: Column) -> list[int]:
    found: list[int] = (column.data if column.wide else column.numbers()).tolist()
    return found


def listagg(separator: bytes) -> Finish:
    """The texts of each group in order, with the separator between them."""

    def join(rows: Sorted, type: Type) -> Column:
        words = [
            word.encode() if isinstance(word, str) else word
            for word in python_values(gather(rows.columns[0], rows.arranged), len(rows.arranged))
        ]
        texts = [
            separator.join(words[start:end])
            for start, end in zip(rows.starts.tolist(), rows.ends.tolist(), strict=True)
        ]
        offsets = np.zeros(len(texts) + 1, np.int32)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        there = (rows.starts < rows.ends).astype(np.uint8)
        return Column(
            type, offsets, valid=None if there.all() else there, heap=np.frombuffer(b"".join(texts), np.uint8)
        )

    return join


def bits(change: np.ufunc) -> Finish:
    """BIT_AND and BIT_OR: the bits of all values of a group together."""

    def joined(rows: Sorted, type: Type) -> Column:
        there = rows.starts < rows.ends
        data = np.zeros(len(there), np.int64)
        if there.any():  # an empty group ends where it starts: the others lie back to back
            data[there] = change.reduceat(rows.columns[0].numbers()[rows.arranged], rows.starts[there])
        return whole_column(type, data, there.astype(np.int64))

    return joined


def by_rows(start: Callable[[], Any], update: Callable[..., Any], finish: Callable[[Any], Any]) -> Finish:
    """An aggregate in Python: update(state, values of one row), once for each row, in order."""

    def run(rows: Sorted, type: Type) -> Column:
        at = rows.arranged
        values = list(zip(*(python_values(gather(column, at), len(at)) for column in rows.columns), strict=True))
        found = []
        for low, high in zip(rows.starts.tolist(), rows.ends.tolist(), strict=True):
            state = start()
            for row in values[low:high]:
                state = update(state, *row)
            found.append(_fitting(finish(state), type))
        return column_of(found, type)

    return run


def _fitting(value: Any, type: Type) -> Any:  # noqa: ANN401 - a value of Python
    """A Decimal with more places than the type has is rounded."""
    if type.decimal and isinstance(value, Decimal):
        return value.quantize(Decimal(1).scaleb(-type.scale), rounding=ROUND_HALF_UP)
    return value
