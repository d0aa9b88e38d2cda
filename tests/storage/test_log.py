"""The Log: numbering, group commit, reading, trimming, refusing, recovering. Power loss: tests/crash/test_log.py."""

import contextlib
import errno
import os
import random
import threading
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from crash.journal import content
from crash.recorder import RecordingFileSystem
from crash.states import crash_states
from crash.watched import InterruptedFileSystem, WatchedFileSystem

from engines.clock import ManualClock
from engines.errors import Closed, Corrupted, EngineError, Invalid, Poisoned, ReadOnly, TooLarge, Trimmed
from engines.storage import segment as segment_module
from engines.storage.log import CHECKPOINT, Log
from engines.storage.segment import START, WINDOW


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "log")


def fill(log, count, size=100):
    """Append that many frames, sync, and say what they hold."""
    written = [(log.append(b"%d:" % i + bytes([i % 251]) * size), i) for i in range(count)]
    log.sync()
    return [(sequence, b"%d:" % i + bytes([i % 251]) * size) for sequence, i in written]


def contents(log, after=None):
    return [(found.sequence, bytes(found.payload)) for found in log.read(log.first - 1 if after is None else after)]


def snapshot(folder):
    return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


# -- appending and reading


def test_sequences_start_at_1_and_have_no_gaps(path):
    log = Log(path)
    assert [log.append(b"x") for _ in range(5)] == [1, 2, 3, 4, 5]
    assert (log.first, log.last, log.durable) == (1, 5, 0)
    log.sync(3)
    assert log.durable == 5  # all that was pending came along
    log.close()


def test_what_was_appended_is_read_back_with_its_kind_and_time(path):
    clock = ManualClock(1_000)
    log = Log(path, clock=clock)
    log.append(b"one", kind=16)
    clock.advance(seconds=1)
    log.append(bytearray(b"two"), kind=17)
    log.append(memoryview(b""))
    log.sync()
    found = list(log.read())
    assert [(each.sequence, each.time, each.kind, bytes(each.payload)) for each in found] == [
        (1, 1_000, 16, b"one"),
        (2, 1_001_000, 17, b"two"),
        (3, 1_001_000, 0, b""),
    ]
    log.close()


def test_a_payload_of_wide_numbers_counts_in_bytes(path):
    log = Log(path)
    numbers = np.arange(1000)
    log.append(numbers.data)
    log.append(b"after")
    log.sync()
    assert [bytes(found.payload) for found in log.read()] == [numbers.tobytes(), b"after"]
    log.close()
    with Path(path, f"{1:020d}.log").open("rb") as file:
        assert numbers.tobytes() in file.read()
    log = Log(path)
    assert len(list(log.read())) == 2
    log.close()


def test_what_cannot_be_written_takes_no_number(path):
    log = Log(path)
    with pytest.raises(TypeError):
        log.append("text")
    with pytest.raises(TooLarge, match="at most"):
        log.append(np.zeros((1 << 30) + 1, np.uint8).data)
    assert log.append(b"x") == 1
    log.close()
    assert contents(Log(path, read_only=True)) == [(1, b"x")]


def test_times_never_decrease_even_when_the_clock_does_also_after_a_reopening(path):
    class Jumping(ManualClock):
        def now(self):
            return next(self.times)

    clock = Jumping()
    clock.times = iter([50, 30, 60, 10, *[5] * 10])
    log = Log(path, clock=clock)
    for _ in range(4):
        log.append(b"x")
    log.close()
    log = Log(path, clock=clock)
    log.append(b"x")
    log.sync()
    assert [found.time for found in log.read()] == [50, 50, 60, 60, 60]
    log.close()


def test_times_never_decrease_when_the_last_segment_is_empty(path):
    log = Log(path, clock=ManualClock(500), segment=1 << 12)
    fill(log, 40)
    last = log.layout()[-1]
    log.close()
    data = Path(last[0]).read_bytes()
    Path(last[0]).write_bytes(data[:START])  # its frames never reached the disk
    log = Log(path, clock=ManualClock(7), segment=1 << 12)
    log.append(b"x")
    log.sync()
    assert {found.time for found in log.read()} == {500}
    log.close()


def test_only_what_is_durable_is_read_unless_asked(path):
    log = Log(path)
    log.append(b"one")
    assert list(log.read()) == []
    assert [bytes(found.payload) for found in log.read(durable=False)] == [b"one"]
    assert log.durable == 0
    log.sync()
    assert [bytes(found.payload) for found in log.read()] == [b"one"]
    log.close()


