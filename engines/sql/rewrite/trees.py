"""Taking plans and expressions apart and putting them together again, as the rules need it.

Plans are frozen: a rule that changes something below makes new nodes up to the root, and gives back the very node
it got where nothing changed, so that the next rule sees by `is` what is new. Nodes are made by their constructors (a
`dataclasses.replace` costs several times as much), and trees are never hashed or compared whole.

    rebuilt(plan, change)       the step over other inputs
    altered(plan, change)       the step with other expressions
    mapped(expression, change)  the expression over other parts
    renamed(plan, ids)          a copy whose columns have other ids, so that both may stand in one statement
    free(plan)                  the ids that it mentions and does not produce: what it is correlated by

What a Shared stands for is rewritten once, apart from its uses: here it is a leaf.

Invariants: `rebuilt`, `altered` and `mapped` with a change that changes nothing give the same object.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from engines.sql.logical import (
    Aggregate,
    AggregateCall,
    Among,
    Apply,
    Bound,
    Call,
    Case,
    Cast,
    Constant,
    Expression,
    Filter,
    Join,
    Lambda,
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
    Subquery,
    TopN,
    Unnest,
    Values,
    Window,
    WindowCall,
    Working,
    inputs,
    parts,
)
from engines.sql.types import BOOLEAN

Change = Callable[[Expression], Expression]
TRUE: Final = Constant(True, type=BOOLEAN)  # noqa: FBT003 - a constant of SQL
FALSE: Final = Constant(False, type=BOOLEAN)  # noqa: FBT003 - a constant of SQL
UNKNOWN: Final = Constant(None, type=BOOLEAN)
ONE_SIDED: Final = frozenset({"semi", "anti", "null-aware anti"})  # joins that give the left side's columns alone

# ---- boolean expressions -----------------------------------------------------------------------------------------


def call(function: str, *arguments: Expression) -> Call:
    """A predicate."""
    return Call(function, arguments, type=BOOLEAN, position=arguments[0].position)


def conjuncts(condition: Expression) -> list[Expression]:
    """What has to be true for the condition to be: the parts of an AND, of any nesting."""
    if type(condition) is Call and condition.function == "and":
        return [part for argument in condition.arguments for part in conjuncts(argument)]
    return [] if is_true(condition) else [condition]


def disjuncts(condition: Expression) -> list[Expression]:
    """The terms of an OR, flat; a condition that is none is its only term."""
    if type(condition) is Call and condition.function == "or":
        return [part for argument in condition.arguments for part in disjuncts(argument)]
    return [condition]


def conjunction(terms: Sequence[Expression]) -> Expression:
    """All of them; of none TRUE."""
    if len(terms) == 1:
        return terms[0]
    return Call("and", tuple(terms), type=BOOLEAN, position=terms[0].position) if terms else TRUE


def disjunction(terms: Sequence[Expression]) -> Expression:
    """The OR of terms: FALSE of none, the term itself of one."""
    if len(terms) == 1:
        return terms[0]
    return Call("or", tuple(terms), type=BOOLEAN, position=terms[0].position) if terms else FALSE


def negation(condition: Expression) -> Expression:
    """NOT condition."""
    return Call("not", (condition,), type=BOOLEAN, position=condition.position)


def filtered(plan: Plan, terms: Sequence[Expression]) -> Plan:
    """The plan's rows for which all terms are true."""
    return Filter(plan, conjunction(terms)) if terms else plan


def is_true(expression: Expression) -> bool:
    """Whether it is the constant TRUE."""
    return type(expression) is Constant and expression.type.kind == "boolean" and expression.value in (True, 1)


def is_never(expression: Expression) -> bool:
    """FALSE or NULL: what a filter lets nothing through for."""
    return type(expression) is Constant and (expression.value is None or expression.value in (False, 0))


# ---- expressions -------------------------------------------------------------------------------------------------


