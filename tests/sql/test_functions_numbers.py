"""Functions of numbers, against Python's Decimal and math, and DuckDB."""

import decimal
import math
import random
from decimal import Decimal

import numpy as np
import pytest
from sql.calling import FUNCTIONS, call, make, one

from engines.errors import QueryError
from engines.sql import types
from engines.sql.column import Column
from engines.sql.context import Context
from engines.sql.engine import SQL, MemoryCatalog

chance = random.Random(3)
DECIMALS = [Decimal(chance.randint(-(10**9), 10**9)).scaleb(-4) for _ in range(300)] + [
    Decimal(text) for text in ("0.0000", "0.5000", "-0.5000", "2.5000", "-2.5000", "0.0050", "1.0050", "-1.0050")
]
WIDE = [Decimal(chance.randint(-(10**30), 10**30)).scaleb(-4) for _ in range(30)]
FLOATS = [chance.uniform(-1000, 1000) for _ in range(200)] + [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e300, -1e300]


def quantized(values, places, rounding):
    with decimal.localcontext(decimal.Context(prec=60)):
        return [value.quantize(Decimal(1).scaleb(-places), rounding) for value in values]


@pytest.mark.parametrize("values", [DECIMALS, WIDE], ids=["64 bits", "wide"])
@pytest.mark.parametrize("places", [0, 1, 2, 3, 4, 6, -2])
def test_decimals_are_rounded_exactly(values, places):
    shown = min(places, 4)
    assert call("round", values, places) == quantized(values, shown, decimal.ROUND_HALF_UP)
    assert call("trunc", values, places) == quantized(values, shown, decimal.ROUND_DOWN)


@pytest.mark.parametrize("values", [DECIMALS, WIDE], ids=["64 bits", "wide"])
def test_decimals_go_to_whole_numbers(values):
    assert call("round", values) == quantized(values, 0, decimal.ROUND_HALF_UP)
    assert call("ceil", values) == quantized(values, 0, decimal.ROUND_CEILING)
    assert call("floor", values) == quantized(values, 0, decimal.ROUND_FLOOR)
    assert call("abs", values) == [abs(value) for value in values]
    assert call("sign", values) == [(value > 0) - (value < 0) for value in values]


def test_digits_may_differ_from_row_to_row():
    assert call("round", [Decimal("12.3456")] * 4, [0, 1, 3, -1]) == [
        Decimal(t) for t in ("12", "12.3", "12.346", "10")
    ]
    assert call("round", [1234, 1250, -1250], -2) == [1200, 1300, -1300]


def test_rounding_may_need_a_digit_more():
    assert one("round", Decimal("9.99"), 1) == Decimal("10.00")
    assert FUNCTIONS.find("round").resolve([types.decimal(3, 2)])[1] == types.decimal(4, 2)
    with pytest.raises(QueryError, match="out of range"):
        call("round", Column(types.SMALLINT, np.array([32767])), -1, rows=1)
    assert one("round", 2**63 - 1, -20) == 0
    assert one("trunc", -(2**63), -2) == -(2**63) + 8


def test_narrow_columns_with_a_base():
    column = Column(types.decimal(8, 2), np.array([0, 5, 250], np.uint16), base=-100)
    assert call("abs", column, rows=3) == [Decimal("1.00"), Decimal("0.95"), Decimal("1.50")]
    assert call("round", column, 0, rows=3) == [Decimal(-1), Decimal(-1), Decimal(2)]


def test_doubles():
    assert call("abs", FLOATS) == [abs(value) for value in FLOATS]
    assert call("ceil", FLOATS) == [math.ceil(value) for value in FLOATS]
    assert call("floor", FLOATS) == [math.floor(value) for value in FLOATS]
    assert call("trunc", FLOATS) == [math.trunc(value) for value in FLOATS]
    assert call("round", [0.5, 1.5, 2.5, -2.5, 0.49999999999999994]) == [1, 2, 3, -3, 0]
    assert call("round", [1.005, 2.675, 1e300, 123.456], 2) == pytest.approx([1.0, 2.68, 1e300, 123.46], abs=0.011)
    assert call("round", [math.inf, 1234.5], -2) == [math.inf, 1200]


def test_doubles_agree_with_duckdb():
    duckdb = pytest.importorskip("duckdb")
    for name in ("round", "trunc", "ceil", "floor", "sign", "cbrt", "degrees", "radians", "atan", "sin", "cos"):
        query = f"SELECT {name}(a) FROM (SELECT unnest(?::DOUBLE[]) AS a)"
        values = [value for value in FLOATS if abs(value) < 1e100]
        theirs = [row[0] for row in duckdb.execute(query, [values]).fetchall()]
        assert call(name, values) == pytest.approx(theirs, rel=1e-12, abs=1e-12)


