"""System tables: what a warehouse knows of itself, as rows that are made when somebody asks.

    svv_table_info     a row a table: rows, bytes, keys, how much is unsorted or deleted, skew between slices
    stv_blocklist      a row a block: encoding, rows, bytes, zone map
    stv_slices         which node has which slice
    stl_query          the last thousand statements: text, user, time, rows, what was scanned and moved, error
    svl_query_summary  of the queries that EXPLAIN ANALYZE ran: a row a step
    stl_load_errors    the rows that COPY refused, with file, line, column, value, reason
    pg_table_def       a row a column
    svv_snapshots      a row a snapshot
    svv_external_tables, svv_views, svv_rls_policy   what their names say
    information_schema.tables, .columns              for tools that ask there

Somebody who may read some of the tables finds those in pg_table_def and information_schema, and his own statements in
the logs. The tables of OWNERS he may not read: they show values, numbers and rules of all the others.

The columns are those of the service where it has them; what only a real cluster could fill is left away. Logs are in
memory: they begin when the warehouse is opened.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from engines.clock import Clock
from engines.display import Plan, Table
from engines.sql.source import Field
from engines.sql.sources import RowsSource
from engines.sql.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, TIMESTAMP, VARCHAR, Type
from engines.warehouse.access import OWNER
from engines.warehouse.catalog import ColumnDefinition
from engines.warehouse.layout import layout
from engines.warehouse.loading.rejected import LoadError
from engines.warehouse.scan import Table as StoredTable
from engines.warehouse.strips import python_bounds

if TYPE_CHECKING:
    from engines.warehouse.session import Session

KEPT: Final = 1000
Row = Sequence[Any]


# ---- logs --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Statement:
    """A statement that was run. begun: microseconds since 1970; seconds: how long it took."""

    query: int
    user: str
    text: str
    begun: int
    seconds: float = 0.0
    rows: int = 0
    error: str = ""
    stats: dict[str, Any] = field(default_factory=dict)
    plan: Plan | None = None
    lost: tuple[str, ...] = ()

    def ended(self, found: Table | None) -> None:
        """It has an answer."""
        if found is not None:
            command = found.names[:2] == ["command", "rows"]
            self.rows = int(found.columns["rows"][0]) if command else len(found)
            self.stats = dict(found.stats)
            self.lost = self.stats.get("nodes_lost", ())


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that a COPY, the statement of that number, refused."""

    query: int
    begun: int
    table: str
    error: LoadError


