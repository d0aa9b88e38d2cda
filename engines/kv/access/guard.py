"""Sessions: a store as one principal may use it. Every request is checked against a policy, then handed on unchanged.

    ann = store.session([{"Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:Query"], "Resource": "orders",
        "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": "${aws:username}"}}}],
        principal={"username": "ann"})
    ann.table("orders").get("bob", 1)                       # Denied

    call ──> what it asks for ──> Policy.check ──> the store's own method ──> ConditionFailed? the item, or not
             asking.py            or Denied

A verb is one line below: the store's method, and the function of asking.py that says what a call of it asks for.

What DynamoDB leaves to the policy is left to it here. A read without a projection gives all attributes, and a write
with returns="ALL_OLD" the old item, whatever a list of dynamodb:Attributes says: such a policy has to ask for
dynamodb:Select and dynamodb:ReturnValues too. Who may write under a key learns by a condition whether an item is
there. Change records show all that their stream does: neither keys nor attributes limit them.

The item of a ConditionFailed, which the service sends only on request, is shown where the policy would allow the same
request with ReturnValues ALL_OLD; elsewhere .item is None, and the message says so. The names of tables that a NotFound
offers are shown to those who may list tables.

Not for a session: expire, tick, checkpoint, stats, layout, verify, close. They are for who runs the store.

Pitfall: a session keeps honest programs within their policy. It is no wall inside a process: Python code that wants to
reaches the store behind it. Where requests come over a wire, it is one.

Invariants: a denied call has changed nothing, read no item and cost no units; with a policy that allows everything a
session does what the store does (of several mistakes in one request it may name another one first); the next page of a
query is checked like the first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from engines.errors import ConditionFailed, Denied, EngineError, Invalid, NotFound, nearest
from engines.kv.access import asking
from engines.kv.access.asking import Asked
from engines.kv.access.conditions import request_values
from engines.kv.access.policies import PREFIX, Policy
from engines.kv.page import Item, Page
from engines.kv.partiql import Outcome
from engines.kv.partiql.binding import Text
from engines.kv.store import Store
from engines.kv.table import BatchWriter, Table
from engines.kv.throttle import Consumed

if TYPE_CHECKING:
    from engines.changes import Change
    from engines.display import Plan, Report

P = ParamSpec("P")
Target = TypeVar("Target")
Answer = TypeVar("Answer")
Wrapped = TypeVar("Wrapped")

PRINCIPAL = {
    "username": "aws:username",
    "userid": "aws:userid",
    "arn": "aws:PrincipalArn",
    "account": "aws:PrincipalAccount",
    "type": "aws:PrincipalType",
    "mfa": "aws:MultiFactorAuthPresent",
    "secure": "aws:SecureTransport",
}
TAGS = "aws:PrincipalTag/"
_SHOWN, _HIDDEN = ".item is what stands there", ".item is hidden: the policy does not allow ReturnValues ALL_OLD"
_LIST_TABLES = Asked("ListTables")


class Guard:
    """One principal under one policy: what both Session and GuardedTable do with a request."""

    def __init__(self, policy: Policy, principal: dict[str, object]) -> None:
        self.policy, self.principal = policy, principal

    def check(self, asked: Asked) -> None:
        """Denied, or nothing."""
        action, resource, leading_keys, attributes, context = asked
        self.policy.check(
            PREFIX + action,
            resource,
            leading_keys=leading_keys,
            attributes=attributes,
            context={**self.principal, **context},
        )

    def allows(self, asked: Asked) -> bool:
        try:
            self.check(asked)
        except Denied:
            return False
        return True

    def do(
        self,
        verb: Callable[..., Answer],
        ask: Callable[..., Asked | list[Asked]],
        target: object,
        arguments: Iterable[Any],
        options: Mapping[str, Any],
    ) -> tuple[Answer, list[Asked]]:
        """What the verb answers, and what was asked for. Denied before anything is read."""
        arguments = [list(value) if isinstance(value, Iterator) else value for value in arguments]  # read twice
        options = {name: list(value) if isinstance(value, Iterator) else value for name, value in options.items()}
        asked: list[Asked] = []
        try:
            found = ask(target, *arguments, **options)
            asked = [found] if isinstance(found, Asked) else found
            for one in asked:
                self.check(one)
            return verb(target, *arguments, **options), asked
        except EngineError as error:
            self.censor(error, asked)
            raise

    def censor(self, error: EngineError, asked: Sequence[Asked]) -> None:
        """Take out of an error what this principal may not see."""
        if isinstance(error, NotFound) and not self.allows(_LIST_TABLES):
            error.args = (str(error).partition("; did you mean")[0],)
        if isinstance(error, ConditionFailed):
            shown = [self.allows(_with_old(one)) for one in asked]
            reasons = error.details.get("reasons")
            for reason, may in zip(reasons if isinstance(reasons, list) else [], shown, strict=False):
                if reason is not None and not may:
                    reason["item"] = None
                    reason["message"] = reason["message"].replace(_SHOWN, _HIDDEN)
            if not all(shown):
                error.details["item"] = None
                error.args = (str(error).replace(_SHOWN, _HIDDEN),)


def _with_old(asked: Asked) -> Asked:
    return asked._replace(context={**asked.context, "dynamodb:ReturnValues": "ALL_OLD"})


def guarded(
    verb: Callable[Concatenate[Target, P], Answer], ask: Callable[..., Asked | list[Asked]]
) -> Callable[Concatenate[Any, P], Answer]:
    """A verb of a store or table, done only where the policy allows what ask() says of it."""

    @wraps(verb)
    def checked(self: "Session | GuardedTable", /, *arguments: P.args, **options: P.kwargs) -> Answer:
        return self.guard.do(verb, ask, self.target, arguments, options)[0]

    return checked


def wrapping(
    verb: Callable[Concatenate[Target, P], Answer],
    ask: Callable[..., Asked | list[Asked]],
    wrap: Callable[[Guard, Answer, list[Asked]], Wrapped],
) -> Callable[Concatenate[Any, P], Wrapped]:
    """The same, where what comes back has to be guarded too."""

    @wraps(verb)
    def checked(self: "Session | GuardedTable", /, *arguments: P.args, **options: P.kwargs) -> Wrapped:
        answer, asked = self.guard.do(verb, ask, self.target, arguments, options)
        return wrap(self.guard, answer, asked)

    return checked


# -- what comes back --------------------------------------------------------------------------------------------------


def _table(guard: Guard, table: Table, _: object) -> "GuardedTable":
    return GuardedTable(guard, table)


def _imported(guard: Guard, answer: "tuple[Table, Report]", _: object) -> "tuple[GuardedTable, Report]":
    return GuardedTable(guard, answer[0]), answer[1]


def _page(guard: Guard, page: Page, asked: list[Asked]) -> Page:
    """A page whose next one is asked for again."""
    read = page._read  # noqa: SLF001 - a page's own next() has to pass here

    def read_next(request: Any, start: Any) -> Page:  # noqa: ANN401 - the page's
        for one in asked:
            guard.check(one)
        return _page(guard, read(request, start), asked)

    page._read = read_next  # noqa: SLF001 - the same
    return page


def _page_or_items(guard: Guard, answer: Page | list[Item] | None, asked: list[Asked]) -> Page | list[Item] | None:
    return _page(guard, answer, asked) if isinstance(answer, Page) else answer


def _changes(guard: Guard, changes: "Iterator[Change]", asked: list[Asked]) -> "Iterator[Change]":
    """Each is asked for again: who follows a table follows it for long."""
    for change in changes:
        for one in asked:
            guard.check(one)
        yield change


class GuardedTable:
    """A table as a session may use it: its methods, each checked. Made by Session.table()."""

    def __init__(self, guard: Guard, table: Table) -> None:
        self.guard, self.target = guard, table

    @property
    def name(self) -> str:
        return self.target.name

    get = guarded(Table.get, asking.get)
    put = guarded(Table.put, asking.put)
    update = guarded(Table.update, asking.update)
    delete = guarded(Table.delete, asking.delete)
    query = wrapping(Table.query, asking.query, _page)
    scan = wrapping(Table.scan, asking.scan, _page)
    explain = guarded(Table.explain, asking.explain_query)
    changes = wrapping(Table.changes, asking.table_changes, _changes)
    describe = guarded(Table.describe, asking.on_table("DescribeTable"))
    buckets = guarded(Table.buckets, asking.on_table("DescribeTable"))
    hot_keys = guarded(Table.hot_keys, asking.on_table("DescribeContributorInsights"))
    scaling = guarded(Table.scaling, asking.on_table("DescribeTable"))
    create_index = guarded(Table.create_index, asking.on_table("UpdateTable"))
    drop_index = guarded(Table.drop_index, asking.on_table("UpdateTable"))
    capacity = guarded(Table.capacity, asking.on_table("UpdateTable"))
    scale = guarded(Table.scale, asking.on_table("UpdateTable"))

    def batch_writer(self) -> "GuardedBatchWriter":
        """As Table.batch_writer: each put and delete asks for dynamodb:BatchWriteItem by itself, at once."""
        return GuardedBatchWriter(self.guard, self.target)

    def __repr__(self) -> str:
        return f"<guarded {self.target!r}>"


class GuardedBatchWriter:
    """A batch_writer whose puts and deletes are checked as they come; Denied ends the block, as any error does."""

    def __init__(self, guard: Guard, table: Table) -> None:
        self._guard, self._table, self._writer = guard, table, BatchWriter(table.records)

    def put(self, item: Item) -> None:
        """As BatchWriter.put, or Denied."""
        self._guard.check(asking.batch_of_one(asking.put(self._table, item)))
        self._writer.put(item)

    def delete(self, *key: Any) -> None:  # noqa: ANN401 - values of the key's types
        """As BatchWriter.delete, or Denied."""
        self._guard.check(asking.batch_of_one(asking.delete(self._table, *key)))
        self._writer.delete(*key)

    def flush(self) -> None:
        """Write what was collected; on disk when it returns."""
        self._writer.flush()

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)


class Session:
    """A store as one principal may use it: its methods, each checked. Made by Store.session(). Threads may share it."""

    def __init__(
        self,
        store: Store,
        policy: Policy | Mapping[str, object] | Sequence[Mapping[str, object]],
        principal: Mapping[str, object] | None = None,
    ) -> None:
        if not isinstance(policy, Policy):
            policy = Policy(policy, clock=store.clock)
        self.guard, self.target = Guard(policy, known_as(principal)), store

    def table(self, name: str) -> GuardedTable:
        """The table of this name. NotFound. Asks for nothing yet."""
        return self.guard.do(_named, _nothing, self, (name,), {})[0]

    tables = guarded(Store.tables, asking.on_all("ListTables"))
    create_table = wrapping(Store.create_table, asking.on_new("CreateTable"), _table)
    drop_table = guarded(Store.drop_table, asking.on_named("DeleteTable"))
    transact = guarded(Store.transact, asking.transact)
    batch_get = guarded(Store.batch_get, asking.batch_get)
    batch_write = guarded(Store.batch_write, asking.batch_write)
    execute = wrapping(Store.execute, asking.statement, _page_or_items)
    execute_transaction = guarded(Store.execute_transaction, asking.statements)
    explain_statement = guarded(Store.explain_statement, asking.statement)
    snapshot = guarded(Store.snapshot, asking.backup)
    snapshots = guarded(Store.snapshots, asking.on_all("ListBackups"))
    drop_snapshot = guarded(Store.drop_snapshot, asking.on_all("DeleteBackup"))
    restore_table = wrapping(Store.restore_table, asking.restore, _table)
    set_pitr = guarded(Store.set_pitr, asking.on_named("UpdateContinuousBackups"))
    set_ttl = guarded(Store.set_ttl, asking.on_named("UpdateTimeToLive"))
    set_stream = guarded(Store.set_stream, asking.on_named("UpdateTable"))
    export = guarded(Store.export, asking.on_named("ExportTableToPointInTime"))
    import_table = wrapping(Store.import_table, asking.on_new("ImportTable"), _imported)

    def execute_batch(
        self, statements: Iterable[Text], *, consistent: bool = False, consumed: Consumed | None = None
    ) -> list[Outcome]:
        """As Store.execute_batch: each for itself, so one that is not allowed has Denied as its outcome's error."""
        if isinstance(statements, str):
            return self.target.execute_batch(statements)  # which says what is wrong with that
        self.target.check_open()
        outcomes: list[Outcome | list[Asked]] = []
        texts = []
        for text in statements:
            try:
                outcomes.append(self.guard.do(_nothing, asking.statement_of, self.target, (text, consumed), {})[1])
                texts.append(text)
            except EngineError as error:
                outcomes.append(Outcome(error=error))
        if not texts and outcomes:
            return [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
        found = iter(self.target.execute_batch(texts, consistent=consistent, consumed=consumed))
        return [
            outcome if isinstance(outcome, Outcome) else self._censored(next(found), outcome) for outcome in outcomes
        ]

    def _censored(self, outcome: Outcome, asked: list[Asked]) -> Outcome:
        if outcome.error is not None:
            self.guard.censor(outcome.error, asked)
        return outcome

    def changes(
        self, after: int = 0, *, limit: int | None = None, follow: bool = False, timeout: float | None = None
    ) -> "Iterator[Change]":
        """As Store.changes, of all tables that have a stream now: dynamodb:GetRecords is asked for each of them."""
        store = self.target
        streams = {table.definition.id: table for table in store.schema.all() if table.definition.stream is not None}
        asked = [asking.stream(table.definition) for table in streams.values()]
        for one in asked:
            self.guard.check(one)
        found = store.read_changes(after, streams, limit=limit, follow=follow, timeout=timeout)
        return _changes(self.guard, found, asked)

    def explain(self, table: str, key_condition: str | None = None, **query: Any) -> "Plan":  # noqa: ANN401 - Table.explain's
        """As Store.explain."""
        return self.table(table).explain(key_condition, **query)

    def __repr__(self) -> str:
        name = self.guard.principal.get("aws:username", "somebody")
        return f"<kv.Session of {name} with {self.target!r}>"


def _nothing(*_: object) -> list[Asked]:
    return []


def _named(session: Session, name: str) -> GuardedTable:
    return GuardedTable(session.guard, session.target.table(name))


def known_as(principal: Mapping[str, object] | None) -> dict[str, object]:
    """What a policy knows a principal by, from {"username": "ann", "tags": {"team": "sales"}}, or whole condition keys.

    Invalid for what is no such key.
    """
    if principal is not None and not isinstance(principal, Mapping):
        raise Invalid(f'principal is a dict like {{"username": "ann"}}, got {principal!r:.80}')
    known: dict[str, object] = {}
    for name, value in (principal or {}).items():
        if name == "tags" and isinstance(value, Mapping):
            known |= {f"{TAGS}{tag}": text for tag, text in value.items()}
        elif name in PRINCIPAL:
            known[PRINCIPAL[name]] = value
        elif isinstance(name, str) and ":" in name and not name.lower().startswith(PREFIX):
            known[name] = value
        else:
            raise Invalid(
                f"a principal has {', '.join(PRINCIPAL)}, tags and condition keys like graph.facebook.com:id, got "
                f"{name!r}{nearest(str(name), PRINCIPAL)}"
            )
    request_values(known, (), (), 0)  # Invalid for what is no key, or no value of one
    return known
