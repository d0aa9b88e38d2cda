# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Key-value, first part: keys, conditions, time, streams
#
# One January of flights out of New York, as boarding passes in a key-value store: the class of Amazon DynamoDB.
#
# **After this you can** model access patterns with a partition key and a sort key · predict which questions scan ·
# use conditions, time to live and the change stream.
#
# **Invariants** of the store that you are about to use. The cells below check each of them.
#
# * A read sees the last write. An acknowledged write is on disk.
# * A write whose condition is false changes nothing.
# * An expired item does not exist, from the very second on.
# * The change stream, from its start, adds up to the table.
#
# **Predict.** Write a number beside each before you read on.
#
# 1. January has 27,004 flights. With the key (tail number, scheduled departure), how many items are there after 27,004 puts?
# 2. A query finds the three flights of one plane on one day. How many items does it examine? And a scan with a filter that
#    finds the same three?
# 3. A thousand single puts against a thousand puts in a `batch_writer`: how many times is the disk asked to sync?
# 4. A table with 100 times the items: by how much does one `get` slow down?
#
# Everything here runs without a network, on a clock that moves only when it is told to.

# %%
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import lmdb
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import SVG
from matplotlib_inline.backend_inline import set_matplotlib_formats

from engines import kv
from engines.changes import Consumer, replay
from engines.clock import ManualClock
from engines.display import Table
from engines.errors import ConditionFailed, EngineError, Invalid
from engines.tour import pictures, story

set_matplotlib_formats("svg")
place = tempfile.TemporaryDirectory(prefix="kv-")
folder = Path(place.name)
year = story.load(quick=True)
flights = year.flights()
assert len(flights) == 27_004


