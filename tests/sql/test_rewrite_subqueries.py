"""Subqueries become joins."""

import pytest

from engines.errors import Invalid
from engines.sql.logical import Apply, Subquery, walk
from engines.sql.rewrite.trees import expressions
from tests.sql.plans import Bare, Tables, plan, rewritten, steps

TABLES = Tables(
    Bare("a", "x int, y int, z text", rows=1000),
    Bare("b", "x int, y int, w int not null", rows=100),
    Bare("c", "x int, v int, d date", rows=10),
)


def shape(text):
    return plan(text, TABLES)


def test_exists_is_a_semi_join_with_what_is_no_equality_as_its_condition():
    assert shape("select x from a where exists (select * from b where b.x = a.x and b.y <> a.y)") == (
        "join semi x=x if (y <> y)\n"
        "  scan a x y\n"
        "  scan b x y"
    )  # fmt: skip


def test_not_exists_is_an_anti_join():
    found = shape("select x from a where not exists (select * from b where b.x = a.x and b.w > 3)")
    assert found.splitlines()[0] == "join anti x=x"
    assert "filter (w > 3)" in found


def test_in_is_a_semi_join_and_not_in_asks_for_nulls_where_there_may_be_some():
    assert shape("select x from a where y in (select y from b)").startswith("join semi y=y\n")
    assert shape("select x from a where y not in (select y from b)").startswith("join null-aware anti y=y\n")
    assert shape("select x from a where y not in (select y from b where b.x = a.x)").startswith(
        "join anti x=x if or((y = y), is null(y), is null(y))\n"
    )
    both = Tables(Bare("p", "x int not null"), Bare("q", "x int not null"))
    assert plan("select x from p where x not in (select x from q)", both).startswith("join anti x=x\n")


def test_a_correlated_aggregate_is_a_group_by_of_the_keys():
    assert shape("select sum(y) from a where y < (select avg(y) from b where b.x = a.x)") == (
        "group sum(y)\n"
        "  join inner x=key if (cast(y as DOUBLE PRECISION) < avg)\n"
        "    scan a x y\n"
        "    group x avg(y)\n"
        "      scan b x y"
    )  # fmt: skip


def test_counts_of_nothing_are_zero():
    found = shape("select x, (select count(*) + 1 from b where b.x = a.x) from a")
    assert "case when is null(key) then (0 + 1) else" in found
    assert "join left x=key" in found


def test_having_that_nothing_passes_needs_no_more_than_a_left_join():
    found = shape("select x, (select max(y) from b where b.x = a.x having count(*) > 2) from a")
    assert found.splitlines()[1:3] == ["  join left x=key", "    scan a x"]


def test_having_that_nothing_would_pass_runs_for_each_row():
    assert "apply single x" in shape("select x, (select count(*) from b where b.x = a.x having count(*) < 2) from a")


def test_the_first_row_for_each_outer_row_is_found_by_number():
    found = shape("select x, (select y from b where b.x = a.x order by w limit 1) from a")
    assert "join single x=x" in found
    assert "window row_number" in found
    assert "filter (number <= 1)" in found


def test_exists_of_an_aggregate_without_groups_is_true():
    assert shape("select x from a where exists (select count(*) from b where b.x = a.x)") == "scan a x"


def test_in_under_or_need_not_tell_false_from_null():
    found = shape("select x from a where x in (select x from b) or y = 3")
    assert found.splitlines()[0] == "filter (is not null(met) or (y = 3))"


def test_in_as_a_value_has_three_values():
    assert "case when is not null(met) then True" in shape("select x in (select x from b) from a")


def test_what_is_no_equality_under_an_aggregate_runs_for_each_row():
    found = rewritten("select x, (select sum(y) from b where b.x < a.x) from a", TABLES).plan
    (apply,) = [one for one in steps(found) if isinstance(one, Apply)]
    assert apply.kind == "single"
    assert [one.partition("#")[0] for one in apply.outer] == ["x"]


def test_a_subquery_in_on_goes_to_the_side_that_it_is_about():
    found = shape("select a.x from a left join b on a.x = b.x and b.w in (select v from c)")
    (left,) = [line for line in found.splitlines() if "join right" in line or "join left x=x" in line]
    assert "is not null(met)" in found
    assert left.strip().endswith("x=x")
    with pytest.raises(Invalid, match="mentions both tables"):
        shape("select a.x from a full join b on a.x = b.x and exists (select 1 from c where c.x = a.y and c.v = b.y)")


def test_rows_are_compared_as_wholes():
    assert shape("select x from a where (x, y) in (select x, y from b)").startswith("join semi x=x y=y\n")


NESTED = [
    "select x from a where x > any (select y from b) and y <= all (select x from c)",
    "select x from a where exists (select 1 from b where b.x = a.x and exists (select 1 from c where c.x = a.y))",
    "select (select max(w) from b where b.x = (select min(v) from c where c.x = a.x)) from a",
    "select x from a order by (select max(v) from c where c.x = a.x)",
    "select max((select v from c where c.x = a.x)) from a group by y, (select count(*) from b where b.y = a.y)",
    "select x from a group by x having sum(y) > (select max(w) from b where b.x = a.x)",
    "select case when exists (select 1 from b) then 1 else (select 2) end from a",
    "select x from a where y in (select x from b union select v from c)",
    "select x from a where y in (select x from b where b.y = a.x union all select v from c)",
]


@pytest.mark.parametrize("text", NESTED)
def test_no_subquery_is_left(text):
    for step in steps(rewritten(text, TABLES).plan):
        for held in expressions(step):
            assert not any(isinstance(one, Subquery) for one in walk(held))
