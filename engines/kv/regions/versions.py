"""Versions: when, and in which region, each item of a replicated table was last written; kept beside the table.

    NAME               the items, written by whoever uses the table
    NAME.versions      the items' keys -> version.milliseconds .counter .region (the stamp) .sequence [.deleted = "yes"]
    NAME.replication   "self" -> where this replica stands          "from REGION" -> how far it has read that one

A **stamp** is a moment of a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014) and the
region: milliseconds, counter, region, compared in this order. The clock is never asked when somebody writes. It is a
*fold over the store's log*, which has all that a hybrid clock needs, in order and on disk:

    frame of a local write         the clock ticks: max(clock, the frame's time), counted on where time has not moved
    frame that applies changes     the clock is at least their stamps, and stands in the frame, in "self"
    any other frame                nothing

So a user writes with the ordinary Table, and the frame's place in the log gives the stamp: what is written after a
remote change was applied stands after it in the log, so it has the later stamp, however late the local clock is. The
fold goes on from the position and clock in "self" whenever somebody syncs (catch_up), and writes a version for each
item that was written since; folding the same frames again gives the same stamps.

A frame that holds versions is replication's own (fold, application, forgetting), one that holds items alone is a user's
or a sweep's. That is all that tells a replicated write from a local one, and it stands in the log.

**Tombstones.** A deleted item leaves its version, marked deleted, so that an older write that arrives late does not
bring it back. After a day (by its stamp) it is forgotten. `floor` and `forgotten` remember that: a change whose stamp
is below the floor, of an item unknown here, may be one that was deleted; a reader whose position is below `forgotten`
may have missed a deletion.

Invariants: under the lock, after digest(), each item has a version and each version not marked deleted an item; stamps
of one region never repeat for an item; the clock is not before any version's stamp.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engines._native.kvstamp import stamped_at
from engines.clock import Stamp
from engines.errors import Invalid
from engines.kv import journal
from engines.kv.catalog import COMPANIONS, Definition
from engines.kv.page import Item
from engines.kv.records import Records, Write
from engines.kv.values import KeyPart, check_table_name, key_schema
from engines.storage.keyspace import rest

if TYPE_CHECKING:
    from engines.kv.store import Store
    from engines.kv.table import Table

PREFIX = "version."
MILLISECONDS, COUNTER, REGION, SEQUENCE, DELETED = (
    PREFIX + name for name in ("milliseconds", "counter", "region", "sequence", "deleted")
)
TOMBSTONES = "tombstones"  # a sparse index: only what is deleted is in it
PAGE = 1000  # versions written, or items looked at, under one hold of the lock
WRITTEN_FRAMES = 1000  # so many frames that say nothing are read again rather than a position written

Moment = tuple[int, int]  # milliseconds, counter


@dataclass(frozen=True, slots=True)
class Version:
    """The last write of one item. sequence: of the frame in this store's log that holds this very version."""

    stamp: Stamp
    deleted: bool
    sequence: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a replica stands: the log is folded up to `position`, with the clock at `clock`.

    born: microseconds, another one each time the replica is made or seeded. floor: milliseconds; no tombstone with a
    stamp from there on was forgotten. forgotten: the last sequence that held a version which has been forgotten.
    """

    born: int
    position: int
    clock: Moment
    floor: int = 0
    forgotten: int = 0


@dataclass(frozen=True, slots=True)
class Reached:
    """How far another replica's log was read, in which of its lives."""

    born: int
    position: int


def tick(clock: Moment, milliseconds: int) -> Moment:
    """The clock at a local event: later than it was, not before this time."""
    if milliseconds > clock[0]:
        return milliseconds, 0
    return (clock[0], clock[1] + 1) if clock[1] < 0xFFFF else (clock[0] + 1, 0)


