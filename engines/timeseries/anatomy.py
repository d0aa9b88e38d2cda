"""A block taken apart, in plain Python: what its bytes say, and the way of one value into them.

    print(anatomy.of(block))
    print(anatomy.of(block).way(417))       23.71 -> 2371 -> 31 above low -> 1 above the one before -> code 5, 3 bits

For lessons and for tests: it reads the layout of _native/tsblock.pxd a second time, slowly, from the drawing.
Numbers only; texts, bitmaps and cold chunks have no lanes to show.
"""

import ctypes
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engines.errors import Invalid
from engines.timeseries import codec
from engines.timeseries.codec import CONSTANT, DELTA, DICTIONARY, FRAME, KINDS, LONG, RAW, REGULAR, RUNS

LANES: Final = 16
DEEP: Final = 64  # values of a lane
WORD: Final = 2**64


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of a block. codes: of FRAME the numbers above low, of DELTA and LONG the differences above least."""

    kind: int
    type: str
    rows: int
    bytes: int
    values: tuple[float | int, ...]  # those that are present, in order
    exponent: int = 0
    width: int = 0
    low: int = 0
    least: int = 0
    start_bits: int = 0
    starts: tuple[int, ...] = ()  # the first number of each lane, above low
    codes: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()  # value = number / 10^exponent; of whole numbers * 10^exponent
    words: tuple[float | int, ...] = ()
    exceptions: tuple[int, ...] = ()  # places of values that are no such numbers

    def __str__(self) -> str:
        bits = 8 * self.bytes / max(len(self.values), 1)
        lines = [
            f"{KINDS[self.kind]} of {self.type}: {self.rows:,} rows, {len(self.values):,} values",
            f"  bytes      {self.bytes:<8,} {bits:.2f} bits a value",
        ]
        sign = "/" if self.type == "double" else "*"
        if self.kind in {FRAME, DELTA, LONG}:
            lines.append(f"  exponent   {self.exponent:<8} value = number {sign} 10^{self.exponent}")
            lines.append(f"  low        {self.low:<8} the least number")
        if self.kind in {DELTA, LONG}:
            lines.append(f"  least      {self.least:<8} the least step from one value to the next")
            lines.append(f"  starts     {self.start_bits} bits   of each lane, above low: {_some(self.starts)}")
        if self.kind == DICTIONARY:
            lines.append(f"  words      {len(self.words):<8} {_some(self.words)}")
        if self.kind in {FRAME, DELTA, LONG, DICTIONARY}:
            full, rest = divmod(len(self.values), DEEP)
            lines.append(f"  packed     {self.width} bits   {full} lanes of {DEEP} values, and {rest} more")
            lines.append(f"  exceptions {len(self.exceptions)}")
        return "\n".join(lines)

    def way(self, place: int) -> str:
        """The way of one value into the bytes. Invalid where there is no such value."""
        if not 0 <= place < len(self.values):
            raise Invalid(f"the block has values 0 to {len(self.values) - 1}, not {place}")
        value = self.values[place]
        lane, position = divmod(place, DEEP)
        where = f"lane {lane}, position {position}"
        if place in self.exceptions:
            return f"{value!r} is no number / 10^{self.exponent}: it stands among the exceptions"
        if self.kind == DICTIONARY:
            return f"{value!r} -> word {self.codes[place]}, {self.width} bits in {where}"
        if self.kind not in {FRAME, DELTA, LONG}:
            return f"{value!r}: nothing is packed in a block that is {KINDS[self.kind]}"
        number = self.numbers[place]
        steps = [repr(value), str(number), f"{number - self.low} above low"]
        if self.kind == FRAME:
            steps.append(f"{self.width} bits in {where}")
        elif position == 0:
            steps.append(f"the start of lane {lane}, {self.start_bits} bits")
        else:
            steps += [
                f"{number - self.numbers[place - 1]:+} from the one before",
                f"code {self.codes[place]}, {self.width} bits in {where}",
            ]
        return " -> ".join(steps)


def of(block: Any) -> Anatomy:  # noqa: ANN401 - a row of BLOCK_TYPE
    """Take a block apart. Invalid where it is of text, a bitmap, or cold: codec.warm makes it hot."""
    kind, type = int(block["codec"]) & 15, codec.type_of(block)
    rows, present, size = int(block["rows"]), int(block["present"]), int(block["length"])
    if kind > RUNS:
        raise Invalid(f"a block of {KINDS[kind] if kind < len(KINDS) else kind} has no numbers to show")
    data = ctypes.string_at(int(block["address"]), size) if size else b""
    data = data[(rows + 7) // 8 if present < rows else 0 :]
    first, last = _typed([int(block["first"]), int(block["last"])], type)
    if kind == CONSTANT:
        return Anatomy(kind, type, rows, size, (first,) * present)
    if kind == REGULAR:
        step = (int(last) - int(first)) // max(present - 1, 1)
        return Anatomy(kind, type, rows, size, tuple(int(first) + i * step for i in range(present)))
    if kind == RAW:
        return Anatomy(kind, type, rows, size, tuple(_typed(struct.unpack(f"<{present}Q", data), type)))
    if kind == RUNS:
        return Anatomy(kind, type, rows, size, tuple(_runs(data, present)))
    return _packed(block, data) if present else Anatomy(kind, type, rows, size, ())


def _packed(block: Any, data: bytes) -> Anatomy:  # noqa: ANN401 - a row of BLOCK_TYPE
    kind, type = int(block["codec"]) & 15, codec.type_of(block)
    rows, present, size, more = (int(block[name]) for name in ("rows", "present", "length", "more"))
    exponent, width, base = more & 15, more >> 4 & 127, more >> 11 & 15
    start_bits, count = more >> 15 & 127, more >> 22
    if kind == DICTIONARY:
        words = _typed(struct.unpack_from(f"<{count}Q", data), type)
        codes = _unpacked(data[8 * count :], present, width)
        found = tuple(words[code] for code in codes)
        return Anatomy(kind, type, rows, size, found, width=width, words=tuple(words), codes=tuple(codes))
    low = int.from_bytes(data[:base], "little", signed=True)
    at, least, starts = base, 0, [0]
    if kind != FRAME:
        least = int.from_bytes(data[at : at + base], "little", signed=True)
        lanes = -(-present // DEEP)
        starts = _stream(data[at + base :], lanes, start_bits)
        at += base + (lanes * start_bits + 7) // 8
    codes = _unpacked(data[at:], present, width)
    numbers: list[int] = []
    for place, code in enumerate(codes):
        if kind == FRAME:
            above = code
        elif place % DEEP == 0:
            above = starts[place // DEEP]
        else:
            above = numbers[-1] - low + least + code
        numbers.append(_signed(low + above))
    values: list[float | int]
    if type == "double":
        values = [number / 10.0**exponent for number in numbers]
    else:
        values = [_signed(number * 10**exponent) for number in numbers]
    tail = data[len(data) - 10 * count :]
    places = struct.unpack_from(f"<{count}H", tail)
    for place, value in zip(places, _typed(struct.unpack_from(f"<{count}Q", tail, 2 * count), type), strict=True):
        values[place] = value
    return Anatomy(
        kind, type, rows, size, tuple(values), exponent, width, low, least, start_bits,
        tuple(starts) if kind != FRAME else (), tuple(codes), tuple(numbers), (), places,
    )  # fmt: skip


def _unpacked(data: bytes, count: int, width: int) -> list[int]:
    """Codes of any width: full lanes, their words interleaved, then the rest as a stream."""
    if width > 32:
        narrow = count // DEEP * 32 * 8 + (count % DEEP * 32 + 7) // 8
        lower, upper = _unpacked(data, count, 32), _unpacked(data[narrow:], count, width - 32)
        return [low | high << 32 for low, high in zip(lower, upper, strict=True)]
    full, rest = divmod(count, DEEP)
    codes = []
    for lane in range(full):
        words = [data[(word * full + lane) * 4 :][:4] for word in range(2 * width)]
        codes += _stream(b"".join(words), DEEP, width)
    return codes + _stream(data[full * width * 8 :], rest, width)


def _stream(data: bytes, count: int, width: int) -> list[int]:
    bits = int.from_bytes(data[: (count * width + 7) // 8], "little")
    return [bits >> (i * width) & (1 << width) - 1 for i in range(count)]


def _runs(data: bytes, present: int) -> list[int]:
    runs = list(struct.iter_unpack("<Hqq", data))
    ends = [run[0] for run in runs[1:]] + [present]
    return [start + i * step for (row, start, step), end in zip(runs, ends, strict=True) for i in range(end - row)]


def _signed(number: int) -> int:
    return (number + WORD // 2) % WORD - WORD // 2


def _typed(bits: "list[int] | tuple[int, ...]", type: str) -> list[Any]:
    values: list[Any] = np.array(bits, np.uint64).view(np.float64 if type == "double" else np.int64).tolist()
    return values


def _some(items: "tuple[float | int, ...]") -> str:
    return " ".join(map(str, items[:8])) + (" ..." if len(items) > 8 else "")
