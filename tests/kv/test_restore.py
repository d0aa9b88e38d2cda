"""Point-in-time restore: any moment of a table's last 35 days, against a plain replay of the list of changes."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.items import items as any_items
from models.items import normal, shown
from moments import DAY, START

from engines import kv
from engines.clock import ManualClock
from engines.errors import AlreadyExists, Closed, Corrupted, EngineError, Invalid, NotFound
from engines.storage.files import disk_error


@pytest.fixture
def store(clock, tmp_path):
    with kv.Store(tmp_path / "shop", clock=clock) as store:
        yield store


def held(table):
    return sorted(map(repr, table.scan().all()))


def restored(store, at, name="t"):
    """What a restore gives, as held() shows it; the table is dropped again."""
    table = store.restore_table(name, at=at, to="restored")
    found = held(table)
    assert store.verify().ok
    store.drop_table("restored")
    return found


def test_every_second_of_a_table_can_be_restored(store, clock):
    table = store.create_table("t", key="id:N", pitr=True)
    past = {}
    for second in range(60):
        table.put({"id": second % 7, "second": second})
        if second % 5 == 0:
            table.delete((second + 3) % 7)
        past[clock.now() / 1e6] = held(table)
        clock.advance(1)
    for at, items in past.items():
        assert restored(store, at) == items
    assert held(table) == items


def test_changes_of_one_microsecond_are_restored_together(store, clock):
    table = store.create_table("t", key="id:N", pitr=True)
    for number in range(3):
        table.put({"id": number})
    clock.advance(0.000001)
    table.put({"id": 3})
    assert len(restored(store, Decimal(START))) == 3
    assert len(restored(store, Decimal(START) + Decimal("0.000001"))) == 4
    assert len(restored(store, datetime.fromtimestamp(START, UTC))) == 3


keys = st.integers(0, 5)
steps = st.one_of(
    st.tuples(st.just("put"), keys, any_items),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("wait"), st.sampled_from([1, 3600, DAY, 9 * DAY])),
    st.just(("checkpoint",)),
    st.just(("reopen",)),
)


@settings(max_examples=25)
@given(st.lists(steps, min_size=5, max_size=25), st.randoms(use_true_random=False))
def test_a_restored_table_is_what_a_replay_of_the_changes_up_to_then_gives(tmp_path_factory, steps, random):
    path, clock = tmp_path_factory.mktemp("store") / "shop", ManualClock(START * 1_000_000)
    store = kv.Store(path, clock=clock)
    table = store.create_table("t", key="id:N", pitr=True)
    changes = []  # (time, key, item or None)
    for step in steps:
        match step:
            case ("put", key, item):
                changes.append((clock.now(), key, {**item, "id": key}))
                table.put({**item, "id": key})
            case ("delete", key):
                changes.append((clock.now(), key, None))
                table.delete(key)
            case ("wait", seconds):
                clock.advance(seconds)
            case ("checkpoint",):
                store.checkpoint()
            case ("reopen",):
                store.close()
                store = kv.Store(path, clock=clock)
                table = store.table("t")
    times = sorted({time for time, *_ in changes} | {START * 1_000_000, clock.now()})
    times = [time for time in times if time >= clock.now() - 35 * DAY * 1_000_000]
    for time in random.sample(times, min(len(times), 4)):
        model = {key: item for when, key, item in changes if when <= time}
        found = store.restore_table("t", at=Decimal(time) / 1_000_000, to="then")
        items = {item["id"]: shown(item) for item in found.scan()}
        assert items == {key: shown(normal(item)) for key, item in model.items() if item is not None}
        store.drop_table("then")
    store.close()


def test_35_days_are_covered_while_older_bases_and_log_are_dropped(store, clock, small_segments):
    store = kv.Store(clock=clock)
    table = store.create_table("t", key="id:N", pitr=True)
    past = {}
    for day in range(80):
        for number in range(10):
            table.put({"id": number, "day": day, "text": "x" * 500})
        clock.advance(DAY / 2)
        past[clock.now() / 1e6] = day
        clock.advance(DAY / 2)
        store.checkpoint()
        if day % 13 == 0:
            for at, then in past.items():
                if at > clock.now() / 1e6 - 35 * DAY:
                    (item, *_) = store.restore_table("t", at=at, to="then").scan()
                    assert item["day"] == then
                    store.drop_table("then")
    assert store.log.first > 300
    assert 35 <= len(store.bases.all()[1]) <= 37
    with pytest.raises(NotFound, match=r"is not kept: it can be restored to moments from 20\d\d-") as error:
        store.restore_table("t", at=START, to="then")
    assert 35 <= (error.value.latest - error.value.earliest).days <= 37
    assert "then" not in store.tables()
    blobs = sum(1 for _ in store.kept_snapshots.place.blobs.list())
    assert blobs < 4 * 37
    assert store.verify().ok
    store.close()


def test_a_table_is_covered_from_when_pitr_was_switched_on_until_it_is_switched_off(store, clock):
    table = store.create_table("t", key="id:N")
    for number in range(300):
        table.put({"id": number, "text": "x" * 300})
        if number % 100 == 0:
            store.checkpoint()
    with pytest.raises(NotFound, match=r"recovery of table t is off.*set_pitr"):
        store.restore_table("t", at=START, to="then")
    clock.advance(10)
    store.set_pitr("t", enabled=True)
    clock.advance(10)
    table.put({"id": 0, "new": True})
    clock.advance(10)
    assert restored(store, START + 15) != held(table)
    assert restored(store, START + 25) == held(table)
    store.set_pitr("t", enabled=False)
    assert store.bases.all() == {}
    with pytest.raises(NotFound, match="is off"):
        store.restore_table("t", at=START + 15, to="then")
    with pytest.raises(Invalid, match="True or False"):
        store.set_pitr("t", enabled="yes")
    with pytest.raises(NotFound, match="did you mean 't'"):
        store.set_pitr("tt", enabled=True)


def test_moments_before_the_first_base_are_not_covered(clock, tmp_path, small_segments):
    with kv.Store(tmp_path / "shop", clock=clock) as store:
        table = store.create_table("t", key="id:N")
        for number in range(100):
            table.put({"id": number, "text": "x" * 1000})
        store.checkpoint()
        assert store.log.first > table.definition.began
        clock.advance(100)
        store.set_pitr("t", enabled=True)
        table.put({"id": 1000})
        with pytest.raises(NotFound, match="2023-11-14T22:15:00Z") as error:
            store.restore_table("t", at=START + 99, to="then")
        assert error.value.earliest == datetime.fromtimestamp(START + 100, UTC)
        assert len(restored(store, START + 100)) == 101


def test_a_dropped_and_a_recreated_table_are_found_by_their_name_at_the_time(store, clock):
    store.create_table("other", key="id:N", pitr=True)
    for life in range(3):
        table = store.create_table("t", key="id:N" if life < 2 else "name:S", pitr=True)
        clock.advance(1)
        table.put({"id": life, "name": f"{life}", "text": "x" * life})
        clock.advance(2 * DAY)
        store.checkpoint()
        clock.advance(1)
        store.drop_table("t")
        clock.advance(1)
    length = 2 * DAY + 3
    for life in range(3):
        at = START + life * length
        assert restored(store, at + 0.5) == []
        (item,) = store.restore_table("t", at=at + 2, to="then").scan()
        assert item["name"] == f"{life}"
        store.drop_table("then")
        with pytest.raises(NotFound, match="no table 't' then"):
            store.restore_table("t", at=at + 2 * DAY + 2.5, to="then")
    with pytest.raises(NotFound, match="did you mean 'other'"):
        store.restore_table("othr", at=START + 1, to="then")


def test_key_indexes_and_capacity_are_taken_over_and_stream_ttl_and_pitr_are_off(store, clock):
    indexes = [
        {"name": "by-total", "key": ("customer:S", "total:N"), "projection": ("state",), "local": True},
        {"name": "by-state", "key": "state:S", "projection": "KEYS_ONLY"},
    ]
    table = store.create_table(
        "t", ("customer:S", "order:N"), ttl="expires", stream=True, indexes=indexes, capacity=(50, 100), pitr=True
    )
    for number in range(20):
        table.put({"customer": "ann", "order": number, "total": number * 2, "state": "new", "expires": START + 1000})
    table.create_index("later", "total:N")
    clock.advance(1)
    before = table.describe()
    clock.advance(2000)
    table = store.restore_table("t", at=START + 1, to="then")
    after = table.describe()
    for name in ("key", "indexes", "capacity", "items"):
        assert after[name] == before[name]
    assert (after["ttl"], after["stream"], after["pitr"]) == (None, None, False)
    query = table.query(
        "customer = :c AND #t > :t", index="by-total", names={"#t": "total"}, values={":c": "ann", ":t": 30}
    )
    assert [item["order"] for item in query] == [16, 17, 18, 19]
    assert table.query("#s = :s", index="by-state", names={"#s": "state"}, values={":s": "new"}).count == 20
    assert list(store.changes(store.log.last - 3)) == []
    clock.advance(10_000)
    store.expire()
    assert table.scan().count == 20
    assert table.put({"customer": "ann", "order": 1}, returns="ALL_OLD")["expires"] == START + 1000
    assert store.verify().ok


def test_what_had_expired_by_then_is_not_restored_unless_the_table_shows_it(store, clock):
    for name, shows in (("hides", False), ("shows", True)):
        table = store.create_table(name, "id:N", ttl="expires", show_expired=shows, pitr=True)
        for number in range(10):
            table.put({"id": number, "expires": START + number})
    clock.advance(20)
    assert len(restored(store, START, "hides")) == 9
    assert len(restored(store, START + 5, "hides")) == 4
    assert len(restored(store, START + 5, "shows")) == 10
    table = store.restore_table("hides", at=START + 5, to="again", ttl="expires")
    assert table.scan().count == 0
    assert store.verify().ok
    with pytest.raises(Invalid, match="no part of the key"):
        store.restore_table("hides", at=START + 5, to="more", ttl="id")


def test_a_time_to_live_that_was_switched_since_is_that_of_the_moment(store, clock):
    table = store.create_table("t", "id:N", pitr=True)
    until = {"second": START + 100, "until": START + 1000}
    table.put({"id": 1} | until)
    clock.advance(10)  # from here on it has none ...
    store.set_ttl("t", "second")
    clock.advance(100)  # ... here "second" is over: nobody sees the item ...
    store.set_ttl("t", None)
    store.set_ttl("t", "until")
    clock.advance(10)  # ... and here "until" is not
    assert held(table) == [repr({"id": 1} | until)]
    for at, ttl, seen in (
        (START + 5, None, True),  # what it is now says nothing about then
        (START + 5, "until", True),
        (START + 50, None, True),
        (START + 50, "until", True),
        (START + 105, None, False),
        (START + 115, "until", True),
        (START + 115, "second", False),
    ):
        found = store.restore_table("t", at=at, to="then", ttl=ttl)
        assert found.get(1) == ({"id": 1} | until if seen else None), (at, ttl)
        assert store.verify().ok
        assert bool(found.records.due and found.records.due.first()) == (
            ttl is not None and bool(found.describe()["items"])
        )
        store.drop_table("then")
    found = store.restore_table("t", at=START + 50, to="then", ttl="until")
    clock.advance(START + 1000 - clock.now() // 1_000_000)
    assert found.get(1) is None
    assert store.expire() >= 1
    assert found.describe()["items"] == 0


def test_long_keys_and_names_learnt_late_are_restored(store, clock):
    table = store.create_table("t", key=("id:S", "part:B"), pitr=True)
    table.put({"id": "x" * 2000, "part": b"\0" * 1024, "first": 1})
    clock.advance(2 * DAY)
    store.checkpoint()
    table.put({"id": "x" * 2000, "part": b"\1" * 1024, "a name": 1})
    table.put({"id": "x" * 1999 + "y", "part": b"", "another": {"deep": 1}} | {"part": b"z"})
    clock.advance(1)
    assert restored(store, START + 1) == [repr({"id": "x" * 2000, "part": b"\0" * 1024, "first": 1})]
    assert restored(store, START + 2 * DAY + 1) == held(table)
    then = store.restore_table("t", at=START + 2 * DAY + 1, to="then")
    assert then.get("x" * 2000, b"\1" * 1024)["a name"] == 1
    then.put({"id": "new", "part": b"1", "a third name": 1})
    assert table.get("x" * 2000, b"\1" * 1024)["a name"] == 1


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"at": START, "to": "t"}, AlreadyExists, "'t' already"),
        ({"at": START, "to": "a b"}, Invalid, "letters, digits"),
        ({"at": "yesterday", "to": "then"}, Invalid, "datetime, or a number of seconds"),
        ({"at": True, "to": "then"}, Invalid, "datetime, or a number of seconds"),
        ({"at": float("nan"), "to": "then"}, Invalid, "datetime, or a number of seconds"),
        ({"at": float("inf"), "to": "then"}, Invalid, "datetime, or a number of seconds"),
        ({"at": Decimal("NaN"), "to": "then"}, Invalid, "datetime, or a number of seconds"),
        ({"at": datetime(2024, 1, 1), "to": "then"}, Invalid, "no time zone"),  # noqa: DTZ001 - that is refused
        ({"at": START + 1, "to": "then"}, NotFound, "in the future"),
        ({"at": START - 1, "to": "then"}, NotFound, "from 2023-11-14T22:13:20Z to 2023-11-14T22:13:20Z"),
        ({"to": "then"}, Invalid, "at=.*snapshot="),
        ({"at": START, "snapshot": "x", "to": "then"}, Invalid, "at=.*snapshot="),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_made(store, arguments, error, says):
    store.create_table("t", key="id:N", pitr=True).put({"id": 1})
    before = store.log.last
    with pytest.raises(error, match=says):
        store.restore_table("t", **arguments)
    assert store.tables() == ["t"]
    assert store.log.last == before


def test_a_damaged_base_is_named_and_nothing_is_left_of_the_restore(store, clock, tmp_path):
    table = store.create_table("t", key="id:N", pitr=True)
    for number in range(50):
        table.put({"id": number})
    clock.advance(2 * DAY)
    store.checkpoint()
    clock.advance(1)
    for blob in sorted((tmp_path / "shop" / "snapshots").glob("??/*")):
        data = bytearray(blob.read_bytes())
        data[len(data) // 2] ^= 1
        blob.write_bytes(data)
        with pytest.raises(Corrupted, match=blob.name):
            store.restore_table("t", at=clock.now() / 1e6, to="then")
        assert store.tables() == ["t"]
        assert blob.name in str(store.verify())
        data[len(data) // 2] ^= 1
        blob.write_bytes(data)
    assert store.verify().ok


def test_a_base_that_could_not_be_taken_is_taken_later_and_the_log_is_kept(store, clock, monkeypatch, small_segments):
    table = store.create_table("t", key="id:N", pitr=True)
    first = store.log.first

    def refuse(*_):
        raise disk_error("no blob can be written", OSError(28, "No space left on device"))

    with monkeypatch.context() as patch:
        patch.setattr(store.kept_snapshots.place, "put_table", refuse)
        for day in range(80):
            table.put({"id": day, "text": "x" * 3000})
            clock.advance(DAY)
            store.checkpoint()
        assert store.log.first == first
        assert len(restored(store, START + 50 * DAY)) == 51
    store.checkpoint()
    assert len(store.bases.all()[1]) == 1


def test_a_table_half_filled_when_the_process_died_is_gone_at_the_next_open(tmp_path, clock):
    from crash.recorder import RecordingFileSystem  # noqa: PLC0415 - only here

    files = RecordingFileSystem()
    store = kv.Store("/shop", clock=clock, files=files)
    table = store.create_table("t", key="id:N", pitr=True)
    with table.batch_writer() as batch:
        for number in range(2000):
            batch.put({"id": number})
    images = []
    acknowledge = store.frames.write_together

    def writing(writes, token=b""):
        sequence = acknowledge(writes, token)
        store.log.sync()
        images.append(files.image())
        return sequence

    store.frames.write_together = writing
    store.restore_table("t", at=START, to="then")
    store.close()
    assert len(images) > 5
    for image in images[::3]:
        with kv.Store("/shop", clock=clock, files=RecordingFileSystem(image)) as again:
            assert again.tables() == ["t"]
            assert list(again.schema.by_name) == ["t"]
            assert again.verify().ok
            assert again.restore_table("t", at=START, to="then").scan(count=True).count == 2000


def test_a_closed_store_says_so(clock):
    store = kv.Store(clock=clock)
    store.create_table("t", key="id:N", pitr=True)
    store.close()
    for use in (lambda: store.restore_table("t", at=START, to="then"), lambda: store.set_pitr("t", enabled=True)):
        with pytest.raises(Closed):
            use()
    assert issubclass(Closed, EngineError)
