"""`Warehouse.layout()` as a picture: what each column costs, and which of its values lie in which block.

    column  type  encoding   raw     stored  ratio  lows      for a value
    month   ...   runlength  130 KB   80 B   1,600  ▁▂▃▅▆▇    1.2 of 6        sorted by it: stairs
    day     ...   bitpack    ...                    ▁▁▁▁▁▁    6.0 of 6        not: every block holds the whole month

A block is a strip from its low to its high, as the zone map has it. Blocks stand in the order that they were
loaded in, with a DISTKEY slice by slice.
With a SORTKEY the strips are stairs: a value lies in one or two of them, and the others are never read. Without, they
lie over each other, and a query reads them all. "for a value" counts that: how many blocks a value that lies somewhere
between the column's low and high has to be looked for in, on average.

A Layout is a Table of a row a block; what is printed is the summary, and strips(column) draws one column as text.
Text lies where its first 16 bytes put it: a zone map keeps no more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

from engines.display import Table
from engines.drawing import Drawing
from engines.errors import NotFound, nearest
from engines.sql.types import Type
from engines.sql.values import engine_column, python_values
from engines.text import show
from engines.warehouse.layout import BlockLayout, layout
from engines.warehouse.scan import Table as StoredTable

if TYPE_CHECKING:
    from engines.rows import Column

STAIRS: Final = "▁▂▃▄▅▆▇█"
LOWS: Final = 16  # blocks in the summary
STRIPS: Final = 48  # blocks of a column in the picture
WIDE: Final = 40  # characters of a strip
COLUMNS: Final = 40  # in the picture
LEFT, RIGHT = 470, 790
FIELDS: Final = ("table", "column", "group", "slice", "rows", "deleted", "encoding", "raw", "stored", "nulls")


@dataclass(frozen=True, slots=True)
class Strip:
    """A block on the line from its column's low (0.0) to its high (1.0). None: it holds nothing but NULL."""

    block: BlockLayout
    start: float | None
    end: float | None


class ColumnStrips:
    """The blocks of one column. reads: see the module's text; keys: what the column is for the table."""

    def __init__(self, blocks: Sequence[BlockLayout], type: Type, keys: str, *, by_slice: bool) -> None:
        self.blocks = sorted(blocks, key=lambda block: (block.slice if by_slice else 0, block.group))
        self.type = type
        self.keys = keys
        self.name = blocks[0].column
        self.table = blocks[0].table
        self.raw = sum(block.raw for block in blocks)
        self.stored = sum(block.stored for block in blocks)
        self.encodings = ", ".join(sorted({block.encoding for block in blocks}))
        self.strips, self.reads = self._place()

    @property
    def ratio(self) -> float:
        """Raw bytes for one stored."""
        return self.raw / self.stored

    def _place(self) -> tuple[list[Strip], float]:
        bounds = [(_position(block.low), _position(block.high)) for block in self.blocks]
        known = [bound for pair in bounds for bound in pair if bound is not None]
        if not known:
            return [Strip(block, None, None) for block in self.blocks], 0.0
        first, last = min(known), max(known)
        wide = last - first
        unit = 0 if self.type.floating else 1
        strips, reads = [], 0.0
        for block, (low, top) in zip(self.blocks, bounds, strict=True):
            if low is None:
                strips.append(Strip(block, None, None))
                continue
            high = last if top is None else top  # text that nothing is above, doubles with a NaN
            strips.append(Strip(block, (low - first) / wide if wide else 0.0, (high - first) / wide if wide else 1.0))
            reads += (high - low + unit) / (wide + unit) if wide + unit else 1.0
        return strips, reads

    def lows(self) -> str:
        """A character a block: how high its lowest value is. Of many blocks every so manieth."""
        some = thinned(self.strips, LOWS)
        return "".join(" " if one.start is None else STAIRS[min(int(one.start * 8), 7)] for one in some)

    def text(self) -> str:
        """A line a block: the strip, and what it goes from and to."""
        some = thinned(self.strips, STRIPS)
        lines = [f"{self.table}.{self.name}: {len(self.blocks)} blocks, {self.reads:.1f} of them for a value"]
        for one, (low, high) in zip(some, self._bounds(some), strict=True):
            bar = " " * WIDE
            if one.start is not None and one.end is not None:
                start, end = int(one.start * (WIDE - 1)), int(one.end * (WIDE - 1))
                bar = "·" * start + "█" * (end - start + 1) + "·" * (WIDE - 1 - end)
            lines.append(f"slice {one.block.slice:>3}  group {one.block.group:>4}  {bar}  {low} .. {high}")
        if len(some) < len(self.strips):
            lines.append(f"(every {-(-len(self.strips) // STRIPS)}th of {len(self.strips):,} blocks)")
        return "\n".join(lines)

    def _bounds(self, some: Sequence[Strip]) -> list[tuple[str, str]]:
        lows = python_bounds([one.block.low for one in some], self.type)
        highs = python_bounds([one.block.high for one in some], self.type)
        return [(show(low, 24), show(high, 24)) for low, high in zip(lows, highs, strict=True)]

    def draw(self, drawing: Drawing, top: float) -> float:
        """Draw it from `top` on; where it ends."""
        some = thinned(self.strips, STRIPS)
        step = 4.0 if len(some) > 12 else 8.0
        drawing.text(8, top + 14, self.name, "b", limit=24)
        drawing.text(180, top + 14, f"{self.type}{f'  {self.keys}' if self.keys else ''}", "s", limit=32)
        drawing.text(LEFT - 12, top + 14, f"{self.reads:.1f} of {len(self.blocks)} for a value", "s q end")
        sizes = f"{self.encodings}: {self.raw:,} bytes raw, {self.stored:,} stored, ratio {self.ratio:,.1f}"
        drawing.text(8, top + 29, sizes, "s q", limit=76)
        y = top + 4
        for one, (low, high) in zip(some, self._bounds(some), strict=True):
            if one.start is not None and one.end is not None:
                start, end = LEFT + one.start * (RIGHT - LEFT), LEFT + one.end * (RIGHT - LEFT)
                fill = f"c{1 + one.block.slice % 3}"
                hint = f"slice {one.block.slice}, group {one.block.group}: {low} .. {high}"
                drawing.box(round(start, 1), y, round(max(end - start, 2), 1), step - 1, fill, hint=hint)
            y += step
        return max(top + 38, y + 6)


