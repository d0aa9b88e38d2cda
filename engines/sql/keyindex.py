"""64-bit keys -> numbers in order of first appearance: the index under `keys.py`, with arrays that grow.

The index is a table by key while the keys span a small range (one load a row, in the order of the rows: clustered keys
stay in the cache), else slots by hash; `_native/numbering.pyx` draws both. It starts as a table and turns to slots once
the keys are too far apart; it never turns back. Both are made of `keys` alone, so only `keys` travels to other nodes.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines._native import numbering
from engines.sql.column import Bytes, Positions

Numbers = npt.NDArray[np.uint32]
Words = npt.NDArray[np.uint64]
WORD: Final = (1 << 64) - 1
SMALL: Final = 1 << 16  # a table of this many keys is always right: it fits into the second-level cache
LARGEST: Final = 1 << 24  # 64 MB
SPREAD_FEW: Final = 64  # entries for a row seen, in tables up to LARGEST
SPREAD_MANY: Final = 8  # entries for a key, in larger ones


class Index:
    """The keys seen, numbered. `keys[:count]` are the keys by number."""

    __slots__ = ("count", "exact", "keys", "seen", "slots", "table")

    def __init__(self) -> None:
        self.keys: Words = np.empty(1024, np.uint64)
        self.count = 0
        self.seen = 0  # rows
        self.table: Numbers | None = np.zeros(0, np.uint32)
        self.slots: Words = np.zeros(0, np.uint64)
        self.exact = True  # all keys have 32 bits, and the slots hold them

    def number(self, data: npt.NDArray[Any], offset: int, valid: Bytes | None, *, nulls: bool) -> Numbers:
        """The numbers of data + offset (mod 2^64), new keys added. NULL: key 0, or without nulls 0xFFFFFFFF.

        data: unsigned. No row but a NULL may have key 0.
        """
        out = np.empty(len(data), np.uint32)
        self.seen += len(data)
        row, offset = 0, offset & WORD
        while row < len(data):
            if self.table is not None:
                row, self.count = numbering.number_direct(
                    data, offset, valid, nulls, self.table, self.keys, out, row, self.count
                )
            else:
                row, self.count = numbering.number_hashed(
                    data, offset, valid, nulls, self.slots, self.exact, self.keys, out, row, self.count
                )
            if row < len(data):
                self._make_room(data, offset, valid, row)
        return out

    def find(
        self, data: npt.NDArray[Any], offset: int, valid: Bytes | None, *, nulls: bool, zero: bool = False
    ) -> Positions:
        """The numbers of data + offset (mod 2^64), -1 where there is none. NULL: key 0, or without nulls -1.

        zero: a row that is no NULL may have key 0 too; else it is not found.
        """
        out = np.empty(len(data), np.int32)
        if self.table is not None:
            numbering.find_direct(data, offset & WORD, valid, nulls, zero, self.table, out)
        else:
            numbering.find_hashed(data, offset & WORD, valid, nulls, zero, self.slots, self.exact, self.keys, out)
        return out

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.slots.nbytes + (0 if self.table is None else self.table.nbytes)

    def _make_room(self, data: npt.NDArray[Any], offset: int, valid: Bytes | None, row: int) -> None:
        """The kernel stopped at that row: give it what it lacks."""
        if self.count == len(self.keys):
            self.keys = np.resize(self.keys, 2 * len(self.keys))
        elif self.table is not None:
            rest = data[row:].astype(np.uint64) + np.uint64(offset)
            span = int((rest if valid is None else rest * valid[row:]).max()) + 1
            if not self._fits(span):
                self.table = None
                self._hash(max(1024, 4 * self.count))
                return
            larger = np.zeros(max(span, min(2 * len(self.table), LARGEST)), np.uint32)
            larger[: len(self.table)] = self.table
            self.table = larger
        elif 2 * self.count >= len(self.slots):
            self._hash(4 * self.count)
        else:
            self.exact = False
            self._hash(len(self.slots))

    def _fits(self, span: int) -> bool:
        return span <= SMALL or span <= min(SPREAD_FEW * self.seen, LARGEST) or span <= SPREAD_MANY * self.count

    def _hash(self, slots: int) -> None:
        keys = self.keys[: self.count]
        self.exact = self.exact and (not self.count or int(keys.max()) < 1 << 32)
        self.slots = np.zeros(1 << (slots - 1).bit_length(), np.uint64)
        numbering.fill_slots(self.keys, self.count, self.slots, self.exact)

    def __getstate__(self) -> Any:  # noqa: ANN401 - what pickle takes
        return self.keys[: self.count], self.seen

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401 - see __getstate__
        keys, self.seen = state
        self.count, self.exact, self.table = len(keys), True, None
        self.keys = np.resize(keys, max(1024, len(keys)))
        span = int(keys.max()) + 1 if len(keys) else 0
        if self._fits(span):
            self.slots = np.zeros(0, np.uint64)
            self.table = np.zeros(span, np.uint32)
            self.table[keys] = np.arange(1, len(keys) + 1, dtype=np.uint32)
        else:
            self._hash(max(1024, 4 * self.count))
