import math
import pickle
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sql.mixed import batches, key, rows_of, run

from engines.errors import QueryError, TooLarge
from engines.sql import types
from engines.sql.column import Dictionary
from engines.sql.context import Context
from engines.sql.limit import Limit
from engines.sql.logical import Bound, Constant
from engines.sql.ordering import text_ranks
from engines.sql.sort import Sort, TopN

TYPES = {
    "small": types.INTEGER,
    "large": types.BIGINT,
    "number": types.DOUBLE,
    "text": types.VARCHAR,
    "yes": types.BOOLEAN,
    "amount": types.decimal(38, 2),
    "place": types.INTEGER,
}
VALUES = {
    "small": st.none() | st.integers(-3, 3),
    "large": st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1]),
    "number": st.none() | st.floats(width=64) | st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan]),
    "text": st.none() | st.binary(max_size=3) | st.binary(max_size=30).map(lambda tail: b"same beginning" + tail),
    "yes": st.none() | st.integers(0, 1),
    "amount": st.none() | st.integers(-(10**37), 10**37) | st.integers(-5, 5),
}
ROWS = st.lists(st.tuples(*VALUES.values()), max_size=60).map(
    lambda rows: [(*row, place) for place, row in enumerate(rows)]
)
KEYS = st.lists(
    st.tuples(st.sampled_from(list(VALUES)), st.booleans(), st.booleans()),
    min_size=1,
    max_size=4,
    unique_by=lambda k: k[0],
)


def expected(rows, keys):
    """Python's own stable sort, one key after the other, the least significant first."""
    ids = list(TYPES)
    for name, descending, nulls_first in reversed(keys):
        place = ids.index(name)

        def comparable(row, place=place, name=name):
            value = row[place]
            if name == "number":
                return (1, 0.0) if math.isnan(value) else (0, value)
            return value

        there = [row for row in rows if row[place] is not None]
        there.sort(key=comparable, reverse=descending)  # reverse keeps equal rows in their order, too
        missing = [row for row in rows if row[place] is None]
        rows = missing + there if nulls_first else there + missing
    return rows


def sort_keys(keys):
    return [key(name, TYPES[name], descending=down, nulls_first=first) for name, down, first in keys]


def places(found):
    return [row[0] for row in rows_of(found, ["place"])]


def constant(value):
    return Constant(type=types.BIGINT, value=value)


@given(ROWS, KEYS, st.sampled_from([1, 7, 65_536]), st.integers(0, 5))
def test_rows_come_in_the_order_of_the_keys_and_equal_rows_stay_in_theirs(rows, keys, vector, seed):
    found = run(
        Sort(sort_keys(keys), ["place"]), [batches(rows, TYPES, vector=vector, seed=seed)], Context(vector=vector)
    )
    assert places(found) == [row[-1] for row in expected(rows, keys)]
    assert all(0 < batch.rows <= vector for batch in found)


@given(ROWS, KEYS, st.integers(0, 40), st.integers(0, 10), st.sampled_from([1, 7, 65_536]))
def test_top_n_gives_the_first_rows_of_a_sort(rows, keys, limit, offset, vector):
    top = TopN(sort_keys(keys), ["place"], constant(limit), constant(offset))
    found = run(top, [batches(rows, TYPES, vector=vector, seed=limit)], Context(vector=vector))
    assert places(found) == [row[-1] for row in expected(rows, keys)][offset : offset + limit]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("nulls_first", [False, True])
@pytest.mark.parametrize("column", list(VALUES))
def test_top_n_that_drops_rows_early_drops_none_too_many(column, descending, nulls_first):
    rng = random.Random(column)
    pool = {
        "small": [None, *range(50)],
        "large": [None, 2**62, -(2**62), *range(50)],
        "number": [None, math.nan, -0.0, 0.0, math.inf, *(rng.random() for _ in range(50))],
        "text": [None, b"", *(f"word {n}".encode() for n in range(50))],
        "yes": [None, 0, 1],
        "amount": [None, 10**30, -(10**30), *range(50)],
    }[column]
    rows = [(*(rng.choice(pool) if name == column else None for name in VALUES), place) for place in range(2000)]
    keys = [(column, descending, nulls_first)]
    for limit in (1, 5, 60, 700):
        found = run(TopN(sort_keys(keys), ["place"], constant(limit)), [batches(rows, TYPES, vector=100, seed=limit)])
        assert places(found) == [row[-1] for row in expected(rows, keys)][:limit]


def test_slices_are_put_behind_each_other_in_slice_order():
    rows = [(place % 3, None, None, None, None, None, place) for place in range(30)]
    streams = [list(batches(rows[start : start + 10], TYPES, vector=4)) for start in (0, 10, 20)]
    keys = [("small", True, False)]
    assert places(run(Sort(sort_keys(keys), ["place"]), streams)) == [row[-1] for row in expected(rows, keys)]
    top = TopN(sort_keys(keys), ["place"], constant(12))
    assert places(run(top, streams)) == [row[-1] for row in expected(rows, keys)][:12]


