"""The front: texts to statements, the cache, parameters, statements of engines, what wrong texts are told."""

import datetime as dt
import decimal
import time

import pytest
from sqlglot import exp
from tpch import QUERIES

from engines.errors import Invalid, QueryError
from engines.sql import front
from engines.sql.dialect import Dialect
from engines.sql.engine import SQL, MemoryCatalog
from engines.sql.logical import Bound, Call, Constant, Limit, Reference, walk
from engines.sql.types import BIGINT, DATE, DOUBLE, INTEGER, VARCHAR, Type
from engines.sql.types import decimal as exact
from tests.sql.catalogs import Catalog, Table
from tests.sql.planrules import check


@pytest.fixture(scope="module")
def catalog():
    return Catalog()


def prepared(text, catalog, *values, **named):
    return list(front.prepare(text, catalog, values=values, named=named))


def query(text, catalog, *values, **named):
    [statement] = prepared(text, catalog, *values, **named)
    return statement.query


@pytest.mark.parametrize("number", QUERIES)
def test_every_query_of_tpch_is_bound(number, catalog):
    check(query(QUERIES[number], catalog))


def test_the_columns_of_a_result_have_the_names_that_were_written(catalog):
    bound = query('select a, A as Total, "B" as "b b", a+1, sum(a) over (), case when ok then 1 end from t', catalog)
    assert [name for name, _, _ in bound.columns] == ["a", "Total", "b b", "?column?", "sum", "case"]


def test_several_statements_are_bound_one_by_one(catalog):
    statements = front.prepare("select a from t; select nothing from t", catalog)
    assert next(statements).query.columns[0][0] == "a"
    with pytest.raises(QueryError, match="nothing"):
        next(statements)


def test_a_later_statement_sees_the_table_that_an_earlier_one_made():
    tables = Catalog({"t": "a integer"})
    statements = front.prepare("select a from t; select z from new", tables)
    next(statements)
    tables.found["new"] = Table("new", "z bigint")
    assert next(statements).query.columns[0][2] == BIGINT


def test_wrong_syntax_anywhere_is_told_before_anything_is_bound(catalog):
    with pytest.raises(QueryError) as caught:
        front.prepare("select a from t; selec", catalog)
    assert caught.value.column == 18


def test_a_statement_knows_its_own_text_and_the_whole(catalog):
    first, second = prepared(" select a from t ;\n select b from t -- last\n", catalog)
    assert (first.text, second.text) == ("select a from t", "select b from t")
    assert first.source == second.source


@pytest.mark.parametrize(("text", "analyze"), [("explain select 1", False), ("EXPLAIN ANALYZE VERBOSE select 1", True)])
def test_explain_holds_the_query_that_it_explains(text, analyze, catalog):
    [statement] = prepared(text, catalog)
    assert (statement.kind, statement.analyze) == ("explain", analyze)
    check(statement.query)


# ---- the cache ---------------------------------------------------------------------------------------------------


def test_the_same_text_is_prepared_once(catalog):
    cache = front.Cache()
    [first] = front.prepare("select a from t", catalog, cache=cache)
    first.kept["plan"] = "lowered"
    assert not first.cached
    [second] = front.prepare("select a from t", catalog, cache=cache)
    assert second.cached
    assert second.kept["plan"] == "lowered"
    assert (cache.hits, cache.misses) == (1, 1)


def test_other_types_of_parameters_are_another_statement(catalog):
    cache = front.Cache()
    for values in ((1,), (2,), ("x",)):
        [statement] = front.prepare("select * from u where x = ?", catalog, values=values, cache=cache)
    assert cache.hits == 1
    assert statement.query is not None


