"""Caches in memory: a trace of zipfian keys through a cache that holds a fifth of them, hits, sets, a million expiries.

Keys are drawn with exponent 0.9, so a cache that keeps the right fifth answers two of three. The hit rate stands beside
the time, since a miss costs a user far more than either; LRU's is compared with a reference after each lap. The laps
are one long trace, because in a short one SIEVE and LFU are the same: until the hand comes round again.

With a TTL all entries live an hour, longer than the race: the price of the clock and of the bookkeeping. In "cachebox
VTTL" and in ours each entry has a time to live of its own, in "cachebox" and "cachetools" all have one. In the last two
groups nothing is evicted: a million keys are set, and, when all are due, dropped.
"""

import time
from collections import OrderedDict

import numpy as np
import pytest
from adapters.cache import ADAPTERS
from race import Lane, entrants, group, race, report

ASIDE, ASIDE_TTL = "cache [memory] get, set on a miss", "cache [memory] get, set with a TTL on a miss"
HIT, HIT_TTL = "cache [memory] hit", "cache [memory] hit, entries with a TTL"
SET, SET_TTL = "cache [memory] set that evicts", "cache [memory] set that evicts, with a TTL"
FILL, EXPIRE = "cache [memory] set with a TTL, no limit", "cache [memory] expire all"

PLAIN = ("engines", "engines, lru", "engines, lfu", "cachebox", "cachebox LFU", "cachetools", "lru-dict")
TIMED = ("engines", "engines, lru", "cachebox VTTL", "cachebox", "cachetools")
EXPIRING = ("engines", "cachebox VTTL", "cachebox", "cachetools")
EXACT = {"engines, lru", "cachebox", "cachetools", "lru-dict"}  # LRU without a TTL
HOUR = 3600
SPREAD = 5  # keys for each entry of the cache
LAPS = 4  # times as many as others have: short ones find a quiet moment, but the trace has to be long


class Trace:
    """Keys to ask for, popular ones often; everything follows from the seed."""

    def __init__(self, capacity, seed=1):
        self.capacity = capacity
        self.keys = [f"user{i:08d}" for i in range(SPREAD * capacity)]
        self._by_rank = np.random.default_rng([seed, 1]).permutation(len(self.keys))
        weights = np.cumsum(np.arange(1, len(self.keys) + 1) ** -0.9)
        self._cumulated = weights / weights[-1]
        self._seed = seed
        self._lru, self._hits = OrderedDict(), []

    def lap(self, number, length=1):
        """`length` times the capacity of keys; another number gives other ones."""
        draws = np.random.default_rng([self._seed, 2, number]).random(length * self.capacity)
        return [self.keys[i] for i in self._by_rank[np.searchsorted(self._cumulated, draws)]]

    def lru_hits(self, number):
        """How many keys of a lap a cache finds that saw the laps before it and drops the least recently used."""
        while len(self._hits) <= number:
            hits = 0
            for key in self.lap(len(self._hits)):
                if key in self._lru:
                    hits += 1
                    self._lru.move_to_end(key)
                else:
                    self._lru[key] = key
                    if len(self._lru) > self.capacity:
                        self._lru.popitem(last=False)
            self._hits.append(hits)
        return self._hits[number]


@pytest.fixture(scope="module")
def trace(scale):
    return Trace(min(20_000, scale.items))


def asiding(name, trace, place, ttl):
    """Each lap goes on with the cache that the laps before it have left."""
    adapter, hits = ADAPTERS[name](trace.capacity, ttl), []

    def check(lap, found):
        expected = trace.lru_hits(lap)
        if ttl is None and name in EXACT:
            assert found == expected
        if lap > LAPS:  # the cache is full by now
            hits.append(found)
            lane.info["hit_rate"] = sum(hits) / len(hits) / lane.operations
            assert found > expected * 0.8

    lane = Lane(place, name, len(trace.lap(0)), adapter.aside, trace.lap, check)
    return lane


def hitting(name, trace, place, ttl):
    """The popular keys, all of them there; drawn as popular as they are."""
    popular = trace.lap(0, 3)
    adapter = ADAPTERS[name](len(set(popular)), ttl)
    adapter.fill(popular)

    def check(_, found):
        assert found == len(popular)
        assert adapter.peek(popular[0]) == popular[0]

    return Lane(place, name, len(popular), adapter.hits, lambda _: popular, check)


