"""VACUUM and ANALYZE: which row groups are worth writing anew, and how.

    DELETE ONLY    groups of which more than a fifth is deleted
    SORT ONLY      groups of a slice whose ranges of the first sort key overlap: they are merged
    FULL           both, and groups of fewer than 8,192 rows
    REINDEX        all groups, for INTERLEAVED keys: their ranks are those of a load (zorder.py), so loads overlap

Rows stay on their slice. What overlaps is found by going through a slice's groups in the order of their lows: as long
as the next one begins below the highest value so far, it belongs to the same pile. A pile is read, sorted and cut into
groups again, at most 64 M rows of it at once. (Redshift sorts the unsorted region and merges it into the sorted one;
here there is no such region, only groups that overlap or do not.)

ANALYZE makes the sketches of distinct values anew; rows, bounds and NULLs are always known from the zone maps.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np

from engines.errors import Invalid
from engines.sql.column import Batch
from engines.sql.source import Scanned
from engines.warehouse import statistics
from engines.warehouse.blocks import REGISTERS, encode
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
    groups = state.groups
    for slice in sorted({group.slice for group in groups}):
        places = [place for place, group in enumerate(groups) if group.slice == slice and group.live]
        if mode == "reindex":
            piles += [places] if places else []
            continue
        overlapping = _overlapping(state, places) if mode != "delete only" else []
        found = set().union(*overlapping)
        worn = [place for place in places if place not in found and _worn(groups[place], mode, threshold)]
        if mode == "full" and len(worn) == 1 and not groups[worn[0]].deleted and len(places) == 1:
            worn = []  # a small table of one short group is as it should be
        piles += overlapping
        if worn:
            piles += [[place] for place in worn] if state.definition.sort else [worn]
    return piles


def _worn(group: Group, mode: Mode, threshold: float) -> bool:
    if mode == "sort only":
        return False
    return group.deleted > threshold * group.rows or (mode == "full" and (group.short or group.deleted > 0))


def _overlapping(state: State, places: Sequence[int]) -> list[list[int]]:
    """Groups that belong together by the first sort key, and are more than one."""
    if not state.definition.sort or state.definition.interleaved:
        return []
    ranges = []
    for place in places:
        group = state.groups[place]
        block = group.blocks.get(state.definition.sort[0])
        low, high = zone(block)
        ranges.append((low is not None, low, high, place, block is not None and block.nulls > 0))
    bounded = sorted((one for one in ranges if one[0]), key=lambda one: (one[1], one[3]))
    piles: list[list[int]] = []
    top: Any = None
    for _, low, high, place, nulls in bounded:
        if piles and (top is None or low < top):
            piles[-1].append(place)
        else:
            piles.append([place])
        ends = None if nulls or high is None else high  # NULLs are last: such a group has no end
        top = ends if len(piles[-1]) == 1 else None if top is None or ends is None else max(top, ends)
    return [pile for pile in piles if len(pile) > 1]


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