def test_functions_of_floats():
    assert one("sqrt", 2.0) == math.sqrt(2)
    assert one("exp", 1.0) == pytest.approx(math.e)
    assert one("ln", math.e) == pytest.approx(1)
    assert one("log", 1000.0) == pytest.approx(3)
    assert one("log", 2.0, 8.0) == pytest.approx(3)
    assert one("dlog10", 100.0) == pytest.approx(2)
    assert one("power", 2.0, 10.0) == 1024
    assert one("pow", -2.0, 3.0) == -8
    assert one("atan2", 1.0, 1.0) == pytest.approx(math.pi / 4)
    assert one("pi") == math.pi


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sqrt", (-1.0,)),
        ("ln", (0.0,)),
        ("log", (-1.0,)),
        ("acos", (1.5,)),
        ("power", (0.0, -1.0)),
        ("power", (-8.0, 0.5)),
        ("exp", (1000.0,)),
        ("mod", (1, 0)),
        ("mod", (1.0, 0.0)),
        ("abs", (-(2**63),)),
    ],
)
def test_outside_the_domain_is_an_error(name, arguments):
    with pytest.raises(QueryError, match=r"not defined|out of range|division by zero"):
        one(name, *arguments)


def test_a_bad_value_under_a_null_is_no_error():
    column = Column(types.DOUBLE, np.array([-1.0, 4.0]), valid=np.array([0, 1], np.uint8))
    assert call("sqrt", column, rows=2) == [None, 2]
    assert call("mod", [7, None], [None, 2]) == [None, None]


def test_what_a_division_leaves_has_the_sign_of_the_dividend():
    assert call("mod", [7, -7, 7, -7, -(2**63)], [3, 3, -3, -3, -1]) == [1, -1, 1, -1, 0]
    assert call("mod", make([Decimal("7.5"), Decimal("-7.5")]), [Decimal("2.0"), Decimal("2.0")]) == [
        Decimal("1.5"),
        Decimal("-1.5"),
    ]
    assert call("mod", [7.5, -7.5], [2.0, 2.0]) == [1.5, -1.5]


def test_bits():
    assert [one(name, 12, 10) for name in ("&", "|", "#")] == [8, 14, 6]
    assert (one("<<", 1, 10), one(">>", -8, 1), one("bitnot", 5), one("<<", 1, 64)) == (1024, -4, -6, 0)


def test_bits_have_the_type_of_the_wider_number():
    small, large = np.array([5, -3], np.int16), np.array([2**40 + 1, -1], np.int64)
    engine = SQL(MemoryCatalog({"t": {"a": small, "b": large}}))
    found = engine.query("SELECT a & a, a | b, ~a, a >> 1, sum(~a), a # NULL FROM t GROUP BY a, b ORDER BY a")
    assert [tuple(row) for row in found.rows()] == [(-3, -1, 2, -2, 2, None), (5, 2**40 + 5, -6, 2, -6, None)]
    bound = engine.query("SELECT a & a, a | b, ~a, a >> 1, a << 1, sum(~a) FROM t GROUP BY a, b")
    names = [str(type) for type in bound.types.values()]
    assert names == ["SMALLINT", "BIGINT", "SMALLINT", "SMALLINT", "SMALLINT", "BIGINT"]


def test_bits_that_are_shifted_beyond_the_width_are_lost():
    engine = SQL(MemoryCatalog({"t": {"a": np.array([3, -1], np.int16)}}))
    found = engine.query("SELECT a << 14, CAST(a AS INTEGER) << 31, CAST(a AS BIGINT) << 40, a << 40 FROM t")
    assert [tuple(row) for row in found.rows()] == [(-16384, -(2**31), 3 << 40, 0), (-16384, -(2**31), -(2**40), 0)]


def test_random_is_seeded_and_differs_from_row_to_row():
    first = call("random", rows=100, context=Context())
    assert first == call("random", rows=100, context=Context())
    assert len(set(first)) == 100
    assert all(0 <= value < 1 for value in first)
    assert not FUNCTIONS.find("random").pure


def test_empty_columns():
    for name, *arguments in (("abs",), ("round", 2), ("ceil",), ("mod", Decimal("3.25"))):
        assert call(name, make([], types.decimal(10, 2)), *arguments, rows=0) == []
    assert call("sqrt", make([], types.DOUBLE), rows=0) == []
