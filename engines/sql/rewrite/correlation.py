"""What ties a subquery to the query around it, taken out of the subquery.

    SELECT min(cost) FROM offers WHERE offers.part = part.id AND region = 'EUROPE'
    ──>  the plan     SELECT min(cost), part FROM offers WHERE region = 'EUROPE' GROUP BY part
         the terms    offers.part = part.id

The plan then depends on nothing outside and can be joined with the outer query by the terms, once for all rows
instead of once for each. This is the classic way (Kim 1982, with the corrections of Ganski and Wong 1987 for counts of
nothing), as far as it goes:

    filter                        the term goes up
    projection                    the columns that the term needs come along
    inner join                    terms of both sides and of the join itself go up
    left, semi, anti join         terms of the left side go up
    aggregate, window, limit      equalities go up; the inner side becomes a key of the groups (partitions)

Everything else (a term under a UNION, an inequality under an aggregate, an outer column in the SELECT list) is given
up: `pulled` says None and the caller makes an Apply of it. Neumann and Kemper (2015) show how to unnest all of them; an
Apply that remembers its results is simpler and as fast for the few outer values that such queries have.

Invariants: the plan in what `pulled` gives has no free ids but those that it cannot have been asked for; joined with
the outer rows by the terms it gives the rows that the subquery gives, except for outer rows that meet none: for these
`empty` says what an aggregate without groups has of nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engines.sql.logical import (
    Aggregate,
    AggregateCall,
    Apply,
    Call,
    Constant,
    Expression,
    Filter,
    Join,
    Limit,
    Plan,
    Project,
    Reference,
    Sort,
    SortKey,
    TopN,
    Unnest,
    Values,
    Window,
    WindowCall,
    walk,
)
from engines.sql.rewrite.conditions import simplified
from engines.sql.rewrite.trees import (
    call,
    conjunction,
    conjuncts,
    expressions,
    filtered,
    free,
    ids_of,
    is_never,
    over,
    substituted,
)
from engines.sql.rewrite.work import Work
from engines.sql.types import BIGINT, Type

COUNTS: Final = frozenset({"count", "approximate count", "regr_count"})
WITHOUT_REPEATS: Final = frozenset({"min", "max", "bool_and", "bool_or", "any_value"})  # duplicates change nothing


@dataclass(slots=True)
class Pulled:
    """A plan that is tied to nothing, and the terms that tied it."""

    plan: Plan
    terms: list[Expression]
    empty: Mapping[str, Expression] | None = None  # column -> value for outer rows that meet no row; None: no row


def one_row(plan: Plan) -> bool:
    """Whether the plan surely gives exactly one row."""
    match plan:
        case Aggregate():
            return not plan.keys and plan.sets is None
        case Project() | Sort() | Window():
            return one_row(plan.input)
        case Values():
            return len(plan.rows) == 1
        case Join(kind="cross"):
            return one_row(plan.left) and one_row(plan.right)
        case Join(kind="single" | "left"):
            return plan.kind == "single" and one_row(plan.left)
    return False


def never_null(expression: Expression, plan: Plan) -> bool:
    """Whether an expression over the plan's columns surely has a value in every row."""
    if isinstance(expression, Constant):
        return expression.value is not None
    return isinstance(expression, Reference) and _never_null(expression.id, plan)


def _never_null(id: str, plan: Plan) -> bool:
    match plan:
        case Project() | Aggregate():
            named = plan.columns if isinstance(plan, Project) else plan.keys
            found = dict(named).get(id)
            if found is not None:
                return never_null(found, plan.input) and not getattr(plan, "sets", None)
            return isinstance(plan, Aggregate) and any(id == one and c.function in COUNTS for one, c in plan.calls)
        case Filter() | Sort() | TopN() | Limit() | Window() | Unnest() | Apply():
            return _never_null(id, plan.input) and not (isinstance(plan, Apply) and plan.kind in {"right", "full"})
        case Join():
            if id in ids_of(plan.left):
                return plan.kind not in {"right", "full"} and _never_null(id, plan.left)
            return plan.kind in {"inner", "cross", "right"} and _never_null(id, plan.right)
    columns = getattr(plan, "columns", ())
    return any(one[0] == id and not getattr(one[1], "nullable", True) for one in columns)


