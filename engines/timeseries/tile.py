"""Parts as bytes: a tile's blob, and a section of the journal.

    packed    header 64 | payload | directory
      header     "ETP1" | version u16 | 0 u16 | series, chunks, blocks, bytes of the directory u32 |
                 bytes of the payload, rows u64 | low, high i64 | generation u64
      payload    the bytes of the blocks, series by series, column by column, each beginning at a multiple of 8
      directory  zstd of: series, chunks of each, column of each chunk, blocks of each, then of all blocks
                 how many before it is the block whose bytes it shares (0: it has its own), length, rows, present,
                 codec, flags, spare, more, low, high, total, first, last: each a run of its own, first bytes first

    blob      packed | crc32c of the header, of each 64 KB of the payload, of the directory u32 | footer 32
      footer     table u32 | tile i64 | bytes before the sums u64 | sums u32 | crc32c of sums and footer u32 | "1STE"

The directory of a day of a hundred series and ten measures is 640 KB as the kernels want it. Most of that is summaries:
turned into planes of bytes, zstd makes them small (0.01 to 0.02 bytes a point), because first and last of neighbours,
and the upper bytes of all of them, are alike.

A blob is mapped, never read as a whole: a query touches the pages of the blocks it decodes. Its name is a digest of its
bytes, which is held against them at the first map; the sums then say where the damage is.

Simpler than production: the directory is unpacked whole when a tile is opened (3 ms for that day).

Invariants: unpacked(packed(part)) is that part, payload and all. No offset or length that is read here leads outside
the payload, whatever the bytes are.
"""

import itertools
import struct
from dataclasses import replace
from typing import Any, Final

import google_crc32c
import numpy as np
import numpy.typing as npt
import zstandard

from engines._native import tsmerge
from engines.errors import Corrupted, NotFound
from engines.storage.blobs import Blobs
from engines.timeseries.catalog import Stored
from engines.timeseries.merge import points_of
from engines.timeseries.packing import Unpacked, unzipped
from engines.timeseries.part import BLOCK, BLOCK_TYPE, TIME, Part

MAGIC, VERSION = b"ETP1", 1
END: Final = b"1STE"
HEADER: Final = struct.Struct("<4sHHIIIIQQqqQ")
FOOTER: Final = struct.Struct("<IqQII4s")
PAGE: Final = 1 << 16  # bytes of payload under one sum
MOST: Final = 1 << 30  # series, chunks or blocks, and bytes of a directory
ROUNDED: Final = 8
FIELDS: Final = (
    "length",
    "rows",
    "present",
    "codec",
    "flags",
    "spare",
    "more",
    "low",
    "high",
    "total",
    "first",
    "last",
)
Array = npt.NDArray[Any]


class BadTile(ValueError):
    """Bytes that packed() has not made."""


def packed(part: Part, level: int = 1) -> bytes:
    """A part as bytes. level: of zstd, for the directory."""
    blocks = part.blocks
    shared = _shared(blocks)
    lengths = np.where(shared > 0, 0, blocks["length"]).astype(np.int64)
    rounded = (lengths + ROUNDED - 1) & -ROUNDED
    offsets = np.concatenate(([0], np.cumsum(rounded)))
    payload = np.zeros(int(offsets[-1]), np.uint8)
    tsmerge.gather(np.ascontiguousarray(blocks["address"]), lengths, offsets[:-1], payload)
    directory = _directory(part, shared, level)
    header = HEADER.pack(
        MAGIC,
        VERSION,
        0,
        len(part.series),
        len(part.columns),
        len(blocks),
        len(directory),
        len(payload),
        part.rows,
        part.low,
        part.high,
        part.generation,
    )
    return b"".join((header, payload.data, directory))


def _shared(blocks: Array) -> npt.NDArray[np.uint32]:
    """How many before each is the block that brings its bytes: of a cold chunk several blocks are made."""
    places = np.arange(len(blocks))
    there = np.flatnonzero(blocks["length"] > 0)
    order = there[np.argsort(blocks["address"][there], kind="stable")]
    address, length = blocks["address"][order], blocks["length"][order]
    begins = np.append(True, (address[1:] != address[:-1]) | (length[1:] != length[:-1]))[: len(order)]
    owners = places.copy()
    if len(order):
        owners[order] = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    return (places - owners).astype(np.uint32)


def _directory(part: Part, shared: npt.NDArray[np.uint32], level: int) -> bytes:
    runs: list[Array] = [
        np.diff(part.series, prepend=np.int32(0)).astype(np.int32),
        np.diff(part.starts).astype(np.uint32),
        part.columns,
        np.diff(part.firsts).astype(np.uint32),
        shared,
        *(part.blocks[name] for name in FIELDS),
    ]
    return zstandard.compress(b"".join(map(_planes, runs)), level)


