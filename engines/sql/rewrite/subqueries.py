"""Subqueries become joins, so that they run once for all rows.

This rule cannot be switched off: nothing else runs them.

    WHERE EXISTS, IN                          semi join
    WHERE NOT EXISTS                          anti join
    WHERE NOT IN                              null-aware anti join; correlated: an anti join that a NULL meets
    a scalar subquery                         cross join with its one row; correlated: left join with its groups
    EXISTS, IN under OR, in CASE, in SELECT   left join with the distinct keys, and "was one met?"
    what `correlation.pulled` gives up        Apply, once for each distinct outer row

In a condition of WHERE only TRUE counts, so IN may say FALSE where it means NULL; elsewhere the three values are kept:

    x IN q   ->  CASE WHEN EXISTS (q with y = x) THEN TRUE
                      WHEN (x IS NULL AND EXISTS q) OR EXISTS (q with y IS NULL) THEN NULL ELSE FALSE END
"""

from typing import Final

from engines.errors import Invalid
from engines.sql.logical import (
    Aggregate,
    AggregateCall,
    Apply,
    Call,
    Case,
    Constant,
    Expression,
    Filter,
    Join,
    JoinKind,
    Limit,
    Plan,
    Project,
    Reference,
    SetOperation,
    Shared,
    Sort,
    Subquery,
    TopN,
    Values,
    Window,
    output,
)
from engines.sql.rewrite.conditions import OPPOSITE, opposite, simplified
from engines.sql.rewrite.correlation import never_null, one_row, pulled
from engines.sql.rewrite.trees import (
    FALSE,
    TRUE,
    UNKNOWN,
    altered,
    call,
    conjunction,
    conjuncts,
    disjunction,
    expressions,
    filtered,
    free,
    ids_of,
    in_subquery,
    is_true,
    mapped,
    negation,
    over,
    produced,
    rebuilt,
    renamed,
    subqueries,
)
from engines.sql.rewrite.work import Work
from engines.sql.types import BIGINT, BOOLEAN, Type

STRICT: Final = frozenset({"+", "-", "*", "/", "%", "=", "<>", "<", "<=", ">", ">=", "||"})
Pairs = list[tuple[Expression, Expression]]


def unnest(plan: Plan, work: Work) -> Plan:
    """All subqueries of a plan as joins.

    SELECT * FROM t WHERE x IN (SELECT y FROM u WHERE u.k = t.k)  ->  t SEMI JOIN u ON x = y AND t.k = u.k
    """
    plan = rebuilt(plan, lambda below: unnest(below, work))
    held = expressions(plan)
    if not any(subqueries(one) for one in held):
        return plan
    match plan:
        case Filter():
            return _filter(plan, work)
        case Join():
            return _join(plan, work)
        case Values():
            return unnest(_united(plan), work)
    lifting = _Lifting(plan.input, work)  # type: ignore[attr-defined] # the other kinds with expressions have one input
    new = altered(plan, lifting.value)
    return over(new, lifting.plan)


def _united(plan: Values) -> Plan:
    """VALUES (1), ((SELECT ...))  ->  VALUES (1) UNION ALL SELECT (SELECT ...)."""
    simple = tuple(row for row in plan.rows if not any(subqueries(value) for value in row))
    ids = [id for id, _ in plan.columns]
    made: Plan | None = Values(plan.columns, simple) if simple else None
    others = (row for row in plan.rows if any(subqueries(value) for value in row))
    for number, row in enumerate(others):
        if made is None:
            made = Project(Values((), ((),)), tuple(zip(ids, row, strict=True)))
            continue
        right = Project(Values((), ((),)), tuple((f"{id}/{number}", value) for id, value in zip(ids, row, strict=True)))
        columns = tuple((id, id, f"{id}/{number}", type) for id, type in plan.columns)
        made = SetOperation("union", True, made, right, columns)  # noqa: FBT003 - ALL
    assert made is not None  # noqa: S101 - for the type checker: one row has a subquery
    return made


def _filter(plan: Filter, work: Work) -> Plan:
    """Each conjunct by itself: those without subqueries first."""
    simple: list[Expression] = []
    others: list[Expression] = []
    for term in conjuncts(plan.condition):
        (others if subqueries(term) else simple).append(term)
    below = filtered(plan.input, simple)
    for term in others:
        below = _conjunct(below, term, work)
    return below


