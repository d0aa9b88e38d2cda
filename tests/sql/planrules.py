"""What holds of every logical plan: `check(query)` raises AssertionError with what is wrong where.

every Reference resolves in the input of its step or in an outer plan; its type is that of the column
ids are made once: no two steps make the same one (a Shared plan counts once)
both sides of a join have different ids
conditions are BOOLEAN; sides of comparisons, branches of CASE, columns of set operations agree in kind
"""
# ruff: noqa: C901, PLR0912, PLR0915 - as in engines/sql: columns have ids and types, trees many kinds

from collections.abc import Mapping

from engines.sql.logical import (
    Aggregate,
    Among,
    Apply,
    Bound,
    Call,
    Case,
    Constant,
    Expression,
    Filter,
    Join,
    Lambda,
    Limit,
    Plan,
    Project,
    Query,
    Recursive,
    Reference,
    Scan,
    SetOperation,
    Shared,
    Sort,
    Subquery,
    TopN,
    Unnest,
    Values,
    Window,
    Working,
    output,
    parts,
)
from engines.sql.types import Type

COMPARISONS = {"=", "<>", "<", "<=", ">", ">=", "is distinct from", "is not distinct from"}
Types = Mapping[str, Type]


def check(query: Query | Plan) -> None:
    """Raises AssertionError if the plan breaks one of its rules."""
    plan = query.plan if isinstance(query, Query) else query
    _Checker().plan(plan, {})
    if isinstance(query, Query):
        produced = output(plan)
        for name, id, type in query.columns:
            assert id in produced, f"the result's column {name} has the id {id}, which the plan does not make"
            assert produced[id] == type, f"the result's column {name} is {type}, the plan makes {produced[id]}"


def steps(plan: Plan) -> list[Plan]:
    """All steps, those inside subqueries too, parents first."""
    checker = _Checker()
    checker.plan(plan, {})
    return checker.found


