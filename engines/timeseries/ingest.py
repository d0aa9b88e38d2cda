"""A write, judged: which of its records are new, which repeat what is there, which are refused, and why.

    Columns ──> too old? too far ahead? of another type? ──> numbers of series and columns ──> sorted by series and time
            ──> later than its series? then new                                   (all of an ordinary batch)
                else what is there already (lookup.py, identity.py): a higher version replaces, a repeat is nothing
            ──> sections by tile, new measures and series ──> journal.Batch, WriteResult

Single-measure records of one moment become one row: each measure stands for itself there, with its own version.

Nothing is changed here: a Judged says what is to be, and `table.take` does it once the log has it.

Invariants: of one identity, the highest version that was accepted is what stays. Sending a batch again changes nothing.
Only what an accepted record needs becomes a dimension, a measure or a series.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from engines.errors import Invalid, TooLarge
from engines.timeseries import merge
from engines.timeseries.columns import Columns
from engines.timeseries.identity import UNCHANGED, judged
from engines.timeseries.journal import LATE, NEW, REPLACED, Batch, Section
from engines.timeseries.lookup import Hits, hits
from engines.timeseries.naming import NewMeasures, NewSeries, check_counts, check_names
from engines.timeseries.part import VERSION, VERSION_OF
from engines.timeseries.results import Rejected, WriteResult
from engines.timeseries.rows import Column, Rows, split
from engines.timeseries.schema import HOUR, MOST_MEASURES, Measure, TableDefinition

if TYPE_CHECKING:
    from engines.timeseries.table import TimeTable

AHEAD: Final = HOUR // 4
SMALL: Final = 2_400 * HOUR  # the present in seconds, milliseconds or microseconds, taken as nanoseconds, is below
TOO_SMALL: Final = (
    "its time lies in the first days of 1970, before the magnetic retention of the table: a whole number counts "
    "nanoseconds, or what precision= (lines) or TimeUnit (records) says; of seconds write seconds * 10**9"
)
ENCODE_ABOVE: Final = 64  # rows a series on average, from which the journal gets encoded blocks
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What is to be done for a write, and what it answers. batch None: nothing."""

    batch: Batch | None
    result: WriteResult


@dataclass(slots=True, eq=False)
class _Refusals:
    """Which rows are refused, and why."""

    keep: npt.NDArray[np.bool_]
    reasons: dict[int, Rejected] = field(default_factory=dict)

    def add(self, rows: npt.NDArray[np.bool_], reason: str) -> None:
        for row in np.flatnonzero(rows & self.keep).tolist():
            self.reasons[row] = Rejected(row, reason)
        self.keep &= ~rows


def check(definition: TableDefinition, columns: Columns) -> None:
    """That the columns can be written to this table at all. Invalid, TooLarge."""
    count = len(columns)
    what = {f"dimension {name!r}": len(words.codes) for name, words in columns.dimensions.items()}
    if columns.measure_name is not None:
        what["measure_name"] = len(columns.measure_name.codes)
    what["version"] = len(columns.versions)
    ragged = {name: length for name, length in what.items() if length not in (1, count)}
    ragged |= {f"measure {n!r}": len(v.data) for n, v in columns.measures.items() if len(v.data) != count}
    if ragged:
        name, length = next(iter(ragged.items()))
        raise Invalid(f"all columns have one length: time has {count:,} rows, {name} has {length:,}")
    if not columns.measures and count:
        raise Invalid("a record has at least one measure, got none")
    if not columns.single and len(columns.measures) > MOST_MEASURES:
        raise TooLarge(
            f"a record has at most {MOST_MEASURES:,} measures, got {len(columns.measures):,}", limit=MOST_MEASURES
        )
    check_names(definition, columns.dimensions, columns.measures)
    if not count:
        return
    if int(columns.times.min()) < 0:
        row = int(np.argmax(columns.times < 0))
        raise Invalid(f"row {row}: a time is not before 1970, got {int(columns.times[row])} nanoseconds")
    _check_presence(columns)


