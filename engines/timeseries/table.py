"""A table: the handle that users hold, and all that the engine knows of it.

    definition   dimensions, measures, retention
    index        the series: who they are, by number                  series.py
    newest       by series: the time of its latest row, ever          so that most writes look nothing up
    tiles        by when their window begins: blobs, and what is in memory only

    parts(low, high, series)     what every reader asks: parts without overlap, in order of time

A tile's blobs and runs of memory may know the same row; the later one in `sources` is right. What `merge.disjoint`
makes of them is kept until the tile changes.

Rows that have left the magnetic tier are hidden at once, though their tile is deleted as a whole later.

Invariants: what parts() has returned never changes. state_version changes whenever parts() could return other rows
than before, time apart.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from engines import display
from engines.errors import NotFound
from engines.timeseries import doors, intake, lines, merge
from engines.timeseries.catalog import Stored
from engines.timeseries.columns import Columns
from engines.timeseries.journal import NEW, Batch
from engines.timeseries.memory import MemoryTile, Run
from engines.timeseries.objects import Selection
from engines.timeseries.part import Part
from engines.timeseries.results import WriteResult
from engines.timeseries.rows import type_of
from engines.timeseries.schema import TableDefinition
from engines.timeseries.series import SeriesIndex, SeriesKey

if TYPE_CHECKING:
    from engines.timeseries.describe import BlockDescription
    from engines.timeseries.engine import TimeSeries

NEVER: Final = -1  # before every time
Numbers = npt.NDArray[np.int32]


class Tile:
    """One window of time: its blobs, the oldest generation first, and what is in memory only."""

    __slots__ = ("blobs", "memory", "parts", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.blobs: tuple[Stored, ...] = ()
        self.memory: MemoryTile | None = None
        self.parts: list[Part] | None = None  # made disjoint; None: the tile has changed since

    @property
    def demoted(self) -> bool:
        """Whether it has blobs in the magnetic tier."""
        return any(stored.tier == "magnetic" for stored in self.blobs)


class TimeTable:
    """A table of a TimeSeries: write to it, or ask it for its newest rows. Queries: TimeSeries.sql."""

    def __init__(self, engine: "TimeSeries", definition: TableDefinition) -> None:
        self.engine = engine
        self.definition = definition
        self.index = SeriesIndex()
        self.tiles: dict[int, Tile] = {}
        self.generation = 0  # the highest that a blob has
        self.state_version = 0
        self.dropped = False
        self.saved_series = 0  # numbers below are in the tree
        self.changed: set[int] = set()  # tiles whose blobs are others than in the tree
        self._newest = np.empty(0, np.int64)
        self._singles: npt.NDArray[np.bool_] | None = None

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def number(self) -> int:
        return self.definition.number

    @property
    def lock(self) -> threading.RLock:
        """Held for moments: while a write becomes visible, and while a reader takes note of what there is."""
        return self.engine.lock

    # -- writing

    def write(
        self,
        time: Any,  # noqa: ANN401 - see intake.columns_of; so the others
        dimensions: dict[str, Any],
        measures: dict[str, Any],
        *,
        measure_name: Any = None,  # noqa: ANN401
        version: Any = 1,  # noqa: ANN401
    ) -> WriteResult:
        """Write multi-measure records, a row each; durable when it returns.

        time: nanoseconds since 1970 (seconds, given as they are, are taken for moments of January 1970), datetimes,
        datetime64 or ISO texts. A dimension is a text, the same for all rows, or one a row; a measure has a value a
        row, where None or masked means absent. measure_name defaults to the table's name. A record that is there
        already is replaced by a higher version, and unchanged where all values are the same. Invalid and TooLarge for
        bad input: nothing is written. RejectedRecords: the others are.
        """
        return self.append(intake.columns_of(time, dimensions, measures, measure_name=measure_name, version=version))

    def write_records(
        self, records: Iterable[Mapping[str, Any]], common: Mapping[str, Any] | None = None
    ) -> WriteResult:
        """Write records in the shape of boto3's write_records; durable when it returns. Errors as write().

        common: CommonAttributes, what all records have. Time counts milliseconds unless TimeUnit says what else. A
        record that makes no sense is Invalid, with its number.
        """
        return doors.write_records(self, records, common)

    def write_lines(
        self,
        data: bytes | str,
        *,
        precision: lines.Precision = "ns",
        records: Literal["multi", "single"] = "multi",
        now: int | None = None,
    ) -> WriteResult:
        """Write InfluxDB's line protocol: tags are dimensions, fields are measures; durable when it returns.

        The measurement is this table's name, else Invalid. precision: the unit of timestamps. records: "multi" makes a
        record of each line, "single" one of each field. now: nanoseconds, for lines without a time; default: the
        clock's. Lines that cannot be read, or are refused, are told of by RejectedRecords once the others are on disk.
        """
        return doors.write_lines(self, data, precision=precision, kind=records, now=now)

    def write_table(
        self,
        data: Any,  # noqa: ANN401 - whatever speaks Arrow
        *,
        time: str = "time",
        dimensions: Sequence[str] = (),
        measure_name: str | None = None,
        version: int = 1,
    ) -> WriteResult:
        """Write a table of Arrow, pandas, Polars or DuckDB: multi-measure records, a row each. Errors as write().

        time, dimensions: names of columns; all others are measures.
        """
        return doors.write_table(
            self, data, time=time, dimensions=dimensions, measure_name=measure_name, version=version
        )

    def append(self, *batches: Columns) -> WriteResult:
        """Write columns, one batch after the other, all durable when it returns. Errors as write()."""
        return self.engine.append(self, batches)

    # -- what a write needs to know

    def type_of(self, column: int) -> Any:  # noqa: ANN401 - a MeasureType
        """The type of a column by its id."""
        return type_of(column, self.definition.measures)

    def newest_with(self, more: int) -> npt.NDArray[np.int64]:
        """By series: the time of its latest row; NEVER for series that are to come, `more` of them."""
        count = len(self.index)
        if len(self._newest) < count + more:
            self._reserve(count + more)
        return self._newest[: count + more]

    def _reserve(self, count: int) -> None:
        newest = np.full(max(count, 2 * len(self._newest), 64), NEVER, np.int64)
        newest[: len(self._newest)] = self._newest
        self._newest = newest

    def singles(self) -> npt.NDArray[np.bool_]:
        """By series: whether it is of single-measure records."""
        if self._singles is None or len(self._singles) != len(self.index):
            self._singles = self.index.singles()
        return self._singles

    def sources(self, start: int) -> Sequence[Run | Part]:
        """What a tile's rows are in; of two that know a row the later one is right."""
        tile = self.tiles.get(start)
        if tile is None:
            return ()
        blobs = [self.engine.part_of(stored) for stored in tile.blobs]
        return blobs if tile.memory is None else [*blobs, *tile.memory.runs()]

    def take(self, batch: Batch) -> None:
        """Make a batch visible that the log has. Under the lock."""
        definition = self.definition
        if batch.dimensions or batch.measures:
            self.definition = msgspec.structs.replace(
                definition,
                dimensions=(*definition.dimensions, *batch.dimensions),
                measures=(*definition.measures, *batch.measures),
            )
        for key in batch.series:
            self.index.add(key)
        newest = self.newest_with(0)
        for section in batch.sections:
            tile = self.tile(section.tile)
            if tile.memory is None:
                tile.memory = MemoryTile()
            if section.kind == NEW:
                tile.memory.add(section.rows, section.part, self.type_of)
                _raise_to(newest, section.rows, section.part)
            else:
                tile.memory.add_late(section.rows, section.part, self.type_of, self.singles())
            tile.parts = None
        self.state_version += 1

    def tile(self, start: int) -> Tile:
        """The tile of a window, made where there is none."""
        tile = self.tiles.get(start)
        if tile is None:
            tile = self.tiles[start] = Tile(start)
        return tile

    # -- reading

    def parts(self, low: int | None = None, high: int | None = None, series: Numbers | None = None) -> list[Part]:
        """Parts without overlap that hold all rows of these times (both included) and series (sorted numbers).

        They may hold other rows besides, but none that has left the magnetic tier; of one series they are in order of
        time. Closed, NotFound where the table was dropped, Corrupted.
        """
        self.engine.check_open()
        self.engine.settle()
        oldest = self.engine.now() - self.definition.magnetic
        first = oldest if low is None else max(low, oldest)
        with self.lock:
            self.check()
            found: list[Part] = []
            width = self.definition.tile
            for start in sorted(self.tiles):
                if start + width <= first or (high is not None and start > high):
                    continue
                found += self._disjoint(self.tiles[start])
        kept = []
        for part in found:
            if part.high < first or (high is not None and part.low > high):
                continue
            if series is not None and not _shares(part.series, series):
                continue
            for cut in merge.since(part, oldest, self.type_of):
                if high is None or cut.low <= high:
                    kept.append(cut)  # noqa: PERF401 - the loop around it has conditions of its own
        return kept

    def _disjoint(self, tile: Tile) -> list[Part]:
        """A tile's parts without overlap. Under the lock."""
        if tile.parts is None:
            if tile.memory is not None and tile.memory.late:
                tile.memory.fold(self.type_of, self.singles())
            sources = [source.part() if isinstance(source, Run) else source for source in self.sources(tile.start)]
            tile.parts = merge.disjoint(sources, self.type_of, self.singles())
        return tile.parts

    def check(self) -> None:
        """NotFound where it was dropped."""
        if self.dropped:
            raise NotFound(f"table {self.name!r} was dropped")

    def series(self, **dimensions: str) -> Selection:
        """The series that have these dimension values, as objects: table.series(host="a")["usage"]. NotFound."""
        self.engine.check_open()
        return doors.series(self, dimensions)

    def last(self, **dimensions: str) -> display.Table:
        """The newest row of each series that has these dimension values, a row each. NotFound for no such dimension."""
        self.engine.check_open()
        return doors.last(self, dimensions)

    def describe_block(self, series: int | Mapping[str, str], measure: str, n: int = 0) -> "BlockDescription":
        """The n-th block of a measure (or "time") in a series, by its number or its dimensions: to be printed or drawn.

        Blocks are counted in order of time, over all that parts() gives. NotFound, Invalid.
        """
        from engines.timeseries import describe  # noqa: PLC0415 - for lessons; it brings pictures

        self.engine.check_open()
        return describe.describe(self, series, measure, n)

    # -- standing

    def reset(
        self,
        definition: TableDefinition,
        keys: Iterable[SeriesKey],
        newest: npt.NDArray[np.int64] | None,
        generation: int,
    ) -> None:
        """As it was at the last checkpoint, without its tiles."""
        self.definition = definition
        self.index = SeriesIndex()
        for key in keys:
            self.index.add(key)
        self.saved_series = len(self.index)
        self.tiles, self.changed = {}, set()
        self.generation, self.dropped = generation, False
        self._singles = None
        self._newest = np.empty(0, np.int64) if newest is None else newest.copy()
        self.state_version += 1

    def keep(self, stored: Stored) -> None:
        """At open: a blob of the last checkpoint."""
        tile = self.tile(stored.tile)
        tile.blobs = (*tile.blobs, stored)

    def swap(self, start: int, removed: Iterable[str], added: Iterable[Stored]) -> None:
        """Blobs of a tile are others now. Under the lock."""
        gone = set(removed)
        tile = self.tile(start)
        blobs = [stored for stored in tile.blobs if stored.digest not in gone] + list(added)
        tile.blobs = tuple(sorted(blobs, key=lambda stored: stored.generation))
        tile.parts = None
        self.changed.add(start)
        if not tile.blobs and tile.memory is None:
            del self.tiles[start]
        self.state_version += 1

    def settle_tile(self, start: int, blobs: tuple[Stored, ...]) -> None:
        """After a checkpoint: these blobs hold all that was in memory. Under the lock."""
        tile = self.tile(start)
        tile.blobs, tile.memory, tile.parts = blobs, None, None
        self.changed.discard(start)

    def drop(self) -> None:
        """It is gone. Under the lock."""
        self.tiles, self.changed = {}, set()
        self.index = SeriesIndex()
        self.dropped = True
        self.state_version += 1

    def digests(self) -> set[str]:
        """The blobs that it has."""
        return {stored.digest for tile in self.tiles.values() for stored in tile.blobs}

    def newest(self) -> npt.NDArray[np.int64]:
        """By series: the time of its latest row, even of one that is deleted since; -1 for none. A copy."""
        return self.newest_with(0).copy()

    def __repr__(self) -> str:
        return f"<timeseries.TimeTable {self.name!r}: {len(self.index):,} series, {len(self.tiles):,} tiles>"


def _shares(one: Numbers, other: Numbers) -> bool:
    """Whether two sorted arrays have a number in common."""
    if not len(one) or not len(other):
        return False
    small, large = (one, other) if len(one) <= len(other) else (other, one)
    if len(small) == 1:  # a query for one series
        place = int(large.searchsorted(small[0]))
        return place < len(large) and bool(large[place] == small[0])
    places = np.minimum(large.searchsorted(small), len(large) - 1)
    return bool((large[places] == small).any())


def _raise_to(newest: npt.NDArray[np.int64], rows: Any, part: Part | None) -> None:  # noqa: ANN401 - Rows or None
    """The latest rows of these series are now those of the batch, which is later than all before."""
    if part is not None:
        newest[part.series] = merge.bounds(part)[1]
    else:
        ends = np.flatnonzero(np.append(rows.series[1:] != rows.series[:-1], True))
        newest[rows.series[ends]] = rows.times[ends]
