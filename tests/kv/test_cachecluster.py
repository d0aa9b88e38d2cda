"""Slots and clusters of caches, and their replicas."""

import threading
from binascii import crc_hqx

import pytest
from crash.recorder import RecordingFileSystem
from hypothesis import given
from hypothesis import strategies as st
from models.cachestanding import Standing

from engines.errors import Closed, Invalid, NotFound, ReadOnly, TooLarge
from engines.kv.cache.cluster import SLOTS, CacheCluster, slot_of
from engines.kv.cache.commands import READS, WRITES, keys_of
from engines.kv.cache.replica import CacheReplica
from engines.kv.cache.types import CacheTypes, plain

# -- slots and clusters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "slot"),
    [  # as redis-cli CLUSTER KEYSLOT has them
        ("123456789", 0x31C3),
        ("foo", 12182),
        (b"foo", 12182),
        ("bar", 5061),
        ("hello", 866),
        ("", 0),
    ],
)
def test_slots_are_those_of_redis(key, slot):
    assert slot_of(key) == slot


def test_the_text_between_the_first_braces_makes_the_slot():
    assert slot_of("{user:7}:cart") == slot_of("{user:7}:orders") == slot_of("user:7")
    assert slot_of("a{user:7}{b}") == slot_of("user:7")
    assert slot_of("foo{}{bar}") == crc_hqx(b"foo{}{bar}", 0) % SLOTS  # empty first braces: the whole key
    assert slot_of("foo{{bar}}") == slot_of("{bar")
    assert slot_of("foo}{bar") != slot_of("bar")
    assert slot_of(7) == slot_of("7")


@given(st.binary())
def test_a_slot_is_a_crc_of_the_key_bit_by_bit(key):
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    if 0 <= start < end - 1:
        key, whole = key[start + 1 : end], key
        assert slot_of(whole) == slot_of(key) or b"{" in key
    crc = 0
    for byte in key:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    if b"{" not in key:
        assert slot_of(key) == crc % SLOTS


def cluster_of(*names, room=1000):
    caches = {name: Standing(room=room) for name in names}
    return CacheCluster(caches), caches


def test_keys_are_shared_out_and_found_again():
    cluster, caches = cluster_of("a", "b", "c")
    for n in range(300):
        cluster.set(f"key {n}", n)
    assert [cluster.get(f"key {n}") for n in range(300)] == list(range(300))
    assert len(cluster.keys()) == sum(len(cache) for cache in caches.values()) == 300
    assert all(60 < len(cache) < 140 for cache in caches.values())
    assert all(caches[cluster.name_of(f"key {n}")].get(f"key {n}") == n for n in range(300))
    assert {name: len(slots) for name, slots in cluster.slots().items()} == {"a": 5462, "b": 5461, "c": 5461}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("delete", ("foo", "bar")),
        ("sinter", ("foo", "bar")),
        ("lmove", ("foo", "bar")),
        ("smove", ("foo", "bar", 1)),
        ("sunionstore", ("foo", "bar")),
        ("zunionstore", ("foo", ["bar"])),
    ],
)
def test_keys_of_two_slots_are_refused_also_within_one_cache(name, arguments):
    cluster, _ = cluster_of("a")
    with pytest.raises(Invalid, match="hash tag") as refusal:
        getattr(cluster, name)(*arguments)
    assert refusal.value.code == "CROSSSLOT"


def test_keys_with_one_hash_tag_go_together():
    cluster, _ = cluster_of("a", "b", "c")
    cluster.rpush("{q}:waiting", 1, 2)
    assert cluster.lmove("{q}:waiting", "{q}:running") == 1
    cluster.zadd("{q}:x", {"a": 1})
    assert cluster.zunionstore("{q}:y", ["{q}:x", "{q}:x"]) == 1
    assert cluster.delete("{q}:waiting", "{q}:running", "{q}:none") == 2


def test_what_needs_no_key_is_no_command_of_a_cluster():
    cluster, _ = cluster_of("a")
    with pytest.raises(AttributeError, match="no command"):
        cluster.stats()
    with pytest.raises(Invalid, match="needs a key"):
        cluster.delete()
    with pytest.raises(Invalid, match="a key is a str"):
        cluster.get(None)


def test_slots_move_with_their_keys():
    cluster, caches = cluster_of("a", "b")
    for n in range(200):
        cluster.hset(f"key {n}", {"n": n})
    before = len(caches["a"])
    caches["c"] = cluster._caches["c"] = Standing()
    slots = cluster.slots()["a"][::2]
    moved = cluster.reshard(slots, "c")
    assert 0 < moved == len(caches["c"]) == before - len(caches["a"])
    assert cluster.slots()["c"] == slots
    assert [cluster.hget(f"key {n}", "n") for n in range(200)] == list(range(200))
    assert cluster.reshard(slots, "c") == 0
    again = CacheCluster(caches, cluster.slots())
    assert [again.hget(f"key {n}", "n") for n in range(200)] == list(range(200))