def _check_presence(columns: Columns) -> None:
    """Each record has a measure; a single-measure record has exactly one."""
    masks = [values.valid for values in columns.measures.values()]
    if not columns.single and any(mask is None for mask in masks):
        return
    count = np.zeros(len(columns), np.int32)
    for mask in masks:
        count += np.uint8(1) if mask is None else mask
    wrong = np.flatnonzero(count != 1 if columns.single else count == 0)
    if len(wrong):
        row = int(wrong[0])
        least = "exactly one measure" if columns.single else "at least one measure"
        raise Invalid(f"row {row}: a record has {least}, this one has {int(count[row])}")


def judge(table: "TimeTable", columns: Columns, now: int, *, replacing: bool = False) -> Judged:
    """The verdicts on a batch that has passed check(); now: of the clock, nanoseconds. TooLarge.

    replacing: a record replaces what is there also if its version is the same.
    """
    count = len(columns)
    if not count:
        return Judged(None, WriteResult())
    definition = table.definition
    refusals = _Refusals(np.ones(count, np.bool_))
    _judge_times(definition, columns.times, now, refusals)
    measures = NewMeasures(definition)
    found: dict[int, Column] = {}
    for name, values in columns.measures.items():
        number, column, measure = measures.column(name, values, single=columns.single)
        if column is None:
            there = np.ones(count, np.bool_) if values.valid is None else values.valid.view(np.bool_)
            refusals.add(there, f"measure {name!r} is {measure.type.upper()}, this record has a {values.type.upper()}")
        else:
            found[number] = column
    kept: Index | int = count if refusals.keep.all() else np.flatnonzero(refusals.keep)
    series = NewSeries(table.index)
    origin = np.arange(count) if isinstance(kept, int) else kept
    if columns.single:
        numbers = series.of(columns.dimensions, None, None, kept)
    else:
        numbers = series.of(columns.dimensions, columns.measure_name, definition.name, kept)
    data = Rows(numbers, columns.times, found)
    if (columns.versions != 1).any():
        data.columns[VERSION] = Column("bigint", np.ascontiguousarray(np.broadcast_to(columns.versions, count)))
    if not isinstance(kept, int):
        data = Rows(numbers, columns.times[kept], {n: column.take(kept) for n, column in data.columns.items()})
    writing = _Writing(table, data, series, measures, now, replacing=replacing)
    if len(data):
        kinds, existing = (writing.judge_single if columns.single else writing.judge_multi)()
        for row, version in existing.items():
            index = int(origin[row])
            reason = f"version {version:,} of this record is there, with other values"
            refusals.reasons[index] = Rejected(index, reason, version)
    else:
        kinds = np.empty(0, np.int8)
    return Judged(writing.batch(), _result(definition, columns, data.times, kinds, now, refusals))


def _judge_times(definition: TableDefinition, times: Index, now: int, refusals: _Refusals) -> None:
    if int(times.max()) > now + AHEAD:
        refusals.add(times > now + AHEAD, "its time is more than 15 minutes ahead of the clock")
    oldest = int(times.min())
    if oldest < now - definition.magnetic:
        if oldest < SMALL:
            refusals.add(times < min(SMALL, now - definition.magnetic), TOO_SMALL)
        refusals.add(times < now - definition.magnetic, "its time is before the magnetic retention of the table")
    if oldest < now - definition.memory and not definition.magnetic_writes:
        reason = "its time is before the memory retention of the table, which takes no magnetic writes"
        refusals.add(times < now - definition.memory, reason)


def _result(  # noqa: PLR0917 - what a result is made of
    definition: TableDefinition,
    columns: Columns,
    times: Index,
    kinds: npt.NDArray[np.int8] | None,
    now: int,
    refusals: _Refusals,
) -> WriteResult:
    memory = times >= now - definition.memory
    unchanged = 0
    if kinds is None:
        within, total = int(memory.sum()), len(times)
    else:
        accepted = kinds <= REPLACED
        within, total = int((memory & accepted).sum()), int(accepted.sum())
        unchanged = int((kinds == UNCHANGED).sum())
    index = columns.index
    reasons = [refusals.reasons[row] for row in sorted(refusals.reasons)]
    if index is not None:
        reasons = [Rejected(int(index[each.index]), each.reason, each.existing_version) for each in reasons]
    return WriteResult(within, total - within, unchanged, tuple(reasons))


