"""For tests of SQL: the same awkward rows in a store and in DuckDB."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from timeseries.asking import NOW, SECOND, rows_of, store

HOSTS, STEPS = 6, 900
METRICS = ["usage_user", "usage_system", "usage_idle"]
START = (NOW - STEPS * 10) * SECOND


def text_of(nanoseconds):
    return str(np.datetime64(nanoseconds, "ns"))[:19].replace("T", " ")


class Fleet:
    """Hosts with metrics in a store and in DuckDB; some values are missing, some rows late, some hosts begin later."""

    def __init__(self, checkpoint):
        random = np.random.default_rng(7)
        times = START + np.repeat(np.arange(STEPS), HOSTS) * 10 * SECOND + np.tile(np.arange(HOSTS), STEPS)
        hosts = np.tile([f"host_{number}" for number in range(HOSTS)], STEPS)
        regions = np.where(hosts < "host_3", "eu", "us")
        values = {name: np.trunc(random.random(len(times)) * 100) for name in METRICS}
        values["requests"] = random.integers(-(2**40), 2**40, len(times))
        missing = random.random(len(times)) < 0.1
        keep = (hosts != "host_5") | (times > START + 2000 * SECOND)
        late = random.random(len(times)) < 0.05

        def absent(name):
            return missing if name != "requests" else np.zeros(len(times), bool)

        self.db = store()
        self.cpu = self.db.create_table("cpu", memory="24h", tile="1h")
        for rows in (keep & ~late, keep & late):
            measures = {name: np.ma.array(column[rows], mask=absent(name)[rows]) for name, column in values.items()}
            self.cpu.write(times[rows], {"hostname": hosts[rows], "region": regions[rows]}, measures)
            if checkpoint:
                self.db.checkpoint()
        arrow = {name: pa.array(column[keep], mask=absent(name)[keep]) for name, column in values.items()}
        frame = pa.table(  # noqa: F841 - DuckDB finds it by its name
            {"time": pa.array(times[keep], pa.int64()), "hostname": hosts[keep], "region": regions[keep], **arrow}
        )
        self.peer = duckdb.connect()
        self.peer.execute("SET threads = 1")
        self.peer.execute("CREATE TABLE cpu AS SELECT * FROM frame")

    def same(self, ours, theirs, *parameters, ordered=True):
        """Asserts that both give the same rows; the answer of ours."""
        answer = self.db.sql(ours, parameters)
        found, wanted = rows_of(answer), self.peer.execute(theirs).fetchall()
        if not ordered:
            found, wanted = sorted(found, key=repr), sorted(wanted, key=repr)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert one == tuple(
                pytest.approx(value, rel=1e-9) if isinstance(value, float) else value for value in other
            )
        return answer


MINUTE, HOUR = 60 * SECOND, 3600 * SECOND


def bins(every):
    return f"time // {every} * {every}"


def between(low, high):
    """The same stretch of time for both."""
    return f"time >= '{text_of(low)}' AND time < '{text_of(high)}'", f"time >= {low} AND time < {high}"


MIDDLE = between(START + 3000 * SECOND, START + 6600 * SECOND)
ALL = between(START, START + 9000 * SECOND)
MAXIMA = ", ".join(f"max({name})" for name in METRICS)
MEANS = ", ".join(f"avg({name})" for name in METRICS)
