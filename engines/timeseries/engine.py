"""The engine: opening, recovering, writing, changing tables.

    path/ENGINE, lock    whose folder it is, and its writer's lock
    path/log/            every write since the last checkpoint, and a day more for changes()    journal.py, catalog.py
    path/blobs/          tiles                                                                  tile.py
    path/tree/           tables, series keys, which blobs are whose, the applied sequence       standing.py

    write        judged ──> log ──> memory, visible ──> log on disk ──> acknowledged
    checkpoint   memory ──> blobs on disk ──> named by the tree, with the sequence of the log that they cover
    open         the tree's last checkpoint ──> the log after it, applied as it was the first time

Locks: `writing` is held by whoever changes something, for a verdict depends on what is there; not while the disk
syncs, so that writers share a sync. The tree's lock is taken inside it. `lock` guards what readers see, and is held for
moments.

Nothing happens by itself and no thread runs: what ages is moved by tick().

Invariants: a blob is on disk before the tree names it; a frame of the log goes only after that. Whatever was
acknowledged is found again; of a write that was not, all or nothing.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import msgspec
import numpy as np
import numpy.typing as npt

from engines import display
from engines.changes import Change
from engines.clock import Clock, SystemClock
from engines.errors import AlreadyExists, Closed, Invalid, NotFound, ReadOnly, nearest
from engines.sql.front import Statement
from engines.storage.blobs import Blobs
from engines.storage.files import FileSystem, RealFileSystem, disk_errors
from engines.storage.folder import Folder
from engines.storage.log import Durability, Frame, Log
from engines.storage.memory import MemoryFileSystem
from engines.storage.tree import Tree
from engines.timeseries import catalog, checkpoints, defining, doors, ingest, journal, lines, streams
from engines.timeseries import tile as tiles
from engines.timeseries.catalog import CATALOG_FRAME, ROWS_FRAME, Altered, Created, Dropped, Event, Stored, Swapped
from engines.timeseries.columns import Columns
from engines.timeseries.defining import Duration
from engines.timeseries.journal import Batch
from engines.timeseries.part import Part
from engines.timeseries.query import Parameters, Queries, Request
from engines.timeseries.results import RejectedRecords, WriteResult
from engines.timeseries.schedule import SCHEDULE_FRAME, Schedules
from engines.timeseries.schema import TableDefinition
from engines.timeseries.series import SeriesKey
from engines.timeseries.snapshots import FORMAT, Snapshots
from engines.timeseries.standing import Standing
from engines.timeseries.table import TimeTable
from engines.timeseries.upkeep import Upkeep


class TimeSeries(Upkeep):
    """A store of time series in the folder `path` (None: in memory). A context manager; threads may share it.

    name: as in "name"."table" of SQL; default: the last part of the path, else "main". durability: "commit" (default)
    acknowledges a write when it is on disk, "interval" when it is with the kernel (on disk within 50 ms), "checkpoint"
    at once. read_only opens the last checkpoint, also beside a writing process. Locked if another process writes there,
    Invalid if the folder is another engine's, Corrupted if bytes in it are not what was written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        name: str | None = None,
        clock: Clock | None = None,
        durability: Durability = "commit",
        read_only: bool = False,
        files: FileSystem | None = None,
    ) -> None:
        self.path = None if path is None else os.fspath(path)
        if self.path is not None and (not self.path or not isinstance(self.path, str)):
            raise Invalid(f"path is the name of a folder, or None for a store in memory, got {path!r}")
        if self.path is None and read_only:
            raise Invalid("a store in memory has nothing to read: give it a path, or leave out read_only=True")
        if durability not in ("commit", "interval", "checkpoint"):
            raise Invalid(f'durability must be "commit", "interval" or "checkpoint", got {durability!r}')
        if self.path is not None:
            self.path = self.path.rstrip("/") or "/"
        self.name = name or (os.path.basename(os.path.abspath(self.path)) if self.path is not None else "main")
        self.clock: Clock = clock or SystemClock()
        self.read_only = read_only
        self.files: FileSystem = files or (RealFileSystem() if self.path is not None else MemoryFileSystem())
        self.lock = threading.RLock()
        self.writing = threading.RLock()
        self.ticking = threading.Lock()
        self._durability: Durability = "commit" if self.path is None else durability  # in memory a sync does nothing
        self._tables: dict[str, TimeTable] = {}
        self._handles: dict[int, TimeTable] = {}  # of all tables that this object has ever known
        self.next_table = 1  # its number
        self._open_parts: dict[str, Part] = {}
        self.condemned: set[str] = set()  # blobs that the last checkpoint may name, and nobody else
        self.logged_bytes = 0
        self._replaying = False
        self._closed = False
        self.queries = Queries(self.name, self._named, self.tables, self.clock)
        self.queries.handlers["UNLOAD"] = self._unload
        self._folder = None
        if self.path is not None:
            self._folder = Folder(self.path, "timeseries", FORMAT, self.files, read_only=read_only)
        try:
            with disk_errors(f"the time series store {self.path} cannot be opened"):
                self._open()
        except BaseException:
            self._let_go(checkpoint=False)
            raise

    # -- opening

    def _open(self) -> None:
        where = self.path or ""
        self.blobs = Blobs(None if self.path is None else f"{where}/blobs", files=self.files)
        self.tree = Tree(None if self.path is None else f"{where}/tree", files=self.files, read_only=self.read_only)
        self.tree.called = f"the time series store {self.path or 'in memory'}"
        self.log = Log(
            f"{where}/log",
            files=self.files,
            clock=self.clock,
            durability=self._durability,
            recovered_to=self.tree.applied,
            read_only=self.read_only,
        )
        if self.log.damage is not None and not self.read_only:
            raise self.log.damage
        self.standing = Standing(self.tree)
        self.schedules = Schedules(self)
        self.kept_snapshots = Snapshots(self)
        self._load()
        self.tree.before_replay = self._load
        if self.read_only:
            for table in self._tables.values():  # a blob that is open stays, whatever the writer does
                for tile in table.tiles.values():
                    for stored in tile.blobs:
                        self.part_of(stored)
            return
        self.tree.recover(self.log, self._replay)
        self._replaying = False
        if self.tree.checkpoints == 0 and self.tree.applied == 0:
            self.tree.checkpoint()  # so that others can open it read-only from now on
        checkpoints.sweep(self)

    def _load(self) -> None:
        """Forget what is ahead of the last checkpoint: a replay follows."""
        self._replaying = not self.read_only
        with self.lock:
            self._tables = {}
            self.next_table = self.standing.next_table()
            for state in self.standing.states():
                definition = state.definition
                table = self._handle(definition)
                table.reset(definition, self.standing.keys(state), self.standing.newest_of(state), state.generation)
                for stored in self.standing.stored(definition.number):
                    table.keep(stored)
                self._know(table)
            self.schedules.load()
            self.logged_bytes = self.standing.logged_bytes()

    def _handle(self, definition: TableDefinition) -> TimeTable:
        """The handle of a table: the same object after a replay, for somebody may hold it."""
        table = self._handles.get(definition.number)
        if table is None:
            table = self._handles[definition.number] = TimeTable(self, definition)
        return table

    def _know(self, table: TimeTable) -> None:
        self._tables[table.name] = table
        self.next_table = max(self.next_table, table.number + 1)

    def _replay(self, found: Frame) -> None:
        """Apply one frame of the log again."""
        where = self.log.path_of(found.sequence)
        with self.lock:
            if found.kind == ROWS_FRAME:
                batch = journal.decode(bytes(found.payload), where)
                table = next((t for t in self._tables.values() if t.number == batch.table), None)
                if table is not None:
                    table.take(batch)
            elif found.kind == CATALOG_FRAME:
                self._apply_event(catalog.decode_event(found.payload, where))
            elif found.kind == SCHEDULE_FRAME:
                self.schedules.replay(found, where)
            elif found.kind not in (0, 1, 2):
                raise Invalid(
                    f"{self.log.path} has a frame of kind {found.kind}, which this release does not know: "
                    "upgrade with pip install -U enginehouse"
                )
        self.logged_bytes += len(found.payload)

    # -- tables

    def create_table(
        self,
        name: str,
        *,
        memory: Duration = "6h",
        magnetic: Duration = "73000d",
        magnetic_writes: bool = True,
        tile: Duration = "1d",
        dimensions: Iterable[str] | None = None,
    ) -> TimeTable:
        """A new, empty table. AlreadyExists, Invalid.

        memory, magnetic: how long rows stay in the memory tier, and until they are deleted, both counted from their
        time. magnetic_writes: whether rows older than memory are taken. tile: the window of time that is stored, moved
        and deleted as one. dimensions: those known beforehand; others are added as they come.
        """
        with self.writing:
            self.check_writable()
            number = self.next_table
            found = defining.definition(
                number,
                name,
                memory=memory,
                magnetic=magnetic,
                magnetic_writes=magnetic_writes,
                tile=tile,
                dimensions=dimensions,
            )
            if name in self._tables:
                raise AlreadyExists(f"there is a table {name!r} already: drop it first, or take another name")
            sequence = self.event(Created(found))
        self.acknowledge(sequence)
        return self._tables[name]

    def alter_table(
        self,
        name: str,
        *,
        memory: Duration | None = None,
        magnetic: Duration | None = None,
        magnetic_writes: bool | None = None,
    ) -> TimeTable:
        """Another retention from now on; what is None stays. NotFound, Invalid."""
        with self.writing:
            self.check_writable()
            table = self.table(name)
            found = defining.altered(
                table.definition, memory=memory, magnetic=magnetic, magnetic_writes=magnetic_writes
            )
            sequence = self.event(Altered(table.number, found.memory, found.magnetic, found.magnetic_writes))
        self.acknowledge(sequence)
        return table

    def drop_table(self, name: str) -> None:
        """Delete a table with all it holds. NotFound."""
        with self.writing:
            self.check_writable()
            sequence = self.event(Dropped(self.table(name).number))
        self.acknowledge(sequence)

    def _named(self, name: str) -> TimeTable | None:
        return self._tables.get(name)

    def table(self, name: str) -> TimeTable:
        """The table of this name. NotFound offers the nearest."""
        self.check_open()
        self.settle()
        found = self._tables.get(name)
        if found is None:
            raise NotFound(f"there is no table {name!r}{nearest(str(name), self._tables)}")
        return found

    def tables(self) -> list[str]:
        """The names of all tables, sorted."""
        self.check_open()
        self.settle()
        return sorted(self._tables)

    # -- writing

    def append(self, table: TimeTable, batches: Sequence[Columns], *, replacing: bool = False) -> WriteResult:
        """See TimeTable.append. replacing: also records of the same version, as a scheduled query does."""
        result, sequence = WriteResult(), 0
        with self.writing:
            self.check_writable()
            table.check()
            now = self.now()
            for columns in batches:
                ingest.check(table.definition, columns)
            for columns in batches:
                judged = ingest.judge(table, columns, now, replacing=replacing)
                if judged.batch is not None:
                    sequence = self._write_batch(table, judged.batch, len(columns))
                result += judged.result
            if result.unchanged and not sequence:
                sequence = self.tree.applied  # what they repeat may be on its way to the disk only
        if sequence:
            self.acknowledge(sequence)
        if result.rejected:
            raise RejectedRecords.of(result)
        return result

    def _write_batch(self, table: TimeTable, batch: Batch, records: int) -> int:
        def apply(_: int) -> None:
            with self.lock:
                table.take(batch)

        return self.put(journal.encode(batch), ROWS_FRAME, apply, writes=max(1, records // 1000))

    def event(self, event: Event) -> int:
        """Under `writing`: log what changes in the catalog, and do it; the sequence to acknowledge."""

        def apply(_: int) -> None:
            with self.lock:
                self._apply_event(event)

        return self.put(catalog.encode(event), CATALOG_FRAME, apply)

    def put(self, payload: bytes, kind: int, apply: Callable[[int], None], *, writes: int = 1) -> int:
        """Under `writing`: a frame for the log, and with apply(sequence) what it means; the sequence to acknowledge."""
        with self.tree.lock:
            sequence = self.tree.write(payload, kind, apply, writes=writes)
            self._replaying = False
        self.logged_bytes += len(payload)
        return sequence

    def acknowledge(self, sequence: int) -> None:
        """Return when a frame is as durable as was asked for. Then a checkpoint, if one is due."""
        self.log.acknowledge(sequence)
        checkpoints.if_due(self)

    def swap(self, table: TimeTable, tile: int, removed: Sequence[str], added: Sequence[Stored]) -> bool:
        """Put blobs, which are on disk, in the place of others of a tile; False where those are not there any more.

        The blobs removed are deleted after the next checkpoint. A blob's generation is the highest of those that it was
        made of: what has come meanwhile stays right.
        """
        with self.writing:
            self.check_writable()
            known = table.tiles.get(tile)
            digests = set() if known is None else {stored.digest for stored in known.blobs}
            if table.dropped or not digests.issuperset(removed):
                return False
            sequence = self.event(Swapped(table.number, tile, tuple(removed), tuple(added)))
        self.acknowledge(sequence)
        return True

    def _apply_event(self, event: Event) -> None:
        """Under the lock."""
        if isinstance(event, Created):
            table = self._handle(event.definition)
            table.reset(event.definition, (), None, 0)
            self._know(table)
            return
        table = self._handles[event.table]
        if isinstance(event, Altered):
            table.definition = msgspec.structs.replace(
                table.definition,
                memory=event.memory,
                magnetic=event.magnetic,
                magnetic_writes=event.magnetic_writes,
            )
            table.state_version += 1
        elif isinstance(event, Dropped):
            self.condemned |= table.digests()
            table.drop()
            del self._tables[table.name]
        else:
            self.condemned |= set(event.removed)
            table.swap(event.tile, event.removed, event.added)

    # -- reading

    def now(self) -> int:
        """The clock's time, nanoseconds."""
        return self.clock.now() * 1000

    def part_of(self, stored: Stored) -> Part:
        """The part in a blob. Corrupted names file and offset."""
        part = self._open_parts.get(stored.digest)
        if part is None or part.tier != stored.tier:  # the same bytes may serve in both tiers
            part = tiles.read(self.blobs, stored)
            self._open_parts[stored.digest] = part
        return part

    def forget(self, digests: Iterable[str]) -> None:
        """These blobs are deleted; whoever reads them still has them."""
        for digest in digests:
            self._open_parts.pop(digest, None)

    def adopt(
        self,
        definition: TableDefinition,
        keys: Iterable[SeriesKey],
        newest: npt.NDArray[np.int64],
        generation: int,
        blobs: Iterable[Stored],
    ) -> None:
        """Under the lock, for a restore: a table of which nobody here has heard; a checkpoint follows."""
        table = self._handle(definition)
        table.reset(definition, keys, newest, generation)
        table.saved_series = 0
        for stored in blobs:
            table.keep(stored)
        table.changed = set(table.tiles)
        self._know(table)

    def settle(self) -> None:
        """Wait while the log is replayed, after a write that was interrupted."""
        if self._replaying or self.tree.transaction is self.tree.late:
            with self.tree.lock:
                self.tree.catch_up()
                self._replaying = False

    def all_tables(self) -> list[TimeTable]:
        """The tables that are there, by number."""
        return sorted(self._tables.values(), key=lambda table: table.number)

    def changes(
        self, after: int = 0, *, limit: int | None = None, follow: bool = False, timeout: float | None = None
    ) -> Iterator[Change]:
        """The records that were written, in the order of writing; only those on disk.

        after: the sequence of the last change already seen. key is (dimensions, measure name, time); new is the record.
        A record that has replaced one is a MODIFY; what it has replaced is not told. follow=True waits for more, up to
        timeout seconds without news. Kept for a day, or 128 MB of the log: then Trimmed.
        """
        self.check_open()
        return streams.changes(self, after, limit, timeout, follow=follow)

    def stats(self) -> display.Table:
        """Sizes and counters, a row each."""
        self.check_open()
        return streams.stats(self)

    # -- asking

    def sql(self, text: str, parameters: Parameters = (), *, timeout: float | None = None) -> display.Table:
        """The rows of a statement in Timestream's SQL; of several those of the last one.

        parameters: a sequence for `?`, a mapping for `:name` and `@name`. timeout in seconds: DeadlinePassed after
        that. result.plan says what was touched. QueryError for what the text has wrong, or for rows that an expression
        has no value for.
        """
        self.check_open()
        return self.queries.sql(text, parameters, timeout=timeout)

    def explain(self, text: str, parameters: Parameters = ()) -> display.Plan:
        """Run a SELECT, and say by which steps, and what they touched: tiles, series, blocks, bytes. QueryError."""
        self.check_open()
        return self.queries.explained(text, parameters)

    def _unload(self, statement: Statement, request: Request) -> display.Table:
        from engines.timeseries import unload  # noqa: PLC0415 - few want it, and it brings more

        return unload.unload(self, statement, request)

    def write_lines(
        self,
        data: bytes | str,
        precision: lines.Precision = "ns",
        records: Literal["multi", "single"] = "multi",
        create: Mapping[str, Any] | None = None,
        now: int | None = None,
    ) -> WriteResult:
        """Write InfluxDB's line protocol, each line into the table that its measurement names; durable when it returns.

        create: options of create_table() for tables that are not there yet; None: such lines are NotFound, before
        anything is written. The other arguments, and what becomes of lines that cannot be read: TimeTable.write_lines.
        """
        self.check_writable()
        return doors.route_lines(self, data, precision, records, create, now)

    # -- life

    def checkpoint(self) -> int:
        """Write to blobs what is in memory only; the log's sequence that is covered.

        Happens by itself after 64 MB of the log, and on close.
        """
        with self.writing:
            self.check_writable()
            return checkpoints.checkpoint(self)

    def check_open(self) -> None:
        """Closed if it is."""
        if self._closed:
            raise Closed(f"{self.tree.called} is closed: open it again with timeseries.TimeSeries(...)")

    def check_writable(self) -> None:
        """Closed or ReadOnly; what was interrupted is made good. Whoever will change something asks under `writing`."""
        self.check_open()
        if self.read_only:
            raise ReadOnly(f"{self.path} was opened with read_only=True: open it without that to write")
        with self.tree.lock:
            self.tree.catch_up()
            self._replaying = False

    def close(self) -> None:
        """Checkpoint, sync and let go of the folder. Closing twice is harmless."""
        with self.writing:  # to the end: a write after the checkpoint would be in no blob
            if self._closed:
                return
            covered = False  # whether the tree may say that it has applied the whole log
            try:
                if not (self.read_only or self.log.failed or self.path is None):
                    if self.tree.dirty_writes:
                        self.checkpoint()
                    covered = True
            finally:
                self._let_go(checkpoint=covered)

    def _let_go(self, *, checkpoint: bool) -> None:
        self._closed = True
        tree: Tree | None = getattr(self, "tree", None)
        log: Log | None = getattr(self, "log", None)
        try:
            if tree is not None:
                tree.close(checkpoint=checkpoint)
        finally:
            try:
                if log is not None:
                    log.close()
            finally:
                if self._folder is not None:
                    self._folder.close()
                if isinstance(self.files, MemoryFileSystem):
                    self.files.close_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<timeseries.TimeSeries {self.path or 'in memory'}{' (closed)' if self._closed else ''}>"
