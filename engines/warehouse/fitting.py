"""Values into columns: a query's rows as those of a table, and DEFAULTs. What all share that write rows.

    query ──> fitted: its columns cast to those of the table, defaults behind them ──> rows_of ──> appended

A value fits a column if assignment may convert it: numbers, times and texts among themselves, and text from and to
anything. What is too long or too large for its column is an error, never cut.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from engines.errors import Invalid, QueryError
from engines.sql import front
from engines.sql.binder.literals import cast
from engines.sql.binder.typing import assignable, castable
from engines.sql.collected import Collected
from engines.sql.column import Batch
from engines.sql.logical import Expression, Plan, Project, Query, Reference, Values
from engines.sql.types import Type
from engines.sql.values import engine_value, python_values
from engines.warehouse.catalog import ColumnDefinition, TableDefinition, stored
from engines.warehouse.commit import Transaction
from engines.warehouse.running import Running

if TYPE_CHECKING:
    from engines.warehouse.session import Engine
    from engines.warehouse.statements import records

NO_ROWS: Final = Query(Values((), ()), ())  # for what is no query, but wants a Context
UNBOUNDED: Final = sys.maxsize  # of memory: what a statement writes is held until it is written


def fitted(
    query: Query, columns: Sequence[ColumnDefinition], text: str, *, also: Sequence[tuple[str, Expression]] = ()
) -> Query:
    """The query with its columns as these of a table, by their order; more columns of constants behind them.

    QueryError where their number differs, or assignment does not convert.
    """
    if len(query.columns) != len(columns):
        place = max(_positions(query.plan), default=0)
        message = f"{len(columns)} columns are to be filled, and {len(query.columns)} values given"
        raise QueryError(message, text=text, position=place)
    made: list[tuple[str, Expression]] = []
    if isinstance(query.plan, Values):
        query = _fitted_rows(query, query.plan, columns, text)
    for (_, id, given), column in zip(query.columns, columns, strict=True):
        position = _position(query.plan, id)
        made.append((column.name, _assigned(Reference(id, type=given, position=position), column, text)))
    made += also
    described = tuple((name, f"{name}#into", value.type) for name, value in made)
    into = tuple((f"{name}#into", value) for name, value in made)
    return Query(Project(query.plan, into), described, query.tables)


def _fitted_rows(query: Query, plan: Values, columns: Sequence[ColumnDefinition], text: str) -> Query:
    """Each value of VALUES by itself: an error stands where it does."""
    places = [[id for id, _ in plan.columns].index(id) for _, id, _ in query.columns]
    wanted = dict(zip(places, columns, strict=True))
    rows = tuple(
        tuple(_assigned(value, wanted[at], text) if at in wanted else value for at, value in enumerate(row))
        for row in plan.rows
    )
    types = tuple(
        (id, unbounded(wanted[at].type) if at in wanted else type) for at, (id, type) in enumerate(plan.columns)
    )
    known = dict(types)
    return Query(Values(types, rows), tuple((name, id, known[id]) for name, id, _ in query.columns), query.tables)


def _assigned(value: Expression, column: ColumnDefinition, text: str) -> Expression:
    given, wanted = value.type, column.type
    if not (assignable(given, wanted) or ((given.text or wanted.text) and castable(given, wanted))):
        message = f"column {column.name!r} holds {wanted} and takes no {given}: write a CAST"
        raise QueryError(message, text=text, position=max(value.position, 0))
    return cast(value, unbounded(wanted))


def unbounded(type: Type) -> Type:
    """A type of text without its length: a cast would cut there; whoever stores it refuses what is too long."""
    return replace(type, length=0) if type.text else type


def _position(plan: Plan, id: str) -> int:
    """Where a column of a query was written, as far as its plan says it."""
    while not isinstance(plan, Project):
        below = getattr(plan, "input", None)
        if below is None:
            return -1
        plan = below
    return next((value.position for name, value in plan.columns if name == id), -1)


def _positions(plan: Plan) -> Iterator[int]:
    if isinstance(plan, Project):
        yield from (value.position for _, value in plan.columns)


def filled(engine: "Engine", table: TableDefinition, given: Iterable[str]) -> list[tuple[str, Expression]]:
    """The DEFAULT values of the columns that are not given. What has none is NULL, or IDENTITY."""
    named = set(given)
    return [
        (column.name, front.bind_expression(column.default, {}, engine.dialect, wanted=unbounded(column.type)))
        for column in table.columns
        if column.name not in named and column.default is not None
    ]


def rows_of(running: Running, query: Query) -> Collected:
    """A bound query's rows."""
    engine = running.engine
    context = engine.context(query, running.statement.source, running.values, running.named, timeout=running.timeout)
    context.memory = UNBOUNDED
    return engine.collect(engine.program(query), context)


def batches(found: Collected, query: Query) -> Iterator[Batch]:
    """Its rows, keyed by header."""
    for piece, rows in zip(found.pieces, found.counts, strict=True):
        yield Batch({name: piece[id] for name, id, _ in query.columns}, rows)


def appended(transaction: Transaction, name: str, found: Collected, query: Query) -> int:
    """The rows of a query into a table; how many."""
    if query.columns:
        return transaction.append(name, batches(found, query))
    return transaction.append(name, (Batch({}, rows) for rows in found.counts))


def constant_row(name: str, value: Expression) -> Query:
    """SELECT value AS name."""
    return Query(Project(Values((), ((),)), ((name, value),)), ((name, name, value.type),))


def default_value(running: Running, column: "ColumnDefinition | records.ColumnDefinition", text: str) -> Any:  # noqa: ANN401 - as the catalogue writes values
    """What a DEFAULT gives. QueryError for what is none, Invalid if it is too long for its column."""
    bound = front.bind_expression(text, {}, running.engine.dialect, wanted=unbounded(column.type))
    found = rows_of(running, constant_row(column.name, bound))
    (shown,) = python_values(found.whole()[column.name], 1)
    value = engine_value(shown, column.type)
    if column.type.bytes and column.type.length and value is not None and len(value) > column.type.length:
        raise Invalid(f"DEFAULT of column {column.name!r} is longer than {column.type}")
    return stored(value)
