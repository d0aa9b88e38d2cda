"""Upkeep and looking: VACUUM, ANALYZE, and what SHOW tells of tables, columns and schemas."""

from typing import Any, Final

from engines.display import Table
from engines.errors import Invalid
from engines.sql import front
from engines.sql.source import Field
from engines.warehouse import layout
from engines.warehouse.access import quoted
from engines.warehouse.catalog import TableDefinition
from engines.warehouse.running import Handler, Running, done
from engines.warehouse.statements import records


def vacuum(running: Running, record: records.Vacuum) -> Table:
    """VACUUM of a table, or of all of them, each in a transaction of its own."""
    mode: Any = record.mode
    session = running.session
    if session.begun:
        raise Invalid("VACUUM cannot run inside a transaction: COMMIT first")
    names = sorted(session.root.tables) if record.name is None else [record.name]
    groups = 0
    for name in names:
        with session.change(session.holder(name)) as transaction:
            if record.name is not None:
                running.definition(transaction, name, None)
            groups += transaction.vacuum(name, mode)
    return done("VACUUM", groups)


def analyze(running: Running, record: records.Analyze) -> Table:
    """ANALYZE, or ANALYZE COMPRESSION: a row for each column and encoding."""
    session = running.session
    if record.compression:
        names = sorted(session.root.tables) if record.name is None else [record.name]
        made = [(name, one) for name in names for one in layout.compression(running.stored(name))]
        return Table(
            {
                "table": [name for name, _ in made],
                "column": [one.column for _, one in made],
                "encoding": [one.encoding for _, one in made],
                "bytes": [one.bytes for _, one in made],
                "saved": [round(100 * one.saved, 2) for _, one in made],
                "chosen": [one.chosen for _, one in made],
            },
            title="encodings of a sample: saved, in per cent against RAW",
        )
    names = sorted(session.root.tables) if record.name is None else [record.name]
    for name in names:
        with session.change(session.holder(name)) as transaction:
            if record.name is not None:
                running.definition(transaction, name, None)
            transaction.analyze(name)
    return done("ANALYZE", len(names))


def show(running: Running, record: records.Show) -> Table:
    """SHOW TABLES, COLUMNS, SCHEMAS, TABLE."""
    root = running.session.root
    if record.what == "schemas":
        return Table({"schema": ["public", *root.schemas]})
    if record.what == "tables":
        kinds = {"table": list(root.tables), "view": list(root.views), "external table": list(root.external)}
        named = sorted(
            (name, kind)
            for kind, names in kinds.items()
            for name in names
            if (not record.name or (name.rpartition(".")[0] or "public") == record.name)
            and running.session.names.readable(name)
        )
        return Table({"table": [name for name, _ in named], "kind": [kind for _, kind in named]})
    if record.what == "columns":
        found = running.session.names.meant(record.name)
        if isinstance(found, front.View):
            query = running.bind(f"SELECT * FROM {quoted(record.name)}")  # noqa: S608 - a name in quotes
            fields = tuple(Field(header, type) for header, _, type in query.columns)
        else:
            fields = found.schema()
        return Table(
            {
                "column": [field.name for field in fields],
                "type": [str(field.type) for field in fields],
                "nullable": [field.nullable for field in fields],
            }
        )
    return Table({"statement": [statement_of(record.name, running.stored(record.name).state.definition)]})


def statement_of(name: str, table: TableDefinition) -> str:
    """The CREATE TABLE that makes such a table."""
    lines = []
    for column in table.columns:
        words = [column.name, str(column.type)]
        words += ["NOT NULL"] if not column.nullable else []
        words += [f"DEFAULT {column.default}"] if column.default is not None else []
        words += [f"IDENTITY({column.identity[0]}, {column.identity[1]})"] if column.identity is not None else []
        words += [f"ENCODE {column.encode}"] if column.encode != "auto" else []
        lines.append("    " + " ".join(words))
    style, key, sort = table.keys_by_name()
    ends = [f"DISTSTYLE {style.upper()}"]
    ends += [f"DISTKEY({key})"] if key is not None else []
    ends += [f"{'INTERLEAVED ' if table.interleaved else ''}SORTKEY({', '.join(sort)})"] if sort else []
    return f"CREATE TABLE {name} (\n" + ",\n".join(lines) + "\n) " + " ".join(ends)


HANDLERS: Final[dict[type, Handler]] = {
    records.Vacuum: vacuum,
    records.Analyze: analyze,
    records.Show: show,
}
