"""Verdicts: what becomes of each record of a batch, by identity and version.

    is it there?    version       values       verdict
    no              any           any          NEW, or LATE where its series has later rows already
    yes             higher        any          REPLACED
    yes             not higher    the same     UNCHANGED
    yes             not higher    others       REFUSED, with the version that is there

The same table serves records that follow each other in one batch: "there" is then what the ones before have left.
Values are compared bit by bit: a NaN is the same as one of the same bits, -0.0 is not 0.0.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines.timeseries.journal import LATE, REPLACED
from engines.timeseries.lookup import Hits
from engines.timeseries.ordering import Order, ordered
from engines.timeseries.part import VERSION
from engines.timeseries.rows import Column, Rows, is_version

UNCHANGED: Final = 3  # goes on from journal.NEW, LATE, REPLACED: what is <= REPLACED is written
REFUSED: Final = 4
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Find = Callable[[npt.NDArray[np.int32], Index], Iterator[Hits]]


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """kinds: a verdict a record. order: those to be written, sorted by series and time; None: all, as they are."""

    kinds: npt.NDArray[np.int8] | None  # None: all are NEW
    order: Index | None
    existing: dict[int, int] = field(default_factory=dict)  # of refused records: the version that is there


def judged(rows: Rows, newest: Index, find: Find, *, replacing: bool = False) -> Verdicts:
    """The verdicts on these records. newest: by series, the time of its latest row, -1 for none.

    replacing: other values of the version that is there are REPLACED, not REFUSED.
    """
    late = rows.times <= newest[rows.series]
    order = ordered(rows.series, rows.times)
    if not order.repeats and not late.any():
        return Verdicts(None, order.index)
    return _judged(rows, order, late, find, replacing=replacing)


def _judged(rows: Rows, sorting: Order, late: Mask, find: Find, *, replacing: bool) -> Verdicts:
    order = sorting.of(len(rows))
    repeats: Mask | None = None
    if sorting.repeats:
        series, times = rows.series[order], rows.times[order]
        repeats = (series[1:] == series[:-1]) & (times[1:] == times[:-1])
    kinds = np.zeros(len(rows), np.int8)
    existing: dict[int, int] = {}
    asked = np.flatnonzero(late)
    kinds[asked] = LATE
    stored: dict[int, tuple[Rows, int]] = {}
    contested = np.zeros(len(rows), np.bool_)
    if repeats is not None:
        contested[order[1:][repeats]] = contested[order[:-1][repeats]] = True
    if len(asked):
        for found in find(rows.series[asked], rows.times[asked]):
            records = asked[found.which]
            for at in np.flatnonzero(contested[records]).tolist():
                stored[int(records[at])] = found.rows, at
            alone = np.flatnonzero(~contested[records])
            _judge_alone(rows, records[alone], found.rows.take(alone), kinds, existing, replacing=replacing)
    written = kinds <= REPLACED
    if repeats is not None:
        edges = np.flatnonzero(np.append(~repeats, True))
        begin = 0
        for end in (edges + 1).tolist():
            if end - begin > 1:
                _judge_in_turn(rows, order[begin:end].tolist(), stored, kinds, existing, written, replacing=replacing)
            begin = end
    return Verdicts(kinds, order[written[order]], existing)


def _judge_alone(
    rows: Rows,
    records: Index,
    stored: Rows,
    kinds: npt.NDArray[np.int8],
    existing: dict[int, int],
    *,
    replacing: bool,
) -> None:
    """Records that are there already, each once in the batch. stored: what is there, row by row."""
    if not len(records):
        return
    given, there = versions(rows)[records], versions(stored)
    higher = given > there
    kinds[records[higher]] = REPLACED
    rest = np.flatnonzero(~higher)
    if not len(rest):
        return
    same = equal(rows.take(records[rest]), stored.take(rest))
    others = np.where(replacing & (given[rest] == there[rest]), REPLACED, REFUSED)
    kinds[records[rest]] = np.where(same, UNCHANGED, others)
    for at in rest[~same & (others == REFUSED)].tolist():
        existing[int(records[at])] = int(there[at])


def _judge_in_turn(  # noqa: PLR0917 - all of it is what judging changes
    rows: Rows,
    records: Sequence[int],
    stored: dict[int, tuple[Rows, int]],
    kinds: npt.NDArray[np.int8],
    existing: dict[int, int],
    written: Mask,
    *,
    replacing: bool,
) -> None:
    """Records of one identity, in their order. Of those accepted only the last is to be written."""
    first = int(kinds[records[0]])  # NEW or LATE, the same for all
    known = next((stored[record] for record in records if record in stored), None)
    version: int | None = None
    values: Any = None
    if known is not None:
        version, values = int(versions(known[0])[known[1]]), values_of(*known)
    accepted = REPLACED if known is not None else first
    last = None
    for record in records:
        given = int(versions(rows)[record])
        written[record] = False
        mine = values_of(rows, record)
        again = replacing and last is None and given == version and mine != values
        if version is None or given > version or again:
            kinds[record] = accepted
            version, values, last = given, mine, record
        elif mine == values:
            kinds[record] = UNCHANGED
        else:
            kinds[record] = REFUSED
            existing[record] = version
    if last is not None:
        written[last] = True


def versions(rows: Rows) -> Index:
    """The version of each row."""
    column = rows.columns.get(VERSION)
    return np.ones(len(rows), np.int64) if column is None else column.data


def values_of(rows: Rows, row: int) -> dict[int, Any]:
    """The values of one row by column, in a form that compares by bits."""
    found: dict[int, Any] = {}
    for number, column in rows.columns.items():
        if is_version(number) or (column.valid is not None and not column.valid[row]):
            continue
        found[number] = column.words[column.data[row]] if column.words is not None else column.data[row].tobytes()
    return found


def equal(one: Rows, other: Rows) -> Mask:
    """Row by row: whether both have the same values, bit by bit. Versions do not count."""
    same = np.ones(len(one), np.bool_)
    for number in {*one.columns, *other.columns}:
        if is_version(number):
            continue
        left, right = one.columns.get(number), other.columns.get(number)
        if left is None or right is None:
            lonely = left or right
            assert lonely is not None  # noqa: S101 - one of the two is there
            same &= ~lonely.present()
            continue
        there, also = left.present(), right.present()
        same &= (there == also) & (~there | _equal_data(left, right))
    return same


def _equal_data(left: Column, right: Column) -> Mask:
    if left.words is not None and right.words is not None:
        numbers = {word: number for number, word in reversed(list(enumerate(left.words)))}
        mine = np.array([numbers[word] for word in left.words] or [0], np.int64)
        other = np.array([numbers.get(word, -1) for word in right.words] or [-1], np.int64)
        return np.asarray(
            mine[np.where(left.present(), left.data, 0)] == other[np.where(right.present(), right.data, 0)]
        )
    return np.asarray(_bits(left.data) == _bits(right.data))


def _bits(data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return data.view(np.int64) if data.dtype == np.float64 else data
