"""Rules for single expressions: constants, three-valued logic, comparisons.

Each sees an expression whose parts are done, and gives one that has the same value for every row: TRUE, FALSE and NULL
alike, not just "true or not".
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal

from engines.sql.logical import (
    Among,
    Bound,
    Call,
    Case,
    Cast,
    Constant,
    Expression,
    Reference,
    Subquery,
)
from engines.sql.rewrite.trees import (
    FALSE,
    TRUE,
    conjunction,
    conjuncts,
    disjunction,
    disjuncts,
    is_never,
    is_run_constant,
    is_true,
    mapped,
    negation,
)
from engines.sql.rewrite.work import Work
from engines.sql.types import DAY, LIMITS, Type

OPPOSITE: Final = {
    "=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "is null": "is not null",
    "is not null": "is null", "is distinct from": "is not distinct from", "is not distinct from": "is distinct from",
}  # fmt: skip
TURNED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}


def simplified(expression: Expression, work: Work) -> Expression:
    """The expression after every rule for expressions that is on, parts first. Plans of subqueries are left out."""
    rules: Sequence[Callable[[Expression, Work], Expression]] = work.simplifying

    def change(one: Expression) -> Expression:
        if type(one) is Reference or type(one) is Constant:
            return one
        one = mapped(one, change)
        for rule in rules:
            one = rule(one, work)
        return one

    return change(expression)


def fold_constants(expression: Expression, work: Work) -> Expression:
    """What holds nothing but constants is computed now.

    DATE '1998-12-01' - INTERVAL '90 days'  ->  DATE '1998-09-02'

    What fails (1 / 0) stays: a row may never reach it.
    """
    if work.folding is None:
        return expression
    match expression:
        case Call():
            ready = all(type(argument) is Constant for argument in expression.arguments)
            ready = ready and expression.function not in {"and", "or", "not"}
        case Cast():
            ready = type(expression.argument) is Constant
        case Among():
            ready = type(expression.argument) is Constant and all(type(one) is Constant for one in expression.items)
        case _:
            return expression
    return (work.folding(expression) or expression) if ready else expression


def simplify_logic(expression: Expression, work: Work) -> Expression:
    """AND, OR, NOT and CASE with constants; nested ANDs and ORs become one.

    a AND (b AND TRUE)  ->  a AND b        CASE WHEN FALSE THEN a WHEN b THEN c END  ->  CASE WHEN b THEN c END
    """
    del work
    if isinstance(expression, Case):
        return _reached(expression)
    if not isinstance(expression, Call):
        return expression
    if expression.function == "not":
        argument = expression.arguments[0]
        if type(argument) is Constant:
            return argument if argument.value is None else FALSE if is_true(argument) else TRUE
        return expression
    if expression.function not in {"and", "or"}:
        return expression
    both = expression.function == "and"
    terms: list[Expression] = []
    for argument in expression.arguments:
        if type(argument) is Call and argument.function == expression.function:
            terms += argument.arguments
        elif type(argument) is Constant and argument.value is not None:
            if is_true(argument) is not both:
                return FALSE if both else TRUE
        else:
            terms.append(argument)
    if len(terms) == len(expression.arguments):
        return expression
    return conjunction(terms) if both else disjunction(terms)


def _reached(expression: Case) -> Expression:
    """CASE without the branches that no row takes."""
    branches = []
    otherwise = expression.otherwise
    for condition, value in expression.branches:
        if is_true(condition):
            otherwise = value
            break
        if not is_never(condition):
            branches.append((condition, value))
    if not branches:
        return otherwise
    if len(branches) == len(expression.branches):
        return expression
    return Case(tuple(branches), otherwise, type=expression.type, position=expression.position)


def push_not(expression: Expression, work: Work) -> Expression:
    """NOT goes down to the comparisons, which have opposites: of a NULL both are NULL.

    NOT (a < b OR c IS NULL)  ->  a >= b AND c IS NOT NULL
    """
    if not (isinstance(expression, Call) and expression.function == "not"):
        return expression
    argument = expression.arguments[0]
    if isinstance(argument, Subquery) and argument.kind in {"any", "all"} and argument.op in OPPOSITE:
        return opposite(argument)
    if not isinstance(argument, Call):
        return expression
    name = argument.function
    if name == "not":
        return argument.arguments[0]
    if name in {"and", "or"}:
        terms = [push_not(negation(one), work) for one in argument.arguments]
        return conjunction(terms) if name == "or" else disjunction(terms)
    if name in OPPOSITE:
        return Call(OPPOSITE[name], argument.arguments, type=argument.type, position=argument.position)
    return expression


def opposite(one: Subquery) -> Subquery:
    """What NOT makes of a quantified comparison: NOT (x = ANY q) is x <> ALL q."""
    kind: Literal["any", "all"] = "any" if one.kind == "all" else "all"
    return Subquery(kind, one.plan, one.columns, one.left, OPPOSITE[one.op], type=one.type, position=one.position)


def factor_or(expression: Expression, work: Work) -> Expression:
    """What every branch of an OR demands is demanded outside (the join condition of TPC-H's query 19).

    (a = b AND c) OR (a = b AND d)  ->  a = b AND (c OR d)
    """
    del work
    if not (isinstance(expression, Call) and expression.function == "or"):
        return expression
    branches = [conjuncts(branch) for branch in disjuncts(expression)]
    common = [term for term in branches[0] if all(term in branch for branch in branches[1:])]
    if not common:
        return expression
    rest = [conjunction([term for term in branch if term not in common]) for branch in branches]
    if any(is_true(branch) for branch in rest):
        return conjunction(common)
    return conjunction([*common, disjunction(rest)])


def gather_in(expression: Expression, work: Work) -> Expression:
    """Equalities of one thing with several constants become a list.

    a = 1 OR b OR a IN (2, 3)  ->  a IN (1, 2, 3) OR b
    """
    del work
    if not (isinstance(expression, Call) and expression.function == "or"):
        return expression
    terms = disjuncts(expression)
    lists: list[tuple[Expression, list[Expression], int]] = []  # compared, with what, number of the first such term
    repeated: set[int] = set()
    for number, term in enumerate(terms):
        one, items = _equal_to(term)
        if one is None:
            continue
        for other, found, _ in lists:
            if other == one:
                found.extend(items)
                repeated.add(number)
                break
        else:
            lists.append((one, list(items), number))
    if not repeated:
        return expression
    for one, items, number in lists:
        if len(items) > 1:
            terms[number] = Among(one, tuple(items), type=expression.type, position=one.position)
    return disjunction([term for number, term in enumerate(terms) if number not in repeated])


def _equal_to(term: Expression) -> tuple[Expression | None, Sequence[Expression]]:
    if isinstance(term, Among):
        return term.argument, term.items
    if isinstance(term, Call) and term.function == "=":
        left, right = term.arguments
        if isinstance(left, Constant | Bound):
            left, right = right, left
        if isinstance(right, Constant | Bound) and not isinstance(left, Constant | Bound):
            return left, (right,)
    return None, ()


# ---- comparisons of casts ----------------------------------------------------------------------------------------


def uncast(expression: Expression, work: Work) -> Expression:
    """A comparison of a column's cast with a constant becomes one of the column itself, where that is exact.

    CAST(l_shipdate AS TIMESTAMP) <= TIMESTAMP '1998-09-02 00:00'  ->  l_shipdate <= DATE '1998-09-02'
    CAST(quantity AS DECIMAL(12,2)) < 24.50                        ->  quantity < 25          (quantity INTEGER)
    CAST(month AS INTEGER) = ?                                     ->  month = ?              (month SMALLINT)

    So that a source understands it, and no row is cast.
    """
    del work
    if isinstance(expression, Among):
        return _uncast_list(expression)
    if not (isinstance(expression, Call) and expression.function in TURNED):
        return expression
    left, right = expression.arguments
    op = expression.function
    if is_run_constant(left):
        left, right, op = right, left, TURNED[op]
    if (
        type(left) is Cast
        and type(right) is not Constant
        and right.type.integer
        and _widened(left)
        and is_run_constant(right)
    ):
        return Call(op, (left.argument, right), type=expression.type, position=expression.position)
    if not (type(left) is Cast and type(right) is Constant) or right.value is None:
        return expression
    found = narrowed(left, op, right)
    if found is None:
        return expression
    op, constant = found
    new = Call(op, (left.argument, constant), type=expression.type, position=expression.position)
    return uncast(new, _NO_WORK) if type(left.argument) is Cast else new


def _widened(cast: Cast) -> bool:
    """Whether a cast makes a whole number of a larger kind: that changes none of them, whatever it is compared with."""
    source, target = cast.argument.type, cast.type
    return source.integer and target.integer and _factor(source, target) == 1


_NO_WORK: Final[Work] = None  # type: ignore[assignment] # uncast does not look at it


def _uncast_list(expression: Among) -> Expression:
    """The same for IN: every item must have an exact twin."""
    cast = expression.argument
    if type(cast) is not Cast:
        return expression
    items: list[Expression] = []
    for item in expression.items:
        if type(item) is Bound and item.type.integer and _widened(cast):
            items.append(item)
            continue
        found = narrowed(cast, "=", item) if type(item) is Constant and item.value is not None else None
        if found is None:
            return expression
        items.append(found[1])
    return Among(cast.argument, tuple(items), type=expression.type, position=expression.position)


def narrowed(cast: Cast, op: str, constant: Constant) -> tuple[str, Constant] | None:
    """The comparison that the cast's argument meets exactly when the cast meets this one; None if there is none."""
    source, target = cast.argument.type, cast.type
    value = constant.value
    if source.text and target.text:
        wide = not target.length or (source.length and target.length >= source.length)
        blank = isinstance(value, bytes) and value.endswith(b" ")
        if wide and isinstance(value, bytes) and (source.kind == target.kind or not blank):
            return op, Constant(value, type=source, position=constant.position)
        return None
    factor = _factor(source, target)
    if factor is None or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            return None
        whole, exact = int(value // 1), value == value // 1
    else:
        whole, exact = value // factor, value % factor == 0
    if not exact:
        if op in {"=", "<>"}:
            return None
        op = {"<": "<=", "<=": "<=", ">": ">", ">=": ">"}[op]  # x < 2.5 is x <= 2, x >= 2.5 is x > 2
    limits = source.limits()
    if limits is not None and not limits[0] <= whole <= limits[1]:
        return None
    return op, Constant(whole, type=source, position=constant.position)


def _factor(source: Type, target: Type) -> int | None:
    """By what the cast multiplies the whole number that holds the value; None where it may round, fail or overflow."""
    if source.kind == "date" and target.kind in {"timestamp", "timestamptz"}:
        return DAY * (1000 if target.unit == "ns" else 1) if target.kind == "timestamp" else None
    if source.decimal and target.decimal:
        fits = target.scale >= source.scale and target.precision - target.scale >= source.precision - source.scale
        return 10 ** (target.scale - source.scale) if fits else None
    if source.integer and target.decimal:
        digits = len(str(LIMITS[source.kind][1]))
        return 10**target.scale if target.precision - target.scale >= digits else None
    if source.integer and target.integer:
        return 1 if LIMITS[source.kind][1] <= LIMITS[target.kind][1] else None
    if source.kind in {"smallint", "integer"} and target.kind == "double":
        return 1
    return None
