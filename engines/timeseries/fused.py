"""The physical rule: an Aggregate right over a table is answered by folding blocks, without making rows of them.

    Aggregate  by hostname, bin(time, 1h); max(usage)          Scan  "fold 1 of cpu": hostname, bin, max
    └─ Scan  cpu: time >= ..., region = 'eu'            ──>

Keys: dimensions, measure_name and at most one bin(time, d) (date_trunc of a fixed unit is one). Calls: count sum avg
min max of plain measures or of the time. All conditions must be such that the scan answers them exactly.

The fold is run by folding.py; it keeps the scan's predicates to itself, for without GROUP BY there is a row even where
a comparison with NULL admits none.

Single-measure records: measure_value::double is all measures of that type that the conditions let through, and
max(CASE WHEN measure_name = 'x' THEN measure_value::double END) is the measure x alone: the idiom of such tables.

max_by(x, time) by dimensions alone, and max(time) beside it, is read off the newest block of each series: newest.py.

ORDER BY bin DESC LIMIT n over a fold reads the newest bins first, and stops when it has n rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from engines.sql.castwords import decimal_text
from engines.sql.explain import text_of
from engines.sql.logical import (
    Aggregate,
    AggregateCall,
    Among,
    Bound,
    Call,
    Case,
    Constant,
    Expression,
    Filter,
    Plan,
    Project,
    Query,
    Reference,
    Scan,
    Shared,
    TopN,
)
from engines.sql.rewrite.trees import conjuncts, filtered, rebuilt
from engines.sql.source import Field, Predicate, Support
from engines.sql.types import TIMESTAMP_NS, VARCHAR, Type
from engines.text import show
from engines.timeseries import durations, newest
from engines.timeseries.functions.times import UNITS
from engines.timeseries.part import TIME
from engines.timeseries.scan import TimeSource
from engines.timeseries.selection import MEASURE_NAME, TIME_COLUMN, VALUE, Columns, Selection

FUNCTIONS: Final = frozenset({"count", "sum", "avg", "min", "max"})
FOLDED: Final = frozenset({"double", "bigint"})  # types that sums are made of
ORDERED: Final = frozenset({"double", "bigint", "timestamp"})  # and least and greatest values


@dataclass(frozen=True, slots=True)
class Argument:
    """What a call folds. column: as SQL names it. only: of single-measure records, the measure of that name."""

    column: str
    only: str | None = None

    def ids(self, columns: Columns, wanted: Selection) -> list[int]:
        """The columns of parts that are meant."""
        if self.column == TIME_COLUMN:
            return [TIME]
        measure = columns.multi.get(self.column)
        if measure is not None:
            return [measure.id] if wanted.multi else []
        kind = self.column.removeprefix(VALUE)
        return [one.id for one in wanted.singles if one.type == kind and self.only in {None, one.name}]

    def __str__(self) -> str:
        return self.column if self.only is None else f"{self.only} ({self.column})"


@dataclass(frozen=True, slots=True)
class FoldedCall:
    """A call: COUNT(*) has no argument."""

    id: str
    function: str
    argument: Argument | None
    type: Type
    position: int = -1  # in the text

    def __str__(self) -> str:
        return f"{self.function}({'*' if self.argument is None else self.argument})"


@dataclass(frozen=True, slots=True)
class Fold:
    """The rule's outcome, made with the plan. bin: id and width. few: how many rows, in the order of bins."""

    table: str
    dimensions: tuple[tuple[str, str], ...]  # id, column
    bin: tuple[str, int] | None
    calls: tuple[FoldedCall, ...]
    types: Mapping[str, Type]  # of the ids that the plan above knows
    predicates: tuple[Predicate, ...] = ()
    few: tuple[bool, Expression] | None = None  # descending, how many
    kept: dict[Any, Any] = field(default_factory=dict, compare=False)  # what runs have found out

    @property
    def latest(self) -> bool:
        """Whether it is answered from the newest rows, or the oldest ones."""
        return any(call.function in newest.BY for call in self.calls)

    @property
    def grouped(self) -> bool:
        """Whether there is GROUP BY: without it there is one group, always."""
        return bool(self.dimensions) or self.bin is not None

    def described(self) -> str:
        """For explain."""
        keys = [column for _, column in self.dimensions]
        keys += [] if self.bin is None else [f"bin(time, {durations.written(self.bin[1])})"]
        by = f" by {', '.join(keys)}" if keys else ""
        where = " and ".join(map(_shown, self.predicates))
        return f"{self.table}{by}: {', '.join(map(str, self.calls)) or 'groups'}{f'; {where}' if where else ''}"


