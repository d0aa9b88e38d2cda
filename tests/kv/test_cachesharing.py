"""The cache among keys and values that misbehave, the garbage collector and threads."""

import gc
import sys
import threading
import weakref

import pytest

from engines.clock import ManualClock
from engines.errors import Closed
from engines.kv.cache import Cache

START = 1_700_000_000_000_000  # microseconds


@pytest.fixture
def clock():
    return ManualClock(START)


# -- misbehaviour -----------------------------------------------------------------------------------------------------


class Sly:
    """A key whose comparison, or a value whose size or destruction, calls the cache."""

    def __init__(self, call):
        self.call = call

    def __hash__(self):
        return 7

    def __eq__(self, other):
        self.call()
        return self is other

    def __sizeof__(self):
        self.call()
        return 10

    def __del__(self):
        self.call()


@pytest.mark.parametrize(
    "limits", [{"max_items": 5}, {"max_bytes": 900}, {"max_items": 5, "on_evict": lambda *_: None}]
)
def test_keys_and_values_that_call_the_cache(limits, clock):
    cache, calls = Cache(clock=clock, **limits), 0

    def call():
        nonlocal calls
        calls += 1
        if calls < 3000 and calls % 4 == 0:
            cache.set(calls % 8, calls, ttl=1 if calls % 8 else None)
            cache.get(7)
            cache.hset("h", {calls % 3: calls})
            cache.delete(calls % 5)
            if calls % 100 == 0:
                clock.advance(1)
                cache.clear()

    for number in range(300):
        cache.set(Sly(call) if number % 3 else number % 8, Sly(call), ttl=3 if number % 2 else None)
        cache.get(7)
    assert calls > 100
    assert cache.table.bytes <= 900
    assert len(cache) <= 9
    cache.clear()
    while len(cache.table):
        cache.clear()


def test_what_a_size_raises_stores_nothing():
    def refuse():
        raise ZeroDivisionError

    cache = Cache(max_bytes=1000)
    cache.set("a", 1)
    value = Sly(refuse)
    with pytest.raises(ZeroDivisionError):
        cache.set("a", value)
    assert cache.get("a") == 1
    value.call = lambda: None


class Thing:
    pass


def test_a_dropped_cache_and_its_values_are_collected(clock):
    cache, value = Cache(clock=clock, on_evict=lambda key, value: None), Thing()
    value.cache = cache
    cache.set("a", value)
    cache.sadd("s", 1)
    gone = weakref.ref(cache), weakref.ref(value)
    del cache, value
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


@pytest.mark.parametrize("observed", [False, True])
def test_no_reference_is_lost_or_kept(clock, observed):
    value, options = Thing(), {"on_evict": lambda *_: None} if observed else {}
    before = sys.getrefcount(value)
    cache = Cache(max_items=3, clock=clock, **options)
    for number in range(50):
        cache.set(number % 7, value, ttl=2 if number % 2 else None)
        cache.get(number % 5, value)
        cache.getset(number % 4, value)
        cache.hset("h", {"x": value})
        cache.rpush("l", value)
        clock.advance(0.5)
    cache.clear()
    gc.collect()
    assert sys.getrefcount(value) == before


# -- threads ----------------------------------------------------------------------------------------------------------


def test_threads_share_a_cache(clock):
    cache, errors = Cache(max_items=50, clock=clock), []

    def work(seed):
        try:
            for number in range(300):
                cache.set((seed * number) % 97, number, ttl=1 + number % 3)
                cache.get(number % 97)
                cache.rpush("queue", number)
                cache.get("counter")
                with cache._lock:
                    cache.set("counter", (cache.get("counter") or 0) + 1)
        except BaseException as error:  # noqa: BLE001 - told to the main thread
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    assert not errors
    assert len(cache) <= 50


def test_increments_of_many_threads_add_up():
    cache, barrier = Cache(), threading.Barrier(4)

    def work():
        barrier.wait()
        for _ in range(500):
            cache.incr("n")
            cache.hincrby("h", "n")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    assert (cache.get("n"), cache.hget("h", "n")) == (2000, 2000)


def test_who_finds_the_lock_taken_waits_and_closing_wakes_all():
    cache, entered, answers = Cache(), threading.Event(), []

    def wait():
        entered.set()
        try:
            answers.append(cache.set("a", 1))
        except Closed as error:
            answers.append(error)

    with cache._lock:
        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        entered.wait(10)
        assert cache.get("a") is None
        cache.close()
        assert answers == []
    for thread in threads:
        thread.join(10)
    assert [type(answer) for answer in answers] == [Closed] * 3


def test_after_close_everything_says_so(clock):
    cache = Cache(clock=clock)
    cache.set("a", 1)
    cache.close()
    cache.close()
    for call in (lambda: cache.get("a"), lambda: cache.set("a", 1), lambda: cache.hset("h", {1: 1}), cache.keys):
        with pytest.raises(Closed):
            call()
    with Cache() as other:
        other.set("a", 1)
    with pytest.raises(Closed):
        len(other)
