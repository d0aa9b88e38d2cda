"""Blocks of a part that a query has chosen, and what it touched of a table.

    Chosen     times 4 5 9     of a part's blocks of times those that may hold rows
               place 0 0 2     the series, by its place in the part, that each is of
               number 1 2 0    which of its chunk it is: that of every other column has the same number

Invariants: a part never changes, so what is found out about its chunks is kept for all pieces of a choice.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.sql.column import VECTOR
from engines.timeseries.merge import chunk_by_series
from engines.timeseries.part import Part

Index = npt.NDArray[np.int64]


@dataclass(slots=True)
class Touched:
    """What one run read of one table."""

    tiles: int = 0
    windows: set[int] = field(default_factory=set)  # tiles that were read
    parts: int = 0
    tiers: dict[str, int] = field(default_factory=dict)
    series: int = 0
    series_kept: int = 0
    blocks: int = 0
    pruned: int = 0
    summarised: int = 0
    decoded: int = 0
    bytes: int = 0
    rows: int = 0

    def counters(self) -> dict[str, float]:
        """As a plan's step shows them."""
        found: dict[str, float] = {
            "tiles": self.tiles,
            "tiles_read": len(self.windows),
            "parts": self.parts,
            "series": self.series,
            "series_kept": self.series_kept,
            "blocks": self.blocks,
            "blocks_pruned": self.pruned,
            "blocks_summarised": self.summarised,
            "blocks_decoded": self.decoded,
            "bytes": self.bytes,
            "rows": self.rows,
        }
        for tier, count in self.tiers.items():
            found[f"parts_{tier}"] = count
        return found

    def part(self, one: Part, tile: int) -> None:
        """A part that is read; tile: how long one is."""
        self.parts += 1
        self.windows.add(one.low // tile)
        self.tiers[one.tier] = self.tiers.get(one.tier, 0) + 1


@dataclass(slots=True)
class Chosen:
    """Blocks of a part that may hold rows. place: of each block's series in the part; number: its place in a chunk."""

    part: Part
    times: Index  # the blocks of times
    place: Index
    number: Index
    owned: dict[int, Index] = field(default_factory=dict)  # column -> by series of the part: its chunk, -1 for none

    def where(self, keep: Any) -> "Chosen":  # noqa: ANN401 - a mask or a slice
        """Some of the blocks."""
        return Chosen(self.part, self.times[keep], self.place[keep], self.number[keep], self.owned)

    def rows(self) -> Index:
        """How many rows each block has."""
        found: Index = self.part.blocks["rows"][self.times].astype(np.int64)
        return found

    def batches(self) -> Iterator["Chosen"]:
        """The blocks by as many as make a batch."""
        ends = np.cumsum(self.rows())
        start = 0
        while start < len(ends):
            before = int(ends[start - 1]) if start else 0
            stop = max(int(ends.searchsorted(before + VECTOR, side="right")), start + 1)
            yield self.where(slice(start, stop))
            start = stop

    def chunks(self, column: int) -> Index:
        """By series of the part: the chunk of that column."""
        found = self.owned.get(column)
        if found is None:
            found = self.owned[column] = chunk_by_series(self.part, column)
        return found
