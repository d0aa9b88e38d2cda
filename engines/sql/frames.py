"""Rows of windows: in the order of PARTITION BY and ORDER BY, and the ends of each row's frame.

    place              0   1   2   3   4   5   6   7         where a row stands in the order
    partition          a   a   a   a   a   b   b   b
    key                1   1   2   4   NULL 3  3   9
    starts, ends       0..5 0..5 ...       5..8 ...          of its partition
    peers              0..2 0..2 2..3 3..4 4..5 5..7 5..7 7..8
    frame              low .. high, one past the last

Frames of ROWS count places, frames of GROUPS count peers, frames of RANGE compare keys: one key, a number or a time.
A row whose key is NULL has its NULL peers where a RANGE asks for a distance.

Invariant: low <= high, and neither falls from place to place: what the kernels of windows.pyx rely on.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engines._native import windows
from engines.sql.column import Array, Column, Positions
from engines.sql.context import Context
from engines.sql.logical import Bound, Constant, Frame
from engines.sql.ordering import Direction, Words, numeric, order, words
from engines.sql.types import DAY

Flags = npt.NDArray[np.bool_]
WHOLE_PARTITION = Frame("rows", ("unbounded preceding", None), ("unbounded following", None))
UP_TO_PEERS = Frame("range", ("unbounded preceding", None), ("current row", None))


class Arrangement:
    """The rows in the order of one PARTITION BY and ORDER BY. All arrays are by place."""

    def __init__(
        self, partition: Sequence[Column], keys: Sequence[Column], directions: Sequence[Direction], rows: int
    ) -> None:
        """The columns have one value a row: none is constant."""
        parts = [numeric(column) for column in partition]
        self.keys = list(keys)
        codes = [numeric(column) for column in keys]
        self.directions = list(directions)
        self.rows = rows
        self.order = order([*parts, *codes], [Direction()] * len(parts) + self.directions, rows)
        new = self._changes(words(parts, [Direction()] * len(parts), rows))
        self.starts, self.ends = _runs(new)
        self.first_peer = new | self._changes(words(codes, self.directions, rows))
        self.peer_starts, self.peer_ends = _runs(self.first_peer)

    def _changes(self, keys: Sequence[Words]) -> Flags:
        """True where a place differs from the one before; the first does."""
        new = np.zeros(self.rows, np.bool_)
        new[:1] = True
        for word in keys:
            moved = word[self.order]
            new[1:] |= moved[1:] != moved[:-1]
        return new

    def back(self, values: Array) -> Array:
        """Values by place as values by row."""
        restored = np.empty_like(values)
        restored[self.order] = values
        return restored

    def groups(self) -> npt.NDArray[np.int64]:
        """The number of each place's group of peers, from 0 over all partitions."""
        return np.cumsum(self.first_peer) - 1

    def frame(self, frame: Frame, context: Context) -> tuple[Positions, Positions]:
        """The ends of each place's frame: its first place, and one past its last."""
        low = self._end(frame, frame.start, context, high=False)
        high = self._end(frame, frame.end, context, high=True)
        return low, np.maximum(low, high)

    def _end(self, frame: Frame, bound: tuple[str, Any], context: Context, *, high: bool) -> Positions:
        name, given = bound
        if name == "unbounded preceding":
            return self.starts
        if name == "unbounded following":
            return self.ends
        if name == "current row":
            if frame.unit != "rows":
                return self.peer_ends if high else self.peer_starts
            return np.arange(self.rows, dtype=np.int32) + np.int32(high)
        distance = value_of(given, context)
        if frame.unit == "range":
            return self._range(name, distance, context, high=high)
        if distance is None or isinstance(distance, tuple | bytes) or distance != int(distance) or distance < 0:
            raise context.error(f"the frame of a window counts {frame.unit} from 0 on, got {distance!r}")
        steps = min(int(distance), self.rows) * (-1 if name == "preceding" else 1) + high
        if frame.unit == "rows":
            return np.clip(np.arange(self.rows) + steps, self.starts, self.ends).astype(np.int32)
        numbers = self.groups()
        cuts = np.append(np.flatnonzero(self.first_peer), self.rows)
        most = np.append(numbers, -1)[self.ends - 1] + 1  # the group after the partition's last
        return cuts[np.clip(numbers + steps, numbers[self.starts], most)].astype(np.int32)

    def _range(self, name: str, distance: Any, context: Context, *, high: bool) -> Positions:  # noqa: ANN401 - engine value
        if len(self.keys) != 1:
            raise context.error(f"RANGE with a distance needs ORDER BY one key, this window has {len(self.keys)}")
        key = self.keys[0]
        if not (key.type.number or key.type.temporal or key.type.kind == "time") or key.words is not None or key.wide:
            raise context.error(f"RANGE with a distance needs a key that is a number or a time, not {key.type}")
        descending = self.directions[0].descending
        keys = (key.data if key.type.floating else key.numbers())[self.order]
        if key.type.floating:
            keys = np.where(np.isnan(keys), np.inf, keys)
        targets = moved(key, keys, distance, backwards=(name == "preceding") != descending, context=context)
        if descending:
            keys, targets = (-keys, -targets) if key.type.floating else (~keys, ~targets)
        first, last = self.starts, self.ends
        there: Flags | None = None
        if key.valid is not None:
            there = key.valid[self.order] != 0
            places = np.arange(self.rows, dtype=np.int32)
            count = np.append(0, np.cumsum(there)).astype(np.int32)
            missing = (self.ends - self.starts) - (count[self.ends] - count[self.starts])
            if self.directions[0].nulls_first:
                first = np.where(there, self.starts + missing, places)
                last = np.where(there, self.ends, places)
            else:
                first = np.where(there, self.starts, places)
                last = np.where(there, self.ends - missing, places)
        found = np.empty(self.rows, np.int32)
        windows.range_ends(keys, targets, first.astype(np.int32), last.astype(np.int32), high, found)
        return found if there is None else np.where(there, found, self.peer_ends if high else self.peer_starts)


