"""Key specifications, names, types, and DynamoDB's JSON."""

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from models.items import items, normal, shown

from engines import kv
from engines._native.kvitem import ItemCodec
from engines.errors import Invalid
from engines.kv import values
from engines.kv.values import (
    KeyPart,
    check_table_name,
    from_dynamodb_json,
    key_schema,
    key_spec,
    number,
    to_dynamodb_json,
    type_of,
)


def test_a_key_attribute_is_a_name_and_a_type():
    assert key_spec("customer:S") == KeyPart("customer", "S")
    assert key_spec("a:b:N") == ("a:b", "N")


@pytest.mark.parametrize("text", ["customer", "customer:", ":S", "customer:X", "customer:s", "", 5, "n" * 256 + ":S"])
def test_another_form_of_key_attribute_is_refused(text):
    with pytest.raises(Invalid, match="key attribute"):
        key_spec(text)


def test_a_key_has_one_or_two_distinct_parts():
    assert key_schema("id:S") == key_schema(("id:S",)) == (("id", "S"),)
    assert [part.type for part in key_schema(("a:S", "b:N"))] == ["S", "N"]
    with pytest.raises(Invalid, match="'a' twice"):
        key_schema(("a:S", "a:N"))
    with pytest.raises(Invalid, match="got 3"):
        key_schema(("a:S", "b:N", "c:B"))
    with pytest.raises(Invalid, match="got 0"):
        key_schema(())


def test_table_names():
    assert check_table_name("orders-2024_a.b") == "orders-2024_a.b"
    for bad in ("", "a b", "x" * 256, "é", "a/b", None):
        with pytest.raises(Invalid, match="name has 1 to 255"):
            check_table_name(bad)


def test_limits_agree_with_the_codec():
    assert ItemCodec([]).encode({"a": "x" * (values.ITEM_BYTES - 1)})
    with pytest.raises(ValueError, match="409,600"):
        ItemCodec([]).encode({"a": "x" * values.ITEM_BYTES})


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("a", "S"),
        (1, "N"),
        (Decimal("1.5"), "N"),
        (b"", "B"),
        (bytearray(b"x"), "B"),
        (True, "BOOL"),
        (None, "NULL"),
        ({}, "M"),
        ([], "L"),
        ((1,), "L"),
        ({"a"}, "SS"),
        (frozenset([1, Decimal(2)]), "NS"),
        ({b"a"}, "BS"),
    ],
)
def test_each_python_type_has_one_dynamodb_type(value, kind):
    assert type_of(value) == kind


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (1.5, r"Decimal\('1.5'\)"),
        (set(), "empty"),
        ({1, "a"}, "set of N, S"),
        ({True}, "set of BOOL"),
        (object(), "a object can not be stored"),
    ],
)
def test_what_has_no_type_is_refused(value, says):
    with pytest.raises(Invalid, match=says):
        type_of(value)


def test_an_item_in_dynamodb_json_is_as_the_service_writes_it():
    item = {
        "s": "x",
        "n": Decimal("9.50"),
        "b": b"hi",
        "t": True,
        "z": None,
        "m": {"a": [1]},
        "ss": {"b", "a"},
        "ns": {Decimal("2.5"), 1},
        "bs": {b"\0"},
    }
    written = to_dynamodb_json(item)
    assert written == {
        "s": {"S": "x"},
        "n": {"N": "9.5"},
        "b": {"B": "aGk="},
        "t": {"BOOL": True},
        "z": {"NULL": True},
        "m": {"M": {"a": {"L": [{"N": "1"}]}}},
        "ss": {"SS": ["a", "b"]},
        "ns": {"NS": ["1", "2.5"]},
        "bs": {"BS": ["AA=="]},
    }
    assert from_dynamodb_json(json.loads(json.dumps(written))) == item


