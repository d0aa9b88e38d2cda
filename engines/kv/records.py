"""The records of one table: how its items lie in the tree, and the one way by which they change.

    t/ID    stored key (keyrange.py) -> item image (_native/kvitem.pyx)
    x/ID    second of expiry, u64 big-endian | stored key -> nothing     only in tables with a time to live (ttl.py)
    i/ID    index key | stored key -> what an index holds of the item    a keyspace for each index (indexes.py)

A write's way, under the store's lock: read the old item, check the condition on it, append one frame with what changes
to the log, apply it to the tree. Then the lock is let go, and the write waits for the log's sync, which one waiting
thread does for all. One item goes through the compiled PointWriter; what happens together (batch, transaction, sweep)
goes through frames.py, and shares a frame. What it costs is in paying.py. Where the stream shows old images, an item in
the tree is stamped with the frame that wrote it, and the next change names that frame instead of repeating the image,
as long as the log is sure to keep it. All that can be refused is refused before the append. Should anything stop a
write after it (the map is full, Ctrl-C), the tree is rebuilt from the log, which has the frame.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from engines._native.keys import KeyCodec
from engines._native.kvitem import ItemCodec, ItemTooLarge, item_expires, item_size
from engines._native.kvpoint import PointReader, PointWriter
from engines._native.kvstamp import unstamped
from engines.clock import MICROSECONDS
from engines.errors import ConditionFailed, Corrupted, EngineError, Invalid, NotFound, Throttled, TooLarge
from engines.kv import catalog
from engines.kv.catalog import ITEMS_FRAME, Definition
from engines.kv.indexes import IndexEntries, no_index
from engines.kv.keyrange import LONGEST_PARTITION, to_stored, to_whole
from engines.kv.page import Item, Key, check_limit
from engines.kv.paying import Metered, Payments
from engines.kv.scaling import Scaler
from engines.kv.throttle import Capacity, Consumed
from engines.kv.ttl import NEVER, SWEPT_AT_ONCE, SWEPT_BY_A_WRITE, due_key, expiry
from engines.kv.values import HOLD_ITEMS, ITEM_BYTES, right_call
from engines.storage.keyspace import rest
from engines.storage.tree import Gone, Keyspace

if TYPE_CHECKING:
    from engines.kv.expressions import Holds
    from engines.kv.store import Store


ITEM_SHOWN = "; .item is what stands there"  # ends what a failed condition says; access/guard.py may hide the item
UNCHANGED = ": nothing was changed" + ITEM_SHOWN


class Write(NamedTuple):
    """One item to be put, or deleted where image is None: its whole key, and the second in which it expires."""

    records: "Records"
    key: bytes
    image: bytes | None
    expires: int = 0
    expired: bool = False  # a deletion because its time is over


class Records(Metered):
    """The lower half of a Table: bytes, keys, log and tree. Nothing here knows expressions or pages."""

    def __init__(self, store: "Store", definition: Definition, names: list[str]) -> None:
        self.keys = KeyCodec(definition.key_types)
        self.items: Keyspace = store.tree.keyspace(f"t/{definition.id}")
        self.lock = store.tree.lock
        self._store = store
        self._tree = store.tree
        self._log = store.log
        self._clock = store.clock
        self._encode_key = self.keys.encode
        self.key_names = definition.key_names
        self._id = definition.id
        self.codec = ItemCodec(names)
        self.names_logged = len(names)
        shorten = partial(to_stored, types=self.keys.types)
        self.reader = PointReader(self.keys, self.codec.decode, self.lock, self.items, shorten, LONGEST_PARTITION)
        self.writer = PointWriter(
            self,
            self.lock,
            self._tree,
            self.items,
            self._log,
            self.codec.names,
            store.references,
            shorten,
            LONGEST_PARTITION,
            self._id,
            ITEMS_FRAME,
        )
        self.write = self.writer.write
        self.capacity: Capacity | None = None
        self.scaler: Scaler | None = None
        self.indexes: dict[str, IndexEntries] = {}
        self.next_due = NEVER  # the second in which the first item expires
        self.define(definition)

    def define(self, definition: Definition) -> None:
        """Take over the table's definition, new or changed."""
        self.definition = definition
        self._ttl = definition.ttl
        self.hides = definition.hides
        self.due: Keyspace | None = self._tree.keyspace(f"x/{definition.id}") if definition.ttl else None
        self._note_first_due()
        self.writer.keeps_old = definition.stream in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES")
        self.writer.expires, self.writer.sweeps = self.due is not None, self.hides
        self._set_capacity()
        if catalog.companion_of(definition.name) is not None:
            self.write = self._refuse
        self.learn(self.codec)

    def _set_capacity(self) -> None:
        read, write, limits = self.definition.read, self.definition.write, self.definition.partition_limits
        if read is None and not limits:
            self.capacity = None
        elif self.capacity is None or self.capacity.partition_limits != limits:
            self.capacity = Capacity(read, write, self._clock, partition_limits=limits)
        else:
            self.capacity.set_rates(read, write)
        self.reader.metered = self.writer.metered = self.capacity is not None
        if self.capacity is None or read is None or not (self.definition.read_scaling or self.definition.write_scaling):
            self.scaler = None
            self.write = self.writer.write
        else:
            self.scaler = self.scaler or Scaler(self._clock)
            self.scaler.follow(self.definition, self.capacity)
            self.write = self._write_at_scale

    def learn(self, codec: ItemCodec) -> None:
        """Take over a codec with the table's attribute names, in the order of their numbers."""
        self.codec, definition = codec, self.definition
        self.decode = self.reader.decode = codec.decode
        self.reader.now = self._clock.now if self.hides else None
        self.writer.names = codec.names
        self.indexes = {
            index.name: IndexEntries(index, self.key_names, self._tree, codec) for index in definition.indexes
        }
        self.writer.indexed = bool(self.indexes)
        self._indexed_names = frozenset(name for index in self.indexes.values() for name in index.looks_at)

    def relearn(self, names: list[str]) -> None:
        """Take over what a replayed frame says; whoever knows these names already may have learnt more since."""
        if self.codec.names[: len(names)] != names:
            self.learn(ItemCodec(names))
        self.names_logged = max(self.names_logged, len(names))

    def index(self, name: str) -> IndexEntries:
        """NotFound offers the nearest one."""
        if not isinstance(name, str):
            raise Invalid(f"index is the name of one, got {name!r:.80}")
        if name not in self.indexes:
            raise no_index(self.definition.name, name, self.indexes)
        return self.indexes[name]

    # -- keys and images ----------------------------------------------------------------------------------------------

    def encode_key(self, key: Key) -> bytes:
        """The whole key. Invalid for wrong types or their number."""
        try:
            return self._encode_key(key)
        except ValueError as error:
            hint = right_call(self.definition.name, self.definition.key, key)
            raise Invalid(f"{error}{hint}") from None

    def key_item(self, key: bytes) -> Item:
        """The key attributes of a whole key."""
        return dict(zip(self.key_names, self.keys.decode(key), strict=True))

    def stored_key(self, key: bytes) -> bytes:
        """The stored key of a whole one (keyrange.py)."""
        return key if len(key) <= LONGEST_PARTITION else to_stored(key, self.keys.types)

    def whole_key(self, stored_key: bytes, image: bytes | memoryview) -> bytes:
        """The whole key of a stored one, under which this image stands."""
        return to_whole(stored_key, lambda: self.keys.encode_from(self.decode(image), self.key_names))

    def encode(self, item: Item) -> Write:
        """An item to be stored. Invalid or TooLarge, with the attribute's name, if it can not be."""
        try:
            key = self.keys.encode_from(item, self.key_names)
        except ValueError as error:
            raise Invalid(str(error)) from None
        except TypeError:
            if isinstance(item, dict):
                raise
            raise Invalid(f"an item is a dict from attribute names to values, got {type(item).__name__}") from None
        image, expires = self.encode_image(item)
        return Write(self, key, image, expires)

    def encode_image(self, item: Item) -> tuple[bytes, int]:
        """The image of an item whose key is known to be right, and when it expires. Invalid, TooLarge."""
        try:
            expires = 0 if self._ttl is None else expiry(item, self._ttl, self._clock.now())
            image = self.codec.encode(item, expires)
        except ItemTooLarge as error:
            raise TooLarge(str(error), size=error.size, limit=ITEM_BYTES) from None
        except ValueError as error:
            raise Invalid(str(error)) from None
        if self.indexes:
            for index in self.indexes.values():
                index.check(item)
        return image, expires

    def encode_stored(self, image: bytes) -> Write:
        """A stored image, decoded and encoded again. ValueError if it makes no sense."""
        item = self.decode(image)
        expires = item_expires(image)
        return Write(self, self.keys.encode_from(item, self.key_names), self.codec.encode(item, expires), expires)

    def expired(self, image: bytes | memoryview) -> bool:
        """Whether an item is not there any more, although it has not been deleted yet."""
        expires = item_expires(image) if self.hides else 0
        return expires != 0 and expires * MICROSECONDS <= self._clock.now()

    def second(self) -> int:
        """Items that expire in this second or before are not there; 0 where all are."""
        return self._clock.now() // MICROSECONDS if self.hides else 0

    def view(self, stored_key: bytes) -> memoryview | None:
        """Under the lock: the image of an item that is there and not expired, valid until the next write. Corrupted."""
        view = self.items.view(stored_key)
        try:
            return None if view is None or self.expired(view) else view
        except ValueError as error:
            raise self.damaged(stored_key, error) from error

    def damaged(self, key: bytes, error: Exception) -> Corrupted:
        where = f"{self._tree.path}/data.mdb"
        return Corrupted(
            f"{where}: an item of table {self.definition.name} (key {key[:40].hex()}) cannot be decoded: {error}; "
            "restore a snapshot",
            file=where,
            offset=0,
        )

    def read_error(self, key: Key, error: Exception) -> Exception:
        """What to raise where a read failed: it was the key's fault, or there is damage."""
        try:
            encoded = self.encode_key(key)
        except EngineError as reason:
            return reason
        return self.damaged(encoded, error)

    def wait(self) -> None:
        """Until all that was read or written is on disk."""
        self._log.sync()

    # -- writing one item ---------------------------------------------------------------------------------------------

    def log_names(self) -> None:
        """Under the lock: make the attribute names learnt durable before an item uses them."""
        self._store.frames.log_names(self)

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
                f"the condition on the item {self.keys.decode(key)!r} of table {self.definition.name} is false"
                + UNCHANGED,
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

    def checkpoint_if_due(self) -> None:
        """After a write, the lock let go: see Store."""
        self._store.checkpoint_if_due()

    def reindex(self, stored_key: bytes, image: bytes | None) -> None:
        """Under the lock, before an item changes in the tree: let the indexes follow."""
        old, new = self.with_item(self.items.view(stored_key)), self.with_item(image)
        for index in self.indexes.values():
            index.change(stored_key, old, new)

    def with_item(self, image: bytes | memoryview | None) -> tuple[Item | None, bytes | None]:
        """The image, without a stamp, and the item in it, as far as indexes look at it."""
        if image is None:
            return None, None
        return self.codec.decode_some(image, self._indexed_names), unstamped(image)

    def fill_index(self, number: int, low: bytes, limit: int) -> bytes | None:
        """Under the lock: enter the items from this key on, at most `limit`; where to go on, None at the end."""
        index = next((index for index in self.indexes.values() if index.definition.id == number), None)
        if index is None:
            raise NotFound(f"an index of table {self.definition.name} was dropped while it was being filled")
        entries = self.items.page(low, None, limit=limit)
        size = 0
        for stored_key, stored in entries:
            item, image = self.with_item(stored)
            place, content = index.entry(item, image, stored_key)
            if place is not None:
                index.entries.put(place, content)
                size += len(place) + len(content)
        self._tree.note(self._tree.applied, size, len(entries))
        return rest(entries)

    # -- paying -------------------------------------------------------------------------------------------------------

    def _write_at_scale(self, *arguments: Any, **more: Any) -> Item | None:  # noqa: ANN401 - those of PointWriter.write
        self.tick_if_due()
        return self.writer.write(*arguments, **more)

    def check_writable(self) -> None:
        """Before a user's write: Invalid where a replica keeps this table."""
        catalog.refuse_companion(self.definition.name)

    def _refuse(self, *_: Any, **__: Any) -> Item | None:  # noqa: ANN401 - those of PointWriter.write
        self.check_writable()
        return None

    def read_paying(
        self,
        key: bytes,
        consumed: Consumed | None,
        *,
        consistent: bool,
        transaction: bool = False,
        may_read: bool = False,
    ) -> Item | None:
        """Under the lock: the item under this whole key, paid for. Throttled if no units are left.

        may_read: check_read() has said so already.
        """
        stored_key = self.stored_key(key)
        if not may_read:
            self.check_read(stored_key)
        view = self.view(stored_key)
        item = self.checked(key, view, None)
        size = 0 if view is None else item_size(view)
        self.charge_read(size, consumed, consistent=consistent, transaction=transaction, stored_key=stored_key)
        return item

    # -- writing many -------------------------------------------------------------------------------------------------

    def write_all(self, writes: Sequence[Write], *, free: bool = False) -> None:
        """Put and delete in order, a frame for every HOLD_ITEMS of them, and wait once, at the end.

        Throttled where units run out on the way: what was paid for is written, `.written` of them. free: an import or
        a restore costs no units.
        """
        self.check_writable()
        self.tick_if_due()
        sequence, written = self._log.last, 0
        refused: Throttled | None = None
        while written < len(writes) and refused is None:
            page = writes[written : written + HOLD_ITEMS]
            with self.lock, Payments() as payments:
                self.sweep_due()
                for number, write in enumerate(() if free else page):
                    try:
                        payments.take(self, write.key, write.image)
                    except Throttled as error:
                        page, refused = page[:number], error
                        break
                sequence = self._store.frames.write_together(page)
                written += len(page)
        self._log.acknowledge(sequence)
        self._store.checkpoint_if_due()
        if refused is not None:
            raise Throttled(
                f"{written} of {len(writes)} were written, the others are kept: flush() again later ({refused})",
                written=written,
                retry_after=refused.details["retry_after"],
            )

    def replay(self, key: bytes, image: bytes | None, sequence: int) -> None:
        """Apply one change of the frame `sequence` again."""
        stored_key = self.stored_key(key)
        view = None if self.due is None else self.items.view(stored_key)
        old_expires = 0 if view is None else item_expires(view)
        self.writer.apply(stored_key, image, old_expires, 0 if image is None else item_expires(image), sequence)

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
            self._store.let_others()
        return count

    def sweep_due(self) -> None:
        """Under the lock: delete all that is due, so that what is read now is what a reader would see."""
        if self.hides and self._clock.now() >= self.next_due * MICROSECONDS:
            while self._sweep(SWEPT_AT_ONCE):
                pass

    def _sweep(self, limit: int, also: bytes | None = None) -> int:
        """Under the lock: delete up to `limit` due items, and the one under `also`, in one frame; how many."""
        assert self.due is not None  # noqa: S101 - only tables with a time to live are swept
        second = self._clock.now() // MICROSECONDS + 1
        keys = [entry[8:] for entry, _ in self.due.page(None, second.to_bytes(8, "big"), limit=limit)]
        if also is not None and also not in keys:
            keys.append(also)
        writes = []
        for stored_key in keys:
            view = self.items.view(stored_key)
            if view is None:
                raise self.damaged(stored_key, ValueError("it is listed as expiring, but is not there"))
            writes.append(Write(self, self.whole_key(stored_key, view), None, 0, expired=True))
        if writes:
            self._store.frames.write_together(writes)
        self._note_first_due()
        return len(writes)

    def _note_first_due(self) -> None:
        first = None if self.due is None else self.due.first()
        self.next_due = NEVER if first is None else int.from_bytes(first[0][:8], "big")

    def drop(self) -> None:
        """From now on every use says that the table is gone."""
        gone = Gone(NotFound(f"table {self.definition.name} was dropped"))
        self.lock = self._tree = self._log = gone  # type: ignore[assignment] # the same
