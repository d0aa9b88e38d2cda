"""Strings: single values under a key, of any type; numbers count, str and bytes grow.

get and set are compiled (CacheCore in _native/cachetable.pyx), the rest is here. What changes a value and keeps its
time to live is recorded with its result and its expiry, as if it had been set so.
"""

from decimal import Decimal
from typing import Any

from engines.errors import Invalid
from engines.kv.cache.hooks import Containers, Kind, check_keys, total


class Strings(Containers):
    """The commands on single values, over two more hooks."""

    def _peek(self, key: Any) -> tuple[Any, Kind, int] | None:  # noqa: ANN401 - anything with a hash
        """(value, kind, expires) of a key, None if there is none; expires in milliseconds, 0 for never."""
        raise NotImplementedError

    def _write(self, key: Any, value: Any, expires: int) -> None:  # noqa: ANN401 - any object can be cached
        """Record and store a value that expires then. TooLarge if there is no room for it."""
        raise NotImplementedError

    def setnx(self, key: Any, value: Any) -> bool:  # noqa: ANN401 - any object can be cached
        """Store a value only if the key is absent; whether it was stored."""
        with self._lock:
            if self._peek(key) is not None:
                return False
            self._write(key, value, 0)
            return True

    def getset(self, key: Any, value: Any) -> Any:  # noqa: ANN401 - any object can be cached
        """Store a value; the one that stood there, None if there was none. Its time to live is over, as with set."""
        with self._lock:
            old = self._container(key, "string")
            self._write(key, value, 0)
            return old

    def mget(self, *keys: Any) -> list[Any]:  # noqa: ANN401 - anything with a hash
        """The values of these keys, in this order, None where there is none."""
        check_keys(keys)
        with self._lock:
            return [self._container(key, "string") for key in keys]

    def incr(self, key: Any, by: float | Decimal = 1) -> Any:  # noqa: ANN401 - a number, or the text of one
        """Add to a number, 0 where there is none; the sum. It keeps its time to live.

        Text that reads as a number counts as one, and stays text. Invalid, code not-a-number, for other values.
        """
        with self._lock:
            value = self._container(key, "string")
            result = total(0 if value is None else value, by)
            self._write(key, result, self._expiry(key))
            return result

    def decr(self, key: Any, by: float | Decimal = 1) -> Any:  # noqa: ANN401 - same
        """Subtract from a number; otherwise as incr."""
        if isinstance(by, bool) or not isinstance(by, int | float | Decimal):
            raise Invalid(f"by must be a finite number to count with, got {by!r}", code="not-a-number")
        return self.incr(key, -by)

    def append(self, key: Any, text: str | bytes) -> int:  # noqa: ANN401 - anything with a hash
        """Append to a str or bytes, empty where there is none; how long it is now. It keeps its time to live."""
        if not isinstance(text, str | bytes):
            raise Invalid(f"append takes str or bytes, got {type(text).__name__}")
        with self._lock:
            more: Any = text
            found = self._container(key, "string")
            old = more[:0] if found is None else found
            if type(text) is not type(old):
                raise Invalid(f"{key!r} holds {type(old).__name__}: {type(text).__name__} cannot be appended to it")
            result = old + more
            self._write(key, result, self._expiry(key))
            return len(result)

    def strlen(self, key: Any) -> int:  # noqa: ANN401 - anything with a hash
        """How long a str or bytes is, 0 where there is none. Invalid for a value of another type."""
        with self._lock:
            value = self._container(key, "string")
        if value is not None and not isinstance(value, str | bytes):
            raise Invalid(f"{key!r} holds {type(value).__name__}, which has no length in characters or bytes")
        return len(value or "")

    def _expiry(self, key: Any) -> int:  # noqa: ANN401 - anything with a hash
        found = self._peek(key)
        return found[2] if found else 0
