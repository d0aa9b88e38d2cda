import datetime as dt
import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from sql.mixed import batches, engine_values, key, rows_of, run

from engines.errors import QueryError
from engines.sql import types
from engines.sql.context import Context
from engines.sql.frames import months_away
from engines.sql.logical import Bound, Constant, Frame, Reference, WindowCall
from engines.sql.types import DAY
from engines.sql.window import Window
from engines.sql.windowfunctions import FUNCTIONS

TYPES = {
    "part": types.VARCHAR,
    "n": types.INTEGER,
    "day": types.DATE,
    "x": types.DOUBLE,
    "amount": types.decimal(12, 2),
    "text": types.VARCHAR,
    "yes": types.BOOLEAN,
    "place": types.INTEGER,
}


def reference(name):
    return Reference(id=name, type=TYPES[name])


def constant(value, kind=types.BIGINT):
    return Constant(type=kind, value=value)


def made(rows, seed, nulls=0.2):
    """Rows of engine values with many ties, NULLs and small partitions."""
    rng = random.Random(seed)

    def some(value):
        return None if rng.random() < nulls else value

    return [
        (
            some(rng.choice([b"", b"a", b"bb", b"ccc"])),
            some(rng.randrange(-4, 9)),
            some(rng.randrange(18_000, 18_200)),
            some(rng.choice([0.0, -0.0, 1.5, -2.25, 100.0, 0.125])),
            some(rng.randrange(-500, 500)),
            some(rng.choice([b"pear", b"apple", b"a longer word than others", b""])),
            some(rng.randrange(2)),
            place,
        )
        for place in range(rows)
    ]


def answers(call, rows, *, vector=65_536, seed=0, context=None):
    """The values of one call, in the order of the input."""
    window = Window([("answer", call)], ["place"])
    found = run(window, [batches(rows, TYPES, vector=vector, seed=seed)], context or Context(vector=vector))
    assert [row[0] for row in rows_of(found, ["place"])] == [row[-1] for row in rows]
    return [value for batch in found for value in engine_values(batch.column("answer"), batch.rows)]


def call(function, *arguments, returns, partition=("part",), order=(), frame=None, **more):
    return WindowCall(
        function,
        tuple(reference(one) if isinstance(one, str) else one for one in arguments),
        returns,
        tuple(reference(one) for one in partition),
        tuple(order),
        frame,
        **more,
    )


# ---- against DuckDB ----------------------------------------------------------------------------------------------

RESULTS = {
    "row_number()": types.BIGINT,
    "rank()": types.BIGINT,
    "dense_rank()": types.BIGINT,
    "percent_rank()": types.DOUBLE,
    "cume_dist()": types.DOUBLE,
    "ntile(3)": types.BIGINT,
    "lag(text)": types.VARCHAR,
    "lag(n, 2, place)": types.INTEGER,
    "lead(x, 3)": types.DOUBLE,
    "lag(amount, 2 ignore nulls)": types.decimal(12, 2),
    "lead(text ignore nulls)": types.VARCHAR,
    "lead(text, 1, part)": types.VARCHAR,
    "first_value(text)": types.VARCHAR,
    "last_value(n)": types.INTEGER,
    "nth_value(x, 2)": types.DOUBLE,
    "first_value(day ignore nulls)": types.DATE,
    "last_value(text ignore nulls)": types.VARCHAR,
    "nth_value(n, 2 ignore nulls)": types.INTEGER,
    "count()": types.BIGINT,
    "count(text)": types.BIGINT,
    "count(n) filter (where yes)": types.BIGINT,
    "sum(n)": types.BIGINT,
    "sum(amount)": types.decimal(38, 2),
    "sum(x)": types.DOUBLE,
    "sum(amount) filter (where yes)": types.decimal(38, 2),
    "avg(n)": types.DOUBLE,
    "avg(x)": types.DOUBLE,
    "min(text)": types.VARCHAR,
    "max(text)": types.VARCHAR,
    "min(x)": types.DOUBLE,
    "max(day)": types.DATE,
    "bool_and(yes)": types.BOOLEAN,
    "bool_or(yes)": types.BOOLEAN,
    "stddev_samp(x)": types.DOUBLE,
    "stddev_pop(n)": types.DOUBLE,
    "var_samp(amount)": types.DOUBLE,
    "var_pop(x)": types.DOUBLE,
}
FRAMELESS = ("row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead")
ENDS = ["unbounded preceding", "preceding", "current row", "following", "unbounded following"]
DISTANCES = {"rows": (0, 1, 3), "groups": (0, 1, 2), "range": (0, 1, 4)}


