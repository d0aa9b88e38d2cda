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
from engines.sql.limit import count
from engines.sql.logical import Expression, Filter, Limit, Plan, Project, Query, Reference, Scan, Sort, TopN
from engines.sql.ordering import Direction
from engines.timeseries.folding import number_of
from engines.timeseries.fused import Fold

Step = Callable[[Batch, Context], Batch]


@dataclass(frozen=True, slots=True)
class Direct:
    """A query that goes the short way. ids: of its columns. limit: of the rows that the fold is asked for."""

    table: str
    steps: tuple[Step, ...]
    ids: tuple[str, ...]
    limit: Expression | None

    def run(self, context: Context) -> Collected:
        """Its rows."""
        folding: Any = context.tables[self.table]
        if self.limit is not None:
            count(self.limit, "LIMIT", context)  # refuses what is no number of rows
            folding.most = number_of(self.limit, context.values)
        batches = list(folding.batches())
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


def shortened(query: Query, folds: Mapping[str, Fold], functions: Functions) -> Direct | None:
    """The short way of a query; None where there is none."""
    above: list[Plan] = []
    plan: Plan = query.plan
    while isinstance(plan, Project | Filter | Sort | TopN | Limit):
        above.append(plan)
        plan = plan.input
    fold = folds.get(plan.table) if isinstance(plan, Scan) else None
    if fold is None or not isinstance(plan, Scan):
        return None
    steps: list[Step] = []
    for one in reversed(above):
        step = _in_order(one, fold) if not steps else None
        step = step or _step(one, functions)
        if step is None:
            return None
        steps.append(step)
    filtered = any(isinstance(one, Filter) for one in above)
    limit = fold.few[1] if fold.few is not None and not filtered else None
    return Direct(plan.table, tuple(steps), tuple(id for _, id, _ in query.columns), limit)


def _step(plan: Plan, functions: Functions) -> Step | None:
    match plan:
        case Project():
            return _project(plan, functions)
        case Filter():
            return _filter(plan, functions)
        case Sort():
            return _sort(plan, None)
        case TopN(offset=None):
            return _sort(plan, plan.limit)
        case Limit(offset=None, limit=limit) if limit is not None:
            return _limit(limit)
    return None


def _in_order(plan: Plan, fold: Fold) -> Step | None:
    """ORDER BY the bin alone, right over a fold by nothing else: it comes in that order."""
    if not isinstance(plan, Sort) or len(plan.keys) != 1 or fold.bin is None or fold.dimensions:
        return None
    [key] = plan.keys
    if key.descending or not isinstance(key.expression, Reference) or key.expression.id != fold.bin[0]:
        return None
    return lambda batch, _: batch


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
        return batch.take(order if limit is None else order[: count(limit, "LIMIT", context)])

    return run


def _limit(limit: Expression) -> Step:
    def run(batch: Batch, context: Context) -> Batch:
        return batch.slice(0, min(count(limit, "LIMIT", context), batch.rows))

    return run
