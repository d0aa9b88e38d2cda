# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Key-value, second part: capacity, transactions, indexes, the past
#
# The [first part](01_kv.py) put a January of flights into a table and asked it by its key. This one asks by other
# attributes, changes several items as one, buys capacity, breaks a table and goes back to the second before. The
# [third](03_kv_cache.py) puts caches in front, and writes one table in two places.
#
# **After this you can** price a workload in read and write units, and say what a burst and a hot key do to it · choose
# between a scan, an index and a second table · bring back what a mistake has overwritten.
#
# **Invariants** that the cells below check:
#
# * Over any stretch of time a bucket grants what was in it, plus rate × time, and no more.
# * A transaction happens as a whole or not at all, and under one token once.
# * An index holds what the items say, whatever has happened to them.
# * A restored table holds what a reader saw at that moment, and the table it came from is not touched.
#
# **Predict.** Write a number beside each before you read on.
#
# 1. A table may take 5 write units a second. It is new: how many small puts pass before one is refused? And after ten
#    quiet minutes?
# 2. 27,004 flights, of which 1,245 go to Boston. The scan that finds them costs how many times the read units of a query
#    on an index? And with the index, a put costs how much more?
# 3. Three puts of 100 bytes: how many write units, and how many syncs, singly? And as a transaction?
#
# No network, fixed seeds, and clocks that move only when they are told to.

# %%
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib_inline.backend_inline import set_matplotlib_formats

from engines import kv
from engines.clock import ManualClock
from engines.display import Table
from engines.errors import ConditionFailed, Invalid, NotFound, Throttled
from engines.kv.throttle import Bucket
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
# ## What things cost
#
# In the service you do not rent machines, you buy *units*. The prices are simple, and the same here:
#
# | | a unit covers | and |
# |---|---|---|
# | read | 4 KB, begun | half price if not `consistent`, double in a transaction |
# | write | 1 KB, begun | of the larger of old and new item; double in a transaction; each index that changes costs too |
#
# Give any call a `kv.Consumed`, and it adds up what was paid.

# %%
clock = new_clock()
store = kv.Store(clock=clock)  # in memory: this part is about counting
notes = store.create_table("notes", key="id:S")


def cost(work):
    consumed = kv.Consumed()
    work(consumed)
    return consumed


large = {"id": "large", "text": "x" * 3_000}
prices = {
    "put 100 bytes": cost(lambda c: notes.put({"id": "small", "text": "x" * 90}, consumed=c)),
    "put 3,000 bytes": cost(lambda c: notes.put(large, consumed=c)),
    "get them": cost(lambda c: notes.get("large", consumed=c)),
    "get them, consistent": cost(lambda c: notes.get("large", consistent=True, consumed=c)),
    "get what is not there": cost(lambda c: notes.get("nothing", consumed=c)),
    "count + 1 in the large item": cost(
        lambda c: notes.update("large", "ADD looks :one", values={":one": 1}, consumed=c)
    ),
    "both items, in a transaction": cost(
        lambda c: store.transact([kv.Get("notes", "small"), kv.Get("notes", "large")], consumed=c)
    ),
}
assert prices["put 3,000 bytes"].write == prices["count + 1 in the large item"].write == 3
assert prices["get them"].read == 0.5 and prices["both items, in a transaction"].read == 4
Table.from_rows(["what", "read units", "write units"], [(what, paid.read, paid.write) for what, paid in prices.items()])

# %% [markdown]
# Look at the counter: adding 1 to a number in a 3 KB item costs what writing the item costs. What changes often belongs
# into an item of its own. And to find nothing is not free.
#
# ## A bucket, over time
#
# Units that you bought flow into a bucket, so many a second. It has room for 300 seconds' worth. A new bucket holds one
# second's. Prediction 1:

# %%
metered = store.create_table("metered", key="id:S", capacity=(5, 5))


def puts_until_refused(table):
    count = 0
    while True:
        try:
            table.put({"id": f"{count}"})
        except Throttled as error:
            return count, error
        count += 1


fresh, refusal = puts_until_refused(metered)
clock.advance(minutes=10)
rested, _ = puts_until_refused(metered)
assert (fresh, rested) == (5, 1_500)
print(f"new: {fresh} puts. After ten quiet minutes: {rested:,}, which is 300 s × 5, not 600 × 5")
print(refusal)

# %% [markdown]
# The refusal says how long to wait, and means it: at that moment the same put passes, and not a microsecond before. So a
# client that waits as long as it is told never polls.

# %%
waited = refusal.retry_after
clock.advance(seconds=waited - 1e-6)
assert puts_until_refused(metered)[0] == 0
clock.advance(seconds=1e-6)
assert puts_until_refused(metered)[0] == 1

