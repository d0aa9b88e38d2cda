"""UNION, INTERSECT, EXCEPT: rows compared as wholes, NULLs equal.

    left  ── Side(columns of the left, 0) ──┐
                                            ├──> Sets: numbers for distinct rows, and how often each side has them
    right ── Side(columns of the right, 1) ─┘
                                                  left   right        how often the row is in the answer
    UNION                                            l | r            1
    INTERSECT [ALL]                                  l & r            1 [the smaller of both]
    EXCEPT [ALL]                                     l & not r        1 [left - right, from 0 on]

Only distinct rows are held, and two counts each. UNION ALL needs no sink: both sides are branches of one pipeline.

Rows come in the order in which they were first met, the left side first: the answer is the same for any slices that
follow each other in order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from engines.errors import TooLarge
from engines.sql.column import Batch, Column
from engines.sql.context import Context
from engines.sql.keys import Numbering
from engines.sql.logical import SetOperation
from engines.sql.types import BOOLEAN, Type

SIDE: Final = "side"  # id of the column that tells the sides apart; ids of the plan hold a "#"
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Side:
    """A step: one side's columns under the result's ids (new -> old), and which side it is: 0 left, 1 right."""

    ids: Mapping[str, str]
    side: Literal[0, 1]

    def push(self, batch: Batch, context: Context) -> Iterator[Batch]:
        del context
        mark = Column(BOOLEAN, np.full(1, self.side, np.uint8), constant=True)
        yield batch.renamed(self.ids).with_columns({SIDE: mark})


@dataclass(slots=True)
class Rows:
    """Distinct rows by number, and how often each side has them: counts[side][number]."""

    numbering: Numbering
    counts: list[Counts] = field(default_factory=lambda: [np.zeros(0, np.int64), np.zeros(0, np.int64)])

    def count(self, numbers: npt.NDArray[np.uint32], side: int, weights: Counts | None = None) -> None:
        room = len(self.numbering)
        if weights is None:
            found = np.bincount(numbers, minlength=room)
        else:
            found = np.zeros(room, np.int64)
            found[numbers] = weights  # numbers of distinct rows: each occurs once
        known = self.counts[side]
        found[: len(known)] += known
        self.counts[side] = found

    def counted(self, side: int) -> Counts:
        """As long as there are rows."""
        known = self.counts[side]
        return np.concatenate([known, np.zeros(len(self.numbering) - len(known), np.int64)])


class Sets:
    """A sink fed by both sides of a set operation."""

    def __init__(self, operation: SetOperation) -> None:
        self.kind = operation.kind
        self.all = operation.all
        self.columns: tuple[tuple[str, Type], ...] = tuple((id, type) for id, _, _, type in operation.columns)

    def start(self) -> Rows:
        return Rows(Numbering([type for _, type in self.columns]))

    def add(self, state: Rows, batch: Batch, context: Context) -> None:
        if not batch.rows:
            return
        numbers = state.numbering.number([batch.column(id) for id, _ in self.columns], batch.rows)
        state.count(numbers, int(batch.column(SIDE).data[0]))
        held = state.numbering.nbytes + 16 * len(state.numbering)
        if held > context.memory:
            raise TooLarge(
                f"{self.kind.upper()} must hold {held:,} bytes of distinct rows, and memory= allows "
                f"{context.memory:,}: allow more, or compare fewer rows or columns",
                limit=context.memory,
                size=held,
            )

    def merge(self, states: Sequence[Rows], context: Context) -> Rows:  # noqa: ARG002 - as all sinks
        together = states[0]
        for state in states[1:]:
            numbers = together.numbering.merge(state.numbering)
            for side in (0, 1):
                together.count(numbers, side, state.counted(side))
        return together

    def batches(self, state: Rows, context: Context) -> Iterator[Batch]:
        if not len(state.numbering):
            return
        keys = state.numbering.keys()
        columns = {id: replace(key, type=type) for (id, type), key in zip(self.columns, keys, strict=True)}
        whole = Batch(columns, len(state.numbering))
        at = np.repeat(np.arange(whole.rows, dtype=np.int32), self._times(state))
        for start in range(0, len(at), context.vector):
            yield whole.take(at[start : start + context.vector])

    def _times(self, state: Rows) -> Counts:
        """How often each row is in the answer."""
        left, right = state.counted(0), state.counted(1)
        if self.kind == "union":
            times = left + right
        elif self.kind == "intersect":
            times = np.minimum(left, right)
        elif self.all:
            times = np.maximum(left - right, 0)
        else:
            times = np.where(right > 0, 0, left)
        return times if self.all else np.minimum(times, 1)