def _conjunct(plan: Plan, term: Expression, work: Work) -> Plan:
    """The rows of the plan for which a condition with subqueries is true."""
    negated = isinstance(term, Call) and term.function == "not"
    one = term.arguments[0] if isinstance(term, Call) and negated else term
    if isinstance(one, Subquery):
        lifting = _Lifting(plan, work)
        left = tuple([lifting.value(part) for part in one.left])
        one = in_subquery(one, unnest(one.plan, work), left)
        if one.kind == "exists":
            return _exists(lifting.plan, one.plan, work, kind="anti" if negated else "semi")
        if one.kind in {"in", "any", "all"}:
            if negated:
                one = opposite(one)
            if not one_row(one.plan):
                return _compared(lifting.plan, one, work)
            condition = lifting.value(_with_one_row(one), ready=True)
            return Filter(lifting.plan, condition)
    lifting = _Lifting(plan, work)
    condition = simplified(lifting.value(term, only_true=True), work)
    return lifting.plan if is_true(condition) else Filter(lifting.plan, condition)


def _with_one_row(one: Subquery) -> Expression:
    """IN, ANY and ALL of a single row are a comparison with it."""
    terms = []
    for left, id in zip(one.left, one.columns, strict=True):
        type = _type_of(one.plan, id)
        terms.append(call(one.op, left, Subquery("scalar", one.plan, (id,), type=type, position=one.position)))
    return disjunction(terms) if one.op == "<>" else conjunction(terms)


def _type_of(plan: Plan, id: str) -> Type:
    return output(plan)[id]


# ---- conditions of WHERE -----------------------------------------------------------------------------------------


def stripped(plan: Plan) -> Plan | None:
    """A plan that has a row when this one has; None if this one always has."""
    while True:
        if one_row(plan):
            return None
        match plan:
            case Project() | Sort() | Window():
                plan = plan.input
            case Aggregate() if plan.keys and plan.sets is None:
                plan = plan.input
            case Limit() | TopN() if _at_least_one(plan):
                plan = plan.input
            case _:
                return plan


def _at_least_one(plan: Limit | TopN) -> bool:
    none = plan.offset is None or (isinstance(plan.offset, Constant) and plan.offset.value == 0)
    return none and (
        plan.limit is None or (isinstance(plan.limit, Constant) and (plan.limit.value is None or plan.limit.value > 0))
    )


def _exists(plan: Plan, inner: Plan, work: Work, *, kind: JoinKind) -> Plan:
    reduced = stripped(inner)
    if reduced is None:
        return plan if kind == "semi" else Filter(plan, FALSE)
    return _joined(plan, reduced, kind, work, ())


def _joined(plan: Plan, inner: Plan, kind: JoinKind, work: Work, terms: tuple[Expression, ...]) -> Plan:
    """A semi or anti join with the rows of a subquery that meet the terms, or an Apply."""
    found = pulled(inner, work, distinct=True)
    if found is None or found.empty is not None:
        inner = filtered(inner, terms)
        return Apply(plan, inner, _outer(plan, inner), kind)
    if not terms and not found.terms:  # tied to nothing: it has a row for all, or for none
        lifting = _Lifting(plan, work)
        any_row = lifting.any_row(found.plan)
        return Filter(lifting.plan, any_row if kind == "semi" else negation(any_row))
    keys, rest = keyed([*terms, *found.terms], plan, found.plan, work)
    return Join(plan, found.plan, kind, tuple(keys), conjunction(rest) if rest else None)


def _outer(plan: Plan, inner: Plan) -> tuple[str, ...]:
    return tuple(sorted(free(inner) & ids_of(plan)))


def keyed(terms: list[Expression], left: Plan, right: Plan, work: Work) -> tuple[Pairs, list[Expression]]:
    """Terms over both plans as join keys (equalities with a side each) and the rest."""
    of_left, of_right = ids_of(left), ids_of(right)
    keys, rest = [], []
    for term in terms:
        if isinstance(term, Call) and term.function == "=":
            one, other = term.arguments
            first, second = work.mentions(one), work.mentions(other)
            if first and second:
                if first <= of_left and second <= of_right:
                    keys.append((one, other))
                    continue
                if first <= of_right and second <= of_left:
                    keys.append((other, one))
                    continue
        rest.append(term)
    return keys, rest


def _compared(plan: Plan, one: Subquery, work: Work) -> Plan:
    """The rows for which x op ANY q, or x op ALL q, is true."""
    right: list[Expression] = [Reference(id, type=_type_of(one.plan, id)) for id in one.columns]
    pairs = list(zip(one.left, right, strict=True))
    if one.kind in {"in", "any"}:
        return _joined(plan, one.plan, "semi", work, (_pairwise(one.op, pairs),) if one.op != "=" else tuple(
            [call("=", left, right) for left, right in pairs]))  # fmt: skip
    nulls = [
        call("is null", side)
        for pair in pairs
        for side, of in zip(pair, (plan, one.plan), strict=True)
        if not never_null(side, of)
    ]
    if one.op == "<>" and not nulls:
        return _joined(plan, one.plan, "anti", work, tuple(_each("=", pairs)))
    if one.op == "<>" and len(pairs) == 1 and not free(one.plan):
        return Join(plan, one.plan, "null-aware anti", tuple(pairs))
    if len(pairs) == 1:
        return _joined(plan, one.plan, "anti", work, (disjunction([_pairwise(OPPOSITE[one.op], pairs), *nulls]),))
    each = [disjunction([call("=", *pair), *[call("is null", side) for side in pair]]) for pair in pairs]
    return _joined(plan, one.plan, "anti", work, tuple(each))