def _shown(one: Predicate) -> str:
    several = one.value if isinstance(one.value, tuple) else (one.value,)
    times = one.column == TIME_COLUMN
    texts = [
        text_of(value) if isinstance(value, Expression) else written(value, TIMESTAMP_NS if times else VARCHAR)
        for value in several
    ]
    shown = f"({', '.join(texts)})" if isinstance(one.value, tuple) else texts[0]
    return f"{one.column} {one.op} {shown if one.value is not None else ''}".rstrip()


def written(value: Any, type: Type) -> str:  # noqa: ANN401 - an engine value
    """A value as a plan shows it."""
    if value is None:
        return "null"
    if type.kind == "timestamp":
        return show(np.datetime64(value, "ns")).removesuffix(".000000000")
    if type.kind == "interval":
        months, time = value
        return f"{months} months" if months else f"{'-' if time < 0 else ''}{durations.written(abs(time))}"
    if isinstance(value, bytes):
        return repr(value.decode(errors="replace"))
    return decimal_text(value, type.scale) if type.decimal else str(value)


@dataclass(frozen=True, slots=True)
class End:
    """A scan of the newest (descending) or oldest rows of a table: limit, and offset before it. See ends.py."""

    table: str
    descending: bool
    limit: Expression
    offset: Expression | None


# ---- the rule -----------------------------------------------------------------------------------------------------


def fuse(query: Query, sources: Mapping[str, TimeSource]) -> tuple[Query, dict[str, Fold], dict[str, End]]:
    """The query with scans of tables of their own in the place of aggregates and scans, and what these are."""
    rule = _Rule(sources)
    plan = rule.plan(query.plan)
    return replace(query, plan=plan), rule.folds, rule.ends


class _Rule:
    def __init__(self, sources: Mapping[str, TimeSource]) -> None:
        self.sources = sources
        self.folds: dict[str, Fold] = {}
        self.ends: dict[str, End] = {}
        self.shared: dict[str, Plan] = {}

    def plan(self, plan: Plan) -> Plan:
        if isinstance(plan, Shared):
            if plan.name not in self.shared:
                self.shared[plan.name] = self.plan(plan.plan)
            return Shared(plan.name, self.shared[plan.name], plan.columns)
        made = rebuilt(plan, self.plan)
        if isinstance(made, Filter) and isinstance(made.input, Scan) and made.input.table in self.sources:
            return _with_lists(made, made.input, self.sources[made.input.table])
        if isinstance(made, Aggregate):
            return self._aggregate(made)
        if isinstance(made, TopN):
            self._few(made)
            return self._ended(made)
        return made

    def _aggregate(self, plan: Aggregate) -> Plan:
        scan, renamed = _scan_below(plan.input)
        if scan is None or scan.table not in self.sources or plan.sets is not None:
            return plan
        source = self.sources[scan.table]
        if not all(_exact(one, source) for one in scan.predicates):
            return plan
        found = _Aggregation(scan, source.columns(), renamed).fold(plan)
        if found is None:
            return plan
        name = f"fold {len(self.folds) + 1} of {scan.table}"
        self.folds[name] = found
        return Scan(name, tuple((id, Field(id, type)) for id, type in found.types.items()))

    def _few(self, plan: TopN) -> None:
        """The fold below is told how many rows are wanted, if the first key is its bin."""
        below, first = plan.input, plan.keys[0]
        id = first.expression.id if isinstance(first.expression, Reference) else None
        while isinstance(below, Project):
            inner = dict(below.columns).get(id or "")
            id = inner.id if isinstance(inner, Reference) else None
            below = below.input
        if not isinstance(below, Scan) or below.table not in self.folds or plan.offset is not None:
            return
        fold = self.folds[below.table]
        if fold.bin is not None and fold.bin[0] == id:
            self.folds[below.table] = replace(fold, few=(first.descending, plan.limit))

    def _ended(self, plan: TopN) -> Plan:
        """ORDER BY time LIMIT n right over a scan: it reads that end of the table only."""
        scan, renamed = _scan_below(plan.input)
        key = plan.keys[0]
        if scan is None or scan.table not in self.sources or not isinstance(key.expression, Reference):
            return plan
        source = self.sources[scan.table]
        names = {id: field.name for id, field in scan.columns}
        if names.get(renamed.get(key.expression.id, "")) != TIME_COLUMN or source.columns().singles:
            return plan
        if not all(_exact(one, source) for one in scan.predicates):
            return plan
        name = f"{'newest' if key.descending else 'oldest'} rows {len(self.ends) + 1} of {scan.table}"
        self.ends[name] = End(scan.table, key.descending, plan.limit, plan.offset)
        ended = Scan(name, scan.columns, scan.predicates, scan.alias)
        return replace(plan, input=_over_scan(plan.input, ended))


