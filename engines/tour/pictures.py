"""The tour's drawings: what a structure looks like and what a clock measured, as SVG without a chart library.

Each function takes plain numbers and gives one `<svg>` of 800 px made by engines.drawing. No picture shows a number
that did not come from the run it belongs to.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from engines.drawing import Drawing
from engines.text import cut
from engines.tour.chapter import duration

LEFT, RIGHT = 12.0, 788.0  # where the area for drawing begins and ends


class Bar(NamedTuple):
    """A bar: what it stands for, how long it is, what is written behind it."""

    label: str
    value: float
    words: str


def bars(rows: Sequence[Bar], *, logarithmic: bool = False, colour: str = "c1") -> str:
    """Horizontal bars, one a row. On a logarithmic scale the shortest is one tenth of a decade."""
    drawing = Drawing()
    start, longest = 190.0, 420.0
    values = [row.value for row in rows]
    least = math.log10(min(values)) - 0.1 if logarithmic else 0.0
    most = max(math.log10(max(values)) - least, 0.1) if logarithmic else max(*values, 1e-12)
    if logarithmic:
        for decade in range(math.ceil(least), math.floor(least + most) + 1):
            at = start + longest * (decade - least) / most
            drawing.line(at, 6, at, 12 + 26 * len(rows))
    for i, row in enumerate(rows):
        top = 10 + 26 * i
        length = longest * ((math.log10(row.value) - least) if logarithmic else row.value) / most
        drawing.text(start - 10, top + 14, row.label, "end", limit=26)
        drawing.box(start, top, max(1.0, length), 18, colour, hint=row.words)
        behind = start + (longest if logarithmic else max(1.0, length)) + 12
        drawing.text(behind, top + 14, row.words, "q s", limit=34)
    return drawing.svg()


def columns(rows: Sequence[Bar], *, colour: str = "c2") -> str:
    """Upright bars side by side, each with its number above and its label below."""
    drawing = Drawing()
    step = (RIGHT - LEFT) / len(rows)
    most = max(*(row.value for row in rows), 1e-12)
    for i, row in enumerate(rows):
        left, high = LEFT + step * i, 150 * row.value / most
        drawing.box(left + 4, 180 - high, step - 8, max(1.0, high), colour, hint=row.words)
        drawing.text(left + 6, 174 - high, row.words, "s", limit=10)
        drawing.text(left + 6, 196, row.label, "s q", limit=10)
    drawing.line(LEFT, 181, RIGHT, 181)
    return drawing.svg()


def partition(
    moments: Sequence[float], marks: Sequence[tuple[float, str]], window: tuple[float, float], key: str
) -> str:
    """One partition of a table: a tick an item along its sort key, and the range that a query reads.

    moments ascend; marks are (moment, label) along the axis.
    """
    drawing = Drawing()
    low, high = marks[0][0], marks[-1][0]
    across = (RIGHT - LEFT) / (high - low)
    drawing.text(LEFT, 20, key, "m b")
    drawing.text(RIGHT, 20, f"{len(moments):,} items, in the order of their sort key", "q end")
    left, right = (LEFT + across * (edge - low) for edge in window)
    drawing.box(left, 30, max(2.0, right - left), 64, "c3", hint="what the query reads")
    for moment in moments:
        at = round(LEFT + across * (moment - low), 1)
        inside = window[0] <= moment <= window[1]
        drawing.line(at, 38 if inside else 46, at, 86 if inside else 78)
    drawing.line(LEFT, 94, RIGHT, 94)
    for moment, label in marks[:-1]:
        at = LEFT + across * (moment - low)
        drawing.line(at, 94, at, 99)
        drawing.text(at + 2, 112, label, "s q")
    return drawing.svg()


def histogram(seconds: Sequence[float]) -> str:
    """How long single calls took, on a logarithmic axis, with the median and the slowest in a hundred marked."""
    drawing = Drawing()
    ordered = sorted(seconds)
    low, high = math.log10(ordered[0]), math.log10(ordered[-1]) + 1e-9
    slots = 72
    counts = [0] * slots
    for value in ordered:
        counts[min(slots - 1, int((math.log10(value) - low) / (high - low) * slots))] += 1
    step = (RIGHT - LEFT) / slots
    for i, count in enumerate(counts):
        if count:
            tall = 90 * count / max(counts)
            drawing.box(LEFT + step * i + 1, 130 - tall, step - 2, max(1.0, tall), "c1", hint=f"{count:,} calls")
    drawing.line(LEFT, 131, RIGHT, 131)
    for share, name, y in ((0.5, "half are faster than", 18), (0.99, "99 of 100 are faster than", 34)):
        value = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        at = LEFT + (math.log10(value) - low) / (high - low) * (RIGHT - LEFT)
        drawing.line(at, y + 4, at, 131)
        anchor = "end" if at > 520 else ""
        drawing.text(at + (-5 if anchor else 5), y, f"{name} {duration(value)}", f"s {anchor}".strip())
    for i in range(math.ceil(low), math.floor(high) + 1):
        at = LEFT + (i - low) / (high - low) * (RIGHT - LEFT)
        drawing.line(at, 131, at, 136)
        drawing.text(at + 3, 146, duration(10.0**i), "s q")
    return drawing.svg()


class Piece(NamedTuple):
    """Some bytes of a file that belong together: how many, what they are, and what they say."""

    length: int
    name: str
    meaning: str
    colour: str


def byte_map(content: bytes, pieces: Sequence[Piece], offset: int) -> str:
    """Bytes as a grid of 32 a row, coloured by the piece they belong to, with a legend of the pieces below.

    offset is where content begins in its file. Pieces follow each other and cover content.
    """
    drawing = Drawing()
    owner = [piece for piece in pieces for _ in range(piece.length)][: len(content)]
    for i, (byte, piece) in enumerate(zip(content, owner, strict=False)):
        row, column = divmod(i, 32)
        left, top = 70 + 22.4 * column, 8 + 24 * row
        if column == 0:
            drawing.text(60, top + 15, f"{offset + i:,}", "m s q end")
        drawing.box(left, top, 22, 22, piece.colour, hint=f"{piece.name}: {piece.meaning}")
        drawing.text(left + 4, top + 15, f"{byte:02x}", "m s")
    below = 8 + 24 * math.ceil(len(content) / 32) + 12
    for i, piece in enumerate(pieces):
        row, column = divmod(i, 2)
        left, top = 70 + 360 * column, below + 22 * row
        drawing.box(left, top, 14, 14, piece.colour)
        drawing.text(left + 22, top + 12, piece.name, "b s")
        drawing.text(left + 100, top + 12, piece.meaning, "s q", limit=40)
    return drawing.svg()


def shares(rows: Sequence[Bar]) -> str:
    """One bar that is the whole, cut into its parts, with a legend: where the bytes are."""
    drawing = Drawing()
    total = sum(row.value for row in rows) or 1.0
    left = LEFT
    for i, row in enumerate(rows):
        wide = (RIGHT - LEFT) * row.value / total
        drawing.box(left, 10, max(0.5, wide), 34, f"c{1 + i % 7}", hint=f"{row.label}: {row.words}")
        if wide > 8 * len(row.label):
            drawing.text(left + 6, 31, row.label, "s b")
        left += wide
    for i, row in enumerate(rows):
        line, column = divmod(i, 2)
        at, top = LEFT + 390 * column, 58 + 22 * line
        drawing.box(at, top, 14, 14, f"c{1 + i % 7}")
        drawing.text(at + 22, top + 12, cut(row.label, 30), "s b")
        drawing.text(at + 220, top + 12, row.words, "s q", limit=28)
    return drawing.svg()


def survivors(writers: Sequence[tuple[str, int, int]], *, last: int = 34) -> str:
    """Draw what a kill left: for each (writer, acknowledged, found) its last writes, as cells up to the kill.

    A cell is filled if the write was acknowledged, and found after the restart; lighter if it was found although the
    writer died before it could say so; red if it was acknowledged and is lost.
    """
    drawing = Drawing()
    for i, (name, acknowledged, found) in enumerate(writers):
        top = 10 + 30 * i
        end = max(acknowledged, found) + 1
        drawing.text(96, top + 15, name, "end", limit=12)
        for k in range(max(1, end - last), end + 1):
            left = 110 + 19.0 * (k - max(1, end - last))
            state = (k <= acknowledged, k <= found)
            colour = {(True, True): "c2", (False, True): "c6", (True, False): "c4", (False, False): "c0"}[state]
            drawing.box(left, top, 17, 20, colour, hint=f"write {k:,}")
    below = 20 + 30 * len(writers)
    words = (
        ("c2", "acknowledged, found"),
        ("c6", "found, unannounced"),
        ("c4", "acknowledged, lost"),
        ("c0", "not written"),
    )
    for i, (colour, meaning) in enumerate(words):
        drawing.box(110 + 165 * i, below, 14, 14, colour)
        drawing.text(130 + 165 * i, below + 12, meaning, "s q")
    return drawing.svg()
