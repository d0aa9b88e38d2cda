# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Time series: what need not be stored?
#
# Half a day of fifty machines, and a year of New York's weather, in a store of the class of Amazon Timestream. Points come in order of time,
# are asked for by stretches of it, and matter less as they age. Almost everything about them can be told from their neighbours. Here you
# predict how much is left, and count.
#
# **After this you can** choose a retention for each tier, and the width of a tile · write queries with `bin` and `interpolate_*`, and say
# what a gap does to a mean · explain where 0.3 bytes a point come from, and predict which blocks a query decodes.
#
# **Invariants** of the store that you are about to use. The cells below check each of them.
#
# * There is one record of each series, measure name and time. Sending it again changes nothing.
# * An answer does not depend on the order in which rows came, on the tier that they are in, or on the width of tiles.
# * What is decoded has the bits of what was written.
# * Whatever was acknowledged is found again; of a write that was not, all or nothing.
#
# **Predict.** Write a number beside each before you read on.
#
# 1. A machine reports ten whole numbers every ten seconds, each a little above or below the one before. A time and a value are 16 bytes. How
#    many bytes does the store need for a point? And SQLite?
# 2. The clock of a machine jitters by a millisecond. How many bytes does that add to each row?
# 3. The greatest value by hour, and by half a day: how many of the blocks have to be decoded?
# 4. An hour's weather is a row. How many bytes a point with a tile of a day, and with one of thirty days?
# 5. A tenth of the rows comes in any order. How many times longer does loading take?
# 6. "Thousands of times faster than relational databases, at a tenth of the cost", says the service of itself. What are the two ratios here,
#    with SQLite as the relational database?
# 7. You flip one bit of one tile. Which questions still get an answer?
#
# Everything here runs without a network, on one machine, and is measured while this page is built.

# %%
import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib_inline.backend_inline import set_matplotlib_formats

from engines.clock import ManualClock
from engines.display import Table
from engines.errors import Corrupted, EngineError
from engines.timeseries import RejectedRecords, TimeSeries
from engines.tour import story

set_matplotlib_formats("svg")
place = tempfile.TemporaryDirectory(prefix="timeseries-")
folder = Path(place.name)

HOSTS, HOURS = 50, 12
METRICS = [f"usage_{n}" for n in range(10)]
STEP = 10
START = 1_767_225_600  # 1 January 2026
random = np.random.default_rng(11)


def fleet():
    """Walks of whole numbers between 0 and 100, each on its own: [row, metric], rows in order of time."""
    steps = HOURS * 3600 // STEP
    walks = np.cumsum(random.standard_normal((steps, HOSTS * len(METRICS))), axis=0) + 50
    values = np.trunc(np.abs((walks + 100) % 200 - 100))  # what leaves at an end comes back
    seconds = START + STEP * np.repeat(np.arange(steps), HOSTS)
    hosts = np.tile([f"host_{n}" for n in range(HOSTS)], steps)
    return seconds, hosts, values.reshape(-1, len(METRICS))


def fastest(work, *, rounds=5):
    """Seconds of the shortest of a few runs."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def sizes(db):
    """Points and bytes of a store's blobs, in both tiers together."""
    stats = dict(zip(db.stats().columns["name"], db.stats().columns["value"], strict=True))
    return [sum(stats[f"{tier} blob {what}"] for tier in ("memory", "magnetic")) for what in ("points", "bytes")]


seconds, hosts, values = fleet()
nanoseconds = seconds * 10**9
columns = {name: values[:, n] for n, name in enumerate(METRICS)}
clock = ManualClock((START + HOURS * 3600) * 1_000_000)
db = TimeSeries(folder / "ours", clock=clock)
cpu = db.create_table("cpu", memory="24h", magnetic="365d")
began = time.perf_counter()
result = cpu.write(nanoseconds, {"host": hosts}, columns)
loading = time.perf_counter() - began
assert result.memory == len(seconds)
print(f"{values.size:,} points on disk after {loading:.2f} s: {values.size / loading / 1e6:.1f} million a second")

