import numpy as np
import pytest

from engines._native import group

WIDTHS = [np.uint8, np.uint16, np.uint32, np.int64]
SIZES = [0, 1, 2, 3, 4, 5, 7, 130, 5000]
ROOMS = [3, 256, 257, 4000]


def made(dtype, n, rng):
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -(2**40)), min(info.max, 2**40), n, dtype=np.int64).astype(dtype)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("n", SIZES)
def test_counts_are_those_of_bincount(n, room, rng):
    groups = rng.integers(0, room, n).astype(np.uint32)
    totals = np.full(room, 5, np.int64)
    group.count(groups, totals)
    assert (totals == 5 + np.bincount(groups, minlength=room)).all()


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("n", SIZES)
def test_sums_add_the_base_to_every_value(n, room, dtype, rng):
    groups = rng.integers(0, room, n).astype(np.uint32)
    values = made(dtype, n, rng)
    totals, expected = np.zeros(room, np.int64), np.zeros(room, np.int64)
    group.sum_whole(values, -17, groups, totals)
    np.add.at(expected, groups, values.astype(np.int64) - 17)
    assert (totals == expected).all()
    assert group.total_whole(values) == int(values.astype(np.int64).sum())


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("largest", [False, True])
def test_extremes_are_those_of_every_group(dtype, largest, rng):
    groups = rng.integers(0, 40, 3000).astype(np.uint32)
    values = made(dtype, 3000, rng)
    worst = group.SMALLEST if largest else group.LARGEST
    best, rows = np.full(41, worst, np.int64), np.full(41, -1, np.int32)
    group.extreme_whole(values, 3, groups, best, largest=largest)
    keys = np.full(41, 0, np.int64)
    group.extreme_row(values, 3, groups, keys, rows, largest=largest)
    for i in range(40):
        of_group = values[groups == i].astype(np.int64) + 3
        expected = of_group.max() if largest else of_group.min()
        assert best[i] == expected == keys[i]
        assert rows[i] == np.flatnonzero((groups == i) & (values.astype(np.int64) + 3 == expected))[0]
    assert best[40] == worst
    assert rows[40] == -1


def test_nan_is_the_largest_double():
    values = np.array([1.0, np.nan, -np.inf, np.nan, 2.0])
    groups = np.array([0, 0, 0, 1, 2], np.uint32)
    low, high = np.full(3, np.nan), np.full(3, -np.inf)
    group.extreme_float(values, groups, low, largest=False)
    group.extreme_float(values, groups, high, largest=True)
    assert np.array_equal(low, [-np.inf, np.nan, 2.0], equal_nan=True)
    assert np.array_equal(high, [np.nan, np.nan, 2.0], equal_nan=True)


def test_a_sum_of_doubles_keeps_what_rounding_takes():
    values = np.array([1e100, 1.0, -1e100, 1e-3] * 100)
    totals, rest = np.zeros(1), np.zeros(1)
    group.sum_float(values, np.zeros(len(values), np.uint32), totals, rest)
    assert totals[0] + rest[0] == pytest.approx(100.1, abs=1e-9)


def wide(high, low):
    return [int(h) * 2**64 + int(n) for h, n in zip(high, low, strict=True)]


def test_sums_of_128_bits_carry_and_borrow(rng):
    values = rng.integers(-(2**63), 2**63 - 1, 1000, dtype=np.int64)
    groups = rng.integers(0, 5, 1000).astype(np.uint32)
    high, low = np.zeros(5, np.int64), np.zeros(5, np.uint64)
    group.sum_wide(values, groups, high, low)
    expected = [sum(values[groups == i].tolist()) for i in range(5)]
    assert wide(high, low) == expected
    totals = np.array([-1, 1, 2**63 - 1, -(2**63), 0], np.int64)
    more = totals.tolist()
    group.flush(totals, high, low)
    assert not totals.any()
    expected = [a + b for a, b in zip(expected, more, strict=True)]
    assert wide(high, low) == expected
    assert group.add_wide(high.copy(), low.copy(), np.arange(5, dtype=np.uint32), high, low)
    assert wide(high, low) == [2 * value for value in expected]


