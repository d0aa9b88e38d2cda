"""Numbers of keys against a dict: any layout, any number of columns, NULLs equal or never, and on other nodes."""

import pickle

import numpy as np
import pytest

from engines.errors import Invalid
from engines.sql import keyindex
from engines.sql.column import Column, Dictionary
from engines.sql.interner import Interner
from engines.sql.keys import Numbering
from engines.sql.types import BIGINT, DATE, INTEGER, VARCHAR, array, decimal
from tests.sql.layouts import TYPES, draw, seeded, values_of

NONE = 0xFFFFFFFF


@pytest.mark.parametrize("nulls", ["equal", "never"])
@pytest.mark.parametrize("seed", range(100))
def test_equal_tuples_have_one_number_in_order_of_appearance_whatever_the_layout(seed, nulls):
    rng = seeded(f"{seed} {nulls}")
    kinds = [rng.choice(list(TYPES)) for _ in range(rng.choice([1, 1, 2, 2, 3, 4, 6]))]
    numbering, known = Numbering([TYPES[kind] for kind in kinds], nulls=nulls), {}
    for _ in range(rng.randrange(1, 7)):
        rows = rng.choice([1, 5, 100, 1000])
        drawn = [draw(kind, rows, rng, nulls=rng.random() < 0.7) for kind in kinds]
        tuples = list(zip(*(values for values, _ in drawn), strict=True))
        columns = [column for _, column in drawn]
        if rng.random() < 0.4:
            expected = [-1 if nulls == "never" and None in one else known.get(one, -1) for one in tuples]
            assert numbering.find(columns, rows).tolist() == expected
        else:
            expected = [
                NONE if nulls == "never" and None in one else known.setdefault(one, len(known)) for one in tuples
            ]
            assert numbering.number(columns, rows).tolist() == expected
        assert len(numbering) == len(known)
        if rng.random() < 0.2:
            numbering = pickle.loads(pickle.dumps(numbering))  # noqa: S301 - our own
    columns = numbering.keys()
    keys = [values_of(column, len(known)) for column in columns]
    assert list(zip(*keys, strict=True)) == list(known)
    other = Numbering([TYPES[kind] for kind in kinds], nulls=nulls)
    assert other.merge(numbering).tolist() == list(range(len(known)))
    assert numbering.nbytes >= 0


def whole(values, type=BIGINT, **more):
    return Column(type, np.array(values, np.int64), **more)


def test_a_table_grows_and_turns_to_slots_when_keys_are_far_apart():
    numbering, known = Numbering([BIGINT]), {}
    for start, stride in ((0, 1), (50_000, 3), (10**6, 1), (10**7, 1000), (2**40, 10**6), (-(2**50), 7)):
        values = [start + stride * i for i in range(5_000)]
        expected = [known.setdefault(value, len(known)) for value in values]
        assert numbering.number([whole(values)], len(values)).tolist() == expected
    values = list(known)
    assert numbering.find([whole(values)], len(values)).tolist() == list(range(len(values)))
    assert numbering.find([whole([value + 1 for value in values])], len(values)).tolist() == [
        known.get(value + 1, -1) for value in values
    ]


def test_what_lies_beside_the_range_is_not_found_and_is_not_null():
    numbering = Numbering([BIGINT])
    numbering.number([whole([100, 200, 0], valid=np.array([1, 1, 0], np.uint8))], 3)
    beside = [99, 98, 100, 2**62, -(2**63), 2**63 - 1, 0]
    assert numbering.find([whole(beside)], len(beside)).tolist() == [-1, -1, 0, -1, -1, -1, -1]
    assert numbering.find([whole([0], valid=np.zeros(1, np.uint8))], 1).tolist() == [2]


def test_all_keys_null_are_a_tuple_like_any_other():
    numbering = Numbering([BIGINT, BIGINT])
    null = whole([0, 1], valid=np.array([0, 1], np.uint8))
    assert numbering.number([null, null], 2).tolist() == [0, 1]
    assert numbering.find([null, null], 2).tolist() == [0, 1]


def test_hints_make_a_packing_that_need_not_grow():
    hinted = Numbering([INTEGER, DATE], hints=[(0, 999), (9_000, 9_999)])
    hinted.number([whole([5]), whole([9_500])], 1)
    index = hinted._words[-1].index
    hinted.number([whole([999, 0]), whole([9_000, 9_999])], 2)
    assert hinted._words[-1].index is index
    columns = hinted.keys()
    assert [values_of(column, 3) for column in columns] == [[5, 999, 0], [9_500, 9_000, 9_999]]


