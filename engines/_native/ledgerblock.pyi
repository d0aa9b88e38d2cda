from array import array
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import numpy.typing as npt

_Buffer: TypeAlias = bytes | bytearray | memoryview
_Column: TypeAlias = bytes | bytearray | memoryview | array[int] | npt.NDArray[Any]

HEAD_BYTES: Final[int]
ENTRY_BYTES: Final[int]
SALT_BYTES: Final[int]
TRAILER_BYTES: Final[int]

class BadBlock(ValueError):
    entry: int | None
    offset: int
    def __init__(self, problem: str, entry: int | None, offset: int) -> None: ...

def pack(
    transaction: bytes,
    statements: bytes,
    statements_hash: bytes,
    kinds: _Column,
    tables: _Column,
    documents: _Column,
    versions: _Column,
    salts: _Column,
    bodies: Iterable[bytes],
    hashes: _Column,
) -> bytearray: ...
def stamp(payload: bytearray, block: int, time: int) -> None: ...
def seal(payload: bytearray, first_leaf: int, root: bytes, previous: bytes) -> bytes: ...
def check(payload: _Buffer) -> list[int]: ...
def places(payload: _Buffer, sequence: int, offset: int) -> list[tuple[bytes, bytes]]: ...
def summary(payload: _Buffer) -> tuple[int, int, int, int, bytes, int, int]: ...
def same_places(
    places: list[tuple[bytes, bytes]], found: Iterable[tuple[bytes | memoryview, bytes | memoryview]]
) -> bool: ...
def audit(payload: _Buffer) -> list[int]: ...
def use_sha_instructions(wanted: bool = True) -> bool: ...
