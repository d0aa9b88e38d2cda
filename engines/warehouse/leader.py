"""The leader: it deals the slices of a query out to compute nodes, and merges what they leave.

    leader     plans; says which pipelines stay on their slices (motion.py); merges states; runs what is small
    node i     slices i, i + n, i + 2 n ... of n nodes                                 node.py

    nodes = None, a number         threads of this process, one a slice, but no more than processors: they share all
                                   that is in memory. Executors of threads are taken for that, too
    nodes = executors              of engines.nodes, or any other: processes, Dask's or Ray's workers on other machines;
                                   they read the folder by themselves, and are sent what only the leader has

One task a node and pipeline: what is the same for all nodes is pickled once. A node that is lost is no loss: its task
goes to another one, three times, and then the leader does the work itself; each share's state is merged once. What a
node cannot do is done by the leader: tables that are not stored, or not committed yet; functions of the user; a join
whose leftovers are known only when all slices have probed.

Not all is worth it. A task costs a millisecond, so few rows stay here, in one thread; and so do groups that are most of
what is read: each node would leave nearly all of them. Processes are faster than threads, which wait for each other's
Python: on two processors TPC-H's 22 queries take two processes three quarters of one slice's time, and two threads as
long as one slice.

What moves: a table that is sent to every slice counts once for each slice that has it not (threads), or for each node
that it was sent to (others; bytes as they were sent). Joins on the distribution key move nothing.

Simpler than Redshift: nodes do not talk to each other; rows that must meet go over the leader.

Invariants: the answer is the same for any number of nodes. What is sent is immutable, or plain data.
"""

import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from engines.errors import Invalid
from engines.nodes import FragmentFailed, NodeLost, scatter
from engines.sql import logical
from engines.sql.collected import size
from engines.sql.context import Context
from engines.sql.functions import Functions, standard
from engines.sql.join import Build, Built, Probe
from engines.sql.nested import ApplyStep
from engines.sql.program import Move, Program
from engines.sql.run import Job, Layout, Local, Parted, Scattered, Share, parts_of
from engines.sql.scan import Table
from engines.sql.source import TableSource
from engines.sql.types import Type
from engines.warehouse import node
from engines.warehouse.motion import Motion
from engines.warehouse.motion import scatter as scatter_by
from engines.warehouse.scan import ROW
from engines.warehouse.scan import Table as StoredTable
from engines.warehouse.storage import Storage, View
from engines.workers import CannotTravel, Node

PLANS: Final = 256  # of which the leader remembers what moves
RETRIES: Final = 3
FAR: Final = 1_000_000  # rows that the leader reads sooner than it hands them out and gets the answer
MUCH: Final = 4  # bytes left, of each row that is read: to put them together takes longer than to make them at once


@dataclass(frozen=True, slots=True)
class Planned:
    """What the leader knows of a program. query: None where nodes cannot run it."""

    program: Program
    versions: tuple[Any, ...]
    motion: Motion
    query: bytes | None


