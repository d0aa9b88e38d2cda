"""The cache on disk: what values become, a journal replayed, snapshots, damage with its place."""

import math
import struct
import threading
from decimal import Decimal
from enum import IntEnum

import pytest
from crash.recorder import RecordingFileSystem
from hypothesis import example, given
from hypothesis import strategies as st
from models.cachestanding import Standing

from engines.clock import ManualClock
from engines.errors import AlreadyExists, Closed, Corrupted, Invalid, Locked, Poisoned, ReadOnly
from engines.kv.cache import codec as cachecodec
from engines.kv.cache import journal as cachejournal
from engines.kv.cache import snapshot as cachesnapshot
from engines.kv.cache.journal import CacheJournal, save
from engines.kv.cache.snapshot import Entry
from engines.kv.cache.types import container, plain

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(max_size=20)
)
hashables = st.recursive(
    scalars, lambda inner: st.frozensets(inner, max_size=3) | st.tuples(inner, inner), max_leaves=4
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=3)
        | st.dictionaries(hashables, inner, max_size=3)
        | st.sets(hashables, max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=8,
)


def typed(value):
    """A value with the type of everything in it: 1, 1.0 and True are three."""
    if isinstance(value, dict):
        return dict, [(typed(key), typed(each)) for key, each in value.items()]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(map(repr, map(typed, value)))
    if isinstance(value, (list, tuple)):
        return type(value), [typed(each) for each in value]
    return type(value), struct.pack("<d", value) if isinstance(value, float) else str(value)


@given(st.lists(values, max_size=5))
@example([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1])
@example([-0.0, math.inf, Decimal("-0"), Decimal("1.00"), Decimal("sNaN"), {1: {2: (3, {4})}}, {True: 1}])
def test_every_value_comes_back_with_its_type(found):
    again = cachecodec.decode(cachecodec.encode(found), "file", 0)
    assert typed(again) == typed(found)


def test_a_number_longer_than_python_writes_out_comes_back():
    assert cachecodec.decode(cachecodec.encode([10**6000, -(10**6000)]), "file", 0) == [10**6000, -(10**6000)]


def refusal_of(data):
    """The file and offset that Corrupted names, None if the bytes are values."""
    try:
        cachecodec.decode(data, "a file", 7)
    except Corrupted as damage:
        return damage.file, damage.offset
    return None


@given(st.binary(max_size=60))
def test_other_bytes_are_values_or_corrupted_and_nothing_else(data):
    assert refusal_of(data) in (None, ("a file", 7))


@given(st.lists(values, max_size=3), st.data())
def test_a_changed_byte_is_values_or_corrupted_and_nothing_else(found, data):
    encoded = bytearray(cachecodec.encode(found))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert refusal_of(bytes(encoded)) in (None, ("a file", 7))


