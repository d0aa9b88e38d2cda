"""Lowering: a logical plan becomes pipelines. Nothing is looked up or read: the result is kept, and run often.

    SELECT flag, sum(price) FROM lineitem JOIN orders ... WHERE ... GROUP BY flag ORDER BY 1

    0   scan orders   ─ filter                              ─> build side of the join
    1   scan lineitem ─ filter ─ probe 0 ─ project          ─> aggregate
    2   result of 1                                         ─> sort
    3   result of 2   ─ project                             ─> collect

`Lowering.stream` gives for each logical step an open stream: branches of a source and steps, to which the step above
adds its own. A breaker closes the stream: a pipeline with a sink is written down, and a new stream begins at its
result. A stream with several branches (UNION ALL; the build side's rows that a RIGHT JOIN has left over) needs no
operator of its own: all of them feed whatever comes next.

The order of pipelines, and with it their numbers, depends on nothing but the plan: another process that lowers the same
query gets the same pipelines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from engines.sql import expressions, logical, sort, window
from engines.sql.aggregate import Aggregate
from engines.sql.functions import Functions, standard
from engines.sql.limit import Limit
from engines.sql.logical import Bound, Constant, Expression, Plan, Query, Reference, output
from engines.sql.nested import ApplyStep, Rounds, with_values
from engines.sql.operators import Sink, Step
from engines.sql.run import Bindable, Branch, Pipeline, Program
from engines.sql.scan import Result, Rows, Source, Table, Working
from engines.sql.setops import Sets, Side
from engines.sql.steps import Collect, Extend, Filter, Project, Rename
from engines.sql.unnest import Unnest


@dataclass(frozen=True, slots=True)
class Stream:
    """Branches that are still open. Each has the columns of `plan`."""

    branches: tuple[Branch, ...]

    def then(self, step: "Step | Bindable", plan: Plan) -> "Stream":
        return Stream(tuple(replace(one, steps=(*one.steps, step), plans=(*one.plans, plan)) for one in self.branches))


def lower(query: Query, functions: Functions | None = None) -> Program:
    """Pipelines for a query whose subqueries the rewrite rules have turned into joins and Applies."""
    lowering = Lowering(functions)
    stream = lowering.stream(query.plan)
    lowering.close(stream, Collect([id for _, id, _ in query.columns]), query.plan)
    return Program(query, tuple(lowering.pipelines))


def lower_plan(plan: Plan, ids: "tuple[str, ...]", functions: Functions | None) -> Program:
    """A plan inside another one: its columns are known by id."""
    types = output(plan)
    return lower(Query(plan, tuple((id, id, types[id]) for id in ids)), functions)


class Lowering:
    """One query on its way."""

    def __init__(self, functions: Functions | None = None) -> None:
        self.functions = functions or standard()
        self.pipelines: list[Pipeline] = []
        self.shared: dict[str, int] = {}
        self.made = 0

    def close(self, stream: Stream, sink: Sink, plan: Plan) -> int:
        """Write the pipeline down; its number."""
        number = len(self.pipelines)
        self.pipelines.append(Pipeline(number, stream.branches, sink, plan))
        return number

    def begin(self, source: Source, plan: Plan) -> Stream:
        return Stream((Branch(source, (), (plan,)),))

    def through(self, plan: Plan, stream: Stream, sink: Sink) -> Stream:
        """Close it with that sink, and go on with what the sink gives."""
        number = self.close(stream, sink, plan)
        return self.begin(Result(number, sink.batches), plan)

    def stream(self, plan: Plan) -> Stream:
        """An open stream of the plan's rows."""
        match plan:
            case logical.Scan():
                return self.begin(Table(plan), plan)
            case logical.Values():
                return self.begin(Rows(plan, self._cells(plan)), plan)
            case logical.Working():
                return self.begin(Working(plan.name), plan).then(Rename({id: old for id, old, _ in plan.columns}), plan)
            case logical.Filter():
                return self.stream(plan.input).then(Filter(plan.condition, self.functions), plan)
            case logical.Project():
                return self.stream(plan.input).then(Project(plan.columns, self.functions), plan)
            case logical.Join():
                return self._join(plan)
            case logical.Aggregate():
                return self.through(plan, self.stream(plan.input), Aggregate(plan, self.functions))
            case logical.Sort() | logical.TopN():
                return self._sort(plan)
            case logical.Limit():
                return self.through(plan, self.stream(plan.input), Limit(tuple(output(plan)), plan.limit, plan.offset))
            case logical.Window():
                return self._window(plan)
            case logical.SetOperation():
                return self._set_operation(plan)
            case logical.Unnest():
                stream, arrays = self._computed(plan, self.stream(plan.input), [array for _, array in plan.arrays])
                ids = [id for id, _ in plan.arrays]
                step = Unnest(list(zip(ids, arrays, strict=True)), plan.ordinality, outer=plan.outer)
                return stream.then(step, plan)
            case logical.Shared():
                return self._shared(plan)
            case logical.Apply():
                return self._apply(plan)
            case logical.Recursive():
                return self._recursive(plan)
        raise TypeError(f"no step for {type(plan).__name__}")

    def _cells(self, plan: logical.Values) -> expressions.Program:
        return expressions.compile([cell for row in plan.rows for cell in row], self.functions)

    def _shared(self, plan: logical.Shared) -> Stream:
        if plan.name not in self.shared:
            ids = tuple(output(plan.plan))
            self.shared[plan.name] = self.close(self.stream(plan.plan), Collect(ids, f"WITH {plan.name}"), plan.plan)
        number = self.shared[plan.name]
        read = self.pipelines[number].sink.batches
        return self.begin(Result(number, read), plan).then(Rename({id: old for id, old, _ in plan.columns}), plan)

    def _set_operation(self, plan: logical.SetOperation) -> Stream:
        left, right = self.stream(plan.left), self.stream(plan.right)
        first, second = ({id: pair[side] for id, *pair, _ in plan.columns} for side in (0, 1))
        if plan.kind == "union":
            both = Stream((*left.then(Rename(first), plan).branches, *right.then(Rename(second), plan).branches))
            if plan.all:
                return both
            keys = tuple((id, logical.Reference(id=id, type=type)) for id, _, _, type in plan.columns)
            return self.through(plan, both, Aggregate(logical.Aggregate(plan, keys, ()), self.functions))
        both = Stream((*left.then(Side(first, 0), plan).branches, *right.then(Side(second, 1), plan).branches))
        return self.through(plan, both, Sets(plan))

    def _sort(self, plan: logical.Sort | logical.TopN) -> Stream:
        stream, found = self._computed(plan, self.stream(plan.input), [key.expression for key in plan.keys])
        keys = [replace(key, expression=one) for key, one in zip(plan.keys, found, strict=True)]
        ids = tuple(output(plan))
        if isinstance(plan, logical.Sort):
            return self.through(plan, stream, sort.Sort(keys, ids))
        return self.through(plan, stream, sort.TopN(keys, ids, plan.limit, plan.offset))

    def _window(self, plan: logical.Window) -> Stream:
        wanted: list[Expression] = []
        for _, call in plan.calls:
            wanted += [*call.arguments, *call.partition, *(key.expression for key in call.order)]
            wanted += [] if call.where is None else [call.where]
        stream, found = self._computed(plan, self.stream(plan.input), wanted)
        made = dict(zip(wanted, found, strict=True))
        calls = [
            (id, replace(
                call,
                arguments=tuple(made[one] for one in call.arguments),
                partition=tuple(made[one] for one in call.partition),
                order=tuple(replace(key, expression=made[key.expression]) for key in call.order),
                where=None if call.where is None else made[call.where],
            ))
            for id, call in plan.calls
        ]  # fmt: skip
        return self.through(plan, stream, window.Window(calls, tuple(output(plan.input))))

    def _computed(self, plan: Plan, stream: Stream, wanted: Sequence[Expression]) -> tuple[Stream, list[Expression]]:
        """The stream with columns for these expressions, and references to them. Constants stay what they are."""
        made: dict[Expression, Reference] = {}
        for one in wanted:
            if not isinstance(one, Reference | Constant | Bound) and one not in made:
                self.made += 1
                made[one] = Reference(id=f"computed#{self.made}", type=one.type, position=one.position)
        if made:
            columns = [(reference.id, one) for one, reference in made.items()]
            stream = stream.then(Extend(columns, self.functions), plan)
        return stream, [made.get(one, one) for one in wanted]

    def _join(self, plan: logical.Join) -> Stream:
        raise NotImplementedError

    def _apply(self, plan: logical.Apply) -> Stream:
        types = output(plan.input)
        inner = with_values(plan.plan, {id: types[id] for id in plan.outer})
        ids = () if plan.kind in {"semi", "anti"} else tuple(output(plan.plan))
        step: Any = ApplyStep(plan, lower_plan(inner, ids, self.functions))
        return self.stream(plan.input).then(step, plan)

    def _recursive(self, plan: logical.Recursive) -> Stream:
        base = lower_plan(plan.base, tuple(one for _, one, _, _ in plan.columns), self.functions)
        step = lower_plan(plan.step, tuple(one for _, _, one, _ in plan.columns), self.functions)
        return self.begin(Rounds(plan, base, step), plan)
