"""The Log when it cannot go on: full disks, failing disks, interrupts. Power loss is in tests/crash/test_log.py."""

import contextlib
import errno
import os
import sys
import threading

import pytest
from crash.recorder import RecordingFileSystem
from crash.watched import InterruptedFileSystem, WatchedFileSystem
from interrupts import CtrlC
from logs import contents, fill, full

from engines.clock import ManualClock
from engines.errors import Closed, Corrupted, Poisoned, ReadOnly
from engines.storage.log import Log
from engines.storage.segment import START


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "log")


def test_a_full_disk_refuses_the_append_whole_and_takes_the_next_when_there_is_room(path):
    files = WatchedFileSystem()
    log = Log(path, files=files, segment=4096)
    log.sync(log.append(b"one"))
    for huge in (False, True):  # no room to extend a segment; no room for a new one
        files.before["preallocate"] = full
        with pytest.raises(ReadOnly, match="full") as caught:
            log.append(bytes(9000 if huge else 4000))
        assert caught.value.code == "disk-full"
        assert not isinstance(caught.value, Poisoned)
        assert not log.failed
        files.before.clear()
        log.sync(log.append(b"small" if huge else bytes(4000)))
    assert len(contents(log)) == log.last == 3
    log.close()
    log = Log(path, segment=4096)
    assert log.last == 4  # and the note of the close
    assert log.verify().ok
    log.close()


def test_a_log_closes_on_a_full_disk(path):
    files = WatchedFileSystem()
    log = Log(path, files=files, segment=4096)
    log.append(bytes(4096 - START - 32))  # not a byte left
    files.before["preallocate"] = full
    log.close()
    log = Log(path)
    assert log.last == 1
    log.close()


def test_any_other_failure_to_reserve_poisons(path):
    files = WatchedFileSystem()
    log = Log(path, files=files, segment=4096)

    def broken(*_):
        raise OSError(errno.EIO, "broken")

    files.before["preallocate"] = broken
    with pytest.raises(Poisoned, match="broken"):
        log.append(bytes(9000))
    assert log.failed
    log.close()


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_after_a_failed_write_or_sync_nothing_more_is_taken_and_reading_goes_on(path, call):
    files = WatchedFileSystem()
    log = Log(path, files=files)
    written = fill(log, 3)

    def fail(*_):
        raise OSError(errno.EIO, "broken")

    log.append(b"lost?")
    files.before[call] = fail
    with pytest.raises(Poisoned, match="broken"):
        log.sync()
    files.before.clear()  # the disk works again: that proves nothing
    for attempt in (log.sync, lambda: log.append(b"x"), lambda: log.trim(2), log.write):
        if attempt == log.write and call == "fdatasync":
            continue  # all was written
        with pytest.raises(Poisoned):
            attempt()
    log.sync(3)  # was on disk before
    assert contents(log) == written
    assert log.failed
    assert not log.verify().problems
    log.close()
    log = Log(path)
    assert contents(log)[:3] == written
    log.close()


def test_those_who_wait_for_a_leader_that_fails_are_told(path):
    files = WatchedFileSystem()
    log = Log(path, files=files)
    log.append(b"x")
    told, waiting = [], threading.Barrier(4)

    def wait():
        waiting.wait()
        try:
            log.sync(1)
        except Poisoned as error:
            told.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]

    def fail(*_):
        for thread in threads:
            thread.start()
        waiting.wait()
        raise OSError(errno.EIO, "broken")

    files.before["fdatasync"] = fail
    with pytest.raises(Poisoned):
        log.sync()
    for thread in threads:
        thread.join()
    assert len(told) == 3
    log.close()


def test_what_feeds_on_the_log_can_make_it_refuse(path):
    log = Log(path)
    log.refuse(Poisoned("the tree is broken"))
    with pytest.raises(Poisoned, match="tree"):
        log.append(b"x")
    assert log.failed
    log.close()


