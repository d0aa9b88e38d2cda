# ruff: noqa: S608 - statements are made of our own names only
"""A fleet of hosts and their processors, after the Time Series Benchmark Suite's cpu-only case, and nine questions.

    hosts x metrics   each metric a walk of its own: starts anywhere from 0 to 100, takes normal(0, 1) steps, stays
                      inside, and is shown without its fraction
    rows              in time order, all hosts at one time, then the next time: as they would arrive

Nothing is tiled: a series that repeats would be compressed away by anybody. Each question is asked of each system in
its own words, and answered with rows of plain numbers and texts, times as nanoseconds since 1970.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

METRICS = [
    f"usage_{kind}"
    for kind in ("user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
]
START = int(np.datetime64("2026-01-01T00:00:00", "ns").astype(np.int64))
SECOND, MINUTE, HOUR = 10**9, 60 * 10**9, 3600 * 10**9
STEP = 10 * SECOND


@dataclass(frozen=True, slots=True)
class Size:
    hosts: int
    hours: int
    batch: int  # rows a write


SIZES = {"smoke": Size(10, 2, 2_000), "small": Size(50, 12, 50_000), "full": Size(100, 24, 100_000)}


class Fleet:
    """All rows as columns: times int64 nanoseconds, hosts as numbers into `names`, doubles for each metric."""

    def __init__(self, size: Size, seed: int = 11) -> None:
        self.size = size
        random = np.random.default_rng(seed)
        self.steps = size.hours * HOUR // STEP
        walks = random.random(size.hosts * len(METRICS)) * 100
        values = np.empty((self.steps, walks.size))
        for step in range(self.steps):
            walks = np.clip(walks + random.standard_normal(walks.size), 0, 100)
            values[step] = walks
        np.trunc(values, out=values)
        self.names = [f"host_{number}" for number in range(size.hosts)]
        self.clock = START + np.arange(self.steps, dtype=np.int64) * STEP
        self.times = np.repeat(self.clock, size.hosts)
        self.hosts = np.tile(np.arange(size.hosts, dtype=np.int32), self.steps)
        grid = values.reshape(self.steps, size.hosts, len(METRICS))
        self.columns = {name: np.ascontiguousarray(grid[:, :, i]).reshape(-1) for i, name in enumerate(METRICS)}

    @property
    def rows(self):
        return len(self.times)

    @property
    def points(self):
        return self.rows * len(METRICS)

    @property
    def end(self):
        """The first moment after all of it, in nanoseconds."""
        return START + self.size.hours * HOUR

    @cached_property
    def host_texts(self):
        return np.array(self.names)[self.hosts]

    @cached_property
    def arrow(self):
        """The rows as an Arrow table; hosts as a dictionary."""
        import pyarrow as pa  # noqa: PLC0415 - smoke without Arrow

        hosts = pa.DictionaryArray.from_arrays(pa.array(self.hosts), pa.array(self.names)).cast(pa.string())
        columns = {"time": pa.array(self.times, pa.timestamp("ns")), "hostname": hosts}
        return pa.table(columns | {name: pa.array(values) for name, values in self.columns.items()})

    def batches(self):
        """Slices of rows, one a write."""
        return [slice(at, min(at + self.size.batch, self.rows)) for at in range(0, self.rows, self.size.batch)]


@dataclass(frozen=True, slots=True)
class Question:
    """metrics, hosts: how many are asked for, hosts 0: all; hours: how long, 0: all; every: the bin, nanoseconds."""

    name: str
    kind: str  # "bins", "hosts and bins", "high", "last", "limit"
    metrics: int = 1
    hosts: int = 0
    hours: int = 0
    every: int = MINUTE
    function: str = "max"
    latest: bool = False  # the end of the data, not its middle


QUESTIONS = [
    Question("1 host, 1 metric, 1 hour, by minute", "bins", 1, 1, 1),
    Question("1 host, 1 metric, 12 hours, by minute", "bins", 1, 1, 12),
    Question("8 hosts, 5 metrics, 1 hour, by minute", "bins", 5, 8, 1),
    Question("8 hosts, all metrics, 8 hours, by hour", "bins", 10, 8, 8, HOUR),
    Question("by hour and host, 1 metric", "hosts and bins", 1, 0, 24, HOUR, "avg"),
    Question("by hour and host, all metrics", "hosts and bins", 10, 0, 24, HOUR, "avg"),
    Question("rows above 90", "high", 10, 0, 12),
    Question("last row of each host", "last", 10),
    Question("last 5 minutes before", "limit", 1, 0, 0),
]
LAST_HOUR = Question("last hour", "bins", 5, 8, 1, latest=True)
HISTORIES = {"smoke": (Size(8, 1, 2_000), Size(8, 10, 2_000)), "small": (Size(8, 1, 2_000), Size(8, 100, 20_000))}
HISTORIES["full"] = HISTORIES["small"]


def span(question, size):
    """From and to of a question, nanoseconds: the middle of the data, its end, or all of it."""
    hours = min(question.hours or size.hours, size.hours)
    start = START + (size.hours - hours) // (1 if question.latest else 2) * HOUR
    return start, start + hours * HOUR


@cache
def words(question, size, dialect):
    """The question as SQL. dialect: engines, duckdb, sqlite."""
    start, end = span(question, size)
    functions = ", ".join(f"{question.function}({name}) AS {name}" for name in METRICS[: question.metrics])
    hosts = ", ".join(f"'host_{number}'" for number in range(min(question.hosts, size.hosts)))
    low, high = (_literal(at, dialect) for at in (start, end))
    between = f"time >= {low} AND time < {high}"
    bins = _bin(question.every, dialect)
    if question.kind == "bins":
        one = "hostname = " + hosts if question.hosts == 1 else f"hostname IN ({hosts})"
        return f"SELECT {bins} AS bin, {functions} FROM cpu WHERE {one} AND {between} GROUP BY 1 ORDER BY 1"
    if question.kind == "hosts and bins":
        return f"SELECT {bins} AS bin, hostname, {functions} FROM cpu WHERE {between} GROUP BY 1, 2 ORDER BY 1, 2"
    if question.kind == "high":
        names = ", ".join(METRICS)
        return f"SELECT time, hostname, {names} FROM cpu WHERE usage_user > 90 AND {between}"
    if question.kind == "last":
        return _last(dialect)
    before = _literal(start + 3 * (end - start) // 4, dialect)
    return f"SELECT {bins} AS bin, {functions} FROM cpu WHERE time < {before} GROUP BY 1 ORDER BY 1 DESC LIMIT 5"


def _literal(at, dialect):
    if dialect == "sqlite":
        return str(at)
    text = str(np.datetime64(at, "ns"))[:19].replace("T", " ")
    return f"'{text}'" if dialect == "engines" else f"TIMESTAMP '{text}'"


def _bin(every, dialect):
    if dialect == "sqlite":
        return f"time / {every} * {every}"
    if dialect == "engines":
        return "bin(time, 1m)" if every == MINUTE else "bin(time, 1h)"
    return f"date_trunc('{'minute' if every == MINUTE else 'hour'}', time)"


def _last(dialect):
    names = ", ".join(METRICS)
    if dialect == "engines":
        latest = ", ".join(f"max_by({name}, time) AS {name}" for name in METRICS)
        return f"SELECT hostname, max(time) AS latest, {latest} FROM cpu GROUP BY hostname ORDER BY hostname"
    if dialect == "duckdb":
        return f"SELECT DISTINCT ON (hostname) hostname, time, {names} FROM cpu ORDER BY hostname, time DESC"
    return (
        f"SELECT c.hostname, c.time, {', '.join('c.' + name for name in METRICS)} FROM hosts h JOIN cpu c "
        "ON c.hostname = h.hostname AND c.time = (SELECT max(time) FROM cpu WHERE hostname = h.hostname) "
        "ORDER BY c.hostname"
    )


def polars(pl, frame, question, size):
    """The question as expressions of Polars, over a lazy frame; rows."""
    start, end = (pl.lit(at).cast(pl.Datetime("ns")) for at in span(question, size))
    time, metrics = pl.col("time"), METRICS[: question.metrics]
    inside = (time >= start) & (time < end)
    every = "1m" if question.every == MINUTE else "1h"
    functions = [getattr(pl.col(name), "mean" if question.function == "avg" else "max")() for name in metrics]
    bins = time.dt.truncate(every).alias("bin")
    if question.kind == "bins":
        hosts = [f"host_{number}" for number in range(min(question.hosts, size.hosts))]
        return (
            frame.filter(pl.col("hostname").is_in(hosts) & inside).group_by(bins).agg(functions).sort("bin").collect()
        ).rows()
    if question.kind == "hosts and bins":
        grouped = frame.filter(inside).group_by([bins, "hostname"]).agg(functions)
        return grouped.sort(["bin", "hostname"]).collect().rows()
    if question.kind == "high":
        return frame.filter((pl.col("usage_user") > 90) & inside).select("time", "hostname", *METRICS).collect().rows()
    if question.kind == "last":
        latest = [pl.col("time").max(), *(pl.col(name).sort_by("time").last() for name in METRICS)]
        return frame.group_by("hostname").agg(latest).sort("hostname").collect().rows()
    first, last = span(question, size)
    before = pl.lit(first + 3 * (last - first) // 4).cast(pl.Datetime("ns"))
    return (
        frame.filter(time < before).group_by(bins).agg(functions).sort("bin", descending=True).head(5).collect().rows()
    )


def answer(fleet, question):
    """The rows, by numpy; times as nanoseconds. Rows of "rows above 90" in any order."""
    start, end = span(question, fleet.size)
    metrics = METRICS[: question.metrics]
    inside = (fleet.times >= start) & (fleet.times < end)
    if question.kind == "bins":
        inside &= fleet.hosts < min(question.hosts, fleet.size.hosts)
    if question.kind == "limit":
        inside = fleet.times < start + 3 * (end - start) // 4
    if question.kind == "high":
        chosen = np.flatnonzero(inside & (fleet.columns["usage_user"] > 90))
        columns = [fleet.times[chosen].tolist(), [fleet.names[i] for i in fleet.hosts[chosen].tolist()]]
        return list(zip(*columns, *(fleet.columns[name][chosen].tolist() for name in METRICS), strict=True))
    if question.kind == "last":
        rows = range(fleet.rows - fleet.size.hosts, fleet.rows)
        found = [
            (fleet.names[fleet.hosts[i]], int(fleet.times[i]), *(float(fleet.columns[n][i]) for n in METRICS))
            for i in rows
        ]
        return sorted(found)
    chosen = np.flatnonzero(inside)
    bins = fleet.times[chosen] // question.every
    keys = bins * fleet.size.hosts + fleet.hosts[chosen] if question.kind == "hosts and bins" else bins
    distinct, groups = np.unique(keys, return_inverse=True)
    columns = []
    for name in metrics:
        values = fleet.columns[name][chosen]
        if question.function == "avg":
            columns.append((np.bincount(groups, values) / np.bincount(groups)).tolist())
        else:
            most = np.full(len(distinct), -np.inf)
            np.maximum.at(most, groups, values)
            columns.append(most.tolist())
    if question.kind == "hosts and bins":
        times = (distinct // fleet.size.hosts * question.every).tolist()
        hosts = [fleet.names[i] for i in (distinct % fleet.size.hosts).tolist()]
        return sorted(zip(times, hosts, *columns, strict=True), key=lambda row: row[:2])
    found = list(zip((distinct * question.every).tolist(), *columns, strict=True))
    return found[::-1][:5] if question.kind == "limit" else found


def shuffled(fleet, share=0.1, seed=5):
    """The same rows, a share of them up to a batch late: a copy whose batches hold what arrives together."""
    random = np.random.default_rng(seed)
    place = np.arange(fleet.rows, dtype=np.float64)
    late = random.random(fleet.rows) < share
    place[late] += random.random(int(late.sum())) * fleet.size.batch
    order = np.argsort(place, kind="stable")
    copy = object.__new__(Fleet)
    copy.__dict__.update({name: value for name, value in vars(fleet).items() if name not in {"arrow", "host_texts"}})
    copy.times, copy.hosts = fleet.times[order], fleet.hosts[order]
    copy.columns = {name: values[order] for name, values in fleet.columns.items()}
    return copy


def lines(fleet, rows):
    """Rows as line protocol."""
    names = [fleet.names[host] for host in fleet.hosts[rows].tolist()]
    columns = [values[rows].astype(int).tolist() for values in fleet.columns.values()]
    heads = [f"{name}=" for name in METRICS]
    return "\n".join(
        f"cpu,hostname={name} {','.join(f'{head}{value}' for head, value in zip(heads, values, strict=True))} {time}"
        for name, time, *values in zip(names, fleet.times[rows].tolist(), *columns, strict=True)
    ).encode()