def _exact(one: Predicate, source: TimeSource) -> bool:
    """Whether no row that fails it comes back; and its value is there, or has a name: an expression is the floor's."""
    values = one.value if isinstance(one.value, tuple) else (one.value,)
    plain = all(isinstance(value, Bound) or not isinstance(value, Expression) for value in values)
    return plain and source.support(one) is Support.EXACT


def _over_scan(plan: Plan, scan: Scan) -> Plan:
    """The same projections over another scan."""
    return scan if isinstance(plan, Scan) else rebuilt(plan, lambda below: _over_scan(below, scan))


def _scan_below(plan: Plan) -> tuple[Scan | None, dict[str, str]]:
    """The scan below projections that only rename: and its ids by those above."""
    names: dict[str, str] | None = None
    while isinstance(plan, Project):
        step = {id: one.id for id, one in plan.columns if isinstance(one, Reference)}
        if len(step) < len(plan.columns):
            return None, {}
        names = step if names is None else {id: step[below] for id, below in names.items()}
        plan = plan.input
    if not isinstance(plan, Scan):
        return None, {}
    return plan, names if names is not None else {id: id for id, _ in plan.columns}


def _with_lists(plan: Filter, scan: Scan, source: TimeSource) -> Plan:
    """IN with values that are known when the statement runs, over a dimension, goes to the scan too."""
    fields = dict(scan.columns)
    dimensions = {*source.columns().dimensions, MEASURE_NAME}
    stay, asked = [], []
    for term in conjuncts(plan.condition):
        if not isinstance(term, Among) or not isinstance(term.argument, Reference):
            stay.append(term)
            continue
        column = fields[term.argument.id]
        items = [one for one in term.items if isinstance(one, Constant | Bound) and one.type.text]
        if column.name not in dimensions or len(items) < len(term.items):
            stay.append(term)
            continue
        values = tuple(one if isinstance(one, Bound) else one.value for one in items)
        asked.append(Predicate(column.name, "in", values))
    if not asked:
        return plan
    return filtered(Scan(scan.table, scan.columns, (*scan.predicates, *asked), scan.alias), stay)


