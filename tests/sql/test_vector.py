"""The kernels over whole numbers, masks and positions, each against numpy or Python: every length, width and NULL."""

import itertools

import numpy as np
import pytest

from engines._native import arithmetic, compare, vector

LENGTHS = [*range(131), 1000, 4099]
WIDTHS = [np.uint8, np.uint16, np.uint32, np.int64]
PAIRS = list(itertools.product(WIDTHS, WIDTHS))
AND, LESS, QUOTIENT, REMAINDER = False, True, False, True  # the kernels' first arguments


def numbers(random, width, n):
    """Values of the whole range, with both ends among them."""
    info = np.iinfo(width)
    values = random.integers(info.min, info.max, n, width, endpoint=True)
    values[: n // 5] = random.integers(0, 5, n // 5)
    if n > 8:
        values[n // 2], values[-1] = info.min, info.max
    return values


def flags(random, n, share=0.5):
    return (random.random(n) < share).astype(np.uint8)


@pytest.fixture
def random():
    return np.random.default_rng(7)


# ---- gather and scatter ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [*WIDTHS, np.float64])
def test_gather_gives_the_values_at_any_positions(random, width):
    for n in LENGTHS:
        values = random.integers(0, 200, 77).astype(width)
        at = random.integers(0, 77, n).astype(np.int32)
        out = np.empty(n, width)
        vector.gather(values, at, out)
        assert np.array_equal(out, values[at])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("share", [0.9, 0.97, 1.0])
def test_gather_of_nearly_all_rows_is_the_same_as_of_any(random, width, share):
    for n in (31, 32, 33, 64, 1000, 4099):
        values = numbers(random, width, n)
        at = np.flatnonzero(flags(random, n, share)).astype(np.int32)
        for positions in (at, at[::-1].copy()):
            out = np.empty(len(at), width)
            vector.gather(values, positions, out)
            assert np.array_equal(out, values[positions])


def test_runs_that_only_look_like_runs_are_gathered_one_by_one():
    at = np.arange(64, dtype=np.int32)
    at[5], at[6] = 6, 5
    out = np.empty(64, np.int64)
    vector.gather(np.arange(100, 164), at, out)
    assert out.tolist() == (at + 100).tolist()


@pytest.mark.parametrize("at", [[0, 3], [-1], [2**31 - 1]])
def test_a_position_outside_of_the_values_is_refused(at):
    with pytest.raises(IndexError):
        vector.gather(np.zeros(3), np.array(at, np.int32), np.empty(len(at)))
    with pytest.raises(IndexError):
        vector.scatter(np.zeros(len(at), np.int64), 0, np.array(at, np.int32), np.empty(3, np.int64))


@pytest.mark.parametrize(("codes", "table"), list(itertools.product([np.uint8, np.uint16, np.uint32], WIDTHS)))
def test_lookup_gives_the_word_of_each_code(random, codes, table):
    words = numbers(random, table, 200)
    for n in LENGTHS:
        given = random.integers(0, 200, n).astype(codes)
        out = np.empty(n, table)
        vector.lookup(given, words, out)
        assert np.array_equal(out, words[given])


def test_a_code_without_a_word_is_refused():
    with pytest.raises(IndexError):
        vector.lookup(np.array([0, 2], np.uint8), np.zeros(2, np.uint8), np.empty(2, np.uint8))
    with pytest.raises(IndexError):
        vector.lookup(np.array([0], np.uint8), np.zeros(0, np.uint8), np.empty(1, np.uint8))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_scatter_puts_values_at_their_positions_and_adds_the_delta(random, source, target):
    for n in (0, 1, 7, 130):
        values = random.integers(0, 100, n).astype(source)
        at = random.permutation(200)[:n].astype(np.int32)
        out = np.zeros(200, target)
        vector.scatter(values, 50, at, out)
        want = np.zeros(200, target)
        want[at] = values.astype(np.int64) + 50
        assert np.array_equal(out, want)


def test_scatter_takes_one_value_for_all_positions():
    out = np.zeros(5, np.uint16)
    vector.scatter(np.array([7], np.uint8), 0, np.array([1, 3], np.int32), out)
    assert out.tolist() == [0, 7, 0, 7, 0]


# ---- masks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.97, 1.0])
def test_positions_are_where_the_mask_is_one(random, share):
    for n in [*LENGTHS, 70_000]:
        mask = flags(random, n, share)
        out = np.empty(n, np.int32)
        kept = vector.positions(mask, out)
        assert out[:kept].tolist() == np.flatnonzero(mask).tolist()
        assert vector.count(mask) == kept


THREE = [None, 0, 1]


@pytest.mark.parametrize("disjunction", [False, True])
def test_kleene_logic_is_that_of_three_values(random, disjunction):
    def sql(a, b):
        wins = 1 if disjunction else 0
        if wins in {a, b}:
            return wins
        return None if None in {a, b} else 1 - wins

    for n in LENGTHS:
        a, b = (random.integers(0, 2, n).astype(np.uint8) for _ in range(2))
        for a_valid, b_valid in itertools.product([None, flags(random, n)], repeat=2):
            data, valid = np.empty(n, np.uint8), np.empty(n, np.uint8)
            vector.kleene(disjunction, a, a_valid, b, b_valid, data, valid)
            left = [int(v) if a_valid is None or a_valid[i] else None for i, v in enumerate(a)]
            right = [int(v) if b_valid is None or b_valid[i] else None for i, v in enumerate(b)]
            got = [int(v) if there else None for v, there in zip(data, valid, strict=True)]
            assert got == [sql(x, y) for x, y in zip(left, right, strict=True)]
            assert not (data & (1 - valid)).any()


# ---- NULLs and bounds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_blank_leaves_zero_under_every_null(random, width):
    for n in LENGTHS:
        values, valid = numbers(random, width, n), flags(random, n)
        want = np.where(valid, values, 0)
        vector.blank(values, valid)
        assert np.array_equal(values, want)


@pytest.mark.parametrize("width", WIDTHS)
def test_bounds_are_those_of_the_values_that_are_no_null(random, width):
    for n in LENGTHS:
        values = numbers(random, width, n)
        for valid in (None, flags(random, n), flags(random, n, 0.05), np.zeros(n, np.uint8)):
            there = values if valid is None else values[valid == 1]
            want = (int(there.min()), int(there.max())) if len(there) else None
            assert vector.bounds(values, valid) == want


# ---- comparisons -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_between_is_a_range_of_both_ends(random, width):
    info = np.iinfo(width)
    ends = [-1, 0, 2, 100, int(info.max) - 1, int(info.max), min(int(info.max) + 1, 2**63 - 1)]
    for n in [*range(40), 130, 1000]:
        values = numbers(random, width, n)
        exact = values.astype(object)
        for low, high, negate in [
            *itertools.product(ends[::2], ends[::2], [False, True]),
            (-(2**63), 2**63 - 1, False),
        ]:
            want = ((exact >= low) & (exact <= high)).astype(bool) != negate
            mask = np.full(n, 9, np.uint8)
            compare.between(values, low, high, mask, negate=negate)
            assert np.array_equal(mask, want.astype(np.uint8))
            also = flags(random, n)
            mask = also.copy()
            compare.between(values, low, high, mask, negate=negate, also=True)
            assert np.array_equal(mask, want & also)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_columns_of_any_widths_are_compared_with_their_bases(random, left, right):
    for n in (0, 1, 31, 130, 1000):
        a, b = numbers(random, left, n), numbers(random, right, n)
        if n > 20:
            a[10:15] = b[10:15].astype(left)
        for delta in (0, 1, -3, 2**29, -(2**33)):
            if delta and left == np.int64:
                a = np.clip(a, -(2**60), 2**60)
            exact = a.astype(object) + delta
            for less, negate in itertools.product([False, True], repeat=2):
                want = ((exact < b) if less else (exact == b)).astype(bool) != negate
                mask = np.empty(n, np.uint8)
                compare.compare(less, a, b, delta, mask, negate=negate)
                assert np.array_equal(mask, want.astype(np.uint8))


@pytest.mark.parametrize("width", WIDTHS)
def test_member_is_membership_of_a_set(random, width):
    table = flags(random, 60)
    for n in (0, 1, 31, 130):
        values = numbers(random, width, n)
        for low in (0, 3, -5, 200, -(2**63), 2**63 - 60):
            wanted = {low + i for i, there in enumerate(table) if there}
            mask = np.empty(n, np.uint8)
            compare.member(values, low, table, mask)
            assert mask.tolist() == [int(v in wanted) for v in values.tolist()]


def test_floats_are_ordered_with_nan_above_all_and_equal_to_itself():
    some = [float("-inf"), -1.5, -0.0, 0.0, 1.0, float("inf"), float("nan")]
    rank = [0, 1, 2, 2, 3, 4, 5]
    a, b = (np.array(side) for side in zip(*itertools.product(some, repeat=2), strict=True))
    x, y = (np.array(side) for side in zip(*itertools.product(rank, repeat=2), strict=True))
    for less, negate in itertools.product([False, True], repeat=2):
        mask = np.empty(len(a), np.uint8)
        compare.compare_floats(less, a, b, mask, negate=negate)
        assert np.array_equal(mask, ((x < y) if less else (x == y)) != negate)
        for value, place in zip(some, rank, strict=True):
            mask = np.empty(len(a), np.uint8)
            compare.compare_floats(less, a, np.array([value]), mask, negate=negate)
            assert np.array_equal(mask, ((x < place) if less else (x == place)) != negate)


# ---- arithmetic --------------------------------------------------------------------------------------------------

OPERATIONS = {arithmetic.ADD: np.add, arithmetic.SUBTRACT: np.subtract, arithmetic.MULTIPLY: np.multiply}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_unchecked_arithmetic_is_exact_where_the_result_fits(random, operation, left, right):
    for n in (0, 1, 15, 130, 1000):
        a = random.integers(0, 100, n).astype(left)
        b = random.integers(0, 200, n).astype(right)
        for x, y in [(0, 0), (1000, 7), (-50, 3), (2**40, -(2**18))]:
            if (left == np.int64 and x) or (right == np.int64 and y):
                continue
            want = OPERATIONS[operation](a.astype(np.int64) + x, b.astype(np.int64) + y)
            out = np.empty(n, np.int64)
            arithmetic.combine(operation, a, x, b, y, out, 0)
            assert np.array_equal(out, want)
            if n and int(want.max()) - int(want.min()) < 2**32:
                four = np.empty(n, np.uint32)
                base = int(want.min())
                arithmetic.combine(operation, a, x, b, y, four, base)
                assert np.array_equal(four.astype(np.int64) + base, want)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_the_short_product_is_that_of_numbers_of_32_bits(random, left, right):
    most = 2**32 - 1
    a = numbers(random, left, 500) if left != np.int64 else random.integers(0, most, 500, np.int64, endpoint=True)
    b = numbers(random, right, 500) if right != np.int64 else random.integers(0, most, 500, np.int64, endpoint=True)
    out = np.empty(500, np.int64)
    arithmetic.combine(arithmetic.MULTIPLY, a, 0, b, 0, out, 0, short=True)
    assert np.array_equal(out.view(np.uint64), a.astype(np.uint64) * b.astype(np.uint64))


@pytest.mark.parametrize("width", WIDTHS)
def test_scale_multiplies_and_adds_constants(random, width):
    for n in LENGTHS:
        a = random.integers(0, 100, n).astype(width)
        for factor, offset in [(1, 5), (100, -7), (-1, 2**40), (10**12, 3), (0, 9)]:
            want = a.astype(np.int64) * factor + offset
            out = np.empty(n, np.int64)
            arithmetic.scale(a, factor, offset, out)
            assert np.array_equal(out, want)
        four = np.empty(n, np.uint32)
        arithmetic.scale(a, 100, 7, four)
        assert np.array_equal(four, a.astype(np.int64) * 100 + 7)


EXTREMES = [-(2**63), -(2**63) + 1, -(2**32), -3, -1, 0, 1, 2, 3037000499, 3037000500, 2**32, 2**63 - 2, 2**63 - 1]
EXACT = {arithmetic.ADD: int.__add__, arithmetic.SUBTRACT: int.__sub__, arithmetic.MULTIPLY: int.__mul__}


def fits(value):
    return -(2**63) <= value < 2**63


@pytest.mark.parametrize("operation", EXACT)
def test_checked_arithmetic_stops_at_the_first_row_that_does_not_fit(operation):
    for x, y in itertools.product(EXTREMES, repeat=2):
        a, b = np.array([1, x, 1]), np.array([2, y, 2])
        out = np.full(3, 77)
        stop = arithmetic.checked(operation, a, b, out)
        exact = EXACT[operation](x, y)
        assert stop == (3 if fits(exact) else 1)
        assert out[0] == EXACT[operation](1, 2)
        if fits(exact):
            assert out[1] == exact
        one = np.empty(1, np.int64)
        assert arithmetic.checked(operation, np.array([x]), np.array([y]), one) == int(fits(exact))


def half_away(a, b):
    quotient = (2 * abs(a) + abs(b)) // (2 * abs(b))
    return quotient if (a < 0) == (b < 0) else -quotient


@pytest.mark.parametrize("factor", [1, 10, 100, 10**6, 10**18])
def test_division_rounds_half_away_from_zero(factor):
    some = [*EXTREMES, 5, -5, 15, 25, 7, -7]
    for x, y in itertools.product(some, some):
        out = np.empty(1, np.int64)
        stop = arithmetic.divide(np.array([x]), factor, np.array([y]), out)
        if y == 0:
            assert (stop, out[0]) == (1, 0)
        elif fits(half_away(x * factor, y)):
            assert (stop, out[0]) == (1, half_away(x * factor, y))
        else:
            assert stop == 0


def test_whole_division_truncates_and_the_remainder_has_the_sign_of_the_dividend():
    for x, y in itertools.product(EXTREMES, repeat=2):
        if y == 0 or (x == -(2**63) and y == -1):
            continue
        quotient, remainder = np.empty(1, np.int64), np.empty(1, np.int64)
        arithmetic.truncate(QUOTIENT, np.array([x]), np.array([y]), quotient)
        arithmetic.truncate(REMAINDER, np.array([x]), np.array([y]), remainder)
        exact = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        assert (quotient[0], remainder[0]) == (exact, x - exact * y)


def test_the_smallest_number_through_minus_one_does_not_trap():
    out = np.empty(2, np.int64)
    arithmetic.truncate(QUOTIENT, np.array([-(2**63), 6]), np.array([-1]), out)
    assert out.tolist() == [-(2**63), -6]
    arithmetic.truncate(REMAINDER, np.array([-(2**63), 6]), np.array([-1]), out)
    assert out.tolist() == [0, 0]


@pytest.mark.parametrize("divisor", [1, 2, 3, 10, 100, 10**18, 2**63 - 1])
def test_shrink_rounds_half_away_from_zero(divisor):
    values = [*EXTREMES, *range(-30, 31), divisor // 2, -(divisor // 2), divisor // 2 + 1, -(divisor // 2) - 1]
    out = np.empty(len(values), np.int64)
    arithmetic.shrink(np.array(values), divisor, out)
    assert out.tolist() == [half_away(value, divisor) for value in values]


# ---- arguments ---------------------------------------------------------------------------------------------------


def test_arrays_of_other_lengths_or_widths_are_refused():
    eight, four, mask = np.zeros(3, np.int64), np.zeros(3, np.uint32), np.zeros(3, np.uint8)
    for call in (
        lambda: vector.gather(eight, np.zeros(2, np.int32), np.zeros(3, np.int64)),
        lambda: vector.gather(eight, np.zeros(3, np.int32), four),
        lambda: vector.positions(mask, np.zeros(2, np.int32)),
        lambda: vector.kleene(AND, mask, None, mask[:2], None, mask, mask),
        lambda: vector.bounds(eight, mask[:2]),
        lambda: vector.scatter(eight, 0, np.zeros(2, np.int32), eight),
        lambda: compare.between(eight, 0, 1, mask[:2]),
        lambda: compare.compare(LESS, eight, four[:2], 0, mask),
        lambda: compare.compare_floats(LESS, np.zeros(2), np.zeros(3), mask),
        lambda: arithmetic.combine(arithmetic.ADD, eight, 0, four, 0, mask, 0),
        lambda: arithmetic.scale(eight, 1, 0, mask),
        lambda: arithmetic.checked(arithmetic.ADD, eight, four, eight),
        lambda: arithmetic.divide(eight[:2], 1, eight, eight),
        lambda: arithmetic.shrink(eight, 0, eight.copy()),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            call()


def test_arrays_that_are_not_contiguous_are_refused():
    with pytest.raises((BufferError, ValueError)):
        vector.count(np.zeros(10, np.uint8)[::2])
