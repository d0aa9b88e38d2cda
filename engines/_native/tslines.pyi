from typing import Any, Final, TypeAlias

import numpy.typing as npt

PROBLEMS: Final[dict[int, str]]

_Arrays: TypeAlias = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]

def parse(data: memoryview) -> tuple[list[bytes], list[bytes], _Arrays, _Arrays, list[tuple[int, int, str]]]: ...
