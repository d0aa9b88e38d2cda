"""Blobs and Refs under power loss: a commit is put_many, a manifest, HEAD; a snapshot is a second ref; gc sweeps."""

import errno

import pytest
from crash.recorder import RecordingFileSystem
from crash.rules import Subject, crash, fail_everywhere, flip_every_byte, kill_everywhere, workload

from engines.clock import ManualClock
from engines.errors import NotFound
from engines.storage.blobs import Blobs
from engines.storage.files import make_folder
from engines.storage.garbage import gc
from engines.storage.manifest import Manifest, children_of
from engines.storage.refs import ABSENT, Refs


def data(number):
    """Small, over a sector, over several; every fifth is one that was put before."""
    return b"%d " % (number - number % 5 // 4) * [20, 200, 500][number % 3]


def manifest_of(digests, datas):
    items = [(digest, len(datum)) for digest, datum in zip(digests, datas, strict=True)]
    return Manifest(items=tuple(items), kind="test")


OPERATIONS = [
    operation
    for number in range(0, 48, 4)
    for operation in (
        ("commit", tuple(map(data, range(number, number + 4)))),
        ("put", data(number + 100)),
        ("snapshot", f"monday-{number}"),
        ("collect",),
        ("commit", tuple(map(data, range(number + 2, number + 4)))),
        ("drop", f"monday-{number - 8}"),
    )
]
EXTRA = ("commit", (b"after", data(3)))


class Store(Subject):
    """State: what each ref leads to, in full, and which of the blobs put alone are there."""

    def open(self, files):
        make_folder(files, "/store")
        return Blobs("/store/blobs", files=files), Refs("/store/refs", files=files)

    def do(self, engine, operation):
        blobs, refs = engine
        match operation:
            case ("commit", datas):
                self.commit(blobs, refs, datas)
            case ("put", datum):
                refs.set("alone", blobs.put(datum))  # named, or gc would take it
            case ("snapshot", name):
                head = refs.get("HEAD")
                if head is None:
                    raise NotFound("there is no HEAD to take a snapshot of")
                refs.set(f"snapshot/{name}", head)
            case ("drop", name):
                refs.delete(f"snapshot/{name}")
            case ("collect",):
                roots = [refs.get(name) for name in refs.names()]
                gc(blobs, roots, children_of(blobs), grace=0, clock=ManualClock())
        return True

    def commit(self, blobs, refs, datas):
        manifest = manifest_of(blobs.put_many(datas), datas)
        refs.set("HEAD", manifest.put(blobs), expected=refs.get("HEAD") or ABSENT)

    def state(self, engine):
        blobs, refs = engine
        return {name: self._contents(blobs, name, refs.get(name)) for name in refs.names()}

    def _contents(self, blobs, name, digest):
        if name == "alone":
            return blobs.get(digest)
        return tuple(map(blobs.get, Manifest.read(blobs, digest).digests()))

    def model(self, operations):
        refs = {}
        for operation in operations:
            match operation:
                case ("commit", datas):
                    refs["HEAD"] = datas
                case ("put", datum):
                    refs["alone"] = datum
                case ("snapshot", name):
                    refs[f"snapshot/{name}"] = refs.get("HEAD")
                case ("drop", name):
                    refs.pop(f"snapshot/{name}", None)
        return refs

    def close(self, engine):
        pass


class HeadFirst(Store):
    """The mistake that the order of a commit is about."""

    def commit(self, blobs, refs, datas):
        memory = Blobs(None)
        manifest = manifest_of(memory.put_many(datas), datas)
        refs.set("HEAD", manifest.put(memory), expected=refs.get("HEAD") or ABSENT)
        manifest.put(blobs)
        blobs.put_many(datas)


class Trusting(Store):
    """The mistake of taking for durable whatever is there when the process starts."""

    def open(self, files):
        blobs, refs = super().open(files)
        blobs._sure = set(files.listdir("/store/blobs") if files.exists("/store/blobs") else [])
        refs._sure = {"", "snapshot"}
        return blobs, refs


@pytest.mark.slow
def test_blobs_and_refs_survive_every_power_loss():
    outcome = crash("Blobs + Refs", Store(), OPERATIONS, EXTRA, samples=40)
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 2_500


def test_a_head_that_moves_before_its_blobs_are_there_is_caught():
    assert crash("Blobs, HEAD first", HeadFirst(), OPERATIONS[:8], EXTRA, samples=4).violations > 0


def test_what_a_killed_process_left_is_made_sure_before_it_is_built_upon():
    outcome = kill_everywhere(Store(), [OPERATIONS[1], *OPERATIONS[:5]], EXTRA)
    print(f"Blobs + Refs, killed     {outcome}")  # noqa: T201 - counts are the result
    assert outcome.violations == 0, outcome.first
    assert outcome.images > 1_000


def test_a_process_that_trusts_what_a_killed_one_left_is_caught():
    assert kill_everywhere(Trusting(), OPERATIONS[:1], EXTRA).violations > 0


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("keep", [False, True])
def test_blobs_and_refs_are_unharmed_wherever_the_disk_fails(number, keep):
    assert fail_everywhere(Store(), OPERATIONS[:9], number, keep=keep) > 40


def test_every_flipped_byte_of_blobs_and_refs_is_named_or_harmless():
    store, operations = Store(), OPERATIONS[:3]
    files = RecordingFileSystem()
    workload(store, operations)(files)
    counts = flip_every_byte(store, files.image(), expected=store.model(operations))
    print(f"Blobs + Refs: flipped bytes {counts}")  # noqa: T201 - counts are the result
    assert counts["named"] > 1_000