def _planes(array: Array) -> bytes:
    """All first bytes, then all second bytes, and so on."""
    array = np.ascontiguousarray(array)
    return np.ascontiguousarray(array.view(np.uint8).reshape(len(array), array.itemsize).T).tobytes()


def unpacked(view: memoryview, where: str, *, copy: bool = True, tier: str = "memory", blob: str | None = None) -> Part:
    """The part that these bytes are; copy: of the payload, where the view does not stay. Corrupted names `where`."""
    try:
        return _unpacked(view, copy=copy, tier=tier, blob=blob)
    except (BadTile, Unpacked, struct.error) as error:
        raise Corrupted(
            f"{where} does not hold a tile as it was written ({error}): restore a snapshot", file=where, offset=0
        ) from error


def _unpacked(view: memoryview, *, copy: bool, tier: str, blob: str | None) -> Part:
    fields = HEADER.unpack_from(view)
    magic, version, _, series_count, chunk_count, block_count, directory_size, size, rows, low, high, generation = (
        fields
    )
    if magic != MAGIC or version != VERSION:
        raise BadTile(f"it begins with {magic!r}, version {version}")
    if max(series_count, chunk_count, block_count, directory_size) > MOST or HEADER.size + size + directory_size > len(
        view
    ):
        raise BadTile("its header speaks of more than there is")
    source = np.frombuffer(view, np.uint8, size, HEADER.size)
    payload = source.copy() if copy else source
    reader = _Reader(
        view[HEADER.size + size : HEADER.size + size + directory_size], series_count, chunk_count, block_count
    )
    series = np.cumsum(reader.take(np.int32, series_count), dtype=np.int32)
    starts = _places(reader.take(np.uint32, series_count), chunk_count)
    columns = reader.take(np.uint16, chunk_count)
    firsts = _places(reader.take(np.uint32, chunk_count), block_count)
    blocks = np.zeros(block_count, BLOCK_TYPE)
    shared = reader.take(np.uint32, block_count).astype(np.int64)
    for name in FIELDS:
        blocks[name] = reader.take(BLOCK_TYPE[name], block_count)
    _check(series, starts, columns, firsts, blocks)
    owners = np.arange(block_count) - shared
    if block_count and (
        (owners < 0).any() or shared[owners].any() or (blocks["length"] != blocks["length"][owners]).any()
    ):
        raise BadTile("its blocks share bytes of which there are none")
    lengths = np.where(shared > 0, 0, blocks["length"]).astype(np.int64)
    ends = np.cumsum((lengths + ROUNDED - 1) & -ROUNDED)
    if block_count:
        if int(ends[-1]) != size:
            raise BadTile("its blocks are not as long as its payload")
        offsets = ends - ((lengths + ROUNDED - 1) & -ROUNDED)
        blocks["address"] = np.where(blocks["length"] > 0, offsets[owners] + payload.ctypes.data, 0)
    return Part(low, high, rows, generation, series, starts, columns, firsts, blocks, (payload, view), tier, blob)


class _Reader:
    """The runs of a directory, one after the other."""

    def __init__(self, data: memoryview, series: int, chunks: int, blocks: int) -> None:
        width = sum(BLOCK_TYPE[name].itemsize for name in FIELDS)
        expected = 8 * series + 6 * chunks + (4 + width) * blocks
        self._data = unzipped(data, expected)
        self._offset = 0

    def take(self, kind: Any, count: int) -> Array:  # noqa: ANN401 - what numpy takes for a type
        kind = np.dtype(kind)
        planes = np.frombuffer(self._data, np.uint8, count * kind.itemsize, self._offset).reshape(kind.itemsize, count)
        self._offset += count * kind.itemsize
        array: Array = np.ascontiguousarray(planes.T).view(kind).reshape(count)
        return array


def _places(counts: Array, total: int) -> npt.NDArray[np.int64]:
    places = np.concatenate(([0], np.cumsum(counts.astype(np.int64))))
    if int(places[-1]) != total:
        raise BadTile("its counts do not add up")
    return places


def _check(series: Array, starts: Array, columns: Array, firsts: Array, blocks: Array) -> None:
    """That the directory is one: in order, each series with its times, blocks of one series with the same rows."""
    chunks = np.diff(starts)
    if len(series) and ((np.diff(series) <= 0).any() or series[0] < 0 or (chunks < 1).any()):
        raise BadTile("its series are out of order")
    counts = np.diff(firsts)
    if len(columns) and (counts < 1).any():
        raise BadTile("it has a chunk without blocks")
    if (columns[starts[:-1]] != TIME).any() or (
        np.diff(columns.astype(np.int32))[np.setdiff1d(np.arange(1, len(columns)), starts) - 1] <= 0
    ).any():
        raise BadTile("its columns are out of order")
    rows = blocks["rows"]
    if (rows > BLOCK).any() or (rows == 0).any() or (blocks["present"] > rows).any():
        raise BadTile("it has a block of too many rows")
    of_series = np.repeat(np.arange(len(series)), chunks)
    heads = starts[:-1][of_series]
    if (counts != counts[heads]).any():
        raise BadTile("its columns have different numbers of blocks")
    within = np.arange(len(blocks)) - np.repeat(firsts[:-1], counts)
    if (rows != rows[np.repeat(firsts[:-1][heads], counts) + within]).any():
        raise BadTile("its columns have different numbers of rows")


