"""The smallest cache that the containers can live in: the hooks over a dict, a journal if it has files, no eviction.

Entries: key -> (kind, container, expires in microseconds or None). A string is a list of one value. Nothing expires by
itself: `expires` is only kept, as the real cache keeps it.
"""

import threading

from engines.clock import ManualClock
from engines.errors import Invalid, TooLarge
from engines.kv.cache.channels import Publishing
from engines.kv.cache.journal import CacheJournal
from engines.kv.cache.snapshot import Entry
from engines.kv.cache.transaction import Transactions
from engines.kv.cache.types import CacheTypes, container, plain


class JournalLock:
    """The model of CacheLock (_native): one thread may take it repeatedly, and letting go of it is acknowledging.

    When the outermost block ends, what was recorded in it is acknowledged, after the lock was let go: so nobody waits
    for a disk with the lock held, and one sync serves all who recorded meanwhile. Poisoned rises from the block's end.
    """

    def __init__(self, journal):
        self._journal = journal
        self._lock = threading.RLock()
        self._depth = 0
        self._before = 0

    def __enter__(self):
        self._lock.acquire()
        if not self._depth:
            self._before = self._journal.log.last
        self._depth += 1
        return self

    def __exit__(self, *_):
        last = self._journal.log.last
        self._depth -= 1
        recorded = not self._depth and last != self._before
        self._lock.release()
        if recorded:
            self._journal.acknowledge(last)


class Standing(CacheTypes, Transactions, Publishing):
    """records: every command recorded. room: how many keys there may be when one is restored."""

    def __init__(self, files=None, clock=None, *, durability="interval", room=1000):
        self._lock = threading.RLock()
        self.clock = clock or ManualClock()
        self.files, self.durability, self.room = files, durability, room
        self.journal = None
        self.reopen()

    def reopen(self):
        self.found, self.records, self.applying = {}, [], False
        if self.files:
            self.journal = CacheJournal.open(self.files, "/cache", self.clock, self.durability, segment=4096)
            self._lock = JournalLock(self.journal)
            self.apply(self.journal.replay())

    # -- the hooks

    def _container(self, key, kind):
        found, value, _ = self.found.get(key, (kind, None, None))
        if found != kind:
            raise Invalid(f"{key!r} is a {found}, not a {kind}", code="WRONGTYPE")
        return value

    def _keep(self, key, kind, value):
        expires = self.found.pop(key, (None, None, None))[2]
        if len(value):
            self.found[key] = kind, value, expires

    def _record(self, command, *arguments):
        if not self.applying:
            if self.journal:
                self.journal.record(command, *arguments)
            self.records.append((command, arguments))
        self._changed(command, arguments)

    def _together(self):
        return self.journal.together() if self.journal else super()._together()

    # -- strings, and what cluster and replica ask for

    def get(self, key):
        found = self._container(key, "string")
        return found[0] if found else None

    def set(self, key, value):
        with self._lock:
            self._record("set", key, value)
            self._keep(key, "string", [value])

    def incr(self, key, by=1):
        with self._lock:
            value = (self.get(key) or 0) + by
            self.set(key, value)
            return value

    def delete(self, *keys):
        with self._lock:
            gone = [key for key in keys if key in self.found]
            if gone:
                self._record("delete", *gone)
                for key in gone:
                    del self.found[key]
            return len(gone)

    def exists(self, *keys):
        return sum(key in self.found for key in keys)

    def keys(self):
        return list(self.found)

    def __len__(self):
        return len(self.found)

    def entries(self):
        return [Entry(key, *rest) for key, rest in self.found.items()]

    def entry(self, key):
        kind, value, expires = self.found.get(key, (None, None, None))
        return Entry(key, kind, plain(kind, value), expires) if kind else None

    def restore(self, key, kind, value, expires):
        with self._lock:
            if key not in self.found and len(self.found) >= self.room:
                raise TooLarge("the cache is full")
            self._record("restore", key, kind, plain(kind, value), expires)
            self.found[key] = kind, container(kind, plain(kind, value)), expires

    def apply(self, commands):
        with self._lock:
            self.applying = True
            for name, arguments in commands:
                getattr(self, name)(*arguments)
            self.applying = False

    def shown(self):
        """Everything, in a form that says whether two caches hold the same."""
        return {
            key: (kind, sorted(map(repr, value)) if kind == "set" else plain(kind, value), expires)
            for key, (kind, value, expires) in self.found.items()
        }

    def close(self):
        if self.journal:
            self.journal.close()
