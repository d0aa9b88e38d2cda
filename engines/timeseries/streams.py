"""What was written, as a stream of changes; and counters. See TimeSeries.changes.

A frame of rows becomes a change a record. Single-measure records of one moment, which share a row, come apart again.
Names come from the tables as they are now: series and measures never change theirs. Of dropped tables nothing is told.
"""

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from engines import display
from engines.changes import Change
from engines.clock import SystemClock
from engines.errors import Invalid, Trimmed
from engines.storage.log import Frame
from engines.timeseries import journal, merge
from engines.timeseries.catalog import ROWS_FRAME
from engines.timeseries.journal import REPLACED
from engines.timeseries.part import FIRST_MEASURE
from engines.timeseries.rows import Column, Rows, is_version

if TYPE_CHECKING:
    from engines.timeseries.engine import TimeSeries
    from engines.timeseries.table import TimeTable


def changes(
    engine: "TimeSeries", after: int, limit: int | None, timeout: float | None, *, follow: bool
) -> Iterator[Change]:
    """See TimeSeries.changes. Invalid, Trimmed."""
    if type(after) is not int or after < 0:
        raise Invalid(f"after is the sequence of a change, or 0 for the beginning, got {after!r:.40}")
    if limit is not None and limit < 1:
        raise Invalid(f"limit must be at least 1, got {limit} (leave it out for all changes)")
    if after > engine.log.last:
        raise Invalid(f"the last sequence is {engine.log.last}: there is none after {after} yet")
    if after + 1 < engine.log.first:
        raise Trimmed(
            f"changes are kept from {engine.log.first} on, asked for those after {after}: read the tables, then start "
            f"from {engine.log.first - 1}",
            oldest=engine.log.first - 1,
        )
    if engine.path is None:
        engine.log.sync()
    return _changes(engine, after, inf if limit is None else limit, timeout, follow=follow and not engine.read_only)


def _changes(
    engine: "TimeSeries", after: int, limit: float, timeout: float | None, *, follow: bool
) -> Iterator[Change]:
    timer = SystemClock().timer  # real time: somebody waits
    until = inf if timeout is None else timer() + timeout
    count = 0
    while True:
        durable = engine.log.durable
        for found in engine.log.read(after):
            if engine.read_only and found.sequence > engine.tree.applied:
                return  # it may speak of series that the checkpoint does not know
            after = found.sequence
            for change in _of_frame(engine, found):
                yield change
                count += 1
                until = inf if timeout is None else timer() + timeout
            if count >= limit:
                return
        after = max(after, durable)
        left = until - timer()
        if not follow or left <= 0 or not engine.log.wait(after, None if left == inf else left):
            return


def _of_frame(engine: "TimeSeries", found: Frame) -> Iterator[Change]:
    if found.kind != ROWS_FRAME:
        return
    batch = journal.decode(bytes(found.payload), engine.log.path_of(found.sequence))
    table = next((each for each in engine.all_tables() if each.number == batch.table), None)
    if table is None:
        return
    for section in batch.sections:
        rows = section.rows
        if rows is None:
            assert section.part is not None  # noqa: S101 - one of the two is there
            rows = merge.rows_of(section.part, table.type_of)
        kind = "MODIFY" if section.kind == REPLACED else "INSERT"
        for row in range(len(rows)):
            for name, values in records_of(table, rows, row):
                key = table.index.key(int(rows.series[row]))
                yield Change(
                    found.sequence,
                    found.time,
                    table.name,
                    kind,  # type: ignore[arg-type] # one of the two words
                    (key.dimensions, name, int(rows.times[row])),
                    None,
                    {**dict(key.dimensions), "measure_name": name, "time": int(rows.times[row]), **values},
                )


def records_of(table: "TimeTable", rows: Rows, row: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of a row: measure name and values."""
    kind = table.index.kind(int(rows.series[row]))
    found = {
        table.definition.measures[number - FIRST_MEASURE].name: value_of(column, row)
        for number, column in rows.columns.items()
        if not is_version(number) and (column.valid is None or column.valid[row])
    }
    if kind is not None:
        yield kind, found
    else:
        for name, value in found.items():
            yield name, {name: value}


def value_of(column: Column, row: int) -> Any:  # noqa: ANN401 - float, int, str, bool, datetime64
    """A value as Python has it."""
    value = column.data[row]
    if column.words is not None:
        return column.words[value]
    if column.type == "timestamp":
        return np.datetime64(int(value), "ns")
    return bool(value) if column.type == "boolean" else value.item()


def stats(engine: "TimeSeries") -> display.Table:
    """See TimeSeries.stats."""
    rows: list[tuple[str, Any]] = []
    with engine.lock:
        tables = engine.all_tables()
        rows.append(("tables", len(tables)))
        rows.append(("series", sum(len(table.index) for table in tables)))
        tiles = [tile for table in tables for tile in table.tiles.values()]
        rows.append(("tiles", len(tiles)))
        for tier in ("memory", "magnetic"):
            blobs = [stored for tile in tiles for stored in tile.blobs if stored.tier == tier]
            rows.append((f"{tier} blobs", len(blobs)))
            rows.append((f"{tier} blob rows", sum(stored.rows for stored in blobs)))
            rows.append((f"{tier} blob points", sum(stored.points for stored in blobs)))
            rows.append((f"{tier} blob bytes", sum(stored.bytes for stored in blobs)))
        rows.append(("rows in memory only", sum(tile.memory.rows for tile in tiles if tile.memory is not None)))
    rows.append(("log sequence", engine.log.last))
    rows.append(("log syncs", engine.log.syncs))
    rows.append(("log bytes", engine.logged_bytes))
    rows += [(f"tree {name}", value) for name, value in engine.tree.stats().items()]
    return display.Table({"name": [name for name, _ in rows], "value": [value for _, value in rows]})
