"""The cold codec: chunks of several blocks, tried in more than one way, a third smaller and slower to read.

    chunk     digest u64 | way | exponent | blocks | rows | values u16
              [rows of each block u16]                         where not all but the last have 1,024
              [bytes u16, which rows have a value: a bit each, under zstd where that is smaller]
              [bytes u32, the words]                           of a dictionary
              [exceptions u16, their positions u16, values u64]
              the numbers

    way       what the numbers are, each by pcodec (Loncaric, "Pcodec: Better Compression for Numerical
                  Sequences", 2025)
      decimals    value * 10^exponent, the exceptions beside
      dictionary  numbers of words, which are doubles: for decimals that were converted to another unit
      plain       the values themselves

The ways are tried on a sample and the best is kept, if it is smaller than the hot blocks are: what is constant or
regular stays as it is. Summaries stay with the blocks, so a chunk is opened only where its values are needed.

Every block of a chunk has the chunk's address and length; `more` is its place in it. To be read it is made hot again,
and that is kept (Warm): a hot chunk takes a twentieth of the memory of its doubles, and the fold works on it as it is.
The digest names the chunk in there, so addresses that come to hold something else do no harm.

Booleans stay bitmaps, and texts dictionaries; these under a higher level of zstd.

Invariants: as in codec.py.
"""

import ctypes
import hashlib
import struct
import threading
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt
import zstandard
from pcodec import ChunkConfig, standalone

from engines.errors import Corrupted
from engines.timeseries import codec
from engines.timeseries.codec import COLD, Blocks, Bytes, Cuts, Encoded
from engines.timeseries.part import BLOCK, BLOCK_TYPE
from engines.timeseries.schema import ITEMS, TYPES, MeasureType

HEADER: Final = struct.Struct("<8sBBHHH")
UNEVEN, EXCEPTIONS = 64, 128  # with the exponent
DECIMALS, DICTIONARY, PLAIN = range(3)
NUMBERS: Final = (np.int16, np.int32, np.int64, np.uint16, np.float64)  # what pcodec takes: way + 16 * place
MOST_BLOCKS: Final = 9  # of a series in one chunk
MOST_ROWS: Final = 8 * BLOCK  # of a chunk of many short series
SAMPLE: Final = 1024
MOST_WORDS: Final = 4096
TEXT_LEVEL: Final = 12
NUMERIC: Final = tuple(TYPES.index(name) for name in ("double", "bigint", "timestamp"))
FEW: Final = 8  # blocks
ROOM: Final = 64 << 20  # bytes of warm chunks
Values = npt.NDArray[Any]


# -- to chunks ------------------------------------------------------------------------------------------------------


def encode_cold(
    type: MeasureType,
    data: npt.NDArray[Any],
    cuts: Cuts,
    valid: Bytes | None = None,
    words: Sequence[str] | None = None,
    *,
    first_blocks: npt.NDArray[np.int64] | None = None,
) -> Encoded:
    """Like codec.encode. first_blocks: of each series, and the end: chunks begin there where series are long."""
    if type == "varchar":
        from engines.timeseries import texts  # noqa: PLC0415 - it is made of codec, too

        return texts.encode_texts(data, cuts, valid, words or (), TEXT_LEVEL)
    hot = codec.encode(type, data, cuts, valid)
    if type == "boolean" or not len(hot.blocks):
        return hot
    cuts = np.ascontiguousarray(cuts, np.int64)
    values = np.ascontiguousarray(data, ITEMS[type])
    edges = chunk_edges(cuts, first_blocks)
    blocks = hot.blocks.copy()
    pieces: list[bytes] = []
    at = 0
    lengths = blocks["length"].astype(np.int64)
    ends = np.cumsum(lengths)
    for first, end in pairwise(edges):
        start, stop = int(cuts[first]), int(cuts[end])
        size = int(lengths[first:end].sum())
        begin = int(ends[first] - lengths[first])
        cold = b""
        if size > HEADER.size:
            there = None if valid is None else valid[start:stop]
            cold = _chunk(values[start:stop], cuts[first : end + 1] - start, there)
        if cold and len(cold) < size:
            blocks["address"][first:end] = at
            blocks["length"][first:end] = len(cold)
            blocks["codec"][first:end] = TYPES.index(type) << 4 | COLD
            blocks["more"][first:end] = np.arange(end - first)
        else:
            cold = bytes(hot.payload[begin : begin + size])
            blocks["address"][first:end] = ends[first:end] - lengths[first:end] - begin + at
        pieces.append(cold)
        at += len(cold)
    return Encoded(b"".join(pieces), blocks)


