"""What a warehouse shows of itself: strips of blocks, a query as leader and slices, snapshots as a grid."""

import re

import numpy as np
import pytest

from engines.errors import NotFound
from engines.warehouse import Warehouse

ROWS = 200_000


@pytest.fixture
def w():
    with Warehouse(nodes=2, slices=1) as warehouse:
        order = np.random.default_rng(1).permutation(ROWS)
        data = {"n": order, "word": np.array([f"w{n % 5}" for n in order.tolist()])}
        for name, how in (("heap", "DISTSTYLE EVEN"), ("sorted", "DISTSTYLE EVEN SORTKEY(n)"), ("keyed", "DISTKEY(n)")):
            warehouse.sql(f"CREATE TABLE {name} (n INTEGER, word VARCHAR(5)) {how}")
            warehouse.append(name, data)
        yield warehouse


def whole(svg):
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    assert not re.search(r'="-?(nan|inf)', svg)
    assert len(svg) < 200_000
    return svg


def test_sorted_blocks_are_stairs_and_others_lie_over_each_other(w):
    heap, stairs = (w.layout(name).strips_of[0] for name in ("heap", "sorted"))
    assert heap.reads > 0.95 * len(heap.blocks)
    assert stairs.reads < 1.01
    assert stairs.lows() == "".join(sorted(stairs.lows()))
    ends = [(strip.start, strip.end) for strip in stairs.strips]
    assert ends == sorted(ends)
    assert (ends[0][0], ends[-1][1]) == (0.0, 1.0)


def test_a_layout_is_a_row_a_block_and_prints_a_line_a_column(w):
    layout = w.layout("sorted")
    assert len(layout) == sum(row.column == "n" for row in layout) + sum(row.column == "word" for row in layout)
    assert next(row.low for row in layout if row.column == "word") == "w0"
    assert "sorted: 200,000 rows" in str(layout)
    assert [row[2] for row in layout.summary()] == ["SORTKEY 1", None]
    assert layout.strips("N").count("slice") == sum(row.column == "n" for row in layout)
    with pytest.raises(NotFound, match="did you mean 'word'"):
        layout.strips("wort")
    assert whole(layout.svg()).count("<rect") == len(layout)
    assert "<svg" in layout._repr_html_()


def test_a_layout_of_all_tables_names_them(w):
    layout = w.layout()
    assert {row.table for row in layout} == {"heap", "sorted", "keyed"}
    assert [row[0] for row in layout.summary()][:2] == ["heap.n", "heap.word"]
    assert layout.strips("keyed.word").startswith("keyed.word: ")


def test_nothing_but_null_and_no_rows_at_all_have_a_layout():
    with Warehouse() as w:
        w.sql("CREATE TABLE t (a DOUBLE PRECISION, b DATE, c VARCHAR(9))")
        assert len(w.layout("t")) == 0
        whole(w.layout("t").svg())
        w.sql("INSERT INTO t VALUES (NULL, NULL, NULL)")
        assert [(row.low, row.high) for row in w.layout("t")] == [(None, None)] * 3
        w.sql("INSERT INTO t VALUES ('NaN', '2024-02-29', '<b>')")
        assert "2024-02-29 .. 2024-02-29" in w.layout("t").strips("b")
        assert "&lt;b&gt;" in whole(w.layout("t").svg())
        str(w.layout("t"))


def test_a_picture_says_where_rows_lie_and_what_was_read(w):
    picture = w.picture("SELECT count(*) FROM keyed WHERE n < ?", 1000)
    assert sum(picture.held) == ROWS
    assert picture.counter("rows") == 1
    lines = str(picture).splitlines()
    assert lines[0].startswith("leader   Aggregate: 1 rows")
    assert sum(line.startswith("node ") for line in lines) == 2
    assert f"keyed ({ROWS:,} rows)" in lines[-1]
    whole(picture.svg())


def test_a_picture_of_a_join_has_the_join_and_both_tables(w):
    picture = w.picture("SELECT count(*) FROM heap h JOIN keyed k ON h.n = k.n")
    assert set(picture.rows) == {"heap", "keyed"}
    assert len(picture.joins) == 1
    whole(picture.svg())


def test_a_picture_without_a_stored_table_is_one_too(w):
    assert "no stored table" in str(w.picture("SELECT 1 AS one"))
    assert whole(w.picture("SELECT '<script>' AS x").svg()).count("<script") == 0


def test_a_grid_shows_what_each_snapshot_added(w):
    w.snapshot("monday")
    w.sql("DELETE FROM heap WHERE n = 5")
    tuesday = w.snapshot("tuesday")
    grid = w.snapshot_grid()
    assert [moment.name for moment in grid.moments] == ["monday", "tuesday", "now"]
    assert grid.moments[0].new == frozenset(grid.moments[0].blobs)
    assert len(grid.moments[1].new) == tuesday.new_blobs == 3
    assert {grid.kinds[blob] for blob in grid.moments[1].new} == {"mask", "page", "root"}
    assert grid.moments[2].new == frozenset()
    monday, second, now = str(grid).splitlines()
    assert "▒" not in monday
    assert second.count("█") == 3
    assert "█" not in now
    whole(grid.svg())
    assert [row[3] for row in grid.table()][1:] == [3, 0]


def test_more_blobs_than_columns_share_them():
    with Warehouse() as w:
        w.sql("CREATE TABLE t (n INTEGER)")
        for n in range(50):
            w.sql("INSERT INTO t VALUES (?)", n)
            if n % 10 == 0:
                w.snapshot(f"s{n}")
        grid = w.snapshot_grid()
        assert len(grid.columns()) <= 64
        assert sum(map(len, grid.columns())) == len(grid.kinds)
        whole(grid.svg())


def test_analyze_compression_names_what_auto_chose(w):
    found = w.sql("ANALYZE COMPRESSION sorted").rows()
    assert {row.column for row in found if row.chosen} == {"n", "word"}
    assert not any(row.encoding in {"delta", "bitpack"} for row in found if row.column == "word")
