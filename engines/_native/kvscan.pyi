from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias, final

_Item: TypeAlias = dict[str, Any]

@final
class Stretch:
    @property
    def items(self) -> list[_Item]: ...
    @property
    def count(self) -> int: ...
    @property
    def scanned(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def expires(self) -> int: ...
    @property
    def last(self) -> bytes | None: ...
    @property
    def last_item(self) -> _Item | None: ...
    @property
    def more(self) -> bool: ...
    @property
    def error(self) -> ValueError | None: ...

def read_stretch(
    entries: Iterable[Any],
    low: bytes | None,
    high: bytes | None,
    *,
    reverse: bool,
    limit: int,
    limit_bytes: int,
    limit_entries: int,
    second: int,
    decode: Callable[[Any], _Item],
    decode_some: Callable[[Any, Any], _Item],
    names: AbstractSet[str],
    holds: Callable[[_Item], bool] | None,
    fetch: Callable[[_Item], _Item] | None,
    pick: Callable[[_Item], _Item] | None,
    count_only: bool,
    segment: int,
    segments: int,
) -> Stretch: ...
