"""What time does to a tile: TimeSeries.tick().

    demote     its newest row has left the memory tier        all its blobs ──> one blob of cold blocks, magnetic
    expire     its newest row has left the magnetic tier      all its blobs are deleted, nothing is rewritten
    compact    late rows lie over a tile of the magnetic tier, an eighth of it or more ──> one blob again
    schedule   a scheduled query is due                       schedule.py

In this order, everything by the clock that the store was given, and nothing unless tick() is called. So a class can
turn a ManualClock on and watch what a day does to its data.

A rewrite takes no lock while it reads, encodes and writes; then the blobs are swapped in one step, if they are still
those that were read (a write in between goes to memory, and is right about what it knows). Its order is that of every
change: the new blob is on disk, the log says that it is the one, the tree says so at the checkpoint, the old blobs are
unlinked. A crash between any two of these leaves the old blobs or the new one, and never both; whoever reads the old
ones keeps them until he is done.

A tile that is damaged stays as it is; all else is done before tick() raises Corrupted.

A tile is judged by its *newest* row. By its beginning it would take fresh rows along.

Simpler than production: nothing in the background, one tile after the other, a tile is in memory while it is rewritten.

Invariants: what a table answers is the same before and after, but for rows that have left the magnetic tier, which it
did not answer any more. tick() right after tick() does nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engines.display import Table
from engines.errors import Corrupted
from engines.progress import Progress
from engines.timeseries import checkpoints, cold, merge
from engines.timeseries import tile as tiles
from engines.timeseries.catalog import Stored
from engines.timeseries.memory import joined_in_order
from engines.timeseries.part import TIME, Part
from engines.timeseries.rows import Rows

if TYPE_CHECKING:
    from engines.timeseries.engine import TimeSeries
    from engines.timeseries.schedule import Alert
    from engines.timeseries.table import Tile, TimeTable

FOLDED_AT: Final = 8  # overlays of an eighth of their base are folded in
OVERLAYS: Final = 8  # more of them are at least made into one
FIELDS: Final = ("step", "table", "tiles", "points", "bytes_before", "bytes_after")


@dataclass(slots=True)
class Step:
    """What was done to one table in one step."""

    step: str
    table: str
    tiles: int = 0
    points: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Blobs of a tile that are to become one blob; nothing, where `expired`."""

    table: "TimeTable"
    tile: int
    blobs: tuple[Stored, ...]
    expired: bool = False


def tick(engine: "TimeSeries", alert: "Alert | None" = None) -> Table:
    """See TimeSeries.tick."""
    engine.check_writable()
    done: list[Step] = []
    damaged: list[Corrupted] = []
    with engine.ticking:
        now = engine.now()
        _leave_memory(engine, now)
        for step, find in (("demote", to_demote), ("expire", to_expire), ("compact", to_compact)):
            due = [one for table in engine.all_tables() for one in find(table, now)]
            done += _run(engine, step, due, damaged)
        if engine.condemned:
            with engine.writing:
                checkpoints.checkpoint(engine)
        for query, points in engine.schedules.run_due(now, alert):
            found = next((one for one in done if (one.step, one.table) == ("schedule", query.into)), None)
            if found is None:
                done.append(found := Step("schedule", query.into))
            found.points += points
    if damaged:
        raise damaged[0]
    return Table.from_rows(FIELDS, [[getattr(step, name) for name in FIELDS] for step in done])


def newest(tile: "Tile") -> int:
    """The time of a tile's newest row. Under the lock."""
    highs = [stored.high for stored in tile.blobs]
    if tile.memory is not None:
        highs += [run.part().high for run in tile.memory.runs()]
    return max(highs, default=-1)


def _leave_memory(engine: "TimeSeries", now: int) -> None:
    """What is to be demoted or to expire must be in blobs: a checkpoint, where it is not."""
    with engine.lock:
        due = any(
            tile.memory is not None and tile.memory.rows and newest(tile) < now - table.definition.memory
            for table in engine.all_tables()
            for tile in table.tiles.values()
        )
    if due:
        engine.checkpoint()


