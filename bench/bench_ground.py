"""Floor 1: the Log against other ways to append durably, the Tree against LMDB with a commit a put.

Durable appends wait for the disk, so the systems take turns lap by lap in the same folder. The Tree is LMDB too: what
is compared is *when* it commits. Ours appends each put to the Log, which the kernel has before the put returns, and
commits now and then; plain LMDB commits each put, unsynced. Both survive `kill -9`, neither waits for the disk. (After
a power cut plain LMDB with sync=False may be corrupt; ours replays the Log.) The [memory] row leaves even the kernel
out: our frames are written 64 KB at a time, LMDB's puts share one transaction.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from adapters.ground import ADAPTERS, APPENDERS, IN_MEMORY
from data import Items, texts
from killed import reopen_killed
from race import Lane, counting, entrants, failing, group, race, report
from systems import MEMORY, PROCESS
from ycsb import Loaded, mixing

APPEND, MIX = "ground [power-safe] append", "ground [process-safe] 50 % put"
UNWRITTEN = "ground [memory] 50 % put"
KILLED = "ground [process-safe] open after kill"
PAYLOAD = 256
THREADS = (4, 16, 64)
CROWDS = {count: f"{APPEND}, {count} threads" for count in THREADS}


@pytest.fixture(scope="module")
def appends(request, scale, folder):
    """Each system alone, then with more and more threads: all in one race. In the end every payload is read back."""
    payloads = [text.encode() for text in texts(max(THREADS) * scale.commits, PAYLOAD, seed=9)]
    appenders = {name: APPENDERS[name]() for name in entrants(request)}
    with ThreadPoolExecutor(max(THREADS)) as pool:
        lanes = []
        for name, appender in appenders.items():
            mine = list(appending(appender, name, payloads, scale.commits, pool))
            with failing(mine):
                appender.open(folder / f"append {name}")
            lanes += mine
        raced = race(lanes, scale.commit_rounds)
    laps = scale.commit_rounds + 1
    expected = Counter(payloads[: scale.commits] * laps)
    for count in THREADS:
        expected.update(payloads[: count * share_of(count, scale.commits)] * laps)
    for name, appender in appenders.items():
        with failing(lane for lane in lanes if lane.system == name):
            found = Counter(appender.payloads())
            appender.close()
            assert found == expected, f"{name} does not hold what was appended"
    return raced


def share_of(threads, commits):
    """Appends a thread makes in a lap: as many as one alone, fewer in a crowd of more than sixteen."""
    return max(2, min(commits, 16 * commits // threads))


def appending(appender, name, payloads, commits, pool):
    def alone(share):
        for payload in share:
            appender.append(payload)

    def together(shares):
        list(pool.map(alone, shares))

    mine = payloads[:commits]
    yield counting(Lane(APPEND, name, commits, lambda _: alone(mine)), appender.syncs, commits)
    for count, crowd in CROWDS.items():
        each = share_of(count, commits)
        shares = [payloads[at : at + each] for at in range(0, count * each, each)]
        lane = Lane(crowd, name, count * each, together, lambda _, shares=shares: shares, one_thread=False)
        yield counting(lane, appender.syncs, count * each)


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


@pytest.fixture(scope="module")
def unwritten_mixes(request, scale, folder):
    items, names = Items(scale.items), entrants(request)
    stores = Loaded(IN_MEMORY, names, "", grade=MEMORY, items=items, folder=folder / "unwritten")
    yield stores.race(request, mixing(stores, UNWRITTEN, scale.operations), scale.rounds)
    stores.close()


@group(MIX)
@pytest.mark.parametrize("system", ADAPTERS)
def bench_mix(benchmark, mixes, system):
    report(benchmark, mixes[MIX, system])


@group(UNWRITTEN)
@pytest.mark.parametrize("system", IN_MEMORY)
def bench_mix_unwritten(benchmark, unwritten_mixes, system):
    report(benchmark, unwritten_mixes[UNWRITTEN, system])


@pytest.fixture(scope="module")
def reopened(request, scale, folder):
    return reopen_killed(KILLED, "adapters.ground", entrants(request), folder, scale)


@group(KILLED)
@pytest.mark.parametrize("system", ADAPTERS)
def bench_open_after_kill(benchmark, reopened, system):
    report(benchmark, reopened[KILLED, system])
