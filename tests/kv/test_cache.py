"""The cache against a dict with expiries, in memory and with a journal; values, times, limits, refusals."""

import math
import sys
import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from crash.recorder import RecordingFileSystem
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from models.cache import Model

from engines.clock import ManualClock, SystemClock
from engines.errors import EngineError, Invalid, NotFound, TooLarge
from engines.kv.cache import Cache
from engines.kv.cache.sizes import size_of

START = 1_700_000_000_000_000  # microseconds

# -- against the model ------------------------------------------------------------------------------------------------

keys = st.sampled_from(["a", "b", b"a", "1", 1, 2.5])
values = st.sampled_from([0, 1, "text", "7", b"bytes", None, [1], {"x": 1}])
ttls = st.none() | st.integers(1, 5)


class Machine(RuleBasedStateMachine):
    """In memory. Containers are in the model as what plain() makes of them."""

    files = None

    def __init__(self):
        super().__init__()
        self.clock, self.model = ManualClock(START), Model(START // 1000)
        self.cache = self.opened()

    def opened(self):
        return Cache(clock=self.clock)

    def teardown(self):
        self.cache.close()

    def both(self, name, *arguments, **options):
        """The same answer, or both refuse."""
        try:
            expected = getattr(self.model, name)(*arguments, **options)
        except KeyError:
            with pytest.raises(EngineError):
                getattr(self.cache, name)(*arguments, **options)
            return
        found = getattr(self.cache, name)(*arguments, **options)
        assert found == expected
        assert type(found) is type(expected)

    def kind(self, key):
        return self.model.live().get(key, (None,))[0] if isinstance(self.model.get(key), tuple) else "string"

    @rule(key=keys, value=values, ttl=ttls, flag=st.sampled_from([None, None, "nx", "xx", "keep_ttl"]))
    def set(self, key, value, ttl, flag):
        options = {flag: True} if flag else {}
        if flag != "keep_ttl" and ttl:
            options["ttl"] = ttl
        self.both("set", key, value, **options)

    @rule(key=keys)
    def get(self, key):
        if self.kind(key) == "string":
            self.both("get", key, 5)
            return
        for call in (self.cache.get, self.cache.incr, lambda key: self.cache.append(key, "x"), self.cache.getset):
            with pytest.raises(Invalid) as refusal:
                call(*((key, 1) if call == self.cache.getset else (key,)))
            assert refusal.value.code == "WRONGTYPE"

    @rule(key=keys, value=values)
    def getset(self, key, value):
        if self.kind(key) == "string":
            self.both("getset", key, value)

    @rule(key=keys, by=st.integers(-3, 3))
    def incr(self, key, by):
        if self.kind(key) == "string" and type(self.model.get(key, 0)) in (int, list):
            self.both("incr", key, by)

    @rule(key=keys)
    def append(self, key):
        if self.kind(key) == "string" and self.model.get(key, "") is not None:
            self.both("append", key, "xy")

    @rule(key=keys, field=st.sampled_from("fg"), value=values)
    def hset(self, key, field, value):
        kind = self.kind(key) if key in self.model.live() else "hash"
        if kind != "hash":
            with pytest.raises(Invalid):
                self.cache.hset(key, {field: value})
            return
        self.cache.hset(key, {field: value})
        self.model.set(key, ("hash", {**self.model.get(key, ("", {}))[1], field: value}), keep_ttl=True)
        assert self.cache.hgetall(key) == self.model.get(key)[1]

    @rule(key=keys, field=st.sampled_from("fg"))
    def hdel(self, key, field):
        if key in self.model.live() and self.kind(key) == "hash":
            left = {name: value for name, value in self.model.get(key)[1].items() if name != field}
            self.cache.hdel(key, field)
            if left:
                self.model.set(key, ("hash", left), keep_ttl=True)
            else:
                self.model.delete(key)

    @rule(some=st.lists(keys, min_size=1, max_size=3), verb=st.sampled_from(["delete", "exists"]))
    def delete_or_count(self, some, verb):
        self.both(verb, *some)

    @rule(key=keys, ttl=st.integers(-1, 5))
    def expire(self, key, ttl):
        self.both("expire", key, ttl)

    @rule(key=keys, verb=st.sampled_from(["persist", "ttl"]))
    def persist_or_ttl(self, key, verb):
        self.both(verb, key)

    @rule(milliseconds=st.sampled_from([1, 500, 999, 1000, 2000, 4999]))
    def wait(self, milliseconds):
        self.clock.advance(milliseconds / 1000)
        self.model.now += milliseconds

    @rule()
    def sweep(self):
        self.cache.expire()

    @rule(sure=st.integers(0, 9))
    def clear(self, sure):
        if not sure:
            self.cache.clear()
            self.model.found.clear()

    @precondition(lambda self: self.files)
    @rule(snapshot=st.booleans())
    def reopen(self, snapshot):
        if snapshot:
            self.cache.save()
        self.cache.close()
        self.cache = self.opened()

    @invariant()
    def the_same_is_there(self):
        live = self.model.live()
        assert sorted(self.cache.keys(), key=repr) == sorted(live, key=repr)
        for key, value in live.items():
            found = self.cache.entry(key)
            expected = value if isinstance(value, tuple) else ("string", value)
            assert (found.kind, found.value, found.expires or 0) == (*expected, self.model.expires(key) * 1000)
            assert type(found.value) is type(expected[1])


class Durable(Machine):
    """With a journal, reopened now and then."""

    def __init__(self):
        self.files = RecordingFileSystem()
        super().__init__()

    def opened(self):
        return Cache("/cache", clock=self.clock, files=self.files, durability="commit")


TestCache = Machine.TestCase
TestDurable = Durable.TestCase
TestCache.settings = settings(max_examples=40, stateful_step_count=40)
TestDurable.settings = settings(max_examples=30, stateful_step_count=30)


# -- values and times -------------------------------------------------------------------------------------------------


@pytest.fixture
def clock():
    return ManualClock(START)


@pytest.fixture
def cache(clock):
    return Cache(clock=clock)


def test_a_time_to_live_is_seconds_in_any_form(cache, clock):
    for key, ttl, milliseconds in (
        ("int", 2, 2000),
        ("float", 0.0015, 2),
        ("tiny", 1e-9, 1),
        ("delta", timedelta(days=1, milliseconds=5), 86_400_005),
        ("long", 10**12, 10**15),
        ("bool", Decimal(1), None),
        ("infinite", math.inf, None),
        ("nan", math.nan, None),
        ("huge", 10**400, None),
        ("zero", 0, None),
        ("negative", -1.5, None),
        ("none of it", timedelta(0), None),
        ("true", True, None),
        ("text", "5", None),
    ):
        if milliseconds is None:
            with pytest.raises(Invalid, match="ttl"):
                cache.set(key, 1, ttl=ttl)
            assert key not in cache
        else:
            cache.set(key, 1, ttl=ttl)
            assert cache.ttl(key) == milliseconds / 1000
    clock.advance(0.002)
    assert sorted(cache.keys()) == ["delta", "int", "long"]


def test_an_expired_key_is_gone_at_its_millisecond_for_every_command(cache, clock):
    cache.set("a", 1, ttl=1)
    cache.hset("h", {"x": 1})
    cache.expire("h", 1)
    clock.advance(0.999)
    assert (cache.get("a"), cache.hget("h", "x"), len(cache)) == (1, 1, 2)
    clock.advance(0.001)
    assert (cache.get("a"), cache.hget("h", "x"), "a" in cache, cache.keys(), cache.type("h")) == (
        None,
        None,
        False,
        [],
        None,
    )
    assert (cache.exists("a", "h"), cache.persist("a"), cache.expire("a", 5), cache.delete("h")) == (0, False, False, 0)
    with pytest.raises(NotFound):
        cache.ttl("a")
    assert (cache.incr("a"), cache.ttl("a")) == (1, None)


def test_expiring_by_a_time_that_is_over_deletes(cache):
    for key, ttl in (("a", 0), ("b", -5), ("c", timedelta(-1))):
        cache.set(key, 1)
        assert cache.expire(key, ttl) is True
    assert len(cache) == 0


def test_time_stands_still_within_a_transaction(clock):
    class Ticking(ManualClock):
        def now(self):
            self.advance(0.001)
            return super().now()

    cache = Cache(clock=Ticking(START))
    cache.set("a", 1, ttl=0.05)
    with cache._lock:
        assert len({cache.ttl("a") for _ in range(100)}) == 1
        assert [cache.get("a") for _ in range(100)] == [1] * 100
    for _ in range(50):
        cache.exists("a")
    assert cache.get("a") is None


def test_the_system_clock_expires_too():
    cache = Cache(clock=SystemClock())
    cache.set("a", 1, ttl=0.001)
    cache.set("b", 1, ttl=1000)
    with cache._lock:
        before = cache._now()
    SystemClock().sleep(0.02)
    assert (cache.get("a"), cache.get("b")) == (None, 1)
    assert 990 < cache.ttl("b") <= 1000
    assert abs(before - SystemClock().now() // 1000) < 60_000


def test_text_and_numbers(cache):
    assert [cache.incr("n", by) for by in (5, -7, Decimal("0.5"))] == [5, -2, Decimal("-1.5")]
    cache.set("t", "10")
    assert (cache.incr("t"), cache.decr("t", 3), cache.get("t")) == ("11", "8", "8")
    assert (cache.append("s", "ab"), cache.append("s", "c"), cache.strlen("s"), cache.strlen("none")) == (2, 3, 3, 0)
    assert (cache.append("b", b"ab"), cache.get("b")) == (2, b"ab")
    for call in (
        lambda: cache.append("s", b"c"),
        lambda: cache.append("n", "c"),
        lambda: cache.append("s", 5),
        lambda: cache.strlen("n"),
        lambda: cache.incr("s"),
        lambda: cache.incr("n", math.nan),
        lambda: cache.decr("n", "1"),
    ):
        with pytest.raises(Invalid):
            call()
    assert (cache.get("s"), cache.get("n")) == ("abc", Decimal("-1.5"))


def test_many_at_once(cache, clock):
    cache.mset({"a": 1, "b": 2}, ttl=5)
    cache.setnx("a", 9)
    cache.setnx("c", 3)
    assert cache.mget("a", "c", "d") == [1, 3, None]
    clock.advance(5)
    assert cache.mget("a", "c", "d") == [None, 3, None]
    with pytest.raises(Invalid, match="mapping"):
        cache.mset([("a", 1)])


def test_the_value_is_the_object_itself(cache):
    value = object()
    cache.set("a", value)
    assert cache.get("a") is value
    assert cache.get("b", value) is value


def test_keys_by_pattern_and_scans(cache):
    for key in ("user:1", "user:22", b"user:3", "cart:1", 5):
        cache.set(key, 1)
    assert sorted(map(str, cache.keys("user:*"))) == ["b'user:3'", "user:1", "user:22"]
    assert cache.keys("user:?[0-9]") == ["user:22"]
    cursor, found = cache.scan(count=2)
    while cursor:
        cursor, some = cache.scan(cursor, count=2)
        found += some
    assert sorted(map(str, found)) == sorted(map(str, cache.scan(count=100)[1]))
    assert cache.scan(10**30) == (0, [])
    for arguments in ({"cursor": -1}, {"count": 0}, {"pattern": 5}):
        with pytest.raises(Invalid):
            cache.scan(**arguments)


@pytest.mark.parametrize(
    "call",
    [
        lambda cache: cache.set("a", 1, nx=True, xx=True),
        lambda cache: cache.set("a", 1, ttl=5, keep_ttl=True),
        lambda cache: cache.expire("a"),
        lambda cache: cache.expire("a", "soon"),
        lambda cache: cache.expire_at("a", -1),
        lambda cache: cache.expire_at("a", 1.5),
        lambda cache: cache.delete(),
        lambda cache: cache.exists(),
        lambda cache: cache.mget(),
        lambda cache: cache.restore("a", "heap", 1, None),
        lambda cache: cache.restore("a", "string", 1, -1),
        lambda cache: cache.save(),
    ],
)
def test_arguments_that_make_no_sense_are_refused_and_nothing_is_done(cache, call):
    with pytest.raises(Invalid):
        call(cache)
    assert len(cache) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"max_items": 0},
        {"max_bytes": -5},
        {"max_bytes": 1.5},
        {"policy": "fifo"},
        {"policy": None},
        {"policy": 5},
        {"durability": "never"},
        {"on_evict": 5},
    ],
)
def test_a_cache_that_makes_no_sense_is_refused(options):
    with pytest.raises(Invalid):
        Cache(**options)


