"""Conditions go down, to where their columns come from, so that rows are dropped before anything is done with them.

    push(plan, terms)   the plan with only the rows for which all terms are true, filtered as far down as can be

Inner joins that lie on one another are one region (`regions.py`): its terms are spread over its leaves, and what is
left are the conditions of the joins. Of outer joins a term may pass to the side whose rows all stay; one that no row
of NULLs meets turns the outer join into an inner one first.

Simpler than production: a term is never copied down a side where it would only help to drop rows early (through the
keys of an outer join, say), except for those that equalities imply.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from engines.sql.logical import (
    Aggregate,
    Among,
    Apply,
    Call,
    Cast,
    Expression,
    Filter,
    Join,
    Plan,
    Project,
    Reference,
    SetOperation,
    Sort,
    Unnest,
    Values,
    Window,
    output,
)
from engines.sql.rewrite.conditions import simplified
from engines.sql.rewrite.regions import joined_region, sunk
from engines.sql.rewrite.subqueries import STRICT, keyed
from engines.sql.rewrite.trees import (
    ONE_SIDED,
    conjunction,
    conjuncts,
    filtered,
    ids_of,
    is_never,
    is_pure,
    is_true,
    rebuilt,
    substituted,
)
from engines.sql.rewrite.work import Work

NULL_OF_NULL: Final = STRICT | frozenset({
    "like", "ilike", "lower", "upper", "substring", "abs", "extract", "date_part", "date_trunc", "length", "trim",
    "not", "add interval", "add days",
})  # fmt: skip
Terms = list[Expression]


def push_predicates(plan: Plan, work: Work) -> Plan:
    """Filters go down to the scans, through all that lets them pass.

    Filter(c > 5, Project(c: a + 1, Scan t))  ->  Project(c: a + 1, Filter(a + 1 > 5, Scan t))
    """
    return push(plan, [], work)


def push(plan: Plan, terms: Terms, work: Work) -> Plan:
    """The plan's rows that meet all terms, filtered as early as can be."""
    match plan:
        case Filter():
            return push(plan.input, conjuncts(plan.condition) + terms, work)
        case _ if any(is_never(term) for term in terms):
            return Values(tuple(output(plan).items()), ())
        case Project():
            return _through_project(plan, terms, work)
        case Join(kind="inner" | "cross"):
            return joined_region(plan, terms, work, push)
        case Join():
            return _through_join(plan, terms, work)
        case Aggregate():
            keys = dict(plan.keys) if plan.sets is None else {}
            go, stay = _split(terms, frozenset(keys), ids_of(plan), work) if keys else ([], terms)
            below = push(plan.input, _replaced(go, keys, work), work)
            new: Plan = Aggregate(below, plan.keys, plan.calls, plan.sets, plan.grouping)
        case Window():
            shared = frozenset.intersection(
                *[frozenset([key.id for key in one.partition if type(key) is Reference]) for _, one in plan.calls]
            )
            go, stay = _split(terms, shared, ids_of(plan), work)
            new = Window(push(plan.input, go, work), plan.calls)
        case Sort():
            return Sort(push(plan.input, terms, work), plan.keys)
        case SetOperation():
            return _through_set(plan, terms, work)
        case Unnest():
            go, stay = _split(terms, ids_of(plan.input), ids_of(plan), work)
            new = Unnest(push(plan.input, go, work), plan.arrays, plan.ordinality, plan.outer)
        case Apply():
            go, stay = _split(terms, ids_of(plan.input), ids_of(plan), work)
            new = Apply(push(plan.input, go, work), push(plan.plan, [], work), plan.outer, plan.kind, plan.mark)
        case _:  # a limit counts rows, a scan has nothing below
            stay, new = terms, rebuilt(plan, lambda below: push(below, [], work))
    return filtered(new, stay)


def _split(terms: Terms, there: frozenset[str], made: frozenset[str], work: Work) -> tuple[Terms, Terms]:
    """Terms that mention nothing of what is made but these ids, and the others."""
    gone = made - there
    go: Terms = []
    stay: Terms = []
    for term in terms:
        (go if gone.isdisjoint(work.mentions(term)) and is_pure(term) else stay).append(term)
    return go, stay


def _replaced(terms: Terms, values: Mapping[str, Expression], work: Work) -> Terms:
    """The terms over what columns stand for. Constants may have come in: simplified again."""
    found: Terms = []
    for term in terms:
        new = substituted(term, values)
        found += conjuncts(simplified(new, work)) if new is not term else [term]
    return [term for term in found if not is_true(term)]


def _through_project(plan: Project, terms: Terms, work: Work) -> Plan:
    if not terms:
        below = push(plan.input, [], work)
        return plan if below is plan.input else Project(below, plan.columns)
    values = dict(plan.columns)
    impure = frozenset([id for id, one in plan.columns if not is_pure(one)])
    go, stay = _split(terms, frozenset(values) - impure, frozenset(values), work)
    return filtered(Project(push(plan.input, _replaced(go, values, work), work), plan.columns), stay)