def mapped(expression: Expression, change: Change) -> Expression:
    """The expression with `change` made to what is directly below it. A Subquery's plan is left as it is."""
    kind = type(expression)
    if kind is Reference or kind is Constant:
        return expression
    if kind is Call:
        assert isinstance(expression, Call)  # noqa: S101 - for the type checker
        arguments = expression.arguments
        new = tuple([change(argument) for argument in arguments])
        if all(map(_same, arguments, new)):
            return expression
        return Call(expression.function, new, type=expression.type, position=expression.position)
    match expression:
        case Cast():
            argument = change(expression.argument)
            if argument is expression.argument:
                return expression
            return Cast(argument, expression.lenient, type=expression.type, position=expression.position)
        case Case():
            branches = tuple([(change(condition), change(value)) for condition, value in expression.branches])
            otherwise = change(expression.otherwise)
            old = expression.branches
            if otherwise is expression.otherwise and all(
                a[0] is b[0] and a[1] is b[1] for a, b in zip(branches, old, strict=True)
            ):
                return expression
            return Case(branches, otherwise, type=expression.type, position=expression.position)
        case Among():
            argument = change(expression.argument)
            if argument is expression.argument:
                return expression
            return Among(argument, expression.items, type=expression.type, position=expression.position)
        case Lambda():
            body = change(expression.body)
            if body is expression.body:
                return expression
            return Lambda(expression.names, body, type=expression.type, position=expression.position)
        case Subquery():
            left = tuple([change(one) for one in expression.left])
            if all(map(_same, left, expression.left)):
                return expression
            return in_subquery(expression, expression.plan, left)
    return expression


def _same(one: object, other: object) -> bool:
    return one is other


def in_subquery(old: Subquery, plan: Plan, left: tuple[Expression, ...]) -> Subquery:
    """The subquery, with another plan and left side."""
    return Subquery(old.kind, plan, old.columns, left, old.op, type=old.type, position=old.position)


def substituted(expression: Expression, values: Mapping[str, Expression]) -> Expression:
    """The expression with other expressions in the place of columns, in the plans of subqueries too."""

    def change(one: Expression) -> Expression:
        if type(one) is Reference:
            return values.get(one.id, one)
        if type(one) is Subquery:
            return in_subquery(one, with_values(one.plan, values), tuple([change(left) for left in one.left]))
        return mapped(one, change)

    return change(expression)


def with_values(plan: Plan, values: Mapping[str, Expression]) -> Plan:
    """A plan that is correlated by these columns, by other expressions instead."""
    return altered(rebuilt(plan, lambda below: with_values(below, values)), lambda one: substituted(one, values))


def mentioned(expression: Expression) -> frozenset[str]:
    """The ids that an expression depends on; of a subquery those that it is correlated by."""
    found: set[str] = set()
    _mention(expression, found)
    return frozenset(found)


def _mention(expression: Expression, found: set[str]) -> None:
    kind = type(expression)
    if kind is Reference:
        found.add(expression.id)  # type: ignore[attr-defined] # a Reference
    elif kind is Call:
        for argument in expression.arguments:  # type: ignore[attr-defined] # a Call
            _mention(argument, found)
    elif kind is Constant:
        return
    elif isinstance(expression, Cast | Among):
        _mention(expression.argument, found)
    elif isinstance(expression, Case):
        for condition, value in expression.branches:
            _mention(condition, found)
            _mention(value, found)
        _mention(expression.otherwise, found)
    elif isinstance(expression, Lambda):
        found |= mentioned(expression.body) - set(expression.names)
    elif isinstance(expression, Subquery):
        for left in expression.left:
            _mention(left, found)
        found |= free(expression.plan)


IMPURE: Final = frozenset({"random", "rand", "uuid", "gen_random_uuid"})


def is_pure(expression: Expression) -> bool:
    """Whether it has the same value however often, and for whichever rows, it is computed."""
    kind = type(expression)
    if kind is Reference or kind is Constant:
        return True
    if kind is Call and expression.function in IMPURE:  # type: ignore[attr-defined] # a Call
        return False
    if kind is Subquery:
        return False
    return all(is_pure(part) for part in parts(expression))


def is_run_constant(expression: Expression) -> bool:
    """Whether a run can compute it once, of constants, parameters and now().

    A CASE is none: a branch of it that is never reached may have no value.
    """
    kind = type(expression)
    if kind is Constant or kind is Bound:
        return True
    if kind is Call:
        return (
            expression.function not in IMPURE  # type: ignore[attr-defined] # a Call
            and all(map(is_run_constant, expression.arguments))  # type: ignore[attr-defined] # a Call
        )
    return kind is Cast and is_run_constant(expression.argument)  # type: ignore[attr-defined] # a Cast


