"""What a table is: its dimensions, its measures and their types, how long it keeps what, and what is allowed.

A dimension or a measure gets its type when it is first written, and keeps it. Durations are in nanoseconds.
"""

from typing import Final, Literal

import msgspec
import numpy as np

MeasureType = Literal["double", "bigint", "varchar", "boolean", "timestamp"]
TYPES: Final[tuple[MeasureType, ...]] = ("double", "bigint", "varchar", "boolean", "timestamp")
ITEMS: Final[dict[MeasureType, type[np.generic]]] = {  # what arrays of them hold; of varchar codes into words
    "double": np.float64,
    "bigint": np.int64,
    "varchar": np.int32,
    "boolean": np.uint8,
    "timestamp": np.int64,
}

MOST_DIMENSIONS: Final = 128
MOST_MEASURE_NAMES: Final = 8_192
MOST_MEASURES: Final = 1_024  # of one multi-measure record
LONGEST_DIMENSION_NAME: Final = 60  # bytes
LONGEST_SERIES: Final = 2_048  # bytes of all its dimension values
HOUR: Final = 3_600 * 10**9
DAY: Final = 24 * HOUR


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measure of a table. single: of single-measure records; their names are apart from those of the others."""

    id: int  # part.FIRST_MEASURE and up, in order of first appearance
    name: str
    type: MeasureType
    single: bool


class TableDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table. dimensions and measures in order of first appearance."""

    number: int
    name: str
    memory: int = 6 * HOUR
    magnetic: int = 73_000 * DAY
    magnetic_writes: bool = True
    tile: int = DAY
    dimensions: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