def sides(term: Expression, outside: frozenset[str], work: Work) -> tuple[Expression, Expression] | None:
    """An equality as (expression over ids outside, expression over others); None if it is none."""
    if not (isinstance(term, Call) and term.function == "="):
        return None
    left, right = term.arguments
    of_left, of_right = work.mentions(left), work.mentions(right)
    if of_left and of_left <= outside and not of_right & outside:
        return left, right
    if of_right and of_right <= outside and not of_left & outside:
        return right, left
    return None


def pulled(plan: Plan, work: Work, *, distinct: bool) -> Pulled | None:
    """The plan without what ties it. distinct: the caller does not care how often a row comes."""
    return _pull(plan, free(plan), work, distinct=distinct)


def _pull(plan: Plan, outside: frozenset[str], work: Work, *, distinct: bool) -> Pulled | None:
    if not free(plan) & outside:
        return Pulled(plan, [])
    match plan:
        case Filter():
            return _filter(plan, outside, work, distinct=distinct)
        case Project():
            return _project(plan, outside, work, distinct=distinct)
        case Join():
            return _join(plan, outside, work, distinct=distinct)
        case Aggregate():
            return _aggregate(plan, outside, work)
        case Window():
            return _window(plan, outside, work)
        case Limit():
            return _limit(plan, outside, work)
        case Sort():
            below = _pull(plan.input, outside, work, distinct=distinct)
            if below is None or _tied(plan, outside, work):
                return None
            return Pulled(below.plan, below.terms, below.empty)  # the order means nothing without a limit
        case Unnest() | Apply():
            below = _pull(plan.input, outside, work, distinct=False)
            inner = isinstance(plan, Apply) and free(plan.plan) & outside
            if below is None or below.empty is not None or inner or _tied(plan, outside, work):
                return None
            new = (
                Apply(below.plan, plan.plan, plan.outer, plan.kind, plan.mark)
                if isinstance(plan, Apply)
                else over(plan, below.plan)
            )
            return Pulled(new, below.terms)
    return None


def _tied(plan: Plan, outside: frozenset[str], work: Work) -> bool:
    return any(not outside.isdisjoint(work.mentions(one)) for one in expressions(plan))


def _filter(plan: Filter, outside: frozenset[str], work: Work, *, distinct: bool) -> Pulled | None:
    below = _pull(plan.input, outside, work, distinct=distinct)
    if below is None:
        return None
    stay: list[Expression] = []
    go: list[Expression] = []
    for term in conjuncts(plan.condition):
        (stay if outside.isdisjoint(work.mentions(term)) else go).append(term)
    if below.empty is None:
        return Pulled(filtered(below.plan, stay), below.terms + go)
    passed = simplified(substituted(conjunction(stay), below.empty), work)
    if go or not is_never(passed):
        return None  # HAVING that nothing may pass: the group of nothing would have to be made up
    nothing: dict[str, Expression] = {id: Constant(None, type=one.type) for id, one in below.empty.items()}
    return Pulled(filtered(below.plan, stay), below.terms, nothing)


def _project(plan: Project, outside: frozenset[str], work: Work, *, distinct: bool) -> Pulled | None:
    below = _pull(plan.input, outside, work, distinct=distinct)
    if below is None or _tied(plan, outside, work):
        return None
    columns = list(plan.columns)
    there = {id for id, _ in columns}
    types = _types(below.terms)
    for term in below.terms:
        for id in sorted(work.mentions(term) - outside - there):
            there.add(id)
            columns.append((id, Reference(id, type=types[id])))
    empty = None
    if below.empty is not None:
        empty = {id: substituted(one, below.empty) for id, one in plan.columns}
    return Pulled(Project(below.plan, tuple(columns)), below.terms, empty)


def _types(terms: Sequence[Expression]) -> dict[str, Type]:
    return {one.id: one.type for term in terms for one in walk(term) if isinstance(one, Reference)}


def _join(plan: Join, outside: frozenset[str], work: Work, *, distinct: bool) -> Pulled | None:
    both = plan.kind in {"inner", "cross"} or (plan.kind == "semi" and distinct)
    left = _pull(plan.left, outside, work, distinct=distinct)
    right = _pull(plan.right, outside, work, distinct=distinct) if both else Pulled(plan.right, [])
    if left is None or right is None or left.empty is not None or right.empty is not None:
        return None
    if not both:
        if free(plan.right) & outside or _tied(plan, outside, work) or plan.kind in {"right", "full"}:
            return None
        return Pulled(Join(left.plan, right.plan, plan.kind, plan.keys, plan.condition, plan.build), left.terms)
    keys: list[tuple[Expression, Expression]] = []
    go, stay = left.terms + right.terms, list[Expression]()
    for one, other in plan.keys:
        if outside.isdisjoint(work.mentions(one) | work.mentions(other)):
            keys.append((one, other))
        else:
            go.append(call("=", one, other))
    for term in conjuncts(plan.condition) if plan.condition is not None else []:
        (stay if outside.isdisjoint(work.mentions(term)) else go).append(term)
    kind = "inner" if keys or stay else "cross"
    if plan.kind == "semi" and len(go) == len(left.terms):
        kind = "semi"  # nothing of its right side is asked for above
    return Pulled(
        Join(left.plan, right.plan, kind, tuple(keys), conjunction(stay) if stay else None),  # type: ignore[arg-type] # a kind
        go,
    )


