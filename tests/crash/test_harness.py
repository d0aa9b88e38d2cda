"""The harness proves itself: it finds nothing in a store that is right, and something in every one that is wrong."""

import contextlib
import errno
import random
import time

import lmdb
import pytest
from crash.failing import FailingFileSystem
from crash.journal import Sync, content
from crash.recorder import SHM, RecordingFileSystem
from crash.states import check, crash_states
from crash.stores import BUGS, VALUES, Store, oracle, workload

from engines.errors import Locked


def test_the_good_store_survives_every_power_loss():
    began = time.perf_counter()
    outcomes = [check(workload(), oracle(), seed, samples=50) for seed in range(3)]
    images = sum(outcome.images for outcome in outcomes)
    print(f"good store {images} images, {images / (time.perf_counter() - began):,.0f} a second")  # noqa: T201 - the result
    assert [outcome.first for outcome in outcomes] == [None, None, None]
    assert images > 1_000


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug != "sync tried again"])
def test_every_bad_store_is_caught(bug):
    outcome = check(workload(bug), oracle(bug))
    print(f"{bug:14} {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations > 0


def test_a_sync_that_is_tried_again_after_it_failed_is_caught():
    violations = {"": 0, "sync tried again": 0}
    for bug in violations:
        for n in range(1, 40):

            def with_a_failing_disk(files, n=n, bug=bug):
                with contextlib.suppress(OSError):
                    workload(bug)(FailingFileSystem(files, n))

            violations[bug] += check(with_a_failing_disk, oracle(bug), samples=4).violations
    assert violations[""] == 0
    assert violations["sync tried again"] > 0


def test_the_same_seed_gives_the_same_disks():
    assert check(workload(), oracle(), 7) == check(workload(), oracle(), 7)


def test_a_synced_write_is_in_every_state_and_an_unsynced_one_in_any_subset():
    files = RecordingFileSystem()
    fd = files.open("/a", create=True)
    files.fsync_dir("/")
    files.pwrite(fd, b"A" * 512, 0)
    files.fdatasync(fd)
    files.pwrite(fd, b"B" * 512, 512)
    files.pwrite(fd, b"C" * 512, 1024)
    found = {state["/a"].expand() for state in _states(files)}
    assert {data[:512] for data in found} == {b"A" * 512}
    assert b"A" * 512 in found  # neither
    assert b"A" * 512 + bytes(512) + b"C" * 512 in found  # only the later one
    assert b"A" * 512 + b"B" * 512 + b"C" * 512 in found
    assert any(0 < data.count(b"B") < 512 for data in found)  # torn
    assert b"A" * 512 + bytes(512) in found  # the length without the bytes


def test_a_write_over_several_sectors_is_torn_between_them_only():
    files = RecordingFileSystem({"/a": content(b"-" * 2048)})
    files.pwrite(files.open("/a"), b"X" * 1536, 256)
    for state in _states(files):
        data = state["/a"].expand()
        assert len(data) == 2048
        assert all(len({*data[low:high]}) == 1 for low, high in [(0, 256), (256, 512), (512, 1024), (1024, 1536)])


def test_a_rename_is_atomic_and_unsure_until_the_directory_is_synced():
    files = RecordingFileSystem({"/old": content(b"new bytes"), "/name": content(b"old bytes")})
    files.rename("/old", "/name")
    found = [{path: entry.expand() for path, entry in state.items()} for state in _states(files)]
    assert len(found) == 2
    assert {"/name": b"new bytes"} in found
    assert {"/old": b"new bytes", "/name": b"old bytes"} in found
    files.fsync_dir("/")
    assert [sorted(state) for state in _states(files)] == [["/name"]]


def test_a_folder_that_was_not_synced_takes_its_files_with_it():
    files = RecordingFileSystem()
    files.mkdir("/f")
    files.fdatasync(files.open("/f/a", create=True))
    files.fsync_dir("/f")
    assert [sorted(state) for state in _states(files)] == [[], ["/f", "/f/a"]]


def test_directories_do_not_wait_for_each_other():
    files = RecordingFileSystem({"/f": None, "/g": None})
    for name in ("/f/1", "/f/2", "/g/1"):
        files.open(name, create=True)
    found = [{path for path in state if path.count("/") == 2} for state in _states(files)]
    assert len(found) == 6
    assert {"/g/1"} in found
    assert {"/f/1", "/f/2"} in found
    assert {"/f/2"} not in found


def test_a_failed_sync_loses_what_was_unsynced_even_when_the_next_one_succeeds():
    files = RecordingFileSystem({"/a": content(b"sure")})
    fd = files.open("/a")
    files.pwrite(fd, b"lost", 0)
    with pytest.raises(OSError, match="error"):
        FailingFileSystem(files, 1).fdatasync(fd)
    files.fdatasync(fd)
    assert [state["/a"].expand() for state in _states(files)] == [b"sure"]
    assert files.image()["/a"].expand() == b"lost"  # a mere kill -9 leaves what the page cache holds


def test_a_preallocated_megabyte_costs_nothing_and_reads_as_zeros():
    files = RecordingFileSystem()
    fd = files.open("/a", create=True)
    files.preallocate(fd, 0, 1 << 20)
    files.pwrite(fd, b"x", 10)
    assert files.size(fd) == 1 << 20
    assert files.pread(fd, 20, 5) == bytes(5) + b"x" + bytes(14)
    assert files.pread(fd, 20, (1 << 20) - 3) == bytes(3)
    assert len(files.map(fd)) == 1 << 20
    assert files.image()["/a"] == (bytes(10) + b"x", 1 << 20)
    files.truncate(fd, 4)
    assert (files.size(fd), files.pread(fd, 9, 0)) == (4, bytes(4))


def test_the_recorder_refuses_what_the_operating_system_refuses():
    files = RecordingFileSystem({"/f": None, "/f/a": content(b"")})
    with pytest.raises(FileNotFoundError):
        files.open("/f/b")
    with pytest.raises(FileNotFoundError):
        files.open("/g/b", create=True)
    with pytest.raises(FileExistsError):
        files.open("/f/a", create=True, exclusive=True)
    with pytest.raises(FileExistsError):
        files.mkdir("/f")
    with pytest.raises(IsADirectoryError):
        files.open("/f")
    with pytest.raises(NotADirectoryError):
        files.listdir("/f/a")
    with pytest.raises(OSError, match="Bad file descriptor"):
        files.pread(3, 1, 0)
    lock = files.lock("/f/lock")
    with pytest.raises(Locked):
        files.lock("/f/lock")
    lock.release()
    files.lock("/f/lock").release()


def test_a_commit_of_lmdb_is_one_step_and_needs_its_directory_entry():
    files = RecordingFileSystem({"/t": None})
    environment = files.environment("/t", lib_version=1, map_size=1 << 24, max_dbs=8)
    files.fsync_dir("/t")
    for value in (b"one", b"two"):
        transaction = environment.begin(write=True)
        transaction.put(b"key", value)
        files.commit(environment, transaction)
        files.mark(value)
    transaction = environment.begin(write=True)
    transaction.put(b"key", b"never committed")
    transaction.abort()
    environment.close()
    assert _value(RecordingFileSystem(files.image())) == b"two"
    found = []
    for upto, _ in enumerate(files.journal):
        states = list(crash_states(files.journal, upto + 1, random.Random(0)))  # noqa: S311 - the same in each run
        if type(files.journal[upto]).__name__ in ("Replace", "Mark"):
            assert len(states) == 1
            found.append(_value(RecordingFileSystem(states[0])))
    assert found == [b"one", b"one", b"two", b"two"]


def test_the_folders_of_lmdb_environments_go_with_the_recorder(tmp_path):
    files = RecordingFileSystem()
    environment = files.environment("/t", map_size=1 << 20)
    folder = environment.path()
    environment.close()
    assert SHM is None or folder.startswith(SHM)
    assert lmdb.open(folder, create=False, map_size=1 << 20).close() is None
    del files
    with pytest.raises(lmdb.Error):
        lmdb.open(folder, create=False, map_size=1 << 20)


@pytest.mark.parametrize("keep", [False, True])
def test_the_nth_change_fails_and_later_ones_as_asked(keep):
    files = FailingFileSystem(RecordingFileSystem(), 3, errno.ENOSPC, keep=keep)
    files.mkdir("/f")
    fd = files.open("/f/a", create=True)
    with pytest.raises(OSError, match="No space left"):
        files.pwrite(fd, b"12345678", 0)
    assert files.pread(fd, 10, 0) == b"1234"  # half of it was written
    if keep:
        with pytest.raises(OSError, match="No space left"):
            files.fdatasync(fd)
    else:
        files.fdatasync(fd)
    assert files.failed == ["pwrite", "fdatasync"][: 1 + keep]


def test_the_good_store_is_unharmed_wherever_the_disk_fails():
    for n in range(1, 1000):
        recorder = RecordingFileSystem()
        files = FailingFileSystem(recorder, n)
        with contextlib.suppress(OSError):
            workload()(files)
        if not files.failed:
            break
        acknowledged = [operation.what for operation in recorder.journal if hasattr(operation, "what")]
        found = Store(RecordingFileSystem(recorder.image())).values
        assert found == VALUES[: len(found)]
        assert len(found) >= max(acknowledged, default=0)
    assert not files.failed
    assert n > 20
    assert any(isinstance(operation, Sync) for operation in recorder.journal)


def _states(files):
    return list(crash_states(files.journal, len(files.journal), random.Random(0), 60))  # noqa: S311 - the same in each run


def _value(files):
    environment = files.environment("/t", lib_version=1, map_size=1 << 24, max_dbs=8)
    with environment.begin() as transaction:
        value = transaction.get(b"key")
    environment.close()
    files.close_all()
    return value
