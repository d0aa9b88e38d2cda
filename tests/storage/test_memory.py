"""The file system of engines without a path: memory files, one flat name space."""

import pytest

from engines.clock import ManualClock
from engines.storage.files import read_file, write_atomically
from engines.storage.log import Log
from engines.storage.memory import MemoryFileSystem


@pytest.fixture
def files():
    files = MemoryFileSystem()
    yield files
    files.close_all()


def test_a_file_is_there_from_its_creation_to_its_removal(files):
    with pytest.raises(FileNotFoundError):
        files.open("/a")
    fd = files.open("/a", create=True)
    files.pwrite(fd, b"bytes", 0)
    files.close(fd)
    assert files.exists("/a")
    assert read_file(files, "/a") == b"bytes"
    with pytest.raises(FileExistsError):
        files.open("/a", create=True, exclusive=True)
    files.unlink("/a")
    assert not files.exists("/a")


def test_a_rename_takes_the_place_of_what_was_there(files):
    for data in (b"old", b"new"):
        write_atomically(files, "/folder/name", data)
    assert read_file(files, "/folder/name") == b"new"
    assert files.listdir("/folder") == ["name"]
    assert files.is_directory("/folder")


def test_a_log_lives_in_memory(files):
    log = Log("/log", files=files, clock=ManualClock(), segment=4096)
    for i in range(100):
        log.append(b"%d" % i * 50)
    log.sync()
    assert len(files.listdir("/log")) > 2
    log.trim(50)
    log.close()
    log = Log("/log", files=files, clock=ManualClock(), segment=4096)
    assert bytes(next(log.read(98)).payload) == b"98" * 50
    log.close()
