"""A read replica of a cache: it starts from a copy and follows the primary's journal. More readers, and a spare.

    primary ── record ──> log, on disk ── changes(after position) ──> replica, every 50 ms, or catch_up()

The journal is the replication stream, as the change stream is for tables: a frame is applied whole, so a transaction is
seen whole. Only what is on disk at the primary is sent, so a replica never knows what a restarted primary would not.

Replication is asynchronous: lag() says how many frames a replica is behind, and promote() loses them. A replica that
falls so far behind that the journal was trimmed starts from a fresh copy.

A replica decides nothing: it evicts nothing and expires nothing, until the primary says so. A key whose time has come
is not shown all the same.

Simpler than Redis: replica and primary are in one process; nobody notices a dead primary and promotes by itself.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

from engines.clock import Clock
from engines.errors import Closed, Invalid, ReadOnly, Trimmed
from engines.kv.cache import codec as cachecodec
from engines.kv.cache.commands import READS, WRITES
from engines.kv.cache.journal import CacheJournal, Command
from engines.kv.cache.snapshot import Entry
from engines.kv.cache.types import container, plain
from engines.storage.ticker import Ticker


class Following(Protocol):
    """What a replica asks of a cache, beside its commands: the primary, and the cache it fills itself."""

    clock: Clock
    journal: CacheJournal | None
    _lock: AbstractContextManager[Any]

    def __len__(self) -> int: ...

    def entries(self) -> Iterable[Entry]:
        """Every key with its container (not copied), while the lock is held."""
        ...

    def apply(self, commands: Iterable[Command]) -> None:
        """Run what a journal has recorded, as when it is replayed: record, evict and expire nothing."""
        ...

    def close(self) -> None: ...


class CacheReplica:
    """A cache that reads only, and follows another. A context manager; threads may share it.

    follow: apply what is new every 50 ms in a thread of its own; without it, when catch_up() is called.
    Invalid if the primary has no path, and so no journal to follow.
    """

    def __init__(self, primary: Following, *, follow: bool = True) -> None:
        if primary.journal is None:
            raise Invalid("a replica follows the journal of its primary, which a cache without a path has not")
        self._primary = primary
        self._journal = primary.journal
        self._applying = threading.Lock()
        self._promoted = False
        self._cache: Following
        self._position = 0
        self._copy()
        self._ticker = Ticker(self._tick, "follow a cache")
        if follow:
            self._ticker.start()

    @property
    def position(self) -> int:
        """The last frame of the primary's journal that is applied here."""
        return self._position

    def lag(self) -> int:
        """How many frames the primary has recorded that are not applied here."""
        return self._journal.log.last - self._position

    def catch_up(self) -> int:
        """Apply what the primary has on disk by now; how many frames that was. Closed after promote()."""
        with self._applying:
            if self._promoted:
                raise Closed("this replica was promoted: it follows nobody any more")
            applied = 0
            try:
                for found in self._journal.changes(self._position):
                    self._cache.apply(found.commands)
                    self._position = found.sequence
                    applied += 1
            except Trimmed:
                before = self._position
                self._copy()
                applied = self._position - before
            return applied

    def promote(self) -> Any:  # noqa: ANN401 - a cache, of the primary's class
        """Stop following and hand out the cache, which now takes writes. What was not applied by then is lost: lag().

        The primary is left alone: make sure that nobody writes to it any more, and catch_up() before if it is alive.
        """
        self._ticker.stop()
        with self._applying:
            self._promoted = True
            return self._cache

    def close(self) -> None:
        """Stop following, and close the cache unless it was promoted. Closing twice is harmless."""
        self._ticker.stop()
        if not self._promoted:
            self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._cache)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in WRITES:
            raise ReadOnly(f"{name} on a replica: write to its primary, or promote() it")
        if name not in READS and name not in ("keys", "scan", "stats"):
            raise AttributeError(f"a replica has no command {name!r}")
        found: Callable[..., Any] = getattr(self._cache, name)
        return found

    def _copy(self) -> None:
        """Start from all the primary holds. Through the codec, so that no value is one object in two caches."""
        cache = type(self._primary)(clock=self._primary.clock)  # type: ignore[call-arg]  # a protocol has no constructor
        with self._primary._lock:  # noqa: SLF001 - nothing may change between the position and the entries
            position = self._journal.log.last
            rows = [
                cachecodec.encode([key, kind, plain(kind, value), expires])
                for key, kind, value, expires in self._primary.entries()
            ]
        for row in rows:
            key, kind, value, expires = cachecodec.decode(row, self._journal.path, 0)
            cache.apply([("restore", (key, kind, container(kind, value), expires))])
        self._cache, self._position = cache, position

    def _tick(self) -> None:
        self.catch_up()
