from collections.abc import Callable
from typing import Any, Protocol, final

class _Lock(Protocol):
    def acquire(self) -> object: ...
    def release(self) -> None: ...

@final
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
