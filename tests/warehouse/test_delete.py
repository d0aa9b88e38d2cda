"""Deleting and updating rows: by number, as often as one likes, and what is left afterwards."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from warehouse.columns import batch, definitions, rows_of

from engines.errors import Invalid
from engines.sql.source import Predicate
from engines.sql.types import INTEGER
from engines.warehouse.storage import Storage

COLUMNS = definitions(n=INTEGER)


def made(*groups):
    storage = Storage(threads=1, slices=1)
    with storage.begin() as transaction:
        transaction.create_table("t", COLUMNS)
        for group in groups:
            transaction.append("t", [batch(COLUMNS, [(n,) for n in group])])
    return storage


def numbers(table):
    return [n for (n,) in rows_of(table, "n")]


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=4), st.lists(st.sets(st.integers(0, 799)), max_size=4), st.data()
)
def test_what_is_left_is_what_was_not_deleted(sizes, rounds, data):
    starts = np.cumsum([0, *sizes]).tolist()
    storage = made(*(range(start, stop) for start, stop in pairwise(starts)))
    left = set(range(starts[-1]))
    for doomed in rounds:
        with storage.begin() as transaction:
            found = rows_of(transaction.table("t").numbered(), "n", "$row")
            places = [row for n, row in found if n in doomed]
            if places and data.draw(st.booleans()):
                places = [places[0], *reversed(places)]  # twice, and in any order
            assert transaction.delete("t", places) == len(left & doomed)
            left -= doomed
            assert numbers(transaction.table("t")) == sorted(left)
        assert numbers(storage.table("t")) == sorted(left)
        assert storage.table("t").statistics().rows == len(left)
    assert storage.verify().ok


def test_rows_that_are_gone_do_not_count_again():
    storage = made(range(10))
    with storage.begin() as transaction:
        assert transaction.delete("t", [1, 2]) == 2
        assert transaction.delete("t", [2, 3]) == 1
    assert numbers(storage.table("t")) == [0, *range(4, 10)]


def test_a_group_without_rows_goes_with_the_commit():
    storage = made(range(10), range(10, 20))
    with storage.begin() as transaction:
        transaction.delete("t", range(10))
        assert len(transaction.table("t").state.groups) == 2  # row numbers hold until the commit
        transaction.delete("t", [(1 << 16) + 3])
    assert numbers(storage.table("t")) == [10, 11, 12, *range(14, 20)]
    assert len(storage.table("t").state.groups) == 1


@pytest.mark.parametrize("wrong", [[-1], [10], [1 << 16], [3, 65_535]])
def test_the_number_of_no_row_is_refused_and_nothing_is_deleted(wrong):
    storage = made(range(10))
    with storage.begin() as transaction, pytest.raises(Invalid, match="no row"):
        transaction.delete("t", wrong)
    assert numbers(storage.table("t")) == list(range(10))


def test_an_update_is_a_delete_and_an_append():
    storage = made(range(10))
    with storage.begin() as transaction:
        assert transaction.replace("t", [3, 4], [batch(COLUMNS, [(30,), (40,)])]) == 2
    assert sorted(numbers(storage.table("t"))) == [0, 1, 2, *range(5, 10), 30, 40]


def test_predicates_and_masks_hold_together():
    storage = made(range(100))
    with storage.begin() as transaction:
        transaction.delete("t", range(0, 100, 2))
    asked = [Predicate("n", ">", 90)]
    assert rows_of(storage.table("t"), predicates=asked) == [(91,), (93,), (95,), (97,), (99,)]
    assert not storage.table("t").statistics().exact


def test_a_truncated_table_is_empty_and_takes_rows():
    storage = made(range(100))
    with storage.begin() as transaction:
        transaction.truncate("t")
        assert numbers(transaction.table("t")) == []
        transaction.append("t", [batch(COLUMNS, [(5,)])])
    assert numbers(storage.table("t")) == [5]
