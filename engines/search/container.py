"""The bytes of a segment: named sections, a directory, a footer. Knows nothing of what is in the sections.

    "EHSEG001" | section | section | ... | directory | footer        each section begins at a multiple of 64 bytes
    directory    JSON: {"sections": {name: [offset, length, crc32c]}, ...what the caller adds}
    footer       directory offset u64 | its length u32 | its crc32c u32 | documents u32 | format u32 | magic u64

A section's sum is checked when the section is first asked for, so opening a segment reads its last page only.

Invariants: a flipped byte is found before it is used; sections lie inside of the bytes, one after the other.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any, Final

import google_crc32c
import numpy as np
import numpy.typing as npt

from engines.errors import Corrupted

Bytes = bytes | memoryview | npt.NDArray[Any]


MAGIC: Final = b"EHSEG001"
FORMAT: Final = 1
ALIGN: Final = 64
CHUNK: Final = 1 << 20
FOOTER: Final = struct.Struct("<QIIII8s")


def crc_of(data: Bytes) -> int:
    """The CRC-32C of some bytes."""
    if isinstance(data, bytes):
        return int(google_crc32c.value(data))
    view, crc = _view(data), 0
    for start in range(0, len(view), CHUNK):  # google_crc32c takes nothing but bytes
        crc = int(google_crc32c.extend(crc, view[start : start + CHUNK].tobytes()))
    return crc


def _view(data: Bytes) -> memoryview:
    if isinstance(data, np.ndarray):
        data = memoryview(np.ascontiguousarray(data).view(np.uint8).data)
    return memoryview(data).cast("B") if len(data) > 0 else memoryview(b"")


class ContainerWriter:
    """Collects sections. add(), then finish()."""

    def __init__(self) -> None:
        self._parts: list[Bytes] = [MAGIC]
        self._size = len(MAGIC)
        self._sections: dict[str, tuple[int, int, int]] = {}

    def add(self, name: str, *parts: Bytes) -> None:
        """A section from one or more parts, which are not copied. A name can be given once."""
        if name in self._sections:
            raise ValueError(f"there is a section {name} already")
        padding = -self._size % ALIGN
        self._parts.append(bytes(padding))
        self._size += padding
        start, crc = self._size, 0
        for part in parts:
            data = _view(part)
            for at in range(0, len(data), CHUNK):
                crc = int(google_crc32c.extend(crc, data[at : at + CHUNK].tobytes()))
            self._parts.append(data)
            self._size += len(data)
        self._sections[name] = (start, self._size - start, crc)

    def finish(self, docs: int, about: Mapping[str, Any]) -> list[Bytes]:
        """All parts of the container in order; about: what else the directory says."""
        directory = json.dumps({"sections": self._sections, **about}, separators=(",", ":")).encode()
        footer = FOOTER.pack(self._size, len(directory), crc_of(directory), docs, FORMAT, MAGIC)
        return [*self._parts, directory, footer]


class Container:
    """Reads sections out of bytes that are not copied. Corrupted, if these bytes are no whole container."""

    def __init__(self, data: Bytes, name: str = "segment") -> None:
        self.name = name
        self.data = np.frombuffer(data, np.uint8)
        if self.data.ctypes.data % 8:  # numbers are read where they lie
            self.data = self.data.copy()
        size = len(self.data)
        if size < len(MAGIC) + FOOTER.size:
            raise self.corrupted("it is too short", 0)
        start, length, crc, docs, version, magic = FOOTER.unpack(self.data[size - FOOTER.size :].tobytes())
        if magic != MAGIC or self.data[: len(MAGIC)].tobytes() != MAGIC:
            raise self.corrupted("it does not begin and end as a segment does", size - FOOTER.size)
        if version != FORMAT:
            raise self.corrupted(f"it has format {version}, this program reads format {FORMAT}", size - FOOTER.size)
        if start + length != size - FOOTER.size:
            raise self.corrupted("its directory lies elsewhere than the footer says", size - FOOTER.size)
        directory = self.data[start : start + length].tobytes()
        if crc_of(directory) != crc:
            raise self.corrupted("its directory does not have the sum that was written", start)
        self.docs: int = docs
        self.about: dict[str, Any] = json.loads(directory)
        self._checked: set[str] = set()
        self._sections: dict[str, list[int]] = self.about["sections"]
        for section, (offset, extent, _) in self._sections.items():
            if offset < 0 or extent < 0 or offset % ALIGN or offset + extent > start:
                raise self.corrupted(f"its section {section} lies outside of it", start)

    def corrupted(self, what: str, offset: int) -> Corrupted:
        """An error about this container."""
        return Corrupted(f"{self.name} is damaged: {what}; restore it from a snapshot", file=self.name, offset=offset)

    @property
    def sections(self) -> dict[str, tuple[int, int]]:
        """Offset and length by name."""
        return {name: (offset, length) for name, (offset, length, _) in self._sections.items()}

    def has(self, name: str) -> bool:
        """Whether there is a section of this name."""
        return name in self._sections

    def place(self, name: str) -> tuple[int, int]:
        """Offset and length of a section, whose sum is right. Corrupted if it is not, or if it is not there."""
        if name not in self._sections:
            raise self.corrupted(f"it has no section {name}", 0)
        offset, length, crc = self._sections[name]
        if name not in self._checked:
            if crc_of(self.data[offset : offset + length]) != crc:
                raise self.corrupted(f"section {name} does not have the sum that was written", offset)
            self._checked.add(name)
        return offset, length

    def bytes(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a section, not copied."""
        offset, length = self.place(name)
        return self.data[offset : offset + length]

    def array(self, name: str, dtype: str, count: int) -> npt.NDArray[Any]:
        """The section as so many numbers, not copied. Corrupted if it has another length."""
        data = self.bytes(name)
        if len(data) != count * np.dtype(dtype).itemsize:
            raise self.corrupted(f"section {name} has {len(data)} bytes, not {count} numbers", self.place(name)[0])
        return data.view(dtype)
