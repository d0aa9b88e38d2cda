"""SQL types: what a column may hold, and how the engine holds it.

    BOOLEAN                          uint8, 0 or 1
    SMALLINT INTEGER BIGINT          whole numbers
    DECIMAL(p, s)                    whole numbers: the value times 10^s, exact
    DATE                             whole numbers: days since 1970
    TIMESTAMP, TIMESTAMPTZ           whole numbers: microseconds (or nanoseconds: `unit`) since 1970, UTC
    TIME                             whole numbers: microseconds since midnight
    REAL DOUBLE                      float64; REAL is rounded to 32 bits when it is stored or cast
    CHAR VARCHAR                     UTF-8 text, compared bytewise; CHAR without its trailing blanks
    VARBYTE                          bytes
    INTERVAL                         whole numbers: microseconds (or nanoseconds), with months beside them (spans.py)
    ARRAY ROW                        lists of elements, records: `fields`
    TIMESERIES                       lists of (time, value), the times rising: `fields` are these two
    NULL                             the type of a NULL that nothing else gives a type to; casts to anything

A Type says what a value means. How wide its array is (8 bits or 64, narrow with a base, or Python's numbers where 64
bits do not hold it) is for `column.py`: it changes from block to block and is no part of the type.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final

WHOLE: Final = frozenset(
    {"smallint", "integer", "bigint", "decimal", "date", "timestamp", "timestamptz", "time", "interval"}
)
INTEGERS: Final = ("smallint", "integer", "bigint")
FLOATS: Final = frozenset({"real", "double"})
TEXT: Final = frozenset({"char", "varchar"})
NESTED: Final = frozenset({"array", "row", "timeseries"})
MOST_DIGITS: Final = 38
LONGEST_TEXT: Final = 65_535  # bytes, Redshift's limit of VARCHAR(MAX)

LIMITS: Final = {
    "boolean": (0, 1),
    "smallint": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
    "date": (-719_162, 2_932_896),  # 0001-01-01 to 9999-12-31
    "time": (0, 86_399_999_999),
}
MOMENTS: Final = (-62_135_596_800_000_000, 253_402_300_799_999_999)  # TIMESTAMP in microseconds, the same years


@dataclass(frozen=True, slots=True)
class Type:
    """A SQL type. precision and scale: DECIMAL; length: bytes of CHAR, VARCHAR, VARBYTE, 0 = no limit."""

    kind: str
    precision: int = 0
    scale: int = 0
    length: int = 0
    unit: str = "us"  # of TIMESTAMP and INTERVAL: us or ns
    fields: tuple[tuple[str, "Type"], ...] = ()  # of ROW and TIMESERIES; of ARRAY one, called "element"

    @property
    def whole(self) -> bool:
        """Held as whole numbers: integers, decimals, dates, times and lengths of time."""
        return self.kind in WHOLE

    @property
    def integer(self) -> bool:
        return self.kind in INTEGERS

    @property
    def decimal(self) -> bool:
        return self.kind == "decimal"

    @property
    def floating(self) -> bool:
        return self.kind in FLOATS

    @property
    def number(self) -> bool:
        return self.kind in INTEGERS or self.kind == "decimal" or self.kind in FLOATS

    @property
    def text(self) -> bool:
        return self.kind in TEXT

    @property
    def bytes(self) -> bool:
        """Held as offsets and a heap, or as codes of a dictionary."""
        return self.kind in TEXT or self.kind == "varbyte"

    @property
    def temporal(self) -> bool:
        return self.kind in {"date", "timestamp", "timestamptz"}

    @property
    def element(self) -> "Type":
        """Of an ARRAY; of a TIMESERIES the record of time and value."""
        return Type("row", fields=self.fields) if self.kind == "timeseries" else self.fields[0][1]

    def limits(self) -> tuple[int, int] | None:
        """Smallest and largest whole number that a value of this type is held as; None where there is no bound."""
        if self.kind == "decimal":
            return 1 - 10**self.precision, 10**self.precision - 1
        if self.kind in {"timestamp", "timestamptz"}:
            return MOMENTS if self.unit == "us" else None
        return LIMITS.get(self.kind)

    def __str__(self) -> str:
        if self.kind == "decimal":
            return f"DECIMAL({self.precision},{self.scale})"
        if self.kind in {"char", "varchar", "varbyte"} and self.length:
            return f"{self.kind.upper()}({self.length})"
        if self.kind == "double":
            return "DOUBLE PRECISION"
        if self.kind == "timeseries":
            return f"TIMESERIES({self.fields[1][1]})"
        if self.fields:
            inner = ", ".join(str(kind) if name == "element" else f"{name} {kind}" for name, kind in self.fields)
            return f"{self.kind.upper()}({inner})"
        return self.kind.upper()


NULL: Final = Type("null")
BOOLEAN: Final = Type("boolean")
SMALLINT: Final = Type("smallint")
INTEGER: Final = Type("integer")
BIGINT: Final = Type("bigint")
REAL: Final = Type("real")
DOUBLE: Final = Type("double")
VARCHAR: Final = Type("varchar")
VARBYTE: Final = Type("varbyte")
DATE: Final = Type("date")
TIME: Final = Type("time")
TIMESTAMP: Final = Type("timestamp")
TIMESTAMPTZ: Final = Type("timestamptz")
INTERVAL: Final = Type("interval")
TIMESTAMP_NS: Final = Type("timestamp", unit="ns")
INTERVAL_NS: Final = Type("interval", unit="ns")


def decimal(precision: int, scale: int) -> Type:
    """DECIMAL(precision, scale)."""
    return Type("decimal", precision, scale)


def varchar(length: int) -> Type:
    """VARCHAR of at most so many bytes."""
    return Type("varchar", length=length)


def array(element: Type) -> Type:
    """ARRAY of a type."""
    return Type("array", fields=(("element", element),))


def timeseries(value: Type) -> Type:
    """TIMESERIES of values of a type, at times of nanoseconds."""
    return Type("timeseries", fields=(("time", TIMESTAMP_NS), ("value", value)))


EPOCH: Final = dt.date(1970, 1, 1)
EPOCH_TIME: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DAY: Final = 86_400_000_000  # microseconds
