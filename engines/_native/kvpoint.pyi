from collections.abc import Callable
from typing import Any, TypeAlias, final

from typing_extensions import disjoint_base

from engines._native.keys import KeyCodec
from engines._native.lock import Lock

_Item: TypeAlias = dict[str, Any]

@final
class Fetch: ...

@final
class PointReader:
    encode: Callable[[tuple[Any, ...]], bytes]
    decode: Callable[[Any], _Item]
    now: Callable[[], int] | None
    metered: bool
    def __init__(
        self,
        keys: KeyCodec,
        decode: Callable[[Any], _Item],
        lock: Lock,
        keyspace: object,
        shorten: Callable[[bytes], bytes],
        longest: int,
    ) -> None: ...
    def get(self, key: tuple[Any, ...]) -> _Item | None: ...

@disjoint_base
class TableReads:
    reader: PointReader
    records: Any
    def get(
        self,
        *key: Any,  # noqa: ANN401 - values of the key's types
        projection: str | None = None,
        names: Any = None,  # noqa: ANN401 - a mapping, checked
        consistent: bool = False,
        consumed: Any = None,  # noqa: ANN401 - a kv.Consumed
    ) -> _Item | None: ...

@final
class References:
    since: int
    oldest: int
    def __init__(self, since: int) -> None: ...
    def forget(self) -> None: ...
    def note(self, sequence: int) -> None: ...

@final
class PointWriter:
    names: list[str]
    keeps_old: bool
    expires: bool
    sweeps: bool
    indexed: bool
    metered: bool
    def __init__(
        self,
        records: object,
        lock: Lock,
        tree: object,
        items: object,
        log: object,
        names: list[str],
        references: References,
        shorten: Callable[[bytes], bytes],
        longest: int,
        table: int,
        kind: int,
    ) -> None: ...
    def write(
        self,
        key: bytes,
        image: bytes | None,
        expires: int = 0,
        holds: Callable[[_Item | None], bool] | None = None,
        returns_old: bool = False,
        make: Callable[[_Item | None], tuple[bytes | None, int]] | None = None,
        consumed: Any = None,  # noqa: ANN401 - a kv.Consumed
    ) -> _Item | None: ...
    def old(self, stored: bytes | memoryview) -> bytes | int: ...
    def apply(self, key: bytes, image: bytes | None, old_expires: int, expires: int, sequence: int) -> None: ...
