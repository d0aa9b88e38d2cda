"""Caches in memory behind the loops that run inside the clock, each the fastest that its manual allows.

    ADAPTERS[name](capacity, ttl)   an empty cache of so many entries (0: no limit); ttl: seconds each lives, or None
    aside(keys)     get each key, set it on a miss (its own value); how many were hits
    hits(keys)      get each key; how many were there
    fill(keys)      set each key
    expire()        drop what has expired; how many entries are left
    peek(key)       the value of a key, outside the clock

The loops are written out for keyword arguments and for brackets, since a call more would cost as much as a get.
"""

from contextlib import suppress

from engines.kv import Cache

with suppress(ImportError):  # each is optional: systems.py says what is missing, conftest.py skips it
    import cachebox
with suppress(ImportError):
    import cachetools
with suppress(ImportError):
    import lru


class Adapter:
    """What all have in common: get(key) is None on a miss."""

    def hits(self, keys):
        get, found = self.cache.get, 0
        for key in keys:
            if get(key) is not None:
                found += 1
        return found

    def expire(self):
        self.cache.expire()
        return len(self.cache)

    def peek(self, key):
        return self.cache.get(key)


class Called(Adapter):
    """set(key, value), with ttl= where entries have a time to live of their own."""

    def aside(self, keys):
        get, put, ttl, found = self.cache.get, self.put, self.ttl, 0
        if ttl is None:
            for key in keys:
                if get(key) is None:
                    put(key, key)
                else:
                    found += 1
        else:
            for key in keys:
                if get(key) is None:
                    put(key, key, ttl=ttl)
                else:
                    found += 1
        return found

    def fill(self, keys):
        put, ttl = self.put, self.ttl
        if ttl is None:
            for key in keys:
                put(key, key)
        else:
            for key in keys:
                put(key, key, ttl=ttl)


class Bracketed(Adapter):
    """cache[key] = value; a time to live belongs to the whole cache."""

    def aside(self, keys):
        cache, get, found = self.cache, self.cache.get, 0
        for key in keys:
            if get(key) is None:
                cache[key] = key
            else:
                found += 1
        return found

    def fill(self, keys):
        cache = self.cache
        for key in keys:
            cache[key] = key


class Engines(Called):
    policy = "sieve"

    def __init__(self, capacity, ttl):
        self.cache, self.ttl = Cache(max_items=capacity or None, policy=self.policy), ttl
        self.put = self.cache.set


class EnginesLru(Engines):
    policy = "lru"


class EnginesLfu(Engines):
    policy = "lfu"


class Cachebox(Bracketed):
    def __init__(self, capacity, ttl):
        self.cache = cachebox.LRUCache(capacity) if ttl is None else cachebox.TTLCache(capacity, global_ttl=ttl)


class CacheboxLfu(Bracketed):
    def __init__(self, capacity, _):
        self.cache = cachebox.LFUCache(capacity)


class CacheboxEach(Called):
    def __init__(self, capacity, ttl):
        self.cache, self.ttl = cachebox.VTTLCache(capacity), ttl
        self.put = self.cache.insert


class Cachetools(Bracketed):
    def __init__(self, capacity, ttl):
        size = capacity or 1 << 40
        self.cache = cachetools.LRUCache(size) if ttl is None else cachetools.TTLCache(size, ttl)


class LruDict(Bracketed):
    def __init__(self, capacity, _):
        self.cache = lru.LRU(capacity)


ADAPTERS = {
    "engines": Engines,
    "engines, lru": EnginesLru,
    "engines, lfu": EnginesLfu,
    "cachebox": Cachebox,
    "cachebox LFU": CacheboxLfu,
    "cachebox VTTL": CacheboxEach,
    "cachetools": Cachetools,
    "lru-dict": LruDict,
}
