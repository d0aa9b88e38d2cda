"""The accelerator: a cache in front of a table, with the table's own methods; the class of DynamoDB Accelerator, DAX.

    get ──> item cache     whole key      -> item image, or b"" for "there is none"     _native/kvhits.pyx
    query ─> query cache   whole request  -> images of the items, counts, last_key
    put ──> table, then item cache                        consistent=True ──> table, no cache

A caller of the table's methods changes nothing but its name, where a cache beside it (kv.Cache) needs code that fills
it and empties it. Indexes, capacity and descriptions are the table's own, and not cached. What is cached are bytes;
they are decoded for each hit, so nobody can spoil another's item.

How old an answer may be
* An item is one that was current within the last `ttl` seconds; whatever wrote past the accelerator is seen by then.
  Past it goes what asks the table itself, or the store and names the table: store.transact, batch_get, batch_write and
  PartiQL, sessions, replicas. DAX has a client of its own, through which transactions go as well (PartiQL does not): it
  reads anew what they have written. Here that is seen ttl seconds later; at once with consistent=True or after clear().
* An item is never older than the last write through this accelerator that has returned. A write that is refused (a
  condition that does not hold) leaves the cache as it was; one whose outcome is unknown (the disk failed) empties its
  place.
* A page of a query or scan is what the table held within the last `query_ttl` seconds. No write changes a page that is
  cached, not even one through the accelerator: DAX's known surprise. Pitfall: after your own put a query may still
  show the item as it was, although get shows the new one. Where that matters ask with consistent=True, or set
  query_ttl=0, which caches no pages.
* An item whose time to live is over is gone at its second from both: an entry of the cache never outlives the item in
  it, a page never the first of the items examined for it.

Why a stale item can not come back. A reader that misses takes a lease on the key, reads the table and fills the cache
only if it still has the lease; a write that ends takes all leases of its key away and puts its own item there. So what
was read before the write is not filled in after it. Two writes of one key that overlap may end in another order than
they happened in the table: then neither fills the cache, the place is emptied, and the next reader asks the table.
(Leases for caches: Nishtala et al., Scaling Memcache at Facebook, NSDI 2013.) They are per key, so writes to other keys
cost a reader nothing; there are as many as there are reads and writes under way.

Pitfall: a machine's clock that is set back lengthens the life of what is cached by as much.

Where we differ from DAX: one process, so no replicas of the cache that lag behind; an expired item does not linger; the
default time to live is 5 seconds, not 5 minutes. As there, a query fills only the query cache, and a time to live of
the cache is counted from the reading, not from the last hit.

Invariants: get(k) was current at some moment of the last ttl seconds, and not before the last write of k through here;
both caches stay within their limits; an error is the table's own error.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from engines import display
from engines._native.cachetable import CacheTable
from engines._native.kvhits import ItemHits
from engines._native.kvitem import item_size
from engines._native.kvstamp import unstamped
from engines.clock import Clock, SystemClock
from engines.errors import Invalid, Throttled
from engines.kv.acceleratorcaches import ABSENT, ItemCache, PageCache, WriteThrough, canonical
from engines.kv.catalog import Definition
from engines.kv.page import Item, Key, Page, Request
from engines.kv.projections import only_projection
from engines.kv.table import Table
from engines.kv.throttle import Consumed
from engines.kv.transactions import Answers, key_tuple
from engines.kv.values import BATCH_GETS

if TYPE_CHECKING:
    from engines.kv.records import Records

P = ParamSpec("P")
Answer = TypeVar("Answer")

LONGEST_TTL = 10**9  # seconds


class _Writer(Table):
    """The table once more, with records that write through."""

    def __init__(self, table: Table, records: WriteThrough) -> None:
        self.name, self.reader, self._store = table.name, table.reader, table._store  # noqa: SLF001 - its own class
        self.records = cast("Records", records)


def cached(verb: Callable[Concatenate[Table, P], Page]) -> Callable[Concatenate[Any, P], Page]:
    """Query or scan, through the query cache."""

    @wraps(verb)
    def read(self: "Accelerator", /, *arguments: P.args, **options: P.kwargs) -> Page:
        page = self.read_page(verb, arguments, options)

        def read_next(_: Request, start: Key) -> Page:
            following = cast("Any", {**options, "start": start})
            return read(self, *arguments, **following)

        page._read = read_next  # noqa: SLF001 - the next page has to come through here, too
        return page

    return read


def written(verb: Callable[Concatenate[Table, P], Answer]) -> Callable[Concatenate[Any, P], Answer]:
    """A verb that writes: to the table, then to the item cache."""

    @wraps(verb)
    def write(self: "Accelerator", /, *arguments: P.args, **options: P.kwargs) -> Answer:
        return verb(self.writer, *arguments, **options)

    return write


def passed(verb: Callable[Concatenate[Table, P], Answer]) -> Callable[Concatenate[Any, P], Answer]:
    """A verb that is the table's alone."""

    @wraps(verb)
    def ask(self: "Accelerator", /, *arguments: P.args, **options: P.kwargs) -> Answer:
        return verb(self.table, *arguments, **options)

    return ask


