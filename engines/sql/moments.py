"""VARIANCE, STDDEV, CORR, COVAR, REGR_SLOPE: number, means, and sums of squared differences of each group.

Two parts A and B of a group are put together without going back to the rows (Chan, Golub, LeVeque, 1979):

    n = nA + nB    d = meanB - meanA    mean = meanA + d nB/n    M2 = M2A + M2B + d^2 nA nB/n

The sums of products of a pair follow the same formula with d of x times d of y.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from engines._native import group
from engines.sql.column import Array, Column, expand
from engines.sql.totals import Counts, Groups, as_double, grown, numbers_of
from engines.sql.types import Type

SPREADS: Final = {
    "variance": ("samp", False),
    "var_samp": ("samp", False),
    "var_pop": ("pop", False),
    "stddev": ("samp", True),
    "stddev_samp": ("samp", True),
    "stddev_pop": ("pop", True),
}
PAIRS: Final = frozenset({"corr", "covar_pop", "covar_samp", "regr_slope", "regr_intercept", "regr_r2"})


@dataclass(frozen=True, slots=True)
class Spread:
    """A state: [n, mean, squares]."""

    def start(self, room: int) -> list[Array]:
        return [np.zeros(room), np.zeros(room), np.zeros(room)]

    def grow(self, state: list[Array], used: int, room: int) -> None:
        state[:] = [grown(array, used, room) for array in state]

    def add(self, state: list[Array], columns: Sequence[Column], groups: Groups | None, rows: int) -> None:
        group.moments(as_double(expand(columns[0], rows)), numbers_of(groups, rows), *state)

    def merge(self, state: list[Array], other: list[Array], groups: Groups) -> None:
        for start in range(0, len(groups), 4096):
            into = groups[start : start + 4096]
            if len(np.unique(into)) == len(into):
                _merge(state, other, into, slice(start, start + len(into)))
            else:
                for i, at in enumerate(into, start):
                    _merge(state, other, np.array([at]), slice(i, i + 1))

    def finish(self, state: list[Array], counts: Counts, type: Type, function: str) -> Column:
        n, _, squares = (array[: len(counts)] for array in state)
        kind, root = SPREADS[function]
        return _quotient(squares, n - 1 if kind == "samp" else n, type, root=root)


def _merge(state: list[Array], other: list[Array], into: Array, rows: slice) -> None:
    """Adds rows of the other's moments to groups that are all different."""
    n_a, n_b = state[0][into], other[0][rows]
    n = np.maximum(n_a + n_b, 1)
    away = other[1][rows] - state[1][into]
    state[2][into] += other[2][rows] + away * away * n_a * n_b / n
    state[1][into] += away * n_b / n
    state[0][into] += n_b


def _quotient(above: Array, below: Array, type: Type, *, root: bool = False) -> Column:
    """Above / below, NULL where below is not above 0."""
    there = below > 0
    value = np.where(there, above / np.where(there, below, 1), 0.0)
    return Column(type, np.sqrt(value) if root else value, valid=None if there.all() else there.astype(np.uint8))


@dataclass(frozen=True, slots=True)
class Pair:
    """A state: [n, five rows: mean x, mean y, squares of x, squares of y, products]. SQL gives y first: f(y, x)."""

    def start(self, room: int) -> list[Array]:
        return [np.zeros(room), np.zeros((5, room))]

    def grow(self, state: list[Array], used: int, room: int) -> None:
        state[:] = [grown(array, used, room) for array in state]

    def add(self, state: list[Array], columns: Sequence[Column], groups: Groups | None, rows: int) -> None:
        y, x = (as_double(expand(column, rows)) for column in columns)
        group.pair_moments(x, y, numbers_of(groups, rows), *state)

    def merge(self, state: list[Array], other: list[Array], groups: Groups) -> None:
        n, sums = state
        for i, at in enumerate(groups.tolist()):
            more, mine, theirs = other[0][i], sums[:, at], other[1][:, i]
            if more == 0:
                continue
            whole = n[at] + more
            share = n[at] * more / whole
            x, y = theirs[0] - mine[0], theirs[1] - mine[1]
            mine[2:] += theirs[2:] + np.array([x * x, y * y, x * y]) * share
            mine[:2] += np.array([x, y]) * more / whole
            n[at] = whole

    def finish(self, state: list[Array], counts: Counts, type: Type, function: str) -> Column:
        n, sums = state[0][: len(counts)], state[1][:, : len(counts)]
        mean_x, mean_y, xx, yy, xy = sums
        match function:
            case "covar_pop":
                return _quotient(xy, n, type)
            case "covar_samp":
                return _quotient(xy, n - 1, type)
            case "corr":
                return _quotient(xy, np.sqrt(xx) * np.sqrt(yy), type)
            case "regr_slope":
                return _quotient(xy, xx, type)
            case "regr_r2":
                return _quotient(xy * xy, xx * yy, type)
        return _quotient(mean_y * xx - xy * mean_x, xx, type)  # regr_intercept
