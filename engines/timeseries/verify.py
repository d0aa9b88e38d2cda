"""Checking all that is stored: every byte of log, tree and blobs; every block decoded and held against its summary.

    log      each frame's checksum; each frame read as what it says it is
    tree     its pages against the seal of the last clean close; keys in order
    blobs    each against its name; of a tile that is damaged, where
    tiles    what the catalogue says of it; each block: rows, values, first, last, low, high; times rise
    names    whatever a table or a snapshot names is there

A tile that is damaged leaves the others readable, and is told once. What tick() deletes meanwhile is left out.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engines.display import Problem, Report
from engines.errors import Corrupted, EngineError, NotFound, ReadOnly
from engines.progress import Progress
from engines.timeseries import catalog, codec, journal, merge
from engines.timeseries import tile as tiles
from engines.timeseries.catalog import CATALOG_FRAME, ROWS_FRAME, Stored
from engines.timeseries.part import FLAG_NAN, FLAG_SUMMARY, TIME, Part
from engines.timeseries.rows import is_version
from engines.timeseries.schedule import SCHEDULE_FRAME
from engines.timeseries.snapshots import Catalogue

if TYPE_CHECKING:
    from engines.storage.manifest import Manifest
    from engines.timeseries.engine import TimeSeries
    from engines.timeseries.schema import TableDefinition

Named = dict[str, tuple["TableDefinition", Stored]]


def verify(engine: "TimeSeries") -> Report:
    """See TimeSeries.verify."""
    report = engine.log.verify() + engine.tree.verify()
    if report.ok:
        report += _frames(engine)
    named, problems = _named(engine)
    digests = list(engine.blobs.list())
    found = Report(0, problems, "bytes")
    there = set(digests)
    for digest, (definition, _) in named.items():
        if digest not in there and _still_named(engine, digest):
            what = f"a tile of table {definition.name!r} is missing: restore a snapshot"
            found += Report(0, [Problem(engine.blobs.file(digest), 0, what)], "bytes")
    with Progress("verify", "blobs", len(digests)) as progress:
        for digest in digests:
            found += _blob(engine, digest, named.get(digest))
            progress.advance(1)
    return report + found


def _frames(engine: "TimeSeries") -> Report:
    """That each frame of the log can be read."""
    problems = []
    for found in engine.log.read(max(engine.log.first - 1, 0)):
        where = engine.log.path_of(found.sequence)
        try:
            if found.kind == ROWS_FRAME:
                journal.decode(bytes(found.payload), where)
            elif found.kind == CATALOG_FRAME:
                catalog.decode_event(found.payload, where)
            elif found.kind == SCHEDULE_FRAME:
                engine.schedules.read(found, where)
        except EngineError as error:
            problems.append(Problem(where, None, f"frame {found.sequence}: {error}"))
    return Report(0, problems, "bytes")


def _named(engine: "TimeSeries") -> tuple[Named, list[Problem]]:
    """The tiles that tables and snapshots name; and snapshots that cannot be read."""
    named: Named = {}
    problems: list[Problem] = []
    with engine.lock:
        for table in engine.all_tables():
            for tile in table.tiles.values():
                named |= {stored.digest: (table.definition, stored) for stored in tile.blobs}
    place = engine.kept_snapshots.place
    for name in place.refs.names():
        try:
            _, manifest = place.find(name)
            catalogue = _catalogue(engine, manifest)
        except NotFound as error:
            if name in place.refs.names():
                problems.append(Problem(f"snapshot {name}", 0, str(error)))
        except (Corrupted, ReadOnly) as error:
            problems.append(Problem(f"snapshot {name}", 0, str(error)))
        else:
            for kept in catalogue.tables:
                for stored in kept.blobs:
                    named.setdefault(stored.digest, (kept.definition, stored))
    return named, problems


def _catalogue(engine: "TimeSeries", manifest: "Manifest") -> Catalogue:
    return engine.kept_snapshots.place.catalogue(manifest)


def _still_named(engine: "TimeSeries", digest: str) -> bool:
    return digest in _named(engine)[0] and not engine.blobs.has(digest)


def _blob(engine: "TimeSeries", digest: str, named: "tuple[TableDefinition, Stored] | None") -> Report:
    """One blob, byte by byte, and block by block where it is a tile."""
    blobs = engine.blobs
    where = blobs.file(digest)
    try:
        size = blobs.size(digest)
        data = memoryview(blobs.get_range(digest, 0, size))
        try:
            blobs.get(digest)
        except Corrupted as error:
            return Report(size, [Problem(where, tiles.damage(data) or 0, str(error))], "bytes")
    except NotFound:
        return Report()  # deleted since it was listed
    except ReadOnly as error:
        return Report(0, [Problem(where, None, str(error))], "bytes")
    if named is None:
        return Report(size, (), "bytes")
    definition, stored = named
    try:
        part = tiles.open_tile(data, digest, where, tier=stored.tier)
    except Corrupted as error:
        return Report(size, [Problem(where, 0, str(error))], "bytes")
    problems = [Problem(where, 0, f"table {definition.name!r}: {what}") for what in _facts(part, stored, size)]
    known = len(definition.measures)
    for column in np.unique(part.columns).tolist():
        measure = (column & 0x7FFF) - 2
        if column != TIME and not (is_version(column) and column == 1) and not 0 <= measure < known:
            problems.append(Problem(where, 0, f"table {definition.name!r} has no column {column}"))
            continue
        for first, what in _column(part, column):
            problems.append(Problem(where, _offset(part, first), f"table {definition.name!r}, column {column}: {what}"))
    return Report(size, problems, "bytes")


def _facts(part: Part, stored: Stored, size: int) -> Iterator[str]:
    """What the catalogue says of a tile that is not so."""
    facts = {
        "bytes": (stored.bytes, size),
        "rows": (stored.rows, part.rows),
        "points": (stored.points, merge.points_of(part)),
        "low": (stored.low, part.low),
        "high": (stored.high, part.high),
        "generation": (stored.generation, part.generation),
    }
    for name, (said, found) in facts.items():
        if said != found:
            yield f"the catalogue says {name} {said:,}, the tile {found:,}"


def _column(part: Part, column: int) -> Iterator[tuple[int, str]]:
    """What is wrong in a column's blocks: the number of a block, and what."""
    chunks, _ = merge.chunks_of(part, column)
    lengths = np.diff(part.firsts)[chunks]
    places = merge.spans(part.firsts[chunks], lengths)
    blocks = part.blocks[places]
    try:
        decoded = codec.decode(blocks)
    except Corrupted:
        yield from _one_by_one(part, chunks)
        return
    rows = blocks["rows"].astype(np.int64)
    present = np.ones(len(decoded.data), np.bool_) if decoded.valid is None else decoded.valid.view(np.bool_)
    ends = np.cumsum(rows)
    counted = np.add.reduceat(present.astype(np.int64), ends - rows) if len(rows) else rows
    for block in np.flatnonzero(counted != blocks["present"]).tolist():
        yield int(places[block]), f"a block has {counted[block]:,} values and says {blocks['present'][block]:,}"
    if column == TIME:
        heads = np.cumsum(np.add.reduceat(rows, np.concatenate(([0], np.cumsum(lengths)[:-1]))))[:-1]
        falls = np.flatnonzero(np.diff(decoded.data) <= 0) + 1
        for row in np.setdiff1d(falls, heads)[:1].tolist():
            yield int(places[np.searchsorted(ends, row, side="right")]), "its times do not rise"
    if decoded.data.dtype.itemsize == 8:
        for block, what in _summaries(blocks, decoded.data, present):
            yield int(places[block]), what


