"""What users may pass for times, dimensions and measures, and what they are told where they may not."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.clock import ManualClock
from engines.errors import Invalid, TooLarge
from engines.timeseries import RejectedRecords, TimeSeries
from engines.timeseries.intake import columns_of, values_of, words_of
from engines.timeseries.moments import moment, times_of

DAY = 86_400 * 10**9
NEW_YEAR = 20_454 * DAY  # 2026-01-01


@pytest.mark.parametrize(
    "given_time",
    [
        NEW_YEAR,
        np.int64(NEW_YEAR),
        np.datetime64("2026-01-01"),
        np.datetime64("2026-01-01T00:00:00", "ms"),
        dt.datetime(2026, 1, 1),  # noqa: DTZ001 - without a zone it means UTC
        dt.datetime(2026, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        dt.date(2026, 1, 1),
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "2026-01-01 01:00:00.000+01:00",
        " 2025-12-31T22:30 -0130 ",
    ],
)
def test_a_moment_may_be_written_in_many_ways(given_time):
    assert moment(given_time) == NEW_YEAR
    assert times_of([given_time, given_time]).tolist() == [NEW_YEAR] * 2
    assert times_of(given_time).tolist() == [NEW_YEAR]


def test_nanoseconds_are_kept():
    assert moment("2026-01-01T00:00:00.123456789Z") == NEW_YEAR + 123_456_789
    assert moment("2026-01-01T00:00:00.5") == NEW_YEAR + 500_000_000
    assert times_of(np.array(["2026-01-01T00:00:00.000000007"], "datetime64[ns]")).tolist() == [NEW_YEAR + 7]
    pandas = pytest.importorskip("pandas")
    assert moment(pandas.Timestamp("2026-01-01T00:00:00.000000007")) == NEW_YEAR + 7


@pytest.mark.parametrize(
    ("given_time", "message"),
    [
        ("yesterday", "row 0: 'yesterday' is no time"),
        ("2026-13-01", "row 0: '2026-13-01' is no time: month"),
        (None, "None is no time"),
        (True, "True is no time"),
        (1.5, "1.5 is no time"),
        (-1, "row 0 is negative"),
        ("1969-12-31", "row 0 is negative"),
        (2**63, "out of range"),
        ("9999-01-01", "out of range"),
        (np.array([1, 2**63], np.uint64), "out of range"),
        (np.array(["9999-01-01"], "datetime64[s]"), "row 0 is out of range"),
        (np.array(["2026-01-01", "NaT"], "datetime64[s]"), "row 1 is missing"),
        (np.datetime64("NaT"), "NaT is no time"),
        (np.zeros((2, 2), np.int64), "2 dimensions"),
        (np.ma.masked_array([1, 2], [0, 1]), "row 1 is missing"),
    ],
)
def test_what_is_no_time_is_named_with_its_row(given_time, message):
    with pytest.raises(Invalid, match=message):
        times_of(given_time)


def test_dimensions_are_texts_for_all_rows_or_for_each():
    assert words_of("a", 3, "host").codes.tolist() == [0]
    for given_words in (["a", None, "b", "a"], np.array(["a", None, "b", "a"], object)):
        found = words_of(given_words, 4, "host")
        assert found.words == ("a", "b")
        assert found.codes.tolist() == [0, -1, 1, 0]
    masked = np.ma.masked_array(["a", "x", "b", "a"], [0, 1, 0, 0])
    assert words_of(masked, 4, "host").codes[1] == -1


@pytest.mark.parametrize(
    ("given_words", "message"),
    [
        (["a", float("nan")], "host in row 1 is NaN"),
        (["a", 7], "host in row 1 is 7, a int"),
        (["a", ["b"]], r"host in row 1 is \['b'\], a list"),
        (["a"] * 3, "host has 3 values, time has 2"),
        (["a", "\ud800"], "no Unicode text"),
        (7, "host in row 0 is 7"),
    ],
)
def test_what_is_no_dimension_is_named_with_its_row(given_words, message):
    with pytest.raises(Invalid, match=message):
        words_of(given_words, 2, "host")


@pytest.mark.parametrize(
    ("given_values", "kind", "data", "valid"),
    [
        ([1.5, None], "double", [1.5, 0.0], [1, 0]),
        ([1, 2.5], "double", [1.0, 2.5], None),
        ([1, 2], "bigint", [1, 2], None),
        ([True, None], "boolean", [1, 0], [1, 0]),
        ([dt.date(2026, 1, 1), None], "timestamp", [NEW_YEAR, 0], [1, 0]),
        (np.array([1, 2], np.int8), "bigint", [1, 2], None),
        (np.array([1.5, 2], np.float32), "double", [1.5, 2.0], None),
        (np.array([True, False]), "boolean", [1, 0], None),
        (np.array([NEW_YEAR, 0], "datetime64[ns]"), "timestamp", [NEW_YEAR, 0], None),
        (np.array(["2026-01-01", "NaT"], "datetime64[D]"), "timestamp", [NEW_YEAR, 0], [1, 0]),
        (np.ma.masked_array([1.5, 9.0], [0, 1]), "double", [1.5, 0.0], [1, 0]),
    ],
)
def test_a_measure_has_the_type_of_its_values(given_values, kind, data, valid):
    found = values_of(given_values, 2, "x")
    there = found.valid if found.valid is not None else np.ones(2, np.uint8)
    assert found.type == kind
    assert np.where(there, found.data, 0).tolist() == data
    assert (None if found.valid is None else found.valid.tolist()) == valid


@pytest.mark.parametrize("given_time", [dt.datetime(1960, 1, 1, tzinfo=dt.UTC), np.datetime64("1960-01-01"), "1960-01-01"])
def test_a_moment_may_lie_before_1970_where_it_is_no_time_of_a_record(given_time):
    assert moment(given_time) == -3_653 * 86_400 * 10**9
    if not isinstance(given_time, str):
        assert values_of([given_time], 1, "x").data.tolist() == [moment(given_time)]


def test_a_moment_that_64_bits_do_not_hold_is_named_with_its_row():
    with pytest.raises(Invalid, match="x in row 1 is out of range"):
        values_of(np.array(["2026-01-01", "9999-01-01"], "datetime64[s]"), 2, "x")
    with pytest.raises(Invalid, match=r"9999-01-01.* is out of range"):
        moment(np.datetime64("9999-01-01"))


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=9)))
def test_texts_of_numpy_are_told_apart(texts):
    array = np.array(texts, f"U{max([1, *map(len, texts)])}")
    found = words_of(array, len(texts), "host")
    assert [found.words[code] for code in found.codes] == texts
    assert len(set(found.words)) == len(found.words)


def test_more_distinct_texts_than_are_hashed():
    array = np.arange(70_000).astype("U")
    found = words_of(array, len(array), "host")
    assert found.words == tuple(array.tolist())
    assert found.codes.tolist() == list(range(70_000))


def test_texts_as_measures_are_coded():
    for given_values in (["up", None, "down"], np.ma.masked_array(["up", "-", "down"], [0, 1, 0])):
        found = values_of(given_values, 3, "state")
        assert found.type == "varchar"
        assert [found.words[code] for code in found.data[[0, 2]]] == ["up", "down"]
        assert found.valid.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        ([1.0, "a"], "x in row 1 is VARCHAR after DOUBLE"),
        ([1, True], "x in row 1 is BOOLEAN after BIGINT"),
        ([1, b"a"], "x in row 1 is b'a', a bytes"),
        ([1, 2**63], "x in row 1 is 9223372036854775808, which does not fit BIGINT"),
        (np.array([1, 2**63], np.uint64), "x in row 1 does not fit BIGINT"),
        ([None, None], "x has no value in any row"),
        ([1], "x has 1 values, time has 2"),
        (np.zeros((2, 2)), "2 dimensions"),
        (np.array([1j, 2j]), "complex128"),
    ],
)
def test_what_is_no_measure_is_named_with_its_row(given_values, message):
    with pytest.raises(Invalid, match=message):
        values_of(given_values, 2, "x")


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_every_bit_of_a_double_is_kept(patterns):
    bits = np.array(patterns, np.uint64)
    assert values_of(bits.view(np.float64), len(bits), "x").data.view(np.uint64).tolist() == patterns


def test_columns_of_arrow_pandas_and_polars_mean_the_same():
    pa = pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    table = pa.table(
        {
            "time": pa.array([NEW_YEAR, NEW_YEAR + 1], pa.timestamp("ns")),
            "host": pa.array(["a", None]),
            "usage": pa.array([1.5, None]),
            "cores": pa.array([None, 2]),
            "up": pa.array([True, None]),
            "state": pa.array([None, "x"]).dictionary_encode(),
            "since": pa.array([dt.date(2026, 1, 1), None]),
        }
    )
    frames = [table, table.to_pandas(types_mapper=pandas.ArrowDtype)]
    polars = pytest.importorskip("polars")
    frames.append(polars.from_arrow(table))
    for frame in frames:
        found = columns_of(
            frame["time"], {"host": frame["host"]}, {n: frame[n] for n in ("usage", "cores", "up", "state", "since")}
        )
        assert found.times.tolist() == [NEW_YEAR, NEW_YEAR + 1]
        assert found.dimensions["host"].codes.tolist() == [0, -1]
        kinds = {name: values.type for name, values in found.measures.items()}
        assert kinds == {
            "usage": "double", "cores": "bigint", "up": "boolean", "state": "varchar", "since": "timestamp",
        }  # fmt: skip
        assert [values.valid.tolist() for values in found.measures.values()] == [[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]]
        assert found.measures["since"].data[0] == NEW_YEAR


def test_pandas_objects_and_zones():
    pandas = pytest.importorskip("pandas")
    times = pandas.Series(pandas.to_datetime(["2026-01-01T01:00:00+01:00"] * 2))
    found = columns_of(times, {"host": pandas.Series(["a", "b"], dtype="category")}, {"x": pandas.Series([1, 2])})
    assert found.times.tolist() == [NEW_YEAR] * 2
    assert found.dimensions["host"].words == ("a", "b")
    assert found.measures["x"].type == "bigint"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({}, {}), Invalid, "at least one measure"),
        (({"": "a"}, {"x": 1}), Invalid, "name of a dimension is a text that is not empty"),
        (({"h" * 61: "a"}, {"x": 1}), Invalid, "at most 60 bytes"),
        (({"x": "a"}, {"x": 1}), Invalid, "both a dimension and a measure"),
        (({}, {"": 1}), Invalid, "name of a measure"),
        (({str(i): "a" for i in range(129)}, {"x": 1}), TooLarge, "at most 128 dimensions"),
        (({}, {str(i): 1 for i in range(1025)}), TooLarge, "at most 1,024 measures"),
    ],
)
def test_limits_and_names(arguments, error, message):
    with pytest.raises(error, match=message):
        columns_of(0, *arguments)


@pytest.mark.parametrize("version", [0, -1, True, 1.5, "1", [1, 2, 3], 2**63])
def test_versions_are_whole_numbers_from_1(version):
    with pytest.raises(Invalid, match="version"):
        columns_of([0, 1], {}, {"x": [1, 2]}, version=version)


def test_a_scalar_everywhere_is_one_record():
    found = columns_of("2026-01-01", {"host": "a"}, {"x": 1.5}, measure_name="cpu", version=3)
    assert len(found) == 1
    assert found.measure_name.words == ("cpu",)
    assert found.versions.tolist() == [3]
    with pytest.raises(Invalid, match="measure_name"):
        columns_of(0, {}, {"x": 1}, measure_name="")


def test_arrays_that_their_user_changes_afterwards_change_nothing_here():
    times, usage = np.arange(5) + NEW_YEAR, np.arange(5.0)
    with TimeSeries(clock=ManualClock(NEW_YEAR // 1000)) as db:
        db.create_table("cpu").write(times, {"host": "a"}, {"usage": usage})
        usage[:] = 99
        times[:] = 7
        assert [row.usage for row in db.sql("SELECT usage FROM cpu ORDER BY time").rows()] == [0, 1, 2, 3, 4]


def test_a_call_of_which_every_record_is_refused_leaves_nothing():
    with TimeSeries(clock=ManualClock(NEW_YEAR // 1000)) as db:
        table = db.create_table("cpu")
        with pytest.raises(RejectedRecords, match="2 records were refused") as caught:
            table.write([NEW_YEAR + DAY, NEW_YEAR + 2 * DAY], {"host": ["a", "b"]}, {"usage": [1.0, 2.0]})
        assert [one.index for one in caught.value.result.rejected] == [0, 1]
        assert "others" not in str(caught.value)
        assert len(table.parts()) == 0


@pytest.mark.parametrize("unit", [1, 10**3, 10**6])
def test_seconds_in_the_place_of_nanoseconds_are_named_where_retention_refuses_them(unit):
    with TimeSeries(clock=ManualClock(NEW_YEAR // 1000)) as db:
        table = db.create_table("cpu", magnetic="365d")
        times = [NEW_YEAR // 10**9 * unit, NEW_YEAR - 400 * DAY, NEW_YEAR]
        with pytest.raises(RejectedRecords, match=r"a whole number counts nanoseconds.*; the others are") as caught:
            table.write(times, {"host": "a"}, {"usage": [1.0, 2.0, 3.0]})
        assert ["1970" in one.reason for one in caught.value.result.rejected] == [True, False]