# -- limits -----------------------------------------------------------------------------------------------------------


def test_bytes_are_counted_and_kept_within_the_limit(clock):
    cache = Cache(max_bytes=10_000, clock=clock)
    for number in range(1000):
        cache.set(f"key {number}", "x" * (number % 300))
        assert cache.table.bytes <= 10_000
    assert cache.table.bytes == sum(size_of(key) + size_of(cache.get(key)) + 64 for key in cache.keys())  # noqa: SIM118 - the command of Redis
    with pytest.raises(TooLarge, match="10,000 bytes") as refusal:
        cache.set("big", "x" * 10_000)
    assert (refusal.value.code, refusal.value.limit) == ("OOM", 10_000)
    assert "big" not in cache
    assert len(cache) > 10


def test_a_full_cache_without_a_policy_refuses_before_anything_changes(clock):
    cache = Cache(max_items=3, policy="none", clock=clock)
    cache.set("a", 1)
    cache.hset("h", {"x": 1})
    cache.set("t", 1, ttl=5)
    for call in (
        lambda: cache.set("b", 1),
        lambda: cache.set("b", 1, nx=True),
        lambda: cache.incr("b"),
        lambda: cache.append("b", "x"),
        lambda: cache.rpush("l", 1),
        lambda: cache.sadd("s", 1),
        lambda: cache.restore("b", "list", [1], None),
    ):
        with pytest.raises(TooLarge, match="3 items"):
            call()
    assert sorted(cache.keys()) == ["a", "h", "t"]
    cache.set("a", 2)
    cache.hset("h", {"y": 1})
    clock.advance(5)
    cache.set("b", 1)
    assert len(cache) == 3


