"""Cold chunks: the same bits, fewer bytes; damage is found; what was warmed is what the chunk holds."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import Corrupted
from engines.timeseries import codec, cold, fold, merge
from engines.timeseries.part import BLOCK
from engines.timeseries.rows import Column, Rows


@pytest.fixture(autouse=True)
def nothing_is_warm():
    cold.WARM.clear()


def cuts_of(lengths):
    """(cuts, first blocks) of series of these lengths."""
    _, _, first_blocks, cuts = merge.cuts_of(np.repeat(np.arange(len(lengths), dtype=np.int32), lengths))
    return cuts, first_blocks


def check(type, data, valid=None, lengths=None):
    data = np.asarray(data)
    cuts, first_blocks = cuts_of([len(data)] if lengths is None else lengths)
    encoded = cold.encode_cold(type, data, cuts, valid, first_blocks=first_blocks)
    decoded = codec.decode(codec.placed(encoded), type)
    present = np.ones(len(data), bool) if valid is None else valid != 0
    found = np.ones(len(data), bool) if decoded.valid is None else decoded.valid != 0
    np.testing.assert_array_equal(found, present)
    bits = f"u{data.dtype.itemsize}"
    np.testing.assert_array_equal(decoded.data.view(bits)[present], data.view(bits)[present])
    return encoded


def way(encoded):
    return encoded.payload[8] & 15


def rng(seed=1):
    return np.random.default_rng(seed)


def walk(n, seed=1):
    return np.abs((np.cumsum(rng(seed).normal(size=n)) + 50) % 200 - 100).round()  # between 0 and 100, reflected


DATA = {
    "walk": walk(8640),
    "cents": walk(3000) + rng().integers(0, 100, 3000) / 100,
    "fahrenheit": rng().normal(60, 9, 8000).round() / 1.8,
    "noise": rng().random(3000),
    "exceptions": np.where(rng().random(5000) < 0.01, np.nan, walk(5000)),
    "short": walk(30),
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("walk", cold.DECIMALS), ("cents", cold.DECIMALS), ("fahrenheit", cold.DICTIONARY), ("noise", cold.PLAIN)],
)
def test_each_kind_of_data_gets_its_way(name, expected):
    encoded = check("double", DATA[name])
    assert way(encoded) == expected
    hot = codec.encode("double", DATA[name], cuts_of([len(DATA[name])])[0])
    assert len(encoded.payload) < len(hot.payload)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("absent", [0.0, 0.02, 0.5, 1.0])
def test_what_goes_in_comes_out(name, absent):
    data = DATA[name]
    check("double", data, (rng().random(len(data)) >= absent).astype(np.uint8))


def test_an_integer_walk_takes_less_than_three_tenths_of_a_byte():
    assert len(check("double", DATA["walk"]).payload) / 8640 < 0.3


@given(st.lists(st.integers(0, 2**64 - 1), max_size=300))
def test_any_bit_pattern_of_a_double_survives(patterns):
    data = np.array(patterns, np.uint64).view(np.float64)
    check("double", data)


@given(st.lists(st.sampled_from([0.0, -0.0, 1.5, np.nan, np.inf, -np.inf, 1e300, 5e-324, 0.1]), max_size=300))
def test_special_doubles_survive(values):
    check("double", np.array(values, np.float64))
    check("double", np.concatenate((walk(2000), values)))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=300), st.sampled_from(["bigint", "timestamp"]))
def test_any_whole_number_survives(values, type):
    check(type, np.array(values, np.int64))


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=30), st.integers(0, 2**32))
def test_many_series_share_chunks_or_have_their_own(lengths, seed):
    r = rng(seed)
    rows = sum(lengths)
    valid = (r.random(rows) < 0.9).astype(np.uint8)
    encoded = check("double", np.cumsum(r.integers(-3, 4, rows)) / 10, valid, lengths)
    cold_blocks = encoded.blocks[(encoded.blocks["codec"] & 15) == codec.COLD]
    for address in np.unique(cold_blocks["address"]):
        assert cold_blocks["rows"][cold_blocks["address"] == address].sum() <= cold.MOST_BLOCKS * BLOCK


def test_chunks_end_with_long_series_and_hold_many_short_ones():
    cuts, first_blocks = cuts_of([20_000, 8640, 10, 10, 10, 5000, 5000])
    edges = cold.chunk_edges(cuts, first_blocks)
    rows = np.diff(cuts[edges])
    assert rows.max() <= cold.MOST_BLOCKS * BLOCK
    assert rows.tolist()[:3] == [6144, 7168, 6688]
    assert rows.tolist()[3] == 8640
    cuts, first_blocks = cuts_of([10] * 1000)
    assert len(cold.chunk_edges(cuts, first_blocks)) == 3


def test_what_is_constant_or_regular_stays_as_it_is():
    encoded = check("timestamp", np.arange(5000) * 10**10)
    assert len(encoded.payload) == 0
    encoded = check("double", np.full(5000, 1.5))
    assert len(encoded.payload) == 0


def test_booleans_and_texts_are_as_when_hot():
    check("boolean", rng().integers(0, 2, 3000).astype(np.uint8), (rng(2).random(3000) < 0.5).astype(np.uint8))
    cuts, _ = cuts_of([2000])
    codes = rng().integers(0, 3, 2000).astype(np.int32)
    encoded = cold.encode_cold("varchar", codes, cuts, None, ("a", "bc", "d"))
    decoded = codec.decode(codec.placed(encoded))
    assert [decoded.words[code] for code in decoded.data] == [("a", "bc", "d")[code] for code in codes]


def test_summaries_are_those_of_hot_blocks():
    cuts, first_blocks = cuts_of([8640])
    hot = codec.encode("double", DATA["walk"], cuts).blocks
    cold_blocks = cold.encode_cold("double", DATA["walk"], cuts, first_blocks=first_blocks).blocks
    for name in ("rows", "present", "flags", "low", "high", "total", "first", "last"):
        np.testing.assert_array_equal(hot[name], cold_blocks[name])


def test_a_selection_of_blocks_opens_a_chunk_once():
    cuts, first_blocks = cuts_of([8640])
    encoded = cold.encode_cold("double", DATA["walk"], cuts, first_blocks=first_blocks)
    blocks = codec.placed(encoded)
    misses = cold.WARM.misses
    picked = codec.decode(blocks[[3, 1, 8]]).data
    expected = [DATA["walk"][i * 1024 : (i + 1) * 1024] for i in (3, 1, 8)]
    np.testing.assert_array_equal(picked, np.concatenate(expected))
    codec.decode(blocks[2:3])
    assert cold.WARM.misses == misses + 1


def test_the_least_recently_used_chunk_goes_first():
    warm = cold.Warm(10_000)
    cuts, first_blocks = cuts_of([8640])
    kept = [cold.encode_cold("double", walk(8640, seed), cuts, first_blocks=first_blocks) for seed in range(5)]
    for encoded in kept:
        block = codec.placed(encoded)[0]
        warm.get(int(block["address"]), int(block["length"]), 0)
        assert warm.used <= 10_000
    assert warm.misses == 5
    block = codec.placed(kept[-1])[0]
    warm.get(int(block["address"]), int(block["length"]), 0)
    assert warm.hits == 1


def test_a_new_chunk_at_an_old_address_is_not_mistaken_for_the_old_one():
    cuts, first_blocks = cuts_of([1000])
    one, other = (cold.encode_cold("double", walk(1000, seed), cuts, first_blocks=first_blocks) for seed in (1, 2))
    room = np.zeros(max(len(one.payload), len(other.payload)), np.uint8)
    for encoded, seed in ((one, 1), (other, 2)):
        room[: len(encoded.payload)] = np.frombuffer(encoded.payload, np.uint8)
        decoded = codec.decode(codec.relocated(encoded.blocks, room.ctypes.data))
        np.testing.assert_array_equal(decoded.data, walk(1000, seed))


def test_damaged_chunks_are_corrupted():
    cuts, first_blocks = cuts_of([2000])
    valid = (rng().random(2000) < 0.7).astype(np.uint8)
    for name in ("walk", "exceptions", "fahrenheit"):
        encoded = cold.encode_cold("double", DATA[name][:2000], cuts, valid, first_blocks=first_blocks)
        for at in range(0, len(encoded.payload), 7):
            cold.WARM.clear()
            changed = bytearray(encoded.payload)
            changed[at] ^= 16
            room = np.frombuffer(bytes(changed), np.uint8)
            with pytest.raises(Corrupted):
                codec.decode(codec.relocated(encoded.blocks, room.ctypes.data))
            blocks = encoded.blocks.copy()
            blocks["length"] = at
            with pytest.raises(Corrupted):
                codec.decode(codec.placed(codec.Encoded(encoded.payload, blocks)))


def signed(chunk):
    return hashlib.blake2b(chunk[8:], digest_size=8).digest() + chunk[8:]


def test_chunks_changed_with_a_right_digest_are_corrupted_or_give_as_many_values():
    cuts, first_blocks = cuts_of([2000])
    r = rng()
    valid = (r.random(2000) < 0.7).astype(np.uint8)
    for name in ("walk", "exceptions", "fahrenheit"):
        encoded = cold.encode_cold("double", DATA[name][:2000], cuts, valid, first_blocks=first_blocks)
        for _ in range(200):
            changed = bytearray(encoded.payload)
            for _ in range(r.integers(1, 3)):
                changed[r.integers(8, len(changed) if r.random() < 0.3 else 40)] ^= 1 << r.integers(8)
            chunk = signed(bytes(changed))
            try:
                opened = cold.open_chunk(chunk, "double")
            except Corrupted:
                continue
            assert opened.blocks["rows"].sum() < 1 << 16


def test_a_block_that_is_not_in_its_chunk_is_corrupted():
    cuts, first_blocks = cuts_of([2000])
    encoded = cold.encode_cold("double", walk(2000), cuts, first_blocks=first_blocks)
    for name, value in (("more", 5), ("rows", 7), ("present", 5), ("length", 3)):
        for repeats in (1, 20):  # one by one, and all at once
            blocks = np.tile(codec.placed(encoded), repeats)
            codec.decode(blocks)
            blocks[name][1] = value
            with pytest.raises(Corrupted):
                codec.decode(blocks)


def test_the_fold_warms_only_the_chunks_that_it_needs():
    n = 30_000
    times = np.arange(n) * 10**10
    rows = Rows(np.zeros(n, np.int32), times, {2: Column("double", walk(n)), 3: Column("double", walk(n, 2))})
    series, _, first_blocks, cuts = merge.cuts_of(rows.series)
    encoded = [
        cold.encode_cold("timestamp", rows.times, cuts, first_blocks=first_blocks),
        *(cold.encode_cold("double", rows.columns[c].data, cuts, first_blocks=first_blocks) for c in (2, 3)),
    ]
    part = merge.assembled(series, first_blocks, [0, 2, 3], encoded, tier="magnetic")
    width = 3600 * 10**9
    first, bins = fold.bins_of(0, int(times[-1]), width)
    misses = cold.WARM.misses
    folded = fold.fold([part], [2], ["double"], ["max", "sum"], width=width, first_bin=first, bins=bins)
    assert cold.WARM.misses == misses + 4
    expected = [walk(n)[i * 360 : (i + 1) * 360] for i in range(bins)]
    np.testing.assert_array_equal(folded.high(0)[0], [part.max() for part in expected])
    np.testing.assert_allclose(folded.total(0)[0], [part.sum() for part in expected])
    folded = fold.fold([part], [2, 3], ["double"] * 2, ["max", "sum"])
    assert cold.WARM.misses == misses + 4
    np.testing.assert_array_equal(folded.count(1), n)
    np.testing.assert_allclose(folded.total(1), walk(n, 2).sum())
    np.testing.assert_array_equal(folded.high(1), walk(n, 2).max())


def test_the_fold_reads_cold_times_that_are_not_regular():
    n = 9000
    times = np.cumsum(rng().integers(1, 10**10, n))
    rows = Rows(np.zeros(n, np.int32), times, {2: Column("double", walk(n))})
    series, _, first_blocks, cuts = merge.cuts_of(rows.series)
    encoded = [
        cold.encode_cold("timestamp", rows.times, cuts, first_blocks=first_blocks),
        cold.encode_cold("double", walk(n), cuts, first_blocks=first_blocks),
    ]
    assert (encoded[0].blocks["codec"] & 15 == codec.COLD).all()
    part = merge.assembled(series, first_blocks, [0, 2], encoded, tier="magnetic")
    width = 7 * 10**12
    first, bins = fold.bins_of(int(times[0]), int(times[-1]), width)
    folded = fold.fold([part], [2, 0], ["double", "timestamp"], width=width, first_bin=first, bins=bins)
    expected = [walk(n)[times // width == first + b] for b in range(bins)]
    np.testing.assert_array_equal(folded.count(0)[0], [len(values) for values in expected])
    np.testing.assert_array_equal(folded.low(0)[0], [values.min() for values in expected])
    np.testing.assert_array_equal(folded.low(1)[0], [times[times // width == first + b].min() for b in range(bins)])