# %% [markdown]
# The same rows in SQLite, as one would lay them: a row a time, by host and time, no index besides.

# %%
rows = sqlite3.connect(folder / "theirs.db", isolation_level=None)
rows.execute("PRAGMA journal_mode = WAL")
rows.execute("PRAGMA synchronous = FULL")  # on disk when a transaction is acknowledged, as ours
rows.execute(
    f"CREATE TABLE cpu (host TEXT, time INTEGER, {', '.join(METRICS)}, PRIMARY KEY (host, time)) WITHOUT ROWID"
)
records = list(
    zip(hosts.tolist(), seconds.tolist(), *(values[:, n].tolist() for n in range(len(METRICS))), strict=True)
)
INSERT = f"INSERT INTO cpu VALUES ({', '.join('?' * (2 + len(METRICS)))})"


def into_sqlite():
    rows.execute("BEGIN")
    rows.executemany(INSERT, records)
    rows.execute("COMMIT")


theirs_loading = fastest(into_sqlite, rounds=1)
rows.execute("CREATE TABLE hosts AS SELECT DISTINCT host FROM cpu")  # whoever uses a relational database would have it
rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
print(f"{theirs_loading:.2f} s, {theirs_loading / loading:.0f} times as long")

# %% [markdown]
# ## Measure: bytes a point
#
# Your first prediction. A checkpoint makes blobs of what is in memory; two days later, the memory tier's retention is over, and `tick()`
# moves them to the magnetic tier.

# %%
db.checkpoint()
points, hot = sizes(db)
clock.advance(days=2)
steps = db.tick()
points_cold, cold = sizes(db)
theirs = (folder / "theirs.db").stat().st_size
assert points == points_cold == values.size
assert cold < hot < theirs / 5
each = {
    "numbers as they are": 16.0,
    "SQLite": theirs / points,
    "memory tier": hot / points,
    "magnetic tier": cold / points,
}
figure, axes = plt.subplots(figsize=(7, 2.2))
bars = axes.barh(list(each), list(each.values()))
axes.bar_label(bars, fmt="%.2f", padding=3)
axes.invert_yaxis()
axes.set(xlabel="bytes a point", xlim=(0, 18))
figure.tight_layout()
print(steps)

# %%
db.layout()

# %% [markdown]
# Why so few? Times are an equal step apart: first, step and count say all, and no byte is spent. A value moves by one now and then: its
# difference to the one before takes two or three bits. What is left is what is random in the walk; how much that is, Shannon's formula says:

# %%
differences = np.diff(values.reshape(-1, HOSTS, len(METRICS)), axis=0)
_, counts = np.unique(differences, return_counts=True)
chances = counts / counts.sum()
entropy = -(chances * np.log2(chances)).sum() / 8
assert cold / points > 0.8 * entropy
print(f"entropy of the differences: {entropy:.3f} bytes; the magnetic tier: {cold / points:.3f}")

# %% [markdown]
# A block can be looked at, down to the bits. Another store with the first day of one machine, still in the memory tier:

# %%
with TimeSeries(clock=ManualClock((START + HOURS * 3600) * 1_000_000)) as other:
    table = other.create_table("cpu", memory="24h")
    one = hosts == "host_7"
    table.write(nanoseconds[one], {"host": "host_7"}, {"usage": values[one, 0]})
    other.checkpoint()
    print(table.describe_block({"host": "host_7"}, "usage"))

# %% [markdown]
# ## Break it: a clock that jitters
#
# Your second prediction. The same values, but the machine's clock is off by up to a millisecond, each time a bit differently.

# %%
jittered = {}
for name, moments in {
    "every 10 s": nanoseconds,
    "jitter of 1 ms": nanoseconds + random.integers(0, 10**6, len(seconds)),
    "the same, in whole ms": nanoseconds + random.integers(0, 2, len(seconds)) * 10**6,
}.items():
    with TimeSeries(folder / f"jitter-{len(jittered)}", clock=clock) as other:
        table = other.create_table("cpu", memory="96h")
        table.write(moments, {"host": hosts}, {"usage": values[:, 0]})
        other.checkpoint()
        jittered[name] = sizes(other)[1] / len(seconds)
