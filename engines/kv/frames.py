"""What goes into a store's log, and what it does to the tree: written once, replayed at open.

    ITEMS          changes of items that happen together                    kvframe.pyx
    TRANSACTION    the same, under a token                                  tokens.py
    SCHEMA         a table was created, changed or dropped                  schema.py
    NAMES          attribute names that a table has learnt                  catalog.py

A replay does what the write did, in the same order, without a look at the clock; applying a frame twice does no harm.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engines._native.kvframe import encode_changes
from engines._native.kvitem import item_expires
from engines._native.kvstamp import unchanged
from engines.errors import Invalid
from engines.kv import catalog, journal
from engines.kv.catalog import ITEMS_FRAME, NAMES_FRAME, SCHEMA_FRAME, TRANSACTION_FRAME, Names
from engines.kv.records import Records, Write
from engines.kv.tokens import decode_token
from engines.storage.log import Frame

if TYPE_CHECKING:
    from engines.kv.store import Store


class Frames:
    """The frames of one store."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    def write_together(self, writes: Sequence[Write], token: bytes = b"") -> int:
        """Under the lock: put and delete in one frame, in order, under a transaction's token; the frame's sequence."""
        for records in {id(write.records): write.records for write in writes}.values():
            if records.names_logged != len(records.codec.names):
                self.log_names(records)
        payload, applied = _encode_together(writes)
        if not applied and not token:
            return self._store.log.last

        def apply(sequence: int) -> None:
            for write, key, old_expires in applied:
                write.records.writer.apply(key, write.image, old_expires, write.expires, sequence)
            if token:
                self._note_token(token, self._store.clock.now())

        return self._store.tree.write(
            token + payload, TRANSACTION_FRAME if token else ITEMS_FRAME, apply, writes=len(applied) or 1
        )

    def log_names(self, records: Records) -> None:
        """Under the lock: make the attribute names that a table has learnt durable before an item uses them."""
        names = list(records.codec.names)
        learnt = Names(records.definition.id, records.names_logged, names[records.names_logged :])

        def apply(_: int) -> None:
            self._store.catalog.put(catalog.names_entry(learnt.table), catalog.encode(names))
            records.names_logged = len(names)

        self._store.tree.write(catalog.encode(learnt), NAMES_FRAME, apply)

    def replay(self, found: Frame) -> None:
        """Apply one frame of the log again."""
        tables = self._store.schema.by_id
        if found.kind in (ITEMS_FRAME, TRANSACTION_FRAME):
            if found.kind == TRANSACTION_FRAME:
                self._note_token(found.payload, found.time)
            for table_id, key, old, new, _ in journal.frame_changes(found, self._store.log.path):
                if isinstance(old, int):
                    self._store.references.note(old)
                if (table := tables.get(table_id)) is not None:
                    table.records.replay(key, new, found.sequence)
        elif found.kind == SCHEMA_FRAME:
            self._store.schema.apply(catalog.decode_schema(found.payload), replaying=True)
        elif found.kind == NAMES_FRAME:
            learnt = catalog.decode_names(found.payload)
            if (table := tables.get(learnt.table)) is not None:
                names = table.records.codec.names[: learnt.start] + learnt.names
                table.records.relearn(names)
                self._store.catalog.put(catalog.names_entry(learnt.table), catalog.encode(names))
        else:
            raise Invalid(
                f"{self._store.log.path} has a frame of kind {found.kind}, which this release does not know: "
                "upgrade with pip install -U enginehouse"
            )

    def _note_token(self, payload: bytes | memoryview, time: int) -> None:
        token, digest, _ = decode_token(payload)
        self._store.tokens.add(token, digest, time)


def _encode_together(writes: Sequence[Write]) -> tuple[bytes, list[tuple[Write, bytes, int]]]:
    """Under the lock: one frame's payload for these writes, in order; and what to apply: write, stored key, old expiry.

    A write that changes nothing is left out. The payload of none is empty.
    """
    changes: list[tuple[int, bytes, Any, bytes | None, bool]] = []
    applied: list[tuple[Write, bytes, int]] = []
    ahead: dict[tuple[int, bytes], bytes | None] = {}  # what this frame itself has put there: a key may come twice
    for write in writes:
        records, number = write.records, write.records.definition.id
        stored_key = records.stored_key(write.key)
        place = number, stored_key
        old: Any = ahead[place] if place in ahead else records.items.view(stored_key)
        if unchanged(old, write.image):
            continue
        kept = None if old is None else records.writer.old(old)
        changes.append((number, write.key, kept, write.image, write.expired))
        applied.append((write, stored_key, 0 if records.due is None or old is None else item_expires(old)))
        ahead[place] = write.image
    return (encode_changes(changes) if changes else b""), applied