# %% [markdown]
# Now half an hour of a day's traffic against 10 units a second. Most of the time 6 are asked for. At minute 6 comes a
# spike of 40 a second for one minute, at minute 14 a plateau of 18 for seven minutes.

# %%
RATE, MINUTES = 10, 30
clock = new_clock()
bucket = Bucket(RATE, clock, label="write units")
demand = [40 if 6 <= second / 60 < 7 else 18 if 14 <= second / 60 < 21 else 6 for second in range(60 * MINUTES)]
levels, passed = [], []
for wanted in demand:
    granted = 0
    for _ in range(wanted):
        try:
            bucket.take(1)
            granted += 1
        except Throttled:
            pass
    levels.append(bucket.level)
    passed.append(granted)
    clock.advance(seconds=1)

minutes = np.arange(len(demand)) / 60
figure, (above, below) = plt.subplots(2, 1, figsize=(7, 4), sharex=True)
above.fill_between(minutes, demand, passed, step="post", color="#b3261e", alpha=0.5, label="refused")
above.fill_between(minutes, passed, step="post", alpha=0.4, label="granted")
above.axhline(RATE, color="black", linewidth=0.8, linestyle="--", label="bought")
above.set(ylabel="units a second", ylim=(0, 44))
above.legend(ncols=3, loc="upper right")
below.plot(minutes, levels)
below.axhline(300 * RATE, color="black", linewidth=0.8, linestyle="--")
below.set(xlabel="minute", ylabel="units in the bucket", ylim=(0, 3_200))
plt.show()

spike, plateau = (slice(60 * begin, 60 * end) for begin, end in ((6, 7), (14, 21)))
refused = np.array(demand) - np.array(passed)
assert (
    refused[spike].sum() > 0
    and refused[plateau].sum() > 0
    and refused.sum() == refused[spike].sum() + refused[plateau].sum()
)
assert sum(passed) <= RATE * (1 + len(demand))  # the invariant: one second's worth at the start, and rate × time
print(
    f"of the spike {refused[spike].sum() / sum(demand[spike]):.0%} is refused, of the plateau {refused[plateau].sum() / sum(demand[plateau]):.0%}"
)
print(f"used of what was bought: {sum(passed) / (RATE * len(demand)):.0%}")

# %% [markdown]
# Two things to take away. The bucket is savings: it pays for a spike out of the quiet time before, and for a plateau
# only until it is empty. And on average the table was *under*used, yet it refused. Averages over an hour do not see
# what a second sees.
#
# **Auto-scaling** changes the rate itself. It looks at whole minutes: two above the target raise the rate, fifteen well
# below lower it. What will happen to the plateau? (Less refused, but not nothing: scaling is minutes late, and the
# bucket is what a table lives on until then.)

# %%
clock = new_clock()
store = kv.Store(clock=clock)
scaled = store.create_table("scaled", key="id:S", capacity=(10, 10))
scaled.scale(write=kv.Scaling(10, 100))  # between 10 and 100, so that 70 % are in use


def wanted_at(minute):
    return 40 if 10 <= minute < 30 else 6


rates, refused_in = [], []
for minute in range(60):
    refused = 0
    for _ in range(60):
        for number in range(wanted_at(minute)):
            try:
                scaled.put({"id": f"{number}", "minute": minute})
            except Throttled:
                refused += 1
        clock.advance(seconds=1)
    rates.append(scaled.describe()["capacity"][1])
    refused_in.append(refused)

figure, axes = plt.subplots(figsize=(7, 2.6))
axes.step(range(60), rates, where="post", label="units a second, bought")
axes.step(range(60), [wanted_at(minute) for minute in range(60)], where="post", label="wanted")
axes.bar(range(60), np.array(refused_in) / 60, align="edge", color="#b3261e", alpha=0.5, label="refused a second")
axes.set(xlabel="minute", ylim=(0, 75))
axes.legend(ncols=3, loc="upper right")
plt.show()
late = [minute for minute, refused in enumerate(refused_in) if refused]
assert late and max(late) < 16 and rates[29] > 40 and rates[-1] < 20
scaled.scaling()

# %% [markdown]
# **A hot key.** Units are bought for the table, but a partition key lives in one place, and one place serves at most
# 3,000 read and 1,000 write units a second, whatever you pay. Everybody at the airport looks at one flight:

# %%
clock = new_clock()
store = kv.Store(clock=clock)
boards = store.create_table("boards", key="flight:S")  # on demand: no limit for the table
boards.capacity(partition_limits=True)
boards.put({"flight": "UA 1141", "gate": "A1"})


