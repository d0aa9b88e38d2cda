"""Columns of every type that a table can hold, as hypothesis draws them, and tables of them."""

import math
import struct

import numpy as np
from hypothesis import strategies as st

from engines.sql import texts
from engines.sql.column import Batch, Column, Dictionary, expand
from engines.sql.source import Scanned
from engines.sql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    REAL,
    SMALLINT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    VARBYTE,
    VARCHAR,
    decimal,
)
from engines.warehouse.catalog import ColumnDefinition

TYPES = [
    BOOLEAN,
    SMALLINT,
    INTEGER,
    BIGINT,
    decimal(9, 2),
    decimal(18, 0),
    decimal(38, 10),
    DATE,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    REAL,
    DOUBLE,
    VARCHAR,
    VARBYTE,
]
MICROSECONDS = (-(2**62), 2**62)  # of timestamps
INFINITY = float("inf")
words = st.one_of(
    st.sampled_from([b"", b"a", b"ab", b"\xff" * 17, b"\xff" * 15 + b"a" * 3, b"\0"]), st.binary(max_size=40)
)


def values_of_type(type):
    """Engine values, the extremes among them."""
    if type.bytes:
        return words if type is VARBYTE else st.one_of(st.text(max_size=20).map(str.encode), st.just(b"x" * 300))
    if type.floating:
        width = 32 if type is REAL else 64
        return st.one_of(st.floats(width=width), st.sampled_from([0.0, -0.0, math.nan, INFINITY, -INFINITY, 0.5]))
    low, high = type.limits() or MICROSECONDS
    middle = st.integers(max(low, -300), min(high, 300))
    return st.one_of(st.integers(low, high), middle, st.sampled_from([low, high, max(low, -1), min(high, 1)]))


@st.composite
def runs(draw, elements, most=120):
    """Values that come alone, in runs, or in steps: what each encoding lives on."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        value, count = draw(elements), draw(st.integers(1, most // 4))
        match draw(st.sampled_from(["run", "each", "turn"])):
            case "run":
                found += [value] * count
            case "each":
                found += draw(st.lists(elements, min_size=1, max_size=most // 4))
            case "turn":
                others = draw(st.lists(elements, min_size=1, max_size=3))
                found += [[value, *others][at % (len(others) + 1)] for at in range(count)]
    return found


@st.composite
def columns(draw, types=TYPES):
    """(type, values, a column of them in one of the layouts that hold them)."""
    type = draw(st.sampled_from(types))
    elements = values_of_type(type)
    if draw(st.booleans()):
        elements = st.one_of(elements, st.none())
    values = draw(runs(elements))
    return type, values, column_of(type, values, coded=draw(st.booleans()))


def column_of(type, values, *, coded=False):
    """A column of engine values; None = NULL."""
    missing = None in values
    valid = np.array([value is not None for value in values], np.uint8) if missing else None
    if type.bytes:
        plain = [value or b"" for value in values]
        if not coded:
            return texts.from_words(values, type)
        known = sorted(set(plain))
        codes = np.array([known.index(value) for value in plain], np.uint16)
        return Column(type, codes, valid=valid, words=Dictionary.of(known))
    if type.floating:
        return Column(type, np.array([0.0 if value is None else value for value in values]), valid=valid)
    whole = [value or 0 for value in values]
    if type is BOOLEAN:
        return Column(type, np.array(whole, np.uint8), valid=valid)
    if min(whole) < -(2**63) or max(whole) >= 2**63:
        return Column(type, np.array([*whole, None], object)[:-1], valid=valid)
    if coded and max(whole) - min(whole) < 2**16:
        return Column(type, np.array([value - min(whole) for value in whole], np.uint16), min(whole), valid)
    return Column(type, np.array(whole, np.int64), valid=valid)


def values_of(column, rows):
    """The engine values of a column; doubles by their bits, so that NaN and -0.0 are themselves."""
    column = expand(column, rows)
    assert len(column) == rows
    if column.type.bytes:
        found = texts.to_words(column)
    elif column.type.floating:
        found = [bits(value) for value in column.data.tolist()]
    elif column.wide or column.type is BOOLEAN:
        found = column.data.tolist()
    else:
        found = column.numbers().tolist()
    there = [1] * rows if column.valid is None else column.valid.tolist()
    return [value if valid else None for value, valid in zip(found, there, strict=True)]


def bits(value):
    return struct.pack("<d", value) if isinstance(value, float) else value


def definitions(**types):
    """Columns of a table by name."""
    return [ColumnDefinition(name, type) for name, type in types.items()]


def batch(definition, rows, **more):
    """A batch of rows, tuples in the order of the columns."""
    named = {
        column.name: column_of(column.type, [row[at] for row in rows], **more) for at, column in enumerate(definition)
    }
    return Batch(named, len(rows))


def rows_of(table, *names, predicates=()):
    """All rows of a table as tuples, group by group."""
    names = names or [field.name for field in table.schema()]
    found = []
    for partition in table.partitions(predicates, Scanned()):
        for some in table.scan(partition, names, predicates, Scanned()):
            found += zip(*(values_of(some.column(name), some.rows) for name in names), strict=True)
    return found
