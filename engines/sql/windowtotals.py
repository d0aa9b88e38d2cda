"""Aggregates OVER a whole partition that need all its values at once: MEDIAN, LISTAGG, COUNT(DISTINCT x), ...

    rows by partition   x x y y x      the partition is a group like any of GROUP BY
    totals              x: 3, y: 2     by what answers the aggregate there (calls.py, gathered.py)
    answers             3 3 2 2 3      gathered by each row's partition

So nothing here slides: a frame that ends within the partition is refused for these.
"""

from typing import Final

import numpy as np

from engines.sql.calls import plan_call
from engines.sql.column import Column, gather
from engines.sql.frames import WHOLE_PARTITION
from engines.sql.logical import AggregateCall, WindowCall
from engines.sql.windowcall import Running

WITHIN_GROUP: Final = frozenset({"percentile_cont", "percentile_disc"})
NEED_ALL: Final = WITHIN_GROUP | {
    "median", "listagg", "max_by", "min_by", "bit_and", "bit_or", "corr", "covar_pop", "covar_samp",
    "approx_count_distinct", "approx_percentile",
}  # fmt: skip


def needs_all(call: WindowCall) -> bool:
    """Whether the call is answered here."""
    return call.distinct or call.function in NEED_ALL


def sees_all(call: WindowCall) -> bool:
    """Whether the frame is the whole partition, as it must be."""
    return call.frame == WHOLE_PARTITION or (call.frame is None and not call.order)


def over_partition(run: Running) -> tuple[Column, np.ndarray[tuple[int], np.dtype[np.int32]]]:
    """A value for each partition, and the partition of each row."""
    call, rows = run.call, run.rows
    arguments = call.arguments[1:] if call.function in WITHIN_GROUP else call.arguments  # (value, fraction)
    plan = plan_call(AggregateCall(call.function, arguments, call.type, call.distinct, None, call.order))
    known = dict(zip((key.expression for key in call.order), rows.keys, strict=True))
    known |= dict(zip(call.arguments, run.arguments, strict=True))
    columns = [known[one] for one in plan.arguments]
    starts, numbers = np.unique(rows.starts, return_inverse=True)
    groups = rows.back(numbers.astype(np.int32))
    mask = np.ones(rows.rows, np.uint8) if run.where is None else run.where.copy()
    for column in columns[: plan.needs]:
        if column.valid is not None:
            mask &= column.valid
    kept = np.flatnonzero(mask).astype(np.int32)
    counts = np.bincount(groups[kept], minlength=len(starts)).astype(np.int64)
    if plan.total is None:
        return Column(call.type, counts, low=0, high=int(counts.max(initial=0))), groups
    state = plan.total.start(len(starts) + 1)
    plan.total.add(state, [gather(one, kept) for one in columns], groups[kept].astype(np.uint32), len(kept))
    try:
        return plan.total.finish(state, counts, call.type, plan.finish), groups
    except OverflowError as error:
        raise run.context.error(f"{call.function.upper()}: {error}", call.position) from None
