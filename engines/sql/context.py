"""What a running statement knows besides its plan: parameters, tables, the clock, limits, counters."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from engines.clock import Clock, SystemClock
from engines.errors import QueryError
from engines.nodes import DeadlinePassed
from engines.sql.column import VECTOR
from engines.sql.source import Scanned, TableSource


@dataclass(slots=True)
class Context:
    """One run. Threads that work for it share it; each slice has its own `scanned` (`for_slice`)."""

    text: str = ""  # the statement, for errors
    tables: Mapping[str, TableSource] = field(default_factory=dict)
    values: Mapping[int | str, Any] = field(default_factory=dict)  # engine values of Bound expressions; "$now": us
    clock: Clock = field(default_factory=SystemClock)
    random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - SQL's RANDOM()
    rules: Mapping[str, Any] = field(default_factory=dict)  # the dialect's choices, see front.py
    deadline: float | None = None  # of clock.timer()
    memory: int = 1 << 30  # bytes that a step may hold
    vector: int = VECTOR  # most rows of a batch; tests make it small
    slices: int = 1
    scanned: Scanned = field(default_factory=Scanned)
    working: dict[str, Any] = field(default_factory=dict)  # WITH RECURSIVE: batches of the last round, by name
    cancelled: threading.Event = field(default_factory=threading.Event)
    lost: list[str] = field(default_factory=list)  # a line for each compute node that was lost on the way

    def check(self) -> None:
        """Call once a batch: DeadlinePassed after the deadline, or when another slice has failed."""
        if self.cancelled.is_set():
            raise DeadlinePassed("the statement was cancelled")
        if self.deadline is not None and self.clock.timer() > self.deadline:
            raise DeadlinePassed("the statement took longer than its timeout allows: raise timeout=, or read less")

    def for_slice(self) -> "Context":
        return replace(self, scanned=Scanned())

    def error(self, message: str, position: int = -1) -> QueryError:
        """A QueryError at that place of the statement."""
        return QueryError(message, text=self.text, position=max(position, 0), kind="RuntimeError", phase="run")
