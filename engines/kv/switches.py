"""What of a table can be switched on and off later: its time to live, and its change stream.

    set_ttl      alter: ttl, not ready ──> a page of items after the other gets its expiry ──> alter: ready
    set_stream   alter: the view, and from which frame on it shows something

An item's expiry stands in the head of its image (kvitem.pyx), so that reads and sweeps need not decode it. When a table
gets a time to live, the items that it has need that head, too: they are written again, as frames of the log like any
other write, while others go on; what those write has its expiry already. Until all is done the definition says so
(ttl_ready), and should the process end meanwhile, it begins anew at the next open. Switched off, nothing expires from
that frame on, and then the heads lose their expiry in the same way.

A stream that is switched on shows what happens from then on, for what is older was not logged with old images. Switched
off, it is gone at once; DynamoDB lets what it has be read for 24 hours more.

Pitfall: a stream shows the items that are written again for their expiry, as a MODIFY whose images are equal. Switch
the time to live on first.

Invariants: after set_ttl() returns, the heads say what the attribute says, or nothing where there is none. A stream
shows no change from before it was switched on.
"""

from typing import TYPE_CHECKING

import msgspec

from engines._native.kvitem import item_expires
from engines.errors import Conflict, Invalid
from engines.kv.catalog import Definition, Schema, StreamView
from engines.kv.records import Records, Write
from engines.kv.ttl import check_ttl, expiry
from engines.kv.values import HOLD_ITEMS
from engines.storage.keyspace import rest

if TYPE_CHECKING:
    from engines.kv.store import Store
    from engines.kv.table import Table


def set_ttl(store: "Store", table: "Table", ttl: str | None) -> None:
    """See Store.set_ttl."""

    def with_ttl(definition: Definition) -> Definition:
        if ttl == definition.ttl:
            return definition
        if not definition.ttl_ready:
            raise Conflict(f"the time to live of table {table.name} is being switched already: try again in a moment")
        if ttl is None:
            return msgspec.structs.replace(definition, ttl=None, ttl_ready=False, show_expired=False)
        if definition.ttl is not None:
            raise Invalid(
                f"the time to live of table {table.name} is in {definition.ttl!r}: switch it off with ttl=None first"
            )
        return msgspec.structs.replace(definition, ttl=check_ttl(ttl, definition.key_names), ttl_ready=False)

    store.schema.alter(table, with_ttl)
    fill_ttl(store, table)


def fill_ttl(store: "Store", table: "Table") -> None:
    """Give all items the expiry that they should have by now, a page of them under each hold of the lock."""
    low: bytes | None = b""
    sequence = store.log.last
    while low is not None:
        with store.tree.lock:
            store.tree.catch_up()
            definition = table.definition
            if definition.ttl_ready:  # nothing to do, or somebody else has done it
                break
            low, writes = _page(store, table.records, definition.ttl, low)
            sequence = store.frames.write_together(writes)
            if low is None:
                sequence = store.schema.log(Schema(alter=msgspec.structs.replace(definition, ttl_ready=True)))
        store.let_others()
    store.log.acknowledge(sequence)


def _page(store: "Store", records: Records, ttl: str | None, low: bytes) -> tuple[bytes | None, list[Write]]:
    """Under the lock: where to go on, None at the end; and what of the next items has to be written again."""
    now = store.clock.now()
    entries = records.items.page(low, None, limit=HOLD_ITEMS)
    writes: list[Write] = []
    for stored_key, stored in entries:
        item = records.decode(stored)
        expires = 0 if ttl is None else expiry(item, ttl, now)
        if expires != item_expires(stored):
            key = records.whole_key(stored_key, stored)
            writes.append(Write(records, key, records.codec.encode(item, expires), expires))
    return rest(entries), writes


def set_stream(store: "Store", table: "Table", view: StreamView | None) -> None:
    """See Store.set_stream."""

    def with_stream(definition: Definition) -> Definition:
        if view == definition.stream:
            return definition
        if view is not None and definition.stream is not None:
            raise Invalid(f"table {table.name} has a stream of {definition.stream}: switch it off with False first")
        started = (0, 0) if view is None else (store.log.last + 1, store.clock.now())
        return msgspec.structs.replace(definition, stream=view, stream_started=started)

    store.schema.alter(table, with_stream)