class Leader:
    """A runner (engines.sql.run) over the tables of a warehouse. Any thread may use it.

    nodes: None or a number: threads; else executors, which whoever made them shuts down. functions: those of the
    dialect that statements are in; nodes know the standard ones.
    """

    def __init__(
        self,
        nodes: "Nodes",
        storage: Storage,
        *,
        functions: Functions | None = None,
    ) -> None:
        self._storage = storage
        named = executors(nodes)
        self._nodes = named if any(map(_elsewhere, named)) else []
        self._functions = functions
        self._standard: Functions | None = None
        self._local = Local(min(storage.slices, max(os.cpu_count() or 1, 2)))
        self._plans: OrderedDict[int, Planned] = OrderedDict()
        self._lock = threading.Lock()
        self.sent = 0  # bytes to nodes and back, in all

    @property
    def nodes(self) -> int:
        """How many nodes there are besides this process; 0: slices are threads."""
        return len(self._nodes)

    # ---- plans

    def layout(self, program: Program, context: Context) -> Layout:
        motion, slices = self._planned(program, context.tables).motion, self._storage.slices
        scattered = {
            number: scatter_by(sink.keys[key], slices)
            for number, key in motion.scattered.items()
            if isinstance(sink := program.pipelines[number].sink, Build)
        }
        return Layout(slices, motion.apart, motion.everywhere, scattered)

    def moves(self, program: Program, source: Callable[[str], TableSource]) -> Mapping[int, Move]:
        """For EXPLAIN: what each join moves, by the id() of its step in the program's plan."""
        return self._planned(program, {name: source(name) for name in program.query.tables}).motion.moves()

    def _planned(self, program: Program, tables: Mapping[str, TableSource]) -> Planned:
        versions = tuple(table.version() for table in tables.values())
        with self._lock:
            known = self._plans.get(id(program))
            if known is None or known.program is not program or known.versions != versions:
                sources = {name: _unpinned(table) for name, table in tables.items()}
                motion = Motion(program, sources.__getitem__, self._storage.slices, len(self._nodes))
                known = self._plans[id(program)] = Planned(program, versions, motion, self._query(program))
                if len(self._plans) > PLANS:
                    self._plans.popitem(last=False)
            return known

    def _query(self, program: Program) -> bytes | None:
        if not self._nodes:
            return None
        if self._functions is not None:
            if self._standard is None:
                self._standard = standard()
            mine, theirs = self._functions, self._standard
            for name in set(called(program.query)):
                if mine.find(name) is not theirs.find(name) or mine.aggregates.get(name) is not theirs.aggregates.get(
                    name
                ):
                    return None
        return pickle.dumps(program.query, pickle.HIGHEST_PROTOCOL)

    # ---- runs

    def slices(self, job: Job) -> int:
        if self._storage.slices == 1:
            return 1
        rows = sum(partition.rows for one in job.opened.values() for partition in one.partitions or ())
        rows += sum(part.rows for part in parts_of(job) if not part.everywhere)
        if rows < FAR:
            return 1
        motion = self._planned(job.program, job.context.tables).motion
        if motion.leaves(job.pipeline) > MUCH * rows:
            return 1
        return self._storage.slices if self._nodes else self._local.threads

    def states(self, job: Job, shares: Sequence[Share]) -> list[Any]:
        planned = self._planned(job.program, job.context.tables)
        labels = planned.motion.by_pipeline
        far = self._far(job, planned, shares)
        if far is None:
            states = self._local.states(job, shares)
            for number, built in _sent(job):
                if labels.get(number) == "DS_BCAST_INNER":
                    _moved(job.context, built, self._storage.slices - 1)
        else:
            states = far
        if isinstance(job.pipeline.sink, Build) and labels.get(job.pipeline.number) == "DS_DIST_ALL_INNER":
            for state in states[1:]:
                job.context.scanned.rows_moved += state.rows
                job.context.scanned.bytes_moved += state.bytes
        return states

    def close(self) -> None:
        """Let the threads go. Nodes that were passed in stay as they are."""
        self._local.close()

    def _far(self, job: Job, planned: Planned, shares: Sequence[Share]) -> list[Any] | None:
        """The states from the nodes; None where the leader has to do it itself."""
        if not self._nodes or planned.query is None or self._storage.path is None:
            return None
        apart = _apart(job)
        tables = self._tables(job, apart)
        if tables is None:
            return None
        if self._storage.durability != "commit":
            self._storage.flush()  # nodes read what is on disk
        context = job.context
        results = dict(_sent(job))
        settings = {name: getattr(context, name) for name in ("text", "values", "random", "rules", "memory", "vector")}
        task = node.Task(
            self._storage.path,
            planned.query,
            job.pipeline.number,
            tuple(job.opened),
            tuple(sorted(apart)),
            pickle.dumps(results, pickle.HIGHEST_PROTOCOL) if results else b"",
            tables,
            settings,
            None if context.deadline is None else max(context.deadline - context.clock.timer(), 0.001),
            job.profile is not None,
        )
        common = pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
        mine = [shares[i :: len(self._nodes)] for i in range(min(len(self._nodes), len(shares)))]
        works = [pickle.dumps(_work(some, apart), pickle.HIGHEST_PROTOCOL) for some in mine]
        try:
            answers, lost = scatter(
                self._nodes,
                node.run,
                [(common, work) for work in works],
                retries=RETRIES,
                deadline=task.seconds,
            )
        except NodeLost as error:
            context.lost.extend(error.details["lost"])  # type: ignore[arg-type] # a list of lines
            return None
        except FragmentFailed as error:
            if not isinstance(error.__cause__, CannotTravel):
                raise
            context.lost.append(str(error))  # a state or a value that has no pickle: it stays here
            return None
        except BaseException:
            for one in self._nodes:  # Ctrl-C, or a failure: nobody waits for what the others still do
                if isinstance(one, Node):
                    one.abandon()
            raise
        context.lost.extend(lost)
        self.sent += sum(len(common) + len(work) + len(answer) for work, answer in zip(works, answers, strict=True))
        for built in results.values():
            if isinstance(built, Built):
                context.scanned.rows_moved += built.rows * len(mine)
        context.scanned.bytes_moved += len(task.results) * len(mine)
        return _gathered(job, [pickle.loads(answer) for answer in answers], mine)  # noqa: S301 - from nodes of our own

    def _tables(self, job: Job, apart: Mapping[int, Parted]) -> dict[str, tuple[str, str, bool]] | None:
        """The tables that the nodes must read; None if they cannot, or cannot do the pipeline at all."""
        names: set[str] = set()
        jobs = [job, *(part.job for part in apart.values())]
        for one in jobs:
            for at in one.opened:
                branch = one.pipeline.branches[at]
                if isinstance(branch.source, Table):
                    names.add(branch.source.plan.table)
                for step in branch.steps:
                    if isinstance(step, ApplyStep):
                        names |= set(job.context.tables)
                    elif isinstance(step, Probe) and step.join.rest:
                        part = apart.get(step.needs[0])
                        if part is None or part.everywhere:
                            return None
        found = {}
        for name in names:
            table = job.context.tables.get(name)
            root = self._root(table)
            if table is None or root is None:
                return None
            found[name] = root, table.name, any(field.name == ROW for field in table.schema())
        return found

    def _root(self, table: TableSource | None) -> str | None:
        """The root that a table was read from; None if it is no table of ours, or not committed."""
        if (
            type(table) is not StoredTable
            or not isinstance(view := table.pin, View)
            or view.storage is not self._storage
        ):
            return None
        known = table.name in view.root.tables and view.table(table.name).version() == table.version()
        return view.digest if known else None


