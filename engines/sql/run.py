"""Running a lowered plan: pipelines one after the other, each of them over slices side by side.

    program.py   what is run: Program, Pipeline, Branch
    work.py      what one slice does: a pure function of partitions and earlier results
    here         the order of pipelines, who gets which partitions, what becomes of the states

A branch over a table is divided: the partitions that pruning has left are dealt out to slices, each slice has a state
of its own, and the states are merged in the order of branches and slices. So the answer does not depend on which
thread was faster. Fewer than 131,072 rows are not worth a thread: to hand them over costs 50 microseconds.

Who runs the slices is a Runner's affair: `Local` has threads. A leader of compute nodes sends (query, pipeline,
partitions, results that are needed) instead: a node that lowers the same query gets the same pipelines, calls `work`,
and sends the state back, which is plain data. A runner that knows where rows lie also says which pipelines are run by
slice, inside those that need them (`Layout`, and `Parted` in work.py).

When a slice fails, the others are told to stop, and the first failure in the order of slices is raised once.
"""

import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from engines.nodes import DeadlinePassed
from engines.sql.context import Context
from engines.sql.program import Bindable, Branch, Counter, Move, Pipeline, Profile, Program, Results
from engines.sql.scan import Open, Opened, Result
from engines.sql.source import Partition, TableSource
from engines.sql.work import EVERYWHERE, Job, Parted, Portion, Scattered, Share, known_of_joins, work

Scatter = Callable[[Sequence[Any], Context], Sequence[Any]]
ALONE: Final = 131_072  # rows that one thread reads sooner than two


@dataclass(frozen=True, slots=True)
class Layout:
    """Where rows lie: on so many slices.

    apart: the pipelines whose results stay on their slices. everywhere: those that each node makes for itself.
    scattered: those whose rows are sent to the slices that need them: a function makes of their states one a slice.
    """

    slices: int = 1
    apart: frozenset[int] = frozenset()
    everywhere: frozenset[int] = frozenset()
    scattered: Mapping[int, Scatter] = field(default_factory=dict)


class Runner(Protocol):
    """Who runs slices."""

    def layout(self, program: Program, context: Context) -> Layout:
        """Which pipelines of the program are run by slice, inside others."""
        ...

    def moves(self, program: Program, source: Callable[[str], TableSource]) -> Mapping[int, Move]:
        """For EXPLAIN: what each join moves, by the id() of its logical step."""
        ...

    def slices(self, job: Job) -> int:
        """How many shares the job's partitions are to be dealt into."""
        ...

    def states(self, job: Job, shares: Sequence[Share]) -> list[Any]:
        """The states that the shares leave, in their order. Raises the first failure, once nothing runs any more."""
        ...


# ---- who runs slices ----------------------------------------------------------------------------------------------


class Local:
    """Slices in threads of this process: the first one in the calling thread."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = max(threads, 1)
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def layout(self, program: Program, context: Context) -> Layout:
        del program, context
        return Layout()

    def moves(self, program: Program, source: Callable[[str], TableSource]) -> Mapping[int, Move]:
        del program, source
        return {}

    def slices(self, job: Job) -> int:
        del job
        return self.threads

    def states(self, job: Job, shares: Sequence[Share]) -> list[Any]:
        contexts = [job.context.for_slice() for _ in shares]
        try:
            return self._states(job, shares, contexts)
        finally:
            for context in contexts:
                job.context.scanned.add(context.scanned)

    def _states(self, job: Job, shares: Sequence[Share], contexts: Sequence[Context]) -> list[Any]:
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
        try:
            wait(others)
        except BaseException:  # Ctrl-C: nothing is left running
            job.context.cancelled.set()
            wait(others)
            raise
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

    def close(self) -> None:
        """Let the threads go; another call starts new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)


def _guarded(job: Job, share: Share, context: Context) -> Any:  # noqa: ANN401 - see work
    try:
        return work(job, share, context)
    except BaseException:
        context.cancelled.set()
        raise


def _told(error: BaseException) -> bool:
    """It stopped because another one has failed."""
    return isinstance(error, DeadlinePassed) and "cancelled" in str(error)


# ---- one run ------------------------------------------------------------------------------------------------------


def run(program: Program, context: Context, runner: Runner, profile: Profile | None = None) -> Any:  # noqa: ANN401 - a state
    """The state of the last pipeline's sink."""
    results: dict[int, Any] = {}
    uses = _last_uses(program)
    layout = runner.layout(program, context)
    for pipeline in program.pipelines:
        opened = {at: branch.source.open(results, context) for at, branch in enumerate(pipeline.branches)}
        hand_down(pipeline, opened, results, context)
        if pipeline.number in layout.apart or pipeline.number in layout.everywhere:
            job = Job(program, pipeline, opened, dict(results), context, profile)
            results[pipeline.number] = _later(job, layout)
        else:
            states = _states(Job(program, pipeline, opened, results, context, profile), runner, layout)
            context.check()
            began = context.clock.timer()
            if pipeline.number in layout.scattered:
                job = Job(program, pipeline, {}, {}, context, profile)
                parts = layout.scattered[pipeline.number](states, context)
                results[pipeline.number] = Scattered(job, {}, 0, states=dict(enumerate(parts)))
            else:
                results[pipeline.number] = pipeline.sink.merge(states, context)
            if profile is not None:
                place = pipeline.number, len(pipeline.branches) - 1, len(pipeline.branches[-1].steps)
                profile.add(place, Counter(seconds=context.clock.timer() - began))
        for number in [number for number in results if uses.get(number, -1) == pipeline.number]:
            del results[number]
    return results[program.pipelines[-1].number]


