"""A fold's answer as the physical rule wants it: columns by id, several of them taken together.

measure_value::double of a single-measure table is many columns of parts: their counts and sums are added up, their
least and greatest values compared. What one column gives is passed on as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.timeseries.fold import Folded, fold
from engines.timeseries.part import FIRST_MEASURE, TIME, Part
from engines.timeseries.scan import Reading

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[Any]


@dataclass(slots=True, eq=False)
class Cube:
    """Cells [group, bin] by the ids of columns."""

    found: Folded
    places: Mapping[int, int]

    def counted(self, ids: Sequence[int]) -> Counts:
        """How many values the columns have together."""
        first, *rest = (self.found.count(self.places[id]) for id in ids)
        for one in rest:
            first = first + one
        return first

    def summed(self, ids: Sequence[int]) -> tuple[Values, npt.NDArray[np.bool_] | None]:
        """The sums of the columns together, and where they do not fit 64 bits; None: nowhere, they are doubles."""
        total = self.found.total(self.places[ids[0]])
        if total.dtype == np.float64:
            for id in ids[1:]:
                total = total + self.found.total(self.places[id])
            return total, None
        wrong = self.found.overflows(self.places[ids[0]])
        for id in ids[1:]:
            more = self.found.total(self.places[id])
            with np.errstate(over="ignore"):
                added = total + more
            wrong = wrong | self.found.overflows(self.places[id]) | (((total ^ added) & (more ^ added)) < 0)
            total = added
        return total, wrong

    def mean(self, ids: Sequence[int]) -> npt.NDArray[np.float64]:
        """The mean of all values of the columns."""
        if len(ids) == 1:
            return self.found.mean(self.places[ids[0]])
        counts = self.counted(ids)
        total = np.zeros(counts.shape)
        for id in ids:
            mine = self.found.count(self.places[id])
            total += np.where(mine > 0, self.found.mean(self.places[id]) * mine, 0.0)
        mean: npt.NDArray[np.float64] = np.divide(total, np.maximum(counts, 1))
        return mean

    def extreme(self, ids: Sequence[int], function: str) -> Values:
        """The least or greatest values of the columns together; anything where there is none. NaN is the greatest."""
        of = self.found.low if function == "min" else self.found.high
        best, have = of(self.places[ids[0]]), self.found.count(self.places[ids[0]]) > 0
        choose = np.fmin if function == "min" else np.maximum
        for id in ids[1:]:
            values, mine = of(self.places[id]), self.found.count(self.places[id]) > 0
            best = np.where(have & mine, choose(best, values), np.where(have, best, values))
            have = have | mine
        return best


@dataclass(slots=True, eq=False)
class Groups:
    """series: rising. of: the group of each. representatives: one series of each group."""

    series: npt.NDArray[np.int32]
    of: npt.NDArray[np.int32]
    count: int
    representatives: Counts


@dataclass(slots=True)
class Stretch:
    """A stretch of time, both ends included, and its bins. width 0: all is one bin."""

    low: int
    high: int
    width: int = 0
    first: int = 0
    bins: int = 1


def folded(
    reading: Reading, parts: Sequence[Part], groups: Groups, asked: Mapping[int, frozenset[str]], stretch: Stretch
) -> Cube:
    """Folds the blocks of parts. asked: for each column what is wanted of it."""
    ids = list(asked)
    measures = reading.columns.definition.measures
    types = ["timestamp" if id == TIME else measures[id - FIRST_MEASURE].type for id in ids]
    found = fold(
        parts,
        ids,
        types,
        tuple(frozenset().union(*asked.values())),
        series=groups.series,
        groups=groups.of,
        group_count=groups.count,
        low=stretch.low,
        high=stretch.high,
        width=stretch.width,
        first_bin=stretch.first,
        bins=stretch.bins,
    )
    touched, counters = reading.touched, found.counters
    touched.pruned += counters.pruned
    touched.summarised += counters.summarised
    touched.decoded += counters.decoded + counters.in_lanes
    touched.bytes += counters.bytes
    touched.blocks += counters.summarised + counters.decoded + counters.in_lanes + counters.pruned
    return Cube(found, {id: place for place, id in enumerate(ids)})
