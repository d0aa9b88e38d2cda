# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Warehouse: what does a question read?
#
# A year of flights in a warehouse of the class of Amazon Redshift. Whether a question takes a millisecond or a minute is decided before
# it is asked: by how the rows lie. Here you lay them, predict what will be read, and count.
#
# **After this you can** choose a SORTKEY and a DISTKEY, and say what each costs · read a plan with pruned blocks and moved bytes ·
# say why COPY beats INSERT, in files and syncs · take, read and restore incremental snapshots · make the bill of a query over files smaller.
#
# **Invariants** of the warehouse that you are about to use. The cells below check each of them.
#
# * The answer does not depend on how rows lie, on how many nodes there are, or on which of them die.
# * A block that was written never changes. A commit is one file that is replaced.
# * Whoever reads sees one moment, all of it.
# * A snapshot can be restored as long as it is there, whatever happened since.
#
# **Predict.** Write a number beside each before you read on. There are 336,776 flights with 19 columns.
#
# 1. The flights lie in eight row groups, in no order. How many groups does `WHERE time_hour = '2013-07-04 12:00'` read? And when they are
#    sorted by `time_hour`?
# 2. Which of the 19 columns takes most bytes, and which fewest? How many does `year` take?
# 3. One row at a time, a hundred times: how many new files? And how many does COPY of a thousand rows make?
# 4. You change 1 % of the rows, and take a second snapshot. How many of its bytes are new, if the changed rows are spread over the year?
#    If they are those of the last days?
# 5. Flights joined with planes: how many bytes move between slices if both have `DISTKEY(tailnum)`? And if the flights lie anyhow?
# 6. The question of one month, of two columns, over CSV, over Parquet, over Parquet by month: which share of the CSV's bytes is read?
# 7. You flip one bit of one block. Which questions still get an answer?
#
# Everything here runs without a network, on one machine, and is measured while this page is built.

# %%
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Executor, Future
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd  # noqa: F401 - pyarrow brings it along; here, so that no figure below pays for the import
from matplotlib_inline.backend_inline import set_matplotlib_formats

from engines.display import Table
from engines.errors import Corrupted, EngineError, QueryError
from engines.tour import story
from engines.tour.warehouse import FLIGHTS, PLANES, whole
from engines.warehouse import Lake, Warehouse

set_matplotlib_formats("svg")
place = tempfile.TemporaryDirectory(prefix="warehouse-")
folder = Path(place.name)
year = story.load()
flights, planes = whole(year.flights()), whole(year.planes())
order = np.random.default_rng(2013).permutation(len(flights))
shuffled = Table({name: column[order] for name, column in flights.columns.items()})
w = Warehouse(folder / "w", nodes=2, slices=2)


def table_like(name, how):
    """An empty table of flights under a name, laid as `how` says."""
    w.sql(FLIGHTS.replace("TABLE flights", f"TABLE {name}").replace("DISTKEY(tailnum) SORTKEY(time_hour)", how))


