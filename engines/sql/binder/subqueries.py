"""Queries inside expressions. The outer ids that the inner plan mentions are all there is of correlation."""

from sqlglot import exp

from engines.sql.binder.binding import Binder, Node, binds, written
from engines.sql.binder.literals import cast
from engines.sql.binder.operators import COMPARISONS, as_text, common, compare, either, kinded, negated, row_items
from engines.sql.binder.queries import bind_query
from engines.sql.binder.scopes import Column, Rows, Scope
from engines.sql.logical import Call, Expression, Project, Reference, Subquery
from engines.sql.types import BOOLEAN, Type


@binds(exp.Subquery, exp.Select)
def _scalar(binder: Binder, node: Node, scope: Scope) -> Expression:
    rows = bind_query(binder, node, scope)
    if len(rows.columns) != 1:
        raise binder.error(f"a subquery that stands for a value gives one column, this one {len(rows.columns)}", node)
    column = rows.columns[0]
    return Subquery("scalar", rows.plan, (column.id,), type=column.type, position=binder.position(node))


@binds(exp.Exists)
def _exists(binder: Binder, node: Node, scope: Scope) -> Expression:
    rows = bind_query(binder, node.this, scope)
    return Subquery("exists", rows.plan, (), type=BOOLEAN, position=binder.position(node))


@binds(exp.Any, exp.All)
def _quantified(binder: Binder, node: Node, scope: Scope) -> Expression:
    """`node` is the comparison that has ANY or ALL on its right, or an IN with a query."""
    operator, every = COMPARISONS.get(node.__class__), False
    if isinstance(node, exp.In):
        query, operator = node.args["query"], "="
    elif operator is not None:
        query, every = node.expression.this, isinstance(node.expression, exp.All)
    else:
        raise binder.error("ANY and ALL stand on the right of a comparison", node)
    while query.__class__ is exp.Paren:
        query = query.this
    given = row_items(node.this)
    left = [binder.expression(one, scope) for one in given or [node.this]]
    if query.__class__ is exp.Array or query.__class__ is exp.Tuple:
        return _of_list(binder, node, query, scope, left=left, operator=operator, every=every)
    if not isinstance(query, (exp.Query, exp.Subquery, exp.Table)):
        raise binder.unsupported(f"ANY or ALL of {written(query)}", node)
    rows = bind_query(binder, query, scope)
    if len(rows.columns) != len(left):
        there = f"{len(left)} value{'s'[: len(left) > 1]}"
        raise binder.error(f"{there} cannot be compared with a query of {len(rows.columns)} columns", node)
    left, rows = _alike(binder, left, rows, node)
    ids = tuple(column.id for column in rows.columns)
    position = binder.position(node)
    if operator == "=" and not every:
        return Subquery("in", rows.plan, ids, tuple(left), type=BOOLEAN, position=position)
    if operator == "<>" and every:
        found = Subquery("in", rows.plan, ids, tuple(left), type=BOOLEAN, position=position)
        return Call("not", (found,), type=BOOLEAN, position=position)
    if len(left) > 1:
        raise binder.unsupported(f"a row with {operator} {'ALL' if every else 'ANY'}", node)
    if operator.startswith("is"):
        raise binder.unsupported(f"{operator.upper()} with ANY or ALL", node)
    return Subquery("all" if every else "any", rows.plan, ids, tuple(left), operator, type=BOOLEAN, position=position)


def _of_list(
    binder: Binder, node: Node, query: Node, scope: Scope, *, left: list[Expression], operator: str, every: bool
) -> Expression:
    """ANY or ALL of a list: x = ANY (ARRAY[1, 2])."""
    if len(left) > 1:
        raise binder.unsupported("a row with ANY or ALL of an ARRAY", node)
    items = [binder.expression(one, scope) for one in query.expressions]
    tests = [compare(binder, operator, left[0], item, node) for item in items]
    if every:
        return negated(either([negated(test) for test in tests]))
    return either(tests)


def _alike(binder: Binder, left: list[Expression], rows: Rows, node: Node) -> tuple[list[Expression], Rows]:
    """Both sides of one kind; the query gets a projection if its columns must be cast."""
    sides = []
    casts = []
    for value, column in zip(left, rows.columns, strict=True):
        reference = Reference(column.id, type=column.type)
        type = common((value, reference))
        if type is None and value.type.text != column.type.text:
            type = column.type if value.type.text else value.type  # a text beside something else is read as that
        if type is None:
            raise binder.error(f"{value.type} and {column.type} cannot be compared: {written(node)}", node)
        sides.append(kinded(value, type))
        casts.append(kinded(reference, type))
    if all(isinstance(one, Reference) for one in casts):
        return sides, rows
    return sides, recast(binder, rows, [one.type for one in casts])


def recast(binder: Binder, rows: Rows, types: list[Type]) -> Rows:
    """The same rows with their columns cast to these types."""
    columns = []
    projected: dict[str, Expression] = {}
    for column, type in zip(rows.columns, types, strict=True):
        if column.type == type:
            projected[column.id] = Reference(column.id, type=type)
            columns.append(column)
            continue
        id = binder.id(column.name)
        projected[id] = cast(Reference(column.id, type=column.type), type)
        columns.append(Column(column.name, id, type))
    return Rows(Project(rows.plan, tuple(projected.items())), columns)


__all__ = ["as_text", "recast"]