class _Writing:
    """One batch on its way: rows with numbers, and what they become."""

    def __init__(
        self,
        table: "TimeTable",
        rows: Rows,
        series: NewSeries,
        measures: NewMeasures,
        now: int,
        *,
        replacing: bool,
    ) -> None:
        self._replacing = replacing
        self._table, self._rows, self._series, self._measures, self._now = table, rows, series, measures, now
        self._newest = table.newest_with(len(series.keys))
        self._sections: list[Section] = []

    def type_of(self, number: int) -> Any:  # noqa: ANN401 - a measure's type
        return self._table.type_of(number)

    # -- verdicts

    def judge_multi(self) -> tuple[npt.NDArray[np.int8] | None, dict[int, int]]:
        """A verdict a record, and the versions that refused ones have met."""
        rows = self._rows
        verdicts = judged(rows, self._newest, self._finder(None), replacing=self._replacing)
        self._divide(rows, verdicts.kinds, verdicts.order)
        return verdicts.kinds, verdicts.existing

    def judge_single(self) -> tuple[npt.NDArray[np.int8], dict[int, int]]:
        """The same, measure by measure; then rows of one moment are put together."""
        rows = self._rows
        kinds = np.zeros(len(rows), np.int8)
        existing: dict[int, int] = {}
        pieces = []
        version = rows.columns.get(VERSION)
        for number, column in rows.columns.items():
            if number == VERSION:
                continue
            records = np.flatnonzero(column.present())
            if not len(records):
                continue
            taken = column.take(records)
            some = Rows(
                rows.series[records], rows.times[records], {number: Column(taken.type, taken.data, None, taken.words)}
            )
            if version is not None:
                some.columns[VERSION] = version.take(records)
            verdicts = judged(some, self._newest, self._finder(number), replacing=self._replacing)
            if verdicts.kinds is not None:
                kinds[records] = verdicts.kinds
            existing |= {int(records[at]): found for at, found in verdicts.existing.items()}
            order = np.arange(len(some)) if verdicts.order is None else verdicts.order
            if version is not None:
                some.columns[VERSION_OF | number] = some.columns.pop(VERSION)
            pieces.append((some.take(order), kinds[records][order]))
        self._fold(pieces)
        return kinds, existing

    def _fold(self, pieces: list[tuple[Rows, npt.NDArray[np.int8]]]) -> None:
        """Records of one series and moment as one row; the row is new if its series has none as late."""
        pieces = [(rows, kinds) for rows, kinds in pieces if len(rows)]
        if not pieces:
            return
        singles = np.ones(len(self._newest), np.bool_)
        folded = merge.merged([rows for rows, _ in pieces], singles)
        kinds = np.full(len(folded), LATE, np.int8)
        kinds[folded.times > self._newest[folded.series]] = NEW
        if any((each == REPLACED).any() for _, each in pieces):
            replaced = [(rows.series[each == REPLACED], rows.times[each == REPLACED]) for rows, each in pieces]
            wanted = np.concatenate([pair[0] for pair in replaced])
            moments = np.concatenate([pair[1] for pair in replaced])
            keys = set(zip(wanted.tolist(), moments.tolist(), strict=True))
            late = np.flatnonzero(kinds == LATE)
            hit = [key in keys for key in zip(folded.series[late].tolist(), folded.times[late].tolist(), strict=True)]
            kinds[late[np.array(hit, np.bool_)]] = REPLACED
        self._divide(folded, kinds, None)

    def _finder(self, measure: int | None) -> Callable[[npt.NDArray[np.int32], Index], Iterator[Hits]]:
        def find(series: npt.NDArray[np.int32], times: Index) -> Iterator[Hits]:
            tiles = times // self._table.definition.tile
            for tile in np.unique(tiles).tolist():
                which = np.flatnonzero(tiles == tile)
                sources = self._table.sources(tile * self._table.definition.tile)
                for found in hits(sources, series[which], times[which], self.type_of, measure):
                    rows = found.rows
                    if measure is not None:
                        columns = {measure: rows.columns[measure]}
                        if VERSION_OF | measure in rows.columns:
                            columns[VERSION] = rows.columns[VERSION_OF | measure]
                        rows = Rows(rows.series, rows.times, columns)
                    yield Hits(which[found.which], rows)

        return find

    # -- sections

    def _divide(self, rows: Rows, kinds: npt.NDArray[np.int8] | None, order: Index | None) -> None:
        """Sections of the rows at `order` (None: all are in order): of one tile and one kind each.

        They are copied in any case: the arrays are the user's, who may change them.
        """
        if order is None:
            order = np.arange(len(rows))
        if kinds is None:
            groups = [(NEW, order)]
        else:
            sorted_kinds = kinds[order]
            groups = [(kind, order[sorted_kinds == kind]) for kind in (NEW, LATE, REPLACED)]
        width = self._table.definition.tile
        for kind, index in groups:
            if len(index):
                some = rows.take(index)
                for tile, of_tile in split(some, some.times // width).items():
                    self._sections.append(Section(tile * width, kind, _trimmed(of_tile)))

    def batch(self) -> Batch | None:
        """What the journal is to hold. None where no record was accepted, or all are repeats."""
        if not self._sections:
            return None
        measures, renamed = self._new_measures()
        series = self._new_series()
        sections = []
        for section in self._sections:
            rows = section.rows
            assert rows is not None  # noqa: S101 - they were made above
            if renamed:
                columns = {_renamed(number, renamed): column for number, column in rows.columns.items()}
                rows = Rows(rows.series, rows.times, columns)
            part = None
            if len(rows) >= ENCODE_ABOVE and len(rows) >= ENCODE_ABOVE * (1 + int((np.diff(rows.series) != 0).sum())):
                part = merge.encoded_part(rows)
            sections.append(Section(section.tile, section.kind, rows, part))
        known = self._table.definition.dimensions
        names = dict.fromkeys(name for key in series for name, _ in key.dimensions)
        dimensions = tuple(name for name in names if name not in known)
        definition = msgspec.structs.replace(
            self._table.definition,
            dimensions=(*known, *dimensions),
            measures=(*self._table.definition.measures, *measures),
        )
        kinds = {key.kind for key in series} | set(self._table.index.kinds)
        check_counts(definition, len(kinds - {None}))
        return Batch(self._table.number, self._now, self._series.first, dimensions, measures, tuple(series), sections)

    def _new_measures(self) -> tuple[tuple[Measure, ...], dict[int, int]]:
        """Those that a written row has, and new ids where others were numbered before them."""
        new = self._measures.measures[self._measures.first :]
        if not new:
            return (), {}
        used = {number for section in self._sections if section.rows is not None for number in section.rows.columns}
        wanted = [measure for measure in new if measure.id in used]
        first = new[0].id
        renamed = {measure.id: first + place for place, measure in enumerate(wanted) if measure.id != first + place}
        return tuple(msgspec.structs.replace(m, id=renamed.get(m.id, m.id)) for m in wanted), renamed

    def _new_series(self) -> list[Any]:
        """The keys that the batch brings, in the order of their numbers.

        A series is new only where none of its records was there before, so one of them was accepted, and all are used.
        """
        return list(self._series.keys)


def _renamed(number: int, renamed: dict[int, int]) -> int:
    if number >= VERSION_OF:
        return VERSION_OF | renamed.get(number & ~VERSION_OF, number & ~VERSION_OF)
    return renamed.get(number, number)


def _trimmed(rows: Rows) -> Rows:
    """Without columns that have no value in any of the rows, and without masks and versions that say nothing."""
    columns = {}
    for number, column in rows.columns.items():
        if number == VERSION or number >= VERSION_OF:
            if (column.data != 1).any():
                columns[number] = column
        elif column.valid is None or column.valid.all():
            columns[number] = Column(column.type, column.data, None, column.words)
        elif column.valid.any():
            columns[number] = column
    return Rows(rows.series, rows.times, columns)
