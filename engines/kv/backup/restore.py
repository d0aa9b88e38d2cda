"""A table as it was at a moment of the last 35 days, or in a snapshot, as a new table; a whole store out of a snapshot.

    base (bases.py)                key -> image, ...                       pages of a snapshot, or nothing at all
    + log, from there to `at`      key -> the last image, or deleted       in memory: what has changed since the base
    = contents                     pages of (key, image), which are written into a new table as they are

A new table is filled under a name that nobody can choose, and gets its own with the last frame: whoever looks finds all
of it or none. What a crash leaves of such a table is dropped when the store is opened again.

What is taken over of a table is what DynamoDB takes over: key, indexes and capacity as they are now (or were last, of a
table that was dropped). Its stream, time to live and point-in-time recovery are off: an old table's items would expire
as soon as they are back. ttl= switches it on. An item whose time was over at the moment `at` was not there for readers,
so it is not restored, unless the table shows expired items: DynamoDB restores those it had not deleted yet.

Where we differ: any microsecond up to now can be restored (there whole seconds, up to five minutes ago); a table that
was dropped can be restored to any moment as long as the log is kept for another table's sake (there: to its end, from a
backup that the service takes); capacity units are not consumed by either.

A snapshot of a store is restored as a store of its own: all tables with all they had, time to live and streams too;
only the history begins anew. Until it is whole, it stands in a folder whose name ends in .restoring.

Invariants: the restored items are those that a reader saw at the moment `at`. Sources are never changed.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Self

import msgspec

from engines._native.keys import KeyCodec
from engines._native.kvitem import ItemCodec, item_expires
from engines.clock import MICROSECONDS
from engines.errors import AlreadyExists, EngineError, Invalid, NotFound, listed, nearest
from engines.kv import catalog, journal
from engines.kv.backup.bases import Start
from engines.kv.backup.snapshots import FILLING, Entry, Place, definitions_in, moment_of, names_in
from engines.kv.catalog import NAMES_FRAME, SCHEMA_FRAME, Definition
from engines.kv.keyrange import to_stored, to_whole
from engines.kv.records import Write
from engines.kv.ttl import check_ttl
from engines.kv.values import HOLD_ITEMS, check_table_name
from engines.progress import Progress
from engines.storage.files import FileSystem, RealFileSystem, disk_errors
from engines.storage.keyspace import rest
from engines.storage.tree import ReadTree
from engines.text import iso

if TYPE_CHECKING:
    from engines.kv.store import Store
    from engines.kv.table import Table

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_SECONDS = 10**11  # since 1970: the year 5138
FINER_UNITS = (
    (10**3, ", which looks like milliseconds: divide by 1e3"),
    (10**6, ", which looks like microseconds, as in a Change's .time: divide by 1e6"),
    (10**9, ", which looks like nanoseconds: divide by 1e9"),
)
RESTORING = ".restoring"  # ends the name of a folder whose store is not whole yet
Moment = datetime | int | float | Decimal
Changed = dict[bytes, tuple[bytes, bytes | None]]  # stored key -> whole key, and the last image


def microseconds(moment: Moment, what: str) -> int:
    """A moment given as datetime or in seconds since 1970. Invalid for what is neither."""
    match moment:
        case datetime() if moment.tzinfo is not None:
            return (moment - EPOCH) // timedelta(microseconds=1)
        case datetime():
            raise Invalid(f"{what} has no time zone: write datetime(..., tzinfo=UTC), got {moment!r}")
        case bool():
            pass
        case int() | float() | Decimal():
            seconds = Decimal(moment)
            if seconds.is_finite() and abs(seconds) < LATEST_SECONDS:
                return round(seconds * MICROSECONDS)
            hint = next((h for n, h in FINER_UNITS if seconds.is_finite() and abs(seconds) < LATEST_SECONDS * n), "")
            raise Invalid(f"{what} is a datetime, or a number of seconds since 1970, got {moment!r:.80}{hint}")
    raise Invalid(f"{what} is a datetime, or a number of seconds since 1970, got {moment!r:.80}")


class Contents:
    """What a table held at one moment: the pages of a base, and the changes up to that moment. Read a page at a time.

    hidden_at: the time, in microseconds, at which what has expired is not there; None where it is.
    """

    def __init__(
        self,
        definition: Definition,
        names: list[str],
        base: Callable[[], Iterator[list[Entry]]],
        changed: Changed,
        hidden_at: int | None,
    ) -> None:
        self.definition, self.names, self.base, self.changed = definition, names, base, changed
        self.hidden_at = hidden_at
        self.keys = KeyCodec(definition.key_types)
        self.decode = ItemCodec(list(names)).decode

    def pages(self) -> Iterator[list[Entry]]:
        """(whole key, image) of every item that is there."""
        for page in self.base():
            yield [
                (self.whole_key(key, image), image)
                for key, image in page
                if key not in self.changed and self.seen(image)
            ]
        page = []
        for key, image in self.changed.values():
            if image is not None and self.seen(image):
                page.append((key, image))
                if len(page) == HOLD_ITEMS:
                    yield page
                    page = []
        if page:
            yield page

    def whole_key(self, stored_key: bytes, image: bytes) -> bytes:
        """The whole key of a stored one, under which this image stood."""
        return to_whole(stored_key, lambda: self.keys.encode_from(self.decode(image), self.definition.key_names))

    def seen(self, image: bytes) -> bool:
        """Whether an item was there, as far as its time to live goes."""
        return self.hidden_at is None or unexpired(image, self.hidden_at)


def unexpired(image: bytes, at: int) -> bool:
    """Whether the time of an item is not over at a moment in microseconds."""
    expires = item_expires(image)
    return expires == 0 or expires * MICROSECONDS > at


# -- at a moment -------------------------------------------------------------------------------------------------------


def contents_at(store: "Store", name: str, at: int) -> Contents:
    """What a table, or one that had its name then, held at a moment. NotFound if that is not covered."""
    store.log.sync()
    if name in store.schema.by_name:
        check_past(store, name, at)
    upto = store.bases.sequence_at(at)
    definition = holder(store, name, upto)
    start = start_before(store, definition, upto, at)
    place = store.kept_snapshots.place
    names: list[str] = []
    base: Callable[[], Iterator[list[Entry]]] = _nothing
    if start.ref is None:
        past = [catalog.decode_schema(store.log.read_one(start.sequence).payload).create or definition]
    else:
        table = place.tables(place.refs.get(start.ref) or "")[0].digest
        head = place.head(table)
        past, names = [head.definition], list(head.names)
        base = partial(place.pages, table)
    changed: Changed = {}
    for found in changes_of(store, definition, names, past, after=start.sequence, upto=upto):
        changed.update(found[1])
    definition = with_ttl_of(definition, past[-1])
    return Contents(definition, names, base, changed, at if definition.hides else None)


def with_ttl_of(definition: Definition, past: Definition) -> Definition:
    """A table as it is now, but for the time to live that it had: the images of then have their expiry by that."""
    return msgspec.structs.replace(definition, ttl=past.ttl, ttl_ready=past.ttl_ready, show_expired=past.show_expired)


def check_past(store: "Store", name: str, at: int) -> None:
    """NotFound if a moment has not come yet."""
    if at > store.clock.now():
        raise NotFound(f"{iso(moment_of(at))} is in the future: table {name} is known up to now")


def _nothing() -> Iterator[list[Entry]]:
    return iter(())


def changes_of(
    store: "Store", definition: Definition, names: list[str], past: list[Definition], *, after: int, upto: int
) -> Iterator[tuple[int, Changed]]:
    """(time, changes) of each frame that concerns a table.

    Attribute names that it learns meanwhile are added to `names`, and what it becomes to `past`.
    """
    types = definition.key_types
    path, number = store.log.path, definition.id
    for found in takewhile(lambda frame: frame.sequence <= upto, store.log.read(after)):
        if found.kind == NAMES_FRAME:
            learnt = catalog.decode_names(found.payload)
            if learnt.table == number:
                names[learnt.start :] = learnt.names
            continue
        if found.kind == SCHEMA_FRAME:
            altered = catalog.decode_schema(found.payload).alter
            if altered is not None and altered.id == number:
                past.append(altered)
            continue
        changes = journal.frame_changes(found, path)
        ours = {to_stored(key, types): (key, new) for table, key, _, new, _ in changes if table == number}
        if ours:
            yield found.time, ours


def holder(store: "Store", name: str, upto: int) -> Definition:
    """The table that had this name after the frame `upto`: the one of today, or one that was dropped since."""
    live = store.schema.by_name.get(name)
    dropped: dict[str, Definition] = {}
    if live is not None and live.definition.began <= upto:
        definition: Definition | None = live.definition
    else:
        dropped = _dropped(store, upto)
        definition = dropped.get(name)
    if definition is None and live is not None:
        definition = live.definition  # which says from when on it is covered
    if definition is None:
        there = sorted({table for table in store.tables() if store.table(table).definition.began <= upto} | {*dropped})
        raise NotFound(
            f"there was no table {name!r} then, as far as the log is kept{nearest(str(name), there)}; "
            f"{f'there were {listed(there)}' if there else 'there were none'}"
        )
    if not definition.pitr:
        raise NotFound(
            f"point-in-time recovery of table {name} is off, so none of its past is kept: "
            f"store.set_pitr({name!r}, enabled=True) keeps it from now on"
        )
    return definition


def _dropped(store: "Store", upto: int) -> dict[str, Definition]:
    """The tables that were there after the frame `upto` and are not any more, by name, as far as anything says so."""
    live, place = store.schema.by_id, store.kept_snapshots.place
    events: list[tuple[int, int, catalog.Schema]] = []
    for table, starts in store.bases.all().items():
        if table not in live:
            for start in starts:
                head = place.head(place.tables(place.refs.get(str(start.ref)) or "")[0].digest)
                events.append((start.sequence, 0, catalog.Schema(alter=head.definition)))
    for frame in store.log.read(store.log.first - 1):
        if frame.sequence > upto:
            break
        if frame.kind == SCHEMA_FRAME:
            events.append((frame.sequence, 1, catalog.decode_schema(frame.payload)))
    found: dict[int, Definition] = {}
    for sequence, _, schema in sorted(events, key=lambda event: event[:2]):
        definition = schema.create or schema.alter
        if sequence <= upto and definition is not None:
            found[definition.id] = definition
        elif sequence <= upto:
            found = {number: d for number, d in found.items() if d.name != schema.drop}
    return {d.name: d for d in found.values() if d.id not in live}


def start_before(store: "Store", definition: Definition, upto: int, at: int) -> Start:
    """Where the replay starts. NotFound says which moments are covered."""
    starts = store.bases.starts(definition)
    usable = [start for start in starts if start.sequence <= upto]
    if usable:
        return usable[-1]
    now = store.clock.now()
    if not starts:
        covered = "none of it is kept yet: it begins with the next checkpoint()"
    else:
        covered = f"it can be restored to moments from {iso(moment_of(starts[0].time))} to {iso(moment_of(now))}"
    raise NotFound(
        f"table {definition.name} at {iso(moment_of(at))} is not kept: {covered}",
        earliest=moment_of(starts[0].time) if starts else None,
        latest=moment_of(now),
    )


def contents_in(view: ReadTree, name: str, hidden_at: int) -> Contents:
    """What a table holds in a checkpoint, without what has expired by then."""
    definition = next((found for found in definitions_in(view) if found.name == name), None)
    if definition is None:
        raise NotFound(f"the last checkpoint has no table {name!r}: try again after checkpoint()")
    items = view.keyspace(f"t/{definition.id}")

    def base() -> Iterator[list[Entry]]:
        low: bytes | None = None
        while page := items.page(low):
            yield page
            low = rest(page)

    return Contents(definition, names_in(view, definition.id), base, {}, hidden_at if definition.hides else None)


# -- into a new table --------------------------------------------------------------------------------------------------


def restore_table(
    store: "Store", name: str, *, to: str, at: Moment | None, snapshot: str | None, ttl: str | None
) -> "Table":
    """See Store.restore_table."""
    store.check_open()
    check_new(store, to)
    if (at is None) == (snapshot is None):
        raise Invalid("say which past is restored: a moment with at=, or a snapshot's name with snapshot=")
    if at is not None:
        contents = contents_at(store, name, microseconds(at, "at"))
    else:
        place = store.kept_snapshots.place
        contents = contents_kept(place, place.find(str(snapshot)), name, str(snapshot))
    definition = contents.definition
    if ttl is not None:
        check_ttl(ttl, definition.key_names)
    options = {"ttl": ttl, "stream": None, "pitr": False, "show_expired": False}
    options |= {"read_scaling": None, "write_scaling": None}  # as in DynamoDB: the rates of that moment stay
    return fill(store, msgspec.structs.replace(definition, **options), contents, to)


def contents_kept(place: Place, snapshot: str, name: str, called: str) -> Contents:
    """One table of a snapshot, as it is kept there."""
    kept = {table.name: table for table in place.tables(snapshot)}
    if name not in kept:
        raise NotFound(f"the snapshot {called!r} holds no table {name!r}{nearest(str(name), kept)}")
    table = kept[name].digest
    head = place.head(table)
    time = place.manifest(snapshot, "snapshot").time
    hidden_at = time if head.definition.hides else None
    return Contents(head.definition, list(head.names), partial(place.pages, table), {}, hidden_at)


def check_new(store: "Store", name: str) -> None:
    """AlreadyExists, Invalid."""
    check_table_name(name)
    catalog.refuse_companion(name)
    if name in store.schema.by_name:
        raise AlreadyExists(f"there is a table {name!r} already: choose another name, or drop_table({name!r}) first")


def fill(store: "Store", definition: Definition, contents: Contents, to: str) -> "Table":
    """A new table of this definition and these contents: there as a whole, or not at all."""
    definition = msgspec.structs.replace(definition, ttl_ready=True)  # each item gets the expiry that it should have
    with new_table(store, definition, to) as made, Progress(f"restore of {to}", "items") as progress:
        records = made.table.records
        same = definition.ttl == contents.definition.ttl and contents.definition.ttl_ready
        with records.lock:
            records.learn(ItemCodec(list(contents.names)))

        def write(key: bytes, image: bytes) -> Write:
            if same:
                return Write(records, key, image, item_expires(image))
            if definition.ttl is None and item_expires(image) == 0:
                return Write(records, key, image)
            return records.encode(contents.decode(image))

        for page in contents.pages():
            for start in range(0, len(page), HOLD_ITEMS):
                writes = [write(key, image) for key, image in page[start : start + HOLD_ITEMS]]
                with records.lock:
                    store.frames.write_together(writes)  # on disk with the frame that gives the table its name
                store.checkpoint_if_due()
            progress.advance(len(page))
    return made.table


class new_table:  # noqa: N801 - used like a function
    """with new_table(store, definition, name) as made: fill made.table. At the end it has its name, or is gone."""

    table: "Table"

    def __init__(
        self, store: "Store", definition: Definition, name: str, indexes: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        self._store, self._name = store, name
        indexes = [*indexes, *map(index_options, definition.indexes)]
        hidden = msgspec.structs.replace(definition, name=name + FILLING, indexes=())
        self.table = store.schema.create(hidden, indexes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._store.schema.rename(self.table, self._name)
                return
        except BaseException:
            self._drop()
            raise
        self._drop()

    def _drop(self) -> None:
        with suppress(EngineError):  # a store that takes no writes drops it when it is opened again
            self._store.drop_table(self._name + FILLING)


def index_options(index: catalog.Index) -> Mapping[str, Any]:
    """An index as create_table's indexes= describes it."""
    key = index.described_key
    return {"name": index.name, "key": key, "projection": index.projection, "local": index.local}


