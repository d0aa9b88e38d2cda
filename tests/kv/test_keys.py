"""Keys: order, round trips, limits and damage, against Python's own comparisons."""

import random
from decimal import Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engines._native.keys import KeyCodec, cut, decode_tuple, encode_tuple

WIDE = {"prec": 200, "Emax": 999_999, "Emin": -999_999}


@st.composite
def numbers(draw):
    """int and Decimal of up to 38 digits, over the whole range of magnitudes, also in unusual forms (1.00, -0, 1E2)."""
    digits = draw(st.lists(st.integers(0, 9), min_size=1, max_size=38))
    exponent = draw(st.integers(-130, 126 - len(digits)))
    value = Decimal((draw(st.integers(0, 1)), tuple(digits), exponent))
    return draw(st.one_of(st.just(value), st.integers(-(10**38) + 1, 10**38 - 1), st.integers(-300, 300)))


texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.text(
    st.sampled_from("\0\x01\xffa\U0001f600"), max_size=6
)
blobs = st.binary(max_size=20) | st.lists(st.sampled_from(b"\0\1\2\xff"), max_size=6).map(bytes)
filled = {"S": texts.filter(bool), "N": numbers(), "B": blobs.filter(bool)}
key_types = st.sampled_from(["S", "N", "B", *(a + b for a in "SNB" for b in "SNB")])


@st.composite
def two_keys(draw):
    types = draw(key_types)
    key = st.tuples(*(filled[letter] for letter in types))
    first = draw(key)
    second = draw(key)
    if len(types) == 2 and draw(st.booleans()):
        second = (first[0], second[1])  # equal partitions: the sort key decides
    return types, first, second


@given(two_keys())
@example(("S", ("\uffee",), ("\U0001f600",)))
@example(("SS", ("a", "b"), ("a\0", "a")))
@example(("N", (Decimal("-1.5"),), (-1,)))
@example(("N", (Decimal("1E-130"),), (Decimal("1.1E-130"),)))
def test_encoded_keys_are_in_the_order_of_their_values(case):
    types, first, second = case
    codec = KeyCodec(types)
    a, b = codec.encode(first), codec.encode(second)
    assert (a < b) == (first < second)
    assert (a == b) == (first == second)


@given(two_keys())
def test_decode_gives_back_what_was_encoded(case):
    types, key, _ = case
    codec = KeyCodec(types)
    assert codec.types == types
    found = codec.decode(codec.encode(key))
    assert found == key
    for letter, value in zip(types, found, strict=True):
        if letter == "N":
            with localcontext(**WIDE):
                whole = value == int(value) and abs(value) < 10**38
            assert type(value) is (int if whole else Decimal)


@given(two_keys())
def test_a_partition_is_a_prefix_of_its_own_keys_only(case):
    types, first, second = case
    codec = KeyCodec(types)
    prefix = codec.prefix(first[0])
    assert codec.encode(first).startswith(prefix)
    assert codec.encode(second).startswith(prefix) == (first[0] == second[0])
    if len(types) == 2:
        assert codec.encode(first) == prefix + codec.encode_one(1, first[1])


def test_one_number_has_one_encoding():
    codec = KeyCodec("N")
    one = codec.encode((1,))
    assert {codec.encode((Decimal(text),)) for text in ("1", "1.00", "1E0", "0.1E1")} == {one}
    assert {codec.encode((value,)) for value in (0, Decimal("-0"), Decimal("0E-7"))} == {b"\x80"}
    assert codec.encode((10**20,)) == codec.encode((Decimal("1E20"),))


def test_the_bytes_are_as_drawn():
    assert KeyCodec("S").encode(("a\0b",)).hex(" ") == "61 00 ff 62 00 01"
    assert KeyCodec("SB").encode(("a", b"\0\1")).hex(" ") == "61 00 01 00 01"
    assert KeyCodec("N").encode((Decimal("123.4"),)).hex(" ") == "81 82 03 2f 50"
    assert KeyCodec("N").encode((-1,)).hex(" ") == "7f 7e fd"


def test_a_number_takes_at_most_22_bytes():
    assert len(KeyCodec("N").encode((Decimal("-1.2345678901234567890123456789012345678"),))) <= 22


class Text(str):
    __slots__ = ()


class Whole(int):
    def __str__(self):
        return "not a number"


