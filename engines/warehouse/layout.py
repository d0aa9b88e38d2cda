"""How a table lies: one line a block, and what other encodings would make of a column (ANALYZE COMPRESSION)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from engines.sql.source import Scanned
from engines.warehouse.blocks import NAMES, encode
from engines.warehouse.codec import Encoding
from engines.warehouse.pages import BlockReference, zone
from engines.warehouse.scan import Table

SAMPLED: Final = 4  # row groups that ANALYZE COMPRESSION reads


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """One block: a column of a row group. raw: bytes without any encoding; group: its place in the table."""

    table: str
    column: str
    group: int
    slice: int
    rows: int
    deleted: int
    encoding: str
    raw: int
    stored: int
    nulls: int
    low: Any
    high: Any
    blob: str
    offset: int


def layout(table: Table) -> Iterator[BlockLayout]:
    """The blocks of a table, column by column. A column that is younger than a group has none there."""
    for column in table.state.definition.columns:
        for place, group in enumerate(table.state.groups):
            block = group.blocks.get(column.id)
            if block is not None:
                yield BlockLayout(
                    table.name,
                    column.name,
                    place,
                    group.slice,
                    group.rows,
                    group.deleted,
                    encoding_name(block),
                    block.raw,
                    block.length,
                    block.nulls,
                    *zone(block),
                    group.blob,
                    block.offset,
                )


def encoding_name(block: BlockReference) -> str:
    """As ENCODE would say it; "zstd" behind what zstd was put over."""
    name = Encoding(block.encoding).name.lower()
    return f"{name} zstd" if block.compressed else name


@dataclass(frozen=True, slots=True)
class Compression:
    """What one encoding makes of a column: bytes of the sample, and the share that is saved against RAW."""

    column: str
    encoding: str
    bytes: int
    saved: float
    chosen: bool  # by AUTO


def compression(table: Table) -> list[Compression]:
    """Each column in each encoding that changes anything, from a sample of at most four row groups."""
    made = []
    places = [place for place, group in enumerate(table.state.groups) if group.live]
    some = places[:: max(len(places) // SAMPLED, 1)][:SAMPLED]
    for column in table.state.definition.columns:
        sizes = dict.fromkeys(NAMES, 0)
        for place in some:
            for batch in table.scan(table.state.partitions[place], [column.name], (), Scanned()):
                for wanted in NAMES:
                    block = encode(batch.column(column.name), batch.rows, wanted, sketch=False)
                    sizes[wanted] += len(block.data)
        auto = sizes.pop("auto")
        raw = sizes["raw"]
        for name, size in sorted(sizes.items(), key=lambda one: one[1]):
            saved = 1 - size / raw if raw else 0.0
            made.append(Compression(column.name, name, size, saved, size == auto))
    return made
