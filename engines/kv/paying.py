"""Paying for writes: units are taken before the log hears of a change, and given back if it never does.

    cost     the table: the larger of old and new item | each index: the entries that have to follow      records.py
    take     from the table's bucket, or Throttled and nothing taken                                      throttle.py
    done     added to the caller's kv.Consumed; on any exception given back instead

One write takes and gives back by itself (kvpoint.pyx); several, whether they happen together or not, are Payments.
Reads pay afterwards, for what they have read; before they need only find a bucket that is not empty.
"""

from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from engines._native.keys import KeyCodec
from engines._native.kvitem import item_size
from engines.kv.catalog import Definition, Index
from engines.kv.keyrange import SHORTEST_CUT
from engines.kv.page import Item
from engines.kv.throttle import Capacity, Consumed, read_units, write_units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engines.kv.indexes import IndexEntries
    from engines.kv.records import Records
    from engines.kv.scaling import Scaler
    from engines.kv.store import Store


class Cost(NamedTuple):
    """Write units: the table's, and those of the indexes that have to follow."""

    table: float
    indexes: list[tuple[Index, float]]

    @property
    def total(self) -> float:
        return self.table + sum(units for _, units in self.indexes)

    def add_to(self, consumed: Consumed | None, name: str) -> None:
        """To what a caller wants to know of the table `name`."""
        if consumed is not None:
            consumed.add(name, write=self.table)
            for index, units in self.indexes:
                consumed.add(name, write=units, index=index.name, local=index.local)


class Metered:
    """What a table's Records know of units: its buckets, who scales them, what a read or a write costs."""

    definition: Definition
    keys: KeyCodec
    indexes: "Mapping[str, IndexEntries]"
    capacity: Capacity | None = None
    scaler: "Scaler | None" = None
    _store: "Store"

    def with_item(self, image: bytes | memoryview | None) -> tuple[Item | None, bytes | None]:
        """The item in an image, as far as indexes look at it, and the image without a stamp."""
        raise NotImplementedError

    def tick_if_due(self) -> None:
        """Not under the lock, before an operation: where rates follow the load, do what the last minutes ask for."""
        if self.scaler is not None:
            self._store.ticks.if_due()

    def give_back(self, cost: Cost, stored_key: bytes) -> None:
        """Undo charge_write: the change has not happened."""
        if self.capacity is not None:
            self.capacity.give_back(cost.total, self._partition(stored_key))

    def check_read(self, stored_key: bytes | None) -> None:
        """Before a read of this item, or of many: Throttled if no units are left."""
        if self.capacity is not None:
            self.capacity.check(None if stored_key is None else self._partition(stored_key))

    def _partition(self, stored_key: bytes) -> object:
        """The partition key's value, where units are counted for each."""
        if self.capacity is None or not self.capacity.partition_limits:
            return None
        try:
            return self.keys.decode(stored_key)[0]
        except ValueError:  # a long partition key that was cut: what is left of it tells it from others
            return stored_key[:SHORTEST_CUT]

    def charge_write(
        self,
        stored_key: bytes,
        old: bytes | memoryview | None,
        image: bytes | memoryview | None,
        *,
        transaction: bool = False,
    ) -> Cost:
        """Under the lock, before anything is written: pay for it. Throttled, with nothing taken, if there is less.

        The larger of old and new item counts, and each index entry that changes.
        """
        size = max(0 if old is None else item_size(old), 0 if image is None else item_size(image))
        shares = []
        if self.indexes:
            pair = self.with_item(old), self.with_item(image)
            for index in self.indexes.values():
                units = sum(write_units(n, transaction=transaction) for n in index.written(stored_key, *pair))
                if units:
                    shares.append((index.definition, units))
        cost = Cost(write_units(size, transaction=transaction), shares)
        if self.capacity is not None:
            self.capacity.take(cost.total, self._partition(stored_key))
            if self.scaler is not None:
                self.scaler.observe()
        return cost

    def charge_read(
        self,
        size: int,
        consumed: Consumed | None,
        *,
        consistent: bool,
        transaction: bool = False,
        index: "IndexEntries | None" = None,
        stored_key: bytes | None = None,
    ) -> float:
        """Pay for bytes that have been read; the units."""
        units = read_units(size, consistent=consistent, transaction=transaction)
        if self.capacity is not None:
            self.capacity.charge(units, None if stored_key is None else self._partition(stored_key))
            if self.scaler is not None:
                self.scaler.observe()
        if consumed is not None:
            name, local = (None, False) if index is None else (index.definition.name, index.definition.local)
            consumed.add(self.definition.name, read=units, index=name, local=local)
        return units


class Payments:
    """What several changes cost. As a context manager around writing them: an exception gives all of it back."""

    def __init__(self, consumed: Consumed | None = None) -> None:
        self._consumed = consumed
        self._taken: list[tuple[Records, Cost, bytes]] = []

    def take(
        self, records: "Records", key: bytes, image: bytes | memoryview | None, *, transaction: bool = False
    ) -> None:
        """Under the lock: pay for this image under this whole key. Throttled, with nothing more taken."""
        if self._consumed is None and records.capacity is None:
            return  # nobody asks
        stored_key = records.stored_key(key)
        cost = records.charge_write(stored_key, records.view(stored_key), image, transaction=transaction)
        self._taken.append((records, cost, stored_key))

    def give_back(self) -> None:
        """All that was taken: the changes have not happened."""
        for records, cost, stored_key in self._taken:
            records.give_back(cost, stored_key)
        self._taken.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.give_back()
        for records, cost, _ in self._taken:
            cost.add_to(self._consumed, records.definition.name)
