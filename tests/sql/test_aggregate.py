import math
import pickle
import statistics
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sql.mixed import batches, rows_of, run

from engines.errors import Invalid, QueryError, TooLarge
from engines.sql import types
from engines.sql.aggregate import Aggregate
from engines.sql.column import Batch
from engines.sql.context import Context
from engines.sql.functions import standard
from engines.sql.logical import Aggregate as Plan
from engines.sql.logical import AggregateCall, Call, Constant, Reference, SortKey, Values
from engines.sql.values import engine_column

MONEY = types.decimal(12, 2)
TYPES = {
    "k": types.VARCHAR,
    "j": types.INTEGER,
    "x": types.BIGINT,
    "d": MONEY,
    "f": types.DOUBLE,
    "s": types.VARCHAR,
    "b": types.BOOLEAN,
}
ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, b"", b"a", b"bb"]),
        st.none() | st.integers(-3, 3) | st.integers(-(2**31), 2**31 - 1),
        st.none() | st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.integers(-(10**12) + 1, 10**12 - 1),
        st.none() | st.floats(-1e6, 1e6),
        st.sampled_from([None, b"", b"x", b"yy", b"zzz"]),
        st.sampled_from([None, 0, 1]),
    ),
    max_size=60,
)


def of(name):
    return Reference(id=name, type=TYPES[name])


def call(function, *arguments, type, **options):
    return AggregateCall(function, tuple(of(a) if isinstance(a, str) else a for a in arguments), type, **options)


CALLS = {
    "rows": call("count", type=types.BIGINT),
    "count_x": call("count", "x", type=types.BIGINT),
    "sum_x": call("sum", "x", type=types.decimal(38, 0)),
    "avg_x": call("avg", "x", type=types.DOUBLE),
    "min_x": call("min", "x", type=types.BIGINT),
    "max_x": call("max", "x", type=types.BIGINT),
    "sum_d": call("sum", "d", type=types.decimal(38, 2)),
    "avg_d": call("avg", "d", type=types.decimal(38, 6)),
    "sum_f": call("sum", "f", type=types.DOUBLE),
    "max_f": call("max", "f", type=types.DOUBLE),
    "min_s": call("min", "s", type=types.VARCHAR),
    "max_s": call("max", "s", type=types.VARCHAR),
    "and_b": call("bool_and", "b", type=types.BOOLEAN),
    "or_b": call("bool_or", "b", type=types.BOOLEAN),
    "spread": call("stddev_samp", "f", type=types.DOUBLE),
    "median": call("median", "j", type=types.DOUBLE),
    "mode": call("mode", "s", type=types.VARCHAR),
    "distinct_s": call("count", "s", type=types.BIGINT, distinct=True),
    "distinct_sum": call("sum", "x", type=types.decimal(38, 0), distinct=True),
    "listed": call("listagg", "s", Constant(b"|", type=types.VARCHAR), type=types.VARCHAR, order=(SortKey(of("s")),)),
    "disc": call(
        "percentile_disc",
        Constant(25, type=types.decimal(3, 2)),
        type=types.INTEGER,
        order=(SortKey(of("j"), descending=True),),
    ),
    "at_max": call("max_by", "s", "j", type=types.VARCHAR),
    "some_x": call(
        "sum",
        "x",
        type=types.decimal(38, 0),
        where=Call("=", (of("b"), Constant(1, type=types.BOOLEAN)), type=types.BOOLEAN),
    ),
}


def expected(rows):
    """What SQL says of one group's rows, in Python's words."""
    by = {name: [row[i] for row in rows if row[i] is not None] for i, name in enumerate(TYPES)}

    def if_any(name, function):
        return function(by[name]) if by[name] else None

    def mode(values):
        counts = Counter(values)
        return min(value for value in counts if counts[value] == max(counts.values()))

    paired = [(row[1], -i, row[5]) for i, row in enumerate(rows) if row[1] is not None]
    some = [row[2] for row in rows if row[6] == 1 and row[2] is not None]
    return {
        "rows": len(rows),
        "count_x": len(by["x"]),
        "sum_x": if_any("x", sum),
        "avg_x": if_any("x", lambda values: sum(values) / len(values)),
        "min_x": if_any("x", min),
        "max_x": if_any("x", max),
        "sum_d": if_any("d", sum),
        "avg_d": if_any("d", lambda values: rounded(Decimal(sum(values)) * 10_000 / len(values))),
        "sum_f": if_any("f", math.fsum),
        "max_f": if_any("f", max),
        "min_s": if_any("s", min),
        "max_s": if_any("s", max),
        "and_b": if_any("b", min),
        "or_b": if_any("b", max),
        "spread": statistics.stdev(by["f"]) if len(by["f"]) > 1 else None,
        "median": if_any("j", statistics.median),
        "mode": if_any("s", mode),
        "distinct_s": len(set(by["s"])),
        "distinct_sum": if_any("x", lambda values: sum(set(values))),
        "listed": if_any("s", lambda values: b"|".join(sorted(values))),
        "disc": if_any("j", lambda values: sorted(values, reverse=True)[math.ceil(len(values) / 4) - 1]),
        "at_max": max(paired)[2] if paired else None,
        "some_x": sum(some) if some else None,
    }