def test_the_logs_own_notes_are_not_read(path):
    log = Log(path)
    log.append(b"one")
    log.append(b"note", CHECKPOINT)
    log.append(b"two")
    log.close()  # another note
    log = Log(path)
    assert contents(log) == [(1, b"one"), (3, b"two")]
    assert log.last == 4
    log.close()


def test_reading_goes_across_windows_and_segments(path):
    log = Log(path, segment=3 << 20)
    written = fill(log, 300, 40_000)
    assert len(log.layout()) > 3
    assert contents(log) == written
    for after in range(0, 301, 7):
        assert contents(log, after) == written[after:]
    log.close()
    log = Log(path, segment=3 << 20)  # positions are remembered anew
    for after in range(0, 301, 7):
        assert contents(log, after) == written[after:]
    log.close()


def test_a_frame_may_be_larger_than_a_window_and_than_a_segment(path):
    log = Log(path, segment=WINDOW)
    sizes = [10, WINDOW - 40, WINDOW, 3 * WINDOW + 1, 17 * WINDOW, 10]
    for size in sizes:
        log.append(bytes([size % 251]) * size)
    log.sync()
    assert [len(found.payload) for found in log.read()] == sizes
    log.close()
    log = Log(path, segment=WINDOW)
    assert [len(found.payload) for found in log.read()] == sizes
    assert log.verify().ok
    log.close()


def test_a_reader_may_start_anywhere_between_remembered_positions(path):
    log = Log(path)
    written = fill(log, 5_000, 60)
    assert len(log._segments[0].marks) > 5
    for after in random.Random(0).sample(range(5_000), 20):  # noqa: S311 - the same places in each run
        assert next(log.read(after)).sequence == written[after][0]
    assert list(log.read(5_000)) == list(log.read(9_999)) == []
    log.close()


# -- group commit


def test_threads_share_syncs_and_each_finds_its_frame_on_disk(path):
    files = WatchedFileSystem()
    log = Log(path, files=files, segment=1 << 14)
    gate = threading.Barrier(16)
    problems = []

    def work(name):
        gate.wait()
        for i in range(50):
            sequence = log.append(b"%d %d " % (name, i) + b"x" * 50)
            log.sync(sequence)
            if log.durable < sequence:
                problems.append(sequence)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert log.last == log.durable == 800
    assert log.syncs < 800
    log.close()
    log = Log(path)
    found = [bytes(each.payload).split()[:2] for each in log.read()]
    assert len(found) == 800
    for name in range(16):  # each thread's in its own order
        assert [int(i) for who, i in found if int(who) == name] == list(range(50))
    assert log.verify().ok
    log.close()


def test_one_leader_syncs_what_came_before_it_and_the_next_what_came_meanwhile(path):
    files = WatchedFileSystem()
    log = Log(path, files=files)
    log.append(b"first")
    followers = []

    def come_in_between(*_):
        files.before.clear()
        for _ in range(8):
            sequence = log.append(b"meanwhile")
            followers.append(threading.Thread(target=log.sync, args=(sequence,)))
            followers[-1].start()

    files.before["fdatasync"] = come_in_between
    syncs = log.syncs
    log.sync(1)
    assert log.durable >= 1
    for thread in followers:
        thread.join()
    assert log.durable == 9
    assert log.syncs <= syncs + 3  # one for the first, then at most two for all eight
    log.close()


def test_a_sync_covers_its_frames_however_often_others_roll_meanwhile():
    recorder = RecordingFileSystem()
    files = WatchedFileSystem(recorder)
    log = Log("/log", files=files, segment=4096)
    log.append(b"first " * 100)

    def roll_three_times(*_):
        files.before.clear()
        for _ in range(20):
            log.append(b"meanwhile" * 80)

    files.before["pwrite"] = roll_three_times
    log.sync(1)
    assert len(log.layout()) > 3
    rng = random.Random(0)  # noqa: S311 - the same images in each run
    for image in islice(crash_states(recorder.journal, len(recorder.journal), rng), 200):
        found = Log("/log", files=RecordingFileSystem(image), segment=4096)
        assert found.damage is None
        assert found.last >= 1
        found.close()
    log.close()


