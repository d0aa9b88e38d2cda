"""The Tree: ordered maps, checkpoints, snapshots, and who may open it. Power loss is in tests/crash/test_tree.py."""

import os
import random
import subprocess
import sys
import threading
from itertools import pairwise

import lmdb
import pytest
from crash.recorder import RecordingFileSystem
from crash.watched import WatchedFileSystem
from hypothesis import given
from hypothesis import strategies as st
from logs import full, snapshot
from trees import SMALL, Engine

from engines.errors import Closed, Conflict, Corrupted, NotFound, ReadOnly
from engines.storage import tree as tree_module
from engines.storage.keyspace import HOLD_BYTES, HOLD_ENTRIES, LONGEST_KEY
from engines.storage.log import Log
from engines.storage.tree import Tree


@pytest.fixture(params=["disk", "memory"])
def tree(request, tmp_path):
    tree = Tree(str(tmp_path / "tree") if request.param == "disk" else None, map_size=SMALL)
    yield tree
    tree.close()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "tree")


# -- keyspaces


def test_what_was_put_is_got_and_what_was_deleted_is_gone(tree):
    keyspace = tree.keyspace("a")
    assert keyspace.get(b"k") is None
    assert keyspace.view(b"k") is None
    keyspace.put(b"k", b"one")
    keyspace.put(b"k", memoryview(b"two"))
    assert keyspace.get(b"k") == b"two"
    assert bytes(keyspace.view(b"k")) == b"two"
    assert keyspace.count() == 1
    assert keyspace.delete(b"k")
    assert not keyspace.delete(b"k")
    assert keyspace.get(b"k") is None
    assert keyspace.count() == 0


def test_an_empty_value_is_a_value(tree):
    keyspace = tree.keyspace("a")
    keyspace.put(b"k", b"")
    assert keyspace.get(b"k") == b""


def test_keyspaces_are_apart(tree):
    one, two = tree.keyspace("one"), tree.keyspace("two")
    one.put(b"k", b"1")
    two.put(b"k", b"2")
    assert (one.get(b"k"), two.get(b"k")) == (b"1", b"2")
    assert tree.keyspace("one") is one
    assert tree.keyspaces() == ["meta", "one", "two"]


def test_a_dropped_keyspace_is_gone_and_may_be_made_again(tree):
    tree.keyspace("one").put(b"k", b"1")
    tree.keyspace("two").put(b"k", b"2")
    tree.drop("one")
    assert tree.keyspaces() == ["meta", "two"]
    assert tree.keyspace("one").get(b"k") is None
    assert tree.keyspace("two").get(b"k") == b"2"


def test_the_first_entry_of_a_keyspace(tree):
    keyspace = tree.keyspace("a")
    assert keyspace.first() is None
    for key in (b"m", b"a", b"z"):
        keyspace.put(key, key * 2)
    assert keyspace.first() == (b"a", b"aa")


BOUNDS = st.none() | st.binary(max_size=3)


