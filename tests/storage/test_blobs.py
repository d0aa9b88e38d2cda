"""Blobs, refs, manifests and garbage collection: what has a name is whole, and what a root reaches stays."""

import errno
import hashlib
import threading
from itertools import pairwise

import numpy as np
import pytest
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem
from crash.states import check
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engines.clock import ManualClock
from engines.errors import Conflict, Corrupted, Invalid, NotFound, Poisoned
from engines.storage.blobs import Blobs, Collected, Copied
from engines.storage.files import RealFileSystem
from engines.storage.garbage import gc, reach
from engines.storage.manifest import Manifest, children_of
from engines.storage.refs import ABSENT, Refs

MISSING = "0" * 64


def name(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


@pytest.fixture(params=["folder", "memory"])
def blobs(request, tmp_path):
    return Blobs(tmp_path / "blobs" if request.param == "folder" else None)


@pytest.fixture(params=["folder", "memory"])
def refs(request, tmp_path):
    return Refs(tmp_path / "refs" if request.param == "folder" else None)


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


# ---- refs


def test_a_ref_points_to_what_was_set_last(refs):
    assert refs.get("HEAD") is None
    refs.set("HEAD", name(b"1"))
    refs.set("HEAD", name(b"2"), expected=name(b"1"))
    refs.set("snapshot/monday", refs.get("HEAD"))
    refs.set("snapshot/old/one", name(b"3"), expected=ABSENT)
    assert refs.get("HEAD") == refs.get("snapshot/monday") == name(b"2")
    assert refs.names() == ["HEAD", "snapshot/monday", "snapshot/old/one"]
    assert refs.names("snapshot/") == ["snapshot/monday", "snapshot/old/one"]
    assert refs.get("snapshot") is None
    assert refs.get("HEAD/x") is None
    assert "snapshot/monday" in refs.suggestion("snapshot/mondy")


def test_a_ref_that_moved_is_a_conflict_and_stays(refs):
    refs.set("HEAD", name(b"1"))
    for expected in (name(b"2"), ABSENT):
        with pytest.raises(Conflict) as caught:
            refs.set("HEAD", name(b"3"), expected=expected)
        assert caught.value.found == name(b"1")
        assert caught.value.retry
    with pytest.raises(Conflict, match="nothing"):
        refs.set("other", name(b"3"), expected=name(b"1"))
    assert refs.get("HEAD") == name(b"1")
    assert refs.names() == ["HEAD"]


def test_a_deleted_ref_is_gone(refs):
    refs.set("snapshot/monday", name(b"1"))
    assert refs.delete("snapshot/monday")
    assert not refs.delete("snapshot/monday")
    assert not refs.delete("snapshot")
    assert refs.names() == []
    assert refs.get("snapshot/monday") is None


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "a/../b",
        "a//b",
        "a/",
        ".hidden",
        "a\\b",
        "a\0b",
        "a\n",
        "é",
        "x.tmp",
        "a" * 101,
        "-a",
    ],
)
def test_a_name_with_tricks_is_refused(refs, bad):
    for call in (refs.get, refs.delete, lambda n: refs.set(n, name(b"1"))):
        with pytest.raises(Invalid, match="name is made of"):
            call(bad)


def test_a_name_is_a_ref_or_a_folder_not_both(refs):
    refs.set("snapshot/monday", name(b"1"))
    for clash in ("snapshot", "snapshot/monday/early"):
        with pytest.raises(Invalid, match="folder of other refs"):
            refs.set(clash, name(b"1"))
    assert refs.names() == ["snapshot/monday"]


def test_a_ref_points_only_to_digests(refs):
    with pytest.raises(Invalid, match="digest"):
        refs.set("HEAD", "latest")


def test_every_changed_byte_of_a_ref_is_found(tmp_path):
    refs = Refs(tmp_path)
    refs.set("HEAD", name(b"1"))
    file = tmp_path / "HEAD"
    data = file.read_bytes()
    assert len(data) == 74
    damaged = [data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :] for i in range(74) for bit in (0, 5, 7)]
    for changed in [*damaged, b"", data[:-1], data + b"\n", data[:64] + b"\n"]:
        file.write_bytes(changed)
        with pytest.raises(Corrupted, match="HEAD"):
            refs.get("HEAD")


