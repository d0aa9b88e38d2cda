"""The Log while all is well: numbering, reading, group commit, durability, following, trimming."""

import random
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from crash.recorder import RecordingFileSystem
from crash.states import crash_states
from crash.watched import WatchedFileSystem
from logs import contents, fill, snapshot

from engines.clock import ManualClock
from engines.errors import Closed, Invalid, Poisoned, ReadOnly, TooLarge, Trimmed
from engines.storage.log import CHECKPOINT, Log
from engines.storage.segment import START, WINDOW


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "log")


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


def test_one_frame_is_read_by_its_number(path):
    log = Log(path, segment=1 << 18)
    written = fill(log, 4000, 200)
    log.append(b"not on disk yet")
    log.write()
    for number in (1, 2, 1000, 3999, 4000):
        assert bytes(log.read_one(number).payload) == written[number - 1][1]
    with pytest.raises(Invalid, match="up to 4000"):
        log.read_one(4001)
    reader = Log(path, segment=1 << 18, read_only=True, recovered_to=3999)  # has not looked into the older segments
    for number in (1, 777, 4000):
        assert bytes(reader.read_one(number).payload) == written[number - 1][1]
    oldest = log.trim(3000)
    with pytest.raises(Trimmed):
        log.read_one(oldest - 1)
    with pytest.raises(Trimmed):
        reader.read_one(2)  # its segment is gone behind its back
    assert log.read_one(oldest).sequence == oldest
    reader.close()
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


def test_the_ticker_runs_from_the_first_acknowledged_frame_on_whoever_wrote_it(path):
    log = Log(path, durability="interval")
    sequence = log.append(b"x")
    log.write()  # as a reader of what is not durable does
    log.acknowledge(sequence)
    assert log.wait(0, 20)
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


def test_waiting_for_more_says_whether_it_came(path):
    log = Log(path)
    fill(log, 2)
    assert log.wait(1)
    assert not log.wait(2, 0)
    thread = threading.Thread(target=fill, args=(log, 1))
    thread.start()
    assert log.wait(2)
    thread.join()
    thread = threading.Thread(target=log.close)
    thread.start()
    assert log.wait(3)  # the note of the close
    assert not log.wait(4)
    thread.join()


def test_waiting_ends_in_time_while_others_write_what_does_not_get_to_the_disk(path):
    log = Log(path, durability="checkpoint")
    done = threading.Event()

    def write():
        while not done.is_set():
            log.append(b"x")
            log.write()

    writer = threading.Thread(target=write)
    writer.start()
    waiter = threading.Thread(target=log.wait, args=(0, 0.05))
    waiter.start()
    waiter.join(20)
    alive = waiter.is_alive()
    done.set()
    writer.join()
    assert not alive
    log.close()


def test_who_looks_for_a_frame_never_sees_half_of_the_places(path):
    log = Log(path)
    fill(log, 10, 100_000)
    segment = log._segments[0]
    segment.marks = looked_at = segment.marks[:1]
    segment.mark(1, [START + i * (1 << 17) for i in range(5)])
    assert len(looked_at) == 1
    assert len(segment.marks) == 5
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
