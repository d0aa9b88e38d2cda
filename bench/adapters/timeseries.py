"""Engines for time series: ours, and those that people embed instead. Rows of a fleet in, answers out.

    open(folder)   write(fleet, rows): one write, acknowledged when it returns   ask(question, size) -> rows
    size(): bytes on disk after settle(): everything in its final form   close()

DuckDB is asked twice: rows in the order in which they came, and sorted by host, which suits some questions better.
"""

import sqlite3
from contextlib import suppress

import fleet as fleets
from adapters.warehouse import size_of

with suppress(ImportError):
    import duckdb
with suppress(ImportError):
    import polars as pl


class Ours:
    def open(self, folder):
        from engines.clock import ManualClock  # noqa: PLC0415 - an engine that is not built must not end its peers' benches
        from engines.timeseries import TimeSeries  # noqa: PLC0415 - same

        folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.clock = ManualClock(fleets.START // 1000)
        self.db = TimeSeries(folder, clock=self.clock)
        self.table = self.db.create_table("cpu", memory="144h")

    def write(self, fleet, rows):
        self.clock.advance(max(0, int(fleet.times[rows].max()) // 1000 - self.clock.now()) / 1e6)
        self.table.write(
            time=fleet.times[rows],
            dimensions={"hostname": fleet.host_texts[rows]},
            measures={name: values[rows] for name, values in fleet.columns.items()},
        )

    def ask(self, question, size):
        return self.db.sql(fleets.words(question, size, "engines")).rows()

    def settle(self):
        """Everything into the magnetic tier."""
        self.clock.advance(days=8)
        self.db.tick()

    def size(self):
        return size_of(self.folder / "blobs") + size_of(self.folder / "tree")

    def close(self):
        self.db.close()


class DuckDB:
    def __init__(self, *, by_host=False, on_disk=False):
        self.by_host, self.on_disk = by_host, on_disk

    def open(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = str(folder / "cpu.duckdb") if self.on_disk else ":memory:"
        self.connection = duckdb.connect(self.file)
        self.connection.execute("SET threads = 1")
        metrics = ", ".join(f"{name} DOUBLE" for name in fleets.METRICS)
        self.connection.execute(f"CREATE TABLE cpu (time TIMESTAMP_NS, hostname VARCHAR, {metrics})")

    def write(self, fleet, rows):
        batch = fleet.arrow[rows.start : rows.stop]
        self.connection.register("batch", batch)
        order = " ORDER BY hostname, time" if self.by_host else ""
        self.connection.execute(f"INSERT INTO cpu SELECT * FROM batch{order}")  # noqa: S608 - our own names

    def ask(self, question, size):
        return self.connection.execute(fleets.words(question, size, "duckdb")).fetchall()

    def settle(self):
        self.connection.execute("CHECKPOINT")

    def size(self):
        return size_of(self.file)

    def close(self):
        self.connection.close()


class Sqlite:
    def open(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "cpu.sqlite"
        self.connection = sqlite3.connect(self.file)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        metrics = ", ".join(f"{name} REAL" for name in fleets.METRICS)
        key = "PRIMARY KEY (hostname, time)"
        self.connection.execute(f"CREATE TABLE cpu (time INTEGER, hostname TEXT, {metrics}, {key}) WITHOUT ROWID")
        self.connection.execute("CREATE TABLE hosts (hostname TEXT PRIMARY KEY) WITHOUT ROWID")

    def write(self, fleet, rows):
        columns = [fleet.times[rows].tolist(), fleet.host_texts[rows].tolist()]
        columns += [values[rows].tolist() for values in fleet.columns.values()]
        marks = ", ".join("?" * len(columns))
        with self.connection:
            self.connection.executemany(f"INSERT INTO cpu VALUES ({marks})", zip(*columns, strict=True))  # noqa: S608 - our own marks
            self.connection.executemany("INSERT OR IGNORE INTO hosts VALUES (?)", [(name,) for name in fleet.names])

    def ask(self, question, size):
        return self.connection.execute(fleets.words(question, size, "sqlite")).fetchall()

    def settle(self):
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def size(self):
        return size_of(self.file)

    def close(self):
        self.connection.close()


class Polars:
    """A frame in memory, sorted by nothing; questions as its own expressions."""

    def open(self, folder):
        del folder
        self.frames = []

    def write(self, fleet, rows):
        self.frames.append(pl.from_arrow(fleet.arrow[rows.start : rows.stop]))

    def settle(self):
        self.frame = pl.concat(self.frames, rechunk=True).lazy()

    def ask(self, question, size):
        return fleets.polars(pl, self.frame, question, size)

    def close(self):
        del self.frames


ASKED = {
    "engines": Ours,
    "duckdb": DuckDB,
    "duckdb by host": lambda: DuckDB(by_host=True),
    "polars": Polars,
    "sqlite": Sqlite,
}
STORED = {"engines": Ours, "duckdb": lambda: DuckDB(on_disk=True), "sqlite": Sqlite}
