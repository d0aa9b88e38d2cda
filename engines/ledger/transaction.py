"""Transactions: what one wants to read and write, and whether that can stand beside what others did meanwhile.

    reads     at once, each noted: the document, or the value in an index, or the whole table, and the last block then
    writes    kept here, and read back from here; in the commit they become one block
    commit    under the lock: has a block since touched what was read? yes: Conflict, nothing is written; no: it goes in

That is optimistic concurrency control with backward validation (Kung and Robinson, "On Optimistic Methods for
Concurrency Control", ACM TODS 1981): the first to commit wins, and transactions are serialisable in the order of their
blocks. One that only inserts has read nothing, so it never conflicts. A transaction may see two moments while it runs;
then it is not let through.

A transaction that only read waits until what it saw is on disk: it must not report what a crash takes back.

Simpler than QLDB: no limits on documents or time. One revision a document and transaction, its last state.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

import msgspec

from engines.clock import SystemClock
from engines.errors import Conflict, EngineError, Invalid, NotFound
from engines.ledger import statements
from engines.ledger.block import Draft, Kind, Statement
from engines.ledger.canonicaljson import encoded, read
from engines.ledger.ids import new_transaction_id, parse, show
from engines.ledger.results import Result
from engines.ledger.state import Indexes, Place, TableState, index_values, value_hash

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger

Answer = TypeVar("Answer")
PAUSE: Final = 0.01  # seconds, at most, before the first retry


class Write(msgspec.Struct):
    """The last state of a document in a transaction: data None where it was deleted."""

    version: int
    data: bytes | None


class Key(NamedTuple):
    """What was read or touched: "document" with its id, "value" with its hash, in an index, "table" for all of one.

    "schema" is a table's name and indexes; of table 0, which is none, those of all.
    """

    kind: str
    number: int  # of the table; of the index for a value
    what: bytes = b""


class Recent:
    """What the latest blocks touched, as far back as an open transaction may ask.

    begin() and end() need no lock: each is one step on a dict. All else is called under the tree's.
    """

    def __init__(self) -> None:
        self._starts: dict[int, int] = {}  # of open transactions, by id(): the last block when they began
        self._blocks: deque[tuple[int, frozenset[Key]]] = deque()
        self._touched: dict[Key, int] = {}

    @property
    def wanted(self) -> bool:
        """Whether anybody may ask about a block that is written now, but who writes it."""
        return len(self._starts) > 1

    @property
    def anybody(self) -> bool:
        """Whether there is an open transaction."""
        return bool(self._starts)

    def begin(self, who: int, number: int) -> None:
        """A transaction begins after this block, or a later one."""
        self._starts[who] = number

    def end(self, who: int) -> None:
        """It is over."""
        self._starts.pop(who, None)

    def note(self, number: int, keys: frozenset[Key]) -> None:
        """A block has touched these. What nobody may ask for any more is forgotten."""
        oldest = min(list(self._starts.values()), default=number)
        while self._blocks and self._blocks[0][0] <= oldest:
            before, forgotten = self._blocks.popleft()
            for key in forgotten:
                if self._touched.get(key) == before:
                    del self._touched[key]
        self._blocks.append((number, keys))
        self._touched.update(dict.fromkeys(keys, number))

    def touched_since(self, key: Key, number: int) -> bool:
        """Whether a block after this one has."""
        return self._touched.get(key, 0) > number


class Transaction:
    """Made by Ledger.transaction(): a context manager that commits on exit, and aborts where an exception leaves it.

    Conflict on exit where something that was read has changed: do all of it again (Ledger.run does). For one thread.
    """

    def __init__(self, book: "Ledger") -> None:
        self._book = book
        self._state = book.state
        self.raw_id = new_transaction_id(book.clock)
        self._reads: dict[Key, int] = {}
        self._writes: dict[tuple[int, bytes], Write | None] = {}  # None: inserted and deleted here
        self._count = 0
        self._statements: list[Statement] = []
        self._seen = 0  # the last frame that anything read may depend on
        self._done = False
        self.outdated = False  # whether an error that left it may come of two moments that do not fit together
        book.recent.begin(id(self), self._state.chain.number)

    @property
    def id(self) -> str:
        """The transaction's id, 22 characters."""
        return show(self.raw_id)

    # -- documents ----------------------------------------------------------------------------------------------------

    def insert(self, table: str, document: Mapping[str, Any]) -> str:
        """A new document; its id. Invalid names the path to a value that JSON cannot hold exactly."""
        return self.put(self._table(table), encoded(document))

    def put(self, state: TableState, data: bytes) -> str:
        """insert() of a document that is encoded already."""
        self._count += 1
        raw = self.raw_id[:12] + self._count.to_bytes(4, "big")
        self._writes[state.number, raw] = Write(0, data)
        return show(raw)

    def get(self, table: str, document: str) -> dict[str, Any] | None:
        """A document as it is now, as this transaction has left it; None where there is none."""
        raw = parse(document)
        found = None if raw is None else self.find(self._table(table), raw)
        return None if found is None else read(found[1])

    def update(self, table: str, document: str, new: Mapping[str, Any]) -> None:
        """Put a whole new document in place of the last revision. NotFound where there is none, or it was deleted.

        For one field of it: execute("UPDATE T AS t SET t.field = ? ...").
        """
        self.replace(self._table(table), document, encoded(new))

    def delete(self, table: str, document: str) -> None:
        """Delete a document: its history stays. NotFound as for update."""
        self.replace(self._table(table), document, None)

    def replace(self, table: TableState, document: str, data: bytes | None) -> None:
        """update() with data that is encoded already, or (None) delete()."""
        raw = parse(document)
        found = None if raw is None else self.find(table, raw)
        if raw is None or found is None:
            with self._book.tree.lock:
                self._validate()  # it may have been there when it was looked for: then Conflict says so
            raise NotFound(
                f"there is no document {document!r:.60} in {table.name}: it is of another table, or was deleted; then "
                f"history({table.name!r}, id) shows what it was"
                if raw is not None
                else f"an id is a text of 22 letters and digits, such as insert() answers, got {document!r:.60}",
                table=table.name,
                id=document,
            )
        before = self._writes.get((table.number, raw))
        if before is None:
            self._writes[table.number, raw] = Write(found[0] + 1, data)
        elif data is None and before.version == 0:
            self._writes[table.number, raw] = None  # it was never there for anybody else
        else:
            before.data = data

    # -- what statements need -----------------------------------------------------------------------------------------

    def execute(self, text: str, *parameters: Any) -> Result:  # noqa: ANN401 - JSON values
        """Do what a PartiQL statement says, as part of this transaction. QueryError, Invalid, NotFound.

        SELECT gives its values; INSERT, UPDATE, DELETE a {"documentId"} for each document they wrote.
        """
        self._open_or_raise()
        result = statements.execute(self, text, parameters)
        if self._writes:
            self._statements.append(Statement(text))
        return result

    def find(self, table: TableState, raw: bytes) -> tuple[int, bytes] | None:
        """A document's version and data."""
        self._open_or_raise()
        if (table.number, raw) in self._writes:
            write = self._writes[table.number, raw]
            return None if write is None or write.data is None else (write.version, write.data)
        with self._book.tree.lock:
            place = self._state.place(table.number, raw)
            self._note(Key("document", table.number, raw), table.number)
        return None if place is None else (place.version, self._state.data(place))

    def candidates(
        self, table: TableState, equal: Sequence[tuple[Sequence[str | int], Any]], *, beside: bool = True
    ) -> Iterator[tuple[bytes, Place | None, bytes | None]]:
        """The documents that may have these values at these paths: id, and place or (where written here) data.

        By the first index that serves, else all of the table. beside=False: without what this transaction wrote.
        """
        self._open_or_raise()
        with self._book.tree.lock:
            table = self._state.tables[table.number]  # with the indexes that it has now
            by_index = next(((number, value) for path, value in equal if (number := table.index_on(path))), None)
            if by_index is None:
                self._note(Key("table", table.number), table.number)
            else:
                number, value = by_index
                ids = self._state.indexed(number, value)
                places = [(raw, self._state.place(table.number, raw)) for raw in ids]
                self._note(Key("value", number, value_hash(value)), table.number)
                for raw in ids:
                    self._note(Key("document", table.number, raw), table.number)
        if by_index is None:
            yield from self._beside(table, self._state.documents(table.number), beside=beside)
        else:
            found = ((raw, place) for raw, place in places if place is not None)
            yield from self._beside(table, found, beside=beside)

    def _beside(
        self, table: TableState, found: Iterator[tuple[bytes, Place]], *, beside: bool
    ) -> Iterator[tuple[bytes, Place | None, bytes | None]]:
        """What was found, without what was written here, and then that."""
        written = {raw: write for (number, raw), write in self._writes.items() if beside and number == table.number}
        for raw, place in found:
            if raw not in written:
                yield raw, place, None
        for raw, write in written.items():
            if write is not None and write.data is not None:
                yield raw, None, write.data

    def note_table(self, table: TableState) -> None:
        """All of a table is read."""
        with self._book.tree.lock:
            self._note(Key("table", table.number), table.number)

    def note_document(self, table: TableState, raw: bytes) -> None:
        """One document is read."""
        with self._book.tree.lock:
            self._note(Key("document", table.number, raw), table.number)

    def note_catalogue(self) -> None:
        """All tables' names and indexes are read."""
        with self._book.tree.lock:
            self._note(Key("schema", 0), 0)

    def _note(self, key: Key, table: int) -> None:
        """Under the lock: what is read now, and by which table's name and indexes."""
        number = self._state.chain.number
        self._reads.setdefault(key, number)
        self._reads.setdefault(Key("schema", table), number)
        self._seen = self._book.log.last

    @property
    def conflicts(self) -> list[str]:
        """What this transaction has read, in words: for explain()."""
        return [_said(key, _table_of(key, self._state.tables)) for key in self._reads]

    def _is_outdated(self) -> bool:
        """Whether what was read has changed since, so that it may not fit together."""
        with self._book.tree.lock:
            try:
                self._validate()
            except EngineError as error:
                return isinstance(error, Conflict)
        return False

    @property
    def book(self) -> "Ledger":
        """The ledger that it belongs to."""
        return self._book

    @property
    def untouched(self) -> bool:
        """Whether nothing was read or written yet."""
        return not (self._reads or self._writes)

    def _table(self, name: str) -> TableState:
        self._open_or_raise()
        return self._state.table(name)

    def _open_or_raise(self) -> None:
        self._book.check_open()
        if self._done:
            raise Invalid("this transaction is over: begin another with transaction()")

    # -- the end ------------------------------------------------------------------------------------------------------

    def commit(self) -> int | None:
        """Write all of it as one block, durably; the block's number, None if there was nothing to write. Conflict."""
        self._open_or_raise()
        try:
            writes = [(key, write) for key, write in self._writes.items() if write is not None]
            if not writes:
                with self._book.tree.lock:
                    self._validate()
                self._book.log.acknowledge(self._seen)
                return None
            self._book.check_writable()
            draft = Draft(self.raw_id, self._statements)
            for (table, raw), write in writes:
                kind = Kind.TOMBSTONE if write.data is None else Kind.REVISION
                draft.add(kind, table, raw, write.version, write.data or b"")
            return self._book.commit(draft, self._validate, self._touched)
        finally:
            self.abort()

    def abort(self) -> None:
        """Forget all of it. Nothing was written."""
        if not self._done:
            self._done = True
            self._book.recent.end(id(self))

    def _validate(self) -> None:
        """Under the lock: Conflict where a block has touched what was read; NotFound where a table is gone."""
        if self._state is not self._book.state:
            raise Conflict("the ledger was rebuilt since this transaction began, so nothing was written: do it again")
        recent, tables = self._book.recent, self._state.tables
        touched = [key for key, number in self._reads.items() if recent.touched_since(key, number)]
        if touched:
            key = min(touched)  # a document, if one of them is: that says most
            name = _table_of(key, tables)
            raise Conflict(
                f"another transaction has changed {_said(key, name)} since this one read it, so nothing was written: "
                "do all of it again, as run() does",
                table=name,
                id=show(key.what) if key.kind == "document" else None,
            )
        for table, _ in self._writes:
            if tables[table].dropped:
                raise NotFound(f"the table {tables[table].name} was dropped meanwhile, so nothing was written")

    def _touched(self) -> frozenset[Key]:
        """Under the lock, before the block is applied: the keys that others may have read."""
        keys: set[Key] = set()
        for (number, raw), write in self._writes.items():
            keys |= {Key("document", number, raw), Key("table", number)}
            indexes = self._state.tables[number].indexes
            if not indexes:
                continue
            place = self._state.place(number, raw)
            datas = [None if write is None else write.data, None if place is None else self._state.data(place)]
            for data in datas:
                if data is not None:
                    keys |= value_keys(indexes, data)
        return frozenset(keys)

    def __del__(self) -> None:
        """One that was never ended is over when nobody has it any more."""
        if not getattr(self, "_done", True):
            self._book.recent.end(id(self))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.outdated = not self._done and isinstance(error, Exception) and self._is_outdated()
            self.abort()
        elif not self._done:
            self.commit()


