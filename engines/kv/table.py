"""Tables: items under a partition key, in the order of their sort key.

A write's way, under the store's lock: read the old item, check the condition on it, append one frame with what changes to
the log, apply it to the tree. Then the lock is let go, and the write waits for the log's sync, which one waiting thread
does for all. Nothing ever needs to be taken back: all that can fail is tried before the append.

A read's way: encode the key, one get in the tree's open transaction, decode. Long reads take the lock a page at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import lmdb

from engines._native.keys import KeyCodec
from engines._native.kvframe import encode_change, unchanged
from engines._native.kvread import PointReader
from engines._native.kvitem import ItemCodec, ItemTooLarge, item_expires, item_size
from engines.display import Plan
from engines.errors import ConditionFailed, Corrupted, Invalid, NotFound, TooLarge
from engines.kv.catalog import ITEMS_FRAME, Definition
from engines.kv.expressions import Placeholders, compile_condition, compile_key_condition
from engines.kv.keyrange import LONGEST_PARTITION, Bounds, bounds, tree_key
from engines.kv.page import Item, Key, Page, check_limit
from engines.kv.ttl import MICROSECONDS, SWEPT_AT_ONCE, SWEPT_BY_A_WRITE, due_key, expiry
from engines.kv.values import ITEM_BYTES, PAGE_BYTES, PAGE_ITEMS
from engines.storage.tree import Gone, Keyspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engines.changes import Change
    from engines.kv.expressions import Holds
    from engines.kv.store import Store

Returns = Literal["NONE", "ALL_OLD"]
Rows = tuple[bytes, bytes | None, bytes | None, bool]  # key, old image (as far as wanted), new image, expired

BATCH_ITEMS = 1000  # a batch_writer syncs once for so many
NEVER = (1 << 64) - 1


class Table:
    """One table of a store: store.create_table(...) or store.table(name). Threads may share it.

    A key is the values of the key attributes, in order: get("ann", 17). Items are dicts; what they may hold is said in
    engines.kv.values. Invalid, NotFound, ... are raised before anything is changed.
    """

    def __init__(self, store: "Store", definition: Definition, names: list[str]) -> None:
        self.name = definition.name
        self.definition = definition
        self.codec = ItemCodec(names)
        self.keys = KeyCodec("".join(part.type for part in definition.key))
        self.names_logged = len(names)
        self.items: Keyspace = store.tree.keyspace(f"t/{definition.id}")
        self.due: Keyspace | None = store.tree.keyspace(f"x/{definition.id}") if definition.ttl else None
        self.next_due = NEVER
        if self.due is not None and (first := self.due.first()) is not None:
            self.next_due = int.from_bytes(first[0][:8], "big")
        self._store = store
        self._tree = store.tree
        self._log = store.log
        self._lock = store.tree.lock
        self._clock = store.clock
        self._key_names = definition.key_names
        self._encode_key = self.keys.encode
        self._decode = self.codec.decode
        self._read = self._reader()
        self._keeps_old = definition.stream in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES")

    # -- reading one item ---------------------------------------------------------------------------------------------

    def get(self, *key: Any, consistent: bool = False) -> Item | None:  # noqa: ANN401 - values of the key's types
        """The item with this key, None where there is none or its time to live is over.

        consistent=True returns only what is on disk: it waits for a sync that is still under way.
        """
        try:
            item = self._read(key)
        except ValueError as error:
            encoded = self.encode_key(key)  # raises if it was the key
            raise self.damaged(encoded, error) from error
        if consistent:
            self._log.sync()
        return item

    def _reader(self) -> Callable[[tuple[Any, ...]], Item | None]:
        now = None if self.due is None else self._clock.now
        shorten = partial(tree_key, types=self.keys.types)
        args = (self._lock, self._tree, self.items, now, shorten, LONGEST_PARTITION)
        return PointReader(self._encode_key, self._decode, *args).get

    def _expired(self, image: bytes | memoryview) -> bool:
        expires = item_expires(image)
        return expires != 0 and expires * MICROSECONDS <= self._clock.now()

    def damaged(self, key: bytes, error: Exception) -> Corrupted:
        where = f"{self._tree.path}/data.mdb"
        return Corrupted(
            f"{where}: an item of table {self.name} (key {key[:40].hex()}) cannot be decoded: {error}; restore a snapshot",
            file=where,
            offset=0,
        )

    # -- writing ------------------------------------------------------------------------------------------------------

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
        key, image, expires = self.encode(item)
        return self._write(key, image, expires, self._condition(condition, names, values), returns)

    def delete(
        self,
        *key: Any,  # noqa: ANN401 - values of the key's types
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        returns: Returns = "NONE",
    ) -> Item | None:
        """Delete the item with this key, if there is one; otherwise as put."""
        return self._write(self.encode_key(key), None, 0, self._condition(condition, names, values), returns)

    def batch_writer(self) -> "BatchWriter":
        """A context manager with put(item) and delete(*key): one sync at the end, and after every 1,000 of them."""
        return BatchWriter(self)

    def encode_key(self, key: tuple[Any, ...]) -> bytes:
        """The whole encoded key (keyrange.tree_key makes it the tree's). Invalid for wrong types or their number."""
        try:
            return self._encode_key(key)
        except ValueError as error:
            raise Invalid(str(error)) from None

    def encode(self, item: Item) -> tuple[bytes, bytes, int]:
        """(encoded key, image, second of expiry or 0) of an item to be stored."""
        try:
            key = self.keys.encode_from(item, self._key_names)
            ttl = self.definition.ttl
            expires = 0 if ttl is None else expiry(item, ttl, self._clock.now())
            return key, self.codec.encode(item, expires), expires
        except ItemTooLarge as error:
            raise TooLarge(str(error), size=error.size, limit=ITEM_BYTES) from None
        except ValueError as error:
            raise Invalid(str(error)) from None
        except TypeError:
            if isinstance(item, dict):
                raise
            raise Invalid(f"an item is a dict from attribute names to values, got {type(item).__name__}") from None

    def _condition(
        self, text: str | None, names: Mapping[str, str] | None, values: Mapping[str, Any] | None
    ) -> "Holds | None":
        if text is None and names is None and values is None:
            return None
        placeholders = Placeholders(names, values)
        holds = None if text is None else compile_condition(text, placeholders)
        placeholders.done()
        return holds

    def _write(
        self, key: bytes, image: bytes | None, expires: int, holds: "Holds | None", returns: Returns
    ) -> Item | None:
        if returns not in ("NONE", "ALL_OLD"):
            raise Invalid(f'returns is "NONE" or "ALL_OLD", got {returns!r}')
        stored_key = key if len(key) <= LONGEST_PARTITION else tree_key(key, self.keys.types)
        definition = self.definition
        old_item: Item | None = None
        with self._lock:
            if self.names_logged != len(self.codec.names):
                self._store.log_names(self)
            view: Any = self._tree.transaction.get(stored_key, None, self.items.db)
            overdue = False
            if self.due is not None and self._clock.now() >= self.next_due * MICROSECONDS:
                overdue = view is not None and self._expired(view)
                self._sweep(SWEPT_BY_A_WRITE, also=(stored_key, key) if overdue else None)
                if overdue:
                    view = None
                elif view is not None:  # the sweep wrote: the view of before is gone
                    view = self._tree.transaction.get(stored_key, None, self.items.db)
            if holds is not None or returns != "NONE":
                old_item = None if view is None else self._decode(view)
                if holds is not None and not holds(old_item):
                    raise ConditionFailed(
                        f"the condition on the item {self.key_values(key)!r} of table {self.name} is false",
                        item=old_item,
                    )
            if unchanged(view, image):
                sequence = self._log.last
                due = False
            else:
                kept = view if view is None or self._keeps_old else b""
                payload = encode_change(definition.id, key, kept, image)
                sequence = self._log.append(payload, ITEMS_FRAME)
                old_expires = 0 if self.due is None or view is None else item_expires(view)
                try:
                    self.apply(stored_key, image, old_expires, expires)
                except lmdb.MapFullError:
                    self._tree.grow()  # replays the log, this change included
                due = self._tree.note(sequence, len(payload))
        self._log.acknowledge(sequence)
        if due:
            self._store.checkpoint_if_due()
        return old_item if returns == "ALL_OLD" else None

    def apply(self, key: bytes, image: bytes | None, old_expires: int, expires: int) -> None:
        """Put or delete in the tree, and keep the order of expiries."""
        if image is None:
            self._tree.transaction.delete(key, b"", self.items.db)
        else:
            self._tree.transaction.put(key, image, True, True, False, self.items.db)  # noqa: FBT003 - LMDB's positional flags
        if self.due is not None and old_expires != expires:
            if old_expires:
                self.due.delete(due_key(old_expires, key))
            if expires:
                self.due.put(due_key(expires, key), b"")
                self.next_due = min(self.next_due, expires)

    def replay(self, key: bytes, image: bytes | None) -> None:
        """Apply one change again, after a restart."""
        stored_key = tree_key(key, self.keys.types)
        view = self.items.view(stored_key) if self.due is not None else None
        self.apply(stored_key, image, 0 if view is None else item_expires(view), item_expires(image) if image else 0)

    def write_all(self, writes: Sequence[tuple[bytes, bytes | None, int]]) -> int:
        """Log and apply (key, image, expires) in order, a frame for every PAGE_ITEMS of them; the last sequence."""
        sequence = self._log.last
        for start in range(0, len(writes), PAGE_ITEMS):
            with self._lock:
                if self.names_logged != len(self.codec.names):
                    self._store.log_names(self)
                if self.due is not None and self._clock.now() >= self.next_due * MICROSECONDS:
                    self._sweep(PAGE_ITEMS)
                changes: list[tuple[int, bytes, Any, bytes | None, bool]] = []
                applied: list[tuple[bytes, bytes | None, int, int]] = []
                ahead: dict[bytes, bytes | None] = {}
                for key, image, expires in writes[start : start + PAGE_ITEMS]:
                    stored_key = tree_key(key, self.keys.types)
                    old = ahead[stored_key] if stored_key in ahead else self.items.view(stored_key)
                    if unchanged(old, image):
                        continue
                    changes.append(
                        (self.definition.id, key, old if old is None or self._keeps_old else b"", image, False)
                    )
                    applied.append(
                        (stored_key, image, item_expires(old) if self.due is not None and old else 0, expires)
                    )
                    ahead[stored_key] = image
                if changes:
                    sequence = self._store.log_and_apply(self, changes, applied)
        return sequence

    # -- time to live -------------------------------------------------------------------------------------------------

    def expire(self, limit: int | None = None) -> int:
        """Delete what is due now, oldest first, at most `limit` items; how many. See Store.expire."""
        check_limit(limit)
        count = 0
        while self.due is not None and (limit is None or count < limit):
            with self._lock:
                swept = self._sweep(min(SWEPT_AT_ONCE, limit - count if limit is not None else SWEPT_AT_ONCE))
                sequence = self._log.last
            if not swept:
                break
            count += swept
            self._log.acknowledge(sequence)
            self._store.checkpoint_if_due()
        return count

    def _sweep(self, limit: int, also: tuple[bytes, bytes] | None = None) -> int:
        """Under the lock: delete up to `limit` due items, and `also` (tree key, whole key), in one frame; how many."""
        assert self.due is not None  # noqa: S101 - only tables with a ttl are swept
        now = self._clock.now() // MICROSECONDS
        due = self.due.page(None, (now + 1).to_bytes(8, "big"), limit=limit)
        found = {entry[8:]: int.from_bytes(entry[:8], "big") for entry, _ in due}
        if also is not None:
            view = self.items.view(also[0])
            found[also[0]] = 0 if view is None else item_expires(view)
        changes: list[tuple[int, bytes, Any, bytes | None, bool]] = []
        applied: list[tuple[bytes, bytes | None, int, int]] = []
        for stored_key, expires in found.items():
            view = self.items.view(stored_key)
            if view is None:
                continue
            whole = stored_key if len(stored_key) <= LONGEST_PARTITION else self._key_of(view)
            changes.append((self.definition.id, whole, view if self._keeps_old else b"", None, True))
            applied.append((stored_key, None, expires, 0))
        if changes:
            self._store.log_and_apply(self, changes, applied)
        first = self.due.first()
        self.next_due = NEVER if first is None else int.from_bytes(first[0][:8], "big")
        return len(changes)

    def _key_of(self, image: bytes | memoryview) -> bytes:
        return self.keys.encode_from(self._decode(image), self._key_names)

    # -- reading many -------------------------------------------------------------------------------------------------

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
        placeholders = Placeholders(names, values)
        stretch = self._bounds(key_condition, placeholders)
        holds = None if filter is None else compile_condition(filter, placeholders)
        placeholders.done()
        return self._page(stretch, holds, check_limit(limit), start, reverse=reverse, count=count)

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
        placeholders = Placeholders(names, values)
        holds = None if filter is None else compile_condition(filter, placeholders)
        placeholders.done()
        return self._page(Bounds(b"", None, "every item"), holds, check_limit(limit), start, reverse=False, count=count)

    def _bounds(self, key_condition: str, placeholders: Placeholders) -> Bounds:
        definition = self.definition
        asked = compile_key_condition(key_condition, placeholders, definition.partition, definition.sort)
        try:
            return bounds(self.keys, asked, definition.partition, definition.sort)
        except ValueError as error:
            raise Invalid(str(error)) from None

    def _page(
        self,
        stretch: Bounds,
        holds: "Holds | None",
        limit: int | None,
        start: Sequence[Any] | None,
        *,
        reverse: bool,
        count: bool = False,
    ) -> Page:
        low, high = stretch.low, stretch.high
        if start is not None:
            begin = tree_key(self.encode_key(tuple(start)), self.keys.types)
            if begin < low or (high is not None and begin >= high):
                raise Invalid(f"start={tuple(start)!r} is no key of this query: pass the last_key of its page before")
            low, high = (low, begin) if reverse else (begin + b"\x00", high)
        items: list[Item] = []
        scanned = found = size = 0
        last: Item | None = None
        more = True
        while more and scanned != limit and size < PAGE_BYTES:
            with self._lock:
                more = False
                for seen, (key, view) in enumerate(self.items.walk(low, high, reverse=reverse)):
                    if scanned == limit or size >= PAGE_BYTES or seen == PAGE_ITEMS:
                        more = True
                        break
                    low, high = (low, key) if reverse else (key + b"\x00", high)
                    if self.due is not None and self._expired(view):
                        continue
                    try:
                        last = self._decode(view)
                    except ValueError as error:
                        raise self.damaged(key, error) from error
                    scanned += 1
                    size += item_size(view)
                    if holds is None or holds(last):
                        found += 1
                        if not count:
                            items.append(last)

        def read(key: Key) -> Page:
            return self._page(stretch, holds, limit, key, reverse=reverse, count=count)

        last_key = tuple(last[name] for name in self._key_names) if more and last is not None else None
        return Page(items, scanned, last_key, read, count=found)

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
        """Run a query (a scan where no key condition is given) to its end and say what it touched.

        Counters: items examined, returned, bytes examined, pages on the way down the tree, read units (half a unit for
        every 4 KB begun).
        """
        placeholders = Placeholders(names, values)
        stretch = (
            self._bounds(key_condition, placeholders) if key_condition is not None else Bounds(b"", None, "every item")
        )
        holds = None if filter is None else compile_condition(filter, placeholders)
        placeholders.done()
        examined = returned = size = 0
        page: Page | None = self._page(stretch, None, check_limit(limit), None, reverse=reverse)
        while page is not None:
            examined += page.scanned
            returned += sum(1 for item in page.items if holds is None or holds(item))
            size += sum(item_size(self.codec.encode(item)) for item in page.items)
            page = page.next() if limit is None else None
        with self._lock:
            shape = self._tree.transaction.stat(self.items.db)
        units = -(-size // 4096) / 2
        words = f"{stretch.words}{', backwards' if reverse else ''}"
        tree = Plan(
            "Tree",
            f"t/{self.definition.id}, keys from {stretch.low.hex() or 'the first'} to {(stretch.high or b'').hex() or 'the last'}",
            {
                "depth_pages": int(shape["depth"]),
                "leaf_pages": int(shape["leaf_pages"]),
                "entries": int(shape["entries"]),
            },
        )
        range_ = Plan(
            "Range" if key_condition else "Full scan",
            words,
            {"items_examined": examined, "bytes_examined": size},
            [tree],
        )
        if filter is not None:
            cost = "" if returned else "; it still read them all"
            range_ = Plan("Filter", f"{filter}{cost}", {"items_in": examined, "items_out": returned}, [range_])
        return Plan(
            "Query" if key_condition else "Scan",
            self.name,
            {"items_returned": returned, "items_examined": examined, "read_units": units},
            [range_],
        )

    # -- the change stream --------------------------------------------------------------------------------------------

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
        """Key, ttl, stream and the number of items, as plain values."""
        with self._lock:
            count = self.items.count()
        definition = self.definition
        return {
            "name": self.name,
            "key": [f"{part.name}:{part.type}" for part in definition.key],
            "ttl": definition.ttl,
            "stream": definition.stream,
            "items": count,
            "created": definition.created,
        }

    def key_values(self, key: bytes) -> Key:
        """The key attributes' values, from a whole encoded key."""
        return self.keys.decode(key)

    # -- what the store and the journal ask of a table ----------------------------------------------------------------

    def acknowledge(self, sequence: int) -> None:
        """Wait as the store's durability says, then make a checkpoint if one is due."""
        self._log.acknowledge(sequence)
        self._store.checkpoint_if_due()

    def relearn(self, names: list[str]) -> None:
        """Take over the attribute names of a replayed frame."""
        self.codec = ItemCodec(names)
        self._decode = self.codec.decode
        self._read = self._reader()
        self.names_logged = len(names)

    def encode_stored(self, image: bytes) -> tuple[bytes, bytes, int]:
        """A stored image, decoded and encoded again: (whole key, image, second of expiry). ValueError if it makes no sense."""
        item = self._decode(image)
        expires = item_expires(image)
        return self.keys.encode_from(item, self._key_names), self.codec.encode(item, expires), expires

    def dropped(self) -> None:
        """From now on every use says that the table is gone."""
        gone = NotFound(f"table {self.name} was dropped")
        self._tree = self._lock = self._log = Gone(gone)  # type: ignore[assignment] # whoever touches it hears why
        self._read = Gone(gone)  # type: ignore[assignment] # same

    def __repr__(self) -> str:
        keys = ", ".join(f"{part.name}:{part.type}" for part in self.definition.key)
        return f"<kv.Table {self.name} ({keys})>"


class BatchWriter:
    """Collects writes and stores them a thousand at a time, in order: a later one to the same key wins.

    Each is checked at once. What an exception leaves behind in the block is not written; what was flushed stays.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._writes: list[tuple[bytes, bytes | None, int]] = []

    def put(self, item: Item) -> None:
        self._add(self._table.encode(item))

    def delete(self, *key: Any) -> None:  # noqa: ANN401 - values of the key's types
        self._add((self._table.encode_key(key), None, 0))

    def _add(self, write: tuple[bytes, bytes | None, int]) -> None:
        self._writes.append(write)
        if len(self._writes) >= BATCH_ITEMS:
            self.flush()

    def flush(self) -> None:
        """Write what was collected; on disk when it returns."""
        writes, self._writes = self._writes, []
        if writes:
            self._table.acknowledge(self._table.write_all(writes))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
