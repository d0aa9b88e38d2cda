"""Timestream's SQL, as the SQL floor wants to know it: Trino's grammar, and what it has not.

    15s  10m  2h  5ms               a number with a unit behind it  ──>  parse_duration('15s')
    measure_value::double           the column of that name, not a cast  ──>  "measure_value::double"
    @scheduled_runtime              a parameter by name, as the floor reads it
    SHOW, DESCRIBE, UNLOAD          taken by their first words: listings.py, unload.py

Rules: times and INTERVALs count nanoseconds, a time is a moment in UTC, a zone in a text counts; a SUM of BIGINT is
BIGINT or an error; NULLs come last in ORDER BY, whether ascending or descending.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from sqlglot import tokens

from engines.sql.dialect import RULES, Dialect
from engines.sql.types import DOUBLE, INTERVAL_NS, TIMESTAMP_NS, VARCHAR, Type
from engines.sql.values import type_of
from engines.timeseries.functions import timestream

Token = Any  # of sqlglot
KIND: Final = tokens.TokenType
MEASURE_VALUE: Final = "measure_value"
CALL: Final = (
    (KIND.VAR, "parse_duration"),
    (KIND.L_PAREN, "("),
    (KIND.STRING, ""),
    (KIND.R_PAREN, ")"),
)
STATEMENTS: Final = ("SHOW TABLES", "SHOW MEASURES", "SHOW DATABASES", "DESCRIBE", "DESC", "UNLOAD")


def rewritten(found: list[Token]) -> list[Token]:
    """The tokens of a text, changed as the module says."""
    return list(_rewritten(found))


def _rewritten(found: list[Token]) -> Iterator[Token]:
    at = 0
    while at < len(found):
        one = found[at]
        after = found[at + 1] if at + 1 < len(found) else None
        if after is not None and is_duration(one, after):
            for kind, word in CALL:
                text = word or f"{one.text}{after.text.lower()}"
                yield tokens.Token(kind, text, one.line, one.col, one.start, after.end)
            at += 2
        elif one.text.lower() == MEASURE_VALUE and _is_cast(found, at):
            name = f"{MEASURE_VALUE}::{found[at + 2].text.lower()}"
            yield tokens.Token(KIND.IDENTIFIER, name, one.line, one.col, one.start, found[at + 2].end)
            at += 3
        else:
            yield one
            at += 1


def is_duration(number: Token, after: Token) -> bool:
    """Whether a number and what stands right behind it are a duration; one in weeks is refused when it is read."""
    return (
        number.token_type is KIND.NUMBER
        and number.text.isdigit()
        and after.start == number.end + 1
        and after.token_type is KIND.VAR
        and after.text.isascii()
        and after.text.isalpha()
    )


def _is_cast(found: list[Token], at: int) -> bool:
    return at + 2 < len(found) and found[at + 1].token_type is KIND.DCOLON and found[at + 2].text.isalpha()


def parameter_type(value: object) -> Type:
    """The type of a parameter: times and durations count nanoseconds."""
    if isinstance(value, np.timedelta64 | dt.timedelta):
        return INTERVAL_NS
    found = type_of(value)
    return TIMESTAMP_NS if found.kind in {"timestamp", "timestamptz"} else found


TIMESTREAM: Final = Dialect(
    "timestream",
    parser="trino",
    rules={**RULES, "nulls": "last", "sum_of_bigint": "bigint", "unit": "ns"},
    tokens=rewritten,
    functions=timestream(),
    statements=dict.fromkeys(STATEMENTS, True),
    types={
        **dict.fromkeys(("timestamp", "timestamptz", "datetime", "timestampntz"), TIMESTAMP_NS),
        **dict.fromkeys((f"{name}({n})" for name in ("timestamp", "timestamptz") for n in range(20)), TIMESTAMP_NS),
        **dict.fromkeys(("interval", "interval day to second", "interval year to month"), INTERVAL_NS),
        "real": DOUBLE,
        "float": DOUBLE,
        "string": VARCHAR,
    },
    type_of=parameter_type,
)
