import pickle
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sql.mixed import batches, rows_of

from engines.errors import Invalid, TooLarge
from engines.sql import types
from engines.sql.context import Context
from engines.sql.logical import SetOperation, Values
from engines.sql.setops import Sets, Side

LEFT = {"n": types.INTEGER, "text": types.VARCHAR, "x": types.DOUBLE}
RIGHT = {"n2": types.INTEGER, "text2": types.VARCHAR, "x2": types.DOUBLE}
EMPTY = Values((), ())
COLUMNS = tuple((f"{a}3", a, b, LEFT[a]) for a, b in zip(LEFT, RIGHT, strict=True))
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 2),
        st.sampled_from([None, b"", b"a", b"bb"]),
        st.sampled_from([None, 0.0, -0.0, 1.5]),
    ),
    max_size=40,
)
KINDS = [
    ("union", False),
    ("union", True),
    ("intersect", False),
    ("intersect", True),
    ("except", False),
    ("except", True),
]


def combined(operation, left, right, *, slices=1, vector=65_536, context=None):
    """The rows of a set operation whose sides are read by so many slices."""
    context = context or Context(vector=vector)
    sink = Sets(SetOperation(operation[0], operation[1], EMPTY, EMPTY, COLUMNS))
    states = []
    for number, (rows, names) in enumerate(((left, LEFT), (right, RIGHT))):
        side = Side(dict(zip([column[0] for column in COLUMNS], names, strict=True)), number)
        for part in range(slices):
            state = sink.start()
            size = -(-len(rows) // slices)
            for batch in batches(rows[part * size : (part + 1) * size], names, vector=vector, seed=part):
                for marked in side.push(batch, context):
                    sink.add(state, marked, context)
            states.append(pickle.loads(pickle.dumps(state)))  # noqa: S301 - its own bytes
    return rows_of(sink.batches(sink.merge(states, context), context), [column[0] for column in COLUMNS])


def expected(kind, every, left, right):
    left, right = Counter(left), Counter(right)
    if kind == "union":
        found = left + right
    elif kind == "intersect":
        found = left & right
    elif every:
        found = left - right
    else:
        found = Counter({row: 1 for row in left if row not in right})
    return found if every else Counter(found.keys())


@given(ROWS, ROWS, st.sampled_from(KINDS), st.sampled_from([1, 7, 65_536]), st.integers(1, 3))
def test_rows_are_counted_as_wholes_and_nulls_are_equal(left, right, operation, vector, slices):
    found = combined(operation, left, right, vector=vector, slices=slices)
    assert Counter(found) == expected(*operation, left, right)


def test_rows_come_in_the_order_in_which_they_were_met_for_any_number_of_slices():
    rng = random.Random(1)
    left, right = ([(rng.randrange(9), rng.choice([b"a", None]), 0.5) for _ in range(50)] for _ in range(2))
    for kind, every in KINDS:
        one = combined((kind, every), left, right)
        assert one == combined((kind, every), left, right, slices=4, vector=3)
        order = list(dict.fromkeys(left + right))
        assert [order.index(row) for row in one] == sorted(order.index(row) for row in one)


@pytest.mark.parametrize(("kind", "every"), KINDS)
def test_answers_as_duckdb_does(kind, every):
    duckdb = pytest.importorskip("duckdb")
    rng = random.Random(kind)
    sides = [
        [(rng.choice([None, 1, 2, 3]), rng.choice([None, b"", b"x"]), rng.choice([None, 0.5])) for _ in range(30)]
        for _ in range(2)
    ]
    tables = []
    for number, side in enumerate(sides):
        values = ", ".join(
            f"({'null' if n is None else n}, {'null' if t is None else repr(t.decode())}, {'null' if x is None else x})"
            for n, t, x in side
        )
        tables.append(f"select n::int, t::varchar, x::double from (values {values}) as v{number}(n, t, x)")
    answer = duckdb.sql(f" {kind} {'all' if every else ''} ".join(tables)).fetchall()
    rows = [(n, None if t is None else t.encode(), x) for n, t, x in answer]
    assert Counter(combined((kind, every), *sides)) == Counter(rows)


def test_an_empty_side():
    some = [(1, b"a", 0.5), (1, b"a", 0.5)]
    assert combined(("union", False), [], some) == some[:1]
    assert combined(("except", True), some, []) == some
    assert combined(("intersect", False), some, []) == []
    assert combined(("union", False), [], []) == []


def test_too_many_distinct_rows_are_refused():
    rows = [(n, b"text %d" % n, 0.5) for n in range(2000)]
    with pytest.raises(TooLarge, match="UNION must hold"):
        combined(("union", False), rows, [], context=Context(memory=1000))


def test_arrays_are_refused():
    columns = (("a", "b", "c", types.array(types.INTEGER)),)
    with pytest.raises(Invalid, match="ARRAY"):
        Sets(SetOperation("union", all=False, left=EMPTY, right=EMPTY, columns=columns)).start()
