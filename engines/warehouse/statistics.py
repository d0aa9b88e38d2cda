"""What the planner knows of a table: rows, bounds and NULLs from zone maps, distinct values from sketches.

    sketches    a blob: zstd of MessagePack {column number: 1,024 registers}, for the whole table

A sketch is a HyperLogLog (distribute.pyx). A load of 4,096 rows or more adds its rows to it, a smaller one leaves it as
it is: a single INSERT should not write another file. Deleted rows stay in it. ANALYZE makes it anew.

Bounds and NULLs are exact as long as no row is deleted, for deleting leaves the zone maps as they are.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import zstandard

from engines.errors import Corrupted
from engines.sql.column import Bytes
from engines.sql.source import ColumnStatistics, Statistics
from engines.warehouse.blocks import REGISTERS
from engines.warehouse.catalog import ColumnDefinition, TableDefinition
from engines.warehouse.pages import Group, zone

WORTH_A_SKETCH: Final = 4096  # rows of a load
Sketches = dict[int, Bytes]


def merged(sketches: Mapping[int, Bytes], more: Mapping[int, Bytes]) -> Sketches:
    """Of the rows of both."""
    together = dict(sketches)
    for column, registers in more.items():
        together[column] = np.maximum(together[column], registers) if column in together else registers
    return together


def estimate(registers: Bytes) -> int:
    """How many distinct values a sketch has seen, to about 3 %; small numbers by counting empty registers."""
    harmonic = float(np.sum(2.0 ** -registers.astype(np.float64)))
    raw = 0.7213 / (1 + 1.079 / REGISTERS) * REGISTERS**2 / harmonic
    empty = REGISTERS - int(np.count_nonzero(registers))
    if raw <= 2.5 * REGISTERS and empty:
        return round(REGISTERS * math.log(REGISTERS / empty))
    return round(raw)


def encode(sketches: Mapping[int, Bytes]) -> bytes:
    """The sketches of all columns as one compressed record; decode reads it."""
    content = msgspec.msgpack.encode({column: registers.tobytes() for column, registers in sorted(sketches.items())})
    return zstandard.ZstdCompressor(level=3).compress(content)


def decode(data: bytes, digest: str) -> Sketches:
    """Corrupted, naming the blob, if these are no sketches."""
    try:
        if not 0 < zstandard.frame_content_size(data) < 1 << 26:
            raise Corrupted(f"blob {digest} holds no sketches", file=digest, offset=0)
        found = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(data), type=dict[int, bytes])
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise Corrupted(f"blob {digest} holds no sketches: {error}", file=digest, offset=0) from error
    if any(len(registers) != REGISTERS for registers in found.values()):
        raise Corrupted(f"blob {digest} holds sketches of another size", file=digest, offset=0)
    return {column: np.frombuffer(registers, np.uint8) for column, registers in found.items()}


def statistics(table: TableDefinition, groups: Sequence[Group], sketches: Mapping[int, Bytes]) -> Statistics:
    """Of a table's present state."""
    rows = sum(group.live for group in groups)
    columns = {column.name: _column(column, groups, sketches.get(column.id), rows) for column in table.columns}
    return Statistics(rows, columns, exact=not any(group.deleted for group in groups))


def _column(column: ColumnDefinition, groups: Sequence[Group], sketch: Bytes | None, rows: int) -> ColumnStatistics:
    lows: list[Any] = []
    highs: list[Any] = []
    nulls = distinct = 0
    for group in groups:
        block = group.blocks.get(column.id)
        if block is None:
            low = high = column.missing
            nulls += group.rows if low is None else 0
            empty = low is None
        else:
            low, high = zone(block)
            nulls += block.nulls
            distinct = max(distinct, block.distinct)
            empty = block.nulls == group.rows
        if not empty:
            lows.append(low)
            highs.append(high)
    if sketch is not None:
        distinct = max(distinct, estimate(sketch))
    bounded = bool(lows) and None not in highs and None not in lows and not column.type.bytes
    return ColumnStatistics(
        min(lows) if bounded else None,
        max(highs) if bounded else None,
        nulls,
        min(distinct, rows) if distinct else None,
    )
