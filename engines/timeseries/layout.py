"""How a store lies: what each column of each tile costs, in which tier, in which codec. TimeSeries.layout().

    table  tile        tier      column   codec           blocks  points  bytes  bytes_a_point  blob
    cpu    2026-01-01  magnetic  time     regular            900    ...      0          0.000  3fa8...
    cpu    2026-01-01  magnetic  x        cold decimals      900    ...    ...          0.270  3fa8...
    cpu    2026-01-01  magnetic  (directory)                 ...             ...              3fa8...

A row a table, tile, tier, column and blob; rows of memory are those without a blob. "(directory)" is what a blob has
besides its columns: summaries, who is where, sums. So the bytes of a blob's rows are the blob's.

A Layout is a Table; summary() adds the tiles of a table up, svg() draws them on the axis of time.
"""

import ctypes
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from engines.display import Table
from engines.timeseries import merge, pictures
from engines.timeseries.codec import COLD, KINDS
from engines.timeseries.cold import DECIMALS, DICTIONARY, PLAIN
from engines.timeseries.memory import Run
from engines.timeseries.part import FIRST_MEASURE, TIME, VERSION, Part
from engines.timeseries.rows import is_version

if TYPE_CHECKING:
    from engines.timeseries.engine import TimeSeries
    from engines.timeseries.schema import TableDefinition
    from engines.timeseries.table import TimeTable

WAYS: Final = {DECIMALS: "cold decimals", DICTIONARY: "cold dictionary", PLAIN: "cold plain"}
WAY_AT: Final = 8  # of a chunk's bytes
DIRECTORY: Final = "(directory)"


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """A column of a tile in one blob, or in memory. points: values that are present; of all measures there."""

    table: str
    tile: datetime
    tier: str
    column: str
    codec: str | None
    blocks: int
    points: int
    bytes: int
    bytes_a_point: float | None
    blob: str | None


@dataclass(frozen=True, slots=True)
class TileLayout:
    """A blob, or what of a tile is in memory only. low, high: of its rows, nanoseconds."""

    table: str
    tier: str
    low: int
    high: int
    points: int
    bytes: int
    blob: str | None


class Layout(Table):
    """A row a table, tile, tier, column and blob."""

    def __init__(self, engine: "TimeSeries", tables: Iterable["TimeTable"]) -> None:
        self.columns_of: list[ColumnLayout] = []
        self.tiles: list[TileLayout] = []
        for table in tables:
            with engine.lock:
                definition = table.definition
                tiles = [(start, tile.blobs, table.sources(start)) for start, tile in sorted(table.tiles.items())]
            for start, blobs, sources in tiles:
                sizes = {stored.digest: stored.bytes for stored in blobs}
                parts = [one.part() if isinstance(one, Run) else one for one in sources]
                found: list[ColumnLayout] = []
                for part in parts:
                    mine = list(_columns(definition, start, part, sizes.get(part.blob or "")))
                    found += mine
                    if part.rows:
                        self.tiles.append(_tile(definition.name, part, mine))
                self.columns_of += _added(found)
        names = [field.name for field in fields(ColumnLayout)]
        rows = [astuple(one) for one in self.columns_of]
        columns: dict[str, Any] = {name: [row[at] for row in rows] for at, name in enumerate(names)}
        super().__init__(columns, title="layout")

    def summary(self) -> Table:
        """A row a table, tier and column: tiles, codecs, points, bytes, bytes a point; and the sum of each tier."""
        groups: dict[tuple[str, str, str], list[ColumnLayout]] = {}
        for one in self.columns_of:
            groups.setdefault((one.table, one.tier, one.column), []).append(one)
        for table, tier in dict.fromkeys((one.table, one.tier) for one in self.columns_of):
            groups[table, tier, "(all)"] = [one for one in self.columns_of if (one.table, one.tier) == (table, tier)]
        rows = []
        for (table, tier, column), some in sorted(groups.items(), key=lambda pair: pair[0][:2]):
            size = sum(one.bytes for one in some)
            points = sum(one.points for one in some if column != "(all)" or is_measure(one.column))
            codecs = dict.fromkeys(one.codec for one in some if one.codec is not None and column != "(all)")
            tiles = len({one.tile for one in some})
            rows.append((table, tier, column, tiles, ", ".join(codecs) or None, points, size, per_point(size, points)))
        names = ("table", "tier", "column", "tiles", "codec", "points", "bytes", "bytes_a_point")
        return Table.from_rows(names, rows, title="layout")

    def by_codec(self) -> list[tuple[str, int, int]]:
        """Codec, points, bytes of all measures, the dearest first."""
        found: dict[str, tuple[int, int]] = {}
        for one in self.columns_of:
            if one.codec is not None and is_measure(one.column) and one.points:
                points, size = found.get(one.codec, (0, 0))
                found[one.codec] = points + one.points, size + one.bytes
        return sorted(((codec, *both) for codec, both in found.items()), key=lambda row: -row[2] / row[1])

    def svg(self) -> str:
        """The tiles on the axis of time, coloured by tier, and below what a point costs in each codec."""
        return pictures.tiles(self.tiles, self.by_codec())

    visualise = svg

    def _repr_html_(self) -> str:
        return f"<div>{self.svg()}</div>{self.summary()._repr_html_()}"


