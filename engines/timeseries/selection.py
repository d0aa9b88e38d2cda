"""What a query wants of a table: predicates of the SQL floor turned into series, times and measures.

    hostname = 'a' and region in ('x', 'y')     ──>  the series that have these values: postings, or a look at each word
    time >= ... and time < ...                  ──>  low, high: both included
    measure_name = 'cpu'                        ──>  kinds of multi-measure records, names of single-measure ones
    usage > 90                                  ──>  bounds that blocks are checked against by their summaries

The first three are exact: rows that fail them never come back. Bounds only leave out blocks.
"""

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from engines.sql.source import Field, Predicate, Schema, Support
from engines.sql.types import BIGINT, BOOLEAN, DOUBLE, TIMESTAMP_NS, VARCHAR, Type
from engines.timeseries.part import FLAG_NAN, FLAG_SUMMARY, Part
from engines.timeseries.schema import Measure, TableDefinition
from engines.timeseries.series import SeriesIndex

EARLIEST: Final = -(2**63)
LATEST: Final = 2**63 - 1
TIME_COLUMN: Final = "time"
MEASURE_NAME: Final = "measure_name"
VALUE: Final = "measure_value::"
TYPES: Final[dict[str, Type]] = {
    "double": DOUBLE,
    "bigint": BIGINT,
    "varchar": VARCHAR,
    "boolean": BOOLEAN,
    "timestamp": TIMESTAMP_NS,
}
ORDERED: Final = frozenset({"=", "<", "<=", ">", ">="})
Numbers = npt.NDArray[np.int32]
Truth = Callable[[bytes], bool]