def setting(name, trace, place, ttl):
    """Every key in turn, so none is there any more when it comes again."""
    adapter = ADAPTERS[name](trace.capacity, ttl)

    def prepare(_):
        adapter.fill(trace.keys[: trace.capacity])
        return trace.keys[trace.capacity :]

    def check(_, __):
        assert adapter.expire() == trace.capacity if ttl else len(adapter.cache) == trace.capacity
        assert adapter.peek(trace.keys[-1]) == trace.keys[-1]

    def run(keys):
        adapter.fill(keys)

    return Lane(place, name, len(trace.keys) - trace.capacity, run, prepare, check)


@pytest.fixture(scope="module")
def asides(request, scale, trace):
    return race([asiding(name, trace, ASIDE, None) for name in entrants(request)], LAPS * scale.rounds)


@group(ASIDE)
@pytest.mark.parametrize("system", PLAIN)
def bench_get_or_set(benchmark, asides, system):
    report(benchmark, asides[ASIDE, system])


@pytest.fixture(scope="module")
def timed_asides(request, scale, trace):
    return race([asiding(name, trace, ASIDE_TTL, HOUR) for name in entrants(request)], LAPS * scale.rounds)


@group(ASIDE_TTL)
@pytest.mark.parametrize("system", TIMED)
def bench_get_or_set_with_a_ttl(benchmark, timed_asides, system):
    report(benchmark, timed_asides[ASIDE_TTL, system])


@pytest.fixture(scope="module")
def hits(request, scale, trace):
    return race([hitting(name, trace, HIT, None) for name in entrants(request)], scale.rounds)


@group(HIT)
@pytest.mark.parametrize("system", PLAIN)
def bench_hit(benchmark, hits, system):
    report(benchmark, hits[HIT, system])


@pytest.fixture(scope="module")
def timed_hits(request, scale, trace):
    return race([hitting(name, trace, HIT_TTL, HOUR) for name in entrants(request)], scale.rounds)


@group(HIT_TTL)
@pytest.mark.parametrize("system", TIMED)
def bench_hit_with_a_ttl(benchmark, timed_hits, system):
    report(benchmark, timed_hits[HIT_TTL, system])


@pytest.fixture(scope="module")
def sets(request, scale, trace):
    return race([setting(name, trace, SET, None) for name in entrants(request)], scale.rounds)


@group(SET)
@pytest.mark.parametrize("system", PLAIN)
def bench_set(benchmark, sets, system):
    report(benchmark, sets[SET, system])


@pytest.fixture(scope="module")
def timed_sets(request, scale, trace):
    return race([setting(name, trace, SET_TTL, HOUR) for name in entrants(request)], scale.rounds)


@group(SET_TTL)
@pytest.mark.parametrize("system", TIMED)
def bench_set_with_a_ttl(benchmark, timed_sets, system):
    report(benchmark, timed_sets[SET_TTL, system])


# -- everything expires -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expiries(request, scale):
    """Set all, wait until all is due, drop all: setting and dropping are timed. At full scale a million keys."""
    count = {"smoke": 2_000, "small": 200_000}.get(scale.name, 1_000_000)
    ttl = {"smoke": 0.1, "small": 1.0}.get(scale.name, 5.0)
    keys = [f"session{i:08d}" for i in range(count)]

    def filling(name):
        def run(adapter):
            adapter.fill(keys)
            return adapter

        def check(_, adapter):
            assert adapter.peek(keys[-1]) == keys[-1]

        return Lane(FILL, name, count, run, lambda _: ADAPTERS[name](0, HOUR), check)

    def expiring(name):
        def prepare(_):
            adapter = ADAPTERS[name](0, ttl)
            adapter.fill(keys)
            time.sleep(ttl + 0.05)
            return adapter

        def check(_, left):
            assert left == 0

        return Lane(EXPIRE, name, count, lambda adapter: adapter.expire(), prepare, check)

    names = entrants(request)
    return race([lane(name) for lane in (filling, expiring) for name in names], min(scale.rounds, 5))


@group(FILL)
@pytest.mark.parametrize("system", EXPIRING)
def bench_fill_with_a_ttl(benchmark, expiries, system):
    report(benchmark, expiries[FILL, system])


@group(EXPIRE)
@pytest.mark.parametrize("system", EXPIRING)
def bench_expire(benchmark, expiries, system):
    report(benchmark, expiries[EXPIRE, system])
