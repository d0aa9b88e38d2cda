"""The shape of a text: which literals become parameters, and which a plan is made for."""

import datetime as dt
import decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import Invalid
from engines.sql.grammar import tokenize
from engines.timeseries import durations, shape
from engines.timeseries.dialect import rewritten


def lifted(text):
    """The pieces of a text that become parameters."""
    _, pieces = shape.cut(text)
    chosen, _ = shape.parameters(text, pieces)
    return [pieces[one.piece] for one in chosen]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SELECT 1 FROM t WHERE a = 'x' AND b > 5 AND c <= 1.5", ["'x'", "5", "1.5"]),
        ("SELECT 1 FROM t WHERE time BETWEEN '2026-01-01' AND '2026-01-02'", ["'2026-01-01'", "'2026-01-02'"]),
        ("SELECT 1 FROM t WHERE time > TIMESTAMP '2026-01-01'", ["'2026-01-01'"]),
        ("SELECT 1 FROM t WHERE time > TIMESTAMP 'soon'", []),
        ("SELECT 1 FROM t WHERE time > now() - 12h AND time < ago(5m)", ["12h", "5m"]),
        ("SELECT 1 FROM t WHERE a IN ('x', 'y', 3)", ["'x'", "'y'", "3"]),
        ("SELECT 1 FROM t WHERE a > -5", ["5"]),
        ("SELECT 1 FROM t WHERE 'x' = a", []),
        ("SELECT 1 FROM t WHERE a LIKE 'x%'", []),
        ("SELECT 1 FROM t WHERE f(a, 3) = 2", ["2"]),
        ("SELECT 1 FROM t WHERE a = 1 GROUP BY 1 HAVING max(b) > 7 ORDER BY 1 LIMIT 10", ["1"]),
        ("SELECT bin(time, 1m), 'x', CASE WHEN a = 'y' THEN 2 END FROM t", []),
        ("SELECT * FROM (SELECT 3 AS a FROM t WHERE b = 4) WHERE a = 3 UNION SELECT 5", ["4", "3"]),
        ("WITH q AS (SELECT 1 FROM t WHERE a > 1) SELECT 2 FROM q WHERE b < 'it''s'", ["1", "'it''s'"]),
        ('SELECT "a = 5" FROM t -- WHERE a = 5\n WHERE /* b = 3 */ a = 6', ["6"]),
        ("SELECT 1 FROM t WHERE a = 1e5 AND b = 0x1F", []),
        ("SELECT 1 FROM t WHERE a = '' AND b = '?'", ["''", "'?'"]),
    ],
)
def test_literals_beside_comparisons_in_where_become_parameters(text, wanted):
    assert lifted(text) == wanted


def test_equal_shapes_differ_in_literals_only():
    one, other = "SELECT a FROM t WHERE b = 'x' LIMIT 3", "SELECT a FROM t WHERE b = 'a longer one' LIMIT 44"
    assert shape.cut(one)[0] == shape.cut(other)[0]
    assert shape.cut(one)[1] == ["'x'", "3"]
    assert shape.cut(one)[0] != shape.cut(one.replace("b =", "c ="))[0]


@given(st.text(max_size=40))
def test_a_text_is_its_shape_and_its_pieces(text):
    outline, pieces = shape.cut(text)
    if "\0" not in text:
        parts = outline.split("\0")
        assert "".join(a + b for a, b in zip(parts, [*pieces, ""], strict=True)) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=10))
def test_a_text_literal_is_read_as_it_was_meant(text):
    quoted = "'" + text.replace("'", "''") + "'"
    assert shape.value_of(quoted) == (text.encode(), shape.VARCHAR)


def test_values_of_literals():
    assert shape.value_of("5")[0] == 5
    assert str(shape.value_of("5000000000")[1]) == "BIGINT"
    value, type = shape.value_of("1.50")
    assert (value, str(type)) == (150, "DECIMAL(3,2)")
    assert shape.python_value(value, type) == decimal.Decimal("1.50")
    assert shape.value_of("15s") == ((0, 15 * 10**9), shape.INTERVAL_NS)
    assert shape.value_of("0s") is None
    assert shape.value_of("1e5") is None
    assert shape.value_of("٣") is None


def test_tokens_of_the_dialect():
    def written(text):
        return " ".join(token.text for token in rewritten(tokenize(text, "trino")))

    assert written("15s") == "parse_duration ( 15s )"
    assert written("15 s") == "15 s"
    assert written("15x") == "parse_duration ( 15x )"  # which refuses it, by name
    assert written("15x2") == "15 x2"
    assert written("1.5h") == "1.5 h"
    assert written("'15s' \"15s\"") == "15s 15s"
    assert written("t.measure_value::double") == "t . measure_value::double"
    assert written("measure_value :: VARCHAR") == "measure_value::varchar"
    assert written("other::double") == "other :: double"


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("15s", 15 * 10**9),
        (" 10m ", 600 * 10**9),
        ("1d", 86_400 * 10**9),
        ("3ns", 3),
        (dt.timedelta(microseconds=1), 1000),
        (np.timedelta64(2, "s"), 2 * 10**9),
        (7, 7),
    ],
)
def test_durations(given_, wanted):
    assert durations.nanoseconds(given_) == wanted


@pytest.mark.parametrize("given_", ["", "s", "0s", "-1h", "1.5h", "5 x", "1h30m", True, 0, None, 1.5, "9" * 30 + "d"])
def test_what_is_no_duration_is_invalid(given_):
    with pytest.raises(Invalid, match="no duration"):
        durations.nanoseconds(given_)


@given(st.integers(1, 2**62))
def test_a_written_duration_is_read_again(duration):
    assert durations.nanoseconds(durations.written(duration)) == duration
