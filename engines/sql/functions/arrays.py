"""Arrays: ARRAY(a, b, c) and array[0]. Offsets and one column of elements, as in column.py."""

from typing import TYPE_CHECKING, Final

import numpy as np

from engines.sql.column import Column, elements, gather, nulls
from engines.sql.concatenate import concatenate
from engines.sql.functions.given import Given, scalars, spread
from engines.sql.functions.registry import Functions, TypeMismatch
from engines.sql.types import BIGINT, INTEGER, NULL, Type, array

if TYPE_CHECKING:
    from collections.abc import Sequence

FUNCTIONS = Functions()
MOST_NUMBERS: Final = 100_000_000
scalar = scalars(FUNCTIONS)


def _items(types: "Sequence[Type]") -> "tuple[Sequence[Type], Type]":
    return types, array(types[0] if types else NULL)  # the binder has made them one type


@scalar("array", _items, strict=False, meaning="an array of these elements")
def made(given: Given) -> Column:
    count = len(given)
    offsets = (np.arange(given.rows + 1, dtype=np.int32) * count).astype(np.int32)
    if not count:
        return Column(given.type, offsets, parts={"element": nulls(given.type.element, 0)})
    beside = concatenate([spread(column, given.rows) for column in given.columns])  # all first ones, all second ones
    at = np.arange(given.rows * count, dtype=np.int32).reshape(count, given.rows).T
    return Column(given.type, offsets, parts={"element": gather(beside, np.ascontiguousarray(at).reshape(-1))})


def _series(types: "Sequence[Type]") -> "tuple[Sequence[Type], Type]":
    if len(types) not in {2, 3} or not all(type.integer or type.kind == "null" for type in types):
        raise TypeMismatch("takes two or three whole numbers: first, last, step")
    return [BIGINT] * len(types), array(BIGINT)


@scalar("generate_series", _series, meaning="the whole numbers from first to last, by steps of 1 or of what is given")
def generate_series(given: Given) -> Column:
    first, last, step = given.whole(0), given.whole(1), given.whole(2) if len(given) > 2 else np.ones(1, np.int64)
    given.refuse(step == 0, "the step of a series is not 0", 2)
    step = np.where(step == 0, 1, step)
    there = given.present()
    pairs = zip(*np.broadcast_arrays(first, last, step, np.ones(given.rows) if there is None else there), strict=True)
    counts = [max((int(b) - int(a)) // int(by) + 1, 0) if known else 0 for a, b, by, known in pairs]
    if sum(counts) > MOST_NUMBERS:
        raise given.error(f"a series has at most {MOST_NUMBERS:,} numbers here")
    sizes = np.array(counts, np.int64)
    offsets = np.zeros(given.rows + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
    every = [np.repeat(np.broadcast_to(values, given.rows), sizes) for values in (first, step)]
    return Column(given.type, offsets, valid=there, parts={"element": Column(BIGINT, every[0] + places * every[1])})


def _element(types: "Sequence[Type]") -> "tuple[Sequence[Type], Type]":
    if len(types) != 2 or types[0].kind != "array" or not types[1].integer:
        raise TypeMismatch("takes an array and a whole number")
    return (types[0], INTEGER), types[0].element


@scalar("element", _element, meaning="array[n]: the element, counted from 0; NULL where there is none")
def element(given: Given) -> Column:
    items, places = given.columns[0], given.whole(1)
    offsets = items.data.astype(np.int64)
    at = offsets[:-1] + places
    found = np.where((places >= 0) & (at < offsets[1:]), at, -1)
    return gather(elements(items), np.broadcast_to(found, given.rows).astype(np.int32), outer=True)


def _field(types: "Sequence[Type]") -> "tuple[Sequence[Type], Type]":
    del types
    raise TypeMismatch("is written record.field")  # the binder knows the type, and makes the call itself


@scalar("field", _field, meaning="record.name: one field of a record")
def field(given: Given) -> Column:
    record, name = given.columns[0], given.one_text(1, "the name of a field")
    found = gather((record.parts or {})[name], record.data)
    return found if len(found) == given.rows else spread(found, given.rows)


def _record(types: "Sequence[Type]") -> "tuple[Sequence[Type], Type]":
    return types, Type("row", fields=tuple((f"field{number}", one) for number, one in enumerate(types)))


@scalar("row", _record, strict=False, meaning="ROW(a, b): a record; CAST(... AS ROW(x type, y type)) names its fields")
def record(given: Given) -> Column:
    parts = {
        name: spread(column, given.rows) for (name, _), column in zip(given.type.fields, given.columns, strict=True)
    }
    return Column(given.type, np.arange(given.rows, dtype=np.int32), parts=parts)
