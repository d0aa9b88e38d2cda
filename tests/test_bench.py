"""The benches measure fairly, notice wrong answers, and say all they know: tested without measuring for long."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import bench_cache
import bench_ground
import bench_kv
import bench_kv_tables
import bench_kv_time
import bench_ledger
import bench_timeseries
import bench_warehouse
import machine
import pytest
import report
from adapters import cache, ground, kv, kv_tables, kv_time, ledger, timeseries, warehouse
from data import SCALES, Items, packed, texts
from race import Lane, race
from summary import Row, by_group, duration, lines, verdicts
from systems import MEMORY, POWER, PROCESS, SYSTEMS, System
from targets import TARGETS

from engines.benchmark import bench, command, find_benches
from engines.errors import Invalid, NotFound

BENCH = Path(__file__).parents[1] / "bench"


def places():
    """(group, system) of every bench."""
    modules = bench_kv, bench_kv_tables, bench_kv_time, bench_cache, bench_ground, bench_ledger, bench_warehouse
    for module in (*modules, bench_timeseries):
        for name, function in vars(module).items():
            if name.startswith("bench_"):
                marks = {mark.name: mark for mark in function.pytestmark}
                for system in marks["parametrize"].args[1]:
                    yield marks["benchmark"].kwargs["group"], system


# who and what


def test_every_row_has_a_registered_system_that_states_its_promise_in_the_groups_grade():
    for group, system in places():
        grade = group.partition("[")[2].partition("]")[0]
        assert grade in SYSTEMS[system].promises, f"{system} in {group}"


def test_each_adapter_belongs_to_a_registered_system():
    tables = (kv_tables.RANGES, kv_tables.ORDERS, *kv_tables.INDEXED.values(), kv_time.EXPIRING, kv_time.RETURNING)
    tables += (ledger.BOOKS, ledger.COMMITTERS, ledger.IN_MEMORY, ledger.TREES, ledger.PROVERS)
    tables += (warehouse.SCANNERS, timeseries.ASKED, timeseries.STORED)
    appenders = ground.APPENDERS
    known = {name for table in (kv.ADAPTERS, ground.ADAPTERS, appenders, cache.ADAPTERS, *tables) for name in table}
    assert known <= set(SYSTEMS)


def test_every_target_names_rows_that_exist():
    known = set(places())
    for target in TARGETS:
        assert target.row in known, target
        assert target.against is None or target.against in known, target


def test_a_system_that_is_not_installed_says_how_to_get_it():
    assert System("x", "no-such-package", "no_such_module", "nocodec").missing == "pip install no-such-package nocodec"
    assert System("x", "pytest", "pytest").missing is None
    assert SYSTEMS["sqlite"].version[0].isdigit()


def test_data_follows_from_the_seed_alone():
    one, same, other = Items(60, seed=3), Items(60, seed=3), Items(60, seed=4)
    assert (one.items, one.order, one.zipfian(50, 7)) == (same.items, same.order, same.zipfian(50, 7))
    assert one.mix(50, 0.5, 2) == same.mix(50, 0.5, 2)
    assert one.items != other.items
    assert one.zipfian(50, 7) != one.zipfian(50, 8)
    assert texts(4, 10, 1) == texts(4, 10, 1) != texts(4, 10, 2)


def test_an_item_is_ten_fields_of_a_hundred_letters_and_its_last_byte_is_the_checksum():
    item = Items(3).items[2]
    assert list(item) == ["id", *(f"field{i}" for i in range(10))]
    assert {len(value) for name, value in item.items() if name != "id"} == {100}
    assert packed(item)[-1] == ord(item["field9"][-1])


def test_zipfian_keys_have_the_shares_of_the_law_and_lie_scattered():
    items = Items(1000)
    drawn = Counter(items.zipfian(200_000, 1)).most_common(3)
    weights = [rank**-0.99 for rank in range(1, 1001)]
    for (_, times), weight in zip(drawn, weights, strict=False):
        assert times / 200_000 == pytest.approx(weight / sum(weights), rel=0.05)
    assert [i for i, _ in drawn] != [0, 1, 2]


def test_versions_of_an_item_differ_and_half_of_a_mix_are_puts():
    items = Items(20)
    assert len({packed(items.version(3, number)) for number in range(9000)}) == 9000
    assert len(set(items.distinct(20, 1))) == 20
    puts = [item for _, item in items.mix(4000, 0.5, 0) if item is not None]
    assert 1900 < len(puts) < 2100


def test_scales_grow():
    smoke, small, full = SCALES.values()
    assert smoke.items < small.items < full.items
    assert smoke.killed < small.killed < full.killed == 1_000_000


# races


def test_systems_take_turns_in_alternating_order_and_round_0_does_not_count():
    ran = []
    lanes = [
        Lane("g", name, operations=2, prepare=lambda lap, name=name: (name, lap), run=ran.append) for name in ("a", "b")
    ]
    race(lanes, rounds=2)
    assert ran == [("b", 0), ("a", 0), ("a", 1), ("b", 1), ("b", 2), ("a", 2)]
    assert [len(lane.laps) for lane in lanes] == [2, 2]


def test_a_wrong_answer_costs_a_system_its_time_and_nobody_elses():
    def right(lap, answer):
        assert answer == 4, "not four"

    good = Lane("g", "good", 1, lambda _: 4, check=right)
    bad = Lane("g", "bad", 1, lambda lap: 4 if lap < 2 else 5, check=right)
    race([good, bad], rounds=3)
    good.assert_right()
    assert len(good.laps) == 3
    with pytest.raises(AssertionError, match="not four"):
        bad.assert_right()


# what is said


def row(group, system, seconds, **info):
    return Row(group, system, "bench_x", seconds, seconds * 1.5, 5, info)


READ, PUT = "kv [process-safe] read", "ground [power-safe] append"
ROWS = [
    row(READ, "engines", 1e-6, cpu=1e-6),
    row(READ, "rocksdict", 2e-6, cpu=1.5e-6),
    row(READ, "lmdb", 0.4e-6, cpu=0.4e-6),
    row(PUT, "engines", 1e-4, commits=30, syncs=10),
    row(PUT, "lmdb", 2e-4),
    row(PUT + ", 16 threads", "engines", 2e-5),
    row(PUT + ", 16 threads", "<peer>", 2.5e-4),
]
FACTS = {
    "began": "2024-01-01T00:00:00+00:00",
    "scale": "small",
    "command": "engines bench",
    "commit": "abc",
    "processor": "cpu",
    "system": "Linux",
    "python": "CPython",
    "cores": 2,
    "disk": "ext4",
    "load_before": 0.5,
    "load_after": 1.0,
    "failed": [],
    "systems": {
        "lmdb": {"version": "1.0", "promises": {POWER: "a commit"}, "note": "", "missing": None, "ours": False},
        "rocksdict": {"version": "-", "promises": {}, "note": "", "missing": "pip install rocksdict", "ours": False},
    },
}


def as_result(rows, facts):
    """What pytest-benchmark would write about these rows."""
    benchmarks = [
        {
            "group": row.group,
            "name": f"{row.bench}[{row.system}]",
            "params": {"system": row.system},
            "extra_info": row.info,
            "stats": {"min": row.seconds, "median": row.median, "rounds": row.laps},
        }
        for row in rows
    ]
    return {"benchmarks": benchmarks, "enginehouse": facts}


def test_the_summary_prints_ratios_of_minima_targets_versions_and_what_is_missing():
    text = "\n".join(lines(ROWS, FACTS))
    assert "engines 1.00 us   lmdb 0.40x 0.40 us   rocksdict 2.00x 2.00 us" in text
    assert "(3.0 commits a sync)" in text
    assert re.search(r"target met +2\.00x \(CPU 1\.50x\) +at least 1\.70x +kv: reads, against RocksDB", text)
    assert re.search(r"target MISSED +0\.40x .*raw bytes", text)
    assert re.search(r"target met +5\.00x .*16 threads against one", text)
    assert "not measured: rocksdict (pip install rocksdict)" in text


def test_durations_have_three_digits_and_a_unit():
    said = [duration(seconds) for seconds in (2.5, 0.0123, 123e-6, 4.04e-7)]
    assert said == ["2.50 s", "12.3 ms", "123 us", "0.40 us"]


def test_targets_in_seconds_count_only_at_their_scale():
    killed = row("kv [process-safe] open after kill", "engines", 0.5)
    assert verdicts([killed], FACTS) == []
    (verdict,) = verdicts([killed], FACTS | {"scale": "full"})
    assert verdict.met


def test_the_page_has_the_worst_group_first_and_asks_nobody_for_anything():
    page = report.page(as_result(ROWS, FACTS))
    headings = re.findall(r"<h2>([^<]*)</h2>", page)
    assert headings[:4] == ["Targets", READ, PUT, PUT + ", 16 threads"]
    assert page.count("<svg") == 4 == page.count('role="img" aria-label="')
    assert not re.search(r"https?:|//|src=|<script|<link|@import|url\(", page)
    assert "&lt;peer&gt;" in page
    assert "<peer>" not in page
    assert page.count("<table>") == page.count("<caption>")
    assert "not measured: pip install rocksdict" in page


def test_a_busy_machine_a_disk_of_memory_and_wrong_answers_are_said_first():
    page = report.page(as_result(ROWS, FACTS | {"load_before": 2.1, "disk": "tmpfs", "failed": ["bench_x[y]"]}))
    first = page.partition("<body>")[2].splitlines()[1:4]
    assert [bool(re.search(word, line)) for word, line in zip(("load", "tmpfs", "Wrong"), first, strict=True)] == [
        True
    ] * 3
    assert 'class="bad"' not in report.page(as_result(ROWS, FACTS))


def test_a_run_without_our_own_engine_still_makes_a_page():
    peers = [row for row in ROWS if row.system != "engines"]
    assert "<svg" not in re.sub(r"<section><h2>Durable.*?</section>", "", report.page(as_result(peers, FACTS)))
    assert list(by_group(peers)[READ]) == ["lmdb", "rocksdict"]


def test_facts_of_this_machine_can_be_written_as_json(tmp_path):
    facts = machine.finished(machine.facts(tmp_path))
    assert json.loads(json.dumps(facts))["cores"] >= 1


# engines bench


def test_benches_are_found_beside_the_source_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_benches() == BENCH
    with pytest.raises(NotFound, match="clone the repository"):
        find_benches(tmp_path)
    shutil.copytree(BENCH, tmp_path / "bench")
    assert find_benches() == tmp_path / "bench"
    with pytest.raises(Invalid, match="at least 1"):
        bench(rounds=0)


def test_the_command_names_all_that_pytest_needs_to_run_from_any_folder():
    line = command(BENCH, ["--scale=smoke"])
    assert line[1:4] == ["-m", "pytest", str(BENCH)]
    assert f"pythonpath={BENCH}" in line
    assert line[-1] == "--scale=smoke"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder whose own `engines` would break everything, were it imported."""
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "__init__.py").write_text("raise ImportError('the current folder was imported')")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(**options):
    return bench(scale="smoke", only="kv", k="bench_read and (sqlite or lmdb)", report=Path("page.html"), **options)


