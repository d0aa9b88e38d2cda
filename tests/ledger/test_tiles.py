"""Static tiles, against the layout of C2SP's tlog-tiles as a few lines of hashlib know it."""

import base64
import errno
import hashlib
import pathlib
import random

import pytest

from engines import ledger
from engines.clock import ManualClock
from engines.errors import AlreadyExists, Corrupted, EngineError, Invalid
from engines.ledger.merkle import MerkleLog
from engines.ledger.proof import Digest
from engines.ledger.tiles import verify_tiles, write_tiles
from engines.storage.files import RealFileSystem

FILES = RealFileSystem()
ORIGIN = "dmv/0353bmvVCgI3dxRTGzw0SM"


def entry(i, salt=b""):
    return (b"%d" % i + salt).ljust(144 if i % 5 == 4 else 96, b".")


def written(folder, size, *, files=FILES, salt=b"", origin=ORIGIN):
    """Write the tiles of so many entries."""
    merkle = MerkleLog()
    merkle.extend(entry(i, salt) for i in range(size))
    digest = Digest(origin, size, merkle.root(), 1, 1)
    return write_tiles(merkle, (entry(i, salt) for i in range(size)), digest, str(folder), files)


def sha(data):
    return hashlib.sha256(data).digest()


def tree(hashes):
    """RFC 6962's root over leaf hashes."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha(b"")
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return sha(b"\1" + tree(hashes[:k]) + tree(hashes[k:]))


def found(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in pathlib.Path(folder).rglob("*") if p.is_file()}


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 512, 1000, 65536, 70000])
def test_the_files_are_those_of_the_specification(tmp_path, size):
    count = written(tmp_path / "t", size)
    files = found(tmp_path / "t")
    leaves = [sha(b"\0" + entry(i)) for i in range(size)]
    checkpoint = f"{ORIGIN}\n{size}\n{base64.b64encode(tree(leaves)).decode()}\n"
    wanted = {"checkpoint": checkpoint.encode()}
    for number in range((size + 255) // 256):
        bundle = range(number * 256, min(number * 256 + 256, size))
        part = "" if len(bundle) == 256 else f".p/{len(bundle)}"
        wanted[f"tile/entries/{number:03d}{part}"] = b"".join(
            len(entry(i)).to_bytes(2, "big") + entry(i) for i in bundle
        )
    level, hashes = 0, leaves
    while hashes:
        for number in range((len(hashes) + 255) // 256):
            part = hashes[number * 256 : number * 256 + 256]
            suffix = "" if len(part) == 256 else f".p/{len(part)}"
            wanted[f"tile/{level}/{number:03d}{suffix}"] = b"".join(part)
        hashes = [tree(hashes[i : i + 256]) for i in range(0, len(hashes) - 255, 256)]
        level += 1
    assert files == wanted
    assert count == len(wanted) - 1
    assert verify_tiles(str(tmp_path / "t"), FILES) == size


def test_the_counts_of_the_specification(tmp_path):
    written(tmp_path / "t", 70000)
    names = [name.removeprefix("tile/") for name in found(tmp_path / "t") if not name.startswith("tile/entries")]
    assert sum(name.startswith("0/") and ".p" not in name for name in names) == 273
    assert {"0/273.p/112", "1/000", "1/001.p/17", "2/000.p/1"} <= set(names)


def test_a_second_export_writes_only_what_is_new(tmp_path):
    folder = tmp_path / "t"
    written(folder, 700)
    before = {p: p.stat().st_ino for p in folder.rglob("*") if p.is_file()}
    assert written(folder, 700) == 0
    assert written(folder, 1100) == 2 * (5 - 2) + 1  # 2 to 3 and 4.p/76 of hashes and of entries, one of level 1
    assert verify_tiles(str(folder), FILES) == 1100
    assert {path.name for path, inode in before.items() if path.stat().st_ino != inode} <= {"checkpoint"}
    assert (folder / "checkpoint").read_text().split("\n")[1] == "1100"
    (folder / "tile/0/000").unlink()
    assert written(folder, 1100) == 1
    assert verify_tiles(str(folder), FILES) == 1100


@pytest.mark.parametrize(
    "other", [{"size": 699}, {"size": 800, "salt": b"x"}, {"size": 700, "origin": "dmv/other"}, {"size": 0}]
)
def test_tiles_of_two_trees_do_not_share_a_folder(tmp_path, other):
    written(tmp_path / "t", 700)
    before = found(tmp_path / "t")
    with pytest.raises(AlreadyExists, match="another folder"):
        written(tmp_path / "t", **other)
    assert found(tmp_path / "t") == before


def test_too_few_entries_make_no_checkpoint(tmp_path):
    merkle = MerkleLog()
    merkle.extend(entry(i) for i in range(300))
    with pytest.raises(Invalid, match="got 299"):
        write_tiles(
            merkle, map(entry, range(299)), Digest(ORIGIN, 300, merkle.root(), 1, 1), str(tmp_path / "t"), FILES
        )
    assert not (tmp_path / "t" / "checkpoint").exists()


class Failing(RealFileSystem):
    """Its n-th write fails, and all after it."""

    def __init__(self, writes):
        self.writes = writes

    def pwrite(self, fd, data, offset):
        self.writes -= 1
        if self.writes < 0:
            raise OSError(errno.EIO, "no disk")
        super().pwrite(fd, data, offset)


def test_an_export_that_fails_leaves_the_checkpoint_of_before(tmp_path):
    folder = tmp_path / "t"
    written(folder, 300)
    for writes in range(8):  # 3 tiles of level 0, 1 of level 1, 3 bundles, the checkpoint
        with pytest.raises(OSError, match="no disk"):
            written(folder, 1000, files=Failing(writes))
        assert verify_tiles(str(folder), FILES) == 300
    written(folder, 1000, files=Failing(8))
    assert verify_tiles(str(folder), FILES) == 1000


def test_tiles_without_a_checkpoint_are_not_believed(tmp_path):
    folder = tmp_path / "t"
    with pytest.raises(OSError, match="no disk"):
        written(folder, 1000, salt=b"x", files=Failing(6))
    assert written(folder, 1000) == 9
    assert verify_tiles(str(folder), FILES) == 1000


@pytest.mark.parametrize(
    ("line", "text"),
    [
        *((1, size) for size in ("-1", "-300", "+300", "0300", "3_00", "", "9" * 30, "301", "299", "0")),
        *((2, root) for root in ("", "AAAA", "!", "x" * 44)),
        (0, ""),
    ],
)
def test_checkpoints_that_are_none(tmp_path, line, text):
    written(tmp_path / "t", 300)
    file = tmp_path / "t" / "checkpoint"
    lines = file.read_text().split("\n")
    lines[line] = text
    file.write_text("\n".join(lines))
    with pytest.raises(Corrupted):
        verify_tiles(str(tmp_path / "t"), FILES)
    if text not in ("301", "299", "0"):
        with pytest.raises(Corrupted, match="no checkpoint"):
            written(tmp_path / "t", 400)
    file.write_bytes(b"\xff")
    with pytest.raises(Corrupted, match="no checkpoint"):
        verify_tiles(str(tmp_path / "t"), FILES)


def test_every_altered_file_is_named(tmp_path):
    folder = tmp_path / "t"
    written(folder, 600)
    rng = random.Random(0)  # noqa: S311 - the same bytes in each run
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "checkpoint"):
        good = path.read_bytes()
        at = rng.randrange(len(good))
        flipped = good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1 :]
        for bad in (flipped, good[:at], good + b"\0", good + good, b""):
            path.write_bytes(bad)
            with pytest.raises(Corrupted) as refused:
                verify_tiles(str(folder), FILES)
            level_0 = str(path).replace("/entries/", "/0/")
            assert refused.value.file in (str(path), level_0)
        path.unlink()
        with pytest.raises(Corrupted, match="cannot be read"):
            verify_tiles(str(folder), FILES)
        path.write_bytes(good)
    assert verify_tiles(str(folder), FILES) == 600


def test_a_signed_checkpoint_is_read(tmp_path):
    pytest.importorskip("cryptography")
    signer = ledger.Ed25519Signer("dmv", bytes(range(32)))
    with ledger.Ledger(tmp_path / "dmv", clock=ManualClock(10**15), signer=signer) as book:
        book.create_table("T")
        book.append("T", [{"n": n} for n in range(300)])
        digest = book.export_tiles(tmp_path / "t")
        note = (tmp_path / "t" / "checkpoint").read_text()
        assert ledger.verify_note(note, signer.verifier_key)
        assert verify_tiles(str(tmp_path / "t"), FILES) == digest.size
        book.append("T", [{"n": 1}])
        assert book.export_tiles(tmp_path / "t").size == digest.size + 2
        (tmp_path / "t" / "checkpoint").write_text(note.replace("dmv ", "dmv"))
        with pytest.raises(EngineError):
            book.export_tiles(tmp_path / "t")
