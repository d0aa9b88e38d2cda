from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

_Narrow: TypeAlias = npt.NDArray[Any]  # uint8, uint16, uint32 or uint64
_Bytes: TypeAlias = npt.NDArray[np.uint8]
_Words: TypeAlias = npt.NDArray[np.uint64]
_Numbers: TypeAlias = npt.NDArray[np.uint32]
_Found: TypeAlias = npt.NDArray[np.int32]
_Starts: TypeAlias = npt.NDArray[np.int64]

def number_direct(
    data: _Narrow,
    offset: int,
    valid: _Bytes | None,
    nulls: bool,
    table: _Numbers,
    keys: _Words,
    out: _Numbers,
    start: int,
    count: int,
) -> tuple[int, int]: ...
def number_hashed(
    data: _Narrow,
    offset: int,
    valid: _Bytes | None,
    nulls: bool,
    slots: _Words,
    exact: bool,
    keys: _Words,
    out: _Numbers,
    start: int,
    count: int,
) -> tuple[int, int]: ...
def find_direct(
    data: _Narrow, offset: int, valid: _Bytes | None, nulls: bool, zero: bool, table: _Numbers, out: _Found
) -> None: ...
def find_hashed(
    data: _Narrow,
    offset: int,
    valid: _Bytes | None,
    nulls: bool,
    zero: bool,
    slots: _Words,
    exact: bool,
    keys: _Words,
    out: _Found,
) -> None: ...
def fill_slots(keys: _Words, count: int, slots: _Words, exact: bool) -> None: ...
def pack(data: _Narrow, offset: int, valid: _Bytes | None, shift: int, first: bool, out: _Words) -> None: ...
def intern(
    offsets: _Found,
    heap: _Bytes,
    which: _Found | None,
    valid: _Bytes | None,
    nulls: bool,
    null: int,
    add: bool,
    slots: _Words,
    hashes: _Words,
    starts: _Starts,
    arena: _Bytes,
    out: _Found,
    start: int,
    count: int,
) -> tuple[int, int, int]: ...
def fill_text_slots(hashes: _Words, count: int, null: int, slots: _Words) -> None: ...
def hash_words(starts: _Starts, arena: _Bytes, hashes: _Words) -> None: ...
def translate(
    codes: _Narrow,
    valid: _Bytes | None,
    nulls: bool,
    null: int,
    table: _Found,
    out: _Found,
    missing: _Found,
    again: bool,
) -> int: ...
