"""Aggregates and window functions. Each is put down once with its SELECT; the expression gets a Reference to it.

    SUM(x)                                Scope.aggregates: AggregateCall -> id      Aggregate makes the column
    SUM(x) OVER (PARTITION BY y)          Scope.windows: WindowCall -> id            Window makes the column

Equal calls share one column. Arguments of an aggregate see the rows of FROM; those of a window function see the
groups, so that SUM(SUM(x)) OVER () is meaningful; selects.py puts the steps in order.
"""

from dataclasses import replace
from typing import Any, Final, Literal

from sqlglot import exp

from engines.sql.binder import typing
from engines.sql.binder.binding import Binder, Node, binds, written
from engines.sql.binder.literals import cast
from engines.sql.binder.operators import arithmetic, as_text, both, unify
from engines.sql.binder.scopes import Scope
from engines.sql.functions import TypeMismatch
from engines.sql.logical import AggregateCall, Constant, Expression, Frame, FrameBound, Reference, SortKey, WindowCall
from engines.sql.types import BIGINT, BOOLEAN, DAY, DOUBLE, NULL, VARBYTE, VARCHAR, Type, array

SYNONYMS: Final = {
    "stddev": "stddev_samp",
    "variance": "var_samp",
    "every": "bool_and",
    "string_agg": "listagg",
    "group_concat": "listagg",
    "approx_distinct": "approx_count_distinct",
    "arg_max": "max_by",
    "arg_min": "min_by",
    "boolor_agg": "bool_or",
    "booland_agg": "bool_and",
    "count_if": "countif",
    "arbitrary": "any_value",
}
ONE_VALUE: Final = {
    "sum", "avg", "min", "max", "any_value", "bool_and", "bool_or", "median", "stddev_samp", "stddev_pop", "var_samp",
    "var_pop", "bit_and", "bit_or", "approx_count_distinct", "array_agg", "countif",
}  # fmt: skip
TWO_VALUES: Final = {"max_by", "min_by", "corr", "covar_samp", "covar_pop", "approx_percentile"}
AGGREGATES: Final = ONE_VALUE | TWO_VALUES | {"count", "listagg", "percentile_cont", "percentile_disc", *SYNONYMS}
WITHIN_GROUP: Final = {"percentile_cont", "percentile_disc"}
NO_DISTINCT: Final = {"min", "max", "any_value", "bool_and", "bool_or", "bit_and", "bit_or"}  # it changes nothing
RANKINGS: Final = {
    "row_number": BIGINT,
    "rank": BIGINT,
    "dense_rank": BIGINT,
    "ntile": BIGINT,
    "percent_rank": DOUBLE,
    "cume_dist": DOUBLE,
    "lag": NULL,
    "lead": NULL,
    "first_value": NULL,
    "last_value": NULL,
    "nth_value": NULL,
    "ratio_to_report": NULL,
}
Side = Literal["preceding", "following"]
CURRENT_ROW: Final[FrameBound] = ("current row", None)
NULLS_MATTER: Final = {"lag", "lead", "first_value", "last_value", "nth_value"}


def sort_keys(binder: Binder, order: Node, scope: Scope) -> tuple[SortKey, ...]:
    """ORDER BY of a window or of WITHIN GROUP: expressions, no positions."""
    if order is None:
        return ()
    return tuple(sort_key(binder.expression(one.this, scope), one) for one in order.expressions)


def sort_key(expression: Expression, node: Node) -> SortKey:
    """Sqlglot has put in where the dialect has its NULLs."""
    return SortKey(expression, bool(node.args.get("desc")), bool(node.args.get("nulls_first")))


# ---- aggregates --------------------------------------------------------------------------------------------------