def fastest(work, *, rounds=5):
    """Seconds of the shortest of a few runs: what the work takes when nothing else gets in its way."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


# %% [markdown]
# ## A key says what is one thing
#
# A table has no columns, only a key. Every item has the key's attributes; what else it has is its own affair: a flight
# that never landed has no `late`. Nothing in it is `NULL`; it is simply not there.

# %%
moments, landings = story.scheduled(flights), story.arrived(flights, year.airports())


def boarding_passes():
    names = ("tailnum", "carrier", "flight", "origin", "dest", "arr_delay")
    columns = [*(flights.column(name) for name in names), moments, landings]
    for tail, carrier, number, origin, dest, delay, leaves, lands in zip(*(column.tolist() for column in columns)):
        item = {"tailnum": tail, "departure": leaves, "carrier": carrier, "flight": number}
        item |= {"origin": origin, "dest": dest}
        if delay == delay:  # NaN is not equal to itself: never landed
            item["late"] = int(delay)
        if lands == lands:
            item["expires"] = int(lands)
        yield item


NEW_YEAR = 1_356_998_400
clock = ManualClock(NEW_YEAR * 1_000_000)
store = kv.Store(folder / "january", clock=clock)
attempt = store.create_table("attempt", key=("tailnum:S", "departure:N"))
with attempt.batch_writer() as batch:
    for item in boarding_passes():
        batch.put(item)

lost = len(flights) - attempt.describe()["items"]
assert lost > 0
print(f"{len(flights):,} puts, {attempt.describe()['items']:,} items: {lost} flights have overwritten another")

# %% [markdown]
# Prediction 1 is a trap, and a silent one: a put *replaces* the item with the same key. The data explains it. Some
# flights have the tail number `"NA"`, and some planes were booked twice for one minute. So the flight number has to be part
# of the key. The sort key is a number, so we put it behind the point: departure 1357034400.1141 is flight 1141, and
# 1358286000.454 is flight 4540: a number keeps no trailing zero, so read four digits.

# %%
store.drop_table("attempt")


def with_whole_key(item):
    return item | {"departure": Decimal(f"{item['departure']}.{item['flight']:04d}")}


passes = store.create_table("passes", key=("tailnum:S", "departure:N"), ttl="expires", stream=True)
with passes.batch_writer() as batch:
    for item in boarding_passes():
        batch.put(with_whole_key(item))
assert passes.describe()["items"] == 27_004

# %% [markdown]
# `Decimal`, not `float`. A float cannot hold `1357034400.1141`, nor a tenth. A store that rounds is a store that loses, so
# floats are refused, with a sentence that says what to do.

# %%
try:
    passes.put({"tailnum": "N1", "departure": 0.5})
except Invalid as error:
    print(error)

# %% [markdown]
# ## Get, query, scan
#
# Three ways to read, and what each touches:
#
# * `get` has the whole key: one way down the tree.
# * `query` has the partition key, and a range of the sort key: one way down, then a walk.
# * `scan` has nothing: it reads the table.
#
# Let the busiest plane of January be the subject.

# %%
tails, counts = np.unique(flights.column("tailnum"), return_counts=True)
order = np.argsort(-counts)
plane, flown = next((str(tails[i]), int(counts[i])) for i in order if tails[i] != "NA")
assert passes.query("tailnum = :t", values={":t": plane}, count=True).count == flown

one_day = {":t": plane, ":a": NEW_YEAR + 14 * 86_400, ":b": NEW_YEAR + 15 * 86_400}
QUERY = "tailnum = :t AND departure BETWEEN :a AND :b"
found = passes.query(QUERY, values=one_day)
found

# %% [markdown]
# `explain` runs the query and draws what it touched. The counters are not estimates: they were counted.

# %%
plan = passes.explain(QUERY, values=one_day)
assert plan.find("Range").counters["items_examined"] == len(found)
plan

# %% [markdown]
# Now the same question as a scan. A **filter** looks like a condition, but it is applied *after* reading.

# %%
FILTER = "tailnum = :t AND departure BETWEEN :a AND :b"
plan_of_scan = passes.explain(filter=FILTER, values=one_day)
examined = plan_of_scan.find("Full scan").counters["items_examined"]
assert examined == 27_004 and plan_of_scan.counters["items_returned"] == len(found)  # prediction 2
plan_of_scan

# %%
query_units, scan_units = plan.counters["read_units"], plan_of_scan.counters["read_units"]
slower = fastest(lambda: passes.scan(filter=FILTER, values=one_day).all(), rounds=3) / fastest(
    lambda: passes.query(QUERY, values=one_day)
)
assert scan_units > 100 * query_units and slower > 20
print(
    f"same answer; the scan reads {scan_units / query_units:,.0f} times the units and takes {slower:,.0f} times as long"
)

# %% [markdown]
# One more thing about both: what they return is a **page**, as much as is found in 1 MB of items. A loop over a page ends
# with the page, and looks as if that were all. `.all()` reads on to the end; so does a loop with `.next()`.

# %%
first_page = passes.scan()
assert first_page.last_key is not None  # there is more: this is where it starts
everything = passes.scan().all()
assert len(first_page) < len(everything) == 27_004
print(f"for item in passes.scan(): {len(first_page):,} items, for item in passes.scan().all(): {len(everything):,}")

# %% [markdown]
# A partition lies in one piece, in the order of its sort key. That is all the magic there is.

# %%
mine = [int(item["departure"]) for item in passes.query("tailnum = :t", values={":t": plane}).all()]
assert mine == sorted(mine)
weeks = [(NEW_YEAR + week * 604_800, f"day {1 + 7 * week}") for week in range(5)]
SVG(pictures.partition(mine, weeks, (one_day[":a"], one_day[":b"]), f"tailnum = {plane}"))

# %% [markdown]
# **Which of these scan?** Decide before you open the answer.
#
# 1. All flights of one plane.
# 2. Its last three.
# 3. The flight with the number 1141 on 15 January.
# 4. All planes that flew to Boston.
# 5. How many flights one plane made in the last week of January.
#
# :::{dropdown} Answer
# 1, 2 and 5 have the partition key: they are queries (2 with `reverse=True, limit=3`; 5 with `count=True`). 3 and 4 know no
# tail number: they scan. A second table keyed by `("flight:N", "day:S")`, or an index, would serve 3. For 4, ask
# yourself how often it is asked. A scan once a night is no crime.
# :::
#
# A query that the key cannot serve is refused, and the message says what else would do:

# %%
try:
    passes.query("tailnum = :t AND dest = :d", values={":t": plane, ":d": "BOS"})
except Invalid as error:
    print(error)

# %% [markdown]
# ## The way of a write
#
# This is the code that every single put and delete goes through, one compiled function. Under the lock: look at what is
# there, check the condition, append one frame to the log, change the tree. Outside the lock: wait for the disk.
#
# ```{literalinclude} ../../_native/kvpoint.pyx
# :language: cython
# :start-at: def write(
# :end-before: cdef bint unchanged
# :dedent:
# ```
#
# All that can be refused is refused before the append. So nothing ever has to be taken back; `mend` is for what stops a
# write after it, like Ctrl-C: the tree is rebuilt from the log. What is rare, and what writes many items at once, is in
# `engines/kv/records.py`. How the log makes one sync serve many writers is told in
# [One log, one tree, one blob store](../ground.md).
#
# Prediction 3, counted:

# %%
counting = store.create_table("counting", key="n:N")
before = store.log.syncs
for n in range(1_000):
    counting.put({"n": n})
singly = store.log.syncs - before

before = store.log.syncs
with counting.batch_writer() as batch:
    for n in range(1_000, 2_000):
        batch.put({"n": n})
batched = store.log.syncs - before
assert (singly, batched) == (1_000, 1)
print(f"{singly} syncs for a thousand puts, {batched} for a thousand in a batch")

# %% [markdown]
# ## Conditions: decide and write in one step
#
# Two clerks look at one seat, both see it free, both sell it. Reading first and writing later always has this hole. A
# condition closes it: it is checked on the stored item, under the same lock as the write.

# %%
seats = store.create_table("seats", key=("flight:S", "seat:S"))
FREE = "attribute_not_exists(seat)"
seats.put({"flight": "UA 1141", "seat": "12A", "sold_to": "ann"}, condition=FREE)
try:
    seats.put({"flight": "UA 1141", "seat": "12A", "sold_to": "bob"}, condition=FREE)
except ConditionFailed as error:
    taken_by = error.item["sold_to"]
assert taken_by == "ann" and seats.get("UA 1141", "12A")["sold_to"] == "ann"

# %% [markdown]
# The error carries the item that was in the way: no second read is needed to say who has the seat.
#
# The same idea with a version number is **optimistic locking**: read, compute as long as you like, and write only if
# nobody was faster.


# %%
def rebook(who, seen):
    changed = seen | {"sold_to": who, "version": seen.get("version", 0) + 1}
    unchanged = "attribute_not_exists(version)" if "version" not in seen else "version = :v"
    seats.put(changed, condition=unchanged, values={":v": seen["version"]} if "version" in seen else None)


seen_by_cleo = seen_by_dan = seats.get("UA 1141", "12A")
rebook("cleo", seen_by_cleo)
try:
    rebook("dan", seen_by_dan)
except ConditionFailed as error:
    print("dan was too late, and knows by whom:", error.item["sold_to"])
assert seats.get("UA 1141", "12A") == {"flight": "UA 1141", "seat": "12A", "sold_to": "cleo", "version": 1}

# %% [markdown]
# Many words that you would like to use are reserved, as in the service. The message proposes the way out.

# %%
try:
    seats.scan(filter="status = :s", values={":s": "sold"})
except EngineError as error:
    print(error)

# %% [markdown]
# ## Time to live
#
# A boarding pass is worthless when the plane has landed. `expires` holds that second. From then on the item does not exist:
# not for a get, not for a query, not for a condition. Deleting it is another matter, and can wait.

# %%
landing = min(item["expires"] for item in passes.query("tailnum = :t", values={":t": plane}) if "expires" in item)
first = next(i for i in passes.query("tailnum = :t", values={":t": plane}) if i.get("expires") == landing)
key = (first["tailnum"], first["departure"])

clock.advance(seconds=landing - 1 - clock.now() / 1e6)
assert passes.get(*key) == first  # one second before
clock.advance(seconds=1)
assert passes.get(*key) is None  # at the stroke

# %% [markdown]
# No thread has woken up for this, and nothing has slept. The time is an argument: the store asks its clock, and our clock
# was told to move. That is why this cell gives the same answer every time.
#
# Now delete what is due. A second B+ tree orders the items by their expiry, so the sweep reads what is due and no more.

# %%
due_by_now = int((landings <= clock.now() / 1e6).sum())
assert store.expire() == due_by_now
rows = []
for _ in range(4):
    clock.advance(days=8)
    expired = store.expire()
    left = passes.describe()["items"]
    assert left == int((~(landings <= clock.now() / 1e6)).sum())  # counted on the columns, with numpy
    rows.append((f"{datetime.fromtimestamp(clock.now() / 1e6, UTC):%d %B}", expired, left))
Table.from_rows(["the clock shows", "expired", "left"], rows)

# %% [markdown]
# The passes that are left belong to flights that were never completed: without `expires`, an item stays.
#
# :::{dropdown} Why does an item with `expires` five years in the past stay, too?
# Then the attribute probably does not hold what you think, and a sweep would empty the table. The service has the same
# guard. See `engines/kv/ttl.py`.
# :::
#
# ## The change stream
#
# The log holds every change, so telling others is only a matter of reading it. A table with `stream=True` keeps the old and
# the new image for 24 hours.

# %%
gate = store.create_table("gates", key="gate:S", stream=True)
began = store.log.last
gate.put({"gate": "A1", "flight": "UA 1141"})
gate.put({"gate": "A1", "flight": "UA 1141"})  # changes nothing, so it is no change
gate.put({"gate": "A1", "flight": "B6 725"})
gate.delete("A1")
told = list(gate.changes(after=began))
assert [change.kind for change in told] == ["INSERT", "MODIFY", "REMOVE"]
assert told[1].old["flight"] == "UA 1141" and told[1].new["flight"] == "B6 725"
Table.from_rows(["sequence", "kind", "key", "old", "new"], [(c.sequence, c.kind, c.key, c.old, c.new) for c in told])

# %% [markdown]
# **The invariant.** Replay a stream from its start, and you have the table.

# %%
for n in range(50):
    gate.put({"gate": f"B{n % 7}", "flight": f"UA {n}"})
assert list(replay(gate.changes()).values()) == sorted(gate.scan(), key=lambda item: item["gate"])

# %% [markdown]
# **A consumer** is a function that is called with every change, and a place in the stream that survives a crash. It notes its
# place *after* the work. So a crash in between repeats work: **at least once**. Let us crash it, on purpose.

# %%
board = {}  # what the display in the hall shows
calls = []


def show(changes):
    for change in changes:
        calls.append(change.sequence)
        board[change.key[0]] = None if change.new is None else change.new["flight"]
        if len(calls) == 30:
            raise RuntimeError("power cut in the hall")


try:
    Consumer(gate, "hall", show, folder=str(folder / "consumers"), batch=10).run()
except RuntimeError as error:
    print(error, "after", len(calls), "changes")

after_restart = Consumer(gate, "hall", show, folder=str(folder / "consumers"), batch=10)
print("it knows its place:", after_restart.position, "· still to do:", after_restart.lag())
after_restart.run()
repeated = len(calls) - len(set(calls))
assert repeated > 0 and set(calls) == {change.sequence for change in gate.changes()}
assert {key: flight for key, flight in board.items() if flight} == {i["gate"]: i["flight"] for i in gate.scan()}
print(f"{repeated} changes were shown twice, none was left out, and the board is right")

# %% [markdown]
# It is right because showing a flight twice is showing it once. Had `show` *counted* flights, the count would be wrong.
# `engines/changes.py` says how to make that exact: store the position with the effect, in one transaction.

# %% [markdown]
# ## Measure
#
# ### Latency against n
#
# Beside two peers that are always there: raw LMDB, which is given ready-made bytes and returns bytes (the floor under our
# tree: no decoding at all), and SQLite with one JSON text an item. All from the page cache.

# %%
SIZES = (1_000, 10_000, 100_000)


def item_of(number):
    return {"id": number, "text": "x" * 60, "count": number * 7, "price": Decimal(number) / 4}


def as_json(item):
    return json.dumps(item, default=str)


def loaded(size):
    """(our get, LMDB's get, SQLite's get), each of one number."""
    path = folder / f"n {size}"
    ours = kv.Store(path, durability="interval")
    table = ours.create_table("items", key="id:N")
    with table.batch_writer() as batch:
        for number in range(size):
            batch.put(item_of(number))
    environment = lmdb.open(f"{path} lmdb", map_size=1 << 28, sync=False)
    with environment.begin(write=True) as transaction:
        for number in range(size):
            transaction.put(number.to_bytes(8, "big"), as_json(item_of(number)).encode())
    database = sqlite3.connect(f"{path}.db", isolation_level=None)
    database.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, item TEXT)")
    database.execute("BEGIN")
    database.executemany("INSERT INTO items VALUES (?, ?)", ((n, as_json(item_of(n))) for n in range(size)))
    database.execute("COMMIT")
    reading = environment.begin()
    select = "SELECT item FROM items WHERE id = ?"

    def from_sqlite(number):
        return json.loads(database.execute(select, (number,)).fetchone()[0])

    assert table.get(size - 1)["count"] == from_sqlite(size - 1)["count"]
    return {"kv": table.get, "lmdb, bytes": lambda n: reading.get(n.to_bytes(8, "big")), "sqlite + json": from_sqlite}


READS = 2_000
rng = random.Random(2013)
curves = {}
for size in SIZES:
    numbers = [rng.randrange(size) for _ in range(READS)]
    for name, get in loaded(size).items():
        taken = fastest(lambda get=get: [get(number) for number in numbers]) / READS
        curves.setdefault(name, []).append(taken)

figure, axes = plt.subplots(figsize=(7, 3))
for name, taken in curves.items():
    axes.loglog(SIZES, [1e6 * t for t in taken], marker="o", label=name)
axes.set(xlabel="items in the table", ylabel="µs a get", ylim=(0.1, 200))
axes.legend(loc="upper center", ncols=3)
axes.grid(which="major", alpha=0.3)
plt.show()

# %%
slowdown = curves["kv"][-1] / curves["kv"][0]
assert slowdown < 10  # prediction 4: 100 times the items, and nothing like 100 times the time
print(f"100 times the items: a get takes {slowdown:.1f} times as long")
print(
    f"sqlite + json takes {curves['sqlite + json'][-1] / curves['kv'][-1]:.1f} times as long as kv at n = {SIZES[-1]:,}"
)
print(f"kv takes {curves['kv'][-1] / curves['lmdb, bytes'][-1]:.1f} times as long as LMDB's bare bytes")

# %% [markdown]
# The line is nearly flat: a B+ tree of a hundred times the items is one or two levels deeper. What the gap to bare bytes
# buys is a checked key, a lock, and a dict.
#
# ### Bytes an item
#
# `layout()` says what lies where. The same January as SQLite rows and as plain JSON lines stands beside it.

# %%
items = [with_whole_key(item) for item in boarding_passes()]
with kv.Store(folder / "bytes", clock=ManualClock(NEW_YEAR * 1_000_000)) as measured:
    table = measured.create_table("passes", key=("tailnum:S", "departure:N"))
    with table.batch_writer() as batch:
        for item in items:
            batch.put(item)
    layout = measured.layout()
    tree_bytes = next(row.bytes for row in layout if row.what == "items of passes")
    log_bytes = sum(row.bytes for row in layout if row.what.startswith("log frames"))
layout

# %%
database = sqlite3.connect(folder / "bytes.db", isolation_level=None)
database.execute("CREATE TABLE passes (tailnum, departure, item TEXT, PRIMARY KEY (tailnum, departure)) WITHOUT ROWID")
database.execute("BEGIN")
rows = ((item["tailnum"], str(item["departure"]), as_json(item)) for item in items)
database.executemany("INSERT INTO passes VALUES (?, ?, ?)", rows)
database.execute("COMMIT")
database.close()
json_bytes = sum(len(as_json(item)) + 1 for item in items)
sizes = {
    "kv, tree": tree_bytes,
    "kv, log": log_bytes,
    "sqlite, JSON texts": (folder / "bytes.db").stat().st_size,
    "JSON lines, no key, no order": json_bytes,
}
sizes = Table.from_rows(
    ["what", "bytes an item"], [(name, round(size / len(items), 1)) for name, size in sizes.items()]
)
sizes

# %% [markdown]
# Two prices to see. The tree's pages are not full: an insert into a full page splits it into two half-empty ones. And the
# log holds everything once more, until a checkpoint lets it go (or for 24 hours, where a stream wants it).
#
# ### Recovery time
#
# A process writes n items, and is killed. The next one opens the folder. The log since the last checkpoint is applied
# again. SQLite beside it does the same from its write-ahead log.

# %%
WRITER = """
import json, os, signal, sqlite3, sys
from engines import kv
which, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
items = [{"id": number, "text": "x" * 60, "count": number * 7} for number in range(count)]
if which == "kv":
    table = kv.Store(path).create_table("items", key="id:N")
    with table.batch_writer() as batch:
        for item in items:
            batch.put(item)
else:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, item TEXT)")
    database.execute("BEGIN")
    database.executemany("INSERT INTO items VALUES (?, ?)", ((item["id"], json.dumps(item)) for item in items))
    database.execute("COMMIT")
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(which, count):
    path = str(folder / f"killed {which} {count}")
    died = subprocess.run([sys.executable, "-c", WRITER, which, path, str(count)])
    assert died.returncode == -signal.SIGKILL
    return path


rows = []
for count in (1_000, 10_000, 50_000):
    path = killed("kv", count)
    began = time.perf_counter()
    with kv.Store(path) as recovered:
        taken = time.perf_counter() - began
        assert recovered.table("items").describe()["items"] == count
    path = killed("sqlite", count)
    began = time.perf_counter()
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*) FROM items").fetchone() == (count,)
    beside = time.perf_counter() - began
    database.close()
    rows.append((count, round(1e3 * taken, 1), round(1e6 * taken / count, 2), round(1e3 * beside, 1)))
Table.from_rows(["items since the checkpoint", "ms to open", "µs an item", "sqlite: ms to open and count"], rows)

# %% [markdown]
# Compare the columns. SQLite reads its log in place and goes on using it; ours is applied to the tree first. What bounds
# our time is the checkpoint: after 64 MB or 100,000 writes there is one, so there is never much more than that to apply.
#
# ## Break it
#
# ### Kill it at a sync
#
# Every durable byte goes through an injected file system. So a process can be made to die at exactly the n-th sync.

