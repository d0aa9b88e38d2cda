r"""INTERLEAVED sort keys: rows along a Z-order curve, so that each of several columns prunes, and none is the first.

    rank of a, 2 bits   a1 a0  \
                                >   a1 b1 a0 b0      rows are sorted by this number
    rank of b, 2 bits   b1 b0  /

A row group then covers a small box: a narrow range of every key. Ranks, not values, are interleaved, so that skewed
columns are divided as evenly as others. A rank is that of one load: what several loads wrote overlaps until VACUUM
REINDEX ranks all rows together.

Source: G. M. Morton, A computer oriented geodetic data base, 1966.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from engines.sql.column import Column, Positions, gather
from engines.sql.ordering import Direction, order, same_as_before

BITS: Final = 62  # of the number that rows are sorted by
RANK_BITS: Final = 16  # of one column's rank, at most


def zorder(keys: Sequence[Column], rows: int) -> Positions:
    """The rows along the curve; equal ones in the order in which they came."""
    bits = min(RANK_BITS, BITS // len(keys))
    number = np.zeros(rows, np.uint64)
    for place, key in enumerate(keys):
        rank = ranked(key, rows, bits)
        for bit in range(bits):
            number |= ((rank >> np.uint64(bit)) & np.uint64(1)) << np.uint64(bit * len(keys) + len(keys) - 1 - place)
    return np.argsort(number, kind="stable").astype(np.int32)


def ranked(key: Column, rows: int, bits: int) -> npt.NDArray[np.uint64]:
    """Each row's rank among the values of a column, 0 to 2**bits - 1: the same for equal values, NULLs last."""
    at = order([key], [Direction()], rows)
    same = same_as_before([gather(key, at)], np.arange(rows, dtype=np.int32)).astype(bool)
    first = np.maximum.accumulate(np.where(same, 0, np.arange(rows)))
    rank = np.empty(rows, np.uint64)
    rank[at] = (first << bits) // max(rows, 1)
    return rank
