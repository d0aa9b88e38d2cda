"""VACUUM and ANALYZE: rows stay what they are, groups become full, sorted, and free of what was deleted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warehouse.columns import batch, definitions, rows_of

from engines.errors import Invalid
from engines.sql.types import INTEGER, VARCHAR
from engines.warehouse.storage import Storage

COLUMNS = definitions(n=INTEGER, text=VARCHAR)


def made(loads, *, sort=("n",), slices=1):
    storage = Storage(threads=1, slices=slices)
    with storage.begin() as transaction:
        transaction.create_table("t", COLUMNS, sort=sort)
        for load in loads:
            transaction.append("t", [batch(COLUMNS, [(n, b"%d" % (n or 0)) for n in load])])
    return storage


def vacuum(storage, mode="full", **options):
    with storage.begin() as transaction:
        return transaction.vacuum("t", mode, **options)


def numbers(storage):
    return [n for (n,) in rows_of(storage.table("t"), "n")]


def delete(storage, doomed):
    with storage.begin() as transaction:
        found = rows_of(transaction.table("t").numbered(), "n", "$row")
        transaction.delete("t", [row for n, row in found if doomed(n)])


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.one_of(st.integers(0, 50), st.none()), min_size=1, max_size=40), min_size=1, max_size=6),
    st.sampled_from(["full", "sort only", "delete only"]),
    st.booleans(),
    st.sets(st.integers(0, 50)),
    st.integers(1, 3),
)
def test_a_vacuum_changes_no_row_and_a_second_one_nothing(loads, mode, sorts, doomed, slices):
    storage = made(loads, sort=["n"] if sorts else [], slices=slices)
    delete(storage, lambda n: n in doomed)
    before = sorted(rows_of(storage.table("t")), key=repr)
    vacuum(storage, mode)
    assert sorted(rows_of(storage.table("t")), key=repr) == before
    assert storage.verify().ok
    groups, digest = storage.table("t").state.groups, storage.view().digest
    assert vacuum(storage, mode) == 0
    assert storage.view().digest == digest
    if mode != "sort only":
        assert all(group.deleted <= 0.2 * group.rows for group in groups)
    if mode == "full":
        assert len(groups) <= slices * (2 if sorts else 1)  # all NULL, or not


def test_overlapping_loads_become_one_sorted_run():
    storage = made([range(0, 90_000, 2), range(1, 90_000, 2), range(200_000, 210_000)])
    assert numbers(storage) != sorted(numbers(storage))
    assert vacuum(storage, "sort only") == 2
    groups = storage.table("t").state.groups
    ranges = sorted((group.blocks[0].low, group.blocks[0].high) for group in groups)
    assert ranges == [(0, 65_535), (65_536, 89_999), (200_000, 209_998 + 1)]
    assert vacuum(storage, "sort only") == 0


def test_groups_that_are_little_deleted_are_left_alone():
    storage = made([range(20_000)])
    delete(storage, lambda n: n < 3_000)
    assert vacuum(storage, "delete only") == 0
    assert vacuum(storage, "delete only", threshold=0.1) == 1
    assert numbers(storage) == list(range(3_000, 20_000))
    assert storage.table("t").state.groups[0].deleted == 0


def test_short_groups_are_merged_where_there_is_no_sort_key():
    storage = made([[n] for n in range(20)], sort=[])
    assert len(storage.table("t").state.groups) == 20
    vacuum(storage)
    assert len(storage.table("t").state.groups) == 1
    assert numbers(storage) == list(range(20))
    assert vacuum(storage) == 0


def test_sorted_groups_of_long_texts_with_one_beginning_do_not_overlap():
    """Zone maps hold 16 bytes, rounded up."""
    storage = Storage(threads=1, slices=1)
    with storage.begin() as transaction:
        transaction.create_table("t", COLUMNS, sort=["text"])
        rows = [(n, b"Customer#%09d" % n) for n in range(140_000)]
        transaction.append("t", [batch(COLUMNS, rows[start : start + 70_000]) for start in (0, 70_000)])
    assert len(storage.table("t").state.groups) == 3
    assert vacuum(storage) == 0


def test_short_neighbours_in_a_sorted_table_come_together():
    storage = made([range(start, start + 100) for start in range(0, 1000, 100)])
    assert vacuum(storage) == 10
    assert numbers(storage) == list(range(1000))
    assert len(storage.table("t").state.groups) == 1


def test_analyze_forgets_what_was_deleted():
    storage = made([range(20_000)])
    delete(storage, lambda n: n >= 100)
    assert storage.table("t").statistics().columns["n"].distinct == 100  # never more than rows
    with storage.begin() as transaction:
        transaction.append("t", [batch(COLUMNS, [(5, b"")] * 6000)])
    assert storage.table("t").statistics().columns["n"].distinct > 3000
    with storage.begin() as transaction:
        transaction.analyze("t")
    assert abs(storage.table("t").statistics().columns["n"].distinct - 100) < 10
    assert storage.verify().ok


def test_what_is_no_mode_and_no_share_is_refused():
    storage = made([[1]])
    with pytest.raises(Invalid, match="full, sort only, delete only, reindex"):
        vacuum(storage, "everything")
    with pytest.raises(Invalid, match="share"):
        vacuum(storage, threshold=20)
