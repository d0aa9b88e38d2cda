"""verify(): every flipped byte, cut and missing file of a warehouse is reported, wherever it lies."""

import pytest
from warehouse.columns import batch, definitions, rows_of

from engines.errors import EngineError
from engines.sql.types import DOUBLE, INTEGER, VARCHAR
from engines.warehouse import snapshot
from engines.warehouse.storage import Storage

COLUMNS = definitions(n=INTEGER, text=VARCHAR, x=DOUBLE)
ROWS = [(n, b"w%d" % (n % 3) if n % 4 else None, n / 3) for n in range(60)]


@pytest.fixture
def house(tmp_path):
    with Storage(tmp_path / "house", threads=1, slices=1) as storage:
        with storage.begin() as transaction:
            transaction.create_table("t", COLUMNS)
            transaction.append("t", [batch(COLUMNS, ROWS)])
            transaction.delete("t", [5, 6])
        snapshot.take(storage, "monday")
    with Storage(tmp_path / "house") as storage:
        storage.collect(grace=0)  # nobody reads the first roots any more
    return tmp_path / "house"


def state(path):
    """The rows, and whether verify() is content; an error is as good as a report."""
    try:
        with Storage(path, threads=1) as storage:
            report = storage.verify()
            return rows_of(storage.table("t")), report.ok
    except EngineError:
        return None, False


def files_of(house):
    return sorted(path for path in house.rglob("*") if path.is_file() and path.name not in ("lock", "ENGINE"))


def test_a_sound_warehouse_is_found_so(house):
    rows, sound = state(house)
    assert sound
    assert len(rows) == 58
    with Storage(house) as storage:
        assert storage.verify().checked > 8


def test_every_file_that_is_cut_changed_or_missing_is_reported(house):
    """Bytes of segments, masks, pages, sketches, roots, records of snapshots and refs."""
    files = files_of(house)
    assert len(files) >= 6
    rows, _ = state(house)
    for file in files:
        data = file.read_bytes()
        step = max(len(data) // 40, 1)
        for at in range(0, len(data), step):
            for damaged in (data[:at], data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]):
                file.write_bytes(damaged)
                found, sound = state(house)
                assert not sound, (file.name, at)
                assert found in (None, rows), (file.name, at)
        file.unlink()
        assert not state(house)[1] or file.parent.name == "snapshot", file.name
        file.write_bytes(data)
    assert state(house) == (rows, True)


def test_a_report_names_the_table_and_the_column(house):
    with Storage(house) as storage:
        (group,) = storage.table("t").state.groups
        block = group.blocks[1]
    file = house / "blobs" / group.blob[:2] / group.blob[2:]
    data = bytearray(file.read_bytes())
    data[block.offset + 40] ^= 1
    file.write_bytes(data)
    with Storage(house) as storage:
        report = storage.verify()
        assert "t.text" in str(report)
        assert rows_of(storage.table("t"), "n")[:2] == [(0,), (1,)]  # another column of the group
        with pytest.raises(EngineError, match="checksum"):
            rows_of(storage.table("t"), "text")
