"""Compute nodes: a node is a `concurrent.futures.Executor`, whatever runs behind it, and one leader serves them all.

    scatter(nodes, work, jobs)
        job 0 ── submit ──> node 0   a thread        threads(n)     0.03 ms a query
        job 1 ── submit ──> node 1   a process       processes(n)   0.11 ms; comes back when it dies
        job 2 ── submit ──> node 0   a Dask worker   dask(client)   7 ms; on other machines
                                     a Ray actor     ray(n)         1.5 ms; on other machines

`work` is a pure function of its job and of immutable blobs, which jobs name by digest. So it may run twice, anywhere,
and the first answer is as good as any. It returns ("ok", value) or ("error", text). What it raises becomes an error on
the node already, so an exception on the future itself means one thing only: the node is lost.

A lost node's jobs go to others; a job that has lost `retries` + 1 nodes is taken for the culprit. When no node is left,
the lost ones are asked again: process, Dask and Ray nodes come back by themselves. A node that has not answered at half
of the deadline, while another has nothing to do, is taken for hung: what it had runs elsewhere too, and when the query
ends it is abandoned (a process is killed and started anew, a thread is left to itself and replaced).

Simpler than production: no shuffle between nodes, no placement by data, no streaming of results. One job a node and
query is the unit; send results, not columns.

Pitfalls: process nodes are spawned, never forked (locks of other threads would be copied locked): a script that makes
them needs `if __name__ == "__main__":`; without it the first call says so, and is not answered. Work and jobs have to
be picklable there. shutdown() each node when done.

Invariants: results are in the order of the jobs; each is an answer of work to that job; a node's death changes none.
"""

import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from typing import Any

from engines.clock import SystemClock
from engines.errors import EngineError, Invalid
from engines.extras import extra
from engines.workers import Borrowed, CannotTravel, Here, Node, NotStarted, There

Outcome = tuple[str, Any]
Work = Callable[..., Outcome]


class NodeLost(EngineError):
    """No node could run a job. `.lost` names the nodes that were lost on the way and how."""

    code = "node-lost"


class FragmentFailed(EngineError):
    """The work itself failed, and would fail anywhere. `.traceback` is the node's."""

    code = "fragment-failed"


class DeadlinePassed(EngineError):
    """The answer took longer than it was given. `.waiting` are the jobs without one, `.lost` the nodes lost so far."""

    code = "deadline"
    aws = "RequestTimeoutException"


def scatter(
    nodes: Sequence[Executor],
    work: Work,
    jobs: Sequence[tuple[Any, ...]],
    *,
    retries: int = 3,
    deadline: float | None = None,
) -> tuple[list[Any], list[str]]:
    """The values of work(*job) for each job, in order, and a line for each node that was lost on the way.

    deadline is in seconds for the whole call. NodeLost if a job has lost retries + 1 nodes, FragmentFailed if work
    returned an error or raised (an EngineError that it raised comes through as it is), DeadlinePassed. NotStarted, an
    Invalid, if a process cannot import the script that it is to serve.
    """
    if not nodes:
        raise Invalid("scatter needs at least one node: threads(1) is one")
    if retries < 0 or (deadline is not None and deadline <= 0):
        raise Invalid(f"retries is 0 or more and deadline above 0 seconds, got {retries=} {deadline=}")
    leader = _Leader(nodes, work, jobs, retries)
    try:
        leader.lead(deadline)
    finally:
        leader.leave()
    return leader.results, leader.lost


