"""Global tables: the same table in several stores ("regions"), written in each of them; the last writer wins.

    orders = kv.GlobalTable([kv.Replica(store, "orders", region) for region, store in stores.items()])
    stores["eu"].table("orders").put({"id": 1, "total": 9})         the ordinary Table, in any region
    orders.sync()                                                   now all regions have it
    orders.sync("eu", "us")                                         a partition: these two talk, the others do not

    eu: log ─ fold ─> versions ── offer: key, stamp, item or deleted ──> us: newer than its own version? ─> one frame:
                                                                             item | version | how far eu was read

**Who wins.** Each write has a stamp of a hybrid logical clock, (milliseconds, counter, region); per item the larger
one wins, in every region alike, so all regions end with the same items, in whatever order, how often and how late they
exchange them. How a write by an ordinary table.put() comes by its stamp is told in versions.py.

**What is exchanged.** A replica asks another for what has changed since a position in that one's log, and is offered
the *present* version of each item that changed: ten writes of one item travel as one. What is offered is on disk where
it comes from. Items, versions and the new position are one frame where they arrive, so a crash loses nothing and
applies nothing twice. A change that is not newer than what stands there is nothing to apply, so no change goes round
for ever, and a region hears through others of one that it does not talk to.

**Joining.** The first time, and after seed(), all items are read, a page at a time, while writes go on: the position is
taken before, so what is written meanwhile comes after.

**Away for too long.** Deletions are remembered for 24 hours, like the change stream. A replica that was away longer
may have missed one, or still have what was deleted everywhere: sync() raises Trimmed. eu.seed(us) then makes eu what us
is; of what eu alone has, it keeps what was written within those 24 hours.

Where we differ from DynamoDB (global tables of 2019, eventually consistent)
* Nobody replicates in the background unless asked (GlobalTable.following): a lesson and a test are exact.
* The loser of a conflict is gone, as there; but stamps here respect cause and effect: who has seen a write wins over
  it, even with a clock that is behind. A clock that is ahead makes its region win conflicts by as much.
* A put that changes nothing is no write: it has no stamp, and wins over nothing.
* A deletion by time to live is a deletion like any other, stamped when it happens: it wins over an older write
  elsewhere that would have prolonged the item.
* The items of a store or table that was restored count as written when they were restored.
* Replicated writes cost no write units. There are no limits on regions.

As there: a condition sees this region's item only, and a transaction is one only where it was made: elsewhere its items
may arrive apart. Two regions may both hear that a put with attribute_not_exists has succeeded; one of the two is lost.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from engines import display
from engines.clock import MICROSECONDS, Clock, Stamp
from engines.errors import Invalid, Trimmed
from engines.kv.page import Item, Key
from engines.kv.records import Write
from engines.kv.regions.versions import (
    DELETED,
    MILLISECONDS,
    PAGE,
    TOMBSTONES,
    WRITTEN_FRAMES,
    Reached,
    Standing,
    Versions,
)
from engines.kv.retention import STREAM_SECONDS
from engines.kv.store import Store
from engines.storage.keyspace import rest
from engines.storage.refs import PART

REMEMBERED_MS = STREAM_SECONDS * 1000  # how long a deletion is
FORGETTING_SECONDS = 3600  # sync() looks for what can be forgotten once an hour


@dataclass(frozen=True, slots=True)
class Offered:
    """The present version of one item; item is None where it is deleted."""

    key: Key
    stamp: Stamp
    item: Item | None


@dataclass(frozen=True, slots=True)
class Offer:
    """What another replica has to tell. reached: how far that one is read with it, None while all items are read."""

    changes: list[Offered]
    reached: Reached | None = None
    more: bool = False


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a replica is behind another: items that it has not, and the age of the oldest by the other's clock."""

    changes: int
    seconds: float


