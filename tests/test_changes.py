"""Consumers keep their place: in order, nothing left out, at least once."""

import contextlib
import errno
import sqlite3
import threading

import pytest
from crash.failing import FailingFileSystem
from crash.recorder import RecordingFileSystem
from crash.states import check
from hypothesis import given
from hypothesis import strategies as st
from models.journal import Journal

from engines.changes import Change, Consumer, replay
from engines.errors import Corrupted, Invalid, ReadOnly, Trimmed

keys = st.sampled_from("abcd")
writes = st.lists(st.tuples(keys, st.none() | st.fixed_dictionaries({"n": st.integers(0, 3)})), min_size=1, max_size=3)


def journal_of(*transactions):
    journal = Journal()
    for pairs in transactions:
        journal.write(*pairs)
    return journal


def numbered(count):
    return journal_of(*[[("k", {"n": n})] for n in range(1, count + 1)])


def test_a_consumer_applies_everything_once_and_then_what_is_new():
    journal, seen = numbered(3), []
    consumer = Consumer(journal, "copy", seen.extend)
    assert (consumer.position, consumer.lag()) == (0, 3)
    assert consumer.run() == 3
    assert consumer.run() == 0
    journal.write(("k", None))
    assert consumer.lag() == 1
    assert consumer.run() == 1
    assert [change.sequence for change in seen] == [1, 2, 3, 4]
    assert (consumer.position, consumer.lag()) == (4, 0)


def test_a_restarted_consumer_goes_on_where_it_was(tmp_path):
    journal, seen = numbered(5), []
    folder = str(tmp_path / "consumers")
    assert Consumer(journal, "copy", seen.extend, folder=folder).run(limit=2) == 2
    again = Consumer(journal, "copy", seen.extend, folder=folder)
    assert again.position == 2
    again.run()
    assert [change.sequence for change in seen] == [1, 2, 3, 4, 5]
    assert Consumer(journal, "other", seen.extend, folder=folder).position == 0


def test_a_batch_that_failed_comes_again(tmp_path):
    journal, seen = numbered(5), []

    def apply(changes):
        seen.append([change.sequence for change in changes])
        if seen == [[1, 2], [3, 4]]:
            raise OSError("the index is away")

    folder = str(tmp_path)
    with pytest.raises(OSError, match="away"):
        Consumer(journal, "copy", apply, folder=folder, batch=2).run()
    assert Consumer(journal, "copy", apply, folder=folder, batch=2).run() == 3
    assert seen == [[1, 2], [3, 4], [3, 4], [5]]


def test_a_transaction_is_never_cut():
    three = [("a", {"n": 1}), ("b", {"n": 1}), ("c", {"n": 1})]
    journal, batches = journal_of([("a", {"n": 0})], three, [("a", None)]), []
    consumer = Consumer(journal, "copy", batches.append, batch=2)
    assert consumer.run(limit=2) == 4
    assert consumer.run(limit=1) == 1
    assert [[change.sequence for change in batch] for batch in batches] == [[1, 2, 2, 2], [3]]


@given(st.lists(writes, max_size=12), st.integers(1, 5), st.lists(st.integers(1, 4), max_size=6), st.data())
def test_whatever_the_batches_and_restarts_the_copy_is_the_state(transactions, batch, limits, data):
    journal, copy = journal_of(*transactions), {}
    fails = data.draw(st.integers(0, 5))

    def apply(changes):
        nonlocal copy, fails
        copy = replay(changes, copy)
        fails -= 1
        if fails == 0:
            raise InterruptedError  # after the effect, before the position: the worst moment

    position = 0
    for limit in [*limits, None, None]:
        consumer = Consumer(journal, "copy", apply, batch=batch)
        consumer.seek(position)  # as a restart would
        with contextlib.suppress(InterruptedError):
            consumer.run(limit)
        assert consumer.position >= position
        position = consumer.position
    assert position == journal.sequence
    assert copy == {("t", key): item for key, item in journal.items.items()}
    assert replay(journal.log) == copy


def test_an_effect_that_stores_the_sequence_with_itself_happens_exactly_once(tmp_path):
    journal, folder = numbered(6), str(tmp_path)
    database = sqlite3.connect(tmp_path / "target.db")
    database.execute("CREATE TABLE total (n)")
    database.execute("CREATE TABLE position (sequence)")
    database.execute("INSERT INTO position VALUES (0)")
    database.commit()
    crash = [False, True]

    def apply(changes):
        with database:
            (seen,) = database.execute("SELECT sequence FROM position").fetchone()
            rows = [(change.new["n"],) for change in changes if change.sequence > seen]
            database.executemany("INSERT INTO total VALUES (?)", rows)
            database.execute("UPDATE position SET sequence = ?", (changes[-1].sequence,))
        if changes[-1].sequence == 4 and crash.pop():
            raise InterruptedError

    with pytest.raises(InterruptedError):
        Consumer(journal, "sum", apply, folder=folder, batch=2).run()
    again = Consumer(journal, "sum", apply, folder=folder, batch=2)
    assert again.position == 2  # 3 and 4 come twice
    again.run()
    assert database.execute("SELECT count(*), sum(n) FROM total").fetchone() == (6, 21)
    database.close()


