"""GROUP BY, DISTINCT and aggregates without keys, as a sink.

    batch ──> key columns ──> group numbers (groups.py)
          ──> inputs: each argument once, however many calls use it; rows that are NULL or filtered are sent away
                ──> totals (totals.py, moments.py, gathered.py), one for each kind of total of each input
    at the end: counts and totals ──> the calls' columns

SUM(x), AVG(x) and COUNT(x) share the column, the mask and the counts; SUM and AVG share the total. The rows of a group
are counted once; a column with NULLs counts those besides. A column without NULLs costs one kernel a total, then.

Without keys there is one group, and no group numbers: whole columns are added up.

GROUPING SETS: rows are aggregated by all keys; each set merges these groups into fewer ones, as the leader merges the
groups of slices. DISTINCT is an aggregate without calls.

Invariant: however rows are divided over states, the merged state gives the same groups and values (sums of doubles to
the last bits that compensation keeps); the order of groups is that of their first rows, slice after slice.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from engines._native import group, sums
from engines.errors import EngineError, TooLarge
from engines.sql import expressions, logical
from engines.sql.calls import Plan, plan_call
from engines.sql.column import Batch, Bytes, Column, Positions, expand, gather, nulls
from engines.sql.context import Context
from engines.sql.functions import Functions, standard
from engines.sql.gathered import Distinct, Gathered
from engines.sql.groups import GroupNumbers
from engines.sql.logical import AggregateCall, Expression
from engines.sql.totals import ZEROS, Counts, Groups, SumWhole, Together, Total, grown, numbers_of
from engines.sql.types import BIGINT

ROOM: Final = 256  # groups at the start: so few that kernels keep totals fourfold


@dataclass(frozen=True, slots=True)
class Input:
    """Arguments that are evaluated together. needs: how many of the first ones must not be NULL."""

    arguments: tuple[Expression, ...]
    where: Expression | None
    needs: int


@dataclass(slots=True)
class State:
    """Of one slice. rows: of each group; missing: of those the ones that an input does not count."""

    groups: GroupNumbers | None
    room: int
    rows: Counts
    missing: list[Counts | None]
    totals: list[Any]

    @property
    def count(self) -> int:
        return 1 if self.groups is None else len(self.groups)


class Aggregate:
    """The sink of a logical Aggregate."""

    def __init__(self, plan: logical.Aggregate, functions: Functions | None = None) -> None:
        self.plan = plan
        self.types = [expression.type for _, expression in plan.keys]
        self._inputs: list[Input] = []
        self._totals: list[tuple[int, Total]] = []
        self._calls: list[tuple[AggregateCall, int, int | None]] = []  # call, its input, its total
        for _, call in plan.calls:
            self._add_call(call, functions)
        everything = [expression for _, expression in plan.keys]
        for one in self._inputs:
            everything += [*one.arguments, *(() if one.where is None else (one.where,))]
        self._program = expressions.compile(everything, functions or standard())
        # whether rows that do not count may come along
        self._masks = bool(self.types) and not any(isinstance(one, Distinct | Gathered) for _, one in self._totals)
        self._by_input = [
            [(i, total) for i, (at, total) in enumerate(self._totals) if at == number]
            for number in range(len(self._inputs))
        ]

    def _add_call(self, call: AggregateCall, functions: Functions | None) -> None:
        planned: Plan = plan_call(call, functions)
        wanted = Input(planned.arguments, call.where, planned.needs)
        if wanted not in self._inputs:
            self._inputs.append(wanted)
        number = self._inputs.index(wanted)
        total = None
        if planned.total is not None:
            if (number, planned.total) not in self._totals:
                self._totals.append((number, planned.total))
            total = self._totals.index((number, planned.total))
        self._calls.append((replace(call, function=planned.finish), number, total))

    # ---- rows

    def start(self) -> State:
        groups = GroupNumbers(self.types) if self.types else None
        totals = [total.start(ROOM) for _, total in self._totals]
        return State(groups, ROOM, np.zeros(ROOM, np.int64), [None] * len(self._inputs), totals)

    def add(self, state: State, batch: Batch, context: Context) -> None:
        if batch.rows == 0:
            return
        if self._masks and state.groups is not None and (thinned := batch.thinned()) is not None:
            whole, mask = thinned
            found = self._numbered(state.groups, whole, mask, context)
            if found is not None:
                self._make_room(state, context)
                with self._within(context):
                    self._add(state, *found, whole.rows, left=mask)
                return
        columns = self._program.run(batch, context)
        numbers = None if state.groups is None else state.groups.number(columns[: len(self.types)], batch.rows)
        self._make_room(state, context)
        with self._within(context):
            self._add(state, columns, numbers, batch.rows, left=None)

    @contextlib.contextmanager
    def _within(self, context: Context) -> Iterator[None]:
        """A sum may be too large for its state before it is asked for."""
        try:
            yield
        except OverflowError as error:
            call = next(
                call
                for call, _, total in self._calls
                if total is not None and isinstance(self._totals[total][1], SumWhole)
            )
            raise context.error(f"{call.function.upper()}: {error}", call.position) from None

    def _numbered(
        self, groups: GroupNumbers, batch: Batch, mask: Bytes, context: Context
    ) -> tuple[list[Column], Groups] | None:
        """The inputs and groups of a batch with rows that do not count. None: it is better to gather the others.

        An error is no error before it is known that a row has it that counts.
        """
        try:
            columns = self._program.run(batch, context)
        except EngineError:
            return None
        numbers = groups.number_some(columns[: len(self.types)], batch.rows, mask)
        return None if numbers is None else (columns, numbers)

    def _add(
        self,
        state: State,
        columns: list[Column],
        numbers: Groups | None,
        rows: int,
        *,
        left: Bytes | None,
    ) -> None:
        """left: 1 for the rows that a filter has left; None = all."""
        together: list[Together] | None = None
        if numbers is None:
            state.rows[0] += rows
        else:
            if left is not None:
                group.send_away(numbers, left, state.room - 1, numbers)
            together = [] if state.room <= ROOM else None
        at = len(self.types)
        for i, one in enumerate(self._inputs):
            arguments = columns[at : at + len(one.arguments)]
            at += len(arguments) + (one.where is not None)
            mask = counted(arguments[: one.needs], None if one.where is None else columns[at - 1], rows)
            away = numbers if mask is None else self._sent_away(state, i, numbers_of(numbers, rows), mask)
            for total, behind in self._by_input[i]:
                if mask is not None and isinstance(behind, Distinct | Gathered):
                    kept: Positions = np.flatnonzero(mask).astype(np.int32)
                    taken = [gather(column, kept) for column in arguments]
                    behind.add(state.totals[total], taken, None if numbers is None else numbers[kept], len(kept))
                    continue
                if together is not None and mask is None and isinstance(behind, SumWhole) and len(together) < sums.MOST:
                    quick = behind.together(state.totals[total], arguments[0], rows)
                    if quick is not None:
                        together.append(quick)
                        continue
                behind.add(state.totals[total], arguments, away, rows)
        if numbers is not None and together:
            sums.together(numbers, state.count, state.rows, together)
        elif numbers is not None:
            group.count(numbers, state.rows)

    def _sent_away(self, state: State, i: int, numbers: Groups, mask: Bytes) -> Groups:
        """The group numbers for an input that does not count all rows; those that it leaves out are counted."""
        missing = state.missing[i]
        if missing is None:
            missing = state.missing[i] = np.zeros(state.room, np.int64)
        away = np.empty(len(numbers), np.uint32)
        group.send_away(numbers, (mask == 0).view(np.uint8), state.room - 1, away)
        group.count(away, missing)
        group.send_away(numbers, mask, state.room - 1, away)
        return away

    def _make_room(self, state: State, context: Context) -> None:
        """Room for the groups that there are now, and for the one of rows that do not count."""
        count, before = state.count, state.room - 1
        if count < state.room:
            return
        room = max(2 * state.room, count + 1)
        if room * 8 * (1 + len(self._totals)) > context.memory:
            raise TooLarge(
                f"GROUP BY has {count:,} groups, and memory= allows {context.memory:,} bytes: "
                "allow more, or group by less",
                limit=context.memory,
                size=room * 8 * (1 + len(self._totals)),
            )
        state.rows = grown(state.rows, before, room)
        state.missing = [None if counts is None else grown(counts, before, room) for counts in state.missing]
        for (_, total), one in zip(self._totals, state.totals, strict=True):
            total.grow(one, before, room)
        state.room = room

    # ---- states

    def merge(self, states: Sequence[State], context: Context) -> State:
        if len(states) == 1:
            return states[0]
        whole = self.start()
        for state in states:
            keys = [] if state.groups is None else state.groups.columns()
            self._merge_into(whole, state, keys, context)
        return whole

    def _merge_into(self, whole: State, state: State, keys: Sequence[Column], context: Context) -> None:
        """Adds a state whose groups have these keys."""
        count = state.count
        if count == 0:
            return
        numbers = ZEROS[:1].repeat(count) if whole.groups is None else whole.groups.number(keys, count)
        self._make_room(whole, context)
        group.sum_whole(state.rows[:count], 0, numbers, whole.rows)
        for i, missing in enumerate(state.missing):
            if missing is not None:
                mine = whole.missing[i]
                if mine is None:
                    mine = whole.missing[i] = np.zeros(whole.room, np.int64)
                group.sum_whole(missing[:count], 0, numbers, mine)
        with self._within(context):
            for (_, total), mine, theirs in zip(self._totals, whole.totals, state.totals, strict=True):
                total.merge(mine, theirs, numbers)

    # ---- the answer

    def batches(self, state: State, context: Context) -> Iterator[Batch]:
        if self.plan.sets is None:
            yield from pieces(self._columns(state, None, context), state.count, context.vector)
            return
        keys = [] if state.groups is None else state.groups.columns()
        for chosen in self.plan.sets:
            part = self._restricted(chosen, state, keys, context)
            yield from pieces(self._columns(part, chosen, context), part.count, context.vector)

    def _restricted(self, chosen: tuple[int, ...], state: State, keys: Sequence[Column], context: Context) -> State:
        """The state of one grouping set."""
        part = self.start()
        part.groups = GroupNumbers([self.types[key] for key in chosen]) if chosen else None
        self._merge_into(part, state, [keys[key] for key in chosen], context)
        return part

    def _columns(self, state: State, chosen: tuple[int, ...] | None, context: Context) -> dict[str, Column]:
        count = state.count
        there = [] if state.groups is None else state.groups.columns()
        at = range(len(self.types)) if chosen is None else chosen
        by_key = dict(zip(at, there, strict=True))
        found = {
            id: by_key[i] if i in by_key else nulls(self.types[i], count) for i, (id, _) in enumerate(self.plan.keys)
        }
        for (id, _), (call, number, total) in zip(self.plan.calls, self._calls, strict=True):
            missing = state.missing[number]
            counts = state.rows[:count] if missing is None else state.rows[:count] - missing[:count]
            if total is None:
                found[id] = Column(call.type, counts.copy(), low=0, high=int(counts.max(initial=0)))
                continue
            try:
                found[id] = self._totals[total][1].finish(state.totals[total], counts, call.type, call.function)
            except OverflowError as error:
                raise context.error(f"{call.function.upper()}: {error}", call.position) from None
        if self.plan.grouping:
            bits = sum(1 << (len(self.types) - 1 - i) for i in range(len(self.types)) if i not in by_key)
            found[self.plan.grouping] = Column(BIGINT, np.full(count, bits, np.int64), low=bits, high=bits)
        return found


def counted(columns: Sequence[Column], where: Column | None, rows: int) -> Bytes | None:
    """1 for rows that are no NULL in any of the columns, and for which the condition is true; None = all."""
    mask: Bytes | None = None
    for column in columns:
        if column.valid is not None:
            valid = column.valid.repeat(rows) if column.constant else column.valid
            mask = valid if mask is None else mask & valid
    if where is not None:
        condition = expand(where, rows)
        true = condition.data.view(np.uint8)
        if condition.valid is not None:
            true = true & condition.valid
        mask = true if mask is None else mask & true
    return mask


def pieces(columns: dict[str, Column], rows: int, vector: int) -> Iterator[Batch]:
    """The columns in batches of at most `vector` rows, views of them: nothing is copied."""
    for start in range(0, rows, vector):
        stop = min(start + vector, rows)
        if rows <= vector:
            yield Batch(columns, rows)
            return
        yield Batch({id: part(column, start, stop) for id, column in columns.items()}, stop - start)


def part(column: Column, start: int, stop: int) -> Column:
    """Some rows of a column, as views."""
    if column.constant:
        return column
    valid = None if column.valid is None else column.valid[start:stop]
    if column.heap is None and (column.parts is None or column.type.kind == "row"):
        return replace(column, data=column.data[start:stop], valid=valid)
    if column.heap is None:
        return gather(column, np.arange(start, stop, dtype=np.int32))
    offsets = column.data[start : stop + 1]
    return replace(column, data=offsets - offsets[0], heap=column.heap[offsets[0] : offsets[-1]], valid=valid)
