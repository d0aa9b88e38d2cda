"""Arrays, lists and the house's Table as sources: the same values come out, NULLs are NULLs, bad data is named."""

import datetime as dt
import operator
from decimal import Decimal

import numpy as np
import pytest

from engines.display import Table
from engines.errors import Invalid
from engines.sql.engine import SQL, MemoryCatalog

COMPARED = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
CELLS = {
    "small": (np.array([1, -2, 3], np.int8), "SMALLINT", [1, -2, 3]),
    "large": (np.array([1, 2**63, 3], np.uint64), "DECIMAL(19,0)", [Decimal(1), Decimal(2**63), Decimal(3)]),
    "masked": (np.ma.masked_array([7, 8, 9], [False, True, False]), "BIGINT", [7, None, 9]),
    "real": (np.array([1.5, 2, 3], np.float32), "REAL", [1.5, 2.0, 3.0]),
    "flags": (np.array([True, False, True]), "BOOLEAN", [True, False, True]),
    "words": (np.array(["é", "", "é"]), "VARCHAR", ["é", "", "é"]),
    "days": (
        np.array(["2024-02-29", "NaT", "2024-03-01"], "M8[D]"), "DATE",
        [dt.date(2024, 2, 29), None, dt.date(2024, 3, 1)],
    ),
    "moments": (
        np.array(["2024-01-01T10", "NaT", "1969-12-31T23:59:59"], "M8[s]"), "TIMESTAMP",
        [dt.datetime(2024, 1, 1, 10, tzinfo=dt.UTC), None, dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC)],
    ),
    "exact": ([Decimal("1.25"), None, 2], None, [Decimal("1.25"), None, Decimal("2.00")]),
    "nothing": ([None, None, None], None, [None, None, None]),
}  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_values_come_out_as_they_went_in(name):
    cells, type, expected = CELLS[name]
    found = SQL(MemoryCatalog({"t": {"x": cells}})).query("SELECT x FROM t")
    assert [row[0] for row in found.rows()] == expected
    assert type is None or found.types["x"] == type


def test_a_table_of_the_house_is_a_table_and_so_is_an_answer():
    given = Table({"k": np.arange(200_000) % 7, "w": np.array([f"word {n % 11}" for n in range(200_000)])})
    answer = SQL(MemoryCatalog({"t": given})).query("SELECT w, count(*) AS n, sum(k) AS k FROM t GROUP BY w")
    again = SQL(MemoryCatalog({"a": answer})).query("SELECT sum(n), sum(k) FROM a")
    assert again.rows() == [(200_000, sum(n % 7 for n in range(200_000)))]


def test_words_that_do_not_repeat_are_kept_too():
    words = [f"{n}" for n in range(70_000)]
    found = SQL(MemoryCatalog({"t": {"w": np.array(words)}})).query("SELECT w FROM t")
    assert [row[0] for row in found.rows()] == words


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": np.zeros(2), "b": np.zeros(3)}, "one length"),
        ({"a": np.zeros((2, 2))}, "2 dimensions"),
        ({"a": [1, "x"]}, "'a' mixes INTEGER, VARCHAR"),
        ({"a": [object()]}, "no SQL type"),
    ],
)
def test_bad_data_is_named(columns, words):
    with pytest.raises(Invalid, match=words):
        SQL(MemoryCatalog({"t": columns}))


@pytest.mark.parametrize("op", ["=", "<>", "<", "<=", ">", ">="])
@pytest.mark.parametrize("value", [7, 0, -40_000, 40_000, 3_000_000_000, None])
def test_a_parameter_meets_a_small_column_without_a_cast_of_it(op, value):
    months = np.arange(1, 13).astype(np.int16)
    engine = SQL(MemoryCatalog({"t": {"month": months}}))
    expected = [] if value is None else [m for m in months.tolist() if COMPARED[op](m, value)]
    assert [row[0] for row in engine.query(f"SELECT month FROM t WHERE month {op} ?", value)] == expected
    turned = [] if value is None else [m for m in months.tolist() if COMPARED[op](value, m)]
    assert [row[0] for row in engine.query(f"SELECT month FROM t WHERE ? {op} month", value)] == turned
    if isinstance(value, int):
        assert "month::" not in str(engine.explain(f"SELECT month FROM t WHERE month {op} ?", value))