def test_a_table_with_other_columns_makes_the_entry_stale():
    tables = Catalog({"t": "a integer"}, v="select a from t")
    cache = front.Cache()
    assert next(front.prepare("select * from v", tables, cache=cache)).query.columns[0][2] == INTEGER
    tables.found["t"] = Table("t", "a bigint")
    assert next(front.prepare("select * from v", tables, cache=cache)).query.columns[0][2] == BIGINT
    tables.found["v"] = front.View("select 1.5 as z")
    assert next(front.prepare("select * from v", tables, cache=cache)).query.columns[0][0] == "z"
    del tables.found["v"]
    with pytest.raises(QueryError, match="no table 'v'"):
        next(front.prepare("select * from v", tables, cache=cache))


def test_the_cache_forgets_what_was_used_longest_ago():
    cache = front.Cache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    assert len(cache) == 2
    cache.clear()
    assert len(cache) == 0


def test_a_text_that_is_not_all_queries_is_not_kept(catalog):
    cache = front.Cache()
    dialect = Dialect("own", statements={"VACUUM": object()})
    list(front.prepare("vacuum t; select 1", catalog, dialect, cache=cache))
    assert len(cache) == 0


# ---- parameters --------------------------------------------------------------------------------------------------


def constants(plan_expression):
    return [one for one in walk(plan_expression) if isinstance(one, Bound)]


@pytest.mark.parametrize(
    ("value", "type"),
    [
        (1, INTEGER),
        (2**40, BIGINT),
        (1.5, DOUBLE),
        ("x", VARCHAR),
        (dt.date(2020, 1, 1), DATE),
        (decimal.Decimal("1.25"), exact(3, 2)),
    ],
)
def test_a_parameter_has_the_type_of_its_value(value, type, catalog):
    bound = query("select ?", catalog, value)
    assert bound.columns[0][2] == type


def test_parameters_are_numbered_from_one_in_the_order_of_the_text(catalog):
    [statement] = prepared("select ? as x, :name as y, $2 as z, ? as w", catalog, 1, "two", name=3.5)
    assert statement.parameters == {1: INTEGER, 2: VARCHAR, "name": DOUBLE}
    assert [type for _, _, type in statement.query.columns] == [INTEGER, DOUBLE, VARCHAR, VARCHAR]


def test_limit_takes_a_parameter(catalog):
    plan = query("select a from t limit ?", catalog, 5).plan
    assert isinstance(plan, Limit)
    assert plan.limit == Bound(1, type=BIGINT)


@pytest.mark.parametrize(
    ("text", "said"),
    [("select ?", "parameter 1 has no value: 0"), ("select :x", "pass x="), ("select $3", "parameter 3")],
)
def test_a_parameter_without_a_value_is_told_by_name(text, said, catalog):
    with pytest.raises(QueryError, match=said):
        prepared(text, catalog)


# ---- statements of engines ---------------------------------------------------------------------------------------


def test_an_engine_gets_the_statements_that_it_registered(catalog):
    dialect = Dialect("own", statements={"ANALYZE COMPRESSION": 1, "ANALYZE": 2, "VACUUM": 3, exp.Insert: 4})
    text = "analyze compression t; analyze t; vacuum full t; insert into t (a) values (1)"
    statements = list(front.prepare(text, catalog, dialect))
    assert [one.kind for one in statements] == ["ANALYZE COMPRESSION", "ANALYZE", "VACUUM", exp.Insert]
    assert [token.text for token in statements[2].tokens] == ["vacuum", "full", "t"]
    assert isinstance(statements[3].ast, exp.Insert)


def test_what_nobody_registered_is_refused_by_name(catalog):
    for text, name in (
        ("insert into t values (1)", "INSERT INTO"),
        ("vacuum t", "VACUUM T"),
        ("create table x (a int)", "CREATE TABLE"),
    ):
        with pytest.raises(QueryError, match=f"the statement {name} is not supported"):
            prepared(text, catalog)


def test_bind_select_takes_a_tree_or_a_text(catalog):
    bound = front.bind_select("select a, count(*) from t group by a", catalog)
    check(bound)
    assert [type for _, _, type in bound.columns] == [INTEGER, BIGINT]


