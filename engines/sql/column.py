"""Columns and batches: what operators and kernels hand to each other.

    Column   whole numbers   data uint8, uint16 or uint32, value = base + data; or int64, base 0;
                             or Python's numbers (dtype object) where 64 bits do not hold them: slow, exact, rare
             BOOLEAN         data uint8
             REAL DOUBLE     data float64
             text            data uint8, uint16 or uint32 codes, and `words`, the Dictionary they number;
                             or data int32 offsets, one more than rows, and `heap`, the bytes they cut up
             valid           uint8, 1 = value, 0 = NULL; None where there is no NULL
             constant        data (and valid) have length 1 and stand for every row

    Batch    up to 65,536 rows of columns by id. Filters and joins move no data: they leave positions, and a column is
             gathered when somebody asks for it:

             base columns (decoded when asked for) ── positions ──> dense column, kept for the next who asks

So a column that only a filter looks at is never copied, and one that a join carries along is copied once, at the end.

Invariants: what `Batch.column` gives has exactly `rows` rows, or is constant. Data under a NULL is defined (0, code 0,
an empty text): kernels may compute on it and never fail on it. A base other than 0 comes with unsigned data only.
Columns are never changed in place: many batches share them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines._native import strings, vector
from engines.sql.types import Type

VECTOR: Final = 65_536  # most rows of a batch
Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int32]


@dataclass(slots=True, eq=False)
class Dictionary:
    """The distinct words of a text column, numbered. Usually in order of first use; `sorted` tells if by bytes."""

    offsets: npt.NDArray[np.int32]  # one more than words
    heap: Bytes
    kept: dict[str, Any] = field(default_factory=dict)  # what was made of it once: rank, strings, hashes, translations

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def words(self) -> list[bytes]:
        """All of them as Python's bytes, made once."""
        if "words" not in self.kept:
            heap, cuts = self.heap.tobytes(), self.offsets.tolist()
            self.kept["words"] = [heap[cuts[i] : cuts[i + 1]] for i in range(len(self))]
        found: list[bytes] = self.kept["words"]
        return found

    def __getstate__(self) -> tuple[Any, ...]:
        return self.offsets, self.heap  # what was made of it is made again where it arrives

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.offsets, self.heap = state
        self.kept = {}

    @classmethod
    def of(cls, words: Sequence[bytes]) -> "Dictionary":
        offsets = np.zeros(len(words) + 1, np.int32)
        np.cumsum([len(word) for word in words], out=offsets[1:])
        return cls(offsets, np.frombuffer(b"".join(words), np.uint8))


@dataclass(slots=True, eq=False)
class Column:
    """Values of one type; see the module's text for the layouts."""

    type: Type
    data: Array
    base: int = 0
    valid: Bytes | None = None
    words: Dictionary | None = None
    heap: Bytes | None = None
    low: int | None = None  # bounds of the whole numbers that are no NULL: they choose kernels
    high: int | None = None
    parts: dict[str, "Column"] | None = None  # of ARRAY, ROW, TIMESERIES: the elements; data = offsets (ROW: positions)
    constant: bool = False

    def __len__(self) -> int:
        """Rows that are stored: 1 for a constant."""
        offsets = self.heap is not None or (self.parts is not None and self.type.kind != "row")
        return len(self.data) - 1 if offsets else len(self.data)

    @property
    def plain(self) -> bool:
        """Text as offsets and heap, not codes."""
        return self.heap is not None

    @property
    def wide(self) -> bool:
        """Whole numbers that need more than 64 bits: Python's, in an array of objects."""
        return self.data.dtype == object

    def bounds(self) -> tuple[int, int]:
        """Bounds of the whole numbers: what is known, else what the width of the array admits."""
        if self.low is not None and self.high is not None:
            return self.low, self.high
        if self.wide:
            return self.type.limits() or (-(10**38), 10**38)
        info = np.iinfo(self.data.dtype)
        return self.base + int(info.min), self.base + int(info.max)

    def numbers(self) -> npt.NDArray[np.int64]:
        """Whole numbers as int64, the base added. Not for wide columns."""
        if self.data.dtype == np.int64:
            return self.data
        wide: npt.NDArray[np.int64] = self.data.astype(np.int64)
        if self.base:
            wide += self.base
        return wide


Maker = Callable[[], Column]  # decodes a column when it is first asked for
EVERY: Final = None  # as positions: all rows, in order


