"""The change stream of a store: following it, and how long it is kept."""

import threading

import pytest
from moments import DAY, START

from engines import kv
from engines.clock import ManualClock
from engines.errors import Corrupted, Trimmed


def fill(store, count=20):
    table = store.create_table("orders", key="id:N", ttl="expires", stream=True)
    for number in range(count):
        table.put({"id": number, "text": "x" * number})
    return table


def test_following_the_stream_sees_what_others_write_and_ends_with_the_store(path):
    store = kv.Store(path)
    table = fill(store, 3)
    seen = []
    follower = threading.Thread(target=lambda: seen.extend(store.changes(follow=True)))
    follower.start()
    for number in range(3, 10):
        table.put({"id": number})
    store.close()
    follower.join(10)
    assert not follower.is_alive()
    assert [change.key[0] for change in seen] == list(range(10))


def test_following_gives_up_after_its_timeout(path):
    with kv.Store(path) as store:
        fill(store, 3)
        assert len(list(store.changes(follow=True, timeout=0.01))) == 3


def test_a_stream_is_kept_for_a_day_and_trimmed_names_a_position_that_can_be_read(path, monkeypatch):
    monkeypatch.setitem(kv.store.Log.__init__.__kwdefaults__, "segment", 1 << 14)
    clock = ManualClock(START * 1_000_000)
    with kv.Store(path, clock=clock) as store:
        table = store.create_table("t", key="id:N", stream=True)
        other = store.create_table("other", key="id:N")
        for day in range(5):
            table.put({"id": 1, "day": day})  # refers to the frame of the day before
            for number in range(20):
                other.put({"id": 1, "text": "x" * 3000, "n": day * 100 + number})
            store.checkpoint()
            clock.advance(1.1 * DAY)
        table.put({"id": 1, "day": 5})
        store.checkpoint()
        for _ in range(2):
            with pytest.raises(Trimmed, match="start from") as trimmed:
                list(store.changes())
            kept = list(store.changes(trimmed.value.oldest - 1))
            assert [(change.old["day"], change.new["day"]) for change in kept] == [(4, 5)]
            assert store.verify().ok
            store.close()
            store = kv.Store(path, clock=clock)  # noqa: PLW2901 - opened again
        assert store.log.first > 50
        store.close()


def test_what_a_younger_change_refers_to_is_kept_as_long_as_that_one(path, monkeypatch):
    monkeypatch.setitem(kv.store.Log.__init__.__kwdefaults__, "segment", 1 << 14)
    clock = ManualClock(START * 1_000_000)
    with kv.Store(path, clock=clock) as store:
        table = store.create_table("t", key="id:N", stream=True)
        other = store.create_table("other", key="id:N")
        for hour in range(100):
            table.put({"id": hour % 3, "hour": hour})
            with other.batch_writer() as batch:
                for number in range(5):
                    batch.put({"id": number, "text": "x" * 3000, "hour": hour})
            if hour % 2:
                store.checkpoint()
            clock.advance(hours=1)
            if hour > 3:
                last = list(store.changes(max(0, store.log.last - 20)))[-1]
                assert (last.old["hour"], last.new["hour"]) == (hour - 3, hour)
        with pytest.raises(Trimmed) as trimmed:
            list(store.changes())
        hours = [change.new["hour"] for change in store.changes(trimmed.value.oldest - 1)]
        assert hours == list(range(hours[0], 100))
        assert 24 <= len(hours) < 30


def test_a_stream_that_ends_in_damage_says_so(tmp_path):
    with kv.Store(tmp_path / "store") as store:
        table = store.create_table("table", key="id:N", stream=True)
        for number in range(20):
            table.put({"id": number, "filler": "x" * 100})
    (segment,) = (tmp_path / "store" / "log").glob("*.log")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    with kv.Store(tmp_path / "store", read_only=True) as store:
        stream = store.changes()
        seen = []
        with pytest.raises(Corrupted, match="damaged"):
            seen.extend(change.key for change in stream)
        assert len(store.table("table").scan().all()) == 20
