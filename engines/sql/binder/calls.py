"""Function calls: NAME(arguments) -> a Call, a Case, an aggregate.

The grammar is told to know no functions (front.py), so that every call arrives as a name and a list, whatever sqlglot
would have made of it; only CAST, EXTRACT, SUBSTRING ... FROM, TRIM and POSITION, which have a syntax of their own, do
not. What a name means is asked in this order: aggregates, SPECIAL, rewrites of the dialect, the scalar registry.
"""

from collections.abc import Callable
from importlib import metadata
from typing import Any, Final

from sqlglot import exp

from engines.errors import nearest
from engines.sql.binder.aggregates import AGGREGATES, RANKINGS, aggregate
from engines.sql.binder.binding import Binder, Node, binds, written
from engines.sql.binder.columns import NO_PARENTHESES
from engines.sql.binder.literals import cast, moment_now, now
from engines.sql.binder.operators import arithmetic, case, compare, scalar, unify
from engines.sql.binder.scopes import Scope
from engines.sql.logical import Bound, Call, Constant, Expression, Lambda, Reference
from engines.sql.types import BIGINT, BOOLEAN, DATE, DOUBLE, NULL, VARCHAR, array

Special = Callable[[Binder, str, Any, Scope], Expression]


def name_of(node: Node) -> str:
    """The name of a call, folded."""
    name = node.this
    return (name if isinstance(name, str) else name.name).lower()


@binds(exp.Anonymous)
def _call(binder: Binder, node: Node, scope: Scope) -> Expression:
    name = name_of(node)
    if name in AGGREGATES or name in binder.dialect.functions.aggregates:
        return aggregate(binder, name, node, scope)
    special = binder.dialect.functions.specials.get(name) or SPECIAL.get(name)
    if special is not None:
        return special(binder, name, node, scope)
    rewrite = binder.dialect.functions.rewrites.get(name)
    if rewrite is not None:
        return binder.expression(rewrite(node), scope)
    if name in RANKINGS:
        raise binder.error(f"{name.upper()} is a window function: write {name.upper()}(...) OVER (...)", node)
    if name not in binder.scalars:
        known = [*binder.dialect.functions.names(), *AGGREGATES, *SPECIAL, *RANKINGS]
        raise binder.error(
            f"there is no function {name.upper()}", node, suggestion=nearest(name, known).removeprefix("; ")
        )
    return scalar(binder, name, [_argument(binder, one, scope) for one in node.expressions], node)


def _argument(binder: Binder, node: Node, scope: Scope) -> Expression:
    if node.__class__ is exp.Alias:
        raise binder.error("an argument of a function has no alias", node)
    if node.__class__ is exp.Distinct:
        raise binder.error("DISTINCT stands only in aggregates", node)
    return binder.expression(node, scope)


def _arguments(binder: Binder, name: str, node: Node, scope: Scope, *, least: int, most: int) -> list[Expression]:
    given = node.expressions
    if not least <= len(given) <= most:
        count = str(least) if least == most else f"{least} to {most}" if most < 1000 else f"at least {least}"
        raise binder.error(
            f"{name.upper()} takes {count} argument{'s' if count != '1' else ''}, not {len(given)}", node
        )
    return [_argument(binder, one, scope) for one in given]


# ---- calls with a syntax of their own ----------------------------------------------------------------------------


@binds(exp.Substring)
def _substring(binder: Binder, node: Node, scope: Scope) -> Expression:
    nodes = [node.this, node.args.get("start") or exp.Literal.number(1), node.args.get("length")]
    return scalar(binder, "substring", [binder.expression(one, scope) for one in nodes if one is not None], node)


@binds(exp.Trim)
def _trim(binder: Binder, node: Node, scope: Scope) -> Expression:
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(node.args.get("position") or "", "trim")
    nodes = [node.this, node.args.get("expression")]
    return scalar(binder, name, [binder.expression(one, scope) for one in nodes if one is not None], node)


