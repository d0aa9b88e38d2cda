"""INTERVALs as whole numbers.

A column of INTERVALs holds lengths of time, in microseconds or nanoseconds: whole numbers as any others. One with
months has no length of its own, since months differ; it is a Span: a number, its length with 30 days a month, that
knows its months beside. So whatever orders, compares, groups or joins numbers does the same with INTERVALs:

    INTERVAL '1 month' = INTERVAL '30 days'     both are 2,592,000,000,000 microseconds; one of them is a Span
    DATE '2000-02-01' + INTERVAL '1 month'      is 2000-03-01, and with 30 days 2000-03-02

A group has the value that came first. Spans need columns of objects ("wide"): what narrows a column to int64 asks
`any_months` first.
"""

from collections.abc import Iterable
from typing import Any, Self

from engines.sql.types import DAY


class Span(int):
    """An INTERVAL with months: as a number its length. months, time: its two parts."""

    months: int
    time: int

    def __new__(cls, months: int, time: int, unit: str = "us") -> Self:
        """unit: of the time and of the length, "us" or "ns"."""
        made = super().__new__(cls, months * 30 * DAY * (1000 if unit == "ns" else 1) + time)
        made.months, made.time = months, time
        return made

    def __reduce__(self) -> tuple[type["Span"], tuple[int, int, str]]:
        """So that copies keep their months."""
        return type(self), (self.months, self.time, "us" if self == self.months * 30 * DAY + self.time else "ns")


def span(months: int, time: int, unit: str = "us") -> int:
    """The value of an INTERVAL in a column."""
    return Span(months, time, unit) if months else time


def months_and_time(value: int) -> tuple[int, int]:
    """(months, time) of an INTERVAL in a column."""
    return (value.months, value.time) if isinstance(value, Span) else (0, int(value))


def any_months(values: Iterable[Any]) -> bool:
    """Whether one of them is a Span."""
    return any(isinstance(value, Span) for value in values)