def test_bind_expression_sees_the_columns_it_is_given():
    columns = {"a": ("a#1", INTEGER), "price": ("price#2", exact(10, 2))}
    bound = front.bind_expression("price * 2 > a", columns)
    assert isinstance(bound, Call)
    assert {one.id for one in walk(bound) if isinstance(one, Reference)} == {"a#1", "price#2"}
    with pytest.raises(QueryError, match="no column 'prise'") as caught:
        front.bind_expression("prise + 1", columns)
    assert caught.value.suggestion == "did you mean 'price'?"


def test_bind_expression_casts_what_assignment_allows():
    assert front.bind_expression("1", {}, wanted=exact(10, 2)) == Constant(100, type=exact(10, 2))
    assert front.bind_expression("'2020-01-02'", {}, wanted=DATE) == Constant(18263, type=DATE)
    assert front.bind_expression("null", {}, wanted=DATE) == Constant(None, type=DATE)
    with pytest.raises(QueryError, match="a column of DATE takes no INTEGER"):
        front.bind_expression("1 + 1", {}, wanted=DATE)


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("int2", Type("smallint")),
        ("int4", INTEGER),
        ("int8", BIGINT),
        ("numeric", exact(18, 0)),
        ("numeric(10, 2)", exact(10, 2)),
        ("decimal(38)", exact(38, 0)),
        ("float4", Type("real")),
        ("real", Type("real")),
        ("float", DOUBLE),
        ("float8", DOUBLE),
        ("float(24)", Type("real")),
        ("double precision", DOUBLE),
        ("bool", Type("boolean")),
        ("char", Type("char", length=1)),
        ("bpchar", Type("char")),
        ("character varying(20)", Type("varchar", length=20)),
        ("nvarchar(max)", Type("varchar", length=65535)),
        ("text", VARCHAR),
        ("varbyte(10)", Type("varbyte", length=10)),
        ("varbinary", Type("varbyte")),
        ("timestamptz", Type("timestamptz")),
        ("timestamp without time zone", Type("timestamp")),
        ("time", Type("time")),
        ("super", VARCHAR),
    ],
)
def test_names_of_types(name, type):
    assert front.bind_type(name) == type


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timetz", "use TIME"),
        ("decimal(39, 2)", "from 1 to 38"),
        ("varchar(0)", "from 1 to"),
        ("geometry", "not supported"),
        ("decimal(5, 6)", "from 0 to 5"),
        ("intger", "'intger' is no type; did you mean 'INTEGER'"),
    ],
)
def test_names_that_are_no_types(name, said):
    with pytest.raises(Invalid, match=said):
        front.bind_type(name)


# ---- what wrong statements are told ------------------------------------------------------------------------------

