"""Calls of scalar functions without a statement: Python values in, Python values out."""

import datetime as dt

import numpy as np

from engines.sql import values
from engines.sql.column import Column
from engines.sql.context import Context
from engines.sql.functions import standard
from engines.sql.functions.registry import present
from engines.sql.spans import span
from engines.sql.types import BIGINT, INTERVAL, VARCHAR, decimal

FUNCTIONS = standard()
CONTEXT = Context(text="SELECT f(x)")


def make(given, kind=None):
    """A column of Python's values."""
    if kind is not None:
        return values.column_of(given, kind)
    kinds = [values.type_of(value) for value in given if value is not None]
    kind = max(kinds, key=lambda kind: kind.scale, default=VARCHAR)
    if kind.decimal:
        kind = decimal(max(one.precision - one.scale for one in kinds) + kind.scale, kind.scale)
    return values.column_of(given, BIGINT if kind.integer else kind)


def interval(months=0, microseconds=0):
    return Column(INTERVAL, np.array([span(months, microseconds)], object if months else np.int64), constant=True)


def column_of(argument):
    if isinstance(argument, Column):
        return argument
    if isinstance(argument, list):
        return make(argument)
    made = make([argument])
    made.constant = True
    return made


def moment(*parts):
    """What a TIMESTAMP is in Python."""
    return dt.datetime(*parts)  # noqa: DTZ001 - it has no zone


def naive(value):
    return value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value


def call(name, *arguments, rows=None, context=CONTEXT):
    """The function of columns (lists) and constants: a list, None where a strict function has a NULL argument."""
    function = FUNCTIONS.find(name)
    rows = rows if rows is not None else next((len(a) for a in arguments if isinstance(a, list)), 1)
    columns = [column_of(argument) for argument in arguments]
    casts, kind = function.resolve([column.type for column in columns])
    for column, cast in zip(columns, casts, strict=True):
        same = column.type.kind == cast.kind or (column.type.integer and cast.integer)
        assert same, f"{name}: {column.type} would be cast to {cast}: give it in the test as that"
    made = function.call(columns, rows, kind, context, 0)
    assert made.type.kind == kind.kind, (made.type, kind)
    assert made.constant or len(made) == rows
    if made.low is not None and not made.wide and len(made):
        assert made.low <= made.numbers().min() <= made.numbers().max() <= made.high
    found = [naive(value) for value in values.python_values(made, rows)]
    there = present(columns, rows)
    if function.strict and there is not None:
        found = [value if seen else None for value, seen in zip(found, there, strict=True)]
    return found


def one(name, *arguments, context=CONTEXT):
    """The function of constants: a value."""
    return call(name, *arguments, rows=1, context=context)[0]