@given(items)
def test_json_and_back_is_what_the_store_gives_back(item):
    assert shown(from_dynamodb_json(to_dynamodb_json(item))) == shown(normal(item))


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("x", "its type as the only name"),
        ({}, "its type as the only name"),
        ({"S": "a", "N": "1"}, "its type as the only name"),
        ({"Q": "a"}, "no type 'Q'"),
        ({"BOOLL": True}, "did you mean 'BOOL'"),
        ({"S": 1}, "1 is not what 'S' holds"),
        ({"N": 1}, "1 is not what 'N' holds"),
        ({"N": "one"}, "'one' is not a number"),
        ({"N": "1_000"}, "not a number"),
        ({"N": "NaN"}, "not a number"),
        ({"N": "1E126"}, "out of range"),
        ({"N": "1" * 39}, "out of range"),
        ({"B": "a"}, "not base64"),
        ({"B": "é"}, "not base64"),
        ({"BOOL": "true"}, "'BOOL' holds"),
        ({"NULL": False}, "'NULL' holds"),
        ({"M": []}, "'M' holds"),
        ({"L": {}}, "'L' holds"),
        ({"SS": "abc"}, "'SS' holds"),
        ({"SS": []}, "empty"),
        ({"NS": ["1", "1.0"]}, "twice"),
        ({"NS": ["x"]}, "not a number"),
        ({"BS": ["?"]}, "not base64"),
        ({"SS": [1]}, "'SS' holds"),
    ],
)
def test_json_that_says_no_value_is_refused_with_the_path(typed, says):
    with pytest.raises(Invalid, match=says):
        from_dynamodb_json({"a": typed})
    with pytest.raises(Invalid, match=r"'a.k\[0\]'"):
        from_dynamodb_json({"a": {"M": {"k": {"L": [typed]}}}})


def test_json_nested_too_deep_is_refused():
    typed = {"S": "x"}
    for _ in range(33):
        typed = {"L": [typed]}
    with pytest.raises(Invalid, match="deeper than 32"):
        from_dynamodb_json({"a": typed})
    assert from_dynamodb_json({"a": typed["L"][0]})
    with pytest.raises(Invalid, match="an item is an object"):
        from_dynamodb_json([])


@pytest.mark.parametrize("value", [1.5, {"k": [set()]}, Decimal("NaN"), 10**39 + 1, {1, "x"}])
def test_what_can_not_be_stored_can_not_be_exported(value):
    with pytest.raises(Invalid, match="attribute 'a"):
        to_dynamodb_json({"a": value})


def test_numbers_in_text_come_out_as_from_the_store():
    assert number("1.00") == 1
    assert type(number("1E3")) is int
    assert repr(number("-.50")) == "Decimal('-0.5')"
    assert repr(number("1E38")) == "Decimal('1E+38')"


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (np.int64(5), r"numpy\.int64.*write int\(\.\.\.\)$"),
        (np.uint8(5), r"numpy\.uint8.*write int\(\.\.\.\)$"),
        (np.float64(0.5), r"the float .*0\.5.*write Decimal\('0\.5'\)$"),
        (np.float32(0.5), r"numpy\.float32.*write Decimal\(str\(\.\.\.\)\)$"),
        (np.bool_(1), r"numpy\.bool.*write bool\(\.\.\.\)$"),
        (np.arange(3), r"numpy\.ndarray.*write its \.tolist\(\)$"),
    ],
)
def test_numbers_of_numpy_are_told_what_they_are_here(value, advice):
    with kv.Store() as store:
        table = store.create_table("t", key="id:N")
        for refuse in (
            lambda: table.put({"id": 1, "n": value}),
            lambda: table.put({"id": 1, "n": [value]}),
            lambda: table.update(1, "SET n = :n", values={":n": value}),
        ):
            with pytest.raises(Invalid, match=advice):
                refuse()
        if isinstance(value, np.integer):
            for refuse in (
                lambda: table.get(value),
                lambda: table.put({"id": value}),
                lambda: table.put({"id": 1, "n": {value}}),
            ):
                with pytest.raises(Invalid, match=r"write int\(\.\.\.\)"):
                    refuse()
            with pytest.raises(Invalid, match=r"write int\(\.\.\.\)$"):
                type_of(value)
        assert table.describe()["items"] == 0
