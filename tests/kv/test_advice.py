"""What a newcomer is told: each sentence says what was given, what is allowed, and what to do here, with this table."""

import pytest

from engines import kv
from engines.clock import ManualClock
from engines.errors import Invalid

START = 1_700_000_000  # seconds


@pytest.fixture
def clock():
    return ManualClock(START * 1_000_000)


@pytest.fixture
def store(clock):
    with kv.Store(clock=clock) as store:
        yield store


@pytest.fixture
def orders(store):
    return store.create_table("orders", key=("customer:S", "order:N"), stream=True)


# -- where something else fits -----------------------------------------------------------------------------------------


def test_a_cache_is_not_opened_read_only_and_says_what_to_open(tmp_path):
    with pytest.raises(Invalid, match=r"save\(path\).*opens that"):
        kv.Cache(tmp_path / "cache", read_only=True)
    assert not (tmp_path / "cache").exists()
    kv.Cache(tmp_path / "cache", read_only=False).close()


@pytest.mark.parametrize(
    ("factor", "says"), [(1_000, "milliseconds: divide by 1e3"), (10**6, "microseconds.*1e6"), (10**9, "nanoseconds")]
)
def test_a_moment_in_another_unit_than_seconds_is_told_what_it_looks_like(store, factor, says):
    store.create_table("t", key="id:S", pitr=True, stream=True).put({"id": "a"})
    with pytest.raises(Invalid, match=f"number of seconds since 1970, got .*{says}"):
        store.restore_table("t", to="then", at=START * factor)


def test_the_time_of_a_change_divided_by_a_million_is_its_moment(store, clock):
    table = store.create_table("t", key="id:S", pitr=True, stream=True)
    clock.advance(0.123457)
    table.put({"id": "a"})
    (change,) = store.changes()
    clock.advance(1)
    table.put({"id": "b"})
    assert store.restore_table("t", to="then", at=change.time / 1e6).scan().all() == [{"id": "a"}]
