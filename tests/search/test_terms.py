"""Dictionaries: looking up, prefixes, automata, distance; against a sorted list."""

import contextlib
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.search_index import distance
from search.texts import segment_of

from engines._native.searchterms import Dictionary, successor

LETTERS = "abcé漢😀"


def dictionary(terms):
    return segment_of([[term] for term in terms] or [[]]).terms("text")


@pytest.fixture(scope="module")
def many():
    chooser = random.Random(1)
    alphabet = "abcdeé"
    found = {"".join(chooser.choices(alphabet, k=chooser.randint(1, 9))).encode() for _ in range(4000)}
    ordered = sorted(found)
    return ordered, dictionary(ordered)


def test_every_term_is_found_and_no_other(many):
    ordered, terms = many
    assert len(terms) == len(ordered)
    assert terms.slice(0, len(ordered)) == ordered
    for i, term in enumerate(ordered):
        assert terms.ordinal(term) == (i, True)
        assert terms.find(term)[0] == 1
        wrong = term + b"!"
        assert terms.find(wrong) is None
        assert terms.ordinal(wrong) == (i + 1, False)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.binary(min_size=0, max_size=20), max_size=90), st.lists(st.binary(max_size=20), max_size=20))
def test_terms_of_any_bytes_are_found_and_bounded(some, asked):
    ordered = sorted(some)
    terms = dictionary(ordered)
    assert terms.slice(0, len(ordered)) == ordered
    for term in [*asked, *ordered]:
        below = sum(other < term for other in ordered)
        assert terms.ordinal(term) == (below, term in some)
        first, end = terms.prefix(term)
        assert ordered[first:end] == [other for other in ordered if other.startswith(term)]


def test_long_terms_and_long_common_beginnings_are_kept():
    ordered = [*sorted(b"x" * n + bytes([65 + n % 20]) for n in range(0, 3000, 17)), b"y" * 32_766]
    terms = dictionary(ordered)
    assert terms.slice(0, len(ordered)) == ordered
    assert all(terms.find(term) for term in ordered)


def test_a_term_over_the_limit_is_refused():
    with pytest.raises(OverflowError, match="32,766"):
        dictionary([b"y" * 32_767])


def test_entries_of_ordinals_are_those_of_their_terms(many):
    ordered, terms = many
    chosen = np.arange(3, len(ordered), 41, dtype=np.uint32)
    df, start, size = terms.entries(chosen)
    for i, ordinal in enumerate(chosen.tolist()):
        assert (df[i], start[i], size[i]) == terms.find(ordered[ordinal])
    with pytest.raises(ValueError, match="ascend"):
        terms.entries(np.array([3, 3], np.uint32))


def test_successors_are_the_least_bytes_above_a_prefix():
    assert (successor(b"ab"), successor(b"a\xff"), successor(b"\xff"), successor(b"")) == (b"ac", b"b", None, None)


def containing(byte):
    """The automaton of terms that hold a byte."""
    moves = np.zeros((2, 256), np.int32)
    moves[0, byte] = 1
    moves[1] = 1
    return moves, np.array([0, 1], np.uint8)


def beginning(prefix):
    moves = np.full((len(prefix) + 1, 256), -1, np.int32)
    for i, byte in enumerate(prefix):
        moves[i, byte] = i + 1
    moves[len(prefix)] = len(prefix)
    return moves, np.array([0] * len(prefix) + [1], np.uint8)


def test_an_automaton_finds_what_it_accepts(many):
    ordered, terms = many
    for (moves, accepts), wanted in (
        (containing(ord("d")), [b"d" in term for term in ordered]),
        (beginning(b"ab"), [term.startswith(b"ab") for term in ordered]),
        (beginning(b"ed"), [term.startswith(b"ed") for term in ordered]),
    ):
        assert terms.walk(moves, accepts).tolist() == np.flatnonzero(wanted).tolist()
        assert terms.walk(moves, accepts, 100, 900).tolist() == [i for i in np.flatnonzero(wanted) if 100 <= i < 900]
        assert len(terms.walk(moves, accepts, most=5)) == 6
    moves, accepts = containing(ord("d"))
    moves[0, 7] = 2
    with pytest.raises(ValueError, match="not there"):
        terms.walk(moves, accepts)


@pytest.mark.parametrize("transpositions", [True, False])
def test_neighbours_are_those_of_the_distance(many, transpositions):
    ordered, terms = many
    chooser = random.Random(2)
    for edits in (0, 1, 2):
        for _ in range(6):
            word = "".join(chooser.choices("abcdeé", k=chooser.randint(0, 8)))
            away = [distance(word, term.decode(), transpositions) for term in ordered]
            ordinals, distances, lengths = terms.within(word, edits, transpositions=transpositions)
            assert ordinals.tolist() == [i for i, far in enumerate(away) if far <= edits]
            assert distances.tolist() == [far for far in away if far <= edits]
            assert lengths.tolist() == [len(ordered[i].decode()) for i in ordinals.tolist()]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.text(LETTERS, max_size=6), max_size=50), st.text(LETTERS, max_size=6), st.integers(0, 2))
def test_distance_counts_code_points(some, word, edits):
    ordered = sorted(text.encode() for text in some)
    ordinals, distances, _ = dictionary(ordered).within(word, edits)
    away = [distance(word, term.decode()) for term in ordered]
    assert ordinals.tolist() == [i for i, far in enumerate(away) if far <= edits]
    assert distances.tolist() == [far for far in away if far <= edits]


def test_words_longer_than_a_machine_word_have_neighbours_too():
    word = "ab漢" * 30
    near = [word, word[:40] + word[41:], word[1] + word[0] + word[2:], word + "xy", "x" + word[:-1], word + "xyz"]
    ordered = sorted(text.encode() for text in [*near, "ab", "c" * 90])
    for edits in (0, 1, 2):
        ordinals, distances, _ = dictionary(ordered).within(word, edits)
        away = [distance(word, term.decode()) for term in ordered]
        assert ordinals.tolist() == [i for i, far in enumerate(away) if far <= edits]
        assert distances.tolist() == [far for far in away if far <= edits]


def test_hostile_bytes_are_refused_or_give_other_words_but_no_crash(many):
    ordered, _ = many
    segment = segment_of([[term] for term in ordered[:500]])
    start, size = segment.container.place("text/terms")
    lists = segment.container.place("text/lists")
    chooser = random.Random(4)
    moves, accepts = containing(ord("d"))
    for _ in range(300):
        data = bytearray(segment.container.data.tobytes())
        for _ in range(chooser.randint(1, 8)):
            data[start + chooser.randrange(size)] = chooser.randrange(256)
        if chooser.random() < 0.3:
            cut = chooser.randrange(size)
            data[start + cut : start + size] = bytes(size - cut)
        for ask in (
            lambda d: d.find(b"abc"),
            lambda d: d.slice(0, min(len(d), 600)),
            lambda d: d.within("abc", 2),
            lambda d: d.walk(moves, accepts),
            lambda d: d.prefix(b"b"),
        ):
            with contextlib.suppress(ValueError):
                ask(Dictionary(bytes(data), start, size, lists))
