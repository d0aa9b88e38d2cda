"""Ctrl-C twice: while a write is mended, while the tree is rebuilt, while a checkpoint commits. interrupts.py plays it.

The first is raised by the engine's own apply (the frame was taken, and half of it stands in the tree), the second at
each moment after it at which Python may deliver one.
"""

import contextlib
import sys

import lmdb
import pytest
from crash.recorder import RecordingFileSystem
from interrupts import CtrlC
from trees import Engine

from engines.errors import Poisoned

pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="knows where Python 3.11 looks for signals")

FIRST, SECOND = {b"1": b"x", b"2": b"y"}, {b"1": b"new", b"2": b"y"}


def begin():
    files = RecordingFileSystem()
    engine = Engine("", files=files)
    engine.put("a", b"1", b"x")
    engine.tree.checkpoint()
    engine.put("a", b"2", b"y")
    return engine, files


def write(engine, error):
    """A write that is stopped when half of it is done."""

    def apply(sequence):
        engine.tree.keyspace("a").put(b"half", b"of it")
        raise error

    with engine.tree.lock:
        engine.tree.write(b"a\0" + b"1\0" + b"new", 0, apply)


def interrupted(engine):
    write(engine, KeyboardInterrupt())


def full(engine):
    write(engine, lmdb.MapFullError("played"))


def interrupted_in_the_rebuild(engine):
    """The mending itself is stopped, and then what comes after that."""

    def fail(frame):
        engine.tree._apply = engine.apply
        engine.apply(frame)
        raise KeyboardInterrupt

    engine.tree._apply = fail
    with contextlib.suppress(KeyboardInterrupt):
        write(engine, KeyboardInterrupt())
    engine.tree.checkpoint()


def marked(engine):
    engine.tree.checkpoint(lambda: engine.tree.keyspace("a").get(b"1"))


def broken(engine):
    """The replay fails for good."""

    def fail(frame):
        raise ValueError("what is this")

    engine.tree._apply = fail
    write(engine, KeyboardInterrupt())


@pytest.mark.parametrize("operation", [interrupted, full, interrupted_in_the_rebuild, marked, broken])
@pytest.mark.parametrize("after", ["read", "write", "checkpoint"])
def test_a_second_ctrl_c_at_any_moment_loses_nothing_and_shows_no_half(operation, after):
    for n in range(1, 10_000):
        engine, files = begin()
        ctrl_c = CtrlC(n)
        with contextlib.suppress(KeyboardInterrupt, ValueError, Poisoned), ctrl_c:
            operation(engine)
        taken = engine.log.last
        try:
            if after == "write":
                engine.put("b", b"3", b"z")
            elif after == "checkpoint":
                engine.tree.checkpoint()
            shown = engine.all()
        except Poisoned:
            shown = None
        assert shown in (FIRST, SECOND) or (operation is broken and shown is None), ctrl_c.where
        engine.tree._apply = engine.apply
        with contextlib.suppress(Poisoned):
            engine.close()
        again = RecordingFileSystem(files.image())
        engine = Engine("", files=again)
        found = engine.all()
        assert found in (FIRST, SECOND), ctrl_c.where
        assert shown is None or after == "read" or found == shown, ctrl_c.where
        assert taken <= engine.log.last
        engine.close()
        for used in (files, again):
            used.close_all()
        if ctrl_c.where is None:
            assert n > 20
            return
