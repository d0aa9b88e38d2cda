"""The fast and the careful way of reading text load the same, and refuse the same."""

import csv
import io
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warehouse.copying import House

from engines.sql import types

pytest.importorskip("pyarrow")

ODD = {
    "a": ["1", " 2 ", "", "-0", "+3", "0x1", "007", "99999999999", "1.0", "1e3", "\\N", "x", "-", "2147483647"],
    "b": ["", " ", "abc", "a,b", 'say "x"', "two\nlines", "\\N", "-", "größer", " pad ", "0x", "longer than it", "\\"],
    "c": ["1", "1.005", "-.5", "5.", " 7.1 ", "1e2", "999999.99", "1000000", "nan", "", "-", "0x1", "1,5"],
    "d": ["2024-02-29", "2023-02-29", "0001-01-01", "0000-01-01", "20240131", "1/31/2024", "", " 2024-01-01 ", "today"],
    "e": ["2024-01-01", "2024-01-01 10:00", "2024-01-01T10:00:00.123456", "2024-01-01 10:00:00Z", "2024-01-01 24:00:00",
          "2024-01-01 10:00:00.1234567", "2024-01-01 10:00:00+02", "", "12:00", "1969-12-31 23:59:59.999999"],
    "f": ["1.5", "inf", "-Infinity", "NaN", "1e999", "1e-400", "", " 2 ", "0x10", ".5", "1_000", "-0.0"],
    "g": ["t", "F", "true", "YES", "no", "1", "0", "", "2", "on", " t", "TRUE"],
    "h": ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "", "12a"],
}  # fmt: skip
KINDS = {
    "a": types.INTEGER, "b": types.varchar(8), "c": types.decimal(8, 2), "d": types.DATE, "e": types.TIMESTAMP,
    "f": types.DOUBLE, "g": types.BOOLEAN, "h": types.BIGINT,
}  # fmt: skip
EXTRAS = ["", "EMPTYASNULL", "BLANKSASNULL TRIMBLANKS", "NULL AS '-'", "TRUNCATECOLUMNS", "ROUNDEC"]


def written(rows, how):
    if how == "CSV":
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue()
    escaped = [[re.sub(r"[|\\\n]", r"\\\g<0>", cell) if cell != "\\N" else cell for cell in row] for row in rows]
    return "".join("|".join(row) + "\n" for row in escaped)


@given(
    rows=st.lists(st.tuples(*map(st.sampled_from, ODD.values())), min_size=1, max_size=4),
    how=st.sampled_from(["CSV", "DELIMITER '|' ESCAPE"]),
    extra=st.sampled_from(EXTRAS),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_fast_way_reads_what_the_careful_one_does(tmp_path, rows, how, extra):
    """Each row alone may go the fast way; all of them with a row that is only read with care go the other."""
    careful = House(KINDS)
    path = tmp_path / "all.csv"
    path.write_text(written([*rows, ("+4", *[""] * 7)], how), encoding="utf-8", newline="")
    careful.copy(path, f"{how} {extra} IGNOREALLERRORS")
    kept, faults = [], []
    for row in rows:
        one = House(KINDS)
        path.write_text(written([row], how), encoding="utf-8", newline="")
        one.copy(path, f"{how} {extra} IGNOREALLERRORS")
        kept += one.rows()
        faults += [(error.column, error.code, error.reason, error.raw_value) for error in one.errors]
    assert repr(careful.rows()[:-1]) == repr(kept)
    assert [(error.column, error.code, error.reason, error.raw_value) for error in careful.errors] == faults


def test_each_odd_text_alone(tmp_path):
    """As above, for each text: what is loaded is what a cast gives, or nothing."""
    path = tmp_path / "one.csv"
    for name, odd in ODD.items():
        for text in odd:
            for how in ("CSV", "DELIMITER '|' ESCAPE"):
                row = tuple(text if name == other else "" for other in ODD)
                found = []
                for more in ([], [("+4", *[""] * 7)]):
                    house = House(KINDS)
                    path.write_text(written([row, *more], how), encoding="utf-8", newline="")
                    house.copy(path, f"{how} IGNOREALLERRORS")
                    errors = [(error.line, error.column, error.code) for error in house.errors]
                    found.append((repr(house.rows()[: len(house.rows()) - len(more)]), errors))
                assert found[0] == found[1], (name, text, how)


JSON_ODD = {
    "a": ["1", '"1"', "1.0", "1e2", "-0", "null", "true", "[1]", "99999999999", '""', '"\\\\N"'],
    "b": [
        '"x"',
        '""',
        "null",
        "5",
        "true",
        '"\\u00fc\\n"',
        '"longer than it"',
        '{"k": [1, "}"]}',
        '"\\\\N"',
        '"\\ud800"',
    ],
    "c": ["1.5", '"1.5"', "1.005", "1e2", "99999999", "null", '"x"', '""'],
    "d": ['"2024-02-29"', '"2023-02-29"', "5", "null", '""', '"1/31/2024"'],
    "e": [
        '"2024-01-01"',
        '"2024-01-01 10:00:00+02"',
        '"2024-01-01T10:00:00Z"',
        "17",
        "null",
        '"2024-01-01 10:00:00.5"',
    ],
    "f": ["1", "1.5", "1e999", '"NaN"', "-0.0", "null", '"inf"'],
    "g": ["true", "false", '"t"', "1", "null", '""'],
    "h": ["9223372036854775807", "9223372036854775808", "null"],
}


def test_each_odd_value_of_json_is_read_the_same_both_ways(tmp_path):
    """A number written as 5e0 sends its whole piece the careful way, and is rejected."""
    path = tmp_path / "one.json"
    for name, odd in JSON_ODD.items():
        for text in odd:
            found = []
            for more in ("", '{"a": 5e0}\n'):
                house = House(KINDS)
                path.write_text(f'{{"other": 1, "{name}": {text}}}\n{{}}\n{more}', encoding="utf-8")
                house.copy(path, "JSON IGNOREALLERRORS")
                errors = [(one.line, one.column, one.code) for one in house.errors]
                found.append((repr(house.rows()), errors[: len(errors) - bool(more)]))
            assert found[0] == found[1], (name, text)
