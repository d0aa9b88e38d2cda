"""The cache beside the store: what ElastiCache is to DynamoDB. cache.py is where to begin.

cache.py                      Cache: time to live, eviction, limits, persistence        _native/cachetable.pyx
strings hashes lists sets     the commands of each kind of value; hooks.py is what they ask of the cache
sortedsets ranking
journal snapshot codec        what is kept on disk
cluster replica channels      16,384 slots over n caches, a copy that follows, publish and subscribe
transaction                   MULTI and WATCH
"""

from engines.kv.cache.cache import Cache
from engines.kv.cache.cluster import CacheCluster
from engines.kv.cache.replica import CacheReplica

__all__ = ["Cache", "CacheCluster", "CacheReplica"]
