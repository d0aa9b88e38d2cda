"""Refs and manifests: names that move, over lists that do not."""

import hashlib
import random

import pytest
from crash.recorder import RecordingFileSystem
from crash.states import crash_states
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import Conflict, Corrupted, Invalid
from engines.storage.blobs import Blobs
from engines.storage.manifest import Manifest
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


def test_who_finds_a_ref_gone_makes_sure_that_it_stays_gone():
    """The process that deleted it died before the sync: what comes after builds on its absence."""
    files = RecordingFileSystem()
    refs = Refs("/refs", files=files)
    refs.set("snapshot/one", name(b"1"))
    refs.set("snapshot/two", name(b"2"))
    for look in (lambda found: found.get("snapshot/one") is None, lambda found: found.names() == ["snapshot/two"]):
        after = RecordingFileSystem(files.image())
        after.unlink("/refs/snapshot/one")
        assert look(Refs("/refs", files=after))
        for image in crash_states(after.journal, len(after.journal), random.Random(0)):  # noqa: S311 - the same each run
            assert "/refs/snapshot/one" not in image
