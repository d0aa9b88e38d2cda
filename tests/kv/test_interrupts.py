"""Ctrl-C at every moment of an operation at which Python may deliver it: it happened as a whole, or not at all.

interrupts.py counts these moments; here it strikes at the n-th, for n = 1, 2, ... until the operation comes through.
"""

import contextlib
import sys

import pytest
from crash.recorder import RecordingFileSystem
from interrupts import CtrlC
from moments import START

from engines import kv
from engines.clock import ManualClock

pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="knows where Python 3.11 looks for signals")


def put(store, clock):
    store.table("orders").put({"id": 1, "expires": START + 50, "new": "x" * 3000})


def delete(store, clock):
    store.table("orders").delete(2)


def batch(store, clock):
    with store.table("orders").batch_writer() as writer:
        for number in range(5, 12):
            writer.put({"id": number, "batch": number, "expires": START + number})
        writer.delete(1)


def create(store, clock):
    store.create_table("more", key=("a:S", "b:B"), ttl="t", stream=True)


def drop(store, clock):
    store.drop_table("orders")


def expire(store, clock):
    clock.advance(100)
    store.expire()


def checkpoint(store, clock):
    store.checkpoint()


def state(store):
    tables = {name: sorted(map(repr, store.table(name).scan())) for name in store.tables()}
    return tables, [(change.kind, change.key, change.new) for change in store.changes()]


def begin(path):
    files, clock = RecordingFileSystem(), ManualClock(START * 1_000_000)
    store = kv.Store(path, files=files, clock=clock)
    orders = store.create_table("orders", key="id:N", ttl="expires", stream=True)
    store.checkpoint()
    for number in range(4):
        orders.put({"id": number, "expires": START + number + 1})
    return store, files, clock


def interrupted(operation, n):
    """Interrupt it at the n-th moment. Where that was (None: it came through), and what the store then says."""
    path = f"/{operation.__name__}-{n}"
    store, files, clock = begin(path)
    ctrl_c = CtrlC(n)
    with contextlib.suppress(KeyboardInterrupt), ctrl_c:
        operation(store, clock)
    found = state(store)
    if "orders" in store.tables():
        store.table("orders").put({"id": 77, "last": "word"})
        assert store.table("orders").get(77) == {"id": 77, "last": "word"}
    assert store.verify().ok
    last, image = state(store), files.image()
    store.close()
    for disk in (image, files.image()):  # killed, closed
        again = RecordingFileSystem(disk)
        with kv.Store(path, files=again, clock=clock) as reopened:
            assert state(reopened) == last
            assert reopened.verify().ok
        again.close_all()
    files.close_all()
    return ctrl_c.where, found[0]


@pytest.mark.slow
@pytest.mark.parametrize("operation", [put, delete, batch, create, drop, expire, checkpoint])
def test_ctrl_c_at_any_moment_leaves_all_of_an_operation_or_nothing(operation):
    store, files, clock = begin("/whole")
    before, _ = state(store)
    operation(store, clock)
    after, _ = state(store)
    store.close()
    files.close_all()
    for n in range(1, 10_000):
        try:
            where, found = interrupted(operation, n)
        except Exception as error:
            raise AssertionError(f"interrupted at moment {n}") from error
        if where is None:
            assert n > 20
            return
        assert found in (before, after), where
