"""WHERE: finding the rows where a condition is true.

The conjuncts are taken one after the other, cheapest first. As long as most rows are left, each makes a mask of all
rows, which meet by AND: a comparison of a narrow column takes 2-4 us for 65,536 rows, less than making positions and
gathering would. When few are left, or when the next conjunct is expensive or may fail, the rows are narrowed down: a
sub-frame of the positions that are left, and what follows looks at those only.

    mask of all rows  AND  mask  AND  mask  ->  positions  ->  masks of the rows left  ->  positions

Comparisons of one whole-number column with constants become one range: shipdate >= a AND shipdate < b is one kernel
call. A range that covers the column's bounds costs none, and one that misses them ends the search.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from engines._native import vector
from engines.sql import comparisons
from engines.sql.arithmetic import places, value_of
from engines.sql.column import Batch, Bytes, Column, Positions, compose
from engines.sql.context import Context
from engines.sql.evaluation import Frame, Nodes, is_null, positions, truth

EXPENSIVE: Final = 3.0  # ns a row, from which on it pays to look only at the rows that are left
FEW: Final = 0.125  # of the rows: then it always pays


@dataclass(frozen=True, slots=True)
class Range:
    """A whole-number node compared with constants: (test, node of the constant) each, none of them <> if several."""

    column: int
    tests: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Test:
    """A conjunct. cost: ns a row."""

    node: int
    cost: float
    risky: bool
    range: Range | None = None


class Condition:
    """A compiled condition. Threads may share one."""

    __slots__ = ("nodes", "tests")

    def __init__(self, nodes: Nodes, tests: Sequence[Test]) -> None:
        self.nodes = nodes
        merged = _merged(tests)
        # a conjunct that may fail stays behind those before it: WHERE b <> 0 AND a / b > 2
        self.tests = sorted(merged, key=lambda test: (test.risky, 0.0 if test.risky else test.cost))

    def positions(self, batch: Batch, context: Context) -> Positions | None:
        """Where it is true, in order; None for all rows."""
        if batch.rows == 0:
            return None
        frame = self.nodes.frame(batch, context)
        at: Positions | None = None  # the frame's rows, in the batch
        mask: Bytes | None = None  # of the frame's rows; None = all
        mine = False  # whether the mask may be changed
        for test in self.tests:
            if mask is not None:
                kept = vector.count(mask)
                if kept == 0:
                    return np.zeros(0, np.int32)
                if kept < frame.rows and (test.risky or test.cost > EXPENSIVE or kept < FEW * frame.rows):
                    hits = positions(mask, kept)
                    at = hits if at is None else compose(at, hits)
                    frame, mask = frame.sub(hits), None
            found = _apply(test, frame, mask, mine=mine)
            if found is False:
                return np.zeros(0, np.int32)
            if found is not True and found is not mask:
                mask, mine = found, mask is not None or test.range is not None
        if mask is None:
            return at
        kept = vector.count(mask)
        if kept == frame.rows:
            return at
        hits = positions(mask, kept)
        return hits if at is None else compose(at, hits)


def _apply(test: Test, frame: Frame, mask: Bytes | None, *, mine: bool) -> Bytes | bool:
    """The mask, with the test's ANDed to it; True and False where it is that for every row."""
    if test.range is not None:
        column = frame.value(test.range.column)
        if column.constant:
            column = replace(column, constant=False)
            found = _range(test.range, column, frame, 1, None)
            return bool(found) if isinstance(found, bool) else bool(found[0])
        return _range(test.range, column, frame, frame.rows, mask if mine or mask is None else mask.copy())
    column = frame.value(test.node)
    if column.constant:
        return bool(truth(column, 1)[0])
    own = truth(column, frame.rows)
    return own if mask is None else mask & own


def _range(range: Range, column: Column, frame: Frame, rows: int, mask: Bytes | None) -> Bytes | bool:
    """As `_apply`. The mask that is given is changed."""
    if range not in frame.constants:
        frame.constants[range] = _limits(range, column, frame)
    limits: comparisons.Range | None = frame.constants[range]
    if limits is None:
        return False
    low, high, negate = limits
    lowest, highest = column.bounds()
    inside = (low is None or low <= lowest) and (high is None or highest <= high)
    outside = (low is not None and low > highest) or (high is not None and high < lowest)
    if inside or outside:
        if inside == negate:
            return False
        if column.valid is None:
            return True if mask is None else mask
        return column.valid.copy() if mask is None else np.bitwise_and(mask, column.valid, out=mask)
    mask = comparisons.within(column, limits, rows, mask)
    return mask if column.valid is None else np.bitwise_and(mask, column.valid, out=mask)


def _limits(range: Range, column: Column, frame: Frame) -> comparisons.Range | None:
    """What the range's constants come to in this run; None where one is NULL."""
    low: int | None = None
    high: int | None = None
    for test, node in range.tests:
        value = frame.value(node)
        if is_null(value):
            return None
        limits = comparisons.limits(test, value_of(value), places(value.type), places(column.type))
        if limits[2]:
            return limits
        low = limits[0] if low is None or (limits[0] is not None and limits[0] > low) else low
        high = limits[1] if high is None or (limits[1] is not None and limits[1] < high) else high
    return low, high, False


def _merged(tests: Sequence[Test]) -> list[Test]:
    """Ranges of the same node become one; not those that leave something out."""
    merged: list[Test] = []
    place: dict[int, int] = {}
    for test in tests:
        if test.range is None or test.range.tests[0][0] == "<>":
            merged.append(test)
        elif test.range.column in place:
            i = place[test.range.column]
            known = merged[i].range
            assert known is not None, "only ranges have a place"  # noqa: S101 - by construction
            merged[i] = replace(merged[i], range=Range(known.column, known.tests + test.range.tests))
        else:
            place[test.range.column] = len(merged)
            merged.append(test)
    return merged
