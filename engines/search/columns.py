"""Columns of a segment: the values of a field by document, for sorting, aggregating, ranges, doc-value fields.

    values      bit-packed to the least width, relative to the least value; doubles and wide numbers as they are
    presence    a bit for each document that has a value; left out where all have one
    offsets     u32[docs + 1], only where a document may have several values: d has values[offsets[d]:offsets[d + 1]]
    ranges      least and greatest value of each 4,096 documents, so a range query skips most of them

    kind        long (int64: numbers, dates, booleans), double (float64), ordinal (uint32 into the field's dictionary)

A document without a value takes a 0 among the values of a column without offsets, so `values[document]` needs no
indirection. Values are unpacked at their first use and kept: kernels want plain arrays.

Simpler than production: one width for a whole column, no common divisor, no blocks of their own width.

Invariants: what is read is what was written, bit for bit; the arrays are never changed.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines._native import encodings
from engines.errors import Invalid
from engines.search.container import Container, ContainerWriter

KINDS: Final = {"long": "<i8", "double": "<f8", "ordinal": "<u4"}
RANGE: Final = 4096  # documents of one range
RUN: Final = 1024  # values of one run of bit-packing
Bits = npt.NDArray[np.uint64]


def bitset(docs: int, which: npt.NDArray[Any] | None = None) -> Bits:
    """A bit for each document, in words of 64: those of `which` (numbers, or one boolean each) set; None: none."""
    words = (docs + 63) // 64
    if which is None:
        return np.zeros(words, np.uint64)
    if which.dtype == np.bool_:
        flags = which
    else:
        flags = np.zeros(docs, np.bool_)
        flags[which] = True
    packed = np.packbits(flags, bitorder="little")
    return np.concatenate((packed, np.zeros(8 * words - len(packed), np.uint8))).view(np.uint64)


def flags_of(bits: Bits, docs: int) -> npt.NDArray[np.bool_]:
    """One boolean for each document: the inverse of bitset()."""
    return np.unpackbits(bits.view(np.uint8), count=docs, bitorder="little").view(np.bool_)


def bit_count(bits: Bits) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(bits).sum())


@dataclass(frozen=True)
class Column:
    """One column of a segment, see the module's text. Arrays are read-only and not copied where they need not be."""

    container: Container
    name: str
    kind: str
    docs: int
    count: int  # values, with the zeros of documents that have none
    width: int  # bits of a value; 64: not packed
    base: int
    multiple: bool
    missing: bool

    @cached_property
    def values(self) -> npt.NDArray[Any]:
        """int64, float64 or uint32: of each document, or, with offsets, of one document after the other."""
        name, dtype = f"{self.name}/values", KINDS[self.kind]
        if self.width == 64:
            return self.container.array(name, dtype, self.count)
        made = np.full(self.count, self.base, dtype)
        if self.width:
            steps = np.empty(-(-self.count // RUN) * RUN, np.uint32)
            packed = self.container.array(name, "u1", encodings.packed_size(self.count, self.width))
            encodings.unpack(packed, self.width, steps)
            np.add(made, steps[: self.count], out=made, casting="unsafe")
        made.flags.writeable = False
        return made

    @cached_property
    def presence(self) -> Bits | None:
        """The bits of the documents that have a value; None: all have."""
        return self.container.array(f"{self.name}/presence", "<u8", (self.docs + 63) // 64) if self.missing else None

    @cached_property
    def offsets(self) -> npt.NDArray[np.uint32] | None:
        """Where each document's values begin, and where the last ones end; None: each has its place."""
        if not self.multiple:
            return None
        found = self.container.array(f"{self.name}/offsets", "<u4", self.docs + 1)
        if len(found) and (found[0] != 0 or found[-1] != self.count or (found[1:] < found[:-1]).any()):
            raise self.container.corrupted(f"the offsets of column {self.name} do not ascend", 0)
        return found

    @cached_property
    def ranges(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Least and greatest value of each 4,096 documents; greatest < least where none has a value."""
        both = self.container.array(f"{self.name}/ranges", KINDS[self.kind], 2 * -(-self.docs // RANGE))
        return both[: len(both) // 2], both[len(both) // 2 :]

    @cached_property
    def has(self) -> npt.NDArray[np.bool_]:
        """One boolean for each document: whether it has a value."""
        presence = self.presence
        return np.ones(self.docs, np.bool_) if presence is None else flags_of(presence, self.docs)


def write_column(
    writer: ContainerWriter,
    name: str,
    kind: str,
    values: npt.NDArray[Any],
    docs: int,
    *,
    present: npt.NDArray[np.bool_] | None = None,
    offsets: npt.NDArray[Any] | None = None,
) -> dict[str, Any]:
    """Write a column's sections; returns what the directory says about it.

    values: one for each document (0 where present is False), or with offsets[docs + 1] one document's after the other.
    """
    if kind not in KINDS:
        raise Invalid(f"a column is one of {', '.join(KINDS)}, got {kind!r}")
    values = np.ascontiguousarray(values, KINDS[kind])
    if len(values) != (docs if offsets is None else int(offsets[-1])):
        raise ValueError("a column has a value for each document, or as many as its offsets say")
    if offsets is not None:
        present = offsets[1:] > offsets[:-1]
    missing = present is not None and not present.all()
    width, base = _width(values, kind)
    if width == 64:
        writer.add(f"{name}/values", values)
    elif width:
        packed = np.zeros(encodings.packed_size(len(values), width), np.uint8)
        encodings.pack(values.astype(np.int64), base, 0, width, packed)
        writer.add(f"{name}/values", packed)
    if missing and present is not None:
        writer.add(f"{name}/presence", bitset(docs, present))
    if offsets is not None:
        writer.add(f"{name}/offsets", np.ascontiguousarray(offsets, "<u4"))
    writer.add(f"{name}/ranges", _ranges(values, kind, docs, present, offsets))
    return {
        "kind": kind,
        "count": len(values),
        "width": width,
        "base": base,
        "multiple": offsets is not None,
        "missing": bool(missing),
    }


def _width(values: npt.NDArray[Any], kind: str) -> tuple[int, int]:
    """Bits of a value above the least one, and that."""
    if kind == "double":
        return 64, 0
    if not len(values):
        return 0, 0
    least, greatest = int(values.min()), int(values.max())
    width = (greatest - least).bit_length()
    return (64, 0) if width > 32 and kind == "long" else (width, least)


def _ranges(
    values: npt.NDArray[Any],
    kind: str,
    docs: int,
    present: npt.NDArray[np.bool_] | None,
    offsets: npt.NDArray[Any] | None,
) -> npt.NDArray[Any]:
    info: Any = np.finfo(np.float64) if kind == "double" else np.iinfo(values.dtype)
    blocks = -(-docs // RANGE)
    low, high = np.full(blocks, info.max, values.dtype), np.full(blocks, info.min, values.dtype)
    for i in range(blocks):
        first, end = i * RANGE, min(docs, (i + 1) * RANGE)
        if offsets is not None:
            some = values[int(offsets[first]) : int(offsets[end])]
        else:
            some = values[first:end] if present is None else values[first:end][present[first:end]]
        if len(some):
            low[i], high[i] = some.min(), some.max()
    return np.concatenate((low, high))
