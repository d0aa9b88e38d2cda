"""Blocks of values: what goes in comes out bit for bit, and bytes that were changed never lead outside."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engines._native import tsblocks
from engines.errors import Corrupted
from engines.timeseries import codec
from engines.timeseries.part import BLOCK_TYPE

LENGTHS = [0, 1, 2, 3, 5, 10, 63, 64, 65, 100, 127, 128, 129, 448, 640, 700, 1000, 1022, 1023, 1024]


def cuts_for(rows, size=1024):
    return np.append(np.arange(0, rows, size), rows).astype(np.int64) if rows else np.zeros(1, np.int64)


def round_trip(type, data, valid=None, words=None, *, cuts=None, encode=codec.encode):
    cuts = cuts_for(len(data)) if cuts is None else cuts
    encoded = encode(type, data, cuts, valid, words)
    assert int(encoded.blocks["rows"].sum()) == len(data)
    return encoded, codec.decode(codec.placed(encoded), type)


def check(type, data, valid=None, cuts=None, encode=codec.encode):
    data = np.asarray(data)
    encoded, decoded = round_trip(type, data, valid, cuts=cuts, encode=encode)
    present = np.ones(len(data), bool) if valid is None else valid != 0
    found = np.ones(len(data), bool) if decoded.valid is None else decoded.valid != 0
    np.testing.assert_array_equal(found, present)
    bits = f"u{data.dtype.itemsize}"
    np.testing.assert_array_equal(decoded.data.view(bits)[present], data.view(bits)[present])
    assert not decoded.data[~present].view(bits).any()
    return encoded


def kinds(encoded):
    return {codec.KINDS[number & 15] for number in encoded.blocks["codec"].tolist()}


def make(kind, rows, seed=1):
    """Doubles for which one codec is right."""
    r = np.random.default_rng(seed)
    return {
        "constant": lambda: np.full(rows, 21.5),
        "frame": lambda: r.integers(0, 1000, rows) / 100,
        "delta": lambda: np.cumsum(r.integers(-3, 4, rows)) / 10,
        "long delta": lambda: np.cumsum(r.integers(0, 1 << 20, rows)) * 1.0,
        "dictionary": lambda: r.integers(0, 30, rows) / 1.8 * np.pi,
        "raw": lambda: r.normal(size=rows),
        "misses": lambda: np.where(r.random(rows) < 0.05, np.nan, np.cumsum(r.integers(-3, 4, rows)) / 10),
    }[kind]()


@pytest.mark.parametrize("kind", ["constant", "frame", "delta", "long delta", "dictionary", "raw"])
def test_each_kind_of_doubles_gets_its_codec(kind):
    assert kinds(check("double", make(kind, 1024))) == {kind}


@pytest.mark.parametrize("kind", ["constant", "frame", "delta", "long delta", "dictionary", "raw", "misses"])
def test_blocks_of_every_length_come_back(kind):
    data = np.concatenate([make(kind, length, length) for length in range(1025)])
    cuts = np.cumsum([0, *range(1025)])
    check("double", data, cuts=cuts)
    check("double", data, (np.arange(len(data)) % 5 > 0).astype(np.uint8), cuts=cuts)
    check("double", data, cuts=cuts, encode=codec.raw)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("encode", [codec.encode, codec.raw])
def test_absent_values_take_a_bit_and_come_back_absent(length, share, encode):
    r = np.random.default_rng(length)
    valid = (r.random(length) < share).astype(np.uint8)
    for kind in ("delta", "raw", "misses"):
        encoded = check("double", make(kind, length), valid, encode=encode)
        assert int(encoded.blocks["present"].sum()) == valid.sum()


@given(st.lists(st.integers(0, 2**64 - 1), max_size=200), st.integers(0, 200))
@example([0x7FF0000000000001, 0x7FF8000000000000, 0xFFF0000000000000, 1 << 63, 1], 0)
def test_any_bit_pattern_of_a_double_survives(patterns, absent):
    data = np.array(patterns, np.uint64).view(np.float64)
    check("double", data)
    check("double", data, encode=codec.raw)
    valid = (np.arange(len(data)) % 7 != absent % 7).astype(np.uint8)
    check("double", data, valid)


@given(
    st.lists(st.sampled_from([0.0, -0.0, 1.5, np.nan, np.inf, -np.inf, 1e300, 5e-324, 0.1, 123456.78]), max_size=300)
)
def test_special_doubles_among_decimals_survive(values):
    check("double", np.array(values, np.float64))


@given(
    st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-100, 100)), max_size=200),
    st.sampled_from(["bigint", "timestamp"]),
)
@example([-(2**63), 2**63 - 1] * 40, "bigint")
@example([i * 3 * 10**18 - 2**63 for i in range(6)], "bigint")
def test_any_whole_number_survives(values, type):
    check(type, np.array(values, np.int64))


@given(st.integers(0, 64), st.integers(0, 1024), st.booleans(), st.integers(0, 2**32))
def test_whole_numbers_of_every_width_survive(width, rows, rising, seed):
    r = np.random.default_rng(seed)
    data = (
        r.integers(0, 1 << width, rows, np.uint64, endpoint=False)
        if width < 64
        else r.integers(0, 2**64, rows, np.uint64)
    )
    data = np.cumsum(data, dtype=np.uint64) if rising else data
    check("bigint", data.view(np.int64))


@given(st.lists(st.integers(0, 1024), max_size=8), st.integers(0, 2**32))
def test_many_blocks_of_any_length_in_one_call(lengths, seed):
    r = np.random.default_rng(seed)
    rows = sum(lengths)
    cuts = np.cumsum([0, *lengths]).astype(np.int64)
    check("double", np.round(r.normal(size=rows), 1), cuts=cuts)
    check("boolean", r.integers(0, 2, rows).astype(np.uint8), (r.random(rows) < 0.5).astype(np.uint8), cuts=cuts)
    check("bigint", r.integers(-5, 5, rows), (r.random(rows) < 0.5).astype(np.uint8), cuts=cuts)


def test_regular_times_take_no_bytes():
    times = 1_700_000_000_000_000_000 + np.arange(5000) * 10_000_000_000
    encoded = check("timestamp", times)
    assert len(encoded.payload) == 0
    assert kinds(encoded) == {"regular"}


def test_a_gap_in_regular_times_takes_a_run():
    times = np.arange(1000) * 10_000_000_000
    times[300:] += 3_600_000_000_000
    encoded = check("timestamp", times)
    assert kinds(encoded) == {"runs"}
    assert len(encoded.payload) < 60


def test_times_with_jitter_take_the_bits_of_the_jitter():
    r = np.random.default_rng(5)
    times = (np.arange(1024) * 10_000 + r.integers(0, 100, 1024)) * 1_000_000  # milliseconds
    encoded = check("timestamp", times)
    assert len(encoded.payload) / 1024 < 1.3


def test_a_short_block_is_not_padded():
    data = np.random.default_rng(3).integers(0, 16, 448) * 1.0
    assert len(check("double", data).payload) <= 448 // 2 + 8
    data = np.random.default_rng(3).integers(0, 1024, 10)
    assert len(check("bigint", data).payload) <= 10 * 10 / 8 + 4


def test_a_constant_takes_no_bytes():
    for value in (0.0, -0.0, np.nan, 1e300):
        assert len(check("double", np.full(1024, value)).payload) == 0


def test_booleans_take_a_bit_and_none_where_all_are_equal():
    r = np.random.default_rng(1)
    for length in LENGTHS:
        assert len(check("boolean", r.integers(0, 2, length).astype(np.uint8)).payload) <= (length + 7) // 8
        assert len(check("boolean", np.ones(length, np.uint8)).payload) == 0


@given(st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "é", "\U0001f600", "x" * 300])), max_size=300))
def test_texts_survive(texts):
    words = tuple(dict.fromkeys(text for text in texts if text is not None))
    numbers = {word: i for i, word in enumerate(words)}
    data = np.array([numbers.get(text, 0) for text in texts], np.int32)
    valid = np.array([text is not None for text in texts], np.uint8)
    _, decoded = round_trip("varchar", data, valid, words, cuts=cuts_for(len(texts), 100))
    found = decoded.valid if decoded.valid is not None else np.ones(len(texts), np.uint8)
    assert [decoded.words[code] if there else None for code, there in zip(decoded.data, found, strict=True)] == texts


def test_texts_all_different_survive():
    words = tuple(f"word number {i}" for i in range(1024))
    _, decoded = round_trip("varchar", np.arange(1023, -1, -1, dtype=np.int32), None, words)
    assert [decoded.words[code] for code in decoded.data] == list(reversed(words))


# --- summaries ---


@pytest.mark.parametrize("kind", ["constant", "frame", "delta", "long delta", "dictionary", "raw", "misses"])
@pytest.mark.parametrize("length", [1, 2, 64, 700, 1024])
def test_summaries_of_doubles(kind, length):
    data = make(kind, length)
    block = codec.encode("double", data, cuts_for(length)).blocks[0]
    numbers = data[~np.isnan(data)]
    as_double = {name: np.uint64(block[name]).view(np.float64) for name in ("low", "high", "total", "first", "last")}
    assert bool(block["flags"] & 1) == np.isnan(data).any()
    np.testing.assert_equal(as_double["first"], data[0])
    np.testing.assert_equal(as_double["last"], data[-1])
    if len(numbers):
        assert as_double["low"] == numbers.min()
        assert as_double["high"] == numbers.max()
        np.testing.assert_allclose(as_double["total"], numbers.sum(), rtol=1e-12, atol=1e-12)


@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-100, 100)), min_size=1, max_size=200))
@example([2**62, 2**62])
@example([-(2**62), -(2**62), -1])
@example([-(2**62), -(2**62)])
def test_summaries_of_whole_numbers(values):
    block = codec.encode("bigint", np.array(values), cuts_for(len(values))).blocks[0]
    total = sum(values)
    assert int(block["low"].view(np.int64)) == min(values)
    assert int(block["high"].view(np.int64)) == max(values)
    assert bool(block["flags"] & 2) == (not -(2**63) <= total < 2**63)
    assert int(block["total"]) == total % 2**64


# --- bytes that were changed ---


def samples():
    r = np.random.default_rng(9)
    valid = (r.random(700) < 0.7).astype(np.uint8)
    for kind in ("constant", "frame", "delta", "long delta", "dictionary", "raw", "misses"):
        yield "double", codec.encode("double", make(kind, 700), cuts_for(700), valid)
        yield "double", codec.encode("double", make(kind, 1024), cuts_for(1024))
    yield "bigint", codec.encode("bigint", r.integers(-(2**62), 2**62, 100), cuts_for(100))
    yield "bigint", codec.encode("bigint", np.cumsum(r.integers(0, 2**40, 1000)), cuts_for(1000))
    times = np.arange(700) * 7
    times[50:] += 1000
    yield "timestamp", codec.encode("timestamp", times, cuts_for(700))
    yield "boolean", codec.encode("boolean", r.integers(0, 2, 700).astype(np.uint8), cuts_for(700), valid)
    words = tuple(f"word {i}" for i in range(50))
    yield "varchar", codec.encode("varchar", r.integers(0, 50, 700).astype(np.int32), cuts_for(700), valid, words)


def outcome(blocks, payload, type):
    """How many values a changed block gives, or None where it is found out."""
    room = np.frombuffer(payload, np.uint8).copy() if len(payload) else np.zeros(1, np.uint8)
    blocks = codec.relocated(blocks, room.ctypes.data)
    try:
        return len(codec.decode(blocks, type).data)
    except Corrupted:
        return None


@pytest.mark.parametrize("place", range(19))
def test_every_truncation_is_corrupted(place):
    type, encoded = list(samples())[place]
    for length in sorted({*range(64), *range(64, len(encoded.payload), 13), len(encoded.payload) - 1}):
        if not 0 <= length < len(encoded.payload):
            continue
        blocks = encoded.blocks.copy()
        blocks["length"] = length
        assert outcome(blocks, encoded.payload[:length], type) is None


@pytest.mark.parametrize("place", range(19))
def test_changed_bytes_are_corrupted_or_give_as_many_values(place):
    type, encoded = list(samples())[place]
    rows = int(encoded.blocks["rows"].sum())
    r = np.random.default_rng(place)
    for _ in range(150):
        payload = bytearray(encoded.payload)
        for _ in range(r.integers(1, 4)):
            if payload:
                payload[r.integers(len(payload))] ^= 1 << r.integers(8)
        assert outcome(encoded.blocks, bytes(payload), type) in (rows, None)
        blocks = encoded.blocks.copy()
        fields = blocks.view(np.uint8)
        for _ in range(r.integers(1, 4)):
            at = r.choice([*range(12, 24), *range(48, 64)])  # all but address, length and low, high, total
            fields[at] ^= 1 << r.integers(8)
        if blocks["codec"][0] & 15 == codec.COLD:
            continue
        assert outcome(blocks, encoded.payload, type) in (int(blocks["rows"].sum()), None)


@given(
    st.binary(max_size=80), st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 1100), st.integers(0, 1100)
)
def test_bytes_made_up_are_corrupted_or_give_as_many_values(payload, more, number, rows, present):
    block = np.zeros(1, BLOCK_TYPE)
    block["rows"], block["present"], block["more"], block["codec"] = rows, present, more, number
    block["length"] = len(payload)
    if (number >> 4) < 5 and number & 15 != codec.COLD:
        assert outcome(block, payload, None) in (rows, None)


def test_a_kernel_refuses_arrays_that_do_not_fit():
    blocks, out = np.zeros(128, np.uint8), np.zeros(100, np.uint8)
    data = np.zeros(10, np.uint64)
    with pytest.raises(ValueError, match="cuts"):
        tsblocks.encode_numbers(0, data, np.array([0, 11]), None, blocks, out)
    with pytest.raises(ValueError, match="cuts"):
        tsblocks.encode_numbers(0, data, np.array([5, 3]), None, blocks, out)
    with pytest.raises(ValueError, match="room"):
        tsblocks.encode_numbers(0, data, np.array([0, 10]), None, blocks, out)
    with pytest.raises(ValueError, match="rows"):
        tsblocks.decode_numbers(blocks, data, None)
