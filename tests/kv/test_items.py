"""Item bytes and frames of changes: round trips against plain values, sizes against DynamoDB's rules, and damage."""

import gc
import random
import sys
from collections import OrderedDict
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from models.items import items, normal, shown, size_of, texts

from engines._native.kvframe import decode_changes, encode_change, encode_changes
from engines._native.kvitem import MAX_ITEM_BYTES, MAX_NAMES, ItemCodec, ItemTooLarge, item_expires, item_size


@given(items)
@example({"a": Decimal("1.00"), "b": Decimal("-0"), "c": Decimal("5E18"), "d": Decimal("9.3E18"), "e": 2**63})
@example({"a": -(2**63), "b": 10**37, "c": 10**38, "d": Decimal("1E-130"), "e": Decimal("9.99E125")})
@example({"a": {1, Decimal("1.0")}, "b": [], "c": {}, "d": "", "e": b"", "f": {"": 1}})
@example({})
def test_an_item_comes_back_normalised(item):
    codec = ItemCodec([])
    data = codec.encode(item)
    for form in (data, memoryview(data), bytearray(data)):
        assert shown(codec.decode(form)) == shown(normal(item))
    assert list(codec.decode(data)) == list(item)
    assert ItemCodec(codec.names).decode(data) == codec.decode(data)


@given(items)
def test_encoding_what_was_decoded_gives_the_same_bytes(item):
    codec = ItemCodec([])
    data = codec.encode(item)
    assert codec.encode(codec.decode(data)) == data


@given(items, st.integers(0, 2**64 - 1))
def test_the_head_tells_size_and_expiry(item, expires):
    data = ItemCodec([]).encode(item, expires)
    assert item_expires(data) == item_expires(memoryview(data)) == expires
    assert item_size(data) == item_size(memoryview(data)) == sum(len(n.encode()) + size_of(v) for n, v in item.items())
    assert ItemCodec([]).encode(item, expires) == ItemCodec([]).encode(item, expires=expires)


@given(items, st.sets(texts))
def test_decode_some_gives_the_wanted_attributes(item, wanted):
    codec = ItemCodec([])
    data = codec.encode(item)
    wanted |= set(list(item)[::2])
    assert codec.decode_some(data, wanted) == {
        name: part for name, part in codec.decode(data).items() if name in wanted
    }
    assert codec.decode_some(memoryview(data), frozenset()) == {}


def test_the_bytes_are_as_drawn():
    codec = ItemCodec([])
    data = codec.encode({"a": "hi", "n": Decimal("-1.5"), "s": {2, 1}}, 7)
    assert data.hex(" ") == (
        "01 0c 00 00 07 00 00 00 00 00 00 00 "  # 12 bytes, expires at 7
        "03 01 01 02 68 69 "  # 3 pairs: name 0, ascii "hi"
        "02 04 01 81 0f "  # name 1, decimal: 10**-1, negative with 1 byte, 15
        "03 0c 02 03 02 03 04"  # name 2, number set of 2: int 1, int 2
    )


def test_sets_have_one_encoding():
    codec = ItemCodec([])
    assert codec.encode({"a": {"x", "yy", "z"}}) == codec.encode({"a": frozenset(["z", "yy", "x"])})
    assert codec.encode({"a": {1, 2}}) == codec.encode({"a": {Decimal("2.0"), Decimal("1.00")}})


def test_numbers_have_one_encoding():
    codec = ItemCodec([])
    assert codec.encode({"a": Decimal("1e2")}) == codec.encode({"a": 100}) == codec.encode({"a": Decimal("100.0")})
    assert codec.encode({"a": Decimal("1.50")}) == codec.encode({"a": Decimal("1.5")})


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


