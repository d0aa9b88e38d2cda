"""Line protocol: what it means, what is refused, and that nothing it holds can do harm."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines._native import tslines
from engines.errors import Invalid
from engines.timeseries import lines
from engines.timeseries.columns import Columns, Values, Words


def one(text, **options):
    """The only columns that a text gives; nothing in it is refused."""
    found, rejected = lines.read(text, **{"precision": "ns", "now": 5, **options})
    assert not rejected
    ((columns,),) = found.values()
    return columns


def cells(values: Values):
    """The values of a measure as Python's, None where there is none."""
    plain = [values.words[code] for code in values.data] if values.words is not None else values.data.tolist()
    if values.type == "boolean":
        plain = [bool(value) for value in plain]
    there = values.valid if values.valid is not None else [1] * len(plain)
    return [value if valid else None for value, valid in zip(plain, there, strict=True)]


def texts(words: Words):
    return [words.words[code] if code >= 0 else None for code in words.codes.tolist()]


def rows_of(columns: Columns):
    """Each row as time, dimensions, measures."""
    return [
        (
            time,
            {name: texts(words)[at] for name, words in columns.dimensions.items() if texts(words)[at] is not None},
            {name: cells(values)[at] for name, values in columns.measures.items() if cells(values)[at] is not None},
        )
        for at, time in enumerate(columns.times.tolist())
    ]


def test_tags_are_dimensions_and_fields_are_measures_of_their_type():
    columns = one(b'cpu,host=a,region=eu usage=0.5,state="up",cores=8i,load=3u,ok=t 17')
    assert rows_of(columns) == [
        (17, {"host": "a", "region": "eu"}, {"usage": 0.5, "state": "up", "cores": 8, "load": 3, "ok": True})
    ]
    kinds = [values.type for values in columns.measures.values()]
    assert kinds == ["double", "varchar", "bigint", "bigint", "boolean"]


@pytest.mark.parametrize(("precision", "factor"), [("ns", 1), ("us", 10**3), ("ms", 10**6), ("s", 10**9)])
def test_precision_says_the_unit_of_times(precision, factor):
    assert one(b"cpu x=1 7", precision=precision).times.tolist() == [7 * factor]


def test_a_line_without_a_time_is_of_now():
    assert one(b"cpu x=1\ncpu x=2 3", now=99).times.tolist() == [99, 3]


def test_escapes_are_undone_by_the_rules_of_each_place():
    text = rb'm\ e\,a=s,t\ a\=g=v\,a\ l\=u f\ i\,e\=l="q\"u\\o,t e=" 1'
    found, rejected = lines.read(text, precision="ns", now=0)
    assert not rejected
    ((name, (columns,)),) = found.items()
    assert name == "m e,a=s"
    assert rows_of(columns) == [(1, {"t a=g": "v,a l=u"}, {"f i,e=l": 'q"u\\o,t e='})]


def test_a_backslash_before_anything_else_stands_for_itself():
    assert rows_of(one(rb'cpu,path=c:\dir a="c:\dir" 1')) == [(1, {"path": r"c:\dir"}, {"a": r"c:\dir"})]


def test_texts_may_hold_line_ends_and_the_count_of_lines_goes_on():
    found, rejected = lines.read(b'cpu a="x\ny" 1\nbad\ncpu a="z" 2', precision="ns", now=0)
    assert [values for _, _, values in rows_of(found["cpu"][0])] == [{"a": "x\ny"}, {"a": "z"}]
    assert [one.reason for one in rejected] == ["line 3, column 4: a space and the fields are missing"]


def test_comments_blank_lines_and_carriage_returns_are_no_rows():
    columns = one(b"# a comment\n\n  \ncpu x=1 1\r\ncpu x=2 2\r\n#cpu x=3 3")
    assert columns.times.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"cpu", "line 1, column 4: a space and the fields are missing"),
        (b"cpu ", "line 1, column 5: a space and the fields are missing"),
        (b",host=a x=1", "line 1, column 1: the measurement is missing"),
        (b"cpu =1", "line 1, column 5: the name of a field and = are missing"),
        (b"cpu x", "line 1, column 5: the name of a field and = are missing"),
        (b"cpu x=1,", "line 1, column 9: a space and the fields are missing"),
        (b"cpu x=", "line 1, column 7: the value of a field is missing"),
        (b"cpu x=,y=1", "line 1, column 7: the value of a field is missing"),
        (b'cpu x="abc', "line 1, column 7: a text has no closing quote"),
        (b"cpu x=abc", "line 1, column 7: this is no number, truth value or quoted text"),
        (b"cpu x=1.5i", "line 1, column 10: this is no number, truth value or quoted text"),
        (b"cpu x=-1u", "line 1, column 7: this is no number, truth value or quoted text"),
        (b"cpu x=1e", "line 1, column 9: this is no number, truth value or quoted text"),
        (b"cpu x=nan", "line 1, column 7: this is no number, truth value or quoted text"),
        (b"cpu x=9223372036854775808i", "line 1, column 7: this integer does not fit 64 bits"),
        (b"cpu x=1 12x", "line 1, column 11: the line goes on after its timestamp"),
        (b"cpu x=1 x", "line 1, column 9: this is no timestamp"),
        (b"cpu x=1 1 2", "line 1, column 11: the line goes on after its timestamp"),
        (b"cpu x=1 99999999999999999999", "line 1, column 9: this is no timestamp"),
        (b"cpu,host x=1 1", "line 1: the tag 'host' is no name=value"),
        (b"cpu,host= x=1 1", "line 1: the tag 'host=' is no name=value"),
        (b"cpu,a=1,a=2 x=1 1", "line 1: the tag 'a' stands there twice"),
        (b"cpu x=1e999 1", "line 1: a name or a text is not UTF-8, or a number is beyond the range of doubles"),
        (b"cpu,h=\xff x=1 1", "line 1: the measurement or a tag is not UTF-8"),
    ],
)
def test_a_line_that_cannot_be_read_says_where_and_the_next_one_is_read(line, reason):
    found, rejected = lines.read(line + b"\ncpu ok=1 2", precision="ns", now=0)
    if line != b'cpu x="abc':  # its text goes on to the end
        assert rows_of(found["cpu"][0]) == [(2, {}, {"ok": 1.0})]
    assert [one.reason for one in rejected] == [reason]
    assert rejected[0].index == 0


