"""Records in the shape of boto3's write_records."""

import numpy as np
import pytest

from engines.errors import Invalid
from engines.timeseries import records

HOST = {"Dimensions": [{"Name": "host", "Value": "a"}]}
ONE = HOST | {"MeasureName": "usage", "MeasureValue": "0.5", "MeasureValueType": "DOUBLE", "Time": "1000"}
MANY = HOST | {
    "MeasureName": "cpu",
    "MeasureValueType": "MULTI",
    "MeasureValues": [
        {"Name": "usage", "Value": "0.5", "Type": "DOUBLE"},
        {"Name": "cores", "Value": "8", "Type": "BIGINT"},
        {"Name": "up", "Value": "true", "Type": "BOOLEAN"},
        {"Name": "state", "Value": "ok", "Type": "VARCHAR"},
        {"Name": "since", "Value": "7", "Type": "TIMESTAMP"},
    ],
    "Time": "1000",
    "TimeUnit": "SECONDS",
    "Version": 3,
}


def test_a_record_of_one_measure():
    (columns,) = records.read([ONE])
    assert columns.single
    assert columns.times.tolist() == [10**9]
    assert columns.dimensions["host"].words == ("a",)
    assert columns.measures["usage"].data.tolist() == [0.5]
    assert columns.versions.tolist() == [1]


def test_a_record_of_many_measures():
    (columns,) = records.read([MANY])
    assert not columns.single
    assert columns.times.tolist() == [10**12]
    assert columns.measure_name.words == ("cpu",)
    assert {name: (values.type, values.data[0]) for name, values in columns.measures.items()} == {
        "usage": ("double", 0.5),
        "cores": ("bigint", 8),
        "up": ("boolean", 1),
        "state": ("varchar", 0),
        "since": ("timestamp", 7 * 10**9),
    }
    assert columns.measures["state"].words == ("ok",)
    assert columns.versions.tolist() == [3]


def test_what_is_common_is_said_once_and_overridden():
    common = {"Dimensions": [{"Name": "region", "Value": "eu"}], "TimeUnit": "NANOSECONDS", "MeasureName": "load"}
    (columns, other) = records.read([ONE, {"MeasureValue": 2, "Time": 5}], common)
    assert columns.dimensions.keys() == {"host", "region"}
    assert columns.times.tolist() == [1000]
    assert list(other.measures) == ["load"]
    assert other.dimensions.keys() == {"region"}
    assert other.index.tolist() == [1]


def test_records_that_lack_something_stand_beside_those_that_have_it():
    second = {**MANY, "Dimensions": [], "MeasureName": "other", "MeasureValues": MANY["MeasureValues"][:1]}
    (columns,) = records.read([MANY, second])
    assert columns.dimensions["host"].codes.tolist() == [0, -1]
    assert columns.measures["cores"].valid.tolist() == [1, 0]
    assert columns.measures["usage"].valid is None
    assert [columns.measure_name.words[code] for code in columns.measure_name.codes] == ["cpu", "other"]


def test_a_measure_that_changes_its_type_starts_columns_of_its_own():
    found = records.read([ONE, {**ONE, "MeasureValueType": "BIGINT", "MeasureValue": "7"}, ONE])
    assert [(columns.measures["usage"].type, columns.index.tolist()) for columns in found] == [
        ("double", [0, 2]),
        ("bigint", [1]),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"MeasureValue": "x"}, "record 1: 'x' is no DOUBLE"),
        ({"MeasureValue": "1_0"}, "is no DOUBLE"),
        ({"MeasureValueType": "BIGINT", "MeasureValue": "1.5"}, "a BIGINT is a whole number"),
        ({"MeasureValueType": "BIGINT", "MeasureValue": str(2**63)}, "fits 64 bits"),
        ({"MeasureValueType": "BOOLEAN", "MeasureValue": "yes"}, "'yes' is no BOOLEAN"),
        ({"MeasureValueType": "VARCHAR", "MeasureValue": 7}, "7 is no VARCHAR"),
        ({"MeasureValueType": "FLOAT"}, "the type of a measure is one of DOUBLE, BIGINT"),
        ({"MeasureValueType": "MULTI"}, "has MeasureValues, and no MeasureValue"),
        ({"MeasureValues": [{"Name": "x", "Value": "1"}]}, 'MeasureValues go with MeasureValueType "MULTI"'),
        ({"Time": "soon"}, "Time is a whole number"),
        ({"Time": "-1"}, "Time is negative"),
        ({"Time": str(2**63)}, "Time fits 64 bits"),
        ({"TimeUnit": "HOURS"}, "TimeUnit is one of NANOSECONDS"),
        ({"Version": 0}, "Version is a whole number from 1"),
        ({"Version": "x"}, "Version is a whole number"),
        ({"MeasureName": ""}, "MeasureName is missing"),
        ({"Measure": "x"}, "a record has no 'Measure'; did you mean 'MeasureName'"),
        ({"Dimensions": [{"Name": "", "Value": "a"}]}, "name of a dimension"),
        ({"Dimensions": [{"Name": "host", "Value": float("nan")}]}, "the value of the dimension 'host' is a text"),
        ({"Dimensions": HOST["Dimensions"] * 2}, "the dimension 'host' is given twice"),
        ({"Dimensions": [{"Name": "usage", "Value": "a"}]}, "both a dimension and a measure"),
        ({"Dimensions": ["host"]}, "a dimension is"),
    ],
)
def test_a_record_that_makes_no_sense_is_named_by_its_number(change, message):
    with pytest.raises(Invalid, match=message):
        records.read([ONE, {**ONE, **change}])


def test_what_is_missing_is_said():
    for name in ("MeasureValue", "Time", "MeasureName"):
        with pytest.raises(Invalid, match=f"{name} is missing"):
            records.read([{key: value for key, value in ONE.items() if key != name}])
    with pytest.raises(Invalid, match="a record is a dictionary"):
        records.read([7])
    with pytest.raises(Invalid, match="common attributes has no 'X'"):
        records.read([ONE], {"X": 1})


@pytest.mark.parametrize("text", ["-0.0", "1e-320", "NaN", "Infinity", "0.1", "17976931348623157e292"])
def test_doubles_are_read_bit_for_bit(text):
    (columns,) = records.read([{**ONE, "MeasureValue": text}])
    assert columns.measures["usage"].data.view(np.uint64)[0] == np.float64(text).view(np.uint64)
