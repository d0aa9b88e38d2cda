"""The statements that are not queries: one handler for each kind of record (statements/records.py), see running.py.

Definitions: tables, views, schemas; TRUNCATE, and the ends of transactions. What is done elsewhere: running.py.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from engines.display import Table
from engines.errors import AlreadyExists, Invalid, NotFound, QueryError, listed, nearest
from engines.sql import front
from engines.sql.logical import Query
from engines.sql.types import VARCHAR, Type
from engines.warehouse import fitting
from engines.warehouse.catalog import ColumnDefinition, Root, TableDefinition, View
from engines.warehouse.commit import Transaction
from engines.warehouse.names import folded
from engines.warehouse.rights import set_rules
from engines.warehouse.running import Handler, Running, done
from engines.warehouse.statements import records

ENCODINGS: Final = {  # the service's names for what is called otherwise here
    "az64": "bitpack", "mostly8": "bitpack", "mostly16": "bitpack", "mostly32": "bitpack", "none": "raw",
    "lzo": "zstd", "text255": "bytedict", "text32k": "bytedict", "delta32k": "delta",
}  # fmt: skip


# ---- tables ------------------------------------------------------------------------------------------------------


def create_table(running: Running, record: records.CreateTable) -> Table:
    """CREATE TABLE: by columns, LIKE another, or AS a query."""
    session = running.session
    temporary = record.temporary or record.name.startswith("#")
    storage = session.temporary() if temporary else session.warehouse.storage
    with session.change(storage) as transaction:
        if transaction.root.kind_of(record.name) is not None and record.if_not_exists:
            return done("CREATE TABLE")
        refuse_schema(transaction.root, record.name)
        if not temporary:
            _refuse_attached(running, record.name)
        style, key, sort = record.style, record.distkey, record.sortkey
        interleaved = record.interleaved
        query = None
        if record.like is not None:
            like = running.stored(record.like).state.definition
            columns = like.columns
            if style == "auto" and key is None and not sort:
                style, key, sort = like.keys_by_name()
                interleaved = like.interleaved
        elif record.query is not None:
            query = running.bind(record.query)
            columns = columns_of(query, record)
        else:
            columns = tuple(column_of(running, column) for column in record.columns)
        transaction.create_table(record.name, columns, style=style, key=key, sort=sort, interleaved=interleaved)  # type: ignore[arg-type] # checked
        if query is None:
            return done("CREATE TABLE")
        rows = fill(running, transaction, record.name, query)
    return done("CREATE TABLE AS", rows)


def fill(running: Running, transaction: Transaction, name: str, query: Query) -> int:
    """A query's rows into a table whose columns are those of the query."""
    definition = transaction.root.table(name).definition
    query = fitting.fitted(query, definition.columns, running.statement.source)
    return transaction.append(name, fitting.batches(fitting.rows_of(running, query), query))


def columns_of(query: Query, record: records.CreateTable) -> tuple[ColumnDefinition, ...]:
    """Columns for the rows of a query: its headers and types."""
    names = [header.lower() for header, _, _ in query.columns]
    if record.columns:
        names = [column.name for column in record.columns]
        if len(names) != len(query.columns):
            raise Invalid(f"{len(names)} columns are named, and the query has {len(query.columns)}")
    if "?column?" in names:
        raise Invalid(f"column {names.index('?column?') + 1} of the query has no name: give it one with AS")
    return tuple(
        ColumnDefinition(name, _storable(type)) for name, (_, _, type) in zip(names, query.columns, strict=True)
    )


def _storable(type: Type) -> Type:
    return VARCHAR if type.kind == "null" else type


def column_of(running: Running, column: records.ColumnDefinition) -> ColumnDefinition:
    """A column as the catalogue has it. QueryError for a DEFAULT that is none."""
    default = None if column.default is None else column.default.strip()
    if column.default is not None:
        text = column.default
        try:
            fitting.default_value(running, column, text.strip())
        except QueryError as error:
            first = str(error).partition("\n")[0]
            raise QueryError(
                f"DEFAULT of column {column.name!r}: {first.rpartition(' (line ')[0]}",
                text=running.statement.source,
                position=len(text) - len(text.lstrip()),
            ) from error
    encode = (column.encode or "auto").lower()
    return ColumnDefinition(
        column.name, column.type, column.nullable, default, column.identity, ENCODINGS.get(encode, encode)
    )