def test_a_container_that_outgrows_the_limit_is_kept_and_may_only_shrink(clock):
    cache = Cache(max_bytes=5000, policy="none", clock=clock)
    while cache.table.bytes <= 5000:
        cache.rpush("l", "x" * 100)
    length = cache.llen("l")
    for call in (lambda: cache.rpush("l", 1), lambda: cache.set("a", 1), lambda: cache.hset("h", {"x": 1})):
        with pytest.raises(TooLarge):
            call()
    assert cache.llen("l") == length
    cache.ltrim("l", 0, 5)
    cache.set("a", 1)
    assert cache.rpush("l", 1) == 7


def test_a_growing_container_evicts_others(clock):
    cache = Cache(max_bytes=20_000, policy="lru", clock=clock)
    for number in range(50):
        cache.set(number, "x" * 100)
    for number in range(100):
        cache.hset("h", {number: "x" * 20})
        assert cache.table.bytes <= 20_000
    assert cache.hlen("h") == 100
    assert cache.table.evictions > 10
    assert 49 in cache
    assert 0 not in cache


def test_what_was_evicted_is_told_after_the_fact_and_without_the_lock(clock):
    told, held = [], []

    def on_evict(key, value):
        told.append((key, value, cache.get(key)))
        done = threading.Event()
        thread = threading.Thread(target=lambda: (cache.get("a"), done.set()))
        thread.start()
        held.append(done.wait(10))
        thread.join()

    cache = Cache(max_items=2, policy="lru", on_evict=on_evict, clock=clock)
    for key in "abcd":
        cache.set(key, key.upper(), ttl=5)
    cache.hset("h", {"x": 1})
    assert told == [("a", "A", None), ("b", "B", None), ("c", "C", None)]
    assert all(held)
    clock.advance(5)
    assert len(cache) == 1
    cache.delete("h")
    assert len(told) == 3


