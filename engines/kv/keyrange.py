"""Keys in the tree: how one is cut to LMDB's length, and which stretch of them a key condition asks for.

    table t/ID     partition (escaped, ended by 00 01) | sort key                        -> item
    index i/ID     partition (the same) | sort key (escaped and ended too) | stored key  -> what the index holds of it
    due   x/ID     expiry u64 big-endian | stored key                                    -> nothing

    whole key      what the codec makes of an item's key: in the log's frames, in a Write, in the accelerator
    stored key     where the item stands in t/ID: the whole key itself, but for very long partition keys

LMDB takes keys of 1,978 bytes. A partition key that would leave no room for the longest sort key is cut: 900 bytes, 00
02, BLAKE2b-128 of all of it. It depends on the partition alone, so all items of one partition stay together, in order.

In an index three keys stand in one. There a partition key keeps 400 bytes, a sort key 1,500 (more is possible only with
hundreds of zero bytes in it: such sort keys, where their first 1,480 bytes are the same, stand in no particular order),
and a stored key that finds no room is replaced by its BLAKE2b-128: the entry holds the key's attributes anyway.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

from engines._native.keys import KeyCodec, cut
from engines.kv.expressions import KeyRange
from engines.storage.keyspace import LONGEST_KEY

LONGEST_PARTITION = 940  # bytes of an encoded partition key: with a sort key of 1,024 and an expiry it fits into 1,978
SHORTEST_CUT = 917  # bytes of a cut one, at least: 899 or 900 kept, 00 02, 16 of the digest
INDEX_PARTITION, INDEX_SORT = 400, 1500  # bytes of the components of an index key
DIGEST_BYTES = 16
EXACT_SORT = INDEX_SORT - 2 - DIGEST_BYTES - 1  # so much of it every entry keeps


def to_stored(key: bytes, types: str) -> bytes:
    """The stored key of a whole one. Where only a partition is known, its beginning."""
    if len(key) <= LONGEST_PARTITION or types[0] == "N":
        return key
    end = key.index(b"\x00\x01") + 2  # within a component 00 is always followed by FF
    return cut(key[:end], LONGEST_PARTITION) + key[end:]


def to_whole(stored_key: bytes, read_key: Callable[[], bytes]) -> bytes:
    """The whole key of a stored one. read_key: makes it of the item there, for what may have been cut."""
    return stored_key if len(stored_key) < SHORTEST_CUT else read_key()


def index_key(codec: KeyCodec, values: tuple[object, ...], stored_key: bytes) -> bytes:
    """Where an index entry stands: its key attributes' values, then the stored key of the item."""
    start = _cut(codec.encode_one(0, values[0]), INDEX_PARTITION)
    if len(values) > 1:
        start += _cut(codec.encode_one(1, values[1]), INDEX_SORT)
    return with_stored_key(start, stored_key)


def with_stored_key(start: bytes, stored_key: bytes) -> bytes:
    """An index key's own components, then the stored key, or its digest where that finds no room."""
    if len(start) + len(stored_key) > LONGEST_KEY:
        stored_key = blake2b(stored_key, digest_size=DIGEST_BYTES).digest()
    return start + stored_key


def _cut(component: bytes, limit: int) -> bytes:
    """An encoded component of an index key, cut as tables' partition keys are."""
    if len(component) <= limit:
        return component
    kept = limit - 2 - DIGEST_BYTES
    if component[kept - 1] == 0:  # the FF that follows it belongs to it
        kept -= 1
    return component[:kept] + b"\x00\x02" + blake2b(component, digest_size=DIGEST_BYTES).digest()


def after(prefix: bytes) -> bytes | None:
    """The smallest bytes greater than everything that begins with this prefix; None if there is no such thing."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


class Bounds(NamedTuple):
    """low <= key < high in the tree; the same in words, for explain(). Not exact: not all in between are asked for."""

    low: bytes
    high: bytes | None
    words: str
    exact: bool = True


def bounds(codec: KeyCodec, asked: KeyRange, partition: str, sort: str | None) -> Bounds:
    """The stretch of keys that a key condition asks for. ValueError where a value is not of the key's type."""
    start = codec.prefix(asked.partition)
    start = _cut(start, INDEX_PARTITION) if codec.ended else to_stored(start, codec.types)
    where = f"{partition} = {asked.partition!r}"
    if asked.operator is None:
        return Bounds(start, after(start), where)
    low = start + _component(codec, asked.low) if asked.low is not None else start
    high = start + _component(codec, asked.high) if asked.high is not None else start
    words = f"{where} and {sort} {_words(asked)}"
    if codec.ended and asked.operator != "=" and len(start) + EXACT_SORT < max(len(low), len(high)):
        return Bounds(*_wide(codec, asked, start), words, exact=False)
    past = after if codec.ended else _next  # in an index stored keys follow
    begin = low[:-2] if codec.ended and asked.operator == "begins_with" else low  # without the end mark
    stretch = {
        "=": (low, past(low)),
        "<": (start, high),
        "<=": (start, past(high)),
        ">": (past(low) or low, after(start)),
        ">=": (low, after(start)),
        "BETWEEN": (low, past(high)),
        "begins_with": (begin, after(begin)),
    }[asked.operator]
    return Bounds(*stretch, words)


def _words(asked: KeyRange) -> str:
    if asked.operator == "BETWEEN":
        return f"from {asked.low!r} to {asked.high!r}"
    if asked.operator == "begins_with":
        return f"begins with {asked.low!r}"
    return f"{asked.operator} {asked.high if asked.low is None else asked.low!r}"


def _wide(codec: KeyCodec, asked: KeyRange, start: bytes) -> tuple[bytes, bytes | None]:
    """The stretch in an index between values so long that entries near them are cut: wide enough for all of those."""
    low, high = start, after(start)
    if asked.low is not None:
        low = start + codec.encode_one(1, asked.low)[:EXACT_SORT]
    if asked.operator == "begins_with":
        high = after(low)
    elif asked.high is not None:
        high = after(start + codec.encode_one(1, asked.high)[:EXACT_SORT])
    return low, high


def within(asked: KeyRange, value: Any) -> bool:  # noqa: ANN401 - a sort key's value
    """Whether a sort key is one that the condition asks for: where bounds are not exact."""
    sort, low, high = map(_ordered, (value, asked.low, asked.high))
    if asked.operator == "begins_with":
        return bool(sort[: len(low)] == low)
    if asked.operator in ("<", ">"):
        return bool(sort < high if asked.operator == "<" else sort > low)
    return bool((low is None or sort >= low) and (high is None or sort <= high))


def _ordered(value: Any) -> Any:  # noqa: ANN401 - the same, or None
    return value.encode() if isinstance(value, str) else value


def _component(codec: KeyCodec, value: object) -> bytes:
    component = codec.encode_one(1, value)
    return _cut(component, INDEX_SORT) if codec.ended else component


def _next(key: bytes) -> bytes | None:
    return key + b"\x00"
