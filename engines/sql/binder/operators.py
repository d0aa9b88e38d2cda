"""Operators: arithmetic, comparison, logic, CASE, IN, BETWEEN, LIKE, IS.

Both sides of a comparison come out equal in kind, decimals in scale too. Constants are cast rather than columns where
that loses nothing, so that a condition stays `column op constant`, which tables can answer from their zone maps.
Whole numbers in arithmetic are left as they are: the kernels know from the types how to bring them to one scale.
"""

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from engines.errors import nearest
from engines.sql.binder import typing
from engines.sql.binder.binding import HANDLERS, Binder, Node, binds, written
from engines.sql.binder.literals import cast
from engines.sql.binder.scopes import Scope
from engines.sql.functions import INTERVAL_OF_TIME, TypeMismatch
from engines.sql.logical import Among, Bound, Call, Case, Constant, Expression
from engines.sql.types import (
    BOOLEAN,
    DATE,
    DAY,
    DOUBLE,
    INTEGER,
    INTERVAL,
    INTERVAL_NS,
    NULL,
    TIMESTAMP,
    TIMESTAMP_NS,
    VARCHAR,
    Type,
)

# ---- one type for several ----------------------------------------------------------------------------------------


def kinded(expression: Expression, type: Type) -> Expression:
    """The expression, cast only if its kind, or the scale of its decimals, is another one."""
    given = expression.type
    if given.kind == type.kind and (given.kind not in {"decimal", "array", "row"} or given.scale == type.scale):
        return expression
    if given.text and type.text:
        return expression  # CHAR is stored without its trailing blanks: they compare as they are
    return cast(expression, type)


def _given_text(expression: Expression) -> bool:
    return expression.type.text and isinstance(expression, (Constant, Bound))


def common(expressions: Sequence[Expression]) -> Type | None:
    """Their common type, constant texts left out where anything else is there."""
    types = [one.type for one in expressions if not _given_text(one)]
    type = typing.common(types)
    if type is not None and type.kind == "null":
        return typing.common([one.type for one in expressions])
    if type is not None and any(not typing.castable(one.type, type) for one in expressions):
        return None
    return type


def unify(
    binder: Binder, expressions: list[Expression], nodes: Sequence[Node], owner: Node, what: str
) -> tuple[list[Expression], Type]:
    """All as their common type."""
    first = expressions[0].type
    if all(one.type == first for one in expressions):
        return expressions, first
    type = common(expressions)
    if type is None:
        kinds = " and ".join(dict.fromkeys(str(one.type) for one in expressions if one.type.kind != "null"))
        raise binder.error(
            f"{what} have no common type: {kinds}; write a CAST", owner if owner is not None else nodes[0]
        )
    return [one if one.type == type else cast(one, type) for one in expressions], type


def _comparable(binder: Binder, left: Expression, right: Expression, node: Node) -> tuple[Expression, Expression]:
    a, b = left.type, right.type
    if a.kind == b.kind and (a.kind != "decimal" or a.scale == b.scale):
        return left, right
    if a.text and b.text:
        return left, right
    type = common((left, right))
    if type is None and a.text and typing.castable(a, b):
        type = b
    elif type is None and b.text and typing.castable(b, a):
        type = a
    if type is None:
        raise binder.error(f"{a} and {b} cannot be compared: {written(node)}", node)
    return kinded(left, type), kinded(right, type)


def compare(binder: Binder, operator: str, left: Expression, right: Expression, node: Node) -> Call:
    """Left operator right, for any of = <> < <= > >= and IS [NOT] DISTINCT FROM."""
    left, right = _comparable(binder, left, right, node)
    return Call(operator, (left, right), type=BOOLEAN, position=left.position)


