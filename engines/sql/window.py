"""Window functions: a value for each row, from the rows of its partition that stand around it.

The sink collects rows in pieces. Rows are sorted once for each different PARTITION BY and ORDER BY (frames.py); then
each call is a few passes over arrays by place, not by row:

    windowcall.py        a call, its frames, its answer        windowtotals.py   MEDIAN, LISTAGG ... of whole partitions
    windowfunctions.py   ranks, values of other rows, totals   windows.pyx       what slides

Results go back to the order of the input, so the pieces of the input leave as they came: nothing of them is sorted,
copied or put together, but what the windows themselves look at.

Not here: EXCLUDE; DISTINCT, MEDIAN, LISTAGG and the like over a frame that is not the whole partition.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from engines.errors import QueryError
from engines.sql.collected import Collected, Evaluate, columns_of, evaluator, merged
from engines.sql.column import Batch, Column
from engines.sql.concatenate import concatenate
from engines.sql.context import Context
from engines.sql.frames import Arrangement
from engines.sql.logical import Expression, Reference, WindowCall
from engines.sql.ordering import Direction
from engines.sql.windowcall import Answer, Running
from engines.sql.windowfunctions import FUNCTIONS, NULL_SKIPPERS
from engines.sql.windowtotals import needs_all, over_partition, sees_all


class Window:
    """A sink that gives the columns `ids` of its input, and one for each call, in the order of the input."""

    def __init__(self, calls: Sequence[tuple[str, WindowCall]], ids: Sequence[str]) -> None:
        """QueryError for a function, or a way to call it, that is not supported."""
        self.calls = list(calls)
        self.ids = tuple(ids)
        self.names: dict[Expression, str] = {}  # of what calls look at
        for _, call in self.calls:
            _check(call)
            ordered = (key.expression for key in call.order)
            where = () if call.where is None else (call.where,)
            for one in (*call.arguments, *call.partition, *ordered, *where):
                name = one.id if isinstance(one, Reference) else f"window {len(self.names)}"
                self.names.setdefault(one, name)
        self.evaluate: dict[str, Evaluate] = {name: evaluator(one) for one, name in self.names.items()}

    def start(self) -> Collected:
        return Collected()

    def add(self, state: Collected, batch: Batch, context: Context) -> None:
        computed = {name: evaluate(batch, context) for name, evaluate in self.evaluate.items()}
        state.add(columns_of(batch, self.ids) | computed, batch.rows, context, "a window function")

    def merge(self, states: Sequence[Collected], context: Context) -> Collected:  # noqa: ARG002 - as all sinks
        return merged(states)

    def batches(self, state: Collected, context: Context) -> Iterator[Batch]:
        if not state.rows:
            return
        inputs = {name: concatenate([piece[name] for piece in state.pieces]) for name in self.evaluate}
        answers = self._answers(inputs, state.rows, context)
        start = 0
        for piece, rows in zip(state.pieces, state.counts, strict=True):
            columns = {id: piece[id] for id in self.ids}
            columns |= {id: answer.rows(start, start + rows) for id, answer in answers.items()}
            yield Batch(columns, rows)
            start += rows

    def _answers(self, inputs: dict[str, Column], rows: int, context: Context) -> dict[str, Answer]:
        arranged: dict[Any, Arrangement] = {}
        answers = {}
        for id, call in self.calls:
            context.check()
            window = call.partition, call.order
            if window not in arranged:
                arranged[window] = Arrangement(
                    [inputs[self.names[one]] for one in call.partition],
                    [inputs[self.names[key.expression]] for key in call.order],
                    [Direction(key.descending, key.nulls_first) for key in call.order],
                    rows,
                )
            arguments = [inputs[self.names[one]] for one in call.arguments]
            where = None if call.where is None else inputs[self.names[call.where]]
            run = Running(call, arguments, where, arranged[window], context)
            answers[id] = Answer(*over_partition(run)) if needs_all(call) else FUNCTIONS[call.function](run)
        return answers


def _check(call: WindowCall) -> None:
    problem = ""
    name = f"{call.function.upper()}(DISTINCT ...)" if call.distinct else call.function.upper()
    if needs_all(call):
        problem = (
            "" if sees_all(call) else f"{name} OVER takes PARTITION BY and nothing else: it sees all of the partition"
        )
    elif call.function not in FUNCTIONS:
        problem = f"{call.function.upper()} OVER is not supported: aggregate in a subquery and join it"
    elif call.ignore_nulls and call.function not in NULL_SKIPPERS:
        problem = f"IGNORE NULLS means nothing for {call.function.upper()}"
    if problem:
        raise QueryError(problem, position=max(call.position, 0), kind="Unsupported")
