"""Time series: nine questions of a dashboard, ingest, bytes a point, beside DuckDB, Polars and SQLite.

Data: fleet.py; 100 hosts, 10 metrics, 10 s, 24 hours (8.64 million points) at full scale, fewer at others. Every answer
is held against numpy's before its time counts. Questions are SQL text with a warm plan, one thread; rows are fetched.

    [memory]        where rows are asked for: nothing is written
    [power-safe]    a write is on disk when it returns; SQLite in WAL with synchronous = FULL, DuckDB commits each batch
"""

import datetime as dt
import math
from itertools import count

import fleet as fleets
import numpy as np
import pytest
from adapters.timeseries import ASKED, STORED, Ours
from adapters.warehouse import removed
from fleet import Fleet
from race import Lane, entrants, race, replayed

INGEST = "time series [power-safe] ingest of columns"
LATE = "time series [power-safe] ingest, a tenth of the rows late"
LINES = "time series [power-safe] ingest of line protocol"
COLD = "time series [memory] magnetic tier, by hour and host, all metrics"
SHORT, LONG = "time series [memory] last hour, short history", "time series [memory] last hour, long history"
QUESTIONS = {question: f"time series [memory] {question.name}" for question in fleets.QUESTIONS}
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def fleet(scale):
    return Fleet(fleets.SIZES[scale.name])


def plain(value):
    """Times as nanoseconds since 1970."""
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[ns]").astype(np.int64))
    if isinstance(value, dt.datetime):
        return (value.replace(tzinfo=dt.UTC) - EPOCH) // dt.timedelta(microseconds=1) * 1000
    return value


def same(rows, expected, question):
    """Whether an answer is right: averages to nine digits, all else exactly."""
    rows = [tuple(map(plain, row)) for row in rows]
    if question.kind == "high":
        rows.sort()
        expected = sorted(expected)
    assert len(rows) == len(expected), f"{len(rows)} rows, not {len(expected)}"
    for row, other in zip(rows, expected, strict=True):
        for value, wanted in zip(row, other, strict=True):
            close = isinstance(wanted, float) and math.isclose(value, wanted, rel_tol=1e-9)
            assert value == wanted or close, f"{row} instead of {other}"


def filled(request, folder, fleet, kinds):
    """The systems of a race with all rows in them."""
    found = {}
    for name in entrants(request):
        system = found[name] = kinds[name]()
        system.open(folder / f"asked-{name.replace(' ', '-')}")
        for rows in fleet.batches():
            system.write(fleet, rows)
        if not isinstance(system, Ours):
            system.settle()
    return found


@pytest.fixture(scope="module")
def asked(request, scale, folder, fleet):
    systems = filled(request, folder, fleet, ASKED)
    lanes = []
    for question, name in QUESTIONS.items():
        expected = fleets.answer(fleet, question)
        for system_name, system in systems.items():
            lanes.append(
                Lane(
                    name,
                    system_name,
                    1,
                    lambda _, system=system, question=question: system.ask(question, fleet.size),
                    check=lambda _, rows, question=question, expected=expected: same(rows, expected, question),
                )
            )
    raced = race(lanes, scale.rounds)
    for system in systems.values():
        system.close()
    return raced


for _number, _name in enumerate(QUESTIONS.values()):
    globals()[f"bench_question_{_number}"] = replayed(_name, "asked", [*ASKED])


def _ingesting(fleet, folder, name, order, group_name):
    """A lane whose laps each fill a new store, batch by batch; bytes a point stand in the notes."""
    state = {}
    numbers = count()

    def prepare(_):
        if "system" in state:
            removed(state["folder"])
        state["folder"] = folder / f"{group_name.rpartition(' ')[2]}-{name}-{next(numbers)}"
        state["system"] = STORED[name]()
        state["system"].open(state["folder"])
        return order

    def run(order):
        for rows in fleet.batches():
            state["system"].write(order, rows)

    def check(_, answer):
        del answer
        system = state["system"]
        question = fleets.QUESTIONS[5]
        same(system.ask(question, fleet.size), fleets.answer(fleet, question), question)
        system.settle()
        same(system.ask(question, fleet.size), fleets.answer(fleet, question), question)
        state["lane"].info["bytes"] = system.size()
        state["lane"].info["bytes a point"] = round(system.size() / fleet.points, 3)
        system.close()

    state["lane"] = Lane(group_name, name, fleet.points, run, prepare, check, one_thread=False)
    return state["lane"]


