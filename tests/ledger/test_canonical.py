"""RFC 8785: against the RFC's own examples, a plain model, and the package rfc8785 where it is installed."""

import datetime as dt
import decimal
import enum
import gc
import json
import math
import random
import struct
import sys
import threading
import uuid
from collections import OrderedDict, defaultdict
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from models import ledger_block as model

from engines._native.canon import MAX_DEPTH, MAX_INT, NotCanonical, has_long_integer
from engines._native.canon import canonical as kernel
from engines.errors import Invalid, TooLarge
from engines.ledger.canonicaljson import canonical, read, read_strict

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INT, MAX_INT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXTS, inner, max_size=12), max_leaves=30
)


def doubles(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


# -- what the RFC says -------------------------------------------------------------------------------------------------


def test_the_example_of_the_rfc():
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert canonical(value) == (
        b'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        b'"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_sort_by_their_utf_16_code_units():
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\xf6": 7}
    assert list(json.loads(canonical(value)).values()) == [2, 4, 6, 7, 1, 5, 3]


NUMBERS = {  # appendix B of the RFC: bits, text
    0x0000000000000000: "0",
    0x8000000000000000: "0",
    0x0000000000000001: "5e-324",
    0x8000000000000001: "-5e-324",
    0x7FEFFFFFFFFFFFFF: "1.7976931348623157e+308",
    0xFFEFFFFFFFFFFFFF: "-1.7976931348623157e+308",
    0x4340000000000000: "9007199254740992",
    0xC340000000000000: "-9007199254740992",
    0x4430000000000000: "295147905179352830000",
    0x44B52D02C7E14AF5: "9.999999999999997e+22",
    0x44B52D02C7E14AF6: "1e+23",
    0x44B52D02C7E14AF7: "1.0000000000000001e+23",
    0x444B1AE4D6E2EF4E: "999999999999999700000",
    0x444B1AE4D6E2EF4F: "999999999999999900000",
    0x444B1AE4D6E2EF50: "1e+21",
    0x3EB0C6F7A0B5ED8C: "9.999999999999997e-7",
    0x3EB0C6F7A0B5ED8D: "0.000001",
    0x41B3DE4355555553: "333333333.3333332",
    0x41B3DE4355555554: "333333333.33333325",
    0x41B3DE4355555555: "333333333.3333333",
    0x41B3DE4355555556: "333333333.3333334",
    0x41B3DE4355555557: "333333333.33333343",
    0xBECBF647612F3696: "-0.0000033333333333333333",
    0x43143FF3C1CB0959: "1424953923781206.2",
}


@pytest.mark.parametrize("bits", NUMBERS)
def test_the_numbers_of_the_rfc(bits):
    assert canonical(doubles(bits)).decode() == NUMBERS[bits]


# -- doubles -----------------------------------------------------------------------------------------------------------


def hard_doubles():
    """Where an algorithm of this kind breaks if it breaks: powers of two and of ten, and what stands beside them."""
    for e in range(-1074, 1024):
        yield 2.0**e
    for e in range(-323, 309):
        for m in (1, 2, 5, 9, 25):
            yield float(f"{m}e{e}")
    for n in range(1, 60):
        yield n * 5e-324
    for e in range(64):
        yield from (2.0**e + 0.5, 10.0**15 + e / 64)


def same_double(value):
    text = canonical(value).decode()
    assert text == model.number(value)
    assert float(text) == value


def test_doubles_where_rounding_is_hardest():
    for value in hard_doubles():
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        for near in range(max(bits - 2, 0), bits + 3):
            if math.isfinite(doubles(near)):
                same_double(doubles(near))


def test_random_doubles_of_all_sizes():
    dice = random.Random(1)  # noqa: S311 (a test's dice, the same every time)
    for _ in range(20_000):
        value = doubles(dice.getrandbits(64))
        if math.isfinite(value):
            same_double(value)
        same_double(round(dice.random() * 10 ** dice.randrange(18), dice.randrange(8)))


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(2 * 5e-324)  # ten of the smallest unit: its digits end in a zero
def test_every_double_reads_back_as_itself(value):
    same_double(value)


# -- against others ----------------------------------------------------------------------------------------------------

ALPHABETS = ("abcdefgh", 'a"\\\n\x00\x1f\x7f/', "aé\xff\x80", "zĀ€\ue000\ufb33\uffff", "a\U0001f600\U0010ffff\ue000é")


class Dice(random.Random):
    """Random documents: odd keys that share beginnings, doubles of all sizes, strings of every kind of str."""

    def text(self):
        return "".join(self.choices(self.choice(ALPHABETS), k=self.choice((0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 30))))

    def value(self, depth=3):  # noqa: PLR0911 (a table of kinds)
        kind = self.randrange(12 if depth else 9)
        if kind < 3:
            return self.text()
        if kind == 3:
            return self.choice((None, True, False))
        if kind < 6:
            return self.choice((-1, 1)) * self.getrandbits(self.randrange(54))
        if kind == 6:
            return round(self.uniform(-1e6, 1e6), self.randrange(4))
        if kind < 9:
            value = doubles(self.getrandbits(64))
            return value if math.isfinite(value) else 1e21
        if kind == 9:
            return [self.value(depth - 1) for _ in range(self.randrange(5))]
        return {self.text(): self.value(depth - 1) for _ in range(self.choice((0, 1, 4, 9, 24, 40)))}


def agree(count, dumps):
    dice = Dice(count)
    for _ in range(count):
        value = dice.value()
        assert canonical(value) == dumps(value)


def test_random_documents_equal_those_of_the_model():
    agree(1_000, model.canonical)


def test_random_documents_equal_those_of_the_package_rfc8785():
    agree(3_000, pytest.importorskip("rfc8785", reason="the package rfc8785 is an oracle, not a need").dumps)


@pytest.mark.slow
def test_a_hundred_thousand_random_documents_equal_those_of_the_package_rfc8785():
    agree(100_000, pytest.importorskip("rfc8785", reason="the package rfc8785 is an oracle, not a need").dumps)


@given(VALUES)
def test_the_bytes_are_those_of_the_model_and_read_as_the_value(value):
    text = canonical(value)
    assert text == model.canonical(value)
    assert json.loads(text, parse_int=float) == value
    assert canonical(read(text)) == text
    assert read_strict(text) == value


@given(st.dictionaries(TEXTS, st.integers(0, 9), max_size=60), st.randoms())
def test_the_order_in_which_keys_came_does_not_matter(value, dice):
    items = list(value.items())
    dice.shuffle(items)
    assert canonical(dict(items)) == canonical(value) == model.canonical(value)


@pytest.mark.parametrize("size", [*range(20), 23, 24, 25, 2047, 2048, 2049, 100_000])
@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_strings_of_every_length_and_kind(size, alphabet):
    for shift in range(len(alphabet)):
        text = "".join(alphabet[(i + shift) % len(alphabet)] for i in range(size))
        assert canonical([text, {text: 1}]) == model.canonical([text, {text: 1}])


@pytest.mark.parametrize("at", range(18))
def test_an_escape_is_seen_at_every_place(at):
    for c in map(chr, (*range(33), 34, 35, 91, 92, 93, 126, 127)):
        text = "x" * at + c + "y" * (17 - at)
        assert canonical(text) == model.canonical(text)


@pytest.mark.parametrize("size", [23, 24, 25, 1_000, 20_000])
def test_large_objects_in_every_order(size):
    keys = [str(i) for i in range(size)]
    random.Random(size).shuffle(keys)  # noqa: S311 (a test's dice, the same every time)
    for order in (keys, sorted(keys), sorted(keys, reverse=True)):
        value = dict.fromkeys(order, 0)
        assert canonical(value) == model.canonical(value)


# -- what else is a value ----------------------------------------------------------------------------------------------


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Named(str):
    __slots__ = ()

    def __str__(self):
        return "something else"

    def __lt__(self, other):
        raise AssertionError


def test_classes_derived_from_those_of_json_are_taken_as_what_they_are():
    assert canonical(OrderedDict(b=1, a=2)) == b'{"a":2,"b":1}'
    assert canonical(defaultdict(int, x=(1, [2]))) == b'{"x":[1,[2]]}'
    assert canonical([np.float64(1.5), np.str_("é")]) == '[1.5,"é"]'.encode()
    assert canonical({Colour.RED: Level.HIGH, Named("a"): Named("b")}) == b'{"a":"b","red":3}'


def test_limits_are_what_is_still_allowed():
    assert canonical([MAX_INT, -MAX_INT]) == b"[9007199254740991,-9007199254740991]"
    deep = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert canonical(deep) == b"[" * 128 + b"1" + b"]" * 128
    shared = [1]
    assert canonical([shared, shared, {"a": shared}]) == b'[[1],[1],{"a":[1]}]'


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (decimal.Decimal("1.50"), "write it as a str"),
        (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "isoformat"),
        (dt.date(2024, 1, 1), "isoformat"),
        (dt.time(1), "isoformat"),
        (dt.timedelta(1), "total_seconds"),
        (b"x", "base64"),
        (bytearray(b"x"), "base64"),
        ({1}, "sorted"),
        (MappingProxyType({}), "dict"),
        (uuid.UUID(int=1), "str"),
        (np.int64(1), "tolist"),
        (np.zeros(2), "tolist"),
        (Fraction(1, 2), "float"),
        (1 + 2j, "float"),
        (object(), "None, bool"),
        (int, "None, bool"),
        (math.nan, "write None"),
        (-math.inf, "write None"),
        (MAX_INT + 1, "a str"),
        (-MAX_INT - 1, "a str"),
        (10**6000, "a str"),
        ("a\ud800b", "surrogate"),
        ("\U0001f600\udc00", "surrogate"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_canonical_form_is_refused_with_its_path_and_a_way_out(value, advice):
    for holder, path in (
        (value, "$"),
        ({"Owner": {"Price": value}}, "$.Owner.Price"),
        ([0, (1, value)], "$[1][1]"),
        ({"a b": [{"x": value}]}, "$['a b'][0].x"),
    ):
        with pytest.raises(Invalid) as caught:
            canonical(holder)
        assert str(caught.value).startswith(f"{path} ")
        assert caught.value.path == path
        assert advice in str(caught.value)
        assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("key", "said"),
    [(1, "has the key 1, an int"), (None, "has the key None"), (b"x", "has the key b'x'"), ("\ud800", "surrogate")],
)
def test_keys_are_str(key, said):
    with pytest.raises(Invalid, match=said) as caught:
        canonical({"a": [{"b": 1, key: 2}]})
    assert caught.value.path == "$.a[0]"


def test_what_holds_itself_is_refused():
    here = {"name": []}
    here["name"].append(here)
    with pytest.raises(Invalid, match=r"^\$\S* holds itself"):
        canonical(here)
    wide = []
    wide += [wide, wide]
    with pytest.raises(Invalid, match="holds itself"):
        canonical(wide)


def test_deeper_than_128_is_refused():
    deep = {}
    for _ in range(MAX_DEPTH):
        deep = {"a": deep}
    with pytest.raises(Invalid, match="128 objects and arrays deep"):
        canonical(deep)


class Twin(str):
    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other


def test_two_keys_with_one_text_are_refused():
    with pytest.raises(Invalid, match="has the key 'a' twice"):
        canonical({Twin("a"): 1, Twin("a"): 2})


def test_a_small_value_that_unfolds_into_a_large_text_stops_at_the_limit():
    bomb = "x" * 100
    for _ in range(40):
        bomb = [bomb, bomb]
    with pytest.raises(TooLarge, match="1,000 bytes") as caught:
        canonical(bomb, limit=1_000)
    assert caught.value.limit == 1_000
    assert canonical("x" * 998, limit=1_000)
    with pytest.raises(TooLarge):
        canonical("x" * 999, limit=1_000)


def test_refusals_leave_no_memory_behind():
    class Odd:
        pass

    odd = Odd()
    value = {str(i): i for i in range(100)} | {"z": [odd]}
    counts = set()
    for _ in range(50):
        with pytest.raises(NotCanonical):
            kernel(value)
        gc.collect()
        counts.add((sys.getrefcount(odd), sys.getrefcount(value), sys.getrefcount(value["z"])))
    assert len(counts) == 1


def test_a_value_is_read_in_one_breath():
    """Another thread that changes it is seen before or after, never half way."""
    value = {"a": 0, "list": list(range(200)), "b": 0}
    stop = threading.Event()

    def change():
        n = 0
        while not stop.is_set():
            n += 1
            value.update(a=n, b=n)
            value["list"][:] = range(n % 300)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(2_000):
            seen = json.loads(canonical(value))
            assert seen["list"] == list(range(len(seen["list"])))
            assert seen["a"] == seen["b"]
    finally:
        stop.set()
        thread.join()


# -- reading back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1e20, -1e20, 2.0**53, [2.0**53, "1" * 20, 5], 123456789012345680000.0])
def test_whole_floats_beyond_2_53_come_back_as_floats(value):
    text = canonical(value)
    back = read(text)
    assert back == value
    assert canonical(back) == text
    assert type(back) is type(value)
    assert read(canonical(MAX_INT)) == MAX_INT


@given(st.text("0123456789a", max_size=60))
def test_sixteen_digits_in_a_row_are_never_missed(text):
    assert has_long_integer(text.encode()) == any(
        text[i : i + 16].isdecimal() and len(text[i : i + 16]) == 16 for i in range(len(text))
    )


@pytest.mark.parametrize("digits", [15, 16])
def test_sixteen_digits_are_seen_wherever_they_stand(digits):
    for before in range(70):
        for after in range(18):
            text = b"a" * before + b"9" * digits + b"a" * after
            assert has_long_integer(text) == (digits == 16)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}', b'{"a":1,"a":1}', b'{"b":1,"a":2}', b" 1", b"1 ", b"[1, 2]", b"1.0", b"1.50", b"-0", b"-0.0",
        b"1E5", b"1e5", b"9007199254740993", b"1e400", b"NaN", b"Infinity", b'"\\u0041"', b'"\\u001F"', b'"\\/"',
        b'"\\u000a"', b'"\xff"', b'"\\ud800"', b'"\xed\xa0\x80"', b"", b"nul", b"[1", b'{"a":}', b"01", b"[1,]",
        b"\xef\xbb\xbf1", b"[" * 129 + b"]" * 129, b"[" * 100_000, b"9" * 5_000, b"[1]\x00", b"1234567890123456789 ",
        b'"\x01"', b'["9999999999999999999",NaN]',
    ],
)  # fmt: skip
def test_what_is_not_canonical_is_not_read(text):
    with pytest.raises(Invalid):
        read_strict(text)


def test_the_first_difference_is_named():
    with pytest.raises(Invalid, match="byte 5 begins b'1,") as caught:
        read_strict(b'{"a":1,"a":2}')
    assert caught.value.offset == 5


@given(VALUES, st.integers(0, 1 << 30), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_another_value(value, at, byte):
    text = bytearray(canonical(value))
    at %= len(text)
    if text[at] == byte:
        byte ^= 1
    text[at] = byte
    try:
        back = read_strict(bytes(text))
    except Invalid:
        return
    assert canonical(back) == text


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_canonical(text):
    try:
        value = read_strict(text)
    except Invalid:
        return
    assert canonical(value) == text
