"""The streaming steps that every plan has, and the sink that keeps an answer."""

from collections.abc import Iterator, Mapping, Sequence

from engines.sql import expressions
from engines.sql.collected import Collected, columns_of, merged
from engines.sql.column import Batch
from engines.sql.context import Context
from engines.sql.functions import Functions
from engines.sql.logical import Expression, Reference


class Filter:
    """The rows whose condition is true. No data moves: the batch gets positions."""

    def __init__(self, condition: Expression, functions: Functions) -> None:
        self.condition = expressions.condition(condition, functions)

    def push(self, batch: Batch, context: Context) -> Iterator[Batch]:
        kept = self.condition.positions(batch, context)
        if kept is None or len(kept) == batch.rows:
            yield batch
        elif len(kept):
            yield batch.take(kept)


class Project:
    """Columns that are computed, and columns that are passed on under the same or another id."""

    def __init__(self, columns: Sequence[tuple[str, Expression]], functions: Functions) -> None:
        self.passed = {id: one.id for id, one in columns if isinstance(one, Reference)}
        self.computed = [id for id, one in columns if not isinstance(one, Reference)]
        self.program = expressions.compile([one for _, one in columns if not isinstance(one, Reference)], functions)

    def push(self, batch: Batch, context: Context) -> Iterator[Batch]:
        passed = batch.renamed(self.passed)
        if self.computed:
            made = self.program.run(batch, context)
            passed = passed.with_columns(dict(zip(self.computed, made, strict=True)))
        yield passed


class Extend:
    """More columns, computed."""

    def __init__(self, columns: Sequence[tuple[str, Expression]], functions: Functions) -> None:
        self.ids = [id for id, _ in columns]
        self.program = expressions.compile([one for _, one in columns], functions)

    def push(self, batch: Batch, context: Context) -> Iterator[Batch]:
        yield batch.with_columns(dict(zip(self.ids, self.program.run(batch, context), strict=True)))


class Rename:
    """Only these columns, by new ids: new id -> old id."""

    def __init__(self, ids: Mapping[str, str]) -> None:
        self.ids = dict(ids)

    def push(self, batch: Batch, context: Context) -> Iterator[Batch]:
        del context
        yield batch.renamed(self.ids)


class Collect:
    """A sink that keeps the columns `ids` of every row: an answer, or a WITH query that is read twice."""

    def __init__(self, ids: Sequence[str], what: str = "the result") -> None:
        self.ids = tuple(dict.fromkeys(ids))
        self.what = what

    def start(self) -> Collected:
        return Collected()

    def add(self, state: Collected, batch: Batch, context: Context) -> None:
        state.add(columns_of(batch, self.ids), batch.rows, context, self.what)

    def merge(self, states: Sequence[Collected], context: Context) -> Collected:
        del context
        return states[0] if len(states) == 1 else merged(states)

    def batches(self, state: Collected, context: Context) -> Iterator[Batch]:
        del context
        for piece, rows in zip(state.pieces, state.counts, strict=True):
            yield Batch(piece, rows)