def test_subclasses_and_tuples_are_stored_as_the_plain_type():
    codec = ItemCodec([])
    odd = {Text("a"): (Text("x"), Whole(5)), "b": OrderedDict(y=Whole(10**20)), "c": {Text("q")}, "d": bytearray(b"z")}
    assert codec.encode(odd) == codec.encode({"a": ["x", 5], "b": {"y": 10**20}, "c": {"q"}, "d": b"z"})
    assert all(type(name) is str for name in codec.names)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (1.5, r"attribute 'a' is the float 1.5, .* Decimal\('1.5'\)"),
        ({"b": [1, 2.5]}, r"attribute 'a.b\[1\]' is the float 2.5"),
        ([{"x": 1}, {"y": {"z": float("nan")}}], r"attribute 'a\[1\].y.z'"),
        (Decimal("NaN"), "'a' must be a finite number"),
        (Decimal("Infinity"), "finite"),
        (Decimal("1E126"), "largest magnitude"),
        (Decimal("1E-131"), "smallest magnitude"),
        (Decimal("1." + "1" * 38), "38 significant digits"),
        (set(), "'a' is an empty set"),
        (frozenset(), "empty set"),
        ({"a", b"a"}, "mixed set"),
        ({1, "a"}, "mixed set"),
        ({True}, "set with a bool"),
        ({1.5}, r"set with a float.*Decimal\('1.5'\)"),
        ({None}, "set with a NoneType"),
        ({Decimal("NaN")}, "finite"),
        ({"\ud800"}, "surrogate"),
        ("\ud800", "'a' has an unpaired surrogate"),
        ({"\udfff": 1}, "surrogate"),
        ({1: 2}, "names are strings, got int 1"),
        ({"n" * 65_536: 1}, "1 to 65,535 bytes"),
        (1j, "'a' is a complex: an item holds"),
        (object(), "'a' is a object"),
    ],
)
def test_what_an_item_can_not_hold_is_refused_with_its_path(value, says):
    codec = ItemCodec([])
    with pytest.raises(ValueError, match=says):
        codec.encode({"a": value})
    assert codec.decode(codec.encode({"a": 1})) == {"a": 1}


def test_names_are_not_empty_at_the_top():
    with pytest.raises(ValueError, match="1 to 65,535 bytes in UTF-8, got 0"):
        ItemCodec([]).encode({"": 1})


def nested(depth, wrap):
    value = 1
    for _ in range(depth):
        value = wrap(value)
    return {"a": value}


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"m": v}, lambda v: ({"k": v},)])
def test_32_levels_are_taken_and_33_refused(wrap):
    codec = ItemCodec([])
    step = 2 if isinstance(wrap(1), tuple) else 1
    item = nested(32 // step, wrap)
    assert codec.decode(codec.encode(item)) == normal(item)
    with pytest.raises(ValueError, match="deeper than 32"):
        codec.encode(nested(32 // step + 1, wrap))


def test_an_item_of_exactly_400_kb_is_taken_and_one_byte_more_is_not():
    codec = ItemCodec([])
    assert item_size(codec.encode({"a": "x" * (MAX_ITEM_BYTES - 1)})) == MAX_ITEM_BYTES
    with pytest.raises(ItemTooLarge, match="409,601 bytes") as caught:
        codec.encode({"a": "x" * MAX_ITEM_BYTES})
    assert caught.value.size == MAX_ITEM_BYTES + 1


def test_the_size_of_a_large_item_counts_all_of_it():
    big = {"a": "x" * 400_000, "b": ["é" * 10_000, {"k": b"y" * 100, "n": -123, "t": True}], "c": {"s", "tt"}}
    with pytest.raises(ItemTooLarge) as caught:
        ItemCodec([]).encode(big)
    assert caught.value.size == sum(len(name) + size_of(part) for name, part in big.items())


def test_shared_and_endless_lists_are_refused_in_no_time():
    wide = ["x"]
    for _ in range(25):
        wide = [wide, wide]
    with pytest.raises(ItemTooLarge):
        ItemCodec([]).encode({"a": wide})
    endless: list = []
    endless.extend([endless, endless])
    with pytest.raises(ValueError, match="deeper than 32"):
        ItemCodec([]).encode({"a": endless})
    with pytest.raises(ItemTooLarge):
        ItemCodec([]).encode({"a": "x" * 500_000, "b": endless})


# --- names ---


def test_names_are_learnt_in_order_and_reused():
    codec = ItemCodec(["known"])
    data = codec.encode({"new": 1, "known": {"inner": 2}})
    assert codec.names == ["known", "new", "inner"]
    assert codec.encode({"new": 1, "known": {"inner": 2}}) == data
    assert codec.names == ["known", "new", "inner"]
    assert all(name is sys.intern(name) for name in codec.decode(data))


def test_equal_names_in_other_objects_get_the_same_number():
    codec = ItemCodec([])
    assert len({codec.encode({"".join(letters): 1}) for letters in (["name"], ["na", "me"], list("name"))}) == 1
    assert codec.names == ["name"]


def test_names_beyond_the_table_or_very_long_stand_in_the_item():
    codec = ItemCodec([])
    for i in range(MAX_NAMES):
        codec.encode({f"n{i}": 1})
    assert len(codec.names) == MAX_NAMES
    item = {"late é": 1, "n5": 2, "x" * 300: 3}
    assert codec.decode(codec.encode(item)) == item
    assert len(codec.names) == MAX_NAMES
    long = ItemCodec([])
    assert long.decode(long.encode({"x" * 256: 1})) == {"x" * 256: 1}
    assert long.names == []


def test_a_codec_refuses_names_given_twice_or_too_many():
    with pytest.raises(ValueError, match="'a' again"):
        ItemCodec(["a", "b", "a"])
    with pytest.raises(ValueError, match="4,096 distinct"):
        ItemCodec([str(i) for i in range(MAX_NAMES + 1)])


def test_names_live_as_long_as_the_codec_needs_them():
    codec = ItemCodec([])
    for i in range(3_000):
        name = f"name {i % 1_000}"
        assert codec.decode(codec.encode({name: i})) == {name: i}
    del codec
    gc.collect()


class Sly(dict):
    """A map whose reading changes the item that holds it."""

    def __init__(self, outer):
        super().__init__(a=1)
        self.outer = outer

    def __iter__(self):
        raise AssertionError("dict() asks keys() where there is an __iter__")

    def keys(self):
        for i in range(1_000):
            self.outer[f"extra {i}"] = i
        return super().keys()


def test_an_item_changed_while_it_is_encoded_is_an_error():
    item = {"first": 1}
    item["sly"] = Sly(item)
    with pytest.raises(ValueError, match="changed while"):
        ItemCodec([]).encode(item)


# --- damage ---


def mutated(dice, data):
    data = bytearray(data)
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(data))
        data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, data[at] ^ 1 << dice.randrange(8), dice.randrange(14)))
    cut = dice.choice((len(data), len(data), dice.randrange(len(data) + 1)))
    return bytes(data[:cut]) + dice.choice((b"", b"", b"\0", b"\xff" * 9))