def _one_by_one(part: Part, chunks: npt.NDArray[np.int64]) -> Iterator[tuple[int, str]]:
    """Which chunks cannot be decoded."""
    for chunk in chunks.tolist():
        first = int(part.firsts[chunk])
        try:
            codec.decode(part.blocks[first : int(part.firsts[chunk + 1])])
        except Corrupted as error:
            yield first, str(error)


def _summaries(
    blocks: npt.NDArray[Any], data: npt.NDArray[Any], present: npt.NDArray[np.bool_]
) -> Iterator[tuple[int, str]]:
    """Blocks whose first, last, low or high is not what their values say."""
    some = np.flatnonzero((blocks["present"] > 0) & ((blocks["flags"] & FLAG_SUMMARY) == 0))
    if not len(some) or int(blocks["present"].sum(dtype=np.int64)) != int(present.sum()):
        return
    ends = np.cumsum(blocks["present"].astype(np.int64))
    starts = ends - blocks["present"]
    values = data[present]
    bits = values.view(np.uint64)
    wrong = (bits[starts[some]] != blocks["first"][some]) | (bits[ends[some] - 1] != blocks["last"][some])
    edges = np.unique(starts[blocks["present"] > 0])
    rank = np.searchsorted(edges, starts[some])
    numbers = np.isnan(values) if values.dtype == np.float64 else np.zeros(len(values), np.bool_)
    lowest = np.minimum.reduceat(np.where(numbers, np.inf, values) if numbers.any() else values, edges)[rank]
    highest = np.maximum.reduceat(np.where(numbers, -np.inf, values) if numbers.any() else values, edges)[rank]
    known = (blocks["flags"][some] & FLAG_NAN) == 0
    low, high = (blocks[name][some].view(values.dtype) for name in ("low", "high"))
    wrong |= known & ((low != lowest) | (high != highest))
    for block in some[wrong].tolist():
        yield block, "the summary of a block is not that of its values"


def _offset(part: Part, block: int) -> int:
    """Where in its blob a block lies."""
    payload, _ = part.owner
    address = int(part.blocks[block]["address"])
    return tiles.HEADER.size + (address - int(payload.ctypes.data) if address else 0)
