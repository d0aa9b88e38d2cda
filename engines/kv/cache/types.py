"""The containers of the cache, what they are made of and what they cost, all commands in one class.

    kind     a container is     commands          one element             where
    hash     dict               hset hget ...     1 step                  hashes.py
    list     deque              lpush lpop ...    1 step at the ends      lists.py
    set      Members            sadd spop ...     1 step, also a draw     sets.py
    zset     Ranking            zadd zrank ...    log n, also a rank      sortedsets.py, ranking.py

Meaning is Redis's, types are Python's. Where that differs: counts that find nothing give [], not None; a float is a
score, but a Decimal or int stays one in a counter (hincrby), so there is no hincrbyfloat; zunion and zinter take sorted
sets only; text bounds are as in Redis, numbers may be given as numbers.

Each command is atomic: it runs under the cache's lock, and one record of the journal holds all it did (hooks.py).
Not here: blocking pops, the streams and bit operations of Redis, field expiry.

`plain` and `container` turn a container into values that the journal can write, and back.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from engines.errors import Invalid
from engines.kv.cache.hashes import Hashes
from engines.kv.cache.hooks import Kind
from engines.kv.cache.lists import Lists
from engines.kv.cache.ranking import Ranking
from engines.kv.cache.sets import Members, Sets
from engines.kv.cache.sortedsets import SortedSets

__all__ = ["CacheTypes", "Hashes", "Lists", "Members", "Ranking", "Sets", "SortedSets", "container", "plain"]


class CacheTypes(Hashes, Lists, Sets, SortedSets):
    """All commands on containers; the hooks are the cache's."""


def plain(kind: Kind, value: Any) -> Any:  # noqa: ANN401 - what `kind` says
    """A container as plain values, of its own: a dict, a list, a list of members, a list of [member, score]."""
    if kind == "hash":
        return dict(value)
    if kind == "zset":
        return [list(pair) for pair in value]
    return value if kind == "string" else list(value)


def container(kind: Kind, value: Any) -> Any:  # noqa: ANN401 - what `kind` says
    """The container that plain(kind, container) was made from. Invalid if the value does not fit the kind."""
    if kind not in _MAKERS:
        raise Invalid(f"a kind of the cache is one of {', '.join(_MAKERS)}, got {kind!r}")
    try:
        return _MAKERS[kind](value)
    except (TypeError, ValueError, AttributeError):
        raise Invalid(f"{type(value).__name__} makes no {kind}") from None


_MAKERS: dict[str, Callable[[Any], Any]] = {
    "string": lambda value: value,
    "hash": dict,
    "list": deque,
    "set": Members,
    "zset": Ranking,
}