SAMPLE = {
    "id": "user-17",
    "price": Decimal("9.5"),
    "wide": Decimal("-1234567890123456789012345678901234567.8"),
    "tags": ["é", {"deep": [None, True, False, -300]}],
    "s": {"x", "yy"},
    "n": {1, Decimal("2.5")},
    "b": {b"q", b""},
    "raw": b"\0\1",
    "x" * 256: 2**63,
}


def test_20000_mutations_give_an_item_or_a_value_error():
    dice = random.Random(11)  # noqa: S311 - repeatable damage, no secrets
    codec = ItemCodec([])
    good = [codec.encode(SAMPLE), codec.encode(SAMPLE, 12345), codec.encode({"m": {"k": [[[1]]]}})]
    reader = ItemCodec(codec.names[:-2])
    survived = 0
    for _ in range(20_000):
        data = mutated(dice, dice.choice(good))
        for read in (codec.decode, reader.decode, lambda data: codec.decode_some(data, {"n", "tags"})):
            try:
                found = read(memoryview(data) if dice.random() < 0.5 else data)
            except ValueError:
                continue
            survived += 1
            assert isinstance(found, dict)
            shown(found)
    assert survived > 1_000


def test_every_truncation_is_noticed():
    codec = ItemCodec([])
    data = codec.encode(SAMPLE, 5)
    for size in range(len(data)):
        with pytest.raises(ValueError, match="damaged"):
            codec.decode(data[:size])
        with pytest.raises(ValueError, match="damaged"):
            codec.decode_some(data[:size], set())
    for short in range(12):
        with pytest.raises(ValueError, match="damaged"):
            item_size(data[:short])
    with pytest.raises(ValueError, match="damaged"):
        codec.decode(data + b"\0")


