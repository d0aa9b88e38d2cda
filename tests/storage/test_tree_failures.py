"""The Tree when it cannot go on: a full map, a full or failing disk. Power loss is in tests/crash/test_tree.py."""

import errno
import os
from functools import partial

import lmdb
import pytest
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem
from crash.watched import WatchedFileSystem
from logs import full
from trees import SMALL, Engine

from engines.errors import Closed, Conflict, NotFound, Poisoned, ReadOnly
from engines.storage.log import CHECKPOINT
from engines.storage.tree import Tree


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "tree")


# -- a map that grows


def fill(put, *where):
    for i in range(1000):
        put(*where, b"%06d" % i, b"x" * 700)


def test_a_map_that_is_half_full_grows_at_the_checkpoint(path):
    tree = Tree(path, map_size=1 << 18)
    keyspace = tree.keyspace("a")
    for i in range(2000):
        keyspace.put(b"%06d" % i, bytes(500))
        if i % 50 == 0:
            tree.checkpoint()
    assert tree.stats()["map_bytes"] > 1 << 20
    assert keyspace.count() == 2000
    tree.close()


def test_a_map_that_is_full_in_between_is_rebuilt_from_the_log(tmp_path):
    engine = Engine(tmp_path, map_size=1 << 17)
    for i in range(1000):
        engine.put("ab"[i % 2], b"%06d" % i, b"x" * 700)
        if i == 40:
            engine.tree.checkpoint()
    assert engine.tree.stats()["map_bytes"] >= 1 << 20
    for rest, name in enumerate("ab"):
        assert engine.all(name) == {b"%06d" % i: b"x" * 700 for i in range(rest, 1000, 2)}
    expected = engine.all("b")
    engine.close()
    engine = Engine(tmp_path, map_size=1 << 17)  # outgrown in an earlier life
    assert engine.all("b") == expected
    for i in range(300):
        engine.put("c", b"%06d" % i, b"x" * 700)
    assert len(engine.all("c")) == 300
    engine.close()


def test_a_map_that_is_full_during_the_replay_grows(tmp_path):
    engine = Engine(tmp_path, map_size=SMALL)
    for i in range(500):
        engine.put("a", b"%06d" % i, b"x" * 700)
    engine.log.sync()
    engine.close(checkpoint=False)
    engine = Engine(tmp_path, map_size=1 << 16)
    assert engine.replayed == 500
    assert len(engine.all()) == 500
    engine.put("a", b"more", b"x")
    engine.close()


def test_a_map_that_is_full_at_the_commit_itself_grows(tmp_path):
    """Whatever the page at which the map runs out, the free list that the commit writes included."""
    for size in range(14, 34):
        folder = tmp_path / str(size)
        folder.mkdir()
        engine = Engine(folder, map_size=4096 * size)
        for i in range(30):
            engine.put("a", b"%03d" % i, bytes([1 + i]) * 3000)
            if i % 7 == 0:
                engine.tree.checkpoint()
        for i in range(0, 30, 2):
            engine.put("a", b"%03d" % i, b"")
            engine.tree.checkpoint()
        assert sorted(engine.all()) == [b"%03d" % i for i in range(1, 30, 2)]
        engine.close()


def test_a_map_cannot_grow_under_an_open_snapshot_and_the_tree_says_so_for_good(tmp_path):
    engine = Engine(tmp_path, map_size=1 << 17)
    engine.put("a", b"first", b"x")
    engine.tree.checkpoint()
    view, acknowledged = engine.tree.snapshot(), [b"first"]

    def put(keyspace, key, value):
        engine.put(keyspace, key, value)
        engine.log.sync()
        acknowledged.append(key)

    with pytest.raises(Poisoned, match="snapshots"):
        fill(put, "a")
    for attempt in (engine.all, lambda: engine.put("a", b"k", b"v"), engine.tree.checkpoint):
        with pytest.raises(Poisoned):
            attempt()
    view.close()
    engine.close()
    engine = Engine(tmp_path, map_size=1 << 17)
    assert len(acknowledged) > 50
    assert set(engine.all()) >= set(acknowledged)
    fill(engine.put, "a")  # what did not fit has grown
    assert len(engine.all()) == 1001
    engine.close()