# -- blobs ----------------------------------------------------------------------------------------------------------


def store(blobs: Blobs, part: Part, *, table: int, tile: int, generation: int, tier: str) -> Stored:
    """Put a part into a blob, durably, and what the catalog is to know of it."""
    pieces = write_tile(replace(part, generation=generation), table=table, tile=tile)
    digest = blobs.put(pieces)
    size = sum(map(len, pieces))
    return Stored(tile, generation, digest, size, part.rows, points_of(part), part.low, part.high, tier)


def read(blobs: Blobs, stored: Stored) -> Part:
    """The part in a blob, mapped. Corrupted names file and offset, also where the blob is missing."""
    where = blobs.file(stored.digest)
    try:
        view = blobs.map(stored.digest)
    except NotFound as error:
        raise Corrupted(f"{where} is missing: restore a snapshot", file=where, offset=0, blob=stored.digest) from error
    except Corrupted as error:
        size = blobs.size(stored.digest)
        offset = damage(memoryview(blobs.get_range(stored.digest, 0, size))) or 0
        raise Corrupted(
            f"{where} is damaged at or after byte {offset:,}: restore a snapshot",
            file=where,
            offset=offset,
            blob=stored.digest,
        ) from error
    return open_tile(view, stored.digest, where, tier=stored.tier)


def write_tile(part: Part, *, table: int, tile: int, level: int = 6) -> list[bytes]:
    """A part as the pieces of a blob."""
    body = packed(part, level)
    sums = np.array(_sums(memoryview(body)), "<u4").tobytes()
    footer = FOOTER.pack(table, tile, len(body), len(sums) // 4, 0, END)
    checksum = google_crc32c.value(sums + footer)
    return [body, sums, FOOTER.pack(table, tile, len(body), len(sums) // 4, checksum, END)]


def open_tile(view: memoryview, digest: str, where: str, *, tier: str = "memory") -> Part:
    """The part in a blob, which is mapped and stays so. Corrupted names file and offset."""
    if len(view) < HEADER.size + FOOTER.size or bytes(view[-4:]) != END:
        raise Corrupted(f"{where} is not a tile: restore a snapshot", file=where, offset=0, blob=digest)
    return unpacked(view[: _body_size(view)], where, copy=False, tier=tier, blob=digest)


def damage(view: memoryview) -> int | None:
    """Where a blob is not what was written, as far as its sums can say; None where all of them are right."""
    if len(view) < HEADER.size + FOOTER.size or bytes(view[-4:]) != END:
        return max(len(view) - FOOTER.size, 0)
    size = _body_size(view)
    table, tile, body, count, checksum, _ = FOOTER.unpack(view[-FOOTER.size :])
    sums = bytes(view[size : len(view) - FOOTER.size])
    if body != size or len(sums) != 4 * count:
        return len(view) - FOOTER.size
    if google_crc32c.value(sums + FOOTER.pack(table, tile, body, count, 0, END)) != checksum:
        return size
    found = _sums(view[:size])
    known = np.frombuffer(sums, "<u4").tolist()
    if len(found) != len(known):
        return 0
    places = _places_of_sums(view[:size])
    wrong = [place for place, one, other in zip(places, found, known, strict=True) if one != other]
    return wrong[0] if wrong else None


def _body_size(view: memoryview) -> int:
    count = FOOTER.unpack(view[-FOOTER.size :])[3]
    return max(0, len(view) - FOOTER.size - 4 * int(count))


def _pages(body: memoryview) -> list[tuple[int, int]]:
    """From where to where each sum counts."""
    size = min(int(HEADER.unpack_from(body)[7]), len(body) - HEADER.size)
    end = HEADER.size + size
    inner = list(range(HEADER.size, end, PAGE))
    edges = [0, *inner, end, len(body)]
    return [(low, high) for low, high in itertools.pairwise(edges) if low < high]


def _places_of_sums(body: memoryview) -> list[int]:
    return [low for low, _ in _pages(body)]


def _sums(body: memoryview) -> list[int]:
    return [google_crc32c.value(bytes(body[low:high])) for low, high in _pages(body)]