class Layer:
    """Columns of one origin, and where in them the rows of the batch stand. at -1 = no row: every column is NULL.

    A filter leaves a mask (1 = the row is there); its positions are found when somebody asks for them.
    """

    __slots__ = ("_at", "columns", "dense", "mask", "outer")

    def __init__(
        self,
        columns: "dict[str, Column | Maker]",
        at: Positions | None = EVERY,
        outer: bool = False,  # noqa: FBT001, FBT002 - at may hold -1
        dense: dict[str, Column] | None = None,
        mask: Bytes | None = None,
    ) -> None:
        self.columns = columns
        self._at = at
        self.outer = outer
        self.dense: dict[str, Column] = {} if dense is None else dense  # gathered already
        self.mask = mask

    @property
    def at(self) -> Positions | None:
        if self._at is None and self.mask is not None:
            at: Positions = np.empty(len(self.mask), np.int32)
            count = vector.positions(self.mask, at)
            self._at = at[:count].copy() if 2 * count < len(at) else at[:count]
        return self._at

    @property
    def known(self) -> Positions | None:
        """Its positions, if they need not be found first."""
        return self._at

    def column(self, id: str) -> Column:
        column = self.columns[id]
        if not isinstance(column, Column):
            column = self.columns[id] = column()
        return column


class Batch:
    """Some rows of a table or of a plan's step: `rows` of them, by column id. Cheap to filter, widen and rename."""

    __slots__ = ("layers", "rows")

    def __init__(
        self, columns: "Mapping[str, Column | Maker] | None" = None, rows: int = 0, *, layers: list[Layer] | None = None
    ) -> None:
        self.rows = rows
        self.layers = [Layer(dict(columns or {}))] if layers is None else layers

    def ids(self) -> Iterator[str]:
        for layer in self.layers:
            yield from layer.columns

    def column(self, id: str) -> Column:
        """The column, dense: `rows` long, or constant. Gathered on the first call. KeyError if there is none."""
        for layer in self.layers:
            if id in layer.columns:
                break
        else:
            raise KeyError(id)
        if layer.at is EVERY:
            return layer.column(id)
        if id not in layer.dense:
            layer.dense[id] = gather(layer.column(id), layer.at, outer=layer.outer)
        return layer.dense[id]

    def take(self, at: Positions, *, outer: bool = False) -> "Batch":
        """The rows at these positions, in this order; any number of times each. outer: -1 stands for a row of NULLs."""
        layers = []
        for layer in self.layers:
            chosen = at if layer.at is EVERY else compose(layer.at, at, outer=outer)
            layers.append(Layer(layer.columns, chosen, outer or layer.outer))
        return Batch(rows=len(at), layers=layers)

    def where(self, mask: Bytes, kept: int) -> "Batch":
        """The rows where the mask is 1; kept: how many these are."""
        if len(self.layers) != 1 or self.layers[0].at is not EVERY:
            at: Positions = np.empty(len(mask), np.int32)
            vector.positions(mask, at)
            return self.take(at[:kept])
        return Batch(rows=kept, layers=[Layer(self.layers[0].columns, mask=mask)])

    def thinned(self) -> "tuple[Batch, Bytes] | None":
        """A batch of which a filter has left most rows: all of its rows, and which were left. None for others."""
        layer = self.layers[0] if len(self.layers) == 1 else None
        if layer is None or layer.mask is None or 4 * self.rows < 3 * len(layer.mask):
            return None
        return Batch(rows=len(layer.mask), layers=[Layer(layer.columns)]), layer.mask

    def beside(self, other: "Batch") -> "Batch":
        """The columns of both; they have equally many rows and no id in common."""
        return Batch(rows=self.rows, layers=[*self.layers, *other.layers])

    def with_columns(self, columns: "Mapping[str, Column | Maker]") -> "Batch":
        """More columns, `rows` long each or constant."""
        return Batch(rows=self.rows, layers=[*self.layers, Layer(dict(columns))])

    def renamed(self, ids: Mapping[str, str]) -> "Batch":
        """Only the columns named, by new ids: new id -> old id. Nothing is decoded or gathered."""
        layers = []
        for layer in self.layers:
            mine = {new: old for new, old in ids.items() if old in layer.columns}
            if mine:
                columns = {new: _later(layer, old) for new, old in mine.items()}
                dense = {new: layer.dense[old] for new, old in mine.items() if old in layer.dense}
                layers.append(Layer(columns, layer.known, layer.outer, dense, layer.mask))
        return Batch(rows=self.rows, layers=layers)

    def slice(self, start: int, stop: int) -> "Batch":
        return self.take(np.arange(start, min(stop, self.rows), dtype=np.int32))


def _later(layer: Layer, id: str) -> "Column | Maker":
    column = layer.columns[id]
    return column if isinstance(column, Column) else lambda: layer.column(id)


