"""Encoding numbers: packed bits, differences, runs, dictionaries, units; doubles that are decimals. See codec.py.

What ENCODE AUTO compares is written in blocks.py.
"""

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import zstandard

from engines._native import encodings
from engines.sql.column import Bytes
from engines.warehouse import codec
from engines.warehouse.codec import NUMBERS, STEPS, UNIT, Encoding

if TYPE_CHECKING:
    from collections.abc import Callable

LEVEL: Final = 3
Numbers = npt.NDArray[np.int64]


@dataclass(slots=True)
class Payload:
    """What an encoding has made. distinct: 0 = unknown."""

    encoding: Encoding
    parts: list[bytes]
    distinct: int = 0
    compress: bool = False

    def size(self) -> int:
        return sum(map(len, self.parts))


def compress(data: bytes) -> bytes:
    """One zstd frame."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(data)


def width_of(low: int, high: int) -> int:
    """Bits of a number between the two, less the lower one."""
    return (high - low).bit_length()


def size_of(count: int, width: int) -> int:
    """Bytes that numbers() takes for them."""
    if width == 0:
        return NUMBERS.size
    return NUMBERS.size + min(count * _item(width), _packed_size(count, width))


def _packed_size(count: int, width: int) -> int:
    if width <= 32:
        return encodings.packed_size(count, width)
    return encodings.packed_size(count, 32) + encodings.packed_size(count, width - 32)


def _item(width: int) -> int:
    return 1 if width <= 8 else 2 if width <= 16 else 4 if width <= 32 else 8


def numbers(values: Numbers, low: int | None = None, high: int | None = None, *, raw: bool = False) -> bytes:
    """Whole numbers between low and high (found if not given), packed if that takes less and raw is not wanted."""
    count = len(values)
    if low is None or high is None:
        low, high = (int(values.min()), int(values.max())) if count else (0, 0)
    width = width_of(low, high)
    if width == 0:
        return NUMBERS.pack(0, 0, 0, count, low)
    if raw or count * _item(width) <= _packed_size(count, width):
        item = _item(width)
        if item == 8:
            return NUMBERS.pack(64, 0, 0, count, 0) + values.tobytes()
        return NUMBERS.pack(8 * item, 0, 0, count, low) + codec.pad((values - low).astype(f"<u{item}").tobytes())
    packed = np.zeros(_packed_size(count, width), np.uint8)
    if width <= 32:
        encodings.pack(values, low, 0, width, packed)
    else:
        cut = encodings.packed_size(count, 32)
        encodings.pack(values, low, 0, 32, packed[:cut])
        encodings.pack(values, low, 32, width - 32, packed[cut:])
    return NUMBERS.pack(width, 1, 0, count, low) + packed.tobytes()


def filled(values: Numbers, valid: Bytes | None) -> tuple[Numbers, int, int]:
    """The bounds, and the values with what stands under a NULL replaced by the value before it, or the low."""
    if valid is None:
        return values, int(values.min()), int(values.max())
    there = values[valid.view(bool)]
    low, high = int(there.min()), int(there.max())
    before = np.maximum.accumulate(np.where(valid, np.arange(len(values)), -1))
    return np.ascontiguousarray(np.where(before < 0, low, values[before])), low, high


def encode_whole(values: Numbers, valid: Bytes | None, low: int, high: int, wanted: str) -> Payload:
    """Whole numbers between low and high, by the encoding that is wanted or else the smallest."""
    makers: dict[str, Callable[[], Payload | None]] = {
        "raw": lambda: Payload(Encoding.RAW, [numbers(values, low, high, raw=True)]),
        "zstd": lambda: Payload(Encoding.RAW, [numbers(values, low, high, raw=True)], compress=True),
        "delta": lambda: _delta(values, low, high),
        "runlength": lambda: _runs(values),
        "bytedict": lambda: _number_dictionary(values, valid),
    }
    if wanted in makers:
        return makers[wanted]() or _bitpack(values, low, high)
    if wanted != "auto" or low == high:
        return _bitpack(values, low, high)
    rows, width = len(values), width_of(low, high)
    best, least = "bitpack", float(size_of(rows, width))
    steps = np.empty(rows, np.int64)
    encodings.differences(values, steps)
    if rows > 1 and width < 63:
        size = size_of(rows, width_of(int(steps[1:].min()), int(steps[1:].max())))
        if size < 0.8 * least:
            best, least = "delta", size
    runs = int(np.count_nonzero(steps)) + 1
    size = size_of(runs, width) + size_of(runs, max(rows // runs, 1).bit_length() + 2)
    if size < 0.6 * least:
        best, least = "runlength", size
    unit = _unit(values, low) if width > 8 else 1
    if unit > 1 and size_of(rows, width_of(0, (high - low) // unit)) < 0.9 * least:
        scaled = numbers((values - low) // unit, 0, (high - low) // unit)
        return Payload(Encoding.SCALED, [UNIT.pack(unit, low, _item(width)), scaled])
    if width > 8 and rows >= 64:
        distinct = _distinct(_sample(values))
        if distinct and size_of(rows, distinct.bit_length()) + size_of(distinct, width) < 0.75 * least:
            made = _number_dictionary(values, valid)
            if made is not None and made.size() < 0.75 * least:
                return made
    if rows >= 1024 and width > 1:
        sample = numbers(_sample(values), low, high, raw=True)
        if len(compress(sample)) / len(sample) * size_of(rows, 8 * _item(width)) < 0.4 * least:
            best = "zstd"
    made = makers[best]() if best in makers else None
    return made or _bitpack(values, low, high)


def _unit(values: Numbers, low: int) -> int:
    """What all differences from the low are multiples of; few are looked at first."""
    if int(values.max()) - low >= 2**62:
        return 1
    for some in (values[:256], values):
        unit = int(np.gcd.reduce(some - low))
        if unit <= 1:
            break
    return unit


def _sample(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Eight runs of 1,024, evenly spread; all of them where there are not so many."""
    if len(values) <= 8192:
        return values
    return np.concatenate(
        [values[start : start + 1024] for start in range(0, len(values) - 1023, (len(values) - 1024) // 7)]
    )


def _distinct(sample: Numbers) -> int:
    """How many distinct values there are; 0 = more than a quarter of them."""
    codes, firsts = np.empty(len(sample), np.uint32), np.empty(len(sample) // 4, np.int32)
    return max(encodings.number_values(sample, None, codes, firsts), 0)


def _bitpack(values: Numbers, low: int, high: int) -> Payload:
    data = numbers(values, low, high)
    return Payload(Encoding.BITPACK if data[1] else Encoding.RAW, [data], distinct=int(low == high))


def _delta(values: Numbers, low: int, high: int) -> Payload | None:
    width = width_of(low, high)
    if width >= 63 or len(values) < 2:
        return None
    steps = np.empty(len(values), np.int64)
    encodings.differences(values, steps)
    least, most = int(steps[1:].min()), int(steps[1:].max())
    if width_of(least, most) > 32:
        return None
    steps[0] = least
    head = STEPS.pack(int(values[0]), least, low, _item(width))
    steps -= least
    return Payload(Encoding.DELTA, [head, numbers(steps, 0, most - least)])


def _runs(values: Numbers) -> Payload:
    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    lengths = np.diff(starts, append=len(values))
    return Payload(Encoding.RUNLENGTH, [numbers(values[starts]), numbers(lengths)])


def _number_dictionary(values: Numbers, valid: Bytes | None) -> Payload | None:
    codes, firsts = np.empty(len(values), np.uint32), np.empty(min(len(values), 65_536), np.int32)
    count = encodings.number_values(values, valid, codes, firsts)
    if count < 1:
        return None
    return Payload(
        Encoding.BYTEDICT, [numbers(codes.astype(np.int64), 0, count - 1), numbers(values[firsts[:count]])], count
    )


def encode_wide(data: npt.NDArray[Any], valid: Bytes | None, low: int) -> Payload:
    """Numbers of more than 64 bits, as two blocks: the upper and the lower halves."""
    values = (
        [int(value) for value in data.tolist()]
        if valid is None
        else [int(value) if there else low for value, there in zip(data.tolist(), valid.tolist(), strict=True)]
    )
    high = np.array([value >> 64 for value in values], np.int64)
    rest = np.array([value & 0xFFFF_FFFF_FFFF_FFFF for value in values], np.uint64).view(np.int64)
    return Payload(Encoding.WIDE, [numbers(high), numbers(rest)], compress=True)


def encode_doubles(values: npt.NDArray[np.float64], valid: Bytes | None, wanted: str) -> Payload:
    """Floats, by the encoding that is wanted or else what suits them."""
    raw = Payload(Encoding.RAW, [values.tobytes()])
    if wanted in ("raw", "text"):
        return raw
    bits = values.view(np.int64)
    if wanted == "runlength":
        return _runs(bits)
    if wanted != "zstd":
        made = _scaled(values)
        if made is not None:
            return made
        sample = _sample(bits)
        if wanted == "bytedict" or _distinct(sample):
            made = _number_dictionary(bits, valid)
            if made is not None and (wanted == "bytedict" or made.size() < raw.size() // 2):
                return made
    planes = _planes(_sample(values))
    if wanted == "zstd" or len(compress(planes)) < 0.85 * len(planes):
        return Payload(Encoding.SHUFFLE, [_planes(values)], compress=True)
    return raw


def _planes(values: npt.NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(np.ascontiguousarray(values).view(np.uint8).reshape(-1, 8).T).tobytes()


def _scaled(values: npt.NDArray[np.float64]) -> Payload | None:
    """Doubles that are whole numbers divided by a power of ten, to the bit; no NaN, no -0.0."""
    some = values[:256]
    for power in range(7):
        scaled = _scaled_by(some, power)
        if scaled is not None:
            scaled = _scaled_by(values, power)
            if scaled is not None:
                return Payload(Encoding.SCALED, [struct.pack("<Q", power), numbers(scaled)])
    return None


def _scaled_by(values: npt.NDArray[np.float64], power: int) -> Numbers | None:
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.rint(values * 10.0**power)
        if not np.all(np.abs(scaled) < 2.0**53):
            return None
        again = scaled.astype(np.int64).astype(np.float64) / 10.0**power
    return scaled.astype(np.int64) if np.array_equal(again.view(np.int64), values.view(np.int64)) else None
