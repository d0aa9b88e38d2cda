"""Blocks of text: the words that occur, and for each row the number of its word.

    payload   which rows have a text: a bit each, if not all have | header 40 | words | numbers
      header    words, bytes of the words, the same before zstd (0: not compressed), more u32 | codec u8, 7 bytes of 0 |
                first, last u64: of the numbers
      words     the length of each u32 ..., then their UTF-8, one after the other; under zstd where that is smaller
      numbers   a block of whole numbers like any other, of the rows that have a text

A block has its own words, in order of first use: it can be read, moved and dropped alone. Equal words of the blocks of
one chunk are made one when they are decoded.

Invariants: as in codec.py. No length that stands in the bytes is trusted.
"""

import ctypes
import itertools
import struct
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt
import zstandard

from engines._native import tsblocks
from engines.errors import Corrupted
from engines.timeseries.codec import ABSENT, WORDS, Blocks, Bytes, Cuts, Decoded, Encoded, check
from engines.timeseries.part import BLOCK, BLOCK_TYPE
from engines.timeseries.schema import TYPES

HEADER: Final = struct.Struct("<IIIIB7xQQ")
CODEC: Final = TYPES.index("varchar") << 4
COMPRESS_ABOVE: Final = 64  # bytes of words
MOST_BYTES: Final = 1 << 30  # of the words of a block


def encode_texts(
    data: npt.NDArray[Any], cuts: Cuts, valid: Bytes | None, words: Sequence[str], level: int = 1
) -> Encoded:
    """See codec.encode; data: numbers of words. level: of zstd."""
    cuts = np.ascontiguousarray(cuts, np.int64)
    blocks = np.zeros(max(len(cuts) - 1, 0), BLOCK_TYPE)
    blocks["rows"] = np.diff(cuts)
    pieces: list[npt.NDArray[np.uint64]] = []
    heaps: list[tuple[int, bytes, int]] = []
    bitmaps: list[bytes] = []
    for i, (start, stop) in enumerate(itertools.pairwise(cuts.tolist())):
        numbers = np.asarray(data[start:stop])
        bitmap = b""
        if valid is not None:
            present = np.asarray(valid[start:stop]) != 0
            if not present.all():
                numbers = numbers[present]
                bitmap = np.packbits(present, bitorder="little").tobytes()
        distinct, firsts, inverse = np.unique(numbers, return_index=True, return_inverse=True)
        order = np.argsort(firsts)
        rank = np.empty(len(order), np.uint64)
        rank[order] = np.arange(len(order), dtype=np.uint64)
        blocks["present"][i] = len(numbers)
        pieces.append(rank[inverse])
        bitmaps.append(bitmap)
        heaps.append(_heap([words[number] for number in distinct[order].tolist()], level))
    inner, codes = _encode_numbers(pieces)
    payload: list[bytes] = []
    at = 0
    for block, number, (count, heap, plain), bitmap in zip(blocks, inner, heaps, bitmaps, strict=True):
        block["codec"] = CODEC | (WORDS if count else ABSENT)
        block["address"] = at
        if not count:
            continue
        start = int(number["address"])
        more, codec, first, last = (int(number[name]) for name in ("more", "codec", "first", "last"))
        header = HEADER.pack(count, len(heap), plain, more, codec, first, last)
        piece = b"".join((bitmap, header, heap, codes[start : start + int(number["length"])]))
        block["length"] = len(piece)
        payload.append(piece)
        at += len(piece)
    return Encoded(b"".join(payload), blocks)


def _encode_numbers(pieces: list[npt.NDArray[np.uint64]]) -> tuple[Blocks, bytes]:
    cuts = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    inner = np.zeros(len(pieces), BLOCK_TYPE)
    out = np.empty(tsblocks.room_for(int(cuts[-1]), len(pieces)), np.uint8)
    data = np.concatenate(pieces) if pieces else np.empty(0, np.uint64)
    size = tsblocks.encode_numbers(TYPES.index("bigint"), data, cuts, None, inner.view(np.uint8), out)
    return inner, out[:size].tobytes()


