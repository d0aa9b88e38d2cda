"""A forked child finds closed what its parent had open; the parent notices nothing."""

import os
import select
import signal
import subprocess
import sys
import threading

import pytest
from crash.watched import WatchedFileSystem
from trees import Engine

from engines import kv
from engines.errors import Locked
from engines.storage.log import Log
from engines.storage.tree import Tree

pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")  # that is the test

SECONDS = 20  # then the child is taken for dead


def in_child(*attempts):
    """What each attempt returned or raised, in a forked child, a word each; a child that hangs is killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        words = []
        for attempt in attempts:
            try:
                words.append(str(attempt()))
            except BaseException as error:  # noqa: BLE001 - the parent looks at it
                words.append(type(error).__name__)
        os.write(writing, " ".join(words).encode())
        os._exit(0)
    os.close(writing)
    told = select.select([reading], [], [], SECONDS)[0]
    if not told:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = os.read(reading, 1000).decode()
    os.close(reading)
    assert told, "the child hangs"
    return found.split()


@pytest.mark.parametrize("durability", ["commit", "interval", "checkpoint"])
def test_a_log_is_closed_in_the_child_and_goes_on_in_the_parent(tmp_path, durability):
    log = Log(str(tmp_path / "log"), durability=durability)
    for _ in range(3):
        log.acknowledge(log.append(b"x"))
    opened = len(os.listdir("/proc/self/fd"))
    words = in_child(lambda: log.append(b"y"), lambda: log.trim(1), log.close, lambda: len(os.listdir("/proc/self/fd")))
    assert words[:-1] == ["Closed", "Closed", "None"]
    assert int(words[-1]) <= opened + 1  # the pipe's two ends more, the segment one less
    log.sync(log.append(b"z"))
    log.close()
    log = Log(str(tmp_path / "log"))
    assert [bytes(frame.payload) for frame in log.read()] == [b"x", b"x", b"x", b"z"]
    log.close()


def test_a_tree_is_closed_in_the_child_which_may_open_it_anew_and_goes_on_in_the_parent(tmp_path):
    engine = Engine(tmp_path)
    engine.put("a", b"1", b"x")
    engine.tree.checkpoint()
    engine.put("a", b"2", b"y")

    def anew():
        tree = Tree(f"{tmp_path}/tree", read_only=True)
        found = len(list(tree.keyspace("a").range()))
        tree.close()
        return found

    words = in_child(engine.all, lambda: engine.put("a", b"3", b"z"), engine.tree.checkpoint, engine.close, anew)
    assert words == ["Closed", "Closed", "Closed", "None", "1"]
    engine.put("a", b"4", b"z")
    engine.tree.checkpoint()
    assert len(engine.all()) == 3
    engine.close()


def test_a_snapshot_of_the_parent_keeps_its_pages_whatever_the_child_does(tmp_path):
    engine = Engine(tmp_path)
    for i in range(100):
        engine.put("a", b"%d" % i, b"x" * 100)
    engine.tree.checkpoint()
    view = engine.tree.snapshot()

    def anew():
        return Tree(f"{tmp_path}/tree", read_only=True)

    words = in_child(lambda: view.keyspace("a").get(b"1"), view.close, engine.close, anew)
    assert words == ["Closed", "None", "None", "Conflict"]
    for i in range(100):
        engine.put("a", b"%d" % i, b"y" * 100)
        engine.tree.checkpoint()
    assert {value for _, value in view.keyspace("a").range()} == {b"x" * 100}
    view.close()
    engine.tree.snapshot().close()
    engine.close()


def test_a_fork_in_the_middle_of_a_commit_or_a_sync_hangs_nobody(tmp_path):
    files = WatchedFileSystem()
    engine = Engine(tmp_path, files=files)
    engine.put("a", b"1", b"x")
    reached, go_on = threading.Event(), threading.Event()

    def wait(*_):
        reached.set()
        go_on.wait(SECONDS)

    for call in ("fdatasync", "commit"):
        files.before[call] = wait
        thread = threading.Thread(target=engine.tree.checkpoint)
        thread.start()
        assert reached.wait(SECONDS)
        words = in_child(lambda: engine.put("a", b"2", b"x"), engine.tree.checkpoint, engine.close)
        assert words == ["Closed", "Closed", "None"]
        files.before.clear()
        go_on.set()
        thread.join(SECONDS)
        for event in (reached, go_on):
            event.clear()
        engine.put("a", call.encode(), b"x")
    assert len(engine.all()) == 3
    engine.close()


def test_a_child_that_keeps_running_does_not_keep_the_folder_locked(tmp_path):
    path = tmp_path / "shop"
    store = kv.Store(path)
    (reading, writing), (ready, told) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)  # so that it ends when its parent does, whatever ends that
        os.write(told, b"x")
        os.read(reading, 1)
        os._exit(0)
    os.read(ready, 1)  # before that, the child may not have let go of what it was born with
    try:
        store.close()
        with kv.Store(path):
            pass
    finally:
        os.close(writing)
        os.waitpid(child, 0)
        for end in reading, ready, told:
            os.close(end)


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_store_left_in_the_child_is_left_without_a_word(tmp_path, in_memory):
    store = kv.Store(None if in_memory else tmp_path / "shop", durability="interval")
    table = store.create_table("t", key="id:N")
    table.put({"id": 1})

    def leave():
        with store:
            return "left"

    def anew():
        try:
            kv.Store(tmp_path / "shop")
        except Locked:
            return "locked"

    words = in_child(lambda: table.get(1), lambda: table.put({"id": 2}), leave, anew if not in_memory else leave)
    assert words == ["Closed", "Closed", "left", "left" if in_memory else "locked"]
    table.put({"id": 3})
    store.checkpoint()
    assert store.verify().ok
    assert table.scan(count=True).count == 2
    store.close()


def test_a_child_that_ends_as_programs_do_ends(tmp_path):
    """Not by os._exit: the interpreter takes everything apart, also what belongs to the parent."""
    script = f"""
import os, sys
sys.path[:0] = {[os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]!r}
from trees import Engine
engine = Engine({str(tmp_path / "other")!r})
engine.put("a", b"1", b"x")
engine.tree.checkpoint()
view = engine.tree.snapshot() if len(sys.argv) > 1 else None
child = os.fork()
if child == 0:
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
engine.put("a", b"2", b"x")
engine.close()
"""
    os.mkdir(tmp_path / "other")
    for arguments in ([], ["with a snapshot"]):
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.stdout.strip() == "7", done.stderr
        assert done.stderr == ""
