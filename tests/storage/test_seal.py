"""Seals: what a clean close says about data.mdb, and that it is believed only as long as it is true."""

import os
import struct

import google_crc32c
import pytest
from logs import flip
from trees import SMALL, Engine

from engines.errors import Corrupted
from engines.storage import seal
from engines.storage.files import RealFileSystem
from engines.storage.seal import PAGE
from engines.storage.tree import Tree

FILES = RealFileSystem()


@pytest.fixture
def path(tmp_path):
    """A tree of some pages, cleanly closed."""
    path = str(tmp_path / "tree")
    tree = Tree(path, map_size=SMALL)
    for i in range(60):
        tree.keyspace("a").put(b"%03d" % i, b"%d" % i * 50)
    tree.close()
    return path


def content(path):
    with open(path, "rb") as file:
        return file.read()


def test_a_seal_is_one_crc32c_a_page_in_a_checked_envelope(path):
    data = content(f"{path}/data.mdb")
    sums = [google_crc32c.value(data[at : at + PAGE]) for at in range(0, len(data), PAGE)]
    envelope = b"EHSEAL1\n" + struct.pack(f"<I{len(sums)}I", len(sums), *sums)
    assert content(f"{path}/SEAL") == envelope + struct.pack("<I", google_crc32c.value(envelope))
    assert len(sums) > 2


def test_every_flipped_byte_of_a_sealed_tree_is_named_on_opening(path):
    data_path = f"{path}/data.mdb"
    data = bytearray(content(data_path))
    with open(data_path, "r+b", buffering=0) as file:
        for at in range(len(data)):
            os.pwrite(file.fileno(), bytes([data[at] ^ (1 << at % 8)]), at)
            with pytest.raises(Corrupted) as caught:
                seal.check(FILES, path)
            assert (caught.value.file, caught.value.offset) == (data_path, at // PAGE * PAGE)
            os.pwrite(file.fileno(), data[at : at + 1], at)
    assert seal.check(FILES, path).problems() == []


def test_a_tree_with_a_flipped_byte_does_not_open_and_is_not_touched(path):
    flip(f"{path}/data.mdb", 2 * PAGE + 100)
    before = content(f"{path}/data.mdb"), content(f"{path}/SEAL")
    with pytest.raises(Corrupted, match="restore a snapshot") as caught:
        Tree(path, map_size=SMALL)
    assert caught.value.offset == 2 * PAGE
    assert (content(f"{path}/data.mdb"), content(f"{path}/SEAL")) == before
    flip(f"{path}/data.mdb", 2 * PAGE + 100)
    Tree(path, map_size=SMALL).close()  # the refused one let go of the path


def test_every_flipped_byte_of_a_seal_is_noticed(path):
    whole = content(f"{path}/SEAL")
    for at in range(len(whole)):
        flip(f"{path}/SEAL", at)
        with pytest.raises(Corrupted, match="SEAL is damaged"):
            seal.check(FILES, path)
        flip(f"{path}/SEAL", at)
    for length in range(len(whole)):
        with open(f"{path}/SEAL", "wb") as file:
            file.write(whole[:length])
        with pytest.raises(Corrupted):
            seal.check(FILES, path)


@pytest.mark.parametrize("change", [-PAGE, -1, 1, PAGE])
def test_a_file_of_another_length_is_noticed(path, change):
    size = os.path.getsize(f"{path}/data.mdb")
    os.truncate(f"{path}/data.mdb", size + change)
    with pytest.raises(Corrupted) as caught:
        seal.check(FILES, path)
    assert caught.value.offset in (size - PAGE, size)


def test_a_tree_without_a_seal_opens(path):
    os.unlink(f"{path}/SEAL")
    assert seal.check(FILES, path) is None
    tree = Tree(path, map_size=SMALL)
    assert tree.keyspace("a").count() == 60
    tree.close()
    assert seal.check(FILES, path).problems() == []


def test_a_seal_is_gone_before_the_first_commit_and_back_after_a_clean_close(path):
    tree = Tree(path, map_size=SMALL)
    assert os.path.exists(f"{path}/SEAL")
    tree.keyspace("a").put(b"k", b"v")
    assert os.path.exists(f"{path}/SEAL")  # nothing is committed yet
    tree.checkpoint()
    assert not os.path.exists(f"{path}/SEAL")
    tree.close()
    assert seal.check(FILES, path).problems() == []


def test_a_seal_that_somebody_has_deleted_needs_no_withdrawal(path):
    tree = Tree(path, map_size=SMALL)
    tree.keyspace("a").put(b"new", b"x")
    os.unlink(f"{path}/SEAL")
    tree.checkpoint()
    assert tree.keyspace("a").get(b"new") == b"x"
    tree.close()


def test_verify_compares_with_the_seal_until_something_is_committed(path):
    tree = Tree(path, map_size=SMALL)
    assert tree.verify().ok
    flip(f"{path}/data.mdb", 5 * PAGE - 1)
    report = tree.verify()
    assert [(problem.file, problem.offset) for problem in report.problems] == [(f"{path}/data.mdb", 4 * PAGE)]
    flip(f"{path}/data.mdb", 5 * PAGE - 1)
    tree.keyspace("a").put(b"k", b"v")
    tree.checkpoint()
    assert tree.verify().ok
    tree.close()


def test_a_large_file_is_compared_by_verify_only(path, monkeypatch):
    monkeypatch.setattr(seal, "CHECKED_AT_OPEN", PAGE)
    flip(f"{path}/data.mdb", 5 * PAGE - 1)  # in the free space of a page
    tree = Tree(path, map_size=SMALL)
    assert [problem.offset for problem in tree.verify().problems] == [4 * PAGE]
    tree.close()


def test_a_file_longer_than_one_batch_is_summed_whole(tmp_path):
    with open(tmp_path / "data.mdb", "wb") as file:
        file.write(b"\1" * (300 * PAGE + 5))
    sums = seal.page_sums(FILES, str(tmp_path / "data.mdb"))
    assert len(sums) == 301
    assert sums[300] == google_crc32c.value(b"\1" * 5)
    assert set(sums[:300]) == {google_crc32c.value(b"\1" * PAGE)}


def test_an_engine_that_only_reads_keeps_the_seal_it_found(tmp_path):
    engine = Engine(tmp_path)
    engine.put("a", b"k", b"v")
    engine.close()
    before = os.stat(tmp_path / "tree" / "SEAL").st_mtime_ns
    engine = Engine(tmp_path)
    assert engine.all() == {b"k": b"v"}
    engine.close()
    assert os.stat(tmp_path / "tree" / "SEAL").st_mtime_ns == before


def test_a_tree_that_is_opened_to_read_is_checked_too(tmp_path):
    path = tmp_path / "tree"
    tree = Tree(str(path))
    tree.keyspace("a").put(b"k", b"v" * 500)
    tree.note(1, 1)
    tree.close()
    data = bytearray((path / "data.mdb").read_bytes())
    data[data.index(b"v" * 500)] ^= 1
    (path / "data.mdb").write_bytes(data)
    with pytest.raises(Corrupted, match="not as the last clean close left it"):
        Tree(str(path), read_only=True)


def test_a_reader_beside_a_writer_forgets_the_seal_that_the_writer_withdrew(tmp_path):
    path = tmp_path / "tree"
    Tree(str(path)).close()
    reader = seal.check(RealFileSystem(), str(path))
    tree = Tree(str(path))
    tree.keyspace("a").put(b"k", b"v")
    tree.note(1, 1)
    tree.checkpoint()
    assert reader.problems() == []
    tree.close()
