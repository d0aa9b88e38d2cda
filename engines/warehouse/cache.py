"""The cache of decoded columns, least recently used first out.

Blocks never change, so it needs no invalidation: a column's name is that of its block, (blob, offset). A decoded column
takes about twice the bytes of its block and saves the decoding, which for text under zstd is most of the cost of
reading it. Encoded blocks are not kept besides: the operating system has them in its own cache of files.

Equal dictionaries are one object, whichever blocks they come from: what was computed for its words (ranks, hashes,
translations, the answers of predicates) is then computed once for a table, not once for a block.

Threads share a cache. A lock guards its lists; reading and decoding happen outside it, so two threads may decode
the same block at once: one of the columns is kept.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from engines.sql.column import Column, Dictionary
from engines.sql.source import Scanned
from engines.sql.types import Type
from engines.warehouse.codec import Block
from engines.warehouse.pages import BlockReference, zone

Read = Callable[[str, int, int], bytes]  # blob, offset, length
SHARED_BYTES: Final = 1 << 16  # a larger dictionary is its block's own
SHARED: Final = 4096  # dictionaries


class BlockCache:
    """See the module's text. read gives bytes of a blob; room: bytes in all, 0 = nothing is kept."""

    def __init__(self, read: Read, room: int) -> None:
        self._read = read
        self._room = room
        self._used = 0
        self._columns: OrderedDict[tuple[str, int], tuple[Column, int]] = OrderedDict()
        self._dictionaries: OrderedDict[bytes, Dictionary] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = self.misses = 0

    def column(self, blob: str, reference: BlockReference, type: Type, scanned: Scanned | None = None) -> Column:
        """The decoded column of a block. Corrupted, NotFound as the blob is."""
        if scanned is not None:
            scanned.blocks_decoded += 1
            scanned.bytes_scanned += reference.length
        key = blob, reference.offset
        with self._lock:
            found = self._columns.get(key)
            if found is not None:
                self._columns.move_to_end(key)
                self.hits += 1
                return found[0]
            self.misses += 1
        column = self.block(blob, reference).decode(type, *zone(reference), self._share)
        size = size_of(column)
        with self._lock:
            if size <= self._room and key not in self._columns:
                self._columns[key] = column, size
                self._used += size
                while self._used > self._room:
                    self._used -= self._columns.popitem(last=False)[1][1]
        return column

    def block(self, blob: str, reference: BlockReference) -> Block:
        """The encoded block, its checksum verified."""
        return Block(self._read(blob, reference.offset, reference.length), (blob, reference.offset))

    def _share(self, content: bytes, words: Dictionary) -> Dictionary:
        if len(content) > SHARED_BYTES:
            return words
        with self._lock:
            known = self._dictionaries.setdefault(content, words)
            self._dictionaries.move_to_end(content)
            if len(self._dictionaries) > SHARED:
                self._dictionaries.popitem(last=False)
        return known

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._columns.clear()
            self._used = 0
            self._dictionaries.clear()

    def stats(self) -> dict[str, int]:
        return {
            "cache_hits": self.hits,
            "cache_misses": self.misses,
            "cache_bytes": self._used,
        }


def size_of(column: Column) -> int:
    """Bytes of a column's arrays, and a little for the objects around them."""
    arrays = (column.data, column.valid, column.heap)
    return 300 + sum(array.nbytes * (5 if array.dtype == object else 1) for array in arrays if array is not None)
