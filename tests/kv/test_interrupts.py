"""Ctrl-C at every moment of an operation at which Python may deliver it: it happened as a whole, or not at all.

Python 3.11 looks for signals after a call of a C function, at a jump back, and when a function begins. A trace function
counts these moments and raises KeyboardInterrupt at the n-th, for n = 1, 2, ... until the operation comes through.
"""

import contextlib
import dis
import functools
import gc
import sys

import pytest
from crash.recorder import RecordingFileSystem

from engines import kv
from engines.clock import ManualClock

START = 1_700_000_000
CHECKED = {dis.opmap[name] for name in ("CALL", "CALL_FUNCTION_EX", "JUMP_BACKWARD", "RESUME") if name in dis.opmap}

pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="knows where Python 3.11 looks for signals")


class CtrlC:
    """Raises KeyboardInterrupt at the n-th moment, in this thread, while it is entered."""

    def __init__(self, n):
        self.left, self.where = n, None
        self.previous = None  # what was executed last: frame, its handler, opcode

    def __enter__(self):
        gc.disable()  # a collection in here would run what other tests left behind, and be interrupted in it
        sys.settrace(self.trace)

    def __exit__(self, *_):
        sys.settrace(None)
        gc.enable()

    def trace(self, frame, event, arg):
        frame.f_trace_opcodes = True
        if event == "opcode":
            code = frame.f_code
            now = (frame, handler(code, frame.f_lasti), code.co_code[frame.f_lasti])
            previous, self.previous = self.previous, now
            # Python raises it as if in the instruction before: where another handler begins, that can not be played
            if previous is not None and previous[:2] == now[:2] and previous[2] in CHECKED:
                self.left -= 1
                if self.left == 0:
                    self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                    raise KeyboardInterrupt
        elif event in ("return", "exception"):
            self.previous = None
        return self.trace


@functools.cache
def handlers(code):
    return list(dis._parse_exception_table(code))


def handler(code, at):
    """Where an exception at this instruction is caught, in its own function."""
    return next((entry.target for entry in handlers(code) if entry.start <= at < entry.end), None)


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
