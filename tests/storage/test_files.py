"""The real file system and the folder on top of it; both file systems where they must agree."""

import contextlib
import errno
import os
import random
import subprocess
import sys

import pytest
from crash.failing import FailingFileSystem, KilledFileSystem
from crash.journal import content
from crash.recorder import RecordingFileSystem
from crash.states import crash_states

from engines.errors import Invalid, Locked, NotFound, ReadOnly
from engines.storage.files import RealFileSystem, make_folder, read_file, write_atomically
from engines.storage.folder import Folder


@pytest.fixture(params=["real", "recorder"])
def place(request, tmp_path):
    """A file system and an empty folder in it."""
    if request.param == "real":
        return RealFileSystem(), str(tmp_path)
    files = RecordingFileSystem({"/place": None})
    return files, "/place"


def test_what_is_written_is_read_and_reads_end_with_the_file(place):
    files, path = place
    fd = files.open(f"{path}/a", create=True)
    files.pwrite(fd, b"hello", 3)
    files.pwrite(fd, memoryview(b"HE"), 3)
    assert files.size(fd) == 8
    assert files.pread(fd, 100, 0) == b"\0\0\0HEllo"
    assert files.pread(fd, 2, 4) == b"El"
    assert files.pread(fd, 2, 8) == b""
    files.truncate(fd, 4)
    assert files.pread(fd, 100, 0) == b"\0\0\0H"
    files.truncate(fd, 6)
    assert files.pread(fd, 100, 0) == b"\0\0\0H\0\0"
    files.fdatasync(fd)
    files.close(fd)
    assert read_file(files, f"{path}/a") == b"\0\0\0H\0\0"


def test_preallocated_space_is_zeros_and_never_shrinks_a_file(place):
    files, path = place
    fd = files.open(f"{path}/a", create=True)
    files.pwrite(fd, b"abc", 0)
    files.preallocate(fd, 0, 2)
    assert files.pread(fd, 9, 0) == b"abc"
    files.preallocate(fd, 2, 4)
    assert files.pread(fd, 9, 0) == b"abc\0\0\0"
    files.close(fd)


def test_a_map_shows_the_whole_file_and_an_empty_one_is_empty(place):
    files, path = place
    fd = files.open(f"{path}/a", create=True)
    assert bytes(files.map(fd)) == b""
    files.pwrite(fd, b"abc", 0)
    view = files.map(fd)
    files.close(fd)
    assert view.readonly
    assert bytes(view) == b"abc"


def test_names_come_sorted_and_follow_renames(place):
    files, path = place
    for name in ("b", "a", "c"):
        files.close(files.open(f"{path}/{name}", create=True))
    make_folder(files, f"{path}/d")
    make_folder(files, f"{path}/d")
    files.rename(f"{path}/a", f"{path}/d/z")
    files.unlink(f"{path}/b")
    assert files.listdir(path) == ["c", "d"]
    assert files.listdir(f"{path}/d") == ["z"]
    assert files.is_directory(f"{path}/d")
    assert not files.is_directory(f"{path}/c")
    assert files.exists(f"{path}/c")
    assert not files.exists(f"{path}/a")
    files.fsync_dir(path)


def test_what_is_not_there_or_there_already_is_an_os_error(place):
    files, path = place
    with pytest.raises(FileNotFoundError):
        files.open(f"{path}/a")
    with pytest.raises(FileNotFoundError):
        files.unlink(f"{path}/a")
    with pytest.raises(FileNotFoundError):
        files.rename(f"{path}/a", f"{path}/b")
    with pytest.raises(FileNotFoundError):
        files.listdir(f"{path}/a")
    files.close(files.open(f"{path}/a", create=True, exclusive=True))
    with pytest.raises(FileExistsError):
        files.open(f"{path}/a", create=True, exclusive=True)
    with pytest.raises(NotADirectoryError):
        files.listdir(f"{path}/a")


def test_a_lock_is_held_by_one_and_free_after_its_release(place):
    files, path = place
    lock = files.lock(f"{path}/lock")
    with pytest.raises(Locked, match=r"this process has .* open for writing already: use that object") as caught:
        files.lock(f"{path}/lock")
    assert caught.value.process == os.getpid()
    lock.release()
    lock.release()
    files.lock(f"{path}/lock").release()


def test_a_lock_names_the_other_process_and_dies_with_it(tmp_path):
    hold = (
        "import sys; from engines.storage.files import RealFileSystem as F; l = F().lock(sys.argv[1]); "
        "print('held', flush=True); input()"
    )
    other = subprocess.Popen(  # noqa: S603 - our own lines
        [sys.executable, "-c", hold, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(Locked, match=f"in process {other.pid}: close it there") as caught:
        RealFileSystem().lock(str(tmp_path / "lock"))
    assert caught.value.process == other.pid
    other.kill()
    other.communicate()
    RealFileSystem().lock(str(tmp_path / "lock")).release()


def test_write_atomically_replaces_a_file_and_what_a_crash_left(place):
    files, path = place
    files.pwrite(files.open(f"{path}/a.tmp", create=True), b"left over, longer than the new", 0)
    write_atomically(files, f"{path}/a", b"old")
    write_atomically(files, f"{path}/a", b"new")
    assert read_file(files, f"{path}/a") == b"new"
    assert files.listdir(path) == ["a"]


@pytest.mark.parametrize("n", range(1, 7))
def test_write_atomically_leaves_the_old_file_wherever_it_fails_before_the_rename(n):
    files = RecordingFileSystem({"/a": content(b"old")})
    with pytest.raises(OSError, match="error"):
        write_atomically(FailingFileSystem(files, n), "/a", b"new")
    assert read_file(files, "/a") == (b"old" if n < 6 else b"new")  # the 6th is the sync of the directory


def test_a_short_write_of_the_kernel_is_repeated(tmp_path, monkeypatch):
    files = RealFileSystem()
    fd = files.open(str(tmp_path / "a"), create=True)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, bytes(data)[:3], offset))
    files.pwrite(fd, b"0123456789", 2)
    monkeypatch.undo()
    assert files.pread(fd, 99, 0) == b"\0\x000123456789"
    files.close(fd)


