"""Slots and clusters, replicas, channels, transactions of the cache."""

import re
import threading

import pytest
from crash.recorder import RecordingFileSystem
from hypothesis import given
from hypothesis import strategies as st

from engines.clock import ManualClock
from engines.errors import Closed, Conflict, Invalid, NotFound, ReadOnly, TooLarge
from engines.kv.cachechannels import Channels, Message, Publishing, _glob
from engines.kv.cachecluster import SLOTS, CacheCluster, slot_of
from engines.kv.cachecommands import READS, WRITES, keys_of
from engines.kv.cachejournal import CacheJournal
from engines.kv.cachereplica import CacheReplica
from engines.kv.cachesnapshot import Entry
from engines.kv.cachetransaction import Transactions
from engines.kv.cachetypes import CacheTypes, container, plain


class Standing(CacheTypes, Transactions, Publishing):
    """The hooks over a dict, with a journal if it has files."""

    def __init__(self, files=None, clock=None, room=1000):
        self._lock = threading.RLock()
        self.clock = clock or ManualClock()
        self.room = room
        self.found = {}
        self.applying = False
        self.journal = CacheJournal.open(files, "/cache", self.clock, segment=4096) if files else None

    def _container(self, key, kind):
        found, value, _ = self.found.get(key, (kind, None, None))
        if found != kind:
            raise Invalid(f"{key!r} is a {found}, not a {kind}", code="WRONGTYPE")
        return value

    def _keep(self, key, kind, value):
        expires = self.found.pop(key, (None, None, None))[2]
        if len(value):
            self.found[key] = kind, value, expires

    def _record(self, command, *arguments):
        if not self.applying and self.journal:
            self.journal.record(command, *arguments)
        self._changed(command, arguments)

    def _together(self):
        return self.journal.together() if self.journal else super()._together()

    def get(self, key):
        found = self._container(key, "string")
        return found[0] if found else None

    def set(self, key, value):
        with self._lock:
            self._record("set", key, value)
            self._keep(key, "string", [value])

    def incr(self, key, by=1):
        with self._lock:
            value = (self.get(key) or 0) + by
            self.set(key, value)
            return value

    def delete(self, *keys):
        with self._lock:
            gone = [key for key in keys if key in self.found]
            if gone:
                self._record("delete", *gone)
                for key in gone:
                    del self.found[key]
            return len(gone)

    def exists(self, *keys):
        return sum(key in self.found for key in keys)

    def keys(self):
        return list(self.found)

    def __len__(self):
        return len(self.found)

    def entries(self):
        return [Entry(key, *rest) for key, rest in self.found.items()]

    def dump(self, key):
        kind, value, expires = self.found.get(key, (None, None, None))
        return Entry(key, kind, plain(kind, value), expires) if kind else None

    def restore(self, key, kind, value, expires):
        if key not in self.found and len(self.found) >= self.room:
            raise TooLarge("the cache is full")
        self._record("restore", key, kind, plain(kind, value), expires)
        self.found[key] = kind, container(kind, plain(kind, value)), expires

    def apply(self, commands):
        with self._lock:
            self.applying = True
            for name, arguments in commands:
                getattr(self, name)(*arguments)
            self.applying = False

    def close(self):
        if self.journal:
            self.journal.close()


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
    assert slot_of("foo{}{bar}") != slot_of("bar")  # empty first braces: the whole key
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


# -- channels ---------------------------------------------------------------------------------------------------------


def test_a_message_goes_to_who_listens_now():
    cache = Standing()
    assert cache.publish("news", 0) == 0
    with cache.subscribe("news", "other") as one, cache.subscribe(patterns=["n*"]) as two:
        assert cache.publish("news", 1) == 2
        assert cache.publish("other", 2) == 1
        assert cache.channels.listeners() == {"news": 1, "other": 1}
        assert [one.get(0), one.get(0), one.get(0)] == [Message("news", 1, None), Message("other", 2, None), None]
        assert two.get(0) == Message("news", 1, "n*")
    assert cache.publish("news", 3) == 0
    assert cache.channels._by_channel == cache.channels._by_pattern == {}


def test_an_iteration_ends_after_a_time_without_messages_and_can_go_on():
    channels = Channels()
    subscription = channels.subscribe("a", timeout=0)
    channels.publish("a", 1)
    channels.publish("a", 2)
    assert [message.data for message in subscription] == [1, 2]
    channels.publish("a", 3)
    assert [message.data for message in subscription] == [3]


def test_a_full_queue_loses_its_oldest_messages_and_counts_them():
    channels = Channels()
    subscription = channels.subscribe("a", size=3, timeout=0)
    for n in range(10):
        channels.publish("a", n)
    assert len(subscription) == 3
    assert [message.data for message in subscription] == [7, 8, 9]
    assert subscription.dropped == 7


def test_closing_wakes_who_waits_and_leaves_what_is_there():
    channels = Channels()
    subscription, found = channels.subscribe("a"), []
    thread = threading.Thread(target=lambda: found.extend(subscription))
    thread.start()
    channels.publish("a", 1)
    channels.close()
    thread.join(10)
    assert not thread.is_alive()
    assert [message.data for message in found] == [1]
    subscription.close()


