"""Text columns in Python's hands: plain form, joining, comparing, hashing; values in and out. Kernels: `strings.pyx`.

    coded   codes and a Dictionary      what blocks give; kept as long as possible
    plain   offsets and a heap          what functions make, and what a result shows

A function that makes text takes plain columns: `plain(column)` gives it. Where a column is coded its caller has already
called the function for the dictionary's words instead, so `plain` costs something only where codes meet other columns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from engines._native import strings
from engines.sql.column import Bytes, Column, Positions, gather_text
from engines.sql.types import VARCHAR, Type

TESTS: Final = {"=": 0, "<>": 1, "<": 2, "<=": 3, ">": 4, ">=": 5}


def plain(column: Column) -> Column:
    """The column as offsets and heap. Constants stay constants."""
    if column.words is None:
        return column
    offsets, heap = gather_text(column.words.offsets, column.words.heap, column.data)
    return replace(column, data=offsets, heap=heap, words=None)


def parts_of(column: Column) -> tuple[Positions, Bytes]:
    """Offsets and heap of a text column, coded or plain."""
    made = plain(column)
    assert made.heap is not None, "not a text column"  # noqa: S101 - for the type checker
    return made.data, made.heap


def from_words(words: Sequence[bytes | None], type: Type = VARCHAR, *, constant: bool = False) -> Column:
    """A plain column of these values; None is NULL."""
    missing = any(word is None for word in words)
    valid = np.array([word is not None for word in words], np.uint8) if missing else None
    texts = [word or b"" for word in words] if missing else list(words)
    offsets = np.zeros(len(words) + 1, np.int32)
    np.cumsum([len(text) for text in texts if text is not None], out=offsets[1:])
    heap = np.frombuffer(b"".join(text for text in texts if text is not None), np.uint8)
    return Column(type, offsets, valid=valid, heap=heap, constant=constant)


def to_words(column: Column) -> list[bytes]:
    """The values as Python's bytes; what stands under a NULL too."""
    if column.words is not None:
        words = column.words.words()
        return [words[code] for code in column.data.tolist()]
    offsets, heap = parts_of(column)
    cuts, data = offsets.tolist(), heap.tobytes()
    return [data[cuts[i] : cuts[i + 1]] for i in range(len(cuts) - 1)]


def concatenate(columns: Iterable[Column]) -> tuple[Positions, Bytes]:
    """The values of all the columns, one column after the other, as one plain one. No constants.

    OverflowError over 2 GB.
    """
    pieces = [parts_of(column) for column in columns]
    sizes = [int(offsets[-1] - offsets[0]) for offsets, _ in pieces]
    if sum(sizes) >= 2**31:
        raise OverflowError("more than 2 GB of text in one column")
    made = np.zeros(sum(len(offsets) - 1 for offsets, _ in pieces) + 1, np.int32)
    row = size = 0
    for (offsets, _), length in zip(pieces, sizes, strict=True):
        np.add(offsets[1:], size - int(offsets[0]), out=made[row + 1 : row + len(offsets)], casting="same_kind")
        row += len(offsets) - 1
        size += length
    heaps = [heap[offsets[0] : offsets[-1]] for offsets, heap in pieces]
    return made, np.concatenate(heaps) if heaps else np.zeros(0, np.uint8)


def compare(test: Literal["=", "<>", "<", "<=", ">", ">="], left: Column, right: Column, rows: int) -> Bytes:
    """1 where the left value passes the test against the right one, bytewise. Constants stand for every row."""
    out = np.empty(rows, np.uint8)
    strings.compare(*parts_of(left), *parts_of(right), TESTS[test], out)
    return out


def hashes(column: Column) -> npt.NDArray[np.uint64]:
    """64 bits of each value, equal for equal text whatever its form; a dictionary's are made once."""
    if column.words is not None:
        kept = column.words.kept
        if "hashes" not in kept:
            kept["hashes"] = np.empty(len(column.words), np.uint64)
            strings.hash_values(column.words.offsets, column.words.heap, kept["hashes"])
        found: npt.NDArray[np.uint64] = kept["hashes"][column.data]
        return found
    offsets, heap = parts_of(column)
    made = np.empty(len(offsets) - 1, np.uint64)
    strings.hash_values(offsets, heap, made)
    return made


def cut_out(begins: Positions, heap: Bytes, made: Positions, type: Type) -> Column:
    """The column of the pieces of a heap that begin there; made: their offsets in the new heap."""
    out = np.empty(int(made[-1]), np.uint8)
    strings.copy_pieces(begins, heap, made, out)
    return Column(type, made, heap=out)
