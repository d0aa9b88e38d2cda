"""`engines verify` knows the folders of all engines."""

import numpy as np
import pytest

from engines import kv, ledger
from engines.cli import ENGINES, main
from engines.clock import ManualClock
from engines.timeseries import TimeSeries
from engines.warehouse import Warehouse


def filled(name, path):
    """A folder of that engine with something in it."""
    if name == "kv":
        with kv.Store(path) as store:
            store.create_table("t", key="id:S").put({"id": "a"})
    elif name == "ledger":
        with ledger.Ledger(path) as book:
            book.create_table("T")
            book.execute("INSERT INTO T VALUE {'n': 1}")
    elif name == "timeseries":
        with TimeSeries(path, clock=ManualClock(10**9)) as db:
            db.create_table("t").write(np.arange(5000), {"host": "a"}, {"x": np.random.default_rng(1).random(5000)})
    else:
        with Warehouse(path) as w:
            w.sql("CREATE TABLE t (n INTEGER)")
            w.append("t", {"n": np.random.default_rng(1).integers(0, 10**9, 5000)})


@pytest.mark.parametrize("name", ENGINES)
def test_verify_finds_a_folder_whole_and_then_a_flipped_byte(tmp_path, capsys, name):
    path = tmp_path / name
    filled(name, path)
    assert main(["verify", str(path)]) == 0
    blobs = [one for one in (path / "blobs").rglob("*") if one.is_file()]
    victim = max(blobs, key=lambda one: one.stat().st_size) if blobs else path / "tree" / "data.mdb"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    capsys.readouterr()
    assert main(["verify", str(path)]) == 1
    told = capsys.readouterr()
    assert victim.name in told.out + told.err


def test_a_folder_of_nobody_is_refused(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 1
    assert "no engine's folder" in capsys.readouterr().err
