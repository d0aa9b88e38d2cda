"""One leader over threads, processes, Dask and Ray: the death of a node changes no answer."""

import importlib.util
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import fragments

from engines import nodes
from engines.errors import EngineError, Invalid, QueryError
from engines.nodes import DeadlinePassed, FragmentFailed, NodeLost, scatter

JOBS = [(n,) for n in range(5)]
SQUARES = [n * n for n in range(5)]


def closing(made):
    yield made
    fragments.released.set()
    for node in made:
        node.shutdown()
    fragments.released.clear()


@pytest.fixture
def two_threads():
    yield from closing(nodes.threads(2))


@pytest.fixture(scope="module")
def processes():
    """Started once: that takes longer than all the tests. Each test leaves them as it found them, killed or not."""
    yield from closing(nodes.processes(2))


@pytest.fixture(params=["threads", "processes", "pools"])
def some_nodes(request):
    if request.param == "processes":
        yield request.getfixturevalue("processes")
    else:
        yield from closing(
            nodes.threads(2) if request.param == "threads" else [ThreadPoolExecutor(2), ThreadPoolExecutor(1)]
        )


class Flaky(Executor):
    """A node that follows a script, an entry a call: refuse at submit, die, hang, or work."""

    def __init__(self, script):
        self.script = list(script)

    def submit(self, fn, /, *args):
        what = self.script.pop(0) if self.script else "work"
        future = Future()
        if what == "refuse":
            raise RuntimeError("broken")
        if what == "die":
            future.set_exception(ConnectionError("gone"))
        elif what == "cancel":
            future.cancel()
            future.set_running_or_notify_cancel()
        elif what == "work":
            future.set_result(fn(*args))
        return future


def test_the_results_are_in_the_order_of_the_jobs(some_nodes):
    assert scatter(some_nodes, fragments.square, JOBS) == (SQUARES, [])
    assert scatter(some_nodes, fragments.square, []) == ([], [])
    assert scatter(some_nodes, fragments.square, JOBS, deadline=60) == (SQUARES, [])


def test_process_nodes_are_other_processes(processes):
    (results, _) = scatter(processes, fragments.where, JOBS)
    pids = {pid for _, pid in results}
    assert len(pids) == 2
    assert os.getpid() not in pids


@pytest.mark.parametrize("work", [fragments.error, fragments.raises])
def test_work_that_fails_would_fail_anywhere_and_is_not_tried_again(some_nodes, work):
    with pytest.raises(FragmentFailed, match=r"job \d failed on its node: (ValueError|ZeroDivisionError): ") as caught:
        scatter(some_nodes, work, JOBS)
    assert "Traceback" in caught.value.traceback
    assert scatter(some_nodes, fragments.square, JOBS) == (SQUARES, [])


def test_an_engine_error_comes_through_as_it_was(some_nodes):
    with pytest.raises(QueryError) as caught:
        scatter(some_nodes, fragments.raises_an_engine_error, [(3,)])
    with pytest.raises(QueryError) as here:
        fragments.raises_an_engine_error(3)
    assert str(caught.value) == str(here.value)
    assert (caught.value.line, caught.value.column, caught.value.text) == (1, 8, "SELECT x")


def test_what_is_no_outcome_is_refused(some_nodes):
    with pytest.raises(FragmentFailed, match='returns \\("ok", value\\)'):
        scatter(some_nodes, fragments.no_outcome, JOBS)


def test_what_cannot_travel_is_not_taken_for_a_lost_node(processes):
    for work, job in [
        (fragments.square, (threading.Lock(),)),
        (lambda n: ("ok", n), (1,)),
        (fragments.returns_a_lock, (1,)),
    ]:
        with pytest.raises(FragmentFailed, match="cannot be sent"):
            scatter(processes, work, [job])
    assert scatter(processes, fragments.square, JOBS) == (SQUARES, [])


def test_a_process_killed_in_mid_call_changes_no_answer(processes, tmp_path):
    marker = str(tmp_path / "marker")
    results, lost = scatter(processes, fragments.killed_once, [(n, marker) for n in range(5)])
    assert results == SQUARES
    assert len(lost) == 1
    assert "killed by signal 9" in lost[0]
    assert scatter(processes, fragments.square, JOBS) == (SQUARES, [])  # and it has come back


