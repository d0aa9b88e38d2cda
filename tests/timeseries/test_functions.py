"""The functions of Timestream's SQL: each by hand, and those over series against a model in plain Python."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import timeseries_functions as model
from timeseries.asking import SECOND, one, plain, sql

from engines.errors import QueryError

pa = pytest.importorskip("pyarrow")
DAY = 86_400 * SECOND
times = st.integers(0, 60).map(lambda n: n * SECOND // 2)
values = st.integers(-50, 50).map(float) | st.floats(-1e6, 1e6)
points = st.dictionaries(times, values, max_size=12).map(lambda found: sorted(found.items()))


def table(rows, **types):
    """Rows of (host, time, value)."""
    host, time, value = ([row[i] for row in rows] for i in range(3))
    kind = types.get("value", pa.float64())
    return pa.table(
        {"host": pa.array(host, pa.string()), "time": pa.array(time, pa.timestamp("ns")), "v": pa.array(value, kind)}
    )


def of_series(expression, *series, **tables):
    """The value of an expression over s (and r): series given as points."""
    names = "sr"[: len(series)]
    sources = {name: table([("x", *point) for point in given]) for name, given in zip(names, series, strict=True)}
    parts = ", ".join(f"(SELECT create_time_series(time, v) AS {name} FROM {name}) AS of_{name}" for name in sources)
    [[found]] = sql(**{name: sources[name] for name in sources}, **tables)(f"SELECT {expression} FROM {parts}")
    return found


def near(found, wanted):
    """Asserts that two values are equal, doubles nearly."""
    if isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for pair in zip(found, wanted, strict=True):
            near(*pair)
    else:
        assert found == wanted or found == pytest.approx(wanted, rel=1e-7, abs=1e-6, nan_ok=True)


# ---- times -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("5ns", 5),
        ("7us", 7_000),
        ("5ms", 5_000_000),
        ("15s", 15 * SECOND),
        ("10m", 600 * SECOND),
        ("2h", 7200 * SECOND),
        ("1d", DAY),
        ("INTERVAL '15' MINUTE", 900 * SECOND),
        ("INTERVAL '15' NANOSECOND", 15),
        ("parse_duration('2h')", 7200 * SECOND),
        ("1h * 2", 7200 * SECOND),
        ("2 * 1h + 30m", 9000 * SECOND),
        ("-1h", -3600 * SECOND),
        ("TIMESTAMP '1970-01-02' - TIMESTAMP '1970-01-01 00:00:00.000000001'", DAY - 1),
    ],
)
def test_durations_count_nanoseconds(text, wanted):
    assert one(f"SELECT {text}") == wanted


def test_a_duration_inside_a_text_a_name_or_a_number_is_none():
    rows = sql(t=pa.table({"15s": [1], "a1h": [2]}))("SELECT \"15s\", a1h, '10m', 1e3 FROM t")
    assert rows == [(1, 2, "10m", 1000.0)]


def test_intervals_compare_by_their_length():
    assert one("SELECT 60s = 1m AND 1h < 61m AND 1d >= 24h")
    assert one("SELECT max(d) FROM (VALUES 90s, 1m, 2ns) AS t (d)") == 90 * SECOND


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1970-01-01", 0),
        ("1970-01-01 00:00:01", SECOND),
        ("1970-01-01T00:00:01.5", 1_500_000_000),
        ("1970-01-01 00:00:00.000000001", 1),
        ("1970-01-01 00:00:00.123456789Z", 123_456_789),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01 01:30:00 +0130", 0),
        ("1969-12-31 23:59:59.999999999", -1),
    ],
)
def test_a_text_beside_a_time_is_a_time(text, wanted):
    assert one(f"SELECT TIMESTAMP '{text}'") == wanted
    assert one(f"SELECT from_iso8601_timestamp('{text}')") == wanted
    assert one(f"SELECT count(*) FROM (VALUES from_nanoseconds({wanted})) AS t (time) WHERE time = '{text}'") == 1


def test_a_text_that_is_no_time_is_an_error_at_its_place():
    with pytest.raises(QueryError, match="yesterday") as caught:
        one("SELECT count(*) FROM (VALUES now()) AS t (time) WHERE time > 'yesterday'")
    assert "^" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["1970-01-01 00:00:00.1234567890", "1970-13-01", "1970-01-01 25:00", "3000-01-01", "", "x"]
)
def test_a_text_that_is_no_time_of_nanoseconds_is_refused(text):
    with pytest.raises(QueryError):
        one(f"SELECT TIMESTAMP '{text}'")


def test_a_time_is_written_with_all_its_digits():
    assert one("SELECT CAST(from_nanoseconds(1) AS VARCHAR)") == "1970-01-01 00:00:00.000000001"
    assert one("SELECT CAST(from_nanoseconds(0) AS VARCHAR)") == "1970-01-01 00:00:00.000000000"


def test_now_and_ago_follow_the_clock():
    assert one("SELECT now()") == one("SELECT current_timestamp") == 1_000_000 * SECOND
    assert one("SELECT ago(15m)") == one("SELECT now() - 15m") == (1_000_000 - 900) * SECOND
    with pytest.raises(QueryError, match="1970"):
        one("SELECT ago(100d)")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("bin(-1, 60)", -60),
        ("bin(59, 60)", 0),
        ("bin(7.5, 2.5)", 7.5),
        ("bin(-0.5, 2.0)", -2.0),
        ("bin(from_nanoseconds(-1), 1m)", -60 * SECOND),
        ("bin(TIMESTAMP '1970-01-01 00:01:59.999999999', 1m)", 60 * SECOND),
        ("bin(NULL, 1m)", None),
        ("date_trunc('week', TIMESTAMP '1970-01-01 12:00:00')", -3 * DAY),
        ("date_trunc('month', TIMESTAMP '1970-02-28 12:00:00')", 31 * DAY),
        ("date_trunc('quarter', TIMESTAMP '1970-05-28')", 90 * DAY),
        ("date_trunc('year', TIMESTAMP '1971-05-28')", 365 * DAY),
        ("date_trunc('microsecond', from_nanoseconds(1999))", 1000),
        ("date_add('month', 1, TIMESTAMP '1970-01-31')", 58 * DAY),
        ("date_add('hour', -1, from_nanoseconds(5))", 5 - 3600 * SECOND),
        ("date_add('nanosecond', 3, from_nanoseconds(5))", 8),
        ("date_diff('hour', from_unixtime(0), from_unixtime(7199))", 1),
        ("date_diff('hour', from_unixtime(7199), from_unixtime(0))", -1),
        ("date_diff('month', TIMESTAMP '2026-01-31', TIMESTAMP '2026-02-28')", 1),
        ("date_diff('month', TIMESTAMP '2026-01-15', TIMESTAMP '2026-02-14')", 0),
        ("date_diff('year', TIMESTAMP '2026-02-14', TIMESTAMP '2024-02-15')", -1),
        ("year(TIMESTAMP '2026-11-25')", 2026),
        ("day_of_week(TIMESTAMP '2026-11-25')", 3),
        ("day_of_week(TIMESTAMP '2026-11-29')", 7),
        ("day_of_year(TIMESTAMP '2026-02-01')", 32),
        ("second(TIMESTAMP '2026-02-01 00:00:59.9')", 59),
        ("from_milliseconds(1500)", 1_500_000_000),
        ("from_unixtime(1.5)", 1_500_000_000),
        ("from_unixtime(-0.25)", -250_000_000),
        ("to_unixtime(from_milliseconds(1500))", 1.5),
        ("to_milliseconds(from_nanoseconds(-1))", -1),
        ("to_nanoseconds(1m)", 60 * SECOND),
        ("TIMESTAMP '1970-01-31' + INTERVAL '1' MONTH", 58 * DAY),
    ],
)
def test_functions_of_times(text, wanted):
    assert one(f"SELECT {text}") == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bin(now(), 0s * 1)", "above 0"),
        ("bin(5, 0)", "above 0"),
        ("bin(now(), INTERVAL '1' MONTH)", "date_trunc"),
        ("date_trunc('fortnight', now())", "nanosecond, .*year"),
        ("date_add('day', 200000, now())", "64 bits"),
        ("from_unixtime(1e30)", "64 bits"),
        ("parse_duration('fast')", "duration"),
        ("ago('1h')", "without quotes"),
        ("bin(now(), '1h')", "no quotes"),
        ("ago(1w)", "1w is no duration.* h, d"),
        ("time_bucket(1m, now())", "bin"),
        ("mean(5)", "AVG"),
        ("time(1h)", "bin"),
        ("time_bucket_gapfill(1m, now())", "SEQUENCE"),
        ("sequence(1, 5, 0)", "not 0"),
        ("sequence(1, 5, -1)", "leads from"),
        ("sequence(1, 2000000)", "1,000,000"),
        ("element_at(array[1], 0)", "no place 0"),
    ],
)
def test_what_has_no_value_is_an_error_with_a_caret(text, said):
    with pytest.raises(QueryError, match=f"(?s){said}.*\\^"):
        one(f"SELECT {text}")


@given(t=st.integers(-(2**62), 2**62), width=st.integers(1, 2**40))
@settings(max_examples=60)
def test_bin_is_the_multiple_below(t, width):
    assert one("SELECT bin(:t, :width)", t=t, width=width) == t // width * width


# ---- series ------------------------------------------------------------------------------------------------------


def test_create_time_series_sorts_and_leaves_out_nulls():
    rows = [("a", 30, 3.0), ("a", 0, 1.0), ("a", None, 9.0), ("a", 10, None), ("b", 5, 7.0), ("c", 1, None)]
    found = sql(t=table(rows))("SELECT host, create_time_series(time, v) FROM t GROUP BY host ORDER BY host")
    assert found == [("a", [(0, 1.0), (30, 3.0)]), ("b", [(5, 7.0)]), ("c", None)]
    assert sql(t=table([]))("SELECT create_time_series(time, v) FROM t") == [(None,)]


def test_a_series_keeps_the_type_of_its_values():
    for kind, value in ((pa.int64(), 2**60), (pa.string(), "up"), (pa.bool_(), True)):
        assert sql(t=table([("a", 1, value)], value=kind))("SELECT create_time_series(time, v) FROM t") == [
            ([(1, value)],)
        ]


def test_two_values_for_one_time_are_an_error():
    from engines.timeseries.functions import Refused  # noqa: PLC0415 - the store makes a QueryError of it

    ask = sql(t=table([("a", 1, 1.0), ("b", 1, 2.0)]))
    with pytest.raises(Refused) as caught:
        ask("SELECT create_time_series(time, v) FROM t")
    assert "aggregate first" in caught.value.message
    assert len(ask("SELECT create_time_series(time, v) FROM t GROUP BY host")) == 2


GRID = "transform(sequence(0, 40), x -> from_milliseconds(x * 750))"
ASKED = [n * 750_000_000 for n in range(41)]


@given(series=points)
@settings(max_examples=40)
@pytest.mark.parametrize(
    ("name", "function", "more"),
    [
        ("interpolate_linear", model.linear, ()),
        ("interpolate_locf", model.locf, ()),
        ("interpolate_fill", model.fill, (7.5,)),
        ("interpolate_spline_cubic", model.spline, ()),
    ],
)
def test_interpolation_agrees_with_the_model(name, function, more, series):
    arguments = "".join(f", {value}" for value in more)
    found = of_series(f"{name}(s, {GRID}{arguments})", series)
    near(found, model.over(function, series or None, ASKED, *more))
    at = ASKED[7]
    single = of_series(f"{name}(s, from_nanoseconds({at}){arguments})", series)
    near(single, function(series, at, *more) if series else None)


def test_interpolation_by_hand():
    series = [(0, 1.0), (10 * SECOND, 5.0), (30 * SECOND, 3.0)]
    steps = "sequence(from_unixtime(0), from_unixtime(40), 5s)"
    values = {
        "linear": [1, 3, 5, 4.5, 4, 3.5, 3],
        "locf": [1, 1, 5, 5, 5, 5, 3, 3, 3],
    }
    for name, wanted in values.items():
        assert [value for _, value in of_series(f"interpolate_{name}(s, {steps})", series)] == wanted
    filled = of_series(f"interpolate_fill(s, {steps}, 7)", series)
    assert [value for _, value in filled] == [1, 7, 5, 7, 7, 7, 3, 7, 7]
    assert of_series("interpolate_spline_cubic(s, from_unixtime(20))", series) == pytest.approx(5.25)
    assert of_series("interpolate_spline_cubic(s, from_unixtime(31))", series) is None
    assert of_series("interpolate_linear(s, array[from_unixtime(5), NULL, from_unixtime(5)])", series) == [
        (5 * SECOND, 3.0)
    ]


def test_a_point_is_given_back_bit_for_bit():
    series = [(0, 0.1), (SECOND, -0.0), (3 * SECOND, 1e300)]
    for name in ("linear", "locf", "spline_cubic"):
        found = of_series(f"interpolate_{name}(s, sequence(from_unixtime(0), from_unixtime(3), 1s))", series)
        known = dict(found)
        assert [known[time].hex() for time, _ in series] == [value.hex() for _, value in series]


@given(series=points)
@settings(max_examples=40)
def test_derivatives_and_integrals_agree_with_the_model(series):
    if not series:
        assert of_series("derivative_linear(s)", series) is None
        assert of_series("integral_trapezoidal(s)", series) is None
        return
    near(of_series("derivative_linear(s)", series), model.derivative(series))
    near(of_series("derivative_linear(s, 1m)", series), model.derivative(series, 60 * SECOND))
    near(of_series("non_negative_derivative_linear(s)", series), model.non_negative_derivative(series))
    near(of_series("integral_trapezoidal(s)", series), model.integral(series))
    near(of_series("integral_trapezoidal(s, 1h)", series), model.integral(series, 3600 * SECOND))


@given(rows=st.dictionaries(times, st.tuples(values, values), max_size=12))
@settings(max_examples=40)
def test_correlations_agree_with_the_model(rows):
    one_ = [(time, pair[0]) for time, pair in sorted(rows.items())]
    two = [(time, pair[1]) for time, pair in sorted(rows.items())]
    for name, function in (("pearson", model.pearson), ("spearman", model.spearman)):
        found = of_series(f"correlate_{name}(s, r)", one_, two)
        if not rows:
            assert found is None
        else:
            wanted = function(one_, two)
            assert math.isnan(found) or math.isnan(wanted) or found == pytest.approx(wanted, abs=1e-5)


def test_correlation_of_other_times_is_an_error():
    with pytest.raises(QueryError, match="interpolate"):
        of_series("correlate_pearson(s, r)", [(0, 1.0), (1, 2.0)], [(0, 1.0), (2, 2.0)])
    assert math.isnan(of_series("correlate_pearson(s, r)", [(0, 1.0)], [(0, 1.0)]))
    assert math.isnan(of_series("correlate_spearman(s, r)", [(0, 1.0), (1, 1.0)], [(0, 1.0), (1, 2.0)]))


def test_series_of_several_groups_do_not_run_into_each_other():
    rows = [("a", 0, 1.0), ("a", SECOND, 3.0), ("b", 0, 10.0), ("c", SECOND, 5.0), ("c", 2 * SECOND, 4.0)]
    found = sql(t=table(rows))(
        "SELECT host, derivative_linear(s), integral_trapezoidal(s), interpolate_locf(s, from_unixtime(1)) "
        "FROM (SELECT host, create_time_series(time, v) AS s FROM t GROUP BY host) ORDER BY host"
    )
    assert found == [
        ("a", [(SECOND, 2.0)], 2.0, 3.0),
        ("b", [], 0.0, 10.0),
        ("c", [(2 * SECOND, -1.0)], 4.5, 5.0),
    ]


# ---- arrays and lambdas ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sequence(1, 10, 3)", [1, 4, 7, 10]),
        ("sequence(5, 1, -2)", [5, 3, 1]),
        ("sequence(3, 3)", [3]),
        ("sequence(from_unixtime(0), from_unixtime(86400))", [0, DAY]),
        ("cardinality(array[1, NULL])", 2),
        ("cardinality(NULL)", None),
        ("element_at(array[1, 2], 2)", 2),
        ("element_at(array[1, 2], -2)", 1),
        ("element_at(array[1, 2], 3)", None),
        ("array[1, 2][1]", 1),
        ("contains(array[1, 2], 2)", True),
        ("contains(array[1, NULL], 2)", None),
        ("contains(array['a'], 'b')", False),
        ("slice(array[1, 2, 3], 2, 5)", [2, 3]),
        ("slice(array[1, 2, 3], -2, 1)", [2]),
        ("slice(array[1, 2, 3], 7, 1)", []),
        ("filter(array[1, 2, 3], x -> x > 1)", [2, 3]),
        ("transform(array[1, 2], x -> x * 1.5)", [1.5, 3.0]),
        ("transform(array['a'], x -> upper(x) || '!')", ["A!"]),
        ("zip_with(array[1, 2, 3], array[10, 20], (a, b) -> a + b)", [11, 22, None]),
        ("reduce(array[1, 2, 3], 0, (s, x) -> s + x, s -> s * 10)", 60),
        ("reduce(array[0.5, 0.25], 0, (s, x) -> s + x, s -> s)", 0.75),
        ("reduce(array[1], 0, (s, x) -> s + x, s -> CAST(s AS VARCHAR))", "1"),
        ("any_match(array[1, NULL], x -> x > 0)", True),
        ("any_match(array[0, NULL], x -> x > 0)", None),
        ("all_match(array[1, 2], x -> x > 0)", True),
        ("all_match(array[0, NULL], x -> x > 0)", False),
        ("none_match(array[0], x -> x > 0)", True),
        ("transform(array[1], x -> transform(array[10], y -> x + y))", [[11]]),
        ("CAST(ROW(1, 'x') AS ROW(a bigint, b varchar)).b", "x"),
    ],
)
def test_functions_of_arrays(text, wanted):
    found = one(f"SELECT {text}")
    assert (
        [float(x) if isinstance(x, object) and type(x).__name__ == "Decimal" else x for x in found] == wanted
        if (isinstance(found, list))
        else found == wanted
    )


def test_lambdas_see_points_and_the_row_around_them():
    rows = [("a", 0, 1.0), ("a", 10, 5.0), ("b", 0, 2.0)]
    found = sql(t=table(rows))(
        "SELECT host, filter(s, x -> x.value > 1 AND x.time < from_nanoseconds(11)), "
        "transform(s, x -> x.value * m), reduce(s, 0.0, (t, x) -> t + x.value, t -> t / m), "
        "any_match(s, x -> x.value = m), "
        "transform(s, x -> CAST(ROW(x.time, host) AS ROW(at timestamp, of varchar)).of) "
        "FROM (SELECT host, create_time_series(time, v) AS s, max(v) AS m FROM t GROUP BY host) ORDER BY host"
    )
    assert found == [
        ("a", [(10, 5.0)], [5.0, 25.0], 1.2, True, ["a", "a"]),
        ("b", [(0, 2.0)], [4.0], 1.0, True, ["b"]),
    ]


def test_a_null_series_gives_null():
    ask = sql(t=table([("a", 0, None), ("b", 0, 1.0)]))
    for call in ("filter(s, x -> true)", "transform(s, x -> 1)", "cardinality(s)", "derivative_linear(s)"):
        found = ask(
            f"SELECT {call} FROM (SELECT host, create_time_series(time, v) AS s FROM t GROUP BY host) ORDER BY host"
        )
        assert found[0] == (None,)
        assert found[1] != (None,)


def test_unnest_gives_a_row_a_point():
    rows = [("a", 0, 1.0), ("a", 10, 5.0), ("b", 0, None), ("c", 3, 4.0)]
    ask = sql(t=table(rows))
    base = "(SELECT host, create_time_series(time, v) AS s FROM t GROUP BY host) AS q"
    wanted = [("a", 0, 1.0), ("a", 10, 5.0), ("c", 3, 4.0)]
    assert ask(f"SELECT host, time, value FROM {base} CROSS JOIN UNNEST(s) ORDER BY 1, 2") == wanted
    assert ask(f"SELECT host, u.t, x FROM {base} CROSS JOIN UNNEST(s) AS u (t, x) ORDER BY 1, 2") == wanted
    numbered = ask(f"SELECT host, n FROM {base} CROSS JOIN UNNEST(s) WITH ORDINALITY AS u (t, x, n) ORDER BY 1, 2")
    assert numbered == [("a", 1), ("a", 2), ("c", 1)]
    assert ask("SELECT a, b FROM UNNEST(array[1, 2], array['x']) AS u (a, b)") == [(1, "x"), (2, None)]
    assert ask("SELECT x FROM UNNEST(sequence(1, 3)) AS u (x)") == [(1,), (2,), (3,)]
    kept = ask(f"SELECT host, value FROM {base} LEFT JOIN UNNEST(s) ON TRUE WHERE host = 'b'")
    assert kept == [("b", None)]


# ---- aggregates --------------------------------------------------------------------------------------------------


def test_max_by_takes_the_first_of_equals_and_leaves_out_nulls():
    rows = [("a", 1, 5.0), ("b", 2, 5.0), ("c", None, 1.0), ("d", 0, None)]
    ask = sql(t=table(rows))
    assert ask("SELECT max_by(host, v), min_by(host, v), max_by(v, time), max_by(host, time, 2) FROM t") == [
        ("a", "c", 5.0, ["b", "a"])
    ]
    assert ask("SELECT max_by(host, v, 10), min_by(v, time, 1) FROM t") == [(["a", "b", "c"], [None])]
    assert ask("SELECT max_by(host, v), max_by(host, v, 2) FROM t WHERE host = 'z'") == [(None, None)]


def test_nan_is_the_greatest():
    rows = [("a", 1, float("nan")), ("b", 2, 1.0), ("c", 3, float("inf"))]
    ask = sql(t=table(rows))
    assert ask("SELECT host FROM t ORDER BY v DESC") == [("a",), ("c",), ("b",)]
    [(most, least, who)] = ask("SELECT max(v), min(v), max_by(host, v) FROM t")
    assert math.isnan(most)
    assert (least, who) == (1.0, "a")


def test_nulls_come_last_both_ways():
    ask = sql(t=table([("a", 1, None), ("b", 2, 1.0)]))
    assert ask("SELECT host FROM t ORDER BY v") == ask("SELECT host FROM t ORDER BY v DESC") == [("b",), ("a",)]


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30), st.integers(0, 100))
@settings(max_examples=40)
def test_approx_percentile_is_the_nearest_rank(found, percent):
    rank = max(-(-percent * len(found) // 100), 1)
    ask = sql(t=table([("a", i, value) for i, value in enumerate(found)]))
    share = percent / 100
    wanted = sorted(found)[rank - 1]
    [(alone, several)] = ask(
        f"SELECT approx_percentile(v, {share:.2f}), approx_percentile(v, array[{share:.2f}, 0]) FROM t"
    )
    assert (alone, several) == (wanted, [wanted, min(found)])


def test_the_sum_of_bigint_is_bigint_or_an_error():
    ask = sql(t=table([("a", 1, 2**62), ("a", 2, 2**62 - 1)], value=pa.int64()))
    assert ask("SELECT sum(v), avg(v) FROM t") == [(2**63 - 1, pytest.approx(2.0**62))]
    with pytest.raises(QueryError):
        sql(t=table([("a", 1, 2**62), ("a", 2, 2**62)], value=pa.int64()))("SELECT sum(v) FROM t")


def test_windows_without_rows():
    ask = sql(t=table([]))
    assert ask("SELECT count(*), sum(v), max(v), approx_percentile(v, 0.5) FROM t") == [(0, None, None, None)]
    assert ask("SELECT host, count(*) FROM t GROUP BY host") == []


def test_arrow_holds_nanoseconds_and_series():
    from engines.clock import ManualClock  # noqa: PLC0415 - of this test alone
    from engines.sql.engine import SQL, MemoryCatalog  # noqa: PLC0415 - as above
    from engines.timeseries.dialect import TIMESTREAM  # noqa: PLC0415 - as above

    floor = SQL(MemoryCatalog({"t": table([("a", 1, 2.0)])}), dialect=TIMESTREAM, clock=ManualClock())
    found = floor.query("SELECT time, create_time_series(time, v) AS s, 1h AS d FROM t GROUP BY time").to_arrow()
    assert found.schema.field("time").type == pa.timestamp("ns")
    assert found.schema.field("s").type == pa.list_(pa.struct([("time", pa.timestamp("ns")), ("value", pa.float64())]))
    assert found.schema.field("d").type == pa.duration("ns")
    assert found["s"].to_pylist()[0][0]["value"] == 2.0
    assert plain(floor.query("SELECT time FROM t").rows()[0][0]) == 1
    assert "1970-01-01 00:00:00.000000001" in str(floor.query("SELECT time FROM t"))