HEAD = b"\0\0\0\0"


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xff\xff\xff\x0f",  # four billion pairs
        b"\x01\x00\x01a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a list of 2**64 - 1 values
        b"\x01\x00\x01a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",  # a varint beyond 64 bits
        b"\x01\x00\x01a\x01\x02\x61\xff",  # a byte that is not ascii in an ascii text
        b"\x01\x00\x01a\x02\x02\xc3\x28",  # not utf-8
        b"\x01\x00\x01a\x0e",  # an unknown tag
        b"\x01\x00\x01a\x0b\x00",  # an empty set
        b"\x01\x00\x01a\x0b\x02\x01x\x01x",  # an element twice
        b"\x01\x00\x01a\x0c\x01\x06",  # a bool in a number set
        b"\x01\x00\x01a\x04\x01\x11" + b"\x01" * 17,  # a coefficient of 17 bytes
        b"\x01\x00\x01a\x04\x01\x10" + b"\xff" * 16,  # 39 digits
        b"\x01\x00\x01a\x04\x01\x01\x0a",  # 10 * 10**-1: not normalised
        b"\x01\x00\x01a\x04\xff\x07\x01\x01",  # 1E-512
        b"\x02\x00\x01a\x06\x00\x01a\x06",  # a name twice
        b"\x01\x02\x06",  # an unknown name number
        b"\x01\x00\x01a" + b"\x0a\x01" * 33 + b"\x06",  # 33 lists inside each other
        b"\x01\x00\x01a" + b"\x09\x01\x00\x01m" * 33 + b"\x06",
    ],
)
def test_impossible_bytes_are_refused(body):
    codec = ItemCodec(["one"])
    with pytest.raises(ValueError, match=r"damaged|codec can't decode"):
        codec.decode(HEAD + body)


def test_unknown_head_bits_are_refused():
    for bits in (4, 5, 0x80):
        with pytest.raises(ValueError, match="damaged"):
            ItemCodec([]).decode(bytes([bits, 0, 0, 0]) + bytes(9))


def test_wrong_python_types_are_type_errors():
    codec = ItemCodec([])
    for call in (
        lambda: codec.encode([1]),
        lambda: codec.encode(None),
        lambda: codec.decode("text"),
        lambda: codec.decode(None),
        lambda: codec.decode_some(codec.encode({}), "abc"),
    ):
        with pytest.raises(TypeError):
            call()


# --- frames of changes ---

images = st.none() | st.binary(max_size=300)
changes = st.tuples(st.integers(0, 2**64 - 1), st.binary(max_size=30), images, images, st.booleans())


@given(st.lists(changes, max_size=5))
def test_changes_come_back_as_they_were(batch):
    payload = encode_changes(batch)
    assert decode_changes(payload) == decode_changes(memoryview(payload)) == batch
    views = [(t, k, old and memoryview(old), new and memoryview(new), e) for t, k, old, new, e in batch]
    assert encode_changes(views) == payload
    if len(batch) == 1:
        table, key, old, new, expired = batch[0]
        assert encode_change(table, key, old, new, expired=expired) == payload


def test_a_change_without_the_mark_has_not_expired():
    assert decode_changes(encode_changes([(1, b"k", None, b"n")])) == [(1, b"k", None, b"n", False)]


def test_the_frame_is_as_drawn():
    assert encode_change(300, b"k", b"o", b"new", expired=True).hex(" ") == "01 01 ac 02 07 01 6b 01 6f 03 6e 65 77"


def test_large_images_fit():
    old, new = b"o" * 409_600, b"n" * 409_600
    assert decode_changes(encode_change(1, b"k", old, new)) == [(1, b"k", old, new, False)]


@pytest.mark.parametrize("change", [(1, b"k"), (1, b"k", None, None, False, 6)])
def test_a_change_has_four_or_five_parts(change):
    with pytest.raises(ValueError, match="a change is"):
        encode_changes([change])


@pytest.mark.parametrize(
    "change", [[1, b"k", None, None], (1, None, None, None), (1, "k", None, None), (1, b"k", "o", None)]
)
def test_a_change_of_wrong_types_is_a_type_error(change):
    with pytest.raises(TypeError):
        encode_changes([change])


def test_damaged_frames_give_changes_or_a_value_error():
    dice = random.Random(3)  # noqa: S311 - repeatable damage, no secrets
    good = encode_changes(
        [(1, b"key", b"old", b"new"), (2**40, b"x" * 200, None, b"n", False), (3, b"", b"o", None, True)]
    )
    for _ in range(20_000):
        try:
            assert isinstance(decode_changes(mutated(dice, good)), list)
        except ValueError:
            continue
    for size in range(len(good)):
        with pytest.raises(ValueError, match="damaged"):
            decode_changes(good[:size])
    with pytest.raises(ValueError, match="damaged"):
        decode_changes(good + b"\0")
    with pytest.raises(ValueError, match="damaged"):
        decode_changes(b"\2\0")
