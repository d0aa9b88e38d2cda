"""How many rows a step gives, as far as statistics can tell: the numbers by which joins are ordered.

    = constant      1 / distinct                       a < constant    by the bounds, if they are numbers
    LIKE            a tenth, with a leading % a 20th   anything else   a third
    join            rows * rows / distinct keys of the side that has more
                    several keys of one table have together no more values than it has rows
    semi join       the part of the left keys that the right side has

Textbook assumptions (Selinger et al., 1979): values are spread evenly, columns do not depend on each other, the keys
of the smaller side all occur in the larger. They are wrong and mostly good enough: what counts is which of two plans
is cheaper, not how many rows come.

A column's statistics are those of the table's column that it comes from, found by id: projections, groups and set
operations register the ids that only pass a column on. A table that knows nothing has 1,000 rows; a column of which
nothing is known is taken for a key in joins and for 20 values in comparisons.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from engines.sql.logical import (
    Aggregate,
    Among,
    Apply,
    Call,
    Cast,
    Constant,
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
    TopN,
    Unnest,
    Values,
    inputs,
    output,
)
from engines.sql.source import ColumnStatistics, Predicate, Support, TableSource

UNKNOWN_ROWS: Final = 1_000.0
A_VALUE: Final = 0.05  # of a column whose number of values is unknown
A_RANGE: Final = 1 / 3
TURNED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
NOTHING: Final = ColumnStatistics()


def _literal(one: Expression) -> bool:
    return type(one).__name__ in {"Constant", "Bound"}


class Estimates:
    """Estimates for the plans of one statement; each node's is worked out once."""

    def __init__(self, source: Callable[[str], TableSource]) -> None:
        self._source = source
        self._columns: dict[str, tuple[ColumnStatistics, float]] = {}  # and the rows of the table
        self._rows: dict[int, tuple[Plan, float]] = {}
        self._exact: dict[int, tuple[Predicate, bool]] = {}

    # ---- rows ----------------------------------------------------------------------------------------------------

    def rows(self, plan: Plan) -> float:
        """Rows that the step gives, at least 1 unless it surely gives none."""
        known = self._rows.get(id(plan))
        if known is None:
            known = self._rows[id(plan)] = plan, self._estimate(plan)
        return known[1]

    def _estimate(self, plan: Plan) -> float:
        match plan:
            case Scan():
                return self._scan(plan)
            case Filter():
                rows = self.rows(plan.input)
                return max(rows * self.selectivity(_terms(plan.condition)), 1.0) if rows else 0.0
            case Project():
                rows = self.rows(plan.input)
                for id, expression in plan.columns:
                    self._alias(id, expression)
                return rows
            case Join():
                return self._join(plan)
            case Aggregate():
                rows = self.rows(plan.input)
                for id, expression in plan.keys:
                    self._alias(id, expression)
                if not plan.keys:
                    return 1.0
                groups = 1.0
                for _, expression in plan.keys:
                    groups *= self.distinct(expression, rows)
                return max(min(groups, rows), 1.0) * (len(plan.sets) if plan.sets else 1) if rows else 0.0
            case Limit() | TopN():
                rows = self.rows(plan.input)
                if isinstance(plan.limit, Constant) and plan.limit.value is not None:
                    return min(rows, float(plan.limit.value))
                return rows
            case SetOperation():
                left, right = self.rows(plan.left), self.rows(plan.right)
                for id, of_left, _, _ in plan.columns:
                    if of_left in self._columns:
                        self._columns[id] = self._columns[of_left]
                return left + right if plan.kind == "union" else min(left, right) if plan.kind == "intersect" else left
            case Values():
                return float(len(plan.rows))
            case Unnest():
                return self.rows(plan.input) * 4
            case Shared():
                rows = self.rows(plan.plan)
                for id, there, _ in plan.columns:
                    if there in self._columns:
                        self._columns[id] = self._columns[there]
                return rows
            case Apply():
                rows, inner = self.rows(plan.input), self.rows(plan.plan)
                if plan.mark or plan.kind == "single":
                    return rows
                return rows / 2 if plan.kind in {"semi", "anti"} else rows * max(inner, 1.0)
            case Recursive():
                return self.rows(plan.base) * 10
        below = inputs(plan)
        return self.rows(below[0]) if below else UNKNOWN_ROWS

    def _scan(self, plan: Scan) -> float:
        source = self._source(plan.table)
        statistics = source.statistics()
        total = UNKNOWN_ROWS if statistics.rows is None else float(statistics.rows)
        for id, column in plan.columns:
            self._columns[id] = statistics.columns.get(column.name, NOTHING), total
        if not total:
            return 0.0
        part = 1.0
        for predicate in plan.predicates:
            if source.support(predicate) is Support.EXACT:  # others are in a Filter as well
                known = statistics.columns.get(predicate.column, NOTHING)
                part *= compared(known, total, predicate.op, predicate.value)
        return max(total * part, 1.0)

    def _join(self, plan: Join) -> float:
        left, right = self.rows(plan.left), self.rows(plan.right)
        if plan.kind == "single":
            return left
        if plan.kind in {"semi", "anti", "null-aware anti"}:
            part = 0.9 if plan.condition is not None else 1.0
            for one, other in plan.keys:
                part *= min(1.0, self.distinct(other, right) / max(self.distinct(one), 1.0))
            if not right:
                part = 0.0
            return max(left * (part if plan.kind == "semi" else max(1 - part, 0.1)), 1.0) if left else 0.0
        rows = left * right * self._together(plan)
        if plan.condition is not None:
            rows *= self.selectivity(_terms(plan.condition))
        if plan.kind == "left":
            return max(rows, left)
        if plan.kind == "right":
            return max(rows, right)
        if plan.kind == "full":
            return max(rows, left + right)
        return max(rows, 1.0) if left and right else 0.0

    def _together(self, plan: Join) -> float:
        """The part of all pairs whose keys are all equal: they have no more values than the smaller table has rows."""
        part = 1.0
        for one, other in plan.keys:
            part *= self.meeting(one, other)
        if len(plan.keys) < 2:
            return part
        sides = [[self._known(pair[side]) for pair in plan.keys] for side in (0, 1)]
        sizes = [max(one[1] if one is not None else 0.0 for one in side) for side in sides]
        return max(part, 1 / max(min(sizes), 1.0)) if min(sizes) else part

    def table(self, plan: Plan) -> float:
        """Rows of the largest table that columns of the step come from; its own rows if none is known."""
        rows = self.rows(plan)
        return max([self._columns[id][1] for id in output(plan) if id in self._columns], default=max(rows, 1.0))

    # ---- columns -------------------------------------------------------------------------------------------------

    def _alias(self, id: str, expression: Expression) -> None:
        if type(expression) is Reference and expression.id in self._columns:
            self._columns[id] = self._columns[expression.id]

    def _known(self, expression: Expression) -> tuple[ColumnStatistics, float] | None:
        while isinstance(expression, Cast):
            expression = expression.argument
        return self._columns.get(expression.id) if type(expression) is Reference else None

    def distinct(self, expression: Expression, rows: float | None = None) -> float:
        """How many values an expression has; if nothing is known, as many as its table has rows."""
        known = self._known(expression)
        if known is not None:
            found = _values(*known)
            many = known[1] if found is None else found
        elif type(expression) is Constant:
            many = 1.0
        else:
            many = 1.0
            parts = [self.distinct(part, rows) for part in _arguments(expression)]
            for part in parts:
                many *= part
            if not parts:
                many = UNKNOWN_ROWS if rows is None else rows
        return many if rows is None else min(many, rows)

    def meeting(self, left: Expression, right: Expression) -> float:
        """The part of all pairs whose keys are equal."""
        sides = [self._known(left), self._known(right)]
        found = [None if side is None else _values(*side) for side in sides]
        known = [many for many in found if many is not None]
        if known:
            return 1 / max(*known, 1.0)
        sizes = [side[1] for side in sides if side is not None]
        return 1 / max(min(sizes), 1.0) if sizes else A_VALUE  # the smaller table is the one whose key it is

    # ---- conditions ----------------------------------------------------------------------------------------------

    def selectivity(self, terms: Iterable[Expression]) -> float:
        """The part of the rows for which all are true."""
        part = 1.0
        ranges: dict[str, list[float]] = {}
        for term in terms:
            one, column = self._term(term)
            if column is None:
                part *= one
            else:
                ranges.setdefault(column, []).append(one)
        for parts in ranges.values():  # a >= 3 AND a < 5: what is left between
            between = sum(parts) - (len(parts) - 1)
            part *= max(between, min(parts) * 0.01) if between < min(parts) else min(parts)
        return max(part, 1e-9)

    def _term(self, term: Expression) -> tuple[float, str | None]:
        """The part, and the column if it is one end of a range over it."""
        if isinstance(term, Constant):
            return (1.0 if term.value else 0.0), None
        if isinstance(term, Among):
            known = self._known(term.argument)
            each = A_VALUE if known is None else compared(*known, "=", None)
            return min(1.0, len(term.items) * each), None
        if not isinstance(term, Call):
            return A_RANGE, None
        name = term.function
        if name == "and":
            return self.selectivity(term.arguments), None
        if name == "or":
            missed = 1.0
            for argument in term.arguments:
                missed *= 1 - self._term(argument)[0]
            return 1 - missed, None
        if name == "not":
            return max(1 - self._term(term.arguments[0])[0], 0.05), None
        if name in {"like", "ilike"}:
            pattern = term.arguments[1]
            leading = isinstance(pattern, Constant) and bytes(pattern.value or b"%")[:1] == b"%"
            return (0.05 if leading else 0.1), None
        if name in {"is null", "is not null"}:
            known = self._known(term.arguments[0])
            part = compared(*known, name, None) if known is not None else 0.05
            return (part if known is not None or name == "is null" else 0.95), None
        if name in TURNED:
            left, right = term.arguments
            if _literal(left):
                left, right, name = right, left, TURNED[name]
            known = self._known(left)
            if _literal(right):
                value = right.value if isinstance(right, Constant) and type(left) is Reference else None
                if known is None:
                    return {"=": A_VALUE, "<>": 0.95}.get(name, A_RANGE), None
                column = left.id if type(left) is Reference and name not in {"=", "<>"} and value is not None else None
                return compared(*known, name, value), column
            if name == "=":
                return self.meeting(left, right), None
            return 0.9 if name == "<>" else A_RANGE, None
        return A_RANGE, None


