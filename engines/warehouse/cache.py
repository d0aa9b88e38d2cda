"""The block cache: encoded blocks and decoded columns, least recently used first out.

    encoded    a Block: its bytes, whose checksum was held against them when they were read     half of the room
    decoded    a Column: what scans share                                                        the other half

Blocks never change, so a cache needs no invalidation: their name is (blob, offset). A decoded column costs about twice
the bytes of its block and saves the decoding, which for text under zstd is most of the cost of reading it.

Equal dictionaries are one object, whichever blocks they come from: what was computed for its words (ranks, hashes,
translations, the answers of predicates) is then computed once for a table, not once for a block.

Threads share a cache. A lock guards the two lists; reading and decoding happen outside it, so two threads may decode
the same block at once: one of the columns is kept.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from engines.sql.column import Column, Dictionary
from engines.sql.source import Scanned
from engines.sql.types import Type
from engines.warehouse.codec import Block
from engines.warehouse.pages import BlockReference, zone

Read = Callable[[str, int, int], bytes]  # blob, offset, length
SHARED_BYTES: Final = 1 << 16  # a larger dictionary is its block's own
SHARED: Final = 4096  # dictionaries


class _Shelf:
    """Things of a size, the least recently used of which go when there is no room."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.used = 0
        self.things: OrderedDict[tuple[str, int], tuple[Any, int]] = OrderedDict()

    def put(self, key: tuple[str, int], thing: Any, size: int) -> None:  # noqa: ANN401 - Block or Column
        if size > self.room or key in self.things:
            return
        self.things[key] = thing, size
        self.used += size
        while self.used > self.room:
            _, (_, gone) = self.things.popitem(last=False)
            self.used -= gone


class BlockCache:
    """See the module's text. read gives bytes of a blob; room: bytes in all, 0 = nothing is kept."""

    def __init__(self, read: Read, room: int) -> None:
        self._read = read
        self._encoded, self._decoded = _Shelf(room // 2), _Shelf(room - room // 2)
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
            found = self._decoded.things.get(key)
            if found is not None:
                self._decoded.things.move_to_end(key)
                self.hits += 1
                column: Column = found[0]
                return column
        column = self.block(blob, reference).decode(type, *zone(reference), self._share)
        with self._lock:
            self._decoded.put(key, column, size_of(column))
        return column

    def block(self, blob: str, reference: BlockReference) -> Block:
        """The encoded block, its checksum verified."""
        key = blob, reference.offset
        with self._lock:
            found = self._encoded.things.get(key)
            if found is not None:
                self._encoded.things.move_to_end(key)
                self.hits += 1
                block: Block = found[0]
                return block
            self.misses += 1
        block = Block(self._read(blob, reference.offset, reference.length), (blob, reference.offset))
        with self._lock:
            self._encoded.put(key, block, reference.length + 200)
        return block

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
            for shelf in (self._encoded, self._decoded):
                shelf.things.clear()
                shelf.used = 0
            self._dictionaries.clear()

    def stats(self) -> dict[str, int]:
        return {
            "cache_hits": self.hits,
            "cache_misses": self.misses,
            "cache_encoded_bytes": self._encoded.used,
            "cache_decoded_bytes": self._decoded.used,
        }


def size_of(column: Column) -> int:
    """Bytes of a column's arrays, and a little for the objects around them."""
    arrays = (column.data, column.valid, column.heap)
    return 300 + sum(array.nbytes * (5 if array.dtype == object else 1) for array in arrays if array is not None)