@pytest.fixture(scope="module")
def ingested(request, folder, fleet):
    return race([_ingesting(fleet, folder, name, fleet, INGEST) for name in entrants(request)], 3)


bench_ingest = replayed(INGEST, "ingested", [*STORED])


@pytest.fixture(scope="module")
def ingested_late(request, folder, fleet):
    late = fleets.shuffled(fleet)
    return race([_ingesting(fleet, folder, name, late, LATE) for name in entrants(request)], 3)


bench_ingest_late = replayed(LATE, "ingested_late", [*STORED])


@pytest.fixture(scope="module")
def ingested_lines(folder, fleet):
    """Text in, durable rows out; time is by point."""
    rows = slice(0, min(fleet.rows, 4 * fleet.size.batch))
    texts = [fleets.lines(fleet, slice(at, min(at + 10_000, rows.stop))) for at in range(0, rows.stop, 10_000)]
    state = {}
    numbers = count()

    def prepare(number):
        if state:
            state["system"].close()
        state["system"] = Ours()
        state["system"].open(folder / f"lines-{next(numbers)}")
        state["system"].clock.advance(hours=fleet.size.hours)
        return number

    def run(_):
        for text in texts:
            state["system"].table.write_lines(text)

    def check(_, answer):
        del answer
        (row,) = state["system"].db.sql("SELECT count(*), sum(usage_user) FROM cpu").rows()
        assert row[0] == rows.stop
        assert math.isclose(row[1], fleet.columns["usage_user"][rows].sum(), rel_tol=1e-9)

    points = rows.stop * len(fleets.METRICS)
    raced = race([Lane(LINES, "engines", points, run, prepare, check, one_thread=False)], 3)
    state["system"].close()
    return raced


bench_ingest_lines = replayed(LINES, "ingested_lines", ["engines"])


@pytest.fixture(scope="module")
def cooled(request, scale, folder, fleet):
    """After everything went to the magnetic tier; peers have no such thing and are asked again beside it."""
    kinds = {name: kind for name, kind in ASKED.items() if name in {"engines", "duckdb"}}
    systems = filled(request, folder / "cold", fleet, kinds)
    if "engines" in systems:
        systems["engines"].settle()
    question = fleets.QUESTIONS[5]
    expected = fleets.answer(fleet, question)
    lanes = [
        Lane(
            COLD,
            name,
            1,
            lambda _, system=system: system.ask(question, fleet.size),
            check=lambda _, rows: same(rows, expected, question),
        )
        for name, system in systems.items()
    ]
    raced = race(lanes, scale.rounds)
    for system in systems.values():
        system.close()
    return raced


bench_cold = replayed(COLD, "cooled", ["engines", "duckdb"])


@pytest.fixture(scope="module")
def remembered(scale, folder):
    """The last hour where there is no more, and where there is a hundred times as much (ten times, at smoke)."""
    lanes, systems = [], []
    for name, size in zip((SHORT, LONG), fleets.HISTORIES[scale.name], strict=True):
        data = Fleet(size)
        system = Ours()
        system.open(folder / name.replace(" ", "-"))
        systems.append(system)
        for rows in data.batches():
            system.write(data, rows)
        expected = fleets.answer(data, fleets.LAST_HOUR)
        lanes.append(
            Lane(
                name,
                "engines",
                1,
                lambda _, system=system, size=size: system.ask(fleets.LAST_HOUR, size),
                check=lambda _, rows, expected=expected: same(rows, expected, fleets.LAST_HOUR),
            )
        )
    raced = race(lanes, scale.rounds)
    for system in systems:
        system.close()
    return raced


bench_short_history = replayed(SHORT, "remembered", ["engines"])
bench_long_history = replayed(LONG, "remembered", ["engines"])
