"""Text -> numbers in order of first appearance, over batches whose dictionaries differ.

    coded text    a table from code to number for each Dictionary, filled as codes turn up: one load a row
    plain text    hash, look up, compare bytes: `_native/numbering.pyx`

The tables of the last dictionaries are kept: batches of a block come one after another and share theirs. Only the bytes
of the words travel to another node; slots and tables are made again there.

Threads may `find` at the same time: they write equal numbers into the same tables. Only one may `number`.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines._native import numbering
from engines.sql.column import Bytes, Column, Dictionary, Positions
from engines.sql.types import VARCHAR, Type

TABLES: Final = 64
EMPTY: Final = Dictionary(np.zeros(2, np.int32), np.zeros(0, np.uint8))
UNKNOWN: Final = -2  # in a table: this code was not looked up yet


class Interner:
    """Distinct texts (or bytes), numbered. nulls: NULL has a number like any word; else it is -1."""

    __slots__ = ("_arena", "_count", "_found", "_hashes", "_null", "_nulls", "_numbered", "_slots", "_starts")

    def __init__(self, *, nulls: bool = True) -> None:
        self._nulls = nulls
        self._null = -1
        self._count = 0
        self._arena: Bytes = np.empty(4096, np.uint8)
        self._starts = np.zeros(257, np.int64)
        self._hashes: npt.NDArray[np.uint64] = np.empty(256, np.uint64)
        self._slots: npt.NDArray[np.uint64] = np.zeros(512, np.uint64)
        self._numbered: dict[int, tuple[Dictionary, Positions]] = {}
        self._found: dict[int, tuple[Dictionary, Positions]] = {}

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return self._arena.nbytes + self._starts.nbytes + self._hashes.nbytes + self._slots.nbytes

    def number(self, column: Column) -> Positions:
        """int32 numbers, one a stored row (so one of a constant); new words are added. NULL without nulls: -1."""
        known = self._count
        out = self._look_up(column, add=True)
        if self._count > known:
            self._found = {}  # what was not there may be now
        return out

    def find(self, column: Column) -> Positions:
        """int32 numbers, one a stored row; -1 = not there."""
        return self._look_up(column, add=False)

    def column(self, type: Type = VARCHAR) -> Column:
        """All words by number, as plain text; NULL where NULL has its number. No copy of the bytes."""
        offsets = self._starts[: self._count + 1].astype(np.int32)
        valid = None
        if self._null >= 0:
            valid = np.ones(self._count, np.uint8)
            valid[self._null] = 0
        return Column(type, offsets, valid=valid, heap=self._arena[: int(self._starts[self._count])])

    def coded(self, numbers: Positions, type: Type = VARCHAR) -> Column:
        """Those of them with these numbers, as codes of one dictionary."""
        words = self.column(type)
        width = np.uint8 if self._count <= 1 << 8 else np.uint16 if self._count <= 1 << 16 else np.uint32
        valid = None if words.valid is None else words.valid[numbers]
        dictionary = Dictionary(words.data, words.heap if words.heap is not None else np.zeros(0, np.uint8))
        return Column(type, numbers.astype(width), valid=valid, words=dictionary)

    def _look_up(self, column: Column, *, add: bool) -> Positions:
        if column.heap is not None:
            return self._intern(column.data, column.heap, None, column.valid, add=add)
        words = EMPTY if column.words is None else column.words  # without words: NULL and nothing else
        codes = np.ascontiguousarray(column.data)
        table = self._table(words, add=add)
        out, missing = np.empty(len(codes), np.int32), np.empty(len(codes), np.int32)
        null = UNKNOWN if add and self._null < 0 else self._null
        again = False
        while count := numbering.translate(codes, column.valid, self._nulls, null, table, out, missing, again):
            asked = missing[:count]
            numbers = self._intern(words.offsets, words.heap, asked, None, add=add)
            is_word = asked >= 0
            table[asked[is_word]] = numbers[is_word]
            null, again = self._null, True
        return out

    def _table(self, words: Dictionary, *, add: bool) -> Positions:
        tables = self._numbered if add else self._found
        kept = tables.get(id(words))
        if kept is not None and kept[0] is words:
            return kept[1]
        if len(tables) >= TABLES:
            tables.pop(list(tables)[0], None)  # noqa: RUF015 - list() is one step for other threads, next(iter()) is two
        table = np.full(len(words), UNKNOWN, np.int32)
        tables[id(words)] = words, table
        return table

    def _intern(
        self, offsets: Positions, heap: Bytes, which: Positions | None, valid: Bytes | None, *, add: bool
    ) -> Positions:
        rows = len(offsets) - 1 if which is None else len(which)
        out = np.empty(rows, np.int32)
        row = 0
        while True:
            row, count, null = numbering.intern(
                offsets, heap, which, valid, self._nulls, self._null, add, self._slots, self._hashes, self._starts,
                self._arena, out, row, self._count,
            )  # fmt: skip
            if add:
                self._count, self._null = count, null
            if row == rows:
                return out
            word = row if which is None else int(which[row])
            size = 0 if word < 0 else int(offsets[word + 1] - offsets[word])
            self._make_room(size)

    def _make_room(self, size: int) -> None:
        """For one more word of that many bytes, and as many again as there are."""
        used = int(self._starts[self._count])
        if len(self._arena) - used < size:
            self._arena = np.resize(self._arena, 2 * len(self._arena) + size)
        if self._count == len(self._hashes):
            self._starts = np.resize(self._starts, 2 * self._count + 1)
            self._hashes = np.resize(self._hashes, 2 * self._count)
        if 2 * self._count >= len(self._slots):
            self._slots = np.zeros(4 * len(self._slots), np.uint64)
            numbering.fill_text_slots(self._hashes, self._count, self._null, self._slots)

    def __getstate__(self) -> Any:  # noqa: ANN401 - what pickle takes
        starts = self._starts[: self._count + 1]
        return self._nulls, self._null, starts, self._arena[: int(starts[-1])]

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401 - see __getstate__
        self._nulls, self._null, starts, arena = state
        self._count = len(starts) - 1
        room = max(256, self._count)
        self._arena = np.resize(arena, max(4096, len(arena))) if len(arena) else np.empty(4096, np.uint8)
        self._starts = np.zeros(room + 1, np.int64)
        self._starts[: self._count + 1] = starts
        self._hashes = np.empty(room, np.uint64)
        numbering.hash_words(starts, self._arena, self._hashes)
        self._slots = np.zeros(1 << (2 * room - 1).bit_length(), np.uint64)
        numbering.fill_text_slots(self._hashes, self._count, self._null, self._slots)
        self._numbered, self._found = {}, {}
