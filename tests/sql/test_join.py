"""Joins of every kind against two loops: NULL keys, duplicates, empty sides, any layout, conditions, small vectors."""

from collections import Counter

import numpy as np
import pytest

from engines.errors import QueryError, TooLarge
from engines.sql import logical
from engines.sql.column import VECTOR, Batch, Column
from engines.sql.context import Context
from engines.sql.functions import standard
from engines.sql.join import Joining
from engines.sql.logical import Call, Cast, Constant, Reference, Scan
from engines.sql.source import Field
from engines.sql.types import BIGINT, BOOLEAN, DATE, INTEGER, decimal
from tests.models.joins import join as model
from tests.sql.layouts import TYPES, draw, seeded, values_of

FUNCTIONS = standard()
KINDS = ["inner", "left", "right", "full", "semi", "anti", "null-aware anti", "single"]
LEFT_ONLY = {"semi", "anti", "null-aware anti"}


def scan(name, types):
    return Scan(name, tuple((f"{name}{i}", Field(f"c{i}", kind)) for i, kind in enumerate(types)))


def references(plan):
    return [Reference(id=one, type=field.type) for one, field in plan.columns]


def run(plan, left, right, *, vector=VECTOR, memory=1 << 30, needed=None, slices=1):
    """The rows of a join over batches of both sides, as tuples of the needed columns."""
    context = Context(vector=vector, memory=memory)
    join = Joining(plan, FUNCTIONS, needed)
    build, probe = (left, right) if join.build_plan is plan.left else (right, left)
    states = [join.build.start() for _ in range(slices)]
    for i, batch in enumerate(build):
        join.build.add(states[i % slices], batch, context)
    results = {3: join.build.merge(states, context)}
    step = join.probe(3)
    assert step.needs == (3,)
    out = [made for batch in probe for made in step.bind(results, context).push(batch, context)]
    if join.rest:
        out += join.build.batches(results[3], context)
    assert all(batch.rows <= vector for batch in out)
    ids = [one for one in logical.output(plan) if needed is None or one in needed]
    rows = []
    for batch in out:
        columns = [values_of(batch.column(one), batch.rows) for one in ids]
        rows += zip(*columns, strict=True) if ids else [()] * batch.rows
    return rows


def side(name, kinds, rng, *, most, vector=VECTOR, nulls=True):
    """A scan, its batches, and its rows."""
    plan = scan(name, [TYPES[kind] for kind in kinds] + [BIGINT])
    batches, rows = [], []
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        count = rng.randrange(1, min(most, vector) + 1)
        drawn = [draw(kind, count, rng, nulls=nulls) for kind in [*kinds, "small"]]
        batches.append(Batch(dict(zip(logical.output(plan), [column for _, column in drawn], strict=True)), count))
        rows += zip(*(values for values, _ in drawn), strict=True)
    return plan, batches, rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(30))
