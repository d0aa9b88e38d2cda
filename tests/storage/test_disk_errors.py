"""Wherever the disk refuses, what leaves an engine is a sentence of its own with a code, and never a bare OSError."""

import errno
import os
import random
from functools import partial

import lmdb
import pytest
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem
from crash.watched import WatchedFileSystem
from trees import SMALL

from engines import kv
from engines.clock import ManualClock
from engines.errors import Corrupted, EngineError, Invalid, Locked, Poisoned, ReadOnly
from engines.storage import environment
from engines.storage.blobs import Blobs
from engines.storage.files import RealFileSystem, disk_errors
from engines.storage.folder import Folder
from engines.storage.garbage import gc
from engines.storage.log import Log
from engines.storage.refs import Refs
from engines.storage.tree import Tree

CODES = {"disk-full", "disk-failed", "poisoned", "too-many-files"}
OTHER_CODES = {"conflict", "not-found", "trimmed"}  # what follows from a refusal, or from a disk that was used before
NOTHING = "0" * 64


@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [
        (errno.ENOSPC, "disk-full", "it cannot be: the disk is full (No space left on device); free some space"),
        (errno.EDQUOT, "disk-full", "it cannot be: the disk is full (Disk quota exceeded); free some space"),
        (errno.EMFILE, "too-many-files", "it cannot be: no file can be opened (Too many open files); close some"),
        (errno.ENFILE, "too-many-files", "ulimit -n"),
        (errno.EACCES, "not-permitted", "it cannot be: this user may not do that there (Permission denied); change"),
        (errno.EROFS, "not-permitted", "name another path"),
        (errno.ENOMEM, "no-memory", "there is no memory left (Cannot allocate memory); free some"),
        (errno.EIO, "disk-failed", "it cannot be: the disk failed (Input/output error); look at the disk"),
    ],
)
def test_each_refusal_has_a_code_and_says_what_to_do(number, code, sentence):
    with pytest.raises(ReadOnly) as caught, disk_errors("it cannot be"):
        raise OSError(number, os.strerror(number))
    assert caught.value.code == code
    assert sentence in str(caught.value)


def test_other_errors_pass():
    with pytest.raises(Invalid), disk_errors("it cannot be"):
        raise Invalid("no")
    with pytest.raises(ReadOnly, match=r"disk failed \(odd\);"), disk_errors("it cannot be"):
        raise OSError("odd")


def attempt(*verbs):
    """The codes of those that are refused; what is no EngineError is raised."""
    codes = []
    for verb in verbs:
        try:
            verb()
        except EngineError as refused:
            codes.append(refused.code)
    return codes


def folders(files):
    Folder("/store", "kv", 1, files, read_only=False).close()


def many_blobs(files):
    blobs = Blobs("/blobs", files=files)
    datas = [bytes([i]) * i for i in range(1, 5)]
    there = Blobs(None).put_many(datas)
    attempts = [
        partial(blobs.put, b"one"),
        partial(blobs.put_many, datas),
        partial(blobs.get, there[0]),
        lambda: blobs.copy_missing(Blobs("/others", files=files), there),
        lambda: list(blobs.list()),
        blobs.verify,
        partial(gc, blobs, there[:2], lambda _: (), clock=ManualClock(5)),
        partial(gc, blobs, there[:1], lambda _: (), grace=0, clock=ManualClock(5)),
        partial(blobs.delete, there[0]),
    ]
    return attempt(*attempts)


def many_refs(files):
    refs = Refs("/refs", files=files)
    return attempt(
        partial(refs.set, "HEAD", NOTHING),
        partial(refs.set, "snapshot/one", NOTHING, expected=""),
        partial(refs.get, "snapshot/one"),
        partial(Refs("/refs", files=files).get, "HEAD"),
        refs.names,
        partial(refs.delete, "HEAD"),
    )


def logs(files):
    log = Log("/log", files=files, clock=ManualClock(5), segment=4096)
    refused = attempt(
        *[partial(log.append, b"x" * 1000)] * 8, log.sync, lambda: list(log.read()), log.verify, partial(log.trim, 5)
    )
    return refused + attempt(log.close)


def trees(files):
    tree = Tree("/tree", files=files, map_size=SMALL)

    def write():
        with tree.lock:
            tree.keyspace("a").put(b"k", b"v")

    refused = attempt(
        write, tree.checkpoint, lambda: tree.snapshot().close(), lambda: list(tree.keyspace("a").range()), tree.verify
    )
    return refused + attempt(tree.close)


@pytest.mark.parametrize("work", [folders, many_blobs, many_refs, logs, trees])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_no_call_of_the_disk_that_fails_is_heard_as_it_is(work, number, keep, before):
    for n in range(1, 1000):
        recorder = RecordingFileSystem()
        if before:
            work(recorder)
        files = FailingFileSystem(recorder, n, number, keep=keep)
        try:
            codes = work(files) or []
        except EngineError as refused:
            codes = [refused.code]
        recorder.close_all()
        assert not set(codes) - CODES - OTHER_CODES, files.failed
        if not files.failed:
            assert n > (1 if before else 5)
            return


