"""Key-value: YCSB's load, C, A and B (reads; half puts; 5 % puts), puts that wait for the disk, opening after a kill.

Items of ten fields of 100 letters, keys zipfian. [process-safe] rows never wait for the disk. All systems are loaded,
closed and opened again before they are read, so each answers from what it keeps on disk (page cache warm): RocksDB
would be about a fifth faster while everything still sits in the memory table of its first 64 MB.

A lap of the mix is short, so its minimum leaves out what a store puts off: our checkpoint every 50,000 writes,
RocksDB's flushes, SQLite's write-ahead log. The row "in a row" (scale full) has them inside the clock.

[power-safe] rows wait for the disk, which is moody: the systems take turns lap by lap, in the same folder.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from adapters.kv import ADAPTERS
from data import Items
from killed import reopen_killed
from race import Lane, counting, entrants, group, report
from systems import POWER, PROCESS
from ycsb import Loaded, mixing, reading

ALL = ("engines", "lmdb", "lmdb + ormsgpack", "rocksdict", "sqlite", "diskcache")
THREADED = ("engines", "lmdb", "lmdb + ormsgpack", "rocksdict", "sqlite")
BATCH_SIZE, THREADS = 100, 16

LOAD, READ = "kv [process-safe] load", "kv [process-safe] read"
MIX, STREAK = "kv [process-safe] 50 % put", "kv [process-safe] 50 % put, in a row"
FEW = "kv [process-safe] 5 % put"
BATCH, PUT, PUT16 = "kv [power-safe] batch of 100", "kv [power-safe] put", "kv [power-safe] put, 16 threads"
KILLED = "kv [process-safe] open after kill"


@pytest.fixture(scope="module")
def items(scale):
    return Items(scale.items)


@pytest.fixture(scope="module")
def loaded(request, scale, items, folder):
    rounds = 1 if scale.name == "smoke" else 3
    stores = Loaded(ADAPTERS, entrants(request), LOAD, grade=PROCESS, items=items, folder=folder, rounds=rounds)
    yield stores
    stores.close()


@group(LOAD)
@pytest.mark.parametrize("system", ALL)
def bench_load(benchmark, loaded, system):
    report(benchmark, loaded.lanes[LOAD, system])


@pytest.fixture(scope="module")
def reads(request, scale, loaded):
    with ExitStack() as stack:
        return loaded.race(request, reading(loaded, READ, scale.operations, stack), scale.rounds)


@group(READ)
@pytest.mark.parametrize("system", ALL)
def bench_read(benchmark, reads, system):
    report(benchmark, reads[READ, system])


@pytest.fixture(scope="module")
def mixes(request, scale, loaded):
    return loaded.race(request, mixing(loaded, MIX, scale.operations), scale.rounds)


@group(MIX)
@pytest.mark.parametrize("system", [*ALL, "engines, no stream"])
def bench_mix(benchmark, mixes, system):
    report(benchmark, mixes[MIX, system])


@pytest.fixture(scope="module")
def few_puts(request, scale, loaded):
    return loaded.race(request, mixing(loaded, FEW, scale.operations, first=2000, share=0.05), scale.rounds)


@group(FEW)
@pytest.mark.parametrize("system", ALL)
def bench_few_puts(benchmark, few_puts, system):
    report(benchmark, few_puts[FEW, system])


@pytest.fixture(scope="module")
def streaks(request, scale, loaded):
    if not scale.streak:
        pytest.skip("many operations in a row: --scale full")
    return loaded.race(request, mixing(loaded, STREAK, scale.streak, first=1000), min(scale.rounds, 3))


@group(STREAK)
@pytest.mark.parametrize("system", ["engines", "lmdb + ormsgpack", "rocksdict", "sqlite"])
def bench_mix_in_a_row(benchmark, streaks, system):
    report(benchmark, streaks[STREAK, system])


@pytest.fixture(scope="module")
def durable(request, items, folder):
    stores = Loaded(ADAPTERS, entrants(request), "", grade=POWER, items=items, folder=folder)
    yield stores
    stores.close()


@pytest.fixture(scope="module")
def batches(request, scale, items, durable):
    """Puts that share a sync: a batch writer, a transaction, a write batch."""
    operations = scale.commits * BATCH_SIZE

    def lanes_of(name):
        adapter = durable.adapters[name]

        def prepare(lap):
            entries = durable.puts(name, items.zipfian(operations, lap), lap * operations)
            return [entries[at : at + BATCH_SIZE] for at in range(0, operations, BATCH_SIZE)]

        def run(groups):
            for entries in groups:
                adapter.put_many(entries)

        yield counting(Lane(BATCH, name, operations, run, prepare), adapter.syncs, scale.commits)

    return durable.race(request, lanes_of, scale.commit_rounds)


@group(BATCH)
@pytest.mark.parametrize("system", ALL)
def bench_batch(benchmark, batches, system):
    report(benchmark, batches[BATCH, system])


@pytest.fixture(scope="module")
def durable_puts(request, scale, items, durable):
    """One thread and sixteen in one race: the ratio of their commits per second is a figure of its own."""
    share = min(
        scale.commits, items.n // THREADS
    )  # puts a thread: no key twice in a lap, so all know what must be there
    crowd = share * THREADS

    def lanes_of(name):
        adapter = durable.adapters[name]
        put, syncs = adapter.put, adapter.syncs

        def alone(entries):
            for entry in entries:
                put(entry)

        def together(entries):
            list(pool.map(alone, [entries[at : at + share] for at in range(0, crowd, share)]))

        def prepare(lap):
            return durable.puts(name, items.distinct(scale.commits, lap), 10_000_000 + lap * scale.commits)

        def prepare_crowd(lap):
            return durable.puts(name, items.distinct(crowd, 1000 + lap), 20_000_000 + lap * crowd)

        yield counting(Lane(PUT, name, scale.commits, alone, prepare), syncs, scale.commits)
        if name in THREADED:
            yield counting(Lane(PUT16, name, crowd, together, prepare_crowd, one_thread=False), syncs, crowd)

    with ThreadPoolExecutor(THREADS) as pool:
        return durable.race(request, lanes_of, scale.commit_rounds)


@group(PUT)
@pytest.mark.parametrize("system", ALL)
def bench_put(benchmark, durable_puts, system):
    report(benchmark, durable_puts[PUT, system])


@group(PUT16)
@pytest.mark.parametrize("system", THREADED)
def bench_put_by_16_threads(benchmark, durable_puts, system):
    report(benchmark, durable_puts[PUT16, system])


@pytest.fixture(scope="module")
def reopened(request, scale, folder):
    return reopen_killed(KILLED, "adapters.kv", entrants(request), folder, scale)


@group(KILLED)
@pytest.mark.parametrize("system", ["engines", "lmdb + ormsgpack", "rocksdict", "sqlite"])
def bench_open_after_kill(benchmark, reopened, system):
    report(benchmark, reopened[KILLED, system])