def looks_in_one_second(keys, looks=10_000):
    """How many of so many reads are answered, spread over these keys in turn, while the clock stands still."""
    clock.advance(seconds=1)
    answered = 0
    for number in range(looks):
        try:
            answered += boards.get(keys[number % len(keys)]) is not None
        except Throttled:
            pass
    return answered


hot = looks_in_one_second(["UA 1141"])
assert hot == 6_000  # 3,000 units, half a unit each
boards.hot_keys()

# %% [markdown]
# More capacity does not help, and the message of the error says so. What helps is more keys: four copies of the item,
# each reader takes any. The price is paid by the writer, who writes four, and nobody has promised that they change
# together, unless it is in a transaction.

# %%
copies = [f"UA 1141#{n}" for n in range(4)]
store.transact([kv.Put("boards", {"flight": copy, "gate": "A1"}) for copy in copies])
assert looks_in_one_second(copies) == 10_000

# %% [markdown]
# ## Update: change it where it lies
#
# Ten clerks count passengers. Each reads the number, adds one, writes it back. The cell plays it in the worst order: all
# read before anybody writes.

# %%
clock = new_clock()
store = kv.Store(folder / "january", clock=clock)
gates = store.create_table("gates", key="gate:S", stream=True)
gates.put({"gate": "A1", "boarded": 0})
seen = [gates.get("A1")["boarded"] for _ in range(10)]
for boarded in seen:
    gates.put({"gate": "A1", "boarded": boarded + 1})
assert gates.get("A1")["boarded"] == 1  # nine are lost

# %% [markdown]
# An **update expression** goes to the item, instead of the item coming to you. It runs under the store's lock, so nothing
# comes between reading and writing.

# %%
gates.update("A1", "SET boarded = :none", values={":none": 0})
with ThreadPoolExecutor(10) as clerks:
    for _ in range(50):
        clerks.submit(gates.update, "A1", "ADD boarded :one", values={":one": 1})
assert gates.get("A1")["boarded"] == 50

# %% [markdown]
# Four verbs, each once: `SET` (with `+`, `-`, `if_not_exists`, `list_append`), `REMOVE`, `ADD` to a number or set,
# `DELETE` from a set. All right sides see the item **as it was**, so a swap needs no third variable:

# %%
gates.put({"gate": "B7", "now": "UA 1141", "next": "B6 725", "seen": ["AA 3"], "crew": {"ann", "bob"}})
answer = gates.update(
    "B7",
    "SET now = #next, #next = now, seen = list_append(seen, :gone), delays = if_not_exists(delays, :none) + :late "
    "DELETE crew :off",
    names={"#next": "next"},
    values={":gone": ["UA 1141"], ":none": 0, ":late": 12, ":off": {"bob"}},
    returns="ALL_NEW",
)
assert (answer["now"], answer["next"]) == ("B6 725", "UA 1141")
assert answer["delays"] == 12 and answer["crew"] == {"ann"}
answer

# %% [markdown]
# Numbers have 38 digits and are never rounded: what does not fit is refused, and then nothing has changed.

# %%
gates.put({"gate": "C3", "fuel": Decimal("0.1")})
gates.update("C3", "ADD fuel :more", values={":more": Decimal("0.2")})
assert gates.get("C3")["fuel"] == Decimal("0.3") and 0.1 + 0.2 != 0.3
try:
    gates.update("C3", "ADD fuel :more", values={":more": 10**37})
except Invalid as error:
    print(error)

# %% [markdown]
# ## Transactions: all or nothing
#
# To sell a seat means three things: the seat is free and gets a name, the flight has one seat less, the passenger one
# booking more. Half of that is worse than nothing.

# %%
for name, key in (("seats", ("flight:S", "seat:S")), ("departures", "flight:S"), ("passengers", "name:S")):
    store.create_table(name, key=key)
seats, departures, passengers = (store.table(name) for name in ("seats", "departures", "passengers"))
departures.put({"flight": "UA 1141", "unsold": 3, "selling": True})


def sale(flight, seat, who):
    return [
        kv.Put("seats", {"flight": flight, "seat": seat, "sold_to": who}, condition="attribute_not_exists(seat)"),
        kv.Update(
            "departures",
            flight,
            "SET unsold = unsold - :one",
            condition="selling = :yes AND unsold > :none",
            values={":one": 1, ":yes": True, ":none": 0},
        ),
        kv.Update("passengers", who, "ADD bookings :one", values={":one": 1}),
    ]


store.transact(sale("UA 1141", "12A", "ann"))
try:
    store.transact(sale("UA 1141", "12A", "bob"))
except ConditionFailed as error:
    for number, reason in enumerate(error.reasons):
        print(number, reason and (reason["code"], reason["item"]))
