"""The Log under power loss, failing disks, kills and flipped bytes."""

import errno
from concurrent.futures import ThreadPoolExecutor

import pytest
from crash.journal import content
from crash.recorder import RecordingFileSystem
from crash.rules import Subject, crash, fail_everywhere, flip_every_byte, kill_everywhere, workload
from crash.states import check

from engines.clock import ManualClock
from engines.errors import Corrupted
from engines.storage import recovery
from engines.storage.files import make_folder
from engines.storage.log import Log

SIZE = 600
SEGMENT = 4096  # six frames: rolls happen all the time


def payload(number):
    """All of one size, so that a stale frame lies exactly where a later reader would look."""
    return b"%04d:" % number + bytes([65 + number % 26]) * (SIZE - 5)


class Handle:
    """A log, and what is needed to open it again."""

    def __init__(self, files):
        self.files = files
        self.log = Log("/log", files=files, clock=ManualClock(), segment=SEGMENT)

    def verify(self):
        return self.log.verify()

    def close(self):
        self.log.close()


class Frames(Subject):
    """State: the payloads, of which trims may have dropped the first ones."""

    trimmed = 0  # at most so many

    def open(self, files):
        make_folder(files, "/log")
        handle = Handle(files)
        if handle.log.damage is not None:
            handle.close()
            raise handle.log.damage
        return handle

    def do(self, engine, operation):
        log = engine.log
        match operation:
            case ("append", data):
                log.append(data)
                return False
            case ("put", data):
                log.sync(log.append(data))
            case ("sync",):
                log.sync()
            case ("write",):
                log.write()
                return False
            case ("trim", before):
                log.trim(before)
            case ("reopen",):
                log.close()
                engine.log = Handle(engine.files).log
        return True

    def state(self, engine):
        log = engine.log
        found = [bytes(frame.payload) for frame in log.read(log.first - 1)]
        if found and found[0][:4].isdigit() and int(found[0][:4]) <= self.trimmed:
            return [payload(number) for number in range(int(found[0][:4]))] + found
        return found

    def model(self, operations):
        return [operation[1] for operation in operations if operation[0] in ("append", "put")]


def three_a_sync(count):
    """What one leader carries for three threads."""
    operations = []
    for number in range(count):
        operations.append(("append", payload(number)))
        if number % 3 == 2:
            operations.append(("sync",))
    return operations


def now_and_then(count):
    """As under "interval": frames are written at once and synced later, also across a roll."""
    operations = []
    for number in range(count):
        operations.append(("append", payload(number)))
        if number % 2:
            operations.append(("write",))
        if number % 7 == 6:
            operations.append(("sync",))
    return [*operations, ("sync",)]


EXTRA = ("put", b"after" + b"!" * (SIZE - 5))


@pytest.mark.slow
@pytest.mark.parametrize("operations", [three_a_sync(240), now_and_then(126)], ids=["three a sync", "now and then"])
def test_the_log_survives_every_power_loss_and_takes_no_crash_for_damage(operations):
    outcome = crash("Log", Frames(), operations, EXTRA, samples=60)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 1_000


def test_a_log_that_is_trimmed_and_reopened_survives_every_power_loss():
    operations = []
    for number in range(60):
        operations.append(("put", payload(number)))
        if number % 10 == 9:
            operations.append(("trim", number - 7))
        if number % 8 == 7:
            operations.append(("reopen",))
    subject = Frames()
    subject.trimmed = 59 - 7
    outcome = crash("Log, trimmed", subject, operations, EXTRA, samples=20)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 300


def test_threads_that_share_a_sync_lose_nothing_that_was_acknowledged():
    def four_threads(files):
        handle = Frames().open(files)

        def write(first):
            for number in range(first, first + 12):
                handle.log.sync(handle.log.append(payload(number)))
                files.mark(payload(number))

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(write, range(0, 48, 12)))
        handle.close()

    def judge(files, acknowledged):
        handle = Frames().open(files)
        found = Frames().state(handle)
        handle.close()
        if len(set(found)) < len(found) or not set(found) <= set(map(payload, range(48))):
            return "a frame is there twice, or was never written"
        return None if set(acknowledged) <= set(found) else "an acknowledged frame is lost"

    outcome = check(four_threads, judge)
    print(f"Log, four threads        {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 100


def test_what_a_killed_process_left_in_the_log_is_made_sure_before_it_is_built_upon():
    outcome = kill_everywhere(Frames(), [*now_and_then(10), ("reopen",), ("put", payload(10))], EXTRA)
    print(f"Log, killed              {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 300


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("operations", [three_a_sync(15), now_and_then(15)], ids=["three a sync", "now and then"])
def test_the_log_is_poisoned_or_unharmed_wherever_the_disk_fails(operations, number, keep):
    assert fail_everywhere(Frames(), operations, number, keep=keep) > 15


def test_the_rule_that_any_later_frame_means_damage_would_refuse_mere_crashes(monkeypatch):
    find_voucher = recovery.frame.find_voucher

    class Naive:
        def __getattr__(self, name):
            return getattr(frame, name)

        def find_voucher(self, data, start, expected, log_id):
            return find_voucher(data, start, 0, log_id)

    frame = recovery.frame
    monkeypatch.setattr(recovery, "frame", Naive())
    outcome = crash("Log, naive damage rule", Frames(), three_a_sync(12), EXTRA, samples=60)
    assert outcome.violations > 0
    assert "Corrupted" in outcome.first


def test_damage_that_a_later_frame_vouches_for_is_never_taken_for_a_crash():
    files = RecordingFileSystem()
    log = Log("/log", files=files, clock=ManualClock(), segment=1 << 16)
    for number in range(6):
        log.sync(log.append(payload(number)))
    ((path, found),) = [(path, found) for path, found in files.image().items() if found is not None]
    log.close()
    data = found.expand()
    for at in range(64, data.index(payload(5)) - 32):  # every byte of every frame but the last
        flipped = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        broken = RecordingFileSystem({"/log": None, path: content(flipped)})
        log = Log("/log", files=broken, clock=ManualClock(), segment=1 << 16)
        assert log.damage is not None, at
        assert log.damage.file == path
        assert log.damage.offset <= at
        assert log.read_only
        assert not log.verify().ok
        with pytest.raises(Corrupted):
            log.append(b"more")
        log.close()
        assert broken.image()[path].expand() == flipped  # not touched


@pytest.mark.slow
def test_every_flipped_byte_of_a_closed_log_is_named_or_harmless():
    subject, operations = Frames(), three_a_sync(24)
    files = RecordingFileSystem()
    workload(subject, operations)(files)
    counts = flip_every_byte(subject, files.image(), expected=subject.model(operations))
    print(f"Log: flipped bytes {counts}")  # noqa: T201 - counts are the result
    assert counts["named"] > 24 * SIZE
