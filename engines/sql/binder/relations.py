"""FROM: tables, views, WITH queries, subqueries, VALUES, UNNEST, LATERAL, and the joins between them -> Rows.

Commas bind less than JOIN: FROM a, b JOIN c ON ... is a x (b JOIN c), and the ON sees b and c. A join keeps its whole
condition in `condition`; the rewrite rules take the equalities out of it.
"""

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from engines.errors import nearest
from engines.sql.binder.binding import Binder, Node, View, written
from engines.sql.binder.operators import both, compare
from engines.sql.binder.pivots import pivoted
from engines.sql.binder.queries import bind_query, named_query, renamed
from engines.sql.binder.scopes import Ambiguous, Column, Named, Relation, Rows, Scope
from engines.sql.logical import (
    Apply,
    Call,
    Constant,
    Expression,
    Join,
    JoinKind,
    Plan,
    Project,
    Reference,
    Scan,
    Unnest,
    Values,
    output,
)
from engines.sql.types import BIGINT, VARCHAR

ONE_ROW = Values((), ((),))


def bind_from(binder: Binder, select: Node, scope: Scope) -> Rows:
    """Everything after FROM. Without FROM one row of no columns."""
    args = select.args
    start = args.get("from_")
    if start is None:
        return Rows(ONE_ROW, [])
    for lateral in args.get("laterals") or ():
        raise binder.unsupported("LATERAL VIEW", lateral)
    return _joined(binder, start.this, args.get("joins") or (), scope)


def _joined(binder: Binder, first: Node, joins: Sequence[Node], scope: Scope) -> Rows:
    """First JOIN ... , other JOIN ..."""
    done: Rows | None = None
    part = _item(binder, first, scope, None)
    for join in joins:
        args = join.args
        if args.get("kind") == "CROSS" and len(args) and _is_lateral(join.this):
            part = _beside(binder, join, part, scope)
        elif _is_comma(args) and not _is_lateral(join.this):
            done = part if done is None else _cross(binder, done, part, join)
            part = _item(binder, join.this, scope, None)
        elif _is_comma(args):
            before = part if done is None else _cross(binder, done, part, join)
            done, part = None, _beside(binder, join, before, scope)
        else:
            part = _join(binder, join, part, scope)
    return part if done is None else _cross(binder, done, part, joins[-1])


def _is_comma(args: dict[str, Any]) -> bool:
    return not any(args.get(key) for key in ("kind", "side", "method", "on", "using"))


def _is_lateral(node: Node) -> bool:
    return node.__class__ in {exp.Unnest, exp.Lateral}


# ---- one item ----------------------------------------------------------------------------------------------------


def _item(binder: Binder, node: Node, scope: Scope, left: Rows | None) -> Rows:
    kind = node.__class__
    if node.args.get("pivots"):
        return _pivoted(binder, node, scope, left)
    if kind is exp.Table and written(node.this).upper().startswith("GENERATE_SERIES("):
        unnested = exp.Unnest(expressions=[node.this], alias=node.args.get("alias"))
        return _unnest(binder, unnested, scope, Rows(ONE_ROW, []), outer=False, name="generate_series")
    if kind is exp.Table:
        rows = _table(binder, node)
    elif kind is exp.Subquery:
        rows = _derived(binder, node, scope)
    elif kind is exp.Values:
        rows = _aliased(binder, bind_query(binder, node, scope.outer), node, node.args.get("alias"))
    elif kind is exp.Unnest:
        return _unnest(binder, node, scope, left or Rows(ONE_ROW, []), outer=False)
    elif kind is exp.Lateral:
        raise binder.error("LATERAL needs something on its left", node)
    else:
        raise binder.unsupported(f"{written(node)} in FROM", node)
    joins = node.args.get("joins")
    if joins:
        rows = _continued(binder, rows, joins, scope)
    for key, what in (("sample", "TABLESAMPLE"), ("version", "a table's version")):
        if node.args.get(key):
            raise binder.unsupported(what, node)
    return rows


def _pivoted(binder: Binder, node: Node, scope: Scope, left: Rows | None) -> Rows:
    """Each PIVOT and UNPIVOT behind a table, one after the other."""
    source = node.copy()
    source.set("pivots", None)
    names = [column.name for column in _item(binder, source, scope, left).columns]
    *before, last = node.args["pivots"]
    for pivot in before:
        query = pivoted(binder, source, names, pivot)
        source = exp.Subquery(this=query, alias=pivot.args.get("alias"))
        names = [column.name for column in bind_query(binder, query, scope.outer).columns]
    rows = bind_query(binder, pivoted(binder, source, names, last), scope.outer)
    return _aliased(binder, rows, node, last.args.get("alias"), node.alias_or_name)


