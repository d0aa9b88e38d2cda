"""A store: tables that share one log, one tree and one lock. Opening, recovering, expiring, checking.

    path/ENGINE  lock     whose folder it is, and which process writes it
    path/log/             every change, oldest first: durability, and the change stream
    path/tree/            catalog | t/ID items | x/ID expiries: what the log adds up to

The log is the database; the tree is a cache of it that is never wrong, only late, and catches up at open.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Self

import lmdb
import msgspec

from engines import display
from engines.changes import Change
from engines.clock import Clock, SystemClock
from engines.display import Report
from engines.errors import AlreadyExists, Closed, Invalid, NotFound, ReadOnly, TooLarge, Trimmed, nearest
from engines.kv import catalog, journal, transactions, verify
from engines.kv.catalog import (
    ITEMS_FRAME,
    NAMES_FRAME,
    SCHEMA_FRAME,
    TRANSACTION_FRAME,
    Definition,
    Index,
    Names,
    Schema,
)
from engines.kv.indexes import check_indexes, index_of
from engines.kv.page import check_limit
from engines.kv.records import Records, Write, encode_together
from engines.kv.retention import Retention
from engines.kv.table import Table
from engines.kv.throttle import Capacity, Consumed
from engines.kv.tokens import Tokens, decode_token
from engines.kv.values import PAGE_ITEMS, KeyPart, check_table_name, key_schema
from engines.storage.environment import MAX_KEYSPACES
from engines.storage.files import FileSystem, RealFileSystem
from engines.storage.folder import Folder
from engines.storage.log import Durability, Frame, Log
from engines.storage.memory import MemoryFileSystem
from engines.storage.tree import Keyspace, Tree

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
        self._tables: dict[str, Table] = {}
        self._by_id: dict[int, Table] = {}
        self._checkpointing = threading.Lock()
        self._closed = False
        self._emptied = 0  # keyspaces of tables dropped since the last checkpoint: they still take their room
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
        self._catalog: Keyspace = self.tree.keyspace("catalog")
        self.retention = Retention(self.log, self.clock, self._catalog, self._definitions)
        self.references = self.retention.references
        self.tokens = Tokens(self._catalog, self.clock.now)
        for key, value in self._catalog.page(b"table/", b"table0", limit=1 << 30, limit_bytes=1 << 40):
            try:
                self._add(catalog.decode_definition(value))
            except ValueError as error:
                raise catalog.corrupted(f"{self.path}/tree/data.mdb, {key.decode()}", error) from error
        if not self.read_only:
            self._note_references(self.retention.last_mark)
            self.tree.recover(self.log, self._replay)
            if self.tree.checkpoints == 0 and self.tree.applied == 0 and not self._tables:
                self.tree.checkpoint()  # so that others can open it read-only from now on
            for table in list(self._tables.values()):
                for index in table.definition.indexes:
                    if not index.ready:  # the process ended while it was being filled
                        self._fill(table, index.name)

    def _definitions(self) -> list[Definition]:
        return [table.definition for table in list(self._tables.values())]

    def _note_references(self, after: int) -> None:
        """Of the frames between the last mark and its checkpoint: others wrote while that was being made."""
        if not any(definition.stream for definition in self._definitions()):
            return
        for found in self.log.read(max(after, self.log.first - 1)):
            if found.sequence > self.tree.applied:
                return  # the replay notes the rest
            for _, _, old, _, _ in journal.frame_changes(found, self.log.path):
                if isinstance(old, int):
                    self.references.note(old)

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
        second, None for on demand. pitr=True keeps 35 days of changes, so that restore_table() can go back to any moment
        of them. AlreadyExists, Invalid.
        """
        check_table_name(name)
        parts = key_schema(key)
        view = catalog.stream_view(stream)
        if ttl is not None and (not isinstance(ttl, str) or not ttl or ttl in (part.name for part in parts)):
            raise Invalid(f"ttl names an attribute that is no part of the key, got {ttl!r}")
        if show_expired and ttl is None:
            raise Invalid("show_expired=True is for tables with a ttl: name the attribute that holds the second")
        read, write = capacity if capacity is not None else (None, None)
        Capacity(read, write, self.clock)  # Invalid for what makes no sense
        with self.tree.lock:
            self._check_open()
            if name in self._tables:
                raise AlreadyExists(f"there is a table {name!r} already: store.table({name!r}) opens it")
            number = self._next_id()
            described = []
            for index in indexes:
                described.append(_described(index, number + 1 + len(described), parts))
            check_indexes(described)
            definition = Definition(
                number,
                name,
                parts,
                ttl,
                view,
                self.clock.now(),
                self.log.last + 1,
                tuple(described),
                read,
                write,
                pitr,
                show_expired,
            )
            self._check_room(definition)
            sequence = self._change_schema(Schema(create=definition))
            table = self._tables[name]
        self.log.acknowledge(sequence)
        return table

    def table(self, name: str) -> Table:
        """The table of this name. NotFound offers the nearest one."""
        self._check_open()
        if name not in self._tables:
            raise NotFound(f"there is no table {name!r}{nearest(name, self._tables)}")
        return self._tables[name]

    def tables(self) -> list[str]:
        """The names of all tables, sorted."""
        self._check_open()
        return sorted(self._tables)

    def drop_table(self, name: str) -> None:
        """Delete a table with all its items. NotFound."""
        with self.tree.lock:
            self.table(name)
            sequence = self._change_schema(Schema(drop=name))
        self.log.acknowledge(sequence)

    def alter(self, table: Table, change: Callable[[Definition], Definition]) -> None:
        """Give a table another definition, made from the present one under the lock."""
        with self.tree.lock:
            self._check_open()
            definition = change(self.table(table.name).definition)
            if definition.id != table.definition.id:
                raise NotFound(f"table {table.name} was dropped, another one has its name now: store.table() opens it")
            self._check_room(definition)
            sequence = self._change_schema(Schema(alter=definition))
        self.log.acknowledge(sequence)

    def create_index(self, table: Table, name: str, key: Any, projection: Any, *, local: bool) -> None:  # noqa: ANN401 - checked by index_of
        """See Table.create_index."""

        def with_index(definition: Definition) -> Definition:
            index = index_of(self._next_id(), name, key, projection, local=local, table_key=definition.key)
            if any(known.name == name for known in definition.indexes):
                raise AlreadyExists(f"table {table.name} has an index {name!r} already: drop_index({name!r}) first")
            check_indexes([*definition.indexes, index])
            return msgspec.structs.replace(definition, indexes=(*definition.indexes, index))

        self.alter(table, with_index)
        self._fill(table, name)

    def drop_index(self, table: Table, name: str) -> None:
        """See Table.drop_index."""

        def without(definition: Definition) -> Definition:
            table.records.index(name)
            return msgspec.structs.replace(definition, indexes=tuple(i for i in definition.indexes if i.name != name))

        self.alter(table, without)

    def _fill(self, table: Table, name: str) -> None:
        """Enter the items of before an index was created, a page of them under each hold of the lock."""
        low: bytes | None = b""
        builds = -1
        while low is not None:
            with self.tree.lock:
                if builds != self.tree.rebuilds:  # what had been entered since the last checkpoint is lost
                    low, builds = b"", self.tree.rebuilds
                try:
                    low = table.records.fill_index(name, low, PAGE_ITEMS)
                except lmdb.MapFullError:
                    self.tree.rebuild(grow=True)
            self.checkpoint_if_due()
        self.alter(table, lambda definition: _with_ready(definition, name))

    def _next_id(self) -> int:
        return int.from_bytes(self._catalog.get(b"next") or b"\x01", "little")

    def _check_room(self, definition: Definition) -> None:
        """TooLarge, before anything is logged, if the tree has no room for the table's keyspaces."""
        others = [table.definition for table in list(self._by_id.values())]
        definitions = [definition, *(other for other in others if other.id != definition.id)]
        needed = 2 + self._emptied + sum(map(_keyspaces, definitions))  # meta and catalog are two
        if needed > MAX_KEYSPACES:
            raise TooLarge(
                f"a store has room for {MAX_KEYSPACES - 2:,} tables, where a time to live and each index count as one "
                "more: drop a table and make a checkpoint(), or use a second store",
                size=needed - 2,
                limit=MAX_KEYSPACES - 2,
            )

    def _change_schema(self, schema: Schema) -> int:
        """Under the lock: log it, do it; the frame's sequence."""
        return self._write(catalog.encode(schema), SCHEMA_FRAME, lambda _: self._apply_schema(schema), writes=1000)

    def _write(self, payload: bytes, kind: int, apply: Callable[[int], None], writes: int = 1) -> int:
        """Under the lock: one frame, and what it means for the tree; its sequence."""
        self.tree.transaction.id()  # raises the reason where there is none any more, before anything is logged
        before = self.log.last
        try:
            sequence = self.log.append(payload, kind)
            apply(sequence)
            self.tree.note(sequence, len(payload), writes)
        except BaseException as error:  # noqa: BLE001 - mend raises it again unless the change was saved
            sequence = self.mend(error, before)
        return sequence

    def write_together(self, writes: Sequence[Write], token: bytes = b"") -> int:
        """Under the lock: put and delete in one frame, in order, under a transaction's token; the frame's sequence."""
        for records in {id(write.records): write.records for write in writes}.values():
            if records.names_logged != len(records.codec.names):
                self.log_names(records)
        payload, applied = encode_together(writes)
        if not applied and not token:
            return self.log.last

        def apply(sequence: int) -> None:
            for write, key, old_expires in applied:
                write.records.writer.apply(key, write.image, old_expires, write.expires, sequence)
            if token:
                self._note_token(token, self.clock.now())

        kind = TRANSACTION_FRAME if token else ITEMS_FRAME
        return self._write(token + payload, kind, apply, len(applied) or 1)

    def _note_token(self, payload: bytes | memoryview, time: int) -> None:
        token, digest, _ = decode_token(payload)
        self.tokens.add(token, digest, time)

    def _apply_schema(self, schema: Schema, *, replaying: bool = False) -> None:
        if schema.create is not None:
            self._create(schema.create)
        elif schema.drop is not None:
            self._drop(schema.drop)
        elif schema.alter is not None:
            self._alter(schema.alter, replaying=replaying)

    def _alter(self, definition: Definition, *, replaying: bool) -> None:
        """In the catalog and in memory; harmless where it is done already."""
        table = self._by_id.get(definition.id)
        if table is None:
            return  # dropped later, and seen again in a replay
        kept = {index.id for index in definition.indexes}
        newest = max([definition.id, *kept]) + 1
        self._catalog.put(b"table/" + definition.name.encode(), catalog.encode(definition))
        if newest > self._next_id():
            self._catalog.put(b"next", newest.to_bytes(4, "little"))
        before = table.definition.indexes
        table.records.define(definition)
        for index in before:
            if index.id not in kept:
                self._emptied += 1
                self.tree.drop(f"i/{index.id}")
        if replaying:  # what was entered in between is not in the log
            for index in definition.indexes:
                if index.ready and not any(known.id == index.id and known.ready for known in before):
                    low: bytes | None = b""
                    while low is not None:
                        low = table.records.fill_index(index.name, low, PAGE_ITEMS)

    def _create(self, definition: Definition) -> None:
        """In the catalog and in memory; harmless where it is there already."""
        self._catalog.put(b"table/" + definition.name.encode(), catalog.encode(definition))
        newest = max([definition.id, *(index.id for index in definition.indexes)])
        self._catalog.put(b"next", (newest + 1).to_bytes(4, "little"))
        self._add(definition)

    def _add(self, definition: Definition) -> None:
        table = self._by_id.get(definition.id)
        if table is None:
            names = catalog.decode_list(self._catalog.get(b"names/%d" % definition.id) or b"\x90")
            table = self._by_id[definition.id] = Table(self, definition, names)
        self._tables[definition.name] = table

    def _drop(self, name: str) -> None:
        """In the catalog, in the tree and in memory; harmless where it is gone already.

        First in memory: should Ctrl-C come in between, nobody has a handle on what the rebuilt tree drops. A rebuilt
        tree may also meet this while a younger table has the name: that one stays.
        """
        entry = b"table/" + name.encode()
        stored = self._catalog.get(entry)
        if stored is not None:
            definition = catalog.decode_definition(stored)
            table = self._by_id.get(definition.id)
            has_the_name = self._tables.get(name) is table
            if table is not None:
                table.records.drop()
                del self._by_id[definition.id]  # no calls here: an interrupt finds all of this done or nothing
                if has_the_name:
                    del self._tables[name]
            self._emptied += _keyspaces(definition)
            self.tree.drop(f"t/{definition.id}")
            if definition.ttl is not None:
                self.tree.drop(f"x/{definition.id}")
            for index in definition.indexes:
                self.tree.drop(f"i/{index.id}")
            self._catalog.delete(entry)
            self._catalog.delete(b"names/%d" % definition.id)

    # -- what tables ask of their store -------------------------------------------------------------------------------

    def log_names(self, records: Records) -> None:
        """Under the lock: make the attribute names that a table has learnt durable before an item uses them."""
        names = list(records.codec.names)
        learnt = Names(records.definition.id, records.names_logged, names[records.names_logged :])

        def apply(_: int) -> None:
            self._catalog.put(b"names/%d" % learnt.table, catalog.encode(names))
            records.names_logged = len(names)

        self._write(catalog.encode(learnt), NAMES_FRAME, apply)

    def mend(self, error: BaseException, before: int) -> int:
        """Under the lock, after a write failed: where its frame was taken already, rebuild the tree from the log.

        The sequence to acknowledge if that saved the write (the map was full); raises the error again if not.
        """
        if self.log.last > before:
            self.tree.rebuild(grow=isinstance(error, lmdb.MapFullError))
            if isinstance(error, lmdb.MapFullError):
                return self.log.last
        raise error

    def _replay(self, found: Frame) -> None:
        """Apply one frame of the log again: idempotent, and without a look at the clock."""
        if found.kind in (ITEMS_FRAME, TRANSACTION_FRAME):
            if found.kind == TRANSACTION_FRAME:
                self._note_token(found.payload, found.time)
            for table_id, key, old, new, _ in journal.frame_changes(found, self.log.path):
                if isinstance(old, int):
                    self.references.note(old)
                if (table := self._by_id.get(table_id)) is not None:
                    table.records.replay(key, new, found.sequence)
        elif found.kind == SCHEMA_FRAME:
            self._apply_schema(catalog.decode_schema(found.payload), replaying=True)
        elif found.kind == NAMES_FRAME:
            learnt = catalog.decode_names(found.payload)
            if (table := self._by_id.get(learnt.table)) is not None:
                names = table.records.codec.names[: learnt.start] + learnt.names
                table.records.relearn(names)
                self._catalog.put(b"names/%d" % learnt.table, catalog.encode(names))
        else:
            raise Invalid(
                f"{self.log.path} has a frame of kind {found.kind}, which this release does not know: "
                "upgrade with pip install -U enginehouse"
            )

    # -- time ---------------------------------------------------------------------------------------------------------

    def expire(self, limit: int | None = None) -> int:
        """Delete the items whose time to live is over now, in each table oldest first; how many were deleted.

        They have been invisible since their second came. The change stream shows each as a REMOVE with expired=True.
        limit: at most so many.
        """
        self._check_open()
        check_limit(limit)
        count = 0
        for table in list(self._tables.values()):
            if limit is None or count < limit:
                count += table.records.expire(None if limit is None else limit - count)
        return count

    def checkpoint(self) -> int:
        """Bring the tree on disk up to date and drop what the log no longer needs; the sequence that is covered.

        Happens by itself after 64 MB or 100,000 writes, and on close.
        """
        self._check_open()
        if self.read_only:
            raise ReadOnly(f"{self.path} was opened with read_only=True: the process that writes makes checkpoints")
        with self._checkpointing:
            return self._checkpoint()

    def checkpoint_if_due(self) -> None:
        if self.tree.due and self._checkpointing.acquire(blocking=False):
            try:
                self._checkpoint()
            finally:
                self._checkpointing.release()

    def _checkpoint(self) -> int:
        with self.tree.lock:
            self.retention.mark()
        emptied = self._emptied
        reached = self.tree.checkpoint()
        self._emptied -= emptied
        self.log.trim(min(reached + 1, self.retention.keep))
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
        self._check_open()
        return transactions.transact(self, actions, token, consumed)

    def batch_get(self, requests: Iterable[Any], *, consumed: Consumed | None = None) -> transactions.Answers:
        """The items under up to 100 (table name, key) pairs or kv.Get, in order, None for what is not there.

        `.unprocessed` of the answer are the requests for which their table had no read units left.
        """
        self._check_open()
        return transactions.batch_get(self, requests, consumed)

    def batch_write(
        self,
        actions: Iterable[transactions.Put | transactions.Delete],
        *,
        consumed: Consumed | None = None,
    ) -> list[transactions.Put | transactions.Delete]:
        """Up to 25 kv.Put and kv.Delete without conditions, one sync; those for which there were no write units left."""
        self._check_open()
        return transactions.batch_write(self, actions, consumed)

    # -- the change stream --------------------------------------------------------------------------------------------

    def changes(
        self, after: int = 0, *, limit: int | None = None, follow: bool = False, timeout: float | None = None
    ) -> Iterator[Change]:
        """What happened after a position, oldest first, in all tables with a stream. Only what is on disk is told.

        after: the sequence of the last change already seen. Changes that happened together share a sequence, and are
        never parted by limit. follow=True waits for more, up to timeout seconds without news (None: until the store is
        closed). Trimmed if the position is older than the 24 hours a stream is kept.
        """
        streams = {number: table for number, table in list(self._by_id.items()) if table.definition.stream is not None}
        return self.read_changes(after, streams, limit=limit, follow=follow, timeout=timeout)

    def read_changes(
        self, after: int, tables: Mapping[int, Table], *, limit: int | None, follow: bool, timeout: float | None
    ) -> Iterator[Change]:
        self._check_open()
        if not isinstance(after, int) or after < 0:
            raise Invalid(f"after is the sequence of a change, or 0 for the beginning, got {after!r}")
        if self.path is None:
            self.log.sync()
        began = min((table.definition.began for table in tables.values()), default=self.log.last + 1)
        after = max(after, began - 1)
        since = self.references.since
        if began < self.log.first and after < since - 1:  # what is left there may refer to what is not
            raise Trimmed(
                f"the change stream is kept for 24 hours, from {since} on, asked for those after {after}: "
                f"read the table, then start from {since - 1}",
                oldest=since,
            )
        frames = self.log.follow(after, timeout=timeout) if follow else self.log.read(after)
        if self.read_only:  # frames after the checkpoint may use attribute names that it does not know
            frames = takewhile(lambda found: found.sequence <= self.tree.applied, frames)
        return journal.read(frames, self.log, tables, limit)

    # -- looking inside -----------------------------------------------------------------------------------------------

    def explain(self, table: str, key_condition: str | None = None, **query: Any) -> display.Plan:  # noqa: ANN401 - as Table.explain
        """The plan of a query or scan of one table, with what it touched: Table.explain."""
        return self.table(table).explain(key_condition, **query)

    def stats(self) -> display.Table:
        """Sizes and counters of the store, a row each."""
        self._check_open()
        with self.tree.lock:
            rows: list[tuple[str, int]] = [("tables", len(self._tables))]
            rows += [("items", sum(table.records.items.count() for table in list(self._tables.values())))]
            rows += [(f"tree {name.replace('_', ' ')}", value) for name, value in self.tree.stats().items()]
        rows += [
            ("log first sequence", self.log.first),
            ("log last sequence", self.log.last),
            ("log durable sequence", self.log.durable),
            ("log syncs", self.log.syncs),
            ("log bytes", sum(size for *_, size in self.log.layout())),
        ]
        return display.Table.from_rows(["what", "value"], rows, title=f"kv store {self.path or 'in memory'}")

    def layout(self) -> display.Table:
        """What lies where: a row for each segment of the log and each keyspace of the tree."""
        self._check_open()
        rows: list[tuple[str, str, int, int, float]] = []
        for path, first, last, size in self.log.layout():
            count = last - first + 1
            rows.append((os.path.basename(path), f"log frames {first} to {last}", count, size, size / max(count, 1)))
        with self.tree.lock:
            names = {f"t/{number}": f"items of {table.name}" for number, table in list(self._by_id.items())}
            names |= {f"x/{number}": f"expiries of {table.name}" for number, table in list(self._by_id.items())}
            for table in list(self._by_id.values()):
                names |= {f"i/{index.id}": f"index {index.name} of {table.name}" for index in table.definition.indexes}
            for name in self.tree.keyspaces():
                shape = self.tree.transaction.stat(self.tree.keyspace(name).db)
                pages = int(shape["branch_pages"] + shape["leaf_pages"] + shape["overflow_pages"])
                size, count = pages * int(shape["psize"]), int(shape["entries"])
                rows.append((name, names.get(name, f"the store's {name}"), count, size, size / max(count, 1)))
        total = sum(row[3] for row in rows) or 1
        return display.Table.from_rows(
            ["name", "what", "count", "bytes", "bytes_an_item", "share"],
            [(*row[:4], round(row[4], 1), round(row[3] / total, 3)) for row in rows],
            title="layout",
        )

    def verify(self) -> Report:
        """Walk every byte: the log's frames, the tree's pages and keys, every item; compare the tree with the log.

        Run it while nobody writes: beside writers it may name items that have changed since it looked.
        """
        self._check_open()
        where = f"{self.path}/tree/data.mdb"
        report = self.log.verify() + self.tree.verify()
        if not report.ok:
            return report
        for table in list(self._tables.values()):
            report += verify.verify_table(table, where)
        if not self.read_only:  # a read-only tree is the last checkpoint: the log may be ahead
            report += verify.verify_against_log(self.log, self._by_id, where)
        return report

    # -- life ---------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"the store {self.path or 'in memory'} is closed: open it again with kv.Store(...)")

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


def _keyspaces(definition: Definition) -> int:
    """How many a table has: its items, the order of their expiries, its indexes."""
    return 1 + (definition.ttl is not None) + len(definition.indexes)


def _described(index: Mapping[str, Any], number: int, table_key: tuple[KeyPart, ...]) -> Index:
    """An index as create_table's indexes= describes it; it is ready: there is nothing to enter."""
    options = dict(index) if isinstance(index, Mapping) else {}
    if not {"name", "key"} <= set(options) <= {"name", "key", "projection", "local"}:
        raise Invalid(f'an index is {{"name": ..., "key": ..., "projection": ..., "local": ...}}, got {index!r:.200}')
    described = index_of(
        number,
        options["name"],
        options["key"],
        options.get("projection", "ALL"),
        local=options.get("local", False),
        table_key=table_key,
    )
    return msgspec.structs.replace(described, ready=True)


def _with_ready(definition: Definition, name: str) -> Definition:
    indexes = (msgspec.structs.replace(i, ready=True) if i.name == name else i for i in definition.indexes)
    return msgspec.structs.replace(definition, indexes=tuple(indexes))
