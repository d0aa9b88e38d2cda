"""Reading a log by place, and erasing parts of one payload: everything else stays, every frame stays good."""

import os
from pathlib import Path

import pytest

from engines.errors import Closed, Corrupted, Invalid, ReadOnly
from engines.storage.log import Log


def payloads(log: Log) -> list[bytes]:
    log.sync()
    return [bytes(found.payload) for found in log.read()]


def test_bytes_are_read_by_place_before_and_after_they_are_written(tmp_path: Path) -> None:
    with_places = []
    log = Log(str(tmp_path / "log"), segment=4096)
    for i in range(50):
        payload = bytes([i]) * (100 + i)
        sequence = log.append(payload, 16)
        place = log.end_of(len(payload))
        with_places.append((sequence, place, payload))
        assert log.pread(sequence, place, len(payload)) == payload
    log.sync()
    assert len(log.layout()) > 1
    for sequence, place, payload in with_places:
        assert log.pread(sequence, place, len(payload)) == payload
        assert log.place(sequence) == place
    log.close()
    log = Log(str(tmp_path / "log"), segment=4096)
    for sequence, place, payload in with_places:
        assert log.pread(sequence, place, len(payload)) == payload
        assert log.place(sequence) == place
    with pytest.raises(Invalid, match="no frame 1000"):
        log.pread(1000, 64, 1)
    log.close()


@pytest.mark.parametrize("victim", [1, 5, 30])
def test_erased_bytes_are_zero_and_nothing_else_changes(tmp_path: Path, victim: int) -> None:
    log = Log(str(tmp_path / "log"), segment=4096)
    wanted = [bytes([i]) * 200 for i in range(1, 31)]
    for payload in wanted:
        log.append(payload, 16)
    log.pread(victim, 64, 1)  # has the old file open
    log.erase(victim, [(10, 20), (100, 1)])
    wanted[victim - 1] = (
        wanted[victim - 1][:10] + bytes(20) + wanted[victim - 1][30:100] + b"\0" + wanted[victim - 1][101:]
    )
    assert payloads(log) == wanted
    assert log.pread(victim, log.place(victim), 200) == wanted[victim - 1]
    assert log.verify().ok
    log.append(b"and on it goes", 16)
    log.sync()
    log.close()
    log = Log(str(tmp_path / "log"), segment=4096)
    assert payloads(log) == [*wanted, b"and on it goes"]
    log.erase(victim, [(10, 20)])  # the same again
    assert payloads(log) == [*wanted, b"and on it goes"]
    log.close()
    assert not [name for name in os.listdir(tmp_path / "log") if name.endswith(".tmp")]


def test_what_cannot_be_erased_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    log.append(b"payload", 16)
    for wrong in [(-1, 2), (0, 8), (7, 1), (0, -1)]:
        with pytest.raises(Invalid, match="has no"):
            log.erase(1, [wrong])
    with pytest.raises(Invalid, match="no frame 9"):
        log.erase(9, [(0, 1)])
    assert payloads(log) == [b"payload"]
    log.close()
    with pytest.raises(Closed):
        log.erase(1, [(0, 1)])
    log = Log(str(tmp_path / "log"), read_only=True)
    with pytest.raises(ReadOnly):
        log.erase(1, [(0, 1)])
    log.close()


def test_a_damaged_segment_is_not_rewritten(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    for _ in range(3):
        log.append(b"payload", 16)
    log.sync()
    path = log.path_of(2)
    place = log.place(2)
    data = bytearray(Path(path).read_bytes())
    data[place] ^= 1
    Path(path).write_bytes(data)
    with pytest.raises(Corrupted):
        log.erase(3, [(0, 1)])
    assert Path(path).read_bytes() == data
    log.close()