# ---- manifests


def test_equal_content_has_an_equal_name_in_whatever_order_it_was_made():
    a = Manifest(items=((MISSING, 5, {"rows": 1, "low": {"b": 1, "a": 2}}),), kind="pages", sequence=7, time=9)
    b = Manifest(items=((MISSING, 5, {"low": {"a": 2, "b": 1}, "rows": 1}),), time=9, sequence=7, kind="pages")
    assert a.encode() == b.encode()
    assert Manifest.decode(a.encode()) == a


def test_a_manifest_is_a_blob_and_knows_its_own(blobs):
    digest = blobs.put(b"hello")
    manifest = Manifest(items=((digest, 5, 3), (digest, 5, 4)), kind="segments", parent=MISSING)
    read = Manifest.read(blobs, manifest.put(blobs))
    assert read == manifest
    assert list(read.digests()) == [digest, digest]
    assert read.size() == 5


@given(st.binary(max_size=200))
def test_bytes_that_are_no_manifest_are_corrupted_and_nothing_else(data):
    with pytest.raises(Corrupted):
        Manifest.decode(data)


@pytest.mark.parametrize("item", [(), (MISSING,), ("x", 1), (MISSING, -1), (MISSING, True), (MISSING, 1.5), (5, 5)])
def test_an_item_has_a_digest_and_a_size(item):
    with pytest.raises(Corrupted, match="item 0"):
        Manifest.decode(Manifest(items=(item,), kind="x").encode())


# ---- garbage


def commit(blobs, refs, datas, parent=None):
    """What every engine's commit is: blobs, manifest, ref, in this order."""
    items = tuple((digest, len(data)) for digest, data in zip(blobs.put_many(datas), datas, strict=True))
    digest = Manifest(items=items, kind="test", parent=parent).put(blobs)
    refs.set("HEAD", digest, expected=parent)
    return digest


def roots(refs):
    return [refs.get(n) for n in refs.names()]


def test_what_no_ref_reaches_is_deleted_after_its_grace(tmp_path):
    blobs, refs, clock = Blobs(tmp_path / "blobs"), Refs(tmp_path / "refs"), ManualClock(10**15)
    first = commit(blobs, refs, [b"a", b"b"])
    refs.set("snapshot/monday", first)
    second = commit(blobs, refs, [b"b", b"c"], first)
    commit(blobs, refs, [b"c", b"d"], second)

    def collect():
        return gc(blobs, roots(refs), children_of(blobs), grace=60, clock=clock)

    assert collect() == Collected(0, 0, 1)  # the second manifest; b and c are in others
    clock.advance(59)
    refs.delete("snapshot/monday")
    assert collect() == Collected(0, 0, 4)  # and now the first, a and b
    size = blobs.size(second)
    clock.advance(1)
    assert collect() == Collected(1, size, 3)
    clock.advance(60)
    assert collect().blobs == 3
    assert {blobs.get(d) for d in blobs.list()} == {b"c", b"d", blobs.get(refs.get("HEAD"))}
    assert collect() == Collected()


def test_a_condemned_blob_that_is_wanted_again_is_pardoned(tmp_path):
    blobs, clock = Blobs(tmp_path / "blobs"), ManualClock()
    digest = blobs.put(b"x")
    assert gc(blobs, [], children_of(blobs), grace=60, clock=clock).condemned == 1
    clock.advance(61)
    assert gc(blobs, [digest], children_of(blobs), grace=60, clock=clock) == Collected()
    assert gc(blobs, [], children_of(blobs), grace=60, clock=clock) == Collected(0, 0, 1)  # from the start again


def test_a_damaged_list_of_the_condemned_only_delays(tmp_path):
    blobs, clock = Blobs(tmp_path / "blobs"), ManualClock()
    blobs.put(b"x")
    gc(blobs, [], children_of(blobs), grace=60, clock=clock)
    clock.advance(61)
    (tmp_path / "blobs" / "condemned").write_bytes(b"\xff\x00")
    assert gc(blobs, [], children_of(blobs), grace=60, clock=clock) == Collected(0, 0, 1)
    clock.advance(60)
    assert gc(blobs, [], children_of(blobs), grace=60, clock=clock).blobs == 1


