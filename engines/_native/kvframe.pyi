from collections.abc import Sequence
from typing import Final, TypeAlias

_Image: TypeAlias = bytes | memoryview | None
_Old: TypeAlias = bytes | memoryview | int | None

ITEMS: Final[int]

def encode_change(table: int, key: bytes, old: _Old, new: _Image, *, expired: bool = False) -> bytes: ...
def encode_changes(
    changes: Sequence[tuple[int, bytes, _Old, _Image] | tuple[int, bytes, _Old, _Image, bool]],
) -> bytes: ...
def decode_changes(payload: bytes | memoryview) -> list[tuple[int, bytes, bytes | int | None, bytes | None, bool]]: ...