def bare(
    binder: Binder,
    name: str,
    node: Node,
    scope: Scope,
    *,
    order: tuple[SortKey, ...] = (),
    where: Expression | None = None,
) -> AggregateCall:
    """The call itself, its arguments bound in the scope as it is."""
    name = SYNONYMS.get(name, name)
    nodes = list(node.expressions)
    distinct = bool(nodes) and nodes[0].__class__ is exp.Distinct
    if distinct:
        nodes = [*nodes[0].expressions, *nodes[1:]]
    if nodes and nodes[-1].__class__ is exp.Order:  # string_agg(x, ',' ORDER BY y)
        order = sort_keys(binder, nodes[-1], scope)
        nodes[-1] = nodes[-1].this
    if name == "count" and nodes and nodes[0].__class__ is exp.Star:
        if distinct or len(nodes) > 1:
            raise binder.error("COUNT(*) takes nothing else", node)
        nodes = []
    elif not nodes:
        raise binder.error(
            f"{name.upper()} takes an argument{': COUNT(*) counts rows' if name == 'count' else ''}", node
        )
    arguments = tuple(binder.expression(one, scope) for one in nodes)
    if name == "countif":
        condition = binder.boolean(arguments[0], node, "COUNT_IF")
        where = condition if where is None else both([where, condition])
        name, arguments = "count", ()
    arguments, order, type = _typed(binder, name, arguments, order, node)
    if name == "count" and len(arguments) == 1 and not distinct:
        only = arguments[0]
        arguments = () if isinstance(only, Constant) and only.value is not None else arguments
    distinct = distinct and name not in NO_DISTINCT
    return AggregateCall(name, arguments, type, distinct, where, order, binder.position(node))


def _typed(
    binder: Binder, name: str, arguments: tuple[Expression, ...], order: tuple[SortKey, ...], node: Node
) -> tuple[tuple[Expression, ...], tuple[SortKey, ...], Type]:
    """Checks the arguments, casts them, and says what comes out."""
    own = binder.dialect.functions.aggregates.get(name)
    if own is not None and not own.native:
        try:
            types, result = own.resolve([one.type for one in arguments])
        except TypeMismatch as error:
            raise binder.error(f"{name.upper()} {error}", node) from None
        return tuple(cast(one, type) for one, type in zip(arguments, types, strict=True)), order, result
    if name == "count":
        return arguments, order, BIGINT
    least, most = (2, 2) if name in TWO_VALUES else (1, 2) if name == "listagg" else (1, 1)
    if not least <= len(arguments) <= most:
        raise binder.error(f"{name.upper()} takes {least} argument{'s'[: least > 1]}, not {len(arguments)}", node)
    first = arguments[0]
    if name in {"sum", "avg"}:
        if first.type.kind == "null":
            first = cast(first, DOUBLE)
        if not first.type.number:
            raise binder.error(f"{name.upper()} takes numbers, {written(node.expressions[0])} is {first.type}", node)
        type = typing.summed(first.type, binder.dialect.rules) if name == "sum" else typing.averaged(first.type)
        return (first,), order, type
    if name in {"min", "max", "any_value"}:
        if first.type.fields and name != "any_value":
            raise binder.error(f"{name.upper()} takes values that have an order, not {first.type}", node)
        return arguments, order, first.type
    if name in {"bool_and", "bool_or"}:
        return (binder.boolean(first, node.expressions[0], name.upper()),), order, BOOLEAN
    if name in {"bit_and", "bit_or"}:
        if not first.type.integer:
            raise binder.error(f"{name.upper()} takes integers, not {first.type}", node)
        return arguments, order, first.type
    if name == "listagg":
        first = as_text(first)
        delimiter = as_text(arguments[1]) if len(arguments) > 1 else Constant(b"", type=VARCHAR)
        return (first, delimiter), order, VARCHAR
    if name == "approx_count_distinct":
        return arguments, order, BIGINT
    if name == "array_agg":
        return arguments, order, array(first.type)
    if name in {"max_by", "min_by"}:
        return arguments, order, first.type
    if name in WITHIN_GROUP:
        return _percentile(binder, name, first, order, node)
    if name == "approx_percentile":
        fraction = _number(binder, arguments[1], node)
        return (_number(binder, first, node), fraction), order, DOUBLE
    return tuple(_number(binder, one, node) for one in arguments), order, DOUBLE  # median, stddev_samp, corr, ...


def _number(binder: Binder, expression: Expression, node: Node) -> Expression:
    if not (expression.type.number or expression.type.kind == "null"):
        raise binder.error(f"{written(node)} takes numbers, not {expression.type}", node)
    return expression if expression.type.kind == "double" else cast(expression, DOUBLE)