def refuse_schema(root: Root, name: str) -> None:
    """NotFound where the schema of a new name is not there."""
    schema, dot, _ = name.rpartition(".")
    if dot and schema not in root.schemas:
        raise NotFound(f"there is no schema {schema!r}{nearest(schema, root.schemas)}: CREATE SCHEMA {schema} first")


def _refuse_attached(running: Running, name: str) -> None:
    if name in running.session.warehouse.attached:
        raise AlreadyExists(f"a table is attached as {name!r}: detach it, or name another", name=name)


def drop(running: Running, record: records.Drop) -> Table:
    """DROP of tables, views, policies, schemas."""
    session = running.session
    dropped = 0
    storages = {session.holder(name) for name in record.names}
    with contextlib.ExitStack() as stack:
        open = {storage: stack.enter_context(session.change(storage)) for storage in storages}
        for name in record.names:
            dropped += _drop(running, open[session.holder(name)], record, name)
    return done(f"DROP {record.kind.upper()}", dropped)


def _drop(running: Running, transaction: Transaction, record: records.Drop, name: str) -> int:
    root = transaction.root
    if record.kind == "policy":
        if record.if_exists and name not in root.access.policies:
            return 0
        set_rules(transaction, lambda access: access.drop(name))
        return 1
    if record.kind == "schema":
        return _drop_schema(running, transaction, record, name)
    kind = root.kind_of(name)
    if kind is None:
        if record.if_exists:
            return 0
        if name in running.session.warehouse.attached:
            raise Invalid(f"{name!r} is attached: detach() it")
        raise NotFound(
            f"there is no {record.kind} {name!r}{nearest(name, [*root.tables, *root.views, *root.external])}"
        )
    if (kind == "view") != (record.kind == "view"):
        raise Invalid(
            f"{name!r} is {'an' if kind[0] == 'e' else 'a'} {kind}: DROP {'VIEW' if kind == 'view' else 'TABLE'} it"
        )
    for reader in readers(running, root, name):
        if not record.cascade:
            raise Invalid(f"view {reader!r} reads {name!r}: DROP it first, or DROP {record.kind.upper()} ... CASCADE")
        if reader in transaction.root.views:
            _drop(running, transaction, records.Drop("view", (), if_exists=True, cascade=True), reader)
    if kind == "table":
        held = [view for view, one in root.views.items() if one.materialized == name]
        if held:
            raise Invalid(f"{name!r} holds the rows of the materialized view {held[0]!r}: DROP that")
        transaction.drop_table(name)
    elif kind == "external table":
        transaction.drop_external(name)
    else:
        materialized = root.views[name].materialized
        transaction.drop_view(name)
        if materialized is not None:
            transaction.drop_table(materialized)
    return 1


def _drop_schema(running: Running, transaction: Transaction, record: records.Drop, name: str) -> int:
    root = transaction.root
    if name not in root.schemas:
        if record.if_exists:
            return 0
        raise NotFound(f"there is no schema {name!r}{nearest(name, root.schemas)}")
    inside = [one for one in (*root.views, *root.tables, *root.external) if one.startswith(f"{name}.")]
    if inside and not record.cascade:
        raise Invalid(f"schema {name!r} holds {listed(inside)}: DROP SCHEMA ... CASCADE drops them too")
    for one in inside:
        kind = transaction.root.kind_of(one)
        if kind is not None:
            what: Any = "view" if kind == "view" else "table"
            _drop(running, transaction, records.Drop(what, (), if_exists=True, cascade=True), one)
    transaction.change(
        lambda now: msgspec.structs.replace(now, schemas=tuple(one for one in now.schemas if one != name))
    )
    return 1


