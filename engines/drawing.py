"""Pictures of structures: SVG made by hand, for `visualise()` and the plans.

Every picture is one self-contained `<svg>`: 800 px wide, no script, no font or file from elsewhere, text that can be
selected, colours that follow the reader's light or dark setting. Data reaches it through `printable` and `escape` only.

    drawing = Drawing()
    drawing.box(8, 8, 120, 24, "c1", hint="64 bytes")     # class c0 .. c7: eight fills that stay apart in both settings
    drawing.text(14, 24, "header", "b")                   # b bold, m monospaced, s small, q quiet; "end" anchors right
    drawing.line(128, 20, 160, 20)
    drawing.band((160, 20), (200, 60), 12, "c4")
    drawing.svg()                                         # as high as what was drawn
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TypeAlias

from engines.text import cut, grouped, printable

WIDTH = 800
LIMIT = 190_000  # bytes: a picture beyond says that it is cut
STYLE = (
    ".eh{font:13px system-ui,sans-serif;background:#fff}.eh text{fill:#1c2330}.eh .b{font-weight:600}"
    ".eh .m{font-family:ui-monospace,monospace}.eh .s{font-size:11px}.eh text.q{fill:#667085}.eh .end{text-anchor:end}"
    ".eh path,.eh rect{stroke:#98a2b3;fill:none}.eh .c0{fill:#e4e7ec}.eh .c1{fill:#b9d6f9}.eh .c2{fill:#bfe5c5}"
    ".eh .c3{fill:#fbdfa4}.eh .c4{fill:#f7c1bc}.eh .c5{fill:#d9c8f4}.eh .c6{fill:#b5e3e4}.eh .c7{fill:#e9d3b8}"
    "@media (prefers-color-scheme:dark){.eh{background:#14171c}.eh text{fill:#e6e9ef}.eh text.q{fill:#98a2b3}"
    ".eh path,.eh rect{stroke:#667085}.eh .c0{fill:#2b313b}.eh .c1{fill:#1f4a7d}.eh .c2{fill:#215c33}"
    ".eh .c3{fill:#6b4e0c}.eh .c4{fill:#7a2e29}.eh .c5{fill:#4b3677}.eh .c6{fill:#155b5d}.eh .c7{fill:#5d4427}}"
)


class Drawing:
    """Shapes in the order they were drawn; x and y in px from the top left corner. What no longer fits is left out."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._bytes = 0
        self._bottom = 0.0
        self.left_out = 0

    def text(self, x: float, y: float, words: object, classes: str = "", *, limit: int = 110) -> None:
        """One line of text with its baseline at y, cut to limit characters."""
        line = escape(cut(printable(str(words)), limit))
        self._add(f'<text x="{x:g}" y="{y:g}"{_class(classes)}>{line}</text>', y + 5)

    def box(self, x: float, y: float, wide: float, high: float, classes: str = "c0", *, hint: str = "") -> None:
        """A filled rectangle; hint is what a reader sees who rests the pointer on it."""
        size = f'x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" rx="2"{_class(classes)}'
        title = f"<title>{escape(cut(printable(hint), 200))}</title>" if hint else ""
        self._add(f"<rect {size}>{title}</rect>", y + high + 1)

    def line(self, *points: float) -> None:
        """A line through x, y, x, y ..."""
        pairs = zip(points[::2], points[1::2], strict=True)
        self._add(f'<path d="M{" L".join(f"{x:g} {y:g}" for x, y in pairs)}"/>', max(points[1::2]) + 1)

    def band(self, start: tuple[float, float], end: tuple[float, float], thick: float, classes: str = "c0") -> None:
        """A filled band between two points, so many px thick, that says how much goes that way."""
        (x, y), (to_x, to_y) = start, end
        far = math.hypot(to_x - x, to_y - y) or 1.0
        dx, dy = (to_y - y) / far * thick / 2, (x - to_x) / far * thick / 2
        corners = ((x + dx, y + dy), (to_x + dx, to_y + dy), (to_x - dx, to_y - dy), (x - dx, y - dy))
        outline = " L".join(f"{px:.1f} {py:.1f}" for px, py in corners)
        self._add(f'<path d="M{outline} Z"{_class(classes)}/>', max(y, to_y) + 1)

    def svg(self) -> str:
        if self.left_out:
            self._parts.append(
                f'<text x="8" y="{self._bottom + 16:g}" class="q">{self.left_out:,} more shapes left out</text>'
            )
            self._bottom += 24
        high = round(self._bottom + 8)
        size = f'width="{WIDTH}" height="{high}" viewBox="0 0 {WIDTH} {high}"'
        shapes = "".join(self._parts)
        return f'<svg xmlns="http://www.w3.org/2000/svg" class="eh" {size}><style>{STYLE}</style>{shapes}</svg>'

    def _add(self, part: str, bottom: float) -> None:
        self._bytes += len(part.encode())
        if self._bytes > LIMIT:
            self.left_out += 1
            return
        self._parts.append(part)
        self._bottom = max(self._bottom, bottom)


def _class(classes: str) -> str:
    return f' class="{escape(classes)}"' if classes else ""


Step: TypeAlias = tuple[str, str, Mapping[str, float], list[bool]]


def draw_plan(steps: Sequence[Step], *, limit: int = 80) -> str:
    """A plan as an indented tree, a row a step; where steps carry `micros`, a bar shows who took how much of them.

    steps are (name, detail, counters, path) in the order of the text; path has a True where a step is the last sibling.
    """
    drawing = Drawing()
    longest = max((step[2].get("micros", 0) for step in steps[:limit]), default=0)
    for i, (name, detail, counters, path) in enumerate(steps[:limit]):
        top, depth = 8 + 44 * i, min(len(path), 16)
        left = 12 + 22 * depth
        if path:
            drawing.line(left - 14, _parent_bottom(steps, i), left - 14, top + 14, left - 4, top + 14)
        drawing.text(left, top + 18, name, "b", limit=36)
        drawing.text(
            left + 8 + 8.5 * min(len(name), 36), top + 18, detail, limit=max(20, 82 - 4 * depth - min(len(name), 36))
        )
        counted = ", ".join(f"{key} {grouped(value)}" for key, value in counters.items())
        drawing.text(left, top + 34, counted, "s q")
        if longest and "micros" in counters:
            share = counters["micros"] / longest
            drawing.box(
                680, top + 8, max(1.0, 110 * float(share)), 12, "c1", hint=f"{grouped(counters['micros'])} micros"
            )
    if len(steps) > limit:
        drawing.text(12, 8 + 44 * limit + 16, f"{len(steps) - limit:,} more steps not drawn", "q")
    return drawing.svg()


def _parent_bottom(steps: Sequence[Step], i: int) -> float:
    """Where the line to step i leaves its parent: under the nearest step before it that is one level up."""
    depth = len(steps[i][3])
    parent = next(j for j in range(i - 1, -1, -1) if len(steps[j][3]) == depth - 1)
    return 8 + 44 * parent + 38