def rounded(value):
    return int(value.to_integral_value("ROUND_HALF_UP"))


def aggregated(rows, keys, calls, *, slices=1, vector=65_536, sets=None, travel=False):
    plan = Plan(
        Values((), ()),
        tuple((f"{key}#key", of(key)) for key in keys),
        tuple(calls.items()),
        sets,
        "sets#id" if sets is not None else None,
    )
    sink, context = Aggregate(plan), Context(vector=vector)
    size = max(-(-len(rows) // slices), 1)
    states = []
    for number in range(slices):
        state = sink.start()
        for batch in batches(rows[number * size : (number + 1) * size], TYPES, vector=vector, seed=number):
            sink.add(state, batch, context)
        states.append(pickle.loads(pickle.dumps(state)) if travel else state)  # noqa: S301 - our own
    found = list(sink.batches(sink.merge(states, context), context))
    assert all(batch.rows <= vector for batch in found)
    ids = [f"{key}#key" for key in keys] + list(calls) + (["sets#id"] if sets is not None else [])
    return rows_of(found, ids)


def grouped(rows, keys):
    places = [list(TYPES).index(key) for key in keys]
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[place] for place in places), []).append(row)
    if not keys:
        groups.setdefault((), [])
    return groups


def same(found, wanted):
    if isinstance(found, float) and isinstance(wanted, int | float):
        return found == pytest.approx(wanted, rel=1e-9, abs=1e-6)
    return found == wanted


@pytest.mark.parametrize("keys", [(), ("k",), ("k", "j"), ("x",), ("f", "b"), ("s", "k", "j", "x")], ids=str)
@pytest.mark.parametrize(("slices", "vector"), [(1, 65_536), (1, 7), (4, 7), (4, 65_536)])
@given(rows=ROWS)
@settings(max_examples=5, deadline=None)
def test_every_aggregate_is_what_python_makes_of_the_rows_of_a_group(keys, slices, vector, rows):
    found = aggregated(rows, keys, CALLS, slices=slices, vector=vector, travel=slices > 1)
    groups = grouped(rows, keys)
    assert [row[: len(keys)] for row in found] == list(groups)  # in the order in which they were met
    for row in found:
        wanted = expected(groups[row[: len(keys)]])
        for name, value in zip(CALLS, row[len(keys) :], strict=True):
            assert same(value, wanted[name]), name


def test_without_rows_and_keys_there_is_one_row_of_nothing():
    (row,) = aggregated([], (), CALLS)
    assert dict(zip(CALLS, row, strict=True)) == expected([])


def test_without_rows_there_are_no_groups():
    assert aggregated([], ("k",), CALLS) == []
    assert aggregated([], ("k",), CALLS, slices=4) == []


def test_distinct_is_an_aggregate_without_calls():
    rows = [(b"a", 1, 0, 0, 0.0, b"", 1), (b"a", 1, 9, 0, 0.0, b"", 1), (b"a", None, 0, 0, 0.0, b"", 1)]
    assert aggregated(rows, ("k", "j"), {}, slices=2) == [(b"a", 1), (b"a", None)]


@given(rows=ROWS)
@settings(max_examples=10, deadline=None)
def test_grouping_sets_are_the_groups_of_each_set(rows):
    calls = {name: CALLS[name] for name in ("rows", "sum_x", "distinct_s", "median", "avg_d")}
    found = aggregated(rows, ("k", "j"), calls, sets=((0, 1), (0,), ()), slices=2)
    wanted = []
    for chosen, bits in ((("k", "j"), 0), (("k",), 1), ((), 3)):
        for key, of_group in grouped(rows, chosen).items():
            values = expected(of_group)
            wanted.append((*key, *[None] * (2 - len(key)), *(values[name] for name in calls), bits))
    assert len(found) == len(wanted)
    assert all(same(a, b) for x, y in zip(found, wanted, strict=True) for a, b in zip(x, y, strict=True))


def test_the_empty_grouping_set_has_a_row_even_without_input():
    assert aggregated([], ("k",), {"rows": CALLS["rows"]}, sets=((0,), ())) == [(None, 0, 1)]


def test_more_groups_than_slots_are_numbered_by_hash_and_keep_their_numbers():
    rows = [(None, i * 7919 % 100_003, i, i, 0.5, b"w%d" % (i % 200), None) for i in range(100_003)]
    found = aggregated(rows, ("j",), {"sum_x": CALLS["sum_x"]}, vector=10_000)
    assert found == [(row[1], row[2]) for row in rows]
    assert len(aggregated(rows, ("s",), {}, vector=10_000)) == 200
    assert len(aggregated(rows, ("s", "j"), {}, vector=10_000, slices=3)) == 100_003


