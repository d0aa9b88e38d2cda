"""Columns of one type put behind each other, whatever their layouts: what operators that keep rows do with batches.

    whole numbers    the narrowest width that holds all of them, with the lowest as base; Python's, if one column is
    coded text       codes of one dictionary with every word once; plain, where the dictionaries are as long as the rows
    plain text       plain, as soon as one of the columns is
    arrays, records  their parts put behind each other, offsets and positions moved on

The result is no constant, and keeps bounds if every column has some.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from engines.sql import texts
from engines.sql.column import Bytes, Column, expand, nulls
from engines.sql.interner import Interner

WIDTHS: Final = ((1 << 8, np.uint8), (1 << 16, np.uint16), (1 << 32, np.uint32))
LONG: Final = 4  # dictionaries with a word for every so many rows are not worth looking words up


def concatenate(columns: Sequence[Column]) -> Column:
    """All rows of the columns, which are one at least. A constant counts as the one row that it stores."""
    if len(columns) == 1:
        return expand(columns[0], 1)
    first = next((column for column in columns if column.type.kind != "null"), columns[0])
    columns = [column if column.type.kind != "null" else nulls(first.type, len(column)) for column in columns]
    kept = [column for column in columns if len(column)] or [columns[0]]
    if len(kept) == 1:
        return expand(kept[0], 1)
    valid = _valid(kept)
    if first.parts is not None:
        return _nested(first, kept, valid)
    if first.type.bytes:
        return _text(first, kept, valid)
    if any(column.wide for column in kept):
        data = np.concatenate([column.data if column.wide else column.numbers().astype(object) for column in kept])
        return Column(first.type, data, valid=valid)
    if first.data.dtype == np.float64 or not first.type.whole:
        return Column(first.type, np.concatenate([column.data for column in kept]), valid=valid)
    return _whole(first, kept, valid)


def _valid(columns: Sequence[Column]) -> Bytes | None:
    if all(column.valid is None for column in columns):
        return None
    return np.concatenate(
        [np.ones(len(column), np.uint8) if column.valid is None else column.valid for column in columns]
    )


def _whole(first: Column, columns: Sequence[Column], valid: Bytes | None) -> Column:
    known = all(column.low is not None and column.high is not None for column in columns)
    bounds = [_bounds(column) for column in columns]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    width = next((width for size, width in WIDTHS if high - low < size), None)
    rows = sum(len(column) for column in columns)
    low_high: dict[str, Any] = {"low": low, "high": high} if known else {}
    if width is None:
        return Column(first.type, np.concatenate([column.numbers() for column in columns]), valid=valid, **low_high)
    data = np.empty(rows, width)
    at = 0
    for column in columns:
        out = data[at : at + len(column)]
        if column.base == low and column.data.dtype != np.int64:
            np.copyto(out, column.data, casting="unsafe")
        elif column.data.dtype == np.int64:
            np.subtract(column.data, low, out=out, casting="unsafe")
        else:
            np.add(column.data, width((column.base - low) & int(np.iinfo(width).max)), out=out, casting="unsafe")
        at += len(column)
    if valid is not None:
        data[valid == 0] = 0  # what stood there counted from another base
    return Column(first.type, data, low, valid, **low_high)


def _bounds(column: Column) -> tuple[int, int]:
    if (column.low is None or column.high is None) and column.data.dtype == np.int64:
        return int(column.data.min()), int(column.data.max())
    return column.bounds()


def _text(first: Column, columns: Sequence[Column], valid: Bytes | None) -> Column:
    if all(column.words is not None for column in columns):
        words = {id(column.words): column.words for column in columns}
        if len(words) == 1:
            return replace(first, data=np.concatenate([column.data for column in columns]), valid=valid, constant=False)
        rows = sum(len(column) for column in columns)
        if LONG * sum(len(one) for one in words.values() if one is not None) <= rows:
            interner = Interner()
            numbers = [interner.number(replace(column, valid=None)) for column in columns]
            return replace(interner.coded(np.concatenate(numbers), first.type), valid=valid)
    offsets, heap = texts.concatenate([replace(column, constant=False) for column in columns])
    return Column(first.type, offsets, valid=valid, heap=heap)


def _nested(first: Column, columns: Sequence[Column], valid: Bytes | None) -> Column:
    named: list[dict[str, Column]] = [column.parts or {} for column in columns]
    parts = {name: concatenate([parts[name] for parts in named]) for name in first.parts or {}}
    lengths = [max((len(part) for part in parts.values()), default=0) for parts in named]
    starts = np.cumsum([0, *lengths])
    if first.type.kind == "row":
        data = np.concatenate([column.data + start for column, start in zip(columns, starts, strict=False)])
    else:
        data = np.concatenate(
            [column.data[:-1] + start for column, start in zip(columns, starts, strict=False)]
            + [np.array([columns[-1].data[-1] + starts[-2]])]
        )
    return Column(first.type, data.astype(first.data.dtype), valid=valid, parts=parts)
