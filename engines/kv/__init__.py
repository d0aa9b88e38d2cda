"""kv: a key-value store with TTL, the class of Amazon DynamoDB. The log is the database; the tree is a cache of it.

    store = kv.Store("shop")
    orders = store.create_table("orders", key=("customer:S", "order:N"), ttl="expires", stream=True)
    orders.put({"customer": "ann", "order": 17, "total": Decimal("9.5")})
    orders.get("ann", 17)
    orders.query("customer = :c AND #o > :a", names={"#o": "order"}, values={":c": "ann", ":a": 1})

    put ──> log/ one frame: table, key, old image, new image ──> tree/ t/ID: key -> item ──> sync ──> acknowledged
                 │                                                    x/ID: expiry + key
                 │                                                    i/ID: index key + key -> what the index holds
                 ├──> the change stream              journal.py
                 ├──> a table of any moment          backup/bases.py, backup/restore.py
                 ├──> the other regions              regions/versions.py, regions/replica.py
                 └──> exports of what has changed    backup/transfer.py

    key      partition, escaped: 00 -> 00 FF, end 00 01 | sort key          order-preserving     _native/keys.pyx
    item     head: size, [expiry] | (attribute number, tag, value) ...      names are learnt     _native/kvitem.pyx
    frame    kind | count | (table, flags, key, [old image or its frame], [new image]) ...       _native/kvframe.pyx

Where to read
    a user's table      table.py, page.py, values.py        a write, a read     records.py, _native/kvpoint.pyx
    the language        syntax.py, expressions.py,          queries, scans      reading.py, keyrange.py,
                        updatesyntax.py, updates.py,                            plans.py, _native/kvscan.pyx
                        projections.py, partiql/            indexes             indexes.py, schema.py
    the store           store.py, frames.py, catalog.py     several as one      transactions.py, tokens.py
    time to live        ttl.py                              the stream          journal.py, retention.py
    capacity            throttle.py, paying.py, scaling.py  the past, files     backup/
    global tables       regions/                            checks              verify.py
    who may             access/                             before a table      accelerator*.py, _native/kvhits.pyx
    DynamoDB's requests requests/                           switched on later   switches.py
    the cache           cache/, _native/cachetable.pyx

Where we differ from DynamoDB
* An expired item is gone at once: reads, conditions and scans never show it. The service deletes within days and shows
  it until then; show_expired=True makes a table do that.
* One process, one machine: a read sees the last write, of an index too, and consistent=True adds that it is on disk.
* A float is refused, even 0.5, which is exact: write Decimal("0.5"). Decimal("120") comes back as the int 120.
* Units of an index are its table's; a table is not split into partitions, but for the limits of a single key.
* A transaction is never refused because of another: one lock makes them take turns.
* Any microsecond up to now can be restored, not whole seconds of up to five minutes ago. A change stream is kept for 24
  hours, and has no shards.
* A region hears of others when somebody syncs, or in GlobalTable.following(). Stamps respect cause and effect.
* Not here: the older forms of requests (Expected, AttributeUpdates, KeyConditions), encryption at rest, servers.
From ElastiCache: the cache lives in your process and holds your objects, not copies (cache/cache.py). From DAX: so does
the accelerator, so it has no replicas that lag behind; it keeps items and pages for 5 seconds if not told otherwise.

Pitfalls: a filter does not make a scan cheaper: it reads every item; use a key condition, or an index. A batch_writer
syncs once for a thousand puts, a put each time: load with the former. An item left in a `with batch_writer()` block
that raises is not written. After your own put a query of an accelerator may show the item as it was: consistent=True.
"""

import importlib
from typing import TYPE_CHECKING

from engines.kv.page import Page
from engines.kv.store import Store
from engines.kv.table import BatchWriter, Table
from engines.kv.throttle import Consumed
from engines.kv.transactions import Check, Delete, Get, Put, Update

if TYPE_CHECKING:
    from engines.kv.accelerator import Accelerator
    from engines.kv.access.guard import Session
    from engines.kv.access.policies import Policy
    from engines.kv.cache import Cache, CacheCluster, CacheReplica
    from engines.kv.regions.replica import GlobalTable, Replica
    from engines.kv.requests import error_body, request
    from engines.kv.scaling import Scaling

__all__ = [
    "Accelerator",
    "BatchWriter",
    "Cache",
    "CacheCluster",
    "CacheReplica",
    "Check",
    "Consumed",
    "Delete",
    "Get",
    "GlobalTable",
    "Page",
    "Policy",
    "Put",
    "Replica",
    "Scaling",
    "Session",
    "Store",
    "Table",
    "Update",
    "error_body",
    "request",
]

_AT_FIRST_USE = {  # imported where it is asked for: many a program needs none of it
    "Accelerator": "engines.kv.accelerator",
    "Cache": "engines.kv.cache",
    "CacheCluster": "engines.kv.cache",
    "CacheReplica": "engines.kv.cache",
    "GlobalTable": "engines.kv.regions.replica",
    "Policy": "engines.kv.access.policies",
    "Replica": "engines.kv.regions.replica",
    "Scaling": "engines.kv.scaling",
    "Session": "engines.kv.access.guard",
    "error_body": "engines.kv.requests",
    "request": "engines.kv.requests",
}


def __getattr__(name: str) -> object:
    """The classes that are imported when they are asked for."""
    if name not in _AT_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_AT_FIRST_USE[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
