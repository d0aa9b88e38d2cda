from typing import Any

import numpy as np
import numpy.typing as npt

def pack_numbers(
    data: npt.NDArray[Any],
    valid: npt.NDArray[np.uint8] | None,
    keys: npt.NDArray[np.uint64],
    shift: int,
    low: int,
    high: int,
    descending: bool,
    nulls_first: bool,
) -> None: ...
def pack_doubles(
    data: npt.NDArray[np.float64],
    valid: npt.NDArray[np.uint8] | None,
    keys: npt.NDArray[np.uint64],
    descending: bool,
    nulls_first: bool,
) -> None: ...
def sort_keys(
    keys: npt.NDArray[np.uint64],
    order: npt.NDArray[np.int32],
    other_keys: npt.NDArray[np.uint64],
    other_order: npt.NDArray[np.int32],
) -> None: ...
def text_ranks(
    offsets: npt.NDArray[np.int32],
    heap: npt.NDArray[np.uint8],
    ranks: npt.NDArray[np.uint32],
    order: npt.NDArray[np.int32],
    keys: npt.NDArray[np.uint64],
    other_keys: npt.NDArray[np.uint64],
    other_order: npt.NDArray[np.int32],
    waiting: npt.NDArray[np.int32],
) -> int: ...
def texts_within(
    offsets: npt.NDArray[np.int32],
    heap: npt.NDArray[np.uint8],
    bound: npt.NDArray[np.uint8],
    descending: bool,
    mask: npt.NDArray[np.uint8],
) -> None: ...
