"""Blobs that may wait in memory for their sync, in front of those in the folder.

    put_many ──> waiting, up to room ──flush──> Blobs.put_many: each file synced, each folder once
    get      <── waiting, else the folder

A small transaction so writes its segment, its page and its root with one flush, before HEAD moves. What is larger goes
to the folder at once. Blobs are named by their content: whether one waits or lies on disk, its name is the same.

Who asks for a blob has found its name in a root or a page, so one that is missing or too short is damage: Corrupted.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Final

from engines.errors import Corrupted, Invalid, NotFound
from engines.storage.blobs import Blobs
from engines.storage.digests import digest_of

WAITING_BYTES: Final = 8 << 20


class Stored:
    """See the module's text. Any thread may read; one writer at a time."""

    def __init__(self, blobs: Blobs, room: int = WAITING_BYTES) -> None:
        self.blobs = blobs
        self.room = room
        self._waiting: dict[str, bytes] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def put_many(self, datas: Iterable[Sequence[bytes]]) -> list[str]:
        """Keep blobs, each given in parts; their names. Durable after the next flush()."""
        names, large = [], []
        for parts in datas:
            name, size = digest_of(parts), sum(map(len, parts))
            names.append(name)
            with self._lock:
                if self._bytes + size <= self.room:
                    if name not in self._waiting:
                        self._waiting[name] = b"".join(parts)
                        self._bytes += size
                    continue
            large.append(parts)
        if large:
            self.blobs.put_many(large)
        return names

    def flush(self) -> None:
        """Write what waits, durably. What could not be written waits on."""
        with self._lock:
            waiting = dict(self._waiting)
        self.blobs.put_many(waiting.values())
        with self._lock:
            for name in waiting:
                self._bytes -= len(self._waiting.pop(name, b""))

    @property
    def waiting(self) -> int:
        """Bytes that are not on disk yet."""
        return self._bytes

    def forget(self) -> None:
        """Drop what waits: a transaction was rolled back."""
        with self._lock:
            self._waiting.clear()
            self._bytes = 0

    def get(self, name: str) -> bytes:
        """All of a blob, checked against its name."""
        found = self._waiting.get(name)
        if found is not None:
            return found
        try:
            return self.blobs.get(name)
        except NotFound:
            raise self._gone(name, "it is gone") from None

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Part of a blob; not checked, for blocks have their own checksums."""
        found = self._waiting.get(name)
        if found is not None:
            return found[offset : offset + length]
        try:
            return self.blobs.get_range(name, offset, length)
        except NotFound:
            raise self._gone(name, "it is gone") from None
        except Invalid as error:
            raise self._gone(name, str(error), offset) from error

    def _gone(self, name: str, why: str, offset: int = 0) -> Corrupted:
        return Corrupted(
            f"blob {name} of {self.blobs.path or 'memory'} is damaged: {why}; restore it from a copy of a snapshot",
            file=name,
            offset=offset,
        )
