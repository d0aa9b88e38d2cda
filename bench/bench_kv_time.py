"""Time: many items expire while others are read; a table is restored to what it was at a certain second.

Expiry: every deletion leaves a record of the item that was (in ours the change stream), and none waits for the disk.
Meanwhile a thread of the same process wants to read an item every half millisecond. Its wait counts from the moment it
wants to until it has the item: waiting for the interpreter is part of it, and so is a busy machine's scheduler. The
figure is the 99th percentile. The time of an expiry has that reader in it.

Restoring: n items are loaded, then a tenth of them put in each of two hours. The table is restored as it was between
these hours. SQLite has no such thing: a trigger keeps what each put replaces, and a query undoes what came after.
"""

import threading
import time

import numpy as np
import pytest
from adapters.kv_time import EXPIRING, RETURNING, now
from data import Items, texts
from race import Lane, entrants, group, race, report
from systems import PROCESS
from ycsb import Loaded

EXPIRE, WAIT = "kv [process-safe] expire", "kv [process-safe] read while many expire, 99th percentile"
RESTORE = "kv [process-safe] restore to a second"

STAYING = 1000  # items that do not expire, and are read
EVERY_S = 0.0005


class Waits(threading.Thread):
    """Reads staying items, one after another, and notes how long each took from the moment it was wanted."""

    def __init__(self, reader, items):
        super().__init__(daemon=True)
        self.reader, self.items = reader, items
        self.seconds, self.error = [], None
        self.ready, self.over = threading.Event(), threading.Event()

    def run(self):
        try:
            with self.reader() as get:
                self.read(get)
        except Exception as error:  # noqa: BLE001 - raised again by stop(), in the thread that asked
            self.error = error
        self.ready.set()

    def read(self, get):
        expected = get(self.items[0]["id"])  # the first read opens what there is to open
        self.ready.set()
        at = 0
        while not (self.over.is_set() and self.seconds):
            wanted = time.perf_counter() + EVERY_S
            time.sleep(EVERY_S)
            expected = get(self.items[at]["id"])
            self.seconds.append(time.perf_counter() - wanted)
            assert expected == self.items[at], f"{self.items[at]['id']} is not what was put"
            at = (at + 1) % len(self.items)

    def stop(self):
        self.over.set()
        self.join()
        if self.error is not None:
            raise self.error


@pytest.fixture(scope="module")
def expiries(request, scale, folder):
    """Lanes of both groups. In each lap a new store is filled, and all but a few of its items end."""
    n, value = scale.killed, texts(1, 100, seed=11)[0]
    staying = [{"id": f"stays{i:08d}", "ends": None, "value": value} for i in range(STAYING)]
    rounds = {"smoke": 1, "small": 3}.get(scale.name, 2)  # at full scale a lap fills three stores with a million items
    lanes, waits = [], {}
    for name in entrants(request):
        waits[WAIT, name] = wait = Lane(WAIT, name, operations=1, run=None, one_thread=False)
        lanes.append(expiring(name, folder, n, staying, wait))
    raced = race(lanes, rounds)
    for (_, name), lane in raced.items():
        waits[WAIT, name].error = lane.error
    return raced | waits


def expiring(name, folder, n, staying, wait):
    def prepare(lap):
        adapter, base = EXPIRING[name](), now()
        adapter.open(folder / f"expiring {name} {lap}", PROCESS)
        adapter.load([(item["id"], None, item["value"]) for item in staying])
        order = np.random.default_rng([7, lap]).permutation(n).tolist()
        adapter.load([(f"user{i:08d}", base + 3600 + i % 3600, f"{i:0100d}") for i in order])
        reader = Waits(adapter.reader, staying)
        reader.start()
        reader.ready.wait()
        return adapter, base + 7200, reader

    def run(inputs):
        adapter, end, reader = inputs
        try:
            return inputs, adapter.expire(end)
        finally:
            reader.over.set()

    def check(lap, answer):
        (adapter, _, reader), count = answer
        reader.stop()
        found = count, adapter.records(), adapter.count()
        adapter.close()
        assert found == (n, n, len(staying)), f"{name}: expired, recorded and left are {found}"
        if lap:
            wait.laps.append(float(np.percentile(reader.seconds, 99)))
            wait.info["reads"] = wait.info.get("reads", 0) + len(reader.seconds)

    return Lane(EXPIRE, name, n, run, prepare, check, one_thread=False, info={"items": n})


@group(EXPIRE)
@pytest.mark.parametrize("system", EXPIRING)
def bench_expire(benchmark, expiries, system):
    report(benchmark, expiries[EXPIRE, system])


@group(WAIT)
@pytest.mark.parametrize("system", EXPIRING)
def bench_wait_while_many_expire(benchmark, expiries, system):
    report(benchmark, expiries[WAIT, system])


@pytest.fixture(scope="module")
def restored(request, scale, folder):
    items = Items(scale.killed // 10)
    stores = Loaded(RETURNING, entrants(request), "", grade=PROCESS, items=items, folder=folder / "returning")

    def lanes_of(name):
        adapter, tenth = stores.adapters[name], items.n // 10
        then = None
        for hour in (1, 2):
            adapter.hour(hour)
            for entry in stores.puts(name, items.distinct(tenth, hour), hour * items.n):
                adapter.put(entry)
            then = then or {item["id"]: item for item in stores.now[name]}
        adapter.hour(3)

        def run(to):
            adapter.restore(1, to)
            return to

        def right(_, to):
            assert adapter.contents(to) == then, f"{name} did not restore what was there"

        yield Lane(RESTORE, name, 1, run, lambda lap: f"restored{lap}", right, info={"items": items.n})

    yield stores.race(request, lanes_of, 1 if scale.name == "smoke" else 5)
    stores.close()


@group(RESTORE)
@pytest.mark.parametrize("system", RETURNING)
def bench_restore(benchmark, restored, system):
    report(benchmark, restored[RESTORE, system])
