"""Pairs of rows that may join: the condition is asked, and what the kind of join makes of the answers.

A piece is (probe rows, build rows, the pairs as a batch); probe rows None = every row of the batch once, in order. A
build row that passes is marked if the build side still owes rows at the end (right, full, and semi and anti joins whose
left side was built); probe rows that passed are remembered for the length of the batch.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from engines._native import hashjoin
from engines.sql.column import Batch, Bytes, Column, Positions, nulls
from engines.sql.context import Context
from engines.sql.types import Type

if TYPE_CHECKING:
    from engines.sql.join import Built, Joining

TWO_ROWS: Final = "more than one row returned by a subquery used as an expression"
Piece = tuple[Positions | None, Positions, Batch]


def passed_on(
    join: "Joining", built: "Built", batch: Batch, pieces: Iterator[Piece], context: Context
) -> Iterator[Batch]:
    """What becomes of a probe batch whose candidates are these. QueryError if a single row meets two."""
    one_side = join.emit in {"semi", "anti"}
    met: Bytes = np.zeros(batch.rows, np.uint8)
    for at, rows, pairs in pieces:
        context.check()
        passed = None if join.condition is None else join.condition.positions(pairs, context)
        if passed is not None:
            if not len(passed):
                continue
            at, rows = passed if at is None else at[passed], rows[passed]  # noqa: PLW2901 - those that are left
            pairs = pairs.take(passed) if join.emit == "pairs" else pairs  # noqa: PLW2901 - see above
        if built.row_marks is not None:
            built.row_marks[rows] = 1
        if join.single:
            counts = met + np.bincount(np.arange(batch.rows) if at is None else at, minlength=batch.rows)
            if counts.max(initial=0) > 1:
                raise context.error(TWO_ROWS)
        if join.outer or one_side:
            met[slice(None) if at is None else at] = 1
        if join.emit == "pairs":
            yield pairs
        elif one_side and met.all():
            break
    if one_side:
        yield from chosen(batch, met.astype(np.int32) - 1, there=join.emit == "semi")
    elif join.outer:
        alone = np.flatnonzero(met == 0).astype(np.int32)
        if len(alone):
            missing = {id: null(column.type) for id, column in built.columns.items()}
            yield (batch if len(alone) == batch.rows else batch.take(alone)).with_columns(missing)


def chosen(batch: Batch, found: Positions, *, there: bool) -> Iterator[Batch]:
    """The rows that found something (0 or more), or those that did not (-1)."""
    at = np.empty(len(found), np.int32)
    kept = hashjoin.choose(found, there, at)
    if kept == batch.rows:
        yield batch
    elif kept:
        yield batch.take(at[:kept])


def null(type: Type) -> Column:
    """NULL for every row."""
    return replace(nulls(type, 1), constant=True)