def read(text):
    """The call that a text of RESULTS means."""
    head, _, where = text.partition(" filter (where ")
    function, _, inner = head.partition("(")
    inner = inner.rstrip(")")
    ignore = inner.endswith(" ignore nulls")
    words = [word.strip() for word in inner.removesuffix(" ignore nulls").split(",") if word.strip()]
    arguments = [constant(int(word)) if word.isdigit() else reference(word) for word in words]
    more = {"where": reference(where.rstrip(")"))} if where else {}
    return function, arguments, more | ({"ignore_nulls": True} if ignore else {})


def windows_of(rng, text):
    """A random window, as the plan has it and as text."""
    partition = rng.choice([(), ("part",), ("part", "yes")])
    names = rng.choice([("n",), ("n", "place"), ("day",), ("x",), ("text", "n"), ()])
    keys = [(name, rng.random() < 0.5, rng.random() < 0.5) for name in names]
    if text.startswith(FRAMELESS) or not keys or keys[-1][0] != "place":
        # equal rows: DuckDB may take them in any order, so what depends on it gets an order that is total
        peers_only = not text.startswith(("row_number", "ntile", "lag", "lead", "first", "last", "nth"))
        if not peers_only:
            keys = [key for key in keys if key[0] != "place"] + [("place", False, False)]
    unit = rng.choice(["rows", "range", "groups"])
    if unit == "rows" and (not keys or keys[-1][0] != "place"):
        keys.append(("place", False, False))
    if unit == "groups" and not keys:
        keys = [("n", False, False)]
    frame, said = None, ""
    if not text.startswith(FRAMELESS) and rng.random() < 0.8:
        while True:
            start, end = rng.choice(ENDS[:-1]), rng.choice(ENDS[1:])
            if ENDS.index(start) <= ENDS.index(end):
                break
        distances = [rng.choice(DISTANCES[unit]) for _ in range(2)]
        needs = [one in {"preceding", "following"} for one in (start, end)]
        if unit == "range" and any(needs) and (len(keys) != 1 or keys[0][0] not in {"n", "x", "place"}):
            keys = [("n", rng.random() < 0.5, rng.random() < 0.5)]
            if text.startswith(("first", "last", "nth")):
                keys = [("place", rng.random() < 0.5, False)]
        bounds = [
            (one, distance if need else None)
            for one, distance, need in zip((start, end), distances, needs, strict=True)
        ]
        frame = Frame(unit, *bounds)
        parts = [f"{distance} {one}" if distance is not None else one for one, distance in bounds]
        said = f" {unit} between {parts[0]} and {parts[1]}"
    ordered = [key(name, TYPES[name], descending=down, nulls_first=first) for name, down, first in keys]
    said_keys = ", ".join(
        f"{name} {'desc' if down else 'asc'} nulls {'first' if first else 'last'}" for name, down, first in keys
    )
    over = (f"partition by {', '.join(partition)} " if partition else "") + (f"order by {said_keys}" if keys else "")
    return partition, ordered, frame, over + said


