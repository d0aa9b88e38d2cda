"""Transactions: what they see, what they leave, what they refuse. The catalogue is changed as rows are."""

import numpy as np
import pytest
from warehouse.columns import batch, column_of, definitions, rows_of

from engines.errors import AlreadyExists, Closed, Invalid, NotFound
from engines.sql.column import Batch, Column
from engines.sql.types import BIGINT, DATE, DOUBLE, INTEGER, REAL, SMALLINT, VARCHAR, decimal, varchar
from engines.warehouse.catalog import ColumnDefinition, View
from engines.warehouse.commit import MANY_SHORT
from engines.warehouse.storage import Storage

COLUMNS = definitions(n=INTEGER, text=VARCHAR)


@pytest.fixture
def storage():
    with Storage(threads=1) as opened:
        with opened.begin() as transaction:
            transaction.create_table("t", COLUMNS)
            transaction.append("t", [batch(COLUMNS, [(1, b"one"), (2, None)])])
        yield opened


def rows(count, start=0):
    return [(n, b"%d" % n) for n in range(start, start + count)]


def test_a_transaction_sees_its_own_writes_and_nobody_else_does(storage):
    transaction = storage.begin()
    transaction.append("t", [batch(COLUMNS, [(3, b"three")])])
    transaction.delete("t", [0])
    transaction.create_table("u", COLUMNS)
    assert sorted(rows_of(transaction.table("t"))) == [(2, None), (3, b"three")]
    assert transaction.tables() == ["t", "u"]
    assert sorted(rows_of(storage.table("t"))) == [(1, b"one"), (2, None)]
    assert storage.tables() == ["t"]
    transaction.commit()
    assert sorted(rows_of(storage.table("t"))) == [(2, None), (3, b"three")]


def test_leaving_by_an_exception_rolls_back(storage):
    with pytest.raises(ZeroDivisionError), storage.begin() as transaction:  # noqa: PT012 - leaves by an exception
        transaction.truncate("t")
        transaction.drop_table("t")
        raise ZeroDivisionError
    assert len(rows_of(storage.table("t"))) == 2


def test_what_has_ended_takes_no_more(storage):
    transaction = storage.begin()
    transaction.rollback()
    transaction.rollback()
    for wrong in (transaction.commit, lambda: transaction.append("t", []), lambda: transaction.truncate("t")):
        with pytest.raises(Closed):
            wrong()


def test_a_transaction_that_changed_nothing_writes_nothing(storage):
    before = storage.view().digest
    assert storage.begin().commit() == 1
    with storage.begin() as transaction:
        assert transaction.append("t", []) == 0
        assert transaction.delete("t", []) == 0
    assert storage.view().digest == before


def test_a_statement_that_failed_is_undone_alone(storage):
    with storage.begin() as transaction:
        transaction.append("t", [batch(COLUMNS, [(3, None)])])
        mark = transaction.mark()
        transaction.truncate("t")
        transaction.create_table("u", COLUMNS)
        transaction.back_to(mark)
        transaction.append("t", [batch(COLUMNS, [(4, None)])])
    assert sorted(n for (n,) in rows_of(storage.table("t"), "n")) == [1, 2, 3, 4]
    assert storage.tables() == ["t"]


@pytest.mark.parametrize(
    ("type", "values", "fits"),
    [
        (SMALLINT, [2**15 - 1, -(2**15)], True),
        (SMALLINT, [2**15], False),
        (INTEGER, [-(2**31) - 1], False),
        (decimal(5, 2), [99_999], True),
        (decimal(5, 2), [100_000], False),
        (DATE, [2_932_897], False),
        (varchar(3), [b"abc"], True),
        (varchar(3), [b"abcd"], False),
        (varchar(3), ["äö".encode()], False),
    ],
    ids=str,
)
def test_only_values_of_the_type_are_taken(storage, type, values, fits):
    given = column_of(BIGINT if type.integer else type, values)
    with storage.begin() as transaction:
        transaction.create_table("u", definitions(c=type))
        if not fits:
            with pytest.raises(Invalid, match="'c'"):
                transaction.append("u", [Batch({"c": given}, len(values))])
            return
        transaction.append("u", [Batch({"c": given}, len(values))])
    assert rows_of(storage.table("u")) == [(value,) for value in values]


