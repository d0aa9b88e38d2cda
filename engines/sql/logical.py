"""The logical plan: what a statement means, as a tree of steps over named columns.

The front builds it, the rewrite rules turn it into another that means the same, `lower` makes operators of it.

    Scan                       a table's columns, with the predicates that were pushed down to it
    Filter Project             rows that are kept; columns that are computed
    Join                       inner left right full cross semi anti; equal keys, and a condition on the pairs
    Aggregate Window           groups; functions over partitions
    Sort TopN Limit            order and number of rows
    SetOperation Values        UNION, INTERSECT, EXCEPT; rows that the text itself holds
    Unnest                     a row for each element of arrays
    Apply                      a subplan run for each distinct outer row: subqueries that nothing better is known for
    Shared                     a WITH query that is used more than once: run once
    Recursive, Working         WITH RECURSIVE: the whole, and inside it the rows of the last round

Every column has an id that is unique in its statement ("l_orderkey#3"): names end where the front ends. An expression
that names an id which its own plan does not produce is correlated: the id belongs to a plan outside.

Plans and expressions are frozen and compare by value. Every expression knows its type and its place in the text (for
errors at run time; places do not count in comparisons).

Invariants: the ids of two sides of a join are disjoint. A Filter's condition, and a Join's, is BOOLEAN. Types of both
sides of a comparison, of CASE branches, of set operations are equal in kind: the front puts a Cast where they are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from engines.sql.source import Field, Predicate
from engines.sql.types import BIGINT, BOOLEAN, Type

# ---- expressions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A value for each row."""

    type: Type
    position: int = field(default=-1, compare=False)  # in the statement's text, for errors; -1 = nowhere


@dataclass(frozen=True, slots=True)
class Reference(Expression):
    """A column of the plan below, or of one outside."""

    id: str


@dataclass(frozen=True, slots=True)
class Constant(Expression):
    """A constant. value: an engine value (see source.py), None = NULL; of INTERVAL (months, microseconds)."""

    value: Any


@dataclass(frozen=True, slots=True)
class Bound(Expression):
    """A constant that is known when the statement runs: a parameter by number or name, "$now", or "$user"."""

    name: int | str


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """A scalar function or operator, by the name that it has in `functions.py`: "+", "=", "and", "like", "upper"."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Cast(Expression):
    """The value as `type`; where it is no value of that type an error, or NULL with lenient (TRY_CAST)."""

    argument: Expression
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Case(Expression):
    """The first branch whose condition is true. A branch is computed only for the rows that reach it."""

    branches: tuple[tuple[Expression, Expression], ...]  # condition, value
    otherwise: Expression  # Constant(None) where there is no ELSE


@dataclass(frozen=True, slots=True)
class Among(Expression):
    """IN with a list of constants. NULL among them makes a miss NULL."""

    argument: Expression
    items: tuple[Expression, ...]  # Constant or Bound, of the argument's kind


@dataclass(frozen=True, slots=True)
class Lambda(Expression):
    """x -> expression, as an argument: type is that of the body."""

    names: tuple[str, ...]  # ids that the body refers to
    body: Expression


@dataclass(frozen=True, slots=True)
class Subquery(Expression):
    """A query inside an expression; the rewrite rules turn every one into a join or an Apply.

    scalar: its single value (NULL for no row, an error for two). exists: whether it has a row. in, any, all: `left`
    compared with its rows by `op` ("=" for in).
    """

    kind: Literal["scalar", "exists", "in", "any", "all"]
    plan: "Plan"
    columns: tuple[str, ...]  # ids of the plan's output that are compared, or the one that is the value
    left: tuple[Expression, ...] = ()
    op: str = "="


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """COUNT(DISTINCT x) FILTER (WHERE ...) and the like, a value for each group. No arguments: COUNT(*)."""

    function: str  # count sum avg min max any_value bool_and bool_or stddev_samp ... listagg median percentile_cont ...
    arguments: tuple[Expression, ...]
    type: Type
    distinct: bool = False
    where: Expression | None = None
    order: "tuple[SortKey, ...]" = ()  # WITHIN GROUP
    position: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """Which rows of the partition a function sees: (bound, offset) each; the offset of a RANGE is an engine value."""

    unit: Literal["rows", "range", "groups"] = "range"
    start: "FrameBound" = ("unbounded preceding", None)
    end: "FrameBound" = ("current row", None)


FrameBound = tuple[
    Literal["unbounded preceding", "preceding", "current row", "following", "unbounded following"], "Any"
]


@dataclass(frozen=True, slots=True)
class WindowCall:
    """A function over a partition: a ranking function or an aggregate; arguments as in SQL (lag: value, n, default)."""

    function: str
    arguments: tuple[Expression, ...]
    type: Type
    partition: tuple[Expression, ...]
    order: "tuple[SortKey, ...]"
    frame: Frame | None  # None: the default, which depends on whether there is an order
    ignore_nulls: bool = False
    where: Expression | None = None
    distinct: bool = False
    position: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class SortKey:
    """nulls_first is always said: the front has put in the dialect's default."""

    expression: Expression
    descending: bool = False
    nulls_first: bool = False