class Versions:
    """The versions of one table's items, and the fold that makes them. "Under the lock" is the store's.

    Nothing is kept in memory that the tables do not say, but a position further on in the same log.
    """

    def __init__(self, store: "Store", table: "Table", region: str) -> None:
        self.records: Records = table.records
        self.region = region
        self.store, self.log, self.lock = store, store.log, store.tree.lock
        self.name = table.name
        for name in table.definition.key_names:
            if name.startswith(PREFIX):
                raise Invalid(f"a replicated table's key has no attribute that begins with {PREFIX}, got {name!r}")
        self._folded: tuple[int, Moment] = (0, (0, 0))  # position and clock, where further on than is written
        self._prepare(table)

    def _prepare(self, table: "Table") -> None:
        """The companion tables, made where they are not there; and where this replica stands."""
        store, definition = self.store, table.definition
        names = [self.name + ending for ending in COMPANIONS]
        if names[1] in store.tables():
            me = store.table(names[1]).get("self")
            if me is not None and me["table"] != _identity(definition):  # of a table that was dropped, or restored from
                for name in names:
                    if name in store.tables():
                        store.schema.drop(name, kept=False)
            elif me is not None and me["region"] != self.region:
                raise Invalid(
                    f"table {self.name} of {store.path or 'this store'} is the replica of region {me['region']!r}, "
                    f"got {self.region!r}: a region's name stays"
                )
        if names[0] not in store.tables():
            tombstones = {"name": TOMBSTONES, "key": (f"{DELETED}:S", f"{MILLISECONDS}:N"), "projection": "KEYS_ONLY"}
            store.schema.create(_new(names[0], definition.key), [tombstones])
        if names[1] not in store.tables():
            store.schema.create(_new(names[1], key_schema("of:S")), [])
        self.table, self._places = store.table(names[0]), store.table(names[1])
        self.versions, self._standings = self.table.records, self._places.records
        with self.lock:
            sample = {part.name: {"S": "x", "N": 0, "B": b"x"}[part.type] for part in definition.key}
            self.versions.encode(_version_item(sample, Version(Stamp(0, 0, "x"), deleted=True, sequence=0)))
            self._encode_reached("x", Reached(0, 0))
            standing = Standing(store.clock.now(), definition.began - 1, (0, 0))
            encoded = self._encode_standing(standing)
            self._log_names()  # so that from now on a frame's sequence is known before its versions are encoded
            if self._get("self") is None:
                store.frames.write_together([encoded])
            sequence = self.log.last
        self.log.acknowledge(sequence)

    # -- what the tables say ------------------------------------------------------------------------------------------

    def _get(self, of: str) -> Item | None:
        view = self._standings.view(self._standings.encode_key((of,)))
        return None if view is None else self._standings.decode(view)

    def standing(self) -> Standing:
        """Under the lock."""
        me = self._get("self")
        assert me is not None  # noqa: S101 - written by _prepare
        position, clock = me["position"], (me["milliseconds"], me["counter"])
        if self._folded[0] > position:  # not where it is the same: the frame that says so may have moved the clock
            position, clock = self._folded
        return Standing(me["born"], position, clock, me["floor"], me["forgotten"])

    def _encode_standing(self, standing: Standing) -> Write:
        return self._standings.encode(
            {
                "of": "self",
                "region": self.region,
                "table": _identity(self.records.definition),
                "born": standing.born,
                "position": standing.position,
                "milliseconds": standing.clock[0],
                "counter": standing.clock[1],
                "floor": standing.floor,
                "forgotten": standing.forgotten,
            }
        )

    def reached(self, region: str) -> Reached | None:
        """Under the lock: how far this other region has been read, as written."""
        found = self._get(f"from {region}")
        return None if found is None else Reached(found["born"], found["position"])

    def all_reached(self) -> dict[str, Reached]:
        """Under the lock: how far each other region has been read, as written."""
        found = [self._standings.decode(image) for _, image in self._standings.items.page(limit=1 << 20)]
        places = [(str(item["of"]), item) for item in found if item["of"] != "self"]
        return {of.removeprefix("from "): Reached(item["born"], item["position"]) for of, item in places}

    def _encode_reached(self, region: str, reached: Reached) -> Write:
        return self._standings.encode({"of": f"from {region}", "born": reached.born, "position": reached.position})

    def version(self, key: bytes) -> Version | None:
        """Under the lock: of the item under this whole key; None if none was ever known, or it is forgotten."""
        view = self.versions.view(self.versions.stored_key(key))
        return None if view is None else version_of(self.versions.decode(view))

    def item(self, key: bytes) -> Item | None:
        """Under the lock: the stored item, also one whose time to live is over and that nobody has deleted yet."""
        view = self.records.items.view(self.records.stored_key(key))
        return None if view is None else self.records.decode(view)

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(
        self,
        standing: Standing,
        versions: Iterable[tuple[bytes, Stamp, bool]] = (),
        items: Iterable[Write] = (),
        *,
        reached: Mapping[str, Reached] | None = None,
        forget: Iterable[bytes] = (),
    ) -> int:
        """Under the lock: one frame with items, versions (key, stamp, deleted), and positions; its sequence.

        forget: keys whose versions are removed.
        """
        self._log_names()
        sequence = self.log.last + 1
        writes = list(items)
        for key, stamp, deleted in versions:
            item = _version_item(self.records.key_item(key), Version(stamp, deleted, sequence))
            writes.append(self.versions.encode(item))
        writes += [Write(self.versions, key, None) for key in forget]
        writes += [self._encode_reached(region, place) for region, place in (reached or {}).items()]
        writes.append(self._encode_standing(standing))
        return self.store.frames.write_together(writes)

    def _log_names(self) -> None:
        for records in (self.records, self.versions, self._standings):
            if records.names_logged != len(records.codec.names):
                records.log_names()

    # -- the fold -----------------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Give each local write up to now its version, a page of them under each hold of the lock."""
        self.store.check_open()
        self.log.write()  # the long part, while others go on
        with self.lock:
            self.records.items.count()  # NotFound if the table was dropped
            standing = self.standing()
        if standing.position < self.log.first - 1:
            self._survey(standing)
        done = False
        while not done:
            with self.lock:
                done = self.digest(PAGE)
            self.store.checkpoint_if_due()

    def digest(self, limit: int | None = None) -> bool:
        """Under the lock: fold the log from where it was left, until `limit` items were met; whether that was all."""
        standing = self.standing()
        position, clock, last = standing.position, standing.clock, self.log.last
        if position == last:
            return True
        table, versions = self.records.definition.id, self.versions.definition.id
        met: dict[bytes, tuple[Stamp, bool]] = {}
        done = True
        for found in self.log.read(position, durable=False):
            changes = journal.frame_changes(found, self.log.path)
            own = any(change[0] == versions for change in changes)
            local = [(key, new is None) for number, key, _, new, _ in changes if number == table]
            if local and not own:
                clock = tick(clock, found.time // 1000)
                met.update((key, (Stamp(*clock, self.region), deleted)) for key, deleted in local)
            position = found.sequence
            if limit is not None and len(met) >= limit and position < last:
                done = False
                break
        standing = replace(standing, position=last if done else position, clock=clock)
        written = self._get("self")
        if met or (written is not None and standing.position > written["position"] + WRITTEN_FRAMES):
            sequence = self.write(standing, ((key, stamp, deleted) for key, (stamp, deleted) in met.items()))
            self._folded = sequence if done else standing.position, clock
        else:
            self._folded = standing.position, clock
        return done

    def changed(self, after: int) -> Iterator[tuple[int, bytes]]:
        """(sequence, key) of each version written after a position of the log, also by frames not yet on disk."""
        number = self.versions.definition.id
        for found in self.log.read(after, durable=False):
            for table, key, *_ in journal.frame_changes(found, self.log.path):
                if table == number:
                    yield found.sequence, key

    def _survey(self, standing: Standing) -> None:
        """Where the log no longer has all that was written since: look at the items themselves.

        What has changed is stamped with the oldest time that the log still has: it was written before that.
        """
        with self.lock:
            upto = self.log.last
            oldest = next(self.log.read(self.log.first - 1, durable=False), None)
            now = self.store.clock.now() if oldest is None else oldest.time
            clock = tick(standing.clock, now // 1000)
        stamp = Stamp(*clock, self.region)
        low: bytes | None = b""
        while low is not None:
            with self.lock:
                page = self.records.items.page(low, None, limit=PAGE)
                changed = []
                for stored_key, image in page:
                    view = self.versions.view(stored_key)
                    known = None if view is None else version_of(self.versions.decode(view))
                    if known is None or known.sequence < stamped_at(image) <= upto:
                        changed.append((self.records.whole_key(stored_key, image), stamp, False))
                self._keep_surveyed(standing, changed)
                low = rest(page)
        low = b""
        while low is not None:
            with self.lock:
                page = self.versions.items.page(low, None, limit=PAGE)
                changed = [
                    (self.versions.whole_key(stored_key, image), stamp, True)
                    for stored_key, image in page
                    if self.records.items.view(stored_key) is None
                    and not version_of(self.versions.decode(image)).deleted
                ]
                self._keep_surveyed(standing, changed)
                low = rest(page)
        with self.lock:
            sequence = self.write(replace(standing, position=upto, clock=clock))
        self.log.acknowledge(sequence)

    def _keep_surveyed(self, standing: Standing, changed: list[tuple[bytes, Stamp, bool]]) -> None:
        if changed:
            self.write(standing, changed)


def version_of(item: Item) -> Version:
    """What a record of NAME.versions says."""
    stamp = Stamp(item[MILLISECONDS], item[COUNTER], item[REGION])
    return Version(stamp, DELETED in item, item[SEQUENCE])


def _new(name: str, key: tuple[KeyPart, ...]) -> Definition:
    """Of a table to be made, as Store.create_table would have it, were the name not reserved."""
    return Definition(id=0, name=check_table_name(name), key=key, ttl=None, stream=None, created=0, began=0)


def _identity(definition: Definition) -> list[int]:
    """What tells a table from another that has its name in the same store, or in one that was restored."""
    return [definition.id, definition.began, definition.created]


def _version_item(key: dict[str, Any], version: Version) -> Item:
    item = key | {
        MILLISECONDS: version.stamp.milliseconds,
        COUNTER: version.stamp.counter,
        REGION: version.stamp.node,
        SEQUENCE: version.sequence,
    }
    return item | {DELETED: "yes"} if version.deleted else item
