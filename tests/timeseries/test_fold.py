"""The fused fold gives what decoding all rows and folding them with numpy gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import Corrupted
from engines.timeseries import codec, fold, merge
from engines.timeseries.rows import Column, Rows

SECOND = 10**9
START = 1_700_000_000 * SECOND


def regular(rows, step=10 * SECOND):
    return START + np.arange(rows) * step


def irregular(rows, seed=1, step=10 * SECOND):
    return START + np.cumsum(np.random.default_rng(seed).integers(1, 2 * step, rows))


def table(lengths, times=regular, columns=(), seed=1):
    """Rows of series 0, 2, 4 ... of these lengths; columns: {id: (type, values of n rows, share of absent ones)}."""
    r = np.random.default_rng(seed)
    rows = sum(lengths)
    series = np.repeat(np.arange(len(lengths), dtype=np.int32) * 2, lengths)
    found = {}
    for number, (type, make, absent) in dict(columns).items():
        valid = (r.random(rows) >= absent).astype(np.uint8) if absent else None
        found[number] = Column(type, make(r, rows), valid)
    return Rows(series, np.concatenate([times(n) for n in lengths]), found)


def walk(r, n):
    return np.cumsum(r.integers(-3, 4, n)) * 1.0


def tenths(r, n):
    return r.integers(-1000, 1000, n) / 10


def noise(r, n):
    return r.normal(size=n)


def special(r, n):
    return r.choice([0.0, -0.0, np.nan, np.inf, 1.5, -2.25, 1e300], n)


def whole(r, n):
    return r.integers(-50, 50, n)


def large(r, n):
    return r.integers(-(2**63), 2**63 - 1, n)


def steep(r, n):
    return np.cumsum(r.integers(0, 1 << 22, n))


COLUMNS = {
    2: ("double", walk, 0),
    3: ("double", tenths, 0.1),
    4: ("double", noise, 0.5),
    5: ("double", special, 0.05),
    6: ("bigint", whole, 0),
    7: ("bigint", large, 0.3),
    8: ("timestamp", steep, 0),
    9: ("double", lambda _, n: np.full(n, 2.5), 0.2),
    10: ("bigint", lambda _, n: np.arange(n) * 7 - 100, 0),
    12: ("double", lambda r, n: r.integers(0, 9, n) / 1.7, 0),
}


def answer(rows, columns, *, series=None, groups=None, low=None, high=None, width=0, group_count=1):
    """{(group, bin): {column: values}} in plain Python and numpy; column 0: the times."""
    keep = np.ones(len(rows), bool)
    group = np.zeros(len(rows), np.int64)
    if series is not None:
        keep &= np.isin(rows.series, series)
        group = np.asarray(groups)[np.searchsorted(series, rows.series).clip(0, len(series) - 1)]
    if low is not None:
        keep &= rows.times >= low
    if high is not None:
        keep &= rows.times <= high
    bins = rows.times // width if width else np.zeros(len(rows), np.int64)
    cells = {}
    for key in set(zip(group[keep].tolist(), bins[keep].tolist(), strict=True)):
        inside = keep & (group == key[0]) & (bins == key[1])
        cells[key] = {0: rows.times[inside]}
        for number in columns:
            if number:
                column = rows.columns[number]
                cells[key][number] = column.data[inside & column.present()]
    return cells


def check(rows, part_or_parts, columns=None, aggregates=("count", "min", "max", "sum"), **options):
    parts = part_or_parts if isinstance(part_or_parts, list) else [part_or_parts]
    columns = [0, *rows.columns] if columns is None else columns
    types = ["timestamp" if number == 0 else rows.columns[number].type for number in columns]
    width = options.get("width", 0)
    low = max(options.get("low") or rows.times.min(), rows.times.min()) if len(rows) else 0
    high = min(options.get("high") or rows.times.max(), rows.times.max()) if len(rows) else 0
    first, bins = fold.bins_of(int(low), int(high), width)
    folded = fold.fold(parts, columns, types, aggregates, first_bin=first, bins=bins, **options)
    expected = answer(rows, columns, **options)
    shape = (options.get("group_count", 1), bins)
    for place, number in enumerate(columns):
        count = folded.count(place)
        assert count.shape == shape
        counts = np.zeros(shape, np.int64)
        for (group, b), cell in expected.items():
            counts[group, b - first] = len(cell[number])
            if len(cell[number]):
                compare(folded, place, (group, b - first), cell[number], aggregates)
        np.testing.assert_array_equal(count, counts)
    return folded


def compare(folded, place, at, values, aggregates):
    nan = values.dtype == np.float64 and np.isnan(values).any()
    if "max" in aggregates:
        np.testing.assert_equal(folded.high(place)[at] + 0, np.nan if nan else values.max() + 0)
    if "min" in aggregates:
        least = np.fmin.reduce(values)
        np.testing.assert_equal(folded.low(place)[at] + 0, least + 0)
    if "sum" in aggregates and values.dtype == np.float64:
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(folded.total(place)[at], values.sum(), rtol=1e-9, atol=1e-9)
    elif "sum" in aggregates:
        total = sum(values.tolist())
        assert folded.overflows(place)[at] == (not -(2**63) <= total < 2**63)
        assert int(folded.total(place)[at]) % 2**64 == total % 2**64
        np.testing.assert_allclose(folded.mean(place)[at], total / len(values), rtol=1e-12, atol=1e-6)


@pytest.mark.parametrize("width", [0, 7 * SECOND, 60 * SECOND, 640 * SECOND, 3600 * SECOND, 86_400 * SECOND])
@pytest.mark.parametrize("times", [regular, irregular])
@pytest.mark.parametrize("make", [merge.encoded_part, merge.raw_part])
def test_every_kind_of_column_folds_as_numpy_does(width, times, make):
    rows = table([1100 if width == 0 or width > 60 * SECOND else 150, 3, 64, 1], times, COLUMNS)
    check(rows, make(rows), width=width)


@pytest.mark.parametrize(
    "aggregates", [(), ("min",), ("max",), ("sum",), ("min", "max"), ("max", "sum"), ("min", "sum")]
)
def test_any_choice_of_aggregates(aggregates):
    rows = table([1100, 1024], regular, COLUMNS)
    check(rows, merge.encoded_part(rows), aggregates=aggregates, width=3600 * SECOND)


def test_groups_are_a_map_over_series_and_other_series_are_left_out():
    rows = table([300, 1500, 700, 1, 1024], irregular, COLUMNS)
    part = merge.encoded_part(rows)
    wanted = np.array([-3, 0, 1, 2, 6, 8, 99], np.int32)
    groups = np.array([0, 1, 0, 1, 2, 0, 0], np.int32)
    check(rows, part, series=wanted, groups=groups, group_count=3, width=1800 * SECOND)
    nothing = fold.fold([part], [2], ["double"], series=wanted[:0], groups=groups[:0])
    assert nothing.count(0).sum() == 0


@given(
    st.integers(-100, 2100), st.integers(-100, 2100), st.sampled_from([0, 60, 640, 1000, 3600, 36000]), st.booleans()
)
def test_only_rows_between_low_and_high_count(low, high, width, odd):
    times = irregular if odd else regular
    rows = table([2000, 900], times, {2: ("double", walk, 0), 3: ("double", tenths, 0.3)})
    check(
        rows,
        merge.encoded_part(rows),
        low=START + low * 10 * SECOND,
        high=START + high * 10 * SECOND,
        width=width * SECOND,
    )


@given(
    st.integers(1, 1300),
    st.integers(1, 1500),
    st.integers(0, 900),
    st.sampled_from([(walk, 0), (tenths, 0.2), (whole, 0)]),
)
def test_edges_of_bins_anywhere_in_lanes(rows_in_bin, count, shift, column):
    make, absent = column
    rows = table(
        [count], lambda n: regular(n) + shift * 10 * SECOND, {2: ("double", lambda r, n: make(r, n) * 1.0, absent)}
    )
    check(rows, merge.encoded_part(rows), width=rows_in_bin * 10 * SECOND)


def test_several_parts_and_a_column_that_only_one_has():
    rows = table([900, 900], regular, COLUMNS)
    early, late = (rows.times < START + 5000 * SECOND), (rows.times >= START + 5000 * SECOND)
    parts = [merge.encoded_part(rows.take(np.flatnonzero(mask))) for mask in (early, late)]
    check(rows, parts, width=600 * SECOND)
    without = Rows(rows.series, rows.times, {2: rows.columns[2]})
    folded = fold.fold([merge.encoded_part(without)], [2, 30], ["double", "bigint"])
    assert folded.count(0)[0, 0] == 1800
    assert folded.count(1)[0, 0] == 0


def test_a_total_of_128_bits_and_its_mean():
    values = np.full(3000, 2**63 - 1)
    values[::3] = 2**62
    rows = Rows(np.zeros(3000, np.int32), regular(3000), {2: Column("bigint", values)})
    check(rows, merge.encoded_part(rows))
    rows = Rows(np.zeros(3000, np.int32), regular(3000), {2: Column("bigint", -values)})
    check(rows, merge.encoded_part(rows), width=3600 * SECOND)


def test_booleans_and_texts_are_counted():
    r = np.random.default_rng(1)
    valid = (r.random(1500) < 0.6).astype(np.uint8)
    rows = Rows(
        np.zeros(1500, np.int32),
        regular(1500),
        {
            2: Column("boolean", r.integers(0, 2, 1500).astype(np.uint8), valid),
            3: Column("varchar", r.integers(0, 3, 1500).astype(np.int32), valid, ("a", "b", "c")),
        },
    )
    check(rows, merge.encoded_part(rows), aggregates=("count",), width=600 * SECOND)
    folded = fold.fold([merge.encoded_part(rows)], [2, 3], ["boolean", "varchar"])
    assert folded.count(0)[0, 0] == folded.count(1)[0, 0] == valid.sum()


def test_a_block_within_a_bin_is_answered_by_its_summary():
    rows = table([4096], regular, {2: ("double", walk, 0)})
    part = merge.encoded_part(rows)
    counters = check(rows, part, [2], width=100_000 * SECOND).counters
    assert (counters.summarised, counters.in_lanes, counters.decoded) == (4, 0, 0)
    counters = check(rows, part, [2], width=3600 * SECOND).counters
    assert (counters.summarised, counters.in_lanes, counters.decoded) == (0, 4, 0)
    counters = check(rows, part, [2], width=60 * SECOND).counters
    assert (counters.summarised, counters.in_lanes, counters.decoded) == (0, 0, 4)
    counters = check(rows, part, [2], low=START + 5000 * 10 * SECOND).counters
    assert counters.summarised == counters.in_lanes == counters.decoded == 0
    counters = check(rows, part, [2], high=START + 2000 * 10 * SECOND).counters
    assert (counters.pruned, counters.summarised, counters.in_lanes) == (2, 1, 1)


def test_the_columns_come_in_the_order_asked_for():
    rows = table([100], regular, COLUMNS)
    check(rows, merge.encoded_part(rows), [12, 0, 3, 7])


def test_damaged_blocks_are_corrupted_or_fold_to_something():
    rows = table([1100, 300], irregular, {2: ("double", walk, 0), 3: ("double", tenths, 0.3), 4: ("bigint", large, 0)})
    part = merge.encoded_part(rows)
    r = np.random.default_rng(4)
    outcomes = set()
    for _ in range(400):
        blocks = part.blocks.copy()
        fields = blocks.view(np.uint8).reshape(len(blocks), -1)
        for _ in range(r.integers(1, 3)):
            at = r.choice([*range(12, 24), *range(48, 64)])  # all but address, length and low, high, total
            fields[r.integers(len(blocks)), at] ^= 1 << r.integers(8)
        changed = merge.Part(
            part.low, part.high, part.rows, 0, part.series, part.starts, part.columns, part.firsts, blocks, part
        )
        try:
            fold.fold(
                [changed],
                [2, 3, 4],
                ["double", "double", "bigint"],
                width=1000 * SECOND,
                bins=100,
                first_bin=START // SECOND // 1000,
            )
            outcomes.add("folded")
        except Corrupted:
            outcomes.add("corrupted")
    assert outcomes == {"folded", "corrupted"}


def test_a_part_whose_arrays_do_not_fit_together_is_refused():
    rows = table([100], regular, {2: ("double", walk, 0)})
    part = merge.encoded_part(rows)
    for starts, firsts in ((part.starts + 5, part.firsts), (part.starts, part.firsts + 1), (-part.starts, part.firsts)):
        broken = merge.Part(part.low, part.high, 100, 0, part.series, starts, part.columns, firsts, part.blocks)
        with pytest.raises(Corrupted):
            fold.fold([broken], [2], ["double"])
    assert codec.KINDS[part.blocks["codec"][1] & 15] == "delta"
