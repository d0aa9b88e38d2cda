"""The cache on disk, and with the rest of its family: transactions, replicas, clusters."""

from decimal import Decimal

import pytest
from crash.recorder import RecordingFileSystem

from engines import kv
from engines.clock import ManualClock
from engines.errors import AlreadyExists, Conflict, Corrupted, Invalid
from engines.kv.cache import Cache
from engines.kv.cache.cluster import CacheCluster
from engines.kv.cache.hooks import Containers
from engines.kv.cache.replica import CacheReplica

START = 1_700_000_000_000_000  # microseconds


@pytest.fixture
def clock():
    return ManualClock(START)


class Thing:
    pass


# -- on disk, and with the rest of the family -------------------------------------------------------------------------


def durable(files, clock, **options):
    return Cache("/cache", clock=clock, files=files, **options)


def test_everything_is_there_again_after_reopening(clock):
    files = RecordingFileSystem()
    with durable(files, clock, durability="commit") as cache:
        cache.set("s", {"a": [1, Decimal("2.5")]}, ttl=10)
        cache.zadd("z", {"x": 1, "y": 2})
        cache.sadd("m", 1, 2)
        cache.rpush("l", "a", "b")
        cache.expire("l", 60)
        cache.incr("s2", 5)
    clock.advance(5)
    with durable(files, clock) as cache:
        assert (cache.get("s"), cache.ttl("s"), cache.zrange("z", 0, -1)) == ({"a": [1, Decimal("2.5")]}, 5, ["x", "y"])
        assert (cache.smembers("m"), cache.lrange("l", 0, -1), cache.ttl("l"), cache.get("s2")) == (
            {1, 2},
            ["a", "b"],
            55,
            5,
        )
        cache.save()
        clock.advance(5)
    with durable(files, clock) as cache:
        assert cache.get("s") is None
        assert sorted(cache.keys()) == ["l", "m", "s2", "z"]
        assert cache.verify().ok


def test_a_key_that_was_touched_while_it_lived_is_replayed_as_it_was(clock):
    files = RecordingFileSystem()
    with durable(files, clock) as cache:
        cache.hset("h", {"a": 1})
        cache.expire("h", 10)
        clock.advance(9)
        cache.hset("h", {"b": 2})
        cache.persist("h")
        cache.set("n", 5, ttl=1)
        clock.advance(1)
        cache.incr("n")
    clock.advance(1000)
    with durable(files, clock) as cache:
        assert cache.hgetall("h") == {"a": 1, "b": 2}
        assert cache.get("n") == 1


def test_evictions_are_replayed_and_a_smaller_limit_is_kept_at_once(clock):
    files = RecordingFileSystem()
    with durable(files, clock, max_items=10) as cache:
        for number in range(100):
            cache.set(number, number)
            cache.get(number % 7)
        left = sorted(cache.keys())
    with durable(files, clock) as cache:
        assert sorted(cache.keys()) == left
    with durable(files, clock, max_items=4) as cache:
        left = sorted(cache.keys())
        assert len(left) == 4
    with durable(files, clock) as cache:
        assert sorted(cache.keys()) == left


def test_what_cannot_be_written_down_is_refused_and_nothing_changes(clock):
    with durable(RecordingFileSystem(), clock) as cache:
        cache.set("a", 1)
        for call in (
            lambda: cache.set("a", Thing()),
            lambda: cache.set(Thing(), 1),
            lambda: cache.hset("a2", {1: Thing()}),
        ):
            with pytest.raises(Invalid) as refusal:
                call()
            assert refusal.value.code == "not-persistent"
        assert cache.keys() == ["a"]
        assert cache.get("a") == 1


def test_a_journal_that_grows_is_replaced_by_a_snapshot(clock):
    files = RecordingFileSystem()
    with durable(files, clock) as cache:
        for number in range(60):
            cache.set("a", f"{number:050000}")
        assert cache.journal._snapshot_bytes > 50_000
    with durable(files, clock) as cache:
        assert cache.get("a") == f"{59:050000}"


def test_a_saved_copy_opens_as_a_cache(clock):
    files = RecordingFileSystem()
    cache = Cache(clock=clock, files=files)
    cache.set("a", 1, ttl=5)
    cache.hset("h", {"x": 1})
    cache.save("/copy")
    with pytest.raises(AlreadyExists):
        cache.save("/copy")
    with Cache("/copy", clock=clock, files=files) as copy:
        assert (copy.get("a"), copy.ttl("a"), copy.hgetall("h")) == (1, 5, {"x": 1})


@pytest.mark.parametrize(
    "command", [("close",), ("_remove_all",), ("set", "a"), ("hset", "s", {"x": 1}), ("set", [], 1)]
)
def test_a_journal_with_what_no_cache_records_is_refused(clock, command):
    cache = Cache(clock=clock)
    cache.set("s", 1)
    with pytest.raises((Corrupted, Invalid)):
        cache.apply([(command[0], command[1:])])
    assert cache.get("s") == 1
    assert not cache.table.unlimited


def test_transactions_on_the_cache(clock):
    cache = Cache(max_items=2, clock=clock)
    cache.set("a", 1, ttl=5)
    with cache.transaction("a") as transaction:
        transaction.incr("a")
        transaction.rpush("l", 1)
    assert (transaction.results, cache.ttl("a")) == ([2, 1], 5)
    for change in (lambda: cache.set("a", 2), lambda: clock.advance(5), lambda: [cache.set(n, n) for n in range(5)]):
        cache.set("a", 1, ttl=5)
        transaction = cache.transaction("a")
        transaction.incr("a")
        change()
        cache.expire()
        with pytest.raises(Conflict), transaction:
            pass
    assert not cache.observed


def test_a_replica_drops_nothing_by_itself_and_is_a_cache_once_promoted(clock):
    primary = durable(RecordingFileSystem(), clock, durability="commit")
    primary.set("a", 1, ttl=5)
    replica = CacheReplica(primary, follow=False)
    primary.hset("h", {"x": 1})
    primary.expire("h", 5)
    replica.catch_up()
    clock.advance(4)
    primary.persist("h")
    clock.advance(4)
    assert (replica.get("a"), replica.hget("h", "x"), len(replica), replica.keys()) == (None, None, 0, [])
    replica.catch_up()
    assert (replica.hgetall("h"), len(replica)) == ({"x": 1}, 1)
    promoted = replica.promote()
    promoted.set("b", 1)
    assert (promoted.observed, len(promoted), promoted.table.expired) == (False, 2, 1)
    primary.close()


def test_caches_make_a_cluster(clock):
    nodes = {name: Cache(clock=clock) for name in "xyz"}
    cluster = CacheCluster(nodes)
    for number in range(60):
        cluster.set(f"key {number}", number, ttl=100)
        cluster.zadd(f"z{number}", {"m": number})
    cluster.reshard(range(0, 16_384, 2), "x")
    assert [cluster.get(f"key {number}") for number in range(60)] == list(range(60))
    assert [cluster.zscore(f"z{number}", "m") for number in range(60)] == list(range(60))
    assert cluster.ttl("key 5") == 100
    assert sum(map(len, nodes.values())) == 120 > len(nodes["x"]) > 60


def test_the_cache_is_exported_and_answers_all_hooks():
    assert kv.Cache is Cache
    for name in ("_container", "_keep", "_record", "_peek", "_write"):
        assert getattr(Cache, name) is not getattr(Containers, name, None)
