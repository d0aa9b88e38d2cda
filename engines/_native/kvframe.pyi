from collections.abc import Sequence
from typing import Final, TypeAlias

_Image: TypeAlias = bytes | memoryview | None

ITEMS: Final[int]

def encode_change(table: int, key: bytes, old: _Image, new: _Image, *, expired: bool = False) -> bytes: ...
def encode_changes(
    changes: Sequence[tuple[int, bytes, _Image, _Image] | tuple[int, bytes, _Image, _Image, bool]],
) -> bytes: ...
def decode_changes(payload: bytes | memoryview) -> list[tuple[int, bytes, bytes | None, bytes | None, bool]]: ...