def _values(column: ColumnStatistics, rows: float) -> float | None:
    """Distinct values of a table's column, None if nothing is known about them."""
    many = column.distinct
    if many is None:
        if not (isinstance(column.low, int) and isinstance(column.high, int)):
            return None
        return max(1.0, min(rows, float(column.high) - column.low + 1))
    return max(float(many), 1.0)


def compared(column: ColumnStatistics, rows: float, op: str, value: Any) -> float:  # noqa: ANN401 - an engine value
    """The part of a table's rows that a comparison with a constant keeps. value None: not known yet."""
    if op in {"is null", "is not null"}:
        nulls = 0.05 if column.nulls is None else column.nulls / max(rows, 1.0)
        return nulls if op == "is null" else 1 - nulls
    each = A_VALUE if column.distinct is None else 1 / max(column.distinct, 1)
    if op == "=":
        return each
    if op == "<>":
        return 1 - each
    if op == "in":
        return min(1.0, each * (len(value) if isinstance(value, tuple) else 3))
    if op == "prefix":
        return 0.1
    low, high = column.low, column.high
    if not all(isinstance(one, int | float) for one in (low, high, value)):
        return A_RANGE
    if low == high:
        return 1.0
    below = min(1.0, max(0.0, float((value - low) / (high - low))))
    return max(below if op in {"<", "<="} else 1 - below, 1 / max(rows, 1.0))


def _terms(condition: Expression) -> list[Expression]:
    if type(condition) is Call and condition.function == "and":
        return [part for argument in condition.arguments for part in _terms(argument)]
    return [condition]


def _arguments(expression: Expression) -> tuple[Expression, ...]:
    if isinstance(expression, Call):
        return tuple([one for one in expression.arguments if type(one) is not Constant])
    return (expression.argument,) if isinstance(expression, Cast) else ()
