import random
from dataclasses import replace

import numpy as np
import pytest
from sql.mixed import engine_values, rows_of

from engines.sql import types
from engines.sql.column import Batch, Column, gather, nulls
from engines.sql.context import Context
from engines.sql.logical import Reference
from engines.sql.unnest import Unnest
from engines.sql.values import engine_column, python_values

NUMBERS, WORDS = types.array(types.INTEGER), types.array(types.VARCHAR)


def array(values, kind):
    """A column of arrays: lists of engine values, or None."""
    offsets = np.append(0, np.cumsum([len(value or ()) for value in values])).astype(np.int32)
    elements = engine_column([element for value in values for element in value or ()], kind.element)
    valid = np.array([value is not None for value in values], np.uint8)
    return Column(kind, offsets, valid=None if valid.all() else valid, parts={"element": elements})


def unnested(rows, *, outer=False, vector=65_536, hidden=False):
    batch = Batch(
        {
            "n": engine_column(list(range(len(rows))), types.INTEGER),
            "a": array([row[0] for row in rows], NUMBERS),
            "b": array([row[1] for row in rows], WORDS),
        },
        len(rows),
    )
    if hidden:
        at = np.repeat(np.arange(len(rows), dtype=np.int32), 2)
        batch = batch.take(at).take(np.arange(0, 2 * len(rows), 2, dtype=np.int32))
    step = Unnest([("x", Reference(id="a", type=NUMBERS)), ("y", Reference(id="b", type=WORDS))], "place", outer=outer)
    found = list(step.push(batch, Context(vector=vector)))
    assert all(0 < piece.rows <= vector for piece in found)
    return rows_of(found, ["n", "x", "y", "place"])


def expected(rows, *, outer=False):
    made = []
    for number, (a, b) in enumerate(rows):
        a, b = a or [], b or []  # noqa: PLW2901 - NULL has no elements
        length = max(len(a), len(b))
        made += [(number, a[i] if i < len(a) else None, b[i] if i < len(b) else None, i + 1) for i in range(length)]
        if outer and not length:
            made.append((number, None, None, None))
    return made


def some(seed):
    rng = random.Random(seed)
    return [
        (
            rng.choice([None, [], [None], [rng.randrange(5) for _ in range(rng.randrange(6))]]),
            rng.choice([None, [], [b"", None], [b"word" * rng.randrange(3) for _ in range(rng.randrange(9))]]),
        )
        for _ in range(40)
    ]


@pytest.mark.parametrize("vector", [1, 7, 65_536])
@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize("hidden", [False, True])
def test_each_element_gets_a_row_and_shorter_arrays_are_filled_up(vector, outer, hidden):
    for seed in range(5):
        rows = some(seed)
        assert unnested(rows, outer=outer, vector=vector, hidden=hidden) == expected(rows, outer=outer)


def test_an_array_longer_than_a_batch_leaves_in_pieces():
    rows = [([1], [b"a"]), (list(range(100)), None), ([2], [])]
    assert unnested(rows, vector=7) == expected(rows)


def test_only_empty_arrays_give_nothing_or_a_row_each():
    rows = [([], None), (None, [])]
    assert unnested(rows) == []
    assert unnested(rows, outer=True) == [(0, None, None, None), (1, None, None, None)]
    assert unnested([]) == []


def test_a_constant_array_is_unnested_for_each_row():
    constant = replace(array([[1, 2]], NUMBERS), constant=True)
    batch = Batch({"a": constant, "n": engine_column([5, 6], types.INTEGER)}, 2)
    (found,) = Unnest([("x", Reference(id="a", type=NUMBERS))]).push(batch, Context())
    assert engine_values(found.column("x"), 4) == [1, 2, 1, 2]
    assert engine_values(found.column("n"), 4) == [5, 5, 6, 6]


def test_a_column_of_nulls_has_no_elements():
    batch = Batch({"a": nulls(NUMBERS, 2), "n": engine_column([5, 6], types.INTEGER)}, 2)
    step = Unnest([("x", Reference(id="a", type=NUMBERS))])
    assert list(step.push(batch, Context())) == []
    untyped = Batch({"a": nulls(types.NULL, 2)}, 2)
    assert list(step.push(untyped, Context())) == []


def test_elements_may_be_records_and_arrays():
    record = types.Type("row", fields=(("k", types.INTEGER), ("v", WORDS)))
    inner = Column(
        record,
        np.arange(3, dtype=np.int32),
        parts={"k": engine_column([1, 2, 3], types.INTEGER), "v": array([[b"a"], [], [b"b", b"c"]], WORDS)},
    )
    outer = Column(types.array(record), np.array([0, 2, 2, 3], np.int32), parts={"element": inner})
    batch = Batch({"a": outer, "n": engine_column([7, 8, 9], types.INTEGER)}, 3)
    (found,) = Unnest([("x", Reference(id="a", type=outer.type))], outer=True).push(batch, Context())
    assert python_values(found.column("x"), 4) == [
        {"k": 1, "v": ["a"]},
        {"k": 2, "v": []},
        None,
        {"k": 3, "v": ["b", "c"]},
    ]
    again = gather(outer, np.array([2, 0, 0], np.int32))
    assert [len(value) for value in python_values(again, 3)] == [1, 2, 2]