def _percentile(
    binder: Binder, name: str, fraction: Expression, order: tuple[SortKey, ...], node: Node
) -> tuple[tuple[Expression, ...], tuple[SortKey, ...], Type]:
    if len(order) != 1:
        raise binder.error(f"{name.upper()} is written {name.upper()}(0.5) WITHIN GROUP (ORDER BY value)", node)
    fraction = _number(binder, fraction, node)
    if isinstance(fraction, Constant) and not 0 <= (fraction.value if fraction.value is not None else -1) <= 1:
        raise binder.error(f"the fraction of {name.upper()} lies between 0 and 1", node)
    key = order[0]
    if name == "percentile_cont":
        key = replace(key, expression=_number(binder, key.expression, node))
    return (fraction,), (key,), key.expression.type


def aggregate(
    binder: Binder, name: str, node: Node, scope: Scope, *, order: Node = None, where: Node = None
) -> Expression:
    """An aggregate that is no window function: a Reference to its column."""
    if not scope.may_aggregate:
        inside = scope.clause or "this place"
        raise binder.error(f"the aggregate {SYNONYMS.get(name, name).upper()} is not allowed in {inside}", node)
    before = scope.may_aggregate, scope.may_window, scope.clause, len(scope.captured)
    scope.may_aggregate = scope.may_window = False
    scope.clause = "the argument of an aggregate"
    keys = sort_keys(binder, order, scope)
    condition = None if where is None else binder.condition(where, scope, "FILTER")
    call = bare(binder, name, node, scope, order=keys, where=condition)
    scope.may_aggregate, scope.may_window, scope.clause, captured = before
    del scope.captured[captured:]  # an argument sees the rows: whatever it and its subqueries mention is there
    return Reference(_column(binder, scope.aggregates, call), type=call.type, position=call.position)


def _column(binder: Binder, known: dict[Any, str], call: Node) -> str:
    id = known.get(call)
    if id is None:
        id = known[call] = binder.id(call.function)
    return id


def _parts(node: Node) -> tuple[Any, Any, Any, bool]:
    """What stands around a call: (the call, WITHIN GROUP, FILTER, IGNORE NULLS)."""
    order = where = None
    ignore = False
    while True:
        kind = node.__class__
        if kind is exp.WithinGroup:
            order = node.expression
        elif kind is exp.Filter:
            where = node.expression.this
        elif kind is exp.IgnoreNulls:
            ignore = True
        elif kind is not exp.RespectNulls:
            return node, order, where, ignore
        node = node.this


def _name(binder: Binder, node: Node) -> str:
    if node.__class__ is not exp.Anonymous:
        raise binder.error(f"{written(node)} is no aggregate and no window function", node)
    name = node.this
    return (name if isinstance(name, str) else name.name).lower()


@binds(exp.WithinGroup, exp.Filter, exp.IgnoreNulls, exp.RespectNulls)
def _modified(binder: Binder, node: Node, scope: Scope) -> Expression:
    call, order, where, ignore = _parts(node)
    name = _name(binder, call)
    if ignore or name in RANKINGS:
        raise binder.error(f"{name.upper()} with these words needs OVER (...)", node)
    if name not in AGGREGATES and name not in binder.dialect.functions.aggregates:
        raise binder.error(f"{name.upper()} is no aggregate", node)
    return aggregate(binder, name, call, scope, order=order, where=where)


# ---- window functions --------------------------------------------------------------------------------------------


@binds(exp.Window)
def _window(binder: Binder, node: Node, scope: Scope) -> Expression:
    call, within, where, ignore = _parts(node.this)
    name = _name(binder, call)
    if not scope.may_window:
        raise binder.error(f"the window function {name.upper()} is not allowed in {scope.clause or 'this place'}", node)
    before, scope.may_window = scope.may_window, False
    clause, scope.clause = scope.clause, "a window function"
    partition, order, frame = _over(binder, node, scope, set())
    keys = sort_keys(binder, within, scope)
    condition = None if where is None else binder.condition(where, scope, "FILTER")
    expressions = list(call.expressions)
    if expressions and expressions[0].__class__ in {exp.IgnoreNulls, exp.RespectNulls}:
        ignore = ignore or expressions[0].__class__ is exp.IgnoreNulls
        call = exp.Anonymous(this=call.this, expressions=[expressions[0].this, *expressions[1:]])
    if name == "ratio_to_report":
        result = _ratio(binder, call, partition, scope)
    else:
        if name in RANKINGS:
            arguments, type = _ranking(binder, name, call, scope)
            bound = WindowCall(name, arguments, type, partition, order, frame, ignore, condition)
        elif name in AGGREGATES or name in binder.dialect.functions.aggregates:
            inner = bare(binder, name, call, scope, order=keys, where=condition)
            bound = _over_aggregate(binder, inner, node, partition=partition, order=order, frame=frame)
        else:
            raise binder.error(f"{name.upper()} is no window function", node)
        if ignore and name not in NULLS_MATTER:
            raise binder.error(f"IGNORE NULLS means nothing for {name.upper()}", node)
        bound = replace(bound, position=binder.position(node))
        result = Reference(_column(binder, scope.windows, bound), type=bound.type, position=bound.position)
    scope.may_window, scope.clause = before, clause
    return result


