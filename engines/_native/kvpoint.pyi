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

@final
class References:
    since: int
    oldest: int
    def __init__(self, since: int) -> None: ...
    def forget(self) -> None: ...
    def note(self, sequence: int) -> None: ...

@final
class PointWriter:
    def __init__(
        self,
        records: object,
        lock: _Lock,
        tree: object,
        items: object,
        log: object,
        names: list[str],
        references: References,
        shorten: Callable[[bytes], bytes],
        longest: int,
        table: int,
        kind: int,
        keeps_old: bool,
        expires: bool,
    ) -> None: ...
    def write(
        self,
        key: bytes,
        image: bytes | None,
        expires: int = 0,
        holds: Callable[[dict[str, Any] | None], bool] | None = None,
        returns_old: bool = False,
    ) -> dict[str, Any] | None: ...
    def old(self, stored: bytes | memoryview) -> bytes | int: ...
    def apply(self, key: bytes, image: bytes | None, old_expires: int, expires: int, sequence: int) -> None: ...
