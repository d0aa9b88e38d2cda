"""A lowered plan, as it is kept and run many times: pipelines of branches, and what a run counts of them.

Program    pipelines, each after those it needs; the last one's rows are the answer
Pipeline   branches that feed one sink (UNION ALL has many, most have one)
Branch     source ──> step ──> step ──> ... ──> the sink's state of that slice
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from engines.sql.context import Context
from engines.sql.logical import Plan, Query
from engines.sql.operators import Sink, Step
from engines.sql.scan import Source

Results = Mapping[int, Any]


class Bindable(Protocol):
    """A step that needs what earlier pipelines left: the probe side of a join."""

    @property
    def needs(self) -> tuple[int, ...]:
        """The pipelines whose results it uses."""
        ...

    def bind(self, results: Results, context: Context) -> Step: ...


@dataclass(frozen=True, slots=True)
class Branch:
    """source and steps; `plans`: the logical step of the source, and of each step, for explain."""

    source: Source
    steps: tuple[Step | Bindable, ...]
    plans: tuple[Plan, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Branches into one sink. plan: the logical step that the sink is."""

    number: int
    branches: tuple[Branch, ...]
    sink: Sink
    plan: Plan

    def needs(self) -> Iterator[int]:
        """The pipelines whose results its sources and steps use."""
        for branch in self.branches:
            for one in (branch.source, *branch.steps):
                yield from getattr(one, "needs", ())
            number = getattr(branch.source, "number", None)
            if number is not None:
                yield number


@dataclass(frozen=True, slots=True)
class Program:
    """A query, lowered: no values and no data are in it, so it runs many times, and in several threads."""

    query: Query
    pipelines: tuple[Pipeline, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """What a join moves between slices, as far as the planner knows: how, and rows (each as often as it is sent)."""

    label: str
    rows: int
    bytes: int


@dataclass(slots=True)
class Counter:
    """What passed an operator."""

    rows: int = 0
    batches: int = 0
    seconds: float = 0.0

    def add(self, other: "Counter") -> None:
        self.rows += other.rows
        self.batches += other.batches
        self.seconds += other.seconds


@dataclass(slots=True)
class Profile:
    """Counters by (pipeline, branch, step); step -1 is the source, the number of steps is the sink."""

    counters: dict[tuple[int, int, int], Counter] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, place: tuple[int, int, int], counter: Counter) -> None:
        with self.lock:
            self.counters.setdefault(place, Counter()).add(counter)
