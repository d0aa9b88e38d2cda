"""VACUUM and ANALYZE: which row groups are worth writing anew, and how.

    DELETE ONLY    groups of which more than a fifth is deleted
    SORT ONLY      groups of a slice whose ranges of the first sort key overlap: they are merged
    FULL           both, and groups of fewer than 8,192 rows that have a neighbour to be merged with
    REINDEX        all groups, for INTERLEAVED keys: their ranks are those of a load (zorder.py), so loads overlap

Rows stay on their slice. What overlaps is found by going through a slice's groups in the order of their lows: as long
as the next one begins below the highest value so far, it belongs to the same pile. A pile is read, sorted and cut into
groups again, at most 64 M rows of it at once. Neighbouring piles become one where one of them fills no group, so that
short groups come together. What was vacuumed is left alone by the next VACUUM.

(Redshift sorts the unsorted region and merges it into the sorted one; here there is no such region, only groups that
overlap or do not.)

ANALYZE makes the sketches of distinct values anew; rows, bounds and NULLs are always known from the zone maps.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np

from engines.errors import Invalid
from engines.sql.column import VECTOR, Batch
from engines.sql.source import Scanned
from engines.warehouse import statistics
from engines.warehouse.blocks import REGISTERS, encode
from engines.warehouse.encodetexts import PREFIX
from engines.warehouse.pages import Group, zone
from engines.warehouse.scan import State, Table

Mode = Literal["full", "sort only", "delete only", "reindex"]
MODES: Final = ("full", "sort only", "delete only", "reindex")
THRESHOLD: Final = 0.2
MERGED_ROWS: Final = 1 << 26


def worth_it(state: State, mode: Mode, threshold: float) -> list[list[int]]:
    """Piles of groups, by place, each to be read and written as one. threshold: of deleted rows."""
    if mode not in MODES:
        raise Invalid(f"VACUUM is one of {', '.join(MODES)}, got {mode!r}")
    if not 0 <= threshold <= 1:
        raise Invalid(f"a threshold is a share of the rows, 0 to 1, got {threshold}")
    piles: list[list[int]] = []
    for slice in sorted({group.slice for group in state.groups}):
        places = [place for place, group in enumerate(state.groups) if group.slice == slice and group.live]
        if mode == "reindex":
            piles += [places] if places else []
        else:
            piles += _piles(state, places, mode, threshold)
    return piles


def _piles(state: State, places: Sequence[int], mode: Mode, threshold: float) -> list[list[int]]:
    """Of one slice."""
    groups, sort = state.groups, state.definition.sort and not state.definition.interleaved
    runs = _runs(state, places) if sort else [[place] for place in places]
    if mode == "delete only":
        runs = [[place] for run in runs for place in run]
    piles: list[list[int]] = []
    rows = 0  # of the last pile, as long as the next run may join it; 0 = it may not
    for run in runs:
        short = mode == "full" and groups[run[0]].short
        if len(run) == 1 and not short and (mode == "sort only" or not _worn(groups[run[0]], threshold)):
            rows = rows if not sort else 0
            continue
        size = sum(groups[place].live for place in run)
        if rows and (min(rows, size) < VECTOR or not sort):
            piles[-1] += run
            rows += size
        else:
            piles.append(list(run))
            rows = size
    return [pile for pile in piles if len(pile) > 1 or _worn(groups[pile[0]], threshold)]


def _worn(group: Group, threshold: float) -> bool:
    return group.deleted > threshold * group.rows


def _runs(state: State, places: Sequence[int]) -> list[list[int]]:
    """The groups in the order of the first sort key; those that overlap together."""
    ranges = []
    for place in places:
        block = state.groups[place].blocks.get(state.definition.sort[0])
        low, high = zone(block)
        endless = block is None or block.nulls > 0 or high is None  # NULLs are last, NaN before them
        ranges.append((low, None if endless else _sure(high), place))
    bounded = sorted((one for one in ranges if one[0] is not None), key=lambda one: (one[0], one[2]))
    runs: list[list[int]] = []
    top: Any = None
    for low, high, place in bounded:
        if runs and (top is None or low < top):
            runs[-1].append(place)
            top = None if top is None or high is None else max(top, high)
        else:
            runs.append([place])
            top = high
    return runs + [[place] for low, _, place in ranges if low is None]


def _sure(high: Any) -> Any:  # noqa: ANN401 - an engine value
    """A bound that is not above the highest value: that of a long text was rounded up (blocks.py)."""
    if isinstance(high, bytes) and len(high) == PREFIX and high[-1]:
        return high[:-1] + bytes([high[-1] - 1])
    return high


def rows_of(source: Table, places: Sequence[int]) -> Iterator[Batch]:
    """The rows of these groups that are not deleted, all columns."""
    names = [column.name for column in source.state.definition.columns]
    for place in places:
        for batch in source.scan(source.state.partitions[place], names, (), Scanned()):
            yield batch.renamed({name: name for name in names})


def emptied(group: Group) -> Group:
    """A group whose rows are elsewhere now."""
    return msgspec.structs.replace(group, deleted=group.rows)


def sketches_of(source: Table) -> statistics.Sketches:
    """The sketches of a table's columns."""
    sketches: statistics.Sketches = {
        column.id: np.zeros(REGISTERS, np.uint8) for column in source.state.definition.columns
    }
    for batch in rows_of(source, range(len(source.state.groups))):
        for column in source.state.definition.columns:
            made = encode(batch.column(column.name), batch.rows, "raw").sketch
            if made is not None:
                sketches = statistics.merged(sketches, {column.id: made})
    return sketches
