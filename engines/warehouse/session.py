"""A session: statements one after the other, a transaction between BEGIN and COMMIT, temporary tables, a user.

    outside a transaction     each statement is one of its own: it reads the present, and commits what it changes
    inside                    all statements read one moment, and what the transaction itself has done

A transaction takes the writer's lock with its first change; others that want to write wait ten seconds. If somebody has
committed in between, and into a table that this transaction has read, the change is refused as a Conflict: it would be
based on what is no longer true (Redshift: a serializable isolation violation). Else its moment becomes the present:
what it has read is the same there, and what it reads from now on is as new. A statement that fails undoes itself and
leaves the transaction as it was before it; Redshift ends the transaction instead.

Temporary tables are a warehouse of their own, in memory, which ends with the session. They take part in transactions.
"""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from engines.display import Plan, Table
from engines.errors import Closed, Conflict, Denied, Invalid, QueryError
from engines.sql import front
from engines.sql.engine import SQL
from engines.sql.front import Statement
from engines.sql.source import TableSource
from engines.warehouse import appending, dml, execute, filing, rights, upkeep
from engines.warehouse.access import OWNER, quoted
from engines.warehouse.catalog import Root, TableEntry
from engines.warehouse.commit import Transaction
from engines.warehouse.names import Names
from engines.warehouse.running import Handler, Running
from engines.warehouse.scan import Table as StoredTable
from engines.warehouse.statements.grammar import READERS, read
from engines.warehouse.statements.reader import blanked, split
from engines.warehouse.storage import Storage, View

if TYPE_CHECKING:
    from engines.warehouse.system import Statement as Logged
    from engines.warehouse.warehouse import Warehouse

RECORD: Final = "record"  # kind of the statements that statements/ reads


class Engine(SQL):
    """The SQL floor over a session's names."""

    catalog: Names

    def source(self, name: str) -> TableSource:
        return self.catalog.source(name)