def test_a_closed_log_refuses_and_still_reads(path):
    log = Log(path)
    written = fill(log, 3)
    log.close()
    log.close()
    with pytest.raises(Closed, match="open it again"):
        log.append(b"x")
    log.sync()  # nothing is missing
    assert not log.failed
    assert contents(log) == written


def test_an_interrupt_at_any_call_costs_nothing_but_the_call_it_hit():
    """Ctrl-C in a notebook: the next cell goes on, and what was acknowledged before and after is there."""
    for late in (False, True):
        for n in range(1, 200):
            recorder = RecordingFileSystem()
            files = InterruptedFileSystem(recorder, late=late)
            log = Log("/log", files=files, segment=2048)
            files.arm(n)
            acknowledged, interrupted = [], 0
            for i in range(12):
                try:
                    log.sync(log.append(b"%d" % i + b"." * 500))
                    acknowledged.append(i)
                except KeyboardInterrupt:
                    interrupted += 1
            if not interrupted:
                break
            assert len(acknowledged) == 11
            log.sync()
            found = [int(payload.rstrip(b".")) for _, payload in contents(log)]
            assert [i for i in found if i in acknowledged] == acknowledged
            log.close()
            log = Log("/log", files=RecordingFileSystem(recorder.image()), segment=2048)
            assert [int(payload.rstrip(b".")) for _, payload in contents(log)] == found
            assert log.verify().ok
            log.close()
        assert n > 30


def test_an_interrupt_while_a_frame_is_taken_takes_no_number(path):
    class Interrupted(ManualClock):
        armed = False

        def now(self):
            if self.armed:
                self.armed = False
                raise KeyboardInterrupt
            return 1

    clock = Interrupted()
    log = Log(path, clock=clock)
    log.append(b"one")
    clock.armed = True
    with pytest.raises(KeyboardInterrupt):
        log.append(b"interrupted")
    log.append(b"two")
    log.close()
    assert contents(Log(path, read_only=True)) == [(1, b"one"), (2, b"two")]


def test_an_interrupt_between_encoding_and_numbering_takes_the_frame_back(path):
    log = Log(path)
    log.append(bytes(1 << 16))  # the next one is worth remembering

    class Interrupted(list):
        def append(self, mark):
            raise KeyboardInterrupt

    segment = log._segments[-1]
    segment.marks = Interrupted(segment.marks)
    with pytest.raises(KeyboardInterrupt):
        log.append(b"interrupted")
    segment.marks = list(segment.marks)
    assert log.append(b"two") == 2
    log.close()
    assert [bytes(found.payload) for found in Log(path, read_only=True).read(1)] == [b"two"]


@pytest.mark.parametrize("call", ["truncate", "fdatasync"])
def test_a_close_that_fails_says_so_and_lets_go(path, call):
    files = WatchedFileSystem()
    log = Log(path, files=files)
    written = fill(log, 3)

    def fail(*_):
        raise OSError(errno.EIO, "broken")

    files.before[call] = fail
    with pytest.raises(Poisoned, match="broken"):
        log.close()
    files.before.clear()
    log.close()
    log = Log(path)
    assert contents(log) == written
    log.close()


