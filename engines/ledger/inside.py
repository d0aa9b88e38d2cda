"""What a ledger looks like inside, for teaching: tables, counters, and what lies where."""

import os
from typing import TYPE_CHECKING

from engines import display
from engines.ledger.ids import show
from engines.ledger.state import shown_path

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger


def tables(book: "Ledger") -> display.Table:
    """See Ledger.tables."""
    with book.tree.lock:
        book.tree.catch_up()
        rows = [
            (
                table.name,
                show(table.id),
                "dropped" if table.dropped else "active",
                ", ".join(shown_path(path) for path in table.indexes.values()),
                book.state.count(table.number),
            )
            for table in book.state.tables.values()
        ]
    return display.Table.from_rows(["name", "id", "status", "indexes", "documents"], rows, title="tables")


def stats(book: "Ledger") -> display.Table:
    """See Ledger.stats."""
    with book.tree.lock:
        book.tree.catch_up()
        chain = book.state.chain
        rows: list[tuple[str, int]] = [
            ("blocks", chain.number),
            ("leaves", chain.leaves),
            ("leaves stored", book.merkle.stored),
            ("documents", book.state.current.count()),
            ("superseded revisions and tombstones", book.state.past.count()),
            ("index rows", book.state.index.count()),
        ]
        rows += [(f"tree {name.replace('_', ' ')}", value) for name, value in book.tree.stats().items()]
    rows += [
        ("log last sequence", book.log.last),
        ("log durable sequence", book.log.durable),
        ("log syncs", book.log.syncs),
        ("log bytes", sum(size for *_, size in book.log.layout())),
    ]
    return display.Table.from_rows(["what", "value"], rows, title=f"ledger {book.path or 'in memory'}")


def layout(book: "Ledger") -> display.Table:
    """See Ledger.layout."""
    rows: list[tuple[str, str, int, int]] = []
    for path, first, last, size in book.log.layout():
        rows.append((f"log/{os.path.basename(path)}", f"log frames {first} to {last}", last - first + 1, size))
    stored = book.merkle.stored
    for level in range(stored.bit_length()):
        count = stored >> level
        rows.append((f"hashes/{level}", f"hashes of {1 << level} leaves each", count, 32 * count))
    with book.tree.lock:
        for name in book.tree.keyspaces():
            shape = book.tree.transaction.stat(book.tree.keyspace(name).db)
            pages = int(shape["branch_pages"] + shape["leaf_pages"] + shape["overflow_pages"])
            rows.append((f"tree: {name}", f"the tree's {name}", int(shape["entries"]), pages * int(shape["psize"])))
    return display.Table.from_rows(["name", "what", "count", "bytes"], rows, title="layout")