def _continued(binder: Binder, rows: Rows, joins: Sequence[Node], scope: Scope) -> Rows:
    for join in joins:
        rows = (
            _cross(binder, rows, _item(binder, join.this, scope, rows), join)
            if _is_comma(join.args)
            else _join(binder, join, rows, scope)
        )
    return rows


def _table(binder: Binder, node: Node) -> Rows:
    args = node.args
    name_node = args["this"]
    if not isinstance(name_node, exp.Identifier):
        called = written(name_node)
        if called.upper().startswith("READ_"):
            raise binder.error(
                f"{called} is no function here: files are tables, by Lake or CREATE EXTERNAL TABLE", node
            )
        raise binder.unsupported(f"the table function {called}", node)
    parts = tuple(args[key].args["this"] for key in ("catalog", "db", "this") if args.get(key) is not None)
    alias = args.get("alias")
    if len(parts) == 1:
        rows = named_query(binder, parts[0])
        if rows is not None:
            return _aliased(binder, rows, node, alias, parts[0])
    found = binder.catalog.find(parts)
    if found is None:
        names = [*binder.catalog.names(), *(name for one in binder.withs for name in one)]
        full = ".".join(parts)
        guess = nearest(full, names) or nearest(parts[-1], names)
        raise binder.error(f"there is no table {full!r}", node, suggestion=guess.removeprefix("; "))
    if isinstance(found, View):
        binder.seen[parts] = found
        return _aliased(binder, _view(binder, found, parts, node), node, alias, parts[-1])
    schema = found.schema()
    binder.seen[parts] = found.name, schema
    binder.tables[found.name] = None
    shown = alias.name if alias is not None and alias.args.get("this") is not None else parts[-1]
    fields = [(binder.id(one.name), one) for one in schema]
    columns = [Column(one.name, id, one.type) for id, one in fields]
    rows = Rows(Scan(found.name, tuple(fields), alias=shown), columns)
    folded = tuple(part.lower() for part in parts)
    if alias is not None:
        return _aliased(binder, rows, node, alias, parts[-1])
    rows.relations = {folded[-1]: Relation(folded[-1], _named(rows), folded)}
    return rows


def _named(rows: Rows) -> Named:
    if rows.named is None:
        rows.named = Named(rows.columns)
    return rows.named


def _aliased(binder: Binder, rows: Rows, node: Node, alias: Node, own: str = "") -> Rows:
    """Rows under a new name, their columns perhaps renamed."""
    name = alias.args["this"].name if alias is not None and alias.args.get("this") is not None else own
    columns = rows.columns
    if alias is not None and alias.args.get("columns"):
        columns = renamed(binder, columns, [one.name for one in alias.args["columns"]], name or "this table", node)
    result = _apart(binder, rows.plan, columns)
    if name:
        folded = name.lower()
        result.relations = {folded: Relation(folded, _named(result))}
    return result


def _apart(binder: Binder, plan: Plan, columns: list[Column]) -> Rows:
    """Columns that are one below (SELECT a AS x, a AS y) become two: ROLLUP (x, y) has two keys."""
    if len({one.id for one in columns}) == len(columns):
        return Rows(plan, columns)
    projected: dict[str, Expression] = {}
    made = []
    for name, id, type in columns:
        own = binder.id(name) if id in projected else id
        projected[own] = Reference(id, type=type)
        made.append(Column(name, own, type))
    return Rows(Project(plan, tuple(projected.items())), made)


def _derived(binder: Binder, node: Node, scope: Scope) -> Rows:
    inner = node.this
    if isinstance(inner, exp.Table):  # (a JOIN b ON ...)
        rows = _item(binder, inner, scope, None)
        alias = node.args.get("alias")
        return rows if alias is None else _aliased(binder, rows, node, alias)
    rows = bind_query(binder, node, scope.outer)
    return _aliased(binder, rows, node, node.args.get("alias"))


