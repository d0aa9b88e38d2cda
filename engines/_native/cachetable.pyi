from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self, TypeAlias, final

_Time: TypeAlias = int | float | timedelta

POLICIES: tuple[str, ...]
KINDS: tuple[str, ...]

@final
class CacheTable:
    max_items: int | None
    max_bytes: int | None
    volatile: bool
    sized: bool
    unlimited: bool
    bytes: int
    hits: int
    misses: int
    evictions: int
    expired: int
    def __init__(
        self,
        max_items: int | None = None,
        max_bytes: int | None = None,
        policy: str = "sieve",
        volatile: bool = False,
        seed: int = 0,
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def timed(self) -> int: ...
    def get(self, key: Any, now: int, default: Any = None) -> Any: ...  # noqa: ANN401 - any object is a key or value
    def peek(self, key: Any, now: int) -> tuple[Any, int, int] | None: ...  # noqa: ANN401 - same
    def set(self, key: Any, value: Any, now: int, expires: int = 0, kind: int = 0) -> None: ...  # noqa: ANN401 - same
    def expire_at(self, key: Any, expires: int, now: int) -> bool: ...  # noqa: ANN401 - same
    def delete(self, key: Any, now: int) -> bool: ...  # noqa: ANN401 - same
    def expire(self, now: int) -> int: ...
    def scan(self, position: int, count: int, now: int) -> tuple[int, list[Any]]: ...
    def clear(self) -> None: ...

def call_out(function: Callable[[Any, Any], object], key: Any, value: Any) -> None: ...  # noqa: ANN401 - any object

@final
class CacheLock:
    def __init__(self, core: CacheCore) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

class CacheCore:
    table: CacheTable
    clock: Any
    observed: bool
    unsettled: bool
    _lock: CacheLock
    def __init__(self, table: CacheTable, clock: Any, system_clock: bool) -> None: ...  # noqa: ANN401 - a Clock
    def get(self, key: Any, default: Any = None) -> Any: ...  # noqa: ANN401 - any object is a key or value
    def set(
        self,
        key: Any,  # noqa: ANN401 - same
        value: Any,  # noqa: ANN401 - same
        *,
        ttl: _Time | None = None,
        nx: bool = False,
        xx: bool = False,
        keep_ttl: bool = False,
    ) -> bool: ...
    def _shut(self) -> None: ...
    def _now(self) -> int: ...
    def _stop_time(self) -> None: ...
    def _container(self, key: Any, kind: str) -> Any: ...  # noqa: ANN401 - same
    def _store(self, key: Any, kind: str, value: Any, expires: int, force: bool = False) -> bool: ...  # noqa: ANN401 - same
    def _room(self, key: Any, kind: str, value: Any) -> bool: ...  # noqa: ANN401 - same
    def _full(self, key: Any) -> bool: ...  # noqa: ANN401 - same
    def _peek(self, key: Any) -> tuple[Any, Any, int] | None: ...  # noqa: ANN401 - same
    def _set_expiry(self, key: Any, expires: int) -> None: ...  # noqa: ANN401 - same
    def _remove(self, key: Any, expired_only: bool = False) -> bool: ...  # noqa: ANN401 - same
    def _sweep(self) -> int: ...
    def _empty(self) -> None: ...
    def _gone(self) -> list[tuple[Any, Any, bool]]: ...
    def _settle(self) -> Callable[[], None] | None: ...
