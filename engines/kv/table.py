"""Tables: what a user asks of one. Items under a partition key, in the order of their sort key.

Point reads and writes go straight to the records (records.py), queries and scans through reading.py.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from engines import display
from engines._native.kvpoint import TableReads
from engines.display import Plan
from engines.errors import Invalid, Throttled
from engines.kv import plans
from engines.kv.catalog import Definition
from engines.kv.expressions import Holds, Placeholders, check_text, compile_condition
from engines.kv.page import Item, Key, Page
from engines.kv.projections import only_projection
from engines.kv.reading import read_page, understand
from engines.kv.records import Records, Write
from engines.kv.scaling import Scaling, activities, scaled
from engines.kv.throttle import Capacity, Consumed
from engines.kv.transactions import key_tuple
from engines.kv.updates import Update, compile_update

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engines.changes import Change
    from engines.kv.store import Store
    from engines.sql.documents import DocumentsSource
    from engines.sql.types import Type

BATCH_ITEMS = 1000  # a batch_writer syncs once for so many

Returns = Literal["NONE", "ALL_OLD"]
UpdateReturns = Literal["NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"]
UPDATE_RETURNS = ("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW")


class Table(TableReads):
    """One table of a store: store.create_table(...) or store.table(name). Threads may share it.

    A key is the values of the key attributes, in order: get("ann", 17). Items are dicts; what they may hold is said in
    engines.kv.values. Invalid, NotFound, ... are raised before anything is changed. Calls that read or write
    items take consumed=, a kv.Consumed to which they add the capacity units that they cost (batch_writer does not).
    """

    records: Records

    def __init__(self, store: "Store", definition: Definition, names: list[str]) -> None:
        self.name = definition.name
        self.records = Records(store, definition, names)
        self.reader = self.records.reader
        self._store = store

    @property
    def definition(self) -> Definition:
        return self.records.definition

    @property
    def key(self) -> tuple[str, ...]:
        """What an item is found by, as create_table takes it: ("customer:S", "order:N")."""
        return tuple(self.definition.described_key)

    # -- one item -----------------------------------------------------------------------------------------------------

    def get_with(
        self,
        key: Key,
        projection: str | None,
        names: Mapping[str, str] | None,
        consistent: bool,  # noqa: FBT001 - get() hands over all its arguments
        consumed: Consumed | None,
    ) -> Item | None:
        """What get() does where more is asked for than the item (kvpoint.pyx)."""
        shown = only_projection(projection, names)
        encoded = self.records.encode_key(key)
        self.records.tick_if_due()
        with self.records.lock:
            item = self.records.read_paying(encoded, consumed, consistent=consistent)
        if consistent:
            self.records.wait()
        return item if item is None or shown is None else shown.pick(item)

    def put(
        self,
        item: Item,
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        returns: Returns = "NONE",
        consumed: Consumed | None = None,
    ) -> Item | None:
        """Store an item, in place of the one with the same key. Returns that one if returns="ALL_OLD" asks for it.

        condition is checked on the stored item: ConditionFailed carries it as .item, and nothing is changed. Returns
        once the write is on disk (or as the store's durability says). Invalid for a wrong item, TooLarge over 400 KB.
        """
        holds = None
        if condition is not None or names is not None or values is not None:
            holds = _condition(condition, Placeholders(names, values))
        old = returns != "NONE" and _wants_old(returns)
        _, key, image, expires, _ = self.records.encode(item)
        return self.records.write(key, image, expires, holds, old, None, consumed)

    def update(
        self,
        key: Any,  # noqa: ANN401 - a key value, or a tuple of them
        expression: str,
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        returns: UpdateReturns = "NONE",
        consumed: Consumed | None = None,
    ) -> Item | None:
        """Change the item with this key as the expression says; where there is none, it begins with its key alone.

        key: the values of the key attributes, a tuple, or the value by itself where there is one. expression: "SET a =
        :a, b.c[0] = b.c[0] + :d REMOVE e ADD views :one DELETE tags :t"; all right sides see the item as it was.
        returns: "NONE", the item before ("ALL_OLD") or after ("ALL_NEW"), or only the attributes that the expression
        names ("UPDATED_OLD", "UPDATED_NEW"). Otherwise as put.
        """
        if type(expression) is not str:
            raise Invalid(f"expression is an update, a text like 'SET a = :a', got {expression!r:.80}")
        if returns not in UPDATE_RETURNS:
            raise Invalid(f"returns is one of {', '.join(UPDATE_RETURNS)}, got {returns!r}")
        records = self.records
        placeholders = Placeholders(names, values)
        change = compile_update(expression, placeholders, records.key_names)
        holds = _condition(condition, placeholders)
        encoded = records.encode_key(key if type(key) is tuple else key_tuple(key))
        work = _Work(records, encoded, change)
        old = records.write(encoded, None, 0, holds, returns in ("ALL_OLD", "UPDATED_OLD"), work.make, consumed)
        if returns == "NONE":
            return None
        if returns.startswith("ALL"):
            return old if returns == "ALL_OLD" else work.new
        touched = change.touched(old if returns == "UPDATED_OLD" else work.new)
        return touched or None

    def delete(
        self,
        *key: Any,  # noqa: ANN401 - values of the key's types
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        returns: Returns = "NONE",
        consumed: Consumed | None = None,
    ) -> Item | None:
        """Delete the item with this key, if there is one; otherwise as put."""
        holds = _condition(condition, Placeholders(names, values))
        old = _wants_old(returns)
        return self.records.write(self.records.encode_key(key), None, 0, holds, old, None, consumed)

    def batch_writer(self) -> "BatchWriter":
        """A context manager with put(item) and delete(*key): one sync at the end, and after every 1,000 of them."""
        return BatchWriter(self.records)

    # -- many items ---------------------------------------------------------------------------------------------------

    def query(
        self,
        key_condition: str,
        *,
        filter: str | None = None,  # noqa: A002 - the service's word
        projection: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        index: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
        start: Sequence[Any] | None = None,
        count: bool = False,
        consistent: bool = False,
        consumed: Consumed | None = None,
    ) -> Page:
        """The items of one partition, in the order of their sort key; of an index, where one is named.

        key_condition names the partition key with = and at most one comparison of the sort key: = < <= > >= BETWEEN
        begins_with. limit and the page's 1 MB count items examined, before the filter, as in DynamoDB. start is the
        last_key of the page before. count=True returns no items, only how many this page has: follow next() for all of
        them. QueryError or Invalid before anything is read.
        """
        if not isinstance(key_condition, str):
            raise Invalid(f"key_condition is an expression, a text like 'customer = :c', got {key_condition!r:.80}")
        request = understand(
            self,
            key_condition,
            filter_=filter,
            projection=projection,
            names=names,
            values=values,
            index=index,
            limit=limit,
            reverse=reverse,
            count=count,
            consistent=consistent,
            consumed=consumed,
        )
        return read_page(self, request, start)

    def scan(
        self,
        *,
        filter: str | None = None,  # noqa: A002 - the service's word
        projection: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        index: str | None = None,
        limit: int | None = None,
        start: Sequence[Any] | None = None,
        segment: int = 0,
        segments: int = 1,
        count: bool = False,
        consistent: bool = False,
        consumed: Consumed | None = None,
    ) -> Page:
        """All items of the table or index, partition by partition, in no order that means anything; otherwise as query.

        segment, segments: this reader's share of a parallel scan; each item is in exactly one.
        """
        request = understand(
            self,
            filter_=filter,
            projection=projection,
            names=names,
            values=values,
            index=index,
            limit=limit,
            count=count,
            consistent=consistent,
            segment=segment,
            segments=segments,
            consumed=consumed,
        )
        return read_page(self, request, start)

    def explain(
        self,
        key_condition: str | None = None,
        *,
        filter: str | None = None,  # noqa: A002 - the service's word
        projection: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        index: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Plan:
        """Run a query (a scan where no key condition is given), to its end if it has no limit, and say what it touched.

        Counters: items examined and returned, bytes examined, the tree's depth and leaf pages, read units (half a unit
        for every 4 KB begun).
        """
        return plans.explain(
            self,
            key_condition,
            filter_=filter,
            projection=projection,
            names=names,
            values=values,
            index=index,
            limit=limit,
            reverse=reverse,
        )

    # -- indexes and capacity -----------------------------------------------------------------------------------------

    def create_index(
        self,
        name: str,
        key: str | Sequence[str],
        *,
        projection: str | Sequence[str] = "ALL",
        local: bool = False,
    ) -> None:
        """Add a secondary index, and fill it with the items that are there; returns when it can be queried.

        key: other attributes, as in create_table. projection: what the index holds of an item: "ALL", "KEYS_ONLY", or
        the names of attributes besides the keys. local=True: with the table's partition key; only such an index answers
        consistent=True, and fetches from the table what it does not hold. Others may write meanwhile. AlreadyExists,
        Invalid.
        """
        self._store.schema.create_index(self, name, key, projection, local=local)

    def drop_index(self, name: str) -> None:
        """Remove a secondary index. NotFound."""
        self._store.schema.drop_index(self, name)

    def capacity(
        self, read: float | None = None, write: float | None = None, *, partition_limits: bool = False
    ) -> display.Table:
        """Buy read and write units a second from now on; None, None: on demand, nothing is refused. Shows the buckets.

        A read unit is 4 KB read consistently (half of one otherwise, two in a transaction), a write unit 1 KB written,
        to the table or to one of its indexes, which draw from the table's units. A bucket holds 300 seconds' worth.
        Throttled, with .retry_after, says that nothing was done. partition_limits=True: no partition key gets more than
        3,000 read and 1,000 write units a second, whatever was bought.
        """
        Capacity(read, write, self._store.clock)  # Invalid for what makes no sense
        self._store.schema.alter(
            self,
            lambda definition: msgspec.structs.replace(
                definition, read=read, write=write, partition_limits=partition_limits
            ),
        )
        return self.buckets()

    def scale(self, *, read: Scaling | None = None, write: Scaling | None = None) -> display.Table:
        """Let the read or write units a second follow the load, between limits; None: as capacity() has set them.

        kv.Scaling(5, 100): from 5 to 100, so that 70 % are in use (target=0.7). Decided by the minutes of the store's
        clock: before the first operation of one, or at Store.tick(). Kept with the table. Returns what scaling() does.
        Invalid for a table on demand.
        """
        self._store.schema.alter(self, lambda definition: scaled(definition, read, write, self._store.clock))
        return self.scaling()

    def scaling(self) -> display.Table:
        """What scaling has changed since the store was opened, at most the last 1,000 changes of each rate."""
        return activities(self.records.scaler)

    def buckets(self) -> display.Table:
        """The buckets of read and write units: what is in them, what was used, what was refused."""
        return (self.records.capacity or Capacity(None, None, self._store.clock)).to_table()

    def hot_keys(self, limit: int = 10) -> display.Table:
        """The partition keys that were refused most, then those that cost most, where partition_limits count them."""
        return (self.records.capacity or Capacity(None, None, self._store.clock)).hot_keys(limit)

    # -- the change stream, and facts ---------------------------------------------------------------------------------

    def changes(
        self, after: int = 0, *, limit: int | None = None, follow: bool = False, timeout: float | None = None
    ) -> "Iterator[Change]":
        """What happened to this table's items after a position of the log, oldest first; see Store.changes.

        Invalid if the table was created without a stream.
        """
        if self.definition.stream is None:
            raise Invalid(f"table {self.name} has no change stream: create it with stream=True")
        return self._store.read_changes(after, {self.definition.id: self}, limit=limit, follow=follow, timeout=timeout)

    def as_table_source(self, columns: "Mapping[str, Type] | None" = None) -> "DocumentsSource":
        """The items as rows of SQL, for warehouse.attach(); columns: name -> Type, else the first 1,000 decide."""
        from engines.kv.federation import table_source  # noqa: PLC0415 - SQL is loaded by who asks for it

        return table_source(self, columns)

    def describe(self) -> dict[str, Any]:
        """Key, ttl, stream and the number of items, expired ones not yet deleted included, as plain values."""
        with self.records.lock:
            count = self.records.items.count()
        definition = self.definition
        return {
            "name": self.name,
            "key": definition.described_key,
            "ttl": definition.ttl,
            "stream": definition.stream,
            "indexes": [
                {
                    "name": index.name,
                    "key": index.described_key,
                    "projection": index.projection,
                    "local": index.local,
                    "status": "ACTIVE" if index.ready else "CREATING",
                }
                for index in definition.indexes
            ],
            "capacity": None if definition.read is None else (definition.read, definition.write),
            "scaling": {"read": _numbers(definition.read_scaling), "write": _numbers(definition.write_scaling)},
            "pitr": definition.pitr,
            "items": count,
            "created": definition.created,
        }

    def __repr__(self) -> str:
        return f"<kv.Table {self.name} ({', '.join(self.definition.described_key)})>"


class BatchWriter:
    """Collects writes and stores them a thousand at a time, in order: a later one to the same key wins.

    It collects inside `with` only, whose end writes the rest. Each is checked at once. What an exception leaves behind
    in the block is not written; what was flushed stays.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._writes: list[Write] = []
        self._open = False

    def put(self, item: Item) -> None:
        """Store an item, in place of the one with the same key. Invalid or TooLarge at once."""
        self._check_open()
        self._add(self._records.encode(item))

    def delete(self, *key: Any) -> None:  # noqa: ANN401 - values of the key's types
        """Delete the item with this key, if there is one by then."""
        self._check_open()
        self._add(Write(self._records, self._records.encode_key(key), None))

    def _check_open(self) -> None:
        """Invalid outside of the block, where nothing would write what is collected last."""
        if not self._open:
            raise Invalid(
                "a batch_writer collects writes inside its block, whose end writes them: "
                f"with store.table({self._records.definition.name!r}).batch_writer() as batch: batch.put(...)"
            )

    def _add(self, write: Write) -> None:
        self._writes.append(write)
        if len(self._writes) >= BATCH_ITEMS:
            self.flush()

    def flush(self) -> None:
        """Write what was collected; on disk when it returns. Throttled: what was not written is still collected."""
        writes, self._writes = self._writes, []
        if writes:
            try:
                self._records.write_all(writes)
            except Throttled as error:
                self._writes = writes[int(error.details["written"]) :] + self._writes  # type: ignore[call-overload] # a count
                raise

    def __enter__(self) -> Self:
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        if kind is None:
            self.flush()


def _numbers(scaling: Scaling | None) -> dict[str, float] | None:
    return None if scaling is None else msgspec.structs.asdict(scaling)


def _wants_old(returns: str) -> bool:
    if returns not in ("NONE", "ALL_OLD"):
        raise Invalid(f'returns is "NONE" or "ALL_OLD", got {returns!r}')
    return returns == "ALL_OLD"


def _condition(text: str | None, placeholders: Placeholders) -> Holds | None:
    """The condition as a function; all placeholders must have been used by now."""
    check_text("condition", text)
    holds = None if text is None else compile_condition(text, placeholders)
    placeholders.done()
    return holds


class _Work:
    """One update under way: from the old item to the new one."""

    __slots__ = ("_change", "_key", "_records", "new")

    def __init__(self, records: Records, key: bytes, change: Update) -> None:
        self._records, self._key, self._change = records, key, change
        self.new: Item | None = None

    def make(self, old: Item | None) -> tuple[bytes | None, int]:
        """Under the lock: the new image, and when it expires."""
        self.new = self._change.apply(old, self._records.key_item(self._key) if old is None else old)
        if self.new is None:
            return None, 0
        return self._records.encode_image(self.new)
