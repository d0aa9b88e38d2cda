"""Keyspaces: the ordered maps that a Tree, or a snapshot of one, consists of. Each is a sub-database of LMDB.

    keys      1 to 1,978 bytes, in the order of their bytes
    values    any bytes

Who holds `tree.lock` may read and write; values come as copies (get, page, range) or as views of LMDB's pages (view,
walk), which are valid until the next write. Only range() takes the lock itself, a page of entries at a time, so a long
reader and a writer get on with each other.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, Self

import lmdb

from engines._native.lock import Lock
from engines.errors import Closed, NotFound
from engines.storage.keeper import Gone

LONGEST_KEY = 1978
HOLD_BYTES, HOLD_ENTRIES = 1 << 20, 256  # how much is read under one hold of the lock


class Holder(Protocol):
    """A Tree or a ReadTree: the transaction that its keyspaces live in, and the lock around each use of it."""

    transaction: lmdb.Transaction
    lock: Lock


class Keyspace:
    """One ordered map of bytes to bytes. Hold `tree.lock` around every call but range().

    Compiled code that calls LMDB itself does so with `keyspace.tree.transaction` and `keyspace.db`, both looked up anew
    each time, in this order: after a drop the first raises the reason, and after a rebuild the second is another one.
    """

    __slots__ = ("db", "name", "tree")

    def __init__(self, tree: Holder, name: str, db: Any) -> None:  # noqa: ANN401 - LMDB's handle has no public type
        self.tree, self.name, self.db = tree, name, db

    def get(self, key: bytes) -> bytes | None:
        found = self.tree.transaction.get(key, None, self.db)
        return None if found is None else bytes(found)

    def view(self, key: bytes) -> memoryview | None:
        """The value, not copied: valid until the next write, so use it up before letting go of the lock."""
        return self.tree.transaction.get(key, None, self.db)  # type: ignore[return-value] # buffers=True gives views

    def put(self, key: bytes, value: bytes | memoryview) -> None:
        self.tree.transaction.put(key, value, True, True, False, self.db)  # noqa: FBT003 - dupdata, overwrite, append

    def delete(self, key: bytes) -> bool:
        """Whether there was something to delete."""
        return self.tree.transaction.delete(key, b"", self.db)

    def count(self) -> int:
        return int(self.tree.transaction.stat(self.db)["entries"])

    def first(self) -> tuple[bytes, bytes] | None:
        return next(iter(self.page(limit=1)), None)

    def page(
        self,
        low: bytes | None = None,
        high: bytes | None = None,
        *,
        reverse: bool = False,
        limit: int = HOLD_ENTRIES,
        limit_bytes: int = HOLD_BYTES,
    ) -> list[tuple[bytes, bytes]]:
        """The first entries with low <= key < high in key order (or the last, backwards), until a limit is reached."""
        entries: list[tuple[bytes, bytes]] = []
        size = 0
        for key, value in self.walk(low, high, reverse=reverse):
            if len(entries) >= limit or size >= limit_bytes:
                break
            entries.append((key, bytes(value)))
            size += len(key) + len(value)
        return entries

    def walk(
        self, low: bytes | None = None, high: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, memoryview]]:
        """The entries with low <= key < high. The values are views, valid until the next write: for under the lock."""
        with self.tree.transaction.cursor(self.db) as cursor:
            for view, value in seek(cursor, low, high, reverse=reverse):
                key = bytes(view)
                if (low is not None and key < low) if reverse else (high is not None and key >= high):
                    return
                yield key, value

    def range(
        self, low: bytes | None = None, high: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """The entries with low <= key < high in order, read a page at a time: others may write in between.

        Takes the tree's lock for each page, so do not hold it. An entry that is deleted or added ahead of the reader is
        missing or there, as it is met; use tree.snapshot() for one moment's view.
        """
        while limit is None or limit > 0:
            with self.tree.lock:
                entries = self.page(low, high, reverse=reverse, limit=min(HOLD_ENTRIES, limit or HOLD_ENTRIES))
            if not entries:
                return
            yield from entries
            if limit is not None:
                limit -= len(entries)
            if reverse:
                high = entries[-1][0]
            else:
                low = rest(entries)


def rest(page: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """The low of the page after this one; None after an empty one, which is the last."""
    return page[-1][0] + b"\0" if page else None


def seek(
    cursor: lmdb.Cursor, low: bytes | None, high: bytes | None, *, reverse: bool
) -> Iterator[tuple[memoryview, memoryview]]:
    """The entries from low on, or backwards from below high; the other bound is the caller's to mind."""
    if reverse:
        found = high is not None and cursor.set_range(high)
        begins = cursor.prev() if found else cursor.last()
        return cursor.iterprev() if begins else iter(())  # type: ignore[return-value] # buffers=True gives views
    begins = cursor.set_range(low) if low else cursor.first()
    return cursor.iternext() if begins else iter(())  # type: ignore[return-value] # the same


class ReadTree:
    """The last checkpoint as it was when the snapshot was taken: immutable, for any one thread. A context manager."""

    def __init__(
        self, transaction: lmdb.Transaction, handles: dict[str, Any], closed: Callable[["ReadTree"], None]
    ) -> None:
        self.transaction = transaction
        self.lock = Lock()
        self._closed = closed
        self._handles = handles
        for handle in handles.values():
            transaction.stat(handle)  # looks it up now: a handle that is dropped later still serves this transaction

    def keyspace(self, name: str) -> Keyspace:
        """NotFound if the last checkpoint has no keyspace of this name."""
        if name not in self._handles:
            raise NotFound(f"the last checkpoint has no keyspace {name!r}")
        return Keyspace(self, name, self._handles[name])

    def close(self) -> None:
        if not isinstance(self.transaction, Gone):
            self.transaction.abort()
            self._closed(self)
            self.transaction = Gone(Closed("the snapshot is closed: take another one"))  # type: ignore[assignment] # says so

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
