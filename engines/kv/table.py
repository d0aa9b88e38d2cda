"""Tables: what a user asks of one. Items under a partition key, in the order of their sort key.

Point reads and writes go straight to the records (records.py). Queries and scans read pages of at most 1 MB, take the
store's lock for 256 items at a time, and decode each item while its bytes are still valid.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from engines._native.kvitem import item_size
from engines.display import Plan
from engines.errors import Invalid
from engines.kv.catalog import Definition
from engines.kv.expressions import Holds, Placeholders, compile_condition, compile_key_condition
from engines.kv.keyrange import Bounds, bounds
from engines.kv.page import Item, Page, Request, check_limit
from engines.kv.records import Records, Returns, Write
from engines.kv.values import PAGE_BYTES, PAGE_ITEMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engines.changes import Change
    from engines.kv.store import Store

BATCH_ITEMS = 1000  # a batch_writer syncs once for so many
READ_UNIT = 4096


class Table:
    """One table of a store: store.create_table(...) or store.table(name). Threads may share it.

    A key is the values of the key attributes, in order: get("ann", 17). Items are dicts; what they may hold is said in
    engines.kv.values. Invalid, NotFound, ... are raised before anything is changed.
    """

    def __init__(self, store: "Store", definition: Definition, names: list[str]) -> None:
        self.name = definition.name
        self.definition = definition
        self.records = Records(store, definition, names)
        self._store = store

    # -- one item -----------------------------------------------------------------------------------------------------

    def get(self, *key: Any, consistent: bool = False) -> Item | None:  # noqa: ANN401 - values of the key's types
        """The item with this key, None where there is none or its time to live is over.

        consistent=True returns only what is on disk: it waits for a sync that is still under way.
        """
        try:
            item = self.records.read(key)
        except ValueError as error:
            encoded = self.records.encode_key(key)  # raises if it was the key
            raise self.records.damaged(encoded, error) from error
        if consistent:
            self._store.log.sync()
        return item

    def put(
        self,
        item: Item,
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        returns: Returns = "NONE",
    ) -> Item | None:
        """Store an item, in place of the one with the same key. Returns that one if returns="ALL_OLD" asks for it.

        condition is checked on the stored item: ConditionFailed carries it as .item, and nothing is changed. Returns
        once the write is on disk (or as the store's durability says). Invalid for a wrong item, TooLarge over 400 KB.
        """
        holds = None
        if condition is not None or names is not None or values is not None:
            holds = _condition(condition, names, values)
        old = returns != "NONE" and _wants_old(returns)
        key, image, expires = self.records.encode(item)
        return self.records.write(key, image, expires, holds, old)

    def delete(
        self,
        *key: Any,  # noqa: ANN401 - values of the key's types
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        returns: Returns = "NONE",
    ) -> Item | None:
        """Delete the item with this key, if there is one; otherwise as put."""
        holds = _condition(condition, names, values)
        old = _wants_old(returns)
        return self.records.write(self.records.encode_key(key), None, 0, holds, old)

    def batch_writer(self) -> "BatchWriter":
        """A context manager with put(item) and delete(*key): one sync at the end, and after every 1,000 of them."""
        return BatchWriter(self.records)

    # -- many items ---------------------------------------------------------------------------------------------------

    def query(
        self,
        key_condition: str,
        *,
        filter: str | None = None,  # noqa: A002 - the service's word
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        limit: int | None = None,
        reverse: bool = False,
        start: Sequence[Any] | None = None,
        count: bool = False,
    ) -> Page:
        """The items of one partition, in the order of their sort key.

        key_condition names the partition key with = and at most one comparison of the sort key: = < <= > >= BETWEEN
        begins_with. limit and the page's 1 MB count items examined, before the filter, as in DynamoDB. start is the
        last_key of the page before. count=True returns no items, only how many there are. QueryError or Invalid before
        anything is read.
        """
        request = self._request(key_condition, filter, names, values, limit, reverse=reverse, count=count)
        return self._page(request, start)

    def scan(
        self,
        *,
        filter: str | None = None,  # noqa: A002 - the service's word
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        limit: int | None = None,
        start: Sequence[Any] | None = None,
        count: bool = False,
    ) -> Page:
        """All items of the table, partition by partition, in no order that means anything; otherwise as query."""
        return self._page(self._request(None, filter, names, values, limit, reverse=False, count=count), start)

    def _request(
        self,
        key_condition: str | None,
        filter_: str | None,
        names: Mapping[str, str] | None,
        values: Mapping[str, Any] | None,
        limit: int | None,
        *,
        reverse: bool,
        count: bool,
    ) -> Request:
        """Understand all of a request before anything is read."""
        _check_text("key_condition", key_condition)
        _check_text("filter", filter_)
        placeholders = Placeholders(names, values)
        stretch = Bounds(b"", None, "every item")
        if key_condition is not None:
            definition = self.definition
            asked = compile_key_condition(key_condition, placeholders, definition.partition, definition.sort)
            try:
                stretch = bounds(self.records.keys, asked, definition.partition, definition.sort)
            except ValueError as error:
                raise Invalid(str(error)) from None
        holds = None if filter_ is None else compile_condition(filter_, placeholders)
        placeholders.done()
        return Request(stretch, holds, check_limit(limit), reverse, count)

    def _page(self, request: Request, start: Sequence[Any] | None) -> Page:
        low, high = request.stretch.low, request.stretch.high
        if start is not None:
            if not isinstance(start, (tuple, list)):
                raise Invalid(f"start is the last_key of a page, a tuple of key values, got {start!r:.80}")
            begin = self.records.stored_key(self.records.encode_key(tuple(start)))
            if begin < low or (high is not None and begin >= high):
                raise Invalid(f"start={tuple(start)!r} is no key of this query: pass the last_key of its page before")
            low, high = (low, begin) if request.reverse else (begin + b"\x00", high)
        page = Page(request, self._page)
        while page.more and page.scanned != request.limit and page.size < PAGE_BYTES:
            low, high = self._read_some(page, low, high)
        if page.more and page.last is not None:
            page.last_key = tuple(page.last[name] for name in self.definition.key_names)
        return page

    def _read_some(self, page: Page, low: bytes, high: bytes | None) -> tuple[bytes, bytes | None]:
        """Add up to PAGE_ITEMS items to the page, under one hold of the lock; the stretch that is left."""
        records, limit, reverse = self.records, page.request.limit, page.request.reverse
        with records.lock:
            page.more = False
            for seen, (key, view) in enumerate(records.items.walk(low, high, reverse=reverse)):
                if page.scanned == limit or page.size >= PAGE_BYTES or seen == PAGE_ITEMS:
                    page.more = True
                    break
                low, high = (low, key) if reverse else (key + b"\x00", high)
                if records.due is not None and records.expired(view):
                    continue
                try:
                    page.add(records.decode(view), item_size(view))
                except ValueError as error:
                    raise records.damaged(key, error) from error
        return low, high

    def explain(
        self,
        key_condition: str | None = None,
        *,
        filter: str | None = None,  # noqa: A002 - the service's word
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Plan:
        """Run a query (a scan where no key condition is given), to its end if it has no limit, and say what it touched.

        Counters: items examined and returned, bytes examined, the tree's depth and leaf pages, read units (half a unit
        for every 4 KB begun).
        """
        request = self._request(key_condition, filter, names, values, limit, reverse=reverse, count=True)
        page = self._page(request, None)
        scanned, found, size = page.scanned, page.count, page.size
        while limit is None and page.last_key is not None:
            page = self._page(request, page.last_key)
            scanned, found, size = scanned + page.scanned, found + page.count, size + page.size
        with self.records.lock:
            shape = self._store.tree.transaction.stat(self.records.items.db)
        stretch = request.stretch
        first, last = stretch.low.hex() or "the first", (stretch.high or b"").hex() or "the last"
        plan = Plan(
            "Tree",
            f"{self.records.items.name}, keys from {first} to {last}",
            {name: int(shape[name]) for name in ("depth", "leaf_pages", "entries")},
        )
        words = stretch.words + (", backwards" if reverse else "")
        plan = Plan(
            "Range" if key_condition else "Full scan",
            words,
            {"items_examined": scanned, "bytes_examined": size},
            [plan],
        )
        if filter is not None:
            plan = Plan("Filter", f"{filter}; costs what it reads", {"items_in": scanned, "items_out": found}, [plan])
        units = -(-size // READ_UNIT) / 2
        counters = {"items_returned": found, "items_examined": scanned, "read_units": units}
        return Plan("Query" if key_condition else "Scan", self.name, counters, [plan])

    # -- the change stream, and facts ---------------------------------------------------------------------------------

    def changes(
        self, after: int = 0, *, limit: int | None = None, follow: bool = False, timeout: float | None = None
    ) -> "Iterator[Change]":
        """What happened to this table's items after a position of the log, oldest first; see Store.changes.

        Invalid if the table was created without a stream.
        """
        if self.definition.stream is None:
            raise Invalid(f"table {self.name} has no change stream: create it with stream=True")
        return self._store.read_changes(after, {self.definition.id: self}, limit=limit, follow=follow, timeout=timeout)

    def describe(self) -> dict[str, Any]:
        """Key, ttl, stream and the number of items, expired ones not yet deleted included, as plain values."""
        with self.records.lock:
            count = self.records.items.count()
        definition = self.definition
        return {
            "name": self.name,
            "key": [f"{part.name}:{part.type}" for part in definition.key],
            "ttl": definition.ttl,
            "stream": definition.stream,
            "items": count,
            "created": definition.created,
        }

    def __repr__(self) -> str:
        keys = ", ".join(f"{part.name}:{part.type}" for part in self.definition.key)
        return f"<kv.Table {self.name} ({keys})>"


class BatchWriter:
    """Collects writes and stores them a thousand at a time, in order: a later one to the same key wins.

    Each is checked at once. What an exception leaves behind in the block is not written; what was flushed stays.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._writes: list[Write] = []

    def put(self, item: Item) -> None:
        """Store an item, in place of the one with the same key. Invalid or TooLarge at once."""
        self._add(self._records.encode(item))

    def delete(self, *key: Any) -> None:  # noqa: ANN401 - values of the key's types
        """Delete the item with this key, if there is one by then."""
        self._add((self._records.encode_key(key), None, 0))

    def _add(self, write: Write) -> None:
        self._writes.append(write)
        if len(self._writes) >= BATCH_ITEMS:
            self.flush()

    def flush(self) -> None:
        """Write what was collected; on disk when it returns."""
        writes, self._writes = self._writes, []
        if writes:
            self._records.write_all(writes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()


def _wants_old(returns: str) -> bool:
    if returns not in ("NONE", "ALL_OLD"):
        raise Invalid(f'returns is "NONE" or "ALL_OLD", got {returns!r}')
    return returns == "ALL_OLD"


def _condition(text: str | None, names: Mapping[str, str] | None, values: Mapping[str, Any] | None) -> Holds | None:
    if text is None and names is None and values is None:
        return None
    _check_text("condition", text)
    placeholders = Placeholders(names, values)
    holds = None if text is None else compile_condition(text, placeholders)
    placeholders.done()
    return holds


def _check_text(what: str, text: str | None) -> None:
    if text is not None and not isinstance(text, str):
        raise Invalid(f"{what} is an expression, a text like 'customer = :c', got {text!r:.80}")