@given(st.sets(st.binary(min_size=1, max_size=3), max_size=40), BOUNDS, BOUNDS, st.booleans(), st.integers(0, 50))
def test_a_range_is_the_slice_of_a_sorted_list(keys, low, high, reverse, limit):
    tree = Tree(None, map_size=SMALL)
    keyspace = tree.keyspace("a")
    for key in keys:
        keyspace.put(key, b"v" + key)
    slice_ = sorted(key for key in keys if (low is None or key >= low) and (high is None or key < high))
    expected = [(key, b"v" + key) for key in (reversed(slice_) if reverse else slice_)]
    assert [(key, bytes(value)) for key, value in keyspace.walk(low, high, reverse=reverse)] == expected
    assert keyspace.page(low, high, reverse=reverse, limit=limit) == expected[:limit]
    assert list(keyspace.range(low, high, reverse=reverse)) == expected
    assert list(keyspace.range(low, high, reverse=reverse, limit=limit)) == expected[:limit]
    tree.close()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_range_goes_on_from_page_to_page(tree, reverse):
    keyspace = tree.keyspace("a")
    count = 3 * HOLD_ENTRIES + 7
    for i in range(count):
        keyspace.put(b"%06d" % i, b"x" * (HOLD_BYTES // 3 if i > 700 and i % 10 == 0 else 10))
    assert len(keyspace.page()) == HOLD_ENTRIES
    assert len(keyspace.page(reverse=True)) < HOLD_ENTRIES
    found = [key for key, _ in keyspace.range(reverse=reverse)]
    assert found == sorted(found, reverse=reverse)
    assert len(found) == count
    assert len(list(keyspace.range(reverse=reverse, limit=HOLD_ENTRIES + 5))) == HOLD_ENTRIES + 5


def test_a_page_ends_when_it_has_enough_bytes(tree):
    keyspace = tree.keyspace("a")
    for i in range(10):
        keyspace.put(b"%d" % i, bytes(1000))
    assert len(keyspace.page(limit_bytes=2500)) == 3
    assert len(keyspace.page(limit_bytes=1)) == 1


def test_a_range_sees_writes_ahead_of_it_and_none_twice(tree):
    keyspace = tree.keyspace("a")
    for i in range(0, 4 * HOLD_ENTRIES, 2):
        keyspace.put(b"%06d" % i, b"old")
    reader = keyspace.range()
    first = next(reader)
    with tree.lock:
        keyspace.put(b"000001", b"behind")  # in the page that was read already
        keyspace.put(b"%06d" % (4 * HOLD_ENTRIES - 1), b"ahead")
        keyspace.delete(b"%06d" % (4 * HOLD_ENTRIES - 2))
    found = [first, *reader]
    assert all(a[0] < b[0] for a, b in pairwise(found))
    assert found[-1] == (b"%06d" % (4 * HOLD_ENTRIES - 1), b"ahead")
    assert len(found) == 2 * HOLD_ENTRIES


def test_the_longest_key_is_written_found_and_passed_over(tree):
    keyspace = tree.keyspace("a")
    longest = b"k" * LONGEST_KEY
    keyspace.put(longest, b"v")
    keyspace.put(b"z", b"w")
    assert keyspace.get(longest) == b"v"
    assert list(keyspace.range()) == [(longest, b"v"), (b"z", b"w")]
    assert list(keyspace.range(limit=1)) == [(longest, b"v")]
    assert keyspace.page(longest + b"\0") == [(b"z", b"w")]
    with pytest.raises(lmdb.BadValsizeError):
        keyspace.put(b"k" * (LONGEST_KEY + 1), b"v")


def test_threads_read_ranges_while_another_writes_and_checkpoints(path):
    tree = Tree(path, map_size=SMALL)
    keyspace = tree.keyspace("a")
    with tree.lock:
        for i in range(1000):
            keyspace.put(b"%06d" % i, b"x")
    problems, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            keys = [key for key, _ in keyspace.range()]
            if keys != sorted(set(keys)) or len(keys) < 1000:
                problems.append(len(keys))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for i in range(1000, 1300):
        with tree.lock:
            keyspace.put(b"%06d" % i, b"x")
        if i % 50 == 0:
            tree.checkpoint()
    stop.set()
    for reader in readers:
        reader.join()
    assert not problems
    tree.close()


# -- checkpoints and replay


def test_what_was_written_after_the_last_checkpoint_is_replayed(tmp_path):
    engine = Engine(tmp_path)
    assert engine.replayed == 0
    for i in range(10):
        engine.put("a", b"%d" % i, b"x")
    assert engine.tree.checkpoint() == 10
    for i in range(5, 15):
        engine.put("a", b"%d" % i, b"y")
    expected = engine.all()
    engine.log.sync()
    engine.close(checkpoint=False)  # as after a kill
    engine = Engine(tmp_path)
    assert engine.replayed == 10
    assert engine.all() == expected
    engine.close()
    engine = Engine(tmp_path)
    assert engine.replayed == 0
    assert engine.all() == expected
    engine.close()


def test_a_checkpoint_takes_along_what_the_log_had_not_synced(tmp_path):
    engine = Engine(tmp_path)
    engine.put("a", b"k", b"v")
    assert engine.log.durable == 0
    assert engine.tree.checkpoint() == 1
    assert engine.log.durable >= 1
    engine.close()


def test_a_checkpoint_never_holds_what_the_log_lost():
    """Order of the calls: the log's sync comes before the commit."""
    recorder = RecordingFileSystem()
    files = WatchedFileSystem(recorder)
    engine = Engine("", files=files)
    commits = []
    files.before["commit"] = lambda *_: commits.append(engine.log.durable)
    for i in range(1, 5):
        engine.put("a", b"k", b"%d" % i)
        assert engine.tree.checkpoint() == engine.tree.applied
        assert commits[-1] >= engine.tree.applied
    engine.close()


def test_a_checkpoint_is_due_after_many_writes_or_many_bytes(path, monkeypatch):
    tree = Tree(path, map_size=SMALL)
    monkeypatch.setattr(tree_module, "CHECKPOINT_WRITES", 10)
    assert not tree.due
    for i in range(1, 10):
        assert not tree.note(i, 1)
    assert tree.note(10, 1)
    assert tree.due
    tree.checkpoint()
    assert not tree.due
    assert not tree.note(11, tree_module.CHECKPOINT_BYTES - 1)
    assert tree.note(12, 1)
    assert tree.applied == 12
    tree.close()


def test_stats_count_what_a_checkpoint_would_save(tmp_path):
    engine = Engine(tmp_path)
    engine.put("a", b"k", b"v")
    before = engine.tree.stats()
    assert (before["applied"], before["checkpointed"], before["dirty_writes"]) == (1, 0, 1)
    assert before["dirty_bytes"] > 0
    engine.tree.checkpoint()
    after = engine.tree.stats()
    assert (after["applied"], after["checkpointed"], after["dirty_writes"], after["dirty_bytes"]) == (1, 1, 0, 0)
    assert after["checkpoints"] == 1
    assert after["bytes_used"] == os.path.getsize(tmp_path / "tree" / "data.mdb")
    engine.close()


def test_a_log_that_lost_its_beginning_is_corrupted(tmp_path):
    engine = Engine(tmp_path, segment=4096)
    for i in range(100):
        engine.put("a", b"%d" % i, b"x" * 100)
    engine.log.sync()
    engine.log.trim(50)
    engine.close(checkpoint=False)
    tree = Tree(str(tmp_path / "tree"), map_size=SMALL)
    log = Log(str(tmp_path / "log"), segment=4096)
    with pytest.raises(Corrupted, match="begins at"):
        tree.recover(log, print)
    tree.close(checkpoint=False)
    log.close()


def test_a_clean_close_without_news_changes_no_byte(tmp_path):
    engine = Engine(tmp_path)
    engine.put("a", b"k", b"v")
    engine.close()
    before = snapshot(tmp_path / "log") | {
        name: data for name, data in snapshot(tmp_path / "tree").items() if name != "lock.mdb"
    }
    engine = Engine(tmp_path)
    assert engine.all() == {b"k": b"v"}
    engine.close()
    after = snapshot(tmp_path / "log") | {
        name: data for name, data in snapshot(tmp_path / "tree").items() if name != "lock.mdb"
    }
    assert after == before


def test_a_full_disk_has_no_room_for_the_note_but_the_checkpoint_stands(tmp_path):
    files = WatchedFileSystem()
    engine = Engine(tmp_path, files=files, segment=4096)
    engine.put("a", b"k", bytes(4096 - 64 - 32 - 8) + b"end.")  # the segment is full to the last byte
    files.before["preallocate"] = full
    assert engine.tree.checkpoint() == 1
    engine.close()
    engine = Engine(tmp_path)
    assert engine.replayed == 0
    assert engine.all()[b"k"].endswith(b"end.")
    engine.close()


# -- snapshots


def test_a_snapshot_stays_as_it_was(path):
    tree = Tree(path, map_size=SMALL)
    keyspace = tree.keyspace("a")
    for i in range(100):
        keyspace.put(b"%03d" % i, b"old")
    tree.checkpoint()
    keyspace.put(b"not in", b"it")
    with tree.snapshot() as view:
        before = list(view.keyspace("a").range())
        assert before == [(b"%03d" % i, b"old") for i in range(100)]
        for round_ in range(5):
            for i in range(100):
                keyspace.put(b"%03d" % i, b"new %d" % round_ * 100)
            keyspace.delete(b"%03d" % round_)
            tree.keyspace(f"more {round_}").put(b"k", b"v")
            tree.checkpoint()
            assert list(view.keyspace("a").range()) == before
            assert view.keyspace("a").count() == 100
        assert tree.stats()["open_snapshots"] == 1
    assert tree.stats()["open_snapshots"] == 0
    tree.close()


def test_a_snapshot_keeps_a_keyspace_that_is_dropped_meanwhile(path):
    tree = Tree(path, map_size=SMALL)
    for name in ("a", "b"):
        tree.keyspace(name).put(b"k", name.encode())
    tree.close()
    tree = Tree(path, map_size=SMALL)
    tree.note(1, 1)
    with tree.snapshot() as view:
        held = view.keyspace("a")
        tree.drop("a")
        tree.drop("b")
        tree.checkpoint()
        for i in range(5):
            tree.keyspace(f"new {i}").put(b"k", b"other")
        tree.checkpoint()
        assert held.get(b"k") == b"a"
        assert view.keyspace("b").get(b"k") == b"b"
        for i in range(5):
            with pytest.raises(NotFound, match="no keyspace"):
                view.keyspace(f"new {i}")
    assert tree.keyspace("new 0").get(b"k") == b"other"
    assert tree.keyspaces() == ["meta", *(f"new {i}" for i in range(5))]
    tree.close()


def test_a_snapshot_is_read_in_another_thread_while_the_tree_is_written(path):
    tree = Tree(path, map_size=SMALL)
    keyspace = tree.keyspace("a")
    for i in range(2000):
        keyspace.put(b"%06d" % i, b"%d" % i)
    tree.checkpoint()
    view, found = tree.snapshot(), []

    def read():
        found.extend(list(view.keyspace("a").range()) for _ in range(5))
        view.close()

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(2000):
        with tree.lock:
            keyspace.put(b"%06d" % i, b"changed")
        if i % 500 == 0:
            tree.checkpoint()
    reader.join()
    assert all(each == [(b"%06d" % i, b"%d" % i) for i in range(2000)] for each in found)
    tree.close()


def test_a_closed_snapshot_is_used_no_more(path):
    tree = Tree(path, map_size=SMALL)
    tree.keyspace("a")
    tree.checkpoint()
    view = tree.snapshot()
    keyspace = view.keyspace("a")
    view.close()
    view.close()
    with pytest.raises(Closed, match="snapshot"):
        keyspace.get(b"k")
    left = tree.snapshot().keyspace("a")
    tree.close()  # closes what was left open
    with pytest.raises(Closed, match="snapshot"):
        left.get(b"k")


def test_a_snapshot_in_memory_holds_now_and_holds_checkpoints_back():
    tree = Tree(None, map_size=SMALL)
    keyspace = tree.keyspace("a")
    keyspace.put(b"k", b"1")
    tree.note(1, 1)
    with tree.snapshot() as view:
        keyspace.put(b"k", b"2")
        tree.note(2, 1)
        assert tree.checkpoint() == 1
        assert view.keyspace("a").get(b"k") == b"1"
    assert tree.checkpoint() == 2
    assert keyspace.get(b"k") == b"2"
    tree.close()


# -- who may open it


def test_a_second_tree_on_one_path_in_one_process_is_a_conflict(path, tmp_path):
    tree = Tree(path, map_size=SMALL)
    os.symlink(path, tmp_path / "link")
    for other in (path, str(tmp_path / "link")):
        for read_only in (False, True):
            with pytest.raises(Conflict, match="open in this process"):
                Tree(other, map_size=SMALL, read_only=read_only)
    tree.keyspace("a").put(b"k", b"v")  # not disturbed
    tree.close()
    tree = Tree(path, map_size=SMALL)
    assert tree.keyspace("a").get(b"k") == b"v"
    tree.close()


def test_there_is_nothing_to_read_before_the_first_checkpoint(path):
    with pytest.raises(NotFound, match="no checkpoint"):
        Tree(path, read_only=True)
    assert not os.path.exists(path)
    Tree(path, map_size=SMALL).close(checkpoint=False)
    with pytest.raises(NotFound):
        Tree(path, read_only=True)
    Tree(path, map_size=SMALL).close()
    Tree(path, read_only=True).close()


def test_a_read_only_tree_changes_nothing(path):
    tree = Tree(path, map_size=SMALL)
    tree.keyspace("a").put(b"k", b"v")
    tree.close()
    before = snapshot(path)
    tree = Tree(path, read_only=True, map_size=SMALL)
    assert tree.keyspace("a").get(b"k") == b"v"
    assert tree.keyspaces() == ["a", "meta"]
    with pytest.raises(ReadOnly):
        tree.checkpoint()
    with pytest.raises(lmdb.ReadonlyError):
        tree.keyspace("a").put(b"k", b"w")
    with pytest.raises(NotFound):
        tree.keyspace("b")
    with tree.snapshot() as view:
        assert view.keyspace("a").get(b"k") == b"v"
    assert tree.verify().ok
    tree.close()
    after = snapshot(path)
    assert {name: after[name] for name in ("data.mdb", "SEAL")} == {name: before[name] for name in ("data.mdb", "SEAL")}


READER = """
import sys
from engines.storage.tree import Tree
for line in sys.stdin:
    tree = Tree(sys.argv[1], read_only=True)
    print(tree.applied, tree.keyspace("a").get(b"k").decode(), flush=True)
    tree.close()
"""


def test_another_process_reads_the_last_checkpoint_beside_the_writer(path):
    tree = Tree(path, map_size=SMALL)
    keyspace = tree.keyspace("a")
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", READER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        for i in range(1, 4):
            keyspace.put(b"k", b"value %d" % i)
            tree.note(i, 1)
            tree.checkpoint()
            keyspace.put(b"k", b"later")  # not in the checkpoint
            reader.stdin.write("look\n")
            reader.stdin.flush()
            assert reader.stdout.readline() == f"{i} value {i}\n"
        reader.communicate()
    tree.close()


def test_a_file_that_is_no_tree_is_corrupted_and_left_alone(path):
    os.mkdir(path)
    junk = random.Random(0).randbytes(8192)  # noqa: S311 - any bytes will do
    with open(f"{path}/data.mdb", "wb") as file:
        file.write(junk)
    with pytest.raises(Corrupted, match="cannot be opened"):
        Tree(path, map_size=SMALL)
    with open(f"{path}/data.mdb", "rb") as file:
        assert file.read() == junk
    os.unlink(f"{path}/data.mdb")
    Tree(path, map_size=SMALL).close()  # the refused one let go of the path


def test_verify_walks_all_keys(tree):
    for name in ("a", "b"):
        for i in range(100):
            tree.keyspace(name).put(b"%03d" % i, b"v" * i)
    report = tree.verify()
    assert report.ok
    assert report.checked > 2 * 100 * 50
