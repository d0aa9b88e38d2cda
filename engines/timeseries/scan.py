"""A table's rows for the SQL floor: parts to batches, wherever the parts lie.

    predicates ──> Selection ──> parts ──> blocks that may hold rows ──> batches of whole blocks

    multi-measure    a row a record: dimensions as codes by series, times, columns decoded when somebody asks for them
    single-measure   a row a value: the shared times of a series once for each measure, with the measure's name beside

A batch is made of whole blocks; times outside of the range are masked out, nothing is copied for it. Of a column that
nobody looks at no block is decoded.

Touched counts what a run read, for `explain`: one for each table of each run.

Invariants: rows that fail a predicate on a dimension, on the time or on measure_name never come back. Rows of a series
come in order of time within a part.
"""

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines.sql.column import Batch, Column, Dictionary, nulls
from engines.sql.source import (
    ColumnStatistics,
    Partition,
    Placement,
    Predicate,
    Scanned,
    Schema,
    Statistics,
    Support,
)
from engines.sql.types import TIMESTAMP_NS, VARCHAR, Type
from engines.timeseries import codec
from engines.timeseries.chosen import Chosen, Touched
from engines.timeseries.merge import spans
from engines.timeseries.part import Part
from engines.timeseries.schema import Measure
from engines.timeseries.selection import (
    EARLIEST,
    LATEST,
    MEASURE_NAME,
    TIME_COLUMN,
    TYPES,
    VALUE,
    Columns,
    Readable,
    Selection,
    below,
    select,
)

TIMES: Final = "\0times"  # the time by a name that no user's column has
Index = npt.NDArray[np.int64]


class TimeSource:
    """A TableSource over a table. It is kept as long as the table; a run reads it through `reading`."""

    placement: Placement | None = None

    def __init__(self, table: Readable, name: str) -> None:
        self.table = table
        self.name = name
        self._columns = Columns.of(table.definition)
        self.kept: dict[str, tuple[int, Any]] = {}  # of a number of series -> what was made of them

    def columns(self) -> Columns:
        """The columns as they are now; the same object as long as they are the same."""
        definition = self.table.definition
        if definition is not self._columns.definition:
            found = Columns.of(definition)
            if found.schema == self._columns.schema:  # the same object, so that who compares is done at once
                found = Columns(definition, self._columns.schema, found.dimensions, found.multi, found.singles)
            self._columns = found
        return self._columns

    def schema(self) -> Schema:
        return self.columns().schema

    def version(self) -> Hashable:
        return self.table.state_version

    def statistics(self) -> Statistics:
        series = self.table.index
        columns = {
            name: ColumnStatistics(distinct=max(len(series.values(name)), 1)) for name in self.columns().dimensions
        }
        return Statistics(columns=columns)

    def support(self, predicate: Predicate) -> Support:
        return self.columns().support(predicate)

    def partitions(self, predicates: Sequence[Predicate], scanned: Scanned) -> Sequence[Partition]:
        return self.reading().partitions(predicates, scanned)

    def scan(
        self, partition: Partition, columns: Sequence[str], predicates: Sequence[Predicate], scanned: Scanned
    ) -> Iterator[Batch]:
        return self.reading().scan(partition, columns, predicates, scanned)

    def reading(self, *, again: bool = False) -> "Reading":
        """For one run. again: that reads the table several times."""
        return Reading(self, again=again)

    # ---- what is known of series, by number

    def by_series(self, name: str) -> Column:
        """A dimension, or measure_name, as a column with a row for each series."""
        count = len(self.table.index)
        known = self.kept.get(name)
        if known is None or known[0] != count:
            made = _coded(*self._words(name))
            known = self.kept[name] = count, made
        found: Column = known[1]
        return found

    def _words(self, name: str) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
        series = self.table.index
        if name != MEASURE_NAME:
            words = series.dimension(name)
            return words.codes, words.words
        kinds = [kind for kind in series.kinds if kind is not None]
        codes = np.full(len(series), -1, np.int32)
        for code, kind in enumerate(kinds):
            codes[series.of_kind(kind)] = code
        return codes, tuple(kinds)


def _coded(codes: npt.NDArray[np.int32], words: tuple[str, ...]) -> Column:
    valid = (codes >= 0).astype(np.uint8)
    width = np.uint8 if len(words) <= 256 else np.uint16 if len(words) <= 65_536 else np.uint32
    dictionary = Dictionary.of([word.encode() for word in words] or [b""])
    return Column(VARCHAR, np.maximum(codes, 0).astype(width), valid=None if valid.all() else valid, words=dictionary)


# ---- one run ------------------------------------------------------------------------------------------------------


