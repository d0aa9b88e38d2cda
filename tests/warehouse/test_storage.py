"""Opening, reading and closing a storage; who may write, who sees what; what is refused."""

import threading

import pytest
from warehouse.columns import batch, definitions, rows_of

from engines.clock import ManualClock
from engines.errors import Closed, Conflict, Corrupted, Invalid, Locked, NotFound, ReadOnly
from engines.sql.types import INTEGER, VARCHAR
from engines.warehouse.storage import Storage

COLUMNS = definitions(n=INTEGER, text=VARCHAR)


def append(storage, *numbers, table="t"):
    with storage.begin() as transaction:
        if table not in transaction.tables():
            transaction.create_table(table, COLUMNS)
        transaction.append(table, [batch(COLUMNS, [(n, b"%d" % n) for n in numbers])])


def numbers(storage, table="t"):
    return sorted(n for (n,) in rows_of(storage.table(table), "n"))


@pytest.mark.parametrize("durability", ["commit", "interval", "checkpoint"])
def test_what_was_committed_is_there_when_it_is_opened_again(tmp_path, durability):
    with Storage(tmp_path / "house", durability=durability, slices=3) as storage:
        append(storage, 1, 2)
        append(storage, 3)
    with Storage(tmp_path / "house", slices=2) as storage:
        assert numbers(storage) == [1, 2, 3]
        assert storage.slices == 3
        assert storage.tables() == ["t"]
        assert storage.stats()["commits"] == 2


def test_an_interval_makes_commits_durable_by_itself(tmp_path):
    with Storage(tmp_path / "house", durability="interval") as storage:
        append(storage, 1)
        for _ in range(400):
            if storage.refs.get("HEAD") == storage.view().digest:
                break
            threading.Event().wait(0.01)
        assert storage.refs.get("HEAD") == storage.view().digest


def test_a_storage_in_memory_leaves_nothing_and_needs_nothing():
    with Storage() as storage:
        append(storage, 1)
        assert numbers(storage) == [1]
        assert storage.verify().ok


def test_a_reader_keeps_its_moment_whatever_is_written_and_collected(tmp_path):
    with Storage(tmp_path / "house") as storage:
        append(storage, *range(100))
        before = storage.table("t")
        with storage.begin() as transaction:
            transaction.truncate("t")
        with storage.begin() as transaction:
            transaction.drop_table("t")
        storage.collect(grace=0)
        assert sorted(rows_of(before, "n")) == [(n,) for n in range(100)]
        blobs = len(list(storage.blobs.list()))
        del before
        storage.collect(grace=0)
        assert len(list(storage.blobs.list())) < blobs


def test_a_reader_of_another_process_sees_each_commit(tmp_path):
    with Storage(tmp_path / "house") as storage:
        append(storage, 1)
        with Storage(tmp_path / "house", read_only=True) as reader:
            assert numbers(reader) == [1]
            append(storage, 2)
            assert numbers(reader) == [1, 2]
            with pytest.raises(ReadOnly, match="read_only"):
                reader.begin()


def test_one_process_writes(tmp_path):
    with Storage(tmp_path / "house"), pytest.raises(Locked):
        Storage(tmp_path / "house")


def test_one_transaction_is_open_at_a_time_and_a_forgotten_one_lets_go():
    with Storage() as storage:
        first = storage.begin()
        with pytest.raises(Conflict, match="try again"):
            storage.begin(timeout=0.01)
        first.rollback()
        forgotten = storage.begin()
        del forgotten
        storage.begin(timeout=0.01).rollback()


def test_whoever_waits_goes_on_when_the_other_is_done():
    with Storage() as storage:
        first = storage.begin()
        threading.Timer(0.05, first.rollback).start()
        append(storage, 1)
        assert numbers(storage) == [1]


def test_a_closed_storage_says_so(tmp_path):
    storage = Storage(tmp_path / "house")
    storage.close()
    storage.close()
    for ask in (storage.view, storage.begin, storage.verify, storage.collect):
        with pytest.raises(Closed):
            ask()


def test_names_that_are_not_there_offer_the_nearest(tmp_path):
    with Storage() as storage:
        append(storage, 1, table="orders")
        with pytest.raises(NotFound, match="orders"):
            storage.table("order")
    with pytest.raises(NotFound, match="read_only"):
        Storage(tmp_path / "nothing", read_only=True)


@pytest.mark.parametrize(
    "wrong", [{"durability": "always"}, {"slices": 0}, {"slices": 257}, {"cache": -1}, {"buffer": -1}]
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(Invalid):
        Storage(**wrong)


def test_the_clock_is_the_one_that_was_given():
    with Storage(clock=ManualClock(5_000_000)) as storage:
        append(storage, 1)
        assert storage.view().root.time == 5_000_000


def test_a_blob_that_is_gone_is_damage_and_other_tables_stay_readable(tmp_path):
    with Storage(tmp_path / "house") as storage:
        append(storage, 1, 2, table="a")
        append(storage, 3, table="b")
        (group,) = storage.table("a").state.groups
    (tmp_path / "house/blobs" / group.blob[:2] / group.blob[2:]).unlink()
    with Storage(tmp_path / "house") as storage:
        with pytest.raises(Corrupted, match="gone"):
            rows_of(storage.table("a"))
        assert numbers(storage, "b") == [3]
        assert not storage.verify().ok


def test_many_threads_read_while_one_writes(tmp_path):
    wrong = []
    with Storage(tmp_path / "house") as storage:
        append(storage, 0)

        def read():
            for _ in range(40):
                found = numbers(storage)
                if found != list(range(len(found))):
                    wrong.append(found)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for n in range(1, 15):
            append(storage, n)
        for reader in readers:
            reader.join()
    assert not wrong