COMPARISONS: Final[dict[type, str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "is not distinct from",
    exp.NullSafeNEQ: "is distinct from",
}


@binds(*COMPARISONS)
def _comparison(binder: Binder, node: Node, scope: Scope) -> Expression:
    left, right = node.args["this"], node.args["expression"]
    kind = right.__class__
    if kind is exp.Any or kind is exp.All:
        return HANDLERS[kind](binder, node, scope)  # subqueries.py
    if left.__class__ is exp.Any or left.__class__ is exp.All:
        raise binder.unsupported("ANY or ALL on the left of a comparison", node)
    rows = row_items(left), row_items(right)
    if rows[0] is not None or rows[1] is not None:
        return _row_comparison(binder, node, rows, scope)
    return compare(
        binder, COMPARISONS[node.__class__], binder.expression(left, scope), binder.expression(right, scope), node
    )


def row_items(node: Node) -> list[Node] | None:
    """The items of (a, b) or ROW(a, b); None for anything else."""
    if node.__class__ is exp.Tuple:
        return node.expressions
    if node.__class__ is exp.Anonymous and str(node.this).lower() == "row":
        return node.expressions
    return None


def _row_comparison(
    binder: Binder, node: Node, rows: tuple[list[Node] | None, list[Node] | None], scope: Scope
) -> Expression:
    if rows[0] is None or rows[1] is None:
        unnested = node.expression if rows[1] is None else node.this
        if isinstance(unnested, exp.Subquery):
            raise binder.unsupported("a row compared with a subquery by an operator (use IN or EXISTS)", node)
        raise binder.error(f"a row is compared with something that is none: {written(node)}", node)
    if len(rows[0]) != len(rows[1]):
        raise binder.error(f"rows of {len(rows[0])} and of {len(rows[1])} values cannot be compared", node)
    left = [binder.expression(one, scope) for one in rows[0]]
    right = [binder.expression(one, scope) for one in rows[1]]
    return compare_rows(binder, COMPARISONS[node.__class__], left, right, node)


def compare_rows(
    binder: Binder, operator: str, left: Sequence[Expression], right: Sequence[Expression], node: Node
) -> Expression:
    """Rows, value by value: equal if all are, smaller if the first that differs is."""
    if operator in {"=", "is not distinct from"}:
        return both([compare(binder, operator, a, b, node) for a, b in zip(left, right, strict=True)])
    if operator in {"<>", "is distinct from"}:
        return either([compare(binder, operator, a, b, node) for a, b in zip(left, right, strict=True)])
    strict = operator[0]
    choices = []
    for n in range(len(left)):
        equal = [compare(binder, "=", left[i], right[i], node) for i in range(n)]
        last = operator if n == len(left) - 1 else strict
        choices.append(both([*equal, compare(binder, last, left[n], right[n], node)]))
    return either(choices)


def both(conditions: Sequence[Expression]) -> Expression:
    """AND of them all."""
    return conditions[0] if len(conditions) == 1 else Call("and", tuple(conditions), type=BOOLEAN)


def either(conditions: Sequence[Expression]) -> Expression:
    """OR of them all."""
    return conditions[0] if len(conditions) == 1 else Call("or", tuple(conditions), type=BOOLEAN)


# ---- logic -------------------------------------------------------------------------------------------------------


def chain(node: Node, kind: type[exp.Expr]) -> list[Node]:
    """The items of a AND b AND c, however deep the tree."""
    items = []
    waiting = [node]
    while waiting:
        one = waiting.pop()
        while isinstance(one, exp.Paren):
            one = one.args["this"]
        if isinstance(one, kind):
            waiting.append(one.args["expression"])
            waiting.append(one.args["this"])
        else:
            items.append(one)
    return items


@binds(exp.And)
def _and(binder: Binder, node: Node, scope: Scope) -> Expression:
    bound = [binder.boolean(binder.expression(one, scope), one, "AND") for one in chain(node, exp.And)]
    return Call("and", tuple(bound), type=BOOLEAN)


@binds(exp.Or)
def _or(binder: Binder, node: Node, scope: Scope) -> Expression:
    bound = [binder.boolean(binder.expression(one, scope), one, "OR") for one in chain(node, exp.Or)]
    return Call("or", tuple(bound), type=BOOLEAN)


def negated(condition: Expression) -> Expression:
    """NOT of it."""
    if isinstance(condition, Call) and condition.function in {"is null", "is not null"}:
        other = "is null" if condition.function == "is not null" else "is not null"
        return Call(other, condition.arguments, type=BOOLEAN, position=condition.position)
    return Call("not", (condition,), type=BOOLEAN, position=condition.position)


@binds(exp.Not)
def _not(binder: Binder, node: Node, scope: Scope) -> Expression:
    return negated(binder.boolean(binder.expression(node.this, scope), node.this, "NOT"))


@binds(exp.Is)
def _is(binder: Binder, node: Node, scope: Scope) -> Expression:
    what = node.expression
    rows = row_items(node.this)
    if rows is not None and isinstance(what, exp.Null):
        return both([Call("is null", (binder.expression(one, scope),), type=BOOLEAN) for one in rows])
    argument = binder.expression(node.this, scope)
    if isinstance(what, exp.Null):
        return Call("is null", (argument,), type=BOOLEAN, position=argument.position)
    if isinstance(what, exp.Boolean):
        argument = binder.boolean(argument, node.this, "IS TRUE")
        name = "is true" if what.this else "is false"
        return Call(name, (argument,), type=BOOLEAN, position=argument.position)
    raise binder.unsupported(f"IS {written(what)}", node)


@binds(exp.Between)
def _between(binder: Binder, node: Node, scope: Scope) -> Expression:
    value = binder.expression(node.this, scope)
    low, high = binder.expression(node.args["low"], scope), binder.expression(node.args["high"], scope)
    inside = both([compare(binder, ">=", value, low, node), compare(binder, "<=", value, high, node)])
    if not node.args.get("symmetric"):
        return inside
    turned = both([compare(binder, ">=", value, high, node), compare(binder, "<=", value, low, node)])
    return either([inside, turned])


@binds(exp.In)
def _in(binder: Binder, node: Node, scope: Scope) -> Expression:
    if node.args.get("query") is not None:
        return HANDLERS[exp.Any](binder, node, scope)  # subqueries.py: x IN (query) is x = ANY (query)
    if node.args.get("unnest") is not None or node.args.get("field") is not None:
        raise binder.unsupported("IN with something other than a list or a query", node)
    nodes = node.expressions
    if not nodes:
        raise binder.error("IN needs at least one value between its parentheses", node)
    rows = row_items(node.this)
    if rows is not None:
        left = [binder.expression(one, scope) for one in rows]
        choices = []
        for one in nodes:
            items = row_items(one)
            if items is None or len(items) != len(left):
                raise binder.error(f"IN compares rows of {len(left)} values with {written(one)}", one)
            choices.append(compare_rows(binder, "=", left, [binder.expression(item, scope) for item in items], one))
        return either(choices)
    return among(
        binder, binder.expression(node.this, scope), nodes, [binder.expression(one, scope) for one in nodes], node
    )


def among(binder: Binder, value: Expression, nodes: Sequence[Node], items: list[Expression], node: Node) -> Expression:
    """Value IN (items)."""
    type = common((value, *items))
    if type is None and value.type.text:
        return either([compare(binder, "=", value, item, one) for item, one in zip(items, nodes, strict=True)])
    if type is None:
        other = next((one for one in items if common((value, one)) is None), items[0])
        at = nodes[items.index(other)]
        raise binder.error(f"{value.type} and {other.type} cannot be compared: {written(node)}", at)
    value = kinded(value, type)
    # whole numbers are the same whatever their width; a parameter without a cast is what sources can be asked for
    wide = [type.integer and isinstance(one, Bound) and one.type.integer for one in items]
    items = [one if kept else kinded(one, type) for one, kept in zip(items, wide, strict=True)]
    if len(items) == 1:
        return Call("=", (value, items[0]), type=BOOLEAN, position=value.position)
    if all(isinstance(one, (Constant, Bound)) for one in items):
        return Among(value, tuple(items), type=BOOLEAN, position=value.position)
    equals = [Call("=", (value, one), type=BOOLEAN, position=value.position) for one in items]
    return either(equals)


# ---- patterns ----------------------------------------------------------------------------------------------------

PATTERNS: Final[dict[type, str]] = {
    exp.Like: "like",
    exp.ILike: "ilike",
    exp.SimilarTo: "similar to",
    exp.RegexpLike: "~",
    exp.RegexpILike: "~*",
}


def as_text(expression: Expression) -> Expression:
    """Cast to VARCHAR unless it is text."""
    return expression if expression.type.text else cast(expression, VARCHAR)


@binds(*PATTERNS)
def _pattern(binder: Binder, node: Node, scope: Scope) -> Expression:
    return _matches(binder, node, scope, None)


@binds(exp.Escape)
def _escape(binder: Binder, node: Node, scope: Scope) -> Expression:
    if node.this.__class__ not in PATTERNS:
        raise binder.unsupported("ESCAPE without LIKE, ILIKE or SIMILAR TO", node)
    return _matches(binder, node.this, scope, as_text(binder.expression(node.expression, scope)))


def _matches(binder: Binder, node: Node, scope: Scope, escape: Expression | None) -> Expression:
    name = PATTERNS[node.__class__]
    value = binder.expression(node.this, scope)
    if value.type.fields or value.type.kind == "varbyte":
        raise binder.error(f"{name.upper()} takes text, {written(node.this)} is {value.type}", node)
    value = as_text(value)
    given = node.expression
    many = given.__class__ if given.__class__ in {exp.Any, exp.All} else None
    patterns = [given]
    if many is not None:
        inside = given.this
        inside = inside.this if inside.__class__ is exp.Paren else inside
        if isinstance(inside, (exp.Subquery, exp.Select)):
            raise binder.unsupported(f"{name.upper()} {many.__name__.upper()} with a query", node)
        patterns = inside.expressions if isinstance(inside, (exp.Tuple, exp.Array)) else [inside]
    results = []
    for one in patterns:
        pattern = as_text(binder.expression(one, scope))
        arguments = (value, pattern) if escape is None else (value, pattern, escape)
        match: Expression = Call(name, arguments, type=BOOLEAN, position=value.position)
        results.append(negated(match) if node.args.get("negate") else match)
    return both(results) if many is exp.All else either(results)


# ---- arithmetic --------------------------------------------------------------------------------------------------

ARITHMETIC: Final[dict[type, str]] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}