def test_a_tick_that_fails_poisons_and_the_next_writer_hears_of_it(path):
    files = WatchedFileSystem()
    log = Log(path, files=files)
    log.append(b"x")
    log.write()

    def fail(*_):
        raise OSError(errno.EIO, "broken")

    files.before["fdatasync"] = fail
    with pytest.raises(Poisoned):
        log._sync_written()
    with pytest.raises(Poisoned, match="broken"):
        log.append(b"y")
    assert log.durable == 0
    log.close()


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="knows where Python 3.11 looks for signals")
def test_whoever_is_interrupted_while_another_leads_leaves_nobody_asleep(path):
    files = WatchedFileSystem()
    log = Log(path, files=files)
    reached, go_on = threading.Event(), threading.Event()

    def wait(*_):
        files.before.clear()
        reached.set()
        go_on.wait(20)

    def release():
        """When both sleep, or the first of them was interrupted."""
        for _ in range(50):
            if len(log._sleeping) == 2:
                break
            go_on.wait(0.001)
        go_on.set()

    for n in range(1, 200):
        files.before["fdatasync"] = wait
        leader = threading.Thread(target=log.sync, args=(log.append(b"x"),))
        leader.start()
        assert reached.wait(20)
        mine, other = log.append(b"y"), log.append(b"z")
        follower = threading.Thread(target=log.sync, args=(other,))
        releaser = threading.Thread(target=release)
        for thread in (follower, releaser):
            thread.start()
        ctrl_c = CtrlC(n)
        with contextlib.suppress(KeyboardInterrupt), ctrl_c:
            log.sync(mine)
        for thread in (leader, follower, releaser):
            thread.join(20)
            assert not thread.is_alive(), ctrl_c.where
        assert log.durable == other
        log.sync(log.append(b"more"))
        for event in (reached, go_on):
            event.clear()
        if ctrl_c.where is None:
            assert n > 5
            break
    log.close()


# -- too many open files


def no_descriptor(*_):
    raise OSError(errno.EMFILE, "Too many open files")


def test_no_descriptor_for_a_new_segment_refuses_the_append_and_poisons_nothing(path):
    files = WatchedFileSystem()
    log = Log(path, files=files, segment=4096)
    log.sync(log.append(bytes(3000)))
    files.before["open"] = no_descriptor
    with pytest.raises(ReadOnly, match="close some files") as caught:
        log.append(bytes(3000))
    assert caught.value.code == "too-many-files"
    assert not log.failed
    files.before.clear()
    log.sync(log.append(bytes(3000)))
    assert log.last == 2
    log.close()


def test_no_descriptor_for_the_folder_of_a_new_segment_leaves_the_sync_to_the_next_one(path):
    files = WatchedFileSystem()
    log = Log(path, files=files, segment=4096)
    fill(log, 1)
    last = log.append(bytes(4000))
    files.before["fsync_dir"] = no_descriptor
    with pytest.raises(ReadOnly, match="close some files"):
        log.sync()
    assert log.durable < last
    files.before.clear()
    log.sync(log.append(b"x"))
    assert log.durable == last + 1
    log.close()
    log = Log(path, segment=4096)
    assert log.verify().ok
    log.close()


# -- remarks


def test_a_remark_is_left_out_on_a_full_disk_only(path):
    files = WatchedFileSystem()
    log = Log(path, files=files, segment=4096)
    assert log.remark(b"x", 1) == 1
    files.before["preallocate"] = full
    assert log.remark(bytes(8000), 1) == 0
    files.before.clear()
    log.refuse(Poisoned("a sync failed"))
    with pytest.raises(Poisoned):
        log.remark(b"x", 1)
    log.close()


# -- nothing stays open after a refusal to open


@pytest.mark.parametrize("call", ["fdatasync", "truncate", "size"])
def test_a_log_that_cannot_be_opened_leaves_no_file_open(path, call):
    log = Log(path)
    fill(log, 3)
    log.write()
    log.close()
    with open(log.layout()[0][0], "ab") as file:
        file.write(b"a torn tail")
    files = WatchedFileSystem()
    files.before[call] = full
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ReadOnly, match="No space") as caught:
        Log(path, files=files)
    assert caught.value.code == "disk-full"
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_log_that_ends_too_early_or_can_not_be_born_leaves_no_file_open(path):
    before = len(os.listdir("/proc/self/fd"))
    files = WatchedFileSystem()
    files.before["fdatasync"] = full
    with pytest.raises(ReadOnly, match="No space") as caught:
        Log(path, files=files)
    assert caught.value.code == "disk-full"
    assert len(os.listdir("/proc/self/fd")) == before
    log = Log(path)
    fill(log, 3)
    log.close()
    with pytest.raises(Corrupted, match="ends at 4"):
        Log(path, recovered_to=9)
    assert len(os.listdir("/proc/self/fd")) == before