def test_a_missing_or_damaged_manifest_stops_the_collection_before_it_deletes(tmp_path):
    blobs, refs, clock = Blobs(tmp_path / "blobs"), Refs(tmp_path / "refs"), ManualClock()
    head = commit(blobs, refs, [b"a"])
    blobs.put(b"garbage")
    file = tmp_path / "blobs" / head[:2] / head[2:]
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"\xff")
    with pytest.raises(Corrupted):
        gc(blobs, roots(refs), children_of(blobs), grace=0, clock=clock)
    file.unlink()
    with pytest.raises(NotFound):
        gc(blobs, roots(refs), children_of(blobs), grace=0, clock=clock)
    with pytest.raises(Invalid, match="grace"):
        gc(blobs, [], children_of(blobs), grace=-1, clock=clock)
    assert blobs.has(name(b"garbage"))
    assert blobs.has(name(b"a"))


def test_garbage_in_memory_goes_at_once():
    blobs, refs = Blobs(None), Refs(None)
    head = commit(blobs, refs, [b"a"])
    blobs.put(b"garbage")
    assert gc(blobs, roots(refs), children_of(blobs), clock=ManualClock()) == Collected(1, 7)
    assert set(blobs.list()) == {head, name(b"a")}


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefgh"), max_size=4)), st.text("abcd"))
def test_reach_is_the_transitive_closure(edges, start):
    closure = set(start)
    for _ in "abcdefgh":
        closure |= {child for n in closure for child in edges.get(n, [])}
    assert reach(start, lambda n: edges.get(n, [])) == closure


class Store(RuleBasedStateMachine):
    """Commits, snapshots, deletions and collections against a dict of what each ref must still read."""

    def __init__(self):
        super().__init__()
        self.files = RecordingFileSystem()
        self.open()
        self.clock = ManualClock()
        self.model = {}

    def open(self):
        self.blobs, self.refs = Blobs("/blobs", files=self.files), Refs("/refs", files=self.files)

    @rule(datas=st.lists(st.binary(max_size=2), max_size=4))
    def commit(self, datas):
        commit(self.blobs, self.refs, datas, self.refs.get("HEAD"))
        self.model["HEAD"] = sorted(datas)

    @rule(n=st.integers(0, 3))
    def snapshot(self, n):
        if "HEAD" in self.model:
            self.refs.set(f"snapshot/{n}", self.refs.get("HEAD"))
            self.model[f"snapshot/{n}"] = self.model["HEAD"]

    @rule(n=st.integers(0, 3))
    def drop(self, n):
        assert self.refs.delete(f"snapshot/{n}") == (self.model.pop(f"snapshot/{n}", None) is not None)

    @rule(grace=st.sampled_from([0, 30]), seconds=st.integers(0, 40))
    def collect(self, grace, seconds):
        self.clock.advance(seconds)
        gc(self.blobs, roots(self.refs), children_of(self.blobs), grace=grace, clock=self.clock)
        if grace == 0:
            manifests = {self.refs.get(n) for n in self.model}
            datas = {name(d) for wanted in self.model.values() for d in wanted}
            assert set(self.blobs.list()) == manifests | datas

    @rule()
    def reopen(self):
        self.open()

    @invariant()
    def every_ref_reads_what_it_was_given(self):
        assert self.refs.names() == sorted(self.model)
        for ref, datas in self.model.items():
            manifest = Manifest.read(self.blobs, self.refs.get(ref))
            assert sorted(self.blobs.get(d) for d in manifest.digests()) == datas


TestStore = Store.TestCase


# ---- crashes and failing disks