assert departures.get("UA 1141")["unsold"] == 2 and passengers.get("bob") is None

# %% [markdown]
# Each action has its reason, or `None`; the item that was in the way comes with it.
#
# **Did it happen?** The answer to a sale is lost on its way, and the client tries again. Is the flight now one seat
# shorter, or two? With a **token** the same actions happen once, for ten minutes, however often they are sent. The
# token stands in the frame of the transaction itself, so a crash cannot part the two.

# %%
for _ in range(3):
    store.transact(sale("UA 1141", "12B", "bob"), token="bob buys 12B")
assert departures.get("UA 1141")["unsold"] == 1 and passengers.get("bob")["bookings"] == 1

# %% [markdown]
# Prediction 3: a transaction costs double, and it syncs once.

# %%
singly, together = kv.Consumed(), kv.Consumed()
three = [{"name": name, "text": "x" * 90} for name in ("cleo", "dan", "eve")]
before = store.log.syncs
for item in three:
    passengers.put(item, consumed=singly)
syncs_singly, before = store.log.syncs - before, store.log.syncs
store.transact([kv.Put("passengers", item | {"text": "y" * 90}) for item in three], consumed=together)
syncs_together = store.log.syncs - before
assert (singly.write, together.write, syncs_singly, syncs_together) == (3, 6, 3, 1)
Table.from_rows(
    ["three puts", "write units", "syncs"],
    [("singly", singly.write, syncs_singly), ("as a transaction", together.write, syncs_together)],
)

# %% [markdown]
# How can it be all or nothing, without any undo? Conditions first, then **one frame** in the log. A frame is there or it
# is not: the log's checksum decides, and nothing ever has to be taken back.
#
# ```{literalinclude} ../../engines/kv/transactions.py
# :pyobject: transact_write
# ```
#
# Let us see it die. A process transfers 1 from one account to the other, again and again, and is killed in the middle.

# %%
TRANSFERS = """
import os, signal, sys, threading
from engines import kv
store = kv.Store(sys.argv[1], durability="interval")
accounts = store.create_table("accounts", key="name:S")
accounts.put({"name": "a", "money": 1_000_000})
accounts.put({"name": "b", "money": 0})

def killer():
    while accounts.get("b")["money"] < int(sys.argv[2]):
        pass
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=killer).start()
while True:
    store.transact([
        kv.Update("accounts", "a", "SET money = money - :one", values={":one": 1}),
        kv.Update("accounts", "b", "SET money = money + :one", values={":one": 1}),
    ])
"""
rows = []
for goal in (100, 500, 1_000):
    path = str(folder / f"transfers {goal}")
    died = subprocess.run([sys.executable, "-c", TRANSFERS, path, str(goal)])
    assert died.returncode == -signal.SIGKILL
    with kv.Store(path) as recovered:
        a, b = (recovered.table("accounts").get(name)["money"] for name in "ab")
    assert a + b == 1_000_000 and b >= goal
    rows.append((goal, a, b, a + b))
Table.from_rows(["seen before the kill", "a", "b", "together"], rows)

# %% [markdown]
# ## Indexes: the same items, in another order
#
# "Which flights go to Boston?" No key of the passes knows. In the first part this was a scan. Here is the table again, with
# the flight number behind the point of the sort key, and without an expiry, so that it stays.

# %%
columns = [flights.column(name) for name in ("tailnum", "carrier", "flight", "origin", "dest", "arr_delay")]


def boarding_passes():
    rows = zip(*(column.tolist() for column in (*columns, story.scheduled(flights))))
    for tail, carrier, number, origin, dest, delay, leaves in rows:
        item = {"tailnum": tail, "departure": Decimal(f"{leaves}.{number:04d}"), "carrier": carrier}
        item |= {"flight": number, "origin": origin, "dest": dest}
        if delay == delay:  # else it never landed
            item["late"] = int(delay)
            if delay >= 120:
                item["very_late"] = int(delay)
        yield item


passes = store.create_table("passes", key=("tailnum:S", "departure:N"), stream=True, pitr=True)
with passes.batch_writer() as batch:
    for item in boarding_passes():
        batch.put(item)

to_boston = {"values": {":d": "BOS"}}
scanned = passes.explain(filter="dest = :d", **to_boston)
scanned

# %%
unindexed = kv.Consumed()
sample = next(boarding_passes())
passes.put(sample | {"late": 1}, consumed=unindexed)

passes.create_index("by_destination", ("dest:S", "departure:N"), projection=("carrier", "late"))
queried = passes.explain("dest = :d", index="by_destination", **to_boston)
queried

