"""Deleting rows: a mask of bits for each row group, 1 = deleted. Blocks and zone maps stay as they are.

    blob    mask of a group (a block of booleans, codec.py) | padding to 8 | mask of the next | ...   one a statement

A mask replaces the one before it: it holds all deleted rows of its group. VACUUM writes the rows that are left anew.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from engines.errors import Invalid
from engines.sql.column import Column
from engines.sql.types import BOOLEAN
from engines.warehouse.blocks import encode
from engines.warehouse.cache import BlockCache
from engines.warehouse.codec import pad
from engines.warehouse.pages import Group, Mask
from engines.warehouse.scan import deleted_rows

Put = Callable[[list[list[bytes]]], list[str]]


def deleted(groups: Sequence[Group], numbers: npt.NDArray[np.int64], cache: BlockCache, put: Put) -> dict[int, Group]:
    """The groups that change, by place, when the rows with these numbers go. Rows that are gone already count not.

    numbers: sorted, each once. Invalid for the number of no row.
    """
    places, rows = numbers >> 16, numbers & 0xFFFF
    masks: dict[int, tuple[int, bytes]] = {}
    for place in np.unique(places).tolist():
        at = rows[places == place]
        if not 0 <= place < len(groups) or int(at.max()) >= groups[place].rows:
            raise Invalid(f"there is no row {(place << 16) + int(at.max()):,} in this table")
        bits = deleted_rows(cache, groups[place]).copy()
        before = int(bits.sum())
        bits[at] = 1
        count = int(bits.sum())
        if count > before:
            masks[place] = count, encode(Column(BOOLEAN, bits), len(bits), sketch=False).data
    if not masks:
        return {}
    parts = [pad(mask) for _, mask in masks.values()]
    (blob,) = put([parts])
    changed, offset = {}, 0
    for (place, (count, mask)), part in zip(masks.items(), parts, strict=True):
        where = Mask(blob, offset, len(mask))
        changed[place] = msgspec.structs.replace(groups[place], deleted=count, mask=where)
        offset += len(part)
    return changed
