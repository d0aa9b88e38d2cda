"""Regions of inner joins: a set of plans (leaves) and a set of terms, in whatever order the text had them.

    Filter(x = y AND b.z = c.z AND c.k = 3, Cross(Cross(a, b), c))

            leaves a, b, c        terms x = y, b.z = c.z, c.k = 3

What is true of the region's rows is looked at as a whole: equalities make classes, and what is said of one member
holds for all; an OR over several leaves says something about each. Then each leaf gets the terms that are about it
alone, and the leaves are joined in the best order known (`joinorder.py`) by those that are left.

Semi and anti joins over the region are filters on its rows: `sunk` puts one that drops most rows below the joins.

Invariants: every term of the region is met by the rows of what is built, whether as a filter, a key or a condition.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from engines.sql.logical import (
    Among,
    Bound,
    Call,
    Constant,
    Expression,
    Filter,
    Join,
    Plan,
    Project,
    Reference,
    Values,
    output,
)
from engines.sql.rewrite.conditions import simplified
from engines.sql.rewrite.joinorder import arranged
from engines.sql.rewrite.trees import (
    call,
    conjunction,
    conjuncts,
    disjunction,
    disjuncts,
    ids_of,
    is_never,
    is_pure,
    is_true,
    rebuilt,
    substituted,
)
from engines.sql.rewrite.work import Work

Terms = list[Expression]
Push = Callable[[Plan, Terms, Work], Plan]
SELECTIVE: Final = 0.35  # a semi join that keeps less than this is done before other joins
COMPARISONS: Final = frozenset({"=", "<", "<=", ">", ">="})


@dataclass(slots=True)
class Region:
    """Leaves and terms. computed: columns of projections that lay between the joins, over the leaves' columns."""

    leaves: list[Plan] = field(default_factory=list)
    terms: Terms = field(default_factory=list)
    computed: dict[str, Expression] = field(default_factory=dict)
    classes: list[list[Reference]] = field(default_factory=list)  # columns that are equal in every row


def sunk(plan: Join, work: Work) -> Plan | None:
    """A semi join over a region that drops most rows of one leaf goes below the region's joins; None: it stays.

    (orders JOIN lineitem) SEMI JOIN big ON orders.k = big.k  ->  (orders SEMI JOIN big) JOIN lineitem
    """
    if plan.kind != "semi" or not plan.keys or not _is_region(plan.left):
        return None
    about = frozenset[str]().union(*[work.mentions(left) for left, _ in plan.keys])
    if plan.condition is not None:
        about |= work.mentions(plan.condition) - ids_of(plan.right)
    leaf = _leaf_of(plan.left, about)
    if leaf is None or _is_region(leaf):  # a projection makes the keys of the region's columns: nothing lies below it
        return None
    over_leaf = Join(leaf, plan.right, "semi", plan.keys, plan.condition)
    if work.estimates.rows(over_leaf) > SELECTIVE * work.estimates.rows(leaf):
        return None
    return _with_leaf(plan.left, leaf, over_leaf)


def _leaf_of(plan: Plan, about: frozenset[str]) -> Plan | None:
    """The leaf of a region that produces all these ids."""
    while isinstance(plan, Filter) and _is_region(plan):
        plan = plan.input
    if isinstance(plan, Join) and plan.kind in {"inner", "cross"}:
        return _leaf_of(plan.left, about) or _leaf_of(plan.right, about)
    return plan if about <= ids_of(plan) else None


def _with_leaf(plan: Plan, leaf: Plan, new: Plan) -> Plan:
    if plan is leaf:
        return new
    if isinstance(plan, Filter | Join) and _is_region(plan):
        return rebuilt(plan, lambda below: _with_leaf(below, leaf, new))
    return plan


def joined_region(plan: Join, terms: Terms, work: Work, push: Push) -> Plan:
    """A region's joins in a good order, everything filtered as early as can be."""
    region = Region()
    _collect(plan, region)
    region.terms += terms
    if region.computed:
        region.terms = [
            part
            for term in region.terms
            for part in conjuncts(_again(term, region.computed, work))
            if not is_true(part)
        ]
    if "derive_equalities" in work.enabled:
        derive_equalities(region, work)
    if "imply_or" in work.enabled:
        imply_or(region, work)
    if any(is_never(term) for term in region.terms):
        return Values(tuple(output(plan).items()), ())
    home = {id: number for number, leaf in enumerate(region.leaves) for id in ids_of(leaf)}
    own: list[Terms] = [[] for _ in region.leaves]
    between: Terms = []
    for term in region.terms:
        homes = {home[id] for id in work.mentions(term) if id in home}
        if len(homes) > 1 or not is_pure(term):
            between.append(term)
        else:
            own[homes.pop() if homes else 0].append(term)
    leaves = [push(leaf, mine, work) for leaf, mine in zip(region.leaves, own, strict=True)]
    joined = arranged(leaves, between, region.classes, work)
    if region.computed:
        columns = [(id, Reference(id, type=type)) for id, type in output(joined).items()]
        joined = Project(joined, (*columns, *region.computed.items()))
    return joined