class Exact(Decimal):
    def __str__(self):
        return "not a number"


def test_subclasses_of_str_int_and_decimal_are_taken_for_what_they_are():
    assert KeyCodec("SN").encode((Text("a"), Whole(7))) == KeyCodec("SN").encode(("a", 7))
    assert KeyCodec("N").encode((Exact("7.5"),)) == KeyCodec("N").encode((Decimal("7.5"),))
    assert KeyCodec("N").encode((Whole(10**30),)) == KeyCodec("N").encode((10**30,))
    assert KeyCodec("B").encode((bytearray(b"a"),)) == KeyCodec("B").encode((b"a",))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (1.5, r"Decimal\('1.5'\)"),
        (True, "bool"),
        ("1", "must be a number"),
        (None, "NoneType"),
        (Decimal("NaN"), "finite"),
        (Decimal("sNaN"), "finite"),
        (Decimal("-Infinity"), "finite"),
        (10**38 + 1, "38 significant digits"),
        (Decimal("1E126"), r"9.99E\+125"),
        (10**126, r"9.99E\+125"),
        pytest.param(10**5000, r"9.99E\+125", id="5,001 digits"),
        (Decimal("9.99E-131"), "1E-130"),
    ],
)
def test_what_is_no_number_for_a_key_is_refused_with_advice(value, says):
    with pytest.raises(ValueError, match=says):
        KeyCodec("N").encode((value,))


@pytest.mark.parametrize(
    ("types", "key", "says"),
    [
        ("S", ("",), "is empty"),
        ("SB", ("a", b""), "the sort key is empty"),
        ("S", ("é" * 1025,), "2,050 bytes: a partition key may have at most 2,048"),
        ("SS", ("a", "b" * 1025), "1,025 bytes: a sort key may have at most 1,024"),
        ("S", ("a\ud800",), "unpaired surrogate"),
        ("S", (b"a",), r"must be a string \(S\), got bytes"),
        ("B", ("a",), r"must be bytes \(B\), got str"),
        ("SN", ("a",), "two components, got 1"),
        ("S", ("a", 1), "one component, got 2"),
    ],
)
def test_a_wrong_key_is_refused_with_its_reason(types, key, says):
    with pytest.raises(ValueError, match=says):
        KeyCodec(types).encode(key)


def test_keys_of_the_largest_size_are_taken():
    codec = KeyCodec("SB")
    key = ("\0" * 2048, b"\0" * 1024)
    assert codec.decode(codec.encode(key)) == key


def test_the_key_of_an_item_is_found_by_name():
    codec, names = KeyCodec("SN"), ("customer", "order")
    assert codec.encode_from({"x": 1, "order": 17, "customer": "ann"}, names) == codec.encode(("ann", 17))
    with pytest.raises(ValueError, match=r"'order' is missing: every item here needs it, as a number \(N\)"):
        codec.encode_from({"customer": "ann"}, names)
    with pytest.raises(ValueError, match=r"'customer' must be a string \(S\), got int 4"):
        codec.encode_from({"customer": 4, "order": 17}, names)
    with pytest.raises(ValueError, match="'customer' is empty"):
        codec.encode_from({"customer": "", "order": 17}, names)
    with pytest.raises(ValueError, match="two components, got 1 names"):
        codec.encode_from({}, ("customer",))


@pytest.mark.parametrize("types", ["", "X", "SNB", "s"])
def test_types_are_one_or_two_known_letters(types):
    with pytest.raises(ValueError, match="one or two of the letters"):
        KeyCodec(types)


def test_a_component_that_is_not_there_can_not_be_encoded():
    with pytest.raises(ValueError, match="no component 1"):
        KeyCodec("S").encode_one(1, "a")