class _Checker:
    def __init__(self) -> None:
        self.made: dict[str, Plan] = {}
        self.shared: dict[str, Plan] = {}
        self.found: list[Plan] = []

    def makes(self, id: str, plan: Plan) -> None:
        assert id not in self.made, f"{id} is made twice: {self.made[id]!r} and {plan!r}"
        self.made[id] = plan

    def plan(self, plan: Plan, outer: Types) -> None:
        self.found.append(plan)
        match plan:
            case Scan():
                for id, _ in plan.columns:
                    self.makes(id, plan)
            case Filter():
                self.plan(plan.input, outer)
                self.condition(plan.condition, {**outer, **output(plan.input)})
            case Project():
                self.plan(plan.input, outer)
                self.computed(plan.columns, plan, output(plan.input), outer)
            case Join():
                self.join(plan, outer)
            case Aggregate():
                self.aggregate(plan, outer)
            case Window():
                self.window(plan, outer)
            case Sort() | TopN() | Limit():
                self.plan(plan.input, outer)
                for key in () if isinstance(plan, Limit) else plan.keys:
                    self.expression(key.expression, {**outer, **output(plan.input)})
                if not isinstance(plan, Sort):
                    self.count(plan.limit)
                    self.count(plan.offset)
            case SetOperation():
                self.plan(plan.left, outer)
                self.plan(plan.right, outer)
                self.pairs(plan.columns, plan, output(plan.left), output(plan.right))
            case Values():
                self.values(plan, outer)
            case Unnest():
                self.plan(plan.input, outer)
                for id, array in plan.arrays:
                    self.makes(id, plan)
                    self.expression(array, {**outer, **output(plan.input)})
                    assert array.type.fields, f"UNNEST of {array.type}"
                if plan.ordinality:
                    self.makes(plan.ordinality, plan)
            case Apply():
                self.plan(plan.input, outer)
                below = output(plan.input)
                assert set(plan.outer) <= set(below) | set(outer), f"Apply: {plan.outer} is not in its input"
                self.plan(plan.plan, {**outer, **below})
                if plan.mark:
                    self.makes(plan.mark, plan)
            case Shared():
                known = self.shared.get(plan.name)
                if known is None:
                    self.shared[plan.name] = plan.plan
                    self.plan(plan.plan, outer)
                assert known in {None, plan.plan}, f"the shared query {plan.name} stands for two plans"
                below = output(plan.plan)
                for id, inner, type in plan.columns:
                    self.makes(id, plan)
                    assert below.get(inner) == type, f"Shared {plan.name}: {inner} is {below.get(inner)}, not {type}"
            case Recursive():
                for id, *_ in plan.columns:
                    self.makes(id, plan)
                self.plan(plan.base, outer)
                self.plan(plan.step, outer)
                base, step = output(plan.base), output(plan.step)
                for id, first, then, type in plan.columns:
                    assert base[first] == step[then] == type, f"Recursive: {id} is {type}, not as its sides"
            case Working():
                for id, inner, _ in plan.columns:
                    self.makes(id, plan)
                    assert inner in self.made, f"Working: {inner} belongs to no Recursive around it"
            case _:
                raise AssertionError(f"no plan: {plan!r}")

    def join(self, plan: Join, outer: Types) -> None:
        self.plan(plan.left, outer)
        self.plan(plan.right, outer)
        left, right = output(plan.left), output(plan.right)
        assert not left.keys() & right.keys(), f"both sides of a join have {left.keys() & right.keys()}"
        for one, other in plan.keys:
            self.expression(one, {**outer, **left})
            self.expression(other, {**outer, **right})
            self.alike(one.type, other.type, plan)
        if plan.condition is not None:
            self.condition(plan.condition, {**outer, **left, **right})
        assert plan.kind != "cross" or not (plan.keys or plan.condition), "a cross join has a condition"

    def aggregate(self, plan: Aggregate, outer: Types) -> None:
        self.plan(plan.input, outer)
        below = output(plan.input)
        self.computed(plan.keys, plan, below, outer)
        seen = {**outer, **below}
        for id, call in plan.calls:
            self.makes(id, plan)
            for one in (*call.arguments, *(key.expression for key in call.order)):
                self.expression(one, seen)
            if call.where is not None:
                self.condition(call.where, seen)
        for one in plan.sets or ():
            assert all(0 <= key < len(plan.keys) for key in one), f"grouping sets {plan.sets} name keys that are not"
        if plan.grouping:
            self.makes(plan.grouping, plan)

    def window(self, plan: Window, outer: Types) -> None:
        self.plan(plan.input, outer)
        seen = {**outer, **output(plan.input)}
        for id, call in plan.calls:
            self.makes(id, plan)
            for one in (*call.arguments, *call.partition, *(key.expression for key in call.order)):
                self.expression(one, seen)
            if call.where is not None:
                self.condition(call.where, seen)

    def values(self, plan: Values, outer: Types) -> None:
        for id, _ in plan.columns:
            self.makes(id, plan)
        for row in plan.rows:
            for one, (id, type) in zip(row, plan.columns, strict=True):
                self.expression(one, outer)
                assert one.type == type, f"VALUES: {id} is {type}, the value {one!r}"

    def computed(self, columns, plan: Plan, below: Types, outer: Types) -> None:
        ids = [id for id, _ in columns]
        assert len(set(ids)) == len(ids), f"a step makes a column twice: {ids}"
        for id, expression in columns:
            self.expression(expression, {**outer, **below})
            if isinstance(expression, Reference) and expression.id == id:
                assert id in below, f"{id} is passed through a step that does not get it"
            else:
                self.makes(id, plan)

    def pairs(self, columns, plan: Plan, left: Types, right: Types) -> None:
        for id, one, other, type in columns:
            self.makes(id, plan)
            self.alike(left[one], type, plan)
            self.alike(right[other], type, plan)

    def count(self, limit: Expression | None) -> None:
        assert limit is None or isinstance(limit, (Constant, Bound)), f"LIMIT of {limit!r}"
        assert limit is None or limit.type.kind == "bigint", f"LIMIT of {limit!r}"

    def condition(self, expression: Expression, seen: Types) -> None:
        self.expression(expression, seen)
        assert expression.type.kind == "boolean", f"a condition of type {expression.type}: {expression!r}"

    def alike(self, one: Type, other: Type, where: object) -> None:
        assert one.kind == other.kind or (one.text and other.text), f"{one} beside {other} in {where!r}"
        assert one.scale == other.scale, f"{one} beside {other} in {where!r}"

    def expression(self, expression: Expression, seen: Types) -> None:
        match expression:
            case Reference():
                assert expression.id in seen, f"{expression.id} is not in sight; there are {sorted(seen)}"
                assert seen[expression.id] == expression.type, f"{expression!r} is {seen[expression.id]}"
            case Call(function="and" | "or" | "not"):
                for one in expression.arguments:
                    assert one.type.kind == "boolean", f"{expression.function} of {one!r}"
            case Call() if expression.function in COMPARISONS:
                left, right = expression.arguments
                self.alike(left.type, right.type, expression)
                assert expression.type.kind == "boolean", f"{expression!r}"
            case Case():
                for condition, value in expression.branches:
                    assert condition.type.kind == "boolean", f"WHEN of {condition!r}"
                    assert value.type == expression.type, f"CASE of {expression.type} has a branch of {value.type}"
                assert expression.otherwise.type == expression.type, f"CASE: ELSE is {expression.otherwise.type}"
            case Among():
                for item in expression.items:
                    assert isinstance(item, (Constant, Bound)), f"IN holds {item!r}"
                    self.alike(expression.argument.type, item.type, expression)
            case Lambda():
                return  # its parameters' types are known to the function alone
            case Subquery():
                self.plan(expression.plan, seen)
                produced = output(expression.plan)
                for id in expression.columns:
                    assert id in produced, f"a subquery's column {id} is not made by its plan"
                for left, id in zip(expression.left, expression.columns, strict=False):
                    self.alike(left.type, produced[id], expression)
                if expression.kind == "scalar":
                    assert produced[expression.columns[0]] == expression.type, f"scalar subquery: {expression.type}"
        for one in parts(expression):
            self.expression(one, seen)
