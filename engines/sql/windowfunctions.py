"""The window functions by name: each takes a call (windowcall.py) and answers for all rows at once.

    ranks, shares          from the starts and ends of partitions and peers
    lag first nth max      the place of the row that has the answer, -1 for none; its value is gathered
    count, whole sums      differences of running totals, exact; Python's numbers where 64 bits do not hold them
    sums of doubles        windows.pyx: nothing is subtracted, so nothing cancels
    avg stddev variance    from these

Arrays by place go in and come out; no Python looks at a row.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from engines._native import windows
from engines.sql.column import Array, Bytes, Positions
from engines.sql.concatenate import concatenate
from engines.sql.frames import WHOLE_PARTITION
from engines.sql.ordering import Direction, numeric, words
from engines.sql.windowcall import Answer, Running

SAFE: Final = 2**62  # totals below it are summed in 64 bits


# ---- ranks -------------------------------------------------------------------------------------------------------


def row_number(run: Running) -> Answer:
    """The number of the row in its partition, from 1."""
    return run.whole(np.arange(1, run.rows.rows + 1) - run.rows.starts)


def rank(run: Running) -> Answer:
    """The number of the first of the row's peers: 1 1 3."""
    return run.whole(run.rows.peer_starts - run.rows.starts + 1)


def dense_rank(run: Running) -> Answer:
    """How many different keys came so far: 1 1 2."""
    groups = run.rows.groups()
    return run.whole(groups - groups[run.rows.starts] + 1)


def percent_rank(run: Running) -> Answer:
    """(rank - 1) / (rows - 1), 0 for a row that is alone."""
    others = run.rows.ends - run.rows.starts - 1
    return run.answer((run.rows.peer_starts - run.rows.starts) / np.maximum(others, 1), None)


def cume_dist(run: Running) -> Answer:
    """The share of the partition's rows up to the last of the row's peers."""
    return run.answer((run.rows.peer_ends - run.rows.starts) / (run.rows.ends - run.rows.starts), None)


