"""A compute node: it works off slices of one pipeline, and sends back what they leave.

    run(task, share)    task    which query, over which roots of which warehouse; earlier results: for all nodes
                        share   the partitions of this node's slices
                        ──> ("ok", states and counters); an error of the query is raised, and travels as it is

Everything in a task is a name of what never changes (a root's digest, a query), or plain data. So a task may be run
twice, anywhere that the folder can be read: another node that is given it leaves the same states.

A node keeps the warehouses that it reads open, and the programs it has lowered, for the next task. It opens folders to
read only, so it never waits for the writer, and closes those that nobody has asked for in a while.

Tasks are pickled: by the leader, for nodes that it was given itself. Nothing that was stored, or that came from a
client, is ever unpickled.
"""

import pickle
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engines.clock import SystemClock
from engines.nodes import Outcome
from engines.sql.aggregate import Aggregate
from engines.sql.collected import Collected
from engines.sql.column import keep_freed_memory
from engines.sql.context import Context
from engines.sql.lower import lower
from engines.sql.program import Counter, Pipeline, Profile, Program, Results
from engines.sql.run import Job, Local, Parted, Portion, Scattered, Share, hand_down
from engines.sql.scan import Opened, Table
from engines.sql.source import Scanned, TableSource
from engines.warehouse.storage import Storage, View

IDLE: Final = 600.0  # seconds after which a folder that nobody reads is closed
PROGRAMS: Final = 64
VIEWS: Final = 8  # of each warehouse
Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Task:
    """One pipeline of one run. tables: name in the plan -> root, name in the root, with row numbers."""

    path: str
    query: bytes
    number: int
    branches: tuple[int, ...]
    apart: tuple[int, ...]  # pipelines that are run inside this one, slice by slice
    results: bytes
    tables: Mapping[str, tuple[str, str, bool]]
    settings: Mapping[str, Any]  # fields of the Context
    seconds: float | None  # that are left
    profiled: bool


@dataclass(frozen=True, slots=True)
class Work:
    """A node's own: shares for its threads, what its slices have of the pipelines apart, rows sent to its slices."""

    shares: Sequence[Share]
    apart: Mapping[int, Mapping[int, Portion]]
    sent: Mapping[int, Mapping[int, Any]]


@dataclass(frozen=True, slots=True)
class Done:
    """What it leaves: a state for each share, or one for all."""

    states: list[Any]
    scanned: Scanned
    counters: Mapping[Place, Counter]


def run(task: bytes, work: bytes) -> Outcome:
    """Work off a share. Errors of the query are raised: EngineErrors."""
    done = _run(pickle.loads(task), pickle.loads(work))  # noqa: S301 - from the leader, see above
    return "ok", pickle.dumps(done, pickle.HIGHEST_PROTOCOL)


def _run(task: Task, work: Work) -> Done:
    folder = FOLDERS.open(task.path)
    clock = SystemClock()
    context = Context(
        tables={name: folder.table(*where) for name, where in task.tables.items()},
        clock=clock,
        deadline=None if task.seconds is None else clock.timer() + task.seconds,
        **task.settings,
    )
    program = _lowered(task.query)
    profile = Profile() if task.profiled else None
    results: dict[int, Any] = pickle.loads(task.results) if task.results else {}  # noqa: S301 - from the leader
    for number in task.apart:
        pipeline = program.pipelines[number]
        if number in work.sent:
            job = Job(program, pipeline, {}, {}, context, profile)
            results[number] = Scattered(job, {}, 0, states=work.sent[number])
            continue
        portions = work.apart[number]
        opened = _opened(pipeline, range(len(pipeline.branches)), list(portions.values()), results, context)
        results[number] = Parted(Job(program, pipeline, opened, dict(results), context, profile), portions, 0)
    pipeline = program.pipelines[task.number]
    everything = [portion for share in work.shares for portion in share]
    opened = _opened(pipeline, task.branches, everything, results, context)
    job = Job(program, pipeline, opened, results, context, profile)
    states = folder.threads(len(work.shares)).states(job, work.shares)
    if isinstance(pipeline.sink, Aggregate):
        states = [pipeline.sink.merge(states, context)]
    for state in states:
        if isinstance(state, Collected):
            state.whole()
    return Done(states, context.scanned, {} if profile is None else profile.counters)


def _opened(
    pipeline: Pipeline, branches: Sequence[int], portions: Sequence[Portion], results: Results, context: Context
) -> dict[int, Opened]:
    opened: dict[int, Opened] = {}
    for at in branches:
        source = pipeline.branches[at].source
        if isinstance(source, Table):
            mine = [partition for portion in portions for partition in portion.partitions.get(at, ())]
            opened[at] = source.open(results, context, mine)
        else:
            opened[at] = source.open(results, context)
    hand_down(pipeline, opened, results, context)
    return opened


# ---- what a node keeps --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Folder:
    """A warehouse that is open here. used: when, by the clock's timer."""

    storage: Storage
    used: float
    views: OrderedDict[str, View] = field(default_factory=OrderedDict)
    pools: dict[int, Local] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def table(self, root: str, name: str, numbered: bool) -> TableSource:  # noqa: FBT001 - a record's field
        """A table of a root."""
        with self.lock:
            view = self.views.get(root)
            if view is None:
                view = self.views[root] = self.storage.at(root)
                if len(self.views) > VIEWS:
                    self.views.popitem(last=False)
        table = view.table(name)
        return table.numbered() if numbered else table

    def threads(self, count: int) -> Local:
        with self.lock:
            return self.pools.setdefault(count, Local(count))


class Folders:
    """The warehouses that this process reads as a node."""

    def __init__(self) -> None:
        self._open: dict[str, Folder] = {}
        self._lock = threading.Lock()

    def open(self, path: str) -> Folder:
        """NotFound, Corrupted as Storage() says. Others that have been idle for ten minutes are closed."""
        now = SystemClock().timer()
        with self._lock:
            for other, folder in list(self._open.items()):
                if other != path and now - folder.used > IDLE:
                    del self._open[other]
                    folder.storage.close()
            found = self._open.get(path)
            if found is None:
                keep_freed_memory()
                found = self._open[path] = Folder(Storage(path, read_only=True), now)
            found.used = now
            return found

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].storage.close()


FOLDERS: Final = Folders()
_programs: OrderedDict[bytes, Program] = OrderedDict()
_programs_lock = threading.Lock()


def _lowered(query: bytes) -> Program:
    """The program of a query, made once."""
    with _programs_lock:
        program = _programs.get(query)
        if program is None:
            program = _programs[query] = lower(pickle.loads(query))  # noqa: S301 - from the leader, see above
            if len(_programs) > PROGRAMS:
                _programs.popitem(last=False)
        return program