@binds(*ARITHMETIC)
def _arithmetic(binder: Binder, node: Node, scope: Scope) -> Expression:
    path = []  # a + b + c + ... leans to the left: a loop, because a long one would be a deep recursion
    while (operator := ARITHMETIC.get(node.__class__)) is not None:
        path.append((operator, node))
        node = node.args["this"]
    bound = binder.expression(node, scope)
    for operator, one in reversed(path):
        bound = arithmetic(binder, operator, bound, binder.expression(one.args["expression"], scope), one)
    return bound


def arithmetic(binder: Binder, operator: str, left: Expression, right: Expression, node: Node) -> Expression:
    """Left operator right: numbers, dates, intervals."""
    a, b = left.type, right.type
    result = typing.arithmetic(operator, a, b)
    if result is None:
        return _with_time(binder, operator, left, right, node)
    if result.kind == "double":
        left = left if a.kind == "double" else cast(left, DOUBLE)
        right = right if b.kind == "double" else cast(right, DOUBLE)
    return Call(operator, (left, right), type=result, position=binder.position(node) if binder.placed else -1)


def _with_time(binder: Binder, operator: str, left: Expression, right: Expression, node: Node) -> Expression:
    a, b = left.type, right.type
    if a.kind == "null" or b.kind == "null":
        return _with_null(binder, operator, left, right, node)
    if b.kind == "interval" and operator in {"+", "-"} and (a.temporal or a.kind == "time"):
        return add_interval(left, right if operator == "+" else _minus(right), binder.position(node))
    if a.kind == "interval" and operator == "+" and (b.temporal or b.kind == "time"):
        return add_interval(right, left, binder.position(node))
    if isinstance(left, Constant) and isinstance(right, Constant) and "interval" in {a.kind, b.kind}:
        folded = _intervals(operator, left, right)
        if folded is not None:
            return folded
    if a.kind == "interval" and b.number and operator in {"*", "/"}:
        exact = a == INTERVAL and b.integer and operator == "*"
        return Call(operator, (left, right), type=_interval(exact, a), position=binder.position(node))
    if b.kind == "interval" and a.number and operator == "*":
        return _with_time(binder, operator, right, left, node)
    if a.kind == b.kind == "interval" and operator in {"+", "-"}:
        return Call(operator, (left, right), type=_interval(a == b == INTERVAL, a), position=binder.position(node))
    if a.kind == "date" and b.integer and operator in {"+", "-"}:
        days = right if operator == "+" else negative(right)
        return Call("add days", (left, days), type=DATE, position=binder.position(node))
    if b.kind == "date" and a.integer and operator == "+":
        return Call("add days", (right, left), type=DATE, position=binder.position(node))
    if operator == "-" and a.temporal and b.temporal:
        if a.kind == b.kind == "date":
            return Call("-", (left, right), type=INTEGER, position=binder.position(node))
        type = typing.common((a, b)) or TIMESTAMP
        between = (kinded(left, type), kinded(right, type))
        return Call("-", between, type=_interval(False, type), position=binder.position(node))  # noqa: FBT003 - see there
    for text, other in ((left, right), (right, left)):
        if _given_text(text) and (other.type.number or (other.type.temporal and operator == "-")):
            read = cast(text, DOUBLE if other.type.integer and not _whole(text) else other.type)
            pair = (read, other) if text is left else (other, read)
            return arithmetic(binder, operator, *pair, node)
    raise binder.error(f"{a} {operator} {b} is not defined: {written(node)}", node)


