"""WITH queries: those used once, or cheap, become part of where they are used; the others run once for all."""

from collections.abc import Iterator

from engines.sql.logical import Expression, Filter, Plan, Project, Reference, Scan, Shared, Subquery, inputs
from engines.sql.rewrite.trees import altered, expressions, in_subquery, mapped, produced, rebuilt, renamed, subqueries
from engines.sql.rewrite.work import Work


def inline_shared(plan: Plan, work: Work) -> Plan:
    """A WITH query that is used once stands where it is used; so does a copy of one that is only a filtered table.

    WITH w AS (SELECT a FROM t WHERE b) SELECT a FROM w  ->  SELECT a FROM (SELECT a FROM t WHERE b)
    """
    uses: dict[str, int] = {}
    for one in shared(plan):
        uses[one.name] = uses.get(one.name, 0) + 1
    return _inlined(plan, uses, set(), work) if uses else plan


def shared(plan: Plan) -> Iterator[Shared]:
    """Every use of a WITH query, those inside of others once each, in subqueries too."""
    waiting: list[Plan] = [plan]
    seen: set[str] = set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, Shared):
            yield one
            if one.name in seen:
                continue
            seen.add(one.name)
        waiting += inputs(one)
        for expression in expressions(one):
            waiting += [inner.plan for inner in subqueries(expression)]


def _inlined(plan: Plan, uses: dict[str, int], copied: set[str], work: Work) -> Plan:
    def below(one: Plan) -> Plan:
        return _inlined(one, uses, copied, work)

    if isinstance(plan, Shared):
        if uses[plan.name] > 1 and not _cheap(plan.plan):
            if plan.name not in work.shared:
                work.shared[plan.name] = plan.plan  # a mark: below may come here again
                work.shared[plan.name] = below(plan.plan)
            return Shared(plan.name, work.shared[plan.name], plan.columns)
        inner = plan.plan
        new: dict[str, str] = {}
        if plan.name in copied:
            new = {id: work.label(id.partition("#")[0]) for id in produced(inner)}
            inner = renamed(inner, new)
        copied.add(plan.name)
        named = tuple([(here, Reference(new.get(there, there), type=type)) for here, there, type in plan.columns])
        return Project(below(inner), named)

    def change(one: Expression) -> Expression:
        if isinstance(one, Subquery):
            return in_subquery(one, below(one.plan), tuple([change(left) for left in one.left]))
        return mapped(one, change)

    plan = rebuilt(plan, below)
    if any(subqueries(one) for one in expressions(plan)):
        plan = altered(plan, change)
    return plan


def _cheap(plan: Plan) -> bool:
    """A filtered table: to read it again costs no more than to keep it."""
    while isinstance(plan, Filter | Project):
        if any(subqueries(one) for one in expressions(plan)):
            return False
        plan = plan.input
    return isinstance(plan, Scan | Shared)