class Reading:
    """A TableSource for one run: one state of the table, and what was touched of it."""

    placement: Placement | None = None

    def __init__(self, source: TimeSource, *, again: bool = False) -> None:
        """again: the table is read several times in the run, and must be the same each time."""
        self.source = source
        self.name = source.name
        self.touched = Touched()
        self.columns = source.columns()
        self.again = again
        self._all: list[Part] | None = None
        self._lock = threading.Lock()

    def schema(self) -> Schema:
        return self.columns.schema

    def version(self) -> Hashable:
        return self.source.version()

    def statistics(self) -> Statistics:
        return self.source.statistics()

    def support(self, predicate: Predicate) -> Support:
        return self.columns.support(predicate)

    def partitions(self, predicates: Sequence[Predicate], scanned: Scanned) -> Sequence[Partition]:
        """A part each, with the selection beside."""
        wanted = select(self.source.table, self.columns, predicates)
        found = [Partition(str(i), part.rows, origin=(part, wanted)) for i, part in enumerate(self.parts(wanted))]
        del scanned
        return found

    def parts(self, wanted: Selection) -> list[Part]:
        """The parts that may hold rows, pinned."""
        table = self.source.table
        self.touched.series = len(table.index)
        self.touched.series_kept = self.touched.series if wanted.series is None else len(wanted.series)
        if wanted.empty:
            return []
        if self.again:
            parts = self._of_all(wanted)
        else:
            low = None if wanted.low == EARLIEST else wanted.low
            high = None if wanted.high == LATEST else wanted.high
            parts = table.parts(low, high, wanted.series)
        touched, tile = self.touched, self.columns.definition.tile
        touched.tiles = len(table.tiles)
        for part in parts:
            touched.part(part, tile)
        return parts

    def _of_all(self, wanted: Selection) -> list[Part]:
        """Some of the parts that the table had when it was first asked."""
        with self._lock:
            if self._all is None:
                self._all = self.source.table.parts()
        return [
            part
            for part in self._all
            if part.high >= wanted.low
            and part.low <= wanted.high
            and (wanted.series is None or bool(np.isin(wanted.series, part.series, assume_unique=True).any()))
        ]

    def scan(
        self, partition: Partition, columns: Sequence[str], predicates: Sequence[Predicate], scanned: Scanned
    ) -> Iterator[Batch]:
        del predicates, scanned  # what is touched is counted for the whole run: Touched
        part, wanted = partition.origin
        singles = self.source.table.index.singles() if self.columns.singles else None
        chosen = self.choose(part, wanted)
        if singles is None:
            yield from self._records(chosen, wanted, columns)
            return
        of_single = singles[part.series[chosen.place]]
        if wanted.multi and not of_single.all():
            yield from self._records(chosen.where(~of_single), wanted, columns)
        if wanted.singles and of_single.any():
            yield from self._values(chosen.where(of_single), wanted, columns)

    # ---- blocks

    def choose(self, part: Part, wanted: Selection) -> Chosen:
        """The blocks of a part that may hold rows: of these series, of this stretch of time, within bounds."""
        times, place, number = self.blocks_of_times(part, wanted)
        chosen = Chosen(part, times, place, number)
        self.touched.blocks += len(times)
        summaries = part.blocks[times]
        keep = (summaries["last"].view("<i8") >= wanted.low) & (summaries["first"].view("<i8") <= wanted.high)
        for measure, op, value in wanted.bounds:
            blocks = self.blocks_of(chosen, measure.id)
            found = blocks >= 0
            found[found] = below(part.blocks[blocks[found]], measure, op, value)
            keep &= found
        if keep.all():
            return chosen
        self.touched.pruned += len(keep) - int(np.count_nonzero(keep))
        return chosen.where(keep)

    @staticmethod
    def blocks_of_times(part: Part, wanted: Selection) -> tuple[Index, Index, Index]:
        """The blocks of times of the wanted series; of each the place of its series, and its place in the chunk."""
        if wanted.series is None:
            places = np.arange(len(part.series))
        else:
            at = np.searchsorted(part.series, wanted.series)
            at = np.minimum(at, max(len(part.series) - 1, 0))
            places = at[part.series[at] == wanted.series] if len(part.series) else at[:0]
        chunks = part.starts[places]
        lengths = part.firsts[chunks + 1] - part.firsts[chunks]
        times = spans(part.firsts[chunks], lengths)
        return times, np.repeat(places, lengths), times - np.repeat(part.firsts[chunks], lengths)

    @staticmethod
    def blocks_of(chosen: Chosen, column: int) -> Index:
        """The blocks of a column beside the blocks of times; -1 where a series has no such column."""
        mine = chosen.chunks(column)[chosen.place]
        return np.where(mine >= 0, chosen.part.firsts[np.maximum(mine, 0)] + chosen.number, -1)

    def decode(self, chosen: Chosen, column: int, type: Type) -> Column:
        """A column over the rows of these blocks."""
        part = chosen.part
        blocks = self.blocks_of(chosen, column)
        there = blocks >= 0
        if not there.any():
            return _constant_null(type)
        taken = part.blocks[blocks[there]]
        self.touched.decoded += len(taken)
        self.touched.bytes += int(taken["length"].sum())
        found = codec.decode(taken)
        data, valid = found.data, found.valid
        if not there.all():
            here = np.repeat(there, chosen.rows())
            data = np.zeros(len(here), found.data.dtype)
            data[here] = found.data
            valid = np.zeros(len(here), np.uint8)
            valid[here] = 1 if found.valid is None else found.valid
        if valid is not None and valid.all():
            valid = None
        if found.words is not None:
            codes = np.maximum(data, 0).astype(np.uint32)
            if valid is not None:
                codes[valid == 0] = 0
            return Column(type, codes, valid=valid, words=Dictionary.of([w.encode() for w in found.words] or [b""]))
        return Column(type, data, valid=valid)

    def times(self, chosen: Chosen) -> Index:
        """The times of these blocks' rows."""
        blocks = chosen.part.blocks[chosen.times]
        self.touched.decoded += len(blocks)
        self.touched.bytes += int(blocks["length"].sum())
        found: Index = codec.decode_times(blocks)
        return found

    # ---- rows

    def _records(self, chosen: Chosen, wanted: Selection, columns: Sequence[str]) -> Iterator[Batch]:
        """Multi-measure records."""
        for some in chosen.batches():
            batch = self._batch(some, columns, self._of_record)
            yield self._within(batch, some, wanted)

    def _values(self, chosen: Chosen, wanted: Selection, columns: Sequence[str]) -> Iterator[Batch]:
        """Single-measure records: measure after measure."""
        for some in chosen.batches():
            for measure in wanted.singles:
                present = self.blocks_of(some, measure.id) >= 0
                if not present.any():
                    continue
                mine = some.where(present)
                values = self.decode(mine, measure.id, TYPES[measure.type])

                def maker(
                    name: str, rows: Index, blocks: Chosen, one: Measure = measure, found: Column = values
                ) -> Column | Callable[[], Column]:
                    if name == MEASURE_NAME:
                        return _constant_word(one.name)
                    if name == VALUE + one.type:
                        return found if found.valid is None else Column(found.type, found.data, words=found.words)
                    return self._of_value(name, rows, blocks)

                yield self._within(self._batch(mine, columns, maker), mine, wanted, values.valid)

    def _batch(self, chosen: Chosen, columns: Sequence[str], maker: Any) -> Batch:  # noqa: ANN401 - see its uses
        rows = chosen.rows()
        made = {name: maker(name, rows, chosen) for name in columns}
        made[TIMES] = known = Once(lambda: Column(TIMESTAMP_NS, self.times(chosen)))
        if TIME_COLUMN in made:
            made[TIME_COLUMN] = known
        return Batch(made, int(rows.sum()))

    def _within(
        self, batch: Batch, chosen: Chosen, wanted: Selection, mask: npt.NDArray[np.uint8] | None = None
    ) -> Batch:
        """The rows of the stretch of time, and of the mask."""
        blocks = chosen.part.blocks[chosen.times]
        inside = (blocks["first"].view("<i8") >= wanted.low) & (blocks["last"].view("<i8") <= wanted.high)
        if not inside.all():
            times = batch.column(TIMES).data
            within = ((times >= wanted.low) & (times <= wanted.high)).view(np.uint8)
            mask = within if mask is None else mask & within
        if mask is not None:
            batch = batch.where(mask, int(np.count_nonzero(mask)))
        self.touched.rows += batch.rows
        return batch

    def _of_record(self, name: str, rows: Index, chosen: Chosen) -> Column | Callable[[], Column]:
        if name in self.columns.dimensions or name == MEASURE_NAME:
            return lambda: self._dimension(name, rows, chosen)
        measure = self.columns.multi.get(name)
        if measure is not None:
            return lambda: self.decode(chosen, measure.id, TYPES[measure.type])
        return _constant_null(self._type(name))

    def _of_value(self, name: str, rows: Index, chosen: Chosen) -> Column | Callable[[], Column]:
        if name in self.columns.dimensions:
            return lambda: self._dimension(name, rows, chosen)
        return _constant_null(self._type(name))

    def _type(self, name: str) -> Type:
        return next(one.type for one in self.columns.schema if one.name == name)

    def _dimension(self, name: str, rows: Index, chosen: Chosen) -> Column:
        by_series = self.source.by_series(name)
        series = chosen.part.series[chosen.place]
        codes = np.repeat(by_series.data[series], rows)
        valid = None
        if by_series.valid is not None:
            valid = np.repeat(by_series.valid[series], rows)
            valid = None if valid.all() else valid
        return Column(VARCHAR, codes, valid=valid, words=by_series.words)


class Once:
    """A maker whose column is made once, whatever names it has in a batch."""

    def __init__(self, make: Callable[[], Column]) -> None:
        self._make = make
        self._made: Column | None = None

    def __call__(self) -> Column:
        if self._made is None:
            self._made = self._make()
        return self._made


def _constant_null(type: Type) -> Column:
    found = nulls(type, 1)
    found.constant = True
    return found


def _constant_word(word: str) -> Column:
    return Column(VARCHAR, np.zeros(1, np.uint8), words=Dictionary.of([word.encode()]), constant=True)
