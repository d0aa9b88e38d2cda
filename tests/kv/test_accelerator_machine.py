"""An accelerator against a model that knows every state the table ever had, and who may still see which.

Few keys, writes through the accelerator and past it, time in steps that meet the ends of entries and items exactly.
Whatever comes back is spoiled at once: the next answer must not notice.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from models.accelerator import Accelerated
from models.items import shown
from moments import START

from engines import kv
from engines.clock import ManualClock
from engines.errors import ConditionFailed

keys = st.tuples(st.sampled_from("ab"), st.integers(0, 3))
contents = st.fixed_dictionaries({}, optional={"v": st.integers(0, 3), "w": st.lists(st.integers(0, 1), max_size=2)})
lives = st.none() | st.integers(-1, 9)
ways = st.booleans()


def spoil(item):
    for value in item.values():
        if isinstance(value, list):
            value.append("spoilt")
    item["spoilt"] = True


class Accelerators(RuleBasedStateMachine):
    """One table, one accelerator before it."""

    @initialize(
        most=st.sampled_from([3, 100]),
        by_bytes=st.booleans(),
        ttl=st.sampled_from([0, 2, 5]),
        query_ttl=st.sampled_from([0, 2, 5]),
        own_clock=st.booleans(),
    )
    def create(self, most, by_bytes, ttl, query_ttl, own_clock):
        self.clock = ManualClock(START * 1_000_000)
        self.ages = ManualClock(0) if own_clock else self.clock
        self.store = kv.Store(clock=self.clock)
        self.table = self.store.create_table("t", key=("p:S", "s:N"), ttl="x")
        limits = {"max_items": 100, "max_bytes": 300 * most} if by_bytes else {"max_items": most}
        self.most = limits
        self.fast = kv.Accelerator(self.table, ttl=ttl, query_ttl=query_ttl, clock=self.ages, **limits)
        self.model = Accelerated(["p", "s"], self.clock, "x", ttl, query_ttl)

    def target(self, through):
        return self.fast if through else self.table

    def item(self, key, content, life):
        item = {"p": key[0], "s": key[1]} | content
        return item if life is None else item | {"x": life + self.clock.now() // 1_000_000}

    # -- writing ------------------------------------------------------------------------------------------------------

    @rule(key=keys, content=contents, life=lives, through=ways)
    def put(self, key, content, life, through):
        item = self.item(key, content, life)
        old = self.model.put(item)
        assert shown(self.target(through).put(item, returns="ALL_OLD")) == shown(old)
        self.model.wrote(key, through=through)
        spoil(item)

    @rule(key=keys, through=ways)
    def delete(self, key, through):
        old = self.model.delete(key)
        assert shown(self.target(through).delete(*key, returns="ALL_OLD")) == shown(old)
        self.model.wrote(key, through=through)

    @rule(key=keys, through=ways)
    def update(self, key, through):
        new = dict(self.model.get(key) or {"p": key[0], "s": key[1]})
        new["n"] = new.get("n", 0) + 1
        self.model.put(new)
        found = self.target(through).update(key, "ADD n :one", values={":one": 1}, returns="ALL_NEW")
        assert shown(found) == shown(new)
        self.model.wrote(key, through=through)
        spoil(found)

    @rule(key=keys, through=ways)
    def remove(self, key, through):
        """An update that may leave an item absent."""
        new = self.model.get(key)
        if new is not None:
            self.model.put({name: value for name, value in new.items() if name != "v"})
        self.target(through).update(key, "REMOVE v")
        self.model.wrote(key, through=through)

    @rule(key=keys, content=contents, how=st.sampled_from(["put", "delete", "update"]))
    def refused(self, key, content, how):
        """What is cached stays, so a get may show what it could before."""
        options = {"condition": "v = :nine", "values": {":nine": 9}}
        writes = {
            "put": lambda: self.fast.put(self.item(key, content, None), **options),
            "delete": lambda: self.fast.delete(*key, **options),
            "update": lambda: self.fast.update(key, "SET v = :nine", **options),
        }
        with pytest.raises(ConditionFailed) as failure:
            writes[how]()
        assert shown(failure.value.item) == shown(self.model.get(key))

    @rule(batch=st.lists(st.tuples(keys, st.none() | contents, lives), max_size=6), through=ways)
    def write_batch(self, batch, through):
        with self.target(through).batch_writer() as writer:
            for key, content, life in batch:
                if content is None:
                    writer.delete(*key)
                    self.model.delete(key)
                else:
                    item = self.item(key, content, life)
                    writer.put(item)
                    self.model.put(item)
        self.model.wrote(*[key for key, _, _ in batch], through=through)

    # -- reading ------------------------------------------------------------------------------------------------------

    @rule(key=keys, projection=st.sampled_from([None, "v", "v, w[0]"]))
    def get(self, key, projection):
        found = self.fast.get(*key, projection=projection)
        assert shown(found) in [shown(picked(item, projection)) for item in self.model.items_allowed(key)]
        if found is not None:
            spoil(found)

    @rule(key=keys)
    def get_consistently(self, key):
        before = len(self.fast.items.cache)
        assert shown(self.fast.get(*key, consistent=True)) == shown(self.model.get(key))
        assert len(self.fast.items.cache) == before

    @rule(asked=st.lists(keys, min_size=1, max_size=5, unique=True))
    def get_batch(self, asked):
        found = self.fast.batch_get(asked)
        assert len(found) == len(asked)
        for key, item in zip(asked, found, strict=True):
            assert shown(item) in [shown(allowed) for allowed in self.model.items_allowed(key)]

    @rule(
        partition=st.sampled_from("ab"),
        after=st.none() | st.integers(0, 2),
        limit=st.none() | st.integers(1, 3),
        filtered=st.booleans(),
        count=st.booleans(),
        consistent=st.booleans(),
    )
    def query(self, partition, after, limit, filtered, count, consistent):  # noqa: PLR0917 - drawn by hypothesis
        values = {":p": partition} | ({":one": 1} if filtered else {})
        page = self.fast.query(
            "p = :p",
            filter="v = :one" if filtered else None,
            values=values,
            start=None if after is None else (partition, after),
            limit=limit,
            count=count,
            consistent=consistent,
        )
        holds = (lambda item: item.get("v") == 1) if filtered else None
        allowed = list(self.model.pages_allowed(partition, after=after, limit=limit, holds=holds))
        if consistent:
            allowed = allowed[-1:]
        if count:
            assert (page.items, (page.count, page.scanned)) in [([], (len(items), n)) for items, n in allowed]
        else:
            assert (shown(page.items), page.scanned) in [(shown(items), n) for items, n in allowed]
            assert page.count == len(page.items)
        for item in page.items:
            spoil(item)

    # -- time ---------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.5, 0.999, 1, 2, 5]))
    def pass_time(self, seconds):
        self.clock.advance(seconds)
        if self.ages is not self.clock:
            self.ages.advance(seconds)

    @rule()
    def clear(self):
        self.fast.clear()

    @invariant()
    def within_limits(self):
        if hasattr(self, "fast"):
            for cache in (self.fast.items.cache, self.fast.pages.cache):
                assert len(cache) <= self.most["max_items"]
                assert cache.bytes <= self.most.get("max_bytes", 300 * self.most["max_items"])
            if "max_bytes" not in self.most:
                assert self.fast.pages.cache.bytes <= self.most["max_items"]

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()


def picked(item, projection):
    if item is None or projection is None:
        return item
    found = {"v": item["v"]} if "v" in item else {}
    if projection != "v" and item.get("w"):
        found["w"] = item["w"][:1]
    return found


TestAccelerators = Accelerators.TestCase
TestAccelerators.settings = settings(max_examples=60, stateful_step_count=40)