def subqueries(expression: Expression) -> list[Subquery]:
    """The subqueries in an expression, outer ones before those in their left sides."""
    kind = type(expression)
    if kind is Reference or kind is Constant:
        return []
    if kind is Call:
        found = []
        for argument in expression.arguments:  # type: ignore[attr-defined] # a Call
            found += subqueries(argument)
        return found
    found = [expression] if isinstance(expression, Subquery) else []
    mapped(expression, lambda part: found.extend(subqueries(part)) or part)  # type: ignore[func-returns-value] # a walk
    return found


# ---- plans -------------------------------------------------------------------------------------------------------


def rebuilt(plan: Plan, change: Callable[[Plan], Plan]) -> Plan:
    """The step over what `change` makes of its inputs; a Shared has none here."""
    kind = type(plan)
    if kind is Scan or kind is Values or kind is Working or kind is Shared:
        return plan
    match plan:
        case Join():
            left, right = change(plan.left), change(plan.right)
            if left is plan.left and right is plan.right:
                return plan
            return Join(left, right, plan.kind, plan.keys, plan.condition, plan.build)
        case SetOperation():
            left, right = change(plan.left), change(plan.right)
            if left is plan.left and right is plan.right:
                return plan
            return SetOperation(plan.kind, plan.all, left, right, plan.columns)
        case Apply():
            below, inner = change(plan.input), change(plan.plan)
            if below is plan.input and inner is plan.plan:
                return plan
            return Apply(below, inner, plan.outer, plan.kind, plan.mark)
        case Recursive():
            base, step = change(plan.base), change(plan.step)
            if base is plan.base and step is plan.step:
                return plan
            return Recursive(plan.name, base, step, plan.columns, plan.distinct)
    below = change(plan.input)  # type: ignore[attr-defined] # the kinds that are left have one input
    return plan if below is plan.input else over(plan, below)  # type: ignore[attr-defined] # see above


def over(plan: Plan, below: Plan) -> Plan:
    """A step with one input over another one."""
    match plan:
        case Filter():
            return Filter(below, plan.condition)
        case Project():
            return Project(below, plan.columns)
        case Aggregate():
            return Aggregate(below, plan.keys, plan.calls, plan.sets, plan.grouping)
        case Window():
            return Window(below, plan.calls)
        case Sort():
            return Sort(below, plan.keys)
        case TopN():
            return TopN(below, plan.keys, plan.limit, plan.offset)
        case Limit():
            return Limit(below, plan.limit, plan.offset)
        case Unnest():
            return Unnest(below, plan.arrays, plan.ordinality, plan.outer)
    raise TypeError(f"{type(plan).__name__} has not one input")


def changed_keys(keys: tuple[SortKey, ...], change: Change) -> tuple[SortKey, ...]:
    """The sort keys with changed expressions."""
    return tuple([SortKey(change(key.expression), key.descending, key.nulls_first) for key in keys])


def changed_call(one: AggregateCall, change: Change) -> AggregateCall:
    """The aggregate with changed arguments, condition and order; itself if nothing changed."""
    arguments = tuple([change(argument) for argument in one.arguments])
    where = None if one.where is None else change(one.where)
    if where is one.where and not one.order and all(map(_same, arguments, one.arguments)):
        return one
    order = changed_keys(one.order, change)
    return AggregateCall(one.function, arguments, one.type, one.distinct, where, order, one.position)


def changed_window(one: WindowCall, change: Change) -> WindowCall:
    """The window function with changed arguments, partition and order."""
    return WindowCall(
        one.function,
        tuple([change(argument) for argument in one.arguments]),
        one.type,
        tuple([change(key) for key in one.partition]),
        changed_keys(one.order, change),
        one.frame,
        one.ignore_nulls,
        None if one.where is None else change(one.where),
        one.distinct,
        one.position,
    )


