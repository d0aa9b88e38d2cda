"""The short way: a plan that is one fold with projections, filters and an order on top is run without pipelines.

    Project ─ Sort ─ Filter ─ Project ─ Scan "fold 1"

Such a query touches a few thousand blocks at most, and its rows are few: what pipelines cost to set up (slices, states,
portions) would be more than the work. The steps are the floor's own, over one batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engines.sql import expressions, ordering
from engines.sql.collected import Collected
from engines.sql.column import Batch, expand
from engines.sql.concatenate import concatenate
from engines.sql.context import Context
from engines.sql.functions import Functions
from engines.sql.logical import Bound, Expression, Filter, Limit, Plan, Project, Query, Reference, Scan, Sort, TopN
from engines.sql.ordering import Direction
from engines.sql.scan import bind
from engines.timeseries.fused import Fold

Step = Callable[[Batch, Context], Batch]


@dataclass(frozen=True, slots=True)
class Direct:
    """A query that goes the short way. ids: of its columns. limit: of the rows that the fold is asked for."""

    scan: Scan
    steps: tuple[Step, ...]
    ids: tuple[str, ...]
    limit: Expression | None

    def run(self, context: Context) -> Collected:
        """Its rows."""
        folding: Any = context.tables[self.scan.table]
        predicates, empty = bind(self.scan.predicates, context)
        if empty and (folding.fold.dimensions or folding.fold.bin):
            return Collected()
        if empty:  # a comparison with NULL, and one group that is there all the same
            batches = [folding.nothing()]
        else:
            folding.wanted_rows = None if self.limit is None else _number(self.limit, context)
            batches = list(folding.batches(predicates))
        context.check()
        if not batches:
            return Collected()
        batch = batches[0] if len(batches) == 1 else _joined(batches)
        for step in self.steps:
            batch = step(batch, context)
        if not batch.rows:
            return Collected()
        piece = {id: expand(batch.column(id), batch.rows) for id in self.ids}
        return Collected([piece], [batch.rows], batch.rows)


def _joined(batches: list[Batch]) -> Batch:
    ids = list(batches[0].ids())
    rows = sum(batch.rows for batch in batches)
    return Batch({id: concatenate([batch.column(id) for batch in batches]) for id in ids}, rows)


def _number(limit: Expression, context: Context) -> int | None:
    value = context.values.get(limit.name) if isinstance(limit, Bound) else getattr(limit, "value", None)
    return value if isinstance(value, int) else None


def shortened(query: Query, folds: Mapping[str, Fold], functions: Functions) -> Direct | None:
    """The short way of a query; None where there is none."""
    steps: list[Step] = []
    plan: Plan = query.plan
    while not isinstance(plan, Scan):
        step: Step | None
        match plan:
            case Project():
                step = _project(plan, functions)
            case Filter():
                step = _filter(plan, functions)
            case Sort():
                step = _sort(plan, None)
            case TopN(offset=None):
                step = _sort(plan, plan.limit)
            case Limit(offset=None, limit=limit) if limit is not None:
                step = _limit(limit)
            case _:
                return None
        if step is None:
            return None
        steps.append(step)
        plan = plan.input
    fold = folds.get(plan.table)
    if fold is None:
        return None
    filtered = any(isinstance(one, Filter) for one in _above(query.plan))
    limit = fold.few[1] if fold.few is not None and not filtered else None
    return Direct(plan, tuple(reversed(steps)), tuple(id for _, id, _ in query.columns), limit)


def _above(plan: Plan) -> list[Plan]:
    found = []
    while not isinstance(plan, Scan):
        found.append(plan)
        plan = plan.input  # type: ignore[attr-defined] # as above
    return found


def _project(plan: Project, functions: Functions) -> Step:
    renames = {id: one.id for id, one in plan.columns if isinstance(one, Reference)}
    if len(renames) == len(plan.columns):
        return lambda batch, _: batch.renamed(renames)
    program = expressions.compile([one for _, one in plan.columns], functions)
    ids = [id for id, _ in plan.columns]

    def run(batch: Batch, context: Context) -> Batch:
        return Batch(dict(zip(ids, program.run(batch, context), strict=True)), batch.rows)

    return run


def _filter(plan: Filter, functions: Functions) -> Step:
    test = expressions.condition(plan.condition, functions)

    def run(batch: Batch, context: Context) -> Batch:
        at = test.positions(batch, context)
        return batch if at is None else batch.take(at)

    return run


def _sort(plan: Sort | TopN, limit: Expression | None) -> Step | None:
    ids = [key.expression.id for key in plan.keys if isinstance(key.expression, Reference)]
    if len(ids) < len(plan.keys):
        return None
    directions = [Direction(key.descending, key.nulls_first) for key in plan.keys]

    def run(batch: Batch, context: Context) -> Batch:
        order = ordering.order([batch.column(id) for id in ids], directions, batch.rows)
        count = None if limit is None else _number(limit, context)
        return batch.take(order if count is None else order[:count])

    return run


def _limit(limit: Expression) -> Step:
    def run(batch: Batch, context: Context) -> Batch:
        count = _number(limit, context)
        return batch if count is None else batch.slice(0, count)

    return run
