r"""A snapshot of the cache: all entries at one position of the log, in one file.

    file     magic "EHCACHE\1" | sequence u64 | time u64 us | blocks u32 | crc32c u32 of the 28 bytes before | blocks
    block    length u32 | crc32c u32 of length and payload | payload: a list of entries, about 64 KB, see codec.py
    entry    [key, kind, expires in us since 1970 or nil, value]           the value as cachetypes.plain gives it

`sequence` is the last frame of the log that the entries include: an opening applies the frames after it. The file is
written beside the old one and renamed, so there is always one whole snapshot; damage to it is named with its offset.

Simpler than Redis, whose child process writes while the parent serves: the cache stands still for as long as encoding
takes, and all of the file is in memory once.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from engines._native.frame import crc32c
from engines.errors import Corrupted
from engines.kv.cache import codec as cachecodec
from engines.kv.cache.hooks import Key, Kind
from engines.kv.cache.types import plain
from engines.storage.files import FileSystem, read_file

MAGIC = b"EHCACHE\1"
BLOCK_BYTES = 1 << 16

_HEADER = struct.Struct("<8sQQI")
_CRC = struct.Struct("<I")
_LENGTH = struct.Struct("<I")
_BLOCK = struct.Struct("<II")


class Entry(NamedTuple):
    """One key with its container, and when it expires: microseconds since 1970, None for never."""

    key: Key
    kind: Kind
    value: Any
    expires: int | None


class Snapshot(NamedTuple):
    """A snapshot as it was read; value of an entry is plain. size: bytes of the file."""

    sequence: int
    time: int
    size: int
    entries: list[Entry]


def encode(entries: Iterable[Entry], sequence: int, time: int) -> bytes:
    """The whole file. Invalid if a value cannot be persisted."""
    blocks = [_block(batch) for batch in _batches(entries)]
    header = _HEADER.pack(MAGIC, sequence, time, len(blocks))
    return b"".join([header, _CRC.pack(crc32c(header)), *blocks])


def _batches(entries: Iterable[Entry]) -> Iterator[list[bytes]]:
    """Encoded entries, about 64 KB together."""
    batch: list[bytes] = []
    size = 0
    for entry in entries:
        batch.append(cachecodec.encode([entry.key, entry.kind, entry.expires, plain(entry.kind, entry.value)]))
        size += len(batch[-1])
        if size >= BLOCK_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _block(batch: list[bytes]) -> bytes:
    payload = cachecodec.join(batch)
    length = _LENGTH.pack(len(payload))
    return length + _CRC.pack(crc32c(length + payload)) + payload


def read(files: FileSystem, path: str) -> Snapshot | None:
    """The snapshot at path, None where there is none. Corrupted, with file and offset, if it is not as written."""
    try:
        data = memoryview(read_file(files, path))
    except FileNotFoundError:
        return None
    start = _HEADER.size + _CRC.size
    if len(data) < start or _CRC.unpack_from(data, _HEADER.size)[0] != crc32c(data[: _HEADER.size]):
        raise _damage(path, 0)
    magic, sequence, time, blocks = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise _damage(path, 0)
    entries: list[Entry] = []
    at = start
    for _ in range(blocks):
        end = at + _BLOCK.size
        length, crc = _BLOCK.unpack_from(data, at) if end <= len(data) else (len(data), 0)
        if length > len(data) - end or crc32c(bytes(data[at : at + 4]) + bytes(data[end : end + length])) != crc:
            raise _damage(path, at)
        entries += [_entry(found, path, at) for found in cachecodec.decode(data[end : end + length], path, at)]
        at = end + length
    if at != len(data):
        raise _damage(path, at)
    return Snapshot(sequence, time, len(data), entries)


def _entry(found: Any, path: str, at: int) -> Entry:  # noqa: ANN401 - whatever was decoded
    match found:
        case [key, ("string" | "hash" | "list" | "set" | "zset") as kind, int() | None as expires, value]:
            return Entry(key, kind, value, expires)
    raise _damage(path, at)


def _damage(path: str, offset: int) -> Corrupted:
    return Corrupted(
        f"{path}: the snapshot is damaged at offset {offset}: put back a copy of it that save() has made, or move the "
        "folder away and begin with an empty cache",
        file=path,
        offset=offset,
    )
