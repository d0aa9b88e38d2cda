"""layout() and describe_block(): what lies where, what it costs, how a block looks."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from engines.clock import ManualClock
from engines.errors import Invalid, NotFound
from engines.timeseries.engine import TimeSeries

START = 1_767_225_600 * 10**9  # 2026-01-01
MINUTE = 60 * 10**9


@pytest.fixture
def clock():
    return ManualClock(START // 1000)


@pytest.fixture
def db(clock):
    with TimeSeries(clock=clock) as opened:
        cpu = opened.create_table("cpu", memory="12h")
        clock.advance(days=1)
        random = np.random.default_rng(3)
        walk = np.round(50 + np.cumsum(random.standard_normal(1440)) / 10, 2)
        for host in ("a", "b"):
            cpu.write(
                START + MINUTE * np.arange(1440),
                {"host": host},
                {"walk": walk, "same": np.ones(1440), "word": [f"w{number % 5}" for number in range(1440)]},
            )
        yield opened


def test_the_rows_of_a_blob_add_up_to_its_bytes(db, clock):
    db.checkpoint()
    clock.advance(days=1)
    for tier in ("memory", "magnetic"):
        (stored,) = db.table("cpu").tiles[START].blobs
        rows = db.layout()
        assert {row.tier for row in rows} == {tier}
        assert {row.blob for row in rows} == {stored.digest}
        assert sum(row.bytes for row in rows) == stored.bytes
        assert sum(row.points for row in rows if row.column in {"walk", "same", "word"}) == stored.points
        assert {row.column for row in rows} == {"time", "walk", "same", "word", "(directory)"}
        db.tick()


def test_codecs_are_named(db, clock):
    assert {(row.column, row.codec) for row in db.layout() if row.column in {"time", "same"}} == {
        ("time", "regular"),
        ("same", "constant"),
    }
    clock.advance(days=1)
    db.tick()
    (walk,) = [row for row in db.layout("cpu") if row.column == "walk"]
    assert walk.codec == "cold decimals"
    assert walk.blocks == 4
    assert walk.bytes_a_point == round(walk.bytes / 2880, 4)


def test_rows_in_memory_have_no_blob(db):
    rows = db.layout(db.table("cpu"))
    assert {(row.tier, row.blob) for row in rows} == {("memory", None)}
    assert "(directory)" not in {row.column for row in rows}


def test_the_summary_adds_tiles_up(db, clock):
    clock.advance(hours=3)
    db.table("cpu").write(START + 25 * 60 * MINUTE, {"host": "a"}, {"walk": 1.0})
    rows = {(row.tier, row.column): row for row in db.layout().summary()}
    assert rows["memory", "walk"].points == 2881
    assert rows["memory", "walk"].tiles == 2
    assert rows["memory", "(all)"].points == 3 * 2880 + 1


def test_pictures_are_drawn_of_anything(db, clock):
    pictures = [TimeSeries(clock=clock).layout().svg(), db.layout().svg()]
    db.checkpoint()
    clock.advance(days=1)
    db.tick()
    db.create_table("other").write(clock.now() * 1000, {"<b>": "&"}, {"x": 1.0})
    pictures += [db.layout().svg(), db.layout()._repr_html_(), db.table("cpu").describe_block(0, "walk").svg()]
    for picture in pictures:
        assert "<svg" in picture
    for picture in pictures[:3]:
        ET.fromstring(picture)  # noqa: S314 - our own
    assert "magnetic tier, blob" in pictures[2]
    assert "in memory only" in pictures[2]


def test_a_block_is_described_with_the_way_of_a_value(db, clock):
    cpu = db.table("cpu")
    values = [row[0] for row in db.sql("SELECT walk FROM cpu WHERE host = 'b' ORDER BY time")]
    text = str(cpu.describe_block({"host": "b"}, "walk", 0))
    assert text.startswith("cpu.walk of series 1 (host=b), block 0")
    assert "value = number / 10^2" in text
    assert f"value 65: {values[65]!r} -> " in text
    clock.advance(days=1)
    db.tick()
    cold = str(cpu.describe_block({"host": "b"}, "walk", 1))
    assert "magnetic tier, blob" in cold
    assert "codec cold decimals, 416 rows" in cold
    assert "made hot to be read" in cold


def test_blocks_of_any_type_are_described(db):
    cpu = db.table("cpu")
    assert "5 words: w0 w1 w2" in str(cpu.describe_block(0, "word"))
    assert "codec regular" in str(cpu.describe_block(0, "time"))
    assert "codec constant" in str(cpu.describe_block(0, "same", 1))


def test_blocks_that_are_not_there_are_refused(db):
    cpu = db.table("cpu")
    with pytest.raises(NotFound, match="'walk'"):
        cpu.describe_block(0, "wolk")
    with pytest.raises(NotFound, match="2 blocks"):
        cpu.describe_block(0, "walk", 2)
    with pytest.raises(NotFound, match="no series"):
        cpu.describe_block({"host": "c"}, "walk")
    with pytest.raises(NotFound, match="series 0 to 1"):
        cpu.describe_block(2, "walk")
    with pytest.raises(Invalid, match="its number"):
        cpu.describe_block("a", "walk")
    with pytest.raises(NotFound):
        db.layout("cpus")
