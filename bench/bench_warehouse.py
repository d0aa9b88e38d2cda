"""The warehouse: TPC-H, all 22 queries, beside DuckDB in a file of its own; loading, bytes, snapshots, single inserts.

Every answer is held against DuckDB's before its time counts: row for row where the query orders them, decimals exactly,
doubles to nine digits. Queries run with a warm statement cache on both sides (from the second lap on), tables open,
pages in the operating system's cache. Scale factor 0.01 at smoke, 0.1 at small, 1 at full.

    [one thread]    our one slice, DuckDB with threads = 1
    [two threads]   our two slices, DuckDB with threads = 2
"""

import math
from decimal import Decimal

import pytest
import tpch
from adapters.warehouse import SCANNERS, WAREHOUSES, removed
from race import Lane, entrants, failing, race, replayed

FACTORS = {"smoke": 0.01, "small": 0.1, "full": 1}
ONE, TWO = "warehouse [memory] one thread", "warehouse [memory] two threads"
ALL, ALL_TWO = f"{ONE}, the 22 in a row", f"{TWO}, the 22 in a row"
LOAD = "warehouse [power-safe] load from Parquet"
INSERT, COPY = "warehouse [power-safe] 100 inserts of a row", "warehouse [power-safe] one COPY of 100 rows"
SNAPSHOT, APPEND, RESTORE = (f"warehouse [power-safe] {what}" for what in ("snapshot", "append of 1 %", "restore"))
POINT = "warehouse [memory] one day of a sorted table"
QUERIES = {number: f"{ONE}, Q{number:02}" for number in tpch.QUERIES}
SCANS = (1, 6)


@pytest.fixture(scope="module")
def files(request, scale):
    found = tpch.files(request.config.option.data, FACTORS[scale.name])
    if found is None:
        pytest.skip("tpchgen-cli is not installed: pip install tpchgen-cli")
    return found


def same(ours, theirs):
    """Whether two answers are equal: doubles to nine digits, and where one has decimals, to a unit of their last."""
    assert len(ours) == len(theirs), f"{len(ours)} rows, not {len(theirs)}"
    for row, other in zip(ours, theirs, strict=True):
        for value, expected in zip(row, other, strict=True):
            if isinstance(value, Decimal) and isinstance(expected, float):
                unit = 10.0 ** value.as_tuple().exponent
                assert math.isclose(value, expected, rel_tol=1e-9, abs_tol=unit), f"{row} instead of {other}"
            elif isinstance(value, float) or isinstance(expected, float):
                assert math.isclose(value, expected, rel_tol=1e-9), f"{row} instead of {other}"
            else:
                assert Decimal(value) == expected if isinstance(expected, Decimal) else value == expected, (
                    f"{row} instead of {other}"
                )


def loaded(kinds, request, folder, files, threads):
    """The systems of a race with all tables; what fails alone is left out with its reason."""
    found = {}
    for name in entrants(request):
        if name in kinds:
            system = kinds[name]()
            system.open(folder / f"{name}-{threads}", threads)
            system.load(files)
            found[name] = system
    return found


@pytest.fixture(scope="module")
def queried(request, scale, folder, files):
    """Lanes of all queries with one thread, and of the whole row of them."""
    systems = loaded(SCANNERS, request, folder, files, 1)
    lanes = _query_lanes(systems, files, ONE, ALL)
    raced = race(lanes, min(scale.rounds, 7))
    for system in systems.values():
        system.close()
    return raced


@pytest.fixture(scope="module")
def queried_by_two(request, scale, folder, files):
    systems = loaded(WAREHOUSES, request, folder, files, 2)
    lanes = _query_lanes(systems, files, TWO, ALL_TWO)
    raced = race(lanes, min(scale.rounds, 7))
    for system in systems.values():
        system.close()
    return raced


