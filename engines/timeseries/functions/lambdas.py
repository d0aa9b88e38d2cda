"""Functions that take a lambda: filter, transform, reduce, zip_with, any_match, all_match, none_match.

    filter(s, x -> x.value > 3)      ──>   the elements of all rows as one batch: x.value > 3 is computed once, as a
                                           column, like any expression of a query; then each row keeps its own
    reduce(s, 0, (t, x) -> t + x, t -> t)  a round for each place: the first elements of all rows, the second ones ...

An x of a series is a record: x.time, x.value. filter of a series is a series, everything else gives arrays.
What a lambda mentions beside its parameters is of the row that the element belongs to.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.sql.binder.binding import Binder
from engines.sql.binder.calls import bind_lambda
from engines.sql.binder.literals import cast
from engines.sql.binder.scopes import Scope
from engines.sql.binder.typing import common
from engines.sql.column import Column, elements, expand, gather
from engines.sql.concatenate import concatenate
from engines.sql.context import Context
from engines.sql.evaluation import truth
from engines.sql.functions.given import mask_column
from engines.sql.functions.registry import Functions, Scalar, TypeMismatch
from engines.sql.logical import Call, Expression, Lambda
from engines.sql.types import BOOLEAN, Type, array
from engines.timeseries.functions.arrays import LISTS, chosen, spans

FUNCTIONS = Functions()
Positions = npt.NDArray[np.int32]
Node = Any  # of sqlglot
Kernel = Callable[[list[Any], int, Type, Context, int], Column]


# ---- binding -----------------------------------------------------------------------------------------------------


def _list_argument(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    found = binder.expression(node, scope)
    if found.type.kind not in LISTS:
        raise binder.error(f"{name.upper()} takes an array or a series, not {found.type}", node)
    return found


def _counted(binder: Binder, name: str, node: Node, count: int, shape: str) -> list[Node]:
    if len(node.expressions) != count:
        raise binder.error(f"{name.upper()} is written {name}({shape})", node)
    return list(node.expressions)


def _bound(binder: Binder, name: str, node: Node, scope: Scope, types: list[Type]) -> Lambda:
    if type(node).__name__ != "Lambda":
        raise binder.error(f"{name.upper()} takes a lambda here, like x -> x.value > 3", node)
    return bind_lambda(binder, node, scope, types)


def _tested(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    """filter, any_match, all_match, none_match."""
    first, second = _counted(binder, name, node, 2, "series, x -> condition")
    given = _list_argument(binder, name, first, scope)
    test = _bound(binder, name, second, scope, [given.type.element])
    body = binder.boolean(test.body, second, name.upper())
    test = Lambda(test.names, body, type=BOOLEAN, position=test.position)
    type = given.type if name == "filter" else BOOLEAN
    return Call(name, (given, test), type=type, position=binder.position(node))


def _transform(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    first, second = _counted(binder, name, node, 2, "series, x -> value")
    given = _list_argument(binder, name, first, scope)
    made = _bound(binder, name, second, scope, [given.type.element])
    return Call(name, (given, made), type=array(made.type), position=binder.position(node))


def _zip_with(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    first, second, third = _counted(binder, name, node, 3, "one, other, (x, y) -> value")
    lists = [_list_argument(binder, name, one, scope) for one in (first, second)]
    made = _bound(binder, name, third, scope, [one.type.element for one in lists])
    return Call(name, (*lists, made), type=array(made.type), position=binder.position(node))


def _reduce(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    """The state has one type: what the start and the first lambda give. It is found in at most three rounds."""
    first, second, third, fourth = _counted(
        binder, name, node, 4, "series, start, (state, x) -> state, state -> result"
    )
    given = _list_argument(binder, name, first, scope)
    start = binder.expression(second, scope)
    state = start.type
    for _ in range(3):
        step = _bound(binder, name, third, scope, [state, given.type.element])
        both = common((state, step.type))
        if both is None:
            raise binder.error(f"the state of {name.upper()} is {state} first, and {step.type} then", third)
        if both == state:
            break
        state = both
    if state.kind == "decimal":  # each round would have a digit more
        state = Type("double")
        step = _bound(binder, name, third, scope, [state, given.type.element])
    body = cast(step.body, state)
    step = Lambda(step.names, body, type=state, position=step.position)
    final = _bound(binder, name, fourth, scope, [state])
    arguments = (given, cast(start, state), step, final)
    return Call(name, arguments, type=final.type, position=binder.position(node))


FUNCTIONS.specials |= {
    **dict.fromkeys(("filter", "any_match", "all_match", "none_match"), _tested),
    "transform": _transform,
    "zip_with": _zip_with,
    "reduce": _reduce,
}


# ---- running -----------------------------------------------------------------------------------------------------


def _refused(_: Any) -> Any:  # noqa: ANN401 - a resolver
    raise TypeMismatch("takes a lambda")


def _kernel(name: str, meaning: str) -> Callable[[Kernel], Kernel]:
    def register(kernel: Kernel) -> Kernel:
        FUNCTIONS.scalars[name] = Scalar(name, _refused, kernel, strict=False, meaning=meaning)
        return kernel

    return register


def _laid_out(column: Column, rows: int) -> tuple[Column, Column, Positions, npt.NDArray[np.int64]]:
    """The lists, a row each; their elements; the row of each element; lengths. Elements stand row after row."""
    column = expand(column, rows)
    starts, ends = spans(column)
    column = chosen(column, starts, ends)  # without what lies under NULLs
    lengths = ends - starts
    rows_of = np.repeat(np.arange(rows, dtype=np.int32), lengths)
    return column, elements(column), rows_of, lengths


@_kernel("filter", "the elements of an array, the points of a series, for which the lambda is true")
def _filter(arguments: list[Any], rows: int, type: Type, context: Context, position: int) -> Column:
    del context, position
    column, inside, rows_of, _ = _laid_out(arguments[0], rows)
    keep = truth(arguments[1]([inside], rows_of), len(rows_of))
    before = np.zeros(len(rows_of) + 1, np.int64)
    np.cumsum(keep, out=before[1:])
    at = np.flatnonzero(keep).astype(np.int32)
    parts = {name: gather(part, at) for name, part in (column.parts or {}).items()}
    return Column(type, before[column.data].astype(np.int32), valid=column.valid, parts=parts)


@_kernel("transform", "an array of what the lambda makes of each element")
def _transformed(arguments: list[Any], rows: int, type: Type, context: Context, position: int) -> Column:
    del context, position
    column, inside, rows_of, _ = _laid_out(arguments[0], rows)
    return Column(type, column.data, valid=column.valid, parts={"element": arguments[1]([inside], rows_of)})


@_kernel("zip_with", "two arrays side by side, the shorter one filled up with NULL, through the lambda")
def _zipped(arguments: list[Any], rows: int, type: Type, context: Context, position: int) -> Column:
    del context, position
    pair = [_laid_out(one, rows) for one in arguments[:2]]
    lengths = np.maximum(pair[0][3], pair[1][3])
    valid = None
    for column, _, _, _ in pair:
        if column.valid is not None:
            valid = column.valid if valid is None else valid & column.valid
    if valid is not None:
        lengths = np.where(valid, lengths, 0)
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    rows_of = np.repeat(np.arange(rows, dtype=np.int32), lengths)
    places = np.arange(int(offsets[-1])) - offsets[rows_of]
    sides = []
    for column, inside, _, own in pair:
        at = np.where(places < own[rows_of], column.data[rows_of] + places, -1).astype(np.int32)
        sides.append(gather(inside, at, outer=True))
    return Column(type, offsets.astype(np.int32), valid=valid, parts={"element": arguments[2](sides, rows_of)})


@_kernel("reduce", "reduce(series, start, (state, x) -> state, state -> result): one value of all elements")
def _reduced(arguments: list[Any], rows: int, type: Type, context: Context, position: int) -> Column:
    del type, position
    column, inside, _, lengths = _laid_out(arguments[0], rows)
    state = expand(arguments[1], rows)
    every = np.arange(rows, dtype=np.int32)
    for place in range(int(lengths.max(initial=0))):
        context.check()
        active = np.flatnonzero(lengths > place).astype(np.int32)
        made = arguments[2]([gather(state, active), gather(inside, column.data[active] + np.int32(place))], active)
        if len(active) == rows:
            state = made
            continue
        at = every.copy()
        at[active] = rows + np.arange(len(active), dtype=np.int32)
        state = gather(concatenate([state, made]), at)
    found: Column = arguments[3]([state], every)
    if column.valid is None:
        return found
    valid = column.valid if found.valid is None else column.valid & found.valid
    return Column(
        found.type, found.data, found.base, valid, found.words, found.heap, found.low, found.high, found.parts
    )


def _match(name: str, meaning: str) -> None:
    @_kernel(name, meaning)
    def matched(arguments: list[Any], rows: int, type: Type, context: Context, position: int) -> Column:
        del type, context, position
        column, inside, rows_of, _ = _laid_out(arguments[0], rows)
        found = arguments[1]([inside], rows_of)
        known = np.ones(len(rows_of), np.uint8) if found.valid is None else found.valid
        hit = found.data if name != "all_match" else 1 - found.data
        hits = np.bincount(rows_of, hit & known, minlength=rows) > 0
        unknown = np.bincount(rows_of, known == 0, minlength=rows) > 0
        valid = (hits | ~unknown).astype(np.uint8)
        if column.valid is not None:
            valid &= column.valid
        return mask_column(hits if name == "any_match" else ~hits, valid=valid)


_match("any_match", "whether the lambda is true for any element")
_match("all_match", "whether the lambda is true for all elements")
_match("none_match", "whether the lambda is true for no element")
