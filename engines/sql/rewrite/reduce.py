"""Groups that nobody will join are not made.

A correlated aggregate has become a group by over a whole table, joined with the outer rows. If those are few (TPC-H's
query 17 asks for 200 of 200,000 parts), nearly all groups are made in vain. So the few go down first: the input of the
group by is cut to the rows whose keys occur on the other side, which is run once and used twice.

    few JOIN (GROUP BY k OVER many) ON few.x = k
    ->  WITH few  few JOIN (GROUP BY k OVER (many SEMI JOIN few ON k = few.x)) ON few.x = k

This is the magic set of deductive databases (Mumick et al., 1990), in the one place where it nearly always pays.
"""

from typing import Final

from engines.sql.logical import Aggregate, Expression, Filter, Join, Plan, Project, Reference, Shared, output
from engines.sql.rewrite.pushdown import push
from engines.sql.rewrite.trees import over, rebuilt
from engines.sql.rewrite.work import Work

MANY: Final = 20_000  # rows into a group by that are worth the trouble
FEW: Final = 0.25  # of the groups
Pairs = tuple[tuple[Expression, Expression], ...]


def reduce_groups(plan: Plan, work: Work) -> Plan:
    """The input of a group by that is joined with few rows is cut to what these rows ask for.

    few JOIN (GROUP BY k OVER many) ON few.x = k  ->  few JOIN (GROUP BY k OVER (many SEMI JOIN few)) ON few.x = k
    """
    plan = rebuilt(plan, lambda below: reduce_groups(below, work))
    if not isinstance(plan, Join) or not plan.keys:
        return plan
    if plan.kind in {"inner", "left", "single", "semi", "anti"}:
        both = _cut(plan.right, plan.left, tuple([(right, left) for left, right in plan.keys]), work)
        if both is not None:
            return Join(both[1], both[0], plan.kind, plan.keys, plan.condition, plan.build)
    if plan.kind == "inner":
        both = _cut(plan.left, plan.right, plan.keys, work)
        if both is not None:
            return Join(both[0], both[1], plan.kind, plan.keys, plan.condition, plan.build)
    return plan


def _cut(groups: Plan, few: Plan, keys: Pairs, work: Work) -> tuple[Plan, Plan] | None:
    """The side with the groups over less, and the other one as it is used for that; None if it does not pay."""
    steps: list[Plan] = []
    names = {id: id for id in output(groups)}
    below = groups
    while isinstance(below, Project | Filter):
        if isinstance(below, Project):
            passed = {id: one.id for id, one in below.columns if type(one) is Reference}
            names = {id: passed[there] for id, there in names.items() if there in passed}
        steps.append(below)
        below = below.input
    if not isinstance(below, Aggregate) or below.sets is not None:
        return None
    known = dict(below.keys)
    pairs = [
        (known[names[side.id]], other)
        for side, other in keys
        if type(side) is Reference and names.get(side.id) in known and type(other) is Reference
    ]
    rows = work.estimates.rows
    if not pairs or rows(below.input) < MANY or rows(few) > FEW * rows(below):
        return None
    name = work.label("few")
    used = tuple([(id, id, type) for id, type in output(few).items()])
    asked = [(key, work.fresh("key", other.type), other) for key, other in pairs]
    columns = tuple([(fresh.id, other.id, other.type) for _, fresh, other in asked if isinstance(other, Reference)])
    on = tuple([(key, fresh) for key, fresh, _ in asked])
    less = push(Join(below.input, Shared(name, few, columns), "semi", on), [], work)
    new: Plan = Aggregate(less, below.keys, below.calls)
    for step in reversed(steps):
        new = over(step, new)
    return new, Shared(name, few, used)
