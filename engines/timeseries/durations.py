"""Durations: "15s", "10m", "24h", "7d" and timedelta, as whole nanoseconds.

Units: ns us ms s m h d. A minute has 60 seconds and a day 24 hours: everything is UTC, and leap seconds are not known.
"""

import datetime as dt
import re
from typing import Final

import numpy as np

from engines.errors import Invalid

UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
LONGEST: Final = 2**63 - 1
_WRITTEN: Final = re.compile(r"\s*(\d{1,19})\s*(ns|us|ms|s|m|h|d)\s*")


def nanoseconds(duration: str | dt.timedelta | np.timedelta64 | int) -> int:
    """A duration above 0 in nanoseconds; a whole number is nanoseconds. Invalid for what is none."""
    match duration:
        case bool():
            found = 0
        case np.timedelta64():
            found = int(duration.astype("timedelta64[ns]").astype(np.int64))
        case int() | np.integer():
            found = int(duration)
        case dt.timedelta():
            found = duration // dt.timedelta(microseconds=1) * 1000
        case str():
            written = _WRITTEN.fullmatch(duration)
            found = int(written[1]) * UNITS[written[2]] if written and written[1].isascii() else 0
        case _:
            found = 0
    if not 0 < found <= LONGEST:
        raise Invalid(
            f"{duration!r} is no duration: write a whole number above 0 and one of {', '.join(UNITS)}, like '15s' or "
            "'24h', or pass a timedelta"
        )
    return found


def written(duration: int) -> str:
    """Nanoseconds in the largest unit that needs no fraction: 90 seconds are "90s", an hour is "1h"."""
    for unit in reversed(UNITS):
        if duration % UNITS[unit] == 0:
            return f"{duration // UNITS[unit]}{unit}"
    return f"{duration}ns"
