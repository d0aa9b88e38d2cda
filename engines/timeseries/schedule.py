"""Scheduled queries: a SELECT that runs every so often, and whose rows are written to a table.

    slots      start + k * every, for k = 0, 1, 2 ...        by default start is the next multiple of every, UTC
    due        a slot that is not done and not after the clock
    a run      @scheduled_runtime, now() and ago() are the slot's time ──> rows ──> the table, version = slot in ms
               ──> "this slot is done" in the log

A run depends on its slot and on the data, not on when it happens: after a week's pause tick() does all slots that were
missed, in their order, or with catch_up="latest" only the last of them.

**Exactly once in effect.** A crash between the rows and the note runs the slot again. Its rows have the same identity
and the same version: where the values are the same they are unchanged, where the data has changed meanwhile they are
replaced (an ordinary write would be refused there). So there is never a row twice. A slot may be run by hand again.

A query that fails is noted with its error, and does not stop the others. Its slot stays due: mend what is missing, and
the next tick() catches up. Rows that the table refuses (too old, another type) are noted, and the slot is done.

Slots of all queries run in order of time, of one time in order of creation: so one may read what another has written.

    tree, keyspace schedules        name        State
    frame of kind SCHEDULE_FRAME    MessagePack, one of Scheduled, Unscheduled, Ran

Simpler than the service: no roles, no notifications, no reports in a bucket; tick(alert=...) calls a function.

Invariants: a slot that is noted as done never runs by itself again. What ran is what would have run at the slot's time,
as far as its data was there.
"""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from engines.display import Table
from engines.errors import AlreadyExists, Closed, Corrupted, EngineError, Invalid, NotFound, Poisoned, ReadOnly, nearest
from engines.progress import Progress
from engines.storage.log import Frame
from engines.timeseries import catalog, durations
from engines.timeseries.columns import Columns
from engines.timeseries.defining import Duration, checked_name
from engines.timeseries.intake import checked_dimension_name, columns_of
from engines.timeseries.moments import moment
from engines.timeseries.results import RejectedRecords, WriteResult

if TYPE_CHECKING:
    from engines.sql.result import Result
    from engines.timeseries.engine import TimeSeries
    from engines.timeseries.query import Prepared
    from engines.timeseries.table import TimeTable

