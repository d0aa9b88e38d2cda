"""Blocks of values: encoded, decoded, moved.

    encode          columns of one type, many blocks in one call -> payload and blocks with their summaries
    raw             the same without encoding: what is still open
    decode          blocks of one type, hot or cold, from wherever they lie -> one array
    relocated       blocks whose addresses were offsets

A tier is a codec and a place, not another data structure. The hot codecs are bit-packed numbers (the layouts are drawn
in _native/tsblock.pxd): a tenth of the bytes, and decoded at several gigabytes a second, so that folding never waits
for them. The cold ones (cold.py) take a third less and decode slower; texts (texts.py) are dictionaries.

    codec of a block    type * 16 + kind        types: double bigint varchar boolean timestamp

Simpler than production: one exponent a block, no outliers patched into frames (1.4 % smaller, encoding four times
slower), no cascades of codecs.

Invariants: decode(encode(x)) has the bits of x, and is absent where x is; a block that was damaged decodes to the right
number of values or is Corrupted, and never leads outside of its bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from engines._native import tsblocks
from engines.errors import Corrupted
from engines.timeseries.part import BLOCK_TYPE
from engines.timeseries.schema import ITEMS, TYPES, MeasureType

Bytes: TypeAlias = npt.NDArray[np.uint8]
Blocks: TypeAlias = npt.NDArray[Any]  # BLOCK_TYPE
Cuts: TypeAlias = npt.NDArray[np.int64]

KINDS: Final = (
    "absent",
    "constant",
    "frame",
    "delta",
    "long delta",
    "dictionary",
    "raw",
    "regular",
    "runs",
    "bits",
    "words",
    "cold",
)
ABSENT, CONSTANT, FRAME, DELTA, LONG, DICTIONARY, RAW, REGULAR, RUNS, BITS, WORDS, COLD = range(12)


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Blocks, and the bytes that their addresses are offsets into."""

    payload: bytes | Bytes
    blocks: Blocks


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A value a row: float64, int64, uint8 of booleans, int32 codes into words; 0 where valid is 0."""

    data: npt.NDArray[Any]
    valid: Bytes | None = None  # None: present in every row
    words: tuple[str, ...] | None = None


def type_of(block: Any) -> MeasureType:  # noqa: ANN401 - a row of BLOCK_TYPE
    """What a block holds."""
    number = int(block["codec"]) >> 4
    if number >= len(TYPES):
        raise Corrupted(f"a block is of type {number}, which is none: restore a snapshot")
    return TYPES[number]


def encode(
    type: MeasureType,
    data: npt.NDArray[Any],
    cuts: Cuts,
    valid: Bytes | None = None,
    words: Sequence[str] | None = None,
) -> Encoded:
    """Block i holds rows cuts[i]:cuts[i + 1], at most 1,024. valid: a byte a row, 0 = absent. words: of varchar.

    The blocks may be of many series. Addresses are offsets into the payload. Payloads are not padded.
    """
    if type == "varchar":
        from engines.timeseries import texts  # noqa: PLC0415 - it is made of this module

        return texts.encode_texts(data, cuts, valid, words or ())
    cuts = np.ascontiguousarray(cuts, np.int64)
    if valid is not None:
        valid = np.ascontiguousarray(valid).view(np.uint8)
    blocks = np.empty(max(len(cuts) - 1, 0), BLOCK_TYPE)
    out = np.empty(tsblocks.room_for(int(cuts[-1] - cuts[0]) if len(cuts) else 0, len(blocks)), np.uint8)
    if type == "boolean":
        size = tsblocks.encode_booleans(
            np.ascontiguousarray(data).view(np.uint8), cuts, valid, blocks.view(np.uint8), out
        )
    else:
        size = tsblocks.encode_numbers(TYPES.index(type), bits(data, type), cuts, valid, blocks.view(np.uint8), out)
    return Encoded(out[:size].tobytes(), blocks)


def encode_times(times: npt.NDArray[np.int64], cuts: Cuts) -> Encoded:
    """The same of times: nothing but a summary where they are regular."""
    return encode("timestamp", times, cuts)


def raw(
    type: MeasureType,
    data: npt.NDArray[Any],
    cuts: Cuts,
    valid: Bytes | None = None,
    words: Sequence[str] | None = None,
) -> Encoded:
    """Like encode, but doubles and whole numbers stay as they are, without summaries: the quick way for few readers.

    Where every row has a value the payload is the array itself, not copied: do not change it.
    """
    if type in {"varchar", "boolean"}:
        return encode(type, data, cuts, valid, words)
    cuts = np.ascontiguousarray(cuts, np.int64)
    blocks = np.empty(max(len(cuts) - 1, 0), BLOCK_TYPE)
    values = bits(data, type)
    if valid is None:
        tsblocks.encode_raw(TYPES.index(type), values, cuts, None, blocks.view(np.uint8), np.empty(0, np.uint8))
        return Encoded(values.view(np.uint8), blocks)
    out = np.empty(tsblocks.room_for(int(cuts[-1] - cuts[0]) if len(cuts) else 0, len(blocks)), np.uint8)
    valid = np.ascontiguousarray(valid).view(np.uint8)
    size = tsblocks.encode_raw(TYPES.index(type), values, cuts, valid, blocks.view(np.uint8), out)
    return Encoded(out[:size], blocks)


def raw_times(times: npt.NDArray[np.int64], cuts: Cuts) -> Encoded:
    """The same of times."""
    return raw("timestamp", times, cuts)


def bits(data: npt.NDArray[Any], type: MeasureType) -> npt.NDArray[np.uint64]:
    """Doubles or whole numbers as 64 bits each, not copied where they are that already."""
    return np.ascontiguousarray(data, ITEMS[type]).view(np.uint64)


def relocated(blocks: Blocks, base: int) -> Blocks:
    """The same blocks with addresses that begin at `base`, where their payload lies now."""
    moved = blocks.copy()
    moved["address"] += np.uint64(base)
    return moved


def placed(encoded: Encoded) -> Blocks:
    """Blocks at their addresses in this process; they hold as long as `encoded.payload` lives."""
    if not len(encoded.payload):
        return encoded.blocks
    return relocated(encoded.blocks, np.frombuffer(encoded.payload, np.uint8).ctypes.data)


def decode(blocks: Blocks, type: MeasureType | None = None) -> Decoded:
    """Blocks of one type, any selection, one after the other. type: what an empty selection is of.

    Whoever calls keeps alive what the addresses point to. Corrupted where a block is damaged.
    """
    if len(blocks):
        type = type_of(blocks[0])
        kinds = blocks["codec"]
        if ((kinds >> 4) != kinds[0] >> 4).any():
            raise Corrupted("blocks of several types stand in one chunk: restore a snapshot")
    if type is None:
        type = "double"
    blocks, _owner = warm(np.ascontiguousarray(blocks))
    if type == "varchar":
        from engines.timeseries import texts  # noqa: PLC0415 - as above

        return texts.decode_texts(blocks)
    rows = int(blocks["rows"].sum(dtype=np.int64))
    data = np.empty(rows, ITEMS[type])
    valid = np.empty(rows, np.uint8) if (blocks["present"] < blocks["rows"]).any() else None
    if type == "boolean":
        damaged = tsblocks.decode_booleans(blocks.view(np.uint8), data, valid)
    else:
        damaged = tsblocks.decode_numbers(blocks.view(np.uint8), data.view(np.uint64), valid)
    check(blocks, damaged)
    return Decoded(data, valid)


def decode_times(blocks: Blocks) -> npt.NDArray[np.int64]:
    """The times of blocks, one after the other."""
    data: npt.NDArray[np.int64] = decode(blocks, "timestamp").data
    return data


def warm(blocks: Blocks) -> tuple[Blocks, object]:
    """The same blocks, none of them cold, and what keeps their bytes alive."""
    if not ((blocks["codec"] & 15) == COLD).any():
        return blocks, None
    from engines.timeseries import cold  # noqa: PLC0415 - it is made of this module

    return cold.thawed(blocks)


def check(blocks: Blocks, damaged: int, blob: str | None = None) -> None:
    """Corrupted where a kernel says that block `damaged` is. blob: the digest of where it lies, if known."""
    if damaged >= 0:
        block = blocks[damaged]
        kind = int(block["codec"]) & 15
        name = KINDS[kind] if kind < len(KINDS) else f"unknown ({kind})"
        raise Corrupted(
            f"a block of {int(block['rows']):,} rows in {int(block['length']):,} bytes, codec {name}, is damaged: "
            "restore a snapshot",
            blob=blob,
        )