def ntile(run: Running) -> Answer:
    """The number of the bucket, from 1; the first buckets are one row longer where it does not divide."""
    buckets = run.number(0, 0)
    if np.min(buckets) < 1:
        raise run.context.error(f"NTILE needs a number of buckets from 1 on, got {np.min(buckets)}", run.call.position)
    place = np.arange(run.rows.rows) - run.rows.starts
    small, longer = np.divmod(run.rows.ends - run.rows.starts, buckets)  # so many buckets have one row more
    border = longer * (small + 1)
    in_small = longer + (place - border) // np.maximum(small, 1)
    return run.whole(np.where(place < border, place // (small + 1), in_small) + 1)


# ---- the value of another row ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Present:
    """Places that have a value: counts[i] of them are before place i; numbered by `places`."""

    places: Positions
    counts: Positions

    @classmethod
    def of(cls, valid: Bytes) -> "Present":
        counts = np.zeros(len(valid) + 1, np.int32)
        np.cumsum(valid, out=counts[1:])
        return cls(np.append(np.flatnonzero(valid), -1).astype(np.int32), counts)

    def number(self, numbers: Array, low: Array, high: Array) -> Array:
        """The place of the present value of that number, if it is in low .. high; else -1."""
        inside = (numbers >= self.counts[low]) & (numbers < self.counts[high])
        return np.where(inside, self.places[np.where(inside, numbers, 0)], -1)


def lag(run: Running) -> Answer:
    """The value so many rows before."""
    return _shifted(run, -1)


def lead(run: Running) -> Answer:
    """The value so many rows behind."""
    return _shifted(run, 1)


def _shifted(run: Running, sign: int) -> Answer:
    rows = run.rows
    distance = run.number(1, 1)
    here = np.arange(rows.rows)
    valid = run.valid() if run.call.ignore_nulls else None
    if valid is None:
        there = here + sign * distance
        places = np.where((there >= rows.starts) & (there < rows.ends), there, -1)
    else:
        present = Present.of(valid)
        numbers = present.counts[here] - distance if sign < 0 else present.counts[here + 1] + distance - 1
        places = present.number(numbers, rows.starts, rows.ends)
        places = np.where(distance == 0, here, places)
    if len(run.arguments) < 3:
        return run.at(places)
    # the defaults behind the values in one column: what has no row takes the default of its own row
    value, default = run.arguments[0], run.arguments[2]
    both = concatenate([value, replace(default, type=value.type)])
    row = np.where(places < 0, rows.order + np.int32(rows.rows), rows.order[np.maximum(places, 0)])
    return Answer(replace(both, type=run.call.type), rows.back(row.astype(np.int32)))


def first_value(run: Running) -> Answer:
    """The value of the frame's first row."""
    return _nth(run, 1)


def last_value(run: Running) -> Answer:
    """The value of the frame's last row."""
    low, high = run.frame()
    valid = run.valid() if run.call.ignore_nulls else None
    if valid is None:
        return run.at(np.where(low < high, high - 1, -1))
    present = Present.of(valid)
    return run.at(present.number(present.counts[high] - 1, low, high))


def nth_value(run: Running) -> Answer:
    """The value of the frame's nth row, from 1; NULL if it is shorter."""
    number = run.number(1, 1)
    if np.min(number) < 1:
        raise run.context.error(f"NTH_VALUE counts rows from 1 on, got {np.min(number)}", run.call.position)
    return _nth(run, number)


def _nth(run: Running, number: npt.NDArray[np.int64] | int) -> Answer:
    low, high = run.frame()
    valid = run.valid() if run.call.ignore_nulls else None
    if valid is None:
        there = low + (number - 1)
        return run.at(np.where(there < high, there, -1))
    present = Present.of(valid)
    return run.at(present.number(present.counts[low] + (number - 1), low, high))


def any_value(run: Running) -> Answer:
    """The frame's first value that is not NULL."""
    run.call = replace(run.call, ignore_nulls=True)
    return _nth(run, 1)


def least(run: Running) -> Answer:
    """MIN over the frame."""
    return _extreme(run, descending=False)


def greatest(run: Running) -> Answer:
    """MAX over the frame."""
    return _extreme(run, descending=True)


def _extreme(run: Running, *, descending: bool) -> Answer:
    argument = run.arguments[0]
    keys = words([replace(numeric(argument), valid=None)], [Direction(descending)], run.rows.rows)[0]
    low, high = run.frame()
    found = np.empty(run.rows.rows, np.int32)
    room = np.empty(run.rows.rows, np.int32)
    windows.sliding_least(keys[run.rows.order], run.valid(), low, high, room, found)
    return run.at(found)


# ---- totals ------------------------------------------------------------------------------------------------------


def count(run: Running) -> Answer:
    """The frame's rows, or its values that are not NULL."""
    low, high = run.frame()
    return run.whole(_counts(run.valid(), low, high))


def _counts(valid: Bytes | None, low: Positions, high: Positions) -> npt.NDArray[np.int64]:
    if valid is None:
        return (high - low).astype(np.int64)
    before = np.append(0, np.cumsum(valid, dtype=np.int64))
    counted: npt.NDArray[np.int64] = before[high] - before[low]
    return counted


def _doubles(run: Running) -> npt.NDArray[np.float64]:
    """The argument by place, as doubles."""
    column = run.arguments[0]
    if column.type.floating:
        exact: npt.NDArray[np.float64] = column.data[run.rows.order]
        return exact
    whole = column.data if column.wide else column.numbers()
    found: npt.NDArray[np.float64] = whole[run.rows.order].astype(np.float64)
    return found / 10.0**column.type.scale if column.type.scale else found


def _sums(run: Running, low: Positions, high: Positions) -> Array:
    """Of each frame: doubles, or whole numbers at the argument's scale, of Python where they may not fit 64 bits."""
    column = run.arguments[0]
    valid = run.valid()
    if column.type.floating:
        sums = np.empty(run.rows.rows)
        windows.sliding_sums(_doubles(run), valid, low, high, np.empty((run.rows.rows, 2)), sums)
        return sums
    values = column.data if column.wide else column.numbers()
    values = values[run.rows.order]
    if valid is not None:
        values = np.where(valid, values, 0)
    if not column.wide and max(abs(int(values.min())), abs(int(values.max()))) * len(values) >= SAFE:
        values = values.astype(object)
    before = np.append(np.zeros(1, values.dtype), np.cumsum(values))
    found: Array = before[high] - before[low]
    return found


def total(run: Running) -> Answer:
    """SUM over the frame; NULL if it has no value."""
    low, high = run.frame()
    sums = _sums(run, low, high)
    if run.call.type.floating and run.arguments[0].type.scale:
        sums = sums.astype(np.float64) / 10.0 ** run.arguments[0].type.scale
    return run.answer(sums, _counts(run.valid(), low, high) > 0)


def average(run: Running) -> Answer:
    """AVG as its type says: a double, a decimal rounded half away from zero, or a whole number cut towards zero."""
    low, high = run.frame()
    sums = _sums(run, low, high)
    counts = _counts(run.valid(), low, high)
    some = counts > 0
    divisors = np.maximum(counts, 1)
    scale = run.arguments[0].type.scale
    if run.call.type.floating:
        return run.answer(sums.astype(np.float64) / divisors / 10.0**scale, some)
    if run.arguments[0].type.floating:
        sums, scale = np.rint(sums * 10.0**run.call.type.scale).astype(object), run.call.type.scale
    factor = 10 ** (run.call.type.scale - scale)
    if sums.dtype == object or max(abs(int(sums.min())), abs(int(sums.max()))) * factor * 2 >= SAFE:
        sums, divisors = sums.astype(object), divisors.astype(object)
    sums = sums * factor
    size = np.abs(sums)
    halves = 0 if run.call.type.integer else divisors
    quotients = (2 * size + halves) // (2 * divisors)
    return run.answer(np.where(sums < 0, -quotients, quotients), some)


def _variance(run: Running, freedom: int, *, root: bool) -> Answer:
    low, high = run.frame()
    squares = np.empty(run.rows.rows)
    values, valid = _doubles(run), run.valid()
    windows.sliding_squares(values, valid, low, high, np.empty((run.rows.rows, 3)), squares)
    counts = _counts(valid, low, high)
    found = squares / np.maximum(counts - freedom, 1)
    return run.answer(np.sqrt(found) if root else found, counts > freedom)


def share(run: Running) -> Answer:
    """RATIO_TO_REPORT: the value over the sum of its partition."""
    low, high = run.rows.frame(WHOLE_PARTITION, run.context)
    sums = _sums(run, low, high).astype(np.float64) / 10.0 ** run.arguments[0].type.scale
    valid = run.valid()
    there = sums != 0 if valid is None else (valid != 0) & (sums != 0)
    return run.answer(_doubles(run) / np.where(sums == 0, 1, sums), there)


def every(run: Running) -> Answer:
    """BOOL_AND over the frame: the least of booleans."""
    return _extreme(run, descending=False)


def some(run: Running) -> Answer:
    """BOOL_OR over the frame: the greatest of booleans."""
    return _extreme(run, descending=True)


NULL_SKIPPERS: Final = frozenset({"lag", "lead", "first_value", "last_value", "nth_value", "any_value"})
FUNCTIONS: Final[dict[str, Callable[[Running], Answer]]] = {
    "row_number": row_number,
    "rank": rank,
    "dense_rank": dense_rank,
    "percent_rank": percent_rank,
    "cume_dist": cume_dist,
    "ntile": ntile,
    "lag": lag,
    "lead": lead,
    "first_value": first_value,
    "last_value": last_value,
    "nth_value": nth_value,
    "any_value": any_value,
    "min": least,
    "max": greatest,
    "bool_and": every,
    "bool_or": some,
    "count": count,
    "sum": total,
    "avg": average,
    "stddev_samp": lambda run: _variance(run, 1, root=True),
    "stddev_pop": lambda run: _variance(run, 0, root=True),
    "var_samp": lambda run: _variance(run, 1, root=False),
    "var_pop": lambda run: _variance(run, 0, root=False),
    "ratio_to_report": share,
}