def test_a_sync_covers_its_frames_though_a_trim_drops_segments_meanwhile(path):
    files = WatchedFileSystem()
    log = Log(path, files=files, segment=4096)
    written = fill(log, 100)
    log.append(b"last")

    def trim(*_):
        files.before.clear()
        log.trim(80)

    files.before["pwrite"] = trim
    log.sync()
    assert log.first > 1
    log.close()
    log = Log(path, segment=4096)
    assert contents(log) == [*written[log.first - 1 :], (101, b"last")]
    log.close()


# -- durability


def test_commit_waits_for_the_disk(path):
    log = Log(path)
    log.acknowledge(log.append(b"x"))
    assert log.durable == 1
    log.close()


def test_interval_waits_for_the_kernel_and_syncs_soon(path):
    log = Log(path, durability="interval")
    for i in range(1, 4):
        log.acknowledge(log.append(b"x"))
        assert log.written == i
    followed = list(islice(log.follow(), 3))  # returns when a tick has synced them
    assert [found.sequence for found in followed] == [1, 2, 3]
    assert log.durable == 3
    log.close()


def test_checkpoint_waits_for_nothing_but_keeps_memory_small(path):
    log = Log(path, durability="checkpoint")
    for _ in range(1000):
        log.acknowledge(log.append(b"x" * 1000))
        assert log.last - log.written < 70
    assert log.written > 900
    assert log.durable == 0
    log.close()
    log = Log(path)
    assert len(list(log.read())) == 1000
    log.close()


def test_an_unknown_durability_is_refused_before_anything_is_made(path):
    with pytest.raises(Invalid, match="commit"):
        Log(path, durability="maybe")
    assert not Path(path).exists()


def test_a_sync_of_the_ticker_proves_nothing_once_another_has_failed(path):
    files = WatchedFileSystem()
    log = Log(path, files=files)
    log.append(b"x")
    log.write()
    files.before["fdatasync"] = lambda *_: log.refuse(Poisoned("a leader's sync has failed"))
    log._sync_written()
    assert log.durable == 0
    with pytest.raises(Poisoned):
        log.sync()
    log.close()


# -- following


