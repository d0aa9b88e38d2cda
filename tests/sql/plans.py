"""For tests of plans: tables without rows, and plans as short texts.

    join inner a.x=b.x
      scan a x y
      filter (b.z > 3)
        scan b x z

Names stand without the numbers that make ids unique.
"""

from engines.sql.expressions import fold
from engines.sql.front import prepare
from engines.sql.logical import (
    Aggregate,
    Among,
    Apply,
    Bound,
    Call,
    Case,
    Cast,
    Constant,
    Filter,
    Join,
    Limit,
    Project,
    Query,
    Reference,
    Scan,
    SetOperation,
    Shared,
    Sort,
    Subquery,
    TopN,
    Values,
    Window,
    inputs,
)
from engines.sql.rewrite import RULES, rewrite
from engines.sql.source import ColumnStatistics, Field, Statistics, Support
from engines.sql.types import DATE, INTEGER, VARCHAR, decimal

KINDS = {"int": INTEGER, "text": VARCHAR, "date": DATE, "dec": decimal(10, 2)}


class Bare:
    """A table that is never scanned. columns: "x int, y text not null"; answers: op -> Support."""

    placement = None

    def __init__(self, name, columns, *, rows=None, distinct=None, bounds=None, answers=None):
        self.name = name
        fields = [column.split() for column in columns.split(",")]
        self._schema = tuple(Field(one[0], KINDS[one[1]], one[2:] != ["not", "null"]) for one in fields)
        known = set(distinct or ()) | set(bounds or ())
        statistics = {
            one: ColumnStatistics(*(bounds or {}).get(one, (None, None)), 0, (distinct or {}).get(one)) for one in known
        }
        self._statistics = Statistics(rows, statistics)
        self._answers = answers or {}

    def schema(self):
        return self._schema

    def version(self):
        return 0

    def statistics(self):
        return self._statistics

    def support(self, predicate):
        return self._answers.get(predicate.op, Support.NONE)


class Tables(dict):
    """A catalogue: name -> source."""

    def __init__(self, *tables):
        super().__init__({table.name: table for table in tables})

    def find(self, parts):
        return self.get(parts[-1].lower())

    def names(self):
        return list(self)

    def source(self, name):
        return self[name.rpartition(".")[2]]


def bound(text, tables) -> Query:
    return next(iter(prepare(text, tables))).query


def rewritten(text, tables, *, without=()):
    rules = [rule for rule in RULES if rule.name not in without]
    return rewrite(bound(text, tables), tables.source, rules=rules, folding=fold)


def plan(text, tables, *, without=()):
    """The rewritten plan of a query as a text."""
    return shown(rewritten(text, tables, without=without).plan)


def steps(plan):
    """Every step of a plan."""
    yield plan
    for below in inputs(plan):
        yield from steps(below)


def name(column):
    return column.partition("#")[0]


def written(one):
    match one:
        case Reference():
            return name(one.id)
        case Constant():
            return one.value.decode() if isinstance(one.value, bytes) else str(one.value)
        case Bound():
            return f"${one.name}"
        case Call(arguments=(left, right)) if not one.function.isalpha() or one.function in {"and", "or"}:
            return f"({written(left)} {one.function} {written(right)})"
        case Call():
            return f"{one.function}({', '.join(map(written, one.arguments))})"
        case Cast():
            return f"cast({written(one.argument)} as {one.type})"
        case Among():
            return f"{written(one.argument)} in ({', '.join(map(written, one.items))})"
        case Case():
            cases = " ".join(f"when {written(a)} then {written(b)}" for a, b in one.branches)
            return f"case {cases} else {written(one.otherwise)}"
        case Subquery():
            return f"{one.kind}[...]"
    return str(one)


def _line(plan):  # noqa: C901 - one line a kind
    match plan:
        case Scan():
            asked = [f"[{one.column} {one.op} {one.value}]" for one in plan.predicates]
            return " ".join(["scan", plan.table.rpartition(".")[2], *[name(key) for key, _ in plan.columns], *asked])
        case Filter():
            return f"filter {written(plan.condition)}"
        case Project():
            return "project " + ", ".join(
                name(key) if isinstance(one, Reference) and one.id == key else f"{name(key)}: {written(one)}"
                for key, one in plan.columns
            )
        case Join():
            keys = [f"{written(a)}={written(b)}" for a, b in plan.keys]
            condition = [] if plan.condition is None else ["if", written(plan.condition)]
            build = ["built left"] if plan.build == "left" else []
            return " ".join(["join", plan.kind, *keys, *condition, *build])
        case Aggregate():
            calls = [f"{one.function}({', '.join(map(written, one.arguments))})" for _, one in plan.calls]
            return " ".join(["group", *[written(one) for _, one in plan.keys], *calls])
        case Sort() | TopN():
            return " ".join([type(plan).__name__.lower(), *[written(key.expression) for key in plan.keys]])
        case Limit():
            return f"limit {written(plan.limit)}"
        case Apply():
            return " ".join(["apply", plan.kind, *map(name, plan.outer)]) + (" mark" if plan.mark else "")
        case Shared():
            return f"with {name(plan.name)}"
        case Values():
            return f"values {len(plan.rows)}"
        case SetOperation():
            return plan.kind + " all" * plan.all
        case Window():
            return "window " + " ".join(one.function for _, one in plan.calls)
    return type(plan).__name__.lower()


def shown(plan, depth=0):
    lines = ["  " * depth + _line(plan)]
    lines += [shown(below, depth + 1) for below in inputs(plan)]
    return "\n".join(lines)
