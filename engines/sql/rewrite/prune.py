"""Only what somebody asks for: columns, aggregates, window functions, sorts.

`pruned(plan, needed)` goes from the top down with the ids that are wanted above. A scan then reads, and a group by
carries, what is used and no more. A step that would be left without columns keeps its cheapest one, since its rows
still count. Sorting below something that does not keep an order (a join, a group by) is dropped as well.
"""

from typing import Final

from engines.sql.logical import (
    Aggregate,
    Apply,
    Expression,
    Filter,
    Join,
    Limit,
    Plan,
    Project,
    Recursive,
    Reference,
    Scan,
    SetOperation,
    Shared,
    Sort,
    SortKey,
    TopN,
    Unnest,
    Values,
    Window,
    Working,
    walk,
)
from engines.sql.rewrite.trees import expressions, is_pure, rebuilt, substituted
from engines.sql.rewrite.work import Work
from engines.sql.source import Field

Needed = frozenset[str]
CHEAP: Final = ("boolean", "smallint", "integer", "date", "bigint", "decimal", "timestamp", "double", "real")


def prune_columns(plan: Plan, work: Work) -> Plan:
    """Columns that nobody uses are not read; aggregates that nobody uses are not computed.

    Project(a, Scan t (a, b, c))  ->  Project(a, Scan t (a))
    """
    return pruned(plan, work.needed, work, ordered=True)


def pruned(plan: Plan, needed: Needed, work: Work, *, ordered: bool = False) -> Plan:
    """The plan with the columns needed and few others. ordered: whether the order of its rows is seen above."""
    match plan:
        case Scan():
            columns = tuple([column for column in plan.columns if column[0] in needed])
            if len(columns) == len(plan.columns):
                return plan
            return Scan(plan.table, columns or _cheapest(plan.columns), plan.predicates, plan.alias)
        case Filter():
            below = pruned(plan.input, needed | work.mentions(plan.condition), work, ordered=ordered)
            return plan if below is plan.input else Filter(below, plan.condition)
        case Project():
            named = plan.columns
            kept = tuple([column for column in named if column[0] in needed]) or named[:1]
            below = pruned(plan.input, _used([one for _, one in kept], work), work, ordered=ordered)
            same = below is plan.input and len(kept) == len(named)
            return plan if same else Project(below, kept)
        case Join():
            used = needed | _used(expressions(plan), work)
            left, right = pruned(plan.left, used, work), pruned(plan.right, used, work)
            if left is plan.left and right is plan.right:
                return plan
            return Join(left, right, plan.kind, plan.keys, plan.condition, plan.build)
        case Aggregate():
            return _aggregate(plan, needed, work)
        case Window():
            calls = tuple([one for one in plan.calls if one[0] in needed])
            if not calls:
                return pruned(plan.input, needed, work, ordered=ordered)
            plan = plan if len(calls) == len(plan.calls) else Window(plan.input, calls)
            below = pruned(plan.input, needed | _used(expressions(plan), work), work)
            return plan if below is plan.input else Window(below, calls)
        case Sort():
            if not ordered:
                return pruned(plan.input, needed, work)
            below = pruned(plan.input, needed | _used_by_keys(plan.keys, work), work)
            return plan if below is plan.input else Sort(below, plan.keys)
        case TopN():
            below = pruned(plan.input, needed | _used_by_keys(plan.keys, work), work)
            return plan if below is plan.input else TopN(below, plan.keys, plan.limit, plan.offset)
        case Limit():
            below = pruned(plan.input, needed, work, ordered=True)
            return plan if below is plan.input else Limit(below, plan.limit, plan.offset)
        case SetOperation():
            return _set(plan, needed, work)
        case Values():
            return _values(plan, needed)
        case Unnest():
            below = pruned(plan.input, needed | _used(expressions(plan), work), work)
            return plan if below is plan.input else Unnest(below, plan.arrays, plan.ordinality, plan.outer)
        case Apply():
            below = pruned(plan.input, needed | frozenset(plan.outer), work)
            inner = pruned(plan.plan, needed | frozenset(plan.outer), work)
            if below is plan.input and inner is plan.plan:
                return plan
            return Apply(below, inner, plan.outer, plan.kind, plan.mark)
        case Shared():
            asked = tuple([column for column in plan.columns if column[0] in needed]) or plan.columns[:1]
            return plan if len(asked) == len(plan.columns) else Shared(plan.name, plan.plan, asked)
        case Recursive():
            base = pruned(plan.base, frozenset([column[1] for column in plan.columns]), work)
            step = pruned(plan.step, frozenset([column[2] for column in plan.columns]), work)
            return Recursive(plan.name, base, step, plan.columns, plan.distinct)
        case Working():
            return plan
    return plan


