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
    chosen: bool  # by AUTO, for some of the blocks at least


def compression(table: Table) -> list[Compression]:
    """Each column in each encoding that can hold it, from a sample of at most four row groups."""
    made = []
    places = [place for place, group in enumerate(table.state.groups) if group.live]
    some = places[:: max(len(places) // SAMPLED, 1)][:SAMPLED]
    for column in table.state.definition.columns:
        sizes = dict.fromkeys(NAMES, 0)
        chosen: set[str] = set()
        other: set[str] = set()
        for place in some:
            for batch in table.scan(table.state.partitions[place], [column.name], (), Scanned()):
                for wanted in NAMES:
                    block = encode(batch.column(column.name), batch.rows, wanted, sketch=False)
                    got = "zstd" if block.compressed else block.encoding.name.lower()
                    if wanted == "auto":
                        chosen.add(got)
                    elif got != wanted:
                        other.add(wanted)  # it cannot hold such values: another one took its place
                    sizes[wanted] += len(block.data)
        auto, raw = sizes.pop("auto"), sizes["raw"]
        sizes = {name: size for name, size in sizes.items() if name not in other}
        for name in chosen - sizes.keys():
            sizes[name] = auto  # SCALED and SHUFFLE are AUTO's own
        for name, size in sorted(sizes.items(), key=lambda one: one[1]):
            saved = 1 - size / raw if raw else 0.0
            made.append(Compression(column.name, name, size, saved, name in chosen))
    return made
