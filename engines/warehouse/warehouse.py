"""Warehouse: the engine's front. It holds the storage, the leader, the logs, and a session for each thread.

    sql, explain, append        of the calling thread's session (session.py)
    transaction, session        a session of its own: a transaction; a user; another line of work in the same thread
    attach, external_table      tables of other engines, and files (names.py)
    snapshot, restore, tick     moments that are kept (snapshot.py)
    layout, verify, collect     what lies on disk (strips.py, verify.py)

Any thread may use it.
"""

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from engines.clock import Clock
from engines.display import Plan, Report, Table
from engines.errors import AlreadyExists, Closed, Invalid, NotFound, nearest
from engines.sql.binder import bind_type
from engines.sql.dialect import RULES, Dialect
from engines.sql.front import NO_TABLES, Statement
from engines.sql.source import TableSource
from engines.sql.sources import table_source
from engines.storage.blobs import Collected
from engines.storage.files import FileSystem
from engines.warehouse import external
from engines.warehouse import snapshot as snapshots
from engines.warehouse.grid import Grid
from engines.warehouse.leader import Leader, Nodes, count
from engines.warehouse.names import Attached, Names, folded
from engines.warehouse.pictures import Picture, draw
from engines.warehouse.results import ResultCache
from engines.warehouse.session import STATEMENTS, Engine, Session, TransactionSession
from engines.warehouse.snapshot import AutoSnapshot, Snapshot
from engines.warehouse.storage import SLICES, Durability, Storage
from engines.warehouse.strips import Layout
from engines.warehouse.system import Log

if TYPE_CHECKING:
    from engines.warehouse.catalog import ExternalTable

MEMORY: Final = 1 << 30
DIALECT: Final = Dialect("warehouse", rules=RULES, statements=STATEMENTS)


