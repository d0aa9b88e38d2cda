"""Statements on a ledger: PartiQL's sources are its tables, and what it writes becomes part of a transaction.

SELECT                     documents, as the transaction sees them
_ql_committed_NAME         current revisions with metadata, as the last commit left them
history(NAME, t0, t1)      all revisions that were current at some time in between
information_schema         the tables
CREATE, DROP, UNDROP       transactions of their own
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engines.display import Plan
from engines.errors import Invalid
from engines.ledger import views
from engines.ledger.canonicaljson import canonical, encoded, read
from engines.ledger.ids import parse, show
from engines.ledger.partiql import evaluate, microseconds, nodes
from engines.ledger.partiql.functions import Context
from engines.ledger.partiql.parser import Parser, parsed
from engines.ledger.partiql.plan import IDENTITY, Known, Path
from engines.ledger.partiql.sources import Row
from engines.ledger.results import Result
from engines.ledger.state import TableState, shown_path

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger
    from engines.ledger.transaction import Transaction

DATA, ID = ("data",), ("metadata", "id")  # paths in a committed row


def index_path(path: str) -> Path:
    """The steps of a path that an index is on. QueryError where a text is no path, Invalid where it is no text."""
    if not isinstance(path, str):
        raise Invalid(f"an index is on a path, such as 'VIN' or 'Owner.Id', got {path!r:.60}")
    return Parser(path).whole_path()


def execute(tx: "Transaction", text: str, parameters: Sequence[Any]) -> Result:
    """See Transaction.execute."""
    return _executed(tx, text, parameters, Sources(tx))


def explain(book: "Ledger", text: str, parameters: Sequence[Any]) -> Plan:
    """See Ledger.explain."""
    statement = _parsed(text).statement
    if not isinstance(statement, nodes.Select):
        raise Invalid(f"explain() runs the statement, so it takes SELECT only, this is {statement.kind.upper()}")
    with book.transaction() as tx:
        sources = Sources(tx)
        rows = _executed(tx, text, parameters, sources)
        children = [
            Plan(access.how, access.name, {"lookups": access.lookups, "rows": access.rows, "bytes_read": access.bytes})
            for access in sources.accesses.values()
        ]
        return Plan("Select", text, {"rows": len(rows), "conflict_keys": len(tx.conflicts)}, children)


def _parsed(text: object) -> nodes.Parsed:
    if not isinstance(text, str):
        raise Invalid(f"a statement is a text of PartiQL, got {type(text).__name__}")
    return parsed(text)


def _executed(tx: "Transaction", text: str, parameters: Sequence[Any], sources: "Sources") -> Result:
    found = _parsed(text)
    statement = found.statement
    given = read(canonical(list(parameters)))  # JSON's values, and nobody changes them meanwhile
    scope = evaluate.new_scope(found, sources, given, Context(tx.book.clock.now(), tx.id))
    match statement:
        case nodes.Select():
            rows = list(evaluate.select(found, scope))
            read_bytes = sum(access.bytes for access in sources.accesses.values())
            return Result(rows, stats={"rows_read": sources.rows_read, "bytes_read": read_bytes})
        case nodes.Value(nodes.Name(name)):
            raise Invalid(
                f"{name!r:.60} is no statement: SELECT, INSERT, UPDATE, DELETE, FROM, CREATE, DROP, UNDROP begin one; "
                "transactions end with their `with` block, and book.redact() redacts"
            )
        case nodes.Value():
            return Result([evaluate.value(found, scope)])
        case nodes.Insert(name):
            table = tx.book.state.table(name)
            new = [encoded(document) for document in evaluate.inserted(found, scope)]  # all, before any is written
            return _written(tx.put(table, data) for data in new)
        case nodes.Update(source):
            table = tx.book.state.table(source.source.name)  # type: ignore[union-attr] # the parser takes only tables
            changes = [
                (identity, encoded(evaluate.changed(found, document, identity, scope)))
                for identity, document in evaluate.matches(found, scope)
            ]
            for identity, data in changes:
                tx.replace(table, identity, data)
            return _written(identity for identity, _ in changes)
        case nodes.Delete(source):
            table = tx.book.state.table(source.source.name)  # type: ignore[union-attr] # as above
            gone = [identity for identity, _ in evaluate.matches(found, scope)]
            for identity in gone:
                tx.replace(table, identity, None)
            return _written(gone)
        case _:
            return _defined(tx, statement)


def _written(ids: Iterable[str]) -> Result:
    return Result([{"documentId": identity} for identity in ids])


def _defined(tx: "Transaction", statement: nodes.Statement) -> Result:
    """CREATE, DROP, UNDROP: at once, as transactions of their own."""
    if not tx.untouched:
        raise Invalid(
            f"{statement.kind.upper()} is a transaction of its own: commit first, or use the ledger's execute()"
        )
    book = tx.book
    match statement:
        case nodes.CreateTable(table):
            return Result([{"tableId": book.create_table(table)}])
        case nodes.DropTable(table):
            return Result([{"tableId": book.drop_table(table)}])
        case nodes.UndropTable(table):
            return Result([{"tableId": book.undrop_table(table)}])
        case nodes.CreateIndex(table, path):
            book.create_index(table, shown_path(path))
        case nodes.DropIndex(table, path):
            book.drop_index(table, shown_path(path))
    return Result([])


@dataclass(slots=True)
class Access:
    """How a source was read."""

    how: str
    name: str
    lookups: int = 0
    rows: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Sources:
    """A transaction's tables as sources of PartiQL."""

    _tx: "Transaction"
    accesses: dict[tuple[str, str], Access] = field(default_factory=dict)

    @property
    def rows_read(self) -> int:
        """How many rows were looked at."""
        return sum(access.rows for access in self.accesses.values())

    def has(self, table: str) -> bool:
        """See partiql.sources.Sources."""
        return table in self._tx.book.state.names

    def rows(self, source: nodes.Source, equal: Sequence[Known], bounds: tuple[Any, Any]) -> Iterator[Row]:
        """See partiql.sources.Sources."""
        state = self._tx.book.state
        match source:
            case nodes.TableSource(name):
                return self._documents(state.table(name), equal)
            case nodes.CommittedSource(name):
                return self._committed(state.table(name), equal)
            case nodes.HistorySource(name):
                with self._tx.book.tree.lock:
                    table = views.any_table(self._tx.book, name)
                if any(bound is not None and not isinstance(bound, str) for bound in bounds):
                    raise Invalid(f"bounds of history() are times, `2024-05-01T12:00:00Z` in backticks, got {bounds}")
                start, end = (None if bound is None else microseconds(bound) for bound in bounds)
                views.check_bounds(start, end)
                return self._history(table, start, end, equal)
            case nodes.CatalogueSource():
                return self._tables()
            case _:
                raise Invalid("FROM takes tables, views, history() and values")

    def _access(self, how: str, name: str) -> Access:
        found = self.accesses.setdefault((how, name), Access(how, name))
        found.lookups += 1
        return found

    def _found(self, table: TableState, equal: Sequence[Known]) -> tuple[bytes | None, Access]:
        """The id that is asked for, if one is; how the table is read."""
        for path, value in equal:
            if path == IDENTITY:
                return parse(value) or b"", self._access("Document", table.name)
        for path, _ in equal:
            if table.index_on(path) is not None:
                return None, self._access("Index", f"{table.name} ({shown_path(path)})")
        return None, self._access("Scan", table.name)

    def _documents(self, table: TableState, equal: Sequence[Known]) -> Iterator[Row]:
        raw, access = self._found(table, equal)
        if raw is not None:
            found = self._tx.find(table, raw) if raw else None
            if found is not None:
                access.rows += 1
                access.bytes += len(found[1])
                yield show(raw), read(found[1])
            return
        data_of = self._tx.book.state.data
        for document, place, written in self._tx.candidates(table, equal):
            data = written if place is None else data_of(place)
            if data is not None:
                access.rows += 1
                access.bytes += len(data)
                yield show(document), read(data)

    def _committed(self, table: TableState, equal: Sequence[Known]) -> Iterator[Row]:
        inner = [Known(path[1:], value) for path, value in equal if path[:1] == DATA and len(path) > 1]
        inner += [Known(IDENTITY, value) for path, value in equal if path in (ID, IDENTITY)]
        raw, access = self._found(table, inner)
        book = self._tx.book
        if raw is not None:
            self._tx.note_document(table, raw)
            ids: Iterable[bytes] = [raw]
        else:
            ids = (
                document for document, place, _ in self._tx.candidates(table, inner, beside=False) if place is not None
            )
        for document in ids:
            with book.tree.lock:
                place = book.state.place(table.number, document)
                where = None if place is None else book.state.where(place.block)
            if place is not None and where is not None:
                access.rows += 1
                access.bytes += place.length
                yield show(document), views.row(book, document, place, 0, where)

    def _history(self, table: TableState, start: int | None, end: int | None, equal: Sequence[Known]) -> Iterator[Row]:
        access = self._access("History", table.name)
        book = self._tx.book
        wanted = next((parse(value) or b"" for path, value in equal if path == ID), None)
        self._tx.note_table(table)
        ids = book.state.ever(table.number) if wanted is None else iter([wanted] if wanted else [])
        for raw in ids:
            for row in views.rows_of(book, table.number, raw, start, end):
                access.rows += 1
                access.bytes += len(canonical(row["data"])) if "data" in row else 0
                yield show(raw), row

    def _tables(self) -> Iterator[Row]:
        access = self._access("Catalogue", "user_tables")
        self._tx.note_catalogue()
        for table in list(self._tx.book.state.tables.values()):
            access.rows += 1
            indexes = [
                {"expr": f"[{shown_path(path)}]", "indexId": str(number), "status": "ONLINE"}
                for number, path in table.indexes.items()
            ]
            yield (
                None,
                {
                    "tableId": show(table.id),
                    "name": table.name,
                    "indexes": indexes,
                    "status": "INACTIVE" if table.dropped else "ACTIVE",
                },
            )
