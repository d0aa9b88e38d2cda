"""Fair timing: systems take turns, lap by lap, in one process; each lap's answer is checked; the minimum counts.

A neighbour's load or a slow minute of the disk hits all systems of a race alike, because their laps lie between each
other's. Every second round runs in the opposite order, so nobody always runs behind the same rival. Round 0 is not
measured: it pays for imports, page faults and cold caches. The garbage collector is off while a lap runs.

    lane = Lane(GROUP, "lmdb", operations=1000, prepare=..., run=..., check=...)
    race([lane, ...], rounds=10)
    report(benchmark, lane)          hands the laps to pytest-benchmark, as seconds per *operation*

pytest-benchmark measures one test after another and cannot take turns. So a fixture runs the race, and each test
replays its lane's laps on a clock of its own, `LAPS`: all else (tables, JSON, comparing files) is pytest-benchmark's.

Invariant: a lane whose answer was wrong has an error and no time.
"""

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass(slots=True)
class Lane:
    """One system in one group. prepare and check stand outside the clock; both may be left out."""

    group: str
    system: str
    operations: int  # in a lap: times are reported per operation
    run: Callable[[Any], Any]
    prepare: Callable[[int], Any] = lambda number: number
    check: Callable[[int, Any], None] = lambda number, answer: None  # noqa: ARG005 - names the parameters for readers
    one_thread: bool = True
    info: dict[str, Any] = field(default_factory=dict)
    laps: list[float] = field(default_factory=list)  # seconds an operation, wall clock
    cpu: list[float] = field(default_factory=list)  # the same, CPU of the calling thread
    error: BaseException | None = None

    def assert_right(self) -> None:
        """Raise what went wrong in this lane, if anything did."""
        if self.error is not None:
            raise self.error


class _LapClock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


LAPS = _LapClock()


def group(name: str) -> pytest.MarkDecorator:
    """The mark of a bench whose times come from a race."""
    return pytest.mark.benchmark(group=name, timer=LAPS)


def race(lanes: Iterable[Lane], rounds: int) -> dict[tuple[str, str], Lane]:
    """Run round 0 unmeasured, then `rounds` rounds; the lanes by (group, system)."""
    lanes = list(lanes)
    for number in range(rounds + 1):
        for lane in lanes if number % 2 else reversed(lanes):
            if lane.error is None:
                with failing([lane]):
                    _lap(lane, number)
    return {(lane.group, lane.system): lane for lane in lanes}


@contextmanager
def failing(lanes: Iterable[Lane]) -> Iterator[None]:
    """What goes wrong inside is the error of these lanes, unless they have one: it must not end the others' race."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - raised again by report(), in the test of the system it belongs to
        for lane in lanes:
            lane.error = lane.error or error


def _lap(lane: Lane, number: int) -> None:
    inputs = lane.prepare(number)
    collecting = gc.isenabled()
    gc.disable()
    with _one_core() if lane.one_thread else _any_core():
        cpu, wall = time.thread_time(), time.perf_counter()
        answer = lane.run(inputs)
        wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
    if collecting:
        gc.enable()
    lane.check(number, answer)
    if number:
        lane.laps.append(wall / lane.operations)
        lane.cpu.append(cpu / lane.operations)


class _any_core:  # noqa: N801 - reads as a word in `with`
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class _one_core(_any_core):  # noqa: N801 - same
    """Keeps the calling thread on one core where there are enough; threads that a system started stay free."""

    def __enter__(self) -> None:
        self.cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        if len(self.cores) > 2:
            os.sched_setaffinity(0, {max(self.cores)})

    def __exit__(self, *_: object) -> None:
        if len(self.cores) > 2:
            os.sched_setaffinity(0, self.cores)


def counting(lane: Lane, syncs: Callable[[], int | None], commits: int) -> Lane:
    """Also note in lane.info how many commits and syncs its laps made, where the system can tell (syncs: so far)."""
    prepare, check, before = lane.prepare, lane.check, None

    def counted_prepare(number: int) -> Any:
        nonlocal before
        inputs, before = prepare(number), syncs()
        return inputs

    def counted_check(number: int, answer: Any) -> None:
        after = syncs()
        if number and before is not None:
            lane.info["commits"] = lane.info.get("commits", 0) + commits
            lane.info["syncs"] = lane.info.get("syncs", 0) + after - before
        check(number, answer)

    lane.prepare, lane.check = counted_prepare, counted_check
    return lane


def report(benchmark, lane: Lane) -> None:
    """Fail with the lane's error, or hand its laps to pytest-benchmark."""
    if lane.error is not None:
        benchmark.pedantic(lane.assert_right)  # fails inside, so that it counts as measured and failed
    benchmark.extra_info.update(lane.info, operations=lane.operations)
    if lane.one_thread:
        benchmark.extra_info["cpu"] = min(lane.cpu)
    laps = iter(lane.laps)

    def rewind() -> None:
        LAPS.seconds = 0.0

    def lap() -> None:
        LAPS.seconds = next(laps)

    benchmark.pedantic(lap, setup=rewind, rounds=len(lane.laps))


def replayed(name: str, lanes: str, systems: Iterable[str]) -> Callable[..., None]:
    """The bench of a group: for each system it hands over what the fixture `lanes` has raced."""

    @group(name)
    @pytest.mark.usefixtures(lanes)
    @pytest.mark.parametrize("system", list(systems))
    def bench(benchmark, request: pytest.FixtureRequest, system: str) -> None:
        report(benchmark, request.getfixturevalue(lanes)[name, system])

    return bench


def entrants(request: pytest.FixtureRequest) -> list[str]:
    """The systems whose tests were selected, are installed, and ask for the calling fixture: nobody else need run."""
    wanted = [item for item in request.session.items if request.fixturename in item.fixturenames]
    names = [item.callspec.params["system"] for item in wanted if not item.get_closest_marker("skip")]
    return list(dict.fromkeys(names))
