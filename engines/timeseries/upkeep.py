"""The doors of TimeSeries for upkeep: ticks, scheduled queries, snapshots. A part of that class, apart for length."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from engines.clock import Clock
from engines.display import Report, Table
from engines.storage.files import FileSystem, RealFileSystem
from engines.storage.log import Durability
from engines.timeseries import snapshots, tiers, verify
from engines.timeseries.defining import Duration
from engines.timeseries.layout import Layout
from engines.timeseries.results import WriteResult
from engines.timeseries.schedule import Alert, CatchUp
from engines.timeseries.snapshots import Snapshot

if TYPE_CHECKING:
    from engines.timeseries.engine import TimeSeries
    from engines.timeseries.table import TimeTable


class Upkeep:
    """What TimeSeries inherits."""

    @property
    def _whole(self) -> "TimeSeries":
        return cast("TimeSeries", self)

    def tick(self, alert: Alert | None = None) -> Table:
        """Do what is due by the clock: demote, expire and compact tiles, run scheduled queries.

        A row a step and table: step, table, tiles, points, bytes_before, bytes_after. Nothing of this happens by
        itself. alert: a function of (name, slot, rows, error), called after each run of a scheduled query; rows are
        None where it failed. ReadOnly, Closed; Corrupted names a tile that cannot be read, after all else is done.
        """
        return tiers.tick(self._whole, alert)

    def create_scheduled_query(
        self,
        name: str,
        sql: str,
        *,
        every: Duration = "1h",
        into: "str | TimeTable",
        time: str = "time",
        dimensions: Iterable[str] = (),
        measures: Iterable[str] | None = None,
        measure_name: str | None = None,
        start: Any = None,  # noqa: ANN401 - a moment
        catch_up: CatchUp = "all",
    ) -> None:
        """Have a SELECT run at start, start + every, and so on, and its rows written to the table `into`, by tick().

        start: a moment; by default the next multiple of every. @scheduled_runtime, now() and ago() in the query mean
        the slot that it runs for. time, dimensions, measures: which columns become what; measures None: all others.
        dimensions are what the query groups by besides time: left out, rows of one time are one record, and refused.
        catch_up: after a pause "all" slots that were missed are run, or the "latest" only. AlreadyExists, NotFound
        (the table), QueryError, Invalid.
        """
        self._whole.schedules.create(
            name,
            sql,
            every=every,
            into=into,
            time=time,
            dimensions=dimensions,
            measures=measures,
            measure_name=measure_name,
            start=start,
            catch_up=catch_up,
        )

    def scheduled_queries(self) -> Table:
        """A row a scheduled query: what it does, its next and its last slot, how it went, the last error."""
        self._whole.check_open()
        self._whole.settle()
        return self._whole.schedules.table()

    def run_scheduled_query(self, name: str, at: Any = None) -> WriteResult:  # noqa: ANN401 - a moment
        """Run one for a slot by hand: `at`, or the latest one that is due. What is done by itself does not change.

        Its rows replace those of that slot. NotFound, and whatever makes the query or the write fail.
        """
        return self._whole.schedules.run(name, at)

    def drop_scheduled_query(self, name: str) -> None:
        """Forget a scheduled query; what it has written stays. NotFound."""
        self._whole.schedules.drop(name)

    # -- snapshots

    def snapshot(self, name: str, to: str | os.PathLike[str] | None = None) -> Snapshot:
        """Keep the store as it is now under a name; with `to` also in another folder, as far as it is not there.

        Tiles are shared with the store and with other snapshots, never copied inside of it. A snapshot that is there
        already can be copied to another folder later. AlreadyExists, Invalid, ReadOnly.
        """
        self._whole.check_open()
        return self._whole.kept_snapshots.take(name, to)

    def snapshots(self) -> Table:
        """The snapshots, the oldest first: name, time, tables, tiles, points, bytes, new_bytes.

        new_bytes: of what no other snapshot names.
        """
        self._whole.check_open()
        return self._whole.kept_snapshots.table()

    def drop_snapshot(self, name: str) -> None:
        """Forget a snapshot, and delete what only it needs. NotFound."""
        self._whole.kept_snapshots.drop(name)

    @classmethod
    def restore(
        cls,
        source: "str | os.PathLike[str] | TimeSeries",
        name: str,
        path: str | os.PathLike[str] | None,
        *,
        clock: Clock | None = None,
        durability: Durability = "commit",
        files: FileSystem | None = None,
    ) -> "TimeSeries":
        """A store in the folder `path`, which is not there yet (None: in memory), as it was in a snapshot; open.

        source: a store, its folder, or one that snapshot(to=) has copied to. Retention is judged by the clock that is
        given here: rows of long ago may be hidden, and go at the next tick(). NotFound, AlreadyExists, Corrupted.
        """
        make = cast("type[TimeSeries]", cls)

        def open_store(path: str | None) -> "TimeSeries":
            return make(path, clock=clock, durability=durability, files=files if path is not None else None)

        return snapshots.restore(open_store, source, name, path, files or RealFileSystem())

    # -- looking inside

    def layout(self, table: "str | TimeTable | None" = None) -> Layout:
        """What each column of each tile costs, in which tier and codec; of one table, or of all. NotFound.

        A Table of a row a table, tile, tier, column and blob; summary() adds them up, svg() draws them.
        """
        engine = self._whole
        engine.check_open()
        engine.settle()
        names = engine.tables() if table is None else [table if isinstance(table, str) else table.name]
        return Layout(engine, [engine.table(name) for name in names])

    def verify(self) -> Report:
        """Read every byte of log, tree and blobs, decode every block: what is not as it was written, and where."""
        self._whole.check_open()
        self._whole.settle()
        return verify.verify(self._whole)
