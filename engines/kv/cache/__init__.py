"""The cache beside the store: what ElastiCache is to DynamoDB. cache.py is where to begin."""

from engines.kv.cache.cache import Cache

__all__ = ["Cache"]
