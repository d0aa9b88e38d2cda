from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

_Values: TypeAlias = npt.NDArray[Any]
_Groups: TypeAlias = npt.NDArray[np.uint32]
_Totals: TypeAlias = npt.NDArray[np.int64]
_Doubles: TypeAlias = npt.NDArray[np.float64]
_Mask: TypeAlias = npt.NDArray[np.uint8]

LARGEST: Final[int]
SMALLEST: Final[int]
NO_GROUP: Final[int]

def send_away(groups: _Groups, mask: _Mask, away: int, out: _Groups) -> None: ...
def count(groups: _Groups, totals: _Totals) -> None: ...
def sum_whole(values: _Values, base: int, groups: _Groups, totals: _Totals) -> None: ...
def sum_wide(values: _Totals, groups: _Groups, high: _Totals, low: npt.NDArray[np.uint64]) -> None: ...
def flush(totals: _Totals, high: _Totals, low: npt.NDArray[np.uint64]) -> None: ...
def add_wide(
    more_high: _Totals,
    more_low: npt.NDArray[np.uint64],
    groups: _Groups,
    high: _Totals,
    low: npt.NDArray[np.uint64],
) -> bool: ...
def sum_float(values: _Doubles, groups: _Groups, totals: _Doubles, rest: _Doubles) -> None: ...
def total_whole(values: _Values) -> int: ...
def extreme_whole(values: _Values, base: int, groups: _Groups, best: _Totals, *, largest: bool) -> None: ...
def extreme_float(values: _Doubles, groups: _Groups, best: _Doubles, *, largest: bool) -> None: ...
def extreme_row(
    keys: _Values, base: int, groups: _Groups, best: _Totals, rows: npt.NDArray[np.int32], *, largest: bool
) -> None: ...
def extreme_text(
    codes: npt.NDArray[np.int32] | None,
    offsets: npt.NDArray[np.int32],
    heap: _Mask,
    groups: _Groups,
    rows: npt.NDArray[np.int32],
    *,
    largest: bool,
) -> None: ...
def moments(values: _Doubles, groups: _Groups, n: _Doubles, mean: _Doubles, square: _Doubles) -> None: ...
def pair_moments(xs: _Doubles, ys: _Doubles, groups: _Groups, n: _Doubles, sums: _Doubles) -> None: ...
def average(totals: _Totals, counts: _Totals, factor: int, out: _Totals) -> None: ...
def add_slots(
    codes: _Values,
    ids: npt.NDArray[np.uint16] | None,
    add: int,
    stride: int,
    valid: _Mask | None,
    slots: npt.NDArray[np.uint16],
    *,
    first: bool,
) -> None: ...
def number_slots(
    slots: npt.NDArray[np.uint16],
    table: _Groups,
    groups: _Groups,
    new: npt.NDArray[np.uint16],
    known: int,
    mask: npt.NDArray[np.uint8] | None = None,
) -> int: ...
