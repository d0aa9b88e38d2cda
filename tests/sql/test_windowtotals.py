"""Aggregates over whole partitions, against DuckDB."""

import random

import pytest

from engines.errors import QueryError
from engines.sql.engine import SQL, MemoryCatalog

duckdb = pytest.importorskip("duckdb")
pa = pytest.importorskip("pyarrow")

CALLS = [
    "median(v) over (partition by k)",
    "median(v) over ()",
    "median(v) filter (where v > 10) over (partition by k)",
    "count(distinct v) over (partition by k)",
    "count(distinct s) over ()",
    "sum(distinct v) over (partition by k)",
    "max_by(s, n) over (partition by k)",
    "bit_or(v) over (partition by k)",
    "median(v) over (partition by k order by n rows between unbounded preceding and unbounded following)",
]


@pytest.fixture(scope="module")
def table():
    random_ = random.Random(5)
    ks = [random_.choice(["x", "y", "z", None]) for _ in range(500)]
    vs = [random_.choice([None, *range(60)]) for _ in range(500)]
    return pa.table({
        "n": pa.array(range(500), pa.int32()),
        "k": ks,
        "v": pa.array(vs, pa.int32()),
        "s": [None if v is None else f"w{v % 7}" for v in vs],
    })  # fmt: skip


def answers(table, text, vector=64):
    return [tuple(row) for row in SQL(MemoryCatalog({"t": table}), vector=vector).query(text)]


@pytest.mark.parametrize("call", CALLS)
def test_every_row_of_a_partition_has_what_group_by_would_say(call, table):
    text = f"select n, {call} from t order by n"
    with duckdb.connect() as peer:
        expected = peer.register("t", table).sql(text).fetchall()
    assert answers(table, text) == expected


def test_words_and_percentiles_have_an_order_of_their_own(table):
    windows = """select distinct k, listagg(s, '-') within group (order by n desc) over (partition by k) as words,
        percentile_disc(0.3) within group (order by v desc) over (partition by k) as high,
        percentile_cont(0.25) within group (order by v) over (partition by k) as low from t order by k"""
    grouped = """select k, listagg(s, '-') within group (order by n desc) as words,
        percentile_disc(0.3) within group (order by v desc) as high,
        percentile_cont(0.25) within group (order by v) as low from t group by k order by k"""
    assert answers(table, windows) == answers(table, grouped)


@pytest.mark.parametrize("call", ["median(v)", "count(distinct v)", "bit_and(v)"])
def test_a_frame_that_slides_is_refused(call, table):
    with pytest.raises(QueryError, match="sees all of the partition") as caught:
        answers(table, f"select {call} over (partition by k order by n) from t")
    assert caught.value.column == 8


def test_bits_of_groups(table):
    found = answers(table, "select k, bit_and(v), bit_or(v) from t where v > 30 or k = 'x' group by k order by k")
    with duckdb.connect() as peer:
        peer.register("t", table)
        text = "select k, bit_and(v), bit_or(v) from t where v > 30 or k = 'x' group by k order by k"
        assert found == peer.sql(text).fetchall()
    assert answers(table, "select bit_and(v) from t where v > 999") == [(None,)]
