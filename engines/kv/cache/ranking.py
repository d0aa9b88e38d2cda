"""Ranking: members in the order of their scores, with every rank known: what a sorted set is made of.

    entries   member -> its entry: (score, its bytes, rank of its type, member); entries sort as Redis sorts members
    chunks    [[entry, ...], [entry, ...], ...]   each sorted and at most 1,024 long, one after the other
    last      the last entry of each chunk: a bisection in it finds the chunk, one in the chunk the place
    counts    a Fenwick tree of the chunks' lengths (Fenwick, "A New Data Structure for Cumulative Frequency Tables",
              1994): how many entries lie before a chunk, and which chunk holds the n-th, in log(chunks) steps

    counts[i] holds the sum of the i & -i lengths that end with the i-th:     8 |---------------|
                                                                              4 |-------|
    before(7) = counts[7] + counts[6] + counts[4]                             2 |---|   6     |---|
                                                                              1 |-| 3 |-| 5 |-| 7 |-|

Insertion is two bisections and a memmove of at most 8 KB; a chunk that grows too long is halved, one that shrinks below
a quarter joins its neighbour, and only then is `counts` built anew. Redis uses a skip list with counted links: as many
steps, but a pointer chase each. The package sortedcontainers has this very layout; it is not used here because its
bounds are whole entries, where a range by score or by bytes compares one part, and because a reader should see it.

Members of one score are ordered by bytes; "1", b"1" and 1 have the same bytes and are ordered bytes, str, number.

Invariants: chunks put together are sorted(entries); no chunk is empty; before(i) is the sum of the lengths before.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from engines.kv.cache.hooks import Member, order_of

CHUNK = 512  # entries of a chunk that was just halved

Entry = tuple[float, bytes, int, Member]


class Ranking:
    """Members with scores; positions count from the lowest score, from 0. Scores are no NaN."""

    __slots__ = ("_chunks", "_counts", "_entries", "_last")

    def __init__(self, scores: Iterable[tuple[Member, float]] = ()) -> None:
        self._entries = {member: _entry(member, score) for member, score in scores}
        ordered = sorted(self._entries.values())
        self._chunks = [ordered[at : at + CHUNK] for at in range(0, len(ordered), CHUNK)]
        self._rebuild()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, member: object) -> bool:
        return member in self._entries

    def __iter__(self) -> Iterator[tuple[Member, float]]:
        """Members and scores, lowest first."""
        return ((entry[3], entry[0]) for chunk in self._chunks for entry in chunk)

    def score(self, member: Member) -> float | None:
        """The score of a member, None if it is not there."""
        entry = self._entries.get(member)
        return None if entry is None else entry[0]

    def rank(self, member: Member) -> int:
        """The position of a member that is there."""
        return self.place(self._entries[member])

    def set(self, member: Member, score: float) -> None:
        """Give a member, new or not, this score."""
        if member in self._entries:
            member = self._entries[member][3]  # 1.0 is the member 1 that is there, and stays written so
            self.remove(member)
        entry = self._entries[member] = _entry(member, score)
        if not self._chunks:
            self._chunks.append([entry])
            self._rebuild()
            return
        at = min(bisect_left(self._last, entry), len(self._chunks) - 1)
        chunk = self._chunks[at]
        chunk.insert(bisect_left(chunk, entry), entry)
        if len(chunk) > 2 * CHUNK:
            self._chunks[at : at + 1] = [chunk[:CHUNK], chunk[CHUNK:]]
            self._rebuild()
        else:
            self._last[at] = chunk[-1]
            self._count(at, 1)

    def remove(self, member: Member) -> None:
        """Remove a member that is there."""
        entry = self._entries.pop(member)
        at = bisect_left(self._last, entry)
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, entry)]
        if len(chunk) < CHUNK // 4 and len(self._chunks) > 1:
            left = max(at - 1, 0)
            joined = self._chunks[left] + self._chunks[left + 1]
            half = len(joined) if len(joined) <= CHUNK else len(joined) // 2
            self._chunks[left : left + 2] = [part for part in (joined[:half], joined[half:]) if part]
            self._rebuild()
        elif chunk:
            self._last[at] = chunk[-1]
            self._count(at, -1)
        else:
            self._chunks.clear()
            self._rebuild()

    def place(self, value: Any, *, key: Callable[[Entry], Any] | None = None, after: bool = False) -> int:  # noqa: ANN401 - what key gives
        """How many entries have a key below value, or with `after` at most value. key: a part that sorts as they do."""
        find: Callable[..., int] = bisect_right if after else bisect_left
        at = find(self._last, value, key=key)
        if at == len(self._chunks):
            return len(self._entries)
        return self._before(at) + find(self._chunks[at], value, key=key)

    def between(self, start: int, stop: int) -> Iterator[tuple[Member, float]]:
        """Members and scores at the positions start up to, not including, stop."""
        left = stop - start
        if left <= 0:
            return
        at, offset = self._find(start)
        while left > 0 and at < len(self._chunks):
            for entry in islice(self._chunks[at], offset, offset + left):
                yield entry[3], entry[0]
            left -= len(self._chunks[at]) - offset
            at, offset = at + 1, 0

    # -- the Fenwick tree ---------------------------------------------------------------------------------------------

    def _rebuild(self) -> None:
        """After the chunks were cut anew: one pass, as each node hands its sum to the one that contains it."""
        self._last = [chunk[-1] for chunk in self._chunks]
        counts = self._counts = [0, *map(len, self._chunks)]
        for node in range(1, len(counts)):
            if (above := node + (node & -node)) < len(counts):
                counts[above] += counts[node]

    def _count(self, at: int, change: int) -> None:
        node = at + 1
        while node < len(self._counts):
            self._counts[node] += change
            node += node & -node

    def _before(self, at: int) -> int:
        """How many entries lie in the chunks before this one."""
        found = 0
        while at:
            found += self._counts[at]
            at &= at - 1
        return found

    def _find(self, position: int) -> tuple[int, int]:
        """The chunk that holds this position, and the offset in it: descends from the widest node."""
        node, step = 0, 1 << (len(self._chunks).bit_length())
        while step:
            if node + step < len(self._counts) and self._counts[node + step] <= position:
                node += step
                position -= self._counts[node]
            step >>= 1
        return node, position


def _entry(member: Member, score: float) -> Entry:
    kind = 0 if isinstance(member, bytes) else 1 if isinstance(member, str) else 2
    return score, order_of(member), kind, member
