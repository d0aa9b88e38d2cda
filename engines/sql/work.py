"""What one slice does of a pipeline: `work`, a pure function of partitions and of the results of earlier pipelines.

    Job       a pipeline in one run, its sources opened
    Portion   what is done at once: partitions of each branch; of one slice, or of no slice in particular
    share     portions that one thread or node works off, into one state of the sink

    Parted    the result of a pipeline that is kept by slice, and made where it is needed

A Parted is how joins of tables that are distributed by the same key are run: slice 1 of the build side meets nothing
but slice 1 of the probe side. So the pipeline of the build side is not run on its own: whoever works on slice 1 of the
probe side builds slice 1 first. Nothing moves from slice to slice, and hash tables are small, and built side by side.
The same goes for groups by the key that rows are distributed by: no group is on two slices.

A small table that every node can read may be made into a hash table by each of them: that is a Parted too, with one
part for all of a node's slices.

Invariants: a slice of a Parted is asked for by one share only. Branches of a portion run in their order, so the rows
that a join has left over come after its last probe of that slice.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from engines.sql.coalesce import coalesced
from engines.sql.column import Batch
from engines.sql.context import Context
from engines.sql.join import Hashed, Probe
from engines.sql.nestedloop import Nested
from engines.sql.operators import Step
from engines.sql.program import Bindable, Branch, Counter, Pipeline, Profile, Program, Results
from engines.sql.scan import Open, Opened
from engines.sql.source import Partition
from engines.sql.steps import Filter

THINNING: Final = (Filter, Hashed, Nested)  # steps that may leave few rows of many
EVERYWHERE: Final = -1  # as a slice: the part of all slices


@dataclass(frozen=True, slots=True)
class Job:
    """A pipeline in one run, for any number of slices. opened: its branches that are worked on, by number."""

    program: Program
    pipeline: Pipeline
    opened: Mapping[int, Opened]
    results: Results
    context: Context
    profile: Profile | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """Partitions by branch. slice None: of any slices; no result is kept by slice then."""

    partitions: Mapping[int, Sequence[Partition]]
    slice: int | None = None

    @property
    def rows(self) -> int:
        return sum(partition.rows for some in self.partitions.values() for partition in some)


Share = Sequence[Portion]


@dataclass(slots=True)
class Parted:
    """The result of a pipeline by slice, or of one that every node makes for itself. rows: read to make all of it."""

    job: Job
    portions: Mapping[int, Portion]  # by slice; or only one, of EVERYWHERE
    rows: int
    known: dict[int, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def everywhere(self) -> bool:
        return EVERYWHERE in self.portions

    def of(self, slice: int | None, context: Context) -> Any:  # noqa: ANN401 - a merged state of the sink
        """The slice's part, made when it is first asked for."""
        if self.everywhere:
            with self.lock:
                return self._part(EVERYWHERE, context)
        if slice is None:
            raise ValueError(f"pipeline {self.job.pipeline.number} is run by slice, and this portion is of none")
        return self._part(slice, context)

    def _part(self, slice: int, context: Context) -> Any:  # noqa: ANN401 - see of
        if slice not in self.known:
            state = work(self.job, [self.portions[slice]], context)
            self.known[slice] = self.job.pipeline.sink.merge([state], context)
        return self.known[slice]


@dataclass(slots=True)
class Scattered(Parted):
    """The result of a pipeline that was run, its rows sent to the slices where they are needed. states: by slice."""

    states: Mapping[int, Any] = field(default_factory=dict)

    def _part(self, slice: int, context: Context) -> Any:  # noqa: ANN401 - a merged state of the sink
        if slice not in self.known:
            self.known[slice] = self.job.pipeline.sink.merge([self.states[slice]], context)
        return self.known[slice]


def work(job: Job, share: Share, context: Context) -> Any:  # noqa: ANN401 - the state of the job's sink
    """The sink's state after all batches of the share."""
    sink = job.pipeline.sink
    state = sink.start()
    full = getattr(sink, "full", None)
    most = context.vector if full is None else 0  # who wants a few rows only gets them at once
    for portion in share:
        results = of_slice(job.results, portion.slice, context)
        for at in job.opened:
            branch = job.pipeline.branches[at]
            partitions = portion.partitions.get(at, ())
            opened = _opened(job, at, partitions, results, context)
            if opened is None:
                continue
            if job.profile is not None:
                stream = opened.batches(partitions, context)
                _work_profiled(job, at, stream, results=results, context=context, state=state)
                continue
            stream = coalesced(opened.batches(partitions, context), most)
            for step in branch.steps:
                stream = _through(bound(step, results, context), stream, context, most)
            for batch in stream:
                context.check()
                sink.add(state, batch, context)
                if full is not None and full(state, context):
                    return state
    return state


