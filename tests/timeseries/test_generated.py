"""Random questions to a store of awkward rows (NaN, infinities, what is absent, late rows), against DuckDB."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timeseries.asking import NOW, SECOND, rows_of, store

duckdb = pytest.importorskip("duckdb")
pa = pytest.importorskip("pyarrow")
DOUBLES = [0.0, -0.0, 1.5, -2.25, math.nan, math.inf, -math.inf, 100.0]
START = NOW - 7000


@pytest.fixture(scope="module")
def both():
    random = np.random.default_rng(3)
    db = store()
    table = db.create_table("t", memory="24h", tile="1h")
    rows = []
    for host, region, kind in (("a", "x", "m"), ("b", "x", "m"), ("c", None, "m"), ("d", "y", "n")):
        times = (START + np.sort(random.choice(6900, 1500, replace=False))) * SECOND + random.integers(0, 3)
        doubles = random.choice(DOUBLES, len(times))
        whole = random.integers(-5, 5, len(times))
        words = random.choice(["up", "down", ""], len(times))
        there = random.random((3, len(times))) < 0.8
        there[0] |= ~there.any(axis=0)
        late = random.random(len(times)) < 0.1
        dimensions = {"host": host} | ({"region": region} if region else {})
        for part in (~late, late):
            measures = {"v": np.ma.array(doubles[part], mask=~there[0][part])}
            if kind == "m":
                measures["n"] = np.ma.array(whole[part], mask=~there[1][part])
                measures["w"] = np.ma.array(words[part], mask=~there[2][part])
            else:
                measures["v"] = np.ma.array(doubles[part])
            table.write(times[part], dimensions, measures, measure_name=kind)
        for i, time in enumerate(times.tolist()):
            v = float(doubles[i]) if there[0][i] or kind == "n" else None
            n = int(whole[i]) if there[1][i] and kind == "m" else None
            w = str(words[i]) if there[2][i] and kind == "m" else None
            rows.append((host, region, kind, time, v, n, w))
    names = ["host", "region", "measure_name", "time", "v", "n", "w"]
    frame = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})  # noqa: F841 - found by name
    peer = duckdb.connect()
    peer.execute("CREATE TABLE t AS SELECT * FROM frame")
    return db, peer


def moment(second):
    return str(np.datetime64(second, "s")).replace("T", " ")


seconds = st.integers(START - 100, START + 7100)
hosts = st.sampled_from(["a", "b", "c", "d", "zz"])
bounds = st.sampled_from([-3, 0, 1.5, 2, 99.5])
comparisons = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
pair = st.tuples  # ours, theirs


def alike(text):
    return text, text


conditions = st.one_of(
    st.builds(lambda op, host: alike(f"host {op} '{host}'"), comparisons, hosts),
    st.builds(lambda names: alike(f"host IN ({', '.join(map(repr, names))})"), st.lists(hosts, min_size=1, max_size=3)),
    st.builds(
        lambda op, at, by: (f"time {op} '{moment(at)}.{by:09}'", f"time {op} {at * SECOND + by}"),
        comparisons,
        seconds,
        st.integers(0, 2),
    ),
    st.builds(
        lambda low, high: (
            f"time BETWEEN '{moment(low)}' AND from_unixtime({high})",
            f"time BETWEEN {low * SECOND} AND {high * SECOND}",
        ),
        seconds,
        seconds,
    ),
    st.builds(lambda op, bound: alike(f"v {op} {bound}"), comparisons, bounds),
    st.builds(lambda op, bound: alike(f"n {op} {bound}"), comparisons, bounds),
    st.sampled_from([
        alike(text)
        for text in (
            "region IS NULL", "region = 'x'", "region <> 'x'", "measure_name = 'm'", "measure_name <> 'm'", "v IS NULL",
            "n IS NOT NULL", "w = 'up'", "w LIKE 'd%'", "host LIKE '%b%'", "region IS NOT NULL", "NOT (host = 'a')",
            "host = NULL", "(host = 'a' OR v > 1)", "measure_name IN ('m', 'q')",
        )
    ]),
)  # fmt: skip
keys = st.lists(
    st.sampled_from([
        alike("host"), alike("region"), alike("measure_name"),
        ("bin(time, 10m)", f"time // {600 * SECOND} * {600 * SECOND}"),
        ("date_trunc('hour', time)", f"time // {3600 * SECOND} * {3600 * SECOND}"),
    ]),
    unique=True,
    max_size=3,
)  # fmt: skip
calls = st.lists(
    st.sampled_from([
        "count(*)", "count(v)", "count(n)", "count(w)", "min(v)", "max(v)", "sum(n)", "avg(n)", "min(n)", "max(n)",
        "count(time)", "sum(v)",
    ]),
    unique=True,
    min_size=1,
    max_size=4,
)  # fmt: skip


def same(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert tuple(one) == tuple(
            pytest.approx(value, rel=1e-9, nan_ok=True) if isinstance(value, float) else value for value in other
        )


@given(st.lists(conditions, max_size=3), keys, calls)
@settings(max_examples=100)
def test_groups(both, wheres, by, asked):
    db, peer = both
    texts = []
    for side in (0, 1):
        where = f" WHERE {' AND '.join(one[side] for one in wheres)}" if wheres else ""
        items = [*(one[side] for one in by), *asked]
        numbers = ", ".join(str(i + 1) for i in range(len(by)))
        tail = f" GROUP BY {numbers} ORDER BY {numbers}" if by else ""
        texts.append(f"SELECT {', '.join(items)} FROM t{where}{tail}")
    same(rows_of(db.sql(texts[0])), peer.execute(texts[1]).fetchall())


@given(st.lists(conditions, max_size=3), st.sampled_from(["*", "host, v", "n, w, time", "region, measure_name, v"]))
@settings(max_examples=60)
def test_rows(both, wheres, items):
    db, peer = both
    texts = []
    for side in (0, 1):
        where = f" WHERE {' AND '.join(one[side] for one in wheres)}" if wheres else ""
        texts.append(f"SELECT {items if items != '*' else 'host, region, measure_name, time, v, n, w'} FROM t{where}")
    found = sorted(rows_of(db.sql(texts[0])), key=repr)
    same(found, sorted(peer.execute(texts[1]).fetchall(), key=repr))


@given(st.lists(conditions, max_size=2), st.integers(0, 30), st.integers(0, 5), st.booleans())
@settings(max_examples=50)
def test_ends(both, wheres, limit, offset, descending):
    db, peer = both
    texts = []
    for side in (0, 1):
        where = f" WHERE {' AND '.join(one[side] for one in wheres)}" if wheres else ""
        order = f"time {'DESC' if descending else 'ASC'}, host"
        texts.append(f"SELECT time, host, n FROM t{where} ORDER BY {order} LIMIT {limit} OFFSET {offset}")
    same(rows_of(db.sql(texts[0])), peer.execute(texts[1]).fetchall())


@given(st.lists(conditions, max_size=2), st.sampled_from(["host", "region", ""]), st.booleans())
@settings(max_examples=50)
def test_the_last_of_each(both, wheres, by, latest):
    db, peer = both
    by_, time = ("max_by", "max") if latest else ("min_by", "min")
    texts = []
    for side in (0, 1):
        where = f" WHERE {' AND '.join(one[side] for one in wheres)}" if wheres else ""
        texts.append(where)
    head, tail = (f"{by}, ", f" GROUP BY {by} ORDER BY {by} NULLS LAST") if by else ("", "")
    ours = f"SELECT {head}{time}(time), {by_}(v, time), {by_}(n, time), {by_}(w, time) FROM t{texts[0]}{tail}"
    # a group's newest rows may have one time in several series: the first series is right, so it is named here
    edge = f"row_number() OVER (PARTITION BY {by or '1'} ORDER BY time {'DESC' if latest else ''}, host)"
    inner = f"SELECT {head}time, v, n, w, {edge} AS place FROM t{texts[1]}"
    theirs = f"SELECT {head}time, v, n, w FROM ({inner}) WHERE place = 1{f' ORDER BY {by} NULLS LAST' if by else ''}"
    wanted = peer.execute(theirs).fetchall() or ([] if by else [(None,) * 4])
    same(rows_of(db.sql(ours)), wanted)
