"""Tables, reports and plans: what a user sees of every answer."""

import html.parser
import json
import pickle
import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import errors, extras
from engines.display import Plan, Problem, Report, Table
from engines.text import show, width

MOMENT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
PLAIN = MOMENT.replace(tzinfo=None)  # numpy takes no time zones
EVIL = '<script>alert("x")</script>\n\x1b[31m\u202e&'

cells = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=80),
    st.binary(max_size=80),
    st.decimals(allow_nan=False),
    st.datetimes(timezones=st.just(UTC)),
    st.dates(),
    st.lists(st.one_of(st.none(), st.text(max_size=20), st.integers()), max_size=8),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=5),
)
tables = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.text(max_size=20), min_size=n, max_size=n, unique=True),
        st.lists(st.lists(cells, min_size=n, max_size=n), max_size=30),
    )
)


def orders(**options):
    columns = {
        "customer": ["ann", None, "bob"],
        "order": np.array([17, 5, 120]),
        "at": np.array([PLAIN, None, PLAIN], "M8[us]"),
    }
    return Table(columns, **options)


def test_rows_are_tuples_that_answer_by_name():
    row = orders()[0]
    assert row == ("ann", 17, MOMENT)
    assert (row["order"], row.order, row[1], row[-1]) == (17, 17, 17, MOMENT)
    assert row[:2] == ("ann", 17)
    assert type(row.order) is int
    with pytest.raises(errors.NotFound, match="did you mean 'order'"):
        row["oder"]
    with pytest.raises(AttributeError):
        _ = row.oder


def test_a_column_named_like_a_method_of_tuple_is_the_column():
    row = Table({"count": [3], "index": [4], "_id": [5], "_fields": [6], "__class__": [7], "two words": [8]})[0]
    assert (row.count, row.index, row._id, row["_fields"], row["__class__"], row["two words"]) == (3, 4, 5, 6, 7, 8)
    assert isinstance(row, tuple)


def test_rows_survive_pickling():
    row = pickle.loads(pickle.dumps(orders()[1]))  # noqa: S301 - our own bytes
    assert row.order == 5


def test_iteration_rows_and_positions_agree():
    table = orders()
    assert list(table) == table.rows() == [table[0], table[1], table[-1]]
    assert len(table) == 3
    assert table[1:].rows() == table.rows()[1:]
    with pytest.raises(IndexError):
        table[3]


def test_iteration_over_more_rows_than_a_chunk_misses_none():
    table = Table({"n": np.arange(10_001)})
    assert [row.n for row in table] == list(range(10_001))


def test_nulls_are_none_in_rows_and_times_are_utc():
    masked = np.ma.MaskedArray([1, 2, 3], mask=[False, True, False])
    table = Table(
        {"n": masked, "day": np.array(["2024-05-06", "NaT", "2024-01-01"], "M8[D]"), "x": [1.5, None, float("nan")]}
    )
    assert table[1] == (None, None, None)
    assert table[0] == (1, date(2024, 5, 6), 1.5)
    assert orders()[1] == (None, 5, None)


def test_column_gives_arrays_and_does_not_lose_anything():
    wide = Table(
        {"a": [1, 2**63], "b": [[1, 2], [3, 4]], "c": [1, 2], "d": [MOMENT, None], "e": [True, False], "f": [1, 2.5]}
    )
    assert {name: wide.column(name).dtype.str for name in wide.names} == {
        "a": "|O", "b": "|O", "c": "<i8", "d": "<M8[us]", "e": "|b1", "f": "|O",
    }  # fmt: skip
    assert wide.column("b").shape == (2,)
    assert wide.column("d")[0] == np.datetime64("2024-05-06T07:08:09")
    with pytest.raises(errors.NotFound, match="did you mean"):
        orders().column("custome")


def test_a_time_in_another_zone_becomes_the_same_moment_in_utc():
    east = MOMENT.astimezone(timezone(timedelta(hours=5)))
    assert Table({"at": [east]}).column("at")[0] == np.datetime64("2024-05-06T07:08:09")
    assert show(east) == "2024-05-06T07:08:09Z"


def test_columns_of_different_length_or_two_dimensions_are_refused():
    with pytest.raises(errors.Invalid, match="one length"):
        Table({"a": [1], "b": [1, 2]})
    with pytest.raises(errors.Invalid, match="2 dimensions"):
        Table({"a": np.zeros((2, 2))})
    with pytest.raises(errors.Invalid, match="share a name"):
        Table.from_rows(["a", "a"], [(1, 2)])
    with pytest.raises(errors.Invalid, match="row 1 has 1 cells"):
        Table.from_rows(["a", "b"], [(1, 2), (3,)])