def _interval(exact: bool, like: Type) -> Type:  # noqa: FBT001 - whole days, or parts of them
    """The type of an INTERVAL in the unit of another type."""
    return INTERVAL_NS if like.unit == "ns" else INTERVAL if exact else INTERVAL_OF_TIME


def _whole(expression: Expression) -> bool:
    return isinstance(expression, Constant) and expression.value.strip().lstrip(b"+-").isdigit()


def _with_null(binder: Binder, operator: str, left: Expression, right: Expression, node: Node) -> Expression:
    """An operand of no type takes the other's."""
    if left.type.kind == right.type.kind:
        return Constant(None, type=NULL)
    known = left.type if right.type.kind == "null" else right.type
    if known.number:
        return arithmetic(binder, operator, cast(left, known), cast(right, known), node)
    if known.temporal or known.kind in {"time", "interval"}:
        type = known if right.type.kind == "null" else right.type
        return Constant(None, type=type if type.kind != "interval" else TIMESTAMP)
    raise binder.error(f"{left.type} {operator} {right.type} is not defined: {written(node)}", node)


def add_interval(moment: Expression, interval: Expression, position: int) -> Expression:
    """Moment + interval. Whole days and months leave a DATE a DATE."""
    type = moment.type
    if type.kind == "date" and interval.type != INTERVAL:
        type = TIMESTAMP_NS if interval.type.unit == "ns" else TIMESTAMP
    return Call("add interval", (moment, interval), type=type, position=position)


