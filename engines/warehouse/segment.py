"""Segments: the blocks of a row group, back to back, as one blob.

    blob    block | padding to 8 | block | padding | ...      in the order of the columns' numbers

Encoding releases the GIL in all its heavy parts (kernels, zstd), so row groups are encoded side by side in threads.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engines.errors import Invalid
from engines.sql.column import Bytes, Column
from engines.warehouse.blocks import Encoded, encode
from engines.warehouse.catalog import ColumnDefinition, TableDefinition, stored
from engines.warehouse.pages import BlockReference, Group


@dataclass(slots=True)
class Segment:
    """A row group before it has a blob: the blob's parts, the blocks in it, and sketches of its columns."""

    slice: int
    rows: int
    parts: list[bytes]
    blocks: dict[int, BlockReference]
    sketches: dict[int, Bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))

    def named(self, blob: str) -> Group:
        return Group(self.slice, self.rows, blob, self.blocks)


def make_segment(
    table: TableDefinition, slice: int, columns: Mapping[int, Column], rows: int, *, sketch: bool
) -> Segment:
    """Encode the columns of a row group, by number. Invalid where a value is outside of its column's type."""
    segment = Segment(slice, rows, [], {}, {})
    offset = 0
    for column in table.columns:
        made = encode(columns[column.id], rows, column.encode, sketch=sketch)
        refuse_outside(column, made)
        segment.blocks[column.id] = BlockReference(
            offset,
            len(made.data),
            made.encoding,
            made.compressed,
            made.raw,
            made.nulls,
            made.distinct,
            stored(made.low),
            stored(made.high),
        )
        padding = -len(made.data) % 8
        segment.parts += [made.data, bytes(padding)] if padding else [made.data]
        offset += len(made.data) + padding
        if made.sketch is not None:
            segment.sketches[column.id] = made.sketch
    return segment


def refuse_outside(column: ColumnDefinition, made: Encoded) -> None:
    """Whole numbers that the type does not have never reach the disk."""
    limits = column.type.limits() if column.type.whole else None
    if limits is not None and made.low is not None and not limits[0] <= made.low <= made.high <= limits[1]:
        wrong = made.low if made.low < limits[0] else made.high
        raise Invalid(f"column {column.name!r}: {wrong:,} is no value of {column.type}", column=column.name)


def refuse_unfit(column: ColumnDefinition, given: Column, rows: int) -> None:
    """Invalid, naming the column, where a column's values cannot be those of a table's: its type, NULLs, lengths."""
    kind, wanted = given.type, column.type
    if kind.kind == "null":
        fits = True
    elif wanted.bytes:
        fits = kind.bytes
    elif wanted.floating:
        fits = kind.floating
    elif wanted.decimal or kind.decimal:
        fits = kind.whole and kind.scale == wanted.scale and (kind.decimal or kind.integer) and wanted.kind != "date"
    else:
        fits = kind.kind == wanted.kind or (kind.integer and wanted.integer)
    if not fits or (wanted.temporal and kind.unit != wanted.unit):
        raise Invalid(f"column {column.name!r} holds {wanted}, got {kind}: cast it first", column=column.name)
    if not column.nullable and given.valid is not None and not given.valid.all():
        raise Invalid(f"column {column.name!r} is NOT NULL, got a NULL", column=column.name)
    if wanted.bytes and wanted.length and kind.bytes:
        longest = _longest(given)
        if longest > wanted.length:
            raise Invalid(
                f"column {column.name!r} is {wanted} and counts bytes, got a value of {longest:,}", column=column.name
            )
    if len(given) not in ((1,) if given.constant else (rows,)):
        raise Invalid(f"column {column.name!r} has {len(given):,} values for {rows:,} rows", column=column.name)


def _longest(column: Column) -> int:
    offsets = column.data if column.words is None else column.words.offsets
    lengths = np.diff(offsets)
    if column.words is not None:
        lengths = lengths[column.data] if len(column.data) else lengths[:0]
    if column.valid is not None:
        lengths = lengths * column.valid
    return int(lengths.max(initial=0))
