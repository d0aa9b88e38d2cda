"""PartiQL for tables: statements become the calls that a program would have made.

    SELECT ... WHERE partition = ? ...           query                 select.py
    SELECT ... WHERE partition IN [?, ...] ...   a query each
    SELECT ... otherwise                         scan: reads everything, and explain says so
    INSERT                                       put, if the key is free
    UPDATE                                       update, if the item is there and the rest of WHERE holds
    DELETE                                       delete, if there is no item or the rest of WHERE holds
    EXISTS(SELECT ...)                           a check in a transaction

It is a translator: every rule of values, limits and conditions is the engine's. text -> tree (syntax.py) -> with
parameters and a table (binding.py) -> an action of transactions.py, or a query -> done.

Where we differ from DynamoDB: SELECT a.b gives {"a": {"b": ...}}, as every projection here does. A reading transaction
takes the full key and nothing else; EXISTS is content with it. IN takes no list from outside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from engines.display import Plan
from engines.errors import (
    ConditionFailed,
    Conflict,
    EngineError,
    Invalid,
    NotFound,
    QueryError,
    Throttled,
    TooLarge,
)
from engines.kv.page import Item, Page
from engines.kv.partiql.binding import PARTITION, Bound, Text, in_their_words, together
from engines.kv.partiql.select import explain_select, projection, select_page
from engines.kv.partiql.tree import Delete, Exists, Insert, Select, Update, bind
from engines.kv.syntax import Call, Condition, Joined, Value
from engines.kv.transactions import Action, Answers, Check, Get, Put
from engines.kv.transactions import Delete as DeleteAction
from engines.kv.transactions import Update as UpdateAction
from engines.kv.updatesyntax import UpdateTree
from engines.kv.values import TRANSACTION_ACTIONS, type_of

if TYPE_CHECKING:
    from engines.kv.store import Store
    from engines.kv.table import Returns, UpdateReturns
    from engines.kv.throttle import Consumed

BATCH_STATEMENTS = 25

_THERE = Call("attribute_exists", (PARTITION,), 0)
_FREE = Call("attribute_not_exists", (PARTITION,), 0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one statement of a batch came to: an item, None where there is none to show, or an error."""

    item: Item | None = None
    error: EngineError | None = None


# --- what a store is asked for ---


def execute(
    store: "Store",
    text: str,
    parameters: Sequence[Any] = (),
    *,
    consistent: bool = False,
    limit: int | None = None,
    start: Sequence[Any] | None = None,
    consumed: "Consumed | None" = None,
) -> Page | list[Item] | None:
    """See Store.execute."""
    bound = Bound(store, (text, parameters))
    body = bound.body
    with in_their_words([bound]):
        if isinstance(body, Select):
            return select_page(bound, body, limit, start, consistent=consistent, consumed=consumed)
        if limit is not None or start is not None:
            raise Invalid("limit and start are for SELECT: a statement that writes is about one item")
        item = _write(bound, consumed)
    if isinstance(body, (Update, Delete)) and body.returns != "NONE":
        return [] if item is None else [item]
    return None


def execute_batch(
    store: "Store", texts: Iterable[Text], *, consistent: bool = False, consumed: "Consumed | None" = None
) -> list[Outcome]:
    """See Store.execute_batch."""
    statements: list[Bound | EngineError] = []
    for text in _several(texts, BATCH_STATEMENTS, "batch"):
        try:
            statements.append(Bound(store, text))
        except (QueryError, Invalid, NotFound) as error:
            statements.append(error)
    if len({isinstance(bound.body, Select) for bound in statements if isinstance(bound, Bound)}) > 1:
        raise Invalid("a batch either reads or writes: execute the SELECT statements by themselves")
    return [
        Outcome(error=bound) if isinstance(bound, EngineError) else _outcome(bound, consistent, consumed)
        for bound in statements
    ]


def execute_transaction(
    store: "Store", texts: Iterable[Text], *, token: str | None = None, consumed: "Consumed | None" = None
) -> Answers | None:
    """See Store.execute_transaction."""
    texts = _several(texts, TRANSACTION_ACTIONS, "transaction")
    statements = [Bound(store, text, number) for number, text in enumerate(texts)]
    if len({isinstance(bound.body, Select) for bound in statements}) > 1:
        raise Invalid("a transaction either reads or writes: in one that writes, EXISTS(SELECT ...) is a check")
    with in_their_words(statements):
        return store.transact([_step(bound) for bound in statements], token=token, consumed=consumed)


def explain(store: "Store", text: str, parameters: Sequence[Any] = ()) -> Plan:
    """See Store.explain_statement."""
    bound = Bound(store, (text, parameters))
    with in_their_words([bound]):
        if isinstance(bound.body, Select):
            return explain_select(bound, bound.body)
        action = action_of(bound)
    if isinstance(action, Put):
        return Plan("Put", f"{bound.table.name}, if its key is free; not run")
    return Plan(type(action).__name__, f"{bound.table.name}, the item with the key {action.key!r}; not run")