def test_a_join_gives_the_rows_that_two_loops_give(kind, seed):
    rng = seeded(f"{kind} {seed}")
    kinds = [rng.choice(list(TYPES)) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
    vector = rng.choice([7, VECTOR])
    few = kind == "single" and rng.random() < 0.5
    left, left_batches, left_rows = side("a", kinds, rng, most=40, vector=vector, nulls=rng.random() < 0.7)
    right, right_batches, right_rows = side(
        "b", kinds, rng, most=2 if few else 40, vector=vector, nulls=rng.random() < 0.5
    )
    a, b = references(left), references(right)
    condition, holds = None, lambda _a, _b: True
    if rng.random() < 0.5 or (not kinds and rng.random() < 0.7):
        condition = Call("<", (a[-1], b[-1]), type=BOOLEAN)
        holds = lambda x, y: x[-1] is not None and y[-1] is not None and x[-1] < y[-1]  # noqa: E731 - beside its twin
    plan = logical.Join(
        left, right, kind, tuple(zip(a[:-1], b[:-1], strict=True)), condition, rng.choice(["left", "right"])
    )
    try:
        expected = model(kind, left_rows, right_rows, len(kinds), holds)
    except ValueError:
        with pytest.raises(QueryError, match="more than one row"):
            run(plan, left_batches, right_batches, vector=vector)
        return
    blank = (None,) * (len(kinds) + 1)  # of a side without rows the model knows no columns
    width = len(blank) if kind in LEFT_ONLY else 2 * len(blank)
    expected = [row if len(row) == width else row + blank if left_rows else blank + row for row in expected]
    got = run(plan, left_batches, right_batches, vector=vector, slices=rng.choice([1, 3]))
    assert Counter(got) == Counter(expected)


def numbers(name, *columns):
    plan = scan(name, [BIGINT] * len(columns))
    made = [Column(BIGINT, np.array(values, np.int64)) for values in columns]
    return plan, [Batch(dict(zip(logical.output(plan), made, strict=True)), len(columns[0]))]


def test_one_row_with_many_partners_comes_out_in_pieces_of_the_vector():
    left, a = numbers("a", [1, 2])
    right, b = numbers("b", [1] * 50 + [2] * 3)
    plan = logical.Join(left, right, "inner", ((references(left)[0], references(right)[0]),))
    assert Counter(run(plan, a, b, vector=7)) == {(1, 1): 50, (2, 2): 3}


def test_only_columns_that_are_needed_are_kept():
    left, a = numbers("a", [1, 2, 3])
    right, b = numbers("b", [3, 1], [30, 10], [300, 100])
    plan = logical.Join(left, right, "inner", ((references(left)[0], references(right)[0]),))
    assert sorted(run(plan, a, b, needed={"b1"})) == [(10,), (30,)]
    assert Joining(plan, FUNCTIONS, {"b1"}).ids == ("b1",)
    semi = logical.Join(left, right, "semi", plan.keys)
    assert Joining(semi, FUNCTIONS).ids == ()


def test_nothing_is_gathered_when_every_row_finds_one_partner():
    left, a = numbers("a", [1, 2, 3])
    right, b = numbers("b", [3, 2, 1], [30, 20, 10])
    plan = logical.Join(left, right, "inner", ((references(left)[0], references(right)[0]),))
    join = Joining(plan, FUNCTIONS)
    state = join.build.start()
    join.build.add(state, b[0], Context())
    (out,) = join.probe(0).bind({0: join.build.merge([state], Context())}, Context()).push(a[0], Context())
    assert out.column("a0") is a[0].column("a0")


def test_keys_that_are_computed_and_decimals_of_other_scales_meet():
    left, a = numbers("a", [1, 2, 3])
    right = scan("b", [decimal(12, 2)])
    b = [Batch({"b0": Column(decimal(12, 2), np.array([100, 250, 400], np.int64))}, 3)]
    one = Cast(references(left)[0], type=decimal(19, 0))
    plan = logical.Join(left, right, "inner", ((one, references(right)[0]),))
    assert run(plan, a, b) == [(1, 100)]
    more = Call("+", (references(left)[0], Constant(1, type=BIGINT)), type=BIGINT)
    assert sorted(run(logical.Join(left, left, "semi", ((more, references(left)[0]),)), a, a)) == [(1,), (2,)]


def test_a_scalar_subquery_is_a_constant_beside_the_batch():
    left, a = numbers("a", [1, 2, 3])
    right, b = numbers("b", [7])
    join = Joining(logical.Join(left, right, "single"), FUNCTIONS)
    state = join.build.start()
    join.build.add(state, b[0], Context())
    (out,) = join.probe(0).bind({0: join.build.merge([state], Context())}, Context()).push(a[0], Context())
    assert out.column("b0").constant
    assert out.column("a0") is a[0].column("a0")


def test_a_build_side_over_the_budget_is_refused_by_name():
    left, a = numbers("a", range(1000))
    plan = logical.Join(left, left, "inner", ((references(left)[0], references(left)[0]),))
    with pytest.raises(TooLarge, match=r"hash join.* must hold .* bytes"):
        run(plan, a, a, memory=1000)


@pytest.mark.parametrize("factor", [1, 7, 10**6])
def test_the_scan_is_told_which_keys_can_find_a_partner(factor):
    left, _ = numbers("a", [])
    keys = [factor * i for i in range(50, 500, 3)]
    right, b = numbers("b", keys)
    plan = logical.Join(left, right, "inner", ((references(left)[0], references(right)[0]),))
    join = Joining(plan, FUNCTIONS)
    state = join.build.start()
    join.build.add(state, b[0], Context())
    results = {0: join.build.merge([state], Context())}
    probe = join.probe(0)
    mask = probe.keep(results, left, Context())["c0"]
    for kind in (np.int64, np.uint32):
        column = Column(BIGINT, np.arange(0, 600 * factor, factor).astype(kind), valid=np.ones(600, np.uint8))
        column.valid[59] = 0
        kept = np.flatnonzero(mask(column)).tolist()
        assert set(range(50, 500, 3)) - {59} <= set(kept)
        assert len(kept) < 200
    assert [(one.op, one.value) for one in probe.predicates(results, left)] == [(">=", keys[0]), ("<=", keys[-1])]
    assert (
        Joining(logical.Join(left, right, "left", plan.keys), FUNCTIONS).probe(0).keep(results, left, Context()) == {}
    )


def test_text_keys_filter_a_scan_by_their_words():
    rng = seeded(5)
    left, right = scan("a", [TYPES["text"]]), scan("b", [TYPES["text"]])
    values, column = draw("text", 200, rng)
    wanted = [value for value in values if value and value < b"w2"]
    join = Joining(logical.Join(left, right, "semi", ((references(left)[0], references(right)[0]),)), FUNCTIONS)
    state = join.build.start()
    made = Batch({"b0": column}, 200).take(np.array([i for i, v in enumerate(values) if v in set(wanted)], np.int32))
    join.build.add(state, made, Context())
    mask = join.probe(0).keep({0: join.build.merge([state], Context())}, left, Context())["c0"]
    assert mask(column).tolist() == [value in set(wanted) for value in values]


def test_a_filter_that_lets_most_rows_pass_gives_up():
    left, _ = numbers("a", [])
    right, b = numbers("b", range(100))
    join = Joining(logical.Join(left, right, "inner", ((references(left)[0], references(right)[0]),)), FUNCTIONS)
    state = join.build.start()
    join.build.add(state, b[0], Context())
    mask = join.probe(0).keep({0: join.build.merge([state], Context())}, left, Context())["c0"]
    for _ in range(4):
        mask(Column(BIGINT, np.zeros(65_536, np.int64)))
    assert mask(Column(BIGINT, np.array([1, 1000], np.int64))).tolist() == [1, 1]


def test_dates_and_integers_of_other_widths_meet():
    for kind in (DATE, INTEGER):
        left, right = scan("a", [kind]), scan("b", [kind])
        a = [Batch({"a0": Column(kind, np.array([1, 2, 3], np.uint8), 9_000)}, 3)]
        b = [Batch({"b0": Column(kind, np.array([9_002, 9_003, 9_900], np.int64))}, 3)]
        plan = logical.Join(left, right, "inner", ((references(left)[0], references(right)[0]),))
        assert sorted(run(plan, a, b)) == [(9_002, 9_002), (9_003, 9_003)]
