"""Lists: queues and stacks, in one step a command: producers push on one side, consumers pop on the other.

A list is a collections.deque: both ends in constant time, the middle in time that grows with the distance to the
nearer end. Redis has the same costs from its list of packed chunks, and takes less memory for small elements.

`lmove` takes from one list and gives to another in one step, so that a worker that dies has not lost its job: it still
stands in the list of jobs under way.
"""

from collections import deque
from itertools import islice
from typing import Any, Literal

from engines.errors import Invalid, NotFound
from engines.kv.cache.hooks import Containers, Key, check_some, span, whole

Side = Literal["left", "right"]


class Lists(Containers):
    """The commands on lists. An absent key is an empty list, an empty list an absent key."""

    def lpush(self, key: Key, *values: Any) -> int:  # noqa: ANN401 - any object can be cached
        """Put values on the left, one after the other, so that the last is leftmost; the new length."""
        return self._push("lpush", key, values)

    def rpush(self, key: Key, *values: Any) -> int:  # noqa: ANN401 - any object can be cached
        """Put values on the right, in this order; the new length."""
        return self._push("rpush", key, values)

    def lpop(self, key: Key, count: int | None = None) -> Any:  # noqa: ANN401 - any object can be cached
        """Take the leftmost element, None if there is none; with count, a list of at most so many."""
        return self._pop("lpop", key, count)

    def rpop(self, key: Key, count: int | None = None) -> Any:  # noqa: ANN401 - any object can be cached
        """Take the rightmost element, None if there is none; with count, a list of at most so many, rightmost first."""
        return self._pop("rpop", key, count)

    def lrange(self, key: Key, start: int = 0, stop: int = -1) -> list[Any]:
        """The elements from start to stop, both included; negative positions count from the end."""
        with self._lock:
            elements = self._elements(key)
            chosen = span(start, stop, len(elements))
            return list(islice(elements, chosen.start, max(chosen.start, chosen.stop)))

    def llen(self, key: Key) -> int:
        """The length."""
        with self._lock:
            return len(self._elements(key))

    def lindex(self, key: Key, index: int) -> Any:  # noqa: ANN401 - any object can be cached
        """The element at a position, negative from the end; None outside the list."""
        whole(index, "index")
        with self._lock:
            elements = self._elements(key)
            return elements[index] if -len(elements) <= index < len(elements) else None

    def lset(self, key: Key, index: int, value: Any) -> None:  # noqa: ANN401 - any object can be cached
        """Replace the element at a position. NotFound without a list, Invalid outside of it."""
        whole(index, "index")
        with self._lock:
            elements = self._elements(key)
            if not elements:
                raise NotFound(f"there is no list {key!r}: rpush makes one")
            if not -len(elements) <= index < len(elements):
                raise Invalid(f"index {index} is outside the list {key!r} of {len(elements)} elements")
            self._record("lset", key, index, value)
            elements[index] = value
            self._keep(key, "list", elements)

    def linsert(self, key: Key, where: Literal["before", "after"], pivot: Any, value: Any) -> int:  # noqa: ANN401 - any object can be cached
        """Insert a value next to the leftmost element equal to pivot; the new length, -1 without one, 0 without a list.

        It looks at every element before the pivot.
        """
        if where not in ("before", "after"):
            raise Invalid(f'where must be "before" or "after", got {where!r}')
        with self._lock:
            elements = self._elements(key)
            at = next((at for at, element in enumerate(elements) if element == pivot), -1)
            if at < 0:
                return -1 if elements else 0
            self._record("linsert", key, where, pivot, value)
            elements.insert(at + (where == "after"), value)
            self._keep(key, "list", elements)
            return len(elements)

    def lrem(self, key: Key, count: int, value: Any) -> int:  # noqa: ANN401 - any object can be cached
        """Remove elements equal to value; how many. The leftmost `count`, for -count the rightmost ones, for 0 all."""
        whole(count, "count")
        with self._lock:
            elements = self._elements(key)
            places = [at for at, element in enumerate(elements) if element == value]
            places = places[:count] if count > 0 else places[count:] if count < 0 else places
            if places:
                self._record("lrem", key, count, value)
                gone = set(places)
                kept = [element for at, element in enumerate(elements) if at not in gone]
                elements.clear()
                elements.extend(kept)
                self._keep(key, "list", elements)
            return len(places)

    def ltrim(self, key: Key, start: int, stop: int) -> None:
        """Keep only what lrange(key, start, stop) shows: after each push, a list of the newest thousand."""
        with self._lock:
            elements = self._elements(key)
            chosen = span(start, stop, len(elements))
            if len(chosen) == len(elements):
                return
            self._record("ltrim", key, start, stop)
            if not chosen:
                elements.clear()
            else:
                for _ in range(len(elements) - chosen.stop):
                    elements.pop()
                for _ in range(chosen.start):
                    elements.popleft()
            self._keep(key, "list", elements)

    def lmove(self, source: Key, destination: Key, take: Side = "left", put: Side = "right") -> Any:  # noqa: ANN401 - any object can be cached
        """Take from one side of a list and put on one side of another, or the same; the element, None if none."""
        for side in (take, put):
            if side not in ("left", "right"):
                raise Invalid(f'take and put must be "left" or "right", got {side!r}')
        with self._lock:
            origin = self._elements(source)
            target = origin if destination == source else self._elements(destination)
            if not origin:
                return None
            self._record("lmove", source, destination, take, put)
            element = origin.popleft() if take == "left" else origin.pop()
            if put == "left":
                target.appendleft(element)
            else:
                target.append(element)
            if target is not origin:
                self._keep(source, "list", origin)
            self._keep(destination, "list", target)
            return element

    def _push(self, command: str, key: Key, values: tuple[Any, ...]) -> int:
        check_some("values", values)
        with self._lock:
            elements = self._elements(key)
            self._record(command, key, *values)
            if command == "lpush":
                elements.extendleft(values)
            else:
                elements.extend(values)
            self._keep(key, "list", elements)
            return len(elements)

    def _pop(self, command: str, key: Key, count: int | None) -> Any:  # noqa: ANN401 - any object can be cached
        if count is not None:
            whole(count, "count", 0)
        with self._lock:
            elements = self._elements(key)
            taken = min(len(elements), 1 if count is None else count)
            if not taken:
                return None if count is None else []
            self._record(command, key, taken)
            pop = elements.popleft if command == "lpop" else elements.pop
            popped = [pop() for _ in range(taken)]
            self._keep(key, "list", elements)
            return popped[0] if count is None else popped

    def _elements(self, key: Key) -> deque[Any]:
        found: deque[Any] | None = self._container(key, "list")
        return deque() if found is None else found
