"""LIMIT, ORDER BY, DISTINCT, and what is surely empty."""

from engines.sql.logical import (
    Aggregate,
    Constant,
    Filter,
    Join,
    Limit,
    Plan,
    Project,
    Reference,
    SetOperation,
    Sort,
    SortKey,
    TopN,
    Values,
    Window,
    output,
)
from engines.sql.rewrite.trees import ONE_SIDED, is_true, rebuilt, substituted
from engines.sql.rewrite.work import Work


def limit_early(plan: Plan, work: Work) -> Plan:
    """ORDER BY with LIMIT is a TopN, which keeps few rows; projections are computed for those few.

    Limit(10, Project(b: upper(a), Sort(a, t)))  ->  Project(b: upper(a), TopN(10, a, t))
    """
    plan = rebuilt(plan, lambda below: limit_early(below, work))
    if not isinstance(plan, Limit):
        return plan
    below = plan.input
    if isinstance(below, Project):
        return Project(limit_early(Limit(below.input, plan.limit, plan.offset), work), below.columns)
    if not isinstance(below, Sort) or plan.limit is None:
        return plan
    if isinstance(plan.limit, Constant) and plan.limit.value is None:
        return plan
    inner = below.input
    if isinstance(inner, Project):
        values = dict(inner.columns)
        if all(type(values.get(id)) is Reference for key in below.keys for id in work.mentions(key.expression)):
            keys = tuple(
                [SortKey(substituted(key.expression, values), key.descending, key.nulls_first) for key in below.keys]
            )
            return Project(TopN(inner.input, keys, plan.limit, plan.offset), inner.columns)
    return TopN(inner, below.keys, plan.limit, plan.offset)


def drop_distinct(plan: Plan, work: Work) -> Plan:
    """DISTINCT over groups that are distinct already.

    SELECT DISTINCT a, b, sum(c) FROM t GROUP BY a, b  ->  SELECT a, b, sum(c) FROM t GROUP BY a, b
    """
    plan = rebuilt(plan, lambda below: drop_distinct(below, work))
    if not isinstance(plan, Aggregate) or plan.calls or plan.sets is not None or not plan.keys:
        return plan
    wanted = {one.id for _, one in plan.keys if type(one) is Reference}
    below = plan.input
    while isinstance(below, Project | Filter | Sort):
        if isinstance(below, Project):
            wanted = {one.id for id, one in below.columns if id in wanted and type(one) is Reference}
        below = below.input
    if isinstance(below, Aggregate) and below.sets is None and {id for id, _ in below.keys} <= wanted:
        return Project(plan.input, plan.keys)
    return plan


def drop_empty(plan: Plan, work: Work) -> Plan:
    """What surely has no rows is not run, nor what is joined with it.

    t JOIN (SELECT ... WHERE FALSE)  ->  no rows        t UNION ALL (no rows)  ->  t
    """
    plan = rebuilt(plan, lambda below: drop_empty(below, work))
    match plan:
        case Filter():
            if is_true(plan.condition):
                return plan.input
            gone = is_empty(plan.input)
        case Project() | Sort() | TopN() | Window():
            gone = is_empty(plan.input)
        case Limit():
            nothing = isinstance(plan.limit, Constant) and plan.limit.value == 0
            gone = nothing or is_empty(plan.input)
        case Aggregate():
            gone = bool(plan.keys) and plan.sets is None and is_empty(plan.input)
        case Join():
            left, right = is_empty(plan.left), is_empty(plan.right)
            if right and plan.kind in {"anti", "null-aware anti"}:
                return plan.left
            gone = (left and plan.kind not in {"right", "full"}) or (right and plan.kind in {"inner", "cross", "semi"})
            gone = gone or (left and right) or (right and plan.kind == "right")
        case SetOperation():
            return _set(plan)
        case _:
            return plan
    return Values(tuple(output(plan).items()), ()) if gone else plan


def _set(plan: SetOperation) -> Plan:
    left, right = is_empty(plan.left), is_empty(plan.right)
    if (left and right) or (left and plan.kind != "union") or (right and plan.kind == "intersect"):
        return Values(tuple([(id, type) for id, _, _, type in plan.columns]), ())
    if not plan.all or not (left or right):
        return plan
    if left:
        return Project(plan.right, tuple([(id, Reference(there, type=type)) for id, _, there, type in plan.columns]))
    return Project(plan.left, tuple([(id, Reference(there, type=type)) for id, there, _, type in plan.columns]))


def is_empty(plan: Plan) -> bool:
    """Whether it is known that the plan gives no row."""
    return isinstance(plan, Values) and not plan.rows


def choose_build(plan: Plan, work: Work) -> Plan:
    """The hash table of an outer or semi join is made of the smaller side too.

    customer LEFT JOIN orders  ->  orders RIGHT JOIN customer        small SEMI JOIN large  ->  built on the left
    """
    plan = rebuilt(plan, lambda below: choose_build(below, work))
    if not isinstance(plan, Join) or not plan.keys or plan.kind not in ONE_SIDED | {"left"}:
        return plan
    rows = work.estimates.rows
    if plan.kind == "null-aware anti" or rows(plan.left) >= rows(plan.right):
        return plan
    if plan.kind == "left":
        keys = tuple([(right, left) for left, right in plan.keys])
        return Join(plan.right, plan.left, "right", keys, plan.condition)
    return Join(plan.left, plan.right, plan.kind, plan.keys, plan.condition, "left")
