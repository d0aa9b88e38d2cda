import numpy as np
import numpy.typing as npt

_Series = npt.NDArray[np.int32]
_Whole = npt.NDArray[np.int64]

def group(series: _Series, times: _Whole, counts: _Whole, order: _Whole) -> int: ...
def locate(
    series: _Series, starts: _Whole, times: _Whole, wanted: _Series, moments: _Whole, places: _Whole
) -> int: ...
def gather(addresses: npt.NDArray[np.uint64], lengths: _Whole, offsets: _Whole, out: npt.NDArray[np.uint8]) -> None: ...