# %%
indexed = kv.Consumed()
passes.put(sample | {"late": 2}, consumed=indexed)
assert queried.counters["items_returned"] == scanned.counters["items_returned"] == 1_245
cheaper = scanned.counters["read_units"] / queried.counters["read_units"]
assert 20 < cheaper < 40 and (unindexed.write, indexed.write) == (1, 2)
by_scan = fastest(lambda: passes.scan(filter="dest = :d", **to_boston).all(), rounds=3)
by_index = fastest(lambda: passes.query("dest = :d", index="by_destination", **to_boston).all(), rounds=3)
print(
    f"prediction 2: the scan costs {cheaper:.0f} times the read units, and takes {by_scan / by_index:.0f} times as long"
)
print(f"and each put that changes what the index holds costs {indexed.write / unindexed.write:.0f} times as much")

# %% [markdown]
# The ratio is no magic number: one flight in 22 goes to Boston, and the index holds less of each. An index for "not to
# Boston" would save nothing.
#
# What an index holds is its **projection**. Asking a global index for more is refused: it would mean a second read for
# each item, and no price that you could foresee.

# %%
try:
    passes.query("dest = :d", index="by_destination", projection="origin", **to_boston)
except Invalid as error:
    print(error)

# %% [markdown]
# **Sparse.** An item without the index's key is not in the index. So an attribute that is there only while something is
# the matter makes a to-do list out of an index: `very_late` is on few passes.

# %%
passes.create_index("very_late", ("carrier:S", "very_late:N"), projection="KEYS_ONLY")
worst = passes.query("carrier = :c", index="very_late", values={":c": "EV"}, reverse=True, limit=3)
entries = passes.scan(index="very_late", count=True).count
assert entries == int((flights.column("arr_delay") >= 120).sum())
print(f"{entries} entries for 27,004 items")
worst

# %% [markdown]
# The index follows the item: when the delay is settled, the entry goes. No second write, and no moment in which the two
# differ, because both are changed by the same frame.

# %%
key = (worst.items[0]["tailnum"], worst.items[0]["departure"])
passes.update(key, "REMOVE very_late")
assert passes.scan(index="very_late", count=True).count == entries - 1
assert store.verify().ok  # entries and items, compared one by one
Table.from_rows(
    ["what", "count", "bytes an item"],
    [(row.what, row.count, row.bytes_an_item) for row in store.layout() if "passes" in row.what],
)

# %% [markdown]
# Indexes are **not in the log**. They follow from the items, so whatever puts an item into the tree puts its entries
# there, in a replay after a crash too. What does that cost at opening? In *Measure*, below.
#
# ## The stream feeds others
#
# How many flights go to each destination *right now*? A counter for each, kept by the change stream. A consumer that
# crashes repeats work, so counting twice is a danger (it was an exercise of the first part). The cure: **store the position
# with the effect**, in one transaction, on the condition that the position is still behind.

# %%
totals = store.create_table("totals", key="dest:S")


def count(changes):
    """Add the changes of one frame to the counters. Told twice, it counts once."""
    difference = Counter()
    for change in changes:
        difference[change.old and change.old["dest"]] -= 1
        difference[change.new and change.new["dest"]] += 1
    actions = [
        kv.Update("totals", dest, "ADD flights :n", values={":n": n}) for dest, n in difference.items() if dest and n
    ]
    moved = kv.Put(
        "totals",
        {"dest": "(position)", "seq": changes[-1].sequence},
        condition="attribute_not_exists(seq) OR seq < :seq",
        values={":seq": changes[-1].sequence},
    )
    try:
        store.transact([*actions, moved])
    except ConditionFailed:
        pass  # seen already


def frames(changes):
    """The changes of each frame, together: what happened as one is counted as one."""
    together = []
    for change in changes:
        if together and change.sequence != together[0].sequence:
            yield together
            together = []
        together.append(change)
    if together:
        yield together


for _ in range(2):  # the whole stream, twice
    for changes in frames(passes.changes()):
        count(changes)

truth = Counter(flights.column("dest").tolist())
kept = {item["dest"]: item["flights"] for item in totals.scan() if "flights" in item}
assert kept == truth
print(f"{len(kept)} destinations, counted twice, and each count is right: Boston {kept['BOS']:,}")

# %% [markdown]
# With a counter for each destination the question costs half a read unit, and is as old as the consumer is behind. That
# is the bargain of every view that is kept beside the truth, be it a search index or a warehouse.
#
# ## Sessions: time to live with a clock you turn
#
# The pattern of a web shop: a session lives thirty minutes from the last click. Each click moves the expiry. The first
# part did it with `put`; with `update` a click is one call and no read.

# %%
clock = new_clock()
sessions_store = kv.Store(clock=clock)
sessions = sessions_store.create_table("sessions", key="id:S", ttl="expires", stream=True)