def duckdb_table(rows):
    pa = pytest.importorskip("pyarrow")
    columns = dict(zip(TYPES, zip(*rows, strict=True), strict=True))
    as_text = lambda values: [None if value is None else value.decode() for value in values]  # noqa: E731 - used twice
    return pa.table(
        {
            "part": pa.array(as_text(columns["part"]), pa.string()),
            "n": pa.array(columns["n"], pa.int32()),
            "day": pa.array(columns["day"], pa.int32()).cast(pa.date32()),
            "x": pa.array(columns["x"], pa.float64()),
            "amount": pa.array([None if a is None else round(a / 100, 2) for a in columns["amount"]], pa.float64()),
            "text": pa.array(as_text(columns["text"]), pa.string()),
            "yes": pa.array([None if y is None else bool(y) for y in columns["yes"]], pa.bool_()),
            "place": pa.array(columns["place"], pa.int32()),
        }
    )


def engine(value, kind):
    if value is None:
        return None
    if kind.text:
        return value.encode()
    if kind.decimal:
        return int(value.scaleb(kind.scale))
    if kind.kind == "date":
        return (value - dt.date(1970, 1, 1)).days
    return value


def close(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12) or (math.isnan(a) and math.isnan(b))
    return a == b


@pytest.mark.parametrize("text", list(RESULTS))
def test_answers_as_duckdb_does(text):
    duckdb = pytest.importorskip("duckdb")
    rng = random.Random(text)
    connection = duckdb.connect()
    for attempt in range(12):
        rows = made(rng.choice([1, 5, 40, 90]), seed=attempt, nulls=rng.choice([0, 0.2, 0.6]))
        connection.register("arrow", duckdb_table(rows))
        connection.execute(
            "create or replace table data as select * replace (amount::decimal(12,2) as amount) from arrow"
        )
        partition, ordered, frame, over = windows_of(rng, text)
        function, arguments, more = read(text)
        one = call(function, *arguments, returns=RESULTS[text], partition=partition, order=ordered, frame=frame, **more)
        head, _, where = text.partition(" filter ")
        question = f"select {head}{' filter ' + where if where else ''} over ({over}) from data order by place"
        expected = [engine(row[0], RESULTS[text]) for row in connection.execute(question).fetchall()]
        found = answers(one, rows, vector=rng.choice([7, 65_536]), seed=attempt)
        wrong = [(row, a, b) for row, a, b in zip(rows, found, expected, strict=True) if not close(a, b)]
        assert not wrong, (question, wrong[:3])


# ---- against Python ----------------------------------------------------------------------------------------------


def test_an_average_of_decimals_is_exact_and_rounded_half_away_from_zero():
    rows = made(200, seed=1)
    found = answers(call("avg", "amount", returns=types.decimal(38, 6)), rows, vector=7)
    for row, value in zip(rows, found, strict=True):
        amounts = [other[4] for other in rows if other[0] == row[0] and other[4] is not None]
        exact = Fraction(sum(amounts) * 10**4, len(amounts))
        assert value == math.floor(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)


def test_an_average_whose_type_is_whole_is_cut_towards_zero():
    rows = made(60, seed=2)
    found = answers(call("avg", "n", returns=types.BIGINT), rows)
    for row, value in zip(rows, found, strict=True):
        numbers = [other[1] for other in rows if other[0] == row[0] and other[1] is not None]
        assert value == math.trunc(Fraction(sum(numbers), len(numbers)))


def test_sums_beyond_64_bits_are_exact():
    rows = [(b"a", 1, 1, 1.0, 2**62, b"", 1, place) for place in range(50)]
    running = call("sum", "amount", returns=types.decimal(38, 2), order=[key("place", types.INTEGER)])
    assert answers(running, rows, vector=7) == [2**62 * (place + 1) for place in range(50)]
    with pytest.raises(QueryError, match="SUM OVER gives a number out of the range of BIGINT"):
        answers(call("sum", "amount", returns=types.BIGINT), rows)


def test_a_sliding_sum_of_doubles_forgets_what_has_left_the_frame():
    values = [1e300, 1.0, 1e17, 3.0, -1e17, 0.1, 0.2, 0.3] * 40
    rows = [(b"a", 1, 1, value, 0, b"", 1, place) for place, value in enumerate(values)]
    frame = Frame("rows", ("preceding", 2), ("current row", None))
    sums = answers(call("sum", "x", returns=types.DOUBLE, order=[key("place", types.INTEGER)], frame=frame), rows)
    for place, value in enumerate(sums):
        assert value == math.fsum(values[max(place - 2, 0) : place + 1])
    variances = answers(
        call("var_pop", "x", returns=types.DOUBLE, order=[key("place", types.INTEGER)], frame=frame), rows[5:8]
    )
    assert math.isclose(variances[2], np.var([0.1, 0.2, 0.3]), rel_tol=1e-12)


