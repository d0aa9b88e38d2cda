"""Rows in order: by series, then by time; rows of one moment stay as they came.

Rows arrive in order of time, or nearly. So they are counted into series, which is two passes, and only if times do not
rise then is each series sorted, by merging the few runs that do rise (_native/tsmerge.pyx).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engines._native import tsmerge

SPARSE: Final = 16  # times as many series numbers as rows, from which comparing is cheaper than counting
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """index: the rows in order, None where they are. repeats: whether a series has two rows of one time."""

    index: Index | None
    repeats: bool

    def of(self, count: int) -> Index:
        """The index, also where all is in order."""
        return np.arange(count) if self.index is None else self.index


def ordered(series: npt.NDArray[np.int32], times: Index) -> Order:
    """How these rows are sorted."""
    rows = len(series)
    if not rows:
        return Order(None, repeats=False)
    numbers = int(series.max()) + 1
    if numbers > SPARSE * rows:
        index = np.lexsort((times, series))
        same = (series[index[1:]] == series[index[:-1]]) & (times[index[1:]] == times[index[:-1]])
        return Order(index, repeats=bool(same.any()))
    index = np.empty(rows, np.int64)
    starts = np.empty(numbers + 1, np.int64)
    series, times = np.ascontiguousarray(series), np.ascontiguousarray(times)
    state = tsmerge.group(series, times, starts, index)
    if state < 2:
        return Order(None if state == 0 else index, repeats=False)
    return Order(index, repeats=tsmerge.settle(times, starts, index, np.empty(3 * rows, np.int64)))