def test_what_on_evict_raises_does_not_reach_the_command(monkeypatch):
    caught = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: caught.append(report.exc_type))
    cache = Cache(max_items=1, on_evict=lambda key, value: 1 / 0)
    cache.set("a", 1)
    assert cache.set("b", 2) is True
    assert caught == [ZeroDivisionError]
    assert cache.keys() == ["b"]


def test_stats_count(clock):
    cache = Cache(max_items=2, clock=clock)
    cache.set("a", 1, ttl=1)
    cache.get("a")
    cache.get("b")
    clock.advance(1)
    cache.get("a")
    for key in "cde":
        cache.set(key, 1)
    stats = dict(cache.stats().rows())
    assert [stats[name] for name in ("items", "hits", "misses", "evictions", "expired", "max items", "bytes")] == [
        2, 1, 2, 1, 1, 2, None,
    ]  # fmt: skip
    assert (cache.max_items, cache.max_bytes) == (2, None)
    assert "sieve" in repr(cache)


def test_sizes_follow_the_size_of_values():
    assert size_of("x" * 1000) == sys.getsizeof("x" * 1000)
    assert size_of(["x" * 100] * 1000) == pytest.approx(1000 * 157, rel=0.01)
    assert size_of(dict.fromkeys(range(300), "x" * 100)) > 300 * (149 + 28)
    cache = Cache(max_bytes=1 << 30)
    for kind, add in (
        ("hash", lambda n: cache.hset("hash", {n: "x" * 100})),
        ("list", lambda n: cache.rpush("list", "x" * 100)),
        ("set", lambda n: cache.sadd("set", f"{n:0100}")),
        ("zset", lambda n: cache.zadd("zset", {f"{n:0100}": n})),
    ):
        before = cache.table.bytes
        for n in range(1000):
            add(n)
        assert 150_000 < cache.table.bytes - before < 600_000, kind
    cache.delete(*cache.keys())
    assert cache.table.bytes == 0
    nested = []
    nested.append(nested)
    assert size_of(nested) < 10_000
