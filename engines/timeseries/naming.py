"""Names become numbers: the series of each record, the column of each measure.

Series: the codes of all dimensions of a row are packed into one number, and each distinct one is looked up once, so a
batch of a hundred hosts costs a hundred look-ups, whatever its length. Packed numbers of a small range are told apart
by a table; others by sorting.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines.errors import Invalid, TooLarge
from engines.timeseries.columns import Values, Words
from engines.timeseries.part import FIRST_MEASURE
from engines.timeseries.rows import Column
from engines.timeseries.schema import (
    LONGEST_SERIES,
    MOST_DIMENSIONS,
    MOST_MEASURE_NAMES,
    Measure,
    TableDefinition,
)
from engines.timeseries.series import SeriesIndex, SeriesKey

TABLE: Final = 1 << 17  # places of a table of packed codes that always pay
Index = npt.NDArray[np.int64]


class NewSeries:
    """The numbers of series, those that are to come included."""

    def __init__(self, index: SeriesIndex) -> None:
        self._index = index
        self.first = len(index)
        self.keys: dict[SeriesKey, int] = {}

    def number(self, key: SeriesKey) -> int:
        """Of a known series its number, of a new one the next."""
        found = self._index.find(key)
        return self.keys.setdefault(key, self.first + len(self.keys)) if found is None else found

    def of(self, dimensions: Mapping[str, Words], kinds: Words | None, kind: str | None, rows: Index | int) -> Any:  # noqa: ANN401 - int32[rows]
        """The series of each row. rows: their places in the columns, or how many there are. TooLarge."""
        count = rows if isinstance(rows, int) else len(rows)
        if not count:  # all records are refused already
            return np.empty(0, np.int32)
        names = list(dimensions)
        words = [*dimensions.values(), *([] if kinds is None else [kinds])]
        codes = [_codes(each, rows) for each in words]
        ids, firsts = distinct(codes, [len(each.words) for each in words], count)
        values = _values(words, codes, firsts)
        known = self._index.met(None if kinds is not None else kind, names)
        found = [known.get(each, -1) for each in values]
        for place in [place for place, number in enumerate(found) if number < 0]:
            pairs = zip(names, values[place], strict=False)
            of_row = kind if kinds is None else values[place][-1]
            key = SeriesKey(of_row, tuple(sorted((name, value) for name, value in pairs if value is not None)))
            found[place] = self.number(key)
            if found[place] < self.first:
                known[values[place]] = found[place]
            else:  # it may not come
                row = int(firsts[place])
                _check_key(key, row if isinstance(rows, int) else int(rows[row]))
        numbers = np.array(found, np.int32)
        return np.full(count, numbers[0], np.int32) if ids is None else numbers[ids]


def _values(
    words: Sequence[Words], codes: Sequence[npt.NDArray[np.int32]], firsts: Index
) -> list[tuple[str | None, ...]]:
    """The texts of these rows, a tuple each."""
    columns = []
    for each, all_codes in zip(words, codes, strict=True):
        texts = (*each.words, None)  # code -1 is the last
        some = all_codes[firsts].tolist() if len(all_codes) > 1 else [int(all_codes[0])] * len(firsts)
        columns.append([texts[code] for code in some])
    return list(zip(*columns, strict=True)) if columns else [()] * len(firsts)


def _codes(words: Words, rows: Index | int) -> npt.NDArray[np.int32]:
    """Of these rows; a single code stands for all."""
    codes = words.codes
    return codes if len(codes) == 1 or isinstance(rows, int) else codes[rows]


def distinct(codes: Sequence[npt.NDArray[np.int32]], sizes: Sequence[int], count: int) -> tuple[Index | None, Index]:
    """Tuples of codes told apart: a number a row (None: all rows are alike), and the first row of each number."""
    ids: Index | None = None
    known = 1
    firsts = np.zeros(1, np.int64)
    for column, size in zip(codes, sizes, strict=True):
        if len(column) == 1:
            continue
        packed = column.astype(np.int64) + 1
        if ids is not None:
            packed += ids * (size + 1)
        places = known * (size + 1)
        if places <= max(TABLE, 2 * count):
            table = np.full(places, -1, np.int64)
            table[packed[::-1]] = np.arange(count - 1, -1, -1)
            used = np.flatnonzero(table >= 0)
            firsts = table[used]
            table[used] = np.arange(len(used))
            ids = table[packed]
        else:
            _, firsts, ids = np.unique(packed, return_index=True, return_inverse=True)
        known = len(firsts)
    return ids, firsts


def _check_key(key: SeriesKey, row: int) -> None:
    size = sum(len(value.encode()) for _, value in key.dimensions)
    if size > LONGEST_SERIES:
        raise TooLarge(
            f"the dimension values of a series take at most {LONGEST_SERIES:,} bytes together, those of row {row} take "
            f"{size:,}",
            limit=LONGEST_SERIES,
            size=size,
        )


class NewMeasures:
    """The column ids of measures, those that are to come included."""

    def __init__(self, definition: TableDefinition) -> None:
        self.first = len(definition.measures)
        self.measures: list[Measure] = list(definition.measures)
        self._known = {(measure.name, measure.single): measure for measure in definition.measures}

    def column(self, name: str, values: Values, *, single: bool) -> tuple[int, Column | None, Measure]:
        """The id of a measure and its values; None in their place where it has another type already."""
        measure = self._known.get((name, single))
        if measure is None:
            measure = Measure(len(self.measures) + FIRST_MEASURE, name, values.type, single)
            self.measures.append(measure)
            self._known[name, single] = measure
        if measure.type == values.type:
            return measure.id, Column(values.type, values.data, values.valid, values.words), measure
        if (measure.type, values.type) == ("double", "bigint"):
            return measure.id, Column("double", values.data.astype(np.float64), values.valid), measure
        return measure.id, None, measure


def check_names(definition: TableDefinition, dimensions: Mapping[str, Any], measures: Mapping[str, Any]) -> None:
    """Invalid where a name is both a dimension and a measure."""
    known = {*definition.dimensions, *dimensions}
    clash = known.intersection(measures) | set(dimensions).intersection(m.name for m in definition.measures)
    if clash:
        name = min(clash)
        raise Invalid(
            f"{name!r} would be both a dimension and a measure of table {definition.name!r}: name one of them otherwise"
        )


def check_counts(definition: TableDefinition, kinds: int) -> None:
    """TooLarge where a table would have too many dimensions or measure names. kinds: of multi-measure records."""
    if len(definition.dimensions) > MOST_DIMENSIONS:
        raise TooLarge(
            f"a table has at most {MOST_DIMENSIONS} dimensions, {definition.name!r} would have "
            f"{len(definition.dimensions)}",
            limit=MOST_DIMENSIONS,
        )
    names = kinds + sum(measure.single for measure in definition.measures)
    if names > MOST_MEASURE_NAMES:
        raise TooLarge(
            f"a table has at most {MOST_MEASURE_NAMES:,} measure names, {definition.name!r} would have {names:,}",
            limit=MOST_MEASURE_NAMES,
        )
