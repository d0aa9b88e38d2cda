"""Scanning a table: the SQL floor's TableSource over row groups.

    partitions    one for each row group that the zone maps leave; all columns of a table have theirs in memory
    scan          deleted rows out, then predicates in the blocks' own domain, then lazy columns of the rows left

        zone map says NO     the group is skipped           EVERY     no work          SOME     the column is decoded
        narrow numbers       constant - base, a mask        codes     a mask of words, looked up by code
        plain text           last, and only for the rows that are left

Columns that no predicate names are decoded when somebody asks the batch for them. One group is one batch.

A state (`State`) never changes: a transaction that writes makes a new one. A source holds one, so all that a query
reads is of one moment, and the storage spares its blobs as long as the source is alive.

The row number of a row, for DELETE and UPDATE, is the pseudo-column "$row": 65,536 times the place of its group in the
table, plus its place in the group. It holds for one state only.

Invariant: the rows of scan(p) are those rows of the group p that are not deleted and pass all EXACT predicates.
"""

import copy
import functools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines._native import vector
from engines.errors import Corrupted
from engines.sql.column import Batch, Bytes, Column, Maker
from engines.sql.source import Field, Partition, Placement, Predicate, Scanned, Schema, Statistics, Support
from engines.sql.types import BIGINT, BOOLEAN, Type
from engines.warehouse import distribute, predicates, statistics
from engines.warehouse.cache import BlockCache
from engines.warehouse.catalog import SMALL, ColumnDefinition, TableDefinition, loaded
from engines.warehouse.constants import constant
from engines.warehouse.pages import BlockReference, Group, Page, groups_of, zone
from engines.warehouse.predicates import Test, Verdict, tests_of

ROW: Final = "$row"
VERDICTS: Final = (Verdict.NO, Verdict.EVERY, Verdict.SOME)
NO, EVERY, SOME = range(3)  # their places
MANY: Final = 4  # one row of so many
Step = Callable[[Column, int, "Bytes | None"], Bytes]  # a column's rows that pass, ANDed to a mask, which it may change
Flags = npt.NDArray[np.bool_]
# low, high, whether there is a value, whether there is a NULL
Zones = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Flags, Flags]


@dataclass(eq=False)
class State:
    """A table at one moment: its shape, its pages. token: equal for equal states only."""

    definition: TableDefinition
    pages: tuple[Page, ...]
    token: Hashable
    sketches: Callable[[], Mapping[int, Bytes]]

    @functools.cached_property
    def groups(self) -> tuple[Group, ...]:
        return groups_of(self.pages)

    @functools.cached_property
    def rows(self) -> int:
        return sum(group.live for group in self.groups)

    @functools.cached_property
    def statistics(self) -> Statistics:
        return statistics.statistics(self.definition, self.groups, self.sketches())

    @functools.cached_property
    def partitions(self) -> tuple[Partition, ...]:
        return tuple(
            Partition(str(place), group.live, group.bytes, group.slice, place)
            for place, group in enumerate(self.groups)
        )

    @functools.cached_property
    def zones(self) -> dict[int, Zones | None]:
        """Filled by `zones_of`."""
        return {}

    def zones_of(self, column: ColumnDefinition) -> Zones | None:
        """The zone maps of a column of whole numbers as arrays; None where they do not fit or there are none."""
        if column.id not in self.zones:
            self.zones[column.id] = _zones(column, self.groups)
        return self.zones[column.id]


def _zones(column: ColumnDefinition, groups: Sequence[Group]) -> Zones | None:
    if not (column.type.whole or column.type.kind == "boolean"):
        return None
    found = [zone(group.blocks[column.id]) if column.id in group.blocks else (column.missing,) * 2 for group in groups]
    if any(isinstance(bound, str) or abs(bound or 0) >= 2**63 for pair in found for bound in pair):
        return None
    there = np.array([low is not None for low, _ in found], bool)
    lows, highs = (np.array([pair[side] or 0 for pair in found], np.int64) for side in (0, 1))
    nulls = [group.blocks[column.id].nulls > 0 if column.id in group.blocks else False for group in groups]
    return lows, highs, there, np.array(nulls, bool)


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """The tests that predicates are, and what the zone map of each group says: of test i in group j verdicts[i][j]."""

    given: Sequence[Predicate]
    tests: list[Test]
    verdicts: list[list[Verdict]]


