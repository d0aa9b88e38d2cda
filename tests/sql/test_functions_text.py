"""Functions of text and LIKE, against DuckDB where it agrees, Python's str and re elsewhere."""

import random
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sql.calling import call, make, one

from engines.errors import QueryError
from engines.sql.column import Column, Dictionary, gather
from engines.sql.functions.like import pieces_of
from engines.sql.types import VARBYTE, VARCHAR

duckdb = pytest.importorskip("duckdb")
chance = random.Random(11)
ALPHABET = "aab \u00e9\u20ac\U0001f600%_A"
TEXTS = [
    "",
    " ",
    "a",
    "special requests",
    "  Trim me  ",
    "h\u00e9llo w\u00f6rld",
    "\u20ac5 \U0001f600",
    "xyzzy" * 20,
] + ["".join(chance.choices(ALPHABET, k=chance.randrange(30))) for _ in range(200)]
PLAIN = [text.encode("ascii", "replace").decode() for text in TEXTS]


def theirs(expression, texts):
    query = f"SELECT {expression} FROM (SELECT unnest(?::VARCHAR[]) AS a)"
    return [row[0] for row in duckdb.execute(query, [texts]).fetchall()]


SAME = [
    (("length",), "length(a)"),
    (("octet_length",), "octet_length(encode(a))"),
    (("upper",), "upper(a)"),
    (("lower",), "lower(a)"),
    (("trim",), "trim(a)"),
    (("ltrim",), "ltrim(a)"),
    (("rtrim",), "rtrim(a)"),
    (("btrim", "ab "), "trim(a, 'ab ')"),
    (("ltrim", "\u20aca"), "ltrim(a, '\u20aca')"),
    (("rtrim", "\u20aca"), "rtrim(a, '\u20aca')"),
    (("left", 3), "left(a, 3)"),
    (("left", -3), "left(a, -3)"),
    (("left", 0), "left(a, 0)"),
    (("right", 3), "right(a, 3)"),
    (("right", -3), "right(a, -3)"),
    (("substring", 2), "substring(a, 2)"),
    (("substring", 2, 3), "substring(a, 2, 3)"),
    (("substring", 1, 0), "substring(a, 1, 0)"),
    (("strpos", "\u20ac"), "strpos(a, '\u20ac')"),
    (("strpos", ""), "strpos(a, '')"),
    (("replace", "a", "xyz"), "replace(a, 'a', 'xyz')"),
    (("replace", "aa", ""), "replace(a, 'aa', '')"),
    (("replace", "", "x"), "replace(a, '', 'x')"),
    (("split_part", " ", 1), "split_part(a, ' ', 1)"),
    (("split_part", " ", 2), "split_part(a, ' ', 2)"),
    (("split_part", "aa", 3), "split_part(a, 'aa', 3)"),
    (("repeat", 3), "repeat(a, 3)"),
    (("repeat", -1), "repeat(a, -1)"),
    (("lpad", 7, "xy"), "lpad(a, 7, 'xy')"),
    (("rpad", 7, "\u20ac"), "rpad(a, 7, '\u20ac')"),
    (("lpad", 7), "lpad(a, 7, ' ')"),
    (("translate", "ab ", "xy"), "translate(a, 'ab ', 'xy')"),
    (("concat", "-", "z"), "a || '-' || 'z'"),
    (("starts_with", "a"), "starts_with(a, 'a')"),
    (("starts_with", "a%"), "starts_with(a, 'a%')"),
]


@pytest.mark.parametrize(("mine", "expression"), SAME, ids=str)
def test_functions_agree_with_duckdb(mine, expression):
    name, *arguments = mine
    for texts in (TEXTS, PLAIN):
        assert call(name, texts, *arguments) == theirs(expression, texts)