def shop(files, n=None):
    """All that a store does with files, in a fresh disk; the codes of what is refused. files._left: when it fails."""
    clock = ManualClock(5_000_000)
    codes = []

    def verb(work):
        try:
            return work()
        except EngineError as refused:
            codes.append(refused.code)
            return None

    store = verb(lambda: kv.Store("/shop", clock=clock, files=files))
    if store is not None:
        table = verb(lambda: store.create_table("t", key="id:N", pitr=True))
        if table is not None:
            verb(lambda: table.put({"id": 1, "text": "x"}))
            verb(lambda: table.put({"id": 2, "text": random.Random(1).randbytes(3000)}))  # noqa: S311 - the same bytes
            verb(store.checkpoint)
            verb(lambda: store.snapshot("one", "/far"))
            verb(lambda: store.snapshot("two"))
            verb(lambda: store.drop_snapshot("one"))
            verb(lambda: store.export("t", "/export"))
            verb(lambda: store.import_table("imported", "/export", key="id:N"))
            verb(lambda: store.restore_table("t", to="then", at=clock.now() / 1e6))
            verb(lambda: store.restore_table("t", to="back", snapshot="two"))
            verb(store.snapshots)
            verb(store.verify)
            verb(lambda: table.get(1))
        verb(store.close)
        verb(store.close)
    verb(lambda: kv.Store.restore("/shop", "two", "/again", clock=clock, files=files).close())
    return codes


def calls_of_the_shop():
    files = FailingFileSystem(RecordingFileSystem(), 1_000_000)
    assert shop(files) == []
    return 1_000_000 - files._left


@pytest.mark.parametrize(("number", "keep"), [(errno.ENOSPC, True), (errno.ENOSPC, False), (errno.EIO, False)])
def test_a_store_says_what_the_disk_refuses_whatever_it_was_about_to_do(number, keep):
    calls = calls_of_the_shop()
    assert calls > 100
    for n in range(1, calls + 1, 3 if keep else 2):
        recorder = RecordingFileSystem()
        files = FailingFileSystem(recorder, n, number, keep=keep)
        shop(files)
        assert files.failed
        recorder.close_all()


def test_a_lack_of_descriptors_poisons_no_blobs():
    files = WatchedFileSystem(RecordingFileSystem())
    blobs = Blobs("/blobs", files=files)

    def refuse(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    files.before["fsync_dir"] = refuse
    with pytest.raises(ReadOnly) as caught:
        blobs.put(b"x")
    assert caught.value.code == "too-many-files"
    assert not isinstance(caught.value, Poisoned)
    files.before.clear()
    assert blobs.get(blobs.put(b"x")) == b"x"


def test_a_lock_without_room_for_the_name_of_its_owner_holds_all_the_same(tmp_path, monkeypatch):
    count = len(os.listdir("/proc/self/fd"))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        lock = RealFileSystem().lock(f"{tmp_path}/lock")
    with monkeypatch.context() as patch:
        patch.setattr(type(lock), "_held", {})  # as another process has it
        with pytest.raises(Locked, match="in process unknown"):
            RealFileSystem().lock(f"{tmp_path}/lock")
    with pytest.raises(Locked, match="this process has"):
        RealFileSystem().lock(f"{tmp_path}/lock")
    lock.release()
    assert len(os.listdir("/proc/self/fd")) == count


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_folder_without_the_right_to_write_is_said(tmp_path):
    os.chmod(tmp_path, 0o500)
    with pytest.raises(ReadOnly, match="may not do that") as caught:
        kv.Store(tmp_path / "shop")
    assert caught.value.code == "not-permitted"


class RefusingFileSystem(RealFileSystem):
    """LMDB cannot be opened."""

    def __init__(self, error):
        self.error = error

    def environment(self, path, **options):
        raise self.error


def test_what_lmdb_only_passes_on_is_not_blamed_on_its_file(tmp_path):
    for error, code in (
        (lmdb.DiskError("/t: No space left on device"), "disk-full"),
        (lmdb.Error("/t: Too many open files"), "too-many-files"),
        (lmdb.ReadonlyError("/t: Permission denied"), "not-permitted"),
    ):
        with pytest.raises(ReadOnly, match=r"data\.mdb cannot be opened") as caught:
            Tree(f"{tmp_path}/tree", files=RefusingFileSystem(error), map_size=SMALL)
        assert caught.value.code == code
    with pytest.raises(Corrupted, match="restore a snapshot"):
        Tree(f"{tmp_path}/tree", files=RefusingFileSystem(lmdb.InvalidError("/t: MDB_INVALID")), map_size=SMALL)
    assert environment.disk_refusal(lmdb.CorruptedError("MDB_CORRUPTED: Located page was wrong type")) is None


def test_lmdb_words_its_errors_as_we_expect(tmp_path):
    (tmp_path / "data.mdb").mkdir()
    with pytest.raises(lmdb.Error) as caught:
        lmdb.open(f"{tmp_path}/none", create=False)
    assert str(caught.value).endswith(os.strerror(errno.ENOENT))