class Table:
    """A table as a source: one state of it, read through a cache of blocks. pin: kept alive with it."""

    def __init__(self, name: str, state: State, cache: BlockCache, slices: int, pin: object = None) -> None:
        self.name = name
        self.state = state
        self._cache = cache
        self._slices = slices
        self.pin = pin
        self._last: Planned | None = None
        self._columns = {column.name: column for column in state.definition.columns}
        self._types: dict[str, Type] = {column.name: column.type for column in state.definition.columns}
        self._types[ROW] = BIGINT
        self._schema: Schema = state.definition.schema()

    def __repr__(self) -> str:
        return f"<table {self.name}: {self.state.rows:,} rows>"

    def numbered(self) -> "Table":
        """The same with the pseudo-column "$row" as its last."""
        other = copy.copy(self)
        other._schema = (*self._schema, Field(ROW, BIGINT, nullable=False))  # noqa: SLF001 - its own class
        return other

    def pinned(self, pin: object) -> "Table":
        """The same, which keeps `pin` alive."""
        if pin is self.pin:
            return self
        other = copy.copy(self)
        other.pin = pin
        return other

    def rows(self, columns: Sequence[str]) -> Iterator[Batch]:
        """All rows, group by group."""
        for partition in self.state.partitions:
            yield from self.scan(partition, columns, (), Scanned())

    # -- what planning asks

    def schema(self) -> Schema:
        return self._schema

    def version(self) -> Hashable:
        return self.state.token

    def statistics(self) -> Statistics:
        return self.state.statistics

    def support(self, predicate: Predicate) -> Support:
        return predicates.support(self._types[predicate.column], predicate)

    @property
    def placement(self) -> Placement | None:
        table = self.state.definition
        if table.style == "all" or (table.style == "auto" and self.state.rows <= SMALL):
            return Placement("all", self._slices)
        if table.style == "key" and table.key is not None:
            return Placement("key", self._slices, table.named([table.key]))
        return Placement("even", self._slices)

    # -- what running asks

    def partitions(self, predicates: Sequence[Predicate], scanned: Scanned) -> Sequence[Partition]:
        state = self.state
        everything = state.partitions
        width = len(state.definition.columns)
        scanned.blocks_total += len(everything) * width
        left = everything
        planned = self._planned(predicates)
        if planned.tests:
            dead = {place for verdicts in planned.verdicts for place, one in enumerate(verdicts) if one is Verdict.NO}
            left = tuple(partition for place, partition in enumerate(everything) if place not in dead)
        left = tuple(partition for partition in left if partition.rows) if left else left
        scanned.blocks_pruned += (len(everything) - len(left)) * width
        return left

    def _planned(self, predicates: Sequence[Predicate]) -> Planned:
        """Made once for all partitions: those who scan them hand on one list, which nobody changes."""
        known = self._last
        if known is None or known.given is not predicates:
            tests = tests_of(predicates, self._types)
            known = self._last = Planned(predicates, tests, [self._verdicts(test) for test in tests])
        return known

    def _verdicts(self, test: Test) -> list[Verdict]:
        groups = self.state.groups
        if test.column == ROW:
            return [Verdict.SOME] * len(groups)
        column = self._columns[test.column]
        zones = self.state.zones_of(column)
        if test.never:
            return [Verdict.NO] * len(groups)
        if zones is not None and (may := test.may(zones[0], zones[1])) is not None:
            must = test.must(zones[0], zones[1]) & ~zones[3]
            codes = np.where(may & zones[2], np.where(must, EVERY, SOME), NO)
            found = [VERDICTS[code] for code in codes.tolist()]
        else:
            missing = loaded(column.missing)
            found = [test.verdict(group.blocks.get(column.id), group.rows, missing) for group in groups]
        if test.op == "=" and column.id == self.state.definition.key and self.state.definition.style == "key":
            lies = {distribute.slice_of(value, column.type, self._slices) for value in test.values}
            found = [one if group.slice in lies else Verdict.NO for one, group in zip(found, groups, strict=True)]
        return found

    def scan(
        self, partition: Partition, columns: Sequence[str], predicates: Sequence[Predicate], scanned: Scanned
    ) -> Iterator[Batch]:
        return self.scan_where(partition, columns, predicates, scanned, {})

    def scan_where(
        self,
        partition: Partition,
        columns: Sequence[str],
        predicates: Sequence[Predicate],
        scanned: Scanned,
        keep: Mapping[str, Callable[[Any], Bytes]],
    ) -> Iterator[Batch]:
        place = int(partition.origin)
        group = self.state.groups[place]
        scanned.rows_scanned += group.rows
        planned = self._planned(predicates)
        tests = []
        for test, verdicts in zip(planned.tests, planned.verdicts, strict=True):
            verdict = verdicts[place]
            if verdict is Verdict.NO:
                return
            if verdict is Verdict.SOME and test.exact:
                tests.append(test)
        wanted = dict.fromkeys((*columns, *(test.column for test in tests), *keep))
        batch = Batch({name: self._maker(group, place, name, scanned) for name in wanted}, group.rows)
        mask = None if group.mask is None else self._alive(group, scanned)
        steps: list[tuple[str, Step]] = []
        for test in tests:
            column = batch.column(test.column)
            if column.plain and not column.constant:
                steps.append((test.column, test.mask))
            else:
                mask = test.mask(column, group.rows, mask)
        steps += [(name, functools.partial(_passing, matches)) for name, matches in keep.items()]
        yield from _thinned(batch, mask, steps)

    def _maker(self, group: Group, place: int, name: str, scanned: Scanned) -> "Maker | Column":
        if name == ROW:
            return lambda: Column(
                BIGINT, np.arange(group.rows, dtype=np.uint16), place << 16, low=place << 16, high=(place + 1) << 16
            )
        column = self._columns[name]
        block = group.blocks.get(column.id)
        if block is None:
            return constant(column.type, loaded(column.missing))
        return functools.partial(self._column, name, group.blob, block, column.type, scanned)

    def _column(self, name: str, blob: str, block: BlockReference, type: Type, scanned: Scanned) -> Column:
        try:
            column = self._cache.column(blob, block, type, scanned)
        except Corrupted as error:
            told = Corrupted(f"column {name!r} of table {self.name!r}: {error}")
            told.details = error.details | {"table": self.name, "column": name}
            raise told from error
        return column if column.type == type else replace(column, type=type)

    def _alive(self, group: Group, scanned: Scanned) -> Bytes:
        """1 for the rows of a group that are not deleted."""
        return 1 - deleted_rows(self._cache, group, scanned)