def test_slots_move_while_commands_go_on():
    cluster, caches = cluster_of("a", "b")
    for n in range(300):
        cluster.set(f"key {n}", 0)
    stop = threading.Event()
    counts = [0, 0]

    def count(worker):
        while not stop.is_set():
            for n in range(worker, 300, 2):
                cluster.incr(f"key {n}")
            counts[worker] += 1

    threads = [threading.Thread(target=count, args=(worker,)) for worker in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        cluster.reshard(range(SLOTS), "b")
        cluster.reshard(range(SLOTS), "a")
    stop.set()
    for thread in threads:
        thread.join()
    assert [cluster.get(f"key {n}") for n in range(300)] == [counts[n % 2] for n in range(300)]
    assert len(caches["b"]) == 0


def test_a_move_that_fails_loses_nothing_and_goes_on_later():
    caches = {"a": Standing(), "b": Standing(room=3)}
    cluster = CacheCluster(caches, {"a": range(SLOTS), "b": []})
    for n in range(10):
        cluster.set(f"key {n}", n)
    with pytest.raises(TooLarge):
        cluster.reshard(range(SLOTS), "b")
    assert (len(caches["a"]), len(caches["b"])) == (7, 3)
    caches["b"].room = 5
    found = {cluster.get(f"key {n}") for n in range(10) if caches["b"].exists(f"key {n}")}
    assert len(found) == 3
    left = next(key for key in caches["a"].keys())  # noqa: SIM118 - no dict
    assert cluster.get(left) is not None  # a command takes its key along
    assert caches["b"].exists(left)
    cluster.set("new", 1)
    assert caches["b"].exists("new")
    caches["b"].room = 100
    assert cluster.reshard(range(SLOTS), "b") == 6
    assert [cluster.get(f"key {n}") for n in range(10)] == list(range(10))


def test_a_cluster_checks_what_it_is_given():
    with pytest.raises(Invalid, match="at least one"):
        CacheCluster({})
    with pytest.raises(Invalid, match="every slot"):
        CacheCluster({"a": Standing()}, {"a": [1]})
    with pytest.raises(NotFound, match="did you mean 'north'"):
        CacheCluster({"north": Standing()}, {"nort": range(SLOTS)})
    cluster, _ = cluster_of("a", "b", "c")
    for slots in ([-1], [SLOTS], ["1"], [True]):
        with pytest.raises(Invalid, match="whole numbers"):
            cluster.reshard(slots, "a")
    with pytest.raises(NotFound):
        cluster.reshard([1], "d")
    cluster._moving[1] = "b"
    with pytest.raises(Invalid, match="on their way"):
        cluster.reshard([1], "c")


def test_every_command_on_containers_has_its_place_in_the_table():
    public = {
        name for base in CacheTypes.__mro__[1:-2] for name in vars(base) if not name.startswith("_")
    }  # without object and the hooks
    assert public <= READS | WRITES
    assert not READS & WRITES
    assert keys_of("zunionstore", ("d", ["a", "b"], None)) == ("d", "a", "b")
    assert keys_of("lmove", ("a", "b", "left", "right")) == ("a", "b")
    assert keys_of("hset", ("a", {})) == ("a",)


# -- replicas ---------------------------------------------------------------------------------------------------------


def primary_with(files):
    primary = Standing(files)
    primary.set("text", [1])
    primary.hset("h", {"a": 1})
    primary.zadd("z", {"a": 1.5})
    primary.journal.log.sync()
    return primary


def contents(cache):
    return {key: (kind, plain(kind, value), expires) for key, kind, value, expires in cache.entries()}


def test_a_replica_starts_from_a_copy_and_follows():
    primary = primary_with(RecordingFileSystem())
    with CacheReplica(primary, follow=False) as replica:
        assert contents(replica._cache) == contents(primary)
        assert replica._cache.found["text"][1][0] is not primary.found["text"][1][0]
        assert replica.lag() == 0
        primary.rpush("l", 1, 2)
        primary.lpop("l")
        assert replica.lag() == 2
        assert replica.llen("l") == 0
        assert replica.catch_up() == 0  # not on disk yet: a restarted primary might not know it
        primary.journal.log.sync()
        assert replica.catch_up() == 2
        assert (replica.lag(), replica.position, replica.lrange("l")) == (0, 5, [2])
        assert replica.get("text") == [1]
        assert len(replica) == len(replica.keys()) == 4
    primary.close()


def test_a_replica_takes_no_writes_until_it_is_promoted():
    primary = primary_with(RecordingFileSystem())
    replica = CacheReplica(primary, follow=False)
    for name in ("set", "lpush", "sunionstore"):
        with pytest.raises(ReadOnly, match="primary"):
            getattr(replica, name)
    with pytest.raises(AttributeError):
        _ = replica.nonsense
    primary.set("late", 1)
    cache = replica.promote()
    cache.set("new", 1)
    assert cache.get("new") == replica.get("new") == 1
    assert cache.get("late") is None
    with pytest.raises(Closed, match="promoted"):
        replica.catch_up()
    replica.close()
    primary.close()


def test_a_transaction_reaches_a_replica_whole():
    primary = primary_with(RecordingFileSystem())
    with CacheReplica(primary, follow=False) as replica, primary.transaction() as transaction:
        transaction.set("a", 1)
        transaction.set("b", 2)
    primary.journal.log.sync()
    assert [len(found.commands) for found in primary.journal.changes(3)] == [2]
    assert replica.catch_up() == 1
    primary.close()


def test_a_replica_that_fell_behind_the_trimmed_journal_starts_anew():
    primary = primary_with(RecordingFileSystem())
    replica = CacheReplica(primary, follow=False)
    for n in range(40):
        primary.rpush("l", "x" * 500, n)
    primary.delete("h")
    primary.journal.snapshot(primary.entries())
    primary.set("after", 1)
    assert replica.catch_up() == 42
    assert contents(replica._cache) == contents(primary)
    replica.close()
    primary.close()


def test_a_replica_follows_by_itself():
    primary = primary_with(RecordingFileSystem())
    with CacheReplica(primary) as replica:
        primary.set("news", 1)
        primary.journal.log.sync()
        applied = threading.Event()
        for _ in range(200):
            if replica.get("news") == 1:
                break
            applied.wait(0.05)
        assert replica.get("news") == 1
    primary.close()


def test_a_cache_without_a_journal_has_no_replicas():
    with pytest.raises(Invalid, match="without a path"):
        CacheReplica(Standing())