assert jittered["jitter of 1 ms"] > jittered["every 10 s"] + 2
Table.from_rows(["times", "bytes a row of one measure"], [(name, round(size, 3)) for name, size in jittered.items()])

# %% [markdown]
# Noise in a time costs what noise in a value costs, and it is worth nothing. Write the time that was meant.
#
# ## What a query touches
#
# Each block of up to 1,024 rows has a summary: count, least, greatest, sum, first and last. Your third prediction:

# %%
BY = "SELECT host, bin(time, {}) AS bin, max(usage_0) AS usage FROM cpu GROUP BY 1, 2"
NAMES = ("blocks", "blocks_pruned", "blocks_summarised", "blocks_decoded")
counted = {width: db.explain(BY.format(width)).find("Fold").counters for width in ("1h", "12h")}
assert counted["12h"]["blocks_decoded"] < counted["1h"]["blocks_decoded"] / 2
Table.from_rows(["bin", *NAMES], [(width, *(found[name] for name in NAMES)) for width, found in counted.items()])

# %% [markdown]
# A block of 1,024 rows at ten seconds is almost three hours: it lies in several hours, so it has to be decoded for them, but in one half of a
# day. And a stretch of time, and a series, leave out all other blocks:

# %%
db.explain(
    "SELECT avg(usage_3) FROM cpu WHERE host = 'host_7' AND time BETWEEN '2026-01-01 08:00' AND '2026-01-01 08:59:59'"
)

# %% [markdown]
# ## Measure: the claim
#
# Your sixth prediction. Five questions of a dashboard, each held against SQLite's answer before its time counts. The rows are in the magnetic
# tier, the plan is made, SQLite's pages are in memory: both are asked for the fifth time.

# %%
HOUR = (
    "time >= '2026-01-01 08:00' AND time < '2026-01-01 09:00'",
    f"time >= {START + 28800} AND time < {START + 32400}",
)
ten = ", ".join(f"avg({name})" for name in METRICS)
QUESTIONS = {
    "one host, one metric, an hour by minute": (
        f"SELECT to_unixtime(bin(time, 1m)), max(usage_0) FROM cpu WHERE host = 'host_7' AND {HOUR[0]} GROUP BY bin(time, 1m) ORDER BY 1",
        f"SELECT time / 60 * 60, max(usage_0) FROM cpu WHERE host = 'host_7' AND {HOUR[1]} GROUP BY 1 ORDER BY 1",
    ),
    "all hosts, one metric, by hour": (
        "SELECT host, to_unixtime(bin(time, 1h)), avg(usage_0) FROM cpu GROUP BY host, bin(time, 1h) ORDER BY 1, 2",
        "SELECT host, time / 3600 * 3600, avg(usage_0) FROM cpu GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    "all hosts, ten metrics, by hour": (
        f"SELECT host, to_unixtime(bin(time, 1h)), {ten} FROM cpu GROUP BY host, bin(time, 1h) ORDER BY 1, 2",
        f"SELECT host, time / 3600 * 3600, {ten} FROM cpu GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    "hosts above 95, how often": (
        "SELECT host, count(*) FROM cpu WHERE usage_0 > 95 GROUP BY host ORDER BY host",
        "SELECT host, count(*) FROM cpu WHERE usage_0 > 95 GROUP BY host ORDER BY host",
    ),
    "the newest value of each host": (
        "SELECT host, max_by(usage_0, time) FROM cpu GROUP BY host ORDER BY host",
        "SELECT host, (SELECT usage_0 FROM cpu WHERE host = h.host ORDER BY time DESC LIMIT 1) FROM hosts h ORDER BY host",
    ),
}


def alike(ours, theirs):
    """Whether two lists of rows say the same, doubles to nine digits."""
    flat = [[one for row in rows for one in row if not isinstance(one, str)] for rows in (ours, theirs)]
    texts = [[one for row in rows for one in row if isinstance(one, str)] for rows in (ours, theirs)]
    return texts[0] == texts[1] and np.allclose(flat[0], flat[1], rtol=1e-9)


