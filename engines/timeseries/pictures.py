"""Pictures of a store: tiles on the axis of time, what a point costs in each codec, a block.

memory tier    c3, what has no blob yet with a light rim          magnetic tier    c1
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from engines.drawing import Drawing
from engines.text import cut, grouped
from engines.timeseries.anatomy import DEEP, Anatomy

if TYPE_CHECKING:
    from engines.timeseries.layout import TileLayout

LEFT, RIGHT = 150.0, 788.0
COLOURS: Final = {"memory": "c3", "magnetic": "c1"}
FRESH: Final = "c4"
MOST: Final = 400  # tiles of a table in the picture
LANES: Final = 4  # of a block
VALUES: Final = 12  # of a lane


def tiles(found: Sequence["TileLayout"], codecs: Sequence[tuple[str, int, int]]) -> str:
    """A line a table: its blobs where their rows are, as high as they are large. Below: bytes a point by codec."""
    drawing = Drawing()
    if not found:
        drawing.text(12, 24, "nothing is stored", "q")
        return drawing.svg()
    low, high = min(one.low for one in found), max(one.high for one in found)
    wide = max(high - low, 1)
    top = 10.0
    for x, colour, words in ((150, FRESH, "in memory only"), (270, "c3", "memory tier"), (380, "c1", "magnetic tier")):
        drawing.box(x, top, 12, 12, colour)
        drawing.text(x + 18, top + 11, words, "s q")
    top += 24
    for name in dict.fromkeys(one.table for one in found):
        mine = [one for one in found if one.table == name]
        most = max(one.bytes for one in mine) or 1
        drawing.text(12, top + 28, name, "b", limit=18)
        for one in mine[:MOST]:
            start = LEFT + (RIGHT - LEFT) * (one.low - low) / wide
            length = max((RIGHT - LEFT) * (one.high - one.low) / wide, 3.0)
            tall = max(40 * one.bytes / most, 4.0)
            colour = COLOURS.get(one.tier, "c0") if one.blob is not None else FRESH
            hint = f"{_moment(one.low)} to {_moment(one.high)}: {one.points:,} points in {one.bytes:,} bytes, " + (
                f"{one.tier} tier, blob {one.blob[:8]}" if one.blob else "in memory only"
            )
            drawing.box(round(start, 1), top + 42 - tall, round(min(length, RIGHT - start), 1), tall, colour, hint=hint)
        drawing.line(LEFT, top + 43, RIGHT, top + 43)
        size, points = sum(one.bytes for one in mine), sum(one.points for one in mine)
        drawing.text(12, top + 44, f"{grouped(size)} bytes", "s q", limit=22)
        if points:
            drawing.text(12, top + 58, f"{size / points:.3f} a point", "s q", limit=22)
        top += 66
    drawing.text(LEFT, top + 2, _moment(low), "s q")
    drawing.text(RIGHT, top + 2, _moment(high), "s q end")
    _bars(drawing, top + 22, codecs)
    return drawing.svg()


def _bars(drawing: Drawing, top: float, codecs: Sequence[tuple[str, int, int]]) -> None:
    if not codecs:
        return
    drawing.text(12, top, "bits a point by codec", "b")
    most = max(size / points for _, points, size in codecs) or 1.0
    for number, (name, points, size) in enumerate(codecs):
        y = top + 10 + 22 * number
        drawing.text(LEFT - 10, y + 12, name, "s end", limit=22)
        length = max(420 * size / points / most, 1.0)
        drawing.box(LEFT, y, round(length, 1), 15, "c2", hint=f"{points:,} points in {size:,} bytes")
        drawing.text(LEFT + length + 8, y + 12, f"{8 * size / points:.2f} bits, {points:,} points", "s q")


def block(title: str, facts: Sequence[str], anatomy: Anatomy | None) -> str:
    """A block: what its header says, and the first values of its first lanes with what is packed for them."""
    drawing = Drawing()
    drawing.text(12, 22, title, "b")
    y = 42.0
    for fact in facts:
        drawing.text(12, y, fact, "s q", limit=130)
        y += 16
    if anatomy is None or not anatomy.codes:
        return drawing.svg()
    y += 8
    step = (RIGHT - LEFT) / VALUES
    for lane in range(min(LANES, -(-len(anatomy.codes) // DEEP))):
        drawing.text(12, y + 20, f"lane {lane}", "b")
        for place in range(lane * DEEP, min(lane * DEEP + VALUES, len(anatomy.codes), (lane + 1) * DEEP)):
            x = LEFT + step * (place - lane * DEEP)
            start = bool(anatomy.starts) and place % DEEP == 0
            code = anatomy.starts[lane] if start else anatomy.codes[place]
            colour = "c4" if place in anatomy.exceptions else "c3" if start else "c1"
            drawing.box(x, y, step - 3, 32, colour, hint=f"value {place}: {anatomy.values[place]!r}")
            drawing.text(x + 4, y + 13, cut(str(anatomy.values[place]), 8), "s")
            drawing.text(x + 4, y + 27, cut(str(code), 8), "s m")
        y += 38
    drawing.text(LEFT, y + 10, "above: the value, below: what is packed for it", "s q")
    return drawing.svg()


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
