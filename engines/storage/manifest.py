"""Manifest: a blob that lists blobs. The present, a snapshot, an export are each the digest of one.

    MessagePack map, keys sorted    items     [[digest, bytes, statistics...], ...]
                                    kind      what the items are, in the engine's words: "segments", "pages"
                                    parent    digest of the manifest that this one replaced, or nil
                                    sequence  the position in the log that it stands for
                                    time      when it was made, microseconds since 1970 UTC

Statistics are whatever lets a reader skip an item without opening it: rows, smallest, largest. Keys are sorted at every
depth, so equal content has equal bytes and an equal name: a snapshot of an unchanged engine is the same manifest.

The parent is a remark, not a reference: gc does not follow it, or nothing would ever be garbage. A ref keeps a moment.

A commit is put_many(new items), put(manifest), refs.set("HEAD", digest, expected=old), in this order.
"""

from collections.abc import Callable, Iterator
from typing import Any, Self

import msgspec

from engines.errors import Corrupted
from engines.storage.blobs import Blobs
from engines.storage.digests import is_digest

START = b"\x85\xa5items"  # five keys, the first of which is `items`: how a manifest begins, and no format of an engine


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list of blobs. items: (digest, size in bytes, statistics...) each; statistics of MessagePack's types."""

    items: tuple[tuple[Any, ...], ...]
    kind: str
    sequence: int = 0
    time: int = 0
    parent: str | None = None

    def digests(self) -> Iterator[str]:
        return (item[0] for item in self.items)

    def size(self) -> int:
        """Bytes of all items, each counted once."""
        return sum({item[0]: item[1] for item in self.items}.values())

    def encode(self) -> bytes:
        return _encoder.encode(self)

    @classmethod
    def decode(cls, data: bytes, digest: str = "") -> Self:
        """Corrupted, naming the digest, if the bytes are no manifest or an item has no digest and size."""
        try:
            manifest = msgspec.msgpack.decode(data, type=cls)
        except msgspec.MsgspecError as error:
            raise Corrupted(f"blob {digest} is no manifest: {error}", digest=digest, offset=0) from error
        for i, item in enumerate(manifest.items):
            named = len(item) >= 2 and isinstance(item[0], str) and is_digest(item[0])
            if not named or type(item[1]) is not int or item[1] < 0:
                raise Corrupted(f"item {i} of manifest {digest} does not begin with a digest and a size", digest=digest)
        return manifest

    def put(self, blobs: Blobs) -> str:
        """Store it and return its digest; what it lists has to be stored before."""
        return blobs.put(self.encode())

    @classmethod
    def read(cls, blobs: Blobs, digest: str) -> Self:
        return cls.decode(blobs.get(digest), digest)


_encoder = msgspec.msgpack.Encoder(order="sorted")


def children_of(blobs: Blobs) -> Callable[[str], list[str]]:
    """What gc asks in a store of manifests, also of manifests of manifests: the items of one, () of any other blob.

    Of other blobs only the first bytes are read, which also finds one that is missing (NotFound).
    """

    def children(digest: str) -> list[str]:
        if blobs.get_range(digest, 0, min(len(START), blobs.size(digest))) != START:
            return []
        return list(Manifest.read(blobs, digest).digests())

    return children
