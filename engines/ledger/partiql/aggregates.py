"""What a SELECT makes of many rows: COUNT, SUM, MIN, MAX, AVG, and DISTINCT."""

from collections.abc import Iterator
from typing import Any

from engines.ledger.partiql import values
from engines.ledger.partiql.nodes import MISSING, Aggregate


def total(node: Aggregate, taken: list[Any]) -> Any:  # noqa: ANN401, PLR0911 - any value; one case for each function
    """COUNT, SUM, MIN, MAX, AVG of what is neither NULL nor MISSING."""
    if node.distinct:
        taken = list(distinct(iter(taken)))
    if node.function == "COUNT":
        return len(taken)
    if not taken:
        return None
    if node.function in ("SUM", "AVG"):
        if not all(map(values.is_number, taken)):
            return MISSING
        try:
            return values.finite(sum(taken) if node.function == "SUM" else sum(taken) / len(taken))
        except OverflowError:
            return MISSING
    best = taken[0]
    for value in taken[1:]:
        before = values.less(value, best)
        if before is MISSING:
            return MISSING
        if before is (node.function == "MIN") and not values.same(value, best):
            best = value
    return best


def distinct(found: Iterator[Any]) -> Iterator[Any]:
    """Each value once, the first time."""
    met: set[Any] = set()
    for value in found:
        key = _frozen(value)
        if key not in met:
            met.add(key)
            yield value


def _frozen(value: Any) -> Any:  # noqa: ANN401 - any value
    """What two values have in common if and only if they are the same."""
    if isinstance(value, dict):
        return frozenset((name, _frozen(each)) for name, each in value.items())
    if isinstance(value, list):
        return (list, *map(_frozen, value))
    return (bool, value) if isinstance(value, bool) else value  # not 1, as it would be in a set