# -- what is due


def to_demote(table: "TimeTable", now: int) -> list[Rewrite]:
    """The tiles that leave the memory tier, the oldest first."""
    oldest, last = now - table.definition.memory, now - table.definition.magnetic
    return _due(
        table,
        lambda tile: last <= newest(tile) < oldest and any(stored.tier == "memory" for stored in tile.blobs),
    )


def to_expire(table: "TimeTable", now: int) -> list[Rewrite]:
    """The tiles that leave the magnetic tier."""
    last = now - table.definition.magnetic
    return [
        Rewrite(table, one.tile, one.blobs, expired=True)
        for one in _due(table, lambda tile: bool(tile.blobs) and newest(tile) < last)
    ]


def to_compact(table: "TimeTable", _: int) -> list[Rewrite]:
    """The tiles of the magnetic tier with overlays that are to be folded in, or to be made into one.

    Not those with younger blobs beside: these will be demoted, and a blob between two of them may be right about a row.
    """
    found = []
    for one in _due(table, lambda tile: len(tile.blobs) > 1 and all(each.tier == "magnetic" for each in tile.blobs)):
        base, *overlays = one.blobs
        if FOLDED_AT * sum(stored.rows for stored in overlays) >= base.rows:
            found.append(one)
        elif len(overlays) > OVERLAYS:
            found.append(Rewrite(table, one.tile, tuple(overlays)))
    return found


def _due(table: "TimeTable", wanted: Callable[["Tile"], bool]) -> list[Rewrite]:
    with table.lock:
        if table.dropped:
            return []
        return [Rewrite(table, tile.start, tile.blobs) for _, tile in sorted(table.tiles.items()) if wanted(tile)]


# -- doing it


def _run(engine: "TimeSeries", step: str, due: Sequence[Rewrite], damaged: list[Corrupted]) -> list[Step]:
    done: dict[int, Step] = {}
    with Progress(step, "tiles", len(due)) as progress:
        for one in due:
            try:
                added = () if one.expired else (rewritten(engine, one),)
            except Corrupted as error:  # the others need not wait for it
                damaged.append(error)
                continue
            if engine.swap(one.table, one.tile, [stored.digest for stored in one.blobs], added):
                found = done.setdefault(one.table.number, Step(step, one.table.name))
                found.tiles += 1
                found.points += sum(stored.points for stored in added or one.blobs)
                found.bytes_before += sum(stored.bytes for stored in one.blobs)
                found.bytes_after += sum(stored.bytes for stored in added)
            progress.advance(1)
    return list(done.values())


def rewritten(engine: "TimeSeries", one: Rewrite) -> Stored:
    """One durable blob of what these blobs hold."""
    table = one.table
    parts = merge.disjoint([engine.part_of(stored) for stored in one.blobs], table.type_of, table.singles())
    part = cold_part(joined_in_order([merge.rows_of(part, table.type_of) for part in parts]))
    generation = max(stored.generation for stored in one.blobs)
    return tiles.store(
        engine.blobs, part, table=table.number, tile=one.tile, generation=generation, tier="magnetic"
    )  # fmt: skip


def cold_part(rows: Rows) -> Part:
    """Sorted rows as a part of cold blocks."""
    series, _, first_blocks, cuts = merge.cuts_of(rows.series)
    encoded = [cold.encode_cold("timestamp", rows.times, cuts, first_blocks=first_blocks)]
    numbers = sorted(rows.columns)
    for number in numbers:
        one = rows.columns[number]
        encoded.append(cold.encode_cold(one.type, one.data, cuts, one.valid, one.words, first_blocks=first_blocks))
    return merge.assembled(series, first_blocks, [TIME, *numbers], encoded, tier="magnetic")
