"""Columns of random layouts with known values: what an operator must not notice."""

import random

import numpy as np

from engines.sql.column import Column, Dictionary, expand
from engines.sql.types import BIGINT, DOUBLE, VARCHAR, decimal

TYPES = {"text": VARCHAR, "double": DOUBLE, "small": BIGINT, "middle": BIGINT, "big": BIGINT, "wide": decimal(38, 0)}


def pool(kind, rng):
    """Values to draw from, few enough to meet again, NULL and the odd ones among them."""
    match kind:
        case "text":
            many = rng.choice([3, 300])
            return [
                b"",
                b"a",
                b"ab",
                b"x" * 9,
                b"y" * 30,
                b"\0",
                None,
                *(b"w%d" % rng.randrange(300) for _ in range(many)),
            ]
        case "double":
            return [0.0, -0.0, float("nan"), -float("nan"), 1.5, -2.0, 1e300, float("inf"), None]
        case "small":
            return [None, *range(rng.choice([-5, 100, 1000]), 1010, rng.choice([1, 7]))]
        case "middle":
            return [None, *(rng.randrange(-(2**40), 2**40) for _ in range(200))]
        case "big":
            return [None, 2**63 - 1, -(2**63), 0, 5, -1, *(rng.randrange(-(2**63), 2**63) for _ in range(20))]
    return [None, 10**30, -(10**30), 5, 7, 0, 2**63, rng.randrange(-100, 100)]


def column(kind, values, rng, *, constants=True):
    """A column of these values in one of the layouts that hold them."""
    constant = constants and len(set(map(repr, values))) == 1 and rng.random() < 0.5
    values = values[:1] if constant else values
    valid = None
    if None in values or rng.random() < 0.2:
        valid = np.array([value is not None for value in values], np.uint8)
    if kind == "text":
        return _text([value or b"" for value in values], valid, rng, constant)
    if kind == "double":
        return Column(DOUBLE, np.array([value or 0.0 for value in values]), valid=valid, constant=constant)
    return _whole(kind, values, valid, rng, constant)


def _text(values, valid, rng, constant):
    if rng.random() < 0.5:
        words = list(dict.fromkeys([*values, *(b"unused%d" % i for i in range(rng.randrange(3)))]))
        rng.shuffle(words)
        codes = np.array([words.index(value) for value in values], rng.choice([np.uint8, np.uint16, np.uint32]))
        if words and len(words) <= np.iinfo(codes.dtype).max:
            return Column(VARCHAR, codes, valid=valid, words=Dictionary.of(words), constant=constant)
    plain = Dictionary.of(values)
    return Column(VARCHAR, plain.offsets, valid=valid, heap=plain.heap, constant=constant)


def _whole(kind, values, valid, rng, constant):
    there = [value for value in values if value is not None] or [0]
    low, high = min(there), max(there)
    if low < -(2**63) or high >= 2**63 or (kind == "wide" and rng.random() < 0.3):
        data = np.array([*(value or 0 for value in values), None], object)[:-1]
        return Column(TYPES[kind], data, valid=valid, constant=constant)
    widths = [width for width in (np.uint8, np.uint16, np.uint32) if high - low <= np.iinfo(width).max]
    if widths and rng.random() < 0.7:
        data = np.array([0 if value is None else value - low for value in values], rng.choice(widths))
        made = Column(TYPES[kind], data, low, valid, constant=constant)
    else:
        made = Column(TYPES[kind], np.array([value or 0 for value in values], np.int64), valid=valid, constant=constant)
    if rng.random() < 0.5:
        made.low, made.high = low, high
    return made


def values_of(column, rows):
    """The column as Python values; None = NULL, one NaN, one zero."""
    column = expand(column, rows)
    if column.heap is not None:
        heap, cuts = column.heap.tobytes(), column.data.tolist()
        found = [heap[cuts[i] : cuts[i + 1]] for i in range(rows)]
    elif column.words is not None:
        words = column.words.words()
        found = [words[code] for code in column.data.tolist()]
    elif column.wide or not column.type.whole:
        found = [plain(value) for value in column.data.tolist()]
    else:
        found = column.numbers().tolist()
    there = [1] * rows if column.valid is None else column.valid.tolist()
    return [value if valid else None for value, valid in zip(found, there, strict=True)]


def plain(value):
    """Equal to the values that SQL's keys say it is equal to."""
    if isinstance(value, float):
        return "NaN" if value != value else value + 0.0  # noqa: PLR0124 - what NaN is
    return value


def draw(kind, rows, rng, *, nulls=True):
    """Values and a column of them."""
    choice = pool(kind, rng)
    if not nulls:
        choice = [value for value in choice if value is not None]
    values = [rng.choice(choice)] * rows if rng.random() < 0.15 else [rng.choice(choice) for _ in range(rows)]
    return [plain(value) for value in values], column(kind, values, rng)


def seeded(seed):
    return random.Random(seed)