raced = []
for words, (mine, other) in QUESTIONS.items():
    assert alike(db.sql(mine).rows(), rows.execute(other).fetchall()), words
    ours_s = fastest(lambda mine=mine: db.sql(mine).rows())
    theirs_s = fastest(lambda other=other: rows.execute(other).fetchall(), rounds=2)
    raced.append((words, round(1e3 * ours_s, 3), round(1e3 * theirs_s, 3), round(theirs_s / ours_s, 1)))
Table.from_rows(["question", "ms here", "ms SQLite", "times faster"], raced)

# %%
ratios = np.array([row[3] for row in raced])
print(f"times faster: {ratios.min():.1f} to {ratios.max():.0f}, geometric mean {np.exp(np.log(ratios).mean()):.0f}")
print(f"bytes: {theirs / cold:.0f} times fewer, so 1/{theirs / cold:.0f} of the cost of the disk")
assert theirs / cold > 10

# %% [markdown]
# So: a fortieth of the bytes, which is better than a tenth of the cost, if cost is a disk. Thousands of times faster: no. The factor lies
# between ten and some hundreds where many rows are folded into few. SQLite is the faster one, two to five times, where a few rows are asked
# for by the key that it keeps them in order of: 50 look-ups, or 360 rows side by side. (The service's sentence compares its own machines with
# a database on one of them; here is one machine on either side, and all data in memory.) An index that covers a question would help SQLite
# with that question, and cost its bytes again. And what it does better is in no such table: change a row, join, hold what is no measurement.
#
# ## Measure: latency against n
#
# Two more growth curves. How long does the last hour take, when the history behind it grows? And how long a row, when more of them come in
# one write?

# %%
LAST = "SELECT host, avg(usage_0) FROM cpu WHERE time >= ago(1h) GROUP BY host"
history, latency = [], []
grown = TimeSeries(folder / "grown", clock=ManualClock((START + HOURS * 3600) * 1_000_000))
table = grown.create_table("cpu", memory="24h")
for day in range(8):
    table.write(nanoseconds + day * 43_200 * 10**9, {"host": hosts}, {"usage_0": values[:, 0]})
    grown.tick()
    history.append((day + 1) * len(seconds))
    latency.append(1e3 * fastest(lambda: grown.sql(LAST).rows(), rounds=10))
    grown.clock.advance(hours=12)
grown.close()
sizes_tried = [1, 10, 100, 1_000, 10_000, 100_000]
with TimeSeries(folder / "single", clock=clock) as single:
    table = single.create_table("cpu", memory="96h")
    spent, at = [], 0
    for n in sizes_tried:
        piece = slice(at, at + n)
        spent.append(
            1e6
            * fastest(
                lambda piece=piece: table.write(
                    nanoseconds[piece], {"host": hosts[piece]}, {"usage": values[piece, 0]}
                ),
                rounds=1,
            )
            / n
        )
        at += n
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
left.plot(history, latency, "o-")
left.set(xlabel="rows of history", ylabel="milliseconds", title="the last hour", ylim=0)
right.loglog(sizes_tried, spent, "o-")
right.set(xlabel="rows in one write", ylabel="microseconds a row", title="a sync is shared by a write")
figure.tight_layout()
assert spent[0] > 50 * spent[-1]

# %% [markdown]
# ## Weather: gaps
#
# Three stations report each hour, and sometimes they do not. Nine measures; where the file has NA nothing is written, and nothing is stored.
# Your fourth prediction first:

# %%
weather = story.load().weather()
MEASURES = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
measured = {name: np.ma.masked_invalid(weather.column(name)) for name in MEASURES}
at = weather.column("time_hour")
year_end = ManualClock(int(at.max().astype("datetime64[us]").astype(np.int64)))
widths = {}
for tile in ("1d", "7d", "30d"):
    with TimeSeries(clock=year_end) as other:  # in memory
        table = other.create_table("weather", memory="8766h", tile=tile)
        table.write(at, {"station": weather.column("origin")}, measured)
        other.checkpoint()
        widths[tile] = sizes(other)