def test_a_full_map_without_a_log_is_poisoned(path):
    tree = Tree(path, map_size=1 << 16)
    keyspace = tree.keyspace("a")
    with pytest.raises(lmdb.MapFullError):
        fill(keyspace.put)
    with pytest.raises(Poisoned, match="no log"):
        tree.rebuild(grow=True)
    with pytest.raises(Poisoned):
        keyspace.get(b"1")
    tree.close()


def test_a_rebuild_shows_again_what_the_log_holds(tmp_path):
    engine = Engine(tmp_path)
    engine.put("a", b"1", b"x")
    engine.tree.checkpoint()
    engine.put("b", b"2", b"y")
    with engine.tree.lock:
        engine.tree.keyspace("a").put(b"half", b"of a write")  # without a frame
        engine.tree.rebuild(grow=False)
    assert engine.all("a") == {b"1": b"x"}
    assert engine.all("b") == {b"2": b"y"}
    assert engine.tree.applied == 3  # 2 is the note of the checkpoint
    engine.close()


def test_a_rebuild_that_fails_leaves_nothing_to_read_that_is_only_half_there(tmp_path):
    engine = Engine(tmp_path)
    for i in range(5):
        engine.put("a", b"%d" % i, b"x")
    engine.log.sync()

    def fail(frame):
        if frame.sequence == 3:
            raise ValueError("what is this")
        Engine.apply(engine, frame)

    engine.tree._apply = fail
    with engine.tree.lock, pytest.raises(Poisoned, match="replay"):
        engine.tree.rebuild(grow=False)
    with pytest.raises(Poisoned):
        engine.all()
    with pytest.raises(Poisoned):
        engine.put("a", b"k", b"v")
    engine.close()
    engine = Engine(tmp_path)
    assert len(engine.all()) == 5
    engine.close()


@pytest.mark.parametrize("first", ["read", "write", "checkpoint", "close"])
def test_a_rebuild_that_is_interrupted_is_done_by_whoever_comes_next(tmp_path, first):
    engine = Engine(tmp_path)
    for i in range(5):
        engine.put("a", b"%d" % i, b"x")

    def interrupt(frame):
        if frame.sequence == 3:
            engine.tree._apply = engine.apply
            raise KeyboardInterrupt
        engine.apply(frame)

    engine.tree._apply = interrupt
    with engine.tree.lock, pytest.raises(KeyboardInterrupt):
        engine.tree.rebuild(grow=False)
    if first == "read":
        assert len(engine.all()) == 5
    elif first == "write":
        engine.put("a", b"0", b"y")
    elif first == "checkpoint":
        engine.tree.checkpoint()
    if first != "close":
        assert len(engine.all()) == 5
    engine.close()
    engine = Engine(tmp_path)
    assert len(engine.all()) == 5
    assert engine.replayed == 0
    engine.close()


def test_no_checkpoint_leaves_out_a_frame_that_an_interrupt_kept_from_the_tree(tmp_path):
    engine = Engine(tmp_path)
    engine.put("a", b"1", b"x")
    engine.log.append(b"a\0" + b"2\0" + b"y")  # and then Ctrl-C, twice: neither applied nor mended
    engine.put("b", b"3", b"z")
    assert engine.all() == {b"1": b"x", b"2": b"y"}
    engine.log.append(b"a\0" + b"4\0" + b"y")
    assert engine.tree.checkpoint() == 4
    assert engine.tree.stats()["dirty_writes"] == 0
    assert len(engine.all()) == 3
    rebuilds = engine.tree.rebuilds
    engine.put("a", b"5", b"y")  # the checkpoint's own note needs no rebuild
    engine.tree.checkpoint()
    assert engine.tree.rebuilds == rebuilds == 2
    engine.close()
    engine = Engine(tmp_path)
    assert (len(engine.all()), engine.replayed) == (4, 0)
    engine.close()


# -- the write protocol


