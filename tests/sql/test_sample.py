"""What a table's sample says of the number of values of its columns."""

import numpy as np
import pyarrow as pa
import pytest

from engines.sql.sources import ArrowSource

ROWS = 400_000
RNG = np.random.default_rng(5)


def distinct(values, *, rows=65_536):
    column = ArrowSource("t", pa.table({"a": values}), rows=rows).statistics().columns["a"]
    return column.distinct


@pytest.mark.parametrize("count", [1, 25, 10_000, 100_000])
def test_evenly_spread_values_are_counted_within_a_third(count):
    assert distinct(RNG.integers(0, count, ROWS)) == pytest.approx(count, rel=0.34)


@pytest.mark.parametrize(
    "type", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_words_are_counted_in_any_layout(type):
    words = pa.array([f"word {i % 7}" for i in range(ROWS)]).cast(type)
    assert distinct(words) == 7


def test_a_key_has_as_many_values_as_rows():
    assert distinct(RNG.permutation(ROWS)) == ROWS


def test_of_a_small_table_every_row_is_counted():
    assert distinct(pa.array([3, 1, None, 3, 2]), rows=2) == 3


@pytest.mark.parametrize("values", [pa.array([None, None], pa.int64()), pa.array([], pa.int64())])
def test_no_values_count_as_one_at_least(values):
    assert distinct(values) in {1, None}


def test_lists_are_not_counted():
    assert distinct(pa.array([[1], [1, 2]])) is None
