"""Hashes: a small dict under one key, so that one field of a session can change without its neighbours.

A hash is a Python dict: fields are unique, and kept in the order in which they came.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from engines.errors import Invalid
from engines.kv.cache.hooks import Containers, Key, Member, check_member, check_some, total


class Hashes(Containers):
    """The commands on hashes. An absent key is an empty hash, an empty hash an absent key."""

    def hset(self, key: Key, mapping: Mapping[Member, Any]) -> int:
        """Set these fields; how many of them are new. Invalid for an empty mapping."""
        if not isinstance(mapping, Mapping):
            raise Invalid(f"hset takes a mapping of fields to values, got {type(mapping).__name__}")
        check_some("fields", mapping)
        for field in mapping:
            check_member(field, "a field")
        with self._lock:
            found = self._container(key, "hash")
            self._record("hset", key, mapping if type(mapping) is dict else dict(mapping))
            fields: dict[Member, Any] = {} if found is None else found
            before = len(fields)
            fields.update(mapping)
            self._keep(key, "hash", fields)
            return len(fields) - before

    def hsetnx(self, key: Key, field: Member, value: Any) -> bool:  # noqa: ANN401 - any object can be cached
        """Set a field that is not there yet; whether it was set."""
        with self._lock:
            if self.hexists(key, field):
                return False
            return self.hset(key, {field: value}) == 1

    def hget(self, key: Key, field: Member, default: Any = None) -> Any:  # noqa: ANN401 - any object can be cached
        """The value of a field, or default."""
        check_member(field, "a field")
        with self._lock:
            return self._fields(key).get(field, default)

    def hmget(self, key: Key, *fields: Member) -> list[Any]:
        """The values of these fields, in this order, None where there is none."""
        check_some("fields", fields)
        for field in fields:
            check_member(field, "a field")
        with self._lock:
            found = self._fields(key)
            return [found.get(field) for field in fields]

    def hgetall(self, key: Key) -> dict[Member, Any]:
        """All fields and values, as a dict of its own."""
        with self._lock:
            return dict(self._fields(key))

    def hdel(self, key: Key, *fields: Member) -> int:
        """Remove these fields; how many were there. With its last field the key goes."""
        check_some("fields", fields)
        for field in fields:
            check_member(field, "a field")
        with self._lock:
            found = self._fields(key)
            gone = [field for field in dict.fromkeys(fields) if field in found]
            if gone:
                self._record("hdel", key, *gone)
                for field in gone:
                    del found[field]
                self._keep(key, "hash", found)
            return len(gone)

    def hexists(self, key: Key, field: Member) -> bool:
        """Whether the hash has this field."""
        check_member(field, "a field")
        with self._lock:
            return field in self._fields(key)

    def hincrby(self, key: Key, field: Member, by: float | Decimal = 1) -> Any:  # noqa: ANN401 - as stored
        """Add to a number in a field, 0 where there is none; the sum. Invalid, code not-a-number, for other values."""
        check_member(field, "a field")
        with self._lock:
            value = total(self._fields(key).get(field, 0), by)
            self.hset(key, {field: value})
            return value

    def hkeys(self, key: Key) -> list[Member]:
        """The fields."""
        with self._lock:
            return list(self._fields(key))

    def hvals(self, key: Key) -> list[Any]:
        """The values, in the order of hkeys."""
        with self._lock:
            return list(self._fields(key).values())

    def hlen(self, key: Key) -> int:
        """How many fields there are."""
        with self._lock:
            return len(self._fields(key))

    def _fields(self, key: Key) -> dict[Member, Any]:
        found: dict[Member, Any] | None = self._container(key, "hash")
        return {} if found is None else found