Nodes = int | Executor | Sequence[Executor] | None


def executors(nodes: Nodes) -> list[Executor]:
    """The nodes that are named one by one; none for a number of threads. Invalid for what names no nodes."""
    if nodes is None or isinstance(nodes, int):
        if nodes is not None and (isinstance(nodes, bool) or nodes < 1):
            raise Invalid(f"nodes is a number from 1, or executors, got {nodes!r}")
        return []
    found = [nodes] * int(getattr(nodes, "_max_workers", 1)) if isinstance(nodes, Executor) else list(nodes)
    if not found or not all(isinstance(one, Executor) for one in found):
        raise Invalid("nodes is a number from 1, or one or more executors: see engines.nodes")
    return found


def count(nodes: Nodes) -> int:
    """How many nodes that names, this process one of them if it names none. Invalid as executors()."""
    return len(executors(nodes)) or (nodes if isinstance(nodes, int) else 1)


def _elsewhere(node: Executor) -> bool:
    """Whether it does not share the memory of this process: for one that does, the leader's own threads do as well."""
    return not isinstance(node, ThreadPoolExecutor) and not (isinstance(node, Node) and node.here)


def _unpinned(table: TableSource) -> TableSource:
    """The table without what keeps its blobs: a plan that is kept must not. What it asks later is of the same state."""
    return table.pinned(None) if isinstance(table, StoredTable) else table


def _apart(job: Job) -> dict[int, Parted]:
    """The results by slice that a job needs, and those that they need."""
    found: dict[int, Parted] = {}
    waiting = [job]
    while waiting:
        one = waiting.pop()
        for number in one.pipeline.needs():
            result = one.results.get(number)
            if isinstance(result, Parted) and number not in found:
                found[number] = result
                waiting.append(result.job)
    return found


def _sent(job: Job) -> Iterator[tuple[int, Any]]:
    """The other results that the steps of a job, and of what it needs by slice, use: all of it on every slice."""
    seen: set[int] = set()
    for one in (job, *(part.job for part in _apart(job).values())):
        for at in one.opened:
            for step in one.pipeline.branches[at].steps:
                for number in getattr(step, "needs", ()):
                    result = one.results[number]
                    if number not in seen and not isinstance(result, Parted):
                        seen.add(number)
                        yield number, result


def _moved(context: Context, built: Any, times: int) -> None:  # noqa: ANN401 - a result
    if isinstance(built, Built):
        context.scanned.rows_moved += built.rows * times
        context.scanned.bytes_moved += sum(map(size, built.columns.values())) * times


def _work(shares: Sequence[Share], apart: Mapping[int, Parted]) -> node.Work:
    slices = {portion.slice for share in shares for portion in share if portion.slice is not None}
    parts, sent = {}, {}
    for number, part in apart.items():
        if isinstance(part, Scattered):
            sent[number] = {slice: part.states[slice] for slice in slices}
        else:
            parts[number] = part.portions if part.everywhere else {slice: part.portions[slice] for slice in slices}
    return node.Work(shares, parts, sent)


def _gathered(job: Job, done: Sequence[node.Done], mine: Sequence[Sequence[Share]]) -> list[Any]:
    """The states in the order of shares, if there is one for each."""
    for one in done:
        job.context.scanned.add(one.scanned)
        if job.profile is not None:
            for place, counter in one.counters.items():
                job.profile.add(place, counter)
    states = []
    for turn in range(max(map(len, mine))):
        states += [one.states[turn] for one in done if turn < len(one.states)]
    return states


def called(thing: Any) -> Iterator[str]:  # noqa: ANN401 - a plan, and all that is in it
    """The names of all functions in a query."""
    if isinstance(thing, tuple):
        for one in thing:
            yield from called(one)
    elif is_dataclass(thing) and not isinstance(thing, type | Type):
        if isinstance(thing, logical.Call | logical.AggregateCall | logical.WindowCall):
            yield thing.function
        for part in fields(thing):
            yield from called(getattr(thing, part.name))