SCHEDULE_FRAME: Final = 18
SHORTEST: Final = 10**9  # of every
MILLISECOND: Final = 10**6
RUNTIME: Final = "scheduled_runtime"
MENTIONED: Final = re.compile(rf"[@:]{RUNTIME}\b")
MEASURES: Final = ("double", "bigint", "integer", "smallint", "tinyint", "varchar", "boolean", "timestamp", "decimal")
CatchUp = Literal["all", "latest"]
Alert = Callable[[str, np.datetime64, Table | None, EngineError | None], None]


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is run, when, and where its rows go. measures None: all columns that are neither time nor dimension."""

    name: str
    sql: str
    every: int  # nanoseconds; so is start
    start: int
    into: str
    time: str
    dimensions: tuple[str, ...]
    measures: tuple[str, ...] | None
    measure_name: str | None
    catch_up: CatchUp


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A scheduled query, and how it went. last: the slot that was done last; -1 for none."""

    definition: Definition
    number: int  # in order of creation
    last: int = -1
    state: str = "waiting"  # then "done", "refused" (some rows), "failed"
    error: str | None = None
    runs: int = 0
    failures: int = 0
    records: int = 0

    def next(self) -> int:
        """The first slot that is not done."""
        one = self.definition
        return (
            one.start if self.last < one.start else one.start + ((self.last - one.start) // one.every + 1) * one.every
        )

    def latest(self, now: int) -> int:
        """The last slot that is not after `now`; before `start` there is none."""
        one = self.definition
        return one.start + (now - one.start) // one.every * one.every if now >= one.start else -1


class Scheduled(msgspec.Struct, frozen=True, tag="scheduled", forbid_unknown_fields=True):
    """A new scheduled query."""

    definition: Definition
    number: int


class Unscheduled(msgspec.Struct, frozen=True, tag="unscheduled", forbid_unknown_fields=True):
    """It was dropped."""

    name: str


class Ran(msgspec.Struct, frozen=True, tag="ran", forbid_unknown_fields=True):
    """It ran. done: the slot needs no other run."""

    name: str
    slot: int
    state: str
    records: int
    error: str | None
    done: bool


Event = Scheduled | Unscheduled | Ran


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has written: records, values."""

    result: WriteResult
    points: int
    rows: "Result | None" = None


class Schedules:
    """The scheduled queries of a store. Changed under the writer's lock."""

    def __init__(self, engine: "TimeSeries") -> None:
        self._engine = engine
        self._states: dict[str, State] = {}
        self._keyspace = engine.tree.keyspace("schedules")
        self._where = f"{engine.tree.path or 'memory'}/data.mdb"

    # -- standing

    def load(self) -> None:
        """As it was at the last checkpoint."""
        found = [
            catalog.decode(value, State, self._where) for _, value in self._keyspace.page(None, None, limit=1 << 20)
        ]
        self._states = {one.definition.name: one for one in sorted(found, key=lambda one: one.number)}

    def save(self) -> None:
        """Into the tree, as part of a checkpoint."""
        for key, _ in list(self._keyspace.page(None, None, limit=1 << 20)):
            if key.decode() not in self._states:
                self._keyspace.delete(key)
        for name, one in self._states.items():
            self._keyspace.put(name.encode(), catalog.encode(one))

    def states(self) -> list[State]:
        """All of them, in order of creation."""
        return sorted(self._states.values(), key=lambda one: one.number)

    def restore(self, states: Sequence[State]) -> None:
        """Take over those of a snapshot."""
        self._states = {one.definition.name: one for one in states}

    def replay(self, found: Frame, where: str) -> None:
        """Apply a frame of the log again."""
        self._apply(self.read(found, where))

    def read(self, found: Frame, where: str) -> Event:
        """What a frame says. Corrupted."""
        try:
            event: Event = msgspec.msgpack.decode(found.payload, type=Event)
        except msgspec.MsgspecError as error:
            raise Corrupted(f"{where} has a frame that this release cannot read ({error})", file=where) from error
        return event

    def _put(self, event: Event) -> int:
        def apply(_: int) -> None:
            with self._engine.lock:
                self._apply(event)

        return self._engine.put(catalog.encode(event), SCHEDULE_FRAME, apply)

    def _apply(self, event: Event) -> None:
        if isinstance(event, Scheduled):
            self._states[event.definition.name] = State(event.definition, event.number)
        elif isinstance(event, Unscheduled):
            self._states.pop(event.name, None)
        else:
            known = self._states[event.name]
            self._states[event.name] = msgspec.structs.replace(
                known,
                last=max(known.last, event.slot) if event.done else known.last,
                state=event.state,
                error=event.error,
                runs=known.runs + 1,
                failures=known.failures + (event.state == "failed"),
                records=known.records + event.records,
            )

    # -- the door

    def create(
        self,
        name: str,
        sql: str,
        *,
        every: Duration,
        into: "str | TimeTable",
        time: str,
        dimensions: Iterable[str],
        measures: Iterable[str] | None,
        measure_name: str | None,
        start: Any,  # noqa: ANN401 - a moment
        catch_up: CatchUp,
    ) -> None:
        """See TimeSeries.create_scheduled_query."""
        engine = self._engine
        checked_name(name, "the name of a scheduled query")
        period = durations.nanoseconds(every)
        if period < SHORTEST:
            raise Invalid(f"a scheduled query runs every second at most, got {durations.written(period)}")
        if catch_up not in {"all", "latest"}:
            raise Invalid(f'catch_up is "all" or "latest", got {catch_up!r}')
        for names in (dimensions, measures):
            if isinstance(names, str):
                raise Invalid(f"columns are named in a list, got the text {names!r}")
        if measure_name is not None and (not isinstance(measure_name, str) or not measure_name):
            raise Invalid(f"a measure_name is a text that is not empty, got {measure_name!r:.100}")
        first = moment(start) if start is not None else (engine.now() // period + 1) * period
        if first < MILLISECOND:
            raise Invalid(f"start is a moment after 1970, got {start!r}")
        target = into if isinstance(into, str) else into.name
        found = Definition(
            name, sql, period, first, target, time, tuple(dimensions), None if measures is None else tuple(measures),
            measure_name, catch_up,
        )  # fmt: skip
        with engine.writing:
            engine.check_writable()
            if name in self._states:
                raise AlreadyExists(f"there is a scheduled query {name!r} already: drop it first, or name another")
            engine.table(target)
            _check_columns(found, self._prepared(found, first))
            number = max((one.number for one in self._states.values()), default=0) + 1
            sequence = self._put(Scheduled(found, number))
        engine.acknowledge(sequence)

    def drop(self, name: str) -> None:
        """See TimeSeries.drop_scheduled_query."""
        with self._engine.writing:
            self._engine.check_writable()
            sequence = self._put(Unscheduled(self.find(name).definition.name))
        self._engine.acknowledge(sequence)

    def find(self, name: str) -> State:
        """The scheduled query of this name. NotFound offers the nearest."""
        found = self._states.get(name)
        if found is None:
            raise NotFound(f"there is no scheduled query {name!r}{nearest(str(name), self._states)}")
        return found

    def table(self) -> Table:
        """See TimeSeries.scheduled_queries."""
        states = self.states()
        last = [np.datetime64(one.last if one.last >= 0 else "NaT", "ns") for one in states]
        return Table(
            {
                "name": [one.definition.name for one in states],
                "state": [one.state for one in states],
                "every": [durations.written(one.definition.every) for one in states],
                "into": [one.definition.into for one in states],
                "next": np.array([one.next() for one in states], "datetime64[ns]"),
                "last": np.array(last, "datetime64[ns]"),
                "runs": [one.runs for one in states],
                "failures": [one.failures for one in states],
                "records": [one.records for one in states],
                "error": [one.error for one in states],
                "sql": [one.definition.sql for one in states],
            }
        )

    def run(self, name: str, at: Any = None) -> WriteResult:  # noqa: ANN401 - a moment
        """See TimeSeries.run_scheduled_query."""
        engine = self._engine
        engine.check_writable()
        state = self.find(name)
        now = engine.now()
        slot = moment(at) if at is not None else state.latest(now)
        if slot < 0:
            slot = now
        if slot < MILLISECOND:
            raise Invalid(f"a slot is a moment after 1970, got {at!r}")
        return self._run(state.definition, slot).result

    # -- what is due

    def run_due(self, now: int, alert: Alert | None = None) -> Iterator[tuple[Definition, int]]:
        """Run every slot that is due; the query and how many values it has written, slot by slot."""
        waiting = [(slot, one.number, one.definition) for one in self.states() if (slot := _due(one, now)) is not None]
        heapq.heapify(waiting)
        with Progress("schedule", "slots") as progress:
            while waiting:
                slot, number, one = heapq.heappop(waiting)
                outcome = self._attempt(one, slot, alert)
                progress.advance(1)
                if outcome is None:
                    continue
                yield one, outcome.points
                state = self._states.get(one.name)
                if state is not None and state.number == number and (later := _due(state, now)) is not None:
                    heapq.heappush(waiting, (later, number, one))

    def _attempt(self, one: Definition, slot: int, alert: Alert | None) -> Outcome | None:
        """Run a slot and note how it went; None where it stays due."""
        outcome: Outcome | None = None
        error: EngineError | None = None
        failed = False
        try:
            outcome = self._run(one, slot)
        except (Closed, Poisoned, ReadOnly):
            raise
        except RejectedRecords as refused:
            outcome, error = Outcome(refused.result, 0), refused
        except EngineError as problem:
            error, failed = problem, True
        state = "failed" if failed else "refused" if error is not None else "done"
        records = 0 if outcome is None else outcome.result.memory + outcome.result.magnetic
        with self._engine.writing:
            self._engine.check_writable()
            if one.name not in self._states or self._states[one.name].definition != one:
                return None  # dropped meanwhile
            text = None if error is None else str(error)
            sequence = self._put(Ran(one.name, slot, state, records, text, done=not failed))
        self._engine.acknowledge(sequence)
        if alert is not None:
            alert(one.name, np.datetime64(slot, "ns"), None if outcome is None else outcome.rows, error)
        return outcome

    def _prepared(self, one: Definition, slot: int) -> "Prepared":
        from engines.timeseries.query import Prepared  # noqa: PLC0415 - it takes a while to load, and most need it not

        prepared, _ = self._engine.queries.prepared(one.sql, _parameters(one.sql, slot))
        if not isinstance(prepared, Prepared):
            raise Invalid("a scheduled query is one SELECT: its rows are what is written")
        return prepared

    def _run(self, one: Definition, slot: int) -> Outcome:
        """Run a slot: its rows are written when it returns. QueryError, Invalid, NotFound, RejectedRecords."""
        _check_columns(one, self._prepared(one, slot))
        rows: Any = self._engine.queries.sql(one.sql, _parameters(one.sql, slot), now=slot // 1000)
        target = self._engine.table(one.into)
        columns = columns_to_write(one, rows, slot)
        if columns is None:
            return Outcome(WriteResult(), 0, rows)
        points = sum(
            len(columns) if values.valid is None else int(values.valid.sum()) for values in columns.measures.values()
        )
        return Outcome(self._engine.append(target, [columns], replacing=True), points, rows)


def _parameters(sql: str, slot: int) -> dict[str, np.datetime64]:
    return {RUNTIME: np.datetime64(slot, "ns")} if MENTIONED.search(sql) else {}


def _due(state: State, now: int) -> int | None:
    """The slot that is to run next; None where none is due."""
    slot = state.next()
    if slot > now:
        return None
    return state.latest(now) if state.definition.catch_up == "latest" else slot


# -- rows to columns


def _check_columns(one: Definition, prepared: "Prepared") -> None:
    """That the query has the columns that are to be written. Invalid names the column."""
    types = {name: type.kind for name, _, type in prepared.query.columns}
    measures = _measures(one, list(types))
    for name in (one.time, *one.dimensions, *measures):
        if name not in types:
            raise Invalid(f"the query has no column {name!r}{nearest(name, types)}")
    if types[one.time] != "timestamp":
        raise Invalid(f"column {one.time!r} becomes the time of a row, and is a {types[one.time].upper()}: cast it")
    for name in one.dimensions:
        checked_dimension_name(name)
        if types[name] not in {"varchar", "char"}:
            raise Invalid(f"column {name!r} becomes a dimension, and is a {types[name].upper()}: cast it to VARCHAR")
    if not measures:
        raise Invalid("the query has no column that becomes a measure")
    for name in measures:
        if types[name] not in MEASURES:
            raise Invalid(f"column {name!r} becomes a measure, which cannot be a {types[name].upper()}: cast it")


def _measures(one: Definition, names: Sequence[str]) -> list[str]:
    if one.measures is not None:
        return list(one.measures)
    return [name for name in names if name != one.time and name not in one.dimensions]


def columns_to_write(one: Definition, rows: "Result", slot: int) -> Columns | None:
    """The rows of a run as records, without those that have no measure; None where nothing is left."""
    if not len(rows):
        return None
    found = rows.columns
    measures = {}
    there = np.zeros(len(rows), np.bool_)
    for name in _measures(one, rows.names):
        values: Any = found[name]
        if isinstance(values, np.ndarray):
            present = ~np.isnat(values) if values.dtype.kind == "M" else np.ones(len(values), np.bool_)
        else:
            present = np.array([value is not None for value in values], np.bool_)
            if any(isinstance(value, Decimal) for value in values):
                values = [None if value is None else float(value) for value in values]
        if present.any():
            measures[name] = values
            there |= present
    if not there.any():
        return None
    kept = np.flatnonzero(there)
    return columns_of(
        _picked(found[one.time], kept),
        {name: _picked(found[name], kept) for name in one.dimensions},
        {name: _picked(values, kept) for name, values in measures.items()},
        measure_name=one.measure_name,
        version=slot // MILLISECOND,
    )


def _picked(values: Any, kept: Any) -> Any:  # noqa: ANN401 - an array or a list
    if len(kept) == len(values):
        return values
    return values[kept] if isinstance(values, np.ndarray) else [values[at] for at in kept.tolist()]