# ---- plans -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """A step: rows of columns, from the rows of the steps below."""


@dataclass(frozen=True, slots=True)
class Scan(Plan):
    """A table by its full name; the run looks up the source. estimate: rows after the predicates, None = unknown."""

    table: str
    columns: tuple[tuple[str, Field], ...]  # id, column; only those that are used
    predicates: tuple[Predicate, ...] = ()  # pushed down; what is not answered EXACT is in a Filter too
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Filter(Plan):
    """The rows whose condition is true: neither false nor NULL."""

    input: Plan
    condition: Expression


@dataclass(frozen=True, slots=True)
class Project(Plan):
    """Exactly these columns, each computed. A Reference under its own id passes a column through."""

    input: Plan
    columns: tuple[tuple[str, Expression], ...]


JoinKind = Literal["inner", "left", "right", "full", "cross", "semi", "anti", "null-aware anti", "single"]


@dataclass(frozen=True, slots=True)
class Join(Plan):
    """Pairs of rows whose keys are equal (NULL equals nothing) and whose condition is true.

    semi, anti: rows of the left alone. null-aware anti: NOT IN: no row if a right key is NULL; a NULL left key only if
    the right side is empty. single: as left, but an error where a left row meets two (a scalar subquery).
    build: the side that the hash table is made of.
    """

    left: Plan
    right: Plan
    kind: JoinKind
    keys: tuple[tuple[Expression, Expression], ...] = ()  # left, right
    condition: Expression | None = None  # the rest, over both sides
    build: Literal["left", "right"] = "right"


@dataclass(frozen=True, slots=True)
class Aggregate(Plan):
    """A row for each distinct tuple of keys (NULLs are equal); without keys one row, always.

    sets: GROUPING SETS as numbers of keys; None is one set of all. grouping: id of a BIGINT column with a bit for each
    key (the first is the highest), 1 where the key is not in the row's set.
    """

    input: Plan
    keys: tuple[tuple[str, Expression], ...]
    calls: tuple[tuple[str, AggregateCall], ...]
    sets: tuple[tuple[int, ...], ...] | None = None
    grouping: str | None = None


@dataclass(frozen=True, slots=True)
class Window(Plan):
    """The input's columns, and one more for each call."""

    input: Plan
    calls: tuple[tuple[str, WindowCall], ...]


@dataclass(frozen=True, slots=True)
class Sort(Plan):
    """All rows, in this order; equal ones in the order in which they came."""

    input: Plan
    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class TopN(Plan):
    """Sort, then Limit. limit and offset: Constant or Bound of BIGINT."""

    input: Plan
    keys: tuple[SortKey, ...]
    limit: Expression
    offset: Expression | None = None


@dataclass(frozen=True, slots=True)
class Limit(Plan):
    """So many rows, after so many that are left out."""

    input: Plan
    limit: Expression | None
    offset: Expression | None = None


@dataclass(frozen=True, slots=True)
class SetOperation(Plan):
    """Rows compared as wholes, NULLs equal. columns: id of the result, id at the left, id at the right, type."""

    kind: Literal["union", "intersect", "except"]
    all: bool
    left: Plan
    right: Plan
    columns: tuple[tuple[str, str, str, Type], ...]


@dataclass(frozen=True, slots=True)
class Values(Plan):
    """Rows of constants. No columns and one row is what SELECT without FROM reads."""

    columns: tuple[tuple[str, Type], ...]
    rows: tuple[tuple[Expression, ...], ...]


@dataclass(frozen=True, slots=True)
class Unnest(Plan):
    """Each input row, once for each element of the longest array; shorter ones are filled up with NULL."""

    input: Plan
    arrays: tuple[tuple[str, Expression], ...]  # id of the element, the array
    ordinality: str | None = None  # id of a BIGINT that counts from 1
    outer: bool = False  # rows of empty arrays stay, with NULL


@dataclass(frozen=True, slots=True)
class Apply(Plan):
    """For each input row the subplan, with the outer ids bound to the row's values: nested evaluation, memoised.

    kind as of Join: inner, left, semi, anti, single. value: ids of the subplan that join the row (inner, left, single).
    mark: for semi and anti instead of dropping rows, the id of a BOOLEAN column that says whether one was found.
    """

    input: Plan
    plan: Plan
    outer: tuple[str, ...]  # ids of the input that the subplan mentions
    kind: JoinKind
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class Shared(Plan):
    """One use of a WITH query. Uses with the same name are the same rows; columns: id here -> id in the plan."""

    name: str
    plan: Plan
    columns: tuple[tuple[str, str, Type], ...]


