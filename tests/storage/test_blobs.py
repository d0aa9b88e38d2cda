"""Blobs: what has a name is whole."""

import hashlib
import threading

import numpy as np
import pytest
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import Corrupted, Invalid, NotFound, Poisoned, ReadOnly
from engines.storage.blobs import Blobs, Collected, Copied
from engines.storage.files import RealFileSystem

MISSING = "0" * 64


def name(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


@pytest.fixture(params=["folder", "memory"])
def blobs(request, tmp_path):
    return Blobs(tmp_path / "blobs" if request.param == "folder" else None)


class Counting(RealFileSystem):
    """Counts the calls by name."""

    def __init__(self):
        self.calls = []

    def fsync_dir(self, path):
        self.calls.append("fsync_dir")
        super().fsync_dir(path)

    def pwrite(self, fd, data, offset):
        self.calls.append("pwrite")
        super().pwrite(fd, data, offset)


def test_a_blob_is_named_by_its_content_and_comes_back(blobs):
    digest = blobs.put(b"hello")
    assert digest == name(b"hello")
    assert blobs.get(digest) == b"hello"
    assert bytes(blobs.map(digest)) == b"hello"
    assert blobs.size(digest) == 5
    assert blobs.has(digest)
    assert list(blobs.list()) == [digest]


@given(st.lists(st.binary(max_size=3000), max_size=6))
def test_get_of_put_is_the_same_bytes(parts):
    blobs = Blobs(None)
    digest = blobs.put(parts)
    assert blobs.get(digest) == b"".join(parts)
    assert digest == blobs.put(b"".join(parts)) == name(b"".join(parts))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytearray(b"abc"),
        memoryview(b"abcdef")[::1],
        np.arange(10),
        np.zeros((3, 4)),
        np.zeros(0),
        [],
        [b"ab", b"", b"c"],
    ],
)
def test_anything_made_of_bytes_can_be_stored(blobs, data):
    expected = b"".join(data) if isinstance(data, list) else bytes(data)
    digest = blobs.put(data)
    assert digest == name(expected)
    assert blobs.get(digest) == bytes(blobs.map(digest)) == expected
    assert blobs.verify().ok


def test_text_and_numbers_are_no_bytes(blobs):
    with pytest.raises(TypeError, match="encode"):
        blobs.put("text")
    with pytest.raises(TypeError):
        blobs.put(17)
    assert list(blobs.list()) == []


def test_a_range_is_exactly_that_or_refused(blobs):
    digest = blobs.put(b"0123456789")
    assert blobs.get_range(digest, 3, 4) == b"3456"
    assert blobs.get_range(digest, 10, 0) == b""
    for offset, length in [(8, 3), (-1, 2), (0, -1), (11, 1)]:
        with pytest.raises(Invalid, match="range"):
            blobs.get_range(digest, offset, length)


def test_what_is_not_there_is_not_found_and_what_is_no_digest_is_invalid(blobs):
    for call in (blobs.get, blobs.map, blobs.size):
        with pytest.raises(NotFound, match=MISSING):
            call(MISSING)
    assert not blobs.has(MISSING)
    assert not blobs.delete(MISSING)
    for bad in ("", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, "é" * 64):
        for call in (blobs.get, blobs.map, blobs.size, blobs.has, blobs.delete):
            with pytest.raises(Invalid, match="64 characters"):
                call(bad)