def test_all_subscribers_see_one_order():
    channels = Channels()
    subscriptions = [channels.subscribe("a", patterns=["b"], size=10_000, timeout=0) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda name=name: [channels.publish(name, n) for n in range(500)]) for name in "abab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, *others = [[message[:2] for message in subscription] for subscription in subscriptions]
    assert len(first) == 2000
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("*", ["", "a", "a\nb"], []),
        ("h?llo", ["hello", "h\nllo"], ["hllo", "heello"]),
        ("h*llo", ["hllo", "heeello"], ["hello!"]),
        ("h[ae]llo", ["hello", "hallo"], ["hillo"]),
        ("h[^e]llo", ["hallo"], ["hello"]),
        ("h[a-c]llo", ["hbllo"], ["hdllo"]),
        ("h[c-a]llo", ["hbllo"], ["hdllo"]),
        ("[!a]", ["!", "a"], ["b"]),
        (r"\*\?[\]]", ["*?]"], ["ab]", r"\*\?]"]),
        ("[", ["["], ["a", ""]),
        ("a[]", [], ["a", "a]"]),
        ("a[^]", ["a]", "ab"], ["a"]),
        ("a.b|c", ["a.b|c"], ["axb|c", "c"]),
        ("a*b*c", ["abc", "axbxbxc"], ["acb", "ab", "abcx"]),
        (b"n*", [b"news"], [b"a"]),
        ("\\", ["\\"], ["a"]),
    ],
)
def test_patterns_are_those_of_redis(pattern, matches, others):
    channels = Channels()
    with channels.subscribe(patterns=pattern):
        assert [channels.publish(name, 1) for name in matches] == [1] * len(matches)
        assert [channels.publish(name, 1) for name in others] == [0] * len(others)


@given(st.text("a*?b"), st.text("ab"))
def test_stars_find_what_a_plain_expression_finds(pattern, text):
    expected = re.fullmatch(pattern.replace("?", ".").replace("*", ".*"), text) if "**" not in pattern else None
    if "**" not in pattern:
        assert bool(_glob(pattern).match(text)) == bool(expected)


def test_many_stars_do_not_take_for_ever():
    assert not _glob("a*" * 40 + "b").match("a" * 2000)


def test_channels_check_what_they_are_given():
    channels = Channels()
    for wrong in (
        lambda: channels.publish(1, 2),
        channels.subscribe,
        lambda: channels.subscribe("a", size=0),
    ):
        with pytest.raises(Invalid):
            wrong()


# -- transactions -----------------------------------------------------------------------------------------------------


def test_commands_of_a_transaction_run_together_at_its_end():
    cache = Standing()
    with cache.transaction() as transaction:
        transaction.set("a", 1)
        transaction.incr("a", 5)
        transaction.hset("h", {"x": 1})
        assert transaction.get("a") is None
        assert cache.get("a") is None
        assert len(transaction) == 4
    assert transaction.results == [None, 6, 1, 6]
    with pytest.raises(Invalid, match="has ended"):
        transaction.set("a", 2)
    with pytest.raises(AttributeError, match="no command"):
        _ = transaction.publish


def test_a_block_that_raises_runs_nothing():
    cache = Standing()
    with pytest.raises(KeyError), cache.transaction("w") as transaction:  # noqa: PT012 - the block is the point
        transaction.set("a", 1)
        raise KeyError
    assert cache.keys() == []
    assert cache._watchers == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda cache: cache.set("w", 2),
        lambda cache: cache.delete("other", "w"),
        lambda cache: cache.lmove("l", "w"),
        lambda cache: cache.sunionstore("w", "s"),
    ],
)
def test_a_watched_key_that_changed_is_a_conflict_and_nothing_is_done(change):
    cache = Standing()
    cache.rpush("l", 1)
    cache.sadd("s", 1)
    if change.__code__.co_names[0] == "delete":
        cache.set("w", 1)
    with pytest.raises(Conflict, match="'w'"), cache.transaction("w", "v") as transaction:  # noqa: PT012 - the block is the point
        transaction.set("a", 1)
        change(cache)
    assert not cache.exists("a")
    assert cache._watchers == {}


def test_other_keys_and_mere_reading_are_no_conflict():
    cache = Standing()
    cache.set("w", 1)
    with cache.transaction("w") as transaction:
        cache.set("other", 1)
        cache.get("w")
        cache.sadd("s", 1)
        cache.srem("s", 2)
        transaction.set("w", 2)
    assert cache.get("w") == 2


def test_two_who_watch_one_key_come_through_one_after_the_other():
    cache = Standing()
    cache.set("n", 0)

    def add():
        done = 0
        while done < 100:
            try:
                with cache.transaction("n") as transaction:
                    transaction.set("n", cache.get("n") + 1)
                done += 1
            except Conflict:
                pass

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("n") == 300
    assert cache._watchers == {}


def test_discard_forgets_the_queue_and_the_watch():
    cache = Standing()
    with cache.transaction("w") as transaction:
        transaction.set("a", 1)
        cache.set("w", 1)
        transaction.discard()
        transaction.set("b", 1)
    assert (cache.exists("a"), cache.exists("b")) == (0, 1)


def test_a_refused_command_stops_no_other_and_is_raised_at_the_end():
    cache = Standing()
    cache.set("text", "x")
    with pytest.raises(Invalid) as refusal, cache.transaction() as transaction:  # noqa: PT012 - the block is the point
        transaction.set("a", 1)
        transaction.lpush("text", 1)
        transaction.sadd("s")
        transaction.set("b", 2)
    assert refusal.value.code == "WRONGTYPE"
    assert (cache.get("a"), cache.get("b")) == (1, 2)
    assert [type(result).__name__ for result in transaction.results] == ["NoneType", "Invalid", "Invalid", "NoneType"]
