"""What leaves a ledger and comes in again: exports, tiles; and files from anywhere."""

import json
import random
import re

import pytest

from engines import ledger
from engines.clock import ManualClock
from engines.errors import AlreadyExists, Corrupted, EngineError, NotFound
from engines.ledger import exchange, tiles
from engines.storage.files import RealFileSystem

FILES = RealFileSystem()


@pytest.fixture
def book(tmp_path):
    with ledger.Ledger(tmp_path / "dmv", clock=ManualClock(10**15)) as opened:
        opened.create_table("T", indexes=["n"])
        ids = opened.append("T", [{"n": n, "text": "é\n" * n} for n in range(20)]).ids
        opened.execute("UPDATE T AS t SET t.text = 'new' WHERE t.n < 3")
        opened.execute("DELETE FROM T AS t WHERE t.n = 4")
        opened.redact("T", ids[1], 0)
        yield opened


@pytest.mark.parametrize("where", ["folder", None])
def test_an_imported_ledger_is_the_same_ledger(book, tmp_path, where, monkeypatch):
    monkeypatch.setattr(exchange, "BLOCKS_A_FILE", 2)
    digest = book.export(tmp_path / "out")
    assert digest == book.digest()
    assert len(list((tmp_path / "out").iterdir())) == 1 + (digest.block + 1) // 2
    path = None if where is None else tmp_path / where
    with ledger.Ledger.import_(tmp_path / "out", path, clock=ManualClock(10**15)) as again:
        assert again.digest() == digest
        assert [block.payload for block in again.blocks()] == [block.payload for block in book.blocks()]
        assert again.verify(against=digest).ok
        assert list(again.history("T")) == list(book.history("T"))
        again.execute("INSERT INTO T VALUE {'n': 1}")
        assert len(again.execute("SELECT * FROM T AS t WHERE t.n = 1")) == 2
    with pytest.raises(AlreadyExists):
        book.export(tmp_path / "out")


def test_an_empty_ledger_is_exported_and_imported(tmp_path):
    with ledger.Ledger(tmp_path / "empty") as book:
        digest = book.export(tmp_path / "out")
    with ledger.Ledger.import_(tmp_path / "out", tmp_path / "again") as again:
        assert again.digest() == digest


def test_whatever_is_altered_in_an_export_is_refused_and_nothing_is_left(book, tmp_path):
    book.export(tmp_path / "out")
    file = tmp_path / "out" / "blocks-000001.jsonl"
    good = file.read_bytes()
    rng = random.Random(0)  # noqa: S311 - the same bytes in each run
    for _ in range(300):
        at = rng.randrange(len(good))
        file.write_bytes(good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1 :])
        with pytest.raises(Corrupted) as refused:
            ledger.Ledger.import_(tmp_path / "out", tmp_path / "again")
        assert "blocks-000001.jsonl, line" in str(refused.value) or "lines" in str(refused.value)
        assert not (tmp_path / "again").exists()
    lines = good.splitlines(keepends=True)
    for wrong in ([*lines, lines[-1]], lines[:-1], [lines[0], *lines[2:], lines[1]], [lines[0], lines[0], *lines[2:]]):
        file.write_bytes(b"".join(wrong))
        with pytest.raises(Corrupted):
            ledger.Ledger.import_(tmp_path / "out", tmp_path / "again")


def altered(line, **fields):
    return json.dumps(json.loads(line) | fields, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    "fields",
    [
        {"number": 2},
        {"number": "1"},
        {"time": 0},
        {"extra": 1},
        {"entries": []},
        {"entries": None},
        {"salts": ["x"]},
        {"data": [None]},
        {"data": ["{}"]},
        {"data": ['{"a": 1}']},
        {"data": [5]},
        {"data": [{}]},
        {"data": {"a": 1}},
        {"salts": [[]]},
        {"entries": [5]},
        {"statements": {}},
        {"statements": [{"text": "x", "parameters": None}]},
        {"trailer": ""},
        {"transaction": None},
    ],
)
def test_lines_that_are_no_blocks(book, tmp_path, fields):
    book.export(tmp_path / "out")
    file = tmp_path / "out" / "blocks-000001.jsonl"
    first, *rest = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([altered(first, **fields), *rest]))
    with pytest.raises(Corrupted, match="line 1"):
        ledger.Ledger.import_(tmp_path / "out", None)


def test_numbers_beyond_2_to_the_53_come_back_as_they_were(tmp_path):
    with ledger.Ledger() as book:
        book.create_table("T")
        (number,) = book.append("T", [{"big": 1e20, "small": -1e-7, "whole": 2.0**53}]).ids
        digest = book.export(tmp_path / "out")
        with ledger.Ledger.import_(tmp_path / "out", None) as again:
            assert again.digest() == digest
            assert again.get("T", number) == book.get("T", number)


def test_a_file_of_blocks_too_many_is_refused(book, tmp_path):
    book.export(tmp_path / "out")
    (tmp_path / "out" / "blocks-000002.jsonl").write_text("")
    with pytest.raises(Corrupted, match=re.escape("blocks-000002.jsonl is not of this export")):
        ledger.Ledger.import_(tmp_path / "out", None)


def test_folders_that_are_no_export(book, tmp_path):
    with pytest.raises(NotFound):
        ledger.Ledger.import_(tmp_path / "nowhere", None)
    book.export(tmp_path / "out")
    (tmp_path / "out" / "digest.json").write_text("{}")
    with pytest.raises(Corrupted):
        ledger.Ledger.import_(tmp_path / "out", None)
    with pytest.raises(NotFound):
        book.export(tmp_path / "no" / "parent")


def test_tiles_lead_to_the_checkpoint(book, tmp_path):
    sizes = []
    for _ in range(3):
        digest = book.export_tiles(tmp_path / "tiles")
        assert tiles.verify_tiles(str(tmp_path / "tiles"), FILES) == digest.size
        sizes.append(digest.size)
        book.append("T", [{"n": n} for n in range(700)])
    assert (tmp_path / "tiles" / "checkpoint").read_text().split("\n")[1] == str(sizes[-1])
    full = tmp_path / "tiles" / "tile" / "0" / "000"
    assert full.stat().st_size == 256 * 32
    damaged = bytearray(full.read_bytes())
    damaged[100] ^= 1
    full.write_bytes(damaged)
    with pytest.raises(Corrupted, match=r"tile/0/000"):
        tiles.verify_tiles(str(tmp_path / "tiles"), FILES)


@pytest.mark.parametrize(
    ("number", "width", "name"),
    [
        (0, 256, "000"),
        (5, 17, "005.p/17"),
        (1000, 256, "x001/000"),
        (1234067, 256, "x001/x234/067"),
        (256, 1, "256.p/1"),
    ],
)
def test_names_of_tiles(number, width, name):
    assert tiles.tile_name(number, width) == name


def test_tiles_of_other_bytes_end_in_an_error_of_the_house(book, tmp_path):
    book.export_tiles(tmp_path / "tiles")
    rng = random.Random(0)  # noqa: S311 - the same bytes in each run
    files = sorted(path for path in (tmp_path / "tiles").rglob("*") if path.is_file())
    for _ in range(200):
        path = rng.choice(files)
        good = path.read_bytes()
        at = rng.randrange(len(good))
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1 :])
        if not (path.name == "checkpoint" and at < good.index(b"\n")):  # the origin is not proved by tiles
            with pytest.raises(EngineError):
                tiles.verify_tiles(str(tmp_path / "tiles"), FILES)
        path.write_bytes(good)
