"""Functions and syntax as Redshift's documentation has them, with the values that it gives."""

import datetime as dt
from decimal import Decimal

import pytest

from engines.errors import Invalid, QueryError
from engines.sql.engine import SQL, MemoryCatalog

pa = pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def sql():
    parts = pa.table({
        "k": ["x", "x", "y", "y", None],
        "j": [1, 2, 1, 2, 1],
        "v": pa.array([1, 2, 3, 4, 5], pa.int32()),
        "d": [dt.date(2024, 1, 31)] * 5,
    })  # fmt: skip
    return SQL(MemoryCatalog({"g": parts}))


def rows(sql, text, *values):
    return [tuple(row) for row in sql.query(text, *values)]


def day(year, month, day):
    return dt.datetime(year, month, day, tzinfo=dt.UTC)


VALUES = [
    ("crc32('Amazon Redshift')", "f2726906"),
    ("md5('Amazon Redshift')", "f7415e33f972c03abd4f3fed36748f7a"),
    ("soundex('Amazon')", "A525"),
    ("soundex('Ashcraft'), soundex('Tymczak'), soundex('')", ("A261", "T522", "")),
    ("difference('Amazon', 'Ama')", 2),
    ("octetindex('q', 'résumé q')", 10),
    ("bpcharcmp('a', 'b'), bpcharcmp('a ', 'a'), bttext_pattern_cmp('b', 'a')", (-1, 0, 1)),
    ("split_to_array('1|2', '|'), split_to_array('a,b')", ('["1","2"]', '["a","b"]')),
    ("from_varbyte(to_varbyte('616263', 'hex'), 'utf8')", "abc"),
    ("date_cmp('2008-01-01', '2008-01-02')", -1),
    ("timestamp_cmp_date(timestamp '2008-01-01 10:00', date '2008-01-01')", 1),
    ("date_cmp_timestamp(date '2008-01-01', timestamp '2008-01-01')", 0),
    ("dateadd(mm, 1, '2024-01-31')", day(2024, 2, 29)),
    ("timezone('MST', timestamp '2001-02-16 20:38:40')", dt.datetime(2001, 2, 17, 3, 38, 40, tzinfo=dt.UTC)),
    ("convert_timezone('EST', 'PST', timestamp '2008-03-05 09:00')", dt.datetime(2008, 3, 5, 6, tzinfo=dt.UTC)),
    ("json_parse('{\"a\": [1, 2]}')", '{"a":[1,2]}'),
    ("can_json_parse('[1]'), can_json_parse('[1')", (True, False)),
    ("is_array('[1]'), is_object('[1]'), is_scalar('\"x\"')", (True, False, True)),
    ("get_array_length('[1,2,3]'), get_array_length('{}')", (3, None)),
    ("interval '1 day' * 3, interval '1 day' / 2", (dt.timedelta(days=3), dt.timedelta(hours=12))),
    ("interval '3 days' + interval '2 hours'", dt.timedelta(days=3, hours=2)),
    ("(interval '1-2' year to month)::varchar", "1 year 2 mons"),
    ("interval '3 04:05:06.5' day to second", dt.timedelta(days=3, hours=4, minutes=5, seconds=6.5)),
    ("interval '04:05' minute to second", dt.timedelta(minutes=4, seconds=5)),
    ("- interval '-3 04' day to hour", dt.timedelta(days=3, hours=4)),
    ("timestamp 'epoch' + 86400 * interval '1 second'", day(1970, 1, 2)),
    ("array(1, 2, 3), array('x', null)", ([1, 2, 3], ["x", None])),
    ("array(1, 2)[1], array(1, 2)[2], array(1, 2)[-1]", (2, None, None)),
    ("5 # 3, 5 & 3, 5 | 3, ~ 5, 1 << 3", (6, 1, 7, -6, 8)),
    ("'one ' 'text', e'a\\nb', $$it's$$", ("one text", "a\nb", "it's")),
    ("decode(null, null, 'n', 'x'), nvl2(null, 1, 2)", ("n", 2)),
    ("'a' || null, 'a' || 1, concat('a', null)", (None, "a1", None)),
    ("7 / 2, -7 / 2, 7.0 / 2", (3, -3, Decimal("3.5"))),
]


@pytest.mark.parametrize(("expression", "value"), VALUES, ids=[one[0] for one in VALUES])
def test_an_expression_has_the_value_of_the_manual(expression, value, sql):
    assert rows(sql, f"select {expression}") == [value if isinstance(value, tuple) else (value,)]


