"""Where things stand, in the tree: written by a checkpoint, read when the store is opened. Keys: catalog.py.

Between two checkpoints the tables in memory are ahead of it. A checkpoint writes what is new: series keys in pages,
the tiles that have other blobs now, and a line for each table.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import zstandard

from engines.errors import Corrupted
from engines.storage.keyspace import Keyspace
from engines.timeseries import catalog
from engines.timeseries.catalog import PAGE, PAGE_KEY, TABLE_KEY, TILE_KEY, Stored, TableState
from engines.timeseries.packing import Unpacked, unzipped
from engines.timeseries.series import SeriesKey

if TYPE_CHECKING:
    from engines.storage.tree import Tree
    from engines.timeseries.table import TimeTable

KEPT_BYTES: Final = 128 << 20  # of the log, for changes()
KEPT_MICROSECONDS: Final = 24 * 3600 * 10**6


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A checkpoint: when it was, the last sequence before it, the bytes that the log had taken until then."""

    time: int  # microseconds
    sequence: int
    bytes: int


class Standing:
    """The keyspaces of a store's tree."""

    def __init__(self, tree: "Tree") -> None:
        self.path = f"{tree.path or 'memory'}/data.mdb"
        self.tables = tree.keyspace("tables")
        self.series = tree.keyspace("series")
        self.newest = tree.keyspace("newest")
        self.tiles = tree.keyspace("tiles")
        self.marks = tree.keyspace("marks")

    # -- reading

    def states(self) -> list[TableState]:
        """The tables of the last checkpoint."""
        return [catalog.decode(value, TableState, self.path) for _, value in _all(self.tables, b"")]

    def keys(self, state: TableState) -> list[SeriesKey]:
        """The series of a table."""
        found: list[SeriesKey] = []
        for _, value in _all(self.series, TABLE_KEY.pack(state.definition.number)):
            found += catalog.decode(value, list[SeriesKey], self.path)
        if len(found) < state.series:
            raise Corrupted(f"{self.path} lacks series of table {state.definition.name!r}", file=self.path, offset=0)
        return found[: state.series]

    def newest_of(self, state: TableState) -> Any:  # noqa: ANN401 - int64[series]
        """By series: the time of its latest row."""
        packed = self.newest.get(TABLE_KEY.pack(state.definition.number))
        try:
            data = unzipped(packed or b"", 8 * state.series)
        except Unpacked as error:
            raise Corrupted(
                f"{self.path} does not say how new the series of {state.definition.name!r} are", file=self.path
            ) from error
        return np.frombuffer(data, np.int64)

    def stored(self, table: int) -> list[Stored]:
        """The blobs of a table, by tile, the oldest generation first."""
        return [catalog.decode(value, Stored, self.path) for _, value in _all(self.tiles, TABLE_KEY.pack(table))]

    # -- writing

    def save(self, table: "TimeTable") -> None:
        """A table's line and its new series; its tiles are put by whoever changes them."""
        number = table.number
        count = len(table.index)
        state = TableState(table.definition, count, table.generation)
        self.tables.put(TABLE_KEY.pack(number), catalog.encode(state))
        first = table.saved_series // PAGE * PAGE
        if count > table.saved_series:
            keys = table.index.keys(first)
            for at in range(0, count - first, PAGE):
                self.series.put(PAGE_KEY.pack(number, (first + at) // PAGE), catalog.encode(keys[at : at + PAGE]))
        newest = table.newest()
        self.newest.put(TABLE_KEY.pack(number), zstandard.compress(newest.tobytes(), 1))

    def put_tile(self, table: int, blobs: Iterable[Stored], start: int) -> None:
        """These are the blobs of a tile now."""
        low, high = TILE_KEY.pack(table, start, 0), TILE_KEY.pack(table, start + 1, 0)
        for key, _ in list(self.tiles.page(low, high, limit=100_000)):
            self.tiles.delete(key)
        for stored in blobs:
            self.tiles.put(TILE_KEY.pack(table, start, stored.generation), catalog.encode(stored))

    def forget(self, table: int) -> None:
        """A table was dropped."""
        for keyspace in (self.tables, self.series, self.newest, self.tiles):
            for key, _ in list(_all(keyspace, TABLE_KEY.pack(table))):
                keyspace.delete(key)

    # -- how much of the log is kept

    def mark(self, time: int, sequence: int, size: int) -> int:
        """Note a checkpoint; the first sequence of the log that is to be kept."""
        marks = [*self._marks(), Mark(time, sequence, size)]
        kept = [mark for mark in marks if time - mark.time < KEPT_MICROSECONDS and size - mark.bytes < KEPT_BYTES]
        before = [mark for mark in marks if mark not in kept]
        self.marks.put(b"marks", catalog.encode(before[-1:] + kept))
        return before[-1].sequence + 1 if before else 0

    def _marks(self) -> list[Mark]:
        value = self.marks.get(b"marks")
        return [] if value is None else catalog.decode(value, list[Mark], self.path)

    def next_table(self) -> int:
        """The number of the next table: none is given twice, for the log may still speak of the first."""
        value = self.marks.get(b"tables")
        return 1 if value is None else catalog.decode(value, int, self.path)

    def put_next_table(self, number: int) -> None:
        self.marks.put(b"tables", catalog.encode(number))

    def logged_bytes(self) -> int:
        """What the log had taken at the last checkpoint."""
        marks = self._marks()
        return marks[-1].bytes if marks else 0


def _all(keyspace: Keyspace, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    low: bytes | None = prefix
    high = _after(prefix)
    while page := keyspace.page(low, high, limit=10_000):
        yield from page
        low = page[-1][0] + b"\0"


def _after(prefix: bytes) -> bytes | None:
    """The first key that does not begin so."""
    return (int.from_bytes(prefix, "big") + 1).to_bytes(len(prefix), "big") if prefix else None