def _opened(job: Job, at: int, partitions: Sequence[Partition], results: Results, context: Context) -> Opened | None:
    """The source of a branch for this portion: what a slice's own results tell its scan is used too."""
    opened, branch = job.opened[at], job.pipeline.branches[at]
    if opened.partitions is None:
        return opened if results is job.results else branch.source.open(results, context)
    if not partitions:
        return None
    if results is not job.results and isinstance(opened, Open):
        keep = known_of_joins(branch, opened, results, context, only=parted(job.results))
        return replace(opened, keep={**(opened.keep or {}), **keep}) if keep else opened
    return opened


def parted(results: Results) -> frozenset[int]:
    """The pipelines whose results are kept by slice."""
    return frozenset(number for number, result in results.items() if isinstance(result, Parted))


def of_slice(results: Results, slice: int | None, context: Context) -> Results:
    """The results, those that are kept by slice as this slice's."""
    if not any(isinstance(result, Parted) for result in results.values()):
        return results
    return Sliced(results, slice, context)


class Sliced(dict[int, Any]):
    """Results as one slice sees them: its own parts are made when they are asked for."""

    def __init__(self, results: Results, slice: int | None, context: Context) -> None:
        super().__init__((number, result) for number, result in results.items() if not isinstance(result, Parted))
        self._results, self._slice, self._context = results, slice, context

    def __missing__(self, number: int) -> Any:  # noqa: ANN401 - a merged state
        found = self[number] = self._results[number].of(self._slice, self._context)
        return found


def known_of_joins(
    branch: Branch, opened: Open, results: Results, context: Context, *, only: frozenset[int] | None = None
) -> dict[str, Any]:
    """What the joins of a branch know of their other sides, for its scan. only: of these pipelines.

    Not what joins behind one with leftovers know: that one must see every row, to tell which of its own found nobody.
    """
    keep: dict[str, Any] = {}
    apart = frozenset() if only is not None else parted(results)
    for step in branch.steps:
        if isinstance(step, Probe):
            if (only is None or step.needs[0] in only) and step.needs[0] not in apart:
                keep |= step.keep(results, opened.plan, context)
            if step.join.rest:
                break
    return keep


def bound(step: Step | Bindable, results: Results, context: Context) -> Step:
    """The step, ready for batches of this run."""
    bind = getattr(step, "bind", None)
    return step if bind is None else bind(results, context)  # type: ignore[return-value] # one of the two


def _through(step: Step, stream: Iterator[Batch], context: Context, most: int) -> Iterator[Batch]:
    """What the step makes of the stream. most: rows up to which small batches are put together."""
    push = step.push
    made = (out for batch in stream for out in push(batch, context))
    return coalesced(made, most) if isinstance(step, THINNING) else made


def _work_profiled(
    job: Job,
    at: int,
    stream: Iterator[Batch],
    *,
    results: Results,
    context: Context,
    state: Any,  # noqa: ANN401 - see work
) -> None:
    """As work, with a clock before and behind every step: each one's own time, without that of the steps before it."""
    branch, sink = job.pipeline.branches[at], job.pipeline.sink
    timer = context.clock.timer
    counters = [Counter() for _ in range(len(branch.steps) + 2)]

    def timed(stream: Iterator[Batch], at: int) -> Iterator[Batch]:
        while True:
            began = timer()
            batch = next(stream, None)
            counters[at].seconds += timer() - began
            if batch is None:
                return
            counters[at].rows += batch.rows
            counters[at].batches += 1
            yield batch

    full = getattr(sink, "full", None)
    most = context.vector if full is None else 0
    stream = timed(coalesced(stream, most), 0)
    for number, step in enumerate(branch.steps, 1):
        stream = timed(_through(bound(step, results, context), stream, context, most), number)
    for batch in stream:
        context.check()
        began = timer()
        sink.add(state, batch, context)
        counters[-1].seconds += timer() - began
        counters[-1].rows += batch.rows
        counters[-1].batches += 1
        if full is not None and full(state, context):
            break
    for number in range(len(branch.steps), 0, -1):
        counters[number].seconds -= counters[number - 1].seconds
    if job.profile is not None:
        for number, counter in enumerate(counters, -1):
            job.profile.add((job.pipeline.number, at, number), counter)
