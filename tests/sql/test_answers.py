"""Answers of whole statements over small tables, where steps that are right by themselves met."""

from decimal import Decimal

import pyarrow as pa
import pytest

from engines.errors import QueryError
from engines.sql.engine import SQL, MemoryCatalog


@pytest.fixture
def answer():
    """The rows of a text over t(a, b): (1, x), (2, y), (2, NULL)."""
    engine = SQL(MemoryCatalog({"t": pa.table({"a": pa.array([1, 2, 2], pa.int32()), "b": ["x", "y", None]})}))
    return lambda text: [tuple(row) for row in engine.query(text).rows()]


def test_two_names_of_one_column_are_two_keys_of_a_rollup(answer):
    inner = "SELECT a AS x, a AS y FROM t"
    expected = [(1, 1, 1), (1, None, 1), (2, 2, 2), (2, None, 2), (None, None, 3)]
    rolled = "x, y, COUNT(*) FROM {} GROUP BY ROLLUP (x, y) ORDER BY x, y"
    assert answer("SELECT " + rolled.format(f"({inner}) AS q")) == expected
    assert answer(f"WITH q AS ({inner}) SELECT " + rolled.format("q")) == expected


def given_numbers():
    """A table with a number of 38 digits, one that is all NULL, and one without rows."""
    digits = [Decimal(9 * 10**37), Decimal(-5), None]
    return SQL(
        MemoryCatalog(
            {
                "wide": pa.table({"n": pa.array(digits, pa.decimal128(38, 0)), "k": [1, 2, 3]}),
                "none": pa.table({"n": pa.array([], pa.decimal128(4, 1)), "k": pa.array([], pa.int64())}),
                "some": pa.table({"n": pa.array([Decimal("-60.0")], pa.decimal128(4, 1)), "k": [1]}),
            }
        )
    )


@pytest.mark.parametrize("type", ["SMALLINT", "INTEGER", "BIGINT", "DECIMAL(37, 0)", "DECIMAL(38, 1)"])
def test_a_decimal_of_38_digits_is_cast_to_no_type_that_does_not_hold_it(type):
    engine = given_numbers()
    with pytest.raises(QueryError, match="out of range"):
        engine.query(f"SELECT CAST(n AS {type}) FROM wide")
    assert engine.query(f"SELECT CAST(n AS {type}) FROM wide WHERE k = 2").rows()[0][0] == -5


@pytest.mark.parametrize("function", ["FLOOR", "CEIL", "ROUND", "ABS"])
def test_what_stands_under_a_null_is_out_of_no_range(function):
    text = f"SELECT {function}(b.n + a.n) FROM some AS a RIGHT JOIN (SELECT n, 3 AS k FROM some) AS b ON a.k = b.k"
    assert [tuple(row) for row in given_numbers().query(text).rows()] == [(None,)]


def test_a_semi_join_about_what_a_projection_makes_of_a_region():
    text = """SELECT count(*) FROM (SELECT 1 AS c FROM wide CROSS JOIN (VALUES (1), (2)) AS v(x)) AS q
              WHERE 2 > ANY (SELECT k FROM some WHERE some.k = q.c)"""
    assert given_numbers().query(text).rows()[0][0] == 6


def test_tables_without_rows_joined_by_several_keys():
    text = "SELECT count(*) FROM none AS a JOIN wide AS b ON a.k = b.k AND a.n = b.n JOIN some AS c ON c.k = a.k"
    assert given_numbers().query(text).rows()[0][0] == 0


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("EXISTS (SELECT * FROM some WHERE some.k = w.k) IS NOT NULL", [1, 2, 3]),
        ("EXISTS (SELECT * FROM some WHERE some.k = w.k) = FALSE", [2, 3]),
        ("(s.k IS NOT NULL) = FALSE", [2, 3]),
        ("(s.k IS NOT NULL) IS NOT NULL", [1, 2, 3]),
        ("(s.k IS NOT NULL) < TRUE", [2, 3]),
        ("s.k IS NOT NULL", [1]),
        ("s.k + 1 IS NOT NULL AND TRUE", [1]),
    ],
)
def test_what_is_said_of_a_missing_side_keeps_or_drops_its_rows(condition, kept):
    text = f"SELECT w.k FROM wide AS w LEFT JOIN some AS s ON w.k = s.k WHERE {condition} ORDER BY 1"
    assert [row[0] for row in given_numbers().query(text).rows()] == kept