def click(session, page):
    return sessions.update(
        session,
        "SET expires = :then, pages = list_append(if_not_exists(pages, :none), :page)",
        values={":then": clock.now() // 1_000_000 + 1_800, ":none": [], ":page": [page]},
        returns="ALL_NEW",
    )


click("s1", "/")
click("s2", "/")
clock.advance(minutes=20)
click("s1", "/cart")
clock.advance(minutes=10)  # half an hour after s2's only click, to the second
assert sessions.get("s2") is None and sessions.get("s1")["pages"] == ["/", "/cart"]
assert click("s2", "/again")["pages"] == ["/again"]  # an update does not see the dead either: a new session
told = [(change.kind, change.key[0], change.expired) for change in sessions.changes()]
assert ("REMOVE", "s2", True) in told
Table.from_rows(["kind", "session", "expired"], told)

# %% [markdown]
# The stream tells an expiry from a deletion. So a consumer can archive what has expired and leave alone what a user
# deleted, which is how old orders wander from the table into cheap storage.
#
# In the service an expired item may be seen for days, and every reader has to filter. A table made with
# `show_expired=True` behaves like that, for those who want to test their filters.
#
# ## Break the table, and go back
#
# A colleague corrects the passes to Boston. The condition is missing, and every pass is changed, in thousands of writes, all
# of them correctly acknowledged. No backup of last night helps: it lacks today.

# %%
clock = store.clock
clock.advance(hours=5)
passes.put({"tailnum": "N1", "departure": 1, "carrier": "UA", "flight": 1, "origin": "EWR", "dest": "BOS"})  # today's
right = {(item["tailnum"], item["departure"]): item for item in passes.scan().all()}

clock.advance(minutes=1)
broken_at = clock.now()
with passes.batch_writer() as batch:
    for item in passes.scan().all():
        batch.put(item | {"dest": "BOS"})  # all of them
assert {item["dest"] for item in passes.scan().all()} == {"BOS"}

# %% [markdown]
# The log has all of it: the mistake, and everything before. So any microsecond of the last 35 days can be had, as a **new**
# table: the newest base before it, and the log from there up to the moment. One second before:

# %%
one_second_before = broken_at / 1e6 - 1
restored = store.restore_table("passes", to="passes_restored", at=one_second_before)
assert {(item["tailnum"], item["departure"]): item for item in restored.scan().all()} == right
assert ("N1", 1) in right
print(restored.describe()["items"], "items; indexes:", [index["name"] for index in restored.describe()["indexes"]])

# %% [markdown]
# Why a new table? Because "before" may not have been the last good moment, and because between the mistake and its
# discovery there were good writes too. Look first, compare, then decide. When did it begin? The stream says:

# %%
wrong = next(
    change for change in passes.changes() if change.old and change.new and change.old["dest"] != change.new["dest"]
)
assert wrong.time == broken_at
print(
    f"{datetime.fromtimestamp(wrong.time / 1e6, UTC):%d %B %H:%M:%S}, change {wrong.sequence}: {wrong.old['dest']} became {wrong.new['dest']}"
)
for moment in (NEW_YEAR - 1, clock.now() / 1e6 + 60):
    try:
        store.restore_table("passes", to="elsewhere", at=moment)
    except (NotFound, Invalid) as error:
        print(error)

# %% [markdown]
# **Out of the house without paying.** An export reads the log and its bases, not the table, so it costs no read units, and
# nobody waits. It can be of a moment in the past, or of what changed between two. The files are laid out as the service
# does it, so tools that read one read the other.

# %%
passes.capacity(read=5, write=5)
consumed_before = [row.consumed for row in passes.buckets()]
exported = store.export("passes", folder / "export", at=one_second_before)
again, report = store.import_table("passes_again", exported.path, key=("tailnum:S", "departure:N"))
assert [row.consumed for row in passes.buckets()] == consumed_before and report.ok
passes.capacity()  # on demand again
assert again.describe()["items"] == len(right)
Table.from_rows(
    ["file", "bytes"],
    [
        (str(path.relative_to(folder / "export")), path.stat().st_size)
        for path in sorted((folder / "export").rglob("*"))
        if path.is_file()
    ],
)

# %% [markdown]
# **Snapshots** are backups on demand. A snapshot is a list of pages, each named by its content. So the second snapshot
# writes only the pages that have changed, and a copy to another folder moves only what is not there.

# %%
rows = []
for name in ("monday", "tuesday"):
    before = sum(path.stat().st_size for path in (folder / "january/snapshots").rglob("*") if path.is_file())
    store.snapshot(name, tables=["passes_restored"])
    after = sum(path.stat().st_size for path in (folder / "january/snapshots").rglob("*") if path.is_file())
    rows.append((name, after - before))
    restored.put({"tailnum": "N2", "departure": 2, "dest": "BOS"})
assert rows[1][1] < rows[0][1] / 2
Table.from_rows(["snapshot", "bytes added"], rows)

# %% [markdown]
# ## Measure
#
# ### An index against n
#
# A question that an index answers with 20 items, in tables of three sizes. Beside it SQLite with an index on the same
# attribute, and our own scan.

# %%
SIZES = (1_000, 10_000, 50_000)
curves = {"index": [], "sqlite, index": [], "scan": []}
for size in SIZES:
    groups = size // 20
    ours = kv.Store(folder / f"n {size}", durability="interval").create_table("items", key="id:N")
    with ours.batch_writer() as batch:
        for number in range(size):
            batch.put({"id": number, "team": f"team {number % groups}", "text": "x" * 60})
    ours.create_index("by_team", "team:S")
    database = sqlite3.connect(folder / f"n {size}.db", isolation_level=None)
    database.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, team TEXT, text TEXT)")
    database.execute("BEGIN")
    rows = ((n, f"team {n % groups}", "x" * 60) for n in range(size))
    database.executemany("INSERT INTO items VALUES (?, ?, ?)", rows)
    database.execute("CREATE INDEX by_team ON items (team)")
    database.execute("COMMIT")

    def by_index():
        for number in range(100):
            found = ours.query("team = :t", index="by_team", values={":t": f"team {number * 7 % groups}"})
            assert found.count == 20

    def by_sqlite():
        for number in range(100):
            found = database.execute("SELECT * FROM items WHERE team = ?", (f"team {number * 7 % groups}",))
            assert len(found.fetchall()) == 20

    curves["index"].append(fastest(by_index) / 100)
    curves["sqlite, index"].append(fastest(by_sqlite) / 100)
    scanning = {"filter": "team = :t", "values": {":t": "team 7"}}
    curves["scan"].append(fastest(lambda: ours.scan(**scanning).all(), rounds=2))

