"""Joins without equal keys: every pair of rows is a candidate.

    one build row     its values are constants beside the batch: what a scalar subquery gives costs nothing
    few of both       all pairs, as one batch
    fewer build rows  for each build row, its values as constants beside the whole probe batch: nothing is gathered
    fewer probe rows  the other way round: for each probe row, its values beside pieces of the build side

The condition is evaluated on those batches; `candidates.py` goes on with the pairs that pass.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from engines.sql.candidates import TWO_ROWS, Piece, null, passed_on
from engines.sql.column import Batch, Column, Maker, gather
from engines.sql.context import Context

if TYPE_CHECKING:
    from engines.sql.join import Built, Joining

PAIRS: Final = 4096  # so many pairs are one batch


class Nested:
    """The probe side in one run. It may be used by several threads."""

    def __init__(self, join: "Joining", built: "Built") -> None:
        self.join = join
        self.built = built
        self.inner = Batch(built.columns, built.rows)

    def push(self, batch: Batch, context: Context) -> Iterator[Batch]:
        join, rows = self.join, self.built.rows
        if rows == 0:
            if join.outer:
                yield batch.with_columns({id: null(column.type) for id, column in self.built.columns.items()})
            elif join.emit == "anti":
                yield batch
            return
        if join.condition is None and self.built.row_marks is None:
            if join.emit == "semi":
                yield batch
                return
            if join.emit == "anti":
                return
            if join.single and rows > 1:
                raise context.error(TWO_ROWS)
        yield from passed_on(join, self.built, batch, self._pieces(batch, context), context)

    def _pieces(self, batch: Batch, context: Context) -> Iterator[Piece]:
        rows, inner = self.built.rows, self.inner
        if rows > 1 and batch.rows * rows <= min(PAIRS, context.vector):
            at = np.repeat(np.arange(batch.rows, dtype=np.int32), rows)
            others = np.tile(np.arange(rows, dtype=np.int32), batch.rows)
            yield at, others, batch.take(at).beside(inner.take(others))
        elif rows <= batch.rows or rows == 1:
            for row in range(rows):
                values = constants(inner, self.join.ids, row)
                yield None, np.full(batch.rows, row, np.int32), batch.with_columns(values)
        else:
            ids = list(batch.ids())
            for start in range(0, rows, context.vector):
                others = np.arange(start, min(start + context.vector, rows), dtype=np.int32)
                piece = inner if len(others) == rows else inner.take(others)
                for row in range(batch.rows):
                    values = constants(batch, ids, row)
                    yield np.full(len(others), row, np.int32), others, piece.with_columns(values)


def constants(batch: Batch, ids: Sequence[str], row: int) -> dict[str, Column | Maker]:
    """A row's values for every row of another batch; each is looked up when somebody asks for it."""
    return {id: partial(_value, batch, id, row) for id in ids}


def _value(batch: Batch, id: str, row: int) -> Column:
    column = batch.column(id)
    if column.constant:
        return column
    return replace(gather(column, np.array([row], np.int32)), constant=True)
