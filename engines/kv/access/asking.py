"""What a request asks a policy for, told from its arguments alone: nothing of a table is read.

There is a function for each verb, with the arguments of that verb; those that ask for nothing are taken and left.

    action        DynamoDB's name of it. transact() asks for each part by itself, with dynamodb:EnclosingOperation; a
                  batch once for each table; a statement for PartiQLSelect, ...Insert, ...Update, ...Delete
    resource      table/NAME; table/NAME/index/INDEX for a query or scan of an index; table/NAME/stream/TIME for changes
    leading keys  the partition keys that the request names: an index's own in a query of one; none in a scan
    attributes    top-level names in the item, in projection, filter, conditions and updates; and those of the key
    context       Select: SPECIFIC_ATTRIBUTES with a projection, COUNT, else ALL_ATTRIBUTES (of an index:
                  ALL_PROJECTED_ATTRIBUTES). ReturnValues. ReturnConsumedCapacity: INDEXES with consumed=, else NONE.
                  FullTableScan: of a SELECT, whether it reads everything

What they cannot understand is Invalid, with the store's words where it would say the same.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from engines.errors import Invalid
from engines.kv import partiql
from engines.kv.expressions import Placeholders, compile_key_condition
from engines.kv.page import Item
from engines.kv.partiql.binding import Bound, Text, in_their_words
from engines.kv.partiql.select import reading
from engines.kv.partiql.tree import Select
from engines.kv.projections import parse_projection
from engines.kv.syntax import Path, parse_condition
from engines.kv.transactions import Check, Delete, Get, Put, Update, as_get, key_tuple
from engines.kv.updatesyntax import parse_update
from engines.kv.values import check_table_name

if TYPE_CHECKING:
    from engines.kv.catalog import Definition
    from engines.kv.store import Store
    from engines.kv.table import Table

Names = Mapping[str, str] | None


class Asked(NamedTuple):
    """What a request asks for, but for who asks. action: without dynamodb:."""

    action: str
    resource: str = "*"
    leading_keys: tuple[object, ...] = ()
    attributes: frozenset[str] = frozenset()
    context: Mapping[str, object] = {}


# -- what requests ask for ------------------------------------------------------------------------------------------


def _of(table: "Table") -> str:
    return f"table/{table.name}"


@lru_cache(1024)
def _words(parse: Callable[[str], object], text: str) -> frozenset[str]:
    """The first words of all paths in an expression: names of attributes, or their placeholders."""
    return frozenset(str(path.parts[0]) for path in _paths(parse(text)))


def _paths(node: object) -> Iterator[Path]:
    if isinstance(node, Path):
        yield node
    elif isinstance(node, tuple):
        for part in node:
            yield from _paths(part)
    elif dataclasses.is_dataclass(node):
        for field in dataclasses.fields(node):
            yield from _paths(getattr(node, field.name))


def _attributes(
    table: "Table",
    names: Names,
    *,
    condition: str | None = None,
    projection: str | None = None,
    expression: str | None = None,
    also: Iterable[str] = (),
) -> frozenset[str]:
    """The top-level attributes that expressions name, those of the key, and others."""
    known, found = Placeholders(names, None), {*table.definition.key_names, *also}
    for parse, text in ((parse_update, expression), (parse_condition, condition), (parse_projection, projection)):
        if text is not None:
            if not isinstance(text, str):
                raise Invalid(f"an expression is a text, got {text!r:.80}")
            found.update(known.name(word) for word in _words(parse, text))
    return frozenset(found)


def _paid(consumed: object) -> str:
    return "NONE" if consumed is None else "INDEXES"


def _context(consumed: object, **more: str) -> dict[str, object]:
    known = {"ReturnConsumedCapacity": _paid(consumed), **more}
    return {f"dynamodb:{key}": value for key, value in known.items()}


def _select(projection: str | None, index: str | None = None, *, count: bool = False) -> str:
    if count:
        return "COUNT"
    if projection is not None:
        return "SPECIFIC_ATTRIBUTES"
    return "ALL_ATTRIBUTES" if index is None else "ALL_PROJECTED_ATTRIBUTES"


def _partition(table: "Table", key: tuple[Any, ...]) -> tuple[object]:
    """The partition key's value as it is stored, so that 1 and Decimal("1.0") are one."""
    records = table.records
    return (records.keys.decode(records.encode_key(key))[0],)