figure, axes = plt.subplots(figsize=(7, 3))
for name, taken in curves.items():
    axes.loglog(SIZES, np.array(taken) / curves["index"][0], marker="o", label=name)
axes.set(xlabel="items in the table", ylabel="time, our index at 1,000 = 1")
axes.legend(loc="upper left", ncols=3)
axes.grid(which="major", alpha=0.3)
plt.show()

slope = np.polyfit(np.log(SIZES), np.log(curves["scan"]), 1)[0]
assert curves["index"][-1] < 8 * curves["index"][0] and slope > 0.6
print(
    f"50 times the items: the index takes {curves['index'][-1] / curves['index'][0]:.1f} times as long, the scan {curves['scan'][-1] / curves['scan'][0]:.0f} times"
)
print(
    f"sqlite's index takes {curves['sqlite, index'][-1] / curves['index'][-1]:.2f} times as long as ours at n = {SIZES[-1]:,}"
)

# %% [markdown]
# Look at the *shape*: both indexes are flat, the scan is a straight line. Which of the two indexes is a little faster on your
# machine says little: SQLite's rows are tuples, ours are dicts.
#
# ### What an index costs: bytes, puts, recovery
#
# The same 20,000 items with 0, 1 and 2 indexes: on disk, to load, and to open again after the writer was killed, when all
# that the log has is applied once more, and the indexes with it.

