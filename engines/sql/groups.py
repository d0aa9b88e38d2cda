"""Group numbers: rows with equal keys get equal numbers, counted from 0 in the order in which groups are met.

    few groups    slots by index      slot = sum over the keys of (place of the value) * stride     at most 65,536 slots
                                      table: slot -> group number                                    no hashing
    more          keys.Numbering      keys packed into 64 bits, or interned bytes                    see keys.py

A key has places: 0 for NULL, then one for each word (text in codes, of whatever dictionary: each dictionary is
translated once), or for each number from the smallest on. Places are added as batches bring values; the table is then
laid out anew, and group numbers stay what they are. Once the places of all keys together are too many, the groups move
to a Numbering, which is given them in order, so numbers stay even then.

Invariant: a group's number never changes; `columns()` has the keys of group i at row i.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines._native import group
from engines.sql.column import Array, Bytes, Column, Dictionary, expand
from engines.sql.keys import Numbering
from engines.sql.types import Type

SLOTS: Final = 65_536
MOST_WORDS: Final = 4_096  # of a dictionary: translating more costs more than hashing the rows
Groups = npt.NDArray[np.uint32]


@dataclass(slots=True)
class Places:
    """The places of one key: of words, or of the whole numbers low .. high."""

    type: Type
    low: int = 0
    high: int = -1
    words: dict[bytes, int] = field(default_factory=dict)  # word -> place
    translations: dict[int, tuple[Dictionary, Array, bool]] = field(
        default_factory=dict
    )  # by id(): kept, so it stays its own; places by code, and whether they follow each other

    def __getstate__(self) -> tuple[Any, ...]:
        return self.type, self.low, self.high, self.words

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.type, self.low, self.high, self.words = state
        self.translations = {}

    @property
    def size(self) -> int:
        return 1 + (len(self.words) if self.type.bytes else self.high - self.low + 1)

    def admit(self, column: Column) -> bool:
        """Make places for the column's values; False if this is not the way to number them."""
        if self.type.bytes:
            return self._admit_words(column)
        if column.wide or column.data.dtype == np.float64 or column.parts is not None:
            return False
        if len(column) == 0:
            return True
        if column.low is not None and column.high is not None:
            low, high = column.low, column.high
        elif self.type.kind == "boolean":
            low, high = 0, 1
        else:
            data = column.data if column.valid is None else column.data[column.valid != 0]
            if len(data) == 0:
                return True
            low, high = int(data.min()) + column.base, int(data.max()) + column.base
        if self.high < self.low:
            self.low, self.high = low, high
        else:
            self.low, self.high = min(low, self.low), max(high, self.high)
        return self.size <= SLOTS

    def _admit_words(self, column: Column) -> bool:
        if column.words is None:
            if not column.constant or column.heap is None:
                return False
            if column.valid is None or column.valid[0]:
                self.words.setdefault(column.heap[column.data[0] : column.data[1]].tobytes(), len(self.words) + 1)
            return True
        if len(column.words) > MOST_WORDS:
            return False
        if id(column.words) not in self.translations:
            if len(self.translations) > 64:
                self.translations.clear()  # a dictionary for each block: the next will not meet these again
            places = self.words
            found = [places.setdefault(word, len(places) + 1) for word in column.words.words()]
            following = found == list(range(found[0], found[0] + len(found))) if found else False
            self.translations[id(column.words)] = column.words, np.array(found, np.int64), following
        return True

    def add_to(self, slots: npt.NDArray[np.uint16], column: Column, rows: int, stride: int, *, first: bool) -> None:
        """The key's share of each row's slot."""
        if column.constant:
            column = expand(column, rows)
        valid = column.valid
        if not self.type.bytes:
            add = (1 - self.low + column.base) % 2**64
            group.add_slots(column.data, None, add, stride, valid, slots, first=first)
        elif column.words is not None and len(column.words):
            _, table, following = self.translations[id(column.words)]
            if following:  # no table is needed
                group.add_slots(column.data, None, int(table[0]), stride, valid, slots, first=first)
            else:
                group.add_slots(column.data, (table * stride).astype(np.uint16), 0, 0, valid, slots, first=first)
        elif column.heap is not None and len(column.data) > 1:
            place = self.words.get(column.heap[column.data[0] : column.data[1]].tobytes(), 0)
            share = np.full(rows, place * stride, np.uint16)
            slots[:] = (0 if first else slots) + (share if valid is None else share * valid)
        elif first:
            slots[:] = 0

    def column(self, places: npt.NDArray[np.int64], low: int, high: int) -> Column:
        """The values at these places."""
        valid = None if places.all() else (places != 0).astype(np.uint8)
        at = np.maximum(places - 1, 0)
        if self.type.bytes:
            words = Dictionary.of(list(self.words) or [b""])
            width = np.uint8 if len(words) <= 256 else np.uint16 if len(words) <= 65_536 else np.uint32
            return Column(self.type, at.astype(width), valid=valid, words=words)
        if self.type.kind in {"boolean", "null"}:
            return Column(self.type, ((at + low) * (places != 0)).astype(np.uint8), valid=valid)
        return Column(self.type, at + low, valid=valid, low=low, high=max(low, high))


