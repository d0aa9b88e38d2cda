"""What goes wrong while a query runs is told with its place; views in views; several statements in a text."""

import pytest

from engines.errors import QueryError
from engines.sql.engine import SQL, MemoryCatalog
from engines.sql.front import View


@pytest.fixture
def sql():
    catalog = MemoryCatalog({"t": {"a": [1, 2, None, 40_000], "z": [5, 0, 1, 2], "s": ["1", "x", "3", None]}})
    catalog.attach("low", View("select a, s from t where a < 10"))
    catalog.attach("named", View("select a, s from low", ["number", "word"]))
    catalog.attach("broken", View("select word, nothing from named"))
    return SQL(catalog)


RUNNING = [
    ("select 1, a / z from t", 11, "division by zero"),
    ("select a % z from t", 8, "division by zero"),
    ("select 1 from t where 10 / z > 1", 23, "division by zero"),
    ("select sum(1 / z) from t", 12, "division by zero"),
    ("select a::smallint from t", 8, "out of range"),
    ("select 9223372036854775807 + z from t", 8, "bigint out of range"),
    ("select s::int from t", 8, "'x' is no INTEGER"),
    ("select a from t where s = 1", 23, "'x' is no INTEGER"),
    ("select ln(z) from t", 8, "LN is not defined for 0"),
    ("select (select a from t)", 1, "more than one row"),
    ("select date_trunc('fortnight', date '2024-01-01')", 8, "is no date part"),
    ("select timestamp '9999-12-31 23:59:59.9999999'", 18, "the years are 1 to 9999"),
    ("select '0001-01-01 00:00+05'::timestamptz", 8, "the years are 1 to 9999"),
    ("select '24:00'::time", 8, "a day ends before 24:00:00"),
    ("select 1e39::real", 8, "REAL holds numbers up to 3.4"),
]


@pytest.mark.parametrize(("text", "column", "said"), RUNNING, ids=[one[0] for one in RUNNING])
def test_what_fails_in_a_row_is_told_with_its_place(text, column, said, sql):
    with pytest.raises(QueryError, match=said) as caught:
        sql.query(text)
    assert (caught.value.line, caught.value.column) == (1, column)


def test_the_caret_stands_under_the_operator_of_a_later_line(sql):
    with pytest.raises(QueryError) as caught:
        sql.query("select a,\n       a / z\nfrom t")
    assert caught.value.line == 2
    assert str(caught.value).splitlines()[-1].index("^") == str(caught.value).splitlines()[-2].index("a / z")


def test_what_no_row_reaches_is_no_error(sql):
    assert [tuple(row) for row in sql.query("select case when z <> 0 then 10 / z end from t")] == [
        (2,), (None,), (10,), (5,),
    ]  # fmt: skip
    assert [tuple(row) for row in sql.query("select z from t where z <> 0 and 10 / z > 4")] == [(1,), (2,)]
    assert [tuple(row) for row in sql.query("select try_cast(s as int) from t")] == [(1,), (None,), (3,), (None,)]


def test_a_query_that_failed_works_with_other_values(sql):
    text = "select 10 / ?::int"
    with pytest.raises(QueryError, match="division by zero"):
        sql.query(text, 0)
    assert sql.query(text, 5).rows()[0][0] == 2


def test_views_read_views(sql):
    found = sql.query("select number, word from named order by number desc")
    assert [tuple(row) for row in found] == [(2, "x"), (1, "1")]
    with pytest.raises(QueryError, match="in view broken: there is no column 'nothing'"):
        sql.query("select * from broken")


def test_a_changed_view_is_read_anew(sql):
    assert len(sql.query("select * from named").rows()) == 2
    sql.catalog.attach("low", View("select a, s from t where a is not null"))
    assert len(sql.query("select * from named").rows()) == 3


def test_a_text_of_several_statements_gives_the_rows_of_the_last(sql):
    assert sql.query("select 1; select 2; ; select 3;").rows()[0][0] == 3
    with pytest.raises(QueryError, match="no column 'q'") as caught:
        sql.query("select 1;\nselect q from t")
    assert (caught.value.line, caught.value.column) == (2, 8)


def test_names_are_found_in_the_order_of_sql(sql):
    assert sql.query("with t as (select 7 as a) select a from t").rows()[0][0] == 7
    assert [row[0] for row in sql.query("select -a as a from t where a is not null order by a")] == [-40_000, -2, -1]
    assert [row[0] for row in sql.query("select -a as a from t where a < 3 group by a order by 1")] == [-2, -1]


@pytest.mark.parametrize(
    "text", [" union all ".join(["select 1"] * 900), "select " + " + ".join(["a"] * 400) + " from t"]
)
def test_what_is_nested_too_deeply_for_any_step_says_so(text, sql):
    with pytest.raises(QueryError, match="nested too deeply"):
        sql.query(text)
