"""The catalogue: tables and indexes come and go by entries of blocks, provable as documents are.

    {"action": "create table", "name"}              a table's id is its first entry's document
    {"action": "drop table"}, {"action": "undrop table"}
    {"action": "create index", "index", "path"}     index: its number, never used twice
    {"action": "drop index", "index"}

Each is a transaction of its own, made up under the lock: what it depends on cannot change meanwhile. state.py acts
on it.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from engines.errors import AlreadyExists, Invalid, NotFound
from engines.ledger.block import Draft, Kind
from engines.ledger.canonicaljson import canonical
from engines.ledger.ids import document_ids, new_transaction_id, parse_or_raise, show
from engines.ledger.state import TableState
from engines.ledger.statements import index_path
from engines.ledger.transaction import Key

if TYPE_CHECKING:
    from engines.ledger.ledger import Ledger

Said = dict[str, object]


def create_table(book: "Ledger", name: str, indexes: Iterable[str]) -> str:
    """See Ledger.create_table."""
    paths = [index_path(path) for path in ([indexes] if isinstance(indexes, str) else indexes)]
    if len(set(paths)) < len(paths):
        raise Invalid(f"each index of a table is on another path, got {list(indexes)}")
    check_table_name(name)
    raw = new_transaction_id(book.clock)
    table_id = document_ids(raw, 1, 1)

    def entries(draft: Draft) -> int:
        if name in book.state.names:
            raise AlreadyExists(f"there is a table {name!r} already: leave create_table() out to use it", table=name)
        number, made = book.state.next_table(), book.state.chain.indexes
        said: list[Said] = [{"action": "create table", "name": name}]
        said += [{"action": "create index", "index": made + i, "path": list(path)} for i, path in enumerate(paths, 1)]
        for version, each in enumerate(said):
            draft.add(Kind.CATALOGUE, number, table_id, version, canonical(each))
        return 0

    _commit(book, raw, entries)
    return show(table_id)


def drop_table(book: "Ledger", name: str) -> str:
    """See Ledger.drop_table."""
    return _alter(book, lambda: book.state.table(name), lambda _: {"action": "drop table"})


def undrop_table(book: "Ledger", table_id: str) -> str:
    """See Ledger.undrop_table."""
    raw = parse_or_raise(table_id, "a table's id")

    def find() -> TableState:
        found = next((table for table in book.state.tables.values() if table.id == raw), None)
        if found is None or not found.dropped:
            raise NotFound(f"there is no dropped table with the id {table_id}: tables() shows their ids", id=table_id)
        if found.name in book.state.names:
            raise AlreadyExists(f"there is another table {found.name!r} now: drop that first", table=found.name)
        return found

    return _alter(book, find, lambda _: {"action": "undrop table"})


def create_index(book: "Ledger", table: str, path: str) -> None:
    """See Ledger.create_index."""
    steps = list(index_path(path))

    def said(found: TableState) -> Said:
        if found.index_on(steps) is not None:
            raise AlreadyExists(f"{table} has an index on {path} already", table=table)
        return {"action": "create index", "index": book.state.chain.indexes + 1, "path": steps}

    _alter(book, lambda: book.state.table(table), said)


def drop_index(book: "Ledger", table: str, path: str) -> None:
    """See Ledger.drop_index."""
    steps = index_path(path)

    def said(found: TableState) -> Said:
        number = found.index_on(steps)
        if number is None:
            raise NotFound(f"{table} has no index on {path}: tables() shows what there is", table=table)
        return {"action": "drop index", "index": number}

    _alter(book, lambda: book.state.table(table), said)


def _alter(book: "Ledger", find: Callable[[], TableState], said: Callable[[TableState], Said]) -> str:
    """Write one entry about a table; the table's id."""
    altered: list[bytes] = []

    def entry(draft: Draft) -> int:
        table, says = (found := find()), said(found)
        draft.add(Kind.CATALOGUE, table.number, table.id, table.version + 1, canonical(says))
        altered.append(table.id)
        return 0 if says["action"] == "create index" else table.number

    _commit(book, new_transaction_id(book.clock), entry)
    return show(altered[-1])


def _commit(book: "Ledger", raw_id: bytes, entries: Callable[[Draft], int]) -> None:
    """Commit what `entries`, under the lock, adds to a draft; it answers which table's readers were wrong, or 0."""
    book.check_writable()
    with book.tree.lock:
        book.tree.catch_up()
        draft = Draft(raw_id)
        changed = entries(draft)
        if book.recent.anybody:
            book.recent.note(book.state.chain.number + 1, frozenset({Key("schema", 0), Key("schema", changed)}))
        sequence = book.take(draft.pack(), len(draft))
    book.log.acknowledge(sequence)
    book.checkpoint_if_due()


def check_table_name(name: object) -> None:
    """Invalid if a table cannot be called this."""
    if not isinstance(name, str) or not 0 < len(name) <= 128 or not name.isidentifier() or not name.isascii():
        raise Invalid(f"a table's name is 1 to 128 letters, digits and _, not beginning with a digit, got {name!r:.80}")
    if name.lower().startswith("_ql_"):
        raise Invalid(f"names that begin with _ql_ are those of views, got {name!r}")