def test_a_trimmed_position_passes_through_and_seek_goes_past_it():
    journal, seen = numbered(9), []
    journal.trim(5)
    consumer = Consumer(journal, "copy", seen.extend)
    with pytest.raises(Trimmed) as caught:
        consumer.run()
    assert caught.value.oldest == 5
    consumer.seek(4)
    assert consumer.run() == 5


def test_following_waits_for_news_and_ends_without_any():
    journal, seen = numbered(1), []
    first = threading.Event()

    def apply(changes):
        seen.extend(change.sequence for change in changes)
        first.set()

    def write():
        first.wait()
        for n in range(2, 5):
            journal.write(("k", {"n": n}))

    writer = threading.Thread(target=write)
    writer.start()
    assert Consumer(journal, "copy", apply).run(4, follow=True) == 4
    writer.join()
    assert seen == [1, 2, 3, 4]
    assert Consumer(journal, "copy", apply).run(follow=True, timeout=0.01) == 4


def test_every_changed_byte_of_a_position_is_found(tmp_path):
    folder = str(tmp_path)
    Consumer(numbered(3), "copy", len, folder=folder).run()
    file = tmp_path / "copy.position"
    data = file.read_bytes()
    assert data.startswith(b"00000000000000000003 ")
    for changed in [
        *(data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :] for i in range(len(data))),
        b"",
        data[:-1],
        data * 2,
    ]:
        file.write_bytes(changed)
        with pytest.raises(Corrupted, match="delete it"):
            Consumer(numbered(3), "copy", len, folder=folder)
    file.write_bytes(data)
    file.rename(tmp_path / "other.position")
    with pytest.raises(Corrupted):
        Consumer(numbered(3), "other", len, folder=folder)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Consumer(Journal(), "../x", len), "name"),
        (lambda: Consumer(Journal(), "", len), "name"),
        (lambda: Consumer(Journal(), "x", len, batch=0), "batch"),
        (lambda: Consumer(Journal(), "x", len).run(0), "limit"),
        (lambda: Consumer(Journal(), "x", len).seek(-1), "position"),
    ],
)
def test_arguments_that_make_no_sense_are_named(call, message):
    with pytest.raises(Invalid, match=message):
        call()


def test_after_a_power_loss_a_consumer_has_left_nothing_out():
    journal = numbered(8)

    def workload(files):
        def apply(changes):
            files.mark(changes[-1].sequence)  # the effect is durable

        Consumer(journal, "copy", apply, files=files, folder="/consumers", batch=2).run()
        files.mark("done")

    def oracle(files, acknowledged):
        consumer = Consumer(journal, "copy", len, files=files, folder="/consumers", batch=2)
        applied = max((mark for mark in acknowledged if mark != "done"), default=0)
        if consumer.position > applied or ("done" in acknowledged and consumer.position != 8):
            return f"position {consumer.position}, applied {applied}"
        consumer.run()
        again = Consumer(journal, "copy", len, files=RecordingFileSystem(files.image()), folder="/consumers")
        return None if again.position == 8 else "the position was not remembered"

    outcome = check(workload, oracle)
    assert outcome.violations == 0, outcome
    assert outcome.images > 20


def test_a_full_disk_is_said_and_the_batch_comes_again():
    seen = []
    for n in range(1, 20):
        files = FailingFileSystem(RecordingFileSystem(), n, errno.ENOSPC, keep=True)
        consumer = Consumer(numbered(3), "copy", seen.append, files=files, folder="/consumers")
        with contextlib.suppress(ReadOnly):
            consumer.run()
            break
        with pytest.raises(ReadOnly, match="the position of consumer 'copy' cannot be written") as refused:
            consumer.run()
        assert refused.value.code == "disk-full"
        assert consumer.position == 0
    assert n > 4  # a folder, a file, its bytes, its sync, its name
    assert len(seen) == 2 * n - 1


def test_a_change_is_a_value():
    change = Change(1, 10, "orders", "REMOVE", ("ann", 17), {"total": 5}, None, expired=True)
    assert change == Change(1, 10, "orders", "REMOVE", ("ann", 17), {"total": 5}, None, expired=True)
    with pytest.raises(AttributeError):
        change.sequence = 2
