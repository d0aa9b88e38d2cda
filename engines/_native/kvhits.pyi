from collections.abc import Callable
from typing import Any, TypeAlias

from typing_extensions import disjoint_base

_Item: TypeAlias = dict[str, Any]

@disjoint_base
class ItemHits:
    absent: int
    def __init__(
        self,
        records: Any,  # noqa: ANN401 - a kv Records
        lookup: Callable[[bytes, int], Any],
        store: Any,  # noqa: ANN401 - a kv.Store
        clock: Any,  # noqa: ANN401 - a Clock
        on_system_time: bool,
        two_clocks: bool,
    ) -> None: ...
    def get(
        self,
        *key: Any,  # noqa: ANN401 - values of the key's types
        projection: str | None = None,
        names: Any = None,  # noqa: ANN401 - a mapping, checked
        consistent: bool = False,
        consumed: Any = None,  # noqa: ANN401 - a kv.Consumed
    ) -> _Item | None: ...
    def find(self, key: tuple[Any, ...], consumed: Any) -> _Item | None: ...  # noqa: ANN401 - a kv.Consumed
    def ended(self) -> bool: ...
    def now(self) -> int: ...
