"""ORDER BY: sort all rows, or keep the first few of them.

Sort collects the columns that are needed, in pieces. The leader puts the pieces together, sorts positions by the keys
(ordering.py), and hands out batches that are gathered when somebody asks for a column.

TopN keeps limit + offset rows, and some more before it cuts back. Once it has that many, it knows a bound of the first
key that every later row must reach, and drops the others before it computes or gathers anything else of them. The
first batch finds its own bound by selection (introselect) before it sorts.

Both are stable: equal rows come in the order of slices, partitions, and rows.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engines._native import sortkeys
from engines.sql.collected import Collected, Evaluate, columns_of, cut, evaluator, merged
from engines.sql.column import Batch, Column, Positions
from engines.sql.context import Context
from engines.sql.limit import count, wanted
from engines.sql.logical import Expression, Reference, SortKey
from engines.sql.ordering import Direction, order, words

Mask = npt.NDArray[np.bool_]


class Keys:
    """Sort keys, compiled: each is a column of its batch under an id, or computed and kept under one of its own."""

    def __init__(self, keys: Sequence[SortKey]) -> None:
        self.directions = [Direction(key.descending, key.nulls_first) for key in keys]
        self.ids = [
            key.expression.id if isinstance(key.expression, Reference) else f"sort key {number}"
            for number, key in enumerate(keys, 1)
        ]
        self.evaluate: list[Evaluate] = [evaluator(key.expression) for key in keys]

    def columns(self, batch: Batch, context: Context) -> dict[str, Column]:
        """The key columns of a batch by their ids."""
        return {id: evaluate(batch, context) for id, evaluate in zip(self.ids, self.evaluate, strict=True)}

    def order(self, columns: dict[str, Column], rows: int) -> Positions:
        return order([columns[id] for id in self.ids], self.directions, rows)


class Sort:
    """A sink that gives the columns `ids` of all rows, in order."""

    def __init__(self, keys: Sequence[SortKey], ids: Sequence[str]) -> None:
        self.keys = Keys(keys)
        self.ids = tuple(ids)

    def start(self) -> Collected:
        return Collected()

    def add(self, state: Collected, batch: Batch, context: Context) -> None:
        columns = columns_of(batch, self.ids) | self.keys.columns(batch, context)
        state.add(columns, batch.rows, context, "ORDER BY")

    def merge(self, states: Sequence[Collected], context: Context) -> Collected:  # noqa: ARG002 - as all sinks
        return merged(states)

    def batches(self, state: Collected, context: Context) -> Iterator[Batch]:
        if state.rows:
            columns = state.whole()
            batch = Batch({id: columns[id] for id in self.ids}, state.rows)
            yield from cut(batch, self.keys.order(columns, state.rows), context.vector)


@dataclass(slots=True)
class Kept:
    """What TopN holds: rows so far, and the first key of the worst of the best, once there are enough."""

    rows: Collected = field(default_factory=Collected)
    bounded: bool = False
    bound: Any = None  # an engine value, or None for NULL


class TopN:
    """A sink that gives the columns `ids` of the first rows in order, `limit` of them after `offset`."""

    def __init__(
        self, keys: Sequence[SortKey], ids: Sequence[str], limit: Expression, offset: Expression | None = None
    ) -> None:
        self.keys = Keys(keys)
        self.ids = tuple(ids)
        self.limit = limit
        self.offset = offset

    def start(self) -> Kept:
        return Kept()

    def add(self, state: Kept, batch: Batch, context: Context) -> None:
        most = wanted(self.limit, self.offset, context) or 0
        direction = self.keys.directions[0]
        if most == 0:
            return
        if state.bounded:
            mask = reaching(self.keys.evaluate[0](batch, context), batch.rows, state.bound, direction)
            if mask is not None:
                batch = batch.take(np.flatnonzero(mask).astype(np.int32))
        if batch.rows > 2 * most:
            first = words([self.keys.evaluate[0](batch, context)], [direction], batch.rows)[0]
            worst = np.partition(first, most - 1)[most - 1]
            batch = batch.take(np.flatnonzero(first <= worst).astype(np.int32))
        columns = columns_of(batch, self.ids) | self.keys.columns(batch, context)
        state.rows.add(columns, batch.rows, context, "ORDER BY with LIMIT")
        if state.rows.rows >= (2 * most + 64 if state.bounded else most):
            self._cut_back(state, most, context)

    def _cut_back(self, state: Kept, most: int, context: Context) -> None:
        """Only the best `most` rows, sorted, and the bound that follows."""
        columns = state.rows.whole()
        best = Batch(columns, state.rows.rows).take(self.keys.order(columns, state.rows.rows)[:most])
        state.rows = Collected()
        state.rows.add(columns_of(best, tuple(columns)), best.rows, context, "ORDER BY with LIMIT")
        if best.rows == most:
            state.bounded = True
            state.bound = value_at(state.rows.whole()[self.keys.ids[0]], most - 1)

    def merge(self, states: Sequence[Kept], context: Context) -> Kept:  # noqa: ARG002 - as all sinks
        return Kept(merged(state.rows for state in states))

    def batches(self, state: Kept, context: Context) -> Iterator[Batch]:
        most = wanted(self.limit, self.offset, context) or 0
        skip = 0 if self.offset is None else count(self.offset, "OFFSET", context)
        if state.rows.rows and most:
            columns = state.rows.whole()
            batch = Batch({id: columns[id] for id in self.ids}, state.rows.rows)
            best = self.keys.order(columns, state.rows.rows)[:most]
            yield from cut(batch, best, context.vector, skip)


def value_at(column: Column, row: int) -> Any:  # noqa: ANN401 - an engine value
    """One value of a column: int, float or bytes; None for NULL."""
    if column.constant:
        row = 0
    if column.valid is not None and not column.valid[row]:
        return None
    if column.heap is not None:
        return column.heap[column.data[row] : column.data[row + 1]].tobytes()
    if column.words is not None:
        code = int(column.data[row])
        cuts = column.words.offsets
        return column.words.heap[cuts[code] : cuts[code + 1]].tobytes()
    if column.type.floating:
        return float(column.data[row])
    return int(column.data[row]) + column.base


def reaching(column: Column, rows: int, bound: Any, direction: Direction) -> Mask | None:  # noqa: ANN401 - engine value
    """True for rows that are not behind the bound in this direction; None where that says nothing or costs too much."""
    if column.constant:
        return None
    valid = column.valid
    if bound is None:
        if not direction.nulls_first:
            return None
        return np.zeros(rows, np.bool_) if valid is None else valid == 0
    mask = _values_reaching(column, bound, descending=direction.descending)
    if mask is None or valid is None:
        return mask
    found: Mask = mask | (valid == 0) if direction.nulls_first else mask & (valid != 0)
    return found


def _values_reaching(column: Column, bound: Any, *, descending: bool) -> Mask | None:  # noqa: ANN401 - engine value
    found: Mask
    if column.type.bytes:
        limit = np.frombuffer(bound, np.uint8)
        if column.heap is not None:
            mask = np.empty(len(column), np.uint8)
            sortkeys.texts_within(column.data, column.heap, limit, descending, mask)
            return mask.view(np.bool_)
        if column.words is None or len(column.words) > len(column):
            return None
        mask = np.empty(len(column.words), np.uint8)
        sortkeys.texts_within(column.words.offsets, column.words.heap, limit, descending, mask)
        found = mask.view(np.bool_)[column.data]
    elif not column.type.floating:
        shifted = bound - column.base
        found = column.data >= shifted if descending else column.data <= shifted
    elif math.isnan(bound):
        return np.isnan(column.data) if descending else None
    else:
        found = ~(column.data < bound) if descending else column.data <= bound  # NaN is above all
    return found