def drop_unfinished(store: "Store") -> None:
    """At open: what a crash has left of tables that were being filled."""
    for name in [name for name in store.schema.by_name if name.endswith(FILLING)]:
        store.drop_table(name)


# -- into a new store --------------------------------------------------------------------------------------------------


def place_of(source: "str | os.PathLike[str] | Store", files: FileSystem) -> Place:
    """Where a store, or a folder that snapshots were copied to, keeps its snapshots. NotFound."""
    if not isinstance(source, str | os.PathLike):
        place: Place | None = getattr(getattr(source, "kept_snapshots", None), "place", None)
        if place is None:
            raise Invalid(f"source is a store, or the folder of one, or a folder with snapshots, got {source!r:.80}")
        return place
    path = os.fspath(source)
    folder = f"{path}/snapshots" if files.exists(f"{path}/ENGINE") else path
    if not files.is_directory(folder):
        raise NotFound(f"there are no snapshots in {path}: name a store's folder, or one that snapshot(to=) copied to")
    return Place(folder, files)


def restore_store(
    open_store: "Callable[[str | None], Store]",
    source: "str | os.PathLike[str] | Store",
    name: str,
    path: str | os.PathLike[str] | None,
    files: FileSystem | None,
) -> "Store":
    """See Store.restore."""
    files = files or RealFileSystem()
    place = place_of(source, files)
    snapshot = place.find(name)
    kept = sorted(place.tables(snapshot), key=lambda table: table.id)
    if path is None:
        return _filled(open_store(None), place, kept)
    target = os.fspath(path).rstrip("/")
    if files.exists(target):
        raise AlreadyExists(f"{target} is there already: a snapshot is restored into a new folder, name another one")
    building = target + RESTORING
    refusal = f"the snapshot {name!r} cannot be restored into {target}"
    if files.exists(building):
        with disk_errors(refusal):
            _clear(files, building)
    _filled(open_store(building), place, kept).close()
    with disk_errors(refusal):
        files.rename(building, target)
        files.fsync_dir(os.path.dirname(os.path.abspath(target)))
    return open_store(target)


def _filled(store: "Store", place: Place, kept: Iterable[Any]) -> "Store":
    try:
        for table in kept:
            head = place.head(table.digest)
            contents = Contents(head.definition, list(head.names), partial(place.pages, table.digest), {}, None)
            fill(store, head.definition, contents, head.definition.name)
    except BaseException:
        store.close()
        raise
    return store


def _clear(files: FileSystem, folder: str) -> None:
    """Empty what an interrupted restore has left. Locked if one is under way."""
    lock = files.lock(f"{folder}/lock")
    try:
        for part in ("log", "tree"):
            if files.is_directory(f"{folder}/{part}"):
                for file in files.listdir(f"{folder}/{part}"):
                    files.unlink(f"{folder}/{part}/{file}")
                files.fsync_dir(f"{folder}/{part}")
    finally:
        lock.release()