@pytest.mark.parametrize("coded", [False, True])
def test_an_append_that_is_refused_adds_nothing_of_it(storage, coded):
    good, bad = batch(COLUMNS, rows(70_000), coded=False), batch(COLUMNS, [(2**31 - 1, b"x")], coded=coded)
    bad.layers[0].columns["n"] = Column(BIGINT, np.array([2**31]))
    with storage.begin() as transaction, pytest.raises(Invalid):
        transaction.append("t", [good, bad])
    assert len(rows_of(storage.table("t"))) == 2


@pytest.mark.parametrize(
    "given",
    [
        {"n": column_of(VARCHAR, [b"1"])},
        {"n": column_of(DOUBLE, [1.0])},
        {"text": column_of(INTEGER, [1])},
        {"nn": column_of(INTEGER, [1])},
        {"n": column_of(INTEGER, [1, 2])},
        {"n": column_of(DATE, [1])},
    ],
    ids=str,
)
def test_columns_of_another_type_name_or_length_are_refused(storage, given):
    with storage.begin() as transaction, pytest.raises(Invalid):
        transaction.append("t", [Batch(given, 1)])


def test_not_null_identity_real_and_columns_that_are_missing(storage):
    columns = [
        ColumnDefinition("id", BIGINT, nullable=False, identity=(10, 5)),
        ColumnDefinition("must", INTEGER, nullable=False),
        ColumnDefinition("may", REAL),
    ]
    with storage.begin() as transaction:
        transaction.create_table("u", columns)
        transaction.append("u", [Batch({"must": column_of(INTEGER, [1, 2])}, 2)])
        for wrong in ({"may": column_of(DOUBLE, [0.1])}, {"must": column_of(INTEGER, [None])}):
            with pytest.raises(Invalid, match="NOT NULL"):
                transaction.append("u", [Batch(wrong, 1)])
        transaction.append("u", [Batch({"must": column_of(INTEGER, [3]), "may": column_of(DOUBLE, [0.1])}, 1)])
    found = rows_of(storage.table("u"), "id", "must")
    assert found == [(10, 1), (15, 2), (20, 3)]
    (*_, (last,)) = rows_of(storage.table("u"), "may")
    assert np.frombuffer(last, float)[0] == np.float32(0.1)


def test_single_inserts_are_merged_when_there_are_many(storage):
    for n in range(MANY_SHORT + 10):
        with storage.begin() as transaction:
            transaction.append("t", [batch(COLUMNS, [(100 + n, b"x")])])
    assert len(storage.table("t").state.groups) < 20
    assert len(rows_of(storage.table("t"))) == 2 + MANY_SHORT + 10


def test_a_load_is_cut_into_groups_and_dealt_to_the_slices(storage):
    with storage.begin() as transaction:
        transaction.append("t", [batch(COLUMNS, rows(50_000, start)) for start in range(0, 300_000, 50_000)])
    groups = storage.table("t").state.groups[1:]
    assert [group.rows for group in groups] == [65_536] * 4 + [18_928] * 2
    assert {group.slice for group in groups} == {0, 1}
    assert sorted(n for (n,) in rows_of(storage.table("t"), "n")) == sorted([1, 2, *range(300_000)])


def test_threads_that_encode_keep_the_order_of_the_rows():
    with Storage(threads=3, slices=2) as storage:
        with storage.begin() as transaction:
            transaction.create_table("t", COLUMNS)
            transaction.append("t", [batch(COLUMNS, rows(47_000, start)) for start in range(0, 141_000, 47_000)])
        groups = storage.table("t").state.groups
        assert [group.rows for group in groups] == [65_536, 65_536, 4_964, 4_964]
        assert rows_of(storage.table("t"), "n") == [(n,) for n in range(141_000)]


def test_a_sorted_load_is_sorted_with_nulls_last(storage):
    numbers = [(n * 7919 % 1000 if n % 10 else None, b"") for n in range(1000)]
    with storage.begin() as transaction:
        transaction.create_table("s", COLUMNS, sort=["n"])
        transaction.append("s", [batch(COLUMNS, numbers)])
    found = [n for (n,) in rows_of(storage.table("s"), "n")]
    assert found == sorted(found, key=lambda n: (n is None, n))
    assert len(found) == 1000


