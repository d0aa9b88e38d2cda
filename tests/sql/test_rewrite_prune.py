"""Columns, projections, limits, WITH queries, and what sources are asked."""

from engines.sql.logical import Scan, Shared
from engines.sql.rewrite import estimate
from engines.sql.source import Support
from tests.sql.plans import Bare, Tables, plan, rewritten, steps

TABLES = Tables(
    Bare("a", "x int, y int, z text, d date", rows=1000, bounds={"x": (0, 99)}, distinct={"x": 100}),
    Bare("b", "x int, y int, w int not null", rows=100),
    Bare(
        "s", "k int, z text, m dec", rows=500,
        answers=dict.fromkeys(("=", "in", "is null"), Support.EXACT)
        | dict.fromkeys(("<", ">=", "prefix"), Support.PRUNE),
    ),
)  # fmt: skip


def shape(text, **more):
    return plan(text, TABLES, **more)


def test_only_columns_that_are_used_are_read():
    assert shape("select x from (select x, y + 1 as z, upper(z) from a) where x > 3").splitlines()[-1] == "  scan a x"
    assert shape("select count(*) from a") == "group count()\n  scan a x"


def test_aggregates_and_windows_that_nobody_uses_are_not_computed():
    text = "select x from (select x, sum(y) as s, row_number() over (order by x) as r from a group by x)"
    assert shape(text) == "group x\n  scan a x"
    assert shape("select 1 from (select max(x) m from a)").splitlines()[-1].strip() == "values 1"


def test_sorting_that_nobody_sees_is_dropped():
    assert "sort" not in shape("select count(*) from (select x from a order by y)")
    assert "sort" in shape("select x from (select x, y from a order by y)")


def test_projections_are_merged_unless_that_computes_twice():
    assert shape("select v + 1 from (select x * 2 as v from a)").splitlines()[0] == "project ?column?: ((x * 2) + 1)"
    assert shape("select v + v from (select x * 2 as v from a)").count("project") == 2


def test_order_by_with_limit_is_a_top_n_below_the_projection():
    assert shape("select upper(z) from a order by y desc limit 3").splitlines()[:2] == [
        "project upper: upper(z)",
        "  topn y",
    ]
    assert shape("select upper(z) from a limit 3").splitlines()[:2] == ["project upper: upper(z)", "  limit 3"]


def test_distinct_over_its_own_groups_is_dropped():
    assert shape("select distinct x, s from (select x, sum(y) s from a group by x)").count("group") == 1
    assert shape("select distinct s from (select x, sum(y) s from a group by x)").count("group") == 2


def test_empty_inputs_are_not_run():
    assert shape("select a.x from a join b on a.x = b.x where 1 = 0") == "values 0"
    assert shape("select x from a union all select y from b where 1 = 0").splitlines()[-1].strip() == "scan a x"
    assert "scan" in shape("select count(*) from a where x = 1")
    assert shape("select count(*) from a where 1 = 0").splitlines()[0] == "group count()"
    assert shape("select x from a limit 0") == "values 0"


def test_a_with_query_used_once_is_inlined_and_used_twice_runs_once():
    once = "with w as (select x, sum(y) s from a group by x) select s from w where x = 1"
    assert "with" not in shape(once)
    assert "filter (x = 1)" in shape(once)
    twice = """with w as (select x, sum(y) s, min(d) from a group by x)
               select * from (select s from w) p, (select s from w) q"""
    found = rewritten(twice, TABLES).plan
    uses = [one for one in steps(found) if isinstance(one, Shared)]
    assert len(uses) == 2
    assert uses[0].plan is uses[1].plan
    assert [len(one.columns) for one in uses] == [1, 1]
    scan = next(one for one in steps(found) if isinstance(one, Scan))
    assert [field.name for _, field in scan.columns] == ["x", "y"]


def test_a_cheap_with_query_is_copied_with_ids_of_its_own():
    found = rewritten("with w as (select x from a where y = 1) select p.x from w p join w q on p.x = q.x", TABLES).plan
    scans = [one for one in steps(found) if isinstance(one, Scan)]
    assert len(scans) == 2
    ids = [one for scan in scans for one, _ in scan.columns]
    assert len(ids) == len(set(ids))


def test_what_a_source_answers_exactly_leaves_the_filter():
    assert shape("select m from s where k = 3 and z is null") == "scan s m [k = 3] [z is null None]"


def test_what_a_source_prunes_by_stays_in_the_filter():
    found = shape("select k from s where k < 3")
    assert found.splitlines() == ["filter (k < 3)", "  scan s k [k < 3]"]


def test_lists_prefixes_and_turned_comparisons_are_asked():
    assert "[k in (1, 2)]" in shape("select k from s where k = 1 or k = 2")
    assert "[z prefix b'abc']" in shape("select k from s where z like 'abc%x'")
    assert "like" in shape("select k from s where z like 'abc%x'")
    assert "prefix" not in shape("select k from s where z like '%abc'")
    assert "[k = 4]" in shape("select z from s where 4 = k")
    assert "[m >= 150]" in shape("select z from s where m >= 1.5")
    assert "[" not in shape("select z from s where k > 4")


def test_estimates_come_from_statistics():
    def rows(text):
        return estimate(rewritten(text, TABLES).plan, TABLES.source)

    assert rows("select x from a") == 1000
    assert rows("select x from a where x = 3") == 10
    assert 200 < rows("select x from a where x < 25") < 300
    assert 80 < rows("select x from a where x >= 10 and x < 20") < 120
    assert rows("select x, count(*) from a group by x") == 100
    assert rows("select count(*) from a") == 1
    assert rows("select x from a limit 5") == 5
