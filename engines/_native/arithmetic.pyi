from typing import Any, Final

import numpy as np
import numpy.typing as npt

ADD: Final[int]
SUBTRACT: Final[int]
MULTIPLY: Final[int]

def combine(
    operation: int,
    a: npt.NDArray[Any],
    a_base: int,
    b: npt.NDArray[Any],
    b_base: int,
    out: npt.NDArray[Any],
    out_base: int,
    short: bool = False,
) -> None: ...
def scale(a: npt.NDArray[Any], factor: int, offset: int, out: npt.NDArray[Any]) -> None: ...
def checked(operation: int, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], out: npt.NDArray[np.int64]) -> int: ...
def divide(a: npt.NDArray[np.int64], factor: int, b: npt.NDArray[np.int64], out: npt.NDArray[np.int64]) -> int: ...
def truncate(
    remainder: bool, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], out: npt.NDArray[np.int64]
) -> None: ...
def shrink(a: npt.NDArray[np.int64], divisor: int, out: npt.NDArray[np.int64]) -> None: ...
