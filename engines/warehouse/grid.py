"""Snapshots as a grid: a row for each of them, a column for each blob, oldest first.

    monday     ██████              █  new: the snapshot before it did not have it
    tuesday    ▒▒▒▒··██            ▒  shared with the one before
    now        ▒▒▒▒··▒▒█           ·  not of this moment: not yet, or no more

So a row of ▒ with one █ at its end is what "only what has changed is saved" looks like. The last row is the present.
Blobs stand in the order in which they appeared, those of one snapshot by what they are: rows, masks of deleted rows,
pages, sketches, the root. Where there are more than 64, several share a column, and it is new if one of them is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from engines.display import Table
from engines.drawing import Drawing
from engines.text import cut, printable
from engines.warehouse.catalog import Root
from engines.warehouse.snapshot import listed, reach
from engines.warehouse.storage import Storage

CELLS: Final = 64
ROWS: Final = 40
NAME, WIDE = 150, 480
KINDS: Final = ("rows", "mask", "page", "sketches", "root")
LETTERS: Final = dict(zip(KINDS, "rmpsR", strict=True))


@dataclass(frozen=True, slots=True)
class Moment:
    """A row of the grid. blobs: digest -> bytes; new: those that the row before has not."""

    name: str
    blobs: dict[str, int]
    new: frozenset[str]


class Grid:
    """See the module's text. moments: the rows; kinds: what each blob is, in the order of the columns."""

    def __init__(self, storage: Storage) -> None:
        self.kinds: dict[str, str] = {}
        self.moments: list[Moment] = []
        before: dict[str, int] = {}
        roots = [(record.name, record.root) for record in listed(storage)] + [("now", storage.view().digest)]
        for name, root in roots:
            sizes = reach(storage, root)
            blobs = {digest: len(storage.stored.get(digest)) if size < 0 else size for digest, size in sizes.items()}
            kinds = dict(_kinds(storage, root))
            for digest in sorted(set(kinds) - set(self.kinds), key=lambda one: KINDS.index(kinds[one])):
                self.kinds[digest] = kinds[digest]
            self.moments.append(Moment(name, blobs, frozenset(blobs) - frozenset(before)))
            before = blobs

    def table(self) -> Table:
        """A row for each snapshot and the present: its blobs and bytes, and how much of that is new."""
        names = ("moment", "blobs", "bytes", "new blobs", "new bytes")
        rows = [
            (one.name, len(one.blobs), sum(one.blobs.values()), len(one.new), sum(one.blobs[blob] for blob in one.new))
            for one in self.moments
        ]
        return Table.from_rows(names, rows, title="snapshots")

    def columns(self) -> list[list[str]]:
        """The blobs of each column."""
        digests = list(self.kinds)
        step = max(-(-len(digests) // CELLS), 1)
        return [digests[at : at + step] for at in range(0, len(digests), step)]

    def __str__(self) -> str:
        columns = self.columns()
        wide = min(max(len(one.name) for one in self.moments), 24)
        lines = []
        for one in self.moments[-ROWS:]:
            cells = "".join("█▒·"[_state(one, column)] for column in columns)
            new = sum(one.blobs[blob] for blob in one.new)
            lines.append(f"{cut(printable(one.name), 24):{wide}}  {cells}  {len(one.new):,} new, {new:,} bytes")
        return "\n".join(lines)

    __repr__ = __str__

    def svg(self) -> str:
        """The grid as a picture: green is new, grey shared; of each cell, what it is."""
        drawing = Drawing()
        columns = self.columns()
        step = min(WIDE / max(len(columns), 1), 24.0)
        for at, column in enumerate(columns):
            if len(column) == 1:
                drawing.text(NAME + at * step + 2, 18, LETTERS[self.kinds[column[0]]], "s q")
        for row, one in enumerate(self.moments[-ROWS:]):
            y = 26 + 24 * row
            drawing.text(8, y + 15, one.name, "b", limit=20)
            for at, column in enumerate(columns):
                state = _state(one, column)
                if state < 2:
                    here = [blob for blob in column if blob in one.blobs]
                    size = sum(one.blobs[blob] for blob in here)
                    what = f"{len(here)} blobs" if len(here) > 1 else f"{self.kinds[here[0]]} {here[0][:8]}"
                    hint = f"{what}: {size:,} bytes, {'new' if state == 0 else 'shared'}"
                    drawing.box(NAME + at * step, y, step - 2, 20, "c2" if state == 0 else "c0", hint=hint)
            new = sum(one.blobs[blob] for blob in one.new)
            drawing.text(NAME + WIDE + 8, y + 15, f"{len(one.new):,} new, {new:,} bytes", "s")
        key = 26 + 24 * len(self.moments[-ROWS:]) + 14
        drawing.text(
            8, key, "r rows, m mask of deleted rows, p page, s sketches, R root; green is new, grey shared", "s q"
        )
        return drawing.svg()

    visualise = svg

    def _repr_html_(self) -> str:
        return f"<details open><summary>{escape(f'{len(self.moments) - 1} snapshots')}</summary>{self.svg()}</details>"


def _state(moment: Moment, column: list[str]) -> int:
    """0 new, 1 shared, 2 not there."""
    if any(blob in moment.new for blob in column):
        return 0
    return 1 if any(blob in moment.blobs for blob in column) else 2


def _kinds(storage: Storage, digest: str) -> Iterator[tuple[str, str]]:
    yield digest, "root"
    for entry in Root.decode(storage.stored.get(digest), digest).tables.values():
        if entry.sketches is not None:
            yield entry.sketches, "sketches"
        for reference in entry.pages:
            yield reference.digest, "page"
            for group in storage.page(reference).groups:
                yield group.blob, "rows"
                if group.mask is not None:
                    yield group.mask.blob, "mask"