def _over_aggregate(
    binder: Binder,
    inner: AggregateCall,
    node: Node,
    *,
    partition: tuple[Expression, ...],
    order: tuple[SortKey, ...],
    frame: Frame | None,
) -> WindowCall:
    arguments = inner.arguments
    if inner.order:  # LISTAGG and PERCENTILE_CONT see their whole partition, in their own order
        if order or frame:
            raise binder.error(f"{inner.function.upper()} WITHIN GROUP takes only PARTITION BY in OVER", node)
        order = inner.order
        frame = Frame("rows", ("unbounded preceding", None), ("unbounded following", None))
        if inner.function in WITHIN_GROUP:
            arguments = (order[0].expression, *arguments)
    return WindowCall(
        inner.function, arguments, inner.type, partition, order, frame, where=inner.where, distinct=inner.distinct
    )


def _ranking(binder: Binder, name: str, call: Node, scope: Scope) -> tuple[tuple[Expression, ...], Type]:
    nodes = call.expressions
    least, most = {
        "ntile": (1, 1),
        "lag": (1, 3),
        "lead": (1, 3),
        "first_value": (1, 1),
        "last_value": (1, 1),
        "nth_value": (2, 2),
    }.get(name, (0, 0))
    if not least <= len(nodes) <= most:
        count = str(least) if least == most else f"{least} to {most}"
        raise binder.error(
            f"{name.upper()} takes {count} argument{'s' if count != '1' else ''}, not {len(nodes)}", call
        )
    arguments = [binder.expression(one, scope) for one in nodes]
    if name in NULLS_MATTER:
        if len(arguments) > 1 and not arguments[1].type.integer:
            raise binder.error(f"{name.upper()} counts rows with an integer, not {arguments[1].type}", call)
        if len(arguments) == 3:
            values = unify(binder, [arguments[0], arguments[2]], nodes, call, f"value and default of {name.upper()}")[0]
            arguments = [values[0], arguments[1], values[1]]
        return tuple(arguments), arguments[0].type
    if arguments and not arguments[0].type.integer:
        raise binder.error(f"{name.upper()} takes a whole number, not {arguments[0].type}", call)
    return tuple(arguments), RANKINGS[name]


def _ratio(binder: Binder, call: Node, partition: tuple[Expression, ...], scope: Scope) -> Expression:
    """RATIO_TO_REPORT(x) OVER (PARTITION BY y) = x / SUM(x) OVER (PARTITION BY y)."""
    if len(call.expressions) != 1:
        raise binder.error("RATIO_TO_REPORT takes 1 argument", call)
    value = _number(binder, binder.expression(call.expressions[0], scope), call)
    total = WindowCall("sum", (value,), DOUBLE, partition, (), None)
    return arithmetic(binder, "/", value, Reference(_column(binder, scope.windows, total), type=DOUBLE), call)