def _states(job: Job, runner: Runner, layout: Layout) -> list[Any]:
    """The states of all branches: those that need results by slice together, the others one by one."""
    together = _by_slice(job)
    states = []
    if together:
        rows = sum(result.rows for result in parts_of(job))
        part = Job(job.program, job.pipeline, together, job.results, job.context, job.profile)
        portions = portions_of(part, layout.slices)
        rows += sum(portion.rows for portion in portions)
        slices = min(runner.slices(part), layout.slices) if rows >= ALONE else 1
        states += _run(part, [portions[i::slices] for i in range(slices)], runner)
    for at, opened in job.opened.items():
        if at not in together:
            part = Job(job.program, job.pipeline, {at: opened}, job.results, job.context, job.profile)
            partitions = opened.partitions
            slices = 1
            if partitions is not None and sum(partition.rows for partition in partitions) >= ALONE:
                slices = runner.slices(part)
            shares = dealt(partitions or (), slices)
            states += _run(part, [[Portion({at: share})] for share in shares], runner)
    return states


def _run(job: Job, shares: Sequence[Share], runner: Runner) -> list[Any]:
    return runner.states(job, shares) if len(shares) > 1 else [work(job, shares[0], job.context)]


def dealt(partitions: Sequence[Partition], slices: int) -> list[list[Partition]]:
    """The partitions by slice, in their order. Where they lie on no slices (all say 0), one after the other."""
    shares: list[list[Partition]] = [[] for _ in range(slices)]
    placed = any(partition.slice for partition in partitions)
    for i, partition in enumerate(partitions):
        shares[(partition.slice if placed else i) % slices].append(partition)
    return [share for share in shares if share] or [[]]


def portions_of(job: Job, slices: int) -> list[Portion]:
    """What each slice has of the job's tables."""
    found: list[dict[int, list[Partition]]] = [{} for _ in range(slices)]
    for at, opened in job.opened.items():
        for partition in opened.partitions or ():
            found[partition.slice % slices].setdefault(at, []).append(partition)
    return [Portion(partitions, slice) for slice, partitions in enumerate(found)]


def _later(job: Job, layout: Layout) -> Parted:
    """The result of a pipeline that is run by those who need it."""
    if job.pipeline.number in layout.everywhere:
        portions = {EVERYWHERE: Portion({at: opened.partitions or () for at, opened in job.opened.items()}, EVERYWHERE)}
    else:
        portions = dict(enumerate(portions_of(job, layout.slices)))
    rows = sum(portion.rows for portion in portions.values()) + sum(result.rows for result in parts_of(job))
    return Parted(job, portions, rows)


def parts_of(job: Job) -> Iterable[Parted]:
    """The results by slice that the job uses."""
    return [found for number in {*job.pipeline.needs()} if isinstance(found := job.results[number], Parted)]


def _by_slice(job: Job) -> dict[int, Opened]:
    """The branches that are worked on slice by slice: all over tables, and over results by slice, if one needs such."""
    apart = {part.job.pipeline.number for part in parts_of(job) if not part.everywhere}
    if not apart:
        return {}
    return {
        at: opened
        for at, opened in job.opened.items()
        if opened.partitions is not None
        or (isinstance(source := job.pipeline.branches[at].source, Result) and source.number in apart)
    }


def hand_down(pipeline: Pipeline, opened: Mapping[int, Opened], results: Results, context: Context) -> None:
    """What the joins of each branch know of their other sides, to its scan."""
    for at, one in opened.items():
        if isinstance(one, Open):
            one.keep = known_of_joins(pipeline.branches[at], one, results, context) or None


def _last_uses(program: Program) -> dict[int, int]:
    """For each pipeline the last one that needs its result: it can be forgotten after that."""
    return {needed: pipeline.number for pipeline in program.pipelines for needed in pipeline.needs()}


__all__ = [
    "ALONE",
    "EVERYWHERE",
    "Bindable",
    "Branch",
    "Counter",
    "Job",
    "Layout",
    "Local",
    "Move",
    "Parted",
    "Pipeline",
    "Portion",
    "Profile",
    "Program",
    "Results",
    "Runner",
    "Scattered",
    "Share",
    "dealt",
    "hand_down",
    "parts_of",
    "portions_of",
    "run",
    "work",
]