def _changed_columns(columns: tuple[tuple[str, Expression], ...], change: Change) -> tuple[tuple[str, Expression], ...]:
    new = tuple([(id, change(expression)) for id, expression in columns])
    return columns if all(a[1] is b[1] for a, b in zip(columns, new, strict=True)) else new


def altered(plan: Plan, change: Change) -> Plan:
    """The step with `change` made to each expression that it holds itself."""
    kind = type(plan)
    if kind is Scan or kind is Limit:
        return plan
    match plan:
        case Filter():
            condition = change(plan.condition)
            return plan if condition is plan.condition else Filter(plan.input, condition)
        case Project():
            columns = _changed_columns(plan.columns, change)
            return plan if columns is plan.columns else Project(plan.input, columns)
        case Join():
            pairs = tuple([(change(left), change(right)) for left, right in plan.keys])
            more = None if plan.condition is None else change(plan.condition)
            if more is plan.condition and all(
                a[0] is b[0] and a[1] is b[1] for a, b in zip(pairs, plan.keys, strict=True)
            ):
                return plan
            return Join(plan.left, plan.right, plan.kind, pairs, more, plan.build)
        case Aggregate():
            keys = _changed_columns(plan.keys, change)
            calls = tuple([(id, changed_call(one, change)) for id, one in plan.calls])
            if keys is plan.keys and all(a[1] is b[1] for a, b in zip(calls, plan.calls, strict=True)):
                return plan
            return Aggregate(plan.input, keys, calls, plan.sets, plan.grouping)
        case Window():
            return Window(plan.input, tuple([(id, changed_window(one, change)) for id, one in plan.calls]))
        case Sort():
            return Sort(plan.input, changed_keys(plan.keys, change))
        case TopN():
            return TopN(plan.input, changed_keys(plan.keys, change), plan.limit, plan.offset)
        case Unnest():
            return Unnest(plan.input, _changed_columns(plan.arrays, change), plan.ordinality, plan.outer)
        case Values():
            return Values(plan.columns, tuple([tuple([change(value) for value in row]) for row in plan.rows]))
    return plan


def expressions(plan: Plan) -> list[Expression]:
    """The expressions that a step holds itself."""
    match plan:
        case Filter():
            return [plan.condition]
        case Project():
            return [expression for _, expression in plan.columns]
        case Join():
            held = [side for pair in plan.keys for side in pair]
            return held if plan.condition is None else [*held, plan.condition]
        case Aggregate():
            return [expression for _, expression in plan.keys] + [
                expression for _, one in plan.calls for expression in _of_call(one)
            ]
        case Window():
            return [expression for _, one in plan.calls for expression in (*one.partition, *_of_call(one))]
        case Sort() | TopN():
            return [key.expression for key in plan.keys]
        case Unnest():
            return [expression for _, expression in plan.arrays]
        case Values():
            return [value for row in plan.rows for value in row]
    return []


def _of_call(one: AggregateCall | WindowCall) -> list[Expression]:
    held = [*one.arguments, *(key.expression for key in one.order)]
    return held if one.where is None else [*held, one.where]


def ids_of(plan: Plan) -> frozenset[str]:
    """The ids of what it produces: `output` without the types."""
    match plan:
        case Scan() | Project():
            return frozenset([id for id, _ in plan.columns])
        case Join():
            return ids_of(plan.left) if plan.kind in ONE_SIDED else ids_of(plan.left) | ids_of(plan.right)
        case Filter() | Sort() | TopN() | Limit():
            return ids_of(plan.input)
        case Aggregate():
            return frozenset(_produced(plan))
        case Window() | Unnest():
            return ids_of(plan.input) | frozenset(_produced(plan))
        case Apply():
            inner = frozenset() if plan.mark or plan.kind in ONE_SIDED else ids_of(plan.plan)
            return ids_of(plan.input) | inner | ({plan.mark} if plan.mark else frozenset())
        case Values() | Shared() | Working() | SetOperation() | Recursive():
            return frozenset([column[0] for column in plan.columns])
    raise TypeError(f"no plan: {plan!r}")