class _Aggregation:
    """An Aggregate over a scan, read as a fold: None where it is none."""

    def __init__(self, scan: Scan, columns: Columns, renamed: Mapping[str, str]) -> None:
        self.scan = scan
        self.columns = columns
        fields = {id: one.name for id, one in scan.columns}
        self.names = {above: fields[below] for above, below in renamed.items() if below in fields}

    def fold(self, plan: Aggregate) -> Fold | None:
        dimensions: list[tuple[str, str]] = []
        bin: tuple[str, int] | None = None
        for id, key in plan.keys:
            name = self.column(key)
            width = self.width(key)
            if name in self.columns.dimensions or (name == MEASURE_NAME and not self.columns.singles):
                dimensions.append((id, str(name)))
            elif width is not None and bin is None:
                bin = id, width
            else:
                return None
        calls = []
        for id, call in plan.calls:
            found = self.call(id, call)
            if found is None:
                return None
            calls.append(found)
        if not self.sound(calls, bin):
            return None
        types = {id: key.type for id, key in plan.keys} | {id: call.type for id, call in plan.calls}
        return Fold(self.scan.table, tuple(dimensions), bin, tuple(calls), types, self.scan.predicates)

    def sound(self, calls: Sequence[FoldedCall], bin: tuple[str, int] | None) -> bool:
        """Whether these calls can be folded together."""
        last = [call for call in calls if call.function in newest.BY]
        if last and (bin is not None or not newest.together(calls) or self.columns.singles):
            return False
        return not (self.columns.singles and self.columns.multi)  # what a row is differs: rows are counted one by one

    def column(self, one: Expression) -> str | None:
        return self.names.get(one.id) if isinstance(one, Reference) else None

    def width(self, one: Expression) -> int | None:
        """Of bin(time, d), and of date_trunc with a unit that has one."""
        if not isinstance(one, Call) or len(one.arguments) != 2:
            return None
        first, second = one.arguments
        if one.function == "bin" and self.column(first) == TIME_COLUMN and isinstance(second, Constant):
            value = second.value
            return value[1] if isinstance(value, tuple) and value[0] == 0 and value[1] > 0 else None
        if one.function == "date_trunc" and self.column(second) == TIME_COLUMN and isinstance(first, Constant):
            unit = first.value.decode().strip().lower() if isinstance(first.value, bytes) else ""
            return None if unit == "week" else UNITS.get(unit)
        return None

    def call(self, id: str, call: AggregateCall) -> FoldedCall | None:
        if call.distinct or call.where is not None or call.order:
            return None
        if call.function in newest.BY and len(call.arguments) == 2:
            name = self.column(call.arguments[0])
            if self.column(call.arguments[1]) != TIME_COLUMN or name not in self.columns.multi:
                return None
            return FoldedCall(id, call.function, Argument(str(name)), call.type, call.position)
        if call.function not in FUNCTIONS or len(call.arguments) > 1:
            return None
        if not call.arguments:
            return FoldedCall(id, "count", None, call.type) if call.function == "count" else None
        argument = self.argument(call.arguments[0])
        if argument is None:
            return None
        kind = self.kind(argument)
        if argument.column == TIME_COLUMN:
            if call.function in newest.OF_TIME:
                if self.columns.singles and any(one.column == MEASURE_NAME for one in self.scan.predicates):
                    return None  # measures share the times of a series, and some of these may have no row here
                return FoldedCall(id, call.function, argument, call.type)
            return FoldedCall(id, "count", None, call.type) if call.function == "count" else None
        if call.function in {"sum", "avg"} and kind not in FOLDED:
            return None
        if call.function in {"min", "max"} and kind not in ORDERED:
            return None
        return FoldedCall(id, call.function, argument, call.type, call.position)

    def kind(self, argument: Argument) -> str:
        measure = self.columns.multi.get(argument.column)
        return measure.type if measure is not None else argument.column.removeprefix(VALUE)

    def argument(self, one: Expression) -> Argument | None:
        name = self.column(one)
        if name is not None:
            plain = name == TIME_COLUMN or name in self.columns.multi or name.startswith(VALUE)
            return Argument(name) if plain else None
        if not isinstance(one, Case) or len(one.branches) != 1:
            return None
        condition, value = one.branches[0]
        missing = isinstance(one.otherwise, Constant) and one.otherwise.value is None
        inner = self.column(value)
        if not missing or inner is None or not inner.startswith(VALUE) or self.columns.multi:
            return None
        if not isinstance(condition, Call) or condition.function != "=":
            return None
        left, right = condition.arguments
        if isinstance(left, Constant):
            left, right = right, left
        if self.column(left) != MEASURE_NAME or not isinstance(right, Constant) or not isinstance(right.value, bytes):
            return None
        return Argument(inner, right.value.decode())