def test_a_running_sum_of_doubles_does_not_lose_small_values():
    values = [1e16, *[1.0] * 2000, -1e16]
    rows = [(b"a", 1, 1, value, 0, b"", 1, place) for place, value in enumerate(values)]
    sums = answers(call("sum", "x", returns=types.DOUBLE, order=[key("place", types.INTEGER)]), rows)
    assert sums[-1] == 2000.0
    assert answers(call("sum", "x", returns=types.DOUBLE), rows) == [2000.0] * len(rows)


def test_infinity_and_nan_in_sums():
    values = [1.0, math.inf, 2.0, 3.0, 4.0, math.nan, 5.0, 6.0, 7.0]
    rows = [(b"a", 1, 1, value, 0, b"", 1, place) for place, value in enumerate(values)]
    frame = Frame("rows", ("preceding", 1), ("current row", None))
    one = call("sum", "x", returns=types.DOUBLE, order=[key("place", types.INTEGER)], frame=frame)
    found = answers(one, rows)
    assert found[1:5] == [math.inf, math.inf, 5.0, 7.0]
    assert math.isnan(found[5])
    assert math.isnan(found[6])
    assert found[7:] == [11.0, 13.0]


@pytest.mark.parametrize("descending", [False, True])
def test_a_range_of_an_interval_compares_dates(descending):
    rows = made(80, seed=5)
    for distance in ((0, 10 * DAY), (2, 0), (1, 3 * DAY)):
        frame = Frame("range", ("preceding", distance), ("current row", None))
        order = [key("day", types.DATE, descending=descending)]
        found = answers(call("count", returns=types.BIGINT, partition=(), order=order, frame=frame), rows)
        months, days = distance[0], distance[1] // DAY
        sign = 1 if descending else -1
        for row, value in zip(rows, found, strict=True):
            if row[2] is None:
                assert value == sum(other[2] is None for other in rows)
                continue
            edge = int(months_away(np.array([row[2]]), "date", "us", sign * months)[0]) + sign * days
            low, high = sorted((edge, row[2]))
            assert value == sum(other[2] is not None and low <= other[2] <= high for other in rows)