def deleted_rows(cache: BlockCache, group: Group, scanned: Scanned | None = None) -> Bytes:
    """1 for the deleted rows of a group."""
    if group.mask is None:
        return np.zeros(group.rows, np.uint8)
    where = BlockReference(group.mask.offset, group.mask.length, 0, False, group.rows, 0, 0, 0, 1)  # noqa: FBT003 - a record
    column = cache.column(group.mask.blob, where, BOOLEAN, scanned)
    return np.ascontiguousarray(np.broadcast_to(column.data, group.rows))


def _thinned(batch: Batch, mask: Bytes | None, steps: Sequence[tuple[str, Step]]) -> Iterator[Batch]:
    """What the mask and the steps leave of a batch.

    While many rows are left, a step looks at all: that costs less than gathering those that are.
    """
    left = batch.rows if mask is None else vector.count(mask)
    at = 0
    while left and at < len(steps) and MANY * left >= batch.rows:
        name, step = steps[at]
        column = batch.column(name)
        if column.plain and left < batch.rows:
            break
        mask = step(column, batch.rows, mask)
        left = vector.count(mask)
        at += 1
    if mask is not None and left < batch.rows:
        batch = batch.where(mask, left)
    for name, step in steps[at:]:
        if not batch.rows:
            return
        mask = step(batch.column(name), batch.rows, None)
        left = vector.count(mask)
        batch = batch if left == batch.rows else batch.where(mask, left)
    if batch.rows:
        yield batch


def _passing(matches: Callable[[Column], Bytes], column: Column, rows: int, also: Bytes | None) -> Bytes:
    """What a join keeps, as a step."""
    found = matches(column)
    if len(found) != rows:
        found = np.broadcast_to(found, rows).copy()
    return found if also is None else np.bitwise_and(also, found, out=also)
