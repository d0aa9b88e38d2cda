"""ORDER BY time DESC LIMIT n over rows: only blocks that can hold one of the n newest are read.

    blocks   [   a   ][   b   ][  c  ]          by the time at which they begin, the newest first, their rows are
                 [     d     ][   e  ]          counted: once c and e have n rows, nothing before T is wanted
                              T

The n newest rows are at T or later, since the blocks that begin there have n rows already. So the stretch of time of
the scan is narrowed, from summaries alone, and the sort above sees few rows. ASC is the mirror image.

Not where a condition is left for a filter, or where a row is not a row of times (single-measure records): then nobody
knows how many rows of a block count.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from engines.sql.column import Batch
from engines.sql.source import Partition, Placement, Predicate, Scanned, Schema, Statistics, Support
from engines.timeseries.folding import number_of
from engines.timeseries.fused import End
from engines.timeseries.part import Part
from engines.timeseries.scan import Reading
from engines.timeseries.selection import Selection, select

MOST: Final = 1 << 20  # rows: above that everything is read


class Ended:
    """A TableSource for one run: rows of a table's one end."""

    placement: Placement | None = None

    def __init__(self, end: End, reading: Reading, values: Mapping[int | str, Any]) -> None:
        self.end = end
        self.reading = reading
        self.values = values
        self.name = end.table

    def schema(self) -> Schema:
        return self.reading.schema()

    def version(self) -> Hashable:
        return self.reading.version()

    def statistics(self) -> Statistics:
        return self.reading.statistics()

    def support(self, predicate: Predicate) -> Support:
        return self.reading.support(predicate)

    def partitions(self, predicates: Sequence[Predicate], scanned: Scanned) -> Sequence[Partition]:
        del scanned
        reading = self.reading
        wanted = select(reading.source.table, reading.columns, predicates)
        parts = reading.parts(wanted)
        most = self._most()
        if most:
            wanted = narrowed(reading, parts, wanted, most, descending=self.end.descending)
            parts = [part for part in parts if part.high >= wanted.low and part.low <= wanted.high]
        return [Partition(str(i), part.rows, origin=(part, wanted)) for i, part in enumerate(parts)]

    def _most(self) -> int | None:
        """How many rows are wanted; None: all."""
        limit = number_of(self.end.limit, self.values)
        offset = 0 if self.end.offset is None else number_of(self.end.offset, self.values) or 0
        return None if limit is None or limit + offset > MOST else limit + offset

    def scan(
        self, partition: Partition, columns: Sequence[str], predicates: Sequence[Predicate], scanned: Scanned
    ) -> Iterator[Batch]:
        return self.reading.scan(partition, columns, predicates, scanned)


def narrowed(reading: Reading, parts: Sequence[Part], wanted: Selection, most: int, *, descending: bool) -> Selection:
    """The selection, for a stretch of time that holds at least the `most` newest or oldest of its rows."""
    begins, ends, rows = [], [], []
    for part in parts:
        blocks = part.blocks[reading.blocks_of_times(part, wanted)[0]]
        begins.append(blocks["first"].view("<i8"))
        ends.append(blocks["last"].view("<i8"))
        rows.append(blocks["rows"].astype(np.int64))
    if not begins:
        return wanted
    first, last, count = np.concatenate(begins), np.concatenate(ends), np.concatenate(rows)
    whole = (first >= wanted.low) & (last <= wanted.high)
    edge = first[whole] if descending else -last[whole]
    order = np.argsort(-edge, kind="stable")
    enough = np.searchsorted(np.cumsum(count[whole][order]), most)
    if enough >= len(order):
        return wanted
    bound = int(edge[order[enough]])
    return replace(wanted, low=max(wanted.low, bound)) if descending else replace(wanted, high=min(wanted.high, -bound))