@dataclass(slots=True)
class Slots:
    """Groups by index. layout: (low, high, size, stride) of each key, as the slots were made; slots: of each group."""

    places: list[Places]
    layout: list[tuple[int, int, int, int]]
    table: Groups = field(default_factory=lambda: np.full(SLOTS, group.NO_GROUP, np.uint32))
    slots: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __getstate__(self) -> tuple[Any, ...]:
        return self.places, self.layout, self.slots  # the table is made again where it arrives

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.places, self.layout, self.slots = state
        self.table = np.full(SLOTS, group.NO_GROUP, np.uint32)
        self.table[self.slots] = np.arange(len(self.slots), dtype=np.uint32)

    def number(self, columns: Sequence[Column], rows: int, mask: Bytes | None = None) -> Groups | None:
        """None if the keys have too many places; nothing is lost then: `columns()` has the groups so far.

        mask: rows where it is 0 make no groups, and get the number of any.
        """
        for place, column in zip(self.places, columns, strict=True):
            if not place.admit(column) or math.prod(p.size for p in self.places) > SLOTS:
                return None
        if any(p.size != laid[2] or p.low != laid[0] for p, laid in zip(self.places, self.layout, strict=True)):
            self._lay_out()
        slots, groups = np.empty(rows, np.uint16), np.empty(rows, np.uint32)
        for i, (place, laid, column) in enumerate(zip(self.places, self.layout, columns, strict=True)):
            place.add_to(slots, column, rows, laid[3], first=i == 0)
        new = np.empty(rows, np.uint16)
        known = len(self.slots)
        count = group.number_slots(slots, self.table, groups, new, known, mask)
        if count > known:
            self.slots = np.concatenate((self.slots, new[: count - known].astype(np.int64)))
        return groups

    def _lay_out(self) -> None:
        """New strides, and the groups that there are at their new slots."""
        stride, slots, layout = 1, np.zeros(len(self.slots), np.int64), []
        for place, at, (low, high, _, _) in zip(self.places, self._at(), self.layout, strict=True):
            moved = np.where(at > 0, at + low - place.low, 0) if high >= low and not place.type.bytes else at
            slots += moved * stride
            layout.append((place.low, place.high, place.size, stride))
            stride *= place.size
        self.layout, self.slots = layout, slots
        self.table[:] = group.NO_GROUP
        self.table[slots] = np.arange(len(slots), dtype=np.uint32)

    def _at(self) -> list[npt.NDArray[np.int64]]:
        """For each key the place that each group has in it."""
        return [self.slots // stride % size for _, _, size, stride in self.layout]

    def columns(self) -> list[Column]:
        return [
            place.column(at, laid[0], laid[1])
            for place, at, laid in zip(self.places, self._at(), self.layout, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.slots)


class GroupNumbers:
    """The groups that one slice has met, in whichever way they are numbered. Plain data."""

    __slots__ = ("numbered", "types")

    def __init__(self, types: Sequence[Type]) -> None:
        self.types = tuple(types)
        self.numbered: Slots | Numbering = Slots([Places(type) for type in types], [(0, -1, 1, 1)] * len(types))

    def __len__(self) -> int:
        return len(self.numbered)

    def number(self, columns: Sequence[Column], rows: int) -> Groups:
        """The group of each row; groups that are new get the next numbers."""
        if isinstance(self.numbered, Slots):
            found = self.numbered.number(columns, rows)
            if found is not None:
                return found
            self._move()
        assert isinstance(self.numbered, Numbering), "moved"  # noqa: S101 - for the type checker
        return self.numbered.number(columns, rows)

    def number_some(self, columns: Sequence[Column], rows: int, mask: Bytes) -> Groups | None:
        """As number for the rows where the mask is 1; the others have the number of any group. None: not this way."""
        return self.numbered.number(columns, rows, mask) if isinstance(self.numbered, Slots) else None

    def _move(self) -> None:
        assert isinstance(self.numbered, Slots), "not moved"  # noqa: S101 - for the type checker
        known, columns = len(self.numbered), self.numbered.columns()
        self.numbered = Numbering(self.types)
        if known:
            self.numbered.number(columns, known)

    def columns(self) -> list[Column]:
        """The keys, a row for each group."""
        return self.numbered.columns() if isinstance(self.numbered, Slots) else self.numbered.keys()