def _produced(plan: Plan) -> Iterable[str]:
    """The ids that are new in this step."""
    match plan:
        case Scan() | Project() | Values() | Shared() | Working() | SetOperation() | Recursive():
            return [column[0] for column in plan.columns]
        case Aggregate():
            named = [id for id, _ in plan.keys] + [id for id, _ in plan.calls]
            return [*named, plan.grouping] if plan.grouping else named
        case Window():
            return [id for id, _ in plan.calls]
        case Unnest():
            named = [id for id, _ in plan.arrays]
            return [*named, plan.ordinality] if plan.ordinality else named
        case Apply():
            return [plan.mark] if plan.mark else []
    return []


def free(plan: Plan) -> frozenset[str]:
    """The ids that the plan mentions and does not produce. Ids are unique, so where each stands does not matter."""
    wanted: set[str] = set()
    there: set[str] = set()
    waiting = [plan]
    while waiting:
        one = waiting.pop()
        there.update(_produced(one))
        for expression in expressions(one):
            _mention(expression, wanted)
        if type(one) is not Shared:  # it depends on nothing outside
            waiting += inputs(one)
    return frozenset(wanted - there)


def produced(plan: Plan) -> set[str]:
    """Every id that is made in the plan, at its top or inside; of a Shared only those at its top."""
    there: set[str] = set()
    waiting = [plan]
    while waiting:
        one = waiting.pop()
        there.update(_produced(one))
        if type(one) is not Shared:
            waiting += inputs(one)
        for expression in expressions(one):
            for inner in subqueries(expression):
                waiting.append(inner.plan)
    return there


def renamed(plan: Plan, ids: Mapping[str, str]) -> Plan:
    """A copy of the plan whose columns have other ids: old -> new, for every id that is made in it."""

    def change(one: Expression) -> Expression:
        if type(one) is Reference:
            return Reference(ids[one.id], type=one.type, position=one.position) if one.id in ids else one
        if type(one) is Lambda:
            return Lambda(one.names, change(one.body), type=one.type, position=one.position)
        if type(one) is Subquery:
            new = in_subquery(one, renamed(one.plan, ids), tuple([change(left) for left in one.left]))
            found = tuple([ids.get(id, id) for id in one.columns])
            return Subquery(new.kind, new.plan, found, new.left, new.op, type=new.type, position=new.position)
        return mapped(one, change)

    def new(id: str) -> str:
        return ids.get(id, id)

    if isinstance(plan, Shared):
        return Shared(plan.name, plan.plan, tuple([(new(here), there, type) for here, there, type in plan.columns]))
    if isinstance(plan, Working):
        return Working(plan.name, tuple([(new(here), new(there), type) for here, there, type in plan.columns]))
    plan = altered(rebuilt(plan, lambda below: renamed(below, ids)), change)
    match plan:
        case Scan():
            columns = tuple([(new(id), column) for id, column in plan.columns])
            return Scan(plan.table, columns, plan.predicates, plan.alias)
        case Project():
            return Project(plan.input, tuple([(new(id), one) for id, one in plan.columns]))
        case Aggregate():
            keys = tuple([(new(id), one) for id, one in plan.keys])
            calls = tuple([(new(id), one) for id, one in plan.calls])
            return Aggregate(plan.input, keys, calls, plan.sets, plan.grouping and new(plan.grouping))
        case Window():
            return Window(plan.input, tuple([(new(id), one) for id, one in plan.calls]))
        case SetOperation():
            sides = tuple([(new(a), new(b), new(c), type) for a, b, c, type in plan.columns])
            return SetOperation(plan.kind, plan.all, plan.left, plan.right, sides)
        case Recursive():
            sides = tuple([(new(a), new(b), new(c), type) for a, b, c, type in plan.columns])
            return Recursive(plan.name, plan.base, plan.step, sides, plan.distinct)
        case Values():
            return Values(tuple([(new(id), type) for id, type in plan.columns]), plan.rows)
        case Unnest():
            arrays = tuple([(new(id), one) for id, one in plan.arrays])
            return Unnest(plan.input, arrays, plan.ordinality and new(plan.ordinality), plan.outer)
        case Apply():
            outer = tuple([new(id) for id in plan.outer])
            return Apply(plan.input, plan.plan, outer, plan.kind, plan.mark and new(plan.mark))
    return plan
