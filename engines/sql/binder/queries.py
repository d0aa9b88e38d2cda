"""Whole queries: SELECT, VALUES, UNION / INTERSECT / EXCEPT, WITH [RECURSIVE], and ORDER BY, LIMIT around them -> Rows.

A WITH query that is used once is put where it is used; one that is used more often becomes Shared and runs once. Its
uses are counted by name beforehand, over the whole query: a name that is hidden somewhere counts too, which costs
nothing but a Shared with one use.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from engines.sql.binder import typing
from engines.sql.binder.binding import Binder, Node, written
from engines.sql.binder.literals import cast
from engines.sql.binder.operators import unify
from engines.sql.binder.scopes import Column, Rows, Scope
from engines.sql.logical import (
    Bound,
    Constant,
    Expression,
    Limit,
    Plan,
    Project,
    Recursive,
    Reference,
    SetOperation,
    Shared,
    Sort,
    SortKey,
    Values,
    Working,
)
from engines.sql.types import BIGINT, Type


@dataclass(slots=True)
class With:
    """A WITH query. uses: how often its name stands in the statement."""

    name: str
    node: Node
    columns: list[str]
    uses: int
    rows: Rows | None = None  # bound, at its first use
    working: list[Column] | None = None  # while its own step is bound, if it is recursive
    recursive: bool = False
    environment: "list[dict[str, With]] | None" = None
    outer: Scope | None = None


def bind_query(binder: Binder, node: Node, outer: Scope | None) -> Rows:
    """Any query. outer: the scope that its names may also be found in."""
    handler = QUERIES.get(node.__class__)
    if handler is None:
        raise binder.unsupported(f"{written(node)} as a query", node)
    clause = node.args.get("with_")
    if clause is None:
        return handler(binder, node, outer)
    binder.withs.append({})
    try:
        _declare(binder, clause, node, outer)
        rows = handler(binder, node, outer)
        for one in binder.withs[-1].values():
            if one.rows is None:
                _rows_of(binder, one)  # never used: its errors are told all the same
        return rows
    finally:
        binder.withs.pop()


QUERIES: dict[type, Callable[[Binder, Any, Scope | None], Rows]] = {}


# ---- WITH --------------------------------------------------------------------------------------------------------


def _declare(binder: Binder, clause: Node, node: Node, outer: Scope | None) -> None:
    uses = Counter(one.name.lower() for one in node.find_all(exp.Table) if one.args.get("db") is None)
    known = binder.withs[-1]
    for one in clause.expressions:
        alias = one.args["alias"]
        name = alias.name
        if name.lower() in known:
            raise binder.error(f"WITH defines {name!r} twice", alias)
        if not isinstance(one.this, exp.Query):
            raise binder.unsupported(f"WITH {name} AS ({written(one.this)})", one)
        columns = [column.name for column in alias.args.get("columns") or ()]
        recursive = bool(clause.args.get("recursive")) and isinstance(one.this, exp.Union)
        # a query sees those before it, in its own WITH and around it; a recursive one sees itself too
        environment = [*binder.withs[:-1], dict(known)]
        known[name.lower()] = With(
            name, one.this, columns, uses[name.lower()], recursive=recursive, environment=environment, outer=outer
        )


def named_query(binder: Binder, name: str) -> Rows | None:
    """The WITH query of that name; None if there is none."""
    folded = name.lower()
    for known in reversed(binder.withs):
        found = known.get(folded)
        if found is None:
            continue
        if found.working is not None:
            ids = [(binder.id(one.name), one) for one in found.working]
            plan = Working(found.name, tuple((id, one.id, one.type) for id, one in ids))
            found.uses = -1  # it does mention itself
            return Rows(plan, [Column(one.name, id, one.type) for id, one in ids])
        rows = _rows_of(binder, found)
        if found.uses <= 1:
            found.uses = 2  # a second use after all would need ids of its own
            return rows
        ids = [(binder.id(one.name), one) for one in rows.columns]
        plan_shared = Shared(found.name, rows.plan, tuple((id, one.id, one.type) for id, one in ids))
        return Rows(plan_shared, [Column(one.name, id, one.type) for id, one in ids])
    return None


def _rows_of(binder: Binder, one: With) -> Rows:
    if one.rows is None:
        before, binder.withs = binder.withs, list(one.environment or ())
        if one.recursive:
            rows = _recursive(binder, one)
        else:
            rows = bind_query(binder, one.node, one.outer)
            if one.columns:
                rows = Rows(rows.plan, renamed(binder, rows.columns, one.columns, one.name, one.node))
        binder.withs = before
        one.rows = rows
    return one.rows


def _recursive(binder: Binder, one: With) -> Rows:
    node = one.node
    _no_modifiers(binder, node, "a recursive WITH query")
    binder.withs = [*binder.withs, {one.name.lower(): one}]
    base = bind_query(binder, node.this, one.outer)
    if one.columns:
        base = Rows(base.plan, renamed(binder, base.columns, one.columns, one.name, node))
    ours = [Column(column.name, binder.id(column.name), column.type) for column in base.columns]
    one.working = ours
    one.uses, uses = 0, one.uses
    step = bind_query(binder, node.expression, one.outer)
    recursive = one.uses == -1
    one.working, one.uses = None, uses - 1
    binder.withs = binder.withs[:-1]
    if len(step.columns) != len(ours):
        raise binder.error(
            f"the two sides of the recursive query {one.name} have {len(ours)} and {len(step.columns)} columns", node
        )
    types = [column.type for column in ours]
    for column, type in zip(step.columns, types, strict=True):
        if not typing.assignable(column.type, type):
            raise binder.error(
                f"the column {column.name} of {one.name} is {type} at first and {column.type} then", node
            )
    step = project_as(binder, step, types)
    distinct = bool(node.args.get("distinct"))
    if not recursive:
        columns = tuple((id.id, a.id, b.id, id.type) for id, a, b in zip(ours, base.columns, step.columns, strict=True))
        return Rows(SetOperation("union", not distinct, base.plan, step.plan, columns), ours)
    columns = tuple((id.id, a.id, b.id, id.type) for id, a, b in zip(ours, base.columns, step.columns, strict=True))
    return Rows(Recursive(one.name, base.plan, step.plan, columns, distinct), ours)


def _no_modifiers(binder: Binder, node: Node, what: str) -> None:
    for key in ("order", "limit", "offset"):
        if node.args.get(key):
            raise binder.unsupported(f"{key.upper()} in {what}", node)


def renamed(binder: Binder, columns: list[Column], names: list[str], what: str, node: Node) -> list[Column]:
    """The columns under these names; those that are left over keep theirs."""
    if len(names) > len(columns):
        raise binder.error(f"{what} has {len(columns)} columns, but {len(names)} names are given", node)
    return [Column(names[i] if i < len(names) else one.name, one.id, one.type) for i, one in enumerate(columns)]


def project_as(binder: Binder, rows: Rows, types: list[Type]) -> Rows:
    """The rows, their columns cast to these types and each with an id of its own."""
    if all(column.type == type for column, type in zip(rows.columns, types, strict=True)):
        return rows
    columns: list[Column] = []
    projected: dict[str, Expression] = {}
    for column, type in zip(rows.columns, types, strict=True):
        reference = given_text(rows, column) or Reference(column.id, type=column.type)
        id = column.id if column.type == type else binder.id(column.name)
        projected[id] = Reference(id, type=type) if column.type == type else cast(reference, type)
        columns.append(Column(column.name, id, type))
    return Rows(Project(rows.plan, tuple(projected.items())), columns)


def given_text(rows: Rows, column: Column) -> Expression | None:
    """The text that stands in the SELECT list as this column: a constant or parameter, of no type of its own yet."""
    if not column.type.text or not isinstance(rows.plan, Project):
        return None
    found = dict(rows.plan.columns).get(column.id)
    return found if isinstance(found, Constant | Bound) else None


# ---- set operations ----------------------------------------------------------------------------------------------


def _set_operation(binder: Binder, node: Node, outer: Scope | None) -> Rows:
    """A UNION b UNION c leans to the left: a loop over the left sides."""
    path = [node]
    first = node.args["this"]
    while first.__class__ in SET_OPERATIONS and first.args.get("with_") is None and not _modified(first):
        path.append(first)
        first = first.args["this"]
    rows = bind_query(binder, first, outer)
    for one in reversed(path):
        if one.args.get("by_name"):
            raise binder.unsupported("UNION BY NAME", one)
        right = bind_query(binder, one.args["expression"], outer)
        rows = _combined(binder, one, rows, right)
    return _ordered(binder, node, rows, outer)


SET_OPERATIONS = {exp.Union: "union", exp.Intersect: "intersect", exp.Except: "except"}


def _modified(node: Node) -> bool:
    return any(node.args.get(key) is not None for key in ("order", "limit", "offset"))


def _combined(binder: Binder, node: Node, left: Rows, right: Rows) -> Rows:
    name = SET_OPERATIONS[node.__class__]
    if len(left.columns) != len(right.columns):
        message = f"the two sides of {name.upper()} have {len(left.columns)} and {len(right.columns)} columns"
        raise binder.error(message, node.args["expression"])
    types = []
    for a, b in zip(left.columns, right.columns, strict=True):
        type = typing.common((a.type, b.type))
        if type is None and given_text(left, a) is not None:
            type = b.type
        elif type is None and given_text(right, b) is not None:
            type = a.type
        if type is None:
            raise binder.error(
                f"{name.upper()}: the column {a.name} is {a.type} on the left and {b.type} on the right; write a CAST",
                node.args["expression"],
            )
        types.append(type)
    left, right = project_as(binder, left, types), project_as(binder, right, types)
    ours = [Column(one.name, binder.id(one.name), type) for one, type in zip(left.columns, types, strict=True)]
    columns = tuple((one.id, a.id, b.id, one.type) for one, a, b in zip(ours, left.columns, right.columns, strict=True))
    keeps_all = not node.args.get("distinct")
    return Rows(SetOperation(name, keeps_all, left.plan, right.plan, columns), ours)  # type: ignore[arg-type]  # a word of three


def _ordered(binder: Binder, node: Node, rows: Rows, outer: Scope | None) -> Rows:
    """ORDER BY and LIMIT around a whole query: only its own columns can be named."""
    order = node.args.get("order")
    plan = rows.plan
    if order is not None:
        scope = Scope(outer=outer, rows=rows, clause="ORDER BY")
        keys = []
        for one in order.expressions:
            bound = _output_position(binder, one.this, rows)
            if bound is None:
                bound = binder.expression(one.this, scope)
            keys.append(SortKey(bound, bool(one.args.get("desc")), bool(one.args.get("nulls_first"))))
        plan = Sort(plan, tuple(keys))
    return Rows(limited(binder, node, plan), rows.columns)


def _output_position(binder: Binder, node: Node, rows: Rows) -> Expression | None:
    if node.__class__ is not exp.Literal or node.args["is_string"]:
        return None
    at = ordinal(binder, node, len(rows.columns), "ORDER BY")
    column = rows.columns[at]
    return Reference(column.id, type=column.type, position=binder.position(node))


def ordinal(binder: Binder, node: Node, count: int, clause: str) -> int:
    """ORDER BY 2, GROUP BY 2 -> 1."""
    text = node.name
    if not text.isdigit() or not 1 <= int(text) <= count:
        raise binder.error(f"{clause} {text}: the select list has the positions 1 to {count}", node)
    return int(text) - 1


def limited(binder: Binder, node: Node, plan: Plan) -> Plan:
    """LIMIT, OFFSET, TOP, FETCH FIRST."""
    limit, offset = node.args.get("limit"), node.args.get("offset")
    if limit is None and offset is None:
        return plan
    count: Expression | None = None
    if limit is not None:
        options = limit.args.get("limit_options")
        if options is not None and (options.args.get("percent") or options.args.get("with_ties")):
            raise binder.unsupported("LIMIT with PERCENT or WITH TIES", limit)
        if limit.args.get("expressions"):
            raise binder.unsupported("LIMIT ... BY", limit)
        given = limit.args.get("count") if limit.__class__ is exp.Fetch else limit.expression
        if limit.__class__ is exp.Fetch and given is None:
            count = Constant(1, type=BIGINT)
        elif not (given.__class__ is exp.Var and given.name.upper() == "ALL"):
            count = _count(binder, given, "LIMIT")
    skipped = None if offset is None else _count(binder, offset.expression, "OFFSET")
    if count is None and skipped is None:
        return plan
    return Limit(plan, count, skipped)


def _count(binder: Binder, node: Node, clause: str) -> Expression | None:
    bound = binder.expression(node, Scope(clause=clause))
    if bound.type.kind == "null":
        return None
    if not isinstance(bound, (Constant, Bound)) or not bound.type.integer:
        raise binder.error(f"{clause} takes a whole number or a parameter, not {written(node)}", node)
    if isinstance(bound, Bound):
        return Bound(bound.name, type=BIGINT, position=bound.position)
    if bound.value < 0:
        raise binder.error(f"{clause} takes a number from 0 on, not {bound.value}", node)
    return Constant(bound.value, type=BIGINT, position=bound.position)


# ---- parentheses, VALUES, TABLE ----------------------------------------------------------------------------------


def _subquery(binder: Binder, node: Node, outer: Scope | None) -> Rows:
    if not isinstance(node.this, (exp.Query, exp.Subquery)):
        raise binder.unsupported(f"{written(node)} as a query", node)
    rows = bind_query(binder, node.this, outer)
    return _ordered(binder, node, rows, outer) if _modified(node) else rows


def _values(binder: Binder, node: Node, outer: Scope | None) -> Rows:
    scope = Scope(outer=outer, clause="VALUES")
    given = [one.expressions if one.__class__ is exp.Tuple else [one] for one in node.expressions]
    width = len(given[0])
    for one, items in zip(node.expressions, given, strict=True):
        if len(items) != width:
            raise binder.error(f"VALUES has rows of {width} and of {len(items)} values", one)
    bound = [[binder.expression(item, scope) for item in items] for items in given]
    columns = []
    by_column = []
    for i in range(width):
        items, type = unify(
            binder, [row[i] for row in bound], [row[i] for row in given], given[0][i], f"the values of column {i + 1}"
        )
        by_column.append([one if one.type == type else cast(one, type) for one in items])
        name = f"column{i + 1}"
        columns.append(Column(name, binder.id(name), type))
    rows = tuple(zip(*by_column, strict=True))
    rows_of = Values(tuple((one.id, one.type) for one in columns), rows)
    return _ordered(binder, node, Rows(rows_of, columns), outer) if _modified(node) else Rows(rows_of, columns)


QUERIES |= {
    exp.Union: _set_operation,
    exp.Intersect: _set_operation,
    exp.Except: _set_operation,
    exp.Subquery: _subquery,
    exp.Values: _values,
}