def _partition_of(table: "Table", item: Item) -> tuple[object]:
    if not isinstance(item, dict):
        raise Invalid(f"an item is a dict from attribute names to values, got {type(item).__name__}")
    keys = table.records.keys
    try:
        return (keys.decode(keys.encode_from(item, table.definition.key_names))[0],)
    except ValueError as error:
        raise Invalid(str(error)) from None


def get(
    table: "Table",
    *key: object,
    projection: str | None = None,
    names: Names = None,
    consumed: object = None,
    **_: object,
) -> Asked:
    """Table.get."""
    context = _context(consumed, Select=_select(projection))
    attributes = _attributes(table, names, projection=projection)
    return Asked("GetItem", _of(table), _partition(table, key), attributes, context)


def put(
    table: "Table",
    item: Item,
    *,
    condition: str | None = None,
    names: Names = None,
    returns: str = "NONE",
    consumed: object = None,
    **_: object,
) -> Asked:
    """Table.put: what is written is named, too."""
    attributes = _attributes(table, names, condition=condition)
    partition = _partition_of(table, item)
    context = _context(consumed, ReturnValues=str(returns))
    return Asked("PutItem", _of(table), partition, attributes | _written(item), context)


def _written(item: Item) -> frozenset[str]:
    return frozenset(name for name in item if isinstance(name, str))


def update(
    table: "Table",
    key: object,
    expression: str,
    *,
    condition: str | None = None,
    names: Names = None,
    returns: str = "NONE",
    consumed: object = None,
    **_: object,
) -> Asked:
    """Table.update: left and right sides alike."""
    attributes = _attributes(table, names, condition=condition, expression=expression)
    context = _context(consumed, ReturnValues=str(returns))
    return Asked("UpdateItem", _of(table), _partition(table, key_tuple(key)), attributes, context)


def delete(
    table: "Table",
    *key: object,
    condition: str | None = None,
    names: Names = None,
    returns: str = "NONE",
    consumed: object = None,
    **_: object,
) -> Asked:
    """Table.delete."""
    attributes = _attributes(table, names, condition=condition)
    context = _context(consumed, ReturnValues=str(returns))
    return Asked("DeleteItem", _of(table), _partition(table, key), attributes, context)


def query(
    table: "Table",
    key_condition: str,
    *,
    filter: str | None = None,  # noqa: A002 - query's
    projection: str | None = None,
    names: Names = None,
    values: Mapping[str, Any] | None = None,
    index: str | None = None,
    count: bool = False,
    consumed: object = None,
    **_: object,
) -> Asked:
    """Table.query."""
    read = _read(table, filter, projection, names, index, count=count, consumed=consumed)
    if not isinstance(key_condition, str):
        raise Invalid(f"key_condition is an expression, a text like 'customer = :c', got {key_condition!r:.80}")
    keyed = (table if index is None else table.records.index(index)).definition
    asked = compile_key_condition(key_condition, Placeholders(names, values), keyed.partition, keyed.sort)
    return read._replace(action="Query", leading_keys=(asked.partition,))


def scan(
    table: "Table",
    *,
    filter: str | None = None,  # noqa: A002 - scan's
    projection: str | None = None,
    names: Names = None,
    index: str | None = None,
    count: bool = False,
    consumed: object = None,
    **_: object,
) -> Asked:
    """Table.scan."""
    return _read(table, filter, projection, names, index, count=count, consumed=consumed)


