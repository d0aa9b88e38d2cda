"""Answers of whole statements over small tables, where steps that are right by themselves met."""

import pyarrow as pa
import pytest

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