def test_a_time_that_does_not_fit_in_nanoseconds_names_precision():
    _, (rejected,) = lines.read(b"cpu x=1 9223372036854775807", precision="s", now=0)
    assert rejected.reason == "line 1: the timestamp is out of range: say with precision= what its unit is"


def test_a_field_that_changes_its_type_starts_columns_of_its_own():
    found, _ = lines.read(b"cpu x=1,y=1 1\ncpu x=2i 2\ncpu x=3 3", precision="ns", now=0)
    assert [rows_of(columns) for columns in found["cpu"]] == [
        [(1, {}, {"x": 1.0, "y": 1.0}), (3, {}, {"x": 3.0})],
        [(2, {}, {"x": 2})],
    ]


def test_single_makes_a_record_of_each_field():
    found, _ = lines.read(b"cpu,h=a x=1,y=2 1\ncpu,h=b x=3 2", precision="ns", now=0, single=True)
    assert [columns.single for columns in found["cpu"]] == [True, True]
    assert [rows_of(columns) for columns in found["cpu"]] == [
        [(1, {"h": "a"}, {"x": 1.0}), (2, {"h": "b"}, {"x": 3.0})],
        [(1, {"h": "a"}, {"y": 2.0})],
    ]
    assert found["cpu"][0].index.tolist() == [0, 1]


def test_the_last_of_two_equal_fields_counts():
    assert rows_of(one(b"cpu x=1,x=2 1")) == [(1, {}, {"x": 2.0})]


def test_arguments_are_checked():
    with pytest.raises(Invalid, match="precision is one of ns, us"):
        lines.read(b"", precision="minutes", now=0)
    with pytest.raises(Invalid, match="bytes or a text"):
        lines.read(7, precision="ns", now=0)
    assert lines.read(b"", precision="ns", now=0) == ({}, [])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_double_comes_back_bit_for_bit(value):
    for text in (repr(value), f"{value:.17e}", f"{value:.5e}"):
        found = one(f"cpu x={text} 1".encode()).measures["x"].data
        assert math.copysign(1, found[0]) == math.copysign(1, float(text))
        assert found[0] == float(text)


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_integer_comes_back(value):
    assert one(f"cpu x={value}i 1".encode()).measures["x"].data.tolist() == [value]


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\\\0"), min_size=1, max_size=8)
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(max_size=5),
)


def escaped(text, letters):
    for letter in letters:
        text = text.replace(letter, "\\" + letter)
    return text


def written(time, tags, fields):
    """A line of the protocol for a record."""
    head = "".join(f",{escaped(name, ',= ')}={escaped(value, ',= ')}" for name, value in tags.items())
    parts = []
    for name, value in fields.items():
        if isinstance(value, bool):
            shown = "true" if value else "F"
        elif isinstance(value, str):
            shown = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        else:
            shown = f"{value}i" if isinstance(value, int) else repr(value)
        parts.append(f"{escaped(name, ',= ')}={shown}")
    return f"cpu{head} {','.join(parts)} {time}"


RECORDS = st.lists(
    st.tuples(
        st.integers(0, 2**62),
        st.dictionaries(NAMES, NAMES, max_size=2),
        st.dictionaries(NAMES.filter(lambda name: not name.startswith("#")), VALUES, min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=6,
)


@given(RECORDS)
def test_what_was_written_is_read(records):
    text = "\n".join(written(*record) for record in records)
    found, rejected = lines.read(text, precision="ns", now=0)
    assert not rejected
    read = {
        int(index): row for columns in found["cpu"] for index, row in zip(columns.index, rows_of(columns), strict=True)
    }
    assert [sorted_row(row) for _, row in sorted(read.items())] == [sorted_row(record) for record in records]


def sorted_row(row):
    """A row whose dictionaries are in order."""
    return row[0], sorted(row[1].items()), sorted((name, type(value), repr(value)) for name, value in row[2].items())


@given(st.binary(max_size=60) | st.lists(st.sampled_from([*b'cpu,=" \\\n0129.-eitTfu#\r\xff']), max_size=60).map(bytes))
def test_no_bytes_do_harm(data):
    found, rejected = lines.read(data, precision="ns", now=0)
    count = sum(len(columns) for several in found.values() for columns in several)
    assert count + len(rejected) <= data.count(b"\n") + 1


def test_the_kernel_numbers_names_once():
    heads, names, (head, *_), (_, name, *_), _ = tslines.parse(memoryview(b"a x=1,y=1\nb y=2,x=2\na x=3"))
    assert heads == [b"a", b"b"]
    assert names == [b"x", b"y"]
    assert head.tolist() == [0, 1, 0]
    assert name.tolist() == [0, 1, 1, 0, 0]
    assert name.dtype == np.int32


def test_half_a_character_costs_its_line_only():
    found, rejected = lines.read("m,h=\udcff v=1 1\nm,h=a v=1 2", precision="ns", now=0)
    assert [one.index for one in rejected] == [0]
    assert sum(len(columns) for columns in found["m"]) == 1