def _read(
    table: "Table",
    filter_: str | None,
    projection: str | None,
    names: Names,
    index: str | None,
    *,
    count: bool,
    consumed: object,
) -> Asked:
    also = () if index is None else table.records.index(index).key_names
    attributes = _attributes(table, names, condition=filter_, projection=projection, also=also)
    resource = _of(table) if index is None else f"{_of(table)}/index/{index}"
    return Asked("Scan", resource, (), attributes, _context(consumed, Select=_select(projection, index, count=count)))


def explain_query(table: "Table", key_condition: str | None = None, **options: Any) -> Asked:  # noqa: ANN401 - query's
    """explain() of a table: it says how many items there are, not which."""
    options |= {"count": True, "projection": None}
    return scan(table, **options) if key_condition is None else query(table, key_condition, **options)


def stream(definition: "Definition") -> Asked:
    """The changes of a table."""
    return Asked("GetRecords", f"table/{definition.name}/stream/{definition.stream_label}")


def table_changes(table: "Table", *_: object, **__: object) -> Asked:
    """Table.changes."""
    return stream(table.definition)


def on_table(action: str) -> Callable[..., Asked]:
    """An action on the table whose method is called."""
    return lambda table, *_, **__: Asked(action, _of(table))


# -- verbs of a store -------------------------------------------------------------------------------------------------


def on_all(action: str) -> Callable[..., Asked]:
    """An action on no table."""
    return lambda *_, **__: Asked(action)


def on_named(action: str) -> Callable[..., Asked]:
    """An action on the table that the first argument names. NotFound."""
    return lambda store, name, *_, **__: Asked(action, _of(store.table(name)))


def on_new(action: str) -> Callable[..., Asked]:
    """An action that makes the table which the first argument names. Invalid."""
    return lambda _, name, *__, **___: Asked(action, f"table/{check_table_name(name)}")


def restore(_: object, name: str, *, to: str, snapshot: str | None = None, **__: object) -> list[Asked]:
    """Store.restore_table: of the table that was, and of the one to be."""
    action = "RestoreTableToPointInTime" if snapshot is None else "RestoreTableFromBackup"
    return [Asked(action, f"table/{check_table_name(table)}") for table in (name, to)]


def backup(store: "Store", *_: object, tables: Sequence[str] | None = None, **__: object) -> list[Asked]:
    """Store.snapshot: of each table that is kept."""
    return [Asked("CreateBackup", _of(store.table(name))) for name in (store.tables() if tables is None else tables)]


# -- several at once --------------------------------------------------------------------------------------------------

_CALLS: Mapping[type, Callable[["Table", Any], Asked]] = {
    Put: lambda table, action: put(table, action.item, condition=action.condition, names=action.names),
    Update: lambda table, action: update(
        table, action.key, action.expression, condition=action.condition, names=action.names
    ),
    Delete: lambda table, action: delete(table, *key_tuple(action.key), condition=action.condition, names=action.names),
    Check: lambda table, action: delete(
        table, *key_tuple(action.key), condition=action.condition, names=action.names
    )._replace(action="ConditionCheckItem"),
    Get: lambda table, action: get(table, *key_tuple(action.key), projection=action.projection, names=action.names),
}


def _part(store: "Store", action: Any, **context: object) -> Asked:  # noqa: ANN401 - it is looked at
    """One of kv.Put, Update, Delete, Check, Get, with more context. NotFound for its table."""
    ask = next((ask for kind, ask in _CALLS.items() if isinstance(action, kind)), None)
    if ask is None:
        raise Invalid(f"an action is kv.Put, Update, Delete, Check or Get, got {action!r:.80}")
    return _with(ask(store.table(action.table), action), **context)


def _with(asked: Asked, **context: object) -> Asked:
    return asked._replace(context={**asked.context, **{f"dynamodb:{key}": value for key, value in context.items()}})


