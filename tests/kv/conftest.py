"""What most tests of kv begin with; a module with a fixture of the same name has its own."""

import pytest
from moments import START

from engines import kv
from engines.clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock(START * 1_000_000)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "shop")


@pytest.fixture
def store(clock):
    with kv.Store(clock=clock) as store:
        yield store


@pytest.fixture
def orders(store):
    return store.create_table("orders", key=("customer:S", "order:N"), ttl="expires", stream=True)


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setitem(kv.store.Log.__init__.__kwdefaults__, "segment", 1 << 14)