assert len({points for points, _ in widths.values()}) == 1
assert widths["1d"][1] > 2 * widths["30d"][1]
Table.from_rows(
    ["tile", "points", "bytes a point"],
    [(tile, points, round(size / points, 2)) for tile, (points, size) in widths.items()],
)

# %% [markdown]
# A tile has headers, a directory, and blocks of its own: at one row an hour a tile of a day holds 24 of each series, in blocks that could
# hold 1,024. But a tile is also what moves, and what expires, as a whole: narrow ones do so more exactly. Real weather takes several times
# what a walk takes: its last digits are random, and nobody can tell them from their neighbours.
#
# How many hours are missing? And what does a gap do to a mean?

# %%
sky = TimeSeries(folder / "weather", clock=year_end)
table = sky.create_table("weather", memory="8766h", tile="30d")
table.write(at, {"station": weather.column("origin")}, measured)
print(
    sky.sql("""
    SELECT station, count(*) AS reports, date_diff('hour', min(time), max(time)) + 1 - count(*) AS missing
    FROM weather GROUP BY 1 ORDER BY 1
    """)
)
counts = dict(sky.sql("SELECT station, count(*) FROM weather GROUP BY 1").rows())
assert counts == {"EWR": 8703, "JFK": 8706, "LGA": 8706}

# %%
DAYS = """
    WITH daily AS (SELECT bin(time, 1d) AS day, avg(temp) AS mean, count(temp) AS n FROM weather WHERE station = 'EWR' GROUP BY 1)
    SELECT sum(mean * n) / sum(n) AS mean_of_all, avg(mean) AS mean_of_means, min(n) AS fewest FROM daily
"""
((whole, means, fewest),) = sky.sql(DAYS).rows()
here = weather.column("origin") == "EWR"
assert abs(whole - np.nanmean(weather.column("temp")[here])) < 1e-9
assert whole != means
print(f"the mean: {whole:.4f} °F; the mean of the days' means: {means:.4f}; the shortest day has {fewest} hours")

# %% [markdown]
# A day of few hours counts as much as a day of twenty-four in the second number. Keep sums and counts, and the mean can always be made.
#
# To fill a gap, say at which times you want values. `interpolate_linear` answers between points, and nowhere else:

# %%
FILLED = """
    WITH station AS (
        SELECT create_time_series(time, temp) AS s, sequence(min(time), max(time), 1h) AS hours FROM weather
        WHERE station = 'EWR' AND temp IS NOT NULL AND time BETWEEN '2013-01-01 12:00' AND '2013-01-02 12:00'
    )
    SELECT u.time, linear, locf FROM station
    CROSS JOIN UNNEST(interpolate_linear(s, hours), interpolate_locf(s, hours)) AS u (time, linear, again, locf)
"""
filled = sky.sql(FILLED)
known = dict(
    sky.sql(
        "SELECT time, temp FROM weather WHERE station = 'EWR' AND time BETWEEN '2013-01-01 12:00' AND '2013-01-02 12:00'"
    ).rows()
)
gaps = [row for row in filled.rows() if row[0] not in known]
assert [row[0] for row in gaps] == [np.datetime64("2013-01-01T17:00")]
assert gaps[0][1] == (41.0 + 39.2) / 2 and gaps[0][2] == 41.0
figure, axes = plt.subplots(figsize=(7, 2.6))
axes.plot(filled.column("time"), filled.column("linear"), ".-", label="linear")
axes.step(filled.column("time"), filled.column("locf"), where="post", alpha=0.6, label="last value carried on")
axes.plot([row[0] for row in gaps], [row[1] for row in gaps], "o", label="no report")
axes.set(ylabel="°F", title="Newark, New Year")
axes.legend()
figure.tight_layout()
gaps

# %% [markdown]
# Do wind and rain go together? Correlation asks for equal times:

# %%
sky.sql("""
    SELECT station,
        correlate_pearson(create_time_series(time, temp), create_time_series(time, dewp)) AS dew,
        correlate_pearson(create_time_series(time, temp), create_time_series(time, wind_speed)) AS wind
    FROM weather WHERE temp IS NOT NULL AND dewp IS NOT NULL AND wind_speed IS NOT NULL GROUP BY station ORDER BY station
""")

