"""What a fold leaves: for each column count, sum, least and greatest value, by group and bin."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engines.timeseries.part import TIME, Part

if TYPE_CHECKING:
    from engines.timeseries.fused import Groups
    from engines.timeseries.scan import Reading

Index = npt.NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Cells:
    """Of one column, [group, bin] each. exact: where a sum of whole numbers fits 64 bits; None: everywhere."""

    count: Index
    sum: npt.NDArray[Any] | None = None
    low: npt.NDArray[Any] | None = None
    high: npt.NDArray[Any] | None = None
    exact: npt.NDArray[np.bool_] | None = None


@dataclass(slots=True, eq=False)
class Cube:
    """See the module's text."""

    shape: tuple[int, int]
    columns: dict[int, Cells] = field(default_factory=dict)

    def counted(self, ids: list[int]) -> Index:
        """How many values the columns have together."""
        found = np.zeros(self.shape, np.int64)
        for id in ids:
            found = self.columns[id].count if len(ids) == 1 else found + self.columns[id].count
        return found

    def summed(self, ids: list[int]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """The sums of the columns together, and where they are exact."""
        total: npt.NDArray[Any] | None = None
        exact = np.ones(self.shape, bool)
        for id in ids:
            cells = self.columns[id]
            assert cells.sum is not None, "it was asked for"  # noqa: S101 - by construction
            if cells.exact is not None:
                exact &= cells.exact
            if total is None:
                total = cells.sum
                continue
            with np.errstate(over="ignore"):
                added = total + cells.sum
            if added.dtype == np.int64:
                exact &= ((total ^ added) & (cells.sum ^ added)) >= 0
            total = added
        assert total is not None, "there is a column"  # noqa: S101 - by construction
        return total, exact

    def extreme(self, ids: list[int], function: str) -> npt.NDArray[Any]:
        """The least or greatest values of the columns together; anything where there is none."""
        best: npt.NDArray[Any] | None = None
        have = np.zeros(self.shape, bool)
        for id in ids:
            cells = self.columns[id]
            values = cells.low if function == "min" else cells.high
            assert values is not None, "it was asked for"  # noqa: S101 - by construction
            if best is None:
                best, have = values, cells.count > 0
                continue
            choose = np.fmin if function == "min" else np.maximum  # NaN is greater than all
            best = np.where(have & (cells.count > 0), choose(best, values), np.where(have, best, values))
            have = have | (cells.count > 0)
        assert best is not None, "there is a column"  # noqa: S101 - by construction
        return best


def folded(
    reading: "Reading",
    parts: list[Part],
    groups: "Groups",
    asked: dict[int, set[str]],
    low: int,
    high: int,
    bins: tuple[int, int, int] | None,
) -> Cube:
    """Folds the blocks of parts. bins: width, number of the first, how many; None: one for all."""
    from engines.timeseries.selection import TYPES, Selection

    width, first, count = bins or (0, 0, 1)
    cube = Cube((groups.count, count))
    size = groups.count * count
    kinds = {one.id: one.type for one in reading.columns.definition.measures}
    for id in asked:
        kind = "bigint" if id == TIME else kinds[id]
        item = np.float64 if kind == "double" else np.int64
        cube.columns[id] = Cells(
            np.zeros(size, np.int64),
            np.zeros(size, item),
            np.full(size, np.inf if kind == "double" else 2**63 - 1, item),
            np.full(size, -np.inf if kind == "double" else -(2**63), item),
        )
    wanted = Selection(low, high, groups.series, True, (), ())
    of = np.full(len(reading.source.table.series), -1, np.int64)
    of[groups.series] = groups.of
    for part in parts:
        chosen = reading.choose(part, wanted)
        if not len(chosen.times):
            continue
        times = reading.times(chosen)
        rows = part.blocks["rows"][chosen.times].astype(np.int64)
        cell = np.repeat(of[part.series[chosen.place]], rows) * count
        if bins:
            cell = cell + np.clip(times // width - first, 0, count - 1)
        inside = (times >= low) & (times <= high)
        for id, what in asked.items():
            cells = cube.columns[id]
            if id == TIME:
                cells.count += np.bincount(cell[inside], minlength=size)
                continue
            column = reading.decode(chosen, id, TYPES[kinds[id]])
            if column.constant:
                continue
            keep = inside if column.valid is None else inside & (column.valid > 0)
            at, data = cell[keep], column.data[keep]
            cells.count += np.bincount(at, minlength=size)
            if what & {"sum"}:
                np.add.at(cells.sum, at, data)
            if what & {"min"}:
                np.fmin.at(cells.low, at, data)
            if what & {"max"}:
                np.maximum.at(cells.high, at, data)
    for cells in cube.columns.values():
        for name in ("count", "sum", "low", "high"):
            setattr(cells, name, getattr(cells, name).reshape(cube.shape))
    return cube
