"""Arrays: sequence, and the functions that look into arrays and series.

Places count from 1; a negative one counts from the end. sequence(a, b, step) has both ends if the steps hit them.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines.sql import comparisons
from engines.sql.column import Column, elements, gather, nulls
from engines.sql.functions.given import Given, intervals, mask_column, scalars, spread, whole_column
from engines.sql.functions.registry import Functions, TypeMismatch
from engines.sql.types import BIGINT, BOOLEAN, NULL, Type, array
from engines.timeseries.functions.taking import TIMES, takes

FUNCTIONS = Functions()
scalar = scalars(FUNCTIONS)
MOST: Final = 1_000_000  # elements of a sequence
DAY: Final = 86_400_000_000_000
Spans = npt.NDArray[np.int64]


@scalar(
    "sequence",
    takes(
        (("whole", "whole"), array(BIGINT)),
        (("whole", "whole", "whole"), array(BIGINT)),
        (("time", "time"), TIMES),
        (("time", "time", "interval"), TIMES),
    ),
    meaning="sequence(a, b, step): from a to b, both included if hit; the step is 1, or 1 day, if left out",
)
def sequence(given: Given) -> Column:
    rows = given.rows
    first, last = (np.broadcast_to(given.whole(i), rows).tolist() for i in (0, 1))
    steps = np.array([DAY if given.type == TIMES else 1])
    if len(given) == 3 and given.type == TIMES:
        months, steps = intervals(given.columns[2])
        given.refuse(months != 0, "the step of a sequence has a fixed length: take days, hours, minutes, ...")
    elif len(given) == 3:
        steps = given.whole(2)
    there = given.present()
    found = []
    for row, (start, stop, step) in enumerate(zip(first, last, np.broadcast_to(steps, rows).tolist(), strict=True)):
        if there is not None and not there[row]:
            found.append(np.zeros(0, np.int64))
            continue
        if step == 0 or (stop - start) * step < 0:
            raise given.error(f"the step of a sequence leads from its start to its end, and is not 0: got {step:,}")
        count = (stop - start) // step + 1
        if count > MOST:
            raise given.error(f"a sequence has at most {MOST:,} elements, this one has {count:,}: take a larger step")
        found.append(start + np.arange(count, dtype=np.int64) * step)
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum([len(one) for one in found], out=offsets[1:])
    numbers = np.concatenate(found) if found else np.zeros(0, np.int64)
    return Column(given.type, offsets, parts={"element": whole_column(given.type.element, numbers)})


LISTS: Final = {"array", "timeseries"}


def spans(column: Column) -> tuple[Spans, Spans]:
    """Where the elements of each row begin and end; under a NULL there are none."""
    if column.parts is None:
        rows = max(len(column), 1)
        return np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    offsets = column.data.astype(np.int64)
    starts, ends = offsets[:-1], offsets[1:]
    return starts, np.where(column.valid, ends, starts) if column.valid is not None else ends


def _list(types: Sequence[Type], what: str, count: int) -> Type:
    """The type of the first argument, a list; NULL is an array of nothing."""
    if len(types) != count or types[0].kind not in {*LISTS, "null"}:
        raise TypeMismatch(f"takes {what}, not ({', '.join(map(str, types))})")
    return array(NULL) if types[0].kind == "null" else types[0]


def _cardinality(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    return (_list(types, "an array or a series", 1),), BIGINT


@scalar("cardinality", _cardinality, meaning="how many elements an array or a series has")
def cardinality(given: Given) -> Column:
    starts, ends = spans(given.columns[0])
    return whole_column(BIGINT, np.broadcast_to(ends - starts, given.rows))


def _element_at(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    given = _list(types, "an array or a series, and a place from 1", 2)
    if not types[1].integer:
        raise TypeMismatch("takes a place that is a whole number")
    return (given, BIGINT), given.element


@scalar("element_at", _element_at, meaning="the n-th element from 1, from the end if negative; NULL if there is none")
def element_at(given: Given) -> Column:
    starts, ends = spans(given.columns[0])
    places = given.whole(1)
    given.refuse(places == 0, "places count from 1, or from the end from -1: there is no place 0")
    at = np.where(places > 0, starts + places - 1, ends + places)
    at = np.broadcast_to(np.where((at >= starts) & (at < ends), at, -1), given.rows)
    return gather(elements(given.columns[0]), at.astype(np.int32), outer=True)


def _contains(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    if len(types) != 2 or types[0].kind != "array":
        raise TypeMismatch(f"takes an array and an element, not ({', '.join(map(str, types))})")
    element = types[0].element
    return (types[0], types[1] if element.kind == "null" else element), BOOLEAN


@scalar("contains", _contains, meaning="whether an array has that element; NULL if only NULLs are left to be it")
def contains(given: Given) -> Column:
    starts, ends = (np.broadcast_to(one, given.rows) for one in spans(given.columns[0]))
    inside = elements(given.columns[0])
    rows_of = np.repeat(np.arange(given.rows, dtype=np.int32), ends - starts)
    at = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)]) if len(starts) else rows_of
    chosen = gather(inside, at.astype(np.int32))
    wanted = gather(spread(given.columns[1], given.rows), rows_of)
    equal = np.zeros(len(rows_of), np.uint8)
    if inside.type.kind != "null" and len(rows_of):
        equal = comparisons.compare("=", chosen, wanted, len(rows_of))
    there = chosen.valid if inside.type.kind != "null" else np.zeros(len(rows_of), np.uint8)
    if there is not None:
        equal = equal & there
    hits = np.bincount(rows_of, equal, minlength=given.rows) > 0
    unknown = np.zeros(given.rows, bool)
    if there is not None:
        unknown = np.bincount(rows_of, there == 0, minlength=given.rows) > 0
    return mask_column(hits, valid=(hits | ~unknown).astype(np.uint8))


def _slice(types: Sequence[Type]) -> tuple[Sequence[Type], Type]:
    given = _list(types, "an array or a series, a place from 1, and how many", 3)
    if not (types[1].integer and types[2].integer):
        raise TypeMismatch("takes whole numbers for the place and for how many")
    return (given, BIGINT, BIGINT), given


@scalar("slice", _slice, meaning="so many elements from a place; a negative place counts from the end")
def sliced(given: Given) -> Column:
    column = spread(given.columns[0], given.rows) if given.columns[0].parts else nulls(given.type, given.rows)
    starts, ends = spans(column)
    places, counts = (np.broadcast_to(given.whole(i), given.rows) for i in (1, 2))
    given.refuse(places == 0, "places count from 1, or from the end from -1: there is no place 0")
    given.refuse(counts < 0, "how many elements is 0 or more, got {value}", 2)
    first = np.where(places > 0, starts + np.minimum(places, 2**40) - 1, ends + np.maximum(places, -(2**40)))
    outside = (first < starts) | (first >= ends)
    first = np.where(outside, starts, first)
    last = np.where(outside, first, np.minimum(first + np.minimum(counts, 2**40), ends))
    return chosen(column, first, last)


def chosen(column: Column, first: Spans, last: Spans) -> Column:
    """A list of the elements first..last (not included) of each row."""
    lengths = last - first
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    at = np.repeat(first - offsets[:-1], lengths) + np.arange(int(offsets[-1]))
    parts: dict[str, Any] = {name: gather(part, at.astype(np.int32)) for name, part in (column.parts or {}).items()}
    return Column(column.type, offsets.astype(np.int32), valid=column.valid, parts=parts)