# %% [markdown]
# ## Late, twice, corrected
#
# Your fifth prediction. The same rows: in order, and with a tenth of them in any order, a batch of 20,000 rows a time.


# %%
def load(name, order):
    with TimeSeries(folder / name, clock=ManualClock((START + HOURS * 3600) * 1_000_000)) as other:
        table = other.create_table("cpu", memory="24h")
        began = time.perf_counter()
        for first in range(0, len(order), 20_000):
            piece = order[first : first + 20_000]
            table.write(
                nanoseconds[piece], {"host": hosts[piece]}, {name: column[piece] for name, column in columns.items()}
            )
        taken = time.perf_counter() - began
        return taken, other.sql(
            "SELECT host, count(*), sum(usage_0), max(usage_9) FROM cpu GROUP BY host ORDER BY host"
        ).rows()


in_order = np.arange(len(seconds))
mixed = in_order.copy()
some = random.random(len(mixed)) < 0.1
mixed[some] = random.permutation(mixed[some])
(straight, expected), (crooked, found) = load("straight", in_order), load("crooked", mixed)
assert found == expected, "the order of arrival does not matter"
print(f"in order {straight:.2f} s, a tenth late {crooked:.2f} s: {crooked / straight:.1f} times")

# %% [markdown]
# A write that got no answer is sent again: a repeat is `unchanged`. Another value for the same record is refused, unless its version is
# higher. And of a call with one bad record, the others are written.

# %%
one = (["2013-07-04T16:00"], {"station": "JFK"})
was = sky.sql("SELECT * FROM weather WHERE station = 'JFK' AND time = '2013-07-04 16:00'").to_dicts()[0]
same = {name: [was[name]] for name in MEASURES if was[name] is not None}
table = sky.table("weather")
assert table.write(*one, same).unchanged == 1
try:
    table.write(["2013-07-04T16:00", "2013-07-04T16:30"], {"station": "JFK"}, {"temp": [100.0, 81.5]})
except RejectedRecords as error:
    print(error.result.rejected[0])
    assert error.result.memory == 1
assert table.write(*one, same | {"temp": [100.0]}, version=2).memory == 1
sky.sql(
    "SELECT time, temp, humid FROM weather WHERE station = 'JFK' AND time BETWEEN '2013-07-04 15:00' AND '2013-07-04 17:00' ORDER BY time"
)

# %% [markdown]
# ## Break it: turn the clock
#
# Retention is arithmetic with a clock, so a year passes while you watch. `memory` says how long a tile stays hot, `magnetic` when it is
# deleted.

# %%
sky.alter_table("weather", memory="720h", magnetic="200d")
passed = []
for days in (0, 30, 60, 110):
    sky.clock.advance(days=days)
    steps = {row.step: row.tiles for row in sky.tick().rows()}
    ((left, oldest),) = sky.sql("SELECT count(*), min(time) FROM weather").rows()
    passed.append(
        (
            str(dt.datetime.fromtimestamp(sky.clock.now() / 1e6, dt.UTC).date()),
            steps.get("demote", 0),
            steps.get("expire", 0),
            left,
            str(oldest)[:13],
        )
    )
    assert left == 0 or oldest >= np.datetime64(sky.clock.now() - 200 * 86_400 * 10**6, "us")
print(sky.tick())  # right after it: nothing to do
Table.from_rows(["today", "demoted", "expired", "rows left", "the oldest"], passed)

# %% [markdown]
# Rows beyond 200 days are gone to the second, though their tile of 30 days is deleted only when its newest row is beyond. Nobody has
# rewritten anything for it.
#
# ## Break it: a byte
#
# The last prediction. One bit of the largest tile is flipped on the disk; the store is opened anew, for what it has in memory is still right.

