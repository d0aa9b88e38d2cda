"""Running a lowered plan: pipelines one after the other, each of them over slices side by side.

    Program    pipelines, each after those it needs; the last one's rows are the answer
    Pipeline   branches that feed one sink (UNION ALL has many, most have one)
    Branch     source ──> step ──> step ──> ... ──> the sink's state of that slice

A branch over a table is divided: the partitions that pruning has left are dealt out to slices, each slice has a state
of its own, and the states are merged in the order of branches and slices. So the answer does not depend on which
thread was faster. Fewer than 131,072 rows are not worth a thread: to hand them over costs 50 microseconds.

Who runs the slices is a Runner's affair: `Local` has threads. A leader of compute nodes sends (query, pipeline, branch,
partitions, results that the branch needs) instead: a node that lowers the same query gets the same pipelines, calls
`work`, and sends the state back, which is plain data.

When a slice fails, the others are told to stop, and the first failure in the order of slices is raised once.
"""

import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from engines.nodes import DeadlinePassed
from engines.sql.column import Batch
from engines.sql.context import Context
from engines.sql.join import Probe
from engines.sql.logical import Plan, Query
from engines.sql.operators import Sink, Step
from engines.sql.scan import Open, Opened, Source
from engines.sql.source import Partition

ALONE: Final = 131_072  # rows that one thread reads sooner than two
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


@dataclass(frozen=True, slots=True)
class Program:
    """A query, lowered: no values and no data are in it, so it runs many times, and in several threads."""

    query: Query
    pipelines: tuple[Pipeline, ...]


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


@dataclass(frozen=True, slots=True)
class Job:
    """A branch in one run, for any number of slices."""

    program: Program
    pipeline: Pipeline
    branch: int
    opened: Opened
    results: Results
    context: Context
    profile: Profile | None = None


class Runner(Protocol):
    """Who runs slices."""

    def states(self, job: Job, shares: Sequence[Sequence[Partition]]) -> list[Any]:
        """The state that each share leaves, in their order. Raises the first failure, once nothing runs any more."""
        ...

    def slices(self, job: Job) -> int:
        """How many shares the branch's partitions are to be dealt into."""
        ...


def work(job: Job, share: Sequence[Partition], context: Context) -> Any:  # noqa: ANN401 - the state of the job's sink
    """One slice of a branch: the sink's state after all batches of these partitions."""
    branch, sink = job.pipeline.branches[job.branch], job.pipeline.sink
    state = sink.start()
    if job.profile is not None:
        _work_profiled(job, share, context, state)
        return state
    stream = job.opened.batches(share, context)
    for step in branch.steps:
        stream = _through(bound(step, job.results, context), stream, context)
    full = getattr(sink, "full", None)
    for batch in stream:
        context.check()
        sink.add(state, batch, context)
        if full is not None and full(state, context):
            break
    return state


def bound(step: Step | Bindable, results: Results, context: Context) -> Step:
    """The step, ready for batches of this run."""
    bind = getattr(step, "bind", None)
    return step if bind is None else bind(results, context)  # type: ignore[return-value] # one of the two


def _through(step: Step, stream: Iterator[Batch], context: Context) -> Iterator[Batch]:
    push = step.push
    for batch in stream:
        for out in push(batch, context):
            if out.rows:
                yield out


def _work_profiled(job: Job, share: Sequence[Partition], context: Context, state: Any) -> None:  # noqa: ANN401 - see work
    """As work, with a clock before and behind every step: each one's own time, without that of the steps before it."""
    branch, sink = job.pipeline.branches[job.branch], job.pipeline.sink
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

    stream = timed(job.opened.batches(share, context), 0)
    for at, step in enumerate(branch.steps, 1):
        stream = timed(_through(bound(step, job.results, context), stream, context), at)
    full = getattr(sink, "full", None)
    for batch in stream:
        context.check()
        began = timer()
        sink.add(state, batch, context)
        counters[-1].seconds += timer() - began
        counters[-1].rows += batch.rows
        counters[-1].batches += 1
        if full is not None and full(state, context):
            break
    for at in range(len(branch.steps), 0, -1):
        counters[at].seconds -= counters[at - 1].seconds
    if job.profile is not None:
        for at, counter in enumerate(counters, -1):
            job.profile.add((job.pipeline.number, job.branch, at), counter)


# ---- who runs slices ----------------------------------------------------------------------------------------------


