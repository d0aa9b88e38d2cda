"""Ion values: read from text and binary, and their hashes, against those of other people's code."""

import base64
import contextlib
import json
import pathlib
import random
from decimal import Decimal

import pytest

from engines.errors import Invalid
from engines.ledger.qldb.binary import VERSION, read_binary
from engines.ledger.qldb.ion import BadIon, Value, ion_hash, to_json
from engines.ledger.qldb.text import read_text

# [text, binary in base64, Ion hash with SHA-256]: made with the packages amazon.ion 0.9.3 and ionhash 1.2.1
VECTORS = json.loads(pathlib.Path(__file__).with_name("ion_vectors.json").read_text())


def one(text):
    (value,) = read_text(text)
    return value


@pytest.mark.parametrize(("text", "binary", "hashed"), VECTORS, ids=[text[:30] for text, _, _ in VECTORS])
def test_text_and_binary_have_the_hash_that_others_compute(text, binary, hashed):
    (from_text,) = read_text(text)
    (from_binary,) = read_binary(base64.b64decode(binary))
    assert ion_hash(from_text).hex() == ion_hash(from_binary).hex() == hashed
    assert from_text == from_binary or text == "nan"


def test_hashes_of_different_values_differ():
    assert len({hashed for _, _, hashed in VECTORS}) >= len(VECTORS) - 4  # the same value, written twice, is in it
    for one_text, other in [
        ("1.5", "1.50"),
        ("1", "1."),
        ("2020-01-01", "2020-01-01T00:00Z"),
        ("a", '"a"'),
        ("[]", "()"),
    ]:
        assert ion_hash(one(one_text)) != ion_hash(one(other))


@pytest.mark.parametrize(
    ("text", "json_value"),
    [
        (
            "{a: 1, b: [true, null.int], /* so */ c: sym, d: (+ 1)} // end",
            {"a": 1, "b": [True, None], "c": "sym", "d": ["+", 1]},
        ),
        ("9007199254740991", 9007199254740991),
        ("-9007199254740993", "-9007199254740993"),
        ("90.25", 90.25),
        ("1.10", 1.1),
        ("3.", 3),
        ("0.1234567890123456789", "0.1234567890123456789"),
        ("1d400", "1E+400"),
        ("1d1000000000", "1E+1000000000"),
        ("2022-06-08T23:46:46.500+05:30", "2022-06-08T23:46:46.500+05:30"),
        ("2022-06-08T18:46-00:00", "2022-06-08T18:46-00:00"),
        ("2020T", "2020T"),
        ("2020-02T", "2020-02T"),
        ("2020-02-29T", "2020-02-29"),
        ("{{aGk=}}", "aGk="),
        ("'''a''' '''b'''", "ab"),
        ('"\\x41\\u00e9\\U0001F600\\\nx"', "Aé😀x"),
        ('{{"clob"}}', "Y2xvYg=="),
    ],
)
def test_values_in_json(text, json_value):
    found = to_json(one(text))
    assert found == json_value
    assert type(found) is type(json_value)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{a: [1, nan]}", "$.a[1]"),
        ("{a: {b: x::1}}", "$.a.b"),
        ("{a: 1, a: 2}", "$"),
        ("[$0]", "$[0]"),
        ("+inf", "$"),
        ("[0x1%s]" % ("0" * 5000), "$[0]"),
    ],
)
def test_what_json_cannot_say_is_named(text, path):
    with pytest.raises(Invalid) as refused:
        to_json(one(text))
    assert refused.value.path == path
    assert str(refused.value).startswith(path)


@pytest.mark.parametrize(
    "text",
    [
        "{", "}", "[1 2]", "{a 1}", "{a:1,,b:2}", '"', '"a\nb"', "'", "1.2.3", "01", "1a", "2020-13-01",
        "2020-02-30",
        "2020-01-01T25:00Z", "2020-01-01T00:00", "2020-01-01T00:00+24:00", "{{a}}", "{{aGk}}", "{{aGk= ", "{{aGl=}}",
        "null.x", "$10", "$ion_symbol_table::{}", '"\\q"', '"\\ud800"', '"\\U00110000"', "/*", "a::", "0x", "'''",
        "1d999999999999999", "[" * 300 + "]" * 300, "0001-01-01T00:00+01:00", "#", "1e", "{1:2}",
        "{{'''\\u0041'''}}",
        "9" * 5000, "::1", "-", "--1",
    ],
)  # fmt: skip
def test_texts_that_are_no_ion(text):
    with pytest.raises(BadIon) as refused:
        list(read_text(text))
    assert 0 <= refused.value.offset <= len(text)


@pytest.mark.parametrize(
    "data",
    [
        b"\x12", b"\x30", b"\x41\x00", b"\x81", b"\x8e", b"\x8e\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\xff",
        b"\x82\xff\xff",
        b"\x71\x0a", b"\x71\xff", b"\xd2\x8a\x20", b"\xd1\x84", b"\xe3\x81\x84", b"\xe0", b"\xef", b"\xf0", b"\x61\xc0",
        b"\x53\x41",
        b"\x64\x80\x0f\xe4\x8d", b"\x51\x40", b"\xb3\x81", b"\xee\x83\x81\x84", b"\xb1" * 300,
        b"\xe7\x81\x83\xd4\x86\xb2\xd1\x80",
    ],
)  # fmt: skip
def test_bytes_that_are_no_ion(data):
    with pytest.raises(BadIon):
        list(read_binary(VERSION + data))


def test_symbol_tables_padding_and_versions():
    table = b"\xea\x81\x83\xd7\x87\xb5\x81a\x82bc"  # $ion_symbol_table::{symbols: ["a", "bc"]}
    more = b"\xeb\x81\x83\xd8\x86\x71\x03\x87\xb3\x82de"  # and with its imports: $ion_symbol_table
    data = VERSION + table + b"\x71\x0a\x01\xff\x71\x0b" + more + b"\x71\x0c\xd3\x8a\x21\x05" + VERSION + b"\x71\x04"
    assert [value.value for value in read_binary(data)] == ["a", "bc", "de", [("a", Value("int", 5))], "name"]


def mutations(base, rng):
    data = bytearray(base)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            data[at:at] = data[at : at + rng.randrange(20)]
        else:
            del data[at + 1 :]
    return bytes(data)


def test_altered_bytes_end_in_values_or_bad_ion():
    rng = random.Random(0)  # noqa: S311 - the same bytes in each run
    ends = {"values": 0, "bad": 0}
    for _ in range(4000):
        text, binary, _ = rng.choice(VECTORS)
        for data, read in [
            (mutations(base64.b64decode(binary), rng), read_binary),
            (mutations(text.encode() or b"x", rng), None),
        ]:
            try:
                found = list(read(data) if read else read_text(data.decode("utf-8", "replace")))
                for value in found:
                    ion_hash(value)
                    with contextlib.suppress(Invalid):
                        to_json(value)
                ends["values"] += 1
            except BadIon:
                ends["bad"] += 1
    assert min(ends.values()) > 500


def test_decimals_keep_their_zeros():
    assert one("1.50").value.as_tuple() == Decimal("1.50").as_tuple()
    assert one("-0.0").value.as_tuple() == Decimal("-0.0").as_tuple()
    assert one("5d3").value.as_tuple() == Decimal("5e3").as_tuple()
