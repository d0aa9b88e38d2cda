"""Cache: values in memory, each with a time to live; the class of Amazon ElastiCache, Redis and Memcached.

    cache = kv.Cache(max_bytes=64 << 20, policy="sieve")
    cache.set("session:7", {"user": "ann"}, ttl=1800)
    cache.get("session:7")                                    # the object itself, not a copy
    cache.zadd("scores", {"ann": 17}); cache.zrank("scores", "ann")

    get, set ──> CacheCore, compiled ──> CacheTable: hash table, order of eviction, timing wheel    cachetable.pyx
    hset, zadd ... ──> types.py ──> _container, _record, _keep      here: the hooks, under the lock
    path ──> journal.py: a log of commands and a snapshot           transaction ──> transaction.py

While a command or a transaction runs, time stands still: what was there at its start is there until its end.

Eviction: "sieve" (the default), "lru", "lfu", "random", "ttl", or "none", which refuses what does not fit (TooLarge,
code OOM). With volatile=True only keys that have a TTL can go. Sizes are estimated when a key is set; a large container
by a sample of its elements. A container that grows beyond the limit is kept, and refused the next time it is to grow.

Where it differs from ElastiCache: values are Python objects and never copied, so a hit costs no decoding, and who
changes one changes it for all. The cache lives in the process that uses it. An expired key is gone at once, for every
reader; on the system's clock "at once" is within 4 ms. Redis evicts LRU by sampling, here it is exact.

Pitfalls: a cache without a limit grows until memory ends: give max_bytes or max_items. `keys` looks at every key: use
`scan` where others wait. What on_evict raises is reported like an exception in a destructor: the command was done.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Literal, Self

from engines import display
from engines._native.cachetable import CacheCore, CacheTable, call_out
from engines.clock import Clock, SystemClock
from engines.display import Report
from engines.errors import Closed, Corrupted, EngineError, Invalid, NotFound, ReadOnly, TooLarge
from engines.kv.cache import journal as cachejournal
from engines.kv.cache.channels import Channel, Publishing, _glob, _text
from engines.kv.cache.commands import WRITES, keys_of
from engines.kv.cache.hooks import Kind, check_keys, whole
from engines.kv.cache.journal import CacheJournal, Command
from engines.kv.cache.sizes import size_of
from engines.kv.cache.snapshot import Entry
from engines.kv.cache.strings import Strings
from engines.kv.cache.transaction import Transaction, Transactions
from engines.kv.cache.types import CacheTypes, container, plain
from engines.storage.files import FileSystem, RealFileSystem
from engines.storage.log import Durability

Policy = Literal["none", "sieve", "lru", "lfu", "random", "ttl"]
TTL = int | float | timedelta

MOST_SECONDS = 10**12
DELETED_TOGETHER = 1_000  # keys in one record, when many go at once
EVERYTHING = 1 << 30  # more places than a table has

# Commands that make nothing larger, or look for room themselves.
_SHRINKING = frozenset(
    {
        *("set", "restore", "delete", "expire", "expire_at", "persist", "clear", "hdel", "lpop", "rpop", "lrem"),
        *("ltrim", "srem", "spop", "zrem", "zpopmin", "zpopmax", "zremrangebyscore", "zremrangebyrank"),
    }
)
_REPLAYED = WRITES | {"clear"}


class Cache(CacheCore, Strings, CacheTypes, Transactions, Publishing):
    """A cache in memory, with a journal if it has a path. Threads may share it; a context manager.

    max_items, max_bytes: how much it holds, no limit if left out. policy, volatile: who is evicted (see above).
    durability: what has happened when a command returns: "commit" it is on disk, "interval" it will be within 50 ms,
    "checkpoint" with the next snapshot. on_evict: called with the key and value of what was evicted, after the command
    that made room, in its thread and without the lock. read_only is refused, unlike a Store's: a reader expires and
    evicts, too; open a copy that save(path) has written.

    Keys are str, bytes or numbers; in memory, anything with a hash. Values are any object; with a path, what
    codec.py can write. Invalid for arguments that make no sense; Locked if another process has the folder open;
    Corrupted, with the place, if its bytes are not as they were written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_bytes: int | None = None,
        max_items: int | None = None,
        policy: Policy = "sieve",
        volatile: bool = False,
        clock: Clock | None = None,
        durability: Durability = "interval",
        read_only: bool = False,
        on_evict: Callable[[Any, Any], object] | None = None,
        files: FileSystem | None = None,
    ) -> None:
        if read_only:
            raise Invalid(
                "a cache is not opened read_only: who reads one also expires and evicts; save(path) of the cache that "
                "has the folder open writes a copy, and Cache(path) opens that"
            )
        if durability not in ("commit", "interval", "checkpoint"):
            raise Invalid(f'durability must be "commit", "interval" or "checkpoint", got {durability!r}')
        if on_evict is not None and not callable(on_evict):
            raise Invalid(f"on_evict is a function of a key and a value, got {on_evict!r}")
        try:
            table = CacheTable(max_items, max_bytes, policy, volatile)
        except (ValueError, TypeError) as error:
            raise Invalid(str(error)) from None
        clock = SystemClock() if clock is None else clock
        super().__init__(table, clock, type(clock) is SystemClock)
        self.path = None if path is None else os.fspath(path)
        self.journal: CacheJournal | None = None
        self._files = files or RealFileSystem()
        self._on_evict = on_evict
        self._sequence = 0  # of the journal, to be acknowledged
        self._snapshots_failed = 0
        self._evicted: list[tuple[Any, Any]] = []
        self._applying = self._following = self._closed_already = False
        self.observed = on_evict is not None
        if self.path is not None:
            self._open(self.path, durability)

    def _open(self, path: str, durability: Durability) -> None:
        journal = CacheJournal.open(self._files, path, self.clock, durability)
        try:
            _check_whole(journal)
            self.apply(journal.replay())
            self._following = False
            self.journal, self.observed = journal, True
            with self._lock:
                self._sweep()
                self._evict()
                self._note_gone()
        except BaseException:
            journal.close()
            raise

    # -- values -------------------------------------------------------------------------------------------------------

    def _set(self, key: Any, value: Any, lifetime: int, nx: bool, xx: bool, keep_ttl: bool) -> bool:  # noqa: ANN401, FBT001, PLR0917 - set calls it
        """What set() does when somebody observes, or on conditions. lifetime in milliseconds, 0 for ever."""
        if nx and xx:
            raise Invalid("nx stores absent keys only, xx present ones only: give one of them")
        if keep_ttl and lifetime:
            raise Invalid("keep_ttl keeps the time to live that the key has: leave out ttl")
        found = self._peek(key) if nx or xx or keep_ttl else None
        if (nx and found) or (xx and not found):
            return False
        expires = self._now() + lifetime if lifetime else found[2] if found and keep_ttl else 0
        self._write(key, value, expires)
        return True

    def _write(self, key: Any, value: Any, expires: int) -> None:  # noqa: ANN401 - any object can be cached
        """Record and store a value that expires then (milliseconds, 0: never)."""
        self._expire_due(key)
        if not self._has_room(key, "string", value):
            raise self._no_room(key, None)
        if expires:
            self._record("restore", key, "string", value, expires * 1000)
        else:
            self._record("set", key, value)
        self._store(key, "string", value, expires)
        self._note_gone()

    def mset(self, mapping: Mapping[Any, Any], *, ttl: TTL | None = None) -> None:
        """Store all of these, seen by others together. TooLarge at the first that finds no room: those before stay."""
        if not isinstance(mapping, Mapping):
            raise Invalid(f"mset takes a mapping of keys to values, got {type(mapping).__name__}")
        with self._lock, self._together():
            for key, value in mapping.items():
                self.set(key, value, ttl=ttl)

    # -- keys ---------------------------------------------------------------------------------------------------------

    def delete(self, *keys: Any) -> int:  # noqa: ANN401 - anything with a hash
        """Remove these keys; how many were there."""
        check_keys(keys)
        with self._lock:
            there = [key for key in dict.fromkeys(keys) if self._peek(key)]
            if there:
                self._record("delete", *there)
                for key in there:
                    self._remove(key)
            return len(there)

    def exists(self, *keys: Any) -> int:  # noqa: ANN401 - same
        """How many of these keys are there; one that is named twice counts twice."""
        check_keys(keys)
        with self._lock:
            return sum(self._peek(key) is not None for key in keys)

    def __contains__(self, key: object) -> bool:
        with self._lock:
            return self._peek(key) is not None

    def type(self, key: Any) -> Kind | None:  # noqa: ANN401 - same
        """What stands at a key: "string" (any value), "hash", "list", "set", "zset"; None if nothing does."""
        with self._lock:
            found = self._peek(key)
            return found[1] if found else None

    def expire(self, key: Any = None, ttl: TTL | None = None) -> bool | int:  # noqa: ANN401 - same
        """Let a key expire in ttl seconds, at once if that is not positive; whether it is there.

        Without arguments: drop all that has expired by now; how many keys that were.
        """
        if ttl is None:
            if key is not None:
                raise Invalid("expire takes a key and its time to live in seconds, or nothing at all")
            with self._lock:
                dropped = 0 if self._following else self._sweep()
                self._note_gone()
                return dropped
        lifetime = self._lifetime(ttl)
        with self._lock:
            return self.expire_at(key, (self._now() + lifetime) * 1000)

    def expire_at(self, key: Any, microseconds: int) -> bool:  # noqa: ANN401 - same
        """Let a key expire at a moment in microseconds since 1970, as clocks have it; whether it is there."""
        whole(microseconds, "microseconds", 0)
        with self._lock:
            if not self._peek(key):
                return False
            if microseconds // 1000 <= self._now():
                return self.delete(key) == 1
            self._record("expire_at", key, microseconds)
            self._set_expiry(key, microseconds // 1000)
            return True

    def persist(self, key: Any) -> bool:  # noqa: ANN401 - same
        """Take a key's time to live away; whether it had one."""
        with self._lock:
            found = self._peek(key)
            if not found or not found[2]:
                return False
            self._record("persist", key)
            self._set_expiry(key, 0)
            return True

    def ttl(self, key: Any) -> float | None:  # noqa: ANN401 - same
        """Seconds until a key expires; None if it never does. NotFound if there is no such key."""
        with self._lock:
            found = self._peek(key)
            if not found:
                raise NotFound(f"there is no key {key!r} in the cache (any more)")
            return (found[2] - self._now()) / 1000 if found[2] else None

    def keys(self, pattern: Channel | None = None) -> list[Any]:
        """All keys, or the str and bytes that match a pattern: * any text, ? one character, [a-z] one of these."""
        return self.scan(0, pattern, count=EVERYTHING)[1]

    def scan(self, cursor: int = 0, pattern: Channel | None = None, *, count: int = 10) -> tuple[int, list[Any]]:
        """Some keys, and the cursor to go on from; 0: that was all. Looks at count places of the table.

        From cursor 0 to cursor 0, every key that was there all the while is given once; others may be.
        """
        whole(cursor, "cursor", 0)
        whole(count, "count", 1)
        if pattern is not None and not isinstance(pattern, str | bytes):
            raise Invalid(f"a pattern is a str or bytes, got {type(pattern).__name__}")
        if cursor >= 1 << 32:
            return 0, []
        with self._lock:
            cursor, found = self.table.scan(cursor, min(count, EVERYTHING), self._now())
        if pattern is None:
            return cursor, found
        matches = _glob(pattern).match
        return cursor, [key for key in found if isinstance(key, str | bytes) and matches(_text(key))]

    def __len__(self) -> int:
        """How many keys there are."""
        with self._lock:
            if self._following:
                return len(self.keys())
            self._sweep()
            self._note_gone()
            return len(self.table)

    def clear(self) -> None:
        """Remove all keys."""
        with self._lock:
            self._record("clear")
            self._remove_all()

    # -- what the cache is doing --------------------------------------------------------------------------------------

    @property
    def max_bytes(self) -> int | None:
        """How many bytes it may hold, as it estimates them; None for no limit."""
        return self.table.max_bytes

    @property
    def max_items(self) -> int | None:
        """How many keys it may hold; None for no limit."""
        return self.table.max_items

    def stats(self) -> display.Table:
        """Sizes and counters, a row each. bytes: estimated, where there is a limit of bytes. hits of all kinds."""
        with self._lock:
            table = self.table
            asked = table.hits + table.misses
            rows: list[tuple[str, Any]] = [
                ("items", len(self)),
                ("max items", table.max_items),
                ("bytes", table.bytes if table.max_bytes is not None else None),
                ("max bytes", table.max_bytes),
                ("hits", table.hits),
                ("misses", table.misses),
                ("hit rate", table.hits / asked if asked else None),
                ("evictions", table.evictions),
                ("expired", table.expired),
            ]
        if self.journal is not None:
            rows += [("log last sequence", self.journal.log.last), ("log syncs", self.journal.log.syncs)]
            rows += [("snapshots failed", self._snapshots_failed)]
        where = self.path or "in memory"
        return display.Table.from_rows(["what", "value"], rows, title=f"kv cache {where}, policy {self.table.policy}")

    def verify(self) -> Report:
        """Read what is on disk; the report names what is not as it was written. Nothing to check without a path."""
        return self.journal.verify() if self.journal is not None else Report(0, [], "bytes")

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Write a snapshot: into its own folder, or into a new one that another Cache can open.

        Invalid without any path; AlreadyExists if a cache is there; ReadOnly if the disk refuses.
        """
        with self._lock:
            if path is not None:
                cachejournal.save(self._files, path, self.clock, self.entries())
            elif self.journal is not None:
                self.journal.snapshot(self.entries())
            else:
                raise Invalid("this cache has no folder of its own: give save() a path")

    def close(self) -> None:
        """End subscriptions, close the journal, let go of everything. Closing twice is harmless."""
        with contextlib.suppress(Closed), self._lock:
            self._shut()
            self._closed_already = True
            self._remove_all()
        self.channels.close()
        if self.journal is not None:
            self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<kv.Cache {self.path or 'in memory'}, {len(self.table)} keys, {self.table.policy}>"

    # -- for the cluster, replicas and snapshots ----------------------------------------------------------------------

    def entry(self, key: Any) -> Entry | None:  # noqa: ANN401 - anything with a hash
        """A key with a copy of its value and its expiry in microseconds, None if there is none."""
        with self._lock:
            found = self._peek(key)
            return Entry(key, found[1], plain(found[1], found[0]), found[2] * 1000 or None) if found else None

    def restore(self, key: Any, kind: Kind, value: Any, expires: int | None) -> None:  # noqa: ANN401 - what `kind` says
        """Store what entry() has given, whatever stood there; expires in microseconds. TooLarge if there is no room."""
        made = container(kind, value)
        at = -(-whole(expires, "expires", 0) // 1000) if expires is not None else 0
        with self._lock:
            self._expire_due(key)
            if not self._has_room(key, kind, value):
                raise self._no_room(key, None)
            self._record("restore", key, kind, plain(kind, made), expires)
            if at and at <= self._now():
                self._remove(key)
            else:
                self._store(key, kind, made, at)
            self._note_gone()

    def entries(self) -> Iterator[Entry]:
        """Every key with its container (not copied), while the lock is held."""
        for key in self.keys():
            found = self._peek(key)
            if found:
                yield Entry(key, found[1], found[0], found[2] * 1000 or None)

    def apply(self, commands: Iterable[Command]) -> None:
        """Run what a journal has recorded: record nothing, evict nothing, and let nothing expire.

        Until the next command of its own a cache that has applied something follows: it drops nothing by itself.
        Corrupted for what no cache has recorded.
        """
        with self._lock:
            if not self.table.timed:
                self._sweep()  # drops nothing, but sets the timing wheel to the present
            self._stop_time()
            self._applying = self._following = self.table.unlimited = self.observed = True
            try:
                for name, arguments in commands:
                    if name not in _REPLAYED:
                        raise Corrupted(f"the journal holds {name!r}, which no cache has recorded: restore a snapshot")
                    getattr(self, name)(*arguments)
            except TypeError as error:
                raise Corrupted(f"the journal holds a command that cannot be run ({error})") from error
            finally:
                self._applying = self.table.unlimited = False

    # -- hooks --------------------------------------------------------------------------------------------------------

    def _keep(self, key: Any, kind: Kind, value: Any) -> None:  # noqa: ANN401 - what `kind` says
        """Store a container after it changed; an empty one deletes the key. Its time to live stays."""
        if not len(value):
            self._remove(key)
            return
        found = self._peek(key)
        self._store(key, kind, value, found[2] if found else 0)
        self._note_gone()

    def _record(self, command: str, *arguments: Any) -> None:  # noqa: ANN401 - whatever can be cached
        """Tell the journal and the watchers of a command, before it changes anything; TooLarge if it must not."""
        if not self._applying:
            if self._following:  # it was promoted
                self._following, self.observed = False, self._is_observed()
            keys = keys_of(command, arguments)
            if self.table.timed:
                self._expire_due(*keys)
            if command not in _SHRINKING and not self._may_grow(keys[command in ("lmove", "smove")]):
                raise self._no_room(keys[0], None)
            if self.journal is not None:
                self._sequence = self.journal.record(command, *arguments)
                self.unsettled = True
        self._changed(command, arguments)

    def _expire_due(self, *keys: Any) -> None:  # noqa: ANN401 - anything with a hash
        """Drop what is due, and these keys if they are, so that the journal has it before what follows."""
        if not self._applying:
            self._sweep()
            for key in keys:
                self._remove(key, if_expired=True)
            self._note_gone()

    def _note_gone(self) -> None:
        """Record what was evicted or has expired, and tell those who want to know."""
        if not self.observed:
            return
        gone = self._gone()
        for at in range(0, len(gone), DELETED_TOGETHER):
            keys = tuple(key for key, _, _ in gone[at : at + DELETED_TOGETHER])
            if self.journal is not None and not self._applying:
                self._sequence = self.journal.record("delete", *keys)
            self._changed("delete", keys)
        if gone:
            self._evicted += [(key, value) for key, value, evicted in gone if evicted]
            self.unsettled = True

    def _settle(self) -> Callable[[], None] | None:
        """Called when the lock is about to be let go: what to do after that."""
        evicted, self._evicted = self._evicted, []
        sequence, self._sequence = self._sequence, 0
        journal = self.journal
        if journal is not None and sequence and journal.due and not self._closed_already:
            try:
                journal.snapshot(self.entries())
            except ReadOnly:  # nothing is lost, the log has it all: no reason to refuse the command that found it due
                self._snapshots_failed += 1
        if not sequence and not (evicted and self._on_evict):
            return None

        def after() -> None:
            if self._on_evict is not None:
                for key, value in evicted:
                    call_out(self._on_evict, key, value)
            if sequence and journal is not None:
                journal.acknowledge(sequence)

        return after

    def _together(self) -> contextlib.AbstractContextManager[None]:
        return self.journal.together() if self.journal is not None else super()._together()

    def _watch(self, transaction: Transaction, keys: tuple[Any, ...]) -> None:
        with self._lock:
            super()._watch(transaction, keys)
            self.observed = True

    def _unwatch(self, transaction: Transaction) -> None:
        with self._lock:
            super()._unwatch(transaction)
            self.observed = self._is_observed()

    def _is_observed(self) -> bool:
        return bool(self._watchers) or self.journal is not None or self._on_evict is not None

    # -- called by CacheCore ------------------------------------------------------------------------------------------

    _size = staticmethod(size_of)

    def _lifetime(self, ttl: Any) -> int:  # noqa: ANN401 - as it was given
        """Milliseconds of a time to live, rounded up; Invalid if it is none."""
        seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not abs(seconds) <= MOST_SECONDS:
            raise Invalid(f"ttl is a number of seconds (up to {MOST_SECONDS:,}) or a timedelta, got {ttl!r}")
        return -int(-seconds * 1000 // 1)

    def _milliseconds(self, ttl: Any) -> int:  # noqa: ANN401 - same
        """What CacheCore does not know how to convert by itself."""
        lifetime = self._lifetime(ttl)
        if lifetime <= 0:
            raise Invalid(f"ttl must be positive, got {ttl!r} (leave it out for no expiry; delete() removes a key)")
        return lifetime

    def _wrong_kind(self, key: Any, found: str, wanted: str) -> EngineError:  # noqa: ANN401 - anything with a hash
        return Invalid(
            f"{key!r} holds a {found}, and this is a command on a {wanted}: delete the key first", code="WRONGTYPE"
        )

    def _no_room(self, key: Any, size: int | None) -> EngineError:  # noqa: ANN401 - same
        table = self.table
        limits = [f"{table.max_items:,} items"] if table.max_items is not None else []
        limits += [f"{table.max_bytes:,} bytes"] if table.max_bytes is not None else []
        what = f"{key!r}" if size is None else f"{key!r} with its value, about {size:,} bytes,"
        return TooLarge(
            f"{what} finds no room in a cache of {' and '.join(limits)}, and policy {table.policy!r} has nobody to "
            "evict for it: delete keys, or raise the limit",
            code="OOM",
            size=size,
            limit=table.max_bytes if table.max_bytes is not None else table.max_items,
        )

    def _closed(self) -> EngineError:
        return Closed("this cache was closed: open it again")


def _check_whole(journal: CacheJournal) -> None:
    if journal.damage is not None:
        raise journal.damage
