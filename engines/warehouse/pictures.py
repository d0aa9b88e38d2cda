"""`Warehouse.picture(query)`: a query as leader, nodes and slices, with arrows as thick as what they carry.

    leader    TopN, Aggregate: 16 rows                      what it merges and answers with
      ║         planes: DS_BCAST_INNER, 9,966 rows            joins: what moves between slices, and why
    node 0    slice 0 ████  slice 2 ████                    who works, and how many rows of the query's tables lie there
    node 1    slice 1 ████  slice 3 ███▌
      │         8 of 152 blocks, 657,024 bytes                what was read of the blobs
    blobs     flights, planes

The query is run once, for its counters (`explain(..., analyze=True)`); the rows of slices are those of the row groups.
In the drawing one scale holds for all arrows: the thickest carries most, and what carries nothing is a thin line.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from engines.display import Plan
from engines.drawing import Drawing
from engines.text import cut, grouped, printable
from engines.warehouse.scan import Table

if TYPE_CHECKING:
    from engines.warehouse.session import Session

LABEL: Final = re.compile(r"\bDS_\w+")
SLICES: Final = 32  # drawn
THICK: Final = 22.0
BAR: Final = 8  # characters


@dataclass(frozen=True, slots=True)
class Carried:
    """A join, and what it moved: rows and bytes are -1 where only the sum over all joins is known."""

    label: str
    detail: str
    rows: float
    bytes: float


class Picture:
    """See the module's text. rows: table -> live rows by slice; plan: with its counters."""

    def __init__(self, text: str, plan: Plan, rows: Mapping[str, Sequence[int]], nodes: int, slices: int) -> None:
        self.text = " ".join(text.split())
        self.plan = plan
        self.rows = rows
        self.nodes = nodes
        self.slices = slices
        self.held = [sum(held[slice] for held in rows.values()) for slice in range(slices)]

    @property
    def joins(self) -> list[Carried]:
        """The joins of the plan."""
        found = []
        for step, _ in self.plan.walk():
            label = LABEL.search(step.detail)
            if step.name == "Join" or label is not None:
                moved = step.counters.get("rows_moved", -1), step.counters.get("bytes_moved", -1)
                found.append(Carried(label[0] if label else "", LABEL.sub("", step.detail).strip(" ;,"), *moved))
        return found

    def counter(self, name: str) -> float:
        """A counter of the whole query, 0 where nothing was counted."""
        return self.plan.counters.get(name, 0)

    # ---- as text

    def __str__(self) -> str:
        most = max(self.held, default=0)
        lines = [f"leader   {self._leader()}"]
        lines += [f"  ║        {words}" for words in self._moves()]
        for node in range(min(self.nodes, self.slices)):
            here = range(node, min(self.slices, SLICES), self.nodes)
            held = "  ".join(f"slice {i} {_bar(self.held[i], most):{BAR}} {self.held[i]:>9,} rows" for i in here)
            lines.append(f"node {node:<3} {held}")
        return "\n".join([*lines, f"  │        {self._read()}", f"blobs    {self._tables()}"])

    __repr__ = __str__

    def _leader(self) -> str:
        rows = f"{grouped(self.counter('rows'))} rows" if "rows" in self.plan.counters else ""
        return f"{self.plan.name}{f': {rows}' if rows else ''} in {self.counter('micros_total') / 1e3:.1f} ms"

    def _moves(self) -> list[str]:
        lines = []
        for one in self.joins:
            moved = f", {grouped(one.rows)} rows, {grouped(one.bytes)} bytes moved" if one.rows >= 0 else ""
            lines.append(f"{one.label or 'join'}: {cut(printable(one.detail), 60)}{moved}")
        total = f"{grouped(self.counter('rows_moved'))} rows, {grouped(self.counter('bytes_moved'))} bytes moved in all"
        return [*lines, total if self.joins else "partial results"]

    def _read(self) -> str:
        blocks = self.counter("blocks_total"), self.counter("blocks_pruned"), self.counter("blocks_decoded")
        total, pruned, decoded = map(grouped, blocks)
        return (
            f"{decoded} of {total} blocks decoded, {pruned} pruned, {grouped(self.counter('bytes_scanned'))} bytes read"
        )

    def _tables(self) -> str:
        return ", ".join(f"{name} ({sum(held):,} rows)" for name, held in self.rows.items()) or "no stored table"

    # ---- as a drawing

    def svg(self) -> str:
        """The picture, 800 px wide."""
        drawing = Drawing()
        moved, read = self.counter("bytes_moved"), self.counter("bytes_scanned")
        scale = THICK / max(moved, read, 1)
        drawing.text(8, 18, self.text, "m s")
        drawing.box(8, 30, 250, 40, "c5", hint=self.plan.line())
        drawing.text(20, 47, "leader", "b")
        drawing.text(20, 62, self._leader(), "s", limit=40)
        y = 44.0
        for words in self._moves():
            drawing.text(280, y, words, "s", limit=90)
            y += 16
        top = max(y, 76.0) + 24
        shown = min(self.slices, SLICES)
        nodes = min(self.nodes, shown)
        wide = 784 / nodes
        most = max(self.held, default=0)
        for node in range(nodes):
            left = 8 + node * wide
            here = list(range(node, shown, self.nodes))
            drawing.box(left, top, wide - 8, 96, "c0", hint=f"node {node}")
            drawing.text(left + 8, top + 16, f"node {node}", "b")
            _arrow(drawing, (133, 72), (left + wide / 2, top), moved * scale)
            room = (wide - 16) / len(here)
            for at, slice in enumerate(here):
                x = left + 8 + at * room
                share = self.held[slice] / most if most else 0.0
                drawing.box(
                    x, top + 84 - 46 * share, max(room - 8, 2), max(46 * share, 1), "c1", hint=self._slice(slice)
                )
                drawing.text(x, top + 33, f"slice {slice}: {self.held[slice]:,}", "s", limit=max(int(room / 6), 1))
            _arrow(drawing, (left + wide / 2, top + 140), (left + wide / 2, top + 98), read * scale / nodes)
        if self.slices > shown:
            drawing.text(8, top + 112, f"{self.slices - shown:,} more slices not drawn", "s q")
        drawing.box(8, top + 142, 784, 42, "c3", hint=self._tables())
        drawing.text(16, top + 159, f"blobs: {self._tables()}", "s", limit=120)
        drawing.text(16, top + 176, self._read(), "s")
        return drawing.svg()

    visualise = svg

    def _slice(self, slice: int) -> str:
        return ", ".join(f"{name} {held[slice]:,}" for name, held in self.rows.items())

    def _repr_html_(self) -> str:
        return f"<details open><summary>{escape(cut(printable(self.text), 120))}</summary>{self.svg()}</details>"


def _bar(value: int, most: int) -> str:
    return "█" * max(round(BAR * value / most), 1 if value else 0) if most else ""


def _arrow(drawing: Drawing, start: tuple[float, float], end: tuple[float, float], thick: float) -> None:
    """A band from one place to another, as thick as it says; a line if that is less than one pixel."""
    if thick < 1:
        drawing.line(*start, *end)
        return
    drawing.band(start, end, thick, "c4")


def draw(session: "Session", text: str, values: Sequence[object], named: Mapping[str, object]) -> Picture:
    """Run a query, and draw what it did. QueryError as explain() has it."""
    plan = session.explain(text, *values, analyze=True, **named)
    warehouse = session.warehouse
    rows: dict[str, list[int]] = {}
    for step in plan.find_all("Scan"):
        name = step.detail.partition(":")[0]
        source = session.names.find(tuple(name.split(".")))
        if isinstance(source, Table):
            held = [0] * warehouse.storage.slices
            for group in source.state.groups:
                held[group.slice] += group.live
            rows[name] = held
    return Picture(text, plan, rows, min(warehouse.nodes, warehouse.storage.slices), warehouse.storage.slices)