def test_a_single_process_that_is_killed_comes_back_for_its_jobs(processes, tmp_path):
    marker = str(tmp_path / "marker")
    results, lost = scatter(processes[:1], fragments.killed_once, [(n, marker) for n in range(5)])
    assert results == SQUARES
    assert len(lost) == 1


def test_a_job_that_kills_every_node_is_named(processes):
    with pytest.raises(NodeLost, match="job 2 has lost 2 nodes") as caught:
        scatter(processes, fragments.always_killed, JOBS, retries=1)
    assert caught.value.job == 2
    assert len(caught.value.lost) >= 1
    assert scatter(processes, fragments.square, JOBS) == (SQUARES, [])


@pytest.mark.parametrize("kind", ["two_threads", "processes"])
def test_a_hung_node_is_taken_for_lost_and_its_jobs_run_elsewhere(kind, request, tmp_path):
    made, marker = request.getfixturevalue(kind), str(tmp_path / "marker")
    scatter(made, fragments.square, JOBS)  # the processes are up: the deadline is for the work
    results, lost = scatter(made, fragments.hung_once, [(n, marker) for n in range(5)], deadline=2)
    assert results == SQUARES
    assert "node 1: no answer at half of the deadline" in lost
    assert scatter(made, fragments.square, JOBS) == (SQUARES, [])  # node 1 was abandoned, and serves again


def test_no_answer_by_the_deadline_is_an_error_and_the_nodes_serve_on(processes):
    scatter(processes, fragments.square, JOBS)
    with pytest.raises(DeadlinePassed, match=r"1 of 3 jobs had no answer after 0\.4 s") as caught:
        scatter(processes, fragments.hangs, [(0,), (1,), (0,)], deadline=0.4)
    assert caught.value.waiting == [1]
    assert scatter(processes, fragments.square, JOBS) == (SQUARES, [])


def test_all_nodes_hung_is_a_passed_deadline(two_threads):
    stuck = threading.Event()
    with pytest.raises(DeadlinePassed):
        scatter(two_threads, lambda n: ("ok", stuck.wait(600)), JOBS, deadline=0.1)
    assert scatter(two_threads, fragments.square, JOBS) == (SQUARES, [])
    stuck.set()


moves = st.sampled_from(["refuse", "die", "cancel", "work"])


@given(st.lists(st.lists(moves, max_size=5), min_size=1, max_size=4), st.integers(0, 6), st.integers(0, 4))
def test_whatever_nodes_do_the_answer_is_right_or_there_is_none(scripts, jobs, retries):
    made = [Flaky(script) for script in scripts]
    failures = sum(move != "work" for script in scripts for move in script)
    try:
        results, lost = scatter(made, fragments.square, [(n,) for n in range(jobs)], retries=retries)
    except NodeLost:
        assert failures > retries
    else:
        assert results == [n * n for n in range(jobs)]
        assert len(lost) <= failures


def test_a_late_answer_of_a_node_taken_for_hung_still_counts():
    late = []

    class Late(Executor):
        def submit(self, fn, /, *args):
            late.append((Future(), fn, args))
            return late[0][0]

    class Relief(Executor):
        """Asked to take over, it hangs as well, and the first one answers after all."""

        def submit(self, fn, /, *args):
            future, first, arguments = late[0]
            future.set_result(first(*arguments))
            return Future()

    results, lost = scatter([Late(), Relief()], fragments.square, [(3,)], deadline=0.2)
    assert results == [9]
    assert lost == ["node 0: no answer at half of the deadline"]


def test_nodes_that_were_shut_down_are_lost_nodes():
    made = nodes.threads(2)
    made[0].shutdown()
    results, lost = scatter(made, fragments.square, JOBS)
    assert results == SQUARES
    assert lost == ["node 0: RuntimeError node-0 was shut down; make new nodes"]
    made[1].shutdown()
    with pytest.raises(NodeLost, match="make new nodes"):
        scatter(made, fragments.square, JOBS)


def test_a_node_is_an_executor_like_any_other(some_nodes):
    node = some_nodes[0]
    assert node.submit(fragments.plain, 1).result() == 2
    with pytest.raises(ValueError, match="negative"):
        node.submit(fragments.plain, -1).result()
    assert list(node.map(fragments.plain, range(4))) == [1, 2, 3, 4]


