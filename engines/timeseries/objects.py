"""Series as Python objects: what SQL's time functions do, without SQL.

    usage = cpu.series(host="a")["usage"]              Series: times and values as arrays
    usage.interpolate_linear("15s").integral_trapezoidal("1h")
    for one in cpu.series(region="eu"): one.dimensions, one["usage"].values.max()

A series never changes; every function gives a new one. Values are doubles; whole numbers and truth values become some.
Meanings are those of SQL's functions of the same name (functions/series.py, functions/interpolation.py).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines.display import Table
from engines.drawing import Drawing
from engines.errors import Invalid, NotFound, nearest
from engines.timeseries import durations
from engines.timeseries.functions.interpolation import linear, locf, spline_cubic
from engines.timeseries.functions.series import pearson, ranks
from engines.timeseries.moments import times_of

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
MOST_TIMES: Final = 1_000_000
DRAWN: Final = 740  # pixels, and at most as many pieces of a drawn line


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Values at rising times. nanoseconds: int64 since 1970; values: float64."""

    name: str
    nanoseconds: Numbers
    values: Floats
    dimensions: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.nanoseconds)

    @property
    def times(self) -> npt.NDArray[np.datetime64]:
        """The times as datetime64[ns]."""
        return self.nanoseconds.view("datetime64[ns]")

    # ---- other values at the same times, or fewer

    def filter(self, keep: Callable[["Series"], npt.NDArray[np.bool_]]) -> "Series":
        """The points for which keep(series) is true: usage.filter(lambda one: one.values > 90)."""
        mask = np.asarray(keep(self))
        if mask.dtype != bool or mask.shape != self.values.shape:
            raise Invalid(f"keep gives a truth value for each of {len(self):,} points, got {mask.dtype} {mask.shape}")
        return self._with(self.nanoseconds[mask], self.values[mask])

    def transform(self, change: Callable[[Floats], Floats]) -> "Series":
        """change(values) at the same times."""
        values = np.asarray(change(self.values), np.float64)
        if values.shape != self.values.shape:
            raise Invalid(f"change gives a value for each of {len(self):,} points, got {values.shape}")
        return self._with(self.nanoseconds, values)

    def between(self, start: Any, end: Any) -> "Series":  # noqa: ANN401 - moments as users write them
        """The points from start on and before end: numbers, datetimes, ISO texts."""
        low, high = times_of([start, end]).tolist()
        at, to = np.searchsorted(self.nanoseconds, [low, high])
        return self._with(self.nanoseconds[at:to], self.values[at:to])

    # ---- between the points

    def interpolate_linear(self, at: Any) -> "Series":  # noqa: ANN401 - times, or a duration
        """On the straight lines between the points. at: times, or a duration such as "15s"."""
        return self._at(at, linear)

    def interpolate_spline_cubic(self, at: Any) -> "Series":  # noqa: ANN401 - times, or a duration
        """On the natural cubic spline. at: times, or a duration."""
        return self._at(at, spline_cubic)

    def interpolate_locf(self, at: Any) -> "Series":  # noqa: ANN401 - times, or a duration
        """The last value at or before. at: times, or a duration."""
        return self._at(at, locf)

    def interpolate_fill(self, at: Any, value: float) -> "Series":  # noqa: ANN401 - times, or a duration
        """The point at exactly that time, else `value`. at: times, or a duration."""
        asked = self._asked(at)
        found = np.full(len(asked), float(value))
        place = np.minimum(np.searchsorted(self.nanoseconds, asked), max(len(self) - 1, 0))
        if len(self):
            exact = self.nanoseconds[place] == asked
            found[exact] = self.values[place[exact]]
        return self._with(asked, found)

    def _at(self, at: Any, rule: Callable[[Numbers, Floats, Numbers], tuple[Floats, Any]]) -> "Series":  # noqa: ANN401
        asked = self._asked(at)
        if not len(self) or not len(asked):
            return self._with(asked[:0], self.values[:0])
        found, there = rule(self.nanoseconds, self.values, asked)
        return self._with(asked[there], found[there])

    def _asked(self, at: Any) -> Numbers:  # noqa: ANN401 - times, or a duration
        try:
            step = durations.nanoseconds(at)
        except Invalid:
            if not isinstance(at, Iterable) or isinstance(at, str):
                raise
            return np.unique(times_of(at))
        if not len(self):
            return self.nanoseconds
        first, last = int(self.nanoseconds[0]), int(self.nanoseconds[-1])
        if (last - first) // step >= MOST_TIMES:
            raise Invalid(f"that are more than {MOST_TIMES:,} times: take a longer step than {durations.written(step)}")
        return np.arange(first, last + 1, step, dtype=np.int64)

    # ---- change and area

    def derivative_linear(self, interval: str = "1s") -> "Series":
        """The change per interval between neighbours, at the later one's time."""
        if len(self) < 2:
            return self._with(self.nanoseconds[:0], self.values[:0])
        steps = np.diff(self.nanoseconds) / durations.nanoseconds(interval)
        return self._with(self.nanoseconds[1:], np.diff(self.values) / steps)

    def non_negative_derivative_linear(self, interval: str = "1s") -> "Series":
        """The same without points below 0: of a counter that sometimes starts again."""
        return self.derivative_linear(interval).filter(lambda found: ~(found.values < 0))

    def integral_trapezoidal(self, interval: str = "1s") -> float | None:
        """The area under the straight lines, in value times interval; 0.0 for one point, None for none."""
        widths = np.diff(self.nanoseconds) / durations.nanoseconds(interval)
        return float(np.sum((self.values[1:] + self.values[:-1]) / 2 * widths)) if len(self) else None

    def correlate_pearson(self, other: "Series") -> float:
        """How two series over the same times vary together, -1 to 1; NaN where one of them does not vary."""
        self._over_same_times(other)
        return pearson(self.values, other.values)

    def correlate_spearman(self, other: "Series") -> float:
        """correlate_pearson over the ranks of the values."""
        self._over_same_times(other)
        return pearson(ranks(self.values), ranks(other.values)) if len(self) else math.nan

    def _over_same_times(self, other: "Series") -> None:
        if not np.array_equal(self.nanoseconds, other.nanoseconds):
            raise Invalid("the two series have different times: interpolate both at the same times first")

    # ---- shown

    def table(self) -> Table:
        """Time and value, a row a point."""
        return Table({"time": self.times, "value": self.values}, title=self.name)

    def svg(self) -> str:
        """The line through the points."""
        drawing = Drawing()
        drawing.text(8, 16, self._title(), "b")
        finite = np.isfinite(self.values)
        times, values = self.nanoseconds[finite], self.values[finite]
        if len(times):
            step = max(1, len(times) // DRAWN)
            times, values = times[::step], values[::step]
            low, high = float(values.min()), float(values.max())
            x = 8 + (times - times[0]) / max(int(times[-1] - times[0]), 1) * DRAWN
            y = 130 - (values - low) / ((high - low) or 1.0) * 100
            points = np.stack([x, y], axis=1).round(1).reshape(-1).tolist()
            drawing.line(*(points if len(points) > 2 else points * 2))
            drawing.text(8, 146, str(times[:1].view("datetime64[ns]")[0])[:19], "s q")
            drawing.text(748, 146, str(times[-1:].view("datetime64[ns]")[0])[:19], "s q end")
            drawing.text(752, 34, f"{high:g}", "s q")
            drawing.text(752, 130, f"{low:g}", "s q")
        return drawing.svg()

    visualise = svg

    def _title(self) -> str:
        where = ", ".join(f"{name}={value}" for name, value in self.dimensions.items())
        return f"{self.name} of {where}: {len(self):,} points" if where else f"{self.name}: {len(self):,} points"

    def __repr__(self) -> str:
        return f"<Series {self._title()}>"

    def _repr_html_(self) -> str:
        return self.svg()

    def _with(self, times: Numbers, values: Floats) -> "Series":
        return Series(self.name, times, values, self.dimensions)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One series of a table: its dimensions and, by name, each of its measures as a Series."""

    dimensions: Mapping[str, str]
    measure_name: str | None  # of its records; None where they are single-measure ones
    measures: Mapping[str, Series]

    def __getitem__(self, measure: str) -> Series:
        if measure not in self.measures:
            raise NotFound(f"this series has no measure {measure!r}{nearest(measure, self.measures)}")
        return self.measures[measure]

    def __iter__(self) -> Iterator[str]:
        return iter(self.measures)

    def __len__(self) -> int:
        return len(self.measures)

    def __repr__(self) -> str:
        where = ", ".join(f"{name}={value}" for name, value in self.dimensions.items())
        return f"<series {where or 'without dimensions'}: {', '.join(self.measures)}>"


class Selection:
    """The series that were asked for. With one of them, its measures by name; iterate over several."""

    def __init__(self, found: list[Measured], asked: str) -> None:
        self._found = found
        self._asked = asked

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Measured]:
        return iter(self._found)

    def __getitem__(self, measure: str) -> Series:
        """The measure of the only series that has it. NotFound, or Invalid where several do."""
        having = [one for one in self._found if measure in one.measures]
        if len(having) > 1:
            raise Invalid(f"{len(having):,} series of {self._asked} have {measure!r}: name more dimensions, or iterate")
        if having:
            return having[0].measures[measure]
        known = {name for one in self._found for name in one.measures}
        raise NotFound(f"no series of {self._asked} has a measure {measure!r}{nearest(measure, known)}")

    def __repr__(self) -> str:
        return f"<{len(self):,} series of {self._asked}>"

    def _repr_html_(self) -> str:
        shown = [series.svg() for one in self._found[:4] for series in list(one.measures.values())[:3]]
        return f"<p>{escape(repr(self))}</p>{''.join(shown)}"