class Session:
    """See the module's text. One thread at a time; Warehouse.session() makes one, Warehouse.sql() has one a thread.

    user: sees what was granted to it, and changes nothing; "" owns everything.
    """

    def __init__(self, warehouse: "Warehouse", user: str = "") -> None:
        if user == OWNER:
            raise Invalid(f"{OWNER!r} is the name of the owner: a session without a user is hers")
        self.warehouse = warehouse
        self.user = user
        self.names = Names(self)
        self._view: View | None = None  # what this statement reads, or all of the transaction
        self._begun = False
        self._changes: dict[Storage, Transaction] = {}
        self._read: dict[str, TableEntry] = {}  # what the transaction has read so far
        self._temporary: Storage | None = None
        self._closed = False
        self.logged: Logged | None = None  # what the log has of the statement that runs

    # -- statements

    def sql(self, text: str, *values: Any, timeout: float | None = None, **named: Any) -> Table:  # noqa: ANN401 - see values.py
        """Run statements; the rows of the last one. A command gives one row: its name, and how many rows it touched.

        values, named: of the parameters `?` and `:name`. timeout in seconds, of each statement: DeadlinePassed.
        QueryError for what the text has wrong, with its place; what else can go wrong says each command.
        """
        self._refuse_closed()
        found: Table | None = None
        engine = self.engine()
        self._refresh()
        for statement in self._prepared(engine, text, values, named):
            with self.warehouse.log.running(statement.text, self.user) as running:
                self.logged = running
                found = self._answer(engine, statement, values, named, timeout)
                running.ended(found)
            self._refresh()
        if found is None:
            raise Invalid("there is no statement in the text")
        return found

    def explain(self, text: str, *values: Any, analyze: bool = False, **named: Any) -> Plan:  # noqa: ANN401 - see sql
        """How a query is run, as a tree of steps; with analyze it is run, and the steps say what they touched."""
        self._refuse_closed()
        engine = self.engine()
        self._refresh()
        plan: Plan | None = None
        for statement in self._prepared(engine, text, values, named):
            if statement.query is None:
                raise QueryError("only queries have a plan", text=text)
            if not (analyze or statement.analyze):
                plan = engine.plan(statement, values, named)
                continue
            with self.warehouse.log.running(statement.text, self.user) as running:
                plan = running.plan = engine.plan(statement, values, named, analyze=True)
        if plan is None:
            raise Invalid("there is no statement in the text")
        return plan

    def append(self, table: str, data: Any, *, columns: Sequence[str] | None = None) -> int:  # noqa: ANN401 - see appending.py
        """Load rows into a table, all or none; how many. See Warehouse.append."""
        self._refuse_closed()
        return appending.append(self, table, data, columns)

    def engine(self) -> Engine:
        """The SQL floor with this session's names."""
        engine = copy.copy(self.warehouse.engine)
        engine.catalog = self.names
        engine.user = self.user or OWNER
        return engine

    def _prepared(
        self, engine: Engine, text: str, values: Sequence[Any], named: Mapping[str, Any]
    ) -> Iterator[Statement]:
        # a cached plan does not know what a user may see, nor which of two tables of one name is meant
        cache = None if self.user or self.names.shadowed else engine.cache
        return front.prepare(text, engine.catalog, engine.dialect, values, named, cache=cache)

    def _answer(
        self,
        engine: Engine,
        statement: Statement,
        values: Sequence[Any],
        named: Mapping[str, Any],
        timeout: float | None,
    ) -> Table:
        if statement.kind == "explain":
            plan = engine.plan(statement, values, named, analyze=statement.analyze)
            if statement.analyze and self.logged is not None:
                self.logged.plan = plan
            return Table({"query plan": str(plan).splitlines()})
        if statement.query is not None:
            return self.warehouse.answered(engine, statement, values, named, timeout)
        running = Running(self, engine, statement, values, named, timeout)
        if engine.dialect.statements[statement.kind] == RECORD:
            first, last = statement.tokens[0].start, statement.tokens[-1].end + 1
            whole = blanked(statement.source, first, last)
            (tokens,) = split(whole)
            record = read(whole, tokens)
            return HANDLERS[type(record)](running, record)
        return dml.HANDLERS[statement.kind](running)

    def columns_of(self, name: str, catalog: front.Catalog) -> list[str]:
        """The columns of a table or view. QueryError if there is none, or if it cannot be bound."""
        everything = f"SELECT * FROM {quoted(name)}"  # noqa: S608 - a name in quotes
        query = front.bind_select(everything, catalog, self.warehouse.engine.dialect)
        return [header for header, _, _ in query.columns]

    def _refuse_closed(self) -> None:
        self.warehouse.refuse_closed()
        if self._closed:
            raise Closed("this session has ended: begin another one")

    # -- what is read

    @property
    def root(self) -> Root:
        """The catalogue that a statement sees."""
        transaction = self._changes.get(self.warehouse.storage)
        return self.view.root if transaction is None else transaction.root

    @property
    def view(self) -> View:
        """What is read outside of changes."""
        if self._view is None:
            self._view = self.warehouse.storage.view()
        return self._view

    def stored_table(self, name: str) -> StoredTable:
        """A table of the warehouse, as this session sees it."""
        transaction = self._changes.get(self.warehouse.storage)
        if transaction is not None:
            return transaction.table(name)
        if self._begun:
            self._read[name] = self.view.root.tables[name]
        return self.view.table(name)

    def temporary_table(self, name: str) -> StoredTable | None:
        storage = self._temporary
        if storage is None:
            return None
        transaction = self._changes.get(storage)
        if transaction is not None:
            return transaction.table(name) if name in transaction.root.tables else None
        view = storage.view()
        return view.table(name) if name in view.root.tables else None

    def temporary_tables(self) -> list[str]:
        storage = self._temporary
        if storage is None:
            return []
        transaction = self._changes.get(storage)
        return storage.tables() if transaction is None else transaction.tables()

    def _refresh(self) -> None:
        """The next statement reads the present."""
        if not self._begun:
            self._view = None

    # -- what is changed

    def holder(self, name: str) -> Storage:
        """Where a table lies: with the session, or in the warehouse."""
        if self._temporary is not None and name in self.temporary_tables():
            return self._temporary
        return self.warehouse.storage

    def temporary(self) -> Storage:
        """Where temporary tables lie."""
        if self._temporary is None:
            storage = self.warehouse.storage
            self._temporary = Storage(None, clock=storage.clock, slices=storage.slices)
        return self._temporary

    @contextlib.contextmanager
    def change(self, storage: Storage | None = None) -> Iterator[Transaction]:
        """A statement's changes: in the session's transaction, or in one that is committed when the statement ends."""
        storage = storage or self.warehouse.storage
        if self.user and storage is self.warehouse.storage:
            raise Denied(f"{self.user} may only read: a session without a user changes the warehouse")
        transaction = self._changes.get(storage)
        own = transaction is None and not self._begun
        if transaction is None:
            transaction = self._changes[storage] = self._join(storage)
        mark = transaction.mark()
        try:
            yield transaction
        except BaseException:
            if own:
                del self._changes[storage]
                transaction.rollback()
            else:
                transaction.back_to(mark)
            raise
        if own:
            del self._changes[storage]
            self._view = None
            transaction.commit()

    def _join(self, storage: Storage) -> Transaction:
        """The first change: take the writer's lock, and see whether what was read still holds."""
        transaction = storage.begin()
        if storage is self.warehouse.storage:
            changed = [name for name, entry in self._read.items() if transaction.root.tables.get(name) != entry]
            if changed:
                transaction.rollback()
                raise Conflict(
                    f"table {changed[0]!r} was changed by somebody else since this transaction read it: ROLLBACK, and "
                    "begin again"
                )
        return transaction

    def begin(self) -> None:
        """BEGIN. Invalid inside a transaction."""
        if self._begun:
            raise Invalid("this session is in a transaction already: COMMIT or ROLLBACK it first")
        self._begun = True
        self._view = None

    def commit(self) -> None:
        """COMMIT. Invalid outside of a transaction."""
        self._refuse_idle("COMMIT")
        changes = list(self._changes.items())
        self._leave()
        for at, (_, transaction) in enumerate(changes):
            try:
                transaction.commit()
            except BaseException:
                for _, other in changes[at + 1 :]:
                    other.rollback()
                raise

    def rollback(self) -> None:
        """ROLLBACK. Invalid outside of a transaction."""
        self._refuse_idle("ROLLBACK")
        changes = list(self._changes.values())
        self._leave()
        for transaction in changes:
            transaction.rollback()

    def _refuse_idle(self, what: str) -> None:
        if not self._begun:
            raise Invalid(f"{what} without a transaction: BEGIN one first")

    def _leave(self) -> None:
        self._begun = False
        self._view = None
        self._changes.clear()
        self._read.clear()

    @property
    def begun(self) -> bool:
        """Whether it is in a transaction."""
        return self._begun

    def close(self) -> None:
        """Roll back what is open; temporary tables go. Closing twice does nothing."""
        self._closed = True
        if self._begun:
            self.rollback()
        if self._temporary is not None:
            self._temporary.close()
            self._temporary = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


class TransactionSession(Session):
    """What Warehouse.transaction() gives: a session in a transaction, committed where the block ends without error."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if self.begun and kind is None:
                self.commit()
        finally:
            self.close()


HANDLERS: Final[Mapping[type, Handler]] = execute.HANDLERS | filing.HANDLERS | rights.HANDLERS | upkeep.HANDLERS
STATEMENTS: Final[Mapping[Any, Any]] = {
    **dict.fromkeys(READERS, RECORD),
    **{kind: kind for kind in dml.HANDLERS},
}
