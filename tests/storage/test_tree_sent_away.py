"""Ctrl-C, as often as one likes, while the keeper commits and goes on committing: whoever asked is sent away.

Real signals, but only at the moments that matter: the handler raises where the main thread waits for the keeper.
"""

import contextlib
import itertools
import signal
import sys
import threading
import time

import lmdb
import pytest
from trees import SMALL, Engine

from engines.errors import Closed, EngineError, Poisoned
from engines.storage.files import RealFileSystem
from engines.storage.keeper import Keeper
from engines.storage.tree import Tree

WAITING = Keeper.run.__code__


class HeldFileSystem(RealFileSystem):
    """Its commits wait until they are let go, and then may fail."""

    def __init__(self):
        self.free = threading.Event()
        self.free.set()
        self.error = None

    def commit(self, environment, transaction):
        self.free.wait()
        if self.error is not None:
            transaction.abort()
            raise self.error
        super().commit(environment, transaction)


@pytest.fixture
def sent_away():
    """Does something, and sends Ctrl-C whenever this thread waits for the keeper, until it has given up."""
    main = threading.main_thread().ident

    def interrupt(signum, frame):
        if frame.f_code is WAITING and "task" in frame.f_locals:
            raise KeyboardInterrupt

    def attempt(operation):
        left = threading.Event()

        def press():
            while not left.is_set():
                if sys._current_frames()[main].f_code is WAITING:
                    signal.pthread_kill(main, signal.SIGINT)
                time.sleep(0.001)

        thread = threading.Thread(target=press)
        thread.start()
        try:
            with contextlib.suppress(KeyboardInterrupt):
                operation()
                return False
        finally:
            left.set()
            thread.join()
        return True

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield attempt
    finally:
        signal.signal(signal.SIGINT, before)


def checkpoint(engine):
    engine.tree.checkpoint()


def read(engine):
    assert engine.all()


def write(engine):
    engine.put("b", b"k", b"v")


def look(engine):
    engine.tree.snapshot()


def close(engine):
    engine.tree.close()


def begin(folder):
    files = HeldFileSystem()
    engine = Engine(folder, files=files)
    engine.put("a", b"1", b"x")
    engine.tree.checkpoint()
    engine.put("a", b"2", b"y")
    return engine, files


OPERATIONS = [checkpoint, read, write, look, close]


@pytest.mark.parametrize("rested", [False, True])
@pytest.mark.parametrize("operations", [*itertools.product(OPERATIONS, repeat=2), (read, write, read, close, close)])
def test_whatever_is_sent_away_and_however_often_the_tree_works_when_the_commit_is_done(
    tmp_path, sent_away, operations, rested
):
    engine, files = begin(tmp_path)
    files.free.clear()
    for operation in (checkpoint, *operations):
        try:
            assert sent_away(lambda operation=operation: operation(engine))
        except EngineError:
            assert close in operations
    files.free.set()
    if rested:  # all that was asked for is done before anybody comes again
        engine.tree._keeper.run(lambda: None)
    present = {b"1": b"x", b"2": b"y"}
    if close not in operations:
        assert engine.all() == present
        engine.put("a", b"3", b"z")
        assert engine.tree.checkpoint() >= engine.tree.applied
        present[b"3"] = b"z"
        assert engine.all() == present
        with engine.tree.snapshot() as view:
            assert dict(view.keyspace("a").walk()) == present
        assert engine.tree.verify().ok
    engine.close()
    engine.close()
    engine = Engine(tmp_path)
    assert engine.all() == present
    engine.close()


@pytest.mark.parametrize("operation", [read, write, checkpoint])
def test_a_commit_that_fails_when_nobody_waits_any_more_is_told_to_whoever_comes_next(tmp_path, sent_away, operation):
    engine, files = begin(tmp_path)
    files.free.clear()
    files.error = lmdb.DiskError("broken")
    assert sent_away(engine.tree.checkpoint)
    assert sent_away(lambda: read(engine))
    files.free.set()
    for _ in range(2):
        with pytest.raises(Poisoned, match=r"the checkpoint of .* failed"):
            operation(engine)
    assert engine.log.failed
    files.error = None
    engine.close()
    engine = Engine(tmp_path)
    assert engine.all() == {b"1": b"x", b"2": b"y"}
    engine.close()


def test_a_tree_without_a_log_waits_for_what_was_sent_away(tmp_path, sent_away):
    files = HeldFileSystem()
    tree = Tree(str(tmp_path / "tree"), files=files, map_size=SMALL)
    tree.keyspace("a").put(b"k", b"v")
    files.free.clear()
    assert sent_away(tree.checkpoint)
    assert sent_away(lambda: tree.keyspace("a").get(b"k"))
    files.free.set()
    assert tree.keyspace("a").get(b"k") == b"v"
    tree.close()


def test_a_tree_whose_opening_is_sent_away_can_be_opened_again(tmp_path, sent_away):
    """The keeper is at work when its first transaction is waited for, and again when all of it is let go of."""
    began, free = threading.Event(), threading.Event()

    class SlowTree(Tree):
        def _open_handles(self):
            began.set()
            free.wait()
            super()._open_handles()

    assert sent_away(lambda: SlowTree(str(tmp_path / "tree"), map_size=SMALL))
    assert began.is_set()
    free.set()
    while True:  # until the keeper has let go
        with contextlib.suppress(EngineError):
            Tree(str(tmp_path / "tree"), map_size=SMALL).close()
            break


def test_several_may_close_at_once(tmp_path):
    """Each returns when it is closed, or hears that it is."""

    def close_it(engine):
        with contextlib.suppress(Closed):
            engine.tree.close()

    for _ in range(20):
        engine, _ = begin(tmp_path)
        threads = [threading.Thread(target=close_it, args=(engine,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.close()