def compose(first: Positions, then: Positions, *, outer: bool = False) -> Positions:
    """Positions of positions; with outer, -1 stays -1."""
    if outer:
        return np.where(then < 0, np.int32(-1), first[np.maximum(then, 0)]) if len(first) else np.full_like(then, -1)
    return _taken(first, then)


def gather(column: Column, at: Positions, *, outer: bool = False) -> Column:
    """The values at these positions; -1 gives NULL where outer says that it occurs."""
    if column.constant and not outer:
        return column
    if outer:
        missing = at < 0
        if not missing.any():
            return gather(column, at)
        if len(column) == 0:
            return nulls(column.type, len(at))
        found = gather(expand(column, len(column)), np.where(missing, np.int32(0), at))
        there = (~missing).astype(np.uint8)
        return replace(found, valid=there if found.valid is None else found.valid & there)
    valid = None if column.valid is None else _taken(column.valid, at)
    if column.heap is not None:
        offsets, heap = gather_text(column.data, column.heap, at)
        return replace(column, data=offsets, heap=heap, valid=valid)
    if column.parts is not None and column.type.kind != "row":
        return _gather_lists(column, at, valid)
    data = _taken(column.data, at)
    return Column(column.type, data, column.base, valid, column.words, None, column.low, column.high, column.parts)


def _taken(values: Array, at: Positions) -> Array:
    """values[at]: a kernel of our own is twice to three times as fast (bench: gather)."""
    if values.dtype == object:
        return values[at]
    out = np.empty(len(at), values.dtype)
    vector.gather(np.ascontiguousarray(values), np.ascontiguousarray(at, np.int32), out)
    return out


def _gather_lists(column: Column, at: Positions, valid: Bytes | None) -> Column:
    """Arrays at these positions: their elements, one list after the other."""
    lengths = np.diff(column.data)[at]
    offsets = np.zeros(len(at) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    elements = (np.repeat(column.data[:-1][at] - offsets[:-1], lengths) + np.arange(offsets[-1])).astype(np.int32)
    parts = {name: gather(part, elements) for name, part in (column.parts or {}).items()}
    return replace(column, data=offsets, valid=valid, parts=parts)


def gather_text(offsets: Positions, heap: Bytes, at: Array) -> tuple[Positions, Bytes]:
    """The values of a heap at these positions, or of these codes: their offsets and heap."""
    if at.dtype == np.int64 or not at.flags.c_contiguous:
        at = np.ascontiguousarray(at, np.int32 if at.dtype == np.int64 else None)
    made = np.empty(len(at) + 1, np.int32)
    out = np.empty(strings.gather_offsets(offsets, at, made), np.uint8)
    strings.gather_bytes(offsets, heap, at, made, out)
    return made, out


def elements(column: Column) -> Column:
    """The elements of all rows of an ARRAY or a TIMESERIES, one behind the other; of the latter records."""
    parts = column.parts
    if not parts:
        return nulls(column.type.element, 0)
    if column.type.kind != "timeseries":
        return next(iter(parts.values()))
    return Column(column.type.element, np.arange(int(column.data[-1]), dtype=np.int32), parts=parts)


def expand(column: Column, rows: int) -> Column:
    """A constant as a column of that many rows; any other column as it is."""
    if not column.constant:
        return column
    return replace(gather(replace(column, constant=False), np.zeros(rows, np.int32)), constant=False)


def nulls(type: Type, rows: int) -> Column:
    """A column of NULLs."""
    none = np.zeros(rows, np.uint8)
    if type.fields:
        record = type.kind == "row"
        parts = {name: nulls(kind, rows if record else 0) for name, kind in type.fields}
        return Column(type, np.zeros(rows + (not record), np.int32), valid=none, parts=parts)
    if type.bytes:
        return Column(type, np.zeros(rows + 1, np.int32), valid=none, heap=np.zeros(0, np.uint8))
    if type.floating:
        return Column(type, np.zeros(rows), valid=none)
    if type.kind in {"boolean", "null"}:
        return Column(type, np.zeros(rows, np.uint8), valid=none)
    return Column(type, np.zeros(rows, np.int64), valid=none, low=0, high=0)


def keep_freed_memory() -> None:
    """Let glibc keep up to 62 MB of what was freed: it learns from the largest piece that came back to it.

    Else every batch gives its megabytes back to the system and takes them anew, page by page, each of them cleared: a
    third of the time of a query that computes much. Nothing is touched here, so nothing is used.
    """
    np.empty(31 << 20, np.uint8)
