"""Columns -> the order of their rows: what ORDER BY, TopN and windows share.

Each key column gives every row a whole number, a code, whose order is that of the values (see _native/sortkeys.pyx).
Codes are packed from the last key to the first into words of 64 bits; each word costs one radix sort:

    ORDER BY flag, quantity DESC, comment       flag 2 bits | quantity 13 bits | rank of comment 20 bits = one word

Text in codes of one dictionary is ordered by the ranks of its words, made once per dictionary; plain text is ranked
row by row. Whole numbers that 64 bits do not hold are ranked too.

Order: NaN above all numbers, -0.0 equal to 0.0, text bytewise, NULLs first or last as the key says. Equal rows keep
their order, so the answer depends on nothing but the rows and the order they came in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engines._native import sortkeys
from engines.sql.column import Array, Bytes, Column, Dictionary, Positions
from engines.sql.types import BIGINT

Words = npt.NDArray[np.uint64]
NARROW = frozenset({np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32), np.dtype(np.int64)})


@dataclass(frozen=True, slots=True)
class Direction:
    """How one key orders."""

    descending: bool = False
    nulls_first: bool = False


def order(columns: Sequence[Column], directions: Sequence[Direction], rows: int) -> Positions:
    """The positions 0..rows-1 in the order of the keys, the first column the most significant. Stable."""
    arranged = np.arange(rows, dtype=np.int32)
    if rows > 1:
        spare = np.empty(rows, np.uint64), np.empty(rows, np.int32)
        for number, word in enumerate(words(columns, directions, rows)):
            keys = word[arranged] if number else word
            sortkeys.sort_keys(keys, arranged, *spare)
    return arranged


def words(columns: Sequence[Column], directions: Sequence[Direction], rows: int) -> list[Words]:
    """The keys as words whose order is that of the rows: the least significant word first. Each is an own array."""
    packed = [np.zeros(rows, np.uint64)]
    used = 0
    for column, direction in zip(reversed(columns), reversed(directions), strict=True):
        if column.constant or rows == 0:
            continue
        valid = None if column.valid is None or column.valid.all() else np.ascontiguousarray(column.valid)
        if column.type.floating:
            word = packed[-1] if used == 0 else np.zeros(rows, np.uint64)
            data = np.ascontiguousarray(column.data, np.float64)
            sortkeys.pack_doubles(data, valid, word, direction.descending, direction.nulls_first)
            if used:
                packed.append(word)
            used = 64
            continue
        data = codes(column)
        low, high = int(data.min()), int(data.max())
        bits = (high - low + (valid is not None)).bit_length()
        if bits > 64:  # NULLs and all 2^64 values
            data = np.unique(data, return_inverse=True)[1].astype(np.int64)
            low, high = 0, int(data.max())
            bits = (high + 1).bit_length()
        if bits == 0:
            continue
        if used + bits > 64:
            packed.append(np.zeros(rows, np.uint64))
            used = 0
        sortkeys.pack_numbers(data, valid, packed[-1], used, low, high, direction.descending, direction.nulls_first)
        used += bits
    return packed


def codes(column: Column) -> Array:
    """Numbers in the order of the values, of a dtype that the kernel takes; equal exactly where the values are."""
    if column.words is not None:
        return ranks(column.words)[column.data]
    if column.heap is not None:
        return text_ranks(column.data, column.heap)
    if column.wide:
        return narrowed(column.data)
    data = column.data if column.data.dtype in NARROW else column.data.astype(np.int64)
    return np.ascontiguousarray(data)


def narrowed(data: Array) -> Array:
    """Python's whole numbers as int64 where they fit, else as ranks."""
    if min(data) >= -(2**63) and max(data) < 2**63:
        return data.astype(np.int64)
    return np.unique(data, return_inverse=True)[1].astype(np.int64)


def ranks(words: Dictionary) -> npt.NDArray[np.uint32]:
    """For each code of the dictionary the rank of its word, bytewise; equal words have equal ranks. Made once."""
    if "rank" not in words.kept:
        words.kept["rank"] = text_ranks(words.offsets, words.heap)
    found: npt.NDArray[np.uint32] = words.kept["rank"]
    return found


def text_ranks(offsets: npt.NDArray[np.int32], heap: Bytes) -> npt.NDArray[np.uint32]:
    """For each text how many distinct smaller ones there are."""
    rows = len(offsets) - 1
    found = np.empty(rows, np.uint32)
    sortkeys.text_ranks(
        np.ascontiguousarray(offsets, np.int32),
        np.ascontiguousarray(heap),
        found,
        np.arange(rows, dtype=np.int32),
        np.empty(rows, np.uint64),
        np.empty(rows, np.uint64),
        np.empty(rows, np.int32),
        np.empty(3 * (rows // 2 + 1), np.int32),
    )
    return found


def numeric(column: Column) -> Column:
    """The column with the codes of its values, where they are not numbers already: ranked once for several uses."""
    if column.constant or (column.words is None and column.heap is None and not column.wide):
        return column
    data = codes(column) if len(column) else np.zeros(0, np.int64)
    return replace(column, type=BIGINT, data=data, base=0, words=None, heap=None, low=None, high=None)


def same_as_before(columns: Sequence[Column], arranged: Positions) -> Bytes:
    """1 where the row at a place of the order equals the one before it in all columns; NULLs equal. The first: 0."""
    same = np.ones(len(arranged), np.uint8)
    same[:1] = 0
    for word in words(columns, [Direction()] * len(columns), len(arranged)):
        moved = word[arranged]
        same[1:] &= moved[1:] == moved[:-1]
    return same
