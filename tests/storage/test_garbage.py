"""Commits and garbage: what a ref reaches stays, whatever fails."""

import errno
import hashlib
from itertools import pairwise

import pytest
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem
from crash.states import check
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engines.clock import ManualClock
from engines.errors import Corrupted, Invalid, NotFound, ReadOnly
from engines.storage.blobs import Blobs, Collected
from engines.storage.garbage import gc, reach
from engines.storage.manifest import Manifest, children_of
from engines.storage.refs import Refs


def name(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


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


DATAS = [[b"%d" % n * 600, b"same", *(b"%d %d" % (n // 2, i) * 300 for i in range(6))] for n in range(6)]


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
        except ReadOnly:
            pass
        else:
            break
        failed.add(files.failed[0])
        acknowledged = [operation.what for operation in disk.journal if hasattr(operation, "what")]
        assert oracle(RecordingFileSystem(disk.image()), acknowledged) is None, (n, files.failed)
    assert failed >= {"mkdir", "open", "pwrite", "fdatasync", "rename", "fsync_dir"}
    assert n > 60


def test_versions_differ_by_what_changed():
    blobs, refs = Blobs(None), Refs(None)
    heads = [commit(blobs, refs, datas, refs.get("HEAD")) for datas in DATAS]
    for old, new in pairwise(heads):
        there = Blobs(None)
        blobs.copy_missing(there, reach([old], children_of(blobs)))
        moved = blobs.copy_missing(there, reach([new], children_of(blobs)))
        assert moved.blobs in (2, 8)  # the manifest, and one or all but one of the items