def _used(held: list[Expression], work: Work) -> Needed:
    found: set[str] = set()
    for one in held:
        found |= work.mentions(one)
    return frozenset(found)


def _used_by_keys(keys: tuple[SortKey, ...], work: Work) -> Needed:
    return _used([key.expression for key in keys], work)


def _cheapest(columns: tuple[tuple[str, Field], ...]) -> tuple[tuple[str, Field], ...]:
    """One column, so that there are rows."""
    order = {kind: number for number, kind in enumerate(CHEAP)}
    return tuple(sorted(columns, key=lambda column: order.get(column[1].type.kind, len(CHEAP)))[:1])


def _aggregate(plan: Aggregate, needed: Needed, work: Work) -> Plan:
    calls = tuple([one for one in plan.calls if one[0] in needed])
    if not plan.keys and plan.sets is None and not calls:
        if plan.calls:
            return Values((), ((),))  # one row, whatever is below
        calls = plan.calls
    if len(calls) != len(plan.calls):
        plan = Aggregate(plan.input, plan.keys, calls, plan.sets, plan.grouping)
    below = pruned(plan.input, _used(expressions(plan), work), work)
    return plan if below is plan.input else Aggregate(below, plan.keys, plan.calls, plan.sets, plan.grouping)


def _set(plan: SetOperation, needed: Needed, work: Work) -> Plan:
    """Of UNION ALL columns may go; the others compare whole rows."""
    columns = plan.columns
    if plan.kind == "union" and plan.all:
        columns = tuple([column for column in columns if column[0] in needed]) or columns[:1]
    left = pruned(plan.left, frozenset([column[1] for column in columns]), work)
    right = pruned(plan.right, frozenset([column[2] for column in columns]), work)
    if left is plan.left and right is plan.right and len(columns) == len(plan.columns):
        return plan
    return SetOperation(plan.kind, plan.all, left, right, columns)


def _values(plan: Values, needed: Needed) -> Plan:
    kept = [number for number, (id, _) in enumerate(plan.columns) if id in needed]
    if len(kept) == len(plan.columns):
        return plan
    kept = kept or [0]
    rows = tuple([tuple([row[number] for number in kept]) for row in plan.rows])
    return Values(tuple([plan.columns[number] for number in kept]), rows)


# ---- projections -------------------------------------------------------------------------------------------------


def merge_projects(plan: Plan, work: Work) -> Plan:
    """Two projections in a row are one; one that only passes columns on is none.

    Project(d: c + 1, Project(c: a * 2, Scan t))  ->  Project(d: a * 2 + 1, Scan t)

    Unless that would compute something twice.
    """
    plan = rebuilt(plan, lambda below: merge_projects(below, work))
    if not isinstance(plan, Project):
        return plan
    below = plan.input
    if isinstance(below, Project):
        values = dict(below.columns)
        uses: dict[str, int] = {}
        for _, one in plan.columns:
            _count(one, uses)
        once = [type(one) is Reference or (uses.get(id, 0) <= 1 and is_pure(one)) for id, one in below.columns]
        if all(once):
            plan = Project(below.input, tuple([(id, substituted(one, values)) for id, one in plan.columns]))
    if all(type(one) is Reference and one.id == id for id, one in plan.columns):
        return plan.input
    return plan


def _count(expression: Expression, uses: dict[str, int]) -> None:
    for one in walk(expression):
        if isinstance(one, Reference):
            uses[one.id] = uses.get(one.id, 0) + 1
