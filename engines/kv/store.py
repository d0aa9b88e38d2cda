"""A store: tables that share one log, one tree and one lock. Opening, recovering, expiring, checking.

    path/ENGINE  lock     whose folder it is, and which process writes it
    path/log/             every change, oldest first: durability, and the change stream
    path/tree/            catalog | t/ID items | x/ID expiries: what the log adds up to

The log is the database; the tree is a cache of it that is never wrong, only late, and catches up at open.
"""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import msgspec

from engines import display
from engines.changes import Change
from engines.clock import Clock, SystemClock
from engines.display import Report
from engines.errors import Closed, Invalid, ReadOnly
from engines.kv import catalog, inside, journal, partiql, switches, transactions, verify
from engines.kv.backup import imports, transfer
from engines.kv.backup.bases import Bases
from engines.kv.backup.restore import Moment, drop_unfinished, restore_store, restore_table
from engines.kv.backup.snapshots import FILLING, Snapshots
from engines.kv.frames import Frames
from engines.kv.page import Page, check_limit
from engines.kv.partiql.binding import Text as Statement
from engines.kv.retention import Retention
from engines.kv.scaling import Ticks
from engines.kv.schema import Tables, new_definition
from engines.kv.table import Table
from engines.kv.throttle import Consumed
from engines.kv.tokens import Tokens
from engines.storage.files import FileSystem, RealFileSystem
from engines.storage.folder import Folder
from engines.storage.log import Durability, Log
from engines.storage.memory import MemoryFileSystem
from engines.storage.tree import Keyspace, Tree

if TYPE_CHECKING:
    from engines.kv.access.guard import Session
    from engines.kv.access.policies import Policy

FORMAT = 1


