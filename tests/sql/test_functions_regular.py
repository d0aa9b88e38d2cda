"""Regular expressions, digests and JSON, against Python's own and the services' documented examples."""

import hashlib

import pytest
from sql.calling import call, make, one

from engines.errors import QueryError
from engines.sql import values
from engines.sql.functions.regular import similar, translated
from engines.sql.types import INTEGER, VARBYTE

MAIL = ["Etiam.laoreet.libero@sodalesMaurisblandit.edu", "Suspendisse.tristique@nonnisiAenean.edu", "no mail", ""]


def test_matching():
    assert call("~", ["abc", "xbz", ""], "b") == [True, True, False]
    assert call("~", ["abc", "ab%c", "a_c"], "%") == [False, True, False]
    assert call("~", ["abc", "cab"], "^ab") == [True, False]
    assert call("~", ["abc", "cab", "ab\n"], "ab$") == [False, True, False]
    assert call("~", ["abc", "axc", None], "a[bx]c") == [True, True, None]
    assert call("~*", ["ABC", "xyz"], "b") == [True, False]
    assert call("!~", ["ABC", "xyz"], "B") == [False, True]
    assert call("!~*", ["ABC", "xyz"], "b") == [False, True]
    assert call("~", "a1", ["[[:digit:]]", "[[:upper:]]"]) == [True, False]
    assert call("regexp_like", ["ABC", "x"], "b", "i") == [True, False]


def test_posix_is_translated():
    assert translated(r"\<a[[:alpha:]_]$") == r"\ba[a-zA-Z_]\Z"
    assert translated("[]a]") == r"[\]a]"
    assert translated("[^[]") == r"[^\[]"
    assert similar("a%(b|c)_.", "\\") == r"a.*(?:b|c).\."


def test_similar_to_matches_the_whole():
    assert call("similar to", ["abc", "abcd", "aXc"], "a(b|X)c") == [True, False, True]
    assert call("similar to", ["abc", "axxc"], "a%") == [True, True]
    assert call("similar to", ["a.c", "abc"], "a.c") == [True, False]
    assert call("similar to", ["a%", "ab"], "a#%", "#") == [True, False]


def test_bad_expressions_are_named():
    for name, pattern in (("~", "a("), ("similar to", "a("), ("~", "[a"), ("~", "[[:nothing:]]")):
        with pytest.raises(QueryError, match=r"no regular expression|does not end|no class"):
            one(name, "abc", pattern)
    with pytest.raises(QueryError, match="parameters"):
        one("regexp_count", "abc", "b", 1, "z")
    with pytest.raises(QueryError, match="count characters from 1"):
        one("regexp_substr", "abc", "b", 0)
    with pytest.raises(QueryError, match="no replacement"):
        one("regexp_replace", "abc", "b", "$1")


def test_substrings_of_matches():
    assert call("regexp_substr", MAIL, "@[^.]*") == ["@sodalesMaurisblandit", "@nonnisiAenean", "", ""]
    assert one("regexp_substr", "the fox", "FOX", 1, 1, "i") == "fox"
    assert one("regexp_substr", "a1 b2 c3", r"([a-z])(\d)", 1, 2, "e") == "b"
    assert one("regexp_substr", "a1 b2 c3", "[a-z]", 2, 2) == "c"
    assert one("regexp_substr", "a1", "[a-z]", 1, 5) == ""


def test_replacing_matches():
    assert one("regexp_replace", MAIL[0], r"@.*\.(org|gov|com|edu)$") == "Etiam.laoreet.libero"
    assert one("regexp_replace", "aXbX", "X", "-") == "a-b-"
    assert one("regexp_replace", "ab", "(a)(b)", r"$2\1\\") == "ba\\"
    assert one("regexp_replace", "the FOX", "fox", "quick brown fox", 1, "i") == "the quick brown fox"
    assert one("regexp_replace", "aaa", "a", "b", 2) == "abb"
    assert one("regexp_replace", "aAa", "a", "b", "gi") == "bbb"


def test_counting_and_finding_matches():
    assert one("regexp_count", "abcdefghijklmnopqrstuvwxyz", "[a-z]{3}") == 8
    assert one("regexp_count", "the fox", "FOX", 1, "i") == 1
    assert one("regexp_count", "aaa", "a", 2) == 2
    assert call("regexp_instr", MAIL, "@[^.]*") == [21, 22, 0, 0]
    assert one("regexp_instr", "a1 b2", "[a-z]", 1, 2) == 4
    assert one("regexp_instr", "a1 b2", "[a-z][0-9]", 1, 2, 1) == 6


