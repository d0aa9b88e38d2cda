"""Current documents as JSON lines."""

import json

import pytest

from engines import ledger
from engines.clock import ManualClock
from engines.errors import AlreadyExists, Invalid, NotFound
from engines.ledger import documents
from engines.storage.files import RealFileSystem


@pytest.fixture
def book():
    with ledger.Ledger(clock=ManualClock(10**15)) as opened:
        opened.create_table("B")
        opened.create_table("A")
        opened.create_table("Gone")
        opened.append("A", [{"n": n, "x": 1e20, "s": "é\n"} for n in range(20)])
        opened.append("B", [{"n": n} for n in range(3)])
        opened.append("Gone", [{"n": 1}])
        opened.drop_table("Gone")
        opened.execute("UPDATE B AS b SET b.n = 9 WHERE b.n = 1")
        opened.execute("DELETE FROM A AS a WHERE a.n = 4")
        yield opened


def test_all_current_documents_by_table(book, tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "CHUNK", 100)
    assert documents.export_documents(book, tmp_path / "d.jsonl") == 22
    rows = [json.loads(line) for line in (tmp_path / "d.jsonl").read_bytes().splitlines()]
    assert [row["table"] for row in rows] == ["A"] * 19 + ["B"] * 3
    for row in rows:
        assert list(row) == ["id", "version", "table", "data"]
        assert book.get(row["table"], row["id"]) == row["data"] == book.get(row["table"], row["id"], row["version"])
    assert sorted(row["version"] for row in rows) == [0] * 21 + [1]
    assert documents.export_documents(book, tmp_path / "b.jsonl", "B") == 3
    assert documents.export_documents(book, tmp_path / "none.jsonl", []) == 0
    assert (tmp_path / "none.jsonl").read_bytes() == b""


def test_what_cannot_be_written_leaves_nothing(book, tmp_path):
    with pytest.raises(NotFound):
        documents.export_documents(book, tmp_path / "d", ["A", "Gone"])
    (tmp_path / "there").write_text("mine")
    with pytest.raises(AlreadyExists):
        documents.export_documents(book, tmp_path / "there")
    rows = iter(
        [{"id": "a", "version": 0, "table": "T", "data": {}}, {"id": "b", "version": 0, "table": "T", "data": {1}}]
    )
    with pytest.raises(Invalid):
        documents.write_documents(rows, str(tmp_path / "d"), RealFileSystem())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]
    assert (tmp_path / "there").read_text() == "mine"
