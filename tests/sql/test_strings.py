"""The kernels of strings.pyx and the helpers of texts.py, against Python's bytes and str."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines._native import strings
from engines.sql import texts
from engines.sql.column import Column, Dictionary, gather, gather_text
from engines.sql.types import VARCHAR

ALPHABET = "ab \u00e9\u20ac\U0001f600%_\\A"
values = st.lists(st.text(ALPHABET, max_size=40), max_size=30).map(lambda words: [word.encode() for word in words])


def column(words):
    """With bytes before the first value and behind the last, that no kernel may take for values."""
    made = texts.from_words(words)
    return Column(VARCHAR, made.data + 3, heap=np.frombuffer(b"xyz" + made.heap.tobytes() + b"zz", np.uint8))


def coded(words):
    distinct = sorted(set(words))
    return Column(VARCHAR, np.array([distinct.index(w) for w in words], np.uint16), words=Dictionary.of(distinct))


def cut(function, words, *arguments, **options):
    offsets, heap = texts.parts_of(column(words))
    begins, made = np.empty(len(words), np.int32), np.empty(len(words) + 1, np.int32)
    assert function(offsets, heap, *arguments, begins, made, **options) == made[-1]
    return texts.to_words(texts.cut_out(begins, heap, made, VARCHAR))


@given(values, st.randoms(use_true_random=False))
def test_gather_gives_the_values_at_the_positions(words, chance):
    at = [chance.randrange(len(words)) for _ in range(50)] if words else []
    at += list(range(len(words)))  # a run
    for dtype in (np.int32, np.uint8, np.uint16, np.uint32, np.int64):
        made = gather(column(words), np.array(at, dtype))
        assert texts.to_words(made) == [words[i] for i in at]


def test_gather_of_pieces_of_every_length_around_the_fast_copy():
    words = [bytes([65 + n % 26]) * n for n in range(130)]
    at = np.array(random.Random(1).choices(range(130), k=1000), np.int32)
    assert texts.to_words(gather(column(words), at)) == [words[i] for i in at]


def test_gather_takes_no_position_outside_the_column():
    one = column([b"a", b"b"])
    for wrong in (-1, 2):
        with pytest.raises(IndexError, match="outside"):
            gather_text(one.data, one.heap, np.array([0, wrong], np.int32))


def test_gather_of_strided_positions():
    assert texts.to_words(gather(column([b"a", b"b", b"c"]), np.arange(3, dtype=np.int32)[::-1])) == [b"c", b"b", b"a"]


@given(values)
def test_coded_text_becomes_plain(words):
    assert texts.to_words(texts.plain(coded(words))) == words == texts.to_words(coded(words))


@given(values)
def test_equal_text_has_equal_hashes_in_every_form(words):
    plain, other = texts.hashes(column(words)), texts.hashes(coded(words))
    assert plain.tolist() == other.tolist()
    assert len(set(plain.tolist())) == len(set(words))


def test_hashes_of_all_lengths_differ():
    words = [b"\0" * n for n in range(100)] + [b"a" * n + b"\0" for n in range(100)]
    assert len(set(texts.hashes(column(words)).tolist())) == 199


@given(values, values)
def test_concatenation_of_columns(first, second):
    offsets, heap = texts.concatenate([column(first), coded(second), column(first)])
    assert texts.to_words(Column(VARCHAR, offsets, heap=heap)) == first + second + first
    assert strings.check_offsets(offsets, heap)


@given(values, st.text(ALPHABET, max_size=3))
def test_comparisons_are_bytewise(words, other):
    constant = texts.from_words([other.encode()], constant=True)
    shuffled = words[1:] + words[:1]
    tests = {"=": "__eq__", "<>": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}
    for test, method in tests.items():
        made = texts.compare(test, column(words), column(shuffled), len(words))
        assert made.tolist() == [getattr(a, method)(b) for a, b in zip(words, shuffled, strict=True)]
        made = texts.compare(test, column(words), constant, len(words))
        assert made.tolist() == [getattr(a, method)(other.encode()) for a in words]


def test_offsets_out_of_order_or_outside_are_found():
    heap = np.zeros(4, np.uint8)
    for offsets, right in (([0, 2, 4], True), ([0], True), ([0, 3, 2], False), ([0, 5], False), ([-1, 2], False)):
        assert strings.check_offsets(np.array(offsets, np.int32), heap) is right
    assert not strings.check_offsets(np.zeros(0, np.int32), heap)


@given(values)
def test_lengths_count_characters(words):
    out = np.empty(len(words), np.int64)
    strings.count_characters(*texts.parts_of(column(words)), out)
    assert out.tolist() == [len(word.decode()) for word in words]


@given(values, st.integers(-5, 45), st.one_of(st.integers(-2, 45), st.sampled_from([2**63 - 1, 2**31])))
def test_cutting_by_characters(words, first, count):
    numbers = np.array([first]), np.array([count])
    expected = [word.decode()[max(first - 1, 0) : max(first - 1 + max(count, 0), 0)].encode() for word in words]
    assert cut(strings.cut_characters, words, *numbers, single=False) == expected
    single = [word.decode().encode("ascii", "replace") for word in words]
    expected = [word[max(first - 1, 0) : max(first - 1 + max(count, 0), 0)] for word in single]
    assert cut(strings.cut_characters, single, *numbers, single=True) == expected


@given(values)
def test_trimming_bytes(words):
    among = np.zeros(256, np.uint8)
    among[[97, 32]] = 1
    assert cut(strings.trim_bytes, words, among, left=True, right=True) == [word.strip(b"a ") for word in words]
    assert cut(strings.trim_bytes, words, among, left=True, right=False) == [word.lstrip(b"a ") for word in words]
    assert cut(strings.trim_bytes, words, among, left=False, right=True) == [word.rstrip(b"a ") for word in words]


def test_case_of_ascii_letters():
    heap = np.arange(256, dtype=np.uint8)
    out = np.empty(256, np.uint8)
    strings.fold_case(heap, out, upper=True)
    assert out.tobytes() == heap.tobytes().upper()
    strings.fold_case(heap, out, upper=False)
    assert out.tobytes() == heap.tobytes().lower()
    assert not strings.is_ascii(heap)
    assert strings.is_ascii(heap[:128].copy())


def test_wrong_lengths_are_refused():
    offsets, heap = texts.parts_of(column([b"a", b"b"]))
    three = np.zeros(3, np.int64)
    with pytest.raises(ValueError, match="rows"):
        strings.compare(offsets, heap, np.zeros(5, np.int32), heap, 0, np.empty(2, np.uint8))
    with pytest.raises(ValueError, match="one more"):
        strings.count_characters(offsets, heap, three)
    with pytest.raises(ValueError, match="no room"):
        strings.copy_pieces(np.zeros(2, np.int32), heap, np.array([0, 1, 9], np.int32), np.empty(4, np.uint8))
    with pytest.raises(ValueError, match="equally many"):
        strings.fold_case(heap, np.empty(1, np.uint8), upper=True)
