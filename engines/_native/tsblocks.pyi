from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Bytes: TypeAlias = npt.NDArray[np.uint8]

def room_for(rows: int, blocks: int) -> int: ...
def encode_numbers(
    type: int,  # noqa: A002 - as in SQL
    data: npt.NDArray[np.uint64],
    cuts: npt.NDArray[np.int64],
    valid: _Bytes | None,
    blocks: _Bytes,
    out: _Bytes,
) -> int: ...
def encode_booleans(
    data: _Bytes, cuts: npt.NDArray[np.int64], valid: _Bytes | None, blocks: _Bytes, out: _Bytes
) -> int: ...
def decode_numbers(blocks: _Bytes, out: npt.NDArray[np.uint64], valid: _Bytes | None) -> int: ...
def decode_booleans(blocks: _Bytes, out: _Bytes, valid: _Bytes | None) -> int: ...
def encode_raw(
    type: int,  # noqa: A002 - as in SQL
    data: npt.NDArray[np.uint64],
    cuts: npt.NDArray[np.int64],
    valid: _Bytes | None,
    blocks: _Bytes,
    out: _Bytes,
) -> int: ...