def value_keys(indexes: Indexes, data: bytes) -> set[Key]:
    """What a reader by index may have read of a document: its value in each index that it is in."""
    return {Key("value", number, hashed) for number, hashed in index_values(indexes, read(data))}


def _table_of(key: Key, tables: dict[int, TableState]) -> str:
    """The name of the table that a key is about."""
    if key.kind == "value":
        return next((table.name for table in tables.values() if key.number in table.indexes), "a table")
    return tables[key.number].name if key.number in tables else "a table"


def _said(key: Key, table: str) -> str:
    if key.kind == "document":
        return f"document {show(key.what)} of {table}"
    words = {"value": "the documents with one value in an index of {}", "table": "what is in {}"}
    return words.get(key.kind, "the name or the indexes of {}").format(table)


def run(book: "Ledger", work: Callable[[Transaction], Answer], retries: int) -> Answer:
    """See Ledger.run."""
    if not callable(work):
        raise Invalid(f"run takes a function of a transaction, got {type(work).__name__}")
    if not isinstance(retries, int) or retries < 0:
        raise Invalid(f"retries is how often to try again, from 0, got {retries!r:.40}")
    pause = PAUSE
    while True:
        transaction = book.transaction()
        try:
            with transaction:
                return work(transaction)
        except Exception as error:
            if not (isinstance(error, Conflict) or transaction.outdated) or not retries:
                raise
            retries -= 1
            SystemClock().sleep(random.uniform(0, pause))  # noqa: S311 - so that two that collided do not meet again
            pause *= 2