def test_a_write_that_fails_after_its_frame_was_taken_happens_all_the_same_when_the_log_says_so(tmp_path):
    engine = Engine(tmp_path)
    engine.put("a", b"1", b"x")

    def apply(sequence):
        engine.tree.keyspace("a").put(b"half", b"of it")
        raise KeyboardInterrupt

    with engine.tree.lock, pytest.raises(KeyboardInterrupt):
        engine.tree.write(b"a\0" + b"2\0" + b"y", 0, apply)
    assert engine.all() == {b"1": b"x", b"2": b"y"}
    engine.close()


def test_a_write_that_the_log_refuses_changes_nothing(tmp_path):
    files = WatchedFileSystem()
    engine = Engine(tmp_path, files=files)
    files.before["preallocate"] = full
    with pytest.raises(ReadOnly, match="disk is full"):
        engine.put("a", b"big", b"x" * (2 << 20))
    assert engine.all() == {}
    assert engine.tree.rebuilds == 0
    files.before.clear()
    engine.put("a", b"big", b"x" * (2 << 20))
    assert len(engine.all()) == 1
    engine.close()


# -- what goes with a checkpoint


def test_what_is_put_before_a_checkpoint_is_in_it(tmp_path):
    engine = Engine(tmp_path)
    engine.put("a", b"1", b"x")

    def mark():
        assert engine.tree.lock.locked()
        engine.tree.keyspace("marks").put(b"mark", b"%d" % engine.tree.applied)

    engine.tree.checkpoint(mark)
    with engine.tree.snapshot() as view:
        assert view.keyspace("marks").get(b"mark") == b"1"
    engine.put("a", b"2", b"x")
    with engine.tree.lock:
        engine.tree.rebuild(grow=False)
    assert engine.all("marks") == {b"mark": b"1"}
    engine.close()


def test_a_map_that_is_full_before_a_checkpoint_or_in_it_grows_and_the_marks_are_there(tmp_path):
    runs = []

    def mark(engine, i):
        runs.append(i)
        engine.tree.keyspace("marks").put(b"%d" % i, bytes(20_000 + i))

    rebuilds = 0
    for size in range(14, 34):
        folder = tmp_path / str(size)
        folder.mkdir()
        engine = Engine(folder, map_size=4096 * size)
        for i in range(4):
            for k in range(5):
                engine.put("a", b"%d" % k, bytes([i]) * 3000)
            engine.tree.checkpoint(partial(mark, engine, i))
        assert len(engine.all()) == 5
        assert len(engine.all("marks")) == 4
        rebuilds += engine.tree.rebuilds
        engine.close()
    assert len(runs) == 20 * 4 + rebuilds
    assert rebuilds > 1


def test_a_checkpoint_stands_without_its_note_on_a_full_disk_but_hears_of_a_poisoned_log(tmp_path):
    engine = Engine(tmp_path)
    append = engine.log.append

    def refuse(reason):
        def refused(payload, kind=0):
            if kind == CHECKPOINT:
                raise reason
            return append(payload, kind)

        return refused

    engine.put("a", b"1", b"x")
    engine.log.append = refuse(ReadOnly("full", code="disk-full"))
    assert engine.tree.checkpoint() == 1
    engine.log.append = refuse(Poisoned("a sync failed"))
    with pytest.raises(Poisoned, match="sync failed"):
        engine.tree.checkpoint()
    engine.log.append = append
    engine.close()


# -- dropped keyspaces


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_dropped_keyspace_says_so_to_those_who_come_late(tmp_path, rebuilt):
    engine = Engine(tmp_path)
    engine.put("a", b"1", b"x")
    engine.put("b", b"2", b"y")
    late, other = engine.tree.keyspace("a"), engine.tree.keyspace("b")
    engine.tree.checkpoint()
    with engine.tree.lock:
        engine.tree.drop("a")
        engine.tree.drop("b", NotFound("table b was dropped"))
        engine.tree.drop("never there")
    engine.tree.checkpoint()
    engine.put("c", b"3", b"z")  # in a slot that is free again
    engine.put("a", b"4", b"z")
    if rebuilt:
        with engine.tree.lock:
            engine.tree.rebuild(grow=False)
    for keyspace, said in ((late, "keyspace a was dropped"), (other, "table b was dropped")):
        for attempt in (
            lambda it: it.get(b"1"),
            lambda it: it.view(b"1"),
            lambda it: it.put(b"1", b"x"),
            lambda it: it.delete(b"1"),
            lambda it: it.count(),
            lambda it: it.first(),
            lambda it: it.page(),
            lambda it: list(it.walk()),
            lambda it: list(it.range()),
            lambda it: it.tree.transaction.get(b"1", None, it.db),
        ):
            with pytest.raises(NotFound, match=said):
                attempt(keyspace)
    assert engine.all("a") == {b"4": b"z"}
    engine.close()


