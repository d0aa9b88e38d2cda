"""The stored documents of a segment: compressed together, read one by one.

    sources/data      zstd frames, each of documents of about 16 kB together: lengths u32[n], then the documents
    sources/blocks    firsts u32[blocks + 1]: the first document of each frame | offsets u64[blocks + 1] into the data
    sources/words     the dictionary that zstd was trained with, or nothing

Small documents compress badly alone and are read slowly out of large frames; 16 kB are a compromise that costs about
20 us a document. A dictionary trained on other documents helps where frames hold few of them, as in small segments:
the caller brings one; each segment keeps its own copy.

Invariants: get(document) gives the bytes that were put. A frame is decompressed by one call, and no longer than its
documents can be.
"""

from collections.abc import Iterable

import numpy as np
import zstandard

from engines.search.container import Container, ContainerWriter

BLOCK = 16_384  # bytes of documents in a frame, about
LEVEL = 1
MOST = 1 << 30  # bytes of a frame


def train(samples: Iterable[bytes], size: int = 16_384) -> bytes:
    """A dictionary for documents like these; empty where they are too few to learn from."""
    try:
        return zstandard.train_dictionary(size, list(samples), level=LEVEL).as_bytes()
    except zstandard.ZstdError:  # zstd wants more samples than there are
        return b""


def write_sources(writer: ContainerWriter, sources: Iterable[bytes], *, dictionary: bytes = b"") -> None:
    """Write the documents, in order."""
    known = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    compressor = zstandard.ZstdCompressor(level=LEVEL, dict_data=known, write_content_size=True)
    frames: list[bytes] = []
    firsts, offsets = [0], [0]
    block: list[bytes] = []
    size = doc = 0

    def flush() -> None:
        lengths = np.fromiter(map(len, block), "<u4", len(block)).tobytes()
        frames.append(compressor.compress(b"".join((lengths, *block))))
        firsts.append(doc)
        offsets.append(offsets[-1] + len(frames[-1]))

    for source in sources:
        block.append(source)
        size += len(source)
        doc += 1
        if size >= BLOCK:
            flush()
            block, size = [], 0
    if block:
        flush()
    writer.add("sources/data", *frames)
    writer.add("sources/blocks", np.array(offsets, "<u8"), np.array(firsts, "<u4"))
    writer.add("sources/words", dictionary)


class Sources:
    """Reads documents by number."""

    def __init__(self, container: Container) -> None:
        self._container = container
        table = container.bytes("sources/blocks")
        blocks = len(table) // 12
        self._offsets = table[: 8 * blocks].view("<u8")
        self._firsts = table[8 * blocks : 12 * blocks].view("<u4")
        self._data = container.bytes("sources/data")
        words = container.bytes("sources/words").tobytes()
        self._known = zstandard.ZstdCompressionDict(words) if words else None
        self._last: tuple[int, bytes] = (
            -1,
            b"",
        )  # neighbours are often asked for together; one tuple, so threads agree

    def get(self, doc: int) -> bytes:
        """The bytes of one document."""
        block = int(np.searchsorted(self._firsts, doc, "right")) - 1
        known, data = self._last
        if known != block:
            data = self._frame(block)
            self._last = (block, data)
        first, count = int(self._firsts[block]), int(self._firsts[block + 1]) - int(self._firsts[block])
        lengths = np.frombuffer(data, "<u4", count)
        start = 4 * count + int(lengths[: doc - first].sum())
        return data[start : start + int(lengths[doc - first])]

    def _frame(self, block: int) -> bytes:
        if not 0 <= block < len(self._firsts) - 1:
            raise IndexError("there is no such document")
        start, end = int(self._offsets[block]), int(self._offsets[block + 1])
        try:
            if not start <= end <= len(self._data):
                raise zstandard.ZstdError("the offsets do not ascend")  # noqa: TRY301 -- the same answer
            frame = self._data[start:end].tobytes()
            if zstandard.frame_content_size(frame) > MOST:
                raise zstandard.ZstdError("too long")  # noqa: TRY301 -- the same answer
            data = zstandard.ZstdDecompressor(dict_data=self._known).decompress(frame)
        except zstandard.ZstdError as error:
            raise self._container.corrupted(
                f"stored documents of block {block} cannot be read: {error}", start
            ) from error
        if len(data) < 4 * (int(self._firsts[block + 1]) - int(self._firsts[block])):
            raise self._container.corrupted(f"block {block} of stored documents is too short", start)
        return data
