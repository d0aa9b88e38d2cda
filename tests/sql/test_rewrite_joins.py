"""Conditions go down, joins are ordered, semi joins sink."""

import itertools
import random

from engines.sql.logical import Filter, Join, Reference, Scan
from engines.sql.rewrite import RULES, Work, estimate
from engines.sql.rewrite.joinorder import MOST_PAIRS, _connected, _Graph
from engines.sql.rewrite.trees import conjuncts
from tests.sql.plans import Bare, Tables, bound, plan, rewritten, steps

TABLES = Tables(
    Bare("big", "k int, p int, q int, d date", rows=1_000_000, distinct={"k": 250_000, "p": 20_000}),
    Bare("mid", "k int, g int, f int", rows=250_000, distinct={"k": 250_000, "g": 10_000, "f": 5}),
    Bare("tiny", "g int, n text", rows=10_000, distinct={"g": 10_000, "n": 5_000}),
    Bare("part", "p int, t text", rows=20_000, distinct={"p": 20_000, "t": 150}),
)


def shape(text, **more):
    return plan(text, TABLES, **more)


def test_a_comma_join_becomes_joins_on_keys_the_small_side_built():
    assert shape("select q from big, mid, tiny where tiny.g = mid.g and mid.k = big.k and n = 'x' and f = 2") == (
        "join inner k=k\n"
        "  scan big k q\n"
        "  join inner g=g\n"
        "    filter (f = 2)\n"
        "      scan mid k g f\n"
        "    filter (n = x)\n"
        "      scan tiny g n"
    )  # fmt: skip


def test_without_the_rule_joins_stay_in_their_order():
    found = shape("select q from big, mid, tiny where tiny.g = mid.g and mid.k = big.k", without={"order_joins"})
    assert found.splitlines()[:2] == ["join inner g=g", "  join inner k=k"]


def test_a_constant_reaches_all_columns_that_are_equal_to_it():
    found = shape("select q from big, mid where big.k = mid.k and mid.k = 7")
    assert found.count("filter (k = 7)") == 2
    assert (
        shape("select q from big, mid where big.k = mid.k and mid.k = 7", without={"derive_equalities"}).count("= 7")
        == 1
    )


def test_two_equal_columns_of_one_table_are_compared_there():
    found = shape("select q from big, mid where big.k = mid.k and big.p = mid.k")
    assert "filter (p = k)" in found
    assert found.splitlines()[0].count("=") == 1


def test_an_or_over_two_tables_says_something_about_each():
    found = shape("select q from big, part where big.p = part.p and ((t = 'a' and q = 1) or (t = 'b' and q = 2))")
    assert "filter q in (1, 2)" in found
    assert "filter t in (a, b)" in found
    assert "if or(" in found or "if ((" in found


def test_outer_joins_let_terms_of_the_kept_side_pass():
    found = shape("select q from big left join mid on big.k = mid.k and mid.f = 1 where q = 3")
    assert "filter (q = 3)\n" in found
    assert "filter (f = 1)\n" in found
    assert "inner" not in found


def test_a_condition_that_no_null_meets_makes_outer_joins_inner():
    assert "join inner" in shape("select q from big left join mid on big.k = mid.k where f > 1")
    assert "join inner" not in shape("select q from big left join mid on big.k = mid.k where f is null")
    assert "join inner" in shape("select q from big full join mid on big.k = mid.k where f > 1 and q > 1")
    assert "full" not in shape("select q from big full join mid on big.k = mid.k where f > 1")


def test_outer_joins_are_built_on_the_small_side():
    assert shape("select big.q from tiny left join big on tiny.g = big.k").startswith("join right k=g\n")


def test_a_semi_join_that_drops_most_rows_goes_below_the_joins():
    text = "select q from big, mid where big.k = mid.k and mid.g in (select g from tiny where n = 'x')"
    assert shape(text) == (
        "join inner k=k\n"
        "  scan big k q\n"
        "  join semi g=g\n"
        "    scan mid k g\n"
        "    filter (n = x)\n"
        "      scan tiny g n"
    )  # fmt: skip
    assert shape(text, without={"sink_semi_joins"}).startswith("join semi g=g\n")


def test_a_semi_join_is_built_on_a_small_left_side():
    found = shape("select n from tiny where exists (select 1 from big where big.k = tiny.g)")
    assert found.splitlines()[0] == "join semi g=k built left"


def test_few_rows_cut_the_groups_they_are_joined_with():
    text = """select sum(q) from big, part
              where big.p = part.p and t = 'x' and q < (select avg(q) from big b where b.p = part.p)"""
    found = shape(text)
    assert "join semi p=key" in found
    assert found.count("with few") == 2
    assert "semi" not in shape(text, without={"reduce_groups"})


