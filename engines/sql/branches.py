"""Putting the branches of a CASE together: each gives the values of some rows, and all of them give every row.

    whole numbers   as narrow as their common bounds admit; a base where that saves width
    text            codes of a small dictionary if every branch is a constant or coded; else offsets and heap
    NULL            leaves its rows as they are: 0 and not valid

`choice` is the short way for CASE WHEN condition THEN constant ELSE constant END: the condition's mask, with a base, is
the result.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from engines._native import vector
from engines.sql import texts
from engines.sql.arithmetic import FOUR, LEAST, MOST, integers, whole_column
from engines.sql.column import Array, Bytes, Column, Dictionary, Positions, gather_text
from engines.sql.evaluation import flipped, is_null, looked_up, null
from engines.sql.types import Type

Piece = tuple[Column, Positions | None]  # the values, and the rows that they are for: None = every row
MOST_WORDS: Final = 4096  # that branches are put together with as codes


def merge(pieces: Sequence[Piece], type: Type, rows: int) -> Column:
    """The pieces as one column. Their rows do not overlap, and what they leave out is NULL."""
    if len(pieces) == 1 and pieces[0][1] is None:
        return pieces[0][0]
    there = [(column, at) for column, at in pieces if not is_null(column)]
    if not there:
        return null(type)
    every = np.arange(rows, dtype=np.int32) if any(at is None for _, at in there) else None
    placed = [(column, every if at is None else at) for column, at in there]
    rest = [(column, at) for column, at in placed if at is not None]
    valid = _valid(rest, rows)
    if type.bytes:
        return _text(rest, type, rows, valid)
    if type.fields:
        return _nested(rest, type, rows)
    if type.floating:
        data: Array = np.zeros(rows)
        for column, at in rest:
            vector.scatter(column.data, 0, at, data)
        return Column(type, data, valid=valid)
    if type.kind in {"boolean", "null"}:
        data = np.zeros(rows, np.uint8)
        for column, at in rest:
            vector.scatter(column.data, 0, at, data)
        return Column(type, data, valid=valid)
    return _whole(rest, type, rows, valid)


def _valid(pieces: Sequence[tuple[Column, Positions]], rows: int) -> Bytes | None:
    """1 where a piece has a value."""
    if sum(len(at) for _, at in pieces) == rows and all(column.valid is None for column, _ in pieces):
        return None
    valid = np.zeros(rows, np.uint8)
    one = np.ones(1, np.uint8)
    for column, at in pieces:
        vector.scatter(one if column.valid is None else column.valid, 0, at, valid)
    return valid


def _whole(pieces: Sequence[tuple[Column, Positions]], type: Type, rows: int, valid: Bytes | None) -> Column:
    bounds = [column.bounds() for column, _ in pieces]
    low, high = min(one[0] for one in bounds), max(one[1] for one in bounds)
    if any(column.wide for column, _ in pieces):
        values = [0] * rows
        for column, at in pieces:
            for row, value in zip(at.tolist(), integers(column, len(at)), strict=True):
                values[row] = value
        return whole_column(values, type, valid)
    data, base = room(rows, low, high)
    for column, at in pieces:
        vector.scatter(column.data, column.base - base, at, data)
    return Column(type, data, base, valid, low=low, high=high)


def room(rows: int, low: int, high: int) -> tuple[Array, int]:
    """The narrowest array that holds these bounds, and its base."""
    base = 0 if low >= 0 and high < FOUR else low
    span = high - base
    if span >= FOUR or not LEAST <= base <= MOST:
        return np.zeros(rows, np.int64), 0
    return np.zeros(rows, np.uint8 if span < 2**8 else np.uint16 if span < 2**16 else np.uint32), base


def _text(pieces: Sequence[tuple[Column, Positions]], type: Type, rows: int, valid: Bytes | None) -> Column:
    if all(column.constant or column.words is not None for column, _ in pieces):
        known: dict[bytes, int] = {}
        total = sum(1 if column.constant else len(column.words or ()) for column, _ in pieces)
        if total <= MOST_WORDS:
            width = np.uint8 if total <= 2**8 else np.uint16
            codes = np.zeros(rows, width)
            for column, at in pieces:
                words = texts.to_words(column) if column.constant or column.words is None else column.words.words()
                table = np.array([known.setdefault(word, len(known)) for word in words] or [0], width)
                vector.scatter(table if column.constant else looked_up(column.data, table), 0, at, codes)
            return Column(type, codes, valid=valid, words=Dictionary.of(list(known) or [b""]))
    offsets, heap = texts.concatenate([column for column, _ in pieces])
    index = np.full(rows, len(offsets) - 1, np.int32)  # rows without a value: one more, empty, text
    start = 0
    for column, at in pieces:
        if column.constant:
            index[at] = start
        else:
            index[at] = np.arange(start, start + len(at), dtype=np.int32)
        start += len(column)
    made, out = gather_text(np.append(offsets, offsets[-1]), heap, index)
    return Column(type, made, valid=valid, heap=out)


def _nested(pieces: Sequence[tuple[Column, Positions]], type: Type, rows: int) -> Column:
    from engines.sql.values import engine_column, python_values  # noqa: PLC0415 - rare

    values = [None] * rows
    for column, at in pieces:
        for row, value in zip(at.tolist(), python_values(column, len(at)), strict=True):
            values[row] = value
    return engine_column(values, type)


def choice(mask: Bytes, yes: Column, no: Column, type: Type) -> Column | None:
    """Yes where the mask is 1, else no: two constants. None where there is no short way."""
    if yes.valid is not None or no.valid is not None or yes.wide or no.wide:
        return None
    if type.bytes:
        words = texts.to_words(no) + texts.to_words(yes)
        if words[0] == words[1]:
            return no
        return Column(type, mask, words=Dictionary.of(words))
    if not type.whole:
        return None
    high, low = int(yes.data[0]) + yes.base, int(no.data[0]) + no.base
    if low > high:
        low, high, mask = high, low, flipped(mask)
    if high == low:
        return no
    if high - low >= FOUR:
        return None
    width = np.uint8 if high - low < 2**8 else np.uint16 if high - low < 2**16 else np.uint32
    return Column(type, mask if high - low == 1 else mask * width(high - low), low, low=low, high=high)