def test_reverse_and_initcap_and_position_go_by_characters():
    assert call("reverse", TEXTS) == [text[::-1] for text in TEXTS]
    assert one("initcap", "hello wORLD \u00e9t\u00e9 3rd") == "Hello World \u00c9t\u00e9 3rd"
    assert one("position", "w\u00f6", "h\u00e9llo w\u00f6rld") == 7
    assert one("charindex", "l", "h\u00e9llo", 4) == 4
    assert one("charindex", "l", "h\u00e9llo", 5) == 0


def test_a_substring_may_begin_before_the_text():
    assert one("substring", "caterpillar", 0, 4) == "cat"
    assert one("substring", "caterpillar", -3, 3) == ""
    assert one("substring", "caterpillar", -3) == "caterpillar"
    assert call("substring", ["abc", "abc", None], [1, 3, 2], [1, 9, 1]) == ["a", "c", None]
    with pytest.raises(QueryError, match="must not be negative, got -1"):
        one("substring", "caterpillar", 6, -1)


def test_arguments_may_differ_from_row_to_row():
    assert call("left", ["abc", "d\u00e9f", "xyz"], [1, 2, -1]) == ["a", "d\u00e9", "xy"]
    assert call("right", ["abc", "d\u00e9f", "xyz"], [1, 2, -1]) == ["c", "\u00e9f", "yz"]
    assert call("replace", ["aba", "bcb"], ["a", "b"], ["x", ""]) == ["xbx", "c"]
    assert call("split_part", ["a,b", "a;b"], [",", ";"], [2, 1]) == ["b", "a"]
    assert call("strpos", ["abc", "abc"], ["c", "x"]) == [3, 0]
    assert call("position", ["c", "x"], "abc") == [3, 0]
    assert call("||", "x", ["a", None, "\u00e9"], ["1", "2", "3"]) == ["xa1", None, "x\u00e93"]


def test_concat_ws_leaves_nulls_out():
    assert call("concat_ws", ",", ["a", None, None], ["b", "c", None]) == ["a,b", "c", ""]


def test_bytes_are_joined_and_counted():
    column = make([b"\xff\x00", b""], VARBYTE)
    assert call("||", column, column, rows=2) == [b"\xff\x00\xff\x00", b""]
    assert call("length", column, rows=2) == [2, 0]


def test_letters_and_their_codes():
    assert call("ascii", ["a", "", "\u20acx"]) == [97, 0, 8364]
    assert call("chr", [97, 8364]) == ["a", "\u20ac"]
    for code in (0, -1, 0xD800, 0x110000):
        with pytest.raises(QueryError, match="no character's code point"):
            one("chr", code)


def test_quoting():
    assert call("quote_ident", ["plain", "Big", 'a"b', "1a"]) == ["plain", '"Big"', '"a""b"', '"1a"']
    assert call("quote_literal", ["a'b", "a\\b"]) == ["'a''b'", "'a\\\\b'"]


def test_bad_arguments_are_named():
    with pytest.raises(QueryError, match="counts parts from 1, got 0"):
        one("split_part", "a", ",", 0)
    with pytest.raises(QueryError, match="too long"):
        one("repeat", "abc", 10**9)
    with pytest.raises(QueryError, match="too long"):
        one("lpad", "abc", 10**9)
    with pytest.raises(QueryError, match="the same for all rows"):
        call("trim", ["a", "b"], ["a", "b"])


def test_a_bad_value_under_a_null_is_no_error():
    assert call("split_part", ["a,b", None], [",", ","], [2, None]) == ["b", None]


# ---- LIKE --------------------------------------------------------------------------------------------------------


def expression_of(pattern, escape="\\"):
    made, i = [], 0
    while i < len(pattern):
        letter = pattern[i]
        if escape and letter == escape:
            i += 1
            made.append(re.escape(pattern[i]))
        else:
            made.append({"%": ".*", "_": "."}.get(letter, re.escape(letter)))
        i += 1
    return re.compile("".join(made), re.DOTALL)