def _minus(interval: Expression) -> Expression:
    if isinstance(interval, Constant):
        months, microseconds = interval.value or (0, 0)
        value = None if interval.value is None else (-months, -microseconds)
        return Constant(value, type=interval.type, position=interval.position)
    return Call("neg", (interval,), type=interval.type, position=interval.position)


def _intervals(operator: str, left: Constant, right: Constant) -> Expression | None:
    """Constants: interval + - interval, interval * / number."""
    if left.type.integer and right.type.kind == "interval" and operator == "*":
        left, right = right, left
    if left.type.kind != "interval" or left.value is None or right.value is None:
        return None
    months, microseconds = left.value
    if right.type.kind == "interval" and operator in {"+", "-"}:
        sign = 1 if operator == "+" else -1
        value = months + sign * right.value[0], microseconds + sign * right.value[1]
    elif right.type.integer and operator == "*":
        value = months * right.value, microseconds * right.value
    elif right.type.integer and operator == "/" and right.value and months % right.value == 0:
        value = months // right.value, microseconds // right.value
    else:
        return None
    return Constant(value, type=_interval(value[1] % DAY == 0, left.type), position=left.position)


def negative(expression: Expression) -> Expression:
    """Minus it: a number."""
    if isinstance(expression, Constant) and expression.value is not None:
        return Constant(-expression.value, type=expression.type, position=expression.position)
    return Call("neg", (expression,), type=expression.type, position=expression.position)


