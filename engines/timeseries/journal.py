"""The journal: what a frame of the log holds when rows are written. Columns, compressed, ready to be used as they are.

    frame      length u32 of the header | header (MessagePack) | zeros to a multiple of 64 | sections, each so
    section    blocks of a part, as a tile has them (tile.py)          where a series has 64 rows or more on average
               or plain columns: series | times | data | present ...    compressed with zstd above 4 KB

A batch brings with it what it teaches: dimensions, measures and series that were not there before. All of a batch is
one frame, so a crash leaves all of it or nothing. Verdicts are taken before; a frame holds accepted rows only, so that
a replay decides nothing and needs no clock.

Log bandwidth would be the limit of ingest: 30 million points a second are 240 MB/s as doubles, and 15 encoded.

Sections say what kind of rows they hold: NEW ones are later than all of their series, LATE ones are not but were not
there, REPLACED ones have a newer version. Memory treats the last two alike; the change stream tells them apart.

Invariants: decode(encode(batch)) is that batch. A payload that is not what encode made raises Corrupted, and no length
in it is trusted.
"""

import struct
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import zstandard

from engines.errors import Corrupted
from engines.timeseries import tile as tiles
from engines.timeseries.packing import unzipped
from engines.timeseries.part import Part
from engines.timeseries.rows import Column, Rows
from engines.timeseries.schema import ITEMS, Measure, MeasureType
from engines.timeseries.series import SeriesKey

NEW: Final = 0
LATE: Final = 1
REPLACED: Final = 2
COMPRESSED_ABOVE: Final = 4096  # bytes
LONGEST_SECTION: Final = 1 << 31
ALIGNED: Final = 64
_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """Accepted rows of one tile, by when its window begins. A frame that was read has rows or a part, not both."""

    tile: int
    kind: int
    rows: Rows | None  # sorted
    part: Part | None = None  # the same, encoded, where that is worth while


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A write that was accepted. Series are numbered on from first_series, measures have their ids."""

    table: int
    now: int  # nanoseconds
    first_series: int
    dimensions: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    series: tuple[SeriesKey, ...] = ()
    sections: list[Section] = field(default_factory=list)


class _Column(msgspec.Struct, frozen=True, array_like=True):
    id: int
    type: MeasureType
    valid: bool
    words: tuple[str, ...] | None


class _Section(msgspec.Struct, frozen=True, array_like=True):
    tile: int
    kind: int
    rows: int
    size: int  # bytes in the frame
    plain: int  # bytes before compression; 0: it is a part
    columns: tuple[_Column, ...]


class _Header(msgspec.Struct, frozen=True, array_like=True):
    table: int
    now: int
    first_series: int
    dimensions: tuple[str, ...]
    measures: tuple[Measure, ...]
    series: tuple[SeriesKey, ...]
    sections: tuple[_Section, ...]


def encode(batch: Batch) -> bytes:
    """The payload of a frame."""
    bodies: list[bytes] = []
    sections = []
    columns: tuple[_Column, ...]
    for section in batch.sections:
        if section.part is not None:
            body, plain, columns = tiles.packed(section.part), 0, ()
        else:
            assert section.rows is not None  # noqa: S101 - one of the two is there
            body, plain, columns = _plain(section.rows)
        rows = section.part.rows if section.part is not None else len(section.rows or ())
        bodies.append(body)
        sections.append(_Section(section.tile, section.kind, rows, len(body), plain, columns))
    header = msgspec.msgpack.encode(
        _Header(
            batch.table,
            batch.now,
            batch.first_series,
            batch.dimensions,
            batch.measures,
            batch.series,
            tuple(sections),
        )
    )
    pieces = [_LENGTH.pack(len(header)), header, _padding(_LENGTH.size + len(header))]
    for body in bodies:
        pieces += [body, _padding(len(body))]
    return b"".join(pieces)


def _padding(size: int) -> bytes:
    return bytes(-size % ALIGNED)


def _plain(rows: Rows) -> tuple[bytes, int, tuple[_Column, ...]]:
    arrays: list[Any] = [rows.series, rows.times]
    columns = []
    for number, column in rows.columns.items():
        columns.append(_Column(number, column.type, column.valid is not None, column.words))
        arrays.append(column.data)
        if column.valid is not None:
            arrays.append(column.valid)
    body = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    packed = zstandard.compress(body, 1) if len(body) > COMPRESSED_ABOVE else body
    return packed, len(body), tuple(columns)


def decode(payload: bytes | memoryview, where: str) -> Batch:
    """What a frame says. Corrupted, which names `where`."""
    try:
        return _decode(memoryview(payload), where)
    except (struct.error, msgspec.MsgspecError, ValueError, IndexError) as error:
        raise Corrupted(
            f"{where} has a frame of rows that makes no sense ({error}): restore a snapshot", file=where
        ) from error


def _decode(payload: memoryview, where: str) -> Batch:
    (length,) = _LENGTH.unpack_from(payload)
    header = msgspec.msgpack.decode(payload[_LENGTH.size : _LENGTH.size + length], type=_Header)
    offset = _LENGTH.size + length
    offset += -offset % ALIGNED
    sections = []
    for section in header.sections:
        body = payload[offset : offset + section.size]
        if len(body) < section.size:
            raise ValueError("a section is longer than the frame")
        offset += section.size + -section.size % ALIGNED
        if section.plain:
            sections.append(Section(section.tile, section.kind, _rows(body, section)))
        else:
            part = tiles.unpacked(body, where)
            sections.append(Section(section.tile, section.kind, None, part))
    return Batch(
        header.table,
        header.now,
        header.first_series,
        header.dimensions,
        header.measures,
        header.series,
        sections,
    )


def _rows(body: memoryview, section: _Section) -> Rows:
    if section.plain > LONGEST_SECTION:
        raise ValueError("a section is too long")
    data = body
    if section.plain > COMPRESSED_ABOVE:
        data = memoryview(unzipped(body, section.plain))
    if len(data) != section.plain:
        raise ValueError("a section has another length than it says")
    offset, count = 0, section.rows

    def take(kind: type[np.generic]) -> Any:  # noqa: ANN401 - an array of that kind
        nonlocal offset
        array = np.frombuffer(data, kind, count, offset).copy()
        offset += array.nbytes
        return array

    series, times = take(np.int32), take(np.int64)
    columns = {}
    for column in section.columns:
        values = take(ITEMS[column.type])
        columns[column.id] = Column(column.type, values, take(np.uint8) if column.valid else None, column.words)
    if offset != section.plain:
        raise ValueError("a section has bytes that nothing speaks of")
    return Rows(series, times, columns)
