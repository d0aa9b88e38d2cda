"""Moments as users write them, as nanoseconds since 1970 in UTC.

    int                        nanoseconds          1767225600000000000
    datetime64, datetime       without a zone: UTC
    text                       ISO 8601             2026-01-01T00:00:00.123456789+01:00, also with a space, also a day

Nothing is rounded: a moment that 64 bits do not hold is Invalid.
"""

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engines.errors import Invalid
from engines.timeseries.foreign import plain_of

Array = npt.NDArray[Any]
LAST: Final = 2**63 - 1
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MOMENT: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?)?\s*(Z|UTC|[+-]\d{2}(?::?\d{2})?)?",
    re.IGNORECASE,
)


def times_of(given: Any, what: str = "time") -> Array:  # noqa: ANN401 - see the module's text
    """Nanoseconds since 1970, int64; from one moment or many. Invalid with the row of what is none."""
    given = plain_of(given)
    if isinstance(given, np.ndarray):
        if given.ndim > 1:
            raise Invalid(f"{what} is one column, got {given.ndim} dimensions")
        array = np.atleast_1d(given)
        _refuse_masked(array, what)
        if array.dtype.kind == "M":
            return _nanoseconds(array, what)
        if array.dtype.kind in "iu":
            if array.dtype == np.uint64 and len(array) and int(array.max()) > LAST:
                raise Invalid(f"{what} is out of range: nanoseconds since 1970 fit in 64 bits with a sign")
            return _checked_times(array.astype(np.int64), what)
        given = array.tolist()
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        given = [given]
    found = []
    for row, one in enumerate(given):
        try:
            found.append(moment(one))
        except Invalid as error:
            raise Invalid(f"{what} in row {row}: {error}") from None
    return _checked_times(np.array(found, np.int64), what)


def moment(given: Any) -> int:  # noqa: ANN401 - see the module's text
    """One moment as nanoseconds since 1970. Invalid for what is none."""
    if isinstance(given, bool) or given is None:
        raise Invalid(f"{given!r} is no time: pass nanoseconds since 1970, a datetime or an ISO 8601 text")
    if isinstance(given, int | np.integer):
        found = int(given)
    elif isinstance(given, np.datetime64):
        if np.isnat(given):
            raise Invalid("NaT is no time")
        at = given.astype("datetime64[ns]")
        found = int(at.astype(np.int64)) if at.astype(given.dtype) == given else LAST + 1
    elif isinstance(given, dt.datetime):
        aware = given if given.tzinfo is not None else given.replace(tzinfo=dt.UTC)
        found = (aware - EPOCH) // dt.timedelta(microseconds=1) * 1000
        found += getattr(given, "nanosecond", 0)  # of pandas' Timestamp
    elif isinstance(given, dt.date):
        found = (dt.datetime(given.year, given.month, given.day, tzinfo=dt.UTC) - EPOCH).days * 86_400 * 10**9
    elif isinstance(given, str):
        found = _of_text(given)
    else:
        raise Invalid(f"{given!r} is no time: pass nanoseconds since 1970, a datetime or an ISO 8601 text")
    if not -LAST - 1 <= found <= LAST:
        raise Invalid(f"{given!r} is out of range: times reach from 1677 to 2262")
    return found


def _of_text(text: str) -> int:
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        raise Invalid(f"{text!r} is no time: write it as 2026-01-31T12:00:00.5Z")
    day, clock, fraction, zone = match.groups()
    try:
        at = dt.datetime.fromisoformat(f"{day}T{clock or '00:00'}+00:00")
    except ValueError as error:
        raise Invalid(f"{text!r} is no time: {error}") from None
    found = (at - EPOCH) // dt.timedelta(seconds=1) * 10**9 + int((fraction or "0").ljust(9, "0"))
    if zone and zone.upper() not in {"Z", "UTC"}:
        digits = zone[1:].replace(":", "").ljust(4, "0")
        found -= (1 if zone[0] == "+" else -1) * (int(digits[:2]) * 3600 + int(digits[2:]) * 60) * 10**9
    return found


def _nanoseconds(array: Array, what: str) -> Array:
    """datetime64 of any unit as int64. Invalid where there is no time, or one that does not fit."""
    nothing = np.isnat(array)
    if bool(nothing.any()):
        raise Invalid(f"{what} in row {int(nothing.argmax())} is missing (NaT): a record has a time")
    return _checked_times(exact(array, what), what)


def exact(array: Array, what: str) -> Array:
    """datetime64 of any unit, none of them NaT, as nanoseconds since 1970, int64. Invalid with the row that is out."""
    found = array.astype("datetime64[ns]")
    wrong = found.astype(array.dtype) != array
    if bool(wrong.any()):
        raise Invalid(f"{what} in row {int(wrong.argmax())} is out of range: times reach from 1677 to 2262")
    return found.astype(np.int64)


def _checked_times(times: Array, what: str) -> Array:
    if len(times) and int(times.min()) < 0:
        row = int(np.argmax(times < 0))
        raise Invalid(f"{what} in row {row} is negative: records are of 1970 and later")
    return times


def _refuse_masked(array: Array, what: str) -> None:
    if isinstance(array, np.ma.MaskedArray) and bool(np.ma.getmaskarray(array).any()):
        row = int(np.ma.getmaskarray(array).argmax())
        raise Invalid(f"{what} in row {row} is missing: a record has a time")
