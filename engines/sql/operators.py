"""What the operators of a plan look like to the one who runs them (`run.py`): pipelines of batches.

    source ── batch ──> step ── batch ──> step ── batch ──> sink            one such pipeline a slice, side by side
    scan                filter            probe of a join   aggregate, sort, build side, collect

    sink:   start() -> state        add(state, batch)       each slice has its own state
            merge(states) -> state                          the leader, once all slices are done
            batches(state)                                  the source of the next pipeline

A step answers one batch with some: it keeps no state of its own that a batch changes, so slices share it. States are
plain data (arrays, columns, lists): they travel from a compute node to the leader as they are.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from engines.sql.column import Batch
from engines.sql.context import Context


class Step(Protocol):
    """A streaming operator: filter, project, the probe side of a join, unnest."""

    def push(self, batch: Batch, context: Context) -> Iterator[Batch]: ...


class Sink(Protocol):
    """A pipeline breaker: aggregate, sort, top-n, window, distinct, the build side of a join."""

    def start(self) -> Any: ...  # noqa: ANN401 - each sink has a state of its own
    def add(self, state: Any, batch: Batch, context: Context) -> None: ...  # noqa: ANN401 - see start
    def merge(self, states: Sequence[Any], context: Context) -> Any: ...  # noqa: ANN401 - see start
    def batches(self, state: Any, context: Context) -> Iterator[Batch]: ...  # noqa: ANN401 - see start
