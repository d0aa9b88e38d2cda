"""Checkpoints: what is in memory becomes blobs, the tree names them, and the log may go.

    rows of a tile in memory ──> one blob ──> the tree: these blobs, this sequence ──> memory is empty, old blobs go

A small blob is merged into the next one: as long as the newest blob of the memory tier is at most twice as long as what
comes, it is taken in. So the blobs of a tile are few (a logarithm of the checkpoints), and a row is written few times.

All of it is done under the writer's lock: what is judged and logged meanwhile would be in no blob. Readers go on, with
what they hold and with what is in memory, until the tree has committed; then memory is swapped for blobs in one step.

A blob that nothing names is deleted only after the tree has said so on disk. What a crash leaves is swept at the next
opening.

Invariants: after it, what every table answers is what it answered before.
"""

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from engines.errors import Poisoned, ReadOnly
from engines.timeseries import merge
from engines.timeseries import tile as tiles
from engines.timeseries.catalog import Stored

if TYPE_CHECKING:
    from engines.timeseries.engine import TimeSeries
    from engines.timeseries.part import Part
    from engines.timeseries.table import Tile, TimeTable

TAKEN_IN: Final = 2  # times as many rows as are new: an older blob of so many is merged with them


def if_due(engine: "TimeSeries") -> None:
    """A checkpoint, if enough was logged since the last and nobody else makes one.

    What the disk refuses here is no failure of the write before it, which is acknowledged.
    """
    if engine.tree.due and engine.writing.acquire(blocking=False):
        try:
            with contextlib.suppress(ReadOnly):
                checkpoint(engine)
        finally:
            engine.writing.release()


def checkpoint(engine: "TimeSeries") -> int:
    """Under `writing`; the log's sequence that the tree has now."""
    engine.log.sync()
    pending: list[tuple[TimeTable, Tile, Stored, tuple[Stored, ...]]] = []
    try:
        for table in engine.all_tables():
            for tile in list(table.tiles.values()):
                if tile.memory is not None and tile.memory.rows:
                    stored, taken = _write(engine, table, tile)
                    pending.append((table, tile, stored, taken))
    except Poisoned as error:
        engine.log.refuse(error)  # no checkpoint can be made any more, so nothing more is taken
        raise
    kept = 0

    def before() -> None:
        nonlocal kept
        kept = _save(engine, pending)

    sequence = engine.tree.checkpoint(before)
    with engine.lock:
        for table, tile, stored, taken in pending:
            engine.condemned |= {each.digest for each in taken}
            table.settle_tile(tile.start, _replaced(tile.blobs, taken, stored))
        for table in engine.all_tables():
            table.saved_series, table.changed = len(table.index), set()
    delete_condemned(engine)
    if kept:
        engine.log.trim(kept)
    return sequence


def _save(engine: "TimeSeries", pending: Iterable[tuple["TimeTable", "Tile", Stored, tuple[Stored, ...]]]) -> int:
    """Put into the tree where things stand; the first sequence of the log that is to be kept."""
    standing = engine.standing
    known = {table.number for table in engine.all_tables()}
    for state in standing.states():
        if state.definition.number not in known:
            standing.forget(state.definition.number)
    blobs = {(table.number, tile.start): _replaced(tile.blobs, taken, stored) for table, tile, stored, taken in pending}
    for table in engine.all_tables():
        standing.save(table)
        starts = {start for number, start in blobs if number == table.number} | table.changed
        for start in starts:
            here = table.tiles.get(start)
            standing.put_tile(table.number, blobs.get((table.number, start), here.blobs if here else ()), start)
    engine.schedules.save()
    standing.put_next_table(engine.next_table)
    return standing.mark(engine.clock.now(), engine.log.last, engine.logged_bytes)


def _replaced(blobs: tuple[Stored, ...], taken: tuple[Stored, ...], stored: Stored) -> tuple[Stored, ...]:
    return (*(each for each in blobs if each not in taken), stored)


def _write(engine: "TimeSeries", table: "TimeTable", tile: "Tile") -> tuple[Stored, tuple[Stored, ...]]:
    """A blob of what a tile has in memory, and of its newest blobs where they are small; and which those were."""
    assert tile.memory is not None  # noqa: S101 - whoever calls has looked
    rows, taken = tile.memory.rows, 0
    while taken < len(tile.blobs):
        last = tile.blobs[-1 - taken]
        if last.tier != "memory" or last.rows > TAKEN_IN * rows:
            break
        rows += last.rows
        taken += 1
    merged = tile.blobs[len(tile.blobs) - taken :]
    sources: list[Part] = [engine.part_of(each) for each in merged]
    sources += [run.part() for run in tile.memory.runs()]
    part = merge.combined(merge.disjoint(sources, table.type_of, table.singles(), encode=True), table.type_of)
    table.generation += 1
    demoted = tile.demoted and part.high < engine.now() - table.definition.memory
    stored = tiles.store(
        engine.blobs, part, table=table.number, tile=tile.start, generation=table.generation,
        tier="magnetic" if demoted else "memory",
    )  # fmt: skip
    return stored, merged


def delete_condemned(engine: "TimeSeries") -> None:
    """Delete blobs that nothing names any more, as far as that is on disk."""
    if not engine.condemned:
        return
    named = named_by_tables(engine)
    engine.forget(engine.condemned - named)
    kept = engine.kept_snapshots.kept()
    if kept is not None:  # else a snapshot cannot be read, and may need any of them
        gone = sorted(engine.condemned - named - kept)
        engine.blobs.remove(digest for digest in gone if engine.blobs.has(digest))
        engine.condemned = set()


def named_by_tables(engine: "TimeSeries") -> set[str]:
    """The blobs that a table names."""
    found: set[str] = set()
    for table in engine.all_tables():
        found |= table.digests()
    return found


def sweep(engine: "TimeSeries") -> None:
    """At open: delete what a crash has left. The tree may name more than the tables do, until its next checkpoint."""
    kept = engine.kept_snapshots.kept()
    if kept is None:
        return
    keep = named_by_tables(engine) | kept | engine.condemned
    for state in engine.standing.states():
        keep |= {stored.digest for stored in engine.standing.stored(state.definition.number)}
    engine.blobs.sweep(keep)
