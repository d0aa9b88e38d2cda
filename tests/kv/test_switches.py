"""Time to live and change streams, switched on and off on tables that have items."""

import shutil

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moments import DAY, START

from engines import kv
from engines.clock import ManualClock
from engines.errors import Invalid, NotFound, Trimmed


@pytest.fixture
def store(clock, tmp_path):
    with kv.Store(tmp_path / "shop", clock=clock) as store:
        yield store


def filled(store, count=600, **options):
    """Items 0, 1, ..., each of which is over so many seconds from now by "until", the later the earlier by "other"."""
    table = store.create_table("t", key="id:N", **options)
    with table.batch_writer() as writer:
        for number in range(count):
            writer.put({"id": number, "until": START + number, "other": START + count - number, "party": number % 3})
    return table


def ids(table):
    return sorted(item["id"] for item in table.scan().all())


@pytest.mark.parametrize("options", [{}, {"stream": True}, {"pitr": True}])
def test_items_that_are_there_expire_by_a_time_to_live_of_later(store, clock, options):
    table = filled(store, **options)
    table.create_index("by_party", "party:N", projection="KEYS_ONLY")
    store.set_ttl("t", "until")
    assert table.definition.ttl_ready
    assert ids(table) == list(range(1, 600))
    clock.advance(400)
    assert ids(table) == list(range(401, 600))
    assert sum(table.query("party = :g", values={":g": g}, index="by_party").count for g in range(3)) == 199
    assert store.expire() == 401
    assert store.verify().ok


def test_a_time_to_live_is_switched_off_and_on_with_another_attribute(store, clock):
    table = filled(store)
    store.set_ttl("t", "until")
    store.set_ttl("t", "until")  # as it is already
    with pytest.raises(Invalid, match="in 'until': switch it off"):
        store.set_ttl("t", "other")
    clock.advance(100)
    store.set_ttl("t", None)
    assert len(ids(table)) == 600  # nobody has deleted them
    assert store.expire() == 0
    store.set_ttl("t", "other")
    assert ids(table) == list(range(500))
    assert store.expire() == 100
    assert store.verify().ok


@pytest.mark.parametrize("ttl", ["id", "", 7])
def test_a_time_to_live_is_no_key(store, ttl):
    filled(store, 3)
    with pytest.raises(Invalid, match="no part of the key"):
        store.set_ttl("t", ttl)
    with pytest.raises(NotFound):
        store.set_ttl("none", "until")


def copied(store, path, clock):
    """The store as a crash now would leave it."""
    shutil.copytree(store.path, path)
    return kv.Store(path, clock=clock)


def test_a_replay_does_it_again(store, clock, tmp_path):
    filled(store)
    store.checkpoint()
    store.set_ttl("t", "until")
    store.set_ttl("t", None)
    store.set_ttl("t", "other")
    clock.advance(100)
    with copied(store, tmp_path / "copy", clock) as other:
        assert ids(other.table("t")) == ids(store.table("t")) == list(range(500))
        assert other.expire() == 100
        assert other.verify().ok


def test_a_filling_that_was_cut_short_begins_anew_at_the_next_open(store, clock, tmp_path):
    table = filled(store)
    store.schema.alter(table, lambda definition: msgspec.structs.replace(definition, ttl="until", ttl_ready=False))
    clock.advance(300)
    with copied(store, tmp_path / "copy", clock) as other:
        assert other.table("t").definition.ttl_ready
        assert ids(other.table("t")) == list(range(301, 600))
        assert other.verify().ok


def test_a_map_that_is_full_in_the_middle_is_grown(store, clock):
    table = filled(store, 30)
    for number in range(30):
        table.put({"id": number, "until": START + number, "text": "x" * 1000})
    before = store.tree.rebuilds
    store.tree.rebuild(grow=False)  # what a full map does
    store.set_ttl("t", "until")
    store.tree.rebuild(grow=False)
    assert store.tree.rebuilds > before
    assert ids(table) == list(range(1, 30))
    assert store.verify().ok