def test_predicates_pass_groups_by_key_windows_by_partition_and_unions():
    found = shape("select * from (select k, sum(q) s from big group by k) where k = 3 and s > 2")
    assert found.splitlines()[-2:] == ["    filter (k = 3)", "      scan big k q"]
    found = shape(
        "select * from (select k, row_number() over (partition by k order by q) r from big) where k = 3 and r = 1"
    )
    assert found.splitlines()[-2:] == ["    filter (k = 3)", "      scan big k q"]
    found = shape("select * from (select k from big union all select g from tiny) where k = 3")
    assert found.count("filter") == 2
    found = shape("select * from (select k, q from big order by q limit 3) where k = 3")
    assert found.splitlines()[0] == "filter (k = 3)"


def test_random_values_are_not_moved():
    found = shape("select * from (select k, random() r from big) where r < 0.5 and k = 3")
    assert [line.split()[0] for line in found.splitlines()] == ["filter", "project", "filter", "scan"]
    assert "  filter (k = 3)\n" in found


def chain(n):
    return Tables(*[Bare(f"t{i}", "a int, b int", rows=10 * 3**i) for i in range(n)])


def test_many_tables_are_joined_greedily():
    n = 14
    tables = Tables(*[Bare(f"t{i}", "a int, b int", rows=1000 + i) for i in range(n)])
    text = f"select t0.b from {', '.join(f't{i}' for i in range(n))} where " + " and ".join(
        f"t{i}.a = t0.a" for i in range(1, n)
    )
    found = rewritten(text, tables).plan
    joins = [one for one in steps(found) if isinstance(one, Join)]
    assert len(joins) == n - 1
    assert all(one.kind == "inner" and one.keys for one in joins)


def test_tables_that_nothing_connects_are_multiplied_last():
    found = shape("select q from tiny, big, mid where big.k = mid.k and q = 1")
    assert found.splitlines()[0] == "join cross"


def test_keys_of_two_columns_have_no_more_values_than_their_table_has_rows():
    stock = Bare("stock", "p int, s int", rows=80_000, distinct={"p": 20_000, "s": 1_000})
    sold = Bare("sold", "p int, s int, q int", rows=600_000, distinct={"p": 20_000, "s": 1_000})
    seller = Bare("seller", "s int, n text", rows=1_000, distinct={"s": 1_000})
    tables = Tables(stock, sold, seller)
    pairs = "sold.p = stock.p and sold.s = stock.s"
    both = rewritten(f"select q from sold, stock where {pairs}", tables).plan
    assert estimate(both, tables.source) == 600_000  # and not 600,000 * 80,000 / (20,000 * 1,000) = 2,400
    found = plan(f"select q, n from sold, stock, seller where {pairs} and seller.s = stock.s", tables)
    assert "  scan sold" in found.splitlines()[1]  # the largest table is not built, for the sake of the seller's few


def cost(plan, source):
    """The cost that join ordering is about."""
    if not isinstance(plan, Join):
        return 0.0
    left, right = estimate(plan.left, source), estimate(plan.right, source)
    return (
        cost(plan.left, source)
        + cost(plan.right, source)
        + 2 * min(left, right)
        + max(left, right)
        + estimate(plan, source)
    )


def test_the_order_is_the_cheapest_of_all():
    chance = random.Random(5)
    for _ in range(20):
        n = 4
        tables = Tables(*[Bare(f"t{i}", "a int, b int, c int", rows=chance.randrange(10, 10_000)) for i in range(n)])
        terms = " and ".join(f"t{i}.b = t{chance.randrange(i)}.a" for i in range(1, n))
        found = rewritten(f"select t0.c from {', '.join(tables)} where {terms}", tables).plan
        least = cost(found, tables.source)
        for order in itertools.permutations(tables):
            text = f"select t0.c from {', '.join(order)} where {terms}"
            other = rewritten(text, tables, without={"order_joins"}).plan
            if all(one.keys for one in steps(other) if isinstance(one, Join)):
                assert least <= cost(other, tables.source) * 1.0001


def test_every_condition_is_somewhere():
    text = """select q from big, mid, tiny, part
              where big.k = mid.k and mid.g = tiny.g and big.p = part.p and big.q < mid.f + tiny.g"""
    found = rewritten(text, TABLES).plan
    kept = sum(
        len(one.keys) + (len(conjuncts(one.condition)) if one.condition is not None else 0)
        for one in steps(found)
        if isinstance(one, Join)
    )
    kept += sum(len(conjuncts(one.condition)) for one in steps(found) if isinstance(one, Filter))
    assert kept == 4
    assert sum(isinstance(one, Scan) for one in steps(found)) == 4


def test_the_budget_bounds_the_search():
    tables = Tables(*[Bare(f"t{i}", "a int", rows=100) for i in range(12)])
    text = f"select t0.a from {', '.join(tables)}"
    leaves = [one for one in steps(bound(text, tables).plan) if isinstance(one, Scan)]
    columns = [leaf.columns[0] for leaf in leaves]
    members = [[Reference(one, type=field.type) for one, field in columns]]
    graph = _Graph(leaves, [], members, Work(tables.source, rules=RULES))
    assert _connected((1 << 12) - 1, graph) is None
    small = _Graph(leaves[:6], [], [members[0][:6]], Work(tables.source, rules=RULES))
    assert 0 < len(_connected((1 << 6) - 1, small) or ()) < MOST_PAIRS
