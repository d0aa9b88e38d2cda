"""What a store says of itself in the log and in the tree: tables, how they change, which blobs hold their tiles.

    frame of kind CATALOG_FRAME     MessagePack, one of Created, Altered, Dropped, Swapped

    tree, keyspace tables           table u32                          TableState
                   series           table u32 | page u32               SeriesKey[256]
                   newest           table u32                          int64 a series: its newest time, zstd
                   tiles            table u32 | start i64 | generation u64         Stored

All keys are big-endian, so a table's entries stand together and in order. A checkpoint writes them; between two of them
they are in memory and in the log.
"""

import struct
from typing import Any, Final, TypeVar

import msgspec

from engines.errors import Corrupted
from engines.timeseries.schema import TableDefinition

ROWS_FRAME, CATALOG_FRAME = 16, 17  # kinds of frame in the log; SCHEDULE_FRAME is in schedule.py
PAGE: Final = 256  # series keys of one entry
TABLE_KEY: Final = struct.Struct(">I")
PAGE_KEY: Final = struct.Struct(">II")
TILE_KEY: Final = struct.Struct(">IqQ")

Kind = TypeVar("Kind")


class TableState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table in the tree. generation: the highest that was given to a blob of it."""

    definition: TableDefinition
    series: int
    generation: int


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A blob of a tile: all rows, or some of them. A higher generation is right about what two of them hold."""

    tile: int  # when its window begins, nanoseconds
    generation: int
    digest: str
    bytes: int
    rows: int
    points: int
    low: int  # time of the oldest row
    high: int  # and of the newest
    tier: str  # "memory" or "magnetic"


class Created(msgspec.Struct, frozen=True, tag="created", forbid_unknown_fields=True):
    """A new table."""

    definition: TableDefinition


class Altered(msgspec.Struct, frozen=True, tag="altered", forbid_unknown_fields=True):
    """A table's retention is another one from now on."""

    table: int
    memory: int
    magnetic: int
    magnetic_writes: bool


class Dropped(msgspec.Struct, frozen=True, tag="dropped", forbid_unknown_fields=True):
    """A table is gone, with all that it held."""

    table: int


class Swapped(msgspec.Struct, frozen=True, tag="swapped", forbid_unknown_fields=True):
    """Some blobs of a tile were replaced by others: demoted, compacted, or (with nothing in their place) expired."""

    table: int
    tile: int
    removed: tuple[str, ...]
    added: tuple[Stored, ...]


Event = Created | Altered | Dropped | Swapped


def encode(value: Any) -> bytes:  # noqa: ANN401 - what the tree and the log hold
    """As MessagePack."""
    return msgspec.msgpack.encode(value)


def decode(data: bytes | memoryview, kind: type[Kind], where: str) -> Kind:
    """A value of that kind from its bytes: a struct, a number, a list. Corrupted names where they stood."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise Corrupted(f"{where} does not hold a {kind.__name__} ({error}): restore a snapshot", file=where) from error


def decode_event(data: bytes | memoryview, where: str) -> Event:
    """What a frame of the catalog says."""
    try:
        event: Event = msgspec.msgpack.decode(data, type=Event)
    except msgspec.MsgspecError as error:
        raise Corrupted(f"{where} has a frame that this release cannot read ({error})", file=where) from error
    return event