def test_following_tells_each_frame_once_in_order_while_others_write(path):
    log = Log(path, segment=1 << 14)
    told = []

    def follow():
        told.extend(found.sequence for found in log.follow())

    def write():
        for _ in range(100):
            log.sync(log.append(b"x" * 100))

    follower = threading.Thread(target=follow)
    follower.start()
    writers = [threading.Thread(target=write) for _ in range(4)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    log.close()
    follower.join()
    assert told == list(range(1, 401))


def test_following_tells_no_frame_twice_when_a_sync_lands_between_two_looks(path):
    log = Log(path)
    fill(log, 3)

    class Ahead:
        """durable, as two looks see it: a sync landed in between."""

        looks = iter([2])

        def __get__(self, instance, owner=None):
            return next(self.looks, 3)

    behind = type("Behind", (Log,), {"durable": Ahead()})
    log.__class__ = behind
    try:
        assert [found.sequence for found in log.follow(timeout=0)] == [1, 2, 3]
    finally:
        log.__class__ = Log
    log.close()


def test_following_ends_without_news_when_closed_and_when_no_more_can_come(path):
    log = Log(path)
    fill(log, 2)
    assert len(list(log.follow(timeout=0.01))) == 2
    follower = log.follow()
    assert next(follower).sequence == 1
    log.close()
    assert [found.sequence for found in follower] == [2]
    log = Log(path, read_only=True)
    assert len(list(log.follow())) == 2
    log.close()


def test_following_starts_behind_what_is_there(path):
    log = Log(path)
    fill(log, 2)
    follower = log.follow(after=5)
    thread = threading.Thread(target=fill, args=(log, 6))
    thread.start()
    assert next(follower).sequence == 6
    thread.join()
    log.close()


# -- trimming


def test_trim_drops_whole_segments_below_a_sequence_and_never_the_last(path):
    log = Log(path, segment=4096)
    written = fill(log, 200)
    starts = [first for _, first, _, _ in log.layout()]
    assert log.trim(starts[3] - 1) == starts[2]
    assert contents(log) == written[starts[2] - 1 :]
    assert log.trim(10_000) == starts[-1]
    assert len(list(Path(path).iterdir())) == 1
    assert log.append(b"x") == 201
    log.close()
    log = Log(path, segment=4096)
    assert log.first == starts[-1]
    assert log.verify().ok
    log.close()


def test_reading_what_was_trimmed_names_the_oldest(path):
    log = Log(path, segment=4096)
    fill(log, 100)
    reader = log.read()
    next(reader)
    oldest = log.trim(60)
    for attempt in (lambda: log.read(0), lambda: next(log.follow(oldest - 2)), lambda: list(reader)):
        with pytest.raises(Trimmed) as caught:
            attempt()
        assert caught.value.oldest == oldest
    assert next(log.read(oldest - 1)).sequence == oldest
    log.close()


def test_a_log_that_takes_nothing_is_not_trimmed_either(path):
    log = Log(path, segment=4096)
    fill(log, 100)
    log.close()
    before = snapshot(path)
    with pytest.raises(Closed):
        log.trim(90)
    log = Log(path, read_only=True, segment=4096)
    with pytest.raises(ReadOnly):
        log.trim(90)
    log.close()
    assert snapshot(path) == before


def test_a_segment_in_birth_is_not_a_reason_to_trim(path):
    log = Log(path, segment=4096)
    fill(log, 30)
    while len(log.layout()) < 3:
        log.append(b"x" * 1000)
    assert log.trim(10_000) == log._segments[0].first
    assert log._segments[0].born
    log.close()


# -- refusing


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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


# -- opening


def test_a_reopened_log_goes_on_where_it_was(path):
    for round_ in range(5):
        log = Log(path, segment=4096)
        assert len(contents(log)) == 30 * round_
        fill(log, 30)
        log.close()
    log = Log(path, segment=4096)
    sequences = [sequence for sequence, _ in contents(log)]
    assert len(sequences) == 150
    assert all(a < b for a, b in pairwise(sequences))
    assert log.verify().ok
    log.close()


def test_opening_and_closing_changes_no_byte(path):
    log = Log(path, segment=4096)
    fill(log, 50)
    log.close()
    before = snapshot(path)
    for read_only in (False, True, False):
        Log(path, segment=4096, read_only=read_only).close()
        assert snapshot(path) == before


def test_an_empty_log_reopens(path):
    Log(path).close()
    before = snapshot(path)
    log = Log(path)
    assert (log.first, log.last) == (1, 0)
    log.close()
    assert snapshot(path) == before


def test_a_small_log_is_small_again_once_it_is_closed(path):
    log = Log(path)
    log.append(b"x" * 1000)
    log.sync()
    assert sum(map(len, snapshot(path).values())) == 1 << 20
    log.close()
    assert sum(map(len, snapshot(path).values())) < 1200


def test_preallocation_doubles_up_to_the_segment_size(path):
    files = WatchedFileSystem()
    steps = []
    files.before["preallocate"] = lambda _, offset, length: steps.append((offset >> 20, length >> 20))
    log = Log(path, files=files, segment=6 << 20)
    for _ in range(14):
        log.append(bytes(1 << 19))
        log.write()
    assert steps == [(0, 1), (1, 1), (2, 2), (4, 2), (0, 1), (1, 1)]
    log.close()


def test_a_torn_tail_is_cut_off_and_written_over(path):
    log = Log(path)
    written = fill(log, 10)
    log.append(b"torn " * 100)
    log.write()
    file = Path(log.layout()[0][0])
    data = bytearray(file.read_bytes())
    end = log.layout()[0][3]
    log.close()
    data[end - 200] ^= 1
    file.write_bytes(data)
    log = Log(path)
    assert log.damage is None
    assert contents(log) == written
    assert log.append(b"again") == 11
    log.close()
    assert contents(Log(path, read_only=True)) == [*written, (11, b"again")]


def test_a_torn_tail_is_not_cut_by_a_reader(path):
    log = Log(path)
    written = fill(log, 10)
    file = Path(log.layout()[0][0])
    log.close()
    file.write_bytes(file.read_bytes()[:-50])  # the note of the close and half of a frame
    before = snapshot(path)
    log = Log(path, read_only=True)
    assert contents(log) == written[:9]
    log.close()
    assert snapshot(path) == before


def test_a_clean_close_vouches_for_all_that_was_ever_taken(path):
    """Also for what was synced by nothing but the close."""
    log = Log(path, durability="checkpoint")
    for _ in range(20):
        log.append(b"x" * 100)
    log.close()
    file = Path(log.layout()[0][0])
    data = bytearray(file.read_bytes())
    data[START + 136 * 10 + 50] ^= 1
    file.write_bytes(data)
    log = Log(path)
    assert log.damage is not None
    assert log.damage.offset == START + 136 * 10
    log.close()
    assert file.read_bytes() == data


def test_damage_opens_read_only_and_keeps_what_stands_before_it(path):
    log = Log(path)
    for _ in range(5):
        log.sync(log.append(b"x" * 100))
    log.close()
    file = Path(log.layout()[0][0])
    data = bytearray(file.read_bytes())
    data[START + 2 * 136 + 40] ^= 1
    file.write_bytes(data)
    log = Log(path)
    assert log.read_only
    assert not log.failed
    assert log.damage.file == str(file)
    assert log.damage.offset == START + 2 * 136
    assert [sequence for sequence, _ in contents(log)] == [1, 2]
    report = log.verify()
    assert [(problem.file, problem.offset) for problem in report.problems] == [(str(file), START + 2 * 136)]
    for attempt in (lambda: log.append(b"x"), lambda: log.trim(2)):
        with pytest.raises(Corrupted):
            attempt()
    log.close()
    assert file.read_bytes() == data


@pytest.fixture
def three_segments(path):
    log = Log(path, segment=4096)
    fill(log, 70)
    layout = log.layout()
    assert len(layout) == 3
    log.close()
    return layout


def flip(file, at):
    data = bytearray(Path(file).read_bytes())
    data[at] ^= 1
    Path(file).write_bytes(data)


@pytest.mark.parametrize("where", ["header", "first frame", "last frame", "behind the frames"])
def test_any_bad_byte_in_a_segment_but_the_last_is_damage(path, three_segments, where):
    file, first, last, end = three_segments[1]
    at = {"header": 9, "first frame": START + 40, "last frame": end - 20, "behind the frames": end + 3}[where]
    if where == "behind the frames":
        Path(file).write_bytes(Path(file).read_bytes()[:end].ljust(end + 8, b"\0"))
    flip(file, at)
    log = Log(path, segment=4096)
    assert log.damage is not None
    assert log.damage.file == file
    kept = {"header": first - 1, "first frame": first - 1, "last frame": last - 1, "behind the frames": last}[where]
    assert log.last == kept
    assert not log.verify().ok
    log.close()
    with contextlib.suppress(Corrupted):  # what stands behind it is not read, whatever one has applied
        log = Log(path, segment=4096, recovered_to=first - 1)
        assert log.damage is not None
        log.close()


def test_a_missing_segment_is_damage(path, three_segments):
    Path(three_segments[1][0]).unlink()
    log = Log(path, segment=4096)
    assert "missing" in str(log.damage)
    assert log.last == three_segments[0][2]
    assert not log.verify().ok
    log.close()


def test_a_log_that_ends_before_what_was_applied_is_corrupted(path, three_segments):
    last = three_segments[-1][2] + 1  # and the close
    Log(path, recovered_to=last).close()
    with pytest.raises(Corrupted, match="ends at"):
        Log(path, recovered_to=last + 1)
    for file, *_ in three_segments[:2]:
        Path(file).unlink()
    Log(path, recovered_to=three_segments[2][1] - 1).close()
    with pytest.raises(Corrupted, match="begins at"):
        Log(path, recovered_to=1)
    Path(three_segments[2][0]).unlink()
    with pytest.raises(Corrupted, match="empty"):
        Log(path, recovered_to=1)


def test_what_was_applied_vouches_for_the_very_last_frame(path):
    log = Log(path)
    fill(log, 5)
    file, _, _, end = log.layout()[0]
    log.close()
    Path(file).write_bytes(Path(file).read_bytes()[: end - 1])
    with pytest.raises(Corrupted, match="ends at 4"):
        Log(path, recovered_to=5)


def test_only_the_segments_that_may_matter_are_read_on_opening(path, three_segments):
    flip(three_segments[0][0], START + 40)
    log = Log(path, segment=4096, recovered_to=three_segments[2][1])
    assert log.damage is None
    with pytest.raises(Corrupted, match="frame 1 "):
        contents(log)
    assert [problem.file for problem in log.verify().problems] == [three_segments[0][0]]
    log.close()


def test_segments_that_were_being_born_are_removed(path, three_segments):
    """Two rolls before the first write, then a crash: files of zeros, which no frame was ever written to."""
    last = three_segments[-1][2] + 1
    for first in (last + 1, last + 40):
        Path(path, f"{first:020d}.log").write_bytes(bytes(4096))
    before = snapshot(path)
    log = Log(path, segment=4096, read_only=True)
    assert log.damage is None
    assert len(log.layout()) == 3
    log.close()
    assert snapshot(path) == before
    log = Log(path, segment=4096)
    assert log.damage is None
    assert log.last == last
    assert len(snapshot(path)) == 3
    log.close()


def test_a_first_segment_that_was_being_born_is_made_again(path):
    Path(path).mkdir()
    Path(path, f"{1:020d}.log").write_bytes(bytes(1000))
    log = Log(path)
    assert log.append(b"x") == 1
    log.close()


def test_a_segment_with_a_broken_header_and_frames_behind_it_is_damage(path, three_segments):
    flip(three_segments[2][0], 20)
    log = Log(path, segment=4096)
    assert log.damage.file == three_segments[2][0]
    assert log.last == three_segments[1][2]
    log.close()


def test_a_log_whose_only_header_is_broken_shows_nothing_and_loses_nothing(path):
    log = Log(path)
    fill(log, 3)
    log.close()
    flip(log.layout()[0][0], 3)
    before = snapshot(path)
    log = Log(path)
    assert log.damage is not None
    assert contents(log) == []
    assert (log.first, log.last) == (1, 0)
    assert not log.verify().ok
    log.close()
    assert snapshot(path) == before


def test_a_segment_of_another_log_is_damage(path, tmp_path, three_segments):
    other = Log(str(tmp_path / "other"), segment=4096)
    fill(other, 70)
    other.close()
    name = os.path.basename(three_segments[1][0])
    Path(path, name).write_bytes((tmp_path / "other" / name).read_bytes())
    log = Log(path, segment=4096)
    assert log.damage.file.endswith(name)
    log.close()


def test_files_that_are_no_segments_are_left_alone(path):
    Log(path).close()
    Path(path, "notes.log").write_bytes(b"mine")
    Path(path, "README").write_bytes(b"mine")
    log = Log(path)
    assert log.verify().ok
    log.close()
    assert Path(path, "notes.log").read_bytes() == b"mine"


def test_reading_a_frame_that_was_damaged_while_the_log_was_open_names_it(path):
    log = Log(path)
    fill(log, 10)
    flip(log.layout()[0][0], START + 3 * 136 + 50)
    with pytest.raises(Corrupted, match="frame 4 at offset"):
        contents(log)
    report = log.verify()
    assert not report.ok
    assert report.problems[0].offset == START + 3 * 136
    log.close()


def test_a_read_only_log_takes_nothing(path):
    log = Log(path)
    written = fill(log, 3)
    reader = Log(path, read_only=True)  # beside the writer
    assert contents(reader) == written
    with pytest.raises(ReadOnly, match="read_only"):
        reader.append(b"x")
    reader.sync()
    assert reader.verify().ok
    reader.close()
    log.close()


def test_a_log_of_one_frame_a_segment_works(path):
    log = Log(path, segment=100)
    written = fill(log, 20)
    assert len(log.layout()) == 20
    assert contents(log) == written
    log.trim(10)
    log.close()
    log = Log(path, segment=100)
    assert contents(log) == written[9:]
    assert log.verify().ok
    log.close()


def test_layout_lists_the_segments(path, three_segments):
    log = Log(path, segment=4096)
    assert [(file, first) for file, first, _, _ in log.layout()] == [(each[0], each[1]) for each in three_segments]
    assert log.layout()[-1][2] == log.last
    log.close()


def test_a_header_that_fails_its_checksum_is_none():
    whole = segment_module.encode_header(5, 1).ljust(START, b"\0")
    assert segment_module.decode_header(whole) == (5, 1)
    for at in range(START):
        assert segment_module.decode_header(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]) is None
        assert segment_module.decode_header(whole[:at]) is None


def test_an_error_to_make_the_first_segment_comes_as_it_is(tmp_path):
    files = WatchedFileSystem()
    files.before["preallocate"] = full
    with pytest.raises((OSError, EngineError)):
        Log(str(tmp_path / "log"), files=files)
    assert os.listdir(tmp_path / "log") == []
    Log(str(tmp_path / "log")).close()


def test_a_recorder_image_opens_like_a_folder():
    files = RecordingFileSystem({"/log": None, f"/log/{1:020d}.log": content(b"")})
    log = Log("/log", files=files)
    assert log.append(b"x") == 1
    log.close()