def transact(store: "Store", actions: Sequence[Any], *, consumed: object = None, **_: object) -> list[Asked]:
    """Store.transact: each action by itself."""
    reads = all(isinstance(action, Get) for action in actions)
    operation = "TransactGetItems" if reads else "TransactWriteItems"
    paid = _paid(consumed)
    return [_part(store, each, EnclosingOperation=operation, ReturnConsumedCapacity=paid) for each in actions]


def batch_get(store: "Store", requests: Iterable[Any], *, consumed: object = None) -> list[Asked]:
    """Store.batch_get."""
    parts = [_part(store, as_get(request), ReturnConsumedCapacity=_paid(consumed)) for request in requests]
    return _batches("BatchGetItem", parts)


def batch_write(store: "Store", actions: Iterable[Any], *, consumed: object = None) -> list[Asked]:
    """Store.batch_write."""
    parts = [_part(store, action, ReturnConsumedCapacity=_paid(consumed)) for action in actions]
    return _batches("BatchWriteItem", parts)


def batch_of_one(asked: Asked) -> Asked:
    """A put or delete that goes through a batch_writer."""
    return _batches("BatchWriteItem", [asked])[0]


def _batches(action: str, parts: Iterable[Asked]) -> list[Asked]:
    """One request for each table, with all that its parts name: all attributes where one of them asks for all."""
    found: dict[str, Asked] = {}
    for part in parts:
        before = found.get(part.resource, part)
        context = {**part.context, **before.context}
        context.pop("dynamodb:ReturnValues", None)
        if part.context.get("dynamodb:Select") == "ALL_ATTRIBUTES":
            context["dynamodb:Select"] = "ALL_ATTRIBUTES"
        leading = dict.fromkeys((*before.leading_keys, *part.leading_keys))
        found[part.resource] = Asked(
            action, part.resource, tuple(leading), before.attributes | part.attributes, context
        )
    return list(found.values())


# -- statements -------------------------------------------------------------------------------------------------------

_IN_PARTIQL = {
    "PutItem": "PartiQLInsert",
    "UpdateItem": "PartiQLUpdate",
    "DeleteItem": "PartiQLDelete",
    "ConditionCheckItem": "PartiQLSelect",
}


def statement(
    store: "Store", text: str, parameters: Sequence[Any] = (), *, consumed: object = None, **_: object
) -> Asked:
    """A PartiQL statement. QueryError, Invalid, NotFound as execute()."""
    return _statement(Bound(store, (text, parameters)), consumed)


def statement_of(store: "Store", text: Text, consumed: object) -> Asked:
    """One of a batch."""
    return _statement(Bound(store, text), consumed)


def statements(store: "Store", texts: Iterable[Text], *, consumed: object = None, **_: object) -> list[Asked]:
    """Those of a transaction."""
    parts = [_statement(Bound(store, text, number), consumed) for number, text in enumerate(texts)]
    return [_with(part, EnclosingOperation="ExecuteTransaction") for part in parts]


def _statement(bound: Bound, consumed: object) -> Asked:
    body, table = bound.body, bound.table
    with in_their_words([bound]):
        if not isinstance(body, Select):
            asked = _CALLS[type(action := partiql.action_of(bound))](table, action)
            returns = getattr(body, "returns", "NONE")
            asked = _with(asked, ReturnValues=returns, ReturnConsumedCapacity=_paid(consumed))
            return asked._replace(action=_IN_PARTIQL[asked.action])
        asks = reading(bound, body)
        names = bound.placeholders(asks.filter, asks.projection)["names"]
        asked = scan(
            table,
            filter=asks.filter,
            projection=asks.projection,
            names=names,
            index=asks.index_name,
            consumed=consumed,
        )
        leading = tuple(partition for partition, _ in asks.partitions)
        asked = _with(asked, FullTableScan=not leading)
        return asked._replace(action="PartiQLSelect", leading_keys=leading)