def _over(
    binder: Binder, node: Node, scope: Scope, named: set[str]
) -> tuple[tuple[Expression, ...], tuple[SortKey, ...], Frame | None]:
    """PARTITION BY, ORDER BY and the frame, with those of the named window that it builds on."""
    partition: tuple[Expression, ...] = ()
    order: tuple[SortKey, ...] = ()
    frame = None
    alias = node.args.get("alias")
    if alias is not None:
        name = alias.name.lower()
        base = scope.definitions.get(name)
        if base is None or name in named:
            raise binder.error(f"there is no window {alias.name!r}: define it with WINDOW {alias.name} AS (...)", node)
        partition, order, frame = _over(binder, base, scope, named | {name})
    own = node.args.get("partition_by")
    if own:
        if alias is not None:
            raise binder.error(f"the window {alias.name!r} has its PARTITION BY already", node)
        partition = tuple(binder.expression(one, scope) for one in own)
    keys = sort_keys(binder, node.args.get("order"), scope)
    if keys and order:
        raise binder.error("the named window has its ORDER BY already", node)
    order = keys or order
    spec = node.args.get("spec")
    if spec is not None:
        frame = _frame(binder, spec, order, node)
    return partition, order, frame


def _frame(binder: Binder, spec: Node, order: tuple[SortKey, ...], node: Node) -> Frame:
    args = spec.args
    if args.get("exclude"):
        raise binder.unsupported("EXCLUDE in a window's frame", node)
    unit = (args.get("kind") or "RANGE").lower()
    start = _bound(binder, args["start"], args.get("start_side") or "PRECEDING", unit=unit, order=order, node=node)
    end_given = args.get("end")
    end = CURRENT_ROW
    if end_given is not None:
        end = _bound(binder, end_given, args.get("end_side") or "FOLLOWING", unit=unit, order=order, node=node)
    if start[0] == "unbounded following" or end[0] == "unbounded preceding" or _turned(start[0], end[0]):
        raise binder.error(f"the frame ends before it begins: {start[0].upper()} to {end[0].upper()}", node)
    if unit == "groups" and not order:
        raise binder.error("GROUPS in a window's frame needs ORDER BY", node)
    return Frame(unit, start, end)  # type: ignore[arg-type]  # one of the three words


def _turned(start: str, end: str) -> bool:
    rank = ["unbounded preceding", "preceding", "current row", "following", "unbounded following"]
    return rank.index(start) > rank.index(end)


def _bound(binder: Binder, given: Node, word: str, *, unit: str, order: tuple[SortKey, ...], node: Node) -> FrameBound:
    side: Side = "preceding" if word.upper() == "PRECEDING" else "following"
    if given == "CURRENT ROW":
        return CURRENT_ROW
    if given == "UNBOUNDED":
        return ("unbounded preceding" if side == "preceding" else "unbounded following"), None
    offset = binder.expression(given, Scope(clause="a window's frame"))
    if not isinstance(offset, Constant) or offset.value is None:
        raise binder.error(f"a frame's offset is a constant, not {written(given)}", node)
    if unit != "range":
        if not offset.type.integer or offset.value < 0:
            raise binder.error(f"{unit.upper()} counts with whole numbers from 0, not {written(given)}", node)
        return side, offset.value
    if len(order) != 1:
        raise binder.error("RANGE with an offset needs ORDER BY with one key", node)
    key = order[0].expression.type
    value = _range_offset(binder, offset, key, node)
    if value is None:
        raise binder.error(f"RANGE over {key} takes no offset of {offset.type}", node)
    if not isinstance(value, tuple) and value < 0:
        raise binder.error("a frame's offset is not negative", node)
    return side, value


def _plain(value: Any) -> int | float:  # noqa: ANN401 - of a Constant
    return value if isinstance(value, float) else int(value)


def _range_offset(binder: Binder, offset: Constant, key: Type, node: Node) -> int | float | tuple[int, int] | None:
    """The offset in engine values of the key: a number; (months, microseconds) only where there are months."""
    if key.number and offset.type.number:
        same = cast(offset, key if not key.integer else offset.type)
        if key.integer and not offset.type.integer:
            raise binder.error(f"RANGE over {key} counts with whole numbers", node)
        return _plain(same.value) if isinstance(same, Constant) else None
    if key.temporal and offset.type.kind == "interval":
        months, microseconds = map(int, offset.value)
        if months:
            return months, microseconds
        if key.kind != "date":
            return microseconds * (1000 if key.unit == "ns" else 1)
        return None if microseconds % DAY else microseconds // DAY
    if key.kind == "date" and offset.type.integer:
        return _plain(offset.value)
    return None


__all__ = ["AGGREGATES", "RANKINGS", "VARBYTE", "aggregate", "bare", "sort_key", "sort_keys"]
