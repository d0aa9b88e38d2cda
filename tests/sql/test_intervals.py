"""Differences of timestamps, compared with INTERVALs: by their length."""

import datetime as dt

import pytest

from engines.sql.engine import SQL, MemoryCatalog

DAYS = (1, 60, None)


@pytest.fixture
def sql():
    day = dt.datetime(2020, 1, 1)  # noqa: DTZ001 - TIMESTAMP has no zone
    ends = [None if days is None else day + dt.timedelta(days=days) for days in DAYS]
    return SQL(MemoryCatalog({"t": {"a": ends, "b": [day] * 3}}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a - b = INTERVAL '1 day'", [True, False, None]),
        ("INTERVAL '24 hours' = a - b", [True, False, None]),
        ("a - b > INTERVAL '1 hour'", [True, True, None]),
        ("a - b < INTERVAL '1 month'", [True, False, None]),
        ("(a - b) * 2 <> INTERVAL '2 days'", [False, True, None]),
        ("a - b = b - a", [False, False, None]),
        ("(a - b) IN (INTERVAL '3 days', INTERVAL '60 days')", [False, True, None]),
        ("a - b BETWEEN INTERVAL '1 hour' AND INTERVAL '2 days'", [True, False, None]),
        ("(a - b) IS DISTINCT FROM INTERVAL '1 day'", [False, True, True]),
        ("nullif(a - b, INTERVAL '1 day') IS NULL", [True, False, True]),
        ("CASE WHEN a - b = INTERVAL '1 day' THEN 1 END = 1", [True, None, None]),
    ],
)
def test_intervals_compare_by_their_length(sql, text, expected):
    assert [row[0] for row in sql.query(f"SELECT {text} FROM t").rows()] == expected


def test_filters_compare_them_too(sql):
    assert [tuple(row) for row in sql.query("SELECT count(*) FROM t WHERE a - b > INTERVAL '2 days'").rows()] == [(1,)]
    assert [tuple(row) for row in sql.query("SELECT max(a - b) FROM t").rows()] == [(dt.timedelta(days=60),)]
