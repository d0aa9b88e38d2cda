"""A statement of the warehouse that runs, as its handler sees it: the session, the text, the values, places of errors.

    text ──> front: known by first words or syntax tree ──> Running ──> handler ──> a row that says what was done

    execute.py    tables, views, schemas, BEGIN     dml.py       INSERT, UPDATE, DELETE, MERGE
    filing.py     COPY, UNLOAD, external tables     rights.py    GRANT, policies
    upkeep.py     VACUUM, ANALYZE, SHOW             fitting.py   what those share that write rows

A handler makes its changes inside `session.change()`, so all of a statement is done or nothing.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engines.display import Table
from engines.errors import Denied, Invalid, QueryError, nearest
from engines.sql import front
from engines.sql.front import Statement
from engines.sql.logical import Query
from engines.warehouse.catalog import ColumnDefinition, TableDefinition
from engines.warehouse.commit import Transaction
from engines.warehouse.scan import Table as StoredTable

if TYPE_CHECKING:
    from engines.warehouse.session import Engine, Session


@dataclass(slots=True)
class Running:
    """A statement that runs."""

    session: "Session"
    engine: "Engine"
    statement: Statement
    values: Sequence[Any]
    named: Mapping[str, Any]
    timeout: float | None = None

    def error(self, message: str, node: Any = None) -> QueryError:  # noqa: ANN401 - of sqlglot's tree
        """A QueryError at the place of a node, as far as it has one."""
        return QueryError(message, text=self.statement.source, position=_place(node))

    def bind(self, query: Any, catalog: front.Catalog | None = None) -> Query:  # noqa: ANN401 - a syntax tree, or a text
        """A query inside of the statement, bound. A text has its offsets in the whole statement (reader.blanked).

        catalog: not the session's names, but these.
        """
        text = query if isinstance(query, str) else self.statement.source
        return front.bind_select(
            query, catalog or self.engine.catalog, self.engine.dialect, text=text, parameters=self.statement.parameters
        )

    @contextlib.contextmanager
    def changing(self, name: str) -> Iterator[Transaction]:
        """Changes of a table whose rows have numbers."""
        names = self.session.names
        with self.session.change(self.session.holder(name)) as transaction:
            names.target = name
            try:
                yield transaction
            finally:
                names.target = None

    def definition(self, transaction: Transaction, name: str, node: Any) -> TableDefinition:  # noqa: ANN401 - see error
        """The table that is written to. QueryError, at the node, if there is none, or no table that can be."""
        root = transaction.root
        if name in root.tables:
            held = [view for view, one in root.views.items() if one.materialized == name]
            if held and node is not None:
                raise self.error(f"{name!r} holds the rows of the materialized view {held[0]!r}: REFRESH that", node)
            return root.tables[name].definition
        kind = root.kind_of(name)
        if kind is not None:
            raise self.error(
                f"{name!r} is {'an' if kind[0] == 'e' else 'a'} {kind}: rows are written into tables", node
            )
        if name in self.session.warehouse.attached:
            raise self.error(f"{name!r} is attached: write to it where it is", node)
        raise self.error(f"there is no table {name!r}{nearest(name, root.tables)}", node)

    def column(self, table: TableDefinition, name: str, node: Any) -> ColumnDefinition:  # noqa: ANN401 - see error
        """A column by name. QueryError at the node, with the nearest name."""
        for column in table.columns:
            if column.name == name:
                return column
        hint = nearest(name, [column.name for column in table.columns])
        raise self.error(f"the table has no column {name!r}{hint}", node)

    def stored(self, name: str) -> StoredTable:
        """A table of a warehouse, this one or one that is attached. NotFound; Invalid; Denied to users."""
        found: Any = self.session.names.meant(name)
        if hasattr(found, "state"):  # an attached one is wrapped
            return found  # type: ignore[no-any-return] # see above
        user = self.session.user
        if user and self.session.root.kind_of(name) == "table":
            raise Denied(f"{user} may read {name!r}, but not how it is made")
        raise Invalid(f"{name!r} is no table that is stored here")


def _place(node: Any) -> int:  # noqa: ANN401 - of sqlglot's tree
    """Where a node begins: it or the first below it that knows."""
    if node is None:
        return 0
    for below in node.walk():
        start = below.meta.get("start")
        if start is not None:
            return int(start)
    return 0


def done(command: str, rows: int = 0, **more: Any) -> Table:  # noqa: ANN401 - cells of a row
    """The answer to a command: one row."""
    return Table({"command": [command], "rows": [rows], **{name: [value] for name, value in more.items()}})


Handler = Callable[[Running, Any], Table]