def test_text_is_aligned_and_numbers_stand_right():
    table = Table(
        {"name": ["ann", "李四", ""], "total": [Decimal("9.5"), None, 120], "raw": [b"\x00\xff", None, b"x" * 100]},
        title="orders",
        stats={"rows_scanned": 12345, "seconds": 0.25},
    )
    assert str(table).split("\n") == [
        "orders",
        "name  total  raw",
        "────  ─────  ────────────────────────────────────────",
        "ann     9.5  0x00ff",
        "李四",
        "''      120  0x7878787878787878787878787878787878787…",
        "(3 rows)",
        "rows_scanned 12,345, seconds 0.25",
    ]
    assert repr(table) == str(table)


def test_text_shows_twenty_rows_and_counts_all():
    lines = str(Table({"n": np.arange(336_776)})).split("\n")
    assert len(lines) == 2 + 20 + 1
    assert lines[-1] == "(336,776 rows, the first 20 shown)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), ("", "''"), (True, "true"), (np.zeros(1, bool)[0], "false"),
        (3, "3"), (3.0, "3.0"),
        (0.1 + 0.2, "0.3"),
        (float("nan"), "nan"), (-2.0, "-2.0"), (1e300, "1e+300"), (np.float64(1.5), "1.5"), (np.int64(7), "7"),
        (MOMENT, "2024-05-06T07:08:09Z"), (PLAIN, "2024-05-06T07:08:09Z"), (date(2024, 1, 2), "2024-01-02"),
        ([1, None, "a'b"], '[1, null, "a\'b"]'), ({"a": [b"\x01"]}, "{a: [0x01]}"), ({5}, "{5}"),
        ("a\nb\x1b", "a\\nb\\x1b"),
        ("x" * 41, "x" * 39 + "…"), ("x" * 40, "x" * 40), (Decimal("1.10"), "1.10"),
    ],
)  # fmt: skip
def test_a_value_looks_the_same_everywhere(value, text):
    assert show(value) == text


@given(cells)
def test_a_shown_value_is_one_short_printable_line(value):
    text = show(value)
    assert len(text) <= 40
    assert text.isprintable()
    assert width(text) <= 80


class Elements(html.parser.HTMLParser):
    """The tags that a browser would see."""

    def __init__(self):
        super().__init__()
        self.tags = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)


def tags(source):
    parser = Elements()
    parser.feed(source)
    parser.close()
    return parser.tags


@given(tables)
def test_html_is_small_and_holds_no_markup_from_the_data(table):
    names, rows = table
    shown = Table.from_rows(names, rows, title=EVIL, stats={EVIL: EVIL})
    source = shown._repr_html_()
    assert len(source.encode()) < 100_000
    assert tags(source) <= {"details", "summary", "table", "thead", "tbody", "tr", "th", "td", "p"}
    assert "\x1b" not in source
    assert str(shown).isprintable() or str(shown).replace("\n", "").isprintable()


def test_html_of_a_huge_wide_table_of_markup_stays_under_100_kb():
    wide = {f"{i} {EVIL}": ["<&\"'" * 40] * 3000 for i in range(200)}
    source = Table(wide, title=EVIL * 1000, stats={f"{EVIL}{i}": EVIL * 100 for i in range(1000)})._repr_html_()
    assert len(source.encode()) < 100_000
    assert "40 of 200 columns" in source
    assert "script" not in tags(source)


@given(tables)
def test_rows_and_columns_are_the_same_cells(table):
    names, rows = table
    made = Table.from_rows(names, rows)
    assert [repr(tuple(row)) for row in made] == [repr(tuple(row)) for row in rows]
    for i, name in enumerate(names):
        assert [repr(cell) for cell in made.columns[name]] == [repr(row[i]) for row in rows]
    assert made.to_dicts() == made.to_dicts() or "nan" in repr(rows)


def test_a_table_without_columns_or_rows_still_shows():
    assert str(Table({})) == "(0 rows)"
    assert str(Table({"a": []})) == "a\n─\n(0 rows)"
    assert Table({})._repr_html_()
    assert Table({"a": []}).rows() == []


def test_a_subclass_may_make_its_columns_late_and_iterate_over_something_else():
    class Page(Table):
        def __init__(self, items):
            super().__init__({}, title="items")
            self.items = items

        @property
        def columns(self):
            return {
                name: [item.get(name) for item in self.items] for name in {n: None for item in self.items for n in item}
            }

        def __iter__(self):
            return iter(self.items)

    page = Page([{"a": 1}, {"a": 2, "b": "x"}])
    assert list(page) == [{"a": 1}, {"a": 2, "b": "x"}]
    assert page.rows() == [(1, None), (2, "x")]
    assert page[1].b == "x"
    assert page.column("a").tolist() == [1, 2]
    assert page.types == {"a": "object", "b": "object"}
    assert "(2 rows)" in str(page)
    assert len(page) == 2


def test_types_are_the_engines_words_where_it_has_some():
    table = Table({"a": np.arange(2), "b": np.zeros(2)}, {"a": "BIGINT"})
    assert table.types == {"a": "BIGINT", "b": "float64"}


