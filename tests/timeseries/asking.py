"""For tests of SQL: statements over small tables that are given as columns, and stores full of points."""

import numpy as np

from engines.clock import ManualClock
from engines.sql.engine import SQL, MemoryCatalog
from engines.timeseries import TimeSeries
from engines.timeseries.dialect import TIMESTREAM

SECOND = 10**9
NOW = 1_000_000  # seconds since 1970


def sql(*, now=NOW, **tables):
    """A function that runs a statement over these Arrow tables, and gives its rows."""
    floor = SQL(MemoryCatalog(tables), dialect=TIMESTREAM, clock=ManualClock(now * 1_000_000))

    def ask(text, *values, **named):
        return [tuple(map(plain, row)) for row in floor.query(text, *values, **named).rows()]

    return ask


def one(text, *values, **named):
    """The single value of a statement that reads no table."""
    [[value]] = sql()(text, *values, **named)
    return value


def plain(value):
    """Times as nanoseconds, durations too, series as pairs."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        assert np.datetime_data(value.dtype)[0] == "ns"
        return int(value.astype(np.int64))
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict) and list(value) == ["time", "value"]:
        return plain(value["time"]), plain(value["value"])
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def rows_of(table):
    """The rows of an answer, plain."""
    return [tuple(map(plain, row)) for row in table.rows()]


def store(seconds=NOW):
    """An empty store, its clock at that second."""
    return TimeSeries(clock=ManualClock(seconds * 1_000_000))