@binds(exp.StrPosition)
def _position(binder: Binder, node: Node, scope: Scope) -> Expression:
    arguments = [binder.expression(node.args["substr"], scope), binder.expression(node.this, scope)]
    return scalar(binder, "position", arguments, node)


@binds(exp.Extract)
def _extract(binder: Binder, node: Node, scope: Scope) -> Expression:
    return scalar(binder, "date_part", [_part(binder, node.this), binder.expression(node.expression, scope)], node)


def _part(binder: Binder, node: Node) -> Constant:
    """The name of a part of a date: year, 'year', "year"."""
    if node.__class__ is exp.Literal and not node.args["is_string"]:
        raise binder.error(f"a part of a date is a word like year or hour, not {written(node)}", node)
    if isinstance(node, (exp.Column, exp.Var, exp.Literal, exp.Identifier)):
        return Constant(node.name.lower().encode(), type=VARCHAR, position=binder.position(node))
    if isinstance(node, exp.Expr) and not node.args:
        return Constant(node.key.encode(), type=VARCHAR)
    raise binder.error(f"a part of a date is a word like year or hour, not {written(node)}", node)


# ---- SPECIAL -----------------------------------------------------------------------------------------------------


def _with_part(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    """dateadd(month, 3, d): the first argument is a word."""
    if not node.expressions:
        raise binder.error(f"{name.upper()} takes a part of a date first: {name.upper()}(month, ...)", node)
    first, *rest = node.expressions
    name = PARTED[name]
    return scalar(binder, name, [_part(binder, first), *(_argument(binder, one, scope) for one in rest)], node)


PARTED: Final = {
    "dateadd": "dateadd",
    "date_add": "dateadd",
    "datediff": "datediff",
    "date_diff": "datediff",
    "date_part": "date_part",
    "pgdate_part": "date_part",
    "date_trunc": "date_trunc",
    "extract": "date_part",
}


def _coalesce(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    items = _arguments(binder, name, node, scope, least=1, most=1000)
    shown = name if name in {"greatest", "least"} else "coalesce"
    items, type = unify(binder, items, node.expressions, node, f"the arguments of {name.upper()}")
    return items[0] if len(items) == 1 else Call(shown, tuple(items), type=type, position=binder.position(node))


def _nullif(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    value, other = _arguments(binder, name, node, scope, least=2, most=2)
    equal = compare(binder, "=", value, other, node)
    return case(binder, [(equal, Constant(None, type=NULL))], value, node.expressions, node)


def _nvl2(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    value, there, missing = _arguments(binder, name, node, scope, least=3, most=3)
    condition = Call("is not null", (value,), type=BOOLEAN)
    return case(binder, [(condition, there)], missing, node.expressions[1:], node)


def _iif(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    condition, yes, *no = _arguments(binder, name, node, scope, least=2, most=3)
    condition = binder.boolean(condition, node.expressions[0], name.upper())
    return case(binder, [(condition, yes)], no[0] if no else Constant(None, type=NULL), node.expressions[1:], node)


def _decode(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    """DECODE(value, search, result, ..., default): NULL finds NULL."""
    value, *rest = _arguments(binder, name, node, scope, least=3, most=1000)
    branches = []
    for i in range(0, len(rest) - 1, 2):
        search = rest[i]
        if isinstance(search, Constant) and search.value is not None:
            condition = compare(binder, "=", value, search, node)
        else:
            condition = compare(binder, "is not distinct from", value, search, node)
        branches.append((condition, rest[i + 1]))
    otherwise = rest[-1] if len(rest) % 2 else Constant(None, type=NULL)
    return case(binder, branches, otherwise, node.expressions, node)


def _mod(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    left, right = _arguments(binder, name, node, scope, least=2, most=2)
    return arithmetic(binder, "%", left, right, node)


def _now(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    _arguments(binder, name, node, scope, least=0, most=0)
    plain = name in {"getdate", "sysdate", "localtimestamp", "timeofday"}
    return (now if plain else moment_now)(binder, binder.position(node))


def _today(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    _arguments(binder, name, node, scope, least=0, most=0)
    return cast(now(binder, binder.position(node)), DATE)


def _where(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    """CURRENT_DATABASE, CURRENT_SCHEMA."""
    _arguments(binder, name, node, scope, least=0, most=0)
    found = binder.dialect.rules.get(name.removeprefix("current_"), "")
    return Constant(found.encode(), type=VARCHAR, position=binder.position(node))


def _version(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    _arguments(binder, name, node, scope, least=0, most=0)
    shown = f"{binder.dialect.name} of enginehouse {metadata.version('enginehouse')}"
    return Constant(shown.encode(), type=VARCHAR, position=binder.position(node))


def _grouping(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    """Stands as a call until the grouping sets are known, see selects.py."""
    if not scope.may_aggregate:
        raise binder.error(f"GROUPING is not allowed in {scope.clause}", node)
    arguments = _arguments(binder, name, node, scope, least=1, most=60)
    return Call("grouping", tuple(arguments), type=BIGINT, position=binder.position(node))


def _array(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    items = _arguments(binder, name, node, scope, least=0, most=100_000)
    if not items:
        return Call("array", (), type=array(NULL), position=binder.position(node))
    items, type = unify(binder, items, node.expressions, node, "the elements of an ARRAY")
    return Call("array", tuple(items), type=array(type), position=binder.position(node))


def _floor_of_quotient(binder: Binder, name: str, node: Node, scope: Scope) -> Expression:
    left, right = _arguments(binder, name, node, scope, least=2, most=2)
    return scalar(binder, "trunc", [arithmetic(binder, "/", left, right, node)], node)


SPECIAL: Final[dict[str, Special]] = {
    **dict.fromkeys(PARTED, _with_part),
    **dict.fromkeys(("coalesce", "nvl", "ifnull", "greatest", "least"), _coalesce),
    "nullif": _nullif,
    "nvl2": _nvl2,
    "iif": _iif,
    "decode": _decode,
    "mod": _mod,
    "div": _floor_of_quotient,
    **dict.fromkeys(("getdate", "sysdate", "now", "statement_timestamp", "transaction_timestamp"), _now),
    "current_date": _today,
    "version": _version,
    "current_database": _where,
    "current_schema": _where,
    "grouping": _grouping,
    "array": _array,
}


@binds(exp.CurrentUser, exp.SessionUser)
def _user(binder: Binder, node: Node, _: Scope) -> Expression:
    return Bound("$user", type=VARCHAR, position=binder.position(node))


NO_PARENTHESES["user"] = _user
NO_PARENTHESES["sysdate"] = lambda binder, node, _: now(binder, binder.position(node))


# ---- lambdas -----------------------------------------------------------------------------------------------------


@binds(exp.Lambda)
def _lambda(binder: Binder, node: Node, _: Scope) -> Expression:
    raise binder.error("x -> ... stands only as an argument of a function that takes one", node)


def bind_lambda(binder: Binder, node: Node, scope: Scope, types: list[Node]) -> Lambda:
    """X -> body, as an argument; types: those of its parameters."""
    names = [one.name for one in node.expressions]
    if len(names) != len(types):
        raise binder.error(f"this function takes one of {len(types)} parameters, not {len(names)}", node)
    ids = [binder.id(name) for name in names]
    before = scope.parameters
    scope.parameters = before | {
        name.lower(): Reference(id, type=type) for name, id, type in zip(names, ids, types, strict=True)
    }
    body = binder.expression(node.this, scope)
    scope.parameters = before
    return Lambda(tuple(ids), body, type=body.type, position=binder.position(node))


__all__ = ["DOUBLE", "SPECIAL", "bind_lambda", "name_of"]