class _Leader:
    """One scatter: who runs what, and who is not to be asked again."""

    def __init__(self, nodes: Sequence[Executor], work: Work, jobs: Sequence[tuple[Any, ...]], retries: int) -> None:
        self._nodes, self._work, self._jobs, self._retries = nodes, work, jobs, retries
        self._running: dict[Future[Outcome], tuple[int, int]] = {}  # future -> job, node
        self._tries = [0] * len(jobs)
        self._waiting = set(range(len(jobs)))  # jobs without an answer
        self._aside: set[int] = set()  # nodes that were lost in this call
        self._hung: set[int] = set()
        self.results: list[Any] = [None] * len(jobs)
        self.lost: list[str] = []

    def lead(self, deadline: float | None) -> None:
        timer = SystemClock().timer
        began = timer()
        patience = None if deadline is None else deadline / 2
        for job in range(len(self._jobs)):
            self._start(job)
        while self._waiting:
            left = None if patience is None else max(0.0, began + patience - timer())
            finished = wait(self._running, left, FIRST_COMPLETED).done
            for future in finished:
                self._finish(future)
            if self._waiting and patience is not None and timer() - began >= patience:
                if patience == deadline:
                    self._give_up(deadline)
                self._relieve()
                patience = deadline

    def leave(self) -> None:
        """Whatever happened, keep nothing running that can be stopped, and no node that does not answer."""
        for future in self._running:
            future.cancel()
        for i in self._hung & {node for future, (_, node) in self._running.items() if not future.done()}:
            node = self._nodes[i]
            if isinstance(node, Node):
                node.abandon()

    def _start(self, job: int) -> None:
        while True:
            live = [node for node in range(len(self._nodes)) if node not in self._aside]
            if not live:
                self._aside.clear()
                live = list(range(len(self._nodes)))
            if self._tries[job] > self._retries:
                raise NodeLost(
                    f"job {job} has lost {self._tries[job]} nodes ({'; '.join(self.lost)}): it may be what kills them; "
                    "run it alone in a thread node to see",
                    job=job,
                    lost=self.lost,
                )
            node = live[(job + self._tries[job]) % len(live)]
            self._tries[job] += 1
            try:
                self._running[self._nodes[node].submit(_guarded, self._work, self._jobs[job])] = job, node
            except Exception as error:  # noqa: BLE001 - each back end has its own way to say that a node is gone
                self._lose(node, error)
            else:
                return

    def _finish(self, future: Future[Outcome]) -> None:
        job, node = self._running.pop(future)
        try:
            outcome = future.result()
        except CannotTravel as error:
            raise FragmentFailed(f"job {job} cannot be sent to its node: {error}", job=job, traceback="") from error
        except NotStarted:
            raise  # no node of its kind will ever start
        except (Exception, CancelledError) as error:  # noqa: BLE001 - see _start
            self._lose(node, error)
            if job in self._waiting and all(other != job for other, _ in self._running.values()):
                self._start(job)
            return
        if job in self._waiting:
            self.results[job] = _value(outcome, job)
            self._waiting.discard(job)

    def _lose(self, node: int, error: BaseException) -> None:
        if node not in self._aside:
            self._aside.add(node)
            self.lost.append(f"node {node}: {type(error).__name__} {error}".rstrip())

    def _relieve(self) -> None:
        """Half of the time is over: if a node has nothing to do, those that still have are taken for hung."""
        busy = {node for _, node in self._running.values()}
        idle = set(range(len(self._nodes))) - busy - self._aside
        if not idle:
            return
        for node in sorted(busy - self._aside):
            self._hung.add(node)
            self._aside.add(node)
            self.lost.append(f"node {node}: no answer at half of the deadline")
        for job in sorted(self._waiting):
            if self._tries[job] <= self._retries:
                self._start(job)

    def _give_up(self, deadline: float) -> None:
        self._hung |= {node for _, node in self._running.values()}
        waiting = sorted(self._waiting)
        raise DeadlinePassed(
            f"{len(waiting)} of {len(self._jobs)} jobs had no answer after {deadline:g} s, job {waiting[0]} is one: "
            "give it more time, more nodes, or less to do",
            waiting=waiting,
            lost=self.lost,
        )


def _guarded(work: Work, job: tuple[Any, ...]) -> Outcome:
    """What runs on the node: never raises, so that an exception on the future means that the node is gone."""
    try:
        return work(*job)
    except EngineError as error:
        return "raised", error
    except Exception:  # noqa: BLE001 - this is the place where it becomes an answer
        return "error", traceback.format_exc()


def _value(outcome: Outcome, job: int) -> Any:  # noqa: ANN401 - whatever work returns
    match outcome:
        case ("ok", value):
            return value
        case ("raised", EngineError() as error):
            raise error
        case ("error", text):
            last = str(text).strip().rpartition("\n")[2]
            raise FragmentFailed(f"job {job} failed on its node: {last}", job=job, traceback=text)
    raise FragmentFailed(f'work returns ("ok", value) or ("error", text), got {outcome!r:.100}', job=job, traceback="")


def threads(n: int) -> list[Executor]:
    """Nodes in this process: for kernels that release the GIL, and for everything small."""
    return [Node(Here, f"node-{i}") for i in range(_count(n))]


def processes(n: int) -> list[Executor]:
    """Nodes in processes of their own, started at their first job (from 50 ms, for the imports)."""
    return [Node(There, f"node-{i}") for i in range(_count(n))]


def _count(n: int) -> int:
    if n < 1:
        raise Invalid(f"the number of nodes is at least 1, got {n}")
    return n


def dask(client: Any) -> list[Executor]:  # noqa: ANN401 - distributed may be absent
    """One node for each worker of a distributed.Client, or of n new local workers. Needs the extra [dask].

    A client that was passed in stays open when the nodes are shut down.
    """
    distributed = extra("distributed", "dask")
    own = isinstance(client, int)
    if own:
        cluster = distributed.LocalCluster(n_workers=_count(client), threads_per_worker=1, dashboard_address=None)
        client = distributed.Client(cluster)

    def close() -> None:
        if own:
            client.close()
            cluster.close()

    among: set[int] = set()
    # allow_other_workers: a task that is pinned to a dead worker alone would wait for ever
    return [
        Borrowed(client.get_executor(workers=[worker], allow_other_workers=True, pure=False).submit, close, among)
        for worker in client.scheduler_info(n_workers=-1)["workers"]
    ]


def ray(n: int) -> list[Executor]:
    """Nodes that are Ray actors, on the cluster this process is connected to, else on this machine. Extra [ray]."""
    module = extra("ray", "ray")
    own = not module.is_initialized()
    if own:
        module.init(num_cpus=_count(n), include_dashboard=False, log_to_driver=False)

    class Actor:
        def call(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - any function's value
            return function(*args)

    actors = [module.remote(max_restarts=-1)(Actor).remote() for _ in range(_count(n))]

    def close() -> None:
        for actor in actors:
            module.kill(actor)
        if own:
            module.shutdown()

    def submitter(actor: Any) -> Callable[..., Future[Any]]:  # noqa: ANN401 - ray ships no types
        return lambda function, *args: actor.call.remote(function, args).future()

    among: set[int] = set()
    return [Borrowed(submitter(actor), close, among) for actor in actors]