def _pairwise(op: str, pairs: Pairs) -> Expression:
    """(a, b) op (c, d): all equal, or one different. The front refuses rows with any other operator."""
    terms = _each(op, pairs)
    return disjunction(terms) if op == "<>" else conjunction(terms)


def _each(op: str, pairs: Pairs) -> list[Expression]:
    """(a, b) op (c, d) as terms that all must be true."""
    terms: list[Expression] = [call(op, left, right) for left, right in pairs]
    return [disjunction(terms)] if op == "<>" else terms


# ---- values of expressions ---------------------------------------------------------------------------------------


class _Lifting:
    """Puts joins under an expression until all of its subqueries are columns. plan: what it is then over."""

    def __init__(self, plan: Plan, work: Work) -> None:
        self.plan = plan
        self._work = work

    def value(self, expression: Expression, *, only_true: bool = False, ready: bool = False) -> Expression:
        """The expression without subqueries. only_true: FALSE may stand for NULL; ready: their plans have none."""
        if not subqueries(expression):
            return expression
        if not isinstance(expression, Subquery):
            down = only_true and isinstance(expression, Call) and expression.function in {"and", "or"}
            return mapped(expression, lambda part: self.value(part, only_true=down, ready=ready))
        left = tuple([self.value(part) for part in expression.left])
        inner = expression.plan if ready else unnest(expression.plan, self._work)
        one = in_subquery(expression, inner, left)
        if one.kind == "scalar":
            return self._scalar(one)
        if one.kind == "exists":
            return self._mark(one.plan, ())
        if one_row(one.plan):
            return self.value(_with_one_row(one), only_true=only_true, ready=True)
        return self._quantified(one, only_true=only_true)

    def _scalar(self, one: Subquery) -> Expression:
        inner, id = one.plan, one.columns[0]
        value = Reference(id, type=one.type, position=one.position)
        if not free(inner):
            self.plan = Join(self.plan, inner, "cross" if one_row(inner) else "single")
            return value
        found = pulled(inner, self._work, distinct=False)
        if found is None:
            self.plan = Apply(self.plan, inner, _outer(self.plan, inner), "single")
            return value
        keys, rest = keyed(found.terms, self.plan, found.plan, self._work)
        kind: JoinKind = "single" if found.empty is None else "left"  # of groups a row meets one at most
        condition = conjunction(rest) if rest else None
        self.plan = Join(self.plan, found.plan, kind, tuple(keys), condition)
        empty = found.empty[id] if found.empty is not None else UNKNOWN
        if surely_null(simplified(empty, self._work)):
            return value
        met = found.terms[0]  # outer = key of the group: a key that met something is no NULL
        assert isinstance(met, Call)  # noqa: S101 - the groups are tied by equalities
        return Case(((call("is null", met.arguments[1]), empty),), value, type=one.type, position=one.position)

    def _mark(self, inner: Plan, terms: tuple[Expression, ...]) -> Expression:
        """Whether the subquery has a row that meets the terms: TRUE or FALSE."""
        reduced = stripped(inner) if not terms else inner
        if reduced is None:
            return TRUE
        found = pulled(reduced, self._work, distinct=True)
        if found is not None and found.empty is None:
            keys, rest = keyed([*terms, *found.terms], self.plan, found.plan, self._work)
            if not keys and not rest:
                return self.any_row(found.plan)
            if keys and not rest:
                named = tuple([(self._work.label("met"), right) for _, right in keys])
                met = [Reference(id, type=right.type) for id, right in named]
                pairs = tuple([(left, right) for (left, _), right in zip(keys, met, strict=True)])
                self.plan = Join(self.plan, Aggregate(found.plan, named, ()), "left", pairs)
                return call("is not null", met[0])
        inner = filtered(reduced, terms)
        mark = self._work.fresh("mark", BOOLEAN)
        self.plan = Apply(self.plan, inner, _outer(self.plan, inner), "semi", mark.id)
        return mark

    def any_row(self, inner: Plan) -> Expression:
        """Whether a subquery that nothing ties has a row: counted once, up to one."""
        count = self._work.fresh("rows", BIGINT)
        first = Limit(inner, Constant(1, type=BIGINT))
        counted = Aggregate(first, (), ((count.id, AggregateCall("count", (), BIGINT)),))
        self.plan = Join(self.plan, counted, "cross")
        return call(">", count, Constant(0, type=BIGINT))

    def _quantified(self, one: Subquery, *, only_true: bool) -> Expression:
        if one.kind == "all":
            return negation(self._quantified(opposite(one), only_true=False))
        copies = _Copies(one, self._work)
        inner, pairs = copies.next()
        met = self._mark(
            inner, tuple([call(one.op, *pair) for pair in pairs]) if one.op != "<>" else (_pairwise("<>", pairs),)
        )
        if only_true:
            return met
        unknown: list[Expression] = []
        if len(pairs) == 1:
            left = one.left[0]
            if not never_null(left, self.plan):
                unknown.append(conjunction([call("is null", left), self._mark(copies.next()[0], ())]))
            if not never_null(pairs[0][1], inner):
                inner, pairs = copies.next()
                unknown.append(self._mark(Filter(inner, call("is null", pairs[0][1])), ()))
        else:
            inner, pairs = copies.next()
            undecided = [call("is null", _pairwise(one.op, pairs))]
            unknown.append(self._mark(inner, tuple(undecided)))
        if not unknown:
            return met
        return Case(((met, TRUE), (disjunction(unknown), UNKNOWN)), FALSE, type=BOOLEAN, position=one.position)


