"""PartiQL by example: what the specification says about values, rows and errors."""

# ruff: noqa: E501 - a case stays on one line

import copy
import pickle
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from engines.errors import Invalid, QueryError
from engines.ledger import partiql
from engines.ledger.partiql import MISSING, evaluate, nodes
from engines.ledger.partiql.functions import Context
from engines.ledger.partiql.parser import Parser, parsed
from engines.ledger.partiql.plan import IDENTITY, Known
from engines.ledger.partiql.sources import Row

CASES = {
    "comparisons": [
        ("5 = 'a'", False), ("NULL = NULL", None), ("MISSING = MISSING", MISSING), ("NULL = MISSING", MISSING),
        ("[NULL] = [NULL]", True), ("{'a': 1, 'b': 2} = {'b': 2, 'a': 1}", True), ("{'a': 1} = {'a': NULL}", False),
        ("1 = 1.0", True), ("TRUE = 1", False), ("[1] = [TRUE]", False), ("5 > 'a'", MISSING), ("1 <> 'a'", True),
        ("1 <= 1.0", True), ("2 <= 1", False), ("1 >= 2", False), ("2 >= 2", True), ("1 >= 'a'", MISSING), ("1 <= NULL", None),
        ("'b' > 'a'", True), ("FALSE < TRUE", True), ("[1] < [2]", MISSING), ("1 < NULL", None), ("2 != 3", True),
        ("2 BETWEEN 1 AND 3", True), ("2 NOT BETWEEN 1 AND 3", False), ("2 BETWEEN NULL AND 1", False),
        ("2 BETWEEN 1 AND NULL", None), ("1 + 1 BETWEEN 2 AND 1 + 1", True),
    ],
    "logic": [
        ("MISSING AND TRUE", None), ("NULL AND TRUE", None), ("MISSING AND FALSE", False), ("FALSE AND NULL", False),
        ("MISSING OR FALSE", None), ("MISSING OR TRUE", True), ("MISSING AND MISSING", None), ("NOT MISSING", MISSING),
        ("NOT NULL", None), ("NOT {'a': 1}", MISSING), ("1 AND TRUE", None), ("TRUE OR FALSE AND FALSE", True),
        ("NOT TRUE OR TRUE", True), ("NOT 1 = 2", True), ("NOT 1 IN (2)", True),
    ],
    "is": [
        ("NULL IS NULL", True), ("MISSING IS NULL", True), ("NULL IS MISSING", False), ("MISSING IS MISSING", True),
        ("1 IS NOT NULL", True), ("1 IS INT", True), ("1.5 IS FLOAT", True), ("1 IS DECIMAL", True),
        ("TRUE IS INT", False), ("'a' IS STRING", True), ("{} IS STRUCT", True), ("[] IS LIST", True),
        ("`2024-05-01T` IS TIMESTAMP", True), ("'May' IS TIMESTAMP", False), ("1 IS NOT STRING", True),
    ],
    "in": [
        ("5 IN (5)", True), ("5 IN (4, 5)", True), ("5 NOT IN (4)", True), ("5 IN [4, 5]", True), ("5 IN <<5>>", True),
        ("5 IN 5", MISSING), ("5 NOT IN 5", MISSING), ("5 IN (NULL, 5)", True), ("5 IN (NULL, 4)", None),
        ("MISSING IN (1)", None), ("[5] IN ([5])", True), ("5 IN ([5])", False), ("5 IN NULL", None), ("1 IN ()", False),
        ("2 IN (SELECT VALUE x FROM <<1, 2>> AS x)", True), ("2 IN (SELECT x.a FROM <<{'a': 2}>> AS x)", True),
    ],
    "paths": [
        ("{'a': 1}.a", 1), ("{'a': 1}['a']", 1), ("{'a b': 1}.\"a b\"", 1), ("[2, 4, 6][1 + 1]", 6), ("{'a': 1}.b", MISSING),
        ("'text'.a", MISSING), ("[1][1]", MISSING), ("[1][-1]", MISSING), ("[1, 2][1.0]", MISSING), ("[1][TRUE]", MISSING),
        ("{'attr': 1}['at' || 'tr']", 1), ("{'a': [{'b': 7}]}.a[0].b", 7), ("NULL.a", MISSING), ("{'A': 1}.a", MISSING),
    ],
    "arithmetic": [
        ("5 + MISSING", MISSING), ("5 + NULL", None), ("5 + 'a'", MISSING), ("TRUE + 1", MISSING), ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9), ("7 / 2", 3), ("-7 / 2", -3), ("-7 % 3", -1), ("7.0 / 2", 3.5), ("1 / 0", MISSING),
        ("1.5 % 0", MISSING), ("1e308 * 10", MISSING), ("- 3 - -2", -1), ("10 - 2 - 3", 5), ("-'a'", MISSING), ("-(2 - 3)", 1), ("+(1 + 1)", 2), ("-NULL", None), ("+'a'", MISSING),
        ("'a' || 'b' || 'c'", "abc"), ("'a' || 1", MISSING), ("'a' || NULL", None), (".5 + 1.", 1.5), ("2e2", 200.0),
    ],
    "like": [
        ("'abc' LIKE 'a%'", True), ("'abc' LIKE '_b_'", True), ("'abc' LIKE 'b%'", False), ("'abc' NOT LIKE 'b%'", True),
        ("'a%c' LIKE 'a!%c' ESCAPE '!'", True), ("'abc' LIKE 'a!%c' ESCAPE '!'", False), ("1 LIKE 'a'", MISSING),
        ("NULL LIKE 'a'", None), ("'a\nb' LIKE 'a%b'", True), ("'aXbXc' LIKE 'a%b%c'", True), ("'a' LIKE 'a%a'", False),
        ("'.*' LIKE '.*'", True), ("'ab' LIKE '.*'", False), ("'' LIKE '%'", True),
    ],
    "case": [
        ("CASE WHEN FALSE THEN 1 WHEN TRUE THEN 2 END", 2), ("CASE WHEN NULL THEN 1 ELSE 2 END", 2),
        ("CASE WHEN MISSING THEN 1 END", None), ("CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'b' ELSE 'c' END", "b"),
        ("CASE NULL WHEN NULL THEN 1 ELSE 2 END", 2),
    ],
    "constructors": [
        ("{'a': 1, 'b': MISSING}", {"a": 1}), ("{'a': NULL}", {"a": None}), ("{1: 2, 'a': 3}", {"a": 3}),
        ("[1, MISSING, NULL]", [1, None]), ("<<1, 'it''s'>>", [1, "it's"]), ("(1, 2)", [1, 2]), ("{}", {}),
        ("`2024-05-01T12:00:00Z`", "2024-05-01T12:00:00Z"), ("`5`", 5), ("`-1.5`", -1.5), ("`nan`", "nan"),
        ('`"text"`', "text"), ("`true`", True), ("1 -- a note\n + /* another */ 1", 2),
    ],
    "functions": [
        ("SIZE([1, 2])", 2), ("SIZE({'a': 1})", 1), ("SIZE('ab')", MISSING), ("SIZE(NULL)", None),
        ("SIZE((SELECT VALUE x FROM <<1, 2>> AS x))", 2), ("EXISTS((SELECT VALUE x FROM <<1>> AS x WHERE x > 1))", False),
        ("EXISTS(SELECT x.a FROM <<{'a': 1}, {'a': 2}>> AS x)", True), ("COALESCE(NULL, MISSING, 3, 4)", 3),
        ("COALESCE(NULL)", None), ("NULLIF(1, 1.0)", None), ("NULLIF(2, '2')", 2), ("NULLIF(MISSING, 1)", MISSING),
        ("CHAR_LENGTH('héé')", 3), ("LOWER('AbC')", "abc"), ("UPPER(MISSING)", MISSING), ("UPPER(1)", MISSING),
        ("SUBSTRING('hello', 2)", "ello"), ("SUBSTRING('hello', 2, 3)", "ell"), ("SUBSTRING('hello' FROM 2 FOR 2)", "el"),
        ("SUBSTRING('hello', 0, 3)", "he"), ("SUBSTRING('hello', -5, 3)", ""), ("SUBSTRING('hello', 9)", ""),
        ("SUBSTRING('hello', 1, -1)", MISSING), ("SUBSTRING('hello', 1.0)", MISSING), ("TRIM(1)", MISSING), ("TRIM('  a ')", "a"), ("TRIM(LEADING 'x' FROM 'xxax')", "ax"),
        ("TRIM(TRAILING FROM ' a ')", " a"), ("TRIM(BOTH 'xy' FROM 'xyaxy')", "a"),
    ],
    "cast": [
        ("CAST('5' AS INT)", 5), ("CAST(5.9 AS INT)", 5), ("CAST(TRUE AS INT)", 1), ("CAST('x' AS INT)", MISSING),
        ("CAST('1_0' AS INT)", MISSING), ("CAST('nan' AS FLOAT)", MISSING), ("CAST('1e999' AS FLOAT)", MISSING),
        ("CAST('1.5' AS DECIMAL)", 1.5), ("CAST(5 AS STRING)", "5"), ("CAST(TRUE AS VARCHAR(10))", "true"),
        ("CAST([1] AS LIST)", [1]), ("CAST({'a': 1} AS STRUCT)", {"a": 1}),
        ("CAST([1] AS STRUCT)", MISSING), ("CAST([1] AS STRING)", MISSING), ("CAST(0 AS BOOL)", False),
        ("CAST('2.0' AS DECIMAL)", 2), ("CAST(1 AS MISSING)", MISSING), ("CAST('9e999' AS INT)", MISSING),
        ("CAST('TRUE' AS BOOL)", True), ("CAST(NULL AS INT)", None), ("CAST(1 AS DOUBLE PRECISION)", 1.0), ("CAST('1' AS DECIMAL(5, 2))", 1), ("CAST(MISSING AS INT)", MISSING),
        ("CAST('2024-05-01' AS TIMESTAMP)", "2024-05-01T00:00:00.000000Z"), ("CAST({} AS LIST)", MISSING),
    ],
    "times": [
        ("EXTRACT(YEAR FROM `2024-05-01T12:30:00Z`)", 2024), ("EXTRACT(MINUTE FROM `2024-05-01T12:30:00Z`)", 30),
        ("EXTRACT(HOUR FROM `2024-05-01T12:30:00+02:00`)", 10), ("EXTRACT(YEAR FROM 'no time')", MISSING),
        ("DATE_ADD(MONTH, 1, `2024-01-31T`)", "2024-02-29T00:00:00.000000Z"),
        ("DATE_ADD(MONTH, -1, `2024-03-31T`)", "2024-02-29T00:00:00.000000Z"),
        ("DATE_ADD(YEAR, 1, `2024-02-29T`)", "2025-02-28T00:00:00.000000Z"),
        ("DATE_ADD(SECOND, 90, `2024-01-01T00:00:00Z`)", "2024-01-01T00:01:30.000000Z"),
        ("DATE_ADD(YEAR, 99999, `2024T`)", MISSING), ("DATE_ADD(DAY, 'x', `2024T`)", MISSING),
        ("DATE_DIFF(DAY, `2024-01-01T`, `2024-03-01T`)", 60), ("DATE_DIFF(YEAR, `2024-06-01T`, `2026-05-31T`)", 1),
        ("DATE_DIFF(MONTH, `2024-03-15T`, `2024-01-15T`)", -2), ("DATE_DIFF(HOUR, `2024T`, `2023-12-31T23:01Z`)", 0),
        ("TO_STRING(`2024-05-01T09:08:07Z`, 'yyyy-MM-dd''T''HH:mm')", "2024-05-01T09:08"),
        ("TO_STRING(`2024-05-01T09:08:07.5Z`, 'd.M.yy SSS')", "1.5.24 500"),
        ("TO_TIMESTAMP('01.05.2024', 'dd.MM.yyyy')", "2024-05-01T00:00:00.000000Z"),
        ("TO_TIMESTAMP(1, 'yyyy')", MISSING), ("TO_STRING('May', 'yyyy')", MISSING), ("DATE_DIFF(DAY, 1, `2024T`)", MISSING),
        ("DATE_DIFF(MONTH, `2024-01-31T`, `2024-02-29T`)", 0), ("DATE_DIFF(MONTH, `2024-01-15T12:00Z`, `2024-02-15T11:00Z`)", 0),
        ("TO_TIMESTAMP('2024-05-01')", "2024-05-01T00:00:00.000000Z"), ("TO_TIMESTAMP('x', 'yyyy')", MISSING),
        ("TO_STRING(`0999-01-01T`, 'yyyy y')", "0999 999"), ("TO_TIMESTAMP('0001-01-01 +1400', 'yyyy-MM-dd XX')", MISSING),
        ("TO_TIMESTAMP('2024-05-01T02:00+02:00', 'yyyy-MM-dd''T''HH:mmXXX')", "2024-05-01T00:00:00.000000Z"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"), [case for group in CASES.values() for case in group], ids=lambda x: f"{x}"
)
def test_an_expression_has_this_value(text: str, expected: Any) -> None:
    found = partiql.run(text, {})
    assert found == expected
    assert type(found) is type(expected)


VEHICLES = [
    {"VIN": "a", "Year": 2011, "Owner": {"Id": 1}, "Parts": [{"n": "door"}, {"n": "wheel"}]},
    {"VIN": "b", "Year": 2020, "Owner": {"Id": 2}, "Parts": []},
    {"VIN": "c", "Year": None},
]
PERSONS = [{"Id": 1, "Name": "Ann"}, {"Id": 2, "Name": "Bob"}, {"Id": 2, "Name": "Cyd"}]
QUERIES = [
    ("SELECT * FROM V WHERE VIN = 'a'", VEHICLES[:1]),
    ("SELECT v.VIN, v.Year AS y FROM V AS v", [{"VIN": "a", "y": 2011}, {"VIN": "b", "y": 2020}, {"VIN": "c", "y": None}]),
    ("SELECT v.Owner.Id, v.Year + 1 FROM V v WHERE v.Year < 2015", [{"Id": 1, "_2": 2012}]),
    ("SELECT VALUE v.Owner FROM V AS v", [{"Id": 1}, {"Id": 2}]),  # what is MISSING is left out
    ("SELECT VALUE {'vin': v.VIN, 'id': v.Owner.Id} FROM V AS v WHERE v.Year IS NULL", [{"vin": "c"}]),
    ("SELECT VALUE v.VIN FROM V AS v WHERE v.Year > 2000 OR v.Owner IS MISSING", ["a", "b", "c"]),
    ("SELECT VALUE v.VIN FROM V AS v WHERE NOT v.Year > 2015", ["a"]),  # unknown is not true
    ("SELECT v.VIN, p.n FROM V AS v, v.Parts AS p WHERE p IS NOT MISSING", [{"VIN": "a", "n": "door"}, {"VIN": "a", "n": "wheel"}]),
    ("SELECT v.VIN, p.n, i FROM V AS v, @v.Parts AS p AT i", [{"VIN": "a", "n": "door", "i": 0}, {"VIN": "a", "n": "wheel", "i": 1}, {"VIN": "c"}]),
    ("SELECT VALUE [v.VIN, p.Name] FROM V AS v JOIN P AS p ON p.Id = v.Owner.Id", [["a", "Ann"], ["b", "Bob"], ["b", "Cyd"]]),
    ("SELECT VALUE [v.VIN, p.Name] FROM V AS v, P AS p WHERE p.Id = v.Owner.Id AND v.VIN = 'b'", [["b", "Bob"], ["b", "Cyd"]]),
    ("SELECT v.VIN, p.Name FROM V AS v LEFT JOIN P AS p ON p.Id = v.Owner.Id + 1", [{"VIN": "a", "Name": "Bob"}, {"VIN": "a", "Name": "Cyd"}, {"VIN": "b"}, {"VIN": "c"}]),
    ("SELECT VALUE p FROM V AS v LEFT JOIN P AS p ON p.Id = 7 WHERE v.VIN = 'a'", [None]),
    ("SELECT VALUE [a.Id, b.Id] FROM P AS a CROSS JOIN P AS b WHERE a.Name = 'Ann' AND b.Name <> 'Ann'", [[1, 2], [1, 2]]),
    ("SELECT p.*, 1 AS one FROM P AS p WHERE p.Id = 1", [{"Id": 1, "Name": "Ann", "one": 1}]),
    ("SELECT DISTINCT p.Id FROM P AS p", [{"Id": 1}, {"Id": 2}]),
    ("SELECT DISTINCT VALUE x FROM <<1, 1.0, TRUE, [1], [TRUE], [1.0], {'a': 1}, {'a': 1}>> AS x", [1, True, [1], [True], {"a": 1}]),
    ("SELECT COUNT(*) AS n, COUNT(v.Year) AS years, SUM(v.Year) AS s, MIN(v.Year) AS low, MAX(v.Year) AS high, AVG(v.Year) AS mean FROM V AS v", [{"n": 3, "years": 2, "s": 4031, "low": 2011, "high": 2020, "mean": 2015.5}]),
    ("SELECT COUNT(*), SUM(v.Year), MIN(v.Year) FROM V AS v WHERE v.VIN = 'z'", [{"_1": 0, "_2": None, "_3": None}]),
    ("SELECT COUNT(DISTINCT p.Id) AS n, MAX(p.Name) AS m FROM P AS p", [{"n": 2, "m": "Cyd"}]),
    ("SELECT VALUE COUNT(*) * 2 FROM P", [6]),
    ("SELECT MIN(x) AS low, COUNT(x) AS n FROM <<1, 'a'>> AS x", [{"n": 2}]),  # no order between them
    ("SELECT SUM(v.VIN) AS s, COUNT(v.VIN) AS n FROM V AS v", [{"n": 3}]),  # the sum of texts is MISSING
    ("SELECT COUNT(1) AS n", [{"n": 1}]),
    ("SELECT SUM(x) AS s, AVG(x) AS a, COUNT(x) AS n FROM <<1e308, 1e308>> AS x", [{"n": 2}]),  # no number of ours
    ("SELECT VALUE v.VIN FROM V AS v WHERE v.VIN = (SELECT MIN(w.VIN) AS low FROM V AS w)", ["a"]),
    ("SELECT 1 AS a WHERE FALSE", []),
    ("SELECT VALUE ','", [","]),
    ("SELECT VALUE 'from' FROM <<0>>", ["from"]),
    ("SELECT value FROM <<{'value': 1}>>", [{"value": 1}]),
    ("SELECT VALUE (SELECT VALUE p.Name FROM P AS p WHERE p.Id = v.Owner.Id) FROM V AS v", [["Ann"], ["Bob", "Cyd"], []]),
    ("SELECT v.VIN, (SELECT p.Name FROM P AS p WHERE p.Id = v.Owner.Id) AS n FROM V AS v", [{"VIN": "a", "n": "Ann"}, {"VIN": "b"}, {"VIN": "c", "n": None}]),
    ("SELECT VALUE v.VIN FROM V AS v WHERE EXISTS(SELECT * FROM P AS p WHERE p.Id = v.Owner.Id AND p.Name = 'Cyd')", ["b"]),
    ("SELECT VALUE v.VIN FROM V AS v WHERE (SELECT COUNT(*) AS n FROM P AS p WHERE p.Id = v.Owner.Id) = 2", ["b"]),
    ("SELECT * FROM (SELECT p.Name FROM P AS p WHERE p.Id = 2) AS x", [{"Name": "Bob"}, {"Name": "Cyd"}]),
    ("SELECT * FROM [{'a': 0}, {'a': 1}] AS x AT y", [{"a": 0, "y": 0}, {"a": 1, "y": 1}]),
    ("SELECT * FROM 0 AS x AT p", [{"_1": 0}]),
    ("SELECT * FROM {'k': 'v'} AS x", [{"k": "v"}]),
    ("SELECT * FROM NULL AS x", [{"_1": None}]),
    ("SELECT * FROM MISSING AS x", [{}]),
    ("SELECT x.* FROM [{'a': 1}, 'foo'] AS x", [{"a": 1}, {"_1": "foo"}]),
    ("SELECT * FROM P AS p, <<1>> AS x WHERE p.Id = 1", [{"Id": 1, "Name": "Ann", "_2": 1}]),
    ("select value V.VIN from V where V.Year is null;", ["c"]),
    # a table comes before what FROM has bound, @ is what FROM has bound; the nearest FROM comes first
    ("SELECT VALUE V.VIN FROM V WHERE V.Year > (SELECT AVG(V.Year) AS a FROM V)", ["b"]),
    ("SELECT VALUE [P.Name, q.Name] FROM P, P AS q WHERE P.Id < q.Id", [["Ann", "Bob"], ["Ann", "Cyd"]]),
    ("SELECT VALUE [P.Name, q.Name] FROM P, @P AS q WHERE P.Id = 1", [["Ann", "Ann"]]),
    ("SELECT VALUE p.Name FROM P AS p WHERE EXISTS(SELECT * FROM <<{'Id': 1}>> AS x WHERE Id = 1)", ["Ann", "Bob", "Cyd"]),
    ("SELECT VALUE v.VIN FROM V AS v WHERE EXISTS(SELECT * FROM <<{'VIN': 'z'}>> AS x JOIN <<1>> AS y ON VIN = 'z')", ["a", "b", "c"]),
    ("SELECT VALUE v.VIN FROM V AS v WHERE EXISTS(SELECT * FROM P AS v WHERE v.Id = v.Id)", ["a", "b", "c"]),
    ("SELECT VALUE v.VIN FROM V AS v WHERE EXISTS(SELECT * FROM P AS p, <<1>> AS v WHERE p.Id = v)", ["a", "b", "c"]),
    ("SELECT VALUE v.VIN FROM V AS v WHERE EXISTS(SELECT * FROM P AS p, v.Parts AS v WHERE v.n = 'door')", ["a"]),
    ("SELECT VALUE (SELECT VALUE [v.VIN, COUNT(*)] FROM P AS p WHERE p.Id = v.Owner.Id) FROM V AS v", [[["a", 1]], [["b", 2]], [["c", 0]]]),
    ("SELECT VALUE (SELECT VALUE VIN || CAST(COUNT(*) AS STRING) FROM P AS p WHERE FALSE) FROM V AS v", [["a0"], ["b0"], ["c0"]]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), QUERIES, ids=[text for text, _ in QUERIES])
def test_a_query_gives_these_rows(text: str, expected: list[Any]) -> None:
    assert partiql.run(text, {"V": VEHICLES, "P": PERSONS}) == expected


def test_parameters_are_taken_in_the_order_of_their_question_marks() -> None:
    assert partiql.run("SELECT VALUE ? || x FROM ? AS x WHERE x IN ?", {}, ["a", ["b", "c"], ["c"]]) == ["ac"]
    assert partiql.parse("SELECT VALUE ? FROM T WHERE a = ?").parameters == 2


def test_a_sum_that_is_no_double_is_missing() -> None:
    assert partiql.run("SELECT SUM(x) AS s, COUNT(x) AS n FROM ? AS x", {}, [[10**400, 0.5]]) == [{"n": 2}]


def test_missing_is_one_false_thing() -> None:
    assert repr(MISSING) == "MISSING"
    assert not MISSING
    assert copy.deepcopy(MISSING) is MISSING
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING  # noqa: S301 - our own bytes


def test_a_statement_is_parsed_once_unless_it_is_long() -> None:
    assert partiql.parse("SELECT VALUE 1 FROM T") is partiql.parse("SELECT VALUE 1 FROM T")
    long = f"INSERT INTO T {{'a': '{'x' * 20_000}'}}"
    assert partiql.parse(long) == partiql.parse(long)
    assert partiql.parse(long) is not partiql.parse(long)


# -- errors

ERRORS = [
    ("", "there is no statement", 1, 1, ""),
    ("SELEC * FROM T", "no statement begins with 'SELEC'", 1, 1, "SELECT"),
    ("SELECT *\nFORM T", "over before 'FORM'", 2, 1, "FROM"),
    ("SELECT * FROM T WHER x = 1", "over before 'x'", 1, 22, "WHERE"),
    ("SELECT UPER(a) FROM T", "no function UPER", 1, 8, "UPPER"),
    ("1 IS STRNG", "'STRNG' is no type", 1, 6, "STRING"),
    ("SELECT FROM T", "a value is expected here", 1, 8, ""),
    ("SELECT a FROM T GROUP BY a", "GROUP BY is not spoken", 1, 17, ""),
    ("SELECT a FROM T ORDER BY a", "ORDER BY is not spoken", 1, 17, ""),
    ("SELECT a, COUNT(*) FROM T", "a has no one value beside an aggregate", 1, 8, ""),
    ("SELECT *, 1 FROM T", r"\* stands alone", 1, 13, ""),
    ("SELECT VALUE a FROM T WHERE COUNT(*) > 1", "COUNT stands in the list after SELECT only", 1, 29, ""),
    ("COUNT(1)", "COUNT stands in the list after SELECT only", 1, 1, ""),
    ("SELECT SUM(MAX(a)) FROM T", "MAX stands in the list after SELECT only", 1, 12, ""),
    ("SELECT 1 FROM A AS x, B AS x", "two things are called x", 1, 29, ""),
    ("SELECT 1 FROM <<1>> AS x BY id", "BY gives the ids of a table's documents", 1, 15, ""),
    ("'abc", "a text that is not closed", 1, 1, ""),
    ("1 /* + 2", "a comment that is not closed", 1, 3, ""),
    ("1 + `2024", "an Ion literal that is not closed", 1, 5, ""),
    ("CAST(1 AS DECIMAL(x))", "a number is expected", 1, 20, ""),
    ("a.1x", "over before '.1'", 1, 2, ""),
    ("a.[0]", "the name of a field is expected after the dot", 1, 3, ""),
    ("CASE 1 END", "WHEN is expected here", 1, 8, ""),
    ("SELECT 1 FROM A LEFT B", "JOIN is expected here", 1, 22, ""),
    ("a == b", "a value is expected here, not '='", 1, 4, "equal is written with one ="),
    ("a && b", "'&' means nothing here", 1, 3, "write AND"),
    ("a ~ b", "'~' means nothing here", 1, 3, ""),
    ("1 2", "over before '2'", 1, 3, ""),
    ("(1", r"\) is expected here, not the end", 1, 3, ""),
    ("1e999", "too large", 1, 1, ""),
    ("9" * 401, "at most 400 digits", 1, 1, ""),
    ("SUBSTRING('a')", "FROM is expected here", 1, 14, ""),
    ("DATE_ADD(WEEK, 1, `2024T`)", "parts of a time", 1, 10, ""),
    ("NULLIF(1)", "NULLIF takes 2 arguments, got 1", 1, 1, ""),
    ("UPDATE T SET 1 = 2", "a path begins with a name", 1, 14, ""),
    ("UPDATE T WHERE a = 1", "SET, REMOVE or INSERT INTO is expected", 1, 10, ""),
    ("UPDATE history(T) AS h SET a = 1", "only the documents of a table", 1, 8, ""),
    ("DELETE T", "FROM is expected here", 1, 8, ""),
    ("CREATE INDEX ON T VIN", r"\( is expected here", 1, 19, ""),
    ("SELECT * FROM history(T, 1, 2, 3)", "takes a table, a start and an end", 1, 15, ""),
    ("SELECT * FROM where", "a value is expected here, not 'where'", 1, 15, '"where"'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message", "line", "column", "suggestion"), ERRORS, ids=[case[0][:40] for case in ERRORS]
)
def test_a_wrong_text_is_told_where_and_what_is_meant(
    text: str, message: str, line: int, column: int, suggestion: str
) -> None:
    with pytest.raises(QueryError, match=message) as raised:
        partiql.run(text, {"T": [], "A": [], "B": []})
    assert (raised.value.line, raised.value.column) == (line, column)
    assert suggestion in raised.value.suggestion
    if text:
        assert "\n" + "  " + " " * (column - 1) + "^" in str(raised.value)


def test_a_parameter_too_few_is_shown_and_one_too_many_is_refused() -> None:
    with pytest.raises(QueryError, match=r"has 2 \?, got 1") as few:
        partiql.run("SELECT VALUE ? FROM T\nWHERE a = ?", {"T": []}, [1])
    assert (few.value.line, few.value.column) == (2, 11)
    with pytest.raises(QueryError, match=r"has 1 \?, got 2"):
        partiql.run("'?' || ?", {}, [1, 2])


def test_run_names_what_it_does_not_know() -> None:
    with pytest.raises(Invalid, match="nothing is called Vehicles; did you mean 'Vehicle'"):
        partiql.run("SELECT * FROM Vehicles", {"Vehicle": []})
    with pytest.raises(Invalid, match="takes SELECT or an expression, this is DELETE"):
        partiql.run("DELETE FROM T", {"T": []})
    with pytest.raises(Invalid, match="are a ledger's"):
        partiql.run("SELECT * FROM history(T)", {"T": []})


def test_a_pattern_of_no_time_and_an_escape_of_nothing_are_refused() -> None:
    with pytest.raises(Invalid, match="begins with no part of a time's pattern"):
        partiql.run("TO_STRING(`2024T`, 'QQ')")
    with pytest.raises(Invalid, match="reads each part of a time once, and yyyy"):
        partiql.run("TO_TIMESTAMP('2024 2024', 'yyyy yyyy')")
    with pytest.raises(Invalid, match="ESCAPE takes one character"):
        partiql.run("'a' LIKE 'a' ESCAPE '!!'")
    with pytest.raises(Invalid, match="stands before %, _ or itself"):
        partiql.run("'a' LIKE '!a' ESCAPE '!'")


# -- statements, sources and what an index may answer


class Tables:
    """Tables that write down what they are asked for, and give all their documents whatever that is."""

    def __init__(self, **tables: list[dict[str, Any]]) -> None:
        self.tables = tables
        self.asked: list[tuple[str, list[tuple[Any, Any]], tuple[Any, Any]]] = []

    def has(self, table: str) -> bool:
        return table in self.tables

    def rows(self, source: nodes.Source, equal: Sequence[Known], bounds: tuple[Any, Any]) -> Iterable[Row]:
        name = getattr(source, "name", "catalogue")
        self.asked.append((f"{type(source).__name__} {name}", [tuple(known) for known in equal], bounds))
        return [(f"{name}{number}", document) for number, document in enumerate(self.tables.get(name, []))]


def scope_of(text: str, tables: Tables, *parameters: Any) -> tuple[nodes.Parsed, dict[str, Any]]:
    found = parsed(text)
    return found, evaluate.new_scope(found, tables, parameters, Context(1_714_564_800_000_000, "tx1"))


def selected(text: str, tables: Tables, *parameters: Any) -> list[Any]:
    return list(evaluate.select(*scope_of(text, tables, *parameters)))


HINTS = [
    ("SELECT * FROM V AS v WHERE v.VIN = ?", [[(("VIN",), "a")]]),
    ("SELECT * FROM V AS v WHERE ? = v.VIN AND v.Year > 2000", [[(("VIN",), "a")]]),
    ("SELECT * FROM V WHERE Owner.Id = 1 AND VIN = ?", [[(("Owner", "Id"), 1), (("VIN",), "a")]]),
    ("SELECT * FROM V AS v WHERE v.Parts[0].n = ?", [[(("Parts", 0, "n"), "a")]]),
    ("SELECT * FROM V AS v BY id WHERE id = ?", [[(IDENTITY, "a")]]),
    ("SELECT * FROM V AS v WHERE v.VIN = ? OR v.Year = 1", [[]]),
    ("SELECT * FROM V AS v WHERE NOT v.VIN = ?", [[]]),
    ("SELECT * FROM V AS v WHERE v.VIN = v.Other AND ? = 1", [[]]),
    ("SELECT * FROM V AS v AT p WHERE p = 1 AND ? = 1", [[]]),
    ("SELECT * FROM V AS v WHERE UPPER(v.VIN) = ?", [[]]),
    ("SELECT * FROM V AS v WHERE v[?] = 1", [[]]),
]


@pytest.mark.parametrize(("text", "hints"), HINTS, ids=[text for text, _ in HINTS])
def test_what_is_equal_to_something_known_is_a_hint(text: str, hints: list[Any]) -> None:
    tables = Tables(V=VEHICLES)
    selected(text, tables, "a")
    assert [equal for _, equal, _ in tables.asked] == hints


def test_a_join_asks_the_inner_table_for_each_row_of_the_outer_one() -> None:
    tables = Tables(V=VEHICLES, P=PERSONS)
    rows = selected("SELECT VALUE p.Name FROM V AS v, P AS p WHERE p.Id = v.Owner.Id", tables)
    assert rows == ["Ann", "Bob", "Cyd"]
    assert [equal for name, equal, _ in tables.asked if name == "TableSource P"] == [[(("Id",), 1)], [(("Id",), 2)]]


def test_a_condition_of_where_is_no_hint_for_an_outer_join() -> None:
    tables = Tables(V=VEHICLES[:1], P=PERSONS)
    rows = selected("SELECT VALUE v.VIN FROM V AS v LEFT JOIN P AS p ON p.Id = 7 WHERE p.Name = 'Ann'", tables)
    assert rows == []
    assert tables.asked[1][1] == [(("Id",), 7)]


def test_what_no_document_can_hold_is_no_hint() -> None:
    for value in (1 << 53, -(1 << 53), "\ud800", [1 << 60], {"a": "\udfff"}, {"\ud800": 1}):
        tables = Tables(V=VEHICLES)
        assert selected("SELECT * FROM V AS v WHERE v.VIN = ?", tables, value) == []
        assert tables.asked == [("TableSource V", [], (None, None))]


def test_a_name_that_a_nearer_from_binds_is_no_hint() -> None:
    tables = Tables(V=VEHICLES, P=PERSONS)
    selected("SELECT VALUE v.VIN FROM V AS v WHERE EXISTS(SELECT * FROM P AS p, <<1>> AS v WHERE p.Id = v)", tables)
    selected("SELECT VALUE v.VIN FROM V AS v WHERE EXISTS(SELECT * FROM P AS v WHERE v.Id = v.Name)", tables)
    assert {str(equal) for _, equal, _ in tables.asked} == {"[]"}


def test_hints_are_looked_at_again() -> None:
    assert selected("SELECT VALUE v.VIN FROM V AS v WHERE v.Year = 2020", Tables(V=VEHICLES)) == ["b"]


def test_sources_are_told_apart() -> None:
    tables = Tables()
    selected("SELECT * FROM _ql_committed_V AS v WHERE v.data.VIN = 'a' AND v.metadata.id = 'x'", tables)
    selected("SELECT * FROM history(V, `2024-01-01T00:00:00Z`, ?) AS h WHERE h.metadata.id = 'x'", tables, "2025T")
    selected("SELECT * FROM history(V)", tables)
    selected("SELECT name FROM information_schema.user_tables WHERE status = 'ACTIVE'", tables)
    assert tables.asked == [
        ("CommittedSource V", [(("data", "VIN"), "a"), (("metadata", "id"), "x")], (None, None)),
        ("HistorySource V", [(("metadata", "id"), "x")], ("2024-01-01T00:00:00Z", "2025T")),
        ("HistorySource V", [], (None, None)),
        ("CatalogueSource catalogue", [(("status",), "ACTIVE")], (None, None)),
    ]


def test_by_gives_ids_and_documents_of_a_table_have_no_position() -> None:
    assert selected("SELECT i, v.VIN FROM V AS v AT p BY i WHERE p IS MISSING", Tables(V=VEHICLES[:1])) == [
        {"i": "V0", "VIN": "a"}
    ]
    assert selected("SELECT * FROM P BY i WHERE Id = 1", Tables(P=PERSONS)) == [{"Id": 1, "Name": "Ann", "i": "P0"}]


def test_what_is_equal_to_null_is_not_looked_for_but_the_table_has_to_be_there() -> None:
    tables = Tables(V=VEHICLES)
    assert selected("SELECT * FROM V AS v WHERE v.Year = ?", tables, None) == []
    with pytest.raises(Invalid, match="nothing is called W"):
        partiql.run("SELECT * FROM W AS w WHERE w.Year = NULL", {"V": []})


def test_txid_and_utcnow_come_from_the_context() -> None:
    assert selected("SELECT VALUE [TXID(), UTCNOW()] FROM <<0>>", Tables()) == [["tx1", "2024-05-01T12:00:00.000000Z"]]


def test_microseconds_read_times_as_people_and_ion_write_them() -> None:
    noon = 1_714_564_800_000_000
    assert partiql.microseconds("2024-05-01T12:00:00Z") == noon
    assert partiql.microseconds("2024-05-01T14:00:00+02:00") == noon
    assert partiql.microseconds("2024-05-01T12:00:00.000001Z") == noon + 1
    assert partiql.microseconds("2024T") == partiql.microseconds("2024-01-01") == 1_704_067_200_000_000
    assert partiql.microseconds(noon) == noon
    for wrong in ("", "noon", None, MISSING, True, 1.5, "2024-13-01", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(Invalid, match="a time is written"):
            partiql.microseconds(wrong)


STATEMENTS = [
    ("CREATE TABLE Vehicle", nodes.CreateTable("Vehicle")),
    ('CREATE TABLE "select"', nodes.CreateTable("select")),
    ('CREATE INDEX ON V (Owner."Id"[0])', nodes.CreateIndex("V", ("Owner", "Id", 0))),
    ("DROP INDEX ON V (VIN)", nodes.DropIndex("V", ("VIN",))),
    ("DROP TABLE V", nodes.DropTable("V")),
    ('UNDROP TABLE "0abc"', nodes.UndropTable("0abc")),
]


def test_an_index_is_on_a_path() -> None:
    assert Parser("Owner.\"Last Name\"['x'][2]").whole_path() == ("Owner", "Last Name", "x", 2)
    for wrong in ("", "a.", "a[-1]", "a[1.5]", "a b", "a[", "5"):
        with pytest.raises(QueryError):
            Parser(wrong).whole_path()


@pytest.mark.parametrize(("text", "expected"), STATEMENTS, ids=[text for text, _ in STATEMENTS])
def test_a_definition_is_this_tree(text: str, expected: nodes.Statement) -> None:
    assert partiql.parse(text) == expected
    assert partiql.parse(text + " ;") == expected


# -- writing


def inserted(text: str, *parameters: Any) -> list[Any]:
    return evaluate.inserted(*scope_of(text, Tables(), *parameters))


def test_insert_takes_one_document_or_a_bag_of_them() -> None:
    assert inserted("INSERT INTO V {'a': 1}") == [{"a": 1}]
    assert inserted("INSERT INTO V <<{'a': 1}, {'a': 2}>>") == [{"a": 1}, {"a": 2}]
    assert inserted("INSERT INTO V ?", {"a": 1}) == [{"a": 1}]
    assert inserted("INSERT INTO V ?", [{"a": 1}, {"a": 2}]) == [{"a": 1}, {"a": 2}]
    assert inserted("INSERT INTO V VALUE {'a': ?, 'b': TXID()}", 1) == [{"a": 1, "b": "tx1"}]


def changed(text: str, document: dict[str, Any], *parameters: Any) -> dict[str, Any]:
    return evaluate.changed(
        scope_of(text, Tables(), *parameters)[0], document, "id1", scope_of(text, Tables(), *parameters)[1]
    )


CHANGES = [
    ("UPDATE V AS v SET v.Year = 2012", {"Year": 2012, "o": {"n": 1}, "l": [1, 2]}),
    ("UPDATE V SET Year = Year + 1, new = 'x'", {"Year": 2012, "o": {"n": 1}, "l": [1, 2], "new": "x"}),
    ("UPDATE V AS v SET v.o.m = v.o.n, v.o.n = 5", {"Year": 2011, "o": {"n": 5, "m": 1}, "l": [1, 2]}),
    ("UPDATE V AS v SET v.deep.er = 1", {"Year": 2011, "o": {"n": 1}, "l": [1, 2], "deep": {"er": 1}}),
    ("UPDATE V AS v SET v.l[1] = v.o", {"Year": 2011, "o": {"n": 1}, "l": [1, {"n": 1}]}),
    ("UPDATE V AS v SET v = {'all': 'new'}", {"all": "new"}),
    ("UPDATE V AS v REMOVE v.o, v.gone, v.x.y", {"Year": 2011, "l": [1, 2]}),
    ("UPDATE V AS v REMOVE v.l[0]", {"Year": 2011, "o": {"n": 1}, "l": [2]}),
    ("UPDATE V AS v SET v.Year = 1 REMOVE v.o", {"Year": 1, "l": [1, 2]}),
    ("FROM V AS v BY id WHERE id = 'id1' SET v.id = id", {"Year": 2011, "o": {"n": 1}, "l": [1, 2], "id": "id1"}),
    ("FROM V AS v WHERE TRUE INSERT INTO v.l VALUE 3", {"Year": 2011, "o": {"n": 1}, "l": [1, 2, 3]}),
    ("FROM V AS v INSERT INTO v.l VALUE v.Year AT 0", {"Year": 2011, "o": {"n": 1}, "l": [2011, 1, 2]}),
    ("FROM V AS v WHERE v.Year = 2011 REMOVE v.o.n", {"Year": 2011, "o": {}, "l": [1, 2]}),
    ("UPDATE V AS v SET v['Ye' || 'ar'] = v.l[1 - 1]", {"Year": 1, "o": {"n": 1}, "l": [1, 2]}),
    ("UPDATE V AS v SET v.Year = MISSING", {"o": {"n": 1}, "l": [1, 2]}),
]


@pytest.mark.parametrize(("text", "expected"), CHANGES, ids=[text for text, _ in CHANGES])
def test_a_change_makes_a_new_document_and_leaves_the_old_one(text: str, expected: dict[str, Any]) -> None:
    document = {"Year": 2011, "o": {"n": 1}, "l": [1, 2]}
    before = copy.deepcopy(document)
    new = changed(text, document)
    assert new == expected
    assert document == before
    for name, value in new.items():
        assert value is not document.get(name) or not isinstance(value, list | dict)


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE V AS v SET v.l[5] = 1",
        "UPDATE V AS v SET v.Year.x = 1",
        "UPDATE V AS v SET v.l.x = 1",
        "UPDATE V AS v SET v = 5",
        "UPDATE V AS v REMOVE v",
        "FROM V AS v INSERT INTO v.o VALUE 1",
        "FROM V AS v INSERT INTO v.l VALUE 1 AT 3",
    ],
)
def test_a_path_that_leads_nowhere_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        changed(text, {"Year": 2011, "o": {"n": 1}, "l": [1, 2]})


@pytest.mark.parametrize(
    "verb", ["UPDATE V AS v SET v.x = 1 WHERE {}", "DELETE FROM V AS v WHERE {}", "FROM V AS v WHERE {} DELETE"]
)
def test_matches_are_the_ids_and_documents_that_where_keeps(verb: str) -> None:
    tables = Tables(V=VEHICLES)
    found = list(evaluate.matches(*scope_of(verb.format("v.Year = ?"), tables, 2020)))
    assert found == [("V1", VEHICLES[1])]
    assert tables.asked == [("TableSource V", [(("Year",), 2020)], (None, None))]


def test_update_and_delete_by_id_ask_for_the_id() -> None:
    tables = Tables(V=VEHICLES)
    assert list(evaluate.matches(*scope_of("DELETE FROM V BY i WHERE i = ?", tables, "V2"))) == [("V2", VEHICLES[2])]
    assert tables.asked[0][1] == [(IDENTITY, "V2")]


@pytest.mark.parametrize(
    "text",
    ["FROM V AS v INSERT INTO v.l VALUE v.gone", "UPDATE V AS v SET v.Year = v.gone", 'UPDATE V AS v SET v.Year = "x"'],
)
def test_what_is_missing_does_not_take_a_field_away_unseen(text: str) -> None:
    document = {"Year": 2011, "l": [1, 2]}
    with pytest.raises(Invalid, match="REMOVE takes a field away"):
        changed(text, document)


@pytest.mark.parametrize(
    "text", ['INSERT INTO V VALUE {"VIN": "B"}', "INSERT INTO V VALUE Eve", "INSERT INTO V << {'a': [b]} >>"]
)
def test_an_insert_knows_no_names(text: str) -> None:
    with pytest.raises(QueryError, match="a text is written"):
        partiql.parse(text)


def test_an_insert_names_no_columns() -> None:
    with pytest.raises(QueryError, match="columns are not named"):
        partiql.parse("INSERT INTO V (a, b) VALUES (1, 2)")


@pytest.mark.parametrize("chain", ["x" + ".a" * 2000, "x" + "[0]" * 2000, "1" + "+1" * 2000, "'a'" + "||'a'" * 2000])
def test_chains_without_end_are_refused_wherever_they_stand(chain: str) -> None:
    for text in ("SELECT ? FROM T", "SELECT VALUE ? FROM T", "SELECT * FROM T WHERE ? = 1", "?"):
        with pytest.raises(QueryError, match="take it apart"):
            partiql.parse(text.replace("?", chain))