class Warehouse:
    """A warehouse in the folder `path` (None: in memory). A context manager; any thread may use it.

    nodes: a number of compute nodes, threads of this process; or executors of engines.nodes, which are processes or lie
    on other machines, and which whoever made them shuts down. slices: of each node; a new warehouse has nodes * slices
    of them (2 a node), and keeps that number, because rows lie by slice: later, slice i is worked on by node i mod
    nodes. durability: "commit" (default) answers when a change is on disk, "interval" within 50 ms, "checkpoint" at
    close(). cache: bytes of blocks held; memory: bytes that a step of a query may hold. snapshots: when tick() takes
    one by itself; None for never. result_cache: keep answers, and give them again while no table has changed.

    Locked if another process writes there, Invalid if the folder is another engine's, Corrupted where bytes in it are
    not what was written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        nodes: Nodes = 1,
        slices: int | None = None,
        clock: Clock | None = None,
        durability: Durability = "commit",
        read_only: bool = False,
        cache: int = 1 << 30,
        memory: int = MEMORY,
        snapshots: AutoSnapshot | None = AutoSnapshot(),  # noqa: B008 - frozen
        result_cache: bool = False,
        files: FileSystem | None = None,
    ) -> None:
        if memory < 1:
            raise Invalid(f"memory is in bytes and positive, got {memory:,}")
        self.nodes = count(nodes)
        self.automatic = snapshots
        self.storage = Storage(
            path,
            clock=clock,
            files=files,
            read_only=read_only,
            durability=durability,
            cache=cache,
            slices=self.nodes * (SLICES if slices is None else slices),
        )
        self.leader = Leader(nodes, self.storage, functions=DIALECT.functions)
        self.path = self.storage.path
        self.clock = self.storage.clock
        self.log = Log(self.clock)
        self.attached: dict[str, TableSource] = {}
        self._external: dict[str, tuple[ExternalTable, TableSource]] = {}
        self.results = ResultCache() if result_cache else None
        self._closed = False
        self._local = threading.local()
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self.engine = Engine(
            NO_TABLES,  # each statement brings those of its session
            dialect=DIALECT,
            clock=self.clock,
            memory=memory,
            runner=self.leader,
        )

    # -- statements

    def sql(self, text: str, *values: Any, timeout: float | None = None, **named: Any) -> Table:  # noqa: ANN401 - see values.py
        """Run statements, and give the rows of the last one; of a command one row: what it was, and how many rows.

        values, named: of the parameters `?` and `:name`. timeout in seconds: DeadlinePassed. BEGIN opens a transaction
        for the calling thread. QueryError points at what is wrong in the text; Conflict: try again.
        """
        return self._session().sql(text, *values, timeout=timeout, **named)

    def explain(self, text: str, *values: Any, analyze: bool = False, **named: Any) -> Plan:  # noqa: ANN401 - see sql
        """How a query is run: a tree of steps, with what has to move between slices. analyze runs it and counts."""
        return self._session().explain(text, *values, analyze=analyze, **named)

    def picture(self, text: str, *values: Any, **named: Any) -> Picture:  # noqa: ANN401 - see sql
        """Run a query, and draw it: the leader, its nodes and slices, what moved and what was read. See pictures.py."""
        return draw(self._session(), text, values, named)

    def append(self, table: str, data: Any, *, columns: Sequence[str] | None = None) -> int:  # noqa: ANN401 - see below
        """Load many rows at once, all or none; how many there were.

        data: an Arrow table, a DataFrame, whatever else speaks Arrow, a TableSource, a dict of arrays, a list of tuples
        or dicts. Its columns go to those of the same name; columns= names them anew. Others get their DEFAULT.
        """
        return self._session().append(table, data, columns=columns)

    def session(self, user: str = "") -> Session:
        """Another session: a transaction, temporary tables and a user of its own. A context manager.

        user: may read what was granted to it, row by row and column by column, and change nothing.
        """
        self.refuse_closed()
        session = Session(self, user.lower())
        self._sessions.add(session)
        return session

    def transaction(self) -> TransactionSession:
        """A transaction: `with warehouse.transaction() as tx: tx.sql(...)`. An error in the block rolls it back."""
        self.refuse_closed()
        session = TransactionSession(self)
        self._sessions.add(session)
        session.begin()
        return session

    def _session(self) -> Session:
        found: Session | None = getattr(self._local, "session", None)
        if found is None:
            found = self._local.session = self.session()
        return found

    def answered(
        self,
        engine: Engine,
        statement: Statement,
        values: Sequence[Any],
        named: Mapping[str, Any],
        timeout: float | None,
    ) -> Table:
        """A query's rows, from the result cache where they are known."""
        if self.results is None or statement.query is None:
            return engine.answer(statement, values, named, timeout=timeout)
        key = self.results.key(engine, statement.query, statement.text, values, named)
        found = None if key is None else self.results.get(key)
        if found is None:
            found = engine.answer(statement, values, named, timeout=timeout)
            if key is not None:
                self.results.put(key, found)
        return found

    # -- tables of others

    def attach(self, name: str, source: Any) -> None:  # noqa: ANN401 - whatever can be a table
        """A table of another engine, an Arrow table, a DataFrame, under a name, for as long as this object lives.

        AlreadyExists if the name is taken.
        """
        self.refuse_closed()
        name = folded((name,))
        taken = "table" if name in self.attached else self.storage.view().root.kind_of(name)
        if taken is not None:
            raise AlreadyExists(f"there is a {taken} {name!r} already: detach or drop it, or name another", name=name)
        self.attached = {**self.attached, name: Attached(name, table_source(name, source))}

    def external_table(
        self,
        name: str,
        location: str | os.PathLike[str],
        *,
        format: str | None = None,
        partitioning: str | None = "hive",
        columns: Mapping[str, str] | None = None,
    ) -> None:
        """Files somewhere as a table, kept in the catalogue; nothing is loaded. See CREATE EXTERNAL TABLE.

        format: parquet, orc, csv, textfile, json; None = by the suffix. columns: name -> type; None = as the files say.
        AlreadyExists if the name is taken. Invalid for what makes no sense.
        """
        self.refuse_closed()
        typed = None if columns is None else [(one.lower(), bind_type(type)) for one, type in columns.items()]
        made = external.external_table(location, format=format, columns=typed, partitioning=partitioning)
        with self._session().change() as transaction:
            transaction.put_external(folded((name,)), made)

    def external(self, name: str, table: "ExternalTable") -> TableSource:
        """The source that reads an external table; made once for each definition."""
        kept = self._external.get(name)
        if kept is None or kept[0] != table:
            kept = self._external[name] = table, external.source(name, table)
        return kept[1]

    def detach(self, name: str) -> None:
        """Forget an attached table. NotFound."""
        name = folded((name,))
        if name not in self.attached:
            raise NotFound(f"nothing is attached as {name!r}{nearest(name, self.attached)}")
        self.attached = {one: source for one, source in self.attached.items() if one != name}

    # -- snapshots

    def snapshot(self, name: str, to: str | os.PathLike[str] | None = None) -> Snapshot:
        """Name the present: two small files, nothing is copied. to: a folder that gets what is missing there.

        AlreadyExists if the name is taken.
        """
        self.refuse_closed()
        return snapshots.take(self.storage, name, to=None if to is None else os.fspath(to))

    def snapshots(self) -> list[Snapshot]:
        """All of them, the oldest first."""
        self.refuse_closed()
        return snapshots.listed(self.storage)

    def snapshot_grid(self) -> Grid:
        """Which blobs each snapshot and the present need, and which of them are new with it. See grid.py."""
        self.refuse_closed()
        return Grid(self.storage)

    def drop_snapshot(self, name: str) -> None:
        """Forget one. Its bytes go with the next collect(), as far as nothing else needs them. NotFound."""
        self.refuse_closed()
        snapshots.drop(self.storage, name)

    @classmethod
    def restore(
        cls,
        source: "str | os.PathLike[str] | Warehouse",
        name: str,
        path: str | os.PathLike[str],
        **options: Any,  # noqa: ANN401 - of the constructor
    ) -> "Warehouse":
        """A new warehouse in `path`, as a snapshot has it. source: a warehouse, its folder, or a folder of copies.

        NotFound for an unknown snapshot, AlreadyExists where path holds a warehouse.
        """
        place = source.storage if isinstance(source, Warehouse) else source
        snapshots.restore(place, name, path, files=options.get("files"))
        return cls(path, **options)

    def restore_table(self, snapshot: str, table: str, to: str) -> int:
        """A table as a snapshot has it, under a new name; nothing is copied. Its rows."""
        self.refuse_closed()
        return snapshots.restore_table(self.storage, snapshot, folded((table,)), folded((to,)))

    def tick(self) -> list[Snapshot]:
        """Do what is due by the clock: drop snapshots that expired, take one, copy it. Those that were taken."""
        self.refuse_closed()
        return snapshots.tick(self.storage, self.automatic)

    def collect(self, *, grace: float = 3600) -> Collected:
        """Delete what no table, snapshot or open reader needs. grace: seconds for readers of other processes."""
        self.refuse_closed()
        return self.storage.collect(grace=grace)

    # -- what is there

    def tables(self) -> list[str]:
        """The names of all tables, views and external tables."""
        self.refuse_closed()
        root = self.storage.view().root
        return sorted((*root.tables, *root.views, *root.external, *self.attached))

    def table(self, name: str) -> TableSource:
        """A table as a source, of this moment, for other engines and for programs. NotFound."""
        self.refuse_closed()
        return Names(self.session()).source(folded((name,)))

    def layout(self, table: str | None = None) -> Layout:
        """A row for each block of a table, or of all: encoding, bytes before and after, zone map. See strips.py."""
        self.refuse_closed()
        view = self.storage.view()
        names = sorted(view.root.tables) if table is None else [folded((table,))]
        return Layout(view.table(name) for name in names)

    def stats(self) -> dict[str, Any]:
        """Counters."""
        self.refuse_closed()
        cache = self.engine.cache
        return {
            **self.storage.stats(),
            "statements_cached": len(cache),
            "slices": self.storage.slices,
            "nodes": self.nodes,
        }

    def verify(self) -> Report:
        """Read every blob, decode every block; what is damaged."""
        self.refuse_closed()
        return self.storage.verify()

    # -- the end

    def refuse_closed(self) -> None:
        """Closed after close()."""
        if self._closed:
            raise Closed("this warehouse was closed: open it again")

    def close(self) -> None:
        """Roll back what is open, make the rest durable, let go of the folder. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        for session in list(self._sessions):
            session.close()
        self.leader.close()
        self.storage.close()

    def __repr__(self) -> str:
        if self._closed:
            return "<warehouse, closed>"
        return f"<warehouse {self.path or 'in memory'}: {len(self.tables())} tables, {self.storage.slices} slices>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()
