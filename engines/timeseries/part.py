"""What a query sees of a tile: parts. Wherever the bytes lie, in memory or in a blob, a part looks the same.

    Part    series   3        3     3       7        7        sorted
            column   TIME     usage idle    TIME     usage    a chunk each, ascending; TIME stands first
            blocks   0 1 2    3 4 5 6 7 8   9 10     11 12    of at most 1,024 rows each

    block   address and length of its bytes, codec, rows, how many of them have a value,
            and a summary: low, high, total, first, last of its values

Block i of each chunk of a series holds the same rows. A column that has no value in any row of a series has no chunk;
where it has none in a single block that block is ABSENT and has no bytes.

Times of a series rise strictly inside a part. Two parts may know the same row (a late one, a newer version): the part
of the higher generation is right about it. `merge.disjoint` gives parts of which this is no longer true.

Column ids: 0 is the time, 1 the version of a multi-measure record, from 2 on measures in order of first appearance;
VERSION_OF | id is the version of a single-measure record. A column of versions is there only where one differs from 1.

Invariants: a part never changes, and `owner` keeps alive what its addresses point to. Summaries cover exactly the
values that are present; of DOUBLE the bit patterns of doubles, with NaN left out of low, high and total and FLAG_NAN
set; of BIGINT and TIMESTAMP int64, FLAG_TOTAL where the total does not fit; of VARCHAR and BOOLEAN nothing but counts.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BLOCK: Final = 1024  # most rows of a block
TIME: Final = 0
VERSION: Final = 1
FIRST_MEASURE: Final = 2
VERSION_OF: Final = 0x8000

FLAG_NAN: Final = 1  # there are NaN among the values
FLAG_TOTAL: Final = 2  # the total of whole numbers does not fit 64 bits
FLAG_SUMMARY: Final = 4  # there is no summary: look at the values

BLOCK_TYPE: Final = np.dtype(
    [
        ("address", "<u8"),  # of its bytes in this process
        ("length", "<u4"),  # of its bytes
        ("rows", "<u2"),
        ("present", "<u2"),  # rows that have a value
        ("codec", "u1"),
        ("flags", "u1"),
        ("spare", "<u2"),
        ("more", "<u4"),  # what the codec needs besides
        ("low", "<u8"),
        ("high", "<u8"),
        ("total", "<u8"),
        ("first", "<u8"),
        ("last", "<u8"),
    ]
)  # 64 bytes; kernels know it as a packed struct


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Chunks by series and column; see the module's text. low, high: of its times, nanoseconds, both included."""

    low: int
    high: int
    rows: int
    generation: int  # the higher one is right
    series: npt.NDArray[np.int32]  # sorted
    starts: npt.NDArray[np.int64]  # first chunk of each series; one more than series
    columns: npt.NDArray[np.uint16]  # of each chunk
    firsts: npt.NDArray[np.int64]  # first block of each chunk; one more than chunks
    blocks: npt.NDArray[Any]  # BLOCK_TYPE
    owner: Any = field(default=None, repr=False)
    tier: str = "memory"  # or "magnetic"
    blob: str | None = None  # the digest of its blob, if it is one
