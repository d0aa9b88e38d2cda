"""Plans: a query or scan is run, and what it touched is drawn as a tree.

Query or Scan        items returned and examined, read units
Filter             items in and out, where there is one
Range, Full scan the stretch of keys in words; items and bytes examined
Tree, Index    the keyspace and its keys; depth, leaf pages, entries
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from engines.display import Plan
from engines.kv.reading import read_page, understand

if TYPE_CHECKING:
    from engines.kv.page import Page
    from engines.kv.table import Table


def explain(table: "Table", key_condition: str | None, *, filter_: str | None, **asked: Any) -> Plan:  # noqa: ANN401 - what understand() takes
    """Table.explain. Run to the end where there is no limit."""
    request = understand(table, key_condition, filter_=filter_, **asked)
    request = dataclasses.replace(request, count_only=True, projection=None)
    page: Page | None = read_page(table, request, None)
    scanned, found, size, units = 0, 0, 0, 0.0
    while page is not None:
        scanned, found, size = scanned + page.scanned, found + page.count, size + page.size
        units += page.capacity
        page = page.next() if request.limit is None else None
    entries, index = table.records.items, ""
    if request.index is not None:
        entries, index = request.index.entries, f" ({request.index.definition.name})"
    with table.records.lock:
        shape = entries.tree.transaction.stat(entries.db)
    stretch = request.stretch
    first, last = stretch.low.hex() or "the first", (stretch.high or b"").hex() or "the last"
    plan = Plan(
        "Index" if index else "Tree",
        f"{entries.name}{index}, keys from {first} to {last}",
        {name: int(shape[name]) for name in ("depth", "leaf_pages", "entries")},
    )
    words = stretch.words + (", backwards" if request.reverse else "")
    plan = Plan(
        "Range" if key_condition else "Full scan", words, {"items_examined": scanned, "bytes_examined": size}, [plan]
    )
    if filter_ is not None:
        cost = _cost_of_filter(filter_, scanned, found)
        plan = Plan("Filter", cost, {"items_in": scanned, "items_out": found}, [plan])
    counters = {"items_returned": found, "items_examined": scanned, "read_units": units}
    return Plan("Query" if key_condition else "Scan", table.name, counters, [plan])


def _cost_of_filter(text: str, scanned: int, found: int) -> str:
    if scanned > 10 * max(found, 1):
        return (
            f"{text}: read {scanned:,} items to return {found:,}; a key condition, on an index, would read those alone"
        )
    return f"{text}; costs what it reads"
