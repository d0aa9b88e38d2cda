# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Key-value, third part: caches, replicas, regions
#
# The [second part](02_kv.py) priced each read of a table. This one puts caches in front of it, lets a second cache follow
# the first, and writes one table in two places. All three are copies, and the question about a copy is always the same:
# what may it show that is no longer true, and for how long?
#
# **After this you can** place a cache and predict its hit rate · say which writes pass a cache by, and when they are seen ·
# choose between a replica, which is behind, and a region, which may disagree.
#
# **Invariants** that the cells below check:
#
# * An item of an accelerator was current within its time to live, and is never older than the last write through it.
# * A replica shows a transaction whole or not at all, and nothing that its primary has not on disk.
# * Regions that have heard of each other hold the same items.
#
# **Predict.** Write a number beside each before you read on.
#
# 1. You ask for 1,000 keys, some far more often than others, and a cache holds 100 of them. How many reads of 100 reach
#    the table?
# 2. A value is written to a cache, and read from its replica in the next line. What does the reader get?
# 3. In each of two regions that can't hear each other, somebody sells seat 12A, on the condition that it is free. How
#    many of the two succeed? How many passengers have the seat when the regions have talked?
#
# No network, fixed seeds, and clocks that move only when they are told to: but for one cell, which waits a twentieth of
# a second.

# %%
import random
import tempfile
import time
from bisect import bisect
from itertools import accumulate
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib_inline.backend_inline import set_matplotlib_formats

from engines import kv
from engines.clock import ManualClock
from engines.display import Table
from engines.errors import ReadOnly
from engines.tour import story

set_matplotlib_formats("svg")
place = tempfile.TemporaryDirectory(prefix="kv-")
folder = Path(place.name)
NEW_YEAR = 1_356_998_400
year = story.load(quick=True)
flights = year.flights()
assert len(flights) == 27_004


def new_clock():
    """A clock that shows the New Year of 2013, and stands still."""
    return ManualClock(NEW_YEAR * 1_000_000)


