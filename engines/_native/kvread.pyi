from collections.abc import Callable
from typing import Any, Protocol

class _Lock(Protocol):
    def acquire(self) -> Any: ...
    def release(self) -> None: ...

class PointReader:
    def __init__(
        self,
        encode: Callable[[tuple[Any, ...]], bytes],
        decode: Callable[[Any], dict[str, Any]],
        lock: _Lock,
        tree: object,
        keyspace: object,
        now: Callable[[], int] | None,
        shorten: Callable[[bytes], bytes],
        longest: int,
    ) -> None: ...
    def get(self, key: tuple[Any, ...]) -> dict[str, Any] | None: ...