# %%
LOADER = """
import os, signal, sys, time
from engines import kv
path, indexes, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
items = [{"id": n, "team": f"team {n % 1000}", "rank": n * 7 % count, "text": "x" * 60} for n in range(count)]
table = kv.Store(path).create_table("items", key="id:N")
for name, key in (("by_team", ("team:S", "rank:N")), ("by_rank", "rank:N"))[:indexes]:
    table.create_index(name, key, projection="KEYS_ONLY")
began = time.process_time()
with table.batch_writer() as batch:
    for item in items:
        batch.put(item)
print(time.process_time() - began, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
COUNT = 20_000
measured = []
for indexes in range(3):
    path = str(folder / f"indexes {indexes}")
    died = subprocess.run([sys.executable, "-c", LOADER, path, str(indexes), str(COUNT)], stdout=subprocess.PIPE)
    assert died.returncode == -signal.SIGKILL
    began = time.process_time()
    with kv.Store(path) as recovered:
        opened = time.process_time() - began
        table = recovered.table("items")
        assert table.describe()["items"] == COUNT
        for index in table.describe()["indexes"]:
            assert len(table.scan(index=index["name"]).all()) == COUNT
        in_tree = sum(row.bytes for row in recovered.layout() if "items" in row.what)
        in_log = sum(row.bytes for row in recovered.layout() if row.what.startswith("log frames"))
    measured.append((indexes, float(died.stdout), opened, in_tree / COUNT, in_log / COUNT))
assert measured[2][3] > measured[1][3] > measured[0][3]
assert measured[2][4] < 1.1 * measured[0][4]  # the log does not know of them
Table.from_rows(
    ["indexes", "load, none = 1", "open after the kill, none = 1", "bytes an item, tree", "bytes an item, log"],
    [
        (n, round(load / measured[0][1], 2), round(opened / measured[0][2], 2), round(tree), round(log))
        for n, load, opened, tree, log in measured
    ],
)

# %% [markdown]
# The log does not grow with an index. Everything else does: the tree, the load, and most of all the opening after a kill,
# since a replay has to look into each item for what its index entries were and are. A checkpoint bounds that (64 MB of log, or
# 100,000 writes), but an index that nobody asks is paid for three times.

# %% [markdown]
# ## Questions
#
# :::{dropdown} Format: in a frame of the log, how does one tell a transaction with a token from one without?
# By its kind. A frame of kind `TRANSACTION` begins with the token and a digest of the actions, and goes on as a frame of
# kind `ITEMS`. So the token is on disk exactly if the transaction is. See [Formats](../formats.md).
# :::
#
# :::{dropdown} Format: where do the entries of an index stand in the log?
# Nowhere. They follow from the items, and a replay makes them again. The log of the table with two indexes was as long
# as that of the one without.
# :::
#
# :::{dropdown} Bad input: the 57th of 100 actions of a transaction has a reserved word in its condition. What has been read?
# Nothing. All actions are understood before the lock is taken: `Invalid`. An action whose *condition* does not hold is
# `ConditionFailed`, with `.reasons`, and nothing has been changed either.
# :::
#
# :::{dropdown} Performance: a table with 1,000 read units a second refuses, and its average use is 4 %. Name two causes.
# A hot key (`hot_keys()` with `partition_limits=True` names it), or bursts longer than the bucket is deep: 300 seconds' worth,
# and empty when the table is new. More capacity helps in the second case only.
# :::
#
# :::{dropdown} Design: one item for each seat, or one item a flight with a map of seats?
# One item a flight is cheaper to read as a whole, and its seats change together without a transaction. But it is rewritten with
# each sale (units by its full size), its key is as hot as the flight is popular, and it ends at 400 KB. Seats that are sold
# one by one want an item each.
# :::
#
# :::{dropdown} Design: restore, snapshot, export, global table. Which protects against what?
# A mistake that somebody made: restore to the second before. A folder that is lost: a snapshot copied elsewhere. Wanting to ask
# what keys cannot answer: an export. A region that is lost: a global table, which copies a mistake faithfully, too.
# :::
#
# ## Exercises
#
# All that is named here is open and as the cells above have left it. `store` has a clock that you may turn: `clock`.
#
# 1. Draw the same half hour with a bucket that holds only 30 seconds' worth (`Bucket(RATE, ..., burst_seconds=30)`, and
#    `demand` as it was). How much of the spike, and how much of the plateau, is refused now? First say it from the lower
#    picture, then run it.
# 2. Restore `passes` twice: to the hour after it was loaded, and to `one_second_before`. In which items do the two tables
#    differ? Find the changes between them in `passes.changes()`.
# 3. Ask in PartiQL: `store.execute("SELECT carrier FROM passes WHERE dest = 'BOS'")`. What does `explain_statement` say?
#    Change the statement until it reads an index.
# 4. Write a policy with which a passenger may read only the own item in `passengers` (`dynamodb:LeadingKeys`), and open a
#    `store.session(...)` with it. Try to get round it with a scan.
# 5. `sale` needs to know a free seat. Write `sell_any(flight, who, seats)`, which tries one seat after the other, and let
#    ten threads sell the seats 1A to 1F of `"B6 725"`. Count the seats that were sold, and the refusals.

# %%
departures.put({"flight": "B6 725", "unsold": 6, "selling": True})  # for exercise 5
assert passes.describe()["items"] == 27_005 and next(iter(passes.changes()))
assert len(demand) == 60 * MINUTES and passengers.get("ann") and store.explain_statement("SELECT * FROM seats")

# %% [markdown]
# ## Where this differs from AWS
#
# * Capacity of an index is its table's here; in DynamoDB a global index has units of its own, and throttles the table when it
#   has too few. A table is not split into partitions that share its units.
# * Index reads are as fresh as the table's, whatever kind the index is. There, a global index is always a moment behind.
# * Transactions are never refused because of one another: one lock makes them take turns.
# * A restore goes to any microsecond up to now. There: to a second, up to five minutes ago.