def test_a_sum_beyond_128_bits_is_reported():
    high, low = np.array([2**62], np.int64), np.zeros(1, np.uint64)
    assert not group.add_wide(high.copy(), low.copy(), np.zeros(1, np.uint32), high, low)


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("largest", [False, True])
def test_the_first_of_the_extreme_texts_is_found(coded, largest, rng):
    words = [b"", b"a", b"ab", b"b", b"\xff", b"aa"]
    codes = rng.integers(0, len(words), 500).astype(np.int32)
    groups = rng.integers(0, 4, 500).astype(np.uint32)
    texts = words if coded else [words[code] for code in codes]
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    heap = np.frombuffer(b"".join(texts), np.uint8)
    rows = np.full(5, -1, np.int32)
    group.extreme_text(codes if coded else None, offsets, heap, groups, rows, largest=largest)
    for i in range(4):
        of_group = [(words[codes[row]], row) for row in range(500) if groups[row] == i]
        best = (max if largest else min)(word for word, _ in of_group)
        assert rows[i] == next(row for word, row in of_group if word == best)
    assert rows[4] == -1


def test_moments_are_those_of_numpy(rng):
    values, others = rng.normal(1e6, 1, 2000), rng.normal(0, 5, 2000)
    groups = rng.integers(0, 3, 2000).astype(np.uint32)
    n, mean, square = np.zeros(3), np.zeros(3), np.zeros(3)
    group.moments(values, groups, n, mean, square)
    pairs, sums = np.zeros(3), np.zeros((5, 3))
    group.pair_moments(values, others, groups, pairs, sums)
    for i in range(3):
        x, y = values[groups == i], others[groups == i]
        assert n[i] == pairs[i] == len(x)
        assert mean[i] == pytest.approx(x.mean())
        assert square[i] / n[i] == pytest.approx(x.var())
        assert sums[4, i] / n[i] == pytest.approx(((x - x.mean()) * (y - y.mean())).mean())
        assert sums[3, i] / n[i] == pytest.approx(y.var())


@pytest.mark.parametrize(("total", "count", "expected"), [(5, 2, 3), (-5, 2, -3), (4, 3, 1), (-4, 3, -1), (7, 0, 0)])
def test_averages_are_rounded_half_away_from_zero(total, count, expected):
    out = np.empty(1, np.int64)
    group.average(np.array([total]), np.array([count]), 1, out)
    assert out[0] == expected


def test_rows_are_sent_away_where_the_mask_is_0(rng):
    groups = rng.integers(0, 9, 77).astype(np.uint32)
    mask = rng.integers(0, 2, 77).astype(np.uint8)
    out = np.empty(77, np.uint32)
    group.send_away(groups, mask, 12, out)
    assert (out == np.where(mask, groups, 12)).all()


def test_slots_get_numbers_in_the_order_in_which_they_are_met():
    table = np.full(65_536, group.NO_GROUP, np.uint32)
    groups, new = np.empty(5, np.uint32), np.empty(5, np.uint16)
    assert group.number_slots(np.array([9, 3, 9, 65_535, 3], np.uint16), table, groups, new, 0) == 3
    assert groups.tolist() == [0, 1, 0, 2, 1]
    assert new[:3].tolist() == [9, 3, 65_535]
    assert group.number_slots(np.array([3, 4, 9, 4, 4], np.uint16), table, groups, new, 3) == 4
    assert groups.tolist() == [1, 3, 0, 3, 3]
    assert new[0] == 4


@pytest.mark.parametrize("dtype", WIDTHS)
def test_shares_of_slots_add_up(dtype):
    codes = np.array([0, 1, 2, 1], dtype)
    slots = np.full(4, 999, np.uint16)
    group.add_slots(codes, None, 1, 10, np.array([1, 1, 1, 0], np.uint8), slots, first=True)
    assert slots.tolist() == [10, 20, 30, 0]
    group.add_slots(codes, np.array([5, 6, 7], np.uint16), 0, 0, None, slots, first=False)
    assert slots.tolist() == [15, 26, 37, 6]


def test_arrays_of_other_kinds_or_lengths_are_refused():
    groups = np.zeros(3, np.uint32)
    with pytest.raises(TypeError, match="uint8, uint16"):
        group.sum_whole(np.zeros(3, np.float32), 0, groups, np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="one length"):
        group.sum_whole(np.zeros(4, np.uint8), 0, groups, np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="one length"):
        group.send_away(groups, np.zeros(2, np.uint8), 0, groups)
