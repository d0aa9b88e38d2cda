"""The records of one table: how its items lie in the tree, and the one way by which they change.

    t/ID    key (keyrange.py) -> item image (_native/kvitem.pyx)
    x/ID    second of expiry, u64 big-endian | key -> nothing            only in tables with a time to live (ttl.py)

A write's way, under the store's lock: read the old item, check the condition on it, append one frame with what changes
to the log, apply it to the tree. Then the lock is let go, and the write waits for the log's sync, which one waiting
thread does for all. Where the stream shows old images, an item in the tree is stamped with the frame that wrote it,
and the next change names that frame instead of repeating the image, as long as the log is sure to keep it. All that
can be refused is refused before the append. Should anything stop a write after it (the map is full, Ctrl-C), the tree
is rebuilt from the log, which has the frame.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from engines._native.keys import KeyCodec
from engines._native.kvframe import encode_changes
from engines._native.kvitem import ItemCodec, ItemTooLarge, item_expires
from engines._native.kvpoint import PointReader, PointWriter
from engines._native.kvstamp import unchanged
from engines.clock import MICROSECONDS
from engines.errors import ConditionFailed, Corrupted, Invalid, NotFound, TooLarge
from engines.kv.catalog import ITEMS_FRAME, Definition
from engines.kv.keyrange import LONGEST_PARTITION, SHORTEST_CUT, tree_key
from engines.kv.page import Item, Key, check_limit
from engines.kv.ttl import NEVER, SWEPT_AT_ONCE, SWEPT_BY_A_WRITE, due_key, expiry
from engines.kv.values import ITEM_BYTES, PAGE_ITEMS
from engines.storage.tree import Gone, Keyspace

if TYPE_CHECKING:
    from engines.kv.expressions import Holds
    from engines.kv.store import Store

Returns = Literal["NONE", "ALL_OLD"]
Write = tuple[bytes, bytes | None, int]  # whole key, image (None: delete), second of expiry
LoggedChange = tuple[int, bytes, Any, bytes | None, bool]  # table, whole key, old image or its frame, new, expired
Applied = tuple[bytes, bytes | None, int, int]  # the tree's key, new image, expiry before, expiry after


class Records:
    """The lower half of a Table: bytes, keys, log and tree. Nothing here knows expressions or pages."""

    def __init__(self, store: "Store", definition: Definition, names: list[str]) -> None:
        self.definition = definition
        self.keys = KeyCodec("".join(part.type for part in definition.key))
        self.items: Keyspace = store.tree.keyspace(f"t/{definition.id}")
        self.next_due = NEVER  # the second in which the first item expires
        self.due: Keyspace | None = store.tree.keyspace(f"x/{definition.id}") if definition.ttl else None
        self.lock = store.tree.lock
        self._store = store
        self._tree = store.tree
        self._log = store.log
        self._clock = store.clock
        self._encode_key = self.keys.encode
        self._key_names = definition.key_names
        self._ttl = definition.ttl
        self._id = definition.id
        self._keeps_old = definition.stream in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES")
        self._note_first_due()
        self.learn(names)

    def learn(self, names: list[str]) -> None:
        """Take over the table's attribute names, in the order of their numbers."""
        self.codec = ItemCodec(names)
        self.names_logged = len(names)
        self.decode = self.codec.decode
        now = None if self.due is None else self._clock.now
        shorten = partial(tree_key, types=self.keys.types)
        reader = PointReader(
            self._encode_key, self.decode, self.lock, self._tree, self.items, now, shorten, LONGEST_PARTITION
        )
        self.read: Callable[[Key], Item | None] = reader.get
        self._writer = PointWriter(
            self,
            self.lock,
            self._tree,
            self.items,
            self._log,
            self.codec.names,
            self._store.references,
            shorten,
            LONGEST_PARTITION,
            self._id,
            ITEMS_FRAME,
            self._keeps_old,
            self.due is not None,
        )
        self.write = self._writer.write

    def relearn(self, names: list[str]) -> None:
        """Take over what a replayed frame says; whoever knows these names already may have learnt more since."""
        if self.codec.names[: len(names)] != names:
            self.learn(names)
        self.names_logged = max(self.names_logged, len(names))

    # -- keys and images ----------------------------------------------------------------------------------------------

    def encode_key(self, key: Key) -> bytes:
        """The whole encoded key (tree_key makes it the tree's). Invalid for wrong types or their number."""
        try:
            return self._encode_key(key)
        except ValueError as error:
            raise Invalid(str(error)) from None

    def stored_key(self, key: bytes) -> bytes:
        return key if len(key) <= LONGEST_PARTITION else tree_key(key, self.keys.types)

    def encode(self, item: Item) -> Write:
        """An item to be stored. Invalid or TooLarge, with the attribute's name, if it can not be."""
        try:
            key = self.keys.encode_from(item, self._key_names)
            expires = 0 if self._ttl is None else expiry(item, self._ttl, self._clock.now())
            return key, self.codec.encode(item, expires), expires
        except ItemTooLarge as error:
            raise TooLarge(str(error), size=error.size, limit=ITEM_BYTES) from None
        except ValueError as error:
            raise Invalid(str(error)) from None
        except TypeError:
            if isinstance(item, dict):
                raise
            raise Invalid(f"an item is a dict from attribute names to values, got {type(item).__name__}") from None

    def encode_stored(self, image: bytes) -> Write:
        """A stored image, decoded and encoded again. ValueError if it makes no sense."""
        item = self.decode(image)
        expires = item_expires(image)
        return self.keys.encode_from(item, self._key_names), self.codec.encode(item, expires), expires

    def expired(self, image: bytes | memoryview) -> bool:
        expires = item_expires(image)
        return expires != 0 and expires * MICROSECONDS <= self._clock.now()

    def damaged(self, key: bytes, error: Exception) -> Corrupted:
        where = f"{self._tree.path}/data.mdb"
        return Corrupted(
            f"{where}: an item of table {self.definition.name} (key {key[:40].hex()}) cannot be decoded: {error}; "
            "restore a snapshot",
            file=where,
            offset=0,
        )

    # -- writing ------------------------------------------------------------------------------------------------------

    def log_names(self) -> None:
        """Under the lock: make the attribute names learnt durable before an item uses them."""
        self._store.log_names(self)

    def sweep_before(self, stored_key: bytes) -> None:
        """Under the lock, before a write to this key: delete an expired item there, and a few others that are due."""
        if self._clock.now() >= self.next_due * MICROSECONDS:
            view = self.items.view(stored_key)
            self._sweep(SWEPT_BY_A_WRITE, also=stored_key if view is not None and self.expired(view) else None)

    def checked(self, key: bytes, view: memoryview | None, holds: "Holds | None") -> Item | None:
        """The stored item, on which the condition holds. ConditionFailed if it does not."""
        try:
            item = None if view is None else self.decode(view)
        except ValueError as error:
            raise self.damaged(key, error) from error
        if holds is not None and not holds(item):
            raise ConditionFailed(
                f"the condition on the item {self.keys.decode(key)!r} of table {self.definition.name} is false: "
                "nothing was changed; .item is what stands there",
                item=item,
            )
        return item

    def reschedule(self, stored_key: bytes, old_expires: int, expires: int) -> None:
        """Under the lock: keep the order of expiries."""
        assert self.due is not None  # noqa: S101 - only tables with a time to live are rescheduled
        if old_expires:
            self.due.delete(due_key(old_expires, stored_key))
        if expires:
            self.due.put(due_key(expires, stored_key), b"")
            self.next_due = min(self.next_due, expires)

    def mend(self, error: BaseException, before: int) -> int:
        """Under the lock, after a write failed: see Store.mend."""
        return self._store.mend(error, before)

    def checkpoint_if_due(self) -> None:
        self._store.checkpoint_if_due()

    def write_all(self, writes: Sequence[Write]) -> None:
        """Put and delete in order, a frame for every PAGE_ITEMS of them, and wait once, at the end."""
        sequence = self._log.last
        for start in range(0, len(writes), PAGE_ITEMS):
            with self.lock:
                if self.names_logged != len(self.codec.names):
                    self._store.log_names(self)
                if self.due is not None and self._clock.now() >= self.next_due * MICROSECONDS:
                    while self._sweep(SWEPT_AT_ONCE):
                        pass
                sequence = self._write_together(writes[start : start + PAGE_ITEMS])
        self._log.acknowledge(sequence)
        self._store.checkpoint_if_due()

    def _write_together(self, writes: Sequence[Write]) -> int:
        changes: list[LoggedChange] = []
        applied: list[Applied] = []
        ahead: dict[bytes, bytes | None] = {}  # what this frame itself has put there: a key may come twice
        for key, image, expires in writes:
            stored_key = self.stored_key(key)
            old: Any = ahead[stored_key] if stored_key in ahead else self.items.view(stored_key)
            if unchanged(old, image):
                continue
            kept = None if old is None else self._writer.old(old)
            changes.append((self._id, key, kept, image, False))
            applied.append((stored_key, image, 0 if self.due is None or old is None else item_expires(old), expires))
            ahead[stored_key] = image
        return self._log_and_apply(changes, applied) if changes else self._log.last

    def _log_and_apply(self, changes: list[LoggedChange], applied: list[Applied]) -> int:
        """One frame for changes that happen together, then the tree; the frame's sequence."""
        before = self._log.last
        payload = encode_changes(changes)
        try:
            sequence = self._log.append(payload, ITEMS_FRAME)
            for change in applied:
                self._writer.apply(*change, sequence)
            self._tree.note(sequence, len(payload), len(applied))
        except BaseException as error:  # noqa: BLE001 - as in write
            sequence = self._store.mend(error, before)
        return sequence

    def replay(self, key: bytes, image: bytes | None, sequence: int) -> None:
        """Apply one change of the frame `sequence` again."""
        stored_key = self.stored_key(key)
        view = None if self.due is None else self.items.view(stored_key)
        old_expires = 0 if view is None else item_expires(view)
        self._writer.apply(stored_key, image, old_expires, 0 if image is None else item_expires(image), sequence)

    # -- time to live -------------------------------------------------------------------------------------------------

    def expire(self, limit: int | None = None) -> int:
        """Delete what is due now, oldest first, at most `limit` items; how many."""
        check_limit(limit)
        count = 0
        while self.due is not None and count != limit:
            with self.lock:
                swept = self._sweep(SWEPT_AT_ONCE if limit is None else min(SWEPT_AT_ONCE, limit - count))
                sequence = self._log.last
            if not swept:
                break
            count += swept
            self._log.acknowledge(sequence)
            self._store.checkpoint_if_due()
        return count

    def _sweep(self, limit: int, also: bytes | None = None) -> int:
        """Under the lock: delete up to `limit` due items, and the one under `also`, in one frame; how many."""
        assert self.due is not None  # noqa: S101 - only tables with a time to live are swept
        second = self._clock.now() // MICROSECONDS + 1
        keys = [entry[8:] for entry, _ in self.due.page(None, second.to_bytes(8, "big"), limit=limit)]
        if also is not None and also not in keys:
            keys.append(also)
        changes: list[LoggedChange] = []
        applied: list[Applied] = []
        for stored_key in keys:
            view = self.items.view(stored_key)
            if view is None:
                raise self.damaged(stored_key, ValueError("it is listed as expiring, but is not there"))
            key = stored_key if len(stored_key) < SHORTEST_CUT else self._key_of(view)
            changes.append((self._id, key, self._writer.old(view), None, True))
            applied.append((stored_key, None, item_expires(view), 0))
        if changes:
            self._log_and_apply(changes, applied)
        self._note_first_due()
        return len(changes)

    def _key_of(self, image: memoryview) -> bytes:
        return self.keys.encode_from(self.decode(image), self._key_names)

    def _note_first_due(self) -> None:
        first = None if self.due is None else self.due.first()
        self.next_due = NEVER if first is None else int.from_bytes(first[0][:8], "big")

    def drop(self) -> None:
        """From now on every use says that the table is gone."""
        gone = Gone(NotFound(f"table {self.definition.name} was dropped"))
        self.lock = self._tree = self._log = self.read = self.write = gone  # type: ignore[assignment] # whoever touches it hears why
