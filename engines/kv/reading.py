"""Queries and scans: understood before anything is read, then read a page of at most 1 MB at a time.

    request    key condition -> a stretch of the tree | filter -> a function | projection | index | limit | ...
    page       walk the stretch, 256 items under one hold of the lock, decode each while its bytes are valid

limit and the 1 MB count the items examined, before the filter: a filter makes no read cheaper. An item whose time is
over is stepped over. A parallel scan shares the items out by a checksum of their keys: each is in exactly one of the
segments, whatever is written meanwhile.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engines._native.kvitem import item_size
from engines._native.kvscan import read_stretch
from engines.errors import Invalid
from engines.kv.expressions import (
    KeyRange,
    Placeholders,
    attributes,
    check_text,
    compile_filter,
    compile_key_condition,
)
from engines.kv.indexes import IndexEntries, find
from engines.kv.keyrange import Bounds, bounds, within
from engines.kv.page import Item, Key, Page, Request, check_limit
from engines.kv.projections import Projection, compile_projection
from engines.kv.values import HOLD_ITEMS, PAGE_BYTES
from engines.storage.keyspace import seek

if TYPE_CHECKING:
    from engines.kv.catalog import Keyed
    from engines.kv.table import Table
    from engines.kv.throttle import Consumed

Test = Callable[[Item], bool]

SEGMENTS = 1_000_000  # of a parallel scan, at most


def understand(
    table: "Table",
    key_condition: str | None = None,
    *,
    filter_: str | None = None,
    projection: str | None = None,
    names: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
    index: str | None = None,
    limit: int | None = None,
    reverse: bool = False,
    count: bool = False,
    consistent: bool = False,
    segment: int = 0,
    segments: int = 1,
    consumed: "Consumed | None" = None,
    on_keys: bool = False,
) -> Request:
    """All of a request, or QueryError, Invalid, NotFound: before anything is read.

    on_keys: the filter of a query may look at its keys, too, as the WHERE of a PartiQL statement does.
    """
    for what, text in (("key_condition", key_condition), ("filter", filter_), ("projection", projection)):
        check_text(what, text)
    entries = None if index is None else find(table, index)
    keyed: Keyed = table.definition if entries is None else entries.definition
    placeholders = Placeholders(names, values)
    stretch = Bounds(b"", None, "every item")
    asked: KeyRange | None = None
    if key_condition is not None:
        asked = compile_key_condition(key_condition, placeholders, keyed.partition, keyed.sort)
        keys = table.records.keys if entries is None else entries.keys
        try:
            stretch = bounds(keys, asked, keyed.partition, keyed.sort)
        except ValueError as error:
            raise Invalid(str(error)) from None
    holds, filter_names = None, frozenset[str]()
    if filter_ is not None:
        holds, filter_names = compile_filter(filter_, placeholders), attributes(filter_, placeholders)
    if asked is not None and not on_keys:
        _check_filter(filter_names, keyed)
    if asked is not None and not stretch.exact and keyed.sort is not None:
        holds, filter_names = _within(asked, keyed.sort, holds), filter_names | {keyed.sort}
    shown = None if projection is None else compile_projection(projection, placeholders)
    placeholders.done()
    if not (isinstance(segments, int) and isinstance(segment, int) and 0 <= segment < segments <= SEGMENTS):
        raise Invalid(f"segment counts from 0 to segments - 1, got segment={segment!r} of segments={segments!r}")
    if count and shown is not None:
        raise Invalid("count=True returns no items: leave out the projection")
    return Request(
        stretch,
        entries,
        holds,
        filter_names,
        shown,
        _fetches(entries, shown, consistent=consistent),
        check_limit(limit),
        reverse,
        count,
        consistent,
        segment,
        segments,
        consumed,
    )


def _check_filter(names: frozenset[str], keyed: "Keyed") -> None:
    taken = ", ".join(sorted(names & set(keyed.key_names)))
    if taken:
        raise Invalid(f"a filter of a query is on other attributes than {taken}: put that into the key condition")


def _within(asked: KeyRange, sort: str, passes: Test | None) -> Test:
    """The filter, and the condition on the sort key, where a stretch has more than what that asks for."""
    if passes is None:
        return lambda item: within(asked, item[sort])
    return lambda item: within(asked, item[sort]) and passes(item)


def _fetches(index: IndexEntries | None, shown: Projection | None, *, consistent: bool) -> bool:
    """Whether a local index has to look into the table for what is asked of it. Invalid for another index."""
    if index is None:
        return False
    name, local = index.definition.name, index.definition.local
    if consistent and not local:
        raise Invalid(f"consistent=True is for tables and local indexes, and {name} is a global one: leave it out")
    if index.included is None or shown is None:
        return False
    missing = [wanted for wanted in shown.names if wanted not in index.included]
    if missing and not local:
        raise Invalid(
            f"the index {name} does not hold {', '.join(missing)}: read the table, or project it into the index"
        )
    return bool(missing)


def read_page(table: "Table", request: Request, start: Sequence[Any] | None) -> Page:
    """The page that begins after the key `start`. Throttled where units were bought and none are left."""
    records, index = table.records, request.index
    low, high = request.stretch.low, request.stretch.high
    names = table.definition.key_names if index is None else index.last_key_names
    if start is not None:
        begin = _place(table, request, names, start)
        if begin < low or (high is not None and begin >= high):
            raise Invalid(f"start={tuple(start)!r} is no key of this query: pass the last_key of its page before")
        low, high = (low, begin) if request.reverse else (begin + b"\x00", high)
    records.tick_if_due()
    records.check_read(None)
    page = Page(request, names, lambda request, start: read_page(table, request, start))
    while page.more and page.scanned != request.limit and page.size < PAGE_BYTES:
        low, high = _read_some(table, page, low, high)
    page.end()
    page.capacity = records.charge_read(page.size, request.consumed, consistent=request.consistent, index=index)
    for size in page.fetched:  # each item that an index did not hold is a read of the table
        page.capacity += records.charge_read(size, request.consumed, consistent=request.consistent)
    if request.consistent:
        records.wait()
    return page


def _place(table: "Table", request: Request, names: Key, start: Sequence[Any]) -> bytes:
    """Where in the tree a last_key stands."""
    if not isinstance(start, (tuple, list)):
        raise Invalid(f"start is the last_key of a page, a tuple of key values, got {start!r:.80}")
    if request.index is None:
        return table.records.stored_key(table.records.encode_key(tuple(start)))
    if len(start) != len(names):
        raise Invalid(f"start is the last_key of a page, ({', '.join(names)}) here, got {len(start)} values")
    item = dict(zip(names, start, strict=True))
    request.index.check(item)
    key = table.records.encode_key(tuple(item[name] for name in table.definition.key_names))
    place = request.index.place(item, table.records.stored_key(key))
    assert place is not None  # noqa: S101 - all its attributes are there and checked
    return place


def _read_some(table: "Table", page: Page, low: bytes, high: bytes | None) -> tuple[bytes, bytes | None]:
    """Add up to HOLD_ITEMS items to the page, under one hold of the lock; the stretch that is left."""
    records, request = table.records, page.request
    reverse = request.reverse
    entries = records.items if request.index is None else request.index.entries

    def fetch(item: Item) -> Item:
        key = records.encode_key(tuple(item[name] for name in table.definition.key_names))
        view = records.view(records.stored_key(key))
        if view is None:
            return item
        page.fetched.append(item_size(view))
        return records.decode(view)

    with records.lock, entries.tree.transaction.cursor(entries.db) as cursor:
        found = read_stretch(
            seek(cursor, low, high, reverse=reverse),
            low,
            high,
            reverse=reverse,
            limit=-1 if request.limit is None else request.limit - page.scanned,
            limit_bytes=PAGE_BYTES - page.size,
            limit_entries=HOLD_ITEMS,
            second=records.second(),
            decode=records.decode,
            decode_some=records.codec.decode_some,
            names=request.filter_names,
            holds=request.holds,
            fetch=fetch if request.fetches else None,
            pick=None if request.projection is None else request.projection.pick,
            count_only=request.count_only,
            segment=request.segment,
            segments=request.segments,
        )
    page.add(found)
    if found.last is None:
        return low, high
    if found.error is not None:
        raise records.damaged(found.last, found.error) from found.error
    return (low, found.last) if reverse else (found.last + b"\x00", high)
