"""The doors of TimeSeries for what has time: ticks, scheduled queries. A part of that class, apart for its length."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from engines.display import Table
from engines.timeseries import tiers
from engines.timeseries.defining import Duration
from engines.timeseries.results import WriteResult
from engines.timeseries.schedule import Alert, CatchUp

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
        None where it failed. ReadOnly, Closed.
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
