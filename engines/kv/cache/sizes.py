"""How many bytes of memory a key or value takes, estimated in a few steps whatever its size.

    str, bytes, numbers        as Python says (sys.getsizeof); str and bytes are done in _native/cachekeys.pxd
    list, dict, tuple, set     itself, and as many elements as it has of the mean size of the first 5, 4 levels deep
    hash, list, set, zset      the same, and what its parts cost for each element
    any other object           itself: what it refers to is not followed, since others may refer to that too

Redis samples 5 elements as well (MEMORY USAGE). Counting each would make the n-th element added cost n steps.
"""

import sys
from itertools import chain, islice
from typing import Any

from engines.kv.cache.hooks import Kind

SAMPLE = 5
DEPTH = 4
UNKNOWN = 64  # of an object that does not say

# Bytes for each element beside what it refers to: links, places and ranks (types.py says what is what).
_EACH: dict[Kind, int] = {"hash": 50, "list": 10, "set": 90, "zset": 170}


def size_of(value: Any, kind: Kind = "string") -> int:  # noqa: ANN401 - any object can be cached
    """The estimate. What an object's __sizeof__ raises passes through."""
    if kind == "string":
        return _size(value, DEPTH)
    return UNKNOWN + _sampled(value, DEPTH - 1) + len(value) * _EACH[kind]


def _size(value: object, depth: int) -> int:
    size = sys.getsizeof(value, UNKNOWN)
    return size + _sampled(value, depth - 1) if depth and type(value) in _CONTAINERS else size


_CONTAINERS = {list, dict, tuple, set, frozenset}


def _sampled(value: Any, depth: int) -> int:  # noqa: ANN401 - a container
    """What the elements take, as if all were like the first few."""
    sample = islice(value.items() if isinstance(value, dict) else value, SAMPLE)
    sizes = [_size(element, depth) for element in (chain.from_iterable(sample) if isinstance(value, dict) else sample)]
    return sum(sizes) * len(value) // min(len(value), SAMPLE) if sizes else 0
