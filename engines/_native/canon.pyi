from typing import Final

MAX_DEPTH: Final[int]
MAX_INT: Final[int]

class NotCanonical(ValueError):
    path: str
    def __init__(self, path: str, problem: str) -> None: ...

def canonical(value: object, limit: int = ...) -> bytes: ...
def has_long_integer(text: bytes | bytearray | memoryview) -> bool: ...