def test_a_short_read_of_the_kernel_is_continued(tmp_path, monkeypatch):
    files = RealFileSystem()
    fd = files.open(str(tmp_path / "a"), create=True)
    files.pwrite(fd, b"0123456789", 0)
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: real(fd, min(length, 3), offset))
    assert files.pread(fd, 8, 1) == b"12345678"
    assert files.pread(fd, 20, 1) == b"123456789"
    monkeypatch.undo()
    files.close(fd)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSPC])
def test_preallocation_is_left_out_where_it_is_not_supported_but_a_full_disk_is_told(tmp_path, monkeypatch, number):
    def refuse(*_arguments):
        raise OSError(number, os.strerror(number))

    files = RealFileSystem()
    fd = files.open(str(tmp_path / "a"), create=True)
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    if number == errno.ENOSPC:
        with pytest.raises(OSError, match="No space left"):
            files.preallocate(fd, 0, 10)
    else:
        files.preallocate(fd, 0, 10)
    files.close(fd)


def test_a_file_without_write_permission_is_opened_to_read(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "a").chmod(0o444)
    files = RealFileSystem()
    fd = files.open(str(tmp_path / "a"))
    assert files.pread(fd, 9, 0) == b"abc"
    files.close(fd)


def test_a_new_folder_is_marked_and_a_known_one_opens_again(place):
    files, path = place
    Folder(f"{path}/s", "kv", 1, files, read_only=False).close()
    assert read_file(files, f"{path}/s/ENGINE") == b"kv 1\n"
    assert files.listdir(f"{path}/s") == ["ENGINE", "lock"]
    Folder(f"{path}/s", "kv", 2, files, read_only=True).close()
    folder = Folder(f"{path}/s", "kv", 1, files, read_only=False)
    with pytest.raises(Locked):
        Folder(f"{path}/s", "kv", 1, files, read_only=False)
    folder.close()
    folder.close()


def test_a_folder_that_is_refused_is_not_touched_and_not_locked(place):
    files, path = place
    make_folder(files, f"{path}/s")
    write_atomically(files, f"{path}/s/thesis.txt", b"precious")
    write_atomically(files, f"{path}/file", b"")
    Folder(f"{path}/g", "graph", 1, files, read_only=False).close()
    Folder(f"{path}/new", "kv", 3, files, read_only=False).close()
    make_folder(files, f"{path}/odd")
    write_atomically(files, f"{path}/odd/ENGINE", b"what is this")
    for name, error, sentence in [
        ("s", Invalid, r"holds no kv store .* nothing was created"),
        ("file", Invalid, r"is a file; the kv engine keeps its data in a folder"),
        ("g", Invalid, r"belongs to the graph engine, not to kv: open it with engines.graph"),
        ("new", Invalid, r"has format version 3, this release of kv reads up to 2: upgrade"),
        ("odd", Invalid, r"does not say which engine this is"),
        ("none/s", NotFound, r"does not exist: create it first"),
    ]:
        for _ in range(2):  # a second time: the first has left no lock behind
            with pytest.raises(error, match=sentence):
                Folder(f"{path}/{name}", "kv", 2, files, read_only=False)
    assert "ENGINE" not in files.listdir(f"{path}/s")
    assert not files.exists(f"{path}/none")


def test_a_folder_opened_to_read_creates_nothing(place):
    files, path = place
    with pytest.raises(NotFound, match="open it without read_only=True to create one"):
        Folder(f"{path}/s", "kv", 1, files, read_only=True)
    make_folder(files, f"{path}/empty")
    with pytest.raises(Invalid, match="holds no kv store"):
        Folder(f"{path}/empty", "kv", 1, files, read_only=True)
    assert files.listdir(path) == ["empty"]
    assert files.listdir(f"{path}/empty") == []


def test_a_folder_whose_creation_was_cut_short_is_completed():
    recorder = RecordingFileSystem({"/s": None, "/s/lock": content(b""), "/s/ENGINE.tmp": content(b"k")})
    Folder("/s", "kv", 1, recorder, read_only=False).close()
    assert recorder.listdir("/s") == ["ENGINE", "lock"]


def test_a_folder_is_on_disk_once_it_is_open_wherever_an_earlier_process_was_killed():
    for n in range(1, 100):
        recorder = RecordingFileSystem()
        killed = KilledFileSystem(recorder, n)
        with contextlib.suppress(ReadOnly):
            Folder("/s", "kv", 1, killed, read_only=False).close()
        Folder("/s", "kv", 1, recorder, read_only=False).close()
        for image in crash_states(recorder.journal, len(recorder.journal), random.Random(0)):  # noqa: S311 - the same images in each run
            assert image["/s/ENGINE"] == content(b"kv 1\n"), n
        if not killed.failed:
            break
    assert n > 5
