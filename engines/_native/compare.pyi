from typing import Any

import numpy as np
import numpy.typing as npt

def between(
    values: npt.NDArray[Any],
    low: int,
    high: int,
    mask: npt.NDArray[np.uint8],
    *,
    negate: bool = False,
    also: bool = False,
) -> None: ...
def compare(
    less: bool,
    a: npt.NDArray[Any],
    b: npt.NDArray[Any],
    delta: int,
    mask: npt.NDArray[np.uint8],
    *,
    negate: bool = False,
) -> None: ...
def member(values: npt.NDArray[Any], low: int, table: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> None: ...
def compare_floats(
    less: bool,
    a: npt.NDArray[np.float64],
    b: npt.NDArray[np.float64],
    mask: npt.NDArray[np.uint8],
    *,
    negate: bool = False,
) -> None: ...
