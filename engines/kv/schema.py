"""The tables of a store: how they come, change and go.

    frame      SCHEMA: a Definition that was created or changed, or the name of a table that was dropped
    catalog    table/NAME -> Definition | next -> the next id | names/ID -> attribute names

A change of the schema is a frame in the log like any other: it is logged, then applied to the catalog, to the tree's
keyspaces and to the objects in memory, and a replay applies it again. Indexes are filled with the items of before their
creation by pages, outside the log (indexes.py); a replay that meets an index that became ready fills it at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lmdb
import msgspec

from engines.errors import AlreadyExists, Invalid, NotFound, TooLarge, nearest
from engines.kv import catalog
from engines.kv.catalog import SCHEMA_FRAME, Definition, Index, Schema
from engines.kv.indexes import check_indexes, index_of
from engines.kv.switches import fill_ttl
from engines.kv.table import Table
from engines.kv.throttle import check_rates
from engines.kv.ttl import check_ttl
from engines.kv.values import HOLD_ITEMS, KeyPart, check_table_name, key_schema
from engines.storage.environment import MAX_KEYSPACES

if TYPE_CHECKING:
    from engines.kv.store import Store

EVERYTHING = 1 << 40


def new_definition(
    name: str,
    key: str | Sequence[str],
    ttl: str | None,
    stream: bool | str,  # noqa: FBT001 - as create_table's
    capacity: tuple[float, float] | None,
    *,
    pitr: bool,
    show_expired: bool,
) -> Definition:
    """Of a table to be made, by create_table's arguments. Invalid."""
    check_table_name(name)
    parts = key_schema(key)
    view = catalog.stream_view(stream)
    if ttl is not None:
        check_ttl(ttl, [part.name for part in parts])
    if show_expired and ttl is None:
        raise Invalid("show_expired=True is for tables with a ttl: name the attribute that holds the second")
    if capacity is not None and not (isinstance(capacity, (tuple, list)) and len(capacity) == 2):
        raise Invalid(f"capacity is (read, write) units a second, or None for on demand, got {capacity!r:.80}")
    read, write = capacity if capacity is not None else (None, None)
    check_rates(read, write)
    return Definition(
        id=0,  # this, created and began are given by Tables.create
        name=name,
        key=parts,
        ttl=ttl,
        stream=view,
        created=0,
        began=0,
        read=read,
        write=write,
        pitr=pitr,
        show_expired=show_expired,
    )


