"""Random tables with the values that break things, for an engine of ours and for DuckDB alike.

Every table has `k`, a whole number from few (to join on), and `u`, unique; then columns of any type: few values or
many, with and without NULLs, constant, all NULL, the ends of a type's range. A DOUBLE is a multiple of 1/4, so that
its sums do not depend on their order; `wild` DOUBLEs hold NaN, infinities and -0.0.
"""

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal

import pyarrow as pa

WORDS = (
    *("", " ", "a", "A", "ab", "Ab", "abc", "b", "ba", "bab", "hello world", "a_b", "a%b", "ä", "äöü", "Ärger", "日本"),
    *(
        "日本語",
        "é",
        "😀",
        "x😀y",
        "zz",
        "zzz",
        " pad ",
        "0",
        "10",
        "9",
        "the quick brown fox",
        "NULL",
        "null",
        "-",
        "a-b-c",
    ),
)
NUMERALS = ("0", "1", "-1", "42", "007", "-300", "12345", "99")
DECIMALS = ((4, 1), (9, 2), (12, 4), (18, 6), (25, 3), (38, 10), (38, 0))
WILD = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1.5, -1e300, 5e-324)


@dataclass(frozen=True)
class Kind:
    """Type of a column: `name` as expressions know it, `sql` for both engines, `most` its largest absolute value."""

    name: str
    sql: str
    arrow: pa.DataType
    most: int = 0
    width: int = 0
    scale: int = 0


@dataclass
class Table:
    name: str
    columns: list[tuple[str, Kind]]
    arrow: pa.Table
    rows: int
    unique: set[str] = field(default_factory=set)


def _kinds(rng):
    """Kinds of columns, each with what draws a value of it."""
    small, middle, large = (
        rng.choice([3, 40, 32_767]),
        rng.choice([5, 5000, 2**31 - 1]),
        rng.choice([9, 10**9, 2**63 - 1]),
    )
    precision, scale = rng.choice(DECIMALS)
    digits = rng.choice([min(precision, 3), precision])
    exact = 10**digits - 1
    day, moment = dt.date(1970, 1, 1), dt.datetime(1970, 1, 1)  # noqa: DTZ001 - SQL's TIMESTAMP has no zone
    return [
        (Kind("int", "SMALLINT", pa.int16(), small, 2), lambda: _whole(rng, small)),
        (Kind("int", "INTEGER", pa.int32(), middle, 4), lambda: _whole(rng, middle)),
        (Kind("int", "BIGINT", pa.int64(), large, 8), lambda: _whole(rng, large)),
        (
            Kind("dec", f"DECIMAL({precision},{scale})", pa.decimal128(precision, scale), exact, scale=scale),
            lambda: _scaled(_whole(rng, exact), scale),
        ),
        (Kind("real", "REAL", pa.float32(), 1000), lambda: rng.randint(-4000, 4000) / 4),
        (Kind("dbl", "DOUBLE", pa.float64(), 10**6), lambda: rng.randint(-(10**6), 10**6) / 4),
        (Kind("wild", "DOUBLE", pa.float64()), lambda: rng.choice(WILD)),
        (
            Kind("date", "DATE", pa.date32()),
            lambda: day + dt.timedelta(rng.choice([rng.randint(-9000, 20_000), 789, 11016])),
        ),
        (
            Kind("ts", "TIMESTAMP", pa.timestamp("us")),
            lambda: (
                moment + dt.timedelta(rng.randint(-9000, 20_000), rng.randint(0, 86_399), rng.choice([0, 1, 999_999]))
            ),
        ),
        (Kind("str", "VARCHAR", pa.string()), lambda: rng.choice(WORDS)),
        (
            Kind("str", "VARCHAR", pa.string()),
            lambda: rng.choice("abxyä") + str(rng.randint(0, 10 ** rng.randint(0, 5))),
        ),
        (Kind("numeral", "VARCHAR", pa.string()), lambda: rng.choice(NUMERALS)),
        (Kind("bool", "BOOLEAN", pa.bool_()), lambda: rng.random() < 0.5),
    ]


def _scaled(whole, scale):
    """Whole / 10^scale, with all of its digits."""
    return Decimal((int(whole < 0), tuple(map(int, str(abs(whole)))), -scale))


def _whole(rng, most):
    return rng.choice([0, 1, -1, most, -most]) if rng.random() < 0.1 else rng.randint(-most, most)


def table(rng, name, rows):
    """One table of so many rows."""
    keys = max(rng.choice([2, 10, rows // 3, rows]), 1)
    columns = [("k", Kind("int", "INTEGER", pa.int32(), keys, 4)), ("u", Kind("int", "BIGINT", pa.int64(), rows, 8))]
    missing = rng.choice([0, 0.2])
    key_values = [None if rng.random() < missing else rng.randrange(keys) for _ in range(rows)]
    values = [key_values, rng.sample(range(rows), rows)]
    made = _kinds(rng)
    for i, (kind, draw) in enumerate(rng.sample(made, rng.randint(3, 8))):
        columns.append((f"{kind.name[0]}_{i}", kind))
        values.append(_values(rng, draw, rows))
    order = list(range(rows))
    if rng.random() < 0.3:
        order.sort(key=lambda i: (values[0][i] is None, values[0][i] or 0))
    arrays = [_array([column[i] for i in order], kind) for (_, kind), column in zip(columns, values, strict=True)]
    arrays = [
        array.dictionary_encode() if kind.sql == "VARCHAR" and rng.random() < 0.5 else array
        for (_, kind), array in zip(columns, arrays, strict=True)
    ]
    whole = pa.table(arrays, names=[column for column, _ in columns])
    return Table(name, columns, whole, rows, {"u"})


def _array(values, kind):
    return pa.array(values, kind.arrow)


def _values(rng, draw, rows):
    """A column's values: of few or of many, some of them NULL."""
    choice = rng.random()
    if choice < 0.05:
        return [None] * rows
    missing = rng.choice([0, 0.1, 0.5])
    if choice < 0.5:
        few = [draw() for _ in range(rng.choice([1, 2, 6]))]
        return [None if rng.random() < missing else rng.choice(few) for _ in range(rows)]
    return [None if rng.random() < missing else draw() for _ in range(rows)]


def tables(rng, *, large=False):
    """A handful of tables; large: one that several batches and slices take part in."""
    sizes = [rng.choice([0, 1, 3, 10, 25, 40]) for _ in range(rng.randint(2, 3))] + [rng.choice([20, 60, 150])]
    if large:
        sizes.append(rng.choice([65_537, 70_000, 140_000]))
    return [table(rng, f"t{i}", rows) for i, rows in enumerate(sizes)]
