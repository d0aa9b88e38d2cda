r"""Blocks: one column of one row group as bytes, and back.

    block     "EHB1" | kind u8 | encoding u8 | flags u8 | 0 u8 | rows u32 | nulls u32 | raw u32 | stored u32
              | 0 u32 | crc32c u32 | [NULL bitmap, padded to 8 bytes] | payload, `stored` bytes
    flags     1 there is a NULL bitmap, a bit a row, least first, 1 = value
              2 the payload is a zstd frame of `raw` bytes
    crc32c    of everything else in the block

    numbers   width u8 | packed u8 | 0 u16 | count u32 | base i64 | bytes, padded to 8         what payloads are made of
              packed 1: bits relative to the base, as bitpack.h lays them; over 32 bits the low 32, then the rest
              packed 0: items of 1, 2, 4 bytes relative to the base, or of 8 bytes as they are; width 0: none

    encoding    payload                                             decodes to
    RAW         numbers, not packed; doubles as they are            a view of the bytes: nothing is copied
    BITPACK     numbers, packed                                     the narrowest of 1, 2, 4 bytes, and the base
    DELTA       first i64, least i64, base i64, item u64, numbers   differences of neighbours, less the least of them
    RUNLENGTH   numbers: values; numbers: lengths of runs           expanded
    BYTEDICT    numbers: codes; numbers: words                      the words, looked up: whole numbers, doubles' bits
                numbers: codes; numbers: lengths; heap              text: codes and a Dictionary
    TEXT        numbers: lengths; heap                              offsets and heap
    SCALED      unit i64, base i64, item u64, numbers               whole numbers: base + unit * number
                power u64, numbers                                  doubles: number / 10^power, exactly
    SHUFFLE     first bytes of all doubles, second bytes ...        doubles
    WIDE        numbers: upper 64 bits; numbers: lower 64 bits      Python's numbers: decimals beyond 64 bits

A NULL has some value in the payload (what costs least), never an error. All NULL: numbers of width 0.

The reader trusts nothing: lengths, counts, codes and runs are checked before they are used, so hostile bytes give
Corrupted or wrong values, never a read out of bounds. Sizes are bounded before anything is allocated.

Invariant: decode(encode(column)) == column, for every column of 1 to 65,536 rows.
"""

import enum
import struct
import threading
from collections.abc import Callable
from typing import Any, Final

import google_crc32c
import numpy as np
import numpy.typing as npt
import zstandard

from engines._native import encodings
from engines.errors import Corrupted
from engines.sql.column import VECTOR, Bytes, Column, Dictionary
from engines.sql.types import Type

MAGIC: Final = b"EHB1"
HEADER: Final = struct.Struct("<4sBBBBIIIIII")
NUMBERS: Final = struct.Struct("<BBHIq")
STEPS: Final = struct.Struct("<qqqQ")
UNIT: Final = struct.Struct("<qqQ")
CRC_AT: Final = HEADER.size - 4
LARGEST: Final = 1 << 28  # bytes of a payload
RUN: Final = 1024
HAS_NULLS, COMPRESSED = 1, 2


class Kind(enum.IntEnum):
    """What values a block holds."""

    WHOLE = 0
    BOOLEAN = 1
    FLOAT = 2
    BYTES = 3


class Encoding(enum.IntEnum):
    """See the module's text."""

    RAW = 0
    BITPACK = 1
    DELTA = 2
    RUNLENGTH = 3
    BYTEDICT = 4
    TEXT = 5
    SCALED = 6
    SHUFFLE = 7
    WIDE = 8


def kind_of(type: Type) -> Kind:
    """How values of a type are stored."""
    if type.whole:
        return Kind.WHOLE
    if type.floating:
        return Kind.FLOAT
    return Kind.BYTES if type.bytes else Kind.BOOLEAN


Share = Callable[[bytes, Dictionary], Dictionary]  # content, what was made of it -> the one to use
_zstd = threading.local()


class Damaged(ValueError):
    """Bytes that no encoder makes; decode() makes Corrupted of it."""


def pad(data: bytes) -> bytes:
    """The bytes with zeros up to a multiple of 8."""
    return data + bytes(-len(data) % 8)


