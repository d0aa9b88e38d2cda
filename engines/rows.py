"""Rows over columns: tuples that also answer by name, and the ways between arrays and Python objects."""

import functools
import operator
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, SupportsIndex, TypeAlias, overload

import numpy as np

from engines.errors import NotFound, nearest

Column: TypeAlias = np.ndarray[Any, Any] | list[Any]


class Row(tuple[Any, ...]):
    """A tuple that also answers by name. Each set of names has a subclass of its own, made once."""

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()
    _places: ClassVar[dict[str, int]] = {}

    @overload
    def __getitem__(self, key: SupportsIndex | str) -> Any: ...  # noqa: ANN401 - a cell is of any type
    @overload
    def __getitem__(self, key: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, key: SupportsIndex | str | slice) -> Any:
        if isinstance(key, str):
            if key not in self._places:
                raise NotFound(f"no column {key!r} among {', '.join(self._fields)}{nearest(key, self._fields)}")
            key = self._places[key]
        return super().__getitem__(key)

    def __repr__(self) -> str:
        cells = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"Row({', '.join(cells)})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _unpickled, (self._fields, tuple(self))


def _unpickled(names: tuple[str, ...], cells: tuple[Any, ...]) -> Row:
    return row_type(names)(cells)


@functools.lru_cache(256)
def row_type(names: tuple[str, ...]) -> type[Row]:
    """The Row class for these column names. A column called `count` wins over tuple's method of that name."""
    places = {name: i for i, name in enumerate(names)}
    reserved = ("_fields", "_places")
    fields = {n: property(operator.itemgetter(i)) for n, i in places.items() if n not in reserved and n[:2] != "__"}
    return type("Row", (Row,), {"__slots__": (), "_fields": names, "_places": places, **fields})


def python_values(column: Column) -> list[Any]:
    """The cells of a column as Python objects: None for nulls, datetime in UTC for times (whole microseconds)."""
    if not isinstance(column, np.ndarray):
        return column
    if column.dtype.kind == "M" and column.dtype != "M8[D]":
        cells = column.astype("M8[us]").tolist()
        return [cell.replace(tzinfo=UTC) if isinstance(cell, datetime) else cell for cell in cells]
    return list((column.astype("m8[us]") if column.dtype.kind == "m" else column).tolist())


def as_array(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """A list as a one-dimensional array: int64, float64, bool or datetime64[us] where nothing is lost, else object."""
    kinds = set(map(type, values))
    if kinds in ({float}, {bool}):
        return np.array(values)
    if kinds == {int} and min(values) >= -(2**63) and max(values) < 2**63:
        return np.array(values, np.int64)
    if datetime in kinds and kinds <= {datetime, type(None)}:
        plain = [v if v is None or v.tzinfo is None else v.astimezone(UTC).replace(tzinfo=None) for v in values]
        return np.array(plain, "M8[us]")
    array = np.empty(len(values), object)
    for i, value in enumerate(values):  # np.array would make rows of lists into a second dimension
        array[i] = value
    return array