def readers(running: Running, root: Root, name: str) -> list[str]:
    """The views that read this table or view. One that cannot be bound any more reads nothing."""
    found = []
    for view, one in root.views.items():
        if view == name:
            continue
        watching = _Watching(running.session.names.owner)
        with contextlib.suppress(QueryError):
            front.bind_select(one.text, watching, running.engine.dialect)
        if name in watching.seen:
            found.append(view)
    return found


class _Watching:
    """A catalogue that remembers what it was asked for."""

    def __init__(self, catalog: Any) -> None:  # noqa: ANN401 - Names
        self._catalog = catalog
        self.seen: set[str] = set()

    def find(self, parts: tuple[str, ...]) -> Any:  # noqa: ANN401 - see front.Catalog
        self.seen.add(folded(parts))
        return self._catalog.find(parts)

    def names(self) -> Iterator[str]:
        yield from self._catalog.names()


def alter(running: Running, record: records.Alter) -> Table:
    """ALTER TABLE."""
    session = running.session
    name = record.name
    with session.change(session.holder(name)) as transaction:
        table = running.definition(transaction, name, None)
        before = _views_that_bind(running, transaction.root)
        match record.action:
            case "add":
                _add_column(running, transaction, record)
            case "drop":
                transaction.drop_column(name, record.old)
            case "rename column":
                transaction.rename_column(name, record.old, record.new)
            case "rename":
                schema, dot, _ = name.rpartition(".")
                transaction.rename_table(name, f"{schema}{dot}{record.new}")
            case "append":
                return _append_from(transaction, table, record)
            case "row level security":
                set_rules(transaction, lambda access: access.secure(name, on=record.new == "on"))
            case "owner":
                pass  # users are names here
            case _:
                transaction.redefine(name, lambda one: _changed(one, record))
        broken = before - _views_that_bind(running, transaction.root)
        if broken:
            raise Invalid(f"view {min(broken)!r} reads {name!r} as it is: DROP it first, and make it again")
    return done("ALTER TABLE")


def _views_that_bind(running: Running, root: Root) -> set[str]:
    """The views whose queries find what they name."""
    found = set()
    owner = running.session.names.owner
    for name, view in root.views.items():
        with contextlib.suppress(QueryError):
            if view.materialized is None:
                running.session.columns_of(name, owner)
            else:
                front.bind_select(view.text, owner, running.engine.dialect)
            found.add(name)
    return found


def _add_column(running: Running, transaction: Transaction, record: records.Alter) -> None:
    if record.column is None:
        raise Invalid("ALTER TABLE ADD names a column")
    column = column_of(running, record.column)
    if column.identity is not None:
        raise Invalid(f"column {column.name!r}: an IDENTITY is there from the beginning: make a new table")
    missing = None if column.default is None else fitting.default_value(running, column, column.default)
    transaction.add_column(record.name, msgspec.structs.replace(column, missing=missing))


def _append_from(transaction: Transaction, table: TableDefinition, record: records.Alter) -> Table:
    """ALTER TABLE t APPEND FROM s: the rows of s move."""
    if record.old == record.name:
        raise Invalid(f"the rows of {record.old!r} cannot move to itself: name another table")
    source = transaction.table(record.old)
    names = [column.name for column in source.state.definition.columns]
    if names != [column.name for column in table.columns]:
        raise Invalid(f"{record.old!r} and {record.name!r} have not the same columns in the same order")
    rows = transaction.append(record.name, source.rows(names))
    transaction.truncate(record.old)
    return done("ALTER TABLE APPEND", rows)


def _changed(table: TableDefinition, record: records.Alter) -> TableDefinition:
    """A definition with another DISTKEY, SORTKEY, encoding or length."""
    match record.action:
        case "distkey":
            return msgspec.structs.replace(table, style="key", key=table.column(record.new).id)
        case "diststyle":
            return msgspec.structs.replace(table, style=record.new, key=None)
        case "sortkey":
            sort = tuple(table.column(name).id for name in record.names)
            return msgspec.structs.replace(table, sort=sort, interleaved=False)
    column = table.column(record.old)
    if record.action == "encode":
        encode = ENCODINGS.get(record.new, record.new)
        new = msgspec.structs.replace(column, encode=encode)
    elif record.column is not None and record.column.type.kind == column.type.kind == "varchar":
        new = msgspec.structs.replace(column, type=record.column.type)
    else:
        raise Invalid(f"column {record.old!r} is {column.type}: ALTER COLUMN ... TYPE changes the length of a VARCHAR")
    return msgspec.structs.replace(table, columns=tuple(new if one is column else one for one in table.columns))


