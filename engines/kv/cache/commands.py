"""Which keys a command touches, and whether it changes them: what routes, watches and replicas have to know.

hset(key, ...)                            the first argument, unless the table says otherwise
lmove(source, destination, ...)           the first two
sinter(*keys)                             all
zunionstore(destination, [keys], ...)     the first, and those in the second
mset({key: value, ...})                   those of the mapping; it is made of set()
"""

from collections.abc import Mapping
from typing import Any

from engines.kv.cache.hooks import Key

_ALL = frozenset(
    {
        *("delete", "exists", "mget", "sinter", "sunion", "sdiff", "sinterstore", "sunionstore", "sdiffstore"),
        *("zunion", "zinter"),
    }
)
_TWO = frozenset({"lmove", "smove"})
_LISTED = frozenset({"zunionstore", "zinterstore"})

READS = frozenset(
    {
        *("get", "mget", "strlen", "exists", "ttl", "type"),
        *("hget", "hmget", "hgetall", "hexists", "hkeys", "hvals", "hlen"),
        *("lrange", "llen", "lindex"),
        *("smembers", "sismember", "scard", "srandmember", "sinter", "sunion", "sdiff"),
        *("zscore", "zrank", "zrevrank", "zrange", "zrangebyscore", "zcount", "zcard", "zunion", "zinter"),
    }
)
WRITES = frozenset(
    {
        *("set", "setnx", "getset", "delete", "expire", "expire_at", "persist", "incr", "decr", "append", "restore"),
        *("hset", "hsetnx", "hdel", "hincrby"),
        *("lpush", "rpush", "lpop", "rpop", "lset", "linsert", "lrem", "ltrim", "lmove"),
        *("sadd", "srem", "spop", "smove", "sinterstore", "sunionstore", "sdiffstore"),
        *("zadd", "zincrby", "zrem", "zpopmin", "zpopmax", "zremrangebyscore", "zremrangebyrank"),
        *("zunionstore", "zinterstore"),
    }
)


def keys_of(command: str, arguments: tuple[Any, ...]) -> tuple[Key, ...]:
    """The keys among the arguments of a command."""
    if command in _ALL:
        return arguments
    if command == "mset":
        return tuple(arguments[0]) if arguments and isinstance(arguments[0], Mapping) else ()
    if command in _TWO:
        return arguments[:2]
    if command in _LISTED and len(arguments) > 1 and isinstance(arguments[1], list | tuple):
        return (arguments[0], *arguments[1])
    return arguments[:1]