# ---- digests -----------------------------------------------------------------------------------------------------


def test_digests():
    text = "h\u00e9llo".encode()
    assert one("md5", "h\u00e9llo") == hashlib.md5(text).hexdigest()
    assert one("sha1", "h\u00e9llo") == one("func_sha1", "h\u00e9llo") == hashlib.sha1(text).hexdigest()
    assert one("sha2", "h\u00e9llo", 512) == hashlib.sha512(text).hexdigest()
    assert one("sha2", "h\u00e9llo", 0) == one("sha256", "h\u00e9llo") == hashlib.sha256(text).hexdigest()
    assert one("crc32", "Amazon Redshift") == "f2726906"
    assert call("md5", make([text, None], VARBYTE), rows=2) == [hashlib.md5(text).hexdigest(), None]
    with pytest.raises(QueryError, match="SHA2 has"):
        one("sha2", "a", 1)


def test_fnv_hash_of_the_empty_text_is_the_offset():
    assert one("fnv_hash", "") == 0xCBF29CE484222325 - 2**64
    assert one("fnv_hash", "a") == 0xAF63DC4C8601EC8C - 2**64  # published for FNV-1a of 64 bits
    assert one("fnv_hash", "foobar") == 0x85944171F73967E8 - 2**64
    assert one("fnv_hash", "bar", one("fnv_hash", "foo")) == 0x85944171F73967E8 - 2**64


def test_fnv_hash_of_an_integer_is_that_of_its_four_bytes():
    assert call("fnv_hash", values.column_of([1], INTEGER), rows=1) == [-5968735742475085980]  # Redshift's own example


def test_other_bases():
    assert call("strtol", ["ff", "-0x10", "z"], [16, 16, 36]) == [255, -16, 35]
    assert call("to_hex", [255, -1]) == ["ff", "ffffffffffffffff"]
    assert one("from_hex", "00FF") == b"\x00\xff"
    for name, *arguments in (("strtol", "8", 8), ("strtol", "1", 1), ("strtol", "9" * 20, 10), ("from_hex", "abc")):
        with pytest.raises(QueryError):
            one(name, *arguments)


# ---- JSON --------------------------------------------------------------------------------------------------------

STARS = '{"f2":{"f3":1},"f4":{"f5":99,"f6":"st\\u00e4r", "n":null, "l":[1, {"a":true}]}}'


def test_paths_into_json():
    assert one("json_extract_path_text", STARS, "f4", "f6") == "st\u00e4r"
    assert one("json_extract_path_text", STARS, "f4", "f5") == "99"
    assert one("json_extract_path_text", STARS, "f2") == '{"f3":1}'
    assert one("json_extract_path_text", STARS, "f4", "l", "1", "a") == "true"
    assert one("json_extract_path_text", STARS, "f4", "n") is None
    assert one("json_extract_path_text", STARS, "f9") is None
    assert one("json_extract_path_text", STARS, "f2", "f3", "x") is None


def test_what_is_no_json_is_an_error_or_null():
    with pytest.raises(QueryError, match="is no JSON"):
        one("json_extract_path_text", "{bad", "a")
    with pytest.raises(QueryError, match="is no JSON"):
        one("json_extract_path_text", '{"a":1, "b":}', "a")
    assert one("json_extract_path_text", "{bad", "a", True) is None
    assert one("json_array_length", "{}", True) is None
    with pytest.raises(QueryError, match="no JSON array"):
        one("json_array_length", "{}")
    with pytest.raises(QueryError, match="nested too deeply"):
        one("json_array_length", "[" * 10_000)


def test_json_arrays():
    assert one("json_array_length", '[11,12,13,{"f1":21},14]') == 5
    assert one("json_extract_array_element_text", "[111,112,113]", 2) == "113"
    assert one("json_extract_array_element_text", '["a",["b",1,["c",2,3,null]]]', 1) == '["b",1,["c",2,3,null]]'
    assert one("json_extract_array_element_text", "[111,112,113]", -1) == "113"
    assert one("json_extract_array_element_text", "[1]", 3) is None
    assert call("is_valid_json", ['{"a":1}', "[1]", "1", "{", ""]) == [True, True, False, False, False]
    assert call("is_valid_json_array", ['{"a":1}', "[1]", "[1"]) == [False, True, False]
    assert call("json_typeof", ["{}", "[]", "1", "true", "null", '""']) == [
        "object",
        "array",
        "number",
        "boolean",
        "null",
        "string",
    ]
