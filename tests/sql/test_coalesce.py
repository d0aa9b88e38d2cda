from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.sql import types
from engines.sql.coalesce import PIECES, coalesced, joined
from engines.sql.column import Batch, Column
from engines.sql.values import engine_column, python_values

KINDS = {"n": types.BIGINT, "s": types.VARCHAR, "d": types.DOUBLE, "m": types.decimal(38, 2)}


def batch(rows):
    """Rows as (n, s, d, m), each batch in a layout of its own."""
    made = zip(*rows, strict=True) if rows else [()] * len(KINDS)
    return Batch({id: engine_column(list(some), KINDS[id]) for id, some in zip(KINDS, made, strict=True)}, len(rows))


def rows_of(some):
    return list(zip(*(python_values(some.column(id), some.rows) for id in KINDS), strict=True))


VALUES = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9),
    st.none() | st.sampled_from([b"", b"a", b"bb"]),
    st.none() | st.floats(-10, 10),
    st.none() | st.integers(-(10**30), 10**30),
)


@given(st.lists(st.lists(VALUES, max_size=30), max_size=8))
def test_rows_and_their_order_stay(batches):
    given_batches = [batch(rows) for rows in batches]
    found = list(coalesced(iter(given_batches), 64))
    assert [row for some in found for row in rows_of(some)] == [row for some in given_batches for row in rows_of(some)]
    assert all(0 < some.rows <= 64 for some in found)


def sizes(given_sizes, vector):
    return [some.rows for some in coalesced((Batch({}, rows) for rows in given_sizes), vector)]


@pytest.mark.parametrize(
    ("given_sizes", "found"),
    [
        ([], []),
        ([0, 0], []),
        ([8, 8, 8, 8], [32]),
        ([8] * 9, [64, 8]),
        ([9, 8, 8, 9, 1], [9, 16, 9, 1]),
        ([1] * (PIECES + 1), [PIECES, 1]),
    ],
)
def test_small_batches_are_put_together_up_to_a_full_one(given_sizes, found):
    assert sizes(given_sizes, 64) == found


def test_without_a_size_everything_passes_at_once():
    assert sizes([1, 0, 5], 0) == [1, 5]


def test_a_column_that_nobody_asks_for_is_not_made():
    def never():
        raise AssertionError

    made = joined([Batch({"a": never, "b": engine_column([i], types.BIGINT)}, 1) for i in range(3)], 3)
    assert python_values(made.column("b"), 3) == [0, 1, 2]


def test_one_constant_stays_one_and_different_ones_are_written_out():
    def constant(value):
        return replace(Column(types.BIGINT, np.array([value], np.int64)), constant=True)

    same = joined([Batch({"a": constant(4)}, 2), Batch({"a": constant(4)}, 3)], 5)
    assert same.column("a").constant
    other = joined([Batch({"a": constant(4)}, 2), Batch({"a": constant(5)}, 3)], 5)
    assert python_values(other.column("a"), 5) == [4, 4, 5, 5, 5]
