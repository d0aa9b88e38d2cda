"""How a SELECT becomes a plan. The steps, from below.

    FROM       rows             Filter     WHERE              Aggregate  GROUP BY and every aggregate of the SELECT
    Filter     HAVING           Window     every OVER         Filter     QUALIFY
    Project    the select list, and what ORDER BY needs besides
    Aggregate  DISTINCT         Sort       ORDER BY           Limit      LIMIT, OFFSET, TOP

Items are bound as if nothing were grouped; aggregates and windows are put down on the way (aggregates.py). If there is
a group, `regrouped` then turns every expression above it into one over the group's columns: whatever equals a key
becomes a Reference to the key, and what still mentions a column of FROM is an error. A key that is a plain column keeps
its id, so that nothing needs to change for it, correlated subqueries included; under GROUPING SETS, where a key may be
NULL in the result and not in the rows, it gets a new one.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlglot import exp

from engines.errors import QueryError, nearest
from engines.sql.binder.aggregates import sort_key
from engines.sql.binder.binding import Binder, Node, written
from engines.sql.binder.calls import name_of
from engines.sql.binder.queries import QUERIES, limited, ordinal
from engines.sql.binder.relations import bind_from
from engines.sql.binder.scopes import Column, Rows, Scope
from engines.sql.logical import (
    Aggregate,
    Among,
    Call,
    Case,
    Cast,
    Constant,
    Expression,
    Filter,
    Lambda,
    Plan,
    Project,
    Reference,
    Sort,
    SortKey,
    Subquery,
    Window,
    WindowCall,
    output,
    references,
)
from engines.sql.types import BIGINT, BOOLEAN

REFUSED = {
    "into": "SELECT INTO",
    "connect": "CONNECT BY",
    "match": "MATCH_RECOGNIZE",
    "sample": "TABLESAMPLE",
    "pivots": "PIVOT",
    "cluster": "CLUSTER BY",
    "distribute": "DISTRIBUTE BY",
    "sort": "SORT BY",
    "prewhere": "PREWHERE",
    "kind": "SELECT AS STRUCT",
    "settings": "SETTINGS",
    "format": "FORMAT",
    "locks": "FOR UPDATE",
}


def _select(binder: Binder, node: Node, outer: Scope | None) -> Rows:
    args = node.args
    for key in REFUSED.keys() & args.keys():
        if args[key]:
            refused = args[key][0] if isinstance(args[key], list) else args[key]
            raise binder.unsupported(REFUSED[key], refused if binder.position(refused) >= 0 else node)
    scope = Scope(outer=outer)
    rows = scope.rows = bind_from(binder, node, scope)
    plan = rows.plan
    where = args.get("where")
    if where is not None:
        plan = Filter(plan, binder.condition(where.this, scope, "WHERE"))
    for window in args.get("windows") or ():
        scope.definitions[window.name.lower()] = window
    scope.captured.clear()  # what FROM and WHERE mention is there, however the rows are grouped
    scope.may_aggregate = scope.may_window = True
    scope.clause = "SELECT"
    items = _items(binder, node, scope)
    return _Select(binder, node, scope, items).steps(plan)


QUERIES[exp.Select] = _select


# ---- the select list ---------------------------------------------------------------------------------------------


class Item:
    """One column of the result. node: None for those that * stands for."""

    __slots__ = ("alias", "expression", "name", "node")

    def __init__(self, name: str, expression: Expression, node: Node, alias: str = "") -> None:
        self.name = name
        self.expression = expression
        self.node = node
        self.alias = alias


def _items(binder: Binder, node: Node, scope: Scope) -> list[Item]:
    items: list[Item] = []
    excluded = {one.name.lower() for one in node.args.get("exclude") or ()}
    for one in node.args["expressions"]:
        kind = one.__class__
        if kind is exp.Star or (kind is exp.Column and one.args["this"].__class__ is exp.Star):
            items += _starred(binder, one, scope)
        elif kind is exp.Alias:
            expression = binder.expression(one.args["this"], scope)
            alias = one.args["alias"]
            name = alias if isinstance(alias, str) else alias.args["this"]
            items.append(Item(name, expression, one.args["this"], name.lower()))
            scope.aliases.setdefault(name.lower(), expression)
        else:
            items.append(Item(_header(one), binder.expression(one, scope), one))
    if excluded:
        known = {one.name.lower() for one in items}
        for name in excluded - known:
            raise binder.error(f"EXCLUDE names {name!r}, which is no column here{nearest(name, known)}", node)
        items = [one for one in items if one.name.lower() not in excluded]
    if not items:
        raise binder.error("SELECT gives no columns", node)
    return items


def _starred(binder: Binder, node: Node, scope: Scope) -> list[Item]:
    rows = scope.rows
    columns = rows.columns if rows is not None else []
    star = node
    if node.__class__ is exp.Column:
        star = node.args["this"]
        parts = tuple(
            node.args[key].args["this"].lower() for key in ("catalog", "db", "table") if node.args.get(key) is not None
        )
        relation = rows.relation(parts) if rows is not None else None
        if relation is None:
            guess = nearest(parts[-1], rows.relations if rows is not None else ()).removeprefix("; ")
            raise binder.error(f"no table {'.'.join(parts)!r} is in FROM here", node.args["table"], suggestion=guess)
        columns = relation.named.columns
    elif rows is None or not (rows.relations or columns):
        raise binder.error("SELECT * needs FROM", node)
    if star.args.get("replace") or star.args.get("rename"):
        raise binder.unsupported("* REPLACE and * RENAME", node)
    excluded = {one.name.lower() for one in star.args.get("except_") or ()}
    for name in excluded - {column.name.lower() for column in columns}:
        guess = nearest(name, (column.name for column in columns)).removeprefix("; ")
        raise binder.error(f"EXCLUDE names {name!r}, which is no column here", node, suggestion=guess)
    return [
        Item(column.name, Reference(column.id, type=column.type), None)
        for column in columns
        if column.name.lower() not in excluded and not column.name.startswith("$")  # a pseudo-column: only by its name
    ]


def _header(node: Node) -> str:
    """The name of a column that has no alias: the column's, the function's, CASE, or ?column?."""
    while node.__class__ in {exp.Paren, exp.Window, exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls}:
        node = node.args["this"]
    if node.__class__ in {exp.Column, exp.Dot}:
        return str(node.output_name)
    if node.__class__ is exp.Anonymous:
        return name_of(node)
    if node.__class__ in {exp.Cast, exp.TryCast}:
        inner = _header(node.args["this"])
        return inner if inner != "?column?" else str(node.args["to"].sql().split("(")[0].lower())
    return HEADERS.get(node.__class__, "?column?")


HEADERS = {
    exp.Case: "case",
    exp.Extract: "date_part",
    exp.Substring: "substring",
    exp.Trim: "btrim",
    exp.StrPosition: "position",
    exp.Exists: "exists",
    exp.CurrentDate: "date",
    exp.CurrentUser: "current_user",
    exp.SessionUser: "session_user",
    exp.CurrentTimestamp: "timestamptz",
    exp.Boolean: "bool",
}


# ---- the steps ---------------------------------------------------------------------------------------------------


class _Select:
    """What is known of a SELECT once its items are bound."""

    def __init__(self, binder: Binder, node: Node, scope: Scope, items: list[Item]) -> None:
        self.binder = binder
        self.node = node
        self.scope = scope
        self.items = items
        self.keys: dict[Expression, str] = {}  # grouped expression -> id of the key
        self.key_ids: set[str] = set()  # of keys that keep their id
        self.sets: tuple[tuple[int, ...], ...] | None = None
        self.grouping: str | None = None
        self.below: dict[str, Any] = {}  # ids of FROM: what a group hides

    def steps(self, plan: Plan) -> Rows:
        binder, node, scope = self.binder, self.node, self.scope
        args = node.args
        group = args.get("group")
        if group is not None:
            self._group(group)
        having = args.get("having")
        scope.may_window = False
        condition = None if having is None else binder.condition(having.this, scope, "HAVING")
        scope.may_window = True
        qualify = args.get("qualify")
        chosen = None if qualify is None else binder.condition(qualify.this, scope, "QUALIFY")
        distinct = args.get("distinct")
        on = None if distinct is None else distinct.args.get("on")
        order = self._order(args.get("order"), distinct=distinct is not None and on is None)
        on_keys = [] if on is None else [binder.expression(one, scope) for one in _on_items(on)]
        windows = scope.windows
        if group is not None or scope.aggregates or having is not None:
            plan, change = self._aggregated(plan)
            for item in self.items:
                item.expression = change(item.expression, item.node)
            condition = None if condition is None else change(condition, having)
            chosen = None if chosen is None else change(chosen, qualify)
            order = [(replace(key, expression=change(key.expression, at)), at) for key, at in order]
            on_keys = [change(one, on) for one in on_keys]
            windows = {_changed_window(call, change, node): id for call, id in windows.items()}
            if condition is not None:
                plan = Filter(plan, condition)
        if on_keys:
            call = WindowCall("row_number", (), BIGINT, tuple(on_keys), tuple(key for key, _ in order), None)
            first = windows.setdefault(call, binder.id("row_number"))
            plan = Window(plan, tuple((id, call) for call, id in windows.items()))
            one = Constant(1, type=BIGINT)
            plan = Filter(plan, Call("=", (Reference(first, type=BIGINT), one), type=BOOLEAN))
        elif windows:
            plan = Window(plan, tuple((id, call) for call, id in windows.items()))
        if chosen is not None:
            plan = Filter(plan, chosen)
        return self._finished(plan, order, distinct=distinct is not None and on is None)

    # ---- GROUP BY ------------------------------------------------------------------------------------------------

    def _group(self, group: Node) -> None:
        binder = self.binder
        if group.args.get("all"):
            return self._group_by_all()
        choices: list[list[tuple[int, ...]]] = []  # of each element of GROUP BY: its sets
        keys: list[Expression] = []
        plain = True
        elements = [*group.expressions]
        for key in ("grouping_sets", "rollup", "cube"):  # WITH ROLLUP and the like
            elements += [one for one in group.args.get(key) or () if isinstance(one, exp.Expr)]
        for one in elements:
            if one.__class__ in {exp.Rollup, exp.Cube, exp.GroupingSets}:
                plain = False
            choices.append(self._sets(one, keys))
        if not plain:
            combined = itertools.product(*choices)
            self.sets = tuple(tuple(dict.fromkeys(itertools.chain.from_iterable(one))) for one in combined)
            if len(self.sets) > 4096:
                raise binder.error(f"GROUP BY makes {len(self.sets):,} grouping sets, at most 4,096 are allowed", group)
            self.grouping = binder.id("grouping")
        for bound in keys:
            if isinstance(bound, Reference) and plain and bound.id not in self.scope.foreign:
                self.keys[bound] = bound.id
                self.key_ids.add(bound.id)
            elif bound not in self.keys:
                self.keys[bound] = binder.id(bound.id.partition("#")[0] if isinstance(bound, Reference) else "key")
        return None

    def _group_by_all(self) -> None:
        made = set(self.scope.aggregates.values()) | set(self.scope.windows.values())
        for item in self.items:
            expression = item.expression
            if references(expression) & made or isinstance(expression, Constant):
                continue
            if isinstance(expression, Reference) and expression.id not in self.scope.foreign:
                self.keys[expression] = expression.id
                self.key_ids.add(expression.id)
            else:
                self.keys.setdefault(expression, self.binder.id("key"))

    def _sets(self, node: Node, keys: list[Expression]) -> list[tuple[int, ...]]:
        """The grouping sets that an element of GROUP BY stands for, as numbers of keys."""
        kind = node.__class__
        if kind is exp.GroupingSets:
            return [one for part in node.expressions for one in self._sets(part, keys)]
        if kind in {exp.Rollup, exp.Cube}:
            parts = [self._sets(one, keys)[0] for one in node.expressions]
            if kind is exp.Rollup:
                chosen = [parts[:n] for n in range(len(parts), -1, -1)]
            else:
                if len(parts) > 12:
                    raise self.binder.error("CUBE takes at most 12 columns", node)
                every = range(2 ** len(parts) - 1, -1, -1)
                chosen = [[p for i, p in enumerate(parts) if bits >> (len(parts) - 1 - i) & 1] for bits in every]
            return [tuple(itertools.chain.from_iterable(one)) for one in chosen]
        if kind is exp.Tuple:
            return [tuple(self._key(one, keys) for one in node.expressions)]
        if kind is exp.Paren:
            return self._sets(node.this, keys)
        return [(self._key(node, keys),)]

    def _key(self, node: Node, keys: list[Expression]) -> int:
        """The number of a key: a position, a column, an alias, an expression."""
        binder, scope = self.binder, self.scope
        before = scope.may_aggregate, scope.may_window, scope.clause
        scope.may_aggregate = scope.may_window = False
        scope.clause = "GROUP BY"
        if node.__class__ is exp.Literal and not node.args["is_string"]:
            bound = self.items[ordinal(binder, node, len(self.items), "GROUP BY")].expression
        else:
            bound = binder.expression(node, scope)
        scope.may_aggregate, scope.may_window, scope.clause = before
        made = references(bound)
        if not made.isdisjoint(scope.aggregates.values()):
            raise binder.error(
                f"GROUP BY {written(node)}: an aggregate is computed from groups, it cannot make them", node
            )
        if not made.isdisjoint(scope.windows.values()):
            raise binder.error(f"GROUP BY {written(node)}: a window function is computed after the groups", node)
        if bound in keys:
            return keys.index(bound)
        keys.append(bound)
        return len(keys) - 1

    def _aggregated(self, plan: Plan) -> tuple[Plan, Any]:
        scope = self.scope
        self.below = output(plan)
        calls = tuple((id, call) for call, id in scope.aggregates.items())
        keys = tuple((id, key) for key, id in self.keys.items())
        for id, position in scope.captured:
            if id in self.below and id not in self.key_ids:
                raise self._not_grouped(id, position)
        return Aggregate(plan, keys, calls, self.sets, self.grouping), self._regrouped

    def _not_grouped(self, id: str, place: Node) -> QueryError:
        name = id.partition("#")[0]
        return self.binder.error(f"the column {name!r} must be in GROUP BY, or inside an aggregate", place)

    def _regrouped(self, expression: Expression, node: Node) -> Expression:
        """The expression over the rows of FROM as one over the groups."""
        key = self.keys.get(expression) if self.keys else None
        if key is not None:
            return Reference(key, type=expression.type, position=expression.position)
        if expression.__class__ is Reference:
            if expression.id in self.below:
                raise self._not_grouped(expression.id, expression.position if expression.position >= 0 else node)
            return expression
        if expression.__class__ is Call and expression.function == "grouping":
            return self._grouping(expression, node)
        return rebuilt(expression, lambda one: self._regrouped(one, node))

    def _grouping(self, call: Node, node: Node) -> Expression:
        """GROUPING(a, b): a bit for each argument, taken out of the bits of all keys."""
        order = list(self.keys)
        result: Expression = Constant(0, type=BIGINT)
        for n, argument in enumerate(reversed(call.arguments)):
            if argument not in self.keys:
                raise self.binder.error(
                    "GROUPING takes expressions of GROUP BY", call.position if call.position >= 0 else node
                )
            if self.grouping is None:
                continue
            bits = Reference(self.grouping, type=BIGINT)
            shift = len(order) - 1 - order.index(argument)
            bit = _bigint("%", _bigint("/", bits, Constant(2**shift, type=BIGINT)), Constant(2, type=BIGINT))
            result = bit if n == 0 else _bigint("+", result, _bigint("*", bit, Constant(2**n, type=BIGINT)))
        return result

    # ---- ORDER BY, the result ------------------------------------------------------------------------------------

    def _order(self, order: Node, *, distinct: bool) -> list[tuple[SortKey, Any]]:
        if order is None:
            return []
        binder, scope = self.binder, self.scope
        scope.clause = "ORDER BY"
        known = {item.expression for item in self.items} if distinct else set()
        keys = []
        for one in order.expressions:
            bound = self._sorted_by(one.this)
            if bound is None:
                bound = binder.expression(one.this, scope)
            if distinct and bound not in known:
                raise binder.error(
                    f"with DISTINCT, ORDER BY takes only what is selected, not {written(one.this)}", one.this
                )
            keys.append((sort_key(bound, one), one.this))
        return keys

    def _sorted_by(self, node: Node) -> Expression | None:
        """A position, or a name of the result."""
        if node.__class__ is exp.Literal and not node.args["is_string"]:
            return self.items[ordinal(self.binder, node, len(self.items), "ORDER BY")].expression
        if node.__class__ is not exp.Column or node.args.get("table") is not None:
            return None
        name = node.name.lower()
        found = [item.expression for item in self.items if (item.alias or item.name.lower()) == name]
        if not found:
            return None
        if any(one != found[0] for one in found):
            raise self.binder.error(f"ORDER BY {node.name}: several columns of the result have that name", node)
        return found[0]

    def _finished(self, plan: Plan, order: list[tuple[SortKey, Any]], *, distinct: bool) -> Rows:
        binder = self.binder
        foreign = self.scope.foreign
        ids: dict[Expression, str] = {}
        projected: dict[str, Expression] = {}

        def place(expression: Expression, name: str) -> str:
            id = ids.get(expression)
            if id is None:
                if expression.__class__ is Reference and expression.id not in foreign:
                    id = expression.id
                else:
                    id = binder.id(name)
                ids[expression] = id
                projected[id] = expression
            return id

        columns = [Column(one.name, place(one.expression, one.name), one.expression.type) for one in self.items]
        keys = tuple(
            replace(
                key,
                expression=Reference(
                    place(key.expression, "order"), type=key.expression.type, position=key.expression.position
                ),
            )
            for key, _ in order
            if key.expression.__class__ is not Constant
        )
        plan = Project(plan, tuple(projected.items()))
        if distinct:
            plan = Aggregate(plan, tuple((id, Reference(id, type=one.type)) for id, one in projected.items()), ())
        if keys:
            plan = Sort(plan, keys)
        return Rows(limited(binder, self.node, plan), columns)


def _bigint(operator: str, left: Expression, right: Expression) -> Expression:
    return Call(operator, (left, right), type=BIGINT)


def _on_items(on: Node) -> list[Node]:
    return list(on.expressions) if on.__class__ is exp.Tuple else [on]


def _changed_window(call: WindowCall, change: Callable[[Expression, Node], Expression], node: Node) -> WindowCall:
    return replace(
        call,
        arguments=tuple(change(one, node) for one in call.arguments),
        partition=tuple(change(one, node) for one in call.partition),
        order=tuple(replace(key, expression=change(key.expression, node)) for key in call.order),
        where=None if call.where is None else change(call.where, node),
    )


def rebuilt(expression: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """The expression with `change` done to each part directly below; itself, if nothing changed."""
    match expression:
        case Call():
            arguments = tuple(map(change, expression.arguments))
            same = all(a is b for a, b in zip(arguments, expression.arguments, strict=True))
            return expression if same else replace(expression, arguments=arguments)
        case Cast():
            argument = change(expression.argument)
            return expression if argument is expression.argument else replace(expression, argument=argument)
        case Case():
            branches = tuple((change(condition), change(value)) for condition, value in expression.branches)
            return replace(expression, branches=branches, otherwise=change(expression.otherwise))
        case Among():
            return replace(expression, argument=change(expression.argument), items=tuple(map(change, expression.items)))
        case Lambda():
            return replace(expression, body=change(expression.body))
        case Subquery():
            return replace(expression, left=tuple(map(change, expression.left)))
    return expression