PIECES = ["%", "_", "a", "b", "aa", "ab", "\u00e9", "\u20ac", "\U0001f600", "A", "\\%", "\\_", "\\\\"]
patterns = st.lists(st.sampled_from(PIECES), max_size=7)


@given(st.lists(st.text(ALPHABET + "\\", max_size=12), max_size=20), patterns.map("".join))
@example(["ab", "aab", "b" * 100 + "ab"], "%ab")
@example(["aba"], "aba%aba")
@example(["a\u20aca", "aa", "a\U0001f600\u00e9a"], "a_a")
@example(["abab"], "%_ab%b")
def test_like_agrees_with_a_regular_expression(words, pattern):
    expected = [expression_of(pattern).fullmatch(word) is not None for word in words]
    assert call("like", words, pattern) == expected
    distinct = sorted({word.encode() for word in words})
    codes = np.array([distinct.index(word.encode()) for word in words], np.uint8)
    assert call("like", Column(VARCHAR, codes, words=Dictionary.of(distinct)), pattern, rows=len(words)) == expected
    lowered = [expression_of(pattern.lower()).fullmatch(word.lower()) is not None for word in words]
    assert call("ilike", words, pattern) == lowered


def test_a_piece_is_found_in_long_columns_at_every_place():
    for size in range(1, 200):
        words = [
            "x" * size + "special" + "y" * (200 - size),
            "specia",
            "l" * size,
            "special requests",
            "request special",
        ]
        assert call("like", words, "%special%") == [True, False, False, True, True]
        assert call("like", words, "%special%requests%") == [False, False, False, True, False]


def test_nothing_matches_across_two_values():
    assert call("like", ["spe", "cial", "special", "cial"], "%special%") == [False, False, True, False]
    column = make(["aa", "a", "b"])
    assert call("like", gather(column, np.array([1, 1, 0], np.int32)), "%aa%", rows=3) == [False, False, True]


@pytest.mark.parametrize(
    "pattern", ["%special%requests%", "a%", "%a", "%a%", "a%a", "_a%", "%_", "", "%", "a", "%a_b%"]
)
def test_like_agrees_with_duckdb(pattern):
    for texts in (TEXTS, PLAIN):
        assert call("like", texts, pattern) == theirs(f"a LIKE '{pattern}'", texts)
        assert call("ilike", texts, pattern) == theirs(f"a ILIKE '{pattern}'", texts)


def test_escapes():
    assert call("like", ["10%", "10x"], "10#%", "#") == [True, False]
    assert call("like", ["10%", "10x"], "10\\%") == [True, False]
    assert call("like", ["10\\", "10\\x"], "10\\%", "") == [True, True]
    assert call("like", ["10\u20ac"], "10\u00e9\u20ac", "\u00e9") == [True]
    with pytest.raises(QueryError, match="ends with its escape character"):
        one("like", "a", "a\\")
    with pytest.raises(QueryError, match="one character or none"):
        one("like", "a", "a", "##")


def test_patterns_may_differ_from_row_to_row():
    assert call("like", ["abc", "abc", None, "x"], ["a%", "b%", "%", None]) == [True, False, None, None]
    assert call("like", "abc", ["a%", "b%"]) == [True, False]
    assert call("starts_with", ["abc", "abc", ""], ["ab", "b", ""]) == [True, False, True]


def test_pieces_of_a_pattern():
    offsets, heap, wild = pieces_of(b"ab%c_d%%x", b"\\")
    assert (offsets.tolist(), heap.tobytes(), wild.tolist()) == ([0, 2, 5, 6], b"abc_dx", [0, 0, 0, 1, 0, 0])
    assert pieces_of(b"a\\%b", b"\\")[0].tolist() == [0, 3]


def test_empty_columns():
    for name, *arguments in (("upper",), ("trim",), ("left", 2), ("like", "%a%"), ("replace", "a", "b"), ("||", "a")):
        assert call(name, make([], VARCHAR), *arguments, rows=0) == []
