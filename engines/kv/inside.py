"""What a store looks like inside, for teaching: counters, and what lies where."""

import os
from typing import TYPE_CHECKING

from engines import display

if TYPE_CHECKING:
    from engines.kv.store import Store


def stats(store: "Store") -> display.Table:
    """Sizes and counters of the store, a row each."""
    with store.tree.lock:
        rows: list[tuple[str, int]] = [("tables", len(store.schema.by_name))]
        rows += [("items", sum(table.records.items.count() for table in store.schema.all()))]
        rows += [(f"tree {name.replace('_', ' ')}", value) for name, value in store.tree.stats().items()]
    rows += [
        ("log first sequence", store.log.first),
        ("log last sequence", store.log.last),
        ("log durable sequence", store.log.durable),
        ("log syncs", store.log.syncs),
        ("log bytes", sum(size for *_, size in store.log.layout())),
    ]
    return display.Table.from_rows(["what", "value"], rows, title=f"kv store {store.path or 'in memory'}")


def layout(store: "Store") -> display.Table:
    """What lies where: a row for each segment of the log and each keyspace of the tree."""
    rows: list[tuple[str, str, int, int, float]] = []
    for path, first, last, size in store.log.layout():
        count = last - first + 1
        rows.append((os.path.basename(path), f"log frames {first} to {last}", count, size, size / max(count, 1)))
    with store.tree.lock:
        names = {f"t/{number}": f"items of {table.name}" for number, table in list(store.schema.by_id.items())}
        names |= {f"x/{number}": f"expiries of {table.name}" for number, table in list(store.schema.by_id.items())}
        for table in list(store.schema.by_id.values()):
            names |= {f"i/{index.id}": f"index {index.name} of {table.name}" for index in table.definition.indexes}
        for name in store.tree.keyspaces():
            shape = store.tree.transaction.stat(store.tree.keyspace(name).db)
            pages = int(shape["branch_pages"] + shape["leaf_pages"] + shape["overflow_pages"])
            size, count = pages * int(shape["psize"]), int(shape["entries"])
            rows.append((name, names.get(name, f"the store's {name}"), count, size, size / max(count, 1)))
    total = sum(row[3] for row in rows) or 1
    return display.Table.from_rows(
        ["name", "what", "count", "bytes", "bytes_an_item", "share"],
        [(*row[:4], round(row[4], 1), round(row[3] / total, 3)) for row in rows],
        title="layout",
    )