def _grouped(
    terms: Sequence[Expression], outside: frozenset[str], work: Work
) -> list[tuple[Expression, Expression]] | None:
    """The terms as equalities (outside, inside); None if one is not."""
    pairs = []
    for term in terms:
        pair = sides(term, outside, work)
        if pair is None:
            return None
        pairs.append(pair)
    return pairs


def _aggregate(plan: Aggregate, outside: frozenset[str], work: Work) -> Pulled | None:
    if plan.sets is not None or _tied(plan, outside, work):
        return None
    careless = all(one.distinct or one.function in WITHOUT_REPEATS for _, one in plan.calls)
    below = _pull(plan.input, outside, work, distinct=careless)
    pairs = None if below is None or below.empty is not None else _grouped(below.terms, outside, work)
    if below is None or pairs is None:
        return None
    keys, terms = list(plan.keys), list[Expression]()
    for outer, inner in pairs:
        known = next((Reference(id, type=one.type) for id, one in keys if one == inner), None)
        if known is None:
            known = work.fresh("key", inner.type)
            keys.append((known.id, inner))
        terms.append(call("=", outer, known))
    empty = None
    if not plan.keys:
        empty = {id: of_nothing(one) for id, one in plan.calls}
    return Pulled(Aggregate(below.plan, tuple(keys), plan.calls), terms, empty)


def of_nothing(one: AggregateCall) -> Constant:
    """What an aggregate gives for no rows at all."""
    return Constant(0 if one.function in COUNTS else None, type=one.type)


def _window(plan: Window, outside: frozenset[str], work: Work) -> Pulled | None:
    below = _pull(plan.input, outside, work, distinct=False)
    pairs = None if below is None or below.empty is not None else _grouped(below.terms, outside, work)
    if below is None or pairs is None or _tied(plan, outside, work):
        return None
    more = tuple([inner for _, inner in pairs])
    calls = tuple([(id, _partitioned(one, more)) for id, one in plan.calls])
    return Pulled(Window(below.plan, calls), below.terms)


def _partitioned(one: WindowCall, more: tuple[Expression, ...]) -> WindowCall:
    return WindowCall(
        one.function, one.arguments, one.type, one.partition + more, one.order, one.frame, one.ignore_nulls, one.where,
        one.distinct, one.position,
    )  # fmt: skip


def _limit(plan: Limit, outside: frozenset[str], work: Work) -> Pulled | None:
    """ORDER BY x LIMIT n for each outer row: the first n of each partition, by number."""
    if not isinstance(plan.limit, Constant) or plan.offset is not None or plan.limit.value is None:
        return None
    keys, wrapped, source = _ordered(plan.input)
    if any(not outside.isdisjoint(work.mentions(key.expression)) for key in keys):
        return None
    below = _pull(source, outside, work, distinct=False)
    pairs = None if below is None or below.empty is not None else _grouped(below.terms, outside, work)
    if below is None or pairs is None:
        return None
    number = work.fresh("number", BIGINT)
    ranked = WindowCall("row_number", (), BIGINT, tuple([inner for _, inner in pairs]), keys, None)
    first: Plan = Filter(Window(below.plan, ((number.id, ranked),)), call("<=", number, plan.limit))
    if wrapped is None:
        return Pulled(first, below.terms)
    return _project(Project(Filter(first, conjunction(below.terms)), wrapped.columns), outside, work, distinct=False)


def _ordered(plan: Plan) -> tuple[tuple[SortKey, ...], Project | None, Plan]:
    """The order of a plan under a limit, the projection over it, and what is ordered."""
    if isinstance(plan, Sort):
        return plan.keys, None, plan.input
    if isinstance(plan, Project) and isinstance(plan.input, Sort):
        return plan.input.keys, plan, plan.input.input
    return (), None, plan
