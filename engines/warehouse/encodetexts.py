"""Encoding text: a dictionary where words come back, else lengths and a heap under zstd. See codec.py and blocks.py."""

from typing import Final

import numpy as np
import numpy.typing as npt

from engines._native import encodings
from engines.sql.column import Bytes, Column, Positions, gather_text
from engines.warehouse import codec
from engines.warehouse.codec import Encoding
from engines.warehouse.encodenumbers import Numbers, Payload, numbers

PREFIX: Final = 16  # bytes of text in a zone map
SORTED_WORDS: Final = 4096
Texts = tuple[npt.NDArray[np.int32], Bytes]  # offsets and heap


def encode_text(column: Column, valid: Bytes | None, wanted: str) -> "tuple[Payload, int, bytes, bytes | None, Texts]":
    """The payload, the bytes without any encoding, low, high, and the distinct texts, or all of them."""
    coded = _coded(column, valid, wanted)
    if coded is not None:
        codes, words = coded
        ordered = sorted(words)
        if len(words) <= SORTED_WORDS and words != ordered:
            place = {word: i for i, word in enumerate(ordered)}
            codes, words = np.array([place[word] for word in words], np.int64)[codes], ordered
        lengths = np.array([len(word) for word in words], np.int64)
        heap = b"".join(words)
        parts = [numbers(codes, 0, len(words) - 1), numbers(lengths), codec.pad(heap)]
        used = codes if valid is None else codes[valid.view(bool)]
        raw = int(lengths[used].sum()) + 4 * len(codes)
        payload = Payload(Encoding.BYTEDICT, parts, len(words), compress=len(heap) > 4 * len(parts[0]))
        offsets = np.zeros(len(words) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        return payload, raw, ordered[0][:PREFIX], above(ordered[-1]), (offsets, np.frombuffer(heap, np.uint8))
    offsets, pile = _plain(column, valid)
    first, last = encodings.text_bounds(offsets, pile, valid)
    low, high = (pile[offsets[row] : offsets[row + 1]].tobytes() for row in (first, last))
    parts = [numbers(np.diff(offsets).astype(np.int64)), codec.pad(pile.tobytes())]
    payload = Payload(Encoding.TEXT, parts, compress=wanted not in ("raw", "text"))
    return payload, len(pile) + 4 * (len(offsets) - 1), low[:PREFIX], above(high), (offsets, pile)


def above(text: bytes) -> bytes | None:
    """A bound of at most 16 bytes that is not below the text; None if there is none."""
    if len(text) <= PREFIX:
        return text
    cut = text[:PREFIX].rstrip(b"\xff")
    return cut[:-1] + bytes([cut[-1] + 1]) if cut else None


def _plain(column: Column, valid: Bytes | None) -> "tuple[npt.NDArray[np.int32], Bytes]":
    """Offsets from 0 and heap; nothing under a NULL."""
    if column.words is not None:
        offsets, heap = gather_text(column.words.offsets, column.words.heap, column.data)
    else:
        assert column.heap is not None  # noqa: S101 - for the type checker
        offsets, heap = column.data, column.heap
    if valid is not None:
        rows = len(valid)  # row `rows` is an empty text at the end, for the NULLs
        offsets, heap = gather_text(
            np.append(offsets, offsets[-1:]), heap, np.where(valid, np.arange(rows), rows).astype(np.int32)
        )
    elif offsets[0]:
        heap, offsets = heap[offsets[0] :], offsets - offsets[0]
    return offsets, heap[: offsets[-1]]


def _coded(column: Column, valid: Bytes | None, wanted: str) -> tuple[Numbers, list[bytes]] | None:
    """Codes and words, if the column is worth a dictionary."""
    rows = len(column)
    if wanted not in ("auto", "bytedict", "runlength"):
        return None
    most = 65_536 if wanted != "auto" else max(rows // 4, 1)
    if column.words is not None and len(column.words) <= 65_536:
        counts = np.bincount(
            column.data if valid is None else column.data[valid.view(bool)], minlength=len(column.words)
        )
        used = np.flatnonzero(counts)
        if len(used) > most:
            return None
        place = np.zeros(len(column.words), np.int64)
        place[used] = np.arange(len(used))
        known = column.words.words()
        codes = place[column.data]
        return codes if valid is None else np.where(valid, codes, 0), [known[i] for i in used.tolist()]
    numbered = np.empty(rows, np.uint32)
    offsets, heap = _plain(column, None)
    firsts: Positions = np.empty(min(most, rows), np.int32)
    if rows > 8192 and wanted == "auto":  # a look at the beginning says when it is not worth the whole
        there = None if valid is None else valid[:4096]
        if encodings.number_words(offsets[:4097], heap, there, numbered[:4096], firsts[:3072]) < 0:
            return None
    count = encodings.number_words(offsets, heap, valid, numbered, firsts)
    if count < 1:
        return None
    words = [heap[offsets[row] : offsets[row + 1]].tobytes() for row in firsts[:count].tolist()]
    return numbered.astype(np.int64), words