@dataclass(frozen=True, slots=True)
class Recursive(Plan):
    """base, then step over the rows of the round before until a round is empty. distinct: UNION, without ALL."""

    name: str
    base: Plan
    step: Plan
    columns: tuple[tuple[str, str, str, Type], ...]  # id here, id of base, id of step, type
    distinct: bool


@dataclass(frozen=True, slots=True)
class Working(Plan):
    """Inside a Recursive's step: the rows of the round before. columns: id here, id of the Recursive."""

    name: str
    columns: tuple[tuple[str, str, Type], ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A whole SELECT. columns: header as the user wrote it, id, type. tables: the names of what it reads."""

    plan: Plan
    columns: tuple[tuple[str, str, Type], ...]
    tables: tuple[str, ...] = ()


# ---- reading them ------------------------------------------------------------------------------------------------


def output(plan: Plan) -> dict[str, Type]:
    """The columns that a plan produces: id -> type, in order."""
    match plan:
        case Scan():
            return {id: column.type for id, column in plan.columns}
        case Filter() | Sort() | TopN() | Limit():
            return output(plan.input)
        case Project():
            return {id: expression.type for id, expression in plan.columns}
        case Join(kind="semi" | "anti" | "null-aware anti"):
            return output(plan.left)
        case Join():
            return output(plan.left) | output(plan.right)
        case Aggregate():
            keys = {id: expression.type for id, expression in plan.keys}
            more = {plan.grouping: BIGINT} if plan.grouping else {}
            return keys | {id: call.type for id, call in plan.calls} | more
        case Window():
            return output(plan.input) | {id: call.type for id, call in plan.calls}
        case SetOperation() | Recursive():
            return {column[0]: column[3] for column in plan.columns}
        case Values():
            return dict(plan.columns)
        case Unnest():
            elements = {id: expression.type.element for id, expression in plan.arrays}
            return output(plan.input) | elements | ({plan.ordinality: BIGINT} if plan.ordinality else {})
        case Apply():
            if plan.mark:
                return output(plan.input) | {plan.mark: BOOLEAN}
            return output(plan.input) | ({} if plan.kind in {"semi", "anti"} else output(plan.plan))
        case Shared() | Working():
            return {id: type for id, _, type in plan.columns}
    raise TypeError(f"no plan: {plan!r}")


def inputs(plan: Plan) -> tuple[Plan, ...]:
    """The plans directly below. Those inside Subquery expressions are not among them."""
    match plan:
        case Join() | SetOperation():
            return plan.left, plan.right
        case Filter() | Project() | Aggregate() | Window() | Sort() | TopN() | Limit() | Unnest():
            return (plan.input,)
        case Apply():
            return plan.input, plan.plan
        case Shared():
            return (plan.plan,)
        case Recursive():
            return plan.base, plan.step
    return ()


def parts(expression: Expression) -> tuple[Expression, ...]:
    """The expressions directly below. A Subquery's plan is not looked into, its left side is."""
    match expression:
        case Call():
            return expression.arguments
        case Cast():
            return (expression.argument,)
        case Case():
            return (*(part for branch in expression.branches for part in branch), expression.otherwise)
        case Among():
            return (expression.argument, *expression.items)
        case Lambda():
            return (expression.body,)
        case Subquery():
            return expression.left
    return ()


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and all below it, parents first."""
    waiting = [expression]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += reversed(parts(one))


def references(expression: Expression) -> set[str]:
    """The ids that it mentions; the names of a lambda are its own."""
    found: set[str] = set()
    own: set[str] = set()
    for one in walk(expression):
        if isinstance(one, Reference):
            found.add(one.id)
        elif isinstance(one, Lambda):
            own.update(one.names)
    return found - own


__all__ = [
    "Aggregate",
    "AggregateCall",
    "Among",
    "Apply",
    "Bound",
    "Call",
    "Case",
    "Cast",
    "Constant",
    "Expression",
    "Filter",
    "Frame",
    "Join",
    "Lambda",
    "Limit",
    "Plan",
    "Project",
    "Query",
    "Recursive",
    "Reference",
    "Scan",
    "SetOperation",
    "Shared",
    "Sort",
    "SortKey",
    "Subquery",
    "TopN",
    "Unnest",
    "Values",
    "Window",
    "WindowCall",
    "Working",
    "inputs",
    "output",
    "parts",
    "references",
    "walk",
]  # fmt: skip
