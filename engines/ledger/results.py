"""What a ledger answers with: values of PartiQL, which differ in their fields, and are a table all the same.

Iterating gives the values themselves: dicts for SELECT *, anything for SELECT VALUE. As a table they have a column for
each field that any of them has, None where one has not.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, SupportsIndex

from engines.display import Table
from engines.ledger.ids import ID_BYTES, show
from engines.rows import Column

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Result(Table):
    """The values that a statement gives, in order; also a Table. stats: what answering touched."""

    def __init__(self, values: Iterable[Any], *, title: str = "", stats: Mapping[str, Any] | None = None) -> None:
        super().__init__({}, title=title, stats=stats)
        self.values = list(values)
        self._made: dict[str, Column] | None = None

    @property
    def columns(self) -> dict[str, Column]:
        """A column for each field, in the order in which they are met; `value` for values that have no fields."""
        if self._made is None:
            if any(isinstance(value, dict) for value in self.values):
                records = [value if isinstance(value, dict) else {"value": value} for value in self.values]
                names = dict.fromkeys(name for record in records for name in record)
                self._made = {name: [record.get(name) for record in records] for name in names}
                if not names:  # structs without fields are rows, too
                    self._made = {"value": self.values}
            else:
                self._made = {"value": self.values} if self.values else {}
        return self._made

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __getitem__(self, index: SupportsIndex | slice) -> Any:  # noqa: ANN401 - a value, or a Result of some
        return Result(self.values[index], title=self.title) if isinstance(index, slice) else self.values[index]


class Ids(Sequence[str]):
    """Ids of documents, shown when they are looked at: 16 bytes each are held."""

    def __init__(self, raw: bytes | bytearray) -> None:
        self.raw = bytes(raw)

    def __len__(self) -> int:
        return len(self.raw) // ID_BYTES

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - a str, or Ids for a slice
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index] * ID_BYTES
        return show(self.raw[at : at + ID_BYTES])

    def __repr__(self) -> str:
        return f"<{len(self):,} ids{f', the first {self[0]}' if self else ''}>"


def iso(microseconds: int) -> str:
    """A time as documents hold it: 2025-11-25T06:40:00.000000Z."""
    return (EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
