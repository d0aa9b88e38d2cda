"""Paying for writes: units are taken before the log hears of a change, and given back if it never does.

    cost     the table: the larger of old and new item | each index: the entries that have to follow      records.py
    take     from the table's bucket, or Throttled and nothing taken                                      throttle.py
    done     added to the caller's kv.Consumed; on any exception given back instead

One write takes and gives back by itself (kvpoint.pyx); several, whether they happen together or not, are Payments.
"""

from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from engines.kv.catalog import Index
from engines.kv.throttle import Consumed

if TYPE_CHECKING:
    from engines.kv.records import Records


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