# %%
cpu.write([clock.now() * 1000], {"host": "host_7"}, {name: [1.0] for name in METRICS})  # two days later: another tile
db.close()
victim = max(
    (path for path in (folder / "ours" / "blobs").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
)
good = victim.read_bytes()
victim.write_bytes(good[:5000] + bytes([good[5000] ^ 16]) + good[5001:])
db = TimeSeries(folder / "ours", clock=clock)
assert db.sql("SELECT avg(usage_0) FROM cpu WHERE time > ago(1h)").rows() == [(1.0,)]  # the other tile
try:
    db.sql("SELECT avg(usage_0) FROM cpu")
except Corrupted as error:
    print(str(error).replace(place.name, "..."))
report = db.verify()
assert not report.ok
victim.write_bytes(good)
assert db.verify().ok
db.close()

# %% [markdown]
# ## Break it: kill at the sync
#
# Another process writes batches, and says when one was acknowledged. In the twentieth it gets SIGKILL at the moment in which the log would be
# synced: after the bytes were handed over, and before anybody was told.

# %%
PROGRAM = """
import os, signal, sys
from engines.clock import ManualClock
from engines.storage.files import RealFileSystem
from engines.timeseries import TimeSeries

class Kills(RealFileSystem):
    def fdatasync(self, fd):
        if batch == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        super().fdatasync(fd)

batch, at = 0, 1_767_225_600
db = TimeSeries(sys.argv[1], clock=ManualClock((at + 86_400) * 1_000_000), files=Kills())
rows = db.create_table("rows", memory="48h")
for batch in range(1, 100):
    rows.write([(at + batch * 100 + n) * 10**9 for n in range(100)], {"host": "a"}, {"batch": [batch] * 100})
    print(batch, flush=True)
"""
killed = subprocess.run([sys.executable, "-c", PROGRAM, folder / "killed"], capture_output=True, text=True)
assert killed.returncode == -signal.SIGKILL, killed.stderr
acknowledged = int(killed.stdout.split()[-1])
with TimeSeries(folder / "killed") as other:
    found = dict(other.sql("SELECT batch, count(*) FROM rows GROUP BY batch").rows())
assert acknowledged == 19
assert set(range(1, 20)) <= set(found) <= set(range(1, 21))
assert set(found.values()) == {100}, "all of a batch, or nothing"
print(f"{acknowledged} batches were acknowledged, {len(found)} are there, none in part")

# %% [markdown]
# ## Measure: recovery
#
# How long does it take to open a store that was killed? It reads what is in the log since the last checkpoint. Beside it, SQLite with its
# WAL.


# %%
def killed_after(count):
    """Seconds to the first answer after a kill, here and in SQLite, with so many rows that no checkpoint has."""
    script = """
import os, signal, sqlite3, sys
import numpy as np
from engines.clock import ManualClock
from engines.timeseries import TimeSeries
count, at = int(sys.argv[2]), 1_767_225_600
times, values = at + np.arange(count), np.cumsum(np.random.default_rng(1).integers(-1, 2, count)) + 50.0
rows = sqlite3.connect(sys.argv[1] + ".db", isolation_level=None)
rows.execute("PRAGMA journal_mode = WAL"), rows.execute("PRAGMA wal_autocheckpoint = 0")
rows.execute("CREATE TABLE rows (time INTEGER PRIMARY KEY, value)")
rows.execute("BEGIN"), rows.executemany("INSERT INTO rows VALUES (?, ?)", zip(times.tolist(), values.tolist())), rows.execute("COMMIT")
db = TimeSeries(sys.argv[1], clock=ManualClock((at + count) * 1_000_000))
table = db.create_table("rows", memory="8766h")
table.write(times * 10**9, {"host": "a"}, {"value": values})
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = folder / f"recovery-{count}"
    subprocess.run([sys.executable, "-c", script, path, str(count)], capture_output=True)

    def ours():
        other = TimeSeries(path)
        assert other.sql("SELECT count(*) FROM rows").rows() == [(count,)]
        opened.append(other)

    def theirs():
        other = sqlite3.connect(f"{path}.db")
        assert other.execute("SELECT count(*) FROM rows").fetchall() == [(count,)]
        opened.append(other)

    opened = []
    taken = fastest(ours, rounds=1), fastest(theirs, rounds=1)
    for one in opened:
        one.close()
    return taken


numbers = [10_000, 300_000]
recovered = [(n, *(round(1e3 * one, 1) for one in killed_after(n))) for n in numbers]
Table.from_rows(["rows since the checkpoint", "ms here", "ms SQLite"], recovered)

# %% [markdown]
# ## Bad input
#
# What is said when something is wrong is part of the interface. Predict the message of each, then run it.

# %%
with TimeSeries(clock=ManualClock(START * 1_000_000)) as other:
    table = other.create_table("cpu")
    table.write([START * 10**9], {"host": "a"}, {"usage": [1.0]})
    for work in (
        lambda: table.write([1, 2], {"host": "a"}, {"usage": [1.0]}),
        lambda: table.write([START * 10**9 + 1], {"host": "a"}, {"usage": ["high"]}),
        lambda: table.write([(START + 3600) * 10**9], {"host": "a"}, {"usage": [1.0]}),
        lambda: table.write_lines("cpu,host=a usage="),
        lambda: other.create_table("disk", memory="10m"),
        lambda: other.sql("SELECT max(usge) FROM cpu"),
        lambda: other.sql("SELECT time_bucket_gapfill('1m', time) FROM cpu"),
    ):
        try:
            work()
        except EngineError as error:
            print(f"{type(error).__name__}: {error}", end="\n\n")

# %% [markdown]
# ## Questions
#
# **Format.** A block of 1,024 readings of a thermometer: 21.5, 21.6, 21.5 ... between 20.0 and 22.0. How many bits does a value take at most,
# and why do the bits of a double not matter?
#
# <details><summary>Answer</summary>Tenths: whole numbers from 200 to 220, of which 200 is the base, so 21 offsets: 5 bits. As differences
# fewer, if neighbours are close. A value is kept as 215 with exponent 1 only if 215 / 10 gives exactly the same double, so nothing is
# lost.</details>
#
# **Bad input.** A gateway was offline for three days and sends its readings now. Memory retention is 24 hours. What happens, what if
# `magnetic_writes=False`, and what if it sends all of it twice?
#
# <details><summary>Answer</summary>They go to the magnetic tier, as an overlay of their tiles, and are seen at once; a compaction folds them
# in. Without magnetic writes each is refused, and RejectedRecords says so. The second time all of them are unchanged.</details>
#
# **Performance.** `SELECT host, max(usage) ... GROUP BY host` over a month is many times faster than `SELECT host, approx_percentile(usage,
# 0.5) ...`. Why?
#
# <details><summary>Answer</summary>The greatest value of a block stands in its summary: no block is decoded that lies in the month as a
# whole. A median has no such summary: all values are decoded, and gathered.</details>
#
# **Design.** A thousand sensors report every second; engineers look at the last day, managers at last year by the hour. Which retentions,
# which tile, what runs every hour?
#
# <details><summary>Answer</summary>memory="24h" to "48h", a tile of a day or less (86,400 rows of a series are 85 blocks), magnetic as long
# as anybody may ask for a second of the past, say 30 days. A scheduled query writes sums, counts and extremes by hour into a table that keeps
# them for years.</details>
#
# ## Exercises
#
# 1. Write a series in tenths that were computed as `n * 0.1`. How many bits does it take, and what does `round` change?
# 2. Write a row of last week, and find the overlay with `db.layout()`, before and after `tick()`.
# 3. A counter starts again at 0 when its machine does. Which of the two derivatives is right, and how much does it miss?
# 4. Make a scheduled query that keeps the weather by day; turn the clock by a week, and count its slots. Then correct an hour of last month.
# 5. `TimeSeries(durability="interval")`: how much faster is a row a write, and what may a power failure take?
#
# ## Where this differs from Timestream
#
# Tiers are codecs in one folder, and move at `tick()`, not on machines in the background. One process writes. A call takes as many records as
# you like. `approx_percentile` is exact. The list stands at the top of `engines/timeseries/__init__.py`; how it is made, in [the
# chapter](../timeseries.md).

# %%
rows.close()
sky.close()
place.cleanup()
