"""append(): rows that a program has, fitted to a table as those of an INSERT are, without any SQL.

    Arrow, DataFrame, dict of arrays or lists, TableSource  ──> a source          its columns go by name
    list of tuples or dicts                                 ──> a source of rows  in the order of the columns, by name
    source ──> a query over it, fitted (fitting.py) ──> Transaction.append            all rows or none

Columns that the data has not get their DEFAULT. An error names the column, and nothing is loaded.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engines.errors import EngineError, Invalid, NotFound, QueryError, listed, nearest
from engines.sql.logical import Expression, Project, Query, Reference, Scan
from engines.sql.source import Field, TableSource
from engines.sql.sources import RowsSource, table_source
from engines.warehouse.catalog import ColumnDefinition
from engines.warehouse.fitting import UNBOUNDED, appended, filled, fitted, unbounded
from engines.warehouse.names import folded

if TYPE_CHECKING:
    from engines.warehouse.session import Engine, Session


def append(session: "Session", name: str, data: Any, columns: Sequence[str] | None) -> int:  # noqa: ANN401 - what can be a table
    """Rows that a program has; see Warehouse.append."""
    name = folded((name,))
    with session.change(session.holder(name)) as transaction:
        entry = transaction.root.table(name)
        table = entry.definition
        known = {column.name: column for column in table.columns}
        for one in (one.lower() for one in columns or ()):
            if one not in known:
                raise NotFound(f"table {name!r} has no column {one!r}{nearest(one, known)}")
        source = _source(data, table.columns if columns is None else [known[one.lower()] for one in columns])
        given = [field.name for field in source.schema() if not field.name.startswith("$")]
        lower = [one.lower() for one in (given if columns is None else columns)]
        twice = sorted({one for one in lower if lower.count(one) > 1})
        if twice:
            raise Invalid(f"column {twice[0]!r} is named more than once")
        if len(lower) != len(given):
            raise Invalid(f"columns= names {len(lower)} columns, and the data has {len(given)}: {listed(given)}")
        for one in lower:
            if one not in known:
                raise NotFound(f"table {name!r} has no column {one!r}{nearest(one, known)}")
        fields = {field.name: field for field in source.schema()}
        scan = Scan("data", tuple((f"{one}#data", fields[one]) for one in given))
        bound = Query(scan, tuple((one, f"{one}#data", fields[one].type) for one in given), ("data",))
        wanted = [known[one] for one in lower]
        engine = session.engine()
        query = _fitted(bound, wanted, filled(engine, table, lower))
        engine.catalog = _Data(source)  # type: ignore[assignment] # a catalogue of one table
        context = engine.context(query)
        context.memory = UNBOUNDED
        try:
            found = engine.collect(engine.program(query), context)
        except QueryError as error:
            raise Invalid(_without_place(error, engine, query)) from error
        return appended(transaction, name, found, query)


def _fitted(bound: Query, wanted: Sequence[ColumnDefinition], also: Sequence[tuple[str, Expression]]) -> Query:
    try:
        return fitted(bound, wanted, "", also=also)
    except QueryError as error:
        raise Invalid(_message(error)) from error


def _message(error: QueryError) -> str:
    """Without a place: there is no text that it could point into."""
    return str(error).partition("\n")[0].rpartition(" (line ")[0]


def _without_place(error: QueryError, engine: "Engine", query: Query) -> str:
    """What an error says, and of which column."""
    message = _message(error)
    for name, id, type in query.columns:
        alone = Query(Project(query.plan, ((id, Reference(id, type=type)),)), ((name, id, type),), query.tables)
        try:
            engine.collect(engine.program(alone), engine.context(alone))
        except QueryError as again:
            if str(again) == str(error):
                return f"column {name!r}: {message}"
        except EngineError:  # a stream cannot be read again
            break
    return message


class _Data:
    """The catalogue of append: what is loaded."""

    def __init__(self, source: Any) -> None:  # noqa: ANN401 - a TableSource
        self._source = source

    def source(self, _: str) -> Any:  # noqa: ANN401 - see above
        return self._source


def _source(data: Any, columns: Sequence[ColumnDefinition]) -> TableSource:  # noqa: ANN401 - what can be a table
    """The data as a source. Lists of rows are tuples in the order of the columns, or dicts by their names."""
    if not isinstance(data, (list, tuple)):
        return table_source("data", data)
    rows = list(data)
    if rows and isinstance(rows[0], dict):
        rows = list(_known(rows, [column.name for column in columns]))
        named = {name for row in rows for name in row}
        columns = [column for column in columns if column.name in named]
        rows = [tuple(row.get(column.name) for column in columns) for row in rows]
    for at, row in enumerate(rows):
        if len(row) != len(columns):
            names = [column.name for column in columns]
            raise Invalid(
                f"row {at} has {len(row)} values, and the columns are {listed(names)}: name others with columns="
            )
    return RowsSource("data", tuple(Field(column.name, unbounded(column.type)) for column in columns), lambda: rows)


def _known(rows: Iterable[dict[str, Any]], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        for name in row:
            if name not in names:
                raise NotFound(f"there is no column {name!r}{nearest(name, names)}")
        yield row