# -- failures


def test_a_failed_commit_poisons_tree_and_log_and_nothing_acknowledged_is_lost():
    recorder = RecordingFileSystem()
    engine = Engine("", files=recorder)
    engine.put("a", b"1", b"x")
    engine.tree.checkpoint()
    engine.log.sync(engine.put("a", b"2", b"y"))
    engine.tree._files = FailingFileSystem(recorder, 1)
    with pytest.raises(Poisoned, match="close and reopen") as caught:
        engine.tree.checkpoint()
    for attempt in (
        engine.all,
        lambda: engine.put("a", b"k", b"v"),
        engine.tree.checkpoint,
        lambda: engine.tree.keyspace("new"),
        engine.tree.keyspaces,
        lambda: engine.log.append(b"x"),
    ):
        with pytest.raises(Poisoned) as again:
            attempt()
        assert str(again.value) == str(caught.value)
    assert engine.log.failed
    engine.close()
    engine = Engine("", files=recorder)
    assert engine.all() == {b"1": b"x", b"2": b"y"}
    engine.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_seal_that_cannot_be_withdrawn_poisons(tmp_path, number):
    Engine(tmp_path).close()
    files = WatchedFileSystem()
    engine = Engine(tmp_path, files=files)
    engine.put("a", b"k", b"v")

    def fail(*_):
        raise OSError(number, os.strerror(number))

    files.before["unlink"] = fail
    with pytest.raises(Poisoned):
        engine.tree.checkpoint()
    files.before.clear()
    engine.close()
    engine = Engine(tmp_path)
    assert engine.all() == {b"k": b"v"}
    engine.close()


def test_a_seal_that_cannot_be_written_is_no_loss(path):
    files = WatchedFileSystem()
    tree = Tree(path, files=files, map_size=SMALL)
    tree.keyspace("a").put(b"k", b"v")
    files.before["rename"] = full
    tree.close()
    assert not os.path.exists(f"{path}/SEAL")
    tree = Tree(path, map_size=SMALL)
    assert tree.keyspace("a").get(b"k") == b"v"
    tree.close()


def test_a_closed_tree_says_so(path):
    tree = Tree(path, map_size=SMALL)
    keyspace = tree.keyspace("a")
    tree.close()
    tree.close()
    for attempt in (
        lambda: keyspace.get(b"k"),
        lambda: keyspace.view(b"k"),
        lambda: keyspace.put(b"k", b"v"),
        lambda: list(keyspace.range()),
        lambda: tree.keyspace("b"),
        tree.keyspaces,
    ):
        with pytest.raises(Closed, match="open it again"):
            attempt()


def test_more_snapshots_than_lmdb_has_room_for_are_refused_with_a_sentence(path):
    tree = Tree(path, map_size=SMALL)
    tree.keyspace("a")
    tree.checkpoint()
    views = [tree.snapshot() for _ in range(tree._environment.max_readers())]
    with pytest.raises(Conflict, match="close some first"):
        tree.snapshot()
    views.pop().close()
    tree.snapshot().keyspace("a")
    tree.close()


def test_a_tree_that_cannot_be_opened_leaves_no_file_open(path):
    Tree(path, map_size=SMALL).close()
    files = WatchedFileSystem()
    count = len(os.listdir("/proc/self/fd"))

    def fail(folder):
        if folder == path and any("data.mdb" in os.readlink(f"/proc/self/fd/{fd}") for fd in descriptors()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    files.before["fsync_dir"] = fail
    with pytest.raises(ReadOnly, match="the disk failed"):
        Tree(path, files=files, map_size=SMALL)
    assert len(os.listdir("/proc/self/fd")) == count
    Tree(path, map_size=SMALL).close()


def descriptors():
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