def chunk_edges(cuts: Cuts, first_blocks: npt.NDArray[np.int64] | None = None) -> list[int]:
    """The first block of each chunk, and the end. Long series are split evenly, short ones put together."""
    blocks = len(cuts) - 1
    firsts = [0, blocks] if first_blocks is None else first_blocks.tolist()
    edges = [0]
    for first, end in pairwise(firsts):
        rows = int(cuts[end] - cuts[edges[-1]])
        if rows > MOST_ROWS and first > edges[-1]:
            edges.append(first)
        if end - first > MOST_BLOCKS or cuts[end] - cuts[first] > MOST_ROWS:
            count = -(-(end - first) // MOST_BLOCKS)
            edges.extend(first + (end - first) * i // count for i in range(1, count))
            edges.append(end)
    if edges[-1] < blocks:
        edges.append(blocks)
    return sorted(set(edges))


def _chunk(values: Values, cuts: Cuts, valid: Bytes | None) -> bytes:
    rows = np.diff(cuts)
    bitmap = b""
    if valid is not None and not valid.all():
        bits = np.packbits(valid != 0, bitorder="little").tobytes()
        small = zstandard.compress(bits, 3)
        bitmap = small if len(small) < len(bits) else bits
        values = values[valid != 0]
        if not len(values):
            return b""
    way, exponent, numbers, words, exceptions = _best(values)
    body = []
    uneven = bool((rows[:-1] != BLOCK).any())
    if uneven:
        body.append(rows.astype("<u2").tobytes())
    if len(values) < cuts[-1]:
        body += [struct.pack("<H", len(bitmap)), bitmap]
    if way == DICTIONARY:
        body += [struct.pack("<I", len(words)), words]
    if exceptions:
        body.append(exceptions)
    compressed = _squeeze(numbers)
    kind = way | NUMBERS.index(numbers.dtype.type) << 4
    flags = exponent | (UNEVEN if uneven else 0) | (EXCEPTIONS if exceptions else 0)
    header = HEADER.pack(bytes(8), kind, flags, len(rows), int(cuts[-1]), len(values))[8:]
    chunk = b"".join([header, *body, compressed])
    return hashlib.blake2b(chunk, digest_size=8).digest() + chunk


def _squeeze(numbers: Values) -> bytes:
    return bytes(standalone.simple_compress(np.ascontiguousarray(numbers), ChunkConfig()))


def _best(values: Values) -> tuple[int, int, Values, bytes, bytes]:
    """(way, exponent, numbers, words, exceptions): what is smallest on a sample."""
    if values.dtype != np.float64:
        return PLAIN, 0, narrowest(values), b"", b""
    start = max(0, (len(values) - SAMPLE) // 2)
    sample = values[start : start + SAMPLE]
    share = len(values) / len(sample)
    found = decimals(values)
    ways: list[tuple[float, int]] = []
    exceptions = b""
    if found is not None:
        exponent, numbers, misses = found
        if len(misses):
            exceptions = b"".join(
                (struct.pack("<H", len(misses)), misses.astype("<u2").tobytes(), values[misses].tobytes())
            )
        ways.append((len(_squeeze(numbers[start : start + SAMPLE])) * share + len(exceptions), DECIMALS))
    distinct, codes = _words(sample)
    if len(distinct) <= len(sample) // 2:
        ways.append((len(_squeeze(codes)) * share + len(_squeeze(distinct)), DICTIONARY))
    if found is None or exceptions:
        ways.append((len(_squeeze(sample)) * share, PLAIN))
    ways.sort()
    if ways[0][1] == DICTIONARY:  # words of the sample may not be all
        distinct, codes = _words(values)
        if len(distinct) < MOST_WORDS:
            words = _squeeze(distinct)
            others = [size for size, way in ways if way != DICTIONARY]
            if not others or len(words) + len(_squeeze(codes)) < min(others):
                return DICTIONARY, 0, codes, words, b""
    if found is not None and next(way for _, way in ways if way != DICTIONARY) == DECIMALS:
        return DECIMALS, exponent, numbers, b"", exceptions
    return PLAIN, 0, values, b"", b""


def _words(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint16]]:
    """The distinct values, by their bits, and the number of each."""
    distinct, codes = np.unique(values.view(np.uint64), return_inverse=True)
    return distinct.view(np.float64), codes.astype(np.uint16)


def decimals(values: npt.NDArray[np.float64]) -> tuple[int, Values, npt.NDArray[np.intp]] | None:
    """(exponent, whole numbers, where their quotients are not the values bit for bit), or None where few are."""
    bits = values.view(np.uint64)
    probe = slice(None, None, max(1, len(values) // 64))
    with np.errstate(invalid="ignore", over="ignore"):
        best = min(range(16), key=lambda exponent: int(_missing(values[probe], exponent).sum()))
        scaled = np.rint(values * 10.0**best)
        sound = np.abs(scaled) < 2.0**51  # False of NaN
        numbers = np.where(sound, scaled, 0).astype(np.int64)
    missing = (numbers / 10.0**best).view(np.uint64) != bits
    places = np.flatnonzero(missing)
    if len(places) > len(values) // 16:
        return None
    if len(places):  # they repeat the one before
        source = np.where(missing, 0, np.arange(len(values)))
        source[: int(np.argmin(missing))] = int(np.argmin(missing))
        numbers = numbers[np.maximum.accumulate(source)]
    return best, narrowest(numbers), places


def _missing(values: npt.NDArray[np.float64], exponent: int) -> npt.NDArray[np.bool_]:
    scaled = np.rint(values * 10.0**exponent)
    numbers = np.where(np.abs(scaled) < 2.0**51, scaled, 0).astype(np.int64)
    return np.asarray((numbers / 10.0**exponent).view(np.uint64) != values.view(np.uint64))


def narrowest(numbers: Values) -> Values:
    """The same whole numbers in as few bytes as they fit."""
    low, high = int(numbers.min()), int(numbers.max())
    for kind in (np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return numbers.astype(kind)
    return numbers


# -- and back -------------------------------------------------------------------------------------------------------


def thawed(blocks: Blocks) -> tuple[Blocks, object]:
    """The same blocks, none of them cold, and what keeps their bytes alive. Corrupted where a chunk is damaged."""
    if len(blocks) <= FEW:
        return _few_thawed(blocks)
    places = np.flatnonzero((blocks["codec"] & 15) == COLD)
    mine = blocks[places]
    addresses, first, chunk = np.unique(mine["address"], return_index=True, return_inverse=True)
    lengths, codecs = mine["length"][first], mine["codec"][first]
    if (mine["length"] != lengths[chunk]).any() or (mine["codec"] != codecs[chunk]).any():
        _damaged("its blocks do not agree")
    if int(lengths.min()) < HEADER.size:
        _damaged("it is too short")
    chunks = [
        WARM.get(address, length, number >> 4)
        for address, length, number in zip(addresses.tolist(), lengths.tolist(), codecs.tolist(), strict=True)
    ]
    counts = np.array([len(hot.blocks) for hot in chunks])
    inside = mine["more"].astype(np.int64)
    if (inside >= counts[chunk]).any():
        _damaged("it has fewer blocks")
    # as words: joined and picked as records they would be so a field at a time
    words = np.concatenate([hot.blocks.view(np.uint64) for hot in chunks]).reshape(-1, BLOCK_TYPE.itemsize // 8)
    warm = words[(np.cumsum(counts) - counts)[chunk] + inside].view(BLOCK_TYPE).reshape(-1)
    if (warm["rows"] != mine["rows"]).any() or (warm["present"] != mine["present"]).any():
        _damaged("its blocks are of another length")
    if len(places) == len(blocks):
        return warm, chunks
    result = blocks.copy()
    result[places] = warm
    return result, chunks


def _few_thawed(blocks: Blocks) -> tuple[Blocks, object]:
    """The same, one by one: for an hour of one host that is quicker than arrays."""
    result, owners = blocks.copy(), []
    for i, (address, length, rows, present, number, _, _, more, *_) in enumerate(blocks.tolist()):
        if number & 15 != COLD:
            continue
        if length < HEADER.size:
            _damaged("it is too short")
        hot = WARM.get(address, length, number >> 4)
        if more >= len(hot.blocks):
            _damaged("it has fewer blocks")
        result[i] = warm = hot.blocks[more]
        if warm["rows"] != rows or warm["present"] != present:
            _damaged("its blocks are of another length")
        owners.append(hot)
    return result, owners


class Warm:
    """Chunks made hot again, the least recently used first out. Threads share it.

    Two threads may open the same chunk at once; one of the results is kept.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.used = 0
        self.hits = self.misses = 0
        self._chunks: OrderedDict[tuple[bytes, int, int], Encoded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, address: int, length: int, type: int) -> Encoded:
        """The hot blocks of the chunk that lies there, at their addresses in this process. type: its place in TYPES."""
        key = ctypes.string_at(address, 8), length, type
        with self._lock:
            found = self._chunks.get(key)
            if found is not None:
                self._chunks.move_to_end(key)
                self.hits += 1
                return found
            self.misses += 1
        if type not in NUMERIC:
            _damaged("it is of another type")
        opened = open_chunk(ctypes.string_at(address, length), TYPES[type])
        made = Encoded(opened.payload, codec.placed(opened))
        with self._lock:
            if key not in self._chunks:
                self._chunks[key] = made
                self.used += size_of(made)
            while self.used > self.room and len(self._chunks) > 1:
                _, old = self._chunks.popitem(last=False)
                self.used -= size_of(old)
        return made

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._chunks.clear()
            self.used = 0


def size_of(encoded: Encoded) -> int:
    """Bytes that it takes, about."""
    return len(encoded.payload) + encoded.blocks.nbytes + 200


WARM: Final = Warm(ROOM)


def open_chunk(chunk: bytes, type: MeasureType) -> Encoded:
    """A chunk as hot blocks. Corrupted where it is not what was written."""
    if hashlib.blake2b(chunk[8:], digest_size=8).digest() != chunk[:8]:
        _damaged("its digest is another")
    try:
        values, valid, cuts = _read(chunk, np.dtype(ITEMS[type]))
    except (struct.error, ValueError, IndexError, TypeError, RuntimeError, zstandard.ZstdError) as error:
        _damaged(str(error))
    return codec.encode(type, values, cuts, valid)


def _read(chunk: bytes, item: "np.dtype[Any]") -> tuple[Values, Bytes | None, Cuts]:
    """(values, a row each; which are there; cuts). Any of several errors where the bytes make no sense."""
    _, kind, flags, count, rows, present = HEADER.unpack_from(chunk)
    way, number = kind & 15, NUMBERS[kind >> 4]
    reader = _Reader(chunk)
    if flags & UNEVEN:
        cuts = np.concatenate(([0], np.cumsum(np.frombuffer(reader.take(2 * count), "<u2"), dtype=np.int64)))
    else:
        cuts = np.append(np.arange(count, dtype=np.int64) * BLOCK, rows)
    lengths = np.diff(cuts)
    if int(cuts[-1]) != rows or present > rows or (lengths < 0).any() or (lengths > BLOCK).any():
        raise ValueError("its counts do not add up")
    valid = None
    if present < rows:
        bits = reader.take(*struct.unpack("<H", reader.take(2)))
        size = (rows + 7) // 8
        bits = bits if len(bits) == size else zstandard.decompress(bits, max_output_size=size)
        valid = np.unpackbits(np.frombuffer(bits, np.uint8), count=rows, bitorder="little")
        if int(valid.sum()) != present:
            raise ValueError("it has another number of values")
    words = reader.take(*struct.unpack("<I", reader.take(4))) if way == DICTIONARY else b""
    exceptions, places = b"", np.empty(0, np.intp)
    if flags & EXCEPTIONS:
        misses = int.from_bytes(reader.take(2), "little")
        places = np.frombuffer(reader.take(2 * misses), "<u2").astype(np.intp)
        exceptions = reader.take(8 * misses)
    numbers = _unsqueezed(reader.rest(), number, present)
    if way == DECIMALS:
        values = numbers.astype(np.float64) / 10.0 ** (flags & 15)
        values[places] = np.frombuffer(exceptions, np.float64)
    elif way == DICTIONARY and number == np.uint16:
        values = _unsqueezed(words, np.float64, int(numbers.max()) + 1)[numbers]
    elif way == PLAIN:
        values = numbers.astype(item, copy=False)
    else:
        raise ValueError("it is of no known kind")
    if values.dtype != item:
        raise ValueError("it is of another type")
    if valid is None:
        return values, None, cuts
    spread = np.zeros(rows, item)
    spread[valid != 0] = values
    return spread, valid, cuts


class _Reader:
    """The parts of a chunk after its header, one after the other."""

    def __init__(self, chunk: bytes) -> None:
        self._chunk = chunk
        self._at = HEADER.size

    def take(self, size: int) -> bytes:
        part = self._chunk[self._at : self._at + size]
        if len(part) != size:
            raise ValueError("it is too short")
        self._at += size
        return part

    def rest(self) -> bytes:
        return self._chunk[self._at :]


def _unsqueezed(data: bytes, kind: npt.DTypeLike, count: int) -> Values:
    """At least `count` numbers; of a dictionary's words the last may be in no row."""
    numbers = np.empty(count, kind)
    progress = standalone.simple_decompress_into(data, numbers)
    if progress.n_processed != count:
        raise ValueError("it has fewer numbers")
    return numbers


def _damaged(why: str) -> NoReturn:
    raise Corrupted(f"a chunk of the magnetic tier is damaged ({why}): restore a snapshot")