def test_small_codes_of_two_dictionaries_have_one_table():
    numbering = Numbering([VARCHAR, VARCHAR])
    first, second = Dictionary.of([b"A", b"N", b"R"]), Dictionary.of([b"F", b"O"])
    codes = np.array([0, 1, 1, 2, 0], np.uint8), np.array([0, 1, 0, 0, 0], np.uint8)
    columns = [Column(VARCHAR, codes[0], words=first), Column(VARCHAR, codes[1], words=second)]
    assert numbering.number(columns, 5).tolist() == [0, 1, 2, 3, 0]
    again = [Column(VARCHAR, codes[0], words=Dictionary.of([b"R", b"X", b"A"])), columns[1]]
    assert numbering.number(again, 5).tolist() == [3, 4, 5, 0, 3]


def test_a_dictionary_of_more_words_than_rows_is_looked_up_only_where_it_is_used():
    words = Dictionary.of([b"word %d" % i for i in range(10_000)])
    interner = Interner()
    assert interner.number(Column(VARCHAR, np.array([7, 9_999, 7], np.uint16), words=words)).tolist() == [0, 1, 0]
    assert len(interner) == 2
    assert interner.find(Column(VARCHAR, np.array([8, 7], np.uint16), words=words)).tolist() == [-1, 0]
    assert interner.number(Column(VARCHAR, np.array([8], np.uint16), words=words)).tolist() == [2]
    assert interner.find(Column(VARCHAR, np.array([8, 7], np.uint16), words=words)).tolist() == [2, 0]


def test_many_dictionaries_are_forgotten_again():
    interner = Interner()
    for i in range(200):
        word = b"%d" % (i % 7)
        assert (
            interner.number(Column(VARCHAR, np.zeros(3, np.uint8), words=Dictionary.of([word]))).tolist() == [i % 7] * 3
        )
    assert len(interner._numbered) <= 64


def test_words_with_equal_beginnings_and_zero_bytes_are_different():
    words = [b"", b"\0", b"\0\0", b"a", b"a\0", b"a" * 8, b"a" * 8 + b"\0", b"a" * 16, b"a" * 17, b"a" * 15]
    plain = Dictionary.of(words)
    interner = Interner()
    assert interner.number(Column(VARCHAR, plain.offsets, heap=plain.heap)).tolist() == list(range(len(words)))


def test_offsets_that_do_not_fit_their_heap_are_refused():
    heap = np.zeros(3, np.uint8)
    with pytest.raises(ValueError, match="heap"):
        Interner().number(Column(VARCHAR, np.array([0, 2, 9], np.int32), heap=heap))
    with pytest.raises(ValueError, match="dictionary"):
        Interner().number(Column(VARCHAR, np.array([5], np.uint8), words=Dictionary.of([b"a"])))


def test_arrays_are_no_keys():
    with pytest.raises(Invalid, match="ARRAY"):
        Numbering([array(BIGINT)])


def test_a_value_beyond_64_bits_changes_no_number():
    numbering = Numbering([decimal(38, 0), BIGINT])
    assert numbering.number([whole([1, 2, 1], decimal(38, 0)), whole([1, 1, 1])], 3).tolist() == [0, 1, 0]
    wide = Column(decimal(38, 0), np.array([2, 10**30, 1], object))
    assert numbering.number([wide, whole([1, 1, 1])], 3).tolist() == [1, 2, 0]
    assert numbering.find([whole([2, 3], decimal(38, 0)), whole([1, 1])], 2).tolist() == [1, -1]


def test_a_large_table_of_clustered_keys_agrees_with_numpy():
    rng = np.random.default_rng(1)
    keys = np.sort(rng.integers(0, 200_000, 300_000))
    numbering = Numbering([BIGINT])
    got = np.concatenate([
        numbering.number([Column(BIGINT, keys[i : i + 65_536].astype(np.uint32))], len(keys[i : i + 65_536]))
        for i in range(0, len(keys), 65_536)
    ])  # fmt: skip
    assert (got == np.unique(keys, return_inverse=True)[1]).all()
    assert numbering._words[0].index.table is not None
    scattered = numbering.number([whole(keys[:1000] * 10**12)], 1000)
    assert len(np.unique(scattered)) == len(np.unique(keys[:1000]))
    assert numbering._words[0].index.table is None


def test_an_index_knows_when_a_range_is_small_enough():
    index = keyindex.Index()
    index.number(np.array([0, 60_000], np.uint64), 0, None, nulls=True)
    assert index.table is not None
    index.number(np.array([2**20], np.uint64), 0, None, nulls=True)
    assert index.table is None
    assert index.find(np.array([0, 60_000, 2**20, 5], np.uint64), 0, None, nulls=True, zero=True).tolist() == [
        0,
        1,
        2,
        -1,
    ]
