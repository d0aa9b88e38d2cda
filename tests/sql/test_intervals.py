"""INTERVALs compare, order and group by their length, with 30 days a month; and keep their months for dates."""

import datetime as dt
import pickle

import pyarrow as pa
import pytest

from engines.errors import QueryError
from engines.sql.engine import SQL, MemoryCatalog
from engines.sql.spans import Span

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT x FROM (SELECT INTERVAL '1 month' * n AS i, n AS x FROM n) ORDER BY i DESC", [2, 1, 0]),
        ("SELECT CAST(max(INTERVAL '1 month' * n) AS VARCHAR) FROM n", ["2 mons"]),
        (
            "SELECT CAST(max(INTERVAL '1 month' * n) OVER (ORDER BY n) AS VARCHAR) FROM n",
            ["00:00:00", "1 mon", "2 mons"],
        ),
        ("SELECT count(DISTINCT INTERVAL '1 month' * n) FROM n", [3]),
        ("SELECT count(*) FROM n GROUP BY INTERVAL '1 month' * (n / 2) ORDER BY 1", [1, 2]),
        (
            "SELECT CAST(i AS VARCHAR) FROM (SELECT INTERVAL '30 days' AS i UNION SELECT INTERVAL '1 month')",
            ["30 days"],
        ),
        ("SELECT n FROM n WHERE INTERVAL '1 month' * n IN (SELECT INTERVAL '10 days' * n FROM n)", [0]),
        ("SELECT n FROM n WHERE INTERVAL '1 month' * n IN (SELECT INTERVAL '30 days' * n FROM n)", [0, 1, 2]),
        ("SELECT INTERVAL '1 day' IN (INTERVAL '24 hours', INTERVAL '1 month')", [True]),
        (
            "SELECT DATE '2020-01-31' + CASE n WHEN 0 THEN INTERVAL '1 day' WHEN 1 THEN INTERVAL '1 month' END FROM n",
            [dt.date(2020, 2, 1), dt.date(2020, 2, 29), None],
        ),
        ("SELECT CAST(1.5 * INTERVAL '1 day' AS VARCHAR)", ["1 day 12:00:00"]),
    ],
)
def test_intervals_of_months_are_values_like_others(sql, text, expected):
    sql = SQL(MemoryCatalog({"n": {"n": [0, 1, 2]}}))
    assert [row[0] for row in sql.query(text).rows()] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT '2000-01-01' + INTERVAL '1 day'", r"VARCHAR \+ INTERVAL is not defined"),
        ("SELECT INTERVAL '1 day' + '2000-01-01'", "INTERVAL '2000-01-01' cannot be read"),
        ("SELECT INTERVAL '1 2'", "INTERVAL '1 2' cannot be read"),
    ],
)
def test_what_is_no_interval_is_refused_with_words(sql, text, message):
    with pytest.raises(QueryError, match=message):
        sql.query(text)


def test_a_copy_of_an_interval_keeps_its_months():
    for unit in ("us", "ns"):
        made = pickle.loads(pickle.dumps(Span(2, 5, unit)))  # noqa: S301 - made here
        assert (made, made.months, made.time) == (Span(2, 5, unit), 2, 5)


def test_narrow_intervals_keep_their_base_where_batches_meet():
    sql = SQL(MemoryCatalog({"n": pa.table({"n": list(range(100))})}), vector=3)
    made = (
        "SELECT DISTINCT CASE n % 2 WHEN 0 THEN INTERVAL '16 second' ELSE INTERVAL '80 second' END AS i, n % 5 FROM n"
    )
    rows = sql.query(f"{made} ORDER BY i").rows()
    assert [row[0].seconds for row in rows] == [16] * 5 + [80] * 5