def fastest(work, *, rounds=5):
    """Seconds of the shortest of a few runs."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


table_like("heap", "DISTSTYLE EVEN")
w.append("heap", shuffled)

# %% [markdown]
# Anything that has columns can be appended: a dict of arrays, a DataFrame, Arrow, this house's own `Table`. `whole` has only turned the files' NA into
# NULL, because a missing delay is no number.
#
# ## Columns
#
# The layout says what each column costs. Your second prediction:

# %%
layout = w.layout("heap")
stored = {}
for block in layout:
    stored[block.column] = stored.get(block.column, 0) + block.stored
assert min(stored, key=stored.get) == "year"
assert stored["year"] == 8 * 48, "a header for each block, and nothing else: one value needs no bits"
layout

# %%
figure, axes = plt.subplots(figsize=(7, 4))
names = sorted(stored, key=stored.get)
axes.barh(names, [stored[name] / 1e3 for name in names])
axes.set(xlabel="kilobytes of 336,776 values", title="What there is to say of a column, in bytes")
figure.tight_layout()

# %% [markdown]
# A question reads its columns and no others. Beside it, the same rows in SQLite, a store of rows, with no index that would help:

# %%
QUESTION = "SELECT carrier, avg(arr_delay), count(*) FROM {} GROUP BY carrier"
names = [name for name in flights.names if name != "time_hour"]  # SQLite has no type for moments
rows = sqlite3.connect(":memory:")
rows.execute(f"CREATE TABLE heap ({', '.join(names)})")
simple = Table({name: shuffled.columns[name] for name in names})
rows.executemany(f"INSERT INTO heap VALUES ({', '.join('?' * len(names))})", map(tuple, simple))
ours = {
    carrier: (round(float(mean), 6), count)
    for carrier, mean, count in w.sql(QUESTION.replace("arr_delay", "arr_delay::float").format("heap"))
}
theirs = {carrier: (round(mean, 6), count) for carrier, mean, count in rows.execute(QUESTION.format("heap"))}
assert ours == theirs
Table.from_rows(
    ["store", "milliseconds"],
    [
        ("columns", round(1e3 * fastest(lambda: w.sql(QUESTION.format("heap"))), 1)),
        ("rows (SQLite)", round(1e3 * fastest(lambda: rows.execute(QUESTION.format("heap")).fetchall(), rounds=2), 1)),
    ],
)

# %% [markdown]
# And the other way round: one row, all of its columns. Here a store of columns has to look in nineteen places.

# %%
ONE = "SELECT * FROM heap WHERE tailnum = 'N725MQ' AND day = 5 AND month = 7"
rows.execute("CREATE INDEX by_plane ON heap (tailnum)")
assert len(w.sql(ONE)) == len(rows.execute(ONE).fetchall()) > 0
Table.from_rows(
    ["store", "microseconds"],
    [
        ("columns", round(1e6 * fastest(lambda: w.sql(ONE).rows()))),
        ("rows with an index (SQLite)", round(1e6 * fastest(lambda: rows.execute(ONE).fetchall()))),
    ],
)

# %% [markdown]
# ## Zone maps and the sort key
#
# Of each block the warehouse knows the lowest and the highest value. Your first prediction, before:

# %%
NOON = "SELECT count(*) FROM {} WHERE time_hour = '2013-07-04 12:00'"
print(layout.strips("time_hour"))
before = w.sql(NOON.format("heap"))
assert before.stats["blocks_pruned"] == 0

# %% [markdown]
# Eight strips from end to end: every one of them may hold that hour. And after sorting:

# %%
table_like("flights", "DISTSTYLE EVEN SORTKEY(time_hour)")
w.append("flights", shuffled)
after = w.sql(NOON.format("flights"))
assert after.rows() == before.rows()
assert after.stats["blocks_pruned"] == 7 * 19, "seven of eight groups were not touched"
print(w.layout("flights").strips("time_hour"))

# %%
w.explain(NOON.format("flights"), analyze=True)

# %% [markdown]
# What a sort key gives one column it takes from the others: look at `dep_delay`, which is in no order in either table, and at `hour`, which
# by chance is in runs now. Which columns got smaller?

# %%
sorted_by_time = {}
for block in w.layout("flights"):
    sorted_by_time[block.column] = sorted_by_time.get(block.column, 0) + block.stored
Table.from_rows(
    ["column", "in no order", "sorted by time_hour"],
    [(name, stored[name], sorted_by_time[name]) for name in stored if sorted_by_time[name] < 0.9 * stored[name]],
)

# %% [markdown]
# More rows come in, and each load is sorted for itself: the stairs of two loads lie over each other. VACUUM merges them.

# %%
w.sql(
    "CREATE TABLE halves DISTSTYLE EVEN SORTKEY(time_hour) AS SELECT time_hour, dep_delay FROM flights WHERE flight % 2 = 0"
)
w.sql("INSERT INTO halves SELECT time_hour, dep_delay FROM flights WHERE flight % 2 = 1")
twice = w.layout("halves")
w.sql("VACUUM halves")
once = w.layout("halves")
print(twice.strips("time_hour"), once.strips("time_hour"), sep="\n\n")
assert once.strips_of[0].reads < 0.7 * twice.strips_of[0].reads

# %% [markdown]
# ## Slices, and what moves
#
# Your fifth prediction. `together` lies by tail number, as the planes do. Both tables get four years of flights: what has less than a
# million rows the leader reads alone, and nothing moves.

# %%
w.sql(PLANES)
w.append("planes", planes)
w.sql("CREATE TABLE together DISTKEY(tailnum) AS SELECT tailnum, dep_delay FROM flights")
w.sql("CREATE TABLE anyhow DISTSTYLE EVEN AS SELECT tailnum, dep_delay FROM flights")
for name in ("together", "anyhow", "together", "anyhow"):
    w.sql(f"INSERT INTO {name} SELECT * FROM {name}")
JOIN = (
    "SELECT manufacturer, avg(dep_delay::float) FROM {} f JOIN planes p ON f.tailnum = p.tailnum GROUP BY 1 ORDER BY 1"
)
moved = {}
for name in ("together", "anyhow"):
    answer = w.sql(JOIN.format(name))
    moved[name] = answer.stats["rows_moved"], answer.stats["bytes_moved"]
assert moved["together"] == (0, 0)
assert moved["anyhow"] > (0, 0)
assert [row[0] for row in w.sql(JOIN.format("together"))] == [row[0] for row in w.sql(JOIN.format("anyhow"))]
Table.from_rows(["flights lie", "rows moved", "bytes moved"], [(name, *counts) for name, counts in moved.items()])

# %%
w.picture(JOIN.format("anyhow"))

# %% [markdown]
# A good DISTKEY has many values, none of them everywhere, and is what the large tables are joined on. A bad one:

# %%
w.sql("CREATE TABLE skewed DISTKEY(carrier) AS SELECT carrier, dep_delay FROM flights")
w.picture("SELECT carrier, max(dep_delay) FROM skewed GROUP BY carrier")

# %% [markdown]
# ## Break it: a node dies
#
# A node is an executor of Python's: anything that runs a function. One of these two is without power. What does the question answer?


# %%
class Works(Executor):
    def submit(self, work, /, *arguments, **named):
        done = Future()
        try:
            done.set_result(work(*arguments, **named))
        except BaseException as error:
            done.set_exception(error)
        return done


class Dead(Executor):
    def submit(self, work, /, *arguments, **named):
        done = Future()
        done.set_exception(OSError("the plug was pulled"))
        return done


expected = w.sql(JOIN.format("together")).rows()
w.close()
with Warehouse(folder / "w", nodes=[Works(), Dead()]) as limping:
    assert limping.sql(JOIN.format("together")).rows() == expected
    (lost,) = limping.sql("SELECT lost_nodes FROM stl_query WHERE query = 1").rows()
assert "the plug was pulled" in lost.lost_nodes
print(lost)
w = Warehouse(folder / "w", nodes=2)

# %% [markdown]
# What was sent to it was the name of a root, a query, and a list of slices. None of it ever changes, so somebody else can do it again.
#
# ## One row at a time
#
# Your third prediction.


# %%
def files():
    return sum(len(found) for _, _, found in os.walk(folder / "w"))


w.sql("CREATE TABLE singly (n INTEGER, word VARCHAR(20))")
w.sql("CREATE TABLE loaded (n INTEGER, word VARCHAR(20))")
(folder / "rows.csv").write_text("".join(f"{n},row {n}\n" for n in range(1000)))


def insert(n):
    w.sql("INSERT INTO singly VALUES (?, ?)", n, f"row {n}")


was = files()
seconds = [fastest(lambda n=n: insert(n), rounds=1) for n in range(100)]
singly = files() - was
was = files()
copied = fastest(lambda: w.sql(f"COPY loaded FROM '{folder / 'rows.csv'}' CSV"), rounds=1)
loaded = files() - was
assert singly >= 3 * 100 > 20 > loaded
Table.from_rows(
    ["how", "rows", "new files", "microseconds a row"],
    [("INSERT", 100, singly, round(1e4 * sum(seconds), 1)), ("COPY", 1000, loaded, round(1e3 * copied, 1))],
)

# %%
sizes = [10, 100, 1_000, 10_000, 100_000]
w.sql("CREATE TABLE growing (n INTEGER, word VARCHAR(20))")
each = []
for size in sizes:
    many = {"n": np.arange(size), "word": np.array(["a word"] * size)}
    each.append(1e6 * fastest(lambda many=many: w.append("growing", many), rounds=2) / size)
figure, axes = plt.subplots(figsize=(6, 3))
axes.loglog(sizes, each, "o-")
axes.set(xlabel="rows in one load", ylabel="microseconds a row", title="A commit costs the same, whatever is in it")
figure.tight_layout()

# %% [markdown]
# ## Snapshots
#
# Your fourth prediction. The same number of rows is changed twice: the last days of the year, which lie side by side in a table that is
# sorted by time, and every hundredth flight.

# %%
first = w.snapshot("first")
last = w.sql("UPDATE flights SET dep_delay = 0 WHERE time_hour >= '2013-12-28'").rows()[0].rows
second = w.snapshot("side-by-side")
spread = w.sql("UPDATE flights SET dep_delay = 0 WHERE flight % 100 = 7").rows()[0].rows
third = w.snapshot("spread-out")
assert second.new_bytes < 0.05 * first.bytes
assert third.new_bytes < 0.1 * first.bytes
taken = [("first", 0, first.new_blobs, first.new_bytes), ("side by side", last, second.new_blobs, second.new_bytes)]
taken.append(("spread out", spread, third.new_blobs, third.new_bytes))
Table.from_rows(["snapshot", "rows changed before it", "new blobs", "new bytes"], taken)

# %%
w.snapshot_grid()

# %% [markdown]
# A changed row is a bit in a mask and a new row at the end, so a change writes what is new, wherever the old rows lie. Only VACUUM, which
# writes the groups anew, makes the next snapshot large.

# %%
w.sql("DROP TABLE flights")
began = time.perf_counter()
assert w.restore_table("first", "flights", "flights") == 336_776
print(f"the table is back after {1e3 * (time.perf_counter() - began):.1f} ms; nothing was copied")

# %% [markdown]
# ## The bill
#
# Your sixth prediction. `Lake` asks the questions without a warehouse, over files, and pays by the byte: 5 dollars a terabyte.

# %%
lake = folder / "lake"
for name, how in {
    "csv": "CSV HEADER",
    "gzip": "CSV HEADER GZIP",
    "parquet": "PARQUET",
    "months": "PARQUET PARTITION BY (month)",
}.items():
    w.sql(f"UNLOAD ('SELECT * FROM flights') TO '{lake}/{name}/' {how}")
athena = Lake(lake, minimum=0)
MONTH = "SELECT carrier, count(arr_delay) AS n FROM {} WHERE month = 7 GROUP BY carrier ORDER BY carrier"
answers = {name: athena.sql(MONTH.format(name)) for name in ("csv", "gzip", "parquet", "months")}
assert len({tuple(map(tuple, answer)) for answer in answers.values()}) == 1, "the same answer, four bills"
scanned = {name: answer.scanned_bytes for name, answer in answers.items()}
assert scanned["csv"] > scanned["gzip"] > scanned["parquet"] > scanned["months"]
figure, axes = plt.subplots(figsize=(6, 2.5))
axes.barh(list(scanned), [count / 1e6 for count in scanned.values()])
axes.set(xlabel="megabytes read", title="One question, four ways to keep the files")
axes.invert_yaxis()
figure.tight_layout()

# %% [markdown]
# And in the warehouse? Its blocks know what is in them, so the sorted table does without files by month.

# %%
here = w.sql(MONTH.format("flights"))
assert [tuple(row) for row in here] == [tuple(row) for row in answers["csv"]]
here.stats["bytes_scanned"], scanned["months"]

# %% [markdown]
# ## Break it: a byte
#
# The last prediction. One bit of one block of `dep_delay` is flipped on the disk. The warehouse is opened anew, for what it has in memory is
# still right.

# %%
block = next(block for block in w.layout("flights") if block.column == "dep_delay" and block.group == 3)
w.close()
path = folder / "w" / "blobs" / block.blob[:2] / block.blob[2:]
good = path.read_bytes()
at = block.offset + block.stored - 1
path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
w = Warehouse(folder / "w", nodes=2)
assert w.sql("SELECT count(arr_delay) FROM flights").rows()[0][0] == 327_346  # another column
assert w.sql("SELECT max(dep_delay) FROM flights WHERE time_hour < '2013-02-01'").rows()  # another group
try:
    w.sql("SELECT max(dep_delay) FROM flights")
except Corrupted as error:
    print(error)
print(w.verify())
path.write_bytes(good)

# %% [markdown]
# ## Break it: a file
#
# The same with a whole blob gone. A snapshot in another place brings it back: blobs are named by what is in them, so a copy is as good as
# the original.

# %%
w.snapshot("elsewhere", to=folder / "region")
w.close()
path.unlink()
w = Warehouse(folder / "w", nodes=2)
try:
    w.sql("SELECT max(dep_delay) FROM flights")
except Corrupted as error:
    print(error)
path.write_bytes((folder / "region" / "blobs" / block.blob[:2] / block.blob[2:]).read_bytes())
assert w.sql("SELECT max(dep_delay) FROM flights").rows() == [(1301,)]
assert w.verify().ok

# %% [markdown]
# ## Break it: a kill between the blobs and HEAD
#
# Another process loads a hundred thousand rows. All of its blobs are on the disk, and synced; then, at the one rename that would make them
# true, it is killed.

# %%
PROGRAM = """
import os, signal, sys
import numpy as np
from engines.storage.files import RealFileSystem
from engines.warehouse import Warehouse