DATAS = [[b"%d" % n * 600, b"shared", *(b"%d %d" % (n // 2, i) * 300 for i in range(6))] for n in range(6)]


def workload(files):
    """Six commits, a snapshot and two collections; acknowledged: how many commits, and the snapshot."""
    blobs, refs, clock = Blobs("/blobs", files=files), Refs("/refs", files=files), ManualClock()
    for n, datas in enumerate(DATAS):
        commit(blobs, refs, datas, refs.get("HEAD"))
        files.mark(n + 1)
        if n == 2:
            refs.set("snapshot/monday", refs.get("HEAD"))
            files.mark("monday")
        if n in (3, 4):
            gc(blobs, roots(refs), children_of(blobs), grace=0, clock=clock)
            files.mark(f"collected {n}")


def read(files):
    """The number of commits that HEAD shows, and what the snapshot holds."""
    blobs, refs = Blobs("/blobs", files=files), Refs("/refs", files=files)
    assert blobs.verify().ok, "a name points at other bytes"
    assert not blobs.sweep(blobs.list()).blobs
    found = {n: [blobs.get(d) for d in Manifest.read(blobs, refs.get(n)).digests()] for n in refs.names()}
    return DATAS.index(found["HEAD"]) + 1 if "HEAD" in found else 0, found.get("snapshot/monday")


def oracle(files, acknowledged):
    count, monday = read(files)
    sure = max((n for n in acknowledged if isinstance(n, int)), default=0)
    if not sure <= count <= sure + 1:
        return f"{count} commits found, {sure} acknowledged"
    if monday != DATAS[2] and (monday is not None or "monday" in acknowledged):
        return f"the snapshot holds {monday}"
    blobs, refs = Blobs("/blobs", files=files), Refs("/refs", files=files)
    gc(blobs, roots(refs), children_of(blobs), grace=0, clock=ManualClock())
    commit(blobs, refs, DATAS[5], refs.get("HEAD"))
    if read(RecordingFileSystem(files.image())) != (6, monday):
        return "the second recovery finds something else"
    return None


def test_after_a_power_loss_every_ref_reads_all_that_it_names():
    outcome = check(workload, oracle, samples=24)
    assert outcome.violations == 0, outcome
    assert outcome.images > 900


class Forgetful:
    """A file system on which one call does nothing, to show that the oracle would notice."""

    def __init__(self, inner, skip):
        self._inner = inner
        setattr(self, skip, lambda *args: None)

    def __getattr__(self, attribute):
        return getattr(self._inner, attribute)


@pytest.mark.parametrize("skip", ["fdatasync", "fsync_dir"])
def test_the_oracle_finds_a_forgotten_sync(skip):
    outcome = check(lambda files: workload(Forgetful(files, skip)), oracle, samples=1)
    assert outcome.violations > 0


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("keep", [False, True])
def test_wherever_the_disk_fails_a_reopened_store_reads_a_prefix(number, keep):
    failed = set()
    for n in range(1, 200):
        disk = RecordingFileSystem()
        files = FailingFileSystem(disk, n, number, keep=keep)
        try:
            workload(files)
        except (OSError, Poisoned):
            pass
        else:
            break
        failed.add(files.failed[0])
        acknowledged = [operation.what for operation in disk.journal if hasattr(operation, "what")]
        assert oracle(RecordingFileSystem(disk.image()), acknowledged) is None, (n, files.failed)
    assert failed >= {"mkdir", "open", "pwrite", "fdatasync", "rename", "fsync_dir"}
    assert n > 60


def test_after_a_failed_directory_sync_nothing_more_is_promised():
    disk = RecordingFileSystem()
    failing = [n for n in range(1, 12) if fails_at(FailingFileSystem(disk, n), n) == "fsync_dir"]
    assert failing
    files = FailingFileSystem(RecordingFileSystem(), failing[0])
    blobs = Blobs("/blobs", files=files)
    with pytest.raises(OSError, match="Input/output"):
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
    except OSError:
        return files.failed[0]
    return ""


def test_versions_differ_by_what_changed():
    blobs, refs = Blobs(None), Refs(None)
    heads = [commit(blobs, refs, datas, refs.get("HEAD")) for datas in DATAS]
    for old, new in pairwise(heads):
        there = Blobs(None)
        blobs.copy_missing(there, reach([old], children_of(blobs)))
        moved = blobs.copy_missing(there, reach([new], children_of(blobs)))
        assert moved.blobs in (2, 8)  # the manifest, and one or all but one of the items