class Tables:
    """Which tables there are, in memory and in the catalog."""

    def __init__(self, store: "Store") -> None:
        self.by_name: dict[str, Table] = {}
        self.by_id: dict[int, Table] = {}
        self._store = store
        self._tree = store.tree
        self._catalog = store.tree.keyspace("catalog")

    def load(self) -> None:
        """Those of the last checkpoint. Corrupted if the catalog cannot be read."""
        for key, value in self._catalog.page(*catalog.TABLES, limit=EVERYTHING, limit_bytes=EVERYTHING):
            try:
                self._add(catalog.decode_definition(value))
            except ValueError as error:
                raise catalog.corrupted(f"{self._tree.path}/data.mdb, {key.decode()}", error) from error

    def all(self) -> list[Table]:
        return list(self.by_name.values())

    def definitions(self) -> list[Definition]:
        return [table.definition for table in self.all()]

    def named(self, name: str) -> Table:
        """NotFound offers the nearest one. Invalid for what is no name."""
        if not isinstance(name, str):
            raise Invalid(f"a table is named by a text, got {name!r:.80}")
        table = self.by_name.get(name)
        if table is None:
            raise NotFound(f"there is no table {name!r}{nearest(str(name), self.by_name)}")
        return table

    # -- changes ------------------------------------------------------------------------------------------------------

    def create(self, definition: Definition, indexes: Iterable[Mapping[str, Any]]) -> Table:
        """A new, empty table; its id, and those of its indexes, are given here."""
        store = self._store
        with self._tree.lock:
            store.check_open()
            if definition.name in self.by_name:
                raise AlreadyExists(
                    f"there is a table {definition.name!r} already: store.table({definition.name!r}) opens it"
                )
            number = self._next_id()
            if not isinstance(indexes, Iterable) or isinstance(indexes, (str, Mapping)):
                raise Invalid(f"indexes is a list of dicts, one for each index, got {indexes!r:.80}")
            described = [_described(index, number + n, definition.key) for n, index in enumerate(indexes, 1)]
            check_indexes(described, definition.key)
            definition = msgspec.structs.replace(
                definition,
                id=number,
                indexes=tuple(described),
                created=store.clock.now(),
                began=store.log.last + 1,
                stream_started=(0, 0),
            )
            self._check_room(definition)
            sequence = self.log(Schema(create=definition))
            table = self.by_name[definition.name]
        store.log.acknowledge(sequence)
        return table

    def alter(self, table: Table, change: Callable[[Definition], Definition]) -> None:
        """Give a table another definition, made from the present one under the lock."""
        with self._tree.lock:
            self._store.check_open()
            catalog.refuse_companion(table.name)
            present = self.named(table.name).definition
            if present.id != table.definition.id:
                raise NotFound(f"table {table.name} was dropped, another one has its name now: store.table() opens it")
            definition = change(present)
            self._check_room(definition)
            sequence = self.log(Schema(alter=definition))
        self._store.log.acknowledge(sequence)

    def rename(self, table: Table, name: str) -> None:
        """Give a table another name, in one frame. AlreadyExists."""
        with self._tree.lock:
            self._store.check_open()
            if name in self.by_name:
                raise AlreadyExists(f"there is a table {name!r} already: choose another name")
            definition = msgspec.structs.replace(self.named(table.name).definition, name=name)
            sequence = self.log(Schema(alter=definition, renamed=table.name))
        self._store.log.acknowledge(sequence)

    def drop(self, name: str, *, kept: bool = True) -> None:
        """With what a replica keeps beside it; after a crash in between, the next table's replica drops that.

        kept: Invalid if it is itself what a replica keeps, and the table is there.
        """
        with self._tree.lock:
            self._store.check_open()
            self.named(name)
            if kept and catalog.companion_of(name) in self.by_name:
                catalog.refuse_companion(name)
            sequence = self.log(Schema(drop=name))
            for companion in (name + ending for ending in catalog.COMPANIONS if name + ending in self.by_name):
                sequence = self.log(Schema(drop=companion))
        self._store.log.acknowledge(sequence)

    def create_index(self, table: Table, name: str, key: Any, projection: Any, *, local: bool) -> None:  # noqa: ANN401 - checked by index_of
        """See Table.create_index."""

        def with_index(definition: Definition) -> Definition:
            index = index_of(self._next_id(), name, key, projection, local=local, table_key=definition.key)
            known = next((known for known in definition.indexes if known.name == name), None)
            if known == msgspec.structs.replace(index, id=known.id if known else 0):
                numbers.append(known.id)
                return definition  # its filling was interrupted: go on
            if known is not None:
                raise AlreadyExists(f"table {table.name} has an index {name!r} already: drop_index({name!r}) first")
            check_indexes([*definition.indexes, index], definition.key)
            numbers.append(index.id)
            return msgspec.structs.replace(definition, indexes=(*definition.indexes, index))

        numbers: list[int] = []
        self.alter(table, with_index)
        self.fill(table, numbers[-1])

    def drop_index(self, table: Table, name: str) -> None:
        """See Table.drop_index."""

        def without(definition: Definition) -> Definition:
            table.records.index(name)
            return msgspec.structs.replace(definition, indexes=tuple(i for i in definition.indexes if i.name != name))

        self.alter(table, without)

    def fill_unready(self) -> None:
        """At open: indexes and times to live whose filling was cut short."""
        for table in self.all():
            fill_ttl(self._store, table)
            for index in table.definition.indexes:
                if not index.ready:
                    self.fill(table, index.id)

    def fill(self, table: Table, number: int) -> None:
        """Enter the items of before the index of this id was created, a page of them under each hold of the lock.

        NotFound if it is dropped meanwhile. Interrupted, it goes on where the index is created once more, or at open.
        """
        low: bytes | None = b""
        builds = -1
        while low is not None:
            with self._tree.lock:
                self._tree.catch_up()
                if builds != self._tree.rebuilds:  # what had been entered since the last checkpoint is lost
                    low, builds = b"", self._tree.rebuilds
                try:
                    low = table.records.fill_index(number, low, HOLD_ITEMS)
                except lmdb.MapFullError:
                    self._tree.rebuild(grow=True)
                else:
                    if low is None:
                        ready = _with_ready(table.definition, number)
                        sequence = self.log(Schema(alter=ready))
            self._store.let_others()
        self._store.log.acknowledge(sequence)

    def _next_id(self) -> int:
        return int.from_bytes(self._catalog.get(b"next") or b"\x01", "little")

    def _check_room(self, definition: Definition) -> None:
        """TooLarge, before anything is logged, if the tree has no room for the table's keyspaces."""
        others = [table.definition for table in list(self.by_id.values())]
        definitions = [definition, *(other for other in others if other.id != definition.id)]
        needed = 2 + self._tree.emptied + sum(map(_keyspaces, definitions))  # meta and catalog are two
        if needed > MAX_KEYSPACES:
            raise TooLarge(
                f"a store has room for {MAX_KEYSPACES - 2:,} tables, where a time to live and each index count as one "
                "more: drop a table and make a checkpoint(), or use a second store",
                size=needed - 2,
                limit=MAX_KEYSPACES - 2,
            )

    # -- what a change means: now, and in a replay --------------------------------------------------------------------

    def log(self, schema: Schema) -> int:
        """Under the lock: log it, do it; the frame's sequence."""
        return self._tree.write(catalog.encode(schema), SCHEMA_FRAME, lambda _: self.apply(schema), writes=1000)

    def apply(self, schema: Schema, *, replaying: bool = False) -> None:
        """Harmless where it is done already."""
        if schema.create is not None:
            self._create(schema.create)
        elif schema.drop is not None:
            self._drop(schema.drop)
        elif schema.alter is not None:
            self._alter(schema.alter, schema.renamed or schema.alter.name, replaying=replaying)
            if schema.renamed is not None:
                self._rename(schema.renamed, schema.alter)

    def _create(self, definition: Definition) -> None:
        self._keep(definition)
        self._add(definition)

    def _keep(self, definition: Definition) -> None:
        """In the catalog."""
        self._catalog.put(catalog.table_entry(definition.name), catalog.encode(definition))
        following = 1 + max([definition.id, *(index.id for index in definition.indexes)])
        if following > self._next_id():
            self._catalog.put(b"next", following.to_bytes(4, "little"))

    def _stored(self, name: str) -> Definition:
        """In the catalog, where it is known to be."""
        return catalog.decode_definition(self._catalog.get(catalog.table_entry(name)) or b"")

    def _add(self, definition: Definition) -> None:
        table = self.by_id.get(definition.id)
        if table is None:
            names = catalog.decode_list(self._catalog.get(catalog.names_entry(definition.id)) or catalog.EMPTY_LIST)
            table = self.by_id[definition.id] = Table(self._store, definition, names)
        self.by_name[definition.name] = table

    def _alter(self, definition: Definition, name: str, *, replaying: bool) -> None:
        """name: under which it is in the catalog."""
        table = self.by_id.get(definition.id)
        if table is None:
            return  # dropped later, and met again in a replay
        stored = self._stored(name)  # not what memory says: a rebuilt tree knows less
        before = stored.indexes
        self._keep(definition)
        table.records.define(definition)
        if stored.ttl is not None and definition.ttl is None:
            self._tree.drop(f"x/{definition.id}", NotFound(f"the time to live of table {name} was switched off"))
        kept = {index.id for index in definition.indexes}
        for index in before:
            if index.id not in kept:
                self._tree.drop(f"i/{index.id}", NotFound(f"the index {index.name} was dropped"))
        were_ready = {index.id for index in before if index.ready}
        for index in definition.indexes:
            if replaying and index.ready and index.id not in were_ready:  # what was entered meanwhile is not in the log
                low: bytes | None = b""
                while low is not None:
                    low = table.records.fill_index(index.id, low, HOLD_ITEMS)

    def _rename(self, before: str, definition: Definition) -> None:
        table = self.by_id.get(definition.id)
        self._catalog.delete(catalog.table_entry(before))
        if table is not None:
            table.name = definition.name
            self.by_name[definition.name] = table
            if self.by_name.get(before) is table:
                del self.by_name[before]

    def _drop(self, name: str) -> None:
        """First in memory: should Ctrl-C come in between, nobody has a handle on what the rebuilt tree drops.

        A rebuilt tree may also meet this while a younger table has the name: that one stays.
        """
        entry = catalog.table_entry(name)
        stored = self._catalog.get(entry)
        if stored is not None:
            definition = catalog.decode_definition(stored)
            table = self.by_id.get(definition.id)
            has_the_name = self.by_name.get(name) is table
            if table is not None:
                table.records.drop()
                del self.by_id[definition.id]  # no calls here: an interrupt finds all of this done or nothing
                if has_the_name:
                    del self.by_name[name]
            keyspaces = [f"t/{definition.id}", *(f"i/{index.id}" for index in definition.indexes)]
            for keyspace in [*keyspaces, *([f"x/{definition.id}"] if definition.ttl is not None else [])]:
                self._tree.drop(keyspace, NotFound(f"table {name} was dropped"))
            self._catalog.delete(entry)
            self._catalog.delete(catalog.names_entry(definition.id))


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


def _with_ready(definition: Definition, number: int) -> Definition:
    indexes = (msgspec.structs.replace(i, ready=True) if i.id == number else i for i in definition.indexes)
    return msgspec.structs.replace(definition, indexes=tuple(indexes))
