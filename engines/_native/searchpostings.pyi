from collections.abc import Sequence
from typing import Self, TypeAlias, final

import numpy as np
import numpy.typing as npt

_Bytes: TypeAlias = npt.NDArray[np.uint8] | bytes | memoryview
_Numbers: TypeAlias = npt.NDArray[np.uint32]
_Offsets: TypeAlias = npt.NDArray[np.int64]
_Section: TypeAlias = tuple[int, int]

@final
class FieldReader:
    def __new__(
        cls,
        blob: _Bytes,
        docs: int,
        norms: _Bytes | None,
        frequencies: bool,
        positions: _Section | None = None,
        dictionary: _Section | None = None,
        lists: _Section | None = None,
    ) -> Self: ...
    def decode(self, df: int, start: int, length: int) -> tuple[_Numbers, _Numbers]: ...
    def decode_positions(self, df: int, start: int, length: int) -> _Numbers: ...

@final
class FieldWriter:
    @property
    def postings(self) -> int: ...
    def __new__(cls, docs: int, norms: _Bytes | None, frequencies: bool, positions: bool) -> Self: ...
    def add(
        self,
        heap: _Bytes,
        offsets: _Offsets,
        order: _Numbers,
        starts: _Offsets,
        docs: _Numbers,
        frequencies: _Numbers | None,
        positions: _Numbers | None,
    ) -> None: ...
    def merge(self, readers: list[FieldReader], maps: Sequence[_Numbers]) -> None: ...
    def finish(self) -> tuple[bytes, bytes, bytes]: ...
    @property
    def terms(self) -> int: ...
