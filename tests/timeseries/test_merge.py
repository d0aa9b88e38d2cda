"""Overlapping parts made disjoint, against a dict; parts put together; rows to parts and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import Corrupted
from engines.timeseries import merge
from engines.timeseries.part import VERSION, VERSION_OF
from engines.timeseries.rows import Column, Rows, is_version

TYPES = {2: "double", 3: "bigint", 4: "varchar", 5: "boolean"}
SINGLES = np.array([False, True, False, True])
values = {
    2: st.sampled_from([0.0, -0.0, 1.5, float("nan")]),
    3: st.integers(-(2**63), 2**63 - 1),
    4: st.sampled_from(["", "a", "é"]),
    5: st.booleans(),
}
measures = st.fixed_dictionaries({}, optional=values).filter(bool)
several = st.lists(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 30)),
        st.tuples(measures, st.integers(1, 3)),
        min_size=1,
        max_size=25,
    ),
    min_size=1,
    max_size=5,
)


def type_of(number):
    if not is_version(number) and number not in TYPES:
        raise Corrupted("no such column")
    return "bigint" if is_version(number) else TYPES[number]


def rows_of(records):
    """Rows sorted, of {(series, time): ({measure: value}, version)}."""
    keys = sorted(records)
    columns = {}
    for number, kind in TYPES.items():
        given = [records[key][0].get(number) for key in keys]
        valid = np.array([value is not None for value in given], np.uint8)
        if not valid.any():
            continue
        words = None
        if kind == "varchar":
            words = tuple(dict.fromkeys(value for value in given if value is not None))
            given = [None if value is None else words.index(value) for value in given]
        dtype = {"double": np.float64, "bigint": np.int64, "varchar": np.int32, "boolean": np.uint8}[kind]
        data = np.array([0 if value is None else value for value in given], dtype)
        columns[number] = Column(kind, data, None if valid.all() else valid, words)
        of_singles = [records[key][1] if SINGLES[key[0]] and number in records[key][0] else 1 for key in keys]
        if max(of_singles) > 1:
            columns[VERSION_OF | number] = Column("bigint", np.array(of_singles, np.int64))
    of_others = [1 if SINGLES[key[0]] else records[key][1] for key in keys]
    if max(of_others) > 1:
        columns[VERSION] = Column("bigint", np.array(of_others, np.int64))
    return Rows(np.array([key[0] for key in keys], np.int32), np.array([key[1] for key in keys], np.int64), columns)


def plain(rows):
    """What rows say: {(series, time): {measure: (value's bits, version)}}."""
    found = {}
    for row in range(len(rows)):
        series = int(rows.series[row])
        record = found[series, int(rows.times[row])] = {}
        for number, column in rows.columns.items():
            if is_version(number) or (column.valid is not None and not column.valid[row]):
                continue
            versions = rows.columns.get(VERSION_OF | number if SINGLES[series] else VERSION)
            value = column.words[column.data[row]] if column.words is not None else column.data[row].tobytes()
            record[number] = value, 1 if versions is None else int(versions.data[row])
    return found


def laid_over(parts):
    """The rule, with dicts: of single-measure records each measure for itself, of others the whole."""
    found = {}
    for records in map(plain, map(rows_of, parts)):
        for key, record in records.items():
            found[key] = {**found.get(key, {}), **record} if SINGLES[key[0]] else record
    return found


def checked(parts):
    """All rows of parts that are to be disjoint, in order of time for each series."""
    found, newest = {}, {}
    for part in parts:
        rows = merge.rows_of(part, type_of)
        assert len(rows) == part.rows
        assert (part.low, part.high) == (rows.times.min(), rows.times.max())
        for series, time in zip(rows.series.tolist(), rows.times.tolist(), strict=True):
            assert newest.get(series, -1) < time
            newest[series] = time
        found |= plain(rows)
    return found


@given(several)
def test_of_overlapping_parts_the_later_one_is_right(parts):
    for make in (merge.raw_part, merge.encoded_part):
        for encode in (False, True):
            found = merge.disjoint([make(rows_of(part)) for part in parts], type_of, SINGLES, encode=encode)
            assert checked(found) == laid_over(parts)


@given(several)
def test_parts_without_overlap_become_one(parts):
    made = [merge.encoded_part(rows_of(part)) for part in parts]
    one = merge.combined(merge.disjoint(made, type_of, SINGLES, encode=True), type_of)
    assert checked([one]) == laid_over(parts)


def many(start, count, series=(0, 1, 2), step=1):
    """Rows of several blocks a series."""
    return rows_of({(s, start + at * step): ({3: at * (s + 1)}, 1) for s in series for at in range(count)})


def test_blocks_away_from_an_overlap_are_taken_as_they_are():
    base = merge.encoded_part(many(0, 5_000, step=2))
    late = merge.raw_part(many(5_001, 3, series=(1,), step=2))
    found = merge.disjoint([base, late], type_of, SINGLES)
    rows = checked(found)
    assert len(rows) == 15_003
    assert rows[1, 5_003] == {3: (np.int64(2).tobytes(), 1)}
    kept = sum(int(np.isin(part.blocks["address"], base.blocks["address"]).sum()) for part in found)
    assert len(base.blocks) - kept == 2  # a block of times, one of values


def test_a_row_in_the_middle_of_nowhere_splits_a_part_in_two():
    base = merge.encoded_part(rows_of({(0, time): ({2: 1.5}, 1) for time in [*range(2_000), *range(9_000, 11_000)]}))
    late = merge.raw_part(rows_of({(0, 5_000): ({2: -0.0}, 1)}))
    assert len(checked(merge.disjoint([base, late], type_of, SINGLES))) == 4_001


def test_a_series_that_goes_back_in_time_from_part_to_part_is_put_in_order():
    first = merge.encoded_part(rows_of({(0, 0): ({2: 0.0}, 1), (2, 100): ({2: 1.5}, 1)}))
    second = merge.encoded_part(rows_of({(0, 50): ({2: 0.0}, 1), (2, 60): ({2: 1.5}, 1)}))
    assert len(checked(merge.disjoint([first, second], type_of, SINGLES))) == 4


def test_rows_before_a_time_are_cut_off():
    part = merge.encoded_part(many(0, 3_000))
    assert merge.since(part, 3_000, type_of) == []
    assert merge.since(part, 0, type_of) == [part]
    for low in (1, 1_023, 1_024, 1_025, 2_900, 2_999):
        left = merge.since(part, low, type_of)
        assert len(checked(left)) == 3 * (3_000 - low)
        assert left[0].low == low


def test_no_parts_are_disjoint():
    assert merge.disjoint([], type_of, SINGLES) == []