def test_nothing_is_created_before_the_first_put(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    assert list(blobs.list()) == []
    assert blobs.verify().ok
    assert blobs.sweep([]) == Collected()
    assert not (tmp_path / "blobs").exists()


def test_the_same_bytes_are_written_once(tmp_path):
    files = Counting()
    blobs = Blobs(tmp_path / "blobs", files=files)
    blobs.put(b"x")
    written = list(files.calls)
    blobs.put(b"x")
    assert files.calls == written


def test_many_blobs_cost_one_directory_sync_a_folder(tmp_path):
    files = Counting()
    blobs = Blobs(tmp_path / "blobs", files=files)
    digests = blobs.put_many(b"%d" % i for i in range(500))
    folders = len({digest[:2] for digest in digests})
    assert files.calls.count("fsync_dir") == folders + 2  # and the folder of folders, and the one it lies in
    assert [blobs.get(digest) for digest in digests] == [b"%d" % i for i in range(500)]


def test_a_blob_that_another_process_left_unsynced_is_synced_when_it_is_put_again(tmp_path):
    Blobs(tmp_path / "blobs").put(b"x")
    files = Counting()
    Blobs(tmp_path / "blobs", files=files).put(b"x")
    assert files.calls == ["fsync_dir"] * 3


def test_a_changed_byte_is_found_and_named(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    good, bad = blobs.put_many([b"good" * 1000, b"bad" * 1000])
    file = tmp_path / "blobs" / bad[:2] / bad[2:]
    data = bytearray(file.read_bytes())
    data[1234] ^= 1
    file.write_bytes(data)
    for call in (blobs.get, blobs.map):
        with pytest.raises(Corrupted, match=bad) as caught:
            call(bad)
        assert caught.value.file == str(file)
    report = blobs.verify()
    assert (report.checked, [problem.file for problem in report.problems]) == (2, [str(file)])
    assert blobs.get(good) == b"good" * 1000


def test_a_blob_of_another_length_is_replaced_by_putting_it_again(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    digest = blobs.put(b"hello")
    (tmp_path / "blobs" / digest[:2] / digest[2:]).write_bytes(b"hel")
    assert not blobs.verify().ok
    assert blobs.put(b"hello") == digest
    assert blobs.verify().ok


def test_a_mapped_blob_outlives_its_file(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    digest = blobs.put(b"x" * 10_000)
    view = blobs.map(digest)
    assert blobs.delete(digest)
    assert bytes(view) == b"x" * 10_000
    assert not blobs.has(digest)


def test_threads_that_put_the_same_blobs_agree(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    datas = [b"%d" % (i % 40) * 100 for i in range(400)]
    seen = []
    threads = [threading.Thread(target=lambda: seen.append([blobs.put(d) for d in datas])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[name(d) for d in datas]] * 4
    assert blobs.verify().checked == 40
    assert blobs.verify().ok
    assert not list((tmp_path / "blobs").glob("*/*.tmp"))


def test_a_copy_moves_only_what_is_missing(blobs, tmp_path):
    digests = blobs.put_many(b"%d" % i * 100 for i in range(200))
    there = Blobs(tmp_path / "there")
    assert blobs.copy_missing(there, digests[:198]).blobs == 198
    assert blobs.copy_missing(there, digests + digests) == Copied(2, 600)
    assert blobs.copy_missing(there, digests) == Copied()
    assert list(there.list()) == sorted(digests)


def test_an_interrupted_copy_goes_on_where_it_stopped(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr("engines.storage.blobs.BATCH", 1000)
    digests = blobs.put_many(b"%03d" % i * 100 for i in range(20))
    there = Blobs(tmp_path / "there")
    heard = []

    def interrupt(copied):
        heard.append(copied)
        if copied.blobs >= 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blobs.copy_missing(there, digests, progress=interrupt)
    assert heard == [Copied(3, 900), Copied(6, 1800), Copied(9, 2700)]
    assert blobs.copy_missing(Blobs(tmp_path / "there"), digests) == Copied(11, 3300)
    assert there.verify().checked == 20


def test_damage_is_not_copied(tmp_path):
    blobs, there = Blobs(tmp_path / "blobs"), Blobs(tmp_path / "there")
    digest = blobs.put(b"hello")
    (tmp_path / "blobs" / digest[:2] / digest[2:]).write_bytes(b"hellO")
    with pytest.raises(Corrupted):
        blobs.copy_missing(there, [digest])
    with pytest.raises(NotFound):
        blobs.copy_missing(there, [MISSING])
    assert list(there.list()) == []


def test_a_sweep_keeps_what_it_is_told_and_removes_what_a_crash_left(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    kept, lost = blobs.put_many([b"kept", b"lost!"])
    (tmp_path / "blobs" / kept[:2] / "7.tmp").write_bytes(b"half")
    assert blobs.sweep([kept]) == Collected(1, 5)
    assert list(blobs.everything()) == [kept]
    assert not blobs.has(lost)


def test_a_temporary_file_that_a_crash_left_is_in_nobodys_way(tmp_path, monkeypatch):
    blobs = Blobs(tmp_path / "blobs")
    monkeypatch.setattr("engines.storage.blobs._numbers", iter([0, 1]))
    folder = tmp_path / "blobs" / name(b"x")[:2]
    folder.mkdir(parents=True)
    (folder / "0.tmp").write_bytes(b"longer than what comes")
    assert blobs.get(blobs.put(b"x")) == b"x"


def test_after_a_failed_directory_sync_nothing_more_is_promised():
    disk = RecordingFileSystem()
    failing = [n for n in range(1, 12) if fails_at(FailingFileSystem(disk, n), n) == "fsync_dir"]
    assert failing
    files = FailingFileSystem(RecordingFileSystem(), failing[0])
    blobs = Blobs("/blobs", files=files)
    with pytest.raises(Poisoned, match="Input/output"):
        blobs.put(b"x")
    for data in (b"x", b"y"):
        with pytest.raises(Poisoned, match="open it again"):
            blobs.put(data)
    assert blobs.get(name(b"x")) == b"x"
    assert Blobs("/blobs", files=files).put(b"y") == name(b"y")


def fails_at(files, n):
    """The name of the n-th changing call of a put into an empty store, the put included."""
    try:
        Blobs(f"/blobs{n}", files=files).put(b"x")
    except ReadOnly:
        return files.failed[0]
    return ""