def is_measure(column: str) -> bool:
    """Whether a column of a layout is of measures: not the time, not versions, not a directory."""
    return column not in {"time", DIRECTORY} and not column.startswith("version")


def per_point(size: int, points: int) -> float | None:
    """Bytes a point; None where there is no point."""
    return round(size / points, 4) if points else None


def column_name(definition: "TableDefinition", column: int) -> str:
    """What a column id is called."""
    if column == TIME:
        return "time"
    if column == VERSION:
        return "version"
    name = definition.measures[(column & 0x7FFF) - FIRST_MEASURE].name
    return f"version of {name}" if is_version(column) else name


def codec_names(blocks: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The codec of each block in words; of a cold one also which way it went."""
    kinds = blocks["codec"] & 15
    words = [*KINDS, *[f"unknown {number}" for number in range(len(KINDS), 16)]]
    names: npt.NDArray[Any] = np.array(words, object)[kinds]
    for at in np.flatnonzero(kinds == COLD).tolist():
        if int(blocks["length"][at]) > WAY_AT:
            way = ctypes.string_at(int(blocks["address"][at]) + WAY_AT, 1)[0] & 15
            names[at] = WAYS.get(way, "cold")
    return names


def _columns(definition: "TableDefinition", start: int, part: Part, size: int | None) -> Iterator[ColumnLayout]:
    moment = datetime.fromtimestamp(start / 1e9, UTC)
    lengths = np.diff(part.firsts)
    spent = 0
    seen: set[tuple[int, int]] = set()
    for number in np.unique(part.columns).tolist():
        chunks, _ = merge.chunks_of(part, number)
        blocks = part.blocks[merge.spans(part.firsts[chunks], lengths[chunks])]
        names = codec_names(blocks)
        places = list(zip(blocks["address"].tolist(), blocks["length"].tolist(), strict=True))
        for name in dict.fromkeys(names.tolist()):
            mine = np.flatnonzero(names == name)
            own = {places[at] for at in mine.tolist() if places[at][1]} - seen
            seen |= own
            taken = sum(length for _, length in own)
            points = int(blocks["present"][mine].sum(dtype=np.int64))
            spent += taken
            yield ColumnLayout(
                definition.name, moment, part.tier, column_name(definition, number), name, len(mine), points, taken,
                per_point(taken, points), part.blob,
            )  # fmt: skip
    if size is not None:
        points = merge.points_of(part)
        yield ColumnLayout(
            definition.name, moment, part.tier, DIRECTORY, None, 0, points, size - spent,
            per_point(size - spent, points), part.blob,
        )  # fmt: skip


def _tile(table: str, part: Part, columns: Sequence[ColumnLayout]) -> TileLayout:
    size = sum(one.bytes for one in columns)
    return TileLayout(table, part.tier, part.low, part.high, merge.points_of(part), size, part.blob)


def _added(found: Sequence[ColumnLayout]) -> Iterator[ColumnLayout]:
    """Rows of several runs of memory as one."""
    groups: dict[tuple[Any, ...], list[ColumnLayout]] = {}
    for one in found:
        groups.setdefault((one.tier, one.blob, one.column, one.codec), []).append(one)
    for some in groups.values():
        one = some[0]
        blocks, points, size = (sum(getattr(each, name) for each in some) for name in ("blocks", "points", "bytes"))
        yield ColumnLayout(
            one.table, one.tile, one.tier, one.column, one.codec, blocks, points, size, per_point(size, points),
            one.blob,
        )  # fmt: skip