# %%
DEADLY = """
import os, signal, sys
from engines import kv
from engines.storage.files import RealFileSystem

class Deadly(RealFileSystem):
    left = int(sys.argv[2])
    def fdatasync(self, fd):
        Deadly.left -= 1
        if Deadly.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().fdatasync(fd)

table = kv.Store(sys.argv[1], files=Deadly()).create_table("numbers", key="n:N")
for n in range(1, 100):
    table.put({"n": n})
    print(n, flush=True)
"""
rows = []
for nth in (8, 12, 16, 24):
    path = str(folder / f"deadly {nth}")
    died = subprocess.run([sys.executable, "-c", DEADLY, path, str(nth)], stdout=subprocess.PIPE, text=True)
    assert died.returncode == -signal.SIGKILL
    acknowledged = max(map(int, died.stdout.split()), default=0)
    with kv.Store(path) as recovered:
        found = sorted(int(item["n"]) for item in recovered.table("numbers").scan())
        assert recovered.verify().ok
    assert found == list(range(1, len(found) + 1)) and acknowledged <= len(found) <= acknowledged + 1
    rows.append((nth, acknowledged, len(found)))
Table.from_rows(["killed at sync", "acknowledged", "found"], rows)

# %% [markdown]
# Nothing acknowledged is missing. One more may be found: its bytes were with the kernel, which outlives the process. What a
# *power failure* leaves is another question, and needs another method: see [How we test for crashes](../crash.md).
#
# ### Flip a byte
#
# Close a store, flip one random byte of one file, open it, read everything. Either somebody notices, or nothing that you can
# see has changed.

