"""LIMIT and OFFSET: the first rows, and no reading beyond them.

Each slice keeps up to limit + offset rows and says that it is `full`; the run then stops its scan. The leader puts the
slices behind each other, so the rows are those of the first slice as far as it has enough.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engines.sql.collected import Collected, columns_of, cut, merged
from engines.sql.column import Batch
from engines.sql.context import Context
from engines.sql.logical import Bound, Constant, Expression


@dataclass(frozen=True, slots=True)
class Limit:
    """A sink that keeps the columns `ids` of rows offset .. offset + limit. limit None: all from the offset on."""

    ids: tuple[str, ...]
    limit: Expression | None
    offset: Expression | None = None

    def start(self) -> Collected:
        return Collected()

    def add(self, state: Collected, batch: Batch, context: Context) -> None:
        most = wanted(self.limit, self.offset, context)
        if most is not None:
            batch = batch if batch.rows <= most - state.rows else batch.slice(0, max(most - state.rows, 0))
        state.add(columns_of(batch, self.ids), batch.rows, context, "LIMIT")

    def full(self, state: Collected, context: Context) -> bool:
        """No further batch would change the state."""
        most = wanted(self.limit, self.offset, context)
        return most is not None and state.rows >= most

    def merge(self, states: Sequence[Collected], context: Context) -> Collected:  # noqa: ARG002 - as all sinks
        return merged(states)

    def batches(self, state: Collected, context: Context) -> Iterator[Batch]:
        skip = 0 if self.offset is None else count(self.offset, "OFFSET", context)
        most = wanted(self.limit, self.offset, context)
        seen = 0
        for piece, rows in zip(state.pieces, state.counts, strict=True):
            batch = Batch(piece, rows)
            stop = rows if most is None else min(rows, most - seen)
            if skip - seen < stop:
                yield from cut(batch.slice(max(skip - seen, 0), stop), None, context.vector)
            seen += rows


def wanted(limit: Expression | None, offset: Expression | None, context: Context) -> int | None:
    """The rows to be kept, limit + offset; None = all."""
    if limit is None:
        return None
    most = count(limit, "LIMIT", context)
    return most + (0 if offset is None else count(offset, "OFFSET", context))


def count(expression: Expression, clause: str, context: Context) -> int:
    """The value of LIMIT or OFFSET. QueryError if it is no whole number from 0 on. NULL: as if it were not there."""
    if isinstance(expression, Constant):
        value = expression.value
    elif isinstance(expression, Bound):
        value = context.values.get(expression.name)
    else:
        raise context.error(f"{clause} must be a number or a parameter", expression.position)
    if value is None:
        return 0 if clause == "OFFSET" else 2**62
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise context.error(f"{clause} must be a whole number from 0 on, got {value!r}", expression.position)
    return value
