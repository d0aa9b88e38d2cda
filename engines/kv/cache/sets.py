"""Sets: members without order, their union, intersection and difference, and a draw in constant time.

    places    member -> its position in `members`
    members   all members, one after the other; a removed one is replaced by the last

Python's set cannot be asked for a random member without walking it; with the list beside the dict a draw is one index.
That costs a pointer more a member. Redis's table samples its own buckets, which is not quite uniform; this draw is.
"""

import random
from collections.abc import Iterable, Iterator
from typing import Literal

from engines.kv.cache.hooks import Containers, Key, Member, check_member, check_some, whole

Algebra = Literal["sinter", "sunion", "sdiff"]


class Members:
    """A set with a draw. Iterates in no promised order."""

    __slots__ = ("_members", "_places")

    def __init__(self, members: Iterable[Member] = ()) -> None:
        self._members = list(dict.fromkeys(members))
        self._places = {member: place for place, member in enumerate(self._members)}

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member: object) -> bool:
        return member in self._places

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def add(self, member: Member) -> None:
        """Add a member that is not there yet."""
        self._places[member] = len(self._members)
        self._members.append(member)

    def discard(self, member: Member) -> None:
        """Remove a member that is there: the last one takes its place."""
        place = self._places.pop(member)
        last = self._members.pop()
        if place < len(self._members):
            self._members[place] = last
            self._places[last] = place

    def draw(self, dice: random.Random, count: int) -> list[Member]:
        """So many different members, at most all."""
        return dice.sample(self._members, min(count, len(self._members)))

    def draw_again(self, dice: random.Random, count: int) -> list[Member]:
        """So many members, each drawn from all: some may come twice."""
        return dice.choices(self._members, k=count) if self._members else []


class Sets(Containers):
    """The commands on sets. An absent key is an empty set, an empty set an absent key."""

    def sadd(self, key: Key, *members: Member) -> int:
        """Add members; how many are new."""
        _check(members)
        with self._lock:
            found = self._set_at(key)
            new = [member for member in dict.fromkeys(members) if member not in found]
            if new:
                self._record("sadd", key, *new)
                for member in new:
                    found.add(member)
                self._keep(key, "set", found)
            return len(new)

    def srem(self, key: Key, *members: Member) -> int:
        """Remove members; how many were there."""
        _check(members)
        with self._lock:
            found = self._set_at(key)
            gone = [member for member in dict.fromkeys(members) if member in found]
            self._sremove(key, found, gone)
            return len(gone)

    def smembers(self, key: Key) -> set[Member]:
        """All members, as a set of its own."""
        with self._lock:
            return set(self._set_at(key))

    def sismember(self, key: Key, member: Member) -> bool:
        """Whether this is a member."""
        check_member(member)
        with self._lock:
            return member in self._set_at(key)

    def scard(self, key: Key) -> int:
        """How many members there are."""
        with self._lock:
            return len(self._set_at(key))

    def spop(self, key: Key, count: int | None = None) -> Member | list[Member] | None:
        """Draw a member and remove it, None if there is none; with count, a list of at most so many."""
        if count is not None:
            whole(count, "count", 0)
        with self._lock:
            found = self._set_at(key)
            drawn = found.draw(self._dice, 1 if count is None else count)
            self._sremove(key, found, drawn)
            if count is None:
                return drawn[0] if drawn else None
            return drawn

    def srandmember(self, key: Key, count: int | None = None) -> Member | list[Member] | None:
        """Draw a member, None if there is none; with count, a list of at most so many; with -count, of exactly so many.

        Those of a positive count are different ones, those of a negative count are drawn each from all.
        """
        if count is not None:
            whole(count, "count")
        with self._lock:
            found = self._set_at(key)
            if count is None:
                drawn = found.draw(self._dice, 1)
                return drawn[0] if drawn else None
            return found.draw(self._dice, count) if count >= 0 else found.draw_again(self._dice, -count)

    def smove(self, source: Key, destination: Key, member: Member) -> bool:
        """Move a member from one set to another, in one step; whether it was there."""
        check_member(member)
        with self._lock:
            origin, target = self._set_at(source), self._set_at(destination)
            if member not in origin:
                return False
            if destination == source:
                return True
            self._record("smove", source, destination, member)
            origin.discard(member)
            self._keep(source, "set", origin)
            if member not in target:
                target.add(member)
            self._keep(destination, "set", target)
            return True

    def sinter(self, *keys: Key) -> set[Member]:
        """The members that all of these sets have."""
        return self._scombine("sinter", keys)

    def sunion(self, *keys: Key) -> set[Member]:
        """The members that any of these sets has."""
        return self._scombine("sunion", keys)

    def sdiff(self, *keys: Key) -> set[Member]:
        """The members of the first set that no other one has."""
        return self._scombine("sdiff", keys)

    def sinterstore(self, destination: Key, *keys: Key) -> int:
        """Make destination the set that sinter(*keys) gives; its size, and 0 removes the key."""
        return self._sstore("sinter", destination, keys)

    def sunionstore(self, destination: Key, *keys: Key) -> int:
        """Make destination the set that sunion(*keys) gives; its size, and 0 removes the key."""
        return self._sstore("sunion", destination, keys)

    def sdiffstore(self, destination: Key, *keys: Key) -> int:
        """Make destination the set that sdiff(*keys) gives; its size, and 0 removes the key."""
        return self._sstore("sdiff", destination, keys)

    def _scombine(self, how: Algebra, keys: tuple[Key, ...]) -> set[Member]:
        check_some("keys", keys)
        with self._lock:
            first, *others = [self._set_at(key) for key in keys]
            if how == "sunion":
                return set(first).union(*others)
            if how == "sdiff":
                return {member for member in first if not any(member in other for other in others)}
            smallest, *others = sorted([first, *others], key=len)  # the fewest questions
            return {member for member in smallest if all(member in other for other in others)}

    def _sstore(self, how: Algebra, destination: Key, keys: tuple[Key, ...]) -> int:
        """Recorded as asked: replayed upon the same sets, it gives the same set."""
        with self._lock:
            result = Members(self._scombine(how, keys))
            self._record(f"{how}store", destination, *keys)
            self._keep(destination, "set", Members())  # what stood there goes, of whatever kind, with its time to live
            self._keep(destination, "set", result)
            return len(result)

    def _sremove(self, key: Key, found: Members, gone: list[Member]) -> None:
        if gone:
            self._record("srem", key, *gone)
            for member in gone:
                found.discard(member)
            self._keep(key, "set", found)

    def _set_at(self, key: Key) -> Members:
        found: Members | None = self._container(key, "set")
        return Members() if found is None else found


def _check(members: tuple[Member, ...]) -> None:
    check_some("members", members)
    for member in members:
        check_member(member)