class Accelerator(ItemHits):
    """A cache in front of one table: kv.Accelerator(orders). It has a table's methods, and its name and key.

    max_items: so many items at most in the item cache, and so many in all pages of the query cache; None: no limit.
    max_bytes: the same in bytes, of each of the two (pages are then counted in bytes alone). ttl, query_ttl: seconds
    for which an item, a page may be served, or a timedelta; 0: not at all. clock: by which entries age, the store's if
    left out; when an item expires is always up to the store's. Threads may share it. Invalid for arguments that make
    no sense.
    """

    def __init__(
        self,
        table: Table,
        *,
        max_items: int | None = 100_000,
        max_bytes: int | None = None,
        ttl: float | timedelta = 5,
        query_ttl: float | timedelta = 5,
        clock: Clock | None = None,
    ) -> None:
        if not isinstance(table, Table):
            raise Invalid(f"an Accelerator stands before a table, store.table(name), got {type(table).__name__}")
        lifetime, query_lifetime = _milliseconds("ttl", ttl), _milliseconds("query_ttl", query_ttl)
        store = table._store  # noqa: SLF001 - a table does not offer its store; its clock and its end matter here
        clock = store.clock if clock is None else clock
        try:
            items = CacheTable(max_items, max_bytes)
            pages = CacheTable(max_items, max_items if max_bytes is None else max_bytes)
        except ValueError as error:
            raise Invalid(str(error)) from None
        on_system_time = type(clock) is SystemClock
        super().__init__(table.records, items.get, store, clock, on_system_time, clock is not store.clock)
        self.table = table
        self.items = ItemCache(items, lifetime, table.records)
        self.pages = PageCache(pages, query_lifetime, table.records, by_bytes=max_bytes is not None)
        self.writer = _Writer(table, WriteThrough(table.records, self.items, self.now))

    # -- one item: get() is ItemHits' ---------------------------------------------------------------------------------

    def fetch(self, key: bytes, consumed: Consumed | None) -> Item | None:
        """The item that the cache does not have: read from the table, and kept."""
        self.table.records.tick_if_due()
        now = self.now()
        lease = self.items.take_lease(key)
        try:
            image = self._read(key, consumed)
            item = self.table.records.decode(image) if image else None
            self.items.fill(key, lease, image, now)
        except ValueError as error:
            raise self.table.records.damaged(key, error) from error
        finally:
            self.items.drop_lease(key, lease)
        return item

    def _read(self, key: bytes, consumed: Consumed | None) -> bytes:
        """The image that the table has, or ABSENT. Throttled where units were bought and none are left."""
        records = self.table.records
        with records.lock:
            stored_key = records.stored_key(key)
            records.check_read(stored_key)
            view = records.view(stored_key)
            image = ABSENT if view is None else unstamped(view)
            if consumed is not None or records.capacity is not None:
                size = item_size(image) if image else 0
                records.charge_read(size, consumed, consistent=False, stored_key=stored_key)
        return image

    def get_with(
        self,
        key: Key,
        projection: str | None,
        names: Mapping[str, str] | None,
        consistent: bool,  # noqa: FBT001 - get() hands over all its arguments
        consumed: Consumed | None,
    ) -> Item | None:
        """What get() does where more is asked for than the item."""
        if consistent:
            return self.table.get(*key, projection=projection, names=names, consistent=True, consumed=consumed)
        shown = only_projection(projection, names)
        item = self.find(key, consumed)
        return item if item is None or shown is None else shown.pick(item)

    def batch_get(self, keys: Iterable[Any], *, consumed: Consumed | None = None) -> Answers:
        """The items with up to 100 keys, in order, None for what is not there; each from the cache if it is there.

        keys: tuples, or the values by themselves where one value is a key. `.unprocessed` of the answer are the keys
        for which the table had no read units left; Throttled if that is so for all. Invalid for a key that comes twice.
        """
        if isinstance(keys, (str, bytes, Mapping)):
            raise Invalid(f"a batch is asked for with a list of keys, like [('ann', 17)], got {keys!r:.80}")
        asked = [key_tuple(key) for key in keys]
        if not 1 <= len(asked) <= BATCH_GETS:
            raise Invalid(f"a batch reads 1 to {BATCH_GETS} items, got {len(asked)}")
        records = self.table.records
        if len({records.encode_key(key) for key in asked}) < len(asked):
            raise Invalid("every key is asked for once: leave the second one out")
        items: list[Item | None] = []
        unprocessed: list[Key] = []
        for key in asked:
            item = None
            try:
                item = self.find(key, consumed)
            except Throttled:
                unprocessed.append(key)
                if len(unprocessed) == len(asked):
                    raise
            items.append(item)
        return Answers(items, unprocessed)

    # -- many items, and writes: the table's own verbs ----------------------------------------------------------------

    query, scan = cached(Table.query), cached(Table.scan)
    put, update, delete = written(Table.put), written(Table.update), written(Table.delete)
    batch_writer = written(Table.batch_writer)
    explain, changes, describe = passed(Table.explain), passed(Table.changes), passed(Table.describe)
    create_index, drop_index = passed(Table.create_index), passed(Table.drop_index)
    capacity, buckets, hot_keys = passed(Table.capacity), passed(Table.buckets), passed(Table.hot_keys)
    scale, scaling = passed(Table.scale), passed(Table.scaling)
    as_table_source = passed(Table.as_table_source)

    @property
    def name(self) -> str:
        """The table's."""
        return self.table.name

    @property
    def key(self) -> tuple[str, ...]:
        """The table's, as create_table takes it."""
        return self.table.key

    @property
    def definition(self) -> Definition:
        return self.table.definition

    def read_page(self, verb: Callable[..., Page], arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Page:
        """A page, from the query cache if it is there."""
        if options.get("consistent"):
            return verb(self.table, *arguments, **options)
        now, asked = self.now(), canonical(verb.__name__, arguments, options)
        page = None if asked is None or self.ended() else self.pages.get(asked, now)
        if page is None:
            page = verb(self.table, *arguments, **options)
            if asked is not None:
                self.pages.keep(asked, page, now)
        return page

    # -- what the caches are doing ------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget all items and pages; the counters stay."""
        self.items.cache.clear()
        self.pages.cache.clear()

    def stats(self) -> display.Table:
        """A row for each cache: entries, what they take up (bytes, or items), and what became of lookups and entries.

        A negative hit knew that there is no such item; hits are all others that were found.
        """
        rows = []
        for name, cache, absent in (("items", self.items.cache, self.absent), ("queries", self.pages.cache, 0)):
            cache.expire(self.now())
            asked = cache.hits + cache.misses
            rate = cache.hits / asked if asked else None
            found = cache.hits - absent
            rows.append(
                (name, len(cache), cache.bytes, found, absent, cache.misses, rate, cache.evictions, cache.expired)
            )
        columns = ("cache", "entries", "size", "hits", "negative hits", "misses", "hit rate", "evictions", "expired")
        return display.Table.from_rows(columns, rows, title=f"kv accelerator of table {self.table.name}")

    def __repr__(self) -> str:
        return f"<kv.Accelerator of table {self.table.name}, {len(self.items.cache)} items>"


def _milliseconds(name: str, given: float | timedelta) -> int:
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= LONGEST_TTL:
        raise Invalid(f"{name} is a number of seconds from 0 to {LONGEST_TTL:,} or a timedelta, got {given!r:.80}")
    return int(seconds * 1000)
