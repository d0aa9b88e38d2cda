"""A cluster of caches: 16,384 hash slots shared out among them, as in Redis Cluster; slots move while all go on.

    key ──> the text between { and }, if there is any, else all of it ──> CRC16 (XMODEM) mod 16,384 = slot ──> cache

    slots        0 ... 5461 | 5462 ... 10922 | 10923 ... 16383
    caches       "a"        | "b"            | "c"

There are so many more slots than caches that a new cache can take its share from all, a slot at a time, and a key's
slot never changes. Keys with one hash tag, {user:7}:cart and {user:7}:orders, share a slot: only such keys can be used
together in one command; others are refused, code CROSSSLOT.

A slot that moves, as Redis does it (MIGRATING, IMPORTING, ASK):

    1  the slot is marked: from now on a command takes its keys along to the new cache first, and runs there
    2  the keys that nobody asked for are moved one by one
    3  the slot belongs to the new cache

So a command waits for one key at most, never for a slot. A failure in between (the new cache is full) leaves the slot
marked: nothing is lost, both caches are asked as before, and reshard() again goes on where it stopped.

Simpler than Redis: all caches are in this process, so clients need no map of slots and are never redirected; no node
fails, and none votes. The map is not written down: keep slots() and give it to the next CacheCluster. Commands on one
slot take turns, also while one waits for the disk (durability "commit").
"""

import threading
from binascii import crc_hqx
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from engines.errors import Invalid, NotFound, nearest
from engines.kv.cache.commands import READS, WRITES, keys_of
from engines.kv.cache.hooks import Key, Kind, check_member, order_of
from engines.kv.cache.snapshot import Entry

SLOTS = 16_384
_LOCKS = 1_024


class Node(Protocol):
    """What a cluster asks of a cache, beside the commands on keys."""

    def keys(self) -> Iterable[Key]:
        """All live keys."""
        ...

    def entry(self, key: Key) -> Entry | None:
        """A key with a copy of its value, None if there is none."""
        ...

    def restore(self, key: Key, kind: Kind, value: Any, expires: int | None) -> None:  # noqa: ANN401 - what `kind` says
        """Store what entry() has given."""
        ...

    def delete(self, *keys: Key) -> int: ...


def slot_of(key: Key) -> int:
    """The slot of a key, 0 to 16,383. Invalid if it is no key."""
    check_member(key, "a key")
    data = order_of(key)
    start = data.find(b"{") + 1
    end = data.find(b"}", start) if start else -1
    return crc_hqx(data[start:end] if end > start else data, 0) % SLOTS


class CacheCluster:
    """Caches by name that share out all slots; has the commands of a cache. Threads may share it.

    slots: which slots each cache has, as slots() gave it; evenly if left out. Keys that a cache holds outside of its
    slots are not seen. Transactions: cluster.cache(key).transaction(), on one slot that is not moving.
    """

    def __init__(self, caches: Mapping[str, Node], slots: Mapping[str, Iterable[int]] | None = None) -> None:
        if not caches:
            raise Invalid("a cluster has at least one cache, got none")
        self._caches = dict(caches)
        names = list(self._caches)
        self._owners = [names[slot * len(names) // SLOTS] for slot in range(SLOTS)]
        self._moving: dict[int, str] = {}
        self._locks = [threading.RLock() for _ in range(_LOCKS)]  # of a slot: slot % 1,024
        self._resharding = threading.Lock()
        if slots is not None:
            given = [(slot, name) for name, some in slots.items() for slot in some]
            if sorted(slot for slot, _ in given) != list(range(SLOTS)):
                raise Invalid(f"slots gives every slot from 0 to {SLOTS - 1} to one cache: pass what slots() returned")
            for slot, name in given:
                self._named(name)
                self._owners[slot] = name

    def slots(self) -> dict[str, list[int]]:
        """The slots of each cache; one that is moving is still with its old cache."""
        found: dict[str, list[int]] = {name: [] for name in self._caches}
        for slot, name in enumerate(self._owners):
            found[name].append(slot)
        return found

    def name_of(self, key: Key) -> str:
        """The name of the cache that has the key's slot, or is about to."""
        slot = slot_of(key)
        return self._moving.get(slot, self._owners[slot])

    def cache(self, key: Key) -> Node:
        """The cache that has the key's slot, or is about to."""
        return self._caches[self.name_of(key)]

    def keys(self) -> list[Key]:
        """All keys of all caches."""
        return list({key: None for cache in self._caches.values() for key in cache.keys()})  # noqa: SIM118 - no dict

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in READS and name not in WRITES and name != "mset":
            raise AttributeError(f"a cluster has no command {name!r}; one that takes no keys is a matter of each cache")

        def command(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the command's own
            return self._run(name, arguments, options)

        return command

    def _run(self, command: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:  # noqa: ANN401 - the command's own
        keys = keys_of(command, arguments)
        if not keys:
            raise Invalid(f"{command} needs a key to find its cache by")
        slot = slot_of(keys[0])
        for key in keys[1:]:
            if slot_of(key) != slot:
                raise Invalid(
                    f"{command} uses {keys[0]!r} in slot {slot} and {key!r} in slot {slot_of(key)}: keys that are used "
                    "together need one hash tag, as {user}:a and {user}:b",
                    code="CROSSSLOT",
                )
        with self._locks[slot % _LOCKS]:
            target = self._moving.get(slot)
            if target is not None:
                for key in keys:
                    self._move(key, self._owners[slot], target)
            cache = self._caches[target or self._owners[slot]]
            return getattr(cache, command)(*arguments, **options)

    def reshard(self, slots: Iterable[int], to: str) -> int:
        """Give these slots, with their keys, to another cache, while commands go on; how many keys were moved.

        NotFound for an unknown cache; Invalid for what is no slot, or for one on its way to a third cache. What the
        new cache refuses with (TooLarge) passes through: call it again to go on.
        """
        self._named(to)
        wanted = set(slots)
        if not all(type(slot) is int and 0 <= slot < SLOTS for slot in wanted):
            raise Invalid(f"slots are whole numbers from 0 to {SLOTS - 1}")
        with self._resharding:
            if any(self._moving.get(slot, to) != to for slot in wanted):
                raise Invalid("some of these slots are on their way to another cache: finish that reshard() first")
            wanted = {slot for slot in wanted if self._owners[slot] != to}
            for slot in wanted:
                with self._locks[slot % _LOCKS]:
                    self._moving[slot] = to
            moved = 0
            for source in {self._owners[slot] for slot in wanted}:
                for key in list(self._caches[source].keys()):  # new keys of these slots are made in the new cache
                    if (slot := slot_of(key)) in wanted and self._owners[slot] == source:
                        with self._locks[slot % _LOCKS]:
                            moved += self._move(key, source, to)
            for slot in wanted:
                with self._locks[slot % _LOCKS]:
                    self._owners[slot] = to
                    del self._moving[slot]
            return moved

    def _move(self, key: Key, source: str, target: str) -> bool:
        """Under the slot's lock: first there, then away, so that a failure loses nothing."""
        entry = self._caches[source].entry(key)
        if entry is None:
            return False
        self._caches[target].restore(*entry)
        self._caches[source].delete(key)
        return True

    def _named(self, name: str) -> None:
        if name not in self._caches:
            raise NotFound(f"there is no cache {name!r} in this cluster{nearest(name, self._caches)}")
