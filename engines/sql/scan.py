"""Where the batches of a pipeline come from: a table, what an earlier pipeline left, rows of the text itself.

    Table      partitions of a TableSource; slices share them out
    Result     the state of an earlier pipeline's sink, once it is complete
    Rows       VALUES, and the one row that a SELECT without FROM reads
    Working    inside WITH RECURSIVE: the rows of the round before

Sources know nothing of a run: `open` binds one to the values and tables of a context.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from engines.errors import NotFound, nearest
from engines.sql import expressions
from engines.sql.column import Batch, Bytes, Column
from engines.sql.context import Context
from engines.sql.evaluation import positions
from engines.sql.functions import Functions
from engines.sql.logical import Bound, Expression, Scan, Values
from engines.sql.source import Partition, Predicate, TableSource
from engines.sql.values import engine_column

Keep = Mapping[str, Callable[[Column], Bytes]]  # column of the table -> mask of the rows that may find a partner


class Opened(Protocol):
    """A source in one run. partitions None: it is read in one piece, by one slice."""

    partitions: Sequence[Partition] | None

    def batches(self, shares: Sequence[Partition], context: Context) -> Iterator[Batch]: ...


class Source(Protocol):
    """Where batches come from, before a run."""

    def open(self, results: Mapping[int, Any], context: Context) -> Opened: ...


# ---- tables -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """A scan; ids of the plan on the outside, names of columns inside."""

    plan: Scan
    constants: Mapping[Expression, expressions.Program] = field(default_factory=dict)  # of a run, see `constants`

    def open(self, results: Mapping[int, Any], context: Context, given: Sequence[Partition] | None = None) -> "Open":
        """given: partitions that somebody else has asked for; a node is told which are its own."""
        del results
        source = context.tables.get(self.plan.table)
        if source is None:
            raise NotFound(f"no table {self.plan.table!r}{nearest(self.plan.table, context.tables)}")
        predicates, empty = bind(self.plan.predicates, context, self.constants)
        if given is None:
            given = [] if empty else source.partitions(predicates, context.scanned)
        return Open(self.plan, source, predicates, given)


@dataclass(slots=True)
class Open:
    """A scan of partitions that are pinned."""

    plan: Scan
    source: TableSource
    predicates: Sequence[Predicate]
    partitions: Sequence[Partition] | None
    keep: Keep | None = None  # what a join knows of its other side

    def batches(self, shares: Sequence[Partition], context: Context) -> Iterator[Batch]:
        names = [column.name for _, column in self.plan.columns]
        ids = {id: column.name for id, column in self.plan.columns}
        for partition in shares:
            context.check()
            for batch in self._read(partition, names, context):
                yield from at_most(batch.renamed(ids) if ids else Batch(rows=batch.rows), context.vector)

    def _read(self, partition: Partition, names: Sequence[str], context: Context) -> Iterator[Batch]:
        keep = self.keep
        where = getattr(self.source, "scan_where", None)  # a JoinFiltering; isinstance would look at every method of it
        if keep and where is not None:
            yield from where(partition, names, self.predicates, context.scanned, keep)
            return
        for batch in self.source.scan(partition, names, self.predicates, context.scanned):
            found = passing(batch, keep) if keep else batch
            if found.rows:
                yield found


def passing(batch: Batch, keep: Keep) -> Batch:
    """The rows that no mask drops."""
    mask: Bytes | None = None
    for name, masked in keep.items():
        column = batch.column(name)
        if not column.constant:
            more = masked(column)
            mask = more if mask is None else mask & more
    if mask is None:
        return batch
    kept = int(np.count_nonzero(mask))
    return batch if kept == batch.rows else batch.take(positions(mask, kept))


def constants(plan: Scan, functions: Functions) -> dict[Expression, expressions.Program]:
    """What the predicates compare with that a run has to compute first: current_date - 7, ? + 2."""
    values = [predicate.value for predicate in plan.predicates]
    every = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
    return {
        one: expressions.compile([one], functions)
        for one in every
        if isinstance(one, Expression) and not isinstance(one, Bound)
    }


def bind(
    predicates: Sequence[Predicate], context: Context, constants: Mapping[Expression, expressions.Program]
) -> tuple[list[Predicate], bool]:
    """The predicates with the values of this run, and whether one can never be true (a comparison with NULL).

    QueryError, with its place, for a constant that has no value.
    """

    def known(one: Any) -> Any:  # noqa: ANN401 - an engine value, or an expression
        if isinstance(one, Bound):
            return context.values.get(one.name)
        if isinstance(one, Expression):
            [column] = constants[one].run(Batch(rows=1), context)
            return value_of(column)
        return one

    bound = []
    for predicate in predicates:
        value = predicate.value
        if isinstance(value, Expression):
            value = known(value)
        elif isinstance(value, tuple) and any(isinstance(one, Expression) for one in value):
            value = tuple(map(known, value))
        if predicate.op == "in":
            value = tuple(one for one in value if one is not None)
            if not value:
                return [], True
        elif value is None and predicate.op not in {"is null", "is not null"}:
            return [], True
        bound.append(predicate if value is predicate.value else replace(predicate, value=value))
    return bound, False


def at_most(batch: Batch, vector: int) -> Iterator[Batch]:
    """The batch, in pieces of at most `vector` rows."""
    if batch.rows <= vector:
        if batch.rows:
            yield batch
        return
    for start in range(0, batch.rows, vector):
        yield batch.slice(start, start + vector)


# ---- rows that are there already ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Ready:
    """Batches that are made when they are asked for, in one piece."""

    make: Callable[[Context], Iterator[Batch]]
    partitions: Sequence[Partition] | None = None

    def batches(self, shares: Sequence[Partition], context: Context) -> Iterator[Batch]:
        del shares
        return self.make(context)


@dataclass(frozen=True, slots=True)
class Result:
    """What the sink of pipeline `number` gives."""

    number: int
    read: Callable[[Any, Context], Iterator[Batch]]  # its sink's `batches`

    def open(self, results: Mapping[int, Any], context: Context) -> Ready:
        del context
        return Ready(lambda inner: self.read(results[self.number], inner))


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of VALUES."""

    plan: Values
    program: expressions.Program  # all cells, row after row

    def open(self, results: Mapping[int, Any], context: Context) -> Ready:
        del results, context
        return Ready(self._make)

    def _make(self, context: Context) -> Iterator[Batch]:
        rows, width = len(self.plan.rows), len(self.plan.columns)
        cells = [value_of(column) for column in self.program.run(Batch(rows=1), context)]
        columns = {id: engine_column(cells[i::width], type) for i, (id, type) in enumerate(self.plan.columns)}
        yield from at_most(Batch(columns, rows), context.vector)


@dataclass(frozen=True, slots=True)
class Working:
    """The rows of the last round of the recursive query `name`."""

    name: str

    def open(self, results: Mapping[int, Any], context: Context) -> Ready:
        del results
        batches: Sequence[Batch] = context.working[self.name]
        return Ready(lambda _: iter(batches))


def value_of(column: Column, row: int = 0) -> Any:  # noqa: ANN401 - an engine value
    """One value of a column as an engine value; None for NULL."""
    row = 0 if column.constant else row
    if column.valid is not None and not column.valid[row]:
        return None
    if column.heap is not None:
        return column.heap[column.data[row] : column.data[row + 1]].tobytes()
    if column.words is not None:
        return column.words.words()[int(column.data[row])]
    value = column.data[row]
    if column.type.whole:
        return int(value) + column.base
    return value.item() if hasattr(value, "item") else value