class Local:
    """Slices in threads of this process: the first one in the calling thread."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = max(threads, 1)
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def slices(self, job: Job) -> int:
        del job
        return self.threads

    def states(self, job: Job, shares: Sequence[Sequence[Partition]]) -> list[Any]:
        contexts = [job.context.for_slice() for _ in shares]
        try:
            return self._states(job, shares, contexts)
        finally:
            for context in contexts:
                job.context.scanned.add(context.scanned)

    def _states(self, job: Job, shares: Sequence[Sequence[Partition]], contexts: Sequence[Context]) -> list[Any]:
        if len(shares) == 1:
            return [work(job, shares[0], contexts[0])]
        pool = self._threads()
        others: list[Future[Any]] = [
            pool.submit(_guarded, job, share, context) for share, context in zip(shares[1:], contexts[1:], strict=True)
        ]
        failures: list[BaseException] = []
        first = None
        try:
            first = _guarded(job, shares[0], contexts[0])
        except BaseException as error:  # noqa: BLE001 - raised below, after the others have stopped
            failures.append(error)
        wait(others)
        failures += [failure for future in others if (failure := future.exception()) is not None]
        if failures:
            raise next((failure for failure in failures if not _told(failure)), failures[0])
        return [first, *(future.result() for future in others)]

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="sql-slice")
                weakref.finalize(self, self._pool.shutdown, wait=False)
            return self._pool


def _guarded(job: Job, share: Sequence[Partition], context: Context) -> Any:  # noqa: ANN401 - see work
    try:
        return work(job, share, context)
    except BaseException:
        context.cancelled.set()
        raise


def _told(error: BaseException) -> bool:
    """It stopped because another one has failed."""
    return isinstance(error, DeadlinePassed) and "cancelled" in str(error)


def dealt(partitions: Sequence[Partition], slices: int) -> list[list[Partition]]:
    """The partitions by slice, in their order. Where they lie on no slices (all say 0), one after the other."""
    shares: list[list[Partition]] = [[] for _ in range(slices)]
    placed = any(partition.slice for partition in partitions)
    for i, partition in enumerate(partitions):
        shares[(partition.slice if placed else i) % slices].append(partition)
    return [share for share in shares if share] or [[]]


# ---- one run ------------------------------------------------------------------------------------------------------


def run(program: Program, context: Context, runner: Runner, profile: Profile | None = None) -> Any:  # noqa: ANN401 - a state
    """The state of the last pipeline's sink."""
    results: dict[int, Any] = {}
    uses = _last_uses(program)
    for pipeline in program.pipelines:
        states = []
        for at in range(len(pipeline.branches)):
            states += _branch(Job(program, pipeline, at, _NOTHING, results, context, profile), runner)
        context.check()
        began = context.clock.timer()
        results[pipeline.number] = pipeline.sink.merge(states, context)
        if profile is not None:
            branch = pipeline.branches[-1]
            place = pipeline.number, len(pipeline.branches) - 1, len(branch.steps)
            profile.add(place, Counter(seconds=context.clock.timer() - began))
        for number in [number for number in results if uses.get(number, -1) == pipeline.number]:
            del results[number]
    return results[program.pipelines[-1].number]


def _branch(job: Job, runner: Runner) -> list[Any]:
    branch, context = job.pipeline.branches[job.branch], job.context
    opened = branch.source.open(job.results, context)
    job = Job(job.program, job.pipeline, job.branch, opened, job.results, context, job.profile)
    partitions = opened.partitions
    if partitions is None:
        return [work(job, (), context)]
    if isinstance(opened, Open):
        _hand_down(job, opened)
    slices = runner.slices(job)
    if slices > 1 and sum(partition.rows for partition in partitions) >= ALONE:
        return runner.states(job, dealt(partitions, slices))
    return [work(job, partitions, context)]


def _hand_down(job: Job, opened: Open) -> None:
    """What the joins of this branch know of their other sides, to the scan.

    Not what joins behind one with leftovers know: that one must see every row, to tell which of its own found nobody.
    """
    keep: dict[str, Any] = {}
    for step in job.pipeline.branches[job.branch].steps:
        if isinstance(step, Probe):
            keep |= step.keep(job.results, opened.plan, job.context)
            if step.join.rest:
                break
    opened.keep = keep or None


def _last_uses(program: Program) -> dict[int, int]:
    """For each pipeline the last one that needs its result: it can be forgotten after that."""
    last: dict[int, int] = {}
    for pipeline in program.pipelines:
        for branch in pipeline.branches:
            for needed in (branch.source, *branch.steps):
                number = getattr(needed, "number", None)
                for one in (*getattr(needed, "needs", ()), *(() if number is None else (number,))):
                    last[one] = pipeline.number
    return last


class _Nothing:
    partitions: Sequence[Partition] | None = None

    def batches(self, shares: Sequence[Partition], context: Context) -> Iterator[Batch]:
        del shares, context
        return iter(())


_NOTHING: Final = _Nothing()