def test_sums_do_not_overflow_on_the_way():
    most = 2**63 - 1
    rows = [(b"a", 0, most, 0, 0.0, b"", 1)] * 10 + [(b"a", 0, -most, 0, 0.0, b"", 1)] * 9
    calls = {"sum_x": CALLS["sum_x"], "avg_x": CALLS["avg_x"]}
    assert aggregated(rows, ("k",), calls) == [(b"a", most, most / 19)]
    assert aggregated(rows[:10], (), {"sum_x": CALLS["sum_x"]}, slices=3) == [(10 * most,)]


def test_a_sum_that_its_type_does_not_hold_is_an_error_with_a_place():
    rows = [(b"a", 0, 2**62, 0, 0.0, b"", 1)] * 3
    with pytest.raises(QueryError, match=r"SUM.*out of the range of BIGINT"):
        aggregated(rows, ("k",), {"s": call("sum", "x", type=types.BIGINT, position=3)})


def test_nan_is_one_group_and_minus_zero_is_zero():
    rows = [(b"", 0, 0, 0, f, b"", 1) for f in (math.nan, -0.0, -math.nan, 0.0)]
    found = aggregated(rows, ("f",), {"rows": CALLS["rows"]})
    assert [count for _, count in found] == [2, 2]


def test_an_infinite_sum_is_no_nan():
    rows = [(b"", 0, 0, 0, f, b"", 1) for f in (math.inf, 1.0)]
    assert aggregated(rows, ("k",), {"f": CALLS["sum_f"]}) == [(b"", math.inf)]


@pytest.mark.parametrize(
    ("function", "wanted"),
    [("corr", 1.0), ("covar_pop", 2.0 / 3 * 10), ("covar_samp", 10.0), ("regr_slope", 10.0), ("regr_intercept", 0.0)],
)
def test_pairs_are_compared_over_slices(function, wanted):
    rows = [(b"", j, 10 * j, 0, 0.0, b"", 1) for j in (1, 2, 3)] + [(b"", None, 5, 0, 0.0, b"", 1)]
    ((found,),) = aggregated(rows, (), {"p": call(function, "x", "j", type=types.DOUBLE)}, slices=3)
    assert found == pytest.approx(wanted)


def test_percentiles_lie_between_two_values():
    half = Constant(5, type=types.decimal(2, 1))
    rows = [(b"", 0, 0, cents, 0.0, b"", 1) for cents in (100, 201)]
    exact = call("percentile_cont", half, type=MONEY, order=(SortKey(of("d")),))
    rough = call("percentile_cont", half, type=types.DOUBLE, order=(SortKey(of("d")),))
    assert aggregated(rows, (), {"a": exact, "b": rough}) == [(151, 1.505)]


def test_a_fraction_beyond_1_is_refused():
    two = Constant(2, type=types.INTEGER)
    with pytest.raises(Invalid, match="between 0 and 1"):
        aggregated([], (), {"p": call("percentile_disc", two, type=MONEY, order=(SortKey(of("d")),))})


def test_an_unknown_function_is_refused_by_name():
    with pytest.raises(Invalid, match="no aggregate function 'summ'"):
        Aggregate(Plan(Values((), ()), (), (("s", call("summ", "x", type=types.BIGINT)),)))


def test_a_registered_function_gets_the_values_of_its_rows():
    functions = standard()
    functions.aggregate(
        "product", "double -> double", start=lambda: 1.0, update=lambda a, b: a * b, finish=lambda state: state
    )
    plan = Plan(Values((), ()), (("k", of("k")),), (("p", call("product", "f", type=types.DOUBLE)),))
    rows = [(b"a", 0, 0, 0, f, b"", 1) for f in (2.0, 3.0, None)] + [(b"b", 0, 0, 0, 5.0, b"", 1)]
    found = run(Aggregate(plan, functions), [batches(rows, TYPES, vector=2)])
    assert rows_of(found, ["k", "p"]) == [(b"a", 6.0), (b"b", 5.0)]


def test_groups_beyond_the_memory_are_refused_by_name():
    sink = Aggregate(Plan(Values((), ()), (("x", of("x")),), (("n", CALLS["rows"]),)))
    batch = Batch({"x": engine_column(list(range(5000)), types.BIGINT)}, 5000)
    with pytest.raises(TooLarge, match="GROUP BY has 5,000 groups"):
        sink.add(sink.start(), batch, Context(memory=10_000))


def test_a_sum_beyond_38_digits_is_an_error_at_its_place_also_where_slices_meet():
    sink = Aggregate(Plan(Values((), ()), (), (("s", call("sum", "x", type=types.decimal(38, 0))),)))
    most = Batch({"x": engine_column([10**38 - 1], types.decimal(38, 0))}, 1)
    context = Context()
    first, second = sink.start(), sink.start()
    for state in (first, second):
        sink.add(state, most, context)
    with pytest.raises(QueryError, match="SUM: a sum has more than 38 digits"):
        sink.merge([first, second], context)
    with pytest.raises(QueryError, match="SUM: a sum has more than 38 digits"):
        sink.add(first, most, context)