class _Copies:
    """The plan of a subquery, several times: one run for all if nothing ties it, else copies with ids of their own."""

    def __init__(self, one: Subquery, work: Work) -> None:
        self._one = one
        self._work = work
        self._shared = "" if free(one.plan) else work.label("subquery")
        self._used = 0

    def next(self) -> tuple[Plan, Pairs]:
        one, work = self._one, self._work
        types = [_type_of(one.plan, id) for id in one.columns]
        if self._shared:
            columns = tuple([(work.label("value"), id, type) for id, type in zip(one.columns, types, strict=True)])
            plan: Plan = Shared(self._shared, one.plan, columns)
            ids = [id for id, _, _ in columns]
        elif self._used:
            new = {id: work.label(id.partition("#")[0]) for id in produced(one.plan)}
            plan, ids = renamed(one.plan, new), [new[id] for id in one.columns]
        else:
            plan, ids = one.plan, list(one.columns)
        self._used += 1
        right: list[Expression] = [Reference(id, type=type) for id, type in zip(ids, types, strict=True)]
        return plan, list(zip(one.left, right, strict=True))


def surely_null(expression: Expression) -> bool:
    """NULL for every row: a NULL, or an operator that gives NULL for one."""
    if isinstance(expression, Constant):
        return expression.value is None
    match expression:
        case Call():
            return expression.function in STRICT and any(surely_null(one) for one in expression.arguments)
    argument = getattr(expression, "argument", None)
    return argument is not None and surely_null(argument)


# ---- subqueries in ON --------------------------------------------------------------------------------------------


def _join(plan: Join, work: Work) -> Plan:
    """Of inner joins the condition goes above; of left and right joins a subquery goes to the side that it is about."""
    terms: list[Expression] = [call("=", left, right) for left, right in plan.keys]
    terms += conjuncts(plan.condition) if plan.condition is not None else []
    if plan.kind in {"inner", "cross"}:
        return _filter(Filter(Join(plan.left, plan.right, "cross"), conjunction(terms)), work)
    of_left, of_right = ids_of(plan.left), ids_of(plan.right)
    for term in terms:
        for one in subqueries(term):
            about = work.mentions(one)
            if about.isdisjoint(of_left) or about.isdisjoint(of_right):
                continue
            if plan.kind == "left":
                inner = unnest(Filter(plan.right, conjunction(terms)), work)
                return Apply(plan.left, inner, _outer(plan.left, inner), "left")
            raise Invalid(
                f"a subquery in ON of a {plan.kind.upper()} JOIN mentions both tables; it may mention one: "
                "write a LEFT JOIN, or join in two steps"
            )
    left, right = _Lifting(plan.left, work), _Lifting(plan.right, work)

    def change(one: Expression) -> Expression:
        if not isinstance(one, Subquery):
            return mapped(one, change)
        return left.value(one) if work.mentions(one).isdisjoint(of_right) else right.value(one)

    done = [change(term) for term in terms]
    keys, rest = keyed(done, left.plan, right.plan, work)
    return Join(left.plan, right.plan, plan.kind, tuple(keys), conjunction(rest) if rest else None)
