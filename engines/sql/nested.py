"""Plans inside plans: subqueries that no rewrite rule could turn into a join (Apply), and WITH RECURSIVE.

    Apply      for each distinct tuple of the outer columns the inner plan runs once, with the tuple as parameters; what
               it gave is kept for the slice, and joined to every row with that tuple
    Recursive  round 0 is the base; round n + 1 runs the step over the rows of round n, until a round is empty

Both are slow next to a join, and right: the inner plan is a program of its own, lowered once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.sql import logical
from engines.sql.collected import Collected
from engines.sql.column import Batch, Column, nulls
from engines.sql.concatenate import concatenate
from engines.sql.context import Context
from engines.sql.groups import GroupNumbers
from engines.sql.logical import Bound, Reference, output
from engines.sql.operators import Step
from engines.sql.run import Local, Program, Results, run
from engines.sql.scan import Ready, at_most, value_of
from engines.sql.types import BOOLEAN, Type


def outer_name(id: str) -> str:
    """The parameter that stands for an outer column."""
    return f"outer {id}"


def with_values(thing: Any, types: Mapping[str, Type]) -> Any:  # noqa: ANN401 - a plan, and all that is in it
    """A plan whose references to these outer columns are parameters."""
    if isinstance(thing, Reference):
        if thing.id in types:
            return Bound(name=outer_name(thing.id), type=thing.type, position=thing.position)
        return thing
    if isinstance(thing, tuple):
        made = tuple(with_values(one, types) for one in thing)
        return thing if all(a is b for a, b in zip(made, thing, strict=True)) else made
    if not is_dataclass(thing) or isinstance(thing, type | Type):
        return thing
    changed = {}
    for field in fields(thing):
        before = getattr(thing, field.name)
        after = with_values(before, types)
        if after is not before:
            changed[field.name] = after
    return replace(thing, **changed) if changed else thing


@dataclass(frozen=True, slots=True)
class ApplyStep:
    """An Apply, before a run."""

    plan: logical.Apply
    program: Program
    needs: tuple[int, ...] = ()

    def bind(self, results: Results, context: Context) -> Step:
        del results, context
        return Applied(self.plan, self.program)


class Applied:
    """An Apply in one slice of a run: it remembers what the inner plan gave."""

    def __init__(self, plan: logical.Apply, program: Program) -> None:
        self.plan = plan
        self.program = program
        self.known: dict[tuple[Any, ...], Collected] = {}
        self.runner = Local()

    def push(self, batch: Batch, context: Context) -> Iterator[Batch]:
        tuples = self._tuples(batch)
        found = [self._rows(one, context) for one in tuples]
        counts = np.array([one.rows for one in found], np.int64)
        if self.plan.mark:
            mark = Column(BOOLEAN, (counts > 0).astype(np.uint8))
            yield batch.with_columns({self.plan.mark: mark})
        elif self.plan.kind in {"semi", "anti"}:
            kept = np.flatnonzero((counts > 0) == (self.plan.kind == "semi")).astype(np.int32)
            yield batch.take(kept)
        else:
            if self.plan.kind == "single" and counts.max(initial=0) > 1:
                raise context.error("a subquery that stands for one value gave more than one row")
            yield from self._joined(batch, found, counts, context)

    def _tuples(self, batch: Batch) -> list[tuple[Any, ...]]:
        columns = [batch.column(id) for id in self.plan.outer]
        return [tuple(value_of(column, row) for column in columns) for row in range(batch.rows)]

    def _rows(self, values: tuple[Any, ...], context: Context) -> Collected:
        if values not in self.known:
            context.check()
            named: dict[int | str, Any] = {
                outer_name(id): value for id, value in zip(self.plan.outer, values, strict=True)
            }
            inner = replace(context, values={**context.values, **named})
            self.known[values] = run(self.program, inner, self.runner)
        found: Collected = self.known[values]
        return found

    def _joined(
        self,
        batch: Batch,
        found: Sequence[Collected],
        counts: npt.NDArray[np.int64],
        context: Context,
    ) -> Iterator[Batch]:
        """Each outer row with its inner rows; an outer row without any once, with NULL, unless the kind is inner."""
        distinct = {id(one): one for one in found if one.rows}
        starts, start = {}, 0
        for key, one in distinct.items():
            starts[key] = start
            start += one.rows
        pieces = [one.whole() for one in distinct.values()]
        types = output(self.plan.plan)
        columns = {
            name: concatenate([piece[name] for piece in pieces]) if pieces else nulls(type, 0)
            for name, type in types.items()
        }
        outer = self.plan.kind not in {"inner", "cross"}
        times = np.maximum(counts, 1) if outer else counts
        left = np.repeat(np.arange(batch.rows, dtype=np.int32), times)
        begins = np.array([starts.get(id(one), -1) for one in found], np.int64)
        steps = np.arange(len(left)) - np.repeat(np.cumsum(times) - times, times)
        right = np.where(np.repeat(counts, times) > 0, np.repeat(begins, times) + steps, -1).astype(np.int32)
        inner = Batch(columns, start).take(right, outer=outer)
        yield from at_most(batch.take(left).beside(inner), context.vector)


@dataclass(frozen=True, slots=True)
class Rounds:
    """The source of a Recursive."""

    plan: logical.Recursive
    base: Program
    step: Program

    def open(self, results: Results, context: Context) -> Ready:
        del results, context
        return Ready(self._rounds)

    def _rounds(self, context: Context) -> Iterator[Batch]:
        runner = Local()
        seen = GroupNumbers([type for *_, type in self.plan.columns]) if self.plan.distinct else None
        state = run(self.base, context, runner)
        ids = {id: one for id, one, _, _ in self.plan.columns}
        while state.rows:
            context.check()
            batches = [one for batch in _renamed(state, ids) if (one := self._new(batch, seen)).rows]
            yield from batches
            if not batches:
                return
            inner = replace(context, working={**context.working, self.plan.name: batches})
            state = run(self.step, inner, runner)
            ids = {id: one for id, _, one, _ in self.plan.columns}

    def _new(self, batch: Batch, seen: GroupNumbers | None) -> Batch:
        """The rows that no round has had yet; all of them for UNION ALL."""
        if seen is None:
            return batch
        known = len(seen)
        numbers = seen.number([batch.column(id) for id, *_ in self.plan.columns], batch.rows)
        values, firsts = np.unique(numbers, return_index=True)
        return batch.take(np.sort(firsts[values >= known]).astype(np.int32))


def _renamed(state: Collected, ids: Mapping[str, str]) -> Iterator[Batch]:
    for piece, rows in zip(state.pieces, state.counts, strict=True):
        yield Batch(piece, rows).renamed(ids)
