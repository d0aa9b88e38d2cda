"""Under "interval" a log stores frames straight into its segment's memory: as good as a pwrite, and safe to close."""

import errno
import mmap
import os
import threading

import pytest

from engines.clock import ManualClock
from engines.errors import Closed
from engines.storage.files import KEEPS_WHAT_IT_PREALLOCATES, RealFileSystem, file_system_of
from engines.storage.log import Log


class WithoutMaps(RealFileSystem):
    """A file system that lends no memory."""

    def writable_map(self, fd, length):
        return None


def written(folder, files, payloads, **options):
    log = Log(str(folder), files=files, clock=ManualClock(), durability="interval", **options)
    for payload in payloads:
        log.acknowledge(log.append(payload))
    return log


@pytest.fixture
def mapped(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    kind = file_system_of(fd)
    os.close(fd)
    if kind not in KEEPS_WHAT_IT_PREALLOCATES:
        pytest.skip(f"tests run on {kind}, where logs lend no memory")
    return tmp_path


def test_frames_stored_in_memory_are_in_the_file_when_they_are_acknowledged(mapped):
    payloads = [b"%d" % i * (i % 700) for i in range(3000)]
    log = written(mapped / "log", RealFileSystem(), payloads, segment=1 << 18)
    assert log._segments[-1].mapped  # the way under test
    assert log.written == log.last
    other = Log(str(mapped / "log"), read_only=True)  # through the kernel, not through this log
    assert [bytes(found.payload) for found in other.read()] == payloads
    log.close()


def test_both_ways_write_the_same_bytes(mapped, monkeypatch):
    monkeypatch.setattr(os, "urandom", lambda n: b"\x07" * n)  # one log id
    payloads = [os.urandom(1) * (i * 37 % 900) for i in range(500)]
    for name, files in (("with", RealFileSystem()), ("without", WithoutMaps())):
        log = written(mapped / name, files, payloads, segment=1 << 16)
        log._ticker.stop()  # a sync in between would show in the frames' lag
        log.close()
    for name in sorted(os.listdir(mapped / "with")):
        frames = [[f[2:] for f in Log(str(mapped / way), read_only=True).read()] for way in ("with", "without")]
        assert frames[0] == frames[1]
        assert (mapped / "with" / name).stat().st_size == (mapped / "without" / name).stat().st_size


@pytest.mark.parametrize("durability", ["interval", "commit"])
def test_what_threads_were_told_while_the_log_closed_is_there(mapped, durability):
    for round_ in range(20):
        path = str(mapped / f"{durability} {round_}")
        log = Log(path, durability=durability)
        told = [0, 0, 0]

        def go_on(which, log=log, told=told):
            try:
                while True:
                    sequence = log.append(b"x" * 500)
                    log.acknowledge(sequence)
                    told[which] = sequence
            except Closed:
                return

        threads = [threading.Thread(target=go_on, args=(which,)) for which in range(3)]
        for thread in threads:
            thread.start()
        while not all(told):
            pass
        log.close()
        for thread in threads:
            thread.join()
        again = Log(path)
        assert again.last >= max(told)
        assert again.verify().ok
        again.close()


def test_a_file_that_is_too_short_is_not_lent(tmp_path):
    files = RealFileSystem()
    fd = files.open(str(tmp_path / "file"), create=True)
    assert files.writable_map(fd, 4096) is None
    files.close(fd)


def test_where_no_memory_can_be_lent_frames_are_written(mapped, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOMEM, "no address space")

    monkeypatch.setattr(mmap, "mmap", refuse)
    log = written(mapped / "log", RealFileSystem(), [b"one", b"two"])
    assert log.written == 2
    assert not log._segments[-1].mapped
    log.close()
    assert [bytes(found.payload) for found in Log(str(mapped / "log"), read_only=True).read()] == [b"one", b"two"]
