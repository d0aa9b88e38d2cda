"""EXPLAIN: the steps of a query as a tree, with what each of them does, and with ANALYZE what it has touched.

    Sort  revenue DESC                                    rows 10
    └─ Aggregate  keys l_orderkey, ...; sum(...)          rows 11,620
       └─ Join  inner, l_orderkey = o_orderkey            rows 30,519
          ├─ Scan  lineitem: l_shipdate > 1995-03-15      rows 3,241,776   blocks 92 of 120
          └─ ...

The tree is the logical plan after the rewrite rules. Counters come from the pipelines: a streaming step's own time, a
breaker's time to take rows in.
"""

from collections.abc import Callable, Mapping
from datetime import date, time

from engines.display import Plan
from engines.sql import logical
from engines.sql.collected import Collected
from engines.sql.context import Context
from engines.sql.logical import Expression, inputs
from engines.sql.program import Move, Profile, Program
from engines.sql.result import Result
from engines.sql.rewrite import estimate
from engines.sql.source import Predicate, Scanned, TableSource
from engines.sql.types import VARCHAR, Type
from engines.sql.values import engine_column, python_values

OPERATORS = frozenset({"=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "and", "or", "like", "||"})
LONGEST = 160


def plan_of(
    program: Program,
    source: Callable[[str], TableSource],
    profile: Profile | None = None,
    scanned: Scanned | None = None,
    seconds: float = 0.0,
    *,
    moves: Mapping[int, Move] | None = None,
) -> Plan:
    """The tree of a program. With a profile, what each step did when it was run. moves: of joins, by id()."""
    counted = {} if profile is None else _counters(program, profile)
    root = _tree(program.query.plan, source, counted, moves or {})
    if scanned is not None:
        root.counters["micros_total"] = round(1e6 * seconds)
        for name in scanned.__slots__:
            if value := getattr(scanned, name):
                root.counters[name] = value
    return root


def _counters(program: Program, profile: Profile) -> dict[int, dict[str, float]]:
    """For each logical step (by id()) what its operators counted."""
    found: dict[int, dict[str, float]] = {}
    first: dict[int, int] = {}  # the pipeline that takes a step's rows in; a later one takes its own groups or runs
    for (number, branch, step), counter in sorted(profile.counters.items()):
        pipeline = program.pipelines[number]
        plans = pipeline.branches[branch].plans
        last = step == len(pipeline.branches[branch].steps)
        plan = pipeline.plan if last else plans[step + 1]
        one = found.setdefault(id(plan), {})
        one["micros"] = one.get("micros", 0) + round(1e6 * counter.seconds)
        if last and first.setdefault(id(plan), number) != number:
            continue
        if last:
            one["rows_in"] = one.get("rows_in", 0) + counter.rows
        else:
            one["rows"] = counter.rows
            one["batches"] = counter.batches
    return found


def _tree(
    plan: logical.Plan,
    source: Callable[[str], TableSource],
    counted: dict[int, dict[str, float]],
    moves: Mapping[int, Move],
) -> Plan:
    counters = dict(counted.get(id(plan), {}))
    move = moves.get(id(plan))
    if not counted:
        counters["rows_estimated"] = round(estimate(plan, source))
        if move is not None and move.rows:
            counters |= {"rows_moved_estimated": move.rows, "bytes_moved_estimated": move.bytes}
    children = [_tree(one, source, counted, moves) for one in inputs(plan)]
    detail = _detail(plan, source) if move is None else f"{move.label}; {_detail(plan, source)}"
    return Plan(type(plan).__name__, detail, counters, children)


def _detail(plan: logical.Plan, source: Callable[[str], TableSource]) -> str:
    match plan:
        case logical.Scan():
            types = {field.name: field.type for field in source(plan.table).schema()} if plan.predicates else {}
            tests = " and ".join(_predicate(one, types.get(one.column)) for one in plan.predicates)
            return _cut(f"{plan.table}{f': {tests}' if tests else ''}")
        case logical.Filter():
            return text_of(plan.condition)
        case logical.Project():
            return _listed(plan.columns)
        case logical.Join():
            keys = " and ".join(f"{text_of(a)} = {text_of(b)}" for a, b in plan.keys)
            rest = f"; {text_of(plan.condition)}" if plan.condition is not None else ""
            return _cut(f"{plan.kind}{f', {keys}' if keys else ''}{rest}; hash table of the {plan.build} side")
        case logical.Aggregate():
            keys = ", ".join(text_of(expression) for _, expression in plan.keys)
            calls = ", ".join(_call(call.function, call.arguments, distinct=call.distinct) for _, call in plan.calls)
            return _cut("; ".join(part for part in (f"by {keys}" if keys else "", calls) if part))
        case logical.Window():
            return _cut(", ".join(_call(call.function, call.arguments) for _, call in plan.calls))
        case logical.Sort() | logical.TopN():
            keys = ", ".join(text_of(key.expression) + (" desc" if key.descending else "") for key in plan.keys)
            return _cut(keys if isinstance(plan, logical.Sort) else f"{keys}; {text_of(plan.limit)} rows")
        case logical.Limit():
            return f"{text_of(plan.limit)} rows" if plan.limit is not None else ""
        case logical.SetOperation():
            return f"{plan.kind}{' all' if plan.all else ''}"
        case logical.Values():
            return f"{len(plan.rows)} rows"
        case logical.Apply():
            return f"{plan.kind}, once for each {', '.join(map(_name, plan.outer)) or 'query'}"
        case logical.Shared() | logical.Recursive() | logical.Working():
            return plan.name
    return ""


def _predicate(one: Predicate, type: Type | None) -> str:
    value = one.value
    if isinstance(value, Expression):
        shown = text_of(value)
    elif value is not None and type is not None and one.op != "prefix":
        several = value if isinstance(value, tuple) else (value,)
        texts = [
            text_of(part if isinstance(part, Expression) else logical.Constant(part, type=type)) for part in several
        ]
        shown = f"({', '.join(texts)})" if isinstance(value, tuple) else texts[0]
    elif isinstance(value, bytes):
        shown = repr(value.decode(errors="replace"))
    else:
        shown = "" if value is None else str(value)
    return f"{one.column} {one.op} {shown}".rstrip()


def _listed(columns: tuple[tuple[str, Expression], ...]) -> str:
    return _cut(", ".join(text_of(expression) for _, expression in columns))


def _call(function: str, arguments: tuple[Expression, ...], *, distinct: bool = False) -> str:
    inner = ", ".join(map(text_of, arguments)) if arguments or function != "count" else "*"
    return f"{function}({'distinct ' if distinct else ''}{inner})"


def text_of(expression: Expression) -> str:
    """An expression much as the user wrote it."""
    match expression:
        case logical.Reference():
            return _name(expression.id)
        case logical.Constant():
            return _constant(expression)
        case logical.Bound():
            name = str(expression.name)
            return name[1:] if name.startswith("$") else f":{name}"  # $now is the engine's own
        case logical.Call(function=function, arguments=(left, right)) if function in OPERATORS:
            return _cut(f"({text_of(left)} {function} {text_of(right)})")
        case logical.Call():
            return _cut(_call(expression.function, expression.arguments))
        case logical.Cast():
            return f"{text_of(expression.argument)}::{expression.type}"
        case logical.Case():
            return "case ... end"
        case logical.Among():
            return _cut(f"{text_of(expression.argument)} in ({', '.join(map(text_of, expression.items))})")
    return type(expression).__name__.lower()


def _name(id: str) -> str:
    return id.partition("#")[0] or id


def _constant(constant: logical.Constant) -> str:
    if constant.value is None:
        return "null"
    if constant.type.kind == "interval":
        months, rest = constant.value
        unit, second = ("ns", 10**9) if constant.type.unit == "ns" else ("us", 10**6)
        clock = f"{rest // second} s" if rest % second == 0 else f"{rest} {unit}"
        return f"interval '{f'{months} months ' if months else ''}{clock if rest or not months else ''}".rstrip() + "'"
    (value,) = python_values(engine_column([constant.value], constant.type), 1)
    if isinstance(value, (date, time)):
        return repr(str(value).removesuffix("+00:00") if constant.type.kind == "timestamp" else str(value))
    return repr(value) if isinstance(value, str) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def as_result(plan: Plan) -> Result:
    """The tree as the rows of a table, as EXPLAIN answers."""
    lines: list[bytes] = [line.encode() for line in str(plan).split("\n")]
    found = Collected()
    found.add({"plan": engine_column(lines, VARCHAR)}, len(lines), Context(), "EXPLAIN")
    columns: list[tuple[str, str, Type]] = [("QUERY PLAN", "plan", VARCHAR)]
    return Result(found, columns)
