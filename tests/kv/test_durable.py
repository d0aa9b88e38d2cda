"""What is acknowledged stays: durabilities, full disks, threads, a map that grows before a checkpoint."""

import contextlib
import errno
import itertools
import random
import threading
from contextlib import ExitStack

import pytest
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem
from crash.states import crash_states
from moments import START

from engines import kv
from engines.errors import (
    ConditionFailed,
    Poisoned,
    ReadOnly,
)


def fill(store, count=20):
    table = store.create_table("orders", key="id:N", ttl="expires", stream=True)
    for number in range(count):
        table.put({"id": number, "text": "x" * number})
    return table


# -- durability --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["commit", "interval", "checkpoint"])
def test_a_closed_store_has_everything_under_each_durability(path, durability):
    with kv.Store(path, durability=durability) as store:
        fill(store, 200)
    with kv.Store(path) as store:
        assert store.table("orders").scan().count == 200


@pytest.mark.parametrize(("durability", "survives"), [("commit", True), ("interval", True), ("checkpoint", False)])
def test_a_killed_process_loses_what_its_durability_allows_and_never_what_was_checkpointed(durability, survives):
    files = RecordingFileSystem()
    store = kv.Store("/shop", files=files, durability=durability)
    table = fill(store, 10)
    store.checkpoint()
    table.put({"id": 77})
    image = files.image()
    store.close()
    with kv.Store("/shop", files=RecordingFileSystem(image)) as again:
        assert again.table("orders").scan().count == 10 + survives


def test_get_consistent_waits_until_what_it_returns_is_on_disk():
    files = RecordingFileSystem()
    store = kv.Store("/shop", files=files, durability="checkpoint")
    table = fill(store, 10)
    assert table.get(7) is not None
    assert store.log.durable < store.log.last
    assert table.get(7, consistent=True) is not None
    assert store.log.durable == store.log.last
    image = files.image()
    store.close()
    with kv.Store("/shop", files=RecordingFileSystem(image)) as again:
        assert again.table("orders").get(7) is not None


def test_attribute_names_learnt_survive_a_power_loss():
    files = RecordingFileSystem()
    store = kv.Store("/shop", files=files)
    table = fill(store, 2)
    store.checkpoint()
    items = [{"id": number, f"name {number}": {"text": number}} for number in range(30)]
    for item in items:
        table.put(item)
    images = list(itertools.islice(crash_states(files.journal, len(files.journal), random.Random(1)), 30))  # noqa: S311 - the same in each run
    store.close()
    for image in [*images, files.image()]:
        with kv.Store("/shop", files=RecordingFileSystem(image)) as again:
            assert again.table("orders").scan().items == items
            again.table("orders").put({"id": 1, "one more": 1})
            assert again.table("orders").get(29) == items[29]


@pytest.mark.parametrize("keep", [True, False])
def test_a_disk_that_fills_up_in_mid_commit_costs_only_what_was_not_acknowledged(keep):
    for n in itertools.count(1):
        recorder = RecordingFileSystem()
        files = FailingFileSystem(recorder, 1_000_000, errno.ENOSPC, keep=keep)
        store = kv.Store("/shop", files=files)
        table = store.create_table("orders", key="id:N")
        files._left = n
        acknowledged = []
        for number in range(6):
            try:
                table.put({"id": number, "text": "x" * 300_000})
                acknowledged.append(number)
            except (ReadOnly, Poisoned) as refused:
                assert refused.code in ("disk-full", "poisoned")  # noqa: PT017 - which one depends on n
        assert [item["id"] for item in table.scan().all()][: len(acknowledged)] or not acknowledged
        image = recorder.image()
        with contextlib.suppress(ReadOnly, Poisoned, OSError):
            store.close()
        with kv.Store("/shop", files=RecordingFileSystem(image)) as again:
            assert set(acknowledged) <= {item["id"] for item in again.table("orders").scan().all()}
            assert again.verify().ok
        recorder.close_all()
        if not files.failed:
            break
    assert n > 10


