"""Keys in the tree: how one is cut to LMDB's length, and which stretch of them a key condition asks for.

    table t/ID     partition (escaped, ended by 00 01) | sort key      -> item
    due   x/ID     expiry u64 big-endian | table key                   -> nothing

LMDB takes keys of 1,978 bytes. A partition key that would leave no room for the longest sort key is cut: 900 bytes, 00
02, BLAKE2b-128 of all of it. It depends on the partition alone, so all items of one partition stay together, in order.
"""

from typing import NamedTuple

from engines._native.keys import KeyCodec, cut
from engines.kv.expressions import KeyRange

LONGEST_PARTITION = 940  # bytes of an encoded partition key: with a sort key of 1,024 and an expiry it fits into 1,978
SHORTEST_CUT = 917  # bytes of a cut one, at least: 899 or 900 kept, 00 02, 16 of the digest


def tree_key(key: bytes, types: str) -> bytes:
    """The key of the tree for an encoded key: itself, but for very long partition keys."""
    if len(key) <= LONGEST_PARTITION or types[0] == "N":
        return key
    end = key.index(b"\x00\x01") + 2  # within a component 00 is always followed by FF
    return cut(key[:end], LONGEST_PARTITION) + key[end:]


def after(prefix: bytes) -> bytes | None:
    """The smallest bytes greater than everything that begins with this prefix; None if there is no such thing."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


class Bounds(NamedTuple):
    """low <= tree key < high, and the same in words, for explain()."""

    low: bytes
    high: bytes | None
    words: str


def bounds(codec: KeyCodec, asked: KeyRange, partition: str, sort: str | None) -> Bounds:
    """The stretch of tree keys for a key condition. ValueError where a value is not of the key's type."""
    start = tree_key(codec.prefix(asked.partition), codec.types)
    where = f"{partition} = {asked.partition!r}"
    if asked.operator is None:
        return Bounds(start, after(start), where)
    low = start + codec.encode_one(1, asked.low) if asked.low is not None else start
    high = start + codec.encode_one(1, asked.high) if asked.high is not None else start
    stretch, words = {
        "=": ((low, low + b"\x00"), f"= {asked.low!r}"),
        "<": ((start, high), f"< {asked.high!r}"),
        "<=": ((start, high + b"\x00"), f"<= {asked.high!r}"),
        ">": ((low + b"\x00", after(start)), f"> {asked.low!r}"),
        ">=": ((low, after(start)), f">= {asked.low!r}"),
        "BETWEEN": ((low, high + b"\x00"), f"from {asked.low!r} to {asked.high!r}"),
        "begins_with": ((low, after(low)), f"begins with {asked.low!r}"),
    }[asked.operator]
    return Bounds(*stretch, f"{where} and {sort} {words}")