class Kills(RealFileSystem):
    def rename(self, source, target):
        if target.endswith("HEAD") and armed:
            os.kill(os.getpid(), signal.SIGKILL)
        super().rename(source, target)

armed = False
w = Warehouse(sys.argv[1], files=Kills())
armed = True
w.append("loaded", {"n": np.arange(100_000), "word": np.array(["lost"] * 100_000)})
"""
count = w.sql("SELECT count(*) FROM loaded").rows()
w.close()
was = files()
killed = subprocess.run([sys.executable, "-c", PROGRAM, folder / "w"], capture_output=True, text=True)
assert killed.returncode == -signal.SIGKILL, killed.stderr
w = Warehouse(folder / "w", nodes=2)
assert w.sql("SELECT count(*) FROM loaded").rows() == count
print(f"{files() - was} files that nobody needs, and not one row too many")
print(w.collect(grace=0))
assert w.verify().ok

# %% [markdown]
# ## One moment
#
# While one thread moves minutes from one flight to another, others add them up. The sum may never change.

# %%
w.sql("CREATE TABLE minutes (flight INTEGER, late INTEGER)")
w.append("minutes", [(n, 10) for n in range(100)])
sums, stop = set(), threading.Event()


def add_up():
    while not stop.is_set():
        sums.add(w.sql("SELECT sum(late) FROM minutes").rows()[0][0])


readers = [threading.Thread(target=add_up) for _ in range(2)]
for thread in readers:
    thread.start()
for n in range(8):
    with w.transaction() as tx:
        tx.sql("UPDATE minutes SET late = late - 1 WHERE flight = ?", n)
        tx.sql("UPDATE minutes SET late = late + 1 WHERE flight = ?", 99 - n)
stop.set()
for thread in readers:
    thread.join()
assert sums == {1000}

# %% [markdown]
# ## Bad input
#
# What is said when something is wrong is part of the interface. Predict the message of each, then run it.

# %%
for text in (
    "SELECT carier FROM flights",
    "SELECT carrier, avg(dep_delay) FROM flights",
    "INSERT INTO loaded VALUES ('one', 'x')",
    "INSERT INTO loaded VALUES (1, 'twenty-one characters')",
    "SELECT 1 / 0",
    f"COPY loaded FROM '{folder}/nothing.csv' CSV",
):
    try:
        w.sql(text)
    except (QueryError, EngineError) as error:
        print(f"{type(error).__name__}: {error}", end="\n\n")

# %% [markdown]
# ## Questions
#
# **Format.** A block of 65,536 values that are all 7, and one with 65,535 sevens and one 8. How many bytes has each payload?
#
# <details><summary>Answer</summary>The first: none behind its description: base 7, width 0. The second: runs (7, 65,535 times; 8, once), or a bit a value,
# whichever takes less: look with ANALYZE COMPRESSION.</details>
#
# **Bad input.** `COPY` of a million lines, of which one has a letter where a number belongs. How many rows are loaded, and where do you find the
# line?
#
# <details><summary>Answer</summary>None, as long as MAXERROR is 0: it is all or nothing. The line, its column and the reason stand in
# `stl_load_errors`.</details>
#
# **Performance.** Your dashboard asks by `origin`, by `carrier` and by day. Which one is the sort key?
#
# <details><summary>Answer</summary>The day. Three origins and sixteen carriers prune little even when sorted: each value fills many blocks, and all of them
# have to be read anyway. Days are many, and dashboards ask for a few.</details>
#
# **Design.** A table of readings grows by a million rows a day; most questions are about yesterday; once a month, a year is deleted. Which sort key, which
# distribution, when VACUUM?
#
# <details><summary>Answer</summary>Sort by time: every day's load is sorted and lies behind the last, so there is nothing to merge, and the old year's groups go
# as a whole. Distribute EVEN, or by the sensor if readings are joined with a table of them. VACUUM hardly ever.</details>
#
# ## Exercises
#
# 1. Give `flights` the sort key `(carrier, time_hour)`, and find a question that gets faster and one that gets slower.
# 2. Try `INTERLEAVED SORTKEY (carrier, time_hour)`, and look at the strips of both.
# 3. Delete a page instead of a segment (the grid says which blob is one). What does `verify()` say, and what can still be read?
# 4. Kill the writer *after* the rename. What has changed?
# 5. Make the fourth bill smaller still: two columns more to leave out, another compression, larger files.

# %%
w.close()
place.cleanup()
