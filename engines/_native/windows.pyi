from typing import Any

import numpy as np
import numpy.typing as npt

def sliding_sums(
    values: npt.NDArray[np.float64],
    valid: npt.NDArray[np.uint8] | None,
    low: npt.NDArray[np.int32],
    high: npt.NDArray[np.int32],
    room: npt.NDArray[np.float64],
    out: npt.NDArray[np.float64],
) -> None: ...
def sliding_squares(
    values: npt.NDArray[np.float64],
    valid: npt.NDArray[np.uint8] | None,
    low: npt.NDArray[np.int32],
    high: npt.NDArray[np.int32],
    room: npt.NDArray[np.float64],
    out: npt.NDArray[np.float64],
) -> None: ...
def sliding_least(
    words: npt.NDArray[np.uint64],
    valid: npt.NDArray[np.uint8] | None,
    low: npt.NDArray[np.int32],
    high: npt.NDArray[np.int32],
    room: npt.NDArray[np.int32],
    out: npt.NDArray[np.int32],
) -> None: ...
def range_ends(
    keys: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    first: npt.NDArray[np.int32],
    last: npt.NDArray[np.int32],
    after: bool,
    out: npt.NDArray[np.int32],
) -> None: ...
