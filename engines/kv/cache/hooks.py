"""What the cache's containers ask of the cache that holds them, and the checks they share.

    command ──> check arguments ──> _container(key) ──> _record(command) ──> change the container ──> _keep(key)
                nothing happened    absent, expired,    the journal has it,   cannot fail any more     size, eviction
                yet                 WRONGTYPE           or refuses it

The order is the point: what can be refused is refused before the first change, so a refused command has done nothing.
A cache that is full and must not evict refuses in _record, as it refuses what cannot be persisted; _keep never refuses.
Redis writes its append-only file after the change, and stops the server when that fails.

Recorded is what happened, not what was asked: `spop` records the members it drew, `hincrby` the sum. So a replay needs
no dice and no clock. What one command does is one record, also where it changes two keys: a crash never finds half.

A cache that wants journal, transactions, clusters and replicas has, beside the hooks of `Containers`:

    _changed(command, arguments)    called by its _record, so that who watches a key learns of it   transaction.py
    _together()                     journal.together(), so that a transaction is one frame          transaction.py
    entries() apply(commands)       all it holds; recorded commands, applied as when replayed       replica.py
    entry(key) restore(...)         one key out, and in                                             cluster.py

Keys, fields and members are str, bytes or numbers, kept and given back as they are. They are equal as Python has it:
1, 1.0 and True are one member, "1" and b"1" are two more. Values of hashes and elements of lists are any object, not
copied: change them and the cache sees it, but the journal does not.
"""

import math
import random
from collections.abc import Collection
from contextlib import AbstractContextManager
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import cached_property
from typing import Any, Literal

from engines.errors import Invalid

Kind = Literal["string", "hash", "list", "set", "zset"]
Member = str | bytes | int | float | Decimal
Key = Member


class Containers:
    """The hooks. Every method of the containers calls them under `_lock`, which one thread may take repeatedly."""

    _lock: AbstractContextManager[Any]  # with a journal it acknowledges, after it was let go

    @cached_property
    def _dice(self) -> random.Random:
        """What draws members of sets: seeded, so that a lesson and a test see the same draw each time."""
        return random.Random(0)  # noqa: S311 - a choice of members, not a secret

    def _container(self, key: Key, kind: Kind) -> Any:  # noqa: ANN401 - what `kind` says
        """The live container at key, None if there is none; Invalid, code WRONGTYPE, if it is of another kind."""
        raise NotImplementedError

    def _keep(self, key: Key, kind: Kind, container: Any) -> None:  # noqa: ANN401 - what `kind` says
        """Store a container after it changed, whatever stood there; an empty one deletes the key, if there is one.

        The key's time to live stays. Neither this nor the deletion is recorded: the command was.
        """
        raise NotImplementedError

    def _record(self, command: str, *arguments: Any) -> None:  # noqa: ANN401 - whatever can be cached
        """Hand a command to the journal; replayed, it is the method of this name with these arguments."""
        raise NotImplementedError


def check_member(member: Member, what: str = "a member") -> None:
    """Invalid if it is no str, bytes or number, or not a number (NaN, which is not even equal to itself)."""
    if isinstance(member, str | bytes):
        return
    if not isinstance(member, int | float | Decimal):
        raise Invalid(f"{what} is a str, bytes or a number, got {type(member).__name__}: store that as a value")
    if member.is_nan() if isinstance(member, Decimal) else isinstance(member, float) and math.isnan(member):
        raise Invalid(f"{what} must be equal to itself, which NaN is not")
    order_of(member)


def order_of(member: Member) -> bytes:
    """The bytes that Redis would hold: what members of one score are ordered by, and what a key's slot comes from."""
    if isinstance(member, bytes):
        return member
    if isinstance(member, str):
        return member.encode("utf-8", "surrogatepass")
    try:
        return str(member).encode()
    except ValueError:  # Python writes no int of more than 4,300 digits
        raise Invalid(f"a number of {member.bit_length()} bits is too long: use bytes") from None  # type: ignore[union-attr]  # only an int gets here


def check_some(what: str, found: object) -> None:
    """Invalid if a command was given nothing to work on."""
    if not found:
        raise Invalid(f"give at least one of {what}, got none")


def check_keys(keys: Collection[Any]) -> None:
    """Invalid for none, and for what has no hash, such as a list of keys."""
    check_some("keys", keys)
    for key in keys:
        if type(key).__hash__ is None:
            raise Invalid(f"give keys by themselves, each with a hash, not in a {type(key).__name__}, got {key!r:.80}")


def whole(value: int, name: str, least: int | None = None) -> int:
    """The value, if it is an int (and not below least). Invalid."""
    if type(value) is not int or (least is not None and value < least):
        raise Invalid(
            f"{name} must be a whole number" + ("" if least is None else f" of at least {least}") + f", got {value!r}"
        )
    return value


def span(start: int, stop: int, length: int) -> range:
    """The positions from start to stop, both included; negative ones count from the end, those outside are left out."""
    whole(start, "start")
    whole(stop, "stop")
    start = max(start + length, 0) if start < 0 else start
    stop = stop + length if stop < 0 else min(stop, length - 1)
    return range(start, stop + 1)


def total(value: object, by: float | Decimal) -> Any:  # noqa: ANN401 - a number, or the text of one
    """Value + by, for counters. Text that reads as a number counts as one, as all values do in Redis, and stays text.

    Decimals are added exactly, and a float beside one counts by its shortest text. Invalid if either is no finite
    number, or the sum is none, or needs more than 100 digits.
    """
    left, right = _number(value, "the value"), _number(by, "by")
    if isinstance(left, Decimal) and isinstance(right, float):
        right = Decimal(str(right))
    elif isinstance(left, float) and isinstance(right, Decimal):
        left = Decimal(str(left))
    try:
        if isinstance(left, Decimal) or isinstance(right, Decimal):
            result = _EXACT.add(Decimal(left), Decimal(right))
        else:
            result = left + right
    except (ArithmeticError, ValueError):
        raise Invalid(f"{value!r} + {by!r} is no number of at most 100 digits: nothing was changed") from None
    if not _is_finite(result):
        raise Invalid(f"{value!r} + {by!r} is not finite: nothing was changed")
    if isinstance(value, str):
        return str(result)
    return str(result).encode() if isinstance(value, bytes) else result


_EXACT = Context(prec=100, traps=[InvalidOperation, Overflow, Inexact])


def _number(value: object, what: str) -> Any:  # noqa: ANN401 - int, float or Decimal
    number = value
    if isinstance(value, str | bytes):
        try:
            text = value if isinstance(value, str) else value.decode("ascii")
            number = int(text) if text.strip("+-").isdecimal() else Decimal(text)
        except (ValueError, ArithmeticError):
            number = None
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal) or not _is_finite(number):
        raise Invalid(f"{what} must be a finite number to count with, got {value!r}", code="not-a-number")
    return number


def _is_finite(value: float | Decimal) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else isinstance(value, int) or math.isfinite(value)