WRONG = [
    ("select l_ordrkey from lineitem", 8, "no column 'l_ordrkey'", "l_orderkey"),
    ("select * from linitem", 15, "no table 'linitem'", "lineitem"),
    ("select a from t, u", 8, "'a' is ambiguous: write t.a or u.a", ""),
    ("select t.zz from t", 10, "the table t has no column 'zz'", ""),
    ("select tt.a from t", 8, "no table 'tt' is in FROM", ""),
    ("select upperr(s) from t", 8, "no function UPPERR", "upper"),
    ("select a from t where sum(a) > 1", 23, "aggregate SUM is not allowed in WHERE", ""),
    ("select a, sum(b) from t", 8, "'a' must be in GROUP BY", ""),
    ("select a, b from t group by a", 11, "'b' must be in GROUP BY", ""),
    ("select a from t group by a having b > 1", 35, "'b' must be in GROUP BY", ""),
    ("select a from t group by a order by b", 37, "'b' must be in GROUP BY", ""),
    ("select (select max(u.b) from u where u.a = t.b) from t group by a", 46, "'b' must be in GROUP BY", ""),
    ("select upper(s, s) from t", 8, "UPPER takes", ""),
    ("select a + s from t", 8, r"INTEGER \+ VARCHAR\(20\) is not defined", ""),
    ("select a from t where a", 23, "WHERE takes a condition", ""),
    ("select a from t where d = 5", 23, "DATE and INTEGER cannot be compared", ""),
    ("select case when a then 1 end from t", 18, "WHEN takes a condition", ""),
    ("select coalesce(a, d) from t", 8, "no common type: INTEGER and DATE", ""),
    ("select a from t union select a, b from t", 30, "have 1 and 2 columns", ""),
    ("select a from t union select d from t", 30, "INTEGER on the left and DATE on the right", ""),
    ("select a from t order by 3", 26, "positions 1 to 1", ""),
    ("select a from t group by 2", 26, "positions 1 to 1", ""),
    ("select a from t group by sum(a)", 26, "SUM is not allowed in GROUP BY", ""),
    ("select sum(a) as x from t group by x", 36, "cannot make them", ""),
    ("select sum(sum(a)) from t", 12, "SUM is not allowed in the argument", ""),
    ("select row_number() from t", 8, "ROW_NUMBER is a window function", ""),
    ("select a from t where row_number() over () = 1", 23, "not allowed in WHERE", ""),
    ("select a from t limit 'x'", 23, "LIMIT takes a whole number", ""),
    ("select a from t limit -1", 24, "a number from 0 on", ""),
    ("select (select a, b from t) from t", 16, "gives one column, this one 2", ""),
    ("select a from t where a in (select a, b from t)", 23, "a query of 2 columns", ""),
    ("select a from t where (a, b) = (1, 2, 3)", 24, "rows of 2 and of 3", ""),
    ("select a from t left join u", 27, "LEFT JOIN needs a condition", ""),
    ("select * from t join u using (zz)", 31, "'zz' of USING is not on both sides", ""),
    ("select * from t join t on true", 22, "called 't': give one an alias", ""),
    ("select * from t tablesample bernoulli (10)", 15, "TABLESAMPLE is not supported", ""),
    ("select cast(a as foo) from t", 18, "expected TYPE", ""),
    ("select cast(d as int) from t", 13, "DATE cannot be cast to INTEGER", ""),
    ("select a::timetz from t", 8, "TIME WITH TIME ZONE is not supported", ""),
    ("select interval '3 blorps'", 1, "'blorps' is no unit", ""),
    ("select count(*, a) from t", 8, "COUNT.* takes nothing else", ""),
    ("select count() from t", 8, "counts rows", ""),
    ("select distinct a from t order by b", 35, "ORDER BY takes only what is selected", ""),
    ("select percentile_cont(0.5) from t", 8, "WITHIN GROUP", ""),
    ("select sum(a) over w from t", 8, "no window 'w'", ""),
    ("select sum(a) over (rows between current row and 1 preceding) from t", 8, "ends before it begins", ""),
    ("with q as (select 1), q as (select 2) select 1", 23, "defines 'q' twice", ""),
    ("with q as (select zz from t) select 1", 19, "no column 'zz'", ""),
    ("select grouping(b), a from t group by a", 8, "GROUPING takes expressions of GROUP BY", ""),
    ("select *", 8, "needs FROM", ""),
    ("select q.* from t", 8, "no table 'q'", ""),
    ("select avg(s) from t", 8, "AVG takes numbers", ""),
    ("select 123456789012345678901234567890123456789", 8, "at most 38 digits", ""),
    ("select nullif(a) from t", 8, "NULLIF takes 2 arguments, not 1", ""),
    ("select a[1] from t", 8, "takes an element of an ARRAY", ""),
    ("select -s from t", 9, "- takes a number", ""),
    ("select not a from t", 12, "NOT takes a condition", ""),
    ("select ntile() over (order by a) from t", 8, "NTILE takes 1 argument", ""),
    ("select a from t where a in ()", 23, "at least one value", ""),
    ("select a from t for update", 8, "FOR UPDATE is not supported", ""),
    ("select a,, b from t", 10, "missing after the comma", ""),
    ("select a, from t", 11, "missing after the comma", ""),
    ("select a from t where", 22, "something is missing", ""),
    ("select 1 +", 11, r"missing after '\+'", ""),
    ("select a b c from t", 12, "'c' is not expected here", ""),
    ("select * from (select 1", 24, "a \\) is missing", ""),
    ("select 'abc", 8, "does not end", ""),
    ("", 1, "no statement", ""),
    ("explain", 8, "EXPLAIN needs a statement", ""),
    ("explain vacuum", 9, "not supported", ""),
]