class Colour(IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


def nested(depth):
    return [] if depth == 0 else [nested(depth - 1)]


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Colour.RED,
        Text("a"),
        bytearray(b"a"),
        1j,
        range(3),
        "\ud800",
        {"\ud800": 1},
        [{1: object()}],
        nested(80),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_come_back_as_it_was_is_refused(value):
    with pytest.raises(Invalid, match="cannot be persisted") as refusal:
        cachecodec.encode([value])
    assert refusal.value.code == "not-persistent"
    assert cachecodec.encode([nested(60)])


# -- the journal ------------------------------------------------------------------------------------------------------

START = 1_000_000 * 1_000_000


def opened(files, durability="commit", **options):
    return CacheJournal.open(files, "/cache", ManualClock(START), durability, **options)


def reopened(journal, files):
    journal.close()
    return opened(files)


def test_what_was_recorded_is_replayed_in_order():
    files = RecordingFileSystem()
    journal = opened(files)
    assert list(journal.replay()) == []
    journal.acknowledge(journal.record("hset", "k", {"a": Decimal(1), 2: b"x"}))
    journal.record("delete", b"k", 7)
    journal.acknowledge()
    journal = reopened(journal, files)
    assert list(journal.replay()) == [("hset", ("k", {"a": Decimal(1), 2: b"x"})), ("delete", (b"k", 7))]
    journal.close()
    journal.close()


def test_a_transaction_is_one_frame():
    files = RecordingFileSystem()
    journal = opened(files)
    with journal.together():
        journal.record("sadd", "a", 1)
        with journal.together():
            journal.record("sadd", "b", 2)
        assert list(journal.changes(0)) == []
    with journal.together():
        pass
    with pytest.raises(KeyError), journal.together():  # noqa: PT012 - what was done before it raised is recorded
        journal.record("sadd", "c", 3)
        raise KeyError
    journal.acknowledge()
    assert [(found.sequence, found.commands) for found in journal.changes(0)] == [
        (1, [("sadd", ("a", 1)), ("sadd", ("b", 2))]),
        (2, [("sadd", ("c", 3))]),
    ]
    assert [found.sequence for found in journal.changes(1)] == [2]
    journal.close()


def test_a_transaction_on_a_journal_that_takes_nothing_is_refused_at_its_first_command():
    files = RecordingFileSystem()
    journal = opened(files)
    journal.log.refuse(Poisoned("the disk failed"))
    with journal.together(), pytest.raises(Poisoned):
        journal.record("sadd", "a", 1)
    journal.close()


def test_a_value_that_cannot_be_persisted_leaves_no_trace():
    files = RecordingFileSystem()
    journal = opened(files)
    with pytest.raises(Invalid, match="persisted"):
        journal.record("set", "k", object())
    with journal.together(), pytest.raises(Invalid, match="persisted"):
        journal.record("set", "k", object())
    assert journal.log.last == 0
    journal.close()


ENTRIES = [
    Entry("text", "string", "value", None),
    Entry(b"h", "hash", {"a": 1, 2: [None]}, START + 5),
    Entry("l", "list", container("list", [1, "b", b"c"]), None),
    Entry(3, "set", container("set", {"a", b"a"}), None),
    Entry("z", "zset", container("zset", [("a", 1.5), (b"b", -math.inf)]), None),
]


def shown(entry):
    value = plain(entry.kind, entry.value)
    return entry.key, entry.kind, sorted(map(repr, value)) if entry.kind == "set" else value, entry.expires


def test_a_snapshot_stands_for_what_was_recorded_before_it():
    files = RecordingFileSystem()
    journal = opened(files, segment=4096)
    for n in range(40):
        journal.acknowledge(journal.record("rpush", "l", "x" * 500, n))
    journal.snapshot(ENTRIES)
    assert len(journal.log.layout()) == 1
    journal.record("delete", "text")
    journal = reopened(journal, files)
    *restored, last = list(journal.replay())
    assert [command for command, _ in restored] == ["restore"] * len(ENTRIES)
    assert [shown(Entry(*arguments)) for _, arguments in restored] == list(map(shown, ENTRIES))
    assert last == ("delete", ("text",))
    assert list(journal.replay()) == [last]  # the entries are given once: their memory is the cache's
    journal.snapshot([])
    journal = reopened(journal, files)
    assert list(journal.replay()) == []
    journal.close()


@pytest.mark.parametrize("size", [0, 1, 30, 400])
def test_a_snapshot_of_any_size_is_read_as_written(size):
    files = RecordingFileSystem({"/s": None})
    entries = [Entry(n, "string", "x" * 1000, n if n % 2 else None) for n in range(size)]
    data = cachesnapshot.encode(entries, 17, 99)
    fd = files.open("/s/snapshot", create=True)
    files.pwrite(fd, data, 0)
    assert cachesnapshot.read(files, "/s/snapshot") == (17, 99, len(data), entries)
    assert cachesnapshot.read(files, "/s/none") is None
    for end in range(0, len(data), len(data) // 50 + 1):
        files.truncate(fd, end)
        with pytest.raises(Corrupted) as damage:
            cachesnapshot.read(files, "/s/snapshot")
        assert (damage.value.file, damage.value.offset <= end) == ("/s/snapshot", True)
        files.pwrite(fd, data[end:], end)
    files.pwrite(fd, b"more", len(data))
    with pytest.raises(Corrupted) as damage:
        cachesnapshot.read(files, "/s/snapshot")
    assert damage.value.offset == len(data)


def test_a_damaged_snapshot_is_named_and_nothing_is_opened():
    files = RecordingFileSystem()
    journal = opened(files)
    journal.snapshot(ENTRIES)
    journal.close()
    fd = files.open("/cache/snapshot")
    files.pwrite(fd, b"?", files.size(fd) - 3)
    with pytest.raises(Corrupted, match="offset 32") as damage:
        opened(files)
    assert (damage.value.file, damage.value.offset) == ("/cache/snapshot", 32)
    files.pwrite(fd, b"?", 9)
    with pytest.raises(Corrupted) as damage:
        opened(files)
    assert damage.value.offset == 0


def test_a_snapshot_that_is_gone_is_not_taken_for_an_empty_cache():
    files = RecordingFileSystem()
    journal = opened(files, segment=4096)
    for _ in range(20):
        journal.acknowledge(journal.record("rpush", "l", "x" * 500))
    journal.snapshot([])
    journal.close()
    files.unlink("/cache/snapshot")
    with pytest.raises(Corrupted, match="missing"):
        opened(files)


def test_verify_reads_the_snapshot_and_the_log():
    files = RecordingFileSystem()
    journal = opened(files)
    journal.snapshot(ENTRIES)
    assert journal.verify().ok
    fd = files.open("/cache/snapshot")
    files.pwrite(fd, b"?", 40)
    assert "snapshot is damaged at offset 32" in str(journal.verify())
    journal.close()


def test_a_frame_that_holds_no_commands_is_named():
    files = RecordingFileSystem()
    for payload in (["a", 1], [[]], [[1, "k"]], [["sadd", "k"], None], [["restore", "k", "tree", 1, None]]):
        journal = opened(files)
        sequence = journal.log.append(cachecodec.encode(payload))
        journal.acknowledge()
        with pytest.raises(Corrupted, match=f"frame {sequence} holds no commands"):
            list(journal.changes(sequence - 1))
        journal.close()


def test_a_recorded_restore_comes_back_with_its_container():
    files = RecordingFileSystem()
    journal = opened(files)
    for entry in ENTRIES:
        journal.record("restore", entry.key, entry.kind, plain(entry.kind, entry.value), entry.expires)
    journal = reopened(journal, files)
    assert [shown(Entry(*arguments)) for _, arguments in journal.replay()] == list(map(shown, ENTRIES))
    journal.close()


def test_a_snapshot_is_due_when_the_log_has_outgrown_it():
    files = RecordingFileSystem()
    journal = opened(files, "checkpoint")
    big = "x" * (cachejournal.LEAST_GROWTH // 4)
    for _ in range(4):
        assert not journal.due
        journal.record("set", "k", big)
    assert journal.due
    with journal.together():
        assert not journal.due
    journal = reopened(journal, files)
    assert len(list(journal.replay())) == 4
    assert journal.due
    journal.snapshot([Entry(n, "string", big, None) for n in range(8)])
    assert not journal.due
    for _ in range(8):
        journal.record("set", "k", big)
    assert not journal.due  # it is twice the size of the snapshot that counts
    for _ in range(9):
        journal.record("set", "k", big)
    assert journal.due
    journal.close()


def test_a_disk_that_is_full_costs_a_snapshot_and_nothing_else():
    class Full(RecordingFileSystem):
        full = False

        def rename(self, source, target):
            if self.full:
                raise OSError(28, "No space left on device")
            super().rename(source, target)

    files = Full()
    journal = opened(files)
    journal.record("sadd", "a", 1)
    files.full = True
    with pytest.raises(ReadOnly, match="nothing is lost"):
        journal.snapshot(ENTRIES)
    journal.acknowledge(journal.record("sadd", "a", 2))
    files.full = False
    journal = reopened(journal, files)
    assert list(journal.replay()) == [("sadd", ("a", 1)), ("sadd", ("a", 2))]
    journal.close()


def test_a_damaged_log_opens_read_only_with_what_is_before():
    files = RecordingFileSystem()
    journal = opened(files)
    for n in range(5):
        journal.acknowledge(journal.record("sadd", "a", n))
    journal.close()
    path = journal.log.layout()[0][0]
    fd = files.open(path)
    data = files.pread(fd, files.size(fd), 0)
    files.pwrite(fd, b"?", data.rindex(cachecodec.encode(["sadd", "a", 3])))
    journal = opened(files)
    assert journal.damage is not None
    assert list(journal.replay()) == [("sadd", ("a", n)) for n in range(3)]
    for refused in (lambda: journal.record("sadd", "a", 9), lambda: journal.snapshot([])):
        with pytest.raises(Corrupted):
            refused()
    assert not journal.verify().ok
    journal.close()


def test_who_waits_for_the_disk_does_not_hold_the_lock():
    cache = Standing(RecordingFileSystem(), durability="commit")
    waiting, acknowledge = [], cache.journal.acknowledge

    def waits(sequence):
        other = threading.Thread(target=cache.exists_locked)
        other.start()
        other.join(10)
        waiting.append((sequence, other.is_alive()))
        acknowledge(sequence)

    def exists_locked():
        with cache._lock:
            return cache.exists("a")

    cache.exists_locked, cache.journal.acknowledge = exists_locked, waits
    cache.set("a", 1)
    cache.hincrby("h", "n")  # hset within: acknowledged once
    cache.smembers("s")
    with cache.transaction() as transaction:
        transaction.set("b", 1)
        transaction.set("c", 2)
    assert waiting == [(1, False), (2, False), (3, False)]
    assert cache.journal.log.durable == 3
    cache.close()


def test_a_sync_that_failed_is_heard_of_at_the_end_of_the_command():
    class Failing(RecordingFileSystem):
        broken = False

        def fdatasync(self, fd):
            if self.broken:
                raise OSError(5, "Input/output error")
            super().fdatasync(fd)

    files = Failing()
    cache = Standing(files, durability="commit")
    cache.set("a", 1)
    files.broken = True
    with pytest.raises(Poisoned):
        cache.set("a", 2)
    with pytest.raises(Poisoned):
        cache.sadd("s", 2)
    assert cache.smembers("s") == set()
    cache.close()


def test_a_folder_has_one_writer_and_one_engine():
    files = RecordingFileSystem()
    journal = opened(files)
    with pytest.raises(Locked):
        opened(files)
    journal.close()
    with pytest.raises(Closed):
        journal.record("sadd", "a", 1)
    opened(files).close()
    fd = files.open("/cache/ENGINE")
    files.truncate(fd, 0)
    files.pwrite(fd, b"kv 1\n", 0)
    with pytest.raises(Invalid, match="belongs to the kv engine"):
        opened(files)


def test_a_saved_cache_opens_as_one():
    files = RecordingFileSystem()
    save(files, "/cache", ManualClock(START), ENTRIES)
    with pytest.raises(AlreadyExists, match="another folder"):
        save(files, "/cache", ManualClock(START), [])
    journal = opened(files)
    assert [shown(Entry(*arguments)) for _, arguments in journal.replay()] == list(map(shown, ENTRIES))
    journal.acknowledge(journal.record("sadd", "a", 1))
    journal.close()
    with pytest.raises(AlreadyExists):
        save(files, "/cache", ManualClock(START), [])