def test_tables_are_created_renamed_and_dropped(storage):
    with storage.begin() as transaction:
        with pytest.raises(AlreadyExists):
            transaction.create_table("t", COLUMNS)
        transaction.put_view("v", View("SELECT 1"))
        with pytest.raises(AlreadyExists, match="view"):
            transaction.rename_table("t", "v")
        transaction.rename_table("t", "t2")
        transaction.create_table("t", COLUMNS)
        transaction.append("t", [batch(COLUMNS, [(9, None)])])
        assert len(rows_of(transaction.table("t2"))) == 2
    assert rows_of(storage.table("t")) == [(9, None)]
    with storage.begin() as transaction:
        transaction.drop_table("t2")
        transaction.drop_view("v")
        with pytest.raises(NotFound):
            transaction.drop_table("t2")
    assert storage.tables() == ["t"]


def test_columns_are_renamed_dropped_and_never_mixed_up(storage):
    with storage.begin() as transaction:
        transaction.rename_column("t", "n", "m")
        transaction.add_column("t", ColumnDefinition("n", VARCHAR, missing=b"new"))
    assert sorted(rows_of(storage.table("t"), "m", "n")) == [(1, b"new"), (2, b"new")]
    with storage.begin() as transaction:
        transaction.drop_column("t", "m")
        transaction.add_column("t", ColumnDefinition("m", INTEGER))
        with pytest.raises(AlreadyExists):
            transaction.rename_column("t", "m", "n")
    assert rows_of(storage.table("t"), "m") == [(None,), (None,)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": []},
        {"columns": definitions(a=INTEGER) * 2},
        {"columns": COLUMNS, "sort": ["m"]},
        {"columns": COLUMNS, "style": "key"},
        {"columns": COLUMNS, "key": "n"},
        {"columns": COLUMNS, "style": "odd"},
        {"columns": [ColumnDefinition("a", VARCHAR, identity=(1, 1))]},
        {"columns": [ColumnDefinition("a", VARCHAR, encode="gzip")]},
    ],
    ids=str,
)
def test_what_no_table_can_be_is_refused(storage, wrong):
    with storage.begin() as transaction, pytest.raises((Invalid, AlreadyExists, NotFound)):
        transaction.create_table("u", **wrong)


def test_a_key_column_stays(storage):
    with storage.begin() as transaction:
        transaction.create_table("s", COLUMNS, sort=["n"])
        with pytest.raises(Invalid, match="SORTKEY"):
            transaction.drop_column("s", "n")


def test_a_table_is_redefined_with_all_its_rows(storage):
    import msgspec  # noqa: PLC0415

    with storage.begin() as transaction:
        transaction.append("t", [batch(COLUMNS, rows(5000, 10))])
        before = sorted(rows_of(transaction.table("t"), "n"))
        transaction.redefine("t", lambda table: msgspec.structs.replace(table, style="key", key=0, sort=(1,)))
    assert sorted(rows_of(storage.table("t"), "n")) == before
    assert storage.table("t").placement.style == "key"


def test_equal_keys_of_two_tables_lie_on_one_slice():
    with Storage(slices=7, threads=1) as storage:
        kinds = {"a": (INTEGER, False), "b": (BIGINT, True), "c": (VARCHAR, False), "d": (VARCHAR, True)}
        with storage.begin() as transaction:
            for name, (type, coded) in kinds.items():
                values = [n if type.whole else b"%d" % n for n in range(500)]
                transaction.create_table(name, definitions(k=type), style="key", key="k")
                transaction.append(name, [Batch({"k": column_of(type, values, coded=coded)}, 500)])

        def lies(name):
            table = storage.table(name)
            return {
                value: group.slice
                for group, partition in zip(table.state.groups, table.state.partitions, strict=True)
                for value in one_group(table, partition)
            }

        assert lies("a") == lies("b")
        assert lies("c") == lies("d")
        assert set(lies("a").values()) == set(range(7))


def one_group(table, partition):
    from warehouse.columns import values_of  # noqa: PLC0415

    from engines.sql.source import Scanned  # noqa: PLC0415

    (found,) = table.scan(partition, ["k"], (), Scanned())
    return values_of(found.column("k"), found.rows)
