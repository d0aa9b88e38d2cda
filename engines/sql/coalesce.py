"""Small batches put together: what is left of a batch behind a selective scan, filter or join is often a few rows.

    65,536 rows ──> filter ──> 700 rows ┐
    65,536 rows ──> filter ──> 650 rows ├──> 2,050 rows ──> join ──> ...
    65,536 rows ──> filter ──> 700 rows ┘

A step costs some ten microseconds a batch, whatever the batch holds; a hundred times that of a row. Nothing is gathered
here: a column of the new batch is that of its pieces, one behind the other, made when somebody asks for it.

Invariants: the order of rows stays. Pieces that wait are few (`PIECES`), so what they keep alive is bounded.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

from engines.sql.column import Batch, Column, expand
from engines.sql.concatenate import concatenate

SMALL: Final = 8  # a batch of an eighth of the most rows, or less, waits for others
PIECES: Final = 32


def coalesced(stream: Iterator[Batch], vector: int) -> Iterator[Batch]:
    """The rows of the stream in fewer batches, each of at most vector rows. Batches without rows are left out."""
    small = vector // SMALL
    waiting: list[Batch] = []
    rows = 0
    for batch in stream:
        if batch.rows > small:
            if waiting:
                yield joined(waiting, rows)
                waiting, rows = [], 0
            yield batch
        elif batch.rows:
            if rows + batch.rows > vector or len(waiting) == PIECES:
                yield joined(waiting, rows)
                waiting, rows = [], 0
            waiting.append(batch)
            rows += batch.rows
    if waiting:
        yield joined(waiting, rows)


def joined(pieces: list[Batch], rows: int) -> Batch:
    """The rows of all pieces, which have the same columns. rows: how many these are."""
    if len(pieces) == 1:
        return pieces[0]
    return Batch({id: partial(_column, pieces, id) for id in pieces[0].ids()}, rows)


def _column(pieces: list[Batch], id: str) -> Column:
    columns = [piece.column(id) for piece in pieces]
    first = columns[0]
    if first.constant and all(_same(first, column) for column in columns):
        return first
    return concatenate([expand(column, piece.rows) for column, piece in zip(columns, pieces, strict=True)])


def _same(first: Column, other: Column) -> bool:
    """Whether two columns are one constant for certain."""
    if other is first:
        return True
    return (
        other.constant
        and first.valid is other.valid is None
        and first.heap is other.heap is None
        and first.parts is other.parts is None
        and first.words is other.words
        and first.base == other.base
        and first.data.dtype == other.data.dtype
        and bool(first.data[0] == other.data[0])
    )