def test_shutdown_waits_for_what_was_submitted_or_cancels_it():
    (node,) = nodes.threads(1)
    started, gate = threading.Event(), threading.Event()
    first = node.submit(lambda: (started.set(), gate.wait(60)))
    second = node.submit(fragments.plain, 1)
    started.wait(60)
    node.shutdown(wait=False, cancel_futures=True)
    gate.set()
    node.shutdown()
    assert first.result()
    with pytest.raises(CancelledError):
        second.result()
    with pytest.raises(TypeError, match="positional"):
        node.submit(fragments.plain, n=1)


def test_a_node_that_nobody_has_ends_its_process():
    made = nodes.processes(1)
    pid = made[0].submit(os.getpid).result()
    thread = made[0]._thread
    del made
    thread.join(60)
    assert not thread.is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: scatter([], fragments.square, JOBS),
        lambda: scatter(nodes.threads(1), fragments.square, JOBS, retries=-1),
        lambda: scatter(nodes.threads(1), fragments.square, JOBS, deadline=0),
        lambda: nodes.threads(0),
        lambda: nodes.processes(-1),
    ],
)
def test_arguments_that_make_no_sense_are_refused(call):
    with pytest.raises(Invalid):
        call()


def test_every_engine_error_survives_pickling():
    def all_of(kind):
        return {kind}.union(*map(all_of, kind.__subclasses__()))

    for kind in all_of(EngineError):
        error = kind("what to do", text="a\nb", position=3) if kind is QueryError else kind("what to do", item=7)
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert (type(again), str(again), again.details, again.code) == (kind, str(error), error.details, error.code)


@pytest.fixture
def importable(monkeypatch):
    """Workers that are not our children find the fragments, too."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="needs the extra [dask]")
def test_a_dask_worker_killed_in_mid_call_changes_no_answer(importable, tmp_path):
    made = nodes.dask(2)
    try:
        assert scatter(made, fragments.square, JOBS) == (SQUARES, [])
        marker = str(tmp_path / "marker")
        results, _ = scatter(made, fragments.killed_once, [(n, marker) for n in range(5)], deadline=60)
        assert results == SQUARES
        assert Path(marker).exists()  # it was killed; Dask heals by itself, so nothing may be lost
        with pytest.raises(FragmentFailed, match="ZeroDivisionError"):
            scatter(made, fragments.raises, JOBS)
    finally:
        for node in made:
            node.shutdown()
    with pytest.raises(NodeLost, match="shut down"):
        scatter(made, fragments.square, JOBS)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs the extra [ray]")
def test_a_ray_actor_killed_in_mid_call_changes_no_answer(importable, tmp_path):
    made = nodes.ray(2)
    try:
        assert scatter(made, fragments.square, JOBS) == (SQUARES, [])
        marker = str(tmp_path / "marker")
        results, lost = scatter(made, fragments.killed_once, [(n, marker) for n in range(5)], deadline=60)
        assert results == SQUARES
        assert len(lost) >= 1
        with pytest.raises(FragmentFailed, match="ZeroDivisionError"):
            scatter(made, fragments.raises, JOBS)
    finally:
        for node in made:
            node.shutdown()
    with pytest.raises(NodeLost, match="shut down"):
        scatter(made, fragments.square, JOBS)


@pytest.mark.parametrize("first", ["", "if __name__ != '__main__':\n    raise ValueError('twice')\n"])
def test_a_script_without_a_guard_fails_at_its_first_call(tmp_path, first):
    script = tmp_path / "script.py"
    script.write_text(
        first + "print('imported', flush=True)\n"
        "from engines import nodes\n"
        "made = nodes.processes(2)\n"
        "for _ in range(5):\n"
        "    print(nodes.scatter(made, divmod, [(7, 2)]), flush=True)\n"
    )
    root = str(Path(__file__).parents[1])
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(script)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
        timeout=60,
    )
    assert done.returncode == 1
    assert "NotStarted" in done.stderr.splitlines()[-1]
    assert 'if __name__ == "__main__":' in done.stderr.splitlines()[-1]
    assert done.stdout.split() == ["imported"] * (1 if first else 2)
