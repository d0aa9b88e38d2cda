"""Rows inside the engine: one record a row, columns by their ids, series by their numbers.

    series   3 3 3 7 7        int32
    times    0 10 20 0 10     int64 nanoseconds
    columns  2 -> doubles     4 -> codes and words    VERSION -> int64, only where one differs from 1

What a user's columns become once series and measures have numbers, what a run in memory holds, and what a part is
decoded to. Nothing here is sorted unless its maker says so.

A measure that a row does not have counts as absent. Rows of different sets of columns may stand together: `joined`
fills what one of them lacks with absence (a version: with 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import Corrupted
from engines.timeseries.part import FIRST_MEASURE, VERSION, VERSION_OF
from engines.timeseries.schema import ITEMS, Measure, MeasureType


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """Values of a measure, or versions. varchar: codes into words."""

    type: MeasureType
    data: npt.NDArray[Any]
    valid: npt.NDArray[np.uint8] | None = None  # None: there is a value in every row
    words: tuple[str, ...] | None = None

    def take(self, index: npt.NDArray[np.int64]) -> "Column":
        valid = None if self.valid is None else self.valid[index]
        return Column(self.type, self.data[index], valid, self.words)

    def present(self) -> npt.NDArray[np.bool_]:
        """Which rows have a value."""
        return np.ones(len(self.data), np.bool_) if self.valid is None else self.valid.view(np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """See the module's text."""

    series: npt.NDArray[np.int32]
    times: npt.NDArray[np.int64]
    columns: dict[int, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)

    def take(self, index: npt.NDArray[np.int64]) -> "Rows":
        """These rows, in the order of the index."""
        columns = {number: column.take(index) for number, column in self.columns.items()}
        return Rows(self.series[index], self.times[index], columns)


def is_version(column: int) -> bool:
    """Whether a column id is that of versions."""
    return column == VERSION or bool(column & VERSION_OF)


def type_of(column: int, measures: Sequence[Measure]) -> MeasureType:
    """The type of a column by its id."""
    if is_version(column):
        return "bigint"
    place = column - FIRST_MEASURE
    if not 0 <= place < len(measures):
        raise Corrupted(f"a tile has a column {column} that its table has not: restore a snapshot")
    return measures[place].type


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows, one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Rows(np.empty(0, np.int32), np.empty(0, np.int64))
    series = np.concatenate([part.series for part in parts])
    times = np.concatenate([part.times for part in parts])
    columns = {}
    for number in sorted({number for part in parts for number in part.columns}):
        columns[number] = _joined([part.columns.get(number) for part in parts], [len(part) for part in parts], number)
    return Rows(series, times, columns)


def _joined(columns: Sequence[Column | None], lengths: Sequence[int], number: int) -> Column:
    kind = next(column.type for column in columns if column is not None)
    versions = is_version(number)
    data, valid = [], []
    lacking = not versions and any(column is None or column.valid is not None for column in columns)
    words: dict[str, int] = {}
    same = kind != "varchar" or len({id(column.words) for column in columns if column is not None}) == 1
    for column, length in zip(columns, lengths, strict=True):
        if column is None:
            data.append(np.full(length, 1 if versions else 0, ITEMS[kind]))
        elif same:
            data.append(column.data)
        else:
            data.append(_recoded(column, words))
        if lacking:
            if column is None:
                valid.append(np.zeros(length, np.uint8))
            else:
                valid.append(np.ones(length, np.uint8) if column.valid is None else column.valid)
    known = next(column.words for column in columns if column is not None) if same else tuple(words)
    return Column(kind, np.concatenate(data), np.concatenate(valid) if lacking else None, known)


def _recoded(column: Column, words: dict[str, int]) -> npt.NDArray[np.int32]:
    """The codes of a column of text in a dictionary that several share; it grows by what is new."""
    assert column.words is not None  # noqa: S101 - a column of text
    codes = np.array([words.setdefault(word, len(words)) for word in column.words] or [0], np.int32)
    return codes[np.where(column.present(), column.data, 0)] if len(column.words) else column.data


def split(rows: Rows, keys: npt.NDArray[np.int64]) -> Mapping[int, Rows]:
    """Rows by a key each has; their order stays."""
    low, high = int(keys.min()), int(keys.max())
    if low == high:
        return {low: rows}
    return {int(key): rows.take(np.flatnonzero(keys == key)) for key in np.unique(keys)}
