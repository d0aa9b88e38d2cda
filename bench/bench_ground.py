"""Floor 1: the Log against other ways to append durably, the Tree against LMDB with a commit a put.

Durable appends wait for the disk, so the systems take turns lap by lap in the same folder. The Tree is LMDB too: what
is compared is *when* it commits. Ours appends each put to the Log, which the kernel has before the put returns, and
commits now and then; plain LMDB commits each put, unsynced. Both survive `kill -9`, neither waits for the disk. (After
a power cut plain LMDB with sync=False may be corrupt; ours replays the Log.)
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from adapters.ground import ADAPTERS, APPENDERS
from data import Items, texts
from killed import reopen_killed
from race import Lane, counting, entrants, group, race, report
from systems import PROCESS
from ycsb import Loaded, mixing

APPEND, MIX = "ground [power-safe] append", "ground [process-safe] 50 % put"
KILLED = "ground [process-safe] open after kill"
PAYLOAD = 256
THREADS = (4, 16, 64)
CROWDS = {count: f"{APPEND}, {count} threads" for count in THREADS}


@pytest.fixture(scope="module")
def appends(request, scale, folder):
    """Each system alone, then with more and more threads: all in one race. In the end every payload is read back."""
    payloads = [text.encode() for text in texts(max(THREADS) * scale.commits, PAYLOAD, seed=9)]
    appenders, lanes = {}, []
    with ThreadPoolExecutor(max(THREADS)) as pool:
        for name in entrants(request):
            appenders[name] = APPENDERS[name]()
            appenders[name].open(folder / f"append {name}")
            lanes += appending(appenders[name], name, payloads, scale.commits, pool)
        raced = race(lanes, scale.commit_rounds)
    laps = scale.commit_rounds + 1
    expected = Counter(payloads[: scale.commits] * laps)
    for count in THREADS:
        expected.update(payloads[: count * scale.commits] * laps)
    for (_, name), lane in raced.items():
        if lane.error is None and Counter(appenders[name].payloads()) != expected:
            lane.error = AssertionError(f"{name} does not hold what was appended")
    for appender in appenders.values():
        appender.close()
    return raced


def appending(appender, name, payloads, commits, pool):
    def alone(share):
        for payload in share:
            appender.append(payload)

    def together(shares):
        list(pool.map(alone, shares))

    mine = payloads[:commits]
    yield counting(Lane(APPEND, name, commits, lambda _: alone(mine)), appender.syncs, commits)
    for count, crowd in CROWDS.items():
        shares = [payloads[at : at + commits] for at in range(0, count * commits, commits)]
        lane = Lane(crowd, name, count * commits, together, lambda _, shares=shares: shares, one_thread=False)
        yield counting(lane, appender.syncs, count * commits)


@group(APPEND)
@pytest.mark.parametrize("system", APPENDERS)
def bench_append(benchmark, appends, system):
    report(benchmark, appends[APPEND, system])


@group(CROWDS[4])
@pytest.mark.parametrize("system", APPENDERS)
def bench_append_4_threads(benchmark, appends, system):
    report(benchmark, appends[CROWDS[4], system])


@group(CROWDS[16])
@pytest.mark.parametrize("system", APPENDERS)
def bench_append_16_threads(benchmark, appends, system):
    report(benchmark, appends[CROWDS[16], system])


@group(CROWDS[64])
@pytest.mark.parametrize("system", APPENDERS)
def bench_append_64_threads(benchmark, appends, system):
    report(benchmark, appends[CROWDS[64], system])


@pytest.fixture(scope="module")
def mixes(request, scale, folder):
    items, names = Items(scale.items), entrants(request)
    stores = Loaded(ADAPTERS, names, "", grade=PROCESS, items=items, folder=folder / "trees")
    yield stores.race(request, mixing(stores, MIX, scale.operations), scale.rounds)
    stores.close()


@group(MIX)
@pytest.mark.parametrize("system", ADAPTERS)
def bench_mix(benchmark, mixes, system):
    report(benchmark, mixes[MIX, system])


@pytest.fixture(scope="module")
def reopened(request, scale, folder):
    return reopen_killed(KILLED, "adapters.ground", entrants(request), folder, scale)


@group(KILLED)
@pytest.mark.parametrize("system", ADAPTERS)
def bench_open_after_kill(benchmark, reopened, system):
    report(benchmark, reopened[KILLED, system])
