"""Making blocks: which encoding a column of a row group gets, its bytes (codec.py), its zone map.

ENCODE AUTO compares what each encoding would take. What costs time to decode has to save for it:

    whole numbers   BITPACK unless DELTA takes less than 4/5, RUNLENGTH less than 3/5, BYTEDICT less than 3/4 of it
                    text            BYTEDICT where each word comes four times or more on average, else TEXT under zstd
    doubles         SCALED where all are decimals of few digits, BYTEDICT, SHUFFLE under zstd where it saves 15 %, RAW

Bit-unpacking runs at tens of GB/s and zstd at one or two, so numbers are rarely worth zstd, and text always is.

The words of a dictionary of up to 4,096 are sorted: then the blocks of a column have the same dictionary, byte for
byte, and what was computed for its words once holds for all of them. More words stay in order of first use.

Zone map: low and high of the values that are no NULL, in engine values. Of text the first 16 bytes, high rounded up
(None where nothing is above it). Of doubles no high where there is a NaN, which sorts last.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

import google_crc32c
import numpy as np
import numpy.typing as npt

from engines._native import distribute
from engines.sql.column import Bytes, Column, expand
from engines.sql.types import Type
from engines.warehouse import codec
from engines.warehouse.codec import COMPRESSED, HAS_NULLS, HEADER, MAGIC, Encoding, Kind, kind_of
from engines.warehouse.encodenumbers import (
    Numbers,
    Payload,
    compress,
    encode_doubles,
    encode_whole,
    encode_wide,
    filled,
    numbers,
)
from engines.warehouse.encodetexts import encode_text

REGISTERS: Final = 1024
NAMES: Final = ("auto", "raw", "bitpack", "delta", "runlength", "bytedict", "text", "zstd")  # what ENCODE may say
Hashes = npt.NDArray[np.uint64]


@dataclass(slots=True)
class Encoded:
    """A block and its zone map."""

    data: bytes
    encoding: Encoding
    compressed: bool
    rows: int
    nulls: int
    raw: int  # bytes that the values take without any encoding
    low: Any
    high: Any
    distinct: int  # 0 = unknown
    sketch: Bytes | None  # registers of a HyperLogLog


@dataclass(slots=True)
class Made:
    """A payload, what it holds, and the hashes of its values (or of the distinct ones) if a sketch is wanted."""

    payload: Payload
    raw: int = 0
    low: Any = None
    high: Any = None
    hashes: Hashes | None = None


def encode(column: Column, rows: int, wanted: str = "auto", *, sketch: bool = True) -> Encoded:
    """The block of a dense or constant column of that many rows, 1 to 65,536. wanted: one of NAMES."""
    column = expand(column, rows)
    kind = kind_of(column.type)
    nulls = 0 if column.valid is None else rows - int(np.count_nonzero(column.valid))
    valid = column.valid if nulls else None
    if nulls == rows:
        encoding = Encoding.TEXT if kind is Kind.BYTES else Encoding.RAW
        made = Made(Payload(encoding, [numbers(np.zeros(0, np.int64))]))
    elif kind is Kind.BYTES:
        made = _text(column, valid, wanted, sketch=sketch)
    elif kind is Kind.FLOAT:
        made = _doubles(column, valid, wanted, sketch=sketch)
    elif column.wide:
        made = _wide(column, valid, wanted, sketch=sketch)
    else:
        made = _whole(column.numbers(), column.type, valid, wanted, sketch=sketch)
    registers = None
    if made.hashes is not None:
        registers = np.zeros(REGISTERS, np.uint8)
        distribute.sketch(made.hashes, registers)
    payload = made.payload
    data, compressed = _finish(kind, payload, rows, nulls, valid)
    return Encoded(
        data, payload.encoding, compressed, rows, nulls, made.raw, made.low, made.high, payload.distinct, registers
    )


def natural_width(type: Type) -> int:
    """Bytes of a value as one would hold it in a row; of text those of its length."""
    if type.bytes:
        return 4
    widths = {"boolean": 1, "smallint": 2, "integer": 4, "date": 4, "real": 4}
    return 16 if type.decimal and type.precision > 18 else widths.get(type.kind, 8)


def _whole(values: Numbers, type: Type, valid: Bytes | None, wanted: str, *, sketch: bool) -> Made:
    values, low, high = filled(values, valid)
    payload = encode_whole(values, valid, low, high, wanted)
    return Made(payload, len(values) * natural_width(type), low, high, hash_numbers(values, valid) if sketch else None)


def _wide(column: Column, valid: Bytes | None, wanted: str, *, sketch: bool) -> Made:
    there = (column.data if valid is None else column.data[valid.view(bool)]).tolist()
    low, high = int(min(there)), int(max(there))
    if low >= -(2**63) and high < 2**63:
        values = column.data if valid is None else np.where(valid, column.data, low)
        return _whole(values.astype(np.int64), column.type, valid, wanted, sketch=sketch)
    rest = np.array([int(value) & 0x7FFF_FFFF_FFFF_FFFF for value in column.data.tolist()], np.int64)
    hashes = hash_numbers(rest, valid) if sketch else None
    return Made(encode_wide(column.data, valid, low), 16 * len(column.data), low, high, hashes)


def _doubles(column: Column, valid: Bytes | None, wanted: str, *, sketch: bool) -> Made:
    values = np.ascontiguousarray(column.data if valid is None else np.where(valid, column.data, 0.0), np.float64)
    there = values if valid is None else values[valid.view(bool)]
    known = there[~np.isnan(there)]
    low = float(known.min()) if len(known) else None
    high = float(known.max()) if len(known) == len(there) else None
    hashes = hash_doubles(values, valid) if sketch else None
    return Made(encode_doubles(values, valid, wanted), 8 * len(values), low, high, hashes)


def _text(column: Column, valid: Bytes | None, wanted: str, *, sketch: bool) -> Made:
    payload, raw, low, high, (offsets, heap) = encode_text(column, valid, wanted)
    hashes = None
    if sketch:
        hashes = np.empty(len(offsets) - 1, np.uint64)
        distribute.hash_words(offsets, heap, valid if payload.encoding is Encoding.TEXT else None, hashes)
    return Made(payload, raw, low, high, hashes)


def hash_numbers(values: Numbers, valid: Bytes | None) -> Hashes:
    """The hash of each number; of NULL one and the same."""
    out = np.empty(len(values), np.uint64)
    distribute.hash_numbers(values, valid, out)
    return out


def hash_doubles(values: npt.NDArray[np.float64], valid: Bytes | None) -> Hashes:
    """Equal doubles have equal hashes: -0.0 is 0.0, and there is one NaN."""
    return hash_numbers(np.where(np.isnan(values), np.nan, values + 0.0).view(np.int64), valid)


def _finish(kind: Kind, payload: Payload, rows: int, nulls: int, valid: Bytes | None) -> tuple[bytes, bool]:
    """The frame around a payload."""
    body = b"".join(payload.parts)
    raw, compressed = len(body), False
    if payload.compress:
        packed = compress(body)
        if len(packed) < raw:
            body, compressed = packed, True
    flags = (HAS_NULLS if nulls else 0) | (COMPRESSED if compressed else 0)
    bitmap = b""
    if nulls:
        bits = np.zeros(rows, np.uint8) if valid is None else valid
        bitmap = codec.pad(np.packbits(bits, bitorder="little").tobytes())
    head = HEADER.pack(MAGIC, kind, payload.encoding, flags, 0, rows, nulls, raw, len(body), 0, 0)[: codec.CRC_AT]
    crc = google_crc32c.extend(google_crc32c.value(head), bitmap + body if bitmap else body)
    return b"".join((head, struct.pack("<I", crc), bitmap, body)), compressed
