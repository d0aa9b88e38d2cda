"""The accelerator where reads and writes overlap: no answer is behind a write that has returned."""

import itertools
import sys
import threading
from contextlib import suppress

import pytest
from accelerated import ANN, fast, orders
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem

from engines import kv
from engines.errors import (
    EngineError,
    ReadOnly,
)
from engines.kv.acceleratorcaches import ABSENT

__all__ = ["fast", "orders"]  # fixtures


def interleavings(*lengths):
    """All orders in which processes of so many steps can run: lists of their numbers."""
    if not any(lengths):
        yield []
    for number, length in enumerate(lengths):
        if length:
            rest = [other - (at == number) for at, other in enumerate(lengths)]
            for order in interleavings(*rest):
                yield [number, *order]


def reading(cache, world, images):
    lease = cache.take_lease(b"k")
    yield
    version = world["table"]
    yield
    cache.fill(b"k", lease, images[version], 0)
    cache.drop_lease(b"k", lease)


def writing(cache, world, images):
    cache.begin((b"k",))
    yield
    version = world["table"] = world["table"] + 1
    yield
    cache.end((b"k",), {b"k": images[version] or None}, 0)
    world["returned"] = max(world["returned"], version)


def failing(cache, world, images):
    """A write that may have happened: its caller has an error."""
    cache.begin((b"k",))
    yield
    world["table"] += 1
    yield
    cache.end((b"k",), None, 0)
    world["returned"] = max(world["returned"], world["table"])


def refusing(cache, world, images):
    cache.begin((b"k",))
    yield
    yield
    cache.end((b"k",), {}, 0, refused=True)


@pytest.mark.parametrize(
    "processes",
    [
        (reading, writing),
        (reading, reading, writing),
        (reading, writing, writing),
        (reading, writing, failing),
        (reading, writing, refusing),
    ],
)
def test_in_any_order_of_steps_the_cache_is_never_behind_a_write_that_has_returned(orders, processes):
    images = [orders.records.encode(ANN | {"version": version}).image for version in range(4)]
    images[2] = ABSENT  # a delete
    filled = 0
    for order in interleavings(*[3] * len(processes)):
        fast = kv.Accelerator(orders)
        cache, world = fast.items, {"table": 0, "returned": 0}
        running = [process(cache, world, images) for process in processes]
        for number in order:
            next(running[number], None)
            found = cache.cache.get(b"k", 0)
            assert found is None or images.index(found) >= world["returned"], order
        filled += found is not None
        assert not cache._leases
        assert not cache._writing
    assert filled > 0


def test_threads_never_read_back_in_time(orders):
    fast = kv.Accelerator(orders, max_items=2, ttl=3600)
    keys = [("ann", order) for order in range(3)]
    returned = dict.fromkeys(keys, 0)
    lock, errors, done = threading.Lock(), [], threading.Event()

    def write(key):
        for _ in range(150):
            version = fast.update(key, "ADD version :one", values={":one": 1}, returns="ALL_NEW")["version"]
            with lock:
                returned[key] = max(returned[key], version)

    def read():
        for key in itertools.cycle(keys):
            if done.is_set():
                break
            floor = returned[key]
            item = fast.get(*key)
            if floor and (item is None or item["version"] < floor):
                errors.append((key, floor, item))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        writers = [threading.Thread(target=write, args=(key,)) for key in keys + keys]
        readers = [threading.Thread(target=read) for _ in range(3)]
        for thread in writers + readers:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        for thread in readers:
            thread.join()
    finally:
        done.set()
        sys.setswitchinterval(interval)
    assert errors == []
    assert [fast.get(*key)["version"] for key in keys] == [300] * 3
    assert not fast.items._leases
    assert not fast.items._writing


def test_after_a_write_of_unknown_outcome_the_table_is_asked(clock):
    outcomes = set()
    for n in range(1, 60):
        files = RecordingFileSystem()
        with kv.Store("/shop", clock=clock, files=files) as store:
            store.create_table("t", key="id:S").put({"id": "a", "v": 1})
        try:
            store = kv.Store("/shop", clock=clock, files=FailingFileSystem(files, n, keep=True))
        except (EngineError, OSError):
            continue
        fast = kv.Accelerator(store.table("t"))
        assert fast.get("a") == {"id": "a", "v": 1}
        try:
            fast.put({"id": "a", "v": 2})
        except ReadOnly:
            assert len(fast.items.cache) == 0
            outcomes.add("unknown")
        else:
            assert fast.get("a") == {"id": "a", "v": 2}
            outcomes.add("written")
        with suppress(EngineError, OSError):
            store.close()
        files.close_all()
    assert outcomes == {"unknown", "written"}
