"""Rows on their way in: columns of times, dimensions and measures, checked and of one length.

    times       2026-01-01T00:00:00  2026-01-01T00:00:10  ...       int64 nanoseconds
    dimensions  host   0 0 1 ...     words  a b                     codes; -1 where a record has no such dimension
    measures    usage  0.5 0.7 ...   valid  1 1 0 ...               absent where 0

Whatever a user passes (lists, numpy, Arrow, line protocol, records in the service's shape) is made into this once, and
the table takes nothing else. A row is a record: of several measures with one measure name, or, with `single`, of the
one measure in it that is present, whose name is the measure name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.timeseries.schema import MeasureType

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """A column of text: words[codes]; -1 = nothing there. A single code may stand for all rows."""

    codes: Codes
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """A measure. double: float64; bigint, timestamp: int64; boolean: uint8; varchar: codes into words."""

    type: MeasureType
    data: npt.NDArray[Any]
    valid: npt.NDArray[np.uint8] | None = None  # None: present in every row
    words: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Records. versions: int64, one a row or a single one for all. index: which record of the call a row is."""

    times: npt.NDArray[np.int64]
    dimensions: Mapping[str, Words]
    measures: Mapping[str, Values]
    measure_name: Words | None  # None: of the table's name; not looked at where `single`
    versions: npt.NDArray[np.int64]
    single: bool = False
    index: npt.NDArray[np.int64] | None = None  # None: 0, 1, 2 ...

    def __len__(self) -> int:
        return len(self.times)