@binds(exp.Neg)
def _neg(binder: Binder, node: Node, scope: Scope) -> Expression:
    inner = node.this
    if inner.__class__ is exp.Literal and not inner.args["is_string"] and inner.name == "9223372036854775808":
        return Constant(-(2**63), type=Type("bigint"), position=binder.position(node))
    if inner.__class__ is exp.Literal and not inner.args["is_string"] and inner.name == "2147483648":
        return Constant(-(2**31), type=INTEGER, position=binder.position(node))
    argument = binder.expression(inner, scope)
    if argument.type.kind == "interval":
        return _minus(argument)
    if argument.type.kind == "null":
        return argument
    if not argument.type.number:
        raise binder.error(f"- takes a number, {written(inner)} is {argument.type}", node)
    return negative(argument)


@binds(exp.DPipe)
def _concatenate(binder: Binder, node: Node, scope: Scope) -> Expression:
    items = chain(node, exp.DPipe)
    bound = binder.expression(items[0], scope)
    for one in items[1:]:
        bound = scalar(binder, "||", [bound, binder.expression(one, scope)], node)
    return bound


def scalar(binder: Binder, name: str, arguments: Sequence[Expression], node: Node) -> Expression:
    """A call of a function of the registry, its arguments cast to what it takes."""
    function = binder.scalars.get(name)
    if function is None:
        guess = nearest(name, binder.dialect.functions.names()).removeprefix("; ")
        raise binder.error(f"there is no function {name.upper()}", node, suggestion=guess)
    try:
        types, result = function.resolve([one.type for one in arguments])
    except TypeMismatch as error:
        raise binder.error(f"{name.upper()} {error}", node) from None
    cast_to = tuple(
        one if one.type == type or (one.type.text and type == VARCHAR) else cast(one, type)
        for one, type in zip(arguments, types, strict=True)
    )
    return Call(name, cast_to, type=result, position=binder.position(node))


BY_NAME: Final[dict[type, str]] = {
    exp.Pow: "power",
    exp.Sqrt: "sqrt",
    exp.Cbrt: "cbrt",
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
    exp.BitwiseXor: "#",
    exp.BitwiseNot: "bitnot",
    exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>",
    exp.AtTimeZone: "at time zone",
}


@binds(*BY_NAME)
def _operator_function(binder: Binder, node: Node, scope: Scope) -> Expression:
    arguments = [binder.expression(one, scope) for one in node.args.values() if isinstance(one, exp.Expr)]
    return scalar(binder, BY_NAME[node.__class__], arguments, node)


# ---- choices -----------------------------------------------------------------------------------------------------


def case(
    binder: Binder,
    branches: Sequence[tuple[Expression, Expression]],
    otherwise: Expression,
    nodes: list[Node],
    node: Node,
) -> Expression:
    """CASE, its values brought to one type."""
    values, type = unify(binder, [*(value for _, value in branches), otherwise], nodes, node, "the branches of CASE")
    chosen = tuple((condition, value) for (condition, _), value in zip(branches, values, strict=False))
    return Case(chosen, values[-1], type=type, position=binder.position(node))


@binds(exp.Case)
def _case(binder: Binder, node: Node, scope: Scope) -> Expression:
    given = node.args.get("this")
    operand = None if given is None else binder.expression(given, scope)
    branches = []
    nodes = []
    for one in node.args["ifs"]:
        if operand is None:
            condition = binder.boolean(binder.expression(one.this, scope), one.this, "WHEN")
        else:
            condition = compare(binder, "=", operand, binder.expression(one.this, scope), one.this)
        branches.append((condition, binder.expression(one.args["true"], scope)))
        nodes.append(one.args["true"])
    last = node.args.get("default")
    otherwise = Constant(None, type=NULL) if last is None else binder.expression(last, scope)
    return case(binder, branches, otherwise, nodes, node)


@binds(exp.If)
def _if(binder: Binder, node: Node, scope: Scope) -> Expression:
    condition = binder.boolean(binder.expression(node.this, scope), node.this, "IF")
    last = node.args.get("false")
    otherwise = Constant(None, type=NULL) if last is None else binder.expression(last, scope)
    return case(
        binder, [(condition, binder.expression(node.args["true"], scope))], otherwise, [node.args["true"]], node
    )