class Readable(Protocol):
    """What a scan asks of a table."""

    @property
    def definition(self) -> TableDefinition: ...
    @property
    def index(self) -> SeriesIndex: ...
    @property
    def tiles(self) -> Sized: ...
    @property
    def state_version(self) -> int: ...
    def parts(self, low: int | None = None, high: int | None = None, series: Numbers | None = None) -> list[Part]:
        """Disjoint, in the order of time of each series; retention has been applied."""
        ...


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table as SQL sees them."""

    definition: TableDefinition
    schema: Schema
    dimensions: frozenset[str]
    multi: dict[str, Measure]
    singles: tuple[Measure, ...]

    @classmethod
    def of(cls, definition: TableDefinition) -> "Columns":
        """Dimensions, measure_name, time, measures of multi-measure records, measure_value of the types there are."""
        multi = {one.name: one for one in definition.measures if not one.single}
        singles = tuple(one for one in definition.measures if one.single)
        there = {one.type for one in singles}
        schema = (
            *(Field(name, VARCHAR) for name in definition.dimensions),
            Field(MEASURE_NAME, VARCHAR, nullable=False),
            Field(TIME_COLUMN, TIMESTAMP_NS, nullable=False),
            *(Field(name, TYPES[one.type]) for name, one in multi.items()),
            *(Field(VALUE + type, TYPES[type]) for type in TYPES if type in there),
        )
        return cls(definition, schema, frozenset(definition.dimensions), multi, singles)

    def support(self, predicate: Predicate) -> Support:
        """How well a scan answers it."""
        name, op = predicate.column, predicate.op
        if name in self.dimensions or name == MEASURE_NAME:
            return Support.EXACT
        if name == TIME_COLUMN:
            return Support.EXACT if op in ORDERED else Support.PRUNE if op == "in" else Support.NONE
        measure = self.multi.get(name)
        if measure is not None and (op == "is not null" or (op in ORDERED and measure.type in CHECKED)):
            return Support.PRUNE
        return Support.NONE


CHECKED: Final = frozenset({"double", "bigint", "timestamp"})


@dataclass(slots=True)
class Selection:
    """Times low ... high, both included. series: rising numbers, None = all. bounds: measure, op, value."""

    low: int
    high: int
    series: Numbers | None
    multi: bool  # whether rows of multi-measure records are wanted at all
    singles: tuple[Measure, ...]  # measures of single-measure records that are wanted
    bounds: tuple[tuple[Measure, str, Any], ...]

    @property
    def empty(self) -> bool:
        """Whether no row can be wanted."""
        nothing = self.series is not None and not len(self.series)
        return nothing or self.low > self.high or not (self.multi or self.singles)


def select(table: Readable, columns: Columns, predicates: Sequence[Predicate]) -> Selection:
    """What rows the predicates admit. They hold values, no parameters any more."""
    low, high = EARLIEST, LATEST
    wanted: dict[str, Any] = {}
    series: Numbers | None = None
    named: list[Truth] = []
    bounds = []
    index = table.index
    for one in predicates:
        name, op, value = one.column, one.op, one.value
        if name == TIME_COLUMN:
            low, high = _narrowed(low, high, op, value)
        elif name == MEASURE_NAME:
            named.append(_truth(op, value))
        elif name in columns.dimensions:
            if op == "=" and name not in wanted:
                wanted[name] = (value.decode(),)
            elif op == "in" and name not in wanted:
                wanted[name] = tuple(one.decode() for one in value)
            else:
                series = _both(series, _looked_at(index, name, op, value))
        elif (measure := columns.multi.get(name)) is not None:
            bounds.append((measure, op, value))
    if wanted:
        series = _both(series, index.match(wanted))
    kinds = index.kinds
    singles = columns.singles if None in kinds else ()
    multi = len(kinds) > (None in kinds)
    if named:
        singles = tuple(one for one in singles if all(true(one.name.encode()) for true in named))
        kept = [kind for kind in kinds if kind is not None and all(true(kind.encode()) for true in named)]
        chosen = [*kept, None] if singles else kept
        multi = bool(kept)
        if len(chosen) < len(kinds):
            series = _both(series, _of_kinds(index, chosen))
    if bounds and not multi:  # rows of single-measure records have none of these columns
        singles = ()
    return Selection(low, high, series, multi, singles, tuple(bounds))


def _narrowed(low: int, high: int, op: str, value: Any) -> tuple[int, int]:  # noqa: ANN401 - an engine value
    match op:
        case "=":
            return max(low, value), min(high, value)
        case "<":
            return low, min(high, value - 1)
        case "<=":
            return low, min(high, value)
        case ">":
            return max(low, value + 1), high
        case ">=":
            return max(low, value), high
        case "in":
            return max(low, min(value)), min(high, max(value))
    return low, high


def _both(one: Numbers | None, other: Numbers) -> Numbers:
    return other if one is None else np.intersect1d(one, other, assume_unique=True)


def _of_kinds(index: SeriesIndex, kinds: Sequence[str | None]) -> Numbers:
    found = [index.of_kind(kind) for kind in kinds]
    if len(found) == 1:
        return found[0]
    return np.sort(np.concatenate(found)) if found else np.empty(0, np.int32)


def _truth(op: str, value: Any) -> Truth:  # noqa: ANN401 - an engine value
    """Whether a word, which is there, passes."""
    tests: dict[str, Truth] = {
        "=": lambda word: word == value,
        "<>": lambda word: word != value,
        "<": lambda word: word < value,
        "<=": lambda word: word <= value,
        ">": lambda word: word > value,
        ">=": lambda word: word >= value,
        "in": lambda word: word in value,
        "prefix": lambda word: word.startswith(value),
        "is null": lambda _: False,
        "is not null": lambda _: True,
    }
    return tests[op]


def _looked_at(index: SeriesIndex, name: str, op: str, value: Any) -> Numbers:  # noqa: ANN401 - an engine value
    """The series whose word in that dimension passes: each word is looked at once."""
    known = index.dimension(name)
    true = _truth(op, value)
    passing = np.array([*(true(word.encode()) for word in known.words), op == "is null"], bool)
    return np.flatnonzero(passing[known.codes]).astype(np.int32)  # -1, no word, is the last of `passing`


def below(summaries: Any, measure: Measure, op: str, value: Any) -> npt.NDArray[np.bool_]:  # noqa: ANN401 - part.BLOCK_TYPE
    """Which blocks may hold a value that passes, by their summaries."""
    some: npt.NDArray[np.bool_] = summaries["present"] > 0
    if op == "is not null" or value != value:  # noqa: PLR0124 - NaN: above everything, no summary knows of it
        return some
    kind = "<f8" if measure.type == "double" else "<i8"
    low, high = summaries["low"].view(kind), summaries["high"].view(kind)
    match op:
        case "=":
            found = (low <= value) & (high >= value)
        case "<":
            found = low < value
        case "<=":
            found = low <= value
        case ">":
            found = high > value
        case _:
            found = high >= value
    unknown = (summaries["flags"] & (FLAG_NAN | FLAG_SUMMARY)) != 0  # NaN is above everything
    passing: npt.NDArray[np.bool_] = some & (found | unknown)
    return passing
