"""The containers of the cache as plain Python sees them: dicts, lists and sets, sorted anew for each question.

One dict of key -> container. An empty container is no key. What Redis calls an error is a KeyError here.
"""

import math
from decimal import Decimal

KINDS = {"h": dict, "l": list, "s": set, "z": dict}


def place(pair):
    """How members of a sorted set are ordered: by score, by bytes, then bytes before str before numbers."""
    member, score = pair
    data = member if isinstance(member, bytes) else str(member).encode()
    return score, data, 0 if isinstance(member, bytes) else 1 if isinstance(member, str) else 2


def positions(length, start, stop):
    every = list(range(length))
    start = start if start >= 0 else max(0, start + length)
    return every[start : (stop + 1 if stop >= 0 else max(0, stop + length + 1))]


def number(score):
    return 0.0 if math.isnan(score) else score


class Model:
    """The key's first letter says its kind: h1, l1, s1, z1."""

    def __init__(self):
        self.keys = {}

    def at(self, key):
        return self.keys.get(key) or KINDS[key[0]]()

    def put(self, key, found):
        self.keys.pop(key, None)
        if found:
            self.keys[key] = found
        return len(found)

    def hset(self, key, mapping):
        before = len(self.at(key))
        return self.put(key, self.at(key) | mapping) - before

    def hsetnx(self, key, field, value):
        return field not in self.at(key) and self.hset(key, {field: value}) == 1

    def hget(self, key, field):
        return self.at(key).get(field)

    def hmget(self, key, *fields):
        return [self.hget(key, field) for field in fields]

    def hgetall(self, key):
        return dict(self.at(key))

    def hdel(self, key, *fields):
        before = len(self.at(key))
        return before - self.put(key, {field: value for field, value in self.at(key).items() if field not in fields})

    def hexists(self, key, field):
        return field in self.at(key)

    def hincrby(self, key, field, by):
        value = self.at(key).get(field, 0)
        if isinstance(value, (str, bytes)):
            new = str((Decimal if "." in str(value) else int)(value) + by)
            new = new if isinstance(value, str) else new.encode()
        else:
            new = value + by
        self.hset(key, {field: new})
        return new

    def hkeys(self, key):
        return list(self.at(key))

    def hvals(self, key):
        return list(self.at(key).values())

    def hlen(self, key):
        return len(self.at(key))

    def lpush(self, key, *values):
        return self.put(key, list(values)[::-1] + self.at(key))

    def rpush(self, key, *values):
        return self.put(key, self.at(key) + list(values))

    def lpop(self, key, count=None):
        found = self.at(key)
        self.put(key, found[1 if count is None else count :])
        return (found[0] if found else None) if count is None else found[:count]

    def rpop(self, key, count=None):
        self.put(key, self.at(key)[::-1])
        popped = self.lpop(key, count)
        self.put(key, self.at(key)[::-1])
        return popped

    def lrange(self, key, start, stop):
        found = self.at(key)
        return [found[at] for at in positions(len(found), start, stop)]

    def llen(self, key):
        return len(self.at(key))

    def lindex(self, key, index):
        found = self.at(key)
        return found[index] if -len(found) <= index < len(found) else None

    def lset(self, key, index, value):
        found = list(self.at(key))
        if not -len(found) <= index < len(found):
            raise KeyError(index)
        found[index] = value
        self.put(key, found)

    def linsert(self, key, where, pivot, value):
        found = self.at(key)
        if pivot not in found:
            return -1 if found else 0
        at = found.index(pivot) + (where == "after")
        return self.put(key, [*found[:at], value, *found[at:]])

    def lrem(self, key, count, value):
        found, before = list(self.at(key)), len(self.at(key))
        found.reverse() if count < 0 else None
        for _ in range(abs(count) or before):
            if value in found:
                found.remove(value)
        found.reverse() if count < 0 else None
        return before - self.put(key, found)

    def ltrim(self, key, start, stop):
        self.put(key, self.lrange(key, start, stop))

    def lmove(self, source, destination, take, put):
        if not self.at(source):
            return None
        element = self.lpop(source) if take == "left" else self.rpop(source)
        _ = self.lpush(destination, element) if put == "left" else self.rpush(destination, element)
        return element

    def sadd(self, key, *members):
        before = len(self.at(key))
        return self.put(key, self.at(key) | set(members)) - before

    def srem(self, key, *members):
        before = len(self.at(key))
        return before - self.put(key, self.at(key) - set(members))

    def smembers(self, key):
        return set(self.at(key))

    def sismember(self, key, member):
        return member in self.at(key)

    def scard(self, key):
        return len(self.at(key))

    def smove(self, source, destination, member):
        moved = self.srem(source, member) == 1
        if moved:
            self.sadd(destination, member)
        return moved

    def sinter(self, *keys):
        return set.intersection(*(set(self.at(key)) for key in keys))

    def sunion(self, *keys):
        return set().union(*(self.at(key) for key in keys))

    def sdiff(self, first, *keys):
        return self.at(first) - self.sunion(*keys)

    def sinterstore(self, destination, *keys):
        return self.put(destination, self.sinter(*keys))

    def sunionstore(self, destination, *keys):
        return self.put(destination, self.sunion(*keys))

    def sdiffstore(self, destination, *keys):
        return self.put(destination, self.sdiff(*keys))

    # -- sorted sets: member -> score

    def zadd(self, key, mapping, *, nx=False, xx=False, gt=False, lt=False, ch=False, incr=False):
        found, new, changed, result = dict(self.at(key)), 0, 0, None
        for member, score in mapping.items():
            old = found.get(member)
            wanted = float(score) + (old or 0) if incr else float(score)
            there = old is not None
            if (
                (nx and there)
                or (xx and not there)
                or (gt and there and wanted <= old)
                or (lt and there and wanted >= old)
            ):
                continue
            result, new, changed = wanted, new + (not there), changed + (wanted != old)
            found[member] = wanted
        self.put(key, found)
        return result if incr else changed if ch else new

    def zincrby(self, key, by, member):
        return self.zadd(key, {member: by}, incr=True)

    def zrem(self, key, *members):
        return self.hdel(key, *members)

    def zscore(self, key, member):
        return self.at(key).get(member)

    def zcard(self, key):
        return len(self.at(key))

    def pairs(self, key):
        return sorted(self.at(key).items(), key=place)

    def zrank(self, key, member):
        return next((at for at, pair in enumerate(self.pairs(key)) if pair[0] == member), None)

    def zrevrank(self, key, member):
        return next((at for at, pair in enumerate(self.pairs(key)[::-1]) if pair[0] == member), None)

    def zrange(self, key, start, stop, *, by="index", reverse=False, limit=None, scores=False):
        found = self.pairs(key)[::-1] if reverse else self.pairs(key)
        if by == "index":
            found = [found[at] for at in positions(len(found), start, stop)]
        else:
            low, high = (stop, start) if reverse else (start, stop)
            found = [pair for pair in found if self.within(pair, low, high, by)]
        if limit is not None:
            found = found[limit[0] :][: limit[1] if limit[1] >= 0 else None]
        return found if scores else [member for member, _ in found]

    def within(self, pair, low, high, by):
        if by == "lex":
            data = place(pair)[1]
            return (low == "-" or (low != "+" and self.after(data, low))) and (
                high == "+" or (high != "-" and self.before(data, high))
            )
        return self.after(pair[1], low) and self.before(pair[1], high)

    def after(self, value, bound):
        bare = self.bare(value, bound)
        return value > bare if str(bound).startswith("(") else value >= bare

    def before(self, value, bound):
        bare = self.bare(value, bound)
        return value < bare if str(bound).startswith("(") else value <= bare

    def bare(self, value, bound):
        if isinstance(value, bytes):
            return bound[1:].encode()
        return float(bound[1:]) if str(bound).startswith("(") else float(bound)

    def zrangebyscore(self, key, low, high):
        return self.zrange(key, low, high, by="score")

    def zcount(self, key, low, high):
        return len(self.zrangebyscore(key, low, high))

    def zpopmin(self, key, count=None):
        found = self.pairs(key)[: 1 if count is None else count]
        self.hdel(key, *(member for member, _ in found))
        return (found[0] if found else None) if count is None else found

    def zpopmax(self, key, count=None):
        found = self.pairs(key)[::-1][: 1 if count is None else count]
        self.hdel(key, *(member for member, _ in found))
        return (found[0] if found else None) if count is None else found

    def zremrangebyscore(self, key, low, high):
        return self.hdel(key, *self.zrangebyscore(key, low, high))

    def zremrangebyrank(self, key, start, stop):
        return self.hdel(key, *self.zrange(key, start, stop))

    def zcombine(self, keys, weights, aggregate, *, everywhere):
        how = {"sum": lambda a, b: number(a + b), "min": min, "max": max}[aggregate]
        found = {}
        for key, weight in zip(keys, weights or [1] * len(keys), strict=True):
            for member, score in self.at(key).items():
                weighted = number(score * weight)
                found[member] = how(found[member], weighted) if member in found else weighted
        return {m: score for m, score in found.items() if not everywhere or all(m in self.at(key) for key in keys)}

    def zunion(self, *keys, weights=None, aggregate="sum"):
        found = self.zcombine(keys, weights, aggregate, everywhere=False)
        return sorted(found.items(), key=place)

    def zinter(self, *keys, weights=None, aggregate="sum"):
        found = self.zcombine(keys, weights, aggregate, everywhere=True)
        return sorted(found.items(), key=place)

    def zunionstore(self, destination, keys, weights=None, aggregate="sum"):
        return self.put(destination, self.zcombine(keys, weights, aggregate, everywhere=False))

    def zinterstore(self, destination, keys, weights=None, aggregate="sum"):
        return self.put(destination, self.zcombine(keys, weights, aggregate, everywhere=True))