def _query_lanes(systems, files, prefix, everything):
    reference = WAREHOUSES["duckdb"]()
    reference.open(files["lineitem"].parent / "reference")
    if not reference.query("SELECT 1 FROM duckdb_tables() WHERE table_name = 'lineitem'"):
        reference.load(files)
    expected = {number: reference.query(text) for number, text in tpch.QUERIES.items()}
    reference.close()
    lanes = []
    for name, system in systems.items():
        if name == "polars":
            lanes += [
                Lane(
                    f"{prefix}, Q{n:02}",
                    name,
                    1,
                    lambda _, n=n, s=system: s.query(n),
                    check=lambda _, rows, n=n: rough(rows, expected[n]),
                )
                for n in SCANS
            ]
            continue
        if name == "sqlite":
            continue
        for number, text in tpch.QUERIES.items():
            lanes.append(
                Lane(
                    f"{prefix}, Q{number:02}",
                    name,
                    1,
                    lambda _, s=system, text=text: s.query(text),
                    check=lambda _, rows, number=number: same(rows, expected[number]),
                    one_thread=prefix == ONE,
                )
            )
        lanes.append(
            Lane(
                everything,
                name,
                22,
                lambda _, s=system: [s.query(text) for text in tpch.QUERIES.values()],
                one_thread=prefix == ONE,
            )
        )
    return lanes


def rough(ours, theirs):
    """Floats for decimals: to six digits."""
    for row, other in zip(ours, theirs, strict=True):
        for value, expected in zip(row, other, strict=True):
            if not isinstance(value, str):
                assert math.isclose(float(value), float(expected), rel_tol=1e-6)


for _number, _name in QUERIES.items():
    globals()[f"bench_q{_number:02}"] = replayed(
        _name, "queried", [*WAREHOUSES, "polars"] if _number in SCANS else [*WAREHOUSES]
    )
    globals()[f"bench_two_q{_number:02}"] = replayed(f"{TWO}, Q{_number:02}", "queried_by_two", [*WAREHOUSES])
bench_all = replayed(ALL, "queried", [*WAREHOUSES])
bench_all_two = replayed(ALL_TWO, "queried_by_two", [*WAREHOUSES])


@pytest.fixture(scope="module")
def loads(request, folder, files):
    """Each lap loads all tables into a new store; bytes on disk stand in the notes."""
    lanes = []
    for name in entrants(request):
        state = {}

        def prepare(number, name=name, state=state):
            if "system" in state:
                removed(state["folder"])
            state["folder"] = folder / f"load-{name}-{number}"
            state["system"] = WAREHOUSES[name]()
            state["system"].open(state["folder"])
            return number

        def run(_, state=state):
            state["system"].load(files)

        def check(_, answer, state=state):
            del answer
            (count,) = state["system"].query("SELECT count(*) FROM lineitem")[0]
            assert count == state["system"].query("SELECT count(l_comment) FROM lineitem")[0][0]
            state["system"].close()
            state["lane"].info["bytes"] = state["system"].size()

        state["lane"] = Lane(LOAD, name, 1, run, prepare, check, one_thread=False)
        lanes.append(state["lane"])
    return race(lanes, 2)


bench_load = replayed(LOAD, "loads", [*WAREHOUSES])


@pytest.fixture(scope="module")
def inserted(request, folder):
    """A hundred rows, one statement each, against one file of them: the lesson that large inserts are better."""
    systems, lanes = {}, []
    source = folder / "hundred.csv"
    source.write_text("".join(f"{i},name {i}\n" for i in range(100)))
    for name in entrants(request):
        system = systems[name] = WAREHOUSES[name]()
        system.open(folder / f"insert-{name}")
        system.execute("CREATE TABLE small (id INTEGER, name VARCHAR(20))")
        system.execute("CREATE TABLE copied (id INTEGER, name VARCHAR(20))")

        def one_by_one(_, system=system):
            for i in range(100):
                system.execute(f"INSERT INTO small VALUES ({i}, 'name {i}')")  # noqa: S608 - our own numbers

        def at_once(_, system=system, name=name):
            system.execute(f"COPY copied FROM '{source}'" + (" CSV" if name == "engines" else ""))

        lanes += [
            Lane(INSERT, name, 100, one_by_one, one_thread=False),
            Lane(COPY, name, 100, at_once, one_thread=False),
        ]
    raced = race(lanes, 3)
    for name, system in systems.items():
        with failing(lane for lane in lanes if lane.system == name):
            (count,) = system.query("SELECT count(*) FROM small")[0]
            assert count == 400
            system.close()
    return raced


bench_insert = replayed(INSERT, "inserted", [*WAREHOUSES])
bench_copy = replayed(COPY, "inserted", [*WAREHOUSES])