def test_to_arrow_keeps_nulls_times_and_decimals():
    pa = pytest.importorskip("pyarrow", reason="needs the extra [arrow]")
    table = Table(
        {
            "at": np.array([PLAIN, None], "M8[ns]"),
            "n": np.ma.MaskedArray([1, 2], mask=[False, True]),
            "d": [Decimal("1.5"), None],
            "tags": [{"a"}, None],
            "x": np.array([1.0, np.nan]),
        }
    )
    arrow = table.to_arrow()
    assert arrow.schema.field("at").type == pa.timestamp("us", tz="UTC")
    assert [column.null_count for column in arrow.columns] == [1, 1, 1, 1, 0]
    assert arrow.column("tags").to_pylist() == [["a"], None]
    assert arrow.column("at").to_pylist()[0] == MOMENT
    with pytest.raises(errors.Invalid, match="column 'mixed'"):
        Table({"mixed": [1, "a"]}).to_arrow()


def test_to_pandas_keeps_nulls_and_times():
    pd = pytest.importorskip("pandas", reason="needs the extra [arrow]")
    frame = Table(
        {"at": [MOMENT, None], "n": np.ma.MaskedArray([1, 2], mask=[False, True]), "o": ["a", None]}
    ).to_pandas()
    assert frame["at"][0] == pd.Timestamp(MOMENT)
    assert frame["n"].isna().tolist() == [False, True]
    assert frame["n"][0] == 1
    assert frame["o"].isna().tolist() == [False, True]


def test_a_missing_package_is_named_with_the_extra_that_brings_it():
    with pytest.raises(errors.EngineError, match=r"pip install 'enginehouse\[arrow\]'") as caught:
        extras.extra("no_such_package.part", "arrow")  # noqa: S610 - not Django
    assert caught.value.code == "missing-extra"


def test_a_report_is_ok_when_it_has_no_problems():
    good = Report(checked=1200, unit="blobs")
    bad = Report(checked=3, problems=[Problem("log/1.log", 4096, "crc does not match")], unit="frames")
    assert good
    assert good.ok
    assert str(good) == "no problem in 1,200 blobs checked"
    assert not bad
    assert str(bad) == "1 problem in 3 frames checked\n  log/1.log, offset 4,096: crc does not match"
    both = good + bad
    assert (both.checked, both.ok, both.unit, list(both.problems)) == (1203, False, "items", list(bad.problems))
    assert (Report() + good).unit == "blobs"


def test_a_report_of_many_problems_is_short_and_escaped():
    report = Report(checked=100, problems=[Problem(EVIL, None, EVIL)] * 100)
    assert str(report).count("\n") == 21
    assert "and 80 more" in str(report)
    assert tags(report._repr_html_()) == {"pre"}


def plan():
    scan = Plan("Scan", "orders", {"rows": 10_000, "blocks_pruned": np.int64(3), "micros": 90})
    other = Plan("Scan", "airports", {"micros": 10})
    return Plan("Sort", "by total", {"rows": 3}, [Plan("Join", "a = b", {}, [scan, other]), Plan("Limit")])


def test_a_plan_reads_as_a_tree():
    assert str(plan()).split("\n") == [
        "Sort  by total  [rows=3]",
        "├─ Join  a = b",
        "│  ├─ Scan  orders  [rows=10,000, blocks_pruned=3, micros=90]",
        "│  └─ Scan  airports  [micros=10]",
        "└─ Limit",
    ]


def test_a_plan_finds_its_steps_and_becomes_json():
    tree = plan()
    assert tree.find("Scan").detail == "orders"
    assert [step.detail for step in tree.find_all("Scan")] == ["orders", "airports"]
    assert tree.find("Merge") is None
    assert json.loads(json.dumps(tree.to_dict()))["children"][0]["children"][0]["counters"]["blocks_pruned"] == 3


def test_a_plans_picture_is_well_formed_and_stands_alone():
    source = plan().visualise()
    root = ET.fromstring(source)  # noqa: S314 - our own text
    assert root.get("width") == "800"
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "orders" in texts
    assert "prefers-color-scheme" in source
    assert "<script" not in source
    assert "href" not in source


def test_a_plan_of_any_size_and_content_makes_a_small_picture():
    deep = Plan(EVIL * 50, EVIL * 50, {EVIL: 1, "micros": 5})
    for _ in range(2000):
        deep = Plan(EVIL * 50, EVIL * 50, {f"{EVIL}{i}": i for i in range(30)}, [deep])
    source = deep.svg()
    ET.fromstring(source)  # noqa: S314 - our own text
    assert len(source.encode()) < 200_000
    assert "more steps not drawn" in source
    assert len(deep._repr_html_().encode()) < 200_000
    assert str(deep).count("\n") == 2000
    assert "script" not in tags(source)