def _several(texts: Iterable[Text], most: int, what: str) -> list[Text]:
    if isinstance(texts, str):
        raise Invalid(f"a {what} is a list of statements, got one text: use execute")
    texts = list(texts)
    if not 1 <= len(texts) <= most:
        raise Invalid(f"a {what} has 1 to {most} statements, got {len(texts)}")
    return texts


# --- one statement, one item ---


def _outcome(bound: Bound, consistent: bool, consumed: "Consumed | None") -> Outcome:  # noqa: FBT001 - of execute_batch
    """A statement of a batch, done."""
    try:
        with in_their_words([bound]):
            if not isinstance(bound.body, Select):
                return Outcome(_write(bound, consumed))
            bound.point(bound.body.where)
            page = select_page(bound, bound.body, None, None, consistent=consistent, consumed=consumed)
            return Outcome(page.items[0] if page.items else None)
    except (QueryError, Invalid, NotFound, ConditionFailed, TooLarge, Throttled, Conflict) as error:
        return Outcome(error=error)


def _write(bound: Bound, consumed: "Consumed | None") -> Item | None:
    """Do what a statement says; the item that RETURNING asks for."""
    action, table, body = action_of(bound), bound.table, bound.body
    given: dict[str, Any] = {
        "condition": action.condition,
        "names": action.names,
        "values": action.values,
        "consumed": consumed,
    }
    if isinstance(action, Put):
        return table.put(action.item, **given)
    if isinstance(action, UpdateAction) and isinstance(body, Update):
        returns = cast("UpdateReturns", body.returns)
        return table.update(action.key, action.expression, returns=returns, **given)
    if isinstance(action, DeleteAction) and isinstance(body, Delete):
        return table.delete(*action.key, returns=cast("Returns", body.returns), **given)
    return bound.fail("EXISTS stands in a transaction that writes", "use execute_transaction, or SELECT the item", 0)


def action_of(bound: Bound) -> Action:
    """A statement that writes, or checks, as an action of a transaction."""
    body, name = bound.body, bound.table.name
    if isinstance(body, Insert):
        item = bind(body.item, bound.parameters)
        if not isinstance(item, dict):
            raise Invalid(f"VALUE ? takes an item, a dict, got {item!r:.80}")
        return Put(name, item, **_conditional(bound, _FREE))
    if isinstance(body, Exists):
        _check_plain(bound, body.select)
    assert not isinstance(body, Select)  # noqa: S101 - the callers know
    key, rest = bound.point(body.where)
    if isinstance(body, Update):
        _check_sets(bound, body)
        change = bound.text(UpdateTree(body.actions, (), ()))
        return UpdateAction(name, key, change, **_conditional(bound, together([_THERE, *rest]), change))
    if isinstance(body, Exists):
        return Check(name, key, **_conditional(bound, together([_THERE, *rest])))
    unless_missing = Joined("OR", (_FREE, together(rest)), 0) if rest else None
    return DeleteAction(name, key, **_conditional(bound, unless_missing))


def _conditional(bound: Bound, condition: Condition | None, *texts: str) -> dict[str, Any]:
    """The arguments of an action with a condition."""
    text = None if condition is None else bound.text(condition)
    return {"condition": text, **bound.placeholders(text, *texts)}


def _step(bound: Bound) -> Action | Get:
    """A statement of a transaction."""
    if isinstance(bound.body, Select):
        return _get(bound, bound.body)
    if isinstance(bound.body, (Update, Delete)) and bound.body.returns != "NONE":
        bound.fail("a transaction that writes returns nothing", "leave RETURNING out")
    return action_of(bound)


def _get(bound: Bound, select: Select) -> Get:
    _check_plain(bound, select)
    key, rest = bound.point(select.where)
    if rest:
        bound.fail("in a transaction SELECT takes the full key alone", "test what comes back", rest[0].at)
    shown = projection(bound, select)
    return Get(bound.table.name, key, shown, bound.placeholders(shown)["names"])


def _check_sets(bound: Bound, update: Update) -> None:
    for action in update.actions:
        if action.clause in ("ADD", "DELETE") and isinstance(action.right, Value):
            kind = type_of(bound.value(action.right))
            if kind not in ("SS", "NS", "BS"):
                function = "set_add" if action.clause == "ADD" else "set_delete"
                raise Invalid(f"{function} takes a set, and {bound.text(action.right)} is of type {kind}")


def _check_plain(bound: Bound, select: Select) -> None:
    if select.target.index is not None or select.order:
        bound.fail("one item is read from its table, and has no order", at=select.target.at)
