"""kv: a key-value store with TTL, the class of Amazon DynamoDB. The log is the database; the tree is a cache of it.

    store = kv.Store("shop")
    orders = store.create_table("orders", key=("customer:S", "order:N"), ttl="expires", stream=True)
    orders.put({"customer": "ann", "order": 17, "total": Decimal("9.5")})
    orders.get("ann", 17)
    orders.query("customer = :c AND #o > :a", names={"#o": "order"}, values={":c": "ann", ":a": 1})

    put ──> log/ one frame: table, key, old image, new image ──> tree/ t/ID: key -> item ──> sync ──> acknowledged
                 │                                                    x/ID: expiry + key
                 └──> the change stream

    key      partition, escaped: 00 -> 00 FF, end 00 01 | sort key          order-preserving     _native/keys.pyx
    item     head: size, [expiry] | (attribute number, tag, value) ...      names are learnt     _native/kvitem.pyx
    frame    kind | count | (table, flags, key, [old image or its frame], [new image]) ...       _native/kvframe.pyx

Where to read: table.py (what a user asks), records.py and _native/kvpoint.pyx (a write's way, a read's way), store.py
(open, recover, expire), keyrange.py (which stretch of keys a query reads), expressions.py and syntax.py (the
language), journal.py (the log read as changes), ttl.py.

Where we differ from DynamoDB
* An expired item is gone at once: reads, conditions and scans never show it. The service deletes within days and shows
  it until then.
* One process, one machine: a read sees the last write, and consistent=True adds that it is on disk.
* A float is refused, even 0.5, which is exact: write Decimal("0.5"). Decimal("120") comes back as the int 120.
* Not here yet: update expressions, projections, secondary indexes, transactions, capacity, point-in-time restore.

Pitfalls: a filter does not make a scan cheaper: it reads every item; use a key condition. A batch_writer syncs once for
a thousand puts, a put each time: load with the former. An item left in a `with batch_writer()` block that raises is not
written.
"""

from engines.kv.accelerator import Accelerator
from engines.kv.cache import Cache
from engines.kv.page import Page
from engines.kv.policies import Policy
from engines.kv.replica import GlobalTable, Replica
from engines.kv.scaling import Scaling
from engines.kv.store import Store
from engines.kv.table import BatchWriter, Table
from engines.kv.throttle import Consumed
from engines.kv.transactions import Check, Delete, Get, Put, Update

__all__ = [
    "Accelerator",
    "BatchWriter",
    "Cache",
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
    "Store",
    "Table",
    "Update",
]