def fastest(work, *, rounds=5):
    """Seconds of the shortest of a few runs: what the work takes when nothing else gets in its way."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


# %% [markdown]
# ## Cache-aside: your code and a cache
#
# Most tables are read far more often than written, and some keys far more often than others. The classic answer is a cache
# in front, and the classic price is in your code: *look in the cache, else in the table, then fill the cache; after a
# write, throw away what is stale*. A function before and after:

# %%
clock = new_clock()
store = kv.Store(clock=clock)
planes = store.create_table("planes", key="tailnum:S")
KEYS = 1_000
with planes.batch_writer() as batch:
    for number in range(KEYS):
        batch.put({"tailnum": f"N{number}", "seats": 100 + number % 80, "model": "A320-232", "checks": 0})
planes.capacity(read=100_000, write=100_000)  # plenty: we only want to see what is paid


def before(tail):
    return planes.get(tail)


cache = kv.Cache(max_items=100, clock=clock)


def after(tail):
    item = cache.get(tail)
    if item is None:
        item = planes.get(tail)
        cache.set(tail, item, ttl=300)
    return item


def check(tail):
    """A write: change the table, then forget what the cache holds."""
    planes.update(tail, "ADD checks :one", values={":one": 1})
    cache.delete(tail)


def zipf(keys, count, *, skew=0.99, seed=2013):
    """Numbers below `keys`: 0 the most often, the k-th 1 / k ** skew as often."""
    rng = random.Random(seed)
    weights = list(accumulate(1 / (k + 1) ** skew for k in range(keys)))
    return [bisect(weights, rng.random() * weights[-1]) for _ in range(count)]


trace = [f"N{number}" for number in zipf(KEYS, 20_000)]


def units_paid(read):
    """Read units that the table was paid while the whole trace was read."""
    paid = planes.buckets()[0].consumed
    for tail in trace:
        assert read(tail)["tailnum"] == tail
    return planes.buckets()[0].consumed - paid


paid_before, paid_after = units_paid(before), units_paid(after)
missed = paid_after / paid_before
assert 0.2 < missed < 0.4
print(f"prediction 1: of 100 reads, {100 * missed:.0f} reach the table, with room for 100 keys of {KEYS:,}")

# %% [markdown]
# A tenth of the keys, almost two thirds of the reads. That is what skew does, and without skew a cache is just memory.
#
# The one line that is easily forgotten is in `check`. Who writes without it has readers who see the past until the
# `ttl` ends:

# %%
after("N0")
planes.update("N0", "ADD checks :one", values={":one": 1})  # another program, which knows no cache
assert (after("N0")["checks"], before("N0")["checks"]) == (0, 1)
clock.advance(seconds=300)
assert after("N0")["checks"] == 1

# %% [markdown]
# And this cache holds *the object*, not a copy of it. Change the dict that `after` gave you, and the next reader gets
# your change. A cache elsewhere, on a wire, would not do that; one in your process does. That is the price of a hit that
# decodes nothing.

# %%
after("N0")["seats"] = "spoilt"
assert after("N0")["seats"] == "spoilt" and before("N0")["seats"] == 100
_ = cache.delete("N0")

# %% [markdown]
# ## Or a cache with the table's own methods
#
# An **accelerator** (the class of DAX) is the other way: it *is* a table to its callers. Nothing in the code changes but the
# object that it is given. It keeps bytes, and decodes them for each reader.

# %%
fast = kv.Accelerator(planes, max_items=100, ttl=300, query_ttl=300)
paid_fast = units_paid(fast.get)
assert paid_fast < 0.5 * paid_before
print(f"of 100 reads, {100 * paid_fast / paid_before:.0f} reach the table")

first = fast.get("N1")
first["seats"] = "spoilt"
assert fast.get("N1")["seats"] == 101  # each reader has its own

# %%
hits = [f"N{number}" for number in range(50)] * 40
for tail in hits:
    fast.get(tail), after(tail)
per_read = {
    "planes.get": fastest(lambda: [planes.get(tail) for tail in hits]),
    "cache-aside": fastest(lambda: [after(tail) for tail in hits]),
    "accelerator": fastest(lambda: [fast.get(tail) for tail in hits]),
}
Table.from_rows(
    ["a hit with", "time, planes.get = 1"],
    [(name, round(taken / per_read["planes.get"], 2)) for name, taken in per_read.items()],
)

# %% [markdown]
# A hit saves the units, and here also the time that it takes to pay them. Why is the accelerator slower than the cache
# beside it? It makes a new dict for each reader. In a service there is a round trip on top of each line, and the ratios
# shrink: that is what "in process" buys.
#
# Writing through the accelerator keeps the item right. What it cannot know is which *queries* would now have another
# answer: those only age. This surprises everybody once:

# %%
trips = store.create_table("trips", key=("tailnum:S", "departure:N"))
quick = kv.Accelerator(trips, ttl=300, query_ttl=300)
quick.put({"tailnum": "N1", "departure": 1, "dest": "BOS"})
question = {"key_condition": "tailnum = :t", "values": {":t": "N1"}}
assert quick.query(**question).count == 1
quick.put({"tailnum": "N1", "departure": 2, "dest": "MIA"})
assert quick.get("N1", 2)["dest"] == "MIA"  # the item cache: written through
assert quick.query(**question).count == 1  # the query cache: one trip short
assert quick.query(**question, consistent=True).count == 2  # passes through
clock.advance(seconds=301)
assert quick.query(**question).count == 2

# %% [markdown]
# ## Who has to go: LRU against SIEVE
#
# A full cache must choose. **LRU** drops what was not used for the longest time: each hit moves an entry to the front.
# **SIEVE** moves nothing: a hit sets one bit; a hand walks from old to new, clears set bits, and drops the first entry it
# finds without. A new entry that is never asked for again is gone when the hand comes by, and an old favourite stays.
#
# Two traces: the skewed keys from above with every third request for something that nobody asks for twice (crawlers do that),
# and all departures of January in their order, each asking for its plane. **Predict** for each who wins.

# %%
POLICIES = ("sieve", "lru", "lfu", "random")
rng = random.Random(7)
crawled, alone = [], 10_000
for number in zipf(10_000, 40_000, skew=0.9):
    crawled.append(number)
    if rng.random() < 0.5:
        crawled.append(alone)
        alone += 1
departures_in_order = flights.column("tailnum")[np.argsort(story.scheduled(flights), kind="stable")].tolist()


def hit_rate(trace, policy, size):
    cache = kv.Cache(max_items=size, policy=policy, clock=new_clock())
    hits = 0
    for key in trace:
        if cache.get(key) is None:
            cache.set(key, True)
        else:
            hits += 1
    return hits / len(trace)


TRACES = {
    "skewed, and a crawler": (crawled, (100, 300, 1_000, 3_000)),
    "planes, as they leave": (departures_in_order, (250, 500, 1_000, 2_000)),
}
rates = {}
figure, both = plt.subplots(1, 2, figsize=(7.5, 3), sharey=True)
for axes, (name, (requests, sizes)) in zip(both, TRACES.items()):
    for policy in POLICIES:
        rates[name, policy] = [hit_rate(requests, policy, size) for size in sizes]
        axes.semilogx(sizes, rates[name, policy], marker="o", label=policy)
    axes.set(title=name, xlabel="entries")
    axes.grid(which="major", alpha=0.3)
both[0].set(ylabel="hit rate", ylim=(0, 1))
both[0].legend(loc="upper left", ncols=2)
plt.show()

crawler, leaving = ({policy: rates[name, policy] for policy in POLICIES} for name in TRACES)
assert all(sieve > lru for sieve, lru in zip(crawler["sieve"], crawler["lru"]))
assert leaving["lru"][1] > leaving["sieve"][1]
print(f"with 300 entries and a crawler, SIEVE hits {crawler['sieve'][1] / crawler['lru'][1]:.2f} times as often as LRU")
print(f"with 500 planes, LRU hits {leaving['lru'][1] / leaving['sieve'][1]:.2f} times as often as SIEVE")

# %% [markdown]
# No policy wins everywhere. SIEVE is right where popularity lasts, LRU where the recent past is the best guess: a plane
# that has just left New York will be back in some hours, and is popular for that long. And where the cache is smaller than the
# distance between two uses, as with 250 planes, none is of use. Measure with your own trace: it is ten lines.
#
# A cache has more to offer than `get` and `set`. The waiting list of a flight is a sorted set, and both lines are one
# command:

# %%
waiting = kv.Cache(clock=clock)
waiting.zadd("UA 1141", {"ann": 120, "bob": 45, "cleo": 90})  # by miles
waiting.zincrby("UA 1141", 80, "bob")
assert waiting.zrange("UA 1141", 0, -1) == ["cleo", "ann", "bob"]
with waiting.transaction("UA 1141") as transaction:  # Conflict if somebody changes it from here on
    transaction.zpopmax("UA 1141")
    transaction.incr("upgrades")
transaction.results

# %% [markdown]
# ## What passes an accelerator by
#
# An accelerator knows of the writes that go *through it*: its `put`, `update`, `delete` and `batch_writer`. All others
# change the table and leave the cached item as it was, until its `ttl` ends. **Predict**: which of these does it notice?

# %%
planes.put({"tailnum": "N5", "seats": 1})
through = kv.Accelerator(planes, ttl=300)
past_it = {
    "accelerator.put": lambda n: through.put({"tailnum": "N5", "seats": n}),
    "accelerator.update": lambda n: through.update("N5", "SET seats = :n", values={":n": n}),
    "table.put": lambda n: planes.put({"tailnum": "N5", "seats": n}),
    "store.transact": lambda n: store.transact([kv.Put("planes", {"tailnum": "N5", "seats": n})]),
    "store.batch_write": lambda n: store.batch_write([kv.Put("planes", {"tailnum": "N5", "seats": n})]),
    "store.execute": lambda n: store.execute(f"UPDATE planes SET seats = {n} WHERE tailnum = 'N5'"),
}
rows = []
for number, (way, write) in enumerate(past_it.items(), 100):
    through.clear()
    through.get("N5")  # now it is cached
    write(number)
    rows.append((way, through.get("N5")["seats"] == number, through.get("N5", consistent=True)["seats"] == number))
assert [seen for _, seen, _ in rows] == [True, True, False, False, False, False] and all(now for _, _, now in rows)
Table.from_rows(["written with", "seen by get", "seen with consistent=True"], rows)

# %% [markdown]
# So do an import and another region that has synced. And `store.execute("SELECT ...")`, `store.batch_get` and reading
# transactions ask the table: they are always right, and save nothing.
#
# ## A replica follows
#
# A replica is a second cache that reads the journal of the first, so the first needs a path. It is one more place to read,
# and a spare if the first is lost. It is always **behind**: what is written is on disk within 50 ms (the default,
# `durability="interval"`), only then does the replica get to see it, and it looks every 50 ms. Prediction 2, by hand first:

# %%
primary = kv.Cache(folder / "primary", clock=clock, durability="commit")
replica = kv.CacheReplica(primary, follow=False)  # it looks when we say so
primary.set("gate", "A1")
assert replica.get("gate") is None and replica.lag() == 1
replica.catch_up()
assert replica.get("gate") == "A1" and replica.lag() == 0
try:
    replica.set("gate", "B7")
except ReadOnly as error:
    print(error)

# %%
following = kv.CacheReplica(primary)  # it looks every 50 ms, in a thread of its own
behind = []
for number in range(5):
    began = time.perf_counter()
    primary.set("number", number)
    while following.get("number") != number:
        time.sleep(0.001)
    behind.append(1e3 * (time.perf_counter() - began))
following.close()
print("behind by", ", ".join(f"{milliseconds:.0f}" for milliseconds in behind), "ms")

# %% [markdown]
# Who reads what he has just written asks the primary. For all others a twentieth of a second is seldom a problem, but a
# *sequence* may be: read at the replica, decide, write at the primary, and the decision is about the past. There a
# transaction that watches its keys helps, at the primary.
#
# **When the primary dies**, nobody notices by himself. `promote()` makes a primary of a replica. What it had not heard is lost:

# %%
with primary.transaction() as transaction:  # heard of as a whole, or not at all
    transaction.set("gate", "C3")
    transaction.incr("changes")
lost = replica.lag()
spare = replica.promote()
assert lost > 0 and spare.get("gate") == "A1" and spare.get("changes") is None
spare.set("gate", "D1")  # it takes writes now
print(f"promoted without the last {lost} frames of the journal")

# %% [markdown]
# ## One table in two regions
#
# A global table can be written on every side. Each store has its own log, its own clock, and its own readers; now and then
# they hear of each other. Prediction 3:

# %%
regions = {"eu": kv.Store(clock=new_clock()), "us": kv.Store(clock=new_clock())}
for there in regions.values():
    there.create_table("seats", key=("flight:S", "seat:S"), stream=True)
world = kv.GlobalTable(kv.Replica(there, "seats", region) for region, there in regions.items())
eu, us = (regions[region].table("seats") for region in ("eu", "us"))
FREE = "attribute_not_exists(seat)"

eu.put({"flight": "UA 1141", "seat": "1C", "sold_to": "ann"}, condition=FREE)
assert us.get("UA 1141", "1C") is None and world.sync() == 1
assert us.get("UA 1141", "1C")["sold_to"] == "ann"

# The cable is cut. Both sides sell.
eu.put({"flight": "UA 1141", "seat": "12A", "sold_to": "bob"}, condition=FREE)
regions["us"].clock.advance(seconds=1)
us.put({"flight": "UA 1141", "seat": "12A", "sold_to": "cleo"}, condition=FREE)
eu.put({"flight": "UA 1141", "seat": "12B", "sold_to": "dan"}, condition=FREE)

world.sync()  # and is mended
assert list(eu.scan()) == list(us.scan())
assert eu.get("UA 1141", "12A")["sold_to"] == "cleo"
eu.scan()

# %% [markdown]
# Both puts have succeeded, and one of them is gone: the later one wins, per item, in every region alike. All regions agree
# in the end. *That they agree says nothing about whether they are right*: bob has a ticket and no seat. A condition sees its
# own region only. So: write each item in one home region, or make writes that can be merged (a set of claims, a counter for
# each region).
#
# What if a clock is wrong? A stamp is not the wall clock alone. It is a **hybrid clock**: it follows the wall, and never
# stands before anything that its region has seen. So who has *seen* a write wins over it, even with a clock an hour slow:

# %%
regions["us"].clock.advance(hours=1)
us.put({"flight": "UA 1141", "seat": "12C", "sold_to": "eve"})
world.sync()
assert eu.get("UA 1141", "12C")["sold_to"] == "eve"
eu.put({"flight": "UA 1141", "seat": "12C", "sold_to": "fay"})  # by a clock that is an hour behind
world.sync()
assert us.get("UA 1141", "12C")["sold_to"] == "fay"
world.status()

# %% [markdown]
# In any order, any number of times: thirty random writes and deletions on three sides, and partial exchanges in between.
# The order in which they hear of each other does not matter.

# %%
rng = random.Random(5)
corners = {name: kv.Store(clock=new_clock()) for name in ("eu", "us", "ap")}
for there in corners.values():
    there.create_table("t", key="id:N", stream=True)
triangle = kv.GlobalTable(kv.Replica(there, "t", region) for region, there in corners.items())
for step in range(30):
    side = rng.choice(list(corners))
    corners[side].clock.advance(seconds=rng.randrange(3))
    table, number = corners[side].table("t"), rng.randrange(6)
    if rng.random() < 0.3:
        table.delete(number)
    else:
        table.put({"id": number, "by": side, "step": step})
    if rng.random() < 0.3:
        triangle.sync(*rng.sample(list(corners), 2))
triangle.sync()
contents = [sorted(there.table("t").scan(), key=lambda item: item["id"]) for there in corners.values()]
assert contents[0] == contents[1] == contents[2] and contents[0]
contents[0]

# %% [markdown]
# ## Measure
#
# You have measured three things on the way: the units a cache saves, the time of a hit by three ways, and the hit rate
# against the size, for four policies. One is left: what does an entry cost in memory? Beside a plain dict, which forgets
# nothing, and has no time to live.

# %%
import tracemalloc

COUNT = 20_000


def bytes_an_entry(fill):
    tracemalloc.start()
    kept = fill([f"key {number}" for number in range(COUNT)])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == COUNT
    return taken / COUNT


def a_cache(names):
    kept = kv.Cache(max_items=COUNT)
    for name in names:
        kept.set(name, True, ttl=60)
    return kept


in_memory = [
    ("a dict", bytes_an_entry(lambda names: dict.fromkeys(names, True))),
    ("kv.Cache", bytes_an_entry(a_cache)),
]
Table.from_rows(
    ["20,000 short keys in", "bytes an entry, keys included"], [(name, round(size)) for name, size in in_memory]
)

# %% [markdown]
# ## Questions
#
# :::{dropdown} Format: what does a cache with a path write, and when is it made short?
# A frame for each command, in the log's format: the command and its arguments, not the value that came of it. A snapshot holds
# the values, and then the frames before it can go. See `engines/kv/cache/journal.py`.
# :::
#
# :::{dropdown} Performance: you double a cache that hits 70 %. What do you expect?
# With skewed keys, a few points: hit rates grow with the logarithm of the size. Draw the curve for your trace before you buy.
# :::
#
# :::{dropdown} Bad input: what does a cache with `policy="none"` and `max_items=100` do with the 101st key?
# It refuses it: `TooLarge`, and nothing has changed. That is right where a key that is gone is worse than one that is refused.
# :::
#
# :::{dropdown} Design: a cache beside the table, or an accelerator before it?
# The accelerator if the code is not yours, or if what you cache is the item. The cache if what you cache is what you *made* of
# items (a page, a sum), or if many tables make one entry. It then is your code that knows what is stale.
# :::
#
# :::{dropdown} Design: replica, snapshot, region. Which protects against what?
# A replica against the loss of the primary, but for what it has not heard. A snapshot against a mistake: the others copy it
# faithfully. A region against the loss of a place, and it can be written meanwhile; two that disagree are made equal, not right.
# :::
#
# ## Exercises
#
# All that is named here is open and as the cells above have left it.
#
# 1. Give `after` a short lock for each key, so that a popular item that has expired is read once and not by all who wait
#    for it. Count with eight threads that ask for `"N0"` after `cache.clear()`: `planes.buckets()[0].consumed`.
# 2. Write the seat map so that two regions can sell at once and nobody loses a seat silently: a *set of claims* on each seat
#    of `eu` and `us`, and a rule that both sides apply after `world.sync()`. Why is one set an item not enough?
# 3. What would the best possible policy hit, one that knows the future and drops the plane that comes back last? Write it in plain
#    Python for `departures_in_order` with 500 places, and compare it with `hit_rate(departures_in_order, "lru", 500)`.
# 4. Open `kv.CacheReplica(spare)`. What does the error say, and what would `spare` need to be followed itself?
# 5. Read your own writes at `second`, a replica: a function that writes to `primary`, and returns when `second.lag()` is 0.
#    What does it cost?

# %%
cache.clear()
assert after("N0") == before("N0") and eu.get("UA 1141", "1C") == us.get("UA 1141", "1C")
assert world.sync() == 0 and 0 < hit_rate(departures_in_order, "lru", 500) < 1
second = kv.CacheReplica(primary, follow=False)  # for exercise 5
assert second.get("gate") == "C3"

# %% [markdown]
# ## Where this differs from AWS
#
# * The accelerator and the cache live in your process. DAX and ElastiCache are machines of their own: shared by many
#   programs, a network away.
# * A replica is in the process of its primary, and nobody promotes it by itself. ElastiCache watches, and fails over.
# * Global tables are copied when you say so, or by a thread that you start. What the service adds: copies that nobody has to
#   start, in places that do not burn down together.