def test_an_interval_may_be_made_of_a_column(sql):
    text = "select d + v * interval '1 day', d + v * interval '1 month' from g where v < 3 order by v"
    assert rows(sql, text) == [
        (dt.date(2024, 2, 1), dt.date(2024, 2, 29)),
        (dt.date(2024, 2, 2), dt.date(2024, 3, 31)),
    ]


def test_months_are_no_length_of_time(sql):
    with pytest.raises(Invalid, match="cast it to VARCHAR"):
        rows(sql, "select interval '1 month'")


@pytest.mark.parametrize("text", ["'1 2' year to month", "'1' day to year", "'x' hour to minute"])
def test_an_interval_that_cannot_be_read(text, sql):
    with pytest.raises(QueryError, match="cannot be read"):
        rows(sql, f"select interval {text}")


def test_a_parameter_may_be_cast_where_it_stands(sql):
    assert rows(sql, "select ?::int + ?, ?::varchar", "41", 1, 5) == [(42, "5")]


# ---- PIVOT -------------------------------------------------------------------------------------------------------


def test_pivot_makes_columns_of_values_and_groups_by_the_rest(sql):
    found = sql.query("select * from (select k, j, v from g) pivot (sum(v) for j in (1, 2 as two)) order by k")
    assert list(found.columns) == ["k", "1", "two"]
    assert [tuple(row) for row in found] == [("x", 1, 2), ("y", 3, 4), (None, 5, None)]


def test_pivot_of_several_aggregates_joins_the_names(sql):
    text = "select * from (select j, v from g) pivot (sum(v) as s, count(*) as n for j in (1 as one, 3 as three)) p"
    found = sql.query(text)
    assert list(found.columns) == ["one_s", "one_n", "three_s", "three_n"]
    assert [tuple(row) for row in found] == [(9, 3, None, 0)]


def test_pivot_of_a_common_table_expression_with_an_alias(sql):
    pivoted = "q pivot (max(v) for j in (1 as a)) p"
    text = f"with q as (select k, j, v from g) select p.k from {pivoted} where p.a > 2 order by 1"
    assert rows(sql, text) == [("y",), (None,)]


def test_unpivot_makes_rows_of_columns(sql):
    source = "(select 1 as id, 2 as b, null::int as c)"
    assert rows(sql, f"select * from {source} unpivot (val for name in (b, c as cc))") == [(1, "b", 2)]
    text = f"select * from {source} unpivot include nulls (val for name in (b, c as cc)) u order by u.name"
    assert rows(sql, text) == [(1, "b", 2), (1, "cc", None)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("select * from g pivot (sum(zz) for j in (1, 2))", "no column 'zz'"),
        ("select * from g pivot (sum(v), count(*) for j in (1, 2))", "each has a name"),
        ("select array(1, 'x')", "is no INTEGER"),
        ("select array(1)['a']", "whole number"),
    ],
)
def test_what_is_wrong_is_said(text, said, sql):
    with pytest.raises(QueryError, match=said):
        rows(sql, text)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("SELECT * FROM generate_series(1, 3)", [(1,), (2,), (3,)]),
        ("SELECT g FROM generate_series(10, 1, -4) AS g", [(10,), (6,), (2,)]),
        ("SELECT n FROM generate_series(1, NULL) AS g(n)", []),
        ("SELECT * FROM generate_series(1, 2) a LEFT JOIN generate_series(2, 3) b ON a = b", [(1, None), (2, 2)]),
        ("SELECT g FROM generate_series(9223372036854775806, 9223372036854775807) AS g", [(2**63 - 2,), (2**63 - 1,)]),
        ("SELECT sum(n) FROM generate_series(1, 200000) AS g(n)", [(20_000_100_000,)]),
    ],
)  # fmt: skip
def test_a_series_of_whole_numbers_is_a_table(text, rows, sql):
    assert [tuple(row) for row in sql.query(text).rows()] == rows


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("1, 3, 0", "of a series is not 0"),
        ("1, 1000000000", "at most"),
        ("'a', 2", "whole numbers"),
        ("1", "takes two"),
    ],
)
def test_a_series_that_cannot_be_made(call, said, sql):
    with pytest.raises(QueryError, match=said):
        sql.query(f"SELECT count(*) FROM generate_series({call})")


def test_where_a_statement_runs(sql):
    (row,) = sql.query("SELECT version(), current_database(), current_schema()").rows()
    assert row[0].startswith("redshift of enginehouse ")
    assert tuple(row)[1:] == ("dev", "public")