def truncate(running: Running, record: records.Truncate) -> Table:
    """TRUNCATE. Inside a transaction it can be rolled back, as in Postgres; Redshift would commit."""
    with running.session.change(running.session.holder(record.name)) as transaction:
        running.definition(transaction, record.name, None)
        rows = transaction.table(record.name).state.rows
        transaction.truncate(record.name)
    return done("TRUNCATE", rows)


# ---- views -------------------------------------------------------------------------------------------------------


def create_view(running: Running, record: records.CreateView) -> Table:
    """CREATE [OR REPLACE] [MATERIALIZED] VIEW."""
    with running.session.change() as transaction:
        refuse_schema(transaction.root, record.name)
        _refuse_attached(running, record.name)
        query = running.bind(record.query, running.session.names.owner)
        if record.columns and len(record.columns) != len(query.columns):
            raise Invalid(f"{len(record.columns)} columns are named, and the query has {len(query.columns)}")
        text = record.query.strip().rstrip(";")
        if not record.materialized:
            before = transaction.root.views.get(record.name)
            if before is not None and before.materialized is not None:
                raise AlreadyExists(f"{record.name!r} is a materialized view: DROP it first", name=record.name)
            transaction.put_view(record.name, View(text, record.columns), replace=record.replace)
            running.session.columns_of(record.name, running.session.names.owner)  # does it read itself?
            return done("CREATE VIEW")
        schema, dot, bare = record.name.rpartition(".")
        table = f"{schema}{dot}mv_tbl__{bare}__0"
        named = records.CreateTable(table, tuple(records.ColumnDefinition(one, VARCHAR) for one in record.columns))
        transaction.put_view(record.name, View(text, record.columns, table))
        transaction.create_table(table, columns_of(query, named))
        rows = fill(running, transaction, table, query)
    return done("CREATE MATERIALIZED VIEW", rows)


def refresh(running: Running, record: records.Refresh) -> Table:
    """REFRESH MATERIALIZED VIEW: its query is run again, all of it."""
    with running.session.change() as transaction:
        view = transaction.root.views.get(record.name)
        if view is None or view.materialized is None:
            known = [name for name, one in transaction.root.views.items() if one.materialized is not None]
            raise NotFound(f"there is no materialized view {record.name!r}{nearest(record.name, known)}")
        transaction.truncate(view.materialized)
        query = front.bind_select(view.text, running.session.names.owner, running.engine.dialect)
        rows = fill(running, transaction, view.materialized, query)
    return done("REFRESH MATERIALIZED VIEW", rows)


# ---- schemas, transactions ---------------------------------------------------------------------------------------


def create_schema(running: Running, record: records.CreateSchema) -> Table:
    """CREATE SCHEMA."""
    with running.session.change() as transaction:
        known = transaction.root.schemas
        if record.name in known or record.name == "public":
            if record.if_not_exists:
                return done("CREATE SCHEMA")
            raise AlreadyExists(f"there is a schema {record.name!r} already", name=record.name)
        transaction.change(lambda root: msgspec.structs.replace(root, schemas=(*known, record.name)))
    return done("CREATE SCHEMA")


def control(running: Running, record: records.Control) -> Table:
    """BEGIN, COMMIT, ROLLBACK."""
    getattr(running.session, record.action)()
    return done(record.action.upper())


def setting(running: Running, record: records.Setting) -> Table:
    """SET and RESET: nothing changes."""
    del running, record
    return done("SET")


HANDLERS: Final[dict[type, Handler]] = {
    records.CreateTable: create_table,
    records.Drop: drop,
    records.Alter: alter,
    records.Truncate: truncate,
    records.CreateView: create_view,
    records.Refresh: refresh,
    records.CreateSchema: create_schema,
    records.Control: control,
    records.Setting: setting,
}
