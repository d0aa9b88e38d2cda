from collections.abc import Sequence
from typing import Final

Image = bytes | memoryview | None

ITEMS: Final[int]

def encode_change(table: int, key: bytes, old: Image, new: Image, *, expired: bool = False) -> bytes: ...
def encode_changes(
    changes: Sequence[tuple[int, bytes, Image, Image] | tuple[int, bytes, Image, Image, bool]],
) -> bytes: ...
def decode_changes(payload: bytes | memoryview) -> list[tuple[int, bytes, bytes | None, bytes | None, bool]]: ...
