"""Arrays of numpy, lists of Python's values, and the house's own `Table` as a source: no Arrow is needed for these.

    int8 int16 uint8    SMALLINT        float32   REAL         datetime64[D]       DATE         NaT is NULL
    int32 uint16        INTEGER         float64   DOUBLE       other datetime64    TIMESTAMP    what is masked is NULL
    int64 uint32        BIGINT          bool      BOOLEAN      str                 VARCHAR      NaN is a number
    uint64, object, and lists           by their values: values.type_of, and the type that holds all of them

Text becomes codes where words repeat, which is what the engine would make of it anyway.
"""

import functools
import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from engines.errors import Invalid
from engines.rows import Column as Cells
from engines.sql import types
from engines.sql.binder.typing import common
from engines.sql.column import VECTOR, Array, Batch, Bytes, Column, Dictionary, Maker
from engines.sql.source import Field, Partition, Placement, Predicate, Scanned, Schema, Statistics, Support
from engines.sql.types import Type
from engines.sql.values import column_of, engine_column, type_of

WHOLE: Final = {
    "int8": types.SMALLINT, "int16": types.SMALLINT, "uint8": types.SMALLINT, "int32": types.INTEGER,
    "uint16": types.INTEGER, "int64": types.BIGINT, "uint32": types.BIGINT,
}  # fmt: skip
_versions = itertools.count(1)


class ArraysSource:
    """Columns in memory. It answers no predicate itself: whoever scans it filters. Invalid for unequal lengths."""

    placement: Placement | None = None

    def __init__(self, name: str, columns: Mapping[str, Cells]) -> None:
        self.name = name
        self._columns = {column: _array(column, cells) for column, cells in columns.items()}
        lengths = {column: len(array) for column, (_, array, _) in self._columns.items()}
        if len(set(lengths.values())) > 1:
            raise Invalid(f"the columns of a table have one length, got {lengths}")
        self._rows = next(iter(lengths.values()), 0)
        self._version = next(_versions)

    def schema(self) -> Schema:
        return tuple(Field(column, type) for column, (type, _, _) in self._columns.items())

    def version(self) -> Hashable:
        return "arrays", self._version

    def statistics(self) -> Statistics:
        return Statistics(rows=self._rows)

    def support(self, predicate: Predicate) -> Support:
        del predicate
        return Support.NONE

    def partitions(self, predicates: Sequence[Predicate], scanned: Scanned) -> Sequence[Partition]:
        del predicates
        starts = range(0, self._rows, VECTOR)
        scanned.blocks_total += len(starts)
        return [Partition(str(start), min(VECTOR, self._rows - start), origin=start) for start in starts]

    def scan(
        self, partition: Partition, columns: Sequence[str], predicates: Sequence[Predicate], scanned: Scanned
    ) -> Iterator[Batch]:
        del predicates
        scanned.rows_scanned += partition.rows
        scanned.blocks_decoded += 1
        rows = slice(partition.origin, partition.origin + partition.rows)
        makers: dict[str, Column | Maker] = {name: functools.partial(self._column, name, rows) for name in columns}
        yield Batch(makers, partition.rows)

    def _column(self, name: str, rows: slice) -> Column:
        type, array, missing = self._columns[name]
        some = array[rows]
        valid = None if missing is None else (~missing[rows]).view(np.uint8)
        if array.dtype.kind == "U":
            return _text(name, some.tolist(), valid)
        if array.dtype == object:
            return column_of(some.tolist(), type)
        if type.floating:
            data: Array = some.astype(np.float64)
        elif type.kind == "boolean":
            data = some.view(np.uint8)
        else:
            data = some.astype(np.int64)
        if valid is not None:
            data = np.where(valid.view(bool), data, 0).astype(data.dtype)
            valid = None if bool(valid.all()) else valid
        return Column(type, data, valid=valid)


def _array(name: str, cells: Cells) -> tuple[Type, Array, Array | None]:
    """The type of a column, its values as an array, and where there are none. Invalid for what no column can hold."""
    if not isinstance(cells, np.ndarray):
        return _objects(name, list(cells))
    if cells.ndim != 1:
        raise Invalid(f"column {name!r} has {cells.ndim} dimensions, a column has one")
    missing = np.ma.getmaskarray(cells) if isinstance(cells, np.ma.MaskedArray) else None
    array: Array = np.asarray(cells)
    kind = array.dtype.kind
    if array.dtype.name in WHOLE:
        return WHOLE[array.dtype.name], array, missing
    if kind == "f" and array.dtype.itemsize <= 8:
        return types.DOUBLE if array.dtype.itemsize == 8 else types.REAL, array, missing
    if kind == "b":
        return types.BOOLEAN, array, missing
    if kind == "U":
        return types.VARCHAR, array, missing
    if kind == "M":
        nothing = np.isnat(array)
        if bool(nothing.any()):
            missing = nothing if missing is None else missing | nothing
        days = np.datetime_data(array.dtype)[0] == "D"
        moments = array if days else array.astype("datetime64[us]")
        return types.DATE if days else types.TIMESTAMP, moments.astype(np.int64), missing
    return _objects(name, cells.tolist())


def _objects(name: str, values: list[Any]) -> tuple[Type, Array, None]:
    found = {type_of(value) for value in values}
    type = common(found) if found else types.NULL
    if type is None:
        raise Invalid(f"column {name!r} mixes {', '.join(sorted(map(str, found)))}: a column has one type")
    array = np.empty(len(values), object)
    array[:] = values
    return type, array, None


def _text(name: str, words: list[str], valid: Bytes | None) -> Column:
    """Codes where words repeat, else offsets and heap."""
    known: dict[str, int] = {}
    codes = [known.setdefault(word, len(known)) for word in words]
    try:
        if 2 * len(known) > len(words):
            column = engine_column([word.encode() for word in words], types.VARCHAR)
            column.valid = valid
            return column
        dictionary = Dictionary.of([word.encode() for word in known])
    except UnicodeEncodeError as error:
        raise Invalid(f"column {name!r} holds a text that is no Unicode: {error}") from error
    width = np.uint8 if len(known) <= 256 else np.uint16
    return Column(types.VARCHAR, np.array(codes, width), valid=valid, words=dictionary)
