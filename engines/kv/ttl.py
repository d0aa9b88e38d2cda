"""Time to live: when an item ceases to exist, and the order in which that happens.

    due    x/ID     u64 big-endian seconds | stored key -> nothing         so the first key is due first

An item whose time has come *does not exist*: reads, conditions and scans treat it as absent at once. expire() deletes
it and says so in the change stream; each write to the table also sweeps up to two. No thread, no waiting: with a
ManualClock a lesson or a test is exact. DynamoDB deletes within days and shows expired items until then.

As there, a time that is no number, or lies more than five years in the past, means never: that guards a table whose
attribute turns out to hold something else.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from engines.clock import MICROSECONDS
from engines.errors import Invalid

FIVE_YEARS = 5 * 366 * 86400
FAR_FUTURE = (1 << 63) - 1
NEVER = (1 << 64) - 1
SWEPT_BY_A_WRITE = 2
SWEPT_AT_ONCE = 256  # deletions under one hold of the lock: about a millisecond


def check_ttl(ttl: str, key_names: Collection[str]) -> str:
    """The attribute itself. Invalid if it is none, or a part of the key."""
    if not isinstance(ttl, str) or not ttl or ttl in key_names:
        raise Invalid(f"ttl names an attribute that is no part of the key, got {ttl!r:.80}")
    return ttl


def expiry(item: dict[str, Any], attribute: str, now: int) -> int:
    """The second in which this item expires, 0 for never. now is in microseconds."""
    value = item.get(attribute)
    if not isinstance(value, (int, Decimal)) or isinstance(value, bool):
        return 0
    if isinstance(value, Decimal) and not value.is_finite():
        return 0  # no item can hold it; the codec says so
    if value >= FAR_FUTURE:
        return FAR_FUTURE  # before int(): 1E+999999999 has a billion digits
    seconds = int(value)
    return 0 if seconds <= 0 or seconds < now // MICROSECONDS - FIVE_YEARS else seconds


def due_key(expires: int, key: bytes) -> bytes:
    """Where an item is listed by the second in which it expires."""
    return expires.to_bytes(8, "big") + key
