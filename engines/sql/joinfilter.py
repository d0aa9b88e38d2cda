"""What a build side tells the scan of the probe side: which keys can find a partner, before other columns are decoded.

    keys in a small range   a bit for each value of the range
    other whole numbers     a Bloom filter: no row is lost, 2 % of the others stay
    text                    the words themselves, looked up once for each dictionary

A filter that most rows pass only costs: after some batches it notices, and lets everything through from then on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engines._native import hashjoin
from engines.sql.column import Bytes, Column
from engines.sql.keyindex import WORD, Words
from engines.sql.keys import Numbering

NEAR: Final = 1 << 23  # keys in a range of that many have a bit each: 1 MB, and neighbours have neighbouring bits
DENSE: Final = 1 << 26  # or in one of that many, 8 MB, if they are not spread thin:
SPREAD: Final = 64  # one key among so many: as long as a Bloom filter then
TRIAL: Final = 1 << 17  # rows after which a filter is judged
USELESS: Final = 0.75  # of the rows pass

Mask = Callable[[Column], Bytes]


@dataclass(slots=True)
class Filter:
    """The values of one key, from least to most. bits and bloom: by value - low + 1; neither: look it up in `names`."""

    low: int
    least: int
    most: int
    bits: Bytes | None = None
    bloom: Words | None = None
    names: Numbering | None = None

    def holds(self, column: Column) -> Bytes:
        """1 where the value may be among the keys, for each stored row."""
        rows = len(column)
        if self.names is not None:
            return (self.names.find([column], rows) >= 0).view(np.uint8)
        if column.wide:
            return np.ones(rows, np.uint8)
        data: npt.NDArray[np.uint64] = column.data
        if data.dtype == np.int64:
            data = data.view(np.uint64)
        offset = (column.base - self.low + 1) & WORD
        mask = np.empty(rows, np.uint8)
        if self.bits is not None:
            hashjoin.bits_mask(data, offset, column.valid, self.bits, mask)
        elif self.bloom is not None:
            hashjoin.bloom_mask(data, offset, column.valid, self.bloom, mask)
        return mask

    def mask(self) -> Mask:
        """The filter for one scan: it gives up when it is of no use there."""
        seen = passed = 0

        def mask(column: Column) -> Bytes:
            nonlocal seen, passed
            if seen > TRIAL and passed > USELESS * seen:
                return np.ones(len(column), np.uint8)
            made = self.holds(column)
            if seen <= TRIAL:  # threads may lose a count here: it is a guess all the same
                seen += len(made)
                passed += int(np.count_nonzero(made))
            return made

        return mask


def filter_of(numbering: Numbering, i: int) -> Filter | None:
    """A filter of the i-th key's values. None for kinds of keys that have none."""
    if len(numbering.types) == 1 and numbering.types[0].text:
        return Filter(0, 0, 0, names=numbering)
    if not numbering.types[i].whole:
        return None
    codes = numbering.codes(i)
    if codes is None:
        return None
    low, keys = codes
    if not len(keys):
        return Filter(0, 0, -1, bits=np.zeros(0, np.uint8))
    highest = int(keys.max())
    least, most = low + int(keys.min()) - 1, low + highest - 1
    if highest < max(NEAR, min(DENSE, SPREAD * len(keys))):
        bits = np.zeros((highest >> 3) + 1, np.uint8)
        hashjoin.bits_add(keys, bits)
        return Filter(low, least, most, bits=bits)
    bloom = np.zeros(1 << (max(len(keys) // 4, 1) * 2 - 1).bit_length(), np.uint64)
    hashjoin.bloom_add(keys, bloom)
    return Filter(low, least, most, bloom=bloom)