def test_damaged_keys_are_an_error_and_never_a_crash():
    dice = random.Random(7)  # noqa: S311 - repeatable damage, no secrets
    codecs = [KeyCodec(types) for types in ("S", "N", "B", "SN", "NS", "NN", "BB")]
    good = [
        KeyCodec("SN").encode(("ann\0", Decimal("-12.345"))),
        KeyCodec("NN").encode((10**37, Decimal("1E-130"))),
        encode_tuple((None, True, -5, 2.5, Decimal("1.5"), b"\0", "é\0")),
    ]
    for _ in range(6_000):
        data = bytearray(dice.choice(good))
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.choice((0, 1, 0xFF, 256 // 3))
        data = bytes(data[: dice.randrange(len(data) + 1)])
        for decode in [codec.decode for codec in codecs] + [decode_tuple]:
            try:
                values = decode(data)
            except ValueError:
                continue
            assert isinstance(values, tuple)
    for codec in codecs:
        with pytest.raises(ValueError, match="not the bytes of a key"):
            codec.decode(b"")


# --- tuples ---

whole = st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)
floats = st.floats(allow_nan=False)
KINDS = [st.none(), st.booleans(), whole, floats, numbers().map(Decimal), blobs, texts]
RANK = {type(None): 0, bool: 1, int: 2, float: 3, Decimal: 4, bytes: 5, str: 6}


def sortable(values):
    return [(RANK[type(value)], 0 if value is None else value) for value in values]


@st.composite
def two_tuples(draw):
    one = st.lists(st.one_of(KINDS), max_size=4)
    first = draw(one)
    return tuple(first), tuple(draw(st.one_of(one, one.map(lambda rest: first[:2] + rest))))


@given(two_tuples())
@example(((-0.0,), (0.0,)))
@example(((-256,), (-255,)))
@example((("a",), ("a", None)))
def test_encoded_tuples_are_in_the_order_of_types_and_values(case):
    first, second = case
    a, b = encode_tuple(first), encode_tuple(second)
    assert (a < b) == (sortable(first) < sortable(second))
    assert (a == b) == (sortable(first) == sortable(second))


@given(two_tuples())
def test_a_tuple_comes_back_with_its_types(case):
    found = decode_tuple(encode_tuple(case[0]))
    assert found == case[0]
    assert [type(value) for value in found] == [type(value) for value in case[0]]


@given(whole, whole)
def test_int64_bounds_and_neighbours_keep_their_order(first, step):
    second = max(-(2**63), min(2**63 - 1, first + step % 3 - 1))
    assert (encode_tuple((first,)) < encode_tuple((second,))) == (first < second)


@pytest.mark.parametrize("value", [2**63, float("nan"), Decimal("NaN"), [1], "\ud800", object()])
def test_what_has_no_place_in_the_order_of_tuples_is_refused(value):
    with pytest.raises(ValueError, match=r"fit 64 bits|no place in an order|finite number|a key may hold|surrogate"):
        encode_tuple((value,))


# --- cut ---


def test_short_keys_are_not_cut():
    key = KeyCodec("S").encode(("a" * 1900,))
    assert cut(key, 1978) is key


def test_a_cut_key_keeps_partition_and_order():
    codec = KeyCodec("SS")
    low, high = (cut(codec.encode(("p" * 2000, sort)), 1978) for sort in ("a", "b"))
    assert low < high
    assert low[:-1] == high[:-1]
    assert low.startswith(b"p" * 900 + b"\0\2")
    assert len(low) == 900 + 2 + 16 + 1


@given(st.integers(890, 905), st.integers(0, 8))
def test_a_cut_never_splits_an_escape(start, zeros):
    value = b"x" * start + b"\0" * zeros + b"\xff" * 3 + b"y" * 1100
    short = cut(KeyCodec("B").encode((value,)), 1978)
    head = short[: -16 - 2]
    assert short[-18:-16] == b"\0\2"
    assert len(head) in (899, 900)
    assert value.startswith(head.replace(b"\0\xff", b"\0"))
    assert b"\0" not in head.replace(b"\0\xff", b"")


def test_long_partitions_that_differ_only_at_the_end_stay_apart():
    codec = KeyCodec("S")
    shorts = {cut(codec.encode(("p" * 2000 + end,)), 1978) for end in "abcd"}
    assert len(shorts) == 4


def test_the_longest_key_fits_lmdb_after_the_cut():
    assert len(cut(KeyCodec("SB").encode(("\0" * 2048, b"\0" * 1024)), 1978)) <= 1978


def test_a_key_that_can_not_be_cut_is_refused():
    with pytest.raises(ValueError, match="can not be cut to 100"):
        cut(KeyCodec("SS").encode(("a", "b" * 200)), 100)
    with pytest.raises(ValueError, match="can not be cut to 950"):
        cut(KeyCodec("SS").encode(("a" * 2000, "b" * 200)), 950)