def test_no_rows_give_no_batches():
    assert run(Sort(sort_keys([("text", False, False)]), ["place"]), [[], []]) == []
    assert run(TopN(sort_keys([("text", False, False)]), ["place"], constant(3)), [[]]) == []


def test_states_can_be_pickled():
    rows = [(place % 3, place, 0.5, b"text", 1, 7, place) for place in range(30)]
    for sink in (
        Sort(sort_keys([("small", False, False)]), ["place"]),
        TopN(sort_keys([("small", False, False)]), ["place"], constant(4)),
        Limit(("place",), constant(4)),
    ):
        state = sink.start()
        for batch in batches(rows, TYPES, vector=7):
            sink.add(state, batch, Context())
        again = sink.merge([pickle.loads(pickle.dumps(state))], Context())  # noqa: S301 - its own bytes
        there = sink.merge([state], Context())
        assert places(sink.batches(again, Context())) == places(sink.batches(there, Context())) != []


def test_a_sort_that_needs_more_memory_than_it_may_use_says_so():
    rows = [(place, place, 0.5, b"x" * 100, 1, 7, place) for place in range(1000)]
    with pytest.raises(TooLarge, match="ORDER BY must hold"):
        run(Sort(sort_keys([("small", False, False)]), list(TYPES)), [batches(rows, TYPES)], Context(memory=10_000))


@given(st.lists(st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"\0" * 9 + tail), max_size=100))
def test_texts_are_ranked_bytewise_whatever_bytes_they_hold(texts):
    made = Dictionary.of(texts)
    distinct = sorted(set(texts))
    assert text_ranks(made.offsets, made.heap).tolist() == [distinct.index(text) for text in texts]


def test_many_texts_with_a_long_common_beginning_are_ranked():
    texts = [b"https://example.org/%06d%s" % (n * 7919 % 3000, b"!" * (n % 3)) for n in range(5000)]
    made = Dictionary.of(texts)
    place = {text: rank for rank, text in enumerate(sorted(set(texts)))}
    assert text_ranks(made.offsets, made.heap).tolist() == [place[text] for text in texts]


@pytest.mark.parametrize("vector", [1, 7, 65_536])
@pytest.mark.parametrize(
    ("limit", "offset"), [(0, 0), (3, 0), (10, 5), (100, 0), (5, 28), (5, 40), (None, 4), (None, 0)]
)
def test_limit_and_offset_count_rows_across_slices(limit, offset, vector):
    rows = [(None, None, None, None, None, None, place) for place in range(30)]
    streams = [list(batches(rows[start : start + 10], TYPES, vector=vector)) for start in (0, 10, 20)]
    sink = Limit(("place",), None if limit is None else constant(limit), constant(offset) if offset else None)
    found = run(sink, streams, Context(vector=vector))
    assert places(found) == list(range(30))[offset:][:limit]


def test_a_limit_is_full_as_soon_as_it_has_its_rows():
    sink = Limit(("place",), constant(10), constant(2))
    state = sink.start()
    rows = [(None, None, None, None, None, None, place) for place in range(100)]
    read = 0
    for batch in batches(rows, TYPES, vector=7):
        if sink.full(state, Context()):
            break
        sink.add(state, batch, Context())
        read += 1
    assert read == 2
    assert state.rows == 12


def test_a_limit_may_be_a_parameter_and_must_be_a_count():
    keys = sort_keys([("small", False, False)])
    rows = [(place, None, None, None, None, None, place) for place in range(10)]
    top = TopN(keys, ["place"], Bound(type=types.BIGINT, name="n"))
    assert places(run(top, [batches(rows, TYPES)], Context(values={"n": 2}))) == [0, 1]
    for wrong in (-1, 2.5, b"x", True):
        with pytest.raises(QueryError, match="LIMIT must be a whole number"):
            run(top, [batches(rows, TYPES)], Context(values={"n": wrong}))
    assert places(run(top, [batches(rows, TYPES)], Context(values={"n": None}))) == list(range(10))


def test_sorts_like_duckdb():
    duckdb = pytest.importorskip("duckdb")
    pa = pytest.importorskip("pyarrow")
    rng = np.random.default_rng(3)
    texts = [None if n == 0 else f"n{n}" * (n % 4) for n in rng.integers(0, 60, 3000).tolist()]
    numbers = [None if n < 0.1 else round(n, 1) for n in rng.random(3000).tolist()]
    place = list(range(3000))
    table = pa.table({"text": texts, "number": numbers, "place": place})  # noqa: F841 - duckdb reads it by name
    answer = duckdb.sql("select place from 'table' order by text desc nulls first, number nulls last, place").fetchall()
    rows = [
        (None, None, number, None if text is None else text.encode(), None, None, n)
        for n, (text, number) in enumerate(zip(texts, numbers, strict=True))
    ]
    keys = sort_keys([("text", True, True), ("number", False, False), ("place", False, False)])
    assert places(run(Sort(keys, ["place"]), [batches(rows, TYPES, vector=500)])) == [row[0] for row in answer]