class Layout(Table):
    """A row for each block; printed, a line for each column."""

    def __init__(self, tables: Iterable[StoredTable]) -> None:
        blocks: list[BlockLayout] = []
        self.strips_of: list[ColumnStrips] = []
        self._heads: list[str] = []
        lows: list[Any] = []
        highs: list[Any] = []
        for table in tables:
            definition, groups = table.state.definition, table.state.groups
            sort = definition.named(definition.sort)
            key = None if definition.key is None else definition.named([definition.key])[0]
            slices = len({group.slice for group in groups})
            self._heads.append(
                f"{table.name}: {table.state.rows:,} rows in {len(groups):,} row groups on {slices} slices"
            )
            by_column: dict[str, list[BlockLayout]] = {}
            for block in layout(table):
                by_column.setdefault(block.column, []).append(block)
            for name, some in by_column.items():
                type = definition.column(name).type
                keys = [f"SORTKEY {sort.index(name) + 1}" if name in sort else "", "DISTKEY" if name == key else ""]
                self.strips_of.append(ColumnStrips(some, type, " ".join(filter(None, keys)), by_slice=key is not None))
                blocks += some
                lows += python_bounds([block.low for block in some], type)
                highs += python_bounds([block.high for block in some], type)
        columns: dict[str, Column] = {name: [getattr(block, name) for block in blocks] for name in FIELDS}
        columns |= {"low": lows, "high": highs}
        columns |= {name: [getattr(block, name) for block in blocks] for name in ("blob", "offset")}
        super().__init__(columns, title="blocks")

    def summary(self) -> Table:
        """A row a column: encodings, bytes before and after, the stairs of its blocks' lows, blocks for a value."""
        names = ("column", "type", "keys", "encoding", "raw", "stored", "ratio", "lows", "for a value")
        several = len(self._heads) > 1
        rows = [
            (
                f"{one.table}.{one.name}" if several else one.name, str(one.type), one.keys or None, one.encodings,
                one.raw, one.stored, round(one.ratio, 1), one.lows(), f"{one.reads:.1f} of {len(one.blocks)}",
            )
            for one in self.strips_of
        ]  # fmt: skip
        return Table.from_rows(names, rows, title="; ".join(self._heads))

    def strips(self, column: str) -> str:
        """One column's blocks as strips of text; "table.column" where there are several tables. NotFound."""
        known = {name: one for one in self.strips_of for name in (one.name, f"{one.table}.{one.name}")}
        if column.lower() not in known:
            raise NotFound(f"no column {column!r} is stored here{nearest(column, known)}")
        return known[column.lower()].text()

    def svg(self, *columns: str) -> str:
        """The strips of these columns, else of all (the first 40), as a picture."""
        wanted = {name.lower() for name in columns}
        shown = [
            one for one in self.strips_of if not wanted or one.name in wanted or f"{one.table}.{one.name}" in wanted
        ]
        drawing = Drawing()
        y = 8.0
        for head in self._heads:
            drawing.text(8, y + 12, head, "b")
            y += 20
        for one in shown[:COLUMNS]:
            y = one.draw(drawing, y)
        if len(shown) > COLUMNS:
            drawing.text(8, y + 12, f"{len(shown) - COLUMNS:,} more columns not drawn", "q")
        return drawing.svg()

    visualise = svg

    def __str__(self) -> str:
        return str(self.summary())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = escape("; ".join(self._heads)[:200])
        return f"<details open><summary>{head}</summary>{self.svg()}</details>{self.summary()._repr_html_()}"


def python_bounds(values: Sequence[Any], type: Type) -> list[Any]:
    """Bounds of a zone map as Python's values: dates, decimals, text."""
    if type.bytes:
        decode = type.kind != "varbyte"
        return [value.decode(errors="replace") if value is not None and decode else value for value in values]
    if any(isinstance(value, int) and abs(value) >= 2**63 for value in values):
        return list(values)
    return python_values(engine_column(values, type), len(values))


def thinned(things: Sequence[Any], most: int) -> Sequence[Any]:
    """At most so many of them, evenly."""
    return things[:: -(-len(things) // most)] if len(things) > most else things


def _position(value: Any) -> float | None:  # noqa: ANN401 - an engine value
    """A bound as a number; of text its first 16 bytes, exactly."""
    if isinstance(value, bytes):
        return int.from_bytes(value[:16].ljust(16, b"\0"), "big")
    found: float | None = value
    return found
