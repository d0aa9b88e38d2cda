"""Athena's part: SQL over files where they lie, without a cluster, paid by the bytes that a query reads.

    lake/sales/year=2024/month=1/a.parquet      table sales: columns of the files, year, month
    lake/customers.csv                          table customers

    lake = Lake("lake")
    answer = lake.sql("SELECT month, sum(total) FROM sales WHERE year = 2024 GROUP BY month")
    answer.scanned_bytes, answer.price          what it read, and what the service would ask for it

Folders and files are tables by their names; other ones are declared (CREATE EXTERNAL TABLE, external_table) or passed.
What is read, and so paid, are the chunks of the columns that a query names, in the row groups and folders that its
conditions do not rule out; of CSV and JSON the whole files. So the bill shrinks with Parquet, compression, partitions,
and a SELECT that names what it needs.

    price    bytes, rounded up to the megabyte, at least 10 MB a query, at 5 dollars the terabyte (10^12 bytes)
             a query that reads no table is free, as EXPLAIN and commands are

Unlike the service: a COUNT(*) over Parquet costs the minimum; results are kept where `output` says and nowhere else;
types are guessed from the files as there is no crawler; the dialect is Redshift's. A lake writes nothing but results,
and what is declared is forgotten with the object.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from engines.clock import Clock, SystemClock
from engines.display import Plan, Table
from engines.errors import AlreadyExists, Invalid, NotFound, QueryError, nearest
from engines.sql import front
from engines.sql.datasets import DatasetSource
from engines.sql.dialect import REDSHIFT
from engines.sql.engine import MEMORY, SQL
from engines.sql.fileformats import COMPRESSED, SUFFIXES
from engines.sql.result import Result
from engines.sql.source import TableSource
from engines.sql.sources import table_source
from engines.sql.types import Type
from engines.storage.files import FileSystem
from engines.warehouse import external
from engines.warehouse.catalog import ExternalTable
from engines.warehouse.statements import records
from engines.warehouse.statements.grammar import read
from engines.warehouse.statements.reader import blanked, split
from engines.warehouse.unload import unload

PRICE: Final = 5.0  # dollars a terabyte
TERABYTE: Final = 10**12
MEGABYTE: Final = 10**6
MINIMUM: Final = 10 * MEGABYTE
KEPT: Final = 1000  # queries in the history
STATED: Final = "queries, CREATE EXTERNAL TABLE, CREATE VIEW, ALTER TABLE ADD PARTITION, DROP, SHOW and UNLOAD"
DIALECT: Final = replace(
    REDSHIFT, name="lake", statements=dict.fromkeys(("CREATE", "ALTER", "DROP", "SHOW", "UNLOAD"), "record")
)


class Answer(Result):
    """The rows of a query, and its bill: also in `stats`, which a notebook shows under the rows.

    scanned_bytes: read from files; billed_bytes: rounded as the service does; price in dollars.
    """

    scanned_bytes: int = 0
    billed_bytes: int = 0
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class Billed:
    """One query in the history. at: microseconds since 1970."""

    at: int
    query: str
    rows: int
    scanned_bytes: int
    billed_bytes: int
    price: float
    seconds: float


class Lake:
    """See the module's text. Any thread may use it.

    tables: a folder whose files and folders are tables; or tables by name: paths, globs, Arrow tables, other engines'
    tables. price_per_terabyte in dollars, minimum in bytes. output: a folder that gets every result as CSV, numbered.
    threads: that read side by side.
    NotFound if there is no such folder.
    """

    def __init__(
        self,
        tables: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        *,
        price_per_terabyte: float = PRICE,
        minimum: int = MINIMUM,
        output: str | os.PathLike[str] | None = None,
        clock: Clock | None = None,
        threads: int = 2,
        memory: int = MEMORY,
        files: FileSystem | None = None,
    ) -> None:
        if price_per_terabyte < 0 or minimum < 0:
            raise Invalid("price_per_terabyte is in dollars and minimum in bytes: neither is negative")
        self.root: str | None = None
        self.price_per_terabyte = price_per_terabyte
        self.minimum = minimum
        self.output = None if output is None else os.fspath(output)
        self.history: list[Billed] = []
        self._files = files
        self._lock = threading.Lock()
        self._declared: dict[str, ExternalTable] = {}
        self._views: dict[str, front.View] = {}
        self._sources: dict[str, TableSource] = {}
        self._passed: dict[str, TableSource] = {}
        if isinstance(tables, Mapping):
            for name, table in tables.items():
                self.attach(name, table)
        elif tables is not None:
            self.root = os.fspath(tables)
            if not os.path.isdir(self.root):
                raise NotFound(f"there is no folder {self.root!r}: a lake lies in one")
        self._asked = 0
        self._handlers: dict[type, Callable[[Any], Table]] = {
            records.CreateExternalTable: self._create,
            records.AlterPartitions: self._alter,
            records.CreateView: self._view,
            records.Drop: self._drop,
            records.Show: self._show,
            records.Unload: self._unload,
        }
        self._sql = SQL(self, dialect=DIALECT, clock=clock or SystemClock(), threads=threads, memory=memory)

    # -- tables

    def attach(self, name: str, table: Any) -> None:  # noqa: ANN401 - whatever can be a table
        """Give a table a name: a path or glob of files, an Arrow table, a DataFrame, another engine's table."""
        if isinstance(table, str | os.PathLike):
            self.external_table(name, table)
        elif isinstance(table, ExternalTable):
            self._declare(name, table)
        else:
            self._refuse_taken(name)
            self._passed[name.lower()] = table_source(name.lower(), table)

    def external_table(
        self,
        name: str,
        location: str | os.PathLike[str],
        *,
        format: str | None = None,
        columns: Mapping[str, Type] | Sequence[tuple[str, Type]] | None = None,
        partitioning: str | None = "hive",
        **options: Any,  # noqa: ANN401 - of text
    ) -> None:
        """Declare files as a table. format, columns: None = as the files say. options: delimiter, quote, header ...

        AlreadyExists; NotFound if there are no files and no columns; Invalid for what makes no sense.
        """
        pairs = list(columns.items()) if isinstance(columns, Mapping) else columns
        made = external.external_table(
            location, format=format, columns=pairs, partitioning=partitioning, options=options
        )
        self._declare(name, made)

    def _declare(self, name: str, table: ExternalTable) -> None:
        self._refuse_taken(name)
        found = external.source(name.lower(), table)
        with self._lock:
            self._declared[name.lower()] = table
            self._sources[name.lower()] = found

    def _refuse_taken(self, name: str) -> None:
        if name.lower() in {*self._declared, *self._passed, *self._views}:
            raise AlreadyExists(f"there is a table {name!r} already: drop it, or name another", name=name)

    def names(self) -> Iterable[str]:
        """The names of all tables."""
        return sorted({*self._declared, *self._passed, *self._views, *self._found()})

    tables = names

    def table(self, name: str) -> TableSource:
        """A table as a source, for other engines and for programs. NotFound offers the nearest name."""
        found = self.find((name,))
        if found is None or isinstance(found, front.View):
            raise NotFound(f"there is no table {name!r}{nearest(name, self.names())}")
        return found

    def find(self, parts: tuple[str, ...]) -> TableSource | front.View | None:
        """What the planner asks: the table of a name, or None."""
        name = ".".join(parts).lower()
        if name in self._views:
            return self._views[name]
        if name in self._passed:
            return self._passed[name]
        with self._lock:
            if name not in self._sources:
                place = self._found().get(name)
                if place is None:
                    return None
                self._sources[name] = DatasetSource(name, place)
            return self._sources[name]

    def refresh(self) -> None:
        """Look at the files' columns anew, of tables that are not declared. New files are seen without."""
        with self._lock:
            self._sources = {name: one for name, one in self._sources.items() if name in self._declared}

    def _found(self) -> dict[str, str]:
        """Tables in the folder: names and paths. A folder goes before files of its name."""
        if self.root is None:
            return {}
        found: dict[str, str] = {}
        for entry in sorted(os.listdir(self.root)):
            path = os.path.join(self.root, entry)
            if entry.startswith((".", "_")):
                continue
            if os.path.isdir(path):
                found[entry.lower()] = path
            elif (name := _table_name(entry)) is not None:
                found.setdefault(name, path)
        return found

    # -- statements

    def sql(
        self,
        text: str,
        *values: Any,  # noqa: ANN401 - parameters
        timeout: float | None = None,
        **named: Any,  # noqa: ANN401 - parameters
    ) -> Answer | Table:
        """Run statements; the answer to the last one. Queries give an Answer, which has its price.

        Besides queries: CREATE EXTERNAL TABLE, CREATE VIEW, ALTER TABLE ADD PARTITION and DROP PARTITION, DROP TABLE
        and VIEW, SHOW TABLES, UNLOAD. values, named: of ? and :name. QueryError for what the text has wrong.
        """
        engine = self._sql
        answer: Answer | Table | None = None
        for statement in front.prepare(text, self, engine.dialect, values, named, cache=engine.cache):
            if statement.query is not None:
                answer = self._query(statement, values, named, timeout)
                continue
            whole = blanked(statement.source, statement.tokens[0].start, statement.tokens[-1].end + 1)
            (tokens,) = split(whole)
            record = read(whole, tokens)
            handler = self._handlers.get(type(record))
            if handler is None:
                raise QueryError(f"a lake does not know this statement: it has {STATED}", text=whole)
            answer = handler(record)
        if answer is None:
            raise Invalid("there is no statement in the text")
        return answer

    def explain(self, text: str, *values: Any, analyze: bool = False, **named: Any) -> Plan:  # noqa: ANN401 - parameters
        """How a query is run. With analyze it is run, and the steps say what they read; that is paid, too."""
        return self._sql.explain(text, *values, analyze=analyze, **named)

    def _query(
        self, statement: front.Statement, values: Sequence[Any], named: Mapping[str, Any], timeout: float | None
    ) -> Answer:
        engine = self._sql
        query = statement.query
        reads = query is not None and bool(query.tables) and (statement.kind != "explain" or statement.analyze)
        at = engine.clock.now()
        found = engine.answer(statement, values, named, timeout=timeout)
        scanned = int(found.stats.get("bytes_scanned", 0))
        billed = max(self.minimum, -(-scanned // MEGABYTE) * MEGABYTE) if reads else 0
        answer = Answer(found.found, found.described, title=found.title, stats=found.stats)
        answer.scanned_bytes, answer.billed_bytes = scanned, billed
        answer.price = billed / TERABYTE * self.price_per_terabyte
        answer.stats |= {"billed_bytes": billed, "price": f"{answer.price:.8f} $"}
        seconds = float(found.stats.get("seconds", 0.0))
        with self._lock:
            number = self._asked = self._asked + 1
            self.history.append(Billed(at, statement.text.strip(), len(answer), scanned, billed, answer.price, seconds))
            del self.history[:-KEPT]
        if self.output is not None:
            place = os.path.join(self.output, f"{number:06}-")
            options = {"format": "csv", "header": True, "addquotes": True, "parallel": False, "allowoverwrite": True}
            unload(options, answer.described, answer.batches(), to=place, files=self._files, progress=False)
        return answer

    def _create(self, record: records.CreateExternalTable) -> Table:
        if not (record.if_not_exists and record.name in self._declared):
            self._declare(record.name, external.define(record))
        return _done("CREATE EXTERNAL TABLE")

    def _alter(self, record: records.AlterPartitions) -> Table:
        with self._lock:
            table = self._declared.get(record.name)
            if table is None:
                raise NotFound(f"there is no declared table {record.name!r}{nearest(record.name, self._declared)}")
            table = external.altered(table, record)
            self._sources[record.name] = external.source(record.name, table)
            self._declared[record.name] = table
        return _done("ALTER TABLE")

    def _view(self, record: records.CreateView) -> Table:
        if record.materialized:
            raise Invalid("a lake stores no rows, so it has no materialized views: leave MATERIALIZED out")
        if not (record.replace and record.name in self._views):
            self._refuse_taken(record.name)
        front.bind_select(record.query, self, self._sql.dialect)
        self._views[record.name] = front.View(record.query, record.columns)
        return _done("CREATE VIEW")

    def _drop(self, record: records.Drop) -> Table:
        for name in record.names:
            held: tuple[dict[str, Any], ...] = (
                (self._views,) if record.kind == "view" else (self._declared, self._passed)
            )
            if not any(name in one for one in held):
                if record.if_exists:
                    continue
                raise NotFound(
                    f"there is no declared {record.kind} {name!r}: what lies in the folder cannot be dropped"
                )
            with self._lock:
                for one in (*held, self._sources):
                    one.pop(name, None)
        return _done(f"DROP {record.kind.upper()}")

    def _show(self, record: records.Show) -> Table:
        if record.what == "columns":
            fields = self.table(record.name).schema()
            columns = [(one.name, str(one.type)) for one in fields if not one.name.startswith("$")]
            return Table.from_rows(["column", "type"], columns)
        return Table({"table": list(self.names())})

    def _unload(self, record: records.Unload) -> Table:
        engine = self._sql
        (statement,) = front.prepare(record.query, self, engine.dialect)
        answer = self._query(statement, (), {}, None)
        done = unload(record, answer.described, answer.batches(), files=self._files)
        stats = {"scanned_bytes": answer.scanned_bytes, "price": answer.stats["price"]}
        return Table({"file": list(done.files)}, title=f"UNLOAD {done.rows:,} rows", stats=stats)

    # -- what was paid

    def bill(self) -> Table:
        """The last 1,000 queries, and what each of them cost."""
        with self._lock:
            rows = [(one.query, one.rows, one.scanned_bytes, one.billed_bytes, one.price) for one in self.history]
        total = sum(row[-1] for row in rows)
        names = ["query", "rows", "scanned_bytes", "billed_bytes", "price"]
        return Table.from_rows(names, rows, title="bill", stats={"queries": len(rows), "price": f"{total:.8f} $"})

    def overview(self) -> Table:
        """A row for each table: its files, and their bytes."""
        rows: list[tuple[Any, ...]] = []
        for name in self.names():
            found = self._views.get(name) or self.table(name)
            if isinstance(found, DatasetSource):
                files = found.files()
                rows.append((name, found.reader.name, len(files), sum(file.size for file in files)))
            else:
                rows.append((name, "view" if isinstance(found, front.View) else "passed", None, None))
        return Table.from_rows(["table", "format", "files", "bytes"], rows, title=self.root or "lake")

    def __repr__(self) -> str:
        return f"<lake {self.root or ''}: {len(list(self.names()))} tables>"

    def _repr_html_(self) -> str:
        return self.overview()._repr_html_()


def _done(command: str) -> Table:
    return Table({"command": [command], "rows": [0]})


def _table_name(entry: str) -> str | None:
    """A file's name without its suffixes, if they are those of a format."""
    name = entry.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), None)
