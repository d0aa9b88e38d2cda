r"""Loading: batches of columns become row groups of slices, encoded side by side, stored in blobs.

    batches ──> check ──> slice by key ──> pile of a slice ──> 65,536 rows ──> encode ──> blob ──> Group
                          (or even)        with a SORTKEY: up to 4 M rows, sorted      \ threads  \ many at a time

With a SORTKEY the rows of a load are sorted, piece by piece if there are more than 4,194,304 of them; VACUUM merges
what several loads have left. Without, they stay in the order they came in.

A group ends earlier where its texts take more than 64 MB. Nothing is visible before the transaction commits: groups are
named by no page until then, and if it never does, `collect` finds the blobs.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import numpy as np

from engines.errors import Invalid, nearest
from engines.sql.column import VECTOR, Batch, Column, expand, gather, nulls
from engines.sql.concatenate import concatenate
from engines.sql.ordering import Direction, order
from engines.warehouse import distribute, statistics
from engines.warehouse.catalog import ColumnDefinition, TableDefinition
from engines.warehouse.pages import Group
from engines.warehouse.segment import Segment, make_segment, refuse_unfit
from engines.warehouse.zorder import zorder

SORTED_ROWS: Final = 1 << 22  # of a load that are sorted at once
TEXT_BYTES: Final = 64 << 20  # of a column of a group
PUT_BYTES: Final = 32 << 20  # encoded bytes that wait for one put_many

Put = Callable[[list[list[bytes]]], list[str]]
Columns = dict[int, Column]


@dataclass(slots=True)
class Pile:
    """Rows of one slice, in pieces, that are not encoded yet."""

    pieces: list[tuple[Columns, int]] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    def add(self, columns: Columns, rows: int) -> None:
        self.pieces.append((columns, rows))
        self.rows += rows
        self.bytes += sum(0 if column.heap is None else column.heap.nbytes for column in columns.values())

    def take(self, rows: int) -> Columns:
        """The first rows, as one piece; the rest stays."""
        taken: list[Columns] = []
        self.rows -= rows
        while rows:
            columns, count = self.pieces[0]
            if count <= rows:
                taken.append(columns)
                del self.pieces[0]
                rows -= count
            else:
                taken.append({id: part(column, 0, rows) for id, column in columns.items()})
                self.pieces[0] = ({id: part(column, rows, count) for id, column in columns.items()}, count - rows)
                rows = 0
        if not self.rows:
            self.bytes = 0
        return taken[0] if len(taken) == 1 else {id: concatenate([one[id] for one in taken]) for id in taken[0]}


def part(column: Column, start: int, stop: int) -> Column:
    """Neighbouring rows of a dense column; nothing is copied."""
    valid = None if column.valid is None else column.valid[start:stop]
    return replace(column, data=column.data[start : stop + (column.heap is not None)], valid=valid)


class Writer:
    """One load into one table. append() batches, then finish(). Not thread-safe.

    put stores blobs and gives their names. turn: how many groups the table has, so that small loads go to the slices
    in turn. slice: every row goes there (VACUUM). identities: IDENTITY values given out before.
    """

    def __init__(
        self,
        table: TableDefinition,
        slices: int,
        put: Put,
        *,
        turn: int = 0,
        threads: int = 1,
        slice: int | None = None,
        identities: int = 0,
        sorted_rows: int = SORTED_ROWS,
    ) -> None:
        self.table = table
        self.rows = 0
        self.identities = identities
        self.given_out = 0  # IDENTITY values
        self.sketches: statistics.Sketches = {}
        self._slices = slices
        self._put = put
        self._turn = turn
        self._slice = slice
        self._sorted_rows = sorted_rows
        self._by_name = {column.name: column for column in table.columns}
        self._piles: dict[int, Pile] = {}
        self._groups: list[Group] = []
        self._encoding: deque[Future[Segment]] = deque()
        self._waiting: list[Segment] = []
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def append(self, batch: Batch) -> None:
        """Invalid, naming the column, for what does not belong into it; then the writer is of no more use."""
        rows = batch.rows
        if rows == 0:
            return
        names = list(batch.ids())
        for name in names:
            if name not in self._by_name:
                raise Invalid(f"the table has no column {name!r}{nearest(name, self._by_name)}", column=name)
        columns: Columns = {
            column.id: self._given(column, batch.column(column.name) if column.name in names else None, rows)
            for column in self.table.columns
        }
        if any(column.identity is not None and column.name not in names for column in self.table.columns):
            self.given_out += rows
        self.rows += rows
        if self.table.style == "key" and self.table.key is not None and self._slices > 1 and self._slice is None:
            lies = distribute.slices_of(columns[self.table.key], rows, self._slices)
            for slice in np.unique(lies).tolist():
                at = np.flatnonzero(lies == slice).astype(np.int32)
                whole = len(at) == rows
                mine = columns if whole else {id: gather(column, at) for id, column in columns.items()}
                self._add(slice, mine, len(at))
        else:
            self._add(0, columns, rows)

    def _given(self, column: ColumnDefinition, given: Column | None, rows: int) -> Column:
        if given is None and column.identity is not None:
            first, step = column.identity
            before = self.identities + self.given_out
            return Column(column.type, first + step * np.arange(before, before + rows, dtype=np.int64))
        if given is None:
            if not column.nullable:
                raise Invalid(f"column {column.name!r} is NOT NULL and got no values", column=column.name)
            return nulls(column.type, rows)
        refuse_unfit(column, given, rows)
        if given.type.kind == "null":
            return nulls(column.type, rows)
        dense = replace(expand(given, rows), type=column.type)
        if column.type.kind == "real":
            dense.data = dense.data.astype(np.float32).astype(np.float64)
        return dense

    def _add(self, slice: int, columns: Columns, rows: int) -> None:
        pile = self._piles.setdefault(slice, Pile())
        pile.add(columns, rows)
        if self.table.sort:
            if pile.rows >= self._sorted_rows or pile.bytes >= 1 << 30:
                self._cut_sorted(slice, pile)
            return
        many = VECTOR * self._slices if self._dealt else VECTOR
        while pile.rows >= many or (pile.bytes > TEXT_BYTES * 4 and pile.rows > many // 4):
            self._cut(slice, pile, min(many, pile.rows))

    @property
    def _dealt(self) -> bool:
        """Groups go to the slices in turn."""
        return self._slice is None and self.table.style != "key"

    def _cut(self, slice: int, pile: Pile, rows: int) -> None:
        """The first rows of a pile as groups."""
        cuts = distribute.even_cuts(rows, self._slices) if self._dealt else [*range(0, rows, VECTOR), rows]
        for start, stop in pairwise(cuts):
            self._encode(slice, pile.take(stop - start), stop - start)

    def _cut_sorted(self, slice: int, pile: Pile) -> None:
        rows = pile.rows
        columns = pile.take(rows)
        keys = [columns[id] for id in self.table.sort]
        at = zorder(keys, rows) if self.table.interleaved else order(keys, [Direction()] * len(keys), rows)
        cuts = distribute.even_cuts(rows, self._slices) if self._dealt else [*range(0, rows, VECTOR), rows]
        for start, stop in pairwise(cuts):
            some = at[start:stop]
            self._encode(slice, {id: gather(column, some) for id, column in columns.items()}, stop - start)

    def _encode(self, slice: int, columns: Columns, rows: int) -> None:
        """Hand a group to the threads, cut where its texts are too long; take back what is done."""
        heaviest = max((_heap_bytes(column) for column in columns.values()), default=0)
        if heaviest > TEXT_BYTES and rows > 1:
            for start, stop in ((0, rows // 2), (rows // 2, rows)):
                self._encode(slice, {id: part(column, start, stop) for id, column in columns.items()}, stop - start)
            return
        if self._dealt:
            slice = self._turn % self._slices
            self._turn += 1
        elif self._slice is not None:
            slice = self._slice
        sketch = self.rows >= statistics.WORTH_A_SKETCH
        if self._threads < 2 or (rows < distribute.SMALL_LOAD and not self._encoding):  # in their order
            self._done(make_segment(self.table, slice, columns, rows, sketch=sketch))
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "encode")
        self._encoding.append(self._pool.submit(make_segment, self.table, slice, columns, rows, sketch=sketch))
        while len(self._encoding) > 2 * self._threads:
            self._done(self._encoding.popleft().result())

    def _done(self, segment: Segment) -> None:
        self._waiting.append(segment)
        if sum(one.size for one in self._waiting) >= PUT_BYTES:
            self._store()

    def _store(self) -> None:
        blobs = self._put([segment.parts for segment in self._waiting])
        for segment, blob in zip(self._waiting, blobs, strict=True):
            self._groups.append(segment.named(blob))
            self.sketches = statistics.merged(self.sketches, segment.sketches)
        self._waiting.clear()

    def finish(self) -> list[Group]:
        """Encode and store what is left; the groups, in the order of the rows."""
        try:
            for slice, pile in sorted(self._piles.items()):
                if pile.rows:
                    (self._cut_sorted(slice, pile) if self.table.sort else self._cut(slice, pile, pile.rows))
            while self._encoding:
                self._done(self._encoding.popleft().result())
            if self._waiting:
                self._store()
        finally:
            self.close()
        return self._groups

    def close(self) -> None:
        """Stop the threads. What was stored and is not named by a commit is for `collect`."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _heap_bytes(column: Column) -> int:
    if column.heap is None:
        return 0
    return int(column.data[-1] - column.data[0])
