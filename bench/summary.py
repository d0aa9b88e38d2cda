"""A run in lines of text: one a group, one a target, then versions and what is missing.

    kv [process-safe] read                  engines 1.20 us   lmdb 0.52x 0.62 us   rocksdict 2.01x 2.41 us

A ratio is a system's time divided by ours, from the minima of one run: 2.00x means that we are twice as fast.
"""

from collections import defaultdict
from dataclasses import dataclass

import machine
from targets import TARGETS

OURS = "engines"


@dataclass(frozen=True, slots=True)
class Row:
    """One system in one group; times in seconds an operation."""

    group: str
    system: str
    bench: str  # the function's name, for `-k`
    seconds: float  # the minimum
    median: float
    laps: int
    info: dict  # what the bench noted beside it

    @property
    def cpu(self) -> float | None:
        return self.info.get("cpu")

    @property
    def commits_per_sync(self) -> float | None:
        return self.info["commits"] / self.info["syncs"] if self.info.get("syncs") else None


def rows_of(benchmarks: list[dict]) -> list[Row]:
    """The rows in pytest-benchmark's JSON."""
    return [
        Row(
            bench["group"],
            bench["params"]["system"],
            bench["name"].partition("[")[0],
            bench["stats"]["min"],
            bench["stats"]["median"],
            bench["stats"]["rounds"],
            bench["extra_info"],
        )
        for bench in benchmarks
    ]


def by_group(rows: list[Row]) -> dict[str, dict[str, Row]]:
    """group -> system -> row, systems fastest first."""
    groups = defaultdict(dict)
    for row in sorted(rows, key=lambda row: (row.group, row.seconds)):
        groups[row.group][row.system] = row
    return dict(groups)


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            value = seconds * scale
            break
    return f"{value:.{max(0, 2 - (value >= 10) - (value >= 100))}f} {unit}"


def size(count: float) -> str:
    return f"{count / 1e6:.1f} MB"


def lines(rows: list[Row], facts: dict) -> list[str]:
    said = [sentence] if (sentence := machine.busy(facts)) else []
    groups = by_group(rows)
    if groups:
        said.append("time an operation, minimum of the laps; x: the system's time divided by ours")
    said += [f"{name:42} {'   '.join(cell(row, group) for row in ours_first(group))}" for name, group in groups.items()]
    said += [verdict_line(verdict) for verdict in verdicts(rows, facts)]
    systems = facts.get("systems", {}).items()
    used = {row.system for row in rows}
    if used:
        said.append("versions: " + ", ".join(f"{name} {system['version']}" for name, system in systems if name in used))
    missing = {name: system["missing"] for name, system in systems if system["missing"]}
    said += [f"not measured: {name} ({command})" for name, command in missing.items()]
    return said


def ours_first(group: dict[str, Row]) -> list[Row]:
    return sorted(group.values(), key=lambda row: row.system != OURS)


def cell(row: Row, group: dict[str, Row]) -> str:
    words = [row.system]
    if row.system != OURS and OURS in group:
        words.append(f"{row.seconds / group[OURS].seconds:.2f}x")
    words.append(duration(row.seconds))
    if row.commits_per_sync:
        words.append(f"({row.commits_per_sync:.1f} commits a sync)")
    if "bytes" in row.info:
        words.append(f"({size(row.info['bytes'])})")
    return " ".join(words)


@dataclass(frozen=True, slots=True)
class Verdict:
    what: str
    value: float
    cpu: float | None
    wanted: float
    in_seconds: bool

    @property
    def met(self) -> bool:
        return self.value <= self.wanted if self.in_seconds else self.value >= self.wanted


def verdicts(rows: list[Row], facts: dict) -> list[Verdict]:
    """The targets that this run says something about."""
    found = {(row.group, row.system): row for row in rows}
    return [
        judge(target, found[target.row], found.get(target.against))
        for target in TARGETS
        if target.row in found
        and (target.against is None or target.against in found)
        and (not target.scale or target.scale == facts.get("scale"))
        and facts.get("scale") != "smoke"  # too short to judge by
    ]


def judge(target, row: Row, against: Row | None) -> Verdict:
    if against is None:
        return Verdict(target.what, row.seconds, None, target.wanted, in_seconds=True)
    cpu = against.cpu / row.cpu if target.cpu and against.cpu and row.cpu else None
    return Verdict(target.what, against.seconds / row.seconds, cpu, target.wanted, in_seconds=False)


def verdict_line(verdict: Verdict) -> str:
    if verdict.in_seconds:
        value, wanted = duration(verdict.value), f"at most {duration(verdict.wanted)}"
    else:
        value, wanted = f"{verdict.value:.2f}x", f"at least {verdict.wanted:.2f}x"
    cpu = f" (CPU {verdict.cpu:.2f}x)" if verdict.cpu else ""
    return f"target {'met   ' if verdict.met else 'MISSED'} {value:>8}{cpu:15} {wanted:16} {verdict.what}"