# %%
spoilt = folder / "spoilt"
with kv.Store(spoilt, clock=ManualClock(NEW_YEAR * 1_000_000)) as victim:
    table = victim.create_table("items", key="id:N", stream=True)
    with table.batch_writer() as batch:
        for number in range(100):
            batch.put(item_of(number))
    expected = sorted(table.scan(), key=lambda item: item["id"])


def look(file, at, bit):
    """What a user notices of one flipped bit, in a copy of the folder."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(spoilt, copy)
    broken = bytearray((copy / file).read_bytes())
    broken[at] ^= bit
    (copy / file).write_bytes(broken)
    try:
        with kv.Store(copy) as opened:
            found = sorted(opened.table("items").scan(), key=lambda item: item["id"])
            return "harmless" if found == expected else "named" if not opened.verify().ok else "silent"
    except EngineError:
        return "named"


rng = random.Random(1)
rows = []
for path in sorted(path for path in spoilt.rglob("*") if path.is_file() and path.name not in ("lock", "lock.mdb")):
    size, verdicts = path.stat().st_size, {"named": 0, "harmless": 0, "silent": 0}
    for at in rng.sample(range(size), min(30, size)):
        verdicts[look(path.relative_to(spoilt), at, 1 << rng.randrange(8))] += 1
    rows.append((str(path.relative_to(spoilt)), size, *verdicts.values()))
flips = Table.from_rows(["file", "bytes", "named", "harmless", "silent"], rows)
assert not any(row.silent for row in flips)
flips

# %% [markdown]
# And this is what such an error says:

# %%
log_file = next((spoilt / "log").glob("*.log"))
whole = log_file.read_bytes()
broken = bytearray(whole)
broken[len(whole) // 2] ^= 1
log_file.write_bytes(broken)
try:
    kv.Store(spoilt)
except EngineError as error:
    print(str(error).replace(str(folder), "…"))
with kv.Store(spoilt, read_only=True) as reader:  # what it advises: the tree is whole, and verify names the place
    assert sorted(reader.table("items").scan(), key=lambda item: item["id"]) == expected
    assert [Path(problem.file) for problem in reader.verify().problems] == [log_file]
_ = log_file.write_bytes(whole)  # mended

# %% [markdown]
# ### Move the clock
#
# A clock that is set back must not bring the dead to life, nor upset the order of the log.

# %%
tomorrow, today = ManualClock((NEW_YEAR + 86_400) * 1_000_000), ManualClock(NEW_YEAR * 1_000_000)
with kv.Store(folder / "clocks", clock=tomorrow) as ahead:
    notes = ahead.create_table("notes", key="id:S", ttl="expires", stream=True)
    notes.put({"id": "gone", "expires": NEW_YEAR + 86_400 + 10})
    tomorrow.advance(seconds=10)
    assert ahead.expire() == 1
with kv.Store(folder / "clocks", clock=today) as behind:  # the machine was set back by a day
    notes = behind.table("notes")
    assert notes.get("gone") is None  # deleted is deleted
    notes.put({"id": "new"})
    times = [change.time for change in notes.changes()]
    assert times == sorted(times)  # the log never goes back: it waits for the clock

# %% [markdown]
# ## Questions
#
# :::{dropdown} Format: the keys ("a", "bc") and ("ab", "c") hold the same letters. How do they stay apart in the tree?
# The partition key is ended by the bytes `00 01`, and a `00` inside it is written `00 FF`. So no partition key is the
# beginning of another one, and all items of a partition lie side by side. See [Formats](../formats.md).
# :::
#
# :::{dropdown} Bad input: what does `put` do with an item of 500 KB, and what has changed afterwards?
# It raises `TooLarge` with the size and the limit. Nothing has changed: the item is encoded and measured before the log
# hears of it.
# :::
#
# :::{dropdown} Performance: a filter passes one item in a thousand. What does it save?
# Only the work on what is handed to you. All items were read and decoded, and read units are counted on what was
# examined. `explain` says so in its own line. If you ask that question often, its attribute belongs into a key.
# :::
#
# :::{dropdown} Design: why is the partition key of the passes the tail number, and not the day?
# Because of the question: "what does this plane do?" reads one partition. With the day as partition key, that question
# reads 31 partitions, and on the day itself all writes go to one partition: a *hot* one, which in a service with many
# machines is one machine's problem. The day would be right for "what leaves today?".
# :::
#
# ## Exercises
#
# The passes have expired while we turned the clock. So here is a New Year once more, in memory, with `passes`, `seats` and
# `gate`:

# %%
clock = ManualClock(NEW_YEAR * 1_000_000)
store = kv.Store(clock=clock)
passes = store.create_table("passes", key=("tailnum:S", "departure:N"), ttl="expires", stream=True)
seats = store.create_table("seats", key=("flight:S", "seat:S"))
gate = store.create_table("gates", key="gate:S", stream=True)
with passes.batch_writer() as batch:
    for item in items:
        batch.put(item)
seats.put({"flight": "UA 1141", "seat": "12A", "sold_to": "ann"})
for n in range(50):
    gate.put({"gate": f"B{n % 7}", "flight": f"UA {n}"})
assert len(list(passes.changes())) == len(items) == 27_004

# %% [markdown]
# 1. Answer "which planes flew to Boston?" with a second table that a `Consumer` of `passes` fills. How stale can it be, and how
#    would you notice?
# 2. Load `items` into a table sorted by their key, and into another shuffled. Compare the tables' lines in `layout()`. Explain
#    the difference in bytes.
# 3. Write `transfer(seat, a, b)` for `seats` with conditions only. Which failure can you not exclude with single-item writes?
# 4. Let two threads `rebook` seat 12A a hundred times each, with retries. Count the attempts. What happens with four?
# 5. Turn `show` into a consumer of `gate` that counts departures a gate, exactly once.
#
# ## Where this differs from AWS
#
# * An expired item is gone at once. DynamoDB deletes within days, and shows it until then.
# * One process on one machine: a read sees the last write. There, a read is eventually consistent unless you pay double.
# * What a managed service adds: copies in three places, no machine to look after, access rights, and a bill.
#
# Update expressions, indexes, transactions, capacity and the past are what [the second part](02_kv.py) is about, caches and
# regions [the third](03_kv_cache.py).