class Log:
    """The last statements, and the rows that COPY refused. Any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._statements: deque[Statement] = deque(maxlen=KEPT)
        self._count = 0
        self.load_errors: deque[Refused] = deque(maxlen=10 * KEPT)

    @contextlib.contextmanager
    def running(self, text: str, user: str) -> Iterator[Statement]:
        """While it runs. It is in the log from the beginning, and its error too."""
        clock = self._clock
        with self._lock:
            self._count += 1
            one = Statement(self._count, user or OWNER, text, clock.now())
            self._statements.append(one)
        began = clock.timer()
        try:
            yield one
        except BaseException as error:
            one.error = str(error).partition("\n")[0] or type(error).__name__
            raise
        finally:
            one.seconds = clock.timer() - began

    def statements(self) -> list[Statement]:
        with self._lock:
            return list(self._statements)


def datetime_of(microseconds: int) -> datetime:
    """A moment, in UTC."""
    return datetime(1970, 1, 1) + timedelta(microseconds=microseconds)  # noqa: DTZ001 - TIMESTAMP has no zone


# ---- the tables --------------------------------------------------------------------------------------------------


def _stored(session: "Session") -> Iterator[tuple[str, str, StoredTable]]:
    """Schema, name and source of each stored table."""
    for name in sorted(session.root.tables):
        if session.names.readable(name):
            schema, _, bare = name.rpartition(".")
            yield schema or "public", bare, session.stored_table(name)


def _columns_seen(session: "Session", table: StoredTable) -> Iterator[ColumnDefinition]:
    columns = table.state.definition.columns
    seen = set(
        session.root.access.columns(table.name, session.user, [one.name for one in columns]) if session.user else ()
    )
    return (one for one in columns if not session.user or one.name in seen)


def _logged(session: "Session") -> list[Statement]:
    return [one for one in session.warehouse.log.statements() if session.user in {"", one.user}]


def _table_info(session: "Session") -> Iterator[Row]:
    for schema, name, table in _stored(session):
        definition, groups = table.state.definition, table.state.groups
        rows = table.state.rows
        held = [0] * session.warehouse.storage.slices
        for group in groups:
            held[group.slice] += group.live
        placement = table.placement
        even = placement is not None and placement.style == "all"
        fullest, emptiest = max(held, default=0), min(held, default=0)
        (key,) = definition.named([definition.key]) if definition.key is not None else (None,)
        style = definition.style.upper() + (f"({key})" if key else "")
        if definition.style == "auto":
            style = f"AUTO({'ALL' if even else 'EVEN'})"
        deleted = sum(group.deleted for group in groups)
        yield (
            schema, name, definition.id, any(column.encode != "raw" for column in definition.columns), style,
            next(iter(definition.named(definition.sort)), None), len(definition.sort),
            sum(group.bytes for group in groups), rows, deleted, len(groups), _unsorted(table),
            fullest / max(emptiest, 1) if not even and rows else 1.0,
        )  # fmt: skip


def _unsorted(table: StoredTable) -> float:
    """Per cent of the rows that lie in groups whose range of the first sort key overlaps the one before."""
    definition = table.state.definition
    if not definition.sort or not table.state.rows:
        return 0.0
    (name,) = definition.named(definition.sort[:1])
    zones = table.state.zones_of(definition.column(name))
    if zones is None:
        return 0.0
    overlapping = 0
    last: dict[int, Any] = {}
    order = sorted(range(len(table.state.groups)), key=lambda place: (table.state.groups[place].slice, zones[0][place]))
    for place in order:
        group = table.state.groups[place]
        before = last.get(group.slice)
        if before is not None and zones[0][place] < before:
            overlapping += group.live
        last[group.slice] = max(zones[1][place], zones[1][place] if before is None else before)
    return round(100 * overlapping / table.state.rows, 2)


def _blocklist(session: "Session") -> Iterator[Row]:
    for schema, name, table in _stored(session):
        types = {column.name: column.type for column in table.state.definition.columns}
        for block in layout(table):
            type = types[block.column]
            low, high = [_shown(bound, type) for bound in python_bounds([block.low, block.high], type)]
            yield (
                schema, name, block.column, block.slice, block.group, block.rows, block.deleted, block.encoding,
                block.raw, block.stored, block.nulls, low, high, block.blob,
            )  # fmt: skip


def _shown(bound: Any, type: Type) -> str | None:  # noqa: ANN401 - a value of Python
    """As SQL writes it: dates, times and decimals, not the numbers that they are held as."""
    if isinstance(bound, bytes):
        return bound.hex()
    if isinstance(bound, bool):
        return str(bound).lower()
    return None if bound is None else str(bound).removesuffix("+00:00" if type.kind == "timestamp" else "")


def _slices(session: "Session") -> Iterator[Row]:
    nodes = session.warehouse.nodes
    for slice in range(session.warehouse.storage.slices):
        yield slice % nodes, slice


def _queries(session: "Session") -> Iterator[Row]:
    for one in _logged(session):
        stats = one.stats
        yield (
            one.query, one.user, one.text, datetime_of(one.begun), one.seconds, one.rows, bool(one.error), one.error,
            bool(stats.get("cached")), stats.get("rows_scanned", 0), stats.get("blocks_pruned", 0),
            stats.get("blocks_decoded", 0), stats.get("bytes_scanned", 0), stats.get("rows_moved", 0),
            stats.get("bytes_moved", 0), "; ".join(one.lost),
        )  # fmt: skip


def _summary(session: "Session") -> Iterator[Row]:
    for one in _logged(session):
        if one.plan is not None:
            for step, (plan, _) in enumerate(one.plan.walk()):
                yield one.query, step, plan.name, plan.line()


def _load_errors(session: "Session") -> Iterator[Row]:
    mine = {one.query for one in _logged(session)}
    for one in list(session.warehouse.log.load_errors):
        if session.user and one.query not in mine:
            continue
        error = one.error
        yield (
            one.query, datetime_of(one.begun), one.table, error.file, error.line, error.column, error.type,
            error.raw_value, error.raw_line, error.code, error.reason,
        )  # fmt: skip


def _table_def(session: "Session") -> Iterator[Row]:
    for schema, name, table in _stored(session):
        definition = table.state.definition
        places = {id: place for place, id in enumerate(definition.sort, 1)}
        for column in _columns_seen(session, table):
            yield (
                schema, name, column.name, str(column.type), column.encode, column.id == definition.key,
                places.get(column.id, 0), not column.nullable, column.default,
            )  # fmt: skip


def _snapshots(session: "Session") -> Iterator[Row]:
    for one in session.warehouse.snapshots():
        expires = None if one.expires is None else datetime_of(one.expires)
        yield one.name, datetime_of(one.at), one.kind, expires, one.bytes, one.new_bytes, one.blobs, one.new_blobs


def _external(session: "Session") -> Iterator[Row]:
    for name, table in sorted(session.root.external.items()):
        schema, _, bare = name.rpartition(".")
        yield schema or "public", bare, table.location, table.format, table.partitioning


def _views(session: "Session") -> Iterator[Row]:
    for name, view in sorted(session.root.views.items()):
        schema, _, bare = name.rpartition(".")
        yield schema or "public", bare, view.text, view.materialized is not None


def _policies(session: "Session") -> Iterator[Row]:
    access = session.root.access
    for name, policy in sorted(access.policies.items()):
        places: list[tuple[str | None, str | None]] = [
            (table, user) for table, pairs in access.attached.items() for one, user in pairs if one == name
        ]
        for table, user in places or [(None, None)]:
            yield name, policy.using, table, user, table in access.secured


def _all_tables(session: "Session") -> Iterator[Row]:
    root = session.root
    for kind, names in (("BASE TABLE", root.tables), ("VIEW", root.views), ("EXTERNAL TABLE", root.external)):
        for name in filter(session.names.readable, sorted(names)):
            schema, _, bare = name.rpartition(".")
            yield "dev", schema or "public", bare, kind


def _all_columns(session: "Session") -> Iterator[Row]:
    for schema, name, table in _stored(session):
        for place, one in enumerate(_columns_seen(session, table), 1):
            yield "dev", schema, name, one.name, place, one.default, "YES" if one.nullable else "NO", str(one.type)


def _fields(**columns: Type) -> tuple[Field, ...]:
    return tuple(Field(name, type) for name, type in columns.items())


OWNERS: Final = frozenset(
    ("svv_table_info", "stv_blocklist", "svv_snapshots", "svv_external_tables", "svv_views", "svv_rls_policy")
)
Rows = Callable[["Session"], Iterator[Row]]
NAMED: Final = {"schema": VARCHAR, "table": VARCHAR}
TABLES: Final[dict[str, tuple[tuple[Field, ...], Rows]]] = {
    "svv_table_info": (
        _fields(
            **NAMED, table_id=INTEGER, encoded=BOOLEAN, diststyle=VARCHAR, sortkey1=VARCHAR, sortkey_num=INTEGER,
            size=BIGINT, tbl_rows=BIGINT, deleted_rows=BIGINT, row_groups=INTEGER, unsorted=DOUBLE, skew_rows=DOUBLE,
        ),
        _table_info,
    ),
    "stv_blocklist": (
        _fields(
            **NAMED, column=VARCHAR, slice=INTEGER, row_group=INTEGER, num_values=INTEGER, deleted=INTEGER,
            encoding=VARCHAR, raw_bytes=BIGINT, bytes=BIGINT, nulls=INTEGER, minvalue=VARCHAR, maxvalue=VARCHAR,
            blob=VARCHAR,
        ),
        _blocklist,
    ),
    "stv_slices": (_fields(node=INTEGER, slice=INTEGER), _slices),
    "stl_query": (
        _fields(
            query=INTEGER, user_name=VARCHAR, querytxt=VARCHAR, starttime=TIMESTAMP, seconds=DOUBLE, rows=BIGINT,
            aborted=BOOLEAN, error=VARCHAR, cached=BOOLEAN, rows_scanned=BIGINT, blocks_pruned=BIGINT,
            blocks_decoded=BIGINT, bytes_scanned=BIGINT, rows_moved=BIGINT, bytes_moved=BIGINT, lost_nodes=VARCHAR,
        ),
        _queries,
    ),
    "svl_query_summary": (_fields(query=INTEGER, step=INTEGER, label=VARCHAR, detail=VARCHAR), _summary),
    "stl_load_errors": (
        _fields(
            query=INTEGER, starttime=TIMESTAMP, tbl=VARCHAR, filename=VARCHAR, line_number=BIGINT, colname=VARCHAR,
            type=VARCHAR, raw_field_value=VARCHAR, raw_line=VARCHAR, err_code=INTEGER,
            err_reason=VARCHAR,
        ),
        _load_errors,
    ),
    "pg_table_def": (
        _fields(
            schemaname=VARCHAR, tablename=VARCHAR, column=VARCHAR, type=VARCHAR, encoding=VARCHAR, distkey=BOOLEAN,
            sortkey=INTEGER, notnull=BOOLEAN, default=VARCHAR,
        ),
        _table_def,
    ),
    "svv_snapshots": (
        _fields(
            name=VARCHAR, at=TIMESTAMP, kind=VARCHAR, expires=TIMESTAMP, bytes=BIGINT, new_bytes=BIGINT,
            blobs=INTEGER, new_blobs=INTEGER,
        ),
        _snapshots,
    ),
    "svv_external_tables": (
        _fields(schemaname=VARCHAR, tablename=VARCHAR, location=VARCHAR, format=VARCHAR, partitioning=VARCHAR),
        _external,
    ),
    "svv_views": (_fields(schemaname=VARCHAR, viewname=VARCHAR, definition=VARCHAR, materialized=BOOLEAN), _views),
    "svv_rls_policy": (
        _fields(polname=VARCHAR, polqual=VARCHAR, relname=VARCHAR, grantee=VARCHAR, secured=BOOLEAN),
        _policies,
    ),
    "information_schema.tables": (
        _fields(table_catalog=VARCHAR, table_schema=VARCHAR, table_name=VARCHAR, table_type=VARCHAR),
        _all_tables,
    ),
    "information_schema.columns": (
        _fields(
            table_catalog=VARCHAR, table_schema=VARCHAR, table_name=VARCHAR, column_name=VARCHAR,
            ordinal_position=INTEGER, column_default=VARCHAR, is_nullable=VARCHAR, data_type=VARCHAR,
        ),
        _all_columns,
    ),
}  # fmt: skip


def source(name: str, session: "Session") -> RowsSource | None:
    """The system table of this name."""
    found = TABLES.get(name.removeprefix("pg_catalog."))
    if found is None:
        return None
    fields, rows = found
    return RowsSource(name, fields, lambda: rows(session))