class Replica:
    """One region's copy of a global table. Write and read through store.table(...); threads may share it.

    table: the name of a table with stream=True; what it holds already takes part. region: the name of this copy, which
    stays. clock: tells when deletions are old enough to be forgotten (default: the store's). Two more tables appear in
    the store, NAME.versions and NAME.replication, for looking at: they go with the table, and users cannot change
    them. NotFound, Invalid.
    """

    def __init__(self, store: Store, table: str, region: str, *, clock: Clock | None = None) -> None:
        if not isinstance(region, str) or not PART.fullmatch(region):
            raise Invalid(f"a region's name is made of A-Z a-z 0-9 _ . + = @ -, at most 100, got {region!r:.80}")
        self.table = store.table(table)
        if self.table.definition.stream != "NEW_AND_OLD_IMAGES":
            raise Invalid(f"table {table} has no stream of both images to replicate: create it with stream=True")
        self.region, self.store = region, store
        self.clock = clock or store.clock
        self.peers: dict[str, Replica] = {}
        self._versions = Versions(store, self.table, region)
        self._lock = self._versions.lock
        self._read_to: dict[str, Reached] = {}  # where that is further than what is written
        self._looked: int | None = None  # when, for deletions to forget

    def connect(self, other: "Replica") -> None:
        """From now on each of the two hears of the other when it syncs. Invalid if the tables are not alike."""
        if other.region == self.region:
            raise Invalid(f"two replicas have two regions, got {self.region!r} twice")
        here, there = self.table.definition, other.table.definition
        if (here.name, here.key, here.ttl) != (there.name, there.key, there.ttl):
            raise Invalid(
                f"replicas have the same name, key and ttl, got {here.name} {here.described_key} ttl={here.ttl} in "
                f"{self.region} and {there.name} {there.described_key} ttl={there.ttl} in {other.region}"
            )
        self.peers[other.region] = other
        other.peers[self.region] = self

    # -- hearing of others --------------------------------------------------------------------------------------------

    def sync(self) -> int:
        """Apply what the connected replicas have; how many changes were new. Trimmed: see pull."""
        return sum(self.pull(peer) for peer in list(self.peers.values()))

    def pull(self, other: "Replica") -> int:
        """Apply what one other replica has and this one has not; how many changes that was.

        Trimmed if one of the two was away for so long that deletions have been forgotten meanwhile: seed() that one.
        Invalid if an item does not fit an index of this table; then what came before it has been applied.
        """
        applied = sum(self._apply(other.region, offer) for offer in self._offers(other))
        now = self.clock.now()
        if self._looked is None or now - self._looked >= FORGETTING_SECONDS * MICROSECONDS:
            self._looked = now
            self.forget()
        return applied

    def seed(self, other: "Replica") -> int:
        """Make this replica what another one is, after it was away for too long; how many changes that took.

        What is written in both meanwhile goes on as ever. Of the items that only this one has, those are dropped whose
        last write is older than the deletions that the other remembers: it may have deleted them.
        """
        self._check_other(other)
        versions = self._versions
        versions.catch_up()
        applied, reached = 0, None
        for offer in other.everything():
            applied += self._apply(other.region, offer, trusting=True)
            reached = offer.reached
        assert reached is not None  # noqa: S101 - the last of everything says it
        floor = other.standing().floor  # now: of what it has forgotten since it began to tell, nothing was told
        low: bytes | None = b""
        while low is not None:
            with self._lock:
                page = versions.versions.items.page(low, None, limit=PAGE)
                keys = [versions.versions.whole_key(*entry) for entry in page]
                old = [key for key in keys if self._older(key, floor)]
                low = rest(page)
            applied += self._drop(other.unknown(old), floor)
        with self._lock:
            standing = versions.standing()
            born = max(standing.born + 1, self.store.clock.now())  # others read all of this one anew
            anew = dict.fromkeys(versions.all_reached(), Reached(0, 0))  # and this one all of the others
            sequence = versions.write(
                replace(standing, born=born, floor=max(standing.floor, floor)), reached=anew | {other.region: reached}
            )
        self.store.log.acknowledge(sequence)
        return applied

    def _drop(self, keys: Sequence[bytes], floor: int) -> int:
        """Remove the items under these keys, and what is known of them, unless they were written since; how many."""
        versions = self._versions
        with self._lock:
            versions.digest()
            dropped = [key for key in keys if self._older(key, floor)]
            there = [key for key in dropped if versions.item(key) is not None]
            if dropped:
                items = [Write(self.table.records, key, None) for key in there]
                versions.write(versions.standing(), items=items, forget=dropped)
        return len(there)

    def _older(self, key: bytes, floor: int) -> bool:
        version = self._versions.version(key)
        return version is not None and version.stamp.milliseconds < floor

    def _offers(self, other: "Replica") -> Iterator[Offer]:
        """What another has, from where it was read up to."""
        self._check_other(other)
        self._versions.catch_up()
        with self._lock:
            known = self._reached(other.region)
        if known is None or known.born != other.standing().born:
            for offer in other.everything():
                yield offer
                known = offer.reached
        assert known is not None  # noqa: S101 - the last of all says it
        more = True
        while more:
            offer = other.offer(known.position, self.region)
            yield offer
            assert offer.reached is not None  # noqa: S101 - where changes are read, there is a position
            known, more = offer.reached, offer.more

    def _check_other(self, other: "Replica") -> None:
        if not isinstance(other, Replica) or self.peers.get(other.region) is not other:
            raise Invalid(f"{other!r:.80} is not connected with {self!r}: connect() them first")

    def _reached(self, region: str) -> Reached | None:
        """Under the lock."""
        written, read = self._versions.reached(region), self._read_to.get(region)
        if written is None or read is None or read.born != written.born:
            return written
        return max(written, read, key=lambda reached: reached.position)

    def _apply(self, region: str, offer: Offer, *, trusting: bool = False) -> int:
        """What is newer than here, in one frame with the position. trusting: the other knows what is deleted."""
        versions, records = self._versions, self.table.records
        with self._lock:
            versions.digest()
            standing = versions.standing()
            items: list[Write] = []
            newer: list[tuple[bytes, Stamp, bool]] = []
            clock = standing.clock
            for change in offer.changes:
                key = records.encode_key(change.key)
                mine = versions.version(key)
                if mine is None and change.stamp.milliseconds < standing.floor and not trusting:
                    if change.item is not None:
                        raise self._away(region, change)
                    continue  # the deletion of what is not here
                if mine is None or change.stamp > mine.stamp:
                    if change.item is not None:
                        items.append(records.encode(change.item))
                    elif mine is not None and not mine.deleted:
                        items.append(Write(records, key, None))
                    newer.append((key, change.stamp, change.item is None))
                    clock = max(clock, (change.stamp.milliseconds, change.stamp.counter))
            written = versions.reached(region)
            reached = offer.reached
            news = reached is not None and (
                written is None or written.born != reached.born or reached.position > written.position + WRITTEN_FRAMES
            )
            if not newer and not news:
                if reached is not None:
                    self._read_to[region] = reached
                return 0
            sequence = versions.write(
                replace(standing, clock=clock), newer, items, reached=None if reached is None else {region: reached}
            )
        self.store.log.acknowledge(sequence)
        self.store.checkpoint_if_due()
        return len(newer)

    def _away(self, region: str, change: Offered) -> Trimmed:
        return Trimmed(
            f"{region} has the item {change.key!r} of table {self.table.name}, written before the deletions that "
            f"{self.region} remembers (24 hours), and unknown there: one of the two was away for longer; "
            "seed() that one from the other, with .seed(other)",
            oldest=0,
        )

    # -- forgetting, and looking --------------------------------------------------------------------------------------

    def forget(self) -> int:
        """Forget the deletions of more than 24 hours ago; how many. sync() does this once an hour."""
        versions = self._versions
        versions.catch_up()
        floor = self.clock.now() // 1000 - REMEMBERED_MS
        count = 0
        names, values = {"#d": DELETED, "#m": MILLISECONDS}, {":yes": "yes", ":floor": floor}
        more, sequence = True, 0
        while more:
            page = versions.table.query(
                "#d = :yes AND #m < :floor", index=TOMBSTONES, names=names, values=values, limit=PAGE
            )
            found = [self.table.records.encode_key(tuple(item[name] for name in self._key_names)) for item in page]
            with self._lock:
                versions.digest()
                known = [(key, version) for key in found if (version := versions.version(key)) is not None]
                old = [(key, v) for key, v in known if v.deleted and v.stamp.milliseconds < floor]
                if old:
                    standing = versions.standing()
                    standing = replace(
                        standing,
                        floor=max(standing.floor, *(version.stamp.milliseconds + 1 for _, version in old)),
                        forgotten=max(standing.forgotten, *(version.sequence for _, version in old)),
                    )
                    sequence = versions.write(standing, forget=[key for key, _ in old])
            count += len(old)
            more = len(found) > 0
        self.store.log.acknowledge(sequence)
        return count

    @property
    def _key_names(self) -> tuple[str, ...]:
        return self.table.definition.key_names

    def lag(self) -> dict[str, Lag]:
        """By region, how far this replica is behind each that it is connected with. Reads what is missing to count it.

        Trimmed as pull().
        """
        return {region: self._behind(peer) for region, peer in list(self.peers.items())}

    def _behind(self, other: "Replica") -> Lag:
        stamps: dict[Key, Stamp] = {}
        for offer in self._offers(other):
            with self._lock:
                for change in offer.changes:
                    mine = self._versions.version(self.table.records.encode_key(change.key))
                    if mine is None or mine.stamp < change.stamp:
                        stamps[change.key] = change.stamp
        if not stamps:
            return Lag(0, 0.0)
        age = other.store.clock.now() - min(stamps.values()).milliseconds * 1000
        return Lag(len(stamps), max(0.0, age / MICROSECONDS))

    def status(self) -> display.Table:
        """A row for each connected region: up to where its log was read, and how far behind this replica is."""
        rows: list[tuple[str, str, int, int, float]] = []
        for region, peer in sorted(self.peers.items()):
            lag = self._behind(peer)
            with self._lock:
                reached = self._reached(region)
            position = 0 if reached is None else reached.position
            rows.append((self.region, region, position, lag.changes, lag.seconds))
        return display.Table.from_rows(
            ["region", "hears_of", "position", "changes_behind", "seconds_behind"],
            rows,
            title=f"replica {self.region} of {self.table.name}",
        )

    def __repr__(self) -> str:
        return f"<kv.Replica {self.region} of {self.table.name}>"

    # -- telling others -----------------------------------------------------------------------------------------------

    def standing(self) -> Standing:
        with self._lock:
            return self._versions.standing()

    def offer(self, position: int, region: str) -> Offer:
        """The present versions of what has changed after a position of this store's log, about a page of them."""
        versions, log = self._versions, self.store.log
        versions.catch_up()
        standing = self.standing()
        last = log.last
        oldest = max(standing.forgotten, log.first - 1)
        if not oldest <= position <= last:
            raise Trimmed(
                f"{region} has read {self.region} up to {position}, but {self.region} knows what changed from {oldest} "
                f"to {last}: {region} was away for longer than the 24 hours for which deletions are remembered, or "
                f"{self.region} was set back; seed() the one that was away from the other, with .seed(other)",
                oldest=oldest,
            )
        keys: dict[bytes, None] = {}
        current, more = position, False
        for sequence, key in versions.changed(position):
            if sequence > current and len(keys) >= PAGE:
                last, more = current, True
                break
            keys[key] = None
            current = sequence
        return Offer(self._present(keys), Reached(standing.born, last), more)

    def everything(self) -> Iterator[Offer]:
        """Every item that there is or was, in pages; with the last, the position from which to go on."""
        versions = self._versions
        versions.catch_up()
        with self._lock:
            reached = Reached(versions.standing().born, self.store.log.last)
        low: bytes | None = b""
        while low is not None:
            with self._lock:
                page = versions.versions.items.page(low, None, limit=PAGE)
                keys = [versions.versions.whole_key(*entry) for entry in page]
            low = rest(page)
            yield Offer(self._present(keys))
        yield Offer([], reached)

    def _present(self, keys: Iterable[bytes]) -> list[Offered]:
        """What stands under these keys now; on disk when it returns, so that no crash here takes back what is told."""
        versions = self._versions
        offered: list[Offered] = []
        with self._lock:
            versions.digest()
            for key in keys:
                version = versions.version(key)
                if version is not None:
                    item = None if version.deleted else versions.item(key)
                    offered.append(Offered(self.table.records.keys.decode(key), version.stamp, item))
            sequence = self.store.log.last
        self.store.log.sync(sequence)
        return offered

    def unknown(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those of which nothing is known here."""
        with self._lock:
            self._versions.digest()
            return [key for key in keys if self._versions.version(key) is None]


class GlobalTable:
    """The replicas of one table, connected each with each."""

    def __init__(self, replicas: Iterable[Replica]) -> None:
        self.replicas: dict[str, Replica] = {}
        for replica in replicas:
            self.add(replica)

    def add(self, replica: Replica) -> None:
        """Connect one more; the next sync() gives it all items. Invalid: its region is taken, or its table differs."""
        if replica.region in self.replicas:
            raise Invalid(f"two replicas have two regions, got {replica.region!r} twice")
        for other in self.replicas.values():
            replica.connect(other)
        self.replicas[replica.region] = replica

    def sync(self, *regions: str) -> int:
        """Let each of these regions (default: all) hear of each other; how many changes were applied.

        All have then what any of them had when the call began: the first one hears of all, the others hear of it.
        Naming some plays a partition: the others, and what they have written, are out of reach. Trimmed: Replica.pull.
        """
        unknown = [region for region in regions if region not in self.replicas]
        if unknown:
            raise Invalid(f"the regions are {', '.join(self.replicas)}, got {unknown[0]!r}")
        talking = [replica for region, replica in self.replicas.items() if not regions or region in regions]
        return sum(one.pull(other) for one in talking for other in talking if one is not other)

    @contextlib.contextmanager
    def following(self, seconds: float = 0.05) -> Iterator["GlobalTable"]:
        """In this block a thread syncs all regions, again and again after a pause of so many seconds, and at the end.

        The pause is real time. What stops the thread (Trimmed, Poisoned, ...) is raised at the end of the block.
        """
        stop = threading.Event()
        errors: list[Exception] = []

        def follow() -> None:
            try:
                while not stop.wait(seconds):
                    self.sync()
                self.sync()
            except Exception as error:  # noqa: BLE001 - a thread's own would be printed, and lost
                errors.append(error)

        thread = threading.Thread(target=follow, name="global table", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
        if errors:
            raise errors[0]

    def status(self) -> display.Table:
        """Replica.status() of all."""
        tables = [replica.status() for replica in self.replicas.values()]
        names = ["region", "hears_of", "position", "changes_behind", "seconds_behind"]
        return display.Table.from_rows(names, [row for table in tables for row in table.rows()], title="global table")

    def __repr__(self) -> str:
        return f"<kv.GlobalTable {', '.join(self.replicas)}>"
