"""Arrow and columns hold the same values, whichever way they go."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")

from engines.errors import Invalid  # noqa: E402 - after the skip
from engines.sql import types  # noqa: E402
from engines.sql.arrow import batches_of, from_arrow, table_of, to_arrow, type_of_arrow  # noqa: E402
from engines.sql.column import gather  # noqa: E402
from engines.sql.sources import ArrowSource, table_source  # noqa: E402
from engines.sql.values import engine_value, numpy_array, python_values, type_of  # noqa: E402

NOON = dt.datetime(2020, 1, 2, 12, tzinfo=dt.UTC)
SAMPLES = {
    "smallint": (pa.int16(), [1, None, -5]),
    "over int64": (pa.decimal128(38, 2), [Decimal("123456789012345678901234567.50"), None, Decimal("-3.25")]),
    "decimal": (pa.decimal128(15, 2), [Decimal("1.50"), None, Decimal("-3.25")]),
    "text": (pa.string(), ["a", None, "ü"]),
    "large text": (pa.large_string(), ["a", None, "ü"]),
    "text views": (pa.string_view(), ["a", None, "a text that is longer than twelve bytes"]),
    "codes": (pa.dictionary(pa.int32(), pa.string()), ["a", None, "a"]),
    "boolean": (pa.bool_(), [True, None, False]),
    "double": (pa.float64(), [1.5, None, -0.0]),
    "real": (pa.float32(), [1.5, None, 2.0]),
    "date": (pa.date32(), [dt.date(2020, 1, 2), None, dt.date(1, 1, 1)]),
    "timestamp": (pa.timestamp("ms", "UTC"), [NOON, None, NOON - dt.timedelta(days=30_000)]),
    "time": (pa.time32("s"), [dt.time(1, 2, 3), None, dt.time(0)]),
    "bytes": (pa.binary(), [b"\xff", None, b""]),
    "nothing": (pa.null(), [None, None, None]),
    "list": (pa.list_(pa.int64()), [[1, 2], None, [3]]),
    "row": (pa.struct([("a", pa.int64()), ("b", pa.string())]), [{"a": 1, "b": "x"}, None, {"a": None, "b": "z"}]),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_values_survive_the_way_from_arrow_and_back(name):
    arrow, values = SAMPLES[name]
    whole = pa.array(values, arrow)
    for start, count in ((0, 3), (1, 2), (2, 1), (3, 0)):
        array = whole.slice(start, count)
        column = from_arrow(array, name)
        assert python_values(column, count) == values[start : start + count]
        assert to_arrow(column, count).to_pylist() == array.to_pylist()
        assert len(numpy_array(column, count)) == count


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in {"list", "row"}])
def test_a_gathered_column_holds_the_values_at_the_positions(name):
    arrow, values = SAMPLES[name]
    column = from_arrow(pa.array(values, arrow))
    at = np.array([2, 0, -1, 1, 0], np.int32)
    expected = [None if i < 0 else values[i] for i in at.tolist()]
    assert python_values(gather(column, at, outer=True), 5) == expected


def test_garbage_under_a_null_is_cleared():
    array = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(b"\x01" * 16)])
    assert from_arrow(array).data.tolist() == [0x0101010101010101, 0]


def test_what_no_sql_type_holds_is_refused_by_name():
    with pytest.raises(Invalid, match="'d' is of Arrow's type duration"):
        type_of_arrow(pa.duration("s"), "d")


def test_batches_have_at_most_so_many_rows_and_make_the_same_table():
    table = pa.table({"n": pa.array(range(1000), pa.int64()), "t": [str(i) for i in range(1000)]})
    batches = list(batches_of(table, 64))
    assert max(batch.rows for batch in batches) == 64
    columns = [("n", "n", types.BIGINT), ("t", "t", types.VARCHAR)]
    assert table_of(batches, columns).equals(table)


def test_a_dict_of_arrays_and_a_table_are_tables_and_a_number_is_none():
    assert [field.name for field in table_source("t", {"a": [1, 2]}).schema()] == ["a"]
    assert isinstance(table_source("t", pa.table({"a": [1]})), ArrowSource)
    with pytest.raises(Invalid, match="int is no table"):
        table_source("t", 7)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (True, "BOOLEAN"),
        (1, "INTEGER"),
        (2**40, "BIGINT"),
        (2**70, "DECIMAL(22,0)"),
        (Decimal("1.25"), "DECIMAL(3,2)"),
        (1.5, "DOUBLE PRECISION"),
        ("a", "VARCHAR"),
        (b"a", "VARBYTE"),
        (NOON.date(), "DATE"),
        (NOON, "TIMESTAMPTZ"),
        (NOON.replace(tzinfo=None), "TIMESTAMP"),
        (None, "NULL"),
    ],
)
def test_a_parameter_has_the_type_of_its_value(value, name):
    assert str(type_of(value)) == name


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("x", types.INTEGER),
        (1.5, types.BIGINT),
        (40_000, types.SMALLINT),
        (Decimal("1.234"), types.decimal(5, 2)),
        (3, types.VARCHAR),
    ],
)
def test_what_is_no_value_of_a_type_is_refused(value, kind):
    with pytest.raises(Invalid, match=r"no value of type|out of the range"):
        engine_value(value, kind)


def test_moments_that_64_bits_do_not_hold_are_refused_and_not_wrapped():
    with pytest.raises(Invalid, match="do not hold"):
        from_arrow(pa.array([2**64 // 10**6], pa.timestamp("s")), "t")


def test_moments_beyond_pythons_years_are_no_values_but_an_error_says_so():
    column = from_arrow(pa.array([10**18], pa.timestamp("us")), "t")
    with pytest.raises(Invalid, match="no TIMESTAMP that Python has"):
        python_values(column, 1)