def test_months_are_counted_on_the_calendar():
    days = np.array(
        [(dt.date(2024, 1, 31) - dt.date(1970, 1, 1)).days, (dt.date(1969, 12, 31) - dt.date(1970, 1, 1)).days]
    )
    moved = [dt.date(1970, 1, 1) + dt.timedelta(days=int(day)) for day in months_away(days, "date", "us", 2)]
    assert moved == [dt.date(2024, 3, 31), dt.date(1970, 2, 28)]
    noon = np.array([days[0] * DAY + DAY // 2])
    assert months_away(noon, "timestamp", "us", 1)[0] == (days[0] + 29) * DAY + DAY // 2


def test_a_range_at_the_end_of_64_bits_does_not_wrap():
    edges = [-(2**63), -(2**63) + 1, 0, 2**63 - 2, 2**63 - 1]
    kinds = {**TYPES, "n": types.BIGINT}
    rows = [(b"a", edge, 1, 1.0, 0, b"", 1, place) for place, edge in enumerate(edges)]
    for descending, (start, end) in itertools.product((False, True), ((5, 5), (2**63 - 1, 1))):
        frame = Frame("range", ("preceding", start), ("following", end))
        order = (key("n", types.BIGINT, descending=descending),)
        one = WindowCall("count", (), types.BIGINT, (), order, frame)
        found = rows_of(run(Window([("c", one)], ["place"]), [batches(rows, kinds)]), ["c"])
        before, after = (end, start) if descending else (start, end)
        assert [row[0] for row in found] == [sum(e - before <= other <= e + after for other in edges) for e in edges]


def test_the_share_of_a_partition():
    rows = made(60, seed=9)
    found = answers(call("ratio_to_report", "amount", returns=types.DOUBLE), rows)
    for row, value in zip(rows, found, strict=True):
        whole = sum(other[4] or 0 for other in rows if other[0] == row[0])
        assert value is None if row[4] is None or whole == 0 else math.isclose(value, row[4] / whole, rel_tol=1e-12)


def test_several_windows_at_once_leave_the_input_as_it_was():
    rows = made(100, seed=4)
    calls = [
        ("a", call("row_number", returns=types.BIGINT, order=[key("place", types.INTEGER)])),
        ("b", call("row_number", returns=types.BIGINT, order=[key("place", types.INTEGER, descending=True)])),
        ("c", call("count", returns=types.BIGINT)),
    ]
    found = rows_of(run(Window(calls, list(TYPES)), [batches(rows, TYPES, vector=9)]), [*TYPES, "a", "b", "c"])
    assert [row[:-3] for row in found] == rows
    assert all(a + b == c + 1 for *_, a, b, c in found)


def test_slices_count_as_one_input():
    rows = made(90, seed=6)
    one = call("row_number", returns=types.BIGINT, order=[key("n", types.INTEGER)])
    window = Window([("answer", one)], ["place"])
    streams = [list(batches(rows[start : start + 30], TYPES, vector=7)) for start in (0, 30, 60)]
    assert [row[0] for row in rows_of(run(window, streams), ["answer"])] == answers(one, rows)


def test_a_distance_may_be_a_parameter():
    rows = made(30, seed=8)
    order = [key("place", types.INTEGER)]
    given = Bound(type=types.BIGINT, name="k")
    by_name = call(
        "count", returns=types.BIGINT, order=order, frame=Frame("rows", ("preceding", given), ("current row", None))
    )
    by_value = call(
        "count", returns=types.BIGINT, order=order, frame=Frame("rows", ("preceding", 3), ("current row", None))
    )
    assert answers(by_name, rows, context=Context(values={"k": 3})) == answers(by_value, rows)


def test_what_is_not_supported_is_refused_by_name():
    with pytest.raises(QueryError, match="ARRAY_AGG OVER is not supported"):
        Window([("a", call("array_agg", "n", returns=types.BIGINT))], [])
    with pytest.raises(QueryError, match="IGNORE NULLS means nothing for RANK"):
        Window([("a", call("rank", returns=types.BIGINT, ignore_nulls=True))], [])


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (call("ntile", constant(0), returns=types.BIGINT), "NTILE needs a number of buckets from 1 on, got 0"),
        (call("nth_value", "n", constant(0), returns=types.INTEGER), "NTH_VALUE counts rows from 1 on, got 0"),
        (
            call("count", returns=types.BIGINT, frame=Frame("rows", ("preceding", -1), ("current row", None))),
            "counts rows from 0 on, got -1",
        ),
        (
            call("count", returns=types.BIGINT, frame=Frame("range", ("preceding", 1), ("current row", None))),
            "RANGE with a distance needs ORDER BY one key, this window has 0",
        ),
        (
            call(
                "count",
                returns=types.BIGINT,
                order=[key("text", types.VARCHAR)],
                frame=Frame("range", ("preceding", 1), ("current row", None)),
            ),
            "needs a key that is a number or a time, not VARCHAR",
        ),
        (
            call(
                "count",
                returns=types.BIGINT,
                order=[key("n", types.INTEGER)],
                frame=Frame("range", ("preceding", -1), ("current row", None)),
            ),
            "must not be negative or NULL",
        ),
    ],
)
def test_wrong_numbers_are_refused(one, message):
    with pytest.raises(QueryError, match=message):
        answers(one, made(10, seed=1))


def test_no_rows_give_no_batches():
    for function in FUNCTIONS:
        assert run(Window([("a", call(function, "n", returns=types.BIGINT))], ["place"]), [[], []]) == []
