"""Digests: what blobs are called. BLAKE2b (RFC 7693) of 256 bits as 64 characters 0-9 and a-f, about 1 GB/s a core."""

import hashlib
import string
from collections.abc import Iterable

HEX = frozenset(string.digits + "abcdef")
Bytes = bytes | bytearray | memoryview


def is_digest(name: str) -> bool:
    """Whether a name has the form of a digest: 64 hex digits in lower case."""
    return len(name) == 64 and HEX.issuperset(name)


def digest_of(parts: Iterable[Bytes]) -> str:
    """The digest of the concatenation of the parts."""
    total = hashlib.blake2b(digest_size=32)
    for part in parts:
        total.update(part)
    return total.hexdigest()


def parts_of(data: Bytes | Iterable[Bytes]) -> list[memoryview]:
    """Bytes, an array, or an iterable of them as plain memory, not copied. TypeError if it is neither."""
    if isinstance(data, str):
        raise TypeError("a blob is made of bytes, not of text: encode it first")
    try:
        views = [memoryview(data)]  # type: ignore[arg-type] # whatever has a buffer: arrays as well
    except TypeError:
        views = [memoryview(part) for part in data]  # type: ignore[arg-type] # the other half of the union
    return [view.cast("B") if view.nbytes else memoryview(b"") for view in views]