def _view(binder: Binder, view: View, parts: tuple[str, ...], node: Node) -> Rows:
    name = ".".join(parts) + ("" if view.catalog is None else " as its owner sees it")
    if name in binder.views:
        raise binder.error(f"the view {name} reads itself", node)
    if len(binder.views) > 30:
        raise binder.error(f"views lie more than {len(binder.views)} deep in each other", node)
    before = binder.text, binder.placed, binder.views, binder.withs, binder.catalog
    tree = binder.parse(view.text)
    binder.catalog = view.catalog or binder.catalog
    binder.text, binder.placed, binder.views, binder.withs = view.text, False, (*binder.views, name), []
    rows = bind_query(binder, tree, None)
    columns = rows.columns
    if view.columns:
        columns = renamed(binder, columns, list(view.columns), name, node)
    binder.text, binder.placed, binder.views, binder.withs, binder.catalog = before
    return Rows(rows.plan, columns)


# ---- joins -------------------------------------------------------------------------------------------------------


def _merge_relations(binder: Binder, left: Rows, right: Rows, node: Node) -> dict[str, Relation]:
    for name in right.relations:
        if name in left.relations:
            raise binder.error(f"two tables in FROM are called {name!r}: give one an alias", node.this)
    return left.relations | right.relations


def _cross(binder: Binder, left: Rows, right: Rows, node: Node) -> Rows:
    relations = _merge_relations(binder, left, right, node)
    return Rows(Join(left.plan, right.plan, "cross"), left.columns + right.columns, relations)


KINDS: dict[str, JoinKind] = {"LEFT": "left", "RIGHT": "right", "FULL": "full", "": "inner"}


def _join(binder: Binder, node: Node, left: Rows, scope: Scope) -> Rows:
    args = node.args
    kind_word = (args.get("kind") or "").upper()
    side = (args.get("side") or "").upper()
    method = (args.get("method") or "").upper()
    if kind_word in {"SEMI", "ANTI"} or method == "ASOF" or kind_word not in {"", "INNER", "OUTER", "CROSS"}:
        raise binder.unsupported(f"{method or side} {kind_word} JOIN".strip().replace("  ", " "), node)
    if _is_lateral(node.this):
        return _beside(binder, node, left, scope)
    right = _item(binder, node.this, scope, left)
    if kind_word == "CROSS":
        return _cross(binder, left, right, node)
    kind = KINDS[side]
    if args.get("using") or method == "NATURAL":
        return _using(binder, node, left, right, kind, natural=method == "NATURAL")
    joined = Rows(left.plan, left.columns + right.columns, _merge_relations(binder, left, right, node))
    on = args.get("on")
    if on is None:
        if kind != "inner":
            raise binder.error(f"{side} JOIN needs a condition: write ON ... or USING (...)", node)
        return Rows(Join(left.plan, right.plan, "cross"), joined.columns, joined.relations)
    inside = Scope(outer=scope.outer, rows=joined)
    condition = binder.condition(on, inside, "JOIN ... ON")
    joined.plan = Join(left.plan, right.plan, kind, (), condition)
    return joined


def _using(binder: Binder, node: Node, left: Rows, right: Rows, kind: JoinKind, *, natural: bool) -> Rows:
    """One column for two that are equal: the left one, of a RIGHT JOIN the right one, of a FULL one what is there."""
    if natural:
        known = {column.name.lower() for column in right.columns}
        names = [column.name for column in left.columns if column.name.lower() in known]
        nodes: list[Node] = [node.this] * len(names)
    else:
        nodes = node.args["using"]
        names = [one.name for one in nodes]
    relations = _merge_relations(binder, left, right, node)
    equal = []
    first: list[Column] = []
    computed: dict[str, Expression] = {}
    taken: set[str] = set()
    for name, place in zip(names, nodes, strict=True):
        ours, theirs = _common_column(binder, left, name, place), _common_column(binder, right, name, place)
        sides = Reference(ours.id, type=ours.type), Reference(theirs.id, type=theirs.type)
        equal.append(compare(binder, "=", *sides, place))
        taken |= {ours.id, theirs.id}
        chosen = theirs if kind == "right" else ours
        id, type = chosen.id, chosen.type
        if kind == "full":
            id, type = binder.id(name), equal[-1].arguments[0].type
            computed[id] = Call("coalesce", equal[-1].arguments, type=type)
        first.append(Column(name, id, type))
    condition = both(equal) if equal else None
    plan: Plan = Join(left.plan, right.plan, "cross" if condition is None and kind == "inner" else kind, (), condition)
    if computed:
        kept = {one.id: Reference(one.id, type=one.type) for rows in (left, right) for one in _all_columns(rows)}
        plan = Project(plan, tuple((kept | computed).items()))
    rest = [column for column in left.columns + right.columns if column.id not in taken]
    return Rows(plan, first + rest, relations)


def _all_columns(rows: Rows) -> list[Column]:
    columns = {column.id: column for column in rows.columns}
    for relation in rows.relations.values():
        columns |= {column.id: column for column in relation.named.columns}
    return list(columns.values())