class Reader:
    """Steps through a payload. Never passes its end."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> memoryview:
        if size < 0 or self.at + size > len(self.data):
            raise Damaged(f"{size:,} bytes are wanted at {self.at:,} of {len(self.data):,}")
        found = self.data[self.at : self.at + size]
        self.at += size
        return found

    def aligned(self, size: int) -> memoryview:
        found = self.take(size)
        self.at = min(self.at + (-size % 8), len(self.data))
        return found

    def numbers(self, most: int = VECTOR) -> "tuple[npt.NDArray[Any], int]":
        """Unsigned items and the base to add, or int64 and 0; one item where all are the same (width 0)."""
        width, packed, _, count, base = NUMBERS.unpack(self.take(NUMBERS.size))
        if width > 64 or packed > 1 or count > most:
            raise Damaged(f"{count:,} numbers of {width} bits")
        if width == 0:
            return np.zeros(count, np.uint8), base
        if not packed:
            item = 1 if width <= 8 else 2 if width <= 16 else 4 if width <= 32 else 8
            raw = self.aligned(count * item)
            return np.frombuffer(raw, "<i8" if item == 8 else f"<u{item}"), 0 if item == 8 else base
        if width <= 32:
            return self._bits(count, width), base
        low, high = self._bits(count, 32), self._bits(count, width - 32)
        values = high.astype(np.uint64)
        values <<= np.uint64(32)
        values |= low
        values += np.uint64(base & 0xFFFF_FFFF_FFFF_FFFF)
        return values.view(np.int64), 0

    def _bits(self, count: int, width: int) -> npt.NDArray[Any]:
        out = np.empty(-(-count // RUN) * RUN, np.uint8 if width <= 8 else np.uint16 if width <= 16 else np.uint32)
        encodings.unpack(np.frombuffer(self.take(encodings.packed_size(count, width)), np.uint8), width, out)
        return out[:count]

    def whole(self, most: int = VECTOR) -> npt.NDArray[np.int64]:
        """As numbers, the base added."""
        data, base = self.numbers(most)
        values = data.astype(np.int64)
        values += base
        return values

    def texts(self, most: int = VECTOR) -> "tuple[npt.NDArray[np.int32], Bytes]":
        """Lengths and heap, as offsets and heap."""
        lengths, base = self.numbers(most)
        if not 0 <= base <= LARGEST or (lengths.dtype == np.int64 and ((lengths < 0) | (lengths > LARGEST)).any()):
            raise Damaged("a text has a length that none can have")  # nor may their sum overflow
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        if base:
            offsets += np.arange(len(offsets)) * base
        total = int(offsets[-1])
        if total > len(self.data):
            raise Damaged(f"the lengths of texts add up to {total:,} bytes")
        return offsets.astype(np.int32), np.frombuffer(self.aligned(total), np.uint8)


class Block:
    """A block whose header was read and whose checksum was held against its bytes; decode() makes the Column."""

    __slots__ = ("encoding", "kind", "nulls", "payload", "raw", "rows", "size", "valid", "where")

    def __init__(self, data: "bytes | memoryview", where: tuple[str, int] = ("", 0)) -> None:
        """where: blob and offset, for errors."""
        self.where = where
        self.size = len(data)
        if len(data) < HEADER.size:
            raise self.corrupted(f"it has {len(data)} bytes, fewer than its header")
        magic, kind, encoding, flags, zero, self.rows, self.nulls, self.raw, stored, none, crc = HEADER.unpack_from(
            data
        )
        if magic != MAGIC or kind > max(Kind) or encoding > max(Encoding) or flags > 3 or zero or none:
            raise self.corrupted("it does not begin as a block does")
        view = memoryview(data)
        bitmap = (-(-self.rows // 8) + 7) & ~7 if flags & HAS_NULLS else 0
        if not 1 <= self.rows <= VECTOR or self.nulls > self.rows or HEADER.size + bitmap + stored != len(data):
            raise self.corrupted("its lengths contradict each other")
        if google_crc32c.extend(google_crc32c.value(bytes(view[:CRC_AT])), bytes(view[HEADER.size :])) != crc:
            raise self.corrupted("its checksum does not match")
        self.kind, self.encoding = Kind(kind), Encoding(encoding)
        self.valid = view[HEADER.size : HEADER.size + bitmap] if flags & HAS_NULLS else None
        self.payload = view[HEADER.size + bitmap :]
        if flags & COMPRESSED:
            if self.raw > LARGEST:
                raise self.corrupted(f"its payload claims {self.raw:,} bytes")
        elif self.raw != stored:
            raise self.corrupted("its lengths contradict each other")
        else:
            self.raw = -1  # not compressed

    def corrupted(self, why: str) -> Corrupted:
        blob, offset = self.where
        return Corrupted(
            f"the block at {offset:,} of blob {blob or '(memory)'} is damaged: {why}; "
            "restore the blob from a copy of a snapshot",
            file=blob,
            offset=offset,
        )

    def decode(self, type: Type, low: Any = None, high: Any = None, share: "Share | None" = None) -> Column:  # noqa: ANN401 - bounds are engine values
        """The column. Bounds are the zone map's. Corrupted where the payload is none of this encoding's."""
        if kind_of(type) is not self.kind:
            raise self.corrupted(f"it holds {self.kind.name.lower()} values, not {type}")
        try:
            column = self._decode(type, share)
        except (ValueError, zstandard.ZstdError, OverflowError, struct.error, MemoryError) as error:
            raise self.corrupted(str(error)) from error
        if self.kind is Kind.WHOLE:
            column.low, column.high = low, high
        return column

    def bytes(self) -> memoryview:
        """The payload, decompressed."""
        if self.raw < 0:
            return self.payload
        if zstandard.frame_content_size(self.payload) != self.raw:
            raise Damaged("the compressed payload has another length than the header says")
        if not hasattr(_zstd, "out"):
            _zstd.out = zstandard.ZstdDecompressor()
        return memoryview(_zstd.out.decompress(self.payload))

    def _decode(self, type: Type, share: "Share | None") -> Column:
        reader, rows = Reader(self.bytes()), self.rows
        valid = None
        if self.valid is not None:
            if self.nulls == rows:
                return _all_null(type)
            valid = np.unpackbits(np.frombuffer(self.valid, np.uint8), count=rows, bitorder="little")
        if self.kind is Kind.BYTES:
            return self._texts(reader, type, valid, share)
        if self.encoding is Encoding.WIDE:
            high, low = reader.whole(), reader.whole()
            both = [(a << 64) | (b & 0xFFFF_FFFF_FFFF_FFFF) for a, b in zip(high.tolist(), low.tolist(), strict=True)]
            wide = np.empty(len(both), object)
            wide[:] = both
            return Column(type, self._full(wide), valid=valid)
        if self.kind is Kind.FLOAT:
            return Column(type, self._full(self._doubles(reader)), valid=valid)
        data, base = self._whole(reader)
        self._full(data)
        if self.kind is Kind.BOOLEAN:
            if base not in (0, 1) or data.dtype != np.uint8 or (base and data.any()) or (data > 1).any():
                raise Damaged("a boolean is neither 0 nor 1")
            data, base = data + np.uint8(base) if base else data, 0
        if self.encoding in (Encoding.RAW, Encoding.BITPACK) and self._same(reader.data) and valid is None:
            return Column(type, data[:1].copy(), base, constant=True)
        return Column(type, data, base, valid)

    @staticmethod
    def _same(payload: memoryview) -> bool:
        return payload[0] == 0  # numbers of width 0

    def _full(self, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if len(data) != self.rows:
            raise Damaged(f"{len(data):,} values for {self.rows:,} rows")
        return data

    def _whole(self, reader: Reader) -> "tuple[npt.NDArray[Any], int]":
        match self.encoding:
            case Encoding.RAW | Encoding.BITPACK:
                return reader.numbers()
            case Encoding.DELTA:
                return _add_up(reader)
            case Encoding.RUNLENGTH:
                values, base = reader.numbers()
                return np.repeat(values, self._lengths(reader, len(values))), base
            case Encoding.BYTEDICT:
                codes = _codes(reader)
                values, base = reader.numbers()
                return values[_within(codes, len(values))], base
            case Encoding.SCALED:
                return _multiply(reader)
        raise Damaged(f"{self.encoding.name} is no encoding of whole numbers")

    def _lengths(self, reader: Reader, runs: int) -> npt.NDArray[np.int64]:
        lengths = reader.whole()
        if (
            len(lengths) != runs
            or (runs and lengths.min() < 1)
            or lengths.sum() != self.rows
            or (lengths > VECTOR).any()
        ):
            raise Damaged("the lengths of runs do not add up to the rows")
        return lengths

    def _doubles(self, reader: Reader) -> npt.NDArray[np.float64]:
        match self.encoding:
            case Encoding.RAW:
                return np.frombuffer(reader.take(8 * self.rows), "<f8")
            case Encoding.SHUFFLE:
                planes = np.frombuffer(reader.take(8 * self.rows), np.uint8).reshape(8, self.rows)
                return np.ascontiguousarray(planes.T).view("<f8").reshape(self.rows)
            case Encoding.SCALED:
                (power,) = struct.unpack("<Q", reader.take(8))
                if power > 22:
                    raise Damaged(f"doubles divided by 10^{power}")
                values = reader.whole().astype(np.float64)
                return values / 10.0**power if power else values
        data, base = self._whole(reader)
        return (data.astype(np.int64) + base).view(np.float64)

    def _texts(self, reader: Reader, type: Type, valid: "Bytes | None", share: "Share | None") -> Column:
        if self.encoding is Encoding.TEXT:
            offsets, heap = reader.texts()
            if len(offsets) != self.rows + 1:
                raise Damaged(f"{len(offsets) - 1:,} texts for {self.rows:,} rows")
            return Column(type, offsets, valid=valid, heap=heap)
        if self.encoding is not Encoding.BYTEDICT:
            raise Damaged(f"{self.encoding.name} is no encoding of text")
        codes = self._full(_codes(reader))
        began = reader.at
        offsets, heap = reader.texts()
        codes = _within(codes, len(offsets) - 1)
        words = Dictionary(offsets, heap)
        if share is not None:
            words = share(bytes(reader.data[began : reader.at]), words)
        if len(offsets) == 2 and valid is None:
            return Column(type, codes[:1].copy(), words=words, constant=True)
        return Column(type, codes, valid=valid, words=words)


def _codes(reader: Reader) -> npt.NDArray[Any]:
    codes, base = reader.numbers()
    if base or codes.dtype == np.int64:
        raise Damaged("codes have a base")
    return codes


def _within(codes: npt.NDArray[Any], words: int) -> npt.NDArray[Any]:
    if len(codes) and int(codes.max()) >= words:
        raise Damaged(f"a code is not one of {words:,} words")
    return codes


def _add_up(reader: Reader) -> "tuple[npt.NDArray[Any], int]":
    first, least, base, item = STEPS.unpack(reader.take(STEPS.size))
    steps, offset = reader.numbers()
    if offset or item not in (1, 2, 4, 8) or steps.dtype == np.int64:
        raise Damaged("differences of neighbours are not as an encoder makes them")
    out = np.empty(len(steps), np.int64 if item == 8 else f"u{item}")
    if item < 8:
        first = (first - base + 2**63) % 2**64 - 2**63
    encodings.add_up(steps.astype(np.uint32, copy=False), first, least, out)
    return out, 0 if item == 8 else base


def _multiply(reader: Reader) -> "tuple[npt.NDArray[Any], int]":
    unit, base, item = UNIT.unpack(reader.take(UNIT.size))
    data, offset = reader.numbers()
    if offset or item not in (1, 2, 4, 8) or not 1 <= unit < 2 ** min(8 * item, 63):
        raise Damaged("multiples of a unit are not as an encoder makes them")
    if item == 8:
        return data.astype(np.int64) * unit + base, 0
    kind = np.dtype(f"u{item}")
    return data.astype(kind) * kind.type(unit), base


def _all_null(type: Type) -> Column:
    none = np.zeros(1, np.uint8)
    if type.bytes:
        return Column(type, np.zeros(2, np.int32), valid=none, heap=np.zeros(0, np.uint8), constant=True)
    if type.floating:
        return Column(type, np.zeros(1), valid=none, constant=True)
    return Column(type, none, valid=none, constant=True)
