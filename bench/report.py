"""A run as one static page: no script, no style sheet, no picture is fetched from anywhere.

    page(result)                         result: pytest-benchmark's JSON with our facts under "enginehouse"
    python report.py RUN.json PAGE.html

Order: what is wrong with the run, if anything; a sentence an engine; targets; then every group, the one where we look
worst first, its bars on a log axis with us in the middle; threads; machine, versions and how to repeat it. A bar to the
left is a system that is faster than ours. Nothing is left out because it looks bad.
"""

import json
import math
import sys
from html import escape
from pathlib import Path

import machine
from summary import OURS, Row, by_group, duration, rows_of, size, verdicts

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b }
h2 { margin-top: 2.5rem } .bad { background: #fde7d9; padding: .5rem 1rem; border-left: 4px solid #d55e00 }
table { border-collapse: collapse; width: 100%; font-size: 14px; margin: .5rem 0 }
caption { text-align: left; color: #555 }
th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } tr.ours { font-weight: 600 }
svg { width: 100%; height: auto; display: block } svg text { font: 13px system-ui, sans-serif; fill: #1b1b1b }
code { background: #f3f3f3; padding: 0 .2rem }
@media print { h2 { break-after: avoid } section { break-inside: avoid } }
"""
HOW_TO_READ = (
    "Times are per operation, the minimum of the laps; <b>x</b> is a system's time divided by ours in the same run: "
    "2.00x means that ours is twice as fast."
)
DARK, FASTER, SLOWER = "#0b3c5d", "#d55e00", "#8db9d6"  # ours, a peer ahead of us, a peer behind: Okabe and Ito's hues
CURVES = ("#d55e00", "#56b4e9", "#009e73", "#cc79a7", "#e69f00")


def page(result: dict) -> str:
    facts = result["enginehouse"]
    rows = rows_of(result["benchmarks"])
    groups = sorted(by_group(rows).values(), key=worst)
    parts = [
        *warnings(facts),
        "<h1>Benchmarks of enginehouse</h1>",
        f"<p>{facts['began']}, scale <b>{facts['scale']}</b>. {HOW_TO_READ}</p>",
        "<ul>" + "".join(f"<li>{sentence}</li>" for sentence in sentences(groups)) + "</ul>",
        target_table(rows, facts),
        *(section(group, facts) for group in groups),
        thread_section(by_group(rows)),
        about(facts),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Benchmarks of enginehouse</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n<body>\n'
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def warnings(facts: dict) -> list[str]:
    said = [machine.busy(facts)]
    if facts["disk"] in ("tmpfs", "ramfs"):
        said.append(f"The data lay on {facts['disk']}: a sync costs nothing there, so [power-safe] rows mean nothing.")
    if facts["failed"]:
        said.append(f"Wrong answers, not timed: {', '.join(facts['failed'])}.")
    return [f'<p class="bad">{escape(sentence)}</p>' for sentence in said if sentence]


def ratios(group: dict[str, Row]) -> list[tuple[float, Row]]:
    """(peer's time / ours, peer), the peer that is fastest first; empty where we did not run."""
    if OURS not in group:
        return []
    return [(row.seconds / group[OURS].seconds, row) for row in group.values() if row.system != OURS]


def worst(group: dict[str, Row]) -> float:
    return min((ratio for ratio, _ in ratios(group)), default=math.inf)


def sentences(groups: list[dict[str, Row]]) -> list[str]:
    """For each engine its worst and its best ratio."""
    by_engine: dict[str, list[tuple[float, Row]]] = {}
    for group in groups:
        for ratio, row in ratios(group):
            by_engine.setdefault(row.group.split(" ")[0], []).append((ratio, row))
    said = []
    for engine, found in sorted(by_engine.items()):
        (low, loser), (high, winner) = min(found, key=lambda pair: pair[0]), max(found, key=lambda pair: pair[0])
        said.append(
            f"<b>{engine}</b>: worst {low:.2f}x ({escape(loser.system)}, {escape(loser.group)}), "
            f"best {high:.2f}x ({escape(winner.system)}, {escape(winner.group)})"
        )
    return said


def target_table(rows: list[Row], facts: dict) -> str:
    lines = []
    for verdict in verdicts(rows, facts):
        met = "met" if verdict.met else "<b>missed</b>"
        show = duration if verdict.in_seconds else lambda ratio: f"{ratio:.2f}x"
        cpu = f"{verdict.cpu:.2f}x" if verdict.cpu else ""
        bound = "at most" if verdict.in_seconds else "at least"
        lines.append(
            f'<tr><td>{escape(verdict.what)}</td><td class="n">{show(verdict.value)}</td><td class="n">{cpu}</td>'
            f'<td class="n">{bound} {show(verdict.wanted)}</td><td>{met}</td></tr>'
        )
    if not lines:
        return ""
    head = '<tr><th>Target</th><th class="n">now</th><th class="n">CPU</th><th class="n">wanted</th><th></th></tr>'
    return f"<h2>Targets</h2><table><caption>Reported, never asserted</caption>{head}{''.join(lines)}</table>"


def section(group: dict[str, Row], facts: dict) -> str:
    name, bench = next((row.group, row.bench) for row in group.values())
    command = f"engines bench --scale {facts['scale']} --only {name.split(' ')[0]} -k {bench}"
    return (
        f"<section><h2>{escape(name)}</h2>{bars(name, group)}"
        f"<table><caption>Repeat with <code>{escape(command)}</code></caption>"
        '<tr><th>system</th><th class="n">x</th><th class="n">time</th><th class="n">CPU</th><th class="n">median</th>'
        '<th class="n">laps</th><th>an acknowledged write means</th><th>more</th></tr>'
        + "".join(table_row(row, group, facts) for row in group.values())
        + "</table></section>"
    )


def table_row(row: Row, group: dict[str, Row], facts: dict) -> str:
    system = facts["systems"].get(row.system, {})
    grade = row.group.partition("[")[2].partition("]")[0]
    ratio = f"{row.seconds / group[OURS].seconds:.2f}" if OURS in group else ""
    more = [system.get("note", "")]
    if row.commits_per_sync:
        more.append(f"{row.commits_per_sync:.1f} commits a sync")
    if "bytes" in row.info:
        more.append(f"{size(row.info['bytes'])} on disk")
    if "unreplayed" in row.info:
        more.append(f"{row.info['items']:,} items, {row.info['unreplayed']:,} put after the last checkpoint")
    promise = system.get("promises", {}).get(grade, "")
    cells = [ratio, duration(row.seconds), duration(row.cpu) if row.cpu else "", duration(row.median), f"{row.laps}"]
    return (
        f"<tr{' class=ours' * (row.system == OURS)}><td>{escape(row.system)} {escape(system.get('version', ''))}</td>"
        + "".join(f'<td class="n">{cell}</td>' for cell in cells)
        + f"<td>{escape(promise)}</td><td>{escape('; '.join(filter(None, more)))}</td></tr>"
    )


def bars(name: str, group: dict[str, Row]) -> str:
    """One bar a system: its ratio on a log axis, us in the middle."""
    compared = [(1.0, group[OURS]), *ratios(group)] if OURS in group else []
    if len(compared) < 2:
        return ""
    compared.sort(key=lambda pair: pair[0])
    reach = max(abs(math.log(ratio)) for ratio, _ in compared) or 1
    reach = max(reach, math.log(2)) * 1.05
    left, middle, half, step = 150, 430, 200, 24
    drawn = []
    for line, (ratio, row) in enumerate(compared):
        y, end = line * step, middle + half * math.log(ratio) / reach
        colour = DARK if row.system == OURS else FASTER if ratio < 1 else SLOWER
        x, width = min(end, middle), max(abs(end - middle), 2)
        drawn.append(
            f'<text x="{left}" y="{y + 16}" text-anchor="end">{escape(row.system)}</text>'
            f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="{step - 8}" fill="{colour}"/>'
            f'<text x="{middle + half + 10}" y="{y + 16}">{ratio:.2f}x  {duration(row.seconds)}</text>'
        )
    height = len(compared) * step
    axis = f'<line x1="{middle}" x2="{middle}" y1="0" y2="{height}" stroke="{DARK}"/>'
    spoken = f"{name}: " + ", ".join(f"{row.system} {ratio:.2f} times our time" for ratio, row in compared)
    return f'<svg viewBox="0 0 780 {height}" role="img" aria-label="{escape(spoken)}">{axis}{"".join(drawn)}</svg>'


def thread_section(groups: dict[str, dict[str, Row]]) -> str:
    """Durable appends a second against threads, a curve a system, both axes logarithmic."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for name, group in groups.items():
        if name.startswith("ground [power-safe] append"):
            threads = int(name.split(" ")[-2]) if name.endswith("threads") else 1
            for row in group.values():
                curves.setdefault(row.system, []).append((threads, 1 / row.seconds))
    points = [point for curve in curves.values() for point in curve]
    if len({threads for threads, _ in points}) < 2:
        return ""
    low, high = (f(math.log(rate) for _, rate in points) for f in (min, max))
    most = math.log(max(threads for threads, _ in points))
    drawn, colours = [], iter(CURVES)
    for system, curve in curves.items():
        colour = DARK if system == OURS else next(colours)
        places = [
            (60 + 560 * math.log(threads) / most, 230 - 200 * (math.log(rate) - low) / (high - low or 1))
            for threads, rate in sorted(curve)
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        drawn.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{3 if system == OURS else 2}"/>'
            f'<text x="{places[-1][0] + 8:.1f}" y="{places[-1][1] + 4:.1f}">{escape(system)} '
            f"{max(curve)[1]:,.0f}/s</text>"
        )
    ticks = "".join(
        f'<text x="{60 + 560 * math.log(threads) / most:.1f}" y="255" text-anchor="middle">{threads}</text>'
        for threads in sorted({threads for threads, _ in points})
    )
    spoken = "; ".join(
        f"{system}: " + ", ".join(f"{rate:.0f} a second with {threads} threads" for threads, rate in sorted(curve))
        for system, curve in curves.items()
    )
    return (
        "<section><h2>Durable appends a second, by threads</h2>"
        f'<svg viewBox="0 0 780 265" role="img" aria-label="{escape(spoken)}">{"".join(drawn)}{ticks}</svg></section>'
    )


def about(facts: dict) -> str:
    lines = {
        "repeat with": facts["command"],
        "commit": facts["commit"],
        "processor": f"{facts['processor']}, {facts['cores']} cores",
        "system": f"{facts['system']}, {facts['python']}, data on {facts['disk'] or 'an unknown file system'}",
        "load average": f"{facts['load_before']} before, {facts['load_after']} after",
    }
    lines |= {name: system["version"] for name, system in facts["systems"].items() if not system["missing"]}
    lines |= {
        name: f"not measured: {system['missing']}" for name, system in facts["systems"].items() if system["missing"]
    }
    return (
        "<section><h2>Machine, versions, and how to repeat this</h2><table><caption>The run</caption>"
        + "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in lines.items())
        + "</table></section>"
    )


if __name__ == "__main__":
    run, target = map(Path, sys.argv[1:])
    target.write_text(page(json.loads(run.read_text())))