def _common_column(binder: Binder, rows: Rows, name: str, node: Node) -> Column:
    try:
        found = rows.find(name)
    except Ambiguous:
        raise binder.error(f"the column {name!r} of USING is ambiguous on one side", node) from None
    if found is None:
        guess = nearest(name, (column.name for column in rows.columns)).removeprefix("; ")
        raise binder.error(f"the column {name!r} of USING is not on both sides", node, suggestion=guess)
    return found


# ---- what may mention the tables on its left ---------------------------------------------------------------------


def _beside(binder: Binder, node: Node, left: Rows, scope: Scope) -> Rows:
    """left, UNNEST(left.array); left CROSS JOIN LATERAL (SELECT ... left.column ...)."""
    side = (node.args.get("side") or "").upper()
    if side in {"RIGHT", "FULL"}:
        raise binder.error(f"{side} JOIN cannot take UNNEST or LATERAL: its right side may mention the left", node)
    outer = side == "LEFT"
    on = node.args.get("on")
    if node.this.__class__ is exp.Unnest:
        if on is not None and not (isinstance(on, exp.Boolean) and on.this):
            raise binder.unsupported("UNNEST with a condition (only ON TRUE)", on)
        return _unnest(binder, node.this, scope, left, outer=outer)
    inner = node.this.this
    if not isinstance(inner, (exp.Subquery, exp.Query)):
        raise binder.unsupported(f"LATERAL {written(inner)}", node)
    around = Scope(outer=scope.outer, rows=left)
    rows = _aliased(binder, bind_query(binder, inner, around), node, node.this.args.get("alias"))
    relations = _merge_relations(binder, left, rows, node)
    mentioned = tuple(dict.fromkeys(id for id, _ in around.captured))
    joined = Rows(left.plan, left.columns + rows.columns, relations)
    condition = None
    if on is not None and not (isinstance(on, exp.Boolean) and on.this):
        condition = binder.condition(on, Scope(outer=scope.outer, rows=joined), "JOIN ... ON")
    if not mentioned:
        kind: JoinKind = "left" if outer else "cross" if condition is None else "inner"
        joined.plan = Join(left.plan, rows.plan, kind, (), condition)
        return joined
    if condition is not None:
        raise binder.unsupported("LATERAL with a condition (put it into the query)", on)
    joined.plan = Apply(left.plan, rows.plan, mentioned, "left" if outer else "inner")
    return joined


def _unnest(binder: Binder, node: Node, scope: Scope, left: Rows, *, outer: bool, name: str = "unnest") -> Rows:
    inside = Scope(outer=scope.outer, rows=left, clause="UNNEST")
    arrays = []
    columns = []
    points: dict[str, Expression] = {}  # the columns of series
    for one in node.expressions:
        array = binder.expression(one, inside)
        if array.type.kind not in {"array", "timeseries"}:
            raise binder.error(f"UNNEST takes an ARRAY, {written(one)} is {array.type}", one)
        shown = one.name if isinstance(one, exp.Column) else name
        id = binder.id(shown)
        arrays.append((id, array))
        if array.type.kind != "timeseries":
            columns.append(Column(shown, id, array.type.element))
            continue
        record = Reference(id, type=array.type.element)
        for part, type in array.type.fields:
            columns.append(Column(part, binder.id(part), type))
            points[columns[-1].id] = Call("field", (record, Constant(part.encode(), type=VARCHAR)), type=type)
    ordinality = None
    if node.args.get("offset"):
        offset = node.args["offset"]
        name = offset.name if isinstance(offset, exp.Expr) else "ordinality"
        ordinality = binder.id(name)
        columns.append(Column(name, ordinality, BIGINT))
    alias = node.args.get("alias")
    names = [] if alias is None else [one.name for one in alias.args.get("columns") or ()]
    table = "" if alias is None or alias.args.get("this") is None else alias.args["this"].name
    if not names and table and len(columns) == 1:
        names = [table]
    if names:
        columns = renamed(binder, columns, names, table or "UNNEST", node)
    plan: Plan = Unnest(left.plan, tuple(arrays), ordinality, outer)
    if points:
        kept = {id: Reference(id, type=type) for id, type in output(plan).items()}
        plan = Project(plan, tuple((kept | points).items()))
    rows = Rows(plan, left.columns + columns, dict(left.relations))
    if table:
        rows.relations[table.lower()] = Relation(table.lower(), Named(columns))
    return rows
