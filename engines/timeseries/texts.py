"""Blocks of text: the words that occur, and for each row the number of its word.

    payload   header 40 | words | numbers
      header    words, bytes of the words, the same before zstd (0: not compressed), more u32 | codec u8, 7 bytes of 0 |
                first, last u64: of the numbers
      words     the length of each u32 ..., then their UTF-8, one after the other; under zstd where that is smaller
      numbers   a block of whole numbers like any other, with the bits of which rows have a value

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
    codes = np.zeros(len(data), np.uint64)
    present = np.ones(len(data), np.bool_) if valid is None else np.asarray(valid) != 0
    heaps: list[tuple[int, bytes, int]] = []
    for start, stop in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        numbers = np.asarray(data[start:stop])[present[start:stop]]
        distinct, firsts, inverse = np.unique(numbers, return_index=True, return_inverse=True)
        order = np.argsort(firsts)
        rank = np.empty(len(order), np.uint64)
        rank[order] = np.arange(len(order), dtype=np.uint64)
        codes[start:stop][present[start:stop]] = rank[inverse]
        heaps.append(_heap([words[number] for number in distinct[order].tolist()], level))
    valid = None if valid is None else np.ascontiguousarray(present).view(np.uint8)
    inner = np.zeros(len(blocks), BLOCK_TYPE)
    rows = int(cuts[-1] - cuts[0]) if len(cuts) else 0
    out = np.empty(tsblocks.room_for(rows, len(blocks)), np.uint8)
    tsblocks.encode_numbers(TYPES.index("bigint"), codes, cuts, valid, inner.view(np.uint8), out)
    pieces: list[bytes] = []
    at = 0
    for i, (count, heap, plain) in enumerate(heaps):
        number, block = inner[i], blocks[i]
        block["rows"], block["present"] = number["rows"], number["present"]
        block["codec"] = CODEC | (WORDS if count else ABSENT)
        block["address"] = at
        if not count:
            continue
        start = int(number["address"])
        more, codec, first, last = (int(number[name]) for name in ("more", "codec", "first", "last"))
        header = HEADER.pack(count, len(heap), plain, more, codec, first, last)
        piece = b"".join((header, heap, out[start : start + int(number["length"])].tobytes()))
        block["length"] = len(piece)
        pieces.append(piece)
        at += len(piece)
    return Encoded(b"".join(pieces), blocks)


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
    inner["rows"], inner["present"] = blocks["rows"], blocks["present"]
    translations = [_opened(blocks[i], inner[i], numbers) for i in range(len(blocks))]
    rows = int(inner["rows"].sum(dtype=np.int64))
    codes = np.empty(rows, np.uint64)
    valid = np.empty(rows, np.uint8) if (inner["present"] < inner["rows"]).any() else None
    check(inner, tsblocks.decode_numbers(inner.view(np.uint8), codes, valid))
    data = np.zeros(rows, np.int32)
    at = 0
    for length, translation in zip(blocks["rows"].tolist(), translations, strict=True):
        if translation is not None and length:
            part = codes[at : at + length]
            if int(part.max()) >= len(translation):
                _damaged("a number of no word")
            data[at : at + length] = translation[part.astype(np.intp)]
        at += length
    if valid is not None:
        data[valid == 0] = 0
    return Decoded(data, valid, tuple(numbers))


def _opened(block: Any, inner: Any, numbers: dict[str, int]) -> npt.NDArray[np.int32] | None:  # noqa: ANN401 - rows
    """Fill `inner`, the block of numbers in a block of text; what the numbers of its words are in `numbers`."""
    kind, present, length = int(block["codec"]) & 15, int(block["present"]), int(block["length"])
    if present == 0 and length == 0 and kind == ABSENT:
        return None
    if kind != WORDS or length < HEADER.size or int(block["rows"]) > BLOCK:
        _damaged("no words in it")
    address = int(block["address"])
    data = ctypes.string_at(address, length)
    count, size, plain, more, codec, first, last = HEADER.unpack_from(data)
    heap = data[HEADER.size : HEADER.size + size]
    if len(heap) != size or not 1 <= count <= present or plain > MOST_BYTES or codec >> 4 != TYPES.index("bigint"):
        _damaged("a header that does not fit")
    if plain:
        try:
            heap = zstandard.decompress(heap, max_output_size=plain)
        except zstandard.ZstdError as error:
            _damaged(str(error))
        if len(heap) != plain:
            _damaged("words of another length")
    inner["address"] = address + HEADER.size + size
    inner["length"] = length - HEADER.size - size
    inner["codec"], inner["more"], inner["first"], inner["last"] = codec, more, first, last
    return np.array([numbers.setdefault(word, len(numbers)) for word in _words(heap, count)], np.int32)


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
