"""Kernels of joins against numpy and dicts."""

import numpy as np
import pytest

from engines._native import hashjoin


def found_of(rng, rows, groups):
    return rng.integers(-1, groups, rows).astype(np.int32)


@pytest.mark.parametrize("rows", [0, 1, 7, 64, 1000])
def test_compact_and_choose_keep_the_rows_that_found_something(rows):
    found = found_of(np.random.default_rng(rows), rows, 3)
    at, others = np.empty(rows, np.int32), np.empty(rows, np.int32)
    kept = hashjoin.compact(found, at, others)
    assert at[:kept].tolist() == np.flatnonzero(found >= 0).tolist()
    assert others[:kept].tolist() == found[found >= 0].tolist()
    for there in (True, False):
        kept = hashjoin.choose(found, there, at)
        assert at[:kept].tolist() == np.flatnonzero((found >= 0) == there).tolist()


@pytest.mark.parametrize("room", [1, 3, 1000])
@pytest.mark.parametrize("outer", [True, False])
def test_pairs_come_in_pieces_that_make_the_whole(room, outer):
    rng = np.random.default_rng(room)
    numbers = rng.integers(0, 20, 100).astype(np.uint32)
    numbers[::9] = 0xFFFFFFFF
    starts, order = np.empty(21, np.int32), np.empty(100, np.int32)
    assert hashjoin.group_rows(numbers, starts, order) == np.count_nonzero(numbers < 20)
    for number in range(20):
        assert order[starts[number] : starts[number + 1]].tolist() == np.flatnonzero(numbers == number).tolist()
    found = found_of(rng, 50, 20)
    expected = []
    for row, number in enumerate(found.tolist()):
        partners = np.flatnonzero(numbers == number).tolist() if number >= 0 else [-1] if outer else []
        expected += [(row, partner) for partner in partners]
    pairs, row, partner = [], 0, 0
    while row < len(found):
        at, others = np.empty(room, np.int32), np.empty(room, np.int32)
        row, partner, kept = hashjoin.expand(found, starts, order, outer, row, partner, at, others)
        pairs += zip(at[:kept].tolist(), others[:kept].tolist(), strict=True)
    assert pairs == expected


def test_numbers_beyond_the_groups_are_refused():
    with pytest.raises(ValueError, match="beyond"):
        hashjoin.group_rows(np.array([5], np.uint32), np.empty(3, np.int32), np.empty(1, np.int32))
    starts, order, room = np.array([0, 1], np.int32), np.zeros(1, np.int32), np.empty(4, np.int32)
    with pytest.raises(ValueError, match="beyond"):
        hashjoin.expand(np.array([1], np.int32), starts, order, False, 0, 0, room, room.copy())
    with pytest.raises(ValueError, match="beyond"):
        hashjoin.expand(np.array([0], np.int32), starts * 9, order, False, 0, 0, room, room.copy())


def test_marks_are_set_once_found():
    marks = np.zeros(5, np.uint8)
    hashjoin.mark(np.array([-1, 2, 2, 4], np.int32), marks)
    assert marks.tolist() == [0, 0, 1, 0, 1]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_filters_lose_no_key(kind):
    rng = np.random.default_rng(3)
    keys = np.unique(rng.integers(0, 250, 60)).astype(np.uint64)
    data = rng.integers(0, 256, 1000).astype(kind)
    valid = rng.integers(0, 2, 1000).astype(np.uint8)
    flags = np.zeros(250, np.uint8)
    flags[keys] = 1
    mask = np.empty(1000, np.uint8)
    hashjoin.bits_mask(data, 0, valid, np.packbits(flags, bitorder="little"), mask)
    assert mask.tolist() == (np.isin(data, keys) & (valid != 0)).tolist()
    words = np.zeros(128, np.uint64)
    hashjoin.bloom_add(keys, words)
    hashjoin.bloom_mask(data, 0, None, words, mask)
    assert mask[np.isin(data, keys)].all()
    assert mask.sum() < 1.3 * np.isin(data, keys).sum()
    hashjoin.bits_mask(data, 2**64 - 300, None, np.zeros(0, np.uint8), mask)
    assert not mask.any()


def test_masks_and_lists_that_are_too_short_are_refused():
    found, short = np.zeros(3, np.int32), np.zeros(2, np.int32)
    with pytest.raises(ValueError, match="no room"):
        hashjoin.compact(found, short, found.copy())
    with pytest.raises(ValueError, match="no room"):
        hashjoin.choose(found, True, short)
    with pytest.raises(ValueError, match="no room"):
        hashjoin.bits_mask(np.zeros(3, np.uint8), 0, None, np.zeros(1, np.uint8), np.zeros(2, np.uint8))
    with pytest.raises(ValueError, match="power of two"):
        hashjoin.bloom_add(np.zeros(1, np.uint64), np.zeros(3, np.uint64))
