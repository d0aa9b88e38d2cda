from typing import Final

import numpy as np
import numpy.typing as npt

LOW: Final[int]
HIGH: Final[int]
TOTAL: Final[int]
PRUNED: Final[int]
SUMMARISED: Final[int]
IN_LANES: Final[int]
DECODED: Final[int]
BYTES: Final[int]
FOUND: Final[int]
COUNTERS: Final[int]

def fold_part(
    series: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int64],
    columns: npt.NDArray[np.uint16],
    firsts: npt.NDArray[np.int64],
    blocks: npt.NDArray[np.uint8],
    wanted: npt.NDArray[np.int32] | None,
    groups: npt.NDArray[np.int32],
    wanted_columns: npt.NDArray[np.uint16],
    want: int,
    low: int,
    high: int,
    width: int,
    first_bin: int,
    bins: int,
    cells: npt.NDArray[np.uint8],
    counters: npt.NDArray[np.int64],
    picked: npt.NDArray[np.uint32] | None,
    places: npt.NDArray[np.uint32] | None,
    warm: npt.NDArray[np.uint8] | None,
) -> int: ...