@pytest.mark.parametrize(("text", "column", "said", "suggestion"), WRONG, ids=[wrong[0] for wrong in WRONG])
def test_a_wrong_statement_is_told_what_is_wrong_and_where(text, column, said, suggestion, catalog):
    with pytest.raises(QueryError, match=said) as caught:
        prepared(text, catalog)
    assert (caught.value.line, caught.value.column) == (1, column)
    assert suggestion in caught.value.suggestion


def test_the_caret_stands_under_the_spot_of_a_later_line(catalog):
    with pytest.raises(QueryError) as caught:
        prepared("select a,\n       bb\nfrom t", catalog)
    assert (caught.value.line, caught.value.column) == (2, 8)
    assert "         bb\n         ^" in str(caught.value)


def test_an_error_in_a_view_names_the_view():
    with pytest.raises(QueryError, match="in view v: there is no column 'zz'"):
        prepared("select * from v", Catalog(v="select zz from t"))


def test_a_view_that_reads_itself_is_refused():
    with pytest.raises(QueryError, match="the view v reads itself"):
        prepared("select * from v", Catalog(v="select * from v"))


def test_deep_nesting_is_an_error_and_long_chains_are_none(catalog):
    with pytest.raises(QueryError, match="nested too deeply"):
        prepared("select " + "(" * 3000 + "1" + ")" * 3000, catalog)
    many = " or ".join(f"a = {n}" for n in range(300))
    check(query(f"select a from t where {many}", catalog))
    check(query("select " + " + ".join(["a"] * 300) + " from t", catalog))


def test_a_repeated_statement_costs_little(catalog):
    cache = front.Cache()
    list(front.prepare(QUERIES[1], catalog, cache=cache))
    began = time.perf_counter()
    for _ in range(100):
        [statement] = front.prepare(QUERIES[1], catalog, cache=cache)
    assert statement.cached
    assert time.perf_counter() - began < 5  # a parse of each would take longer; no more is claimed here


@pytest.mark.parametrize(
    ("text", "values", "named", "message"),
    [
        ("select a from t where a = ?", (1, 2), {}, "2 values were passed, the text takes 1"),
        ("select a from t", (1,), {}, "1 values were passed, the text has no parameter"),
        ("select '?' from t -- ?", (1,), {}, "the text has no parameter"),
        ("select a from t where a = :x", (), {"x": 1, "y": 2}, "no parameter :y"),
        ("select a from t; select ?", (1, 2), {}, "2 values were passed, the text takes 1"),
    ],
)
def test_values_that_no_parameter_takes_are_refused(text, values, named, message, catalog):
    with pytest.raises(QueryError, match=message):
        prepared(text, catalog, *values, **named)


def test_parameters_of_all_statements_count_together(catalog):
    found = prepared("select $2 + 0; select $1 + 0, :x + 0", catalog, 1, 2, x=3)
    assert [one.parameters.keys() for one in found] == [{2}, {1, "x"}]


def test_a_text_of_a_union_takes_the_type_of_the_other_side(catalog):
    for text in ("select a from t union all select '3'", "select '3' union all select a from t"):
        assert query(text, catalog).columns[0][2] == query("select a from t", catalog).columns[0][2]
    assert (
        query("select a from t union select ?", catalog, "4").columns[0][2]
        == query("select a from t", catalog).columns[0][2]
    )
    with pytest.raises(QueryError, match="'x' is no "):
        SQL(MemoryCatalog({"t": {"a": [1]}})).query("select a from t union select 'x'")
    with pytest.raises(QueryError, match="write a CAST"):
        query("select a from t union select upper('3')", catalog)
