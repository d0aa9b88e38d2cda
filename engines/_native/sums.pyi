from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

_Totals: TypeAlias = npt.NDArray[np.int64]

def together(
    groups: npt.NDArray[np.uint32],
    used: int,
    counts: _Totals,
    columns: list[tuple[npt.NDArray[Any], int, int, int, _Totals]],
) -> None: ...

MOST: int
