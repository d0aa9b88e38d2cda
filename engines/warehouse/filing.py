"""Statements about files: COPY (load.py), UNLOAD (unload.py), external tables (external.py)."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from engines.display import Table
from engines.errors import Denied, NotFound, nearest
from engines.sql.column import Batch, Column
from engines.sql.result import distinct
from engines.warehouse import execute, external, fitting
from engines.warehouse.catalog import TableDefinition
from engines.warehouse.load import load
from engines.warehouse.running import Running, done
from engines.warehouse.statements import records
from engines.warehouse.system import Refused
from engines.warehouse.unload import unload

if TYPE_CHECKING:
    from engines.warehouse.loading.rejected import LoadError


def copy(running: Running, record: records.Copy) -> Table:
    """COPY: all rows or none. Those that were refused are in stl_load_errors, also where it fails. Denied to users."""
    session = running.session
    warehouse = session.warehouse
    _refuse_user(running, "COPY")
    errors: list[LoadError] = []
    try:
        with session.change(session.holder(record.name)) as transaction:
            table = running.definition(transaction, record.name, None)
            loaded = load(
                transaction,
                record.name,
                record,
                defaults=_defaults(running, table),
                errors=errors,
                context=running.engine.context(fitting.NO_ROWS),
                threads=warehouse.storage.threads,
            )
    finally:
        one = session.logged
        if one is not None:
            warehouse.log.load_errors.extend(Refused(one.query, one.begun, record.name, error) for error in errors)
    return done("COPY", loaded.rows, rejected=loaded.rejected, files=len(loaded.files), bytes=loaded.bytes)


def _defaults(running: Running, table: TableDefinition) -> dict[str, Column]:
    """The DEFAULT of each column that has one, computed once."""
    found = {}
    for name, value in fitting.filled(running.engine, table, ()):
        found[name] = replace(fitting.rows_of(running, fitting.constant_row(name, value)).whole()[name], constant=True)
    return found


def _refuse_user(running: Running, what: str) -> None:
    """Denied: files are read and written with the rights of this process, which are not a user's."""
    user = running.session.user
    if user:
        raise Denied(f"{user} may not {what}: files belong to the owner, a session without a user")


def unloaded(running: Running, record: records.Unload) -> Table:
    """UNLOAD: a query's rows into files. Denied to users."""
    _refuse_user(running, "UNLOAD")
    query = running.bind(record.query)
    found = fitting.rows_of(running, query)
    described = distinct(query.columns)
    rows = (Batch(piece, count) for piece, count in zip(found.pieces, found.counts, strict=True))
    context = running.engine.context(query)
    written = unload(record, described, rows, files=running.session.warehouse.storage.files, context=context)
    return done("UNLOAD", written.rows, files=len(written.files), bytes=written.bytes)


def create_external(running: Running, record: records.CreateExternalTable) -> Table:
    """CREATE EXTERNAL TABLE."""
    with running.session.change() as transaction:
        if not (record.if_not_exists and transaction.root.kind_of(record.name) is not None):
            execute.refuse_schema(transaction.root, record.name)
            transaction.put_external(record.name, external.define(record))
    return done("CREATE EXTERNAL TABLE")


def alter_partitions(running: Running, record: records.AlterPartitions) -> Table:
    """ALTER TABLE ... ADD and DROP PARTITION."""
    with running.session.change() as transaction:
        known = transaction.root.external
        table = known.get(record.name)
        if table is None:
            raise NotFound(f"there is no external table {record.name!r}{nearest(record.name, known)}")
        transaction.put_external(record.name, external.altered(table, record), replace=True)
    return done("ALTER TABLE", len(record.partitions))


HANDLERS: Final[dict[type, Any]] = {
    records.Copy: copy,
    records.Unload: unloaded,
    records.CreateExternalTable: create_external,
    records.AlterPartitions: alter_partitions,
}