def _again(term: Expression, values: dict[str, Expression], work: Work) -> Expression:
    new = substituted(term, values)
    return term if new is term else simplified(new, work)


def _collect(plan: Plan, region: Region) -> None:
    """The leaves and terms below, through inner joins, filters, and projections of joins."""
    while isinstance(plan, Filter) and _is_region(plan):
        region.terms += conjuncts(plan.condition)
        plan = plan.input
    if isinstance(plan, Join) and plan.kind in {"inner", "cross"}:
        _collect(plan.left, region)
        _collect(plan.right, region)
        region.terms += [call("=", left, right) for left, right in plan.keys]
        region.terms += conjuncts(plan.condition) if plan.condition is not None else []
    elif isinstance(plan, Project) and _is_region(plan) and all(is_pure(one) for _, one in plan.columns):
        _collect(plan.input, region)
        for id, one in plan.columns:
            if not (type(one) is Reference and one.id == id):
                region.computed[id] = substituted(one, region.computed) if region.computed else one
    else:
        region.leaves.append(plan)


def _is_region(plan: Plan) -> bool:
    while isinstance(plan, Filter | Project):
        plan = plan.input
    return isinstance(plan, Join) and plan.kind in {"inner", "cross"}


# ---- rules for regions -------------------------------------------------------------------------------------------


def derive_equalities(region: Region, work: Work) -> None:
    """What equalities imply: columns in classes, and what is said of one column with constants said of its equals.

    a.x = b.x AND b.x = c.x AND a.x = 5  ->  ... AND a.x = c.x AND b.x = 5 AND c.x = 5
    """
    del work
    home = {id: number for number, leaf in enumerate(region.leaves) for id in ids_of(leaf)}
    classes: dict[str, list[Reference]] = {}
    rest: Terms = []
    for term in region.terms:
        pair = _columns(term)
        if pair is None or pair[0].id not in home or pair[1].id not in home:
            rest.append(term)
            continue
        one, other = [classes.setdefault(side.id, [side]) for side in pair]
        if one is not other:
            one += other
            for member in other:
                classes[member.id] = one
        else:
            rest.append(term)  # said twice, or x = x, which drops the NULLs
    if not classes:
        return
    said = {(term.arguments[0].id, term.function) for term in rest if _about_constant(term)}  # type: ignore[attr-defined] # see there
    for term in list(rest):
        if _about_constant(term):
            for member in classes.get(term.arguments[0].id, ()):  # type: ignore[attr-defined] # see there
                if member.id != term.arguments[0].id and (member.id, term.function) not in said:  # type: ignore[attr-defined] # see there
                    rest.append(substituted(term, {term.arguments[0].id: member}))  # type: ignore[attr-defined] # see there
        elif isinstance(term, Among) and type(term.argument) is Reference:
            for member in classes.get(term.argument.id, ()):
                if member.id != term.argument.id:
                    rest.append(substituted(term, {term.argument.id: member}))
    region.classes = list({id(members): members for members in classes.values()}.values())
    for members in region.classes:  # two of one leaf: no join will compare them
        first: dict[int, Reference] = {}
        for member in members:
            twin = first.setdefault(home[member.id], member)
            if twin is not member:
                rest.append(call("=", twin, member))
    region.terms = rest


def _columns(term: Expression) -> tuple[Reference, Reference] | None:
    """Two different columns of one type that a term says are equal."""
    if isinstance(term, Call) and term.function == "=":
        left, right = term.arguments
        if type(left) is Reference and type(right) is Reference and left.id != right.id and left.type == right.type:
            return left, right
    return None


def _about_constant(term: Expression) -> bool:
    """The form: column op constant."""
    return (
        isinstance(term, Call)
        and term.function in COMPARISONS
        and type(term.arguments[0]) is Reference
        and isinstance(term.arguments[1], Constant | Bound)
    )


def imply_or(region: Region, work: Work) -> None:
    """An OR over several leaves says of each leaf what its branches say of it, if all do (TPC-H's query 7).

    (a.x = 1 AND b.y = 2) OR (a.x = 3 AND b.y = 4)  ->  ... AND a.x IN (1, 3) AND b.y IN (2, 4)
    """
    leaves = [ids_of(leaf) for leaf in region.leaves]
    implied: Terms = []
    for term in region.terms:
        if not (isinstance(term, Call) and term.function == "or"):
            continue
        about = work.mentions(term)
        if any(about <= ids for ids in leaves):
            continue
        branches = [conjuncts(branch) for branch in disjuncts(term)]
        for ids in leaves:
            if about.isdisjoint(ids):
                continue
            mine = [
                [part for part in branch if work.mentions(part) and work.mentions(part) <= ids] for branch in branches
            ]
            if all(mine):
                implied.append(simplified(disjunction([conjunction(parts) for parts in mine]), work))
    region.terms += implied
