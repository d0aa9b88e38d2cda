"""Rewrite rules: a plan as the text says it becomes a plan that runs well, and means the same.

    the front's plan   comma joins are cross joins under a filter; subqueries sit in expressions; scans read everything
    ──> rewrite ──>    joins in a good order on their keys, filters at the scans, no subquery, few columns

`RULES` is the optimizer: what it does, in this order. A rule is one function with an example in its docstring; leave
one out of `rules` and the plan still gives the same rows. Only `subqueries.unnest` always runs: nothing else runs a
subquery. There is no search over rules and no cost model but that for join orders: each rule nearly always pays.

    conditions.py    single expressions: folding, three-valued logic, comparisons
    shared.py        WITH queries
    subqueries.py    subqueries become joins; correlation.py takes out what ties them to the outer query
    pushdown.py      filters go down; regions.py: inner joins as sets of leaves and terms; joinorder.py orders them
    prune.py         columns, projections        scans.py   predicates for the tables' sources
    reduce.py        few groups instead of all
    limits.py        TopN, DISTINCT, empty inputs, build sides
    estimates.py     rows that a step gives, from statistics

WITH queries that run once are rewritten once, after all that uses them, since those say which columns they need.
"""

from collections.abc import Callable, Sequence
from typing import Final

from engines.sql.logical import Expression, Plan, Query, Shared, Subquery
from engines.sql.rewrite.conditions import (
    factor_or,
    fold_constants,
    gather_in,
    push_not,
    simplified,
    simplify_logic,
    uncast,
)
from engines.sql.rewrite.estimates import Estimates
from engines.sql.rewrite.joinorder import order_joins
from engines.sql.rewrite.limits import choose_build, drop_distinct, drop_empty, limit_early
from engines.sql.rewrite.prune import merge_projects, prune_columns, pruned
from engines.sql.rewrite.pushdown import narrowed_join, push_predicates
from engines.sql.rewrite.reduce import reduce_groups
from engines.sql.rewrite.regions import derive_equalities, imply_or, sunk
from engines.sql.rewrite.scans import push_to_scans
from engines.sql.rewrite.shared import inline_shared, shared
from engines.sql.rewrite.subqueries import unnest
from engines.sql.rewrite.trees import altered, expressions, in_subquery, mapped, rebuilt, subqueries
from engines.sql.rewrite.work import Folding, Rule, Work
from engines.sql.source import TableSource

RULES: Final = (
    Rule("inline_shared", inline_shared),
    Rule("fold_constants", fold_constants, "expression"),
    Rule("simplify_logic", simplify_logic, "expression"),
    Rule("push_not", push_not, "expression"),
    Rule("uncast", uncast, "expression"),
    Rule("factor_or", factor_or, "expression"),
    Rule("gather_in", gather_in, "expression"),
    Rule("push_predicates", push_predicates),
    Rule("narrow_joins", narrowed_join, "region"),
    Rule("derive_equalities", derive_equalities, "region"),
    Rule("imply_or", imply_or, "region"),
    Rule("order_joins", order_joins, "region"),
    Rule("sink_semi_joins", sunk, "region"),
    Rule("reduce_groups", reduce_groups),
    Rule("drop_empty", drop_empty),
    Rule("drop_distinct", drop_distinct),
    Rule("merge_projects", merge_projects),
    Rule("limit_early", limit_early),
    Rule("choose_build", choose_build),
    Rule("push_to_scans", push_to_scans),
    Rule("prune_columns", prune_columns),
)


def rewrite(
    query: Query,
    source: Callable[[str], TableSource],
    *,
    rules: Sequence[Rule] = RULES,
    folding: Folding | None = None,
) -> Query:
    """The query with a plan that runs well; its columns and tables stay as they are.

    source: full name -> table; asked for statistics and for what predicates it answers. folding: computes a constant
    expression, or gives None where it has no value or has one per run. Errors: Invalid for subqueries in places that
    cannot be run.
    """
    work = Work(source, rules=rules, folding=folding)
    whole = [rule for rule in rules if rule.kind == "plan"]
    plan = query.plan
    if "inline_shared" in work.enabled:
        plan = inline_shared(plan, work)
    plan = _improved(plan, frozenset([column[1] for column in query.columns]), whole, work)
    return Query(_with_shared(plan, whole, work), query.columns, query.tables)


def _improved(plan: Plan, needed: frozenset[str], rules: Sequence[Rule], work: Work) -> Plan:
    """One plan after every rule, as far as the uses of WITH queries in it."""
    work.needed = needed
    if work.simplifying:
        plan = _simplified(plan, work)
    plan = unnest(plan, work)
    for rule in rules:
        if rule.change is not inline_shared:
            plan = rule.change(plan, work)
    return plan


def _simplified(plan: Plan, work: Work) -> Plan:
    """Every expression of a plan simplified, in subqueries too."""
    plan = rebuilt(plan, lambda below: _simplified(below, work))
    for one in expressions(plan):
        if subqueries(one):
            plan = altered(plan, lambda held: _with_plans(held, work))
            break
    return altered(plan, lambda one: simplified(one, work))


def _with_plans(expression: Expression, work: Work) -> Expression:
    """The plans of the subqueries in an expression simplified."""

    def change(one: Expression) -> Expression:
        if isinstance(one, Subquery):
            return in_subquery(one, _simplified(one.plan, work), tuple([change(left) for left in one.left]))
        return mapped(one, change)

    return change(expression)


def _with_shared(plan: Plan, rules: Sequence[Rule], work: Work) -> Plan:
    """The plan with every WITH query that is run once improved: users before what they use, then put together."""
    done: dict[str, Plan] = {}
    while True:
        uses = [use for one in (plan, *done.values()) for use in shared(one)]
        waiting = {use.name: use.plan for use in uses if use.name not in done}
        if not waiting:
            break
        used = {use.name for inner in waiting.values() for use in shared(inner)}
        name = next(name for name in waiting if name not in used)
        needed = frozenset([there for use in uses if use.name == name for _, there, _ in use.columns])
        done[name] = _improved(waiting[name], needed, rules, work)
    final: dict[str, Plan] = {}

    def put(one: Plan) -> Plan:
        if not isinstance(one, Shared):
            return rebuilt(one, put)
        if one.name not in final:
            final[one.name] = put(done[one.name])
        return Shared(one.name, final[one.name], one.columns)

    return put(plan) if done else plan


def estimate(plan: Plan, source: Callable[[str], TableSource]) -> float:
    """Rows that a plan gives, as far as the statistics of its tables tell. At least 1, or 0 if it surely gives none."""
    return Estimates(source).rows(plan)


__all__ = ["RULES", "Folding", "Rule", "Work", "estimate", "pruned", "rewrite"]
