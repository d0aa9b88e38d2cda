"""Rows that an operator must see all of before it can answer: what sorts, windows and set operations hold.

A state is plain data: columns in pieces, as they arrived, in the order they arrived. Pieces of different slices are
put behind each other in slice order, so that the answer does not depend on which slice was faster.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engines.errors import TooLarge
from engines.sql.column import Batch, Column, Positions, expand
from engines.sql.concatenate import concatenate
from engines.sql.context import Context
from engines.sql.logical import Bound, Constant, Expression, Reference
from engines.sql.types import Type
from engines.sql.values import engine_column

Evaluate = Callable[[Batch, Context], Column]


@dataclass(slots=True)
class Collected:
    """Columns by id in pieces of `counts` rows each. bytes: what they take, dictionaries not counted."""

    pieces: list[dict[str, Column]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    def add(self, columns: Mapping[str, Column], rows: int, context: Context, operator: str) -> None:
        """One piece more, constants written out. TooLarge, naming the operator, when there is no memory for it."""
        if rows == 0:
            return
        piece = {id: expand(column, rows) for id, column in columns.items()}
        self.pieces.append(piece)
        self.counts.append(rows)
        self.rows += rows
        self.bytes += sum(size(column) for column in piece.values())
        if self.bytes > context.memory:
            raise TooLarge(
                f"{operator} must hold {self.bytes:,} bytes, and memory= allows {context.memory:,}: allow more, or "
                "read fewer rows or columns",
                limit=context.memory,
                size=self.bytes,
            )

    def whole(self) -> dict[str, Column]:
        """The columns in one piece; nothing where there are no rows."""
        if len(self.pieces) > 1:
            self.pieces = [{id: concatenate([piece[id] for piece in self.pieces]) for id in self.pieces[0]}]
            self.counts = [self.rows]
        return self.pieces[0] if self.pieces else {}


def merged(states: Iterable[Collected]) -> Collected:
    """One after the other."""
    together = Collected()
    for state in states:
        together.pieces += state.pieces
        together.counts += state.counts
        together.rows += state.rows
        together.bytes += state.bytes
    return together


def size(column: Column) -> int:
    """Bytes that a column takes; a dictionary belongs to many and is not counted."""
    total = int(column.data.nbytes) * (5 if column.wide else 1)  # a Python number takes 32 bytes more than its pointer
    for array in (column.valid, column.heap):
        total += 0 if array is None else int(array.nbytes)
    return total + sum(size(part) for part in (column.parts or {}).values())


def evaluator(expression: Expression) -> Evaluate:
    """What looks an operand up in a batch. Lowering has put columns below for all that must be computed."""
    match expression:
        case Reference(id=id):
            return lambda batch, _context: batch.column(id)
        case Constant(value=value):
            fixed = constant(value, expression.type)
            return lambda _batch, _context: fixed
        case Bound(name=name):
            return lambda _batch, context: constant(context.values.get(name), expression.type)
    raise TypeError(f"an operand must be a column, a constant or a parameter: {type(expression).__name__}")


def constant(value: Any, type: Type) -> Column:  # noqa: ANN401 - an engine value
    """A column that is this engine value in every row."""
    return replace(engine_column([value], type), constant=True)


def cut(batch: Batch, order: Positions | None, vector: int, start: int = 0) -> Iterator[Batch]:
    """The batch from row `start` in pieces of at most `vector` rows, in this order (None: its own)."""
    rows = batch.rows if order is None else len(order)
    if order is None and start == 0 and rows <= vector:
        if rows:
            yield batch
        return
    for first in range(start, rows, vector):
        yield batch.slice(first, first + vector) if order is None else batch.take(order[first : first + vector])


def columns_of(batch: Batch, ids: Sequence[str]) -> dict[str, Column]:
    """These columns, gathered."""
    return {id: batch.column(id) for id in ids}