def _through_set(plan: SetOperation, terms: Terms, work: Work) -> Plan:
    sides = []
    go, stay = _split(terms, ids_of(plan), ids_of(plan), work)
    lefts = [(id, there, type) for id, there, _, type in plan.columns]
    rights = [(id, there, type) for id, _, there, type in plan.columns]
    for side, named in ((plan.left, lefts), (plan.right, rights)):
        values = {id: Reference(there, type=type) for id, there, type in named}
        sides.append(push(side, [substituted(term, values) for term in go], work))
    return filtered(SetOperation(plan.kind, plan.all, sides[0], sides[1], plan.columns), stay)


# ---- joins that are not inner ------------------------------------------------------------------------------------


def _through_join(plan: Join, terms: Terms, work: Work) -> Plan:
    if plan.kind == "right":  # the same join, told from the other side
        turned = tuple([(other, one) for one, other in plan.keys])
        plan = Join(plan.right, plan.left, "left", turned, plan.condition)
    if plan.kind == "semi" and "sink_semi_joins" in work.enabled:
        plan = Join(plan.left, push(plan.right, [], work), "semi", plan.keys, plan.condition)
        lower = sunk(plan, work)
        if lower is not None:
            return push(lower, terms, work)
    left, right = ids_of(plan.left), ids_of(plan.right)
    if plan.kind in {"left", "full"} and "narrow_joins" in work.enabled:
        kept = narrowed_join(plan, terms, left, right)
        if kept is not plan:
            return push(kept, terms, work)
    of_left: Terms = []
    of_right: Terms = []
    above: Terms = []
    for term in terms:
        passes = plan.kind != "full" and (plan.kind in ONE_SIDED or right.isdisjoint(work.mentions(term)))
        (of_left if passes and is_pure(term) else above).append(term)
    on = conjuncts(plan.condition) if plan.condition is not None else []
    stay: Terms = []
    for term in on:
        about = work.mentions(term)
        if plan.kind not in {"full", "null-aware anti"} and left.isdisjoint(about) and not right.isdisjoint(about):
            of_right.append(term)
        elif plan.kind == "semi" and right.isdisjoint(about):
            of_left.append(term)
        else:
            stay.append(term)
    if plan.kind in ONE_SIDED and plan.kind != "null-aware anti" and any(is_never(term) for term in stay):
        below = push(plan.left, of_left, work)
        return filtered(below, above) if plan.kind == "anti" else Values(tuple(output(plan.left).items()), ())
    keys, rest = keyed(stay, plan.left, plan.right, work) if plan.kind != "null-aware anti" else ([], stay)
    new = Join(
        push(plan.left, of_left, work),
        push(plan.right, of_right, work),
        plan.kind,
        plan.keys + tuple(keys),
        conjunction(rest) if rest else None,
    )
    return filtered(new, above)


def narrowed_join(plan: Join, terms: Sequence[Expression], left: frozenset[str], right: frozenset[str]) -> Join:
    """An outer join without the rows of NULLs that a condition above drops anyway.

    WHERE b.x > 0 over a LEFT JOIN b  ->  a JOIN b        WHERE a.x > 0 over a FULL JOIN b  ->  a LEFT JOIN b
    """
    not_right = any(rejects(term, right) for term in terms)  # rows of the left alone are dropped
    not_left = any(rejects(term, left) for term in terms)
    if plan.kind == "left":
        return Join(plan.left, plan.right, "inner", plan.keys, plan.condition) if not_right else plan
    if not_right and not_left:
        return Join(plan.left, plan.right, "inner", plan.keys, plan.condition)
    if not_left:
        return Join(plan.left, plan.right, "left", plan.keys, plan.condition)
    if not_right:
        keys = tuple([(other, one) for one, other in plan.keys])
        return Join(plan.right, plan.left, "left", keys, plan.condition)
    return plan


def rejects(term: Expression, ids: frozenset[str]) -> bool:
    """Whether the term is not true where all these columns are NULL."""
    if isinstance(term, Call):
        if term.function == "and":
            return any(rejects(one, ids) for one in term.arguments)
        if term.function == "or":
            return all(rejects(one, ids) for one in term.arguments)
        if term.function == "is not null":  # false: so only here, where it is the condition itself
            return _null(term.arguments[0], ids)
    return _null(term, ids)


def _null(one: Expression, ids: frozenset[str]) -> bool:
    """Whether a value is NULL where all these columns are."""
    if type(one) is Reference:
        return one.id in ids
    if isinstance(one, Call):
        return one.function in NULL_OF_NULL and any(_null(argument, ids) for argument in one.arguments)
    return isinstance(one, Cast | Among) and _null(one.argument, ids)