class Store:
    """A key-value store in the folder `path` (None: in memory). A context manager; threads may share it.

    durability: "commit" (default) acknowledges a write when it is on disk, "interval" when it is with the kernel (on
    disk within 50 ms), "checkpoint" at once. read_only opens the last checkpoint, also beside a writing process.
    Locked if another process writes there, Invalid if the folder is another engine's or a newer version's, Corrupted
    if bytes in it are not what was written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        clock: Clock | None = None,
        durability: Durability = "commit",
        read_only: bool = False,
        files: FileSystem | None = None,
    ) -> None:
        self.path = None if path is None else os.fspath(path)
        if self.path is not None and (not self.path or not isinstance(self.path, str)):
            raise Invalid(f"path is the name of a folder, or None for a store in memory, got {path!r}")
        self.clock = clock or SystemClock()
        self.read_only = read_only
        self._files = files or (RealFileSystem() if path is not None else MemoryFileSystem())
        self._checkpointing = threading.Lock()
        self._closed = False
        self._folder: Folder | None = None
        if self.path is None and read_only:
            raise Invalid("a store in memory has nothing to read: give it a path, or leave out read_only=True")
        if durability not in ("commit", "interval", "checkpoint"):
            raise Invalid(f'durability must be "commit", "interval" or "checkpoint", got {durability!r}')
        if self.path is not None:
            self._folder = Folder(self.path, "kv", FORMAT, self._files, read_only=read_only)
        try:
            self._open(durability)
        except BaseException:
            self._let_go(checkpoint=False)
            raise

    def _open(self, durability: Durability) -> None:
        self.tree = Tree(
            None if self.path is None else f"{self.path}/tree", files=self._files, read_only=self.read_only
        )
        self.tree.called = f"the store {self.path or 'in memory'}"
        self.log = Log(
            f"{self.path or ''}/log",
            files=self._files,
            clock=self.clock,
            durability="checkpoint" if self.path is None else durability,
            recovered_to=self.tree.applied,
            read_only=self.read_only,
        )
        if self.log.damage is not None and not self.read_only:
            raise self.log.damage
        self.catalog: Keyspace = self.tree.keyspace("catalog")
        self.schema = Tables(self)
        self.ticks = Ticks(self)
        self.frames = Frames(self)
        self.retention = Retention(self.log, self.clock, self.catalog, self.schema.definitions)
        self.references = self.retention.references
        self.kept_snapshots = Snapshots(self, self._files)
        self.bases = Bases(self, self.kept_snapshots)
        self.tokens = Tokens(self.catalog, self.clock.now)
        self.schema.load()
        if not self.read_only:
            self.retention.note_references(self.tree.applied)
            self.tree.recover(self.log, self.frames.replay)
            if self.tree.checkpoints == 0 and self.tree.applied == 0 and not self.schema.by_name:
                self.tree.checkpoint()  # so that others can open it read-only from now on
            drop_unfinished(self)
            self.schema.fill_unready()
            self.ticks.begin()

    # -- tables -------------------------------------------------------------------------------------------------------

    def create_table(
        self,
        name: str,
        key: str | Sequence[str],
        *,
        ttl: str | None = None,
        stream: bool | str = False,
        indexes: Iterable[Mapping[str, Any]] = (),
        capacity: tuple[float, float] | None = None,
        pitr: bool = False,
        show_expired: bool = False,
    ) -> Table:
        """A new, empty table.

        key: "id:S", or ("customer:S", "order:N") for a partition and a sort key; types S, N, B. ttl: the attribute that
        holds the second (since 1970) in which an item expires; show_expired=True lets it be seen until it is deleted,
        as DynamoDB does. stream: True to keep old and new item of every change for 24 hours, or one of "KEYS_ONLY",
        "NEW_IMAGE", "OLD_IMAGE". indexes: a dict of create_index's arguments for each. capacity: (read, write) units a
        second, None for on demand. pitr=True keeps 35 days of changes, so that restore_table() can go back to any
        moment of them. AlreadyExists, Invalid.
        """
        definition = new_definition(name, key, ttl, stream, capacity, pitr=pitr, show_expired=show_expired)
        catalog.refuse_companion(name)
        return self.schema.create(definition, indexes)

    def table(self, name: str) -> Table:
        """The table of this name. NotFound offers the nearest one."""
        self.check_open()
        return self.schema.named(name)

    def tables(self) -> list[str]:
        """The names of all tables, sorted; of one that is being filled (restored, imported), once it is there."""
        self.check_open()
        return sorted(name for name in self.schema.by_name if not name.endswith(FILLING))

    def drop_table(self, name: str) -> None:
        """Delete a table with all its items, and with what a kv.Replica keeps beside it. NotFound, Invalid."""
        self.schema.drop(name)

    def session(
        self,
        policy: "Policy | Mapping[str, object] | Sequence[Mapping[str, object]]",
        *,
        principal: Mapping[str, object] | None = None,
    ) -> "Session":
        """This store as one principal may use it: the same methods, each Denied where the policy does not allow it.

        policy: a kv.Policy, or what it is made of: a document of IAM, or a list of its statements. principal: who asks,
        {"username": "ann", "tags": {"team": "sales"}}, for the policy's variables and conditions. Invalid.
        """
        from engines.kv.access.guard import Session  # noqa: PLC0415 - it is made of this class's methods

        return Session(self, policy, principal)

    # -- time ---------------------------------------------------------------------------------------------------------

    def expire(self, limit: int | None = None) -> int:
        """Delete the items whose time to live is over now, in each table oldest first; how many were deleted.

        They have been invisible since their second came. The change stream shows each as a REMOVE with expired=True.
        limit: at most so many.
        """
        self.check_open()
        check_limit(limit)
        count = 0
        for table in self.schema.all():
            if limit is None or count < limit:
                count += table.records.expire(None if limit is None else limit - count)
        return count

    def tick(self) -> int:
        """Do what the minutes that are over ask of tables with scale(): other rates; how many tables have got them.

        Happens by itself before the first operation of a minute on such a table. Not expire(), nor checkpoint().
        """
        self.check_open()
        return self.ticks.tick()

    def checkpoint(self) -> int:
        """Bring the tree on disk up to date and drop what the log no longer needs; the sequence that is covered.

        Happens by itself after 64 MB or 100,000 writes, and on close.
        """
        self.check_open()
        if self.read_only:
            raise ReadOnly(f"{self.path} was opened with read_only=True: the process that writes makes checkpoints")
        with self._checkpointing:
            return self._checkpoint()

    def checkpoint_if_due(self) -> None:
        """A checkpoint if one is due. What the disk refuses here is no failure of the write before it.

        That one is acknowledged. A full disk is met again by the next, and for worse the log refuses the next.
        """
        if self.tree.due and self._checkpointing.acquire(blocking=False):
            try:
                with contextlib.suppress(ReadOnly):
                    self._checkpoint()
            finally:
                self._checkpointing.release()

    def let_others(self) -> None:
        """Between the pages of long work, the lock let go: who waits for it gets it; a checkpoint, if one is due."""
        os.sched_yield()
        self.checkpoint_if_due()

    def _checkpoint(self) -> int:
        reached = self.tree.checkpoint(self.retention.mark)
        self.log.trim(min(reached + 1, self.retention.keep, self.bases.after_checkpoint()))
        return reached

    # -- several at once ----------------------------------------------------------------------------------------------

    def transact(
        self,
        actions: Sequence[transactions.Action | transactions.Get],
        *,
        token: str | None = None,
        consumed: Consumed | None = None,
    ) -> transactions.Answers | None:
        """All of these writes, or none: 1 to 100 of kv.Put, Update, Delete and Check, each on another item.

        Conditions and updates see the items as they were before. ConditionFailed (Invalid where an update makes no
        sense) has .reasons: for each action None, or {"code", "message", "item"}. token: with the same one the same
        actions are done once, for ten minutes. Or 1 to 100 of kv.Get: the items (None: not there) at one moment.
        """
        self.check_open()
        self.ticks.if_due()
        return transactions.transact(self, actions, token, consumed)

    def batch_get(self, requests: Iterable[Any], *, consumed: Consumed | None = None) -> transactions.Answers:
        """The items under up to 100 (table name, key) pairs or kv.Get, in order, None for what is not there.

        `.unprocessed` of the answer are the requests for which their table had no read units left.
        """
        self.check_open()
        self.ticks.if_due()
        return transactions.batch_get(self, requests, consumed)

    def batch_write(
        self,
        actions: Iterable[transactions.Put | transactions.Delete],
        *,
        consumed: Consumed | None = None,
    ) -> list[transactions.Put | transactions.Delete]:
        """Up to 25 kv.Put and kv.Delete without conditions, one sync; those for which no write units were left."""
        self.check_open()
        self.ticks.if_due()
        return transactions.batch_write(self, actions, consumed)

    # -- PartiQL ------------------------------------------------------------------------------------------------------

    def execute(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        consistent: bool = False,
        limit: int | None = None,
        start: Sequence[Any] | None = None,
        consumed: Consumed | None = None,
    ) -> Page | list[dict[str, Any]] | None:
        """Do what a PartiQL statement says: SELECT, INSERT, UPDATE or DELETE. parameters: a value for each ? in it.

        SELECT gives a Page, as query() and scan() do; limit and start are theirs. UPDATE and DELETE with RETURNING give
        a list of the one item, or of none, others None. QueryError or Invalid before anything is read; ConditionFailed
        where an INSERT finds its key taken, an UPDATE no item, or WHERE with the full key does not hold.
        """
        self.check_open()
        return partiql.execute(
            self, statement, parameters, consistent=consistent, limit=limit, start=start, consumed=consumed
        )

    def execute_batch(
        self, statements: Iterable[Statement], *, consistent: bool = False, consumed: Consumed | None = None
    ) -> list[partiql.Outcome]:
        """1 to 25 statements, a text or (text, parameters) each: all SELECT of one item by its key, or all writing.

        Each for itself: its outcome has .item, or .error, the exception that execute() would have raised.
        """
        self.check_open()
        return partiql.execute_batch(self, statements, consistent=consistent, consumed=consumed)

    def execute_transaction(
        self, statements: Iterable[Statement], *, token: str | None = None, consumed: Consumed | None = None
    ) -> transactions.Answers | None:
        """1 to 100 statements as in transact(): all SELECT of one item by its key, or all writing.

        Each is a text or (text, parameters), about another item; EXISTS(SELECT ...) is a check.
        """
        self.check_open()
        return partiql.execute_transaction(self, statements, token=token, consumed=consumed)

    def explain_statement(self, statement: str, parameters: Sequence[Any] = ()) -> display.Plan:
        """Run a SELECT and say what it touched, as explain() does; of one that writes, what it would do."""
        self.check_open()
        return partiql.explain(self, statement, parameters)

    # -- snapshots, and the past --------------------------------------------------------------------------------------

    def snapshot(
        self, name: str, to: str | os.PathLike[str] | None = None, *, tables: Sequence[str] | None = None
    ) -> None:
        """Keep all tables, or these, as they are now, under a name; writers go on meanwhile. AlreadyExists.

        to: a folder into which the snapshot is copied as well, as far as it is not there; a snapshot that has been
        taken before under this name is only copied. On disk when it returns; after a crash it is whole or not there.
        """
        self.kept_snapshots.take(name, to, tables)

    def snapshots(self) -> display.Table:
        """The snapshots of this store, oldest first: name, time, tables, items, bytes, sequence."""
        return self.kept_snapshots.table()

    def drop_snapshot(self, name: str) -> None:
        """Delete a snapshot. What no other needs goes an hour later. NotFound."""
        self.kept_snapshots.drop(name)

    @classmethod
    def restore(
        cls,
        source: "str | os.PathLike[str] | Store",
        name: str,
        path: str | os.PathLike[str] | None,
        *,
        clock: Clock | None = None,
        durability: Durability = "commit",
        files: FileSystem | None = None,
    ) -> "Store":
        """A new store in the folder `path` (None: in memory) that holds what a snapshot holds.

        source: a store or its folder, also one that is open, or a folder that snapshot(to=) has copied to. NotFound,
        AlreadyExists if there is something at `path`, Corrupted names a damaged blob; then nothing is left at `path`.
        """

        def open_store(path: str | None) -> Store:
            return cls(path, clock=clock, durability=durability, files=files)

        return restore_store(open_store, source, name, path, files)

    def restore_table(
        self,
        name: str,
        *,
        to: str,
        at: Moment | None = None,
        snapshot: str | None = None,
        ttl: str | None = None,
    ) -> Table:
        """A new table `to` that holds what `name` held at a moment of the last 35 days, or in a snapshot.

        at: a datetime, or seconds since 1970; the table needs pitr=True. A table that was dropped is found by the name
        that it had then, as long as the log is kept. Key, indexes and capacity are taken over; stream, time to live and
        pitr are off, as in DynamoDB: ttl= names the attribute to switch it on. NotFound says which moments are covered.
        """
        return restore_table(self, name, to=to, at=at, snapshot=snapshot, ttl=ttl)

    def set_pitr(self, name: str, *, enabled: bool) -> None:
        """Switch point-in-time recovery of a table on, from now on, or off, which forgets its past. NotFound."""
        self.check_open()
        if not isinstance(enabled, bool):
            raise Invalid(f"enabled is True or False, got {enabled!r:.80}")
        self.schema.alter(self.table(name), lambda definition: msgspec.structs.replace(definition, pitr=enabled))
        self.checkpoint()  # takes the first base

    def set_ttl(self, name: str, ttl: str | None) -> None:
        """Let the items of a table expire in the second that an attribute says, from now on; None: no more.

        Items that are there already get their time before it returns; others may write meanwhile. Invalid if another
        attribute says it at present. NotFound.
        """
        self.check_open()
        switches.set_ttl(self, self.table(name), ttl)

    def set_stream(self, name: str, stream: bool | str) -> None:  # noqa: FBT001 - as create_table's
        """Keep the changes of a table from now on, as create_table(stream=) does, or with False no more. NotFound."""
        self.check_open()
        switches.set_stream(self, self.table(name), catalog.stream_view(stream))

    def export(
        self,
        name: str,
        to: str | os.PathLike[str],
        *,
        at: Moment | None = None,
        since: Moment | None = None,
        format: transfer.Format = "dynamodb-json",  # noqa: A002 - the usual word
    ) -> transfer.Exported:
        """Write a table as it is, or was at a moment, into files in a folder, as DynamoDB lays its exports out.

        since: only what changed after that moment, with old and new images; this and at= in the past need pitr=True.
        format: "dynamodb-json" (gzip) or "parquet" (extra [arrow]; not with since). Writers go on meanwhile, no read
        units are consumed. The summary manifest is written last: an export without it was cut short.
        """
        return transfer.export(self, name, to, at=at, since=since, format=format)

    def import_table(
        self,
        name: str,
        source: imports.Source,
        *,
        key: str | Sequence[str],
        format: imports.Format = "dynamodb-json",  # noqa: A002 - the usual word
        delimiter: str = ",",
        types: Mapping[str, str] | None = None,
        ttl: str | None = None,
        stream: bool | str = False,
        indexes: Iterable[Mapping[str, Any]] = (),
        capacity: tuple[float, float] | None = None,
        pitr: bool = False,
        show_expired: bool = False,
    ) -> tuple[Table, Report]:
        """A new table with the items in files, and a report that names each row that could not be stored.

        source: a file, a folder, an export's folder, or a list of them; plain, gzip or zstd. format: "dynamodb-json",
        "csv" (delimiter; types: of attributes that are no texts, S, N, B or BOOL), "parquet" (extra [arrow]). The other
        arguments are create_table's. No write units are consumed. Corrupted if a file is damaged, Invalid if no row
        could be stored: no table then.
        """
        definition = new_definition(name, key, ttl, stream, capacity, pitr=pitr, show_expired=show_expired)
        return imports.import_table(
            self, definition, source, format=format, indexes=indexes, delimiter=delimiter, types=types or {}
        )

    # -- the change stream --------------------------------------------------------------------------------------------

    def changes(
        self, after: int = 0, *, limit: int | None = None, follow: bool = False, timeout: float | None = None
    ) -> Iterator[Change]:
        """What happened after a position, oldest first, in all tables with a stream. Only what is on disk is told.

        after: the sequence of the last change already seen. Changes that happened together share a sequence, and are
        never parted by limit. follow=True waits for more, up to timeout seconds without news (None: until the store is
        closed). Trimmed if the position is older than the 24 hours a stream is kept, Invalid if it is yet to come.
        """
        streams = {
            number: table for number, table in list(self.schema.by_id.items()) if table.definition.stream is not None
        }
        return self.read_changes(after, streams, limit=limit, follow=follow, timeout=timeout)

    def read_changes(
        self, after: int, tables: Mapping[int, Table], *, limit: int | None, follow: bool, timeout: float | None
    ) -> Iterator[Change]:
        """changes() of these tables, by their ids."""
        self.check_open()
        return journal.changes_after(self, after, tables, limit=limit, follow=follow, timeout=timeout)

    # -- looking inside -----------------------------------------------------------------------------------------------

    def explain(self, table: str, key_condition: str | None = None, **query: Any) -> display.Plan:  # noqa: ANN401 - as Table.explain
        """The plan of a query or scan of one table, with what it touched: Table.explain."""
        return self.table(table).explain(key_condition, **query)

    def stats(self) -> display.Table:
        """Sizes and counters of the store, a row each."""
        self.check_open()
        return inside.stats(self)

    def layout(self) -> display.Table:
        """What lies where: a row for each segment of the log and each keyspace of the tree."""
        self.check_open()
        return inside.layout(self)

    def verify(self) -> Report:
        """Walk every byte: the log's frames, the tree's pages and keys, every item; compare the tree with the log.

        Run it while nobody writes: beside writers it may name items that have changed since it looked.
        """
        self.check_open()
        return verify.verify_store(self)

    # -- life ---------------------------------------------------------------------------------------------------------

    def check_open(self) -> None:
        if self._closed:
            raise Closed(f"{self.tree.called} is closed: open it again with kv.Store(...)")

    def close(self) -> None:
        """Checkpoint, sync and let go of the folder. Closing twice is harmless."""
        if not self._closed:
            try:
                if not (self.read_only or self.log.failed) and self.tree.dirty_writes:
                    self.checkpoint()
            finally:
                self._let_go(checkpoint=not self.log.failed)

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
                if isinstance(self._files, MemoryFileSystem):
                    self._files.close_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<kv.Store {self.path or 'in memory'}{' (closed)' if self._closed else ''}>"