def _runs(new: Flags) -> tuple[Positions, Positions]:
    """For each place where its run starts, and one past where it ends."""
    cuts = np.append(np.flatnonzero(new), len(new)).astype(np.int32)
    lengths = cuts[1:] - cuts[:-1]
    return np.repeat(cuts[:-1], lengths), np.repeat(cuts[1:], lengths)


def value_of(given: Any, context: Context) -> Any:  # noqa: ANN401 - an engine value
    """An offset in the plan: an engine value, or an expression that holds one."""
    if isinstance(given, Constant):
        return given.value
    return context.values.get(given.name) if isinstance(given, Bound) else given


def moved(key: Column, keys: Array, distance: Any, *, backwards: bool, context: Context) -> Array:  # noqa: ANN401 - engine value
    """The keys, that distance further; where 64 bits end, their end."""
    months, step = distance if isinstance(distance, tuple) else (0, distance)
    if step is None or months < 0 or step < 0 or step != step:  # noqa: PLR0124 - NaN
        raise context.error("the distance of a RANGE must not be negative or NULL")
    if key.type.floating:
        further: Array = keys + (-step if backwards else step)
        return further
    if key.type.kind == "date" and isinstance(distance, tuple):
        step //= DAY
    elif key.type.kind in {"timestamp", "timestamptz"} and key.type.unit == "ns" and isinstance(distance, tuple):
        step *= 1000
    if months:
        keys = months_away(keys, key.type.kind, key.type.unit, -months if backwards else months)
    edge = np.iinfo(np.int64)
    step = min(int(step), int(edge.max))
    if backwards:
        return np.where(keys < edge.min + step, edge.min, keys - np.int64(step))
    return np.where(keys > edge.max - step, edge.max, keys + np.int64(step))


def months_away(keys: npt.NDArray[np.int64], kind: str, unit: str, months: int) -> npt.NDArray[np.int64]:
    """Days, or moments, that many months away; the day is cut to the length of its new month."""
    length = 1 if kind == "date" else DAY * (1000 if unit == "ns" else 1)
    days, rest = np.divmod(keys, length)
    month = days.astype("datetime64[D]").astype("datetime64[M]")
    day = days - _days(month)
    longest = _days(month + (months + 1)) - _days(month + months) - 1
    found: npt.NDArray[np.int64] = (_days(month + months) + np.minimum(day, longest)) * length + rest
    return found


def _days(month: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    return month.astype("datetime64[D]").astype(np.int64)