@given(
    st.lists(st.tuples(st.sampled_from(["until", "other", None]), st.integers(0, 9), st.integers(0, 20)), max_size=12)
)
@settings(max_examples=30)
def test_whatever_is_switched_the_items_are_those_of_a_plain_model(steps):
    clock = ManualClock(START * 1_000_000)
    model, ttl = {}, None
    with kv.Store(clock=clock) as store:
        table = store.create_table("t", key="id:N")
        for wanted, number, seconds in steps:
            if wanted is not None and ttl is not None:
                store.set_ttl("t", None)
            store.set_ttl("t", wanted)
            ttl = wanted
            now = clock.now() // 1_000_000
            item = {"id": number, "until": now + seconds, "other": now + 20 - seconds}
            table.put(item)
            model[number] = item
            if ttl is not None:
                model = {n: item for n, item in model.items() if item[ttl] > now}
                store.expire()
            clock.advance(3)
            seen = [n for n, item in model.items() if ttl is None or item[ttl] > clock.now() // 1_000_000]
            assert ids(table) == sorted(seen)
        assert store.verify().ok


# --- streams ---


def seen(table, after=0):
    return [(change.kind, change.key[0], change.old and change.old["n"]) for change in table.changes(after)]


def test_a_stream_of_later_shows_what_happens_from_then_on(store):
    table = store.create_table("t", key="id:N")
    other = store.create_table("u", key="id:N", stream=True)
    for n in range(3):
        table.put({"id": n, "n": 0})
        other.put({"id": n, "n": 0})
    store.set_stream("t", stream=True)
    store.set_stream("t", stream="NEW_AND_OLD_IMAGES")  # as it is already
    table.put({"id": 1, "n": 1})
    table.put({"id": 7, "n": 1})
    assert seen(table) == [("MODIFY", 1, 0), ("INSERT", 7, None)]
    assert [(change.table, change.key[0]) for change in store.changes()] == [
        ("u", 0), ("u", 1), ("u", 2), ("t", 1), ("t", 7),
    ]  # fmt: skip
    with pytest.raises(Invalid, match="switch it off"):
        store.set_stream("t", stream="KEYS_ONLY")
    store.set_stream("t", stream=False)
    with pytest.raises(Invalid, match="no change stream"):
        table.changes()
    table.put({"id": 1, "n": 2})
    store.set_stream("t", stream="OLD_IMAGE")
    table.put({"id": 1, "n": 3})
    assert seen(table) == [("MODIFY", 1, 2)]
    assert store.verify().ok


def test_old_images_are_known_though_the_frames_that_wrote_them_are_gone(store, clock, monkeypatch):
    store.close()
    monkeypatch.setitem(kv.store.Log.__init__.__kwdefaults__, "segment", 1 << 14)
    with kv.Store(store.path, clock=clock) as store:  # noqa: PLR1704 - opened again
        table = store.create_table("t", key="id:N", stream=True)
        table.put({"id": 1, "n": 0})  # stamped with its frame
        store.set_stream("t", stream=False)
        for n in range(100):
            table.put({"id": 2, "n": n, "text": "x" * 1000})
        store.checkpoint()
        assert store.log.first > table.definition.began + 1
        store.set_stream("t", stream=True)
        table.put({"id": 1, "n": 1})
        assert seen(table) == [("MODIFY", 1, 0)]
        clock.advance(3 * DAY)
        for n in range(200):
            table.put({"id": 2, "n": n, "text": "y" * 1000})
            if n % 50 == 0:
                store.checkpoint()
                clock.advance(DAY)
        with pytest.raises(Trimmed):
            list(table.changes())
        assert store.verify().ok


def test_a_restored_store_begins_its_streams_anew(store, clock):
    table = store.create_table("t", key="id:N")
    for n in range(50):
        table.put({"id": n, "n": 0})
    store.set_stream("t", stream=True)
    store.snapshot("one")
    with kv.Store.restore(store, "one", None, clock=clock) as other:
        other.table("t").put({"id": 1, "n": 1})
        assert seen(other.table("t"))[-1] == ("MODIFY", 1, 0)


def test_a_stream_of_later_is_there_after_a_crash(store, clock, tmp_path):
    table = store.create_table("t", key="id:N")
    table.put({"id": 1, "n": 0})
    store.set_stream("t", stream=True)
    table.put({"id": 1, "n": 1})
    with copied(store, tmp_path / "copy", clock) as other:
        other.table("t").put({"id": 1, "n": 2})
        assert seen(other.table("t")) == [("MODIFY", 1, 0), ("MODIFY", 1, 1)]