@pytest.mark.slow
def test_bench_writes_a_page_and_its_figures_and_exits_with_0(elsewhere, capfd):
    assert run(rounds=2) == 0
    figures = json.loads((elsewhere / "page.json").read_text())
    assert {len(one["stats"]["data"]) for one in figures["benchmarks"]} == {2}
    assert READ in (elsewhere / "page.html").read_text()
    said = capfd.readouterr().out
    assert READ in said
    assert "wrote" in said
    assert list((elsewhere / ".bench-data").iterdir()) == []


def test_a_run_without_a_match_leaves_the_last_page_alone(elsewhere, capfd):
    (elsewhere / "page.html").write_text("the last one")
    assert bench(scale="smoke", k="no_such_bench", report=Path("page.html")) == 5
    assert (elsewhere / "page.html").read_text() == "the last one"
    assert "no bench matches" in capfd.readouterr().out


@pytest.mark.slow
def test_bench_fails_when_an_answer_is_wrong_and_says_whose(elsewhere):
    shutil.copytree(BENCH, elsewhere / "wrong")
    adapter = elsewhere / "wrong" / "adapters" / "kv.py"
    right = "lambda key: unpackb(execute(select, (key,)).fetchone()[0])"
    assert right in adapter.read_text()
    adapter.write_text(adapter.read_text().replace(right, f'lambda key: ({right})(key) | {{"field0": "?"}}'))
    assert run(folder=Path("wrong")) == 1
    page = (elsewhere / "page.html").read_text()
    assert re.search(r"Wrong answers, not timed: [^<]*bench_read\[sqlite\]", page)
    timed = {one["name"] for one in json.loads((elsewhere / "page.json").read_text())["benchmarks"]}
    assert timed == {"bench_read[lmdb]", "bench_read[lmdb + ormsgpack]"}


def test_grades_have_the_names_that_groups_use():
    assert {group.partition("[")[2].partition("]")[0] for group, _ in places()} == {MEMORY, PROCESS, POWER}
