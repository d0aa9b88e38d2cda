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

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from engines.sql import expressions, logical, sort, window
from engines.sql.aggregate import Aggregate
from engines.sql.functions import Functions, standard
from engines.sql.join import Joining
from engines.sql.limit import Limit
from engines.sql.logical import Bound, Constant, Expression, Plan, Query, Reference, output, references
from engines.sql.nested import ApplyStep, Rounds, with_values
from engines.sql.operators import Sink, Step
from engines.sql.run import Bindable, Branch, Pipeline, Program
from engines.sql.scan import Result, Rows, Source, Table, Working, constants
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
    ids = [id for _, id, _ in query.columns]
    stream = lowering.stream(query.plan, ids)
    lowering.close(stream, Collect(ids), query.plan)
    return Program(query, tuple(lowering.pipelines))


def lower_plan(plan: Plan, ids: Sequence[str], functions: Functions | None) -> Program:
    """A plan inside another one: its columns are known by id."""
    types = output(plan)
    return lower(Query(plan, tuple((id, id, types[id]) for id in ids)), functions)


def mentioned(expressions: Iterable[Expression | None]) -> set[str]:
    """The ids that any of them mentions."""
    return {id for one in expressions if one is not None for id in references(one)}


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

    def stream(self, plan: Plan, needed: Collection[str]) -> Stream:
        """An open stream of the plan's rows, with at least the columns that are needed above."""
        match plan:
            case logical.Scan():
                return self.begin(Table(plan, constants(plan, self.functions)), plan)
            case logical.Values():
                return self.begin(Rows(plan, self._cells(plan)), plan)
            case logical.Working():
                stream = self.begin(Working(plan.name), plan)
                return stream.then(Rename({id: old for id, old, _ in plan.columns}), plan)
            case logical.Filter():
                below = self.stream(plan.input, {*needed, *references(plan.condition)})
                return below.then(Filter(plan.condition, self.functions), plan)
            case logical.Project():
                below = self.stream(plan.input, mentioned(expression for _, expression in plan.columns))
                return below.then(Project(plan.columns, self.functions), plan)
            case logical.Join():
                return self._join(plan, needed)
            case logical.Aggregate():
                below = self.stream(plan.input, _aggregated(plan))
                return self.through(plan, below, Aggregate(plan, self.functions))
            case logical.Sort() | logical.TopN():
                return self._sort(plan, needed)
            case logical.Limit():
                below = self.stream(plan.input, needed)
                return self.through(plan, below, Limit(_kept(plan, needed), plan.limit, plan.offset))
            case logical.Window():
                return self._window(plan, needed)
            case logical.SetOperation():
                return self._set_operation(plan)
            case logical.Unnest():
                arrays = [array for _, array in plan.arrays]
                below = self.stream(plan.input, {*needed, *mentioned(arrays)})
                stream, found = self._computed(plan, below, arrays)
                named = [(id, array) for (id, _), array in zip(plan.arrays, found, strict=True)]
                return stream.then(Unnest(named, plan.ordinality, outer=plan.outer), plan)
            case logical.Shared():
                return self._shared(plan)
            case logical.Apply():
                return self._apply(plan, needed)
            case logical.Recursive():
                return self._recursive(plan)
        raise TypeError(f"no step for {type(plan).__name__}")

    def _cells(self, plan: logical.Values) -> expressions.Program:
        return expressions.compile([cell for row in plan.rows for cell in row], self.functions)

    def _join(self, plan: logical.Join, needed: Collection[str]) -> Stream:
        join = Joining(plan, self.functions, needed)
        wanted = {*needed, *mentioned([plan.condition]), *mentioned(key for pair in plan.keys for key in pair)}
        number = self.close(self.stream(join.build_plan, wanted), join.build, plan)
        stream = self.stream(join.probe_plan, wanted).then(join.probe(number), plan)
        if join.rest:
            rest = self.begin(Result(number, join.leftovers), plan)
            stream = Stream((*stream.branches, *rest.branches))
        return stream

    def _shared(self, plan: logical.Shared) -> Stream:
        if plan.name not in self.shared:
            ids = tuple(output(plan.plan))
            sink = Collect(ids, f"WITH {plan.name}")
            self.shared[plan.name] = self.close(self.stream(plan.plan, ids), sink, plan.plan)
        number = self.shared[plan.name]
        stream = self.begin(Result(number, self.pipelines[number].sink.batches), plan)
        return stream.then(Rename({id: old for id, old, _ in plan.columns}), plan)

    def _set_operation(self, plan: logical.SetOperation) -> Stream:
        first = {id: left for id, left, _, _ in plan.columns}
        second = {id: right for id, _, right, _ in plan.columns}
        left, right = self.stream(plan.left, first.values()), self.stream(plan.right, second.values())
        if plan.kind == "union":
            both = Stream((*left.then(Rename(first), plan).branches, *right.then(Rename(second), plan).branches))
            if plan.all:
                return both
            keys = tuple((id, Reference(id=id, type=type)) for id, _, _, type in plan.columns)
            return self.through(plan, both, Aggregate(logical.Aggregate(plan, keys, ()), self.functions))
        both = Stream((*left.then(Side(first, 0), plan).branches, *right.then(Side(second, 1), plan).branches))
        return self.through(plan, both, Sets(plan))

    def _sort(self, plan: logical.Sort | logical.TopN, needed: Collection[str]) -> Stream:
        wanted = [key.expression for key in plan.keys]
        stream, found = self._computed(plan, self.stream(plan.input, {*needed, *mentioned(wanted)}), wanted)
        keys = [replace(key, expression=one) for key, one in zip(plan.keys, found, strict=True)]
        ids = _kept(plan, needed)
        if isinstance(plan, logical.Sort):
            return self.through(plan, stream, sort.Sort(keys, ids))
        return self.through(plan, stream, sort.TopN(keys, ids, plan.limit, plan.offset))

    def _window(self, plan: logical.Window, needed: Collection[str]) -> Stream:
        wanted: list[Expression] = []
        for _, call in plan.calls:
            wanted += [*call.arguments, *call.partition, *(key.expression for key in call.order)]
            wanted += [] if call.where is None else [call.where]
        below = self.stream(plan.input, {*needed, *mentioned(wanted)})
        stream, found = self._computed(plan, below, wanted)
        made = dict(zip(wanted, found, strict=True))
        calls = []
        for id, call in plan.calls:
            order = tuple(replace(key, expression=made[key.expression]) for key in call.order)
            arguments = tuple(made[one] for one in call.arguments)
            partition = tuple(made[one] for one in call.partition)
            where = None if call.where is None else made[call.where]
            calls.append((id, replace(call, arguments=arguments, partition=partition, order=order, where=where)))
        return self.through(plan, stream, window.Window(calls, _kept(plan.input, needed)))

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

    def _apply(self, plan: logical.Apply, needed: Collection[str]) -> Stream:
        types = output(plan.input)
        inner = with_values(plan.plan, {id: types[id] for id in plan.outer})
        ids = () if plan.kind in {"semi", "anti"} else tuple(output(plan.plan))
        step = ApplyStep(plan, lower_plan(inner, ids, self.functions))
        return self.stream(plan.input, {*needed, *plan.outer}).then(step, plan)

    def _recursive(self, plan: logical.Recursive) -> Stream:
        base = lower_plan(plan.base, [one for _, one, _, _ in plan.columns], self.functions)
        step = lower_plan(plan.step, [one for _, _, one, _ in plan.columns], self.functions)
        return self.begin(Rounds(plan, base, step), plan)


def _kept(plan: Plan, needed: Collection[str]) -> tuple[str, ...]:
    """The ids of a plan that somebody above asks for, in order."""
    return tuple(id for id in output(plan) if id in needed)


def _aggregated(plan: logical.Aggregate) -> set[str]:
    found = mentioned(expression for _, expression in plan.keys)
    for _, call in plan.calls:
        found |= mentioned([*call.arguments, call.where, *(key.expression for key in call.order)])
    return found
