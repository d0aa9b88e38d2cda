import numpy as np
import pytest

from engines._native import sums
from engines.sql import types
from engines.sql.aggregate import Aggregate
from engines.sql.column import Batch
from engines.sql.context import Context
from engines.sql.functions import standard
from engines.sql.logical import Aggregate as Plan
from engines.sql.logical import AggregateCall, Call, Constant, Reference, Values
from engines.sql.values import engine_column, python_values

ROOM = 256


def column(rng, n, bits, *, whole=False):
    """A column whose values need that many bits, all of them at times, as the kernel takes it."""
    low = -(2 ** (bits - 1)) if whole else 0
    high = low + 2**bits - 1
    values = rng.integers(low, high, n, dtype=np.int64, endpoint=True)
    values[: n // 3] = high
    values[n // 3 : n // 2] = low
    if whole:
        return values, 0, low, high
    width = np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32
    return values.astype(width), 1000, 1000, 1000 + high


def expected(groups, values, base, used):
    return [int(values[groups == i].astype(object).sum()) + base * int((groups == i).sum()) for i in range(used)]


@pytest.mark.parametrize("n", [0, 1, 3, 511, 512, 513, 65_535, 65_536])
@pytest.mark.parametrize("used", [1, 4, 255])
def test_columns_that_share_a_total_have_the_sums_that_each_has_alone(n, used):
    rng = np.random.default_rng(n + used)
    groups = rng.integers(0, used, n).astype(np.uint32)
    groups[: n // 2] = 0  # the fullest total that there can be
    given = [column(rng, n, bits) for bits in (1, 4, 7, 8, 13, 16, 24, 31, 32)]
    given += [column(rng, n, bits, whole=True) for bits in (3, 20, 40, 47)]
    counts, totals = np.full(ROOM, 7, np.int64), [np.full(ROOM, 5, np.int64) for _ in given]
    sums.together(groups, used, counts, [(*one, total) for one, total in zip(given, totals, strict=True)])
    assert counts[:used].tolist() == [7 + int((groups == i).sum()) for i in range(used)]
    for (values, base, _, _), total in zip(given, totals, strict=True):
        assert total[:used].tolist() == [5 + value for value in expected(groups, values, base, used)]


def test_rows_of_a_group_that_nobody_reads_change_nothing():
    groups = np.array([0, 255, 1, 255, 0], np.uint32)
    counts, total = np.zeros(ROOM, np.int64), np.zeros(ROOM, np.int64)
    sums.together(groups, 2, counts, [(np.array([1, 200, 3, 200, 5], np.uint8), 0, 0, 5, total)])
    assert counts[:2].tolist() == [2, 1]
    assert total[:2].tolist() == [6, 3]


def test_arrays_that_do_not_fit_are_refused():
    groups, counts, total = np.zeros(4, np.uint32), np.zeros(ROOM, np.int64), np.zeros(ROOM, np.int64)
    values = np.zeros(4, np.uint8)
    with pytest.raises(ValueError, match="items"):
        sums.together(groups, 1, counts, [(values[:3], 0, 0, 0, total)])
    with pytest.raises(ValueError, match="totals of 3"):
        sums.together(groups, 1, counts, [(values, 0, 0, 0, total[:3])])
    with pytest.raises(ValueError, match="room"):
        sums.together(groups, 1, np.zeros(257, np.int64), [])
    with pytest.raises(ValueError, match="room"):
        sums.together(groups, 257, counts, [])
    with pytest.raises(ValueError, match="at most"):
        sums.together(groups, 1, counts, [(values, 0, 0, 0, total)] * (sums.MOST + 1))


# ---- rows that a filter has left, not gathered --------------------------------------------------------------------

K, X, Y = (Reference(id=id, type=type) for id, type in (("k", types.VARCHAR), ("x", types.BIGINT), ("y", types.BIGINT)))
SUM = types.decimal(38, 0)


def aggregated(batch, *calls, keys=(("k", K),)):
    plan = Plan(Values((), (("k", K.type), ("x", X.type), ("y", Y.type))), keys, tuple(calls))
    sink = Aggregate(plan, standard())
    context = Context()
    state = sink.start()
    sink.add(state, batch, context)
    found = {}
    for piece in sink.batches(sink.merge([state], context), context):
        for id in [*(id for id, _ in keys), *(id for id, _ in calls)]:
            found.setdefault(id, []).extend(python_values(piece.column(id), piece.rows))
    return list(zip(*found.values(), strict=True))


def made(rows):
    ks, xs, ys = zip(*rows, strict=True)
    return Batch(
        {"k": engine_column(ks, K.type), "x": engine_column(xs, X.type), "y": engine_column(ys, Y.type)}, len(rows)
    )


ROWS = [
    (b"a", 1, 1),
    (b"dead", 5, 0),
    (b"b", None, 2),
    (b"a", 7, 7),
    (None, 8, 4),
    (b"b", -3, 3),
    (b"c", 2, 1),
    (b"a", 1, 1),
]
CALLS = (
    ("n", AggregateCall("count", (), type=types.BIGINT)),
    ("sum", AggregateCall("sum", (X,), type=SUM)),
    ("least", AggregateCall("min", (X,), type=types.BIGINT)),
    ("sum_y", AggregateCall("sum", (Y,), type=SUM)),
)


def test_a_batch_with_a_mask_gives_what_its_rows_give():
    mask = np.array([row[0] != b"dead" for row in ROWS], np.uint8)
    batch = made(ROWS).where(mask, int(mask.sum()))
    assert batch.thinned() is not None
    assert aggregated(batch, *CALLS) == aggregated(made([row for row in ROWS if row[0] != b"dead"]), *CALLS)


def test_a_row_that_was_filtered_out_makes_no_error():
    mask = np.array([row[2] != 0 for row in ROWS], np.uint8)
    quotient = Call("/", (X, Y), type=types.BIGINT)
    calls = (("sum", AggregateCall("sum", (quotient,), type=SUM)),)
    found = aggregated(made(ROWS).where(mask, int(mask.sum())), *calls)
    assert found == aggregated(made([row for row in ROWS if row[2]]), *calls)


def test_a_mask_of_few_rows_is_gathered():
    mask = np.array([row[0] == b"b" for row in ROWS], np.uint8)
    batch = made(ROWS).where(mask, 2)
    assert batch.thinned() is None
    assert batch.layers[0].at.tolist() == [2, 5]
    assert [row[:3] for row in aggregated(batch, *CALLS)] == [("b", 2, -3)]


def test_masks_follow_each_other():
    first = made(ROWS).where(np.array([1, 0, 1, 1, 1, 1, 1, 1], np.uint8), 7)
    second = first.where(np.array([1, 1, 0, 1, 1, 1, 1], np.uint8), 6)
    assert python_values(second.column("y"), 6) == [1, 2, 4, 3, 1, 1]
    renamed = first.renamed({"z": "y"})
    assert renamed.thinned() is not None
    assert python_values(renamed.column("z"), 7) == [1, 2, 7, 4, 3, 1, 1]


def test_keys_that_are_computed_see_the_rows_that_are_left():
    mask = np.array([1, 1, 0, 1, 1, 1, 1, 1], np.uint8)
    key = Call("+", (Y, Constant(1, type=types.BIGINT)), type=types.BIGINT)
    found = aggregated(made(ROWS).where(mask, 7), CALLS[0], keys=(("k", key),))
    assert found == [(2, 3), (1, 1), (8, 1), (5, 1), (4, 1)]