# -- threads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["commit", "interval"])
def test_eight_threads_lose_no_acknowledged_write_and_the_stream_agrees(path, durability):
    with kv.Store(path, durability=durability) as store:
        table = store.create_table("t", key=("who:S", "n:N"), stream=True)
        failures = []

        def work(me):
            try:
                for number in range(60):
                    table.put({"who": f"w{me}", "n": number, f"name {me} {number % 7}": me})
                    table.put({"who": "shared", "n": number % 5, "by": me, "count": number})
                    table.delete(f"w{me}", number - 3) if number % 4 == 0 and number > 3 else None
                    assert table.get(f"w{me}", number) is not None
            except BaseException as error:  # noqa: BLE001 - shown by the test
                failures.append(error)

        threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            store.checkpoint()
        for thread in threads:
            thread.join()
        assert failures == []
        expected = {(f"w{me}", n) for me in range(8) for n in range(60) if (n + 3) % 4 or n < 1 or n > 53}
        items = {(item["who"], item["n"]): item for item in table.scan().all()}
        assert {key for key in items if key[0] != "shared"} == expected
        store.checkpoint()  # the stream tells only what is on disk
        replayed = {}
        for change in store.changes():
            assert change.old == replayed.pop(change.key, None)
            if change.new is not None:
                replayed[change.key] = change.new
        assert replayed == items
        assert store.verify().ok
    with kv.Store(path) as store:
        assert {(item["who"], item["n"]): item for item in store.table("t").scan().all()} == items


def test_a_condition_lets_one_of_eight_threads_through():
    with kv.Store() as store:
        table = store.create_table("t", key="id:N")
        won = []

        def work(me):
            for number in range(100):
                try:
                    table.put({"id": number, "by": me}, condition="attribute_not_exists(id)")
                    won.append(number)
                except ConditionFailed:
                    pass

        threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == list(range(100))


# -- the map grows -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_map(monkeypatch):
    monkeypatch.setitem(kv.store.Tree.__init__.__kwdefaults__, "map_size", 1 << 18)


def test_the_map_grows_under_puts_batches_and_new_names(small_map):
    with kv.Store() as store:
        table = store.create_table("t", key="id:N", ttl="expires")
        for number in range(300):
            table.put({"id": number, f"name {number}": "x" * 2000, "expires": START * 9})
        with table.batch_writer() as batch:
            for number in range(300, 600):
                batch.put({"id": number, "text": "x" * 2000})
        assert table.scan(count=True).count <= 600
        assert [item["id"] for page in [table.scan()] for item in page.all()] == list(range(600))
        assert table.get(299) == {"id": 299, "name 299": "x" * 2000, "expires": START * 9}
        assert store.tree.stats()["map_bytes"] > 1 << 20
        assert store.verify().ok


def test_the_map_grows_while_a_table_was_dropped_and_made_again_since_the_checkpoint(small_map):
    for checkpoint_between in (True, False):
        with kv.Store() as store:
            fill(store, 5)
            if checkpoint_between:
                store.checkpoint()
            store.drop_table("orders")
            table = store.create_table("orders", key="id:N")
            for number in range(300):
                table.put({"id": number, "text": "x" * 2000})
            assert store.table("orders") is table
            assert store.tables() == ["orders"]
            assert len(table.scan().all()) == 300
            assert store.verify().ok


def test_names_that_a_batch_has_learnt_but_not_yet_logged_survive_a_map_that_grows(small_map):
    with kv.Store() as store:
        table = store.create_table("t", key="id:N")
        batch = ExitStack().enter_context(table.batch_writer())
        rebuild = store.tree.rebuild

        def while_rebuilding(**options):
            batch.put({"id": -1, "learnt late": 1})
            rebuild(**options)

        store.tree.rebuild = while_rebuilding
        for number in range(30):
            table.put({"id": number, "text": "x" * 50_000})
        batch.flush()
        assert table.get(-1) == {"id": -1, "learnt late": 1}
        assert store.verify().ok


def test_many_tables_and_long_names_fit_into_a_map_that_grows(small_map):
    with kv.Store() as store:
        for number in range(60):
            store.create_table(f"t{number}", key="id:N", ttl="expires").put({"id": 1, f"{number:04}" + "n" * 200: 1})
        for number in range(500):
            store.table("t0").put({"id": 0, f"{number:04}" + "n" * 200: 1})
        assert len(store.tables()) == 60
        assert store.verify().ok