def _heap(words: list[str], level: int) -> tuple[int, bytes, int]:
    """How many words, their bytes, and how many these were before zstd (0: they are as they were)."""
    texts = [word.encode("utf-8", "surrogatepass") for word in words]
    heap = np.array([len(text) for text in texts], "<u4").tobytes() + b"".join(texts)
    if len(heap) > COMPRESS_ABOVE:
        small = zstandard.compress(heap, level)
        if len(small) < len(heap):
            return len(words), small, len(heap)
    return len(words), heap, 0


def decode_texts(blocks: Blocks) -> Decoded:
    """See codec.decode. Words in order of first use in these blocks."""
    numbers: dict[str, int] = {}
    inner = np.zeros(len(blocks), BLOCK_TYPE)
    opened = [_opened(block, number, numbers) for block, number in zip(blocks, inner, strict=True)]
    codes = np.empty(int(inner["rows"].sum(dtype=np.int64)), np.uint64)
    check(inner, tsblocks.decode_numbers(inner.view(np.uint8), codes, None))
    rows = int(blocks["rows"].sum(dtype=np.int64))
    data = np.zeros(rows, np.int32)
    absent = bool((blocks["present"] < blocks["rows"]).any())
    valid = np.ones(rows, np.uint8) if absent else None
    at = code = 0
    for length, count, (translation, bitmap) in zip(
        blocks["rows"].tolist(), blocks["present"].tolist(), opened, strict=True
    ):
        part = codes[code : code + count]
        if count and int(part.max()) >= len(translation):
            _damaged("a number of no word")
        found = translation[part.astype(np.intp)]
        if valid is None or count == length:
            data[at : at + length] = found
        else:
            present = np.unpackbits(bitmap, count=length, bitorder="little")
            if int(present.sum()) != count:
                _damaged("another number of values")
            valid[at : at + length] = present
            data[at : at + length][present != 0] = found
        at += length
        code += count
    return Decoded(data, valid, tuple(numbers))


def _opened(
    block: Any,  # noqa: ANN401 - a row of BLOCK_TYPE
    inner: Any,  # noqa: ANN401 - the same
    numbers: dict[str, int],
) -> tuple[npt.NDArray[np.int32], Bytes]:
    """Fill `inner`, the block of numbers in a block of text. -> what its words' numbers are in `numbers`; the bits."""
    kind, rows, present, length = (int(block[name]) for name in ("codec", "rows", "present", "length"))
    kind &= 15
    bits = (rows + 7) // 8 if present < rows else 0
    if present == 0 and length == 0 and kind == ABSENT:
        return np.zeros(0, np.int32), np.zeros(bits, np.uint8)
    if kind != WORDS or length < bits + HEADER.size or rows > BLOCK or present > rows:
        _damaged("no words in it")
    address = int(block["address"])
    data = ctypes.string_at(address, length)
    bitmap = np.frombuffer(data, np.uint8, bits)
    count, size, plain, more, codec, first, last = HEADER.unpack_from(data, bits)
    start = bits + HEADER.size
    heap = data[start : start + size]
    if len(heap) != size or not 1 <= count <= present or plain > MOST_BYTES or codec >> 4 != TYPES.index("bigint"):
        _damaged("a header that does not fit")
    if plain:
        try:
            heap = zstandard.decompress(heap, max_output_size=plain)
        except zstandard.ZstdError as error:
            _damaged(str(error))
        if len(heap) != plain:
            _damaged("words of another length")
    inner["rows"] = inner["present"] = present
    inner["address"] = address + start + size
    inner["length"] = length - start - size
    inner["codec"], inner["more"], inner["first"], inner["last"] = codec, more, first, last
    return np.array([numbers.setdefault(word, len(numbers)) for word in _words(heap, count)], np.int32), bitmap


def _words(heap: bytes, count: int) -> list[str]:
    if len(heap) < 4 * count:
        _damaged("fewer words than it says")
    ends = np.cumsum(np.frombuffer(heap, "<u4", count), dtype=np.uint64) + np.uint64(4 * count)
    if int(ends[-1]) != len(heap):
        _damaged("words of another length")
    edges = [4 * count, *ends.tolist()]
    try:
        return [heap[a:b].decode("utf-8", "surrogatepass") for a, b in itertools.pairwise(edges)]
    except UnicodeDecodeError as error:
        _damaged(str(error))


def _damaged(why: str) -> NoReturn:
    raise Corrupted(f"a block of text is damaged ({why}): restore a snapshot")
